"""What command lines say, in each backend's words, as the program renders them and as people add to them."""

from __future__ import annotations

import json

import pytest

from components.dynamo.backends import Started, launch
from components.dynamo.download import snapshot_path
from components.dynamo.models import table
from components.dynamo.models.handover import Transceiver
from components.dynamo.models.launched import Proposer, as_loaded, drafted, launched, repository_of
from components.dynamo.models.memory import Draft, Sharding
from components.dynamo.spec import Worker


def vllm(*args: str, gpus: int = 1):
    found = launched(("python3", "-m", "dynamo.vllm"), args, gpus)
    assert found is not None
    return found


def sglang(*args: str):
    found = launched(("python3", "-m", "dynamo.sglang"), args, 1)
    assert found is not None
    return found


def trtllm(engine: dict, *args: str):
    found = launched(("python3", "-m", "dynamo.trtllm"), ("--override-engine-args", json.dumps(engine), *args), 1)
    assert found is not None
    return found


@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
def test_what_the_program_renders_is_read_back(backend):
    # TensorRT-LLM has no data parallel beside that of attention.
    data = 1 if backend == "trtllm" else 3
    worker = Worker(
        gpus=8,
        tensor_parallel=4,
        pipeline_parallel=2,
        data_parallel=data,
        expert_parallel=4,
        attention_data_parallel=True,
    )
    path = snapshot_path("acme/Mine--2", "0" * 40)
    made = launch(
        backend, Started(worker=worker, model_path=path, served_model_name="m", role="decode", transport="efa")
    )
    found = launched(made.command, made.args, 8)
    assert found is not None
    assert found.model == "acme/Mine--2"
    how = found.how
    assert (how.backend, how.role, how.tensor, how.pipeline, how.data) == (backend, "decode", 4, 2, data)
    assert how.experts == (8 if backend == "vllm" else 4)
    assert how.attention_data is (backend != "vllm")


def test_what_people_add():
    found = vllm(
        "-tp", "2", "--tensor_parallel_size=4", "--kv_cache_dtype", "fp8", "--gpu-memory-utilization=0.8", "--max-model-len", "32k",
        "--max-num-seqs", "64", "--max-num-batched-tokens", "4K", "--quantization", "fp8", "--trust-remote-code",
    )  # fmt: skip
    assert found.how == Sharding(
        backend="vllm", tensor=4, kv_format="fp8", fraction=0.8, context=32000, batch_tokens=4096, requests=64
    )
    assert found.quantization == "fp8"
    assert found.runs_custom_code
    assert not vllm("--trust-remote-code=false").runs_custom_code
    assert vllm("--max-model-len", "auto").context_chosen
    assert vllm("--max-model-len", "-1").context_chosen
    assert not vllm("--cpu-offload-gb", "10").judged
    assert sglang(
        "--tp", "8", "--dp-size", "2", "--ep", "4", "--mem-fraction-static", "0.7", "--context-length", "8192"
    ).how == (Sharding(backend="sglang", tensor=8, data=2, experts=4, fraction=0.7, context=8192))
    assert vllm("--gpu-memory-utilization", "most").how.fraction is None
    assert vllm("-sc.method", "ngram").how.speculative and vllm("--speculative_config.method=ngram").how.speculative
    assert vllm("--enable-eplb", "--eplb-config.num_redundant_experts", "8", "-tp", "4").how.redundant == 8


def test_tensorrt_llm_is_told_as_json():
    engine = {
        "kv_cache_config": {"dtype": "fp8", "free_gpu_memory_fraction": 0.7}, "max_seq_len": 6144, "max_num_tokens": 32,
        "max_batch_size": 16, "enable_attention_dp": True, "moe_expert_parallel_size": 32, "trust_remote_code": True,
    }  # fmt: skip
    found = trtllm(engine, "--tensor-parallel-size", "32")
    assert found.how == Sharding(
        backend="trtllm", tensor=32, experts=32, attention_data=True, kv_format="fp8", fraction=0.7, context=6144, batch_tokens=32,
        requests=16,
    )  # fmt: skip
    assert found.runs_custom_code
    assert not trtllm({}, "--extra-engine-args", "/etc/engine.yaml").judged
    assert launched(("python3", "-m", "dynamo.trtllm"), ("--override-engine-args", "{"), 1).how.tensor == 1  # type: ignore[union-attr]


def test_experts_that_are_kept_twice():
    spread = sglang("--tp", "48", "--dp", "48", "--enable-dp-attention", "--moe-a2a-backend", "deepep", "--ep-num-redundant-experts", "32")  # fmt: skip
    assert (spread.how.experts, spread.how.redundant) == (48, 32)
    for told in ("none", "ascend_tp"):
        assert sglang("--tp", "8", "--ep", "4", "--moe-a2a-backend", told).how.experts == 4
    assert sglang("--tp", "8", "--ep-num-redundant-experts", "many").how.redundant == 0
    eplb = vllm(
        "--enable-expert-parallel", "--enable-eplb", "--eplb-config", '{"num_redundant_experts": 32}', gpus=16
    ).how
    assert (eplb.experts, eplb.redundant, eplb.balanced) == (16, 32, True)
    assert (vllm().how.redundant, vllm().how.balanced) == (0, False)
    assert trtllm({"moe_config": {"backend": "WIDEEP", "load_balancer": {"num_slots": 288}}}).how.slots == 288
    assert trtllm({"moe_config": {"load_balancer": "/etc/balancer.yaml"}}).how.slots == 0
    assert trtllm({"moe_config": {"load_balancer": {"layer_updates_per_iter": 1}}}).how.slots is None
    assert trtllm({"moe_config": {"backend": "WIDEEP"}}).how.slots is None
    assert trtllm({"moe_config": "no mapping"}).how.slots is None


def test_draft_models():
    def config(**told: object) -> Proposer | None:
        return vllm("--model", "acme/big", "--speculative-config", json.dumps(told)).proposer

    assert config(model="acme/small", num_speculative_tokens=3) == Proposer("acme/small", True)
    assert config(model="acme/small", method="draft_model", quantization="fp8") == Proposer("acme/small", True, "fp8")
    assert config(model=snapshot_path("acme/small", "0" * 40)) == Proposer("acme/small", True)
    for name in (
        "acme/EAGLE3-big",
        "acme/Eagle-big",
        "acme/dflash-big",
        "acme/DSpark",
        "acme/big-assistant",
        "acme/MiMo-7B",
    ):
        assert config(model=name) == Proposer(name, False)
    assert config(model="acme/head", method="eagle3") == Proposer("acme/head", False)
    for method in ("ngram", "[ngram]", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states"):
        assert config(model=method, method=method) is None
    # The layers for speculation of its own checkpoint.
    assert config(model="acme/big", method="mtp") is config(method="mtp") is config(model=3) is None
    assert vllm("--model", "acme/big", "-sc.model", "acme/small").proposer == Proposer("acme/small", True)

    alone = ("--model", "acme/big", "--speculative-algorithm", "standalone", "--speculative-draft-model", "acme/small")
    assert sglang(*alone).proposer == Proposer("acme/small", True)
    assert sglang(*alone, "--quantization", "fp8").proposer == Proposer("acme/small", True, "fp8")
    told = (*alone, "--quantization", "fp8", "--speculative-draft-model-quantization", "unquant")
    assert sglang(*told).proposer == Proposer("acme/small", True, "unquant")
    assert sglang(*alone, "--speculative-algorithm", "EAGLE3").proposer == Proposer("acme/small", False)
    assert sglang(*alone[:2], *alone[4:]).proposer is None
    assert sglang(*alone[:4], "--speculative-draft-model-path", "acme/big").proposer is None

    for key in ("speculative_model", "speculative_model_dir"):
        engine = {"speculative_config": {"decoding_type": "Draft_Target", key: "acme/small"}}
        assert trtllm(engine).proposer == Proposer("acme/small", True)
        engine["speculative_config"]["decoding_type"] = "Eagle3"
        assert trtllm(engine).proposer == Proposer("acme/small", False)
    assert trtllm({"speculative_config": {"decoding_type": "MTP"}}).proposer is None
    assert trtllm({}).proposer is None


def test_draft_models_that_count():
    small, other = table.known("Qwen/Qwen3-1.7B"), table.known("Qwen/Qwen3-30B-A3B")
    assert small is not None and other is not None
    assert drafted(Proposer("it", True), small) == Draft(small, True)
    assert drafted(Proposer("it", True, "fp8"), small) == Draft(as_loaded(small, "fp8"), True)
    head = small.model_copy(update={"layers": 4})
    assert drafted(Proposer("it", False), head) == Draft(head, False)
    assert drafted(Proposer("it", False), small.model_copy(update={"layers": 5})) is None
    assert drafted(Proposer("it", True), None) is drafted(None, small) is None
    # Of these engines may take a layer for speculation alone.
    for name in ("Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-R1", "Qwen/Qwen3.5-27B"):
        assert drafted(Proposer(name, True), table.known(name)) is None


def test_how_tensorrt_llm_moves_blocks():
    told = {"cache_transceiver_config": {"backend": "UCX", "transceiver_runtime": "CPP"}}
    assert trtllm(told).transceiver == Transceiver("UCX", "CPP")
    assert trtllm({}).transceiver == trtllm({"cache_transceiver_config": None}).transceiver == Transceiver(None, None)
    assert trtllm(told, "--extra-engine-args", "/etc/engine.yaml").transceiver is None
    assert sglang().transceiver is None


def test_others_are_not_read():
    assert launched(("python3", "-m", "dynamo.mocker"), (), 1) is None
    assert repository_of("/somewhere/else") == "/somewhere/else"


def test_ranks_and_copies():
    assert Sharding(backend="vllm", tensor=2, data=4).ranks == 8
    assert Sharding(backend="vllm", tensor=2, data=4).copies == 4
    inside = Sharding(backend="sglang", tensor=8, data=4, attention_data=True)
    assert (inside.ranks, inside.copies, inside.attention_tensor) == (8, 4, 2)
    assert Sharding(backend="trtllm", tensor=8, attention_data=True).copies == 8


def test_weights_that_are_brought_to_eight_bits_while_loading():
    qwen = table.known("Qwen/Qwen3-32B")
    assert qwen is not None
    loaded = as_loaded(qwen, "fp8")
    assert loaded.format == "fp8"
    assert loaded.weight_bytes == pytest.approx(table.known("Qwen/Qwen3-32B-FP8").weight_bytes, rel=0.01)  # type: ignore[union-attr]
    assert as_loaded(qwen, "awq") is qwen
    assert as_loaded(qwen, None) is qwen
