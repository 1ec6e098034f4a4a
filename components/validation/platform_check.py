"""A Job that proves the platform's kinds are served before anything of these kinds is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import ConfigMap, ServiceAccount

from . import jobs

RESOURCES = (
    "nvidia.com/v1beta1/dynamographdeployments",
    "nvidia.com/v1beta1/dynamocomponentdeployments",
    "nvidia.com/v1beta1/dynamographdeploymentscalingadapters",
)
"""What the operator must serve for graphs to be made and run (Dynamo platform CRDs)."""


@dataclass(frozen=True, kw_only=True)
class PlatformCheckArgs:
    namespace: str
    version: str
    """Platform version: the check runs again when it changes."""
    image: str
    timeout_minutes: int = 5
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class PlatformCheck(pulumi.ComponentResource):
    """Waits until the API server serves the platform's resources. Discovery is open to every service account."""

    ready: list[pulumi.Resource]
    """The Job, completed; graphs depend on it."""

    def __init__(self, name: str, args: PlatformCheckArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:PlatformCheck", name, {"version": args.version}, opts)
        program = jobs.script("platform_check")
        timeout_s = args.timeout_minutes * 60
        physical = jobs.short_name("platform-check", args.version, program, args.image, *RESOURCES)
        # The release makes what is checked, and its namespace holds the check.
        child = pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on))
        account = ServiceAccount(
            f"{name}-account", metadata={"name": "platform-check", "namespace": args.namespace}, opts=child
        )
        text = jobs.config_map(physical, args.namespace, program)
        config = ConfigMap(
            f"{name}-program", metadata=text["metadata"], data=text["data"], immutable=text["immutable"], opts=child
        )
        job = jobs.check_job(
            physical,
            namespace=args.namespace,
            service_account="platform-check",
            image=args.image,
            environment={"RESOURCES": ",".join(RESOURCES), "TIMEOUT_S": str(timeout_s)},
            timeout_s=timeout_s,
        )
        made = Job(
            f"{name}-job",
            metadata=job["metadata"],
            spec=job["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account, config, *args.depends_on],
                # `up` must wait longer than the Job may run, or it reports a time-out instead of the reason.
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.timeout_minutes + jobs.STARTUP_S // 60 + 1}m"),
            ),
        )
        self.ready = [made]
        self.register_outputs({})
