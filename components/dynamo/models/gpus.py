"""What a GPU generation can run, by backend and number format. Dated data; docs/models.md shows it.

Sources, read 2026-11-26: vLLM, "Quantization: supported hardware" and "FP8 W8A8" (0.32: weight-only by Marlin from compute capability
7.5 to 8.8); vLLM #5975 (Marlin for FP8); SGLang 0.5.18, `get_min_capability` of its quantisation methods, #7715, #12887 and #30681 (FP8
experts crash on Ampere, open in July 2026), #19652 (NVFP4 by Marlin); TensorRT-LLM, "Quantization: hardware support matrix" and
"Support matrix: precision", #6717 (no MXFP4 experts on compute capability 8.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .facts import Format

CAPABILITY: Mapping[str, tuple[int, int]] = {
    "v100": (7, 0), "t4": (7, 5), "t4g": (7, 5), "a100": (8, 0), "a10g": (8, 6), "l4": (8, 9), "l40s": (8, 9), "h100": (9, 0),
    "h200": (9, 0), "b200": (10, 0), "gb200": (10, 0), "b300": (10, 3), "rtx-pro-server-6000": (12, 0),
}  # fmt: skip
"""Compute capability by EC2's name of the GPU (NVIDIA, "CUDA GPU compute capability")."""

Level = Literal["fail", "warn"]

AMPERE, ADA, HOPPER, BLACKWELL = (8, 0), (8, 9), (9, 0), (10, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of a format on a GPU."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class _Row:
    """From which compute capability on a format runs as it is meant, and from which at all."""

    native: tuple[int, int]
    least: tuple[int, int]
    falls_back: str = ""
    """What happens between the two."""
    apart: frozenset[tuple[int, int]] = frozenset()
    """Newer ones that lack it."""


_MARLIN = "they are unpacked to 16 bits for each product (Marlin), which saves memory and not time"
_SM120 = frozenset({(12, 0)})
_HALF = "bfloat16 is not there, and float16 is taken"

ROWS: Mapping[str, Mapping[Format, _Row]] = {
    "vllm": {
        "bf16": _Row(AMPERE, (7, 5), _HALF),
        "fp8": _Row(ADA, (7, 5), _MARLIN),
        "fp8Block": _Row(ADA, (7, 5), _MARLIN),
        "nvfp4": _Row(BLACKWELL, (7, 5), _MARLIN),
        "mxfp4": _Row(HOPPER, AMPERE, _MARLIN),
        "int4": _Row(AMPERE, (7, 5), "older and slower kernels are taken"),
        "int8": _Row((7, 5), (7, 5)),
    },
    "sglang": {
        "bf16": _Row(AMPERE, (7, 5), _HALF),
        "fp8": _Row(ADA, AMPERE, _MARLIN),
        "fp8Block": _Row(ADA, AMPERE, _MARLIN),
        "nvfp4": _Row(BLACKWELL, AMPERE, _MARLIN),
        "mxfp4": _Row(HOPPER, AMPERE, _MARLIN),
        "int4": _Row(AMPERE, (7, 5), "older and slower kernels are taken"),
        "int8": _Row((7, 5), (7, 5)),
    },
    "trtllm": {
        "bf16": _Row(AMPERE, AMPERE),
        "fp16": _Row(AMPERE, AMPERE),
        "fp8": _Row(ADA, ADA),
        "fp8Block": _Row(HOPPER, HOPPER, apart=_SM120),
        "nvfp4": _Row(BLACKWELL, BLACKWELL),
        "mxfp4": _Row(
            BLACKWELL,
            HOPPER,
            "not in the matrix; the guide for gpt-oss takes Triton's experts (moe_config.backend: TRITON)",
        ),
        "int4": _Row(AMPERE, AMPERE, apart=_SM120),
        "int8": _Row(AMPERE, AMPERE, apart=_SM120),
    },
}
"""By backend and format. A format that is not listed is not judged."""

_WORDS: Mapping[Format, str] = {
    "bf16": "BF16", "fp16": "FP16", "fp8": "FP8", "fp8Block": "FP8 (blocks of 128)", "nvfp4": "NVFP4", "mxfp4": "MXFP4",
    "int4": "INT4", "int8": "INT8",
}  # fmt: skip


def words(format_: Format) -> str:
    """A format as people write it."""
    return _WORDS[format_]


def judged(backend: str, format_: Format, gpu: str, *, experts: bool = False) -> Verdict | None:
    """What is to be said of weights in that format on that GPU under that backend; None where they run as meant, or where nothing
    is known."""
    row, have = ROWS.get(backend, {}).get(format_), CAPABILITY.get(gpu)
    if row is None or have is None:
        return None
    named = f"{words(format_)} weights on {gpu} (compute capability {have[0]}.{have[1]})"
    if have < row.least:
        return Verdict("fail", f"{named}: {backend} runs them from {row.least[0]}.{row.least[1]} on")
    if have in row.apart:
        return Verdict("fail", f"{named}: {backend} has no kernels for them there")
    if backend == "sglang" and experts and format_ in ("fp8", "fp8Block") and have < ADA:
        return Verdict("fail", f"{named}: SGLang runs FP8 experts from 8.9 on (sglang #12887, #30681)")
    if have < row.native:
        return Verdict("warn", f"{named} run without hardware for them: {row.falls_back}")
    return None


def judged_kv(backend: str, kv_format: str | None, gpu: str) -> Verdict | None:
    """What is to be said of keys and values in the format that the engine is told; None where they are kept as meant, or nothing is
    known. TensorRT-LLM keeps FP8 on all of them (its hardware support matrix)."""
    told, have = (kv_format or "auto").lower(), CAPABILITY.get(gpu)
    if have is None or backend == "trtllm" or have >= ADA or "8" not in told or "e5m2" in told:
        return None
    return Verdict(
        "warn",
        f"keys and values in {told} on {gpu} (compute capability {have[0]}.{have[1]}): the usual kernels know E4M3 from 8.9 on and end "
        "with 'type fp8e4nv not supported' (vllm #26431); leave it out, or take fp8_e5m2",
    )
