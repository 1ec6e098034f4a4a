"""The gang scheduler of a stack with multi-node graphs.

Makes the releases of KAI and Grove at the versions the Dynamo release asks for, the program's queues, and the topology
by which a gang is kept in one NVLink domain. Assumes that the DRA driver is there, whose CRD Grove may look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release

from .. import catalog
from . import gang

KAI_NAMESPACE, GROVE_NAMESPACE = "kai-scheduler", "grove-system"

TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class GangSchedulerArgs:
    kai_version: str
    """Chart version, with its `v`. It follows the Dynamo release."""
    grove_version: str
    """Chart version, with its `v`. It follows the Dynamo release: a Grove of another one may not know its objects."""
    gpus: int
    """GPUs of all racks: quota and limit of the graphs' queue."""
    auto_mnnvl: bool
    """Whether a graph leaves its ComputeDomain to Grove."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class GangScheduler(pulumi.ComponentResource):
    """KAI scheduler, Grove, queues and topology."""

    ready: list[pulumi.Resource]
    """What multi-node graphs depend on; queues and topology go after them."""

    def __init__(self, name: str, args: GangSchedulerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {"kai": args.kai_version, "grove": args.grove_version}
        super().__init__("dynamo-eks:index:GangScheduler", name, inputs, opts)
        kai = self._release(
            name,
            "kai",
            catalog.KAI_REFERENCE,
            args.kai_version,
            KAI_NAMESPACE,
            gang.kai_values(),
            list(args.depends_on),
        )
        grove = self._release(
            name, "grove", catalog.GROVE_REFERENCE, args.grove_version, GROVE_NAMESPACE,
            gang.grove_values(auto_mnnvl=args.auto_mnnvl),
            # Grove looks for its scheduler's kinds when it starts.
            [*args.depends_on, kai],
        )  # fmt: skip
        parent, queue = gang.queues(args.gpus)
        # KAI's chart brings the kinds; a child queue is refused while its parent is not there.
        above = self._object(f"{name}-queue-parent", parent, [kai])
        below = self._object(f"{name}-queue", queue, [kai, above])
        topology = self._object(f"{name}-topology", gang.topology(), [kai])
        binding = self._object(f"{name}-topology-binding", gang.topology_binding(), [grove, topology])
        self.ready = [kai, grove, above, below, topology, binding]
        self.register_outputs({})

    def _release(
        self,
        name: str,
        part: str,
        chart: str,
        version: str,
        namespace: str,
        values: dict[str, Any],
        depends_on: list[pulumi.Resource],
    ) -> Release:
        holder = Namespace(
            f"{name}-{part}-namespace",
            metadata={"name": namespace},
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on),
        )
        return Release(
            f"{name}-{part}",
            name=part if part == "grove" else gang.SCHEDULER,
            chart=chart,
            version=version,
            namespace=namespace,
            values=values,
            atomic=True,
            timeout=TIMEOUT_S,
            # Helm is told the namespace as text.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[holder]),
        )

    def _object(self, name: str, rendered: dict[str, Any], depends_on: list[pulumi.Resource]) -> CustomResource:
        return CustomResource(
            name,
            api_version=rendered["apiVersion"],
            kind=rendered["kind"],
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            # The chart that brings the kind outlives the object, whose finalizers its controllers run.
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on),
        )
