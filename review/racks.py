"""UltraServers of a recorded graph: what their nodes are, when they come and go, and which pods sit on which of them.

Pure data out of the recording, for rules and report alike: both judge what was registered, not what the settings meant.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from components.capacity import instances
from components.capacity.instances import Instance
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK, TYPES
from components.capacity.window import Phase, Window
from components.dynamo.expected_pods import ExpectedPod, expected_pods
from review.graph import UNKNOWN, Graph, Node

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
SCHEDULE = "aws:autoscaling/schedule:Schedule"
BLOCK_READ = "aws:ec2/getCapacityBlockReservation:getCapacityBlockReservation"


@dataclass(frozen=True)
class SeenRack:
    """One UltraServer as the program registered it."""

    name: str
    group: Node
    """Its managed node group."""
    template: Node | None
    """Launch template of the node group."""
    schedules: tuple[Node, ...]
    nodes: int
    """Most nodes of the group."""
    machine: Instance | None
    """One node, with the EFA interfaces of its template and without its huge pages; None for a type nobody knows."""
    reservation: str
    block: Mapping[str, object] = field(default_factory=dict)
    """What EC2 said of the reservation: state, startDate, endDate."""

    @property
    def type(self) -> str:
        """UltraServer type by its count of nodes; empty where there is none with so many."""
        return next((name for name, item in TYPES.items() if item.nodes == self.nodes), "")

    @property
    def gpus(self) -> int:
        return self.nodes * (self.machine.gpus if self.machine else 0)

    @property
    def start(self) -> datetime | None:
        return _moment(self.block.get("startDate"))

    @property
    def end(self) -> datetime | None:
        return _moment(self.block.get("endDate"))

    @property
    def drain(self) -> datetime | None:
        """When the scheduled action that takes the nodes away runs; None without one."""
        down = [node for node in self.schedules if node.inputs.get("desiredCapacity") == 0]
        return _moment(down[0].inputs.get("startTime")) if down else None

    @property
    def window(self) -> Window | None:
        """The block's window; None while dates or drain are not known."""
        if self.start is None or self.end is None or self.drain is None:
            return None
        try:
            return Window(
                start=self.start, end=self.end, drain_minutes=int((self.end - self.drain) / timedelta(minutes=1))
            )
        except ValueError:
            return None

    def phase(self, now: datetime) -> Phase | None:
        return self.window.phase(now) if self.window else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or value == UNKNOWN:
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None


def racks(graph: Graph) -> dict[str, SeenRack]:
    """UltraServers by name, in order of registration."""
    blocks = {str(read.arguments.get("id")): read.answer for read in graph.reads if read.token == BLOCK_READ}
    found = {}
    for group in graph.of(NODE_GROUP):
        if group.inputs.get("capacityType") != "CAPACITY_BLOCK":
            continue
        siblings = graph.children(group.parent)
        template = next((node for node in siblings if node.type == TEMPLATE and node.name == group.name), None)
        reservation = _reservation(template)
        name = str((group.inputs.get("labels") or {}).get(RACK_LABEL, group.name))
        found[name] = SeenRack(
            name=name,
            group=group,
            template=template,
            schedules=tuple(node for node in siblings if node.type == SCHEDULE and node.name.startswith(group.name)),
            nodes=int((group.inputs.get("scalingConfig") or {}).get("maxSize") or 0),
            machine=_machine(template),
            reservation=reservation,
            block=blocks.get(reservation, {}),
        )
    return found


def _reservation(template: Node | None) -> str:
    specification = (template.inputs.get("capacityReservationSpecification") or {}) if template else {}
    return str((specification.get("capacityReservationTarget") or {}).get("capacityReservationId", ""))


def huge_pages_mib(template: Node | None) -> int:
    """2 MiB pages that a template's user data sets aside, in MiB."""
    data = template.inputs.get("userData") if template else None
    if not isinstance(data, str) or data == UNKNOWN:
        return 0
    match = re.search(r"^echo (\d+) > \S*hugepages-2048kB/nr_hugepages$", base64.b64decode(data).decode(), re.MULTILINE)
    return int(match[1]) * 2 if match else 0


def _machine(template: Node | None) -> Instance | None:
    type_ = str(template.inputs.get("instanceType", "")) if template else ""
    if template is None or not instances.known(type_):
        return None
    known = instances.instance(type_)
    efa = sum("efa" in str(item.get("interfaceType")) for item in template.inputs.get("networkInterfaces") or ())
    return dataclasses.replace(known, efa=efa, memory_mib=known.memory_mib - huge_pages_mib(template))


def rack_pods(graph: Graph) -> list[ExpectedPod]:
    """Expected pods of graphs that run on UltraServers, those with GPUs first."""
    pods = [pod for item in graph.objects_of("DynamoGraphDeployment") for pod in expected_pods(item.manifest)]
    there = [pod for pod in pods if RACK_LABEL in pod.node_selector or RACK_MARK in pod.node_selector]
    return sorted(there, key=lambda pod: not gpus(pod))


def gpus(pod: ExpectedPod) -> int:
    return int(pod.requests.get("nvidia.com/gpu", 0))


@dataclass
class NodePlan:
    """One node of a rack and what is expected to sit on it."""

    rack: str
    index: int
    free_gpus: int
    pods: list[ExpectedPod] = field(default_factory=list)


@dataclass
class Layout:
    """Where pods are expected to sit."""

    nodes: dict[str, list[NodePlan]]
    """Nodes by rack."""
    left: list[ExpectedPod]
    """Pods that no node has room for."""

    def free_gpus(self, rack: str) -> int:
        return sum(node.free_gpus for node in self.nodes[rack])


def layout(seen: Mapping[str, SeenRack], pods: Sequence[ExpectedPod]) -> Layout:
    """Pods onto nodes: those that name their rack first, then graphs that take any, each whole onto the rack with the least
    room that holds it. A scheduler may choose other nodes of the rack; how many are free is the same."""
    nodes = {
        name: [NodePlan(name, index, rack.machine.gpus if rack.machine else 0) for index in range(rack.nodes)]
        for name, rack in seen.items()
    }
    result = Layout(nodes, [])
    for pod in pods:
        if name := pod.node_selector.get(RACK_LABEL):
            _put(result, nodes.get(name, []), pod)
    anywhere: dict[str, list[ExpectedPod]] = {}
    for pod in pods:
        if RACK_LABEL not in pod.node_selector:
            anywhere.setdefault(f"{pod.namespace}/{pod.graph}", []).append(pod)
    for group in sorted(anywhere.values(), key=lambda found: -sum(gpus(pod) for pod in found)):
        wanted = sum(gpus(pod) for pod in group)
        fitting = [name for name in nodes if result.free_gpus(name) >= wanted]
        chosen = min(fitting, key=result.free_gpus, default=None)
        for pod in group:
            _put(result, nodes[chosen] if chosen else [], pod)
    return result


def _put(result: Layout, nodes: Sequence[NodePlan], pod: ExpectedPod) -> None:
    wanted = gpus(pod)
    if not wanted:
        # Frontends spread: one to a node, as long as there are nodes.
        place = min(nodes, key=lambda node: sum(not gpus(other) for other in node.pods), default=None)
    else:
        place = next((node for node in nodes if node.free_gpus >= wanted and not _channel_taken(node, pod)), None)
    if place is None:
        result.left.append(pod)
        return
    place.free_gpus -= wanted
    place.pods.append(pod)


def _channel_taken(node: NodePlan, pod: ExpectedPod) -> bool:
    """A node has one ComputeDomain channel: a second pod with a claim does not start there."""
    return bool(pod.resource_claims) and any(other.resource_claims for other in node.pods)
