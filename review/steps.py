"""What every resource of a plan waits for and how long it takes; and of each graph what comes after its object is stored.

The edges are those that the engine honours. A graph's object is stored in a second; node, image, weights and engine follow as steps
of their own, one chain for each role, and end in its first token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from components.capacity.instances import Instance
from components.dynamo.expected_pods import expected_pods
from components.dynamo.models import table
from components.dynamo.models.facts import ModelFacts
from recording.durations import Duration, row_of
from recording.graph import Graph, KubernetesObject, Node
from rules.graphs import GPU, POOL, graphs
from rules.models import Served, served

GB = 1e9

IMAGE_GB, MOCKER_IMAGE_GB = 12, 2
"""Size of an engine's image and of the mocker's. Assumed: NVIDIA's registry is not readable; others' vLLM images have 8 to 12 GB."""

PARALLEL_VCPU = 48
"""From so many vCPU a parallel pull is three times as fast: unpacking is what takes the time (measurements in durations.json)."""

LARGE_EXPERTS, LARGE_BYTES = 128, 200e9
"""A mixture of so many experts and bytes warms up kernels for each of their shapes before it answers."""

LADDER = "dynamo-eks:index:VerificationLadder"
MODEL_CACHE = "dynamo-eks:index:ModelCache"
PINNED_MEMORY = "dynamo-eks:index:PinnedMemory"
SMOKE_TEST = "dynamo-eks:index:SmokeTest"
RUNGS: Mapping[str, str] = {
    "devices": "rung-devices",
    "imex": "rung-imex",
    "nvbandwidth": "rung-measured",
    "nccl": "rung-measured",
    "efa": "rung-measured",
}

STAGES: Mapping[str, str] = {
    "Network": "network",
    "ExistingNetwork": "network",
    "AutoModeCluster": "control plane",
    "ClusterAddons": "add-ons",
    "HybridAddons": "add-ons",
    "SharedFiles": "shared files",
    "StorageClasses": "shared files",
    "UltraServerNodes": "rack",
    "RackRole": "rack",
    "DraDriver": "NVIDIA stack",
    "GpuOperator": "NVIDIA stack",
    "EfaPlugin": "NVIDIA stack",
    "GangScheduler": "gang scheduler",
    "MpiOperator": "verification",
    "VerificationLadder": "verification",
    "PinnedMemory": "verification",
    "DynamoPlatform": "Dynamo operator",
    "PlatformCheck": "Dynamo operator",
    "ModelCache": "download",
    "SmokeTest": "smoke test",
}
"""What a reader calls the parts of a stack, by component; a chain of a graph names its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the durations, and how many of its units."""

    row: str
    amount: float = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Something that takes time, or that others wait for."""

    key: str
    """Key of the resource; of what a graph goes through, behind its key, role and stage."""
    of: str
    """Key of the resource that it belongs to."""
    after: tuple[str, ...]
    """Keys of what it waits for."""
    stage: str
    what: str
    parts: tuple[Part, ...] = field(default=())

    def seconds(self, table: Mapping[str, Duration], which: str = "median_s") -> float:
        """How long it takes; a user's own time for this very step goes before its parts."""
        if self.key in table:
            return getattr(table[self.key], which)
        return sum(getattr(table[part.row], which) * part.amount for part in self.parts)


def first_token(item: KubernetesObject) -> str:
    """Key of the moment at which a graph answers."""
    return f"{item.node.key}/first-token"


def steps(graph: Graph) -> list[Step]:
    """Every step, each after what it waits for."""
    return list(_steps(graph))


def _steps(graph: Graph) -> Iterator[Step]:
    # Registration order is an order in which it can be made: what comes of a graph stands right behind its object.
    items = {item.node.key: item for item in graphs(graph)}
    roles: dict[str, list[Served]] = {}
    for found in served(graph):
        roles.setdefault(found.graph.node.key, []).append(found)
    pods_at, own_nodes = _first_pods(graph), bool(graph.of("aws:eks/cluster:Cluster"))
    for node in graph:
        item = items.get(node.key)
        after = tuple(graph.direct(node))
        if node.type == "kubernetes:batch/v1:Job" and _parent(graph, node) == SMOKE_TEST:
            # It asks until the graph answers.
            after += tuple(first_token(items[key]) for key in after if key in items)
        parts = tuple(_parts(graph, node))
        if own_nodes and (node.key in pods_at or _downloads(graph, node)):
            # A download asks for more memory than any node of the built-in pool has left.
            parts = (Part("cpu-node-ready"), *parts)
        yield Step(key=node.key, of=node.key, after=after, stage=_stage(graph, node), what=node.name, parts=parts)
        if item is not None:
            yield from _serving(item, roles.get(node.key, []))


def _parent(graph: Graph, node: Node) -> str:
    return graph[node.parent].type if node.parent else ""


def _downloads(graph: Graph, node: Node) -> bool:
    return node.type == "kubernetes:batch/v1:Job" and _parent(graph, node) == MODEL_CACHE


_POD_KINDS = ("kubernetes:helm.sh/v3:Release", "kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job")


def _first_pods(graph: Graph) -> frozenset[str]:
    """Keys of what is the first to have pods on the built-in pool: it waits for a node as well."""
    with_pods = {node.key for node in graph if node.type in _POD_KINDS or _controller(node)}
    return frozenset(key for key in with_pods if not with_pods & graph.requires(key))


def _controller(node: Node) -> bool:
    return node.type == "aws:eks/addon:Addon" and row_of(node) in ("eks-addon-driver", "eks-addon-coredns")


def _stage(graph: Graph, node: Node) -> str:
    root = node
    while root.parent is not None:
        root = graph[root.parent]
    return STAGES.get(root.short_type, "the rest")


def _parts(graph: Graph, node: Node) -> Iterator[Part]:
    row = row_of(node)
    if row is None:
        return
    parent = _parent(graph, node)
    if row == "job-run" and parent == LADDER:
        row = _rung(graph, node)
    yield Part(row)
    if row == "job-run" and parent == MODEL_CACHE:
        facts = _cached(graph, node)
        yield Part("model-download", (facts.disk_bytes or facts.weight_bytes) / GB if facts else 0)
    elif row == "job-run" and parent == PINNED_MEMORY:
        # It runs in the graph's own image, which the worker on that node then has.
        yield from (Part("image-pull", IMAGE_GB), Part("image-start"))


def _rung(graph: Graph, node: Node) -> str:
    rack = str(graph[node.parent].inputs.get("rack"))
    rung = node.name.removeprefix(f"verify-{rack}-").split("-")[0]
    return RUNGS.get(rung, "job-run")


def _cached(graph: Graph, node: Node) -> ModelFacts | None:
    """Facts of the model that a Job downloads, from the stack file or the table."""
    cache = graph[node.parent].inputs
    if cache.get("facts"):
        return ModelFacts.model_validate(cache["facts"])
    return table.known(_downloaded(node))


def _downloaded(node: Node) -> str:
    """Repository that a download Job is told."""
    containers = node.inputs["spec"]["template"]["spec"]["containers"]
    return next((str(entry.get("value")) for entry in containers[0].get("env", ()) if entry["name"] == "MODEL"), "")


def _serving(item: KubernetesObject, roles: Sequence[Served]) -> Iterator[Step]:
    """What a graph goes through once its object is stored: one chain for each role, and its first token when all are done."""
    key, name = item.node.key, item.name
    ends = []
    for chain in [worker(role) for role in roles] or [_unread(item) or _mocker()]:
        role, before = chain[0], key
        for stage, parts in chain[1]:
            own = f"{key}/{role}/{stage}"
            yield Step(key=own, of=key, after=(before,), stage=stage, what=f"{name} {role}", parts=parts)
            before = own
        ends.append(before)
    yield Step(key=first_token(item), of=key, after=tuple(ends), stage="engine", what=f"{name} answers")


Chain = tuple[str, list[tuple[str, tuple[Part, ...]]]]


def unknown(graph: Graph) -> list[str]:
    """Models whose size is not known: neither their download nor their load is counted."""
    names = [item.started.model for item in served(graph) if item.facts is None]
    jobs = [node for node in graph.of("kubernetes:batch/v1:Job") if _parent(graph, node) == MODEL_CACHE]
    names += [_downloaded(node) for node in jobs if _cached(graph, node) is None]
    return list(dict.fromkeys(names))


def _unread(item: KubernetesObject) -> Chain | None:
    """Workers with GPUs whose command is nobody's engine that can be read: as any engine, without its weights."""
    pods = [pod for pod in expected_pods(item.manifest) if pod.requests.get(GPU)]
    if not pods:
        return None
    node = [("GPU node", (Part("gpu-node-ready"),))] if POOL in pods[0].node_selector else []
    image = (Part("image-pull", IMAGE_GB), Part("image-start"))
    return pods[0].component, [*node, ("image", image), ("engine", (Part("engine-start"),))]


def _mocker() -> Chain:
    image = (Part("image-pull", MOCKER_IMAGE_GB), Part("image-start"))
    return "worker", [("image", image), ("engine", (Part("mocker-start"),))]


def worker(item: Served) -> Chain:
    """What a worker goes through from its pod to its first token: its role, and the parts of each stage."""
    selector = item.component.get("podTemplate", {}).get("spec", {}).get("nodeSelector", {})
    facts, nodes = item.facts, item.component.get("multinode", {}).get("nodeCount", 1)
    chain: list[tuple[str, tuple[Part, ...]]] = []
    if POOL in selector:
        # A rack's nodes are there before its graphs: its group waits for them.
        chain.append(("GPU node", (Part("gpu-node-ready"),)))
    chain.append(("image", (Part(_pull(item.machines), IMAGE_GB), Part("image-start"))))
    if facts is not None:
        chain.append(("weights", (Part("weights-read", facts.weight_bytes / max(nodes, 1) / GB),)))
    large = facts is not None and facts.experts >= LARGE_EXPERTS and facts.weight_bytes >= LARGE_BYTES
    chain.append(("engine", (Part("engine-start-experts" if large else "engine-start"),)))
    return item.role, chain


def _pull(machines: Sequence[Instance]) -> str:
    """Auto Mode pulls in parallel on machines of its G and P families that have disks (EKS User Guide)."""
    if not machines or not all(machine.auto_mode and machine.nvme_gb for machine in machines):
        return "image-pull"
    few = min(machine.vcpu for machine in machines) < PARALLEL_VCPU
    return "image-pull-parallel-small" if few else "image-pull-parallel"
