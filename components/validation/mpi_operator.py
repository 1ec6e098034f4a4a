"""The MPI operator, which runs the bandwidth tests of the verification ladder.

It has no chart. Its release manifest is one file under a tag; `yaml.v2.ConfigFile` reads it when the program runs under the
engine, and applies it server-side: the CRD is too large for the annotation of a client-side apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.yaml.v2 import ConfigFile

from ..catalog import MPI_OPERATOR_MANIFEST


@dataclass(frozen=True, kw_only=True)
class MpiOperatorArgs:
    manifest: str = MPI_OPERATOR_MANIFEST
    """URL or path of the release's manifest; a mirror for clusters without a way to GitHub."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class MpiOperator(pulumi.ComponentResource):
    """Namespace, CRD, rights and Deployment of the MPI operator."""

    ready: list[pulumi.Resource]
    """MPIJobs depend on it, and go before it."""

    def __init__(self, name: str, args: MpiOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:MpiOperator", name, {"manifest": args.manifest}, opts)
        file = ConfigFile(
            f"{name}-release",
            file=args.manifest,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
        )
        self.ready = [file]
        self.register_outputs({})
