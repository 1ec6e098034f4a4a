"""Pictures of a plan for a pull request, as Mermaid: what stands where, and what takes how long. Pure.

GitHub draws at most 50,000 characters of a diagram, and what is longer it replaces by a picture that says so, without an error; a topology of
more than some sixty nodes is read by nobody. So replicas are one node, and graphs beyond a number are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from components.dynamo.expected_pods import ExpectedPod, expected_pods
from components.dynamo.manifest import GPU
from recording.graph import Graph, KubernetesObject
from recording.racks import RACK_LABEL, RACK_MARK, racks
from review import cost, time
from rules.graphs import POOL, graphs, pools_of

MOST_NODES, MOST_CHARACTERS = 60, 50_000

MOST_BARS = 20
"""Of a gantt chart: more are lines of a pixel."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A pool or rack that pods run on."""

    id: str
    label: str


def _id(*words: str) -> str:
    """A name that Mermaid takes. No two different ones become one: what is replaced is spelled by its number."""
    return "n_" + "_".join(re.sub(r"[^A-Za-z0-9]", lambda found: f"x{ord(found[0]):x}", word) for word in words)


def _label(text: str) -> str:
    """Text of a node: quotes and brackets would end it."""
    return re.sub(r'["<>{}\[\]`|#;]', " ", text)


def topology(graph: Graph) -> str:
    """Graphs with their roles, on pools and racks, with what lies between them and their clients; a `flowchart`."""
    lines = ["flowchart LR"]
    places = _places(graph)
    every = graphs(graph)
    shown: list[KubernetesObject] = []
    room = MOST_NODES - len(places) - 6
    for item in every:
        needed = len(_roles(item)) + 1
        if needed > room:
            break
        shown.append(item)
        room -= needed
    lines += [f'  {_id("clients")}(["clients"])']
    if places:
        lines += [f'  subgraph {_id("machines")}["machines"]']
        lines += [f'    {place.id}["{_label(place.label)}"]' for place in places.values()]
        lines.append("  end")
    stored = [(repository, size) for _, repository, size in cost.cached(graph)]
    if stored and graph.of("aws:efs/fileSystem:FileSystem"):
        names = ", ".join(dict.fromkeys(repository for repository, _ in stored))
        lines.append(f'  {_id("efs")}[("EFS: {_label(names[:120])}")]')
    for item in shown:
        lines += _graph(graph, item, places)
    if left := len(every) - len(shown):
        lines.append(f'  {_id("more")}["and {left} more graphs"]')
    return "\n".join(lines)


def _places(graph: Graph) -> dict[str, _Place]:
    found = {}
    for name, pool in pools_of(graph).items():
        wants = {
            item["key"]: item.get("values", ()) for item in pool["spec"]["template"]["spec"].get("requirements", ())
        }
        kinds = wants.get("node.kubernetes.io/instance-type") or wants.get("eks.amazonaws.com/instance-family") or ()
        limit = (pool["spec"].get("limits") or {}).get(GPU)
        found[f"pool {name}"] = _Place(_id("pool", name), f"pool {name}: {', '.join(kinds)[:60]}, at most {limit} GPUs")
    for name, rack in racks(graph).items():
        found[f"rack {name}"] = _Place(
            _id("rack", name), f"rack {name}: {rack.type}, {rack.nodes} nodes, {rack.gpus} GPUs"
        )
    # What a stack with hundreds of pools has is a list and no picture.
    return dict(list(found.items())[:20])


def _roles(item: KubernetesObject) -> dict[str, list[ExpectedPod]]:
    roles: dict[str, list[ExpectedPod]] = {}
    for pod in expected_pods(item.manifest):
        roles.setdefault(pod.component, []).append(pod)
    return roles


def _graph(graph: Graph, item: KubernetesObject, places: dict[str, _Place]) -> Iterator[str]:
    roles, name = _roles(item), f"{item.namespace}/{item.name}"
    yield f'  subgraph {_id("graph", name)}["{_label(name)}"]'
    for role, pods in roles.items():
        gpus = sum(int(pod.requests.get(GPU, 0)) for pod in pods)
        many = f" x{len(pods)}" if len(pods) > 1 else ""
        yield f'    {_id("role", name, role)}["{_label(role)}{many}{f", {gpus} GPUs" if gpus else ""}"]'
    yield "  end"
    front = [role for role, pods in roles.items() if pods[0].type == "frontend"]
    balancers = [
        one
        for one in graph.objects_of("Service")
        if one.name == f"{item.name}-frontend-nlb" and one.namespace == item.namespace
    ]
    for role in front:
        yield f"  {_id('clients')} -->{'|NLB|' if balancers else ''} {_id('role', name, role)}"
        for other in roles:
            if other != role:
                yield f"  {_id('role', name, role)} --> {_id('role', name, other)}"
    for role, pods in roles.items():
        place = places.get(_place_of(graph, pods[0]))
        if place is not None:
            yield f"  {_id('role', name, role)} -.- {place.id}"


def _place_of(graph: Graph, pod: ExpectedPod) -> str:
    if POOL in pod.node_selector:
        return f"pool {pod.node_selector[POOL]}"
    if RACK_LABEL in pod.node_selector:
        return f"rack {pod.node_selector[RACK_LABEL]}"
    if RACK_MARK in pod.node_selector and (seen := racks(graph)):
        return f"rack {next(iter(seen))}"
    return ""


def gantt(graph: Graph) -> str:
    """What decides when the first graph answers, with medians, by stage; empty where nothing takes time."""
    found = time.timeline(graph)
    longest = sorted(found.critical, key=found.took, reverse=True)[:MOST_BARS]
    bars = [step for step in found.critical if step in longest and found.took(step) >= 1]
    if not bars:
        return ""
    lines = [
        "gantt",
        "  dateFormat X",
        "  axisFormat %H:%M",
        "  title From nothing to the first token (hours and minutes, medians)",
    ]
    stage = ""
    for number, step in enumerate(bars):
        if step.stage != stage:
            stage = step.stage
            lines.append(f"  section {_plain(stage)}")
        start, end = (round(found.median.start[step.key]), round(found.median.end[step.key]))
        lines.append(f"  {_plain(step.what)[:60]} :crit, b{number}, {start}, {max(end, start + 1)}")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A title of a bar: a colon ends it, a comma and a semicolon divide."""
    return re.sub(r"[^A-Za-z0-9 ./()-]", " ", text).strip() or "step"
