"""Every shipped stack, recorded once: as an update, and as a first preview in which nothing computed is known."""

from __future__ import annotations

import gc
import os
import signal
import threading
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from recording.graph import Graph
from recording.recorder import record
from stacks import stackfile

# Recordings allocate by the ten thousand and keep what they make: collecting after every 700 objects is a third of the time.
gc.set_threshold(200_000, 20, 20)

# The account that moto plays would make a thousand images for every test, and nobody asks it for one.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

# `make test` is a make itself: one that a test starts would take itself for its child, with other words and other options.
for name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES"):
    os.environ.pop(name, None)

# Begun in the background of a shell, everything below ignores Ctrl-C and hang-ups, programs that a test interrupts too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)

# Speed is measured in benchmarks/; a busy machine is no reason for a property to fail.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

AT = datetime(2026, 12, 2, 12, tzinfo=UTC)
"""A day on which the shipped Capacity Block runs."""

STACKS = stackfile.available()


def pytest_collection_finish() -> None:
    """What is imported stays: neither the collector nor the last look for things left behind need walk over it."""
    gc.freeze()


@cache
def recorded(stack: str, preview: bool = False) -> Graph:
    """A shipped stack's graph; the same object to every test that asks."""
    file = stackfile.read(stack)
    return record(stack, file.config, secret_keys=file.secret_keys, preview=preview, at=AT)


@pytest.fixture(
    params=[(stack, preview) for stack in STACKS for preview in (False, True)],
    ids=lambda param: f"{param[0]}-{'preview' if param[1] else 'update'}",
)
def every(request: pytest.FixtureRequest) -> Graph:
    """Each stack, as update and as preview."""
    return recorded(*request.param)


@pytest.fixture(scope="session")
def contracts() -> Path:
    """Folder of real CRDs and chart values; tests skip without it unless REQUIRE_CONTRACTS is set."""
    folder = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).resolve().parents[2] / "shared" / "contracts"))
    if not folder.is_dir():
        reason = f"no CRDs and chart values at {folder}; set CONTRACTS_DIR"
        if os.environ.get("REQUIRE_CONTRACTS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
