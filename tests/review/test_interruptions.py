"""What is known beforehand to take workers away."""

from __future__ import annotations

from typing import Any

import pytest

from recording.recorder import record
from review.interruptions import as_json, lines
from stacks import stackfile
from tests.conftest import AT, recorded
from tests.stacks.edited import changed


def planned(stack: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
    file = stackfile.read(stack)
    return as_json(record(stack, changed(file.config, changes), secret_keys=file.secret_keys, at=AT))


def told(found: list[dict[str, Any]], graph: str, role: str) -> list[tuple[str, int, int | None]]:
    return [
        (item["cause"], item["gone"], item["awayMinutes"])
        for item in found
        if (item["graph"], item["role"]) == (f"dynamo/{graph}", role)
    ]


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        ({}, [("life", 1, 6), ("image", 1, 6), ("spot", 1, 6)]),
        ({"capacity.pools.gpu.capacity": ["on-demand"]}, [("life", 1, 6), ("image", 1, 6)]),
        ({"graphs.vllm-agg.worker.replicas": 3}, [("life", 1, 6), ("image", 1, 6), ("spot", 3, 6)]),
        ({"graphs.vllm-agg.worker.replicas": 3, "graphs.vllm-agg.podDisruptionBudget": False}, [("life", 3, 6), ("image", 3, 6), ("spot", 3, 6)]),
        ({"models.qwen3-0-6b.repository": "nobody/knows"}, [("life", 1, None), ("image", 1, None), ("spot", 1, None)]),
    ],
)  # fmt: skip
def test_nodes_of_a_pool(changes: dict[str, Any], causes: list[tuple[str, int, int | None]]) -> None:
    """A graph that answers nothing for minutes once a week, and nobody had said so."""
    assert told(planned("g6e-dev", changes), "vllm-agg", "worker") == causes


def test_no_worker_is_not_interrupted() -> None:
    changes = {"graphs.vllm-disagg-tcp.decode.replicas": 0}
    assert told(planned("g6e-dev", changes), "vllm-disagg-tcp", "decode") == []


@pytest.mark.parametrize(
    ("stack", "graph", "role", "at"),
    [
        ("p5-reserved", "trtllm-block", "worker", "2026-12-15T10:50:00Z"),
        ("gb200-prod", "r1-wide-ep", "decode", "2026-12-08T10:00:00Z"),
    ],
)
def test_a_block_ends_once(stack: str, graph: str, role: str, at: str) -> None:
    """All workers go at one moment, and none comes back."""
    found = [item for item in as_json(recorded(stack)) if (item["graph"], item["role"]) == (f"dynamo/{graph}", role)]
    assert [(item["cause"], item["at"], item["awayMinutes"]) for item in found] == [("block", at, None)]
    assert found[0]["gone"] == found[0]["workers"]


def test_any_rack_ends_too() -> None:
    changes = {"graphs.r1-wide-ep.placement": {"anyUltraServer": True}}
    assert {item["cause"] for item in planned("gb200-prod", changes)} == {"block"}


def test_lines() -> None:
    first, *_ = lines(recorded("g6e-dev"))
    assert first == (
        "Interrupted dynamo/vllm-agg worker: each node of pool gpu is replaced 336h after its start; nodes are replaced for a new "
        "image, about weekly; EC2 may take a spot machine with two minutes' notice; then its only worker is away for about 6 minutes "
        "each time (assumed)"
    )
    assert lines(recorded("mocker-local")) == []
