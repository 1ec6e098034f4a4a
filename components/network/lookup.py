"""Read which zones the account has."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from .zones import Zone


def read_zones(provider: aws.Provider) -> tuple[Zone, ...]:
    """Availability Zones of the provider's region, open to every account.

    A plain invoke, because how many subnets there are must be known while the program runs, in previews too. Local
    Zones are left out by the filters: one among the zones once made NAT creation fail
    (aws-ia/terraform-aws-eks-blueprints #1095).
    """
    found = aws.get_availability_zones(
        filters=[
            aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"]),
            aws.GetAvailabilityZonesFilterArgs(name="zone-type", values=["availability-zone"]),
        ],
        opts=pulumi.InvokeOptions(provider=provider),
    )
    return tuple(Zone(name, zone_id) for name, zone_id in zip(found.names, found.zone_ids, strict=True))
