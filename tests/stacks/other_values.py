"""For every key of a stack file another value that the settings accept, in a stack in which the key means something.

A row is the stack, what its file says beforehand beside what is shipped, and the edit. Keys of `worker` stand for those of `prefill`
and `decode`, which are the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[str, Mapping[str, Any], Mapping[str, Any]]

DEV, STAGING, P5, RACK, PAIR, LOCAL = (
    "g6e-dev",
    "g7e-staging",
    "p5-reserved",
    "gb200-prod",
    "gb200-pair",
    "mocker-local",
)
AGG, EFA, WIDE, CHAT = "graphs.vllm-agg", "graphs.vllm-disagg-efa", "graphs.r1-wide-ep", "graphs.mocker"
POOL, BLOCK, UNIT = "capacity.pools.gpu", "capacity.pools.block", "capacity.ultraServers.rack-a"
SUBNETS = {
    "use1-az1": {"private": "subnet-00000000000000001", "public": "subnet-00000000000000011"},
    "use1-az2": {"private": "subnet-00000000000000002"},
}
RACK_SUBNETS = {zone: {"private": f"subnet-0000000000000003{zone[-1]}"} for zone in ("use1-az4", "use1-az5")}
IN_A_VPC = {"network": {"existing": {"vpcId": "vpc-00000000000000001", "subnets": SUBNETS}}}
NLB = {f"{AGG}.exposure": {"type": "nlb", "allowedCidrs": ["10.0.0.0/8"]}}
IMAGE = {f"{AGG}.image": {"repository": "registry.example.com/vllm", "tag": "1.5.0"}}
LOGIN = {"dynamo.imagePullSecret": {"server": "registry.example.com"}, "imagePullPassword": "hidden"}
ROLE = {"roleArn": "arn:aws:iam::111122223333:role/deploy"}
RESERVED = "capacity.pools.reserved.reservations"
OURS = {"create": True, "kind": "onDemand", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2}
THERE = {
    "id": "cr-0123456789abcdef0",
    "kind": "onDemand",
    "instanceType": "p5.48xlarge",
    "zone": "usw2-az2",
    "count": 2,
}
BOUGHT = {
    "id": "cr-0123456789abcdef1", "kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2,
    "start": "2026-12-01T11:30:00Z", "end": "2026-12-15T11:30:00Z",
}  # fmt: skip
ONE_RACK = {
    "graphs.glm-5.prefill.replicas": 2, "graphs.glm-5.decode.replicas": 1, "graphs.glm-5.computeDomain": "perGraph",
    "graphs.glm-5.decode.ultraServer": "rack-b",
}  # fmt: skip
ALONE = {
    "graphs": {
        "glm-5": {
            "model": "glm-5", "backend": "vllm", "transport": "none", "computeDomain": "none",
            "worker": {"gpus": 4, "tensorParallel": 4}, "placement": {"ultraServer": "rack-a"},
        }
    }
}  # fmt: skip
PLACED = {
    **ONE_RACK, "graphs.glm-5.prefill.ultraServer": None, "graphs.glm-5.decode.ultraServer": None,
    "graphs.glm-5.placement": {"ultraServer": "rack-b"},
}  # fmt: skip


def _worker(key: str, value: Any, **before: Any) -> Row:
    return DEV, {f"{AGG}.worker.{name}": item for name, item in before.items()}, {f"{AGG}.worker.{key}": value}


def _graph(key: str, value: Any, stack: str = DEV, graph: str = AGG, before: Mapping[str, Any] | None = None) -> Row:
    return stack, before or {}, {f"{graph}.{key}": value}


def _pool(key: str, value: Any) -> Row:
    return DEV, {}, {f"{POOL}.{key}": value}


def _rack(key: str, value: Any) -> Row:
    return RACK, {}, {f"{UNIT}.{key}": value}


def _block(**change: Any) -> Row:
    return P5, {f"{BLOCK}.reservations": [BOUGHT]}, {f"{BLOCK}.reservations": [{**BOUGHT, **change}]}


OTHER: Mapping[str, Row] = {
    "aws:region": (DEV, {}, {"aws:region": "us-west-2"}),
    "account": (DEV, {}, {"account": "444455556666"}),
    "aws:profile": (DEV, {}, {"aws:profile": "platform"}),
    "aws:assumeRoles[].roleArn": (DEV, {}, {"aws:assumeRoles": [ROLE]}),
    "aws:assumeRoles[].sessionName": (
        DEV, {"aws:assumeRoles": [ROLE]}, {"aws:assumeRoles": [{**ROLE, "sessionName": "deploy"}]},
    ),
    "aws:assumeRoles[].duration": (DEV, {"aws:assumeRoles": [ROLE]}, {"aws:assumeRoles": [{**ROLE, "duration": "2h"}]}),
    "aws:allowedAccountIds": (DEV, {"account": None}, {"aws:allowedAccountIds": ["111122223333"]}),
    "tags": (DEV, {}, {"tags.reviewed": "yes"}),
    "network.cidr": (DEV, {}, {"network.cidr": "10.65.0.0/16"}),
    "network.zones": (DEV, {}, {"network.zones": 2}),
    "network.nat": (DEV, {}, {"network.nat": "perZone"}),
    "network.interfaceEndpoints": (DEV, {}, {"network.interfaceEndpoints": ["sts"]}),
    "network.existing.vpcId": (DEV, IN_A_VPC, {"network.existing.vpcId": "vpc-00000000000000002"}),
    "network.existing.subnets.<name>.private": (
        DEV, IN_A_VPC, {"network.existing.subnets.use1-az1.private": "subnet-00000000000000003"},
    ),
    "network.existing.ultraServerSubnets": (
        RACK,
        {"network": {"existing": {"vpcId": "vpc-00000000000000001", "subnets": RACK_SUBNETS,
                                  "ultraServerSubnets": {"use1-dfw2-az1": "subnet-00000000000000021"}}}},
        {"network.existing.ultraServerSubnets": {"use1-dfw2-az1": "subnet-00000000000000022"}},
    ),
    "network.flowLogs.retentionDays": (STAGING, {}, {"network.flowLogs.retentionDays": 30}),
    "network.localZones.optIn": (RACK, {}, {"network.localZones.optIn": False}),
    "network.localZones.natZone": (RACK, {}, {"network.localZones.natZone": "use1-az5"}),
    "cluster.name": (DEV, {}, {"cluster.name": "other"}),
    "cluster.version": (DEV, {}, {"cluster.version": "1.36"}),
    "cluster.support": (DEV, {}, {"cluster.support": "EXTENDED"}),
    "cluster.admins": (DEV, {}, {"cluster.admins": ["arn:aws:iam::111122223333:role/other"]}),
    "cluster.publicAccessCidrs": (DEV, {}, {"cluster.publicAccessCidrs": ["52.95.4.7/32"]}),
    "cluster.allowOpenEndpoint": (
        DEV, {}, {"cluster.publicAccessCidrs": ["0.0.0.0/0"], "cluster.allowOpenEndpoint": True},
    ),
    "cluster.logs": (DEV, {}, {"cluster.logs": ["audit"]}),
    "cluster.logRetentionDays": (DEV, {}, {"cluster.logRetentionDays": 7}),
    "cluster.deletionProtection": (DEV, {}, {"cluster.deletionProtection": True}),
    "cluster.protect": (DEV, {}, {"cluster.protect": False}),
    "cluster.existing.kubeconfig": (LOCAL, {}, {"cluster.existing.kubeconfig": "~/.kube/other"}),
    "cluster.existing.context": (LOCAL, {}, {"cluster.existing.context": "kind-other"}),
    "capacity.pools.<name>.families": _pool("families", ["g6e", "g7e"]),
    "capacity.pools.<name>.instanceTypes": _pool("instanceTypes", ["g6e.2xlarge"]),
    "capacity.pools.<name>.capacity": _pool("capacity", ["on-demand"]),
    "capacity.pools.<name>.reservations[].id": (P5, {RESERVED: [OURS]}, {RESERVED: [THERE]}),
    "capacity.pools.<name>.reservations[].tags": (
        P5, {RESERVED: [OURS]}, {RESERVED: [{**{k: v for k, v in OURS.items() if k != "create"}, "tags": {"team": "a"}}]},
    ),
    "capacity.pools.<name>.reservations[].create": (P5, {RESERVED: [THERE]}, {RESERVED: [OURS]}),
    "capacity.pools.<name>.reservations[].kind": (P5, {RESERVED: [THERE]}, {RESERVED: [{**BOUGHT, "id": THERE["id"]}]}),
    "capacity.pools.<name>.reservations[].instanceType": (
        P5,
        {RESERVED: [THERE], "capacity.pools.reserved.families": ["p5", "p5en"]},
        {RESERVED: [{**THERE, "instanceType": "p5en.48xlarge"}], "graphs.vllm-disagg-p5.placement.instanceType": "p5en.48xlarge"},
    ),
    "capacity.pools.<name>.reservations[].zone": (P5, {RESERVED: [OURS]}, {RESERVED: [{**OURS, "zone": "usw2-az1"}]}),
    "capacity.pools.<name>.reservations[].count": (P5, {RESERVED: [OURS]}, {RESERVED: [{**OURS, "count": 3}]}),
    "capacity.pools.<name>.reservations[].end": _block(end="2026-12-16T11:30:00Z"),
    "capacity.pools.<name>.reservations[].upfrontFeeUsd": _block(upfrontFeeUsd=30_000),
    "capacity.pools.<name>.reservations[].protect": (P5, {RESERVED: [OURS]}, {RESERVED: [{**OURS, "protect": False}]}),
    "capacity.pools.<name>.usesOpenReservations": _pool("usesOpenReservations", True),
    "capacity.pools.<name>.zones": (
        DEV, {"network.zones": ["use1-az1", "use1-az2", "use1-az4"]}, {f"{POOL}.zones": ["use1-az1"]},
    ),
    "capacity.pools.<name>.gpuLimit": _pool("gpuLimit", 16),
    "capacity.pools.<name>.consolidateAfter": _pool("consolidateAfter", "600s"),
    "capacity.pools.<name>.expireAfter": _pool("expireAfter", "168h"),
    "capacity.pools.<name>.disruptionBudget": _pool("disruptionBudget", "1"),
    "capacity.pools.<name>.ephemeralStorage.sizeGib": _pool("ephemeralStorage.sizeGib", 200),
    "capacity.pools.<name>.ephemeralStorage.iops": _pool("ephemeralStorage.iops", 4000),
    "capacity.pools.<name>.ephemeralStorage.throughputMibps": _pool("ephemeralStorage.throughputMibps", 250),
    "capacity.pools.<name>.weight": _pool("weight", 10),
    "capacity.ultraServers.<name>.reservation": _rack("reservation", "cr-0123456789abcdef9"),
    "capacity.ultraServers.<name>.type": (PAIR, {}, {f"{UNIT}.type": "u-p6e-gb200x72"}),
    "capacity.ultraServers.<name>.zone": _rack("zone", "use1-dfw2-az2"),
    "capacity.ultraServers.<name>.start": _rack("start", "2026-12-02T11:30:00Z"),
    "capacity.ultraServers.<name>.end": _rack("end", "2026-12-09T11:30:00Z"),
    "capacity.ultraServers.<name>.upfrontFeeUsd": _rack("upfrontFeeUsd", 120_000),
    "capacity.ultraServers.<name>.drainMinutes": _rack("drainMinutes", 120),
    "capacity.ultraServers.<name>.efaInterfaces": (
        PAIR, {}, {f"{UNIT}.efaInterfaces": 8, "capacity.ultraServers.rack-b.efaInterfaces": 8},
    ),
    "capacity.ultraServers.<name>.amiRelease": _rack("amiRelease", "1.35.0-20260101"),
    "capacity.ultraServers.<name>.rootVolumeGib": _rack("rootVolumeGib", 300),
    "capacity.ultraServers.<name>.hugePagesMib": _rack("hugePagesMib", 5120),
    "capacity.ultraServers.<name>.nodeRepair": _rack("nodeRepair", True),
    "capacity.ultraServers.<name>.protect": _rack("protect", False),
    "capacity.ultraServers.<name>.verify": _rack("verify", ["devices", "imex"]),
    "gpu.operator.version": (RACK, {}, {"gpu.operator.version": "26.7.0"}),
    "gpu.operator.values": (RACK, {}, {"gpu.operator.values": {"dcgmExporter": {"enabled": False}}}),
    "gpu.draDriver.version": (RACK, {}, {"gpu.draDriver.version": "25.12.0"}),
    "gpu.draDriver.values": (RACK, {}, {"gpu.draDriver.values": {"logVerbosity": "5"}}),
    "gpu.efaPlugin.values": (RACK, {}, {"gpu.efaPlugin.values": {"priorityClassName": ""}}),
    "storage.efs.throughput": (DEV, {}, {"storage.efs.throughput": "bursting"}),
    "storage.efs.provisionedMibps": (
        DEV, {"storage.efs": {"throughput": "provisioned", "provisionedMibps": 100}}, {"storage.efs.provisionedMibps": 200},
    ),
    "storage.efs.backup": (DEV, {}, {"storage.efs.backup": True}),
    "storage.efs.protect": (DEV, {}, {"storage.efs.protect": False}),
    "storage.caches": (DEV, {}, {"storage.caches": ["model-cache", "compilation-cache"]}),
    "storage.cacheSizeGib": (LOCAL, {}, {"storage.cacheSizeGib": 20}),
    "storage.storageClass": (LOCAL, {}, {"storage.storageClass": "local-path"}),
    "storage.accessMode": (LOCAL, {}, {"storage.accessMode": "ReadWriteMany"}),
    "dynamo.version": (DEV, {}, {"dynamo.version": "1.6.1"}),
    "dynamo.namespace": (DEV, {}, {"dynamo.namespace": "platform"}),
    "dynamo.huggingFaceSecret": (LOCAL, {}, {"dynamo.huggingFaceSecret": "hf"}),
    "dynamo.imagePullSecret.existing": (DEV, {}, {"dynamo.imagePullSecret": {"existing": "pull"}}),
    "dynamo.imagePullSecret.server": (DEV, {}, LOGIN),
    "dynamo.podMonitors": (DEV, {}, {"dynamo.podMonitors": True}),
    "dynamo.prometheusEndpoint": (DEV, {}, {"dynamo.prometheusEndpoint": "http://prometheus.monitoring:9090"}),
    "dynamo.check": (DEV, {}, {"dynamo.check": False}),
    "models.<name>.repository": (DEV, {}, {"models.qwen3-0-6b.repository": "Qwen/Qwen3-4B"}),
    "models.<name>.revision": (DEV, {}, {"models.qwen3-0-6b.revision": "0" * 40}),
    "models.<name>.download.xetBuffer": (DEV, {}, {"models.qwen3-0-6b.download.xetBuffer": "full"}),
    "models.<name>.download.memoryGib": (DEV, {}, {"models.qwen3-0-6b.download.memoryGib": 32}),
    "models.<name>.download.timeoutMinutes": (DEV, {}, {"models.qwen3-0-6b.download.timeoutMinutes": 60}),
    "models.<name>.download.retries": (DEV, {}, {"models.qwen3-0-6b.download.retries": 5}),
    "graphs.<name>.model": (
        DEV,
        {
            "models.other": {"repository": "Qwen/Qwen3-4B", "revision": "1" * 40},
            # A model that nobody names is refused.
            f"{AGG}.frontend.env": {"OTHER": "{models.other}"},
        },
        {f"{AGG}.model": "other"},
    ),
    "graphs.<name>.backend": _graph("backend", "sglang"),
    "graphs.<name>.transport": (
        STAGING, {}, {f"{EFA}.transport": "tcp", f"{EFA}.placement.sameZone": True},
    ),
    "graphs.<name>.computeDomain": (PAIR, ALONE, {"graphs.glm-5.computeDomain": "perGraph"}),
    "graphs.<name>.weights": _graph("weights", "cache", RACK, WIDE),
    "graphs.<name>.hostIpc": _graph("hostIpc", False, RACK, WIDE),
    "graphs.<name>.namespace": _graph("namespace", "serving"),
    "graphs.<name>.servedModelName": _graph("servedModelName", "chat"),
    "graphs.<name>.frontend.replicas": _graph("frontend.replicas", 2),
    "graphs.<name>.frontend.scaledBy": _graph("frontend.scaledBy", "others"),
    "graphs.<name>.frontend.router": _graph("frontend.router", "kv"),
    "graphs.<name>.frontend.migrationLimit": _graph("frontend.migrationLimit", 0),
    "graphs.<name>.frontend.cpu": _graph("frontend.cpu", "2"),
    "graphs.<name>.frontend.memory": _graph("frontend.memory", "4Gi"),
    "graphs.<name>.frontend.extraArgs": _graph("frontend.extraArgs", ["--router-temperature", "0.5"]),
    "graphs.<name>.frontend.env": _graph("frontend.env", {"DYN_LOG": "debug"}),
    "graphs.<name>.worker.replicas": _worker("replicas", 2),
    "graphs.<name>.worker.scaledBy": _worker("scaledBy", "others"),
    "graphs.<name>.worker.nodes": (
        RACK, {}, {f"{WIDE}.decode.nodes": 4, f"{WIDE}.decode.tensorParallel": 16, f"{WIDE}.decode.expertParallel": 16},
    ),
    "graphs.<name>.worker.gpus": (
        DEV,
        {},
        {f"{AGG}.worker": {"gpus": 2, "tensorParallel": 2}, f"{AGG}.placement.instanceType": "g6e.12xlarge"},
    ),
    "graphs.<name>.worker.tensorParallel": (
        DEV,
        {f"{AGG}.worker": {"gpus": 2, "dataParallel": 2}, f"{AGG}.placement.instanceType": "g6e.12xlarge"},
        {f"{AGG}.worker": {"gpus": 2, "tensorParallel": 2}},
    ),
    "graphs.<name>.worker.pipelineParallel": (
        DEV,
        {f"{AGG}.worker": {"gpus": 2, "tensorParallel": 2}, f"{AGG}.placement.instanceType": "g6e.12xlarge"},
        {f"{AGG}.worker": {"gpus": 2, "pipelineParallel": 2}},
    ),
    "graphs.<name>.worker.dataParallel": (
        DEV,
        {f"{AGG}.worker": {"gpus": 2, "tensorParallel": 2}, f"{AGG}.placement.instanceType": "g6e.12xlarge"},
        {f"{AGG}.worker": {"gpus": 2, "dataParallel": 2}},
    ),
    "graphs.<name>.worker.expertParallel": (RACK, {}, {f"{WIDE}.prefill.expertParallel": 1}),
    "graphs.<name>.worker.attentionDataParallel": (RACK, {}, {f"{WIDE}.prefill.attentionDataParallel": False}),
    "graphs.<name>.worker.ultraServer": (
        PAIR, ONE_RACK, {"graphs.glm-5.prefill.ultraServer": "rack-a", "graphs.glm-5.decode.ultraServer": "rack-a"},
    ),
    "graphs.<name>.worker.hugePagesMib": (PAIR, {}, {"graphs.glm-5.prefill.hugePagesMib": 2560}),
    "graphs.<name>.worker.engine": (RACK, {}, {f"{WIDE}.prefill.engine": {"max_batch_size": 16}}),
    "graphs.<name>.worker.efa": (P5, {}, {"graphs.vllm-disagg-p5.prefill.efa": 16}),
    "graphs.<name>.worker.kvBufferDevice": (STAGING, {}, {f"{EFA}.prefill.kvBufferDevice": "cpu"}),
    "graphs.<name>.worker.cpu": _worker("cpu", "4"),
    "graphs.<name>.worker.memory": _worker("memory", "40Gi"),
    "graphs.<name>.worker.sharedMemory": _worker("sharedMemory", "8Gi"),
    "graphs.<name>.worker.extraArgs": _worker("extraArgs", ["--enforce-eager"]),
    "graphs.<name>.worker.env": _worker("env", {"VLLM_LOGGING_LEVEL": "DEBUG"}),
    "graphs.<name>.placement.pool": (
        DEV,
        {"capacity.pools.second": {"families": ["g6e"], "capacity": ["on-demand"], "gpuLimit": 8}},
        {f"{AGG}.placement.pool": "second"},
    ),
    "graphs.<name>.placement.ultraServer": (PAIR, PLACED, {"graphs.glm-5.placement.ultraServer": "rack-a"}),
    "graphs.<name>.placement.instanceType": _graph("placement.instanceType", "g6e.4xlarge"),
    "graphs.<name>.placement.zone": (
        DEV, {"network.zones": ["use1-az1", "use1-az2", "use1-az4"]}, {f"{AGG}.placement.zone": "use1-az1"},
    ),
    "graphs.<name>.placement.sameZone": _graph("placement.sameZone", False),
    "graphs.<name>.placement.antiAffinity": (DEV, {}, {"graphs.vllm-disagg-tcp.placement.antiAffinity": "preferred"}),
    "graphs.<name>.placement.reservedOnly": (P5, {}, {"graphs.vllm-disagg-p5.placement.reservedOnly": False}),
    "graphs.<name>.exposure.type": (DEV, {}, NLB),
    "graphs.<name>.exposure.scheme": (DEV, NLB, {f"{AGG}.exposure.scheme": "public"}),
    "graphs.<name>.exposure.allowedCidrs": (DEV, NLB, {f"{AGG}.exposure.allowedCidrs": ["10.1.0.0/16"]}),
    "graphs.<name>.exposure.allowOpenAccess": (
        DEV, NLB, {f"{AGG}.exposure.allowedCidrs": ["0.0.0.0/0"], f"{AGG}.exposure.allowOpenAccess": True},
    ),
    "graphs.<name>.exposure.port": (DEV, NLB, {f"{AGG}.exposure.port": 8080}),
    "graphs.<name>.image.repository": (DEV, {}, IMAGE),
    "graphs.<name>.image.tag": (DEV, IMAGE, {f"{AGG}.image.tag": "1.5.1"}),
    "graphs.<name>.image.runtimeVersion": (
        DEV, {**IMAGE, f"{AGG}.image.tag": "nightly-7", f"{AGG}.image.runtimeVersion": "1.5.0"},
        {f"{AGG}.image.runtimeVersion": "1.5.1"},
    ),
    "graphs.<name>.efaSecurity": (STAGING, {}, {f"{EFA}.efaSecurity": "privileged"}),
    "graphs.<name>.compilationCache": _graph("compilationCache", False),
    "graphs.<name>.podMonitor": (DEV, {"dynamo.podMonitors": True}, {f"{AGG}.podMonitor": False}),
    "graphs.<name>.speedupRatio": (LOCAL, {}, {f"{CHAT}.speedupRatio": 5}),
    "graphs.<name>.kvBlockTokens": _graph("kvBlockTokens", 32),
    "graphs.<name>.tokensPerSecond": _graph("tokensPerSecond", 2500),
    "graphs.<name>.terminationGraceSeconds": _graph("terminationGraceSeconds", 300),
    "graphs.<name>.rollout.maxSurge": _graph("rollout", {"maxSurge": "1"}),
    "graphs.<name>.rollout.maxUnavailable": _graph("rollout", {"maxUnavailable": "1"}),
    "graphs.<name>.podDisruptionBudget": (DEV, {f"{AGG}.worker.replicas": 2}, {f"{AGG}.podDisruptionBudget": False}),
    "graphs.<name>.smokeTest.timeoutMinutes": _graph("smokeTest.timeoutMinutes", 60),
}  # fmt: skip

EXEMPT: Mapping[str, str] = {
    "network.existing.subnets.<name>.public": "is read and checked; load balancers find it by its tag",
    "network.avoid": "refuses an address range that overlaps, and makes nothing",
    "capacity.pools.<name>.reservations[].start": "compared with what EC2 says of the block",
    "capacity.ultraServers.<name>.instanceType": "has one value until another type's network cards are known",
    "gpu.driverBranch": "has one value until another branch is known to work",
    "gpu.efaPlugin.version": "has one value until another release is known to work",
    "models.<name>.gated": "is judged: a gated model needs a token",
    "graphs.<name>.preset": "brings other keys along, each of which has its row",
    "graphs.<name>.placement.anyUltraServer": "needs racks that are alike; tests/dynamo renders it",
    "review.allow": "lets a rule fail for a reason, and makes nothing",
    "dynamo.imagePullSecret.username": "stands in a Secret, and a recording holds nothing of what is secret",
    "huggingFaceToken": "a recording holds nothing of what is secret",
    "imagePullPassword": "a recording holds nothing of what is secret",
}
"""Keys without a row, each with why."""

JUDGED = "models.<name>.facts."
"""Keys of what is known of a model: judged against the GPUs, and nothing is made of them."""
