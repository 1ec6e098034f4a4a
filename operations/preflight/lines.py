"""What a preflight says: lines of asked, answered, verdict and what to do. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What an answer means for the stack."""

    holds = "holds"
    fails = "fails"
    """A fact is not as the stack needs it."""
    unasked = "could not ask"
    """Nobody answered, or not to this identity. It says nothing about the stack."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was asked."""

    check: str
    """Kind of question; groups the table."""
    asked: str
    answered: str
    verdict: Verdict
    todo: str = ""
    """What to do; empty when it holds."""


@dataclass(frozen=True)
class Unasked:
    """In place of an answer: why there is none."""

    why: str
    todo: str = ""


@dataclass(frozen=True)
class Refused:
    """In place of an answer: the service knows the question and says no, with a code that means something."""

    code: str
    message: str


def holds(check: str, asked: str, answered: str) -> Line:
    return Line(check=check, asked=asked, answered=answered, verdict=Verdict.holds)


def fails(check: str, asked: str, answered: str, todo: str) -> Line:
    return Line(check=check, asked=asked, answered=answered, verdict=Verdict.fails, todo=todo)


def unasked(check: str, asked: str, why: Unasked | Refused) -> Line:
    """A line for an answer that did not come. A refusal that the caller does not know is none either."""
    if isinstance(why, Refused):
        why = Unasked(f"{why.code}: {why.message}", "look the code up; the stack is not to blame for it")
    return Line(check=check, asked=asked, answered=why.why, verdict=Verdict.unasked, todo=why.todo)


def exit_code(lines: Iterable[Line]) -> int:
    """1 when a fact is wrong, else 2 when something could not be asked, else 0."""
    verdicts = {line.verdict for line in lines}
    return 1 if Verdict.fails in verdicts else 2 if Verdict.unasked in verdicts else 0
