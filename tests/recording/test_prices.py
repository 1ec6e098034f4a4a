"""Prices: every number with its source and date, and none guessed in silence."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from components.capacity import instances
from components.capacity.block_prices import USD_PER_HOUR
from components.network.zones import REGION_ZONES
from recording.aws_types import CARDS
from recording.prices import table

PRICES = Path(table.__file__).parent
REGIONS = sorted(REGION_ZONES)


@pytest.mark.parametrize("file", ["ec2.json", "services.json"])
def test_every_number_has_a_source_with_its_date(file: str) -> None:
    """A price without a date is believed for ever."""
    raw = json.loads((PRICES / file).read_text())
    for told in raw["sources"].values():
        assert told["title"] and date.fromisoformat(told["date"]) <= date.fromisoformat(raw["collected"])
        assert told["sort"] in ("published", "derived", "assumed")
    if file == "ec2.json":
        named = {source for rows in raw["types"].values() for _, source in rows.values()}
        assert all(usd > 0 for rows in raw["types"].values() for usd, _ in rows.values())
    else:
        named = {source for row in raw["rates"].values() for _, source in row["usd"].values()}
        named |= {raw["autoModeFee"]["source"], raw["spot"]["source"], raw["spot"]["assumed"]["source"]}
        assert all(row["usd"][table.HOME][0] > 0 for row in raw["rates"].values())
    assert named <= set(raw["sources"])


@pytest.mark.parametrize(
    "type_, usd, fee",
    [
        # Worked examples of the fee: 12 % of on demand, 7.8 % of G families, 4.8 % of P.
        ("g6e.2xlarge", 2.24208, 0.17488),
        ("g7e.48xlarge", 33.14432, 2.58526),
        ("p5.48xlarge", 55.04, 2.64192),
        ("p5en.48xlarge", 63.296, 3.03821),
        ("p6-b200.48xlarge", 113.9328, 5.46877),
        ("c7i.xlarge", 0.1785, 0.02142),
    ],
)
def test_auto_mode_fee(type_: str, usd: float, fee: float) -> None:
    on_demand, charged = table.on_demand(type_, "us-east-1"), table.auto_mode_fee(type_, "us-east-1")
    assert on_demand is not None and charged is not None
    assert on_demand.usd == usd and on_demand.sort == "published"
    assert charged.usd == pytest.approx(fee, abs=1e-5) and charged.sort == "derived"


def test_what_is_not_sold_has_no_price() -> None:
    """P6e-GB200 is sold in blocks alone: a made-up hourly price would be believed."""
    assert table.on_demand("p6e-gb200.36xlarge", "us-east-1") is None
    assert table.auto_mode_fee("p6e-gb200.36xlarge", "us-east-1") is None
    assert table.spot("p6e-gb200.36xlarge", "us-east-1") is None
    with pytest.raises(table.NoPrice, match=r"there are .*eks-cluster-hour"):
        table.price("nat-hours", "us-east-1")


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("rate", table.rates())
def test_a_stand_in_says_so(rate: str, region: str) -> None:
    """A price of another region is an assumption, and says of which."""
    found = table.price(rate, region)
    own = json.loads((PRICES / "services.json").read_text())["rates"][rate]["usd"]
    assert (found.sort == "assumed") == (region not in own and "everywhere" not in own)
    assert bool(found.why) == (found.sort == "assumed")
    assert found.usd == own.get(region, own.get("everywhere", own[table.HOME]))[0]


def test_regions_differ() -> None:
    tokyo, ireland = table.price("nat-hour", "ap-northeast-1"), table.on_demand("g5.xlarge", "eu-west-1")
    assert tokyo.usd == 0.062 and ireland is not None and ireland.usd == 1.123
    derived = table.on_demand("p5.48xlarge", "eu-north-1") or table.on_demand("p5.48xlarge", "ap-south-1")
    assert derived is not None and derived.sort in ("derived", "assumed")


def test_spot_is_always_assumed() -> None:
    """The market sets it: a share that was once seen is no price."""
    for type_ in ("g6e.48xlarge", "g6e.12xlarge"):
        whole, spot = table.on_demand(type_, "us-east-1"), table.spot(type_, "us-east-1")
        assert whole and spot and spot.sort == "assumed" and 0.25 <= spot.usd / whole.usd <= 0.76
        assert "25 to 76 %" in spot.why
    assert table.spot("g6e.48xlarge", "us-east-1").usd == pytest.approx(30.13118 * 0.25)  # pyright: ignore[reportOptionalMemberAccess]


def test_every_pool_type_has_a_price_of_some_kind() -> None:
    """A machine that a pool may launch and nobody has a price for makes every total too small."""
    types = [item.type for item in instances.table().values() if item.family in instances.GPU_POOL_FAMILIES]
    unknown = {type_ for type_ in types if table.on_demand(type_, "us-east-1") is None}
    assert unknown == {"p5e.48xlarge"} <= set(USD_PER_HOUR)


def test_cards_name_rates_that_there_are() -> None:
    rates = {charge.rate for card in CARDS.values() for charge in card.charges}
    assert rates - {"ec2"} <= set(table.rates())
    # What AWS bills by its mere presence, of all types of this program (the services' price pages).
    assert {card.type for card in CARDS.values() if card.charges} == {
        "aws:ec2/capacityReservation:CapacityReservation", "aws:ec2/eip:Eip", "aws:ec2/natGateway:NatGateway",
        "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:efs/fileSystem:FileSystem", "aws:eks/cluster:Cluster", "aws:kms/key:Key",
    }  # fmt: skip
