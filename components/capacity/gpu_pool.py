"""One pool of GPU nodes under EKS Auto Mode.

Makes the On-Demand Capacity Reservations the stack asks for, a NodeClass and a NodePool. Reservations that exist are
named, and Capacity Blocks among them are read and compared with what the stack says.
Assumes a node role with its access entry, private subnets in the pool's zones, and the cluster's security groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws
from pulumi_kubernetes.apiextensions import CustomResource

from . import node_spec
from .reservations import PLATFORM, Stated, mismatches
from .spec import Pool, Reservation
from .window import moment


@dataclass(frozen=True, kw_only=True)
class GpuPoolArgs:
    """What a GPU pool needs to know."""

    pool_name: str
    """Name of NodePool and NodeClass, and label of the nodes. Changing it replaces both."""
    spec: Pool
    """Shape of the pool, and the reservations it draws from. Most changes drift the nodes: they are replaced one by one."""
    zone_ids: Sequence[str]
    """Zones it may launch in."""
    zone_names: Mapping[str, str]
    """Names by zone id: of those zones, and of its reservations'."""
    gpu_limit: int
    """Most GPUs the pool may hold at once."""
    role_name: pulumi.Input[str]
    """Role of the nodes. Changing it drifts every node."""
    subnet_ids: Sequence[pulumi.Input[str]]
    """Private subnets of the pool's zones."""
    security_group_ids: Sequence[pulumi.Input[str]]
    """Groups of the nodes; the cluster's own must be among them, or nodes never join."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of instances, volumes and interfaces that Karpenter launches."""
    node_access: Sequence[pulumi.Resource] = ()
    """What must exist before nodes join, and outlive them: access entry, role policies, cluster."""


class GpuPool(pulumi.ComponentResource):
    """NodeClass and NodePool for GPU workers, with the reservations they draw from."""

    ready: list[pulumi.Resource]
    """The NodePool; what runs on its nodes is destroyed before it, while it can still drain them."""

    def __init__(self, name: str, args: GpuPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        fees = {
            str(n): one.upfront_fee_usd
            for n, one in enumerate(args.spec.reservations)
            if one.upfront_fee_usd is not None
        }
        told = {"capacity": list(args.spec.capacity), **({"upfrontFeesUsd": fees} if fees else {})}
        super().__init__("dynamo-eks:index:GpuPool", name, told, opts)
        terms = [
            self._term(f"{name}-reservation-{position}", reservation, args.zone_names)
            for position, reservation in enumerate(args.spec.reservations)
        ]
        class_object = node_spec.node_class(
            args.pool_name,
            role=args.role_name,
            subnet_ids=args.subnet_ids,
            security_group_ids=args.security_group_ids,
            reservation_terms=terms,
            disk=args.spec.ephemeral_storage,
            tags=args.tags,
        )
        class_ = CustomResource(
            f"{name}-class",
            api_version=class_object["apiVersion"],
            kind=class_object["kind"],
            metadata=class_object["metadata"],
            spec=class_object["spec"],
            # Nodes of this class need its role admitted to join, and to drain on destroy: entry and policies outlive it.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.node_access)),
        )
        pool_object = node_spec.node_pool(
            args.pool_name,
            args.spec,
            zone_names=[args.zone_names[zone] for zone in args.zone_ids],
            gpu_limit=args.gpu_limit,
        )
        pool = CustomResource(
            f"{name}-pool",
            api_version=pool_object["apiVersion"],
            kind=pool_object["kind"],
            metadata=pool_object["metadata"],
            spec=pool_object["spec"],
            opts=pulumi.ResourceOptions(
                parent=self,
                # The pool names its class as text, so only this keeps the class there until the pool's nodes are gone.
                depends_on=[class_],
                # Deleting a NodePool waits until its nodes are drained; a worker may take its whole grace period.
                custom_timeouts=pulumi.CustomTimeouts(delete="45m"),
            ),
        )
        self.ready = [pool]
        self.register_outputs({})

    def _term(
        self, name: str, reservation: Reservation, zone_names: Mapping[str, str]
    ) -> dict[str, pulumi.Input[object]]:
        """Selector term of a reservation: its id, or its tags."""
        if reservation.create:
            made = aws.ec2.CapacityReservation(
                name,
                availability_zone=zone_names[reservation.zone],
                instance_count=reservation.count,
                instance_platform=PLATFORM,
                instance_type=reservation.instance_type,
                # Targeted: only launches that name it may use it, so that nothing else in the account eats it.
                instance_match_criteria="targeted",
                end_date_type="unlimited",
                tags={"Name": name},
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # Capacity given back may not come again.
                    protect=reservation.protect,
                ),
            )
            return {"id": made.id}
        if reservation.tags:
            return {"tags": dict(reservation.tags)}
        if reservation.kind == "capacityBlock":
            found = aws.ec2.get_capacity_block_reservation_output(
                id=reservation.id, opts=pulumi.InvokeOutputOptions(parent=self)
            )
            return {"id": found.apply(lambda answer: checked(reservation, answer))}
        # The provider reads Capacity Blocks only; an On-Demand reservation is named as stated, and the NodeClass's
        # status shows after `up` whether EC2 agrees.
        return {"id": reservation.id or ""}


def checked(reservation: Reservation, found: aws.ec2.GetCapacityBlockReservationResult) -> str:
    """Id of a Capacity Block that is as stated; raises `pulumi.RunError` naming every difference."""
    faults = mismatches(
        Stated(
            id=reservation.id or "",
            instance_type=reservation.instance_type,
            zone_id=reservation.zone,
            count=reservation.count,
            start=moment(reservation.start) if reservation.start else None,
            end=moment(reservation.end) if reservation.end else None,
            platform=PLATFORM,
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
        raise pulumi.RunError("the reservation differs from what the stack says:\n  " + "\n  ".join(faults))
    return reservation.id or ""
