"""Fields of a graph that somebody else has written: who owns them, and how the stack takes them back.

Real: the API server's field managers, and its refusal of an apply that would overwrite another's field.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from recording.answers import Answers
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import Stack, World, edited, shipped
from tests.engine.terminals import Interrupted, program_served

GRAPH = ("nvidia.com/v1beta1", "DynamoGraphDeployment", "mocker", "dynamo")
AGAIN = {"graphs.mocker.frontend.env": {"AGAIN": "1"}}
"""An edit of the graph that has nothing to do with its replicas."""


class Live:
    """The graph in the cluster."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane

    @property
    def object(self) -> dict[str, Any]:
        found = self.plane.get(*GRAPH)
        assert found is not None
        return found

    @property
    def replicas(self) -> dict[str, int | None]:
        return {item["name"]: item.get("replicas") for item in self.object["spec"]["components"]}

    def scale(self, component: str, replicas: int, manager: str) -> None:
        """As `kubectl patch`, or a controller: an update under a name of its own."""
        names = [item["name"] for item in self.object["spec"]["components"]]
        self.plane.request(
            "PATCH",
            self.plane.path(*GRAPH[:2], GRAPH[3], GRAPH[2]),
            params={"fieldManager": manager},
            data=json.dumps(
                [{"op": "add", "path": f"/spec/components/{names.index(component)}/replicas", "value": replicas}]
            ),
            headers={"Content-Type": "application/json-patch+json"},
        )

    def owners(self, component: str) -> set[str]:
        """Managers of the component's number of replicas."""
        key = "k:" + json.dumps({"name": component}, separators=(",", ":"))
        return {
            entry["manager"]
            for entry in self.object["metadata"]["managedFields"]
            if "f:replicas" in entry["fieldsV1"].get("f:spec", {}).get("f:components", {}).get(key, {})
        }


@pytest.fixture
def live(control_plane: ControlPlane) -> Live:
    return Live(control_plane)


def _up_with(make_stack: Callable[..., Stack], **changes: Any) -> Stack:
    stack = make_stack("mocker-local", config=edited(shipped("mocker-local"), changes))
    stack.up()
    return stack


def test_a_graph_that_was_scaled_by_hand(make_stack: Callable[..., Stack], live: Live) -> None:
    """After one `kubectl patch` in the night every later change of the graph is refused, until somebody learns what a field
    manager is."""
    stack = _up_with(make_stack)
    assert live.owners("worker") == {"pulumi-kubernetes"}
    meant = live.replicas
    live.scale("worker", 5, "kubectl-patch")
    assert live.owners("worker") == {"kubectl-patch"}
    stack.configure(edited(stack.config, AGAIN))
    outcome = stack.up(may_fail=True)
    assert outcome.error is None, outcome.messages
    assert live.replicas == meant
    (owner,) = live.owners("worker")
    assert owner.startswith("pulumi-kubernetes-")
    # Taken back without an edit: what is live is read first.
    live.scale("worker", 7, "kubectl-patch")
    assert stack.up(refresh=True).error is None and live.replicas == meant
    stack.destroy()


def test_a_graph_that_others_scale(make_stack: Callable[..., Stack], live: Live) -> None:
    """An edit of an image sets what KEDA has scaled to 8 back to 2, in the middle of the day."""
    others = {"graphs.mocker.worker.scaledBy": "others"}
    stack = _up_with(make_stack, **others)
    assert live.replicas["worker"] is None and live.replicas["frontend"] is not None
    live.scale("worker", 8, "keda-operator")
    stack.configure(edited(stack.config, AGAIN))
    assert stack.up().changes
    stack.edit(graphs__mocker__worker__replicas=3)
    stack.up()
    assert live.replicas["worker"] == 8 and live.owners("worker") == {"keda-operator"}
    # Back in the stack's hands.
    stack.edit(graphs__mocker__worker__scaledBy="stack")
    stack.up()
    assert live.replicas["worker"] == 3
    stack.destroy()


def test_a_field_is_taken_back(
    control_plane: ControlPlane, contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every other object the API server's word counts; the message names the command that takes a field back, and it
    does."""
    wanted = {"level": "info"}

    def program() -> None:
        provider = kubernetes.Provider("in-cluster", kubeconfig="{}", cluster_identifier="one")
        kubernetes.core.v1.ServiceAccount(
            "account",
            metadata={"name": "owned", "namespace": "default", "labels": dict(wanted)},
            opts=pulumi.ResourceOptions(provider=provider),
        )

    world = World(control_plane, contracts, Answers("demo"))
    try:
        told = Interrupted(Stack("demo", tmp_path, world, config={}, program=program))
        with program_served(program) as client:
            up = told.operations("up", "--yes", client)
            assert told.run(up)[0] == 0
            control_plane.request(
                "PATCH",
                control_plane.path("v1", "ServiceAccount", "default", "owned"),
                params={"fieldManager": "kubectl-edit"},
                data=json.dumps({"metadata": {"labels": {"level": "debug"}}}),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            wanted["level"] = "warn"
            code, said = told.run(up)
            assert code == 1 and 'conflict with "kubectl-edit"' in said, said[-1500:]
            command = "PULUMI_K8S_ENABLE_PATCH_FORCE=true make up STACK=demo"
            assert f"account: somebody else has written a field that the stack sets. To take it back: {command}" in said
            monkeypatch.setenv("PULUMI_K8S_ENABLE_PATCH_FORCE", "true")
            told.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
            code, said = told.run(up)
            assert code == 0, said
        live = control_plane.get("v1", "ServiceAccount", "owned", "default")
        assert live is not None and live["metadata"]["labels"] == {"level": "warn"}
        told.stack.destroy()
    finally:
        world.stop()
