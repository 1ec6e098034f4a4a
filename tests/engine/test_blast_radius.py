"""What each edit of a stack file does: the engine's own verdict, asserted, and written down for whoever edits.

Every stack is brought up once; then each edit is only previewed. `WRITE_DOCS=1` writes docs/what-changing-it-does.md again.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pulumi
import pytest

from recording.graph import Graph
from recording.recorder import record
from review.edits import Fault, held, refused
from review.restarts import restarts
from rules.storage import STATEFUL
from stacks.settings import schema
from tests.conftest import AT
from tests.engine.edits import EDITS, Edit
from tests.engine.engine import ROOT, Outcome, Stack, edited, shipped
from tests.engine.test_life import released
from tools.share import of_this_run

BY_STACK = sorted(EDITS, key=lambda edit: edit.stack)
"""One stack after the other: they share a cluster."""

DOCUMENT = ROOT / "docs" / "what-changing-it-does.md"


@dataclass
class Seen:
    """What came of an edit."""

    edit: Edit
    outcome: Outcome
    changes: list[str]
    """`operation Type name`, without components."""
    restarts: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """What AWS refuses of it. The engine's preview does not know."""


@pytest.fixture(scope="module")
def previews(make_stack: Callable[..., Stack]) -> Iterator[Callable[[Edit], Seen]]:
    """Preview an edit on its stack, which is brought up when it is first asked for."""
    stacks: dict[str, Stack] = {}
    seen: dict[str, Seen] = {}

    def preview(edit: Edit) -> Seen:
        if edit.id in seen:
            return seen[edit.id]
        if edit.stack not in stacks:
            for name in list(stacks):
                _end(stacks.pop(name))  # they share one cluster
            stacks[edit.stack] = make_stack(edit.stack, checkpoints=False)
            stacks[edit.stack].up()
        stack = stacks[edit.stack]
        stack.configure(edited(shipped(edit.stack), edit.changes))
        outcome = stack.preview(may_fail=True)
        changes = [f"{op} {_short(key)}" for key, op in sorted(outcome.verdict.items()) if not _component(key)]
        after = _graph(edit.stack, stack.config)
        diffs = {step.key: step.diffs for step in outcome.steps if step.diffs}
        found = []
        if outcome.error is None:
            found = restarts(outcome.verdict, diffs, _known(edit.stack), after)
        faults = refused(held(_known(edit.stack)), after) if after is not None else []
        seen[edit.id] = Seen(edit, outcome, changes, found, faults)
        return seen[edit.id]

    yield preview
    for stack in stacks.values():
        _end(stack)


def _end(stack: Stack) -> None:
    stack.configure(released(shipped(stack.name)))
    stack.up()
    stack.destroy()


def _graph(name: str, config: Mapping[str, Any]) -> Graph | None:
    try:
        return record(name, config, at=AT)
    except pulumi.RunError:
        return None


def _known(name: str) -> Graph:
    found = _graph(name, shipped(name))
    assert found is not None
    return found


def _component(key: str) -> bool:
    return key.startswith(("dynamo-eks:", "eks:index:", "kubernetes:yaml"))


def _short(key: str) -> str:
    type_, _, name = key.partition("::")
    return f"{type_.rsplit(':', 1)[-1]} {name}"


@pytest.mark.sweep("edit.stack")
@pytest.mark.parametrize("edit", BY_STACK, ids=lambda edit: edit.id)
def test_edit(edit: Edit, previews: Callable[[Edit], Seen]) -> None:
    """Prevents an edit that looks harmless and takes a cluster, a cache or a rack with it."""
    seen = previews(edit)
    outcome = seen.outcome
    assert {fault.id for fault in seen.faults} == set(edit.aws)
    if edit.refused is not None:
        assert outcome.error is not None
        said = "\n".join(outcome.messages)
        if edit.refused in STATEFUL.values():
            # The engine names what is protected; the setting that releases it is the one that README and destroy name.
            held = {key for key in outcome.verdict if re.search(rf"(replace|cannot be deleted|{re.escape(key)})", said)}
            assert "protected" in said or "marked for protection" in said
            assert {STATEFUL[key.split("::")[0]] for key in held if key.split("::")[0] in STATEFUL} >= {edit.refused}
        else:
            assert edit.refused in said
        return
    assert outcome.error is None, outcome.messages
    assert [item for item in seen.changes if not any(fnmatchcase(item, one) for one in edit.expect)] == []
    assert [one for one in edit.expect if not any(fnmatchcase(item, one) for item in seen.changes)] == []


_CHECKS = {"Job", "ConfigMap", "MPIJob"}
"""What runs once and is simply run again."""


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.id)
def test_the_schema_says_so(edit: Edit) -> None:
    """Prevents a description that promises an update in place for a key that replaces something."""
    told = description(edit.key) or ""
    replaced = [item for item in edit.expect if item.startswith("replace ") and item.split()[1] not in _CHECKS]
    if replaced or edit.refused in STATEFUL.values():
        assert re.search(r"\b(replaces?|refuses|another)\b", told, re.IGNORECASE), (
            f"{edit.key}: {told!r} {replaced or edit.refused}"
        )
    elif edit.key not in _BOTH and edit.expect:
        assert not re.search(r"\breplaces the (?!nodes)", told), f"{edit.key}: {told!r}, and nothing is replaced"


_BOTH = {"graphs.*.worker", "network.zones", "gpu.operator.version"}
"""Keys that replace something or not, by the edit or, where one description is of several, by the key."""


def description(key: str) -> str | None:
    """What the schema says of a key; `*` is an entry's name."""
    document = schema()
    section, *rest = key.split(".")
    name = section if ":" in section else f"dynamo-eks:{section}"
    at: Any = document["properties"]["config"]["properties"][name]
    for part in rest:
        at = _resolved(at, document)
        if part != "*":
            at = at["properties"][part]
        else:
            at = at.get("additionalProperties") or next(iter(at["patternProperties"].values()))
    return at.get("description") or _resolved(at, document).get("description")


def _resolved(at: Any, document: Any) -> Any:
    while True:
        if "$ref" in at:
            at = document["$defs"][at["$ref"].rsplit("/", 1)[1]]
        elif "allOf" in at and "properties" not in at:
            at = at["allOf"][0]
        elif "anyOf" in at and "properties" not in at:
            at = next(item for item in at["anyOf"] if item.get("type") != "null")
        elif at.get("type") == "array":
            at = at.get("items", {})
        else:
            return at


def test_at_least_forty() -> None:
    assert len(EDITS) >= 40


def test_the_document_is_current(previews: Callable[[Edit], Seen]) -> None:
    """Prevents a document that tells of yesterday's program."""
    stacks = of_this_run(dict.fromkeys(edit.stack for edit in BY_STACK))
    chosen = [edit for edit in BY_STACK if edit.stack in stacks]
    text = document([previews(edit) for edit in chosen])
    if os.environ.get("WRITE_DOCS") and len(chosen) == len(EDITS):
        DOCUMENT.write_text(text)
    there = DOCUMENT.read_text()
    assert [row for row in text.splitlines() if row not in there.splitlines()] == [], "WRITE_DOCS=1 writes it again"
    assert len(there.splitlines()) == len(text.splitlines()) + len(EDITS) - len(chosen)


def document(seen: list[Seen]) -> str:
    by_id = {item.edit.id: item for item in seen}
    lines = [
        "# What changing it does",
        "",
        "Generated from the engine's own previews (`WRITE_DOCS=1 make test-engine`): each stack was brought up, and each",
        "edit previewed on it. `replaces` means a new one and the old one gone; checks that simply run again are left out.",
        "What restarts is told from the objects by the operators' documented rules, not measured. Where AWS refuses what the",
        "engine's preview shows, its own words stand there, and what to do instead.",
        "",
        "| Setting | Edit (stack) | The engine | What restarts |",
        "|---|---|---|---|",
    ]
    for edit in EDITS:
        if edit.id not in by_id:
            continue
        item = by_id[edit.id]
        cells = [f"`{edit.key}`", f"{edit.what} ({edit.stack})", _engine(item), _after(item)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _engine(item: Seen) -> str:
    refused = item.edit.refused
    if refused is not None and refused in STATEFUL.values():
        return f"refused before anything starts, while `{refused}` is true"
    if item.outcome.error is not None:
        return "refused before anything starts"
    if item.faults:
        said = dict.fromkeys(f"{fault.words} (`{fault.id}`)" for fault in item.faults)
        return f"`make up` refuses it before anything starts: {'; '.join(said)}"
    ops: dict[str, list[str]] = {}
    for change in item.changes:
        op, type_, name = change.split(" ", 2)
        if not (op == "replace" and type_ in _CHECKS and not name.startswith("cache-")):
            ops.setdefault(op, []).append(f"{type_} {name}")
    if not ops:
        return "runs checks again" if item.changes else "nothing"
    parts = []
    for op in ("create", "update", "replace", "delete"):
        named = ops.get(op, [])
        if len(named) > 4:
            counted = Counter(entry.split(" ")[0] for entry in named)
            parts.append(f"{op}s " + ", ".join(f"{count} {type_}" for type_, count in sorted(counted.items())))
        elif named:
            parts.append(f"{op}s " + ", ".join(named))
    return "; ".join(parts)


def _after(item: Seen) -> str:
    if item.faults and item.outcome.error is None:
        return "Instead: " + "; ".join(dict.fromkeys(fault.instead for fault in item.faults))
    sentences = [*item.restarts, *([item.edit.note.rstrip(".")] if item.edit.note else [])]
    return "; ".join(sentences) or ("" if item.outcome.error else "nothing")
