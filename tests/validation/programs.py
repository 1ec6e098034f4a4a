"""Runs the programs of the cluster: in this process, and on a clock that moves only while they sleep."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

SCRIPTS = Path(__file__).parents[2] / "components" / "validation" / "scripts"


def program(name: str) -> ModuleType:
    """A program of the cluster as a module."""
    return importlib.import_module(f"components.validation.scripts.{name}")


class Clock:
    """Stands in for `time`; 1000 s since the machine started, so that a deadline counted from zero has passed."""

    def __init__(self, meanwhile: Callable[[], Any] = lambda: None) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._meanwhile = meanwhile

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < 20, "it waits for ever"
        self.slept.append(seconds)
        self.now += seconds
        # Once.
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()


def run(script: str, folder: Path, url: str, clock: Clock | None = None, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and termination message. It asks every 10 s, and for 5 s unless told otherwise."""
    (folder / "token").write_text("t\n")
    log = folder / "termination-log"
    log.unlink(missing_ok=True)
    constants: dict[str, Any] = {"ACCOUNT": str(folder), "API": url, "POLL_S": 10.0, "TERMINATION_LOG": str(log)}
    output, code = io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, {"TIMEOUT_S": "5", **environment}, clear=True),
        mock.patch.multiple(program(script), time=clock or Clock(), **constants),
        contextlib.redirect_stdout(output),
    ):
        try:
            program(script).main()
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
    return code, output.getvalue(), log.read_text() if log.exists() else ""


def refusing(name: str) -> Callable[..., Any]:
    """An `open` that finds the disk full for a file of this name."""

    def opened(path: str, *given: Any) -> Any:
        if Path(path).name == name:
            raise OSError("no space left")
        return Path(path).open(*given)

    return opened


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """URL of a server on the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def server(answers: dict[str, Any], asked: list[tuple[str, str, Any]] | None = None) -> Iterator[str]:
    """Answers by path; a list is answered one after another, the last one from then on; an int is a status.

    Bytes are sent as they are, and what can be called is called for its answer.
    """
    asked = [] if asked is None else asked

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, json.loads(self.rfile.read(length)) if length else None))
            answer = answers.get(self.path, 404)
            if isinstance(answer, list):
                times = sum(path == self.path for _, path, _ in asked)
                answer = answer[min(times, len(answer)) - 1]
            if callable(answer):
                answer = answer()
            status, body = (
                answer if isinstance(answer, tuple) else (answer, b"no") if isinstance(answer, int) else (200, answer)
            )
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with listening(Handler) as url:
        yield url
