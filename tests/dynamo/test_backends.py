"""Command lines of every engine, whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.dynamo import backends
from components.dynamo.spec import Worker

EVENTS = '{"enable_kv_cache_events": true, "publisher": "zmq", "topic": "kv-events", "endpoint": "tcp://*:20080"}'
NIXL = '{"kv_connector": "NixlConnector", "kv_role": "kv_both", "kv_connector_extra_config": {"backends": ["%s"]}}'
EFA = {"FI_PROVIDER": "efa", "FI_EFA_USE_DEVICE_RDMA": "1"}
PARALLEL = [
    "--tensor-parallel-size", "2", "--pipeline-parallel-size", "2", "--data-parallel-size", "2",
]  # fmt: skip
MODEL, SGLANG, TRTLLM = (
    ["--model", "/m", "--served-model-name", "name"],
    ["--disaggregation-transfer-backend", "nixl", "--disaggregation-bootstrap-port", "12345", "--host", "0.0.0.0"],
    ["--model-path", "/m", "--served-model-name", "name"],
)
ALL = {
    "tensor_parallel": 2, "pipeline_parallel": 2, "data_parallel": 2, "expert_parallel": 2,
    "attention_data_parallel": True, "kv_router": True,
}  # fmt: skip


def launch(backend: str, **changes: Any) -> backends.Launch:
    given: dict[str, Any] = {"model_path": "/m", "served_model_name": "name", "role": "worker", "transport": "none"}
    worker = Worker(**{key: changes.pop(key) for key in [*changes] if key in Worker.model_fields})
    return backends.launch(backend, backends.Started(worker=worker, **{**given, **changes}))


ROWS: list[tuple[str, dict[str, Any], list[str], dict[str, str]]] = [
    ("vllm", {}, MODEL, {}),
    (
        "vllm",
        {**ALL, "role": "decode", "transport": "efa"},
        [
            *MODEL, *PARALLEL, "--enable-expert-parallel", "--disaggregation-mode", "decode",
            "--kv-transfer-config", NIXL % "LIBFABRIC", "--kv-events-config", EVENTS,
        ],
        EFA,
    ),
    (
        "vllm",
        {"role": "prefill", "transport": "nvlink"},
        [*MODEL, "--disaggregation-mode", "prefill", "--kv-transfer-config", NIXL % "UCX", "--enable-cumem-allocator"],
        {},
    ),
    ("sglang", {}, TRTLLM, {}),
    (
        "sglang",
        {**ALL, "role": "decode", "transport": "efa"},
        [
            *TRTLLM, *PARALLEL, "--expert-parallel-size", "2", "--enable-dp-attention",
            "--disaggregation-mode", "decode", *SGLANG, "--page-size", "64", "--kv-events-config", EVENTS,
        ],
        {**EFA, "SGLANG_DISAGGREGATION_NIXL_BACKEND": "LIBFABRIC"},
    ),
    (
        "sglang",
        {"role": "prefill", "transport": "nvlink"},
        [*TRTLLM, "--disaggregation-mode", "prefill", *SGLANG],
        {"SGLANG_DISAGGREGATION_NIXL_BACKEND": "UCX"},
    ),
    ("sglang", {"role": "prefill", "transport": "tcp"}, [*TRTLLM, "--disaggregation-mode", "prefill", *SGLANG], {}),
    ("trtllm", {}, TRTLLM, {}),
    (
        "trtllm",
        {**ALL, "role": "decode", "transport": "efa"},
        [
            *TRTLLM, *PARALLEL[:4], "--disaggregation-mode", "decode", "--override-engine-args",
            '{"moe_expert_parallel_size": 2, "enable_attention_dp": true, "cache_transceiver_config": {"backend": "NIXL"}}',
            "--publish-kv-events",
        ],
        {**EFA, "TRTLLM_NIXL_KVCACHE_BACKEND": "LIBFABRIC"},
    ),
    (
        "trtllm",
        {"role": "prefill", "transport": "tcp"},
        [
            *TRTLLM, "--disaggregation-mode", "prefill",
            "--override-engine-args", '{"cache_transceiver_config": {"backend": "NIXL"}}',
        ],
        {},
    ),
    ("trtllm", {"engine": {"kv": "fp8"}}, [*TRTLLM, "--override-engine-args", '{"kv": "fp8"}'], {}),
    ("mocker", {}, ["--model-path", "/m", "--model-name", "name"], {}),
    ("mocker", {**ALL, "speedup_ratio": 2.0}, ["--model-path", "/m", "--model-name", "name", "--speedup-ratio", "2"], {}),
    (
        "mocker",
        {"role": "prefill", "transport": "tcp"},
        [
            "--model-path", "/m", "--model-name", "name", "--disaggregation-mode", "prefill",
            "--bootstrap-ports", "50100",
        ],
        {},
    ),
    (
        "mocker",
        {"role": "decode", "transport": "tcp", "speedup_ratio": 0.5},
        [
            "--model-path", "/m", "--model-name", "name", "--speedup-ratio", "0.5", "--disaggregation-mode", "decode",
        ],
        {},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "changes", "args", "env"), ROWS)
def test_the_whole_command_line(backend: str, changes: dict[str, Any], args: list[str], env: dict[str, str]) -> None:
    """A flag forgotten or given under another engine's name: a worker that does not start, or transfers over TCP."""
    started = launch(backend, **changes)
    assert started == backends.Launch(("python3", "-m", f"dynamo.{backend}"), tuple(args), env)


@pytest.mark.parametrize(
    ("transport", "device", "buffer"),
    [
        ("efa", "cuda", None),
        ("efa", "cpu", "cpu"),
        ("tcp", "cuda", "cuda"),
        ("tcp", "cpu", "cpu"),
        ("nvlink", "cuda", None),
    ],
)
def test_where_vllm_stages_blocks(transport: Any, device: str, buffer: str | None) -> None:
    """Over TCP the device is always said: vLLM's own default cannot be read there, and the transfer fails."""
    assert backends.kv_transfer_config(transport, device) == {
        "kv_connector": "NixlConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"backends": ["UCX" if transport == "nvlink" else "LIBFABRIC"]},
        **({"kv_buffer_device": buffer} if buffer else {}),
    }


@pytest.mark.parametrize(
    ("engine", "transceiver"),
    [
        ({"cache_transceiver_config": {"tokens": 8}}, {"backend": "NIXL", "tokens": 8}),
        ({"cache_transceiver_config": {"backend": "UCX"}}, {"backend": "UCX"}),
        ({"cache_transceiver_config": {"a": {"b": 1}}}, {"backend": "NIXL", "a": {"b": 1}}),
        ({"cache_transceiver_config": None}, None),
        ({"other": {"a": 1}, "cache_transceiver_config": "x"}, "x"),
    ],
)
def test_engine_options_are_laid_over(engine: dict[str, Any], transceiver: Any) -> None:
    """One option of a group must not take the program's others with it, and what the stack file says wins."""
    words = launch("trtllm", role="decode", transport="tcp", engine=engine).args
    made = json.loads(words[words.index("--override-engine-args") + 1])
    assert made == {**engine, "cache_transceiver_config": transceiver}
