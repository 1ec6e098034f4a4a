"""Availability Zones: which may hold the cluster, and which a stack gets.

Zones are chosen by zone id, because in many regions names are dealt differently to every account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNSUPPORTED_ZONE_IDS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""Zones where EKS puts no control plane (EKS User Guide, "Amazon EKS networking requirements for VPC and subnets")."""

_NO_PLANE = "cannot hold an EKS control plane"

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
    """Zones that may hold the cluster, by zone id: no Local or Wavelength Zones, none that EKS does not support."""
    return tuple(sorted((zone for zone in zones if not _why_not(zone)), key=lambda zone: zone.zone_id))


def choose(zones: Sequence[Zone], wanted: int | Sequence[str]) -> tuple[Zone, ...]:
    """The zones a stack gets, by zone id: the first so many, or those named by their ids.

    Asking for one zone more keeps all the earlier ones. A count follows the account's list, which AWS may lengthen; ids
    do not. Raises ValueError with every fault and the ids there are.
    """
    found = usable(zones)
    there_are = f"there are {', '.join(zone.zone_id for zone in found)}" if found else "there are none"
    if isinstance(wanted, int):
        if wanted < 1:
            raise ValueError(f"zones: {wanted} asked for, expected at least one; {there_are}")
        if wanted > len(found):
            raise ValueError(
                f"zones: {wanted} asked for, expected at most {len(found)}: {there_are} that can hold an EKS control "
                f"plane; ask for fewer, or take another region"
            )
        return found[:wanted]
    faults = _faults(zones, wanted)
    if faults:
        raise ValueError(f"zones: {'; '.join(faults)}; {there_are}: choose among these, each once")
    named = set(wanted)
    return tuple(zone for zone in found if zone.zone_id in named)


def _faults(zones: Sequence[Zone], wanted: Sequence[str]) -> list[str]:
    """What is wrong with a list of zone ids."""
    by_id = {zone.zone_id: zone for zone in zones}
    names = {zone.name: zone.zone_id for zone in zones}
    faults = [] if wanted else ["none is named"]
    for zone_id in dict.fromkeys(wanted):
        if zone_id in names:
            faults.append(
                f"{zone_id} is a name, which means another zone in other accounts; its id here is {names[zone_id]}"
            )
        elif zone_id in UNSUPPORTED_ZONE_IDS:
            faults.append(f"{zone_id} {_NO_PLANE}")
        elif zone_id not in by_id:
            faults.append(f"{zone_id} is no zone of this region and account")
        elif why := _why_not(by_id[zone_id]):
            faults.append(f"{zone_id} {why}")
        if list(wanted).count(zone_id) > 1:
            faults.append(f"{zone_id} is named more than once")
    return faults


def _why_not(zone: Zone) -> str:
    """Why a zone cannot hold the cluster; empty when it can."""
    if zone.zone_type != "availability-zone":
        return f"is a {zone.zone_type}, which {_NO_PLANE}"
    return _NO_PLANE if zone.zone_id in UNSUPPORTED_ZONE_IDS else ""


def zone_slot(zone_id: str) -> int:
    """Place of a zone in the address plan, 0 to 5: its number less one, so that it never depends on the other zones."""
    match = re.fullmatch(rf"[a-z]+[0-9]-az([1-{MAX_SLOT + 1}])", zone_id)
    if match is None:
        raise ValueError(
            f"zone id {zone_id!r}: expected the id of an Availability Zone such as use1-az1, numbered 1 to {MAX_SLOT + 1}; "
            "a Local Zone has no place among them, and a name such as us-east-1a is no id"
        )
    return int(match.group(1)) - 1


_ABC = {"a": 1, "b": 2, "c": 3}

INDEPENDENTLY_MAPPED_REGIONS = frozenset(
    {
        "us-east-1", "us-west-1", "us-west-2", "ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "eu-west-1",
        "sa-east-1",
    }
)  # fmt: skip
"""Regions that deal names to ids anew for each account made before November 2025 (AWS Regions and Availability Zones,
"AZ IDs"). A name in an offline answer for one of them is an assumption; elsewhere it is the same in every account."""

_LETTERS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "us-east-1": ("use1", {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}),
    "us-east-2": ("use2", _ABC),
    # A new account gets two zones of us-west-1; usw1-az2 is not offered to it, like apne1-az3 and cac1-az3 below.
    "us-west-1": ("usw1", {"a": 1, "b": 3}),
    "us-west-2": ("usw2", {"a": 1, "b": 2, "c": 3, "d": 4}),
    "ca-central-1": ("cac1", {"a": 1, "b": 2, "d": 4}),
    "sa-east-1": ("sae1", _ABC),
    "eu-central-1": ("euc1", {"a": 2, "b": 3, "c": 1}),
    "eu-central-2": ("euc2", _ABC),
    "eu-north-1": ("eun1", _ABC),
    "eu-south-2": ("eus2", _ABC),
    "eu-west-1": ("euw1", _ABC),
    "eu-west-2": ("euw2", {"a": 2, "b": 3, "c": 1, "d": 4}),
    "eu-west-3": ("euw3", _ABC),
    "ap-east-1": ("ape1", _ABC),
    "ap-northeast-1": ("apne1", {"a": 4, "c": 1, "d": 2}),
    "ap-northeast-2": ("apne2", {"a": 1, "b": 2, "c": 3, "d": 4}),
    "ap-northeast-3": ("apne3", _ABC),
    "ap-south-1": ("aps1", {"a": 1, "b": 3, "c": 2}),
    "ap-south-2": ("aps2", _ABC),
    "ap-southeast-1": ("apse1", _ABC),
    "ap-southeast-2": ("apse2", _ABC),
    "ap-southeast-3": ("apse3", _ABC),
    "ap-southeast-5": ("apse5", _ABC),
    "il-central-1": ("ilc1", _ABC),
    "me-central-1": ("mec1", _ABC),
}
"""What a region's zone ids begin with, and the number of the zone behind each letter."""

REGION_ZONES: Mapping[str, tuple[Zone, ...]] = {
    region: (
        *(Zone(f"{region}{letter}", f"{prefix}-az{number}") for letter, number in letters.items()),
        # P6e-GB200 UltraServers stand in this Local Zone; it must never get a cluster subnet.
        *([Zone("us-east-1-dfw-2a", "use1-dfw2-az1", "local-zone")] if region == "us-east-1" else []),
    )
    for region, (prefix, letters) in _LETTERS.items()
}
"""Zones of regions that offer GPU instances, for offline answers; EKS is in all of them.

Ids: AWS Regions and Availability Zones, "AWS Availability Zones"; and EC2 DescribeInstanceTypeOfferings as carried by moto
5.2.5. An account may see fewer: AWS withdraws zones it cannot grow from new accounts. Names: see
INDEPENDENTLY_MAPPED_REGIONS."""
