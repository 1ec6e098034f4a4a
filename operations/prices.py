"""`python -m operations.prices`: ask AWS for today's prices of a region and write them into the price tables of the plan.

The Price List API knows everything but spot machines, which EC2's spot history tells, and Capacity Blocks, which no list has. What could
not be asked, or was answered with several prices or none, keeps its old number and is named. Exit code 0 when everything was answered,
1 when something kept its old price, 2 when nothing could be asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from components.capacity import instances
from operations.credentials import Access
from operations.preflight.asker import Asker, World
from operations.preflight.lines import Refused, Unasked
from recording.prices import table
from review.cost_nodes import GENERAL

FOLDER = Path(table.__file__).parent

PRICE_LIST_REGION = "us-east-1"
"""Where the API is asked, whatever region the prices are of: it answers in us-east-1, eu-central-1 and ap-south-1 only."""

ASKED, SEEN = "priceList", "spotHistory"
"""Names of the sources that a run writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """How the Price List API is asked for one rate (AWS Price List Query API; its traps are beside each field)."""

    rate: str
    service: str
    filters: Mapping[str, str] = field(default_factory=dict)
    """Besides the region's code. A wrong value is answered with an empty list and no error."""
    ends: str
    """End of the usage type. Its beginning is a region's prefix of several forms, and a name that merely contains another one's is another
    product (`RegionalNatGateway-Hours`)."""
    without: tuple[str, ...] = ()
    """Parts of usage types that are other products: trust stores of load balancers (`-TS-`), Outposts, Local Zones."""
    scale: float = 1.0
    """Units of the table for one of the answer's."""


QUERIES: tuple[Query, ...] = (
    Query(
        rate="eks-cluster-hour", service="AmazonEKS", filters={"operation": "CreateOperation"},
        ends="AmazonEKS-Hours:perCluster", without=("Outposts",),
    ),
    Query(
        rate="eks-extended-hour", service="AmazonEKS", filters={"operation": "ExtendedSupport"}, ends="AmazonEKS-Hours:extendedSupport",
    ),
    Query(rate="nat-hour", service="AmazonEC2", filters={"productFamily": "NAT Gateway"}, ends="NatGateway-Hours"),
    Query(rate="nat-gb", service="AmazonEC2", filters={"productFamily": "NAT Gateway"}, ends="NatGateway-Bytes"),
    Query(
        rate="endpoint-hour", service="AmazonVPC", filters={"productFamily": "VpcEndpoint"}, ends="VpcEndpoint-Hours",
        without=("Service", "GWLB"),
    ),
    Query(
        rate="endpoint-gb", service="AmazonVPC", filters={"productFamily": "VpcEndpoint"}, ends="VpcEndpoint-Bytes",
        without=("Service", "GWLB"),
    ),
    Query(rate="public-ipv4-hour", service="AmazonVPC", ends="PublicIPv4:InUseAddress"),
    Query(
        rate="nlb-hour", service="AWSELB", filters={"productFamily": "Load Balancer-Network", "locationType": "AWS Region"},
        ends="LoadBalancerUsage", without=("-TS-", "Outposts"),
    ),
    Query(
        rate="nlcu-hour", service="AWSELB", filters={"productFamily": "Load Balancer-Network", "locationType": "AWS Region"},
        ends="LCUUsage", without=("-TS-", "Outposts"),
    ),
    Query(rate="efs-gb-month", service="AmazonEFS", filters={"storageClass": "General Purpose"}, ends="TimedStorage-ByteHrs"),
    Query(rate="efs-read-gb", service="AmazonEFS", filters={"accessType": "Read"}, ends="ETDataAccess-Bytes"),
    Query(rate="efs-write-gb", service="AmazonEFS", filters={"accessType": "Write"}, ends="ETDataAccess-Bytes"),
    Query(
        rate="gp3-gb-month", service="AmazonEC2", filters={"productFamily": "Storage", "volumeApiName": "gp3"},
        ends="VolumeUsage.gp3",
    ),
    Query(
        rate="gp3-iops-month", service="AmazonEC2", filters={"productFamily": "System Operation", "volumeApiName": "gp3"},
        ends="VolumeP-IOPS.gp3",
    ),
    Query(
        # For a GiB/s, and the table's is for a MiB/s.
        rate="gp3-mibps-month", service="AmazonEC2", filters={"productFamily": "Provisioned Throughput", "volumeApiName": "gp3"},
        ends="VolumeP-Throughput.gp3", scale=1 / 1024,
    ),
    Query(
        rate="logs-ingest-gb", service="AmazonCloudWatch", filters={"productFamily": "Data Payload"}, ends="DataProcessing-Bytes",
    ),
    Query(
        rate="logs-stored-gb-month", service="AmazonCloudWatch", filters={"productFamily": "Storage Snapshot"},
        ends="TimedStorage-ByteHrs",
    ),
    Query(rate="kms-key-month", service="awskms", filters={"productFamily": "Encryption Key"}, ends="KMS-Keys"),
    Query(rate="kms-10000-requests", service="awskms", ends="KMS-Requests", scale=10_000),
    # A cent out and a cent in.
    Query(rate="zone-traffic-gb", service="AmazonEC2", ends="DataTransfer-Regional-Bytes", scale=2),
)  # fmt: skip
"""By rate of recording/prices. EFS's provisioned throughput is not among them: no source names its usage type."""

EC2_FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
    "productFamily": "Compute Instance",
}
"""Karpenter's own (pkg/providers/pricing), which leave one row for a type and region."""


class NotTold(Exception):
    """A price that was not answered; the message says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked for, and what came."""

    what: str
    """Rate, or `ec2 g6e.2xlarge`, `fee …`, `spot …`."""
    usd: float | None
    """None when it keeps its old price."""
    why: str = ""


def types() -> list[str]:
    """Instance types that the plan prices: those of pools, and those that stand for the general-purpose pool."""
    wanted = {*instances.GPU_POOL_FAMILIES, *GENERAL}
    return sorted(item.type for item in instances.table().values() if item.family in wanted)


def products(
    asker: Asker, service: str, region: str, filters: Mapping[str, str], ends: str = ""
) -> list[dict[str, Any]]:
    """Products of a service in a region. Raises NotTold when the API did not answer."""
    given = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value}
        for name, value in (("regionCode", region), *filters.items())
    ]
    if not filters and ends:
        # Without a family a service has tens of thousands of rows.
        given.append({"Type": "CONTAINS", "Field": "usagetype", "Value": ends})
    found = asker.aws(
        "pricing", "get_products", PRICE_LIST_REGION, ServiceCode=service, Filters=given, FormatVersion="aws_v1"
    )
    if isinstance(found, Refused | Unasked):
        raise NotTold(_no(found))
    return [json.loads(item) for item in found.get("PriceList", ())]


def _no(found: Refused | Unasked) -> str:
    return found.why if isinstance(found, Unasked) else f"{found.code}: {found.message}"


def one_price(found: Iterable[Mapping[str, Any]]) -> float:
    """The one price of some products, of each its first tier that costs anything. Raises NotTold for none, or several."""
    prices = {price for item in found if (price := _first_tier(item)) is not None}
    if len(prices) != 1:
        raise NotTold("no such price" if not prices else f"{len(prices)} prices: {', '.join(map(str, sorted(prices)))}")
    return prices.pop()


def _first_tier(item: Mapping[str, Any]) -> float | None:
    tiers = [
        (float(tier.get("beginRange") or 0), float(tier["pricePerUnit"]["USD"]))
        for term in item.get("terms", {}).get("OnDemand", {}).values()
        for tier in term.get("priceDimensions", {}).values()
        if "USD" in tier.get("pricePerUnit", {})
    ]
    paid = [(begin, usd) for begin, usd in sorted(tiers) if usd > 0]
    return paid[0][1] if paid else None


def matches(usage: str, query: Query) -> bool:
    """Whether a usage type is the query's: its end, alone or after a region's prefix."""
    ends = usage == query.ends or usage.endswith((f"-{query.ends}", f":{query.ends}"))
    return ends and not any(part in usage for part in query.without)


def ask_rate(asker: Asker, query: Query, region: str) -> Answer:
    """One rate in a region."""
    try:
        found = products(asker, query.service, region, query.filters, query.ends)
        usd = one_price(item for item in found if matches(item["product"]["attributes"].get("usagetype", ""), query))
    except NotTold as error:
        return Answer(query.rate, None, str(error))
    return Answer(query.rate, usd * query.scale)


def ask_machine(asker: Asker, type_: str, region: str) -> Answer:
    """An hour of a type on demand."""
    try:
        return Answer(
            f"ec2 {type_}", one_price(products(asker, "AmazonEC2", region, {"instanceType": type_, **EC2_FILTERS}))
        )
    except NotTold as error:
        return Answer(f"ec2 {type_}", None, str(error))


def ask_fee(asker: Asker, type_: str, region: str) -> Answer:
    """What Auto Mode charges for a type; a type without a price is one that it does not launch there."""
    try:
        found = products(asker, "AmazonEKS", region, {"operation": "EKSAutoUsage", "instanceType": type_})
        return Answer(f"fee {type_}", one_price(found))
    except NotTold as error:
        return Answer(f"fee {type_}", None, str(error))


def ask_spot(asker: Asker, names: Sequence[str], region: str, now: datetime) -> Iterator[Answer]:
    """The latest spot price of each type, the middle of its zones'."""
    found = asker.aws(
        "ec2",
        "describe_spot_price_history",
        region,
        InstanceTypes=list(names),
        ProductDescriptions=["Linux/UNIX"],
        StartTime=now - timedelta(hours=1),
        EndTime=now,
    )
    if isinstance(found, Refused | Unasked):
        yield from (Answer(f"spot {type_}", None, _no(found)) for type_ in names)
        return
    latest: dict[str, dict[str, tuple[datetime, float]]] = {}
    for item in found.get("SpotPriceHistory", ()):
        zones = latest.setdefault(item["InstanceType"], {})
        seen = (item["Timestamp"], float(item["SpotPrice"]))
        zones[item["AvailabilityZone"]] = max(zones.get(item["AvailabilityZone"], seen), seen)
    for type_ in names:
        prices = sorted(usd for _, usd in latest.get(type_, {}).values())
        if prices:
            yield Answer(f"spot {type_}", prices[len(prices) // 2])
        else:
            yield Answer(f"spot {type_}", None, "not on spot there")


def ask(asker: Asker, region: str, now: datetime) -> list[Answer]:
    """Everything, eight questions at a time."""
    names = types()
    with ThreadPoolExecutor(8) as pool:
        rates = pool.map(lambda query: ask_rate(asker, query, region), QUERIES)
        machines = pool.map(lambda name: ask_machine(asker, name, region), names)
        fees = pool.map(lambda name: ask_fee(asker, name, region), names)
        answers = [*rates, *machines, *fees]
    return [*answers, *ask_spot(asker, names, region, now)]


def merged(tables: Mapping[str, Any], answers: Iterable[Answer], region: str, today: date) -> dict[str, Any]:
    """The tables (`ec2.json`, `services.json`) with what was answered in the place of what they had for the region."""
    new = json.loads(json.dumps(tables))
    machines, services = new["ec2.json"], new["services.json"]
    for answer in answers:
        if answer.usd is None:
            continue
        usd, (kind, _, type_) = round(answer.usd, 10), answer.what.partition(" ")
        if kind == "ec2":
            machines["types"].setdefault(type_, {})[region] = [usd, ASKED]
        elif kind == "fee":
            services["autoModeFee"]["prices"].setdefault(type_, {})[region] = [usd, ASKED]
        elif kind == "spot":
            services["spot"]["prices"].setdefault(type_, {})[region] = [usd, SEEN]
        else:
            services["rates"][kind]["usd"][region] = [usd, ASKED]
    said = {"date": today.isoformat(), "sort": "published"}
    for file in (machines, services):
        file["collected"] = today.isoformat()
        file["sources"][ASKED] = {"title": f"AWS Price List API, asked for {region}", **said}
    services["sources"][SEEN] = {"title": f"EC2's spot price history of {region}, the middle of its zones", **said}
    return new


def text(name: str, raw: Mapping[str, Any]) -> str:
    """A table as it is kept: one line for each type or rate, so that a change of one is one line of a diff."""
    rows = "types" if name == "ec2.json" else "rates"
    head = {key: value for key, value in raw.items() if key not in (rows, "autoModeFee", "spot")}
    parts = [json.dumps(head, indent=1)[1:-2]]
    body = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(raw[rows].items()))
    parts.append(f'\n "{rows}": {{\n{body}\n }}')
    parts += [f"\n {json.dumps(key)}: {json.dumps(raw[key])}" for key in ("autoModeFee", "spot") if key in raw]
    return "{" + ",".join(parts) + "\n}\n"


def changes(answers: Iterable[Answer], region: str) -> Iterator[str]:
    """One line for each price that moved, with its old one."""
    for answer in answers:
        kind, _, type_ = answer.what.partition(" ")
        old = {"ec2": table.on_demand, "fee": table.auto_mode_fee, "spot": table.spot}.get(kind)
        before = old(type_, region) if old else table.price(kind, region)
        if answer.usd is None:
            yield f"  {answer.what}: keeps its price: {answer.why}"
        elif before is None:
            yield f"  {answer.what}: ${answer.usd:g}, new"
        elif abs(answer.usd - before.usd) > 1e-9:
            yield f"  {answer.what}: ${before.usd:g} -> ${answer.usd:g} ({(answer.usd / before.usd - 1) * 100:+.1f} %)"


def main(
    stack: Annotated[str, typer.Option(help="Stack whose region is asked for, with its profile or role.")],
    region: Annotated[str | None, typer.Option(help="Another region.")] = None,
    write: Annotated[bool, typer.Option(help="Write the tables; without it only what would change is printed.")] = True,
) -> None:
    """Ask AWS for today's prices of a region."""
    access = Access.of_stack(stack)
    place = region or access.region
    if not place:
        print(f"{stack} is in no region: give one with --region", file=sys.stderr)
        raise typer.Exit(2)
    raise typer.Exit(run(World(access), place, datetime.now(UTC), FOLDER, write=write))


def run(asker: Asker, region: str, now: datetime, folder: Path, *, write: bool = True) -> int:
    """Ask, print what moved, and write the tables in `folder`; returns the exit code."""
    answers = ask(asker, region, now)
    kept = [answer for answer in answers if answer.usd is None]
    if len(kept) == len(answers):
        print(f"no price of {region} could be asked: {kept[0].why}", file=sys.stderr)
        return 2
    print(f"{len(answers) - len(kept)} prices of {region} asked, {len(kept)} not answered")
    for line in changes(answers, region):
        print(line)
    if write:
        names = ("ec2.json", "services.json")
        tables = {name: json.loads((folder / name).read_text()) for name in names}
        for name, raw in merged(tables, answers, region, now.date()).items():
            (folder / name).write_text(text(name, raw))
    # A type that is not sold in the region, or not launched by Auto Mode, is an answer of its own.
    missing = [answer for answer in kept if answer.why not in ("no such price", "not on spot there")]
    return 1 if missing or any(answer.what in table.rates() for answer in kept) else 0


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
