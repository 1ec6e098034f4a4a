"""Service quotas that a stack can meet, by their codes.

EC2: user guide's table of quotas as published, the codes compared in four public tools in 2026; EC2 Capacity Blocks of P6
types have no code in it and are looked up by name. VPC: as carried by moto 5.2.5. EKS and EFS: exports of
`list-aws-default-service-quotas` in public repositories, 2026. Defaults are what a new account has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of an account and region."""

    service: str
    code: str
    name: str


STANDARD = "Standard"
"""Families A, C, D, H, I, M, R, T and Z."""

ON_DEMAND: Mapping[str, Quota] = {
    STANDARD: Quota("ec2", "L-1216C47A", "Running On-Demand Standard instances"),
    "G": Quota("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances"),
    "P": Quota("ec2", "L-417A185B", "Running On-Demand P instances"),
}
"""vCPUs that run at once, by group of families. Reservations made here count, Capacity Blocks do not."""

SPOT: Mapping[str, Quota] = {
    STANDARD: Quota("ec2", "L-34B43A08", "All Standard Spot Instance Requests"),
    "G": Quota("ec2", "L-3819A6DF", "All G and VT Spot Instance Requests"),
    "P": Quota("ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"),
    "P5": Quota("ec2", "L-C4BD4855", "All P5 Spot Instance Requests"),
}
"""vCPUs of spot instances at once, by group. That P6 counts with P5 is in two public tools and not in AWS's own table."""

BLOCKS: Mapping[str, Quota] = {
    "p4d": Quota("ec2", "L-2C8F52B3", "Capacity Blocks of P4d"),
    "p5": Quota("ec2", "L-DA6814F2", "Capacity Blocks of P5"),
    "p5e": Quota("ec2", "L-C45F30BC", "Capacity Blocks of P5e"),
    "p5en": Quota("ec2", "L-4F9BB70B", "Capacity Blocks of P5en"),
}
"""vCPUs in Capacity Blocks at once, by family; 0 in a new account, so that the first purchase fails."""

VPCS = Quota("vpc", "L-F678F1CE", "VPCs per Region")
INTERNET_GATEWAYS = Quota("vpc", "L-A4707A72", "Internet gateways per Region")
NAT_GATEWAYS = Quota("vpc", "L-FE5A380F", "NAT gateways per Availability Zone")
GATEWAY_ENDPOINTS = Quota("vpc", "L-1B52E74A", "Gateway VPC endpoints per Region")
INTERFACE_ENDPOINTS = Quota("vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC")
ADDRESSES = Quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")
CLUSTERS = Quota("eks", "L-1194D53C", "EKS clusters per Region")
FILE_SYSTEMS = Quota("elasticfilesystem", "L-848C634D", "File systems per account")


def group_of(family: str) -> str | None:
    """Group of on-demand quotas that a family counts to; None for one that is sold in blocks alone."""
    if family.startswith("p6e"):
        return None
    letter = family[0]
    return "P" if letter == "p" else "G" if letter == "g" or family.startswith("vt") else STANDARD


def spot_group(family: str) -> str | None:
    """Group of spot quotas that a family counts to."""
    group = group_of(family)
    return "P5" if group == "P" and family[1:2].isdigit() and int(family[1]) >= 5 else group
