"""Drift: what somebody changed, without what changes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from operations import drift
from operations.drift import NOISE, Drift, drifted, known, text
from recording.aws_types import CARDS

POD = "urn:pulumi:prod::dynamo-eks::dynamo-eks:index:DynamoGraph$kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment::graph-chat-graph"


def urn(type_: str, name: str = "it") -> str:
    return f"urn:pulumi:prod::dynamo-eks::{type_}::{name}"


def event(type_: str, op: str = "update", *, diffs: list[str] | None = None, **more: Any) -> str:
    """A line of the engine's log for one resource (apitype.EngineEvent, StepEventMetadata)."""
    detailed = {path: {"diffKind": "update", "inputDiff": False} for path in diffs or []}
    metadata = {"op": op, "urn": urn(type_), "type": type_, "detailedDiff": detailed or None, "diffs": diffs, **more}
    return json.dumps({"sequence": 1, "timestamp": 1, "resOutputsEvent": {"metadata": metadata, "planning": True}})


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("aws:eks/nodeGroup:NodeGroup", "scalingConfig.desiredSize"),
        ("aws:eks/nodeGroup:NodeGroup", "resources[0].autoscalingGroups[0].name"),
        ("aws:eks/cluster:Cluster", "platformVersion"),
        ("aws:ec2/launchTemplate:LaunchTemplate", "latestVersion"),
        ("aws:ec2/securityGroup:SecurityGroup", "ingress"),
        ("aws:efs/fileSystem:FileSystem", "sizeInBytes[0].value"),
        ("kubernetes:core/v1:Namespace", "metadata.managedFields"),
        ("kubernetes:core/v1:Namespace", "metadata.resourceVersion"),
        ("kubernetes:apps/v1:Deployment", "status.readyReplicas"),
        ("kubernetes:karpenter.sh/v1:NodePool", 'metadata.annotations["karpenter.sh/nodepool-hash"]'),
    ],
)
def test_what_changes_by_itself_is_left_out(type_: str, path: str) -> None:
    """A report that is never empty is never read."""
    assert known(type_, path) and drifted([event(type_, diffs=[path])]) == []


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("aws:eks/nodeGroup:NodeGroup", "scalingConfig.maxSize"),
        ("aws:eks/cluster:Cluster", "vpcConfig.publicAccessCidrs[0]"),
        ("aws:eks/cluster:Cluster", "version"),
        ("aws:ec2/subnet:Subnet", "tags.Name"),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "cidrIpv4"),
        ("aws:ec2/launchTemplate:LaunchTemplate", "userData"),
        ("kubernetes:karpenter.sh/v1:NodePool", 'spec.limits["nvidia.com/gpu"]'),
        (
            "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment",
            "spec.components[1].podTemplate.spec.containers[0].image",
        ),
        ("kubernetes:core/v1:Service", "spec.loadBalancerSourceRanges[0]"),
        ("kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment", "spec.components[1].replicas"),
    ],
)
def test_what_somebody_changed_is_told(type_: str, path: str) -> None:
    """An endpoint that was opened by hand stays open until it is told."""
    assert drifted([event(type_, diffs=[path])]) == [Drift(urn(type_), (path,))]


def test_what_is_gone_comes_first() -> None:
    lines = [
        event("aws:ec2/subnet:Subnet", diffs=["tags.Name"]),
        event("aws:efs/mountTarget:MountTarget", "delete"),
        event("dynamo-eks:index:Network", diffs=["x"]),
        event("pulumi:providers:aws", diffs=["version"]),
        "{cut off",
    ]
    found = drifted(lines)
    assert [(item.type, item.gone) for item in found] == [
        ("aws:efs/mountTarget:MountTarget", True), ("aws:ec2/subnet:Subnet", False),
    ]  # fmt: skip
    said = text("prod", found)
    assert "2 resources are not as" in said and "| aws:efs/mountTarget:MountTarget | it | gone |" in said
    assert "make up STACK=prod" in said


def test_states_are_compared_where_the_engine_names_no_property() -> None:
    """A refresh of some providers says that something differs, and not what."""
    old = {"outputs": {"vpcConfig": {"publicAccessCidrs": ["192.0.2.1/32"]}, "platformVersion": "eks.1"}}
    new = {"outputs": {"vpcConfig": {"publicAccessCidrs": ["0.0.0.0/0"]}, "platformVersion": "eks.2"}}
    (found,) = drifted([event("aws:eks/cluster:Cluster", "refresh", old=old, new=new)])
    assert found.paths == ("vpcConfig.publicAccessCidrs",)
    gone = event("aws:eks/cluster:Cluster", "refresh", old=old)
    assert drifted([gone])[0].gone
    same = event("aws:eks/cluster:Cluster", "refresh", old=old, new=old)
    assert drifted([same]) == []


def test_a_type_below_a_component_is_read_from_its_urn() -> None:
    item = Drift(POD, ())
    assert item.type == "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment" and item.name == "graph-chat-graph"


def test_noise_is_of_types_that_there_are() -> None:
    """A row for a type that is gone hides nothing and is read as if it did."""
    import fnmatch

    for noise in NOISE:
        assert noise.why
        if noise.type.startswith("aws:"):
            assert any(fnmatch.fnmatchcase(type_, noise.type) for type_ in CARDS), noise


def run(tmp_path: Path, *lines: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(drift.main)
    (tmp_path / "log").write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["--stack", "prod", "--log", str(tmp_path / "log")])
    return done.exit_code, done.output


def test_the_command(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == 0 and "everything is as its last `make up` left it" in run(tmp_path)[1]
    assert run(tmp_path, event("aws:ec2/subnet:Subnet", diffs=["tags.Name"]))[0] == 1
    wrong = json.dumps({"diagnosticEvent": {"severity": "error", "message": "<{%fg 1%}>no credentials<{%reset%}>"}})
    code, said = run(tmp_path, wrong)
    assert code == 2 and "the refresh failed: no credentials" in said
