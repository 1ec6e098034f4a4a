"""Which nodes a stack's pools launch for its graphs by the plan's own arithmetic, and what a placement promises. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from components.dynamo.expected_pods import ExpectedPod, expected_pods, fits
from components.dynamo.manifest import EFA, GPU
from recording.graph import Graph
from rules.graphs import ZONE, candidates
from tests.engine.nodes import FakeNode, of_pool

HOST = "kubernetes.io/hostname"


def pods_of(graph: Graph) -> list[ExpectedPod]:
    return [pod for item in graph.objects_of("DynamoGraphDeployment") for pod in expected_pods(item.manifest)]


def gpus(pod: ExpectedPod) -> int:
    return int(pod.requests.get(GPU, 0))


def zones_of(graph: Graph) -> list[str]:
    found = {
        value
        for item in graph.objects_of("NodePool")
        for requirement in item.manifest["spec"]["template"]["spec"]["requirements"]
        if requirement["key"] == ZONE
        for value in requirement["values"]
    }
    return sorted(found) or ["zone-a"]


def pool_nodes(graph: Graph, zone: str) -> list[FakeNode]:
    """The nodes that a stack's pools launch for its graphs, the fewest: workers share one where the plan says they can."""
    pools = {item.name: item.manifest for item in graph.objects_of("NodePool")}
    nodes: list[FakeNode] = []
    on: list[list[ExpectedPod]] = []
    for pod in pods_of(graph):
        if "karpenter.sh/nodepool" not in pod.node_selector:
            continue
        machine = next(item for item in candidates(pod, pools) if fits(pod, item) is None)
        home = next((index for index, node in enumerate(nodes) if _room(node, on[index], pod)), None)
        if home is None:
            home = len(nodes)
            pool = pools[pod.node_selector["karpenter.sh/nodepool"]]
            stated = pool["spec"]["template"]["spec"]["requirements"]
            capacity = next(item["values"] for item in stated if item["key"] == "karpenter.sh/capacity-type")
            kind = pod.node_selector.get("karpenter.sh/capacity-type", capacity[0])
            nodes.append(
                of_pool(f"{pool['metadata']['name']}-{home}", machine, pool, pod.node_selector.get(ZONE, zone), kind)
            )
            on.append([])
        on[home].append(pod)
    return nodes


def _room(node: FakeNode, there: Sequence[ExpectedPod], pod: ExpectedPod) -> bool:
    """Whether a node has room for one more, by the plan's own arithmetic."""
    if any(node.labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    together = dataclasses.replace(
        pod,
        requests={key: str(sum(int(each.requests.get(key, 0)) for each in (*there, pod))) for key in (GPU, EFA)},
        cpu_milli=sum(each.cpu_milli for each in (*there, pod)),
        memory_mib=sum(each.memory_mib for each in (*there, pod)),
    )
    return fits(together, node.machine) is None and not any(pod.avoids(each) or each.avoids(pod) for each in there)


def assert_held(pods: Sequence[ExpectedPod], bound: Mapping[str, str], nodes: Sequence[FakeNode]) -> None:
    """Selectors, zones, cliques and anti-affinities hold where the pods ended up, and no claim shares a node."""
    by_name = {node.name: node for node in nodes}
    channels = Counter(bound[pod.name] for pod in pods if pod.resource_claims)
    assert all(count == 1 for count in channels.values()), channels
    for pod in pods:
        node = by_name[bound[pod.name]]
        assert pod.node_selector.items() <= {**node.labels, HOST: node.name}.items()
        for term in pod.affinity.get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", ()):
            near = [
                by_name[bound[other.name]]
                for other in pods
                if term["labelSelector"]["matchLabels"].items() <= dict(other.labels).items()
            ]
            assert {each.labels.get(term["topologyKey"]) for each in near} == {node.labels[term["topologyKey"]]}
        for other in pods:
            assert other is pod or bound[other.name] != node.name or not pod.avoids(other), (pod.name, other.name)
