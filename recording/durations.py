"""How long things take: published durations as dated data, and a user's own, which go before them.

`durations.json` holds the published ones, each with how many measurements it rests on. `make times` writes the others into a file of
their own (`stacks/times.json`), by row, or by a resource's key where only its own history tells. The two are never mixed: a
row is one or the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from recording.aws_types import CARDS
from recording.aws_types.card import Takes
from recording.graph import Node

TABLE = Path(__file__).with_name("durations.json")
OWN = Path(__file__).resolve().parent.parent / "stacks" / "times.json"
"""Where `make times` writes, and the plan looks."""

ENOUGH = 3
"""Measurements from which on a median is told as measured."""

Told = Literal["yours", "measured", "assumed", "unmeasured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Duration:
    """One row. Seconds, or seconds for each GB where `per` says so."""

    id: str
    what: str
    median_s: float
    min_s: float
    p90_s: float
    max_s: float
    n: int
    source: str
    date: str
    per: str | None = None
    assumption: str | None = None
    """What is taken where nothing was measured, or beside the one thing that was."""
    own: bool = False

    @property
    def told(self) -> Told:
        """How far it can be trusted."""
        if self.own:
            return "yours"
        if not self.n:
            return "unmeasured"
        return "measured" if self.n >= ENOUGH else "assumed"


class BadTimes(Exception):
    """A table of times that cannot be read; the message says which and why."""


@cache
def shipped() -> Mapping[str, Duration]:
    """The published ones, by id."""
    return {row["id"]: Duration(**row) for row in json.loads(TABLE.read_text())["rows"]}


def own(path: Path | None = None) -> Mapping[str, Duration]:
    """A user's own, by row id or resource key; none where there is no such file."""
    path = path or OWN
    if not path.is_file():
        return {}
    try:
        return {row["id"]: Duration(**row, own=True) for row in json.loads(path.read_text())["rows"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BadTimes(f"{path}: {error}; `make times` writes it again, or remove it") from None


def known(path: Path | None = None) -> dict[str, Duration]:
    """All of them, a user's own before the published."""
    return {**shipped(), **own(path)}


RELEASES: Mapping[str, str] = {"gpu-operator": "gpu-operator-release"}
"""Rows by chart; every other one installs an operator."""

KINDS: Mapping[str, tuple[str, str]] = {
    "NodePool": ("kubernetes-object", "gpu-node-delete"),
    "Deployment": ("operator-release", "kubernetes-object"),
    "DynamoGraphDeployment": ("kubernetes-object", "graph-delete"),
    "Job": ("job-run", "kubernetes-object"),
}
"""Rows of creation and deletion by kind of object. What a graph goes through after its object is stored is no step of the engine."""


ALONE = frozenset(["job-run", "operator-release", "gpu-operator-release", "eks-addon-driver", "eks-addon-coredns"])
"""Rows of what waits for a node besides, or does work of its own: a measured time counts for that very resource alone."""


def whole(stack: str, *, up: bool) -> str:
    """Id of a user's own times of a whole `up` from nothing, or of a destroy."""
    return f"{'up' if up else 'destroy'} of {stack}"


def row_of(node: Node, *, deleted: bool = False) -> str | None:
    """Row of a resource's creation or deletion; None for what takes no time of its own."""
    if not node.custom or node.package == "pulumi":
        return None
    card = CARDS.get(node.type)
    if card is not None:
        return _chosen(card.deletion if deleted else card.duration, node.inputs)
    if node.type == "kubernetes:helm.sh/v3:Release":
        if deleted:
            return "release-delete"
        chart = str(node.inputs.get("chart")).rsplit("/", 1)[-1]
        return RELEASES.get(chart, "operator-release")
    kind = str(node.inputs.get("kind") or node.type.rsplit(":", 1)[-1])
    spec = node.inputs.get("spec")
    if kind == "Service" and isinstance(spec, Mapping) and spec.get("type") == "LoadBalancer":
        return "kubernetes-object" if deleted else "load-balancer-create"
    return KINDS.get(kind, ("kubernetes-object", "kubernetes-object"))[deleted]


def _chosen(takes: Takes, inputs: Mapping[str, Any]) -> str:
    return takes if isinstance(takes, str) else takes(inputs)
