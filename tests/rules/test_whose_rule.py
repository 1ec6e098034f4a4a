"""Whether a rule judges the stack or the program is not a matter of taste: a stack file, or time, makes the first kind speak."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from recording.recorder import record
from rules import RULES
from stacks import stackfile
from tests.conftest import AT
from tests.stacks.edited import changed

GPU = "graphs.vllm-agg"
HALF = {
    "backend": "vllm",
    "model": "glm-5",
    "transport": "none",
    "computeDomain": "none",
    "worker": {"gpus": 2, "tensorParallel": 2, "memory": "600Gi"},
}


def _block(first: int, last: int) -> dict[str, Any]:
    window = {key: f"2026-12-{day:02}T11:30:00Z" for key, day in (("start", first), ("end", last))}
    id_ = f"cr-0123456789abcde{first:02x}"
    return {"id": id_, "kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2, **window}


SPEAKS: dict[str, tuple[str, dict[str, Any], datetime]] = {
    "pod-fits": ("g6e-dev", {f"{GPU}.worker.memory": "600Gi"}, AT),
    "pool-room": ("g6e-dev", {"capacity.pools.gpu.gpuLimit": 1}, AT),
    "gpus-stranded": (
        "g6e-dev",
        {f"{GPU}.worker": {"gpus": 3, "tensorParallel": 3}, f"{GPU}.placement.instanceType": "g6e.12xlarge"},
        AT,
    ),
    "rack-idle": ("gb200-prod", {"graphs.r1-wide-ep.prefill.replicas": 1}, AT),
    "reserved-idle": ("p5-reserved", {"graphs.trtllm-block.worker.replicas": 1}, AT),
    "block-fallback": (
        "p5-reserved",
        {
            "capacity.pools.block.capacity": ["reserved", "on-demand"],
            "graphs.trtllm-block.placement.reservedOnly": False,
        },
        AT,
    ),
    "block-succession": ("p5-reserved", {"capacity.pools.block.reservations": [_block(1, 8), _block(9, 15)]}, AT),
    "graph-answers": ("g6e-dev", {"graphs.vllm-disagg-tcp.decode.replicas": 0}, AT),
    "secrets-beforehand": ("g6e-dev", {"dynamo.huggingFaceSecret": "hf"}, AT),
    "disruption-budget": ("p5-reserved", {"graphs.vllm-disagg-p5.podDisruptionBudget": False}, AT),
    "model-fits": ("g6e-dev", {f"{GPU}.worker.extraArgs": ["--gpu-memory-utilization", "0.03"]}, AT),
    "model-divides": (
        "g6e-dev",
        {f"{GPU}.worker": {"gpus": 3, "tensorParallel": 3}, f"{GPU}.placement.instanceType": "g6e.12xlarge"},
        AT,
    ),
    "model-format": ("g6e-dev", {"models.qwen3-0-6b.repository": "nvidia/Gemma-4-26B-A4B-NVFP4"}, AT),
    "model-spread": ("p5-reserved", {"models.llama-3-3-70b.repository": "Qwen/Qwen3-0.6B"}, AT),
    "kv-handover": ("g7e-staging", {"graphs.vllm-disagg-efa.decode.extraArgs": ["--kv-cache-dtype", "fp8"]}, AT),
    "modules-writable": (
        "g6e-dev",
        {f"{GPU}.worker.extraArgs": ["--trust-remote-code"], f"{GPU}.worker.env": {"HF_MODULES_CACHE": "/opt"}},
        AT,
    ),
    "efa-whole-node": ("p5-reserved", {"graphs.vllm-disagg-p5.prefill.efa": 8}, AT),
    "image-version": (
        "g6e-dev",
        {f"{GPU}.image": {"repository": "registry.example.com/vllm", "tag": "latest", "runtimeVersion": "1.5.0"}},
        AT,
    ),
    "image-architecture": (
        "g6e-dev",
        {f"{GPU}.image": {"repository": "registry.example.com/vllm", "tag": "1.5.0-arm64"}},
        AT,
    ),
    "image-backend": (
        "g6e-dev",
        {f"{GPU}.image": {"repository": "nvcr.io/nvidia/ai-dynamo/sglang-runtime", "tag": "1.5.0"}},
        AT,
    ),
    "image-efa": (
        "p5-reserved",
        {"graphs.vllm-disagg-p5.image": {"repository": "nvcr.io/nvidia/ai-dynamo/vllm-runtime", "tag": "1.5.0"}},
        AT,
    ),
    "image-skew": (
        "g6e-dev",
        {f"{GPU}.image": {"repository": "registry.example.com/vllm", "tag": "1.2.1"}},
        AT,
    ),
    "command-lines": (
        "g6e-dev",
        {
            f"{GPU}.image": {"repository": "registry.example.com/vllm", "tag": "1.5.0"},
            f"{GPU}.worker.extraArgs": ["--of-our-own"],
        },
        AT,
    ),
    "variables-read": ("g6e-dev", {f"{GPU}.worker.env": {"VLLM_NO_SUCH_THING": "1"}}, AT),
    "exposed-narrowly": (
        "g7e-staging",
        {"graphs.vllm-disagg-efa.exposure": {"type": "nlb", "allowedCidrs": ["0.0.0.0/0"], "allowOpenAccess": True}},
        AT,
    ),
    "endpoint-closed": ("g6e-dev", {"cluster.publicAccessCidrs": ["0.0.0.0/0"], "cluster.allowOpenEndpoint": True}, AT),
    "kubernetes-support": ("g6e-dev", {"cluster.version": "1.34"}, AT),
    "protected": ("g6e-dev", {"cluster.protect": False}, AT),
    "values-strict": ("gb200-prod", {"gpu.operator.values": {"drivr": {}}}, AT),
    "no-clear-secrets": ("g6e-dev", {"tags.note": "hf_" + "a" * 34}, AT),
    "block-window": ("p5-reserved", {}, datetime(2026, 12, 15, 1, tzinfo=UTC)),
    "rack-window": ("gb200-prod", {}, datetime(2026, 12, 8, 9, 45, tzinfo=UTC)),
    "rack-stranded": (
        "gb200-pair",
        {"graphs": {"glm-5": {**HALF, "placement": {"ultraServer": "rack-a"}}}},
        AT,
    ),
    "files-from-local-zone": (
        "gb200-pair",
        {"graphs": {"glm-5": {**HALF, "placement": {"ultraServer": "rack-a"}}}},
        AT,
    ),
    "ladder-gates": ("gb200-prod", {"capacity.ultraServers.rack-a.verify": []}, AT),
}
"""By rule of the stack: a shipped stack, an edit of its file that the settings accept, and a day."""

OF_THE_STACK = {rule.id: rule for rule in RULES if rule.of == "stack"}


def test_every_rule_of_the_stack_can_speak() -> None:
    """Prevents a rule that is shown to everybody and can tell nobody anything."""
    assert set(SPEAKS) == set(OF_THE_STACK)


@pytest.mark.parametrize("rule", sorted(SPEAKS))
def test_a_stack_file_makes_it_speak(rule: str) -> None:
    stack, changes, at = SPEAKS[rule]
    graph = record(stack, changed(stackfile.read(stack).config, changes), at=at)
    assert [item for item in OF_THE_STACK[rule].verdicts(graph) if item.verdict != "pass"]
