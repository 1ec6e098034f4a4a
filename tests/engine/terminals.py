"""A terminal of one's own, in which a command is typed and Ctrl-C is pressed.

Real: the pseudo-terminal, the process group it sends Ctrl-C to, make, the commands of `operations` and the pulumi CLI. The
program runs in this process, behind the CLI's `--client`, as with the Automation API.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

from recording.world import ACCOUNT
from tests.engine.engine import ROOT, Stack

_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one that sends this session its Ctrl-C, and becomes the command."""


class Terminal:
    """One command in a terminal."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        # Without a size the CLI shows what it shows in a pipeline.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *words],
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # closed at the other end
            while read := os.read(self._ours, 65536):
                self._seen += read

    @property
    def text(self) -> str:
        return " ".join(self._seen.decode(errors="replace").split())

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ctrl_c(self) -> None:
        self.type("\x03")

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self._ours)

    def end(self, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code


def until(condition: Callable[[], object], seconds: float = 30.0, what: str = "it") -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} has not happened in {seconds} s"
        time.sleep(0.05)


@contextlib.contextmanager
def program_served(program: Callable[[], object]) -> Iterator[str]:
    """Serve a program to a CLI; the argument that makes it ask there."""
    server = grpc.server(ThreadPoolExecutor(4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # A program whose engine was stopped ends with an error of its own.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    try:
        yield f"--client=127.0.0.1:{port}"
    finally:
        server.stop(0)


def makefile_in(folder: Path) -> list[str]:
    """`make`, in a folder that holds a stack of the tests, with an environment that is installed already."""
    programs = folder / "installed" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / "requirements.txt").touch()
    if not (folder / "tools").exists():
        (folder / "tools").symlink_to(ROOT / "tools")
    (folder / "installed" / ".installed").touch()
    return ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "VENV=installed", f"PY={python}"]


def signalled(process: subprocess.Popen[str], *numbers: signal.Signals, every_s: float = 0.3) -> None:
    """Send signals to one process, as whoever cancels a job does."""
    for number in numbers:
        process.send_signal(number)
        time.sleep(every_s)


class _Identity(BaseHTTPRequestHandler):
    """STS, as far as it says who calls; every other service refuses."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        known = b"GetCallerIdentity" in asked
        answer = (
            "<GetCallerIdentityResponse><GetCallerIdentityResult>"
            f"<Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:user/operator</Arn><UserId>AIDA</UserId>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(answer.encode() if known else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@cache
def _identity_service() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Identity)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Interrupted:
    """A stack, and what is typed."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CI"))},
            **(stack._stack.workspace.env_vars or {}),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": _identity_service(),
        }

    def operations(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "operations", words[0], "--stack", self.stack.name, *words[1:]]

    def make(self, *words: str) -> list[str]:
        return [*makefile_in(self.stack.folder), *words, f"STACK={self.stack.name}"]

    def terminal(self, words: list[str]) -> Terminal:
        return Terminal(words, self.stack.folder, self.environment)

    def run(self, words: list[str]) -> tuple[int, str]:
        """Exit code and output, in a pipeline: without a terminal."""
        child = self.start(words)
        said, _ = child.communicate(timeout=120)
        return child.returncode, " ".join(said.split())

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.stack.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def names(self) -> list[str]:
        return sorted(
            item["urn"].rsplit("::", 1)[1] for item in self.stack.resources if item["type"].startswith("aws:")
        )

    @property
    def pending(self) -> list[Mapping[str, Any]]:
        return self.stack.export().get("pending_operations") or []

    @property
    def locks(self) -> list[Path]:
        return list(self.stack.folder.glob("backend/.pulumi/locks/**/*.json"))
