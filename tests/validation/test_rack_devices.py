"""The program that looks at a rack's nodes and devices, against an API server in the same process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL
from components.validation import ladder_objects as objects
from tests.validation.api import RACK, RESULTS, Api, environment
from tests.validation.programs import run


def node(number: int, clique: str = "c1.1", **changes: Any) -> dict[str, Any]:
    labels = {
        RACK_LABEL: RACK.rack,
        CLIQUE_LABEL: clique,
        "nvidia.com/cuda.driver-version.major": "580",
        "node.kubernetes.io/instance-type": "p6e-gb200.36xlarge",
        **changes.pop("labels", {}),
    }
    offers = {"nvidia.com/gpu": "4", "vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "10256Mi"}
    return {
        "metadata": {"name": f"node-{number}", "labels": {key: item for key, item in labels.items() if item}},
        "spec": {"unschedulable": changes.pop("cordoned", False)},
        "status": {
            "allocatable": {**offers, **changes.pop("allocatable", {})},
            "conditions": [{"type": "Ready", "status": changes.pop("ready", "True"), "message": "kubelet stopped"}],
        },
    }


def rack_slice(number: int, *devices: str, driver: str = "compute-domain.nvidia.com") -> dict[str, Any]:
    spec = {"driver": driver, "nodeName": f"node-{number}", "pool": {"name": f"node-{number}"},
            "devices": [{"name": name} for name in devices or ("channel-0", "daemon-0")]}  # fmt: skip
    return {"metadata": {"name": f"slice-{number}"}, "spec": spec}


CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
CHANNEL_CLASS = f"{CLASSES}/compute-domain-default-channel.nvidia.com"


def rack_api(nodes: list[dict[str, Any]] | None = None, slices: list[dict[str, Any]] | None = None) -> Api:
    paths = (f"{CLASSES}/compute-domain-daemon.nvidia.com", CHANNEL_CLASS)
    return Api(
        objects={path: {"metadata": {"name": path.rsplit("/", 1)[-1]}} for path in paths},
        lists={
            # A node of another rack is no node of this one.
            "/api/v1/nodes": [*(nodes or [node(n) for n in range(9)]), node(99, labels={RACK_LABEL: "rack-z"})],
            "/apis/resource.k8s.io/v1/resourceslices": slices or [rack_slice(n) for n in range(9)],
        },
    )


def devices(folder: Path, api: Api, **changes: str) -> tuple[int, str, str]:
    check = objects.devices_check(RACK, image="python", timeout_s=60)
    with api.served() as url:
        return run("rack_devices", folder, url, **{**environment(check.job), **changes})


def test_a_whole_rack(tmp_path: Path) -> None:
    api = rack_api()
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="10256")
    assert (code, log) == (0, ""), output
    assert api.result("devices")["verdict"] == "pass"
    assert json.loads(api.result("devices")["figures"]) == {"nodes": 9, "cliques": {"c1.1": 9}}


def with_one(changed: dict[str, Any]) -> list[dict[str, Any]]:
    return [node(n) for n in range(8)] + [changed]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node(n) for n in range(8)], "8 nodes have the rack's label, not 9"),
        (with_one(node(8, ready="False")), "node-8 is not Ready (kubelet stopped)"),
        (with_one(node(8, cordoned=True)), "node-8 is cordoned"),
        (with_one(node(8, allocatable={"nvidia.com/gpu": "3"})), "node-8 offers 3 nvidia.com/gpu, not 4"),
        # Time-sliced GPUs are counted several times.
        (with_one(node(8, allocatable={"nvidia.com/gpu": "8"})), "node-8 offers 8 nvidia.com/gpu, not 4"),
        (with_one(node(8, allocatable={"vpc.amazonaws.com/efa": "0"})), "node-8 offers 0 vpc.amazonaws.com/efa, not 4"),
        (
            with_one(node(8, allocatable={"hugepages-2Mi": "2Gi"})),
            "node-8 offers 2048 MiB of huge pages, fewer than 5120",
        ),
        (with_one(node(8, labels={CLIQUE_LABEL: ""})), "node-8 has no label nvidia.com/gpu.clique"),
        (
            with_one(node(8, labels={"nvidia.com/cuda.driver-version.major": "595"})),
            "node-8 runs driver branch 595, not 580",
        ),
        (
            with_one(node(8, labels={"node.kubernetes.io/instance-type": "p6-b200.48xlarge"})),
            "node-8 is of type p6-b200.48xlarge, not p6e-gb200.36xlarge",
        ),
        (
            [node(n, f"c1.{n // 5}") for n in range(9)],
            "the nodes are in 2 NVLink cliques (c1.0: 5, c1.1: 4), and 1 is expected",
        ),
    ],
)
def test_a_rack_that_lacks_something(tmp_path: Path, nodes: list[dict[str, Any]], reason: str) -> None:
    """Each of these lets pods of a multi-node graph start on most of the rack and wait for the rest, silently."""
    api = rack_api(nodes)
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="5120")
    assert code == 1 and log.startswith(reason) and reason in output
    assert "\n" not in log, "nothing else is wrong"
    assert api.result("devices")["verdict"] == "fail" and api.result("devices")["reason"] == log


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda api: api.objects.pop(CHANNEL_CLASS),
            "there is no DeviceClass compute-domain-default-channel.nvidia.com",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].pop(),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com, so the DRA plugin does not run there",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].__setitem__(8, rack_slice(8, "daemon-0")),
            "node-8 has a ResourceSlice of compute-domain.nvidia.com without channel-0",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].__setitem__(
                8, rack_slice(8, driver="gpu.nvidia.com")
            ),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com",
        ),
        (lambda api: api.broken.update({"GET /api/v1/nodes": 403}), "the API server answered: HTTP Error 403"),
    ],
)
def test_a_rack_without_its_dra_driver(tmp_path: Path, change: Callable[[Api], Any], reason: str) -> None:
    api = rack_api()
    change(api)
    code, _, log = devices(tmp_path, api)
    assert code == 1 and reason in log


def test_a_rack_that_was_mended_passes(tmp_path: Path) -> None:
    """The result of the check that failed is there already."""
    api = rack_api(with_one(node(8, cordoned=True)))
    assert devices(tmp_path, api)[0] == 1
    api.lists["/api/v1/nodes"][8] = node(8)
    assert devices(tmp_path, api)[0] == 0
    assert api.result("devices")["verdict"] == "pass" and api.result("devices")["reason"] == ""


def test_two_cliques_where_the_stack_expects_two(tmp_path: Path) -> None:
    api = rack_api([node(n, f"c1.{n // 5}") for n in range(9)])
    assert devices(tmp_path, api, CLIQUES="2")[0] == 0
    assert json.loads(api.result("devices")["figures"])["cliques"] == {"c1.0": 5, "c1.1": 4}


def test_labels_that_come_late_are_waited_for(tmp_path: Path) -> None:
    """The clique label comes minutes after the node is Ready."""
    api = rack_api(with_one(node(8, labels={CLIQUE_LABEL: ""})))
    api.after["GET /api/v1/nodes"] = lambda: api.lists["/api/v1/nodes"].__setitem__(8, node(8))
    code, output, _ = devices(tmp_path, api, TIMEOUT_S="20")
    assert code == 0 and "node-8 has no label" in output


def test_a_pass_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    api = rack_api()
    api.broken[f"POST {RESULTS}"] = 403
    code, _, log = devices(tmp_path, api)
    assert code == 1 and log == "the result could not be written: HTTP Error 403: Forbidden"
