"""Graphs of the mocker by the real Dynamo of every supported release, which finds its workers through a real API server."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import RunError

from components.catalog import DYNAMO
from components.dynamo import command_line
from operations.serve import running
from operations.serve.running import LOOPBACK
from recording.graph import Graph
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT
from tests.engine.control_plane import ControlPlane, until
from tests.engine.dynamo import Pods, frontend, pods, python, workers
from tools.flags.__main__ import LINES, PARSERS

_NUMBERS = itertools.count()


@pytest.fixture(params=sorted(DYNAMO))
def release(request: pytest.FixtureRequest) -> str:
    python(request.param)
    return request.param


@pytest.fixture
def space(control_plane: ControlPlane) -> Iterator[str]:
    with control_plane.namespace(f"dynamo-{next(_NUMBERS)}-a") as name:
        yield name


@pytest.fixture
def cluster(control_plane: ControlPlane, space: str, tmp_path: Path) -> Iterator[Pods]:
    """Ends before its namespace does, in which processes take back what they registered."""
    with pods(control_plane, tmp_path) as found:
        yield found


def config(release: str, graphs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The shipped stack for a laptop with another release and other graphs, each over the shipped one."""
    found = json.loads(json.dumps(dict(stackfile.read("mocker-local").config)))
    found["dynamo-eks:dynamo"]["version"] = release
    shipped = found["dynamo-eks:graphs"]["mocker"]
    found["dynamo-eks:graphs"] = {name: {**shipped, **changes} for name, changes in graphs.items()}
    return found


def planned(release: str, graphs: Mapping[str, Mapping[str, Any]]) -> Graph:
    return record("mocker-local", config(release, graphs), at=AT)


def metric(port: int, name: str) -> float:
    """Sum of a metric over its labels; 0 while there is none."""
    text = (running.answer(f"http://{LOOPBACK}:{port}/metrics") or b"").decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True).stdout


def post(port: int, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Code and answer of a chat completion."""
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("module", ["frontend", "mocker"])
def test_the_tables_are_those_of_the_real_parsers(release: str, module: str) -> None:
    """The tables are read with stand-ins for what is compiled. Asked with all of it there, frontend and mocker have the same
    flags, and say the same to the same command lines."""
    lines = yaml.safe_load(LINES.read_text())[module]
    done = subprocess.run(
        [python(release), "-I", str(PARSERS), module],
        input=json.dumps(lines), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    real = json.loads(done.stdout.splitlines()[-1])
    found = command_line.table(module, release)
    assert found
    assert [[set(flag["names"]) for flag in stage["flags"]] for stage in real["stages"]] == [
        [set(flag.names) for flag in stage.flags] for stage in found.stages
    ]
    for words, answer in zip(lines, real["answers"], strict=True):
        # A place on this machine may be in an answer, so that only whether they take it is compared.
        assert bool(answer) == any(each.fault for each in command_line.read(found, words)), (words, answer)


ROLE = {"gpus": 0, "cpu": "1", "memory": "2Gi", "sharedMemory": "256Mi"}


def test_prefill_and_decode_behind_a_kv_router(cluster: Pods, space: str, release: str, tmp_path: Path) -> None:
    """The longest way a request can take: frontend, KV router, prefill, decode, over discovery by the API server. What is
    rendered and does not start, or starts and is not found, is otherwise seen on the first cluster."""
    pair = {"worker": None, "transport": "tcp", "prefill": ROLE, "decode": {**ROLE, "replicas": 2}, "namespace": space}
    plan = planned(release, {"chat": pair})
    graph = cluster.start(plan, "chat")
    port = frontend(graph).port
    until(lambda: cluster.models(graph) == ["Qwen/Qwen3-0.6B"], "the model is listed", 60)
    # The program's own check, every stage of it: the graph's status comes from the API server.
    rendered = next(dict(item.manifest) for item in plan.objects_of("DynamoGraphDeployment"))
    stored = cluster.plane.create(rendered)
    condition = {"type": "Ready", "status": "True", "reason": "all_resources_are_ready", "message": "", "lastTransitionTime": "2026-11-25T00:00:00Z"}  # fmt: skip
    seen = stored["metadata"]["generation"]
    cluster.plane.patch_status(rendered, {"state": "successful", "observedGeneration": seen, "conditions": [condition]})
    (tmp_path / "token").write_text(cluster.plane.token)
    (tmp_path / "ca.crt").write_bytes(cluster.plane.ca.read_bytes())
    assert graph.smoke is not None
    (tmp_path / "check.py").write_text(graph.smoke.program)
    done = subprocess.run(
        [sys.executable, "-I", "-u", tmp_path / "check.py"],
        env={
            **graph.smoke.environment,
            "STAGE": "all",
            "TIMEOUT_S": "30",
            "KUBERNETES_API": cluster.plane.url,
            "SERVICE_ACCOUNT_DIR": str(tmp_path),
            "TERMINATION_LOG": str(tmp_path / "log"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered in" in done.stdout
    # A prefix that was seen before is in a worker's cache, and the router knows in which.
    words = " ".join(f"word{number}" for number in range(300))
    body = {"model": graph.model, "messages": [{"role": "user", "content": words}], "max_tokens": 8}

    def hits() -> float:
        code, told = post(port, body)
        assert code == 200, told
        return metric(port, "dynamo_component_router_kv_hit_rate_sum")

    until(hits, "the router finds a prefix in a cache", 20, every=0.5)
    # Both roles had their part in it.
    for role in ("prefill", "decode"):
        assert sum(metric(each.port, "dynamo_component_requests_total") for each in workers(graph, role)) > 0, role
    # And what the plan prints to be typed: the completion has words in it. Without a length the mocker says no, which is
    # why the command asks for one.
    printed = plan.outputs["graphs"]["chat"]["curl"].replace("localhost:8000", f"{LOOPBACK}:{port}")
    assert json.loads(shell(printed))["choices"][0]["message"]["content"]
    code, _ = post(port, {key: value for key, value in body.items() if key != "max_tokens"})
    assert code == (400 if DYNAMO[release].strict_prefix else 500)


NAMES: Mapping[bool, Mapping[str, bool]] = {
    False: {"chat-large": True, "chatty": True, "chat-1a2b3c4d": True, "large-chat": False},
    True: {"chat-large": False, "chat-1a2b3c4d": True, "chat-1a2b3c4": False, "chat-legacy": True},
}
"""Graphs beside `chat` whose names begin like its own, or nearly, and whether its frontend takes their workers; by whether
it is a strict one."""


def alone(name: str, namespace: str) -> dict[str, Any]:
    """A graph with one worker, whose model tells whose it is."""
    return {
        "namespace": namespace,
        "worker": {**ROLE, "replicas": 1},
        "servedModelName": f"of-{name}",
        "smokeTest": None,
    }


def refused(release: str, *graphs: tuple[str, str]) -> bool:
    """Whether the settings refuse a stack of these graphs, each a name and a namespace."""
    try:
        planned(release, {name: alone(name, namespace) for name, namespace in graphs})
    except RunError as error:
        assert graphs[-1][0] in str(error) and "the frontend of chat would" in str(error), error
        return True
    return False


def test_whose_workers_a_frontend_serves(cluster: Pods, space: str, release: str) -> None:
    """A request for one graph that is answered by another's workers: another model, other limits, a colleague's GPUs. The
    settings refuse exactly the names that the real frontend mixes up."""
    elsewhere, _, last = space.rpartition("-")
    same = (f"{last}-chat", elsewhere)
    others = [*((name, space) for name in NAMES[DYNAMO[release].strict_prefix]), same]
    with cluster.plane.namespace(elsewhere):
        graph = cluster.start(planned(release, {"chat": alone("chat", space)}), "chat", wait=False)
        started = [
            cluster.start(planned(release, {name: alone(name, where)}), name, only="worker", wait=False)
            for name, where in others
        ]
        # Another namespace and another name make the same words together: `a` and `b-c`, `a-b` and `c`.
        both = [workers(each, "worker")[0].environment["DYN_NAMESPACE"] for each in (graph, started[-1])]
        assert both[0] == both[1]
        for each in (graph, *started):
            cluster.ready(each)
        mixed_up = {f"of-{name}" for name, where in others if refused(release, ("chat", space), (name, where))}
        until(lambda: set(cluster.models(graph)) == {"of-chat", *mixed_up}, f"chat lists its own and {mixed_up}", 60)
        # What is not there may only be late.
        time.sleep(3)
        assert set(cluster.models(graph)) == {"of-chat", *mixed_up}
    assert mixed_up == {f"of-{name}" for name, taken in NAMES[DYNAMO[release].strict_prefix].items() if taken}
