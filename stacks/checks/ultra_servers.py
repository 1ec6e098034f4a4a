"""UltraServers: an hour of one is prepaid and cannot be repeated, so what would waste it is refused before anything registers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta

from components import catalog
from components.capacity import network_cards
from components.capacity.spec import UltraServer
from components.capacity.ultraservers import TYPES, Rack
from components.capacity.window import END_OF_DAY, Window, moment
from components.network import cidr as address_plan
from stacks.checks.draft import Draft
from stacks.faults import Fault, one_of

LONGEST = timedelta(days=182)
"""Longest Capacity Block, extensions included (EC2 User Guide)."""


def racks_in(draft: Draft) -> dict[str, Rack]:
    """UltraServers of a draft whose window is possible and whose machine is known."""
    made = {}
    for name, given in draft.ultra_servers.items():
        if given.instance_type not in network_cards.CARDS:
            continue
        try:
            made[name] = Rack(name=name, spec=given)
        except ValueError:
            continue
    return made


def unread(draft: Draft) -> bool:
    """Whether UltraServers of the file could not be read, so that nothing can be said of what is missing."""
    return not draft.broken.isdisjoint(("capacity", "capacity.ultraServers"))


def meant(draft: Draft) -> bool:
    """Whether the file speaks of UltraServers, sound or not."""
    capacity = draft.given["capacity"]
    return isinstance(capacity, Mapping) and bool(capacity.get("ultraServers"))


def ultra_servers(draft: Draft) -> Iterator[Fault]:
    """Blocks: type, window, zone, subnet, image."""
    seen: dict[str, str] = {
        item.id: f"pool {name}" for name, pool in draft.pools.items() for item in pool.reservations if item.id
    }
    for name, given in draft.ultra_servers.items():
        key = f"capacity.ultraServers.{name}"
        if given.reservation in seen:
            yield Fault(
                "reservation-twice",
                f"{key}.reservation",
                f"another reservation; {seen[given.reservation]} has it",
                given.reservation,
            )
        seen[given.reservation] = f"UltraServer {name}"
        yield from _machine(key, given)
        yield from _window(draft, key, given)
        yield from _image(draft, key, given)
        yield from _zone(draft, key, given)
    yield from _subnets(draft)


def _machine(key: str, given: UltraServer) -> Iterator[Fault]:
    try:
        network_cards.layout(given.instance_type, given.efa_interfaces)
    except ValueError:
        yield Fault(
            "rack-type-unknown",
            f"{key}.instanceType",
            one_of(given.instance_type, network_cards.CARDS, "a type whose network cards are known:"),
            given.instance_type,
            fix="a wrong card costs the block; add the type's layout with its source to components/capacity/network_cards.py",
        )


def _window(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    if given.end.time() != time(*END_OF_DAY):
        yield Fault(
            "block-end-time",
            f"{key}.end",
            "a moment at 11:30 UTC, when every Capacity Block ends (EC2 User Guide)",
            given.end,
        )
        return
    if given.start >= given.end:
        yield Fault("block-start-after-end", f"{key}.start", f"a moment before end, {moment(given.end)}", given.start)
        return
    if given.end - given.start > LONGEST + timedelta(days=1):
        yield Fault(
            "block-too-long", f"{key}.end", "at most 182 days after start, the longest that a block can be", given.end
        )
        return
    try:
        window = Window(start=given.start, end=given.end, drain_minutes=given.drain_minutes)
    except ValueError:
        minutes = (given.end - given.start) // timedelta(minutes=1)
        yield Fault(
            "drain-longer-than-block",
            f"{key}.drainMinutes",
            f"fewer than the {minutes} minutes that the block is long, or nothing could run on it",
            given.drain_minutes,
        )
        return
    if why := window.refusal(draft.at):
        yield over(draft, key, given.end, why, "the UltraServer and its graphs")


def over(draft: Draft, key: str, end: datetime, why: str, what: str) -> Fault:
    """The fault that a block is over or drained, whatever uses it: `why` tells since when, `what` what may be removed."""
    return Fault(
        "block-over",
        f"{key}.end",
        f"a block with time left at {moment(draft.at)}; {why}",
        end,
        fix=f"name the next block, correct end if the block was extended, or remove {what}",
    )


def _image(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    if given.ami_release is None or draft.cluster is None or draft.cluster.version not in catalog.KUBERNETES:
        return
    version = draft.cluster.version
    release, date = given.ami_release.split("-")
    pinned = f"leave the key out for {catalog.AMI_RELEASES[version]}, the one that is pinned"
    if not release.startswith(f"{version}."):
        yield Fault(
            "ami-release-version",
            f"{key}.amiRelease",
            f"a release for Kubernetes {version}, the cluster's version",
            given.ami_release,
            fix=pinned,
        )
    elif int(date) < catalog.AMI_FLOOR:
        yield Fault(
            "ami-release-too-old",
            f"{key}.amiRelease",
            f"a release of {catalog.AMI_FLOOR} or later, the first with driver 580 for P6e-GB200",
            given.ami_release,
            fix=pinned,
        )


def _zone(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    # Which zones have UltraServers is AWS's to say and to change: only the region is known from the id.
    if not draft.region_zones:
        return
    begin = next(iter(draft.region_zones)).zone_id.split("-")[0] + "-"
    if not given.zone.startswith(begin):
        yield Fault(
            "rack-zone-of-other-region",
            f"{key}.zone",
            f"a zone of {draft.region}, whose ids begin with {begin}",
            given.zone,
        )


def _subnets(draft: Draft) -> Iterator[Fault]:
    network, given = draft.network, draft.given["network"]
    if network is None:
        return
    if not meant(draft):
        if "localZones" in given and network.existing is None and not unread(draft):
            yield Fault(
                "local-zones-without-racks",
                "network.localZones",
                "no such key without capacity.ultraServers",
                given["localZones"],
            )
        return
    by_zone: dict[str, list[str]] = {}
    for name, item in draft.ultra_servers.items():
        by_zone.setdefault(item.zone, []).append(name)
    if network.existing is not None:
        for zone in sorted(set(by_zone) - set(network.existing.ultra_server_subnets)):
            yield Fault(
                "rack-subnet-missing",
                f"network.existing.ultraServerSubnets.{zone}",
                f"the subnet for the UltraServers in this zone ({', '.join(by_zone[zone])}); the key is required",
                add=f"dynamo-eks:network:\n  existing:\n    ultraServerSubnets: {{{zone}: subnet-0123456789abcdef0}}",
            )
        return
    slots: dict[int, str] = {}
    for zone, names in sorted(by_zone.items()):
        slot = address_plan.local_zone_slot(zone)
        if slot in slots:
            yield Fault(
                "rack-subnets-collide",
                f"capacity.ultraServers.{names[0]}.zone",
                f"a zone whose subnet has another place in the address plan than that of {slots[slot]}; the two share one",
                zone,
                fix="keep the UltraServers of these two zones in different stacks",
            )
        slots[slot] = zone
        nodes = sum(TYPES[draft.ultra_servers[name].type].nodes for name in names)
        subnet = address_plan.local_zone(network.cidr, slot)
        if nodes > address_plan.room(subnet):
            yield Fault(
                "rack-subnet-room",
                "network.cidr",
                f"a larger range: {nodes} UltraServer nodes take {nodes * address_plan.NODE_ADDRESSES} addresses, and their "
                f"subnet in {zone} would be {subnet} with room for {address_plan.room(subnet)}",
                network.cidr,
                fix=_larger(network.cidr, slot, nodes),
            )
    nat, zones = network.local_zones.nat_zone, draft.zone_ids
    if not nat or zones is None:
        return
    if nat not in zones:
        yield Fault(
            "nat-zone-unknown", "network.localZones.natZone", one_of(nat, zones, "a zone the network has:"), nat
        )
    elif network.nat == "single" and nat != min(zones):
        yield Fault(
            "nat-zone-without-gateway",
            "network.localZones.natZone",
            f"{min(zones)}, where the one NAT gateway of nat: single is, or nat: perZone",
            nat,
        )


def _larger(cidr: str, slot: int, nodes: int) -> str:
    """What to do about a range too small for the nodes of one zone; the VPC's range cannot change once it exists."""
    address = cidr.split("/")[0]
    for length in range(address_plan.SMALLEST, address_plan.LARGEST - 1, -1):
        wider = str(ipaddress.ip_network(f"{address}/{length}", strict=False))
        if nodes <= address_plan.room(address_plan.local_zone(wider, slot)):
            return f"take a /{length} before the VPC exists; afterwards it cannot change"
    return "no range is large enough; keep some of the UltraServers in another stack"
