"""A user's own durations, out of logs in the engine's own shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from operations import measured as module
from operations import times
from operations.measured import Measured, keep, kept, measured, operations, rows
from recording import durations
from recording.durations import shipped
from review import time
from review.steps import first_token
from review.time import timeline
from tests.conftest import AT, recorded
from tests.operations.conftest import Shell

APP = typer.Typer()
APP.command()(times.main)
START = 1764201600
"""2025-11-27T00:00:00Z."""
DAY = "2025-11-27"
CLUSTER = "aws:eks/cluster:Cluster"
RELEASE = "kubernetes:helm.sh/v3:Release"
JOB = "kubernetes:batch/v1:Job"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:demo::dynamo-eks::{type_}::{name}"


class Log:
    """Events as the engine writes them (pulumi, sdk/go/common/apitype/events.go): one object a line, whole seconds since 1970."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, at: int, kind: str, body: dict[str, Any]) -> None:
        self.lines.append(json.dumps({"sequence": len(self.lines), "timestamp": START + at, kind: body}))

    def step(self, begin: int, end: int | None, op: str, type_: str, name: str, **more: Any) -> None:
        """One step; without an end it is never heard of again."""
        inputs, planning, custom = more.get("inputs", {}), more.get("planning", False), more.get("custom", True)
        state = {"type": type_, "urn": urn(type_, name), "custom": custom, "id": "", "parent": "", "inputs": inputs, "outputs": {}, "provider": ""}  # fmt: skip
        old_or_new = {"old": state, "new": None} if op.startswith("delete") else {"old": None, "new": state}
        metadata = {
            "op": op,
            "urn": urn(type_, name),
            "type": type_,
            **old_or_new,
            "detailedDiff": None,
            "provider": "",
        }
        told = {"metadata": metadata, **({"planning": True} if planning else {})}
        self.add(begin, "resourcePreEvent", told)
        if end is not None:
            self.add(end, "resOutputsEvent", told)


def log() -> Log:
    """An `up` as `--event-log` has it: the preview first, then what was done."""
    found = Log()
    found.add(0, "preludeEvent", {"config": {"aws:region": "us-east-1"}})
    found.step(0, 1, "create", CLUSTER, "main", planning=True)
    found.add(2, "summaryEvent", {"maybeCorrupt": False, "durationSeconds": 2, "resourceChanges": {"create": 1}, "PolicyPacks": {}, "isPreview": True})  # fmt: skip
    found.step(10, 640, "create", CLUSTER, "main")
    found.step(10, 10, "create", "aws:ec2/route:Route", "one")
    found.step(10, 13, "create", "aws:ec2/route:Route", "two")
    found.step(10, 11, "same", "aws:ec2/vpc:Vpc", "there")
    found.step(10, 500, "create", "dynamo-eks:index:Network", "network", custom=False)
    found.step(10, 11, "create", "pulumi:providers:aws", "aws")
    found.step(10, 12, "import", "aws:ec2/vpc:Vpc", "imported")
    found.step(640, 730, "create", RELEASE, "platform-release", inputs={"chart": "dynamo-platform"})
    found.step(640, 700, "create", "aws:eks/addon:Addon", "hybrid-vpc-cni", inputs={"addonName": "vpc-cni"})
    found.step(730, None, "create", JOB, "smoke")
    found.add(
        900,
        "resOpFailedEvent",
        {"metadata": {"op": "create", "urn": urn(JOB, "smoke"), "type": JOB}, "status": 1, "steps": 1},
    )
    found.step(900, 1100, "delete", CLUSTER, "main")
    found.step(900, 960, "delete-replaced", "aws:ec2/natGateway:NatGateway", "nat")
    found.step(900, 902, "delete", "aws:ec2/route:Route", "one")
    return found


def told(found: list[Measured]) -> list[tuple[str, float]]:
    return [(item.id, item.seconds) for item in found]


def test_steps_of_a_log_are_measured_by_their_row() -> None:
    """Not what a preview supposed, what was imported or failed, and no component's time, which is that of its children."""
    assert told(measured(log().lines)) == [
        ("eks-cluster-create", 630),
        ("aws-call", module.LEAST_S),
        ("aws-call", 3),
        # It waited for a node besides: another release's time says nothing of this one's.
        (f"{RELEASE}::platform-release", 90),
        ("eks-addon-agent", 60),
        ("eks-cluster-delete", 200),
        ("nat-gateway-delete", 60),
    ]
    assert {item.at for item in measured(log().lines)} == {DAY}


@pytest.mark.parametrize("line", ["", "{", '{"sequence": 1', "[]", "{}", '{"resourcePreEvent": {"metadata": {}}}'])
def test_a_log_that_was_cut_off_tells_the_rest(line: str) -> None:
    assert told(measured([*log().lines, line])) == told(measured(log().lines))


def test_an_operation_that_went_on_is_none_without_its_beginning() -> None:
    ends = [line for line in log().lines if "resOutputsEvent" in line]
    assert measured(ends) == []


def test_rows_have_median_range_and_number() -> None:
    found = [
        Measured(id="aws-call", what="", seconds=float(number), at=f"2026-11-{number:02}") for number in range(1, 12)
    ]
    assert rows(found, "us") == [
        {
            "id": "aws-call",
            "what": "",
            "median_s": 6.0,
            "min_s": 1.0,
            "p90_s": 10.0,
            "max_s": 11.0,
            "n": 11,
            "source": "us",
            "date": "2026-11-11",
        }
    ]
    assert rows([], "us") == []


HISTORY = [
    {"kind": "destroy", "startTime": "2026-11-27T12:00:00.000Z", "endTime": "2026-11-27T12:11:00.000Z", "result": "succeeded", "resourceChanges": {"delete": 90}},
    {"kind": "update", "startTime": "2026-11-27T11:00:00.000Z", "endTime": "2026-11-27T11:01:00.000Z", "result": "succeeded", "resourceChanges": {"same": 89, "update": 1}},
    {"kind": "update", "startTime": "2026-11-26T11:00:00.000Z", "endTime": "2026-11-26T11:21:00.000Z", "result": "succeeded", "resourceChanges": {"create": 90}},
    {"kind": "update", "startTime": "2026-11-25T11:00:00.000Z", "endTime": "2026-11-25T11:05:00.000Z", "result": "failed", "resourceChanges": {"create": 90}},
    {"kind": "update", "startTime": "2026-11-24T11:00:00.000Z", "result": "in-progress", "resourceChanges": {"create": 90}},
    {"kind": "refresh", "startTime": "2026-11-23T11:00:00.000Z", "endTime": "2026-11-23T11:05:00.000Z", "result": "succeeded", "resourceChanges": {"same": 9}},
    {"kind": "update", "startTime": "2026-11-22T11:00:00.000Z", "endTime": "2026-11-22T11:05:00.000Z", "result": "succeeded"},
]  # fmt: skip
"""As `pulumi stack history --json` prints it."""


def test_a_history_tells_of_whole_operations() -> None:
    """An `up` that changed one thing says nothing of one from nothing, and neither does one that failed."""
    assert told(operations("g6e-dev", HISTORY)) == [("destroy of g6e-dev", 660), ("up of g6e-dev", 1260)]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "times"
    assert kept(folder) == []
    keep("org/demo", [], folder)
    assert not folder.exists()
    found = measured(log().lines)
    keep("org/demo", found[:2], folder)
    keep("org/demo", found[2:], folder)
    (folder / "other.jsonl").write_text('{"id": "cut')
    assert kept(folder) == found
    keep("demo", found, tmp_path / "no" / "such" / "folder")


def test_an_operation_keeps_its_times(shell: Shell) -> None:
    """Nobody turns on a log beforehand."""
    shell.holds({"version": 3, "deployment": {}})
    shell.write("events.jsonl", "\n".join(log().lines))
    code, _ = shell.run("up", "--yes")
    assert code == 0
    assert told(kept(module.KEPT)) == told(measured(log().lines))


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(APP, [*words])
    return result.exit_code, " ".join(result.output.split())


def test_the_table_is_what_the_plan_reads(shell: Shell, tmp_path: Path) -> None:
    """From a log and a history to the plan's sentence."""
    (tmp_path / "log.jsonl").write_text("\n".join(log().lines))
    (tmp_path / "history.json").write_text(json.dumps(HISTORY))
    target = tmp_path / "times.json"
    code, text = run(
        "--stack", "g6e-dev", "--log", str(tmp_path / "log.jsonl"), "--history", str(tmp_path / "history.json"), "--to", str(target)
    )  # fmt: skip
    assert (code, text.split()[0]) == (0, f"{target}:")
    table = durations.known(target)
    row = table["eks-cluster-create"]
    assert (row.median_s, row.n, row.told, row.date) == (630, 1, "yours", DAY)
    graph = recorded("g6e-dev")
    found = timeline(graph, table)
    lines = time.lines(graph, found)
    assert any("control plane: main-eksCluster (yours, n 1, 2025-11-27)" in line for line in lines)
    assert any(
        "your own: `up` from nothing took 21 min (median of 1, the last on 2026-11-26)" in line for line in lines
    )
    assert any("your own: destroy took 11 min" in line for line in lines)
    assert shipped()["eks-cluster-create"].median_s == 586


def test_a_smoke_test_tells_when_its_graph_answers() -> None:
    """The one thing that a log has of it: the object is stored at once, and the test ends with an answer."""
    graph = recorded("g6e-dev")
    job = next(node.key for node in graph if node.name == "smoke-vllm-agg-job")
    made = rows([Measured(id=job, what="", seconds=1000.0, at=DAY)], "us")[0]
    found = timeline(graph, {**shipped(), job: durations.Duration(**made, own=True)})
    item = next(item for item in graph.objects_of("DynamoGraphDeployment") if item.name == "vllm-agg")
    answers = found.median.end[first_token(item)]
    assert answers - found.median.end[item.node.key] == pytest.approx(1000)
    assert found.median.end[job] == pytest.approx(answers + shipped()["job-run"].median_s)
    assert f"{item.node.key}/worker/image" not in found.median.end


@pytest.mark.parametrize(("words", "code", "said"), [
    ((), 1, "No operation was measured"),
    (("--log", "no-such-file"), 2, "no-such-file"),
    (("--stack", "demo", "--history", __file__), 2, "expected the output of `pulumi stack history --json`"),
])  # fmt: skip
def test_what_cannot_be_read_is_told(shell: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    assert (lambda found: (found[0], said in found[1]))(run(*words)) == (code, True)


def test_rows_of_a_table_are_rows_that_exist() -> None:
    """A name that the plan does not know would be measured for nothing."""
    graph = recorded("gb200-prod")
    lines = Log()
    for node in graph:
        lines.step(0, 5, "create", node.type, node.name, inputs=dict(node.inputs), custom=node.custom)
    for item in measured(lines.lines):
        assert item.id in shipped() or item.id in graph, item
    assert AT is not None
