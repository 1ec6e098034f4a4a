"""The pods that the operator will make of a graph: count, requests, selectors, affinity, tolerations, claims. Pure.

Follows what the v1beta1 operator merges into the `main` container and puts on pods (Dynamo operator,
`internal/dynamo`). Rules, cost and the scheduler tests ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..capacity.instances import Instance, allocatable
from .interruption import COMPONENT_LABEL, GRAPH_LABEL
from .manifest import EFA, GPU, HUGE_PAGES, ROOM
from .quantities import mib, milli


@dataclass(frozen=True, slots=True)
class ExpectedPod:
    """One pod of a graph."""

    name: str
    graph: str
    namespace: str
    component: str
    type: str
    index: int
    labels: Mapping[str, str]
    requests: Mapping[str, str]
    """Sums over containers, as Kubernetes counts them; limits stand in where a request is not given."""
    cpu_milli: int
    memory_mib: int
    node_selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Mapping[str, Any] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    claims: tuple[str, ...] = ()
    """PersistentVolumeClaims it mounts."""
    resource_claims: tuple[str, ...] = ()
    """ResourceClaimTemplates that its claims are made from, such as a ComputeDomain's channel."""
    image: str = ""
    shared_memory_mib: int = 0
    """Most that /dev/shm may hold; it counts against the memory."""
    replica: int = 0
    """Number of the worker it belongs to; a worker of several nodes has several pods."""
    rank: int = 0
    """0 for the leader of a worker, or for its only pod."""
    gang: str | None = None
    """Pods with the same gang are placed together or not at all; None without a gang scheduler."""

    @property
    def leader(self) -> bool:
        return self.rank == 0

    def avoids(self, other: ExpectedPod) -> bool:
        """Whether a required anti-affinity keeps the two off one node."""
        terms = self.affinity.get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", ())
        return any(
            term["topologyKey"] == "kubernetes.io/hostname"
            and term["labelSelector"]["matchLabels"].items() <= dict(other.labels).items()
            for term in terms
        )


def expected_pods(graph: Mapping[str, Any]) -> tuple[ExpectedPod, ...]:
    """Every pod of a DynamoGraphDeployment: components in order, in each its workers, in each the leader first.

    Under Grove a worker of several nodes is a scaling group with one leader clique (`<component>-ldr`) and one clique of
    the others (`<component>-wkr`), all from the same pod template.
    """
    metadata, spec = graph["metadata"], graph["spec"]
    grove = metadata.get("annotations", {}).get("nvidia.com/enable-grove") != "false"
    return tuple(
        _pod(metadata, component, replica, rank, grove)
        for component in spec["components"]
        for replica in range(_replicas(metadata, component))
        for rank in range(_nodes(component))
    )


def _replicas(metadata: Mapping[str, Any], component: Mapping[str, Any]) -> int:
    """What the graph asks for; of a component that others scale, what room is planned for."""
    room = dict(item.split("=") for item in metadata.get("annotations", {}).get(ROOM, "").split(",") if item)
    return component.get("replicas", int(room.get(component["name"], 1)))


def _nodes(component: Mapping[str, Any]) -> int:
    """Nodes of one worker; the CRD's default is for components that ask for several at all."""
    return component["multinode"].get("nodeCount", 2) if "multinode" in component else 1


def pod_name(graph: str, component: str, replica: int, rank: int, nodes: int, grove: bool) -> str:
    """Name of a pod without its random part: Grove's naming guide and the Dynamo operator's cliques, or a plain count."""
    component = component.lower()
    if not grove:
        return f"{graph}-{component}-{replica}"
    if nodes == 1:
        return f"{graph}-0-{component}-{replica}"
    clique = f"{component}-ldr-0" if rank == 0 else f"{component}-wkr-{rank - 1}"
    return f"{graph}-0-{component}-{replica}-{clique}"


def _pod(
    metadata: Mapping[str, Any], component: Mapping[str, Any], replica: int, rank: int, grove: bool
) -> ExpectedPod:
    template = component.get("podTemplate", {})
    spec = template.get("spec", {})
    requests = _requests(spec)
    claims = _claims(spec)
    if "compilationCache" in component:
        claims.append(component["compilationCache"]["pvcName"])
    name, component_name = metadata["name"], component["name"]
    main = next((item for item in spec.get("containers", ()) if item.get("name") == "main"), {})
    nodes = _nodes(component)
    return ExpectedPod(
        name=pod_name(name, component_name, replica, rank, nodes, grove),
        graph=name,
        namespace=metadata.get("namespace", "default"),
        component=component_name,
        type=component.get("type", "worker"),
        index=replica * nodes + rank,
        labels={
            **template.get("metadata", {}).get("labels", {}),
            GRAPH_LABEL: name,
            COMPONENT_LABEL: component_name,
            "nvidia.com/dynamo-component-type": component.get("type", "worker"),
        },
        requests={key: _text(key, value) for key, value in requests.items()},
        cpu_milli=int(requests.get("cpu", 0)),
        memory_mib=int(requests.get("memory", 0)),
        shared_memory_mib=mib(str(component.get("sharedMemorySize", 0))),
        node_selector=dict(spec.get("nodeSelector", {})),
        affinity=spec.get("affinity", {}),
        tolerations=tuple(spec.get("tolerations", ())),
        claims=tuple(claims),
        resource_claims=tuple(
            item["resourceClaimTemplateName"]
            for item in spec.get("resourceClaims", ())
            if "resourceClaimTemplateName" in item
        ),
        image=str(main.get("image", "")),
        replica=replica,
        rank=rank,
        gang=f"{metadata.get('namespace', 'default')}/{name}" if grove else None,
    )


def pod_of_job(job: Mapping[str, Any]) -> ExpectedPod:
    """The pod of a batch Job."""
    metadata, template = job["metadata"], job["spec"]["template"]
    spec = template["spec"]
    requests = _requests(spec)
    return ExpectedPod(
        name=metadata["name"],
        graph="",
        namespace=metadata.get("namespace", "default"),
        component="",
        type="job",
        index=0,
        labels=template.get("metadata", {}).get("labels", {}),
        requests={key: _text(key, value) for key, value in requests.items()},
        cpu_milli=int(requests.get("cpu", 0)),
        memory_mib=int(requests.get("memory", 0)),
        node_selector=dict(spec.get("nodeSelector", {})),
        affinity=spec.get("affinity", {}),
        tolerations=tuple(spec.get("tolerations", ())),
        claims=tuple(_claims(spec)),
    )


def _requests(spec: Mapping[str, Any]) -> dict[str, float]:
    """What a pod's containers ask for together, in units of `_amount`."""
    requests: dict[str, float] = {}
    for container in spec.get("containers", ()):
        resources = container.get("resources", {})
        for key, value in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            requests[key] = requests.get(key, 0) + _amount(key, str(value))
    return requests


def _claims(spec: Mapping[str, Any]) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in spec.get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]


def _amount(key: str, value: str) -> float:
    if key == "cpu":
        return milli(value)
    return mib(value) if _in_mib(key) else float(value)


def _text(key: str, value: float) -> str:
    if key == "cpu":
        return f"{int(value)}m"
    return f"{int(value)}Mi" if _in_mib(key) else str(int(value))


def _in_mib(key: str) -> bool:
    return key in ("memory", "ephemeral-storage") or key.startswith("hugepages-")


def fits(pod: ExpectedPod, machine: Instance, huge_pages_mib: int = 0) -> str | None:
    """Why an empty node of this type, with so much set aside as huge pages, has no room for the pod; None when it has. A resource
    that nobody here knows is one that no node has."""
    cpu, memory = allocatable(machine)
    there = {GPU: machine.gpus, EFA: machine.efa, "cpu": cpu, "memory": memory, HUGE_PAGES: huge_pages_mib}
    asked = {key: int(quantity.removesuffix("Mi").removesuffix("m")) for key, quantity in pod.requests.items()}
    asked |= {"cpu": pod.cpu_milli, "memory": pod.memory_mib}
    for key in dict.fromkeys([*there, *asked]):
        wanted, has = asked.get(key, 0), there.get(key, 0)
        if wanted > has:
            return f"asks for {wanted} {_UNITS.get(key, key)}, and {has} are left for pods on a {machine.type}"
    if 0 < pod.memory_mib <= pod.shared_memory_mib:
        return f"shares memory of up to {pod.shared_memory_mib} MiB, which counts against the {pod.memory_mib} MiB that it asks for"
    return None


_UNITS = {
    GPU: "GPUs",
    EFA: "EFA interfaces",
    "cpu": "thousandths of a core",
    "memory": "MiB of memory",
    HUGE_PAGES: "MiB of huge pages",
}
