"""`make times`: a user's own durations, out of what the engine said of their own operations.

`make up` and `make destroy` keep how long each step took (`.times/`, a line for each); other logs of the engine (`pulumi up --event-log`)
can be given as files, and the stack's history tells of whole operations. All of it is folded into `stacks/times.json`, which the plan
takes before the published durations and never mixes with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from operations.engine import Engine, EngineError
from operations.measured import kept, measured, operations, rows
from recording.durations import OWN


def main(
    stack: Annotated[str, typer.Option(help="Stack whose history is read.")] = "",
    log: Annotated[list[Path] | None, typer.Option(help="Log of the engine (`pulumi up --event-log FILE`).")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Output of `pulumi stack history --json`; without one the CLI is asked.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Where to write; the plan looks in stacks/times.json.")] = None,
) -> None:
    """Write a table of your own durations."""
    found = kept()
    for file in log or ():
        found += measured(_read(file).splitlines())
    if stack:
        found += operations(stack, _history(stack, history))
    if not found:
        typer.echo('No operation was measured: run `make up`, or give a log with ARGS="--log FILE"', err=True)
        raise typer.Exit(1)
    table = rows(found, "your own runs")
    target = to or OWN
    target.write_text(json.dumps({"about": "Written by `make times`.", "rows": table}, indent=1) + "\n")
    typer.echo(f"{target}: {len(table)} durations out of {len(found)} steps of your own")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(2) from None


def _history(stack: str, file: Path | None) -> Sequence[Mapping[str, Any]]:
    try:
        return json.loads(_read(file)) if file else Engine(stack).history()
    except ValueError as error:
        typer.echo(f"{file}: {error}; expected the output of `pulumi stack history --json`", err=True)
    except EngineError as error:
        typer.echo(str(error), err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
