"""What a worker's command line says of how its model is divided over GPUs, in each backend's own words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import command_line
from ..download import MOUNT
from .facts import ModelFacts
from .handover import Transceiver
from .memory import Draft, Role, Sharding

BACKENDS: Mapping[str, str] = {"dynamo.vllm": "vllm", "dynamo.sglang": "sglang", "dynamo.trtllm": "trtllm"}

_ALIASES: Mapping[str, Mapping[str, str]] = {
    "vllm": {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-dp": "--data-parallel-size", "-q": "--quantization",
             "-ep": "--enable-expert-parallel", "-sc": "--speculative-config"},
    "sglang": {"--tp": "--tensor-parallel-size", "--tp-size": "--tensor-parallel-size", "--pp": "--pipeline-parallel-size",
               "--pp-size": "--pipeline-parallel-size", "--dp": "--data-parallel-size", "--dp-size": "--data-parallel-size",
               "--ep": "--expert-parallel-size", "--ep-size": "--expert-parallel-size", "--model": "--model-path",
               "--speculative-draft-model": "--speculative-draft-model-path"},
    "trtllm": {"--model": "--model-path"},
}  # fmt: skip
"""Other spellings of the flags that are read here (each engine's own parser)."""

_PATH = re.compile(
    rf"^{re.escape(MOUNT)}/hub/models--(?P<organisation>[^/]+?)--(?P<name>[^/]+)/snapshots/[0-9a-f]{{40}}$"
)


@dataclass(frozen=True, slots=True)
class Proposer:
    """A draft model, as an engine is told of it."""

    model: str
    """Repository, or the path as it is given."""
    whole: bool
    """Whether it is run as a model of its own, and not as a head of the other one."""
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """A worker's engine, as it is started."""

    how: Sharding
    model: str
    """Repository, or the path as it is given."""
    quantization: str | None = None
    """Number format that the engine is told to bring the weights to, or to take them for."""
    runs_custom_code: bool = False
    judged: bool = True
    """Whether memory can be told: not where weights are kept in host memory."""
    context_chosen: bool = False
    """Whether the engine is told to take as long a context as fits."""
    transceiver: Transceiver | None = None
    """How TensorRT-LLM moves blocks; None where that cannot be seen, and for other engines."""
    proposer: Proposer | None = None
    """Model that proposes tokens, where it is another one than is served."""


def repository_of(path: str) -> str:
    """Repository of a model in the cache; the path itself for another place."""
    found = _PATH.match(path)
    return f"{found['organisation']}/{found['name']}" if found else path


def flags(words: Sequence[str], backend: str) -> dict[str, str]:
    """Flags with their values, the last one of each, under their first names. A flag without a value is empty."""
    found: dict[str, str] = {}
    name = None
    for word in words:
        if re.match(r"^--?[a-zA-Z]", word):
            name, _, value = word.partition("=")
            name = name.replace("_", "-")
            name = _ALIASES[backend].get(name, name)
            found[name] = value
        elif name is not None:
            # Of several values the first.
            found[name] = found[name] or word
    return found


def _number(text: str | None) -> int | None:
    """A whole number as engines read it: vLLM has `32k` (thousands) and `32K` (1024)."""
    match = re.fullmatch(r"([0-9.]+)([kKmM]?)", text or "")
    if not match:
        return None
    return int(float(match[1]) * {"": 1, "k": 1000, "K": 1024, "m": 10**6, "M": 2**20}[match[2]])


def _fraction(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _json(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _role(given: Mapping[str, str]) -> Role:
    said = given.get("--disaggregation-mode", "")
    return "prefill" if said == "prefill" else "decode" if said == "decode" else "worker"


def _vllm(given: Mapping[str, str], gpus: int) -> Launched:
    how = _sizes("vllm", given)
    how = replace(
        how,
        experts=gpus if "--enable-expert-parallel" in given else 1,
        redundant=_whole(_json(given.get("--eplb-config")).get("num_redundant_experts")) or 0,
        balanced="--enable-eplb" in given,
        kv_format=given.get("--kv-cache-dtype"),
        fraction=_fraction(given.get("--gpu-memory-utilization")),
        context=_number(given.get("--max-model-len")),
        batch_tokens=_number(given.get("--max-num-batched-tokens")),
        requests=_number(given.get("--max-num-seqs")),
        speculative="--speculative-config" in given,
    )
    chosen = given.get("--max-model-len") in ("auto", "-1")
    apart = {"--cpu-offload-gb", "--kv-cache-memory-bytes", "--offload-group-size"} & given.keys()
    return Launched(
        how, given.get("--model", ""), given.get("--quantization"), judged=not apart, context_chosen=chosen,
        proposer=_vllm_proposer(_json(given.get("--speculative-config"))),
    )  # fmt: skip


_WITHOUT_MODEL = ("ngram", "[ngram]", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states")
"""vLLM's methods of speculation that load no model."""

_HEADS = re.compile("eagle-|eagle3|dflash|dspark|assistant|mimo", re.IGNORECASE)
"""Names by which vLLM takes a draft model for a head, and the dense one of which it takes the layer for speculation alone
(`SpeculativeConfig`)."""


def _vllm_proposer(told: Mapping[str, Any]) -> Proposer | None:
    model, method = told.get("model"), told.get("method")
    if not isinstance(model, str) or method in _WITHOUT_MODEL:
        return None
    whole = method in (None, "draft_model") and not _HEADS.search(model)
    return Proposer(model, whole, _text(told.get("quantization")))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sglang(given: Mapping[str, str], gpus: int) -> Launched:
    how = _sizes("sglang", given)
    how = replace(
        how,
        experts=how.tensor if _spans(given) else _number(given.get("--expert-parallel-size")) or 1,
        redundant=_number(given.get("--ep-num-redundant-experts")) or 0,
        attention_data="--enable-dp-attention" in given,
        kv_format=given.get("--kv-cache-dtype"),
        fraction=_fraction(given.get("--mem-fraction-static")),
        context=_number(given.get("--context-length")),
        batch_tokens=_number(given.get("--chunked-prefill-size")),
        requests=_number(given.get("--max-running-requests")),
        speculative="--speculative-algorithm" in given,
    )
    apart = {"--cpu-offload-gb", "--offload-group-size"} & given.keys()
    quantization = given.get("--quantization")
    proposer = None
    if (model := given.get("--speculative-draft-model-path")) and "--speculative-algorithm" in given:
        whole = given["--speculative-algorithm"].upper() == "STANDALONE"
        proposer = Proposer(model, whole, given.get("--speculative-draft-model-quantization", quantization))
    return Launched(how, given.get("--model-path", ""), quantization, judged=not apart, proposer=proposer)


def _spans(given: Mapping[str, str]) -> bool:
    """Whether SGLang spreads experts over all of tensor parallel whatever it is told, as it does with DeepEP and every other
    way of sending tokens to them but two (`_a2a_ep_size` of 0.5.21; 0.5.16 and 0.5.18 the same)."""
    return given.get("--moe-a2a-backend", "none") not in ("none", "ascend_tp")


def _slots(engine: Mapping[str, Any]) -> int | None:
    """Places for experts as TensorRT-LLM's load balancer is told, here or in a file."""
    config = engine.get("moe_config")
    told = config.get("load_balancer") if isinstance(config, Mapping) else None
    return (_whole(told.get("num_slots")) if isinstance(told, Mapping) else 0) if told else None


def _trtllm(given: Mapping[str, str], gpus: int) -> Launched:
    engine = _json(given.get("--override-engine-args"))
    cache = engine.get("kv_cache_config")
    cache = cache if isinstance(cache, Mapping) else {}
    how = _sizes("trtllm", given)
    how = replace(
        how,
        tensor=_whole(engine.get("tensor_parallel_size")) or how.tensor,
        experts=_whole(engine.get("moe_expert_parallel_size")) or 1,
        slots=_slots(engine),
        attention_data=bool(engine.get("enable_attention_dp")),
        kv_format=cache.get("dtype"),
        fraction=cache.get("free_gpu_memory_fraction") or _fraction(given.get("--free-gpu-memory-fraction")),
        context=_whole(engine.get("max_seq_len")) or _number(given.get("--max-seq-len")),
        batch_tokens=_whole(engine.get("max_num_tokens")) or _number(given.get("--max-num-tokens")),
        requests=_whole(engine.get("max_batch_size")) or _number(given.get("--max-batch-size")),
        speculative=bool(engine.get("speculative_config")),
    )
    # A file of engine options says what cannot be seen from here.
    seen = "--extra-engine-args" not in given
    return Launched(
        how, given.get("--model-path", ""), runs_custom_code=engine.get("trust_remote_code") is True, judged=seen,
        transceiver=_transceiver(engine) if seen else None, proposer=_trtllm_proposer(engine.get("speculative_config")),
    )  # fmt: skip


def _trtllm_proposer(told: object) -> Proposer | None:
    told = told if isinstance(told, Mapping) else {}
    model = _text(told.get("speculative_model")) or _text(told.get("speculative_model_dir"))
    return Proposer(model, str(told.get("decoding_type")).lower() == "draft_target") if model else None


def _transceiver(engine: Mapping[str, Any]) -> Transceiver:
    told = engine.get("cache_transceiver_config")
    told = told if isinstance(told, Mapping) else {}
    return Transceiver(told.get("backend"), told.get("transceiver_runtime"))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _sizes(backend: str, given: Mapping[str, str]) -> Sharding:
    def size(name: str) -> int:
        return _number(given.get(f"--{name}-parallel-size")) or 1

    return Sharding(
        backend=backend, role=_role(given), tensor=size("tensor"), pipeline=size("pipeline"), data=size("data")
    )


_READ = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm}


def launched(command: Sequence[str], args: Sequence[str], gpus: int) -> Launched | None:
    """What a container starts, with that many GPUs in all of its worker; None where it is none of the engines with GPUs."""
    backend = next((BACKENDS[word] for word in command if word in BACKENDS), None)
    if backend is None:
        return None
    if backend == "vllm":
        # Dotted keys are values of the flag before the dot.
        args = [word for _, word in command_line.flexible(list(enumerate(args)))]
    given = flags(args, backend)
    found = _READ[backend](given, gpus)
    code = found.runs_custom_code or given.get("--trust-remote-code", "false").lower() not in ("false",)
    model = repository_of(found.model)
    proposer = found.proposer and replace(found.proposer, model=repository_of(found.proposer.model))
    # A checkpoint's own layers for speculation may be named by its path.
    other = proposer if proposer and proposer.model != model else None
    return replace(found, model=model, proposer=other, runs_custom_code=code)


def as_loaded(facts: ModelFacts, quantization: str | None) -> ModelFacts:
    """Facts of the weights as the engine holds them: `fp8` brings weights of 16 bits to 8 while loading (vLLM and SGLang,
    `--quantization fp8`); every other word names what the checkpoint is in already."""
    if quantization != "fp8" or facts.format not in ("bf16", "fp16"):
        return facts
    # Embeddings, and the head where it is its own, stay as they are.
    kept = 2 * 2 * facts.vocabulary * facts.hidden_size
    halved = max(facts.weight_bytes - kept, 0) // 2
    return facts.model_copy(
        update={"weight_bytes": facts.weight_bytes - halved, "expert_bytes": facts.expert_bytes // 2, "format": "fp8"}
    )


HEAD_LAYERS = 4
"""More layers than this has no head; what has more is a whole model of which the layer for speculation alone is taken."""


def drafted(proposer: Proposer | None, facts: ModelFacts | None) -> Draft | None:
    """A draft model as it counts in memory; None where nothing is known of it, and for one of a kind of which engines may take no
    more than a layer for speculation: those with experts, latent attention or recurrent layers."""
    if proposer is None or facts is None or facts.experts or facts.latent or facts.state_bytes:
        return None
    if not proposer.whole and facts.layers > HEAD_LAYERS:
        return None
    return Draft(as_loaded(facts, proposer.quantization), proposer.whole)
