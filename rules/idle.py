"""Rules about what is paid for and has no work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from components.capacity import instances, room
from components.capacity.block_prices import USD_PER_HOUR
from components.capacity.instances import Instance
from components.capacity.room import Kind
from components.capacity.succession import most, rooms
from components.capacity.ultraservers import TYPES
from components.dynamo.expected_pods import ExpectedPod, expected_pods, fits
from components.dynamo.manifest import EFA, GPU
from recording.graph import Graph, KubernetesObject
from recording.pool_blocks import pools
from recording.racks import layout, rack_pods, racks
from rules.graphs import POOL, candidates, components, graphs, pools_of
from rules.model import Finding, Looked, rule


@rule(
    "gpus-stranded",
    "No GPU of a node is paid for and left without work.",
    "A machine is paid for as a whole: one worker of one GPU on a machine of eight pays for seven that nobody can use, and so does "
    "one that takes all EFA interfaces or most of the memory.",
    of="stack",
)
def gpus_stranded(graph: Graph) -> Iterator[Finding | Looked]:
    pools = pools_of(graph)
    together: dict[tuple[str, Instance], list[tuple[str, list[ExpectedPod]]]] = defaultdict(list)
    for item in graphs(graph):
        for component, pods in by_component(item).items():
            first = pods[0]
            if not int(first.requests.get(GPU, 0)):
                continue
            fitting = [choice for choice in candidates(first, pools) if fits(first, choice) is None]
            if fitting:
                yield Looked(f"{item.address} {component}")
                together[first.node_selector[POOL], fitting[0]].append((f"{item.address} {component}", pods))
    for (pool, node), parts in together.items():
        nodes = nodes_taken([pods for _, pods in parts], node)
        there, used = nodes * node.gpus, sum(int(pod.requests[GPU]) for _, pods in parts for pod in pods)
        if used < there:
            workers = ", ".join(f"{len(pods)} of {pods[0].requests[GPU]} GPU ({_name(pods[0])})" for _, pods in parts)
            yield Finding(
                parts[0][0] if len(parts) == 1 else f"NodePool {pool}",
                f"workers take {nodes} {node.type}: {workers}; {there - used} of {there} GPUs are paid for and have no work. "
                f"{_way(parts, node)}",
                "warn",
            )


def by_component(item: KubernetesObject) -> dict[str, list[ExpectedPod]]:
    """Pods of a graph by its parts."""
    found: dict[str, list[ExpectedPod]] = defaultdict(list)
    for pod in expected_pods(item.manifest):
        found[pod.component].append(pod)
    return found


def _holds(node: Instance) -> Mapping[str, int]:
    cpu, memory = instances.allocatable(node)
    return {GPU: node.gpus, EFA: node.efa, "cpu": cpu, "memory": memory}


def _takes(pod: ExpectedPod) -> dict[str, int]:
    return {
        GPU: int(pod.requests[GPU]),
        EFA: int(pod.requests.get(EFA, 0)),
        "cpu": pod.cpu_milli,
        "memory": pod.memory_mib,
    }


def nodes_taken(parts: Sequence[Sequence[ExpectedPod]], node: Instance) -> int:
    """Nodes of one type that pods take together; those of a part, of which there is at least one, are alike."""
    firsts = [pods[0] for pods in parts]
    return room.nodes_together([_kind(pods, node, firsts) for pods in parts], _holds(node))


def _kind(pods: Sequence[ExpectedPod], node: Instance, beside: Sequence[ExpectedPod]) -> Kind:
    """Pods of a part. Where several nodes make one worker, each is a node of its own."""
    first = pods[0]
    shunned = [other for other in beside if first.avoids(other) or other.avoids(first)]
    takes = {GPU: node.gpus} if any(pod.rank for pod in pods) else _takes(first)
    return Kind(len(pods), takes, _name(first), _name(shunned[0]) if shunned else "")


def _name(pod: ExpectedPod) -> str:
    return f"{pod.namespace}/{pod.graph} {pod.component}"


def _way(parts: list[tuple[str, list[ExpectedPod]]], node: Instance) -> str:
    """How the idle GPUs come to work."""
    for _, pods in parts:
        takes, holds = _takes(pods[0]), _holds(node)
        if room.per_node(takes, holds) < node.gpus // takes[GPU]:
            by_efa = takes[EFA] * 2 > holds[EFA] > 0
            cause = "takes the node's EFA" if by_efa else "takes so much memory or CPU"
            return f"Each {cause} that no other fits beside it: give it more GPUs, or a smaller instance"
    return "Use a smaller instance, more GPUs for each worker, or more replicas"


@rule(
    "rack-idle",
    "Every node of an UltraServer but one spare has work.",
    "A rack is prepaid as a whole: a GPU without a pod costs as much as one that serves.",
    of="stack",
)
def rack_idle(graph: Graph) -> Iterator[Finding | Looked]:
    seen = racks(graph)
    placed = layout(seen, rack_pods(graph))
    for name, rack in seen.items():
        yield Looked(f"UltraServer {name}")
        idle = placed.free_gpus(name)
        # One node is a spare: the block cannot grow when another fails.
        if rack.machine is None or idle <= rack.machine.gpus:
            continue
        empty = sum(not any(int(pod.requests.get(GPU, 0)) for pod in node.pods) for node in placed.nodes[name])
        kind = TYPES.get(rack.type)
        price = f", ${kind.usd_per_hour * idle / rack.gpus:,.0f} an hour" if kind else ""
        yield Finding(
            f"UltraServer {name}",
            f"{idle} of {rack.gpus} prepaid GPUs have no work ({empty} of {rack.nodes} nodes without a worker{price}); "
            "raise replicas, or place another graph on it",
            "warn",
        )


@rule(
    "reserved-idle",
    "Every reserved machine of a pool has work.",
    "A reservation is paid whether or not anything runs on it: a machine of one is known to be idle before it is bought.",
    of="stack",
)
def reserved_idle(graph: Graph) -> Iterator[Finding | Looked]:
    by_pool: dict[tuple[str, str], list[list[ExpectedPod]]] = defaultdict(list)
    nodes = pools_of(graph)
    for item in graphs(graph):
        for pods in by_component(item).values():
            fitting = [choice for choice in candidates(pods[0], nodes) if fits(pods[0], choice) is None]
            if int(pods[0].requests.get(GPU, 0)) and fitting:
                by_pool[pods[0].node_selector[POOL], fitting[0].type].append(pods)
    for pool in pools(graph).values():
        for type_ in dict.fromkeys(held.instance_type for held in pool.reservations):
            yield Looked(f"NodePool {pool.name} {type_}")
            there = most(rooms(pool.reservations, type_))
            taken = (
                nodes_taken(by_pool[pool.name, type_], instances.instance(type_)) if by_pool[pool.name, type_] else 0
            )
            if taken < there:
                block = any(held.kind == "capacityBlock" and held.instance_type == type_ for held in pool.reservations)
                rate = USD_PER_HOUR.get(type_) if block else None
                price = f", ${rate * (there - taken):,.2f} an hour" if rate else ""
                yield Finding(
                    f"NodePool {pool.name}",
                    f"{there - taken} of {there} reserved {type_} have no work{price}; raise replicas, place another graph on the pool, or "
                    "reserve fewer",
                    "warn",
                )


@rule(
    "graph-answers",
    "Every graph asks for at least one pod of each of its parts.",
    "Without a frontend nobody is answered, without a worker, or one of prefill and decode, every request waits until it fails.",
    of="stack",
)
def graph_answers(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        yield Looked(item.address)
        none = [part["name"] for part in components(item) if part.get("replicas") == 0]
        if none:
            yield Finding(
                item.address,
                f"asks for no {' and no '.join(none)}: it answers nothing; raise replicas to 1 or more",
                "warn",
            )
