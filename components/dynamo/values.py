"""Helm values of the dynamo-platform chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def platform_values(
    *,
    pod_monitors: bool,
    prometheus_endpoint: str = "",
    image_pull_secrets: Sequence[str] = (),
    gang_scheduling: bool = False,
) -> dict[str, Any]:
    """Values for the chart; the paths are those of 1.4 and later (chart values.yaml).

    Brokers stay off: discovery is the Kubernetes API, requests go over TCP and events over ZMQ, so nothing waits for a
    default StorageClass (aws-samples/aws-do-eks #37) and frontends see the workers (ai-dynamo/dynamo #9200). Grove and
    KAI are for multi-node graphs and installed apart from the chart, whose bundled ones are for trials; with Grove enabled
    every graph becomes a PodCliqueSet, except those that opt out.
    """
    operator: dict[str, Any] = {
        # The chart's own init container applies the CRDs, conversion stanza included (ai-dynamo/dynamo #10419).
        "upgradeCRD": True,
        "discoveryBackend": "kubernetes",
        "dynamo": {
            "metrics": {
                "prometheusEndpoint": prometheus_endpoint,
                # Left to itself the chart looks for the CRD at install time, and never again.
                "podMonitors": {"enabled": pod_monitors},
            }
        },
        "metricsService": {"enabled": pod_monitors},
    }
    if image_pull_secrets:
        operator["imagePullSecrets"] = [{"name": name} for name in image_pull_secrets]
    return {
        "global": {
            "nats": {"install": False},
            "etcd": {"install": False},
            "grove": {"install": False, "enabled": gang_scheduling},
            "kai-scheduler": {"install": False, "enabled": gang_scheduling},
        },
        "dynamo-operator": operator,
    }
