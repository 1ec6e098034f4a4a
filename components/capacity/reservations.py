"""What a stack says of a reservation, compared with what EC2 says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLATFORM = "Linux/UNIX"
"""Platform of a reservation for the nodes' images, AL2023 and Bottlerocket; one of another never starts an instance (EC2 User Guide)."""

USABLE_STATES = frozenset({"active", "scheduled", "pending", "payment-pending"})
"""States of a Capacity Block that can still hold, or come to hold, instances (EC2 API, DescribeCapacityReservations)."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A reservation as a stack states it; moments as `2026-12-08T11:30:00Z`."""

    id: str
    instance_type: str
    zone_id: str
    count: int
    start: str | None = None
    end: str | None = None
    platform: str | None = None
    count_key: str = "count"
    """The setting that says how many."""
    zone_remedy: str = "let the network have that zone"


def mismatches(stated: Stated, found: Mapping[str, Any]) -> list[str]:
    """What differs between a stated reservation and `found` (state, instance_type, availability_zone_id, instance_count,
    start_date, end_date, instance_platform as EC2 gives them), each as a sentence with the remedy; empty when all agrees.

    A block that has not started reports no instance count yet; then the stated one stands.
    """
    faults = []
    state = found.get("state")
    if state not in USABLE_STATES:
        faults.append(
            f"{stated.id}: is {state}, and only an active or scheduled block can be used; name another reservation"
        )
    if found.get("instance_type") != stated.instance_type:
        faults.append(
            f"{stated.id}: holds {found.get('instance_type')}, the stack says {stated.instance_type}; correct instanceType"
        )
    if found.get("availability_zone_id") != stated.zone_id:
        faults.append(
            f"{stated.id}: is in {found.get('availability_zone_id')}, the stack says {stated.zone_id}; correct zone and {stated.zone_remedy}"
        )
    if found.get("instance_count") and found["instance_count"] != stated.count:
        faults.append(
            f"{stated.id}: holds {found['instance_count']} instances, the stack says {stated.count}; correct {stated.count_key}"
        )
    if stated.start and found.get("start_date") and str(found["start_date"])[:16] != stated.start[:16]:
        faults.append(
            f"{stated.id}: starts {found['start_date']}, the stack says {stated.start}; correct start, or the nodes come at the wrong time"
        )
    if stated.platform and found.get("instance_platform") and found["instance_platform"] != stated.platform:
        faults.append(
            f"{stated.id}: is for {found['instance_platform']}, and only one for {stated.platform} starts the nodes' image; "
            "name another reservation"
        )
    if stated.end and found.get("end_date") and str(found["end_date"])[:16] != stated.end[:16]:
        faults.append(
            f"{stated.id}: ends {found['end_date']}, the stack says {stated.end}; correct end, or the drain comes at the wrong time"
        )
    return faults
