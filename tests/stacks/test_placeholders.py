"""What a reader has to fill in is shown, planned with something in its place, and never taken for a value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from review.plan import make
from stacks import stackfile
from stacks.placeholders import KNOWN, ToFillIn, stood_in, to_fill_in
from stacks.settings import Settings, SettingsError, left_open, own_window
from tests.conftest import STACKS

OF_AWS = [name for name in STACKS if name != "mocker-local"]


def test_every_known_one_is_shipped_somewhere() -> None:
    """A list in code that names what no file holds is a list nobody keeps."""
    used = {item.placeholder for name in STACKS for item in left_open(stackfile.read(name).config)}
    assert used == set(KNOWN)


@pytest.mark.parametrize("name", OF_AWS)
def test_whoever_may_reach_the_endpoint_is_for_the_reader_to_say(name: str) -> None:
    """A shipped range is somebody else's, or one that EKS refuses after 57 resources exist."""
    open_ = {item.key for item in left_open(stackfile.read(name).config)}
    assert {"account", "cluster.publicAccessCidrs[0]", "cluster.admins[0]"} <= open_


def test_a_value_keeps_what_stands_around_a_placeholder() -> None:
    given = {"cluster": {"publicAccessCidrs": ["<your-ip>/32"], "version": "1.35", "admins": []}, "on": True}
    assert stood_in(given) == {
        "cluster": {"publicAccessCidrs": ["192.0.2.1/32"], "version": "1.35", "admins": []},
        "on": True,
    }
    (found,) = to_fill_in(given)
    assert found == ToFillIn("cluster.publicAccessCidrs[0]", "<your-ip>/32", "<your-ip>")
    assert found.planned_as == "192.0.2.1/32" and found.meaning and found.find


@pytest.mark.parametrize("value", ["<think>", "<your_ip>", "<YOUR-IP>", "your-ip", "< your-ip >", 7, None, True, 1.5])
def test_what_is_no_placeholder_stays_as_it_is(value: Any) -> None:
    """Reasoning parsers take <think> for an argument; a misspelt placeholder is refused by the value's own type."""
    assert stood_in(value) == value and list(to_fill_in([value])) == []


def _parse(**cluster: Any) -> Settings:
    file = stackfile.read("g6e-dev")
    config = {**file.config, "dynamo-eks:cluster": {**file.config["dynamo-eks:cluster"], **cluster}}
    return Settings.parse("g6e-dev", config)


def test_settings_say_what_is_open() -> None:
    assert {item.key for item in _parse().to_fill_in} == {
        "account", "cluster.publicAccessCidrs[0]", "cluster.admins[0]",
    }  # fmt: skip
    assert [item.key for item in _parse(publicAccessCidrs=[], admins=[]).to_fill_in] == ["account"]


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({"publicAccessCidrs": ["192.0.2.1/32"]}, "cluster.publicAccessCidrs[0]"),
        ({"admins": ["arn:aws:iam::123456789012:role/platform"]}, "cluster.admins[0]"),
    ],
)
def test_what_stands_in_is_no_value(cluster: dict[str, Any], told: str) -> None:
    """Copied from a plan or from AWS's pages into the file, it would be refused by EKS and not here."""
    with pytest.raises(SettingsError) as error:
        _parse(**cluster)
    assert [fault.key for fault in error.value.faults] == [told]
    assert "stands in documentation" in str(error.value)


def test_a_fault_shows_what_the_file_has() -> None:
    with pytest.raises(SettingsError) as error:
        _parse(publicAccessCidrs=["<your-ip>/33"])
    assert '"<your-ip>/33"' in str(error.value)


@pytest.mark.parametrize("name", ["gb200-prod", "gb200-pair", "p5-reserved"])
def test_shipped_dates_do_not_rot(name: str) -> None:
    """README's own command failed from the day after the shipped block ended."""
    file = stackfile.read(name)
    plan = make(file)
    assert not plan.failed and [item.verdict for item in plan.verdicts if item.verdict != "pass"] == []
    assert plan.notes[0].startswith("as of 2026-12-01T11:30:00Z, when the stack's own blocks run")
    named = {**file.config, "dynamo-eks:capacity": stood_in(file.config["dynamo-eks:capacity"])}
    assert own_window(named) is None, "a block that is named is judged by the day it is"
    assert own_window(file.config) == datetime(2026, 12, 1, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "capacity",
    [
        None,
        "hello",
        {"ultraServers": "rack"},
        {"ultraServers": {"a": "rack", "b": {"reservation": "<reservation-id>", "start": "soon"}}},
        {"pools": {"a": {"reservations": "many"}, "b": {"reservations": ["<reservation-id>"]}}},
        '{"pools": {"a": {"reservations": [{"id": "<reservation-id>"}]}}}',
    ],
)
def test_a_window_that_cannot_be_read_is_none(capacity: Any) -> None:
    """Whatever else is wrong is told as faults, not as a traceback."""
    assert own_window({"dynamo-eks:capacity": capacity}) is None
