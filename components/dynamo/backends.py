"""How each inference engine is started: module, flags, and its own way of choosing the KV transport.

Sources: Dynamo's backend guides and recipes, and its EFA page for AWS. A wrong transport is silent: the first token
takes 100 s over TCP or 10 s through host memory instead of 1 s (ai-dynamo/dynamo #4185).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["worker", "prefill", "decode"]
Transport = Literal["efa", "nvlink", "tcp", "none"]

KV_BLOCK_TOKENS: Mapping[str, int] = {"vllm": 16, "sglang": 16, "trtllm": 32, "mocker": 16}
"""Tokens in a KV block. Router and workers must agree, so both are told; vLLM's and TensorRT-LLM's defaults on CUDA."""

NIXL_BACKENDS: Mapping[str, str] = {"efa": "LIBFABRIC", "nvlink": "UCX"}
"""NIXL's backend by transport, for the engines that take it from the environment."""

KV_EVENTS_PORT = 20080
"""Port on which vLLM and SGLang publish KV events to the worker's own Dynamo process."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker's command line and environment."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSpec:
    """What a worker runs."""

    model_path: str
    """Path of the model in the cache, or its repository."""
    served_model_name: str
    role: Role
    transport: Transport
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: int = 1
    """Ranks that experts are spread over."""
    attention_data_parallel: bool = False
    """Data-parallel attention inside the tensor-parallel group."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """TensorRT-LLM's own options, over those set here."""
    kv_router: bool = False
    """Whether the frontend routes by cached prefixes and so needs KV events."""
    kv_buffer_device: str = "cuda"
    speedup_ratio: float = 1.0


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


def _parallel(spec: WorkerSpec) -> list[str]:
    flags = []
    for flag, value in (
        ("--tensor-parallel-size", spec.tensor_parallel),
        ("--pipeline-parallel-size", spec.pipeline_parallel),
        ("--data-parallel-size", spec.data_parallel),
    ):
        if value > 1:
            flags += [flag, str(value)]
    return flags


def _kv_events(port: int) -> str:
    return json.dumps(
        {"enable_kv_cache_events": True, "publisher": "zmq", "topic": "kv-events", "endpoint": f"tcp://*:{port}"}
    )


def _vllm(spec: WorkerSpec) -> Launch:
    args = ["--model", spec.model_path, "--served-model-name", spec.served_model_name, *_parallel(spec)]
    if spec.expert_parallel > 1:
        # vLLM spreads experts over all ranks or none, so the flag has no number.
        args.append("--enable-expert-parallel")
    if spec.role != "worker":
        config = kv_transfer_config(spec.transport, spec.kv_buffer_device)
        args += ["--disaggregation-mode", spec.role, "--kv-transfer-config", json.dumps(config)]
    if spec.kv_router:
        args += ["--block-size", str(KV_BLOCK_TOKENS["vllm"]), "--kv-events-config", _kv_events(KV_EVENTS_PORT)]
    return Launch(("python3", "-m", "dynamo.vllm"), tuple(args))


def _sglang(spec: WorkerSpec) -> Launch:
    args = ["--model-path", spec.model_path, "--served-model-name", spec.served_model_name, *_parallel(spec)]
    environment = {}
    if spec.expert_parallel > 1:
        args += ["--expert-parallel-size", str(spec.expert_parallel)]
    if spec.attention_data_parallel:
        args.append("--enable-dp-attention")
    if spec.role != "worker":
        args += [
            "--disaggregation-mode", spec.role,
            "--disaggregation-transfer-backend", "nixl",
            "--disaggregation-bootstrap-port", "12345",
            "--host", "0.0.0.0",
        ]  # fmt: skip
        if spec.transport in NIXL_BACKENDS:
            environment["SGLANG_DISAGGREGATION_NIXL_BACKEND"] = NIXL_BACKENDS[spec.transport]
    if spec.kv_router:
        args += ["--page-size", str(KV_BLOCK_TOKENS["sglang"]), "--kv-events-config", _kv_events(KV_EVENTS_PORT)]
    return Launch(("python3", "-m", "dynamo.sglang"), tuple(args), environment)


def _trtllm(spec: WorkerSpec) -> Launch:
    args = ["--model-path", spec.model_path, "--served-model-name", spec.served_model_name, *_parallel(spec)]
    environment = {}
    engine: dict[str, Any] = {}
    if spec.expert_parallel > 1:
        engine["moe_expert_parallel_size"] = spec.expert_parallel
    if spec.attention_data_parallel:
        engine["enable_attention_dp"] = True
    if spec.role != "worker":
        args += ["--disaggregation-mode", spec.role]
        engine["cache_transceiver_config"] = {"backend": "NIXL"}
        if spec.transport in NIXL_BACKENDS:
            environment["TRTLLM_NIXL_KVCACHE_BACKEND"] = NIXL_BACKENDS[spec.transport]
    if engine or spec.engine:
        args += ["--override-engine-args", json.dumps(_over(engine, spec.engine))]
    if spec.kv_router:
        args += ["--publish-kv-events", "--kv-block-size", str(KV_BLOCK_TOKENS["trtllm"])]
    return Launch(("python3", "-m", "dynamo.trtllm"), tuple(args), environment)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        under = out.get(key)
        out[key] = _over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return out


def _mocker(spec: WorkerSpec) -> Launch:
    args = ["--model-path", spec.model_path, "--model-name", spec.served_model_name]
    if spec.speedup_ratio != 1.0:
        args += ["--speedup-ratio", f"{spec.speedup_ratio:g}"]
    if spec.role != "worker":
        args += ["--disaggregation-mode", spec.role]
    if spec.role == "prefill":
        args += ["--bootstrap-ports", "50100"]
    return Launch(("python3", "-m", "dynamo.mocker"), tuple(args))


_BACKENDS = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "mocker": _mocker}


def launch(backend: str, spec: WorkerSpec) -> Launch:
    """Command line and environment of a worker. EFA's provider is named for every backend that moves blocks over it."""
    started = _BACKENDS[backend](spec)
    if spec.transport == "efa":
        return Launch(started.command, started.args, {**efa_environment(), **started.env})
    return started
