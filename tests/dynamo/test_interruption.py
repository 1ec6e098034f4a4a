"""Rolling updates and evictions: how many pods may go at once, and whether there is room for those that come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import sizing
from components.capacity.spec import Pool, Reservation
from components.dynamo.interruption import MAX_SURGE, MAX_UNAVAILABLE, budgets, pace, share
from components.dynamo.spec import Graph, Placement, Rollout, Worker
from recording.recorder import record
from rules import judge
from stacks import stackfile
from tests.conftest import AT, recorded
from tests.stacks.edited import changed

H100 = "p5.48xlarge"


@given(st.integers(0, 100), st.integers(0, 1000))
def test_shares_are_rounded_as_a_deployment_does(percent: int, of: int) -> None:
    """Kubernetes rounds surge up and unavailable down; other numbers would promise room that is not asked for."""
    up, down = (share(f"{percent}%", of, up=way) for way in (True, False))
    assert down <= of * percent / 100 <= up and up - down <= 1 and (up == down) == (of * percent % 100 == 0)


def test_counts_are_themselves() -> None:
    assert share("3", 100, up=True) == share("3", 100, up=False) == 3


def graph(replicas: int = 1, reserved: bool = False, **rollout: str) -> Graph:
    return Graph(
        model="m",
        backend="vllm",
        transport="none",
        worker=Worker(replicas=replicas, gpus=8, tensor_parallel=8),
        placement=Placement(pool="block", instance_type=H100, reserved_only=reserved),
        rollout=Rollout(**rollout),
    )


def pool(count: int, *capacity: Any, limit: int | None = None) -> Pool:
    here = Reservation(id="cr-0123456789abcdef0", kind="onDemand", instance_type=H100, zone="usw2-az2", count=count)
    return Pool(families=("p5",), capacity=capacity, reservations=(here,), gpu_limit=limit)


@pytest.mark.parametrize(
    ("pool", "graphs", "room"),
    [
        (pool(2, "reserved", "on-demand"), [graph(2)], True),
        (pool(2, "reserved"), [graph(2)], False),
        (pool(3, "reserved"), [graph(2)], True),
        (pool(3, "reserved"), [graph(2), graph(1)], False),
        (pool(5, "reserved"), [graph(4)], True),
        (pool(6, "reserved"), [graph(5)], False),
        (pool(2, "reserved", "on-demand"), [graph(2, reserved=True)], False),
        (pool(2, "reserved", "on-demand", limit=16), [graph(2)], False),
        (pool(2, "reserved", "on-demand", limit=24), [graph(2)], True),
        (pool(2, "reserved"), [graph(2, max_surge="0")], True),
    ],
)
def test_room_for_what_an_update_puts_beside(pool: Pool, graphs: list[Graph], room: bool) -> None:
    """The surge pod of a rolling update waits for ever on reserved nodes that are all in use (dynamo #13580, airunway #400)."""
    named = {f"graph-{number}": item for number, item in enumerate(graphs)}
    assert sizing.surge_room("graph-0", named, {"block": pool}, {}) is room


@pytest.mark.parametrize(
    ("given", "roomy", "told"),
    [
        (graph(), True, {}),
        (graph(), False, {MAX_SURGE: "0", MAX_UNAVAILABLE: "1"}),
        (graph(max_surge="1"), False, {MAX_SURGE: "1"}),
        (graph(max_surge="1", max_unavailable="0"), True, {MAX_SURGE: "1", MAX_UNAVAILABLE: "0"}),
    ],
)
def test_pace(given: Graph, roomy: bool, told: dict[str, str]) -> None:
    assert pace(given, roomy=roomy) == told


def annotations(stack: str, changes: dict[str, Any]) -> dict[str, dict[str, str]]:
    file = stackfile.read(stack)
    made = record(stack, changed(file.config, changes), secret_keys=file.secret_keys, at=AT)
    return {
        f"{item.name} {part['name']}": part["podTemplate"].get("metadata", {}).get("annotations", {})
        for item in made.objects_of("DynamoGraphDeployment")
        for part in item.manifest["spec"]["components"]
    }


def test_a_full_reservation_is_updated_in_place() -> None:
    """The shipped reserved stack has as many machines as its graphs take."""
    told = annotations("p5-reserved", {})
    place = {MAX_SURGE: "0", MAX_UNAVAILABLE: "1"}
    assert told["vllm-disagg-p5 prefill"] == told["vllm-disagg-p5 decode"] == told["trtllm-block worker"] == place
    assert told["trtllm-block frontend"] == {}
    assert annotations("g6e-dev", {})["vllm-agg worker"] == {}


def test_budgets() -> None:
    """A budget for the only pod of a part would never let its node go."""
    assert budgets("chat", graph(), {"frontend": 1}) == []
    (made,) = budgets("chat", graph(), {"frontend": 1, "worker": 3})
    assert made["metadata"] == {"name": "chat-worker", "namespace": "dynamo"}
    assert made["spec"]["minAvailable"] == 2 and made["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budgets("chat", graph().model_copy(update={"pod_disruption_budget": False}), {"worker": 3}) == []


def budgeted(stack: str, changes: dict[str, Any]) -> list[str]:
    file = stackfile.read(stack)
    made = record(stack, changed(file.config, changes), secret_keys=file.secret_keys, at=AT)
    assert not [item for item in judge(made) if item.verdict == "fail"]
    return sorted(item.name for item in made.objects_of("PodDisruptionBudget"))


@pytest.mark.parametrize(
    ("stack", "changes", "made"),
    [
        ("g6e-dev", {}, []),
        ("g6e-dev", {"graphs.vllm-agg.worker.replicas": 2, "graphs.vllm-agg.frontend": {"replicas": 2}}, ["vllm-agg-frontend", "vllm-agg-worker"]),
        ("g6e-dev", {"graphs.vllm-agg.worker": {"replicas": 2, "gpus": 1, "scaledBy": "others"}}, []),
        ("p5-reserved", {}, ["vllm-disagg-p5-frontend"]),
        ("gb200-prod", {}, []),
        ("mocker-local", {}, ["mocker-worker"]),
    ],
)  # fmt: skip
def test_what_has_a_budget(stack: str, changes: dict[str, Any], made: list[str]) -> None:
    """On a Capacity Block and a rack all nodes end at once: a budget would hold all pods but one until EC2 takes them."""
    assert budgeted(stack, changes) == made


def test_a_budget_goes_before_its_graph() -> None:
    graph = recorded("mocker-local")
    (budget,) = graph.objects_of("PodDisruptionBudget")
    (owner,) = graph.objects_of("DynamoGraphDeployment")
    assert owner.node.key in graph.requires(budget.node.key) and owner.node.parent == budget.node.parent
