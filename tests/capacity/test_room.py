"""Room, held against packing pods onto nodes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import sizing
from components.capacity import instances
from components.capacity.room import Kind, nodes_for, nodes_together, per_node
from components.capacity.spec import Pool
from components.dynamo.manifest import efa_count, share
from components.dynamo.spec import Graph, Placement, Worker

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
def test_a_graph_takes_what_packing_says(transport: str, prefill: dict, decode: dict) -> None:
    """Counted apart, two roles that would share a node are refused on capacity that holds them."""
    machine = instances.instance("g6e.48xlarge")
    both = graph(transport, prefill=prefill, decode=decode)
    cpu_milli, memory_mib = instances.allocatable(machine)
    node = {"gpus": machine.gpus, "efa": machine.efa, "cpu": cpu_milli, "memory": memory_mib}
    pods = [
        {
            "gpus": worker.gpus,
            "efa": efa_count(both, worker, machine),
            "cpu": share(both, worker, machine)[0] * 1000,
            "memory": share(both, worker, machine)[1] * 1024,
        }
        for worker in (both.prefill, both.decode)
        if worker
        for _ in range(worker.replicas)
    ]
    pods.sort(key=lambda pod: -max(pod[what] / node[what] for what in pod))
    assert sizing.nodes_of(both, machine) == packed(pods, node)


kinds = st.lists(st.tuples(st.integers(0, 20), amounts), max_size=4)


@given(kinds, st.fixed_dictionaries({what: st.integers(1, 60) for what in RESOURCES}))
def test_kinds_together_are_packed_as_pods_one_by_one(
    given: list[tuple[int, dict[str, int]]], node: dict[str, int]
) -> None:
    """A count that is too small lets a graph through that stays Pending on a prepaid rack."""
    given = [(pods, takes) for pods, takes in given if any(takes.values())]
    ordered = sorted(given, key=lambda kind: -max(kind[1][what] / node[what] for what in RESOURCES))
    one_by_one = [takes for pods, takes in ordered for _ in range(pods)]
    told = nodes_together([Kind(*kind) for kind in given], node)
    if all(takes[what] <= node[what] for takes in one_by_one for what in RESOURCES):
        assert told == packed(one_by_one, node)
    assert max((nodes_for(pods, per_node(takes, node)) for pods, takes in given), default=0) <= told
    assert told <= sum(nodes_for(pods, per_node(takes, node)) for pods, takes in given)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([1, 2, 4, 8])), max_size=5))
def test_sizes_that_divide_each_other_leave_nothing(given: list[tuple[int, int]]) -> None:
    """A rack's workers have 1, 2 or 4 GPUs: fewer nodes than the sum of them cannot hold them, and as many do."""
    took = nodes_together([Kind(pods, {"gpus": gpus}) for pods, gpus in given], {"gpus": 8})
    assert took == -(-sum(pods * gpus for pods, gpus in given) // 8)


@pytest.mark.parametrize(
    ("domain", "nodes"), [("none", 1), ("perGraph", 2)], ids=["share a node", "one channel for each node"]
)
def test_roles_of_a_graph_on_a_rack(domain: Any, nodes: int) -> None:
    """Two pods of 2 GPUs fill a GB200 machine; with a ComputeDomain the second one never starts there."""
    machine = instances.instance("p6e-gb200.36xlarge")
    role = {"replicas": 1, "gpus": 2, "efa": 2, "ultra_server": "rack-a"}
    made = {name: Worker(**role) for name in ("prefill", "decode")}
    both = Graph(model="m", backend="vllm", transport="efa", compute_domain=domain, **made)
    assert sizing.nodes_of(both, machine) == nodes


@given(workers, workers)
def test_roles_that_shun_each_other_share_no_node(prefill: dict, decode: dict) -> None:
    """Counted together, a graph with `antiAffinity: required` is let through whose decode pods find no node."""
    machine = instances.instance("g6e.48xlarge")
    both = graph("tcp", prefill=prefill, decode=decode)
    placement = both.placement.model_copy(update={"anti_affinity": "required"})
    apart = both.model_copy(update={"placement": placement})
    alone = [sizing.nodes_of(graph("tcp", worker=role), machine) for role in (prefill, decode)]
    assert sizing.nodes_of(apart, machine) == sum(alone)


@pytest.mark.parametrize(
    ("stated", "nodes"), [({}, 1), ({"memory": "900Gi"}, 2), ({"cpu": "100"}, 2), ({"memory": "600Gi", "cpu": "90"}, 1)]
)
def test_memory_and_cpu_are_room_too(stated: dict[str, str], nodes: int) -> None:
    """GPUs that are free on a reserved node without memory for the other role are no room: its pods stay Pending."""
    role = {"replicas": 1, "gpus": 4, **stated}
    both = graph("tcp", prefill=role, decode=role)
    assert sizing.nodes_of(both, instances.instance("g6e.48xlarge")) == nodes


def test_a_graph_that_shuns_itself_shares_with_others() -> None:
    """Only its own roles are kept apart: a third kind fills what both leave."""
    one = [Kind(1, {"gpus": 4}, "a.prefill", "a.decode"), Kind(1, {"gpus": 4}, "a.decode", "a.prefill")]
    assert nodes_together(one, {"gpus": 8}) == 2
    assert nodes_together([*one, Kind(2, {"gpus": 4}, "b.worker")], {"gpus": 8}) == 2
    assert nodes_together([*one, Kind(2, {"gpus": 2}, "b.worker")], {"gpus": 8}) == 2


def test_a_worker_is_not_divided() -> None:
    """24 GPUs are three machines' worth, and the fourth worker of six has none."""
    assert nodes_for(4, per_node({"gpus": 6}, {"gpus": 8})) == 4
    assert nodes_for(4, per_node({"gpus": 4, "efa": 4}, {"gpus": 8, "efa": 4})) == 4
    assert nodes_for(3, per_node({}, {"gpus": 8})) == 1 and nodes_for(3, per_node({"gpus": 9}, {"gpus": 8})) == 3


ZONES = ["use1-az1", "use1-az2", "use1-az4"]
ON_DEMAND = Pool(families=("g6e",), capacity=("on-demand",))
IN_ONE = Pool(families=("g6e",), capacity=("on-demand",), zones=("use1-az2",))


def placed(replicas: int, **placement: Any) -> Graph:
    made = graph("none", worker={"replicas": replicas, "gpus": 1})
    return made.model_copy(update={"placement": Placement(pool="gpu", instance_type="g6e.2xlarge", **placement)})


@pytest.mark.parametrize(
    ("pool", "graphs", "nodes"),
    [
        (ON_DEMAND, [], (0, 0, 0)),
        (ON_DEMAND, [placed(5)], (5, 5, 5)),
        (ON_DEMAND, [placed(5), placed(3)], (5, 5, 5)),
        (ON_DEMAND, [placed(5, zone="use1-az1"), placed(3)], (8, 3, 3)),
        (ON_DEMAND, [placed(5, zone="use1-az1"), placed(3, zone="use1-az1")], (8, 0, 0)),
        (ON_DEMAND, [placed(5, same_zone=False)], (2, 2, 2)),
        (IN_ONE, [placed(5), placed(3)], (0, 8, 0)),
        (IN_ONE, [placed(5, same_zone=False)], (0, 5, 0)),
    ],
)
def test_nodes_that_a_zone_may_have_to_hold(pool: Pool, graphs: list[Graph], nodes: tuple[int, ...]) -> None:
    """Karpenter launches into a subnet that has no address left, and the graph waits."""
    assert tuple(sizing.pool_nodes({"gpu": pool}, graphs, ZONES).values()) == nodes
