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
from typing import Any

from components.capacity import instances
from components.capacity.instances import Instance, allocatable
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK, TYPES
from components.capacity.window import Phase, Window
from components.dynamo.compute_domain import GROVE_GROUP
from components.dynamo.expected_pods import ExpectedPod, expected_pods
from components.dynamo.manifest import EFA, HUGE_PAGES
from recording.graph import UNKNOWN, Graph, Node

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
        return next((_moment(node.inputs.get("startTime")) for node in down), None)

    @property
    def window(self) -> Window | None:
        """The block's window; None while dates or drain are not known."""
        start, end, drain = self.start, self.end, self.drain
        if not (start and end and drain):
            return None
        try:
            return Window(start=start, end=end, drain_minutes=(end - drain) // timedelta(minutes=1))
        except ValueError:
            return None

    def phase(self, now: datetime) -> Phase | None:
        return self.window.phase(now) if self.window else None


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def racks(graph: Graph) -> dict[str, SeenRack]:
    """UltraServers by name, in order of registration."""
    blocks = {str(read.arguments.get("id")): read.answer for read in graph.reads if read.token == BLOCK_READ}
    found = {}
    for group in graph.of(NODE_GROUP):
        labels = group.inputs.get("labels") or {}
        # By its label too: a group that lost its capacity type must not get out of every rule by it.
        if group.inputs.get("capacityType") != "CAPACITY_BLOCK" and RACK_LABEL not in labels:
            continue
        siblings = graph.children(group.parent)
        template = next((node for node in siblings if node.type == TEMPLATE and node.name == group.name), None)
        reservation = _reservation(template)
        name = str(labels.get(RACK_LABEL, group.name))
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
    return str((specification.get("capacityReservationTarget") or {}).get("capacityReservationId") or "")


def huge_pages_mib(template: Node | None) -> int:
    """2 MiB pages that a template's user data sets aside, in MiB."""
    data = template.inputs.get("userData") if template else None
    if not isinstance(data, str) or data == UNKNOWN:
        return 0
    match = re.search(r"^echo (\d+) > \S*hugepages-2048kB/nr_hugepages$", base64.b64decode(data).decode(), re.MULTILINE)
    return int(match[1]) * 2 if match else 0


def _machine(template: Node | None) -> Instance | None:
    if template is None:
        return None
    type_ = str(template.inputs.get("instanceType"))
    if not instances.known(type_):
        return None
    known = instances.instance(type_)
    efa = sum("efa" in str(item.get("interfaceType")) for item in template.inputs.get("networkInterfaces") or ())
    return dataclasses.replace(known, efa=efa, memory_mib=known.memory_mib - huge_pages_mib(template))


def domain_pods(manifest: Mapping[str, Any]) -> list[ExpectedPod]:
    """Expected pods of a graph, with the claims that Grove adds to them where it makes the domain itself."""
    groups = {
        component["name"]: group
        for component in manifest["spec"]["components"]
        if (group := _annotations(component).get(GROVE_GROUP))
    }
    return [
        dataclasses.replace(pod, resource_claims=(*pod.resource_claims, f"{groups[pod.component]} (by Grove)"))
        if pod.component in groups
        else pod
        for pod in expected_pods(manifest)
    ]


def _annotations(component: Mapping[str, Any]) -> Mapping[str, str]:
    return component.get("podTemplate", {}).get("metadata", {}).get("annotations", {})


def rack_pods(graph: Graph) -> list[ExpectedPod]:
    """Expected pods of graphs that run on UltraServers, those with GPUs first."""
    pods = [pod for item in graph.objects_of("DynamoGraphDeployment") for pod in domain_pods(item.manifest)]
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
    free_efa: int
    free_cpu_milli: int
    free_memory_mib: int
    free_huge_pages_mib: int
    pods: list[ExpectedPod] = field(default_factory=list)

    def has_room(self, pod: ExpectedPod) -> bool:
        """Whether the pod fits beside those that are there. A node has one ComputeDomain channel: a second pod with a claim
        does not start."""
        if pod.resource_claims and any(other.resource_claims for other in self.pods):
            return False
        return all(wanted <= getattr(self, kind) for kind, wanted in needs(pod).items())

    def put(self, pod: ExpectedPod) -> None:
        for kind, wanted in needs(pod).items():
            setattr(self, kind, getattr(self, kind) - wanted)
        self.pods.append(pod)


def needs(pod: ExpectedPod) -> dict[str, int]:
    """What a pod takes of a node, under the names of NodePlan."""
    return {
        "free_gpus": gpus(pod),
        "free_efa": int(pod.requests.get(EFA, 0)),
        "free_cpu_milli": pod.cpu_milli,
        "free_memory_mib": pod.memory_mib,
        "free_huge_pages_mib": int(pod.requests.get(HUGE_PAGES, "0").removesuffix("Mi")),
    }


def empty_node(rack: SeenRack, index: int = 0) -> NodePlan:
    """A node of a rack before anything is on it."""
    if rack.machine is None:
        return NodePlan(rack.name, index, 0, 0, 0, 0, 0)
    cpu, memory = allocatable(rack.machine)
    return NodePlan(rack.name, index, rack.machine.gpus, rack.machine.efa, cpu, memory, huge_pages_mib(rack.template))


@dataclass
class Layout:
    """Where pods are expected to sit."""

    nodes: dict[str, list[NodePlan]]
    """Nodes by rack."""
    left: list[ExpectedPod]
    """Pods that no node has room for."""

    def free_gpus(self, rack: str) -> int:
        return sum(node.free_gpus for node in self.nodes[rack])

    def domains(self, rack: str) -> set[tuple[str, str]]:
        """ComputeDomains that pods on a rack claim channels of, by namespace and claim template."""
        return {(pod.namespace, name) for node in self.nodes[rack] for pod in node.pods for name in pod.resource_claims}


def layout(seen: Mapping[str, SeenRack], pods: Sequence[ExpectedPod]) -> Layout:
    """Pods onto nodes, the larger ones first: those that name their rack, then graphs that take any, each whole onto the rack
    with the least room that holds it and no other domain. A scheduler may choose other nodes of the rack; how many are free
    is the same."""
    result = Layout({name: [empty_node(rack, index) for index in range(rack.nodes)] for name, rack in seen.items()}, [])
    ordered = sorted(pods, key=lambda pod: -gpus(pod))
    anywhere: dict[str, list[ExpectedPod]] = {}
    for pod in ordered:
        if name := pod.node_selector.get(RACK_LABEL):
            if not _put(result.nodes.get(name, []), pod):
                result.left.append(pod)
        else:
            anywhere.setdefault(f"{pod.namespace}/{pod.graph}", []).append(pod)
    for group in sorted(anywhere.values(), key=lambda found: -sum(gpus(pod) for pod in found)):
        chosen = _rack_for(result, group)
        if chosen is None:
            result.left += group
        else:
            result.nodes[chosen.rack] = chosen.nodes
    return result


@dataclass(frozen=True)
class _Tried:
    rack: str
    nodes: list[NodePlan]


def _rack_for(result: Layout, group: Sequence[ExpectedPod]) -> _Tried | None:
    """The rack for a whole graph, with the graph on it. One with another domain only where there is no other: a rule says
    then what is wrong with it."""
    fitting = []
    for name in sorted(result.nodes, key=result.free_gpus):
        nodes = [dataclasses.replace(node, pods=list(node.pods)) for node in result.nodes[name]]
        if all(_put(nodes, pod) for pod in group):
            fitting.append(_Tried(name, nodes))
    claims = {(pod.namespace, name) for pod in group for name in pod.resource_claims}
    alone = [tried for tried in fitting if not claims or result.domains(tried.rack) <= claims]
    return next(iter(alone or fitting), None)


def _put(nodes: Sequence[NodePlan], pod: ExpectedPod) -> bool:
    room = [node for node in nodes if node.has_room(pod)]
    if not gpus(pod):
        # Frontends spread: one to a node, as long as there are nodes.
        room.sort(key=lambda node: sum(not gpus(other) for other in node.pods))
    if not room:
        return False
    room[0].put(pod)
    return True
