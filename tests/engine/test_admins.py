"""Administrators come and go in the real engine, while the cluster is protected."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pytest

from components.cluster import cluster as module
from components.cluster.cluster import AutoModeCluster, AutoModeClusterArgs
from recording.answers import Answers
from tests.cluster.small_cluster import PLATFORM, settings
from tests.engine.engine import Outcome, Stack, World, quieten, require_engine
from tests.engine.standins import StandIn

ONCALL = "arn:aws:iam::123456789012:role/oncall"


def stack_of(admins: list[str]) -> Callable[[], None]:
    """A protected cluster with these administrators."""

    def program() -> None:
        provider = aws.Provider("aws", region="us-east-1", skip_credentials_validation=True)
        own = pulumi.ResourceOptions(provider=provider)
        vpc = aws.ec2.Vpc("network", cidr_block="10.64.0.0/16", opts=own)
        subnets = [
            aws.ec2.Subnet(f"network-{zone}", vpc_id=vpc.id, cidr_block=f"10.64.{zone}.0/24", opts=own)
            for zone in (0, 1)
        ]
        given = settings(vpc_id=vpc.id, private_subnet_ids=[subnet.id for subnet in subnets], admins=tuple(admins))
        AutoModeCluster("main", AutoModeClusterArgs(**given), pulumi.ResourceOptions(providers=[provider]))

    return program


class NoObjects(StandIn):
    """Answers for the provider that the component makes, through which nothing is made."""

    package = "kubernetes"


class Clusters:
    """A stack whose program changes."""

    def __init__(self, folder: Path) -> None:
        self.world = World(None, None, Answers("demo"), others=[NoObjects()])
        self.program: Callable[[], None] = stack_of([])
        self.stack = Stack("demo", folder, self.world, config={}, program=lambda: self.program())

    def up(self, admins: list[str]) -> Outcome:
        self.program = stack_of(admins)
        return self.stack.up(may_fail=True)

    def protected(self, kind: str) -> list[bool]:
        return [bool(item.get("protect")) for item in self.stack.resources if item["type"].endswith(f":{kind}")]

    @property
    def principals(self) -> list[str]:
        """Who has access, in AWS."""
        made = [
            thing.inputs["principalArn"] for (type_, _), thing in self.world.aws.things.items() if "access" in type_
        ]
        return sorted(made)


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    require_engine()
    quieten()
    made = Clusters(tmp_path)
    yield made
    made.world.stop()


def test_an_admin_is_revoked_while_the_cluster_is_protected(clusters: Clusters) -> None:
    """Somebody leaves the team and stays cluster-admin until the cluster's own protection is taken away."""
    assert clusters.up([PLATFORM, ONCALL]).error is None
    assert clusters.principals == [ONCALL, ONCALL, PLATFORM, PLATFORM]
    outcome = clusters.up([PLATFORM])
    assert outcome.error is None, outcome.messages
    assert outcome.changes == [
        "delete aws:eks/accessEntry:AccessEntry::main-oncall-123456789012",
        "delete aws:eks/accessPolicyAssociation:AccessPolicyAssociation::main-oncall-123456789012-admin",
    ]
    assert clusters.principals == [PLATFORM, PLATFORM]
    assert clusters.protected("Cluster") == [True, True] and all(clusters.protected("Role"))


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], pytest.MonkeyPatch]:
    """Access entries as children of `eks.Cluster`, until undone."""

    def given(admins: list[str]) -> pytest.MonkeyPatch:
        entries = {
            entry.key: eks.AccessEntryArgs(
                principal_arn=entry.principal_arn,
                access_policies={
                    "admin": eks.AccessPolicyAssociationArgs(
                        policy_arn=module.CLUSTER_ADMIN,
                        access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                    )
                },
            )
            for entry in module.admin_entries(admins)
        }
        monkeypatch.undo()
        monkeypatch.setattr(module.eks, "Cluster", functools.partial(eks.Cluster, access_entries=entries))
        monkeypatch.setattr(AutoModeCluster, "_admins", lambda *given: [])
        return monkeypatch

    return given


def test_children_of_the_component_are_protected_with_it(clusters: Clusters, as_before) -> None:
    """Shows that the test above has teeth: through the component, the engine refuses."""
    as_before([PLATFORM, ONCALL])
    assert clusters.up([]).error is None
    as_before([PLATFORM])
    outcome = clusters.up([])
    assert outcome.error and any("cannot be deleted" in said and "protected" in said for said in outcome.messages)
    assert clusters.principals == [ONCALL, ONCALL, PLATFORM, PLATFORM]


def test_stacks_of_before_keep_their_admins(clusters: Clusters, as_before) -> None:
    """An entry made anew locks its administrator out meanwhile, and EKS takes only one for each principal."""
    as_before([PLATFORM, ONCALL])
    assert clusters.up([]).error is None
    as_before([]).undo()
    outcome = clusters.up([PLATFORM, ONCALL])
    assert outcome.error is None, outcome.messages
    # Its inputs have changed; a component itself is nothing in AWS.
    assert outcome.changes == ["update eks:index:Cluster::main"]
    assert clusters.protected("AccessEntry") == clusters.protected("AccessPolicyAssociation") == [False, False]
    assert clusters.up([PLATFORM]).error is None and clusters.principals == [PLATFORM, PLATFORM]
