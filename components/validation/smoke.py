"""Jobs that prove a graph serves; `pulumi up` waits for them and fails with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import ConfigMap, ServiceAccount
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.rbac.v1 import Role, RoleBinding, RoleRefArgs, SubjectArgs

from . import jobs


@dataclass(frozen=True, kw_only=True)
class SmokeTestArgs:
    graph: str
    namespace: str
    model: str
    """Name that clients ask for."""
    service_url: str
    digest: str
    """Of the graph's object: the test runs again when the graph changes."""
    image: str
    timeout_minutes: int
    efa: bool
    """Whether KV blocks go over EFA, where a slow first answer hints at a wrong backend."""
    stages: Sequence[str] = ("all",)
    """What is proved, one Job each, in this order: `load` (the model is served), `completion` (it answers), or `all`. Two
    Jobs tell a model that does not load from one that does not answer."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


class SmokeTest(pulumi.ComponentResource):
    """Waits for a graph's Ready at its observed generation and posts one chat completion."""

    ready: list[pulumi.Resource]
    """The last Job, completed."""

    def __init__(self, name: str, args: SmokeTestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:SmokeTest", name, {"digest": args.digest}, opts)
        program = jobs.script("smoke")
        timeout_s = args.timeout_minutes * 60
        account_name = f"smoke-{args.graph}"
        # Everything here is named as text, so it follows the graph and goes before it.
        child = pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on))
        metadata = ObjectMetaArgs(name=account_name, namespace=args.namespace)
        account = ServiceAccount(f"{name}-account", metadata=metadata, opts=child)
        role = Role(f"{name}-role", metadata=metadata, rules=jobs.graph_reader(args.graph), opts=child)
        binding = RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=account_name),
            subjects=[SubjectArgs(kind="ServiceAccount", name=account_name, namespace=args.namespace)],
            opts=child,
        )
        before: list[pulumi.Resource] = list(args.depends_on)
        for stage in args.stages:
            whole = stage == "all"
            physical = jobs.short_name(
                f"smoke-{args.graph}" if whole else f"smoke-{args.graph}-{stage}",
                args.digest,
                program,
                args.model,
                str(timeout_s),
                args.image,
            )
            resource = name if whole else f"{name}-{stage}"
            text = jobs.config_map(physical, args.namespace, program)
            config = ConfigMap(
                f"{resource}-program",
                metadata=text["metadata"],
                data=text["data"],
                immutable=text["immutable"],
                opts=child,
            )
            job = jobs.check_job(
                physical,
                namespace=args.namespace,
                service_account=account_name,
                image=args.image,
                environment={
                    "NAMESPACE": args.namespace,
                    "GRAPH": args.graph,
                    "MODEL": args.model,
                    "URL": args.service_url,
                    "TIMEOUT_S": str(timeout_s),
                    "EFA": "true" if args.efa else "false",
                    **({} if whole else {"STAGE": stage}),
                },
                timeout_s=timeout_s,
            )
            made = Job(
                f"{resource}-job",
                metadata=job["metadata"],
                spec=job["spec"],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # Without its rights and its program the pod fails, or never starts; a stage follows the one before.
                    depends_on=[account, role, binding, config, *before],
                    # `up` must wait longer than the Job may run, or it reports a time-out instead of the reason.
                    custom_timeouts=pulumi.CustomTimeouts(create=f"{args.timeout_minutes + jobs.STARTUP_S // 60 + 1}m"),
                ),
            )
            before = [*args.depends_on, made]
        self.ready = before[len(args.depends_on) :]
        self.register_outputs({})
