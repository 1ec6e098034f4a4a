"""What restarts when the engine carries a verdict out: told from the objects before and after, by documented rules.

The engine knows resources only. What a changed object does to pods and nodes is the operators' part:
a changed pod template rolls a component (Dynamo operator), changed static fields of a NodePool's template or a NodeClass
make its nodes drift, and they are replaced one by one within the disruption budget (Karpenter, "Drift"), a changed launch
template, release or version rolls a managed node group one node at a time (EKS, "Update a managed node group").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recording.graph import Graph

GRAPH = "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"
POOL = "kubernetes:karpenter.sh/v1:NodePool"
CLASS = "kubernetes:eks.amazonaws.com/v1:NodeClass"
GROUP = "aws:eks/nodeGroup:NodeGroup"
CLUSTER = "aws:eks/cluster:Cluster"
RELEASE = "kubernetes:helm.sh/v3:Release"

SELECTORS = ("subnetSelectorTerms", "securityGroupSelectorTerms", "capacityReservationSelectorTerms")
"""Of a NodeClass: nodes drift only when they are no longer selected."""


def restarts(
    verdict: Mapping[str, str], diffs: Mapping[str, tuple[str, ...]], old: Graph, new: Graph | None
) -> list[str]:
    """Sentences about pods and nodes, in the order of the graph."""
    found: list[str] = []
    for node in old:
        op = verdict.get(node.key)
        later = new.by_key.get(node.key) if new is not None else None
        if op is None:
            continue
        name = node.inputs.get("metadata", {}).get("name", node.name)
        if node.type == GRAPH:
            found += _graph(name, op, node.inputs, later.inputs if later else {})
        elif node.type == POOL:
            found += _pool(name, op, node.inputs, later.inputs if later else {})
        elif node.type == CLASS and op == "update" and later is not None:
            spec, other = node.inputs["spec"], later.inputs["spec"]
            changed = {key for key in {*spec, *other} if spec.get(key) != other.get(key)}
            if changed - set(SELECTORS):
                found.append(f"nodes of pool {name} are replaced one by one")
            elif changed:
                found.append(f"nodes of pool {name} that are no longer selected are replaced one by one")
        elif node.type == GROUP and op == "update":
            rolled = ("launchTemplate", "releaseVersion", "version")
            if any(path.startswith(rolled) for path in diffs.get(node.key, ())):
                found.append(f"nodes of {node.inputs['nodeGroupName']} are replaced one at a time")
        elif node.type == CLUSTER and any(path == "version" for path in diffs.get(node.key, ())):
            found.append("the control plane is upgraded, then Auto Mode replaces its nodes one by one")
        elif node.type == RELEASE and op in ("update", "replace"):
            away = "restart, what runs goes on" if op == "update" else "are away for a while"
            found.append(f"the controllers of {node.inputs['name']} {away}")
    return found


def _graph(name: str, op: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if op == "delete":
        return [f"all pods of {name} end"]
    if op == "replace":
        return [f"all pods of {name} end, and start again when the new graph is made"]
    before, after = ({item["name"]: dict(item) for item in obj["spec"]["components"]} for obj in (old, new))
    found, rolled = [], []
    for component in before:
        count = (before[component].pop("replicas", 1), after[component].pop("replicas", 1))
        if before[component] != after[component]:
            rolled.append(component)
        elif count[0] != count[1]:
            found.append(f"{name}: {component} scales from {count[0]} to {count[1]}, nothing restarts")
    if rolled:
        found.append(f"{name}: pods of {', '.join(rolled)} restart, a rolling update")
    return found


def _pool(name: str, op: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if op == "delete":
        return [f"nodes of pool {name} are drained and go"]
    before, after = dict(old["spec"]["template"]["spec"]), dict(new["spec"]["template"]["spec"])
    wanted = (before.pop("requirements", None), after.pop("requirements", None))
    static = (before, old["spec"]["template"].get("metadata")) != (after, new["spec"]["template"].get("metadata"))
    if static:
        return [f"nodes of pool {name} are replaced one by one"]
    if wanted[0] != wanted[1]:
        return [f"nodes of pool {name} that no longer fit are replaced one by one"]
    return []
