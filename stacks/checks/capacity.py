"""GPU pools and their reservations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta

from components.capacity import instances, node_spec
from components.capacity.spec import Pool, Reservation
from components.capacity.window import END_OF_DAY, refusal
from components.spec import seconds
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import LONGEST, over
from stacks.faults import Fault, one_of

SHORTEST_LIFE_HOURS = 4
"""Least `expireAfter`. Karpenter takes any; a model of 70 B parameters takes 20 minutes from launch to its first token."""


MOST_OF_A_BLOCK = 64
"""Instances of one Capacity Block (EC2 User Guide, "Capacity Blocks pricing and billing")."""

BOOKED_AHEAD = timedelta(weeks=8)
"""How far ahead of its start a Capacity Block can be bought (EC2 User Guide, "Capacity Blocks for ML")."""


def capacity(draft: Draft) -> Iterator[Fault]:
    open_pools = [name for name, pool in draft.pools.items() if pool.uses_open_reservations]
    reserving = [name for name, pool in draft.pools.items() if pool.reservations]
    for name in open_pools:
        if reserving:
            yield Fault(
                "open-reservations-unused",
                f"capacity.pools.{name}.usesOpenReservations",
                f"false: pool {reserving[0]} names its reservations, and once one NodeClass does, "
                "Auto Mode uses open reservations for none",
                True,
                fix=f"name {name}'s reservations too, or keep the two in different clusters",
            )
    seen: dict[str, str] = {}
    for name, pool in draft.pools.items():
        yield from _pool(draft, name, pool)
        for position, item in enumerate(pool.reservations):
            if item.id and item.id in seen:
                yield Fault(
                    "reservation-twice",
                    f"capacity.pools.{name}.reservations[{position}].id",
                    f"another id; pool {seen[item.id]} has it",
                    item.id,
                )
            elif item.id:
                seen[item.id] = name


def _pool(draft: Draft, name: str, pool: Pool) -> Iterator[Fault]:
    key = f"capacity.pools.{name}"
    if name in ("default", "system", "general-purpose"):
        yield Fault(
            "pool-name-taken", key, "another name; EKS keeps default, system and general-purpose for its own", name
        )
    if not pool.families and not pool.instance_types:
        yield Fault(
            "pool-without-machines",
            f"{key}.families",
            "families or instanceTypes; the key is required",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      families: [g6e]",
        )
    for position, family in enumerate(pool.families):
        yield from _family(f"{key}.families[{position}]", family)
    for position, type_ in enumerate(pool.instance_types):
        if not instances.known(type_):
            yield Fault("pool-type-unknown", f"{key}.instanceTypes[{position}]", unknown_type(type_), type_)
        else:
            yield from _family(f"{key}.instanceTypes[{position}]", instances.instance(type_).family, type_)
    yield from _purchase(key, name, pool)
    yield from _life(key, pool)
    yield from _disk(key, pool)
    zones = draft.zone_ids
    for position, zone in enumerate(pool.zones):
        if zones is not None and zone not in zones:
            yield Fault(
                "pool-zone-unknown", f"{key}.zones[{position}]", one_of(zone, zones, "a zone the network has:"), zone
            )
    for position, item in enumerate(pool.reservations):
        yield from _reservation(draft, f"{key}.reservations[{position}]", pool, item)
    # A graph whose own pool is missing or misspelt may have meant this one.
    used = any(
        graph.placement.pool == name or (graph.backend != "mocker" and graph.placement.pool not in draft.pools)
        for graph in draft.graphs.values()
    )
    if not used and pool.gpu_limit is None and "graphs" not in draft.broken:
        yield Fault(
            "pool-limit-missing",
            f"{key}.gpuLimit",
            "a limit, since no graph is placed on the pool to size it from; the key is required",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      gpuLimit: 8",
        )


def _purchase(key: str, name: str, pool: Pool) -> Iterator[Fault]:
    """Purchase options against the reservations."""
    if "reserved" in pool.capacity and not pool.reservations:
        yield Fault(
            "reserved-without-reservations",
            f"{key}.reservations",
            "the reservations that `reserved` draws from; without them Karpenter launches nothing reserved",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      reservations:\n"
            f"        - {{id: cr-0123456789abcdef0, kind: onDemand, instanceType: {_example(pool)}, zone: use1-az1, count: 1}}",
        )
    if pool.reservations and "reserved" not in pool.capacity:
        yield Fault(
            "reserved-not-listed",
            f"{key}.capacity",
            "`reserved` first, since the pool names reservations",
            list(pool.capacity),
        )
    if "reserved" in pool.capacity and pool.capacity[0] != "reserved":
        yield Fault(
            "reserved-not-first", f"{key}.capacity", "`reserved` first and its fallback after it", list(pool.capacity)
        )


def _life(key: str, pool: Pool) -> Iterator[Fault]:
    """How long a node lives."""
    lasts = seconds(pool.expire_after)
    if lasts > 504 * 3600:
        yield Fault(
            "node-life-too-long",
            f"{key}.expireAfter",
            "at most 504h, the 21 days that Auto Mode lets a node live",
            pool.expire_after,
        )
    elif lasts < SHORTEST_LIFE_HOURS * 3600:
        yield Fault(
            "node-life-too-short",
            f"{key}.expireAfter",
            f"at least {SHORTEST_LIFE_HOURS}h: a node that goes sooner spends its life with starting and loading the model",
            pool.expire_after,
        )


def _disk(key: str, pool: Pool) -> Iterator[Fault]:
    """The nodes' data volume, by what EBS has."""
    disk = pool.ephemeral_storage
    if disk.iops > 500 * disk.size_gib:
        yield Fault(
            "disk-iops-per-gib",
            f"{key}.ephemeralStorage.iops",
            f"at most {500 * disk.size_gib}, 500 for each GiB (EBS gp3); the launch of every node would fail",
            disk.iops,
        )
    if disk.throughput_mibps * 4 > disk.iops:
        yield Fault(
            "disk-throughput-per-iops",
            f"{key}.ephemeralStorage.throughputMibps",
            f"at most {disk.iops // 4}, 0.25 MiB/s for each of the {disk.iops} IOPS (EBS gp3); every launch would fail",
            disk.throughput_mibps,
            fix=f"raise iops to {disk.throughput_mibps * 4}",
        )


def _example(pool: Pool) -> str:
    """A type that the pool may launch, for an example."""
    known = [item.type for family in pool.families for item in instances.in_family(family)]
    return next(iter((*pool.instance_types, *known[-1:])), "p5.48xlarge")


def _family(key: str, family: str, type_: str | None = None) -> Iterator[Fault]:
    given = type_ or family
    if family.startswith("p6e-"):
        yield Fault(
            "family-not-in-auto-mode",
            key,
            f"a {'type' if type_ else 'family'} that EKS Auto Mode supports; P6e-GB200 needs a managed node group on an UltraServer block",
            given,
            fix="put the block under capacity.ultraServers",
        )
    elif family not in instances.GPU_POOL_FAMILIES:
        what = "a GPU family that pools may name:"
        if type_:
            what = f"a type of {what}"
        yield Fault("family-unknown", key, one_of(family, instances.GPU_POOL_FAMILIES, what), given)


def unknown_type(type_: str) -> str:
    family = type_.split(".")[0]
    choices = [item.type for item in instances.in_family(family)]
    if not choices:
        return one_of(family, instances.GPU_POOL_FAMILIES, "a type of a GPU family that pools may name:")
    return one_of(type_, choices)


def _block(draft: Draft, key: str, item: Reservation) -> Iterator[Fault]:
    """A Capacity Block: bought by others, within the limits that EC2 sells, and with time left."""
    if item.create:
        yield Fault(
            "block-never-bought",
            f"{key}.create",
            "id or tags: a Capacity Block is prepaid and irrevocable, so this program never buys one",
            True,
        )
    if item.end is None:
        yield Fault(
            "block-end-missing",
            f"{key}.end",
            "the block's end, so that its draining can be planned; the key is required",
            add='end: "2026-12-08T11:30:00Z"',
        )
    elif item.end.time() != time(*END_OF_DAY):
        yield Fault(
            "block-end-time",
            f"{key}.end",
            "a moment at 11:30 UTC, when every Capacity Block ends (EC2 User Guide)",
            item.end,
        )
    if item.count > MOST_OF_A_BLOCK:
        yield Fault(
            "block-too-large",
            f"{key}.count",
            f"at most {MOST_OF_A_BLOCK}, what one Capacity Block holds; name several blocks",
            item.count,
        )
    if item.start and item.end and item.start >= item.end:
        yield Fault("block-start-after-end", f"{key}.start", "a moment before end", item.start)
    elif item.start and item.end and item.end - item.start > LONGEST + timedelta(days=1):
        yield Fault(
            "block-too-long",
            f"{key}.end",
            "at most 182 days after start, the longest that a block can be",
            item.end,
        )
    elif item.end and item.end - draft.at > LONGEST + BOOKED_AHEAD:
        yield Fault(
            "block-too-far",
            f"{key}.end",
            "at most 182 days and 8 weeks from now: a block starts within 8 weeks (EC2 User Guide)",
            item.end,
        )
    elif item.end and (
        why := refusal(draft.at, item.end, node_spec.drain_at(item.end), item.end - node_spec.BLOCK_RECLAIM)
    ):
        yield over(draft, key, item.end, why, "the reservation and what needs it")


def _reservation(draft: Draft, key: str, pool: Pool, item: Reservation) -> Iterator[Fault]:
    chosen = [name for name, value in (("id", item.id), ("tags", item.tags), ("create", item.create)) if value]
    if len(chosen) != 1:
        yield Fault("reservation-named-twice", key, "exactly one of id, tags and create: true", chosen)
    if item.kind == "capacityBlock":
        yield from _block(draft, key, item)
    elif item.start or item.end:
        yield Fault(
            "window-without-block",
            f"{key}.{'start' if item.start else 'end'}",
            "no window on an On-Demand Capacity Reservation",
            item.start or item.end,
        )
    if item.upfront_fee_usd is not None and item.kind != "capacityBlock":
        yield Fault(
            "fee-without-block",
            f"{key}.upfrontFeeUsd",
            "no upfront fee on an On-Demand Capacity Reservation, which is billed by the hour",
            item.upfront_fee_usd,
        )
    if not instances.known(item.instance_type):
        yield Fault(
            "reservation-type-unknown", f"{key}.instanceType", unknown_type(item.instance_type), item.instance_type
        )
    else:
        family = instances.instance(item.instance_type).family
        if family not in pool.families and item.instance_type not in pool.instance_types:
            may = sorted({*pool.families, *pool.instance_types})
            yield Fault(
                "reservation-type-outside-pool",
                f"{key}.instanceType",
                f"a type the pool may launch ({', '.join(may)}); a reservation of another type is never used",
                item.instance_type,
            )
    zones = draft.zone_ids
    if zones is not None and item.zone not in zones:
        yield Fault(
            "reservation-zone-outside-network",
            f"{key}.zone",
            one_of(item.zone, zones, "a zone the network has:"),
            item.zone,
            fix=f"add {item.zone} to network.zones, since a reservation cannot be used from another zone",
        )
    elif pool.zones and item.zone not in pool.zones:
        yield Fault(
            "reservation-zone-outside-pool", f"{key}.zone", f"a zone of the pool ({', '.join(pool.zones)})", item.zone
        )
