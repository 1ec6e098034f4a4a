"""`make prices`: what is asked of the Price List API, which of its rows is the right one, and what is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from operations import prices
from operations.credentials import Access
from operations.preflight.asker import World
from operations.preflight.lines import Refused, Unasked
from operations.prices import QUERIES, Answer, NotTold, matches, one_price
from recording.prices import table

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
REGION = "us-east-2"


def product(usage: str, *tiers: tuple[float, float], unit: str = "Hrs", **attributes: str) -> dict[str, Any]:
    """A row of the Price List, with its tiers: begin and price."""
    dimensions = {
        f"SKU.TERM.{number}": {
            "unit": unit, "beginRange": f"{begin:g}", "endRange": "Inf", "pricePerUnit": {"USD": f"{usd:.10f}"}, "description": usage,
        }
        for number, (begin, usd) in enumerate(tiers)
    }  # fmt: skip
    return {
        "product": {"sku": "SKU", "attributes": {"regionCode": REGION, "usagetype": usage, **attributes}},
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}},
    }


class Stubbed(World):
    """A world whose clients answer what they were told to, shapes checked by botocore."""

    def __init__(self, service: str) -> None:
        super().__init__(Access(region=REGION))
        session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        self.client = session.client(service)
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.regions: list[str | None] = []

    def _client(self, service: str, region: str | None) -> Any:
        self.regions.append(region)
        return self.client


class Account:
    """AWS as it answers: rows by service, spot by type."""

    def __init__(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], spot: Sequence[Mapping[str, Any]] = ()) -> None:
        self.rows, self.spot = rows, spot
        self.asked: list[dict[str, str]] = []

    def aws(self, service: str, operation: str, region: str | None = None, **parameters: Any) -> Any:
        if operation == "describe_spot_price_history":
            assert service == "ec2" and region == REGION and parameters["ProductDescriptions"] == ["Linux/UNIX"]
            return {"SpotPriceHistory": list(self.spot)}
        assert (service, operation, region) == ("pricing", "get_products", prices.PRICE_LIST_REGION)
        filters = {item["Field"]: item["Value"] for item in parameters["Filters"]}
        self.asked.append(filters)
        assert filters["regionCode"] == REGION
        found = [
            row
            for row in self.rows.get(parameters["ServiceCode"], ())
            if all(
                value in row["product"]["attributes"].get(name, "")
                for name, value in filters.items()
                if name
                in (
                    "instanceType",
                    "operation",
                    "usagetype",
                    "accessType",
                    "storageClass",
                    "volumeApiName",
                    "productFamily",
                )
            )
        ]
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(row) for row in found]}

    def http(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Any:
        raise AssertionError("prices are asked of AWS alone")


def nat(usage: str, usd: float) -> dict[str, Any]:
    return product(usage, (0, usd), productFamily="NAT Gateway")


def eks(usage: str, usd: float, operation: str, **more: str) -> dict[str, Any]:
    return product(usage, (0, usd), operation=operation, **more)


ROWS: dict[str, list[dict[str, Any]]] = {
    "AmazonEKS": [
        eks("USE2-AmazonEKS-Hours:perCluster", 0.11, "CreateOperation"),
        eks("USE2-Outposts-AmazonEKS-Hours:perCluster", 0.2, "CreateOperation"),
        eks("USE2-AmazonEKS-Hours:extendedSupport", 0.50, "ExtendedSupport"),
        eks("USE2-EKS-Auto:g6e.2xlarge", 0.18, "EKSAutoUsage", instanceType="g6e.2xlarge"),
    ],
    "AmazonEC2": [
        nat("USE2-NatGateway-Hours", 0.046), nat("USE2-RegionalNatGateway-Hours", 0.09), nat("USE2-NatGateway-Bytes", 0.045),
        product("USE2-BoxUsage:g6e.2xlarge", (0, 2.3), instanceType="g6e.2xlarge", productFamily="Compute Instance"),
        product("USE2-EBS:VolumeUsage.gp3", (0, 0.08), productFamily="Storage", volumeApiName="gp3", unit="GB-Mo"),
        product("USE2-EBS:VolumeP-IOPS.gp3", (0, 0.005), productFamily="System Operation", volumeApiName="gp3"),
        product("USE2-EBS:VolumeP-Throughput.gp3", (0, 40.96), productFamily="Provisioned Throughput", volumeApiName="gp3"),
        product("USE2-DataTransfer-Regional-Bytes", (0, 0.01), unit="GB"),
    ],
    "AmazonVPC": [
        product("USE2-VpcEndpoint-Hours", (0, 0.01), productFamily="VpcEndpoint"),
        product("USE2-VpcEndpoint-Service-Hours", (0, 0.02), productFamily="VpcEndpoint"),
        product("USE2-VpcEndpoint-GWLBE-Hours", (0, 0.03), productFamily="VpcEndpoint"),
        product("USE2-VpcEndpoint-Bytes", (0, 0.01), (1048576, 0.006), productFamily="VpcEndpoint", unit="GB"),
        product("USE2-PublicIPv4:InUseAddress", (0, 0.005)), product("USE2-PublicIPv4:IdleAddress", (0, 0.006)),
    ],
    "AWSELB": [
        product("USE2-LoadBalancerUsage", (0, 0.0225), productFamily="Load Balancer-Network"),
        product("USE2-TS-LoadBalancerUsage", (0, 0.0056), productFamily="Load Balancer-Network"),
        product("USE2-LCUUsage", (0, 0.006), productFamily="Load Balancer-Network"),
    ],
    "AmazonEFS": [
        product("USE2-TimedStorage-ByteHrs", (0, 0.30), storageClass="General Purpose", unit="GB-Mo"),
        product("USE2-ETDataAccess-Bytes", (0, 0.03), accessType="Read"), product("USE2-ETDataAccess-Bytes", (0, 0.06), accessType="Write"),
    ],
    "AmazonCloudWatch": [
        product("USE2-DataProcessing-Bytes", (0, 0.0), (5, 0.50), productFamily="Data Payload"),
        product("USE2-TimedStorage-ByteHrs", (0, 0.03), productFamily="Storage Snapshot"),
    ],
    "awskms": [
        product("us-east-2-KMS-Keys", (0, 1.0), productFamily="Encryption Key"),
        product("us-east-2-KMS-Requests", (0, 0.0), (20000, 0.000003)),
    ],
}  # fmt: skip

SPOT = [
    {"InstanceType": "g6e.2xlarge", "AvailabilityZone": zone, "SpotPrice": price, "Timestamp": datetime(2026, 12, 2, hour, tzinfo=UTC)}
    for zone, price, hour in (
        ("us-east-2a", "1.5", 9), ("us-east-2a", "0.9", 11), ("us-east-2b", "1.0", 10), ("us-east-2c", "1.1", 10),
    )
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ec2.json", "services.json"):
        shutil.copy(prices.FOLDER / name, tmp_path / name)
    return tmp_path


def test_the_right_row_of_each_rate() -> None:
    """The neighbours of a price have names that contain its own: a trust store's is a quarter of a load balancer's."""
    account = Account(ROWS)
    found = {query.rate: prices.ask_rate(account, query, REGION) for query in QUERIES}
    assert {rate: round(answer.usd, 6) if answer.usd else answer.why for rate, answer in found.items()} == {
        "eks-cluster-hour": 0.11, "eks-extended-hour": 0.50, "nat-hour": 0.046, "nat-gb": 0.045, "endpoint-hour": 0.01,
        "endpoint-gb": 0.01, "public-ipv4-hour": 0.005, "nlb-hour": 0.0225, "nlcu-hour": 0.006, "efs-gb-month": 0.30,
        "efs-read-gb": 0.03, "efs-write-gb": 0.06, "gp3-gb-month": 0.08, "gp3-iops-month": 0.005, "gp3-mibps-month": 0.04,
        "logs-ingest-gb": 0.50, "logs-stored-gb-month": 0.03, "kms-key-month": 1.0, "kms-10000-requests": 0.03,
        "zone-traffic-gb": 0.02,
    }  # fmt: skip


def test_every_rate_but_one_can_be_asked() -> None:
    asked = {query.rate for query in QUERIES}
    assert set(table.rates()) - asked == {"efs-provisioned-mibps-month"} and asked <= set(table.rates())


@pytest.mark.parametrize(
    ("usage", "right"),
    [
        ("NatGateway-Hours", True), ("EU-NatGateway-Hours", True), ("APN1-NatGateway-Hours", True),
        ("EU-RegionalNatGateway-Hours", False), ("RegionalNatGateway-Hours", False), ("EU-NatGateway-Hours-X", False),
    ],
)  # fmt: skip
def test_usage_types_are_told_by_their_end(usage: str, right: bool) -> None:
    query = next(query for query in QUERIES if query.rate == "nat-hour")
    assert matches(usage, query) is right


def test_none_or_several_prices_are_no_price() -> None:
    """A wrong filter is answered with an empty list and no error; two rows are a filter that is too wide."""
    with pytest.raises(NotTold, match="no such price"):
        one_price([])
    with pytest.raises(NotTold, match="no such price"):
        one_price([product("x", (0, 0.0))])
    with pytest.raises(NotTold, match=r"2 prices: 1\.0, 2\.0"):
        one_price([product("x", (0, 1.0)), product("x", (0, 2.0))])
    assert one_price([product("x", (0, 0.0), (5, 0.5), (10, 0.3)), product("y", (0, 0.5))]) == 0.5


def test_the_answer_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prices.run(Account(ROWS, SPOT), REGION, NOW, folder) == 0
    told = capsys.readouterr().out
    assert "ec2 g6e.2xlarge: $2.24208 -> $2.3 (+2.6 %)" in told and "eks-cluster-hour: $0.1 -> $0.11 (+10.0 %)" in told
    machines, services = (json.loads((folder / name).read_text()) for name in ("ec2.json", "services.json"))
    old = json.loads((prices.FOLDER / "ec2.json").read_text())
    assert machines["types"]["g6e.2xlarge"][REGION] == [2.3, prices.ASKED] and machines["collected"] == "2026-12-02"
    # What was not answered, and what is of another region, is as it was.
    assert machines["types"]["p5.48xlarge"] == old["types"]["p5.48xlarge"]
    assert machines["types"]["g6e.2xlarge"]["us-east-1"] == old["types"]["g6e.2xlarge"]["us-east-1"]
    assert services["rates"]["nat-hour"]["usd"][REGION] == [0.046, prices.ASKED]
    assert services["autoModeFee"]["prices"] == {"g6e.2xlarge": {REGION: [0.18, prices.ASKED]}}
    # The latest of each zone, of three the middle one.
    assert services["spot"]["prices"] == {"g6e.2xlarge": {REGION: [1.0, prices.SEEN]}}


def test_the_plan_takes_what_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices.run(Account(ROWS, SPOT), REGION, NOW, folder)
    monkeypatch.setattr(table, "_file", lambda name: json.loads((folder / name).read_text()))
    machine, fee, spot = (ask("g6e.2xlarge", REGION) for ask in (table.on_demand, table.auto_mode_fee, table.spot))
    assert machine and fee and spot
    assert (machine.usd, machine.source, str(machine.as_of)) == (
        2.3,
        f"AWS Price List API, asked for {REGION}",
        "2026-12-02",
    )
    assert (fee.usd, fee.sort) == (0.18, "published")
    assert (spot.usd, spot.sort) == (1.0, "assumed") and "as seen on 2026-12-02" in spot.why
    assert table.price("nat-hour", REGION).usd == 0.046 and table.price("nat-hour", "us-east-1").usd == 0.045


def test_a_second_run_changes_one_line_for_each_price(folder: Path) -> None:
    """A refresh is reviewed as a diff: a file written in another form would be all of it."""
    for name in ("ec2.json", "services.json"):
        raw = (folder / name).read_text()
        assert prices.text(name, json.loads(raw)) == raw
    prices.run(Account(ROWS), REGION, NOW, folder)
    before = (prices.FOLDER / "ec2.json").read_text().splitlines()
    after = (folder / "ec2.json").read_text().splitlines()
    assert sum(line not in before for line in after) <= 8


def test_nothing_is_written_on_a_look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert prices.run(Account(ROWS), REGION, NOW, folder, write=False) == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert "prices of us-east-2 asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, why",
    [
        (Unasked("no right to pricing:GetProducts", ""), "no right to pricing:GetProducts"),
        (Refused("InvalidParameterException", "no"), "InvalidParameterException: no"),
    ],
)
def test_without_an_answer_all_is_kept(answer: Any, why: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(ROWS)
    account.aws = lambda *_, **__: answer
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert prices.run(account, REGION, NOW, folder) == 2
    assert why in capsys.readouterr().err
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_rate_without_an_answer_is_an_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refresh that silently kept a price is taken for one that found it unchanged."""
    rows = {**ROWS, "awskms": []}
    assert prices.run(Account(rows), REGION, NOW, folder) == 1
    assert "kms-key-month: keeps its price: no such price" in capsys.readouterr().out


def test_the_real_client_takes_the_question() -> None:
    """botocore checks the shapes of what is asked and answered; the API is asked in one of its three regions."""
    world = Stubbed("pricing")
    rows = [
        json.dumps(row)
        for row in ROWS["AmazonEC2"]
        if row["product"]["attributes"].get("productFamily") == "NAT Gateway"
    ]
    world.stub.add_response(
        "get_products",
        {"FormatVersion": "aws_v1", "PriceList": rows[:1], "NextToken": "more"},
        {
            "ServiceCode": "AmazonEC2",
            "FormatVersion": "aws_v1",
            "Filters": [
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION},
                {"Type": "TERM_MATCH", "Field": "productFamily", "Value": "NAT Gateway"},
            ],
        },
    )
    world.stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": rows[1:]})
    query = next(query for query in QUERIES if query.rate == "nat-hour")
    assert prices.ask_rate(world, query, REGION) == Answer("nat-hour", 0.046)
    assert world.regions == ["us-east-1"]
    world.stub.assert_no_pending_responses()


def test_the_real_client_takes_the_question_for_spot() -> None:
    world = Stubbed("ec2")
    world.stub.add_response("describe_spot_price_history", {"SpotPriceHistory": SPOT})
    (found,) = prices.ask_spot(world, ["g6e.2xlarge"], REGION, NOW)
    assert found == Answer("spot g6e.2xlarge", 1.0) and world.regions == [REGION]


def test_a_usage_type_without_a_family_is_asked_for_by_its_end() -> None:
    account = Account(ROWS)
    prices.ask_rate(account, next(query for query in QUERIES if query.rate == "public-ipv4-hour"), REGION)
    assert account.asked == [{"regionCode": REGION, "usagetype": "PublicIPv4:InUseAddress"}]
