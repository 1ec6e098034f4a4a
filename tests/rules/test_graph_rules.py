"""What rules about graphs and objects work out first: how KV blocks are moved, how many workers a node holds, which chart it is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from components.capacity.instances import Instance, allocatable
from components.dynamo.expected_pods import ExpectedPod
from recording.graph import Node
from rules.graphs import _argument, transfer_faults
from rules.idle import nodes_taken
from rules.objects import chart_of, versions
from stacks.tokens import is_token
from tests.conftest import recorded

GPU, EFA = "nvidia.com/gpu", "vpc.amazonaws.com/efa"
NVLINK = {"UCX_CUDA_IPC_ENABLE_MNNVL": "y"}
SGLANG, TRTLLM = "SGLANG_DISAGGREGATION_NIXL_BACKEND", "TRTLLM_NIXL_KVCACHE_BACKEND"
NO_LIBFABRIC = 'its KV transfer does not choose LIBFABRIC ("backends"); the first token would take 100 s instead of 1 s'
CUMEM = "--enable-cumem-allocator"
NO_CUMEM = "lacks --enable-cumem-allocator; its KV cache has no fabric handle, and blocks would go over TCP"
NO_UCX = 'its KV transfer does not choose UCX ("backends"), which alone moves blocks over NVLink'
NO_JSON = "its --kv-transfer-config is not JSON; let the program write it"
FROM_GPU = "moves KV blocks over TCP from GPU memory, which fails; kv_buffer_device must be cpu"


def worker(words: list[str], environment: dict[str, Any] | None = None, efa: bool = False) -> dict[str, Any]:
    main = {
        "name": "main",
        "command": words[:1],
        "args": words[1:],
        "env": [{"name": name, "value": value} for name, value in (environment or {}).items()],
        "resources": {"limits": {EFA: "1"} if efa else {}},
    }
    # The program's container is the one called `main`, wherever it stands.
    return {"podTemplate": {"spec": {"containers": [{"name": "sidecar", "args": ["--kv-transfer-config=no"]}, main]}}}


def vllm(*backends: str, **config: Any) -> list[str]:
    config |= {"kv_connector_extra_config": {"backends": list(backends)}}
    return ["python3", "-m", "dynamo.vllm", "--kv-transfer-config", json.dumps(config)]


PLAIN = ["python3", "-m", "dynamo.vllm"]


@pytest.mark.parametrize(
    ("framework", "component", "faults"),
    [
        ("vllm", worker(vllm("LIBFABRIC"), efa=True), []),
        ("vllm", worker(vllm("UCX"), efa=True), [NO_LIBFABRIC]),
        ("vllm", worker(vllm("UCX", "LIBFABRIC"), efa=True), [NO_LIBFABRIC]),
        ("vllm", worker(vllm("LIBFABRIC"), NVLINK, efa=True), []),
        ("vllm", worker(vllm("UCX"), NVLINK, efa=True), [NO_LIBFABRIC]),
        ("vllm", worker(vllm("LIBFABRIC"), {"UCX_CUDA_IPC_ENABLE_MNNVL": "n"}, efa=True), []),
        ("vllm", worker([*vllm("UCX"), CUMEM], NVLINK), []),
        ("vllm", worker([*vllm("UCX"), "--enable_cumem_allocator"], NVLINK), []),
        ("vllm", worker(vllm("UCX"), NVLINK), [NO_CUMEM]),
        ("vllm", worker([*vllm("UCX"), CUMEM, "--no-enable-cumem-allocator"], NVLINK), [NO_CUMEM]),
        ("vllm", worker(vllm("LIBFABRIC", kv_buffer_device="cpu"), NVLINK), [NO_UCX]),
        ("vllm", worker(vllm("UCX"), {"UCX_CUDA_IPC_ENABLE_MNNVL": "n"}), [NO_LIBFABRIC]),
        ("vllm", worker(vllm("LIBFABRIC", kv_buffer_device="cpu")), []),
        ("vllm", worker(vllm("LIBFABRIC", kv_buffer_device="cuda")), [FROM_GPU]),
        ("vllm", worker(vllm("LIBFABRIC")), [FROM_GPU]),
        ("vllm", worker([*PLAIN, "--kv-transfer-config", '{"kv_connector_extra_config": null}'], efa=True), [NO_LIBFABRIC]),
        ("vllm", worker([*PLAIN, "--kv-transfer-config", "{"], efa=True), [NO_JSON]),
        ("vllm", worker([*PLAIN, "--kv-transfer-config", "7"], efa=True), [NO_JSON]),
        ("vllm", worker([*PLAIN, "--kv-transfer-config", '["LIBFABRIC"]'], efa=True), [NO_JSON]),
        ("vllm", worker([*PLAIN, "--kv-transfer-config"], efa=True), [NO_LIBFABRIC]),
        ("vllm", worker(PLAIN, efa=True), [NO_LIBFABRIC]),
        ("vllm", {"podTemplate": {"spec": {"containers": [{"name": "main"}]}}}, [NO_LIBFABRIC]),
        ("vllm", {"podTemplate": {"spec": {"containers": [{"name": "other"}]}}}, [NO_LIBFABRIC]),
        ("vllm", {"podTemplate": {"spec": {}}}, [NO_LIBFABRIC]),
        ("vllm", {"podTemplate": {}}, [NO_LIBFABRIC]),
        ("vllm", {}, [NO_LIBFABRIC]),
        *(
            row
            for framework, name in (("sglang", SGLANG), ("trtllm", TRTLLM))
            for row in (
                (framework, worker(PLAIN, {name: "LIBFABRIC"}, efa=True), []),
                (framework, worker(PLAIN, {name: "LIBFABRIC", **NVLINK}, efa=True), []),
                (framework, worker(PLAIN, {name: "UCX", **NVLINK}), []),
                (framework, worker(PLAIN), []),
                (framework, worker(PLAIN, efa=True), [f"lacks {name}=LIBFABRIC; KV blocks would go over TCP without a word"]),
                (framework, worker(PLAIN, {name: "UCX"}, efa=True), [f"lacks {name}=LIBFABRIC; KV blocks would go over TCP without a word"]),
                (framework, worker(PLAIN, NVLINK), [f"lacks {name}=UCX; KV blocks would not go over NVLink"]),
                (framework, worker(PLAIN, {name: "LIBFABRIC", **NVLINK}), [f"lacks {name}=UCX; KV blocks would not go over NVLink"]),
            )
        ),
        ("none", worker(PLAIN, NVLINK), []),
        ("none", worker(PLAIN, efa=True), []),
    ],
)  # fmt: skip
def test_transfer_faults(framework: str, component: dict[str, Any], faults: list[str]) -> None:
    """Blocks that go over TCP without a word: 100 s to the first token, on machines that were paid for their fabric."""
    assert transfer_faults(framework, component) == faults


def test_a_variable_without_a_value_chooses_nothing() -> None:
    """A variable from a field or a Secret has no value that the plan could read."""
    component = worker(PLAIN, efa=True)
    component["podTemplate"]["spec"]["containers"][1]["env"] = [{"name": SGLANG, "valueFrom": {}}]
    assert len(transfer_faults("sglang", component)) == 1


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], None),
        (["--tokenizer", "a"], "a"),
        (["--tokenizer=a"], "a"),
        (["--tokenizer=a=b"], "a=b"),
        (["--tokenizer="], ""),
        (["--tokenizer", "a", "--tokenizer", "b"], "b"),
        (["--tokenizer", "a", "--tokenizer=b", "--dtype", "c"], "b"),
        (["--tokenizer-mode", "a", "no--tokenizer=c"], None),
        (["--tokenizer", "a", "--tokenizer"], None),
        (["--tokeni", "a"], None),
        (["--hf_token", "a"], None),
    ],
)
def test_argument(words: list[str], value: str | None) -> None:
    """The plan judges another value than the engine takes."""
    assert _argument(worker([*PLAIN, *words]), "--tokenizer") == value


@pytest.mark.parametrize("spelled", ["--kv_transfer_config", "--kv-transfer", "--kv_transfer-conf"])
def test_a_transfer_is_judged_under_any_spelling(spelled: str) -> None:
    config = {"kv_connector_extra_config": {"backends": ["UCX"]}}
    words = [*vllm("LIBFABRIC"), spelled, json.dumps(config)]
    assert transfer_faults("vllm", worker(words, efa=True)) == [NO_LIBFABRIC]


MACHINE = Instance("x.large", "x", "large", "amd64", 64, 512 * 1024, 8, "h100", 81920, 4, 0, True)
CPU, MEMORY = allocatable(MACHINE)


def pod(gpus: int, efa: int = 0, cpu: int = 0, memory: int = 0, component: str = "a", avoids: str = "") -> ExpectedPod:
    requests = {GPU: str(gpus)} | ({EFA: str(efa)} if efa else {})
    terms = [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"of": avoids}}}]
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}} if avoids else {}
    return ExpectedPod(component, "g", "n", component, "worker", 0, {"of": component}, requests, cpu, memory,
                       affinity=affinity)  # fmt: skip


@pytest.mark.parametrize(
    ("asks", "workers"),
    [
        (pod(1), 8),
        (pod(2), 4),
        (pod(3), 2),
        (pod(8), 1),
        (pod(1, efa=1), 4),
        (pod(1, efa=2), 2),
        (pod(1, efa=3), 1),
        (pod(4, efa=1), 2),
        (pod(1, cpu=CPU // 3), 3),
        (pod(1, cpu=CPU // 3 + 1), 2),
        (pod(1, memory=MEMORY // 5), 5),
        (pod(1, memory=MEMORY // 5 + 1), 4),
        (pod(1, cpu=1, memory=1), 8),
        (pod(1, efa=1, cpu=CPU // 3, memory=MEMORY), 1),
        (pod(1, efa=1, cpu=CPU // 2, memory=MEMORY // 3), 2),
    ],
)
def test_workers_of_a_node(asks: ExpectedPod, workers: int) -> None:
    """A node's GPUs called busy that stand idle at full price."""
    assert [nodes_taken([[asks] * count], MACHINE) for count in (workers, workers + 1)] == [1, 2]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (pod(4), pod(4, component="b"), True),
        (pod(4), pod(5, component="b"), False),
        (pod(1, efa=2), pod(1, efa=2, component="b"), True),
        (pod(1, efa=2), pod(1, efa=3, component="b"), False),
        (pod(1, cpu=CPU - 1), pod(1, cpu=1, component="b"), True),
        (pod(1, cpu=CPU - 1), pod(1, cpu=2, component="b"), False),
        (pod(1, memory=MEMORY - 1), pod(1, memory=1, component="b"), True),
        (pod(1, memory=MEMORY - 1), pod(1, memory=2, component="b"), False),
        (pod(1, avoids="b"), pod(1, component="b"), False),
        (pod(1), pod(1, component="b", avoids="a"), False),
        (pod(1, avoids="c"), pod(1, component="b", avoids="d"), True),
    ],
)
def test_workers_that_share_a_node(one: ExpectedPod, other: ExpectedPod, together: bool) -> None:
    """GPUs that another worker uses, reported as stranded, or those that none can use passed over."""
    assert nodes_taken([[one], [other]], MACHINE) == (1 if together else 2)


def release(**inputs: Any) -> Node:
    return Node(1, "kubernetes:helm.sh/v3:Release", "any", "urn", inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "chart"),
    [
        ({"chart": "dynamo-platform", "version": "1.5.0"}, ("dynamo-platform", "1.5.0")),
        ({"chart": "oci://ghcr.io/ai-dynamo/grove/grove-charts", "version": "v0.1.0"}, ("grove", "v0.1.0")),
        ({"chart": "https://example.com/charts/dynamo-platform-1.5.0.tgz"}, ("dynamo-platform", "1.5.0")),
        ({"chart": "dynamo-platform-v1.5.0-rc1.tgz"}, ("dynamo-platform", "1.5.0-rc1")),
        ({"chart": "dynamo-platform-1.5.0.tgz", "version": "1.6.0"}, ("dynamo-platform", "1.6.0")),
        ({"chart": "gpu-operator"}, ("gpu-operator", "")),
    ],
)
def test_chart_of(inputs: dict[str, Any], chart: tuple[str, str]) -> None:
    """Values checked against another chart's table, or against none."""
    assert chart_of(release(**inputs)) == chart


def test_versions() -> None:
    """Objects checked against tables of versions that the stack does not run."""
    assert versions(recorded("mocker-local")) == {"kubernetes": "1.35", "dynamo-platform": "1.5.0"}
    rack = recorded("gb200-prod")
    cluster = rack.one("aws:eks/cluster:Cluster")
    newer = dataclasses.replace(cluster, inputs={**cluster.inputs, "version": "1.36"})
    graph = type(rack)("any", [newer if node is cluster else node for node in rack])
    assert versions(graph) == {
        "kubernetes": "1.36",
        "aws-efa-k8s-device-plugin": "0.5.30",
        "dra-driver-nvidia-gpu": "0.4.1",
        "gpu-operator": "v26.3.3",
        "kai-scheduler": "v0.17.0",
        "grove": "v0.1.0-alpha.13",
        "dynamo-platform": "1.5.0",
    }


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("hf_" + "a" * 20, True),
        ("export TOKEN=hf_" + "a1B" * 10, True),
        ("hf_" + "a" * 19, False),
        ("nvapi-" + "a-_" * 7, True),
        ("AKIA" + "A1" * 8, True),
        ("ghp_" + "a" * 30, True),
        ("shelf_" + "a" * 20, False),
    ],
)
def test_what_looks_like_a_token(text: str, token: bool) -> None:
    """A token in a log must be revoked; a check that takes names for tokens gets switched off."""
    assert is_token(text) is token
