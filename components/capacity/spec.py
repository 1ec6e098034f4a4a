"""Settings of GPU capacity: pools with their reservations, and UltraServers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from ..spec import DnsLabel, Duration, InstanceType, Model, Moment, ZoneId

ReservationId = Annotated[
    str,
    StringConstraints(pattern=r"^cr-[0-9a-f]{17}$"),
    WithJsonSchema({"type": "string", "pattern": r"^(cr-[0-9a-f]{17}|<[a-z-]+>)$"}),
]
RackName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=20)]
"""20: with the stack's name and the block's id it makes the node group's name, which EKS lets have 63 characters."""

UpfrontFee = Annotated[float, Field(gt=0, le=100_000_000)]

CapacityType = Literal["spot", "on-demand", "reserved"]


class Reservation(Model):
    """Capacity paid for by the reservation: one that exists (`id` or `tags`), or one to make (`create: true`)."""

    id: ReservationId | None = None
    """Reservation id, `cr-` and 17 hexadecimal digits."""
    tags: dict[str, str] | None = None
    """Tags that select reservations which exist."""
    create: bool = False
    """Make an On-Demand Capacity Reservation. It bills from creation, used or not."""
    kind: Literal["onDemand", "capacityBlock"]
    """On-Demand Capacity Reservation, or a prepaid Capacity Block for ML. A block is never bought by this program."""
    instance_type: InstanceType
    """Instance type reserved; compared with what EC2 says of the reservation."""
    zone: ZoneId
    """Zone id of the reservation; compared with what EC2 says, and the pool launches only there. For `create` another zone, or type, replaces it, which `protect` refuses."""
    count: Annotated[int, Field(ge=1, le=256)]
    """Instances reserved."""
    start: Moment | None = None
    """Start of a Capacity Block, UTC. Before it nothing launches."""
    end: Moment | None = None
    """End of a Capacity Block, UTC. EC2 takes the instances 30 minutes before, Karpenter drains 10 minutes before that."""
    upfront_fee_usd: UpfrontFee | None = None
    """For `kind: capacityBlock`: dollars that the whole block was bought for, the offering's `UpfrontFee`; the plan's cost takes it instead of the quoted rate."""
    protect: bool = True
    """For `create`: Pulumi refuses to delete the reservation, since capacity given back may not come again."""


class EphemeralStorage(Model):
    size_gib: Annotated[int, Field(ge=1, le=59000)] = 80
    """Size of the node's data volume in GiB; NVMe disks are used instead where the instance has more of it."""
    iops: Annotated[int, Field(ge=3000, le=16000)] = 3000
    """I/O operations a second of that gp3 volume; EBS takes at most 500 for each GiB. Another one replaces the pool's nodes."""
    throughput_mibps: Annotated[int, Field(ge=125, le=1000)] = 125
    """Throughput of that gp3 volume; EBS takes at most 0.25 for each I/O operation. Another one replaces the pool's nodes."""


class Pool(Model):
    """One Auto Mode NodePool and its NodeClass."""

    families: tuple[str, ...] = ()
    """Instance families it may launch, such as `g6e`."""
    instance_types: tuple[InstanceType, ...] = ()
    """Instance types it may launch, when a family is too wide."""
    capacity: Annotated[tuple[CapacityType, ...], Field(min_length=1)]
    """Purchase options it may use. With `reserved` the reservation comes first and the others named are the fallback."""
    reservations: tuple[Reservation, ...] = ()
    """Reservations that `reserved` draws from. Naming any switches implicit use of open reservations off for every pool. Removing one made here gives its capacity back, which its `protect` refuses."""
    uses_open_reservations: bool = False
    """States that this pool counts on open reservations being matched implicitly, so that the plan can refuse what breaks it."""
    zones: tuple[ZoneId, ...] = ()
    """Zone ids it may launch in; by default all of the network's, and only the reservation's zone for a reserved pool."""
    gpu_limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most GPUs the pool may hold at once; by default what the graphs placed on it need, plus one node to roll over."""
    consolidate_after: Duration = "300s"
    """How long a node is empty or underused before Karpenter removes it. Not used by pools on Capacity Blocks."""
    expire_after: Duration = "336h"
    """Node lifetime; Auto Mode allows at most 504h. Expired nodes are drained and replaced."""
    disruption_budget: Annotated[str, StringConstraints(pattern=r"^([0-9]|[1-9][0-9]|100)%$|^[0-9]{1,5}$")] = "10%"
    """Nodes that may be disrupted at once, as a count or a percentage."""
    ephemeral_storage: EphemeralStorage = Field(default_factory=EphemeralStorage)
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Preference among pools that fit a pod; higher first."""

    @property
    def block_end(self) -> datetime | None:
        """End of the Capacity Block that the pool draws from, the first one of several; None for every other pool."""
        return min((item.end for item in self.reservations if item.end is not None), default=None)


class UltraServer(Model):
    """One UltraServer: a prepaid Capacity Block of 9 or 18 P6e machines in one NVLink rack. It is never bought by this program."""

    reservation: ReservationId
    """Capacity Reservation of the block. Another one is another node group: the new one is made before the old one goes."""
    type: Literal["u-p6e-gb200x36", "u-p6e-gb200x72"]
    """9 machines with 36 GPUs, or 18 with 72; compared with the reservation's count."""
    zone: ZoneId
    """Zone id of the block, such as that of a Local Zone; compared with what EC2 says of the reservation."""
    start: Moment
    """Start of the block, UTC. The node group has no nodes before; a scheduled action raises it at this very minute."""
    end: Moment
    """End of the block, UTC. EC2 takes the machines 60 minutes before. An extended block keeps its reservation: only this key moves."""
    upfront_fee_usd: UpfrontFee | None = None
    """Dollars that the whole block was bought for, the offering's `UpfrontFee`; the plan's cost takes it instead of the quoted rate."""
    drain_minutes: Annotated[int, Field(ge=75, le=1440)] = 90
    """Minutes before the end at which the nodes are drained and given back; less than 75 leaves no time to drain before EC2 takes them."""
    instance_type: InstanceType = "p6e-gb200.36xlarge"
    """Instance type in the block; its network cards must be in the program's table."""
    efa_interfaces: Literal[4, 8] = 4
    """EFA interfaces per node: 4 as EC2 advises, or one on every odd network card. The bandwidth is the same. Changing it replaces the nodes, which `make up` refuses while they run (docs/runbooks/block.md)."""
    ami_release: Annotated[str, StringConstraints(pattern=r"^1\.[0-9]{2}\.[0-9]+-20[0-9]{6}$")] | None = None
    """Release of the EKS AMI (AL2023_ARM_64_NVIDIA), by default the one in components/catalog.py for the cluster's version. Changing it replaces the nodes, which `make up` refuses while they run (docs/runbooks/block.md)."""
    root_volume_gib: Annotated[int, Field(ge=50, le=16000)] = 200
    """Encrypted gp3 root volume. Images and pods' files lie on the NVMe disks, joined as RAID0. Changing it replaces the nodes, which `make up` refuses while they run (docs/runbooks/block.md)."""
    huge_pages_mib: Annotated[int, Field(ge=0, le=102400, multiple_of=2)] = 0
    """Memory set aside as 2 MiB pages for EFA, per node; graphs that ask for hugepages need it. Changing it replaces the nodes, which `make up` refuses while they run (docs/runbooks/block.md)."""
    node_repair: bool = False
    """Let EKS replace a node that its monitoring agent reports as broken for ten minutes or more: one at a time, none while more than 20 % are unhealthy, and none because the agent cannot reach DCGM. The block has no spare machine: the replacement takes the old one's slot, and what runs over the whole rack stands still until it has joined. By default the agent only marks the node, and a person decides (docs/runbooks/block.md)."""
    protect: bool = True
    """Pulumi refuses to delete or replace the node group. Set to false and run `make up` to let the rack go, best after its end."""
    verify: tuple[Literal["devices", "imex", "nvbandwidth", "nccl", "efa", "memlock"], ...] = (
        "devices",
        "imex",
        "nvbandwidth",
        "nccl",
        "efa",
        "memlock",
    )
    """Rungs of the verification ladder that graphs on the rack wait for: devices, an IMEX channel, NVLink pair by pair, an all-reduce over NVLink, one over EFA, and how much memory each graph's image may pin. One left out is shown as skipped, never as passed."""


class Capacity(Model):
    """GPU capacity. The built-in `system` and `general-purpose` pools carry everything without a GPU."""

    pools: dict[DnsLabel, Pool] = Field(default_factory=dict)
    """NodePools by name."""
    ultra_servers: dict[RackName, UltraServer] = Field(default_factory=dict)
    """UltraServers by name, one managed node group each. P6e-GB200 cannot be an Auto Mode node."""
