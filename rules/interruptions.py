"""Rules about what takes pods away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from components.dynamo.expected_pods import expected_pods
from recording.graph import Graph
from rules.graphs import POOL, graphs, on_rack, pools_of
from rules.model import Finding, Looked, rule


@rule(
    "disruption-budget",
    "Parts of a graph with several pods have a PodDisruptionBudget, but on a Capacity Block.",
    "Auto Mode replaces nodes by itself, weekly for its image and at the end of their life: without a budget it drains the next one "
    "while the pod of the last still loads its model (karpenter #1750, #7414).",
    of="stack",
)
def disruption_budget(graph: Graph) -> Iterator[Finding | Looked]:
    ends = {
        name
        for name, pool in pools_of(graph).items()
        if "dynamo-eks/block-end" in (pool["metadata"].get("annotations") or {})
    }
    held = [
        (item.namespace, item.manifest["spec"]["selector"]["matchLabels"])
        for item in graph.objects_of("PodDisruptionBudget")
    ]
    for item in graphs(graph):
        replicas = {part["name"]: part.get("replicas") for part in item.manifest["spec"]["components"]}
        pods = expected_pods(item.manifest)
        count = Counter(pod.component for pod in pods)
        for pod in {pod.component: pod for pod in pods}.values():
            pool = pod.node_selector.get(POOL)
            # Others scale a part without a number: how many of its pods may go is theirs to say.
            if on_rack(pod) or pool in ends or count[pod.component] < 2 or replicas[pod.component] is None:
                continue
            subject = f"{item.address} {pod.component}"
            yield Looked(subject)
            if not any(
                namespace == pod.namespace and labels.items() <= dict(pod.labels).items() for namespace, labels in held
            ):
                yield Finding(
                    subject,
                    f"has {count[pod.component]} pods and no budget: nodes are drained without waiting for the pods of those before; "
                    "leave podDisruptionBudget on",
                    "warn",
                )
