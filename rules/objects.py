"""Rules about rendered objects and chart values, against their real schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from review.graph import Graph, Node
from rules.model import Finding, Looked, rule

NAMESPACED_ANYWHERE = frozenset({"Namespace", "StorageClass", "NodePool", "NodeClass", "ClusterRole", "ClusterRoleBinding", "PriorityClass"})
"""Kinds the program renders that live outside namespaces."""


def versions(graph: Graph) -> tuple[str, str]:
    """Kubernetes and Dynamo version the stack's objects meet."""
    kubernetes = next((str(node.inputs.get("version")) for node in graph.of("aws:eks/cluster:Cluster")), "1.35")
    for node in graph.releases:
        chart = str(node.inputs.get("chart", ""))
        if "dynamo-platform" in chart:
            found = node.inputs.get("version") or next(iter(re.findall(r"dynamo-platform-(\d+\.\d+\.\d+)", chart)), None)
            if found:
                return kubernetes, str(found)
    return kubernetes, "1.5.0"


def chart_of(node: Node, dynamo: str) -> tuple[str, str]:
    """Chart name and version of a release; a packaged chart carries its version in its name."""
    chart = re.sub(r"-\d.*$", "", str(node.inputs.get("chart", "")).rsplit("/", 1)[-1])
    return chart, str(node.inputs.get("version") or dynamo)


@rule(
    "objects-strict",
    "Every rendered object has only fields its kind has, with the right types and all that is required.",
    "The API server drops a misspelt field and reports the object as created (measured with the real provider).",
)
def objects_strict(graph: Graph) -> Iterator[Finding | Looked]:
    from review.strict import Shapes

    shapes = Shapes.load()
    kubernetes, dynamo = versions(graph)
    for item in graph.objects:
        verdict = shapes.check(item.manifest, kubernetes=kubernetes, dynamo=dynamo)
        if verdict.state == "not checked":
            yield Finding(item.address, f"not checked: {verdict.note}", "warn")
            continue
        yield Looked(item.address)
        for fault in verdict.faults:
            hint = f"; {fault.hint}" if fault.hint else ""
            yield Finding(item.address, f"{fault.path}: {fault.message}{hint}")


@rule(
    "values-strict",
    "Every Helm value is at a path its chart has.",
    "Helm ignores an unknown value without a word, and the default stays.",
)
def values_strict(graph: Graph) -> Iterator[Finding | Looked]:
    from review.strict import Shapes

    shapes = Shapes.load()
    for node in graph.releases:
        _, dynamo = versions(graph)
        verdict = shapes.check_values(*chart_of(node, dynamo), node.inputs.get("values") or {})
        if verdict.state == "not checked":
            yield Finding(node.name, f"not checked: {verdict.note}", "warn")
            continue
        yield Looked(node.name)
        for fault in verdict.faults:
            hint = f"; {fault.hint}" if fault.hint else ""
            yield Finding(node.name, f"{fault.path}: {fault.message}{hint}")


@rule(
    "objects-namespaced",
    "Every object that lives in a namespace names it.",
    "An object without one goes to `default`, where nothing looks for it.",
)
def objects_namespaced(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects:
        yield Looked(item.address)
        if item.kind not in NAMESPACED_ANYWHERE and not item.namespace:
            yield Finding(item.address, "names no namespace; give metadata.namespace")
        if not item.name:
            yield Finding(f"{item.kind} {item.node.name}", "has no metadata.name; a random one would be given to it")
