"""Which CRDs the control plane serves: for every custom kind, the file behind the table that the plan checks it with.

The files are real (CONTRACTS_DIR), but for the NodeClass of EKS Auto Mode, which nobody publishes and which
`tools/shapes/sources` describes by hand. Two things are changed, because there is no operator to convert: conversion is
switched off, and the newest version is the stored one, so that nothing is pruned by the schema of another version.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rules.objects import versions as versions_of
from schemas.strict import Shapes
from tests.conftest import STACKS, recorded
from tools.shapes.read import contracts as sources

_STAGES = {"alpha": 0, "beta": 1, "": 2}


def running() -> dict[str, str]:
    """Versions of Kubernetes and of every chart that the shipped stacks use, as their rules see them."""
    found: dict[str, str] = {}
    for stack in STACKS:
        found |= versions_of(recorded(stack))
    return found


def served(contracts: Path, versions: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """CRDs by name. `versions` says what the stacks run, as `rules.objects.versions` does."""
    shapes = Shapes.load()
    found: dict[str, dict[str, Any]] = {}
    for source in sources(contracts):
        for crd in source.crds:
            spec = crd["spec"]
            newest = max((item["name"] for item in spec["versions"] if item.get("served", True)), key=_age)
            kind = {"apiVersion": f"{spec['group']}/{newest}", "kind": spec["names"]["kind"]}
            if shapes.check(kind, versions).table == f"{source.name} {source.version}":
                found[crd["metadata"]["name"]] = _without_conversion(crd, newest)
    return found


def _age(version: str) -> tuple[int, int, int]:
    """Order of API versions: v1alpha1, v1alpha2, v1beta1, v1, v2beta1, v2."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (-1, 0, 0)
    return (_STAGES[match[2] or ""], int(match[1]), int(match[3] or 0))


def _without_conversion(crd: Mapping[str, Any], stored: str) -> dict[str, Any]:
    changed = copy.deepcopy({key: crd[key] for key in ("apiVersion", "kind", "spec")})
    # Annotations carry the generator's version, and for one group the approval without which the server refuses it.
    changed["metadata"] = {
        "name": crd["metadata"]["name"],
        "annotations": dict(crd["metadata"].get("annotations") or {}),
    }
    changed["spec"]["conversion"] = {"strategy": "None"}
    for version in changed["spec"]["versions"]:
        version["storage"] = version["name"] == stored
    return changed
