"""Judge the stack wherever the program runs: under the engine it plans itself first, in a process of its own.

`begin` starts that process and `Judging.end` asks for its word: a refusal before anything registers, or one message with the
headline and every warning. The verdicts are those of `make plan`, for both record the same program and apply the same
rules. The process gets the configuration as the engine handed it over, not as a file says, through its standard input; what
is encrypted is replaced by what stands for it in an offline plan, and the engine's environment, where it is in clear, is
left behind. Started before the SDK's large modules are imported, it works while they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from recording import sdk
from stacks.hidden import HIDDEN, without_hidden

if TYPE_CHECKING:
    from review.plan import Plan

ROOT = Path(__file__).resolve().parent.parent

TIMEOUT_S = 600
"""A plan takes a second or two. One that takes this long has no answer."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a plan says, as far as it is told under the engine."""

    headline: str
    fails: Sequence[str] = ()
    """`rule: subject: message` for each rule that fails."""
    warns: Sequence[str] = ()
    """The same for warnings, and what is to be left out before a block's start."""
    to_fill_in: Sequence[str] = ()
    """File, line and key of every value that is still a placeholder, with what belongs there."""
    costs: str = ""
    """What it costs, in one sentence."""
    faults: str | None = None
    """The report of a configuration that cannot be planned; then there is nothing else."""

    def message(self, stack: str) -> str:
        """Headline and warnings, for the engine's diagnostics."""
        costs = [f"  cost {self.costs}"] if self.costs else []
        return "\n".join([f"Plan of {stack}: {self.headline}", *costs, *(f"  warn {line}" for line in self.warns)])

    def refusal(self, stack: str) -> str | None:
        """Why nothing may be registered, or None."""
        if self.faults:
            return self.faults
        lines: list[str] = []
        if self.to_fill_in:
            count = "1 value" if len(self.to_fill_in) == 1 else f"{len(self.to_fill_in)} values"
            lines = [f"stacks/Pulumi.{stack}.yaml has {count} to fill in; nothing was registered:"]
            lines += [f"  {line}" for line in self.to_fill_in]
        if self.fails:
            count = "1 failure" if len(self.fails) == 1 else f"{len(self.fails)} failures"
            lines.append(f"The plan of {stack} has {count}; nothing was registered:")
            lines += [f"  fail {line}" for line in self.fails]
        if not lines:
            return None
        lines += [f"  warn {line}" for line in self.warns]
        lines.append(f"`make plan STACK={stack}` shows the whole plan.")
        if self.fails:
            lines.append(
                "docs/rules.md says why each rule is there; one that may fail is named with its reason in dynamo-eks:review.allow."
            )
        lines.append("To destroy or refresh, leave --run-program out.")
        return "\n".join(lines)


class Judging:
    """A plan being made in another process."""

    def __init__(self, stack: str, process: Future[subprocess.CompletedProcess[str]] | None) -> None:
        self._stack = stack
        self._process = process

    def end(self) -> None:
        """Wait for the plan; raise `pulumi.RunError` when a rule fails, else tell its headline and warnings."""
        if self._process is None:
            return
        word = self._word(self._process)
        if refused := word.refusal(self._stack):
            raise pulumi.RunError(refused)
        (pulumi.log.warn if word.warns else pulumi.log.info)(word.message(self._stack))

    def _word(self, process: Future[subprocess.CompletedProcess[str]]) -> Word:
        try:
            ended = process.result()
        except (subprocess.TimeoutExpired, OSError) as error:
            raise pulumi.RunError(self._without_plan(str(error))) from None
        if ended.returncode:
            why = ended.stderr.strip().splitlines()[-1:] or [f"its process ended with {ended.returncode}"]
            raise pulumi.RunError(self._without_plan(why[0]))
        return Word(**json.loads(ended.stdout))

    def _without_plan(self, why: str) -> str:
        return (
            f"The plan of {self._stack} could not be made, and without one nothing is registered: {why}. "
            f"`make plan STACK={self._stack}` shows more."
        )


def begin() -> Judging:
    """Begin to plan the running stack. In a plan's own recording there is nothing to begin: it is the plan."""
    stack = pulumi.get_stack()
    if _recording():
        return Judging(stack, None)
    values, secret = sdk.configuration()
    question = {
        "stack": stack,
        "config": {key: HIDDEN if key in secret else value for key, value in values.items()},
        "secret_keys": sorted(secret),
    }
    return Judging(
        stack,
        ThreadPoolExecutor(1).submit(
            subprocess.run,
            [sys.executable, "-m", "review.judged"],
            cwd=ROOT, env=without_hidden(os.environ), input=json.dumps(question),
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        ),
    )  # fmt: skip


def _recording() -> bool:
    """Whether it is the recorder that runs the program: its monitor takes the engine's place, and only it has that one."""
    recorder = sys.modules.get("recording.recorder")
    return recorder is not None and sdk.monitored_by(recorder.Monitor)


def answer(question: Mapping[str, Any]) -> Word:
    """Plan what was handed over."""
    from review.plan import make
    from stacks.settings import CLOCK, present
    from stacks.stackfile import StackFile

    path = ROOT / "stacks" / f"Pulumi.{question['stack']}.yaml"
    try:
        # The program's clock, which is in this environment too; where it is not set, the plan knows what to do.
        at = present() if CLOCK in os.environ else None
        plan = make(StackFile(question["stack"], path, question["config"], tuple(question["secret_keys"])), at=at)
    except pulumi.RunError as error:
        return Word("", faults=str(error))
    from review import cost_told, existing
    from review.blocks import waiting_lines
    from review.report import headline

    told = {
        level: [f"{item.id}: {item.subject}: {item.told}" for item in plan.verdicts if item.verdict == level]
        for level in ("fail", "warn")
    }
    wrong, doubtful = existing.look(question["config"])
    return Word(
        headline(plan),
        fails=[*wrong, *told["fail"]],
        warns=[*doubtful, *told["warn"], *waiting_lines(plan.graph)],
        to_fill_in=_to_fill_in(plan),
        costs=cost_told.headline(plan.cost),
    )


def _to_fill_in(plan: Plan) -> list[str]:
    """What is to fill in, each with the line to edit."""
    if not plan.to_fill_in:
        return []
    from review.report import fill_in_line
    from stacks import stackfile

    try:
        line = stackfile.read(plan.stack).line
    except stackfile.StackFileError:
        # The configuration came from another file (`--config-file`).
        return [fill_in_line(item) for item in plan.to_fill_in]
    return [f"line {line(item.key)}: {fill_in_line(item)}" for item in plan.to_fill_in]


def main() -> None:
    import dataclasses
    import gc

    # As in `python -m review`: a plan ends before collecting pays.
    gc.disable()
    print(json.dumps(dataclasses.asdict(answer(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
