"""Does AWS take what the stacks would ask of it? Their recorded inputs, given to an emulator where it is faithful.

What is real and what stands in is told in `account.py`. Each mistake here is one that the recorder and the engine's types
let pass, and that would stop an `up` half-way.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from recording.graph import Graph, Node
from tests.aws.account import LEFT_OUT, Account
from tests.conftest import STACKS, recorded

IN_AWS = [stack for stack in STACKS if recorded(stack).of("aws:ec2/vpc:Vpc")]
ROLE, ROLE_POLICY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
SUBNET, MOUNT_TARGET = "aws:ec2/subnet:Subnet", "aws:efs/mountTarget:MountTarget"


@pytest.fixture
def cloud() -> Iterator[None]:
    """An empty account. Nothing leaves the machine."""
    with mock_aws():
        yield


@pytest.fixture
def cloud_with_policies() -> Iterator[None]:
    """An account that knows the names of AWS's managed policies, a thousand documents."""
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        yield


def refused(graph: Graph, node: Node, change: Mapping[str, Any], match: str, beside: Node | None = None) -> None:
    """One resource is not taken with other inputs, after what it needs and what stands beside it."""
    account = Account(graph)
    with pytest.raises(ClientError, match=match):
        account.make(with_change(graph, node, change), only=[*([beside.key] if beside else []), node.key])
    assert account.ids.keys().isdisjoint({node.id})


def with_change(graph: Graph, node: Node, change: Mapping[str, Any]) -> Graph:
    """The stack with other inputs of one resource."""
    nodes = [
        dataclasses.replace(each, inputs={**each.inputs, **change}) if each.key == node.key else each for each in graph
    ]
    return Graph(graph.stack, nodes, outputs=graph.outputs, reads=graph.reads, at=graph.at)


# --- what is shipped -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", IN_AWS)
@pytest.mark.usefixtures("cloud_with_policies")
def test_shipped_stacks_are_accepted(stack: str) -> None:
    """And the network that comes of them does what its parts are for."""
    graph = recorded(stack)
    account = Account(graph)
    account.make(graph)
    known = [node for node in graph.creation if node.type.startswith("aws:")]
    left = [node for node in known if any(node.type.startswith(type_) for type_ in LEFT_OUT)]
    assert len({node.id for node in known} & set(account.ids)) == len(known) - len(left)
    assert_ways_out(account, graph)
    assert_files_everywhere(account, graph)


def assert_ways_out(account: Account, graph: Graph) -> None:
    """From every private subnet a NAT gateway is reached that stands in a subnet with a way to the internet: nodes that
    cannot pull an image never get ready."""
    gateways = {item["NatGatewayId"]: item for item in account.ec2.describe_nat_gateways()["NatGateways"]}
    tables = account.ec2.describe_route_tables()["RouteTables"]
    of_subnet = {
        item["SubnetId"]: {route.get("DestinationCidrBlock"): route for route in table["Routes"]}
        for table in tables
        for item in table["Associations"]
        if "SubnetId" in item
    }
    for node in graph.of(SUBNET):
        route = of_subnet[account.ids[node.id]]["0.0.0.0/0"]
        if "NatGatewayId" in route:
            onward = of_subnet[gateways[route["NatGatewayId"]]["SubnetId"]]["0.0.0.0/0"]
            assert onward["GatewayId"].startswith("igw-"), node.name
        else:
            # A public one: it has no nodes.
            assert route["GatewayId"].startswith("igw-") and "public" in node.name


def assert_files_everywhere(account: Account, graph: Graph) -> None:
    """Each file system can be mounted in every zone of the network's private subnets."""
    for system in account.efs.describe_file_systems()["FileSystems"]:
        targets = account.efs.describe_mount_targets(FileSystemId=system["FileSystemId"])["MountTargets"]
        there = {
            node.inputs["availabilityZoneId"]
            for node in graph.of(SUBNET)
            if any(key.endswith("role/internal-elb") for key in node.inputs["tags"])
        }
        assert {item["AvailabilityZoneId"] for item in targets} == there


# --- mistakes ------------------------------------------------------------------------------------------------------------

Spoil = Callable[[dict[str, Any]], Any]


def spoilt(document: str, change: Spoil) -> str:
    """A policy document with one thing wrong in its first statement."""
    found = json.loads(document)
    change(found["Statement"][0])
    return json.dumps(found)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    "change",
    [
        lambda statement: statement.update(Effect="allow"),
        lambda statement: statement.update(Action="CreateFleet"),
        lambda statement: statement.pop("Resource"),
        lambda statement: statement.update(Resources=statement.pop("Resource")),
        lambda statement: statement.update(Condition={"StringEqual": {"aws:RequestTag/a": "b"}}),
    ],
    ids=["effect", "action without service", "no resource", "misspelt key", "condition operator"],
)
def test_mistakes_in_a_policy(change: Spoil) -> None:
    """The document is text to every type on the way; IAM reads it first."""
    graph = recorded("g7e-staging")
    node = graph.of(ROLE_POLICY)[0]
    refused(graph, node, {"policy": spoilt(node.inputs["policy"], change)}, r"MalformedPolicyDocument")


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    "change",
    [
        lambda statement: statement.update(Resource="*"),
        lambda statement: statement.update(Action="ec2:RunInstances"),
    ],
    ids=["resource", "action"],
)
def test_mistakes_in_a_trust_document(change: Spoil) -> None:
    graph = recorded("g6e-dev")
    node = graph.of(ROLE)[0]
    refused(
        graph, node, {"assumeRolePolicy": spoilt(node.inputs["assumeRolePolicy"], change)}, r"MalformedPolicyDocument"
    )


@pytest.mark.usefixtures("cloud_with_policies")
def test_managed_policy_that_aws_does_not_have() -> None:
    """A path left out of the name (`service-role/`) is the usual mistake."""
    graph = recorded("g6e-dev")
    node = next(
        each
        for each in graph.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
        if "service-role/" in each.inputs["policyArn"]
    )
    wrong = node.inputs["policyArn"].replace("service-role/", "")
    refused(graph, node, {"policyArn": wrong}, r"NoSuchEntity")


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("mistake", ["overlapping", "outside"])
def test_subnets_with_wrong_ranges(mistake: str) -> None:
    """The arithmetic of ranges is ours, and EC2 is the first to look at its result."""
    graph = recorded("g6e-dev")
    first, second, *_ = graph.of(SUBNET)
    wrong = first.inputs["cidrBlock"] if mistake == "overlapping" else "192.168.0.0/24"
    refused(graph, second, {"cidrBlock": wrong}, r"InvalidSubnet", beside=first)


@pytest.mark.usefixtures("cloud")
def test_mount_target_in_the_wrong_zone() -> None:
    """A second one in a zone is refused, and the zone it was meant for has none: pods there hang in their mount."""
    graph = recorded("g6e-dev")
    first, second, *_ = graph.of(MOUNT_TARGET)
    refused(graph, second, {"subnetId": first.inputs["subnetId"]}, r"MountTargetConflict", beside=first)


@pytest.mark.usefixtures("cloud")
def test_rule_of_a_group_that_is_none() -> None:
    graph = recorded("g7e-staging")
    node = next(
        each
        for each in graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if "referencedSecurityGroupId" in each.inputs
    )
    refused(
        graph,
        node,
        {"referencedSecurityGroupId": "sg-00000000000000000"},
        r"InvalidGroup\.NotFound|InvalidSecurityGroupID\.NotFound",
    )
