"""One served model: its DynamoGraphDeployment, what its pods' eviction waits for and, where the stack asks for it, a load balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import Service
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

from . import exposure
from .manifest import identity


@dataclass(frozen=True, kw_only=True)
class DynamoGraphArgs:
    manifest: Mapping[str, Any]
    """The object as `manifest.manifest` renders it. Replicas, arguments and images change in place, by a rolling update;
    another backend or other component names replace the graph."""
    compute_domains: Sequence[Mapping[str, Any]] = ()
    """ComputeDomains as `compute_domain.domains` renders them. A changed one is made again, and its workers with it."""
    budgets: Sequence[Mapping[str, Any]] = ()
    """PodDisruptionBudgets as `interruption.budgets` renders them."""
    load_balancer: Mapping[str, Any] | None = None
    """The Service as `exposure.load_balancer` renders it; None keeps the graph inside the cluster."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""
    claims: Sequence[pulumi.Resource] = ()
    """Volume claims that its pods mount: one that is replaced is empty, so that what filled or read it is made again."""
    tokens_per_second: float | None = None
    """Output tokens of the whole graph as measured, for whoever reckons its cost; nothing in the cluster knows it."""


class DynamoGraph(pulumi.ComponentResource):
    """A DynamoGraphDeployment and how it is reached."""

    resource: CustomResource
    service_name: str
    """Service of the frontend inside the cluster."""
    service_url: str
    load_balancer_host: pulumi.Output[str] | None
    """Host name of the load balancer; None without one."""
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: DynamoGraphArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        rendered = args.manifest
        graph, namespace = rendered["metadata"]["name"], rendered["metadata"]["namespace"]
        measured = {} if args.tokens_per_second is None else {"tokensPerSecond": args.tokens_per_second}
        super().__init__("dynamo-eks:index:DynamoGraph", name, {"namespace": namespace, **measured}, opts)
        domains = [self._domain(name, domain, args.depends_on) for domain in args.compute_domains]
        self.resource = CustomResource(
            f"{name}-graph",
            api_version=rendered["apiVersion"],
            kind=rendered["kind"],
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # The operator must be there to admit it and, on destroy, to run its finalizer (NVIDIA/aicr #406); pools,
                # claims and the downloaded model are what its pods start with.
                # A ComputeDomain deleted first stops IMEX under running workers (NVIDIA DRA driver #357).
                depends_on=[*args.depends_on, *domains],
                # The webhook refuses another framework and added or removed components (Dynamo API reference), so such
                # an edit is carried out as a replacement. The name is fixed: the old graph must go first.
                replacement_trigger=identity(rendered),
                delete_before_replace=True,
                # A claim is not deleted while a pod has it mounted: a graph goes before a claim that is made again.
                replace_with=list(args.claims),
                # Workers may take their whole grace period, one after another.
                custom_timeouts=pulumi.CustomTimeouts(delete="30m"),
            ),
        )
        for budget in args.budgets:
            PodDisruptionBudget(
                f"{name}-budget-{budget['metadata']['name'].removeprefix(f'{graph}-')}",
                metadata=budget["metadata"],
                spec=budget["spec"],
                # Gone before the graph, whose pods may then end in any order.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.resource]),
            )
        self.ready = [self.resource]
        self.service_name = exposure.service_name(graph)
        self.service_url = exposure.service_url(graph, namespace)
        self.load_balancer_host = None
        if args.load_balancer is not None:
            service = Service(
                f"{name}-nlb",
                metadata=args.load_balancer["metadata"],
                spec=args.load_balancer["spec"],
                # Deleted before the graph, so that clients are refused and not left hanging.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.resource]),
            )
            self.load_balancer_host = service.status.apply(
                lambda status: (
                    next((item.hostname for item in (status.load_balancer.ingress or [])), "") or ""
                    if status and status.load_balancer
                    else ""
                )
            )
        self.register_outputs({"service_url": self.service_url})

    def _domain(self, name: str, rendered: Mapping[str, Any], depends_on: Sequence[pulumi.Resource]) -> CustomResource:
        return CustomResource(
            f"{name}-domain-{rendered['metadata']['name']}",
            api_version=rendered["apiVersion"],
            kind=rendered["kind"],
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # The DRA driver's controller runs its finalizer, and makes the claim template that pods name.
                depends_on=list(depends_on),
                # The API server refuses every change of the spec.
                replace_on_changes=["spec"],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="20m"),
            ),
        )
