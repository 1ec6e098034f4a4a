"""UltraServers: how many machines each type holds, what it costs, and what makes a rack of the stack. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import instances
from .instances import Instance
from .spec import UltraServer
from .window import Window

RACK_LABEL = "dynamo-eks/ultraserver"
"""Label of a rack's nodes, with its name in the stack. Plain EKS has no label of its own for the UltraServer."""

RACK_MARK = f"{RACK_LABEL}-node"
"""Label that nodes of every UltraServer carry, for charts that take a node selector and no affinity."""

CLIQUE_LABEL = "nvidia.com/gpu.clique"
"""NVLink domain of a node, written by GPU feature discovery once its fabric is complete. One block may hold several
(NVIDIA/topograph #289), so it is asked for and never assumed."""

TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
"""Keeps everything without a GPU off the rack. `present` is the value that NVIDIA's standalone charts tolerate by Equal
(NVIDIA/k8s-device-plugin #1934); the GPU Operator tolerates the key."""

MAX_DOMAIN_NODES = 18
"""Nodes of one IMEX domain at most (DRA driver, MAX_NODES_PER_IMEX_DOMAIN)."""


@dataclass(frozen=True, slots=True)
class UltraServerType:
    """What EC2 sells as one UltraServer."""

    nodes: int
    usd_per_hour: float
    """Of the block as quoted on 2026-09-19 for the Dallas Local Zone (EC2 Capacity Blocks pricing page); what was paid is
    the offering's UpfrontFee."""


TYPES: Mapping[str, UltraServerType] = {
    "u-p6e-gb200x36": UltraServerType(9, 380.952),
    "u-p6e-gb200x72": UltraServerType(18, 761.904),
}
"""UltraServer types (EC2 User Guide, Amazon EC2 UltraServers)."""


@dataclass(frozen=True, kw_only=True)
class Rack:
    """One UltraServer of a stack."""

    name: str
    """Its key under `capacity.ultraServers`: value of the nodes' rack label, and part of every name that belongs to it."""
    spec: UltraServer
    """What the stack says of it."""
    window: Window = field(init=False)
    """When its block starts, drains and ends. Making a rack raises ValueError for one that cannot be."""

    def __post_init__(self) -> None:
        spec = self.spec
        window = Window(start=spec.start, end=spec.end, drain_minutes=spec.drain_minutes)
        object.__setattr__(self, "window", window)

    @property
    def nodes(self) -> int:
        return TYPES[self.spec.type].nodes

    @property
    def machine(self) -> Instance:
        """One node, with the EFA interfaces of the chosen layout and without what is set aside as huge pages."""
        found = instances.instance(self.spec.instance_type)
        return dataclasses.replace(
            found, efa=self.spec.efa_interfaces, memory_mib=found.memory_mib - self.spec.huge_pages_mib
        )

    @property
    def gpus(self) -> int:
        return self.nodes * self.machine.gpus

    @property
    def block_key(self) -> str:
        """Names what belongs to one block: another reservation is another node group."""
        return f"{self.name}-{self.spec.reservation[-8:]}"
