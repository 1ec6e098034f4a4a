"""Cost: the twenty sums and ten whole stacks that were done by hand, and what must hold of any stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from recording.prices import table
from recording.recorder import record
from review import cost, cost_told
from review.cost import Cost, GraphCost
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded
from tests.stacks.edited import ABSENT, changed

MONTH = 730


def rate(id_: str, region: str = "us-east-1") -> float:
    return table.price(id_, region).usd


def machine(type_: str, region: str = "us-east-1") -> float:
    """An hour of an Auto Mode node bought on demand."""
    whole, fee = table.on_demand(type_, region), table.auto_mode_fee(type_, region)
    assert whole is not None and fee is not None
    return whole.usd + fee.usd


def costs(stack: str, changes: Mapping[str, Any] | None = None, at: datetime = AT) -> Cost:
    if not changes and at == AT:
        return cost.of(recorded(stack))
    file = stackfile.read(stack)
    return cost.of(record(stack, changed(file.config, changes or {}), secret_keys=file.secret_keys, at=at))


@pytest.mark.parametrize(
    "what, found, by_hand",
    [
        ("a cluster for a month", rate("eks-cluster-hour") * MONTH, 73.00),
        ("one in extended support", (rate("eks-cluster-hour") + rate("eks-extended-hour")) * MONTH, 438.00),
        ("a NAT gateway", rate("nat-hour") * MONTH, 32.85),
        ("three of them", 3 * rate("nat-hour") * MONTH, 98.55),
        ("100 GB through it", 100 * rate("nat-gb"), 4.50),
        ("three interface endpoints in three zones", 9 * rate("endpoint-hour") * MONTH, 65.70),
        ("an idle load balancer", rate("nlb-hour") * MONTH, 16.43),
        ("a key", table.price("kms-key-month", "us-east-1").hourly * MONTH, 1.00),
        ("700 GB on EFS", 700 * rate("efs-gb-month"), 210.00),
        ("written once", 700 * rate("efs-write-gb"), 42.00),
        ("read on 18 nodes", 18 * 700 * rate("efs-read-gb"), 378.00),
        ("690 GB read on 18 nodes", 18 * 690 * rate("efs-read-gb"), 372.60),
        ("a volume of 100 GB", 100 * rate("gp3-gb-month"), 8.00),
        (
            "with 6,000 IOPS and 500 MB/s",
            100 * rate("gp3-gb-month") + 3000 * rate("gp3-iops-month") + 375 * rate("gp3-mibps-month"),
            38.00,
        ),
        ("g6e.2xlarge", machine("g6e.2xlarge"), 2.41696),
        ("two for a month", 2 * machine("g6e.2xlarge") * MONTH, 3528.76),
        ("g7e.48xlarge", machine("g7e.48xlarge"), 35.72958),
        ("p5.48xlarge", machine("p5.48xlarge"), 57.68192),
        ("one of its GPUs", machine("p5.48xlarge") / 8, 7.21024),
        ("50 GB of logs taken in and kept", 50 * (rate("logs-ingest-gb") + rate("logs-stored-gb-month")), 26.50),
    ],
)
def test_sums_by_hand(what: str, found: float, by_hand: float) -> None:
    assert found == pytest.approx(by_hand, rel=0.001), what


def test_blocks_by_hand() -> None:
    """7 days of an UltraServer of 72 GPUs; 3 days of two p5.48xlarge at the rate since October 2026."""
    (rack,) = costs("gb200-prod").prepaid
    assert rack.usd == pytest.approx(127_999.87, abs=0.01) and not rack.given
    assert rack.usd_per_usable_hour == pytest.approx(768.77, abs=0.01) and rack.usable_hours_whole == 166.5
    # 24.5 of 168 hours are over.
    assert rack.usd_passed == pytest.approx(127_999.87 * 24.5 / 168, abs=0.01) and rack.usable_hours == 142
    key = "capacity.pools.block.reservations"
    block = {
        "id": "cr-0fedcba9876543210", "kind": "capacityBlock", "instanceType": "p5.48xlarge", "zone": "usw2-az2", "count": 2,
        "start": "2026-12-01T11:30:00Z", "end": "2026-12-04T11:30:00Z",
    }  # fmt: skip
    (three_days,) = costs("p5-reserved", {key: [block]}).prepaid
    assert three_days.usd == pytest.approx(6877.44, abs=0.01)
    (stated,) = costs("p5-reserved", {key: [{**block, "upfrontFeeUsd": 6500}]}).prepaid
    assert (stated.usd, stated.given, stated.quoted) == (6500, True, "")


# --- whole stacks ----------------------------------------------------------------------------------------------------

NAT, IP, CLUSTER, KEY = 0.045, 0.005, 0.10, 1.00 / MONTH
OPERATORS = 0.1785 * 1.12
"""A c7i.xlarge with its fee."""
ENDPOINTS = 9 * 0.01
"""ecr.api, ecr.dkr and sts in three zones."""
QWEN_SMALL, QWEN_32B, LLAMA_70B = 1.2, 65.5, 141.1
"""Gigabytes on disk, from the repositories' own lists of files."""

DEV_IDLE = CLUSTER + NAT + IP + KEY + QWEN_SMALL * 0.30 / MONTH + OPERATORS
DEV_FRONTENDS = 2 * 0.357 * 1.12
"""Two frontends of 4 CPU and 8 GiB, each on a c7i.2xlarge."""
G6E = 2.24208 * 1.078
STAGING_IDLE = CLUSTER + 3 * (NAT + IP) + ENDPOINTS + KEY + 0.0225 + QWEN_32B * 0.30 / MONTH + OPERATORS
LARGE_FRONTENDS = 0.714 * 1.12
"""Three frontends, on a c7i.4xlarge."""
G7E = 8.28608 * 1.078
P5_IDLE = CLUSTER + 3 * (NAT + IP) + ENDPOINTS + KEY + LLAMA_70B * 0.30 / MONTH + OPERATORS + 2 * 55.04
P5_FEES = 4 * 55.04 * 0.048

WHOLE: dict[str, tuple[str, dict[str, Any], datetime, float, float, float]] = {
    # stack, changes, moment; by hand: idle, as configured, at the limits of its pools, dollars an hour
    "g6e-dev": (
        "g6e-dev", {}, AT, DEV_IDLE, DEV_IDLE + 3 * G6E + DEV_FRONTENDS,
        # Four GPUs of the dearest kind for one GPU, g6e.16xlarge.
        DEV_IDLE + DEV_FRONTENDS + 4 * 7.57719 * 1.078,
    ),
    "in extended support": (
        "g6e-dev", {"cluster.support": "EXTENDED"}, datetime(2027, 3, 28, tzinfo=UTC), DEV_IDLE + 0.50, DEV_IDLE + 0.50 + 3 * G6E + DEV_FRONTENDS,
        DEV_IDLE + 0.50 + DEV_FRONTENDS + 4 * 7.57719 * 1.078,
    ),
    "in Stockholm": (
        "g6e-dev", {"aws:region": "eu-north-1"}, AT,
        CLUSTER + 0.046 + IP + KEY + QWEN_SMALL * 0.30 / MONTH + 0.1911 * 1.12,
        CLUSTER + 0.046 + IP + KEY + QWEN_SMALL * 0.30 / MONTH + 0.1911 * 1.12 + 3 * 2.37822 * 1.078 + 4 * 0.1911 * 1.12,
        CLUSTER + 0.046 + IP + KEY + QWEN_SMALL * 0.30 / MONTH + 0.1911 * 1.12 + 4 * 0.1911 * 1.12 + 4 * 8.03728 * 1.078,
    ),
    "a NAT gateway in each zone, and files at 100 MiB/s": (
        "g6e-dev", {"network.nat": "perZone", "storage.efs": {"throughput": "provisioned", "provisionedMibps": 100}}, AT,
        DEV_IDLE + 2 * (NAT + IP) + 600 / MONTH, DEV_IDLE + 2 * (NAT + IP) + 600 / MONTH + 3 * G6E + DEV_FRONTENDS,
        DEV_IDLE + 2 * (NAT + IP) + 600 / MONTH + DEV_FRONTENDS + 4 * 7.57719 * 1.078,
    ),
    "one graph with twelve workers": (
        "g6e-dev", {"graphs.vllm-agg.worker.replicas": 12, "graphs.vllm-disagg-tcp": ABSENT}, AT,
        DEV_IDLE, DEV_IDLE + 12 * G6E + 2 * OPERATORS, DEV_IDLE + 2 * OPERATORS + 13 * 7.57719 * 1.078,
    ),
    "g7e-staging": (
        "g7e-staging", {}, AT, STAGING_IDLE, STAGING_IDLE + 3 * G7E + LARGE_FRONTENDS,
        # Eight GPUs: the dearest for each is g7e.8xlarge.
        STAGING_IDLE + LARGE_FRONTENDS + 8 * 5.26824 * 1.078,
    ),
    "a public load balancer": (
        "g7e-staging",
        {"graphs.vllm-disagg-efa.exposure": {"type": "nlb", "scheme": "public", "allowedCidrs": ["52.95.4.0/24"]}}, AT,
        STAGING_IDLE + 3 * IP, STAGING_IDLE + 3 * IP + 3 * G7E + LARGE_FRONTENDS,
        STAGING_IDLE + 3 * IP + LARGE_FRONTENDS + 8 * 5.26824 * 1.078,
    ),
    "p5-reserved": (
        "p5-reserved", {}, AT, P5_IDLE, P5_IDLE + P5_FEES + LARGE_FRONTENDS,
        # One machine more than the two reserved, in GPUs: eight p5.4xlarge.
        P5_IDLE + P5_FEES + LARGE_FRONTENDS + 8 * 6.88 * 1.048,
    ),
    "gb200-prod": (
        "gb200-prod", {}, AT,
        *[CLUSTER + 3 * (NAT + IP) + ENDPOINTS + KEY + 413.3 * 0.30 / MONTH + OPERATORS] * 3,
    ),
    "gb200-pair": (
        "gb200-pair", {}, AT, *[CLUSTER + 3 * (NAT + IP) + KEY + 440.9 * 0.30 / MONTH + OPERATORS] * 3,
    ),
    "mocker-local": ("mocker-local", {}, AT, 0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_whole_stacks_by_hand(case: str) -> None:
    """A total that leaves something out is found by nobody who reads it."""
    stack, changes, at, *by_hand = WHOLE[case]
    found = costs(stack, changes, at)
    assert [found.usd_per_hour(level) for level in cost_told.LEVELS] == pytest.approx(by_hand, rel=0.01)
    assert found.usd_per_month("idle") == pytest.approx(by_hand[0] * MONTH, rel=0.01)


# --- what must hold --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", STACKS)
def test_the_document_adds_up(stack: str) -> None:
    """A sum that is not the sum of its lines is a number from somewhere."""
    found = costs(stack)
    document = cost_told.as_json(found)
    for level in cost_told.LEVELS:
        lines = [item for item in document["lines"] if item["level"] in ("idle", level)]
        assert document[f"{level}UsdPerHour"] == pytest.approx(sum(item["usdPerHour"] or 0 for item in lines), abs=1e-3)
        assert document[f"{level}UsdPerMonth"] == pytest.approx(
            document[f"{level}UsdPerHour"] * MONTH, rel=1e-3, abs=0.1
        )
    for item in (*document["lines"], *document["uses"]):
        assert item["usdPerUnit"] is None or (item["source"] and item["asOf"] and item["unit"])
        assert item["sort"] != "assumed" or item["assumption"]
    assert document["prepaidUsd"] == pytest.approx(sum(item["usd"] or 0 for item in document["prepaid"]))
    told = "\n".join(cost_told.lines(found))
    for item in found.graphs:
        assert item.graph in told


@pytest.mark.parametrize("stack", ["g6e-dev", "g7e-staging"])
def test_graphs_pay_for_their_nodes(stack: str) -> None:
    """Where no GPU is idle the graphs' costs are those of the pool's machines, no more and no less."""
    found = costs(stack)
    nodes = sum(
        line.usd_per_hour for line in found.lines if line.level == "configured" and line.subject.startswith("NodePool")
    )
    assert sum(item.usd_per_hour or 0 for item in found.graphs) == pytest.approx(nodes)


def test_a_graph_on_a_rack_pays_its_gpus() -> None:
    (item,) = costs("gb200-prod").graphs
    assert item.usd_per_hour == pytest.approx(761.904) and item.usd_per_gpu_hour == pytest.approx(10.582)
    assert item.paid == "prepaid"
    (pair,) = costs("gb200-pair").graphs
    assert pair.gpus == 64 and pair.usd_per_gpu_hour == pytest.approx(10.582)
    (stated,) = costs("gb200-prod", {"capacity.ultraServers.rack-a.upfrontFeeUsd": 100_000}).graphs
    assert stated.usd_per_hour == pytest.approx(100_000 / 168)


def test_what_was_reserved_is_paid_without_a_graph() -> None:
    """Who deletes the graphs of a reservation saves the fee of Auto Mode, and nothing else."""
    found = costs("p5-reserved")
    reserved = next(line for line in found.lines if line.what == "reserved p5.48xlarge, used or not")
    assert reserved.level == "idle" and reserved.usd_per_hour == pytest.approx(2 * 55.04)
    by_graph = {item.graph: item for item in found.graphs}
    assert by_graph["dynamo/vllm-disagg-p5"].paid == "reserved" and by_graph["dynamo/trtllm-block"].paid == "prepaid"
    there = {
        "id": "cr-0123456789abcdef0",
        "kind": "onDemand",
        "instanceType": "p5.48xlarge",
        "zone": "usw2-az2",
        "count": 2,
    }
    elsewhere = costs("p5-reserved", {"capacity.pools.reserved.reservations": [there]})
    assert elsewhere.usd_per_hour("idle") == pytest.approx(found.usd_per_hour("idle"))
    assert any("made elsewhere" in line.what for line in elsewhere.lines)


def test_spot_is_told_beside_on_demand() -> None:
    found = costs("g6e-dev")
    # Nobody has published a share for g6e.2xlarge: 40 % is assumed. The fee is not reduced.
    assert found.spot_saves == pytest.approx(3 * 2.24208 * 0.6)
    assert found.graphs[0].usd_per_hour_spot == pytest.approx(2.24208 * 0.4 + 2.24208 * 0.078)
    assert costs("g7e-staging").spot_saves == 0
    assert any("spot" in text for text in cost_told.assumptions(found))


def test_tokens() -> None:
    """2,500 tokens a second are 9 million an hour."""
    (item,) = [
        one for one in costs("g6e-dev", {"graphs.vllm-agg.tokensPerSecond": 2500}).graphs if one.tokens_per_second
    ]
    assert item.usd_per_million_tokens == pytest.approx(2.41696 / 9, rel=1e-4)
    assert "/M tokens" in cost_told.graph_words(item)
    assert all(one.usd_per_million_tokens is None for one in costs("g6e-dev").graphs)


def test_use_is_in_no_sum() -> None:
    """How often a model is read is not known beforehand: merged into a total it would be believed."""
    found = costs("gb200-prod")
    reads = {item.what: item.usd for item in found.uses if "read from EFS" in item.what}
    assert [round(usd, 1) for usd in reads.values()] == [124.0, 99.2]
    assert {"10 nodes" in what or "8 nodes" in what for what in reads} == {True}
    assert not any("read" in line.what for line in found.lines)
    bursting = costs("g6e-dev", {"storage.efs": {"throughput": "bursting"}})
    assert not any("read from EFS" in item.what for item in bursting.uses)


def test_what_has_no_price_is_named() -> None:
    """A total without the machines that nobody has a price for looks like a bargain."""
    found = costs(
        "g6e-dev",
        {
            "capacity.pools.gpu.families": ["p5e"],
            "graphs": {
                "big": {
                    "model": "qwen3-0-6b", "backend": "vllm", "transport": "none", "worker": {"gpus": 8, "tensorParallel": 8},
                    "placement": {"pool": "gpu", "instanceType": "p5e.48xlarge"},
                }
            },
            "aws:region": "us-east-2",
        },
    )  # fmt: skip
    assert any("p5e.48xlarge" in text for text in found.unknown)
    assert cost_told.headline(found).startswith("at least ")
    (item,) = found.graphs
    assert item.usd_per_hour is None and cost_told.graph_words(item) == "price not known"


def test_an_old_table_says_so() -> None:
    late = datetime(2027, 8, 1, tzinfo=UTC)
    found = costs("mocker-local", at=late)
    assert found.stale_days == 0
    dev = costs("g6e-dev", {"cluster.version": "1.36"}, late)
    assert dev.stale_days == (late.date() - table.collected()).days > table.OLD_AFTER_DAYS
    assert any("make prices" in text for text in cost_told.assumptions(dev))
    assert "make prices" not in "\n".join(cost_told.assumptions(costs("g6e-dev")))


def test_a_quote_after_its_review_says_so() -> None:
    (rack,) = costs("gb200-prod").prepaid
    assert "reviews in January 2027" in rack.quoted and "has been since" not in rack.quoted


def test_words_of_a_graph() -> None:
    item = GraphCost(graph="a/b", gpus=2, usd_per_hour=10, usd_per_hour_spot=4, paid="hourly", tokens_per_second=1000)
    assert cost_told.graph_words(item) == "$10.00/h ($4.00 on spot), $5.00/GPU-h, $2.78/M tokens"
    alone = dataclasses.replace(item, gpus=1, usd_per_hour_spot=None, tokens_per_second=None, paid="prepaid")
    assert cost_told.graph_words(alone) == "$10.00/h, prepaid"
