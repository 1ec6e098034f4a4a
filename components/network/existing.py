"""A VPC that is there already: read, checked, and given the one security group that EFA needs."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from .cidr import NODE_ADDRESSES, pool_addresses
from .efa_group import efa_security_group
from .zones import UNSUPPORTED_ZONE_IDS

INTERNAL_ROLE, PUBLIC_ROLE = "kubernetes.io/role/internal-elb", "kubernetes.io/role/elb"
"""Tags by which load balancers find their subnets."""

Scheme = Literal["internal", "public"]
"""Of a load balancer: reachable from the VPC and what is connected to it, or from the internet."""


@dataclass(frozen=True, slots=True)
class SubnetPair:
    """Subnets of one zone."""

    private: str
    public: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExistingNetworkArgs:
    vpc_id: str
    """Changing it replaces the cluster and everything in it."""
    subnets: Mapping[str, SubnetPair]
    """Subnets by zone id."""
    pool_nodes: Mapping[str, int] = field(default_factory=dict)
    """Nodes of pools that each zone's private subnet must have room for."""
    balancers: Collection[Scheme] = ()
    """Load balancers that will look for their subnets by tag."""
    rack_subnets: Mapping[str, str] = field(default_factory=dict)
    """Subnet of UltraServer nodes by zone id."""
    rack_nodes: Mapping[str, int] = field(default_factory=dict)
    """Nodes that each of those subnets must have room for."""
    provider: aws.Provider
    """Provider that reads: what it says decides whether the program goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSubnet:
    """What EC2 says of a subnet."""

    id: str
    vpc_id: str
    zone_id: str
    free_addresses: int
    tags: Mapping[str, str] = field(default_factory=dict)
    default_route: str | None = None
    """Id of what its way to the internet leads to (`nat-…`, `igw-…`, `tgw-…`, `vpce-…`); None without one."""


def faults(
    vpc_id: str,
    dns: bool,
    pairs: Mapping[str, SubnetPair],
    found: Mapping[str, FoundSubnet],
    pool_nodes: Mapping[str, int] = MappingProxyType({}),
    balancers: Collection[Scheme] = (),
) -> list[str]:
    """Everything that would keep a cluster from working in these subnets, each as a sentence with its remedy."""
    wrong = []
    if not dns:
        wrong.append(
            f"{vpc_id}: DNS support or DNS hostnames are off; switch both on, or mount targets are not found by name"
        )
    if len(pairs) < 2:
        wrong.append(f"{vpc_id}: subnets in {len(pairs)} zone; name at least two zones")
    for zone_id, pair in pairs.items():
        if zone_id in UNSUPPORTED_ZONE_IDS:
            wrong.append(f"{zone_id}: EKS puts no control plane there; choose another zone")
        for role, subnet_id in (("private", pair.private), ("public", pair.public)):
            if subnet_id is None:
                continue
            subnet = found[subnet_id]
            where = f"{subnet_id} ({role}, {zone_id})"
            if subnet.vpc_id != vpc_id:
                wrong.append(f"{where}: belongs to {subnet.vpc_id}, not to {vpc_id}; name a subnet of that VPC")
            if subnet.zone_id != zone_id:
                wrong.append(f"{where}: is in {subnet.zone_id}; put it under that zone, or name another subnet")
            scheme, tag = ("internal", INTERNAL_ROLE) if role == "private" else ("public", PUBLIC_ROLE)
            # The account that a VPC is shared with cannot tag its subnets, and need not without a load balancer.
            if scheme in balancers and subnet.tags.get(tag) != "1":
                wrong.append(f"{where}: lacks the tag {tag}=1, by which load balancers find it; add the tag")
            if role == "public":
                if not (subnet.default_route or "").startswith("igw-"):
                    wrong.append(
                        f"{where}: has no default route to an internet gateway; add it, or leave the public subnet out"
                    )
                continue
            nodes = pool_nodes.get(zone_id, 0)
            if subnet.free_addresses < pool_addresses(nodes):
                what = f"the cluster and {nodes} nodes of its pools" if nodes else "the cluster"
                wrong.append(
                    f"{where}: has {subnet.free_addresses} free addresses, and {what} may take {pool_addresses(nodes)}; name a larger one"
                )
            if subnet.default_route is None:
                wrong.append(
                    f"{where}: has no default route, and no node behind it could join; route it to a NAT gateway"
                )
            elif subnet.default_route.startswith("igw-"):
                wrong.append(
                    f"{where}: is routed to an internet gateway, which nodes without public addresses cannot use; route it to a NAT gateway"
                )
    return wrong


def rack_faults(
    vpc_id: str, subnets: Mapping[str, str], nodes: Mapping[str, int], found: Mapping[str, FoundSubnet]
) -> list[str]:
    """What would keep UltraServer nodes from joining out of these subnets, each as a sentence with its remedy."""
    wrong = []
    for zone_id, subnet_id in subnets.items():
        subnet = found[subnet_id]
        where = f"{subnet_id} (UltraServers, {zone_id})"
        if subnet.vpc_id != vpc_id:
            wrong.append(f"{where}: belongs to {subnet.vpc_id}, not to {vpc_id}; name a subnet of that VPC")
        if subnet.zone_id != zone_id:
            wrong.append(f"{where}: is in {subnet.zone_id}; put it under that zone, or name another subnet")
        needed = nodes.get(zone_id, 0) * NODE_ADDRESSES
        if subnet.free_addresses < needed:
            wrong.append(
                f"{where}: has {subnet.free_addresses} free addresses, and {nodes[zone_id]} nodes may take {needed}; "
                "name a larger one"
            )
        if subnet.default_route is None or subnet.default_route.startswith("igw-"):
            wrong.append(
                f"{where}: has no way out that a node without a public address can use; route it to a NAT gateway"
            )
    return wrong


_TARGETS = (
    "nat_gateway_id", "gateway_id", "transit_gateway_id", "vpc_endpoint_id", "core_network_arn", "local_gateway_id", "carrier_gateway_id",
    "network_interface_id", "instance_id", "vpc_peering_connection_id", "odb_network_arn",
)  # fmt: skip
"""What a route can lead to (EC2 API, Route): a firewall's endpoint, Cloud WAN and an Outpost's gateway among them (dstack #1881,
cloudbreak #10149)."""


def way_out(routes: Sequence[Any]) -> str | None:
    """What routes to the whole internet lead to: one route, or several that cover it together, as two halves do, or one of a prefix
    list, of which only EC2 knows what is in it. An internet gateway comes first where it is one of them. None without a way out."""
    ranges: dict[ipaddress.IPv4Network, str] = {}
    lists = []
    for route in routes:
        target = next((found for key in _TARGETS if (found := getattr(route, key, None))), None)
        if not target or target == "local":
            continue
        if route.cidr_block:
            ranges[ipaddress.IPv4Network(route.cidr_block)] = target
        elif route.destination_prefix_list_id and not target.startswith("vpce-"):
            # A gateway endpoint's list is S3's or DynamoDB's addresses.
            lists.append(target)
    whole = list(ipaddress.collapse_addresses(ranges)) == [ipaddress.IPv4Network("0.0.0.0/0")]
    if ipaddress.IPv4Network("0.0.0.0/0") in ranges:
        targets = [ranges[ipaddress.IPv4Network("0.0.0.0/0")]]
    else:
        targets = list(ranges.values()) if whole else lists
    return next((target for target in targets if target.startswith("igw-")), targets[0] if targets else None)


def _default_route(subnet_id: str, vpc_id: str, options: pulumi.InvokeOptions) -> str | None:
    """What a subnet's way out leads to. A subnet without a table of its own uses the VPC's main one."""
    filters = [aws.ec2.GetRouteTablesFilterArgs(name="association.subnet-id", values=[subnet_id])]
    own = aws.ec2.get_route_tables(vpc_id=vpc_id, filters=filters, opts=options).ids
    if not own:
        filters = [aws.ec2.GetRouteTablesFilterArgs(name="association.main", values=["true"])]
        own = aws.ec2.get_route_tables(vpc_id=vpc_id, filters=filters, opts=options).ids
    return way_out(aws.ec2.get_route_table(route_table_id=own[0], opts=options).routes) if own else None


class ExistingNetwork(pulumi.ComponentResource):
    """A VPC made by others. Raises `pulumi.RunError` with every fault of it before anything else registers."""

    vpc_id: str
    zone_names: dict[str, str]
    private_subnet_ids: dict[str, str]
    public_subnet_ids: dict[str, str]
    rack_subnet_ids: dict[str, str]
    efa_security_group_id: pulumi.Output[str]
    egress: list[pulumi.Resource]
    """Empty: the ways out belong to whoever made the VPC."""

    def __init__(
        self,
        name: str,
        args: ExistingNetworkArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dynamo-eks:index:ExistingNetwork", name, {"vpcId": args.vpc_id}, opts)
        # Plain reads: their answers decide whether the program goes on, and shape the graph (zone names).
        options = pulumi.InvokeOptions(provider=args.provider)
        vpc = aws.ec2.get_vpc(id=args.vpc_id, opts=options)
        self.zone_names = {}
        found = {}
        named = {zone_id: [pair.private, pair.public] for zone_id, pair in args.subnets.items()}
        for zone_id, subnet_id in args.rack_subnets.items():
            named.setdefault(zone_id, []).append(subnet_id)
        for zone_id, ids in named.items():
            for subnet_id in filter(None, ids):
                subnet = aws.ec2.get_subnet(id=subnet_id, opts=options)
                found[subnet_id] = FoundSubnet(
                    id=subnet_id,
                    vpc_id=subnet.vpc_id,
                    zone_id=subnet.availability_zone_id,
                    free_addresses=subnet.available_ip_address_count,
                    tags=subnet.tags,
                    default_route=_default_route(subnet_id, args.vpc_id, options),
                )
                self.zone_names[zone_id] = subnet.availability_zone
        wrong = faults(
            args.vpc_id,
            vpc.enable_dns_support and vpc.enable_dns_hostnames,
            args.subnets,
            found,
            args.pool_nodes,
            args.balancers,
        )
        wrong += rack_faults(args.vpc_id, args.rack_subnets, args.rack_nodes, found)
        if wrong:
            raise pulumi.RunError("dynamo-eks:network.existing cannot be used:\n  " + "\n  ".join(wrong))
        self.vpc_id = args.vpc_id
        self.private_subnet_ids = {zone_id: pair.private for zone_id, pair in args.subnets.items()}
        self.public_subnet_ids = {zone_id: pair.public for zone_id, pair in args.subnets.items() if pair.public}
        self.rack_subnet_ids = dict(args.rack_subnets)
        self.efa_security_group_id = efa_security_group(name, args.vpc_id, self).id
        self.egress = []
        self.register_outputs({"efa_security_group_id": self.efa_security_group_id})
