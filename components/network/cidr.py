"""Address plan of the VPC: pure arithmetic.

The VPC is cut into eight equal blocks. Blocks 0 to 5 are the private subnets of the zones in slot 0 to 5; block 6 is cut
into eight, a public subnet for each slot; block 7 is cut into eight for subnets in Local Zones. A subnet's place follows
from its zone alone, so adding or removing a zone moves nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from .zones import zone_slot

SMALLEST, LARGEST = 20, 16
"""Prefix lengths that leave every public subnet 64 addresses and fit what EC2 accepts for a VPC."""


@dataclass(frozen=True, slots=True)
class ZoneSubnets:
    """The two subnets of a zone."""

    private: str
    """Nodes and pods; an eighth of the VPC."""
    public: str
    """NAT gateway and public load balancers; a 64th of the VPC."""


def _blocks(cidr: str) -> list[ipaddress.IPv4Network]:
    network = ipaddress.IPv4Network(cidr)
    if not LARGEST <= network.prefixlen <= SMALLEST:
        raise ValueError(f"cidr: {cidr} is a /{network.prefixlen}, expected between /{LARGEST} and /{SMALLEST}")
    return list(network.subnets(prefixlen_diff=3))


def plan(cidr: str, zone_ids: Iterable[str]) -> dict[str, ZoneSubnets]:
    """Subnets of each zone. Raises ValueError for a range of the wrong size or a zone without a slot."""
    blocks = _blocks(cidr)
    public = list(blocks[6].subnets(prefixlen_diff=3))
    return {
        zone_id: ZoneSubnets(private=str(blocks[zone_slot(zone_id)]), public=str(public[zone_slot(zone_id)]))
        for zone_id in zone_ids
    }


NODE_ADDRESSES = 1 + 24
"""Addresses of a managed node at most: its own, and those the CNI takes for pods and keeps warm (components/cluster/
hybrid_addons.py). EFA-only interfaces take none."""

POOL_NODE_ADDRESSES = 1 + 16
"""Addresses of a node that Karpenter launches: its own, and the /28 that Auto Mode takes at a time for its pods (EKS User Guide, "Learn
about VPC networking and load balancing in EKS Auto Mode"; containers-roadmap #2776). EFA-only interfaces take none."""

ENOUGH_ADDRESSES = 16
"""Free addresses EKS advises in each cluster subnet for its own interfaces; six are the least it takes (EKS User Guide, networking
requirements)."""

RESERVED_ADDRESSES = 5
"""Addresses EC2 keeps for itself in every subnet."""

LOCAL_ZONE_SLOTS = 8


def local_zone_slot(zone_id: str) -> int:
    """Place of a zone among those kept for UltraServers, 0 to 7. It follows from the id alone, so that a rack in another
    zone moves nothing; two zones may share one, which the settings refuse."""
    return int(hashlib.sha256(zone_id.encode()).hexdigest(), 16) % LOCAL_ZONE_SLOTS


def room(cidr: str) -> int:
    """Managed nodes that fit a subnet."""
    return (ipaddress.IPv4Network(cidr).num_addresses - RESERVED_ADDRESSES) // NODE_ADDRESSES


def pool_addresses(nodes: int) -> int:
    """Addresses that so many nodes of pools take in a private subnet, beside what the cluster keeps there for itself."""
    return ENOUGH_ADDRESSES + nodes * POOL_NODE_ADDRESSES


def pool_room(cidr: str) -> int:
    """Nodes of pools that fit a private subnet."""
    addresses = ipaddress.IPv4Network(cidr).num_addresses - RESERVED_ADDRESSES - ENOUGH_ADDRESSES
    return max(0, addresses // POOL_NODE_ADDRESSES)


def local_zone(cidr: str, index: int) -> str:
    """Subnet number `index` (0 to 7) of those kept for Local Zones."""
    if not 0 <= index <= 7:
        raise ValueError(f"index: {index}, expected 0 to 7; the plan keeps eight Local Zone subnets")
    return str(list(_blocks(cidr)[7].subnets(prefixlen_diff=3))[index])
