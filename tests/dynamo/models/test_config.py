"""Facts from a `config.json`: each part of a layout counts, and each way of saying a number format is understood."""

from __future__ import annotations

import pytest

from components.dynamo.models.config import UnknownArchitecture, facts

DENSE = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}  # fmt: skip
ATTENTION = 64 * 4 * 16 + 2 * 64 * 2 * 16 + 4 * 16 * 64
MLP = 3 * 64 * 128
MOE = {
    **DENSE, "architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}  # fmt: skip


def test_dense():
    found = facts(DENSE)
    assert found.parameters == 2 * 100 * 64 + 2 * (ATTENTION + MLP)
    assert found.weight_bytes == 2 * found.parameters
    assert (found.kv_heads, found.head_size, found.layers, found.full_layers) == (2, 16, 2, 2)
    assert found.format == "bf16"
    assert found.active_parameters is None
    assert facts({**DENSE, "tie_word_embeddings": True}).parameters == found.parameters - 6400
    assert facts({**DENSE, "torch_dtype": "float16"}).format == "fp16"


def test_experts():
    found = facts(MOE)
    routed = 2 * 8 * 3 * 64 * 32
    assert found.expert_bytes == 2 * routed
    assert found.parameters == 2 * 100 * 64 + 2 * (ATTENTION + 64 * 8) + routed
    assert found.active_parameters == found.parameters - routed * 6 // 8
    shared = facts({**MOE, "n_shared_experts": 1})
    assert shared.parameters == found.parameters + 2 * 3 * 64 * 32
    first_dense = facts({**MOE, "first_k_dense_replace": 1})
    assert first_dense.parameters == found.parameters - routed // 2 - 64 * 8 + MLP


def test_latent_attention():
    latent = {"q_lora_rank": 24, "kv_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
    found = facts({**DENSE, "architectures": ["DeepseekV3ForCausalLM"], **latent})
    attention = 64 * 24 + 24 * 4 * 24 + 64 * 40 + 32 * 4 * 32 + 4 * 16 * 64
    assert found.parameters == 2 * 100 * 64 + 2 * (attention + MLP)
    assert found.latent
    assert found.latent_size == 40
    assert found.kv_heads is None
    sparse = facts(
        {**DENSE, "architectures": ["DeepseekV32ForCausalLM"], **latent, "index_head_dim": 8, "index_n_heads": 2}
    )
    assert sparse.indexer_size == 8
    assert sparse.parameters == found.parameters + 2 * (24 * 16 + 64 * 10)


def test_windows():
    kinds = ["sliding_attention", "full_attention"]
    found = facts({**DENSE, "architectures": ["GptOssForCausalLM"], "layer_types": kinds, "sliding_window": 16})
    assert (found.window_layers, found.window, found.full_layers) == (1, 16, 1)
    # Without a window the word means nothing.
    assert facts({**DENSE, "layer_types": kinds, "sliding_window": None}).window_layers == 0


def test_recurrent_layers_keep_a_state():
    linear = {
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_num_value_heads": 4, "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    }  # fmt: skip
    found = facts({**DENSE, "architectures": ["Qwen3_5ForConditionalGeneration"], **linear})
    assert found.full_layers == 1
    assert found.state_bytes == 4 * 8 * 8 * 4 + (2 * 16 + 32) * 3 * 2
    mamba = {
        "mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 1, "ssm_state_size": 16, "conv_kernel": 4,
        "hybrid_override_pattern": "M*-",
    }  # fmt: skip
    found = facts({**DENSE, "architectures": ["NemotronHForCausalLM"], **mamba})
    assert (found.layers, found.full_layers) == (3, 1)
    assert found.state_bytes == 32 * 16 * 4 + (32 + 2 * 16) * 3 * 2
    assert found.parameters == 2 * 6400 + 64 * (64 + 32 + 4) + 32 * 64 + ATTENTION + 2 * 64 * 128


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8Block"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"config_groups": {"group_0": {"weights": {"type": "int", "num_bits": 4, "group_size": 32}}}}, "int4"),
        ({"config_groups": {"group_0": {"weights": {"type": "int", "num_bits": 8}}}}, "int8"),
        ({"config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 8}}}}, "fp8"),
        ({"config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 4}}}}, "nvfp4"),
        ({}, "bf16"),
    ],
)
def test_number_formats(scheme, expected):
    assert facts({**DENSE, "quantization_config": scheme}).format == expected


def test_mxfp4_is_of_the_experts_alone():
    found = facts({**MOE, "quantization_config": {"quant_method": "mxfp4"}})
    routed = 2 * 8 * 3 * 64 * 32
    assert found.expert_bytes == round(routed * 4.25 / 8)
    assert found.weight_bytes - found.expert_bytes == 2 * (found.parameters - routed)


@pytest.mark.parametrize(
    "pattern",
    ["model.layers.*.self_attn*", "re:.*self_attn.*", "self_attn", "model.language_model.layers.*.self_attn"],
)
def test_what_is_left_out_stays_in_sixteen_bits(pattern):
    beside = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": [pattern], "kv_cache_quant_algo": "FP8"}}
    found = facts(DENSE, beside)
    assert found.kv_format == "fp8"
    assert found.weight_bytes == 2 * (2 * 6400 + 2 * ATTENTION) + 2 * MLP * 4.5 / 8


def test_a_name_that_is_part_of_another_leaves_only_itself_out():
    everything = facts(DENSE, {"quantization": {"quant_algo": "FP8"}})
    assert facts(DENSE, {"quantization": {"quant_algo": "FP8", "exclude_modules": ["gate"]}}) == everything


def test_mixed_precision_is_told_by_module():
    listed = {
        f"model.layers.{i}.mlp.{name}_proj": {"quant_algo": "NVFP4"}
        for i in range(2)
        for name in ("gate", "up", "down")
    }
    found = facts(DENSE, {"quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": listed}})
    assert found.weight_bytes == 2 * (2 * 6400 + 2 * ATTENTION) + 2 * MLP * 4.5 / 8


def test_what_cannot_be_counted_is_said():
    with pytest.raises(UnknownArchitecture, match="the layout of OtherForCausalLM is not known"):
        facts({**DENSE, "architectures": ["OtherForCausalLM"]})
    with pytest.raises(UnknownArchitecture, match="vocab_size"):
        facts({key: value for key, value in DENSE.items() if key != "vocab_size"})
