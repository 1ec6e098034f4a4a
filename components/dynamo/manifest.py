"""From a graph's settings to its `nvidia.com/v1beta1` DynamoGraphDeployment. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..capacity.instances import Instance, allocatable
from ..capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL, RACK_MARK
from ..catalog import DynamoRelease
from . import backends, fabric, images
from .compute_domain import CLAIM, GROVE_GROUP, domain_of, template_of
from .download import MOUNT, snapshot_path
from .interruption import COMPONENT_LABEL, GRAPH_LABEL, pace
from .model_paths import named, resolved
from .quantities import mib
from .spec import Frontend, Graph, ModelSource, Worker

API_VERSION = "nvidia.com/v1beta1"
KIND = "DynamoGraphDeployment"

ROOM = "dynamo-eks/room-for"
"""Annotation of a graph: how many replicas room is planned for, of each component that others scale."""

COMPILATION_MOUNT = "/home/dynamo/.cache/vllm"
"""The images run as user dynamo; the operator's own default lies under /root."""

GPU, EFA, HUGE_PAGES = "nvidia.com/gpu", "vpc.amazonaws.com/efa", "hugepages-2Mi"

CLIQUE_GROUP_LABEL = "dynamo-eks/clique-group"
"""Label of workers that must be in one NVLink domain; their affinity to one another selects by it. A label of its own,
since the frontend carries the graph's and is nowhere near a rack when it is the first pod."""

RACK_RESERVE_CPU_MILLI, RACK_RESERVE_MEMORY_MIB = 8000, 16 * 1024
"""Left free on a rack's nodes by workers that state no CPU and memory: for a frontend, and for the daemon pod that a
ComputeDomain puts on each of its nodes."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a graph finds in its stack."""

    release: DynamoRelease
    machine: Instance | None
    """The instance its workers are sized for; None without GPUs."""
    zone_names: Mapping[str, str]
    """Zone name by zone id."""
    zoned: bool = True
    """Whether every node has a zone. Nodes of an existing cluster may have none."""
    pool_zones: tuple[str, ...] = ()
    """Names of the zones its pool launches in, where those are not all of the network's."""
    image_pull_secret: str | None = None
    others: Mapping[str, ModelSource] = field(default_factory=dict)
    """Models by key that a graph's words may name beside its own (`model_paths`); they are in the cache as well."""
    caches: frozenset[str] = frozenset()
    """Claims in the graph's namespace."""
    surge_room: bool = True
    """Whether machines can come, or stand free, for workers that an update puts beside those that are there."""
    queue: str | None = None
    """Queue of the gang scheduler; None where the stack has none."""
    topology: str | None = None
    """Topology binding of the gang scheduler, and `rack_domain` its level that is one NVLink domain."""
    rack_domain: str = "rack"


def on_rack(graph: Graph) -> bool:
    """Whether the graph runs on an UltraServer."""
    racks = [graph.placement.ultra_server, *(worker.ultra_server for worker in roles(graph).values())]
    return graph.placement.any_ultra_server or any(racks)


def rack_of(graph: Graph, role: str) -> str | None:
    """UltraServer of a role; None where the gang scheduler chooses."""
    worker = roles(graph).get(role)
    return (worker.ultra_server if worker else None) or graph.placement.ultra_server


def ganged(graph: Graph) -> bool:
    """Whether the graph needs the gang scheduler: a worker of several nodes, or one rack of any for all of it."""
    return graph.placement.any_ultra_server or any(worker.nodes > 1 for worker in roles(graph).values())


def clique_group(name: str, graph: Graph, role: str) -> str | None:
    """Workers with the same answer share one NVLink domain; None for those that need not."""
    if graph.compute_domain in (None, "none"):
        return None
    return f"{name}-{role}" if graph.compute_domain == "perRole" else name


def roles(graph: Graph) -> dict[str, Worker]:
    """Worker roles of a graph: `worker`, or `prefill` and `decode`."""
    found = {"worker": graph.worker, "prefill": graph.prefill, "decode": graph.decode}
    return {role: worker for role, worker in found.items() if worker is not None}


def room_for_others(graph: Graph) -> dict[str, int]:
    """Components that others scale, each with the number of replicas that room is planned for."""
    parts: dict[str, Worker | Frontend] = {"frontend": graph.frontend, **roles(graph)}
    return {role: part.replicas for role, part in parts.items() if part.scaled_by == "others"}


def _replicas(part: Worker | Frontend) -> dict[str, int]:
    """Nothing for what others scale: a field that is sent is a field that is owned, and set back."""
    return {} if part.scaled_by == "others" else {"replicas": part.replicas}


def manifest(name: str, graph: Graph, model: ModelSource, around: Surroundings) -> dict[str, Any]:
    """The complete object. Everything in it is known before anything runs."""
    staged = [model, *(around.others[key] for key in named(graph)[1:])]
    graph = resolved(graph, around.others)
    if ganged(graph):
        annotations = {"nvidia.com/kai-scheduler-queue": around.queue}
    else:
        # Without the opt-out a Grove installed later would turn single-node graphs into PodCliqueSets.
        annotations = {"nvidia.com/enable-grove": "false"}
    if not graph.pod_monitor:
        annotations["nvidia.com/enable-metrics"] = "false"
    # What the stack sends is the stack's, whoever has written it meanwhile. Without this, one `kubectl patch` of a number of
    # replicas has every later change of the graph refused (pulumi-kubernetes, server-side apply).
    annotations["pulumi.com/patchForce"] = "true"
    if room := room_for_others(graph):
        annotations[ROOM] = ",".join(f"{role}={count}" for role, count in room.items())
    spec: dict[str, Any] = {"components": [_frontend(name, graph, around)]}
    if graph.backend != "mocker":
        spec["backendFramework"] = graph.backend
    if graph.placement.any_ultra_server:
        # The whole graph in one NVLink domain, whichever is free: with affinity alone its first pod may choose a rack
        # that is half used, and the rest never fit.
        spec["topologyConstraint"] = {"clusterTopologyName": around.topology, "packDomain": around.rack_domain}
    for role, worker in roles(graph).items():
        spec["components"].append(_worker(name, graph, staged, around, role, worker))
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": graph.namespace, "annotations": annotations},
        "spec": spec,
    }


def digest(rendered: Mapping[str, Any]) -> str:
    """Changes when anything of the object changes."""
    return hashlib.sha256(json.dumps(rendered, sort_keys=True).encode()).hexdigest()[:12]


def identity(rendered: Mapping[str, Any]) -> list[Any]:
    """What the operator lets nobody change: framework, component names, topology, and whether Grove runs it. A change
    replaces the graph."""
    spec = rendered["spec"]
    fixed = [spec.get("backendFramework", ""), sorted(component["name"] for component in spec["components"])]
    # Only where they say something, so that graphs made before these were known are not replaced for it.
    if "topologyConstraint" in spec:
        fixed.append(spec["topologyConstraint"]["packDomain"])
    if "nvidia.com/enable-grove" not in rendered["metadata"]["annotations"]:
        fixed.append("grove")
    return fixed


def served_name(graph: Graph, model: ModelSource) -> str:
    """Name that clients ask for."""
    return graph.served_model_name or model.repository


def _image(graph: Graph, around: Surroundings) -> tuple[str, str | None]:
    """The workers' image, and the version to tell the operator where the tag does not."""
    if graph.image is None:
        return around.release.image(graph.backend), None
    tag = graph.image.tag
    override = None if images.version(tag) else graph.image.runtime_version
    return f"{graph.image.repository}:{tag}", override


def _model_volume() -> tuple[dict[str, Any], dict[str, Any]]:
    volume = {"name": "model-cache", "persistentVolumeClaim": {"claimName": "model-cache"}}
    # Read only: a worker can neither damage the cache nor reach for a file that is not in it.
    return volume, {"name": "model-cache", "mountPath": MOUNT, "readOnly": True}


def _environment(fixed: Mapping[str, str], given: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": key, "value": value} for key, value in {**fixed, **given}.items()]


_OFFLINE = {"HF_HOME": MOUNT, "HF_HUB_OFFLINE": "1"}


ENDING_SECONDS = 15
"""What a pod's end takes besides running requests: 5 s until the routers know (Dynamo's default), and the engine's own end."""


ENDING_LIMITS = (
    "DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
    "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
    "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT",
)
"""Dynamo's limits for running requests of a pod that ends."""

SERVING_LIMIT = "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS"
"""The engines' own, in workers alone."""


def _ending(graph: Graph) -> dict[str, str]:
    """How long Dynamo lets running requests finish, within the time that Kubernetes gives the pod. Its own limits are 5 s for a
    frontend's answers, 30 s for a worker, and 900 s for the runtime, which outlasts the pod (ai-dynamo/dynamo #13559; Dynamo's
    guide to graceful shutdown, read 2026-11-26)."""
    return dict.fromkeys(ENDING_LIMITS, str(graph.termination_grace_seconds - ENDING_SECONDS))


def _serving_on(graph: Graph) -> dict[str, str]:
    """How long an engine goes on with its requests when its pod is deleted. After it, by default 5 s, the workers of vLLM, SGLang and
    TensorRT-LLM abort what still runs; until then they wait, busy or not (dynamo/common/utils/graceful_shutdown.py of 1.4.0,
    1.5.0 and 1.6.1; ai-dynamo/dynamo #14872). The mocker has nothing of the kind."""
    if graph.backend == "mocker":
        return {}
    return {SERVING_LIMIT: str(graph.termination_grace_seconds - ENDING_SECONDS)}


def _same_clique(group: str) -> dict[str, Any]:
    """Keeps workers of a group in one NVLink domain. The first one chooses among the nodes its selector allows, so the
    graph also names its rack."""
    term = {"labelSelector": {"matchLabels": {CLIQUE_GROUP_LABEL: group}}, "topologyKey": CLIQUE_LABEL}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _rack_selector(graph: Graph, role: str) -> dict[str, str]:
    """Nodes of the role's UltraServer, or of any; images are the arm64 ones there."""
    rack = rack_of(graph, role)
    return {"kubernetes.io/arch": "arm64", **({RACK_LABEL: rack} if rack else {RACK_MARK: "true"})}


_TOLERATIONS = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def _in_one_zone(graph: Graph, around: Surroundings) -> bool:
    """Whether the graph's pods are kept in one zone. Where nodes have no zone such pods fit nowhere, so there it has to be
    asked for."""
    stated = graph.placement.same_zone
    return around.zoned if stated is None else stated


def _same_zone(name: str) -> dict[str, Any]:
    term = {
        "labelSelector": {"matchLabels": {GRAPH_LABEL: name}},
        "topologyKey": "topology.kubernetes.io/zone",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _apart(name: str, graph: Graph, role: str) -> dict[str, Any]:
    """Keeps prefill and decode on different nodes."""
    how = graph.placement.anti_affinity
    if how == "none" or role not in ("prefill", "decode"):
        return {}
    other = "decode" if role == "prefill" else "prefill"
    term = {
        "labelSelector": {"matchLabels": {GRAPH_LABEL: name, COMPONENT_LABEL: other}},
        "topologyKey": "kubernetes.io/hostname",
    }
    if how == "required":
        return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _pod(
    graph: Graph, around: Surroundings, spec: dict[str, Any], metadata: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    if around.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": around.image_pull_secret}]
    spec["terminationGracePeriodSeconds"] = graph.termination_grace_seconds
    held = {key: value for key, value in (metadata or {}).items() if value}
    return {**({"metadata": held} if held else {}), "spec": {key: value for key, value in spec.items() if value}}


def _zone_selector(graph: Graph, around: Surroundings) -> dict[str, str]:
    zone = graph.placement.zone
    return {"topology.kubernetes.io/zone": around.zone_names[zone]} if zone else {}


def _frontend_affinity(name: str, graph: Graph, around: Surroundings) -> dict[str, Any]:
    """Keeps the frontend in its graph's zone, which must be one where the workers' pool launches: it is bound first, and
    where it is the workers have to follow."""
    if on_rack(graph) or not _in_one_zone(graph, around):
        return {}
    if graph.placement.zone or not around.pool_zones:
        return _same_zone(name)
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": list(around.pool_zones)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [zones]}]}
    return {**_same_zone(name), "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _scope(around: Surroundings) -> dict[str, str]:
    """Keeps the frontend to the workers of its own graph, where it can be told so. Those before serve every graph whose name
    begins with theirs, which the settings refuse (stacks/checks/graphs.py)."""
    return {"DYN_NAMESPACE_PREFIX_STRICT": "true"} if around.release.strict_prefix else {}


def _frontend(name: str, graph: Graph, around: Surroundings) -> dict[str, Any]:
    frontend = graph.frontend
    args = ["--router-mode", frontend.router]
    if frontend.router == "kv" and graph.kv_block_tokens:
        args += ["--kv-cache-block-size", str(graph.kv_block_tokens)]
    if frontend.router == "kv" and frontend.replicas > 1:
        # Off by default: each frontend would send as if the other had sent nothing.
        args.append("--router-replica-sync")
    if frontend.migration_limit:
        args += ["--migration-limit", str(frontend.migration_limit)]
    volume, mount = _model_volume()
    container = {
        "name": "main",
        "image": around.release.image("frontend"),
        "command": ["python3", "-m", "dynamo.frontend"],
        "args": [*args, *frontend.extra_args],
        "env": _environment({**_OFFLINE, **_ending(graph), **_scope(around)}, frontend.env),
        "resources": {
            "requests": {"cpu": frontend.cpu, "memory": frontend.memory},
            "limits": {"memory": frontend.memory},
        },
        # The frontend tokenizes, with the files the workers name by their path in the cache.
        "volumeMounts": [mount],
    }
    return {
        "name": "frontend",
        "type": "frontend",
        **_replicas(frontend),
        "podTemplate": _pod(
            graph,
            around,
            {
                "containers": [container],
                "volumes": [volume],
                # On a rack the frontend stays with its workers, one hop away; the rack is the zone.
                "nodeSelector": _rack_selector(graph, _first_role(graph))
                if on_rack(graph)
                else _zone_selector(graph, around),
                "affinity": _frontend_affinity(name, graph, around),
                "tolerations": list(_TOLERATIONS) if on_rack(graph) else [],
            },
        ),
    }


def _first_role(graph: Graph) -> str:
    """The role whose rack the frontend is on: decode, which streams the answer, or the only one."""
    return "decode" if graph.decode is not None else "worker"


def efa_count(graph: Graph, worker: Worker, machine: Instance | None) -> int:
    """EFA interfaces of a worker: those asked for, or all of its node's."""
    if graph.transport != "efa" or machine is None:
        return 0
    return machine.efa if worker.efa is None else worker.efa


def share(graph: Graph, worker: Worker, machine: Instance) -> tuple[int, int]:
    """CPU (cores) and memory (GiB) of a worker by default: its part of what the node has for pods, by GPUs, or all of it
    when it takes every EFA interface and so leaves no room for another."""
    cpu, memory = allocatable(machine)
    if on_rack(graph):
        cpu, memory = cpu - RACK_RESERVE_CPU_MILLI, memory - RACK_RESERVE_MEMORY_MIB
    whole = machine.efa and efa_count(graph, worker, machine) == machine.efa
    part = 1.0 if whole else worker.gpus / max(machine.gpus, 1)
    return max(1, int(cpu * part) // 1000), max(1, int(memory * part) // 1024)


def cpu_and_memory(graph: Graph, worker: Worker, machine: Instance | None) -> tuple[str, str]:
    """What a worker asks for: as stated, or its share of the machine."""
    cores, memory_gib = share(graph, worker, machine) if machine else (1, 2)
    return worker.cpu or str(cores), worker.memory or f"{memory_gib}Gi"


SHARED_MEMORY_MIB = 16 * 1024
"""Of /dev/shm by default; Docker's 64 MiB are too few for NCCL and the engines' own processes (vLLM, deployment with Docker)."""


def shared_memory(graph: Graph, worker: Worker, machine: Instance | None) -> str:
    """Size of a worker's /dev/shm. It is memory of the pod: one as large as that would have the pod killed when it fills."""
    memory = mib(cpu_and_memory(graph, worker, machine)[1])
    if worker.shared_memory or memory >= 2 * SHARED_MEMORY_MIB:
        return worker.shared_memory or f"{SHARED_MEMORY_MIB // 1024}Gi"
    return f"{memory // 2}Mi"


def _resources(graph: Graph, worker: Worker, machine: Instance | None) -> dict[str, Any]:
    cpu, memory = cpu_and_memory(graph, worker, machine)
    devices: dict[str, str] = {}
    if worker.gpus:
        devices[GPU] = str(worker.gpus)
    if efa := efa_count(graph, worker, machine):
        devices[EFA] = str(efa)
    if worker.huge_pages_mib:
        devices[HUGE_PAGES] = f"{worker.huge_pages_mib}Mi"
    return {"requests": {"cpu": cpu, "memory": memory, **devices}, "limits": {"memory": memory, **devices}}


MODULES = "model-code"
"""Volume for the Python that a model brings, and its place. Transformers copies it there before it runs it, and its own place is in
the model cache, which is read only (OSError 30, llm-d-modelservice #243)."""

MODULES_MOUNT = "/home/dynamo/model-code"


def runs_model_code(worker: Worker) -> bool:
    """Whether a worker is told to run what the model brings."""
    told = {argument.partition("=")[0].replace("_", "-") for argument in worker.extra_args}
    return "--trust-remote-code" in told or worker.engine.get("trust_remote_code") is True


STAGED = "staged-model"
"""Volume on the node's NVMe disks that a pod copies its model to."""


def _staging(image: str, models: Sequence[ModelSource], mount: Mapping[str, Any]) -> dict[str, Any]:
    """Copies one revision of each model from the shared cache, with many files at a time: one stream over a network file system reaches a
    fraction of what it can do. The links of the cache become files, so the worker needs nothing of the cache."""
    script = "set -eu"
    for path in dict.fromkeys(snapshot_path(model.repository, model.revision) for model in models):
        script += (
            f"; mkdir -p {path}; cd /source{path.removeprefix(MOUNT)}; "
            f"find -L . -type d -exec mkdir -p {path}/{{}} ';'; "
            f"find -L . -type f -print0 | xargs -0 -P 32 -I{{}} cp -L {{}} {path}/{{}}"
        )
    return {
        "name": "stage-model",
        "image": image,
        "command": ["/bin/sh", "-c"],
        "args": [script],
        "volumeMounts": [
            {**mount, "mountPath": "/source"},
            {"name": STAGED, "mountPath": MOUNT},
        ],
    }


def _affinity(name: str, graph: Graph, around: Surroundings, role: str, group: str | None) -> dict[str, Any]:
    """What else a worker must be near to, or apart from."""
    near: dict[str, Any] = {}
    if on_rack(graph):
        # With a rack to be chosen the gang scheduler keeps the group together.
        near = _same_clique(group) if group and not graph.placement.any_ultra_server else {}
    elif _in_one_zone(graph, around):
        near = _same_zone(name)
    return {**near, **_apart(name, graph, role)}


def _worker(
    name: str, graph: Graph, models: Sequence[ModelSource], around: Surroundings, role: str, worker: Worker
) -> dict[str, Any]:
    model = models[0]
    started = backends.launch(
        graph.backend,
        backends.Started(
            worker=worker,
            model_path=snapshot_path(model.repository, model.revision),
            served_model_name=served_name(graph, model),
            role=role,  # type: ignore[arg-type] roles() gives these three words
            transport=graph.transport,
            kv_router=graph.frontend.router == "kv",
            kv_block_tokens=graph.kv_block_tokens,
            speedup_ratio=graph.speedup_ratio,
        ),
    )
    volume, mount = _model_volume()
    volumes, staging = [volume], []
    image, override = _image(graph, around)
    if graph.weights == "nvme":
        staging = [_staging(image, models, mount)]
        mount = {"name": STAGED, "mountPath": MOUNT, "readOnly": True}
        volumes.append({"name": STAGED, "emptyDir": {}})
    mounts, code = [mount], {}
    if runs_model_code(worker):
        volumes.append({"name": MODULES, "emptyDir": {}})
        mounts.append({"name": MODULES, "mountPath": MODULES_MOUNT})
        code = {"HF_MODULES_CACHE": MODULES_MOUNT}
    rack, domain, group = on_rack(graph), domain_of(name, graph, role), clique_group(name, graph, role)
    across = (
        fabric.environment(
            domain=graph.compute_domain != "none", transport=graph.transport, huge_pages_mib=worker.huge_pages_mib
        )
        if rack
        else {}
    )
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "command": list(started.command),
        "args": [*started.args, *worker.extra_args],
        "env": _environment(
            {**_OFFLINE, **_ending(graph), **_serving_on(graph), **code, **across, **started.env}, worker.env
        ),
        "resources": _resources(graph, worker, around.machine),
        "volumeMounts": mounts,
    }
    if domain:
        container["resources"]["claims"] = [{"name": CLAIM}]
    if role != "worker" and graph.backend != "mocker":
        privileged = graph.transport == "efa" and (graph.efa_security == "privileged" if graph.efa_security else rack)
        # NIXL pins the buffers it registers; without IPC_LOCK registration fails beyond 64 KiB.
        container["securityContext"] = {"privileged": True} if privileged else {"capabilities": {"add": ["IPC_LOCK"]}}
    if not around.release.lenient_liveness and graph.backend != "mocker":
        # Before 1.5.0 one missed probe restarts a worker (ai-dynamo/dynamo #13512); drop it with support for 1.4.
        container["livenessProbe"] = {
            "httpGet": {"path": "/live", "port": "system"},
            "periodSeconds": 5,
            "timeoutSeconds": 4,
            "failureThreshold": 3,
        }
    placement = graph.placement
    selector = _rack_selector(graph, role) if rack else _zone_selector(graph, around)
    if placement.pool:
        selector["karpenter.sh/nodepool"] = placement.pool
    if placement.instance_type:
        selector["node.kubernetes.io/instance-type"] = placement.instance_type
    if placement.reserved_only:
        selector["karpenter.sh/capacity-type"] = "reserved"
    component: dict[str, Any] = {
        "name": role,
        "type": role,
        **_replicas(worker),
        "podTemplate": _pod(
            graph,
            around,
            {
                "initContainers": staging,
                "containers": [container],
                "volumes": volumes,
                "resourceClaims": [{"name": CLAIM, "resourceClaimTemplateName": template_of(domain)}] if domain else [],
                "hostIPC": graph.host_ipc,
                "nodeSelector": selector,
                "affinity": _affinity(name, graph, around, role, group),
                "tolerations": list(_TOLERATIONS) if worker.gpus else [],
            },
            {
                "labels": {CLIQUE_GROUP_LABEL: group} if group else {},
                # On the pods and not on the graph: Grove refuses the group on a clique without GPUs, such as the frontend.
                "annotations": {
                    **({GROVE_GROUP: name} if graph.compute_domain == "groveAuto" else {}),
                    **({} if ganged(graph) else pace(graph, roomy=around.surge_room)),
                },
            },
        ),
    }
    if worker.nodes > 1:
        component["multinode"] = {"nodeCount": worker.nodes}
    if graph.backend != "mocker" or worker.shared_memory:
        component["sharedMemorySize"] = shared_memory(graph, worker, around.machine)
    if graph.compilation_cache and graph.backend == "vllm" and "compilation-cache" in around.caches:
        component["compilationCache"] = {"pvcName": "compilation-cache", "mountPath": COMPILATION_MOUNT}
    if override:
        component["runtimeVersionOverride"] = override
    return component
