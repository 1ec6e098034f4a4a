"""Rules about rendered objects and chart values, against their real schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recording.graph import Graph, Node
from rules.model import Finding, Looked, rule

NAMESPACED_ANYWHERE = frozenset(
    {
        "Namespace", "StorageClass", "NodePool", "NodeClass", "ClusterRole", "ClusterRoleBinding", "PriorityClass",
        "Queue", "Topology", "ClusterTopologyBinding",
    }
)  # fmt: skip
"""Kinds the program renders that live outside namespaces."""


DEFAULT_KUBERNETES = "1.35"
"""Version taken for a cluster that the program did not make and cannot ask offline."""


def versions(graph: Graph) -> dict[str, str]:
    """Version of everything that brings kinds with it, by the name its tables have: Kubernetes and every chart."""
    found = {
        "kubernetes": next(
            (str(node.inputs.get("version")) for node in graph.of("aws:eks/cluster:Cluster")), DEFAULT_KUBERNETES
        )
    }
    for node in graph.releases:
        chart, version = chart_of(node)
        found[chart] = version
    return found


_TABLE_NAMES = {"grove-charts": "grove"}
"""Charts whose table is named after their project."""


def chart_of(node: Node) -> tuple[str, str]:
    """Chart name and version of a release; a packaged chart carries its version in its name."""
    reference = str(node.inputs.get("chart")).rpartition("/")[2]
    reference = _TABLE_NAMES.get(reference, reference)
    match = re.fullmatch(r"(.+?)-v?(\d+\.\d+.*?)(?:\.tgz)?", reference)
    if match:
        return match[1], str(node.inputs.get("version") or match[2])
    return reference, str(node.inputs.get("version") or "")


@rule(
    "objects-strict",
    "Every rendered object has only fields its kind has, with the right types and all that is required.",
    "The API server drops a misspelt field and reports the object as created (measured with the real provider).",
    of="program",
)
def objects_strict(graph: Graph) -> Iterator[Finding | Looked]:
    from schemas.strict import Shapes

    shapes = Shapes.load()
    running = versions(graph)
    for item in graph.objects:
        verdict = shapes.check(item.manifest, running)
        if verdict.state == "not checked":
            yield Finding(item.address, f"not checked: {verdict.note}", "warn")
            continue
        yield Looked(item.address)
        for fault in verdict.faults:
            yield Finding(item.address, str(fault))


@rule(
    "values-strict",
    "Every Helm value is at a path its chart has.",
    "Helm ignores an unknown value without a word, and the default stays.",
    of="stack",
)
def values_strict(graph: Graph) -> Iterator[Finding | Looked]:
    from schemas.strict import Shapes

    shapes = Shapes.load()
    for node in graph.releases:
        verdict = shapes.check_values(*chart_of(node), node.inputs.get("values") or {})
        if verdict.state == "not checked":
            yield Finding(node.name, f"not checked: {verdict.note}", "warn")
            continue
        yield Looked(node.name)
        for fault in verdict.faults:
            yield Finding(node.name, str(fault))


@rule(
    "objects-namespaced",
    "Every object that lives in a namespace names it.",
    "An object without one goes to `default`, where nothing looks for it.",
    of="program",
)
def objects_namespaced(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects:
        yield Looked(item.address)
        if item.kind not in NAMESPACED_ANYWHERE and not item.namespace:
            yield Finding(item.address, "names no namespace; give metadata.namespace")
        if not item.name:
            yield Finding(f"{item.kind} {item.node.name}", "has no metadata.name; a random one would be given to it")
