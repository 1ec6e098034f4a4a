"""From settings to sizes: which machine a graph's workers are made for, and how large each pool may grow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .capacity import instances, node_spec, room, succession
from .capacity.instances import Instance
from .capacity.room import Kind
from .capacity.spec import Pool
from .capacity.ultraservers import Rack
from .dynamo.interruption import surge
from .dynamo.manifest import cpu_and_memory, efa_count, on_rack, rack_of, roles
from .dynamo.quantities import mib, milli
from .dynamo.spec import Graph


def racks_of(graph: Graph, racks: Mapping[str, Rack]) -> list[Rack]:
    """UltraServers a graph may run on: those its roles name, or all of them."""
    if graph.placement.any_ultra_server:
        return list(racks.values())
    names = dict.fromkeys(name for role in roles(graph) if (name := rack_of(graph, role)))
    return [racks[name] for name in names if name in racks]


def machine_of(graph: Graph, pool: Pool | None, racks: Mapping[str, Rack] | None = None) -> Instance | None:
    """The instance a graph's workers are sized for: a node of its UltraServer, the one stated, or the smallest its pool may
    launch that holds the largest worker. None for graphs without GPUs."""
    if on_rack(graph):
        # All racks of a graph hold the same machines; the settings refuse others.
        return next((item.machine for item in racks_of(graph, racks or {})), None)
    if graph.placement.instance_type:
        return instances.instance(graph.placement.instance_type)
    gpus = max((worker.gpus for worker in roles(graph).values()), default=0)
    if pool is None or gpus == 0:
        return None
    return node_spec.smallest_fit(pool.families, pool.instance_types, gpus, graph.transport == "efa")


def kinds_of(name: str, graph: Graph, machine: Instance) -> dict[str, Kind]:
    """Pods of a graph's workers by role. A worker of several nodes has each of them to itself; a node has one channel for a pod
    with a claim of a ComputeDomain; prefill and decode shun each other where `antiAffinity` is required."""
    apart = graph.placement.anti_affinity == "required"
    found = {}
    for role, worker in roles(graph).items():
        cpu, memory = cpu_and_memory(graph, worker, machine)
        takes = {
            "gpus": worker.gpus,
            "efa": efa_count(graph, worker, machine),
            "cpu_milli": milli(cpu),
            "memory_mib": mib(memory),
        }
        if worker.nodes > 1:
            takes = {"gpus": machine.gpus}
        if on_rack(graph) and graph.compute_domain != "none":
            takes["channel"] = 1
        other = {"prefill": "decode", "decode": "prefill"}.get(role) if apart else None
        found[role] = Kind(worker.replicas * worker.nodes, takes, f"{name}.{role}", f"{name}.{other}" if other else "")
    return found


def nodes_for(kinds: Iterable[Kind], machine: Instance) -> int:
    """Nodes of a machine that pods take together."""
    cpu_milli, memory_mib = instances.allocatable(machine)
    node = {"gpus": machine.gpus, "efa": machine.efa, "cpu_milli": cpu_milli, "memory_mib": memory_mib, "channel": 1}
    return room.nodes_together([*kinds], node)


def nodes_of(graph: Graph, machine: Instance) -> int:
    """Nodes of a machine that a graph's workers take; roles share a node where their pods fit on it together."""
    return nodes_for(kinds_of("graph", graph, machine).values(), machine)


def pool_limit(name: str, pool: Pool, graphs: dict[str, Graph]) -> int:
    """GPUs a pool may hold: as stated, or what the graphs placed on it need and one node more to roll over."""
    if pool.gpu_limit is not None:
        return pool.gpu_limit
    demands = []
    for graph in graphs.values():
        machine = machine_of(graph, pool) if graph.placement.pool == name else None
        if machine is not None:
            demands.append((machine.gpus, nodes_of(graph, machine)))
    return node_spec.gpu_limit(demands)


def pool_nodes(pools: Mapping[str, Pool], graphs: Iterable[Graph], zone_ids: list[str]) -> dict[str, int]:
    """Nodes of pools that each zone may have to hold at once: those of graphs that can run nowhere else, and of the largest one of the
    others, which goes where its first pod goes. A graph that need not stay in one zone is spread over its zones."""
    fixed, wandering = dict.fromkeys(zone_ids, 0), dict.fromkeys(zone_ids, 0)
    for graph in graphs:
        pool = pools.get(graph.placement.pool or "")
        machine = machine_of(graph, pool) if pool else None
        if pool is None or machine is None:
            continue
        zones = [zone for zone in pool_zones(pool, zone_ids) if graph.placement.zone in (None, zone)]
        nodes = nodes_of(graph, machine)
        if graph.placement.same_zone is False and zones:
            nodes = -(-nodes // len(zones))
        for zone in zones:
            if len(zones) == 1 or graph.placement.same_zone is False:
                fixed[zone] += nodes
            else:
                wandering[zone] = max(wandering[zone], nodes)
    return {zone: fixed[zone] + wandering[zone] for zone in zone_ids}


def surge_room(name: str, graphs: Mapping[str, Graph], pools: Mapping[str, Pool], racks: Mapping[str, Rack]) -> bool:
    """Whether machines can come, or stand free, for the workers that a rolling update of a graph puts beside those that are there.
    Racks and reserved nodes do not grow, and a pool does as far as its limit."""
    graph = graphs[name]
    pool = pools.get(graph.placement.pool or "")
    machine = machine_of(graph, pool, racks)
    nodes = _most_nodes(graph, pool, racks)
    if machine is None or nodes is None:
        return True
    together: list[Kind] = []
    for other, its in graphs.items():
        if its.placement.pool == graph.placement.pool and racks_of(its, racks) == racks_of(graph, racks):
            together += kinds_of(other, grown(its) if other == name else its, machine).values()
    return nodes_for(together, machine) <= nodes


def grown(graph: Graph) -> Graph:
    """A graph in the middle of a rolling update, with what its surge puts beside."""
    update = {
        role: worker.model_copy(update={"replicas": worker.replicas + surge(graph, worker)})
        for role, worker in roles(graph).items()
    }
    return graph.model_copy(update=update)


def _most_nodes(graph: Graph, pool: Pool | None, racks: Mapping[str, Rack]) -> int | None:
    """Nodes that a graph's place may have at most; None where nothing bounds them."""
    if on_rack(graph):
        return sum(rack.nodes for rack in racks_of(graph, racks))
    machine = machine_of(graph, pool)
    if pool is None or machine is None:
        return None
    bounds = []
    if graph.placement.reserved_only or set(pool.capacity) == {"reserved"}:
        bounds.append(succession.most(succession.rooms(pool.reservations, machine.type, graph.placement.zone)))
    if pool.gpu_limit is not None:
        bounds.append(pool.gpu_limit // max(machine.gpus, 1))
    return min(bounds, default=None)


def pool_zones(pool: Pool, zone_ids: list[str]) -> list[str]:
    """Zones a pool launches in: its own, those of its reservations when it has no fallback, or all of the network's."""
    if pool.zones:
        return [zone for zone in zone_ids if zone in pool.zones]
    if pool.reservations:
        reserved = {item.zone for item in pool.reservations}
        return [zone for zone in zone_ids if zone in reserved]
    return zone_ids
