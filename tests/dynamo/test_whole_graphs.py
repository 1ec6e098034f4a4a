"""Whole objects, compared with what was typed by hand in graphs.yaml and rack_graphs.yaml, and the decisions behind them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import catalog
from components.capacity.instances import instance
from components.dynamo.manifest import (
    Surroundings,
    clique_group,
    digest,
    efa_count,
    ganged,
    identity,
    manifest,
    on_rack,
    rack_of,
    served_name,
    share,
)
from components.dynamo.spec import Graph, ModelSource
from schemas.strict import Shapes

SNAPSHOT = f"hub/models--org--small/snapshots/{'c' * 40}"
WORDS = {
    "$MODEL": f"/home/dynamo/.cache/huggingface/{SNAPSHOT}",
    "$SOURCE": f"/source/{SNAPSHOT}",
    "$KV_EVENTS": '{"enable_kv_cache_events": true, "publisher": "zmq", "topic": "kv-events", "endpoint": "tcp://*:20080"}',
}
SMALL = ModelSource(repository="org/small", revision="c" * 40)


def cases(file: str) -> dict[str, dict[str, Any]]:
    text = (Path(__file__).parent / file).read_text()
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: case for name, case in found.items() if name != "shared"}


IN_POOLS, ON_RACKS = cases("graphs.yaml"), cases("rack_graphs.yaml")


def graph(given: dict[str, Any]) -> Graph:
    """As from a stack file, whose lists are tuples here."""
    return Graph.model_validate_json(json.dumps({"model": "small", **given}))


def around(case: dict[str, Any], machine: str | None) -> Surroundings:
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in case.get("around", {}).items()}
    given["caches"] = frozenset(given.get("caches", ()))
    return Surroundings(
        release=catalog.dynamo_release(case.get("release", "1.5.0")),
        machine=instance(machine) if machine else None,
        **{"zone_names": {}, **given},
    )


def filled(item: Any) -> Any:
    """With the words in place of their signs."""
    if isinstance(item, dict):
        return {key: filled(value) for key, value in item.items()}
    if isinstance(item, list):
        return [filled(value) for value in item]
    if isinstance(item, str):
        for sign, word in WORDS.items():
            item = item.replace(sign, word)
    return item


@pytest.mark.parametrize("name", IN_POOLS)
def test_in_pools(name: str) -> None:
    """A field that is missing or one too many is told by nothing but a worker that is slow, Pending or on the wrong node."""
    case = IN_POOLS[name]
    assert manifest("chat", graph(case["graph"]), SMALL, around(case, case.get("machine"))) == filled(case["object"])


@pytest.mark.parametrize("name", ON_RACKS)
def test_on_racks(name: str) -> None:
    """The same where each hour of a wrong field costs 762 dollars."""
    case = ON_RACKS[name]
    made = manifest("chat", graph(case["graph"]), SMALL, around(case, "p6e-gb200.36xlarge"))
    assert made == filled(case["object"])


@pytest.mark.parametrize("name", [*IN_POOLS, *ON_RACKS])
def test_the_operators_kind_accepts_them(name: str) -> None:
    """What is typed by hand may be wrong too: a field the CRD does not have is dropped without a word."""
    case = {**IN_POOLS, **ON_RACKS}[name]
    found = Shapes.load().check(filled(case["object"]), {"dynamo-platform": case.get("release", "1.5.0")})
    assert (found.state, found.faults) == ("ok", ())


# --- decisions ---------------------------------------------------------------------------------------------------------


def rendered(given: dict[str, Any], machine: str | None = None, **surroundings: Any) -> dict[str, Any]:
    return manifest("chat", graph(given), SMALL, around({"around": surroundings}, machine))


def component(made: dict[str, Any], role: str) -> dict[str, Any]:
    return next(item for item in made["spec"]["components"] if item["name"] == role)


def main(made: dict[str, Any], role: str) -> dict[str, Any]:
    return component(made, role)["podTemplate"]["spec"]["containers"][0]


def disaggregated(backend: str = "vllm", transport: str = "tcp", **changes: Any) -> dict[str, Any]:
    return {"backend": backend, "transport": transport, "prefill": {}, "decode": {}, **changes}


RACK = {"placement": {"ultraServer": "rack-a"}, "computeDomain": "perGraph"}
PIN, ALL = {"capabilities": {"add": ["IPC_LOCK"]}}, {"privileged": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (disaggregated(), PIN),
        (disaggregated(transport="efa"), PIN),
        (disaggregated(transport="efa", efaSecurity="privileged"), ALL),
        (disaggregated(efaSecurity="privileged"), PIN),
        (disaggregated(transport="efa", **RACK), ALL),
        (disaggregated(transport="efa", efaSecurity="ipcLock", **RACK), PIN),
        (disaggregated(transport="nvlink", efaSecurity="privileged", **RACK), PIN),
        (disaggregated("mocker"), None),
    ],
)
def test_only_what_pins_memory_may(given: dict[str, Any], expected: dict[str, Any] | None) -> None:
    """Without the right registration fails beyond 64 KiB; a privileged pod that needs it not owns the node."""
    for role in ("prefill", "decode"):
        assert main(rendered(given), role).get("securityContext") == expected


@pytest.mark.parametrize(
    ("transport", "stated", "expected"),
    [("tcp", None, "cpu"), ("tcp", "cuda", "cuda"), ("efa", "cpu", "cpu"), ("efa", None, None)],
)
def test_staging_follows_the_transport(transport: str, stated: str | None, expected: str | None) -> None:
    """Blocks in GPU memory cannot be read over TCP; through host memory they are slow over EFA."""
    made = rendered(disaggregated(transport=transport, decode={"kvBufferDevice": stated}))
    words = main(made, "decode")["args"]
    assert json.loads(words[words.index("--kv-transfer-config") + 1]).get("kv_buffer_device") == expected


@pytest.mark.parametrize(
    ("tag", "version", "expected"),
    [
        ("1.5.0", "1.5.1", None),
        ("v1.5.0-efa", "1.5.1", None),
        ("10.11.12", None, None),
        ("nightly", "1.5.1", "1.5.1"),
        ("nightly-1.5.0", "1.5.1", "1.5.1"),
        ("1.5", "1.5.1", "1.5.1"),
        ("nightly", None, None),
    ],
)
def test_a_version_where_the_tag_has_none(tag: str, version: str | None, expected: str | None) -> None:
    """The webhook refuses a graph whose version it cannot tell, and believes a wrong one it is told."""
    image = {"repository": "registry.example.com/vllm", "tag": tag, "runtimeVersion": version}
    made = rendered(disaggregated(image=image))
    assert component(made, "decode").get("runtimeVersionOverride") == expected
    assert main(made, "decode")["image"] == f"registry.example.com/vllm:{tag}"
    assert "runtimeVersionOverride" not in component(made, "frontend")


@pytest.mark.parametrize(
    ("backend", "caches", "wanted", "expected"),
    [
        ("vllm", ["compilation-cache"], True, True),
        ("vllm", ["model-cache"], True, False),
        ("vllm", ["compilation-cache"], False, False),
        ("sglang", ["compilation-cache"], True, False),
    ],
)
def test_compiled_kernels_are_kept(backend: str, caches: list[str], wanted: bool, expected: bool) -> None:
    """A claim that is not there keeps every worker Pending; without it each restart compiles for minutes."""
    made = rendered(disaggregated(backend, compilationCache=wanted), caches=caches)
    assert ("compilationCache" in component(made, "decode")) is expected


@pytest.mark.parametrize(
    ("type_", "given", "cores", "memory_gib"),
    [
        # 191.11 cores and 1893.0 GiB are left for pods.
        ("p5.48xlarge", {"worker": {"gpus": 8}}, 191, 1892),
        ("p5.48xlarge", {"worker": {"gpus": 1}}, 23, 236),
        ("p5.48xlarge", {"worker": {"gpus": 1}, "transport": "efa"}, 191, 1892),
        ("p5.48xlarge", {"worker": {"gpus": 1, "efa": 31}, "transport": "efa"}, 23, 236),
        ("p5.48xlarge", {"worker": {"gpus": 1, "efa": 32}}, 23, 236),
        ("g6e.2xlarge", {"worker": {"gpus": 1}, "transport": "efa"}, 7, 57),
        # 143.19 cores and 885.8 GiB, less eight and sixteen.
        ("p6e-gb200.36xlarge", {"worker": {"gpus": 4}, **RACK}, 135, 869),
        ("p6e-gb200.36xlarge", {"worker": {"gpus": 2}, **RACK}, 67, 434),
        ("m7i.large", {"worker": {"gpus": 0}}, 1, 1),
        ("g6e.2xlarge", {"worker": {"gpus": 1}}, 7, 57),
    ],
)
def test_a_workers_share_of_its_node(type_: str, given: dict[str, Any], cores: int, memory_gib: int) -> None:
    """A core too many and the worker stays Pending on an empty node; a share of a node that it fills leaves the rest unused."""
    made = graph({"backend": "vllm", "transport": "none", **given})
    assert made.worker is not None
    assert share(made, made.worker, instance(type_)) == (cores, memory_gib)


def test_a_large_nodes_last_core() -> None:
    """223.17 of 224 cores are left for pods: a core is a thousand thousandths on nodes larger than those of today too."""
    made = graph({"backend": "vllm", "transport": "none", "worker": {"gpus": 8}})
    assert made.worker is not None
    assert share(made, made.worker, dataclasses.replace(instance("p5.48xlarge"), vcpu=224)) == (223, 1892)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"worker": {}}, [None, None, None]),
        ({"worker": {}, "placement": {"ultraServer": "a"}}, ["a", "a", "a"]),
        ({"worker": {"ultraServer": "b"}, "placement": {"ultraServer": "a"}}, ["b", "a", "a"]),
        ({"prefill": {"ultraServer": "b"}, "decode": {}, "placement": {"ultraServer": "a"}}, ["a", "b", "a"]),
        ({"prefill": {}, "decode": {"ultraServer": "c"}}, [None, None, "c"]),
        ({"worker": {}, "placement": {"anyUltraServer": True}}, [None, None, None]),
    ],
)
def test_whose_rack_is_which(given: dict[str, Any], expected: list[str | None]) -> None:
    """A role on the wrong rack is outside of its domain, and computes over the network."""
    made = graph({"backend": "vllm", "transport": "efa", **given})
    assert [rack_of(made, role) for role in ("worker", "prefill", "decode")] == expected
    assert on_rack(made) == (any(expected) or made.placement.any_ultra_server)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(None, None), ("none", None), ("perGraph", "chat"), ("groveAuto", "chat"), ("perRole", "chat-decode")],
)
def test_who_shares_a_domain(mode: str | None, expected: str | None) -> None:
    """Roles with a domain each may be on two racks; those that share one may not."""
    assert clique_group("chat", graph(disaggregated(computeDomain=mode)), "decode") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"worker": {}}, False),
        ({"worker": {"nodes": 2}}, True),
        (disaggregated(prefill={"nodes": 2}), True),
        ({"worker": {}, "placement": {"anyUltraServer": True}}, True),
        ({"worker": {}, "placement": {"ultraServer": "a"}}, False),
    ],
)
def test_who_needs_the_gang_scheduler(given: dict[str, Any], expected: bool) -> None:
    """The operator refuses several nodes without it; installed for nothing it turns every graph into something else."""
    assert ganged(graph({"backend": "vllm", "transport": "none", **given})) is expected


@pytest.mark.parametrize(
    ("transport", "stated", "type_", "expected"),
    [
        ("efa", None, "p5.48xlarge", 32),
        ("efa", 8, "p5.48xlarge", 8),
        ("efa", 0, "p5.48xlarge", 0),
        ("efa", 4, None, 0),
        ("tcp", 8, "p5.48xlarge", 0),
    ],
)
def test_interfaces_of_a_worker(transport: str, stated: int | None, type_: str | None, expected: int) -> None:
    """All of the node's unless the stack says otherwise: part of them can cross PCIe switches."""
    made = graph({"backend": "vllm", "transport": transport, "worker": {"efa": stated}})
    assert made.worker is not None
    assert efa_count(made, made.worker, instance(type_) if type_ else None) == expected


def test_the_model_is_served_under_its_name() -> None:
    """Clients ask for the one that the outputs tell them."""
    assert served_name(graph(disaggregated()), SMALL) == "org/small"
    assert served_name(graph(disaggregated(servedModelName="tiny")), SMALL) == "tiny"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backend": "mocker", "transport": "none", "worker": {}}, ["", ["frontend", "worker"]]),
        (disaggregated(), ["vllm", ["decode", "frontend", "prefill"]]),
        (
            disaggregated("sglang", prefill={"nodes": 2}, **RACK),
            ["sglang", ["decode", "frontend", "prefill"], "grove"],
        ),
        (
            disaggregated("trtllm", placement={"anyUltraServer": True}, computeDomain="perGraph"),
            ["trtllm", ["decode", "frontend", "prefill"], "rack", "grove"],
        ),
    ],
)
def test_what_nobody_may_change(given: dict[str, Any], expected: list[Any]) -> None:
    """Told in another way to a stack that is there, every graph would be deleted and made again by the next `up`."""
    assert identity(rendered(given)) == expected


def test_the_digest_of_an_object() -> None:
    """The smoke test's Job has it in its name: it must run again after every change, and only then."""
    one = {"metadata": {"name": "chat"}, "spec": {"b": 1, "a": "é"}}
    assert digest(one) == digest({"spec": {"a": "é", "b": 1}, "metadata": {"name": "chat"}}) == "2fa6be2f4c02"
    assert digest({**one, "spec": {"b": 1, "a": "e"}}) != digest(one)


def mocked(release: str, **around: Any) -> dict[str, Any]:
    """A mocker of two pods."""
    given = graph({"backend": "mocker", "transport": "none", "worker": {"gpus": 0}, **around.pop("changes", {})})
    surroundings = Surroundings(release=catalog.dynamo_release(release), machine=None, zone_names={}, **around)
    return manifest("chat", given, SMALL, surroundings)


@pytest.mark.parametrize("release", sorted(catalog.DYNAMO))
def test_the_frontend_is_told_to_be_strict_where_it_can_be(release: str) -> None:
    """Two graphs whose names begin alike are allowed for such a release only because of this variable."""
    frontend, worker = mocked(release)["spec"]["components"]
    told = {"name": "DYN_NAMESPACE_PREFIX_STRICT", "value": "true"}
    assert (told in frontend["podTemplate"]["spec"]["containers"][0]["env"]) == (release == "1.6.1")
    assert told not in worker["podTemplate"]["spec"]["containers"][0]["env"]


@pytest.mark.parametrize(("zoned", "stated", "near"), [(True, None, True), (True, False, False), (False, None, False), (False, True, True)])  # fmt: skip
def test_one_zone_is_asked_for_where_nodes_have_zones(zoned: bool, stated: bool | None, near: bool) -> None:
    """Nodes of kind and k3s have none, and every pod of the graph would wait for ever (tests/engine/test_scheduling.py)."""
    changes = {"placement": {} if stated is None else {"sameZone": stated}}
    for component in mocked("1.5.0", zoned=zoned, changes=changes)["spec"]["components"]:
        assert ("podAffinity" in component["podTemplate"]["spec"].get("affinity", {})) == near
