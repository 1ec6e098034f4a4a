"""Models that a graph names beside its own, such as a draft model for speculative decoding: `{models.draft}` in arguments, variables and
engine options stands for the path at which that model lies in the cache. Pure.

Workers are offline and a download is one commit, so that a repository's name alone would be looked for and not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .download import snapshot_path
from .spec import Frontend, Graph, ModelSource, Worker

REFERENCE = re.compile(r"\{models\.([^{}]*)\}")


def _parts(graph: Graph) -> dict[str, Frontend | Worker]:
    parts = {"frontend": graph.frontend, "worker": graph.worker, "prefill": graph.prefill, "decode": graph.decode}
    return {name: part for name, part in parts.items() if part is not None}


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts(below, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for position, below in enumerate(value):
            yield from _texts(below, f"{key}[{position}]")


def references(graph: Graph) -> list[tuple[str, str]]:
    """Models named in a graph's words, each with the setting below the graph that names it (`worker.extraArgs[1]`)."""
    found = []
    for name, part in _parts(graph).items():
        words = {"extraArgs": part.extra_args, "env": part.env, "engine": getattr(part, "engine", {})}
        for key, text in _texts(words, name):
            found += [(key, model) for model in REFERENCE.findall(text)]
    return found


def named(graph: Graph) -> tuple[str, ...]:
    """Models of a graph, each once: its own first."""
    return tuple(dict.fromkeys([graph.model, *(model for _, model in references(graph))]))


def _put(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: paths[match[1]], value)
    if isinstance(value, Mapping):
        return {name: _put(below, paths) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_put(below, paths) for below in value)
    return value


def resolved(graph: Graph, models: Mapping[str, ModelSource]) -> Graph:
    """The graph with paths in place of references. Raises KeyError for a model that is not there."""
    if not references(graph):
        return graph
    paths = {key: snapshot_path(model.repository, model.revision) for key, model in models.items()}
    changed = {}
    for name, part in _parts(graph).items():
        update = {"extra_args": _put(part.extra_args, paths), "env": _put(part.env, paths)}
        if isinstance(part, Worker):
            update["engine"] = _put(part.engine, paths)
        changed[name] = part.model_copy(update=update)
    return graph.model_copy(update=changed)
