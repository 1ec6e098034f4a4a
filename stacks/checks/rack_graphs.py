"""Graphs on UltraServers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from components import sizing
from components.capacity import instances, network_cards
from components.capacity.room import Kind
from components.capacity.ultraservers import MAX_DOMAIN_NODES, Rack
from components.dynamo import compute_domain
from components.dynamo.manifest import efa_count, ganged, on_rack, rack_of, roles
from components.dynamo.spec import Graph, Worker
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import meant, racks_in, unread
from stacks.faults import Fault, one_of

NAME_BUDGET = 45
"""Characters that Grove lets a graph, its scaling group and its clique have together; the operator's cliques end in `-ldr`."""


OWNED_ENGINE = {
    "tensor_parallel_size": "tensorParallel",
    "pipeline_parallel_size": "pipelineParallel",
    "moe_expert_parallel_size": "expertParallel",
    "enable_attention_dp": "attentionDataParallel",
    "model": "model",
}
"""Engine options that the program writes from other keys."""


def graphs(draft: Draft) -> Iterator[Fault]:
    """Graphs on UltraServers one by one, then what they take together."""
    racks = racks_in(draft)
    sound = {}
    for name, graph in draft.graphs.items():
        found = list(_graph(draft, f"graphs.{name}", name, graph, racks))
        yield from found
        if not found and on_rack(graph) and roles(graph):
            sound[name] = graph
    if "graphs" not in draft.broken and not unread(draft):
        yield from _together(sound, racks, complete=len(racks) == len(draft.ultra_servers))


def _graph(draft: Draft, key: str, name: str, graph: Graph, racks: Mapping[str, Rack]) -> Iterator[Fault]:
    yield from _shape(key, name, graph)
    if not on_rack(graph):
        # A graph that says nothing of where it runs may have meant an UltraServer; checks/placement.py tells that it must say.
        if graph.placement.pool or graph.backend == "mocker" or not meant(draft):
            yield from _off_rack(key, graph)
        return
    if graph.backend == "mocker":
        for place, rack in _named(key, graph).items():
            if rack:
                yield Fault("mocker-on-rack", place, "nothing: the mocker runs on ordinary CPU nodes", rack)
        return
    if unread(draft):
        return
    placed = list(_where(draft, key, graph, racks))
    yield from placed
    if placed:
        return
    yield from _domain(key, graph)
    machine = sizing.machine_of(graph, None, racks)
    if machine is None:
        return
    for role, worker in roles(graph).items():
        yield from _worker(f"{key}.{role}", graph, worker, machine, _rack(graph, role, racks))


def _shape(key: str, name: str, graph: Graph) -> Iterator[Fault]:
    """What holds on any node: parallelism, engine options, names."""
    for role, worker in roles(graph).items():
        where, ranks = f"{key}.{role}", worker.nodes * worker.gpus
        if graph.backend == "trtllm" and worker.data_parallel > 1:
            yield Fault(
                "data-parallel-of-trtllm",
                f"{where}.dataParallel",
                "1: TensorRT-LLM has data-parallel attention only, over all of tensorParallel (attentionDataParallel: true)",
                worker.data_parallel,
            )
        elif worker.attention_data_parallel and graph.backend not in ("sglang", "trtllm"):
            yield Fault(
                "attention-data-parallel-of-others",
                f"{where}.attentionDataParallel",
                f"false: {graph.backend} has dataParallel for it",
                True,
            )
        elif worker.attention_data_parallel and worker.tensor_parallel % worker.data_parallel:
            yield Fault(
                "attention-data-parallel-ranks",
                f"{where}.dataParallel",
                f"a divisor of tensorParallel ({worker.tensor_parallel}), inside which attention is data-parallel",
                worker.data_parallel,
            )
        if ranks and ranks % worker.expert_parallel:
            yield Fault(
                "expert-parallel-ranks",
                f"{where}.expertParallel",
                f"a divisor of the worker's {ranks} GPUs",
                worker.expert_parallel,
            )
        elif graph.backend == "vllm" and worker.expert_parallel not in (1, ranks):
            yield Fault(
                "expert-parallel-of-vllm",
                f"{where}.expertParallel",
                f"1 or {ranks}: vLLM spreads experts over all GPUs or none",
                worker.expert_parallel,
            )
        if worker.huge_pages_mib and graph.transport != "efa":
            yield Fault(
                "huge-pages-without-efa",
                f"{where}.hugePagesMib",
                "nothing without transport: efa, which they are for",
                worker.huge_pages_mib,
            )
        if worker.engine and graph.backend != "trtllm":
            yield Fault(
                "engine-options-of-others",
                f"{where}.engine",
                f"nothing: {graph.backend} takes extraArgs",
                worker.engine,
            )
            continue
        for option in worker.engine:
            if option in OWNED_ENGINE:
                yield Fault(
                    "engine-option-owned",
                    f"{where}.engine.{option}",
                    f"the key {OWNED_ENGINE[option]} instead, from which the program sets this option",
                    worker.engine[option],
                )
    if ganged(graph) and roles(graph):
        longest = max(len(role) for role in roles(graph))
        room = NAME_BUDGET - 2 * longest - len("-ldr")
        if len(name) > room:
            yield Fault(
                "multinode-names-too-long",
                key,
                f"a name of at most {room} characters: the names of graph, scaling group and clique may have {NAME_BUDGET} "
                f"together in Grove, and the role stands there twice ({longest} characters each) with `-ldr`",
                name,
            )


def _off_rack(key: str, graph: Graph) -> Iterator[Fault]:
    if graph.compute_domain not in (None, "none"):
        yield Fault(
            "compute-domain-off-rack",
            f"{key}.computeDomain",
            "none: EKS Auto Mode has no DRA, and its machines no NVLink across nodes",
            graph.compute_domain,
            fix="place the graph on an UltraServer: placement: {ultraServer: rack-a}",
        )
    if graph.transport == "nvlink":
        yield Fault(
            "nvlink-off-rack", f"{key}.transport", "efa or tcp: only UltraServers have NVLink across nodes", "nvlink"
        )
    if graph.weights == "nvme":
        yield Fault(
            "weights-off-rack",
            f"{key}.weights",
            "cache: only the nodes of UltraServers are known to have disks for it",
            "nvme",
        )
    for role, worker in roles(graph).items():
        if worker.nodes > 1:
            yield Fault(
                "multinode-in-pool",
                f"{key}.{role}.nodes",
                "1 in a pool: Karpenter launches nothing for pods of another scheduler (kubernetes-sigs/karpenter #742)",
                worker.nodes,
                fix="use a larger instance type, or an UltraServer",
            )


def _named(key: str, graph: Graph) -> dict[str, Any]:
    """Keys that put a graph on UltraServers, with what they say."""
    place = f"{key}.placement"
    named: dict[str, Any] = {
        f"{place}.ultraServer": graph.placement.ultra_server,
        f"{place}.anyUltraServer": graph.placement.any_ultra_server,
    }
    return named | {f"{key}.{role}.ultraServer": worker.ultra_server for role, worker in roles(graph).items()}


def _where(draft: Draft, key: str, graph: Graph, racks: Mapping[str, Rack]) -> Iterator[Fault]:
    placement, where = graph.placement, f"{key}.placement"
    if placement.pool:
        yield Fault("rack-and-pool", f"{where}.pool", "nothing: the graph runs on an UltraServer", placement.pool)
    if placement.instance_type:
        yield Fault(
            "rack-and-instance-type",
            f"{where}.instanceType",
            "nothing: an UltraServer has one type",
            placement.instance_type,
        )
    if placement.zone:
        yield Fault("rack-and-zone", f"{where}.zone", "nothing: the UltraServer is in one zone", placement.zone)
    if placement.reserved_only:
        yield Fault(
            "rack-and-reserved-only", f"{where}.reservedOnly", "false: an UltraServer is reserved by nature", True
        )
    named = _named(key, graph)
    if placement.any_ultra_server:
        for place, rack in named.items():
            if isinstance(rack, str):
                yield Fault("rack-and-any-rack", place, "nothing together with placement.anyUltraServer", rack)
        if not draft.ultra_servers:
            yield Fault(
                "any-rack-without-racks",
                f"{where}.anyUltraServer",
                "an UltraServer in capacity.ultraServers to run on",
                True,
            )
        if unlike := _unlike(racks.values()):
            yield Fault(
                "racks-differ",
                f"{where}.anyUltraServer",
                f"UltraServers that are alike, since its workers are sized for one machine; {unlike}",
                True,
                fix="make them alike, or name one: placement: {ultraServer: …}",
            )
        yield from _scaled_gangs(draft, key, graph)
        return
    for place, rack in named.items():
        if isinstance(rack, str) and rack not in draft.ultra_servers:
            yield Fault("rack-unknown", place, one_of(rack, draft.ultra_servers, "an UltraServer of capacity:"), rack)
    for role in roles(graph):
        if rack_of(graph, role) is None:
            yield Fault(
                "rack-of-role-missing",
                f"{key}.{role}.ultraServer",
                "the UltraServer of this role too; the key is required",
                add=f"dynamo-eks:graphs:\n  {key.split('.')[1]}:\n    {role}: {{ultraServer: "
                f"{next(iter(draft.ultra_servers), 'rack-a')}}}",
            )
    own = {role: rack for role in roles(graph) if (rack := _rack(graph, role, racks))}
    if unlike := _unlike(own.values()):
        # Roles on two racks: at least one names its own.
        role = next(role for role in ("decode", "prefill") if roles(graph)[role].ultra_server)
        yield Fault(
            "rack-of-role-differs",
            f"{key}.{role}.ultraServer",
            f"an UltraServer like the other role's, since a graph's workers are sized for one machine; {unlike}",
            own[role].name,
            fix="make the two alike",
        )


def _unlike(racks: Iterable[Rack]) -> str | None:
    """In what the machines of UltraServers differ; None when they do not."""
    racks = list({rack.name: rack for rack in racks}.values())
    for name, of in (
        ("instanceType", lambda rack: rack.spec.instance_type),
        ("efaInterfaces", lambda rack: rack.spec.efa_interfaces),
        ("hugePagesMib", lambda rack: rack.spec.huge_pages_mib),
    ):
        if len({of(rack) for rack in racks}) > 1:
            return f"{name} is " + ", ".join(f"{of(rack)} on {rack.name}" for rack in racks)
    return None


def _domain(key: str, graph: Graph) -> Iterator[Fault]:
    mode, given = graph.compute_domain, compute_domain.gpu_roles(graph)
    apart = len({rack_of(graph, role) for role in given}) > 1
    right = "perRole" if apart else "perGraph"
    if mode is None:
        yield Fault(
            "compute-domain-missing",
            f"{key}.computeDomain",
            "perGraph, perRole, groveAuto or none, always stated on an UltraServer; the key is required",
            add=f"dynamo-eks:graphs:\n  {key.split('.')[1]}:\n    computeDomain: {right}",
        )
    elif wrong := _wrong_domain(graph, mode, right, given):
        why, fix = wrong
        yield Fault("compute-domain-wrong", f"{key}.computeDomain", f"{right}: {why}", mode, fix=fix)
    elif graph.transport == "nvlink" and mode == "none":
        yield Fault(
            "nvlink-without-compute-domain",
            f"{key}.transport",
            "efa with computeDomain: none; NVLink needs prefill and decode in one domain",
            "nvlink",
        )
    if graph.transport == "nvlink" and apart:
        yield Fault(
            "nvlink-across-racks",
            f"{key}.transport",
            "efa: prefill and decode are on different UltraServers, and NVLink stays in one",
            "nvlink",
        )
    if graph.transport == "tcp":
        choices = "efa" if apart else "nvlink or efa"
        yield Fault(
            "rack-transport-tcp",
            f"{key}.transport",
            f"{choices} on an UltraServer, whose KV blocks would crawl over TCP",
            "tcp",
        )


def _wrong_domain(graph: Graph, mode: str, right: str, given: Mapping[str, Worker]) -> tuple[str, str | None] | None:
    """Why a mode of ComputeDomain cannot be, and what else to do about it; one reason, since one key is to change."""
    if right == "perRole" and mode in ("perGraph", "groveAuto"):
        return "its roles are on different UltraServers, and no domain spans two", None
    if right == "perGraph" and mode == "perRole" and len(given) > 1:
        return (
            "two domains in one NVLink clique cannot both map memory (NVIDIA DRA driver #892)",
            "share one domain, or put the roles on different UltraServers (prefill.ultraServer, decode.ultraServer)",
        )
    if mode == "groveAuto" and not ganged(graph):
        return "Grove runs only graphs with a worker of several nodes", None
    if mode != "none":
        return None
    if across := [role for role, worker in given.items() if worker.nodes > 1]:
        return f"the nodes of {' and '.join(across)} would talk over the network instead of NVLink", None
    if graph.backend == "trtllm" and (spread := [role for role, worker in given.items() if worker.expert_parallel > 1]):
        return (
            f"TensorRT-LLM spreads experts ({' and '.join(spread)}) through a domain even inside one node (dynamo #6364)",
            None,
        )
    return None


def _rack(graph: Graph, role: str, racks: Mapping[str, Rack]) -> Rack | None:
    """The UltraServer of a role, where it is sound; the largest where the gang scheduler chooses."""
    if graph.placement.any_ultra_server:
        return max(racks.values(), key=lambda rack: rack.nodes)
    return racks.get(rack_of(graph, role) or "")


def _worker(key: str, graph: Graph, worker: Worker, machine: instances.Instance, rack: Rack | None) -> Iterator[Fault]:
    if worker.gpus > machine.gpus:
        yield Fault(
            "rack-gpus-beyond-node",
            f"{key}.gpus",
            f"at most {machine.gpus}, what a {machine.type} has",
            worker.gpus,
            fix=None
            if worker.gpus % machine.gpus
            else f"spread each worker over nodes: nodes: {worker.nodes * worker.gpus // machine.gpus}, gpus: {machine.gpus}",
        )
    elif graph.compute_domain != "none" and worker.gpus != machine.gpus:
        yield Fault(
            "rack-gpus-share-channel",
            f"{key}.gpus",
            f"{machine.gpus}: a node has one channel, so a second pod there could not join and the other "
            f"{machine.gpus - worker.gpus} GPUs would stand idle (NVIDIA DRA driver #309)",
            worker.gpus,
        )
    elif worker.gpus and machine.gpus % worker.gpus:
        yield Fault(
            "rack-gpus-left-over",
            f"{key}.gpus",
            f"a divisor of {machine.gpus}: each {machine.type} would have {machine.gpus % worker.gpus} GPU nobody can use",
            worker.gpus,
        )
    elif worker.gpus and graph.transport == "efa":
        yield from _efa_share(key, graph, worker, machine)
    if rack is None:
        return
    if worker.nodes > rack.nodes:
        yield Fault(
            "nodes-beyond-rack", f"{key}.nodes", f"at most {rack.nodes}, what UltraServer {rack.name} has", worker.nodes
        )
        return
    pods = max(machine.gpus // max(worker.gpus, 1), 1)
    room = rack.spec.huge_pages_mib // pods
    if worker.huge_pages_mib and worker.huge_pages_mib > room and graph.transport == "efa":
        shared = f", shared by {pods} pods" if pods > 1 else ""
        expected = (
            f"at most {room}: a node of {rack.name} sets {rack.spec.huge_pages_mib} aside (its hugePagesMib{shared})"
        )
        if not room:
            expected = f"nothing, since the nodes of {rack.name} set none aside"
        yield Fault(
            "huge-pages-wrong",
            f"{key}.hugePagesMib",
            expected,
            worker.huge_pages_mib,
            fix=f"raise capacity.ultraServers.{rack.name}.hugePagesMib to {worker.huge_pages_mib * pods}, which replaces the nodes",
        )


def _efa_share(key: str, graph: Graph, worker: Worker, machine: instances.Instance) -> Iterator[Fault]:
    """EFA interfaces of one pod against those of a node, and against the other pods that shall fit there."""
    efa = efa_count(graph, worker, machine)
    pods = machine.gpus // worker.gpus
    fair = machine.efa // pods
    if efa > machine.efa:
        most = max(network_cards.CARDS[machine.type])
        yield Fault(
            "rack-efa-beyond-node",
            f"{key}.efa",
            f"at most {machine.efa}, what a node has with efaInterfaces: {machine.efa}",
            worker.efa,
            fix=f"leave the key out to take all of them, or set efaInterfaces: {most} on the UltraServer"
            if efa <= most
            else "leave the key out to take all of them",
        )
    elif efa == 0:
        yield Fault("rack-efa-missing", f"{key}.efa", "at least 1 with transport: efa", 0)
    elif efa > fair:
        stranded = machine.gpus - worker.gpus * (machine.efa // efa)
        yield Fault(
            "rack-efa-unfair",
            f"{key}.efa",
            f"at most {fair}: a pod with {worker.gpus} of a node's {machine.gpus} GPUs and {efa} of its {machine.efa} EFA "
            f"interfaces leaves {stranded} GPUs that no pod can use",
            worker.efa,
            fix=f"better, take whole nodes with gpus: {machine.gpus}; part of a node's EFA can break the KV transfer",
            add=None if worker.efa is not None else f"efa: {fair}",
        )


def _scaled_gangs(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    """Workers that would choose an UltraServer each.

    Grove makes one gang of all single nodes and of the first replica of each worker of several nodes (`minAvailable`, 1 unless it is
    said); each further replica is a gang of its own, packed into a rack of its own choice (ai-dynamo/grove #648; read
    2026-11, alpha.11 to alpha.14).
    """
    choice = len(draft.ultra_servers or {}) > 1
    for role, worker in roles(graph).items():
        if choice and worker.nodes > 1 and worker.replicas > 1:
            yield Fault(
                "any-rack-scaled-gangs",
                f"{key}.{role}.replicas",
                f"1 with anyUltraServer: of workers of {worker.nodes} nodes each further one is a gang of its own, which chooses an "
                "UltraServer for itself",
                worker.replicas,
                fix="name the UltraServer: placement: {ultraServer: …}, or take one worker of more nodes",
            )


def _by_role(kinds: Mapping[str, Kind], machine: instances.Instance) -> str:
    return ", ".join(f"{role} {sizing.nodes_for([kind], machine)}" for role, kind in kinds.items())


def _together(given: Mapping[str, Graph], racks: Mapping[str, Rack], *, complete: bool) -> Iterator[Fault]:
    taken: dict[str, dict[str, Kind]] = {name: {} for name in racks}
    domains: dict[str, list[str]] = {name: [] for name in racks}
    for name, graph in given.items():
        if graph.placement.any_ultra_server:
            continue
        here: dict[str, str] = {}
        for role, worker in compute_domain.gpu_roles(graph).items():
            rack = _rack(graph, role, racks)
            if rack is not None:
                taken[rack.name][f"{name}.{role}"] = sizing.kinds_of(name, graph, rack.machine)[role]
                named = f"{role}.ultraServer" if worker.ultra_server else "placement.ultraServer"
                here.setdefault(rack.name, f"graphs.{name}.{named}")
        if graph.compute_domain == "none":
            continue
        for rack, key in here.items():
            if domains[rack]:
                yield Fault(
                    "compute-domains-collide",
                    key,
                    f"another UltraServer: graph {domains[rack][0]} has a ComputeDomain on {rack}, and two domains in one "
                    "NVLink clique cannot both map memory (NVIDIA DRA driver #892)",
                    rack,
                    fix="place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node",
                )
            domains[rack].append(name)
    nodes_of = {rack: sizing.nodes_for(by_role.values(), racks[rack].machine) for rack, by_role in taken.items()}
    for rack, by_role in taken.items():
        nodes, gpus = nodes_of[rack], racks[rack].machine.gpus
        if nodes > racks[rack].nodes:
            yield Fault(
                "rack-room",
                f"capacity.ultraServers.{rack}.type",
                f"graphs that fit its {racks[rack].nodes} nodes ({racks[rack].gpus} GPUs); they ask for {nodes} nodes "
                f"({nodes * gpus} GPUs): {_by_role(by_role, racks[rack].machine)}",
                racks[rack].spec.type,
                fix="lower replicas or nodes, or place a role or a graph on another UltraServer",
            )
    if not complete:
        # An UltraServer that is wrong by itself might be the one with room.
        return
    free = {name: racks[name].nodes - nodes for name, nodes in nodes_of.items()}
    whole = {
        # Where one of any will do, all of them are alike.
        name: sizing.nodes_of(graph, next(iter(racks.values())).machine)
        for name, graph in given.items()
        if graph.placement.any_ultra_server
    }
    for name in sorted(whole, key=lambda item: (-whole[item], item)):
        alone = given[name].compute_domain != "none"
        fits = [rack for rack in free if free[rack] >= whole[name] and not (alone and domains[rack])]
        if not fits:
            standing = []
            for rack, count in free.items():
                domain = f" and the domain of {domains[rack][0]}" if domains[rack] else ""
                standing.append(f"{rack} has {max(count, 0)}{domain}")
            yield Fault(
                "any-rack-room",
                f"graphs.{name}.placement.anyUltraServer",
                f"an UltraServer with {whole[name]} free nodes{' and no domain yet' if alone else ''} for the whole graph; "
                + ", ".join(standing),
                True,
                fix="lower replicas or nodes"
                + (
                    ", or add an UltraServer"
                    if whole[name] <= MAX_DOMAIN_NODES
                    else f"; no UltraServer has more than {MAX_DOMAIN_NODES} nodes"
                ),
            )
            continue
        chosen = min(fits, key=lambda rack: free[rack])
        free[chosen] -= whole[name]
        if alone:
            domains[chosen].append(name)
