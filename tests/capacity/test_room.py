"""Room, held against packing pods onto nodes one by one."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from components import sizing
from components.capacity import instances
from components.capacity.room import nodes_for, per_node
from components.dynamo.manifest import efa_count
from components.dynamo.spec import Graph, Worker

RESOURCES = ("gpus", "efa", "cpu", "memory")


def packed(pods: list[Mapping[str, int]], node: Mapping[str, int]) -> int:
    """Nodes after each pod has gone onto the first one with room; the slow way."""
    nodes: list[dict[str, int]] = []
    for pod in pods:
        for free in nodes:
            if all(free.get(what, 0) >= amount for what, amount in pod.items()):
                break
        else:
            free = dict(node)
            nodes.append(free)
        for what, amount in pod.items():
            free[what] = free.get(what, 0) - amount
    return len(nodes)


amounts = st.fixed_dictionaries({what: st.integers(0, 12) for what in RESOURCES})


@given(st.integers(0, 40), amounts, st.fixed_dictionaries({what: st.integers(0, 60) for what in RESOURCES}))
def test_pods_of_a_kind_take_as_many_nodes_as_packing_says(
    pods: int, takes: dict[str, int], node: dict[str, int]
) -> None:
    """A number that is too small lets a stack through whose last worker stays Pending; one too large buys a machine."""
    of_each = per_node(takes, node)
    if of_each == 0:
        assert nodes_for(pods, of_each) == pods
        return
    assert all(of_each * takes[what] <= node[what] for what in RESOURCES)
    assert of_each == 100 or any((of_each + 1) * takes[what] > node[what] for what in RESOURCES)
    assert nodes_for(pods, of_each) == packed([takes] * pods, node)


def graph(transport: str, **roles: dict) -> Graph:
    made = {role: Worker(**given) for role, given in roles.items()}
    return Graph(model="m", backend="vllm", transport=transport, **made)


workers = st.fixed_dictionaries(
    {"replicas": st.integers(0, 9), "gpus": st.integers(1, 8), "efa": st.none() | st.integers(1, 4)}
)


@given(st.sampled_from(["tcp", "efa"]), workers, workers)
def test_a_graph_takes_at_least_what_packing_says(transport: str, prefill: dict, decode: dict) -> None:
    """Roles may share a node where they fit; counted apart they never need more than is said."""
    machine = instances.instance("g6e.48xlarge")
    both = graph(transport, prefill=prefill, decode=decode)
    node = {"gpus": machine.gpus, "efa": machine.efa}
    pods = [
        {"gpus": worker.gpus, "efa": efa_count(both, worker, machine)}
        for worker in (both.prefill, both.decode)
        if worker
        for _ in range(worker.replicas)
    ]
    assert sizing.nodes_of(both, machine) >= packed(pods, node)
    alone = graph(transport, worker=prefill)
    assert sizing.nodes_of(alone, machine) == packed(pods[: prefill["replicas"]], node)


def test_a_worker_is_not_divided() -> None:
    """24 GPUs are three machines' worth, and the fourth worker of six has none."""
    assert nodes_for(4, per_node({"gpus": 6}, {"gpus": 8})) == 4
    assert nodes_for(4, per_node({"gpus": 4, "efa": 4}, {"gpus": 8, "efa": 4})) == 4
    assert nodes_for(3, per_node({}, {"gpus": 8})) == 1 and nodes_for(3, per_node({"gpus": 9}, {"gpus": 8})) == 3
