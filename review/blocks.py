"""The window of every UltraServer and of every pool's Capacity Block in a plan: state, times in UTC, money, what is scaled when, and which pods sit where.

Pure: out of a recorded graph, for terminal, Markdown and JSON alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from components.capacity.block_prices import USD_PER_HOUR
from components.capacity.succession import most, rooms
from components.capacity.ultraservers import TYPES
from components.capacity.window import Phase, Window, moment
from components.dynamo.expected_pods import ExpectedPod, fits
from recording.graph import Graph, KubernetesObject, Node
from recording.pool_blocks import POOL, RESERVED, SeenPool, SeenReservation, pools
from recording.racks import Layout, NodePlan, SeenRack, gpus, layout, rack_pods, racks
from rules.graphs import candidates, pools_of
from rules.idle import by_component, nodes_taken

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


def state(window: Window | None, now: datetime) -> str:
    """The state of a block in words."""
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
    return _money(kind.usd_per_hour, window, now) if kind and window else {}


def _money(usd_per_hour: float, window: Window, now: datetime) -> dict[str, float]:
    left = max(timedelta(0), window.drain_at - max(now, window.start))
    whole = window.end - window.start
    return {
        "usdPerHour": round(usd_per_hour, 3),
        "usdBlock": round(usd_per_hour * (whole / timedelta(hours=1)), 2),
        "usdLeft": round(usd_per_hour * (left / timedelta(hours=1)), 2),
    }


def held(graph: Graph) -> list[Node]:
    """The first rung of every ladder whose rack has not started, or the graphs there without a ladder. `make up` leaves
    these out, and with them all that depends on them: a Job on a rack without nodes would only wait for its timeout."""
    waiting: list[Node] = []
    for name, rack in racks(graph).items():
        if rack.phase(graph.at) is not Phase.scheduled:
            continue
        waiting += first_on_rack(graph, name, rack)
    waiting += [node for nodes in waiting_for_pools(graph).values() for node in nodes]
    return list({node.key: node for node in waiting}.values())


def first_on_rack(graph: Graph, name: str, rack: SeenRack) -> list[Node]:
    """The first rung of a rack's ladder, or the graphs there without a ladder: what needs its nodes before all else does."""
    rungs = [node for node in graph.of(JOB) if _of_ladder(graph, node, name)]
    if rungs:
        return [min(rungs, key=lambda node: (graph.waves[node.key], node.order))]
    found = graph.objects_of("DynamoGraphDeployment")
    return [item.node for item in found if rack.group.key in graph.requires(item.node.key)]


def waiting_for_pools(graph: Graph) -> dict[str, list[Node]]:
    """Graphs by pool that reserved machines alone may run, that have too few of these now, and enough when a block has started."""
    launching = pools_of(graph)
    found: dict[str, list[Node]] = {}
    for pool in pools(graph).values():
        if pool.next_start(graph.at) is None:
            continue
        for item in graph.objects_of("DynamoGraphDeployment"):
            if not runs_only_on(item, pool):
                continue
            parts = [pods for pods in by_component(item).values() if pods[0].node_selector.get(POOL) == pool.name]
            fitting = [choice for choice in candidates(parts[0][0], launching) if fits(parts[0][0], choice) is None]
            if not fitting:
                continue
            needed, there = nodes_taken(parts, fitting[0]), pool.machines(fitting[0].type, graph.at)
            if there < needed <= most(rooms(pool.reservations, fitting[0].type)):
                found.setdefault(pool.name, []).append(item.node)
    return found


def runs_only_on(item: KubernetesObject, pool: SeenPool) -> bool:
    """Whether a graph has workers on a pool that may be on its reserved machines alone."""
    selectors = [
        part.get("podTemplate", {}).get("spec", {}).get("nodeSelector", {})
        for part in item.manifest["spec"]["components"]
    ]
    on_it = [selector for selector in selectors if selector.get(POOL) == pool.name]
    return any(not pool.fallback or RESERVED.items() <= selector.items() for selector in on_it)


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
    to_come = [
        (rack.name, rack.window.start)
        for rack in racks(graph).values()
        if rack.window and rack.phase(graph.at) is Phase.scheduled
    ]
    drawn = pools(graph)
    to_come += [
        (f"the block of pool {name}", start)
        for name in waiting_for_pools(graph)
        if (start := drawn[name].next_start(graph.at))
    ]
    if not out or not to_come:
        return []
    starts = ", ".join(f"{name} starts at {moment(start)}" for name, start in to_come)
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
    """The machine contract's `blocks`: one entry for each UltraServer and for each Capacity Block of a pool; see docs/plan.md."""
    seen, pods = racks(graph), rack_pods(graph)
    placed, counts = layout(seen, pods), sizes(pods)
    entries = [_entry(graph, rack, placed, counts) for rack in seen.values()]
    return entries + [_of_pool(graph, pool, item) for pool in pools(graph).values() for item in pool.blocks]


def _of_pool(graph: Graph, pool: SeenPool, item: SeenReservation) -> dict[str, Any]:
    window = item.window
    return {
        "name": pool.name,
        "of": "pool",
        "reservation": item.id,
        "type": item.instance_type,
        "count": item.count,
        "zone": item.zone,
        "at": moment(graph.at),
        **_times(window, graph.at),
        "end": item.end and moment(item.end),
        **pool_money(item, graph.at),
        "timeline": [{"at": moment(step.at), "what": step.what} for step in pool_timeline(pool, item)],
        "gpus": item.gpus,
        "leftOut": [node.key for node in left_out(graph)] if pool.name in waiting_for_pools(graph) else [],
    }


def _times(window: Window | None, now: datetime) -> dict[str, Any]:
    """State and moments of a window; null where it is not known."""
    return {
        "state": window.phase(now).value if window else None,
        "start": moment(window.start) if window else None,
        "drain": moment(window.drain_at) if window else None,
        "reclaim": moment(window.reclaim_at) if window else None,
        "end": moment(window.end) if window else None,
        "hoursLeft": round(window.usable_hours(now), 2) if window else None,
    }


def pool_timeline(pool: SeenPool, item: SeenReservation) -> list[Step]:
    """What happens to a block of a pool and when, in order."""
    window = item.window
    if window is None:
        return []
    fallback = f", and its graphs run on {' or '.join(pool.fallback)} capacity" if pool.fallback else ""
    return [
        Step(window.start, f"the block starts: {item.count} {item.instance_type} can be launched"),
        Step(window.drain_at, f"Karpenter drains its nodes{fallback}"),
        Step(window.reclaim_at, "EC2 takes what is left"),
        Step(window.end, "the block ends"),
    ]


def pool_money(item: SeenReservation, now: datetime) -> dict[str, float]:
    """Price of a pool's block and of what is left of it, in US dollars at the rate of block_prices.SINCE."""
    rate, window = USD_PER_HOUR.get(item.instance_type), item.window
    return _money(rate * item.count, window, now) if rate and window else {}


def _entry(graph: Graph, rack: SeenRack, placed: Layout, counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    window, phase = rack.window, rack.phase(graph.at)
    return {
        "name": rack.name,
        "of": "ultraServer",
        "reservation": rack.reservation,
        "type": rack.type,
        "zone": rack.block.get("availabilityZoneId"),
        "at": moment(graph.at),
        **_times(window, graph.at),
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
