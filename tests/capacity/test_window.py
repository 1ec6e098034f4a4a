"""A Capacity Block's window at every moment there can be."""

from __future__ import annotations

import dataclasses
import itertools
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity.spec import UltraServer
from components.capacity.ultraservers import TYPES, Rack
from components.capacity.window import (
    EKS_SCALE_DOWN,
    NOTICE,
    ULTRASERVER_RECLAIM,
    Phase,
    Window,
    moment,
)

ORDER = list(Phase)
"""Phases in the order in which they come."""

MINUTE = timedelta(minutes=1)


def moments(low: datetime = datetime(2026, 1, 1), high: datetime = datetime(2030, 1, 1)) -> st.SearchStrategy[datetime]:
    return st.datetimes(low, high, timezones=st.just(UTC))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Blocks of a day to half a year, drained as the settings allow."""
    start = draw(moments())
    length = draw(st.timedeltas(timedelta(days=1, minutes=1), timedelta(days=182)))
    return Window(start=start, end=start + length, drain_minutes=draw(st.integers(75, 1440)))


@st.composite
def looked_at(draw: st.DrawFn) -> tuple[Window, datetime]:
    """A window and a moment, often right at one of its boundaries."""
    window = draw(windows())
    edges = [window.start, window.notice_at, window.drain_at, window.reclaim_at, window.end]
    near = st.builds(lambda edge, shift: edge + shift, st.sampled_from(edges),
                     st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1), MINUTE, -MINUTE]))  # fmt: skip
    return window, draw(near | moments() | st.builds(lambda part: window.start + part * (window.end - window.start), st.floats(-0.2, 1.2)))  # fmt: skip


@given(windows(), st.lists(moments(), min_size=2, max_size=6))
def test_phases_follow_one_another(window: Window, times: list[datetime]) -> None:
    """A window that came back to an earlier phase would start nodes that EC2 is taking."""
    found = [ORDER.index(window.phase(now)) for now in sorted(times)]
    assert found == sorted(found)


@given(windows())
def test_phases_cover_time_without_a_gap(window: Window) -> None:
    """Each boundary belongs to what begins there, to the microsecond."""
    edges = [window.start, window.notice_at, window.drain_at, window.end]
    assert edges == sorted(edges)
    before, at = timedelta(microseconds=-1), timedelta(0)
    assert [window.phase(edge + before) for edge in (window.start, window.drain_at, window.end)] == [
        Phase.scheduled, Phase.ending, Phase.drained,
    ]  # fmt: skip
    assert [window.phase(edge + at) for edge in (window.drain_at, window.end)] == [Phase.drained, Phase.ended]
    assert window.phase(window.notice_at) is Phase.ending
    if window.notice_at > window.start:
        assert window.phase(window.start) is Phase.active
        assert window.phase(window.notice_at + before) is Phase.active
        assert window.notice_at == window.drain_at - NOTICE


@given(looked_at(), st.integers(1, 18))
def test_nothing_is_started_past_the_drain(given_: tuple[Window, datetime], nodes: int) -> None:
    """Nodes started then are taken by EC2 in the middle of their first answer."""
    window, now = given_
    refused = window.refusal(now)
    assert (refused is not None) == (now >= window.drain_at)
    desired = window.desired_nodes(now, nodes)
    assert desired == (nodes if window.start <= now < window.drain_at else 0)
    if refused is not None:
        assert desired == 0
        assert not any(action.desired_capacity for action in window.actions(now, nodes))
        assert moment(window.end) in refused or moment(window.drain_at) in refused
        assert ("ended" in refused) == (now >= window.end)


@given(looked_at(), st.integers(1, 18))
def test_actions_lie_ahead(given_: tuple[Window, datetime], nodes: int) -> None:
    """AWS refuses a scheduled action in the past, and `up` stops there."""
    window, now = given_
    actions = window.actions(now, nodes)
    assert all(action.at > now for action in actions)
    assert [action.at for action in actions] == sorted(action.at for action in actions)
    by_name = {action.name: action for action in actions}
    assert len(by_name) == len(actions)
    assert ("start" in by_name) == (now < window.start) and ("drain" in by_name) == (now < window.drain_at)
    if "start" in by_name:
        up = by_name["start"]
        assert (up.at, up.min_size, up.max_size, up.desired_capacity) == (window.start, 0, nodes, nodes)
    if "drain" in by_name:
        down = by_name["drain"]
        # The maximum is left as it is: an extended block is raised again by hand.
        assert (down.at, down.min_size, down.max_size, down.desired_capacity) == (window.drain_at, 0, -1, 0)


@given(looked_at(), st.integers(1, 18))
def test_the_rack_is_full_between_start_and_drain(given_: tuple[Window, datetime], nodes: int) -> None:
    """Whenever the group is made, its size and the actions to come give every node from start to drain, and none outside."""
    window, now = given_
    size, changes = window.desired_nodes(now, nodes), window.actions(now, nodes)
    for at in (window.start, window.drain_at - MINUTE, window.drain_at, window.end):
        if at < now:
            continue
        desired = size
        for action in changes:
            if action.at <= at:
                desired = action.desired_capacity
        assert desired == (nodes if window.start <= at < window.drain_at else 0), at


@given(windows())
def test_the_drain_comes_in_time(window: Window) -> None:
    """EC2 takes the machines 60 minutes before the end, EKS's own scale-down comes at 40: both find nothing left."""
    assert window.reclaim_at == window.end - ULTRASERVER_RECLAIM
    assert window.reclaim_at - window.drain_at >= timedelta(minutes=15)
    assert window.drain_at < window.end - EKS_SCALE_DOWN
    assert window.start < window.drain_at


@given(windows(), st.lists(moments(), min_size=2, max_size=6))
def test_usable_hours_only_go_down(window: Window, times: list[datetime]) -> None:
    hours = [window.usable_hours(now) for now in sorted(times)]
    whole = (window.drain_at - window.start) / timedelta(hours=1)
    assert all(later <= earlier for earlier, later in itertools.pairwise(hours))
    assert all(0 <= item <= whole for item in hours)


@given(looked_at())
def test_hours_are_there_exactly_while_work_may_be_started(given_: tuple[Window, datetime]) -> None:
    window, now = given_
    assert (window.usable_hours(now) > 0) == (window.refusal(now) is None)
    if now <= window.start:
        assert window.usable_hours(now) == window.usable_hours(window.start)


def test_moments_are_told_in_utc_wherever_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop in Berlin and the pipeline would plan different drains for the same block, and each `up` would move them."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert moment(datetime(2026, 12, 8, 11, 30, tzinfo=UTC)) == "2026-12-08T11:30:00Z"
        assert moment(datetime(2026, 12, 8, 4, 30, tzinfo=timezone(timedelta(hours=-7)))) == "2026-12-08T11:30:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@given(moments(), st.integers(-12, 14).filter(bool), st.sampled_from(["start", "end"]))
def test_moments_are_utc(start: datetime, hours: int, name: str) -> None:
    """A block's times in somebody's local time are hours off, and an hour is $762."""
    zone = timezone(timedelta(hours=hours))
    times: dict[str, Any] = {"start": start, "end": start + timedelta(days=7)}
    for other in (times[name].astimezone(zone), times[name].replace(tzinfo=None)):
        with pytest.raises(ValueError, match=f"^{name}: .* is not in UTC"):
            Window(**{**times, name: other})


@given(moments(), st.integers(-14, 14))
def test_text_is_utc_whatever_the_clock(at: datetime, hours: int) -> None:
    at = at.replace(microsecond=0)
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert moment(elsewhere) == moment(at) == at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert datetime.fromisoformat(moment(at)) == at


START, END = datetime(2026, 12, 1, 11, 30, tzinfo=UTC), datetime(2026, 12, 8, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": END}, "start: 2026-12-08T11:30:00Z is not before end 2026-12-08T11:30:00Z"),
        ({"start": END + MINUTE}, "is not before end"),
        ({"drain_minutes": 60}, "drain_minutes: 60; EC2 takes the machines 60 minutes before the end, drain earlier"),
        ({"drain_minutes": 0}, "drain earlier"),
        ({"drain_minutes": 7 * 24 * 60}, "drain_minutes: 10080 is the whole block; nothing could run"),
    ],
)
def test_impossible_windows(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Window(**{"start": START, "end": END, **changes})
    assert words in str(caught.value)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "phase", "desired", "actions", "hours"),
    [
        ("2026-11-30T09:00:00Z", "scheduled", 0, ["start", "drain"], 166.5),
        ("2026-12-01T11:29:59Z", "scheduled", 0, ["start", "drain"], 166.5),
        ("2026-12-01T11:30:00Z", "active", 18, ["drain"], 166.5),
        ("2026-12-02T12:00:00Z", "active", 18, ["drain"], 142.0),
        ("2026-12-08T09:29:59Z", "active", 18, ["drain"], 0.5 + 1 / 3600),
        ("2026-12-08T09:30:00Z", "ending", 18, ["drain"], 0.5),
        ("2026-12-08T09:59:59Z", "ending", 18, ["drain"], 1 / 3600),
        ("2026-12-08T10:00:00Z", "drained", 0, [], 0.0),
        ("2026-12-08T11:29:59Z", "drained", 0, [], 0.0),
        ("2026-12-08T11:30:00Z", "ended", 0, [], 0.0),
    ],
)
def test_the_block_of_the_blog(now: str, phase: str, desired: int, actions: list[str], hours: float) -> None:
    """The shipped production block: drained at 10:00Z on its last day, when EC2 still leaves half an hour."""
    window = Window(start=START, end=END)
    assert window.drain_at == at("2026-12-08T10:00:00Z") and window.reclaim_at == at("2026-12-08T10:30:00Z")
    assert window.phase(at(now)).value == phase
    assert window.desired_nodes(at(now), 18) == desired
    assert [action.name for action in window.actions(at(now), 18)] == actions
    assert window.usable_hours(at(now)) == pytest.approx(hours)


def test_a_refusal_says_what_would_happen() -> None:
    window = Window(start=START, end=END)
    assert window.refusal(at("2026-12-08T09:59:59Z")) is None
    assert window.refusal(at("2026-12-08T10:00:00Z")) == (
        "the block is drained since 2026-12-08T10:00:00Z, 90 minutes before its end; nodes started now would be taken by EC2 "
        "from 2026-12-08T10:30:00Z on"
    )
    assert window.refusal(at("2026-12-08T11:30:00Z")) == "the block ended at 2026-12-08T11:30:00Z"


# --- the rack ----------------------------------------------------------------------------------------------------------


def rack(window: Window, type_: Any = "u-p6e-gb200x72") -> Rack:
    return Rack(
        name="rack-a",
        spec=UltraServer(
            reservation="cr-0fedcba9876543210", type=type_, zone="use1-dfw2-az1", start=window.start, end=window.end,
            drain_minutes=window.drain_minutes,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(("type_", "usd", "gpus"), [("u-p6e-gb200x72", 761.904, 72), ("u-p6e-gb200x36", 380.952, 36)])
def test_what_an_hour_costs(type_: str, usd: float, gpus: int) -> None:
    """By the quoted price: $10.58 for a GPU and hour, whichever the type."""
    assert TYPES[type_].usd_per_hour == usd and rack(Window(start=START, end=END), type_).gpus == gpus
    assert usd / gpus == pytest.approx(10.582)


def test_an_extension_moves_only_the_end() -> None:
    """A block that was extended keeps its reservation: its nodes stay, and only the drain comes later."""
    window = Window(start=START, end=END)
    longer = dataclasses.replace(window, end=END + timedelta(days=1))
    now = at("2026-12-08T09:00:00Z")
    assert longer.desired_nodes(now, 18) == window.desired_nodes(now, 18) == 18
    assert [action.at for action in longer.actions(now, 18)] == [window.drain_at + timedelta(days=1)]
    assert rack(longer).block_key == rack(window).block_key
