"""Graphs: what they are made of and how they are reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from components import catalog
from components.capacity import instances
from components.dynamo import images, recipes
from components.dynamo.manifest import on_rack, roles
from components.dynamo.quantities import mib, milli
from components.dynamo.spec import Graph, Worker
from stacks.checks.command_lines import OWNED_ENVIRONMENT, arguments
from stacks.checks.draft import Draft
from stacks.checks.dynamo import OWNED_NAMESPACE, OWNED_NAMESPACES
from stacks.checks.memory import shared_memory
from stacks.checks.placement import placements
from stacks.checks.rollout import rollout
from stacks.checks.stack import opened_by
from stacks.faults import Fault, one_of
from stacks.tokens import is_secret

MOST_PODS = 2000
"""Pods of all graphs of a stack. Ours; 30 UltraServers have 540 nodes."""


def graphs(draft: Draft) -> Iterator[Fault]:
    pods = sum(
        graph.frontend.replicas + sum(worker.replicas * worker.nodes for worker in roles(graph).values())
        for graph in draft.graphs.values()
    )
    if pods > MOST_PODS:
        yield Fault(
            "too-many-pods",
            "graphs",
            f"graphs of at most {MOST_PODS:,} pods in all, each of which the plan places",
            pods,
        )
    for name, graph in draft.graphs.items():
        yield from _graph(draft, f"graphs.{name}", name, graph)
    yield from _shared_workers(draft)


GENERATION = re.compile(r"-([0-9a-f]{8}|legacy)")
"""What the operator appends to a graph's Dynamo namespace for one generation of its workers (ai-dynamo/dynamo #10998)."""


def _shared_workers(draft: Draft) -> Iterator[Fault]:
    """A frontend takes for its own the workers in every Dynamo namespace that begins with `<namespace>-<graph>`, its own, and
    looks for them in its Kubernetes namespace only (ai-dynamo/dynamo #10990; run with 1.4.0, 1.5.0 and 1.6.1). Told to be
    strict, it takes its own and those with a generation's suffix."""
    release = catalog.DYNAMO.get(draft.dynamo.version) if draft.dynamo else None
    if release is None:
        return
    for name, graph in draft.graphs.items():
        for other, its in draft.graphs.items():
            if other == name or its.namespace != graph.namespace or not other.startswith(name):
                continue
            if not release.strict_prefix:
                yield Fault(
                    "worker-names-collide",
                    f"graphs.{other}",
                    f"a name that does not begin with {name}: the frontend of {name} would serve the workers of {other} as "
                    f"its own, since Dynamo {release.version} finds them by the beginning of their name (dynamo #10990)",
                    other,
                    fix='rename one of the two, give them two namespaces, or set dynamo.version: "1.6.1", with which both may stay',
                )
            elif GENERATION.fullmatch(other[len(name) :]):
                yield Fault(
                    "worker-generation-collides",
                    f"graphs.{other}",
                    f"a name that does not look like {name} and a generation of its workers, which the frontend of {name} "
                    "would take it for",
                    other,
                    fix="rename one of the two, or give them two namespaces",
                )


def _graph(draft: Draft, key: str, name: str, graph: Graph) -> Iterator[Fault]:
    if graph.model not in draft.models and "models" not in draft.broken:
        yield Fault("model-unknown", f"{key}.model", one_of(graph.model, draft.models, "a key of models:"), graph.model)
    given = set(roles(graph))
    if given not in ({"worker"}, {"prefill", "decode"}):
        yield Fault(
            "graph-roles", key, "either worker (aggregated) or both prefill and decode (disaggregated)", sorted(given)
        )
        return
    aggregated = given == {"worker"}
    if aggregated and graph.transport != "none":
        yield Fault(
            "transport-without-handover",
            f"{key}.transport",
            "none, since an aggregated graph transfers no KV blocks",
            graph.transport,
        )
    if not aggregated and graph.transport == "none":
        choices = "nvlink or efa" if on_rack(graph) else "efa or tcp"
        yield Fault(
            "transport-missing", f"{key}.transport", f"{choices}, since prefill hands KV blocks to decode", "none"
        )
    if draft.dynamo and graph.namespace == draft.dynamo.namespace:
        yield Fault(
            "namespace-of-operator",
            f"{key}.namespace",
            "a namespace apart from the operator's (dynamo.namespace)",
            graph.namespace,
        )
    if graph.namespace in OWNED_NAMESPACES or graph.namespace.startswith("kube-"):
        yield Fault(
            "graph-namespace-not-ours", f"{key}.namespace", OWNED_NAMESPACE.format(graph.namespace), graph.namespace
        )
    if len(graph.namespace) + 1 + len(name) > 63:
        yield Fault(
            "graph-namespace-too-long",
            f"{key}.namespace",
            f"at most {62 - len(name)} characters: namespace and graph name make one label of at most 63 (dynamo #11709)",
            graph.namespace,
        )
    yield from _image(key, graph)
    yield from _exposure(draft, key, graph)
    for role, worker in roles(graph).items():
        yield from _worker(f"{key}.{role}", graph, worker)
        yield from arguments(draft, f"{key}.{role}", graph, worker)
    yield from _environment(f"{key}.frontend", graph.frontend)
    yield from arguments(draft, f"{key}.frontend", graph, graph.frontend)
    yield from _smoke_test(key, graph)
    yield from shared_memory(draft, key, graph)
    yield from _preset(draft, key, graph)
    yield from _frontend(draft, f"{key}.frontend", graph)
    yield from placements(draft, key, graph)
    yield from rollout(draft, key, name, graph)


def _smoke_test(key: str, graph: Graph) -> Iterator[Fault]:
    none = [role for role, worker in roles(graph).items() if worker.replicas == 0 and worker.scaled_by == "stack"]
    if graph.smoke_test and none:
        yield Fault(
            "smoke-test-of-nothing",
            f"{key}.smokeTest",
            f"no smoke test while {' and '.join(none)} has 0 replicas: nobody answers it, and `make up` would wait "
            f"{graph.smoke_test.timeout_minutes} minutes to fail",
            fix=f"take smokeTest away, or set {none[0]}.replicas to 1 or more",
        )


def _preset(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    release = draft.dynamo.version if draft.dynamo else None
    if graph.preset and release in catalog.DYNAMO and release not in (known := recipes.versions(graph.preset)):
        yield Fault(
            "preset-for-other-version",
            f"{key}.preset",
            f"another preset, or dynamo.version {' or '.join(known)}: {graph.preset} is for these",
            graph.preset,
        )


def _image(key: str, graph: Graph) -> Iterator[Fault]:
    image = graph.image
    if image and image.runtime_version is None and not images.version(image.tag):
        yield Fault(
            "runtime-version-missing",
            f"{key}.image.runtimeVersion",
            f"the runtime's version, since tag {image.tag!r} does not begin with one and the operator refuses it; required",
            add='runtimeVersion: "1.5.0"',
        )


def _exposure(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    exposure = graph.exposure
    if exposure.type == "clusterIP":
        if exposure.scheme == "public" or exposure.allowed_cidrs:
            yield Fault(
                "exposure-needs-nlb", f"{key}.exposure.type", "nlb, since scheme or allowedCidrs are given", "clusterIP"
            )
        return
    if draft.existing_cluster:
        yield Fault(
            "exposure-without-auto-mode",
            f"{key}.exposure.type",
            "clusterIP: an NLB is made by EKS Auto Mode only",
            "nlb",
        )
    if not exposure.allowed_cidrs:
        yield Fault(
            "exposure-without-ranges",
            f"{key}.exposure.allowedCidrs",
            "who may connect through the load balancer; the key is required",
            add="allowedCidrs: [10.0.0.0/8]",
        )
    elif (share := opened_by(exposure.allowed_cidrs)) and not exposure.allow_open_access:
        yield Fault(
            "exposure-to-everyone",
            f"{key}.exposure.allowedCidrs",
            f"ranges you know; {share} lets anyone use the model, and the frontend asks for no password",
            list(exposure.allowed_cidrs),
            fix="name your ranges, or set allowOpenAccess: true if it is meant",
        )
    network = draft.network
    if exposure.scheme == "public" and network and network.existing:
        without = sorted(zone for zone, pair in network.existing.subnets.items() if pair.public is None)
        if without:
            yield Fault(
                "exposure-without-public-subnet",
                f"{key}.exposure.scheme",
                f"internal, or a public subnet in {', '.join(without)}",
                "public",
            )


def _environment(key: str, part: Any) -> Iterator[Fault]:
    for name, value in part.env.items():
        if is_secret(name, value):
            hugging_face = name.startswith(("HF_", "HUGGING")) or value.startswith("hf_")
            yield Fault(
                "token-in-environment",
                f"{key}.env.{name}",
                "no token in clear; it must be revoked and given as a secret",
                "[hidden]",
                fix="pulumi config set --secret dynamo-eks:huggingFaceToken"
                if hugging_face
                else "keep it out of the stack file; only Hugging Face's token and the registry's password have a key here",
            )
        elif name in OWNED_ENVIRONMENT:
            yield Fault(
                "variable-owned",
                f"{key}.env.{name}",
                "another variable; the program sets this one from other keys",
                value,
            )


def _frontend(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    """A frontend off the racks runs on what the built-in general-purpose pool can launch."""
    if draft.existing_cluster or on_rack(graph):
        return
    cpu_milli, memory_mib = instances.allocatable(instances.LARGEST_GENERAL)
    if milli(graph.frontend.cpu) > cpu_milli:
        yield Fault(
            "frontend-cpu-too-large",
            f"{key}.cpu",
            f"at most {cpu_milli // 1000}, what the largest general-purpose node has",
            graph.frontend.cpu,
        )
    if mib(graph.frontend.memory) > memory_mib:
        yield Fault(
            "frontend-memory-too-large",
            f"{key}.memory",
            f"at most {memory_mib // 1024}Gi, what the largest general-purpose node has",
            graph.frontend.memory,
        )


def _worker(key: str, graph: Graph, worker: Worker) -> Iterator[Fault]:
    yield from _environment(key, worker)
    # Attention that is data-parallel inside the tensor-parallel group adds no ranks.
    data_parallel = 1 if worker.attention_data_parallel else worker.data_parallel
    product = worker.tensor_parallel * worker.pipeline_parallel * data_parallel
    if graph.backend == "mocker":
        if worker.gpus:
            yield Fault("mocker-with-gpus", f"{key}.gpus", "0, since the mocker computes nothing", worker.gpus)
        return
    if worker.gpus == 0:
        yield Fault(
            "worker-without-gpus", f"{key}.gpus", f"at least 1 for {graph.backend}; only the mocker runs without", 0
        )
        return
    parts = f"tensorParallel {worker.tensor_parallel} x pipelineParallel {worker.pipeline_parallel} x dataParallel {data_parallel}"
    if worker.nodes == 1 and product != worker.gpus:
        yield Fault("gpus-not-parallelism", f"{key}.gpus", f"{product}: {parts}", worker.gpus)
    elif product != worker.nodes * worker.gpus:
        yield Fault(
            "nodes-not-parallelism",
            f"{key}.nodes",
            f"nodes x gpus ({worker.nodes} x {worker.gpus} = {worker.nodes * worker.gpus}) equal to {product}: {parts}",
            worker.nodes,
            fix="set attentionDataParallel: true, if data-parallel attention on these GPUs is meant"
            if graph.backend == "sglang" and product == worker.nodes * worker.gpus * data_parallel
            else None,
        )
    if graph.transport == "tcp" and worker.kv_buffer_device == "cuda":
        yield Fault(
            "kv-buffer-on-gpu", f"{key}.kvBufferDevice", "cpu with transport: tcp, which cannot read GPU memory", "cuda"
        )
    if worker.efa and graph.transport != "efa":
        yield Fault("efa-with-other-transport", f"{key}.efa", f"no EFA with transport: {graph.transport}", worker.efa)
    type_ = graph.placement.instance_type
    if type_ is None or not instances.known(type_):
        return
    machine = instances.instance(type_)
    if worker.gpus > machine.gpus:
        yield Fault("gpus-beyond-node", f"{key}.gpus", f"at most {machine.gpus}, what a {type_} has", worker.gpus)
    if worker.efa is not None and worker.efa > machine.efa:
        yield Fault("efa-beyond-node", f"{key}.efa", f"at most {machine.efa}, what a {type_} has", worker.efa)
    if graph.transport == "efa" and worker.efa == 0:
        yield Fault("efa-missing", f"{key}.efa", "at least 1 with transport: efa", 0)
