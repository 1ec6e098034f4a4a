"""Workflows of code review: valid, safe for forks, and without a program of their own."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SCRIPTS = sorted((ROOT / ".github" / "scripts").glob("*.sh"))
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def jobs(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from read(path)["jobs"].items()


def steps(path: Path) -> Iterator[Mapping[str, Any]]:
    for _, job in jobs(path):
        yield from job["steps"]


def test_they_are_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["blocks", "drift", "review"] and SCRIPTS


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("vendor.github-workflows", WORKFLOWS), ("vendor.gitlab-ci", [GITLAB])],
    ids=["github", "gitlab"],
)
def test_the_hosts_schema_takes_them(schema: str, paths: list[Path]) -> None:
    """A workflow with a misspelt key is not run at all, and nobody is told."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_forks_are_safe(path: Path) -> None:
    """Prevents that code of a stranger runs with a token that writes, or with a secret."""
    # YAML 1.1 reads `on` as true.
    triggers = read(path)[True]
    assert "pull_request_target" not in triggers and "workflow_run" not in triggers
    assert read(path)["permissions"] == {}
    for name, job in jobs(path):
        assert set(job["permissions"].values()) <= {"read", "write"}
        assert job["timeout-minutes"] <= 60
        may_write = {key for key, value in job["permissions"].items() if value == "write"}
        assert may_write <= {"pull-requests", "id-token"}
        text = yaml.safe_dump(job)
        if "pull_request" in triggers and ("secrets." in text or "id-token" in may_write):
            assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"], name
            assert job["environment"]
        if "id-token" in may_write:
            assert "pull-requests" not in may_write


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_leave_no_token(path: Path) -> None:
    """A tag is moved by whoever owns the action, or took it over."""
    for step in steps(path):
        if "uses" not in step:
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    pinned = re.findall(r"uses: \S+@[0-9a-f]{40} # (v[0-9.]+)$", path.read_text(), re.M)
    assert len(pinned) == path.read_text().count("uses:")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_shell_lives_in_scripts(path: Path) -> None:
    """What stands in a workflow is run by nobody before it is merged, and an expression in it is an injection."""
    for step in steps(path):
        if "run" in step:
            assert step["run"].startswith(".github/scripts/") and (ROOT / step["run"]) in SCRIPTS
            assert "${{" not in step["run"]


def test_a_job_that_changes_is_never_cancelled() -> None:
    """An `up` cut off in the middle leaves half of a stack."""
    for path in (*WORKFLOWS, GITLAB, *SCRIPTS):
        code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(r"make (up|destroy)|pulumi (up|destroy)|--skip-preview|set -x", code), path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_sound(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n# ") and "\nset -euo pipefail\n" in text
    assert script.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


# --- scripts, with stand-ins for what they start ------------------------------------------------------------------------

FAKE = """#!/bin/sh
# Writes down how it was called; `<name>.out` is what it prints, `<name>.code` how it ends, `<name>.sh` what it does besides.
name=$(basename "$0")
echo "$name $*" >> "$FAKES/calls"
[ -f "$FAKES/$name.sh" ] && . "$FAKES/$name.sh"
cat "$FAKES/$name.out" 2> /dev/null
exit $(cat "$FAKES/$name.code" 2> /dev/null || echo 0)
"""


class Tree:
    """A checkout whose make, python, pulumi and curl are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.root, self.fakes = folder / "tree", folder / "fakes"
        (self.root / ".github" / "scripts").mkdir(parents=True)
        (self.root / ".venv" / "bin").mkdir(parents=True)
        self.fakes.mkdir()
        for script in SCRIPTS:
            (self.root / ".github" / "scripts" / script.name).write_text(script.read_text())
        for path in (
            *(self.fakes / name for name in ("make", "pulumi", "curl")),
            self.root / ".venv" / "bin" / "python",
        ):
            path.write_text(FAKE)
            path.chmod(0o755)

    def says(self, name: str, text: str = "", *, code: int = 0, does: str = "") -> None:
        (self.fakes / f"{name}.out").write_text(text)
        (self.fakes / f"{name}.code").write_text(str(code))
        (self.fakes / f"{name}.sh").write_text(does)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.root / ".github" / "scripts" / f"{script}.sh"],
            env={"PATH": f"{self.fakes}:{os.environ['PATH']}", "FAKES": str(self.fakes), "OUT": "out", **environment},
            cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        path = self.fakes / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_review_ends_as_the_review_does(tree: Tree, code: int, tmp_path: Path) -> None:
    """A red rule behind a green job is no gate."""
    tree.says("python", code=code, does='echo "the comment" > out/comment.md')
    summary = tmp_path / "summary"
    done = tree.run("review", BASE="origin/main", ARTIFACT="https://x", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == code and summary.read_text() == "the comment\n"
    assert tree.calls == [
        "make -s .venv/.installed",
        "python -m operations.pull_request --base origin/main --out out --artifact https://x",
    ]


def test_comment_without_a_review_says_so(tree: Tree) -> None:
    done = tree.run("comment", PULL="7")
    assert done.returncode == 0 and "::notice::the review wrote no comment" in done.stdout and tree.calls == []
    (tree.root / "out").mkdir()
    (tree.root / "out" / "comment.md").write_text("x")
    assert tree.run("comment", PULL="7").returncode == 0
    assert tree.calls == ["python -m operations.sticky_comment --file out/comment.md --pull 7"]


def test_a_note_without_a_token_says_so(tree: Tree) -> None:
    (tree.root / "out").mkdir()
    (tree.root / "out" / "comment.md").write_text("x")
    assert "no note was posted" in tree.run("gitlab_note").stdout and tree.calls == []
    assert tree.run("gitlab_note", REVIEW_TOKEN="t").returncode == 0
    assert tree.calls == ["python -m operations.sticky_comment --file out/comment.md"]


def test_preview_keeps_no_values(tree: Tree) -> None:
    """The engine's log holds outputs in clear; an artifact is read by everybody who reads the repository."""
    tree.says(
        "pulumi",
        "told\n",
        does='for word; do [ -d "$(dirname "$word")" ] && case "$word" in *events.jsonl) echo secret > "$word";; esac; done',
    )
    tree.says("make", "the review\n")
    done = tree.run("preview", STACK="prod", BASE="origin/main")
    assert done.returncode == 0
    assert sorted(path.name for path in (tree.root / "out").iterdir()) == ["review.md"]
    log = f"{tree.root}/out/events.jsonl"
    assert f"pulumi preview --stack prod --non-interactive --event-log {log}" in tree.calls
    assert f"make -s review STACK=prod BASE=origin/main PREVIEW={log} FORMAT=markdown" in tree.calls
    tree.says("pulumi", "no credentials\n", code=255)
    assert tree.run("preview", STACK="prod", BASE="origin/main").returncode == 255


@pytest.mark.parametrize("code", [0, 1, 2])
def test_drift_writes_nothing_and_ends_as_the_look_does(tree: Tree, code: int, tmp_path: Path) -> None:
    tree.says("python", "drifted\n", code=code)
    summary = tmp_path / "summary"
    done = tree.run("drift", STACK="prod", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == code and summary.read_text() == "drifted\n"
    assert any(call.startswith("pulumi refresh --preview-only --stack prod --non-interactive") for call in tree.calls)


def test_blocks_are_said_where_somebody_reads(tree: Tree, tmp_path: Path) -> None:
    assert tree.run("blocks").returncode == 0 and len(tree.calls) == 2
    tree.says("python", "- rack-a starts\n")
    summary = tmp_path / "summary"
    done = tree.run("blocks", GITHUB_STEP_SUMMARY=str(summary), WEBHOOK="https://hooks.example.org/x")
    assert done.returncode == 1 and summary.read_text() == "- rack-a starts\n"
    assert any(call.startswith("curl ") and call.endswith("https://hooks.example.org/x") for call in tree.calls)
    assert "hooks.example.org" not in done.stdout + done.stderr
