"""Whether what prefill has computed can be handed to decode. Pure.

Sources, read 2026-11-26: vLLM, "NixlConnector compatibility matrix" (what may differ; KV formats are part of a hash that is compared),
#54387 (layout of recurrent state), #37635 and #41869 (recurrent state between different tensor parallel), #43523 and #50765; SGLang
0.5.16, 0.5.18 and 0.5.21, `disaggregation/nixl/conn.py`, #22145, #22240, #31295, #15674; llm-d #2442 (sliding windows); TensorRT-LLM #12150,
#14060 and `create_kv_cache_transceiver` (recurrent state; read 2026-11-27), and Dynamo's recipe of Nemotron 3 Super on TensorRT-LLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import ModelFacts
from .gpus import Verdict
from .memory import Sharding


def _kind(facts: ModelFacts) -> str:
    if facts.state_bytes:
        return "recurrent"
    if facts.window_layers:
        return "window"
    return "latent" if facts.latent else "grouped"


SGLANG_STATE = (1, 5, 0)
"""First Dynamo release whose SGLang hands recurrent state over between different tensor parallel (0.5.18; 0.5.16 of 1.4.0 ends with
NIXL_ERR_NOT_FOUND at the first request)."""

CONV_LAYOUT = ("VLLM_SSM_CONV_STATE_LAYOUT", "DS")
"""What vLLM's workers have to be told before they hand recurrent state over; they end at an assertion otherwise."""


@dataclass(frozen=True, slots=True)
class Transceiver:
    """TensorRT-LLM's `cache_transceiver_config`, as one role is told."""

    backend: str | None
    runtime: str | None

    @property
    def moves_state(self) -> bool:
        """Whether it hands recurrent state over: the one in C++ by UCX or MPI, the one in Python by NIXL."""
        return self.runtime == "PYTHON" or self.backend in ("UCX", "MPI")

    @property
    def starts(self) -> bool:
        """The one in Python ends at once with another backend than NIXL."""
        return self.runtime != "PYTHON" or self.backend in (None, "NIXL", "DEFAULT")


def _transceived(facts: ModelFacts, transceivers: Sequence[Transceiver]) -> list[Verdict]:
    """What TensorRT-LLM says of how its roles move blocks and state."""
    if other := next((each.backend for each in transceivers if not each.starts), None):
        return [
            Verdict(
                "fail",
                f"TensorRT-LLM's Python transceiver has no backend but NIXL, and ends with {other} "
                "(create_kv_cache_transceiver); leave one of cache_transceiver_config's backend and transceiver_runtime",
            )
        ]
    if not facts.state_bytes or all(each.moves_state for each in transceivers):
        return []
    return [
        Verdict(
            "warn",
            "TensorRT-LLM hands recurrent state over by UCX, or by NIXL in its Python transceiver alone (TensorRT-LLM #14060): set "
            "cache_transceiver_config.backend to UCX, or its transceiver_runtime to PYTHON, or serve it aggregated",
        )
    ]


def _refused(facts: ModelFacts, backend: str, dynamo: tuple[int, ...]) -> str | None:
    """Why the backend does not hand over between different tensor parallel; None where it does."""
    kind = _kind(facts)
    if backend == "sglang" and kind == "window":
        return "SGLang hands no layers with a sliding window over between them (0.5.16 to 0.5.21, llm-d #2442)"
    if backend == "sglang" and kind == "recurrent" and dynamo < SGLANG_STATE:
        return (
            "SGLang 0.5.16 ends handing recurrent state over between them (sglang #31295); take Dynamo 1.5.0 or newer"
        )
    return None


def judged(
    facts: ModelFacts,
    prefill: Sharding,
    decode: Sharding,
    *,
    dynamo: tuple[int, ...],
    conv_layout: bool,
    transceivers: Sequence[Transceiver] = (),
) -> list[Verdict]:
    """What is to be said of a pair under a Dynamo release; nothing where it is as usual. `conv_layout` is whether both are told
    CONV_LAYOUT; `transceivers` are those of TensorRT-LLM's roles that can be seen."""
    found = []
    if prefill.backend == "vllm" and facts.state_bytes and not conv_layout:
        found.append(
            Verdict(
                "fail",
                f"vLLM hands recurrent state over in one layout alone, and its workers end without {'='.join(CONV_LAYOUT)} "
                "(vllm #54387); set it in env of prefill and decode",
            )
        )
    if (prefill.kv_format or "auto") != (decode.kv_format or "auto"):
        found.append(
            Verdict(
                "fail",
                f"prefill keeps keys and values in {prefill.kv_format or 'auto'} and decode in {decode.kv_format or 'auto'}; "
                "they have to be in one format",
            )
        )
    found += _transceived(facts, transceivers)
    here, there = prefill.attention_tensor, decode.attention_tensor
    if here == there:
        return found
    told = f"prefill divides attention over {here} GPUs and decode over {there}"
    if here % there and there % here:
        found.append(Verdict("fail", f"{told}; one has to be a multiple of the other"))
    elif why := _refused(facts, prefill.backend, dynamo):
        found.append(Verdict("fail", f"{told}: {why}; use one tensorParallel for both"))
    elif _kind(facts) != "latent" and prefill.backend != "trtllm":
        found.append(
            Verdict(
                "warn",
                f"{told}: heads are split on the way, which has ended decode workers at their first request (vllm #43523, #50765; "
                "sglang #15674, #31295); one tensorParallel for both is what is tested most",
            )
        )
    return found
