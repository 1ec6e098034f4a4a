"""The pods that the operator will make of a graph: count, requests, selectors, affinity, tolerations, claims. Pure.

Follows what the v1beta1 operator merges into the `main` container and puts on pods (Dynamo operator,
`internal/dynamo`). Rules, cost and the scheduler tests ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.capacity.instances import Instance, allocatable
from components.dynamo.manifest import COMPONENT_LABEL, EFA, GPU, GRAPH_LABEL

_DECIMAL = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def mib(quantity: str) -> int:
    """A memory quantity in MiB, rounded up."""
    for suffix, factor in {**_BINARY, **_DECIMAL}.items():
        if quantity.endswith(suffix):
            return int(-(-float(quantity[: -len(suffix)]) * factor // 2**20))
    return int(-(-float(quantity) // 2**20))


def milli(quantity: str) -> int:
    """A CPU quantity in thousandths of a core."""
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


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
    image: str = ""

    def avoids(self, other: ExpectedPod) -> bool:
        """Whether a required anti-affinity keeps the two off one node."""
        terms = self.affinity.get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", ())
        for term in terms:
            wanted = term.get("labelSelector", {}).get("matchLabels", {})
            if term.get("topologyKey") == "kubernetes.io/hostname" and wanted.items() <= dict(other.labels).items():
                return True
        return False


def expected_pods(graph: Mapping[str, Any]) -> tuple[ExpectedPod, ...]:
    """Every pod of a DynamoGraphDeployment, components in order."""
    metadata, spec = graph["metadata"], graph["spec"]
    return tuple(
        _pod(metadata, component, index)
        for component in spec.get("components", ())
        for index in range(component.get("replicas", 1) * component.get("multinode", {}).get("nodeCount", 1))
    )


def _pod(metadata: Mapping[str, Any], component: Mapping[str, Any], index: int) -> ExpectedPod:
    template = component.get("podTemplate", {})
    spec = template.get("spec", {})
    requests: dict[str, float] = {}
    for container in spec.get("containers", ()):
        resources = container.get("resources", {})
        for key, value in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            requests[key] = requests.get(key, 0) + _amount(key, str(value))
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in spec.get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]
    if "compilationCache" in component:
        claims.append(component["compilationCache"]["pvcName"])
    name, component_name = metadata["name"], component["name"]
    main = next((item for item in spec.get("containers", ()) if item.get("name") == "main"), {})
    return ExpectedPod(
        name=f"{name}-{component_name.lower()}-{index}",
        graph=name,
        namespace=metadata.get("namespace", "default"),
        component=component_name,
        type=component.get("type", "worker"),
        index=index,
        labels={
            **template.get("metadata", {}).get("labels", {}),
            GRAPH_LABEL: name,
            COMPONENT_LABEL: component_name,
            "nvidia.com/dynamo-component-type": component.get("type", "worker"),
        },
        requests={key: _text(key, value) for key, value in requests.items()},
        cpu_milli=int(requests.get("cpu", 0)),
        memory_mib=int(requests.get("memory", 0)),
        node_selector=dict(spec.get("nodeSelector", {})),
        affinity=spec.get("affinity", {}),
        tolerations=tuple(spec.get("tolerations", ())),
        claims=tuple(claims),
        image=str(main.get("image", "")),
    )


def _amount(key: str, value: str) -> float:
    if key == "cpu":
        return milli(value)
    return mib(value) if key in ("memory", "ephemeral-storage") else float(value)


def _text(key: str, value: float) -> str:
    if key == "cpu":
        return f"{int(value)}m"
    return f"{int(value)}Mi" if key in ("memory", "ephemeral-storage") else str(int(value))


def fits(pod: ExpectedPod, machine: Instance) -> str | None:
    """Why an empty node of this type has no room for the pod; None when it has."""
    cpu, memory = allocatable(machine)
    for what, wanted, there in (
        ("GPUs", int(pod.requests.get(GPU, 0)), machine.gpus),
        ("EFA interfaces", int(pod.requests.get(EFA, 0)), machine.efa),
        ("thousandths of a core", pod.cpu_milli, cpu),
        ("MiB of memory", pod.memory_mib, memory),
    ):
        if wanted > there:
            return f"asks for {wanted} {what}, and {there} are left for pods on a {machine.type}"
    return None
