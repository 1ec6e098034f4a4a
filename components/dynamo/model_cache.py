"""A model in the cache of a namespace: one download Job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.batch.v1 import Job


@dataclass(frozen=True, kw_only=True)
class ModelCacheArgs:
    job: Mapping[str, Any]
    """The Job as `download.cache_job` renders it. Any change is another Job, under another name."""
    repository: str = ""
    facts: Mapping[str, Any] | None = None
    """What is known of the model, told to whoever reads the plan; nothing is made of it."""
    timeout_minutes: int
    """How long `pulumi up` waits for the download."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""
    claims: Sequence[pulumi.Resource] = ()
    """Volume claims that its pods mount: one that is replaced is empty, so that what filled or read it is made again."""


class ModelCache(pulumi.ComponentResource):
    """Downloads one revision of a model. Deleting it keeps the files."""

    ready: list[pulumi.Resource]
    """The Job; graphs that read the model start after it has completed."""

    def __init__(self, name: str, args: ModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        told = {
            **({"repository": args.repository} if args.repository else {}),
            **({"facts": dict(args.facts)} if args.facts else {}),
        }
        super().__init__("dynamo-eks:index:ModelCache", name, {"job": args.job["metadata"]["name"], **told}, opts)
        job = Job(
            f"{name}-job",
            metadata={  # pyright: ignore[reportArgumentType] the SDK takes keys as on the wire
                **args.job["metadata"],
                # A failed Job is not left for dead: the next `up` makes it again, and it resumes.
                "annotations": {"pulumi.com/replaceUnready": "true"},
            },
            spec=args.job["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # Claim and token must be there before the pod, and after it.
                depends_on=list(args.depends_on),
                # A claim made again is empty, and the Job that filled the old one would not run a second time.
                replace_with=list(args.claims),
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.timeout_minutes}m"),
            ),
        )
        self.ready = [job]
        self.register_outputs({})
