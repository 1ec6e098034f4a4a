"""The Dynamo platform: its operator by the dynamo-platform chart, in a namespace of its own.

Makes the namespace, a pull secret where the stack gives one, and the Helm release. The chart's init container applies
the CRDs, so graphs depend on the release, and are destroyed before it while the operator can still run finalizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from .namespace import RegistryLogin, pull_secret

CHART = "dynamo-platform"

RELEASE_NAME = "dynamo-platform"
"""Stated, because a random suffix would land in every label and service name."""

TIMEOUT_S = 900
"""The operator's image, its webhook certificate and the CRDs take two to five minutes; a node may have to start first."""


@dataclass(frozen=True, kw_only=True)
class DynamoPlatformArgs:
    namespace: str
    """Namespace of the operator. Changing it replaces the platform."""
    version: str
    """Chart version. Raising it upgrades in place; while the operator restarts no graph can be changed."""
    repository: str
    """Helm repository of the chart."""
    values: Mapping[str, Any]
    """Chart values, as `values.platform_values` gives them."""
    registry: RegistryLogin | None = None
    """Login for the operator's image; None for a public registry or an existing Secret."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class DynamoPlatform(pulumi.ComponentResource):
    """Namespace and Helm release of the Dynamo operator."""

    namespace: str
    ready: list[pulumi.Resource]
    """What graphs depend on: the release, whose operator runs their finalizers on destroy."""

    def __init__(self, name: str, args: DynamoPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:DynamoPlatform", name, {"version": args.version}, opts)
        self.namespace = args.namespace
        self.namespace_object = Namespace(
            f"{name}-namespace",
            metadata={"name": args.namespace},
            opts=pulumi.ResourceOptions(
                parent=self,
                # Storage classes, access entries and the way out: the operator's pod needs a node that can join.
                depends_on=list(args.depends_on),
            ),
        )
        before: list[pulumi.Resource] = [self.namespace_object]
        if args.registry is not None:
            child = pulumi.ResourceOptions(parent=self, depends_on=[self.namespace_object])
            before.append(pull_secret(f"{name}-registry", args.namespace, args.registry, child))
        self._release(name, args, before)
        self.register_outputs({"namespace": self.namespace})

    def _release(self, name: str, args: DynamoPlatformArgs, depends_on: list[pulumi.Resource]) -> None:
        release = Release(
            f"{name}-release",
            name=RELEASE_NAME,
            chart=CHART,
            version=args.version,
            namespace=args.namespace,
            repository_opts=RepositoryOptsArgs(repo=args.repository),
            values=args.values,
            # A half-installed operator would refuse every graph through its webhook; roll back and say so instead.
            atomic=True,
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Helm is told namespace and pull secret as text, so nothing else orders the release after them.
                depends_on=depends_on,
                # In another namespace it is another release of the same cluster roles and webhooks, which Helm refuses to
                # take over while the old one holds them.
                delete_before_replace=True,
            ),
        )
        self.release = release
        self.ready = [release]
