"""The network: its own or one that is there, and its zones."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from components import sizing
from components.capacity import instances
from components.network import cidr, endpoints
from components.network.zones import REGION_ZONES, UNSUPPORTED_ZONE_IDS
from stacks.checks.draft import Draft
from stacks.faults import Fault, one_of

SERVICE_RANGES = ("172.20.0.0/16", "10.100.0.0/16")
"""EKS takes the first of these that the VPC does not overlap as the range of Services (EKS User Guide, CreateCluster)."""


def networks(draft: Draft) -> Iterator[Fault]:
    network, given = draft.network, draft.given["network"]
    if network is None or draft.existing_cluster:
        return
    if network.existing:
        for key in sorted(set(given) - {"existing"}):
            yield Fault(
                "key-beside-existing-network",
                f"network.{key}",
                "no such key together with network.existing, which is used as it is",
                given[key],
            )
        if len(network.existing.subnets) < 2:
            yield Fault(
                "existing-subnets-one-zone",
                "network.existing.subnets",
                "at least two zones, since EKS wants the control plane in two",
                sorted(network.existing.subnets),
            )
        zone_lists = {"network.existing.subnets": tuple(network.existing.subnets)}
    else:
        zone_lists = {"network.zones": network.zones} if isinstance(network.zones, tuple) else {}
        if isinstance(network.zones, int) and draft.region in REGION_ZONES:
            usable = draft.zone_ids or frozenset()
            if len(usable) < network.zones:
                yield Fault(
                    "zones-beyond-region",
                    "network.zones",
                    f"at most {len(usable)}: {draft.region} has no more zones that EKS supports ({', '.join(sorted(usable))})",
                    network.zones,
                )
    for key, zones in zone_lists.items():
        if key == "network.zones" and len(zones) < 2:
            yield Fault(
                "zones-too-few", key, "at least two zones, since EKS wants the control plane in two", list(zones)
            )
        for zone in sorted({zone for zone in zones if list(zones).count(zone) > 1}):
            yield Fault("zone-twice", key, f"each zone once; {zone} is there twice", list(zones))
        for zone in zones:
            yield from _zone(draft, key, zone)
    own = ipaddress.ip_network(network.cidr)
    for position, item in enumerate(network.avoid):
        if own.overlaps(ipaddress.ip_network(item)):
            yield Fault(
                "network-ranges-overlap",
                f"network.avoid[{position}]",
                f"a range apart from network.cidr ({network.cidr}); two connected networks must not overlap",
                item,
                fix="choose another network.cidr before the VPC exists; afterwards it cannot change",
            )
    for position, name in enumerate(network.interface_endpoints):
        if name not in endpoints.INTERFACE_ENDPOINTS:
            yield Fault(
                "endpoint-unknown",
                f"network.interfaceEndpoints[{position}]",
                one_of(name, endpoints.INTERFACE_ENDPOINTS),
                name,
            )


def pool_subnets(draft: Draft) -> Iterator[Fault]:
    """The private subnets of a network of the stack's own, against the nodes of pools that each may have to hold."""
    network, zones = draft.network, draft.zone_ids
    if (
        network is None
        or network.existing
        or not zones
        or not draft.broken.isdisjoint(("capacity", "graphs", "capacity.pools"))
    ):
        return
    named = [graph.placement.instance_type for graph in draft.graphs.values()]
    named += [type_ for pool in draft.pools.values() for type_ in pool.instance_types]
    if not all(type_ is None or instances.known(type_) for type_ in named):
        return
    nodes = sizing.pool_nodes(draft.pools, draft.graphs.values(), sorted(zones))
    zone = max(nodes, key=lambda zone: nodes[zone])
    try:
        subnet = cidr.plan(network.cidr, [zone])[zone].private
    except ValueError:
        # A range or a zone that the network cannot have; told by others.
        return
    if nodes[zone] > cidr.pool_room(subnet):
        yield Fault(
            "pool-subnet-room",
            "network.cidr",
            f"a larger range: {nodes[zone]} nodes of pools may come to {zone} and take {cidr.pool_addresses(nodes[zone])} addresses; "
            f"its subnet would be {subnet} with room for {cidr.pool_room(subnet)}",
            network.cidr,
            fix="take a larger range before the VPC exists, ask for fewer workers, or let a graph spread over its zones (placement.sameZone: false)",
        )


def _zone(draft: Draft, key: str, zone: str) -> Iterator[Fault]:
    if zone in UNSUPPORTED_ZONE_IDS:
        yield Fault(
            "zone-without-control-plane",
            key,
            f"zones that can hold an EKS control plane; {zone} cannot (EKS User Guide)",
            zone,
        )
        return
    known = {item.zone_id: item for item in draft.region_zones}
    if not known:
        return
    if zone not in known:
        usable = [item for item in known.values() if item.zone_type == "availability-zone"]
        good = {item.zone_id for item in usable} - UNSUPPORTED_ZONE_IDS
        yield Fault("zone-of-other-region", key, f"a zone of {draft.region}: {', '.join(sorted(good))}", zone)
    elif known[zone].zone_type != "availability-zone":
        yield Fault(
            "zone-of-wrong-type",
            key,
            f"Availability Zones; {zone} is a {known[zone].zone_type}, where the control plane cannot be",
            zone,
        )
