"""What rules find beyond the one case each has in test_each_rule.py, each by one edit of a stack where the rule holds."""

from __future__ import annotations

from typing import Any

import pytest

from recording.graph import Graph, Node
from tests.conftest import recorded
from tests.rules.test_each_rule import (
    BY_ID,
    CLASS,
    DGD,
    GROUP,
    PAIR,
    POOL,
    RACK,
    Edit,
    G,
    at,
    block,
    both,
    component,
    container,
    drop,
    edit,
    no_backends,
    nothing,
    pod_spec,
    rebuilt,
    reserve,
    set_env,
    set_requirement,
    set_resource,
    twice,
    untied,
)
from tests.rules.test_ultraserver_rules import FINDINGS

P5, G7E, LOCAL = "p5-reserved", "g7e-staging", "mocker-local"
CLUSTER, RELEASE, SUBNET, ROUTE = "eks/cluster:Cluster", ":Release", "subnet:Subnet", "route:Route"
MOUNT, JOB, KUBERNETES = "MountTarget", "v1:Job", "providers:kubernetes"
FAMILY, TYPE = "eks.amazonaws.com/instance-family", "node.kubernetes.io/instance-type"
PURCHASE, POOL_LABEL, ZONE = "karpenter.sh/capacity-type", "karpenter.sh/nodepool", "topology.kubernetes.io/zone"
GPU, EFA, OPEN = "nvidia.com/gpu", "vpc.amazonaws.com/efa", "dynamo-eks/open-reservations"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
FRONTEND, PREFILL = (f"spec/components/{position}/podTemplate/spec" for position in (0, 1))


def put(path: str, new: Any = ...) -> Any:
    """Set an input by its path, with `~1` for a slash in a key; without a value the key is taken away."""

    def change(here: Any) -> None:
        *parents, last = (part.replace("~1", "/") for part in path.split("/"))
        for part in parents:
            here = here[int(part) if isinstance(here, list) else part]
        if new is ...:
            del here[last]
        else:
            here[last] = new

    return change


def added(type_: str, name: str, inputs: dict[str, Any], **options: Any) -> Edit:
    """One more resource, the last."""

    def apply(graph: Graph) -> Graph:
        order = len(graph) + 1
        node = Node(order, type_, name, f"urn:pulumi:x::y::{type_}::{name}", inputs=inputs, outputs=inputs, **options)
        return rebuilt(graph, [*graph, node])

    return apply


def without(type_: str, name: str = "") -> Edit:
    """All resources of a type gone."""
    return lambda graph: rebuilt(graph, [node for node in graph if not (type_ in node.type and name in node.name)])


def each(type_: str, change: Any, name: str = "", **options: Any) -> Edit:
    """Change all resources of a type."""

    def apply(graph: Graph) -> Graph:
        for node in graph:
            if node.type.endswith(type_) and name in node.name:
                graph = edit(type_, change, node.name, **options)(graph)
        return graph

    return apply


def same(graph: Graph) -> Graph:
    """The stack as it is."""
    return graph


def previewed(graph: Graph) -> Graph:
    """The same stack in its first preview, in which nothing computed is known."""
    return recorded(graph.stack, preview=True)


def secret(name: str, **inputs: Any) -> Edit:
    """A Secret of the namespace dynamo."""
    metadata = {"name": name, "namespace": "dynamo"}
    return added("kubernetes:core/v1:Secret", name, {"kind": "Secret", "metadata": metadata, **inputs})


def two_targets(graph: Graph) -> Graph:
    """The second mount target in the first one's zone."""
    first = next(node for node in graph if node.type.endswith(MOUNT))
    return edit(MOUNT, put("subnetId", first.inputs["subnetId"]), "az2")(graph)


def flags(**given: Any) -> Any:
    """Change how the API endpoint is reached."""
    return lambda i: i["vpcConfig"].update(given)


def many(*changes: Any) -> Any:
    """Several changes of one resource's inputs."""
    return lambda i: [change(i) for change in changes]


def require(key: str, *values: str) -> Any:
    """One more requirement of a pool."""
    return lambda i: i["spec"]["template"]["spec"]["requirements"].append(
        {"key": key, "operator": "In", "values": list(values)}
    )


def annotated(**given: str) -> Any:
    return lambda i: i["metadata"].update(annotations={**i["metadata"].get("annotations", {}), **given})


def placed(role: str, label: str, value: str) -> Any:
    return lambda i: pod_spec(i, role)["nodeSelector"].update({label: value})


def unplaced(role: str, label: str) -> Any:
    return lambda i: pod_spec(i, role)["nodeSelector"].pop(label)


def zones(*names: str) -> Any:
    """Let the frontend run in these zones."""
    terms = {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": list(names)}]}]}
    return lambda i: pod_spec(i, "frontend")["affinity"].update(nodeAffinity={REQUIRED: terms})


def small(role: str, gpus: str) -> Any:
    """A worker without EFA that leaves room on its node."""
    return many(*(set_resource(role, *pair) for pair in ((GPU, gpus), (EFA, "0"), ("memory", "100Gi"), ("cpu", "8"))))


def subnet(zone: str, **inputs: Any) -> Edit:
    """A subnet in another zone."""
    return added("aws:ec2/subnet:Subnet", zone, {"availabilityZoneId": zone, **inputs})


def replaced(role: str, old: str, new: str) -> Any:
    """Another word on the command line."""
    return lambda i: container(i, role).update(
        args=[str(word).replace(old, new) for word in container(i, role)["args"]]
    )


def memory(**given: str) -> Any:
    """Memory of a Job's first container, as request or limit."""

    def change(inputs: dict[str, Any]) -> None:
        for part, amount in given.items():
            inputs["spec"]["template"]["spec"]["containers"][0]["resources"][part]["memory"] = amount

    return change


def fast(inputs: dict[str, Any]) -> None:
    """Download with more memory at once."""
    for item in inputs["spec"]["template"]["spec"]["containers"][0]["env"]:
        if item["name"] == "HF_XET_HIGH_PERFORMANCE":
            item["value"] = "1"


MORE: list[tuple[str, str, Edit, str]] = [
    ("no-clear-secrets", G, edit(DGD, lambda i: set_env(i, "worker", "HF_HOME", "hf_" + "a" * 34)), "holds something shaped like a token in clear"),
    ("no-clear-secrets", G, secret("own", data={"given": "[secret]", "token": "aGY="}), "data.token is not a Pulumi secret"),
    ("no-clear-secrets", G, secret("own", stringData={"given": "[secret]", "token": "hf"}), "stringData.token is not a Pulumi secret"),
    ("no-clear-secrets", G, both(secret("own", data="[secret]"), secret("other", data={"token": "aGY="})), "data.token is not a Pulumi secret"),
    ("protected", G, edit(CLUSTER, nothing, protect=False), "is not protected (cluster.protect: false)"),
    ("protected", G, edit("kms/key:Key", nothing, protect=False), "is not protected (cluster.protect: false)"),
    ("protected", G, edit("vpc:Vpc", nothing, protect=False), "is not protected (cluster.protect: false)"),
    ("protected", P5, edit("CapacityReservation", nothing, protect=False), "is not protected"),
    ("protected", RACK, edit(GROUP, nothing, protect=False), "is not protected (capacity.ultraServers.<name>.protect:"),
    ("efs-encrypted", G, edit("fileSystem:FileSystem", put("encrypted")), "is not encrypted"),
    ("mount-targets", G, two_targets, "has 2 mount targets"),
    ("mount-targets", RACK, edit(GROUP, put("capacityType", "ON_DEMAND")), "has private nodes and no mount target"),
    ("mount-targets", RACK, edit(GROUP, put("subnetIds")), "has private nodes and no mount target"),
    ("s3-endpoint-everywhere", G7E, edit("VpcEndpoint", put("vpcEndpointType", "Interface"), "s3"), "has a route to NAT and none to the S3 gateway endpoint"),
    ("s3-endpoint-everywhere", G, edit("VpcEndpoint", put("routeTableIds"), "s3"), "has a route to NAT and none to the S3 gateway endpoint"),
    ("efa-group", G, drop("SecurityGroupIngressRule", "efa-from-itself"), "has no rule for all traffic from itself"),
    ("efa-group", G, edit("SecurityGroupIngressRule", put("ipProtocol", "tcp"), "efa-from-itself"), "has no rule for all traffic from itself"),
    ("efa-group", G, edit("SecurityGroupIngressRule", put("securityGroupId", "sg-1"), "efa-from-itself"), "has no rule for all traffic from itself"),
    ("efa-group", G, edit("SecurityGroupEgressRule", put("referencedSecurityGroupId", "sg-1"), "efa-to-itself"), "has no rule for all traffic to itself"),
    ("private-egress", G, edit(ROUTE, put("destinationCidrBlock", "10.0.0.0/8"), "private-use1-az2"), "has no default route"),
    ("objects-strict", G, edit(DGD, put("apiVersion", "nvidia.com/v9")), "not checked: no table has"),
    ("values-strict", RACK, edit(RELEASE, put("chart", "unheard-of"), "dra-driver"), "not checked: no table has the values of chart unheard-of"),
    ("objects-namespaced", G, edit(JOB, put("metadata/name", "")), "has no metadata.name"),
    ("objects-namespaced", G, edit(JOB, put("metadata")), "names no namespace"),
    ("graphs-before-operator", RACK, untied(DGD), "does not depend on platform-release"),
    ("nodes-before-access", P5, edit(POOL, nothing, "block", depends_on=(), parent=None, provider=None), "may outlive eks.Cluster main-eksCluster"),
    ("graphs-before-pools", P5, untied(DGD, "block"), "does not depend on pool pool-block-pool"),
    ("mounts-before-files", G7E, each(":PersistentVolumeClaim", nothing, depends_on=()), "may outlive mount target files-use2-az1"),
    ("releases-pinned", G, edit(RELEASE, put("name")), "gives no name"),
    ("releases-pinned", G, edit(RELEASE, put("namespace", "")), "gives no namespace"),
    ("releases-pinned", G, edit(RELEASE, lambda i: [i.pop(key) for key in ("chart", "version")]), "gives no version"),
    ("auto-mode-flags", G, edit(CLUSTER, put("computeConfig")), "computeConfig.enabled is None"),
    ("auto-mode-flags", G, edit(CLUSTER, put("storageConfig")), "storageConfig.blockStorage.enabled is None"),
    ("auto-mode-flags", G, edit(CLUSTER, put("storageConfig", {})), "storageConfig.blockStorage.enabled is None"),
    ("auto-mode-flags", G, edit(CLUSTER, put("storageConfig/blockStorage/enabled", False)), "storageConfig.blockStorage.enabled is False"),
    ("auto-mode-flags", G, edit(CLUSTER, put("kubernetesNetworkConfig")), "kubernetesNetworkConfig.elasticLoadBalancing.enabled is None"),
    ("auto-mode-flags", G, edit(CLUSTER, put("kubernetesNetworkConfig", {})), "kubernetesNetworkConfig.elasticLoadBalancing.enabled is None"),
    ("auto-mode-flags", G, edit(CLUSTER, put("kubernetesNetworkConfig/elasticLoadBalancing/enabled", "true")), "kubernetesNetworkConfig.elasticLoadBalancing.enabled is true"),
    ("auto-mode-flags", G, edit(CLUSTER, put("bootstrapSelfManagedAddons")), "bootstrapSelfManagedAddons must be false from birth"),
    ("endpoint-closed", G, edit(CLUSTER, put("vpcConfig")), "vpcConfig.endpointPublicAccess is not given, and EKS's"),
    ("endpoint-closed", G, edit(CLUSTER, put("vpcConfig/endpointPrivateAccess")), "vpcConfig.endpointPrivateAccess is not given, and EKS's"),
    ("endpoint-closed", G, edit(CLUSTER, put("vpcConfig/endpointPrivateAccess", "true")), "vpcConfig.endpointPrivateAccess is not given, and EKS's"),
    ("endpoint-closed", G, edit(CLUSTER, put("vpcConfig/publicAccessCidrs", ["10.0.0.0/8", "0.0.0.0/0"])), "the API endpoint is open to 0.0.0.0/0"),
    ("endpoint-closed", G, edit(CLUSTER, put("vpcConfig/publicAccessCidrs")), "the API endpoint is open to 0.0.0.0/0"),
    ("endpoint-closed", G, edit(CLUSTER, flags(endpointPublicAccess=False, endpointPrivateAccess=False)), "the endpoint is reachable neither from outside nor from"),
    ("secrets-encrypted", G, edit(CLUSTER, put("encryptionConfig/provider")), "encryptionConfig names no key for secrets"),
    ("secrets-encrypted", G, edit(CLUSTER, put("encryptionConfig/provider/keyArn", "")), "encryptionConfig names no key for secrets"),
    ("secrets-encrypted", G, edit(CLUSTER, put("encryptionConfig/resources", [])), "encryptionConfig names no key for secrets"),
    ("kubernetes-support", G, edit(CLUSTER, put("version", "1.20")), "Kubernetes 1.20 is not in the catalogue"),
    ("kubernetes-support", G, at(2027, 3, 27), "standard support of 1.35 ended on 2027-03-27"),
    ("kubernetes-support", G, at(2027, 3, 26), "standard support of 1.35 ends on 2027-03-27"),
    ("kubernetes-support", G, at(2027, 1, 27), "standard support of 1.35 ends on 2027-03-27"),
    ("one-provider", G, edit("v1:Namespace", nothing, provider_mismatch=True), "kubernetes:core/v1:Namespace was given"),
    ("one-provider", G, edit(KUBERNETES, put("clusterIdentifier"), "kubernetes"), "has no clusterIdentifier"),
    ("names-unique", G, twice(DGD, "renamed"), "two resources render this object"),
    ("pool-families", G, edit(POOL, set_requirement(FAMILY, "g6e", "x9")), "family x9 is not one that Auto Mode launches"),
    ("pool-families", G, edit(POOL, require(TYPE, "g6e.2xlarge", "g6e.3xlarge")), "type g6e.3xlarge is not one that Auto Mode launches"),
    ("pool-families", G, edit(POOL, require(TYPE, "p6e-gb200.36xlarge")), "type p6e-gb200.36xlarge is not one that Auto Mode launches"),
    ("pool-families", G, edit(POOL, set_requirement("kubernetes.io/arch", "arm64")), "no known instance type meets all its requirements"),
    ("pool-limit", P5, edit(POOL, put("spec/limits", {"cpu": "64"}), "block"), "has no limits for nvidia.com/gpu"),
    ("pool-taint", G, edit(POOL, put("spec/template/spec/taints/0/key", "amd.com/gpu")), "has no nvidia.com/gpu taint"),
    ("pool-taint", G, edit(POOL, put("spec/template/spec/taints", [{"effect": "NoSchedule"}])), "has no nvidia.com/gpu taint"),
    ("pool-taint", G, edit(POOL, put("spec/template/metadata")), "lacks the label nvidia.com/gpu.deploy.operands=false on its"),
    ("pool-taint", G, edit(POOL, put("spec/template/metadata/labels")), "lacks the label nvidia.com/gpu.deploy.operands=false on its"),
    ("pool-taint", P5, edit(POOL, put("spec/template/metadata/labels/nvidia.com~1gpu.deploy.operands", "true"), "block"), "lacks the label nvidia.com/gpu.deploy.operands=false on its"),
    ("block-window", P5, edit(POOL, reserve({key: value for key, value in block(1, 15).items() if key != "start"}), "block"), "1 of its blocks state no start"),
    ("reserved-terms", P5, drop(CLASS, "block"), "may use reserved capacity, but NodeClass block selects no"),
    ("reserved-terms", P5, edit(CLASS, put("spec"), "block"), "may use reserved capacity, but NodeClass block selects no"),
    ("reserved-terms", P5, edit(POOL, set_requirement(PURCHASE, "on-demand"), "block"), "NodeClass block selects reservations, but the pool's"),
    ("open-reservations", P5, edit(POOL, annotated(**{OPEN: "true"}), "block"), "counts on open reservations, which NodeClass block switches"),
    ("open-reservations", P5, edit("CapacityReservation", put("instanceMatchCriteria")), "is open: anything in the account may use it up, and our"),
    ("block-disruption", P5, edit(POOL, put("spec/disruption/consolidationPolicy", "WhenEmptyOrUnderutilized"), "block"), "consolidates its nodes"),
    ("block-disruption", P5, edit(POOL, put("spec/disruption"), "block"), "consolidates its nodes"),
    ("block-window", P5, at(2026, 12, 15, 10, 50), "its block is drained from 2026-12-15T10:50:00Z, which has"),
    ("block-window", P5, at(2026, 12, 15, 10, 49, 59), "its block is drained within a day, at 2026-12-15T10:50:00Z"),
    ("block-window", P5, at(2026, 12, 14, 10, 50, 1), "its block is drained within a day, at 2026-12-15T10:50:00Z"),
    ("node-groups", G, drop("AccessEntry", "nodes-entry"), "role nodes-role-5e857d9 has no access entry of type EC2"),
    ("node-groups", G, edit("AccessEntry", put("type", "STANDARD"), "nodes-entry"), "role nodes-role-5e857d9 has no access entry of type EC2"),
    ("node-groups", P5, edit(CLASS, put("spec/role", "another"), "block"), "role another has no access entry of type EC2"),
    ("node-groups", P5, edit(CLASS, put("spec/role"), "block"), "role None has no access entry of type EC2"),
    ("node-groups", P5, edit(CLASS, put("spec/securityGroupSelectorTerms"), "block"), "does not name the cluster's security group"),
    ("node-groups", P5, edit(CLASS, put("spec/securityGroupSelectorTerms", [{"tags": {"efa": "true"}}]), "block"), "does not name the cluster's security group"),
    ("pod-fits", P5, edit(DGD, unplaced("prefill", POOL_LABEL)), "asks for GPUs and names no pool of this stack"),
    ("pod-fits", P5, edit(DGD, placed("prefill", POOL_LABEL, "another")), "asks for GPUs and names no pool of this stack"),
    ("pod-fits", P5, edit(DGD, placed("prefill", TYPE, "p5.4xlarge")), "fits no instance of its pool"),
    ("pod-fits", P5, edit(DGD, placed("prefill", TYPE, "p5en.48xlarge")), "asks for p5en.48xlarge, which its pool may not launch"),
    ("pod-fits", G, both(edit(DGD, unplaced("worker", TYPE)), edit(POOL, set_requirement("kubernetes.io/arch", "arm64"))), "asks for an instance, which its pool may not launch"),
    ("pod-fits", G, both(edit(DGD, unplaced("worker", TYPE)), edit(DGD, set_resource("worker", "nvidia.com/gpu", "9"))), "fits no instance of its pool"),
    ("pod-fits", G, edit(DGD, set_resource("worker", "hugepages-2Mi", "5120Mi")), "asks for 5120 MiB of huge pages, and 0 are left for pods on a g6e.2xlarge"),
    ("pod-fits", G, edit(DGD, set_resource("worker", "example.com/fpga", "1")), "asks for 1 example.com/fpga, and 0 are left for pods on a g6e.2xlarge"),
    ("pod-fits", G, edit(DGD, lambda i: component(i, "worker").update(sharedMemorySize="57Gi")), "shares memory of up to 58368 MiB, which counts against the 58368 MiB that it asks for"),
    ("pod-fits", G, edit(DGD, set_resource("frontend", "cpu", "192")), "asks for 192000 thousandths of a core, and 191250 are left for pods on a r7i.48xlarge"),
    ("pod-fits", G, edit("batch/v1:Job", lambda i: i["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].update(memory="2Ti")), "asks for 2097152 MiB of memory, and 1452822 are left for pods on a r7i.48xlarge"),
    ("pool-room", P5, edit(POOL, put("spec/limits/nvidia.com~1gpu", "15"), "reserved"), "its graphs ask for 16 GPUs and its limit is 15"),
    ("pod-fits", P5, edit(DGD, many(*(unplaced(role, POOL_LABEL) for role in ("prefill", "decode")))), "asks for GPUs and names no pool of this stack"),
    ("pool-room", P5, both(edit(DGD, many(*(unplaced(role, POOL_LABEL) for role in ("prefill", "decode")))), edit(POOL, put("spec/limits/nvidia.com~1gpu", "15"), "block")), "its graphs ask for 16 GPUs and its limit is 15"),
    ("pool-room", P5, edit(POOL, put("spec/limits"), "block"), "its graphs ask for 16 GPUs and its limit is 0"),
    ("pool-room", P5, edit(POOL, put("spec/limits", {}), "block"), "its graphs ask for 16 GPUs and its limit is 0"),
    ("gpus-stranded", G, edit(DGD, many(placed("worker", TYPE, "g6e.12xlarge"), set_resource("worker", "memory", "200Gi"))), "workers take 1 g6e.12xlarge: 1 of 1 GPU (dynamo/vllm-agg worker); 3 of 4 GPUs are paid for and have no work. Each takes so much memory or CPU"),
    ("gpus-stranded", P5, edit(DGD, set_resource("prefill", "nvidia.com/gpu", "4")), "workers take 2 p5.48xlarge: 1 of 4 GPU (dynamo/vllm-disagg-p5 prefill), 1 of 8 GPU (dynamo/vllm-disagg-p5 decode); 4 of 16 GPUs are paid for and have no work. Each takes the node's EFA"),
    ("gpus-stranded", P5, edit(DGD, many(set_resource("prefill", "memory", "4Ti"), set_resource("decode", GPU, "4"))), "workers take 1 p5.48xlarge: 1 of 4 GPU (dynamo/vllm-disagg-p5 decode); 4 of 8 GPUs"),
    ("gpus-stranded", P5, edit(DGD, many(small("prefill", "6"), small("decode", "1"))), "1 of 6 GPU (dynamo/vllm-disagg-p5 prefill), 1 of 1 GPU (dynamo/vllm-disagg-p5 decode); 1 of 8 GPUs are paid for and have no work. Use a smaller"),
    ("efa-whole-node", P5, edit(DGD, set_resource("decode", EFA, "31")), "takes 31 of the 32 EFA interfaces of a p5.48xlarge"),
    ("frontend-zone", P5, edit(DGD, put(f"{FRONTEND}/nodeSelector"), "trtllm"), "may run in any zone, and its workers only in us-west-2b"),
    ("frontend-zone", P5, edit(DGD, put(f"{FRONTEND}/nodeSelector/topology.kubernetes.io~1zone", "us-west-2c"), "trtllm"), "may run in us-west-2c, and its workers only in us-west-2b"),
    ("frontend-zone", P5, edit(DGD, zones("us-west-2a", "us-west-2b", "us-west-2c"), "vllm-disagg"), "may run in us-west-2a, us-west-2c, and its workers only in"),
    ("frontend-zone", P5, edit(DGD, lambda i: [pod_spec(i, "frontend").pop("nodeSelector"), i["spec"]["components"].reverse()], "trtllm"), "may run in any zone, and its workers only in us-west-2b"),
    ("frontend-zone", P5, edit(DGD, lambda i: pod_spec(i, "frontend")["affinity"].update(nodeAffinity={REQUIRED: {"nodeSelectorTerms": [{"matchFields": []}]}}), "vllm"), "may run in any zone, and its workers only in us-west-2b"),
    ("frontend-zone", G, edit(POOL, set_requirement("topology.kubernetes.io/zone", "us-east-1a", "us-east-1b")), "may run in any zone, and its workers only in us-east-1a,"),
    ("kv-transport", P5, edit(DGD, no_backends), 'its KV transfer does not choose LIBFABRIC ("backends")'),
    ("kv-transport", G, edit(DGD, replaced("prefill", '"cpu"', '"cuda"'), "tcp"), "moves KV blocks over TCP from GPU memory, which fails"),
    ("one-zone", G7E, edit(DGD, put(f"{PREFILL}/affinity")), "uses EFA without being kept in its graph's zone"),
    ("one-zone", G7E, edit(DGD, put(f"{PREFILL}/affinity/podAffinity/{REQUIRED}/0/topologyKey", "kubernetes.io/hostname")), "uses EFA without being kept in its graph's zone"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").update(image="registry.example.com:5000/vllm")), "image registry.example.com:5000/vllm tells no version"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").update(image="vllm:latest")), "image vllm:latest tells no version"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").pop("image")), "image None tells no version"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").update(image="vllm:1.5")), "image vllm:1.5 tells no version"),
    ("offline-from-cache", G, edit(DGD, lambda i: set_env(i, "worker", "HF_HUB_OFFLINE", "0")), "mounts model-cache without HF_HUB_OFFLINE=1"),
    ("offline-from-cache", G, untied(DGD), "reads model-cache and does not wait for a cache Job of its"),
    ("offline-from-cache", G, edit(JOB, put("metadata/namespace", "other"), "cache"), "reads model-cache and does not wait for a cache Job of its"),
    ("exposed-narrowly", G7E, edit("v1:Service", put("spec/loadBalancerSourceRanges", [])), "names no loadBalancerSourceRanges"),
    ("exposed-narrowly", G7E, edit("v1:Service", put("spec/loadBalancerSourceRanges", ["10.0.0.0/8", "0.0.0.0/0"])), "is open to 0.0.0.0/0 (exposure.allowOpenAccess)"),
    ("exposed-narrowly", G7E, edit("v1:Service", put("spec/loadBalancerSourceRanges", [f"10.{part}.0.0/16" for part in range(61)])), "names 61 ranges, each a rule of the load balancer's security group, which takes 60"),
    ("exposed-narrowly", G7E, both(added("kubernetes:core/v1:Service", "own", {"kind": "Service", "metadata": {"name": "own"}, "spec": {}}), edit("v1:Service", put("spec/loadBalancerSourceRanges"))), "names no loadBalancerSourceRanges"),
    ("download-memory", G, edit(JOB, many(memory(requests="8Gi"), lambda i: i["spec"]["template"]["spec"]["containers"].insert(0, {"name": "own"})), "cache"), "requests 8Gi and is limited to 16Gi"),
    ("download-memory", G, edit(JOB, memory(requests="8Gi"), "cache"), "requests 8Gi and is limited to 16Gi"),
    ("download-memory", G, edit(JOB, memory(requests="16383Mi", limits="16383Mi"), "cache"), "is limited to 16383Mi"),
    ("download-memory", G, edit(JOB, put("spec/template/spec/containers/0/resources"), "cache"), "is limited to None"),
    ("download-memory", G, edit(JOB, fast, "cache"), "is limited to 16Gi"),
    ("download-memory", G, edit(JOB, many(fast, memory(requests="65535Mi", limits="65535Mi")), "cache"), "is limited to 65535Mi"),
]  # fmt: skip
"""Rule, stack, edit, and words of what it finds."""

HOLDS: list[tuple[str, str, Edit, str]] = [
    ("no-clear-secrets", G, secret("own", data="[secret]", stringData={"token": "[secret]"}), "Secret dynamo/own"),
    ("mount-targets", G, without(SUBNET), "3 subjects"),
    ("mount-targets", G, without(MOUNT), ""),
    ("mount-targets", G, both(previewed, drop(MOUNT)), ""),
    ("mount-targets", G, drop(SUBNET, "private-use1-az2"), "3 subjects"),
    ("mount-targets", G, both(*(edit("RouteTableAssociation", put("subnetId"), f"private-use1-az{n}") for n in (1, 2))), "3 subjects"),
    ("s3-endpoint-everywhere", G, same, "3 subjects"),
    ("s3-endpoint-everywhere", G, edit("VpcEndpoint", put("vpcEndpointType")), "3 subjects"),
    ("s3-endpoint-everywhere", G, both(previewed, drop("VpcEndpoint")), ""),
    ("efa-group", G7E, same, "network-efa"),
    ("efa-group", G, both(previewed, drop("SecurityGroupIngressRule")), ""),
    ("private-egress", G, both(previewed, drop(ROUTE)), ""),
    ("objects-namespaced", LOCAL, same, "14 subjects"),
    ("graphs-before-operator", G, added("kubernetes:helm.sh/v3:Release", "other", {"chart": "other"}), "2 subjects"),
    ("graphs-before-operator", G, added("kubernetes:helm.sh/v3:Release", "other", {}), "2 subjects"),
    ("nodes-before-access", P5, same, "2 subjects"),
    ("graphs-before-pools", P5, same, "3 subjects"),
    ("graphs-before-pools", P5, both(edit(DGD, put("spec/components"), "trtllm"), edit(DGD, put(FRONTEND), "vllm")), "2 subjects"),
    ("graphs-before-pools", P5, both(edit(DGD, put(f"{PREFILL}/nodeSelector"), "trtllm"), edit(DGD, put("spec/components/0/podTemplate"), "vllm")), "2 subjects"),
    ("graphs-before-pools", P5, both(untied(DGD, "trtllm"), drop(POOL, "block")), "2 subjects"),
    ("mounts-before-files", LOCAL, same, ""),
    ("mounts-before-files", G, same, "3 subjects"),
    ("releases-pinned", G, edit(RELEASE, many(put("version"), put("chart", "https://charts.example.com/dynamo-platform-1.5.0.tgz"))), "platform-release"),
    ("auto-mode-flags", G, same, "main-eksCluster"),
    ("endpoint-closed", G, edit(CLUSTER, flags(endpointPublicAccess=False)), "main-eksCluster"),
    ("endpoint-closed", G, edit(CLUSTER, flags(endpointPrivateAccess=False)), "main-eksCluster"),
    ("kubernetes-support", G, at(2027, 1, 26), "main-eksCluster"),
    ("kubernetes-support", G, both(at(2099, 1, 1), edit(CLUSTER, put("version", "1.36"))), "main-eksCluster"),
    ("one-provider", LOCAL, same, "15 subjects"),
    ("one-provider", LOCAL, edit(":Release", nothing, custom=False, provider=None), "14 subjects"),
    ("names-unique", LOCAL, both(twice(DGD, "renamed"), edit(DGD, put("metadata/namespace", "other"), "renamed")), "23 subjects"),
    ("names-unique", LOCAL, both(twice(DGD, "renamed"), edit(DGD, put("metadata/name", "other"), "renamed")), "23 subjects"),
    ("names-unique", LOCAL, both(edit(DGD, put("metadata/name")), twice(DGD, "renamed")), "23 subjects"),
    ("names-unique", LOCAL, both(twice(DGD, "renamed"), edit(DGD, put("apiVersion", "nvidia.com/v1"), "renamed")), "23 subjects"),
    ("pool-families", P5, same, "2 subjects"),
    ("pool-families", G, edit(POOL, require(TYPE, "g6e.2xlarge", "g6e.4xlarge")), "NodePool gpu"),
    ("pool-families", G, edit(POOL, put("spec/template/spec/requirements")), "NodePool gpu"),
    ("pool-families", G, edit(POOL, lambda i: i["spec"]["template"]["spec"]["requirements"].append({"key": FAMILY, "operator": "Exists"})), "NodePool gpu"),
    ("pool-families", P5, edit(POOL, put("apiVersion", "example.com/v1"), "reserved"), "NodePool block"),
    ("pool-families", P5, edit(POOL, put("apiVersion"), "reserved"), "NodePool block"),
    ("pool-limit", P5, same, "2 subjects"),
    ("pool-taint", P5, edit(POOL, lambda i: i["spec"]["template"]["spec"]["taints"].insert(0, {"key": "own"}), "reserved"), "2 subjects"),
    ("reserved-terms", P5, same, "2 subjects"),
    ("reserved-terms", G, same, ""),
    ("reserved-terms", G, drop(CLASS), ""),
    ("open-reservations", P5, same, "pool-reserved-reservation-0"),
    ("open-reservations", P5, edit(POOL, annotated(**{OPEN: "false"}), "block"), "pool-reserved-reservation-0"),
    ("open-reservations", G, edit(POOL, annotated(**{OPEN: "true"})), "NodePool gpu"),
    ("block-disruption", P5, same, "NodePool block"),
    ("block-window", P5, same, "NodePool block"),
    ("block-window", P5, at(2026, 12, 14, 10, 50), "NodePool block"),
    ("node-groups", P5, same, "2 subjects"),
    ("node-groups", G, both(previewed, without("AccessEntry")), ""),
    ("node-groups", G, both(without(CLUSTER), edit(CLASS, put("spec/securityGroupSelectorTerms"))), "NodeClass gpu"),
    ("node-groups", G, both(edit(CLUSTER, nothing, outputs={}), edit(CLASS, put("spec/securityGroupSelectorTerms"))), "NodeClass gpu"),
    ("pod-fits", P5, same, "8 subjects"),
    ("pod-fits", RACK, same, "11 subjects"),
    ("pod-fits", G, edit(DGD, many(unplaced("worker", TYPE), set_resource("worker", "memory", "1Ti"))), "8 subjects"),
    ("pool-room", P5, edit(POOL, put("spec/limits/nvidia.com~1gpu", "16"), "reserved"), "2 subjects"),
    ("pool-room", P5, both(edit(POOL, put("spec/limits"), "block"), edit(DGD, unplaced("worker", POOL_LABEL), "trtllm")), "NodePool reserved"),
    ("gpus-stranded", P5, same, "3 subjects"),
    ("gpus-stranded", RACK, same, ""),
    ("gpus-stranded", G, edit(DGD, set_resource("worker", "memory", "4Ti")), "2 subjects"),
    ("gpus-stranded", P5, edit(DGD, many(small("prefill", "6"), small("decode", "2"))), "3 subjects"),
    ("efa-whole-node", P5, same, "2 subjects"),
    ("efa-whole-node", P5, edit(DGD, many(set_resource("prefill", EFA, "31"), unplaced("prefill", TYPE))), "DynamoGraphDeployment dynamo/vllm-disagg-p5 decode"),
    ("efa-whole-node", P5, edit(DGD, many(set_resource("prefill", EFA, "31"), placed("prefill", TYPE, "p5x.48xlarge"))), "DynamoGraphDeployment dynamo/vllm-disagg-p5 decode"),
    ("frontend-zone", P5, same, "2 subjects"),
    ("frontend-zone", G, same, "2 subjects"),
    ("frontend-zone", RACK, same, ""),
    ("frontend-zone", P5, edit(POOL, lambda i: i["spec"]["template"]["spec"]["requirements"].pop(), "block"), "2 subjects"),
    ("frontend-zone", P5, edit(POOL, put("spec/template/spec/requirements"), "block"), "2 subjects"),
    ("frontend-zone", P5, edit(POOL, lambda i: i["spec"]["template"]["spec"]["requirements"].append({"key": ZONE, "operator": "Exists"}), "block"), "2 subjects"),
    ("frontend-zone", G, both(subnet("rack", tags={"Name": "rack"}), subnet("plain")), "2 subjects"),
    ("frontend-zone", P5, edit(DGD, put(f"{FRONTEND}/affinity"), "vllm"), "DynamoGraphDeployment dynamo/trtllm-block frontend"),
    ("frontend-zone", P5, edit(DGD, put(f"{FRONTEND}/affinity/podAffinity/{REQUIRED}/0/topologyKey", "kubernetes.io/hostname"), "vllm"), "DynamoGraphDeployment dynamo/trtllm-block frontend"),
    ("frontend-zone", P5, both(*(drop(POOL, name) for name in ("reserved", "block"))), ""),
    ("kv-transport", G7E, same, "2 subjects"),
    ("kv-transport", RACK, same, "2 subjects"),
    ("kv-transport", G7E, edit(DGD, replaced("prefill", "LIBFABRIC", "UCX -m dynamo.mocker")), "DynamoGraphDeployment dynamo/vllm-disagg-efa decode"),
    ("one-zone", G7E, same, "2 subjects"),
    ("one-zone", G7E, edit(DGD, many(put(f"{PREFILL}/affinity"), placed("prefill", ZONE, "us-east-2a"))), "2 subjects"),
    ("one-zone", PAIR, same, "2 subjects"),
    ("image-version", G, same, "5 subjects"),
    ("image-version", G, edit(DGD, put("spec/components"), "tcp"), "2 subjects"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").update(image="localhost:5000/vllm:v1.5.0-own")), "5 subjects"),
    ("image-version", G, edit(DGD, lambda i: container(i, "worker").update(image="own/vllm:1.5.0@sha256:0123")), "5 subjects"),
    ("image-version", G, edit(DGD, lambda i: [container(i, "worker").update(image="vllm:own"), component(i, "worker").update(runtimeVersionOverride="1.5.0")]), "5 subjects"),
    ("offline-from-cache", P5, same, "2 subjects"),
    ("offline-from-cache", G, edit(DGD, lambda i: pod_spec(i, "worker")["volumes"].insert(0, {"name": "own", "emptyDir": {}})), "2 subjects"),
    ("offline-from-cache", G, both(edit(DGD, put(FRONTEND), "agg"), edit(DGD, put("spec/components/0/podTemplate"), "tcp")), "2 subjects"),
    ("offline-from-cache", G, both(untied(DGD), edit(DGD, lambda i: [item["podTemplate"]["spec"].pop("volumes") for item in i["spec"]["components"]])), "DynamoGraphDeployment dynamo/vllm-disagg-tcp"),
    ("exposed-narrowly", G7E, edit("v1:Service", put("spec/loadBalancerSourceRanges", [f"10.{part}.0.0/16" for part in range(60)])), "Service dynamo/vllm-disagg-efa-frontend-nlb"),
    ("exposed-narrowly", G7E, same, "Service dynamo/vllm-disagg-efa-frontend-nlb"),
    ("exposed-narrowly", G7E, edit("v1:Service", put("spec")), ""),
    ("exposed-narrowly", G7E, edit("v1:Service", many(put("spec/type", "ClusterIP"), put("spec/loadBalancerSourceRanges"))), ""),
    ("download-memory", P5, same, "Job dynamo/cache-llama-3-3-70b-be0534ee"),
    ("download-memory", G, edit(JOB, many(fast, memory(requests="64Gi", limits="64Gi")), "cache"), "Job dynamo/cache-qwen3-0-6b-16446ef4"),
]  # fmt: skip
"""Rule, stack, edit, and what its verdict is on: nothing is wrong there; empty where there is nothing to look at."""


@pytest.mark.parametrize(
    ("rule", "stack", "change", "words"),
    [*MORE, *FINDINGS],
    ids=lambda part: part[:48] if isinstance(part, str) else "",
)
def test_each_finding(rule: str, stack: str, change: Edit, words: str) -> None:
    """A finding that nothing brings about may as well not be there; of a rack's, each wastes an hour at best."""
    found = [item for item in BY_ID[rule].verdicts(change(recorded(stack))) if item.verdict != "pass"]
    assert any(words in item.message for item in found), [item.message for item in found]
    assert all(item.subject for item in found)


@pytest.mark.parametrize(
    ("rule", "stack", "change", "subject"), HOLDS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_nothing_is_wrong(rule: str, stack: str, change: Edit, subject: str) -> None:
    """A rule that finds fault with what is right stops `up` for nothing; one that looks elsewhere says nothing at all."""
    expected = [(BY_ID[rule].says, subject)] if subject else []
    assert [(item.message, item.subject) for item in BY_ID[rule].verdicts(change(recorded(stack)))] == expected
