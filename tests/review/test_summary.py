"""The first screen: never more than 25 lines, and what a reviewer decides by is on it."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from rich.console import Console

from recording.graph import Graph
from review import report, summary
from review.plan import Plan, make
from rules import judge
from rules.model import Verdict
from stacks import stackfile
from stacks.settings import left_open
from tests.conftest import AT, STACKS, recorded
from tests.stacks.edited import changed

WIDTHS = (80, 100, 120, 140, 200)


@cache
def plan_of(stack: str) -> Plan:
    graph = recorded(stack)
    return Plan(stack, graph, tuple(judge(graph)), (), left_open(stackfile.read(stack).config))


def with_changes(stack: str, changes: Mapping[str, Any]) -> Plan:
    file = stackfile.read(stack)
    return make(dataclasses.replace(file, config=changed(file.config, changes)), at=AT)


def text(plan: Plan, width: int = 140) -> str:
    return "\n".join(line for _, line in summary.lines(plan, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("stack", STACKS)
def test_it_fits_a_screen(stack: str, width: int) -> None:
    """What is on the second screen was not read."""
    found = [line for _, line in summary.lines(plan_of(stack), width)]
    assert len(found) <= summary.LINES and max(map(len, found)) <= width
    labels = {line[: summary.LABEL].strip() for line in found} - {""}
    assert labels >= {"plan", "makes", "graphs", "exposed", "cost"}


@pytest.mark.parametrize("width", WIDTHS)
def test_with_much_wrong_it_still_fits(width: int) -> None:
    """Twenty failures must not push the cost off the screen."""
    plan = plan_of("gb200-pair")
    wrong = tuple(
        Verdict(
            f"rule-{n}", verdict, f"Thing {n}", "something is wrong that takes a good many words to say " * 5, "stack"
        )
        for n in range(20)
        for verdict in ("fail", "warn")
    )
    found = [line for _, line in summary.lines(Plan(plan.stack, plan.graph, wrong, plan.notes, plan.to_fill_in), width)]
    assert len(found) <= summary.LINES and max(map(len, found)) <= width
    whole = " ".join("\n".join(found).split())
    for part in ("20 of 40 rules fail", "20 warn", "rule-0", "and 14 more below", "cost", "ends"):
        assert part in whole


@pytest.mark.parametrize("stack", STACKS)
def test_counts_agree(stack: str) -> None:
    """Two counts of one thing that differ, and neither is believed."""
    plan = plan_of(stack)
    shown, document = text(plan, 200), report.as_json(plan)
    rules = document["rules"]
    hold = sum(item["verdict"] == "pass" for item in rules)
    assert f"of {len(rules)} rules fail" in shown and f"{hold} hold" in shown
    made = [item for item in document["resources"] if not item["type"].startswith("pulumi:")]
    count = re.search(r"makes +(\d+) resources \((\d+) protected\), (\d+) of them", shown)
    assert count is not None and int(count[3]) == len(document["objects"])
    assert int(count[1]) <= len(made) and f"{count[1]} resources" in report.headline(plan)
    gpus = {item["graph"].split("/")[1]: item["gpus"] for item in document["cost"]["graphs"]}
    for name, number in gpus.items():
        assert re.search(rf"{name}: \d+ pods?, {number} GPUs?,", shown)


def test_what_decides_is_there() -> None:
    shown = text(plan_of("gb200-prod"), 200)
    for part in (
        "rack-a: u-p6e-gb200x72, 18 nodes, 72 GPUs of which 0 idle",
        "2026-12-01T11:30:00Z to 2026-12-08T11:30:00Z; active, 142.0 hours left before the drain; $128,000 quoted",
        "rack-a is drained 2026-12-08T10:00:00Z",
        "Kubernetes 1.35 leaves standard support 2027-03-27 (EKS then upgrades it unasked)",
        "graphs inside the cluster alone",
        "$10.58/GPU-h, prepaid",
    ):
        assert part in shown
    dev = text(plan_of("g6e-dev"), 200)
    assert "gpu: g6e (spot or on-demand), at most 4 GPUs" in dev and "about $" in dev and "on spot" in dev


def test_extended_support_has_its_price() -> None:
    shown = text(with_changes("g6e-dev", {"cluster.support": "EXTENDED"}), 200)
    assert "Kubernetes 1.35 leaves standard support 2027-03-27 (then $365 a month more)" in shown


def test_placeholders_are_shown_as_such() -> None:
    """An address of documentation that stands in for the reader's own looks like a decision somebody made."""
    shown = text(plan_of("g6e-dev"))
    assert "API endpoint to <your-ip>/32" in shown and "192.0.2.1" not in shown


def test_exposure() -> None:
    staging = text(plan_of("g7e-staging"), 200)
    assert "vllm-disagg-efa-frontend-nlb inside the VPC to 10.0.0.0/8" in staging
    public = with_changes(
        "g7e-staging",
        {"graphs.vllm-disagg-efa.exposure": {"type": "nlb", "scheme": "public", "allowedCidrs": ["52.95.4.0/24"]}},
    )
    shown = text(public, 200)
    assert "vllm-disagg-efa-frontend-nlb on the internet to 52.95.4.0/24" in shown


def test_many_graphs_are_counted() -> None:
    plan = with_changes("g6e-dev", {f"graphs.more-{n}": {
        "model": "qwen3-0-6b", "backend": "vllm", "transport": "none", "worker": {"gpus": 1},
        "placement": {"pool": "gpu", "instanceType": "g6e.2xlarge"},
    } for n in range(9)})  # fmt: skip
    shown = text(plan, 80)
    assert "and 5 more graphs" in shown and len(shown.splitlines()) <= summary.LINES


def test_tree_and_outputs_are_behind_verbose() -> None:
    plan = plan_of("g6e-dev")
    short, whole = (Console(width=140, record=True, file=io.StringIO()) for _ in range(2))
    report.print_text(plan, short)
    report.print_text(plan, whole, verbose=True)
    brief, long = short.export_text(), whole.export_text()
    for part in ("ec2.Vpc", "Destroyed in this order", "kubeconfigCommand ="):
        assert part not in brief and part in long
    assert brief.splitlines()[0] == long.splitlines()[0] and "--verbose" in brief


def test_invented_ids_are_marked() -> None:
    """A copied id that never existed leads to an afternoon of looking for it."""
    graph: Graph = recorded("g6e-dev")
    told = {key: made_up for key, _, made_up in report.outputs(graph)}
    assert told["vpcId"] and told["efsFileSystemId"] and not told["region"] and not told["cluster"]
    plan = Plan("g6e-dev", graph, tuple(judge(graph)), ())
    assert f"`vpcId` = `{graph.outputs['vpcId']}` ({report.INVENTED})" in report.markdown(plan)
