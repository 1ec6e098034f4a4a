"""Which machines a stack's pods take, and what they cost: for review/cost.py. Pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.capacity import instances, room
from components.capacity.instances import Instance
from components.capacity.room import Kind
from components.capacity.succession import most, rooms
from components.dynamo.expected_pods import ExpectedPod, fits
from components.dynamo.manifest import GPU
from recording.graph import Graph, KubernetesObject
from recording.pool_blocks import pools
from recording.prices import table
from recording.prices.table import Price
from recording.racks import RACK_LABEL, RACK_MARK
from rules.graphs import POOL, candidates, graphs, pools_of
from rules.idle import by_component, nodes_taken
from rules.models import served

OPERATORS = Kind(1, {"cpu": 2000, "memory": 4096}, "operators")
"""What the pods of the charts ask for together (assumed: Dynamo's operator, KAI, Grove, the GPU Operator's and the DRA driver's
controllers ask for a tenth to half a core each)."""

GENERAL = ("c7i", "m7i", "r7i")
"""Families that stand for those of the built-in general-purpose pool, which takes c, m and r after the fourth generation; the cheapest of
these holds the pods. Others differ by a tenth or so."""

OPERATORS_WHY = f"operators ask for about 2 CPU and 4 GiB together, on the cheapest of {', '.join(GENERAL)}"
PARTS_WHY = f"parts without a GPU run on the cheapest of {', '.join(GENERAL)}"


Paid = Literal["hourly", "reserved", "prepaid"]
"""How machines are paid: as long as they run; by a reservation, used or not; beforehand, in a block."""

Chosen = Mapping[tuple[str, str], Sequence[tuple[str, list[ExpectedPod]]]]
"""Parts of graphs, each with its graph's address, by pool and instance type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Machines of one type that a pool runs."""

    pool: str
    type: str
    nodes: int
    bought: int
    """Those that are not reserved, and so paid by the hour."""
    gpus: int
    """Of one machine."""
    block: bool = False
    """Whether a Capacity Block holds the reserved ones."""
    spot_saves: float = 0.0
    """Dollars an hour less when the bought ones are spot machines; 0 where the pool may not take them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The GPUs of a graph on one kind of machine."""

    gpus: int
    usd: float | None
    usd_spot: float | None
    paid: Paid


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Machines of the built-in general-purpose pool."""

    type: str
    nodes: int
    idle: bool
    """Whether they are there without any graph."""
    why: str
    """What is assumed."""


def assumed(price: Price | None, why: str) -> Price | None:
    """A price whose amount is a guess."""
    return price and dataclasses.replace(price, sort="assumed", why=why)


def _capacity(pool: Mapping[str, object]) -> tuple[str, ...]:
    spec = pool["spec"]["template"]["spec"]  # type: ignore[index]
    return tuple(
        value
        for item in spec.get("requirements", ())
        if item["key"] == "karpenter.sh/capacity-type"
        for value in item.get("values", ())
    )


def chosen(graph: Graph, region: str) -> Chosen:
    """Pods with GPUs by pool and the type they are reckoned on: a reserved one first, then the cheapest that holds the part."""
    launching, drawn = pools_of(graph), pools(graph)
    found: dict[tuple[str, str], list[tuple[str, list[ExpectedPod]]]] = defaultdict(list)
    for item in graphs(graph):
        for pods in by_component(item).values():
            first = pods[0]
            fitting = [choice for choice in candidates(first, launching) if fits(first, choice) is None]
            if not int(first.requests.get(GPU, 0)) or not fitting:
                continue
            pool = first.node_selector[POOL]
            held = {one.instance_type for one in drawn[pool].reservations} if pool in drawn else set()
            choice = min(fitting, key=lambda node: (node.type not in held, _price_of([pods], node, region), node.type))
            found[pool, choice.type].append((f"{item.namespace}/{item.name}", pods))
    return found


def _price_of(parts: Sequence[Sequence[ExpectedPod]], node: Instance, region: str) -> float:
    price = table.on_demand(node.type, region)
    # A type without a price is taken only where no other fits.
    return float("inf") if price is None else price.usd * nodes_taken(parts, node)


def taken(graph: Graph, region: str, chosen: Chosen) -> Iterator[Taken]:
    """Machines that the graphs take as configured."""
    launching, drawn = pools_of(graph), pools(graph)
    for (pool, type_), parts in chosen.items():
        node = instances.instance(type_)
        nodes = nodes_taken([pods for _, pods in parts], node)
        reserved = most(rooms(drawn[pool].reservations, type_)) if pool in drawn else 0
        bought = max(0, nodes - reserved)
        yield Taken(
            pool=pool,
            type=type_,
            nodes=nodes,
            bought=bought,
            gpus=node.gpus,
            block=pool in drawn and any(held.instance_type == type_ for held in drawn[pool].blocks),
            spot_saves=_saved(type_, region) * bought if "spot" in _capacity(launching[pool]) else 0.0,
        )


def _saved(type_: str, region: str) -> float:
    whole, spot = table.on_demand(type_, region), table.spot(type_, region)
    return whole.usd - spot.usd if whole and spot else 0.0


def parts(
    item: KubernetesObject, region: str, chosen: Chosen, taken: Sequence[Taken], paid: Mapping[str, float | None]
) -> Iterator[Part]:
    """The GPUs of one graph with what they cost: each its part of its machine. `paid` are blocks by name: dollars for a GPU and hour."""
    address = f"{item.namespace}/{item.name}"
    by_type = {(one.pool, one.type): one for one in taken}
    for (pool, type_), found in chosen.items():
        gpus = sum(int(pod.requests[GPU]) for name, pods in found if name == address for pod in pods)
        if gpus:
            yield _part(
                by_type[pool, type_], gpus, region, [usd for name, usd in paid.items() if name.split()[0] == pool]
            )
    on_racks = [
        pod for pods in by_component(item).values() for pod in pods if _rack(pod) and int(pod.requests.get(GPU, 0))
    ]
    gpus = sum(int(pod.requests[GPU]) for pod in on_racks)
    if gpus:
        names = {pod.node_selector.get(RACK_LABEL) for pod in on_racks}
        usd = next((usd for name, usd in paid.items() if name in names or None in names), None)
        yield Part(gpus=gpus, usd=None if usd is None else usd * gpus, usd_spot=None, paid="prepaid")


def _part(one: Taken, gpus: int, region: str, blocks: Sequence[float | None]) -> Part:
    whole, fee = table.on_demand(one.type, region), table.auto_mode_fee(one.type, region)
    each = None if whole is None else whole.usd / one.gpus
    paid: Paid = "hourly" if one.bought else "prepaid" if one.block else "reserved"
    if paid == "prepaid":
        each = blocks[0] if blocks else None
    if each is None:
        return Part(gpus=gpus, usd=None, usd_spot=None, paid=paid)
    usd = gpus * (each + (fee.usd / one.gpus if fee else 0))
    saved = one.spot_saves / one.bought / one.gpus * gpus if one.spot_saves else 0
    return Part(gpus=gpus, usd=usd, usd_spot=usd - saved if saved else None, paid=paid)


def soonest(paid: Iterable[Paid]) -> Paid:
    """How parts are paid together: by the hour as soon as one is."""
    found = set(paid)
    return "hourly" if "hourly" in found else "reserved" if "reserved" in found else "prepaid"


def _rack(pod: ExpectedPod) -> bool:
    return RACK_LABEL in pod.node_selector or RACK_MARK in pod.node_selector


def limits(graph: Graph, region: str) -> Iterator[Taken]:
    """Machines of each pool when it has grown to its limit of GPUs: those with the dearest GPUs, reserved ones first."""
    drawn = pools(graph)
    for name, pool in pools_of(graph).items():
        limit = int((pool["spec"].get("limits") or {}).get("nvidia.com/gpu", 0))
        choices = [node for node in instances.launchable(pool) if 0 < node.gpus <= limit]
        held = {one.instance_type for one in drawn[name].reservations} if name in drawn else set()
        buys = [value for value in _capacity(pool) if value != "reserved"]
        reserved = {type_: most(rooms(drawn[name].reservations, type_)) for type_ in sorted(held)} if held else {}
        for type_, nodes in reserved.items():
            gpus = instances.instance(type_).gpus if instances.known(type_) else 0
            used = min(nodes, limit // gpus) if gpus else 0
            limit -= used * gpus
            if used:
                yield Taken(pool=name, type=type_, nodes=used, bought=0, gpus=gpus)
        if not buys or not choices or limit <= 0:
            continue
        dearest = max((node for node in choices), key=lambda node: (_per_gpu(node, region), -node.gpus))
        nodes = limit // dearest.gpus
        if nodes:
            yield Taken(pool=name, type=dearest.type, nodes=nodes, bought=nodes, gpus=dearest.gpus)


def _per_gpu(node: Instance, region: str) -> float:
    price = table.on_demand(node.type, region)
    return price.usd / node.gpus if price else 0.0


def system(graph: Graph, region: str) -> Iterator[System]:
    """Machines of the built-in pool: one for the operators at any time, and those for the parts of graphs that have no GPU."""
    if not graph.of("aws:eks/cluster:Cluster") or not graph.releases:
        return
    parts = []
    for item in graphs(graph):
        for pods in by_component(item).values():
            first = pods[0]
            if POOL in first.node_selector or _rack(first) or int(first.requests.get(GPU, 0)):
                continue
            takes = {"cpu": first.cpu_milli, "memory": first.memory_mib}
            parts.append(Kind(len(pods), takes, f"{first.namespace}/{first.graph} {first.component}"))
    for kinds, idle, why in (([OPERATORS], True, OPERATORS_WHY), (parts, False, PARTS_WHY)):
        found = _cheapest(kinds, region) if kinds else None
        if found is not None:
            yield System(type=found[0].type, nodes=found[1], idle=idle, why=why)


def _cheapest(kinds: Sequence[Kind], region: str) -> tuple[Instance, int] | None:
    """The type, and how many of it, that hold the pods for the least money; None when none holds them."""
    best: tuple[float, Instance, int] | None = None
    for node in (one for family in GENERAL for one in instances.in_family(family)):
        cpu, memory = instances.allocatable(node)
        holds, price = {"cpu": cpu, "memory": memory}, table.on_demand(node.type, region)
        if price is None or any(not room.per_node(kind.takes, holds) for kind in kinds):
            continue
        nodes = room.nodes_together(kinds, holds)
        if best is None or price.usd * nodes < best[0]:
            best = (price.usd * nodes, node, nodes)
    return best and best[1:]


def readers(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """Role of a graph, repository of its model, and nodes that read it when all of its workers start: one for each pod."""
    for item in served(graph):
        nodes = (item.component.get("multinode") or {}).get("nodeCount", 1)
        count = item.replicas * nodes
        if count:
            yield f"{item.graph.namespace}/{item.graph.name} {item.role}", item.started.model, count
