"""Choice of zones: nothing moves when one is added, and nothing unsupported ever enters."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.network.zones import (
    INDEPENDENTLY_MAPPED_REGIONS,
    MAX_SLOT,
    REGION_ZONES,
    UNSUPPORTED_ZONE_IDS,
    Zone,
    choose,
    usable,
    zone_slot,
)

VIRGINIA = REGION_ZONES["us-east-1"]
IDS = [zone.zone_id for zone in usable(VIRGINIA)]

regions = st.sampled_from(sorted(REGION_ZONES))
kinds = st.sampled_from(["availability-zone", "local-zone", "wavelength-zone"])


@st.composite
def accounts(draw: st.DrawFn) -> list[Zone]:
    """Zones as some account sees them: any order, any names, edge zones among them."""
    prefix = draw(st.sampled_from(["use1", "usw1", "cac1", "apne1", "euw2"]))
    numbers = draw(st.lists(st.integers(1, 6), unique=True, max_size=6))
    names = draw(st.permutations("abcdef"))
    ordinary = [Zone(f"region-{name}", f"{prefix}-az{number}") for name, number in zip(names, numbers, strict=False)]
    edge = [
        Zone(f"region-edge-{index}a", f"{prefix}-edge{index}-az1", kind)
        for index, kind in enumerate(draw(st.lists(kinds.filter(lambda kind: kind != "availability-zone"), max_size=3)))
    ]
    return draw(st.permutations([*ordinary, *edge]))


@given(accounts())
def test_only_supported_availability_zones_enter(zones: list[Zone]) -> None:
    """A cluster subnet in use1-az3 fails the cluster after its network stands; one in a Local Zone fails NAT creation
    (aws-ia/terraform-aws-eks-blueprints #1095)."""
    for count in range(1, len(usable(zones)) + 1):
        chosen = choose(zones, count)
        assert len(chosen) == count
        assert all(zone.zone_type == "availability-zone" for zone in chosen)
        assert not {zone.zone_id for zone in chosen} & UNSUPPORTED_ZONE_IDS


@given(accounts())
def test_one_zone_more_moves_none(zones: list[Zone]) -> None:
    """A zone that moves takes its subnets with it, and every node in them."""
    chosen = [choose(zones, count) for count in range(1, len(usable(zones)) + 1)]
    for fewer, more in itertools.pairwise(chosen):
        assert more[: len(fewer)] == fewer


@given(accounts(), st.randoms())
def test_the_order_EC2_answers_in_does_not_matter(zones: list[Zone], random) -> None:
    """DescribeAvailabilityZones promises no order; a preview must not differ from the one before."""
    shuffled = list(zones)
    random.shuffle(shuffled)
    count = len(usable(zones))
    if count:
        assert choose(shuffled, count) == choose(zones, count)


@given(accounts(), st.data())
def test_named_zones_are_taken_in_the_order_of_ids(zones: list[Zone], data: st.DataObject) -> None:
    found = usable(zones)
    named = data.draw(st.lists(st.sampled_from(found), unique=True, min_size=1)) if found else []
    if named:
        chosen = choose(zones, [zone.zone_id for zone in named])
        assert set(chosen) == set(named)
        assert list(chosen) == sorted(chosen, key=lambda zone: zone.zone_id)


@given(accounts(), st.integers(1, 12))
def test_too_few_zones_is_an_error_that_lists_them(zones: list[Zone], more: int) -> None:
    found = usable(zones)
    with pytest.raises(ValueError, match=f"expected at most {len(found)}") as error:
        choose(zones, len(found) + more)
    assert all(zone.zone_id in str(error.value) for zone in found)


@pytest.mark.parametrize(
    ("zones", "wanted", "message"),
    [
        (
            VIRGINIA, 6,
            "zones: 6 asked for, expected at most 5: there are use1-az1, use1-az2, use1-az4, use1-az5, use1-az6 that can hold "
            "an EKS control plane; ask for fewer, or take another region",
        ),
        (
            [], 1,
            "zones: 1 asked for, expected at most 0: there are none that can hold an EKS control plane; ask for fewer, or take "
            "another region",
        ),
        ([], -1, "zones: -1 asked for, expected at least one; there are none"),
        # Not among a new account's zones, and no zone of the region for which one would ask AWS.
        (
            REGION_ZONES["us-west-1"], ["usw1-az2", "usw1-az4"],
            "zones: usw1-az2 cannot hold an EKS control plane; usw1-az4 is no zone of this region and account; there are "
            "usw1-az1, usw1-az3: choose among these, each once",
        ),
    ],
    ids=["one too many", "none there", "less than none", "by id"],
)  # fmt: skip
def test_what_cannot_be_had_is_told(zones: list[Zone], wanted: int | list[str], message: str) -> None:
    """Whoever reads it chooses from it: what is asked for, what there is, what to do."""
    with pytest.raises(ValueError) as error:
        choose(zones, wanted)
    assert str(error.value) == message


def test_every_fault_of_a_list_is_named() -> None:
    with pytest.raises(ValueError) as error:
        choose(VIRGINIA, ["use1-az1", "use1-az3", "use1-dfw2-az1", "use1-az9", "us-east-1b", "use1-az2", "use1-az2"])
    assert str(error.value) == (
        "zones: use1-az3 cannot hold an EKS control plane; "
        "use1-dfw2-az1 is a local-zone, which cannot hold an EKS control plane; "
        "use1-az9 is no zone of this region and account; "
        "us-east-1b is a name, which means another zone in other accounts; its id here is use1-az2; "
        "use1-az2 is named more than once; "
        "there are use1-az1, use1-az2, use1-az4, use1-az5, use1-az6: choose among these, each once"
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (0, "zones: 0 asked for, expected at least one; there are use1-az1, use1-az2, use1-az4, use1-az5, use1-az6"),
        (
            [],
            "zones: none is named; there are use1-az1, use1-az2, use1-az4, use1-az5, use1-az6: choose among these, each once",
        ),
    ],
)
def test_no_zone_at_all_is_an_error(wanted: int | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        choose(VIRGINIA, wanted)


@given(regions)
def test_zones_of_a_region_are_sound(region: str) -> None:
    zones = REGION_ZONES[region]
    assert len({zone.name for zone in zones}) == len({zone.zone_id for zone in zones}) == len(zones)
    assert all(zone.name.startswith(region) for zone in zones)
    assert len({zone.zone_id.split("-")[0] for zone in zones}) == 1
    assert len(usable(zones)) >= 2, "EKS wants the control plane in two zones"
    assert sorted({zone_slot(zone.zone_id) for zone in usable(zones)}) == [
        zone_slot(zone.zone_id) for zone in usable(zones)
    ]


def test_a_region_has_its_own_prefix() -> None:
    """Two regions with one prefix would be a slip of the pen, and send a stack to zones of another region."""
    prefixes = [zones[0].zone_id.split("-")[0] for zones in REGION_ZONES.values()]
    assert len(set(prefixes)) == len(prefixes)
    assert set(REGION_ZONES) > INDEPENDENTLY_MAPPED_REGIONS


def test_the_ultraserver_zone_never_enters_us_east_1() -> None:
    """P6e-GB200 is sold in Dallas, yet EKS refuses a control plane subnet there."""
    assert any(zone.name == "us-east-1-dfw-2a" and zone.zone_type == "local-zone" for zone in VIRGINIA)
    assert IDS == ["use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6"]


@given(regions)
def test_slots_fit_the_address_plan(region: str) -> None:
    slots = [zone_slot(zone.zone_id) for zone in usable(REGION_ZONES[region])]
    assert len(set(slots)) == len(slots)
    assert all(0 <= slot <= MAX_SLOT for slot in slots)


@pytest.mark.parametrize(
    "text", ["us-east-1a", "use1-dfw2-az1", "use1-az0", "use1-az7", "use1-az12", "use1-wl1-bos-wlz1", "", "use1-az1\n"]
)
def test_what_is_no_zone_id_has_no_slot(text: str) -> None:
    with pytest.raises(ValueError) as error:
        zone_slot(text)
    assert str(error.value) == (
        f"zone id {text!r}: expected the id of an Availability Zone such as use1-az1, numbered 1 to 6; a Local Zone has no "
        "place among them, and a name such as us-east-1a is no id"
    )
