"""A VPC for the cluster.

Makes the VPC, a private and a public subnet in each zone, a subnet in each zone of an UltraServer, NAT gateways, route
tables, the S3 gateway endpoint, the interface endpoints asked for, the EFA security group and, when asked for, flow logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from . import cidr as address_plan
from .cidr import ZoneSubnets
from .efa_group import efa_security_group
from .endpoints import service_name
from .spec import Network as NetworkSpec
from .zones import Zone


@dataclass(frozen=True, kw_only=True)
class RackZone:
    """A zone that an UltraServer stands in, usually a Local Zone."""

    zone_id: str
    name: str
    group: str
    """Zone group, for the opt-in."""
    type: str
    """`local-zone`, or `availability-zone`, which needs no opt-in."""
    nat_zone_id: str
    """Zone whose NAT gateway its nodes go out through: NAT gateways are not offered in every Local Zone, and an internet
    gateway there would need public addresses, which nodes with several interfaces cannot have."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What a network needs to know."""

    region: str
    spec: NetworkSpec
    """Address range, NAT, endpoints and flow logs. Its `zones` are a wish; `zones` here are what became of it."""
    zones: Sequence[Zone]
    """Zones with subnets, by zone id. Adding one moves nothing."""
    protect: bool
    """Pulumi refuses to delete or replace the VPC."""
    flow_log_group: str | None = None
    """Name of their log group, unique in account and region: a second creation collides. None leaves it to the provider.
    Changing it makes a new group, and the old one goes with its logs."""
    rack_zones: Sequence[RackZone] = ()
    """Zones of UltraServers, each with a subnet of its own for managed nodes, never for the control plane."""

    def __post_init__(self) -> None:
        if self.spec.existing:
            raise ValueError("spec.existing: this component makes a network; use ExistingNetwork for one that is there")


class Network(pulumi.ComponentResource):
    """VPC with a private and a public subnet in each zone."""

    vpc_id: pulumi.Output[str]
    cidr: pulumi.Output[str]
    zone_names: dict[str, str]
    """Zone name by zone id."""
    plan: dict[str, ZoneSubnets]
    """Subnet ranges by zone id."""
    private_subnet_ids: dict[str, pulumi.Output[str]]
    """Private subnet by zone id."""
    public_subnet_ids: dict[str, pulumi.Output[str]]
    """Public subnet by zone id."""
    rack_subnet_ids: dict[str, pulumi.Output[str]]
    """Subnet of UltraServer nodes by zone id."""
    efa_security_group_id: pulumi.Output[str]
    egress: list[pulumi.Resource]
    """Ways out: what must stand before a node can join, and must stay until the last one has drained."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:Network", name, {"cidr": args.spec.cidr, "nat": args.spec.nat}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.plan = address_plan.plan(args.spec.cidr, [zone.zone_id for zone in args.zones])
        self.zone_names = {zone.zone_id: zone.name for zone in args.zones}
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.spec.cidr,
            # Mount targets, interface endpoints and the private API endpoint are found by name.
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(
                parent=self,
                # EKS cannot move a cluster to another VPC: the engine would make a second network first, and only then be
                # refused, with half of everything in each.
                protect=args.protect,
            ),
        )
        self.vpc_id = vpc.id
        self.cidr = vpc.cidr_block
        gateway = aws.ec2.InternetGateway(f"{name}-igw", vpc_id=vpc.id, tags={"Name": name}, opts=child)
        public_way = self._public(name, vpc, gateway)
        nat = self._nat(name, args, gateway, public_way)
        private_ways, tables = self._private(name, args, vpc, nat)
        rack_ways, rack_tables = self._racks(name, args, vpc, nat)
        tables += rack_tables
        self.egress = [*public_way, *nat.values(), *private_ways, *rack_ways]
        self._endpoints(name, args, vpc, tables)
        self.efa_security_group_id = efa_security_group(name, vpc.id, self).id
        if args.spec.flow_logs:
            self._flow_logs(name, args, args.spec.flow_logs.retention_days, vpc)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "private_subnet_ids": self.private_subnet_ids,
                "public_subnet_ids": self.public_subnet_ids,
                "rack_subnet_ids": self.rack_subnet_ids,
                "efa_security_group_id": self.efa_security_group_id,
            }
        )

    def _subnet(self, name: str, vpc: aws.ec2.Vpc, zone_id: str, cidr: str, role: str) -> aws.ec2.Subnet:
        tag = {"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}[role]
        return aws.ec2.Subnet(
            f"{name}-{role}-{zone_id}",
            vpc_id=vpc.id,
            # The id, not the name: names are dealt differently to every account.
            availability_zone_id=zone_id,
            cidr_block=cidr,
            # NAT gateways bring their own address; nothing else here should have a public one.
            map_public_ip_on_launch=False,
            tags={"Name": f"{name}-{role}-{zone_id}", tag: "1"},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _public(self, name: str, vpc: aws.ec2.Vpc, gateway: aws.ec2.InternetGateway) -> list[pulumi.Resource]:
        child = pulumi.ResourceOptions(parent=self)
        table = aws.ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, tags={"Name": f"{name}-public"}, opts=child)
        way: list[pulumi.Resource] = [
            aws.ec2.Route(
                f"{name}-public-out",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=gateway.id,
                opts=child,
            )
        ]
        self._public_subnets = {
            zone_id: self._subnet(name, vpc, zone_id, subnets.public, "public")
            for zone_id, subnets in self.plan.items()
        }
        self.public_subnet_ids = {zone_id: subnet.id for zone_id, subnet in self._public_subnets.items()}
        for zone_id, subnet in self._public_subnets.items():
            way.append(
                aws.ec2.RouteTableAssociation(
                    f"{name}-public-{zone_id}", subnet_id=subnet.id, route_table_id=table.id, opts=child
                )
            )
        return way

    def _nat(
        self, name: str, args: NetworkArgs, gateway: aws.ec2.InternetGateway, public_way: list[pulumi.Resource]
    ) -> dict[str, aws.ec2.NatGateway]:
        child = pulumi.ResourceOptions(parent=self)
        zone_ids = list(self.plan) if args.spec.nat == "perZone" else list(self.plan)[:1]
        made = {}
        for zone_id in zone_ids:
            address = aws.ec2.Eip(
                f"{name}-nat-{zone_id}",
                domain="vpc",
                tags={"Name": f"{name}-nat-{zone_id}"},
                # An address can only be let go while its internet gateway is still there.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
            )
            made[zone_id] = aws.ec2.NatGateway(
                f"{name}-nat-{zone_id}",
                allocation_id=address.id,
                subnet_id=self.public_subnet_ids[zone_id],
                tags={"Name": f"{name}-nat-{zone_id}"},
                # NAT itself goes out by the public route, which nothing else in its inputs names.
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=public_way)),
            )
        return made

    def _private(
        self, name: str, args: NetworkArgs, vpc: aws.ec2.Vpc, nat: dict[str, aws.ec2.NatGateway]
    ) -> tuple[list[pulumi.Resource], list[aws.ec2.RouteTable]]:
        child = pulumi.ResourceOptions(parent=self)
        ways: list[pulumi.Resource] = []
        tables = []
        self.private_subnet_ids = {}
        for zone_id, subnets in self.plan.items():
            subnet = self._subnet(name, vpc, zone_id, subnets.private, "private")
            self.private_subnet_ids[zone_id] = subnet.id
            label = f"{name}-private-{zone_id}"
            table = aws.ec2.RouteTable(label, vpc_id=vpc.id, tags={"Name": label}, opts=child)
            tables.append(table)
            out = nat.get(zone_id) or next(iter(nat.values()))
            ways.append(
                aws.ec2.Route(
                    f"{label}-out",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=out.id,
                    opts=child,
                )
            )
            ways.append(aws.ec2.RouteTableAssociation(label, subnet_id=subnet.id, route_table_id=table.id, opts=child))
        return ways, tables

    def _racks(
        self, name: str, args: NetworkArgs, vpc: aws.ec2.Vpc, nat: dict[str, aws.ec2.NatGateway]
    ) -> tuple[list[pulumi.Resource], list[aws.ec2.RouteTable]]:
        child = pulumi.ResourceOptions(parent=self)
        ways: list[pulumi.Resource] = []
        tables = []
        self.rack_subnet_ids = {}
        for zone in args.rack_zones:
            opted: list[pulumi.Resource] = []
            if args.spec.local_zones.opt_in and zone.type != "availability-zone":
                opted.append(
                    aws.ec2.AvailabilityZoneGroup(
                        f"{name}-{zone.group}",
                        group_name=zone.group,
                        opt_in_status="opted-in",
                        # It holds for the whole account, and others may rely on it by then; AWS takes a way back only
                        # through support.
                        opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                    )
                )
            label = f"{name}-rack-{zone.zone_id}"
            subnet = aws.ec2.Subnet(
                label,
                vpc_id=vpc.id,
                availability_zone_id=zone.zone_id,
                cidr_block=address_plan.local_zone(args.spec.cidr, address_plan.local_zone_slot(zone.zone_id)),
                map_public_ip_on_launch=False,
                # No load balancer role: the control plane's load balancers stay in the region's own zones.
                tags={"Name": label},
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=opted)),
            )
            self.rack_subnet_ids[zone.zone_id] = subnet.id
            table = aws.ec2.RouteTable(label, vpc_id=vpc.id, tags={"Name": label}, opts=child)
            tables.append(table)
            ways.append(
                aws.ec2.Route(
                    f"{label}-out",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=(nat.get(zone.nat_zone_id) or next(iter(nat.values()))).id,
                    opts=child,
                )
            )
            ways.append(aws.ec2.RouteTableAssociation(label, subnet_id=subnet.id, route_table_id=table.id, opts=child))
        return ways, tables

    def _endpoints(self, name: str, args: NetworkArgs, vpc: aws.ec2.Vpc, tables: list[aws.ec2.RouteTable]) -> None:
        child = pulumi.ResourceOptions(parent=self)
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{args.region}.s3",
            vpc_endpoint_type="Gateway",
            # Every private table: image layers lie in S3, and NAT bills by the gigabyte.
            route_table_ids=[table.id for table in tables],
            tags={"Name": f"{name}-s3"},
            opts=child,
        )
        if not args.spec.interface_endpoints:
            return
        group = aws.ec2.SecurityGroup(
            f"{name}-endpoints",
            vpc_id=vpc.id,
            description="AWS APIs through interface endpoints",
            tags={"Name": f"{name}-endpoints"},
            opts=child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-endpoints-https",
            security_group_id=group.id,
            cidr_ipv4=args.spec.cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            description="HTTPS from the VPC",
            opts=pulumi.ResourceOptions(parent=group),
        )
        for endpoint in args.spec.interface_endpoints:
            aws.ec2.VpcEndpoint(
                f"{name}-{endpoint.replace('.', '-')}",
                vpc_id=vpc.id,
                service_name=service_name(args.region, endpoint),
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=list(self.private_subnet_ids.values()),
                security_group_ids=[group.id],
                tags={"Name": f"{name}-{endpoint}"},
                opts=child,
            )

    def _flow_logs(self, name: str, args: NetworkArgs, retention_days: int, vpc: aws.ec2.Vpc) -> None:
        child = pulumi.ResourceOptions(parent=self)
        group = aws.cloudwatch.LogGroup(
            f"{name}-flow", name=args.flow_log_group, retention_in_days=retention_days, opts=child
        )
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        role = aws.iam.Role(f"{name}-flow", assume_role_policy=json.dumps(trust), opts=child)
        write = aws.iam.RolePolicy(
            f"{name}-flow",
            # Stated, so that a second attempt writes the same one: a policy that nobody knows of keeps its role from going.
            name=f"{name}-flow",
            role=role.name,
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                            "Resource": group.arn.apply(lambda arn: f"{arn}:*"),
                        }
                    ],
                }
            ),
            opts=child,
        )
        aws.ec2.FlowLog(
            f"{name}-flow",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags={"Name": f"{name}-flow"},
            # The log would start, fail to write and stay in that state if its role had no policy yet.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[write]),
        )
