"""Child processes that are let end by themselves.

`subprocess.run` kills its child a quarter of a second after Ctrl-C (`Popen.wait` in the standard library). An engine killed
then leaves its lock, and deletions and creations whose end nobody learns. One interrupt makes the engine stop in order;
a second one makes it give up at once (pulumi, pkg/backend/cancellation_scope.go, v3.259). So it must get exactly one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a cancelled job of a pipeline, a terminal that was closed."""


@dataclass(frozen=True)
class Ended:
    """A child that has ended."""

    code: int
    """Its exit code; minus a signal's number when that ended it."""
    stdout: str = ""
    """What it wrote, where that was asked for."""
    stderr: str = ""
    asked_to_stop: bool = False
    """Whether somebody asked for an end while it ran."""


@dataclass
class _Stops:
    """Hands the first request to stop on, unless the child has it already, and nothing after it."""

    by_terminal: bool
    """Whether Ctrl-C reaches the child without us."""
    child: subprocess.Popen[str] | None = None
    seen: list[int] = field(default_factory=list)
    waiting: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.seen.append(number)
        if len(self.seen) == 1 and not (self.by_terminal and number == signal.SIGINT):
            self.waiting = True
            self.hand_on()

    def hand_on(self) -> None:
        if self.waiting and self.child is not None:
            self.waiting = False
            # The engine knows no hang-up; it would die of it.
            self.child.send_signal(signal.SIGTERM if self.seen[0] == signal.SIGHUP else self.seen[0])


def in_foreground() -> bool:
    """Whether a terminal sends its Ctrl-C to our process group, and so to our children as well."""
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False


@contextlib.contextmanager
def _heard(stops: _Stops) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes handlers in its main thread only
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        signal.signal(number, stops)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    capture: bool = False,
) -> Ended:
    """Run a command to its own end, whoever asks for an earlier one; FileNotFoundError when there is none such.

    In a terminal's foreground the child shares it, and has Ctrl-C from there. Without one, as in a pipeline, it gets a
    process group of its own, because a runner that signals the whole group would make two requests of one.
    """
    stops = _Stops(in_foreground())
    pipe = subprocess.PIPE if capture else None
    with _heard(stops):
        # Ignored is inherited, a handler is not: a hang-up reaches the engine only as the request made of it.
        hang_up = _ignored(signal.SIGHUP)
        with hang_up:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=pipe,
                stderr=pipe,
                text=True,
                process_group=None if stops.by_terminal else 0,
            )
        stops.child = child
        stops.hand_on()
        stdout, stderr = child.communicate()
    return Ended(child.returncode, stdout or "", stderr or "", bool(stops.seen))


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
