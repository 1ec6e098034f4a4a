"""Rules about Dynamo graphs: where their pods go, how they move KV blocks, what they depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from components.aws_values import is_open
from components.capacity import instances
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from components.catalog import DYNAMO
from components.dynamo import images
from components.dynamo.backends import CUMEM
from components.dynamo.download import MEMORY_GIB
from components.dynamo.expected_pods import ExpectedPod, expected_pods, fits, pod_of_job
from components.dynamo.quantities import mib
from recording.graph import Graph, KubernetesObject
from rules.command_lines import of_component
from rules.model import Finding, Looked, rule

GPU = "nvidia.com/gpu"
EFA = "vpc.amazonaws.com/efa"
ZONE = "topology.kubernetes.io/zone"
POOL = "karpenter.sh/nodepool"
TYPE = "node.kubernetes.io/instance-type"


def graphs(graph: Graph) -> list[KubernetesObject]:
    """Rendered DynamoGraphDeployments."""
    return graph.objects_of("DynamoGraphDeployment")


def candidates(pod: ExpectedPod, pools: dict[str, Mapping[str, Any]]) -> list[instances.Instance]:
    """Instances that the pod's pool may launch and that its node selector allows, smallest first."""
    name = pod.node_selector.get(POOL)
    if name not in pools:
        return []
    type_ = pod.node_selector.get(TYPE)
    return [item for item in _launchable(json.dumps(pools[name]["spec"]["template"])) if type_ in (None, item.type)]


@cache
def _launchable(template: str) -> tuple[instances.Instance, ...]:
    """What a pool with this template may launch; asked for every worker, the same for all of a pool's."""
    return tuple(instances.launchable({"spec": {"template": json.loads(template)}}))


def pools_of(graph: Graph) -> dict[str, Mapping[str, Any]]:
    """Rendered NodePools by name."""
    return {item.name: item.manifest for item in graph.objects_of("NodePool")}


def components(item: KubernetesObject) -> Iterable[Mapping[str, Any]]:
    """Parts of a graph: its frontend and each role of its workers."""
    return item.manifest["spec"].get("components", ())


def _each(item: KubernetesObject) -> list[ExpectedPod]:
    """One pod of each component; the others are like it."""
    return list({pod.component: pod for pod in expected_pods(item.manifest)}.values())


def _beside(pod: ExpectedPod) -> list[Any]:
    """Topologies in which the pod is kept with others."""
    terms = pod.affinity.get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", ())
    return [term.get("topologyKey") for term in terms]


def on_rack(pod: ExpectedPod) -> bool:
    """Whether the pod runs on an UltraServer, which rules/ultraservers.py judges."""
    return RACK_LABEL in pod.node_selector or RACK_MARK in pod.node_selector


def _count(pod: ExpectedPod, resource: str) -> int:
    return int(pod.requests.get(resource, 0))


@rule(
    "pod-fits",
    "Every expected pod fits an instance that its pool may launch.",
    "Karpenter launches nothing for a pod that fits nowhere; it stays Pending and `up` waits until it times out.",
    of="stack",
)
def pod_fits(graph: Graph) -> Iterator[Finding | Looked]:
    pools = pools_of(graph)
    # A cluster that is there already has nodes of which nothing is known.
    general = instances.LARGEST_GENERAL if graph.of("aws:eks/cluster:Cluster") else None
    for item in graph.objects_of("Job"):
        pod = pod_of_job(item.manifest)
        if not general or _count(pod, GPU) or on_rack(pod):
            continue
        yield Looked(item.address)
        if why := fits(pod, general):
            yield Finding(item.address, why)
    for item in graphs(graph):
        for pod in _each(item):
            subject = f"{item.address} {pod.component}"
            yield Looked(subject)
            if on_rack(pod):
                continue
            if not _count(pod, GPU) and POOL not in pod.node_selector:
                if general and (why := fits(pod, general)):
                    yield Finding(subject, why)
                continue
            if pod.node_selector.get(POOL) not in pools:
                yield Finding(subject, "asks for GPUs and names no pool of this stack; set placement.pool")
                continue
            choices = candidates(pod, pools)
            if not choices:
                yield Finding(
                    subject,
                    f"asks for {pod.node_selector.get(TYPE, 'an instance')}, which its pool may not launch; "
                    "correct placement.instanceType",
                )
                continue
            reasons = [fits(pod, instance) for instance in choices]
            if all(reasons):
                yield Finding(subject, f"fits no instance of its pool; the largest, {choices[-1].type}: {reasons[-1]}")


@rule(
    "pool-room",
    "The limit of every pool holds the graphs placed on it.",
    "Karpenter stops at the limit without an error on the graph; the rest of the workers stay Pending.",
    of="stack",
)
def pool_room(graph: Graph) -> Iterator[Finding | Looked]:
    pools = pools_of(graph)
    needed = dict.fromkeys(pools, 0)
    for item in graphs(graph):
        for pod in expected_pods(item.manifest):
            pool = pod.node_selector.get(POOL)
            if pool in needed:
                needed[pool] += _count(pod, GPU)
    for name, gpus in needed.items():
        if not gpus:
            continue
        yield Looked(f"NodePool {name}")
        limit = int((pools[name]["spec"].get("limits") or {}).get(GPU, 0))
        if gpus > limit:
            yield Finding(
                f"NodePool {name}", f"its graphs ask for {gpus} GPUs and its limit is {limit}; raise gpuLimit"
            )


@rule(
    "efa-whole-node",
    "A worker over EFA takes every EFA interface of its node.",
    "A part can cross PCIe switches: answers come back as empty HTTP 200 (Dynamo known issues 1.3-1.4).",
    of="stack",
)
def efa_whole_node(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        for pod in _each(item):
            type_ = pod.node_selector.get(TYPE)
            if not _count(pod, EFA) or not type_ or not instances.known(type_):
                continue
            yield Looked(f"{item.address} {pod.component}")
            machine = instances.instance(type_)
            if _count(pod, EFA) != machine.efa:
                yield Finding(
                    f"{item.address} {pod.component}",
                    f"takes {_count(pod, EFA)} of the {machine.efa} EFA interfaces of a {type_}; leave efa out to take all",
                    "warn",
                )


@rule(
    "frontend-zone",
    "A frontend that keeps its graph's zone runs only where its workers' pool launches.",
    "It is bound first: in another zone it holds the workers Pending for ever, and a paid reservation empty (measured).",
    of="program",
)
def frontend_zone(graph: Graph) -> Iterator[Finding | Looked]:
    pools = pools_of(graph)
    # Subnets of UltraServers have no role for load balancers; general nodes are not launched there.
    subnets = [
        node
        for node in graph.of("aws:ec2/subnet:Subnet")
        if any("role/" in key for key in node.inputs.get("tags") or {})
    ]
    network = {node.inputs.get("availabilityZoneId") for node in subnets}
    for item in graphs(graph):
        pods = _each(item)
        named = {pod.node_selector.get(POOL) for pod in pods}
        launching = [
            _zones(pool["spec"]["template"]["spec"].get("requirements") or ())
            for name, pool in pools.items()
            if name in named
        ]
        for pod in pods:
            if _count(pod, GPU) or ZONE not in _beside(pod) or not launching:
                continue
            subject = f"{item.address} {pod.component}"
            yield Looked(subject)
            required = pod.affinity.get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
            allowed = [_zones(term.get("matchExpressions") or ()) for term in required.get("nodeSelectorTerms", ())]
            own = {pod.node_selector[ZONE]} if ZONE in pod.node_selector else set().union(*allowed)
            for zones in launching:
                # A pool that says nothing of zones launches in all of them.
                if zones and (own - zones or (not own and len(zones) < len(network))):
                    yield Finding(
                        subject,
                        f"may run in {', '.join(sorted(own - zones)) or 'any zone'}, and its workers only in "
                        f"{', '.join(sorted(zones))}; keep it there",
                    )


def _zones(requirements: Iterable[Mapping[str, Any]]) -> set[str]:
    return {value for item in requirements if item.get("key") == ZONE for value in item.get("values", ())}


def _container(component: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = component.get("podTemplate", {}).get("spec", {}).get("containers", ())
    return next((item for item in containers if item.get("name") == "main"), {})


def _environment(component: Mapping[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value") for item in _container(component).get("env", ())}


def _words(component: Mapping[str, Any]) -> list[str]:
    container = _container(component)
    return [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]


def _argument(component: Mapping[str, Any], flag: str) -> str | None:
    """Value of a flag under any of its spellings; the last one wins, as in argparse. None where it is not given."""
    found = of_component(component, otherwise=[*DYNAMO][-1])
    values = [each.values for each in found.given() if each.flag and flag in each.flag.names] if found else []
    return values[-1][0] if values and values[-1] else None


def _switched_on(component: Mapping[str, Any], flag: str) -> bool:
    """Whether a flag without a value is given, and not taken back behind it (`--no-…`)."""
    found = of_component(component, otherwise=[*DYNAMO][-1])
    given = [each.spelled for each in found.given() if each.flag and flag in each.flag.names] if found else []
    return bool(given) and not given[-1].startswith("--no")


def transfer_faults(framework: str, component: Mapping[str, Any]) -> list[str]:
    """What is wrong with how a prefill or decode worker moves KV blocks; empty when all is right."""
    limits = _container(component).get("resources", {}).get("limits", {})
    over_efa = EFA in limits
    environment = _environment(component)
    # What no engine says otherwise: with UCX's own variables blocks go over NVLink.
    over_nvlink = environment.get("UCX_CUDA_IPC_ENABLE_MNNVL") == "y" and not over_efa
    if framework == "vllm":
        try:
            config = dict(json.loads(_argument(component, "--kv-transfer-config") or "{}"))
        except (TypeError, ValueError):
            return ["its --kv-transfer-config is not JSON; let the program write it"]
        extra = config.get("kv_connector_extra_config") or {}
        if over_nvlink:
            if extra.get("backends") != ["UCX"]:
                return ['its KV transfer does not choose UCX ("backends"), which alone moves blocks over NVLink']
            if not _switched_on(component, CUMEM):
                return [f"lacks {CUMEM}; its KV cache has no fabric handle, and blocks would go over TCP"]
            return []
        if extra.get("backends") != ["LIBFABRIC"]:
            return [
                'its KV transfer does not choose LIBFABRIC ("backends"); the first token would take 100 s instead of 1 s'
            ]
        if not over_efa and config.get("kv_buffer_device") != "cpu":
            return ["moves KV blocks over TCP from GPU memory, which fails; kv_buffer_device must be cpu"]
        return []
    name = {"sglang": "SGLANG_DISAGGREGATION_NIXL_BACKEND", "trtllm": "TRTLLM_NIXL_KVCACHE_BACKEND"}.get(framework)
    if name and over_efa and environment.get(name) != "LIBFABRIC":
        return [f"lacks {name}=LIBFABRIC; KV blocks would go over TCP without a word"]
    if name and over_nvlink and environment.get(name) != "UCX":
        return [f"lacks {name}=UCX; KV blocks would not go over NVLink"]
    return []


@rule(
    "kv-transport",
    "Every disaggregated graph chooses its KV transport in its backend's own way.",
    "A wrong choice is silent: 100 s to the first token instead of 1 s (ai-dynamo/dynamo #4185, awsome-inference #72).",
    of="program",
)
def kv_transport(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        framework = str(item.manifest["spec"].get("backendFramework"))
        for component in components(item):
            mocked = any("dynamo.mocker" in word for word in _words(component))
            if component.get("type") not in ("prefill", "decode") or mocked:
                continue
            subject = f"{item.address} {component['name']}"
            yield Looked(subject)
            for fault in transfer_faults(framework, component):
                yield Finding(subject, fault)


@rule(
    "one-zone",
    "All pods of a graph over EFA run in one zone.",
    "EFA does not cross zones: prefill in another zone than decode hangs on the first transfer.",
    of="program",
)
def one_zone(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        for pod in _each(item):
            if not _count(pod, EFA):
                continue
            subject = f"{item.address} {pod.component}"
            yield Looked(subject)
            # An UltraServer is in one zone.
            pinned = on_rack(pod) or any(key.startswith("topology.") for key in pod.node_selector)
            if not pinned and ZONE not in _beside(pod):
                yield Finding(subject, "uses EFA without being kept in its graph's zone; set placement.sameZone")


@rule(
    "image-version",
    "Every image tag tells the operator its runtime version.",
    "Admission refuses a graph whose tag has no version and no runtimeVersionOverride.",
    of="stack",
)
def image_version(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graphs(graph):
        for component in components(item):
            subject = f"{item.address} {component['name']}"
            yield Looked(subject)
            image = str(_container(component).get("image"))
            tag = images.split(image)[1]
            if not images.version(tag) and not component.get("runtimeVersionOverride"):
                yield Finding(subject, f"image {image} tells no version; set image.runtimeVersion")
            if tag in ("", "latest"):
                yield Finding(subject, f"image {image} moves under the graph; pin a tag")


@rule(
    "offline-from-cache",
    "Graphs that read a cached model stay offline and wait for its download.",
    "A worker that reaches for Hugging Face at start fails with its rate limit, or serves another revision.",
    of="program",
)
def offline_from_cache(graph: Graph) -> Iterator[Finding | Looked]:
    jobs = {item.node.key: item for item in graph.objects_of("Job") if "cache" in item.name}
    for item in graphs(graph):
        caching = [
            component
            for component in components(item)
            if any(
                volume.get("persistentVolumeClaim", {}).get("claimName") == "model-cache"
                for volume in component.get("podTemplate", {}).get("spec", {}).get("volumes", ())
            )
        ]
        if not caching:
            continue
        yield Looked(item.address)
        for component in caching:
            if _environment(component).get("HF_HUB_OFFLINE") != "1":
                yield Finding(f"{item.address} {component['name']}", "mounts model-cache without HF_HUB_OFFLINE=1")
        if not any(key in jobs and jobs[key].namespace == item.namespace for key in graph.requires(item.node.key)):
            yield Finding(item.address, "reads model-cache and does not wait for a cache Job of its namespace")


RULES_OF_A_GROUP = 60
"""Inbound rules of a security group by default (Amazon VPC quotas)."""


@rule(
    "exposed-narrowly",
    "Load balancers name who may connect.",
    "The frontend asks for no password: an open one is free inference for everybody.",
    of="stack",
)
def exposed_narrowly(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects_of("Service"):
        spec = item.manifest.get("spec") or {}
        if spec.get("type") != "LoadBalancer":
            continue
        yield Looked(item.address)
        ranges = spec.get("loadBalancerSourceRanges")
        if not ranges:
            yield Finding(item.address, "names no loadBalancerSourceRanges; set exposure.allowedCidrs")
        elif is_open(ranges):
            yield Finding(item.address, "is open to 0.0.0.0/0 (exposure.allowOpenAccess)", "warn")
        elif len(ranges) > RULES_OF_A_GROUP:
            yield Finding(
                item.address,
                f"names {len(ranges)} ranges, each a rule of the load balancer's security group, which takes {RULES_OF_A_GROUP} unless the "
                "quota is raised; join ranges, or raise it first",
                "warn",
            )


@rule(
    "download-memory",
    "Every cache Job has the memory its downloader buffers.",
    "The kernel kills the download halfway, again at every retry.",
    of="program",
)
def download_memory(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects_of("Job"):
        containers = item.manifest["spec"]["template"]["spec"]["containers"]
        for container in containers:
            environment = {entry["name"]: entry.get("value") for entry in container.get("env", ())}
            if "HF_XET_HIGH_PERFORMANCE" not in environment:
                continue
            yield Looked(item.address)
            floor_gib = MEMORY_GIB["full" if environment["HF_XET_HIGH_PERFORMANCE"] == "1" else "capped"]
            resources = container.get("resources", {})
            request, limit = (resources.get(part, {}).get("memory") for part in ("requests", "limits"))
            if request != limit:
                yield Finding(item.address, f"requests {request} and is limited to {limit}; they must be one number")
            if limit is None or mib(str(limit)) < floor_gib * 1024:
                yield Finding(item.address, f"is limited to {limit}; its downloader needs {floor_gib}Gi")
