"""The engine's event log of a preview (`pulumi preview --event-log FILE`), read as a verdict on each resource. Pure, but for the file.

One JSON object a line, `apitype.EngineEvent` of pulumi's Go SDK: `resourcePreEvent.metadata` has `op`, `urn`, `detailedDiff`, `diffs`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recording.graph import Graph
from review.changes import Change, Changes, Difference, Op

REPLACING = ("replace", "create-replacement", "delete-replaced", "discard-replaced", "import-replacement")


COLOUR = re.compile(r"<\{%.*?%\}>")
"""Marks that the engine leaves to whoever shows its messages (sdk/go/common/diag/colors)."""


class NoLog(Exception):
    """A file that is no event log; the message says why."""


@dataclass(frozen=True)
class Preview:
    """What the engine said of one stack."""

    stack: str
    verdict: Mapping[str, Op]
    """By `type::name`; what stays as it is is left out."""
    paths: Mapping[str, tuple[tuple[str, bool], ...]]
    """Properties that differ, and whether that replaces."""
    errors: tuple[str, ...] = ()


@dataclass
class _Stack:
    verdict: dict[str, Op] = field(default_factory=dict)
    paths: dict[str, tuple[tuple[str, bool], ...]] = field(default_factory=dict)


def read(lines: Iterable[str]) -> Preview:
    """An event log. Raises NoLog."""
    stacks: dict[str, _Stack] = {}
    errors: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            raise NoLog(f"line {number} is no JSON; PREVIEW takes the file of `pulumi preview --event-log`") from None
        if not isinstance(event, dict):
            raise NoLog(f"line {number} is no event; PREVIEW takes the file of `pulumi preview --event-log`")
        _take(event, stacks, errors)
    if len(stacks) != 1:
        raise NoLog(f"it tells of {len(stacks)} stacks ({', '.join(stacks) or 'none'}), and one is looked for")
    ((name, found),) = stacks.items()
    return Preview(name, found.verdict, found.paths, tuple(dict.fromkeys(errors)))


def _take(event: Mapping[str, Any], stacks: dict[str, _Stack], errors: list[str]) -> None:
    said = event.get("diagnosticEvent") or {}
    if said.get("severity") == "error":
        errors.append(COLOUR.sub("", str(said.get("message", ""))).strip())
    metadata = (event.get("resourcePreEvent") or {}).get("metadata")
    if not metadata:
        return
    urn, op = str(metadata["urn"]), str(metadata.get("op"))
    stack, rest = urn.removeprefix("urn:pulumi:").split("::", 1)
    type_, _, name = rest.split("::", 1)[1].partition("::")
    found, key = stacks.setdefault(stack, _Stack()), f"{type_.rsplit('$', 1)[-1]}::{name}"
    if op in REPLACING:
        found.verdict[key] = "replace"
    elif op in ("create", "import"):
        found.verdict.setdefault(key, "create")
    elif op == "update":
        found.verdict.setdefault(key, "update")
    elif op == "delete":
        found.verdict.setdefault(key, "delete")
    detailed = metadata.get("detailedDiff")
    if isinstance(detailed, Mapping):
        found.paths[key] = tuple((path, "replace" in str(item.get("diffKind", ""))) for path, item in detailed.items())
    elif metadata.get("diffs"):
        keys = metadata.get("keys") or ()
        found.paths.setdefault(key, tuple((path, path in keys) for path in metadata["diffs"]))


def instead(preview: Preview, estimate: Changes) -> tuple[Changes, list[str]]:
    """The engine's verdict in place of the estimate, with what is known of each resource; and every point in which they differ."""
    old, new, items, differ = estimate.old, estimate.new, [], []
    custom = {node.key for graph in (old, new) for node in graph if node.custom}
    verdict: dict[str, Op] = {key: op for key, op in preview.verdict.items() if key in custom}
    strange = preview.verdict.keys() - {node.key for graph in (old, new) for node in graph}
    for key in dict.fromkeys([*_order(new), *reversed(_order(old))]):
        told, guessed = verdict.get(key), estimate.by_key.get(key)
        if told is not None:
            items.append(_change(key, told, guessed, old, new, preview.paths.get(key, ())))
        if told != (guessed.op if guessed else None):
            type_, _, name = key.partition("::")
            why = f" ({', '.join(path for path, _ in preview.paths.get(key, ()))})" if preview.paths.get(key) else ""
            differ.append(
                f"{type_.rsplit(':', 1)[-1]} {name}: estimated {_word(guessed.op if guessed else None)}, "
                f"the engine says {_word(told)}{why}"
            )
    differ += [
        f"{key}: the engine says {_word(preview.verdict[key])}, and neither side of the plan has it"
        for key in sorted(strange)
        if not key.startswith(("pulumi:", "dynamo-eks:"))
    ]
    return Changes(old, new, items), differ


def _word(op: str | None) -> str:
    return op or "nothing"


def _order(graph: Graph) -> list[str]:
    return [node.key for node in graph if node.custom]


def _change(
    key: str, op: Op, guessed: Change | None, old: Graph, new: Graph, paths: tuple[tuple[str, bool], ...]
) -> Change:
    if guessed is not None and guessed.op == op:
        return guessed
    before, after = old.by_key.get(key), new.by_key.get(key)
    return Change(
        key=key,
        op=op,
        before=before,
        after=after if op != "delete" else None,
        differences=guessed.differences
        if guessed is not None and guessed.differences
        else tuple(Difference(path=path, before=None, after=None, replaces=replaces) for path, replaces in paths),
        causes=tuple(path for path, replaces in paths if replaces),
        refused=op == "replace" and bool(before and after and before.protect and after.protect),
    )
