"""What the network component registers, and what an existing VPC must be like."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pulumi
import pytest

from components.network.endpoints import INTERFACE_ENDPOINTS, service_name
from components.network.existing import _TARGETS, FoundSubnet, SubnetPair, faults, way_out
from components.network.network import NetworkArgs
from components.network.spec import ExistingNetwork
from components.network.spec import Network as NetworkSpec
from recording.answers import Answers
from recording.graph import Graph
from recording.recorder import record
from rules import judge
from stacks import stackfile
from tests.conftest import AT, recorded

BASE = Path(__file__).parents[1] / "stacks" / "settings" / "ordinary.happy.yaml"
SUBNETS = {
    zone: {"private": f"subnet-0123456789abcd{number}{number}1", "public": f"subnet-0123456789abcd{number}{number}2"}
    for number, zone in enumerate(("use1-az1", "use1-az2"), 1)
}


def config(**network: Any) -> dict[str, Any]:
    return {**copy.deepcopy(dict(stackfile.read("ordinary", BASE).config)), "dynamo-eks:network": network}


def made(**network: Any) -> Graph:
    return record("ordinary", config(**network), at=AT)


@pytest.mark.parametrize(("nat", "gateways"), [("single", 1), ("perZone", 3)])
def test_nat_gateways(nat: str, gateways: int) -> None:
    graph = made(zones=3, nat=nat)
    assert len(graph.of("aws:ec2/natGateway:NatGateway")) == len(graph.of("aws:ec2/eip:Eip")) == gateways
    private = [node for node in graph.of("aws:ec2/route:Route") if node.inputs.get("natGatewayId")]
    assert len(private) == 3 and len({node.inputs["natGatewayId"] for node in private}) == gateways


def test_zone_by_zone_nat_stays_in_its_zone() -> None:
    """Traffic through another zone's gateway is billed twice and fails with that zone."""
    graph = made(zones=3, nat="perZone")
    for node in graph.of("aws:ec2/route:Route"):
        if node.inputs.get("natGatewayId"):
            zone = node.name.removeprefix("network-private-").removesuffix("-out")
            gateway = next(
                item for item in graph.of("aws:ec2/natGateway:NatGateway") if item.id == node.inputs["natGatewayId"]
            )
            assert gateway.name.endswith(zone)


def test_unsupported_and_local_zones_never_enter() -> None:
    """EKS refuses the whole cluster for one subnet in use1-az3."""
    graph = made(zones=5)
    zones = {node.inputs["availabilityZoneId"] for node in graph.of("aws:ec2/subnet:Subnet")}
    assert zones == {"use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6"}


def test_adding_a_zone_changes_no_subnet() -> None:
    """A changed subnet is replaced, and with it every node in it."""
    before, after = made(zones=2), made(zones=4)
    kept = {node.key: node.inputs for node in after.of("aws:ec2/subnet:Subnet")}
    for node in before.of("aws:ec2/subnet:Subnet"):
        assert kept[node.key]["cidrBlock"] == node.inputs["cidrBlock"]
        assert kept[node.key]["availabilityZoneId"] == node.inputs["availabilityZoneId"]


def test_role_tags() -> None:
    """Load balancers find their subnets by them."""
    for node in made(zones=2).of("aws:ec2/subnet:Subnet"):
        role = "internal-elb" if "private" in node.name else "elb"
        assert node.inputs["tags"][f"kubernetes.io/role/{role}"] == "1"


def test_s3_goes_around_nat_from_every_private_table() -> None:
    graph = made(zones=3, nat="single")
    (endpoint,) = [node for node in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint") if node.name.endswith("s3")]
    private = {node.id for node in graph.of("aws:ec2/routeTable:RouteTable") if "private" in node.name}
    assert set(endpoint.inputs["routeTableIds"]) == private and len(private) == 3


def test_an_endpoint_that_is_not_known_is_refused() -> None:
    """EC2 answers that the service does not exist, with half of the network made."""
    with pytest.raises(ValueError) as error:
        service_name("us-east-1", "s4")
    assert str(error.value) == f"interface endpoint 's4' is not known; choose from {', '.join(INTERFACE_ENDPOINTS)}"
    assert service_name("eu-west-1", "ecr.api") == "com.amazonaws.eu-west-1.ecr.api"


def test_a_network_that_is_there_is_not_made_again() -> None:
    """Settings that ask for the one that is there would make a second network, and the cluster would stand in it."""
    spec = NetworkSpec(existing=ExistingNetwork(vpc_id="vpc-0123456789abcdef0", subnets={}))
    with pytest.raises(ValueError, match=r"spec\.existing: this component makes a network; use ExistingNetwork"):
        NetworkArgs(region="us-east-1", spec=spec, zones=[], protect=True)


def test_chosen_endpoints_and_flow_logs() -> None:
    graph = made(zones=2, interfaceEndpoints=["ecr.api", "sts"], flowLogs={"retentionDays": 14})
    names = {node.inputs["serviceName"] for node in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint")}
    assert names == {"com.amazonaws.us-east-1.s3", "com.amazonaws.us-east-1.ecr.api", "com.amazonaws.us-east-1.sts"}
    assert len(graph.of("aws:ec2/flowLog:FlowLog")) == 1
    assert any(node.inputs.get("retentionInDays") == 14 for node in graph.of("aws:cloudwatch/logGroup:LogGroup"))
    # A log that starts without its role's policy fails to write, and stays so.
    policy = graph.one("aws:iam/rolePolicy:RolePolicy", "network-flow")
    assert graph.destroyed_before(graph.one("aws:ec2/flowLog:FlowLog"), policy)
    assert not made(zones=2).of("aws:ec2/flowLog:FlowLog")


def test_default_tags_are_on_the_provider() -> None:
    provider = recorded("g6e-dev").one("pulumi:providers:aws")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert tags == {"project": "dynamo-eks", "stack": "g6e-dev", "team": "inference", "purpose": "development"}


# --- a VPC that is there already ---------------------------------------------------------------------------------------


def test_existing_vpc_is_used_and_not_changed() -> None:
    graph = made(existing={"vpcId": "vpc-0123456789abcdef0", "subnets": SUBNETS})
    for type_ in (
        "ec2/vpc:Vpc",
        "ec2/subnet:Subnet",
        "ec2/route:Route",
        "ec2/natGateway:NatGateway",
        "ec2/routeTable:RouteTable",
    ):
        assert graph.of(f"aws:{type_}") == []
    cluster = graph.one("aws:eks/cluster:Cluster")
    assert set(cluster.inputs["vpcConfig"]["subnetIds"]) == {pair["private"] for pair in SUBNETS.values()}
    assert len(graph.of("aws:efs/mountTarget:MountTarget")) == 2
    assert [verdict for verdict in judge(graph) if verdict.verdict == "fail"] == []
    assert any("subnet" in text for text in graph.assumptions)


def test_somebody_elses_vpc_is_looked_up_with_the_stacks_provider() -> None:
    """Asked through the default provider, EC2 looks in the shell's region or account: the VPC is not found, or another is."""
    given = config(existing={"vpcId": "vpc-0123456789abcdef0", "subnets": SUBNETS})
    answers = Answers.for_config("ordinary", given)
    answers.subnets[SUBNETS["use1-az1"]["private"]]["mainTable"] = True
    reads = [read for read in record("ordinary", given, answers=answers).reads if read.token.startswith("aws:")]
    assert {read.token.rsplit(":", 1)[1] for read in reads} >= {
        "getVpc",
        "getSubnet",
        "getRouteTables",
        "getRouteTable",
    }
    assert {read.provider for read in reads} == {"pulumi:providers:aws::aws"}


def test_a_wrong_subnet_stops_everything() -> None:
    """A cluster in subnets without a way out is made, and no node ever joins it."""
    given = config(existing={"vpcId": "vpc-0123456789abcdef0", "subnets": SUBNETS})
    answers = Answers.for_config("ordinary", given)
    answers.subnets[SUBNETS["use1-az1"]["private"]].update({"zoneId": "use1-az6", "freeAddresses": 3})
    with pytest.raises(pulumi.RunError) as caught:
        record("ordinary", given, answers=answers)
    assert "is in use1-az6" in str(caught.value) and "3 free addresses" in str(caught.value)


GOOD = FoundSubnet(
    id="subnet-1",
    vpc_id="vpc-1",
    zone_id="use1-az1",
    free_addresses=100,
    tags={"kubernetes.io/role/internal-elb": "1"},
    default_route="nat-1",
)


def fault(nodes: dict[str, int] | None = None, **changes: Any) -> list[str]:
    other = dataclasses.replace(GOOD, id="subnet-2", zone_id="use1-az2", default_route="tgw-1")
    found = {"subnet-1": dataclasses.replace(GOOD, **changes), "subnet-2": other}
    pairs = {"use1-az1": SubnetPair("subnet-1"), "use1-az2": SubnetPair("subnet-2")}
    return faults("vpc-1", True, pairs, found, nodes or {}, ("internal", "public"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vpc_id": "vpc-2"}, "belongs to vpc-2"),
        ({"zone_id": "use1-az4"}, "is in use1-az4"),
        ({"tags": {}}, "lacks the tag kubernetes.io/role/internal-elb=1"),
        ({"free_addresses": 15}, "has 15 free addresses, and the cluster may take 16"),
        ({"default_route": None}, "has no default route"),
        ({"default_route": "igw-1"}, "routed to an internet gateway"),
    ],
)
def test_each_fault_of_a_subnet(changes: dict[str, Any], words: str) -> None:
    (found,) = fault(**changes)
    assert words in found and "; " in found  # the remedy follows


@pytest.mark.parametrize(
    ("nodes", "free", "wrong"),
    [({}, 16, 0), ({"use1-az1": 1}, 33, 0), ({"use1-az1": 1}, 32, 1), ({"use1-az1": 5}, 100, 1), ({"use1-az2": 5}, 100, 1)],
)  # fmt: skip
def test_subnets_hold_the_nodes_of_pools(nodes: dict[str, int], free: int, wrong: int) -> None:
    """Karpenter launches into a full subnet, again and again, and the graph waits (amazon-vpc-cni #2749 #2846)."""
    assert len(fault(nodes, free_addresses=free)) == wrong


@pytest.mark.parametrize(("balancers", "wrong"), [((), 0), (("public",), 0), (("internal",), 1)])
def test_tags_are_for_load_balancers(balancers: tuple[Literal["internal", "public"], ...], wrong: int) -> None:
    """The subnets of a shared VPC cannot be tagged by those it is shared with, and nobody looks for them without a balancer."""
    pairs = {"use1-az1": SubnetPair("subnet-1"), "use1-az2": SubnetPair("subnet-2")}
    found = {
        "subnet-1": dataclasses.replace(GOOD, tags={}),
        "subnet-2": dataclasses.replace(GOOD, id="subnet-2", zone_id="use1-az2"),
    }
    assert len(faults("vpc-1", True, pairs, found, {}, balancers)) == wrong


NONE = dict.fromkeys(_TARGETS, "") | {"cidr_block": "", "destination_prefix_list_id": ""}


@pytest.mark.parametrize(
    ("routes", "target"),
    [
        ([], None),
        ([{"cidr_block": "10.0.0.0/16", "gateway_id": "local"}], None),
        ([{"cidr_block": "10.0.0.0/8", "transit_gateway_id": "tgw-1"}], None),
        *(([{"cidr_block": "0.0.0.0/0", key: "x-1"}], "x-1") for key in _TARGETS),
        ([{"cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}, {"cidr_block": "10.9.0.0/16", "gateway_id": "igw-1"}], "nat-1"),
        ([{"cidr_block": "0.0.0.0/1", "transit_gateway_id": "tgw-1"}], None),
        ([{"cidr_block": "0.0.0.0/1", "transit_gateway_id": "tgw-1"}, {"cidr_block": "128.0.0.0/1", "transit_gateway_id": "tgw-1"}], "tgw-1"),
        ([{"cidr_block": "0.0.0.0/1", "transit_gateway_id": "tgw-1"}, {"cidr_block": "128.0.0.0/1", "gateway_id": "igw-1"}], "igw-1"),
        ([{"destination_prefix_list_id": "pl-1", "transit_gateway_id": "tgw-1"}], "tgw-1"),
        ([{"destination_prefix_list_id": "pl-s3", "gateway_id": "vpce-1"}], None),
    ],
)  # fmt: skip
def test_way_out(routes: list[dict[str, str]], target: str | None) -> None:
    """A VPC whose way out is a firewall, Cloud WAN or two halves, refused; or one that leads nowhere, taken."""
    assert way_out([SimpleNamespace(**(NONE | route)) for route in routes]) == target


def test_a_good_vpc_has_no_fault() -> None:
    assert fault() == []


def test_dns_must_be_on() -> None:
    """Mount targets are found by name."""
    (found,) = faults("vpc-1", False, {"use1-az1": SubnetPair("subnet-1"), "use1-az2": SubnetPair("subnet-1")},
                      {"subnet-1": GOOD})[:1]  # fmt: skip
    assert "DNS" in found
