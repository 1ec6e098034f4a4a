"""Derive `components/dynamo/models/table.json` from the `config.json` of models, as published.

The PyPI package `aiconfigurator-core` carries those of over a hundred that people serve. Nothing of it need be installed:

    pip download --no-deps aiconfigurator-core==0.12.0
    python -m tools.models aiconfigurator_core-0.12.0-*.whl

Of each the facts are taken that follow from it (components/dynamo/models/config.py). One whose layout is not known is left out
and named. What the package does not say is below, each with its source.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.dynamo.models.config import UnknownArchitecture, facts

TARGET = Path(__file__).resolve().parent.parent / "components" / "dynamo" / "models" / "table.json"

READ = "2026-11-26"
"""Day on which the sources were read; files in a wheel have no date of their own."""

FOLDER = "aiconfigurator_core/model_configs/"
_CONFIG, _QUANTISATION = "_config.json", "_hf_quant_config.json"


@dataclass(frozen=True, slots=True)
class Like:
    """A repository with the shape and number format of another one."""

    other: str
    source: str
    changed: Mapping[str, Any] | None = None
    """Facts that differ, by their names in the table."""


_TUNED = "tuned from it; the recipes of oumi-ai/oumi (configs/recipes/llama3_1) have its sizes"

LIKE: Mapping[str, Like] = {
    "meta-llama/Llama-3.1-8B-Instruct": Like("meta-llama/Meta-Llama-3.1-8B", _TUNED),
    "meta-llama/Llama-3.1-70B-Instruct": Like(
        "meta-llama/Meta-Llama-3.1-70B", "tuned from it; nvidia/Llama-3.1-70B-Instruct-FP8, made of it, has its sizes"
    ),
    "meta-llama/Llama-3.1-405B-Instruct": Like("meta-llama/Meta-Llama-3.1-405B", _TUNED),
    "meta-llama/Llama-3.3-70B-Instruct": Like(
        "meta-llama/Meta-Llama-3.1-70B",
        "config.json in ai-dynamo/aiconfigurator f577ab84, src/aiconfigurator/model_configs",
    ),
    "deepseek-ai/DeepSeek-R1-0528": Like(
        "deepseek-ai/DeepSeek-R1", "Hugging Face lists both with 685B parameters, the layer for speculation among them"
    ),
    "nvidia/DeepSeek-R1-0528-NVFP4-v2": Like(
        "nvidia/DeepSeek-V3.1-NVFP4",
        "files of 413,340,567,567 bytes (edwardsp/blobcache, results of 2026-04-29), which the same modules with the layer for "
        "speculation in 16 bits come to",
        {"diskBytes": 413340567567},
    ),
}

CONFIGS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "Qwen/Qwen3-Next-80B-A3B-Thinking": (
        {
            "architectures": ["Qwen3NextForCausalLM"], "full_attention_interval": 4, "head_dim": 256, "hidden_size": 2048,
            "intermediate_size": 5120, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
            "linear_num_value_heads": 32, "linear_value_head_dim": 128, "max_position_embeddings": 262144,
            "attn_output_gate": True, "moe_intermediate_size": 512, "num_attention_heads": 16, "num_experts": 512,
            "num_experts_per_tok": 10, "num_hidden_layers": 48, "num_key_value_heads": 2,
            "shared_expert_intermediate_size": 512, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            "vocab_size": 151936,
        },
        "config.json in ai-dynamo/aiconfigurator 1b7cfb10, src/aiconfigurator/model_configs; the output gate, which the "
        "architecture always has, added",
    ),
}  # fmt: skip
"""Published configs that the package lacks: the keys that matter, and the source."""

GATED = ("meta-llama/",)
"""Organisations whose repositories ask for an accepted licence (their model cards)."""


def rows(wheel: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Rows of the table by repository, and why others were left out."""
    with zipfile.ZipFile(wheel) as archive:
        named = {
            item.filename.removeprefix(FOLDER): item for item in archive.infolist() if item.filename.startswith(FOLDER)
        }
        files = {name: json.loads(archive.read(item)) for name, item in named.items() if name.endswith(".json")}
    source = f"config.json in {wheel.name.split('-py')[0].split('-cp')[0]} (PyPI)"
    configs = {
        name.removesuffix(_CONFIG).replace("--", "/"): (
            config,
            files.get(name.replace(_CONFIG, _QUANTISATION)),
            source,
        )
        for name, config in files.items()
        if name.endswith(_CONFIG) and not name.endswith(_QUANTISATION)
    }
    configs |= {name: (config, None, where) for name, (config, where) in CONFIGS.items()}
    found, left_out = {}, []
    for name, (config, quantisation, where) in configs.items():
        try:
            known = facts(config, quantisation, gated=name.startswith(GATED))
        except UnknownArchitecture as why:
            left_out.append(f"{name}: {why}")
            continue
        found[name] = {**known.model_dump(by_alias=True, exclude_defaults=True), "source": where, "date": READ}
    for name, like in LIKE.items():
        row = {**found[like.other], "source": f"like {like.other}; {like.source}", "date": READ}
        row.pop("gated", None)
        found[name] = {**row, **(like.changed or {}), **({"gated": True} if name.startswith(GATED) else {})}
    return dict(sorted(found.items())), left_out


def text(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table as it is written, a row on each line."""
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
    return f"{{\n{lines}\n}}\n"


if __name__ == "__main__":
    made, rest = rows(Path(sys.argv[1]))
    TARGET.write_text(text(made))
    print(f"{len(made)} models in {TARGET.name}; left out:", *rest, sep="\n  ")
