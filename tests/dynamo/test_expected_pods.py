"""The pods to expect of a graph: names, requests, what keeps them apart, and where they fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from components.capacity.instances import Instance, allocatable
from components.dynamo.expected_pods import ExpectedPod, expected_pods, fits, pod_name
from components.dynamo.quantities import mib, milli

HOST = "kubernetes.io/hostname"


def pods(*components: dict[str, Any], **metadata: Any) -> list[ExpectedPod]:
    return list(expected_pods({"metadata": {"name": "chat", **metadata}, "spec": {"components": list(components)}}))


BARE = ExpectedPod(
    name="chat-0-front-0",
    graph="chat",
    namespace="default",
    component="front",
    type="worker",
    index=0,
    labels={
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "front",
        "nvidia.com/dynamo-component-type": "worker",
    },
    requests={},
    cpu_milli=0,
    memory_mib=0,
    gang="default/chat",
)


def test_defaults_of_the_operator() -> None:
    """Whoever reads a graph that leaves things out must expect what the operator makes of it, not nothing."""
    assert pods({"name": "front"}) == [BARE]
    for empty in ({}, {"spec": {}}, {"metadata": {}, "spec": {"containers": [], "volumes": []}}):
        assert pods({"name": "front", "podTemplate": empty}) == [BARE]
    assert pods() == [] == pods({"name": "front", "replicas": 0})
    # With several nodes asked for and no number said, the CRD's default is two.
    assert [(pod.name, pod.index) for pod in pods({"name": "front", "multinode": {}})] == [
        ("chat-0-front-0-front-ldr-0", 0),
        ("chat-0-front-0-front-wkr-0", 1),
    ]


SIDECAR = {"name": "sidecar", "image": "side:1", "resources": {"limits": {"cpu": "500m", "memory": "1G"}}}
MAIN = {
    "name": "main",
    "image": "vllm:1",
    "resources": {
        "limits": {"memory": "4Gi", "nvidia.com/gpu": 4, "hugepages-2Mi": "5120Mi", "ephemeral-storage": "2Gi"},
        "requests": {"cpu": "2", "memory": "2Gi", "vpc.amazonaws.com/efa": "4", "ephemeral-storage": "1Gi"},
    },
}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
FULL = {
    "name": "Decode",
    "type": "decode",
    "replicas": 2,
    "multinode": {"nodeCount": 3},
    "compilationCache": {"pvcName": "kernels"},
    "podTemplate": {
        "metadata": {"labels": {"team": "a", "nvidia.com/dynamo-component": "another"}},
        "spec": {
            "containers": [SIDECAR, MAIN, {"name": "idle", "image": "idle:1"}],
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "more", "persistentVolumeClaim": {"claimName": "more"}},
            ],
            "resourceClaims": [
                {"name": "own", "resourceClaimName": "there-already"},
                {"name": "channel", "resourceClaimTemplateName": "chat-channel"},
                {"name": "other", "resourceClaimTemplateName": "other"},
            ],
            "nodeSelector": {"zone": "a"},
            "affinity": {"podAffinity": {}},
            "tolerations": [TOLERATION],
        },
    },
}
LEADER = ExpectedPod(
    name="chat-0-decode-0-decode-ldr-0",
    graph="chat",
    namespace="team",
    component="Decode",
    type="decode",
    index=0,
    labels={
        "team": "a",
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "Decode",
        "nvidia.com/dynamo-component-type": "decode",
    },
    # Of both containers together, limits where no request is given: 954 MiB are 1G, rounded up.
    requests={
        "cpu": "2500m",
        "memory": "3002Mi",
        "nvidia.com/gpu": "4",
        "vpc.amazonaws.com/efa": "4",
        "hugepages-2Mi": "5120Mi",
        "ephemeral-storage": "1024Mi",
    },
    cpu_milli=2500,
    memory_mib=3002,
    node_selector={"zone": "a"},
    affinity={"podAffinity": {}},
    tolerations=(TOLERATION,),
    claims=("models", "more", "kernels"),
    resource_claims=("chat-channel", "other"),
    image="vllm:1",
    gang="team/chat",
)


def test_every_pod_of_a_worker_of_several_nodes() -> None:
    """A pod forgotten here is a node too few on the rack, and a gang that waits for it for ever."""
    assert pods(FULL, {"name": "front"}, namespace="team") == [
        LEADER,
        dataclasses.replace(LEADER, name="chat-0-decode-0-decode-wkr-0", index=1, rank=1),
        dataclasses.replace(LEADER, name="chat-0-decode-0-decode-wkr-1", index=2, rank=2),
        dataclasses.replace(LEADER, name="chat-0-decode-1-decode-ldr-0", index=3, replica=1),
        dataclasses.replace(LEADER, name="chat-0-decode-1-decode-wkr-0", index=4, replica=1, rank=1),
        dataclasses.replace(LEADER, name="chat-0-decode-1-decode-wkr-1", index=5, replica=1, rank=2),
        dataclasses.replace(BARE, namespace="team", gang="team/chat"),
    ]
    assert [pod.leader for pod in pods(FULL)] == [True, False, False] * 2


@pytest.mark.parametrize(
    ("annotations", "name", "gang"),
    [
        ({"nvidia.com/enable-grove": "false"}, "chat-front-0", None),
        ({"nvidia.com/enable-grove": "true"}, "chat-0-front-0", "default/chat"),
        ({"nvidia.com/enable-metrics": "false"}, "chat-0-front-0", "default/chat"),
    ],
)
def test_a_gang_unless_it_opts_out(annotations: dict[str, str], name: str, gang: str | None) -> None:
    """A graph that is taken for a gang by mistake is judged by a scheduler that does not run."""
    assert pods({"name": "front"}, annotations=annotations) == [dataclasses.replace(BARE, name=name, gang=gang)]


@pytest.mark.parametrize(
    ("replica", "rank", "nodes", "grove", "expected"),
    [
        (1, 0, 1, False, "chat-decode-1"),
        (1, 0, 1, True, "chat-0-decode-1"),
        (1, 0, 3, True, "chat-0-decode-1-decode-ldr-0"),
        (1, 1, 3, True, "chat-0-decode-1-decode-wkr-0"),
        (0, 2, 3, True, "chat-0-decode-0-decode-wkr-1"),
    ],
)
def test_names(replica: int, rank: int, nodes: int, grove: bool, expected: str) -> None:
    """The ladder and the documents tell people to look at pods by these names."""
    assert pod_name("chat", "Decode", replica, rank, nodes, grove) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("1", 1), ("1048576", 1), ("1048577", 2), ("3145728", 3), ("1k", 1), ("2M", 2), ("1G", 954),
        ("1T", 953675), ("1P", 953674317), ("1Ki", 1), ("1024Ki", 1), ("1025Ki", 2), ("1Mi", 1), ("1.5Mi", 2),
        ("1.5Gi", 1536), ("1Ti", 1048576), ("2Pi", 2147483648),
    ],
)  # fmt: skip
def test_memory_is_rounded_up(text: str, value: int) -> None:
    """A pod counted as a MiB smaller than it is is planned onto a node that the scheduler refuses it."""
    assert mib(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("250m", 250), ("1500m", 1500), ("1.001", 1001), ("0.1", 100), ("12", 12000)]
)
def test_cpu_in_thousandths(text: str, value: int) -> None:
    """The same of CPU: 1.001 times 1000 is a little less than 1001."""
    assert milli(text) == value


# --- apart -------------------------------------------------------------------------------------------------------------


def term(labels: dict[str, str], key: str = HOST) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": key}


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ([], False),
        ([term({"app": "b", "tier": "x"})], True),
        ([term({"app": "b"})], True),
        ([term({"app": "a"})], False),
        ([term({"app": "b"}, "topology.kubernetes.io/zone")], False),
        ([term({"app": "a"}), term({"app": "b"}, "topology.kubernetes.io/zone"), term({"app": "b"})], True),
    ],
)
def test_required_on_one_host_keeps_apart(required: list[dict[str, Any]], expected: bool) -> None:
    """Two workers planned onto one node that may not share it: one node too few is bought, and one worker stays Pending."""
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    pod = dataclasses.replace(BARE, labels={"app": "a"}, affinity=affinity)
    assert pod.avoids(dataclasses.replace(BARE, labels={"app": "b", "tier": "x"})) is expected


@pytest.mark.parametrize(
    "affinity",
    [
        {},
        {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term({"app": "b"})]}},
        {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": term({"app": "b"})}]}},
    ],
)  # fmt: skip
def test_what_keeps_nothing_apart(affinity: dict[str, Any]) -> None:
    """A preference is no reason to buy a second node."""
    assert not dataclasses.replace(BARE, affinity=affinity).avoids(dataclasses.replace(BARE, labels={"app": "b"}))


# --- room --------------------------------------------------------------------------------------------------------------

MACHINE = Instance("x.large", "x", "large", "amd64", 16, 65536, 4, "l40s", 46068, 2, 0, True)
CPU, MEMORY = allocatable(MACHINE)
EXACTLY = {"requests": {"nvidia.com/gpu": "4", "vpc.amazonaws.com/efa": "2"}, "cpu_milli": CPU, "memory_mib": MEMORY}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"requests": {}}, None),
        ({"requests": {"nvidia.com/gpu": "5"}}, "asks for 5 GPUs, and 4 are"),
        ({"requests": {"vpc.amazonaws.com/efa": "3"}}, "asks for 3 EFA interfaces, and 2 are"),
        ({"cpu_milli": CPU + 1}, f"asks for {CPU + 1} thousandths of a core, and {CPU} are"),
        ({"memory_mib": MEMORY + 1}, f"asks for {MEMORY + 1} MiB of memory, and {MEMORY} are"),
    ],
)
def test_room_on_an_empty_node(changes: dict[str, Any], fault: str | None) -> None:
    """A worker that asks for one more of anything than its node has stays Pending, on hardware that is paid for."""
    pod = dataclasses.replace(BARE, **{**EXACTLY, **changes})
    assert fits(pod, MACHINE) == (fault and f"{fault} left for pods on a x.large")


def test_room_on_a_node_without_gpus() -> None:
    """Frontends run there, and must not be told that GPUs are missing."""
    plain = dataclasses.replace(MACHINE, gpus=0, efa=0)
    assert fits(BARE, plain) is None
    assert fits(dataclasses.replace(BARE, requests={"nvidia.com/gpu": "1"}), plain) == (
        "asks for 1 GPUs, and 0 are left for pods on a x.large"
    )
