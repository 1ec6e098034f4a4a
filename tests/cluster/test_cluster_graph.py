"""What the cluster component registers, in update and in preview."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.cluster.cluster import AutoModeClusterArgs
from components.cluster.spec import ExistingCluster
from recording.graph import UNKNOWN, Graph
from recording.recorder import record
from tests.cluster.small_cluster import CONFIG, PLATFORM, settings, small_stack

CLUSTER = "aws:eks/cluster:Cluster::cluster-eksCluster"


def _cluster(graph: Graph) -> Any:
    return graph[CLUSTER].inputs


def test_what_pulumi_eks_makes_is_listed_and_marked(graph: Graph) -> None:
    """A reviewer must see every role that `up` will make: a plan without them hides who may do what in the account."""
    made = {node.key.split(":", 1)[1] for node in graph if node.assumed}
    assert made == {
        "index:ServiceRole::cluster-eksRole",
        "iam/role:Role::cluster-eksRole-role",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-eksRole-4b490823",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-eksRole-d86a545b",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-eksRole-1e381056",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-eksRole-1587f79c",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-eksRole-9ae443cd",
        "index:ServiceRole::cluster-nodeRole",
        "iam/role:Role::cluster-nodeRole-role",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-nodeRole-7b85ae6b",
        "iam/rolePolicyAttachment:RolePolicyAttachment::cluster-nodeRole-22021ef5",
        "eks/cluster:Cluster::cluster-eksCluster",
        "providers:kubernetes::cluster-eks-k8s",
    }


def test_auto_mode_switches_agree_and_are_known(graph: Graph) -> None:
    """EKS refuses the cluster unless all three are on together with self-managed add-ons off, and an unknown one fails
    the very first preview (pulumi/pulumi-eks#1597)."""
    inputs = _cluster(graph)
    assert inputs["computeConfig"]["enabled"] is True
    assert inputs["storageConfig"]["blockStorage"]["enabled"] is True
    assert inputs["kubernetesNetworkConfig"]["elasticLoadBalancing"]["enabled"] is True
    assert inputs["bootstrapSelfManagedAddons"] is False
    # Pools without a role, or a role without pools, are refused too (terraform-aws-modules/terraform-aws-eks#3238).
    assert set(inputs["computeConfig"]["nodePools"]) == {"general-purpose", "system"}
    assert inputs["computeConfig"]["nodeRoleArn"]


def test_no_role_or_profile_for_a_default_node_group(graph: Graph) -> None:
    """An instance role that nothing uses is a principal with an access entry to the cluster that nobody watches."""
    assert not graph.of("aws:iam/instanceProfile:InstanceProfile")
    assert not [node for node in graph if "instanceRole" in node.name]


def test_coredns_does_not_hold_the_cluster_up(graph: Graph) -> None:
    """With the component's own CoreDNS every NodePool waits for a node to boot, and a node waits for a NodePool."""
    assert not [node for node in graph.of("aws:eks/addon:Addon") if node.inputs["addonName"] == "coredns"]


@pytest.mark.parametrize(("public", "cidrs"), [(True, ["52.95.4.0/24"]), (False, []), (False, None)])
def test_both_endpoints_are_always_stated(public: bool, cidrs: list[str] | None) -> None:
    """An endpoint left out is EKS's default: public and open to the whole internet."""
    program = small_stack(public_access_cidrs=None if cidrs is None else tuple(cidrs))
    vpc = _cluster(record("test", CONFIG, program=program, preview=True))["vpcConfig"]
    assert vpc["endpointPublicAccess"] is public
    assert vpc["endpointPrivateAccess"] is True
    assert vpc.get("publicAccessCidrs", []) == (cidrs or [])


def test_secrets_are_encrypted_with_a_key_that_stays(graph: Graph) -> None:
    """A KMS key deleted with the cluster still there makes every Secret, and so the cluster, unreadable for good."""
    key = graph.one("aws:kms/key:Key")
    assert _cluster(graph)["encryptionConfig"]["resources"] == ["secrets"]
    assert key.key in graph[CLUSTER].depends_on
    assert key.protect and key.inputs["enableKeyRotation"] is True and key.inputs["deletionWindowInDays"] == 30
    assert graph.destroyed_before(graph[CLUSTER], key)


def test_cluster_and_its_roles_are_protected(graph: Graph) -> None:
    """A rename must not be able to replace the cluster and everything served in it."""
    assert graph[CLUSTER].protect
    assert graph["aws:iam/role:Role::cluster-eksRole-role"].protect
    unprotected = record("test", CONFIG, program=small_stack(protect=False))
    assert not [node.key for node in unprotected if node.protect]


def test_logs_expire(graph: Graph) -> None:
    """EKS makes the log group itself if it is not there first: one that never expires and collides with ours."""
    group = graph.one("aws:cloudwatch/logGroup:LogGroup")
    assert group.inputs["name"] == "/aws/eks/prod/cluster"
    assert group.inputs["retentionInDays"] == 90
    assert graph.destroyed_before(graph[CLUSTER], group)


def test_no_log_group_without_logs() -> None:
    found = record("test", CONFIG, program=small_stack(logs=()))
    assert not found.of("aws:cloudwatch/logGroup:LogGroup")
    assert _cluster(found)["enabledClusterLogTypes"] == []


def test_nodes_keep_their_way_out_until_the_cluster_is_gone(graph: Graph) -> None:
    """Without egress nodes can neither join nor drain, and a destroy leaves interfaces and security groups that keep
    the VPC from going (aws/containers-roadmap#2557)."""
    assert graph.destroyed_before(graph[CLUSTER], graph.one("aws:ec2/natGateway:NatGateway"))


def test_policies_outlive_the_cluster(graph: Graph) -> None:
    """Deleted first, EKS loses the rights to remove its own network interfaces."""
    attachments = [
        node for node in graph.children("eks:index:ServiceRole::cluster-eksRole") if "Attachment" in node.type
    ]
    assert len(attachments) == 5
    assert all(graph.destroyed_before(graph[CLUSTER], node) for node in attachments)


def test_admins_get_the_whole_cluster(graph: Graph) -> None:
    """Authentication is by API only: an administrator without access entry and policy is locked out."""
    association = graph.one("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
    assert _cluster(graph)["accessConfig"]["authenticationMode"] == "API"
    assert association.inputs["principalArn"] == PLATFORM
    assert association.inputs["policyArn"].endswith("/AmazonEKSClusterAdminPolicy")
    assert association.inputs["accessScope"] == {"type": "cluster"}
    assert association.inputs["clusterName"] == "prod"


def test_admins_are_not_protected_with_the_cluster(graph: Graph) -> None:
    """Whoever left the team keeps the whole cluster until somebody takes the cluster's own protection away."""
    made = graph.of("aws:eks/access*")
    assert len(made) == 2 and not [node.key for node in made if node.protect or node.assumed]
    # A destroy by an administrator needs access until everything in the cluster is gone.
    namespace = graph["kubernetes:core/v1:Namespace::inference"]
    assert all(graph.destroyed_before(namespace, node) for node in made)


def test_another_admin_moves_nobody() -> None:
    """Keys by position would delete and make again the access of everyone behind the one that left."""
    two = [PLATFORM, "arn:aws:iam::123456789012:role/oncall"]
    before = {
        node.key: node.inputs for node in record("t", CONFIG, program=small_stack(admins=tuple(two))).of("aws:eks/a*")
    }
    after = {
        node.key: node.inputs
        for node in record("t", CONFIG, program=small_stack(admins=tuple(two[1:]))).of("aws:eks/a*")
    }
    assert after.items() <= before.items() and len(after) < len(before)


def test_auto_mode_may_tag_what_it_launches(updated: Graph) -> None:
    """Without this policy every launch of a NodeClass with tags is refused, and GPU pods stay pending."""
    policy = updated.one("aws:iam/rolePolicy:RolePolicy", "cluster-tags")
    assert policy.inputs["role"] == updated["aws:iam/role:Role::cluster-eksRole-role"].outputs["name"]
    # Everything in the cluster waits for it: a NodePool made before it would launch nothing.
    assert updated.destroyed_before(updated["kubernetes:core/v1:Namespace::inference"], policy)


def test_objects_in_the_cluster_come_after_all_of_it(graph: Graph) -> None:
    """An object deleted after the access entries leaves its finalizers, volumes and load balancers behind."""
    namespace = graph["kubernetes:core/v1:Namespace::inference"]
    for node in graph:
        if node.assumed and node.custom:
            assert graph.destroyed_before(namespace, node), node.key


def test_add_ons_go_before_the_cluster(graph: Graph) -> None:
    """An add-on cannot be deleted once its cluster is: the destroy would stop there."""
    assert graph.destroyed_before(graph.one("aws:eks/addon:Addon"), graph[CLUSTER])


def test_every_aws_resource_has_the_provider(graph: Graph) -> None:
    """One on the default provider would be made with the shell's region and without the stack's tags."""
    found = {node.provider for node in graph.of("aws:*")}
    assert found == {"pulumi:providers:aws::aws"}


def test_outputs_are_the_values_aws_answers(updated: Graph) -> None:
    cluster = updated[CLUSTER].outputs
    kubeconfig = json.loads(updated.outputs["kubeconfig"])
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    assert server == cluster["endpoint"] and server.endswith(".gr7.us-east-1.eks.amazonaws.com")
    assert updated.outputs["securityGroup"] == cluster["vpcConfig"]["clusterSecurityGroupId"]
    assert updated.outputs["nodeRole"] == updated["aws:iam/role:Role::cluster-nodeRole-role"].outputs["name"]


def test_preview_knows_names_and_nothing_else_of_the_cluster() -> None:
    """A name a preview does not know reads as a replacement of everything that uses it."""
    preview = record("test", CONFIG, program=small_stack(), preview=True)
    assert preview.one("aws:eks/addon:Addon").inputs["clusterName"] == "prod"
    assert preview.outputs == {"nodeRole": UNKNOWN, "securityGroup": UNKNOWN, "kubeconfig": UNKNOWN}
    assert _cluster(preview)["roleArn"] == UNKNOWN
    assert "endpoint" not in _cluster(preview)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"existing": ExistingCluster(kubeconfig="~/.kube/config", context="kind")},
            "spec.existing: this component makes a cluster; use existing_provider for one that is there",
        ),
        ({"private_subnet_ids": ["subnet-1"]}, "private_subnet_ids: 1 given; EKS needs subnets in at least two zones"),
        (
            {"cluster_name": "-prod"},
            (
                "cluster_name: '-prod' is no EKS name; begin with a letter or digit, then up to 99 letters, "
                "digits, dashes and underscores"
            ),
        ),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        AutoModeClusterArgs(**settings(**changes))
    assert str(caught.value) == message
