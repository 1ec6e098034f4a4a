"""The cost of a stack in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recording.prices import table
from recording.prices.table import HOURS_PER_MONTH
from review.cost import Cost, GraphCost, Level, Line, Prepaid

LEVELS: tuple[Level, ...] = ("idle", "configured", "limit")


def usd(amount: float) -> str:
    """Dollars as people read them: cents below a hundred, whole ones above."""
    return f"${amount:,.2f}" if abs(amount) < 100 else f"${amount:,.0f}"


def headline(cost: Cost) -> str:
    """One sentence: by the hour and month, and what was paid beforehand."""
    if not cost.region:
        return "nothing that AWS bills is made here"
    at_least = "at least " if cost.unknown else ""
    parts = [
        f"{at_least}{usd(cost.usd_per_hour('configured'))}/h as configured ({usd(cost.usd_per_month('configured'))} a month)"
    ]
    if cost.spot_saves:
        parts[0] += f", about {usd(cost.usd_per_hour('configured') - cost.spot_saves)}/h on spot"
    parts.append(f"{usd(cost.usd_per_hour('idle'))}/h idle")
    parts.append(f"{usd(cost.usd_per_hour('limit'))}/h at pool limits")
    if cost.prepaid:
        parts.append(f"prepaid {usd(sum(item.usd or 0 for item in cost.prepaid))}")
    return "; ".join(parts)


def graph_words(item: GraphCost) -> str:
    """What a graph's GPUs cost, in a few words."""
    if item.usd_per_hour is None or item.usd_per_gpu_hour is None:
        return "price not known"
    told = f"{usd(item.usd_per_hour)}/h"
    if item.usd_per_hour_spot is not None:
        told += f" ({usd(item.usd_per_hour_spot)} on spot)"
    if item.gpus > 1:
        told += f", {usd(item.usd_per_gpu_hour)}/GPU-h"
    if item.usd_per_million_tokens is not None:
        told += f", {usd(item.usd_per_million_tokens)}/M tokens"
    return told + {"hourly": "", "reserved": ", reserved", "prepaid": ", prepaid"}[item.paid]


def prepaid_words(item: Prepaid) -> str:
    """What a block costs, what of it can still be used, and what is over."""
    if item.usd is None:
        return "price not known"
    source = "as stated" if item.given else "quoted"
    told = f"{usd(item.usd)} {source}, {item.usable_hours:,.1f} of {item.usable_hours_whole:,.1f} usable hours left"
    if item.usd_per_usable_hour:
        told += f" ({usd(item.usd_per_usable_hour)} each)"
    if item.usd_passed:
        told += f", {usd(item.usd_passed)} of it is over"
    return told


def lines(cost: Cost) -> list[str]:
    """Every number with what it rests on, one a line."""
    if not cost.region:
        return []
    found = [f"Cost in {cost.region}, list prices in US dollars: {headline(cost)}"]
    found += [f"  {told}" for told in _by_line(cost)]
    found += [f"  prepaid {item.name} ({item.what}): {prepaid_words(item)}{_quoted(item)}" for item in cost.prepaid]
    found += [f"  graph {item.graph}, {item.gpus} GPUs: {graph_words(item)}" for item in cost.graphs]
    for item in cost.uses:
        amount = f"{item.amount:,.0f} {item.price.unit}: " if item.amount is not None else ""
        found.append(f"  use, not in the sums: {item.what}: {amount}{usd(item.usd)}{_basis(item.price)}")
    found += [f"  not in the sums, no price found: {told}" for told in cost.unknown]
    return found


def assumptions(cost: Cost) -> Iterator[str]:
    """What the numbers take for granted, one sentence each."""
    if cost.stale_days:
        yield f"prices are {cost.stale_days} days old ({table.collected()}); `make prices` asks AWS for today's"
    guesses = [line for line in cost.lines if line.price is not None and line.price.sort == "assumed"]
    for why in dict.fromkeys(line.price.why for line in guesses if line.price):
        alike = dict.fromkeys(line.what for line in guesses if line.price and line.price.why == why)
        yield f"cost of {next(iter(alike))}{f' and {len(alike) - 1} more' if len(alike) > 1 else ''}: {why}"
    if cost.spot_saves:
        yield "cost of spot machines: a share of the on-demand price from published figures; the market sets it by zone and minute"


def _quoted(item: Prepaid) -> str:
    return f"; {item.quoted}" if item.quoted and item.usd is not None else ""


def _by_line(cost: Cost) -> Iterator[str]:
    """One line for all that is alike: three NAT gateways are one."""
    for level in LEVELS:
        alike: dict[tuple[str, table.Price], list[Line]] = {}
        for line in cost.lines:
            if line.level == level and line.price is not None:
                alike.setdefault((line.what, line.price), []).append(line)
        for (what, price), found in alike.items():
            amount, usd_per_hour = sum(line.amount for line in found), sum(line.usd_per_hour for line in found)
            each = "" if amount == 1 else f"{amount:,.6g} x "
            names = list(dict.fromkeys(line.subject for line in found))
            whose = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            yield f"{level:<10} {usd(usd_per_hour):>8}/h  {each}{what} ({whose}){_basis(price)}"


def _basis(price: table.Price) -> str:
    """Unit price, sort and date, as they stand behind a number."""
    each = f"${price.usd:.6g}/{price.unit}"
    why = f", {price.why}" if price.why and price.sort != "assumed" else ""
    return f" [{each}, {price.sort} {price.as_of}{why}]"


def as_json(cost: Cost) -> dict[str, Any]:
    """The same as data; keys and their meaning are in docs/plan.md."""
    known = bool(cost.region)
    return {
        "currency": "USD",
        "region": cost.region or None,
        "pricesOf": table.collected().isoformat() if known else None,
        "staleDays": cost.stale_days,
        "hoursPerMonth": HOURS_PER_MONTH,
        **{f"{level}UsdPerHour": round(cost.usd_per_hour(level), 4) for level in LEVELS},
        **{f"{level}UsdPerMonth": round(cost.usd_per_month(level), 2) for level in LEVELS},
        "configuredOnSpotUsdPerHour": round(cost.usd_per_hour("configured") - cost.spot_saves, 4)
        if cost.spot_saves
        else None,
        "prepaidUsd": round(sum(item.usd or 0 for item in cost.prepaid), 2),
        "prepaid": [_prepaid(item) for item in cost.prepaid],
        "graphs": [_graph(item) for item in cost.graphs],
        "lines": [
            {
                "level": line.level,
                "subject": line.subject,
                "what": line.what,
                "amount": line.amount,
                "usdPerHour": round(line.usd_per_hour, 6) if line.price else None,
                **_price(line.price),
            }
            for line in cost.lines
        ],
        "uses": [
            {"what": item.what, "amount": item.amount, "usd": round(item.usd, 4), **_price(item.price)}
            for item in cost.uses
        ],
        "unknown": list(cost.unknown),
    }


def _price(price: table.Price | None) -> dict[str, Any]:
    return {
        "usdPerUnit": price and price.usd,
        "unit": price and price.unit,
        "sort": price and price.sort,
        "source": price and price.source,
        "asOf": price and price.as_of.isoformat(),
        "assumption": (price and price.why) or None,
    }


def _prepaid(item: Prepaid) -> dict[str, Any]:
    each, passed = item.usd_per_usable_hour, item.usd_passed
    return {
        "name": item.name,
        "what": item.what,
        "usd": None if item.usd is None else round(item.usd, 2),
        "stated": item.given,
        "quoted": item.quoted or None,
        "hours": item.hours,
        "usableHours": round(item.usable_hours_whole, 2),
        "usableHoursLeft": round(item.usable_hours, 2),
        "usdPerUsableHour": None if each is None else round(each, 4),
        "usdPassed": None if passed is None else round(passed, 2),
    }


def _graph(item: GraphCost) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "graph": item.graph,
        "gpus": item.gpus,
        "usdPerHour": rounded(item.usd_per_hour),
        "usdPerHourOnSpot": rounded(item.usd_per_hour_spot),
        "usdPerGpuHour": rounded(item.usd_per_gpu_hour),
        "tokensPerSecond": item.tokens_per_second,
        "usdPerMillionTokens": rounded(item.usd_per_million_tokens),
        "paid": item.paid,
    }
