"""Machines that Dynamo has no wheels for are told so before anything is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from operations.serve import platforms

ROOT = Path(__file__).resolve().parents[3]
WAY_OUT = (
    "Use a Linux machine or container with glibc 2.28 or newer, x86_64 or aarch64; `make plan STACK=mocker-local` works "
    "everywhere."
)

MACHINES = [
    ("Linux", "x86_64", ("glibc", "2.31"), None),
    ("Linux", "aarch64", ("glibc", "2.28"), None),
    ("Linux", "x86_64", ("glibc", "2.100"), None),
    ("Darwin", "arm64", ("", ""), "NVIDIA publishes Dynamo's wheels for Linux only, and this is macOS"),
    ("Darwin", "x86_64", ("", ""), "NVIDIA publishes Dynamo's wheels for Linux only, and this is macOS"),
    ("Windows", "AMD64", ("", ""), "NVIDIA publishes Dynamo's wheels for Linux only, and this is Windows"),
    ("Linux", "riscv64", ("glibc", "2.39"), "NVIDIA publishes Dynamo's wheels for x86_64 and aarch64, and this is riscv64"),
    ("Linux", "armv7l", ("glibc", "2.31"), "NVIDIA publishes Dynamo's wheels for x86_64 and aarch64, and this is armv7l"),
    ("Linux", "x86_64", ("", ""), "Dynamo's wheels need glibc, and this Linux has another C library (musl)"),
    ("Linux", "x86_64", ("glibc", "2.27"), "Dynamo's wheels need glibc 2.28, and this Linux has 2.27"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "machine", "libc", "why"), MACHINES)
def test_refusals(system: str, machine: str, libc: tuple[str, str], why: str | None) -> None:
    """Half a gigabyte is fetched, and then an installer says that no distribution was found."""
    told = platforms.refusal(system, machine, libc)
    assert told == (why and f"make serve cannot run here: {why}.\n{WAY_OUT}")


def test_make_asks_before_it_installs(tmp_path: Path) -> None:
    """On a Mac `make serve` must not begin with an installation of its own tools."""
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import platform, runpy, sys; platform.system = lambda: \'Darwin\'; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name=\'__main__\')" "$@"\n')  # fmt: skip
    fake.chmod(0o755)
    done = subprocess.run(
        ["make", "serve", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "this is macOS" in done.stderr and not (tmp_path / "venv").exists()
