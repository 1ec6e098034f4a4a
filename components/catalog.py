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
    strict_prefix: bool
    """Whether the frontend can be told to tell its own graph's workers from those of a graph whose name begins with its
    own (`DYN_NAMESPACE_PREFIX_STRICT`, ai-dynamo/dynamo #10998; in the binary of 1.6.1, not in those of 1.4.0 and 1.5.0)."""
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


def _release(version: str, *, lenient: bool, strict: bool, grove: str, kai: str, why: str) -> DynamoRelease:
    return DynamoRelease(version, _NGC, _IMAGES, "-efa", (1, 30), lenient, strict, grove, kai, why)


DYNAMO: Mapping[str, DynamoRelease] = {
    release.version: release
    for release in (
        _release(
            "1.4.0",
            lenient=False,
            strict=False,
            grove="v0.1.0-alpha.11",
            kai="v0.13.4",
            why="first release without NATS; v1beta1 is served, v1alpha1 still stored",
        ),
        _release(
            "1.5.0",
            lenient=True,
            strict=False,
            grove="v0.1.0-alpha.13",
            kai="v0.17.0",
            why="default: v1beta1 is the stored version, and its main line's CRDs are the newest that could be read",
        ),
        _release(
            "1.6.1",
            lenient=True,
            strict=True,
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


# --- UltraServers ----------------------------------------------------------------------------------------------------

AMI_RELEASES: Mapping[str, str] = {
    "1.34": "1.34.10-20260903",
    "1.35": "1.35.7-20260911",
    "1.36": "1.36.3-20260911",
}
"""Release of the EKS AMI AL2023_ARM_64_NVIDIA by Kubernetes version. Pinned before v20260917, the first one with two
driver branches that chooses between them at boot (awslabs/amazon-eks-ami #2768); all of these run R580."""

AMI_FLOOR = 20251103
"""Oldest AMI for P6e-GB200, by its date: the first with driver 580 and kernel 6.12 (EKS User Guide, P6e-GB200)."""

P6E_DRIVER_BRANCH = 580
"""Driver branch that P6e-GB200 runs on. R595 dropped the topology override that GPUDirect over EFA needs there, and NCCL
aborts (NVIDIA/aicr #2383). Lift it when an R595 release is shown to work on P6e."""

HYBRID_ADDONS: Mapping[str, Mapping[str, str]] = {
    "1.34": {
        "vpc-cni": "v1.22.4-eksbuild.3",
        "kube-proxy": "v1.34.6-eksbuild.21",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "eks-node-monitoring-agent": "v1.7.0-eksbuild.1",
        "coredns": "v1.12.4-eksbuild.29",
    },
    "1.35": {
        "vpc-cni": "v1.22.4-eksbuild.3",
        "kube-proxy": "v1.35.3-eksbuild.21",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "eks-node-monitoring-agent": "v1.7.0-eksbuild.1",
        "coredns": "v1.13.2-eksbuild.21",
    },
}
"""EKS add-ons that managed nodes need and Auto Mode nodes bring themselves, by Kubernetes version. Versions that were
listed together for it in September 2026; `aws eks describe-addon-versions --kubernetes-version 1.35` lists newer ones."""


@dataclass(frozen=True, slots=True)
class ChartRelease:
    """One version of a Helm chart."""

    name: str
    version: str
    """As the repository spells it, some with a `v`."""
    repository: str | None
    """Helm repository; None for a chart given by its `oci://` reference."""
    reference: str
    """What the release names as its chart."""
    why: str


_NVIDIA = "https://helm.ngc.nvidia.com/nvidia"

GPU_OPERATOR: Mapping[str, ChartRelease] = {
    "26.3.3": ChartRelease(
        "gpu-operator", "v26.3.3", _NVIDIA, "gpu-operator",
        "default: the first whose device plugin mounts neither GDRCopy nor MOFED by itself (0.19.3), which broke EFA",
    ),
    "26.7.0": ChartRelease(
        "gpu-operator", "v26.7.0", _NVIDIA, "gpu-operator",
        "newest whose chart could be read; its own driver container is R595, so the AMI's driver is a must",
    ),
}  # fmt: skip
"""GPU Operator releases (NVIDIA GPU Operator release notes; EKS User Guide, device plugin page, for the floor)."""

DRA_DRIVER: Mapping[str, ChartRelease] = {
    "0.4.1": ChartRelease(
        "dra-driver-nvidia-gpu", "0.4.1", None,
        "oci://registry.k8s.io/dra-driver-nvidia/charts/dra-driver-nvidia-gpu",
        "default: survives node reboots (kubernetes-sigs/dra-driver-nvidia-gpu #951, #1080), numNodes optional",
    ),
    "25.12.0": ChartRelease(
        "nvidia-dra-driver-gpu", "25.12.0", _NVIDIA, "nvidia-dra-driver-gpu",
        "last of the old numbering and the old name, for clusters that have it; older than 0.4.1 in spite of its number",
    ),
}  # fmt: skip
"""DRA driver releases. Going from 25.12.0 to 0.4.1 replaces the release: drain the racks first."""

EFA_PLUGIN: Mapping[str, ChartRelease] = {
    "0.5.30": ChartRelease(
        "aws-efa-k8s-device-plugin", "0.5.30", "https://aws.github.io/eks-charts", "aws-efa-k8s-device-plugin",
        "newest whose values could be read; P6e-GB200 is in its list of types from 0.5.14 on",
    ),
}  # fmt: skip

KAI_REFERENCE = "oci://ghcr.io/kai-scheduler/kai-scheduler/kai-scheduler"
GROVE_REFERENCE = "oci://ghcr.io/ai-dynamo/grove/grove-charts"
"""Charts of the gang scheduler; their versions are the floors of the Dynamo release (`grove_floor`, `kai_floor`)."""

MPI_OPERATOR = "0.8.0"
"""Runs the bandwidth tests of the verification ladder; it has no chart, but one manifest for each release."""

MPI_OPERATOR_MANIFEST = (
    f"https://raw.githubusercontent.com/kubeflow/mpi-operator/v{MPI_OPERATOR}/deploy/v2beta1/mpi-operator.yaml"
)


def chart_release(table: Mapping[str, ChartRelease], version: str | None) -> ChartRelease:
    """A release of a chart, the first of its table by default; ValueError names those there are."""
    chosen = version or next(iter(table))
    if chosen not in table:
        raise ValueError(f"version {chosen} is not supported; choose one of {', '.join(table)}")
    return table[chosen]
