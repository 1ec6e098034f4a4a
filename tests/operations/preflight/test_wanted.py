"""What a stack asks for, read from its settings and its recorded graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from components import catalog
from operations.preflight.registries import Chart
from operations.preflight.wanted import Wanted, wanted
from stacks import stackfile
from stacks.settings import Settings
from tests.conftest import AT, STACKS, recorded
from tests.operations.preflight.account import good
from tests.stacks.edited import ABSENT


@cache
def needs(stack: str) -> Wanted:
    """Of a shipped stack."""
    file = stackfile.read(stack)
    return wanted(Settings.parse(stack, file.config, frozenset(file.secret_keys), AT), recorded(stack))


@pytest.mark.parametrize("stack", STACKS)
def test_every_shipped_stack(stack: str) -> None:
    """What a stack deploys is asked for: an image, a chart, a model, and with AWS the rest."""
    found = needs(stack)
    assert catalog.PYTHON_IMAGE in found.images and len(found.images) >= 3 and found.models
    assert Chart("dynamo-platform", "1.5.0", "https://helm.ngc.nvidia.com/nvidia/ai-dynamo") in found.charts
    assert found.aws == (stack != "mocker-local")
    if found.aws:
        assert found.kubernetes == "1.35" and found.counts and found.vcpus and found.types
        assert ("aws-efs-csi-driver", catalog.EFS_CSI_ADDON) in found.addons
    else:
        assert (found.kubeconfig, found.context) == ("~/.kube/config", "kind-dynamo")
        assert not (found.counts or found.vcpus or found.types or found.accounts)


def test_racks() -> None:
    found = needs("gb200-pair")
    assert [(item.key, item.id, item.count, item.ultra_server) for item in found.reservations] == [
        ("capacity.ultraServers.rack-a", found.reservations[0].id, 9, "u-p6e-gb200x36"),
        ("capacity.ultraServers.rack-b", found.reservations[1].id, 9, "u-p6e-gb200x36"),
    ]
    assert found.local_zones == ("use1-dfw2-az1",) and found.opts_in
    assert found.amis == (("AL2023_ARM_64_NVIDIA", "1.35", catalog.AMI_RELEASES["1.35"]),)
    assert {"vpc-cni", "coredns"} <= {name for name, _ in found.addons}
    assert found.files == (catalog.MPI_OPERATOR_MANIFEST,)
    assert {chart.reference for chart in found.charts} >= {
        catalog.KAI_REFERENCE,
        catalog.GROVE_REFERENCE,
        "gpu-operator",
    }
    assert any("nccl-tests" in image for image in found.images)


def test_reservations() -> None:
    """A reservation that the program makes is none that could be looked at; its machines count as on demand."""
    found = needs("p5-reserved")
    assert [item.key for item in found.reservations] == ["capacity.pools.block.reservations[0]"]
    assert not found.token_in_cluster and good("ordinary", {"dynamo.huggingFaceSecret": "hf"}).needs.token_in_cluster
    assert {tuple(item.options): item.vcpu for item in found.vcpus if "P" in str(item.options)} == {
        ("on-demand",): 2 * 192
    }


ON_DEMAND, BOTH = ("on-demand",), ("on-demand", "spot")

VCPUS: list[tuple[str, Mapping[str, Any], dict[str, tuple[tuple[str, ...], int]]]] = [
    # name, changes, what is asked by what: options and vCPUs
    ("one node", {}, {"pool gpu": (ON_DEMAND, 8)}),
    ("three replicas", {"graphs.chat.worker.replicas": 3}, {"pool gpu": (ON_DEMAND, 24)}),
    ("two workers to a node", {"graphs.chat.worker": {"gpus": 2, "tensorParallel": 2, "replicas": 3}, "graphs.chat.placement.instanceType": "g6e.12xlarge"},
     {"pool gpu": (ON_DEMAND, 96)}),
    ("spot first", {"capacity.pools.gpu.capacity": ["spot", "on-demand"]}, {"pool gpu": (BOTH, 8)}),
    ("a pool without graphs", {"capacity.pools.more": {"families": ["g5"], "capacity": ["on-demand"], "gpuLimit": 1}}, {"pool gpu": (ON_DEMAND, 8)}),
    ("a reservation and its fallback", {
        "capacity.pools.gpu": {"families": ["g6e"], "capacity": ["reserved", "on-demand"], "reservations": [
            {"id": "cr-0a1b2c3d4e5f60718", "kind": "onDemand", "instanceType": "g6e.2xlarge", "zone": "use1-az1", "count": 1}]},
        "graphs.chat.worker.replicas": 3}, {"pool gpu": (ON_DEMAND, 16)}),
    ("a reservation to make", {
        "capacity.pools.gpu": {"families": ["g6e"], "capacity": ["reserved", "on-demand"], "reservations": [
            {"create": True, "kind": "onDemand", "instanceType": "g6e.2xlarge", "zone": "use1-az1", "count": 2}]}},
     {"reservation of pool gpu": (ON_DEMAND, 16)}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "asked"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in VCPUS])
def test_vcpus(changes: Mapping[str, Any], asked: dict[str, tuple[tuple[str, ...], int]]) -> None:
    """A number that is too small lets the first node wait for ever; one that is too large asks AWS for what nobody needs."""
    found = {item.what: (tuple(sorted(item.options)), item.vcpu) for item in good("ordinary", changes).needs.vcpus}
    # The frontend's 4 and 4 for the platform.
    assert found.pop("nodes without GPUs") == (ON_DEMAND, 8)
    assert found == asked


@pytest.mark.parametrize(
    ("changes", "vcpu"),
    [
        ({"graphs.chat.frontend": {"replicas": 3, "cpu": "2"}}, 10),
        ({"graphs.chat.frontend": {"cpu": "500m"}}, 5),
        (
            {
                "graphs.chat": {
                    "model": "qwen",
                    "backend": "mocker",
                    "transport": "none",
                    "worker": {"gpus": 0, "replicas": 2, "cpu": "1500m"},
                },
                "capacity": ABSENT,
            },
            11,
        ),
    ],
)
def test_vcpus_of_the_system(changes: Mapping[str, Any], vcpu: int) -> None:
    """A new account may run 5 of them, and the first frontend stays Pending."""
    assert [item.vcpu for item in good("ordinary", changes).needs.vcpus if item.what == "nodes without GPUs"] == [vcpu]


def test_counts() -> None:
    changes = {"network.nat": "single", "network.interfaceEndpoints": ["ecr.api", "sts"]}
    found = {item.quota.name: item.count for item in good("ordinary", changes).needs.counts}
    assert found == {
        "VPCs per Region": 1, "Internet gateways per Region": 1, "EC2-VPC Elastic IPs": 1, "NAT gateways per Availability Zone": 1,
        "Gateway VPC endpoints per Region": 1, "Interface VPC endpoints per VPC": 2, "EKS clusters per Region": 1,
        "File systems per account": 1,
    }  # fmt: skip


def test_zones_of_pools() -> None:
    assert good().needs.pools[0].zone_ids == () and good().needs.zones == 3
    changes = {
        "network.zones": ["use1-az1", "use1-az2"],
        "capacity.pools.gpu.zones": ["use1-az2"],
        "graphs.chat.placement.zone": "use1-az2",
    }
    pool = good("ordinary", changes).needs.pools[0]
    assert pool.zone_ids == ("use1-az2",) and [graph.zone_id for graph in pool.graphs] == ["use1-az2"]
    assert "g6e.2xlarge" in pool.types and all(type_.startswith("g6e.") for type_ in pool.types)


def test_rooms_of_subnets() -> None:
    """A graph of three nodes takes three times what one takes, and the control plane has its own."""
    changes = {
        "network": {"existing": {"vpcId": "vpc-0123456789abcdef0", "subnets": {
            "use1-az1": {"private": "subnet-0123456789abcdef0", "public": "subnet-0123456789abcdef1"},
            "use1-az2": {"private": "subnet-0123456789abcdef2"}}}},
        "graphs.chat.worker.replicas": 3, "graphs.chat.placement.zone": "use1-az2",
    }  # fmt: skip
    found = {(item.zone_id, item.role): item.addresses for item in good("ordinary", changes).needs.subnets}
    assert found == {("use1-az1", "private"): 16, ("use1-az1", "public"): 8, ("use1-az2", "private"): 16 + 3 * 17}


def test_models_that_a_graph_names_beside_its_own() -> None:
    """A draft model without a token, or with a commit that is not there, fails as late as the model itself."""
    more = {
        "models.other": {"repository": "a/b", "revision": "0" * 40},
        "graphs.chat.worker.env": {"DRAFT": "{models.other}"},
    }
    assert [item.name for item in good("ordinary", more).needs.models] == ["qwen", "other"]


def test_placeholders() -> None:
    """A stand-in of a placeholder must not be asked for: it is somebody else's, or nobody's."""
    file = stackfile.read("g6e-dev")
    settings = Settings.parse("g6e-dev", file.config, frozenset(file.secret_keys), AT)
    found = wanted(settings, recorded("g6e-dev"))
    assert found.to_fill_in == settings.to_fill_in
    assert all(found.unfilled(key) for key in ("account", "cluster.admins", "cluster.publicAccessCidrs"))
    assert not found.unfilled("capacity") and not found.unfilled("models")
