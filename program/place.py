"""A cluster to serve from: what AWS and an existing cluster have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.capacity.ultraservers import Rack


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster to serve from."""

    provider: pulumi.ProviderResource
    """Kubernetes provider of everything in the cluster."""
    storage_class: str
    """Class of the cache claims."""
    ready: list[pulumi.Resource]
    """What every pod needs: access, ways out, the default storage class."""
    files_ready: list[pulumi.Resource] = field(default_factory=list)
    """What pods that share files need besides: the classes, and through them driver and mount targets. Operators do not wait for it."""
    zone_names: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    """GPU pools by name, as what depends on them."""
    racks: Mapping[str, Rack] = field(default_factory=dict)
    """UltraServers by name."""
    rack_ready: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    """What graphs on an UltraServer wait for: its verification ladder, which waits for its nodes."""
    gpu_stack: list[pulumi.Resource] = field(default_factory=list)
    """DRA driver, GPU Operator and EFA plugin; empty without UltraServers."""
    local_zone_class: str | None = None
    """Storage class of graphs on an UltraServer in a Local Zone, which has no mount target."""
    outputs: Mapping[str, object] = field(default_factory=dict)
