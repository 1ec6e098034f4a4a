"""Objects and Helm values of gang scheduling. Pure.

A worker of several nodes is one gang: all of its pods are placed or none. Dynamo makes Grove PodCliqueSets of such
graphs, and Grove hands the gangs to KAI. Neither is installed when no graph of the stack needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..capacity.ultraservers import CLIQUE_LABEL

SCHEDULER = "kai-scheduler"

PARENT_QUEUE, QUEUE = "dynamo-eks", "dynamo-eks-graphs"
"""Queues of this program. The platform's chart makes `dynamo-default` and `dynamo` by hooks whenever KAI is enabled, and
would delete and make ours again if they had these names."""

TOPOLOGY = "ultraservers"
"""Name of KAI's Topology and of Grove's binding to it."""

RACK_DOMAIN = "rack"
"""Level of the topology that is one NVLink domain; graphs name it as `packDomain`."""

HOST_DOMAIN = "host"

UNLIMITED = -1


def kai_values() -> dict[str, Any]:
    """KAI scheduler: on the built-in pool, whatever happens to the racks. Whole GPUs only, so no reservation pods. A gang
    that is placed in part, as while one node is repaired, is waited for and not evicted (Grove's installation guide)."""
    return {
        "global": {"nodeSelector": {"karpenter.sh/nodepool": "general-purpose"}, "gpuSharing": False},
        "scheduler": {"args": {"default-staleness-grace-period": "-1"}},
    }


def grove_values(*, auto_mnnvl: bool) -> dict[str, Any]:
    """Grove's operator. With auto-MNNVL it exits at start where the ComputeDomain CRD is missing, so it comes after the
    DRA driver either way.

    Its kinds follow its version: Helm takes what is in a chart's `crds/` when it installs, and never again, so that another Dynamo's
    Grove would wait for kinds that nobody has made (ai-dynamo/grove #436; PodGangMap of alpha.13, ai-dynamo/dynamo #14553, which
    switches the installer on as this does). KAI's chart brings a hook of its own for them, before each install and upgrade.
    """
    return {
        "nodeSelector": {"karpenter.sh/nodepool": "general-purpose"},
        "crdInstaller": {"enabled": True},
        "config": {
            "topologyAwareScheduling": {"enabled": True},
            "network": {"autoMNNVLEnabled": auto_mnnvl},
        },
    }


def queues(gpus: int) -> tuple[dict[str, Any], ...]:
    """The parent and the queue that graphs are in, with every GPU of the racks as its quota and its limit: a gang that asks
    for more is told so by the queue instead of waiting for nodes that will not come. CPU and memory are not limited."""

    def queue(name: str, parent: str | None) -> dict[str, Any]:
        free = {"quota": UNLIMITED, "limit": UNLIMITED, "overQuotaWeight": 1}
        spec: dict[str, Any] = {
            "resources": {
                "cpu": dict(free),
                "memory": dict(free),
                "gpu": {"quota": gpus, "limit": gpus, "overQuotaWeight": 1},
            }
        }
        if parent:
            spec["parentQueue"] = parent
        return {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": name}, "spec": spec}

    return queue(PARENT_QUEUE, None), queue(QUEUE, PARENT_QUEUE)


def topology() -> dict[str, Any]:
    """KAI's view of the racks: NVLink domain by the label of GPU feature discovery, then the node."""
    return {
        "apiVersion": "kai.scheduler/v1alpha1",
        "kind": "Topology",
        "metadata": {"name": TOPOLOGY},
        "spec": {"levels": [{"nodeLabel": CLIQUE_LABEL}, {"nodeLabel": "kubernetes.io/hostname"}]},
    }


def topology_binding() -> dict[str, Any]:
    """Grove's names for the levels, which graphs use, bound to KAI's Topology."""
    return {
        "apiVersion": "grove.io/v1alpha1",
        "kind": "ClusterTopologyBinding",
        "metadata": {"name": TOPOLOGY},
        "spec": {
            "levels": [
                {"domain": RACK_DOMAIN, "key": CLIQUE_LABEL},
                {"domain": HOST_DOMAIN, "key": "kubernetes.io/hostname"},
            ],
            "schedulerTopologyBindings": [{"schedulerName": SCHEDULER, "topologyReference": TOPOLOGY}],
        },
    }


def quota_gpus(queue: Mapping[str, Any]) -> int:
    """GPUs a queue lets its gangs have."""
    return int(queue["spec"]["resources"]["gpu"]["limit"])
