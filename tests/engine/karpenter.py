"""Karpenter's own core on the control plane, with its kwok provider: nodes appear as objects, no machine starts.

Real: Karpenter core (the version that the contracts' CRDs are of), its scheduling, limits and choice by price; kwok, which
reports nodes ready. Stands in: EC2, by a list of offerings made from the project's instance table. Prices
keep EC2's order and nothing else: reserved costs next to nothing, spot less than on-demand, a larger machine more.
Auto Mode's NodeClass and its labels are not known to that provider, so `translated` changes three things in a shipped
NodePool: empty nodes go at once, `nodeClassRef` names a KWOKNodeClass, and requirements on labels `eks.amazonaws.com/instance-*` become the list of
types they select, as `launchable` gives it. The provider knows no reservation ids: a reservation is there or is not
(`offerings`), and how many machines it holds is not counted.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.capacity import instances
from components.capacity.instances import Instance, allocatable, launchable
from components.dynamo.manifest import EFA, GPU
from components.network.zones import REGION_ZONES
from recording.graph import Graph
from tests.engine.control_plane import ControlPlane, free_ports, program, stop

NODE_POOL, NODE_CLAIM = ("karpenter.sh/v1", "NodePool"), ("karpenter.sh/v1", "NodeClaim")

_NODE_CLASS = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}}

_READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}

_NODE_CLASS_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "kwoknodeclasses.karpenter.kwok.sh"},
    "spec": {
        "group": "karpenter.kwok.sh",
        "scope": "Cluster",
        "names": {"kind": "KWOKNodeClass", "plural": "kwoknodeclasses"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
"""What the provider asks of its own kind: that it exists and says it is ready."""

_NODE_READY = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
      - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    patches:
      - subresource: status
        root: status
        template: |
          conditions:
            - type: Ready
              status: "True"
              reason: KubeletReady
              message: ""
              lastHeartbeatTime: {{ Now | Quote }}
              lastTransitionTime: {{ Now | Quote }}
"""
"""What kwok does to a node: what kubelet reports once it runs."""

ZONE_NAMES = {zone.zone_id: zone.name for zones in REGION_ZONES.values() for zone in zones}

_KEPT_BY_PROVIDER = (100, 10)
"""Thousandths of a core and MiB that the kwok provider takes off every type."""


def reservations(graph: Graph) -> set[tuple[str, str]]:
    """Type and zone of what a stack has reserved, made by it or bought before."""
    made = graph.of("aws:ec2/capacityReservation:CapacityReservation")
    found = {(str(node.inputs["instanceType"]), str(node.inputs["availabilityZone"])) for node in made}
    blocks = [read.answer for read in graph.reads if read.token.endswith("getCapacityBlockReservation")]
    return found | {(str(item["instanceType"]), ZONE_NAMES[str(item["availabilityZoneId"])]) for item in blocks}


def types(zones: Sequence[str], reserved: set[tuple[str, str]], *, spot: bool = True) -> list[dict[str, Any]]:
    """Every type that Auto Mode launches, with its offerings in some zones."""
    return [
        {
            "name": item.type,
            "architecture": item.arch,
            "operatingSystems": ["linux"],
            "resources": _resources(item),
            "offerings": list(_offerings(item, zones, reserved, spot)),
        }
        for item in instances.table().values()
        if item.auto_mode
    ]


def _resources(item: Instance) -> dict[str, str]:
    cpu, memory = allocatable(item)
    kept_cpu, kept_memory = _KEPT_BY_PROVIDER
    found = {"cpu": f"{cpu + kept_cpu}m", "memory": f"{memory + kept_memory}Mi", "ephemeral-storage": "500Gi"}
    return found | {key: str(count) for key, count in {GPU: item.gpus, EFA: item.efa}.items() if count}


def _offerings(
    item: Instance, zones: Sequence[str], reserved: set[tuple[str, str]], spot: bool
) -> Iterator[dict[str, Any]]:
    price = item.vcpu * 0.05 + item.gpus * item.gpu_memory_mib / 2**14
    for zone in zones:
        kinds = {"on-demand": price, **({"spot": price * 0.4} if spot else {})}
        if (item.type, zone) in reserved:
            kinds["reserved"] = price / 10**6
        for kind, cost in kinds.items():
            yield {
                "Price": cost,
                "Available": True,
                "Requirements": [
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [kind]},
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]},
                ],
            }


def translated(pool: Mapping[str, Any]) -> dict[str, Any]:
    """A shipped NodePool for the kwok provider; see the module for what changes."""
    changed = copy.deepcopy(dict(pool))
    spec = changed["spec"]["template"]["spec"]
    spec["nodeClassRef"] = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    prefix = "eks.amazonaws.com/"
    kept = [item for item in spec["requirements"] if not item["key"].startswith(prefix)]
    chosen = [item.type for item in launchable(pool)]
    kept = [item for item in kept if item["key"] != "node.kubernetes.io/instance-type"]
    spec["requirements"] = [*kept, {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": chosen}]
    disruption = changed["spec"].get("disruption", {})
    if disruption.get("consolidateAfter", "Never") != "Never":
        # Seen one time in twenty: of a graph that keeps one zone, Karpenter launches some nodes in another. With the pool's limit
        # used up, the last pod waits until those are empty for so long (five minutes as shipped), and is then given its node.
        disruption |= {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "15s"}
    return changed


def general_purpose() -> dict[str, Any]:
    """Auto Mode's built-in pool for everything without a GPU (EKS User Guide, "Built-in node pools")."""
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "general-purpose"},
        "spec": {
            "template": {
                "spec": {
                    "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": "default"},
                    "expireAfter": "336h",
                    "terminationGracePeriod": "24h0m0s",
                    "requirements": [
                        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
                        {"key": "eks.amazonaws.com/instance-category", "operator": "In", "values": ["c", "m", "r"]},
                        {"key": "eks.amazonaws.com/instance-generation", "operator": "Gt", "values": ["4"]},
                        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    ],
                }
            }
        },
    }


@contextmanager
def running(
    plane: ControlPlane, folder: Path, pools: Sequence[Mapping[str, Any]], offered: Sequence[Mapping[str, Any]]
) -> Iterator[None]:
    """Karpenter and kwok, with some pools and offerings; afterwards nothing of theirs is left."""
    file = folder / "types.json"
    file.write_text(json.dumps(offered))
    stages = folder / "stages.yaml"
    stages.write_text(_NODE_READY)
    metrics, health = free_ports(2)
    plane.load({"kwoknodeclasses.karpenter.kwok.sh": _NODE_CLASS_CRD})
    plane.apply(_NODE_CLASS)
    plane.patch_status(_NODE_CLASS, {"conditions": [_READY]})
    for pool in pools:
        plane.apply(translated(pool))
    environment = {
        "KUBECONFIG": str(plane.kubeconfig),
        "DISABLE_LEADER_ELECTION": "true",
        "SYSTEM_NAMESPACE": "kube-system",
        "KARPENTER_SERVICE": "karpenter",
        "METRICS_PORT": str(metrics),
        "HEALTH_PROBE_PORT": str(health),
        "INSTANCE_TYPES_FILE_PATH": str(file),
        # The provider sets no reservation ids, without which the gate's code ends the program; `reserved` is then a purchase
        # option like the others.
        "FEATURE_GATES": "ReservedCapacity=false",
        # Above its 1 s, as the machine may stall: a graph's pods should be seen together.
        "BATCH_IDLE_DURATION": "2s",
        "BATCH_MAX_DURATION": "10s",
    }
    processes = [
        plane.run("karpenter-kwok", [program("karpenter-kwok")], environment),
        plane.run(
            "kwok",
            [program("kwok"), f"--kubeconfig={plane.kubeconfig}", f"--config={stages}", "--manage-all-nodes=true"],
        ),
    ]
    try:
        yield
    finally:
        for process in processes:
            stop(process)
        for name in ("karpenter-kwok", "kwok"):
            plane.processes.pop(name)
        for api_version, kind in (NODE_CLAIM, ("v1", "Node"), NODE_POOL, (_NODE_CLASS["apiVersion"], "KWOKNodeClass")):
            for item in plane.list(str(api_version), kind):
                _gone(plane, str(api_version), kind, item["metadata"]["name"])


def _gone(plane: ControlPlane, api_version: str, kind: str, name: str) -> None:
    """Karpenter is not there any more to take its finalizers away."""
    plane.request(
        "PATCH",
        plane.path(api_version, kind, None, name),
        data=json.dumps({"metadata": {"finalizers": None}}),
        headers={"Content-Type": "application/merge-patch+json"},
    )
    plane.delete(api_version, kind, name)
