"""Processes that live and end together, with small programs in place of Dynamo (tests/engine/test_serve.py has the real one)."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from operations.serve import running
from operations.serve.processes import LocalGraph, Process, SmokeTest

PYTHON = Path(sys.executable)


def process(name: str, program: str, *, port: int = 1, frontend: bool = False, grace_s: int = 5) -> Process:
    return Process(f"graph/{name}", frontend, ("python3", "-c", program), {"OWN": "given"}, port, grace_s)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[running.Group]:
    found = running.Group(tmp_path)
    yield found
    found.stop()


def eventually(path: Path, text: str) -> None:
    end = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, path
        time.sleep(0.02)


IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
ORDERLY = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0))); print('up', flush=True); time.sleep(60)"  # fmt: skip
PARENT = "import subprocess, sys, time; print('child', subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"  # fmt: skip


def test_an_end_is_asked_for_and_then_taken(group: running.Group, tmp_path: Path) -> None:
    """A request in flight is finished; what hangs is not left behind with its port."""
    group.start(process("orderly", ORDERLY), PYTHON)
    group.start(process("ignores", IGNORES, grace_s=1), PYTHON)
    group.start(process("parent", PARENT), PYTHON)
    for name, text in (("orderly", "up"), ("ignores", "up"), ("parent", "child")):
        eventually(tmp_path / f"graph-{name}.log", text)
    grandchild = int((tmp_path / "graph-parent.log").read_text().split()[1])
    began = time.monotonic()
    assert group.stop() == ["graph/ignores"]
    assert 4 < time.monotonic() - began < 15, "the longest grace of the group"
    assert "bye" in (tmp_path / "graph-orderly.log").read_text()
    status = Path(f"/proc/{grandchild}/status")
    assert not status.exists() or "zombie" in status.read_text()


def test_environment_is_that_of_the_graph(
    group: running.Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DYN_NAMESPACE or HF_TOKEN of the shell would decide here and be missing on the cluster."""
    for name in ("DYN_NAMESPACE", "HF_TOKEN", "HTTP_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, "of the shell")
    group.start(process("one", "import os; print(sorted(os.environ), os.environ['OWN'], os.environ['HOME'], flush=True); input()"), PYTHON)  # fmt: skip
    eventually(tmp_path / "graph-one.log", str(tmp_path))
    said = (tmp_path / "graph-one.log").read_text()
    assert "given" in said and "of the shell" not in said
    assert not [name for name in ("DYN_NAMESPACE", "HF_TOKEN", "HTTP_PROXY", "PYTHONPATH") if name in said]


def test_one_that_ends_is_named_with_its_last_words(group: running.Group, tmp_path: Path) -> None:
    """Otherwise the frontend goes on and answers 503."""
    group.start(process("well", "import time; time.sleep(60)"), PYTHON)
    group.check()
    group.start(process("short", "raise SystemExit('no port')"), PYTHON)
    group.members[1].child.wait()
    with pytest.raises(running.NotServing) as caught:
        group.check()
    assert str(caught.value) == "graph/short ended with 1. It wrote last:\n    no port"


class Health(http.server.BaseHTTPRequestHandler):
    code, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def health() -> Iterator[tuple[type[Health], int]]:
    handler = type("Own", (Health,), {})
    server = http.server.ThreadingHTTPServer((running.LOOPBACK, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, server.server_port
    server.shutdown()
    server.server_close()


def local(*processes: Process) -> LocalGraph:
    return LocalGraph("graph", "dynamo", "1.5.0", "org/model", processes, None)


def test_ready_means_listed_and_healthy(health: tuple[type[Health], int]) -> None:
    """A frontend that lists nothing, or another model, answers 404; a worker that still loads answers 503."""
    handler, port = health
    worker, frontend = process("worker", "", port=port), process("frontend", "", port=port, frontend=True)
    graph = local(worker, frontend)
    assert running.missing([graph]) == ["graph/frontend"]
    handler.body = b'{"data": [{"id": "org/other"}]}'
    assert running.missing([graph]) == ["graph/frontend"]
    handler.body = b'{"data": [{"id": "org/other"}, {"id": "org/model"}]}'
    assert running.missing([graph]) == []
    handler.code = 503
    assert running.missing([graph]) == ["graph/worker", "graph/frontend"]
    nobody = running.FreePorts()()
    assert running.missing([local(process("worker", "", port=nobody))]) == ["graph/worker"]


def test_waiting_ends(group: running.Group, tmp_path: Path) -> None:
    """With the reason after its time, at once when somebody wants an end, and when a process ends."""
    nobody = running.FreePorts()()
    slow = process("slow", "print('loading', flush=True); import time; time.sleep(60)", port=nobody)
    group.start(slow, PYTHON)
    eventually(tmp_path / "graph-slow.log", "loading")
    with running.Stop() as stop:
        with pytest.raises(running.NotServing) as caught:
            running.wait_until_serving(group, [local(slow)], stop, 0.3)
        assert str(caught.value) == "not ready after 0 s: graph/slow\n  graph/slow wrote last:\n    loading"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with running.Stop() as other:
                assert not other.wanted
                os.kill(os.getpid(), number)
                running.wait_until_serving(group, [local(slow)], other, 30)
                assert other.wanted
    group.start(process("short", "raise SystemExit(7)"), PYTHON)
    with running.Stop() as stop, pytest.raises(running.NotServing, match="graph/short ended with 7"):
        running.wait_until_serving(group, [local(slow)], stop, 30)


def test_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdict is its exit code, and its reason is shown."""
    monkeypatch.setenv("MODEL", "of the shell")
    program = "import os, sys; print(os.environ.get('MODEL'), os.environ['TERMINATION_LOG'].startswith(os.environ['HOME'])); sys.exit(int(os.environ['CODE']))"  # fmt: skip
    assert running.smoke(SmokeTest(program, {"CODE": "0"}), tmp_path) == (True, "None True")
    assert running.smoke(SmokeTest(program, {"CODE": "1", "MODEL": "m"}), tmp_path) == (False, "m True")


def test_ports() -> None:
    """The runtime reads a health port as an i16, and one port twice is a worker that ends."""
    ports = running.FreePorts()
    given = [ports() for _ in range(200)]
    assert len(set(given)) == 200 and max(given) < 2**15 and min(given) >= 20000
    with socket.socket() as held:
        held.bind((running.LOOPBACK, 0))
        held.listen()
        assert running.port_taken(held.getsockname()[1]) == "Address already in use"
        only = running.FreePorts()
        only._left = [given[0], held.getsockname()[1]]
        assert only() == given[0]
    assert running.port_taken(given[0]) is None
