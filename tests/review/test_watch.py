"""The plan that follows a file: anew after a save, calm otherwise, and fast."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from review import watch
from review.watch import Watch
from stacks import stackfile
from tests.conftest import AT

SHIPPED = stackfile.ROOT / "stacks" / "Pulumi.g6e-dev.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.g6e-dev.yaml"
    path.write_text(SHIPPED.read_text())
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    # A file system may count in coarser steps than two edits are apart.
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


def text(shown: watch.Shown | None) -> str:
    assert shown is not None
    return "\n".join(line for line, _ in shown.lines)


def test_a_save_is_followed(file: Path) -> None:
    seen = Watch("g6e-dev", file, AT)
    first = text(seen.look(140))
    assert first.startswith("plan") and "this save" not in first
    assert seen.look(140) is None
    edit(file, "        families: [g6e]\n", "        families: [g6e]\n        gpuLimit: 16\n")
    second = text(seen.look(140))
    assert "this save: 1 updated" in second and "NodePool pool-gpu-pool" in second and "at most 16 GPUs" in second
    assert seen.look(140) is None
    edit(file, "gpuLimit: 16", "gpuLimit: 17")
    third = text(seen.look(140))
    assert "this save: 1 updated" in third and "since the beginning: 1 updated" in third


def test_money_is_told(file: Path) -> None:
    seen = Watch("g6e-dev", file, AT)
    seen.look(140)
    edit(file, "instanceType: g6e.2xlarge", "instanceType: g6e.4xlarge")
    assert "+$" in text(seen.look(140))


def test_a_comment_touches_nothing(file: Path) -> None:
    seen = Watch("g6e-dev", file, AT)
    seen.look(140)
    file.write_text(file.read_text() + "# a word\n")
    assert "this save: nothing is touched" in text(seen.look(140))


def test_a_bad_file_shows_its_faults_and_the_next_save_goes_on(file: Path) -> None:
    """A process that ends with every half-written line is started anew all day."""
    seen = Watch("g6e-dev", file, AT)
    seen.look(140)
    edit(file, "        families: [g6e]\n", "        familie: [g6e]\n")
    shown = seen.look(140)
    assert shown is not None and not shown.good and "did you mean families" in text(shown)
    edit(file, "        familie: [g6e]\n", "        families: [g6e]\n")
    again = seen.look(140)
    assert again is not None and again.good and "this save: nothing is touched" in text(again)


def test_a_file_that_is_away_for_a_moment_is_waited_for(file: Path) -> None:
    """Editors write a new file and rename it."""
    seen = Watch("g6e-dev", file, AT)
    kept = file.read_text()
    seen.look(140)
    file.unlink()
    assert seen.look(140) is None
    file.write_text(kept)
    assert "nothing is touched" in text(seen.look(140))


def test_code_that_changes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in watch.CODE:
        (tmp_path / room).mkdir()
        (tmp_path / room / "one.py").write_text("")
    monkeypatch.setattr(watch, "ROOT", tmp_path)
    before = watch.code_stamp()
    assert watch.code_stamp() == before
    (tmp_path / "rules" / "two.py").write_text("")
    assert watch.code_stamp() != before


def test_the_command_prints_once_and_ends_by_an_interrupt() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "review.watch", "--stack", "mocker-local", "--at", "2026-12-02T12:00:00Z"],
        cwd=stackfile.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert first.startswith("plan      mocker-local") and process.returncode == 0
    assert (first + rest).count("plan      mocker-local") == 1 and "Traceback" not in rest


def test_an_unknown_stack() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "review.watch", "--stack", "nope"],
        cwd=stackfile.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "there is no stack 'nope'" in done.stderr
