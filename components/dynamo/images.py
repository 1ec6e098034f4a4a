"""What the name and tag of an image tell: architecture, engine, EFA's libraries, Dynamo release. Pure.

A name that tells nothing is judged by nothing: None everywhere. Sources, read 2026-11-27: Dynamo's reference, "Release
Artifacts" (names and tags of images) and "Compatibility" (which releases go together).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Architecture = Literal["amd64", "arm64"]

ARCHITECTURES: Mapping[str, Architecture] = {
    "amd64": "amd64",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "x64": "amd64",
    "arm64": "arm64",
    "arm64v8": "arm64",
    "aarch64": "arm64",
    # NVIDIA's word for servers of arm64.
    "sbsa": "arm64",
}
"""Words for an architecture, as registries use them in names, folders (`arm64v8/python`) and tags (`1.2.0-efa-amd64`)."""

ENGINES: Mapping[str, str | None] = {
    "vllm-runtime": "vllm",
    "sglang-runtime": "sglang",
    "tensorrtllm-runtime": "trtllm",
    "trtllm-runtime": "trtllm",
    "vllm-openai": "vllm",
    "dynamo-frontend": None,
    "dynamo-planner": None,
    "kubernetes-operator": None,
    "snapshot-agent": None,
}
"""Engine inside an image, by the last part of its name: Dynamo's artifacts and those that its recipes start from
(`vllm/vllm-openai`). None is an image without an engine."""

VARIANTS = ("-nightly", "-enterprise")
"""Endings of Dynamo's names that change nothing of what is inside."""

RUNTIMES = "nvidia/ai-dynamo/"
"""Folder of Dynamo's images in NVIDIA's registry, and in a mirror that keeps its paths."""

LINES: Sequence[tuple[int, int]] = (
    (0, 7), (0, 8), (0, 9), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6),
)  # fmt: skip
"""Release lines of Dynamo, oldest first (Dynamo's release history)."""

SUPPORTED_LINES = 3
"""A frontend and a worker go together within the current line and the two before it, whichever is the older ("Compatibility",
Mixed-Version Compatibility); three apart and more is unsupported."""

_ARCHITECTURE = re.compile(
    rf"(?<![a-z0-9])({'|'.join(sorted(ARCHITECTURES, key=len, reverse=True))})(?![a-z0-9])", re.IGNORECASE
)
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)")


def split(image: str) -> tuple[str, str]:
    """Repository and tag, without the digest; the tag is empty where there is none."""
    named = image.partition("@")[0]
    folder, slash, last = named.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{folder}{slash}{name}", tag


def version(tag: str) -> str | None:
    """MAJOR.MINOR.PATCH that a tag begins with, as Dynamo's operator reads it (ai-dynamo/dynamo, `runtimeVersionOverride`)."""
    found = _VERSION.match(tag)
    return found[1] if found else None


def architecture(image: str) -> Architecture | None:
    """CPU architecture that name or tag states; None where none is stated, or both are."""
    repository, tag = split(image)
    first, slash, rest = repository.partition("/")
    registry = slash and (first == "localhost" or "." in first or ":" in first)
    stated: set[Architecture] = {
        ARCHITECTURES[word.lower()] for word in _ARCHITECTURE.findall(f"{rest if registry else repository}:{tag}")
    }
    return next(iter(stated)) if len(stated) == 1 else None


def named_engine(image: str) -> tuple[str, str | None] | None:
    """Known name that an image's ends with, and the engine inside; None where the name is not known."""
    name = split(image)[0].rpartition("/")[2]
    for variant in VARIANTS:
        name = name.removesuffix(variant)
    # A registry without folders has the rest of the path before it: dynamo-vllm-runtime.
    return next(
        ((known, engine) for known, engine in ENGINES.items() if name == known or name.endswith(f"-{known}")), None
    )


def lacks_efa(image: str) -> bool:
    """Whether an image is one of Dynamo's runtimes without EFA's libraries: those with them say `efa` in their tag, `1.5.0-efa`
    from 1.3 on and `1.2.0-efa-amd64` before. Of another registry's images nothing is told."""
    repository, tag = split(image)
    engine = named_engine(image)
    return RUNTIMES in repository and bool(engine and engine[1]) and "efa" not in re.split(r"[-_.]", tag.lower())


def lines_apart(one: str, other: str) -> int | None:
    """Release lines between two versions of Dynamo; None where one of them is not a known line or a later one of its major."""
    places = [_line(each) for each in (one, other)]
    return None if None in places else abs(places[0] - places[1])  # type: ignore[operator] none of them is None


def _line(told: str) -> int | None:
    major, minor, *_ = (int(part) for part in told.split("."))
    newest = LINES[-1]
    if (major, minor) in LINES:
        return LINES.index((major, minor))
    return len(LINES) - 1 + minor - newest[1] if major == newest[0] and minor > newest[1] else None
