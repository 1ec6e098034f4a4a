"""How each inference engine is started: module, flags, and its own way of choosing the KV transport.

Sources: Dynamo's backend guides and recipes, and its EFA page for AWS. A wrong transport is silent: the first token
takes 100 s over TCP or 10 s through host memory instead of 1 s (ai-dynamo/dynamo #4185).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .spec import Worker

Role = Literal["worker", "prefill", "decode"]
Transport = Literal["efa", "nvlink", "tcp", "none"]

KV_BLOCK_FLAGS: Mapping[str, str] = {
    "vllm": "--block-size",
    "sglang": "--page-size",
    "trtllm": "--kv-block-size",
    "mocker": "--block-size",
}
"""The flag for the tokens in a KV block. The router takes their number from the card of each worker, so none is told unless the
settings do: vLLM leaves its fast MLA backends where it is forced (ai-dynamo/dynamo #1232; run with Dynamo 1.5.0)."""

SGLANG_ROUTED_PAGE_TOKENS = 64
"""SGLang's own page is one token, which is too little to route by. 64 is what all of its backends take; where an MLA backend
raises 16 to it, router and worker differ and no prefix is ever found (ai-dynamo/dynamo #13216)."""

NIXL_BACKENDS: Mapping[str, str] = {"efa": "LIBFABRIC", "nvlink": "UCX"}
"""NIXL's backend by transport, for the engines that take it from the environment."""

CUMEM = "--enable-cumem-allocator"
"""vLLM's flag for a KV cache with a fabric handle. Without it UCX sends blocks over TCP, not NVLink, without a word (vllm #51377,
dynamo #14357)."""

KV_EVENTS_PORT = 20080
"""Port on which vLLM and SGLang publish KV events to the worker's own Dynamo process."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker's command line and environment."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A worker that is to be started, and what it is started in."""

    worker: Worker
    """Its settings."""
    model_path: str
    """Path of the model in the cache, or its repository."""
    served_model_name: str
    role: Role
    transport: Transport
    kv_router: bool = False
    """Whether the frontend routes by cached prefixes and so needs KV events."""
    kv_block_tokens: int | None = None
    """Tokens in a KV block; None leaves them to the engine."""
    speedup_ratio: float = 1.0

    @property
    def kv_buffer_device(self) -> str:
        """Where KV blocks are staged: as stated, or on the GPU but for TCP, which cannot read its memory."""
        return self.worker.kv_buffer_device or ("cpu" if self.transport == "tcp" else "cuda")


def kv_transfer_config(transport: Transport, buffer_device: str) -> dict[str, object]:
    """vLLM's `--kv-transfer-config`. LIBFABRIC is chosen here and nowhere else: vLLM reads no environment for it
    (awsome-inference #72). Over TCP blocks are staged in host memory, since libfabric's TCP provider cannot read GPUs.
    Over NVLink UCX moves them by CUDA IPC."""
    config: dict[str, object] = {
        "kv_connector": "NixlConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"backends": ["UCX" if transport == "nvlink" else "LIBFABRIC"]},
    }
    if transport == "tcp" or buffer_device != "cuda":
        config["kv_buffer_device"] = buffer_device
    return config


def efa_environment() -> dict[str, str]:
    """With the provider named, libfabric fails where EFA is missing instead of falling back to TCP without a word."""
    return {"FI_PROVIDER": "efa", "FI_EFA_USE_DEVICE_RDMA": "1"}


def _parallel(started: Started) -> list[str]:
    flags = []
    for flag, value in (
        ("--tensor-parallel-size", started.worker.tensor_parallel),
        ("--pipeline-parallel-size", started.worker.pipeline_parallel),
    ):
        if value > 1:
            flags += [flag, str(value)]
    return flags


def _data_parallel(started: Started) -> list[str]:
    ranks = started.worker.data_parallel
    return ["--data-parallel-size", str(ranks)] if ranks > 1 else []


def _kv_events(port: int) -> str:
    return json.dumps(
        {"enable_kv_cache_events": True, "publisher": "zmq", "topic": "kv-events", "endpoint": f"tcp://*:{port}"}
    )


def _vllm(started: Started) -> Launch:
    args = ["--model", started.model_path, "--served-model-name", started.served_model_name, *_parallel(started)]
    args += _data_parallel(started)
    if started.worker.expert_parallel > 1:
        # vLLM spreads experts over all ranks or none, so the flag has no number.
        args.append("--enable-expert-parallel")
    if started.role != "worker":
        config = kv_transfer_config(started.transport, started.kv_buffer_device)
        args += ["--disaggregation-mode", started.role, "--kv-transfer-config", json.dumps(config)]
        if started.transport == "nvlink":
            args.append(CUMEM)
    if started.kv_router:
        args += ["--kv-events-config", _kv_events(KV_EVENTS_PORT)]
    return Launch(("python3", "-m", "dynamo.vllm"), tuple(args))


def _sglang(started: Started) -> Launch:
    args = ["--model-path", started.model_path, "--served-model-name", started.served_model_name, *_parallel(started)]
    args += _data_parallel(started)
    environment = {}
    if started.worker.expert_parallel > 1:
        args += ["--expert-parallel-size", str(started.worker.expert_parallel)]
    if started.worker.attention_data_parallel:
        args.append("--enable-dp-attention")
    if started.role != "worker":
        args += [
            "--disaggregation-mode", started.role,
            "--disaggregation-transfer-backend", "nixl",
            "--disaggregation-bootstrap-port", "12345",
            "--host", "0.0.0.0",
        ]  # fmt: skip
        if started.transport in NIXL_BACKENDS:
            environment["SGLANG_DISAGGREGATION_NIXL_BACKEND"] = NIXL_BACKENDS[started.transport]
    if started.kv_router:
        if started.kv_block_tokens is None:
            args += ["--page-size", str(SGLANG_ROUTED_PAGE_TOKENS)]
        args += ["--kv-events-config", _kv_events(KV_EVENTS_PORT)]
    return Launch(("python3", "-m", "dynamo.sglang"), tuple(args), environment)


def _trtllm(started: Started) -> Launch:
    args = ["--model-path", started.model_path, "--served-model-name", started.served_model_name, *_parallel(started)]
    environment = {}
    engine: dict[str, Any] = {}
    if started.worker.expert_parallel > 1:
        engine["moe_expert_parallel_size"] = started.worker.expert_parallel
    if started.worker.attention_data_parallel:
        engine["enable_attention_dp"] = True
    if started.role != "worker":
        args += ["--disaggregation-mode", started.role]
        engine["cache_transceiver_config"] = {"backend": "NIXL"}
        if started.transport in NIXL_BACKENDS:
            environment["TRTLLM_NIXL_KVCACHE_BACKEND"] = NIXL_BACKENDS[started.transport]
    if engine or started.worker.engine:
        args += ["--override-engine-args", json.dumps(_over(engine, started.worker.engine))]
    if started.kv_router:
        args.append("--publish-kv-events")
    return Launch(("python3", "-m", "dynamo.trtllm"), tuple(args), environment)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        under = out.get(key)
        out[key] = _over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return out


def _mocker(started: Started) -> Launch:
    args = ["--model-path", started.model_path, "--model-name", started.served_model_name]
    if started.speedup_ratio != 1.0:
        args += ["--speedup-ratio", f"{started.speedup_ratio:g}"]
    if started.role != "worker":
        args += ["--disaggregation-mode", started.role]
    if started.role == "prefill":
        args += ["--bootstrap-ports", "50100"]
    return Launch(("python3", "-m", "dynamo.mocker"), tuple(args))


_BACKENDS = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "mocker": _mocker}


def launch(backend: str, worker: Started) -> Launch:
    """Command line and environment of a worker. EFA's provider is named for every backend that moves blocks over it."""
    made = _BACKENDS[backend](worker)
    blocks = (KV_BLOCK_FLAGS[backend], str(worker.kv_block_tokens)) if worker.kv_block_tokens else ()
    over_efa = efa_environment() if worker.transport == "efa" else {}
    return Launch(made.command, (*made.args, *blocks), {**over_efa, **made.env})
