"""Rules about images: what name and tag tell fits the node, the engine, the fabric and the platform's release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from components.dynamo import images
from recording.graph import Graph
from rules.command_lines import OWN_IMAGES
from rules.graphs import EFA, POOL, components, graphs
from rules.model import Finding, Looked, rule

ENGINES = frozenset(engine for engine in images.ENGINES.values() if engine)


@rule(
    "image-architecture",
    "No image states another CPU architecture than its nodes have.",
    "The image starts, says `exec format error`, and is restarted for ever. Racks are arm64, and pools are amd64 "
    "(tags of Dynamo's release artifacts, such as 1.2.0-efa-amd64).",
    of="stack",
)
def image_architecture(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects:
        for pod in _pods(item.manifest):
            has = _architecture(pod.get("nodeSelector") or {})
            if has is None:
                continue
            yield Looked(item.address)
            for image in sorted({str(each.get("image")) for each in _containers(pod)}):
                stated = images.architecture(image)
                if stated and stated != has:
                    yield Finding(
                        item.address,
                        f"image {image} is for {stated}, and its nodes are {has}; take the tag for {has} or for both",
                    )


@rule(
    "image-backend",
    "No worker's image is by its name another engine's, or without one.",
    "The module is not found, and the pod restarts for ever on GPUs that are paid for (names of Dynamo's release artifacts).",
    of="stack",
)
def image_backend(graph: Graph) -> Iterator[Finding | Looked]:
    for subject, main in _mains(graph):
        starts, image = _module(main), str(main.get("image"))
        if starts not in ENGINES:
            continue
        yield Looked(subject)
        named = images.named_engine(image)
        if named and named[1] != starts:
            holds = named[1] or "no engine"
            yield Finding(subject, f"starts dynamo.{starts}, and image {image} has {holds}; take one with {starts}")


@rule(
    "image-efa",
    "Workers over EFA have an image with EFA's libraries.",
    "Without them NIXL and NCCL find no EFA device, and fall back to TCP or stop. Dynamo's runtimes say `efa` in the tag that has "
    "them (Dynamo's release artifacts).",
    of="stack",
)
def image_efa(graph: Graph) -> Iterator[Finding | Looked]:
    for subject, main in _mains(graph):
        resources = main.get("resources") or {}
        if EFA not in {**(resources.get("requests") or {}), **(resources.get("limits") or {})}:
            continue
        yield Looked(subject)
        image = str(main.get("image"))
        if images.lacks_efa(image):
            yield Finding(
                subject, f"uses EFA, and image {image} has no EFA libraries; take its tag that ends with -efa", "warn"
            )


@rule(
    "image-skew",
    "Workers are of the frontend's release line of Dynamo, or at most two before or after it.",
    "Lines three apart and more are unsupported: one may not find the other, or not read what it sends (Dynamo's reference, "
    "Compatibility, mixed versions).",
    of="stack",
)
def image_skew(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        front = next((_version(part) for part in components(item) if _module(_main(part)) == "frontend"), None)
        for part in components(item):
            version = _version(part)
            if not front or not version or _module(_main(part)) == "frontend":
                continue
            subject = f"{item.address} {part['name']}"
            yield Looked(subject)
            apart = images.lines_apart(front, version)
            if apart is not None and apart >= images.SUPPORTED_LINES:
                yield Finding(
                    subject,
                    f"is Dynamo {version} behind a frontend of {front}, {apart} release lines apart; take an image at most "
                    f"{images.SUPPORTED_LINES - 1} apart, or another dynamo.version",
                    "fail" if str(_main(part).get("image")).startswith(OWN_IMAGES) else "warn",
                )


def _pods(found: Any) -> Iterator[Mapping[str, Any]]:
    """Specs of all pods that an object is a template of, wherever they stand in it."""
    if isinstance(found, Mapping):
        if isinstance(found.get("containers"), list):
            yield found
        for each in found.values():
            yield from _pods(each)
    elif isinstance(found, list):
        for each in found:
            yield from _pods(each)


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod["containers"], *(pod.get("initContainers") or ())]


def _architecture(selector: Mapping[str, Any]) -> str | None:
    """Architecture of the nodes that a pod selects; None where it names neither it nor capacity of the stack, as in a cluster
    that exists."""
    if stated := selector.get("kubernetes.io/arch"):
        return str(stated)
    if RACK_LABEL in selector or RACK_MARK in selector:
        return "arm64"
    return "amd64" if POOL in selector else None


def _main(component: Mapping[str, Any]) -> Mapping[str, Any]:
    pod = (component.get("podTemplate") or {}).get("spec") or {}
    return next((each for each in pod.get("containers", ()) if each.get("name") == "main"), {})


def _mains(graph: Graph) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Main containers of all components of graphs."""
    for item in graphs(graph):
        for component in components(item):
            yield f"{item.address} {component['name']}", _main(component)


def _module(main: Mapping[str, Any]) -> str:
    """Dynamo module that a container starts."""
    words = (str(word) for word in (*main.get("command", ()), *main.get("args", ())))
    return next((word.removeprefix("dynamo.") for word in words if word.startswith("dynamo.")), "")


def _version(component: Mapping[str, Any]) -> str | None:
    return component.get("runtimeVersionOverride") or images.version(
        images.split(str(_main(component).get("image")))[1]
    )
