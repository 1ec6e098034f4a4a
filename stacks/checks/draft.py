"""A stack file on its way to settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.capacity.spec import Capacity, Pool, UltraServer
from components.cluster.spec import Cluster
from components.dynamo.spec import Dynamo, Graph, ModelSource
from components.gpu.spec import Gpu
from components.network.spec import Network
from components.network.zones import REGION_ZONES, UNSUPPORTED_ZONE_IDS, Zone
from components.storage.spec import Storage
from stacks.sections import Review


@dataclass(frozen=True)
class Draft:
    """A stack file whose sections are valid by themselves; a broken one is None (or empty) and listed in `broken`."""

    stack: str
    region: str | None
    given: Mapping[str, Any]
    """Every section as written, to tell an absent key from a default; empty where it is absent."""
    broken: frozenset[str]
    secrets: frozenset[str]
    at: datetime
    """Moment to check for."""
    tags: Mapping[str, str] | None
    network: Network | None
    cluster: Cluster | None
    capacity: Capacity | None
    gpu: Gpu | None
    storage: Storage | None
    dynamo: Dynamo | None
    models: Mapping[str, ModelSource]
    graphs: Mapping[str, Graph]
    review: Review | None
    account: str | None = None
    access: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the AWS provider that are honoured, by name; None where one is absent or faulty."""

    @property
    def existing_cluster(self) -> bool:
        return bool(self.cluster and self.cluster.existing)

    @property
    def pools(self) -> Mapping[str, Pool]:
        return self.capacity.pools if self.capacity else {}

    @property
    def ultra_servers(self) -> Mapping[str, UltraServer]:
        return self.capacity.ultra_servers if self.capacity else {}

    @property
    def region_zones(self) -> Sequence[Zone]:
        """Zones of the region; none when it is missing or misspelt."""
        return REGION_ZONES.get(self.region or "", ())

    @property
    def zone_ids(self) -> frozenset[str] | None:
        """Zones the stack has subnets in; None when they cannot be told."""
        if self.network is None or self.existing_cluster:
            return None
        if self.network.existing:
            return frozenset(self.network.existing.subnets)
        if isinstance(self.network.zones, tuple):
            return frozenset(self.network.zones)
        if not self.region_zones:
            return None
        usable = sorted(
            zone.zone_id
            for zone in self.region_zones
            if zone.zone_type == "availability-zone" and zone.zone_id not in UNSUPPORTED_ZONE_IDS
        )
        return frozenset(usable[: self.network.zones])
