"""What a stack says of a reservation, compared with what EC2 says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USABLE_STATES = frozenset({"active", "scheduled", "pending", "payment-pending"})
"""States of a Capacity Block that can still hold, or come to hold, instances (EC2 API, DescribeCapacityReservations)."""


def mismatches(
    id_: str,
    *,
    instance_type: str,
    zone_id: str,
    count: int,
    end: str | None,
    found: Mapping[str, Any],
    start: str | None = None,
    platform: str | None = None,
    count_key: str = "count",
    zone_remedy: str = "let the network have that zone",
) -> list[str]:
    """What differs between a stated reservation and `found` (state, instance_type, availability_zone_id, instance_count,
    start_date, end_date, instance_platform as EC2 gives them), each as a sentence with the remedy; empty when all agrees.

    A block that has not started reports no instance count yet; then the stated one stands.
    """
    faults = []
    state = found.get("state")
    if state not in USABLE_STATES:
        faults.append(f"{id_}: is {state}, and only an active or scheduled block can be used; name another reservation")
    if found.get("instance_type") != instance_type:
        faults.append(
            f"{id_}: holds {found.get('instance_type')}, the stack says {instance_type}; correct instanceType"
        )
    if found.get("availability_zone_id") != zone_id:
        faults.append(
            f"{id_}: is in {found.get('availability_zone_id')}, the stack says {zone_id}; correct zone and {zone_remedy}"
        )
    if found.get("instance_count") and found["instance_count"] != count:
        faults.append(f"{id_}: holds {found['instance_count']} instances, the stack says {count}; correct {count_key}")
    if start and found.get("start_date") and str(found["start_date"])[:16] != start[:16]:
        faults.append(
            f"{id_}: starts {found['start_date']}, the stack says {start}; correct start, or the nodes come at the wrong time"
        )
    if platform and found.get("instance_platform") and found["instance_platform"] != platform:
        faults.append(
            f"{id_}: is for {found['instance_platform']}, and only one for {platform} starts the nodes' image; "
            "name another reservation"
        )
    if end and found.get("end_date") and str(found["end_date"])[:16] != end[:16]:
        faults.append(
            f"{id_}: ends {found['end_date']}, the stack says {end}; correct end, or the drain comes at the wrong time"
        )
    return faults
