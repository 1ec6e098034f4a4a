"""What restarts when the engine carries a verdict out: told from the objects before and after, by documented rules.

The engine knows resources only. What a changed object does to pods and nodes is the operators' part:
a changed pod template rolls a component (Dynamo operator), changed static fields of a NodePool's template or a NodeClass
make its nodes drift, and they are replaced one by one within the disruption budget (Karpenter, "Drift"), a changed launch
template, release or version rolls a managed node group one node at a time (EKS, "Update a managed node group").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recording.graph import Graph, Node

GRAPH = "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"
POOL = "kubernetes:karpenter.sh/v1:NodePool"
CLASS = "kubernetes:eks.amazonaws.com/v1:NodeClass"
GROUP = "aws:eks/nodeGroup:NodeGroup"
CLUSTER = "aws:eks/cluster:Cluster"
RELEASE = "kubernetes:helm.sh/v3:Release"

SELECTORS = ("subnetSelectorTerms", "securityGroupSelectorTerms", "capacityReservationSelectorTerms")
"""Of a NodeClass: nodes drift only when they are no longer selected."""

How = Literal["end", "again", "rolling", "scale", "drain", "nodes", "misfit", "upgrade", "controllers"]
"""`end`: all pods for good. `again`: all pods at once, and new ones come. `rolling`: those of `roles`, one after another. `scale`:
nothing restarts. `drain`: the nodes go. `nodes`: they are replaced one by one; `misfit`: only those that no longer fit. `upgrade`: of
the cluster, and then of the nodes. `controllers`: only those of a chart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restart:
    """What one changed resource does to pods and nodes."""

    key: str
    name: str
    """Of the object in the cluster; of a NodeClass it is its pool's."""
    how: How
    words: str
    roles: tuple[str, ...] = ()


def restarts(
    verdict: Mapping[str, str], diffs: Mapping[str, tuple[str, ...]], old: Graph, new: Graph | None
) -> list[str]:
    """Sentences about pods and nodes, in the order of the graph."""
    return [item.words for item in found(verdict, diffs, old, new)]


def found(
    verdict: Mapping[str, str], diffs: Mapping[str, tuple[str, ...]], old: Graph, new: Graph | None
) -> list[Restart]:
    """Everything that restarts, in the order of the graph."""
    return [
        item
        for node in old
        if (op := verdict.get(node.key)) is not None
        for item in _of(node, op, diffs.get(node.key, ()), new.by_key.get(node.key) if new is not None else None)
    ]


def _of(node: Node, op: str, diffs: tuple[str, ...], later: Node | None) -> Iterator[Restart]:
    name = (node.inputs.get("metadata") or {}).get("name", node.name)
    after = later.inputs if later else {}

    def restart(how: How, words: str, name: str = name, roles: tuple[str, ...] = ()) -> Restart:
        return Restart(key=node.key, name=name, how=how, words=words, roles=roles)

    if node.type == GRAPH:
        for how, words, roles in _graph(name, op, node.inputs, after):
            yield restart(how, words, roles=roles)
    elif node.type == POOL:
        for how, words in _pool(name, op, node.inputs, after):
            yield restart(how, words)
    elif node.type == CLASS and op == "update" and later is not None:
        for how, words in _class(name, node.inputs["spec"], after["spec"]):
            yield restart(how, words)
    elif node.type == GROUP and op == "update":
        if any(path.startswith(("launchTemplate", "releaseVersion", "version")) for path in diffs):
            group = node.inputs["nodeGroupName"]
            yield restart("nodes", f"nodes of {group} are replaced one at a time", group)
    elif node.type == CLUSTER and "version" in diffs:
        yield restart("upgrade", "the control plane is upgraded, then Auto Mode replaces its nodes one by one")
    elif node.type == RELEASE and op in ("update", "replace"):
        away = "restart, what runs goes on" if op == "update" else "are away for a while"
        yield restart("controllers", f"the controllers of {node.inputs['name']} {away}", node.inputs["name"])


def _graph(
    name: str, op: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[How, str, tuple[str, ...]]]:
    if op == "delete":
        yield "end", f"all pods of {name} end", ()
        return
    if op == "replace":
        yield "again", f"all pods of {name} end, and start again when the new graph is made", ()
        return
    before, after = ({item["name"]: dict(item) for item in obj["spec"]["components"]} for obj in (old, new))
    rolled = []
    for component in before:
        if component not in after:
            yield "end", f"{name}: pods of {component} end", (component,)
            continue
        count = (before[component].pop("replicas", 1), after[component].pop("replicas", 1))
        if before[component] != after[component]:
            rolled.append(component)
        elif count[0] != count[1]:
            words = f"{name}: {component} scales from {count[0]} to {count[1]}, nothing restarts"
            yield "scale", words, (component,)
    if rolled:
        yield "rolling", f"{name}: pods of {', '.join(rolled)} restart, a rolling update", tuple(rolled)


def _pool(name: str, op: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[How, str]]:
    if op in ("delete", "replace"):
        yield "drain", f"nodes of pool {name} are drained and go"
        return
    before, after = dict(old["spec"]["template"]["spec"]), dict(new["spec"]["template"]["spec"])
    wanted = (before.pop("requirements", None), after.pop("requirements", None))
    static = (before, old["spec"]["template"].get("metadata")) != (after, new["spec"]["template"].get("metadata"))
    if static:
        yield "nodes", f"nodes of pool {name} are replaced one by one"
    elif wanted[0] != wanted[1]:
        yield "misfit", f"nodes of pool {name} that no longer fit are replaced one by one"


def _class(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[How, str]]:
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    if changed - set(SELECTORS):
        yield "nodes", f"nodes of pool {name} are replaced one by one"
    elif changed:
        yield "misfit", f"nodes of pool {name} that are no longer selected are replaced one by one"
