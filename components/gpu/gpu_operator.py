"""NVIDIA GPU Operator: its namespace and its release. Device plugin, feature discovery and metrics; the rest is the AMI's.

A `helm.v3.Release`, because the chart upgrades its CRDs by a hook, which client-side rendering would drop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from ..catalog import ChartRelease

NAMESPACE = "gpu-operator"
RELEASE_NAME = "gpu-operator"

TIMEOUT_S = 900
"""Operator, feature discovery and the CRD hook; a node of the built-in pool may have to start first."""


@dataclass(frozen=True, kw_only=True)
class GpuOperatorArgs:
    chart: ChartRelease
    """Another version upgrades in place; operands restart node by node."""
    values: Mapping[str, Any]
    """As `values.gpu_operator` gives them."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class GpuOperator(pulumi.ComponentResource):
    """Namespace and Helm release of the GPU Operator."""

    release: Release
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: GpuOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:GpuOperator", name, {"version": args.chart.version}, opts)
        namespace = Namespace(
            f"{name}-namespace",
            # Operands are privileged; where admission enforces a level, they must be allowed here.
            metadata={"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
        )
        self.release = Release(
            f"{name}-release",
            name=RELEASE_NAME,
            chart=args.chart.reference,
            version=args.chart.version,
            namespace=NAMESPACE,
            repository_opts=RepositoryOptsArgs(repo=args.chart.repository),
            values=dict(args.values),
            atomic=True,
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(
                parent=self,
                # The namespace waits for the DRA driver's release, which must be the one to install the ComputeDomain CRD.
                depends_on=[namespace],
            ),
        )
        self.ready = [self.release]
        self.register_outputs({})
