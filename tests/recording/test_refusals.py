"""What AWS refuses to change, case by case, and that nothing the program sets was left unread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest

from recording.aws_types import CARDS
from recording.aws_types.card import Card
from recording.aws_types.refusing import Edit, Refusal
from recording.graph import UNKNOWN
from tests.conftest import STACKS, recorded

AT = datetime(2026, 12, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GROUP, NAT = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/natGateway:NatGateway"
ZONES = {"subnet-a": "use1-az1", "subnet-b": "use1-az2", "subnet-b2": "use1-az2", "subnet-c": "use1-az4"}
RUNS = (AT - DAY, AT + DAY)

AUTO = {
    "computeConfig": {"enabled": True},
    "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
    "storageConfig": {"blockStorage": {"enabled": True}},
}


def edit(before: Mapping[str, Any], after: Mapping[str, Any], **more: Any) -> Edit:
    return Edit(before=before, after=after, **{"at": AT, **more})


def _version(before: str, after: str, **more: Any) -> Edit:
    return edit({"version": before}, {"version": after}, **more)


def _mode(before: str, after: str) -> Edit:
    return edit(*({"accessConfig": {"authenticationMode": item}} for item in (before, after)))


def _key(before: str | None, after: str | None) -> Edit:
    return edit(*({"encryptionConfig": {"provider": {"keyArn": item}}} if item else {} for item in (before, after)))


def _subnets(before: list[str], after: list[str]) -> Edit:
    return edit(*({"vpcConfig": {"subnetIds": item}} for item in (before, after)), zones=ZONES)


def _support(version: str, before: str, after: str) -> Edit:
    sides = ({"version": version, "upgradePolicy": {"supportType": item}} for item in (before, after))
    return edit(*sides)


def _rack(before: Mapping[str, Any], after: Mapping[str, Any], *, size: int = 9, **more: Any) -> Edit:
    sizes = {"scalingConfig": {"desiredSize": size}}
    return edit({**before, **sizes}, {**after, **sizes}, **{"block": RUNS, **more})


def _scaled(least: int, wanted: int, most: int) -> Edit:
    before = {"minSize": 0, "desiredSize": 1, "maxSize": 9}
    after = {"minSize": least, "desiredSize": wanted, "maxSize": most}
    return edit({"scalingConfig": before}, {"scalingConfig": after})


def _efs(before: tuple[str, int | None], after: tuple[str, int | None], hours: float | None) -> Edit:
    sides = [
        {"throughputMode": mode, **({"provisionedThroughputInMibps": amount} if amount else {})}
        for mode, amount in (before, after)
    ]
    return edit(*sides, changed=None if hours is None else AT - timedelta(hours=hours))


CASES: dict[str, tuple[list[Edit], list[Edit]]] = {
    "kubernetes-skips-a-minor": (
        [_version("1.34", "1.36")],
        [_version("1.34", "1.35"), _version("1.35", "1.35"), _version("1.34", UNKNOWN)],
    ),
    "kubernetes-falls-far": ([_version("1.36", "1.34")], [_version("1.36", "1.35"), _version("1.34", "1.35")]),
    "kubernetes-falls": (
        [
            _version("1.36", "1.35"),
            _version("1.36", "1.35", changed=AT - 8 * DAY, created=AT - 90 * DAY),
            # Nothing was changed since it was made: it was made with this version.
            _version("1.36", "1.35", changed=AT - DAY, created=AT - DAY),
            _version(
                "1.36", "1.35", changed=AT - DAY, created=AT - 90 * DAY, beside={GROUP: [{"version": "1.36"}]}
            ),
        ],
        [
            _version("1.36", "1.35", changed=AT - DAY, created=AT - 90 * DAY),
            _version(
                "1.36", "1.35", changed=AT - DAY, created=AT - 90 * DAY, beside={GROUP: [{"version": "1.35"}]}
            ),
            _version("1.35", "1.36"),
        ],
    ),
    "kubernetes-before-its-nodes": (
        [_version("1.35", "1.36", beside={GROUP: [{"version": "1.35"}, {"version": "1.34"}]})],
        [_version("1.35", "1.36", beside={GROUP: [{"version": "1.35"}]}), _version("1.35", "1.36")],
    ),
    "authentication-mode": (
        [_mode("API", "CONFIG_MAP"), _mode("API", "API_AND_CONFIG_MAP"), _mode("CONFIG_MAP", "API")],
        [_mode("CONFIG_MAP", "API_AND_CONFIG_MAP"), _mode("API_AND_CONFIG_MAP", "API"), _mode("API", "API")],
    ),
    "auto-mode-in-part": (
        [edit(AUTO, {**AUTO, "storageConfig": {"blockStorage": {"enabled": False}}}), edit(AUTO, {"computeConfig": {"enabled": True}})],
        [edit(AUTO, AUTO), edit(AUTO, {})],
    ),
    "secrets-key": ([_key("a", "b")], [_key(None, "a"), _key("a", "a"), _key("a", UNKNOWN), _key("a", None)]),
    "cluster-zones": (
        [_subnets(["subnet-a", "subnet-b"], ["subnet-a", "subnet-b", "subnet-c"]), _subnets(["subnet-a", "subnet-b"], ["subnet-a"])],
        [
            _subnets(["subnet-a", "subnet-b"], ["subnet-a", "subnet-b2"]),
            _subnets(["subnet-a", "subnet-b"], ["subnet-a", "subnet-b", "subnet-b2"]),
            _subnets(["subnet-a", "subnet-b"], ["subnet-a", "subnet-of-nobody"]),
        ],
    ),
    "extended-support": (
        [_support("1.34", "EXTENDED", "STANDARD")],
        [_support("1.35", "EXTENDED", "STANDARD"), _support("1.34", "STANDARD", "EXTENDED"), _support("1.36", "EXTENDED", "STANDARD")],
    ),
    "deletion-protection": (
        [edit({"deletionProtection": True}, {}, gone=True)],
        [edit({"deletionProtection": False}, {}, gone=True), edit({}, {}, gone=True)],
    ),
    "rack-runs": (
        [
            _rack({"releaseVersion": "1.35.2-20261001"}, {"releaseVersion": "1.35.2-20261101"}),
            _rack({"version": "1.34"}, {"version": "1.35"}),
            _rack({}, {}, template=True),
        ],
        [
            _rack({}, {}, template=True, size=0),
            _rack({}, {}, template=True, block=None),
            _rack({}, {}, template=True, block=(AT + DAY, AT + 2 * DAY)),
            _rack({}, {}, template=True, block=(AT - 2 * DAY, AT)),
            _rack({"labels": {"a": "1"}}, {"labels": {"a": "2"}}),
        ],
    ),
    "node-version-falls": ([_version("1.35", "1.34")], [_version("1.34", "1.35"), _version("1.35", "1.35")]),
    "node-release-falls": (
        [edit({"releaseVersion": "1.35.2-20261101"}, {"releaseVersion": "1.35.2-20261001"}),
         edit({"releaseVersion": "1.35.10-20261101"}, {"releaseVersion": "1.35.9-20261101"})],
        [
            edit({"releaseVersion": "1.35.9-20261001"}, {"releaseVersion": "1.35.10-20261001"}),
            edit({"releaseVersion": "1.35.2-20261101"}, {"releaseVersion": "latest"}),
            edit({"releaseVersion": "1.35.2-20261101"}, {}),
        ],
    ),
    "node-group-least": ([_scaled(2, 1, 9)], [_scaled(1, 1, 9), _scaled(0, 0, 18)]),
    "node-group-most": ([_scaled(0, 10, 9)], [_scaled(0, 9, 9)]),
    "reservation-leaps": (
        [edit({"instanceCount": 2}, {"instanceCount": 1003}), edit({"instanceCount": 1003}, {"instanceCount": 2})],
        [edit({"instanceCount": 2}, {"instanceCount": 1002})],
    ),
    "reservation-ends-in-the-past": (
        [edit({"endDate": "2026-12-10T00:00:00Z"}, {"endDate": "2026-12-01T00:00:00Z"})],
        [
            edit({"endDate": "2026-12-10T00:00:00Z"}, {"endDate": "2026-12-20T00:00:00Z"}),
            edit({"endDate": "2026-12-01T00:00:00Z"}, {"endDate": "2026-12-01T00:00:00Z"}),
            edit({"endDate": "2026-12-10T00:00:00Z"}, {}),
        ],
    ),
    "reservation-without-end": (
        [edit({"endDateType": "unlimited"}, {"endDateType": "limited"})],
        [edit({"endDateType": "unlimited"}, {"endDateType": "limited", "endDate": "2026-12-20T00:00:00Z"}),
         edit({"endDateType": "limited", "endDate": "2026-12-20T00:00:00Z"}, {"endDateType": "unlimited"})],
    ),
    "schedule-in-the-past": (
        [edit({"startTime": "2026-12-08T10:00:00Z"}, {"startTime": "2026-12-03T11:59:00Z"})],
        [edit({"startTime": "2026-12-08T10:00:00Z"}, {"startTime": "2026-12-08T09:00:00Z"}),
         edit({"startTime": "2026-12-01T10:00:00Z"}, {"startTime": "2026-12-01T10:00:00Z"})],
    ),
    "throughput-lowered-again": (
        [
            _efs(("provisioned", 256), ("provisioned", 128), 23),
            _efs(("provisioned", 256), ("elastic", None), 1),
        ],
        [
            _efs(("provisioned", 256), ("provisioned", 128), 25),
            _efs(("provisioned", 256), ("provisioned", 128), None),
            _efs(("provisioned", 256), ("provisioned", 512), 1),
            _efs(("elastic", None), ("provisioned", 128), 1),
            _efs(("elastic", None), ("bursting", None), 1),
        ],
    ),
    "throughput-without-amount": (
        [_efs(("elastic", None), ("provisioned", None), None)],
        [_efs(("elastic", None), ("provisioned", 128), None), _efs(("provisioned", 128), ("elastic", None), None)],
    ),
    "rotation-of-another-key": (
        [edit({"customerMasterKeySpec": "RSA_2048"}, {"customerMasterKeySpec": "RSA_2048", "enableKeyRotation": True})],
        [edit({}, {"enableKeyRotation": True}), edit({"enableKeyRotation": True}, {"enableKeyRotation": False})],
    ),
    "hostnames-without-dns": (
        [edit({"enableDnsSupport": True, "enableDnsHostnames": True}, {"enableDnsSupport": False, "enableDnsHostnames": True})],
        [edit({"enableDnsSupport": True, "enableDnsHostnames": True}, {"enableDnsSupport": False, "enableDnsHostnames": False}),
         edit({"enableDnsSupport": True}, {"enableDnsSupport": True, "enableDnsHostnames": True})],
    ),
    "gateway-with-addresses": (
        [edit({"vpcId": "vpc-1"}, {"vpcId": "vpc-2"}, beside={NAT: [{}]})],
        [edit({"vpcId": "vpc-1"}, {"vpcId": "vpc-2"}), edit({"vpcId": "vpc-1"}, {"vpcId": "vpc-1"}, beside={NAT: [{}]})],
    ),
    "endpoint-twice-in-a-zone": (
        [edit({"subnetIds": ["subnet-a", "subnet-b"]}, {"subnetIds": ["subnet-a", "subnet-b", "subnet-b2"]}, zones=ZONES)],
        [edit({"subnetIds": ["subnet-a"]}, {"subnetIds": ["subnet-a", "subnet-b"]}, zones=ZONES),
         edit({"subnetIds": ["subnet-a"]}, {"subnetIds": ["subnet-a", "subnet-new", "subnet-newer"]}, zones=ZONES)],
    ),
    "opt-out": (
        [edit({"optInStatus": "opted-in"}, {"optInStatus": "not-opted-in"})],
        [edit({"optInStatus": "not-opted-in"}, {"optInStatus": "opted-in"})],
    ),
}  # fmt: skip
"""By the refusal's id: edits that are refused, and edits like them that are not."""

REFUSALS = {refusal.id: (card, refusal) for card in CARDS.values() for refusal in card.refuses}


def test_every_refusal_has_its_cases() -> None:
    assert CASES.keys() == REFUSALS.keys()
    assert len(REFUSALS) == sum(len(card.refuses) for card in CARDS.values()), "two have one id"


@pytest.mark.parametrize("id_", CASES)
def test_what_is_refused_and_what_is_not(id_: str) -> None:
    """A false refusal holds up work, and one that is missed fails in the middle of an `up`."""
    refused, carried_out = CASES[id_]
    refusal = REFUSALS[id_][1]
    assert [refusal.refused(item) for item in refused] == [True] * len(refused)
    assert [refusal.refused(item) for item in carried_out] == [False] * len(carried_out)
    # The moment decides of some, and must not fail for want of a fact.
    for item in (*refused, *carried_out):
        refusal.refused(replace(item, before={}, after={}))
        refusal.refused(replace(item, after={}))


@pytest.mark.parametrize(("card", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_words_and_sources(card: Card, refusal: Refusal) -> None:
    """A refusal that nobody can look up is an opinion."""
    assert any(mark in refusal.source for mark in ("#", "User Guide", "botocore", "internal/service/"))
    assert "{" not in refusal.words.format(before="a", after="b")
    assert refusal.instead and not refusal.instead.endswith(".")
    if not refusal.gone:
        top = refusal.property.split(".")[0]
        assert top in card.changes or top in {item.split(".")[0] for item in card.replaced.properties}


@pytest.mark.parametrize("stack", STACKS)
def test_every_property_is_replaced_or_changed_by_a_call(stack: str) -> None:
    """A property of which nobody read what changing it does is one that an edit finds out about."""
    unread = {
        f"{node.type} {key}"
        for node in recorded(stack)
        if (card := CARDS.get(node.type)) is not None
        for key in node.inputs
        if key not in ("tags", "tagsAll")
        and key not in card.changes
        and not any(item.split(".")[0] == key for item in card.replaced.properties)
    }
    assert unread == set()


def test_the_calls_exist() -> None:
    services = botocore.session.get_session()
    for card in CARDS.values():
        known = services.get_service_model(card.call.service).operation_names
        assert {call for call in card.changes.values() if call} <= set(known), card.type


@pytest.mark.parametrize(
    ("type_", "before", "after", "replaced"),
    [
        # An association with a key cannot be undone; another key is not even sent.
        ("aws:eks/cluster:Cluster", {"encryptionConfig": {"provider": {}}}, {}, {"encryptionConfig"}),
        ("aws:eks/cluster:Cluster", {"encryptionConfig": {"a": 1}}, {"encryptionConfig": {"a": 2}}, set()),
        ("aws:eks/cluster:Cluster", {}, {"encryptionConfig": {"a": 2}}, set()),
        *(
            (f"aws:vpc/securityGroup{side}Rule:SecurityGroup{side}Rule", *case)
            for side in ("Ingress", "Egress")
            for case in (
                ({"cidrIpv4": "10.0.0.0/8"}, {"cidrIpv4": "10.1.0.0/16"}, set()),
                (
                    {"cidrIpv4": "10.0.0.0/8"},
                    {"referencedSecurityGroupId": "sg-1"},
                    {"cidrIpv4", "referencedSecurityGroupId"},
                ),
                ({"cidrIpv4": "10.0.0.0/8"}, {"prefixListId": "pl-1"}, {"cidrIpv4", "prefixListId"}),
            )
        ),
        (
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            {"vpcEndpointType": "Interface", "privateDnsEnabled": True},
            {"vpcEndpointType": "Interface", "privateDnsEnabled": False},
            set(),
        ),
        (
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            {"vpcEndpointType": "Resource", "privateDnsEnabled": True},
            {"vpcEndpointType": "Resource", "privateDnsEnabled": False},
            {"privateDnsEnabled"},
        ),
    ],
)
def test_replacements_that_the_provider_decides_case_by_case(
    type_: str, before: Mapping[str, Any], after: Mapping[str, Any], replaced: set[str]
) -> None:
    """By the provider's CustomizeDiff and ModifyPlan, read 2026-11-27."""
    table = CARDS[type_].replaced
    assert table.by(before, after) - table.properties == replaced


def test_endpoints_are_replaced_by_what_lattice_fixes() -> None:
    fixed = CARDS["aws:ec2/vpcEndpoint:VpcEndpoint"].replaced.properties
    assert {"serviceNetworkArn", "dnsOptions.privateDnsPreference", "dnsOptions.privateDnsSpecifiedDomains"} <= fixed
