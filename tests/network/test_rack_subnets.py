"""Subnets of UltraServers: apart from all others, with a way out, never the control plane's; and those of an existing VPC."""

from __future__ import annotations

import copy
import dataclasses
import ipaddress
from dataclasses import dataclass
from functools import cache
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.network import cidr as address_plan
from components.network.cidr import NODE_ADDRESSES, local_zone, local_zone_slot, plan, room
from components.network.existing import FoundSubnet, rack_faults
from components.network.rack_zones import closed_zones, nat_zone
from recording.answers import Answers
from recording.graph import Graph
from recording.recorder import record
from rules import judge
from stacks import stackfile
from stacks.settings import Settings, SettingsError
from tests.conftest import AT, recorded

SUBNET = "aws:ec2/subnet:Subnet"
RACKS = ("gb200-prod", "gb200-pair")
LOCAL = "use1-dfw2-az1"

ranges = st.builds(
    lambda second, third, prefix: str(ipaddress.ip_network(f"10.{second}.{third}.0/{prefix}", strict=False)),
    st.integers(0, 255), st.integers(0, 255), st.integers(16, 20),
)  # fmt: skip
rack_zones = st.from_regex(r"[a-z]{3,4}[1-9]-[a-z]{3}[1-9]-az[1-4]", fullmatch=True) | st.sampled_from(
    [f"use1-az{number}" for number in range(1, 7)]
)
zone_sets = st.sets(st.sampled_from([f"use1-az{number}" for number in range(1, 7)]), min_size=1)


def config(stack: str = "gb200-prod", **network: Any) -> dict[str, Any]:
    values = copy.deepcopy(dict(stackfile.read(stack).config))
    values["dynamo-eks:network"] = {**values["dynamo-eks:network"], **network}
    return values


# --- the address plan --------------------------------------------------------------------------------------------------


@given(ranges, zone_sets, rack_zones)
def test_a_rack_subnet_is_apart(cidr: str, zones: set[str], zone: str) -> None:
    """EC2 refuses an overlapping subnet halfway through `up`, with the block's clock running."""
    rack = ipaddress.IPv4Network(local_zone(cidr, local_zone_slot(zone)))
    assert rack.subnet_of(ipaddress.IPv4Network(cidr))
    for pair in plan(cidr, sorted(zones)).values():
        assert not rack.overlaps(ipaddress.IPv4Network(pair.private))
        assert not rack.overlaps(ipaddress.IPv4Network(pair.public))


@given(ranges, rack_zones, rack_zones)
def test_zones_share_a_place_or_are_apart(cidr: str, one: str, other: str) -> None:
    """Two zones in one place are refused by the settings; any others never overlap."""
    first, second = (ipaddress.IPv4Network(local_zone(cidr, local_zone_slot(zone))) for zone in (one, other))
    assert first.overlaps(second) == (local_zone_slot(one) == local_zone_slot(other))


@given(rack_zones)
def test_a_zones_place_is_its_own(zone: str) -> None:
    """It follows from the id alone: with a counter a second rack could move the first one's subnet, and its nodes with it."""
    assert local_zone_slot(zone) == local_zone_slot(zone) and 0 <= local_zone_slot(zone) < address_plan.LOCAL_ZONE_SLOTS


def test_the_place_of_dallas_stays() -> None:
    """Another hash would replace the subnet of every rack that runs."""
    assert local_zone_slot(LOCAL) == 4
    assert local_zone("10.96.0.0/16", local_zone_slot(LOCAL)) == "10.96.240.0/22"


@given(ranges)
def test_room_is_counted_in_whole_nodes(cidr: str) -> None:
    """A paid node without an address never joins: EC2 keeps five, the CNI takes up to 25 a node."""
    subnet = local_zone(cidr, 0)
    there = ipaddress.IPv4Network(subnet).num_addresses - 5
    assert room(subnet) * NODE_ADDRESSES <= there < (room(subnet) + 1) * NODE_ADDRESSES


@pytest.mark.parametrize(("prefix", "nodes"), [(16, 40), (17, 20), (18, 10), (19, 4), (20, 2)])
def test_how_many_nodes_a_vpc_has_room_for(prefix: int, nodes: int) -> None:
    """Two full racks in a /16; a /18 holds one of nine."""
    assert room(local_zone(f"10.0.0.0/{prefix}", 0)) == nodes


@pytest.mark.parametrize(("stack", "cidr"), [("gb200-prod", "10.96.0.0/18"), ("gb200-pair", "10.112.0.0/18")])
def test_a_range_that_is_too_small_is_refused(stack: str, cidr: str) -> None:
    """Found in the fault of a node that waits for an address, it costs the first hours of the block."""
    with pytest.raises(SettingsError) as caught:
        Settings.parse(stack, config(stack, cidr=cidr), at=AT)
    (fault,) = caught.value.faults
    assert fault.key == "network.cidr" and "18 UltraServer nodes" in fault.expected


def test_two_zones_in_one_place_are_refused() -> None:
    """Their subnets would be the same range, and EC2 refuses the second."""
    other = next(
        zone
        for zone in (f"use1-{city}{number}-az1" for city in ("atl", "bos", "chi", "mia") for number in range(1, 9))
        if local_zone_slot(zone) == local_zone_slot(LOCAL)
    )
    values = config("gb200-pair")
    values["dynamo-eks:capacity"]["ultraServers"]["rack-b"]["zone"] = other
    with pytest.raises(SettingsError, match="place in the address plan") as caught:
        Settings.parse("gb200-pair", values, at=AT)
    assert LOCAL in str(caught.value) and other in str(caught.value)


# --- what is registered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", RACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_the_racks_subnet_is_the_nodes_alone(stack: str, preview: bool) -> None:
    """EKS refuses a cluster with a Local Zone subnet; EFS and interface endpoints are not offered there."""
    graph = recorded(stack, preview)
    (rack,) = [node for node in graph.of(SUBNET) if "rack" in node.name]
    assert rack.inputs["availabilityZoneId"] == LOCAL and not rack.inputs["mapPublicIpOnLaunch"]
    assert not any("role/" in key for key in rack.inputs["tags"])
    users = {
        node.type for node in graph
        if rack.key in node.depends_on and not node.type.startswith(("aws:ec2/routeTable", "dynamo-eks"))
    }  # fmt: skip
    assert users == {"aws:eks/nodeGroup:NodeGroup"}


@pytest.mark.parametrize("stack", RACKS)
def test_never_in_the_clusters_own_subnets(stack: str) -> None:
    """EKS answers UnsupportedAvailabilityZoneException, after the network stands."""
    graph = recorded(stack)
    (rack,) = [node for node in graph.of(SUBNET) if "rack" in node.name]
    private = {node.id for node in graph.of(SUBNET) if "private" in node.name}
    cluster = graph.one("aws:eks/cluster:Cluster").inputs["vpcConfig"]["subnetIds"]
    assert set(cluster) == private and rack.id not in cluster
    for type_ in ("aws:efs/mountTarget:MountTarget", "aws:ec2/vpcEndpoint:VpcEndpoint"):
        for node in graph.of(type_):
            assert rack.id not in [node.inputs.get("subnetId"), *(node.inputs.get("subnetIds") or ())], node.name
    for node in graph.of("aws:eks/nodeGroup:NodeGroup"):
        assert node.inputs["subnetIds"] == [rack.id]


@pytest.mark.parametrize(("stack", "nat"), [("gb200-prod", "use1-az4"), ("gb200-pair", "use1-az1")])
def test_out_through_the_parents_gateway(stack: str, nat: str) -> None:
    """Not every Local Zone has NAT gateways, and without egress no node joins: the block is billed and empty."""
    graph = recorded(stack)
    table = next(node for node in graph.of("aws:ec2/routeTable:RouteTable") if "rack" in node.name)
    (route,) = [node for node in graph.of("aws:ec2/route:Route") if node.inputs["routeTableId"] == table.id]
    gateway = next(node for node in graph.of("aws:ec2/natGateway:NatGateway") if node.name.endswith(nat))
    assert route.inputs["natGatewayId"] == gateway.id and route.inputs["destinationCidrBlock"] == "0.0.0.0/0"
    (tied,) = [
        node for node in graph.of("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if node.inputs["routeTableId"] == table.id
    ]  # fmt: skip
    assert tied.inputs["subnetId"] == next(node.id for node in graph.of(SUBNET) if "rack" in node.name)
    (s3,) = [node for node in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint") if node.name.endswith("s3")]
    assert table.id in s3.inputs["routeTableIds"], "eighteen nodes would pull their images through NAT"


@pytest.mark.parametrize("stack", RACKS)
def test_the_opt_in_stays(stack: str) -> None:
    """It holds for the whole account: a destroy that took it back would take the zone from every other stack."""
    graph = recorded(stack)
    (group,) = graph.of("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
    assert group.inputs == {"groupName": "us-east-1-dfw-2", "optInStatus": "opted-in"}
    assert group.retain_on_delete and group not in graph.destruction
    (rack,) = [node for node in graph.of(SUBNET) if "rack" in node.name]
    assert graph.destroyed_before(rack, group), "a subnet in a zone that is not open yet cannot be made"


# --- opt-in and NAT as decisions ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Zone:
    zone_id: str = LOCAL
    group: str = "us-east-1-dfw-2"
    type: str = "local-zone"
    parent_zone_id: str | None = "use1-az1"
    opted_in: bool = False


@given(zone_sets.map(sorted), st.sampled_from([None, *(f"use1-az{number}" for number in range(1, 7))]))
def test_nat_is_in_a_zone_of_the_network(zones: list[str], parent: str | None) -> None:
    """The parent's where the network has it, or one that is there; a stated one is checked by the settings."""
    chosen = nat_zone(None, Zone(parent_zone_id=parent), zones)
    assert chosen in zones and (chosen == parent or parent not in zones)
    assert nat_zone("use1-az9", Zone(parent_zone_id=parent), zones) == "use1-az9"


@given(st.booleans(), st.booleans(), st.sampled_from(["local-zone", "availability-zone"]))
def test_a_closed_zone_stops_the_program(opted_in: bool, opt_in: bool, type_: str) -> None:
    """EC2 answers that the zone is invalid, which sends people looking for a typing error."""
    told = closed_zones([Zone(opted_in=opted_in, type=type_)], opt_in)
    assert (told is not None) == (not opted_in and not opt_in and type_ == "local-zone")
    if told:
        assert f"us-east-1-dfw-2 (with {LOCAL})" in told and "localZones.optIn: true" in told


def test_every_closed_zone_is_named() -> None:
    """One at a time, each costs a round of opting in, waiting and running again."""
    other = Zone("use1-atl2-az1", "us-east-1-atl-2")
    assert closed_zones([Zone(), Zone("use1-az1", opted_in=True), other], False) == (
        "the account has not opted in to the zone group us-east-1-dfw-2 (with use1-dfw2-az1), us-east-1-atl-2 (with "
        "use1-atl2-az1), where its UltraServers stand; set dynamo-eks:network.localZones.optIn: true, or opt in by hand"
    )


def test_a_closed_zone_registers_nothing() -> None:
    values = config("gb200-prod")
    values["dynamo-eks:network"].pop("localZones")
    answers = Answers.for_config("gb200-prod", values)
    answers.opted_in = False
    with pytest.raises(pulumi.RunError, match="has not opted in to the zone group us-east-1-dfw-2"):
        record("gb200-prod", values, answers=answers, at=AT)


@cache
def two_zones(preview: bool) -> Graph:
    """Racks in two Local Zones that the account uses already."""
    values = config("gb200-pair", localZones={})
    values["dynamo-eks:capacity"]["ultraServers"]["rack-b"]["zone"] = "use1-atl2-az1"
    return record("gb200-pair", values, at=AT, preview=preview)


@pytest.mark.parametrize("preview", [False, True])
def test_racks_in_two_zones(preview: bool) -> None:
    """Each rack in the subnet of its own zone; what is open already is not opened again."""
    graph = two_zones(preview)
    assert not graph.of("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
    made = {node.inputs["availabilityZoneId"]: node for node in graph.of(SUBNET) if "rack" in node.name}
    assert set(made) == {LOCAL, "use1-atl2-az1"}
    by_group = {node.name[6:12]: node for node in graph.of("aws:eks/nodeGroup:NodeGroup")}
    for name, zone in (("rack-a", LOCAL), ("rack-b", "use1-atl2-az1")):
        others = {node.key for other, node in made.items() if other != zone}
        assert made[zone].key in by_group[name].depends_on and not others & set(by_group[name].depends_on)
    assert [item for item in judge(graph) if item.verdict == "fail"] == []


# --- a VPC that is there already ---------------------------------------------------------------------------------------

OWN = {
    f"use1-az{n}": {"private": f"subnet-0123456789abcd{n}{n}1", "public": f"subnet-0123456789abcd{n}{n}2"}
    for n in (1, 2)
}
RACK_SUBNET = "subnet-0123456789abcd991"


def existing(**changes: Any) -> dict[str, Any]:
    values = config("gb200-prod")
    given = {"vpcId": "vpc-0123456789abcdef0", "subnets": OWN, "ultraServerSubnets": {LOCAL: RACK_SUBNET}, **changes}
    values["dynamo-eks:network"] = {"existing": {key: value for key, value in given.items() if value is not None}}
    return values


def test_a_subnet_that_is_there_is_used() -> None:
    """Nothing is made in somebody else's VPC but the security group that EFA needs."""
    graph = record("gb200-prod", existing(), at=AT)
    assert not graph.of(SUBNET) and not graph.of("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
    (node,) = graph.of("aws:eks/nodeGroup:NodeGroup")
    assert node.inputs["subnetIds"] == [RACK_SUBNET]
    assert RACK_SUBNET not in graph.one("aws:eks/cluster:Cluster").inputs["vpcConfig"]["subnetIds"]
    assert [item for item in judge(graph) if item.verdict == "fail"] == []


def test_a_zone_without_a_subnet_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.parse("gb200-prod", existing(ultraServerSubnets=None), at=AT)
    (fault,) = caught.value.faults
    assert fault.key.startswith("network.existing.ultraServerSubnets") and not fault.present
    assert LOCAL in str(caught.value) and "rack-a" in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"zoneId": "use1-az1"}, f"{RACK_SUBNET} (UltraServers, {LOCAL}): is in use1-az1"),
        ({"vpcId": "vpc-0ffffffffffffffff"}, "belongs to vpc-0ffffffffffffffff"),
        ({"freeAddresses": 449}, "has 449 free addresses, and 18 nodes may take 450; name a larger one"),
        ({"defaultRoute": None}, "has no way out that a node without a public address can use"),
        ({"defaultRoute": "igw-0123456789abcdef0"}, "route it to a NAT gateway"),
    ],
)
def test_a_bad_subnet_stops_everything(facts: dict[str, Any], words: str) -> None:
    """Found when eighteen nodes fail to join, it costs the first hour of the block."""
    values = existing()
    answers = Answers.for_config("gb200-prod", values)
    answers.subnets[RACK_SUBNET].update(facts)
    with pytest.raises(pulumi.RunError) as caught:
        record("gb200-prod", values, answers=answers, at=AT)
    assert words in str(caught.value)


GOOD = FoundSubnet(id=RACK_SUBNET, vpc_id="vpc-1", zone_id=LOCAL, free_addresses=450, default_route="nat-1")


@given(st.integers(0, 2000), st.integers(1, 36), st.sampled_from(["nat-1", "tgw-1", "igw-1", None]))
def test_room_and_way_out_are_each_told(free: int, nodes: int, route: str | None) -> None:
    found = dataclasses.replace(GOOD, free_addresses=free, default_route=route)
    wrong = rack_faults("vpc-1", {LOCAL: RACK_SUBNET}, {LOCAL: nodes}, {RACK_SUBNET: found})
    assert len(wrong) == (free < nodes * NODE_ADDRESSES) + (route in (None, "igw-1"))
    assert all("; " in item for item in wrong), "the remedy follows"
