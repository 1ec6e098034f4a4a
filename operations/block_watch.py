"""`python -m operations.block_watch`: which blocks start or are drained soon, said 72, 24 and 6 hours before.

Run every hour it says each thing once: a moment is told when it comes within one of these distances for the first time. Stack files are
read and planned offline; a block that is still a placeholder is an example and is left out. Prints Markdown, nothing where nothing is
due. Exit code 0, or 2 where a stack file cannot be planned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from components.capacity.window import Window, moment
from recording.graph import Graph
from recording.pool_blocks import pools
from recording.racks import racks

HOURS = (72, 24, 6)
"""How long before a moment it is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Something that happens to a block."""

    stack: str
    block: str
    what: str
    """`starts` or `is drained`."""
    at: datetime
    todo: str


@dataclass(frozen=True, slots=True)
class Due:
    """A moment that is to be said now, and how many hours are left."""

    moment: Moment
    hours: int


def moments(graph: Graph) -> Iterator[Moment]:
    """Start and drain of every block of a stack."""
    windows: list[tuple[str, Window | None]] = [(name, rack.window) for name, rack in racks(graph).items()]
    windows += [
        (f"{held.id or 'the block'} of pool {pool.name}", held.window)
        for pool in pools(graph).values()
        for held in pool.blocks
    ]
    for name, window in windows:
        if window is None:
            continue
        yield Moment(
            stack=graph.stack, block=name, what="starts", at=window.start,
            todo=f"`make preflight STACK={graph.stack}` now, and `make up STACK={graph.stack}` once it runs (docs/runbooks/block.md)",
        )  # fmt: skip
        yield Moment(
            stack=graph.stack, block=name, what="is drained", at=window.drain_at,
            todo="move what must go on, extend the block, or let it end (docs/runbooks/block.md)",
        )  # fmt: skip


def due(found: Iterable[Moment], now: datetime, every: timedelta, hours: Sequence[int] = HOURS) -> list[Due]:
    """What came within one of the distances since the last run, the soonest first; each once, by the shortest distance."""
    told = []
    for one in found:
        left = one.at - now
        near = [distance for distance in hours if timedelta(0) < left <= timedelta(hours=distance)]
        if near and left + every > timedelta(hours=min(near)):
            told.append(Due(one, min(near)))
    return sorted(told, key=lambda item: (item.moment.at, item.moment.stack, item.moment.block))


def text(items: Iterable[Due]) -> str:
    """Markdown, a line each."""
    return "\n".join(
        f"- **{item.moment.stack}**: {item.moment.block} {item.moment.what} at {moment(item.moment.at)}, in less than "
        f"{item.hours} hours: {item.moment.todo}"
        for item in items
    )


def main(
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"], help="Look as of another moment (UTC)."),
    ] = None,
    every: Annotated[int, typer.Option(help="Minutes between two runs.")] = 60,
) -> None:
    """Say which blocks start or are drained soon."""
    from stacks import stackfile

    now, code, found = (at or datetime.now(UTC)).replace(tzinfo=UTC), 0, []
    for name in stackfile.available():
        try:
            found += list(moments(graph)) if (graph := _recorded(name, now)) else []
        except _Bad as error:
            print(error, file=sys.stderr)
            code = 2
    if said := text(due(found, now, timedelta(minutes=every))):
        print(said)
    raise typer.Exit(code)


class _Bad(Exception):
    """A stack file that cannot be planned."""


def _recorded(stack: str, now: datetime) -> Graph | None:
    """A stack's recording; None where its blocks are still to fill in, or are over: then there is nothing to wait for."""
    import pulumi

    from recording.recorder import record
    from stacks import stackfile
    from stacks.settings import own_window

    try:
        file = stackfile.read(stack)
        if own_window(file.config) is not None:
            return None
        return record(stack, file.config, secret_keys=file.secret_keys, at=now, source=file.path)
    except (stackfile.StackFileError, pulumi.RunError) as error:
        raise _Bad(str(error)) from None


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
