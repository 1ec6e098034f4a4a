"""What a rule is: a pure check over recorded resources that gives one verdict for each subject it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from recording.graph import Graph

Level = Literal["pass", "warn", "fail"]
Of = Literal["stack", "program"]
"""What a rule judges. A rule of the stack can fail through a stack file that the settings accept, or through time; a rule of the
program fails only when this program makes something else than it promises."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's word on one subject."""

    id: str
    """The rule, for example `pool-limit`."""
    verdict: Level
    subject: str
    """The resource or object looked at."""
    message: str
    """What is right or wrong, and for a fault the way out."""
    of: Of
    """Whether the stack or the program is judged."""
    allowed: str | None = None
    """Why the stack lets this pass (`review.allow`): a failure that is a warning for this reason."""

    @property
    def told(self) -> str:
        """The message, with the reason when there is one."""
        return f"{self.message}; allowed: {self.allowed}" if self.allowed else self.message


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule found wrong with a subject."""

    subject: str
    message: str
    level: Level = "fail"


@dataclass(frozen=True, slots=True)
class Looked:
    """A subject a rule looked at; without a Finding on it, the rule holds there."""

    subject: str


Check = Callable[[Graph], Iterable[Finding | Looked]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named check with the reason it exists."""

    id: str
    says: str
    """The rule as a sentence: what holds when it passes."""
    why: str
    """The outage it prevents, with the source."""
    of: Of
    check: Check

    def verdicts(self, graph: Graph) -> list[Verdict]:
        """One verdict for each finding, or one pass for all that was looked at; nothing when there was nothing to look at."""
        looked, findings = [], []
        for item in self.check(graph):
            if isinstance(item, Looked):
                looked.append(item.subject)
            else:
                findings.append(item)
        if findings:
            return [Verdict(self.id, item.level, item.subject, item.message, self.of) for item in findings]
        if not looked:
            return []
        subject = looked[0] if len(looked) == 1 else f"{len(looked)} subjects"
        return [Verdict(self.id, "pass", subject, self.says, self.of)]


RULES: list[Rule] = []


def rule(id_: str, says: str, why: str, *, of: Of) -> Callable[[Check], Check]:
    """Register a check. `says` is what holds when it passes, `why` the outage it prevents, `of` what it judges."""

    def register(check: Check) -> Check:
        RULES.append(Rule(id_, says, why, of, check))
        return check

    return register


def judge(
    graph: Graph, rules: Sequence[Rule] | None = None, allow: Mapping[str, str] = MappingProxyType({})
) -> list[Verdict]:
    """Verdicts of all rules on a recorded graph, failures first. `allow` has the reasons why rules may fail, by id: what one
    finds is a warning then. A reason for a rule that does not fail is itself a warning."""
    order = ("fail", "warn", "pass")
    found = [verdict for item in (RULES if rules is None else rules) for verdict in item.verdicts(graph)]
    needed = {verdict.id for verdict in found if verdict.verdict == "fail"}
    found = [
        replace(verdict, verdict="warn", allowed=allow[verdict.id])
        if verdict.verdict == "fail" and verdict.id in allow
        else verdict
        for verdict in found
    ]
    found += [
        Verdict(
            id_, "warn", f"review.allow.{id_}", "nothing to allow: the rule does not fail; remove the line", "stack"
        )
        for id_ in allow
        if id_ not in needed
    ]
    return sorted(found, key=lambda verdict: order.index(verdict.verdict))
