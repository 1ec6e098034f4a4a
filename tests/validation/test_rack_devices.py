"""The program that looks at a rack's nodes and devices, against an API server in the same process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL
from components.validation import ladder_objects as objects
from tests.validation.api import RACK, RESULTS, Api, environment
from tests.validation.programs import Clock, program, refusing, run


def node(number: int, clique: str = "c1.1", **changes: Any) -> dict[str, Any]:
    labels = {
        RACK_LABEL: RACK.rack.name,
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
    spec = {"driver": driver, "nodeName": f"node-{number}", "pool": {"name": f"pool-{number}"},
            "devices": [{"name": name} for name in devices or ("channel-0", "daemon-0")]}  # fmt: skip
    return {"metadata": {"name": f"slice-{number}"}, "spec": spec}


CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CHANNEL_CLASS = f"{CLASSES}/compute-domain-default-channel.nvidia.com"


def rack_api(nodes: list[dict[str, Any]] | None = None, slices: list[dict[str, Any]] | None = None) -> Api:
    paths = (f"{CLASSES}/compute-domain-daemon.nvidia.com", CHANNEL_CLASS)
    return Api(
        objects={path: {"metadata": {"name": path.rsplit("/", 1)[-1]}} for path in paths},
        lists={
            # A node of another rack is no node of this one.
            "/api/v1/nodes": [*(nodes or [node(n) for n in range(9)]), node(99, labels={RACK_LABEL: "rack-z"})],
            SLICES: slices or [rack_slice(n) for n in range(9)],
        },
    )


def devices(folder: Path, api: Api, clock: Clock | None = None, **changes: str) -> tuple[int, str, str]:
    check = objects.devices_check(RACK, image="python", timeout_s=60)
    with api.served() as url:
        return run("rack_devices", folder, url, clock, **{**environment(check.job), **changes})


def test_a_whole_rack(tmp_path: Path) -> None:
    api = rack_api()
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="10256")
    figures = '{"cliques": {"c1.1": 9}, "nodes": 9}'
    assert (code, log, output) == (0, "", f"all is there\n{figures}\n")
    assert api.objects[f"{RESULTS}/verify-rack-b-devices-result"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "verify-rack-b-devices-result",
            "namespace": RACK.namespace,
            "labels": {objects.LABEL: "rack-b"},
            "uid": "uid-1",
        },
        "data": {"verdict": "pass", "reason": "", "figures": figures},
    }
    assert api.read == [
        f"{CLASSES}/compute-domain-daemon.nvidia.com",
        CHANNEL_CLASS,
        "/api/v1/nodes?labelSelector=dynamo-eks/ultraserver%3Drack-b",
        f"{SLICES}?fieldSelector=spec.driver%3Dcompute-domain.nvidia.com",
    ]


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
        (
            with_one(node(8, labels={CLIQUE_LABEL: ""})),
            "node-8 has no label nvidia.com/gpu.clique, so its NVLink fabric is not complete or GPU feature discovery did "
            "not run",
        ),
        (
            with_one(node(8, labels={"nvidia.com/cuda.driver-version.major": "595"})),
            "node-8 runs driver branch 595, not 580",
        ),
        (
            with_one(node(8, labels={"node.kubernetes.io/instance-type": "p6-b200.48xlarge"})),
            "node-8 is of type p6-b200.48xlarge, not p6e-gb200.36xlarge",
        ),
        (
            [node(n, f"c1.{(n + 5) // 5 % 2}") for n in range(9)],
            "the nodes are in 2 NVLink cliques (c1.0: 4, c1.1: 5), and 1 is expected: NVLink memory is shared within one "
            "only",
        ),
    ],
)
def test_a_rack_that_lacks_something(tmp_path: Path, nodes: list[dict[str, Any]], reason: str) -> None:
    """Each of these lets pods of a multi-node graph start on most of the rack and wait for the rest, silently."""
    api = rack_api(nodes)
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="5120")
    assert (code, log) == (1, reason)
    told = api.result("devices")
    assert (told["verdict"], told["reason"]) == ("fail", reason)
    assert output == f"{reason}\n{told['figures']}\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda api: api.objects.pop(CHANNEL_CLASS),
            "there is no DeviceClass compute-domain-default-channel.nvidia.com",
        ),
        (
            lambda api: api.lists[SLICES].pop(),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com, so the DRA plugin does not run there",
        ),
        (
            lambda api: api.lists[SLICES].__setitem__(8, rack_slice(8, "daemon-0")),
            "node-8 has a ResourceSlice of compute-domain.nvidia.com without channel-0",
        ),
        (
            lambda api: api.lists[SLICES].__setitem__(8, rack_slice(8, driver="gpu.nvidia.com")),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com, so the DRA plugin does not run there",
        ),
        (
            lambda api: api.lists[SLICES][8]["spec"].update(devices=None),
            "node-8 has a ResourceSlice of compute-domain.nvidia.com without channel-0",
        ),
        (
            lambda api: api.broken.update({"GET /api/v1/nodes": 403}),
            "the API server answered: HTTP Error 403: Forbidden",
        ),
        (
            lambda api: api.broken.update({f"GET {CHANNEL_CLASS}": 403}),
            "the API server answered: HTTP Error 403: Forbidden",
        ),
    ],
)
def test_a_rack_without_its_dra_driver(tmp_path: Path, change: Callable[[Api], Any], reason: str) -> None:
    """Without its slices no pod with a channel claim is ever placed, and nothing says why."""
    api = rack_api()
    change(api)
    code, _, log = devices(tmp_path, api)
    assert (code, log) == (1, reason)


@pytest.mark.parametrize(
    ("text", "number"),
    [("4", 4), (4, 4), ("0", 0), ("1.5Gi", 1.5 * 2**30), ("10256Mi", 10256 * 2**20), ("2k", 2000), ("4x", 0), ("", 0), ("-4", 0),
     ("4 ", 0), (None, 0)],
)  # fmt: skip
def test_quantities(text: Any, number: float) -> None:
    """A quantity in another unit is one that some kubelet writes; what cannot be read is nothing, never a pass."""
    assert program("rack_devices").amount(text) == number


WANTED = {"nodes": 2, "gpus": 4, "efa": 4, "hugepages_mib": 1, "cliques": 1, "driver_branch": "580",
          "instance_type": "p6e-gb200.36xlarge"}  # fmt: skip


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One fault per `up` costs an hour of the block for each. A node that has only just joined says nothing of itself."""
    bare = {"metadata": {"name": "node-0"}}
    whole = node(1, allocatable={"hugepages-2Mi": "1Mi"})
    faults, figures = program("rack_devices").faults_of(set(), [whole, bare, bare], [rack_slice(1)], WANTED)
    lacks = (
        "node-0 is not Ready (no condition); is of type None, not p6e-gb200.36xlarge; offers 0 nvidia.com/gpu, not 4; "
        "offers 0 vpc.amazonaws.com/efa, not 4; offers 0 MiB of huge pages, fewer than 1; has no label nvidia.com/gpu.clique, "
        "so its NVLink fabric is not complete or GPU feature discovery did not run; runs driver branch None, not 580; has no "
        "ResourceSlice of compute-domain.nvidia.com, so the DRA plugin does not run there"
    )
    assert faults == [
        "there is no DeviceClass compute-domain-daemon.nvidia.com",
        "there is no DeviceClass compute-domain-default-channel.nvidia.com",
        "3 nodes have the rack's label, not 2",
        lacks,
        lacks,
    ]
    assert figures == {"nodes": 3, "cliques": {"c1.1": 1}}


def test_nodes_are_told_in_order_and_their_conditions_are_looked_through() -> None:
    """Two runs whose nodes come in another order say the same."""
    nodes = [node(n, cordoned=True, allocatable={"hugepages-2Mi": "1Mi"}) for n in (1, 0)]
    for item in nodes:
        item["status"]["conditions"].insert(0, {"type": "DiskPressure", "status": "False"})
    slices = [rack_slice(1, "channel-0"), rack_slice(0, "daemon-0"), rack_slice(0, "channel-0"), rack_slice(5)]
    # A slice may name its node by its pool alone, and come in parts.
    slices[0]["spec"]["pool"]["name"] = slices[0]["spec"].pop("nodeName")
    faults, _ = program("rack_devices").faults_of(program("rack_devices").CLASSES, nodes, slices, WANTED)
    assert faults == ["node-0 is cordoned", "node-1 is cordoned"]


@pytest.mark.parametrize(
    ("cliques", "wanted", "told"),
    [
        (3, 3, []),
        (3, 2, ["the nodes are in 3 NVLink cliques (c0: 1, c1: 1, c2: 1), and 2 are expected: NVLink memory is shared within "
                "one only"]),
    ],
)  # fmt: skip
def test_more_cliques_than_expected_are_too_many(cliques: int, wanted: int, told: list[str]) -> None:
    """A graph sized for a clique spans two otherwise, and its NVLink traffic fails at the first request."""
    nodes = [node(n, f"c{n}") for n in range(cliques)]
    marks = {**WANTED, "nodes": cliques, "cliques": wanted}
    slices = [rack_slice(n) for n in range(cliques)]
    assert program("rack_devices").faults_of(program("rack_devices").CLASSES, nodes, slices, marks)[0] == told


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
    clock = Clock()
    code, output, _ = devices(tmp_path, api, clock, TIMEOUT_S="20")
    assert (code, clock.slept) == (0, [10.0])
    assert [line.split(",")[0] for line in output.splitlines()] == [
        "node-8 has no label nvidia.com/gpu.clique", "all is there", '{"cliques": {"c1.1": 9}',
    ]  # fmt: skip


def test_a_rack_has_all_of_its_time_and_is_told_of_once(tmp_path: Path) -> None:
    """The same fault every ten seconds buries what changed, and a clique label may come on the last look."""
    api, clock = rack_api(with_one(node(8, cordoned=True))), Clock()
    code, output, _ = devices(tmp_path, api, clock, TIMEOUT_S="20")
    assert (code, clock.slept) == (1, [10.0] * 3)
    assert output == 'node-8 is cordoned\n{"cliques": {"c1.1": 9}, "nodes": 9}\n'


def test_a_reason_fits_into_its_termination_message(tmp_path: Path) -> None:
    """The kubelet cuts at 4096 bytes, and the result's ConfigMap says the same as the Job."""
    api = rack_api([node(n, labels={CLIQUE_LABEL: ""}, cordoned=True) for n in range(40)])
    _, output, log = devices(tmp_path, api)
    assert len(log) == 3500 and output.startswith(log)
    assert api.result("devices")["reason"] == log


def test_a_result_that_was_there_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    """Of two verdicts under one name the older one must not stay."""
    api = rack_api()
    assert devices(tmp_path, api)[0] == 0
    assert devices(tmp_path, api)[0] == 0
    result = f"{RESULTS}/verify-rack-b-devices-result"
    assert api.asked == [f"POST {RESULTS}", f"POST {RESULTS}", f"PUT {result}"]
    assert "uid" not in api.objects[result]["metadata"] and api.result("devices")["verdict"] == "pass"


def test_a_pass_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    """The ladder reads the result, not the Job's pod."""
    api = rack_api()
    api.broken[f"POST {RESULTS}"] = 403
    code, _, log = devices(tmp_path, api)
    assert code == 1 and log == "the result could not be written: HTTP Error 403: Forbidden"
    api.lists["/api/v1/nodes"][0] = node(0, cordoned=True)
    _, _, log = devices(tmp_path, api)
    assert log == "node-0 is cordoned\nthe result could not be written: HTTP Error 403: Forbidden"


def test_a_termination_log_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    """A traceback would end the Job's log instead of the reason."""
    api = rack_api(with_one(node(8, cordoned=True)))
    with mock.patch.object(program("rack_devices"), "open", refusing("termination-log"), create=True):
        code, output, log = devices(tmp_path, api)
    assert (code, log) == (1, "")
    assert output.splitlines()[-1] == "termination log: no space left"
