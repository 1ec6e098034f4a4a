"""Where UltraServers stand: whether the account may use the zone, and which NAT gateway its nodes go out through. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Standing(Protocol):
    """A zone as EC2 tells of it."""

    @property
    def zone_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def parent_zone_id(self) -> str | None: ...
    @property
    def opted_in(self) -> bool: ...


def nat_zone(stated: str | None, zone: Standing, zone_ids: Sequence[str]) -> str:
    """Zone whose NAT gateway nodes in `zone` use: the one stated, the zone's parent, or the first of the network."""
    if stated:
        return stated
    parent = zone.parent_zone_id
    return parent if parent and parent in zone_ids else min(zone_ids)


def closed_zones(zones: Sequence[Standing], opt_in: bool) -> str | None:
    """Why a subnet could not be made in these zones, with the remedy; None when all are open or will be opened."""
    closed = [zone for zone in zones if not zone.opted_in and zone.type != "availability-zone"]
    if not closed or opt_in:
        return None
    told = ", ".join(f"{zone.group} (with {zone.zone_id})" for zone in closed)
    return (
        f"the account has not opted in to the zone group {told}, where its UltraServers stand; set "
        "dynamo-eks:network.localZones.optIn: true, or opt in by hand"
    )
