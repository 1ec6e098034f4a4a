"""What is run for a rendered graph: the same commands as in its pods, with nothing changed but what one machine demands."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.catalog import DYNAMO
from operations.serve.processes import (
    LocalGraph,
    Machine,
    NotServed,
    graphs,
    local_graph,
    model_folders,
    version_of,
)
from operations.serve.wheels import lock_of
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT

VOLUMES = Path("/kept/volumes")
SNAPSHOT = (
    f"{VOLUMES}/dynamo/model-cache/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370d81485cdf75e47ca"
)


def machine() -> Machine:
    ports = itertools.count(20001)
    return Machine(
        volumes=VOLUMES, port=8000, free_port=lambda: next(ports), discovery={"DYN_DISCOVERY_BACKEND": "file"}
    )


def rendered(changes: Mapping[str, Any] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Objects and outputs of mocker-local, with another graph."""
    config = copy.deepcopy(dict(stackfile.read("mocker-local").config))
    shipped = config["dynamo-eks:graphs"]["mocker"]
    config["dynamo-eks:graphs"] = {"mocker": {**shipped, **(changes or {})}}
    graph = record("mocker-local", config, at=AT)
    return [dict(item.manifest) for item in graph.objects], graph.outputs["graphs"]["mocker"]


def served(changes: Mapping[str, Any] | None = None) -> LocalGraph:
    objects, outputs = rendered(changes)
    return local_graph(graphs(objects)[0], objects, outputs, machine())


def test_shipped_stack() -> None:
    """Whole, by hand: a flag that is lost on the way is a graph that nobody tried."""
    graph = served()
    assert (graph.name, graph.namespace, graph.version, graph.model) == ("mocker", "dynamo", "1.5.0", "Qwen/Qwen3-0.6B")
    frontend, first, second = graph.processes
    assert [each.name for each in graph.processes] == ["mocker/frontend", "mocker/worker-0", "mocker/worker-1"]
    assert frontend.command == (
        "python3",
        "-m",
        "dynamo.frontend",
        "--router-mode",
        "kv",
        "--migration-limit",
        "3",
    )
    assert first.command == second.command == (
        "python3", "-m", "dynamo.mocker", "--model-path", SNAPSHOT, "--model-name", "Qwen/Qwen3-0.6B", "--speedup-ratio", "10",
    )  # fmt: skip
    here = {"DYN_HTTP_HOST", "DYN_SYSTEM_HOST", "DYN_TCP_RPC_HOST", "DYN_TCP_RESPONSE_STREAM_HOST"}
    both = {
        "DYN_NAMESPACE": "dynamo-mocker",
        "DYN_PARENT_DGD_K8S_NAME": "mocker",
        "DYN_PARENT_DGD_K8S_NAMESPACE": "dynamo",
        "HF_HOME": f"{VOLUMES}/dynamo/model-cache",
        "HF_HUB_OFFLINE": "1",
        "DYN_DISCOVERY_BACKEND": "file",
        "DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS": "105",
        "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS": "105",
        "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": "105",
    }
    own = [{key: value for key, value in each.environment.items() if key not in here} for each in (frontend, first)]
    assert own[0] == {
        **both, "DYN_COMPONENT": "frontend", "DYN_HTTP_PORT": "8000", "DYN_NAMESPACE_PREFIX": "dynamo-mocker",
    }  # fmt: skip
    assert own[1] == {
        **both,
        "DYN_COMPONENT": "worker",
        "DYN_SYSTEM_ENABLED": "true",
        "DYN_SYSTEM_PORT": "20001",
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
        "DYN_HEALTH_CHECK_ENABLED": "false",
    }
    assert (frontend.port, first.port, second.port) == (8000, 20001, 20002)
    assert {each.grace_s for each in graph.processes} == {120} and graph.left_out == ()


def test_smoke_test_is_the_stacks_own() -> None:
    """A check that is written twice is passed by the one of the two that is run."""
    test = served().smoke
    assert test is not None and test.program == (Path("components/validation/scripts/smoke.py")).read_text()
    assert test.environment == {
        "NAMESPACE": "dynamo", "GRAPH": "mocker", "MODEL": "Qwen/Qwen3-0.6B", "EFA": "false", "TIMEOUT_S": "900",
        "URL": "http://127.0.0.1:8000", "STAGE": "completion", "POLL_S": "0.5",
    }  # fmt: skip
    assert served({"smokeTest": None}).smoke is None


def test_model_is_where_the_download_would_put_it() -> None:
    """Offline, a worker looks in that one place."""
    objects, _ = rendered()
    assert model_folders(objects, VOLUMES) == [Path(SNAPSHOT)]


ROLE = {"gpus": 0, "replicas": 2}


def test_workers_of_one_role_share_no_port() -> None:
    """On a cluster each prefill worker has an address of its own; here the second one would end at once."""
    graph = served({"worker": None, "transport": "tcp", "prefill": ROLE, "decode": ROLE})
    found = [
        each.command[each.command.index("--bootstrap-ports") + 1] for each in graph.processes if "prefill" in each.name
    ]
    ports = [str(each.port) for each in graph.processes]
    assert len({*found, *ports}) == 2 + 5


def test_what_is_given_is_run_and_what_is_left_out_is_said() -> None:
    """Of a graph that is run here by half, the other half is what breaks on the cluster."""
    given = {
        "frontend": {"replicas": 3, "env": {"A": "b", "DYN_LOG": "debug"}, "extraArgs": ["--router-temperature", "0.5"]}
    }
    graph = served(given)
    assert graph.processes[0].environment["DYN_LOG"] == "debug"
    assert graph.processes[0].command[-2:] == ("--router-temperature", "0.5")
    assert graph.left_out == ("frontend has 3 replicas, of which one is run: they would share one port",)
    objects, outputs = rendered()
    main = graphs(objects)[0]["spec"]["components"][1]["podTemplate"]["spec"]["containers"][0]
    main["env"].append({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}})
    graph = local_graph(graphs(objects)[0], objects, outputs, machine())
    assert graph.left_out == ("worker: TOKEN comes from a Secret or ConfigMap, and is not set",)


def change(component: int, key: str, value: Any) -> dict[str, Any]:
    graph = copy.deepcopy(graphs(rendered()[0])[0])
    graph["spec"]["components"][component]["podTemplate"]["spec"]["containers"][0][key] = value
    return graph


def with_init() -> dict[str, Any]:
    graph = copy.deepcopy(graphs(rendered()[0])[0])
    graph["spec"]["components"][1]["podTemplate"]["spec"]["initContainers"] = [{"name": "stage-model"}]
    return graph


REFUSED = [
    (lambda: change(1, "command", ["python3", "-m", "dynamo.vllm"]), "graph mocker: worker runs `python3 -m dynamo.vllm`, which needs its own image and hardware; make serve runs graphs of `backend: mocker`, such as STACK=mocker-local"),
    (lambda: change(0, "command", ["/bin/sh"]), "graph mocker: frontend runs `/bin/sh`"),
    (lambda: change(1, "command", None), "graph mocker: worker runs ``"),
    (with_init, "graph mocker: worker has init containers, which make serve does not run"),
    (lambda: change(1, "image", "mine/dynamo:1.6.1"), "runs one release of Dynamo for a graph, and its images are frontend 1.5.0, worker 1.6.1"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "told"), REFUSED)
def test_what_needs_more_than_this_machine_is_refused(graph: Any, told: str) -> None:
    """An engine without its GPUs ends after a minute with a traceback of its own."""
    with pytest.raises(NotServed) as caught:
        version_of(graph())
    assert told in str(caught.value)


def test_unknown_release() -> None:
    """A release without a lock file would be resolved by whatever the registry has today."""
    graph = copy.deepcopy(graphs(rendered()[0])[0])
    for component in graph["spec"]["components"]:
        component["podTemplate"]["spec"]["containers"][0]["image"] = "mine/dynamo:nightly"
    with pytest.raises(NotServed) as caught:
        version_of(graph)
    assert str(caught.value) == "graph mocker: its images have the tag nightly, which names no supported release (1.4.0, 1.5.0, 1.6.1)"  # fmt: skip


@pytest.mark.parametrize("version", sorted(DYNAMO))
def test_every_release_has_its_lock_file(version: str) -> None:
    """A release that is added to the catalogue is served, too; and a lock file names no index that is not everybody's."""
    pins = [line.split(" ")[0] for line in lock_of(version).read_text().splitlines() if line and line[0] not in " #"]
    assert f"ai-dynamo=={version}" in pins and f"ai-dynamo-runtime=={version}" in pins
    assert not [pin for pin in pins if "==" not in pin] and "://" not in lock_of(version).read_text()
