"""Names at their longest: whatever is derived from them is still one that AWS and Kubernetes take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from recording.graph import Graph
from recording.recorder import record
from rules import judge
from stacks import stackfile
from stacks.settings import Settings, SettingsError
from tests.conftest import AT
from tests.stacks.edited import ABSENT, changed

GRAPH, POOL, MODEL, CLUSTER, STACK, RACK = 37, 63, 63, 58, 51, 20
"""The most characters that the settings take."""

AWS = {
    "aws:iam/role:Role": ("name", 64),
    "aws:iam/policy:Policy": ("name", 128),
    "aws:efs/fileSystem:FileSystem": ("creationToken", 64),
    "aws:cloudwatch/logGroup:LogGroup": ("name", 512),
    "aws:kms/alias:Alias": ("name", 256),
    "aws:eks/cluster:Cluster": ("name", 100),
    "aws:eks/nodeGroup:NodeGroup": ("nodeGroupName", 63),
    "aws:ec2/securityGroup:SecurityGroup": ("name", 255),
    "aws:ec2/launchTemplate:LaunchTemplate": ("name", 128),
    "aws:autoscaling/schedule:Schedule": ("scheduledActionName", 255),
}
"""What a service takes of a name at most (API references of each)."""

OBJECT = {"Service": 63, "Namespace": 63, "Job": 63, "MPIJob": 50}
"""What is a label of DNS, or becomes one of its pods' (an MPIJob's launcher and workers have suffixes)."""

LABEL = re.compile(r"(([A-Za-z0-9][A-Za-z0-9_.-]*)?[A-Za-z0-9])?")


def ordinary(graph: int = GRAPH, pool: int = POOL, model: int = MODEL, cluster: int = CLUSTER) -> dict[str, Any]:
    names = {"graph": "g" * graph, "pool": "p" * pool, "model": "m" * model}
    made = {
        "model": names["model"], "backend": "vllm", "transport": "tcp", "prefill": {"gpus": 1, "replicas": 2}, "decode": {"gpus": 1},
        "placement": {"pool": names["pool"], "instanceType": "g6e.2xlarge"}, "smokeTest": {},
        "exposure": {"type": "nlb", "allowedCidrs": ["10.0.0.0/8"]},
    }  # fmt: skip
    return {
        "graphs": {names["graph"]: made},
        "capacity.pools": {names["pool"]: {"families": ["g6e"], "capacity": ["on-demand"]}},
        "models": {
            names["model"]: {"repository": "Qwen/Qwen3-0.6B", "revision": "c1899de289a04d12100db370d81485cdf75e47ca"}
        },
        "cluster.name": "c" * cluster,
    }


def on_rack(rack: int = RACK) -> dict[str, Any]:
    name = "r" * rack
    unit = stackfile.read("gb200-prod").config["dynamo-eks:capacity"]["ultraServers"]["rack-a"]
    return {
        "capacity.ultraServers": {name: unit},
        "graphs.r1-wide-ep.placement": {"ultraServer": name},
        "cluster.name": "c" * CLUSTER,
    }


@cache
def made(base: str, stack: str) -> Graph:
    file = stackfile.read(base)
    changes = ordinary() if base == "g6e-dev" else on_rack()
    if stack != base:
        changes["cluster.name"] = ABSENT
    config = changed({**file.config, "dynamo-eks:cluster": {**file.config["dynamo-eks:cluster"], "name": "x"}}, changes)
    return record(stack, config, secret_keys=file.secret_keys, at=AT)


@pytest.fixture(params=[("g6e-dev", "g6e-dev"), ("g6e-dev", "s" * STACK), ("gb200-prod", "gb200-prod")])
def graph(request: pytest.FixtureRequest) -> Graph:
    return made(*request.param)


def _labels(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key in ("labels", "matchLabels", "nodeSelector") and isinstance(below, Mapping):
                yield from (text for text in below.values() if isinstance(text, str))
            yield from _labels(below)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _labels(item)


def test_every_name_is_taken(graph: Graph) -> None:
    """A name that is one character too long is refused after the cluster stands, or cut and met by another."""
    for node in graph:
        key, most = AWS.get(node.type, ("", 0))
        name = node.inputs.get(key)
        assert not isinstance(name, str) or len(name) <= most, f"{node.type} {name}"
    for item in graph.objects:
        assert len(item.name) <= OBJECT.get(item.kind, 253), item.address
        for text in _labels(item.manifest):
            assert len(text) <= 63 and LABEL.fullmatch(text), f"{item.address}: {text}"
    assert [item for item in judge(graph) if item.verdict == "fail"] == []


def test_the_types_are_there() -> None:
    """A table of limits for what nobody makes would check nothing."""
    seen = {node.type for stack in ("g6e-dev", "gb200-prod") for node in made(stack, stack)}
    assert set(AWS) - seen <= {"aws:iam/policy:Policy"}, set(AWS) - seen


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("g6e-dev", ordinary(graph=GRAPH + 1)),
        ("g6e-dev", ordinary(pool=POOL + 1)),
        ("g6e-dev", ordinary(model=MODEL + 1)),
        ("g6e-dev", ordinary(cluster=CLUSTER + 1)),
        ("gb200-prod", on_rack(RACK + 1)),
    ],
    ids=["graph", "pool", "model", "cluster", "rack"],
)
def test_one_more_is_refused(base: str, changes: dict[str, Any]) -> None:
    """Else these are not the longest."""
    file = stackfile.read(base)
    with pytest.raises(SettingsError):
        Settings.parse(base, changed(file.config, changes), frozenset(file.secret_keys), AT)
