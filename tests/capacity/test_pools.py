"""Pools and reservations: what they are made of, and what is refused."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity import node_spec
from components.capacity.node_spec import PoolSpec
from components.capacity.reservations import mismatches
from review import stackfile
from review.answers import Answers
from review.recorder import record
from tests.conftest import AT, recorded

END = datetime(2026, 12, 15, 11, 30, tzinfo=UTC)


def spec(**changes: Any) -> PoolSpec:
    values: dict[str, Any] = {
        "name": "gpu", "families": ("g6e",), "instance_types": (), "capacity": ("spot", "on-demand"),
        "zone_names": ("us-east-1a",), "gpu_limit": 8, "consolidate_after": "300s", "expire_after": "336h",
        "disruption_budget": "10%", **changes,
    }  # fmt: skip
    return PoolSpec(**values)


def test_a_block_is_never_consolidated() -> None:
    """It is paid to its end; a replaced node costs minutes of everything that waits for it."""
    found = node_spec.disruption(spec(capacity=("reserved",), block_end=END))
    assert found["consolidationPolicy"] == "WhenEmpty" and found["consolidateAfter"] == "Never"
    assert {"nodes": "0", "reasons": ["Drifted", "Underutilized"]} in found["budgets"]


def test_prepaid_reservations_lose_empty_nodes_only() -> None:
    assert node_spec.disruption(spec(capacity=("reserved", "on-demand")))["consolidationPolicy"] == "WhenEmpty"
    assert node_spec.disruption(spec())["consolidationPolicy"] == "WhenEmptyOrUnderutilized"


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_draining_begins_forty_minutes_before_the_end(end: datetime) -> None:
    """EC2 takes instances 30 minutes before; Karpenter starts 10 minutes ahead of that."""
    assert end - node_spec.drain_at(end) == timedelta(minutes=40)
    annotations = node_spec.node_pool(spec(block_end=end))["metadata"]["annotations"]
    assert annotations["dynamo-eks/drain-at"] == node_spec.moment(node_spec.drain_at(end))


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 20)), max_size=6))
def test_the_limit_holds_the_graphs_and_one_node_to_roll_over(demands: list[tuple[int, int]]) -> None:
    """Without a spare a rolling update waits for ever (ai-dynamo/dynamo #13580)."""
    needed = sum(gpus * nodes for gpus, nodes in demands)
    limit = node_spec.gpu_limit(demands)
    assert limit - needed == max((gpus for gpus, _ in demands), default=0)


def test_families_and_types_become_one_list() -> None:
    """Requirements are joined by AND: a type outside the families could never be launched."""
    (which,) = [
        item for item in node_spec.requirements(spec(instance_types=("p5.48xlarge",))) if "instance-type" in item["key"]
    ]
    assert "p5.48xlarge" in which["values"] and "g6e.2xlarge" in which["values"]


def test_pools_keep_others_and_operands_off() -> None:
    pool = node_spec.node_pool(spec())["spec"]["template"]
    assert pool["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "Exists", "effect": "NoSchedule"}]
    assert pool["metadata"]["labels"]["nvidia.com/gpu.deploy.operands"] == "false"


def test_reserved_comes_first_with_its_stated_fallback() -> None:
    pools = {item.name: item.manifest for item in recorded("p5-reserved").objects_of("NodePool")}

    def capacity(name: str) -> list[str]:
        needed = pools[name]["spec"]["template"]["spec"]["requirements"]
        return next(item["values"] for item in needed if item["key"] == "karpenter.sh/capacity-type")

    assert capacity("reserved") == ["reserved", "on-demand"] and capacity("block") == ["reserved"]


def test_a_made_reservation_is_targeted_and_kept() -> None:
    """An open one is eaten by anything in the account; one given back may not come again."""
    node = recorded("p5-reserved").one("aws:ec2/capacityReservation:CapacityReservation")
    assert node.inputs["instanceMatchCriteria"] == "targeted" and node.protect
    assert node.inputs["availabilityZone"] == "us-west-2b" and node.inputs["instanceCount"] == 2
    (class_,) = [item for item in recorded("p5-reserved").objects_of("NodeClass") if item.name == "reserved"]
    assert class_.manifest["spec"]["capacityReservationSelectorTerms"] == [{"id": node.id}]


def test_the_node_role_is_admitted_as_ec2() -> None:
    """Without an access entry of type EC2 nodes start, cost money and never join."""
    graph = recorded("g6e-dev")
    entry = next(node for node in graph.of("aws:eks/accessEntry:AccessEntry") if node.inputs.get("type") == "EC2")
    association = next(
        node
        for node in graph.of("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
        if "AutoNodePolicy" in node.inputs["policyArn"]
    )
    assert association.inputs["principalArn"] == entry.inputs["principalArn"]


def test_tagged_reservations_are_selected_by_tags() -> None:
    config = copy.deepcopy(dict(stackfile.read("p5-reserved").config))
    block = config["dynamo-eks:capacity"]["pools"]["block"]["reservations"][0]
    del block["id"]
    block["tags"] = {"block": "december"}
    graph = record("p5-reserved", config, at=AT)
    (class_,) = [item for item in graph.objects_of("NodeClass") if item.name == "block"]
    assert class_.manifest["spec"]["capacityReservationSelectorTerms"] == [{"tags": {"block": "december"}}]


# --- a reservation that is not as stated -------------------------------------------------------------------------------

STATED: dict[str, Any] = {
    "instance_type": "p5.48xlarge",
    "zone_id": "usw2-az2",
    "count": 2,
    "end": "2026-12-15T11:30:00Z",
}
FOUND = {
    "state": "active",
    "instance_type": "p5.48xlarge",
    "availability_zone_id": "usw2-az2",
    "instance_count": 2,
    "end_date": "2026-12-15T11:30:00Z",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "expired"}, "is expired"),
        ({"instance_type": "p5en.48xlarge"}, "holds p5en.48xlarge, the stack says p5.48xlarge"),
        ({"availability_zone_id": "usw2-az1"}, "is in usw2-az1, the stack says usw2-az2"),
        ({"instance_count": 4}, "holds 4 instances, the stack says 2"),
        ({"end_date": "2026-12-14T11:30:00Z"}, "the drain comes at the wrong time"),
    ],
)
def test_each_mismatch(change: dict[str, Any], words: str) -> None:
    (found,) = mismatches("cr-1", **STATED, found={**FOUND, **change})
    assert words in found


def test_no_mismatch() -> None:
    assert mismatches("cr-1", **STATED, found=FOUND) == []
    assert mismatches("cr-1", **STATED, found={**FOUND, "state": "scheduled", "instance_count": 0}) == []


def test_a_mismatch_stops_the_program() -> None:
    """A pool on a block of another zone launches nothing while the block is paid for."""
    file = stackfile.read("p5-reserved")
    answers = Answers.for_config("p5-reserved", file.config)
    answers.reservations["cr-0a1b2c3d4e5f60718"] = {**answers.reservations["cr-0a1b2c3d4e5f60718"], "zone": "usw2-az1"}
    with pytest.raises(pulumi.RunError, match="is in usw2-az1, the stack says usw2-az2"):
        record("p5-reserved", file.config, answers=answers)


def test_shipped_instances_table_is_there() -> None:
    assert Path(node_spec.instances.__file__).with_suffix(".json").stat().st_size > 1000
