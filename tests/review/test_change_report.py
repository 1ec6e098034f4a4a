"""`make review`: what is compared with what, what follows, the engine's own log, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from recording.graph import Graph
from review import base, engine_log, told
from review.base import Side
from review.changes import compare
from review.impact import Impact, impact
from review.plan import Plan
from review.report import as_json
from rules import judge
from stacks.stackfile import ROOT
from tests.conftest import AT
from tests.engine.edits import EDITS, Edit
from tests.review.test_changes import after, shipped_graph

STAMP = "2026-12-02T12:00:00Z"
LIKELY = [edit for edit in EDITS if edit.refused is None]
BY_ID = {edit.id: edit for edit in EDITS}


def document(graph: Graph) -> dict[str, Any]:
    return json.loads(json.dumps(as_json(Plan(graph.stack, graph, (), ()))))


# --- a plan's JSON, read back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", LIKELY[::3], ids=lambda edit: edit.id)
@pytest.mark.parametrize("older", [False, True], ids=["now", "older"])
def test_a_plan_read_back_is_compared_alike(edit: Edit, older: bool) -> None:
    """Another commit's code says less than today's; an edit must not look smaller for it."""
    old, new = shipped_graph(edit.stack), after(edit)
    assert new is not None
    said = document(old)
    for item in said["resources"] if older else ():
        for key in ("id", "custom", "retainOnDelete", "replacementTrigger"):
            del item[key]
    there = base.read(said, new, AT)
    assert compare(there.graph, new).verdict == compare(old, new).verdict
    assert compare(there.graph, new).differ == compare(old, new).differ


# --- what follows ------------------------------------------------------------------------------------------------------

FOLLOWS: dict[str, dict[str, str]] = {
    "gb200-pair-graphs.*.decode.replicas-one-less,-on-a-rack": {
        "interrupted": "dynamo/glm-5 decode: 1 of 2 workers with 16 GPUs, for good; 112 requests fit on them (scales from 2 to 1)",
    },
    "g6e-dev-graphs.*.backend-another": {
        "interrupted": "dynamo/vllm-agg worker: its only worker with 1 GPU, away for about 6 minutes (assumed); 8 requests fit on "
        "them (all pods of vllm-agg end, and start again when the new graph is made)",
    },
    "g6e-dev-capacity.pools.*.capacity-on-demand-only": {"interrupted": "dynamo/vllm-agg worker: perhaps its only worker"},
    "p5-reserved-capacity.pools.*.reservations.id-another-block": {
        "interrupted": "2 workers with 16 GPUs",
        "prepaid": "block cr-0fedcba9876543210 of block is given up with 310.83 usable hours left",
    },
    "gb200-pair-capacity.ultraServers.*.end-extended": {
        "prepaid": "block cr-0a1b2c3d4e5f6071a of rack-b: 310.0 usable hours -> 478.0 usable hours, drained 2026-12-22T10:00:00Z instead "
        "of 2026-12-15T10:00:00Z",
    },
    "g6e-dev-cluster.name-another": {
        "data": "FileSystem files-efs (replaced): every file on it, the model caches too",
        "refused": "Cluster main-eksCluster is protected and would be replaced for name: the engine refuses the whole change; "
        "cluster.protect: false in a `make up` of its own lets it go",
        "stateful": "replace Cluster main-eksCluster",
    },
    "g6e-dev-storage.caches-one-less": {
        "data": "PersistentVolumeClaim namespace-dynamo-perf-cache (deleted): its files stay on EFS",
    },
    "mocker-local-storage.storageClass-another": {
        "data": "PersistentVolumeClaim namespace-dynamo-model-cache (replaced): its volume and the files on it",
    },
    "mocker-local-storage.cacheSizeGib-larger,-another-class": {"doubts": "10Gi -> 20Gi: the API server takes it only where"},
    "g6e-dev-cluster.logs-none": {"data": "LogGroup main-logs (deleted): the logs written so far"},
    "g6e-dev-cluster.publicAccessCidrs-others": {
        "opened": "Cluster main-eksCluster: API server from 52.94.76.0/24",
        "closed": "Cluster main-eksCluster: API server from 192.0.2.1/32",
    },
    "g6e-dev-graphs.*.exposure.type-nlb": {
        "opened": "Service graph-vllm-agg-nlb: internal load balancer, port 80, from 10.0.0.0/8",
    },
    "g7e-staging-graphs.*.exposure.scheme-public": {"opened": "internet-facing load balancer, port 80"},
    "g6e-dev-network.interfaceEndpoints-the-first": {"opened": "tcp 443-443, 10.64.0.0/16"},
    "g6e-dev-cluster.admins-one-more": {"iam": "arn:aws:iam::111122223333:role/oncall may enter the cluster"},
    "g6e-dev-network.flowLogs-on": {"iam": 'sts:AssumeRole by {"Service": "vpc-flow-logs.amazonaws.com"}'},
    "g6e-dev-network.zones-a-zone-more": {"network": "network-private-use1-az5-out to 0.0.0.0/0", "refused": "cluster-zones"},
    "g6e-dev-cluster.version-next-minor": {
        "interrupted": "the control plane is upgraded",
        "versions": "Kubernetes: 1.35 -> 1.36 (AWS has not said when standard support ends)",
    },
    "g6e-dev-dynamo.version-another": {"versions": "chart/dynamo-platform: 1.5.0 -> 1.4.0 (first release without NATS"},
    "gb200-pair-capacity.ultraServers.*.amiRelease-another": {
        "interrupted": "dynamo/glm-5 decode: 2 workers with 32 GPUs, one after another",
        "versions": "AMI of nodes-rack-a-76543210: 1.35.7-20260911 -> 1.35.7-20261101",
        "refused": "rack-runs",
    },
}  # fmt: skip


def follows(edit: Edit) -> Impact:
    graph = after(edit)
    assert graph is not None
    return impact(compare(shipped_graph(edit.stack), graph))


def lines(found: Impact, part: str) -> list[str]:
    return [item if isinstance(item, str) else item.line() for item in getattr(found, part)]


@pytest.mark.parametrize("edit", FOLLOWS)
def test_what_follows(edit: str) -> None:
    found = follows(BY_ID[edit])
    for part, words in FOLLOWS[edit].items():
        assert [line for line in lines(found, part) if words in line], lines(found, part)


QUIET = ("data", "prepaid", "opened", "iam", "network", "refused", "doubts", "stateful")


@pytest.mark.parametrize("edit", [
    "g6e-dev-account-another-one", "g6e-dev-cluster.protect-off", "g6e-dev-models-renamed", "g6e-dev-graphs.*.smokeTest-off",
    "g6e-dev-graphs.*.worker.replicas-one-more", "g6e-dev-storage.efs.throughput-bursting", "gb200-pair-tags-one-more,-with-UltraServers",
])  # fmt: skip
def test_nothing_is_made_up(edit: str) -> None:
    """A harmless edit that is called dangerous teaches its reader to look away."""
    found = follows(BY_ID[edit])
    assert [(part, line) for part in (*QUIET, "interrupted") for line in lines(found, part)] == []


def test_a_scale_down_does_not_hide_who_else_goes() -> None:
    found = follows(BY_ID["g6e-dev-graphs-one-less"])
    assert [(one.role, one.ends) for one in found.interrupted] == [
        ("prefill", True),
        ("decode", True),
    ] and found.gpus == 2


# --- the engine's log ----------------------------------------------------------------------------------------------------


def events(stack: str, *steps: tuple[str, str, dict[str, Any]], error: str = "") -> list[str]:
    made: list[dict[str, Any]] = [{"sequence": 0, "preludeEvent": {"config": {}}}]
    for op, key, more in steps:
        type_, name = key.split("::")
        urn = f"urn:pulumi:{stack}::dynamo-eks::dynamo-eks:index:X${type_}::{name}"
        made.append({"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type_, **more}, "planning": True}})
    if error:
        made.append({"diagnosticEvent": {"severity": "error", "message": error, "color": "never"}})
    return [json.dumps(event) for event in made]


OPS = {"create": ["create"], "update": ["update"], "delete": ["delete"], "replace": ["create-replacement", "replace", "delete-replaced"]}  # fmt: skip


@pytest.mark.parametrize("edit", LIKELY[1::6], ids=lambda edit: edit.id)
def test_an_engine_that_agrees(edit: Edit) -> None:
    new = after(edit)
    assert new is not None
    estimate = compare(shipped_graph(edit.stack), new)
    steps = [(op, item.key, {}) for item in estimate for op in OPS[item.op]]
    preview = engine_log.read(events(edit.stack, ("same", "aws:ec2/vpc:Vpc::network-vpc", {}), *steps))
    changes, differ = engine_log.instead(preview, estimate)
    assert differ == [] and list(changes) == list(estimate)


def test_an_engine_that_knows_better() -> None:
    edit = BY_ID["g6e-dev-cluster.publicAccessCidrs-others"]
    new = after(edit)
    assert new is not None
    estimate = compare(shipped_graph("g6e-dev"), new)
    cluster, files = "aws:eks/cluster:Cluster::main-eksCluster", "aws:efs/fileSystem:FileSystem::files-efs"
    detailed = {"detailedDiff": {"encrypted": {"diffKind": "update-replace", "inputDiff": True}}}
    preview = engine_log.read(
        events("g6e-dev", ("replace", files, detailed), error="<{%reset%}>it is protected<{%reset%}>\n")
    )
    changes, differ = engine_log.instead(preview, estimate)
    assert sorted(differ) == [
        "Cluster main-eksCluster: estimated update, the engine says nothing",
        "FileSystem files-efs: estimated nothing, the engine says replace (encrypted)",
    ]
    assert changes.verdict == {files: "replace"} and cluster not in changes.by_key
    found = impact(changes)
    assert found.data and found.stateful and found.refused
    item = told.compared("g6e-dev", side(shipped_graph("g6e-dev")), side(new), preview)
    assert item.code([]) == 1 and dict(told.sections(item))["The engine refuses"] == ("it is protected",)


def test_the_log_is_read_as_the_sdk_reads_it() -> None:
    """Names of the events' keys are the engine's; the SDK has the same."""
    detailed = {"detailedDiff": {"encrypted": {"diffKind": "update-replace", "inputDiff": True}}, "keys": ["encrypted"]}
    content = events("s", ("create-replacement", "aws:efs/fileSystem:FileSystem::files", detailed), error="no")
    theirs = [EngineEvent.from_json({"sequence": 1, "timestamp": 0, **json.loads(line)}) for line in content]
    ours = engine_log.read(content)
    (step,) = [event.resource_pre_event.metadata for event in theirs if event.resource_pre_event]
    assert ours.verdict == {f"{step.type}::{step.urn.rsplit('::', 1)[1]}": "replace"}
    kinds = {path: "replace" in item.diff_kind.value for path, item in (step.detailed_diff or {}).items()}
    assert ours.paths == {next(iter(ours.verdict)): tuple(kinds.items())}
    said = [event.diagnostic_event for event in theirs if event.diagnostic_event]
    assert ours.errors == tuple(item.message for item in said if item.severity == "error")


@pytest.mark.parametrize(("content", "words"), [
    (["{"], "line 1 is no JSON"),
    (["[]"], "line 1 is no event"),
    ([], "it tells of 0 stacks (none)"),
    ([*events("a", ("create", "a:b:C::d", {})), *events("b", ("create", "a:b:C::d", {}))], "it tells of 2 stacks (a, b)"),
])  # fmt: skip
def test_what_is_no_log_is_named(content: list[str], words: str) -> None:
    with pytest.raises(engine_log.NoLog, match=r".*") as caught:
        engine_log.read(content)
    assert words in str(caught.value)


# --- told ----------------------------------------------------------------------------------------------------------------


def side(graph: Graph) -> Side:
    return Side(graph, as_json(Plan(graph.stack, graph, tuple(judge(graph)), ())))


def test_rules_move() -> None:
    def rule(id_: str, verdict: str) -> dict[str, Any]:
        return {"id": id_, "subject": "x", "verdict": verdict, "message": "m", "allowed": None}

    found = told.rules_of(
        {"rules": [rule("a", "fail"), rule("b", "warn"), rule("c", "pass"), rule("e", "warn")]},
        {"rules": [rule("a", "fail"), rule("b", "fail"), rule("c", "warn"), rule("e", "pass")]},
    )
    assert found == told.Rules(failing=("b: x: m",), warning=("c: x: m",), passing=("e: x: m",))


def test_encrypted_values_that_differ_are_named() -> None:
    one, other = (f"config:\n  k:\n    a: {{secure: {text}}}\n  p: 1\n" for text in ("x", "y"))
    assert told.secrets(one, other) == ["k.a"] and told.secrets(one, one) == []


def test_money_and_time_move() -> None:
    old = {"cost": {"idleUsdPerHour": 1.0, "prepaidUsd": 5, "hoursPerMonth": 730}, "timeline": {"up": {"medianS": 600}}}
    new = {
        "cost": {"idleUsdPerHour": 3.5, "prepaidUsd": 0, "hoursPerMonth": 730},
        "timeline": {"up": {"medianS": 1200}},
    }
    assert list(told._money(old, new)) == [
        "idle: $1.00 -> $3.50 an hour (+$2.50, +$1,825.00 a month)", "prepaid: $5 -> $0 (-$5.00)",
    ]  # fmt: skip
    assert list(told._time(old, new)) == ["everything made, from nothing: 10 -> 20 minutes"]
    assert list(told._money({}, new)) == [] and list(told._time({}, {})) == []


def test_the_first_line_has_the_money() -> None:
    edit = BY_ID["g7e-staging-network.nat-one-in-all"]
    new = after(edit)
    assert new is not None
    line = told.headline(told.compared(edit.stack, side(shipped_graph(edit.stack)), side(new)))
    assert re.fullmatch(r"2 updated, 4 deleted; configured: \$[\d.]+ -> \$[\d.]+ an hour", line), line


@pytest.mark.parametrize(("count", "stacks"), [(3, 1), (60, 40)])
def test_a_page_is_never_longer_than_a_comment_may_be(count: int, stacks: int) -> None:
    """What is cut in the middle reads as a whole."""
    old = shipped_graph("mocker-local")
    one = old.one("kubernetes:core/v1:Namespace", "platform-namespace")
    new = Graph(
        "mocker-local",
        [
            *old,
            *(
                replace(one, name=f"a-namespace-that-somebody-gave-quite-a-long-name-{number}")
                for number in range(count)
            ),
        ],
        at=AT,
    )
    changes = compare(old, new)
    items = [told.Told(f"s{number}", changes, impact(changes)) for number in range(stacks)]
    there = base.Commit("main", "0" * 40)
    made = told.markdown(items, there)
    assert len(made) <= 60_000 and len(made.encode()) <= 65_000
    assert all(f"`{item.stack}`: {count} created" in made for item in items)
    assert ("left out here" in made) == (stacks > 1) and ("<details><summary>Created" in made) == (stacks == 1)


@pytest.mark.parametrize(("gate", "edit"), [
    ("stateful", "g6e-dev-cluster.name-another"),
    ("replace", "g6e-dev-graphs.*.backend-another"),
    ("delete", "g6e-dev-graphs-one-less"),
    ("data", "g6e-dev-cluster.logs-none"),
    ("gpus", "g6e-dev-graphs.*.backend-another"),
    ("prepaid", "gb200-pair-capacity.ultraServers.*.end-extended"),
    ("exposure", "g6e-dev-graphs.*.exposure.type-nlb"),
    ("iam", "g6e-dev-cluster.admins-one-more"),
    ("network", "g6e-dev-network.zones-a-zone-more"),
])  # fmt: skip
def test_gates(gate: str, edit: str) -> None:
    new, old = after(BY_ID[edit]), shipped_graph(BY_ID[edit].stack)
    assert new is not None
    changes = compare(old, new)
    item = told.Told("s", changes, impact(changes))
    assert item.met([gate]) == [gate]
    assert told.Told("s", changes, impact(compare(old, old))).met([gate]) == (
        [gate] if gate in ("replace", "delete") else []
    )
    quiet = compare(old, old)
    assert told.Told("s", quiet, impact(quiet)).met([gate]) == []


def test_a_check_that_runs_again_is_no_replacement() -> None:
    edit = BY_ID["g6e-dev-graphs.*.worker.extraArgs-one"]
    new = after(edit)
    assert new is not None
    changes = compare(shipped_graph(edit.stack), new)
    assert changes.of("replace") and told.Told("s", changes, impact(changes)).met(["replace"]) == []


# --- the command, in a repository ----------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in a repository of its own, as one commit on `main`, which the branch `edit` left."""
    folder = tmp_path_factory.mktemp("repository")
    for name in base.CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for extra in (folder / "stacks").glob("Pulumi.*.yaml"):
        if extra.name not in ("Pulumi.mocker-local.yaml", "Pulumi.g6e-dev.yaml"):
            extra.unlink()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "switch", "-qc", "edit")
    return folder


@pytest.fixture
def tree(repository: Path) -> Iterator[Path]:
    yield repository
    git(repository, "switch", "-qf", "edit")
    git(repository, "reset", "-q", "--hard", "main")
    git(repository, "clean", "-qfdx", "-e", "__pycache__")


@pytest.fixture
def review(tree: Path) -> Callable[..., tuple[int, str]]:
    def run(*words: str, base: str = "main") -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "review.change_report", "--base", base, "--at", STAMP, *words],
            cwd=tree, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    return run


def edit(tree: Path, stack: str, old: str, new: str) -> None:
    file = tree / "stacks" / f"Pulumi.{stack}.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


def test_nothing_is_one_line_for_each_stack(review: Callable[..., tuple[int, str]]) -> None:
    assert review() == (0, "Change against main\ng6e-dev: touches nothing\nmocker-local: touches nothing\n")


def test_a_stack_file(tree: Path, review: Callable[..., tuple[int, str]]) -> None:
    edit(tree, "g6e-dev", "backend: vllm", "backend: sglang")
    code, said = review("--gate", "gpus")
    assert code == 1 and "mocker-local: touches nothing" in said
    assert "DynamoGraphDeployment graph-vllm-agg-graph (the old one goes first; because of identity" in said
    code, said = review("--format", "json", "--stack", "g6e-dev")
    entry = json.loads(said)["stacks"][0]
    assert code == 0 and {item["op"] for item in entry["changes"]} == {"replace"} and entry["interrupted"]
    code, said = review("--format", "markdown")
    assert code == 0 and said.startswith("## Change against main") and "<details><summary>Restarts" in said


def test_code_is_planned_by_its_own_commit(tree: Path, review: Callable[..., tuple[int, str]]) -> None:
    """Another image in the catalog is a change of every stack, and no stack file says so."""
    catalog = tree / "components" / "catalog.py"
    catalog.write_text(catalog.read_text().replace("python:3.12.11-slim-bookworm", "python:3.12.12-slim-bookworm"))
    code, said = review("--stack", "mocker-local")
    assert code == 0 and "image python: 3.12.11-slim-bookworm -> 3.12.12-slim-bookworm" in said
    git(tree, "commit", "-qam", "two")
    assert review("--stack", "mocker-local")[1] == said


def test_what_is_new_gone_or_broken(tree: Path, review: Callable[..., tuple[int, str]]) -> None:
    stacks = tree / "stacks"
    shutil.copy(stacks / "Pulumi.mocker-local.yaml", stacks / "Pulumi.other.yaml")
    (stacks / "Pulumi.g6e-dev.yaml").unlink()
    code, said = review()
    assert code == 0 and "g6e-dev: its file is gone: nothing is destroyed by that" in said
    assert "other: new: " in said and "resources are made" in said
    edit(tree, "mocker-local", "replicas:", "replikas:")
    code, said = review("--stack", "mocker-local")
    assert code == 2 and "cannot be planned as it is now" in said and "replikas" in said
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "two")
    git(tree, "checkout", "-q", "main", "--", "stacks/Pulumi.mocker-local.yaml")
    code, said = review("--stack", "mocker-local", base="HEAD")
    assert code == 0 and "nothing to compare with" in said and "HEAD cannot be planned" in said


def test_what_cannot_be_asked(tree: Path, review: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = review(base="origin/main")
    assert (
        code == 2 and said == "BASE=origin/main is not in this clone: git fetch origin main, or name another commit\n"
    )
    assert review("--gate", "dataa")[0] == 2
    assert review("--stack", "nobody") == (
        2,
        "there is no stack 'nobody', here or in main; there are g6e-dev, mocker-local\n",
    )
    log = tmp_path / "events.jsonl"
    assert review("--preview", str(log)) == (2, f"PREVIEW={log}: No such file or directory\n")
    log.write_text(
        "\n".join(events("mocker-local", ("update", "kubernetes:core/v1:Namespace::platform-namespace", {})))
    )
    code, said = review("--preview", str(log))
    assert code == 0 and "g6e-dev" not in said
    assert "Namespace platform-namespace: estimated nothing, the engine says update" in said
    assert review("--preview", str(log), "--stack", "g6e-dev")[0] == 2


def test_what_others_merged_since_is_not_taken_back(tree: Path, review: Callable[..., tuple[int, str]]) -> None:
    git(tree, "switch", "-qc", "trunk")
    edit(tree, "g6e-dev", "backend: vllm", "backend: sglang")
    git(tree, "commit", "-qam", "of somebody else")
    git(tree, "switch", "-q", "edit")
    code, said = review("--stack", "g6e-dev", base="trunk")
    assert code == 0 and "where the branch left trunk)\ng6e-dev: touches nothing" in said
