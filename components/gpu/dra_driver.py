"""NVIDIA's DRA driver: its namespace and its release, for ComputeDomains only.

It owns the ComputeDomain CRD: the GPU Operator's chart ships an older copy that demands `numNodes`, and Helm installs a
CRD only where there is none, so whoever comes first decides (NVIDIA/aicr #2715). The operator's release therefore
depends on this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from ..catalog import ChartRelease

NAMESPACE = "nvidia-dra-driver-gpu"
"""As in the EKS User Guide. The chart refuses `default`."""

RELEASE_NAME = "nvidia-dra-driver-gpu"
"""Stated, because a random suffix would land in labels that cannot be changed."""

TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class DraDriverArgs:
    chart: ChartRelease
    """Another chart (25.x against 0.x) replaces the release: drain the racks first, claims do not survive it."""
    values: Mapping[str, Any]
    """As `values.dra_driver` gives them."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class DraDriver(pulumi.ComponentResource):
    """Namespace and Helm release of the DRA driver."""

    release: Release
    ready: list[pulumi.Resource]
    """The release, whose controller runs the finalizers of ComputeDomains; they are deleted before it."""

    def __init__(self, name: str, args: DraDriverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:DraDriver", name, {"version": args.chart.version}, opts)
        namespace = Namespace(
            f"{name}-namespace",
            metadata={
                "name": NAMESPACE,
                # The kubelet plugin is privileged; where admission enforces a level, it must be allowed here.
                "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
        )
        self.release = Release(
            f"{name}-release",
            name=RELEASE_NAME,
            chart=args.chart.reference,
            version=args.chart.version,
            namespace=NAMESPACE,
            repository_opts=RepositoryOptsArgs(repo=args.chart.repository) if args.chart.repository else None,
            values=dict(args.values),
            atomic=True,
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Helm is told the namespace as text, and the namespace waits for the nodes: they outlive the release, whose
                # plugin unprepares claims on destroy.
                depends_on=[namespace],
                # One release name, two charts: the old one must be gone before the new one takes it.
                replacement_trigger=args.chart.name,
                delete_before_replace=True,
            ),
        )
        self.ready = [self.release]
        self.register_outputs({})
