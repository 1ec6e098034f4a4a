"""Models on GPUs, in whole stacks: what people ran into is refused, and what they run is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recording.graph import Graph
from recording.recorder import record
from review import models
from review.plan import Plan
from rules import RULES
from rules.models import served, unknown
from stacks import stackfile
from tests.conftest import AT, recorded

IDS = ("model-fits", "model-divides", "model-format", "kv-handover", "model-spread", "modules-writable")
BY_ID = {rule.id: rule for rule in RULES if rule.id in IDS}


def stack(
    repository: str,
    type_: str,
    *,
    backend: str = "vllm",
    facts: dict[str, Any] | None = None,
    others: dict[str, Any] | None = None,
    **graph: Any,
) -> Graph:
    """One graph of a model on machines of one type, aggregated unless prefill and decode are given."""
    file = stackfile.read("g6e-dev")
    disaggregated = "prefill" in graph
    gpus = {
        "g5.48xlarge": 8,
        "g6e.12xlarge": 4,
        "g7e.48xlarge": 8,
        "p5.48xlarge": 8,
        "p5en.48xlarge": 8,
        "p6-b200.48xlarge": 8,
    }.get(type_, 1)
    worker = {"gpus": gpus, "tensorParallel": gpus}
    model = {"repository": repository, "revision": "a" * 40, **({"facts": facts} if facts else {})}
    config = {
        **file.config,
        "dynamo-eks:capacity": {
            "pools": {"gpu": {"families": [type_.split(".")[0]], "capacity": ["on-demand"], "gpuLimit": 64}}
        },
        "dynamo-eks:models": {"it": model, **(others or {})},
        "dynamo-eks:huggingFaceToken": "hf_" + "x" * 34,
        "dynamo-eks:graphs": {
            "it": {
                "model": "it",
                "backend": backend,
                "transport": "tcp" if disaggregated else "none",
                "placement": {"pool": "gpu", "instanceType": type_},
                **({} if disaggregated else {"worker": worker}),
                **graph,
            }
        },
    }
    return record(file.stack, config, secret_keys=("dynamo-eks:huggingFaceToken",), at=AT)


def wrong(graph: Graph) -> dict[str, str]:
    """What is wrong, by rule: the level and the message."""
    found = [verdict for id_ in IDS for verdict in BY_ID[id_].verdicts(graph) if verdict.verdict != "pass"]
    return {verdict.id: f"{verdict.verdict} {verdict.message}" for verdict in found}


def test_seventy_billion_weights_on_one_l40s():
    found = wrong(stack("meta-llama/Llama-3.3-70B-Instruct", "g6e.2xlarge"))
    assert set(found) == {"model-fits"}
    assert found["model-fits"].startswith("fail ")
    assert "takes 131 GiB of weights on each l40s (44.7 GiB)" in found["model-fits"]


def test_deepseek_r1_on_eight_a10g():
    for backend, level in (("vllm", "warn"), ("sglang", "fail"), ("trtllm", "fail")):
        found = wrong(stack("deepseek-ai/DeepSeek-R1", "g5.48xlarge", backend=backend))
        assert found["model-fits"].startswith("fail ")
        assert found["model-format"].startswith(f"{level} ")


def test_prefill_of_two_and_decode_of_four():
    roles = {"prefill": {"gpus": 2, "tensorParallel": 2}, "decode": {"gpus": 4, "tensorParallel": 4}}
    (message,) = wrong(stack("Qwen/Qwen3-32B", "g6e.12xlarge", **roles)).values()
    assert message.startswith(
        "warn prefill divides attention over 2 GPUs and decode over 4: heads are split on the way"
    )
    found = wrong(stack("openai/gpt-oss-120b", "g6e.12xlarge", backend="sglang", **roles))
    assert found["kv-handover"].startswith("fail ") and "sliding window" in found["kv-handover"]


def test_recurrent_state_is_handed_over_in_one_layout():
    worker = {"gpus": 4, "tensorParallel": 4}
    found = wrong(stack("Qwen/Qwen3.5-35B-A3B", "g6e.12xlarge", prefill=worker, decode=worker))
    assert found["kv-handover"].startswith("fail ") and "VLLM_SSM_CONV_STATE_LAYOUT=DS" in found["kv-handover"]
    told = {**worker, "env": {"VLLM_SSM_CONV_STATE_LAYOUT": "DS"}}
    assert "kv-handover" not in wrong(stack("Qwen/Qwen3.5-35B-A3B", "g6e.12xlarge", prefill=told, decode=told))
    assert "kv-handover" in wrong(stack("Qwen/Qwen3.5-35B-A3B", "g6e.12xlarge", prefill=told, decode=worker))


def test_tensorrt_llm_hands_recurrent_state_over_by_ucx_or_in_python():
    def roles(**told: str) -> dict[str, Any]:
        worker = {
            "gpus": 2,
            "tensorParallel": 2,
            "engine": {"cache_transceiver_config": told, "trust_remote_code": True},
        }
        return wrong(
            stack(
                "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
                "p5en.48xlarge",
                backend="trtllm",
                prefill=worker,
                decode=worker,
            )
        )

    assert roles()["kv-handover"].startswith("warn ")
    assert roles(backend="UCX") == roles(transceiver_runtime="PYTHON") == {}
    assert roles(backend="UCX", transceiver_runtime="PYTHON")["kv-handover"].startswith("fail ")


def drafting(draft: str, *more: str, gpus: int = 1, facts: dict[str, Any] | None = None) -> Graph:
    """Qwen3-8B with a draft model, on L4s."""
    told = json.dumps({"model": "{models.draft}", "num_speculative_tokens": 3})
    worker = {"gpus": gpus, "tensorParallel": gpus, "extraArgs": ["--speculative-config", told, *more]}
    others = {"draft": {"repository": draft, "revision": "b" * 40, **({"facts": facts} if facts else {})}}
    return stack("Qwen/Qwen3-8B", "g6.12xlarge" if gpus > 1 else "g6.2xlarge", others=others, worker=worker)


def test_a_draft_model_takes_room_too():
    alone = {"gpus": 1, "extraArgs": ["--max-model-len", "16384"]}
    assert wrong(stack("Qwen/Qwen3-8B", "g6.2xlarge", worker=alone)) == {}
    assert wrong(drafting("Qwen/Qwen3-0.6B", "--max-model-len", "4096")) == {}
    found = wrong(drafting("Qwen/Qwen3-0.6B", "--max-model-len", "16384"))
    assert set(found) == {"model-fits"}
    assert found["model-fits"].startswith("fail one request of 16,384 tokens takes 4.0 GiB of keys and values")
    assert "of weights with those of its draft model Qwen/Qwen3-0.6B: vLLM does not start" in found["model-fits"]
    said = wrong(drafting("meta-llama/Llama-3.1-8B-Instruct"))["model-fits"]
    assert said.startswith(
        "fail Qwen/Qwen3-8B takes 30.2 GiB of weights with those of its draft model meta-llama/Llama-3.1-8B-Instr"
    )
    assert "divide its 30 GiB over more GPUs" in said


def test_a_draft_model_is_divided_as_the_other_is():
    facts = {
        "parameters": 494032768, "weightBytes": 988065536, "format": "bf16", "layers": 24, "hiddenSize": 896, "attentionHeads": 14,
        "kvHeads": 2, "headSize": 64, "vocabulary": 151936, "contextTokens": 32768,
    }  # fmt: skip
    small = "Qwen/Qwen2.5-0.5B-Instruct"
    assert wrong(drafting(small, gpus=4, facts=facts)) == {
        "model-divides": f"fail {small}, its draft model: 14 attention heads cannot be divided by tensor parallel 4"
    }
    assert wrong(drafting(small, gpus=2, facts=facts)) == {}
    assert unknown(drafting(small, gpus=2, facts=facts)) == []
    # Nothing is known of it then.
    assert wrong(drafting(small, gpus=4)) == {}
    assert unknown(drafting(small, gpus=4)) == [f"The draft model {small} fits beside Qwen/Qwen3-8B: it is not counted"]


def test_the_release_is_in_the_image():
    (item,) = served(stack("Qwen/Qwen3-8B", "g6e.2xlarge"))
    assert item.dynamo == (1, 5, 0)
    own = {"repository": "registry.example.com/vllm", "tag": "nightly", "runtimeVersion": "1.4.0"}
    (item,) = served(stack("Qwen/Qwen3-8B", "g6e.2xlarge", image=own))
    assert item.dynamo == (1, 4, 0)


def test_keys_and_values_have_a_format_too():
    worker = {"gpus": 1, "extraArgs": ["--kv-cache-dtype", "fp8", "--max-model-len", "8192"]}
    assert "fp8e4nv" in wrong(stack("Qwen/Qwen3-8B", "g5.2xlarge", worker=worker))["model-format"]
    assert wrong(stack("Qwen/Qwen3-8B", "g6.2xlarge", worker=worker)) == {}


def test_vllm_does_not_start_where_one_long_request_has_no_room():
    short = {"gpus": 1, "extraArgs": ["--max-model-len", "32k"]}
    found = wrong(stack("meta-llama/Llama-3.1-8B-Instruct", "g5.2xlarge"))
    assert "vLLM does not start; set --max-model-len to at most" in found["model-fits"]
    assert found["model-fits"].startswith("fail ")
    assert (
        wrong(
            stack(
                "meta-llama/Llama-3.1-8B-Instruct",
                "g5.2xlarge",
                worker={**short, "extraArgs": ["--max-model-len", "8192"]},
            )
        )
        == {}
    )
    assert (
        wrong(
            stack(
                "meta-llama/Llama-3.1-8B-Instruct",
                "g5.2xlarge",
                worker={**short, "extraArgs": ["--max-model-len", "auto"]},
            )
        )
        == {}
    )
    # The others start, and refuse what is longer.
    other = wrong(stack("meta-llama/Llama-3.1-8B-Instruct", "g5.2xlarge", backend="sglang"))
    assert other["model-fits"].startswith("warn ") and "longer requests are refused" in other["model-fits"]


@pytest.mark.parametrize(
    ("repository", "type_", "backend", "graph"),
    [
        ("Qwen/Qwen3-0.6B", "g6.xlarge", "vllm", {}),
        ("Qwen/Qwen3-8B", "g6e.2xlarge", "vllm", {}),
        ("Qwen/Qwen3-32B", "g7e.2xlarge", "sglang", {}),
        ("Qwen/Qwen3-32B-FP8", "g6e.2xlarge", "vllm", {"worker": {"gpus": 1, "extraArgs": ["--max-model-len", "16384"]}}),
        ("openai/gpt-oss-20b", "g6e.2xlarge", "vllm", {}),
        ("openai/gpt-oss-120b", "p5.48xlarge", "vllm", {}),
        ("meta-llama/Llama-3.3-70B-Instruct", "p5.48xlarge", "trtllm", {}),
        ("meta-llama/Llama-3.3-70B-Instruct", "g6e.12xlarge", "vllm", {"worker": {"gpus": 4, "tensorParallel": 4, "extraArgs": ["--max-model-len", "32768"]}}),
        ("deepseek-ai/DeepSeek-R1", "p5en.48xlarge", "sglang", {}),
        ("deepseek-ai/DeepSeek-R1", "p5en.48xlarge", "vllm", {}),
        ("Qwen/Qwen3-235B-A22B-FP8", "p5en.48xlarge", "vllm", {"worker": {"gpus": 8, "tensorParallel": 8, "expertParallel": 8}}),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "p6-b200.48xlarge", "vllm", {}),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "p6-b200.48xlarge", "trtllm", {}),
        ("MiniMaxAI/MiniMax-M2.5", "p5.48xlarge", "vllm", {"worker": {"gpus": 8, "tensorParallel": 8, "expertParallel": 8}}),
        ("moonshotai/Kimi-K2-Instruct", "p6-b200.48xlarge", "sglang", {"worker": {"gpus": 8, "tensorParallel": 8, "extraArgs": ["--trust-remote-code"]}}),
        ("zai-org/GLM-5-FP8", "p6-b200.48xlarge", "sglang", {}),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8", "p5.48xlarge", "vllm", {}),
    ],
)  # fmt: skip
def test_what_people_run_is_not_refused(repository, type_, backend, graph):
    found = wrong(stack(repository, type_, backend=backend, **graph))
    assert not [message for message in found.values() if message.startswith("fail ")]


FACTS = {
    "parameters": 10**9, "weightBytes": 2 * 10**9, "format": "bf16", "layers": 16, "hiddenSize": 2048, "attentionHeads": 16, "kvHeads": 8,
    "headSize": 128, "vocabulary": 32000, "contextTokens": 8192,
}  # fmt: skip


def test_facts_of_the_stack_file_count():
    graph = stack("acme/mine", "g6e.2xlarge", facts=FACTS)
    assert unknown(graph) == [] and wrong(graph) == {}
    (line,) = models.lines(graph)
    assert line.startswith("Graph dynamo/it: acme/mine in BF16, 1.9 GiB; worker 1 l40s, 1.9 GiB of weights and ")
    # Above what the table says.
    large = stack("Qwen/Qwen3-0.6B", "g6e.2xlarge", facts={**FACTS, "weightBytes": 10**12})
    assert "model-fits" in wrong(large)


def test_an_unknown_model_is_assumed_to_fit():
    graph = stack("acme/mine", "g6e.2xlarge")
    assert wrong(graph) == {}
    assert any("acme/mine fits its GPUs" in text for text in Plan("demo", graph, (), ()).assumptions)
    assert models.lines(graph) == ["Graph dynamo/it: acme/mine, of which nothing is known; worker 1 l40s"]
    (entry,) = models.as_json(graph)
    assert (entry["known"], entry["perGpu"], entry["tokens"]) == (False, None, None)


def test_host_memory_for_weights_is_not_judged():
    worker = {"gpus": 1, "extraArgs": ["--cpu-offload-gb", "100"]}
    assert wrong(stack("meta-llama/Llama-3.3-70B-Instruct", "g6e.2xlarge", worker=worker)) == {}


def test_code_of_a_model_has_a_place_that_can_be_written():
    worker = {"gpus": 1, "extraArgs": ["--trust_remote_code"]}
    graph = stack("Qwen/Qwen3-8B", "g6e.2xlarge", worker=worker)
    (item,) = served(graph)
    pod = item.component["podTemplate"]["spec"]
    (main,) = pod["containers"]
    assert {"name": "model-code", "emptyDir": {}} in pod["volumes"]
    assert {"name": "HF_MODULES_CACHE", "value": "/home/dynamo/model-code"} in main["env"]
    assert {"name": "model-code", "mountPath": "/home/dynamo/model-code"} in main["volumeMounts"]
    assert wrong(graph) == {}
    (item,) = served(stack("Qwen/Qwen3-8B", "g6e.2xlarge"))
    assert "model-code" not in str(item.component)
    engine = {"gpus": 1, "engine": {"trust_remote_code": True}}
    (item,) = served(stack("Qwen/Qwen3-8B", "g6e.2xlarge", backend="trtllm", worker=engine))
    assert "model-code" in str(item.component)


def test_the_smallest_gpu_that_a_pool_may_launch_counts():
    file = stackfile.read("g6e-dev")
    config = {
        **file.config,
        "dynamo-eks:capacity": {"pools": {"gpu": {"families": ["g6e", "g6"], "capacity": ["on-demand"]}}},
        "dynamo-eks:models": {"it": {"repository": "Qwen/Qwen3-32B-FP8", "revision": "a" * 40}},
        "dynamo-eks:graphs": {
            "it": {
                "model": "it",
                "backend": "vllm",
                "transport": "none",
                "worker": {"gpus": 1},
                "placement": {"pool": "gpu"},
            }
        },
    }
    (item,) = served(record(file.stack, config, at=AT))
    assert item.machines[0].gpu_name == "l4" and item.machines[-1].gpu_name == "l40s"


def test_racks_are_shown_by_role():
    (line,) = models.lines(recorded("gb200-prod"))
    assert "prefill 10 x 4 gb200, 103 GiB of weights" in line or "prefill 10 x 4 gb200, 104 GiB of weights" in line
    assert "decode 32 gb200, " in line
    entries = models.as_json(recorded("gb200-prod"))
    assert [(entry["role"], entry["replicas"], entry["gpus"], entry["experts"]) for entry in entries] == [
        ("prefill", 10, 4, 4),
        ("decode", 1, 32, 32),
    ]


def test_a_mocker_has_no_gpu():
    assert models.lines(recorded("mocker-local")) == [] and models.as_json(recorded("mocker-local")) == []
