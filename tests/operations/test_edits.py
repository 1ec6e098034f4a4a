"""The look at edits before `make up`: a real plan against a state as the engine writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from operations import edits
from operations.state import State
from recording.graph import SECRET, Graph
from recording.recorder import record
from tests.conftest import AT, recorded
from tests.engine.engine import edited, shipped
from tests.operations.conftest import Shell
from tests.operations.documents import document, entry, urn

CLUSTER = "aws:eks/cluster:Cluster"


def of(graph: Graph, **fields: Mapping[str, Any]) -> dict[str, Any]:
    """The export of a stack that was made from this graph; `fields` are added to entries, by resource name."""
    entries = [
        entry(node.type, node.name, node.id, inputs=dict(node.inputs), parent=urn("dynamo-eks:index:Any", "any"))
        | {"outputs": dict(node.outputs), **fields.get(node.name.replace("-", "_"), {})}
        for node in graph
        if node.type.startswith("aws:")
    ]
    return document(*entries)


def graph_of(stack: str, **changes: Any) -> Graph:
    return record(stack, edited(shipped(stack), {key.replace("__", "."): item for key, item in changes.items()}), at=AT)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch):
    """Say what the stack file plans."""

    def say(graph: Graph) -> None:
        monkeypatch.setattr(edits, "_planned", lambda stack: graph)

    return say


def test_edits_that_aws_refuses_are_named_together_before_anything_begins(shell: Shell, planned) -> None:
    """Found out in an `up`, the first of them stops everything behind it, and the next one is found by the next `up`."""
    shell.holds(of(graph_of("g6e-dev", cluster__version="1.34")))
    planned(graph_of("g6e-dev", cluster__version="1.36", network__zones=2))
    code, text = shell.run("edits")
    assert code == 1 and text.startswith("AWS would not carry out 2 edits of demo; nothing was begun:")
    assert (
        "Unsupported Kubernetes minor version update from 1.34 to 1.36. Instead: raise `cluster.version` one minor"
        in text
    )
    assert "cluster-zones: Cluster main-eksCluster" in text
    assert set(shell.commands) == {"stack export"}


def test_other_edits_may_go_on(shell: Shell, planned) -> None:
    shell.holds(of(recorded("g6e-dev")))
    planned(graph_of("g6e-dev", cluster__logRetentionDays=7, storage__efs__throughput="bursting"))
    assert shell.run("edits") == (0, "")


def test_what_a_state_does_not_tell_is_said_and_stops_nothing(shell: Shell, planned) -> None:
    efs = {"throughput": "provisioned", "provisionedMibps": 256}
    old = graph_of("g6e-dev", storage__efs=efs)
    shell.holds(of(old, files_efs={"modified": "2026-12-02T11:00:00.123456789Z", "created": "2026-11-01T00:00:00Z"}))
    planned(graph_of("g6e-dev", storage__efs={**efs, "provisionedMibps": 128}))
    code, text = shell.run("edits")
    assert code == 0 and text.startswith("warn throughput-lowered-again: FileSystem files-efs") and "24 hours" in text
    shell.holds(of(old, files_efs={"modified": "2026-11-30T11:00:00Z"}))
    assert shell.run("edits") == (0, "")


def test_a_new_stack_and_one_without_aws_are_not_planned(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "_planned", lambda stack: pytest.fail("planned"))
    assert shell.run("edits") == (0, "")
    shell.holds(document(entry("kubernetes:core/v1:Namespace", "namespace", "dynamo")))
    assert shell.run("edits") == (0, "")


def test_a_file_that_cannot_be_planned(shell: Shell) -> None:
    shell.holds(of(recorded("g6e-dev")))
    code, text = shell.run("edits")
    assert code == 2 and "there is no stack 'demo'" in text


class Eks:
    """Of EKS only the question for a node group."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def client(self, service: str) -> Eks:
        assert service == "eks"
        return self

    def describe_nodegroup(self, *, clusterName: str, nodegroupName: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        assert (clusterName, nodegroupName) == ("dynamo-gb200-pair", "rack-a-76543210")
        if self.size is None:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeNodegroup")
        return {"nodegroup": {"scalingConfig": {"desiredSize": self.size}}}


@pytest.mark.parametrize(("size", "code"), [(9, 1), (0, 0), (None, 1)])
def test_a_rack_that_was_scaled_to_nothing_by_hand(
    shell: Shell, planned, monkeypatch: pytest.MonkeyPatch, size: int | None, code: int
) -> None:
    """The runbook's way must lead through this door: schedules and people scale the group, and no state hears of it."""
    shell.holds(of(recorded("gb200-pair")))
    planned(graph_of("gb200-pair", **{"capacity__ultraServers__rack-a__rootVolumeGib": 300}))
    monkeypatch.setattr(edits, "AwsFinder", lambda region, access: Eks(size))
    ended, text = shell.run("edits")
    assert ended == code and ("docs/runbooks/block.md" in text) == bool(code)


def test_secrets_of_a_state_are_none_of_its_values() -> None:
    secret = {edits.SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
    (made,) = edits.held(
        State(
            document(entry(CLUSTER, "main", "demo", inputs={"a": [secret, 1]}), entry(CLUSTER, "old", "x", delete=True))
        )
    )
    assert made.inputs == {"a": [SECRET, 1]}
