"""Services by which clients reach a graph's frontend."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .interruption import COMPONENT_LABEL, GRAPH_LABEL

SCHEME_ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-scheme"
"""Of a load balancer: `internet-facing`, or `internal`."""

TAGS_ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"
"""Pairs `key=value` with commas between them; the controller takes each apart at its first `=`
(aws-load-balancer-controller, pkg/annotations/parser.go)."""

FRONTEND_PORT = 8000
"""Port of the frontend and of the ClusterIP Service that the operator makes for it."""


def service_name(graph: str) -> str:
    """Name of the Service the operator makes."""
    return f"{graph}-frontend"


def service_url(graph: str, namespace: str) -> str:
    """Address inside the cluster."""
    return f"http://{service_name(graph)}.{namespace}.svc:{FRONTEND_PORT}"


CURL_MAX_TOKENS = 64
"""Length of the answer that the printed command asks for. Without one the mocker refuses: HTTP 500 up to 1.5.0, 400 from
1.6.0 ("`max_tokens` is required by the mocker worker"), and a worker that failed so is left out for some seconds (run
with 1.4.0, 1.5.0 and 1.6.1)."""


def curl(model: str, url: str, *, stream: bool = False) -> str:
    """A shell command that asks a model for a completion. `url` is what stands before the path."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": CURL_MAX_TOKENS,
    }
    if stream:
        body["stream"] = True
    return (
        f"curl -s{'N' if stream else ''} {url}/v1/chat/completions -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(body))}"
    )


def curl_lines(model: str, url: str) -> list[str]:
    """Shell commands that reach a frontend: its models, a completion, and one that comes as it is made."""
    return [f"curl -s {url}/v1/models", curl(model, url), curl(model, url, stream=True)]


def load_balancer(
    graph: str,
    namespace: str,
    *,
    scheme: str,
    allowed_cidrs: Sequence[str],
    port: int,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A second Service for a Network Load Balancer of EKS Auto Mode; v1beta1 graphs have no field for it.

    `tags` are put on the load balancer, its listeners, target group and security group; the cluster's role must be
    allowed to (EKS User Guide, "Use Service Annotations to configure Network Load Balancers").
    """
    tagged = {TAGS_ANNOTATION: ",".join(f"{key}={value}" for key, value in sorted(tags.items()))} if tags else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"{graph}-frontend-nlb",
            "namespace": namespace,
            "annotations": {
                SCHEME_ANNOTATION: "internet-facing" if scheme == "public" else "internal",
                # Straight to the pods: no hop through other nodes, and the client's address is kept.
                "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
                "service.beta.kubernetes.io/aws-load-balancer-healthcheck-path": "/health",
                "service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol": "http",
                **tagged,
            },
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "eks.amazonaws.com/nlb",
            "loadBalancerSourceRanges": list(allowed_cidrs),
            "selector": {GRAPH_LABEL: graph, COMPONENT_LABEL: "frontend"},
            # Named by its number: where an apply adds the new port before the old one is given up, one name would stand twice,
            # which the API server refuses.
            "ports": [{"name": f"http-{port}", "port": port, "targetPort": FRONTEND_PORT, "protocol": "TCP"}],
        },
    }
