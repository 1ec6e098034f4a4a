"""`make serve` from the outside: what it prints works, Ctrl-C ends all of it, and nothing outlives it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from operations.serve import running, wheels
from tests.engine.control_plane import until
from tests.engine.dynamo import KEPT, python

ROOT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C ends it."


@pytest.fixture(autouse=True)
def _wheels() -> None:
    python("1.5.0")


@pytest.fixture
def port() -> int:
    return running.FreePorts()()


@pytest.fixture
def started(port: int, tmp_path: Path) -> Iterator[Serve]:
    serve = Serve(port, tmp_path / "said")
    yield serve
    serve.end()


class Serve:
    """`python -m operations.serve`, as the Makefile calls it."""

    def __init__(self, port: int, said: Path, *more: str, command: tuple[str, ...] = ()) -> None:
        self._said = said
        with said.open("wb") as output:
            self.child = subprocess.Popen(
                command or (sys.executable, "-m", "operations.serve", "--port", str(port), *more),
                cwd=ROOT,
                env={**os.environ, "SERVE_DIR": str(KEPT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def until_ready(self) -> None:
        def ready() -> bool:
            assert self.child.poll() is None, self.said
            return READY in self.said

        until(ready, f"ready; it said {self.said}", 180, every=0.2)

    def processes(self) -> list[int]:
        """Its frontends and workers: they run in its folder of this run."""
        folder = re.search(r"What they write: (\S+)", self.said)
        assert folder, self.said
        return running_in(str((ROOT / folder[1]).resolve()))

    def end(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGTERM)
            self.child.wait(60)


def running_in(folder: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_it_prints_works_and_interrupt_ends_it(started: Serve) -> None:
    """The first thing that anybody does with this program. A printed command that fails, or a mocker that is still there the
    next day with the port, is the impression that stays."""
    started.until_ready()
    models, chat, stream = [line.strip() for line in started.said.splitlines() if line.strip().startswith("curl ")]
    assert json.loads(shell(models))["data"][0]["id"] == "Qwen/Qwen3-0.6B"
    assert json.loads(shell(chat))["choices"][0]["message"]["content"]
    assert shell(stream).strip().endswith("data: [DONE]")
    assert "Smoke test of mocker: answered in" in started.said
    before = started.processes()
    assert len(before) == 3
    started.child.send_signal(signal.SIGINT)
    assert started.child.wait(30) == 0, started.said
    assert started.processes() == []
    assert started.said.rstrip().endswith("Ended; nothing is left running.")


def test_without_uv(tmp_path: Path) -> None:
    """Most machines have no uv: then venv and pip install the same lock file, here a small one."""
    lock = tmp_path / "requirements.txt"
    lock.write_text("six==1.17.0\n")
    interpreter = wheels.installed(lock, tmp_path / "env", wheels.Watch(), lambda: None)
    said = subprocess.run(
        [interpreter, "-c", "import six; print(six.__version__)"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "1.17.0\n"


def test_nothing_outlives_a_kill(started: Serve) -> None:
    """A terminal that is closed hard, or the kernel out of memory, ends `make serve` without a chance to end the others."""
    started.until_ready()
    assert len(started.processes()) == 3
    started.child.kill()
    started.child.wait()
    until(lambda: not started.processes(), "frontend and workers are gone", 20)


def test_a_worker_that_ends_ends_it(started: Serve) -> None:
    """A frontend without workers answers 503 for ever; the reason is in a file that nobody would look for."""
    started.until_ready()
    victim = max(started.processes())
    os.kill(victim, signal.SIGKILL)
    assert started.child.wait(30) == 1
    assert re.search(r"mocker/\S+ ended with -9\. It wrote last:\n    ", started.said), started.said
    kept = re.search(r"All that was written is in (\S+)\.", started.said)
    assert kept and list((ROOT / kept[1]).glob("*.log"))
    assert started.processes() == []


def test_a_port_in_use_is_told_before_anything_starts(port: int, tmp_path: Path) -> None:
    """Two frontends on one port: the second ends, and requests go to the other graph."""
    with socket.socket() as held:
        held.bind((running.LOOPBACK, port))
        held.listen()
        serve = Serve(port, tmp_path / "said")
        assert serve.child.wait(60) == 2
    assert serve.said == (
        f"Port {port} of this machine cannot be used: Address already in use.\n"
        f"End what listens there, or choose another port: make serve STACK=mocker-local PORT={port + 1000}\n"
    )


def test_ctrl_c_under_make_in_a_terminal(port: int, tmp_path: Path) -> None:
    """In a terminal the interrupt reaches make, the shell and the program at once. make ends by the signal; what it started
    has to have ended in order before that, once and not twice over."""
    controller, terminal = pty.openpty()
    child = subprocess.Popen(
        ["make", "serve", f"PORT={port}"],
        cwd=ROOT,
        env={**os.environ, "SERVE_DIR": str(KEPT)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: take_terminal(0),
    )
    os.close(terminal)
    said = b""
    end = time.monotonic() + 180
    while READY.encode() not in said and time.monotonic() < end:
        said += os.read(controller, 4096)
    folder = re.search(r"What they write: (\S+)", said.decode())
    assert folder, said
    os.write(controller, b"\x03")
    while True:
        try:
            said += os.read(controller, 4096)
        except OSError:
            break
    assert child.wait(30) in (-signal.SIGINT, 130, 2)
    assert b"Ended; nothing is left running." in said and b"Traceback" not in said, said
    assert running_in(str((ROOT / folder[1]).resolve())) == []
    os.close(controller)


def test_interrupt_of_make_alone(port: int, tmp_path: Path) -> None:
    """A supervisor or a script interrupts the one process it knows. make would wait for ever for what it started."""
    serve = Serve(port, tmp_path / "said", command=("make", "serve", f"PORT={port}"))
    try:
        serve.until_ready()
        serve.child.send_signal(signal.SIGINT)
        assert serve.child.wait(30) in (-signal.SIGINT, 130, 2)
        assert "Ended; nothing is left running." in serve.said
        assert serve.processes() == []
    finally:
        serve.end()


def take_terminal(descriptor: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
