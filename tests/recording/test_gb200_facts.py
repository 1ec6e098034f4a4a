"""What is known of P6e-GB200 on EKS, fact by fact, on what is recorded of the shipped GB200 stacks.

Rules ask whether a stack is right as far as they see; this asks whether what was read in the sources was built, line by line. The
table is gb200_facts.yaml, docs/gb200.md is written from it (`WRITE_DOCS=1`).
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from recording.graph import Graph
from recording.recorder import record
from stacks import stackfile
from tests.conftest import recorded
from tests.recording.gb200_facts import FACTS, TABLE, Fact, page, without

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gb200.md"

BEFORE = datetime(2026, 11, 29, 11, 30, tzinfo=UTC)
"""Two days before the shipped block starts."""

ASKED = [(fact, recording) for fact in FACTS.values() for recording in fact.recordings]


@cache
def graph_of(recording: str) -> Graph:
    if recording != "before":
        return recorded(f"gb200-{recording}")
    file = stackfile.read("gb200-prod")
    return record("gb200-prod", file.config, secret_keys=file.secret_keys, at=BEFORE)


@pytest.mark.parametrize(("fact", "recording"), ASKED, ids=[f"{fact.id}-{recording}" for fact, recording in ASKED])
def test_fact(fact: Fact, recording: str) -> None:
    assert fact.faults(graph_of(recording), recording) == []


@pytest.mark.parametrize(("fact", "recording"), ASKED, ids=[f"{fact.id}-{recording}" for fact, recording in ASKED])
def test_its_absence_is_noticed(fact: Fact, recording: str) -> None:
    """A row that holds whatever is built says nothing. Of each resource alone the value is taken away, or, where there has to be
    none, put there."""
    graph = graph_of(recording)
    subjects = fact.subjects(graph)
    for subject in subjects:
        assert fact.faults(without(fact, graph, recording, subject), recording), subject.key
    assert subjects or fact.expected(recording) == {"count": 0}


def test_every_row_is_read() -> None:
    """Of two rows with one name YAML keeps the last; of a misspelt key nothing is asked."""
    text = Path(__file__).with_name("gb200_facts.yaml").read_text().partition("\nfacts:\n")[2]
    assert sorted(re.findall(r"^    ([a-z0-9-]+):$", text, re.MULTILINE)) == sorted(FACTS)
    known = {
        "fact",
        "unsure",
        "section",
        "from",
        "of",
        "name",
        "at",
        "option",
        "in",
        "is",
        "has",
        "lacks",
        "count",
        "after",
    }
    assert {
        ident: odd for ident, fact in FACTS.items() if (odd := fact.row.keys() - known - TABLE["recordings"].keys())
    } == {}
    assert [ident for ident, fact in FACTS.items() if not all(map(fact.expected, fact.recordings))] == []
    assert len({fact.row["fact"] for fact in FACTS.values()}) == len(FACTS)


def test_page_is_current() -> None:
    """Whoever asks why a line is there looks it up by its place."""
    text = page()
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
