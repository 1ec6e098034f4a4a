"""Every rule on a stack where it holds, and on the same stack with the one thing wrong that it is there to find."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from components.dynamo.download import MOUNT
from recording.graph import Graph, Node
from rules import RULES
from tests.conftest import recorded

Edit = Callable[[Graph], Graph]
BY_ID = {item.id: item for item in RULES}


def rebuilt(graph: Graph, nodes: list[Node], at: datetime | None = None) -> Graph:
    return Graph(graph.stack, nodes, outputs=graph.outputs, reads=graph.reads, preview=graph.preview, at=at or graph.at)


MEANT = {"g7e-staging": "vllm-disagg-efa", "p5-reserved": "vllm-disagg-p5"}
"""The graph that an edit without a name is about, where the stack's first one by name has no prefill and decode."""


def edit(type_: str, change: Callable[[dict[str, Any]], Any], name: str = "", **options: Any) -> Edit:
    """Change the inputs (and options) of the first node of a type."""

    def apply(graph: Graph) -> Graph:
        nodes, done = [], False
        meant = name or (MEANT.get(graph.stack, "") if type_ == DGD else "")
        for node in graph:
            if not done and node.type.endswith(type_) and meant in node.name:
                inputs = copy.deepcopy(dict(node.inputs))
                change(inputs)
                node, done = dataclasses.replace(node, inputs=inputs, **options), True
            nodes.append(node)
        assert done, f"{type_} {name} is not in {graph.stack}"
        return rebuilt(graph, nodes)

    return apply


def drop(type_: str, name: str = "") -> Edit:
    def apply(graph: Graph) -> Graph:
        gone = next(node for node in graph if node.type.endswith(type_) and name in node.name)
        return rebuilt(graph, [node for node in graph if node is not gone])

    return apply


def twice(type_: str, rename: str | None = None) -> Edit:
    def apply(graph: Graph) -> Graph:
        node = next(node for node in graph if node.type.endswith(type_))
        return rebuilt(graph, [*graph, dataclasses.replace(node, name=rename or node.name, order=len(graph) + 1)])

    return apply


def untied(type_: str, name: str = "") -> Edit:
    """Forget what a resource depends on: the deleted `depends_on` line."""
    return edit(type_, lambda inputs: None, name, depends_on=())


def both(*edits: Edit) -> Edit:
    """One edit after another."""

    def apply(graph: Graph) -> Graph:
        for change in edits:
            graph = change(graph)
        return graph

    return apply


def at(*moment: int) -> Edit:
    """The same stack, looked at later or earlier."""
    return lambda graph: rebuilt(graph, list(graph), datetime(*moment, tzinfo=UTC))  # type: ignore[misc, arg-type]


def nothing(inputs: dict[str, Any]) -> None:
    pass


def set_resource(role: str, name: str, value: str) -> Callable[[dict[str, Any]], None]:
    """Ask for another amount, as request and limit."""

    def change(inputs: dict[str, Any]) -> None:
        for part in ("limits", "requests"):
            container(inputs, role)["resources"][part][name] = value

    return change


def component(inputs: dict[str, Any], type_: str) -> dict[str, Any]:
    return next(item for item in inputs["spec"]["components"] if item.get("type") == type_)


def container(inputs: dict[str, Any], type_: str) -> dict[str, Any]:
    pod = component(inputs, type_)["podTemplate"]["spec"]
    return next(item for item in pod["containers"] if item["name"] == "main")


def pod_spec(inputs: dict[str, Any], type_: str) -> dict[str, Any]:
    return component(inputs, type_)["podTemplate"]["spec"]


def set_requirement(key: str, *values: str) -> Callable[[dict[str, Any]], None]:
    def change(inputs: dict[str, Any]) -> None:
        for item in inputs["spec"]["template"]["spec"]["requirements"]:
            if item["key"] == key:
                item["values"] = list(values)

    return change


def block(first: int, last: int, count: int = 2) -> dict[str, Any]:
    """A Capacity Block of a pool, as its annotation tells it."""
    window = {key: f"2026-12-{day:02}T11:30:00Z" for key, day in (("start", first), ("end", last))}
    return {"kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": count, **window}


def reserve(*reservations: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(inputs: dict[str, Any]) -> None:
        inputs["metadata"]["annotations"]["dynamo-eks/reservations"] = json.dumps(reservations)

    return change


def set_env(inputs: dict[str, Any], type_: str, name: str, value: str) -> None:
    for item in container(inputs, type_)["env"]:
        if item["name"] == name:
            item["value"] = value


def no_backends(inputs: dict[str, Any]) -> None:
    main = container(inputs, "decode")
    for key in ("command", "args"):
        main[key] = [str(word).replace("LIBFABRIC", "UCX") for word in main.get(key, [])]


def serve(repository: str, *roles: str, args: tuple[str, ...] = ()) -> Callable[[dict[str, Any]], None]:
    """Serve another model, with further arguments."""

    def change(inputs: dict[str, Any]) -> None:
        for role in roles:
            main = container(inputs, role)
            path = f"{MOUNT}/hub/models--{repository.replace('/', '--')}/snapshots/{'0' * 40}"
            main["args"] = [path if str(word).startswith(f"{MOUNT}/hub/") else word for word in main["args"]] + list(
                args
            )

    return change


def unmarked_provider(graph: Graph) -> Graph:
    return edit("v1:Namespace", nothing, provider=None)(graph)


G, DGD, POOL, CLASS = "g6e-dev", ":DynamoGraphDeployment", ":NodePool", ":NodeClass"
RACK, PAIR = "gb200-prod", "gb200-pair"
TEMPLATE, GROUP, SCHEDULE, RELEASE = ":LaunchTemplate", ":NodeGroup", "schedule:Schedule", ":Release"
CASES: dict[str, tuple[str, Edit, str]] = {
    "pool-families": (G, edit(POOL, set_requirement("eks.amazonaws.com/instance-family", "p6e-gb200")), "managed node group"),
    "pool-limit": (G, edit(POOL, lambda i: i["spec"].pop("limits")), "gpuLimit"),
    "pool-taint": (G, edit(POOL, lambda i: i["spec"]["template"]["spec"].pop("taints")), "pods without a GPU"),
    "reserved-terms": ("p5-reserved", edit(CLASS, lambda i: i["spec"].pop("capacityReservationSelectorTerms"), "block"), "selects no reservation"),
    "open-reservations": ("p5-reserved", edit("CapacityReservation", lambda i: i.update(instanceMatchCriteria="open")), "make it targeted"),
    "block-disruption": ("p5-reserved", edit(POOL, lambda i: i["spec"]["disruption"].update(consolidateAfter="300s"), "block"), "WhenEmpty and Never"),
    "block-window": ("p5-reserved", at(2026, 12, 15, 11), "name the next block"),
    "node-groups": (G, edit(CLASS, lambda i: i["spec"]["securityGroupSelectorTerms"].pop(0)), "cannot join"),
    "auto-mode-flags": (G, edit("eks/cluster:Cluster", lambda i: i["computeConfig"].update(enabled=False)), "literally true"),
    "endpoint-closed": (G, edit("eks/cluster:Cluster", lambda i: i["vpcConfig"].pop("endpointPublicAccess")), "state it"),
    "secrets-encrypted": (G, edit("eks/cluster:Cluster", lambda i: i.pop("encryptionConfig")), "names no key"),
    "kubernetes-support": (G, lambda graph: rebuilt(graph, list(graph), datetime(2027, 4, 1, tzinfo=UTC)), "raise cluster.version"),
    "one-provider": (G, unmarked_provider, "no explicit provider"),
    "names-unique": (G, twice("v1:Namespace"), "registered twice"),
    "pod-fits": (G, edit(DGD, lambda i: pod_spec(i, "worker")["containers"][0]["resources"]["requests"].update({"memory": "4Ti"})), "fits no instance"),
    "pool-room": (G, edit(POOL, lambda i: i["spec"]["limits"].update({"nvidia.com/gpu": "1"})), "raise gpuLimit"),
    "gpus-stranded": (
        "p5-reserved",
        edit(
            DGD,
            lambda i: [
                container(i, role)["resources"][part].update({"nvidia.com/gpu": "4"})
                for role in ("prefill", "decode")
                for part in ("limits", "requests")
            ],
        ),
        "have no work",
    ),
    "rack-idle": (RACK, edit(DGD, lambda i: component(i, "prefill").update(replicas=8)), "8 of 72 prepaid GPUs have no work (2 of 18 nodes without a worker, $85 an hour)"),
    "reserved-idle": ("p5-reserved", edit(DGD, lambda i: component(i, "worker").update(replicas=1), "trtllm-block"), "1 of 2 reserved p5.48xlarge have no work, $47.76 an hour"),
    "block-fallback": ("p5-reserved", both(edit(POOL, set_requirement("karpenter.sh/capacity-type", "reserved", "on-demand"), "block"), edit(DGD, lambda i: pod_spec(i, "worker")["nodeSelector"].pop("karpenter.sh/capacity-type"), "trtllm-block")), "runs on on-demand machines, and is billed for them, from the drain at 2026-12-15T10:50:00Z on"),
    "block-succession": ("p5-reserved", edit(POOL, reserve(block(1, 8), block(9, 15)), "block"), "2 p5.48xlarge in usw2-az2 fewer from 2026-12-08T11:30:00Z until 2026-12-09T11:30:00Z"),
    "graph-answers": (G, edit(DGD, lambda i: component(i, "worker").update(replicas=0)), "asks for no worker"),
    "secrets-beforehand": (
        "p5-reserved",
        edit(
            "batch/v1:Job",
            lambda i: i["spec"]["template"]["spec"]["containers"][0]["env"].append(
                {"name": "T", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "T"}}}
            ),
            "cache",
        ),
        "waits for it",
    ),
    "disruption-budget": ("p5-reserved", drop("PodDisruptionBudget"), "has 2 pods and no budget"),
    "efa-whole-node": ("p5-reserved", edit(DGD, lambda i: [container(i, "prefill")["resources"][part].update({"vpc.amazonaws.com/efa": "8"}) for part in ("limits", "requests")]), "leave efa out"),
    "kv-transport": ("g7e-staging", edit(DGD, no_backends), "LIBFABRIC"),
    "model-fits": (G, edit(DGD, serve("meta-llama/Llama-3.3-70B-Instruct", "worker"), "vllm-agg"), "leaves no room for anything else"),
    "model-divides": (G, edit(DGD, lambda i: container(i, "worker")["args"].extend(["-tp", "3"]), "vllm-agg"), "16 attention heads cannot be divided by tensor parallel 3"),
    "model-format": ("p5-reserved", edit(DGD, serve("nvidia/GLM-5-NVFP4", "worker"), "trtllm-block"), "trtllm runs them from 10.0 on"),
    "model-spread": ("p5-reserved", edit(DGD, serve("Qwen/Qwen3-0.6B", "worker"), "trtllm-block"), "spread over 8 GPUs and fits 1"),
    "kv-handover": ("g7e-staging", edit(DGD, lambda i: container(i, "decode")["args"].append("--kv-cache-dtype=fp8")), "have to be in one format"),
    "modules-writable": (PAIR, edit(DGD, lambda i: set_env(i, "decode", "HF_MODULES_CACHE", "/home/dynamo/.cache/huggingface/modules")), "names no writable volume"),
    "command-lines": (G, edit(DGD, lambda i: container(i, "worker")["args"].extend(["-tp", "2", "--tensor_parallel_size=2"])), "says -tp and --tensor-parallel-size twice"),
    "variables-read": (PAIR, edit(DGD, lambda i: container(i, "decode")["env"].append({"name": "SGLANG_DISAGGREGATION_NIXL_BACKENDS", "value": "UCX"})), "SGLANG_DISAGGREGATION_NIXL_BACKEND is like it"),
    "one-zone": ("g7e-staging", edit(DGD, lambda i: pod_spec(i, "prefill")["affinity"].pop("podAffinity")), "sameZone"),
    "frontend-zone": ("p5-reserved", edit(DGD, lambda i: pod_spec(i, "frontend")["affinity"].pop("nodeAffinity"), "vllm-disagg"), "its workers only in us-west-2b"),
    "image-version": (G, edit(DGD, lambda i: container(i, "worker").update(image="registry.example.com/vllm:nightly")), "image.runtimeVersion"),
    "image-architecture": (PAIR, edit(DGD, lambda i: container(i, "decode").update(image="nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.5.0-efa-amd64")), "is for amd64, and its nodes are arm64"),
    "image-backend": (G, edit(DGD, lambda i: container(i, "worker").update(image="nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.5.0")), "has sglang; take one with vllm"),
    "image-efa": ("p5-reserved", edit(DGD, lambda i: container(i, "prefill").update(image="nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.5.0")), "has no EFA libraries"),
    "image-skew": (G, edit(DGD, lambda i: container(i, "worker").update(image="nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.2.1")), "3 release lines apart"),
    "offline-from-cache": (G, edit(DGD, lambda i: set_env(i, "worker", "HF_HUB_OFFLINE", "0")), "HF_HUB_OFFLINE=1"),
    "exposed-narrowly": ("g7e-staging", edit("v1:Service", lambda i: i["spec"].pop("loadBalancerSourceRanges")), "allowedCidrs"),
    "download-memory": (G, edit("v1:Job", lambda i: [i["spec"]["template"]["spec"]["containers"][0]["resources"][part].update(memory="4Gi") for part in ("limits", "requests")], "cache"), "needs 16Gi"),
    "subnets-disjoint": (G, edit("subnet:Subnet", lambda i: i.update(cidrBlock="10.64.0.0/16")), "a range of its own"),
    "zones-supported": (G, edit("subnet:Subnet", lambda i: i.update(availabilityZoneId="use1-az3")), "another zone id"),
    "s3-endpoint-everywhere": (G, edit("VpcEndpoint", lambda i: i.update(routeTableIds=i["routeTableIds"][1:]), "s3"), "attach it"),
    "efa-group": (G, drop("SecurityGroupEgressRule", "efa-to-itself"), "both directions"),
    "private-egress": (G, drop("route:Route", "private"), "no default route"),
    "objects-strict": (G, edit(DGD, lambda i: component(i, "worker").update(replcas=2)), "nearest: replicas"),
    "values-strict": (G, edit(":Release", lambda i: i["values"]["dynamo-operator"].update(discoveryBackends="kubernetes")), "nearest: discoveryBackend"),
    "objects-namespaced": (G, edit("v1:Job", lambda i: i["metadata"].pop("namespace")), "metadata.namespace"),
    "graphs-before-operator": (G, untied(DGD), "outlive the operator"),
    "nodes-before-access": (G, untied(POOL), "make the pool depend on it"),
    "graphs-before-pools": (G, untied(DGD), "drained under the workers"),
    "mounts-before-files": (G, untied(":PersistentVolumeClaim"), "`ready`"),
    "releases-pinned": (G, edit(":Release", lambda i: i.pop("version")), "pin it"),
    "protected": (G, edit("fileSystem:FileSystem", nothing, protect=False), "is not protected"),
    "efs-encrypted": (G, edit("fileSystem:FileSystem", lambda i: i.update(encrypted=False)), "set encrypted"),
    "mount-targets": (G, drop("MountTarget"), "cross zones"),
    "rack-interfaces": (RACK, edit(TEMPLATE, lambda i: i["networkInterfaces"][1].update(networkCardIndex=2)), "EC2 takes"),
    "rack-launch": (RACK, edit(TEMPLATE, lambda i: i.pop("instanceMarketOptions")), "the block would never be used"),
    "rack-node-group": (RACK, edit(GROUP, lambda i: i.update(amiType="AL2023_x86_64_NVIDIA")), "only AL2023_ARM_64_NVIDIA runs P6e-GB200"),
    "rack-schedules": (RACK, drop(SCHEDULE, "drain"), "EC2 would, without draining"),
    "rack-window": (RACK, at(2026, 12, 8, 10), "name the next block"),
    "rack-subnet": (RACK, edit("subnet:Subnet", lambda i: i.update(cidrBlock="10.96.224.0/24"), "rack"), "use a larger VPC range"),
    "zone-group-kept": (RACK, edit("AvailabilityZoneGroup", nothing, retain_on_delete=False), "set retain_on_delete"),
    "hybrid-addons": (RACK, drop(":Addon", "vpc-cni"), "no add-on vpc-cni"),
    "rack-repair": (RACK, edit(GROUP, lambda i: i.update(nodeRepairConfig={"enabled": True})), "may have several nodes replaced at once"),
    "one-allocator": (RACK, edit(RELEASE, lambda i: i["values"]["resources"]["gpus"].update(enabled=True), "dra-driver"), "hand each out twice"),
    "domain-kind-owner": (RACK, untied(RELEASE, "gpu-operator"), "whoever comes first"),
    "gpu-stack-place": (RACK, edit(RELEASE, lambda i: i["values"].pop("nodeSelector"), "efa-plugin"), "would run on Auto Mode nodes"),
    "p6e-driver": (RACK, edit(GROUP, lambda i: i.update(releaseVersion="1.35.0-20251001")), "the first with R580"),
    "rack-room": (RACK, edit(DGD, lambda i: component(i, "prefill").update(replicas=11)), "ask for 76 GPUs, it has 72"),
    "rack-stranded": (RACK, edit(DGD, set_resource("prefill", "nvidia.com/gpu", "2")), "strands the rest; take 4"),
    "domain-claims": (RACK, drop(":ComputeDomain", "graph"), "which no ComputeDomain of its namespace makes"),
    "one-domain-per-clique": (RACK, edit(DGD, lambda i: pod_spec(i, "prefill")["resourceClaims"][0].update(resourceClaimTemplateName="other")), "share one"),
    "clique-placement": (RACK, edit(DGD, lambda i: pod_spec(i, "decode").pop("affinity")), "may hold several cliques"),
    "domain-outlives-workers": (RACK, untied(DGD), "make it depend on the domain"),
    "gang-scheduling": (RACK, edit(":Queue", lambda i: i["spec"]["resources"]["gpu"].update(limit=8)), "its queue dynamo-eks has 8"),
    "kinds-follow-charts": (RACK, edit(RELEASE, lambda i: i["values"].pop("crdInstaller"), "grove"), "lacks values.crdInstaller.enabled"),
    "rack-architecture": (RACK, edit(DGD, lambda i: pod_spec(i, "frontend")["nodeSelector"].pop("kubernetes.io/arch")), "does not select kubernetes.io/arch: arm64"),
    "files-from-local-zone": (RACK, edit(":StorageClass", lambda i: i["mountOptions"].remove(next(item for item in i["mountOptions"] if item.startswith("az="))), "local-zone"), "a Local Zone has no mount target"),
    "ladder-gates": (RACK, untied(DGD), "does not wait for"),
    "gpu-stack-outlives": (RACK, untied(RELEASE, "platform"), "make it depend on the GPU stack"),
    "no-clear-secrets": (G, edit("v1:ConfigMap", lambda i: i["data"].update(token="hf_" + "a" * 34)), "revoke it"),
}  # fmt: skip


def test_every_rule_has_a_case() -> None:
    """A rule that nothing can break may as well not be there."""
    assert set(CASES) == set(BY_ID)
    assert len(BY_ID) >= 15


@pytest.mark.parametrize("rule", sorted(CASES))
def test_holds_where_all_is_well(rule: str) -> None:
    verdicts = BY_ID[rule].verdicts(recorded(CASES[rule][0]))
    assert all(verdict.verdict == "pass" for verdict in verdicts)
    if rule != "no-clear-secrets":  # no shipped stack makes a Secret
        assert verdicts, "it looked at nothing"


@pytest.mark.parametrize("rule", sorted(CASES))
def test_finds_what_it_is_there_to_find(rule: str) -> None:
    stack, change, words = CASES[rule]
    wrong = [verdict for verdict in BY_ID[rule].verdicts(change(recorded(stack))) if verdict.verdict != "pass"]
    assert wrong, "nothing found"
    assert words in wrong[0].message
    assert all(verdict.subject for verdict in wrong)


@pytest.mark.parametrize("rule", sorted(CASES))
def test_says_why(rule: str) -> None:
    assert BY_ID[rule].says.endswith(".") and BY_ID[rule].why
