"""ComputeDomains of a graph: which there are, which worker claims which, and the objects. Pure.

A ComputeDomain lets GPUs on several nodes share memory over NVLink (IMEX). `numNodes` is 0 always: who claims a channel is
in, and with a number the domain would have to be made again with every change of replicas. Its spec cannot be changed.
Sources: NVIDIA DRA driver 0.4.1, API and controller; one channel claim for each node (#309), at most 18 nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .spec import Graph, Worker

API_VERSION, KIND = "resource.nvidia.com/v1beta1", "ComputeDomain"

CLAIM = "compute-domain-channel"
"""Name of the claim inside a pod, as in Dynamo's recipes."""

GROVE_GROUP = "grove.io/mnnvl-group"
"""Pod template annotation by which Grove makes a domain itself (Grove alpha.11 and newer)."""


def gpu_roles(graph: Graph) -> dict[str, Worker]:
    """Roles that take GPUs."""
    found = {"worker": graph.worker, "prefill": graph.prefill, "decode": graph.decode}
    return {role: worker for role, worker in found.items() if worker is not None and worker.gpus}


def domain_of(name: str, graph: Graph, role: str) -> str | None:
    """Name of the ComputeDomain whose channel a role claims; None without one of the program's own."""
    if graph.compute_domain == "perGraph":
        return name
    return f"{name}-{role}" if graph.compute_domain == "perRole" else None


def template_of(domain: str) -> str:
    """Name of the ResourceClaimTemplate that the DRA controller makes for a domain. Nobody else may make one."""
    return f"{domain}-channel"


def domains(name: str, graph: Graph) -> list[dict[str, Any]]:
    """The objects of a graph's domains."""
    names = dict.fromkeys(domain_of(name, graph, role) for role in gpu_roles(graph))
    return [compute_domain(domain, graph.namespace, {"dynamo-eks/graph": name}) for domain in names if domain]


def compute_domain(name: str, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """One ComputeDomain."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "numNodes": 0,
            "channel": {"allocationMode": "Single", "resourceClaimTemplate": {"name": template_of(name)}},
        },
    }
