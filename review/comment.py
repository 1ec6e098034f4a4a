"""One comment for a pull request that holds every stack, within what its host takes. Pure.

A line for each stack comes first, then a fold for each with its details. What does not fit is folded to its line, the largest first, and
never cut in the middle: half a table reads as a whole one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MARKER = "<!-- dynamo-eks-review -->"
"""First line of the comment: how the next run finds it."""

MOST_CHARACTERS, MOST_BYTES = 60_000, 65_000
"""GitHub says 65,536 characters and was measured to take 262,144 bytes; other hosts may hold to the message."""

Verdict = Literal["fails", "warns", "holds", "untouched"]

ORDER: tuple[Verdict, ...] = ("fails", "warns", "holds", "untouched")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What is said of one stack."""

    stack: str
    verdict: Verdict
    line: str
    """One line: what changes, what it costs, when it ends."""
    body: str = ""
    """Markdown of the details; empty where there is nothing more to say."""


def comment(parts: Sequence[Part], *, artifact: str = "") -> str:
    """The whole comment. `artifact` is where the full report is; it is named wherever something was folded away."""
    ordered = sorted(parts, key=lambda part: (ORDER.index(part.verdict), part.stack))
    folded: set[str] = set()
    while True:
        text = _text(ordered, folded, artifact)
        if fits(text):
            return text
        with_body = [part for part in ordered if part.body and part.stack not in folded]
        if not with_body:
            return _totals(ordered, artifact)
        # What fails keeps its details longest.
        folded.add(max(with_body, key=lambda part: (ORDER.index(part.verdict), len(part.body))).stack)


def fits(text: str) -> bool:
    """Whether a host takes it."""
    return len(text) <= MOST_CHARACTERS and len(text.encode()) <= MOST_BYTES


def _text(parts: Sequence[Part], folded: set[str], artifact: str) -> str:
    lines = [
        MARKER,
        f"### Plan of {_count(len(parts), 'stack')}: {_words(parts)}",
        "",
        "| stack | | |",
        "|---|---|---|",
    ]
    lines += [f"| `{part.stack}` | {part.verdict} | {_cell(part.line)} |" for part in parts]
    for part in parts:
        if not part.body:
            continue
        lines.append("")
        if part.stack in folded:
            lines.append(f"Details of `{part.stack}` are too long for a comment: {_where(artifact)}.")
            continue
        # What fails is open: nobody has to look for it.
        opened = " open" if part.verdict == "fails" else ""
        lines += [
            f"<details{opened}><summary>{part.stack}: {part.verdict}</summary>",
            "",
            part.body.strip(),
            "",
            "</details>",
        ]
    return "\n".join([*lines, ""])


def _totals(parts: Sequence[Part], artifact: str) -> str:
    """When not even a line each fits: the counts, and as many lines as there is room for, the worst first."""
    head = [MARKER, f"### Plan of {_count(len(parts), 'stack')}: {_words(parts)}", "", "| stack | | |", "|---|---|---|"]
    lines: list[str] = []
    for part in parts:
        row = f"| `{part.stack}` | {part.verdict} | {_cell(part.line)} |"
        left = len(parts) - len(lines) - 1
        tail = ["", f"{_count(left, 'stack')} more, none of them worse: {_where(artifact)}."] if left else []
        if not fits("\n".join([*head, *lines, row, *tail, ""])):
            break
        lines.append(row)
    left = len(parts) - len(lines)
    tail = ["", f"{_count(left, 'stack')} more, none of them worse: {_where(artifact)}."] if left else []
    return "\n".join([*head, *lines, *tail, ""])


def _words(parts: Sequence[Part]) -> str:
    counts = Counter(part.verdict for part in parts)
    return ", ".join(f"{counts[verdict]} {_plural(verdict, counts[verdict])}" for verdict in ORDER if counts[verdict])


def _plural(verdict: Verdict, count: int) -> str:
    return verdict if count == 1 or verdict == "untouched" else verdict.removesuffix("s")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _where(artifact: str) -> str:
    return f"[the full report]({artifact})" if artifact else "see the full report, an artifact of this run"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
