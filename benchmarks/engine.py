"""`python -m benchmarks.engine`: what an operation of the real engine costs over one of an empty program, and what a preview
by the CLI takes with the plan before it and without.

Control plane and stand-in providers are those of tests/engine; needs the same programs (CONTRIBUTING.md). Times are of one
run on one machine: what counts is the difference between the columns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recording.answers import Answers
from tests.engine.cli import Clone
from tests.engine.control_plane import ControlPlane, require
from tests.engine.crds import running, served
from tests.engine.engine import Stack, World
from tests.engine.test_cli import begin
from tests.engine.test_life import released

OPERATIONS = ("preview", "up", "up again", "destroy")


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def operations(stack: Stack) -> dict[str, float]:
    """Seconds of each operation in a stack's life."""
    return {
        "preview": timed(stack.preview),
        "up": timed(stack.up),
        "up again": timed(stack.up),
        "destroy": timed(stack.destroy),
    }


def previews(clone: Clone, stack: str, rounds: int) -> tuple[float, float]:
    """Median seconds of `pulumi preview` with the plan before it and without, in turn."""
    program = clone.folder / "__main__.py"
    judged = program.read_text()
    unjudged = "".join(line for line in judged.splitlines(keepends=True) if "judg" not in line)
    found: dict[str, list[float]] = {judged: [], unjudged: []}
    for _ in range(rounds + 1):
        for text, times in found.items():
            program.write_text(text)
            times.append(timed(lambda: clone.pulumi("preview", "--stack", stack)))
    program.write_text(judged)
    # The first of each brings files into the cache.
    return statistics.median(found[judged][1:]), statistics.median(found[unjudged][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stacks", nargs="*", default=["mocker-local", "g6e-dev"])
    parser.add_argument("--rounds", type=int, default=5, help="previews by the CLI with the plan, and as many without")
    given = parser.parse_args()
    require()
    contracts = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).resolve().parents[2] / "shared" / "contracts"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plane").mkdir()
        plane = ControlPlane(Path(folder) / "plane")
        try:
            started = timed(plane.start)
            kinds = timed(lambda: plane.load(served(contracts, running())))
            print(f"control plane ready after {started:.1f} s (goal 5), its kinds after {kinds:.1f} s more")
            world = World(plane, contracts, Answers("empty"))
            empty = operations(Stack("empty", Path(folder) / "empty", world, config={}, program=lambda: None))
            world.stop()
            print(f"{'':14}" + "".join(f"{name:>12}" for name in OPERATIONS))
            print(f"{'empty program':14}" + "".join(f"{empty[name]:11.1f}s" for name in OPERATIONS))
            for name in given.stacks:
                world = World(plane, contracts, Answers(name))
                stack = Stack(name, Path(folder) / name, world)
                stack.configure(released(stack.config))
                times = operations(stack)
                world.stop()
                print(f"{name:14}" + "".join(f"{times[item]:11.1f}s" for item in OPERATIONS))
                over = "".join(f"{times[item] - empty[item]:11.1f}s" for item in OPERATIONS)
                print(f"{'  over empty':14}{over}")
            print(f"{'preview by CLI':14}{'judged':>12}{'unjudged':>12}{'more':>12}   (goal 2 s)")
            clone = Clone(Path(folder))
            for name in given.stacks:
                world = World(plane, contracts, Answers(name))
                begin(clone, name, world)
                with_plan, without = previews(clone, name, given.rounds)
                world.stop()
                print(f"{name:14}{with_plan:11.2f}s{without:11.2f}s{with_plan - without:11.2f}s")
        finally:
            plane.stop()


if __name__ == "__main__":
    main()
