"""Capacity Blocks of a recorded graph's pools: what they hold, and when.

Pure data out of the recording, like that of the UltraServers beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from components.capacity import instances, succession
from components.capacity.node_spec import BLOCK_DRAIN, BLOCK_RECLAIM, RESERVATIONS
from components.capacity.window import Window
from recording.graph import Graph, KubernetesObject

POOL = "karpenter.sh/nodepool"
RESERVED = {"karpenter.sh/capacity-type": "reserved"}


@dataclass(frozen=True, kw_only=True)
class SeenReservation:
    """One reservation of a pool as its NodePool tells it."""

    kind: str
    instance_type: str
    zone: str
    count: int
    id: str = ""
    start: datetime | None = None
    end: datetime | None = None

    @property
    def window(self) -> Window | None:
        """The window of a block; None for an On-Demand reservation, and for a block that states no start."""
        if self.start is None or self.end is None:
            return None
        try:
            return Window(
                start=self.start,
                end=self.end,
                drain_minutes=BLOCK_DRAIN // timedelta(minutes=1),
                reclaim=BLOCK_RECLAIM,
            )
        except ValueError:
            return None

    @property
    def gpus(self) -> int:
        return self.count * (instances.instance(self.instance_type).gpus if instances.known(self.instance_type) else 0)


@dataclass(frozen=True, kw_only=True)
class SeenPool:
    """A pool that draws from reservations."""

    name: str
    node_pool: KubernetesObject
    reservations: tuple[SeenReservation, ...]
    fallback: tuple[str, ...]
    """Purchase options beside `reserved`."""

    @property
    def blocks(self) -> tuple[SeenReservation, ...]:
        return tuple(item for item in self.reservations if item.kind == "capacityBlock")

    def next_start(self, now: datetime) -> datetime | None:
        """When its next block starts; None when none is to come."""
        return min((item.start for item in self.blocks if item.start and item.start > now), default=None)

    def machines(self, type_: str, now: datetime) -> int:
        """Machines of a type that are there now: those of blocks that have begun and not ended, and of other reservations."""
        return sum(
            item.count
            for item in self.reservations
            if item.instance_type == type_ and (item.start or now) <= now and (item.end is None or now < item.end)
        )

    def periods(self) -> list[succession.Period]:
        return succession.periods(self.reservations)


def pools(graph: Graph) -> dict[str, SeenPool]:
    """Pools with reservations by name, in order of registration."""
    found = {}
    for item in graph.objects_of("NodePool"):
        told = (item.manifest["metadata"].get("annotations") or {}).get(RESERVATIONS)
        if told is None:
            continue
        requirements = item.manifest["spec"]["template"]["spec"].get("requirements", ())
        capacity = [
            value
            for requirement in requirements
            if requirement["key"] == "karpenter.sh/capacity-type"
            for value in requirement.get("values", ())
        ]
        found[item.name] = SeenPool(
            name=item.name,
            node_pool=item,
            reservations=tuple(_reservation(held) for held in json.loads(told)),
            fallback=tuple(value for value in capacity if value != "reserved"),
        )
    return found


def _reservation(told: Mapping[str, Any]) -> SeenReservation:
    start, end = (datetime.fromisoformat(told[key]) if key in told else None for key in ("start", "end"))
    return SeenReservation(
        kind=told["kind"],
        instance_type=told["instanceType"],
        zone=told["zone"],
        count=told["count"],
        id=told.get("id", ""),
        start=start,
        end=end,
    )
