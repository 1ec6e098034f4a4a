"""Hold the arithmetic of components/dynamo/models against aiconfigurator's own figures, as a table in Markdown for docs/models.md.

    python -m venv /tmp/other && /tmp/other/bin/pip install aiconfigurator==0.12.0
    python -m tools.model_comparison /tmp/other/bin/python

Both are given the same GPU, tokens of a step and share of memory, so that what differs is how a model is counted and what is assumed
besides.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from components.dynamo.models import memory, table
from components.dynamo.models.memory import GIB, Sharding

STEP, REQUESTS = 8192, 256


@dataclass(frozen=True, slots=True)
class Case:
    model: str
    system: str
    how: Sharding


def _case(model: str, system: str, backend: str, tensor: int = 1, **more: Any) -> Case:
    return Case(model, system, Sharding(backend=backend, tensor=tensor, batch_tokens=STEP, requests=REQUESTS, **more))


CASES = (
    _case("Qwen/Qwen3-0.6B", "l40s", "vllm"),
    _case("Qwen/Qwen3-8B", "l40s", "vllm"),
    _case("Qwen/Qwen3-32B", "l40s", "vllm", 4),
    _case("Qwen/Qwen3-32B", "h100_sxm", "vllm", 2),
    _case("Qwen/Qwen3-32B", "h200_sxm", "sglang", 1),
    _case("Qwen/Qwen3-32B-FP8", "h100_sxm", "vllm", 1),
    _case("Qwen/Qwen3-32B-FP8", "h200_sxm", "trtllm", 2),
    _case("meta-llama/Meta-Llama-3.1-8B", "a100_sxm", "vllm", 1),
    _case("meta-llama/Meta-Llama-3.1-70B", "h100_sxm", "vllm", 4),
    _case("meta-llama/Meta-Llama-3.1-70B", "h100_sxm", "trtllm", 8),
    _case("meta-llama/Meta-Llama-3.1-70B", "h200_sxm", "vllm", 4, pipeline=2),
    _case("nvidia/Llama-3.1-70B-Instruct-FP8", "h100_sxm", "trtllm", 2),
    _case("meta-llama/Meta-Llama-3.1-405B", "h200_sxm", "vllm", 8),
    _case("Qwen/Qwen3-30B-A3B", "h100_sxm", "vllm", 2),
    _case("Qwen/Qwen3-235B-A22B", "h200_sxm", "vllm", 8, experts=8),
    _case("Qwen/Qwen3-235B-A22B-FP8", "h200_sxm", "sglang", 8, experts=8),
    _case("deepseek-ai/DeepSeek-R1", "h200_sxm", "sglang", 8, experts=8),
    _case("deepseek-ai/DeepSeek-R1", "h200_sxm", "trtllm", 16, experts=16, attention_data=True),
    _case("nvidia/DeepSeek-V3.1-NVFP4", "gb200", "trtllm", 4, experts=4),
    _case("nvidia/Kimi-K2.5-NVFP4", "gb200", "trtllm", 8, experts=8),
    _case("openai/gpt-oss-120b", "h100_sxm", "vllm", 2),
    _case("zai-org/GLM-5-FP8", "b200_sxm", "sglang", 8, experts=8),
)

ASK = """
import json, sys
from aiconfigurator_core.sdk.memory import estimate_kv_cache
from aiconfigurator_core.sdk.perf_database import get_latest_database_version
answers = []
for asked in json.load(sys.stdin):
    try:
        version = get_latest_database_version(asked["system"], asked["backend"])
        answers.append(estimate_kv_cache(**asked, backend_version=version))
    except Exception as error:
        answers.append({"error": f"{type(error).__name__}: {error}"})
json.dump(answers, sys.stdout)
"""


def asked(case: Case) -> dict[str, Any]:
    """What aiconfigurator is asked."""
    how = case.how
    data = how.copies if how.attention_data else how.data
    return {
        "model_path": case.model, "system": case.system, "backend": how.backend, "max_num_tokens": STEP, "max_batch_size": REQUESTS,
        "memory_fraction_kind": "of_free" if how.backend == "trtllm" else "of_total", "memory_fraction_value": 0.9,
        "tp_size": how.attention_tensor, "pp_size": how.pipeline, "attention_dp_size": data,
        "moe_tp_size": how.tensor // how.experts, "moe_ep_size": how.experts,
    }  # fmt: skip


def compared(case: Case, answer: dict[str, Any]) -> str:
    """One row of the table."""
    how = case.how
    divided = (
        f"TP{how.tensor}"
        + (f" PP{how.pipeline}" if how.pipeline > 1 else "")
        + (f" EP{how.experts}" if how.experts > 1 else "")
    )
    divided += " attention DP" if how.attention_data else ""
    told = f"| {case.model} | {case.system} | {how.backend} | {divided} |"
    if "error" in answer:
        return f"{told} {answer['error']} | | | |"
    facts = table.known(case.model)
    assert facts is not None
    gpu = int(answer["total_gpu_capacity_bytes"])
    breakdown = answer["memory_breakdown"]
    weights = memory.weights(facts, how)
    token = memory.token_bytes(facts, how)
    mine = memory.fit(facts, Sharding(**{**_fields(how), "fraction": 0.9}), gpu)
    theirs = {key: float(value) for key, value in breakdown.items() if isinstance(value, int | float)}
    other = next(value for key, value in theirs.items() if "weight" in key)
    besides = sum(
        value for key, value in theirs.items() if "weight" not in key and "kv" not in key and "total" not in key
    )
    return (
        f"{told} {weights / GIB:.1f} / {other / GIB:.1f} ({weights / other - 1:+.0%}) | "
        f"{sum(token) / 1024:.1f} / {answer['kv_size_per_token_bytes'] / 1024:.1f} | {mine.overhead / GIB:.1f} / {besides / GIB:.1f} | "
        f"{mine.room / GIB:.1f} / {answer['total_kv_size_bytes'] / GIB:.1f} |"
    )


def _fields(how: Sharding) -> dict[str, Any]:
    return {name: getattr(how, name) for name in how.__slots__}


if __name__ == "__main__":
    ended = subprocess.run(
        [sys.argv[1], "-c", ASK],
        input=json.dumps([asked(case) for case in CASES]),
        capture_output=True,
        text=True,
        check=True,
    )
    print(
        "| model | system | backend | divided | weights, GiB | KV of a token, KiB | assumed besides, GiB | room for KV, GiB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case, answer in zip(CASES, json.loads(ended.stdout), strict=True):
        print(compared(case, answer))
