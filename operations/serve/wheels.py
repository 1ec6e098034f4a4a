"""Dynamo's wheels in an environment of their own, from a lock file of this folder, once for each release.

Installed without dependency resolution (`--no-deps`): the lock file is the whole closure, but for `aisimulate`, which the
metapackage names, which cannot be installed, and which neither frontend nor mocker imports.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from operations.serve.running import end_with_parent

HERE = Path(__file__).parent
_POLL_S = 0.5


class InstallError(Exception):
    """The wheels could not be installed; the text ends with what the installer said."""


class Stopped(Exception):
    """Somebody wanted an end before the wheels were there."""


class Watch:
    """Who is told of an installation, and asked whether to go on. This one hears nothing and never stops."""

    def begun(self) -> None:
        """There is something to install."""

    def ticked(self, seconds: float) -> None:
        """Called twice a second with the time since then."""

    def stopped(self) -> bool:
        return False


def lock_of(version: str) -> Path:
    """Lock file of a release."""
    return HERE / f"requirements-{version}.txt"


def python_of(folder: Path) -> Path:
    """Interpreter of an environment."""
    return folder / "bin" / "python3"


def uv() -> str | None:
    """uv from PATH or beside this interpreter; None where there is none."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


def installed(lock: Path, folder: Path, watch: Watch, installer: Callable[[], str | None] = uv) -> Path:
    """Interpreter of the environment in `folder` that holds what a lock file names; installed if it is not there, or of
    another lock file or Python. With uv where `installer` finds it, else with venv and pip.

    An installation that was cut off is begun anew, since the mark of a whole one is written last; two at a time wait for
    each other. Raises InstallError, or Stopped when the watch wants an end."""
    mark = folder / ".installed"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f"{folder.name}.lock"), watch):
        if mark.exists() and mark.read_text() == wanted:
            return python_of(folder)
        watch.begun()
        began = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        log = folder.with_name(f"{folder.name}.log")
        with log.open("wb") as output:
            for command in _commands(installer(), folder, lock):
                _run(command, output, lambda: watch.ticked(time.monotonic() - began), watch.stopped)
        mark.write_text(wanted)
    return python_of(folder)


def _commands(uv: str | None, folder: Path, lock: Path) -> list[list[str]]:
    # A package without a wheel for this machine fails at once, instead of asking for a compiler.
    options = ["--no-deps", "--only-binary", ":all:", "-r", str(lock)]
    python = str(python_of(folder))
    if uv:
        return [
            [uv, "venv", "--no-project", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--python", python, *options],
        ]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *options],
    ]


def _run(command: list[str], output: IO[bytes], tick: Callable[[], None], stopped: Callable[[], bool]) -> None:
    # Of the caller's environment all but what would install elsewhere: proxies and indexes are the installer's to know.
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=kept,
        cwd=HERE,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    while child.poll() is None:
        if stopped():
            child.terminate()
            child.wait()
            raise Stopped
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)
        tick()
    if child.returncode:
        said = Path(output.name).read_text(errors="replace").strip().splitlines()[-12:]
        raise InstallError(
            "\n".join([f"{' '.join(command[:4])} … ended with {child.returncode}:", *(f"  {x}" for x in said)])
        )


@contextlib.contextmanager
def _alone(path: Path, watch: Watch) -> Iterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if watch.stopped():
                    raise Stopped from None
                time.sleep(_POLL_S)
        yield
