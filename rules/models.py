"""Rules about models on GPUs: whether they fit, can be divided so, run in their number format, and can be handed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.capacity.instances import Instance
from components.dynamo import images
from components.dynamo.expected_pods import ExpectedPod, expected_pods
from components.dynamo.models import gpus, handover, memory, table
from components.dynamo.models.facts import ModelFacts
from components.dynamo.models.launched import Launched, as_loaded, drafted, launched
from components.dynamo.models.memory import GIB, MIB, Draft, Fit
from recording.graph import Graph, KubernetesObject
from recording.racks import racks
from rules.graphs import GPU, candidates, graphs
from rules.model import Finding, Looked, rule

MODULES_CACHE = "HF_MODULES_CACHE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One role of a graph: an engine with its model on the GPUs of one worker."""

    graph: KubernetesObject
    role: str
    component: Mapping[str, Any]
    started: Launched
    facts: ModelFacts | None
    """None where nothing is known of the model."""
    draft: Draft | None
    """The model that proposes tokens beside it, where that is known."""
    machines: tuple[Instance, ...]
    """Instances it may run on, those with the least memory on a GPU first; none where the nodes are somebody else's."""
    gpus: int
    """GPUs of one worker."""
    replicas: int

    @property
    def subject(self) -> str:
        return f"{self.graph.address} {self.role}"

    @property
    def environment(self) -> Mapping[str, object]:
        return {entry["name"]: entry.get("value") for entry in _main(self.component).get("env", ())}

    @property
    def dynamo(self) -> tuple[int, ...]:
        """Dynamo release of its image; a newer one than all where neither tag nor graph tells it."""
        image = str(_main(self.component).get("image"))
        told = images.version(str(self.component.get("runtimeVersionOverride") or images.split(image)[1]))
        return tuple(int(part) for part in told.split(".")) if told else (99,)

    @property
    def beside(self) -> str:
        """The draft model, as words behind weights that are told with its own."""
        return (
            f" with those of its draft model {self.started.proposer.model}"
            if self.draft and self.started.proposer
            else ""
        )

    @property
    def fit(self) -> Fit | None:
        """The model on the smallest GPU it may meet; None where model or GPU is not known, or memory cannot be told."""
        if self.facts is None or not self.machines or not self.started.judged:
            return None
        return memory.fit(self.facts, self.started.how, self.machines[0].gpu_memory_mib * MIB, self.draft)


def _stated(graph: Graph) -> dict[str, ModelFacts]:
    """Facts that the stack file states, by repository."""
    found = {}
    for node in graph.of("dynamo-eks:index:ModelCache"):
        if node.inputs.get("facts"):
            found[str(node.inputs["repository"])] = ModelFacts.model_validate(node.inputs["facts"])
    return found


def _main(component: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = component.get("podTemplate", {}).get("spec", {}).get("containers", ())
    return next((item for item in containers if item.get("name") == "main"), {})


def _machines(graph: Graph, pod: ExpectedPod) -> tuple[Instance, ...]:
    pools = {item.name: item.manifest for item in graph.objects_of("NodePool")}
    found = [item for item in candidates(pod, pools) if item.gpus >= int(pod.requests.get(GPU, 0))]
    if not found:
        # A pod of an UltraServer names no pool; all racks of a graph hold the same machines.
        seen = [rack.machine for rack in racks(graph).values() if rack.machine is not None]
        found = seen[:1] if "karpenter.sh/nodepool" not in pod.node_selector else []
    return tuple(sorted(found, key=lambda item: item.gpu_memory_mib))


def served(graph: Graph) -> Iterator[Served]:
    """Every role with GPUs of every graph; a mocker has none."""
    stated = _stated(graph)
    for item in graphs(graph):
        pods: dict[str, list[ExpectedPod]] = {}
        for pod in expected_pods(item.manifest):
            pods.setdefault(pod.component, []).append(pod)
        for component in item.manifest["spec"].get("components", ()):
            name = str(component.get("name"))
            of_it = pods.get(name, [])
            each = int(of_it[0].requests.get(GPU, 0)) if of_it else 0
            nodes = (component.get("multinode") or {}).get("nodeCount", 1)
            container = _main(component)
            words = (
                [str(word) for word in container.get("command", ())],
                [str(word) for word in container.get("args", ())],
            )
            started = launched(*words, each * nodes) if each else None
            if started is None:
                continue
            facts = stated.get(started.model) or table.known(started.model)
            proposer = started.proposer
            beside = (stated.get(proposer.model) or table.known(proposer.model)) if proposer else None
            yield Served(
                graph=item,
                role=name,
                component=component,
                started=started,
                facts=as_loaded(facts, started.quantization) if facts else None,
                draft=drafted(proposer, beside),
                machines=_machines(graph, of_it[0]),
                gpus=each * nodes,
                replicas=len(of_it) // nodes,
            )


def unknown(graph: Graph) -> list[str]:
    """What is taken for granted: models of which nothing is known, and draft models that no room was counted for."""
    roles = list(served(graph))
    names = dict.fromkeys(item.started.model for item in roles if item.facts is None)
    drafts = dict.fromkeys(
        (item.started.proposer.model, item.started.model)
        for item in roles
        if item.facts and item.started.proposer and not item.draft
    )
    return [
        f"{name} fits its GPUs: nothing is known of it (`make model REPOSITORY={name}` reads its facts into the stack file)"
        for name in names
    ] + [f"The draft model {draft} fits beside {name}: it is not counted" for draft, name in drafts]


def gib(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / GIB:.1f} GiB" if size < 100 * GIB else f"{size / GIB:.0f} GiB"


def _fits(item: Served, fit: Fit) -> Iterable[Finding]:
    how, facts = item.started.how, item.facts
    assert facts is not None
    gpu = f"{item.machines[0].gpu_name} ({gib(fit.memory)})"
    weights = f"{gib(fit.weights)} of weights{item.beside}"
    if fit.surely <= 0:
        needed = (facts.weight_bytes + (item.draft.facts.weight_bytes if item.draft else 0)) / GIB
        yield Finding(
            item.subject,
            f"{item.started.model} takes {weights} on each {gpu} and leaves no room for anything else; "
            f"divide its {needed:.0f} GiB over more GPUs, or take a smaller format of it",
        )
        return
    if fit.room <= 0:
        yield Finding(
            item.subject,
            f"{item.started.model} takes {weights} on each {gpu}; with {gib(fit.overhead)} assumed for "
            "activations and graphs nothing is left for keys and values; divide it over more GPUs",
            "warn",
        )
        return
    if fit.request <= fit.room or item.started.context_chosen:
        return
    # vLLM does not start then; the others take shorter requests alone. Only what no assumption changes is a failure.
    certain = how.backend == "vllm" and fit.least > fit.surely
    flag = {"vllm": "--max-model-len", "sglang": "--context-length", "trtllm": "max_seq_len"}[how.backend]
    told = (
        f"one request of {fit.context:,} tokens takes {gib(fit.request)} of keys and values on each {gpu}, and {gib(fit.room)} are "
        f"left beside {weights}"
    )
    what = (
        "vLLM does not start"
        if certain
        else "longer requests are refused"
        if how.backend != "vllm"
        else "vLLM may not start"
    )
    yield Finding(
        item.subject,
        f"{told}: {what}; set {flag} to at most {fit.longest // 1024 * 1024:,}, or use more GPUs",
        "fail" if certain else "warn",
    )


@rule(
    "model-fits",
    "Every model fits the GPUs of its workers, with room for one request of the longest context.",
    "An engine ends while it loads, hours after the node was paid for (vllm #17631; dynamo #10104).",
    of="stack",
)
def model_fits(graph: Graph) -> Iterator[Finding | Looked]:
    for item in served(graph):
        if fit := item.fit:
            yield Looked(item.subject)
            yield from _fits(item, fit)


@rule(
    "model-divides",
    "Every model can be divided as its workers are told: heads, layers, experts.",
    "An engine refuses to start: attention heads must be divisible by tensor parallel (vllm #414, #2652).",
    of="stack",
)
def model_divides(graph: Graph) -> Iterator[Finding | Looked]:
    for item in served(graph):
        if item.facts is None:
            continue
        yield Looked(item.subject)
        for why in memory.divides(item.facts, item.started.how):
            yield Finding(item.subject, f"{item.started.model}: {why}")
        if item.draft and item.draft.whole and item.started.proposer:
            for why in memory.divides(item.draft.facts, item.draft.sharding(item.started.how)):
                yield Finding(item.subject, f"{item.started.proposer.model}, its draft model: {why}")


@rule(
    "model-format",
    "Every model's number format runs on the GPUs of its workers, in hardware.",
    "An engine ends at the first product (sglang #7715, #12887; TensorRT-LLM #6717), or unpacks the weights each time.",
    of="stack",
)
def model_format(graph: Graph) -> Iterator[Finding | Looked]:
    for item in served(graph):
        if item.facts is None or not item.machines:
            continue
        yield Looked(item.subject)
        for gpu in dict.fromkeys(machine.gpu_name for machine in item.machines):
            how = item.started.how
            said = gpus.judged(how.backend, item.facts.format, gpu, experts=bool(item.facts.experts))
            for one in (said, gpus.judged_kv(how.backend, how.kv_format, gpu)):
                if one:
                    yield Finding(item.subject, f"{item.started.model}: {one.message}", one.level)


@rule(
    "kv-handover",
    "Decode can take over what prefill has computed of the model.",
    "The first request ends the decode workers, or waits for ever (vllm #43523, #50765; sglang #31295).",
    of="stack",
)
def kv_handover(graph: Graph) -> Iterator[Finding | Looked]:
    pairs: dict[str, dict[str, Served]] = {}
    for item in served(graph):
        if item.facts is not None and item.started.how.role != "worker":
            pairs.setdefault(item.graph.address, {})[item.started.how.role] = item
    for address, pair in pairs.items():
        if len(pair) < 2:
            continue
        yield Looked(address)
        prefill, decode = pair["prefill"], pair["decode"]
        assert prefill.facts is not None
        name, value = handover.CONV_LAYOUT
        for said in handover.judged(
            prefill.facts,
            prefill.started.how,
            decode.started.how,
            dynamo=min(prefill.dynamo, decode.dynamo),
            conv_layout=all(item.environment.get(name) == value for item in (prefill, decode)),
            transceivers=[seen for item in (prefill, decode) if (seen := item.started.transceiver)],
        ):
            yield Finding(address, said.message, said.level)


WASTE = 4
"""More than so many times the GPUs that a model needs with one request of its longest context are worth a word."""


@rule(
    "model-spread",
    "No model is spread over far more GPUs than it needs.",
    "Every step waits for all of them; several smaller workers answer more requests on the same GPUs.",
    of="stack",
)
def model_spread(graph: Graph) -> Iterator[Finding | Looked]:
    for item in served(graph):
        if item.facts is None or item.fit is None:
            continue
        yield Looked(item.subject)
        how = item.started.how
        each = how.ranks // (1 if how.attention_data or item.facts.experts else how.data)
        needed = memory.fewest(item.facts, how, item.fit.memory, item.draft)
        # Wide expert parallelism spreads a model on purpose.
        if how.experts == 1 and each > WASTE * needed:
            yield Finding(
                item.subject,
                f"{item.started.model} is spread over {each} GPUs and fits {needed}, with {item.fit.context:,} tokens of context; "
                "more replicas of fewer GPUs would serve more",
                "warn",
            )


@rule(
    "modules-writable",
    "Workers that run code which a model brings can write it where Python looks for it.",
    "The model cache is mounted read-only: OSError 30 while the model loads (llm-d-modelservice #243).",
    of="stack",
)
def modules_writable(graph: Graph) -> Iterator[Finding | Looked]:
    for item in served(graph):
        brings = item.facts is not None and item.facts.custom_code
        if not item.started.runs_custom_code:
            continue
        yield Looked(item.subject)
        container = _main(item.component)
        where = item.environment.get(MODULES_CACHE)
        volumes = {
            volume["name"]
            for volume in item.component["podTemplate"]["spec"].get("volumes", ())
            if "emptyDir" in volume
        }
        writable = [
            mount["mountPath"]
            for mount in container.get("volumeMounts", ())
            if mount["name"] in volumes and not mount.get("readOnly")
        ]
        if where is None or not any(where == path or str(where).startswith(f"{path}/") for path in writable):
            code = "brings Python of its own" if brings else "may bring Python of its own"
            yield Finding(
                item.subject,
                f"{item.started.model} {code}, and {MODULES_CACHE} names no writable volume; leave it to the program",
            )
