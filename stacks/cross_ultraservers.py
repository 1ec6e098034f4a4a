"""Rules between keys for UltraServers, the GPU stack on them, and graphs that run there.

An hour of a rack is prepaid and cannot be repeated: what would waste it is refused before anything registers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

from components import catalog, sizing
from components.capacity import instances, network_cards
from components.capacity.spec import UltraServer
from components.capacity.ultraservers import MAX_DOMAIN_NODES, TYPES, Rack
from components.capacity.window import END_OF_DAY, Window, moment
from components.dynamo import compute_domain
from components.dynamo.manifest import efa_count, ganged, on_rack, rack_of, roles
from components.dynamo.spec import Graph, Worker
from components.gpu import values as charts
from components.network import cidr as address_plan
from stacks.faults import Fault, listed, one_of

if TYPE_CHECKING:
    from stacks.cross import Draft

LONGEST = timedelta(days=182)
"""Longest Capacity Block, extensions included (EC2 User Guide)."""

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


def racks_in(draft: Draft) -> dict[str, Rack]:
    """UltraServers of a draft whose window is possible and whose machine is known."""
    made = {}
    for name, given in draft.ultra_servers.items():
        if given.instance_type not in network_cards.CARDS:
            continue
        try:
            made[name] = sizing.rack(name, given)
        except ValueError:
            continue
    return made


def unread(draft: Draft) -> bool:
    """Whether UltraServers of the file could not be read, so that nothing can be said of what is missing."""
    return not draft.broken.isdisjoint(("capacity", "capacity.ultraServers"))


def meant(draft: Draft) -> bool:
    """Whether the file speaks of UltraServers, sound or not."""
    capacity = draft.given["capacity"]
    return isinstance(capacity, Mapping) and bool(capacity.get("ultraServers"))


def ultra_servers(draft: Draft) -> Iterator[Fault]:
    """Blocks: type, window, zone, subnet, image."""
    seen: dict[str, str] = {
        item.id: f"pool {name}" for name, pool in draft.pools.items() for item in pool.reservations if item.id
    }
    for name, given in draft.ultra_servers.items():
        key = f"capacity.ultraServers.{name}"
        if given.reservation in seen:
            yield Fault(
                f"{key}.reservation", f"another reservation; {seen[given.reservation]} has it", given.reservation
            )
        seen[given.reservation] = f"UltraServer {name}"
        yield from _machine(key, given)
        yield from _window(draft, key, given)
        yield from _image(draft, key, given)
        yield from _zone(draft, key, given)
    yield from _subnets(draft)


def _machine(key: str, given: UltraServer) -> Iterator[Fault]:
    try:
        network_cards.layout(given.instance_type, given.efa_interfaces)
    except ValueError:
        yield Fault(
            f"{key}.instanceType",
            one_of(given.instance_type, network_cards.CARDS, "a type whose network cards are known:"),
            given.instance_type,
            fix="a wrong card costs the block; add the type's layout with its source to components/capacity/network_cards.py",
        )


def _window(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    if given.end.time() != time(*END_OF_DAY):
        yield Fault(f"{key}.end", "a moment at 11:30 UTC, when every Capacity Block ends (EC2 User Guide)", given.end)
        return
    if given.start >= given.end:
        yield Fault(f"{key}.start", f"a moment before end, {moment(given.end)}", given.start)
        return
    if given.end - given.start > LONGEST + timedelta(days=1):
        yield Fault(f"{key}.end", "at most 182 days after start, the longest that a block can be", given.end)
        return
    try:
        window = Window(start=given.start, end=given.end, drain_minutes=given.drain_minutes)
    except ValueError:
        minutes = (given.end - given.start) // timedelta(minutes=1)
        yield Fault(
            f"{key}.drainMinutes",
            f"fewer than the {minutes} minutes that the block is long, or nothing could run on it",
            given.drain_minutes,
        )
        return
    if why := window.refusal(draft.at):
        yield Fault(
            f"{key}.end",
            f"a block with time left at {moment(draft.at)}; {why}",
            given.end,
            fix="name the next block, correct end if the block was extended, or remove the UltraServer and its graphs",
        )


def _image(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    if given.ami_release is None or draft.cluster is None or draft.cluster.version not in catalog.KUBERNETES:
        return
    version = draft.cluster.version
    release, date = given.ami_release.split("-")
    pinned = f"leave the key out for {catalog.AMI_RELEASES[version]}, the one that is pinned"
    if not release.startswith(f"{version}."):
        yield Fault(
            f"{key}.amiRelease",
            f"a release for Kubernetes {version}, the cluster's version",
            given.ami_release,
            fix=pinned,
        )
    elif int(date) < catalog.AMI_FLOOR:
        yield Fault(
            f"{key}.amiRelease",
            f"a release of {catalog.AMI_FLOOR} or later, the first with driver 580 for P6e-GB200",
            given.ami_release,
            fix=pinned,
        )


def _zone(draft: Draft, key: str, given: UltraServer) -> Iterator[Fault]:
    # Which zones have UltraServers is AWS's to say and to change: only the region is known from the id.
    if not draft.region_zones:
        return
    begin = next(iter(draft.region_zones)).zone_id.split("-")[0] + "-"
    if not given.zone.startswith(begin):
        yield Fault(f"{key}.zone", f"a zone of {draft.region}, whose ids begin with {begin}", given.zone)


def _subnets(draft: Draft) -> Iterator[Fault]:
    network, given = draft.network, draft.given["network"]
    if network is None:
        return
    if not meant(draft):
        if "localZones" in given and network.existing is None and not unread(draft):
            yield Fault("network.localZones", "no such key without capacity.ultraServers", given["localZones"])
        return
    by_zone: dict[str, list[str]] = {}
    for name, item in draft.ultra_servers.items():
        by_zone.setdefault(item.zone, []).append(name)
    if network.existing is not None:
        for zone in sorted(set(by_zone) - set(network.existing.ultra_server_subnets)):
            yield Fault(
                f"network.existing.ultraServerSubnets.{zone}",
                f"the subnet for the UltraServers in this zone ({', '.join(by_zone[zone])}); the key is required",
                add=f"dynamo-eks:network:\n  existing:\n    ultraServerSubnets: {{{zone}: subnet-0123456789abcdef0}}",
            )
        return
    slots: dict[int, str] = {}
    for zone, names in sorted(by_zone.items()):
        slot = address_plan.local_zone_slot(zone)
        if slot in slots:
            yield Fault(
                f"capacity.ultraServers.{names[0]}.zone",
                f"a zone whose subnet has another place in the address plan than that of {slots[slot]}; the two share one",
                zone,
                fix="keep the UltraServers of these two zones in different stacks",
            )
        slots[slot] = zone
        nodes = sum(TYPES[draft.ultra_servers[name].type].nodes for name in names)
        subnet = address_plan.local_zone(network.cidr, slot)
        if nodes > address_plan.room(subnet):
            yield Fault(
                "network.cidr",
                f"a larger range: {nodes} UltraServer nodes take {nodes * address_plan.NODE_ADDRESSES} addresses, and their "
                f"subnet in {zone} would be {subnet} with room for {address_plan.room(subnet)}",
                network.cidr,
                fix=_larger(network.cidr, slot, nodes),
            )
    nat, zones = network.local_zones.nat_zone, draft.zone_ids
    if not nat or zones is None:
        return
    if nat not in zones:
        yield Fault("network.localZones.natZone", one_of(nat, zones, "a zone the network has:"), nat)
    elif network.nat == "single" and nat != min(zones):
        yield Fault(
            "network.localZones.natZone",
            f"{min(zones)}, where the one NAT gateway of nat: single is, or nat: perZone",
            nat,
        )


def _larger(cidr: str, slot: int, nodes: int) -> str:
    """What to do about a range too small for the nodes of one zone; the VPC's range cannot change once it exists."""
    address = cidr.split("/")[0]
    for length in range(address_plan.SMALLEST, address_plan.LARGEST - 1, -1):
        wider = str(ipaddress.ip_network(f"{address}/{length}", strict=False))
        if nodes <= address_plan.room(address_plan.local_zone(wider, slot)):
            return f"take a /{length} before the VPC exists; afterwards it cannot change"
    return "no range is large enough; keep some of the UltraServers in another stack"


def gpu_stack(draft: Draft) -> Iterator[Fault]:
    """Charts and driver of the GPU stack, and what managed nodes need besides."""
    gpu = draft.gpu
    if gpu is None:
        return
    if not meant(draft):
        if draft.given["gpu"] and not unread(draft) and not draft.existing_cluster:
            yield Fault(
                "gpu",
                "no such section without capacity.ultraServers: Auto Mode nodes bring driver and device plugin themselves",
                draft.given["gpu"],
            )
        return
    if draft.cluster and draft.cluster.version in set(catalog.KUBERNETES) - set(catalog.HYBRID_ADDONS):
        yield Fault(
            "cluster.version",
            f"{' or '.join(catalog.HYBRID_ADDONS)} with UltraServers: the add-ons that their nodes need are pinned for these",
            draft.cluster.version,
        )
    right = catalog.P6E_DRIVER_BRANCH
    if gpu.driver_branch > right:
        yield Fault(
            "gpu.driverBranch",
            f"{right}: later branches lack the topology override that EFA needs on P6e, and NCCL aborts (NVIDIA/aicr #2383)",
            gpu.driver_branch,
        )
    if gpu.driver_branch < right:
        yield Fault(
            "gpu.driverBranch",
            f"{right}: P6e-GB200 runs on none older (EKS User Guide, P6e-GB200)",
            gpu.driver_branch,
        )
    tables = (
        ("gpu.operator", gpu.operator, catalog.GPU_OPERATOR),
        ("gpu.draDriver", gpu.dra_driver, catalog.DRA_DRIVER),
        ("gpu.efaPlugin", gpu.efa_plugin, catalog.EFA_PLUGIN),
    )
    for key, chart, table in tables:
        number = chart.version or next(iter(table))
        if number not in table:
            yield Fault(f"{key}.version", listed(table), number)
            continue
        ours = _chart_values(key, number)
        shapeless = list(_shapeless(ours, chart.values))
        for path in shapeless:
            yield Fault(f"{key}.values.{path}", "keys and values, as the chart has there", _at(chart.values, path))
        if shapeless:
            continue
        for path, expected in charts.contradictions(table[number].name, number, charts.merged(ours, chart.values)):
            yield Fault(f"{key}.values.{path}", expected, _at(chart.values, path))


def _chart_values(key: str, version: str) -> dict[str, Any]:
    """The program's own values of a chart: their shape, whatever the racks and the cluster's version."""
    if key == "gpu.operator":
        return charts.gpu_operator(version, (), monitors=False)
    return charts.dra_driver(version, "1.35", ()) if key == "gpu.draDriver" else charts.efa_plugin()


def _shapeless(ours: Mapping[str, Any], theirs: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """Paths where a stack file's value would take the place of keys and values that the program gives. Null may: it takes
    a chart's default away, and what is then missing is told."""
    for name, value in theirs.items():
        mine = ours.get(name)
        if not isinstance(mine, Mapping) or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _shapeless(mine, value, f"{under}{name}.")
        else:
            yield f"{under}{name}"


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


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
        # A graph that says nothing of where it runs may have meant an UltraServer; cross.py tells that it must say.
        if graph.placement.pool or graph.backend == "mocker" or not meant(draft):
            yield from _off_rack(key, graph)
        return
    if graph.backend == "mocker":
        for place, rack in _named(key, graph).items():
            if rack:
                yield Fault(place, "nothing: the mocker runs on ordinary CPU nodes", rack)
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
                f"{where}.dataParallel",
                "1: TensorRT-LLM has data-parallel attention only, over all of tensorParallel (attentionDataParallel: true)",
                worker.data_parallel,
            )
        elif worker.attention_data_parallel and graph.backend not in ("sglang", "trtllm"):
            yield Fault(f"{where}.attentionDataParallel", f"false: {graph.backend} has dataParallel for it", True)
        elif worker.attention_data_parallel and worker.tensor_parallel % worker.data_parallel:
            yield Fault(
                f"{where}.dataParallel",
                f"a divisor of tensorParallel ({worker.tensor_parallel}), inside which attention is data-parallel",
                worker.data_parallel,
            )
        if ranks and ranks % worker.expert_parallel:
            yield Fault(f"{where}.expertParallel", f"a divisor of the worker's {ranks} GPUs", worker.expert_parallel)
        elif graph.backend == "vllm" and worker.expert_parallel not in (1, ranks):
            yield Fault(
                f"{where}.expertParallel",
                f"1 or {ranks}: vLLM spreads experts over all GPUs or none",
                worker.expert_parallel,
            )
        if worker.huge_pages_mib and graph.transport != "efa":
            yield Fault(
                f"{where}.hugePagesMib", "nothing without transport: efa, which they are for", worker.huge_pages_mib
            )
        if worker.engine and graph.backend != "trtllm":
            yield Fault(f"{where}.engine", f"nothing: {graph.backend} takes extraArgs", worker.engine)
            continue
        for option in worker.engine:
            if option in OWNED_ENGINE:
                yield Fault(
                    f"{where}.engine.{option}",
                    f"the key {OWNED_ENGINE[option]} instead, from which the program sets this option",
                    worker.engine[option],
                )
    if ganged(graph) and roles(graph):
        longest = max(len(role) for role in roles(graph))
        room = NAME_BUDGET - 2 * longest - len("-ldr")
        if len(name) > room:
            yield Fault(
                key,
                f"a name of at most {room} characters: the names of graph, scaling group and clique may have {NAME_BUDGET} "
                f"together in Grove, and the role stands there twice ({longest} characters each) with `-ldr`",
                name,
            )


def _off_rack(key: str, graph: Graph) -> Iterator[Fault]:
    if graph.compute_domain not in (None, "none"):
        yield Fault(
            f"{key}.computeDomain",
            "none: EKS Auto Mode has no DRA, and its machines no NVLink across nodes",
            graph.compute_domain,
            fix="place the graph on an UltraServer: placement: {ultraServer: rack-a}",
        )
    if graph.transport == "nvlink":
        yield Fault(f"{key}.transport", "efa or tcp: only UltraServers have NVLink across nodes", "nvlink")
    if graph.weights == "nvme":
        yield Fault(f"{key}.weights", "cache: only the nodes of UltraServers are known to have disks for it", "nvme")
    for role, worker in roles(graph).items():
        if worker.nodes > 1:
            yield Fault(
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
        yield Fault(f"{where}.pool", "nothing: the graph runs on an UltraServer", placement.pool)
    if placement.instance_type:
        yield Fault(f"{where}.instanceType", "nothing: an UltraServer has one type", placement.instance_type)
    if placement.zone:
        yield Fault(f"{where}.zone", "nothing: the UltraServer is in one zone", placement.zone)
    if placement.reserved_only:
        yield Fault(f"{where}.reservedOnly", "false: an UltraServer is reserved by nature", True)
    named = _named(key, graph)
    if placement.any_ultra_server:
        for place, rack in named.items():
            if isinstance(rack, str):
                yield Fault(place, "nothing together with placement.anyUltraServer", rack)
        if not draft.ultra_servers:
            yield Fault(f"{where}.anyUltraServer", "an UltraServer in capacity.ultraServers to run on", True)
        if unlike := _unlike(racks.values()):
            yield Fault(
                f"{where}.anyUltraServer",
                f"UltraServers that are alike, since its workers are sized for one machine; {unlike}",
                True,
                fix="make them alike, or name one: placement: {ultraServer: …}",
            )
        return
    for place, rack in named.items():
        if isinstance(rack, str) and rack not in draft.ultra_servers:
            yield Fault(place, one_of(rack, draft.ultra_servers, "an UltraServer of capacity:"), rack)
    for role in roles(graph):
        if rack_of(graph, role) is None:
            yield Fault(
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
            f"{key}.{role}.ultraServer",
            f"an UltraServer like the other role's, since a graph's workers are sized for one machine; {unlike}",
            own[role].name,
            fix="make the two alike",
        )


def _unlike(racks: Iterable[Rack]) -> str | None:
    """In what the machines of UltraServers differ; None when they do not."""
    racks = list({rack.name: rack for rack in racks}.values())
    for name, of in (
        ("instanceType", lambda rack: rack.instance_type),
        ("efaInterfaces", lambda rack: rack.efa_interfaces),
        ("hugePagesMib", lambda rack: rack.huge_pages_mib),
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
            f"{key}.computeDomain",
            "perGraph, perRole, groveAuto or none, always stated on an UltraServer; the key is required",
            add=f"dynamo-eks:graphs:\n  {key.split('.')[1]}:\n    computeDomain: {right}",
        )
    elif wrong := _wrong_domain(graph, mode, right, given):
        why, fix = wrong
        yield Fault(f"{key}.computeDomain", f"{right}: {why}", mode, fix=fix)
    elif graph.transport == "nvlink" and mode == "none":
        yield Fault(
            f"{key}.transport", "efa with computeDomain: none; NVLink needs prefill and decode in one domain", "nvlink"
        )
    if graph.transport == "nvlink" and apart:
        yield Fault(
            f"{key}.transport",
            "efa: prefill and decode are on different UltraServers, and NVLink stays in one",
            "nvlink",
        )
    if graph.transport == "tcp":
        choices = "efa" if apart else "nvlink or efa"
        yield Fault(f"{key}.transport", f"{choices} on an UltraServer, whose KV blocks would crawl over TCP", "tcp")


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
            f"{key}.gpus",
            f"at most {machine.gpus}, what a {machine.type} has",
            worker.gpus,
            fix=None
            if worker.gpus % machine.gpus
            else f"spread each worker over nodes: nodes: {worker.nodes * worker.gpus // machine.gpus}, gpus: {machine.gpus}",
        )
    elif graph.compute_domain != "none" and worker.gpus != machine.gpus:
        yield Fault(
            f"{key}.gpus",
            f"{machine.gpus}: a node has one channel, so a second pod there could not join and the other "
            f"{machine.gpus - worker.gpus} GPUs would stand idle (NVIDIA DRA driver #309)",
            worker.gpus,
        )
    elif worker.gpus and machine.gpus % worker.gpus:
        yield Fault(
            f"{key}.gpus",
            f"a divisor of {machine.gpus}: each {machine.type} would have {machine.gpus % worker.gpus} GPU nobody can use",
            worker.gpus,
        )
    elif worker.gpus and graph.transport == "efa":
        yield from _efa_share(key, graph, worker, machine)
    if rack is None:
        return
    if worker.nodes > rack.nodes:
        yield Fault(f"{key}.nodes", f"at most {rack.nodes}, what UltraServer {rack.name} has", worker.nodes)
        return
    pods = max(machine.gpus // max(worker.gpus, 1), 1)
    room = rack.huge_pages_mib // pods
    if worker.huge_pages_mib and worker.huge_pages_mib > room and graph.transport == "efa":
        shared = f", shared by {pods} pods" if pods > 1 else ""
        expected = f"at most {room}: a node of {rack.name} sets {rack.huge_pages_mib} aside (its hugePagesMib{shared})"
        if not room:
            expected = f"nothing, since the nodes of {rack.name} set none aside"
        yield Fault(
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
            f"{key}.efa",
            f"at most {machine.efa}, what a node has with efaInterfaces: {machine.efa}",
            worker.efa,
            fix=f"leave the key out to take all of them, or set efaInterfaces: {most} on the UltraServer"
            if efa <= most
            else "leave the key out to take all of them",
        )
    elif efa == 0:
        yield Fault(f"{key}.efa", "at least 1 with transport: efa", 0)
    elif efa > fair:
        stranded = machine.gpus - worker.gpus * (machine.efa // efa)
        yield Fault(
            f"{key}.efa",
            f"at most {fair}: a pod with {worker.gpus} of a node's {machine.gpus} GPUs and {efa} of its {machine.efa} EFA "
            f"interfaces leaves {stranded} GPUs that no pod can use",
            worker.efa,
            fix=f"better, take whole nodes with gpus: {machine.gpus}; part of a node's EFA can break the KV transfer",
            add=None if worker.efa is not None else f"efa: {fair}",
        )


def nodes_of(worker: Worker, machine_gpus: int) -> int:
    """Nodes that a role's workers take on an UltraServer."""
    if worker.nodes > 1:
        return worker.replicas * worker.nodes
    return -(-worker.replicas * worker.gpus // machine_gpus)


def _together(given: Mapping[str, Graph], racks: Mapping[str, Rack], *, complete: bool) -> Iterator[Fault]:
    taken: dict[str, dict[str, int]] = {name: {} for name in racks}
    domains: dict[str, list[str]] = {name: [] for name in racks}
    for name, graph in given.items():
        if graph.placement.any_ultra_server:
            continue
        here: dict[str, str] = {}
        for role, worker in compute_domain.gpu_roles(graph).items():
            rack = _rack(graph, role, racks)
            if rack is not None:
                taken[rack.name][f"{name}.{role}"] = nodes_of(worker, rack.machine.gpus)
                named = f"{role}.ultraServer" if worker.ultra_server else "placement.ultraServer"
                here.setdefault(rack.name, f"graphs.{name}.{named}")
        if graph.compute_domain == "none":
            continue
        for rack, key in here.items():
            if domains[rack]:
                yield Fault(
                    key,
                    f"another UltraServer: graph {domains[rack][0]} has a ComputeDomain on {rack}, and two domains in one "
                    "NVLink clique cannot both map memory (NVIDIA DRA driver #892)",
                    rack,
                    fix="place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node",
                )
            domains[rack].append(name)
    for rack, by_role in taken.items():
        nodes, gpus = sum(by_role.values()), racks[rack].machine.gpus
        if nodes > racks[rack].nodes:
            yield Fault(
                f"capacity.ultraServers.{rack}.type",
                f"graphs that fit its {racks[rack].nodes} nodes ({racks[rack].gpus} GPUs); they ask for {nodes} nodes "
                f"({nodes * gpus} GPUs): {', '.join(f'{role} {count}' for role, count in by_role.items())}",
                racks[rack].type,
                fix="lower replicas or nodes, or place a role or a graph on another UltraServer",
            )
    if not complete:
        # An UltraServer that is wrong by itself might be the one with room.
        return
    free = {name: racks[name].nodes - sum(by_role.values()) for name, by_role in taken.items()}
    whole = {
        # Where one of any will do, all of them are alike.
        name: sum(
            nodes_of(worker, next(iter(racks.values())).machine.gpus)
            for worker in compute_domain.gpu_roles(graph).values()
        )
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
