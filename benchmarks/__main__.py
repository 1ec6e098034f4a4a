"""`python -m benchmarks`: the plan against importing the SDK, and many graphs against bare registration.

Ratios, each of things measured in turn in one run, so that a slow or busy machine slows both sides:

- whole process of `make plan` for each stack, over a process that only imports the same SDK modules, and how much later a
  preview is ready that makes its plan beside these imports;
- from a save of the largest stack's file to the verdict of `make watch`;
- marginal time and memory of 1, 10, 100, 200 graphs, over registering as many mocked resources with the bare SDK.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SDK = ("pulumi", "pulumi_aws", "pulumi_eks", "pulumi_kubernetes")
AT = "2026-12-02T12:00:00Z"
COUNTS = (1, 10, 100, 200)

_LIST = """
import sys, contextlib, io
sys.argv = ["review", "--stack", {stack!r}, "--format", "quiet", "--at", {at!r}]
import runpy
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    runpy.run_module("review", run_name="__main__")
sys.stderr.write("\\n".join(name for name in sys.modules if name.split(".")[0] in {sdk!r}))
"""


def run(arguments: list[str]) -> float:
    """Seconds of a process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def modules(stack: str) -> list[str]:
    """SDK modules that a plan of the stack loads, in that order."""
    code = _LIST.format(stack=stack, sdk=SDK, at=AT)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stderr.split()


def beside(planning: list[str], importing: list[str]) -> float:
    """Seconds that a preview takes longer for its plan: the program imports the SDK while the plan is made in a process of its
    own, and waits for whichever is later."""
    alone = run(importing)
    started = time.perf_counter()
    plan = subprocess.Popen([sys.executable, *planning], cwd=ROOT, stdout=subprocess.DEVNULL)
    run(importing)
    plan.wait()
    return time.perf_counter() - started - alone


def plan_ratios(stacks: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """For each stack the medians of both processes, alternated, and the median of the pairs' ratios."""
    found = {}
    for stack in stacks:
        importing = ["-c", f"import importlib\nfor name in {modules(stack)!r}: importlib.import_module(name)"]
        planning = ["-m", "review", "--stack", stack, "--format", "quiet", "--at", AT]
        run(planning), run(importing)  # files into the cache
        pairs = [(run(planning), run(importing)) for _ in range(rounds)]
        found[stack] = {
            "plan_s": round(statistics.median(one for one, _ in pairs), 3),
            "judged_s": round(statistics.median(beside(planning, importing) for _ in range(rounds)), 3),
            "imports_s": round(statistics.median(other for _, other in pairs), 3),
            "ratio": round(statistics.median(one / other for one, other in pairs), 3),
        }
    return found


def measure_graphs(count: int) -> dict[str, float]:
    """Marginal cost of `count` graphs in this very process; run in one of its own."""
    import gc
    import tracemalloc

    gc.disable()
    sys.path.insert(0, str(ROOT))
    from review.plan import make
    from stacks import stackfile

    file = stackfile.read("g6e-dev")
    config = dict(file.config)
    graph = {**config["dynamo-eks:graphs"]["vllm-agg"]}
    graph.pop("smokeTest")

    def plan_of(graphs: int) -> float:
        given = {**config, "dynamo-eks:graphs": {f"chat-{number:03}": graph for number in range(graphs)}}
        started = time.perf_counter()
        make(stackfile.StackFile(file.stack, file.path, given, ()))
        return time.perf_counter() - started

    plan_of(1)  # imports and caches
    base = min(plan_of(1) for _ in range(3))
    marginal = min(plan_of(1 + count) for _ in range(3)) - base
    rendered = make(file).graph.objects_of("DynamoGraphDeployment")[0].manifest
    bare = bare_registration(1 + count, rendered) - bare_registration(1, rendered)
    tracemalloc.start()
    plan_of(1 + count)
    peak = tracemalloc.get_traced_memory()[1]
    return {"marginal_s": marginal, "bare_s": bare, "peak_mib": peak / 2**20}


def bare_registration(count: int, manifest: Any) -> float:
    """Seconds to register a component with one such object, `count` times, with the SDK's own mocks and nothing else."""
    import asyncio

    import pulumi
    from pulumi.runtime import mocks
    from pulumi.runtime.stack import run_pulumi_func
    from pulumi_kubernetes.apiextensions import CustomResource

    class Nothing(mocks.Mocks):
        def new_resource(self, args):
            return args.name, dict(args.inputs)

        def call(self, args):
            return {}

    def program() -> None:
        for number in range(count):
            parent = pulumi.ComponentResource("bench:index:Graph", f"graph-{number}")
            CustomResource(
                f"graph-{number}-object",
                api_version=manifest["apiVersion"],
                kind=manifest["kind"],
                metadata={**manifest["metadata"], "name": f"graph-{number}"},
                spec=manifest["spec"],
                opts=pulumi.ResourceOptions(parent=parent),
            )

    times = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        mocks.set_mocks(Nothing())
        started = time.perf_counter()
        loop.run_until_complete(run_pulumi_func(program))
        times.append(time.perf_counter() - started)
        loop.close()
    return min(times)


def graph_costs() -> dict[str, dict[str, float]]:
    """Marginal time over bare registration, and memory, for each count, each in a process of its own."""
    found = {}
    for count in COUNTS:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--graphs", str(count)],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        measured = json.loads(done.stdout)
        found[str(count)] = {
            "marginal_ms_per_graph": round(1000 * measured["marginal_s"] / count, 2),
            "bare_ms_per_graph": round(1000 * measured["bare_s"] / count, 2),
            "ratio": round(measured["marginal_s"] / measured["bare_s"], 2),
            "peak_mib": round(measured["peak_mib"], 1),
        }
    return found


_WATCH = """
import os, shutil, statistics, sys, tempfile, time
from datetime import UTC, datetime
from pathlib import Path
from review.watch import Watch
stack = sys.argv[1]
folder = Path(tempfile.mkdtemp())
path = folder / f"Pulumi.{stack}.yaml"
shutil.copy(f"stacks/{path.name}", path)
watch, took = Watch(stack, path, datetime(2026, 12, 2, 12, tzinfo=UTC)), []
watch.look(140)
for number in range(5):
    path.write_text(path.read_text() + f"# {number}\\n")
    os.utime(path, ns=(number, number))
    started = time.perf_counter()
    assert watch.look(140)
    took.append(time.perf_counter() - started)
shutil.rmtree(folder)
print(statistics.median(took))
"""


def after_a_save(stack: str) -> float:
    """Seconds from a save to the verdict in a process that watches."""
    done = subprocess.run([sys.executable, "-c", _WATCH, stack], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--graphs", type=int, help="measure so many graphs in this process and print JSON")
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if given.graphs:
        print(json.dumps(measure_graphs(given.graphs)))
        return
    from stacks import stackfile

    print(f"{'stack':14} {'plan s':>8} {'imports s':>10} {'ratio':>6} {'judging s':>10}   (goals 1.15 and 2)")
    for stack, row in plan_ratios(stackfile.available(), given.rounds).items():
        print(f"{stack:14} {row['plan_s']:8.3f} {row['imports_s']:10.3f} {row['ratio']:6.2f} {row['judged_s']:10.2f}")
    print(
        f"\nfrom a save to the verdict, in a process that watches: {after_a_save('gb200-prod'):.2f} s for gb200-prod (goal 0.5)"
    )
    print(f"\n{'graphs':>6} {'ms each':>8} {'bare ms':>8} {'ratio':>6} {'peak MiB':>9}   (goal 2)")
    for count, row in graph_costs().items():
        print(
            f"{count:>6} {row['marginal_ms_per_graph']:8.2f} {row['bare_ms_per_graph']:8.2f} {row['ratio']:6.2f} {row['peak_mib']:9.1f}"
        )


if __name__ == "__main__":
    main()
