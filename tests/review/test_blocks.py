"""What a plan tells of UltraServers: window, money, grid, and what `make up` leaves out before the start."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity.ultraservers import RACK_LABEL
from components.dynamo.expected_pods import ExpectedPod
from recording.graph import Graph, Node, Read
from recording.racks import BLOCK_READ, NODE_GROUP, NodePlan, SeenRack, layout, rack_pods, racks
from recording.recorder import record
from review import blocks, report
from review.plan import make
from stacks import stackfile
from tests.conftest import recorded
from tests.stacks.edited import changed

GB200 = ["gb200-prod", "gb200-pair"]
BEFORE = datetime(2026, 11, 24, 12, tzinfo=UTC)


@cache
def before(stack: str) -> Graph:
    file = stackfile.read(stack)
    return record(stack, file.config, at=BEFORE)


def test_a_rack_is_shown_whole() -> None:
    """A reviewer who cannot see which nodes stay empty pays for them."""
    text = "\n".join(report.block_lines(recorded("gb200-prod")))
    assert "active, 142.0 hours left before the drain" in text
    assert "18 nodes x 4 GPUs, 0 of 72 GPUs free" in text
    assert "11  D D D D   r1-wide-ep decode 0 node 1 of 8 (leader)" in text
    assert text.count("D D D D") == 8 and text.count("P P P P") == 10
    pair = "\n".join(report.block_lines(recorded("gb200-pair")))
    assert pair.count("4 of 36 GPUs free") == 2 and pair.count(". . . .   free") == 2


def test_times_are_in_utc_and_in_order() -> None:
    """A drain read in local time is an hour of eighteen machines."""
    (entry,) = blocks.as_json(before("gb200-prod"))
    assert (entry["start"], entry["drain"], entry["reclaim"], entry["end"]) == (
        "2026-12-01T11:30:00Z", "2026-12-08T10:00:00Z", "2026-12-08T10:30:00Z", "2026-12-08T11:30:00Z",
    )  # fmt: skip
    assert entry["state"] == "scheduled" and entry["hoursLeft"] == 166.5
    moments = [step["at"] for step in entry["timeline"]]
    assert moments == sorted(moments) and len(moments) == 5
    assert entry["usdBlock"] == pytest.approx(761.904 * 168) and entry["usdLeft"] == pytest.approx(761.904 * 166.5)


@pytest.mark.parametrize("stack", GB200)
def test_before_the_start_nothing_that_needs_a_node_is_made(stack: str) -> None:
    """A Job on a rack without nodes waits for its timeout, and `up` fails days before the block starts."""
    graph = before(stack)
    out = blocks.left_out(graph)
    kinds = {node.type.rsplit(":", 1)[1] for node in out}
    assert {"DynamoGraphDeployment", "ComputeDomain", "MPIJob", "Job"} <= kinds
    # What takes hours and needs no rack is made: the model's download above all.
    kept = {node.name for node in graph.creation} - {node.name for node in out}
    assert any(name.startswith("cache-") for name in kept)
    assert {"dra-driver-release", "gpu-operator-release", "platform-release"} <= kept
    waiting = {item.node.key for item in graph.objects_of("Job") if "karpenter" not in str(item.manifest)} & {
        node.key for node in graph.creation if node.name in kept
    }
    assert all("verify-" not in key and "smoke" not in key for key in waiting)


@pytest.mark.parametrize("stack", GB200)
def test_up_takes_what_is_left_out_as_arguments(stack: str) -> None:
    """A URN that the shell changes excludes nothing, and `up` hangs on the first rung."""
    words = blocks.up_arguments(before(stack))
    assert words[-1] == "--exclude-dependents" and words[0] == "--exclude"
    urns = [word for word in words if word.startswith("urn:pulumi:")]
    assert len(urns) == len(racks(before(stack)))
    assert set(urns) <= {node.urn for node in before(stack)}
    assert all(len(word.split()) == 1 for word in words)
    assert shlex.split(shlex.join(words)) == words


@pytest.mark.parametrize("stack", GB200)
def test_after_the_start_nothing_is_left_out(stack: str) -> None:
    graph = recorded(stack)
    assert blocks.left_out(graph) == [] and blocks.up_arguments(graph) == []


@pytest.mark.parametrize("stack", GB200)
def test_the_same_is_registered_before_and_after_but_for_the_schedule_up(stack: str) -> None:
    """What is reviewed before the start must be what is made after it."""
    first, second = {node.key for node in before(stack)}, {node.key for node in recorded(stack)}
    assert {key.split("::")[0] for key in first ^ second} == {"aws:autoscaling/schedule:Schedule"}
    assert second < first and all(key.endswith("-start") for key in first - second)


def test_stacks_without_racks_say_nothing() -> None:
    for stack in ("g6e-dev", "mocker-local"):
        assert report.block_lines(recorded(stack)) == [] and blocks.as_json(recorded(stack)) == []


def test_markdown_begins_with_the_window() -> None:
    """In a pull request nobody unfolds what is folded."""
    text = report.markdown(make(stackfile.read("gb200-prod"), at=BEFORE))
    assert text.index("UltraServer rack-a") < text.index("<details>")


def test_frontends_spread_and_no_node_is_overfull() -> None:
    seen = racks(recorded("gb200-prod"))
    placed = layout(seen, rack_pods(recorded("gb200-prod")))
    assert placed.left == []
    for node in placed.nodes["rack-a"]:
        assert node.free_gpus >= 0 and sum(pod.component == "frontend" for pod in node.pods) <= 1


def test_without_a_ladder_the_graphs_themselves_are_left_out() -> None:
    """With every rung left out nothing else would hold a graph back from a rack that has no nodes."""
    file = stackfile.read("gb200-prod")
    capacity = file.config["dynamo-eks:capacity"]
    rack = {**capacity["ultraServers"]["rack-a"], "verify": []}
    config = {**file.config, "dynamo-eks:capacity": {"ultraServers": {"rack-a": rack}}}
    graph = record("gb200-prod", config, at=BEFORE)
    assert [node.name for node in blocks.held(graph)] == ["graph-r1-wide-ep-graph"]
    assert any(node.name.startswith("smoke-r1-wide-ep") for node in blocks.left_out(graph))


# --- piece by piece ----------------------------------------------------------------------------------------------------

START, END = datetime(2026, 12, 1, 11, 30, tzinfo=UTC), datetime(2026, 12, 8, 11, 30, tzinfo=UTC)
UP = {"desiredCapacity": 9, "startTime": "2026-12-01T11:30:00Z", "scheduledActionName": "up"}
DOWN = {"desiredCapacity": 0, "startTime": "2026-12-08T10:00:00Z", "scheduledActionName": "down"}
BLOCK = {"startDate": "2026-12-01T11:30:00Z", "endDate": "2026-12-08T11:30:00Z"}


def rack(*actions: dict[str, object], nodes: int = 9, block: Mapping[str, object] = BLOCK) -> SeenRack:
    schedules = tuple(Node(1, "aws:autoscaling/schedule:Schedule", "a", "", inputs=action) for action in actions)
    return SeenRack("rack-a", Node(1, NODE_GROUP, "a", ""), None, schedules, nodes, None, "cr-1", block)


def pod(component: str, count: int = 4, *, replica: int = 0, rank: int = 0, graph: str = "chat") -> ExpectedPod:
    return ExpectedPod(
        name=f"{graph}-{component}-{replica}-{rank}", graph=graph, namespace="dynamo", component=component, type="worker",
        index=0, labels={}, requests={"nvidia.com/gpu": str(count)}, cpu_milli=1, memory_mib=1, replica=replica, rank=rank,
    )  # fmt: skip


def test_what_happens_to_a_rack_in_order() -> None:
    """The list by which people work: what is not on it surprises them."""
    assert [(step.at.isoformat(), step.what) for step in blocks.timeline(rack(DOWN, UP))] == [
        ("2026-12-01T11:30:00+00:00", "the block starts"),
        ("2026-12-01T11:30:00+00:00", "the node group goes to 9 nodes (scheduled action up)"),
        ("2026-12-08T10:00:00+00:00", "9 nodes are drained and given back (scheduled action down)"),
        ("2026-12-08T10:30:00+00:00", "EC2 takes what is left"),
        ("2026-12-08T11:30:00+00:00", "the block ends"),
    ]
    assert blocks.timeline(rack(UP)) == blocks.timeline(rack(DOWN, block={})) == []


@pytest.mark.parametrize(
    ("now", "words", "left"),
    [
        ("2026-11-24T11:30:00Z", "not started, starts in 7.0 days; 166.5 hours to use", 166.5),
        ("2026-12-01T11:29:59Z", "not started, starts in 0.0 days; 166.5 hours to use", 166.5),
        ("2026-12-01T11:30:00Z", "active, 166.5 hours left before the drain", 166.5),
        ("2026-12-08T09:00:00Z", "active, 1.0 hours left before the drain", 1),
        ("2026-12-08T09:30:00Z", "ending, 30 minutes left before the drain; start nothing new", 0.5),
        ("2026-12-08T09:30:48Z", "ending, 29 minutes left before the drain; start nothing new", 29.2 / 60),
        ("2026-12-08T10:00:00Z", "drained: its nodes are going or gone, and none may be started", 0),
        ("2026-12-08T11:00:00Z", "drained: its nodes are going or gone, and none may be started", 0),
        ("2026-12-08T11:30:00Z", "ended", 0),
    ],
)
def test_state_and_money_at_a_moment(now: str, words: str, left: float) -> None:
    """What is left can be used is what the drain leaves; more would be promised to a job that EC2 kills."""
    at = datetime.fromisoformat(now)
    assert blocks.state(rack(DOWN).window, at) == words
    assert blocks.money(rack(DOWN), at) == {
        "usdPerHour": 380.952, "usdBlock": round(380.952 * 168, 2), "usdLeft": round(380.952 * left, 2),
    }  # fmt: skip


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A price of a block that nobody has looked at would be believed."""
    assert blocks.state(rack(DOWN, block={}).window, START) == blocks.state(rack().window, START) == "dates not known"
    assert blocks.money(rack(DOWN, block={}), START) == blocks.money(rack(DOWN, nodes=5), START) == {}


@given(st.datetimes(datetime(2026, 11, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), st.sampled_from([9, 18]))
def test_money_only_runs_out(at: datetime, nodes: int) -> None:
    """Never more than the whole, never less than nothing, and never more an hour later."""
    now, later = (blocks.money(rack(DOWN, nodes=nodes), moment) for moment in (at, at + timedelta(hours=1)))
    assert 0 <= later["usdLeft"] <= now["usdLeft"] < now["usdBlock"] == pytest.approx(now["usdPerHour"] * 168, abs=0.01)
    assert now["usdPerHour"] / (4 * nodes) == pytest.approx(10.582), "$10.58 for a GPU and hour, whichever the type"


def by_hand(*nodes: Node, at: datetime = BEFORE, racks_: Sequence[str] = ("rack-a",)) -> Graph:
    """A graph with racks whose block starts on the first of December, and what is given."""
    groups: list[Node] = []
    for name in racks_:
        drain = {**DOWN, "scheduledActionName": f"{name}-drain"}
        reserved = {"capacityReservationTarget": {"capacityReservationId": f"cr-{name}"}}
        for type_, suffix, inputs in (
            ("aws:ec2/launchTemplate:LaunchTemplate", "", {"capacityReservationSpecification": reserved}),
            (NODE_GROUP, "", {"capacityType": "CAPACITY_BLOCK", "labels": {RACK_LABEL: name}, "scalingConfig": {"maxSize": 9}}),
            ("aws:autoscaling/schedule:Schedule", "-drain", drain),
        ):  # fmt: skip
            groups.append(Node(len(groups) + 1, type_, f"{name}{suffix}", f"urn:{name}", inputs=inputs))
    dates = {"rack-a": BLOCK, "rack-b": BLOCK, "running": {**BLOCK, "startDate": "2026-11-24T11:30:00Z"}}
    reads = [Read(BLOCK_READ, {"id": f"cr-{name}"}, dates[name]) for name in racks_]
    return Graph("by-hand", [*groups, *nodes], reads=reads, at=at)


def rung(order: int, name: str, rack_: str | None = "rack-a", *after: str, parent: str = blocks.LADDER) -> list[Node]:
    """A ladder's Job with its ladder."""
    above = Node(order, parent, f"ladder-{name}", "", custom=False, inputs={"rack": rack_} if rack_ else {})
    job = Node(order + 1, blocks.JOB, name, f"urn:{name}", parent=above.key, depends_on=after, inputs={"kind": "Job"})
    return [above, job]


def deployed(order: int, name: str, *after: str) -> Node:
    type_ = "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"
    spec = {"components": [{"name": "w", "replicas": 0}]}
    inputs = {"kind": "DynamoGraphDeployment", "metadata": {"name": name}, "spec": spec}
    return Node(order, type_, name, f"urn:{name}", depends_on=after, inputs=inputs)


EARLY = Node(7, "a:b:C", "early", "", depends_on=(f"{NODE_GROUP}::rack-a",))
GROUP_A, GROUP_B = f"{NODE_GROUP}::rack-a", f"{NODE_GROUP}::rack-b"


@pytest.mark.parametrize(
    ("graph", "names"),
    [
        # The first rung is the one that waits for no other; of two such the one registered first.
        (by_hand(*rung(8, "one"), *rung(10, "two", "rack-a", f"{blocks.JOB}::one")), ["one"]),
        (by_hand(EARLY, *rung(8, "one", "rack-a", EARLY.key), *rung(10, "two")), ["two"]),
        (by_hand(*rung(10, "two"), *rung(8, "one")), ["one"]),
        # Jobs of other racks, of no rack, below no ladder and below nothing are none of its rungs.
        (by_hand(*rung(8, "one", "rack-b"), *rung(10, "two"), racks_=["rack-a"]), ["two"]),
        (by_hand(*rung(8, "one", None), Node(9, blocks.JOB, "x", ""), *rung(10, "two", parent="other")), []),
        (by_hand(Node(8, blocks.JOB, "lost", "", parent="gone::gone"), *rung(10, "two")), ["two"]),
        # Without a ladder the graphs that need the rack, each once although both racks hold it back.
        (by_hand(deployed(8, "one", GROUP_A), deployed(9, "two")), ["one"]),
        (by_hand(
            deployed(8, "one", GROUP_A), deployed(9, "both", GROUP_A, GROUP_B), deployed(10, "two", GROUP_B),
            racks_=["rack-a", "rack-b"],
        ), ["one", "both", "two"]),
        # A rack that runs holds nothing back, and the next one does.
        (by_hand(*rung(8, "one", "running"), *rung(10, "two", "rack-a"), racks_=["running", "rack-a"]), ["two"]),
        (by_hand(*rung(8, "one"), at=datetime(2026, 12, 1, 11, 30, tzinfo=UTC)), []),
        (by_hand(racks_=[]), []),
    ],
)  # fmt: skip
def test_what_holds_everything_else_back(graph: Graph, names: list[str]) -> None:
    """What is left out too much is missing after the start; what is left in waits for its timeout and fails `up`."""
    assert [node.name for node in blocks.held(graph)] == names
    excluded = [part for name in names for part in ("--exclude", f"urn:{name}")]
    assert blocks.up_arguments(graph) == excluded + (["--exclude-dependents"] if names else [])


def test_what_depends_on_it_is_left_out_with_it() -> None:
    graph = by_hand(
        *rung(8, "one"), Node(10, "a:b:C", "kept", ""), Node(11, "a:b:C", "after", "", depends_on=(f"{blocks.JOB}::one",)),
        Node(12, "a:b:C", "last", "", depends_on=("a:b:C::after", "a:b:C::kept")),
    )  # fmt: skip
    assert [node.name for node in blocks.left_out(graph)] == ["one", "after", "last"]


def test_what_sits_on_a_node_in_words() -> None:
    """Whoever repairs node 3 reads here which model goes off the air."""
    pods = [pod("decode", rank=rank, replica=1) for rank in range(2)] + [
        pod("prefill", 2),
        pod("decode", graph="other"),
    ]
    sizes = blocks.sizes(pods[::-1])
    assert sizes == {("chat", "decode"): 2, ("chat", "prefill"): 1, ("other", "decode"): 1}
    node = NodePlan("rack-a", 0, 0, 0, 0, 0, 0, pods)
    assert blocks.describe(node, sizes) == (
        "chat decode 1 node 1 of 2 (leader), chat decode 1 node 2 of 2, chat prefill 0, other decode 0"
    )
    assert blocks.describe(node, {}) == "chat decode 1, chat decode 1, chat prefill 0, other decode 0"
    assert blocks.describe(NodePlan("rack-a", 0, 0, 0, 0, 0, 0), sizes) == "free"


@pytest.mark.parametrize(
    ("pods", "shown"),
    [
        ([], ". . . ."),
        ([pod("decode", 4)], "D D D D"),
        ([pod("prefill", 1), pod("frontend", 0), pod("decode", 2)], "P D D ."),
        ([pod("decode", 4), pod("prefill", 1)], "D D D D"),
    ],
)
def test_gpus_of_a_node_in_letters(pods: list[ExpectedPod], shown: str) -> None:
    assert blocks.cells(NodePlan("rack-a", 0, 0, 0, 0, 0, 0, pods), 4) == shown


def test_the_machine_contract_of_a_rack_is_whole() -> None:
    """Other programs read these fields; one that changes its name or unit is read as nothing."""
    entry = blocks.as_json(before("gb200-prod"))[0]
    nodes, out = entry.pop("nodes"), entry.pop("leftOut")
    assert entry == {
        "name": "rack-a", "of": "ultraServer", "reservation": "cr-0fedcba9876543210", "type": "u-p6e-gb200x72", "zone": "use1-dfw2-az1",
        "at": "2026-11-24T12:00:00Z", "state": "scheduled", "start": "2026-12-01T11:30:00Z", "drain": "2026-12-08T10:00:00Z",
        "reclaim": "2026-12-08T10:30:00Z", "end": "2026-12-08T11:30:00Z", "hoursLeft": 166.5, "usdPerHour": 761.904,
        "usdBlock": 127999.87, "usdLeft": 126857.02, "freeGpus": 0, "gpus": 72,
        "timeline": [
            {"at": "2026-12-01T11:30:00Z", "what": "the block starts"},
            {"at": "2026-12-01T11:30:00Z", "what": "the node group goes to 18 nodes (scheduled action nodes-rack-a-76543210-start)"},
            {"at": "2026-12-08T10:00:00Z", "what": "18 nodes are drained and given back (scheduled action nodes-rack-a-76543210-drain)"},
            {"at": "2026-12-08T10:30:00Z", "what": "EC2 takes what is left"},
            {"at": "2026-12-08T11:30:00Z", "what": "the block ends"},
        ],
    }  # fmt: skip
    assert out == [node.key for node in blocks.left_out(before("gb200-prod"))] and out
    assert [node["node"] for node in nodes] == list(range(1, 19))
    (leader,) = [node for node in nodes if "(leader)" in node["holds"]]
    assert leader == {
        "node": 11, "freeGpus": 0, "pods": [{"name": "r1-wide-ep-0-decode-0-decode-ldr-0", "gpus": 4}],
        "holds": "r1-wide-ep decode 0 node 1 of 8 (leader)",
    }  # fmt: skip
    running = blocks.as_json(recorded("gb200-prod"))[0]
    assert (running["state"], running["leftOut"], running["hoursLeft"]) == ("active", [], 142.0)


def test_a_rack_of_which_little_is_known_is_told_all_the_same() -> None:
    """A plan that ends with a traceback shows neither the rack nor the rule that says what is wrong."""
    group = Node(1, NODE_GROUP, "a", "", inputs={"capacityType": "CAPACITY_BLOCK", "scalingConfig": {"maxSize": 1}})
    (entry,) = blocks.as_json(Graph("by-hand", [group], at=BEFORE))
    assert entry == {
        "name": "a", "of": "ultraServer", "reservation": "", "type": "", "zone": None, "at": "2026-11-24T12:00:00Z", "state": None, "start": None,
        "drain": None, "reclaim": None, "end": None, "hoursLeft": None, "timeline": [], "freeGpus": 0, "gpus": 0,
        "nodes": [{"node": 1, "freeGpus": 0, "pods": [], "holds": "free"}], "leftOut": [],
    }  # fmt: skip


def test_each_rack_tells_its_own_state() -> None:
    """One that runs is not said to wait because another does."""
    at = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
    entries = blocks.as_json(by_hand(*rung(8, "one"), racks_=["running", "rack-a"], at=at))
    assert [(entry["state"], entry["hoursLeft"], entry["leftOut"]) for entry in entries] == [
        ("active", 334.0, []), ("scheduled", 166.5, [f"{blocks.JOB}::one"]),
    ]  # fmt: skip


# --- Capacity Blocks of pools -------------------------------------------------------------------------------------------


def pooled(changes: dict[str, Any], at: datetime) -> Graph:
    file = stackfile.read("p5-reserved")
    return record("p5-reserved", changed(file.config, changes), secret_keys=file.secret_keys, at=at)


EARLY, WITHIN = datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 12, 2, 11, 30, tzinfo=UTC)
WITH_FALLBACK = {"capacity.pools.block.capacity": ["reserved", "on-demand"]}
ROAMING = {**WITH_FALLBACK, "graphs.trtllm-block.placement.reservedOnly": False}


def test_a_pools_block_is_told_as_a_racks() -> None:
    (entry,) = blocks.as_json(pooled({}, WITHIN))
    assert {key: entry[key] for key in ("of", "name", "type", "count", "zone", "state", "gpus")} == {
        "of": "pool", "name": "block", "type": "p5.48xlarge", "count": 2, "zone": "usw2-az2", "state": "active", "gpus": 16,
    }  # fmt: skip
    assert (entry["start"], entry["drain"], entry["reclaim"], entry["end"]) == (
        "2026-12-01T11:30:00Z", "2026-12-15T10:50:00Z", "2026-12-15T11:00:00Z", "2026-12-15T11:30:00Z",
    )  # fmt: skip
    # Thirteen days less forty minutes, at 2 x $47.76 an hour.
    assert entry["hoursLeft"] == 311.33 and entry["usdLeft"] == pytest.approx(311.3333 * 95.52, abs=0.01)
    assert entry["usdBlock"] == pytest.approx(14 * 24 * 95.52) and entry["leftOut"] == []
    assert [step["at"] for step in entry["timeline"]] == [
        entry["start"], entry["drain"], entry["reclaim"], entry["end"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "at", "held"),
    [
        ({}, WITHIN, False),
        ({}, EARLY, True),
        (WITH_FALLBACK, EARLY, True),
        (ROAMING, EARLY, False),
    ],
    ids=["it runs", "not begun", "begun for nobody else", "another machine takes them"],
)
def test_what_waits_for_a_pools_block(changes: dict[str, Any], at: datetime, held: bool) -> None:
    """A graph whose machines come in eleven days would hold `make up` until its smoke test gives up."""
    graph = pooled(changes, at)
    names = {node.name for node in blocks.left_out(graph)}
    assert ("graph-trtllm-block-graph" in names) is held and "graph-vllm-disagg-p5-graph" not in names
    assert bool(blocks.up_arguments(graph)) is bool(blocks.waiting_lines(graph)) is held


def a_block(number: int, count: int, first: str, last: str) -> dict[str, Any]:
    window = {"start": f"2026-{first}T11:30:00Z", "end": f"2026-{last}T11:30:00Z"}
    id_ = f"cr-0123456789abcdef{number}"
    return {
        "id": id_,
        "kind": "capacityBlock",
        "instanceType": "p5.48xlarge",
        "zone": "usw2-az2",
        "count": count,
        **window,
    }


@pytest.mark.parametrize(
    ("reservations", "replicas", "held"),
    [
        ([a_block(1, 2, "12-01", "12-08"), a_block(2, 4, "12-08", "12-15")], 2, False),
        ([a_block(1, 2, "12-01", "12-08"), a_block(2, 4, "12-08", "12-15")], 4, True),
        ([a_block(1, 4, "12-01", "12-08"), a_block(2, 4, "12-08", "12-15")], 4, False),
    ],
    ids=["it runs on the first", "it needs the second", "it runs on both"],
)
def test_a_larger_block_is_waited_for(reservations: list[dict[str, Any]], replicas: int, held: bool) -> None:
    """Four workers on a running block of two: `make up` would wait for the two that come with the next one."""
    changes = {"capacity.pools.block.reservations": reservations, "graphs.trtllm-block.worker.replicas": replicas}
    assert bool(blocks.held(pooled(changes, WITHIN))) is held


def test_machines_of_another_type_are_of_no_use() -> None:
    """An On-Demand reservation of p5.4xlarge stands in the pool, and the graph asks for the block's type."""
    other = {"create": True, "kind": "onDemand", "instanceType": "p5.4xlarge", "zone": "usw2-az2", "count": 2}
    old = stackfile.read("p5-reserved").config["dynamo-eks:capacity"]["pools"]["block"]["reservations"]
    assert blocks.held(pooled({"capacity.pools.block.reservations": [*old, other]}, EARLY))


def test_a_block_that_stands_beside_others_waits_for_nobody() -> None:
    """The pool has machines already; the next block only adds to them."""
    more = {"create": True, "kind": "onDemand", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2}
    old = stackfile.read("p5-reserved").config["dynamo-eks:capacity"]["pools"]["block"]["reservations"]
    assert not blocks.held(pooled({"capacity.pools.block.reservations": [*old, more]}, EARLY))


def test_lines_of_a_pools_block() -> None:
    told = report.pool_block_lines(pooled({}, EARLY))
    assert told[0] == "Capacity Block of pool block: 2 p5.48xlarge on cr-0fedcba9876543210 in usw2-az2"
    assert "not started, starts in 11.0 days" in told[1] and any(
        "before the start `make up` makes all but" in line for line in told
    )
