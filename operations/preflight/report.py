"""A preflight as people read it: one table, then one line that says what it comes to."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operations.preflight.lines import Line, Verdict, exit_code

_STYLE = {Verdict.holds: "green", Verdict.fails: "bold red", Verdict.unasked: "yellow"}


def headline(stack: str, lines: Sequence[Line]) -> str:
    """`g6e-dev: 30 hold, 1 fails, 2 could not be asked`"""
    count = {verdict: sum(line.verdict is verdict for line in lines) for verdict in Verdict}
    parts = [f"{count[Verdict.holds]} hold"]
    if count[Verdict.fails]:
        parts.append(f"{count[Verdict.fails]} fail{'s' * (count[Verdict.fails] == 1)}")
    if count[Verdict.unasked]:
        parts.append(f"{count[Verdict.unasked]} could not be asked")
    return f"{stack}: {', '.join(parts)}"


def show(out: Console, stack: str, lines: Sequence[Line], *, all_of_them: bool) -> None:
    """The table, and the headline under it. What holds is left out where somebody waits for something else."""
    shown = [line for line in lines if all_of_them or line.verdict is not Verdict.holds]
    if shown:
        table = Table(box=None, pad_edge=False)
        for name in ("check", "asked", "answered", "verdict", "what to do"):
            table.add_column(name, overflow="fold")
        for line in shown:
            # Answers are texts of others, and brackets in them no markup.
            words = [Text(word) for word in (line.check, line.asked, line.answered, line.verdict, line.todo)]
            words[3].stylize(_STYLE[line.verdict])
            table.add_row(*words)
        out.print(table)
    out.print(Text(headline(stack, lines)))


def as_json(stack: str, lines: Sequence[Line]) -> str:
    """For programs: the lines as they are, and the exit code."""
    rows = [
        {
            "check": item.check,
            "asked": item.asked,
            "answered": item.answered,
            "verdict": str(item.verdict),
            "todo": item.todo,
        }
        for item in lines
    ]
    return json.dumps({"stack": stack, "exit": exit_code(lines), "lines": rows}, indent=1, ensure_ascii=False)
