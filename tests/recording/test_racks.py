"""Where pods are expected to sit on an UltraServer: never more than a node has, and the same answer from everybody."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import catalog, sizing
from components.capacity import instances
from components.capacity.node_config import encoded
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK, Rack
from components.dynamo.expected_pods import ExpectedPod
from components.dynamo.manifest import Surroundings, manifest
from components.scheduling import gang
from recording.graph import Node
from recording.racks import Layout, SeenRack, domain_pods, empty_node, gpus, layout, needs, rack_pods, racks
from stacks import stackfile
from stacks.settings import Settings, SettingsError
from tests.conftest import AT, recorded
from tests.rules.test_each_rule import BY_ID, DGD, component, edit

MACHINE = instances.instance("p6e-gb200.36xlarge")


def rack(name: str, nodes: int, huge_pages_mib: int = 0) -> SeenRack:
    template = Node(1, "aws:ec2/launchTemplate:LaunchTemplate", name, "", inputs={"userData": encoded(huge_pages_mib)})
    group = Node(2, "aws:eks/nodeGroup:NodeGroup", name, "")
    machine = dataclasses.replace(MACHINE, memory_mib=MACHINE.memory_mib - huge_pages_mib)
    return SeenRack(name, group, template, (), nodes, machine, "cr-0fedcba9876543210")


def pod(
    name: str, count: int = 4, *, on: str | None = "rack-a", graph: str = "chat", claim: str = "", **takes: int
) -> ExpectedPod:  # fmt: skip
    """A pod that takes so many GPUs, and of a node besides: efa, cpu_milli, memory_mib, pages_mib."""
    efa, pages_mib = takes.pop("efa", 0), takes.pop("pages_mib", 0)
    requests = {"nvidia.com/gpu": str(count), "vpc.amazonaws.com/efa": str(efa), "hugepages-2Mi": f"{pages_mib}Mi"}
    own = {"cpu_milli": 1000, "memory_mib": 1024, **takes}
    return ExpectedPod(
        name=name, graph=graph, namespace="dynamo", component="worker", type="worker" if count else "frontend", index=0,
        labels={}, requests=requests, **own,
        node_selector={RACK_LABEL: on} if on else {RACK_MARK: "true"}, resource_claims=(claim,) if claim else (),
    )  # fmt: skip


@st.composite
def pods(draw: st.DrawFn) -> list[ExpectedPod]:
    """Pods of a few graphs, on racks they name or on any, of every shape the settings allow and some they refuse."""
    found = []
    for graph in range(draw(st.integers(1, 4))):
        on = draw(st.sampled_from(["rack-a", "rack-b", None]))
        domain = draw(st.booleans())
        for number in range(draw(st.integers(1, 6))):
            count = 4 if domain and number else draw(st.sampled_from([0, 1, 2, 3, 4]))
            found.append(
                pod(
                    f"{graph}-{number}", count, on=on, graph=f"graph-{graph}",
                    claim=f"graph-{graph}-channel" if domain and count else "",
                    efa=draw(st.sampled_from([0, count, 4])), cpu_milli=draw(st.sampled_from([1000, 30_000, 100_000])),
                    memory_mib=draw(st.sampled_from([1024, 200_000])), pages_mib=draw(st.sampled_from([0, 0, 2048])),
                )
            )  # fmt: skip
    return found


def seen(a: int, b: int) -> dict[str, SeenRack]:
    return {"rack-a": rack("rack-a", a, 4096), "rack-b": rack("rack-b", b, 4096)}


def checked(found: Layout, there: dict[str, SeenRack], given_: Sequence[ExpectedPod]) -> None:
    placed = [item for nodes in found.nodes.values() for node in nodes for item in node.pods]
    assert sorted([*placed, *found.left], key=lambda item: item.name) == sorted(given_, key=lambda item: item.name)
    for name, nodes in found.nodes.items():
        assert len(nodes) == there[name].nodes
        for node in nodes:
            whole = dataclasses.asdict(empty_node(there[name]))
            for kind in needs(pod("x")):
                used = sum(needs(item)[kind] for item in node.pods)
                assert getattr(node, kind) == whole[kind] - used >= 0, (kind, node)
            assert sum(bool(item.resource_claims) for item in node.pods) <= 1, "a node has one channel"
            assert all(item.node_selector.get(RACK_LABEL, name) == name for item in node.pods)
        assert found.free_gpus(name) == there[name].gpus - sum(gpus(item) for node in nodes for item in node.pods)


@given(st.integers(0, 4), st.integers(0, 4), pods())
def test_no_node_holds_more_than_it_has(a: int, b: int, given_: list[ExpectedPod]) -> None:
    """A plan that shows a pod where it cannot start hides that the block is too small."""
    there = seen(a, b)
    checked(layout(there, given_), there, given_)


@given(st.integers(0, 4), st.integers(0, 4), pods())
def test_nothing_is_left_that_would_fit(a: int, b: int, given_: list[ExpectedPod]) -> None:
    """A pod without a node fails the plan: it must be one that no node has room for."""
    there = seen(a, b)
    found = layout(there, given_)
    for item in found.left:
        if name := item.node_selector.get(RACK_LABEL):
            assert not any(node.has_room(item) for node in found.nodes[name])


@given(st.integers(0, 4), st.integers(0, 4), pods())
def test_a_graph_on_any_rack_is_whole(a: int, b: int, given_: list[ExpectedPod]) -> None:
    """Half of it on one rack and half on another would be two NVLink domains, and neither is the graph."""
    found = layout(seen(a, b), given_)
    for graph in {item.graph for item in given_ if RACK_LABEL not in item.node_selector}:
        places = {
            name for name, nodes in found.nodes.items() for node in nodes for item in node.pods if item.graph == graph
        }
        left = [item for item in found.left if item.graph == graph]
        whole = sum(item.graph == graph for item in given_)
        assert (len(places), len(left)) in ((1, 0), (0, whole))
        for name in found.nodes if left else ():
            there = [item for node in found.nodes[name] for item in node.pods]
            assert layout({name: seen(a, b)[name]}, [*there, *left]).left, f"{name} would have held {graph}"


shapes = st.lists(st.sampled_from([(4, True), (4, False), (2, False), (1, False)]), max_size=24)


@given(st.integers(1, 5), shapes, st.randoms())
def test_every_pod_is_placed_if_and_only_if_there_are_gpus(
    nodes: int, kinds: list[tuple[int, bool]], random: Any
) -> None:
    """Of the shapes that the settings allow (whole nodes with a channel, parts without), in whatever order they come."""
    given_ = [pod(str(number), count, claim="c" if claim else "") for number, (count, claim) in enumerate(kinds)]
    asked = sum(count for count, _ in kinds)
    found = layout({"rack-a": rack("rack-a", nodes)}, given_)
    assert (found.left == []) == (asked <= 4 * nodes)
    assert found.free_gpus("rack-a") == 4 * nodes - asked + sum(gpus(item) for item in found.left)
    random.shuffle(given_)
    again = layout({"rack-a": rack("rack-a", nodes)}, given_)
    assert again.free_gpus("rack-a") == found.free_gpus("rack-a")


def test_what_else_a_node_runs_out_of() -> None:
    """Two pods of two GPUs that each take every EFA interface need two nodes, whatever the GPUs say."""
    there = {"rack-a": rack("rack-a", 1, 4096)}
    shorts: list[dict[str, Any]] = [
        {"efa": 4}, {"cpu_milli": 100_000}, {"memory_mib": 600_000}, {"pages_mib": 4096}, {"claim": "c"},
    ]  # fmt: skip
    for short in shorts:
        two = [pod("0", 2, **short), pod("1", 2, **short)]
        assert [item.name for item in layout(there, two).left] == ["1"], short
    half = [pod("0", 2, efa=2, pages_mib=2048), pod("1", 2, efa=2, pages_mib=2048)]
    assert layout(there, half).left == []


def test_a_domain_goes_where_there_is_none() -> None:
    """The fuller rack has room, and a domain: two in one NVLink clique cannot both map memory (DRA driver #892)."""
    there = {"rack-a": rack("rack-a", 9), "rack-b": rack("rack-b", 9)}
    first = [pod(f"a{number}", claim="a-channel", graph="a") for number in range(2)]
    anywhere = [pod(f"b{number}", on=None, claim="b-channel", graph="b") for number in range(4)]
    found = layout(there, [*first, *anywhere])
    assert found.domains("rack-a") == {("dynamo", "a-channel")} and found.domains("rack-b") == {("dynamo", "b-channel")}
    # Without a choice it is shown where it would be, and the rule for domains says what is wrong.
    alone = layout({"rack-a": there["rack-a"]}, [*first, *anywhere])
    assert alone.left == [] and len(alone.domains("rack-a")) == 2
    # A graph without a domain fills the fuller rack.
    plain = [pod(f"b{number}", on=None, graph="b") for number in range(4)]
    assert layout(there, [*first, *plain]).free_gpus("rack-b") == 36


def test_frontends_spread() -> None:
    """Both on one node, one repaired node takes the model off the air."""
    there = {"rack-a": rack("rack-a", 3)}
    found = layout(there, [pod(str(number), 0) for number in range(3)])
    assert [len(node.pods) for node in found.nodes["rack-a"]] == [1, 1, 1]


def test_the_shipped_racks_are_full() -> None:
    """18 x 4 GPUs with work on each, and on the pair one node to spare on each rack."""
    for stack, free in (("gb200-prod", {"rack-a": 0}), ("gb200-pair", {"rack-a": 4, "rack-b": 4})):
        graph = recorded(stack)
        found = layout(racks(graph), rack_pods(graph))
        assert found.left == [] and {name: found.free_gpus(name) for name in found.nodes} == free
        checked(found, racks(graph), rack_pods(graph))


def test_grove_claims_are_seen() -> None:
    """A domain that Grove makes takes the node's channel like any other."""
    (item,) = recorded("gb200-prod").objects_of("DynamoGraphDeployment")
    graph = copy.deepcopy(dict(item.manifest))
    decode = component(graph, "decode")["podTemplate"]
    decode["spec"].pop("resourceClaims")
    decode["metadata"]["annotations"] = {"grove.io/mnnvl-group": "r1-wide-ep"}
    found = {item.component: item.resource_claims for item in domain_pods(graph)}
    assert found == {"frontend": (), "prefill": ("r1-wide-ep-channel",), "decode": ("r1-wide-ep (by Grove)",)}


# --- settings, layout and rule agree -----------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(1, 3), st.sampled_from([2, 4, 8, 9]))
def test_rule_and_layout_agree(prefill: int, decode: int, nodes: int) -> None:
    """Two that count differently, and one of them passes what stays Pending until the block ends."""

    def change(inputs: dict[str, Any]) -> None:
        component(inputs, "prefill").update(replicas=prefill)
        component(inputs, "decode").update(replicas=decode, multinode={"nodeCount": nodes})

    graph = edit(DGD, change)(recorded("gb200-prod"))
    found = layout(racks(graph), rack_pods(graph))
    fits = prefill + decode * nodes <= 18
    assert (found.left == []) == fits
    verdicts = BY_ID["rack-room"].verdicts(graph)
    assert [item.verdict for item in verdicts] == ["pass" if fits else "fail"]
    if not fits:
        asked = 4 * (prefill + decode * nodes)
        assert verdicts[0].message.startswith(f"{len(found.left)} pods have no node")
        assert f"ask for {asked} GPUs, it has 72" in verdicts[0].message


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Graphs for the pair, of whole nodes: aggregated, on a rack they name or on any, with a domain or without."""
    found = {}
    for name in ("one", "two", "three")[: draw(st.integers(1, 3))]:
        domain = draw(st.booleans())
        nodes = draw(st.sampled_from([1, 2, 4])) if domain else 1
        place = draw(st.sampled_from(["rack-a", "rack-b", None]))
        found[name] = {
            "model": "glm-5", "backend": "sglang", "transport": "none",
            "computeDomain": "perGraph" if domain else "none",
            "worker": {"replicas": draw(st.integers(1, 6)), "nodes": nodes, "gpus": 4, "tensorParallel": 4 * nodes},
            "placement": {"ultraServer": place} if place else {"anyUltraServer": True},
        }  # fmt: skip
    return found


def planned(given_: dict[str, dict[str, Any]]) -> tuple[dict[str, SeenRack], list[ExpectedPod]]:
    """The racks of the pair and the pods of these graphs, rendered although the settings may refuse them together."""
    every = []
    for name, graph in given_.items():
        alone = parsed({name: graph})
        made = {key: Rack(name=key, spec=item) for key, item in alone.capacity.ultra_servers.items()}
        around = Surroundings(
            release=catalog.dynamo_release("1.5.0"), machine=sizing.machine_of(alone.graphs[name], None, made),
            zone_names={}, queue=gang.QUEUE, topology=gang.TOPOLOGY,
        )  # fmt: skip
        every += domain_pods(manifest(name, alone.graphs[name], alone.models["glm-5"], around))
    return racks(recorded("gb200-pair")), every


def parsed(given_: dict[str, dict[str, Any]]) -> Settings:
    values = copy.deepcopy(dict(stackfile.read("gb200-pair").config))
    values["dynamo-eks:graphs"] = given_
    return Settings.parse("gb200-pair", values, at=AT)


@settings(max_examples=60)
@given(graphs())
def test_settings_and_layout_agree(given_: dict[str, dict[str, Any]]) -> None:
    """What the settings let through has a node for every pod and one domain for every rack, and what they refuse has not:
    refused before anything registers, or shown to fit, and never a plan that says otherwise."""
    alone = {name: graph for name, graph in given_.items() if _accepted({name: graph})}
    there, every = planned(alone)
    found = layout(there, every)
    fits = found.left == [] and all(len(found.domains(name)) <= 1 for name in found.nodes)
    assert _accepted(alone) == fits, [item.name for item in found.left]


def _accepted(given_: dict[str, dict[str, Any]]) -> bool:
    if not given_:
        return True
    try:
        parsed(given_)
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("count", [1, 2])
def test_parts_of_nodes_share_them(count: int) -> None:
    """Without a domain four pods of one GPU are one node, in the settings and in the plan alike."""
    graph = {
        "model": "glm-5", "backend": "sglang", "transport": "none", "computeDomain": "none",
        "worker": {"replicas": 36 // count, "gpus": count, "tensorParallel": count},
        "placement": {"ultraServer": "rack-a"},
    }  # fmt: skip
    there, every = planned({"one": graph})
    found = layout(there, every)
    assert found.left == [] and found.free_gpus("rack-a") == 0
    graph["worker"]["replicas"] += 1
    assert not _accepted({"one": graph})
