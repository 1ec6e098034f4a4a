"""Where graphs run in pools, and whether they fit there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from components import sizing
from components.capacity import instances, succession
from components.capacity.spec import Pool
from components.dynamo.manifest import on_rack, roles
from components.dynamo.spec import Graph
from stacks.checks.capacity import unknown_type
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import meant
from stacks.faults import Fault, one_of


def placements(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    placement = graph.placement
    where = f"{key}.placement"
    if graph.transport == "efa" and placement.same_zone is False:
        yield Fault(
            "same-zone-for-efa", f"{where}.sameZone", "true with transport: efa, since EFA does not cross zones", False
        )
    if graph.backend == "mocker":
        yield from _of_mocker(draft, key, graph)
        return
    if on_rack(graph) and not draft.existing_cluster:
        return
    if draft.existing_cluster:
        yield Fault(
            "backend-without-gpus",
            f"{key}.backend",
            "mocker with cluster.existing, where the program makes no GPU capacity",
            graph.backend,
        )
        return
    if placement.pool is None:
        yield _nowhere(draft, key)
        return
    pool = draft.pools.get(placement.pool)
    if pool is None:
        if "capacity" not in draft.broken and "capacity.pools" not in draft.broken:
            yield Fault(
                "pool-unknown",
                f"{where}.pool",
                one_of(placement.pool, draft.pools, "a pool of capacity:"),
                placement.pool,
            )
        return
    zones = pool.zones or draft.zone_ids
    if placement.zone and zones and placement.zone not in zones:
        yield Fault(
            "zone-outside-pool", f"{where}.zone", one_of(placement.zone, zones, "a zone of its pool:"), placement.zone
        )
    if placement.reserved_only and "reserved" not in pool.capacity:
        yield Fault(
            "reserved-only-without-reservations",
            f"{where}.reservedOnly",
            f"false, or a pool with reserved capacity; {placement.pool} has none",
            True,
        )
    type_ = placement.instance_type
    if type_ is None:
        yield from _any_type(key, graph, pool)
        return
    if not instances.known(type_):
        yield Fault("instance-type-unknown", f"{where}.instanceType", unknown_type(type_), type_)
        return
    machine = instances.instance(type_)
    yield from _typed(key, graph, pool, machine)
    if fixed(graph, pool) and machine.gpus:
        yield from _reserved_room(key, graph, pool, machine)


def _of_mocker(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    """The mocker runs on ordinary nodes, of which the stack has no pool."""
    placement = graph.placement
    for field, alias in (("pool", "pool"), ("instance_type", "instanceType"), ("reserved_only", "reservedOnly")):
        if getattr(placement, field):
            yield Fault(
                "mocker-placement",
                f"{key}.placement.{alias}",
                "nothing: the mocker runs on ordinary CPU nodes",
                getattr(placement, field),
            )
    if placement.zone and draft.existing_cluster:
        yield Fault(
            "zone-of-existing-cluster",
            f"{key}.placement.zone",
            "nothing with cluster.existing, whose zones are its own matter",
            placement.zone,
        )
    elif placement.zone and (zones := draft.zone_ids) and placement.zone not in zones:
        yield Fault(
            "zone-outside-network",
            f"{key}.placement.zone",
            one_of(placement.zone, zones, "a zone of the network:"),
            placement.zone,
        )
    if graph.transport == "efa":
        yield Fault("mocker-transport", f"{key}.transport", "tcp or none, since the mocker transfers nothing", "efa")


def _nowhere(draft: Draft, key: str) -> Fault:
    """A graph with GPUs that names no place."""
    name = key.split(".")[1]
    if meant(draft):
        rack = next(iter(draft.ultra_servers), "rack-a")
        return Fault(
            "placement-missing",
            f"{key}.placement",
            "the UltraServer or the pool its workers run on; the key is required",
            add=f"dynamo-eks:graphs:\n  {name}:\n    placement: {{ultraServer: {rack}}}",
        )
    return Fault(
        "placement-pool-missing",
        f"{key}.placement.pool",
        "the pool its workers run on; the key is required",
        add=f"dynamo-eks:graphs:\n  {name}:\n    placement: {{pool: gpu}}",
    )


def _any_type(key: str, graph: Graph, pool: Pool) -> Iterator[Fault]:
    """Workers that name no instance type, against all that the pool may launch."""
    if graph.transport == "efa":
        yield Fault(
            "instance-type-missing",
            f"{key}.placement.instanceType",
            "a type with EFA, so that whole nodes can be asked for; the key is required",
            add="placement: {instanceType: g6e.24xlarge}",
        )
    largest = [item.gpus for family in pool.families for item in instances.in_family(family)]
    largest += [instances.instance(item).gpus for item in pool.instance_types if instances.known(item)]
    for role, worker in roles(graph).items():
        if largest and worker.gpus > max(largest):
            yield Fault(
                "gpus-beyond-pool",
                f"{key}.{role}.gpus",
                f"at most {max(largest)}, the most a node of pool {graph.placement.pool} has",
                worker.gpus,
            )


def _typed(key: str, graph: Graph, pool: Pool, machine: instances.Instance) -> Iterator[Fault]:
    """A named instance type, against its pool and the graph's transport."""
    pool_is_sound = (pool.families or pool.instance_types) and set(pool.families).issubset(instances.GPU_POOL_FAMILIES)
    if pool_is_sound and machine.family not in pool.families and machine.type not in pool.instance_types:
        may = ", ".join(sorted({*pool.families, *pool.instance_types}))
        yield Fault(
            "instance-type-outside-pool",
            f"{key}.placement.instanceType",
            f"a type that pool {graph.placement.pool} may launch ({may})",
            machine.type,
        )
    if graph.transport == "efa" and graph.worker is None and machine.efa == 0:
        with_efa = [item.type for item in instances.in_family(machine.family) if item.efa]
        yield Fault(
            "instance-type-without-efa",
            f"{key}.placement.instanceType",
            f"a type with EFA, which {machine.type} has not" + (f": {', '.join(with_efa)}" if with_efa else ""),
            machine.type,
        )


def fixed(graph: Graph, pool: Pool) -> bool:
    """Whether reserved machines are all that a graph may run on."""
    return "reserved" in pool.capacity and (graph.placement.reserved_only or set(pool.capacity) == {"reserved"})


def _reserved_room(key: str, graph: Graph, pool: Pool, machine: instances.Instance) -> Iterator[Fault]:
    placement = graph.placement
    rooms = succession.rooms(pool.reservations, machine.type, placement.zone)
    by_zone: Counter[str] = Counter()
    for room in rooms:
        by_zone |= room
    needed = sizing.nodes_of(graph, machine)
    one_zone = placement.same_zone is not False
    most = succession.most(rooms, one_zone=one_zone)
    fitting = sorted(zone for zone, count in by_zone.items() if count >= needed)
    if needed > most:
        where = " in one zone" if one_zone and len(by_zone) > 1 else ""
        at_once = " at once" if len(rooms) > 1 else ""
        yield Fault(
            "reserved-room",
            f"{key}.placement.{'reservedOnly' if placement.reserved_only else 'pool'}",
            f"workers that fit {most} reserved {machine.type}{where}{at_once}; these need {needed} nodes",
            True if placement.reserved_only else placement.pool,
            fix="lower replicas, reserve more, or allow the pool's fallback with reservedOnly: false"
            if placement.reserved_only and set(pool.capacity) != {"reserved"}
            else "lower replicas, reserve more, or give the pool a fallback beside `reserved`",
        )
    elif one_zone and len(fitting) < len(by_zone):
        yield Fault(
            "reserved-room-in-zone",
            f"{key}.placement.zone",
            f"a zone whose reservations hold all workers: {', '.join(fitting)}. Where the first pod starts the others have to "
            "follow, and elsewhere too few are reserved; the key is required",
            add=f"placement: {{zone: {fitting[0]}}}",
        )


def together(draft: Draft) -> Iterator[Fault]:
    """Graphs that may run on reserved machines alone, all of a pool's together: each fits by itself, and there is one block."""
    for name, pool in draft.pools.items():
        by_type: dict[str, dict[str, Graph]] = {}
        for graph_name, graph in draft.graphs.items():
            type_ = graph.placement.instance_type
            if graph.placement.pool == name and type_ and instances.known(type_) and fixed(graph, pool):
                by_type.setdefault(type_, {})[graph_name] = graph
        for type_, graphs in by_type.items():
            machine = instances.instance(type_)
            if len(graphs) < 2 or not machine.gpus:
                continue
            most = succession.most(succession.rooms(pool.reservations, type_))
            kinds = [kind for key, graph in graphs.items() for kind in sizing.kinds_of(key, graph, machine).values()]
            needed = sizing.nodes_for(kinds, machine)
            if max(sizing.nodes_of(graph, machine) for graph in graphs.values()) <= most < needed:
                yield Fault(
                    "reserved-room-together",
                    f"capacity.pools.{name}.reservations",
                    f"room for {' and '.join(sorted(graphs))} together: they need {needed} {type_}, and {most} are reserved at once",
                    [item.count for item in pool.reservations],
                    fix="lower replicas, reserve more, or let one of them use the pool's fallback",
                )
