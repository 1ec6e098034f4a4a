"""The two passes, and what a reader is told of time."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording import durations
from recording.durations import Duration
from recording.graph import Graph
from recording.recorder import record
from review import time
from review.steps import Step, steps
from review.time import Pass, passed, path
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded
from tests.stacks.edited import changed

BEFORE = datetime(2026, 11, 28, tzinfo=UTC)
"""Before the shipped blocks start."""


@cache
def at(stack: str, moment: datetime = AT) -> Graph:
    file = stackfile.read(stack)
    return record(stack, file.config, secret_keys=file.secret_keys, at=moment)


def edited(stack: str, changes: dict[str, Any], moment: datetime = AT) -> Graph:
    file = stackfile.read(stack)
    return record(stack, changed(file.config, changes), secret_keys=file.secret_keys, at=moment)


# --- the passes ------------------------------------------------------------------------------------------------------


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Step], dict[str, float]]:
    """Steps that each wait for some of those before them."""
    count = draw(st.integers(1, 12))
    found, seconds = [], {}
    for number in range(count):
        after = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        key = str(number)
        found.append(Step(key=key, of=key, after=tuple(map(str, sorted(after))), stage="", what=""))
        seconds[key] = float(draw(st.integers(0, 20)))
    return found, seconds


def longest(found: list[Step], seconds: dict[str, float], key: str) -> float:
    """The longest way to the end of a step, told the slow way."""
    step = found[int(key)]
    return seconds[key] + max((longest(found, seconds, before) for before in step.after), default=0.0)


@given(chains())
def test_a_step_begins_when_all_it_waits_for_has_ended(given: tuple[list[Step], dict[str, float]]) -> None:
    found, seconds = given
    result = passed(found, seconds)
    for step in found:
        assert result.end[step.key] == longest(found, seconds, step.key)
        assert result.end[step.key] - result.start[step.key] == seconds[step.key]
        assert all(result.start[step.key] >= result.end[before] for before in step.after)
    assert result.total == max(longest(found, seconds, step.key) for step in found)


@given(chains(), st.data())
def test_slack_is_what_a_step_may_be_late(given: tuple[list[Step], dict[str, float]], data: st.DataObject) -> None:
    """A step said to have time that has none delays everything, and the plan pointed elsewhere."""
    found, seconds = given
    result = passed(found, seconds)
    key = data.draw(st.sampled_from([step.key for step in found]))
    assert result.slack[key] >= 0
    by_it = {**seconds, key: seconds[key] + result.slack[key]}
    assert passed(found, by_it).total == result.total
    assert passed(found, {**by_it, key: by_it[key] + 1}).total == result.total + 1


@given(chains())
def test_the_critical_path_is_without_gaps(given: tuple[list[Step], dict[str, float]]) -> None:
    """Its steps add up to the whole: nothing on it waits for anything else."""
    found, seconds = given
    result = passed(found, seconds)
    last = max(result.end, key=lambda key: result.end[key])
    way = path(found, result, last)
    assert sum(seconds[step.key] for step in way) == result.total
    assert all(one.key in other.after for one, other in pairwise(way))
    assert all(result.slack[step.key] == 0 for step in way)


def test_nothing_takes_no_time() -> None:
    assert passed([], {}) == Pass({}, {}, {})
    assert passed([], {}).total == 0


# --- recorded stacks -------------------------------------------------------------------------------------------------


def test_every_step_comes_after_what_it_waits_for(every: Graph) -> None:
    seen: set[str] = set()
    for step in steps(every):
        assert seen.issuperset(step.after) and step.key not in seen, step.key
        seen.add(step.key)


def test_nothing_is_made_before_what_the_engine_waits_for(every: Graph) -> None:
    """A timeline on edges of its own tells of another deployment than the one that comes."""
    found = time.timeline(every)
    for step in found.steps:
        if step.key not in every:
            continue
        for key in every.direct(every[step.key]):
            assert found.median.start[step.key] >= found.median.end[key], (step.key, key)


def test_p90_is_no_earlier_than_the_median(every: Graph) -> None:
    found = time.timeline(every)
    assert all(found.p90.end[key] >= end for key, end in found.median.end.items())
    assert found.down_p90 >= found.down_median > 0


@pytest.mark.parametrize("stack", STACKS)
def test_a_graph_answers_after_its_object_and_before_its_smoke_test_ends(stack: str) -> None:
    graph = recorded(stack)
    found = time.timeline(graph)
    assert len(found.tokens) == len(graph.objects_of("DynamoGraphDeployment"))
    for key in found.tokens.values():
        item = graph[key.removesuffix("/first-token")]
        assert found.median.end[key] > found.median.end[item.key] + 30
        tests = [node for node in graph.of("kubernetes:batch/v1:Job") if node.name.startswith("smoke-")]
        for job in tests:
            if item.key in graph.requires(job.key):
                assert found.median.end[job.key] > found.median.end[key]


FACTS = {
    "eks-cluster-create": 586,
    "nat-gateway-create": 106,
    "eks-addon-driver": 60,
    "gpu-node-ready": 90,
    "engine-start": 85,
}
"""Of the sum that was published with the sources of the durations; there a pull takes 45 to 245 s and a download 10 to 30."""


@pytest.mark.parametrize(("pull", "download"), [(45, 10), (145, 20), (245, 30)])
def test_zero_to_first_token_of_a_small_stack(pull: float, download: float) -> None:
    """Fifteen to nineteen minutes by hand, of what was counted there, and the way out that this program waits for."""
    shipped = durations.shipped()
    table = {key: replace(row, median_s=FACTS.get(key, 0)) for key, row in shipped.items()}
    table["image-start"] = replace(shipped["image-start"], median_s=pull)
    table["job-run"] = replace(shipped["job-run"], median_s=download)
    found = time.timeline(recorded("g6e-dev"), table)
    assert found.first is not None
    egress = 106
    assert 14.5 * 60 <= found.median.end[found.first] - egress <= 19 * 60


def test_zero_to_first_token_of_a_small_stack_as_shipped() -> None:
    found = time.timeline(recorded("g6e-dev"), durations.shipped())
    assert found.first is not None
    assert 15 * 60 <= found.median.end[found.first] <= 21 * 60
    assert [stage for stage, took in time.stages(found).items() if took > 60] == [
        "network", "control plane", "add-ons", "GPU node", "image", "engine",
    ]  # fmt: skip


def test_the_way_back_of_a_rack_is_eleven_minutes_after_its_graph() -> None:
    """Node group, cluster and NAT gateway one after another: the sum that was published beside their durations."""
    shipped = durations.shipped()
    table = {key: row if key.endswith(("group-delete", "cluster-delete", "gateway-delete")) else replace(row, median_s=0) for key, row in shipped.items()}  # fmt: skip
    assert time.timeline(recorded("gb200-prod"), table).down_median == pytest.approx(379 + 206 + 60)


def test_a_larger_model_takes_longer() -> None:
    small, large = (
        time.timeline(edited("g6e-dev", {"models.qwen3-0-6b.repository": name}))
        for name in ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
    )
    assert small.first and large.first
    more = large.median.end[large.first] - small.median.end[small.first]
    gigabytes = (16380854272 - 1191968768) / 1e9
    assert more == pytest.approx(gigabytes * (5 + 0.667), rel=0.01)


def test_an_unknown_model_is_downloaded_in_no_time_and_that_is_told_elsewhere() -> None:
    """No size, no guess: the plan's assumptions say that nothing is known of the model."""
    found = time.timeline(edited("g6e-dev", {"models.qwen3-0-6b.repository": "nobody/knows"}))
    known = time.timeline(recorded("g6e-dev"))
    assert found.first and known.first
    assert found.median.end[found.first] < known.median.end[known.first]
    graph = edited("g6e-dev", {"models.qwen3-0-6b.repository": "nobody/knows"})
    assert "not counted: download and load of nobody/knows" in time.headline(graph)
    assert time.as_json(graph)["notCounted"] == ["nobody/knows"]
    assert time.as_json(recorded("g6e-dev"))["notCounted"] == []


def test_a_worker_whose_command_nobody_can_read_still_starts_an_engine() -> None:
    """Taken for a mocker it would answer in half a minute."""
    item = recorded("g6e-dev").objects_of("DynamoGraphDeployment")[0]
    manifest = copy.deepcopy(dict(item.manifest))
    for component in manifest["spec"]["components"]:
        component["podTemplate"]["spec"]["containers"][0] |= {"command": ["/start.sh"], "args": []}
    graph = recorded("g6e-dev")
    nodes = [replace(node, inputs=manifest) if node.key == item.node.key else node for node in graph]
    found = {step.key: step for step in steps(Graph("g6e-dev", nodes, at=AT))}
    assert [part.row for part in found[f"{item.node.key}/worker/engine"].parts] == ["engine-start"]
    assert f"{item.node.key}/worker/GPU node" in found


def test_the_last_graph_is_told_where_it_comes_later() -> None:
    changes = {
        "models.large": {"repository": "Qwen/Qwen3-32B", "revision": "9216db5781bf21249d130ec9da846c4624c16137"},
        "graphs.vllm-disagg-tcp.model": "large",
    }
    assert re.search(r"all graphs about \d+ min", time.headline(edited("g6e-dev", changes)))
    assert "all graphs" not in time.headline(recorded("g6e-dev"))


@pytest.mark.parametrize(
    ("stack", "name", "least", "most"), [("gb200-prod", "rack-a", 30, 90), ("p5-reserved", "block", 3, 15)]
)
def test_a_window_counts_from_the_start_of_its_block(stack: str, name: str, least: float, most: float) -> None:
    """The same whenever it is planned: what can be made before the start is made before it."""
    before, during = ({item.name: item for item in time.timeline(at(stack, moment)).windows} for moment in (BEFORE, AT))
    assert least < before[name].median / 60 < most
    assert before[name].median == during[name].median
    assert before[name].usable == pytest.approx(before[name].hours - before[name].median / 3600)


def test_before_the_start_the_sentence_tells_of_the_block() -> None:
    """A graph that is left out until then has no time from zero."""
    graph = at("gb200-prod", BEFORE)
    found = time.timeline(graph)
    assert found.tokens == {}
    assert "after the start of rack-a" in time.headline(graph)
    assert time.timeline(at("gb200-prod")).tokens.keys() == {"dynamo/r1-wide-ep"}


def test_one_sentence_and_then_the_way() -> None:
    graph = recorded("g6e-dev")
    told = time.lines(graph)
    assert re.match(
        r"Time: zero to first token about \d+ min \(p90 \d+\): network [\d.]+, control plane 9\.8, ", told[0]
    )
    assert "of it assumed" in told[0]
    assert any("control plane: main-eksCluster (median of 17)" in line for line in told)
    assert any("image: vllm-agg worker (assumed, n 1)" in line for line in told)


def test_stages_add_up_to_the_whole(every: Graph) -> None:
    found = time.timeline(every)
    last = found.first or max(found.median.end, key=lambda key: found.median.end[key])
    assert sum(time.stages(found).values()) == pytest.approx(found.median.end[last])
    assert sum(time.by_word(found).values()) == pytest.approx(found.median.end[last])


@pytest.mark.parametrize("stack", STACKS)
def test_as_data(stack: str) -> None:
    document = time.as_json(recorded(stack))
    keys = {step["key"] for step in document["steps"]}
    assert set(document["criticalPath"]) <= keys
    rows = {row["id"]: row for row in document["durations"]}
    assert {row["told"] for row in rows.values()} <= {"measured", "assumed", "unmeasured"}
    assert all(row["assumption"] for row in rows.values() if row["told"] == "unmeasured")
    assert all(step["startS"] < step["endS"] and step["slackS"] >= -0.1 for step in document["steps"])


def test_own_times_go_before_published_ones() -> None:
    """Of a row, and of one resource, whose whole time it then is."""
    shipped = durations.shipped()
    graph = recorded("g6e-dev")
    job = next(node.key for node in graph if node.name.startswith("cache-") and node.custom)

    def own(id: str, seconds: float) -> dict[str, Duration]:
        row = replace(shipped["job-run"], id=id, median_s=seconds, p90_s=seconds, n=2, own=True)
        return {**shipped, id: row}

    usual = time.timeline(graph, shipped)
    slow = time.timeline(graph, own("eks-cluster-create", 1000))
    assert slow.first and usual.first
    assert slow.median.end[slow.first] - usual.median.end[usual.first] == pytest.approx(1000 - 586)
    late = time.timeline(graph, own(job, 5000))
    assert late.median.end[job] - late.median.start[job] == 5000
    assert "from your own runs" in time.headline(graph, late)
    assert any("(yours, n 2, " in line for line in time.lines(graph, late))
