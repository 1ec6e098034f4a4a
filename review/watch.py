"""`python -m review.watch`: the plan of one stack, made anew after every save, in a process that stays.

What takes time in a plan is importing the SDK; that is done once, so that the verdict is there within half a second of a save. The screen is
written again only when it differs. The code is watched too: when it changes, the process starts over. Ends with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from review.changes import Changes
    from review.plan import Plan

ROOT = Path(__file__).resolve().parent.parent

LOOK_SECONDS = 0.1
"""Between two looks at the stack file: a tenth of what a plan takes."""

CODE_SECONDS = 2.0
"""Between two looks at the code."""

CODE = ("components", "stacks", "program", "recording", "schemas", "rules", "review")

MOST_CHANGES = 12

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is on the screen: lines, each with its style."""

    lines: tuple[tuple[str, str], ...]
    good: bool
    """Whether the file could be planned."""


def stamp(path: Path) -> Stamp | None:
    """When a file was written, and how long it is; None for one that is not there, as in the middle of a save."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def code_stamp() -> tuple[int, int]:
    """Of all code and data that a plan is made of: the latest write, and how many files there are."""
    found = [
        path.stat().st_mtime_ns for room in CODE for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".json")
    ]
    return max(found), len(found)


class Watch:
    """One stack file and what was last seen of it."""

    def __init__(self, stack: str, path: Path, at: datetime | None = None) -> None:
        self.stack, self.path, self.at = stack, path, at
        self._seen: Stamp | None = None
        self._first: Plan | None = None
        self._last: Plan | None = None

    def look(self, width: int) -> Shown | None:
        """What to show now; None while the file is as it was."""
        now = stamp(self.path)
        if now is None or now == self._seen:
            return None
        self._seen = now
        return self._planned(width)

    def _planned(self, width: int) -> Shown:
        import pulumi

        from review import summary
        from review.plan import make
        from stacks import stackfile

        try:
            plan = make(stackfile.read(self.stack, self.path), at=self.at)
        except (stackfile.StackFileError, pulumi.RunError) as error:
            return Shown(tuple((line, "red") for line in str(error).splitlines()), good=False)
        before, self._last = self._last, plan
        self._first = self._first or plan
        lines = list(summary.styled(summary.lines(plan, width)))
        if before is not None:
            lines += [("", ""), *_changed("this save", before, plan, width)]
        if before is not None and before is not self._first:
            lines += _changed("since the beginning", self._first, plan, width)
        return Shown(tuple(lines), good=True)


def _changed(when: str, before: Plan, after: Plan, width: int) -> Iterator[tuple[str, str]]:
    from review import cost_told
    from review.changes import compare

    changes = compare(before.graph, after.graph)
    dollars = after.cost.usd_per_hour("configured") - before.cost.usd_per_hour("configured")
    money = f", {'+' if dollars > 0 else '-'}{cost_told.usd(abs(dollars))}/h" if abs(dollars) >= 0.005 else ""
    if not len(changes):
        yield f"{when}: nothing is touched{money}", "dim"
        return
    yield f"{when}: {_counts(changes)}{money}", "bold"
    styles = {"create": "green", "update": "yellow", "replace": "bold red", "delete": "bold red"}
    for item in changes.items[:MOST_CHANGES]:
        why = ", ".join(item.causes or dict.fromkeys(each.path for each in item.differences))
        line = f"  {item.op:<8}{item.node.short_type} {item.node.name}{f': {why}' if why else ''}"
        yield (line if len(line) <= width else line[: width - 2] + " …"), styles[item.op]
    if len(changes) > MOST_CHANGES:
        yield f"  and {len(changes) - MOST_CHANGES} more", "dim"


def _counts(changes: Changes) -> str:
    parts = (
        (len(changes.of(op)), f"{op}{'d' if op.endswith('e') else 'ed'}")
        for op in ("create", "update", "replace", "delete")
    )
    return ", ".join(f"{count} {words}" for count, words in parts if count)


def main(
    stack: Annotated[str, typer.Option(help="Stack whose file is watched.")] = "g6e-dev",
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"], help="Plan as of another moment (UTC)."),
    ] = None,
) -> None:
    """Plan a stack after every save."""
    from stacks import stackfile

    if stack not in stackfile.available():
        print(f"there is no stack {stack!r}; stacks/ has {', '.join(stackfile.available())}", file=sys.stderr)
        raise typer.Exit(2)
    watch = Watch(stack, ROOT / "stacks" / f"Pulumi.{stack}.yaml", at.replace(tzinfo=UTC) if at else None)
    try:
        _run(watch)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _run(watch: Watch) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    if not sys.stdout.isatty():
        for shown in _screens(watch, 140):
            print("\n".join(line for line, _ in shown.lines), end="\n\n", flush=True)
    else:
        console = Console(highlight=False)
        # Written again only when it differs, and the shell's own screen is there again afterwards.
        with Live(console=console, auto_refresh=False, screen=True) as live:
            for shown in _screens(watch, console.width):
                lines = (Text(line, style=style, overflow="fold") for line, style in shown.lines)
                live.update(Group(*lines), refresh=True)
    # What is imported is what was there: a plan of new code takes a new process.
    os.execv(sys.executable, [sys.executable, "-m", "review.watch", *sys.argv[1:]])


def _screens(watch: Watch, width: int) -> Iterator[Shown]:
    """What to show after each save, until the code changes."""
    code, looked = code_stamp(), time.monotonic()
    while True:
        if (shown := watch.look(width)) is not None:
            yield shown
        if time.monotonic() - looked > CODE_SECONDS:
            looked = time.monotonic()
            if code_stamp() != code:
                return
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
