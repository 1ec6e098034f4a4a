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
from components.capacity.reservations import Stated, mismatches
from components.capacity.spec import EphemeralStorage, Pool, Reservation
from components.capacity.window import moment
from recording.answers import Answers
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT, recorded

END = datetime(2026, 12, 15, 11, 30, tzinfo=UTC)


HELD = (
    '[{"count": 1, "end": "2026-12-15T11:30:00Z", "id": "cr-0123456789abcdef0", "instanceType": "p5.48xlarge", '
    '"kind": "capacityBlock", "zone": "use1-az1"}]'
)


def spec(**changes: Any) -> Pool:
    return Pool(**{"families": ("g6e",), "capacity": ("spot", "on-demand"), **changes})


def block(end: datetime) -> dict[str, Any]:
    """A pool's reservations: one Capacity Block that ends then."""
    return {
        "reservations": (
            Reservation(
                id="cr-0123456789abcdef0", kind="capacityBlock", instance_type="p5.48xlarge", zone="use1-az1", count=1, end=end
            ),
        )
    }  # fmt: skip


def node_pool(pool: Pool) -> dict[str, Any]:
    return node_spec.node_pool("gpu", pool, zone_names=["us-east-1a"], gpu_limit=8)


def test_a_block_is_never_consolidated() -> None:
    """It is paid to its end; a replaced node costs minutes of everything that waits for it."""
    found = node_spec.disruption(spec(capacity=("reserved",), **block(END)))
    assert found["consolidationPolicy"] == "WhenEmpty" and found["consolidateAfter"] == "Never"
    assert {"nodes": "0", "reasons": ["Drifted", "Underutilized"]} in found["budgets"]


def test_prepaid_reservations_lose_empty_nodes_only() -> None:
    assert node_spec.disruption(spec(capacity=("reserved", "on-demand")))["consolidationPolicy"] == "WhenEmpty"
    assert node_spec.disruption(spec())["consolidationPolicy"] == "WhenEmptyOrUnderutilized"


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_draining_begins_forty_minutes_before_the_end(end: datetime) -> None:
    """EC2 takes instances 30 minutes before; Karpenter starts 10 minutes ahead of that."""
    assert end - node_spec.drain_at(end) == timedelta(minutes=40)
    annotations = node_pool(spec(**block(end)))["metadata"]["annotations"]
    assert annotations["dynamo-eks/drain-at"] == moment(node_spec.drain_at(end))


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 20)), max_size=6))
def test_the_limit_holds_the_graphs_and_one_node_to_roll_over(demands: list[tuple[int, int]]) -> None:
    """Without a spare a rolling update waits for ever (ai-dynamo/dynamo #13580)."""
    needed = sum(gpus * nodes for gpus, nodes in demands)
    limit = node_spec.gpu_limit(demands)
    assert limit - needed == max((gpus for gpus, _ in demands), default=0)


def test_families_and_types_become_one_list() -> None:
    """Requirements are joined by AND: a type outside the families could never be launched."""
    (which,) = [
        item
        for item in node_spec.requirements(spec(instance_types=("p5.48xlarge",)), ["us-east-1a"])
        if "instance-type" in item["key"]
    ]
    assert "p5.48xlarge" in which["values"] and "g6e.2xlarge" in which["values"]


@pytest.mark.parametrize(
    ("types", "capacity", "which"),
    [
        ((), ("spot", "on-demand"), {"key": "eks.amazonaws.com/instance-family", "values": ["g7e", "g6e"]}),
        (
            ("p5.48xlarge", "g6e.xlarge"), ("on-demand",),
            {"key": "node.kubernetes.io/instance-type", "values": sorted(
                [f"g6e.{size}xlarge" for size in ("", 2, 4, 8, 12, 16, 24, 48)]
                + [f"g7e.{size}xlarge" for size in (2, 4, 8, 12, 24, 48)] + ["p5.48xlarge"]
            )},
        ),
    ],
)  # fmt: skip
def test_what_a_pool_may_launch_is_held_word_for_word(
    types: tuple[str, ...], capacity: tuple[str, ...], which: dict[str, Any]
) -> None:
    """A key that is misspelt is a label no node has: the pool is accepted and launches nothing."""
    given_ = spec(families=("g7e", "g6e"), instance_types=types, capacity=capacity)
    assert node_spec.requirements(given_, ["us-east-1b", "us-east-1a"]) == [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": list(capacity)},
        {"operator": "In", **which},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1b", "us-east-1a"]},
    ]


@pytest.mark.parametrize(
    ("changes", "annotations", "expire", "disruption"),
    [
        (
            {}, {}, "336h",
            {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "300s", "budgets": [{"nodes": "10%"}]},
        ),
        (
            {"capacity": ("reserved",), "uses_open_reservations": True, "weight": 1},
            {"dynamo-eks/open-reservations": "true"}, "336h",
            {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "300s", "budgets": [{"nodes": "10%"}]},
        ),
        (
            {"capacity": ("reserved",), **block(END), "weight": 10},
            {
                "dynamo-eks/block-end": "2026-12-15T11:30:00Z", "dynamo-eks/drain-at": "2026-12-15T10:50:00Z",
                "dynamo-eks/reservations": HELD,
            }, "504h",
            {
                "consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never",
                "budgets": [{"nodes": "0", "reasons": ["Drifted", "Underutilized"]}, {"nodes": "100%", "reasons": ["Empty"]}],
            },
        ),
    ],
)  # fmt: skip
def test_a_pool_is_held_word_for_word(
    changes: dict[str, Any], annotations: dict[str, str], expire: str, disruption: dict[str, Any]
) -> None:
    """It decides what is bought and when it is taken away, and Karpenter takes what it does not know without a word."""
    made = spec(**changes)
    template = {
        "metadata": {"labels": {"nvidia.com/gpu.deploy.operands": "false", "dynamo-eks/pool": "gpu"}},
        "spec": {
            "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": "gpu"},
            "taints": [{"key": "nvidia.com/gpu", "value": "Exists", "effect": "NoSchedule"}],
            "requirements": node_spec.requirements(made, ["us-east-1a"]),
            "expireAfter": expire,
            "terminationGracePeriod": "24h",
        },
    }
    weight = {"weight": changes["weight"]} if "weight" in changes else {}
    assert node_pool(made) == {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "gpu", **({"annotations": annotations} if annotations else {})},
        "spec": {"template": template, "limits": {"nvidia.com/gpu": "8"}, "disruption": disruption, **weight},
    }


@pytest.mark.parametrize("terms", [[], [{"id": "cr-1"}, {"tags": {"block": "december"}}]])
def test_a_node_class_is_held_word_for_word(terms: list[dict[str, Any]]) -> None:
    """Without the cluster's group its nodes never join; without the term the reservation is paid for and idle."""
    made = node_spec.node_class(
        "gpu", role="nodes", subnet_ids=["subnet-1", "subnet-2"], security_group_ids=["sg-1", "sg-2"],
        reservation_terms=terms, disk=EphemeralStorage(size_gib=500, iops=6000, throughput_mibps=250), tags={"team": "inference"},
    )  # fmt: skip
    assert made == {
        "apiVersion": "eks.amazonaws.com/v1",
        "kind": "NodeClass",
        "metadata": {"name": "gpu"},
        "spec": {
            "role": "nodes",
            "subnetSelectorTerms": [{"id": "subnet-1"}, {"id": "subnet-2"}],
            "securityGroupSelectorTerms": [{"id": "sg-1"}, {"id": "sg-2"}],
            "ephemeralStorage": {"size": "500Gi", "iops": 6000, "throughput": 250},
            "tags": {"team": "inference"},
            **({"capacityReservationSelectorTerms": terms} if terms else {}),
        },
    }


@pytest.mark.parametrize(
    ("families", "types", "gpus", "efa", "found"),
    [
        (("g6e",), (), 1, False, "g6e.xlarge"),
        (("g6e",), (), 4, False, "g6e.12xlarge"),
        (("g6e",), (), 5, False, "g6e.48xlarge"),
        (("g6e",), (), 9, False, None),
        (("g6e",), (), 1, True, "g6e.8xlarge"),
        (("p5",), (), 1, True, "p5.4xlarge"),
        # No GPUs are asked for by a frontend; its pool has GPU nodes all the same.
        ((), ("m7i.2xlarge", "g6e.2xlarge"), 0, False, "g6e.2xlarge"),
        # Images are built for amd64 alone.
        ((), ("g5g.xlarge", "g6e.4xlarge"), 1, False, "g6e.4xlarge"),
        # By GPUs, then by vCPU, then by memory, wherever the type is named.
        (("g5",), ("g6e.xlarge",), 1, False, "g5.xlarge"),
        ((), ("gr6.4xlarge", "g6.4xlarge"), 1, False, "g6.4xlarge"),
        ((), ("g6.16xlarge", "gr6.4xlarge"), 1, False, "gr6.4xlarge"),
        ((), ("g6.12xlarge", "g6.16xlarge"), 1, False, "g6.16xlarge"),
        (("p5",), ("g6e.2xlarge",), 1, False, "g6e.2xlarge"),
        ((), (), 1, False, None),
    ],
)  # fmt: skip
def test_the_smallest_machine_that_holds_a_worker(
    families: tuple[str, ...], types: tuple[str, ...], gpus: int, efa: bool, found: str | None
) -> None:
    """The pool's limit is counted in it: one too small holds a worker back, one too large is bought."""
    smallest = node_spec.smallest_fit(families, types, gpus, efa)
    assert (smallest.type if smallest else None) == found


def test_pools_keep_others_and_operands_off() -> None:
    pool = node_pool(spec())["spec"]["template"]
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
    (found,) = mismatches(Stated(id="cr-1", **STATED), {**FOUND, **change})
    assert words in found


def test_no_mismatch() -> None:
    assert mismatches(Stated(id="cr-1", **STATED), FOUND) == []
    assert mismatches(Stated(id="cr-1", **STATED), {**FOUND, "state": "scheduled", "instance_count": 0}) == []


def test_a_mismatch_stops_the_program() -> None:
    """A pool on a block of another zone launches nothing while the block is paid for."""
    file = stackfile.read("p5-reserved")
    answers = Answers.for_config("p5-reserved", file.config)
    answers.reservations["cr-0fedcba9876543210"] = {**answers.reservations["cr-0fedcba9876543210"], "zone": "usw2-az1"}
    with pytest.raises(pulumi.RunError, match="is in usw2-az1, the stack says usw2-az2"):
        record("p5-reserved", file.config, answers=answers)


def test_shipped_instances_table_is_there() -> None:
    assert Path(node_spec.instances.__file__).with_suffix(".json").stat().st_size > 1000
