"""Rules between keys: what is told of each edit of a happy file, and the edit beside it that is good."""

from __future__ import annotations

from typing import Any

import pytest

from components.network.zones import REGION_ZONES
from stacks.settings import SECTIONS
from tests.stacks.edited import ABSENT, Changes, rows, told

REGIONS = ", ".join(sorted(REGION_ZONES))
P, C, Q = "capacity.pools.gpu", "graphs.chat", "models.qwen"
"""Pool, graph and model of the happy file."""
LIMIT = {f"{P}.gpuLimit": 8}
BLOCK = {"kind": "capacityBlock", "start": "2026-12-01T11:30:00Z", "end": "2026-12-08T11:30:00Z"}
MOCKER = {"model": "qwen", "backend": "mocker", "transport": "none", "worker": {"gpus": 0}}
NLB = {"type": "nlb", "allowedCidrs": ["10.0.0.0/8"]}
SUBNETS = {
    "use1-az1": {"private": "subnet-0123456789abcdef0", "public": "subnet-0123456789abcdef2"},
    "use1-az2": {"private": "subnet-0123456789abcdef1", "public": "subnet-0123456789abcdef3"},
}
EXISTING = {
    "aws:region": ABSENT,
    "cluster": {"existing": {"kubeconfig": "~/.kube/config", "context": "kind"}},
    "capacity": ABSENT,
    "storage.storageClass": "standard",
    C: MOCKER,
}
"""An existing cluster, and what goes with it."""
SECRET = frozenset({"dynamo-eks:imagePullPassword", "dynamo-eks:huggingFaceToken"})


def there(**subnets: Any) -> dict[str, Any]:
    """An existing network."""
    return {"network": {"existing": {"vpcId": "vpc-0123456789abcdef0", "subnets": subnets}}}


def pool(**changes: Any) -> dict[str, Any]:
    return {"families": ["g6e"], "capacity": ["on-demand"], "gpuLimit": 8, **changes}


def reservation(**changes: Any) -> dict[str, Any]:
    """Two of the largest machines that the happy file's pool may launch."""
    one = {"id": "cr-0123456789abcdef0", "kind": "onDemand", "instanceType": "g6e.48xlarge"}
    return {**one, "zone": "use1-az1", "count": 2, **changes}


def reserving(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A second pool with these reservations."""
    reservations = [reservation(**item) for item in items]
    return {"capacity.pools.spare": pool(capacity=["reserved"], reservations=reservations, **changes)}


def chat(**changes: Any) -> dict[str, Any]:
    """An aggregated graph."""
    graph = {"model": "qwen", "backend": "vllm", "transport": "none", "worker": {"gpus": 1}}
    return {**graph, "placement": {"pool": "gpu"}, **changes}


def pair(
    transport: str,
    type_: str | None = None,
    /,
    prefill: dict[str, Any] | None = None,
    decode: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The happy file's graph with two roles."""
    place = {"pool": "gpu"} | ({"instanceType": type_} if type_ else {})
    both = {"prefill": {"gpus": 1, **(prefill or {})}, "decode": {"gpus": 1, **(decode or {})}}
    return {C: {"model": "qwen", "backend": "vllm", "transport": transport, "placement": place, **both, **changes}}


@pytest.mark.parametrize("stack", ["ordinary", "gb200"])
@pytest.mark.parametrize("value", [1, {"x": 1}])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_cannot_be_read_hides_what_follows_from_it(section: str, value: Any, stack: str) -> None:
    """One wrong key that is told ten times over sends people to nine places where nothing is wrong."""
    faults = told(stack, {section: value})
    assert (section == "tags" and value == {"x": 1}) or faults
    assert {fault.split(" ")[0].split(".")[0] for fault in faults} <= {section}


def test_sections_that_are_null_are_absent() -> None:
    """An emptied section is left behind by whoever comments its keys out."""
    assert told("ordinary", dict.fromkeys(("network", "storage", "gpu", "tags", "dynamo"))) == []


# --- existing clusters ------------------------------------------------------------------------------------------------

EXISTING_CLUSTERS = [
    ("all it needs", EXISTING),
    ("a region nobody knows", {**EXISTING, "aws:region": "nowhere-1"}),
    ("a gpu section", {**EXISTING, "gpu": {"driverBranch": 570}}, 'gpu | given {"driverBranch": 570} | expected no such section together with cluster.existing, which makes no AWS resource | fix remove gpu, or remove cluster.existing to have a cluster made'),
    ("capacity", {**EXISTING, "capacity": {"pools": {"gpu": {"families": ["g6e"], "capacity": ["spot"], "gpuLimit": 8}}}}, 'capacity | given {"pools": {"gpu": {"families": ["g6e"], "capacity": ["spot"], "gpuLimit": 8}}} | expected no such section together with cluster.existing, which makes no AWS resource | fix remove capacity, or remove cluster.existing to have a cluster made'),
    ("keys of a cluster to make", {**EXISTING, "cluster.version": "1.35", "cluster.name": "mine", "cluster.logs": []}, "cluster.logs | given [] | expected only existing and version here: an existing cluster is used as it is", 'cluster.name | given "mine" | expected only existing and version here: an existing cluster is used as it is'),
    ("no caches and no class", {**EXISTING, "storage": {"caches": []}, "models": ABSENT, "graphs": ABSENT}),
    ("caches without models", {**EXISTING, "storage": {"caches": ["perf-cache"], "storageClass": "standard"}, "models": ABSENT, "graphs": ABSENT}),
    ("caches without a class", {**EXISTING, "storage": {"caches": ["model-cache"]}}, "storage.storageClass | expected a storage class of the existing cluster, for the caches; the key is required | add | dynamo-eks:storage: | storageClass: standard"),
    ("efs", {**EXISTING, "storage.efs": {"backup": True}}, 'storage.efs | given {"backup": true} | expected no such key with cluster.existing, which makes no AWS resource'),
    ("one writer", {**EXISTING, "storage.accessMode": "ReadWriteOnce"}),
    ("a load balancer", {**EXISTING, C + ".exposure": NLB}, 'graphs.chat.exposure.type | given "nlb" | expected clusterIP: an NLB is made by EKS Auto Mode only'),
    ("a zone", {**EXISTING, C + ".placement": {"zone": "use1-az1"}}, 'graphs.chat.placement.zone | given "use1-az1" | expected nothing with cluster.existing, whose zones are its own matter'),
    ("one zone, asked for", {**EXISTING, C + ".placement": {"sameZone": True}}),
    ("a graph on an UltraServer", {**EXISTING, C: {"model": "qwen", "backend": "trtllm", "transport": "none", "computeDomain": "none", "worker": {"gpus": 4, "tensorParallel": 4}, "placement": {"ultraServer": "rack-a"}}}, 'graphs.chat.backend | given "trtllm" | expected mocker with cluster.existing, where the program makes no GPU capacity', 'graphs.chat.placement.ultraServer | given "rack-a" | expected an UltraServer of capacity: (none is defined)'),
]  # fmt: skip


@rows(EXISTING_CLUSTERS)
def test_existing_clusters(changes: Changes, faults: list[str]) -> None:
    """In a cluster of somebody else nothing of AWS is made, and nothing is passed over that was meant to be."""
    assert told("ordinary", changes) == faults


# --- clusters, versions and tags --------------------------------------------------------------------------------------

CLUSTERS = [
    ("a private endpoint", {"cluster.publicAccessCidrs": []}),
    ("an open endpoint that is meant", {"cluster.publicAccessCidrs": ["0.0.0.0/0"], "cluster.allowOpenEndpoint": True}),
    ("an open endpoint among others", {"cluster.publicAccessCidrs": ["52.95.4.0/24", "0.0.0.0/0"]}, 'cluster.publicAccessCidrs | given ["52.95.4.0/24", "0.0.0.0/0"] | expected ranges you know; 0.0.0.0/0 lets the whole internet reach the API endpoint | fix name your ranges, or set allowOpenEndpoint: true if it is meant'),
    ("both versions wrong", {"cluster.version": "1.30", "dynamo.version": "1.3.9"}, 'cluster.version | given "1.30" | expected one of 1.34, 1.35, 1.36'),
    ("Dynamo's version, beside a cluster that cannot be read", {"cluster": {"version": "1"}, "dynamo.version": "1.3.9"}, 'cluster.version | given "1" | expected a Kubernetes version in quotes, such as "1.35"', 'dynamo.version | given "1.3.9" | expected one of 1.4.0, 1.5.0, 1.6.1'),
    ("Dynamo cannot be read", {"dynamo": {"version": "1"}}, 'dynamo.version | given "1" | expected a release in quotes, such as "1.5.0"'),
    ("40 tags", {"tags": {f"k{n}": "v" for n in range(40)}}),
    ("41 tags", {"tags": {f"k{n}": "v" for n in range(41)}}, "tags | given 41 | expected at most 40 tags, since EC2 allows 50 in all"),
    ("tags of the program", {"tags": {"Stack": "a", "project": "b", "stacks": "c"}}, 'tags.Stack | given "a" | expected another key; project and stack are set by the program', 'tags.project | given "b" | expected another key; project and stack are set by the program'),
]  # fmt: skip


@rows(CLUSTERS)
def test_clusters(changes: Changes, faults: list[str]) -> None:
    """An endpoint open by oversight, or a version that EKS refuses after the VPC is made."""
    assert told("ordinary", changes) == faults


# --- networks ---------------------------------------------------------------------------------------------------------

NETWORKS = [
    ("one zone by its id", {"network.zones": ["use1-az4"]}, 'network.zones | given ["use1-az4"] | expected at least two zones, since EKS wants the control plane in two'),
    ("two zones", {"network.zones": ["use1-az4", "use1-az1"]}),
    ("as many zones as there are", {"aws:region": "eu-central-1", "network.zones": 3}),
    ("one more than there are", {"aws:region": "eu-central-1", "network.zones": 4}, "network.zones | given 4 | expected at most 3: eu-central-1 has no more zones that EKS supports (euc1-az1, euc1-az2, euc1-az3)"),
    ("a region whose zones nobody knows", {"aws:region": "nowhere-1", "network.zones": ["now1-az1", "now1-az2"]}, f"aws:region | given \"nowhere-1\" | expected one of {REGIONS}"),
    ("an unsupported zone of an existing network", there(**{"use1-az1": SUBNETS["use1-az1"], "use1-az3": SUBNETS["use1-az2"]}), 'network.existing.subnets | given "use1-az3" | expected zones that can hold an EKS control plane; use1-az3 cannot (EKS User Guide)'),
    ("a zone of two unsupported", {"network.zones": ["use1-az3", "use1-dfw2-az1", "use1-az1"]}, 'network.zones | given "use1-az3" | expected zones that can hold an EKS control plane; use1-az3 cannot (EKS User Guide)', 'network.zones | given "use1-dfw2-az1" | expected Availability Zones; use1-dfw2-az1 is a local-zone, where the control plane cannot be'),
    ("the same zone of two twice", {"network.zones": ["use1-az1", "use1-az2", "use1-az1", "use1-az2"]}, 'network.zones | given ["use1-az1", "use1-az2", "use1-az1", "use1-az2"] | expected each zone once; use1-az1 is there twice', 'network.zones | given ["use1-az1", "use1-az2", "use1-az1", "use1-az2"] | expected each zone once; use1-az2 is there twice'),
    ("the second range to avoid", {"network.avoid": ["10.0.0.0/16", "10.64.128.0/20"]}, 'network.avoid[1] | given "10.64.128.0/20" | expected a range apart from network.cidr (10.64.0.0/16); two connected networks must not overlap | fix choose another network.cidr before the VPC exists; afterwards it cannot change'),
    ("the second endpoint", {"network.interfaceEndpoints": ["ecr.api", "ecr.drk"]}, 'network.interfaceEndpoints[1] | given "ecr.drk" | expected one of autoscaling, ec2, ecr.api, ecr.dkr, eks, eks-auth, elasticfilesystem, elasticloadbalancing, kms, logs, monitoring, secretsmanager, ssm, sts; did you mean ecr.dkr?'),
]  # fmt: skip


@rows(NETWORKS)
def test_networks(changes: Changes, faults: list[str]) -> None:
    """A control plane in a zone that cannot hold it fails after the network is made."""
    assert told("ordinary", changes) == faults


# --- pools ------------------------------------------------------------------------------------------------------------

POOLS = [
    ("default", {"capacity.pools.default": pool()}, 'capacity.pools.default | given "default" | expected another name; EKS keeps default, system and general-purpose for its own'),
    ("system", {"capacity.pools.system": pool()}, 'capacity.pools.system | given "system" | expected another name; EKS keeps default, system and general-purpose for its own'),
    ("general-purpose", {"capacity.pools.general-purpose": pool()}, 'capacity.pools.general-purpose | given "general-purpose" | expected another name; EKS keeps default, system and general-purpose for its own'),
    ("504 hours", {P + ".expireAfter": "504h"}),
    ("504 hours in minutes and seconds", {P + ".expireAfter": "30239m60s"}),
    ("a second more", {P + ".expireAfter": "504h1s"}, 'capacity.pools.gpu.expireAfter | given "504h1s" | expected at most 504h, the 21 days that Auto Mode lets a node live'),
    ("minutes", {P + ".expireAfter": "30241m"}, 'capacity.pools.gpu.expireAfter | given "30241m" | expected at most 504h, the 21 days that Auto Mode lets a node live'),
    ("seconds", {P + ".expireAfter": "1814401s"}, 'capacity.pools.gpu.expireAfter | given "1814401s" | expected at most 504h, the 21 days that Auto Mode lets a node live'),
    ("a zone, where the region is misspelt", {"aws:region": "us-eest-1", P + ".zones": ["use1-az1"]}, f"aws:region | given \"us-eest-1\" | expected one of {REGIONS}; did you mean us-west-1?"),
    ("a zone of the network", {P + ".zones": ["use1-az1"]}),
    ("the second of two zones", {P + ".zones": ["use1-az1", "use1-az6"]}, 'capacity.pools.gpu.zones[1] | given "use1-az6" | expected a zone the network has: use1-az1, use1-az2, use1-az4; did you mean use1-az4?'),
    ("no graph but a mocker", {"capacity.pools.spare": pool(gpuLimit=None), "graphs.fake": MOCKER}, "capacity.pools.spare.gpuLimit | expected a limit, since no graph is placed on the pool to size it from; the key is required | add | dynamo-eks:capacity: | pools: | spare: | gpuLimit: 8"),
    ("a graph whose pool is misspelt", {C + ".placement.pool": "gpus"}, 'graphs.chat.placement.pool | given "gpus" | expected a pool of capacity: gpu; did you mean gpu?'),
    ("no graph, beside a pool that cannot be read", {"capacity.pools.spare": {"families": ["g6e"], "capacity": ["on-demand"]}, "capacity.pools.other": {"x": 1}}, "capacity.pools.other.capacity | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | other: | capacity: [spot, on-demand]", "capacity.pools.other.x | given 1 | expected no such key here, but capacity, consolidateAfter, disruptionBudget, ephemeralStorage, expireAfter, families, gpuLimit, instanceTypes, reservations, usesOpenReservations, weight, zones", "capacity.pools.spare.gpuLimit | expected a limit, since no graph is placed on the pool to size it from; the key is required | add | dynamo-eks:capacity: | pools: | spare: | gpuLimit: 8"),
    ("no graph, beside a graph that cannot be read", {"capacity.pools.spare": {"families": ["g6e"], "capacity": ["on-demand"]}, "graphs.other": {"preset": "x"}}, "graphs.other.model | expected a value; the key is required | add | dynamo-eks:graphs: | other: | model: qwen3-32b", 'graphs.other.preset | given "x" | expected one of deepseek-r1-wide-ep, glm-5-efa'),
    ("a type of a family that pools may not name", {P + ".instanceTypes": ["g6e.2xlarge", "g4dn.xlarge"]}, 'capacity.pools.gpu.instanceTypes[1] | given "g4dn.xlarge" | expected a type of a GPU family that pools may name: g5, g6, g6e, g7e, gr6, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300'),
    ("a type of an UltraServer", {P + ".instanceTypes": ["p6e-gb200.36xlarge"]}, 'capacity.pools.gpu.instanceTypes[0] | given "p6e-gb200.36xlarge" | expected a type that EKS Auto Mode supports; P6e-GB200 needs a managed node group on an UltraServer block | fix put the block under capacity.ultraServers'),
    ("an unknown type of a known family", {P + ".instanceTypes": ["g6e.3xlarge"]}, 'capacity.pools.gpu.instanceTypes[0] | given "g6e.3xlarge" | expected one of g6e.12xlarge, g6e.16xlarge, g6e.24xlarge, g6e.2xlarge, g6e.48xlarge, g6e.4xlarge, g6e.8xlarge, g6e.xlarge; did you mean g6e.xlarge?'),
    ("an unknown type of an unknown family", {P + ".instanceTypes": ["g6x.2xlarge"]}, 'capacity.pools.gpu.instanceTypes[0] | given "g6x.2xlarge" | expected a type of a GPU family that pools may name: g5, g6, g6e, g7e, gr6, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300; did you mean g6?'),
    ("types and no families", {P + ".families": [], P + ".instanceTypes": ["g6e.2xlarge"]}),
    ("the second family", {P + ".families": ["g6e", "g6x"]}, 'capacity.pools.gpu.families[1] | given "g6x" | expected a GPU family that pools may name: g5, g6, g6e, g7e, gr6, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300; did you mean g6?'),
    ("open reservations, and nobody names one", {P + ".usesOpenReservations": True}),
    ("two on open reservations", {P + ".usesOpenReservations": True, "capacity.pools.more": pool(usesOpenReservations=True), **reserving({})}, "capacity.pools.gpu.usesOpenReservations | given true | expected false: pool spare names its reservations, and once one NodeClass does, Auto Mode uses open reservations for none | fix name gpu's reservations too, or keep the two in different clusters", "capacity.pools.more.usesOpenReservations | given true | expected false: pool spare names its reservations, and once one NodeClass does, Auto Mode uses open reservations for none | fix name more's reservations too, or keep the two in different clusters"),
]  # fmt: skip


@rows(POOLS)
def test_pools(changes: Changes, faults: list[str]) -> None:
    """A pool that may launch nothing, or without limit."""
    assert told("ordinary", changes) == faults


# --- reservations -----------------------------------------------------------------------------------------------------

RESERVATIONS = [
    ("one by its id", reserving({})),
    ("one made here", reserving({"id": None, "create": True})),
    ("id and create", reserving({"create": True}), 'capacity.pools.spare.reservations[0] | given ["id", "create"] | expected exactly one of id, tags and create: true'),
    ("neither", reserving({"id": None}), "capacity.pools.spare.reservations[0] | given [] | expected exactly one of id, tags and create: true"),
    ("two by tags", reserving({"id": None, "tags": {"team": "a"}}, {"id": None, "tags": {"team": "b"}})),
    ("one by its id in two pools", {**reserving({}), "capacity.pools.other": pool(capacity=["reserved"], reservations=[reservation()])}, 'capacity.pools.other.reservations[0].id | given "cr-0123456789abcdef0" | expected another id; pool spare has it'),
    ("a block", reserving(BLOCK)),
    ("a block that ends as it starts", reserving({**BLOCK, "start": BLOCK["end"]}), "capacity.pools.spare.reservations[0].start | given 2026-12-08T11:30:00Z | expected a moment before end"),
    ("a block without start", reserving({"kind": "capacityBlock", "end": BLOCK["end"]})),
    ("a block without end", reserving({"kind": "capacityBlock", "start": BLOCK["end"]}), "capacity.pools.spare.reservations[0].end | expected the block's end, so that its draining can be planned; the key is required | add | end: \"2026-12-08T11:30:00Z\""),
    ("a block's end on the half hour", reserving({**BLOCK, "end": "2026-12-08T12:30:00Z"}), "capacity.pools.spare.reservations[0].end | given 2026-12-08T12:30:00Z | expected a moment at 11:30 UTC, when every Capacity Block ends (EC2 User Guide)"),
    ("an hour of an On-Demand reservation", reserving({"start": BLOCK["start"]}), "capacity.pools.spare.reservations[0].start | given 2026-12-01T11:30:00Z | expected no window on an On-Demand Capacity Reservation"),
    ("hours of an On-Demand reservation", reserving({"start": BLOCK["start"], "end": BLOCK["end"]}), "capacity.pools.spare.reservations[0].start | given 2026-12-01T11:30:00Z | expected no window on an On-Demand Capacity Reservation"),
    ("an unknown type", reserving({"instanceType": "g6e.3xlarge"}), 'capacity.pools.spare.reservations[0].instanceType | given "g6e.3xlarge" | expected one of g6e.12xlarge, g6e.16xlarge, g6e.24xlarge, g6e.2xlarge, g6e.48xlarge, g6e.4xlarge, g6e.8xlarge, g6e.xlarge; did you mean g6e.xlarge?'),
    ("a type of another family", reserving({"instanceType": "p5.48xlarge"}, families=["g6e", "g6"], instanceTypes=["p5.4xlarge"]), 'capacity.pools.spare.reservations[0].instanceType | given "p5.48xlarge" | expected a type the pool may launch (g6, g6e, p5.4xlarge); a reservation of another type is never used'),
    ("a type the pool names", reserving({"instanceType": "p5.48xlarge"}, families=[], instanceTypes=["p5.48xlarge"])),
    ("a zone where the region is misspelt", {"aws:region": "us-eest-1", **reserving({})}, f"aws:region | given \"us-eest-1\" | expected one of {REGIONS}; did you mean us-west-1?"),
    ("a zone that the pool is not in", reserving({"zone": "use1-az4"}, zones=["use1-az1", "use1-az2"]), 'capacity.pools.spare.reservations[0].zone | given "use1-az4" | expected a zone of the pool (use1-az1, use1-az2)'),
    ("a zone of the pool", reserving({"zone": "use1-az2"}, zones=["use1-az1", "use1-az2"])),
    ("after another purchase option", {"capacity.pools.spare": pool(capacity=["on-demand", "reserved"], reservations=[reservation()])}, 'capacity.pools.spare.capacity | given ["on-demand", "reserved"] | expected `reserved` first and its fallback after it'),
]  # fmt: skip


@rows(RESERVATIONS)
def test_reservations(changes: Changes, faults: list[str]) -> None:
    """A reservation that no node can use is paid for beside the nodes that take its place."""
    assert told("ordinary", changes) == faults


# --- storage ----------------------------------------------------------------------------------------------------------

STORES = [
    ("throughput provisioned", {"storage.efs": {"throughput": "provisioned", "provisionedMibps": 256}}),
    ("no models to keep", {"storage.caches": [], "models": ABSENT, "graphs": ABSENT, "capacity": ABSENT}),
    ("no cache for a graph that asks for none", {"storage.caches": ["model-cache"], C + ".compilationCache": False}),
    ("no cache for a backend that has none", {"storage.caches": ["model-cache"], C + ".backend": "sglang"}),
    ("cannot be read", {"storage": {"x": 1}}, "storage.x | given 1 | expected no such key here, but accessMode, cacheSizeGib, caches, efs, storageClass"),
    ("no class of its own, beside a cluster that cannot be read", {"cluster": {"version": "1"}, "storage.storageClass": "standard"}, 'cluster.version | given "1" | expected a Kubernetes version in quotes, such as "1.35"'),
]  # fmt: skip


@rows(STORES)
def test_stores(changes: Changes, faults: list[str]) -> None:
    """A claim that is missing keeps every worker that mounts it Pending."""
    assert told("ordinary", changes) == faults


# --- secrets and downloads --------------------------------------------------------------------------------------------

SECRETS = [
    ("a Secret that is there", {"dynamo.imagePullSecret": {"existing": "ngc"}}),
    ("neither a Secret nor a registry", {"dynamo.imagePullSecret": {}}, "dynamo.imagePullSecret | given {} | expected exactly one of existing and server"),
    ("a registry with its password", {"dynamo.imagePullSecret": {"server": "nvcr.io"}, "imagePullPassword": "x"}),
    ("a token in a Secret", {"dynamo.huggingFaceSecret": "hf"}),
    ("a token for a gated model", {Q + ".gated": True, "huggingFaceToken": "x"}),
    ("a Secret for a gated model", {Q + ".gated": True, "dynamo.huggingFaceSecret": "hf"}),
    ("a gated model, where Dynamo cannot be read", {Q + ".gated": True, "dynamo": {"version": "1"}}, 'dynamo.version | given "1" | expected a release in quotes, such as "1.5.0"'),
    ("memory for a capped buffer", {Q + ".download": {"memoryGib": 16}}),
    ("memory for a full buffer", {Q + ".download": {"memoryGib": 64, "xetBuffer": "full"}}),
    ("memory beside a Dynamo that cannot be read", {Q + ".download": {"memoryGib": 15}, "dynamo": {"version": "1"}}, 'dynamo.version | given "1" | expected a release in quotes, such as "1.5.0"', "models.qwen.download.memoryGib | given 15 | expected at least 16 with xetBuffer: capped; less is killed halfway | fix leave the key out"),
]  # fmt: skip


@rows(SECRETS)
def test_secrets(changes: Changes, faults: list[str]) -> None:
    """A gated model without a token fails an hour later, in the download."""
    assert told("ordinary", changes, SECRET) == faults


# --- graphs -----------------------------------------------------------------------------------------------------------

GRAPHS = [
    ("its model, where one cannot be read", {"models.qwen": {"x": 1}}, "models.qwen.repository | expected a value; the key is required | add | dynamo-eks:models: | qwen: | repository: Qwen/Qwen3-32B", 'models.qwen.revision | expected a value; the key is required | add | dynamo-eks:models: | qwen: | revision: "9216db5781bf21249d130ec9da846c4624c16137"', "models.qwen.x | given 1 | expected no such key here, but download, facts, gated, repository, revision"),
    ("63 characters of namespace and name", {C + ".namespace": "n" * 58}),
    ("64 characters", {C + ".namespace": "n" * 59}, 'graphs.chat.namespace | given "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" | expected at most 58 characters: namespace and graph name make one label of at most 63 (dynamo #11709)'),
    ("the operator's namespace, where Dynamo cannot be read", {C + ".namespace": "dynamo-system", "dynamo": {"version": "1"}}, 'dynamo.version | given "1" | expected a release in quotes, such as "1.5.0"'),
    ("no domain, as nowhere outside of a rack", {C + ".computeDomain": "none"}),
    ("prefill alone", {C + ".worker": ABSENT, C + ".prefill": {"gpus": 1}}, 'graphs.chat | given ["prefill"] | expected either worker (aggregated) or both prefill and decode (disaggregated)'),
    ("worker and decode", {C + ".decode": {"gpus": 1}}, 'graphs.chat | given ["decode", "worker"] | expected either worker (aggregated) or both prefill and decode (disaggregated)'),
    ("an image whose tag begins with its version", {C + ".image": {"repository": "r", "tag": "v1.5.0-efa"}}),
    ("an image whose tag is its version", {C + ".image": {"repository": "r", "tag": "12.15.10"}}),
    ("an image whose version is stated", {C + ".image": {"repository": "r", "tag": "latest", "runtimeVersion": "1.5.0"}}),
    ("an image with a version inside its tag", {C + ".image": {"repository": "r", "tag": "efa-1.5.0"}}, "graphs.chat.image.runtimeVersion | expected the runtime's version, since tag 'efa-1.5.0' does not begin with one and the operator refuses it; required | add | runtimeVersion: \"1.5.0\""),
    ("an image with half a version", {C + ".image": {"repository": "r", "tag": "1.5"}}, "graphs.chat.image.runtimeVersion | expected the runtime's version, since tag '1.5' does not begin with one and the operator refuses it; required | add | runtimeVersion: \"1.5.0\""),
]  # fmt: skip


@rows(GRAPHS)
def test_graphs(changes: Changes, faults: list[str]) -> None:
    """What the operator refuses is told before anything is made."""
    assert told("ordinary", changes) == faults


# --- names ------------------------------------------------------------------------------------------------------------


def beside(*names: str, version: str = "1.5.0", **changes: Any) -> dict[str, Any]:
    """Mockers beside the graph `chat`."""
    return {"dynamo.version": version, **{f"graphs.{name}": {**MOCKER, **changes} for name in names}}


def begins(other: str, name: str = "chat", version: str = "1.5.0") -> str:
    return f'graphs.{other} | given "{other}" | expected a name that does not begin with {name}: the frontend of {name} would serve the workers of {other} as its own, since Dynamo {version} finds them by the beginning of their name (dynamo #10990) | fix rename one of the two, give them two namespaces, or set dynamo.version: "1.6.1", with which both may stay'


def generation(other: str) -> str:
    return f'graphs.{other} | given "{other}" | expected a name that does not look like chat and a generation of its workers, which the frontend of chat would take it for | fix rename one of the two, or give them two namespaces'


NAMES = [
    ("apart", beside("large-chat", "cha-t", "talk")),
    ("a longer one", beside("chat-large"), begins("chat-large")),
    ("without a dash", beside("chat2"), begins("chat2")),
    ("a shorter one", beside("cha"), begins("chat", "cha")),
    ("three in a row", beside("cha", "chatty"), begins("chat", "cha"), begins("chatty", "cha"), begins("chatty")),
    ("the older release", beside("chat-large", version="1.4.0"), begins("chat-large", version="1.4.0")),
    ("another namespace", beside("chat-large", namespace="other")),
    ("a strict frontend", beside("chat-large", "chat2", "chat-1a2b3c4", "chat-1a2b3c4g", "chat-legacy2", version="1.6.1")),
    ("a strict frontend and a generation", beside("chat-1a2b3c4d", version="1.6.1"), generation("chat-1a2b3c4d")),
    ("a strict frontend and the generation before there were any", beside("chat-legacy", version="1.6.1"), generation("chat-legacy")),
    ("a generation in another namespace", beside("chat-1a2b3c4d", version="1.6.1", namespace="other")),
    ("a release nobody knows", beside("chat-large", version="9.9.9"), 'dynamo.version | given "9.9.9" | expected one of 1.4.0, 1.5.0, 1.6.1'),
]  # fmt: skip


@rows(NAMES)
def test_names(changes: Changes, faults: list[str]) -> None:
    """A frontend finds its workers by the beginning of a name (tests/engine/test_dynamo.py asks the real one): requests for
    one model would be answered by another's workers, and nothing would say so."""
    assert told("ordinary", changes) == faults


# --- exposure ---------------------------------------------------------------------------------------------------------

EXPOSURES = [
    ("public without a load balancer", {C + ".exposure": {"scheme": "public"}}, 'graphs.chat.exposure.type | given "clusterIP" | expected nlb, since scheme or allowedCidrs are given'),
    ("to a range", {C + ".exposure": NLB}),
    ("to everybody, which is meant", {C + ".exposure": {**NLB, "allowedCidrs": ["0.0.0.0/0"], "allowOpenAccess": True}}),
    ("to everybody", {C + ".exposure": {**NLB, "allowedCidrs": ["10.0.0.0/8", "0.0.0.0/0"]}}, 'graphs.chat.exposure.allowedCidrs | given ["10.0.0.0/8", "0.0.0.0/0"] | expected ranges you know; 0.0.0.0/0 lets anyone use the model, and the frontend asks for no password | fix name your ranges, or set allowOpenAccess: true if it is meant'),
    ("public in a network of its own", {C + ".exposure": {**NLB, "scheme": "public"}}),
    ("public in an existing network", {**there(**SUBNETS), C + ".exposure": {**NLB, "scheme": "public"}}),
    ("public where one zone has no public subnet", {**there(**{**SUBNETS, "use1-az2": {"private": "subnet-0123456789abcdef1"}}), C + ".exposure": {**NLB, "scheme": "public"}}, 'graphs.chat.exposure.scheme | given "public" | expected internal, or a public subnet in use1-az2'),
    ("internal there", {**there(**{**SUBNETS, "use1-az2": {"private": "subnet-0123456789abcdef1"}}), C + ".exposure": NLB}),
    ("public where the network cannot be read", {"network": {"x": 1}, C + ".exposure": {**NLB, "scheme": "public"}}, "network.x | given 1 | expected no such key here, but avoid, cidr, existing, flowLogs, interfaceEndpoints, localZones, nat, zones"),
]  # fmt: skip


@rows(EXPOSURES)
def test_exposures(changes: Changes, faults: list[str]) -> None:
    """A model open to everybody by oversight answers whoever asks, at the owner's cost."""
    assert told("ordinary", changes) == faults


# --- environment and arguments ----------------------------------------------------------------------------------------

ENVIRONMENTS = [
    ("the frontend's", {C + ".frontend.env": {"A": "1", "HF_HOME": "/x"}, C + ".frontend.extraArgs": ["--router-replica-sync", "--router-mode=kv"]}, 'graphs.chat.frontend.env.HF_HOME | given "/x" | expected another variable; the program sets this one from other keys', 'graphs.chat.frontend.extraArgs[1] | given "--router-mode=kv" | expected the key frontend.router instead of --router-mode'),
    ("what is moved", {C + ".frontend.extraArgs": ["--migration-limit=1"]}, 'graphs.chat.frontend.extraArgs[0] | given "--migration-limit=1" | expected the key frontend.migrationLimit instead of --migration-limit'),
    ("how long requests may finish", {C + ".worker.env": {"DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS": "5"}}, 'graphs.chat.worker.env.DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS | given "5" | expected another variable; the program sets this one from other keys'),
    ("a worker's", {C + ".worker.env": {"A": "1", "FI_PROVIDER": "tcp"}, C + ".worker.extraArgs": ["--enforce-eager", "--tp", "2"]}, 'graphs.chat.worker.env.FI_PROVIDER | given "tcp" | expected another variable; the program sets this one from other keys', 'graphs.chat.worker.extraArgs[1] | given "--tp" | expected the key tensorParallel instead of --tp'),
    ("both roles'", pair("tcp", None, prefill={"env": {"HF_HOME": "/x"}}, decode={"env": {"HF_HOME": "/x"}}), 'graphs.chat.decode.env.HF_HOME | given "/x" | expected another variable; the program sets this one from other keys', 'graphs.chat.prefill.env.HF_HOME | given "/x" | expected another variable; the program sets this one from other keys'),
    ("a token before an owned one", {C + ".worker.env": {"X": "hf_" + "a" * 20, "HF_TOKEN": "hf_" + "b" * 20}, C + ".worker.extraArgs": ["--t=nvapi-" + "a" * 20, "--tp=2"]}, 'graphs.chat.worker.env.HF_TOKEN | given "[hidden]" | expected no token in clear; it must be revoked and given as a secret | fix pulumi config set --secret dynamo-eks:huggingFaceToken', 'graphs.chat.worker.env.X | given "[hidden]" | expected no token in clear; it must be revoked and given as a secret | fix pulumi config set --secret dynamo-eks:huggingFaceToken', 'graphs.chat.worker.extraArgs[0] | given "[hidden]" | expected no token in clear; it must be revoked', 'graphs.chat.worker.extraArgs[1] | given "--tp=2" | expected the key tensorParallel instead of --tp'),
    ("almost a token", {C + ".worker.env": {"X": "hf_" + "a" * 19}}),
]  # fmt: skip


@rows(ENVIRONMENTS)
def test_environments(changes: Changes, faults: list[str]) -> None:
    """A token in clear is in every log; an argument given twice is taken without a word."""
    assert told("ordinary", changes) == faults


# --- workers ----------------------------------------------------------------------------------------------------------

WORKERS = [
    ("a mocker with a GPU", {"graphs.fake": {**MOCKER, "worker": {"gpus": 1}}}, "graphs.fake.worker.gpus | given 1 | expected 0, since the mocker computes nothing"),
    ("none", {C + ".worker.gpus": 0}, "graphs.chat.worker.gpus | given 0 | expected at least 1 for vllm; only the mocker runs without"),
    ("two by two", {C + ".worker": {"gpus": 4, "tensorParallel": 2, "pipelineParallel": 2}, C + ".placement": {"pool": "gpu"}}),
    ("product of the three", {C + ".worker": {"gpus": 4, "tensorParallel": 2, "pipelineParallel": 2, "dataParallel": 2}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.gpus | given 4 | expected 8: tensorParallel 2 x pipelineParallel 2 x dataParallel 2"),
    ("attention inside", {C + ".backend": "sglang", C + ".worker": {"gpus": 4, "tensorParallel": 4, "dataParallel": 2, "attentionDataParallel": True}, C + ".placement": {"pool": "gpu"}}),
    ("several nodes, wrong", {C + ".backend": "sglang", C + ".worker": {"gpus": 4, "nodes": 2, "tensorParallel": 8, "dataParallel": 2}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.nodes | given 2 | expected 1 in a pool: Karpenter launches nothing for pods of another scheduler (kubernetes-sigs/karpenter #742) | fix use a larger instance type, or an UltraServer", "graphs.chat.worker.nodes | given 2 | expected nodes x gpus (2 x 4 = 8) equal to 16: tensorParallel 8 x pipelineParallel 1 x dataParallel 2 | fix set attentionDataParallel: true, if data-parallel attention on these GPUs is meant"),
    ("several nodes, otherwise wrong", {C + ".backend": "sglang", C + ".worker": {"gpus": 4, "nodes": 2, "tensorParallel": 8, "dataParallel": 3}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.nodes | given 2 | expected 1 in a pool: Karpenter launches nothing for pods of another scheduler (kubernetes-sigs/karpenter #742) | fix use a larger instance type, or an UltraServer", "graphs.chat.worker.nodes | given 2 | expected nodes x gpus (2 x 4 = 8) equal to 24: tensorParallel 8 x pipelineParallel 1 x dataParallel 3 | fix set attentionDataParallel: true, if data-parallel attention on these GPUs is meant"),
    ("several nodes, wrong by another factor", {C + ".backend": "sglang", C + ".worker": {"gpus": 4, "nodes": 2, "tensorParallel": 4, "dataParallel": 3}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.nodes | given 2 | expected 1 in a pool: Karpenter launches nothing for pods of another scheduler (kubernetes-sigs/karpenter #742) | fix use a larger instance type, or an UltraServer", "graphs.chat.worker.nodes | given 2 | expected nodes x gpus (2 x 4 = 8) equal to 12: tensorParallel 4 x pipelineParallel 1 x dataParallel 3"),
    ("several nodes, vllm wrong", {C + ".worker": {"gpus": 4, "nodes": 2, "tensorParallel": 8, "dataParallel": 2}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.nodes | given 2 | expected 1 in a pool: Karpenter launches nothing for pods of another scheduler (kubernetes-sigs/karpenter #742) | fix use a larger instance type, or an UltraServer", "graphs.chat.worker.nodes | given 2 | expected nodes x gpus (2 x 4 = 8) equal to 16: tensorParallel 8 x pipelineParallel 1 x dataParallel 2"),
    ("KV over TCP from GPU memory", pair("tcp", prefill={"kvBufferDevice": "cuda"}, decode={"kvBufferDevice": "cpu"}), 'graphs.chat.prefill.kvBufferDevice | given "cuda" | expected cpu with transport: tcp, which cannot read GPU memory'),
    ("KV over EFA from GPU memory", pair("efa", "g6e.24xlarge", prefill={"kvBufferDevice": "cuda"})),
    ("EFA without EFA", pair("tcp", prefill={"efa": 1}, decode={"efa": 0}), "graphs.chat.prefill.efa | given 1 | expected no EFA with transport: tcp"),
    ("as large as its type", pair("efa", "g6e.24xlarge", prefill={"gpus": 4, "tensorParallel": 4, "efa": 2})),
    ("larger than its type", pair("efa", "g6e.24xlarge", prefill={"gpus": 5, "tensorParallel": 5, "efa": 3}, decode={"efa": 0}), "graphs.chat.decode.efa | given 0 | expected at least 1 with transport: efa", "graphs.chat.prefill.efa | given 3 | expected at most 2, what a g6e.24xlarge has", "graphs.chat.prefill.gpus | given 5 | expected at most 4, what a g6e.24xlarge has"),
    ("no EFA with TCP on its type", pair("tcp", "g6e.24xlarge", prefill={"efa": 0})),
]  # fmt: skip


@rows(WORKERS)
def test_workers(changes: Changes, faults: list[str]) -> None:
    """Ranks that are not the GPUs asked for end the engine after the model is loaded."""
    assert told("ordinary", changes) == faults


# --- placement --------------------------------------------------------------------------------------------------------

PLACEMENTS = [
    ("EFA across zones", pair("efa", placement={"pool": "gpu", "instanceType": "g6e.24xlarge", "sameZone": False}), "graphs.chat.placement.sameZone | given false | expected true with transport: efa, since EFA does not cross zones"),
    ("TCP across zones", pair("tcp", placement={"pool": "gpu", "sameZone": False})),
    ("a mocker's", {"graphs.fake": {**MOCKER, "placement": {"pool": "gpu", "instanceType": "g6e.2xlarge"}}}, 'graphs.fake.placement.instanceType | given "g6e.2xlarge" | expected nothing: the mocker runs on ordinary CPU nodes', 'graphs.fake.placement.pool | given "gpu" | expected nothing: the mocker runs on ordinary CPU nodes'),
    ("a mocker's reserved nodes", {"graphs.fake": {**MOCKER, "placement": {"reservedOnly": True}}}, "graphs.fake.placement.reservedOnly | given true | expected nothing: the mocker runs on ordinary CPU nodes"),
    ("a mocker's zone", {"graphs.fake": {**MOCKER, "placement": {"zone": "use1-az2"}}}),
    ("a mocker's zone without subnets", {"graphs.fake": {**MOCKER, "placement": {"zone": "use1-az9"}}}, "graphs.fake.placement.zone | given \"use1-az9\" | expected a zone of the network: use1-az1, use1-az2, use1-az4; did you mean use1-az4?"),
    ("a mocker's transport", {"graphs.fake": {**MOCKER, "transport": "efa", "worker": None, "prefill": {"gpus": 0}, "decode": {"gpus": 0}}}, 'graphs.fake.transport | given "efa" | expected tcp or none, since the mocker transfers nothing'),
    ("a mocker's over TCP", {"graphs.fake": {**MOCKER, "transport": "tcp", "worker": None, "prefill": {"gpus": 0}, "decode": {"gpus": 0}}}),
    ("in a pool that cannot be read", {P: {"x": 1}}, "capacity.pools.gpu.capacity | expected a value; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | capacity: [spot, on-demand]", "capacity.pools.gpu.x | given 1 | expected no such key here, but capacity, consolidateAfter, disruptionBudget, ephemeralStorage, expireAfter, families, gpuLimit, instanceTypes, reservations, usesOpenReservations, weight, zones"),
    ("where pools cannot be read", {"capacity.pools": []}, "capacity.pools | given [] | expected entries by name"),
    ("where capacity cannot be read", {"capacity": []}, "capacity | given [] | expected keys and values"),
    ("a zone of the network", {C + ".placement.zone": "use1-az2"}),
    ("a zone of no subnet", {C + ".placement.zone": "use1-az5"}, 'graphs.chat.placement.zone | given "use1-az5" | expected a zone of its pool: use1-az1, use1-az2, use1-az4; did you mean use1-az4?'),
    ("a zone of the pool", {C + ".placement.zone": "use1-az2", P + ".zones": ["use1-az2"]}),
    ("another zone than the pool's", {C + ".placement.zone": "use1-az1", P + ".zones": ["use1-az2"]}, 'graphs.chat.placement.zone | given "use1-az1" | expected a zone of its pool: use1-az2; did you mean use1-az2?'),
    ("a zone, where the region is misspelt", {"aws:region": "us-eest-1", C + ".placement.zone": "use1-az1"}, f"aws:region | given \"us-eest-1\" | expected one of {REGIONS}; did you mean us-west-1?"),
    ("EFA without a type", pair("efa"), "graphs.chat.placement.instanceType | expected a type with EFA, so that whole nodes can be asked for; the key is required | add | placement: {instanceType: g6e.24xlarge}"),
    ("the most a node of the pool has", {C + ".worker": {"gpus": 8, "tensorParallel": 8}, C + ".placement": {"pool": "gpu"}}),
    ("more than a node of the pool has", {C + ".worker": {"gpus": 9, "tensorParallel": 9}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.gpus | given 9 | expected at most 8, the most a node of pool gpu has"),
    ("more than a node of the pool's types has", {P + ".families": [], P + ".instanceTypes": ["g6e.12xlarge", "g6e.xlarge"], C + ".worker": {"gpus": 5, "tensorParallel": 5}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.gpus | given 5 | expected at most 4, the most a node of pool gpu has"),
    ("more than a node of one of both", {P + ".families": ["g6"], P + ".instanceTypes": ["g6e.12xlarge"], C + ".worker": {"gpus": 9, "tensorParallel": 9}, C + ".placement": {"pool": "gpu"}}, "graphs.chat.worker.gpus | given 9 | expected at most 8, the most a node of pool gpu has"),
    ("in a pool of an unknown type", {P + ".families": [], P + ".instanceTypes": ["g6e.3xlarge"], C + ".placement": {"pool": "gpu"}}, 'capacity.pools.gpu.instanceTypes[0] | given "g6e.3xlarge" | expected one of g6e.12xlarge, g6e.16xlarge, g6e.24xlarge, g6e.2xlarge, g6e.48xlarge, g6e.4xlarge, g6e.8xlarge, g6e.xlarge; did you mean g6e.xlarge?'),
    ("an unknown type", {C + ".placement.instanceType": "g6e.3xlarge"}, 'graphs.chat.placement.instanceType | given "g6e.3xlarge" | expected one of g6e.12xlarge, g6e.16xlarge, g6e.24xlarge, g6e.2xlarge, g6e.48xlarge, g6e.4xlarge, g6e.8xlarge, g6e.xlarge; did you mean g6e.xlarge?'),
    ("a type of another pool", {P + ".families": ["g6", "g5"], P + ".instanceTypes": ["g6e.xlarge"]}, 'graphs.chat.placement.instanceType | given "g6e.2xlarge" | expected a type that pool gpu may launch (g5, g6, g6e.xlarge)'),
    ("a type of a pool without types", {P + ".families": []}, "capacity.pools.gpu.families | expected families or instanceTypes; the key is required | add | dynamo-eks:capacity: | pools: | gpu: | families: [g6e]"),
    ("a type of a pool whose family is misspelt", {P + ".families": ["g6x"]}, 'capacity.pools.gpu.families[0] | given "g6x" | expected a GPU family that pools may name: g5, g6, g6e, g7e, gr6, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300; did you mean g6?'),
    ("a type that its pool names", {P + ".families": [], P + ".instanceTypes": ["g6e.2xlarge"]}),
    ("a type without EFA", pair("efa", "g6e.2xlarge"), 'graphs.chat.placement.instanceType | given "g6e.2xlarge" | expected a type with EFA, which g6e.2xlarge has not: g6e.8xlarge, g6e.16xlarge, g6e.12xlarge, g6e.24xlarge, g6e.48xlarge'),
    ("a type of a family without EFA", {**pair("efa", "g5g.xlarge")}, 'graphs.chat.placement.instanceType | given "g5g.xlarge" | expected a type that pool gpu may launch (g6e)', 'graphs.chat.placement.instanceType | given "g5g.xlarge" | expected a type with EFA, which g5g.xlarge has not'),
    ("a type without EFA over TCP", pair("tcp", "g6e.2xlarge")),
    ("a CPU type in a pool of every family", {P + ".families": ["g5", "g6", "g6e", "g7e", "gr6", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300"], C + ".placement.instanceType": "c7i.large"}, 'graphs.chat.placement.instanceType | given "c7i.large" | expected a type that pool gpu may launch (g5, g6, g6e, g7e, gr6, p4d, p4de, p5, p5e, p5en, p6-b200, p6-b300)', "graphs.chat.worker.gpus | given 1 | expected at most 0, what a c7i.large has"),
    ("a CPU type", {C + ".placement.instanceType": "c7i.large"}, 'graphs.chat.placement.instanceType | given "c7i.large" | expected a type that pool gpu may launch (g6e)', "graphs.chat.worker.gpus | given 1 | expected at most 0, what a c7i.large has"),
    ("EFA in an aggregated graph", {C + ".transport": "efa"}, 'graphs.chat.transport | given "efa" | expected none, since an aggregated graph transfers no KV blocks'),
]  # fmt: skip


@rows(PLACEMENTS)
def test_placements(changes: Changes, faults: list[str]) -> None:
    """A worker that no node of its pool can hold stays Pending."""
    assert told("ordinary", changes) == faults


# --- reserved only ----------------------------------------------------------------------------------------------------

RESERVED = [
    ("in a pool without", {C + ".placement.reservedOnly": True}, "graphs.chat.placement.reservedOnly | given true | expected false, or a pool with reserved capacity; gpu has none"),
    ("as many as there are", {**LIMIT, **reserving({}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("one too many", {**LIMIT, **reserving({}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 3}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 2 reserved g6e.48xlarge; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("one too many, on a pool that has nothing else", {**LIMIT, **reserving({}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 3}, placement={"pool": "spare", "instanceType": "g6e.48xlarge"})}, 'graphs.chat.placement.pool | given "spare" | expected workers that fit 2 reserved g6e.48xlarge; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`'),
    ("several share a node", {**LIMIT, **reserving({}), C: chat(worker={"gpus": 2, "tensorParallel": 2, "replicas": 8}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("several share a node, one too many", {**LIMIT, **reserving({}), C: chat(worker={"gpus": 2, "tensorParallel": 2, "replicas": 9}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 2 reserved g6e.48xlarge; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("three nodes' worth of GPUs on four nodes", {**LIMIT, **reserving({"count": 3}), C: chat(worker={"gpus": 6, "tensorParallel": 6, "replicas": 4}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 3 reserved g6e.48xlarge; these need 4 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("whole nodes with EFA", {**LIMIT, **reserving({}), **pair("efa", prefill={"replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 2 reserved g6e.48xlarge; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("parts of nodes with EFA", {**LIMIT, **reserving({}), **pair("efa", prefill={"replicas": 4, "efa": 1}, decode={"efa": 1}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("roles that share a node", {**LIMIT, **reserving({}), **pair("efa", prefill={"replicas": 5, "efa": 1}, decode={"efa": 1}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("parts of nodes with EFA, one too many", {**LIMIT, **reserving({}), **pair("efa", prefill={"replicas": 8, "efa": 1}, decode={"efa": 1}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 2 reserved g6e.48xlarge; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("of another type", {**LIMIT, **reserving({"instanceType": "g6e.24xlarge"}, {"id": "cr-0123456789abcdef1", "count": 1}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 1 reserved g6e.48xlarge; these need 2 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("two zones, and either holds it", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 1}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("two zones, and one holds it", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.zone | expected a zone whose reservations hold all workers: use1-az2. Where the first pod starts the others have to follow, and elsewhere too few are reserved; the key is required | add | placement: {zone: use1-az2}"),
    ("two zones, and the one that is named holds it", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True, "zone": "use1-az2"})}),
    ("two zones, and the one that is named does not", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True, "zone": "use1-az1"})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 1 reserved g6e.48xlarge; these need 2 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("two zones, which hold it together", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 3}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 2 reserved g6e.48xlarge in one zone; these need 3 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("two zones, over which it may spread", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 3}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True, "sameZone": False})}),
    ("two zones, over which it may spread, one too many", {**LIMIT, **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az2", "count": 2}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 4}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True, "sameZone": False})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 3 reserved g6e.48xlarge; these need 4 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("one zone in two reservations", {**LIMIT, **reserving({}, {"id": "cr-0123456789abcdef1"}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 4}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}),
    ("three zones, and two hold it", {**LIMIT, "network.zones": ["use1-az1", "use1-az2", "use1-az4"], **reserving({"count": 1}, {"id": "cr-0123456789abcdef1", "zone": "use1-az4"}, {"id": "cr-0123456789abcdef2", "zone": "use1-az2"}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 2}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.zone | expected a zone whose reservations hold all workers: use1-az2, use1-az4. Where the first pod starts the others have to follow, and elsewhere too few are reserved; the key is required | add | placement: {zone: use1-az2}"),
    ("none of the type", {**LIMIT, "network.zones": ["use1-az1", "use1-az2", "use1-az4"], **reserving({"instanceType": "g6e.24xlarge"}), C: chat(worker={"gpus": 8, "tensorParallel": 8, "replicas": 1}, placement={"pool": "spare", "instanceType": "g6e.48xlarge", "reservedOnly": True})}, "graphs.chat.placement.reservedOnly | given true | expected workers that fit 0 reserved g6e.48xlarge; these need 1 nodes | fix lower replicas, reserve more, or give the pool a fallback beside `reserved`"),
    ("reserved only on a CPU type", {**LIMIT, **reserving({}), C: chat(placement={"pool": "spare", "instanceType": "c7i.large", "reservedOnly": True})}, 'graphs.chat.placement.instanceType | given "c7i.large" | expected a type that pool spare may launch (g6e)', "graphs.chat.worker.gpus | given 1 | expected at most 0, what a c7i.large has"),
]  # fmt: skip


@rows(RESERVED)
def test_reserved_only(changes: Changes, faults: list[str]) -> None:
    """Workers bound to reserved nodes wait for ever where there are too few."""
    assert told("ordinary", changes) == faults
