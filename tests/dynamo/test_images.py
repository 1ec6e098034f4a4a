"""What names and tags of images tell, and what they do not."""

from __future__ import annotations

import pytest

from components.dynamo import images

NGC = "nvcr.io/nvidia/ai-dynamo/"
DIGEST = "@sha256:" + "0" * 64

ARCHITECTURES = [
    (f"{NGC}vllm-runtime:1.2.0-efa-amd64", "amd64"),
    (f"{NGC}vllm-runtime:1.2.0-arm64{DIGEST}", "arm64"),
    ("registry.example.com/serving-aarch64:1.5.0", "arm64"),
    ("registry.example.com:5000/serving:1.5.0_x86_64", "amd64"),
    ("registry.example.com/serving:1.5.0.x86-64", "amd64"),
    ("registry.example.com/serving:1.5.0-linux-x64", "amd64"),
    ("registry.example.com/serving:1.5.0-SBSA", "arm64"),
    ("arm64v8/python:3.12", "arm64"),
    ("amd64/python:3.12", "amd64"),
    ("registry.example.com/amd64/serving:1.5.0", "amd64"),
    # These tell nothing: both, a part of a word, a registry's own name, a digest.
    (f"{NGC}vllm-runtime:1.5.0-efa", None),
    ("registry.example.com/serving:1.5.0-amd64-arm64", None),
    ("registry.example.com/charm64:1.5.0", None),
    ("registry.example.com/serving:1.5.0-arm", None),
    ("arm64.example.com/serving:1.5.0", None),
    ("arm64:5000/serving:1.5.0", None),
    ("localhost/serving:1.5.0", None),
    ("serving", None),
]


@pytest.mark.parametrize(("image", "expected"), ARCHITECTURES)
def test_architecture(image: str, expected: str | None) -> None:
    assert images.architecture(image) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"{NGC}vllm-runtime:1.5.0-efa", ("vllm-runtime", "vllm")),
        (f"{NGC}sglang-runtime:1.5.0{DIGEST}", ("sglang-runtime", "sglang")),
        (f"{NGC}tensorrtllm-runtime:1.5.0", ("tensorrtllm-runtime", "trtllm")),
        (f"{NGC}vllm-runtime-nightly:latest", ("vllm-runtime", "vllm")),
        (f"{NGC}sglang-runtime-enterprise:1.5.0", ("sglang-runtime", "sglang")),
        ("registry.example.com:5000/dynamo-trtllm-runtime:1.5.0", ("trtllm-runtime", "trtllm")),
        ("vllm/vllm-openai:nightly", ("vllm-openai", "vllm")),
        (f"{NGC}dynamo-frontend:1.5.0", ("dynamo-frontend", None)),
        (f"{NGC}dynamo-planner:1.5.0", ("dynamo-planner", None)),
        (f"{NGC}kubernetes-operator:1.5.0", ("kubernetes-operator", None)),
        # A folder's name tells nothing, nor does a word that only resembles one.
        ("registry.example.com/vllm-runtime/serving:1.5.0", None),
        ("registry.example.com/myvllm-runtime:1.5.0", None),
        ("registry.example.com/vllm:1.5.0", None),
        ("vllm-runtime.example.com/serving", None),
    ],
)
def test_engine(image: str, expected: tuple[str, str | None] | None) -> None:
    assert images.named_engine(image) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"{NGC}vllm-runtime:1.5.0", True),
        (f"{NGC}tensorrtllm-runtime:1.4.2{DIGEST}", True),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/nvcr/nvidia/ai-dynamo/sglang-runtime:1.5.0", True),
        (f"{NGC}vllm-runtime:1.5.0-defacto", True),
        (f"{NGC}vllm-runtime:1.5.0-efa", False),
        (f"{NGC}vllm-runtime:1.2.0-efa-amd64", False),
        (f"{NGC}dynamo-frontend:1.5.0", False),
        (f"{NGC}something-else:1.5.0", False),
        ("registry.example.com/vllm-runtime:1.5.0", False),
    ],
)
def test_lacks_efa(image: str, expected: bool) -> None:
    assert images.lacks_efa(image) is expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("1.5.0", "1.5.0"),
        ("v1.5.0-efa", "1.5.0"),
        ("1.3.0-model-dev.2", "1.3.0"),
        ("12.15.10", "12.15.10"),
        ("efa-1.5.0", None),
        ("1.5", None),
        ("latest", None),
        ("", None),
    ],
)
def test_version(tag: str, expected: str | None) -> None:
    assert images.version(tag) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("host:5000/a/b:1.5.0", ("host:5000/a/b", "1.5.0")),
        (f"host:5000/a/b{DIGEST}", ("host:5000/a/b", "")),
        (f"b:1{DIGEST}", ("b", "1")),
        ("b", ("b", "")),
    ],
)
def test_split(image: str, expected: tuple[str, str]) -> None:
    assert images.split(image) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("1.5.0", "1.5.9", 0),
        ("1.5.0", "1.3.1", 2),
        ("1.3.1", "1.5.0", 2),
        ("1.5.0", "1.2.1", 3),
        ("1.0.0", "0.9.1", 1),
        ("1.6.1", "0.7.0", 9),
        ("1.6.1", "1.8.0", 2),
        ("1.4.0", "1.7.0", 3),
        # Lines between them are not known.
        ("1.5.0", "2.0.0", None),
        ("1.5.0", "12.15.10", None),
        ("1.5.0", "0.1.0", None),
    ],
)
def test_lines_apart(one: str, other: str, expected: int | None) -> None:
    assert images.lines_apart(one, other) == expected
