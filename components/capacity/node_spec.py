"""NodeClass and NodePool objects of EKS Auto Mode, as plain data.

Fields: EKS User Guide "Create a Node Class for Amazon EKS" and "Create a Node Pool for EKS Auto Mode"; NodePool is
Karpenter's `karpenter.sh/v1`. Values that only flow through (subnet ids, role name) may be Outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from . import instances
from .spec import EphemeralStorage, Pool, Reservation
from .window import moment

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "Exists", "effect": "NoSchedule"}
"""Keeps everything without a GPU off GPU nodes (the Dynamo EKS guide's taint; its graphs tolerate the key)."""

OPERANDS_OPT_OUT = {"nvidia.com/gpu.deploy.operands": "false"}
"""Auto Mode nodes bring driver and device plugin; the GPU Operator's own label keeps its operands off them."""

BLOCK_RECLAIM = timedelta(minutes=30)
"""EC2 begins to take a Capacity Block's instances this long before its end (EC2 User Guide, Capacity Blocks)."""

BLOCK_DRAIN = BLOCK_RECLAIM + timedelta(minutes=10)
"""Karpenter begins to drain this long before the end: ten minutes ahead of EC2 (EKS User Guide, Auto Mode)."""

MAX_LIFETIME = "504h"
"""The 21 days that Auto Mode lets a node live at most."""


def requirements(spec: Pool, zone_names: Sequence[str]) -> list[dict[str, Any]]:
    """Which nodes the pool may launch.

    With families alone the family label is required. As soon as types are named too, both become one list of types,
    because requirements are joined by AND and a type outside the families could never be launched.
    """
    if spec.instance_types:
        types = set(spec.instance_types)
        types.update(item.type for family in spec.families for item in instances.in_family(family))
        which = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": sorted(types)}
    else:
        which = {"key": "eks.amazonaws.com/instance-family", "operator": "In", "values": list(spec.families)}
    return [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": list(spec.capacity)},
        which,
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": list(zone_names)},
    ]


def disruption(spec: Pool) -> dict[str, Any]:
    """When Karpenter may take a node away.

    A Capacity Block is paid to its end, so its nodes are never consolidated and drift waits for the end; for a pool
    on prepaid On-Demand reservations only empty nodes go. Elsewhere underused nodes are replaced too.
    """
    if spec.block_end is not None:
        return {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "Never",
            "budgets": [
                {"nodes": "0", "reasons": ["Drifted", "Underutilized"]},
                {"nodes": "100%", "reasons": ["Empty"]},
            ],
        }
    policy = "WhenEmpty" if "reserved" in spec.capacity else "WhenEmptyOrUnderutilized"
    return {
        "consolidationPolicy": policy,
        "consolidateAfter": spec.consolidate_after,
        "budgets": [{"nodes": spec.disruption_budget}],
    }


def drain_at(end: datetime) -> datetime:
    """When Karpenter begins to drain the nodes of a Capacity Block that ends then."""
    return end - BLOCK_DRAIN


RESERVATIONS = "dynamo-eks/reservations"
"""Annotation of a NodePool: what its reservations hold and when, as a list in JSON."""


def _told(item: Reservation) -> dict[str, Any]:
    held = {
        "kind": item.kind,
        "instanceType": item.instance_type,
        "zone": item.zone,
        "count": item.count,
        "id": item.id,
    }
    window = {"start": item.start and moment(item.start), "end": item.end and moment(item.end)}
    return {key: value for key, value in (held | window).items() if value is not None}


def node_pool(name: str, spec: Pool, *, zone_names: Sequence[str], gpu_limit: int) -> dict[str, Any]:
    """The `karpenter.sh/v1` NodePool: `zone_names` are the zones it may launch in, `gpu_limit` the most GPUs it may hold."""
    annotations: dict[str, str] = {}
    if spec.block_end is not None:
        annotations["dynamo-eks/block-end"] = moment(spec.block_end)
        annotations["dynamo-eks/drain-at"] = moment(drain_at(spec.block_end))
    if spec.reservations:
        # For whoever judges or shows the pool: Karpenter knows them by their ids alone.
        annotations[RESERVATIONS] = json.dumps([_told(item) for item in spec.reservations], sort_keys=True)
    if spec.uses_open_reservations:
        annotations["dynamo-eks/open-reservations"] = "true"
    pool: dict[str, Any] = {
        "template": {
            "metadata": {"labels": {**OPERANDS_OPT_OUT, "dynamo-eks/pool": name}},
            "spec": {
                "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": name},
                "taints": [GPU_TAINT],
                "requirements": requirements(spec, zone_names),
                "expireAfter": MAX_LIFETIME if spec.block_end is not None else spec.expire_after,
                "terminationGracePeriod": "24h",
            },
        },
        "limits": {"nvidia.com/gpu": str(gpu_limit)},
        "disruption": disruption(spec),
    }
    if spec.weight is not None:
        pool["weight"] = spec.weight
    metadata: dict[str, Any] = {"name": name}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": metadata, "spec": pool}


def node_class(
    name: str,
    *,
    role: Any,
    subnet_ids: Sequence[Any],
    security_group_ids: Sequence[Any],
    reservation_terms: Sequence[Mapping[str, Any]],
    disk: EphemeralStorage,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """The `eks.amazonaws.com/v1` NodeClass: role, network, disk, reservations and the tags of what it launches.

    Nodes get only the security groups named here (terraform-aws-modules/terraform-aws-eks #3382), so the cluster's own
    must be among them. Tags given to the AWS provider do not reach what Karpenter launches; these do.
    """
    spec: dict[str, Any] = {
        "role": role,
        "subnetSelectorTerms": [{"id": subnet} for subnet in subnet_ids],
        "securityGroupSelectorTerms": [{"id": group} for group in security_group_ids],
        "ephemeralStorage": {"size": f"{disk.size_gib}Gi", "iops": disk.iops, "throughput": disk.throughput_mibps},
        "tags": dict(tags),
    }
    if reservation_terms:
        spec["capacityReservationSelectorTerms"] = [dict(term) for term in reservation_terms]
    return {"apiVersion": "eks.amazonaws.com/v1", "kind": "NodeClass", "metadata": {"name": name}, "spec": spec}


def gpu_limit(demands: Iterable[tuple[int, int]]) -> int:
    """GPUs a pool needs for `(node GPUs, nodes)` of each graph placed on it, and one node more of the largest kind.

    The one more lets a rolling update start a new worker before an old one ends; without a spare it waits for ever
    (ai-dynamo/dynamo #13580).
    """
    demands = list(demands)
    return sum(gpus * nodes for gpus, nodes in demands) + max((gpus for gpus, _ in demands), default=0)


def smallest_fit(families: Sequence[str], types: Sequence[str], gpus: int, efa: bool) -> instances.Instance | None:
    """The smallest instance a pool may launch that holds a worker of so many GPUs."""
    choices = [item for family in families for item in instances.in_family(family)]
    choices += [instances.instance(type_) for type_ in types]
    fitting = [item for item in choices if item.gpus >= max(gpus, 1) and (item.efa or not efa) and item.arch == "amd64"]
    return min(fitting, key=lambda item: (item.gpus, item.vcpu, item.memory_mib), default=None)
