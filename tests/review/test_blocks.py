"""What a plan tells of UltraServers: window, money, grid, and what `make up` leaves out before the start."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from functools import cache

import pytest

from review import blocks, report, stackfile
from review.graph import Graph
from review.plan import make
from review.racks import layout, rack_pods, racks
from review.recorder import record
from tests.conftest import recorded

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
    for stack in ("g6e-dev", "mocker-local", "p5-reserved"):
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
