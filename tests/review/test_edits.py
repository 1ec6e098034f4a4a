"""Edits that AWS would not carry out, told from a recording and from what exists."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pulumi
import pytest

from recording.aws_types import CARDS
from recording.graph import Graph
from recording.recorder import record
from review.edits import MADE, Held, held, refused
from tests.conftest import AT, STACKS, recorded
from tests.engine.edits import EDITS, Edit
from tests.engine.engine import edited, shipped

CLUSTER, GROUP = "aws:eks/cluster:Cluster::main-eksCluster", "aws:eks/nodeGroup:NodeGroup::nodes-rack-a-76543210"
AFTER_THE_BLOCKS = datetime(2026, 12, 31, tzinfo=UTC)


@cache
def edited_graph(stack: str, *changes: tuple[str, Any], at: datetime = AT) -> Graph:
    return record(stack, edited(shipped(stack), dict(changes)), at=at)


def real(graph: Graph) -> list[Held]:
    """The graph as a state would have it: ids of its own, and in the inputs what the bridge adds."""
    texts: dict[str, str] = {}
    for node in graph:
        if node.type in CARDS:
            made = [node.id, *(item for key, item in node.outputs.items() if key in ("arn", "name", "keyId"))]
            texts.update({text: _another(text) for text in map(str, made) if text not in node.inputs.values()})
    longest = sorted((text for text in texts if re.match(r"arn:|[a-z]+-0[0-9a-f]{16}$", text)), key=len, reverse=True)
    inside = re.compile("|".join(map(re.escape, longest))) if longest else None

    def put(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: put(each) for key, each in item.items()}
        if isinstance(item, list):
            return [put(each) for each in item]
        if not isinstance(item, str):
            return item
        return texts.get(item) or (inside.sub(lambda found: texts[found[0]], item) if inside else item)

    found = []
    for item in held(graph):
        filled = {"tagsAll": {"a": "b"}, "filled": 1, "__defaults": ["filled"]}
        inputs = _with_defaults({**put(item.inputs), **filled})
        found.append(replace(item, id=put(item.id), inputs=inputs, outputs=put(item.outputs)))
    return found


def _another(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    if match := re.fullmatch(r"([a-z]+)-0[0-9a-f]{16}", text):
        return f"{match[1]}-0{digest[:16]}"
    return f"arn:aws:real:{digest[:12]}" if text.startswith("arn:") else f"{text}-{digest[:7]}"


def _with_defaults(item: Any) -> Any:
    """The bridge lists what it filled in at every level."""
    if isinstance(item, Mapping):
        return {"__defaults": [], **{key: _with_defaults(each) for key, each in item.items()}}
    return [_with_defaults(each) for each in item] if isinstance(item, list) else item


@cache
def there(stack: str) -> list[Held]:
    """A shipped stack, made."""
    return real(recorded(stack))


def ids(old: list[Held], graph: Graph, **more: Any) -> set[str]:
    return {fault.id for fault in refused(old, graph, **more)}


@pytest.mark.parametrize("stack", STACKS)
def test_what_was_not_edited_is_not_refused(stack: str) -> None:
    """A state has other ids than a recording and more inputs; taken for edits, they hold up every `up`."""
    graph = recorded(stack)
    assert refused(real(graph), graph) == [] and refused(held(graph), graph) == []
    assert refused([], graph) == []


OF_AWS = ("network.", "cluster.", "capacity.ultraServers", "capacity.pools.*.reservations", "storage.efs")
"""Keys of which AWS makes something."""


@pytest.mark.parametrize(
    "edit",
    [edit for edit in EDITS if edit.key.startswith(OF_AWS) and edit.stack != "mocker-local"],
    ids=lambda edit: edit.id,
)
def test_each_edit(edit: Edit) -> None:
    try:
        graph = record(edit.stack, edited(shipped(edit.stack), edit.changes), at=AT)
    except pulumi.RunError:
        return
    assert ids(there(edit.stack), graph) == set(edit.aws)


def test_all_are_named_at_once() -> None:
    old = real(edited_graph("g6e-dev", ("cluster.version", "1.34")))
    faults = refused(old, edited_graph("g6e-dev", ("cluster.version", "1.36"), ("network.zones", 2)))
    assert [fault.id for fault in faults] == ["kubernetes-skips-a-minor", "cluster-zones"]
    assert faults[0].line() == (
        "kubernetes-skips-a-minor: Cluster main-eksCluster, version: 1.34 -> 1.36: AWS refuses it: Unsupported Kubernetes minor "
        "version update from 1.34 to 1.36. Instead: raise `cluster.version` one minor at a time, with a `make up` for each. Source: "
        "terraform-aws-modules/terraform-aws-eks #2607; EKS User Guide, update-cluster"
    )
    assert "use1-az1, use1-az2, use1-az4 -> use1-az1, use1-az2: AWS refuses it" in faults[1].line()


@pytest.mark.parametrize("change", [("cluster.version", "1.35"), ("network.interfaceEndpoints", ["sts"])])
def test_what_aws_carries_out(change: tuple[str, Any]) -> None:
    old = record("g6e-dev", edited(shipped("g6e-dev"), {"cluster.version": "1.34"}), at=AT)
    new = record("g6e-dev", edited(shipped("g6e-dev"), {"cluster.version": "1.34", **dict([change])}), at=AT)
    assert refused(real(old), new) == []


def test_a_version_falls_only_within_days_of_its_rise() -> None:
    """A rollback is the way out of a bad upgrade, while there is one."""
    old, new = (
        real(edited_graph("g6e-dev", ("cluster.version", "1.36"))),
        edited_graph("g6e-dev", ("cluster.version", "1.35")),
    )
    assert ids(old, new) == {"kubernetes-falls"}
    made = AT - timedelta(days=90)
    risen = [replace(item, created=made, changed=AT - timedelta(days=2)) for item in old]
    assert ids(risen, new) == set()
    assert ids([replace(item, changed=made) for item in risen], new) == {"kubernetes-falls"}


@pytest.mark.parametrize(
    "change",
    [
        ("capacity.ultraServers.rack-a.amiRelease", "1.35.7-20261120"),
        ("capacity.ultraServers.rack-a.rootVolumeGib", 300),
    ],
)
def test_a_rack_is_changed_when_none_of_its_machines_runs(change: tuple[str, Any]) -> None:
    """The block has no machine to spare: rolled while it runs, a node goes and none comes."""
    old, new = there("gb200-pair"), edited_graph("gb200-pair", change)
    (fault,) = refused(old, new)
    assert fault.id == "rack-runs" and fault.key == GROUP and "docs/runbooks/block.md" in fault.instead
    # Scaled to 0 by hand: asked of EKS, or read by a refresh.
    assert refused(old, new, sizes={GROUP: 0}) == []
    group = next(item for item in old if item.key == GROUP)
    read = replace(group, outputs={**group.outputs, "scalingConfig": {"desiredSize": 0}})
    assert refused([read if item is group else item for item in old], new) == []
    assert ids([read if item is group else item for item in old], new, sizes={GROUP: 9}) == {"rack-runs"}
    # Before its start.
    early = datetime(2026, 11, 20, tzinfo=UTC)
    assert refused(real(edited_graph("gb200-pair", at=early)), edited_graph("gb200-pair", change, at=early)) == []


def test_a_protected_cluster_goes_with_nothing() -> None:
    old = real(edited_graph("g6e-dev", ("cluster.deletionProtection", True), ("cluster.protect", False)))
    new = edited_graph("g6e-dev", ("cluster.name", "other"), ("cluster.protect", False))
    assert "deletion-protection" in ids(old, new)
    empty = Graph("g6e-dev", [], at=AT)
    assert ids(old, empty) == {"deletion-protection"}
    assert ids(there("g6e-dev"), empty) == set()


def test_another_key_has_no_effect() -> None:
    graph = recorded("g6e-dev")
    changed = [
        replace(
            item,
            inputs={**item.inputs, "encryptionConfig": {"provider": {"keyArn": "another"}, "resources": ["secrets"]}},
        )
        if item.key == CLUSTER
        else item
        for item in real(graph)
    ]
    (fault,) = refused(changed, graph)
    assert fault.id == "secrets-key" and fault.how == "ignored" and "it has no effect" in fault.line()


def test_a_secret_is_compared_with_nothing() -> None:
    graph = recorded("g6e-dev")
    hidden = [
        replace(item, inputs={**item.inputs, "version": "[secret]"}) if item.key == CLUSTER else item
        for item in real(graph)
    ]
    assert refused(hidden, graph) == []


def test_what_a_state_does_not_tell_is_compared_with_nothing() -> None:
    """A state that an older version wrote must not look like another launch template: the rack runs."""
    graph = recorded("gb200-pair")
    groups = {item.id for item in there("gb200-pair") if item.type == "aws:ec2/securityGroup:SecurityGroup"}
    template = next(item for item in there("gb200-pair") if item.type == "aws:ec2/launchTemplate:LaunchTemplate")
    of_nodes = {id_ for card in template.inputs["networkInterfaces"] for id_ in card["securityGroups"]}
    assert len(of_nodes - groups) == 1, "the cluster's own group, which EKS made"
    silent = [
        replace(item, outputs={key: each for key, each in item.outputs.items() if key != "vpcConfig"})
        if item.key == CLUSTER
        else item
        for item in there("gb200-pair")
    ]
    assert refused(silent, graph) == []


# --- one that is in the other's way -----------------------------------------------------------------------------------


def _moved(there: list[Held], type_: str, **inputs: Any) -> list[Held]:
    return [replace(item, inputs={**item.inputs, **inputs}) if item.type == type_ else item for item in there]


def test_an_address_is_taken_until_its_gateway_goes() -> None:
    """pulumi/pulumi-aws #1483: the next gateway is made first, and fails on the address of the old one."""
    nat = "aws:ec2/natGateway:NatGateway"
    graph = recorded("g6e-dev")
    (fault,) = refused(_moved(real(graph), nat, subnetId="subnet-0123456789abcdef0"), graph)
    assert (
        fault.id == MADE
        and fault.property == "allocationId"
        and "AWS refuses it, since its address is taken" in fault.line()
    )


def test_a_range_is_taken_until_its_subnet_goes() -> None:
    """pulumi/pulumi-awsx #520: ranges that move from zone to zone overlap those that are there."""
    graph = recorded("g6e-dev")
    old = real(graph)
    subnets = [item for item in old if item.type == "aws:ec2/subnet:Subnet"]
    first, second = subnets[0], subnets[1]
    ranges = {first.key: second.inputs["cidrBlock"], second.key: first.inputs["cidrBlock"]}
    swapped = [
        replace(item, inputs={**item.inputs, "cidrBlock": ranges.get(item.key, item.inputs.get("cidrBlock"))})
        for item in old
    ]
    faults = [fault for fault in refused(swapped, graph) if fault.property == "vpcId, cidrBlock"]
    assert {fault.key for fault in faults} == {first.key, second.key}
    # One that was renamed is made beside the old one.
    renamed = [replace(item, key=f"{item.type}::other") if item is first else item for item in old]
    assert [fault.id for fault in refused(renamed, graph) if fault.key == first.key] == [MADE]


def test_what_is_deleted_first_is_in_nobodys_way() -> None:
    """Mount targets, and what is named by the program, go before the next one is made."""
    graph = recorded("g6e-dev")
    old = real(graph)
    assert refused(_moved(old, "aws:efs/mountTarget:MountTarget", ipAddress="10.0.0.9"), graph) == []
    assert refused(_moved(old, "aws:cloudwatch/logGroup:LogGroup", logGroupClass="INFREQUENT_ACCESS"), graph) == []


def test_what_is_taken_for_the_first_is_deleted_with_it() -> None:
    graph = recorded("g6e-dev")
    scoped = _moved(
        real(graph), "aws:eks/accessPolicyAssociation:AccessPolicyAssociation", accessScope={"type": "namespace"}
    )  # fmt: skip
    faults = refused(scoped, graph)
    assert faults and {(fault.id, fault.how) for fault in faults} == {(MADE, "ignored")}


def test_another_region_is_in_nobodys_way() -> None:
    """Everything is replaced, and nothing there meets what is here: only what is protected holds it back."""
    graph = record("g6e-dev", {**shipped("g6e-dev"), "aws:region": "us-west-2"}, at=AT)
    assert refused(there("g6e-dev"), graph) == []
