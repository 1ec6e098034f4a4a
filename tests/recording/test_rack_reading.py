"""What is read off a recorded UltraServer, and where each pod of a few is put: from graphs made by hand."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from components.capacity import instances
from components.capacity.node_config import encoded
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from components.capacity.window import Phase, Window
from components.dynamo.expected_pods import ExpectedPod
from recording.graph import UNKNOWN, Graph, Node, Read
from recording.racks import (  # fmt: skip
    BLOCK_READ,
    NODE_GROUP,
    SCHEDULE,
    TEMPLATE,
    SeenRack,
    domain_pods,
    empty_node,
    gpus,
    huge_pages_mib,
    layout,
    needs,
    rack_pods,
    racks,
)
from tests.recording.test_racks import MACHINE, pod, rack

BLOCK = {"startDate": "2026-12-01T11:30:00Z", "endDate": "2026-12-08T11:30:00Z"}
START, END = datetime(2026, 12, 1, 11, 30, tzinfo=UTC), datetime(2026, 12, 8, 11, 30, tzinfo=UTC)
DRAIN = {"desiredCapacity": 0, "startTime": "2026-12-08T10:00:00Z"}
RESERVED = {"capacityReservationTarget": {"capacityReservationId": "cr-1"}}
P6E = "p6e-gb200.36xlarge"
HELD = {"capacityType": "CAPACITY_BLOCK", "scalingConfig": {"maxSize": 9}}


def node(type_: str, name: str, parent: str = "one", **inputs: Any) -> Node:
    return Node(1, type_, name, "", parent=parent, inputs=inputs)


def read(*nodes: Node, reads: dict[str, dict[str, Any]] | None = None) -> dict[str, SeenRack]:
    asked = [Read(BLOCK_READ, {"id": id_}, answer) for id_, answer in (reads or {}).items()]
    return racks(
        Graph("stack", nodes, reads=[Read("aws:ec2/getVpc:getVpc", {"id": "cr-1"}, {"state": "no block"}), *asked])
    )


def test_an_ultraserver_is_read_whole() -> None:
    """Every rule of racks judges this; what is read of the wrong rack passes the wrong one."""
    template = node(TEMPLATE, "a", instanceType=P6E, capacityReservationSpecification=RESERVED, networkInterfaces=[
        {"interfaceType": "interface"}, {"interfaceType": "efa-only"}, {"interfaceType": "efa"}, {}, {"interfaceType": None},
    ], userData=encoded(4096))  # fmt: skip
    group = node(NODE_GROUP, "a", labels={RACK_LABEL: "rack-a"}, **HELD)
    up, down = (node(SCHEDULE, f"a-{name}", **DRAIN) for name in ("start", "drain"))
    others = [
        node(TEMPLATE, "b"), node(SCHEDULE, "b-drain"), node(TEMPLATE, "a", "two"), node(SCHEDULE, "a-drain", "two"),
        node("aws:autoscaling/group:Group", "a"), node("aws:autoscaling/group:Group", "a-drain"),
    ]  # fmt: skip
    (found,) = read(*others, template, group, up, down, reads={"cr-2": {"state": "other"}, "cr-1": BLOCK}).values()
    assert (found.name, found.group, found.template, found.schedules) == ("rack-a", group, template, (up, down))
    assert (found.nodes, found.reservation, found.block) == (9, "cr-1", BLOCK)
    assert found.machine is not None and (found.machine.type, found.machine.efa) == (P6E, 2)
    assert found.machine.memory_mib == instances.instance(P6E).memory_mib - 4096
    assert (found.type, found.gpus) == ("u-p6e-gb200x36", 36)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"capacityType": "CAPACITY_BLOCK", "labels": {RACK_LABEL: "rack-a"}}, "rack-a"),
        ({"capacityType": "CAPACITY_BLOCK", "labels": {"team": "a"}}, "group"),
        ({"capacityType": "CAPACITY_BLOCK", "labels": None}, "group"),
        ({"capacityType": "CAPACITY_BLOCK"}, "group"),
        ({"capacityType": "ON_DEMAND", "labels": {RACK_LABEL: "rack-a"}}, "rack-a"),
        ({"labels": {RACK_LABEL: "rack-a"}}, "rack-a"),
        ({"capacityType": "ON_DEMAND", "labels": {"team": "a"}}, None),
        ({}, None),
    ],
)
def test_which_node_groups_are_ultraservers(inputs: dict[str, Any], name: str | None) -> None:
    """One that is not seen is out of every rule: nobody says that it drains too late, or that it cannot start."""
    found = read(node(NODE_GROUP, "group", **inputs), node(NODE_GROUP, "last", **HELD))
    assert list(found) == ([name] if name else []) + ["last"]


def test_what_is_missing_is_no_rack_that_works() -> None:
    """A plan over a half-made rack must end with a rule's word, and show no capacity that is not there."""
    (bare,) = read(node(NODE_GROUP, "a", capacityType="CAPACITY_BLOCK"), reads={"None": BLOCK, "": {}}).values()
    assert (bare.template, bare.schedules, bare.nodes, bare.machine, bare.reservation) == (None, (), 0, None, "")
    assert (bare.type, bare.gpus, bare.start, bare.end, bare.drain, bare.window) == ("", 0, None, None, None, None)
    assert bare.phase(START) is None and bare.block == {}
    empty = empty_node(bare)
    assert empty.rack == "a"
    assert (empty.index, empty.pods, {getattr(empty, kind) for kind in needs(pod("a"))}) == (0, [], {0})
    inputs: list[dict[str, Any]] = [
        {}, {"capacityReservationSpecification": None, "networkInterfaces": None, "userData": None},
        {"capacityReservationSpecification": {"capacityReservationTarget": None}, "instanceType": "p7e.metal"},
        {"instanceType": P6E, "networkInterfaces": None, "capacityReservationSpecification": {"capacityReservationTarget": {}}},
    ]  # fmt: skip
    for number, given in enumerate(inputs):
        (made,) = read(node(TEMPLATE, "a", **given), node(NODE_GROUP, "a", **{**HELD, "scalingConfig": {}})).values()
        assert (made.nodes, made.reservation, made.block, made.gpus) == (0, "", {}, 0)
        assert (made.machine.efa if made.machine else None) == (0 if number == 3 else None)
    (unknown,) = read(node(TEMPLATE, "a"), node(NODE_GROUP, "a", **HELD)).values()
    assert (unknown.nodes, unknown.gpus, unknown.machine) == (9, 0, None)


@pytest.mark.parametrize(
    ("block", "schedules", "expected"),
    [
        (BLOCK, [DRAIN], Window(start=START, end=END, drain_minutes=90)),
        (BLOCK, [{**DRAIN, "startTime": "2026-12-08T07:30:30Z"}], Window(start=START, end=END, drain_minutes=239)),
        (BLOCK, [{"desiredCapacity": 9, "startTime": "2026-12-01T11:30:00Z"}, DRAIN], Window(start=START, end=END)),
        (BLOCK, [{**DRAIN, "startTime": "2026-12-08T09:00:00+00:00"}, DRAIN], Window(start=START, end=END, drain_minutes=150)),
        (BLOCK, [], None),
        (BLOCK, [{"desiredCapacity": 9, "startTime": "2026-12-08T10:00:00Z"}], None),
        (BLOCK, [{"desiredCapacity": 0}], None),
        (BLOCK, [{**DRAIN, "startTime": UNKNOWN}], None),
        (BLOCK, [{**DRAIN, "startTime": "2026-12-08T10:45:00Z"}], None),
        ({"startDate": BLOCK["startDate"]}, [DRAIN], None),
        ({"endDate": BLOCK["endDate"]}, [DRAIN], None),
        ({**BLOCK, "startDate": UNKNOWN}, [DRAIN], None),
    ],
)  # fmt: skip
def test_the_window_is_the_blocks_and_the_drain_is_what_is_scheduled(
    block: dict[str, Any], schedules: list[dict[str, Any]], expected: Window | None
) -> None:
    """A window that the settings meant, and nobody scheduled, ends with EC2 killing the pods."""
    actions = tuple(node(SCHEDULE, f"a-{number}", **inputs) for number, inputs in enumerate(schedules))
    found = SeenRack("a", node(NODE_GROUP, "a"), None, actions, 9, MACHINE, "cr-1", block)
    assert found.window == expected
    assert found.phase(datetime(2026, 12, 2, tzinfo=UTC)) == (Phase.active if expected else None)


@pytest.mark.parametrize(
    ("data", "mib"),
    [
        (encoded(4096), 4096), (encoded(2), 2), (encoded(0), 0), (UNKNOWN, 0), (None, 0), (1, 0),
        (base64.b64encode(b"# echo 5 > /sys/hugepages-2048kB/nr_hugepages").decode(), 0),
        (base64.b64encode(b"#!/bin/bash\necho 7 > /sys/hugepages-2048kB/nr_hugepages\ndate\n").decode(), 14),
    ],
)  # fmt: skip
def test_huge_pages_of_a_template(data: object, mib: int) -> None:
    """Pages that are counted and not there leave a worker Pending until the block ends."""
    assert huge_pages_mib(node(TEMPLATE, "a", userData=data)) == mib
    assert huge_pages_mib(None) == 0


# --- pods --------------------------------------------------------------------------------------------------------------


def component(name: str, gpus_: int, selector: str | None, **template: Any) -> dict[str, Any]:
    main = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": gpus_}} if gpus_ else {}}
    spec = {"containers": [main], "nodeSelector": {selector: "rack-a"} if selector else {}}
    return {"name": name, "podTemplate": {"spec": spec, **template}}


def deployment(*components: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "DynamoGraphDeployment", "metadata": {"name": "chat"}, "spec": {"components": list(components)}}


def test_pods_of_ultraservers_are_found() -> None:
    """By the rack they name or by the mark all racks carry; what takes GPUs is placed before what fits anywhere."""
    manifest = deployment(
        component("front", 0, RACK_LABEL), component("other", 4, None), component("named", 4, RACK_LABEL),
        component("any", 1, RACK_MARK),
    )  # fmt: skip
    found = rack_pods(Graph("stack", [node("kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment", "chat", **manifest)]))
    assert [(item.component, gpus(item)) for item in found] == [("named", 4), ("any", 1), ("front", 0)]


def test_groves_domain_takes_the_channel_of_its_pods_alone() -> None:
    """A second claim on a node does not start, so one that is overlooked is a rack that waits."""
    marked = {"metadata": {"annotations": {"grove.io/mnnvl-group": "wide"}}}
    plain = {"metadata": {"annotations": {"team": "a"}}}
    bare = {"name": "bare"}
    found = domain_pods(
        deployment(bare, component("a", 4, RACK_LABEL, **marked), component("b", 4, RACK_LABEL, **plain))
    )
    assert {item.component: item.resource_claims for item in found} == {"bare": (), "a": ("wide (by Grove)",), "b": ()}


def test_what_a_pod_takes() -> None:
    plain = ExpectedPod("a", "chat", "dynamo", "w", "worker", 0, {}, {}, 250, 64)
    assert needs(plain) == {
        "free_gpus": 0, "free_efa": 0, "free_cpu_milli": 250, "free_memory_mib": 64, "free_huge_pages_mib": 0,
    }  # fmt: skip
    assert needs(pod("a", 3, efa=2, cpu_milli=7, memory_mib=8, pages_mib=10)) == {
        "free_gpus": 3, "free_efa": 2, "free_cpu_milli": 7, "free_memory_mib": 8, "free_huge_pages_mib": 10,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["free_gpus", "free_efa", "free_cpu_milli", "free_memory_mib", "free_huge_pages_mib"])
def test_a_node_is_filled_to_the_last_of_everything(kind: str) -> None:
    """One too many stays Pending; one less than fits is a node that is paid for and empty."""
    whole = empty_node(rack("rack-a", 1, 4096), 3)
    names = {"free_gpus": "count", "free_efa": "efa", "free_cpu_milli": "cpu_milli", "free_memory_mib": "memory_mib", "free_huge_pages_mib": "pages_mib"}  # fmt: skip
    all_of_it = getattr(whole, kind)
    assert (whole.rack, whole.index) == ("rack-a", 3) and all_of_it > 1
    given: dict[str, Any] = {"count": 0, "cpu_milli": 0, "memory_mib": 0}
    assert not whole.has_room(pod("a", **{**given, names[kind]: all_of_it + 1}))
    most = pod("a", **{**given, names[kind]: all_of_it})
    assert whole.has_room(most)
    whole.put(most)
    assert (getattr(whole, kind), whole.pods) == (0, [most])
    assert whole.has_room(pod("b", **given)) and not whole.has_room(pod("b", **{**given, names[kind]: 1}))


def test_a_node_has_one_channel() -> None:
    """Two claims on one node, and the second pod does not start."""
    there = empty_node(rack("rack-a", 1))
    there.put(pod("a", 1))
    there.put(pod("b", 1, claim="one"))
    assert there.has_room(pod("c", 1)) and not there.has_room(pod("c", 1, claim="two"))


# --- where they are put ------------------------------------------------------------------------------------------------


def placed(sizes: dict[str, int], *given: ExpectedPod) -> tuple[dict[str, list[list[str]]], list[str]]:
    """Names of pods by rack and node, and of those that are left."""
    found = layout({name: rack(name, nodes) for name, nodes in sizes.items()}, given)
    assert [node.index for nodes in found.nodes.values() for node in nodes] == [
        i for n in sizes.values() for i in range(n)
    ]
    return (
        {name: [[item.name for item in node.pods] for node in nodes] for name, nodes in found.nodes.items()},
        [item.name for item in found.left],
    )


def anywhere(name: str, count: int = 4, *, graph: str, namespace: str = "dynamo", claim: str = "") -> ExpectedPod:
    made = pod(name, count, on=None, graph=graph, claim=claim)
    return ExpectedPod(**{**{key: getattr(made, key) for key in made.__slots__}, "namespace": namespace})


@pytest.mark.parametrize(
    ("sizes", "given", "nodes", "left"),
    [
        # The larger first: two of one GPU would break two nodes that two of three need.
        ({"rack-a": 2}, [pod("1", 1), pod("2", 1), pod("3", 3), pod("4", 3)], {"rack-a": [["3", "1"], ["4", "2"]]}, []),
        # What has no room is left, and the next is tried all the same.
        ({"rack-a": 1}, [pod("1", 4), pod("2", 4), pod("3", 0)], {"rack-a": [["1", "3"]]}, ["2"]),
        # A rack that is not there has no room; another is not taken instead.
        ({"rack-a": 1}, [pod("1", 4, on="rack-z"), pod("2", 4)], {"rack-a": [["2"]]}, ["1"]),
        # Frontends spread by themselves, wherever workers are.
        (
            {"rack-a": 3}, [pod("1", 4), pod("2", 2), *(pod(f"f{number}", 0) for number in range(4))],
            {"rack-a": [["1", "f0", "f3"], ["2", "f1"], ["f2"]]}, [],
        ),
        # A graph goes where the least is free, and where it is alone when it has a domain.
        (
            {"rack-a": 3, "rack-b": 2}, [anywhere("1", graph="a")],
            {"rack-a": [[], [], []], "rack-b": [["1"], []]}, [],
        ),
        (
            {"rack-a": 3, "rack-b": 3}, [pod("1", on="rack-b", claim="c"), anywhere("2", graph="b", claim="d")],
            {"rack-a": [["2"], [], []], "rack-b": [["1"], [], []]}, [],
        ),
        (
            {"rack-a": 3, "rack-b": 3}, [pod("1", on="rack-b", claim="c"), anywhere("2", graph="b")],
            {"rack-a": [[], [], []], "rack-b": [["1"], ["2"], []]}, [],
        ),
        # A domain of its own is no other: what is pinned and what is not are one.
        (
            {"rack-a": 3, "rack-b": 3}, [pod("1", on="rack-b", graph="b", claim="c"), anywhere("2", graph="b", claim="c")],
            {"rack-a": [[], [], []], "rack-b": [["1"], ["2"], []]}, [],
        ),
        # The same name in another namespace is another domain.
        (
            {"rack-a": 3, "rack-b": 3},
            [pod("1", on="rack-b", graph="b", claim="c"), anywhere("2", graph="b", namespace="other", claim="c")],
            {"rack-a": [["2"], [], []], "rack-b": [["1"], [], []]}, [],
        ),
        # The larger graph first: the small one would take the room of a rack that one of three needs.
        (
            {"rack-a": 3, "rack-b": 4},
            [anywhere("1", graph="a"), *(anywhere(name, graph=name[0]) for name in ("b1", "b2", "b3", "c1", "c2", "c3"))],
            {"rack-a": [["b1"], ["b2"], ["b3"]], "rack-b": [["c1"], ["c2"], ["c3"], ["1"]]}, [],
        ),
        # Larger by its GPUs, not by its pods.
        (
            {"rack-a": 1, "rack-b": 1},
            [anywhere("a1", 1, graph="a"), anywhere("a2", 1, graph="a"), anywhere("b", 4, graph="b"), anywhere("c", 3, graph="c")],
            {"rack-a": [["b"]], "rack-b": [["c"]]}, ["a1", "a2"],
        ),
        # Two graphs of one name in two namespaces are two, and each is whole.
        (
            {"rack-a": 1, "rack-b": 1}, [anywhere("1", graph="a"), anywhere("2", graph="a", namespace="other")],
            {"rack-a": [["1"]], "rack-b": [["2"]]}, [],
        ),
        # All that has no room is told, whatever it was that had none.
        (
            {"rack-a": 1}, [pod("1"), pod("2"), anywhere("3", graph="a"), anywhere("4", 1, graph="b")],
            {"rack-a": [["1"]]}, ["2", "3", "4"],
        ),
        # One that fits nowhere is left whole, and the next one is placed.
        (
            {"rack-a": 1}, [anywhere("a1", graph="a"), anywhere("a2", graph="a"), anywhere("b", graph="b")],
            {"rack-a": [["b"]]}, ["a1", "a2"],
        ),
    ],
)  # fmt: skip
def test_where_pods_are_put(
    sizes: dict[str, int], given: list[ExpectedPod], nodes: dict[str, list[list[str]]], left: list[str]
) -> None:
    """The grid that a reviewer reads, and the count of free nodes by which a rack is bought or not."""
    assert placed(sizes, *given) == (nodes, left)


def test_domains_of_a_rack_are_told_apart_by_namespace() -> None:
    """Two in one NVLink clique cannot both map memory, and two of one name are two."""
    pods = [pod("1", claim="c"), anywhere("2", graph="b", namespace="other", claim="c"), pod("3")]
    found = layout({"rack-a": rack("rack-a", 4)}, pods)
    assert found.domains("rack-a") == {("dynamo", "c"), ("other", "c")} and found.free_gpus("rack-a") == 4
