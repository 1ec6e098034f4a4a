"""How a rule's findings become verdicts, and in which order these are read."""

from __future__ import annotations

import pytest

from recording.graph import Graph
from rules.model import RULES, Finding, Looked, Rule, Verdict, judge, rule

EMPTY = Graph("none", [])
A, B = Looked("pool a"), Looked("pool b")


def ruled(*said: Finding | Looked, id_: str = "pool-limit") -> Rule:
    return Rule(id_, "Every pool has a limit.", "A pool without one buys what it likes.", "stack", lambda graph: said)


def passed(subject: str, id_: str = "pool-limit") -> Verdict:
    return Verdict(id_, "pass", subject, "Every pool has a limit.", "stack")


@pytest.mark.parametrize(
    ("said", "verdicts"),
    [
        ((), []),
        ((A,), [passed("pool a")]),
        ((A, B), [passed("2 subjects")]),
        ((A, Finding("pool a", "none"), B), [Verdict("pool-limit", "fail", "pool a", "none", "stack")]),
        (
            (Finding("pool b", "high", "warn"), Finding("pool a", "none")),
            [
                Verdict("pool-limit", "warn", "pool b", "high", "stack"),
                Verdict("pool-limit", "fail", "pool a", "none", "stack"),
            ],
        ),
    ],
)
def test_verdicts(said: tuple[Finding | Looked, ...], verdicts: list[Verdict]) -> None:
    """A pass beside a failure, or of a rule that found nothing to look at, lets a fault through."""
    assert ruled(*said).verdicts(EMPTY) == verdicts


def test_failures_are_read_first() -> None:
    """What stops the purchase must not stand below a page of passes; rules keep their order otherwise."""
    rules = [
        ruled(A, id_="one"),
        ruled(Finding("b", "high", "warn"), id_="two"),
        ruled(Finding("c", "none"), id_="three"),
        ruled(B, id_="four"),
        ruled(Finding("d", "none"), Finding("e", "high", "warn"), id_="five"),
    ]
    found = [(item.id, item.verdict) for item in judge(EMPTY, rules)]
    assert found == [
        ("three", "fail"),
        ("five", "fail"),
        ("two", "warn"),
        ("five", "warn"),
        ("one", "pass"),
        ("four", "pass"),
    ]
    assert judge(EMPTY, ()) == []


def test_an_allowed_failure_is_a_warning_with_its_reason() -> None:
    """Prevents both a rule that cannot be got past, for which people leave the rules out, and one that is got past in silence."""
    rules = [
        ruled(Finding("a", "none"), Finding("b", "high", "warn"), id_="one"),
        ruled(Finding("c", "none"), id_="two"),
    ]
    assert judge(EMPTY, rules, {"one": "a drill"}) == [
        Verdict("two", "fail", "c", "none", "stack"),
        Verdict("one", "warn", "a", "none", "stack", "a drill"),
        Verdict("one", "warn", "b", "high", "stack"),
    ]
    assert [item.told for item in judge(EMPTY, rules, {"one": "a drill"})] == ["none", "none; allowed: a drill", "high"]


@pytest.mark.parametrize("said", [(), (A,), (Finding("a", "high", "warn"),)])
def test_a_reason_that_nothing_needs_is_told(said: tuple[Finding | Looked, ...]) -> None:
    """Left behind, it lets the next failure of that rule pass, for a reason that is no longer true."""
    found = judge(EMPTY, [ruled(*said)], {"pool-limit": "a drill"})
    useless = Verdict(
        "pool-limit",
        "warn",
        "review.allow.pool-limit",
        "nothing to allow: the rule does not fail; remove the line",
        "stack",
    )
    assert found[-1 if said and isinstance(said[0], Finding) else 0] == useless
    assert [item for item in found if item != useless] == judge(EMPTY, [ruled(*said)])


def test_a_rule_is_registered_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is written and asked by nobody protects nothing."""
    monkeypatch.setattr("rules.model.RULES", made := [])

    def check(graph: Graph) -> list[Looked]:
        return [Looked(graph.stack)]

    assert rule("stack-named", "The stack has a name.", "Nobody would find it.", of="program")(check) is check
    assert made == [Rule("stack-named", "The stack has a name.", "Nobody would find it.", "program", check)]
    assert judge(EMPTY) == [Verdict("stack-named", "pass", "none", "The stack has a name.", "program")]
    assert RULES and made is not RULES
