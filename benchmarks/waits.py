"""`python -m benchmarks.waits`: zero to first token against what cannot be shorter, and against one step after another.

The lower bound is the longest chain of waits that nobody can leave out (`NEEDS`, each with its reason): the same durations, and no
other edge of the program. The order of Dynamo's guide for EKS is everything one after another, each part as long as it takes by itself.
Goals: at most 1.05 times the bound, and half of the guide's order. Nothing is measured; durations are medians.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recording.graph import Graph
from review.steps import Step
from review.time import passed, timeline

GOAL_BOUND, GOAL_ORDER = 1.05, 2.0

NEEDS: tuple[tuple[str, str, str], ...] = (
    ("aws:ec2/subnet:*", "aws:ec2/vpc:*", "lies in it"),
    ("aws:ec2/internetGateway:*", "aws:ec2/vpc:*", "is attached to it"),
    ("aws:ec2/eip:*", "aws:ec2/internetGateway:*", "is mapped through it"),
    ("aws:ec2/natGateway:*", "aws:ec2/eip:*", "has it"),
    ("aws:ec2/natGateway:*", "aws:ec2/subnet:*-public-*", "lies in it"),
    ("aws:ec2/natGateway:*", "aws:ec2/route:*-public-out", "goes out by it"),
    ("aws:ec2/route:*-public-out", "aws:ec2/internetGateway:*", "leads to it"),
    ("aws:ec2/route:*-private-*", "aws:ec2/natGateway:*", "leads to it"),
    ("aws:iam/rolePolicyAttachment:*-eksRole-*", "aws:iam/role:*-eksRole-role", "gives it rights"),
    ("aws:eks/cluster:*", "aws:iam/rolePolicyAttachment:*-eksRole-*", "works by them"),
    ("aws:eks/cluster:*", "aws:ec2/subnet:*-private-*", "has interfaces there"),
    ("aws:eks/cluster:*", "aws:kms/key:*", "encrypts by it"),
    ("aws:eks/cluster:*", "aws:ec2/route:*-private-*", "in a destroy its last nodes leave by it (aws-samples/appmod-blueprints #582)"),
    ("aws:eks/addon:*", "aws:eks/cluster:*", "is of it"),
    ("aws:iam/rolePolicy:*-tags", "aws:eks/cluster:*", "is of the cluster's role"),
    ("aws:efs/mountTarget:*", "aws:efs/fileSystem:*", "is of it"),
    ("aws:efs/mountTarget:*", "aws:ec2/subnet:*-private-*", "lies in it"),
    ("*:StorageClass::storage-*", "aws:eks/cluster:*", "is an object there"),
    ("*:StorageClass::storage-efs", "aws:eks/addon:*efs-csi", "in a destroy its claims need it; it serves them"),
    ("*:StorageClass::storage-local-zone", "aws:eks/addon:*efs-csi", "in a destroy its claims need it; it serves them"),
    ("*:StorageClass::storage-efs", "aws:efs/mountTarget:*", "mounts by it"),
    ("*:StorageClass::storage-local-zone", "aws:efs/mountTarget:*", "mounts by it"),
    ("*:PersistentVolumeClaim::*", "*:StorageClass::storage-efs", "is of it"),
    ("*:PersistentVolumeClaim::*", "*:StorageClass::storage-local-zone", "is of it"),
    ("*:PersistentVolumeClaim::*", "*:Namespace::namespace-*", "is in it"),
    ("*:Job::cache-*", "*:PersistentVolumeClaim::*model-cache", "writes to it"),
    ("*:DynamoGraphDeployment::*", "*:Job::cache-*", "reads what it wrote"),
    ("*:NodeClass::*", "aws:eks/cluster:*", "is an object there"),
    ("*:NodePool::*", "*:NodeClass::*", "launches by it"),
    ("*:Release::platform-*", "*:StorageClass::storage-ebs", "its volumes are of the default class"),
    ("*:Release::platform-*", "*:Namespace::platform-*", "is in it"),
    ("*:Job::platform-check-*", "*:Release::platform-*", "asks for what it installs"),
    ("*:DynamoGraphDeployment::*", "*:Job::platform-check-*", "is refused without the operator"),
    ("*:DynamoGraphDeployment::*", "*:NodePool::*", "runs there"),
    ("aws:eks/nodeGroup:*", "aws:eks/addon:*hybrid-*", "its nodes have no network without"),
    ("aws:eks/addon:*hybrid-*", "aws:iam/rolePolicy:*-tags", "nodes are launched with tags"),
    ("*:Release::dra-driver-*", "aws:eks/nodeGroup:*", "in a destroy it must end on living nodes"),
    ("*:Release::gpu-operator-*", "*:Release::dra-driver-*", "the first ComputeDomain kind stays (NVIDIA/aicr #2715)"),
    ("*:Deployment::mpi-operator-*", "aws:eks/cluster:*", "is an object there"),
    ("*:Job::verify-*-devices-*", "*:Release::gpu-operator-*", "looks for what it labels"),
    ("*:Job::verify-*-imex", "*:Job::verify-*-devices-*", "a rung after the other"),
    ("*:MPIJob::*-nvbandwidth", "*:Job::verify-*-imex", "a rung after the other"),
    ("*:MPIJob::*", "*:Deployment::mpi-operator-*", "is run by it"),
    ("*:Job::verify-*-nvbandwidth-*", "*:MPIJob::*-nvbandwidth", "judges it"),
    ("*:MPIJob::*-nccl", "*:Job::verify-*-nvbandwidth-*", "a rung after the other"),
    ("*:Job::verify-*-nccl-*", "*:MPIJob::*-nccl", "judges it"),
    ("*:MPIJob::*-efa", "*:Job::verify-*-nccl-*", "a rung after the other"),
    ("*:Job::verify-*-efa-*", "*:MPIJob::*-efa", "judges it"),
    ("*:Job::memlock-*", "*:Job::verify-*-efa-*", "a rung after the other"),
    ("*:DynamoGraphDeployment::*", "*:Job::memlock-*", "a rung after the other"),
    ("*:Release::gang-*", "*:Release::gpu-operator-*", "with auto-MNNVL it exits without the ComputeDomain kind"),
    ("*:Release::gang-grove", "*:Release::gang-kai", "hands its gangs over"),
    ("*:Release::platform-*", "*:Release::gang-grove", "watches its kinds"),
)  # fmt: skip
"""What, what it cannot do without, and why. Keys, by pattern."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds from zero to the first token."""

    seconds: float
    bound: float
    order: float

    @property
    def over_bound(self) -> float:
        return self.seconds / self.bound

    @property
    def saved(self) -> float:
        return self.order / self.seconds


def needed(graph: Graph) -> dict[str, list[str]]:
    """What each resource cannot go without, of that which it waits for: of one in each zone it is that of its own."""
    keys = [node.key for node in graph]
    found: dict[str, list[str]] = {}
    for what, before, _ in NEEDS:
        there = set(fnmatch.filter(keys, before))
        for key in fnmatch.filter(keys, what):
            found.setdefault(key, []).extend(sorted(there & graph.requires(key)))
    return found


def shortest(graph: Graph, steps: Sequence[Step]) -> list[Step]:
    """The same steps, each after what it cannot go without; what a graph goes through stays as it is."""
    needs = needed(graph)
    return [step if step.key != step.of else replace(step, after=tuple(needs.get(step.key, ()))) for step in steps]


def by_part(graph: Graph, steps: Sequence[Step]) -> list[list[Step]]:
    """Steps by top-level component, in the order of the program; what belongs to none is a part by itself."""
    parts: dict[str, list[Step]] = {}
    for step in steps:
        node = graph[step.of]
        while node.parent is not None:
            node = graph[node.parent]
        parts.setdefault(node.key, []).append(step)
    return list(parts.values())


def compared(graph: Graph) -> Compared | None:
    """None for a stack whose graphs all wait for a block."""
    found = timeline(graph)
    if found.first is None:
        return None
    seconds = {step.key: found.took(step) for step in found.steps}
    bound = passed(shortest(graph, found.steps), seconds).end[found.first]
    before = graph.requires(found.first.removesuffix("/first-token")) | {found.first.removesuffix("/first-token")}
    order = sum(
        passed(part, seconds).total for part in by_part(graph, [step for step in found.steps if step.of in before])
    )
    return Compared(found.median.end[found.first], bound, order)


def main() -> None:
    from review.plan import make
    from stacks import stackfile

    at = datetime.fromisoformat("2026-12-02T12:00:00+00:00")
    print(
        f"{'stack':14} {'min':>6} {'bound':>6} {'over':>6} {'in order':>9} {'saved':>6}   (goals {GOAL_BOUND} and {GOAL_ORDER})"
    )
    for stack in sys.argv[1:] or stackfile.available():
        row = compared(make(stackfile.read(stack), at=at).graph)
        if row is not None:
            print(
                f"{stack:14} {row.seconds / 60:6.1f} {row.bound / 60:6.1f} {row.over_bound:6.2f} {row.order / 60:9.1f} {row.saved:6.2f}"
            )


if __name__ == "__main__":
    main()
