"""`python -m review.change_report`: what a change does to each stack, against another commit or in place of the engine's own preview.

Exit code 0 when nothing stands against it, 1 when a rule newly fails, an edit is refused or a gate that was asked for is met, 2
when a setting is bad or there is nothing to compare with.
"""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

# As in `python -m review`: it ends before collecting pays.
gc.disable()

import typer  # noqa: E402 after switching the collector off

if TYPE_CHECKING:
    from review.base import Commit, Side
    from review.engine_log import Preview
    from review.told import Told


class Format(StrEnum):
    """How it is shown."""

    text = "text"
    markdown = "markdown"
    json = "json"


class Gate(StrEnum):
    """What else is worth a red mark."""

    stateful = "stateful"
    """Something that cannot be made again is replaced or deleted, let go by this change or not."""
    replaced = "replace"
    deleted = "delete"
    data = "data"
    gpus = "gpus"
    prepaid = "prepaid"
    exposure = "exposure"
    iam = "iam"
    network = "network"


def main(
    stack: Annotated[str, typer.Option(help="Stack to look at, or `all`.")] = "all",
    base: Annotated[str, typer.Option(help="Commit to compare the working tree with.")] = "origin/main",
    preview: Annotated[
        Path | None,
        typer.Option(help="Event log of `pulumi preview --event-log`: its verdict instead of the estimate."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to show it.")] = Format.text,
    gate: Annotated[str, typer.Option(help=f"Also exit with 1 on any of these, by commas: {', '.join(Gate)}.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"], help="Both sides as of another moment (UTC)."),
    ] = None,
) -> None:
    """Show what a change of stack files or code does, offline."""
    import tempfile

    from recording.durations import BadTimes
    from review import told
    from review.base import NoBase, commit
    from review.engine_log import NoLog

    gates = [word.strip() for word in gate.split(",") if word.strip()]
    try:
        if unknown := [word for word in gates if word not in list(Gate)]:
            raise NoBase(f"there is no gate {', '.join(unknown)}; there are {', '.join(Gate)}")
        there = commit(base)
        engine = _log(preview)
        every = names(stack, there, engine)
        with tempfile.TemporaryDirectory() as folder:
            found = [one(name, there, Path(folder), engine, at.replace(tzinfo=UTC) if at else None) for name in every]
    except (NoBase, NoLog, BadTimes) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    show = {Format.text: told.text, Format.markdown: told.markdown, Format.json: told.as_json}[format]
    print(show(found, there))
    sys.stdout.flush()
    raise typer.Exit(max((item.code(gates) for item in found), default=0))


def _log(path: Path | None) -> Preview | None:
    from review import engine_log

    if path is None:
        return None
    try:
        return engine_log.read(path.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise engine_log.NoLog(f"PREVIEW={path}: {getattr(error, 'strerror', None) or error}") from None
    except engine_log.NoLog as error:
        raise engine_log.NoLog(f"PREVIEW={path}: {error}") from None


def names(stack: str, there: Commit, engine: Preview | None) -> list[str]:
    """Stacks to look at, of both sides. Raises NoBase for one that there is on neither."""
    from review.base import NoBase
    from stacks import stackfile

    every = sorted({*stackfile.available(), *there.stacks()})
    if stack == "all":
        return [name for name in every if engine is None or name == engine.stack]
    if stack not in every:
        raise NoBase(f"there is no stack {stack!r}, here or in {there.name}; there are {', '.join(every)}")
    if engine is not None and engine.stack != stack:
        raise NoBase(f"PREVIEW tells of the stack {engine.stack!r}, and STACK is {stack!r}")
    return [stack]


def one(name: str, there: Commit, folder: Path, engine: Preview | None, at: datetime | None) -> Told:
    """One stack, compared; `folder` is where another commit is laid out for its plan. Raises BadTimes."""
    from review import base, told
    from stacks import stackfile

    now = name in stackfile.available()
    before = there.text(name) if name in there.stacks() else None
    same_code = there.same_code()
    if now and before is not None and same_code and engine is None:
        file = stackfile.ROOT / stackfile.shown(name)
        if file.read_bytes() == before.encode():
            return told.Told(name)
    if not now:
        return told.Told(name, gone=True)
    try:
        moment_ = at or _moment(name)
        head = _plan(name, None, moment_)
    except base.BadSide as error:
        return told.Told(name, bad=str(error))
    if before is None:
        return told.new(name, head)
    try:
        old = _there(name, before, there, folder, same_code, head, moment_)
    except base.BadSide as error:
        return told.new(name, head, instead_of=f"{there.name} cannot be planned:\n{error}")
    hidden = told.secrets(before, (stackfile.ROOT / stackfile.shown(name)).read_text())
    return told.compared(name, old, head, engine, hidden)


def _moment(name: str) -> datetime:
    """Both sides are planned for the same moment: a block's window is no difference."""
    from stacks.settings import own_window

    return own_window(_read(name, None).config) or datetime.now(UTC)


def _read(name: str, text: str | None):
    from review.base import BadSide
    from stacks import stackfile

    try:
        if text is None:
            return stackfile.read(name)
        return stackfile.parse(name, stackfile.ROOT / stackfile.shown(name), text)
    except stackfile.StackFileError as error:
        raise BadSide(str(error)) from None


def _plan(name: str, text: str | None, at: datetime) -> Side:
    import pulumi

    from review.base import BadSide, Side
    from review.plan import make
    from review.report import as_json

    try:
        plan = make(_read(name, text), at=at)
    except pulumi.RunError as error:
        raise BadSide(str(error)) from None
    return Side(plan.graph, as_json(plan))


def _there(name: str, text: str, there: Commit, folder: Path, same_code: bool, head: Side, at: datetime) -> Side:
    from review.base import plan_there, read

    if same_code:
        return _plan(name, text, at)
    if not any(folder.iterdir()):
        there.unpack(folder)
    return read(plan_there(folder, name, at), head.graph, at)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
