"""Values of the right type that AWS refuses, often only after half a stack exists: each kind with its table and source."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Mapping, Sequence

NOT_PUBLIC: Mapping[str, str] = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "shared by carriers (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "kept for protocols (RFC 6890)",
    "192.0.2.0/24": "kept for documentation (RFC 5737)",
    "192.88.99.0/24": "a relay that is no more (RFC 7526)",
    "192.168.0.0/16": "private (RFC 1918)",
    "198.18.0.0/15": "kept for benchmarks (RFC 2544)",
    "198.51.100.0/24": "kept for documentation (RFC 5737)",
    "203.0.113.0/24": "kept for documentation (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "240.0.0.0/4": "kept for the future, or broadcast (RFC 1112)",
}
"""IPv4 ranges from which nobody comes over the internet (IANA's special-purpose address registry). EKS refuses them in
publicAccessCidrs ("The following CIDRs are not allowed in publicAccessCidrs"), after network and file system exist."""

STAND_IN_ADDRESS = "192.0.2.1"
"""What a plan goes on with for an address that is still to be filled in: reserved for documentation (RFC 5737)."""

MOST_PUBLIC_CIDRS = 40
"""Ranges per cluster's public endpoint (EKS service quotas)."""

OPEN_SHARE = 0.5
"""Share of all IPv4 addresses from which on a list of ranges is the whole internet by another name."""

PARTITIONS: Mapping[str, str] = {
    "us-gov-": "aws-us-gov",
    "cn-": "aws-cn",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
}
"""Partition by how a region begins; every other one is in `aws`."""

PRINCIPAL = re.compile(
    r"^arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{12}):(?P<kind>role|user)/(?P<path>(?:[!-~]+/)*)(?P<name>[^/]*)$"
)
"""ARN of an IAM role or user: printable path, then the name (IAM User Guide, "IAM identifiers")."""


def public_cidr(value: str) -> str:
    """A range from which somebody can come over the internet. Raises ValueError."""
    if value == f"{STAND_IN_ADDRESS}/32":
        return value
    network = ipaddress.ip_network(value)
    for reserved, why in NOT_PUBLIC.items():
        if network.subnet_of(ipaddress.ip_network(reserved)):  # type: ignore[arg-type]
            raise ValueError(
                f"a public range: {reserved} is {why}, and EKS refuses it. From inside the VPC, and what is connected to it, "
                "the endpoint is reached without being listed"
            )
    return value


def internet_share(ranges: Sequence[str]) -> float:
    """How much of all IPv4 addresses some ranges cover together, from 0 to 1."""
    merged = ipaddress.collapse_addresses(ipaddress.IPv4Network(item) for item in ranges)
    return sum(item.num_addresses for item in merged) / 2**32


def is_open(ranges: Sequence[str]) -> bool:
    """Whether ranges are the whole internet, by its own name or in parts."""
    return internet_share(ranges) >= OPEN_SHARE


def principal_arn(value: str) -> str:
    """An IAM role or user that an access entry can name. Raises ValueError."""
    found = PRINCIPAL.match(value)
    if found is None:
        raise ValueError(
            "the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/platform; for a session "
            "(arn:aws:sts::...:assumed-role/platform/...) name the role itself"
        )
    if not re.fullmatch(r"[\w+=,.@-]{1,64}", found["name"], re.ASCII):
        raise ValueError(
            f"a {found['kind']} whose name has 1 to 64 letters, digits and +=,.@_- (IAM); no wildcard, no slash at the end"
        )
    if found["path"].startswith("aws-service-role/"):
        raise ValueError(
            "a role that people assume: EKS refuses service-linked roles in access entries (EKS User Guide)"
        )
    return value


def partition(region: str) -> str:
    """Partition of a region."""
    return next((name for start, name in PARTITIONS.items() if region.startswith(start)), "aws")


def tag_text(value: str) -> str:
    """Text that every tagged service takes in a tag's key or value (IAM's pattern is the narrowest). Raises ValueError."""
    wrong = [sign for sign in value if unicodedata.category(sign)[0] not in "LZN" and sign not in "_.:/=+-@"]
    if wrong:
        raise ValueError(
            f"letters, digits, spaces and _.:/=+-@ only; {wrong[0]!r} is refused by IAM, EFS and CloudWatch Logs (their APIs' "
            "tag pattern), and so is every role"
        )
    return value
