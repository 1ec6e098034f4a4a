"""`python -m operations.preflight`: ask everything that could refuse the stack, before anything is made.

Exit code 0 when everything holds, 1 when a fact is wrong, 2 when something could not be asked or the stack file is bad.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from operations.credentials import Access
from operations.engine import Engine, EngineError, NoStack
from operations.preflight import checks, report
from operations.preflight.asker import World
from operations.preflight.checks import Cluster, Secrets
from operations.preflight.lines import Line, Verdict, exit_code
from operations.preflight.registries import Login
from operations.preflight.wanted import Wanted, wanted
from stacks.faults import PREFIX
from stacks.settings import Settings, SettingsError

_TOKEN, _PASSWORD = "huggingFaceToken", "imagePullPassword"

DECRYPT_S = 30
"""How long the CLI may take to decrypt one value; a secrets provider that waits for a person is none here."""


class Format(StrEnum):
    """How the answers are shown."""

    text = "text"
    json = "json"


def main(
    stack: Annotated[str, typer.Option(help="Stack to ask for.")],
    format: Annotated[Format, typer.Option(help="How to show it.")] = Format.text,
    for_up: Annotated[
        bool,
        typer.Option(
            "--for-up",
            help="As `make up` does: only what needs no special right, unless it is the first up; what could not be asked does not stop it.",
        ),
    ] = False,
) -> None:
    """Ask the account, the registries and Hugging Face everything that the stack needs of them."""
    settings, graph = _planned(stack)
    needs = wanted(settings, graph)
    world = World(Access.of_settings(settings))
    if for_up and not _first(stack):
        lines = checks.core(needs, checks.who(world) if needs.aws else None)
    else:
        lines = checks.run(needs, world, _secrets(stack, settings, needs), settings.at, Cluster())
    if format is Format.json:
        print(report.as_json(stack, lines))
    else:
        width = None if sys.stdout.isatty() else 200
        out = Console(width=width, highlight=False)
        report.show(out, stack, lines, all_of_them=not for_up)
    raise typer.Exit(_for_up(lines) if for_up else exit_code(lines))


def _for_up(lines: Sequence[Line]) -> int:
    """As `exit_code`; what no right is needed for must have been asked, and the rest need not."""
    code = exit_code(lines)
    asked = all(line.verdict is not Verdict.unasked for line in lines if line.check in checks.CORE)
    return 0 if code == 2 and asked else code


def _planned(stack: str):
    """The checked settings and the recorded graph; a file that cannot be planned ends the command."""
    import pulumi

    from review import plan
    from stacks import stackfile

    try:
        file = stackfile.read(stack)
        settings = Settings.parse(file.stack, file.config, frozenset(file.secret_keys), source=file)
        return settings, plan.make(file).graph
    except (stackfile.StackFileError, SettingsError, pulumi.RunError) as error:
        _bad(str(error))


def _bad(said: str) -> NoReturn:
    print(said, file=sys.stderr)
    raise typer.Exit(2)


def _first(stack: str) -> bool:
    """Whether nothing of the stack has been made yet."""
    try:
        return not Engine(stack).state().resources
    except NoStack:
        return True
    except EngineError as error:
        _bad(str(error))


def _secrets(stack: str, settings: Settings, needs: Wanted) -> Secrets:
    """The secrets that the stack itself will use, where this machine can decrypt them; else the shell's token."""
    found: dict[str, str | None] = {
        key: _decrypted(stack, key)
        for key in (_TOKEN, _PASSWORD)
        if key in settings.secrets and not needs.unfilled(key)
    }
    every = ((found.get(_TOKEN), f"{PREFIX}{_TOKEN}"), (os.environ.get("HF_TOKEN"), "HF_TOKEN"))
    token, source = next(((token, source) for token, source in every if token), (None, ""))
    password = found.get(_PASSWORD)
    login = Login(*needs.login, password) if needs.login and password else None
    return Secrets(token, source, login)


def _decrypted(stack: str, key: str) -> str | None:
    """A secret of the stack's configuration; None when the CLI is not there or cannot decrypt it. It comes through a pipe,
    and what the CLI says of it is not repeated."""
    command = ["pulumi", "config", "get", f"{PREFIX}{key}", "--stack", stack, "--non-interactive"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DECRYPT_S, check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
