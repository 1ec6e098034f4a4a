"""Edits that break a stack with UltraServers in one place."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from components.dynamo.compute_domain import GROVE_GROUP
from recording.graph import Graph
from tests.rules.test_each_rule import (
    DGD,
    GROUP,
    SCHEDULE,
    Edit,
    at,
    both,
    component,
    container,
    edit,
    pod_spec,
    rebuilt,
)


def value(path: str, new: Any) -> Any:
    """Set a value of a release; `...` takes the key away."""

    def change(inputs: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        at_ = inputs["values"]
        for part in parents:
            at_ = at_.setdefault(part, {})
        if new is ...:
            at_.pop(last, None)
        else:
            at_[last] = new

    return change


def groups(*ids: str) -> Any:
    return lambda i: [item.update(securityGroups=list(ids)) for item in i["networkInterfaces"]]


def sized(**scaling: int) -> Any:
    return lambda i: i["scalingConfig"].update(scaling)


def grown(**inputs: Any) -> Edit:
    """A second action beside the drain, as before a block's start."""

    def apply(graph: Graph) -> Graph:
        drain = next(node for node in graph if node.type.endswith(SCHEDULE))
        made = {**drain.inputs, "desiredCapacity": 18, "maxSize": 18, "startTime": "2026-12-01T11:30:00Z", **inputs}
        name = drain.name.replace("drain", "start")
        return rebuilt(graph, [*graph, dataclasses.replace(drain, name=name, inputs=made, order=len(graph) + 1)])

    return apply


def in_the_cluster(graph: Graph) -> Graph:
    """Give the control plane the racks' subnet too."""
    subnet = next(node for node in graph.of("aws:ec2/subnet:Subnet") if "rack" in node.name)
    return edit("eks/cluster:Cluster", lambda i: i["vpcConfig"]["subnetIds"].append(subnet.id))(graph)


before = both(at(2026, 11, 30, 9), edit(GROUP, sized(desiredSize=0)))
"""The day before the block: the group has no nodes."""


def answered(**changes: Any) -> Edit:
    """What EC2 said of the blocks, changed; `...` leaves it out."""

    def apply(graph: Graph) -> Graph:
        reads = [
            dataclasses.replace(read, answer={k: v for k, v in {**read.answer, **changes}.items() if v is not ...})
            for read in graph.reads
        ]
        return Graph(graph.stack, list(graph), reads=reads, preview=graph.preview, at=graph.at)

    return apply


def elsewhere(*zones: str) -> Edit:
    """Put the rack's group into one subnet in each of these zones."""

    def apply(graph: Graph) -> Graph:
        subnet = next(node for node in graph.of("aws:ec2/subnet:Subnet") if "rack" in node.name)
        ids = [f"subnet-{index}" for index in range(len(zones))]
        made = [
            dataclasses.replace(
                subnet, name=f"{subnet.name}-{id_}", id=id_, inputs={**subnet.inputs, "availabilityZoneId": zone}
            )
            for id_, zone in zip(ids, zones, strict=True)
        ]
        nodes = [*made, *edit(GROUP, lambda i: i.update(subnetIds=ids))(graph)]
        return rebuilt(graph, nodes)

    return apply


def beside(change: Any, **metadata: str) -> Edit:
    """A second graph before the first, with another name or what else is given."""

    def apply(graph: Graph) -> Graph:
        nodes = list(graph)
        at_, first = next((at_, node) for at_, node in enumerate(nodes) if node.type.endswith(DGD))
        inputs = copy.deepcopy(dict(first.inputs))
        inputs["metadata"].update(metadata or {"name": "second"})
        change(inputs)
        nodes.insert(at_, dataclasses.replace(first, name="graph-second", inputs=inputs))
        return rebuilt(graph, nodes)

    return apply


def claim(role: str, **changes: Any) -> Any:
    return lambda i: pod_spec(i, role)["resourceClaims"][0].update(changes)


def grove(role: str, group: str = "r1-wide-ep") -> Any:
    """Leave the role's domain to Grove too."""

    def change(inputs: dict[str, Any]) -> None:
        metadata = component(inputs, role)["podTemplate"].setdefault("metadata", {})
        metadata["annotations"] = {GROVE_GROUP: group}

    return change


def no_claim(role: str) -> Any:
    def change(inputs: dict[str, Any]) -> None:
        pod_spec(inputs, role).pop("resourceClaims")
        container(inputs, role)["resources"].pop("claims")

    return change


def near(role: str) -> Any:
    return lambda i: pod_spec(i, role)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]


def packed(topology: str = "ultraservers") -> Any:
    return lambda i: i["spec"].update(topologyConstraint={"clusterTopologyName": topology, "packDomain": "rack"})


def one_node(role: str) -> Any:
    return lambda i: component(i, role).pop("multinode")


def many(*changes: Any) -> Any:
    return lambda i: [change(i) for change in changes]


anywhere = many(
    *(
        lambda i, role=role: pod_spec(i, role).update(
            nodeSelector={"kubernetes.io/arch": "arm64", "dynamo-eks/ultraserver-node": "true"}
        )
        for role in ("prefill", "decode")
    )
)


def annotations(**given: str) -> Any:
    return lambda i: i["metadata"]["annotations"].update(given)
