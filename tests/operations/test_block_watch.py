"""Blocks are told of 72, 24 and 6 hours before they start and before they are drained, each time once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import block_watch
from operations.block_watch import HOURS, Moment, due, moments, text
from stacks import stackfile
from tests.conftest import recorded
from tests.stacks.edited import changed

HOUR = timedelta(hours=1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def at(when: datetime) -> Moment:
    return Moment(stack="prod", block="rack-a", what="starts", at=when, todo="do")


@given(st.integers(0, 59), st.integers(-200 * 60, 200 * 60))
def test_each_distance_is_said_once(offset: int, start: int) -> None:
    """Said every hour it is not read, and never said it is a rack that starts while everybody sleeps."""
    when = NOW + timedelta(minutes=start)
    runs = [NOW - timedelta(days=12) + timedelta(minutes=offset) + n * HOUR for n in range(24 * 30)]
    told = [item.hours for now in runs for item in due([at(when)], now, HOUR)]
    assert told == list(HOURS)


def test_what_is_over_is_not_said() -> None:
    assert due([at(NOW - HOUR), at(NOW)], NOW, HOUR) == []


def test_moments_of_the_shipped_blocks() -> None:
    found = {(item.block, item.what): item.at for item in moments(recorded("gb200-prod"))}
    assert found == {
        ("rack-a", "starts"): datetime(2026, 12, 1, 11, 30, tzinfo=UTC),
        ("rack-a", "is drained"): datetime(2026, 12, 8, 10, tzinfo=UTC),
    }
    pool = {(item.block, item.what): item.at for item in moments(recorded("p5-reserved"))}
    assert pool[("cr-0fedcba9876543210 of pool block", "is drained")] == datetime(2026, 12, 15, 10, 50, tzinfo=UTC)


def test_words() -> None:
    (item,) = due([at(NOW + timedelta(hours=5.5))], NOW, HOUR)
    assert text([item]) == "- **prod**: rack-a starts at 2026-12-01T05:30:00Z, in less than 6 hours: do"


def run(monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any], *, when: str) -> tuple[int, str]:
    import typer
    from typer.testing import CliRunner

    real = stackfile.read("gb200-prod")
    file = dataclasses.replace(real, config=changed(real.config, changes))
    monkeypatch.setattr(stackfile, "available", lambda: ["gb200-prod"])
    monkeypatch.setattr(stackfile, "read", lambda name, path=None: file)
    app = typer.Typer()
    app.command()(block_watch.main)
    done = CliRunner().invoke(app, ["--at", when])
    return done.exit_code, done.output


BOUGHT = {"capacity.ultraServers.rack-a.reservation": "cr-0123456789abcdef0"}


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(monkeypatch, BOUGHT, when="2026-11-30T11:40:00Z")
    assert (
        code == 0
        and "rack-a starts at 2026-12-01T11:30:00Z, in less than 24 hours" in said
        and "make preflight" in said
    )
    assert run(monkeypatch, BOUGHT, when="2026-11-20T11:40:00Z") == (0, "")


def test_an_example_is_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped stacks name blocks that nobody has: a message about them teaches to ignore all."""
    assert run(monkeypatch, {}, when="2026-11-30T11:40:00Z") == (0, "")


def test_a_bad_file_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(monkeypatch, {**BOUGHT, "network.cidr": "no"}, when="2026-11-30T11:40:00Z")
    assert code == 2 and "network.cidr" in said
