"""Processes of graphs on this machine: started together, watched, asked whether they serve, and ended together."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from operations.serve.processes import LOOPBACK, LocalGraph, Process, SmokeTest

POLL_S = 0.2
STOP_AT_MOST_S = 20.0
"""Longest time given to a process that is told to end; the mocker takes less than one second."""
_PR_SET_PDEATHSIG = 1
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
"""Of the caller's environment. A container has none of it: a DYN_ or HF_ variable of a shell must not decide here."""


class NotServing(Exception):
    """A process ended, or the graph did not become ready; the text says which and what it wrote last."""


class Stop:
    """Whether somebody wants an end: Ctrl-C, `kill`, a closed terminal. Ends waits instead of raising in the middle of one."""

    def __init__(self) -> None:
        self._told = False
        # Told to make alone, an interrupt goes no further: make waits for what it started. What can be seen from here is that
        # it no longer catches the signal.
        self._make = os.getppid() if "MAKELEVEL" in os.environ and _catches_interrupt(os.getppid()) else None

    @property
    def wanted(self) -> bool:
        if self._make is not None and not _catches_interrupt(self._make):
            self._told = True
        return self._told

    def __enter__(self) -> Stop:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True


def _catches_interrupt(process: int) -> bool:
    """Whether a process has a handler for SIGINT (proc_pid_status(5)); no for one that is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) & 1 << (signal.SIGINT - 1))


def port_taken(port: int) -> str | None:
    """Why nothing can listen on a port of this machine; None when it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return os.strerror(error.errno or 0)
    return None


class FreePorts:
    """Ports that nothing listens on, each given once. Below 32768: the runtime reads `DYN_SYSTEM_PORT` as an i16 (1.5.0), and
    the kernel gives those above to outgoing connections."""

    RANGE = range(20000, 32768)

    def __init__(self) -> None:
        self._left = random.sample(self.RANGE, len(self.RANGE))

    def __call__(self) -> int:
        while True:
            if not port_taken(port := self._left.pop()):
                return port


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when the one that started it is gone, however it went (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


@dataclass(frozen=True, slots=True)
class Running:
    """A process and where it writes."""

    process: Process
    child: subprocess.Popen[bytes]
    log: Path

    def last_words(self, count: int = 12) -> str:
        """The end of what it wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines()[-count:]
        return "\n".join(f"    {line}" for line in lines)


class Group:
    """Processes that live and end together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        """Where each writes, and what they take for their home."""
        self.members: list[Running] = []

    def start(self, process: Process, python: Path) -> None:
        """Start one with an interpreter of its release, apart from the terminal: Ctrl-C reaches `make serve` alone, which ends them in order."""
        log = self._folder / f"{process.name.replace('/', '-')}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [str(python), *process.command[1:]],
                env={**_base(self._folder), **process.environment},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Whatever happens to this process, none of them is left behind.
                preexec_fn=end_with_parent,
            )
        self.members.append(Running(process, child, log))

    def check(self) -> None:
        """Raise NotServing when one has ended by itself."""
        for member in self.members:
            if (code := member.child.poll()) is not None:
                raise NotServing(f"{member.process.name} ended with {code}. It wrote last:\n{member.last_words()}")

    def stop(self) -> list[str]:
        """End all, as the kubelet does: SIGTERM, the grace period, SIGKILL. Names of those that had to be killed."""
        for member in self.members:
            _signal(member, signal.SIGTERM)
        end = time.monotonic() + min(STOP_AT_MOST_S, max((item.process.grace_s for item in self.members), default=0))
        killed = []
        for member in self.members:
            try:
                member.child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(member.process.name)
            # Also what a process has started itself and not ended.
            _signal(member, signal.SIGKILL)
            member.child.wait()
        self.members.clear()
        return killed


def _signal(member: Running, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(member.child.pid, number)


def _base(folder: Path) -> dict[str, str]:
    # A home of its own: a token or settings of this user's home are no part of the graph.
    return {**{key: os.environ[key] for key in _KEPT if key in os.environ}, "HOME": str(folder)}


_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answer(url: str) -> bytes | None:
    """Body of an HTTP 200, None for anything else."""
    try:
        with _WITHOUT_PROXY.open(url, timeout=5) as response:
            return response.read()
    except (urllib.error.URLError, OSError):
        return None


def listed(port: int) -> list[str]:
    """Models that a frontend lists."""
    body = answer(f"http://{LOOPBACK}:{port}/v1/models")
    if body is None:
        return []
    try:
        return [item["id"] for item in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def missing(graphs: Iterable[LocalGraph]) -> list[str]:
    """What does not serve yet: workers whose health is not good, frontends that do not list their model."""
    found = []
    for graph in graphs:
        for process in graph.processes:
            if process.frontend:
                if graph.model not in listed(process.port):
                    found.append(process.name)
            elif answer(f"http://{LOOPBACK}:{process.port}/health") is None:
                found.append(process.name)
    return found


def wait_until_serving(group: Group, graphs: Sequence[LocalGraph], stop: Stop, seconds: float) -> None:
    """Return when every worker is healthy and every model listed, or when a stop is wanted. Raises NotServing when a
    process ends or the time is over."""
    end = time.monotonic() + seconds
    while not stop.wanted:
        group.check()
        left = missing(graphs)
        if not left:
            return
        if time.monotonic() > end:
            told = "\n".join(
                f"  {member.process.name} wrote last:\n{member.last_words()}"
                for member in group.members
                if member.process.name in left
            )
            raise NotServing(f"not ready after {seconds:.0f} s: {', '.join(left)}\n{told}")
        time.sleep(POLL_S)


def smoke(test: SmokeTest, folder: Path, stopped: Callable[[], bool] = lambda: False) -> tuple[bool, str]:
    """Run a graph's check as its Job does, with an interpreter that has nothing but the standard library in use. Whether it
    passed, and what it said. It ends at once when `stopped` says so."""
    program = folder / "check.py"
    program.write_text(test.program)
    said = (folder / "check.log").open("w+")
    child = subprocess.Popen(
        [sys.executable, "-I", "-u", str(program)],
        env={**_base(folder), **test.environment, "TERMINATION_LOG": str(folder / "termination-log")},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    with said:
        while child.poll() is None:
            if stopped():
                child.kill()
            time.sleep(0.05)
        said.seek(0)
        return child.returncode == 0, said.read().strip()
