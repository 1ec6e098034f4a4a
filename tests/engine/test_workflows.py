"""Workflows by actionlint, which knows expressions, contexts and runners beyond what a schema says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recording.answers import Answers
from tests.engine.cli import Clone
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import World
from tests.engine.test_owners import Live

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.engine


def test_actionlint_finds_nothing() -> None:
    """Prevents an expression that is empty at run time: the step then runs with nothing in its place."""
    program = shutil.which("actionlint")
    assert program is not None, "see CONTRIBUTING.md for the programs that these tests need"
    done = subprocess.run(
        [program, *sorted((ROOT / ".github" / "workflows").glob("*.yaml"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["preview", "drift"])
def test_the_real_cli_has_the_flags(script: str) -> None:
    """Prevents a nightly job that has never run: `--event-log` is a flag only with PULUMI_DEBUG_COMMANDS."""
    text = (ROOT / ".github" / "scripts" / f"{script}.sh").read_text()
    (line,) = re.findall(r"^(pulumi .*?) >", text, re.M)
    words = [word.strip('"') for word in line.split()]
    told = dict(re.findall(r"^export (\w+)=(\w+)$", text, re.M))
    environment = {key: value for key, value in os.environ.items() if key != "PULUMI_DEBUG_COMMANDS"}
    done = subprocess.run([*words, "--help"], env={**environment, **told}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "unknown" not in done.stderr, done.stderr
    bare = subprocess.run([*words, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert bare.returncode != 0, "the flag is there without it: the export may go"


def test_what_somebody_changed_is_in_the_engines_log(
    tmp_path: Path, control_plane: ControlPlane, contracts: Path
) -> None:
    """Prevents a nightly look that reads a log of another shape, and finds that nothing ever drifts."""
    clone, name, log = Clone(tmp_path), "night", tmp_path / "events.jsonl"
    shutil.copy(clone.file("mocker-local"), clone.file(name))
    clone.environment["PULUMI_DEBUG_COMMANDS"] = "true"
    clone.pulumi("stack", "init", name)
    world = World(control_plane, contracts, Answers(name))
    clone.enter(name, world)
    clone.pulumi("up", "--stack", name, "--yes", "--skip-preview")

    def look() -> tuple[int, str]:
        log.unlink(missing_ok=True)
        clone.pulumi("refresh", "--preview-only", "--stack", name, "--non-interactive", "--event-log", str(log))
        ended = clone.run(
            ".venv/bin/python", "-m", "operations.drift", "--stack", name, "--log", str(log), may_fail=True
        )
        return ended.returncode, ended.stdout

    assert look() == (0, f"`{name}`: everything is as its last `make up` left it.\n")
    Live(control_plane).scale("worker", 5, "kubectl-patch")
    code, said = look()
    assert code == 1 and "1 resources are not as" in said, said
    assert "DynamoGraphDeployment | graph-mocker-graph" in said and "replicas" in said
    control_plane.request("DELETE", control_plane.path("v1", "ServiceAccount", "dynamo", "smoke-mocker"))
    code, said = look()
    assert code == 1 and "ServiceAccount | smoke-mocker-account | gone |" in said, said
    clone.pulumi("destroy", "--stack", name, "--yes", "--skip-preview")
    world.stop()
