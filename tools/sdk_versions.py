"""`python -m tools.sdk_versions`: hold `recording/sdk.py` against the oldest and the newest SDK that it names.

Each is installed into .sdk/<version>, beside the program's own, and the contract's test runs with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from recording import sdk

ROOT = Path(__file__).resolve().parent.parent
TEST = "tests/recording/test_sdk.py"


def installed(version: str) -> Path:
    """Folder with that SDK and what it needs, installed once."""
    folder = ROOT / ".sdk" / version
    stamp = folder / ".installed"
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv")
        command = (
            [uv, "pip", "install", "-q"]
            if uv
            else [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        )
        subprocess.run([*command, "--target", str(folder), f"pulumi=={version}"], check=True)
        stamp.touch()
    return folder


def main() -> int:
    """1 when the test fails with one of them."""
    failed = 0
    for version in dict.fromkeys((sdk.OLDEST, sdk.NEWEST)):
        environment = {**os.environ, "PYTHONPATH": f"{installed(version)}{os.pathsep}{ROOT}"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", TEST]
        print(f"pulumi {version}", flush=True)
        failed |= subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
