"""An environment of its own for a lock file: made once, made anew when it is cut off, and said why when it cannot be."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from operations.serve import wheels

UV = """#!/bin/sh
echo "$@" >> "{calls}"
case "$1" in
  venv) for last; do :; done; mkdir -p "$last/bin"; echo half > "$last/left-behind" ;;
  pip) {pip} ;;
esac
"""
"""Stands in for uv, which needs the registry; tests/engine/test_serve.py runs the real one and pip."""


class Uv:
    """What it was asked."""

    def __init__(self, folder: Path, pip: str = "exit 0") -> None:
        self.path, self._calls = folder / "uv", folder / "calls"
        self.become(pip)

    def become(self, pip: str) -> None:
        self.path.write_text(UV.format(calls=self._calls, pip=pip))
        self.path.chmod(0o755)

    def __call__(self) -> str:
        return str(self.path)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("six==1.17.0\n")
    return path


def test_installed_once(tmp_path: Path, lock: Path) -> None:
    """Half a gigabyte each time would make nobody run it twice; a changed lock file has to."""
    uv, folder = Uv(tmp_path), tmp_path / "env"
    python = wheels.installed(lock, folder, wheels.Watch(), uv)
    assert python == folder / "bin" / "python3"
    assert [call.split(" ")[0] for call in uv.calls] == ["venv", "pip"]
    assert uv.calls[1].endswith(f"--no-deps --only-binary :all: -r {lock}")
    wheels.installed(lock, folder, wheels.Watch(), uv)
    assert len(uv.calls) == 2
    (folder / "left-behind").write_text("of the old one")
    lock.write_text("six==1.16.0\n")
    wheels.installed(lock, folder, wheels.Watch(), uv)
    assert len(uv.calls) == 4 and (folder / "left-behind").read_text() == "half\n"


def test_a_failure_says_why_and_is_tried_again(tmp_path: Path, lock: Path) -> None:
    """Behind a proxy the installer's own words are all that helps; an environment that is half there must not be used."""
    uv, folder = Uv(tmp_path, 'echo "no route to the index" >&2; exit 3'), tmp_path / "env"
    for _ in range(2):
        with pytest.raises(wheels.InstallError) as caught:
            wheels.installed(lock, folder, wheels.Watch(), uv)
        assert str(caught.value) == f"{uv.path} pip install --python … ended with 3:\n  no route to the index"
    assert len(uv.calls) == 4
    uv.become("exit 0")
    wheels.installed(lock, folder, wheels.Watch(), uv)


class Impatient(wheels.Watch):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def begun(self) -> None:
        self.seen.append(-1.0)

    def ticked(self, seconds: float) -> None:
        self.seen.append(seconds)

    def stopped(self) -> bool:
        return len(self.seen) > 3


def test_it_tells_and_ends_when_asked(tmp_path: Path, lock: Path) -> None:
    """Ctrl-C in the first minute is the most likely one."""
    uv, watch, began = Uv(tmp_path, "exec sleep 60"), Impatient(), time.monotonic()
    with pytest.raises(wheels.Stopped):
        wheels.installed(lock, tmp_path / "env", watch, uv)
    assert time.monotonic() - began < 20
    assert watch.seen[0] == -1.0 and watch.seen[1:] == sorted(watch.seen[1:])
    assert not (tmp_path / "env" / ".installed").exists()


def test_two_at_a_time_install_once(tmp_path: Path, lock: Path) -> None:
    """Two terminals, or tests side by side, would write into one environment at once."""
    uv = Uv(tmp_path, "sleep 0.3")
    both = [
        threading.Thread(target=wheels.installed, args=(lock, tmp_path / "env", wheels.Watch(), uv)) for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(uv.calls) == 2
    with pytest.raises(wheels.Stopped), wheels._alone(tmp_path / "held", Impatient()):
        second = Impatient()
        second.seen = [0.0] * 4
        with wheels._alone(tmp_path / "held", second):
            pass
