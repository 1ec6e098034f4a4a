"""A stack's plan: what the program registers, what the rules say, what is taken for granted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from components.capacity.window import moment
from recording.graph import Graph
from review import cost, cost_told
from review.cost import Cost
from rules.model import Verdict
from stacks.placeholders import ToFillIn
from stacks.stackfile import StackFile


@dataclass(frozen=True)
class Plan:
    """One stack, planned."""

    stack: str
    graph: Graph
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    """What the strict check was made against, where that is not the version itself."""
    to_fill_in: tuple[ToFillIn, ...] = ()
    """What the reader of the stack file still has to fill in."""

    @property
    def failed(self) -> bool:
        return any(verdict.verdict == "fail" for verdict in self.verdicts)

    @cached_property
    def cost(self) -> Cost:
        """What it costs, at dated list prices."""
        return cost.of(self.graph)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Everything the plan takes for granted, each with where it comes from."""
        from rules.models import unknown

        why = {node.assumed for node in self.graph if node.assumed}
        return (
            *self.graph.assumptions,
            *sorted(why),
            *unknown(self.graph),
            *cost_told.assumptions(self.cost),
            *self.notes,
        )


def make(file: StackFile, *, preview: bool = False, at: datetime | None = None) -> Plan:
    """Plan a stack file. Raises `pulumi.RunError` when its settings are bad; then nothing was registered."""
    from recording.recorder import record
    from rules import judge
    from stacks.settings import left_open, own_window

    notes = []
    if at is None and (at := own_window(file.config)):
        notes = [f"as of {moment(at)}, when the stack's own blocks run: their reservations are still to fill in"]
    graph = record(file.stack, file.config, secret_keys=file.secret_keys, preview=preview, at=at, source=file.path)
    verdicts = tuple(judge(graph, allow=_allowed(file.config)))
    return Plan(file.stack, graph, verdicts, (*notes, *_notes(graph)), left_open(file.config))


def _allowed(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Reasons by rule, of a configuration that the program has found to be right."""
    given = config.get("dynamo-eks:review") or {}
    allow = (json.loads(given) if isinstance(given, str) else given).get("allow", {})
    return {rule: reason.strip() for rule, reason in allow.items()}


def _notes(graph: Graph) -> list[str]:
    """Where a kind or chart is checked against another version's table, once each."""
    from rules.objects import chart_of, versions
    from schemas.strict import Shapes

    shapes, running = Shapes.load(), versions(graph)
    kinds = dict.fromkeys((item.manifest.get("apiVersion", ""), item.kind) for item in graph.objects)
    notes = [shapes.note_for(f"{version}/{kind}", running) for version, kind in kinds]
    notes += [shapes.note_for_chart(*chart_of(node)) for node in graph.releases]
    return list(dict.fromkeys(filter(None, notes)))
