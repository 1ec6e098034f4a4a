"""Facts from a model's own files: `config.json`, and where it has them `hf_quant_config.json` and the index of its weights. Pure.

Every matrix of the model is listed with its name and size, as the transformers library lays the architectures out, and each is
counted in its own number format: what a quantised checkpoint leaves in 16 bits is a tenth of DeepSeek-R1 in NVFP4. Norms and
biases are left out, less than a thousandth. `tests/dynamo/models/published.yaml` holds the sums against published ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .facts import Format, ModelFacts

BITS: Mapping[Format, float] = {
    "bf16": 16, "fp16": 16, "fp8": 8, "fp8Block": 8 + 32 / 128**2, "int8": 8,
    "nvfp4": 4 + 8 / 16, "mxfp4": 4 + 8 / 32, "int4": 4 + 16 / 128,
}  # fmt: skip
"""Bits of one weight with its part of the scales: one of 8 bits for 16 numbers (NVFP4) or 32 (MXFP4, OCP specification), one of
16 for a group of 128 (AWQ, GPTQ) unless the checkpoint says otherwise, one of 32 for a block (DeepSeek)."""


class UnknownArchitecture(ValueError):
    """A `config.json` whose parameters cannot be counted; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One matrix of a model."""

    name: str
    count: int
    """Weights in it."""
    expert: bool = False
    """Whether it is one of all routed experts of its layer, counted together."""
    whole: bool = False
    """Whether every GPU of a tensor-parallel group holds all of it: the ways down to the latent, which all heads share, and what sparse
    attention chooses by (`ReplicatedLinear` in vLLM and SGLang)."""
    plain: bool = False
    """Whether it stays in 16 bits in every checkpoint: embeddings, routers, the encoder of pictures."""


def text_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model."""
    return config.get("text_config") or config.get("llm_config") or config


def _heads(text: Mapping[str, Any], heads: str = "num_key_value_heads", size: str = "head_dim") -> tuple[int, int, int]:
    """Attention heads, heads of keys and values, and the size of one."""
    query = text["num_attention_heads"]
    return query, text.get(heads) or query, text.get(size) or text["hidden_size"] // query


def _grouped(text: Mapping[str, Any], at: str, full: bool = True) -> Iterator[Matrix]:
    hidden, gate = text["hidden_size"], 2 if text.get("attn_output_gate") else 1
    query, keys, size = _heads(text)
    shared = False
    if full and text.get("global_head_dim"):
        _, keys, size = _heads(text, "num_global_key_value_heads", "global_head_dim")
        shared = bool(text.get("attention_k_eq_v"))
    yield Matrix(f"{at}.self_attn.q_proj", hidden * query * size * gate)
    yield Matrix(f"{at}.self_attn.k_proj", hidden * keys * size)
    if not shared:
        yield Matrix(f"{at}.self_attn.v_proj", hidden * keys * size)
    yield Matrix(f"{at}.self_attn.o_proj", query * size * hidden)


def _latent(text: Mapping[str, Any], at: str) -> Iterator[Matrix]:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    rank, rope, nope, value = (
        text[key] for key in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    )
    query, down = heads * (rope + nope), text.get("q_lora_rank")
    if down:
        yield Matrix(f"{at}.self_attn.q_a_proj", hidden * down, whole=True)
        yield Matrix(f"{at}.self_attn.q_b_proj", down * query)
    else:
        yield Matrix(f"{at}.self_attn.q_proj", hidden * query)
    yield Matrix(f"{at}.self_attn.kv_a_proj_with_mqa", hidden * (rank + rope), whole=True)
    yield Matrix(f"{at}.self_attn.kv_b_proj", rank * heads * (nope + value))
    yield Matrix(f"{at}.self_attn.o_proj", heads * value * hidden)
    if text.get("index_head_dim"):
        indexes, size = text["index_n_heads"], text["index_head_dim"]
        yield Matrix(f"{at}.self_attn.indexer.wq_b", down * indexes * size, whole=True)
        yield Matrix(f"{at}.self_attn.indexer.wk", hidden * (size + indexes), whole=True)


def _delta(text: Mapping[str, Any], at: str) -> Iterator[Matrix]:
    """Gated delta net, the linear attention of Qwen3-Next and Qwen3.5."""
    hidden = text["hidden_size"]
    keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
    yield Matrix(f"{at}.linear_attn.in_proj_qkv", hidden * (2 * keys + values))
    yield Matrix(f"{at}.linear_attn.in_proj_z", hidden * values)
    yield Matrix(f"{at}.linear_attn.in_proj_ba", hidden * 2 * text["linear_num_value_heads"], plain=True)
    yield Matrix(f"{at}.linear_attn.out_proj", values * hidden)


def _mamba(text: Mapping[str, Any], at: str) -> Iterator[Matrix]:
    hidden, heads = text["hidden_size"], text["mamba_num_heads"]
    inner = heads * text["mamba_head_dim"]
    yield Matrix(f"{at}.mixer.in_proj", hidden * (2 * inner + 2 * text["n_groups"] * text["ssm_state_size"] + heads))
    yield Matrix(f"{at}.mixer.out_proj", inner * hidden)


def _mlp(at: str, hidden: int, middle: int, *, matrices: int = 3) -> Iterator[Matrix]:
    for name in ("up_proj", "down_proj", "gate_proj")[:matrices]:
        yield Matrix(f"{at}.{name}", hidden * middle)


def _first(text: Mapping[str, Any], *keys: str, default: Any = None) -> Any:
    return next((text[key] for key in keys if text.get(key) is not None), default)


def experts_of(text: Mapping[str, Any]) -> int:
    """Routed experts of a layer; 0 for a dense model."""
    return _first(text, "n_routed_experts", "num_experts", "num_local_experts", default=0)


def _per_token(text: Mapping[str, Any]) -> int:
    return _first(text, "num_experts_per_tok", "experts_per_token", "top_k_experts", default=0)


def _experts(text: Mapping[str, Any], at: str, *, matrices: int = 3) -> Iterator[Matrix]:
    hidden, experts = text["hidden_size"], experts_of(text)
    middle = _first(text, "moe_intermediate_size", "intermediate_size")
    inside = text.get("moe_latent_size") or hidden
    yield Matrix(f"{at}.gate", hidden * experts, plain=True)
    # Gemma has its experts beside the dense network, not in it.
    apart = at.removesuffix(".mlp") if text.get("enable_moe_block") else at
    for item in _mlp(f"{apart}.experts.0", inside, middle, matrices=matrices):
        yield Matrix(item.name, item.count * experts, expert=True)
    if inside != hidden:
        yield Matrix(f"{at}.fc1_latent_proj", hidden * inside)
        yield Matrix(f"{at}.fc2_latent_proj", hidden * inside)
    shared = _first(text, "moe_shared_expert_intermediate_size", "shared_expert_intermediate_size")
    if shared is None and (count := _first(text, "n_shared_experts", default=0)):
        shared = middle * count
    if shared:
        name = "shared_expert" if text.get("shared_expert_intermediate_size") else "shared_experts"
        yield from _mlp(f"{at}.{name}", hidden, shared, matrices=matrices)


def _layer(text: Mapping[str, Any], index: int, kind: str) -> Iterator[Matrix]:
    """A layer of attention and feed-forward network."""
    at = f"model.layers.{index}"
    if kind == "linear_attention":
        yield from _delta(text, at)
    elif text.get("kv_lora_rank"):
        yield from _latent(text, at)
    else:
        yield from _grouped(text, at, kind != "sliding_attention")
    hidden, dense = text["hidden_size"], text.get("intermediate_size") or 0
    step = text.get("interleave_moe_layer_step") or 1
    routed = experts_of(text) and index >= text.get("first_k_dense_replace", 0) and (index + 1) % step == 0
    if routed:
        yield from _experts(text, f"{at}.mlp")
        if text.get("intermediate_size_mlp"):
            yield from _mlp(f"{at}.mlp.shared_experts", hidden, dense)
    if not routed or text.get("enable_moe_block"):
        yield from _mlp(f"{at}.mlp", hidden, text.get("intermediate_size_mlp") or dense)


def _hybrid_layer(text: Mapping[str, Any], index: int, kind: str) -> Iterator[Matrix]:
    """A layer of NVIDIA's Nemotron-H family: one thing each, and feed-forward networks of two matrices."""
    at = f"model.layers.{index}"
    if kind == "M":
        yield from _mamba(text, at)
    elif kind == "*":
        yield from _grouped(text, at)
    elif kind == "E":
        yield from _experts(text, f"{at}.mixer", matrices=2)
    else:
        yield from _mlp(f"{at}.mixer", text["hidden_size"], text["intermediate_size"], matrices=2)


def _vision(vision: Mapping[str, Any], hidden: int) -> Iterator[Matrix]:
    """The encoder of pictures, about: its layers and what leads to the language model."""
    wide, depth = (
        _first(vision, "hidden_size", "vt_hidden_size"),
        _first(vision, "depth", "num_hidden_layers", "vt_num_hidden_layers"),
    )
    middle = _first(vision, "intermediate_size", "vt_intermediate_size")
    if wide and depth and middle:
        yield Matrix("visual.blocks", depth * (4 * wide * wide + 2 * wide * middle), plain=True)
        merged = wide * _first(vision, "spatial_merge_size", default=2) ** 2
        paths = 1 + len(vision.get("deepstack_visual_indexes") or ())
        yield Matrix("visual.merger", paths * merged * (merged + hidden), plain=True)


_COUNTED = re.compile(
    "^(Llama|Qwen2|Qwen3|Qwen3Moe|Qwen3Next|Qwen3VL|Qwen3VLMoe|Qwen3_5|Qwen3_5Moe|Mistral|Mixtral|DeepseekV3|DeepseekV32|KimiK25|"
    "GlmMoeDsa|Glm4Moe|GptOss|Gemma4|Llama4|MiniMaxM2|NemotronH|Phi3)For"
)
"""Architectures whose layers are laid out as above."""


def kinds_of(text: Mapping[str, Any]) -> Sequence[str]:
    """What each layer is, in the words of the config."""
    if pattern := text.get("hybrid_override_pattern"):
        return list(pattern)
    if stated := text.get("layers_block_type"):
        letters = {"mamba": "M", "attention": "*", "moe": "E", "mlp": "-"}
        return [letters.get(kind, str(kind)) for kind in stated]
    count = text["num_hidden_layers"]
    if interval := text.get("full_attention_interval"):
        return ["linear_attention" if (index + 1) % interval else "full_attention" for index in range(count)]
    stated = text.get("layer_types")
    # Other words than these tell how tokens are chosen, not what is kept of them.
    if stated and set(stated) <= {"full_attention", "sliding_attention", "linear_attention", "chunked_attention"}:
        return stated
    return ["full_attention"] * count


def matrices(config: Mapping[str, Any]) -> list[Matrix]:
    """Every matrix of the model. Raises UnknownArchitecture where its layout is not known or the config lacks a key."""
    names = config.get("architectures") or ["?"]
    if not _COUNTED.match(names[0]):
        raise UnknownArchitecture(f"the layout of {names[0]} is not known")
    text = text_of(config)
    layer = _hybrid_layer if names[0].startswith("NemotronH") else _layer
    try:
        table = text["vocab_size"] * text["hidden_size"]
        found = [Matrix("model.embed_tokens", table, plain=True)]
        if not _first(text, "tie_word_embeddings", default=config.get("tie_word_embeddings", False)):
            found.append(Matrix("lm_head", table))
        for index, kind in enumerate(kinds_of(text)):
            found += layer(text, index, kind)
        found += _vision(config.get("vision_config") or {}, text["hidden_size"])
    except (KeyError, TypeError) as error:
        raise UnknownArchitecture(f"config.json lacks {error}") from None
    return found


# --- number formats --------------------------------------------------------------------------------------------------


def _quantisation(config: Mapping[str, Any], beside: Mapping[str, Any] | None) -> Mapping[str, Any]:
    own = (
        config.get("quantization_config")
        or text_of(config).get("quantization_config")
        or config.get("compression_config")
        or {}
    )
    return {**own, **((beside or {}).get("quantization") or {})}


_ALGORITHMS: Mapping[str, Format] = {
    "FP8": "fp8", "FP8_PB_WO": "fp8Block", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4", "W4A16_AWQ": "int4", "W4A16_GPTQ": "int4", "W8A8_SQ_PER_CHANNEL": "int8",
}  # fmt: skip


def _named_format(quantisation: Mapping[str, Any]) -> Format | None:
    """The format a scheme names, by ModelOpt's algorithm or transformers' method."""
    algorithm = str(quantisation.get("quant_algo") or "").upper()
    if algorithm in _ALGORITHMS:
        return _ALGORITHMS[algorithm]
    method = quantisation.get("quant_method")
    if method == "fp8":
        return "fp8Block" if quantisation.get("weight_block_size") else "fp8"
    if method in ("awq", "gptq", "bitsandbytes"):
        return "int4" if int(quantisation.get("bits") or 4) == 4 else "int8"
    if method == "mxfp4":
        return "mxfp4"
    groups = quantisation.get("config_groups") or {}
    for group in groups.values():
        weights = group.get("weights") or {}
        kind, bits = weights.get("type"), weights.get("num_bits")
        if kind == "float" and bits == 8:
            return "fp8Block" if weights.get("block_structure") else "fp8"
        if kind == "float" and bits == 4:
            return "nvfp4"
        if kind == "int":
            return "int4" if bits == 4 else "int8"
    return None


def _bits(quantisation: Mapping[str, Any], kind: Format) -> float:
    """Bits of a quantised weight, with the group size that the checkpoint states."""
    groups = [group.get("weights") or {} for group in (quantisation.get("config_groups") or {}).values()]
    size = quantisation.get("group_size") or next((weights.get("group_size") for weights in groups), None)
    return 4 + 16 / size if kind == "int4" and size and size > 0 else BITS[kind]


def _normal(name: str) -> str:
    return name.replace("model.language_model.", "model.").replace("language_model.", "").replace("backbone.", "model.")


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern[3:], name) is not None
    pattern = _normal(pattern)
    if "." not in pattern and "*" not in pattern:
        return pattern in name.split(".")
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.") or fnmatchcase(name, f"{pattern}.*")


def _format_of(config: Mapping[str, Any], quantisation: Mapping[str, Any]) -> Callable[[Matrix], Format]:
    """The number format of each matrix."""
    plain: Format = "fp16" if _first(config, "torch_dtype", "dtype") == "float16" else "bf16"
    named = _named_format(quantisation)
    left_out = [
        *_first(quantisation, "exclude_modules", "modules_to_not_convert", "ignore", "ignored_layers", default=())
    ]
    listed: dict[str, Format | None] = {
        _normal(name): _ALGORITHMS.get(str(item.get("quant_algo")).upper())
        for name, item in (quantisation.get("quantized_layers") or {}).items()
    }

    def find(item: Matrix) -> Format:
        if item.plain:
            return plain
        if listed:
            # A list names each expert; the first stands for all.
            return listed.get(item.name) or listed.get(item.name.rpartition(".experts.")[0] + ".experts") or plain
        if named is None or any(_matches(item.name, pattern) for pattern in left_out):
            return plain
        # Without a list the head stays as it was: the quantisers of all these schemes leave it out.
        return plain if item.name == "lm_head" or (named == "mxfp4" and not item.expert) else named

    return find


# --- facts -----------------------------------------------------------------------------------------------------------


def _state(text: Mapping[str, Any], kinds: Sequence[str]) -> int:
    """Bytes of recurrent state of one request: the state itself in 32 bits, the convolution's last inputs in 16."""
    if delta := sum(kind == "linear_attention" for kind in kinds):
        keys, values = text["linear_key_head_dim"], text["linear_value_head_dim"]
        heads = text["linear_num_value_heads"]
        wide = 2 * text["linear_num_key_heads"] * keys + heads * values
        return delta * (heads * keys * values * 4 + wide * (text.get("linear_conv_kernel_dim", 4) - 1) * 2)
    if mamba := sum(kind == "M" for kind in kinds):
        inner = text["mamba_num_heads"] * text["mamba_head_dim"]
        wide = inner + 2 * text["n_groups"] * text["ssm_state_size"]
        return mamba * (inner * text["ssm_state_size"] * 4 + wide * (text.get("conv_kernel", 4) - 1) * 2)
    return 0


def _attention(text: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a token."""
    kinds = kinds_of(text)
    found: dict[str, Any] = {"state_bytes": _state(text, kinds)}
    if text.get("kv_lora_rank"):
        found["latent_size"] = text["kv_lora_rank"] + text["qk_rope_head_dim"]
        found["indexer_size"] = text.get("index_head_dim")
        return found
    _, keys, size = _heads(text)
    found |= {"kv_heads": keys, "head_size": size}
    sliding = sum(kind == "sliding_attention" for kind in kinds) if text.get("sliding_window") else 0
    if sliding:
        found |= {"window_layers": sliding, "window": text["sliding_window"]}
        if text.get("global_head_dim"):
            found |= {
                "window_kv_heads": keys,
                "window_head_size": size,
                "keys_only": bool(text.get("attention_k_eq_v")),
            }
            _, found["kv_heads"], found["head_size"] = _heads(text, "num_global_key_value_heads", "global_head_dim")
    if found["state_bytes"] or {"M", "*"} & set(kinds):
        found["kv_layers"] = sum(kind in ("full_attention", "*") for kind in kinds)
    return found


def _roughly(
    config: Mapping[str, Any], disk_bytes: int, parameters: int | None, kind: Format, bits: float
) -> dict[str, int]:
    """Sizes of a model whose layout is not known: all of its files count, and of experts what three matrices each come to."""
    text = text_of(config)
    experts = experts_of(text)
    total = parameters or round(disk_bytes * 8 / bits)
    routed, each = 0, _per_token(text)
    if experts:
        width = _first(text, "moe_intermediate_size", "intermediate_size")
        routed = min(len(kinds_of(text)) * experts * 3 * text["hidden_size"] * width, total * 98 // 100)
    return {
        "parameters": total,
        "weight_bytes": disk_bytes,
        "expert_bytes": min(round(routed * bits / 8), disk_bytes * 98 // 100),
        **({"active_parameters": max(1, total - routed + routed * each // experts)} if experts else {}),
    }


def _counted(config: Mapping[str, Any], scheme: Mapping[str, Any]) -> tuple[dict[str, int], Format]:
    """Sizes of a model by its matrices, and the format of most of them."""
    listed, text = matrices(config), text_of(config)
    format_of = _format_of(config, scheme)
    size: dict[str, float] = {"all": 0, "experts": 0, "whole": 0}
    formats: dict[Format, int] = {}
    for item in listed:
        kind = format_of(item)
        formats[kind] = formats.get(kind, 0) + item.count
        held = item.count * _bits(scheme, kind) / 8
        size["all"] += held
        size["experts"] += item.expert * held
        size["whole"] += item.whole * held
    total, routed = sum(item.count for item in listed), sum(item.count for item in listed if item.expert)
    experts, each = experts_of(text), _per_token(text)
    return {
        "parameters": total,
        "weight_bytes": round(size["all"]),
        "expert_bytes": round(size["experts"]),
        "whole_bytes": round(size["whole"]),
        **({"active_parameters": total - routed + routed * each // experts} if experts else {}),
    }, max(formats, key=lambda kind: formats[kind])


def facts(
    config: Mapping[str, Any],
    quantisation: Mapping[str, Any] | None = None,
    *,
    disk_bytes: int | None = None,
    parameters: int | None = None,
    gated: bool = False,
) -> ModelFacts:
    """Facts of the model that a `config.json` describes. `quantisation` is its `hf_quant_config.json`, `disk_bytes` the size that
    the index of its weights states, and `parameters` how many it has: with those a layout that is not known is taken for the size of
    its files. Raises UnknownArchitecture without them."""
    text, scheme = text_of(config), _quantisation(config, quantisation)
    try:
        sizes, format_ = _counted(config, scheme)
    except UnknownArchitecture:
        if disk_bytes is None:
            raise
        format_ = _named_format(scheme) or "bf16"
        sizes = _roughly(config, disk_bytes, parameters, format_, _bits(scheme, format_))
    experts, each = experts_of(text), _per_token(text)
    kv = str(scheme.get("kv_cache_quant_algo") or (scheme.get("kv_cache_scheme") or {}).get("type") or "").upper()
    return ModelFacts(
        **sizes,
        disk_bytes=disk_bytes,
        format=format_,
        layers=len(kinds_of(text)),
        hidden_size=text["hidden_size"],
        attention_heads=text["num_attention_heads"],
        experts=experts,
        experts_per_token=each if experts else 0,
        expert_width=_first(text, "moe_intermediate_size", "intermediate_size") if experts else None,
        vocabulary=text["vocab_size"],
        context_tokens=text["max_position_embeddings"],
        kv_format="fp8" if kv in ("FP8", "FLOAT") else None,
        gated=gated,
        custom_code="auto_map" in config,
        **_attention(text),
    )
