"""The folder that a pull request is reviewed by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from operations import pull_request
from review.comment import MARKER, fits
from stacks import stackfile
from tests.stacks.edited import changed


def run(out: Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(pull_request.main)
    done = CliRunner().invoke(app, ["--out", str(out), "--artifact", "https://example.org/run"])
    return done.exit_code, (out / "comment.md").read_text()


def test_every_stack_is_in_one_comment(tmp_path: Path) -> None:
    code, text = run(tmp_path)
    assert code == 0 and text.startswith(MARKER) and fits(text)
    for name in stackfile.available():
        assert f"| `{name}` |" in text and f"<summary>{name}: " in text and (tmp_path / f"plan-{name}.md").exists()
    assert "$" in text and "as configured" in text and "is drained" in text
    documents = json.loads((tmp_path / "plans.json").read_text())
    assert [item["stack"] for item in documents] == stackfile.available()


def test_a_failing_rule_and_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is red for either, and the worst is told first and open."""
    read = stackfile.read
    edits = {"g6e-dev": {"capacity.pools.gpu.gpuLimit": 1}, "g7e-staging": {"network.cidr": "no"}}

    def edited(name: str, path: Path | None = None) -> stackfile.StackFile:
        file = read(name, path)
        return dataclasses.replace(file, config=changed(file.config, edits.get(name, {})))

    monkeypatch.setattr(stackfile, "read", edited)
    monkeypatch.setattr(stackfile, "available", lambda: ["mocker-local", "g6e-dev"])
    code, text = run(tmp_path)
    assert code == 1 and text.index("`g6e-dev` | fails") < text.index("`mocker-local` | holds")
    assert "<details open><summary>g6e-dev: fails" in text and "| fail | pool-room | NodePool gpu |" in text
    monkeypatch.setattr(stackfile, "available", lambda: ["mocker-local", "g7e-staging"])
    code, text = run(tmp_path)
    assert (
        code == 2
        and "network.cidr" in text
        and "| `g7e-staging` | fails | stacks/Pulumi.g7e-staging.yaml has 1 fault" in text
    )
