"""How long the steps of an operation took, from the engine's log of events, and whole operations, from a stack's history."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operations.events import CREATED, DELETED, DID
from recording.durations import ALONE, OWN, row_of, shipped, whole
from recording.graph import Node

KEPT = OWN.parent.parent / ".times"
"""A file for each stack: what its operations took on this machine."""

LEAST_S = 0.5
"""Of a step that begins and ends in one second: the log counts whole ones."""

FROM_NOTHING = 0.9
"""Share of what an `up` dealt with that it has to have created to count as one from nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One step of the engine that ended well, or a whole operation."""

    id: str
    """Row that it is a measurement of; a resource's key where only its own history tells."""
    what: str
    seconds: float
    at: str
    """Day, UTC."""


def measured(lines: Iterable[str]) -> list[Measured]:
    """Steps of a log that create or delete something. A preview's are left out, and a last line that was cut off."""
    begun: dict[tuple[str, str], int] = {}
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if began := _step(event, "resourcePreEvent"):
            begun[began["urn"], began["op"]] = event["timestamp"]
        elif ended := _step(event, "resOutputsEvent"):
            at = begun.pop((ended["urn"], ended["op"]), None)
            if at is not None and (one := _measured(ended, max(event["timestamp"] - at, LEAST_S), event["timestamp"])):
                found.append(one)
    return found


def _step(event: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    told = event.get(name) if isinstance(event, dict) else None
    return None if told is None or told.get("planning") or "timestamp" not in event else told["metadata"]


def _measured(step: Mapping[str, Any], seconds: float, at: int) -> Measured | None:
    kind = DID.get(step["op"])
    entry = step.get("new") or step.get("old") or {}
    if kind not in (CREATED, DELETED) or not entry.get("custom") or step["op"].startswith("import"):
        return None
    deleted = kind == DELETED
    node = Node(0, step["type"], step["urn"].rsplit("::", 1)[-1], step["urn"], inputs=entry.get("inputs") or {})
    row = row_of(node, deleted=deleted)
    if row is None or (deleted and row == row_of(node)):
        # A row for both says how long a call takes, which its creations tell.
        return None
    id_ = node.key if row in ALONE else row
    return Measured(id=id_, what=shipped()[row].what, seconds=float(seconds), at=_day(at))


def _day(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).date().isoformat()


def operations(stack: str, history: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """Whole operations of a stack's history (`pulumi stack history --json`): each `up` from nothing, and each destroy."""
    found = []
    for entry in history:
        changes = entry.get("resourceChanges") or {}
        wanted = {"update": "create", "destroy": "delete"}.get(str(entry.get("kind")))
        if wanted is None or entry.get("result") != "succeeded" or not entry.get("endTime"):
            continue
        if changes.get(wanted, 0) < FROM_NOTHING * sum(changes.values()) or not changes.get(wanted):
            continue
        start, end = (datetime.fromisoformat(entry[key]) for key in ("startTime", "endTime"))
        up = wanted == "create"
        what = "`up` from nothing" if up else "destroy"
        seconds = max((end - start).total_seconds(), LEAST_S)
        found.append(Measured(id=whole(stack, up=up), what=what, seconds=seconds, at=end.date().isoformat()))
    return found


def rows(found: Sequence[Measured], source: str) -> list[dict[str, Any]]:
    """Rows of a user's table, by id: as the published ones, with how many, and the day of the last."""
    by_id: dict[str, list[Measured]] = {}
    for item in found:
        by_id.setdefault(item.id, []).append(item)
    return [_row(id_, items, source) for id_, items in sorted(by_id.items())]


def _row(id_: str, items: Sequence[Measured], source: str) -> dict[str, Any]:
    seconds = sorted(item.seconds for item in items)
    return {
        "id": id_,
        "what": items[0].what,
        "median_s": round(statistics.median(seconds), 1),
        "min_s": seconds[0],
        "p90_s": seconds[math.ceil(0.9 * len(seconds)) - 1],
        "max_s": seconds[-1],
        "n": len(seconds),
        "source": source,
        "date": max(item.at for item in items),
    }


def keep(stack: str, found: Sequence[Measured], folder: Path | None = None) -> None:
    """Remember what an operation took. Whoever cannot write here has no times of their own, and nothing else fails."""
    folder = folder or KEPT
    if not found:
        return
    try:
        folder.mkdir(exist_ok=True)
        with (folder / f"{stack.replace('/', '.')}.jsonl").open("a") as file:
            file.writelines(json.dumps(asdict(item)) + "\n" for item in found)
    except OSError:
        return


def kept(folder: Path | None = None) -> list[Measured]:
    """All that was remembered. A line that was cut off is left out."""
    found = []
    for file in sorted((folder or KEPT).glob("*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                found.append(Measured(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return found
