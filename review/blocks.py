"""The window of every UltraServer in a plan: state, times in UTC, money, what is scaled when, and which pods sit where.

Pure: out of a recorded graph, for terminal, Markdown and JSON alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from components.capacity.ultraservers import TYPES
from components.capacity.window import Phase, moment
from components.dynamo.expected_pods import ExpectedPod
from recording.graph import Graph, Node
from recording.racks import Layout, NodePlan, SeenRack, gpus, layout, rack_pods, racks

JOB = "kubernetes:batch/v1:Job"
LADDER = "dynamo-eks:index:VerificationLadder"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens to a rack at a moment."""

    at: datetime
    what: str


def timeline(rack: SeenRack) -> list[Step]:
    """What happens to a rack and when, in order."""
    window = rack.window
    if window is None:
        return []
    steps = [Step(window.start, "the block starts")]
    for node in rack.schedules:
        at = datetime.fromisoformat(str(node.inputs.get("startTime")))
        desired = node.inputs.get("desiredCapacity")
        what = (
            f"the node group goes to {desired} nodes" if desired else f"{rack.nodes} nodes are drained and given back"
        )
        steps.append(Step(at, f"{what} (scheduled action {node.inputs.get('scheduledActionName')})"))
    steps.append(Step(window.reclaim_at, "EC2 takes what is left"))
    steps.append(Step(window.end, "the block ends"))
    return sorted(steps, key=lambda step: step.at)


def state(rack: SeenRack, now: datetime) -> str:
    """The state in words."""
    window = rack.window
    if window is None:
        return "dates not known"
    hours = window.usable_hours(now)
    days = (window.start - now) / timedelta(days=1)
    return {
        Phase.scheduled: f"not started, starts in {days:.1f} days; {hours:.1f} hours to use",
        Phase.active: f"active, {hours:.1f} hours left before the drain",
        Phase.ending: f"ending, {hours * 60:.0f} minutes left before the drain; start nothing new",
        Phase.drained: "drained: its nodes are going or gone, and none may be started",
        Phase.ended: "ended",
    }[window.phase(now)]


def money(rack: SeenRack, now: datetime) -> dict[str, float]:
    """Price of the block and of what is left of it, in US dollars at the quoted rate."""
    window, kind = rack.window, TYPES.get(rack.type)
    if window is None or kind is None:
        return {}
    left = max(timedelta(0), window.drain_at - max(now, window.start))
    whole = window.end - window.start
    return {
        "usdPerHour": kind.usd_per_hour,
        "usdBlock": round(kind.usd_per_hour * (whole / timedelta(hours=1)), 2),
        "usdLeft": round(kind.usd_per_hour * (left / timedelta(hours=1)), 2),
    }


def held(graph: Graph) -> list[Node]:
    """The first rung of every ladder whose rack has not started, or the graphs there without a ladder. `make up` leaves
    these out, and with them all that depends on them: a Job on a rack without nodes would only wait for its timeout."""
    waiting: list[Node] = []
    for name, rack in racks(graph).items():
        if rack.phase(graph.at) is not Phase.scheduled:
            continue
        rungs = [node for node in graph.of(JOB) if _of_ladder(graph, node, name)]
        if rungs:
            waiting.append(min(rungs, key=lambda node: (graph.waves[node.key], node.order)))
        else:
            waiting += [
                item.node
                for item in graph.objects_of("DynamoGraphDeployment")
                if rack.group.key in graph.requires(item.node.key)
            ]
    return list({node.key: node for node in waiting}.values())


def _of_ladder(graph: Graph, node: Node, rack: str) -> bool:
    parent = graph.by_key.get(str(node.parent))
    return parent is not None and parent.type == LADDER and parent.inputs.get("rack") == rack


def left_out(graph: Graph) -> list[Node]:
    """Everything that `make up` leaves out at this moment, in order of creation."""
    first = {node.key for node in held(graph)}
    return [node for node in graph.creation if node.key in first or first & graph.requires(node.key)]


def up_arguments(graph: Graph) -> list[str]:
    """Arguments of `pulumi up` that leave out what a rack's start is needed for."""
    urns = [node.urn for node in held(graph)]
    return [part for urn in urns for part in ("--exclude", urn)] + (["--exclude-dependents"] if urns else [])


def waiting_lines(graph: Graph) -> list[str]:
    """What to do about racks that have not started: a plain `pulumi up` would wait on them."""
    out = [node for node in left_out(graph) if node.package != "pulumi"]
    racks_to_come = [rack for rack in racks(graph).values() if rack.phase(graph.at) is Phase.scheduled]
    if not out or not racks_to_come:
        return []
    starts = ", ".join(f"{rack.name} starts at {moment(rack.window.start)}" for rack in racks_to_come if rack.window)
    return [
        f"{starts}; {len(out)} resources need its nodes and would wait for them. `make up STACK={graph.stack}` leaves them out "
        f"until then, and so does `pulumi up` with the arguments that `python -m review --stack {graph.stack} --format arguments` "
        "prints"
    ]


def short(pod: ExpectedPod) -> str:
    """A pod in a few words: graph, role, number, and its rank in a worker of several nodes."""
    return f"{pod.graph} {pod.component} {pod.replica}"


def describe(node: NodePlan, sizes: dict[tuple[str, str], int]) -> str:
    """What sits on a node."""
    told = []
    for pod in node.pods:
        nodes = sizes.get((pod.graph, pod.component), 1)
        part = ""
        if nodes > 1:
            part = f" node {pod.rank + 1} of {nodes}{' (leader)' if pod.leader else ''}"
        told.append(f"{short(pod)}{part}")
    return ", ".join(told) or "free"


def sizes(pods: list[ExpectedPod]) -> dict[tuple[str, str], int]:
    """Nodes of one worker by graph and component."""
    found: dict[tuple[str, str], int] = {}
    for pod in pods:
        key = (pod.graph, pod.component)
        found[key] = max(found.get(key, 1), pod.rank + 1)
    return found


def cells(node: NodePlan, per_node: int) -> str:
    """A node's GPUs: the first letter of the component that has each, a dot for a free one."""
    taken = "".join(pod.component[0].upper() * gpus(pod) for pod in node.pods)
    return " ".join((taken + "." * per_node)[:per_node])


def as_json(graph: Graph) -> list[dict[str, Any]]:
    """The machine contract's `blocks`: one entry for each UltraServer; see docs/plan.md."""
    seen, pods = racks(graph), rack_pods(graph)
    placed, counts = layout(seen, pods), sizes(pods)
    return [_entry(graph, rack, placed, counts) for rack in seen.values()]


def _entry(graph: Graph, rack: SeenRack, placed: Layout, counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    window, phase = rack.window, rack.phase(graph.at)
    return {
        "name": rack.name,
        "reservation": rack.reservation,
        "type": rack.type,
        "zone": rack.block.get("availabilityZoneId"),
        "at": moment(graph.at),
        "state": phase.value if phase else None,
        "start": moment(window.start) if window else None,
        "drain": moment(window.drain_at) if window else None,
        "reclaim": moment(window.reclaim_at) if window else None,
        "end": moment(window.end) if window else None,
        "hoursLeft": round(window.usable_hours(graph.at), 2) if window else None,
        **money(rack, graph.at),
        "timeline": [{"at": moment(step.at), "what": step.what} for step in timeline(rack)],
        "nodes": [
            {
                "node": node.index + 1,
                "freeGpus": node.free_gpus,
                "pods": [{"name": pod.name, "gpus": gpus(pod)} for pod in node.pods],
                "holds": describe(node, counts),
            }
            for node in placed.nodes[rack.name]
        ],
        "freeGpus": placed.free_gpus(rack.name),
        "gpus": rack.gpus,
        "leftOut": [node.key for node in left_out(graph)] if phase is Phase.scheduled else [],
    }
