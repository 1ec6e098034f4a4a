"""Every chart, image and add-on version the program uses, with why it is pinned there.

Nothing here is "latest": two runs of one commit must plan the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

EFS_CSI_ADDON = "v3.2.0-eksbuild.1"
"""EFS CSI driver add-on, as published for EKS 1.35. From 3.0.0 it takes a Pod Identity for its node agents too."""

PYTHON_IMAGE = "python:3.12.11-slim-bookworm"
"""Runs the download and check Jobs, whose programs need the standard library only (and pip, for the download)."""

HUGGINGFACE_HUB = "1.16.4"
"""Downloader of the model caches; the version of Dynamo's own recipe for Qwen3-32B."""


@dataclass(frozen=True, slots=True)
class KubernetesRelease:
    """An EKS version."""

    standard_support_ends: date | None
    """None while AWS has not said."""


KUBERNETES: Mapping[str, KubernetesRelease] = {
    # DRA's API is GA from here (resource.k8s.io/v1).
    "1.34": KubernetesRelease(date(2026, 12, 2)),
    "1.35": KubernetesRelease(date(2027, 3, 27)),
    "1.36": KubernetesRelease(None),
}
"""EKS versions the program's objects are checked for (EKS User Guide, Kubernetes version lifecycle)."""


@dataclass(frozen=True, slots=True)
class DynamoRelease:
    """A release of the Dynamo platform and what goes with it."""

    version: str
    chart_repository: str
    images: Mapping[str, str]
    """Runtime image (without tag) by backend, and those of the frontend and the mocker."""
    efa_suffix: str
    """Ending of the tag of images with EFA's libraries; renamed from `-efa-amd64` in 1.3.0."""
    kubernetes_floor: tuple[int, int]
    """Oldest Kubernetes of the chart's `kubeVersion`."""
    lenient_liveness: bool
    """Whether the operator lets a worker miss three liveness probes; before 1.5.0 one restarts it (dynamo #13512)."""
    grove_floor: str
    kai_floor: str
    why: str

    def image(self, part: str, *, efa: bool = True) -> str:
        """Full image of a backend (`vllm`, `sglang`, `trtllm`), of `frontend` or of `mocker`."""
        plain = part in ("frontend", "mocker") or not efa
        return f"{self.images[part]}:{self.version}{'' if plain else self.efa_suffix}"


_NGC = "https://helm.ngc.nvidia.com/nvidia/ai-dynamo"
_IMAGES = {
    "frontend": "nvcr.io/nvidia/ai-dynamo/dynamo-frontend",
    # The planner image carries the mocker, so that no GPU runtime has to be pulled for it.
    "mocker": "nvcr.io/nvidia/ai-dynamo/dynamo-planner",
    "vllm": "nvcr.io/nvidia/ai-dynamo/vllm-runtime",
    "sglang": "nvcr.io/nvidia/ai-dynamo/sglang-runtime",
    "trtllm": "nvcr.io/nvidia/ai-dynamo/tensorrtllm-runtime",
}


def _release(version: str, *, lenient: bool, grove: str, kai: str, why: str) -> DynamoRelease:
    return DynamoRelease(version, _NGC, _IMAGES, "-efa", (1, 30), lenient, grove, kai, why)


DYNAMO: Mapping[str, DynamoRelease] = {
    release.version: release
    for release in (
        _release(
            "1.4.0",
            lenient=False,
            grove="v0.1.0-alpha.11",
            kai="v0.13.4",
            why="first release without NATS; v1beta1 is served, v1alpha1 still stored",
        ),
        _release(
            "1.5.0",
            lenient=True,
            grove="v0.1.0-alpha.13",
            kai="v0.17.0",
            why="default: v1beta1 is the stored version, and its main line's CRDs are the newest that could be read",
        ),
        _release(
            "1.6.1",
            lenient=True,
            grove="v0.1.0-alpha.14-rc1",
            kai="v0.17.0",
            why="newest release; its CRDs could not be read, so objects are checked against 1.5.0's main line",
        ),
    )
}
"""Supported platform releases (Dynamo release notes and support matrix)."""


def dynamo_release(version: str) -> DynamoRelease:
    """A supported release; ValueError names those there are."""
    if version not in DYNAMO:
        raise ValueError(f"Dynamo {version} is not supported; choose one of {', '.join(DYNAMO)}")
    return DYNAMO[version]


def check_pair(dynamo: str, kubernetes: str) -> str | None:
    """Why a Dynamo and a Kubernetes version do not go together, as the end of `expected …`; None when they do."""
    floor = dynamo_release(dynamo).kubernetes_floor
    major, minor = (int(part) for part in kubernetes.split("."))
    if (major, minor) < floor:
        return f"a release for Kubernetes {kubernetes}; the chart of {dynamo} wants {floor[0]}.{floor[1]} or newer"
    if dynamo.startswith("1.4.") and (major, minor) > (1, 35):
        return f"1.5.0 or newer with Kubernetes {kubernetes}; 1.4 was released before it and is tested up to 1.35"
    return None
