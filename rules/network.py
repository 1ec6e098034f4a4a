"""Rules about the VPC."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from components.network.zones import UNSUPPORTED_ZONE_IDS
from recording.graph import Graph
from rules.model import Finding, Looked, rule

SUBNET = "aws:ec2/subnet:Subnet"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


@rule(
    "subnets-disjoint",
    "Subnets do not overlap.",
    "EC2 refuses an overlapping subnet halfway through `up`.",
    of="program",
)
def subnets_disjoint(graph: Graph) -> Iterator[Finding | Looked]:
    seen: list[tuple[str, ipaddress.IPv4Network]] = []
    for node in graph.of(SUBNET):
        yield Looked(node.name)
        cidr = ipaddress.IPv4Network(node.inputs["cidrBlock"])
        for other, taken in seen:
            if cidr.overlaps(taken):
                yield Finding(node.name, f"{cidr} overlaps {taken} of {other}; give each subnet a range of its own")
        seen.append((node.name, cidr))


@rule(
    "zones-supported",
    "Subnets are in zones that can hold an EKS control plane.",
    "EKS refuses the cluster with UnsupportedAvailabilityZoneException (EKS User Guide, networking requirements).",
    of="program",
)
def zones_supported(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of(SUBNET):
        yield Looked(node.name)
        zone = node.inputs.get("availabilityZoneId")
        if zone in UNSUPPORTED_ZONE_IDS:
            yield Finding(node.name, f"{zone} cannot hold a control plane; choose another zone id")


@rule(
    "s3-endpoint-everywhere",
    "Every private route table reaches S3 through the gateway endpoint.",
    "Image layers and weights would go through NAT, billed by the gigabyte, from the one table left out.",
    of="program",
)
def s3_endpoint_everywhere(graph: Graph) -> Iterator[Finding | Looked]:
    endpoints = [
        node
        for node in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint")
        if node.inputs.get("vpcEndpointType", "Gateway") == "Gateway"
    ]
    through_nat = {
        node.inputs.get("routeTableId") for node in graph.of("aws:ec2/route:Route") if node.inputs.get("natGatewayId")
    }
    attached = {table for node in endpoints for table in node.inputs.get("routeTableIds") or ()}
    for table in graph.of("aws:ec2/routeTable:RouteTable"):
        if table.id in through_nat and not graph.preview:
            yield Looked(table.name)
            if table.id not in attached:
                yield Finding(table.name, "has a route to NAT and none to the S3 gateway endpoint; attach it")


@rule(
    "efa-group",
    "A security group lets all traffic pass between its own members, both ways.",
    "EFA is dropped without a word when the group names no rule to and from itself (EC2 User Guide, EFA).",
    of="program",
)
def efa_group(graph: Graph) -> Iterator[Finding | Looked]:
    if graph.preview:
        return
    groups = [node for node in graph.of("aws:ec2/securityGroup:SecurityGroup") if "efa" in node.name]
    for group in groups:
        yield Looked(group.name)
        for type_, way in ((INGRESS, "from"), (EGRESS, "to")):
            own = [
                node
                for node in graph.of(type_)
                if node.inputs.get("securityGroupId") == group.id
                and node.inputs.get("referencedSecurityGroupId") == group.id
                and node.inputs.get("ipProtocol") == "-1"
            ]
            if not own:
                yield Finding(group.name, f"has no rule for all traffic {way} itself; EFA needs both directions")


@rule(
    "private-egress",
    "Every private route table has a way out.",
    "With no egress no Auto Mode node joins (aws/containers-roadmap #2557).",
    of="program",
)
def private_egress(graph: Graph) -> Iterator[Finding | Looked]:
    if graph.preview:
        return
    routed = {
        node.inputs.get("routeTableId")
        for node in graph.of("aws:ec2/route:Route")
        if node.inputs.get("destinationCidrBlock") == "0.0.0.0/0"
    }
    for table in graph.of("aws:ec2/routeTable:RouteTable"):
        yield Looked(table.name)
        if table.id not in routed:
            yield Finding(table.name, "has no default route; nodes behind it cannot pull images or join the cluster")
