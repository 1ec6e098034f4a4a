"""The program judged under an engine: the same verdicts as the plan's, and no secret on the way to them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest

from recording.recorder import record
from review import judged, report
from review.judged import Word
from review.plan import Plan
from rules import judge
from stacks import stackfile
from stacks.settings import CLOCK
from tests.conftest import AT, STACKS, recorded

TOKEN = "hf_KnownTokenThatMustNeverBeSeen42"


def question(stack: str, **changes: Any) -> dict[str, Any]:
    """What is asked about a shipped stack, as the engine hands its configuration over."""
    file = stackfile.read(stack)
    return {
        "stack": stack,
        "config": stackfile.as_wire({**file.config, **changes}),
        "secret_keys": list(file.secret_keys),
    }


def limited(count: int, **more: Any) -> dict[str, Any]:
    """g6e-dev, filled in, with a limit that its graphs do not fit."""
    config = stackfile.read("g6e-dev").config
    capacity = config["dynamo-eks:capacity"]
    more["dynamo-eks:account"] = "210987654321"
    more["dynamo-eks:cluster"] = {**config["dynamo-eks:cluster"], "publicAccessCidrs": ["52.94.76.10/32"], "admins": []}
    pool = {**capacity["pools"]["gpu"], "gpuLimit": count}
    return question("g6e-dev", **{"dynamo-eks:capacity": {"pools": {"gpu": pool}}}, **more)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLOCK, AT.isoformat())


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own, with the context that mocker-local names."""
    file = tmp_path / ".kube" / "config"
    file.parent.mkdir()
    file.write_text("contexts: [{name: kind-other}, {name: kind-dynamo}]\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    return file


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A program in an engine: its configuration is `config`, and keys in `secret` are encrypted in the file."""
    given: dict[str, Any] = {"stack": "mocker-local", **question("mocker-local"), "secret": frozenset()}
    monkeypatch.setattr(judged.pulumi, "get_stack", lambda: given["stack"])
    monkeypatch.setattr(judged.sdk, "get_monitor", object)
    monkeypatch.setattr(judged.sdk, "configuration", lambda: (given["config"], given["secret"]))
    return given


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    for level in ("info", "warn"):
        monkeypatch.setattr(judged.pulumi.log, level, lambda text, level=level: said.append((level, text)))
    return said


@pytest.mark.parametrize("stack", STACKS)
def test_the_word_is_the_plan(stack: str) -> None:
    """Prevents a stack that `make plan` refuses and `pulumi up` makes: objects arrive as JSON there, as YAML here."""
    plan = Plan(stack, recorded(stack), tuple(judge(recorded(stack))), ())
    word = judged.answer(question(stack))
    assert word.headline == report.headline(plan)
    assert word.fails == [] and word.faults is None
    assert len(word.warns) == sum(item.verdict == "warn" for item in plan.verdicts)


def test_a_failing_rule_refuses() -> None:
    """Prevents a purchase that a plain `pulumi up` makes past the rules."""
    word = judged.answer(limited(1))
    assert (word.refusal("g6e-dev") or "").splitlines()[:2] == [
        "The plan of g6e-dev has 1 failure; nothing was registered:",
        "  fail pool-room: NodePool gpu: its graphs ask for 3 GPUs and its limit is 1; raise gpuLimit",
    ]


def test_an_allowed_rule_warns() -> None:
    """A reason in the file lets it pass, and everybody sees the reason."""
    word = judged.answer(limited(1, **{"dynamo-eks:review": {"allow": {"pool-room": " a drill "}}}))
    assert word.refusal("g6e-dev") is None
    line = "pool-room: NodePool gpu: its graphs ask for 3 GPUs and its limit is 1; raise gpuLimit; allowed: a drill"
    costs, *told = word.message("g6e-dev").splitlines()[1:]
    assert costs.startswith("  cost $") and told == [f"  warn {line}"]
    assert "1 warn (1 allowed), 0 fail" in word.headline


def test_all_failures_and_warnings_are_told_together() -> None:
    """Told one at a time, each costs a preview."""
    text = Word("3 resources", ["a: b: c", "d: e: f"], ["g: h: i"]).refusal("prod") or ""
    assert text.splitlines()[:4] == [
        "The plan of prod has 2 failures; nothing was registered:",
        "  fail a: b: c",
        "  fail d: e: f",
        "  warn g: h: i",
    ]


def test_what_is_to_fill_in_refuses_with_the_line() -> None:
    """Prevents fifty-seven resources and then a range that EKS refuses; with all else that is wrong, told at once."""
    asked = limited(1)
    asked["config"]["dynamo-eks:cluster"] = question("g6e-dev")["config"]["dynamo-eks:cluster"]
    refused = judged.answer(asked).refusal("g6e-dev") or ""
    lines = (stackfile.ROOT / "stacks" / "Pulumi.g6e-dev.yaml").read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "<your-ip>" in line)
    assert "stacks/Pulumi.g6e-dev.yaml has 2 values to fill in; nothing was registered:" in refused
    assert f"  line {number}: cluster.publicAccessCidrs[0]: <your-ip>/32  the public IPv4 address" in refused
    assert "The plan of g6e-dev has 1 failure" in refused


def test_bad_settings_are_the_refusal() -> None:
    word = judged.answer(question("mocker-local", **{"dynamo-eks:graphs": "[]"}))
    assert (word.refusal("mocker-local") or "").startswith("stacks/Pulumi.mocker-local.yaml has 1 fault")


def test_before_a_block_starts_it_says_what_to_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a plain `pulumi up` that waits a week for a rack, until its Jobs time out."""
    monkeypatch.setenv(CLOCK, datetime(2026, 11, 24, 12, tzinfo=UTC).isoformat())
    warns = judged.answer(question("gb200-prod")).warns
    assert len(warns) == 1
    assert warns[0].startswith("rack-a starts at 2026-12-01T11:30:00Z; ")
    assert "`make up STACK=gb200-prod` leaves them out until then" in warns[0]
    assert "python -m review --stack gb200-prod --format arguments" in warns[0]


def test_another_process_plans_it(engine: dict[str, Any], logged: list[tuple[str, str]]) -> None:
    """The whole way, once: a process of its own, its answer, one message."""
    judged.begin().end()
    ((level, text),) = logged
    assert (
        level == "info"
        and text.startswith("Plan of mocker-local: ")
        and "0 warn, 0 fail" in text
        and text.endswith("nothing that AWS bills is made here")
    )


def test_another_process_refuses(engine: dict[str, Any], logged: list[tuple[str, str]], kubeconfig: Path) -> None:
    kubeconfig.write_text("contexts: []")
    with pytest.raises(pulumi.RunError, match=r"fail cluster\.existing: .* no context"):
        judged.begin().end()
    assert logged == []


def test_no_secret_leaves_the_process(
    engine: dict[str, Any], logged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a token in the process list, in another process's environment, in a file, or in a plan."""
    seen: dict[str, Any] = {}

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(words=words, **options)
        return subprocess.CompletedProcess(words, 0, json.dumps({"headline": "planned"}), "")

    key = "dynamo-eks:huggingFaceToken"
    engine["config"][key], engine["secret"] = TOKEN, frozenset({key})
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(engine["config"]))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    monkeypatch.setattr(judged.subprocess, "run", run)
    judged.begin().end()
    assert TOKEN not in repr(seen)
    asked = json.loads(seen["input"])
    assert asked["secret_keys"] == [key]
    assert asked["config"][key] == stackfile.HIDDEN
    assert asked["config"]["dynamo-eks:graphs"] == engine["config"]["dynamo-eks:graphs"]
    assert seen["env"][CLOCK] == AT.isoformat()


def test_a_plan_that_cannot_be_made_refuses(engine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an `up` without verdicts after an upgrade broke the plan."""
    engine["config"] = {"dynamo-eks:graphs": "{}"}
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(pulumi.RunError, match="could not be made, and without one nothing is registered: its process"):
        judged.begin().end()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(pulumi.RunError, match="No such file"):
        judged.begin().end()


def test_a_plan_that_does_not_end_refuses(engine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "TIMEOUT_S", 0.001)
    with pytest.raises(pulumi.RunError, match="timed out"):
        judged.begin().end()


def test_a_recording_plans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a plan that plans itself for ever."""

    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(judged.subprocess, "run", run)
    file = stackfile.read("mocker-local")
    assert record("mocker-local", file.config, at=AT).nodes


def test_what_is_no_recording_is_judged(engine: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a way around the rules: neither a variable nor another monitor makes a program a recording."""
    monkeypatch.setattr(judged.sdk, "get_monitor", lambda: object.__new__(pulumi.runtime.mocks.MockMonitor))
    started: list[Any] = []
    monkeypatch.setattr(judged.subprocess, "run", lambda *words, **_: started.append(words))
    with pytest.raises(AttributeError, match="returncode"):
        judged.begin().end()
    assert len(started) == 1


def test_what_stands_for_a_secret_is_judged_as_in_a_plan() -> None:
    """Prevents a token that turns a good stack into a bad one, or the other way round, once it is set."""
    key = "dynamo-eks:huggingFaceToken"
    asked = {**question("mocker-local", **{key: stackfile.HIDDEN}), "secret_keys": [key]}
    word = judged.answer(asked)
    assert word.refusal("mocker-local") is None and stackfile.HIDDEN not in word.message("mocker-local")


@pytest.mark.parametrize(
    ("text", "fails", "warns"),
    [
        ("contexts: [{name: kind-dynamo}]", "", ""),
        (
            "contexts: [{name: kind-dynmo}, {name: prod}]",
            "it has no context 'kind-dynamo', but kind-dynmo, prod; did you",
            "",
        ),
        ("contexts: []", "it has no context 'kind-dynamo', but (none is defined)", ""),
        ("contexts: {a: b}", "it has no context 'kind-dynamo', but (none is defined)", ""),
        ("contexts: [1, {}, {name: 5}]", "it has no context 'kind-dynamo', but 5", ""),
        ("[1]", "it has no context 'kind-dynamo', but (none is defined)", ""),
        ("", "it has no context 'kind-dynamo', but (none is defined)", ""),
        ("{", "not a readable kubeconfig (ParserError)", ""),
        ("\0", "not a readable kubeconfig (ReaderError)", ""),
        (None, "", "there is no such file here, and without it nothing can be made in the cluster"),
    ],
)
def test_the_context_is_looked_for(text: str | None, fails: str, warns: str, kubeconfig: Path) -> None:
    """Prevents a misspelt context that a preview passes over, and `up` takes for a cluster that does not answer."""
    kubeconfig.unlink()
    if text is not None:
        kubeconfig.write_text(text)
    word = judged.answer(question("mocker-local"))
    for lines, expected in ((word.fails, fails), (word.warns, warns)):
        assert len(lines) == bool(expected)
        assert all(line.startswith(f"cluster.existing: ~/.kube/config: {expected}") for line in lines)
