"""What is missing on a machine is said in one line, before anything fails for want of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stacks import stackfile
from tools import prerequisites

GOOD = {
    "pulumi": 'case "$1" in version) echo v3.260.1;; whoami) echo me;; esac',
    "aws": 'case "$1" in --version) echo "aws-cli/2.31.0 Python/3.13.7 Linux";; sts) echo arn:aws:iam::111122223333:role/me;; esac',
    "kubectl": 'echo \'{"clientVersion": {"gitVersion": "v1.35.2"}}\'',
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of a machine that has everything."""
    for name, body in GOOD.items():
        program(tmp_path, name, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def program(folder: Path, name: str, body: str | None) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    if body is None:
        body = "exit 127"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_machine_that_has_everything(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prerequisites.main([]) == 0
    told = capsys.readouterr()
    assert told.err == "" and [line.split()[0] for line in told.out.splitlines()] == list(prerequisites.CHECKS)


@pytest.mark.parametrize(
    ("name", "broken", "body", "said"),
    [
        ("pulumi", "pulumi", None, "pulumi CLI is not on PATH. Get 3.259.0 or newer"),
        ("pulumi", "pulumi", "echo v3.258.0", "The pulumi CLI is v3.258.0"),
        ("login", "pulumi", '[ "$1" = version ] && echo v3.260.0', "No Pulumi backend is logged in"),
        ("aws", "aws", None, "The aws CLI is not on PATH"),
        ("credentials", "aws", '[ "$1" = --version ] && echo aws-cli/2.31.0', "No AWS credentials"),
        ("kubectl", "kubectl", None, "kubectl is not on PATH"),
        ("kubectl", "kubectl", 'echo \'{"clientVersion": {"gitVersion": "v1.32.4"}}\'', "wants 1.34 to 1.36"),
        ("kubectl", "kubectl", "echo '{}'", "does not tell its version"),
        ("kubectl", "kubectl", "echo hello", "does not tell its version"),
    ],
)
def test_one_line_for_what_is_missing(
    name: str, broken: str, body: str | None, said: str, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack trace of a subprocess tells nobody what to install."""
    program(machine, broken, body)
    assert prerequisites.main([name]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_an_old_python(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip would resolve for minutes, and then complain about a package nobody knows."""
    monkeypatch.setattr(prerequisites.sys, "version_info", (3, 10, 12))
    version, lacks = prerequisites.python()
    assert version == "3.10.12" and "Python 3.11 or newer is needed and `python3` is 3.10.12" in (lacks or "")
    program(machine, "uv", "exit 0")
    assert prerequisites.python() == ("3.10.12", None), "uv brings its own"


@pytest.mark.parametrize(
    ("body", "said"),
    [("echo 3.9.18", "has Python 3.9.18"), ("exit 1", "does not start"), (None, "does not start")],
)
def test_an_old_virtualenv(body: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade of the system or a move of the folder, every command failed with a text about something else."""
    monkeypatch.setattr(prerequisites, "ROOT", tmp_path)
    assert prerequisites.venv() == ("none yet", None)
    inside = tmp_path / ".venv" / "bin"
    inside.mkdir(parents=True)
    if body:
        program(inside, "python", body)
    else:
        (inside / "python").symlink_to(tmp_path / "gone")
    assert said in (prerequisites.venv()[1] or "")


@pytest.mark.parametrize(("body", "said"), [("exit 1", "does not start"), ("exit 0", "")])
def test_make_looks_at_the_virtualenv_each_time(body: str, said: str, tmp_path: Path) -> None:
    for name in ("Makefile", "Pulumi.yaml"):
        shutil.copy(stackfile.ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(stackfile.ROOT / "tools" / "prerequisites.py", tmp_path / "tools")
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program(tmp_path / ".venv" / "bin", "python", body)
    (tmp_path / ".venv" / ".installed").touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["make", "plan"], cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert (ended.returncode == 0) == (not said) and said in ended.stderr
