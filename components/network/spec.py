"""Settings of the network."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ..spec import Cidr, Model, ZoneId, ipv4_range


def _vpc_cidr(value: str) -> str:
    network = ipaddress.ip_network(ipv4_range(value))
    if not 16 <= network.prefixlen <= 20:
        raise ValueError("a range between /16 and /20, so that every zone gets room for nodes and pods")
    if not any(network.subnet_of(ipaddress.ip_network(private)) for private in _PRIVATE):  # type: ignore[arg-type]
        raise ValueError("a private range inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10")
    return value


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
VpcCidr = Annotated[str, AfterValidator(_vpc_cidr)]


class FlowLogs(Model):
    retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 30
    """Days that CloudWatch keeps the VPC's flow logs."""


class ExistingSubnets(Model):
    private: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
    """Subnet for nodes and pods; its route table must reach the internet through something that is not an internet gateway."""
    public: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")] | None = None
    """Subnet for public load balancers; needed only when a graph is exposed publicly."""


class LocalZones(Model):
    """How subnets in the zones of UltraServers are reached. Those zones follow from `capacity.ultraServers`."""

    opt_in: bool = False
    """Opt the account in to the zone group of each UltraServer's Local Zone. It holds for the whole account, so it stays after destroy; without it the zone must be opted in already."""
    nat_zone: ZoneId | None = None
    """Zone whose NAT gateway they go out through; by default the Local Zone's parent, or the first zone with one."""


class ExistingNetwork(Model):
    vpc_id: Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]{8,17}$")]
    """VPC to use. It is read and checked, never changed, except for one security group made in it."""
    subnets: dict[ZoneId, ExistingSubnets]
    """Subnets by zone id, at least two zones. Read and checked: zone, free addresses, role tags, routes."""
    ultra_server_subnets: dict[ZoneId, Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]] = Field(
        default_factory=dict
    )
    """Subnet of the nodes of UltraServers by zone id. Read and checked as the private ones are; never given to the control plane."""


class Network(Model):
    """The VPC, or the one that is there already."""

    cidr: VpcCidr = "10.64.0.0/16"
    """Address range of the VPC, /16 to /20. Changing it replaces the VPC and everything in it, which `cluster.protect` refuses; a cluster cannot move to another VPC."""
    zones: Annotated[int, Field(ge=2, le=6)] | tuple[ZoneId, ...] = 3
    """How many Availability Zones, or their zone ids (`use1-az1`). EKS refuses other zones than those that a cluster was made with, so choose them before the first `make up`."""
    nat: Literal["single", "perZone"] = "perZone"
    """One NAT gateway in all (cheaper; its zone's outage takes egress from every zone) or one in each zone."""
    interface_endpoints: tuple[str, ...] = ()
    """AWS services reached without NAT, such as `ecr.api`; each costs by the hour and zone."""
    avoid: tuple[Cidr, ...] = ()
    """Ranges of the networks this VPC is or will be connected to (peering, transit gateway, VPN); an overlap is refused."""
    flow_logs: FlowLogs | None = None
    """Record the VPC's accepted and rejected connections in CloudWatch."""
    local_zones: LocalZones = Field(default_factory=LocalZones)
    existing: ExistingNetwork | None = None
    """Use a VPC that is there already; then `cidr`, `zones`, `nat`, `interfaceEndpoints` and `flowLogs` must be absent."""
