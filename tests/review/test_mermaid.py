"""Pictures in a pull request: small enough to be drawn, and of what the plan has."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording.recorder import record
from review import mermaid, report, time
from review.mermaid import MOST_CHARACTERS, MOST_NODES
from review.plan import Plan
from rules import judge
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded
from tests.stacks.edited import changed

NODE = re.compile(r'^ +(n_\w+)(?:\(\[|\[\(|\[)"([^"]*)"(?:\]\)|\)\]|\])$', re.M)
EDGE = re.compile(r"^ +(n_\w+) (?:-->(?:\|NLB\|)?|-\.-) (n_\w+)$")


def check(text: str) -> set[str]:
    """Ids of the nodes of a flowchart all of whose lines are such that Mermaid takes them."""
    nodes, depth = [found[1] for found in NODE.finditer(text)], 0
    for line in text.splitlines()[1:]:
        if line.strip().startswith("subgraph "):
            assert re.fullmatch(r' +subgraph n_\w+\["[^"]*"\]', line), line
            depth += 1
        elif line.strip() == "end":
            depth -= 1
        elif (edge := EDGE.match(line)) is not None:
            assert {edge[1], edge[2]} <= set(nodes), line
        else:
            assert NODE.match(line), line
    assert depth == 0 and len(nodes) == len(set(nodes)) < MOST_NODES and len(text) < MOST_CHARACTERS
    return set(nodes)


@pytest.mark.parametrize("stack", STACKS)
def test_topology_of_shipped_stacks(stack: str) -> None:
    graph = recorded(stack)
    text = mermaid.topology(graph)
    assert text.startswith("flowchart LR\n") and check(text)
    for item in graph.objects_of("DynamoGraphDeployment"):
        assert f'["{item.namespace}/{item.name}"]' in text


def test_what_stands_where() -> None:
    text = mermaid.topology(recorded("gb200-prod"))
    assert "rack rack-a: u-p6e-gb200x72, 18 nodes, 72 GPUs" in text and 'prefill x10, 40 GPUs"' in text
    assert "EFS: nvidia/DeepSeek-R1-0528-NVFP4-v2" in text
    assert "-->|NLB|" in mermaid.topology(recorded("g7e-staging")) and "-->|NLB|" not in text


@pytest.mark.parametrize("count", [1, 25, 60])
def test_many_graphs_are_counted(count: int) -> None:
    """A diagram of three hundred nodes is replaced by a picture that says it is too large."""
    file = stackfile.read("mocker-local")
    graph = file.config["dynamo-eks:graphs"]["mocker"]
    graph = {key: value for key, value in graph.items() if key != "smokeTest"}
    config = changed(file.config, {"graphs": {f"m-{number:03}": graph for number in range(count)}})
    text = mermaid.topology(record("mocker-local", config, at=AT))
    check(text)
    shown = len(re.findall(r"subgraph n_graph\w+", text))
    assert shown == count or f"and {count - shown} more graphs" in text


@given(st.text(max_size=80))
def test_any_name_is_taken(text: str) -> None:
    assert re.fullmatch(r"n_\w*", mermaid._id(text), re.ASCII)
    assert not set('"<>{}[]`|#;') & set(mermaid._label(text))
    assert re.fullmatch(r"[A-Za-z0-9 ./()-]+", mermaid._plain(text))


@given(st.lists(st.text("ab-/._x2d", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_names_are_two_nodes(names: list[str]) -> None:
    """Two graphs drawn as one hide the second."""
    one, other = names
    if not re.search("x[0-9a-f]", one + other):
        assert mermaid._id(one) != mermaid._id(other)


@pytest.mark.parametrize("stack", STACKS)
def test_gantt(stack: str) -> None:
    graph = recorded(stack)
    text, found = mermaid.gantt(graph), time.timeline(graph)
    bars = re.findall(r"^  [A-Za-z0-9 ./()-]+ :crit, b\d+, (\d+), (\d+)$", text, re.M)
    assert 0 < len(bars) <= mermaid.MOST_BARS
    assert [int(start) for start, _ in bars] == sorted(int(start) for start, _ in bars)
    assert all(int(start) < int(end) for start, end in bars)
    last = max(found.median.end[step.key] for step in found.critical)
    assert max(int(end) for _, end in bars) == pytest.approx(last, abs=2)
    rest = [line for line in text.splitlines() if ":crit" not in line]
    assert all(re.match(r"gantt|  (dateFormat|axisFormat|title|section) ", line) for line in rest)


def test_markdown_has_them_in_folds() -> None:
    graph = recorded("g6e-dev")
    text = report.markdown(dataclasses.replace(Plan("g6e-dev", graph, tuple(judge(graph)), ())))
    assert text.count("```mermaid\n") == 2 and "<summary>What stands where</summary>" in text
