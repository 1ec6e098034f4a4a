"""`python -m tools.engine_tests [part of a file's name ...]`: run tests/engine, a few files at once, each in a process of its own.

A control plane for each file, so that what a failed test leaves is in no other file's way. A file that fails runs again, and
that is said: schedulers and kills are a matter of time. JOBS sets how many run at once (2; each takes a core and 1 GiB), and
SHARE=1/4 that of each sweep the first of four shares runs (tools/share.py).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LONGEST = (
    ("test_blast_radius.py",),
    ("test_kill_and_resume.py", "-k", "gb200-prod"),
    ("test_kill_and_resume.py", "-k", "not gb200-prod"),
    ("test_life.py",),
    ("test_cli.py",),
    ("test_strictness.py",),
)
"""Begun first, so that none is alone at the end; two long tests of one file need not wait for each other."""

TRIES = 3


def parts(words: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """What runs in a process of its own: a file, or some tests of it."""
    divided = {name for name, *_ in LONGEST}
    others = sorted(path.name for path in (ROOT / "tests" / "engine").glob("test_*.py") if path.name not in divided)
    every = [*LONGEST, *((name,) for name in others)]
    return [part for part in every if not words or any(word in part[0] for word in words)]


def _run(part: tuple[str, ...]) -> int:
    file, *selection = part
    command = [sys.executable, "-m", "pytest", "-m", "engine", "--durations=5", f"tests/engine/{file}", *selection]
    for again in range(1, TRIES + 1):
        began = time.monotonic()
        ended = subprocess.run(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{' '.join(part)}: {took}\n{ended.stdout}", flush=True)
        if ended.returncode == 0:
            return 0
        if again < TRIES:
            print(f"{' '.join(part)} failed and runs again ({again + 1} of {TRIES})", flush=True)
    return 1


def main(words: Sequence[str]) -> int:
    """1 when something failed every time."""
    chosen = parts(words)
    began = time.monotonic()
    with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        failed = [" ".join(part) for part, code in zip(chosen, pool.map(_run, chosen), strict=True) if code]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU"
    print(f"{len(chosen)} parts in {took}", *(f"failed: {name}" for name in failed), sep="\n")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
