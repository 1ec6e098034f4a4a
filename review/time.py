"""How long a stack takes: zero to first token, what waits for what, a block's window, and the way back.

A forward and a backward pass over the recorded graph, once with the median of each duration and once with its p90. Pure. Both suppose
that the engine starts everything at once that waits for nothing; the second supposes that everything is late together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from components.capacity.window import Window as BlockWindow
from recording import durations
from recording.durations import Duration, row_of
from recording.graph import Graph, Node
from recording.pool_blocks import pools
from recording.racks import racks
from review import blocks
from review.steps import Part, Step, first_token, steps, unknown
from rules.graphs import graphs

MEDIAN, P90 = "median_s", "p90_s"


@dataclass(frozen=True, slots=True)
class Pass:
    """When each step begins and ends, in seconds from the start, and by how much it may be late."""

    start: Mapping[str, float]
    end: Mapping[str, float]
    slack: Mapping[str, float]

    @property
    def total(self) -> float:
        return max(self.end.values(), default=0)


def passed(ordered: Sequence[Step], seconds: Mapping[str, float]) -> Pass:
    """Forward for the earliest start and end of each step, backward for how late it may end without anything ending later.

    `ordered` has each step after what it waits for; what it waits for and is not among them is done.
    """
    start: dict[str, float] = {}
    end: dict[str, float] = {}
    for step in ordered:
        start[step.key] = max((end[key] for key in step.after if key in end), default=0.0)
        end[step.key] = start[step.key] + seconds[step.key]
    total = max(end.values(), default=0.0)
    latest = dict.fromkeys(end, total)
    for step in reversed(ordered):
        begins = latest[step.key] - seconds[step.key]
        for key in step.after:
            if key in latest:
                latest[key] = min(latest[key], begins)
    return Pass(start, end, {key: latest[key] - end[key] for key in end})


def path(ordered: Iterable[Step], found: Pass, last: str) -> list[Step]:
    """The steps that decide when `last` ends, first one first: of what each waits for, what ends last."""
    by_key = {step.key: step for step in ordered}
    way = [by_key[last]]
    while before := [key for key in way[-1].after if key in by_key]:
        way.append(by_key[max(before, key=lambda key: found.end[key])])
    return way[::-1]


@dataclass(frozen=True, slots=True)
class Window:
    """A block: when its first graph answers, in seconds from its start, and the hours that are then left before the drain."""

    name: str
    reservation: str
    median: float
    p90: float
    hours: float
    """From its start to the drain."""
    usable: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """One stack, in time."""

    steps: Sequence[Step]
    table: Mapping[str, Duration]
    median: Pass
    p90: Pass
    tokens: Mapping[str, str]
    """Steps at which a graph answers, by `namespace/name`; none of graphs that wait for a block."""
    down_median: float
    down_p90: float
    windows: Sequence[Window]
    unknown: Sequence[str]
    """Models of unknown size, of which neither download nor load is counted."""

    @property
    def first(self) -> str | None:
        """The step at which the first graph answers."""
        return min(self.tokens.values(), key=lambda key: self.median.end[key], default=None)

    @property
    def critical(self) -> list[Step]:
        """What decides when the first graph answers; without a graph, when everything is there."""
        last = self.first or max(self.median.end, key=lambda key: self.median.end[key], default=None)
        return [step for step in path(self.steps, self.median, last) if self.took(step)] if last else []

    def took(self, step: Step) -> float:
        return self.median.end[step.key] - self.median.start[step.key]


def _seconds(ordered: Iterable[Step], table: Mapping[str, Duration], which: str) -> dict[str, float]:
    return {step.key: step.seconds(table, which) for step in ordered}


def timeline(graph: Graph, table: Mapping[str, Duration] | None = None) -> Timeline:
    """Of a recorded graph; `table` are the durations, by default the published ones and a user's own."""
    known = durations.known() if table is None else table
    every, known = _as_measured(graph, steps(graph), known)
    held = {node.key for node in blocks.left_out(graph)}
    now = [step for step in every if step.of not in held]
    waiting = {item.node.key for item in graphs(graph) if item.node.key in held}
    away = teardown(graph)
    return Timeline(
        now,
        known,
        passed(now, _seconds(now, known, MEDIAN)),
        passed(now, _seconds(now, known, P90)),
        {f"{item.namespace}/{item.name}": first_token(item) for item in graphs(graph) if item.node.key not in waiting},
        passed(away, _seconds(away, known, MEDIAN)).total,
        passed(away, _seconds(away, known, P90)).total,
        windows(graph, every, known),
        unknown(graph),
    )


def _as_measured(
    graph: Graph, every: list[Step], table: Mapping[str, Duration]
) -> tuple[list[Step], Mapping[str, Duration]]:
    """Steps and durations where a user's own runs tell of a graph: its first smoke test begins when its object is stored and ends
    with its first token, whatever happens in between."""
    for item in graphs(graph):
        key, answers = item.node.key, first_token(item)
        job = next((step for step in every if answers in step.after and step.key in table), None)
        if job is None:
            continue
        row = table[job.key]
        table = {**{id_: one for id_, one in table.items() if id_ != job.key}, answers: replace(row, id=answers)}
        every = [
            replace(step, after=(key,)) if step.key == answers else step
            for step in every
            if step.of != key or step.key in (key, answers)
        ]
    return every, table


def teardown(graph: Graph) -> list[Step]:
    """The destroy: each resource after everything that waited for it when it was made."""
    after: dict[str, list[str]] = {}
    for node in graph:
        for key in graph.direct(node):
            after.setdefault(key, []).append(f"{node.key} deleted")
    return [_deleted(node, tuple(after.get(node.key, ()))) for node in reversed(graph.nodes)]


def _deleted(node: Node, after: tuple[str, ...]) -> Step:
    row = None if node.retain_on_delete else row_of(node, deleted=True)
    # Another key than the creation's, whose time a user may have measured.
    key = f"{node.key} deleted"
    return Step(key=key, of=node.key, after=after, stage="destroy", what=node.name, parts=(Part(row),) if row else ())


def windows(graph: Graph, every: Sequence[Step], table: Mapping[str, Duration]) -> list[Window]:
    """Of each block with graphs: everything else was made before its start; its machines come, then what needs them."""
    found = []
    for name, reservation, window, first in _blocks(graph):
        keys = {node.key for node in first}
        keys |= {node.key for node in graph if keys & graph.requires(node.key)}
        inside = [step for step in every if step.of in keys]
        boot = Step(key=f"{name} boot", of=name, after=(), stage="rack", what=name, parts=_boot(graph, name))
        ordered = [boot, *(replace(step, after=(*step.after, boot.key)) for step in inside)]
        answers = [first_token(item) for item in graphs(graph) if item.node.key in keys]
        if not answers or window is None:
            continue
        median, p90 = (
            min(passed(ordered, _seconds(ordered, table, which)).end[key] for key in answers) for which in (MEDIAN, P90)
        )
        hours = (window.drain_at - window.start) / timedelta(hours=1)
        found.append(Window(name, reservation, median, p90, hours, max(hours - median / 3600, 0.0)))
    return found


def _boot(graph: Graph, name: str) -> tuple[Part, ...]:
    """A pool's machines are launched for the pods, and counted with each graph."""
    return (Part("rack-boot"),) if name in racks(graph) else ()


def _blocks(graph: Graph) -> Iterator[tuple[str, str, BlockWindow | None, list[Node]]]:
    """Every block: name, reservation, window, and what needs its machines first."""
    for name, rack in racks(graph).items():
        yield name, rack.reservation, rack.window, blocks.first_on_rack(graph, name, rack)
    for pool in pools(graph).values():
        first = [item.node for item in graphs(graph) if blocks.runs_only_on(item, pool)]
        for block in pool.blocks:
            yield pool.name, block.id, block.window, first


# --- for people and machines -----------------------------------------------------------------------------------------

SHOWN_SECONDS = 10
"""A step of the critical path that is shorter is left out of the text."""

STAGE_SECONDS = 30
"""A stage that is shorter has no place in one sentence."""


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def whole(seconds: float) -> str:
    return f"{seconds / 60:.0f}"


def stages(found: Timeline) -> dict[str, float]:
    """Seconds of the critical path by stage, in the order of the path."""
    by_stage: dict[str, float] = {}
    for step in found.critical:
        by_stage[step.stage] = by_stage.get(step.stage, 0.0) + found.took(step)
    return by_stage


def by_word(found: Timeline) -> dict[str, float]:
    """Seconds of the critical path by how far their durations can be trusted."""
    seconds: dict[str, float] = {}
    for step in found.critical:
        rows = {step.key: 1.0} if step.key in found.table else {part.row: part.amount for part in step.parts}
        for row, amount in rows.items():
            told = found.table[row].told
            seconds[told] = seconds.get(told, 0.0) + found.table[row].median_s * amount
    return seconds


def _trusted(found: Timeline) -> str:
    words = by_word(found)
    total = sum(words.values()) or 1.0
    guessed = (words.get("assumed", 0.0) + words.get("unmeasured", 0.0)) / total
    told = [f"{guessed:.0%} of it assumed" if guessed < 0.5 else f"most of it ({guessed:.0%}) assumed"]
    if own := words.get("yours"):
        told.insert(0, f"{own / total:.0%} of it from your own runs")
    return ", ".join(told)


def headline(graph: Graph, found: Timeline | None = None) -> str:
    """One sentence for the first screen: zero to first token with its largest parts, or relative to a block's start."""
    found = found or timeline(graph)
    if not found.steps:
        return "nothing is made, and nothing takes time"
    if found.first is None and found.windows:
        window = min(found.windows, key=lambda item: item.median)
        return (
            f"first token about {whole(window.median)} min after the start of {window.name} (p90 {whole(window.p90)}), "
            f"{window.usable:.1f} of {window.hours:.1f} hours before the drain left to serve; until then `make up` takes about "
            f"{whole(found.median.total)} min (p90 {whole(found.p90.total)})"
        )
    last = found.first
    what, ends = ("zero to first token", found.median.end[last]) if last else ("all made", found.median.total)
    late = found.p90.end[last] if last else found.p90.total
    parts = [f"{stage} {minutes(took)}" for stage, took in stages(found).items() if took >= STAGE_SECONDS]
    more = [_trusted(found)]
    latest = max((found.median.end[key] for key in found.tokens.values()), default=ends)
    if latest - ends >= 60:
        more.append(f"all graphs about {whole(latest)} min")
    if found.unknown:
        more.append(f"not counted: download and load of {', '.join(found.unknown)}, whose size is not known")
    return f"{what} about {whole(ends)} min (p90 {whole(late)}): {', '.join(parts)}; {'; '.join(more)}"


def lines(graph: Graph, found: Timeline | None = None) -> list[str]:
    """What decides how long it takes, in order, and how long the rest does."""
    found = found or timeline(graph)
    told = [f"Time: {headline(graph, found)}"]
    told.append(
        f"  `make up` ends after about {whole(found.median.total)} min (p90 {whole(found.p90.total)}), a destroy after "
        f"{whole(found.down_median)} min (p90 {whole(found.down_p90)})"
    )
    for up in (True, False):
        if row := found.table.get(durations.whole(graph.stack, up=up)):
            told.append(
                f"  your own: {row.what} took {whole(row.median_s)} min (median of {row.n}, the last on {row.date})"
            )
    if found.critical:
        told.append("  what waits for what, in minutes from the start:")
    for step in found.critical:
        if found.took(step) >= SHOWN_SECONDS:
            told.append(
                f"  {minutes(found.median.start[step.key]):>6} +{minutes(found.took(step)):<4} {step.stage}: {step.what} ({_basis(step, found)})"
            )
    for name, key in found.tokens.items():
        told.append(
            f"  first token of {name} after about {whole(found.median.end[key])} min (p90 {whole(found.p90.end[key])})"
        )
    for window in found.windows:
        told.append(
            f"  block of {window.name}: with all else made before, first token {whole(window.median)} min after its start (p90 "
            f"{whole(window.p90)}), {window.usable:.1f} of {window.hours:.1f} hours before the drain left to serve"
        )
    return told


def _basis(step: Step, found: Timeline) -> str:
    """What a step's duration rests on: that of its longest part."""
    if step.key in found.table:
        row = found.table[step.key]
    else:
        longest = max(step.parts, key=lambda part: found.table[part.row].median_s * part.amount)
        row = found.table[longest.row]
    if row.told == "yours":
        return f"yours, n {row.n}, {row.date}"
    return f"median of {row.n}" if row.told == "measured" else f"{row.told}{f', n {row.n}' if row.n else ''}"


def as_json(graph: Graph) -> dict[str, Any]:
    """The machine contract's `timeline`; keys and their meaning are in docs/plan.md."""
    found = timeline(graph)
    used = dict.fromkeys(
        row
        for step in found.steps
        for row in ([step.key] if step.key in found.table else [part.row for part in step.parts])
    )
    return {
        "headline": headline(graph, found),
        "firstToken": {
            name: {"medianS": _s(found.median.end[key]), "p90S": _s(found.p90.end[key])}
            for name, key in found.tokens.items()
        },
        "up": {"medianS": _s(found.median.total), "p90S": _s(found.p90.total), **_own(graph, found, up=True)},
        "destroy": {"medianS": _s(found.down_median), "p90S": _s(found.down_p90), **_own(graph, found, up=False)},
        "notCounted": list(found.unknown),
        "stages": [{"stage": stage, "seconds": _s(took)} for stage, took in stages(found).items()],
        "criticalPath": [step.key for step in found.critical],
        "steps": [
            {
                "key": step.key,
                "stage": step.stage,
                "startS": _s(found.median.start[step.key]),
                "endS": _s(found.median.end[step.key]),
                "slackS": _s(found.median.slack[step.key]),
                "p90StartS": _s(found.p90.start[step.key]),
                "p90EndS": _s(found.p90.end[step.key]),
            }
            for step in found.steps
            if found.took(step)
        ],
        "blocks": [
            {
                "name": window.name,
                "reservation": window.reservation,
                "firstTokenS": _s(window.median),
                "p90FirstTokenS": _s(window.p90),
                "hours": round(window.hours, 2),
                "hoursToServe": round(window.usable, 2),
            }
            for window in found.windows
        ],
        "durations": [_row(found.table[row]) for row in used],
    }


def _own(graph: Graph, found: Timeline, *, up: bool) -> dict[str, Any]:
    row = found.table.get(durations.whole(graph.stack, up=up))
    return {"ownS": row.median_s if row else None, "ownN": row.n if row else 0}


def _s(seconds: float) -> float:
    return round(seconds, 1)


def _row(row: Duration) -> dict[str, Any]:
    return {
        "id": row.id,
        "medianS": row.median_s,
        "minS": row.min_s,
        "p90S": row.p90_s,
        "maxS": row.max_s,
        "per": row.per,
        "n": row.n,
        "told": row.told,
        "assumption": row.assumption,
        "source": row.source,
        "date": row.date,
    }
