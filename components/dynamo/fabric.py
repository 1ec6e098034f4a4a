"""Environment by which workers use NVLink across nodes and EFA on GB200, each variable with its reason and source.

A variable missing here is silent: NCCL falls back to the network, NIXL to TCP, and everything works at a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable."""

    value: str
    why: str
    source: str


_RECIPES = "ai-dynamo/dynamo recipes for GB200"
_GLM = "ai-dynamo/dynamo recipes/glm-5-nvfp4/sglang/disagg/efa"
_EFA_PAGE = "Dynamo documentation, EFA on AWS"

MNNVL: Mapping[str, Variable] = {
    "NCCL_MNNVL_ENABLE": Variable("1", "collectives across nodes go over NVLink", _RECIPES),
    "NCCL_CUMEM_ENABLE": Variable("1", "memory that can be shared through IMEX comes from cuMem", _RECIPES),
    "NCCL_NVLS_ENABLE": Variable("1", "reductions in the NVLink switch", _RECIPES),
    "NCCL_SOCKET_IFNAME": Variable(
        "eth0", "bootstrap over the pod's own interface, not over an EFA-only one", _RECIPES
    ),
    "GLOO_SOCKET_IFNAME": Variable("eth0", "the same for Gloo", _RECIPES),
    "NCCL_STORE_TIMEOUT": Variable("7200", "ranks wait for one another while a large model loads", _GLM),
}
"""With a ComputeDomain."""

NO_MNNVL: Mapping[str, Variable] = {
    "NCCL_MNNVL_ENABLE": Variable(
        "0", "without a channel NCCL would try, and fail with CUDA error 801", "NVIDIA DRA driver #892; Nebius #1137"
    ),
    "NCCL_SOCKET_IFNAME": MNNVL["NCCL_SOCKET_IFNAME"],
    "GLOO_SOCKET_IFNAME": MNNVL["GLOO_SOCKET_IFNAME"],
}
"""On an UltraServer without a ComputeDomain."""

UCX_NVLINK: Mapping[str, Variable] = {
    "UCX_TLS": Variable("cuda_copy,cuda_ipc,tcp", "KV blocks by CUDA IPC; TCP carries the handshake", _RECIPES),
    "UCX_CUDA_IPC_ENABLE_MNNVL": Variable("y", "CUDA IPC across nodes, through the shared domain", _RECIPES),
    "UCX_MEMTYPE_CACHE": Variable("n", "a stale entry takes GPU memory for host memory", _RECIPES),
}
"""With `transport: nvlink`; prefill and decode must be in one ComputeDomain."""

EFA_GB200: Mapping[str, Variable] = {
    "FI_EFA_ENABLE_SHM_TRANSFER": Variable("0", "shared memory transfers corrupt GPU buffers", _GLM),
    "FI_EFA_ENABLE_SHM": Variable("0", "as above, under its newer name", _GLM),
    "FI_HMEM": Variable("cuda", "register GPU memory with EFA", _GLM),
    "FI_HMEM_CUDA_ENABLE_XFER": Variable("1", "copies between host and GPU inside libfabric", _GLM),
    "FI_EFA_FORK_SAFE": Variable("0", "fork protection slows registration; the engines do not fork after it", _GLM),
    "FI_EFA_MR_MAX_CACHED_COUNT": Variable("524288", "registrations of a large KV cache stay cached", _EFA_PAGE),
    "FI_EFA_MR_MAX_CACHED_SIZE": Variable("0", "no limit on their size", _EFA_PAGE),
}
"""With `transport: efa` on an UltraServer, besides what EFA takes everywhere."""


def environment(*, domain: bool, transport: str, huge_pages_mib: int | None) -> dict[str, str]:
    """Environment of a GPU worker on an UltraServer."""
    chosen: dict[str, Variable] = dict(MNNVL if domain else NO_MNNVL)
    if transport == "nvlink":
        chosen |= UCX_NVLINK
    values = {name: item.value for name, item in chosen.items()}
    if transport == "efa":
        values |= {name: item.value for name, item in EFA_GB200.items()}
        # Only with pages set aside for the pod: asked for in vain, registration fails.
        values["FI_EFA_USE_HUGE_PAGE"] = "1" if huge_pages_mib else "0"
    return values
