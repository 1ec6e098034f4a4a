"""Values that AWS refuses are refused here, and their good neighbours are not."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import aws_values
from components.aws_values import NOT_PUBLIC, internet_share, is_open, partition, principal_arn, public_cidr, tag_text
from components.gpu import dra_driver, gpu_operator
from components.network.zones import REGION_ZONES
from components.scheduling import gang_scheduler
from stacks import stackfile
from stacks.checks.dynamo import OWNED_NAMESPACES
from stacks.settings import Settings, SettingsError
from tests.conftest import AT
from tests.stacks.edited import told


@pytest.mark.parametrize("reserved", NOT_PUBLIC)
def test_nobody_comes_from_a_reserved_range(reserved: str) -> None:
    """EKS refuses it when the VPC, its NAT gateways and the file system are made already."""
    network = ipaddress.IPv4Network(reserved)
    for inside in (reserved, f"{network[0]}/32", f"{network[-1]}/32"):
        if inside != "192.0.2.1/32":
            with pytest.raises(ValueError, match="a public range"):
                public_cidr(inside)


@given(st.integers(0, 2**32 - 1))
def test_the_table_agrees_with_the_registry(address: int) -> None:
    """Python's own table of IANA's registry; it calls multicast global, and two anycast addresses within 192.0.0.0/24."""
    one = ipaddress.IPv4Address(address)
    listed = any(one in ipaddress.ip_network(item) for item in NOT_PUBLIC)
    if (
        not one.is_multicast
        and one not in ipaddress.ip_network("192.0.0.0/24")
        and one not in ipaddress.ip_network("192.88.99.0/24")
    ):
        assert listed == (not one.is_global)


@pytest.mark.parametrize(
    "good", ["0.0.0.0/0", "8.0.0.0/6", "52.95.4.7/32", "172.32.0.0/16", "100.128.0.0/16", "11.0.0.0/8"]
)
def test_public_ranges_pass(good: str) -> None:
    assert public_cidr(good) == good


@pytest.mark.parametrize(
    ("ranges", "share", "wide"),
    [
        (["0.0.0.0/0"], 1.0, True),
        (["0.0.0.0/1", "128.0.0.0/1"], 1.0, True),
        (["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"], 1.0, True),
        (["0.0.0.0/1", "0.0.0.0/2"], 0.5, True),
        (["0.0.0.0/2", "64.0.0.0/3"], 0.375, False),
        (["52.95.4.0/24"] * 3, 2**8 / 2**32, False),
        ([], 0.0, False),
    ],
)
def test_the_internet_in_parts_is_the_internet(ranges: list[str], share: float, wide: bool) -> None:
    """Two /1 on an endpoint or a load balancer: open to everybody, without the override that says so."""
    assert internet_share(ranges) == share and is_open(ranges) is wide


GOOD = [
    "arn:aws:iam::111122223333:role/platform",
    "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef",
    "arn:aws:iam::111122223333:user/some.body@example.com",
    "arn:aws-us-gov:iam::111122223333:role/" + "r" * 64,
]
BAD = [
    "arn:aws:iam::111122223333:role/my role",
    "arn:aws:iam::111122223333:role/*",
    "arn:aws:iam::111122223333:role/platform/",
    "arn:aws:iam::111122223333:role/" + "r" * 65,
    "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS",
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::111122223333:group/admins",
    "arn:aws:sts::111122223333:assumed-role/platform/me",
    "arn:aws:iam::11112222333:role/platform",
    "arn:aws:iam::111122223333:role/plätform",
    "arn:aws:iam::111122223333:role//",
    "platform",
    "",
]


@pytest.mark.parametrize("arn", GOOD)
def test_principals_pass(arn: str) -> None:
    assert principal_arn(arn) == arn


@pytest.mark.parametrize("arn", BAD)
def test_no_principal(arn: str) -> None:
    """EKS says "invalid principal" when the cluster has been up for ten minutes."""
    with pytest.raises(ValueError):
        principal_arn(arn)


def test_each_region_has_its_partition() -> None:
    assert {partition(region) for region in REGION_ZONES if not region.startswith(("us-gov", "cn-", "us-iso"))} == {
        "aws"
    }
    assert partition("us-gov-west-1") == "aws-us-gov" and partition("cn-north-1") == "aws-cn"


@pytest.mark.parametrize("text", ["team", "Größe", "a b", "x_.:/=+-@9", "日本", ""])
def test_tag_texts_pass(text: str) -> None:
    assert tag_text(text) == text


@pytest.mark.parametrize("text", ["R&D", "ml#1, (gpu)", "🚀", "a\nb", "cost*center", "a\tb", "a;b", "50%"])
def test_no_tag_text(text: str) -> None:
    """Every role of the stack fails by it, and the VPC is made by then."""
    with pytest.raises(ValueError, match="letters, digits, spaces"):
        tag_text(text)


def test_namespaces_of_the_stacks_own_parts_are_known() -> None:
    ours = {dra_driver.NAMESPACE, gpu_operator.NAMESPACE, gang_scheduler.KAI_NAMESPACE, gang_scheduler.GROVE_NAMESPACE}
    assert ours <= OWNED_NAMESPACES


POOL, CHAT, FRONT = "capacity.pools.gpu", "graphs.chat", "graphs.chat.frontend"
ROLE = "arn:aws:iam::111122223333:role/"
REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a private range", {"cluster.publicAccessCidrs": ["10.0.0.0/8"]}, ["cluster.publicAccessCidrs[0]"]),
    ("41 ranges", {"cluster.publicAccessCidrs": [f"52.95.{i}.0/24" for i in range(41)]}, ["cluster.publicAccessCidrs"]),
    ("a range twice", {"cluster.publicAccessCidrs": ["52.95.4.0/24"] * 2}, ["cluster.publicAccessCidrs"]),
    ("two halves", {"cluster.publicAccessCidrs": ["0.0.0.0/1", "128.0.0.0/1"]}, ["cluster.publicAccessCidrs"]),
    ("an admin twice", {"cluster.admins": [ROLE + "a", ROLE + "a"]}, ["cluster.admins"]),
    ("one name on two paths", {"cluster.admins": [ROLE + "a", ROLE + "x/a"]}, ["cluster.admins[1]"]),
    ("an admin of China", {"cluster.admins": ["arn:aws-cn:iam::111122223333:role/a"]}, ["cluster.admins[0]"]),
    ("a log twice", {"cluster.logs": ["api", "api"]}, ["cluster.logs"]),
    ("an endpoint twice", {"network.interfaceEndpoints": ["sts", "sts"]}, ["network.interfaceEndpoints"]),
    ("a cache twice", {"storage.caches": ["model-cache", "compilation-cache", "model-cache"]}, ["storage.caches"]),
    ("a family twice", {POOL + ".families": ["g6e", "g6e"]}, [POOL + ".families"]),
    ("a tag with &", {"tags": {"department": "R&D"}}, ["tags.department"]),
    ("tags that differ by case", {"tags": {"Team": "a", "team": "b"}}, ["tags.Team", "tags.team"]),
    ("a disk too fast for its IOPS", {POOL + ".ephemeralStorage": {"throughputMibps": 1000}}, [POOL + ".ephemeralStorage.throughputMibps"]),
    ("a disk too small for its IOPS", {POOL + ".ephemeralStorage": {"sizeGib": 20, "iops": 16000}}, [POOL + ".ephemeralStorage.iops"]),
    ("nodes that go at once", {POOL + ".expireAfter": "0s"}, [POOL + ".expireAfter"]),
    ("nodes that go within the hour", {POOL + ".expireAfter": "1h"}, [POOL + ".expireAfter"]),
    ("a cache beyond any volume", {"storage.cacheSizeGib": 10**30}, ["storage.cacheSizeGib"]),
    ("no name to ask for", {CHAT + ".servedModelName": ""}, [CHAT + ".servedModelName"]),
    ("an image by URL", {CHAT + ".image": {"repository": "HTTP://x y", "tag": "1.5.0"}}, [CHAT + ".image.repository"]),
    ("a frontend without a core", {FRONT + ".cpu": "0"}, [FRONT + ".cpu"]),
    ("a frontend for no machine", {FRONT + ".cpu": "1000", FRONT + ".memory": "8Ti"}, [FRONT + ".cpu", FRONT + ".memory"]),
    *((f"namespace {name}", {CHAT + ".namespace": name}, [CHAT + ".namespace"])
      for name in ("default", "kube-system", "kube-public", "kube-anything", "karpenter", "gpu-operator", "grove-system")),
    ("the operator in kube-system", {"dynamo.namespace": "kube-system"}, ["dynamo.namespace"]),
]  # fmt: skip

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("40 ranges", {"cluster.publicAccessCidrs": [f"52.95.{i}.0/24" for i in range(40)]}),
    ("less than half", {"cluster.publicAccessCidrs": ["64.0.0.0/2", "128.0.0.0/3"]}),
    ("the internet, as meant", {"cluster.publicAccessCidrs": ["0.0.0.0/1", "128.0.0.0/1"], "cluster.allowOpenEndpoint": True}),
    ("two admins", {"cluster.admins": [ROLE + "a", ROLE + "b"]}),
    ("a role and a user of one name", {"cluster.admins": [ROLE + "a", "arn:aws:iam::111122223333:user/a"]}),
    ("a disk just fast enough", {POOL + ".ephemeralStorage": {"throughputMibps": 750}}),
    ("a disk just large enough", {POOL + ".ephemeralStorage": {"sizeGib": 32, "iops": 16000}}),
    ("nodes of four hours", {POOL + ".expireAfter": "4h"}),
    ("the largest volume", {"storage.cacheSizeGib": 65536}),
    ("an image of one's own", {CHAT + ".image": {"repository": "registry.example.com:5000/team/vllm_x", "tag": "1.5.0"}}),
    ("an image by digest", {CHAT + ".image": {"repository": "team/vllm", "tag": "1.5.0@sha256:" + "a" * 64}}),
    ("a large frontend", {FRONT + ".cpu": "191", FRONT + ".memory": "1418Gi"}),
    ("a flag with a word twice", {CHAT + ".worker.extraArgs": ["--tokenizer", "x", "--hf-config-path", "x"]}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "keys"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(changes: dict[str, Any], keys: list[str]) -> None:
    """Each passed the plan and failed on a real account, most of them after other things were made."""
    assert [line.split(" | ")[0] for line in told("ordinary", changes)] == keys


@pytest.mark.parametrize("changes", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted(changes: dict[str, Any]) -> None:
    """A check that refuses the good neighbour sends people to switch it off."""
    assert told("ordinary", changes) == []


def test_a_block_of_another_century() -> None:
    """A typing error in a year plans a drain that never comes."""
    file = stackfile.read("p5-reserved")
    for start, end, key in (
        ("2026-12-01T11:30:00Z", "2036-12-15T11:30:00Z", "end"),
        (None, "9999-12-15T11:30:00Z", "end"),
    ):
        capacity = copy.deepcopy(file.config["dynamo-eks:capacity"])
        capacity["pools"]["block"]["reservations"][0] |= {"start": start, "end": end}
        with pytest.raises(SettingsError) as error:
            Settings.parse("p5", {**file.config, "dynamo-eks:capacity": capacity}, at=AT)
        assert [fault.key for fault in error.value.faults] == [f"capacity.pools.block.reservations[0].{key}"]
    assert aws_values.MOST_PUBLIC_CIDRS == 40
