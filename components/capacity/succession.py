"""Reservations over time: how many machines are there at once, and when. Two blocks one after the other are one's worth, never the sum
of both. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
"""In place of the start of what has none: an On-Demand reservation, or a block that states no start."""


class Reserved(Protocol):
    """What a reservation holds, and from when to when; None where it is not bounded."""

    @property
    def instance_type(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime | None: ...


class Period(NamedTuple):
    """A time in which the same machines are there."""

    start: datetime
    end: datetime | None
    """None for the last one, where something stays for good."""
    machines: Counter[tuple[str, str]]
    """By instance type and zone; nothing in a gap between two blocks."""


def periods(reservations: Iterable[Reserved]) -> list[Period]:
    """Every time between two changes, in order, from the first start to the last end."""
    given = list(reservations)
    edges = sorted({item.start or ALWAYS for item in given} | {item.end for item in given if item.end})
    found = []
    for position, start in enumerate(edges):
        machines: Counter[tuple[str, str]] = Counter()
        for item in given:
            if (item.start or ALWAYS) <= start and (item.end is None or start < item.end):
                machines[item.instance_type, item.zone] += item.count
        end = edges[position + 1] if position + 1 < len(edges) else None
        if end is not None or machines:
            found.append(Period(start, end, machines))
    return found


def rooms(reservations: Iterable[Reserved], type_: str, zone: str | None = None) -> list[Counter[str]]:
    """Machines of a type by zone, or in one zone, in each period."""
    return [
        Counter(
            {
                place: count
                for (held, place), count in period.machines.items()
                if held == type_ and zone in (None, place)
            }
        )
        for period in periods(reservations)
    ]


def most(rooms: Sequence[Counter[str]], *, one_zone: bool = False) -> int:
    """Most machines that are there at once, in all zones together or in one of them."""
    return max((max(room.values(), default=0) if one_zone else room.total() for room in rooms), default=0)
