"""The pulumi CLI, as far as operations need it. Every call is let end by itself (`process.py`).

Not by `pulumi.automation`, which was read for it (SDK 3.272.0): it tells a locked stack by the same English words and without the
holder, exports with `--show-secrets` alone where these operations keep secrets encrypted, may leave what it imports in a temporary
file, is never interactive, and hands no signals on, while a stack that is being changed must get exactly one interrupt. Worth another
look once its export can leave secrets encrypted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from operations import backups, events, lock, measured, process
from operations.process import Ended
from operations.state import State


class EngineError(Exception):
    """The CLI refused; its own words are the message."""


class NoStack(EngineError):
    """The backend has no stack of this name."""


class Lost(EngineError):
    """The state is cut off or gone, and its backups are there; how to put one back is part of the message."""


class Stopped(Exception):
    """Somebody asked for an end while the CLI was at work. It has come to its own end."""


@dataclass(frozen=True)
class Operation:
    """An `up` or a `destroy` that has ended."""

    code: int
    """The engine's; 0 also for a destroy that was stopped before its end."""
    did: events.Did
    asked_to_stop: bool
    took: Sequence[measured.Measured] = ()
    """How long its steps took."""


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
        if not answer.code:
            return State(json.loads(answer.stdout))
        try:
            where = self.files()
        except EngineError:
            raise _error(answer) from None
        if where is not None and (way_out := backups.way_out(where, f"make recover STACK={self.stack}")):
            raise Lost(f"{_said(answer)}\n{way_out}")
        if where is None and "failed to load checkpoint" in answer.stderr:
            raise Lost(
                f"{_said(answer)}\nWhole states are kept in the backend, under .pulumi/backups and .pulumi/history."
            )
        raise _error(answer)

    @cached_property
    def url(self) -> str:
        """Where the states are: `file://…`, `s3://…`, `https://api.pulumi.com`."""
        answer = self._run("whoami", "--json", of_stack=False)
        if answer.code:
            raise EngineError(_said(answer))
        return str(json.loads(answer.stdout)["url"])

    def files(self) -> backups.Files | None:
        """Where the state is on this machine; None when it is elsewhere."""
        folder = self.folder or Path.cwd()
        project = yaml.safe_load((folder / "Pulumi.yaml").read_text())["name"]
        return backups.files(self.url, project, self.stack, folder)

    def holders(self) -> list[lock.Holder]:
        """Who holds the stack; nobody when it is free. EngineError when the backend does not tell."""
        return self._cloud_holders() if self.url.startswith("http") else self._file_holders()

    def _file_holders(self) -> list[lock.Holder]:
        # Asks for the lock, and then for a name that is taken: nothing is changed, whether it gets the lock or not.
        answer = self._run("stack", "rename", self.stack.rpartition("/")[2])
        found = lock.holders(answer.stderr)
        if found or "already exists" in answer.stderr:
            return found
        raise _error(answer)

    def _cloud_holders(self) -> list[lock.Holder]:
        answer = self._run("stack", "--output", "json")
        if answer.code:
            raise _error(answer)
        running = json.loads(answer.stdout).get("currentOperation")
        if not running:
            return []
        return [lock.Holder(running["author"], lock.moment(running["started"]), kind=running["kind"])]

    def cancel(self) -> None:
        """Take every lock of the stack away."""
        answer = self._run("cancel", "--yes")
        # Pulumi Cloud answers 409 when the update has ended by itself meanwhile.
        if answer.code and "409" not in answer.stderr and "already completed" not in answer.stderr:
            raise EngineError(_said(answer))

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the state, after the engine has checked that it is whole. What is pending in it does not go along."""
        with TemporaryDirectory() as folder:
            # Values in it are encrypted, and still nobody else's business.
            file = Path(folder) / "state.json"
            file.touch(mode=0o600)
            file.write_text(json.dumps(document))
            answer = self._run("stack", "import", "--file", str(file))
        if answer.code:
            raise EngineError(_said(answer))

    def refresh(self, urns: Sequence[str]) -> None:
        """Read these resources, and no others, into the state. One that is not there leaves it."""
        targets = [word for urn in urns for word in ("--target", urn)]
        # Creations still undecided stay as they are; without this an interactive CLI would ask about each.
        answer = self._run("refresh", "--yes", "--skip-preview", "--skip-pending-creates", *targets)
        if answer.code:
            raise EngineError(_said(answer))

    def history(self) -> list[dict[str, Any]]:
        """Operations of the stack, the newest first."""
        answer = self._run("stack", "history", "--json", "--page-size", "100", "--page", "1")
        if answer.code:
            raise _error(answer)
        return json.loads(answer.stdout)

    def up(self, *, yes: bool, arguments: Sequence[str]) -> Operation:
        """Create and change in the foreground, asking as the CLI asks."""
        return self._operate("up", *(["--yes"] if yes else []), *arguments)

    def destroy(self, *, yes: bool, exclude_protected: bool, arguments: Sequence[str] = ()) -> Operation:
        """Destroy in the foreground, asking as the CLI asks."""
        # Never together with --exclude, which the CLI then ignored for years (pulumi/pulumi#19231).
        words = (["--yes"] if yes else []) + (["--exclude-protected"] if exclude_protected else [])
        return self._operate("destroy", *words, *arguments)

    def _operate(self, *words: str) -> Operation:
        with TemporaryDirectory() as folder:
            # A folder that nobody else can enter. The engine writes secrets as [secret] there.
            log = Path(folder) / "events.jsonl"
            ended = self._start([*words, "--event-log", str(log)], debug=True)
            lines = log.read_text().splitlines() if log.is_file() else []
        did = events.did(lines)
        return Operation(ended.code, did, ended.asked_to_stop or did.stopped, measured.measured(lines))

    def _start(
        self, words: Sequence[str], *, debug: bool = False, of_stack: bool = True, capture: bool = False
    ) -> Ended:
        # The switch for developers of the CLI is what makes it take --event-log.
        environment = {
            **os.environ,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            **({"PULUMI_DEBUG_COMMANDS": "true"} if debug else {}),
            **(self.environment or {}),
        }
        command = ["pulumi", *words, *(["--stack", self.stack] if of_stack else [])]
        try:
            return process.run(command, folder=self.folder, environment=environment, capture=capture)
        except FileNotFoundError:
            raise EngineError("the pulumi CLI is not on PATH; see https://www.pulumi.com/docs/install/ ") from None

    def _run(self, *words: str, of_stack: bool = True) -> Ended:
        ended = self._start([*words, "--non-interactive", "--color", "never"], of_stack=of_stack, capture=True)
        if ended.asked_to_stop:
            raise Stopped
        return ended


def _error(answer: Ended) -> EngineError:
    return (NoStack if "no stack named" in answer.stderr else EngineError)(_said(answer))


def _said(answer: Ended) -> str:
    """What the CLI said, without what it always says."""
    lines = (answer.stderr + answer.stdout).splitlines()
    return "\n".join(line for line in lines if line.strip()) or f"pulumi ended with {answer.code}"
