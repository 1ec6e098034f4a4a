"""What rules about UltraServers look at, and what is right although it looks like a fault."""

from __future__ import annotations

from typing import Any

import pytest

from recording.graph import UNKNOWN
from rules.model import Finding, Looked
from tests.conftest import recorded
from tests.rules.test_each_rule import (
    BY_ID,
    DGD,
    GROUP,
    PAIR,
    RACK,
    RELEASE,
    SCHEDULE,
    TEMPLATE,
    Edit,
    at,
    both,
    container,
    drop,
    edit,
    pod_spec,
    set_resource,
)
from tests.rules.ultraserver_edits import (
    answered,
    anywhere,
    before,
    beside,
    groups,
    grove,
    many,
    near,
    no_claim,
    one_node,
    packed,
    value,
)

GROUPS = {"nodes-rack-a-76543210", "nodes-rack-b-e5f6071a"}
STACK = {"efa-plugin-release", "dra-driver-release", "gpu-operator-release"}
GRAPH = "DynamoGraphDeployment dynamo/glm-5"
WORKERS = {f"{GRAPH} prefill", f"{GRAPH} decode"}
DOMAINS = {
    *(f"ComputeDomain dynamo/glm-5-{role}" for role in ("prefill", "decode")),
    *(f"ComputeDomain verify-rack-{letter}/verify-rack-{letter}" for letter in "ab"),
}

LOOKED: dict[str, set[str]] = {
    "rack-interfaces": GROUPS,
    "rack-launch": GROUPS,
    "rack-node-group": GROUPS,
    "rack-schedules": GROUPS,
    "rack-window": {"rack-a", "rack-b"},
    "rack-subnet": {"network-rack-use1-dfw2-az1"},
    "zone-group-kept": {"network-us-east-1-dfw-2"},
    "hybrid-addons": GROUPS,
    "rack-repair": GROUPS,
    "one-allocator": STACK - {"efa-plugin-release"},
    "domain-kind-owner": {"gpu-operator-release"},
    "gpu-stack-place": STACK,
    "p6e-driver": {"gpu-operator-release", *GROUPS},
    "rack-room": {"rack-a", "rack-b"},
    "rack-stranded": WORKERS,
    "domain-claims": WORKERS | DOMAINS,
    "one-domain-per-clique": {"rack-a", "rack-b"},
    "clique-placement": WORKERS,
    "domain-outlives-workers": {GRAPH} | DOMAINS,
    "gang-scheduling": {GRAPH},
    "rack-architecture": {f"{GRAPH} frontend", *WORKERS},
    "files-from-local-zone": {f"{GRAPH} frontend", *WORKERS},
    "ladder-gates": {f"{GRAPH} on rack-a", f"{GRAPH} on rack-b"},
    "gpu-stack-outlives": STACK,
}
"""Everything that each rule looks at in the stack with two UltraServers."""


def placed(role: str, **selector: str) -> Any:
    return lambda i: pod_spec(i, role).update(nodeSelector=selector)


def first_option(*options: str) -> Edit:
    """Mount options of the racks' storage class, before its own."""
    return edit(":StorageClass", lambda i: i["mountOptions"].__setitem__(slice(0, 0), options), "local-zone")


off = many(placed("prefill"), placed("decode"))
"""Workers that are not on an UltraServer."""
no_zone = edit(":StorageClass", lambda i: i.pop("mountOptions"), "local-zone")
shared = many(
    *(set_resource("prefill", *amount) for amount in (("nvidia.com/gpu", "2"), ("memory", "400Gi"), ("cpu", "60"))),
    no_claim("prefill"),
)
"""Two pods to a node, which leave nothing."""
sidecar = {"name": "sidecar", "resources": {"claims": [{"name": "compute-domain-channel"}]}}
other_term = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "other"}}}

HOLDS: list[tuple[str, str, Edit, int]] = [
    ("rack-interfaces", RACK, edit(TEMPLATE, groups(UNKNOWN)), 1),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i.update(userData=UNKNOWN)), 1),
    ("rack-launch", RACK, edit(TEMPLATE, lambda i: i["blockDeviceMappings"][0]["ebs"].update(encrypted=True)), 1),
    ("rack-node-group", RACK, at(2026, 12, 1, 11, 30), 1),
    ("rack-node-group", RACK, both(answered(startDate=...), at(2026, 11, 30, 9)), 1),
    ("rack-node-group", RACK, answered(availabilityZoneId=...), 1),
    ("rack-node-group", RACK, edit(GROUP, lambda i: i["taints"].insert(0, {"key": "team", "effect": "NO_SCHEDULE"})), 1),
    ("rack-schedules", RACK, at(2026, 12, 1, 11, 30), 1),
    ("rack-schedules", RACK, both(answered(startDate=...), before), 1),
    ("rack-schedules", RACK, edit(SCHEDULE, lambda i: i.update(startTime="2026-12-08T10:15:00Z"), "drain"), 1),
    ("rack-schedules", RACK, both(answered(endDate=...), edit(SCHEDULE, lambda i: i.update(startTime="2026-12-08T11:00:00Z"), "drain")), 1),
    ("rack-window", RACK, both(answered(endDate=...), at(2026, 12, 8, 12)), 0),
    ("rack-window", RACK, at(2026, 12, 8, 9, 29), 1),
    ("rack-subnet", PAIR, edit("subnet:Subnet", lambda i: i.update(cidrBlock="10.112.240.0/23"), "rack"), 1),
    ("gpu-stack-place", RACK, edit(RELEASE, value("tolerations", [{"key": "team"}, {"key": "nvidia.com/gpu"}]), "efa-plugin"), 3),
    ("p6e-driver", RACK, edit(GROUP, lambda i: i.update(releaseVersion="1.35.0-20251103")), 2),
    ("p6e-driver", RACK, edit(GROUP, lambda i: i.pop("releaseVersion")), 2),
    ("rack-stranded", RACK, edit(DGD, set_resource("prefill", "memory", "2Ti")), 2),
    ("rack-stranded", RACK, edit(DGD, set_resource("prefill", "nvidia.com/gpu", "8")), 2),
    ("rack-stranded", RACK, edit(DGD, shared), 2),
    ("rack-stranded", RACK, edit(TEMPLATE, lambda i: i.update(instanceType="p6e-gb300.36xlarge")), 0),
    ("rack-stranded", RACK, drop(GROUP), 0),
    ("rack-stranded", RACK, both(drop(GROUP), edit(DGD, anywhere)), 0),
    ("domain-claims", RACK, edit(DGD, many(no_claim("prefill"), grove("prefill"))), 4),
    ("domain-claims", RACK, edit(DGD, lambda i: pod_spec(i, "prefill")["containers"].append(container(i, "prefill")["resources"].pop("claims") and sidecar)), 4),
    ("clique-placement", RACK, edit(DGD, many(packed(), off, *(lambda i, role=role: pod_spec(i, role).pop("affinity") for role in ("prefill", "decode")))), 2),
    ("clique-placement", RACK, edit(DGD, lambda i: near("decode")(i).update(labelSelector={})), 2),
    ("clique-placement", RACK, edit(DGD, lambda i: pod_spec(i, "decode")["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"].append(other_term)), 2),
    ("domain-outlives-workers", RACK, edit(DGD, many(no_claim("prefill"), no_claim("decode"))), 2),
    ("gang-scheduling", RACK, edit(RELEASE, lambda i: i.update(chart="oci://example.com/charts/ours"), "platform"), 1),
    ("gang-scheduling", RACK, edit(RELEASE, lambda i: i.update(version="9.9.9"), "platform"), 1),
    ("gang-scheduling", RACK, edit(DGD, packed()), 1),
    ("gang-scheduling", RACK, both(drop(RELEASE, "kai"), drop(RELEASE, "grove"), edit(DGD, one_node("decode"))), 0),
    ("rack-architecture", RACK, edit(DGD, many(off, placed("frontend"))), 0),
    ("files-from-local-zone", RACK, both(answered(availabilityZoneId="use1-az4"), no_zone), 0),
    ("files-from-local-zone", RACK, both(answered(availabilityZoneId="use1-az4"), no_zone, edit(DGD, anywhere)), 0),
    ("files-from-local-zone", RACK, edit(DGD, lambda i: i["spec"].pop("components")), 0),
    ("files-from-local-zone", RACK, first_option("tls"), 3),
    ("files-from-local-zone", RACK, both(no_zone, drop(":PersistentVolumeClaim", "model-cache")), 3),
    ("files-from-local-zone", RACK, edit(":PersistentVolumeClaim", lambda i: i["spec"].update(storageClassName="auto-ebs-sc"), "model-cache"), 3),
    ("files-from-local-zone", RACK, edit(DGD, lambda i: container(i, "decode").pop("volumeMounts")), 3),
    ("ladder-gates", RACK, beside(off), 1),
]  # fmt: skip
"""Rule, stack, an edit that the rule has nothing to say against, and how many subjects it looks at."""


@pytest.mark.parametrize("rule", LOOKED)
def test_looks_at_every_subject(rule: str) -> None:
    """A rule that looks at the first of two UltraServers lets the second be bought with the fault."""
    assert {item.subject for item in BY_ID[rule].check(recorded(PAIR)) if isinstance(item, Looked)} == LOOKED[rule]


@pytest.mark.parametrize(
    ("rule", "stack", "change", "looked"), HOLDS, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(HOLDS)]
)
def test_says_nothing_against(rule: str, stack: str, change: Edit, looked: int) -> None:
    """A finding that is none stops `make up` on the morning on which the block starts."""
    said = list(BY_ID[rule].check(change(recorded(stack))))
    assert [item for item in said if isinstance(item, Finding)] == []
    assert len({item.subject for item in said if isinstance(item, Looked)}) == looked
