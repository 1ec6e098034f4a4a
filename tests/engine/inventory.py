"""Everything that is in the cluster, to see what a stack leaves behind."""

from __future__ import annotations

from typing import Any

from tests.engine.control_plane import ControlPlane, Refused, until

_PASSING = {"events", "leases", "endpoints", "endpointslices", "componentstatuses"}
"""Kinds that come and go by themselves."""


def inventory(cluster: ControlPlane) -> dict[str, dict[str, Any]]:
    """All objects of all kinds, by `kind namespace/name`."""
    found: dict[str, dict[str, Any]] = {}
    groups = cluster.request("GET", "/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for root in roots:
        for resource in cluster.request("GET", root)["resources"]:
            name = resource["name"]
            if "/" in name or "list" not in resource["verbs"] or name in _PASSING:
                continue
            for item in until(lambda path=f"{root}/{name}": _list(cluster, path), f"{root}/{name}")["items"]:
                metadata = item["metadata"]
                where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
                found[f"{resource['kind']} {where}{metadata['name']}"] = item
    return found


def _list(cluster: ControlPlane, path: str) -> dict[str, Any] | None:
    try:
        return cluster.request("GET", path)
    except Refused as refused:
        if refused.status in (404, 429):  # a kind that is just coming or going
            return None if refused.status == 429 else {"items": []}
        raise
