"""Availability Zones: which may hold the cluster, and which a stack gets.

Zones are chosen by zone id, because names are dealt differently to every account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNSUPPORTED_ZONE_IDS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""Zones where EKS puts no control plane (EKS User Guide, "Amazon EKS networking requirements for VPC and subnets")."""

MAX_SLOT = 5
"""No region has more than six Availability Zones; the address plan has a slot for each."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone of a region."""

    name: str
    """Name in this account, `us-east-1a`."""
    zone_id: str
    """Id in every account, `use1-az1`."""
    zone_type: str = "availability-zone"
    """`availability-zone`, `local-zone` or `wavelength-zone`."""


def usable(zones: Sequence[Zone]) -> tuple[Zone, ...]:
    """Zones that may hold the cluster, by zone id: no Local Zones, none that EKS does not support."""
    found = (zone for zone in zones if zone.zone_type == "availability-zone" and zone.zone_id not in UNSUPPORTED_ZONE_IDS)
    return tuple(sorted(found, key=lambda zone: zone.zone_id))


def choose(zones: Sequence[Zone], wanted: int | Sequence[str]) -> tuple[Zone, ...]:
    """The zones a stack gets: the first so many by id, or those named. Asking for more moves none of the earlier ones.

    Raises ValueError, naming every fault and what there is, when a named zone cannot be used or there are too few.
    """
    by_id = {zone.zone_id: zone for zone in usable(zones)}
    if isinstance(wanted, int):
        if wanted > len(by_id):
            raise ValueError(f"zones: {wanted} asked for and there are {len(by_id)} ({', '.join(by_id)}); ask for fewer")
        return tuple(by_id.values())[:wanted]
    missing = [zone_id for zone_id in wanted if zone_id not in by_id]
    if missing:
        raise ValueError(f"zones: {', '.join(missing)} cannot be used here; choose from {', '.join(by_id)}")
    return tuple(by_id[zone_id] for zone_id in sorted(set(wanted)))


def zone_slot(zone_id: str) -> int:
    """Place of a zone in the address plan: its number less one, so that it never depends on the other zones."""
    match = re.fullmatch(r"[a-z]+[0-9]-az([1-6])", zone_id)
    if match is None:
        raise ValueError(f"zone id {zone_id!r}: expected an Availability Zone's, such as use1-az1")
    return int(match.group(1)) - 1


def _region(region: str, prefix: str, *numbers: int) -> tuple[Zone, ...]:
    return tuple(Zone(f"{region}{'abcdef'[place]}", f"{prefix}-az{number}") for place, number in enumerate(numbers))


REGION_ZONES: Mapping[str, tuple[Zone, ...]] = {
    "us-east-1": (
        *_region("us-east-1", "use1", 1, 2, 3, 4, 5, 6),
        # P6e-GB200 UltraServers stand in this Local Zone; it must never get a cluster subnet.
        Zone("us-east-1-dfw-2a", "use1-dfw2-az1", "local-zone"),
    ),
    "us-east-2": _region("us-east-2", "use2", 1, 2, 3),
    "us-west-1": _region("us-west-1", "usw1", 1, 3),
    "us-west-2": _region("us-west-2", "usw2", 1, 2, 3, 4),
    "ca-central-1": _region("ca-central-1", "cac1", 1, 2, 4),
    "eu-central-1": _region("eu-central-1", "euc1", 1, 2, 3),
    "eu-north-1": _region("eu-north-1", "eun1", 1, 2, 3),
    "eu-west-1": _region("eu-west-1", "euw1", 1, 2, 3),
    "eu-west-2": _region("eu-west-2", "euw2", 1, 2, 3),
    "eu-west-3": _region("eu-west-3", "euw3", 1, 2, 3),
    "ap-northeast-1": _region("ap-northeast-1", "apne1", 1, 2, 4),
    "ap-northeast-2": _region("ap-northeast-2", "apne2", 1, 2, 3, 4),
    "ap-south-1": _region("ap-south-1", "aps1", 1, 2, 3),
    "ap-southeast-1": _region("ap-southeast-1", "apse1", 1, 2, 3),
    "ap-southeast-2": _region("ap-southeast-2", "apse2", 1, 2, 3),
    "sa-east-1": _region("sa-east-1", "sae1", 1, 2, 3),
}
"""Zone ids of each region (EC2 DescribeAvailabilityZones). The names beside them are one account's: offline answers
assume this mapping, and the plan says so."""
