"""The life of every shipped stack in the real engine: preview, up, up again, edits, refresh, destroy, nothing left."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from recording.graph import Graph
from tests.conftest import STACKS, recorded
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import Outcome, Stack, edited, shipped
from tests.engine.inventory import inventory

MEANT_TO_STAY = ("CustomResourceDefinition ",)
"""What a destroy leaves: Helm never deletes a chart's CRDs, since every object of their kinds would go with them. (Here
they are there beforehand, for other tests; that a graph waits for the release that brings them is seen in the order.)"""

MEANT_TO_STAY_IN_AWS = {"aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup"}
"""The account's opt-in to a Local Zone: opting out needs AWS Support, and other stacks may live there."""

_OF_THE_ENGINE = re.compile(r"pulumi:pulumi:Stack::|pulumi:providers:[a-z]+::default")
"""What no program registers: the stack itself, and the providers of packages that have no explicit one (eks, pulumi)."""


def released(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with every protection let go, as the README says one should before a destroy."""
    return edited(config, releases(config))


def releases(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that let every protection go, by dotted path."""
    if "aws:region" not in config:
        return {}
    changes: dict[str, Any] = {
        "cluster.protect": False,
        "cluster.deletionProtection": False,
        "storage.efs.protect": False,
    }
    for name, pool in config.get("dynamo-eks:capacity", {}).get("pools", {}).items():
        for position, reservation in enumerate(pool.get("reservations", ())):
            if reservation.get("create"):
                changes[f"capacity.pools.{name}.reservations.{position}.protect"] = False
    for name in config.get("dynamo-eks:capacity", {}).get("ultraServers", {}):
        changes[f"capacity.ultraServers.{name}.protect"] = False
    return changes


def edits(config: Mapping[str, Any]) -> dict[str, Any]:
    """A day's work: one more frontend, a second cache for model files, and for AWS another tag and another log."""
    graph = next(iter(config["dynamo-eks:graphs"]))
    changes: dict[str, Any] = {
        f"graphs.{graph}.frontend.replicas": 3,
        f"graphs.{graph}.exposure.type": "nlb",
        f"graphs.{graph}.exposure.allowedCidrs": ["10.0.0.0/8"],
    }
    if "aws:region" in config:
        changes |= {"tags.reviewed": "yes", "cluster.logs": ["api", "audit"], "cluster.logRetentionDays": 14}
    else:
        del changes[f"graphs.{graph}.exposure.type"], changes[f"graphs.{graph}.exposure.allowedCidrs"]
    return edited(config, changes)


MEANT_TO_BE_REPLACED = (
    "kubernetes:batch/v1:Job::smoke-",
    "kubernetes:core/v1:ConfigMap::smoke-",
    "kubernetes:storage.k8s.io/v1:StorageClass::storage-ebs",
)


@pytest.mark.sweep("name")
@pytest.mark.parametrize("name", STACKS)
def test_life_of_a_stack(name: str, make_stack: Callable[..., Stack], control_plane: ControlPlane) -> None:
    """Prevents every first: a preview that fails on ids nobody knows yet, an object that the API server refuses, an `up`
    that changes something each time, a destroy that hangs on a finalizer or leaves something that is billed."""
    stack = make_stack(name, checkpoints=False)
    world = stack.world
    del world.in_cluster.errors[:]
    before = set(inventory(control_plane))

    first = stack.preview()
    assert {step.op for step in first.steps} <= {"create", "read"}
    # The plan lists what the engine registers, name by name. A component of a provider whose kubeconfig is not known yet is
    # not constructed in a preview, so that the engine shows less than the plan does.
    planned = recorded(name, True)
    later = {key for file in planned.of("kubernetes:yaml/v2:ConfigFile") for key in planned.descendants(file.key)}
    assert _own(first) == {node.key for node in planned.nodes} - later

    assert _own(stack.up()) == {node.key for node in recorded(name).nodes}
    _created_in_order(recorded(name), world.log)
    again = stack.up()
    assert again.changes == []

    stack.configure(edits(shipped(name)))
    changed = stack.up()
    replaced = {key for key, op in changed.verdict.items() if op == "replace"}
    # A changed graph is tested again: another Job with another program. Tags of volumes stand in their class, whose parameters the
    # API server lets nobody change; volumes that are there keep theirs.
    assert all(key.startswith(MEANT_TO_BE_REPLACED) for key in replaced), replaced
    assert set(changed.verdict.values()) >= {"update"}
    _nothing_to_do(stack.refresh())
    assert stack.preview().changes == []

    stack.configure(released(stack.config))
    stack.up()
    del world.log[:]
    stack.destroy()
    _destroyed_in_order(recorded(name), world.log)

    assert stack.resources == []
    assert (stack.export().get("pending_operations") or []) == []
    assert {type_ for type_, _ in world.aws.things} <= MEANT_TO_STAY_IN_AWS
    left = sorted(item for item in set(inventory(control_plane)) - before if not item.startswith(MEANT_TO_STAY))
    assert left == []
    assert world.in_cluster.errors == []


def _own(outcome: Outcome) -> set[str]:
    return {key for key in outcome.verdict if not _OF_THE_ENGINE.match(key)}


def _nothing_to_do(outcome: Outcome) -> None:
    """A refresh right after an `up` finds what was put there: nobody else changes it, so a difference would be ours."""
    assert [step.key for step in outcome.steps if step.op not in ("refresh", "read") or step.diffs] == []


def _key(urn: str) -> str:
    return f"{urn.split('::')[2].rsplit('$', 1)[-1]}::{urn.rsplit('::', 1)[1]}"


def _pairs(graph: Graph, log: list[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """Positions in the log of a resource and of one that must be there before it, for all that are in it."""
    at = {_key(urn): position for position, (_, urn) in enumerate(log)}
    found = [
        (at[node.key], at[other], f"{node.key} and {other}")
        for node in graph.nodes
        for other in graph.requires(node.key)
        if node.key in at and other in at
    ]
    assert found
    return found


def _created_in_order(graph: Graph, log: list[tuple[str, str]]) -> None:
    assert [text for own, other, text in _pairs(graph, log) if own < other] == []


def _destroyed_in_order(graph: Graph, log: list[tuple[str, str]]) -> None:
    assert [text for own, other, text in _pairs(graph, log) if own > other] == []
