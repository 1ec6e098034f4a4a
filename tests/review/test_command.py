"""`python -m review` as people and pull-request bots use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from recording import durations
from review import __main__ as command
from review import report
from review.plan import Plan
from rules import judge
from stacks import stackfile
from tests.conftest import STACKS, recorded

APP = typer.Typer()
APP.command()(command.main)
AT = ["--at", "2026-12-02T12:00:00Z"]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(APP, [*words])
    return result.exit_code, result.output


def test_a_good_stack_exits_with_0() -> None:
    code, text = run("--stack", "g6e-dev", "--verbose", *AT)
    assert code == 0
    for part in ("g6e-dev", "Destroyed in this order", "Rules", "Assumed", "Outputs", "vllm-disagg-tcp"):
        assert part in text


def one_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    """From now on g6e-dev's pool may launch one GPU, and its graphs ask for three."""
    read, file = stackfile.read, folder / "Pulumi.g6e-dev.yaml"
    shipped = (stackfile.ROOT / "stacks" / file.name).read_text()
    limited = shipped.replace("        families: [g6e]\n", "        families: [g6e]\n        gpuLimit: 1\n")
    assert limited != shipped
    file.write_text(limited + more)
    monkeypatch.setattr(stackfile, "read", lambda name, _=None: read(name, file))


def test_a_failing_rule_exits_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull request must turn red by itself."""
    one_gpu(tmp_path, monkeypatch)
    code, text = run("--stack", "g6e-dev", "--format", "quiet", *AT)
    assert code == 1 and "fail pool-room" in text


@pytest.mark.parametrize(("stack", "key"), [
    ("p5-reserved", "capacity.pools.block.reservations[0].end"),
    ("gb200-prod", "capacity.ultraServers.rack-a.end"),
])  # fmt: skip
def test_a_block_that_is_over_is_one_thing(stack: str, key: str) -> None:
    """Prevents a pipeline that lets a pool's block pass and stops at a rack's, or says of one event two things."""
    code, text = run("--stack", stack, "--format", "quiet", "--at", "2026-12-16T11:00Z")
    said = " ".join(text.split())
    assert code == 2 and f"dynamo-eks:{key}" in said
    assert "a block with time left at 2026-12-16T11:00:00Z; the block ended at 2026-12-" in said
    assert "fix name the next block, correct end if the block was extended, or remove the " in said


def test_rules_of_the_program_are_one_line_while_they_hold() -> None:
    """Prevents a page of what nobody can change, in which the rules of one's own stack are looked for."""
    code, text = run("--stack", "g6e-dev", "--format", "json", *AT)
    rules = json.loads(text)["rules"]
    holding = [item["id"] for item in rules if item["of"] == "program"]
    assert holding and {item["of"] for item in rules} == {"stack", "program"}
    for format in ("text", "markdown"):
        code, text = run("--stack", "g6e-dev", "--format", format, "--verbose", *AT)
        assert code == 0 and f"{len(holding)} rules on what the program itself makes hold" in text
        assert "pool-room" in text and not [id_ for id_ in holding if f"{id_} " in text or f"`{id_}`" in text]


def test_an_unknown_stack_exits_with_2() -> None:
    code, text = run("--stack", "g6-dev")
    assert code == 2 and "there is no stack 'g6-dev'; stacks/ has g6e-dev" in text


def test_a_bad_file_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Path(__file__).parents[1] / "stacks" / "settings" / "ordinary.error.many-at-once.yaml"
    read = stackfile.read
    monkeypatch.setattr(stackfile, "read", lambda name, path=None: read(name, bad))
    code, text = run("--stack", "ordinary")
    assert code == 2 and "has 5 faults; nothing was registered" in text


def test_json_is_one_object_or_a_list() -> None:
    code, text = run("--stack", "mocker-local", "--format", "json")
    assert code == 0 and json.loads(text)["stack"] == "mocker-local"
    code, text = run("--stack", "all", "--format", "json", *AT)
    assert code == 0 and [document["stack"] for document in json.loads(text)] == STACKS


def test_objects_are_written_as_yaml(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("--stack", "mocker-local", "--format", "quiet", "--objects", str(tmp_path))[0] == 0
    written = [yaml.safe_load(path.read_text()) for path in sorted(tmp_path.glob("*.yaml"))]
    assert written == [json.loads(json.dumps(item.manifest)) for item in recorded("mocker-local").objects]


def _objects(folder: Path) -> tuple[int, str]:
    return run("--stack", "mocker-local", "--format", "quiet", "--objects", str(folder))


def test_objects_of_an_earlier_plan_go_and_nothing_else(tmp_path: Path) -> None:
    """What is left of an object that the plan no longer has would be applied; what is somebody's own is not ours to take."""
    folder = tmp_path / "new" / "folder"
    assert _objects(folder)[0] == 0
    stale, mine, outside = folder / "999-old.yaml", folder / "mine.yaml", tmp_path / "outside.yaml"
    for path in (stale, mine, outside):
        path.write_text("left: over\n")
    marker = folder / report.MARKER
    marker.write_text(f"{marker.read_text()}999-old.yaml\n../../outside.yaml\n{outside}\n")
    assert _objects(folder)[0] == 0
    assert not stale.exists() and mine.exists() and outside.exists()


@pytest.mark.parametrize(
    "what", ["other files", "a file of ours in name", "a link of ours in name", "a file", "not writable"]
)
def test_objects_are_written_into_no_other_folder(what: str, tmp_path: Path) -> None:
    """`--objects stacks` deleted every stack file."""
    folder, kept = tmp_path / "folder", tmp_path / "folder" / "Pulumi.prod.yaml"
    folder.mkdir()
    if what.endswith("in name"):
        assert _objects(folder)[0] == 0
        first = sorted(folder.glob("*.yaml"))[0]
        marker = folder / report.MARKER
        marker.write_text(marker.read_text().replace(f"{first.name}\n", ""))
        kept = first
        if what.startswith("a link"):
            first.unlink()
            kept = tmp_path / "elsewhere.yaml"
            first.symlink_to(kept)
    if what == "not writable":
        folder = tmp_path / "elsewhere.yaml" / "below"
        kept = folder.parent
    if what == "a file":
        kept = folder = tmp_path / "file"
    kept.write_text("kept: true\n")
    code, text = _objects(folder)
    assert code == 2 and len(text.strip().splitlines()) == 1 and "Traceback" not in text
    assert kept.read_text() == "kept: true\n"


def test_markdown_puts_what_is_wrong_first() -> None:
    graph = recorded("g6e-dev")
    verdicts = tuple(judge(graph))
    broken = (verdicts[0].__class__("pool-limit", "fail", "NodePool gpu", "has | no limit", "program"), *verdicts)
    text = report.markdown(Plan("g6e-dev", graph, broken, ()))
    assert text.index("has \\| no limit") < text.index("rules hold")


@pytest.mark.parametrize("format", ["text", "markdown", "json", "quiet"])
def test_an_allowed_failure_shows_its_reason_everywhere(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure that passes for a reason nobody reads is a failure that passes."""
    one_gpu(tmp_path, monkeypatch, "  dynamo-eks:review: {allow: {pool-room: a drill with one machine}}\n")
    code, text = run("--stack", "g6e-dev", "--format", format, *AT)
    assert code == 0
    if format == "json":
        allowed = [item for item in json.loads(text)["rules"] if item["allowed"]]
        assert allowed and {(item["id"], item["verdict"], item["allowed"]) for item in allowed} == {
            ("pool-room", "warn", "a drill with one machine")
        }
        return
    assert "; allowed: a drill with one machine" in " ".join(text.split())
    assert "1 warn (1 allowed)" in " ".join(text.split())


def test_arguments_of_up_are_what_waits_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `up` before the start that leaves nothing out waits on an empty rack."""
    code, text = run("--stack", "gb200-prod", "--format", "arguments", "--at", "2026-11-24T12:00Z")
    assert code == 0 and text.split()[0] == "--exclude" and text.split()[-1] == "--exclude-dependents"
    # Where nothing can wait, no plan is made to tell so: the engine has one made in a moment.
    monkeypatch.setattr(command, "_plan", None)
    for stack in ("g6e-dev", "mocker-local"):
        assert run("--stack", stack, "--format", "arguments") == (0, "")


@pytest.mark.parametrize("format", ["text", "json"])
def test_times_that_cannot_be_read_are_named(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that broke must not pass for one that says nothing."""
    (tmp_path / "times.json").write_text("{")
    monkeypatch.setattr(durations, "OWN", tmp_path / "times.json")
    code, text = run("--stack", "mocker-local", "--format", format, *AT)
    assert code == 2 and "times.json: " in text and "Traceback" not in text


def test_preview_is_a_choice() -> None:
    code, text = run("--stack", "g6e-dev", "--format", "json", "--preview", *AT)
    assert code == 0 and "<known after apply>" in text


def test_two_processes_print_the_same() -> None:
    """The SDK's sets and protobuf's maps have another order in each process; a plan that follows them cannot be diffed."""
    words = [sys.executable, "-m", "review", "--stack", "mocker-local", "--format", "json"]
    other = subprocess.run(words, capture_output=True, text=True, cwd=stackfile.ROOT, check=True).stdout
    assert run(*words[3:]) == (0, other) != (0, "")
