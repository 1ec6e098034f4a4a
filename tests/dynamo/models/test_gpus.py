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


NIXL, UCX, PYTHON = (handover.Transceiver(*told) for told in (("NIXL", None), ("UCX", None), ("NIXL", "PYTHON")))


def pair(
    facts, prefill: Sharding, decode: Sharding, *, dynamo: tuple[int, ...] = (1, 5, 0), conv_layout: bool = True,
    transceivers: tuple[handover.Transceiver, ...] = (),
):  # fmt: skip
    assert facts is not None
    return handover.judged(facts, prefill, decode, dynamo=dynamo, conv_layout=conv_layout, transceivers=transceivers)


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
        (RECURRENT, "trtllm", (1, 5, 0), []),
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


@pytest.mark.parametrize(
    ("facts", "transceivers", "expected"),
    [
        (RECURRENT, (NIXL, NIXL), ["warn"]),
        (RECURRENT, (UCX, NIXL), ["warn"]),
        (RECURRENT, (PYTHON, handover.Transceiver("NIXL", "CPP")), ["warn"]),
        (RECURRENT, (handover.Transceiver(None, "auto"),), ["warn"]),
        (RECURRENT, (UCX, UCX), []),
        (RECURRENT, (PYTHON, PYTHON), []),
        (RECURRENT, (handover.Transceiver("MPI", "CPP"),), []),
        # Told in a file.
        (RECURRENT, (), []),
        (DENSE, (NIXL, NIXL), []),
        (DENSE, (handover.Transceiver("DEFAULT", "PYTHON"), handover.Transceiver(None, "PYTHON")), []),
        (DENSE, (NIXL, handover.Transceiver("UCX", "PYTHON")), ["fail"]),
        (RECURRENT, (handover.Transceiver("UCX", "PYTHON"), PYTHON), ["fail"]),
    ],
)
def test_tensorrt_llm_hands_recurrent_state_over_in_two_ways(facts, transceivers, expected):
    one = Sharding(backend="trtllm", tensor=2)
    assert [said.level for said in pair(facts, one, one, transceivers=transceivers)] == expected


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


def test_the_words():
    one, two, three = (Sharding(backend="vllm", tensor=size) for size in (4, 2, 6))
    eight = Sharding(backend="vllm", tensor=4, kv_format="fp8")
    assert pair(DENSE, one, eight) == [
        gpus.Verdict("fail", "prefill keeps keys and values in auto and decode in fp8; they have to be in one format")
    ]
    assert pair(DENSE, eight, one)[0].message.startswith("prefill keeps keys and values in fp8 and decode in auto; ")
    assert pair(LATENT, one, three) == [
        gpus.Verdict(
            "fail", "prefill divides attention over 4 GPUs and decode over 6; one has to be a multiple of the other"
        )
    ]
    assert pair(DENSE, one, two) == [
        gpus.Verdict(
            "warn",
            "prefill divides attention over 4 GPUs and decode over 2: heads are split on the way, which has ended decode workers at "
            "their first request (vllm #43523, #50765; sglang #15674, #31295); one tensorParallel for both is what is tested most",
        )
    ]
    assert pair(RECURRENT, one, one, conv_layout=False) == [
        gpus.Verdict(
            "fail",
            "vLLM hands recurrent state over in one layout alone, and its workers end without VLLM_SSM_CONV_STATE_LAYOUT=DS "
            "(vllm #54387); set it in env of prefill and decode",
        )
    ]
    here, there = (Sharding(backend="sglang", tensor=size) for size in (4, 2))
    assert pair(WINDOW, here, there)[0].message == (
        "prefill divides attention over 4 GPUs and decode over 2: SGLang hands no layers with a sliding window over between them "
        "(0.5.16 to 0.5.21, llm-d #2442); use one tensorParallel for both"
    )
    assert pair(RECURRENT, here, there, dynamo=(1, 4, 9))[0].message == (
        "prefill divides attention over 4 GPUs and decode over 2: SGLang 0.5.16 ends handing recurrent state over between them "
        "(sglang #31295); take Dynamo 1.5.0 or newer; use one tensorParallel for both"
    )
    engine = Sharding(backend="trtllm", tensor=4)
    assert pair(RECURRENT, engine, engine, transceivers=(NIXL,))[0].message == (
        "TensorRT-LLM hands recurrent state over by UCX, or by NIXL in its Python transceiver alone (TensorRT-LLM #14060): set "
        "cache_transceiver_config.backend to UCX, or its transceiver_runtime to PYTHON, or serve it aggregated"
    )
    assert pair(DENSE, engine, engine, transceivers=(handover.Transceiver("UCX", "PYTHON"),))[0].message == (
        "TensorRT-LLM's Python transceiver has no backend but NIXL, and ends with UCX (create_kv_cache_transceiver); leave one of "
        "cache_transceiver_config's backend and transceiver_runtime"
    )
    said = [
        gpus.judged("trtllm", "nvfp4", "h200"),
        gpus.judged("trtllm", "int4", "rtx-pro-server-6000"),
        gpus.judged("sglang", "fp8Block", "a10g", experts=True),
        gpus.judged("vllm", "fp8", "a10g"),
        gpus.judged("vllm", "int4", "t4"),
        gpus.judged("vllm", "bf16", "t4"),
        gpus.judged("trtllm", "mxfp4", "h100"),
        gpus.judged_kv("vllm", "FP8", "a10g"),
    ]
    assert [one and one.message for one in said] == [
        "NVFP4 weights on h200 (compute capability 9.0): trtllm runs them from 10.0 on",
        "INT4 weights on rtx-pro-server-6000 (compute capability 12.0): trtllm has no kernels for them there",
        "FP8 (blocks of 128) weights on a10g (compute capability 8.6): SGLang runs FP8 experts from 8.9 on (sglang #12887, #30681)",
        "FP8 weights on a10g (compute capability 8.6) run without hardware for them: they are unpacked to 16 bits for each "
        "product (Marlin), which saves memory and not time",
        "INT4 weights on t4 (compute capability 7.5) run without hardware for them: older and slower kernels are taken",
        "BF16 weights on t4 (compute capability 7.5) run without hardware for them: bfloat16 is not there, and float16 is taken",
        "MXFP4 weights on h100 (compute capability 9.0) run without hardware for them: not in the matrix; the guide for gpt-oss takes "
        "Triton's experts (moe_config.backend: TRITON)",
        "keys and values in fp8 on a10g (compute capability 8.6): the usual kernels know E4M3 from 8.9 on and end with 'type fp8e4nv "
        "not supported' (vllm #26431); leave it out, or take fp8_e5m2",
    ]


@pytest.mark.parametrize(
    ("backend", "format_", "native", "least"),
    [
        ("vllm", "bf16", 80, 75), ("vllm", "fp8", 89, 75), ("vllm", "fp8Block", 89, 75), ("vllm", "nvfp4", 100, 75),
        ("vllm", "mxfp4", 90, 80), ("vllm", "int4", 80, 75), ("vllm", "int8", 75, 75), ("sglang", "bf16", 80, 75),
        ("sglang", "fp8", 89, 80), ("sglang", "fp8Block", 89, 80), ("sglang", "nvfp4", 100, 80), ("sglang", "mxfp4", 90, 80),
        ("sglang", "int4", 80, 75), ("sglang", "int8", 75, 75), ("trtllm", "bf16", 80, 80), ("trtllm", "fp16", 80, 80),
        ("trtllm", "fp8", 89, 89), ("trtllm", "fp8Block", 90, 90), ("trtllm", "nvfp4", 100, 100), ("trtllm", "mxfp4", 100, 90),
        ("trtllm", "int4", 80, 80), ("trtllm", "int8", 80, 80),
    ],
)  # fmt: skip
def test_every_gpu_is_above_between_or_below(backend, format_, native, least):
    for gpu, (major, minor) in gpus.CAPABILITY.items():
        have = 10 * major + minor
        lacking = backend == "trtllm" and have == 120 and format_ in ("fp8Block", "int4", "int8")
        said = gpus.judged(backend, format_, gpu)
        assert (said and said.level) == (FAILS if have < least or lacking else FALLS_BACK if have < native else RUNS)
