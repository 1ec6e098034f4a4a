"""Workflows by actionlint, which knows expressions, contexts and runners beyond what a schema says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.engine


def test_actionlint_finds_nothing() -> None:
    """Prevents an expression that is empty at run time: the step then runs with nothing in its place."""
    program = shutil.which("actionlint")
    assert program is not None, "see CONTRIBUTING.md for the programs that these tests need"
    done = subprocess.run(
        [program, *sorted((ROOT / ".github" / "workflows").glob("*.yaml"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
