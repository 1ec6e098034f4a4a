"""The first screen of a plan: what fails, what exists, what it costs, when it ends, and what is taken for granted that matters.

Pure: rows out of a plan, then lines of a width. A reviewer with two minutes reads these and nothing else, so there are never more
than LINES of them.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from components.capacity.window import moment
from components.catalog import KUBERNETES
from components.dynamo.expected_pods import expected_pods
from components.dynamo.exposure import SCHEME_ANNOTATION
from components.dynamo.manifest import GPU
from recording.graph import Graph, Node
from recording.pool_blocks import pools
from recording.prices import table
from recording.racks import layout, rack_pods, racks
from review import blocks, cost_told, models, time
from review.plan import Plan
from rules.cluster import CLUSTER
from rules.graphs import graphs, pools_of

LINES = 25
"""Of the first screen, at any width from 80 columns on."""

LABEL = 10
"""Columns of a row's label."""

MOST = 6
"""Graphs, pools, blocks, failures or warnings that are shown one by one."""

Tone = Literal["plain", "bad", "doubt", "good"]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a reviewer has to know."""

    label: str
    text: str
    tone: Tone = "plain"
    weight: int = 1
    """What goes to one line last when there are too many lines."""


def rows(plan: Plan) -> list[Row]:
    """All rows, in the order in which they are read."""
    return [
        _verdict(plan),
        *_open_ends(plan),
        *_judged(plan, "fail", "bad"),
        *_judged(plan, "warn", "doubt"),
        Row("makes", _makes(plan.graph)),
        *_graphs(plan),
        *_pools(plan.graph),
        *_blocks(plan),
        Row("exposed", _as_written(plan, _exposed(plan.graph)), weight=2),
        Row("cost", cost_told.headline(plan.cost), weight=3),
        Row("time", time.headline(plan.graph), weight=2),
        *_ends(plan.graph),
        *_assumed(plan),
    ]


def lines(plan: Plan, width: int) -> list[tuple[Row, str]]:
    """The rows as lines of at most `width` columns, each with its row; those that weigh least lose their later lines first."""
    found = rows(plan)
    room = max(width, 40) - LABEL
    wrapped = [textwrap.wrap(row.text, room, break_on_hyphens=False) or [""] for row in found]
    while sum(map(len, wrapped)) > LINES:
        longest = max(range(len(found)), key=lambda n: (len(wrapped[n]) > 1, -found[n].weight, len(wrapped[n])))
        if len(wrapped[longest]) == 1:
            break
        wrapped[longest] = [*wrapped[longest][:-2], _cut(wrapped[longest][-2], room)]
    told: list[tuple[Row, str]] = []
    label = ""
    for row, texts in zip(found, wrapped, strict=True):
        for number, text in enumerate(texts):
            head = row.label if number == 0 and row.label != label else ""
            told.append((row, f"{head:<{LABEL}}{text}"))
        label = row.label
    return told


def _cut(text: str, width: int) -> str:
    return text[: width - 2].rstrip(" ,;:") + " …"


def _some(rows: Sequence[Row], what: str) -> Iterator[Row]:
    """The first ones, and a row that counts the others."""
    if len(rows) <= MOST + 1:
        yield from rows
        return
    yield from rows[:MOST]
    yield Row(rows[0].label, f"and {len(rows) - MOST} more {what}", rows[0].tone, weight=9)


def _verdict(plan: Plan) -> Row:
    counts = Counter(item.verdict for item in plan.verdicts)
    allowed = sum(item.allowed is not None for item in plan.verdicts)
    fail = (
        f"{counts['fail']} of {len(plan.verdicts)} rules fail"
        if counts["fail"]
        else f"none of {len(plan.verdicts)} rules fails"
    )
    warn = f"{counts['warn']} warn" + (f" ({allowed} allowed)" if allowed else "")
    where = f"{plan.cost.region}, " if plan.cost.region else ""
    tone: Tone = "bad" if counts["fail"] else "doubt" if counts["warn"] or plan.to_fill_in else "good"
    return Row(
        "plan",
        f"{plan.stack}: {fail}, {warn}, {counts['pass']} hold; {where}as of {moment(plan.graph.at)}",
        tone,
        weight=9,
    )


def _open_ends(plan: Plan) -> Iterator[Row]:
    if plan.to_fill_in:
        keys = ", ".join(item.key for item in plan.to_fill_in)
        count = len(plan.to_fill_in)
        yield Row("fill in", f"{count} value{'s' if count > 1 else ''} before `make up`: {keys}", "doubt")


def _judged(plan: Plan, verdict: str, tone: Tone) -> Iterator[Row]:
    found = [
        Row(verdict, f"{item.id}: {item.subject}: {item.told}", tone, weight=4 if tone == "bad" else 2)
        for item in plan.verdicts
        if item.verdict == verdict
    ]
    yield from _some(found, "below")


def _makes(graph: Graph) -> str:
    made = [node for node in graph.creation if node.package != "pulumi"]
    protected = sum(node.protect for node in made)
    return (
        f"{len(made)} resources ({protected} protected), {len(graph.objects)} of them Kubernetes objects, "
        f"in {max(graph.waves.values(), default=0)} steps"
    )


def _graphs(plan: Plan) -> Iterator[Row]:
    costs = {item.graph: item for item in plan.cost.graphs}
    served = models.by_graph(plan.graph)
    found = []
    for item in graphs(plan.graph):
        address = f"{item.namespace}/{item.name}"
        pods = expected_pods(item.manifest)
        gpus = sum(int(pod.requests.get(GPU, 0)) for pod in pods)
        parts = [f"{len(pods)} pods" if len(pods) != 1 else "1 pod"]
        parts.append(f"{gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "no GPU")
        if address in served:
            parts += [models.short(served[address])]
        if address in costs:
            parts.append(cost_told.graph_words(costs[address]))
        found.append(Row("graphs", f"{item.name}: {', '.join(parts)}"))
    yield from _some(found, "graphs")


def _pools(graph: Graph) -> Iterator[Row]:
    found = []
    for name, pool in pools_of(graph).items():
        wants = {
            item["key"]: item.get("values", ()) for item in pool["spec"]["template"]["spec"].get("requirements", ())
        }
        kinds = wants.get("node.kubernetes.io/instance-type") or wants.get("eks.amazonaws.com/instance-family") or ()
        bought = " or ".join(wants.get("karpenter.sh/capacity-type", ()))
        limit = (pool["spec"].get("limits") or {}).get(GPU)
        found.append(Row("pools", f"{name}: {', '.join(kinds)} ({bought}), at most {limit} GPUs"))
    yield from _some(found, "pools")


def _blocks(plan: Plan) -> Iterator[Row]:
    graph, found = plan.graph, []
    paid = {item.name: item for item in plan.cost.prepaid}
    seen = racks(graph)
    placed = layout(seen, rack_pods(graph))
    for name, rack in seen.items():
        told = f"{name}: {rack.type}, {rack.nodes} nodes, {rack.gpus} GPUs of which {placed.free_gpus(name)} idle"
        found.append(_block(told, rack.window, graph.at, paid.get(name)))
    for pool in pools(graph).values():
        for held in pool.blocks:
            told = f"{pool.name}: {held.count} {held.instance_type}, {held.gpus} GPUs"
            found.append(_block(told, held.window, graph.at, paid.get(f"{pool.name} {held.id}".strip())))
    yield from _some(found, "blocks")


def _block(told: str, window: Any, now: datetime, paid: Any) -> Row:
    when = f"; {moment(window.start)} to {moment(window.end)}" if window else ""
    price = f"; {cost_told.usd(paid.usd)} {'paid' if paid.given else 'quoted'}" if paid and paid.usd is not None else ""
    return Row("blocks", f"{told}{when}; {blocks.state(window, now)}{price}", weight=3)


def _exposed(graph: Graph) -> str:
    """What can be reached from where."""
    told = []
    for node in graph.of(CLUSTER):
        vpc = node.inputs.get("vpcConfig") or {}
        ranges = vpc.get("publicAccessCidrs") or ["0.0.0.0/0"]
        told.append(
            f"API endpoint {'to ' + ', '.join(map(str, ranges)) if vpc.get('endpointPublicAccess') else 'inside the VPC alone'}"
        )
    balancers = [item for item in graph.objects_of("Service") if item.manifest["spec"].get("type") == "LoadBalancer"]
    for item in balancers:
        scheme = (item.manifest["metadata"].get("annotations") or {}).get(SCHEME_ANNOTATION, "internal")
        where = ", ".join(item.manifest["spec"].get("loadBalancerSourceRanges") or ["0.0.0.0/0"])
        told.append(f"{item.name} {'on the internet' if scheme == 'internet-facing' else 'inside the VPC'} to {where}")
    if not balancers and graph.objects_of("DynamoGraphDeployment"):
        told.append("graphs inside the cluster alone")
    return "; ".join(told) or "nothing"


def _as_written(plan: Plan, text: str) -> str:
    """What stands in for a placeholder is shown as the stack file has it: nobody means the stand-in."""
    for item in plan.to_fill_in:
        if item.planned_as:
            text = text.replace(str(item.planned_as), item.text)
    return text


def _ends(graph: Graph) -> Iterator[Row]:
    """What is over when, the soonest first."""
    found: list[tuple[datetime, str]] = []
    windows = [(name, rack.window) for name, rack in racks(graph).items()]
    windows += [(f"the block of {pool.name}", held.window) for pool in pools(graph).values() for held in pool.blocks]
    found += [(window.drain_at, f"{name} is drained {moment(window.drain_at)}") for name, window in windows if window]
    for node in graph.of(CLUSTER):
        version = str(node.inputs.get("version"))
        ends = KUBERNETES[version].standard_support_ends if version in KUBERNETES else None
        if ends is not None:
            at = datetime(ends.year, ends.month, ends.day, tzinfo=graph.at.tzinfo)
            if at - graph.at < timedelta(days=365):
                found.append((at, f"Kubernetes {version} leaves standard support {ends} ({_after(node)})"))
    if found:
        yield Row("ends", "; ".join(text for _, text in sorted(found)), weight=3)


def _after(cluster: Node) -> str:
    """What happens to a cluster at the end of its version's standard support."""
    if (cluster.inputs.get("upgradePolicy") or {}).get("supportType") == "STANDARD":
        return "EKS then upgrades it unasked"
    return (
        f"then {cost_told.usd(table.price('eks-extended-hour', table.HOME).usd * table.HOURS_PER_MONTH)} a month more"
    )


def _assumed(plan: Plan) -> Iterator[Row]:
    """The assumptions that a decision may hang on first, and how many there are."""
    told = list(plan.assumptions)
    if not told:
        return
    first = sorted(told, key=lambda text: -_matters(text))[:2]
    more = f"; {len(told) - len(first)} more below" if len(told) > len(first) else ""
    yield Row("assumed", f"{'; '.join(first)}{more}")


def _matters(text: str) -> int:
    if "nothing is known of it" in text or "prices are" in text or text.startswith("as of"):
        return 2
    return 1 if text.startswith("cost of") else 0


def styled(rows: Iterable[tuple[Row, str]]) -> Iterator[tuple[str, str]]:
    """Each line with the style of a terminal."""
    styles = {"plain": "", "bad": "bold red", "doubt": "yellow", "good": "green"}
    return ((text, styles[row.tone]) for row, text in rows)
