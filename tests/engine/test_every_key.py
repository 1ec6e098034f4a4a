"""Every key of a stack file does something, and docs/settings.md says what. No engine is needed; it takes a minute."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from recording.graph import Graph
from recording.recorder import record
from review import cost, cost_told
from stacks import stackfile
from tests.conftest import AT
from tests.stacks import changes
from tests.stacks.edited import ABSENT, changed
from tests.stacks.other_values import EXEMPT, JUDGED, OTHER
from tests.stacks.settings_page import keys, page

PAGE = stackfile.ROOT / "docs" / "settings.md"
SECRET = ("dynamo-eks:imagePullPassword",)


def planned(stack: str, *edits: Mapping[str, Any]) -> Graph:
    config: Any = stackfile.read(stack).config
    for edit in edits:
        config = changed(config, {path: ABSENT if value is None else value for path, value in edit.items()})
    return _planned(stack, json.dumps(config))


@cache
def _planned(stack: str, config: str) -> Graph:
    given = json.loads(config)
    return record(stack, given, secret_keys=tuple(key for key in SECRET if key in given), at=AT)


@cache
def done(key: str) -> tuple[str, str]:
    """What an edit of a key does, and what restarts."""
    if key.startswith(JUDGED):
        return "nothing: it is judged, by what the GPUs hold", "nothing"
    if key in EXEMPT:
        return EXEMPT[key], ""
    stack, before, edit = OTHER[key]
    old, new = planned(stack, before), planned(stack, before, edit)
    did, restarts = changes.told(old, new)
    if did == "nothing" and changes.options(old, new):
        did = "nothing in AWS or the cluster: protection or an output"
    if did == "nothing" and cost_told.as_json(cost.of(old)) != cost_told.as_json(cost.of(new)):
        did = "nothing made: the cost in the plan"
    return did, restarts


def test_every_key_has_a_row() -> None:
    """Prevents a key that nobody has tried, and a row of a key that is gone."""
    there = {key.path for key in keys() if not key.path.startswith(JUDGED)}
    assert there == {*OTHER, *EXEMPT}
    assert not {*OTHER} & {*EXEMPT}


@pytest.mark.sweep("key")
@pytest.mark.parametrize("key", sorted(OTHER))
def test_no_key_is_without_effect(key: str) -> None:
    """Prevents a key that is accepted and does nothing: its reader believes in a protection, a limit or an identity."""
    did, _ = done(key)
    assert did != "nothing"
    if not os.environ.get("WRITE_DOCS"):
        row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{key}` |"))
        assert row.endswith(f"| {' | '.join(done(key))} |"), "WRITE_DOCS=1 writes it again"


def test_the_page_is_current() -> None:
    """Prevents a reference of yesterday's settings."""
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page({key.path: done(key.path) for key in keys()}))
    text = PAGE.read_text()
    said = {
        line.split("`")[1]: tuple(line[2:-2].split(" | ")[-2:]) for line in text.splitlines() if line.startswith("| `")
    }
    assert text == page(said)


def test_every_key_says_what_it_is() -> None:
    """Prevents a row that leaves its reader with the name alone."""
    assert [key.path for key in keys() if not key.says] == []
