"""Fake nodes of true shape: Node objects with what a node of the type would report, and no machine behind them.

Real: the objects, and whatever the scheduler makes of them. Stands in: kubelet and device plugins (allocatable, from the
project's instance table, on the careful side as the plan reckons it), Auto Mode or EKS (labels and taints), GPU feature
discovery (the clique label) and the DRA driver (one ResourceSlice a node with one channel, as its kubelet plugin publishes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from components.capacity import instances
from components.capacity.instances import Instance, allocatable
from components.capacity.ultraservers import CLIQUE_LABEL
from components.dynamo.manifest import EFA, GPU, HUGE_PAGES
from recording.racks import SeenRack, huge_pages_mib
from tests.engine.control_plane import ControlPlane

CHANNEL_CLASS = "compute-domain-default-channel.nvidia.com"
"""DeviceClass that claims of a ComputeDomain name (NVIDIA DRA driver, chart templates)."""

_DRIVER = "compute-domain.nvidia.com"


@dataclass(frozen=True)
class FakeNode:
    """One node as the scheduler sees it."""

    name: str
    machine: Instance
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]] = ()
    huge_pages_mib: int = 0
    channel: bool = False
    """Whether the DRA driver publishes a ComputeDomain channel on it."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Allocatable that is other than the type's."""

    @property
    def allocatable(self) -> dict[str, str]:
        cpu, memory = allocatable(self.machine)
        found = {"cpu": f"{cpu}m", "memory": f"{memory}Mi", "pods": "110", "ephemeral-storage": "500Gi"}
        counts = {GPU: self.machine.gpus, EFA: self.machine.efa}
        found |= {key: str(count) for key, count in counts.items() if count}
        if self.huge_pages_mib:
            found[HUGE_PAGES] = f"{self.huge_pages_mib}Mi"
        return {**found, **self.extra}

    def manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {**self.labels, "kubernetes.io/hostname": self.name}},
            "spec": {"taints": list(self.taints)} if self.taints else {},
        }

    def status(self) -> dict[str, Any]:
        return {
            "capacity": self.allocatable,
            "allocatable": self.allocatable,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }

    def slice(self) -> dict[str, Any]:
        """What the DRA driver's kubelet plugin publishes of channel 0; it leaves the other 2047 out."""
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{self.name}-channel"},
            "spec": {
                "driver": _DRIVER,
                "nodeName": self.name,
                "pool": {"name": self.name, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "channel-0", "attributes": {"type": {"string": "channel"}, "id": {"int": 0}}}],
            },
        }


def of_pool(
    name: str, machine: Instance, pool: Mapping[str, Any], zone: str, capacity_type: str, **extra: str
) -> FakeNode:
    """A node that a NodePool launched."""
    template = pool["spec"]["template"]
    return FakeNode(
        name,
        machine,
        {
            **instances.labels(machine),
            **((template.get("metadata") or {}).get("labels") or {}),
            "karpenter.sh/nodepool": pool["metadata"]["name"],
            "karpenter.sh/capacity-type": capacity_type,
            "topology.kubernetes.io/zone": zone,
        },
        template["spec"].get("taints") or (),
        extra=extra,
    )


def general(name: str, zone: str) -> FakeNode:
    """A node of Auto Mode's built-in general-purpose pool: no GPU, no taint."""
    machine = next(
        item
        for item in sorted(instances.table().values(), key=lambda item: (item.vcpu, item.memory_mib, item.type))
        if item.auto_mode and not item.gpus and item.arch == "amd64" and item.vcpu >= 16
    )
    labels = {"topology.kubernetes.io/zone": zone, "karpenter.sh/nodepool": "general-purpose"}
    return FakeNode(name, machine, {**instances.labels(machine), **labels})


def of_a_laptop(name: str) -> FakeNode:
    """The node of kind or k3s: no zone, no region, no instance type, nothing of a cloud."""
    node = general(name, "")
    return FakeNode(name, node.machine, {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"})


def of_rack(rack: SeenRack, *, zone: str, clique: str, count: int | None = None, prefix: str = "") -> list[FakeNode]:
    """The nodes of an UltraServer: its node group's labels and taints, four GPUs, EFA and huge pages of its template."""
    assert rack.machine is not None
    given = rack.group.inputs
    labels = {
        **(given.get("labels") or {}),
        CLIQUE_LABEL: clique,
        "kubernetes.io/arch": rack.machine.arch,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": rack.machine.type,
        "topology.kubernetes.io/zone": zone,
        "eks.amazonaws.com/capacityType": "CAPACITY_BLOCK",
    }
    # EKS writes effects in its own way: NO_SCHEDULE for NoSchedule.
    effects = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
    taints = [{**item, "effect": effects[item["effect"]]} for item in given.get("taints") or ()]
    return [
        FakeNode(
            f"{prefix}{rack.name}-{index}",
            rack.machine,
            labels,
            taints,
            huge_pages_mib=huge_pages_mib(rack.template),
            channel=True,
        )
        for index in range(rack.nodes if count is None else count)
    ]


def join(plane: ControlPlane, nodes: Iterable[FakeNode]) -> None:
    """Nodes join, ready at once."""
    for node in nodes:
        if node.channel:
            plane.apply(device_class())
            plane.apply(node.slice())
        plane.apply(node.manifest())
        plane.patch_status(node.manifest(), node.status())


def leave(plane: ControlPlane, nodes: Iterable[FakeNode]) -> None:
    for node in nodes:
        plane.delete("v1", "Node", node.name)
        if node.channel:
            plane.delete("resource.k8s.io/v1", "ResourceSlice", f"{node.name}-channel")


@contextmanager
def joined(plane: ControlPlane, nodes: Sequence[FakeNode]) -> Iterator[Sequence[FakeNode]]:
    """Nodes for the time of a test."""
    try:
        join(plane, nodes)
        yield nodes
    finally:
        leave(plane, nodes)


def device_class() -> dict[str, Any]:
    """As the DRA driver's chart installs it."""
    expression = (
        f"device.driver == '{_DRIVER}' && device.attributes['{_DRIVER}'].type == 'channel'"
        f" && device.attributes['{_DRIVER}'].id == 0"
    )
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": CHANNEL_CLASS},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }
