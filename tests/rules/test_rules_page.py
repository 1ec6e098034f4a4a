"""docs/rules.md: every rule, why it is there, and what it says when it finds something. `WRITE_DOCS=1` writes it again."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from recording.graph import Graph
from recording.racks import racks
from rules import RULES, Finding, Looked, Rule
from tests.conftest import STACKS, recorded
from tests.rules.test_each_rule import BY_ID, CASES, Edit
from tests.rules.test_findings import MORE
from tests.rules.test_ultraserver_rules import FINDINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rules.md"

BROKEN: list[tuple[str, str, Edit]] = [
    *((rule, stack, change) for rule, (stack, change, _) in CASES.items()),
    *((rule, stack, change) for rule, stack, change, _ in (*MORE, *FINDINGS)),
]
"""Every edit of a shipped stack that a rule finds something wrong with."""

HEAD = """# What the plan judges

Generated from the rules and their tests (`WRITE_DOCS=1 make test`). Each rule looks at the recorded resources of a stack; a `fail`
ends `make plan` with exit code 1 and `pulumi preview` and `up` before anything registers, a `warn` is printed. A stack can
let a rule fail for a reason (docs/plan.md). A rule judges the stack, when a stack file or the date can make it fail, or the
program, which promises what it says for every stack file that is accepted: the plan shows those as one line while they hold, and
one that fails is a fault of the program. Under each stands what it says of shipped stacks that were broken on purpose,
after the resource or object that it says it of.
"""


@cache
def examples(rule: str) -> list[str]:
    """What a rule says of everything that was broken for it."""
    said: dict[str, None] = {}
    for name, stack, change in BROKEN:
        if name == rule:
            for item in BY_ID[rule].verdicts(change(recorded(stack))):
                if item.verdict != "pass":
                    said[f"- {item.verdict}: `{item.subject}` {item.message}"] = None
    return list(said)


def section(rule: Rule) -> str:
    judged = f"Judges the {rule.of}. {rule.says} {rule.why}"
    return "\n".join([f"## {rule.id}", "", judged, "", *examples(rule.id), ""])


@cache
def page() -> str:
    text = "\n".join([HEAD, *(section(rule) for rule in RULES)])
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(text)
        return text
    return PAGE.read_text()


def test_page_is_current() -> None:
    """A page that says something else than the plan sends its reader the wrong way."""
    assert [line for line in page().splitlines() if line.startswith("## ")] == [f"## {rule.id}" for rule in RULES]
    assert page().startswith(HEAD)


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_section_is_current(rule: str) -> None:
    """Each message is read once, at night, by somebody who has not read the code: its wording is part of the rule."""
    assert section(BY_ID[rule]) in [f"## {part}" for part in page().split("\n## ")[1:]]


class Backwards(Graph):
    """The same resources, the last first; what depends on what stays."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.stack, list(reversed(graph.nodes)), outputs=graph.outputs, reads=graph.reads[::-1],
                         preview=graph.preview, at=graph.at)  # fmt: skip
        self.forwards = graph

    def requires(self, key: str) -> frozenset[str]:
        return self.forwards.requires(key)


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_order_of_resources_does_not_matter(rule: str) -> None:
    """A rule that stops at the first resource that is none of its business passes over the next one, which is wrong."""
    broken = [(stack, change) for name, stack, change in BROKEN if name == rule]
    for stack, change in [*((stack, lambda graph: graph) for stack in STACKS), *broken]:
        graph = change(recorded(stack))
        forth, back = (list(BY_ID[rule].check(item)) for item in (graph, Backwards(graph)))
        assert _subjects(forth) == _subjects(back)
        found, again = ({item for item in said if isinstance(item, Finding)} for said in (forth, back))
        # Of two subnets that overlap, it names the later one.
        assert len(found) == len(again) if rule == "subnets-disjoint" else found == again


def _subjects(said: list[Finding | Looked]) -> set[str]:
    return {item.subject for item in said if isinstance(item, Looked)}


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_subjects_are_named(rule: str) -> None:
    """A verdict on nothing in particular cannot be looked up."""
    for stack in STACKS:
        graph = recorded(stack)
        names = {item.name for item in (*graph, *graph.objects)} | set(racks(graph))
        for item in BY_ID[rule].check(graph):
            assert any(name and name in item.subject for name in names), item
