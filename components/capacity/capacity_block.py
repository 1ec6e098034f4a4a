"""A Capacity Block as EC2 has it, read and compared with what the stack says. Nothing is bought, changed or given back.

The read is a plain one: zone and dates shape the graph, and a block that does not match must stop the program before
anything but the AWS provider registers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from .reservations import PLATFORM, Stated, mismatches
from .ultraservers import Rack
from .window import moment


@dataclass(frozen=True, kw_only=True)
class BlockZone:
    """Where a block stands."""

    zone_id: str
    name: str
    type: str
    """`local-zone` or `availability-zone`."""
    group: str
    """Zone group, which an account opts in to."""
    parent_zone_id: str | None
    """Availability Zone that a Local Zone hangs on; None for an Availability Zone."""
    opted_in: bool


@dataclass(frozen=True, kw_only=True)
class CapacityBlockArgs:
    rack: Rack
    """What the stack says."""
    provider: aws.Provider


class CapacityBlock(pulumi.ComponentResource):
    """The reservation of one UltraServer. Raises `pulumi.RunError` with everything that differs from the stack."""

    reservation_id: str
    zone: BlockZone
    state: str
    """`scheduled` or `active`, as EC2 said."""

    def __init__(self, name: str, args: CapacityBlockArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        rack, options = args.rack, pulumi.InvokeOptions(provider=args.provider)
        found = aws.ec2.get_capacity_block_reservation(id=rack.spec.reservation, opts=options)
        faults = mismatches(
            Stated(
                id=rack.spec.reservation,
                instance_type=rack.spec.instance_type,
                zone_id=rack.spec.zone,
                count=rack.nodes,
                start=moment(rack.window.start),
                end=moment(rack.window.end),
                platform=PLATFORM,
                count_key="type",
                zone_remedy="name its subnet in network.existing.ultraServerSubnets, if the network is one of your own",
            ),
            {
                "state": found.state,
                "instance_type": found.instance_type,
                "availability_zone_id": found.availability_zone_id,
                "instance_count": found.instance_count,
                "start_date": found.start_date,
                "end_date": found.end_date,
                "instance_platform": found.instance_platform,
            },
        )
        if faults:
            raise pulumi.RunError(
                f"dynamo-eks:capacity.ultraServers.{rack.name} differs from the block that was bought:\n  "
                + "\n  ".join(faults)
            )
        self.reservation_id, self.state = rack.spec.reservation, found.state
        self.zone = _zone(found.availability_zone_id, options)
        super().__init__("dynamo-eks:index:CapacityBlock", name, {"reservation": rack.spec.reservation}, opts)
        self.register_outputs({"zone": self.zone.name, "state": self.state})


def _zone(zone_id: str, options: pulumi.InvokeOptions) -> BlockZone:
    # Zones that the account has not opted in to are told only when asked for.
    found = aws.get_availability_zone(zone_id=zone_id, all_availability_zones=True, opts=options)
    return BlockZone(
        zone_id=zone_id,
        name=found.name,
        type=found.zone_type,
        group=found.group_name,
        parent_zone_id=found.parent_zone_id or None,
        opted_in=found.opt_in_status != "not-opted-in",
    )
