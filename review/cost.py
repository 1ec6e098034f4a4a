"""What a stack costs: by the hour when nothing is served, as its graphs are configured, and at the limits of its pools; what was paid
beforehand; what each graph costs; and what its use adds.

Pure: out of a recorded graph and the dated prices of recording/prices. A number that is not published says what was assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from components.capacity import instances
from components.capacity.block_prices import REVIEWED, SINCE
from components.capacity.window import Window
from components.dynamo.exposure import SCHEME_ANNOTATION
from components.dynamo.models import table as models
from recording.aws_types import CARDS
from recording.graph import Graph, Node
from recording.pool_blocks import SeenPool, pools
from recording.prices import table
from recording.prices.table import HOURS_PER_MONTH, Price
from recording.racks import racks
from review import blocks, cost_nodes
from rules.graphs import graphs

Level = Literal["idle", "configured", "limit"]
"""When something is paid for: always; as long as the graphs run as configured; when pools have grown to their limits."""

IMAGE_GB = 12
"""An engine's image as it is pulled (published sizes of vLLM and SGLang are 8 to 12 GB; those of Dynamo's were not found)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thing that is billed by the hour."""

    level: Level
    subject: str
    """Whose it is: a resource's name, `NodePool gpu`."""
    what: str
    amount: float
    price: Price | None
    """None where none is known; the totals are then too small."""

    @property
    def usd_per_hour(self) -> float:
        return self.amount * self.price.hourly if self.price else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What an amount of use costs. Never part of a sum by the hour: how often it happens is not known beforehand."""

    what: str
    amount: float | None
    """Units; None where nobody can tell how many there will be, and the price is that of one."""
    price: Price

    @property
    def usd(self) -> float:
        return self.price.usd * (1 if self.amount is None else self.amount)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepaid:
    """A block that is paid as a whole beforehand."""

    name: str
    what: str
    usd: float | None
    """Its upfront fee as the stack file states it, or what the quoted rate makes of its length; None where neither is known."""
    given: bool
    """Whether the stack file states it."""
    quoted: str
    """Where the quote is from and how long it holds; empty for a stated fee."""
    hours: float
    """Of the whole block."""
    usable_hours: float
    """Between its start, or now, and its drain: what can still be used."""
    usable_hours_whole: float
    """Between its start and its drain."""
    passed: float
    """Part of the block that is over, 0 to 1."""
    gpus: int

    @property
    def usd_passed(self) -> float | None:
        """What was paid for the hours that are over, used or not."""
        return None if self.usd is None else self.usd * self.passed

    @property
    def usd_per_usable_hour(self) -> float | None:
        return self.usd / self.usable_hours_whole if self.usd is not None and self.usable_hours_whole > 0 else None

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """Of a GPU in an hour of the block, usable or not."""
        return self.usd / self.hours / self.gpus if self.usd is not None and self.hours and self.gpus else None


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphCost:
    """What the GPUs of one graph cost."""

    graph: str
    gpus: int
    usd_per_hour: float | None
    """Of its GPUs alone, each at its part of the machine; None where a price is not known."""
    usd_per_hour_spot: float | None
    """The same where its pool may take spot machines; None where it may not."""
    paid: cost_nodes.Paid
    """How: by the hour as soon as one part of it is."""
    tokens_per_second: float | None
    """Output tokens, as the stack file states them."""

    @property
    def usd_per_gpu_hour(self) -> float | None:
        return self.usd_per_hour / self.gpus if self.usd_per_hour is not None and self.gpus else None

    @property
    def usd_per_million_tokens(self) -> float | None:
        if self.usd_per_hour is None or not self.tokens_per_second:
            return None
        return self.usd_per_hour / (self.tokens_per_second * 3600) * 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a stack costs."""

    region: str
    """Empty for a stack on somebody else's cluster, which makes nothing that AWS bills."""
    lines: tuple[Line, ...]
    spot_saves: float
    """Dollars an hour less, as configured, when every pool that may take spot machines gets them."""
    uses: tuple[Use, ...]
    prepaid: tuple[Prepaid, ...]
    graphs: tuple[GraphCost, ...]
    unknown: tuple[str, ...]
    """What is billed and has no price here."""
    stale_days: int
    """Age of the price table on the day planned for, where that is more than half a year; 0 otherwise."""

    def usd_per_hour(self, level: Level) -> float:
        """Everything that is paid for at a level by the hour; blocks that were paid beforehand are not in it."""
        return sum(line.usd_per_hour for line in self.lines if line.level in ("idle", level))

    def usd_per_month(self, level: Level) -> float:
        return self.usd_per_hour(level) * HOURS_PER_MONTH


def of(graph: Graph) -> Cost:
    """What a recorded graph costs."""
    region = _region(graph)
    if not region:
        return Cost(
            region="", lines=(), spot_saves=0, uses=(), prepaid=(), graphs=(),
            unknown=(), stale_days=0,
        )  # fmt: skip
    day = graph.at.date()
    chosen = cost_nodes.chosen(graph, region)
    taken = tuple(cost_nodes.taken(graph, region, chosen))
    prepaid = tuple(_prepaid(graph))
    lines = (
        *_fixed(graph, region, day),
        *_balancers(graph, region),
        *_stored(graph, region),
        *_existing_reservations(graph, region),
        *_nodes(graph, region, taken),
        *_system(graph, region),
        *_limits(graph, region),
    )
    age = (day - table.collected()).days
    return Cost(
        region=region,
        lines=lines,
        spot_saves=sum(item.spot_saves for item in taken),
        uses=tuple(_uses(graph, region, taken)),
        prepaid=prepaid,
        graphs=tuple(_graphs(graph, region, chosen, taken, prepaid)),
        unknown=tuple(_unknown(graph, lines, prepaid)),
        stale_days=age if age > table.OLD_AFTER_DAYS else 0,
    )


def _region(graph: Graph) -> str:
    """The region that the program makes things in; empty where it makes nothing in AWS."""
    return next((str(node.inputs.get("region")) for node in graph.of("pulumi:providers:aws")), "")


# --- by the hour -----------------------------------------------------------------------------------------------------


def _fixed(graph: Graph, region: str, day: date) -> Iterator[Line]:
    """What the cards of AWS types say of each resource."""
    for node in graph:
        card = CARDS.get(node.type)
        for charge in card.charges if card else ():
            amount = charge.amount(node.inputs, day)
            if not amount:
                continue
            if charge.rate == "ec2":
                type_ = str(node.inputs.get("instanceType"))
                yield Line(
                    level="idle", subject=node.name, what=f"reserved {type_}, used or not", amount=amount,
                    price=table.on_demand(type_, region),
                )  # fmt: skip
            else:
                yield Line(
                    level="idle", subject=node.name, what=table.words(charge.rate), amount=amount,
                    price=table.price(charge.rate, region),
                )  # fmt: skip


def _balancers(graph: Graph, region: str) -> Iterator[Line]:
    zones = len(
        {node.inputs.get("availabilityZoneId") for node in graph.of("aws:ec2/subnet:Subnet") if "public" in node.name}
    )
    for item in graph.objects_of("Service"):
        if item.manifest.get("spec", {}).get("type") != "LoadBalancer":
            continue
        yield Line(
            level="idle",
            subject=item.address,
            what=table.words("nlb-hour"),
            amount=1,
            price=table.price("nlb-hour", region),
        )
        annotations = item.manifest["metadata"].get("annotations") or {}
        if annotations.get(SCHEME_ANNOTATION) == "internet-facing" and zones:
            yield Line(
                level="idle", subject=item.address, what="public IPv4 address of the load balancer in each zone", amount=zones,
                price=table.price("public-ipv4-hour", region),
            )  # fmt: skip


def cached(graph: Graph) -> list[tuple[str, str, float | None]]:
    """Models that lie on the shared files: name of the cache, repository, and gigabytes on disk (None where nothing is known of it)."""
    found = []
    for node in graph.of("dynamo-eks:index:ModelCache"):
        repository = str(node.inputs.get("repository"))
        stated = node.inputs.get("facts") or {}
        facts = models.known(repository)
        size = (
            stated.get("diskBytes") or stated.get("weightBytes") or (facts and (facts.disk_bytes or facts.weight_bytes))
        )
        found.append((node.name, repository, size / 1e9 if size else None))
    return found


def _stored(graph: Graph, region: str) -> Iterator[Line]:
    if not graph.of("aws:efs/fileSystem:FileSystem"):
        return
    for name, repository, size in cached(graph):
        if size:
            yield Line(
                level="idle", subject=name, what=f"{repository} on EFS", amount=round(size, 1),
                price=table.price("efs-gb-month", region),
            )  # fmt: skip


def _existing_reservations(graph: Graph, region: str) -> Iterator[Line]:
    """On-Demand reservations that were made elsewhere: on the same bill, whether or not this stack runs."""
    for pool in pools(graph).values():
        for held in pool.reservations:
            if held.kind == "onDemand" and held.id:
                yield Line(
                    level="idle", subject=held.id, what=f"reserved {held.instance_type}, made elsewhere, used or not",
                    amount=held.count, price=table.on_demand(held.instance_type, region),
                )  # fmt: skip


def _nodes(graph: Graph, region: str, taken: Iterable[cost_nodes.Taken]) -> Iterator[Line]:
    for item in taken:
        if item.bought:
            yield Line(
                level="configured", subject=f"NodePool {item.pool}", what=f"{item.type} on demand", amount=item.bought,
                price=table.on_demand(item.type, region),
            )  # fmt: skip
        yield Line(
            level="configured", subject=f"NodePool {item.pool}", what=f"Auto Mode fee of {item.type}", amount=item.nodes,
            price=table.auto_mode_fee(item.type, region),
        )  # fmt: skip
        yield from _volumes(graph, region, item.pool, item.type, item.nodes, "configured")


def _volumes(graph: Graph, region: str, pool: str, type_: str, nodes: float, level: Level) -> Iterator[Line]:
    """The data volume of a pool's nodes: none where the machine's own disks are larger and used instead."""
    made = next((item.manifest for item in graph.objects_of("NodeClass") if item.name == pool), None)
    disk = (made or {}).get("spec", {}).get("ephemeralStorage")
    if not disk or not nodes:
        return
    size = int(str(disk["size"]).removesuffix("Gi"))
    if instances.known(type_) and instances.instance(type_).nvme_gb > size:
        return
    parts = (
        ("gp3-gb-month", size),
        ("gp3-iops-month", max(0, disk["iops"] - 3000)),
        ("gp3-mibps-month", max(0, disk["throughput"] - 125)),
    )
    for rate, amount in parts:
        if amount:
            yield Line(
                level=level, subject=f"NodePool {pool}", what=f"{table.words(rate)}, data volumes of nodes",
                amount=amount * nodes, price=table.price(rate, region),
            )  # fmt: skip


def _system(graph: Graph, region: str) -> Iterator[Line]:
    for item in cost_nodes.system(graph, region):
        # What runs beside graphs as configured runs beside them at the limits too.
        levels: tuple[Level, ...] = ("idle",) if item.idle else ("configured", "limit")
        on_demand, fee = table.on_demand(item.type, region), table.auto_mode_fee(item.type, region)
        for level in levels:
            for what, price in ((f"{item.type} on demand", on_demand), (f"Auto Mode fee of {item.type}", fee)):
                yield Line(
                    level=level, subject="general-purpose pool", what=what, amount=item.nodes,
                    price=cost_nodes.assumed(price, item.why),
                )  # fmt: skip


def _limits(graph: Graph, region: str) -> Iterator[Line]:
    for item in cost_nodes.limits(graph, region):
        if item.bought:
            yield Line(
                level="limit", subject=f"NodePool {item.pool}", what=f"{item.type} on demand, the dearest for its GPUs",
                amount=item.bought, price=table.on_demand(item.type, region),
            )  # fmt: skip
        yield Line(
            level="limit", subject=f"NodePool {item.pool}", what=f"Auto Mode fee of {item.type}", amount=item.nodes,
            price=table.auto_mode_fee(item.type, region),
        )  # fmt: skip
        yield from _volumes(graph, region, item.pool, item.type, item.nodes, "limit")


# --- paid beforehand -------------------------------------------------------------------------------------------------


def _prepaid(graph: Graph) -> Iterator[Prepaid]:
    for rack in racks(graph).values():
        price = blocks.money(rack, graph.at)
        component = graph.by_key.get(str(rack.group.parent))
        if rack.window is not None:
            yield _block(
                rack.name, f"{rack.type}, {rack.nodes} nodes", rack.window, graph.at, price.get("usdBlock"),
                component.inputs.get("upfrontFeeUsd") if component else None, rack.gpus,
            )  # fmt: skip
    for pool in pools(graph).values():
        fees = _fees(graph, pool)
        for number, held in enumerate(pool.reservations):
            if held.kind != "capacityBlock" or held.window is None:
                continue
            price = blocks.pool_money(held, graph.at)
            yield _block(
                f"{pool.name} {held.id}".strip(), f"{held.count} {held.instance_type}", held.window, graph.at,
                price.get("usdBlock"), fees.get(str(number)), held.gpus,
            )  # fmt: skip


def _fees(graph: Graph, pool: SeenPool) -> dict[str, float]:
    """Stated upfront fees by the number of the reservation."""
    component = graph.by_key.get(str(pool.node_pool.node.parent))
    return dict(component.inputs.get("upfrontFeesUsd") or {}) if component else {}


def _block(
    name: str, what: str, window: Window, now: datetime, quote: float | None, fee: float | None, gpus: int
) -> Prepaid:
    hour = timedelta(hours=1)
    whole = window.end - window.start
    quoted = f"AWS's rate since {SINCE}, which it reviews in {REVIEWED:%B %Y}" + (
        "; the review has been since, ask for an offering" if now.date() >= REVIEWED else ""
    )
    over = min(max(now - window.start, timedelta(0)), whole)
    return Prepaid(
        name=name,
        what=what,
        usd=fee if fee is not None else quote,
        given=fee is not None,
        quoted="" if fee is not None else quoted,
        hours=whole / hour,
        usable_hours=window.usable_hours(now),
        usable_hours_whole=(window.drain_at - window.start) / hour,
        passed=over / whole if whole else 0,
        gpus=gpus,
    )


# --- by graph --------------------------------------------------------------------------------------------------------


def _graphs(
    graph: Graph,
    region: str,
    chosen: cost_nodes.Chosen,
    taken: tuple[cost_nodes.Taken, ...],
    prepaid: Iterable[Prepaid],
) -> Iterator[GraphCost]:
    paid = {item.name: item.usd_per_gpu_hour for item in prepaid}
    for item in graphs(graph):
        parts = list(cost_nodes.parts(item, region, chosen, taken, paid))
        gpus = sum(part.gpus for part in parts)
        if not gpus:
            continue
        component = graph.by_key.get(str(item.node.parent))
        stated = component.inputs.get("tokensPerSecond") if component else None
        known = all(part.usd is not None for part in parts)
        spot = known and any(part.usd_spot is not None for part in parts)
        yield GraphCost(
            graph=f"{item.namespace}/{item.name}",
            gpus=gpus,
            usd_per_hour=sum(part.usd or 0 for part in parts) if known else None,
            usd_per_hour_spot=sum(_either(part) for part in parts) if spot else None,
            paid=cost_nodes.soonest(part.paid for part in parts),
            tokens_per_second=stated,
        )


def _either(part: cost_nodes.Part) -> float:
    found = part.usd if part.usd_spot is None else part.usd_spot
    return found or 0


# --- use -------------------------------------------------------------------------------------------------------------


def _uses(graph: Graph, region: str, taken: Iterable[cost_nodes.Taken]) -> Iterator[Use]:
    nat, efs = bool(graph.of("aws:ec2/natGateway:NatGateway")), graph.of("aws:efs/fileSystem:FileSystem")
    sizes = {repository: size for _, repository, size in cached(graph)}
    for repository, size in sizes.items():
        if size is None:
            continue
        if nat:
            yield Use(
                what=f"{repository} downloaded once through NAT", amount=size, price=table.price("nat-gb", region)
            )
        if efs and _elastic(efs[0]):
            yield Use(what=f"{repository} written to EFS once", amount=size, price=table.price("efs-write-gb", region))
    if efs and _elastic(efs[0]):
        for name, repository, nodes in cost_nodes.readers(graph):
            if size := sizes.get(repository):
                yield Use(
                    what=f"{repository} read from EFS by {nodes} node{'s' if nodes > 1 else ''} at each full start of {name}",
                    amount=size * nodes, price=table.price("efs-read-gb", region),
                )  # fmt: skip
    nodes = sum(item.nodes for item in taken)
    if nat and nodes:
        yield Use(
            what=f"engine image of about {IMAGE_GB} GB pulled through NAT by {nodes} GPU nodes (assumed; images in ECR come by endpoint)",
            amount=IMAGE_GB * nodes, price=table.price("nat-gb", region),
        )  # fmt: skip
    if graph.of("aws:cloudwatch/logGroup:LogGroup"):
        yield Use(
            what="control-plane and flow logs, a GB taken in", amount=None, price=table.price("logs-ingest-gb", region)
        )
    yield Use(what="traffic between zones, a GB", amount=None, price=table.price("zone-traffic-gb", region))


def _elastic(node: Node) -> bool:
    return node.inputs.get("throughputMode", "elastic") == "elastic"


def _unknown(graph: Graph, lines: Iterable[Line], prepaid: Iterable[Prepaid]) -> Iterator[str]:
    yield from dict.fromkeys(f"{line.what} ({line.subject})" for line in lines if line.price is None)
    yield from (f"the block {item.name}" for item in prepaid if item.usd is None)
    yield from (f"{repository} on EFS" for _, repository, size in cached(graph) if size is None)
    if racks(graph):
        yield "traffic and root volumes in the Local Zone of an UltraServer"
