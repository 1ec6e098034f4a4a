"""A folder with stand-ins for the `pulumi` and `kubectl` executables, first on PATH."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operations import __main__ as command
from operations import measured

KUBECTL = """#!/bin/sh
# What is asked is written down; `kubectl.json` is the answer to every question but readiness, `kubectl.err` an error.
cat > /dev/null 2>&1 < /dev/stdin || true
echo "$@" >> "$FAKE_PULUMI/kubectl.calls"
[ -f "$FAKE_PULUMI/kubectl.err" ] && { cat "$FAKE_PULUMI/kubectl.err" >&2; exit 1; }
case "$*" in *readyz*) printf ok ;; *) cat "$FAKE_PULUMI/kubectl.json" 2> /dev/null ;; esac
exit 0
"""


class Shell:
    """What the commands see, and what they did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holds(self, document: Mapping[str, Any], after: Mapping[str, Any] | None = None) -> None:
        (self.folder / "state.json").write_text(json.dumps(document))
        if after is not None:
            (self.folder / "after.json").write_text(json.dumps(after))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    @property
    def document(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    @property
    def calls(self) -> list[list[str]]:
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def called(self, command: str) -> list[str]:
        """The words of the last call of a command, without what every call has."""
        words = [call for call, name in zip(self.calls, self.commands, strict=True) if name == command][-1]
        return words[: words.index("--event-log")] if "--event-log" in words else words

    @property
    def commands(self) -> list[str]:
        return [" ".join(words[:2]) if words[0] == "stack" else words[0] for words in self.calls]

    def run(self, *words: str, typed: str = "") -> tuple[int, str]:
        """Exit code, and everything on both streams; there is a terminal when something is typed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(command, "terminal", lambda: bool(typed))
            result = CliRunner().invoke(command.app, [words[0], "--stack", "demo", *words[1:]], input=typed)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = Path(__file__).with_name("fake_pulumi.py")
    (programs / "pulumi").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "$@"\n')
    (programs / "kubectl").write_text(KUBECTL)
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PULUMI", str(tmp_path))
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    monkeypatch.setattr(measured, "KEPT", tmp_path / "times")
    # Nothing may ask the machine's own identity.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return Shell(tmp_path)
