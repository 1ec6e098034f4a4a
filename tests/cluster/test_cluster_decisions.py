"""Access entries, policy documents and kubeconfig: pure."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity.ultraservers import TAINT
from components.cluster.access import admin_entries
from components.cluster.addons import efs_driver_configuration, efs_driver_service_accounts
from components.cluster.hybrid_addons import configuration
from components.cluster.iam import auto_mode_tags_policy, pod_identity_trust, role_name
from components.cluster.kubeconfig import kubeconfig, update_command

names = st.text(string.ascii_letters + string.digits + "+=,.@_-", min_size=1, max_size=64)
paths = st.lists(st.text(string.ascii_letters + string.digits, min_size=1, max_size=8), max_size=3)
accounts = st.integers(0, 10**12 - 1).map(lambda number: f"{number:012d}")
principals = st.builds(
    lambda account, kind, path, name: (account, kind, "/".join([*path, name])),
    accounts,
    st.sampled_from(["role", "user"]),
    paths,
    names,
)


def _arn(principal: tuple[str, str, str]) -> str:
    account, kind, path = principal
    return f"arn:aws:iam::{account}:{kind}/{path}"


@given(st.lists(principals, max_size=6, unique_by=lambda p: (p[0], p[1], p[2].rsplit("/", 1)[-1])), st.data())
def test_keys_are_unique_and_stay_when_others_leave(found: list[tuple[str, str, str]], data: st.DataObject) -> None:
    """A key that moves deletes an administrator's access and makes it again, which locks them out meanwhile."""
    arns = [_arn(principal) for principal in found]
    entries = admin_entries(arns)
    assert [entry.principal_arn for entry in entries] == arns
    assert len({entry.key for entry in entries}) == len(arns)
    kept = data.draw(st.lists(st.sampled_from(arns), unique=True)) if arns else []
    assert {e.key for e in admin_entries(kept)} <= {e.key for e in entries}


def test_role_and_user_of_one_name_are_two_entries() -> None:
    """One key for both would let the second silently take the first one's place."""
    account = "123456789012"
    arns = [f"arn:aws:iam::{account}:{kind}" for kind in ("role/ci", "user/ci", f"role/ci-{account}-user")]
    assert len({entry.key for entry in admin_entries(arns)}) == 3


@given(accounts, paths, names)
def test_role_name_is_the_last_part_of_the_arn(account: str, path: list[str], name: str) -> None:
    assert role_name(f"arn:aws:iam::{account}:role/{'/'.join([*path, name])}") == name


@pytest.mark.parametrize(
    ("admins", "message"),
    [
        (
            ["arn:aws:sts::123456789012:assumed-role/platform/me"],
            (
                "admins: 'arn:aws:sts::123456789012:assumed-role/platform/me' is not the ARN of an IAM role, such as "
                "arn:aws:iam::111122223333:role/platform; for a session (arn:aws:sts::…:assumed-role/platform/…) name the "
                "role itself"
            ),
        ),
        (
            ["arn:aws:iam::123456789012:role/a/platform", "arn:aws:iam::123456789012:role/platform"],
            (
                "admins: 'arn:aws:iam::123456789012:role/platform' is there twice; EKS takes one access entry for each "
                "principal"
            ),
        ),
    ],
)
def test_admins_that_eks_would_refuse(admins: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        admin_entries(admins)
    assert str(caught.value) == message


def test_role_name_of_something_else() -> None:
    with pytest.raises(ValueError, match="is not the ARN of an IAM role"):
        role_name("arn:aws:iam::123456789012:user/me")


def test_tag_policy_never_reaches_another_cluster() -> None:
    """One statement without the cluster's own tag would let this cluster's role launch and tag as any cluster."""
    own = "${aws:PrincipalTag/eks:eks-cluster-name}"
    statements = auto_mode_tags_policy()["Statement"]
    conditions = [statement["Condition"]["StringEquals"] for statement in statements]
    made, there = {"aws:RequestTag/eks:eks-cluster-name": own}, {"aws:ResourceTag/eks:eks-cluster-name": own}
    assert all(made.items() <= found.items() or there.items() <= found.items() for found in conditions)
    # A wildcard means something only to StringLike: under StringEquals the statement would allow nothing.
    assert not [s for s in statements if "*" in s["Condition"]["StringEquals"].values()]
    # IAM's limit for all inline policies of a role, without whitespace.
    assert len(json.dumps(auto_mode_tags_policy(), separators=(",", ":"))) < 10240


def test_tags_of_a_load_balancer_may_change() -> None:
    """The managed policy allows AddTags with a creation alone: after an edit the controller would be refused, and stop there."""
    allowed = {
        action: statement
        for statement in auto_mode_tags_policy()["Statement"]
        if any(key.startswith("aws:ResourceTag/") for key in statement["Condition"]["StringEquals"])
        for action in statement["Action"]
    }
    assert {"elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"} <= allowed.keys()
    groups = [allowed[action]["Resource"] for action in ("ec2:CreateTags", "ec2:DeleteTags")]
    assert groups == ["arn:aws:ec2:*:*:security-group/*"] * 2


def test_pods_may_tag_their_session() -> None:
    """Pod Identity tags every session; without TagSession each request of the driver is refused."""
    assert set(pod_identity_trust()["Statement"][0]["Action"]) == {"sts:AssumeRole", "sts:TagSession"}


def test_kubeconfig_holds_no_token_and_names_the_region() -> None:
    """A token in the kubeconfig dies in 15 minutes, and a region from the shell asks another region's cluster."""
    found = kubeconfig("prod", "https://endpoint", "Q0E=", "eu-north-1")
    user = found["users"][0]["user"]
    assert set(user) == {"exec"}
    arguments = user["exec"]["args"]
    assert arguments[arguments.index("--region") + 1] == "eu-north-1"
    assert arguments[arguments.index("--cluster-name") + 1] == "prod"
    contexts = {item["name"]: item["context"] for item in found["contexts"]}
    current = contexts[found["current-context"]]
    assert current["cluster"] in {item["name"] for item in found["clusters"]}
    assert current["user"] in {item["name"] for item in found["users"]}


def test_kubeconfig_with_profile_and_role() -> None:
    arguments = kubeconfig("prod", "e", "c", "us-east-1", profile="ops", role_arn="arn:aws:iam::1:role/x")["users"][0][
        "user"
    ]["exec"]["args"]
    assert arguments[arguments.index("--profile") + 1] == "ops"
    assert arguments[arguments.index("--role-arn") + 1] == "arn:aws:iam::1:role/x"
    # Global options of the AWS CLI stand before the command, its own after it.
    assert arguments.index("--profile") < arguments.index("eks") < arguments.index("--role-arn")


def test_update_command() -> None:
    assert update_command("prod", "us-east-1") == "aws eks update-kubeconfig --region us-east-1 --name prod"
    assert update_command("prod", "us-east-1", "ops").endswith(" --profile ops")


@pytest.mark.parametrize(
    ("version", "accounts"),
    [
        ("v2.1.9-eksbuild.1", ("efs-csi-controller-sa",)),
        ("v3.3.0-eksbuild.1", ("efs-csi-controller-sa", "efs-csi-node-sa")),
        ("v10.0.0-eksbuild.12", ("efs-csi-controller-sa", "efs-csi-node-sa")),
    ],
)
def test_node_component_gets_an_identity_where_the_add_on_takes_one(version: str, accounts: tuple[str, ...]) -> None:
    """Before v3 the add-on refuses the association; from v3 on, without it, pods on Auto Mode nodes mount with a role
    that may nothing but join."""
    assert efs_driver_service_accounts(version) == accounts


@pytest.mark.parametrize("version", ["latest", "3.3.0", "v3.3.0", "v3.3-eksbuild.1"])
def test_add_on_version_must_be_whole(version: str) -> None:
    with pytest.raises(ValueError, match=r"is no version of an EKS add-on, such as v3\.3\.0-eksbuild\.1"):
        efs_driver_service_accounts(version)


def test_efs_controller_stays_off_gpu_nodes() -> None:
    """A controller on a GPU node keeps the node from being given back: some dollars an hour for a pod without a GPU."""
    selector = efs_driver_configuration()["controller"]["nodeSelector"]
    assert selector == {"karpenter.sh/nodepool": "general-purpose"}


def test_the_monitoring_agent_can_ask_dcgm() -> None:
    """Its DCGM server tolerates nothing by itself: kept off tainted nodes, every GPU would be reported as broken."""
    given = configuration("eks-node-monitoring-agent")
    assert given == {
        "dcgmAgent": {"tolerations": [{"key": TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}]}
    }
    assert configuration("kube-proxy") is None
