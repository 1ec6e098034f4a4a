"""Whether a graph's workers may pin memory, asked in their own image before they start.

What a process may lock is its limit (`ulimit -l`), which a container inherits from the node's container runtime and Kubernetes has
no field for; or it is everything, with CAP_IPC_LOCK in effect. A capability that a pod adds, and `privileged` too, is in effect
only for root: Dynamo's images run as user 1000, whose effective set is empty (kubernetes/kubernetes #56374, NVIDIA/nvcf #1354). So
the node's limit decides, and nobody publishes the one of the GB200 AMI: the Job prints both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.batch.v1 import Job

from . import jobs

TIMEOUT_MINUTES = 45
"""For the pull of an image of 20 GB, which the worker on that node then has."""

_IPC_LOCK = 14
"""Bit of CAP_IPC_LOCK (linux/capability.h)."""

PROBE = f"""
set -eu
limit=$(ulimit -l)
effective=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
echo "user $(id -u), ulimit -l $limit (KiB), CapEff $effective"
sed -n 's/^Max locked memory/locked memory, soft and hard:/p' /proc/self/limits
echo "expected: ulimit -l unlimited, or IPC_LOCK (bit {_IPC_LOCK}) in CapEff, which only root has of a capability that is added"
if [ "$limit" = unlimited ] || [ $((0x$effective >> {_IPC_LOCK} & 1)) = 1 ]; then echo "memory can be pinned"; exit 0; fi
echo "FAILED: this user may lock $limit KiB, so registering memory with EFA or UCX fails with ENOMEM; raise LimitMEMLOCK of the \
node's containerd, or run an image whose user is root"
exit 1
""".strip()


def probes(graph: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A Job for each image, security context and place of the graph's workers that pin memory."""
    found: dict[str, dict[str, Any]] = {}
    metadata = manifest["metadata"]
    for component in manifest["spec"]["components"]:
        pod = component["podTemplate"]["spec"]
        worker = pod["containers"][0]
        if "securityContext" not in worker:
            continue
        container = {
            "name": "memlock",
            "image": worker["image"],
            "command": ["/bin/sh", "-c", PROBE],
            "securityContext": worker["securityContext"],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        there = ("imagePullSecrets", "nodeSelector", "tolerations", "securityContext", "hostIPC")
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            **{key: pod[key] for key in there if key in pod},
            "containers": [container],
        }
        name = jobs.short_name(f"memlock-{graph}", json.dumps(spec, sort_keys=True))
        found[name] = {
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "annotations": {"pulumi.com/replaceUnready": "true"},
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": TIMEOUT_MINUTES * 60,
                "template": {"spec": spec},
            },
        }
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class PinnedMemoryArgs:
    graph: str
    manifest: Mapping[str, Any]
    """The graph's object: image, security context and place of its workers are taken from it."""
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it: namespace, nodes, ladder."""


class PinnedMemory(pulumi.ComponentResource):
    """Shows what a graph's workers may pin, and fails when it is not enough for EFA and UCX."""

    ready: list[pulumi.Resource]
    """Its Jobs, passed; the graph depends on them."""
    logs: list[str]
    """Commands that show what was printed."""

    def __init__(self, name: str, args: PinnedMemoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:PinnedMemory", name, {"graph": args.graph}, opts)
        rendered = probes(args.graph, args.manifest)
        self.ready = [
            Job(
                f"{name}-{number}",
                metadata=job["metadata"],
                spec=job["spec"],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # On a node that is not verified it would tell of another fault, or wait for ever.
                    depends_on=list(args.depends_on),
                    # `up` must wait longer than the Job may run, or it reports a time-out instead of the reason.
                    custom_timeouts=pulumi.CustomTimeouts(create=f"{TIMEOUT_MINUTES + 2}m"),
                ),
            )
            for number, job in enumerate(rendered)
        ]
        self.logs = [
            f"kubectl -n {job['metadata']['namespace']} logs job/{job['metadata']['name']}" for job in rendered
        ]
        self.register_outputs({"logs": self.logs})
