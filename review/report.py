"""A plan as text for a terminal, as Markdown for a pull request, as JSON for machines."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.capacity.block_prices import SINCE
from components.capacity.window import Phase, moment
from recording.graph import UNKNOWN, Graph, Node
from recording.pool_blocks import pools
from recording.racks import layout, rack_pods, racks
from review import blocks, cost_told, interruptions, mermaid, models, summary, time
from review.plan import Plan
from rules.model import Verdict
from stacks.placeholders import ToFillIn

_KNOWN_AS = (
    "cidrBlock",
    "availabilityZoneId",
    "serviceName",
    "instanceType",
    "addonName",
    "policyArn",
    "version",
    "type",
)
"""Inputs that tell two resources of a type apart, the first found being shown."""


def as_json(plan: Plan) -> dict[str, Any]:
    """The machine contract: keys and their meaning are in docs/plan.md."""
    return {
        "stack": plan.stack,
        "resources": [
            {
                "type": node.type,
                "name": node.name,
                "parent": node.parent,
                "provider": node.provider,
                "dependsOn": list(node.depends_on),
                "protect": node.protect,
                "retainOnDelete": node.retain_on_delete,
                "replacementTrigger": node.replacement_trigger,
                "id": node.id,
                "custom": node.custom,
                "step": plan.graph.waves[node.key],
                "assumed": node.assumed,
                "inputs": node.inputs,
            }
            for node in plan.graph
        ],
        "objects": [item.manifest for item in plan.graph.objects],
        "destroyOrder": [node.key for node in plan.graph.destruction],
        "rules": [
            {
                "id": item.id,
                "of": item.of,
                "verdict": item.verdict,
                "subject": item.subject,
                "message": item.message,
                "allowed": item.allowed,
            }
            for item in plan.verdicts
        ],
        "assumptions": list(plan.assumptions),
        "outputs": plan.graph.outputs,
        "blocks": blocks.as_json(plan.graph),
        "models": models.as_json(plan.graph),
        "interruptions": interruptions.as_json(plan.graph),
        "timeline": time.as_json(plan.graph),
        "cost": cost_told.as_json(plan.cost),
        "toFillIn": [
            {"key": item.key, "value": item.text, "meaning": item.meaning, "plannedAs": item.planned_as}
            for item in plan.to_fill_in
        ],
    }


MARKER = ".dynamo-eks-objects"
"""File that makes a folder ours: the names of what was written there, a line each."""


class NotOurs(Exception):
    """A folder that rendered objects must not be written into; the message says why in one line."""


def write_objects(plan: Plan, folder: Path) -> list[Path]:
    """Write every rendered object as YAML, one file each, in order of creation; returns the files.

    The folder is new, empty, or one that this function wrote before: then what it wrote goes, and nothing else. Raises
    NotOurs for any other, and where it cannot write.
    """
    import yaml

    texts = {}
    for position, item in enumerate(plan.graph.objects, 1):
        parts = [f"{position:03d}", item.kind.lower(), *([item.namespace] if item.namespace else []), item.name]
        name = "-".join(parts) + ".yaml"
        texts[name] = yaml.safe_dump(json.loads(json.dumps(item.manifest)), sort_keys=False, width=120)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in _own(folder, texts):
            old.unlink(missing_ok=True)
        (folder / MARKER).write_text("".join(f"{name}\n" for name in texts))
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise NotOurs(f"{folder}: {error.strerror}; give --objects another folder") from None
    return [folder / name for name in texts]


def _own(folder: Path, coming: Iterable[str]) -> list[Path]:
    """Files of an earlier run. Raises NotOurs when the folder, or a file that is about to be written, is somebody else's."""
    marker = folder / MARKER
    if not marker.is_file():
        if any(folder.iterdir()):
            raise NotOurs(f"{folder} has files that `--objects` did not write; give a new or empty folder")
        return []
    # Names alone: a line that leads out of the folder is none of ours.
    own = [name for name in marker.read_text().splitlines() if name.endswith(".yaml") and Path(name).name == name]
    foreign = [name for name in coming if name not in own and os.path.lexists(folder / name)]
    if foreign:
        raise NotOurs(f"{folder / foreign[0]} was not written by `--objects`; move it, or give another folder")
    return [folder / name for name in own]


def rules_told(plan: Plan) -> tuple[list[Verdict], str | None]:
    """Verdicts that a reader of a stack wants one by one, and a line for the rules of the program that hold."""
    told = [item for item in plan.verdicts if item.of == "stack" or item.verdict != "pass"]
    count = len(plan.verdicts) - len(told)
    return told, f"{count} rules on what the program itself makes hold" if count else None


def headline(plan: Plan) -> str:
    """One sentence: how much is made, how much is protected, what the rules say."""
    graph = plan.graph
    counts = Counter(verdict.verdict for verdict in plan.verdicts)
    allowed = sum(verdict.allowed is not None for verdict in plan.verdicts)
    of_which = f" ({allowed} allowed)" if allowed else ""
    made = [node for node in graph.creation if node.package != "pulumi"]
    protected = sum(node.protect for node in made)
    return (
        f"{len(made)} resources in {max(graph.waves.values(), default=0)} steps, {len(graph.objects)} Kubernetes objects, "
        f"{protected} resources protected; rules: {counts['pass']} hold, {counts['warn']} warn{of_which}, {counts['fail']} fail"
    )


def detail(node: Node) -> str:
    """What tells a resource apart from its siblings, in a few words."""
    inputs = node.inputs
    if "metadata" in inputs:
        metadata = inputs["metadata"] or {}
        return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    if node.type == "kubernetes:helm.sh/v3:Release":
        return f"{inputs.get('chart')} {inputs.get('version')} in {inputs.get('namespace')}"
    parts = [str(inputs[key]) for key in _KNOWN_AS if isinstance(inputs.get(key), str) and inputs[key] != UNKNOWN]
    return " ".join(parts[:2])


def _marks(node: Node) -> list[str]:
    return [
        word
        for word, holds in (
            ("protected", node.protect and node.custom),
            ("kept on destroy", node.retain_on_delete),
            ("assumed", node.assumed is not None),
        )
        if holds
    ]


# --- terminal ------------------------------------------------------------------------------------------------------


def print_text(plan: Plan, console: Any, *, verbose: bool = False) -> None:
    """The plan for a person: tree with steps, order of destruction, rules, assumptions, outputs."""
    from rich.markup import escape

    graph = plan.graph
    for text, style in summary.styled(summary.lines(plan, console.width)):
        console.print(escape(text), style=style or None, soft_wrap=True)
    console.print()
    for item in plan.verdicts:
        if item.verdict != "pass":
            colour = "bold red" if item.verdict == "fail" else "yellow"
            console.print(
                f"[{colour}]{item.verdict}[/] {escape(item.id)}: {escape(item.subject)}: {escape(item.message)}",
                soft_wrap=True,
            )
    if plan.to_fill_in:
        console.print("[bold yellow]To fill in[/] (the plan goes on without; `make preview` and `make up` refuse)")
        for item in plan.to_fill_in:
            console.print(f"  {escape(fill_in_line(item))}", soft_wrap=True)
        console.print()
    for line in block_lines(graph):
        console.print(escape(line), style="bold" if not line.startswith(" ") else None, soft_wrap=True)
    for line in (*models.lines(graph), *interruptions.lines(graph), *time.lines(graph)):
        console.print(escape(line), soft_wrap=True)
    console.print()
    for line in cost_told.lines(plan.cost):
        console.print(escape(line), style="bold" if not line.startswith(" ") else None, soft_wrap=True)
    _print_assumed(plan, console, escape)
    if verbose:
        _print_tree(plan, console, escape)
        _print_rest(plan, console, escape)
    else:
        console.print(
            "\n[dim]ARGS=--verbose adds the resource tree, the order of destruction, every rule and the outputs.[/dim]"
        )


def _print_tree(plan: Plan, console: Any, escape: Any) -> None:
    from rich.table import Table
    from rich.tree import Tree

    graph = plan.graph
    console.print(f"\n[bold]Resources[/bold]: {headline(plan)}")
    console.print(
        "[dim]Recorded from the program itself, offline. The number is the step in which a resource is made.[/dim]"
    )
    tree = Tree(f"[bold]{escape(plan.stack)}[/bold]", guide_style="dim")
    branches: dict[str | None, Any] = {None: tree}
    for node in graph:
        step = f"[cyan]{graph.waves[node.key]:>3}[/cyan] " if node.custom else ""
        colour = {"protected": "yellow", "assumed": "magenta", "kept on destroy": "yellow"}
        marks = "".join(f" [{colour[mark]}]{mark}[/]" for mark in _marks(node))
        name = escape(node.name)
        label = (
            f"{step}{escape(node.short_type)} [bold]{name}[/bold]"
            if node.custom
            else f"[bold blue]{escape(node.short_type)}[/] {name}"
        )
        text = escape(detail(node)) if node.custom else ""
        shown = f" [dim]{text}[/dim]" if text and text != node.name else ""
        branches[node.key] = branches.get(node.parent, tree).add(f"{label}{shown}{marks}")
    console.print(tree)
    console.print("\n[bold]Destroyed in this order[/bold] (components, most dependent first)")
    for number, line in enumerate(destroy_lines(graph), 1):
        console.print(f"  {number:>2}. {escape(line)}")
    table = Table(title="Rules", title_justify="left", title_style="bold", box=None, padding=(0, 1), show_header=False)
    table.add_column(width=4)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    style = {"pass": "green", "warn": "yellow", "fail": "bold red"}
    told, holding = rules_told(plan)
    for item in told:
        message = item.message if item.verdict == "pass" else f"{item.subject}: {item.told}"
        table.add_row(f"[{style[item.verdict]}]{item.verdict}[/]", escape(item.id), escape(message))
    if holding:
        table.add_row("[green]pass[/]", "the program", escape(holding))
    console.print()
    console.print(table)


def _print_assumed(plan: Plan, console: Any, escape: Any) -> None:
    if plan.assumptions:
        console.print("\n[bold magenta]Assumed[/] (nobody was asked)")
        for text in plan.assumptions:
            console.print(f"  - {escape(text)}", soft_wrap=False)


def _print_rest(plan: Plan, console: Any, escape: Any) -> None:
    console.print("\n[bold]Outputs[/bold]")
    for key, value, made_up in outputs(plan.graph):
        console.print(f"  {escape(key)} = {escape(value)}{f'  ({INVENTED})' if made_up else ''}")


def fill_in_line(item: ToFillIn) -> str:
    """One thing to fill in: where it stands, what belongs there and how to find it out."""
    return f"{item.key}: {item.text}  {item.meaning} ({item.find})"


def block_lines(graph: Graph) -> list[str]:
    """The window of every UltraServer, what is scaled when, and its nodes with what sits on them."""
    seen, pods = racks(graph), rack_pods(graph)
    placed, counts = layout(seen, pods), blocks.sizes(pods)
    lines: list[str] = []
    for rack in seen.values():
        lines.append(
            f"UltraServer {rack.name}: {rack.type} on {rack.reservation} in {rack.block.get('availabilityZoneId')}"
        )
        lines.append(f"  as of {moment(graph.at)}: {blocks.state(rack.window, graph.at)}")
        steps = blocks.timeline(rack)
        lines += [f"  {moment(step.at)}  {step.what}" for step in steps]
        if price := blocks.money(rack, graph.at):
            lines.append(
                f"  prepaid: about ${price['usdBlock']:,.0f} at the quoted ${price['usdPerHour']}/h, of which "
                f"${price['usdLeft']:,.0f} can still be used; what was paid is the offering's upfront fee"
            )
        per_node = rack.machine.gpus if rack.machine else 0
        lines.append(f"  {rack.nodes} nodes x {per_node} GPUs, {placed.free_gpus(rack.name)} of {rack.gpus} GPUs free")
        for node in placed.nodes[rack.name]:
            lines.append(f"   {node.index + 1:>3}  {blocks.cells(node, per_node)}   {blocks.describe(node, counts)}")
        if rack.phase(graph.at) is Phase.scheduled:
            out = [node for node in blocks.left_out(graph) if node.package != "pulumi"]
            lines.append(
                f"  before the start `make up` makes all but {len(out)} resources, which need its nodes: the verification "
                "ladder, graphs and smoke tests; run it again after the start"
            )
        lines.append("")
    lines += pool_block_lines(graph)
    for pod in placed.left:
        lines.append(f"no node has room for {pod.name} ({blocks.short(pod)})")
    return lines


def pool_block_lines(graph: Graph) -> list[str]:
    """The window of every Capacity Block of a pool, and what is left out before its start."""
    lines: list[str] = []
    for pool in pools(graph).values():
        for item in pool.blocks:
            lines.append(
                f"Capacity Block of pool {pool.name}: {item.count} {item.instance_type} on {item.id or 'its tags'} in {item.zone}"
            )
            lines.append(f"  as of {moment(graph.at)}: {blocks.state(item.window, graph.at)}")
            lines += [f"  {moment(step.at)}  {step.what}" for step in blocks.pool_timeline(pool, item)]
            if price := blocks.pool_money(item, graph.at):
                lines.append(
                    f"  prepaid: about ${price['usdBlock']:,.0f} at ${price['usdPerHour']:,.2f}/h, the rate since {SINCE}, of which "
                    f"${price['usdLeft']:,.0f} can still be used; what was paid is the offering's upfront fee"
                )
            lines.append("")
        if pool.name in blocks.waiting_for_pools(graph) and (
            out := [node for node in blocks.left_out(graph) if node.package != "pulumi"]
        ):
            lines[-1:] = [
                f"  before the start `make up` makes all but {len(out)} resources, which need its nodes: graphs and smoke tests; run it "
                "again after the start",
                "",
            ]
    return lines


def destroy_lines(graph: Graph) -> list[str]:
    """Order of destruction by component: each at the moment its last resource goes."""
    last: dict[str, int] = {}
    for position, node in enumerate(graph.destruction):
        if node.package == "pulumi":
            continue
        root = node
        while root.parent is not None:
            root = graph[root.parent]
        last[root.key] = position
    return [f"{graph[key].short_type} {graph[key].name}" for key in sorted(last, key=lambda key: last[key])]


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Outputs as dotted keys, sorted."""
    if isinstance(value, dict):
        return [pair for key in sorted(value) for pair in flat(value[key], f"{prefix}.{key}" if prefix else key)]
    return [(prefix, str(value))]


INVENTED = "invented: known after `make up`"
"""Beside an id that AWS gives and a plan makes up."""


def outputs(graph: Graph) -> list[tuple[str, str, bool]]:
    """Outputs as dotted keys, sorted, each with whether it holds an id that the plan made up."""
    invented = {str(node.id) for node in graph if node.custom and _ID.search(str(node.id))}
    return [
        (key, value, any(one in value for one in _ID.findall(value) if one in invented))
        for key, value in flat(graph.outputs)
    ]


_ID = re.compile(r"\b[a-z]+-[0-9a-f]{17}\b")

# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown(plan: Plan) -> str:
    """The plan for a pull request: what failed first, the rest folded away."""
    graph = plan.graph
    lines = [f"## Plan of `{plan.stack}`", "", headline(plan), ""]
    lines += [
        f"- **{row.label}** {_cell(row.text)}"
        for row in summary.rows(plan)
        if row.label not in ("fail", "warn", "plan")
    ]
    lines.append("")
    if plan.to_fill_in:
        lines += ["To fill in before anything can be made:", ""]
        lines += [f"- `{item.key}`: `{item.text}`, {item.meaning}" for item in plan.to_fill_in]
        lines.append("")
    if told := block_lines(graph):
        lines += ["```", *told, "```", ""]
    if told := [*models.lines(graph), *interruptions.lines(graph)]:
        lines += [*(f"- {line}" for line in told), ""]
    lines += ["```", *time.lines(graph), "```", ""]
    wrong = [item for item in plan.verdicts if item.verdict != "pass"]
    if wrong:
        lines += ["| | rule | subject | message |", "|---|---|---|---|"]
        lines += [f"| {item.verdict} | {item.id} | {_cell(item.subject)} | {_cell(item.told)} |" for item in wrong]
        lines.append("")
    held = [item for item in plan.verdicts if item.verdict == "pass"]
    lines += [
        "<details><summary>What stands where</summary>",
        "",
        "```mermaid",
        mermaid.topology(graph),
        "```",
        "",
        "</details>",
        "",
    ]
    if chart := mermaid.gantt(graph):
        lines += [
            "<details><summary>What takes how long</summary>",
            "",
            "```mermaid",
            chart,
            "```",
            "",
            "</details>",
            "",
        ]
    if told := cost_told.lines(plan.cost):
        lines += [
            f"<details><summary>Cost: {cost_told.headline(plan.cost)}</summary>",
            "",
            "```",
            *told,
            "```",
            "",
            "</details>",
            "",
        ]
    lines += [f"<details><summary>{len(held)} rules hold</summary>", ""]
    told, holding = rules_told(plan)
    lines += [f"- `{item.id}`: {item.message}" for item in told if item.verdict == "pass"]
    lines += [f"- {holding}"] if holding else []
    lines += ["", "</details>", "", f"<details><summary>{len(graph)} resources</summary>", ""]
    lines += ["| step | type | name | | |", "|---|---|---|---|---|"]
    for node in graph:
        step = graph.waves[node.key] if node.custom else ""
        lines.append(
            f"| {step} | {node.short_type} | {node.name} | {_cell(detail(node))} | {', '.join(_marks(node))} |"
        )
    lines += ["", "</details>", "", "<details><summary>Order of destruction</summary>", ""]
    lines += [f"{number}. {line}" for number, line in enumerate(destroy_lines(graph), 1)]
    lines += ["", "</details>", "", "<details><summary>Assumed</summary>", ""]
    lines += [f"- {text}" for text in plan.assumptions]
    lines += ["", "</details>", "", "<details><summary>Outputs</summary>", ""]
    lines += [f"- `{key}` = `{value}`{f' ({INVENTED})' if made_up else ''}" for key, value, made_up in outputs(graph)]
    return "\n".join([*lines, "", "</details>", ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
