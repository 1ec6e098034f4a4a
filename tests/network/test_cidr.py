"""The address plan on every range and every choice of zones."""

from __future__ import annotations

import ipaddress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.network.cidr import local_zone, plan

ranges = st.builds(
    lambda second, third, prefix: str(ipaddress.ip_network(f"10.{second}.{third}.0/{prefix}", strict=False)),
    st.integers(0, 255), st.integers(0, 255), st.integers(16, 20),
)  # fmt: skip
zone_sets = st.sets(st.sampled_from([f"use1-az{number}" for number in range(1, 7)]), min_size=1)


def subnets(cidr: str, zones: set[str]) -> list[ipaddress.IPv4Network]:
    made = plan(cidr, sorted(zones)).values()
    return [ipaddress.IPv4Network(text) for pair in made for text in (pair.private, pair.public)]


@given(ranges, zone_sets)
def test_subnets_lie_inside_and_apart(cidr: str, zones: set[str]) -> None:
    """EC2 refuses an overlapping subnet halfway through `up`."""
    made = [*subnets(cidr, zones), *(ipaddress.IPv4Network(local_zone(cidr, index)) for index in range(8))]
    assert all(net.subnet_of(ipaddress.IPv4Network(cidr)) for net in made)
    assert not any(one.overlaps(other) for one, other in combinations(made, 2))


@given(ranges, zone_sets, zone_sets)
def test_another_zone_moves_nothing(cidr: str, zones: set[str], more: set[str]) -> None:
    """A subnet that moves is replaced, with every node, mount target and load balancer in it."""
    before, after = plan(cidr, sorted(zones)), plan(cidr, sorted(zones | more))
    assert all(after[zone] == before[zone] for zone in zones)


@given(ranges, zone_sets)
def test_private_subnets_have_room(cidr: str, zones: set[str]) -> None:
    """Every pod has an address of its own here."""
    for pair in plan(cidr, zones).values():
        assert ipaddress.IPv4Network(pair.private).num_addresses >= 512
        assert ipaddress.IPv4Network(pair.public).num_addresses >= 64


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/21"])
def test_other_sizes_are_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match="expected between /16 and /20"):
        plan(cidr, ["use1-az1"])


@pytest.mark.parametrize("index", [-1, 8])
def test_local_zones_are_eight(index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 7"):
        local_zone("10.0.0.0/16", index)
