"""What is known beforehand to take a graph's workers away, and for how long: the life of nodes, their image, spot, the end of a block.

Pure: out of a recorded graph. How long a worker is away is one node, one image and one load of its model, by the same medians as the
timeline, and is told as assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from components.capacity.node_spec import drain_at
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from components.capacity.window import moment
from recording import durations
from recording.durations import Duration
from recording.graph import Graph
from recording.pool_blocks import RESERVED, pools
from recording.racks import SeenRack, racks
from review.steps import worker
from rules.graphs import POOL, pools_of
from rules.models import Served, served

Cause = Literal["life", "image", "spot", "block"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interruption:
    """Something that takes workers of one role away."""

    graph: str
    role: str
    cause: Cause
    when: str
    at: datetime | None
    """The moment, where there is one."""
    gone: int
    """Workers that are away at once."""
    workers: int
    minutes: int | None
    """How long one is away; None at the end of a block, after which none comes, and where nothing is known of the model."""


def away_minutes(item: Served, table: Mapping[str, Duration]) -> int | None:
    """From the end of one worker to the first token of the next; None where nothing is known of its model."""
    if item.facts is None:
        return None
    _, stages = worker(item)
    return math.ceil(sum(table[part.row].median_s * part.amount for _, parts in stages for part in parts) / 60)


def _budgeted(graph: Graph, item: Served) -> bool:
    name = f"{item.graph.name}-{item.role}"
    return any(
        budget.name == name and budget.namespace == item.graph.namespace
        for budget in graph.objects_of("PodDisruptionBudget")
    )


def _requirement(pool: Mapping[str, Any], key: str) -> list[str]:
    items = pool["spec"]["template"]["spec"].get("requirements", ())
    return [value for item in items if item["key"] == key for value in item.get("values", ())]


def interruptions(graph: Graph) -> list[Interruption]:
    """Of every role with GPUs, in the order of the graphs."""
    table = durations.known()
    return [found for item in served(graph) for found in _of(graph, item, table)]


def _of(graph: Graph, item: Served, table: Mapping[str, Duration]) -> Iterator[Interruption]:
    if not item.replicas:
        return
    common: dict[str, Any] = {
        "graph": f"{item.graph.namespace}/{item.graph.name}",
        "role": item.role,
        "workers": item.replicas,
    }
    selector = item.component.get("podTemplate", {}).get("spec", {}).get("nodeSelector", {})
    pool = pools_of(graph).get(selector.get(POOL))
    rack = _rack(graph, selector)
    if rack is not None and rack.window is not None:
        yield Interruption(
            **common, cause="block", when=f"the nodes of {rack.name} are drained", at=rack.window.drain_at,
            gone=item.replicas, minutes=None,
        )  # fmt: skip
    if pool is None:
        return
    name = pool["metadata"]["name"]
    minutes = away_minutes(item, table)
    drawn = pools(graph).get(name)
    drains = sorted(drain_at(block.end) for block in drawn.blocks if block.end) if drawn else []
    for at in drains:
        # The last block leaves nothing, unless the pool may launch something else.
        comes = at != drains[-1] or (drawn is not None and drawn.fallback and RESERVED.items() - selector.items())
        yield Interruption(
            **common, cause="block", when=f"the nodes of pool {name} are drained", at=at, gone=item.replicas,
            minutes=minutes if comes else None,
        )  # fmt: skip
    if drains:
        return
    away = {"gone": 1 if _budgeted(graph, item) else item.replicas, "minutes": minutes}
    life = pool["spec"]["template"]["spec"].get("expireAfter")
    yield Interruption(
        **common, **away, cause="life", when=f"each node of pool {name} is replaced {life} after its start", at=None
    )
    yield Interruption(
        **common, **away, cause="image", when="nodes are replaced for a new image, about weekly", at=None
    )
    if "spot" in _requirement(pool, "karpenter.sh/capacity-type"):
        # A spot machine is taken whatever a budget says.
        yield Interruption(
            **common, cause="spot", when="EC2 may take a spot machine with two minutes' notice", at=None,
            gone=item.replicas, minutes=away["minutes"],
        )  # fmt: skip


def _rack(graph: Graph, selector: Mapping[str, str]) -> SeenRack | None:
    seen = racks(graph)
    if RACK_LABEL in selector:
        return seen.get(selector[RACK_LABEL])
    return next(iter(seen.values()), None) if RACK_MARK in selector else None


def lines(graph: Graph) -> list[str]:
    """For each role what takes its workers away, when, and for how long."""
    by_role: dict[tuple[str, str], list[Interruption]] = {}
    for item in interruptions(graph):
        by_role.setdefault((item.graph, item.role), []).append(item)
    return [f"Interrupted {name} {role}: {_told(found)}" for (name, role), found in by_role.items()]


def _told(found: list[Interruption]) -> str:
    parts = []
    for item in found:
        if item.at is not None:
            parts.append(f"{item.when} at {moment(item.at)}{'' if item.minutes else ', and nothing comes after'}")
            continue
        parts.append(item.when)
    last = found[-1]
    away = [item for item in found if item.minutes is not None]
    many = f"{found[0].gone} of {last.workers} workers are" if last.workers > 1 else "its only worker is"
    tail = f"; then {many} away for about {away[0].minutes} minutes each time (assumed)" if away else ""
    return "; ".join(parts) + tail


def as_json(graph: Graph) -> list[dict[str, Any]]:
    """The same as data; keys and their meaning are in docs/plan.md."""
    return [
        {
            "graph": item.graph,
            "role": item.role,
            "cause": item.cause,
            "when": item.when,
            "at": item.at and moment(item.at),
            "gone": item.gone,
            "workers": item.workers,
            "awayMinutes": item.minutes,
        }
        for item in interruptions(graph)
    ]
