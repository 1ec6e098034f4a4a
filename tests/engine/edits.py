"""Edits of the shipped stacks, and what the engine is expected to do with each: the blast radius, asserted.

An expectation is a list of `operation Type name` with wildcards in the name; everything the engine would change must
match one, and each must match something. Components are left out: they are only names for what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Edit:
    stack: str
    key: str
    """Setting, as in the stack file; `*` where an entry's own name stands."""
    what: str
    changes: Mapping[str, Any]
    """Values by dotted path; None removes a key."""
    expect: tuple[str, ...] = ()
    refused: str | None = None
    """Text of the refusal: a setting, when the engine refuses to let something protected go; else part of the report."""
    aws: tuple[str, ...] = ()
    """Ids of what AWS refuses of it, which the engine finds out in the middle of an `up` and `make up` before it."""
    note: str = ""
    """What follows and no engine can know."""

    @property
    def id(self) -> str:
        return f"{self.stack}-{self.key}-{self.what}".replace(" ", "-")


SMOKE = ("replace Job smoke-*", "replace ConfigMap smoke-*")
"""A changed graph is tested again."""

PLATFORM_CHECK = ("replace Job platform-check-job", "replace ConfigMap platform-check-program")

GRAPH = ("update DynamoGraphDeployment *", *SMOKE)


def _of(stack: str) -> Callable[..., Edit]:
    def edit(key: str, what: str, changes: Mapping[str, Any], *expect: str, **more: Any) -> Edit:
        return Edit(stack=stack, key=key, what=what, changes=changes, expect=expect, **more)

    return edit


_g6e, _mocker, _g7e, _p5, _pair = (
    _of("g6e-dev"),
    _of("mocker-local"),
    _of("g7e-staging"),
    _of("p5-reserved"),
    _of("gb200-pair"),
)

_ZONE = (
    "Subnet network-p*",
    "RouteTable network-private-*",
    "Route network-private-*-out",
    "RouteTableAssociation network-p*",
    "MountTarget files-*",
)

EDITS: tuple[Edit, ...] = (
    # --- account ---
    _g6e("account", "another one", {"account": "111122223333"}, "update aws aws"),
    _g6e("aws:profile", "a profile", {"aws:profile": "platform"}, "update aws aws", "update kubernetes kubernetes"),
    _g6e(
        "aws:assumeRoles", "a role", {"aws:assumeRoles": [{"roleArn": "arn:aws:iam::111122223333:role/deploy"}], "account": "111122223333"},
        "update aws aws", "update kubernetes kubernetes",
        note="The cluster lets in who made it: another role needs an entry under `cluster.admins` first.",
    ),
    # --- tags ---
    _g6e(
        "tags", "one more", {"tags.owner": "someone"},
        *(f"update {type_} *" for type_ in (
            "aws", "LogGroup", "Eip", "InternetGateway", "NatGateway", "RouteTable", "SecurityGroup", "Subnet", "Vpc",
            "VpcEndpoint", "FileSystem", "AccessEntry", "Addon", "Cluster", "Role", "Key", "SecurityGroupIngressRule",
            "SecurityGroupEgressRule",
        )),
        "update NodeClass pool-gpu-class", "replace StorageClass storage-ebs",
        note="Volumes that exist keep the tags they were made with.",
    ),
    _pair(
        "tags", "one more, with UltraServers", {"tags.owner": "someone"},
        *(f"update {type_} *" for type_ in (
            "aws", "LogGroup", "Eip", "InternetGateway", "NatGateway", "RouteTable", "SecurityGroup", "Subnet", "Vpc",
            "VpcEndpoint", "FileSystem", "AccessEntry", "Addon", "Cluster", "Role", "Key", "SecurityGroupIngressRule",
            "SecurityGroupEgressRule", "LaunchTemplate", "NodeGroup",
        )),
        "replace StorageClass storage-ebs",
        note="Nodes of a rack keep the tags of the `make up` that made their group; the next block's get the new ones.",
    ),
    # --- network ---
    _g6e("network.cidr", "another range", {"network.cidr": "10.65.0.0/16"}, refused="cluster.protect", aws=("gateway-with-addresses", "made")),
    _g6e(
        "network.zones", "a zone more", {"network.zones": 4},
        *(f"create {item}" for item in _ZONE),
        "update VpcEndpoint network-s3", "update Cluster main-eksCluster", "update NodeClass pool-gpu-class",
        "update NodePool pool-gpu-pool", aws=("cluster-zones",),
    ),
    _g6e(
        "network.zones", "a zone less", {"network.zones": 2},
        *(f"delete {item}" for item in _ZONE),
        "update VpcEndpoint network-s3", "update Cluster main-eksCluster", "update NodeClass pool-gpu-class",
        "update NodePool pool-gpu-pool", aws=("cluster-zones",),
    ),
    _p5(
        "network.zones", "a zone less, by id", {"network.zones": ["usw2-az2", "usw2-az3"]},
        *(f"delete {item}" for item in _ZONE), "delete Eip *", "delete NatGateway *",
        "update VpcEndpoint *", "update Cluster main-eksCluster", aws=("cluster-zones",),
    ),
    _g6e(
        "network.nat", "one in each zone", {"network.nat": "perZone"},
        "create Eip *", "create NatGateway *", "update Route network-private-*-out",
    ),
    _g7e(
        "network.nat", "one in all", {"network.nat": "single"},
        "delete Eip *", "delete NatGateway *", "update Route network-private-*-out",
        note="Connections through the gateways that go are cut.",
    ),
    _g6e(
        "network.interfaceEndpoints", "the first", {"network.interfaceEndpoints": ["ecr.api"]},
        "create SecurityGroup network-endpoints", "create VpcEndpoint network-ecr-api",
        "create SecurityGroupIngressRule network-endpoints-https",
    ),
    _g7e(
        "network.interfaceEndpoints", "one less", {"network.interfaceEndpoints": ["ecr.api", "ecr.dkr"]},
        "delete VpcEndpoint network-sts",
    ),
    _g6e(
        "network.flowLogs", "on", {"network.flowLogs": {"retentionDays": 7}},
        "create LogGroup network-flow", "create FlowLog network-flow", "create Role network-flow",
        "create RolePolicy network-flow",
    ),
    _g7e("network.flowLogs.retentionDays", "longer", {"network.flowLogs.retentionDays": 30}, "update LogGroup network-flow"),
    # --- cluster ---
    _g6e("cluster.name", "another", {"cluster.name": "other"}, refused="cluster.protect"),
    _g6e("cluster.version", "next minor", {"cluster.version": "1.36"}, "update Cluster main-eksCluster"),
    _g6e(
        "cluster.version", "back by one", {"cluster.version": "1.34"}, "update Cluster main-eksCluster",
        aws=("kubernetes-falls",),
    ),
    _pair(
        "cluster.version", "too new for UltraServers", {"cluster.version": "1.36"},
        refused="1.34 or 1.35 with UltraServers",
    ),
    _g6e(
        "cluster.admins", "one more",
        {"cluster.admins": ["<admin-role-arn>", "arn:aws:iam::111122223333:role/oncall"]},
        "create AccessEntry main-oncall-*", "create AccessPolicyAssociation main-oncall-*",
    ),
    _g6e(
        "cluster.publicAccessCidrs", "others", {"cluster.publicAccessCidrs": ["52.94.76.0/24"]},
        "update Cluster main-eksCluster",
    ),
    _g6e(
        "cluster.publicAccessCidrs", "none", {"cluster.publicAccessCidrs": []}, "update Cluster main-eksCluster",
        note="From then on `make up` works from inside the VPC only.",
    ),
    _g6e(
        "cluster.logs", "none", {"cluster.logs": []}, "delete LogGroup main-logs", "update Cluster main-eksCluster",
        note="The logs written so far are gone.",
    ),
    _g6e("cluster.logRetentionDays", "shorter", {"cluster.logRetentionDays": 7}, "update LogGroup main-logs"),
    _g6e("cluster.deletionProtection", "on", {"cluster.deletionProtection": True}, "update Cluster main-eksCluster"),
    _g6e("cluster.protect", "off", {"cluster.protect": False}),
    _mocker(
        "cluster.existing.context", "another", {"cluster.existing.context": "kind-other"},
        "replace kubernetes kubernetes", "replace Namespace *", "replace PersistentVolumeClaim *", "replace Job *",
        "replace ConfigMap *", "replace ServiceAccount *", "replace Role *", "replace RoleBinding *",
        "replace Release platform-release", "replace DynamoGraphDeployment *", "replace PodDisruptionBudget *",
        note="Made in the new cluster, deleted in the old one.",
    ),
    # --- capacity ---
    _g6e("capacity.pools.*.capacity", "on-demand only", {"capacity.pools.gpu.capacity": ["on-demand"]}, "update NodePool pool-gpu-pool"),
    _g6e("capacity.pools.*.families", "one more", {"capacity.pools.gpu.families": ["g6e", "g6"]}, "update NodePool pool-gpu-pool"),
    _g6e("capacity.pools.*.weight", "given", {"capacity.pools.gpu.weight": 10}, "update NodePool pool-gpu-pool"),
    _g6e("capacity.pools.*.expireAfter", "shorter", {"capacity.pools.gpu.expireAfter": "168h"}, "update NodePool pool-gpu-pool"),
    _g6e(
        "capacity.pools.*.ephemeralStorage", "larger", {"capacity.pools.gpu.ephemeralStorage": {"sizeGib": 200}},
        "update NodeClass pool-gpu-class",
    ),
    _g6e(
        "capacity.pools", "renamed",
        {
            "capacity.pools": {"l40s": {"families": ["g6e"], "capacity": ["spot", "on-demand"]}},
            "graphs.vllm-agg.placement.pool": "l40s",
            "graphs.vllm-disagg-tcp.placement.pool": "l40s",
        },
        "create NodeClass pool-l40s-class", "create NodePool pool-l40s-pool", "delete NodeClass pool-gpu-class",
        "delete NodePool pool-gpu-pool", *GRAPH,
    ),
    _g6e(
        "capacity.pools", "the last one, with its graphs", {"capacity": None, "graphs": None, "models": None},
        "delete DynamoGraphDeployment *", "delete NodePool *", "delete NodeClass *", "delete Job *", "delete ConfigMap *",
        "delete ServiceAccount *", "delete Role *", "delete RoleBinding *", "delete Namespace namespace-dynamo-*",
        "delete PersistentVolumeClaim *", "delete RolePolicyAttachment nodes-*", "delete AccessEntry nodes-*",
        "delete AccessPolicyAssociation nodes-*",
        note="The files of the caches stay on EFS.",
    ),
    _p5(
        "capacity.pools.*.reservations.count", "one more", {"capacity.pools.reserved.reservations.0.count": 3},
        "update CapacityReservation pool-reserved-reservation-0", "update NodePool pool-reserved-pool",
    ),
    _p5(
        "capacity.pools.*.reservations.zone", "another", {"capacity.pools.reserved.reservations.0.zone": "usw2-az1"},
        refused="capacity.pools.<pool>.reservations[].protect",
    ),
    _p5(
        "capacity.pools.*.reservations", "the one made here removed",
        {
            "capacity.pools.reserved.reservations": [],
            "capacity.pools.reserved.capacity": ["on-demand"],
            "graphs.vllm-disagg-p5.placement.reservedOnly": False,
        },
        refused="capacity.pools.<pool>.reservations[].protect",
    ),
    _p5(
        "capacity.pools.*.reservations.id", "another block",
        {"capacity.pools.block.reservations.0.id": "cr-0a1b2c3d4e5f60799"}, "update NodeClass pool-block-class",
        "update NodePool pool-block-pool",
    ),
    _p5(
        "capacity.pools.*.reservations.end", "a block extended",
        {"capacity.pools.block.reservations.0.end": "2026-12-22T11:30:00Z"}, "update NodePool pool-block-pool",
    ),
    _pair(
        "capacity.ultraServers.*.reservation", "another block",
        {"capacity.ultraServers.rack-a.reservation": "cr-0a1b2c3d4e5f60799"},
        refused="capacity.ultraServers.<name>.protect",
    ),
    _pair(
        "capacity.ultraServers.*.end", "extended", {"capacity.ultraServers.rack-b.end": "2026-12-22T11:30:00Z"},
        "update Schedule nodes-rack-b-*-drain",
    ),
    _pair(
        "capacity.ultraServers.*.drainMinutes", "more", {"capacity.ultraServers.rack-a.drainMinutes": 120},
        "update Schedule nodes-rack-a-*-drain",
    ),
    _pair(
        "capacity.ultraServers.*.amiRelease", "another",
        {"capacity.ultraServers.rack-a.amiRelease": "1.35.7-20261101"}, "update NodeGroup nodes-rack-a-*",
        aws=("rack-runs",),
    ),
    _pair(
        "capacity.ultraServers.*.amiRelease", "an older one",
        {"capacity.ultraServers.rack-b.amiRelease": "1.35.7-20260801"}, "update NodeGroup nodes-rack-b-*",
        aws=("rack-runs", "node-release-falls"),
    ),
    _pair(
        "capacity.ultraServers.*.rootVolumeGib", "larger", {"capacity.ultraServers.rack-a.rootVolumeGib": 300},
        "update LaunchTemplate nodes-rack-a-*", "update NodeGroup nodes-rack-a-*", aws=("rack-runs",),
    ),
    _pair(
        "capacity.ultraServers.*.nodeRepair", "on", {"capacity.ultraServers.rack-a.nodeRepair": True},
        "update NodeGroup nodes-rack-a-*",
    ),
    _pair(
        "capacity.ultraServers.*.efaInterfaces", "on one rack of two", {"capacity.ultraServers.rack-a.efaInterfaces": 8},
        refused="make the two alike",
    ),
    _pair(
        "capacity.ultraServers.*.verify", "no bandwidth tests",
        {"capacity.ultraServers.rack-a.verify": ["devices", "imex"]},
        "delete Job verify-rack-a-*", "delete ConfigMap verify-rack-a-*", "delete MPIJob verify-rack-a-*",
        "update Role verify-rack-a-role",
    ),
    _pair(
        "capacity.ultraServers", "one that a graph uses removed", {"capacity.ultraServers.rack-b": None},
        refused="an UltraServer of capacity",
    ),
    # --- GPU stack ---
    _pair("gpu.operator.version", "another", {"gpu.operator.version": "26.3.3"}, "update Release gpu-operator-release"),
    _pair(
        "gpu.draDriver.version", "the other chart", {"gpu.draDriver.version": "0.4.1"}, "replace Release dra-driver-release",
        note="Claims do not survive it: drain the racks first.",
    ),
    # --- storage ---
    _g6e("storage.efs.throughput", "bursting", {"storage.efs.throughput": "bursting"}, "update FileSystem files-efs"),
    _g6e("storage.efs.backup", "on", {"storage.efs.backup": True}, "create BackupPolicy files-backup"),
    _g6e(
        "storage.caches", "one less", {"storage.caches": ["model-cache", "compilation-cache"]},
        "delete PersistentVolumeClaim namespace-dynamo-perf-cache",
    ),
    _g6e("storage.cacheSizeGib", "larger, on EFS", {"storage.cacheSizeGib": 50}),
    _mocker(
        "storage.cacheSizeGib", "larger, another class", {"storage.cacheSizeGib": 20},
        refused="PersistentVolumeClaim",
        note="Where the class resizes volumes it is carried out in place.",
    ),
    _mocker(
        "storage.storageClass", "another", {"storage.storageClass": "fast"},
        "replace PersistentVolumeClaim namespace-dynamo-model-cache", "replace Job cache-*",
        "replace DynamoGraphDeployment graph-mocker-graph",
        note="The graph goes first, the claim is made again, the model downloaded again, the graph made last.",
    ),
    # --- Dynamo ---
    _g6e(
        "dynamo.version", "another", {"dynamo.version": "1.4.0"},
        "update Release platform-release", *PLATFORM_CHECK, *GRAPH,
    ),
    _g6e("dynamo.version", "one that is not known", {"dynamo.version": "1.3.0"}, refused="one of 1.4.0, 1.5.0"),
    _g6e(
        "dynamo.namespace", "another", {"dynamo.namespace": "dynamo-platform"},
        "replace Namespace platform-namespace", "replace Release platform-release", *PLATFORM_CHECK,
        "replace ServiceAccount platform-check-account",
    ),
    _mocker(
        "dynamo.check", "off", {"dynamo.check": False}, "delete Job platform-check-job",
        "delete ConfigMap platform-check-program", "delete ServiceAccount platform-check-account",
    ),
    # --- models ---
    _g6e(
        "models.*.revision", "another commit", {"models.qwen3-0-6b.revision": "0" * 39 + "1"},
        "replace Job cache-dynamo-*", *GRAPH,
    ),
    _g6e(
        "models", "renamed",
        {
            "models": {"small": {"repository": "Qwen/Qwen3-0.6B", "revision": "c1899de289a04d12100db370d81485cdf75e47ca"}},
            "graphs.vllm-agg.model": "small",
            "graphs.vllm-disagg-tcp.model": "small",
        },
        "create Job cache-dynamo-small-job", "delete Job cache-dynamo-qwen3-0-6b-job",
    ),
    # --- graphs ---
    _g6e(
        "graphs.*.worker.replicas", "one more", {"graphs.vllm-agg.worker.replicas": 2}, *GRAPH,
        "update NodePool pool-gpu-pool", "create PodDisruptionBudget graph-vllm-agg-budget-worker",
    ),
    _g6e(
        "graphs.*.frontend.replicas", "one more", {"graphs.vllm-agg.frontend.replicas": 2}, *GRAPH,
        "create PodDisruptionBudget graph-vllm-agg-budget-frontend",
    ),
    _pair(
        "graphs.*.decode.replicas", "one less, on a rack", {"graphs.glm-5.decode.replicas": 1}, *GRAPH
    ),
    _mocker("graphs.*.frontend.migrationLimit", "off", {"graphs.mocker.frontend.migrationLimit": 0}, *GRAPH),
    _mocker("graphs.*.frontend.router", "another", {"graphs.mocker.frontend.router": "round-robin"}, *GRAPH),
    _g6e("graphs.*.kvBlockTokens", "another", {"graphs.vllm-agg.kvBlockTokens": 32}, *GRAPH),
    _g6e(
        "graphs.*.worker.extraArgs", "one", {"graphs.vllm-agg.worker.extraArgs": ["--max-model-len=4096"]}, *GRAPH
    ),
    _g6e(
        "graphs.*.image", "another", {"graphs.vllm-agg.image": {"repository": "example.com/vllm", "tag": "1.5.0-mine"}},
        *GRAPH,
    ),
    _g6e(
        "graphs.*.backend", "another", {"graphs.vllm-agg.backend": "sglang"},
        "replace DynamoGraphDeployment graph-vllm-agg-graph", *SMOKE,
    ),
    _g6e(
        "graphs.*.worker", "split into prefill and decode",
        {
            "graphs.vllm-agg.worker": None,
            "graphs.vllm-agg.prefill": {"gpus": 1},
            "graphs.vllm-agg.decode": {"gpus": 1},
            "graphs.vllm-agg.transport": "tcp",
        },
        "replace DynamoGraphDeployment graph-vllm-agg-graph", *SMOKE, "update NodePool pool-gpu-pool",
    ),
    _g7e("graphs.*.transport", "TCP for EFA", {"graphs.vllm-disagg-efa.transport": "tcp"}, *GRAPH),
    _g7e(
        "graphs.*.prefill.efa", "none, with EFA as transport", {"graphs.vllm-disagg-efa.prefill.efa": 0},
        refused="at least 1 with transport: efa",
    ),
    _g6e(
        "graphs.*.namespace", "another", {"graphs.vllm-agg.namespace": "chat"},
        "create Namespace namespace-chat-namespace", "create PersistentVolumeClaim namespace-chat-*",
        "create Job cache-chat-*", "replace DynamoGraphDeployment graph-vllm-agg-graph", *SMOKE,
        "replace ServiceAccount smoke-*", "replace Role smoke-*", "replace RoleBinding smoke-*",
    ),
    _g6e(
        "graphs", "one renamed",
        {
            "graphs.chat": {
                "model": "qwen3-0-6b",
                "backend": "vllm",
                "transport": "tcp",
                "prefill": {"gpus": 1},
                "decode": {"gpus": 1},
                "placement": {"pool": "gpu", "instanceType": "g6e.2xlarge", "antiAffinity": "required"},
            },
            "graphs.vllm-disagg-tcp": None,
        },
        "create DynamoGraphDeployment graph-chat-graph", "delete DynamoGraphDeployment graph-vllm-disagg-tcp-graph",
        note="The new one is made before the old one goes: both need room for a while.",
    ),
    _g6e(
        "graphs", "one less", {"graphs.vllm-disagg-tcp": None},
        "delete DynamoGraphDeployment graph-vllm-disagg-tcp-graph", "update NodePool pool-gpu-pool",
    ),
    _g6e(
        "graphs.*.exposure.type", "nlb", {"graphs.vllm-agg.exposure": {"type": "nlb", "allowedCidrs": ["10.0.0.0/8"]}},
        "create Service graph-vllm-agg-nlb",
    ),
    _g7e("graphs.*.exposure.type", "clusterIP", {"graphs.vllm-disagg-efa.exposure": None}, "delete Service *-nlb"),
    _g7e("graphs.*.exposure.port", "another", {"graphs.vllm-disagg-efa.exposure.port": 8080}, "update Service *-nlb"),
    _g7e(
        "graphs.*.exposure.scheme", "public", {"graphs.vllm-disagg-efa.exposure.scheme": "public"}, "update Service *-nlb",
        note="AWS makes another load balancer, with another name.",
    ),
    _g6e(
        "graphs.*.smokeTest", "off", {"graphs.vllm-agg.smokeTest": None},
        "delete Job smoke-*", "delete ConfigMap smoke-*", "delete ServiceAccount smoke-*", "delete Role smoke-*",
        "delete RoleBinding smoke-*",
    ),
)  # fmt: skip
