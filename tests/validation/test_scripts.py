"""The programs that run in the cluster, against a small HTTP server that plays API server and frontend."""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.validation.programs import SCRIPTS, Clock, program, run, server

GRAPH = "/apis/nvidia.com/v1beta1/namespaces/dynamo/dynamographdeployments/chat"
COMPLETIONS = "/v1/chat/completions"


# --- what all of them do -----------------------------------------------------------------------------------------------


NOT_FOUND = "HTTP Error 404: Not Found"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("smoke", f"not ready in time; last seen: the API server answered: {NOT_FOUND}"),
        ("platform_check", f"the API server does not serve a/b/c ({NOT_FOUND})"),
        ("rack_devices", f"the API server answered: {NOT_FOUND}\nthe result could not be written: {NOT_FOUND}"),
        (
            "mpi_result",
            "not done in time; last seen: the API server answered: Expecting value: line 1 column 1 (char 0); "
            f"the result could not be written: {NOT_FOUND}",
        ),
    ],
)
def test_a_program_runs_as_a_pod_runs_it(script: str, reason: str, tmp_path: Path) -> None:
    """With a package that the image does not have it fails on the block's first minute, and for a reason of its own."""
    (tmp_path / "token").write_text("t")
    log = tmp_path / "termination-log"
    names = ("NAMESPACE", "GRAPH", "MODEL", "RESULT", "RACK", "RACK_LABEL", "MPIJOB", "TEST", "INSTANCE_TYPE",
             "DRIVER_BRANCH")  # fmt: skip
    numbers = ("NODES", "GPUS", "EFA", "HUGEPAGES_MIB", "CLIQUES")
    with server({}) as url:
        done = subprocess.run(
            [sys.executable, "-S", "-u", str(SCRIPTS / f"{script}.py")],
            capture_output=True, text=True, timeout=30, check=False,
            env={**os.environ, **dict.fromkeys(names, "x"), **dict.fromkeys(numbers, "1"), "URL": url, "MARKS": "{}",
                 "RESOURCES": "a/b/c", "SERVICE_ACCOUNT_DIR": str(tmp_path), "KUBERNETES_API": url,
                 "TERMINATION_LOG": str(log), "POLL_S": "0.02", "TIMEOUT_S": "0.01", "MANIFEST": os.devnull},
        )  # fmt: skip
    assert (done.returncode, done.stderr, log.read_text()) == (1, "", reason)


class _Answer(io.BytesIO):
    """An empty list of everything."""

    def __init__(self) -> None:
        super().__init__(b'{"resources": []}')


@pytest.mark.parametrize(
    ("script", "call", "sent"),
    [
        ("smoke", lambda module: module.kubernetes("/a"), ("GET", "/a", None, {}, 30)),
        ("platform_check", lambda module: module.served("g/v1"), ("GET", "/apis/g/v1", None, {}, 30)),
        (
            "rack_devices",
            lambda module: module.kubernetes("/a"),
            ("GET", "/a", None, {"Content-type": "application/json"}, 30),
        ),
        (
            "rack_devices",
            lambda module: module.kubernetes("/a", {"b": 1}, "PUT"),
            ("PUT", "/a", b'{"b": 1}', {"Content-type": "application/json"}, 30),
        ),
        (
            "mpi_result",
            lambda module: module.request("/a"),
            ("GET", "/a", None, {"Content-type": "application/json"}, 60),
        ),
        (
            "mpi_result",
            lambda module: module.request("/a", {"b": 1}, "DELETE"),
            ("DELETE", "/a", b'{"b": 1}', {"Content-type": "application/json"}, 60),
        ),
    ],
)
@pytest.mark.parametrize("api", ["https://10.0.0.1:443", "http://127.0.0.1:8001"])
def test_the_api_server_is_asked_as_the_account(
    script: str, call: Callable[[Any], Any], sent: tuple[Any, ...], api: str, tmp_path: Path
) -> None:
    """Without its token the check is anonymous and refused; without the cluster's authority it talks to anybody; and
    without a limit one lost packet holds it until the Job's deadline, which tells nothing."""
    (tmp_path / "token").write_text("t\n")
    method, path, body, headers, limit = sent
    with (
        mock.patch.multiple(program(script), API=api, ACCOUNT=str(tmp_path)),
        mock.patch.object(ssl, "create_default_context", lambda cafile: f"trusts {cafile}"),
        mock.patch.object(urllib.request, "urlopen", return_value=_Answer()) as urlopen,
    ):
        call(program(script))
    (asked,), named = urlopen.call_args
    assert (asked.get_method(), asked.full_url, asked.data) == (method, api + path, body)
    assert dict(asked.header_items()) == {"Authorization": "Bearer t", **headers}
    trusted = f"trusts {tmp_path}/ca.crt" if api.startswith("https") else None
    assert named == {"timeout": limit, "context": trusted}


# --- a graph's smoke test ----------------------------------------------------------------------------------------------


def graph(ready: str = "True", generation: int = 2, observed: int = 2, state: str = "successful") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "pods_not_ready", "message": "1 of 2"}
    components = {"prefill": {"readyReplicas": 2, "replicas": 2}, "decode": {"readyReplicas": 1, "replicas": 2}}
    conditions = [{"type": "Scheduled", "status": "True"}, condition]
    status = {"observedGeneration": observed, "conditions": conditions, "state": state, "components": components}
    return {"metadata": {"generation": generation}, "status": status}


MODELS = {"data": [{"id": "m"}]}
ANSWER = {"choices": [{"message": {"content": "Hello!"}}]}
PODS = "decode 1/2, prefill 2/2"


def smoke(
    folder: Path,
    answers: dict[str, Any],
    clock: Clock | None = None,
    asked: list[tuple[str, str, Any]] | None = None,
    **environment: str,
) -> tuple[int, str, str]:
    with server({GRAPH: graph(), "/v1/models": MODELS, COMPLETIONS: ANSWER, **answers}, asked) as url:
        return run(
            "smoke",
            folder,
            url,
            clock,
            **{"NAMESPACE": "dynamo", "GRAPH": "chat", "MODEL": "m", "URL": url, **environment},
        )


def test_a_graph_that_serves(tmp_path: Path) -> None:
    """What it waits for is told once, and asked for as long as it was given."""
    clock, asked = Clock(), []
    waits = [graph("False"), graph("False"), 503, graph("False", state="pending"), graph()]
    models = [503, {"data": [{"id": "n"}]}, {"data": [{"id": "n"}, {"id": "m"}]}]
    code, output, log = smoke(tmp_path, {GRAPH: waits, "/v1/models": models}, clock, asked, TIMEOUT_S="60")
    assert (code, log) == (0, "")
    not_ready = f"Ready False (pods_not_ready: 1 of 2), generation 2 of 2 seen, {PODS}"
    assert output.splitlines() == [
        f"state successful, {not_ready}",
        f"state pending, {not_ready}",
        f"state successful, Ready True (pods_not_ready: 1 of 2), generation 2 of 2 seen, {PODS}",
        "answered in 0.0 s: Hello!",
    ]
    assert clock.slept == [10.0] * 6
    messages = [{"role": "user", "content": "Say hello."}]
    question = {"model": "m", "temperature": 0, "max_tokens": 16, "messages": messages}
    assert asked == [
        *[("GET", GRAPH, None)] * 5,
        *[("GET", "/v1/models", None)] * 3,
        ("POST", COMPLETIONS, question),
    ]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (
            {GRAPH: graph("False", state="pending")},
            "not ready in time; last seen: state pending, Ready False (pods_not_ready: 1 of 2), generation 2 of 2 seen, "
            + PODS,
        ),
        (
            {GRAPH: graph(observed=1)},
            "not ready in time; last seen: state successful, Ready True (pods_not_ready: 1 of 2), generation 1 of 2 seen, "
            + PODS,
        ),
        # The old generation's failure is what the new one mends.
        (
            {GRAPH: graph("False", observed=1, state="failed")},
            "not ready in time; last seen: state failed, Ready False (pods_not_ready: 1 of 2), generation 1 of 2 seen, "
            + PODS,
        ),
        (
            {GRAPH: graph("False", state="failed")},
            "the graph failed: state failed, Ready False (pods_not_ready: 1 of 2), generation 2 of 2 seen, " + PODS,
        ),
        # Nothing has looked at it yet.
        (
            {GRAPH: {"metadata": {"generation": 1}}},
            "not ready in time; last seen: state unknown, Ready unknown (no reason: no message), generation 0 of 1 seen, "
            "no components yet",
        ),
        (
            {GRAPH: {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}},
            "not ready in time; last seen: state unknown, Ready True (no reason: no message), generation 0 of None seen, "
            "no components yet",
        ),
        (
            {GRAPH: {"metadata": {"generation": 1}, "status": {"conditions": None, "components": {"decode": {}}}}},
            "not ready in time; last seen: state unknown, Ready unknown (no reason: no message), generation 0 of 1 seen, "
            "decode 0/0",
        ),
        ({GRAPH: 403}, "not ready in time; last seen: the API server answered: HTTP Error 403: Forbidden"),
        ({"/v1/models": {"data": []}}, "the frontend does not list m; it answered: no model"),
        ({"/v1/models": {"data": [{"id": "n"}, {"id": "o"}]}}, "the frontend does not list m; it answered: n, o"),
        ({"/v1/models": 503}, "the frontend does not list m; it answered: HTTP Error 503: Service Unavailable"),
        ({COMPLETIONS: (500, b"\xff" * 501)}, "a completion was answered with HTTP 500: " + "\ufffd" * 500),
    ],
)
def test_a_graph_that_does_not(tmp_path: Path, answers: dict[str, Any], reason: str) -> None:
    """A graph once reported success from its old pods (ai-dynamo/dynamo #3567); `up` must end with the reason."""
    code, output, log = smoke(tmp_path, answers)
    assert (code, log) == (1, reason)
    assert output.splitlines()[-1] == f"FAILED: {reason}"


EMPTY = "the answer was HTTP 200 and empty, as when a worker holds a part of its node's EFA interfaces: "


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"choices": [{"message": {"content": " Hello! "}}]}, "Hello!"),
        ({"choices": [{"message": {"content": "", "reasoning_content": "They want a greeting."}}]}, "They want a greeting."),
        ({"choices": [{"message": {"content": "Hi", "reasoning_content": "They want a greeting."}}]}, "Hi"),
        ({"choices": [{"message": {"content": "a" * 201}}]}, "a" * 200),
        ({"choices": [{"message": {"content": " "}}]}, None),
        ({"choices": [{"message": {"content": None}}]}, None),
        ({"choices": [{"message": None}]}, None),
        ({"choices": []}, None),
        ({}, None),
        (b"[]", None),
        (b"\xff" * 301, None),
    ],
)  # fmt: skip
def test_an_answer_without_words_is_none(tmp_path: Path, answer: Any, told: str | None) -> None:
    """Workers that share a node's EFA interfaces answer with HTTP 200 and nothing, and clients see an empty chat."""
    code, output, log = smoke(tmp_path, {COMPLETIONS: answer})
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    assert log == ("" if told else EMPTY + raw.decode(errors="replace")[:300])
    assert code == (0 if told else 1)
    assert output.splitlines()[-1] == (f"answered in 0.0 s: {told}" if told else f"FAILED: {log}")


@pytest.mark.parametrize(("efa", "seconds", "warned"), [("true", 31, True), ("true", 30, False), ("false", 31, False)])
def test_a_slow_first_answer_over_efa_is_told(tmp_path: Path, efa: str, seconds: int, warned: bool) -> None:
    """KV blocks that go over TCP answer right, and at a fraction of the speed that was paid for."""
    clock = Clock()

    def slow() -> Any:
        clock.now += seconds
        return ANSWER

    code, output, _ = smoke(tmp_path, {COMPLETIONS: slow}, clock, EFA=efa)
    warning = (
        "WARNING: 31 s to the first answer hints at KV blocks going over TCP; look for 'Backend LIBFABRIC was instantiated' "
        "in the workers' logs"
    )
    assert code == 0
    assert output.splitlines()[1:] == [f"answered in {seconds}.0 s: Hello!", *([warning] if warned else [])]


def test_the_stage_that_loads_asks_for_nothing(tmp_path: Path) -> None:
    assert smoke(tmp_path, {COMPLETIONS: 500}, STAGE="load")[0] == 0
    code, _, log = smoke(tmp_path, {"/v1/models": {"data": []}}, STAGE="load")
    assert code == 1 and "does not list m" in log


def test_the_stage_that_completes_takes_the_graph_as_loaded(tmp_path: Path) -> None:
    assert smoke(tmp_path, {GRAPH: 403}, STAGE="completion")[0] == 0
    code, _, log = smoke(tmp_path, {COMPLETIONS: 500}, STAGE="completion")
    assert code == 1 and "HTTP 500" in log


def test_an_unknown_stage_is_no_pass(tmp_path: Path) -> None:
    """It would prove nothing and end well."""
    code, _, log = smoke(tmp_path, {}, STAGE="laod")
    assert code == 1 and log == "there is no stage laod"


@pytest.mark.parametrize("answers", [{GRAPH: 503}, {"/v1/models": 503}])
def test_a_graph_has_all_of_its_time(tmp_path: Path, answers: dict[str, Any]) -> None:
    """An hour's load that ends on the last look would be thrown away."""
    clock = Clock()
    assert smoke(tmp_path, answers, clock, TIMEOUT_S="20")[0] == 1
    assert clock.slept == [10.0] * 3


def test_a_frontend_that_hangs_up_or_hangs_is_told(tmp_path: Path) -> None:
    """A completion may take minutes, and no more than five."""
    answer = mock.Mock(side_effect=urllib.error.URLError("connection refused"))
    with mock.patch.object(urllib.request, "urlopen", answer), pytest.raises(SystemExit), log_at(tmp_path / "log"):
        program("smoke").complete("http://chat", "m", False)
    assert (tmp_path / "log").read_text() == "a completion failed: <urlopen error connection refused>"
    (asked,), named = answer.call_args
    assert (asked.get_method(), asked.full_url, named) == ("POST", "http://chat/v1/chat/completions", {"timeout": 300})
    assert dict(asked.header_items()) == {"Content-type": "application/json"}


def log_at(path: Path) -> Any:
    return mock.patch.object(program("smoke"), "TERMINATION_LOG", str(path))


def test_a_reason_that_cannot_be_left_is_still_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback about the termination log would hide why the graph does not serve."""
    with log_at(tmp_path), pytest.raises(SystemExit) as end:
        program("smoke").fail("no model")
    assert end.value.code == 1
    assert capsys.readouterr().out == f"FAILED: no model\ntermination log: [Errno 21] Is a directory: '{tmp_path}'\n"


# --- the platform's kinds ----------------------------------------------------------------------------------------------

GRAPHS, MODELS_KIND = "nvidia.com/v1beta1/dynamographdeployments", "nvidia.com/v1alpha1/dynamomodels"


def platform(folder: Path, served: Any, clock: Clock | None = None, **environment: str) -> tuple[int, str, str]:
    kinds = {"/apis/nvidia.com/v1alpha1": {"resources": [{"name": "dynamomodels"}]}}
    with server({**kinds, "/apis/nvidia.com/v1beta1": served}) as url:
        return run("platform_check", folder, url, clock, RESOURCES=f"{GRAPHS},{MODELS_KIND}", **environment)


SERVED = {"resources": [{"name": "dynamographdeployments"}, {"name": "dynamographdeployments/status"}]}


def test_platform_that_serves_its_kinds(tmp_path: Path) -> None:
    clock = Clock()
    code, output, log = platform(tmp_path, [404, SERVED], clock)
    assert (code, log, clock.slept) == (0, "", [10.0])
    assert output.splitlines() == [
        f"not served yet: {GRAPHS} (HTTP Error 404: Not Found)",
        f"served: {GRAPHS}, {MODELS_KIND}",
    ]


@pytest.mark.parametrize(
    ("served", "lacking"),
    [
        ({"resources": []}, GRAPHS),
        ({"resources": [{"name": "dynamographdeployments/status"}]}, GRAPHS),
        (403, f"{GRAPHS} (HTTP Error 403: Forbidden)"),
        ({}, f"{GRAPHS} ('resources')"),
    ],
)
def test_platform_that_does_not(tmp_path: Path, served: Any, lacking: str) -> None:
    """A graph made before its kind is served fails with a message about something else."""
    clock = Clock()
    code, output, log = platform(tmp_path, served, clock, TIMEOUT_S="20")
    assert (code, log) == (1, f"the API server does not serve {lacking}")
    assert output.splitlines() == [f"not served yet: {lacking}"] * 4
    assert clock.slept == [10.0] * 3


def test_every_kind_that_lacks_is_told(tmp_path: Path) -> None:
    with server({}) as url:
        _, output, log = run("platform_check", tmp_path, url, RESOURCES="a/v1/b,c/v1/d")
    lacking = "a/v1/b (HTTP Error 404: Not Found), c/v1/d (HTTP Error 404: Not Found)"
    assert log == f"the API server does not serve {lacking}"
    assert output.splitlines() == [f"not served yet: {lacking}"] * 2
