"""Rules about GPU pools and reservations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from components.capacity import instances
from components.capacity.window import moment
from recording.graph import Graph, KubernetesObject
from recording.pool_blocks import POOL, RESERVED, SeenPool, pools
from rules.model import Finding, Looked, rule


def _requirement(pool: Mapping[str, Any], key: str) -> list[str]:
    spec = pool["spec"]["template"]["spec"]
    return [value for item in spec.get("requirements", ()) if item["key"] == key for value in item.get("values", ())]


def _pools(graph: Graph) -> list[KubernetesObject]:
    return [
        item
        for item in graph.objects_of("NodePool")
        if str(item.manifest.get("apiVersion")).startswith("karpenter.sh/")
    ]


def _classes(graph: Graph) -> dict[str, Mapping[str, Any]]:
    return {item.name: item.manifest for item in graph.objects_of("NodeClass")}


def _terms(manifest: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return list(((manifest or {}).get("spec") or {}).get("capacityReservationSelectorTerms") or ())


@rule(
    "pool-families",
    "Pools name only families and types that EKS Auto Mode launches.",
    "A pool of an unknown family launches nothing, and pods stay Pending without another word.",
    of="program",
)
def pool_families(graph: Graph) -> Iterator[Finding | Looked]:
    for item in _pools(graph):
        yield Looked(item.address)
        for family in _requirement(item.manifest, "eks.amazonaws.com/instance-family"):
            if family not in instances.AUTO_MODE_FAMILIES:
                way = (
                    "use a managed node group on its UltraServer block"
                    if family.startswith("p6e")
                    else "choose a supported family"
                )
                yield Finding(item.address, f"family {family} is not one that Auto Mode launches; {way}")
        for type_ in _requirement(item.manifest, "node.kubernetes.io/instance-type"):
            if not instances.known(type_) or not instances.instance(type_).auto_mode:
                yield Finding(item.address, f"type {type_} is not one that Auto Mode launches; choose a supported type")
        if not instances.launchable(item.manifest):
            yield Finding(item.address, "no known instance type meets all its requirements; it would launch nothing")


@rule(
    "pool-limit",
    "Every GPU pool has a limit on its GPUs.",
    "A mistyped replica count would otherwise launch machines without end, at up to $142 an hour each.",
    of="program",
)
def pool_limit(graph: Graph) -> Iterator[Finding | Looked]:
    for item in _pools(graph):
        yield Looked(item.address)
        if not (item.manifest["spec"].get("limits") or {}).get("nvidia.com/gpu"):
            yield Finding(item.address, "has no limits for nvidia.com/gpu; give gpuLimit or place graphs on it")


@rule(
    "pool-taint",
    "GPU nodes are tainted, and the GPU Operator's operands stay off them.",
    "Ordinary pods would fill GPU nodes; a second device plugin would hand out each GPU twice.",
    of="program",
)
def pool_taint(graph: Graph) -> Iterator[Finding | Looked]:
    for item in _pools(graph):
        yield Looked(item.address)
        template = item.manifest["spec"]["template"]
        if not any(taint.get("key") == "nvidia.com/gpu" for taint in template["spec"].get("taints", ())):
            yield Finding(item.address, "has no nvidia.com/gpu taint; pods without a GPU would be put on its nodes")
        if (template.get("metadata", {}).get("labels") or {}).get("nvidia.com/gpu.deploy.operands") != "false":
            yield Finding(item.address, "lacks the label nvidia.com/gpu.deploy.operands=false on its nodes")


@rule(
    "reserved-terms",
    "A pool that may use reserved capacity selects its reservations.",
    "Capacity Blocks are never used without selector terms: the prepaid machines would stand empty.",
    of="program",
)
def reserved_terms(graph: Graph) -> Iterator[Finding | Looked]:
    classes = _classes(graph)
    for item in _pools(graph):
        name = item.manifest["spec"]["template"]["spec"]["nodeClassRef"]["name"]
        capacity = _requirement(item.manifest, "karpenter.sh/capacity-type")
        if "reserved" in capacity:
            yield Looked(item.address)
            if not _terms(classes.get(name)):
                yield Finding(item.address, f"may use reserved capacity, but NodeClass {name} selects no reservation")
        elif _terms(classes.get(name)):
            yield Finding(
                item.address, f"NodeClass {name} selects reservations, but the pool's capacity lacks `reserved`"
            )


@rule(
    "open-reservations",
    "No pool counts on open reservations while another selects its own.",
    "Once any NodeClass has selector terms, Auto Mode uses open reservations for none of them; both would be paid.",
    of="program",
)
def open_reservations(graph: Graph) -> Iterator[Finding | Looked]:
    selecting = [name for name, manifest in _classes(graph).items() if _terms(manifest)]
    for item in _pools(graph):
        annotations = item.manifest["metadata"].get("annotations") or {}
        if annotations.get("dynamo-eks/open-reservations") == "true":
            yield Looked(item.address)
            if selecting:
                yield Finding(
                    item.address, f"counts on open reservations, which NodeClass {min(selecting)} switches off for all"
                )
    for node in graph.of("aws:ec2/capacityReservation:CapacityReservation"):
        yield Looked(node.name)
        if node.inputs.get("instanceMatchCriteria") != "targeted":
            yield Finding(
                node.name, "is open: anything in the account may use it up, and our pools may not; make it targeted"
            )


@rule(
    "block-disruption",
    "Nodes on a Capacity Block are not consolidated or drifted away.",
    "The block is paid to its end; a replaced node costs minutes of every machine that waits for it.",
    of="program",
)
def block_disruption(graph: Graph) -> Iterator[Finding | Looked]:
    for item in _pools(graph):
        if "dynamo-eks/block-end" not in (item.manifest["metadata"].get("annotations") or {}):
            continue
        yield Looked(item.address)
        disruption = item.manifest["spec"].get("disruption") or {}
        if disruption.get("consolidationPolicy") != "WhenEmpty" or disruption.get("consolidateAfter") != "Never":
            yield Finding(item.address, "consolidates its nodes; use WhenEmpty and Never on a Capacity Block")


@rule(
    "block-window",
    "The Capacity Block has time left before its drain.",
    "A pool on a block that is over launches nothing, or falls back at on-demand prices.",
    of="stack",
)
def block_window(graph: Graph) -> Iterator[Finding | Looked]:
    now, drawn = graph.at, pools(graph)
    for item in _pools(graph):
        annotations = item.manifest["metadata"].get("annotations") or {}
        if "dynamo-eks/drain-at" not in annotations:
            continue
        yield Looked(item.address)
        unknown = [held for held in drawn[item.name].blocks if held.start is None] if item.name in drawn else []
        if unknown:
            yield Finding(
                item.address,
                f"{len(unknown)} of its blocks state no start: what waits for it is not left out of `make up`, and EC2 is not asked "
                "whether it is the right one; give reservations[].start",
                "warn",
            )
        drain = datetime.fromisoformat(annotations["dynamo-eks/drain-at"])
        if now >= drain:
            yield Finding(
                item.address,
                f"its block is drained from {annotations['dynamo-eks/drain-at']}, which has passed; name the next block",
            )
        elif (drain - now).total_seconds() < 24 * 3600:
            yield Finding(
                item.address, f"its block is drained within a day, at {annotations['dynamo-eks/drain-at']}", "warn"
            )


@rule(
    "block-fallback",
    "Graphs on a pool with a Capacity Block run on nothing else.",
    "Before a block starts and after its drain Karpenter takes the pool's other options: the machines come at on-demand prices, beside "
    "a block that is paid.",
    of="stack",
)
def block_fallback(graph: Graph) -> Iterator[Finding | Looked]:
    for pool in pools(graph).values():
        windows = [item.window for item in pool.blocks if item.window]
        if not windows:
            continue
        yield Looked(pool.node_pool.address)
        roaming = [item.name for item in graph.objects_of("DynamoGraphDeployment") if _roams(item, pool)]
        if not pool.fallback or not roaming:
            continue
        first, last = min(window.start for window in windows), max(window.drain_at for window in windows)
        before = f"until it starts at {moment(first)} and " if graph.at < first else ""
        yield Finding(
            pool.node_pool.address,
            f"{', '.join(roaming)} runs on {' or '.join(pool.fallback)} machines, and is billed for them, {before}from the drain at "
            f"{moment(last)} on; set placement.reservedOnly, or take the fallback out of the pool, if that is not meant",
            "warn",
        )


def _roams(item: KubernetesObject, pool: SeenPool) -> bool:
    """Whether a graph's workers on a pool may be on its fallback."""
    for part in item.manifest["spec"]["components"]:
        selector = part.get("podTemplate", {}).get("spec", {}).get("nodeSelector", {})
        if selector.get(POOL) == pool.name and not RESERVED.items() <= selector.items():
            return True
    return False


@rule(
    "block-succession",
    "Capacity Blocks of a pool follow one another without a gap, and none is smaller than the one before.",
    "Between two blocks there is no machine, and in a smaller one fewer: the graphs stop, or some of their workers, until the next.",
    of="stack",
)
def block_succession(graph: Graph) -> Iterator[Finding | Looked]:
    for pool in pools(graph).values():
        periods = [period for period in pool.periods() if period.end is None or period.end > graph.at]
        if not pool.blocks:
            continue
        yield Looked(pool.node_pool.address)
        last = max((period.end for period in periods if period.end), default=None)
        for before, after in pairwise(periods):
            lost = before.machines - after.machines
            # What ends with the last block is told with its window.
            if lost and after.start != last:
                what = ", ".join(f"{count} {type_} in {zone}" for (type_, zone), count in sorted(lost.items()))
                until = f" until {moment(after.end)}" if after.end else ""
                yield Finding(
                    pool.node_pool.address,
                    f"{what} fewer from {moment(after.start)}{until}; extend the block before, or buy the next one as large and without a gap",
                    "warn",
                )


@rule(
    "node-groups",
    "Nodes of our own NodeClasses carry the cluster's security group, and their role is admitted.",
    "Nodes without the cluster's group or an EC2 access entry start, cost money and never join.",
    of="program",
)
def node_groups(graph: Graph) -> Iterator[Finding | Looked]:
    entries = {
        node.inputs.get("principalArn")
        for node in graph.of("aws:eks/accessEntry:AccessEntry")
        if node.inputs.get("type") == "EC2"
    }
    roles = {node.outputs.get("name"): node.outputs.get("arn") for node in graph.of("aws:iam/role:Role")}
    clusters = graph.of("aws:eks/cluster:Cluster")
    own = {(node.outputs.get("vpcConfig") or {}).get("clusterSecurityGroupId") for node in clusters} - {None}
    if graph.preview:
        return
    for item in graph.objects_of("NodeClass"):
        yield Looked(item.address)
        spec = item.manifest["spec"]
        if roles.get(spec.get("role")) not in entries:
            yield Finding(
                item.address, f"role {spec.get('role')} has no access entry of type EC2; its nodes cannot join"
            )
        groups = {term.get("id") for term in spec.get("securityGroupSelectorTerms", ())}
        if own and not own & groups:
            yield Finding(item.address, "does not name the cluster's security group; its nodes cannot join")
