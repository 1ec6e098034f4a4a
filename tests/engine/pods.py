"""Pods as the operators make them of a graph, and what the scheduler did with them.

Real: the pods, their claims and volumes as objects, the binding. Stands in: the Dynamo operator and Grove (the pods come
from `expected_pods`, with one container that asks for their sum), the ComputeDomain controller (claim templates) and the
EFS CSI driver (a volume for every claim). Grove's gangs are KAI's matter, whose scheduler is not here: these pods are bound
one by one by the default scheduler, which is what a placement must stand without a gang.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.dynamo.expected_pods import ExpectedPod
from recording.graph import Graph
from tests.engine.control_plane import ControlPlane, until
from tests.engine.nodes import CHANNEL_CLASS

_EXTENDED = ("nvidia.com/", "vpc.amazonaws.com/", "hugepages-")


def pod(expected: ExpectedPod, namespace: str) -> dict[str, Any]:
    """The Pod object of an expected pod."""
    resources: dict[str, Any] = {
        "requests": dict(expected.requests),
        # What cannot be shared must be limited to just what is asked for.
        "limits": {key: value for key, value in expected.requests.items() if key.startswith(_EXTENDED)},
    }
    spec: dict[str, Any] = {
        "containers": [{"name": "main", "image": expected.image, "resources": resources}],
        "nodeSelector": dict(expected.node_selector),
        "affinity": dict(expected.affinity),
        "tolerations": [dict(item) for item in expected.tolerations],
        "volumes": [
            {"name": f"volume-{index}", "persistentVolumeClaim": {"claimName": claim}}
            for index, claim in enumerate(dict.fromkeys(expected.claims))
        ],
    }
    if expected.resource_claims:
        names = [f"claim-{index}" for index in range(len(expected.resource_claims))]
        spec["resourceClaims"] = [
            {"name": name, "resourceClaimTemplateName": template}
            for name, template in zip(names, expected.resource_claims, strict=True)
        ]
        resources["claims"] = [{"name": name} for name in names]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": expected.name, "namespace": namespace, "labels": dict(expected.labels)},
        "spec": spec,
    }


def surroundings(plane: ControlPlane, namespace: str, graph: Graph, pods: Iterable[ExpectedPod]) -> None:
    """What must be there before pods of a stack can be bound: bound volume claims, and the domains' claim templates."""
    classes = {str(item.manifest["spec"].get("storageClassName")) for item in graph.objects_of("PersistentVolumeClaim")}
    for name in sorted({claim for each in pods for claim in each.claims}):
        size = {"storage": "1Gi"}
        volume = f"{namespace}-{name}"
        claim = {"accessModes": ["ReadWriteMany"], "storageClassName": min(classes), "volumeName": volume}
        plane.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {
                    "capacity": size,
                    "accessModes": ["ReadWriteMany"],
                    "storageClassName": min(classes),
                    "claimRef": {"namespace": namespace, "name": name},
                    "csi": {"driver": "efs.csi.aws.com", "volumeHandle": volume},
                },
            }
        )
        plane.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {**claim, "resources": {"requests": size}},
            }
        )
    until(
        lambda: all(
            (item.get("status") or {}).get("phase") == "Bound"
            for item in plane.list("v1", "PersistentVolumeClaim", namespace)
        ),
        f"volume claims of {namespace} bound",
    )
    for item in graph.objects_of("ComputeDomain"):
        plane.apply(channel_template(namespace, item.manifest["spec"]["channel"]["resourceClaimTemplate"]["name"]))


def channel_template(namespace: str, name: str) -> dict[str, Any]:
    """As the ComputeDomain controller makes it for a domain (DRA driver, compute-domain-controller)."""
    request = {"name": "channel", "exactly": {"deviceClassName": CHANNEL_CLASS}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def create(plane: ControlPlane, namespace: str, pods: Iterable[ExpectedPod]) -> None:
    for each in pods:
        plane.create(pod(each, namespace))


def settled(plane: ControlPlane, namespace: str, seconds: float = 30) -> tuple[dict[str, str], dict[str, str]]:
    """Bound pods with their nodes, and the others with what the scheduler says; once nothing has changed for a second."""
    end = time.monotonic() + seconds
    last: Any = None
    while True:
        found = plane.list("v1", "Pod", namespace)
        bound = {item["metadata"]["name"]: item["spec"]["nodeName"] for item in found if item["spec"].get("nodeName")}
        left = {
            item["metadata"]["name"]: _said(item.get("status") or {})
            for item in found
            if item["metadata"]["name"] not in bound
        }
        if not left or (all(left.values()) and (bound, left) == last):
            return bound, left
        if time.monotonic() > end:
            raise TimeoutError(f"the scheduler is not done after {seconds:g} s: {left}")
        # Only while some are left: a pod that was refused is tried again after a second.
        time.sleep(1.2 if all(left.values()) else 0.1)
        last = (bound, left)


def _said(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or "")
    return ""


def cleared(plane: ControlPlane, namespaces: Sequence[str]) -> None:
    """Nothing of a test stays that another one would count: pods, and volumes, which have no namespace."""
    for namespace in namespaces:
        plane.delete_all("v1", "Pod", namespace)
        for item in plane.list("v1", "PersistentVolume"):
            if item["spec"].get("claimRef", {}).get("namespace") == namespace:
                plane.delete("v1", "PersistentVolume", item["metadata"]["name"])
