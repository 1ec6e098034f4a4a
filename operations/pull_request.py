"""`python -m operations.pull_request`: everything that a pull request is reviewed by, into one folder.

Compares every stack with a base: `comment.md` (one comment for all of them, as review/comment.py folds it), `review.json` (the document of `make
review`), and of each stack that is touched its plan, in `plans.json` and `plan-<stack>.md`. Exit code 0 when every rule holds, 1 when one fails or
an edit is refused, 2 when a stack file is bad or there is nothing to compare with.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from recording.durations import BadTimes
from review import change_report, cost_told, report, summary, told
from review.base import Commit, NoBase, commit
from review.comment import Part, Verdict, comment
from review.plan import Plan, make
from review.told import Told
from stacks import stackfile


def part(plan: Plan, item: Told, there: Commit) -> Part:
    """What the comment says of a stack that is touched."""
    wrong = [each for each in plan.verdicts if each.verdict != "pass"]
    verdict: Verdict = "fails" if plan.failed or item.failed else "warns" if wrong else "holds"
    ends = next((row.text for row in summary.rows(plan) if row.label == "ends"), "")
    line = "; ".join(filter(None, (told.headline(item), cost_told.headline(plan.cost), ends)))
    rules = ["| | rule | subject | message |", "|---|---|---|---|"] if wrong else []
    rules += [f"| {each.verdict} | {each.id} | {_cell(each.subject)} | {_cell(each.told)} |" for each in wrong]
    rows = [f"- **{row.label}** {row.text}" for row in summary.rows(plan) if row.label not in ("plan", "fail", "warn")]
    screen = ["", "<details><summary>As it will be</summary>", "", *rows, "", "</details>"]
    return Part(
        stack=plan.stack,
        verdict=verdict,
        line=line,
        body="\n".join([*rules, "", told.markdown([item], there), *screen]),
    )


def without_plan(item: Told) -> Part:
    """What it says of one that is not touched, is gone, or cannot be planned."""
    if item.bad:
        faults = item.bad.replace("```", "` ` `")
        return Part(stack=item.stack, verdict="fails", line=item.bad.splitlines()[0], body=f"```\n{faults}\n```")
    return Part(stack=item.stack, verdict="warns" if item.gone else "untouched", line=told.headline(item))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    base: Annotated[str, typer.Option(help="Commit or branch that the change is compared with.")] = "origin/main",
    artifact: Annotated[str, typer.Option(help="Where the folder can be found later, for what is too long.")] = "",
) -> None:
    """Write the review of this checkout."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        there = commit(base)
        every = change_report.names("all", there, None)
        with tempfile.TemporaryDirectory() as folder:
            found = [change_report.one(name, there, Path(folder), None, None) for name in every]
    except (NoBase, BadTimes) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    parts: list[Part] = []
    documents: list[dict[str, Any]] = []
    code = max((item.code([]) for item in found), default=0)
    for item in found:
        if item.bad or item.gone or not (item.touched or item.new is not None):
            parts.append(without_plan(item))
            continue
        plan = make(stackfile.read(item.stack))
        code = max(code, int(plan.failed))
        parts.append(part(plan, item, there))
        documents.append(report.as_json(plan))
        (out / f"plan-{item.stack}.md").write_text(report.markdown(plan))
    (out / "plans.json").write_text(json.dumps(documents, indent=1))
    (out / "review.json").write_text(told.as_json(found, there))
    (out / "comment.md").write_text(comment(parts, artifact=artifact))
    raise typer.Exit(code)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
