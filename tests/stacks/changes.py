"""What an edit of a stack file does, told from two recordings: no engine is asked.

Which property replaces something is read from the cards of AWS's types and, for objects, from the table that the engine tests hold
against the real provider's decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from recording.aws_types import CARDS
from recording.graph import Graph, Node
from review.edits import held, refused
from tests.engine.consequences import restarts
from tests.engine.replacements import IDENTITY, KUBERNETES, replaces

Verdict = Mapping[str, str]


def paths(old: Any, new: Any, at: str = "") -> list[str]:
    """Properties that differ, as dotted paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            path
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
            for path in paths(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
        ]
    return [at] if old != new else []


def _fixed(before: Node, node: Node) -> frozenset[str]:
    """Properties whose change makes another resource."""
    if node.type in CARDS:
        return CARDS[node.type].replaced.by(before.inputs, node.inputs)
    group, _, kind = node.type.removeprefix("kubernetes:").rpartition(":")
    version = group.removeprefix("core/")
    return KUBERNETES.get((version, kind), frozenset()) | IDENTITY


def compare(old: Graph, new: Graph) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """What happens to each resource that is touched, and which of its properties differ."""
    verdict: dict[str, str] = {}
    differ: dict[str, tuple[str, ...]] = {}
    for node in new:
        before = old.by_key.get(node.key)
        if not node.custom:
            continue
        if before is None:
            verdict[node.key] = "create"
        elif changed := paths(before.inputs, node.inputs):
            differ[node.key] = tuple(changed)
            verdict[node.key] = "replace" if any(replaces(path, _fixed(before, node)) for path in changed) else "update"
    for group in new.of("aws:eks/nodeGroup:NodeGroup"):
        # Its version is the template's latest, which only AWS counts.
        templates = [key for key in new.requires(group.key) if verdict.get(key) == "update" and "LaunchTemplate" in key]
        if templates and group.key in old.by_key:
            verdict.setdefault(group.key, "update")
            differ[group.key] = (*differ.get(group.key, ()), "launchTemplate.version")
    _follow(new, verdict, differ)
    verdict.update({node.key: "delete" for node in old if node.custom and node.key not in new.by_key})
    return verdict, differ


def _follow(graph: Graph, verdict: dict[str, str], differ: dict[str, tuple[str, ...]]) -> None:
    """Carry replacements on: whoever names a replaced resource by its id is given another one."""
    todo = [key for key, item in verdict.items() if item == "replace"]
    while todo:
        replaced = graph.by_key[todo.pop()]
        for node in graph:
            if not node.custom or verdict.get(node.key) in ("create", "replace"):
                continue
            named = [path for path, value in _texts(node.inputs) if value == replaced.id]
            if not named:
                continue
            differ[node.key] = (*differ.get(node.key, ()), *named)
            verdict[node.key] = "replace" if any(replaces(path, _fixed(node, node)) for path in named) else "update"
            if verdict[node.key] == "replace":
                todo.append(node.key)


def _texts(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every text below a value with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{at}[{number}]")
    elif isinstance(value, str):
        yield at, value


def options(old: Graph, new: Graph) -> bool:
    """Whether protection, retention or an order differs, or what the program gives out."""
    kept = [{node.key: (node.protect, node.retain_on_delete, node.provider) for node in graph} for graph in (old, new)]
    return kept[0] != kept[1] or old.outputs != new.outputs


def _kind(key: str) -> str:
    type_ = key.partition("::")[0]
    # What the provider tags, or as whom it acts, is not among the inputs of what it makes.
    providers = {"aws": "AWS provider (all that it tags)", "kubernetes": "Kubernetes provider"}
    name = type_.rsplit(":", 1)[-1]
    return providers[name] if type_.startswith("pulumi:providers:") else name


def told(old: Graph, new: Graph) -> tuple[str, str]:
    """In words: what the engine would do, and what restarts; or that AWS would refuse it."""
    if faults := refused(held(old), new):
        said = dict.fromkeys(f"{fault.words} (`{fault.id}`)" for fault in faults)
        return f"`make up` refuses it: {'; '.join(said)}", "nothing"
    verdict, differ = compare(old, new)
    parts = []
    for op in ("create", "update", "replace", "delete"):
        kinds = Counter(_kind(key) for key, item in verdict.items() if item == op)
        if kinds:
            parts.append(f"{op}s " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    return "; ".join(parts) or "nothing", "; ".join(dict.fromkeys(restarts(verdict, differ, old, new))) or "nothing"
