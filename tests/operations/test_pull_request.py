"""The folder that a pull request is reviewed by."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from operations import pull_request
from review.base import NoBase
from review.comment import MARKER, fits
from stacks import stackfile
from tests.stacks.edited import changed

STACKS = ["g6e-dev", "gb200-prod", "mocker-local"]


class Base:
    """The commit that is compared with: the shipped files, some of them as they were before an edit."""

    name, id, note = "origin/main", "0" * 40, None

    def __init__(self, before: Mapping[str, tuple[str, str]], gone: tuple[str, ...] = ()) -> None:
        self.before, self.gone = before, gone

    def stacks(self) -> set[str]:
        return {*STACKS, *self.gone}

    def text(self, stack: str) -> str:
        if stack in self.gone:
            return "config: {}\n"
        text = (stackfile.ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text()
        now, was = self.before.get(stack, ("", ""))
        assert now in text
        return text.replace(now, was)

    def same_code(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def three_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stackfile, "available", lambda: STACKS)


def run(out: Path, monkeypatch: pytest.MonkeyPatch, there: Base) -> tuple[int, str]:
    monkeypatch.setattr(pull_request, "commit", lambda name: there)
    app = typer.Typer()
    app.command()(pull_request.main)
    done = CliRunner().invoke(app, ["--out", str(out), "--artifact", "https://example.org/run"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, (out / "comment.md").read_text()


POOL = {"g6e-dev": ("        families: [g6e]\n", "        families: [g6e]\n        gpuLimit: 5\n")}


def test_what_is_touched_is_shown_and_the_rest_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run(tmp_path, monkeypatch, Base(POOL, gone=("old",)))
    assert code == 0 and text.startswith(MARKER) and fits(text)
    assert "| `g6e-dev` | holds | 1 updated; " in text and "as configured" in text and "leaves standard support" in text
    assert "| `gb200-prod` | untouched | touches nothing |" in text and "<summary>gb200-prod" not in text
    assert "| `old` | warns | its file is gone" in text
    assert "NodePool pool-gpu-pool" in text and "<summary>As it will be</summary>" in text
    assert [item["stack"] for item in json.loads((tmp_path / "plans.json").read_text())] == ["g6e-dev"]
    assert (tmp_path / "plan-g6e-dev.md").exists() and json.loads((tmp_path / "review.json").read_text())


def test_a_failing_rule_and_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is red for either, and the worst is told first and open."""
    read = stackfile.read
    edits = {"g6e-dev": {"capacity.pools.gpu.gpuLimit": 1}}

    def edited(name: str, path: Path | None = None) -> stackfile.StackFile:
        file = read(name, path)
        return dataclasses.replace(file, config=changed(file.config, edits.get(name, {}))) if path is None else file

    monkeypatch.setattr(stackfile, "read", edited)
    code, text = run(tmp_path, monkeypatch, Base(POOL))
    assert code == 1 and text.index("`g6e-dev` | fails") < text.index("`mocker-local` | untouched")
    assert "<details open><summary>g6e-dev: fails" in text and "| fail | pool-room | NodePool gpu |" in text
    edits["g6e-dev"] = {"network.cidr": "no"}
    code, text = run(tmp_path, monkeypatch, Base(POOL))
    assert (
        code == 2 and "| `g6e-dev` | fails | stacks/Pulumi.g6e-dev.yaml has 1 fault" in text and "network.cidr" in text
    )


def test_without_a_base_there_is_no_review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment that compares with nothing says that everything is new."""

    def none(name: str) -> Base:
        raise NoBase(f"BASE={name} is not in this clone")

    monkeypatch.setattr(pull_request, "commit", none)
    app = typer.Typer()
    app.command()(pull_request.main)
    done = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert done.exit_code == 2 and "is not in this clone" in done.stderr and not (tmp_path / "comment.md").exists()
