"""Reservations over time, held against looking at every moment."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity.succession import ALWAYS, most, periods, rooms

DAY = datetime(2026, 12, 1, 11, 30, tzinfo=UTC)


class Held(NamedTuple):
    instance_type: str
    zone: str
    count: int
    start: datetime | None
    end: datetime | None


def held(first: int | None, last: int | None, count: int = 1, zone: str = "a", type_: str = "p5.48xlarge") -> Held:
    start, end = (None if day is None else DAY + timedelta(days=day) for day in (first, last))
    return Held(type_, zone, count, start, end)


@st.composite
def reservations(draw: st.DrawFn) -> list[Held]:
    made = []
    for _ in range(draw(st.integers(0, 6))):
        first, length = draw(st.none() | st.integers(0, 20)), draw(st.none() | st.integers(1, 10))
        last = None if length is None else (first or 0) + length
        made.append(
            held(
                first, last, draw(st.integers(1, 9)), draw(st.sampled_from("ab")), draw(st.sampled_from(["x.1", "y.1"]))
            )
        )
    return made


@given(reservations(), st.integers(-1, 35))
def test_periods_are_what_each_moment_says(given: list[Held], day: int) -> None:
    """A block counted while it is over holds a graph that then waits until it, too, is over."""
    now = DAY + timedelta(days=day, hours=1)
    there: Counter[tuple[str, str]] = Counter()
    for item in given:
        if (item.start or ALWAYS) <= now and (item.end is None or now < item.end):
            there[item.instance_type, item.zone] += item.count
    found = [
        period.machines for period in periods(given) if period.start <= now and (period.end is None or now < period.end)
    ]
    assert (found or [Counter()]) == [there]


@given(reservations())
def test_most_is_never_more_than_the_sum(given: list[Held]) -> None:
    for type_ in ("x.1", "y.1"):
        for zone in (None, "a"):
            found = rooms(given, type_, zone)
            fitting = [item for item in given if item.instance_type == type_ and zone in (None, item.zone)]
            assert most(found) <= sum(item.count for item in fitting)
            assert most(found) >= max((item.count for item in fitting), default=0) >= 0
            assert most(found, one_zone=True) <= most(found)
            if all(item.start is None and item.end is None for item in fitting):
                assert most(found) == sum(item.count for item in fitting)


@pytest.mark.parametrize(
    ("given", "at_once", "in_one_zone"),
    [
        ([], 0, 0),
        ([held(0, 7, 2), held(7, 14, 2)], 2, 2),
        ([held(0, 7, 2), held(6, 14, 2)], 4, 4),
        ([held(0, 7, 2), held(0, 7, 2, "b")], 4, 2),
        ([held(0, 7, 2), held(None, None, 3)], 5, 5),
        ([held(None, 7, 2), held(7, 14, 3)], 3, 3),
        ([held(0, 7, 2, type_="p5e.48xlarge"), held(0, 7, 1)], 1, 1),
    ],
)
def test_blocks_in_turn(given: list[Held], at_once: int, in_one_zone: int) -> None:
    """Two blocks of two machines, one after the other, were four (a graph of three that never starts)."""
    found = rooms(given, "p5.48xlarge")
    assert (most(found), most(found, one_zone=True)) == (at_once, in_one_zone)
