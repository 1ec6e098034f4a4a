"""Whether a thing that the engine began to create exists, and under which id.

`TOLD` says for every AWS type of this program how one is told from another: by names or by what it joins, which AWS
keeps unique, or else by its tags. Objects in a cluster are told by kind, namespace and name. A `Finder` looks; `decide`
judges what it found and never guesses: two that fit are listed, and the operator decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from operations.state import Pending, Resource, State

RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclass(frozen=True)
class Told:
    """How things of a type are told apart."""

    by: tuple[str, ...] = ()
    """Inputs that no two have alike. Empty: by tags."""
    within: tuple[str, ...] = ()
    """Inputs that must agree besides the tags, so that a look need not go through the whole account."""
    second: str = ""
    """What AWS does with a second one; empty when it makes it without a word."""

    @property
    def collides(self) -> bool:
        return bool(self.second)


_EXISTS = "refuses it"
_SAME = "makes no second one: the same call changes the first"

TOLD: dict[str, Told] = {
    "aws:autoscaling/schedule:Schedule": Told(("autoscalingGroupName", "scheduledActionName"), second=_SAME),
    "aws:cloudwatch/logGroup:LogGroup": Told(("name",), second=_EXISTS),
    "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup": Told(("groupName",), second=_SAME),
    "aws:ec2/capacityReservation:CapacityReservation": Told(),
    "aws:ec2/eip:Eip": Told(),
    "aws:ec2/flowLog:FlowLog": Told(("vpcId", "logDestination"), second=_EXISTS),
    "aws:ec2/internetGateway:InternetGateway": Told(),
    "aws:ec2/launchTemplate:LaunchTemplate": Told(("name",), second=_EXISTS),
    "aws:ec2/natGateway:NatGateway": Told(("allocationId",), second="refuses it, since its address is taken"),
    "aws:ec2/route:Route": Told(("routeTableId", "destinationCidrBlock"), second=_EXISTS),
    "aws:ec2/routeTable:RouteTable": Told(within=("vpcId",)),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Told(("subnetId", "routeTableId"), second=_EXISTS),
    "aws:ec2/securityGroup:SecurityGroup": Told(within=("vpcId",)),
    "aws:ec2/subnet:Subnet": Told(("vpcId", "cidrBlock"), second=_EXISTS),
    "aws:ec2/vpc:Vpc": Told(),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Told(
        ("vpcId", "serviceName"), second="refuses its routes or its private DNS names"
    ),
    "aws:efs/backupPolicy:BackupPolicy": Told(("fileSystemId",), second=_SAME),
    "aws:efs/fileSystem:FileSystem": Told(("creationToken",), second=_EXISTS),
    "aws:efs/mountTarget:MountTarget": Told(("fileSystemId", "subnetId"), second=_EXISTS),
    "aws:eks/accessEntry:AccessEntry": Told(("clusterName", "principalArn"), second=_EXISTS),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": Told(
        ("clusterName", "principalArn", "policyArn"), second=_SAME
    ),
    "aws:eks/addon:Addon": Told(("clusterName", "addonName"), second=_EXISTS),
    "aws:eks/cluster:Cluster": Told(("name",), second=_EXISTS),
    "aws:eks/nodeGroup:NodeGroup": Told(("clusterName", "nodeGroupName"), second=_EXISTS),
    "aws:iam/role:Role": Told(("name",)),
    "aws:iam/rolePolicy:RolePolicy": Told(("role", "name"), second=_SAME),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Told(("role", "policyArn"), second=_SAME),
    "aws:kms/alias:Alias": Told(("name",), second=_EXISTS),
    "aws:kms/key:Key": Told(),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Told(
        ("securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"), second=_EXISTS
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Told(
        ("securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"), second=_EXISTS
    ),
}
"""By type. A role's name is made by the provider when the program gives none, and then stands in the interrupted entry; the
next attempt would get another name, so that a second role is possible (and free of charge)."""


class CannotTell(Exception):
    """Nobody could be asked, or the answer says nothing; the message says how to look."""


Condition = Literal["ready", "making", "failed"]


@dataclass(frozen=True)
class Candidate:
    """Something that exists and fits."""

    id: str
    """Its id as the state writes it, which for some types is not the one that `pulumi import` takes."""
    condition: Condition = "ready"
    """`making`: still on its way. `failed`: there, and of no use."""
    told: str = ""
    """What it says of itself, for people."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What goes into the state beside the inputs."""


class Finder(Protocol):
    """Somebody who can look in one place: AWS, a cluster, or the store of a test."""

    def find(self, resource: Resource) -> Sequence[Candidate]:
        """Everything that exists and may be this resource; raises CannotTell."""
        ...


class Verdict(StrEnum):
    """What is to be done about an interrupted creation."""

    take = "take"
    """It exists: into the state with it."""
    forget = "forget"
    """It does not exist: the next `up` makes it."""
    undecided = "undecided"
    """A person must look."""


@dataclass(frozen=True)
class Decision:
    """One interrupted creation, judged."""

    pending: Pending
    verdict: Verdict
    why: str
    candidate: Candidate | None = None
    candidates: tuple[Candidate, ...] = ()
    """All that fit, where there are several."""


def words_of(resource: Resource) -> str:
    """How the thing is known where it exists."""
    inputs = resource.inputs
    if resource.type.startswith("kubernetes:"):
        metadata = inputs.get("metadata") or {}
        name, namespace = (inputs.get("name"), inputs.get("namespace")) if resource.type == RELEASE else (
            metadata.get("name"), metadata.get("namespace")
        )  # fmt: skip
        return f"{namespace}/{name}" if namespace else str(name)
    told = TOLD.get(resource.type)
    if told is None:
        return ""
    if any(inputs.get(key) is not None for key in told.by):
        return ", ".join(f"{key} {inputs[key]}" for key in told.by if inputs.get(key) is not None)
    return ", ".join(f"{key}={value}" for key, value in sorted(tags_of(resource).items()))


def tags_of(resource: Resource) -> dict[str, str]:
    """Tags that a thing of ours carries, those of the provider among them."""
    tags = resource.inputs.get("tagsAll") or resource.inputs.get("tags") or {}
    return {str(key): str(value) for key, value in tags.items()}


def decide(pending: Pending, state: State, finder: Finder) -> Decision:
    """Look for one interrupted creation and judge what is there."""
    resource = pending.resource
    if resource.state_only:
        return Decision(pending, Verdict.forget, "it exists in the state alone")
    try:
        found = finder.find(resource)
    except CannotTell as reason:
        return Decision(pending, Verdict.undecided, f"cannot be told: {reason}")
    # What the state holds under the same type is somebody else: another zone's, or the one this was to replace.
    known = state.ids(resource.type)
    fresh = tuple(item for item in found if item.id not in known)
    if not fresh:
        return Decision(pending, Verdict.forget, f"does not exist ({words_of(resource)})")
    if len(fresh) != 1:
        ids = ", ".join(item.id for item in fresh)
        return Decision(pending, Verdict.undecided, f"{len(fresh)} fit and only one can be it: {ids}", candidates=fresh)
    candidate = fresh[0]
    if candidate.condition == "making":
        return Decision(
            pending,
            Verdict.undecided,
            f"{candidate.id} is still being made ({candidate.told}); run this again when it is done",
            candidate,
        )
    if candidate.condition == "failed":
        return Decision(
            pending,
            Verdict.undecided,
            f"{candidate.id} exists and is of no use ({candidate.told}); delete it, then run this again",
            candidate,
        )
    return Decision(
        pending, Verdict.take, f"exists as {candidate.id}{f' ({candidate.told})' * bool(candidate.told)}", candidate
    )


class Everywhere:
    """Sends each resource to whoever can look for it."""

    def __init__(self, by_package: Mapping[str, Finder]) -> None:
        self.by_package = by_package

    def find(self, resource: Resource) -> Sequence[Candidate]:
        package = resource.type.split(":", 1)[0]
        finder = self.by_package.get(package)
        if finder is None:
            raise CannotTell(f"this program makes nothing of the package {package}; look for it by hand")
        return finder.find(resource)
