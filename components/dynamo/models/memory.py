"""What a model takes of each GPU of a worker, and what is left for keys and values (KV). Pure.

Weights and KV follow from the model's shape and from how the backend shards it. What engines need besides (activations, captured
graphs, libraries) is an assumption, stated in `overhead` and in docs/models.md, which also holds both against aiconfigurator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from .facts import ModelFacts

GIB = 2**30
MIB = 2**20

VLLM_FRACTION = 0.92
"""vLLM's `--gpu-memory-utilization` by default, of all memory; 0.9 before 0.20 (vLLM, `LLM.__init__`, read 2026-11-26). Dynamo 1.4 pins
vLLM 0.26."""

TRTLLM_FRACTION = 0.9
"""TensorRT-LLM's `kv_cache_config.free_gpu_memory_fraction` by default, of what is free when the model is loaded (KvCacheConfig)."""

Role = Literal["worker", "prefill", "decode"]


class NoPlace(ValueError):
    """A way of sharding that the worker has not the GPUs for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharding:
    """How a worker divides a model over its GPUs, and what it is told of memory. From its command line."""

    backend: str
    role: Role = "worker"
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    experts: int = 1
    """Ranks that experts are spread over."""
    redundant: int = 0
    """Experts that are kept once more, on all ranks together (SGLang's `--ep-num-redundant-experts`, vLLM's EPLB)."""
    slots: int | None = None
    """Places for experts on all ranks together, as TensorRT-LLM's load balancer is told; 0 where a file tells it."""
    balanced: bool = False
    """Whether vLLM's load balancer (EPLB) moves experts."""
    attention_data: bool = False
    """Whether attention is data-parallel inside the tensor-parallel group."""
    kv_format: str | None = None
    """Format of keys and values as the engine is told; None for its default."""
    fraction: float | None = None
    """Share of memory as the engine is told; None for its default."""
    context: int | None = None
    """Longest context as the engine is told; None for the model's own."""
    batch_tokens: int | None = None
    """Tokens of one step, as the engine is told."""
    requests: int | None = None
    """Requests at once, as the engine is told."""
    speculative: bool = False

    @property
    def attention_tensor(self) -> int:
        """GPUs that one set of attention heads is divided over."""
        if not self.attention_data:
            return self.tensor
        # SGLang is told how many; TensorRT-LLM has as many as there are ranks.
        return max(1, self.tensor // self.data) if self.backend == "sglang" else 1

    @property
    def ranks(self) -> int:
        """GPUs of the worker."""
        inside = self.tensor * self.pipeline
        return inside if self.attention_data else inside * self.data

    @property
    def copies(self) -> int:
        """Groups of GPUs that each have keys and values of their own requests."""
        return self.tensor // self.attention_tensor if self.attention_data else self.data


@dataclass(frozen=True, slots=True)
class Draft:
    """A model that proposes tokens beside the one that is served."""

    facts: ModelFacts
    whole: bool
    """Whether it runs as a model of its own, sharing nothing (vLLM, `v1/spec_decode/draft_model.py`). A head (EAGLE) may share
    embeddings with the other model, and takes at most its bytes."""

    def sharding(self, how: Sharding) -> Sharding:
        """How it is divided: as the other model is, which all engines do by default and vLLM alone, but whole in a pipeline's last
        stage."""
        return replace(how, pipeline=1, experts=1, redundant=0, slots=None, balanced=False)

    def certain(self, how: Sharding) -> bool:
        """Whether what is computed of it is what the fullest GPU holds, whatever is assumed."""
        return self.whole and how.pipeline == 1 and not how.attention_data


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A model on the GPUs of one worker, by GPU. Bytes unless said otherwise."""

    memory: int
    """Of the GPU, as it is sold."""
    weights: int
    """Those of the draft model among them."""
    overhead: int
    """Assumed: activations of a step, captured graphs, libraries, communicators."""
    room: int
    """For keys and values; less than nothing where the model does not fit."""
    surely: int
    """The same with as little besides as any engine needs: what is more than that does not fit whatever was assumed."""
    token: int
    """Keys and values of one token of a long context, on this GPU."""
    context: int
    """Longest context asked for, in tokens."""
    request: int
    """Keys, values and state of one request of that context, those of the draft model among them."""
    least: int
    """The same, without what is assumed of a draft model."""
    longest: int
    """Longest context that fits, in tokens; no more than the model has."""
    tokens: int
    """Tokens that fit at once on all GPUs of the worker."""
    at_once: int
    """Requests of the longest context that was asked for, at once, on all GPUs of the worker."""


def weights(facts: ModelFacts, how: Sharding) -> int:
    """Bytes of weights on the fullest GPU.

    Routed experts are divided over all ranks that hold one copy of them: those of the tensor-parallel group, and with vLLM also of
    the data-parallel one (vLLM, "Data parallel deployment"); what is kept of them twice counts twice. All else is divided over the attention's tensor-parallel group, on the
    careful side: SGLang divides dense layers further. What all heads share is on each GPU. With pipelines the first layers' rank is the fullest.
    """
    over = how.tensor * (how.data if how.backend == "vllm" else 1)
    stage = math.ceil(facts.layers / how.pipeline) / facts.layers
    rest = (facts.weight_bytes - facts.expert_bytes - facts.whole_bytes) / how.attention_tensor
    twice = (_places(facts, how) or facts.experts) / facts.experts if facts.experts else 1
    return round((facts.expert_bytes * twice / over + facts.whole_bytes + rest) * stage)


def _places(facts: ModelFacts, how: Sharding) -> int:
    """Experts on all ranks together, those that are kept twice counted twice; 0 where it cannot be seen."""
    return facts.experts + how.redundant if how.slots is None else how.slots


def kv_bytes(facts: ModelFacts, how: Sharding) -> float:
    """Bytes of one number of keys or values."""
    told = (how.kv_format or "auto").lower()
    if told == "auto":
        # TensorRT-LLM and vLLM follow a checkpoint that asks for it; the other is on the careful side.
        return 1.0 if facts.kv_format == "fp8" and how.backend != "sglang" else 2.0
    if "fp4" in told:
        return 4.5 / 8
    return 1.0 if "8" in told else 2.0


def _heads(heads: int, how: Sharding) -> int:
    """Heads of keys and values on one GPU; with fewer heads than GPUs each head is kept several times."""
    return max(1, math.ceil(heads / how.attention_tensor))


def token_bytes(facts: ModelFacts, how: Sharding) -> tuple[float, float]:
    """Bytes that one GPU keeps of a token: in layers that keep every token, and in layers that keep the last ones."""
    size, stage = kv_bytes(facts, how), 1 / how.pipeline
    if facts.latent_size is not None:
        # Each GPU has all of it. The keys that sparse attention chooses by are in 8 bits with a scale of 32 for each 128.
        index = (facts.indexer_size or 0) * (1 + 4 / 128)
        return (facts.latent_size * size + index) * facts.full_layers * stage, 0.0
    heads, wide = facts.kv_heads or facts.attention_heads, facts.head_size or facts.hidden_size // facts.attention_heads
    full = (1 if facts.keys_only else 2) * _heads(heads, how) * wide * size * facts.full_layers
    last = (
        2 * _heads(facts.window_kv_heads or heads, how) * (facts.window_head_size or wide) * size * facts.window_layers
    )
    return full * stage, last * stage


def request_bytes(facts: ModelFacts, how: Sharding, tokens: int) -> float:
    """Bytes that one GPU keeps of a request of that many tokens."""
    full, last = token_bytes(facts, how)
    state = facts.state_bytes / how.attention_tensor / how.pipeline
    return full * tokens + last * min(tokens, facts.window or tokens) + state


def _asked(facts: ModelFacts, how: Sharding, tokens: int, draft: Draft | None) -> float:
    """Bytes that one GPU keeps of a request, for the draft model too."""
    drafted = request_bytes(draft.facts, draft.sharding(how), tokens) if draft else 0
    return request_bytes(facts, how, tokens) + drafted


def _longest(facts: ModelFacts, how: Sharding, room: float, draft: Draft | None) -> int:
    """Longest context whose request fits, no more than the model has."""
    if _asked(facts, how, facts.context_tokens, draft) <= room:
        return facts.context_tokens
    low, high = 0, facts.context_tokens
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _asked(facts, how, middle, draft) <= room else (low, middle)
    return low


def step_tokens(how: Sharding, memory: int) -> int:
    """Tokens of one step by default: vLLM's for a server (`EngineArgs`), SGLang's `--chunked-prefill-size` by memory, TensorRT-LLM's
    `max_num_tokens`."""
    if how.batch_tokens:
        return how.batch_tokens
    if how.backend == "trtllm":
        return 8192
    if how.backend == "vllm":
        return 8192 if memory >= 70 * GIB else 2048
    for below, tokens in ((35, 2048), (60, 4096), (160, 8192)):
        if memory < below * GIB:
            return tokens
    return 16384


LEAST = GIB // 2
"""As little as any engine needs besides weights and KV: a CUDA context."""

LIBRARIES, COMMUNICATORS, GRAPHS = GIB, GIB // 2, GIB
"""Assumed for each GPU: CUDA context and kernels; buffers of NCCL where there are several GPUs; captured graphs (0.2 to 2 GiB in
published logs of vLLM 0.21 and later, which counts them)."""


def overhead(facts: ModelFacts, how: Sharding, memory: int) -> int:
    """Assumed besides weights and KV: a step's activations (six rows of the hidden size in 16 bits for each token), the logits of the
    requests that run at once in 32 bits, captured graphs, libraries and communicators."""
    requests = how.requests or (1024 if memory >= 70 * GIB else 256)
    activations = 12 * step_tokens(how, memory) * facts.hidden_size
    logits = 4 * min(requests, 1024) * facts.vocabulary / how.tensor
    return round(activations + logits + LIBRARIES + GRAPHS + (COMMUNICATORS if how.ranks > 1 else 0))


def sglang_fraction(facts: ModelFacts, how: Sharding, memory: int) -> float:
    """SGLang's `--mem-fraction-static` by default: what is left of the GPU after a reserve for activations and graphs (0.5.18,
    `ServerArgs._handle_gpu_memory_settings`, in MiB)."""
    gpu = memory / MIB
    graph = 512
    for below, few, many in ((20, 8, 8), (35, 24, 80), (60, 32, 160), (160, 256, 512)):
        if gpu < below * 1024:
            graph = few if how.tensor < 4 else many
            break
    running = how.requests or graph
    tokens = max(running, 2048) if how.role == "decode" else max(step_tokens(how, memory), 2048)
    reserve = 512 + tokens * 1.5 + how.tensor * how.pipeline / 8 * 1024
    if how.role != "prefill":
        reserve += graph * 2
        if how.attention_data:
            reserve += graph * how.data * (4.5 if graph > 300 else 3)
    if how.role != "decode":
        # Captured prefill graphs: a fixed part with latent attention, else 8 MiB for each of about sixty sizes.
        reserve += 1536 if facts.latent else 60 * 8
    if gpu > 60 * 1024:
        reserve = max(reserve, 10 * 1024)
    return (gpu - reserve) / gpu


def room(facts: ModelFacts, how: Sharding, memory: int, besides: int, drafted: int = 0) -> int:
    """Bytes for keys and values on a GPU of that memory, with so many taken besides, and so many by the weights of a draft model;
    negative where not even the weights fit."""
    held = weights(facts, how) + drafted
    if how.backend == "trtllm":
        return round((TRTLLM_FRACTION if how.fraction is None else how.fraction) * (memory - held - besides))
    if how.backend == "sglang":
        # Its share is of weights and KV alone; activations and graphs live in the rest, libraries do not.
        share = sglang_fraction(facts, how, memory) if how.fraction is None else how.fraction
        return round(share * memory) - held - min(besides, LIBRARIES)
    return round((VLLM_FRACTION if how.fraction is None else how.fraction) * memory) - held - besides


def _surely(facts: ModelFacts, how: Sharding, memory: int, drafted: int) -> int:
    """Room with as little besides as any engine needs."""
    if how.backend == "sglang":
        # Its older releases load the draft model into what its share leaves.
        return min(room(facts, how, memory, LEAST), memory - weights(facts, how) - drafted - LEAST)
    return room(facts, how, memory, LEAST, drafted)


def fit(facts: ModelFacts, how: Sharding, memory: int, draft: Draft | None = None) -> Fit:
    """The model on a worker's GPUs of that memory each, with the draft model beside it."""
    besides = overhead(facts, how, memory)
    drafted = weights(draft.facts, draft.sharding(how)) if draft else 0
    certain = draft if draft and draft.certain(how) else None
    left = room(facts, how, memory, besides, drafted)
    context = min(how.context or facts.context_tokens, 2**40)
    request = _asked(facts, how, context, draft)
    kept = [token_bytes(facts, how), *([token_bytes(draft.facts, draft.sharding(how))] if draft else [])]
    windows = [facts.window, *([draft.facts.window] if draft else [])]
    average = request / context
    groups = how.copies
    return Fit(
        memory=memory,
        weights=weights(facts, how) + drafted,
        overhead=besides,
        room=left,
        surely=_surely(facts, how, memory, drafted if certain else 0),
        token=round(
            sum(full + (last if window is None else 0) for (full, last), window in zip(kept, windows, strict=True))
        ),
        context=context,
        request=round(request),
        least=round(_asked(facts, how, context, certain)),
        longest=_longest(facts, how, left, draft) if left > 0 else 0,
        tokens=max(0, int(left / average)) * groups if average else 0,
        at_once=max(0, int(left / request)) * groups if request else 0,
    )


def divides(facts: ModelFacts, how: Sharding) -> list[str]:
    """Why the model cannot be divided so; empty where it can.

    Attention heads have to be a multiple of the attention's tensor parallel on all three backends (vLLM, "Total number of attention
    heads must be divisible by tensor parallel size", #414 and later). Heads of keys and values have to divide it or be divided by it:
    with fewer heads than GPUs each is kept several times, which vLLM, SGLang and TensorRT-LLM all do.
    """
    found = []
    over = how.attention_tensor
    if facts.attention_heads % over:
        found.append(f"{facts.attention_heads} attention heads cannot be divided by tensor parallel {over}")
    heads = None if facts.latent else facts.kv_heads
    if heads and heads % over and over % heads:
        found.append(
            f"{heads} heads of keys and values and tensor parallel {over}: one has to be a multiple of the other"
        )
    if how.pipeline > facts.layers:
        found.append(f"{facts.layers} layers cannot make {how.pipeline} stages of a pipeline")
    if facts.experts:
        found += _experts_divide(facts, how)
    return found


def _experts_divide(facts: ModelFacts, how: Sharding) -> list[str]:
    """vLLM and SGLang refuse a width of experts in blocks that is no multiple of 128 on each GPU (vLLM, "is not divisible by weight
    quantization block_n"). SGLang and TensorRT-LLM give each rank as many experts as the next, those that are kept twice among
    them (SGLang, `eplb/expert_location.py`; TensorRT-LLM, `MoeLoadBalancerConfig`), and so does vLLM where EPLB moves them."""
    places = _places(facts, how)
    if how.experts > 1 and (how.backend != "vllm" or how.balanced) and places % how.experts:
        twice = f" and {places - facts.experts} that are kept twice" if places > facts.experts else ""
        return [f"{facts.experts} experts{twice} cannot be divided by expert parallel {how.experts}"]
    if facts.format != "fp8Block" or facts.expert_width is None or how.backend == "trtllm":
        return []
    over = 1 if how.experts > 1 and how.backend == "vllm" else max(1, how.tensor // how.experts)
    if how.backend == "vllm" and how.experts == 1:
        over = how.tensor * how.data
    width = facts.expert_width / over
    if width % 128 == 0:
        return []
    return [
        f"experts of width {facts.expert_width} over {over} GPUs are {width:g} wide, no multiple of the block of 128; spread whole "
        "experts instead (expertParallel)"
    ]


def fewest(facts: ModelFacts, how: Sharding, memory: int, draft: Draft | None = None) -> int:
    """Fewest GPUs, as a power of two, that would hold the model with one request of its longest context; the worker's own number
    where none smaller does."""
    tensor = 1
    while tensor < how.ranks:
        ranks = tensor if how.experts > 1 else 1
        alone = replace(how, tensor=tensor, pipeline=1, data=1, experts=ranks, attention_data=False)
        if not divides(facts, alone) and fit(facts, alone, memory, draft).at_once >= 1:
            return tensor
        tensor *= 2
    return how.ranks
