"""Number formats on GPU generations, and what prefill can hand to decode: each cell that the sources state."""

from __future__ import annotations

import pytest

from components.capacity import instances
from components.dynamo.models import gpus, handover, table
from components.dynamo.models.memory import Sharding

RUNS, FALLS_BACK, FAILS = None, "warn", "fail"


def test_every_gpu_of_the_instances_is_known():
    assert {item.gpu_name for item in instances.table().values() if item.gpus} <= set(gpus.CAPABILITY)


@pytest.mark.parametrize(
    ("backend", "format_", "gpu", "experts", "expected"),
    [
        ("vllm", "fp8", "a10g", False, FALLS_BACK),
        ("vllm", "fp8Block", "a100", True, FALLS_BACK),
        ("vllm", "fp8", "v100", False, FAILS),
        ("vllm", "fp8", "l40s", False, RUNS),
        ("vllm", "nvfp4", "h100", True, FALLS_BACK),
        ("vllm", "nvfp4", "gb200", True, RUNS),
        ("vllm", "nvfp4", "rtx-pro-server-6000", False, RUNS),
        ("vllm", "mxfp4", "l4", True, FALLS_BACK),
        ("vllm", "mxfp4", "t4", True, FAILS),
        ("vllm", "mxfp4", "h200", True, RUNS),
        ("vllm", "bf16", "t4", False, FALLS_BACK),
        ("vllm", "int4", "b200", False, RUNS),
        ("sglang", "fp8", "a10g", False, FALLS_BACK),
        ("sglang", "fp8Block", "a10g", True, FAILS),
        ("sglang", "fp8Block", "l40s", True, RUNS),
        ("sglang", "nvfp4", "h200", True, FALLS_BACK),
        ("sglang", "nvfp4", "t4", False, FAILS),
        ("trtllm", "fp8", "a100", False, FAILS),
        ("trtllm", "fp8", "l40s", False, RUNS),
        ("trtllm", "fp8Block", "l40s", False, FAILS),
        ("trtllm", "fp8Block", "rtx-pro-server-6000", True, FAILS),
        ("trtllm", "fp8Block", "b200", True, RUNS),
        ("trtllm", "nvfp4", "h200", False, FAILS),
        ("trtllm", "nvfp4", "gb200", False, RUNS),
        ("trtllm", "mxfp4", "l4", True, FAILS),
        ("trtllm", "mxfp4", "h100", True, FALLS_BACK),
        ("trtllm", "int4", "a10g", False, RUNS),
        ("trtllm", "int4", "rtx-pro-server-6000", False, FAILS),
        ("vllm", "fp8", "not-known", False, RUNS),
    ],
)
def test_formats(backend, format_, gpu, experts, expected):
    said = gpus.judged(backend, format_, gpu, experts=experts)
    assert (said and said.level) == expected
    if said:
        assert gpu in said.message


@pytest.mark.parametrize(
    ("backend", "kv_format", "gpu", "expected"),
    [
        ("vllm", "fp8", "a10g", FALLS_BACK),
        ("sglang", "fp8_e4m3", "a100", FALLS_BACK),
        ("vllm", "fp8_e5m2", "a100", RUNS),
        ("vllm", "auto", "a100", RUNS),
        ("vllm", None, "a100", RUNS),
        ("vllm", "fp8", "l4", RUNS),
        ("trtllm", "fp8", "a100", RUNS),
        ("vllm", "fp8", "not-known", RUNS),
    ],
)
def test_keys_and_values_in_eight_bits(backend, kv_format, gpu, expected):
    said = gpus.judged_kv(backend, kv_format, gpu)
    assert (said and said.level) == expected


DENSE, WINDOW, RECURRENT, LATENT = (
    table.known(name)
    for name in ("Qwen/Qwen3-32B", "openai/gpt-oss-120b", "Qwen/Qwen3.5-397B-A17B", "deepseek-ai/DeepSeek-R1")
)


def pair(facts, prefill: Sharding, decode: Sharding, *, dynamo: tuple[int, ...] = (1, 5, 0), conv_layout: bool = True):
    assert facts is not None
    return handover.judged(facts, prefill, decode, dynamo=dynamo, conv_layout=conv_layout)


@pytest.mark.parametrize(
    ("facts", "backend", "dynamo", "expected"),
    [
        (DENSE, "vllm", (1, 5, 0), ["warn"]),
        (DENSE, "sglang", (1, 5, 0), ["warn"]),
        (DENSE, "trtllm", (1, 5, 0), []),
        (WINDOW, "vllm", (1, 5, 0), ["warn"]),
        (WINDOW, "sglang", (1, 6, 1), ["fail"]),
        (RECURRENT, "vllm", (1, 4, 0), ["warn"]),
        (RECURRENT, "sglang", (1, 4, 0), ["fail"]),
        (RECURRENT, "sglang", (1, 5, 0), ["warn"]),
        (RECURRENT, "sglang", (99,), ["warn"]),
        (RECURRENT, "trtllm", (1, 5, 0), ["warn"]),
        (LATENT, "vllm", (1, 5, 0), []),
        (LATENT, "sglang", (1, 5, 0), []),
    ],
)
def test_prefill_of_two_and_decode_of_four(facts, backend, dynamo, expected):
    prefill, decode = (Sharding(backend=backend, tensor=size) for size in (2, 4))
    assert [said.level for said in pair(facts, prefill, decode, dynamo=dynamo)] == expected
    assert [said.level for said in pair(facts, decode, prefill, dynamo=dynamo)] == expected


def test_equal_tensor_parallel_is_handed_over():
    for facts in (DENSE, WINDOW, RECURRENT, LATENT):
        for backend in ("vllm", "sglang"):
            one = Sharding(backend=backend, tensor=4)
            assert pair(facts, one, one, dynamo=(1, 4, 0)) == []


def test_vllm_has_to_be_told_the_layout_of_recurrent_state():
    one = Sharding(backend="vllm", tensor=4)
    (said,) = pair(RECURRENT, one, one, conv_layout=False)
    assert said.level == "fail" and "VLLM_SSM_CONV_STATE_LAYOUT=DS" in said.message
    assert pair(DENSE, one, one, conv_layout=False) == []
    other = Sharding(backend="sglang", tensor=4)
    assert pair(RECURRENT, other, other, conv_layout=False) == []


def test_what_counts_is_what_attention_is_divided_over():
    prefill = Sharding(backend="sglang", tensor=4)
    decode = Sharding(backend="sglang", tensor=16, data=4, attention_data=True)
    assert pair(DENSE, prefill, decode) == []


def test_no_multiple_and_another_format():
    first, second = Sharding(backend="vllm", tensor=4), Sharding(backend="vllm", tensor=6)
    assert "one has to be a multiple" in pair(LATENT, first, second)[0].message
    other = Sharding(backend="vllm", tensor=4, kv_format="fp8")
    assert "in one format" in pair(LATENT, first, other)[0].message
    told = Sharding(backend="vllm", tensor=4, kv_format="auto")
    assert pair(LATENT, first, told) == []
