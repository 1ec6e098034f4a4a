"""The verification ladder of one rack as resources: `pulumi up` climbs it, and stops at the first rung that fails.

Makes a namespace, an account with the rights of the judging Jobs, one ComputeDomain, and per rung a Job, preceded by an
MPIJob where bandwidth is measured. Assumes that the rack's node group, the GPU Operator, the DRA driver, the EFA plugin
and the MPI operator are there, which the caller says by `depends_on`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, ServiceAccount
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.rbac.v1 import (
    ClusterRole,
    ClusterRoleBinding,
    Role,
    RoleBinding,
    RoleRefArgs,
    SubjectArgs,
)

from . import jobs
from . import ladder_objects as objects
from .ladder_objects import Check, RackUnderTest

_RBAC = "rbac.authorization.k8s.io"

_NOT_RUN = {"verdict": "not run", "reason": "its Job has not been seen to succeed", "figures": "{}"}
"""Of a rung without a result."""

_NOTHING = {"verdict": "fail", "reason": "the result says nothing", "figures": "{}"}
"""A result ConfigMap that somebody emptied."""


@dataclass(frozen=True, kw_only=True)
class VerificationLadderArgs:
    tested: RackUnderTest
    check_image: str
    """Python, standard library only; runs on any node."""
    nvbandwidth_image: str = objects.NVBANDWIDTH_IMAGE
    """Also the image of the `imex` rung, which needs a shell only."""
    nccl_image: str = objects.NCCL_TESTS_IMAGE
    rungs: Sequence[str] = objects.RUNGS
    """Rungs to climb; the order is fixed. One left out is reported as left out, never as passed."""
    timeout_minutes: Mapping[str, int] = field(default_factory=dict)
    """By rung, where the default is not enough."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""

    def __post_init__(self) -> None:
        unknown = sorted({*self.rungs, *self.timeout_minutes} - set(objects.RUNGS))
        if unknown:
            raise ValueError(f"rungs: there is no {', '.join(unknown)}; choose from {', '.join(objects.RUNGS)}")

    def minutes(self, rung: str) -> int:
        """How long a rung may take."""
        return self.timeout_minutes.get(rung, objects.TIMEOUT_MINUTES[rung])


class VerificationLadder(pulumi.ComponentResource):
    """Proves a rack from its devices to all-reduces over all its GPUs, by NVLink and by EFA, before anything is served from it."""

    ready: list[pulumi.Resource]
    """The last rung, passed; whatever uses the rack depends on it."""
    results: dict[str, pulumi.Output[dict[str, Any]]]
    """By rung: `verdict` (`pass`, `fail` or `left out`), `reason` and `figures`."""

    def __init__(self, name: str, args: VerificationLadderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        tested = args.tested
        super().__init__(
            "dynamo-eks:index:VerificationLadder",
            name,
            {"rack": tested.rack.name, "reservation": tested.rack.spec.reservation},
            opts,
        )
        self._name, self._args = name, args
        renderers: dict[str, Callable[..., dict[str, Any]]] = {
            "nvbandwidth": lambda **given: objects.nvbandwidth_job(tested, image=args.nvbandwidth_image, **given),
            "nccl": lambda **given: objects.nccl_job(tested, image=args.nccl_image, **given),
            "efa": lambda **given: objects.efa_job(tested, image=args.nccl_image, **given),
        }
        runs = {
            rung: render(timeout_s=args.minutes(rung) * 60) for rung, render in renderers.items() if rung in args.rungs
        }
        namespace = Namespace(
            f"{name}-namespace",
            metadata={"name": tested.namespace, "labels": tested.labels},
            # Everything in it follows the drivers and operators it is checked with, and goes before them.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.depends_on)),
        )
        self._rights = self._account(namespace, [run["metadata"]["name"] for run in runs.values()])
        rendered = objects.compute_domain(tested)
        self._domain = CustomResource(
            f"{name}-domain",
            api_version=rendered["apiVersion"],
            kind=rendered["kind"],
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[namespace],
                # The spec cannot be changed, and the name is fixed.
                replace_on_changes=["spec"],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="10m"),
            ),
        )
        self.ready = [namespace]
        self.results = {}
        for rung in objects.RUNGS:
            if rung not in args.rungs:
                self.results[rung] = pulumi.Output.from_input(_told("left out", "the stack leaves this rung out"))
            elif rung == "imex":
                self._imex()
            elif rung == "devices":
                self._judge(
                    rung, objects.devices_check(tested, image=args.check_image, timeout_s=args.minutes(rung) * 60), []
                )
            else:
                self._measure(rung, runs[rung])
        self.register_outputs({"results": self.results})

    def _account(self, namespace: Namespace, runs: Sequence[str]) -> list[pulumi.Resource]:
        """The account of the judging Jobs and its rights."""
        tested = self._args.tested
        child = pulumi.ResourceOptions(parent=self, depends_on=[namespace])
        metadata = ObjectMetaArgs(name=tested.name, namespace=tested.namespace, labels=tested.labels)
        wide = ObjectMetaArgs(name=tested.cluster_name, labels=tested.labels)
        subjects = [SubjectArgs(kind="ServiceAccount", name=tested.name, namespace=tested.namespace)]
        account = ServiceAccount(f"{self._name}-account", metadata=metadata, opts=child)
        rules: Any = objects.role_rules(tested, runs)
        role = Role(f"{self._name}-role", metadata=metadata, rules=rules, opts=child)
        binding = RoleBinding(
            f"{self._name}-binding",
            metadata=metadata,
            role_ref=RoleRefArgs(api_group=_RBAC, kind="Role", name=tested.name),
            subjects=subjects,
            opts=child,
        )
        made: list[pulumi.Resource] = [account, role, binding]
        if "devices" in self._args.rungs:
            rules = objects.cluster_rules()
            made.append(ClusterRole(f"{self._name}-cluster-role", metadata=wide, rules=rules, opts=child))
            made.append(
                ClusterRoleBinding(
                    f"{self._name}-cluster-binding",
                    metadata=wide,
                    role_ref=RoleRefArgs(api_group=_RBAC, kind="ClusterRole", name=tested.cluster_name),
                    subjects=subjects,
                    opts=child,
                )
            )
        return made

    def _imex(self) -> None:
        """The rung whose Job is its own result."""
        args = self._args
        rendered = objects.imex_job(args.tested, image=args.nvbandwidth_image, timeout_s=args.minutes("imex") * 60)
        made = Job(
            f"{self._name}-imex",
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # Its claim is made from a template that the DRA driver makes for the domain.
                depends_on=[self._domain, *self.ready],
                # `up` must wait longer than the Job may run, or it reports a time-out instead of the reason.
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.minutes('imex') + 2}m"),
            ),
        )
        self.ready = [made]
        # From what the Job's status says, so that a plan, in which nothing ran, claims no pass.
        self.results["imex"] = made.status.apply(
            lambda status: _told("pass", "") if status and status.succeeded else _told(**_NOT_RUN)
        )

    def _measure(self, rung: str, rendered: Mapping[str, Any]) -> None:
        """The MPIJob, and the Job that judges it."""
        run = CustomResource(
            f"{self._name}-{rung}",
            api_version=rendered["apiVersion"],
            kind=rendered["kind"],
            metadata=rendered["metadata"],
            spec=rendered["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # The domain must be there first, and go last: deleting it ends IMEX under pods that run (DRA driver #357).
                depends_on=[self._domain, *self.ready],
                # The nodes have room for one run, and the rules of the operator allow no change of one.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="10m"),
            ),
        )
        args = self._args
        check = objects.measured_check(
            args.tested, rung, rendered, image=args.check_image, timeout_s=args.minutes(rung) * 60
        )
        self._judge(rung, check, [run])

    def _judge(self, rung: str, check: Check, runs: Sequence[pulumi.Resource]) -> None:
        """A rung's judging Job, and its result read back."""
        resource = f"{self._name}-{rung}-check"
        config = ConfigMap(
            f"{resource}-program",
            metadata=check.config_map["metadata"],
            data=check.config_map["data"],
            immutable=check.config_map["immutable"],
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._rights),
        )
        made = Job(
            f"{resource}-job",
            metadata=check.job["metadata"],
            spec=check.job["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # Without its rights and its program the pod fails, or never starts; a rung follows the one before.
                depends_on=[*self._rights, config, *self.ready, *runs],
                # `up` must wait longer than the Job may run, or it reports a time-out instead of the reason.
                custom_timeouts=pulumi.CustomTimeouts(create=f"{self._args.minutes(rung) + jobs.STARTUP_S // 60 + 1}m"),
            ),
        )
        self.ready = [made]
        tested = self._args.tested
        result = objects.result_name(tested, rung)
        # The id of a Job that is still to run is unknown, and an unknown ConfigMap is not read.
        read = ConfigMap.get(
            f"{resource}-result",
            made.id.apply(lambda _: f"{tested.namespace}/{result}"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.results[rung] = read.data.apply(lambda data: _told(**{**_NOTHING, **(data or {})}))


def _told(verdict: str, reason: str, figures: str = "{}", **_: str) -> dict[str, Any]:
    """One rung's result as it is exported."""
    return {"verdict": verdict, "reason": reason, "figures": json.loads(figures)}
