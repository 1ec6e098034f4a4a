"""The programs that run in the cluster, against a small HTTP server that plays API server and frontend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "components" / "validation" / "scripts"


@contextmanager
def server(answers: dict[str, Any]) -> Iterator[str]:
    """Answers by path; a list is answered one after another, the last one from then on; an int is a status."""
    asked: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            if length := int(self.headers.get("Content-Length") or 0):
                self.rfile.read(length)
            answer = answers.get(self.path, 404)
            if isinstance(answer, list):
                asked[self.path] = asked.get(self.path, -1) + 1
                answer = answer[min(asked[self.path], len(answer) - 1)]
            status, body = (answer, b"no") if isinstance(answer, int) else (200, json.dumps(answer).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def run(script: str, folder: Path, url: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and termination message."""
    (folder / "token").write_text("t")
    log = folder / "termination-log"
    done = subprocess.run(
        [sys.executable, "-S", str(SCRIPTS / f"{script}.py")],
        capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "SERVICE_ACCOUNT_DIR": str(folder), "KUBERNETES_API": url, "TERMINATION_LOG": str(log),
             "POLL_S": "0.02", "TIMEOUT_S": "0.15", **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, log.read_text() if log.exists() else ""


GRAPH = "/apis/nvidia.com/v1beta1/namespaces/dynamo/dynamographdeployments/chat"


def graph(ready: str = "True", generation: int = 2, observed: int = 2, state: str = "successful") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "pods_not_ready", "message": "1 of 2"}
    components = {"decode": {"readyReplicas": 1, "replicas": 2}}
    status = {"observedGeneration": observed, "conditions": [condition], "state": state, "components": components}
    return {"metadata": {"generation": generation}, "status": status}


MODELS = {"data": [{"id": "m"}]}
ANSWER = {"choices": [{"message": {"content": "Hello!"}}]}


def smoke(folder: Path, answers: dict[str, Any], **environment: str) -> tuple[int, str, str]:
    with server({GRAPH: graph(), "/v1/models": MODELS, "/v1/chat/completions": ANSWER, **answers}) as url:
        return run("smoke", folder, url, NAMESPACE="dynamo", GRAPH="chat", MODEL="m", URL=url, **environment)


def test_a_graph_that_serves(tmp_path: Path) -> None:
    code, output, _ = smoke(tmp_path, {GRAPH: [graph("False"), graph()]})
    assert code == 0 and "Hello!" in output


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (
            {GRAPH: graph("False", state="pending")},
            "not ready in time; last seen: state pending, Ready False (pods_not_ready: 1 of 2)",
        ),
        ({GRAPH: graph(observed=1)}, "generation 1 of 2 seen"),
        ({GRAPH: graph("False", state="failed")}, "the graph failed"),
        ({GRAPH: 403}, "the API server answered: HTTP Error 403"),
        ({"/v1/models": {"data": []}}, "the frontend does not list m; it answered: no model"),
        ({"/v1/chat/completions": 500}, "answered with HTTP 500"),
        ({"/v1/chat/completions": {"choices": [{"message": {"content": " "}}]}}, "HTTP 200 and empty"),
        ({"/v1/chat/completions": {}}, "HTTP 200 and empty"),
    ],
)
def test_a_graph_that_does_not(tmp_path: Path, answers: dict[str, Any], reason: str) -> None:
    """A graph once reported success from its old pods (ai-dynamo/dynamo #3567); `up` must end with the reason."""
    code, output, log = smoke(tmp_path, answers)
    assert code == 1 and reason in log and reason in output


def test_a_slow_first_answer_over_efa_is_told(tmp_path: Path) -> None:
    code, output, _ = smoke(tmp_path, {}, EFA="true", SLOW_S="0")
    assert code == 0 and "LIBFABRIC" in output


def test_the_stage_that_loads_asks_for_nothing(tmp_path: Path) -> None:
    assert smoke(tmp_path, {"/v1/chat/completions": 500}, STAGE="load")[0] == 0
    code, _, log = smoke(tmp_path, {"/v1/models": {"data": []}}, STAGE="load")
    assert code == 1 and "does not list m" in log


def test_the_stage_that_completes_takes_the_graph_as_loaded(tmp_path: Path) -> None:
    assert smoke(tmp_path, {GRAPH: 403}, STAGE="completion")[0] == 0
    code, _, log = smoke(tmp_path, {"/v1/chat/completions": 500}, STAGE="completion")
    assert code == 1 and "HTTP 500" in log


def test_an_unknown_stage_is_no_pass(tmp_path: Path) -> None:
    """It would prove nothing and end well."""
    code, _, log = smoke(tmp_path, {}, STAGE="laod")
    assert code == 1 and log == "there is no stage laod"


def platform(folder: Path, served: Any) -> tuple[int, str, str]:
    with server({"/apis/nvidia.com/v1beta1": served}) as url:
        return run("platform_check", folder, url, RESOURCES="nvidia.com/v1beta1/dynamographdeployments")


def test_platform_that_serves_its_kinds(tmp_path: Path) -> None:
    served = {"resources": [{"name": "dynamographdeployments"}]}
    assert platform(tmp_path, [404, served])[0] == 0


def test_platform_that_does_not(tmp_path: Path) -> None:
    """A graph made before its kind is served fails with a message about something else."""
    code, _, log = platform(tmp_path, {"resources": []})
    assert code == 1 and log == "the API server does not serve nvidia.com/v1beta1/dynamographdeployments"
