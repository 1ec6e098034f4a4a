"""What cannot be changed once it exists: is a change of it a replacement to the engine, or an `up` that fails?

Real: the API server. Each object is stored, and every field of it is given values that the server takes in a new object
and refuses as a change. Stands in: REPLACES, the Kubernetes provider's own list of properties whose change replaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from recording.graph import KubernetesObject
from tests.conftest import STACKS, recorded
from tests.engine.control_plane import ControlPlane, Refused, as_sent
from tests.engine.mutants import at, choices, mutate, places, text

NAMESPACE = "immutable"

REPLACES: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "ConfigMap": ("data", "binaryData"),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolumeClaim": ("spec",),
    "RoleBinding": ("roleRef",),
    "Secret": ("data", "stringData", "type"),
    "Service": ("spec.clusterIP",),
    "StorageClass": ("parameters", "provisioner"),
}
"""Properties whose change replaces an object (pulumi-kubernetes, provider/pkg/provider/diff.go, `forceNew`)."""

STUCK: Mapping[tuple[str, str], str] = {
    ("ConfigMap", "immutable"): "always true; a new content has a new name",
    ("Service", "spec.loadBalancerClass"): "the same for every load balancer, and no setting reaches it",
    ("StorageClass", "reclaimPolicy"): "a constant of the program; who changes it gives the class another name too",
    ("StorageClass", "volumeBindingMode"): "a constant of the program; who changes it gives the class another name too",
    ("Topology", "spec.levels[]"): "the same levels on every rack, and no setting reaches them",
    ("Topology", "spec.levels[].nodeLabel"): "the same levels on every rack, and no setting reaches them",
    ("NodePool", "spec.template.spec.nodeClassRef.group"): "the same for every pool, and no setting reaches it",
    ("NodePool", "spec.template.spec.nodeClassRef.kind"): "the same for every pool, and no setting reaches it",
}
"""What an `up` cannot change and the engine does not replace, and why no edit of a stack file comes to that."""


def stored() -> dict[str, list[KubernetesObject]]:
    """By kind, the rendered objects whose fields differ from those of the ones before."""
    found: dict[str, list[KubernetesObject]] = {}
    seen: dict[str, set[str]] = {}
    for stack in STACKS:
        for item in recorded(stack).objects:
            paths = {text(place) for place in places(item.manifest)}
            if paths - seen.setdefault(item.kind, set()):
                seen[item.kind] |= paths
                found.setdefault(item.kind, []).append(item)
    return found


OBJECTS = stored()


def others(obj: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[tuple[str, Any]]:
    """Other values a field could have."""
    value = at(obj, place)
    if isinstance(value, str):
        texts = (f"{value}x", "Delete", "Retain", "Immediate", "WaitForFirstConsumer", "9000Gi", "")
        yield from (("range", text) for text in texts if text != value)
    else:
        # What leaves a mapping or list empty is left out, see test_nothing_is_rendered_empty.
        yield from ((fault, far) for fault, far in choices(obj, place) if fault == "range" and far not in ({}, []))
    if isinstance(value, int) and not isinstance(value, bool):
        yield ("range", value + 1)
    if len(at(obj, place[:-1])) > 1:
        yield ("missing", None)


def unchangeable(plane: ControlPlane, manifest: Mapping[str, Any], known: set[str]) -> dict[str, str]:
    """Fields that the server takes in a new object and refuses to change in this one, with what it says; without those
    `known` from an object before, to which the ones tried here are added."""
    obj = as_sent(manifest)
    obj["metadata"]["name"] = f"immutable-{manifest['metadata']['name']}"
    if "namespace" in obj["metadata"]:
        obj["metadata"]["namespace"] = NAMESPACE
    plane.apply(obj)
    found: dict[str, str] = {}
    # Entries of a list are alike: one stands for all.
    by_path = {text(place): place for place in places(obj) if place and place != ("metadata",)}
    by_path = {path: place for path, place in by_path.items() if path not in known}
    known.update(by_path)
    try:
        for path, place in by_path.items():
            for fault, value in others(obj, place):
                changed = dict(mutate(obj, place, fault, value).obj)
                new = {**changed, "metadata": {**changed["metadata"], "name": "new"}}
                if (says := refusal(plane, changed)) is not None and refusal(plane, new) is None:
                    found[path] = says
                    break
    finally:
        plane.delete(obj["apiVersion"], obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace"))
    return found


def refusal(plane: ControlPlane, obj: Mapping[str, Any]) -> str | None:
    try:
        plane.apply(obj, dry_run=True)
    except Refused as refused:
        return refused.message
    return None


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    with control_plane.namespace(NAMESPACE):
        yield control_plane


@pytest.mark.sweep("kind")
@pytest.mark.parametrize("kind", sorted(OBJECTS))
def test_what_cannot_change_is_replaced(plane: ControlPlane, kind: str) -> None:
    """An edit of a stack file would otherwise end an `up` half-way, and every later one with it."""
    left: dict[str, str] = {}
    known: set[str] = set()
    for item in OBJECTS[kind]:
        replacing = [*REPLACES.get(kind, ()), *item.node.replace_on_changes]
        for path, says in unchangeable(plane, item.manifest, known).items():
            if not any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in replacing):
                left[path] = says
    assert {path: says for path, says in left.items() if (kind, path) not in STUCK} == {}
    assert {path for of, path in STUCK if of == kind} <= set(left)


def test_nothing_is_rendered_empty() -> None:
    """When its last entry goes, server-side apply makes of an empty mapping a null, which a CRD's schema refuses: the change
    then fails, though the same object is accepted when it is new (seen on `spec.tags` of a NodeClass). Leave the key out."""
    empty = {
        (item.address, text(place))
        for stack in STACKS
        for item in recorded(stack).objects
        for place in places(item.manifest)
        # An emptyDir has no entries that could go.
        if place and at(item.manifest, place) in ({}, []) and place[-1] != "emptyDir"
    }
    assert empty == set()
