"""Rules about images, on names that the table of rules has no room for."""

from __future__ import annotations

from typing import Any

import pytest

from rules import images as rules
from rules.model import Finding
from tests.conftest import recorded
from tests.rules.test_each_rule import DGD, PAIR, G, component, container, edit

NGC = "nvcr.io/nvidia/ai-dynamo/"
P5 = "p5-reserved"


@pytest.mark.parametrize(
    ("stack", "part", "rule", "image", "level"),
    [
        (G, "worker", "image_architecture", f"{NGC}vllm-runtime:1.5.0-arm64", "fail"),
        (G, "worker", "image_architecture", f"{NGC}vllm-runtime:1.5.0-amd64", None),
        (PAIR, "decode", "image_architecture", "registry.example.com/x86_64/serving:1.5.0", "fail"),
        (PAIR, "decode", "image_architecture", "registry.example.com/serving:1.5.0-aarch64", None),
        (PAIR, "decode", "image_architecture", "registry.example.com/serving:1.5.0", None),
        (G, "worker", "image_backend", f"{NGC}tensorrtllm-runtime:1.5.0", "fail"),
        (G, "worker", "image_backend", f"{NGC}kubernetes-operator:1.5.0", "fail"),
        (G, "worker", "image_backend", f"{NGC}dynamo-frontend:1.5.0", "fail"),
        (G, "worker", "image_backend", "vllm/vllm-openai:nightly", None),
        (G, "worker", "image_backend", "registry.example.com/serving:1.5.0", None),
        # The runtimes hold the frontend too.
        (G, "frontend", "image_backend", f"{NGC}vllm-runtime:1.5.0", None),
        (G, "worker", "image_efa", f"{NGC}vllm-runtime:1.5.0", None),
        (P5, "prefill", "image_efa", f"{NGC}vllm-runtime:1.5.0", "warn"),
        (P5, "prefill", "image_efa", "registry.example.com/vllm-runtime:1.5.0", None),
        (G, "worker", "image_skew", f"{NGC}vllm-runtime:1.2.1", "fail"),
        (G, "worker", "image_skew", "registry.example.com/serving:1.2.1", "warn"),
        (G, "worker", "image_skew", f"{NGC}vllm-runtime:1.3.0", None),
        (G, "worker", "image_skew", f"{NGC}vllm-runtime:1.7.0", None),
        (G, "worker", "image_skew", f"{NGC}vllm-runtime:1.8.0", "fail"),
        (G, "worker", "image_skew", f"{NGC}vllm-runtime:nightly", None),
    ],
)
def test_images(stack: str, part: str, rule: str, image: str, level: str | None) -> None:
    changed = edit(DGD, lambda inputs: container(inputs, part).update(image=image))(recorded(stack))
    found = [each.level for each in getattr(rules, rule)(changed) if isinstance(each, Finding)]
    assert found == ([level] if level else [])


def test_a_stated_version_is_the_runtimes() -> None:
    def stated(inputs: dict[str, Any]) -> None:
        container(inputs, "worker").update(image="registry.example.com/serving:nightly")
        component(inputs, "worker").update(runtimeVersionOverride="1.2.0")

    assert [each.level for each in rules.image_skew(edit(DGD, stated)(recorded(G))) if isinstance(each, Finding)] == [
        "warn"
    ]


def test_nothing_is_said_of_nodes_that_are_not_the_stacks() -> None:
    def elsewhere(inputs: dict[str, Any]) -> None:
        container(inputs, "worker").update(image=f"{NGC}vllm-runtime:1.5.0-arm64")
        component(inputs, "worker")["podTemplate"]["spec"]["nodeSelector"] = {"disk": "fast"}

    assert not [
        each for each in rules.image_architecture(edit(DGD, elsewhere)(recorded(G))) if isinstance(each, Finding)
    ]


def test_what_copies_a_model_is_looked_at_too() -> None:
    def staging(inputs: dict[str, Any]) -> None:
        spec = component(inputs, "worker")["podTemplate"]["spec"]
        spec["initContainers"] = [{"name": "stage", "image": "registry.example.com/copy:1-arm64"}]

    assert [
        each.level for each in rules.image_architecture(edit(DGD, staging)(recorded(G))) if isinstance(each, Finding)
    ] == ["fail"]
