"""Models on GPUs, as the plan shows them: one line for each graph, and the same as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from components.dynamo.models import gpus
from recording.graph import Graph
from rules.models import Served, gib, served


def by_graph(graph: Graph) -> dict[str, list[Served]]:
    """Roles with GPUs by the address of their graph."""
    found: dict[str, list[Served]] = {}
    for item in served(graph):
        found.setdefault(f"{item.graph.namespace}/{item.graph.name}", []).append(item)
    return found


def _role(item: Served) -> str:
    many = f"{item.replicas} x " if item.replicas != 1 else ""
    gpu = item.machines[0].gpu_name if item.machines else "GPUs that are not known"
    where = f"{item.role} {many}{item.gpus} {gpu}"
    fit = item.fit
    if fit is None:
        return where
    if fit.room <= 0:
        return f"{where}: {gib(fit.weights)} of weights on each do not fit {gib(fit.memory)}"
    each = f", {gib(fit.weights)} of weights and {gib(fit.room)} of KV on each"
    return f"{where}{each}: {fit.tokens:,} tokens, {fit.at_once:,} requests of {fit.context:,}"


def short(roles: list[Served]) -> str:
    """Model, format, GPUs and room of a graph in a few words: the room is that of all its decoding workers together."""
    first = roles[0]
    gpus_ = ", ".join(dict.fromkeys(item.machines[0].gpu_name if item.machines else "unknown GPU" for item in roles))
    if first.facts is None:
        return f"{first.started.model} on {gpus_}, of which nothing is known"
    last = roles[-1]
    fit = last.fit
    room = ""
    if fit is not None:
        room = (
            f", room for {fit.at_once * last.replicas:,} requests of {fit.context:,}"
            if fit.room > 0
            else ", DOES NOT FIT"
        )
    return f"{first.started.model} in {gpus.words(first.facts.format)} on {gpus_}{room}"


def lines(graph: Graph) -> list[str]:
    """One line for each graph with GPUs: its model, and by role the weights and the room for keys and values (KV)."""
    return [f"Graph {name}: {_model(roles)}; {'; '.join(map(_role, roles))}" for name, roles in by_graph(graph).items()]


def _model(roles: Iterable[Served]) -> str:
    first = next(iter(roles))
    if first.facts is None:
        return f"{first.started.model}, of which nothing is known"
    return f"{first.started.model} in {gpus.words(first.facts.format)}, {gib(first.facts.weight_bytes)}"


def as_json(graph: Graph) -> list[dict[str, Any]]:
    """The same as data; keys and their meaning are in docs/plan.md."""
    found = []
    for name, roles in by_graph(graph).items():
        for item in roles:
            facts, fit, how = item.facts, item.fit, item.started.how
            found.append(
                {
                    "graph": name,
                    "role": item.role,
                    "model": item.started.model,
                    "known": facts is not None,
                    "format": facts and facts.format,
                    "weightBytes": facts and facts.weight_bytes,
                    "replicas": item.replicas,
                    "gpus": item.gpus,
                    "gpu": item.machines[0].gpu_name if item.machines else None,
                    "tensor": how.tensor,
                    "pipeline": how.pipeline,
                    "data": how.data,
                    "experts": how.experts,
                    "perGpu": fit
                    and {
                        "memoryBytes": fit.memory,
                        "weightBytes": fit.weights,
                        "assumedBytes": fit.overhead,
                        "kvBytes": fit.room,
                        "kvBytesPerToken": fit.token,
                    },
                    "tokens": fit and fit.tokens,
                    "context": fit and fit.context,
                    "longestContext": fit and fit.longest,
                    "requests": fit and fit.at_once,
                }
            )
    return found
