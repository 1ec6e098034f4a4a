"""How a graph lives through what takes its pods away: rolling updates, and nodes that expire, drift or are consolidated. Pure.

The operator rolls workers outside Grove by two annotations, 25 % of surge and 25 % unavailable by default, the first rounded up and
the second down: a role of one to three workers waits for a machine more than it has. Where none can come, it would wait for ever
(ai-dynamo/dynamo #13580, airunway #400). Grove takes one worker away and puts none beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .spec import Graph, Worker

GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
COMPONENT_LABEL = "nvidia.com/dynamo-component"
"""Labels the operator puts on every pod of a graph (operator v1beta1)."""

MAX_SURGE = "nvidia.com/deployment-rolling-update-max-surge"
MAX_UNAVAILABLE = "nvidia.com/deployment-rolling-update-max-unavailable"
"""Read from the metadata of a component's pod template (Dynamo documentation, rolling updates of a graph)."""

DEFAULT = "25%"


def share(told: str, of: int, *, up: bool) -> int:
    """A count or a percentage of so many pods as a number, rounded up or down."""
    if not told.endswith("%"):
        return int(told)
    whole, rest = divmod(of * int(told[:-1]), 100)
    return whole + (1 if up and rest else 0)


def surge(graph: Graph, worker: Worker) -> int:
    """Workers of a role that an update puts beside those that are there."""
    return share(graph.rollout.max_surge or DEFAULT, worker.replicas, up=True)


def pace(graph: Graph, *, roomy: bool) -> dict[str, str]:
    """Annotations of a role's pods. `roomy`: whether machines can come, or stand free, for what an update puts beside. Without room
    one worker goes first, and its successor takes its place."""
    told = {MAX_SURGE: graph.rollout.max_surge, MAX_UNAVAILABLE: graph.rollout.max_unavailable}
    if not roomy and not any(told.values()):
        told = {MAX_SURGE: "0", MAX_UNAVAILABLE: "1"}
    return {key: value for key, value in told.items() if value}


def budgets(name: str, graph: Graph, parts: Mapping[str, int]) -> list[dict[str, Any]]:
    """PodDisruptionBudgets of a graph; `parts` are pods by component. One of them at a time may be evicted, so that the next node is
    not drained before the pod of the last one serves again; a component of one pod has none, for it would never let its node go."""
    if not graph.pod_disruption_budget:
        return []
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": f"{name}-{component}", "namespace": graph.namespace},
            "spec": {
                "minAvailable": pods - 1,
                "selector": {"matchLabels": {GRAPH_LABEL: name, COMPONENT_LABEL: component}},
                # A pod that does not serve anyway must not keep its node.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
        for component, pods in parts.items()
        if pods > 1
    ]
