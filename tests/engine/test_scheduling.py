"""Where the real scheduler puts the pods of every shipped graph, on fake nodes of true shape.

Real: kube-scheduler with its default plugins, DRA allocation, admission, the controllers that make claims and bind volumes.
Stands in: the nodes (`nodes.py`) and the operators (`pods.py`, which says what that leaves out: gangs).
"""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL
from components.dynamo.expected_pods import ExpectedPod
from components.dynamo.manifest import EFA, GPU
from components.network.zones import REGION_ZONES
from recording.graph import Graph
from recording.racks import SeenRack, layout, rack_pods, racks
from recording.recorder import record
from rules.graphs import ZONE
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded
from tests.engine.control_plane import ControlPlane
from tests.engine.nodes import FakeNode, general, join, joined, leave, of_a_laptop, of_rack
from tests.engine.placing import assert_held, gpus, pods_of, pool_nodes, zones_of
from tests.engine.pods import channel_template, cleared, create, settled, surroundings

NAMESPACE = "scheduling"

ON_RACKS = [stack for stack in STACKS if racks(recorded(stack))]
ON_POOLS = [stack for stack in STACKS if recorded(stack).objects_of("NodePool")]


@pytest.fixture
def plane(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The control plane without nodes, pods and volumes, in a namespace of the test's own (`name_of`)."""
    with control_plane.namespace(name_of(request)):
        yield control_plane
        cleared(control_plane, [name_of(request)])


@pytest.fixture
def space(request: pytest.FixtureRequest) -> str:
    return name_of(request)


def name_of(request: pytest.FixtureRequest) -> str:
    """A namespace's end takes seconds, so no two tests share one."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name.removeprefix("test_"))
    return f"{NAMESPACE}-{name}"[:60].strip("-")


def rack_nodes(graph: Graph, short_by: int = 0) -> list[FakeNode]:
    """All nodes of a stack's UltraServers, a clique to each, the last one `short_by` nodes short."""
    found = []
    for number, rack in enumerate(racks(graph).values(), 1):
        count = rack.nodes - (short_by if number == len(racks(graph)) else 0)
        found += of_rack(rack, zone="us-east-1-dfw-2a", clique=f"fabric-{number}.1", count=count)
    return found


def everything(graph: Graph) -> list[FakeNode]:
    """What a running stack's pods can be put on: general nodes, nodes of its pools in one zone, UltraServers."""
    zone = zones_of(graph)[0]
    return [
        *(general(f"general-{index}", zone) for index in range(2)),
        *pool_nodes(graph, zone),
        *rack_nodes(graph),
    ]


# --- every shipped stack -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_every_pod_is_bound(plane: ControlPlane, space: str, stack: str) -> None:
    """A pod that fits nowhere leaves a paid machine without work, and `up` waiting until it times out."""
    graph = recorded(stack)
    pods = pods_of(graph)
    with joined(plane, everything(graph)) as nodes:
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
    assert left == {}
    assert_held(pods, bound, nodes)


@pytest.mark.parametrize("stack", ON_RACKS)
def test_gpus_left_over_are_those_of_the_plan(plane: ControlPlane, space: str, stack: str) -> None:
    """GPUs that the plan calls used and that no pod takes cost $42 an hour and node, and nobody knows."""
    graph = recorded(stack)
    pods = pods_of(graph)
    with joined(plane, everything(graph)) as nodes:
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, _ = settled(plane, space)
    planned = layout(racks(graph), rack_pods(graph))
    for rack in racks(graph).values():
        own = {node.name for node in nodes if node.labels.get(RACK_LABEL) == rack.name}
        used = sum(gpus(pod) for pod in pods if bound[pod.name] in own)
        assert rack.gpus - used == planned.free_gpus(rack.name), rack.name
        # A node is taken whole: none has some of its GPUs in use and others idle.
        taken = Counter(bound[pod.name] for pod in pods if gpus(pod) for _ in range(gpus(pod)))
        assert all(taken[name] in (0, rack.gpus // rack.nodes) for name in own)


@pytest.mark.parametrize("stack", ON_RACKS)
def test_one_node_too_few_on_a_rack(plane: ControlPlane, space: str, stack: str) -> None:
    """EC2 may deliver a block with a machine under repair; plan and scheduler must name the same shortage."""
    graph = recorded(stack)
    pods = pods_of(graph)
    seen = list(racks(graph).values())
    seen[-1] = dataclasses.replace(seen[-1], nodes=seen[-1].nodes - 1)
    planned = layout({rack.name: rack for rack in seen}, rack_pods(graph))
    spare = layout(racks(graph), rack_pods(graph)).free_gpus(seen[-1].name)
    nodes = [node for node in everything(graph) if RACK_LABEL not in node.labels] + rack_nodes(graph, short_by=1)
    with joined(plane, nodes):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        _, left = settled(plane, space)
    assert len(left) == len(planned.left)
    # A rack with a whole node to spare does not miss the one.
    assert bool(left) == (spare < 4)
    for said in left.values():
        assert "Insufficient nvidia.com/gpu" in said, said


@pytest.mark.parametrize("stack", ON_POOLS)
def test_one_node_too_few_in_a_pool(plane: ControlPlane, space: str, stack: str) -> None:
    """A pool at its limit launches no more: its last worker stays Pending, for the reason that the plan gives."""
    graph = recorded(stack)
    pods = pods_of(graph)
    nodes = everything(graph)
    gone = max((node for node in nodes if node.machine.gpus), key=lambda node: (node.machine.gpus, node.name))
    with joined(plane, [node for node in nodes if node is not gone]):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        _, left = settled(plane, space)
    short = [pod for pod in pods if pod.name in left]
    assert sum(gpus(pod) for pod in short) == gone.machine.gpus
    assert all(
        "Insufficient nvidia.com/gpu" in said or "didn't match Pod's node affinity" in said for said in left.values()
    )
    assert all(pod.node_selector["karpenter.sh/nodepool"] == gone.labels["karpenter.sh/nodepool"] for pod in short)


# --- what a placement promises -----------------------------------------------------------------------------------------


def test_reserved_only_stays_off_on_demand(plane: ControlPlane, space: str) -> None:
    """A graph that may run on prepaid machines only would otherwise move to on-demand ones at $55 an hour each."""
    graph = recorded("p5-reserved")
    pods = [pod for pod in pods_of(graph) if "karpenter.sh/capacity-type" in pod.node_selector]
    assert pods and {pod.node_selector["karpenter.sh/capacity-type"] for pod in pods} == {"reserved"}
    dear = [
        dataclasses.replace(node, labels={**node.labels, "karpenter.sh/capacity-type": "on-demand"})
        for node in everything(graph)
        if node.machine.gpus
    ]
    with joined(plane, dear):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
        assert bound == {} and set(left) == {pod.name for pod in pods}
        assert all("didn't match Pod's node affinity/selector" in said for said in left.values())


@pytest.mark.parametrize("stack", ON_POOLS)
def test_frontends_go_where_their_workers_can(plane: ControlPlane, space: str, stack: str) -> None:
    """A graph is kept in one zone, and its frontends are bound first. In a zone where their workers' pool launches nothing
    they would hold the whole graph back for ever, with a paid reservation standing empty in another."""
    graph = recorded(stack)
    launches = zones_of(graph)
    names = {zone.zone_id: zone.name for zone in REGION_ZONES[launches[0][:-1]]}
    network = sorted({names[node.inputs["availabilityZoneId"]] for node in graph.of("aws:ec2/subnet:Subnet")})
    pods = sorted(pods_of(graph), key=gpus)
    # The emptier node attracts: where the pool does not launch, nodes are four times as large.
    roomy = {"cpu": "64", "memory": "256Gi"}
    nodes = [
        dataclasses.replace(general(f"general-{zone}", zone), extra={} if zone in launches[:1] else roomy)
        for zone in network
        if zone in launches[:1] or zone not in launches
    ]
    with joined(plane, [*nodes, *pool_nodes(graph, launches[0])]):
        surroundings(plane, space, graph, pods)
        create(plane, space, [pod for pod in pods if not gpus(pod)])
        settled(plane, space)
        create(plane, space, [pod for pod in pods if gpus(pod)])
        _, left = settled(plane, space)
    assert left == {}


def test_anti_affinity_holds_with_room_beside(plane: ControlPlane, space: str) -> None:
    """Prefill and decode on one machine share its memory bandwidth and fall together; the stack asks for two."""
    graph = recorded("g6e-dev")
    pods = [pod for pod in pods_of(graph) if gpus(pod) and any(pod.avoids(other) for other in pods_of(graph))]
    assert len(pods) > 1
    zone = zones_of(graph)[0]
    # Machines that would hold all of them, were it only for room.
    wide = [
        dataclasses.replace(node, extra={"cpu": "64", "memory": "512Gi", GPU: "4"}) for node in pool_nodes(graph, zone)
    ]
    with joined(plane, wide):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
    assert left == {} and len(set(bound.values())) == len(pods)
    assert_held(pods, bound, wide)


def test_same_zone_holds(plane: ControlPlane, space: str) -> None:
    """EFA does not cross zones. With the second machine elsewhere the worker waits, and does not start to hang later."""
    graph = recorded("g7e-staging")
    pods = [pod for pod in pods_of(graph) if pod.requests.get(EFA)]
    here, there, *_ = zones_of(graph)
    first, second, *_ = pool_nodes(graph, here)
    apart = dataclasses.replace(second, labels={**second.labels, ZONE: there})
    with joined(plane, [first, apart]):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
        assert len(bound) == 1 and len(left) == len(pods) - 1
        assert all("didn't match pod affinity rules" in said for said in left.values())
        # A machine in the zone of the first one ends the wait.
        home = next(node for node in (first, apart) if node.name in bound.values())
        late = dataclasses.replace(second, name="late", labels={**second.labels, ZONE: home.labels[ZONE]})
        with joined(plane, [late]):
            bound, left = settled(plane, space)
    assert left == {}


def test_every_pod_is_bound_where_nodes_have_no_zone(plane: ControlPlane, space: str) -> None:
    """On kind and k3s nodes have no zone. An affinity to a zone holds every pod of the first graph that anybody makes Pending,
    with nothing to see but "didn't match pod affinity rules"."""
    graph = recorded("mocker-local")
    pods = pods_of(graph)
    with joined(plane, [of_a_laptop("laptop")]):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
    assert left == {} and len(bound) == 3


def test_same_zone_that_was_asked_for_waits_for_a_zone(plane: ControlPlane, space: str) -> None:
    """Why it is not the default there: what the affinity does to such nodes, by the scheduler itself."""
    file = stackfile.read("mocker-local")
    given = copy.deepcopy(dict(file.config))
    given["dynamo-eks:graphs"]["mocker"]["placement"] = {"sameZone": True}
    graph = record("mocker-local", given, at=AT)
    pods = pods_of(graph)
    with joined(plane, [of_a_laptop("laptop")]):
        surroundings(plane, space, graph, pods)
        create(plane, space, pods)
        bound, left = settled(plane, space)
    assert bound == {} and len(left) == 3
    assert all("didn't match pod affinity rules" in said for said in left.values()), left


# --- two racks, one of them half used -----------------------------------------------------------------------------------


def whole_rack() -> SeenRack:
    """An UltraServer of 18 nodes, as the shipped stack registers it."""
    return next(rack for stack in ON_RACKS for rack in racks(recorded(stack)).values() if rack.nodes == 18)


def wide_graph(**selector: str) -> list[ExpectedPod]:
    """18 pods of one graph that take a node each and must be in one clique."""
    sample = next(pod for pod in rack_pods(recorded("gb200-prod")) if gpus(pod) == 4 and pod.resource_claims)
    near = {"labelSelector": {"matchLabels": {"graph": "wide"}}, "topologyKey": CLIQUE_LABEL}
    return [
        dataclasses.replace(
            sample,
            name=f"wide-{index}",
            labels={"graph": "wide"},
            requests={**sample.requests, EFA: "4"},
            claims=(),
            resource_claims=("wide-channel",),
            node_selector=selector,
            affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}},
        )
        for index in range(18)
    ]


def in_use(pods: Sequence[ExpectedPod], rack: str) -> list[ExpectedPod]:
    """Nine pods of another graph on a rack."""
    return [
        dataclasses.replace(
            pod, name=f"other-{index}", labels={}, affinity={}, resource_claims=(), node_selector={RACK_LABEL: rack}
        )
        for index, pod in enumerate(pods[:9])
    ]


def pair() -> tuple[list[FakeNode], list[FakeNode]]:
    """Two UltraServers of 18 nodes, a clique each."""
    found = []
    for name in ("rack-a", "rack-b"):
        own = of_rack(whole_rack(), zone="us-east-1-dfw-2a", clique=f"{name}.1")
        found.append(
            [
                dataclasses.replace(node, name=f"{name}-{index}", labels={**node.labels, RACK_LABEL: name})
                for index, node in enumerate(own)
            ]
        )
    return found[0], found[1]


def test_affinity_alone_strands_a_graph_on_a_half_used_rack(plane: ControlPlane, space: str) -> None:
    """Why rule `clique-placement` asks for more than an affinity: the first pod chooses, and the rest must follow it. Here
    the second block starts a moment later, so that the choice is always the half-used rack."""
    half, empty = pair()
    pods = wide_graph()
    plane.apply(channel_template(space, "wide-channel"))
    with joined(plane, half):
        create(plane, space, in_use(pods, "rack-a"))
        assert settled(plane, space)[1] == {}
        create(plane, space, pods[:1])
        assert settled(plane, space)[1] == {}
        with joined(plane, empty):
            create(plane, space, pods[1:])
            bound, left = settled(plane, space)
    wide = {name: node for name, node in bound.items() if name.startswith("wide")}
    assert len(wide) == 9 and all(node.startswith("rack-a") for node in wide.values())
    assert len(left) == 9
    for said in left.values():
        # 18 empty nodes of four GPUs, and none may be used.
        assert "18 node(s) didn't match pod affinity rules" in said and "Insufficient nvidia.com/gpu" in said


def test_naming_the_rack_avoids_it(plane: ControlPlane, space: str) -> None:
    """The way out that the program takes: a rack's own label in the node selector, known before any pod is."""
    half, empty = pair()
    pods = wide_graph(**{RACK_LABEL: "rack-b"})
    plane.apply(channel_template(space, "wide-channel"))
    with joined(plane, half):
        create(plane, space, in_use(pods, "rack-a"))
        create(plane, space, pods[:1])
        bound, left = settled(plane, space)
        assert list(left) == ["wide-0"]
        with joined(plane, empty):
            create(plane, space, pods[1:])
            bound, left = settled(plane, space)
    assert left == {}
    assert {node for name, node in bound.items() if name.startswith("wide")} == {node.name for node in empty}


def test_one_clique_each_where_two_racks_are_free(plane: ControlPlane, space: str) -> None:
    """NVLink ends at the clique: pods of one domain in two cliques compute over the network without a word."""
    first, second = pair()
    pods = wide_graph()
    plane.apply(channel_template(space, "wide-channel"))
    with joined(plane, [*first, *second]):
        create(plane, space, pods)
        bound, left = settled(plane, space)
        claims = plane.list("resource.k8s.io/v1", "ResourceClaim", space)
    assert left == {} and len({node.rpartition("-")[0] for node in bound.values()}) == 1
    assert len(claims) == 18 and all((claim.get("status") or {}).get("allocation") for claim in claims)


def test_more_pods_than_a_clique_holds(plane: ControlPlane, space: str) -> None:
    """19 workers of one domain never run, whatever is free elsewhere; the message is what troubleshooting quotes."""
    first, second = pair()
    pods = wide_graph()
    extra = dataclasses.replace(pods[0], name="wide-18")
    plane.apply(channel_template(space, "wide-channel"))
    join(plane, [*first, *second])
    try:
        create(plane, space, [*pods, extra])
        bound, left = settled(plane, space)
    finally:
        leave(plane, [*first, *second])
    assert len(bound) == 18 and len(left) == 1
    (said,) = left.values()
    assert "18 Insufficient nvidia.com/gpu" in said and "18 node(s) didn't match pod affinity rules" in said
