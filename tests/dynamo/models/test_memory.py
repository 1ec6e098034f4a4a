"""What a model takes of each GPU, computed by hand."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.dynamo.models import memory, table
from components.dynamo.models.facts import ModelFacts
from components.dynamo.models.memory import GIB, LEAST, MIB, Draft, Sharding


def known(name: str) -> ModelFacts:
    found = table.known(name)
    assert found is not None
    return found


LLAMA = known("meta-llama/Llama-3.3-70B-Instruct")
QWEN_MOE = known("Qwen/Qwen3-235B-A22B")
R1 = known("deepseek-ai/DeepSeek-R1")
GPT_OSS = known("openai/gpt-oss-120b")
QWEN35 = known("Qwen/Qwen3.5-397B-A17B")


@pytest.mark.parametrize(
    ("facts", "how", "expected_kib"),
    [
        # 2 (keys and values) x 8 heads x 128 numbers x 2 bytes x 80 layers.
        (LLAMA, Sharding(backend="vllm"), 320),
        (LLAMA, Sharding(backend="vllm", tensor=8), 40),
        # Eight heads on sixteen GPUs: each head is kept twice.
        (LLAMA, Sharding(backend="vllm", tensor=16), 40),
        (LLAMA, Sharding(backend="vllm", tensor=8, kv_format="fp8"), 20),
        (LLAMA, Sharding(backend="vllm", tensor=8, pipeline=2), 20),
        # Latent attention is on each GPU whole: (512 + 64) x 2 bytes x 61 layers.
        (R1, Sharding(backend="vllm", tensor=8), 576 * 2 * 61 / 1024),
        (R1, Sharding(backend="trtllm", tensor=8, kv_format="fp8"), 576 * 61 / 1024),
        # Data-parallel attention keeps all heads of its own requests.
        (LLAMA, Sharding(backend="sglang", tensor=8, data=8, attention_data=True), 320),
        (LLAMA, Sharding(backend="sglang", tensor=8, data=2, attention_data=True), 80),
        # A checkpoint that asks for keys and values in 8 bits gets them, but for SGLang.
        (known("nvidia/Qwen3-235B-A22B-NVFP4"), Sharding(backend="vllm"), 2 * 4 * 128 * 94 / 1024),
        (known("nvidia/Qwen3-235B-A22B-NVFP4"), Sharding(backend="sglang"), 2 * 4 * 128 * 2 * 94 / 1024),
    ],
)
def test_bytes_of_a_token(facts, how, expected_kib):
    assert memory.token_bytes(facts, how)[0] / 1024 == pytest.approx(expected_kib)


def test_layers_with_a_window_keep_its_tokens_alone():
    how = Sharding(backend="vllm")
    each = 2 * 8 * 64 * 2
    assert memory.request_bytes(GPT_OSS, how, 100) == 36 * each * 100
    assert memory.request_bytes(GPT_OSS, how, 100_000) == 18 * each * 100_000 + 18 * each * 128


def test_recurrent_layers_keep_a_state_and_no_tokens():
    how = Sharding(backend="vllm", tensor=2)
    assert QWEN35.full_layers == 15
    # Of two heads of keys and values each GPU has one.
    assert memory.request_bytes(QWEN35, how, 1000) == 2 * 256 * 2 * 15 * 1000 + QWEN35.state_bytes / 2


def test_sparse_attention_keeps_what_it_chooses_by():
    glm = known("zai-org/GLM-5-FP8")
    assert memory.token_bytes(glm, Sharding(backend="vllm"))[0] == (576 * 2 + 128 + 4) * 78


@pytest.mark.parametrize(
    ("facts", "how", "expected"),
    [
        (LLAMA, Sharding(backend="vllm", tensor=8), LLAMA.weight_bytes / 8),
        (LLAMA, Sharding(backend="vllm", tensor=4, pipeline=2), LLAMA.weight_bytes / 8),
        # 80 layers in three stages: the fullest has 27.
        (LLAMA, Sharding(backend="vllm", pipeline=3), LLAMA.weight_bytes * 27 / 80),
        # Copies of a dense model do not divide it.
        (LLAMA, Sharding(backend="vllm", tensor=4, data=2), LLAMA.weight_bytes / 4),
        # vLLM spreads experts over the data-parallel ranks too; the rest is on each of them.
        (
            R1,
            Sharding(backend="vllm", data=16, experts=16),
            R1.expert_bytes / 16 + R1.weight_bytes - R1.expert_bytes,
        ),
        (
            R1,
            Sharding(backend="sglang", tensor=16, data=16, experts=16, attention_data=True),
            R1.expert_bytes / 16 + R1.weight_bytes - R1.expert_bytes,
        ),
        (
            R1,
            Sharding(backend="sglang", tensor=16, experts=16),
            # The ways down to the latent are on each GPU: 61 layers of 7168 x (1536 + 576), a byte each.
            61 * 7168 * (1536 + 576) * 15 / 16 + R1.weight_bytes / 16,
        ),
        (
            R1,
            Sharding(backend="trtllm", tensor=8, experts=8, attention_data=True),
            R1.expert_bytes / 8 + R1.weight_bytes - R1.expert_bytes,
        ),
    ],
)
def test_weights_on_a_gpu(facts, how, expected):
    assert memory.weights(facts, how) == pytest.approx(expected, rel=1e-5)


def test_room_is_what_is_left_of_the_engines_share():
    gpu = 81920 * MIB
    how = Sharding(backend="vllm", tensor=8)
    besides = memory.overhead(LLAMA, how, gpu)
    held = memory.weights(LLAMA, how)
    assert memory.room(LLAMA, how, gpu, besides) == round(0.92 * gpu) - held - besides
    told = dataclasses.replace(how, fraction=0.5)
    assert memory.room(LLAMA, told, gpu, besides) == round(0.5 * gpu) - held - besides
    # TensorRT-LLM's share is of what is free when the model is there.
    other = dataclasses.replace(how, backend="trtllm")
    assert memory.room(LLAMA, other, gpu, besides) == round(0.9 * (gpu - held - besides))
    third = dataclasses.replace(how, backend="sglang", fraction=0.8)
    assert memory.room(LLAMA, third, gpu, besides) == round(0.8 * gpu) - held - GIB


@pytest.mark.parametrize(
    ("facts", "how", "gpu_mib", "reserve_mib"),
    [
        # 512 + 8192 x 1.5 + 1024 + 512 graphs x 2 + 480.
        (LLAMA, Sharding(backend="sglang", tensor=8), 81920, 512 + 12288 + 1024 + 1024 + 480),
        # Below 60 GiB there is no floor of 10 GiB: 512 + 2048 x 1.5 + 128 + 24 x 2 + 480.
        (LLAMA, Sharding(backend="sglang"), 22888, 512 + 3072 + 128 + 48 + 480),
        (LLAMA, Sharding(backend="sglang", role="prefill"), 81920, 512 + 12288 + 128 + 480),
        # Decode reckons with its requests, not with chunks of a prompt; then the floor counts.
        (LLAMA, Sharding(backend="sglang", role="decode"), 81920, 10240),
        (
            R1,
            Sharding(backend="sglang", role="decode", tensor=16, data=16, attention_data=True),
            144384,
            512 + 3072 + 2048 + 512 * 2 + 512 * 16 * 4.5,
        ),
    ],
)
def test_sglangs_own_share(facts, how, gpu_mib, reserve_mib):
    assert memory.sglang_fraction(facts, how, gpu_mib * MIB) == pytest.approx((gpu_mib - reserve_mib) / gpu_mib)


def test_the_whole_fit():
    how = Sharding(backend="vllm", tensor=8, data=2)
    fit = memory.fit(LLAMA, how, 81920 * MIB)
    assert fit.request == 40 * 1024 * 131072
    assert fit.at_once == 2 * (fit.room // fit.request)
    assert fit.tokens == 2 * int(fit.room / (40 * 1024))
    assert fit.longest == 131072
    assert fit.surely > fit.room
    alone = memory.fit(LLAMA, Sharding(backend="vllm"), 45776 * MIB)
    assert alone.surely < 0
    assert (alone.longest, alone.tokens, alone.at_once) == (0, 0, 0)


def test_the_longest_context_is_the_last_that_fits():
    how = Sharding(backend="vllm", tensor=2)
    fit = memory.fit(LLAMA, how, 81920 * MIB)
    assert 0 < fit.longest < 131072
    assert memory.request_bytes(LLAMA, how, fit.longest) <= fit.room < memory.request_bytes(LLAMA, how, fit.longest + 1)


SMALL = known("Qwen/Qwen3-1.7B")
KIB = 1024


def test_a_draft_model_takes_its_weights_and_its_keys_and_values():
    how = Sharding(backend="vllm", tensor=4, context=8192)
    alone, beside = (memory.fit(LLAMA, how, 81920 * MIB, draft) for draft in (None, Draft(SMALL, True)))
    small = SMALL.weight_bytes // 4
    assert beside.weights - alone.weights == pytest.approx(small, abs=1)
    assert alone.room - beside.room == alone.surely - beside.surely == pytest.approx(small, abs=1)
    # 2 x 2 of its 8 heads x 128 numbers x 2 bytes x 28 layers, of each of 8192 tokens.
    assert beside.token - alone.token == 28 * KIB
    assert beside.request - alone.request == beside.least - alone.least == 28 * KIB * 8192
    assert beside.longest <= alone.longest and beside.tokens < alone.tokens and beside.at_once < alone.at_once
    tight = Sharding(backend="vllm", tensor=2)
    assert (
        memory.fit(LLAMA, tight, 81920 * MIB, Draft(SMALL, True)).longest
        < memory.fit(LLAMA, tight, 81920 * MIB).longest
    )
    window = SMALL.model_copy(update={"window_layers": 14, "kv_layers": 14, "window": 1024})
    assert memory.fit(LLAMA, how, 81920 * MIB, Draft(window, True)).token - alone.token == 14 * KIB


def test_what_is_not_certain_of_a_draft_model():
    for how, draft in (
        (Sharding(backend="vllm", tensor=4), Draft(SMALL, False)),
        (Sharding(backend="vllm", tensor=2, pipeline=2), Draft(SMALL, True)),
        (Sharding(backend="trtllm", tensor=4, attention_data=True), Draft(SMALL, True)),
    ):
        alone, beside = (memory.fit(LLAMA, how, 81920 * MIB, each) for each in (None, draft))
        assert beside.room < alone.room and beside.request > alone.request
        assert (beside.surely, beside.least) == (alone.surely, alone.least)
    # All of it in a pipeline's last stage.
    staged = Sharding(backend="vllm", pipeline=4)
    assert memory.weights(SMALL, Draft(SMALL, True).sharding(staged)) == SMALL.weight_bytes


def test_sglang_may_load_a_draft_model_into_what_its_share_leaves():
    how = Sharding(backend="sglang", tensor=4, fraction=0.8)
    alone, beside = (memory.fit(LLAMA, how, 81920 * MIB, draft) for draft in (None, Draft(SMALL, True)))
    assert beside.surely == alone.surely
    assert alone.room - beside.room == pytest.approx(SMALL.weight_bytes // 4, abs=1)
    full = dataclasses.replace(how, fraction=1.0)
    beside = memory.fit(LLAMA, full, 81920 * MIB, Draft(SMALL, True))
    assert beside.surely == 81920 * MIB - beside.weights - LEAST


def test_a_draft_model_may_take_another_gpu():
    how = Sharding(backend="vllm", tensor=8, context=8192)
    draft = Draft(known("Qwen/Qwen3-8B"), True)
    assert memory.fewest(LLAMA, how, 80 * GIB) == 2
    assert memory.fewest(LLAMA, how, 80 * GIB, draft) == 4


def test_experts_that_are_kept_twice_take_memory_twice():
    each = R1.expert_bytes / 256
    for how, twice in (
        (Sharding(backend="sglang", tensor=16, data=16, experts=16, attention_data=True), {"redundant": 32}),
        (Sharding(backend="vllm", data=16, experts=16), {"redundant": 32}),
        (Sharding(backend="trtllm", tensor=16, experts=16, attention_data=True), {"slots": 288}),
    ):
        once = memory.weights(R1, how)
        assert memory.weights(R1, dataclasses.replace(how, **twice)) - once == pytest.approx(2 * each, abs=1)
        assert memory.weights(R1, dataclasses.replace(how, slots=0)) == once
    assert memory.weights(LLAMA, Sharding(backend="sglang", redundant=32)) == LLAMA.weight_bytes


@pytest.mark.parametrize(
    ("facts", "how", "words"),
    [
        (LLAMA, Sharding(backend="vllm", tensor=3), "64 attention heads cannot be divided by tensor parallel 3"),
        (known("Qwen/Qwen3.5-27B"), Sharding(backend="vllm", tensor=16), "24 attention heads"),
        (known("MiniMaxAI/MiniMax-M2.5"), Sharding(backend="trtllm", tensor=12), "8 heads of keys and values"),
        (known("Qwen/Qwen3-0.6B"), Sharding(backend="vllm", pipeline=29), "28 layers cannot make 29 stages"),
        (R1, Sharding(backend="sglang", tensor=24, experts=24), "256 experts cannot be divided by expert parallel 24"),
        (
            R1,
            Sharding(backend="sglang", tensor=24, experts=24, redundant=16),
            "256 experts and 16 that are kept twice cannot be divided by expert parallel 24",
        ),
        (
            R1,
            Sharding(backend="sglang", tensor=64, experts=64, redundant=32),
            "256 experts and 32 that are kept twice cannot be divided by expert parallel 64",
        ),
        (R1, Sharding(backend="trtllm", tensor=32, experts=32, slots=264, attention_data=True), "kept twice"),
        (R1, Sharding(backend="vllm", data=24, experts=24, balanced=True), "256 experts cannot be divided"),
        (known("Qwen/Qwen3-235B-A22B-FP8"), Sharding(backend="vllm", tensor=8), "no multiple of the block of 128"),
        (known("Qwen/Qwen3-235B-A22B-FP8"), Sharding(backend="sglang", tensor=8), "no multiple of the block of 128"),
    ],
)
def test_what_cannot_be_divided(facts, how, words):
    assert any(words in why for why in memory.divides(facts, how))


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        (LLAMA, Sharding(backend="vllm", tensor=16)),
        (R1, Sharding(backend="trtllm", tensor=32, experts=32, attention_data=True)),
        (R1, Sharding(backend="vllm", data=16, experts=16)),
        (R1, Sharding(backend="vllm", data=24, experts=24)),
        (R1, Sharding(backend="vllm", data=24, experts=24, balanced=True, redundant=8)),
        (R1, Sharding(backend="sglang", tensor=48, data=48, experts=48, redundant=32, attention_data=True)),
        (R1, Sharding(backend="trtllm", tensor=36, experts=36, slots=288, attention_data=True)),
        (R1, Sharding(backend="trtllm", tensor=36, experts=36, slots=0, attention_data=True)),
        (known("Qwen/Qwen3-235B-A22B-FP8"), Sharding(backend="vllm", tensor=4)),
        (known("Qwen/Qwen3-235B-A22B-FP8"), Sharding(backend="vllm", tensor=8, experts=8)),
        (known("Qwen/Qwen3-235B-A22B-FP8"), Sharding(backend="sglang", tensor=8, experts=2)),
        (known("Qwen/Qwen3-235B-A22B"), Sharding(backend="vllm", tensor=8)),
        (QWEN35, Sharding(backend="vllm", tensor=8)),
    ],
)
def test_what_can(facts, how):
    assert memory.divides(facts, how) == []


def test_the_fewest_gpus():
    assert memory.fewest(LLAMA, Sharding(backend="vllm", tensor=8), 81920 * MIB) == 4
    assert memory.fewest(LLAMA, Sharding(backend="vllm", tensor=8, context=8192), 81920 * MIB) == 2
    assert memory.fewest(LLAMA, Sharding(backend="vllm", tensor=2), 22888 * MIB) == 2


@given(
    name=st.sampled_from(sorted(table.rows())),
    backend=st.sampled_from(["vllm", "sglang", "trtllm"]),
    tensor=st.sampled_from([1, 2, 4, 8]),
    gpu=st.integers(16384, 300000),
)
def test_more_gpus_and_more_memory_never_leave_less(name, backend, tensor, gpu):
    facts = known(name)
    one, more = Sharding(backend=backend, tensor=tensor), Sharding(backend=backend, tensor=2 * tensor)
    assert memory.weights(facts, more) <= memory.weights(facts, one)
    assert memory.request_bytes(facts, more, 4096) <= memory.request_bytes(facts, one, 4096)
    small, large = (
        memory.fit(facts, dataclasses.replace(one, fraction=0.9), size * MIB) for size in (gpu, gpu + 70 * 1024)
    )
    assert large.room > small.room
    assert large.longest >= small.longest
