"""EKS add-ons of a hybrid cluster: what Auto Mode nodes bring themselves and managed nodes do not.

Networking, Service routing, Pod Identity, DNS, and the agent that looks after GPU, NVLink and kernel of a node. Their DaemonSets stay off Auto Mode nodes by EKS's own affinity; all
are there before the first managed node joins, which without networking would never get ready.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from .addons import AUTO_POOL

MINIMUM_ADDRESSES, WARM_ADDRESSES = 20, 4
"""Addresses a managed node takes when it starts, and keeps spare: for its DaemonSets, workers and daemons of
ComputeDomains. By default a node would take whole interfaces' worth, more than a Local Zone's subnet has."""


def configuration(addon: str) -> dict[str, Any] | None:
    """Settings of an add-on; None for EKS's own."""
    if addon == "vpc-cni":
        return {"env": {"MINIMUM_IP_TARGET": str(MINIMUM_ADDRESSES), "WARM_IP_TARGET": str(WARM_ADDRESSES)}}
    if addon == "coredns":
        # On the built-in pool: a rack's nodes are tainted, and gone after its block.
        return {"nodeSelector": dict(AUTO_POOL)}
    if addon == "eks-node-monitoring-agent":
        # The agent tolerates every taint, its DCGM server by default none (chart 1.7.0): without this it is not on GPU nodes, and
        # the agent reports a DCGM error of every one of them.
        return {"dcgmAgent": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]}}
    return None


@dataclass(frozen=True, kw_only=True)
class HybridAddonsArgs:
    cluster_name: pulumi.Input[str]
    versions: Mapping[str, str]
    """Version by add-on, as components/catalog.py lists them for the cluster's Kubernetes."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class HybridAddons(pulumi.ComponentResource):
    """vpc-cni, kube-proxy, eks-pod-identity-agent, eks-node-monitoring-agent and CoreDNS."""

    ready: list[pulumi.Resource]
    """What managed nodes need before they join, and until they have drained."""

    def __init__(self, name: str, args: HybridAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:HybridAddons", name, dict(args.versions), opts)
        self.ready = []
        for addon, version in args.versions.items():
            settings = configuration(addon)
            self.ready.append(
                aws.eks.Addon(
                    f"{name}-{addon}",
                    cluster_name=args.cluster_name,
                    addon_name=addon,
                    addon_version=version,
                    configuration_values=json.dumps(settings) if settings else None,
                    # What is written here is what runs, whatever was installed by hand before.
                    resolve_conflicts_on_create="OVERWRITE",
                    resolve_conflicts_on_update="OVERWRITE",
                    # CoreDNS starts on the built-in pool, whose nodes need the ways out.
                    opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
                )
            )
        self.register_outputs({})
