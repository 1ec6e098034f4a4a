"""The pulumi CLI, as far as operations need it. Nothing here runs the program: state in, state out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from operations.state import State


class EngineError(Exception):
    """The CLI refused; its own words are the message."""


CUT_OFF = "failed to load checkpoint: EOF"
"""What the CLI says when a backend of plain files was cut off while it wrote the state's companion file."""


class NoStack(EngineError):
    """The backend has no stack of this name."""


class Engine:
    """One stack in the backend that is logged in."""

    def __init__(self, stack: str, *, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.stack = stack
        self.folder = folder
        """Where Pulumi.yaml is; by default the current folder."""
        self.environment = environment
        """Variables beside the shell's own."""

    def state(self) -> State:
        answer = self._run("stack", "export")
        if answer.returncode:
            kind = NoStack if "no stack named" in answer.stderr else EngineError
            raise kind(_said(answer))
        return State(json.loads(answer.stdout))

    def cancel(self) -> str | None:
        """Take away the lock of an operation that died; None when a lock was taken away, else why there was none."""
        answer = self._run("cancel", "--yes")
        if not answer.returncode:
            return None
        # Pulumi Cloud answers 409 when the last update has ended by itself, and so there is no lock.
        if "409" in answer.stderr or "already completed" in answer.stderr:
            return "no operation holds the stack"
        raise EngineError(_said(answer))

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the state, after the engine has checked that it is whole."""
        with TemporaryDirectory() as folder:
            # Values in it are encrypted, and still nobody else's business.
            file = Path(folder) / "state.json"
            file.touch(mode=0o600)
            file.write_text(json.dumps(document))
            answer = self._run("stack", "import", "--file", str(file))
        if answer.returncode:
            raise EngineError(_said(answer))

    def refresh(self, urns: Sequence[str]) -> None:
        """Read these resources, and no others, into the state. One that is not there leaves it."""
        targets = [word for urn in urns for word in ("--target", urn)]
        # Creations still undecided stay as they are; without this an interactive CLI would ask about each.
        answer = self._run("refresh", "--yes", "--skip-preview", "--skip-pending-creates", *targets)
        if answer.returncode:
            raise EngineError(_said(answer))

    def destroy(self, *, yes: bool, exclude_protected: bool) -> int:
        """Destroy in the foreground, asking as the CLI asks; its exit code."""
        # Never together with --exclude, which the CLI then ignored for years (pulumi/pulumi#19231).
        words = (["--yes"] if yes else []) + (["--exclude-protected"] if exclude_protected else [])
        return subprocess.run(self._command("destroy", *words), cwd=self.folder, env=self._environment).returncode

    def _command(self, *words: str) -> list[str]:
        return ["pulumi", *words, "--stack", self.stack]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1", **(self.environment or {})}

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._command(*words), "--non-interactive", "--color", "never"],
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise EngineError("the pulumi CLI is not on PATH; see https://www.pulumi.com/docs/install/ ") from None


def _said(answer: subprocess.CompletedProcess[str]) -> str:
    """What the CLI said, without what it always says."""
    lines = (answer.stderr + answer.stdout).splitlines()
    said = "\n".join(line for line in lines if line.strip()) or f"pulumi ended with {answer.returncode}"
    if CUT_OFF in said:
        # gocloud.dev/blob/fileblob renames the state into place, and writes NAME.attrs in place.
        said += (
            "\nA file:// backend was cut off while writing: delete the empty STACK.json.attrs beside the stack's state."
        )
    return said
