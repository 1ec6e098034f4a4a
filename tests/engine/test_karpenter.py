"""Do the shipped NodePools launch what the shipped graphs need, from the purchase option they name first?

Real: Karpenter core, kube-scheduler, the shipped pools but for what `karpenter.py` translates. Stands in: EC2's offerings.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.capacity.instances import instance
from components.dynamo.expected_pods import ExpectedPod
from recording.graph import Graph
from tests.conftest import STACKS, recorded
from tests.engine.control_plane import ControlPlane, require, until
from tests.engine.karpenter import NODE_CLAIM, ZONE_NAMES, general_purpose, reservations, running, types
from tests.engine.nodes import FakeNode
from tests.engine.placing import assert_held, gpus, pods_of, pool_nodes, zones_of
from tests.engine.pods import cleared, create, surroundings

ON_POOLS = [stack for stack in STACKS if recorded(stack).objects_of("NodePool")]

CAPACITY = "karpenter.sh/capacity-type"
ZONE = "topology.kubernetes.io/zone"
FIRST = {"g6e-dev": "spot", "g7e-staging": "on-demand", "p5-reserved": "reserved"}
"""Purchase option that each stack names first."""


@pytest.fixture
def space(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    require("karpenter-kwok", "kwok")
    name = "".join(char if char.isalnum() else "-" for char in request.node.name.removeprefix("test_"))
    name = f"karpenter-{name}"[:60].strip("-")
    with control_plane.namespace(name):
        yield name
        cleared(control_plane, [name])


def pools_of(graph: Graph) -> list[dict[str, Any]]:
    return [dict(item.manifest) for item in graph.objects_of("NodePool")] + [general_purpose()]


def zones(graph: Graph) -> list[str]:
    """Zones of a stack's network."""
    return sorted({ZONE_NAMES[node.inputs["availabilityZoneId"]] for node in graph.of("aws:ec2/subnet:Subnet")})


def _nodes(plane: ControlPlane) -> list[FakeNode]:
    return [
        FakeNode(
            item["metadata"]["name"],
            instance(item["metadata"]["labels"]["node.kubernetes.io/instance-type"]),
            item["metadata"]["labels"],
            item["spec"].get("taints") or (),
        )
        for item in plane.list("v1", "Node")
    ]


def launched(plane: ControlPlane, space: str) -> list[FakeNode]:
    """Nodes that pods of a test are on, as they are."""
    hosts = {item["spec"].get("nodeName") for item in plane.list("v1", "Pod", space)}
    return [node for node in _nodes(plane) if node.name in hosts]


def bound(plane: ControlPlane, space: str) -> dict[str, str]:
    plane.all_run()
    pods = plane.list("v1", "Pod", space)
    return {item["metadata"]["name"]: item["spec"]["nodeName"] for item in pods if item["spec"].get("nodeName")}


def all_bound(plane: ControlPlane, space: str, pods: list[ExpectedPod]) -> dict[str, str]:
    try:
        until(lambda: len(bound(plane, space)) == len(pods), f"{len(pods)} pods bound", seconds=120, every=0.2)
    except TimeoutError as late:
        there = [(node.name, node.labels[ZONE], node.labels["karpenter.sh/nodepool"]) for node in _nodes(plane)]
        told = [
            f"{item['involvedObject']['name']}: {item['message']}"
            for item in plane.list("v1", "Event", space)
            if item["involvedObject"]["name"] not in bound(plane, space)
        ]
        raise AssertionError("\n".join([str(late), str(bound(plane, space)), str(there), *told])) from late
    return bound(plane, space)


def karpenter_says(plane: ControlPlane, space: str, pod: str, word: str) -> str:
    """What Karpenter writes to a pod's events, once the word is there. Of equal pods the scheduler may bind another one than
    Karpenter had a node in mind for, which then is told of both."""

    def said() -> str:
        events = plane.list("v1", "Event", space)
        text = " ".join(
            item["message"]
            for item in events
            if item["involvedObject"]["name"] == pod and item.get("source", {}).get("component") == "karpenter"
        )
        return text if word in text else ""

    return until(said, f"Karpenter's word {word!r} on {pod}", seconds=120, every=0.2)


@pytest.mark.sweep("stack")
@pytest.mark.parametrize("stack", ON_POOLS)
def test_pools_launch_what_the_graphs_need(control_plane: ControlPlane, space: str, tmp_path: Path, stack: str) -> None:
    """A pool that launches nothing, or the dear option first, shows on the bill or not at all."""
    graph = recorded(stack)
    pods = pods_of(graph)
    with running(control_plane, tmp_path, pools_of(graph), types(zones(graph), reservations(graph))):
        surroundings(control_plane, space, graph, pods)
        create(control_plane, space, pods)
        where = all_bound(control_plane, space, pods)
        nodes = launched(control_plane, space)
        ready = {
            item["metadata"]["name"]
            for item in until(
                lambda: [
                    item
                    for item in control_plane.list(*NODE_CLAIM)
                    if any(
                        each["type"] == "Initialized" and each["status"] == "True"
                        for each in (item.get("status") or {}).get("conditions") or ()
                    )
                ],
                "node claims initialized",
            )
        }
    assert ready
    assert_held(pods, where, nodes)
    mine = [node for node in nodes if node.machine.gpus]
    assert {node.labels[CAPACITY] for node in mine} == {FIRST[stack]}
    planned = pool_nodes(graph, zones_of(graph)[0])
    for pool in {node.labels["karpenter.sh/nodepool"] for node in planned}:
        own = Counter(node.machine.type for node in mine if node.labels["karpenter.sh/nodepool"] == pool)
        assert own == Counter(node.machine.type for node in planned if node.labels["karpenter.sh/nodepool"] == pool)
    # Whoever asks for no GPU stays off the dear machines.
    by_name = {node.name: node for node in nodes}
    assert all(not by_name[where[pod.name]].machine.gpus for pod in pods if not gpus(pod))


def test_on_demand_where_there_is_no_spot(control_plane: ControlPlane, space: str, tmp_path: Path) -> None:
    """Spot runs out first on a busy day, and development should go on."""
    graph = recorded("g6e-dev")
    pods = pods_of(graph)
    with running(control_plane, tmp_path, pools_of(graph), types(zones(graph), set(), spot=False)):
        surroundings(control_plane, space, graph, pods)
        create(control_plane, space, pods)
        all_bound(control_plane, space, pods)
        nodes = launched(control_plane, space)
    assert {node.labels[CAPACITY] for node in nodes if node.machine.gpus} == {"on-demand"}


def test_full_reservation_falls_back_only_where_the_stack_says_so(
    control_plane: ControlPlane, space: str, tmp_path: Path
) -> None:
    """With the reservation full, a pool with a fallback pays on-demand, which is what it says; a graph with reservedOnly and
    the pool of a Capacity Block wait instead, as they say."""
    graph = recorded("p5-reserved")
    pods = pods_of(graph)
    reserved = [pod for pod in pods if pod.node_selector.get("karpenter.sh/nodepool") == "reserved"]
    block = [pod for pod in pods if pod.node_selector.get("karpenter.sh/nodepool") == "block"]
    assert reserved and block and all(CAPACITY in pod.node_selector for pod in reserved)
    may_pay = dataclasses.replace(
        reserved[0],
        name="may-pay",
        affinity={},
        node_selector={key: value for key, value in reserved[0].node_selector.items() if key != CAPACITY},
    )
    with running(control_plane, tmp_path, pools_of(graph), types(zones(graph), set())):
        surroundings(control_plane, space, graph, pods)
        create(control_plane, space, [may_pay, *reserved, *block])
        until(lambda: bound(control_plane, space), "the pod that may pay bound", seconds=60, every=0.2)
        for pod in (*reserved, *block):
            karpenter_says(control_plane, space, pod.name, "karpenter.sh/capacity-type")
        where, nodes = bound(control_plane, space), launched(control_plane, space)
    assert set(where) == {"may-pay"}
    assert [node.labels[CAPACITY] for node in nodes] == ["on-demand"]


def test_pool_stops_at_its_limit(control_plane: ControlPlane, space: str, tmp_path: Path) -> None:
    """The limit is what stands between a mistyped replica count and a bill; and it holds the spare node of a rolling update."""
    graph = recorded("p5-reserved")
    sample = next(pod for pod in pods_of(graph) if pod.node_selector.get("karpenter.sh/nodepool") == "reserved")
    limit = next(
        int(item.manifest["spec"]["limits"]["nvidia.com/gpu"])
        for item in graph.objects_of("NodePool")
        if item.name == "reserved"
    )
    room = limit // gpus(sample)
    pods = [dataclasses.replace(sample, name=f"worker-{index}", affinity={}) for index in range(room + 2)]
    with running(control_plane, tmp_path, pools_of(graph), types(zones(graph), reservations(graph))):
        surroundings(control_plane, space, graph, pods)
        create(control_plane, space, pods)
        until(lambda: len(bound(control_plane, space)) >= room, f"{room} workers bound", seconds=60, every=0.2)
        left = [pod.name for pod in pods if pod.name not in bound(control_plane, space)]
        for name in left:
            karpenter_says(control_plane, space, name, "exceed limits")
        where = bound(control_plane, space)
        claims = control_plane.list(*NODE_CLAIM)
    assert len(where) == len(claims) == room and len(left) == 2
