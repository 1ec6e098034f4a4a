"""AWS's EFA device plugin on the nodes of UltraServers; Auto Mode nodes have their own built in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from ..catalog import ChartRelease

RELEASE_NAME = "aws-efa-k8s-device-plugin"


@dataclass(frozen=True, kw_only=True)
class EfaPluginArgs:
    chart: ChartRelease
    values: Mapping[str, Any]
    """As `values.efa_plugin` gives them."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class EfaPlugin(pulumi.ComponentResource):
    """Helm release of the EFA device plugin, in kube-system."""

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: EfaPluginArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:EfaPlugin", name, {"version": args.chart.version}, opts)
        release = Release(
            f"{name}-release",
            name=RELEASE_NAME,
            chart=args.chart.reference,
            version=args.chart.version,
            namespace="kube-system",
            repository_opts=RepositoryOptsArgs(repo=args.chart.repository),
            values=dict(args.values),
            atomic=True,
            timeout=300,
            # The nodes it runs on outlive it, so that a destroy can remove it from living ones.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
        )
        self.ready = [release]
        self.register_outputs({})
