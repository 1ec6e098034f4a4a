"""From a graph's settings to its `nvidia.com/v1beta1` DynamoGraphDeployment. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.capacity.instances import Instance, allocatable
from components.catalog import DynamoRelease
from components.dynamo import backends
from components.dynamo.download import MOUNT, snapshot_path
from stacks.models import Graph, ModelSource, Worker

API_VERSION = "nvidia.com/v1beta1"
KIND = "DynamoGraphDeployment"

COMPILATION_MOUNT = "/home/dynamo/.cache/vllm"
"""The images run as user dynamo; the operator's own default lies under /root."""

GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
COMPONENT_LABEL = "nvidia.com/dynamo-component"
"""Labels the operator puts on every pod of a graph (operator v1beta1)."""

GPU, EFA = "nvidia.com/gpu", "vpc.amazonaws.com/efa"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a graph finds in its stack."""

    release: DynamoRelease
    machine: Instance | None
    """The instance its workers are sized for; None without GPUs."""
    zone_names: Mapping[str, str]
    """Zone name by zone id."""
    image_pull_secret: str | None = None
    caches: frozenset[str] = frozenset()
    """Claims in the graph's namespace."""


def roles(graph: Graph) -> dict[str, Worker]:
    """Worker roles of a graph: `worker`, or `prefill` and `decode`."""
    found = {"worker": graph.worker, "prefill": graph.prefill, "decode": graph.decode}
    return {role: worker for role, worker in found.items() if worker is not None}


def manifest(name: str, graph: Graph, model: ModelSource, around: Surroundings) -> dict[str, Any]:
    """The complete object. Everything in it is known before anything runs."""
    annotations = {
        # Without the opt-out a Grove installed later would turn single-node graphs into PodCliqueSets.
        "nvidia.com/enable-grove": "false",
    }
    if not graph.pod_monitor:
        annotations["nvidia.com/enable-metrics"] = "false"
    spec: dict[str, Any] = {"components": [_frontend(name, graph, model, around)]}
    if graph.backend != "mocker":
        spec["backendFramework"] = graph.backend
    for role, worker in roles(graph).items():
        spec["components"].append(_worker(name, graph, model, around, role, worker))
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
    """What the operator lets nobody change: framework and component names. A change replaces the graph."""
    spec = rendered["spec"]
    return [spec.get("backendFramework", ""), sorted(component["name"] for component in spec["components"])]


def served_name(graph: Graph, model: ModelSource) -> str:
    """Name that clients ask for."""
    return graph.served_model_name or model.repository


def _image(graph: Graph, around: Surroundings, part: str) -> tuple[str, str | None]:
    """A component's image, and the version to tell the operator where the tag does not."""
    if part != "frontend" and graph.image is not None:
        tag = graph.image.tag
        override = None if re.match(r"^v?\d+\.\d+\.\d+", tag) else graph.image.runtime_version
        return f"{graph.image.repository}:{tag}", override
    return around.release.image(part), None


def _model_volume(read_only: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    volume = {"name": "model-cache", "persistentVolumeClaim": {"claimName": "model-cache"}}
    # Read only: a worker can neither damage the cache nor reach for a file that is not in it.
    return volume, {"name": "model-cache", "mountPath": MOUNT, "readOnly": read_only}


def _environment(fixed: Mapping[str, str], given: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": key, "value": value} for key, value in {**fixed, **given}.items()]


_OFFLINE = {"HF_HOME": MOUNT, "HF_HUB_OFFLINE": "1"}


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


def _pod(graph: Graph, around: Surroundings, spec: dict[str, Any]) -> dict[str, Any]:
    if around.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": around.image_pull_secret}]
    spec["terminationGracePeriodSeconds"] = graph.termination_grace_seconds
    return {"spec": {key: value for key, value in spec.items() if value}}


def _zone_selector(graph: Graph, around: Surroundings) -> dict[str, str]:
    zone = graph.placement.zone
    return {"topology.kubernetes.io/zone": around.zone_names[zone]} if zone else {}


def _frontend(name: str, graph: Graph, model: ModelSource, around: Surroundings) -> dict[str, Any]:
    frontend = graph.frontend
    args = ["--router-mode", frontend.router]
    if frontend.router == "kv":
        args += ["--kv-cache-block-size", str(backends.KV_BLOCK_TOKENS[graph.backend])]
    volume, mount = _model_volume()
    image, override = _image(graph, around, "frontend")
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-m", "dynamo.frontend"],
        "args": [*args, *frontend.extra_args],
        "env": _environment(_OFFLINE, frontend.env),
        "resources": {
            "requests": {"cpu": frontend.cpu, "memory": frontend.memory},
            "limits": {"memory": frontend.memory},
        },
        # The frontend tokenizes, with the files the workers name by their path in the cache.
        "volumeMounts": [mount],
    }
    component: dict[str, Any] = {
        "name": "frontend",
        "type": "frontend",
        "replicas": frontend.replicas,
        "podTemplate": _pod(
            graph,
            around,
            {
                "containers": [container],
                "volumes": [volume],
                "nodeSelector": _zone_selector(graph, around),
                "affinity": _same_zone(name) if graph.placement.same_zone else {},
            },
        ),
    }
    if override:
        component["runtimeVersionOverride"] = override
    return component


def efa_count(graph: Graph, worker: Worker, machine: Instance | None) -> int:
    """EFA interfaces of a worker: those asked for, or all of its node's."""
    if graph.transport != "efa" or machine is None:
        return 0
    return machine.efa if worker.efa is None else worker.efa


def share(graph: Graph, worker: Worker, machine: Instance) -> tuple[int, int]:
    """CPU (cores) and memory (GiB) of a worker by default: its part of what the node has for pods, by GPUs, or all of it
    when it takes every EFA interface and so leaves no room for another."""
    cpu, memory = allocatable(machine)
    whole = machine.efa and efa_count(graph, worker, machine) == machine.efa
    part = 1.0 if whole else worker.gpus / max(machine.gpus, 1)
    return max(1, int(cpu * part) // 1000), max(1, int(memory * part) // 1024)


def _resources(graph: Graph, worker: Worker, machine: Instance | None) -> dict[str, Any]:
    cores, memory_gib = share(graph, worker, machine) if machine else (1, 2)
    cpu, memory = worker.cpu or str(cores), worker.memory or f"{memory_gib}Gi"
    devices: dict[str, str] = {}
    if worker.gpus:
        devices[GPU] = str(worker.gpus)
    if efa := efa_count(graph, worker, machine):
        devices[EFA] = str(efa)
    return {"requests": {"cpu": cpu, "memory": memory, **devices}, "limits": {"memory": memory, **devices}}


def _worker(
    name: str, graph: Graph, model: ModelSource, around: Surroundings, role: str, worker: Worker
) -> dict[str, Any]:
    started = backends.launch(
        graph.backend,
        backends.WorkerSpec(
            model_path=snapshot_path(model.repository, model.revision),
            served_model_name=served_name(graph, model),
            role=role,  # type: ignore[arg-type] roles() gives these three words
            transport=graph.transport,
            tensor_parallel=worker.tensor_parallel,
            pipeline_parallel=worker.pipeline_parallel,
            data_parallel=worker.data_parallel,
            kv_router=graph.frontend.router == "kv",
            kv_buffer_device=worker.kv_buffer_device or ("cpu" if graph.transport == "tcp" else "cuda"),
            speedup_ratio=graph.speedup_ratio,
        ),
    )
    volume, mount = _model_volume()
    image, override = _image(graph, around, graph.backend)
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "command": list(started.command),
        "args": [*started.args, *worker.extra_args],
        "env": _environment({**_OFFLINE, **started.env}, worker.env),
        "resources": _resources(graph, worker, around.machine),
        "volumeMounts": [mount],
    }
    if role != "worker" and graph.backend != "mocker":
        privileged = graph.transport == "efa" and graph.efa_security == "privileged"
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
    selector = _zone_selector(graph, around)
    placement = graph.placement
    if placement.pool:
        selector["karpenter.sh/nodepool"] = placement.pool
    if placement.instance_type:
        selector["node.kubernetes.io/instance-type"] = placement.instance_type
    if placement.reserved_only:
        selector["karpenter.sh/capacity-type"] = "reserved"
    component: dict[str, Any] = {
        "name": role,
        "type": role,
        "replicas": worker.replicas,
        "podTemplate": _pod(
            graph,
            around,
            {
                "containers": [container],
                "volumes": [volume],
                "nodeSelector": selector,
                "affinity": {**(_same_zone(name) if placement.same_zone else {}), **_apart(name, graph, role)},
                "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if worker.gpus else [],
            },
        ),
    }
    if graph.backend != "mocker":
        component["sharedMemorySize"] = worker.shared_memory
    if graph.compilation_cache and graph.backend == "vllm" and "compilation-cache" in around.caches:
        component["compilationCache"] = {"pvcName": "compilation-cache", "mountPath": COMPILATION_MOUNT}
    if override:
        component["runtimeVersionOverride"] = override
    return component
