"""Prices of AWS: EC2 on demand by type and region, and everything else by rate and region. US dollars, Linux, list price, before
tax, credits and Savings Plans.

The numbers are in `ec2.json` and `services.json`, each with its source and date; `make prices` asks AWS for them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

HOURS_PER_MONTH = 730
"""As AWS's calculator counts a month."""

HOME = "us-east-1"
"""The region whose price stands in where a region's own was not found."""

OLD_AFTER_DAYS = 180
"""From this age on a plan says that the table is old. AWS changed prices of GPU types twice in the year before it was collected."""

Sort = Literal["published", "derived", "assumed", "yours"]
"""Where a number is from: a source states it, it was computed from such, it stands in for one that was not found, or it was stated in
the stack file or fetched with your own credentials."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit costs."""

    usd: float
    unit: str
    """`hour`, `GB`, `GB-month`, …"""
    sort: Sort
    source: str
    as_of: date
    why: str = ""
    """What is assumed, where something is."""

    @property
    def hourly(self) -> float:
        """Of one unit for an hour, where the unit is one of time. Raises ValueError for one that is not."""
        if self.unit == "hour":
            return self.usd
        if self.unit.endswith("month"):
            return self.usd / HOURS_PER_MONTH
        raise ValueError(f"{self.unit} has no price by the hour")


class NoPrice(LookupError):
    """A rate that the table has not."""


@cache
def _file(name: str) -> Mapping[str, Any]:
    return json.loads(Path(__file__).with_name(name).read_text())


def collected() -> date:
    """When the older of the two tables was collected."""
    return min(date.fromisoformat(_file(name)["collected"]) for name in ("ec2.json", "services.json"))


def rates() -> tuple[str, ...]:
    """Ids of all rates."""
    return tuple(_file("services.json")["rates"])


def words(rate: str) -> str:
    """What a rate is for."""
    return _rate(rate)["words"]


def _rate(rate: str) -> Mapping[str, Any]:
    try:
        return _file("services.json")["rates"][rate]
    except KeyError:
        raise NoPrice(f"no rate {rate!r}; there are {', '.join(rates())}") from None


def price(rate: str, region: str) -> Price:
    """A rate in a region. Where the region's own was not found it is that of us-east-1, assumed. Raises NoPrice for an unknown rate."""
    row = _rate(rate)
    own = row["usd"].get(region) or row["usd"].get("everywhere")
    usd, source = own or row["usd"][HOME]
    return _price("services.json", usd, row["unit"], source, own is None, region)


def on_demand(type_: str, region: str) -> Price | None:
    """An hour of an instance on demand; None where nothing is known of the type, such as p6e-gb200, which is sold in blocks alone."""
    found: Mapping[str, tuple[float, str]] = _file("ec2.json")["types"].get(type_, {})
    if not found:
        return None
    usd, source = found.get(region) or found.get(HOME) or next(iter(found.values()))
    return _price("ec2.json", usd, "hour", source, region not in found, region)


def _price(file: str, usd: float, unit: str, source: str, elsewhere: bool, region: str) -> Price:
    told = _file(file)["sources"][source]
    as_of = date.fromisoformat(told["date"])
    if elsewhere:
        return Price(
            usd, unit, "assumed", told["title"], as_of, f"no price for {region} was found; that of {HOME} stands in"
        )
    return Price(usd, unit, told["sort"], told["title"], as_of)


def auto_mode_fee(type_: str, region: str) -> Price | None:
    """What EKS Auto Mode charges for an instance, whatever it was bought as: a share of its on-demand price by family (12 %, and since
    2026-07-01 7.8 % for G and 4.8 % for P and Trainium). None where the on-demand price is not known."""
    whole = on_demand(type_, region)
    if whole is None:
        return None
    fee = _file("services.json")["autoModeFee"]
    if asked := fee["prices"].get(type_, {}).get(region):
        return _price("services.json", asked[0], "hour", asked[1], False, region)
    family = type_.split(".")[0]
    share = fee["p"] if family.startswith(("p", "trn")) else fee["g"] if family.startswith("g") else fee["default"]
    told = _file("services.json")["sources"][fee["source"]]
    return Price(
        whole.usd * share,
        "hour",
        "derived" if whole.sort == "published" else whole.sort,
        told["title"],
        date.fromisoformat(told["date"]),
        f"{share * 100:g} % of the on-demand price",
    )


def spot(type_: str, region: str) -> Price | None:
    """What an instance costs on spot: as it was last seen in the region, or from a share of its on-demand price; always an assumption, for the market sets it by zone and minute."""
    whole = on_demand(type_, region)
    if whole is None:
        return None
    table = _file("services.json")["spot"]
    if seen := table["prices"].get(type_, {}).get(region):
        found = _price("services.json", seen[0], "hour", seen[1], False, region)
        return replace(
            found, sort="assumed", why=f"spot as seen on {found.as_of}; the market sets it by zone and minute"
        )
    assumed = table["assumed"]
    share, source = table["share"].get(type_), table["source"]
    if share is None:
        share, source = assumed["share"], assumed["source"]
    told = _file("services.json")["sources"][source]
    return Price(
        whole.usd * share,
        "hour",
        "assumed",
        told["title"],
        date.fromisoformat(told["date"]),
        f"spot at {share * 100:.0f} % of on demand; published shares go from {assumed['low'] * 100:.0f} to {assumed['high'] * 100:.0f} %",
    )
