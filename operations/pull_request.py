"""`python -m operations.pull_request`: everything that a pull request is reviewed by, into one folder.

Plans every stack of this checkout: `comment.md` (one comment for all of them, as review/comment.py folds it), `plans.json` (the documents of
`make plan FORMAT=json`) and `plan-<stack>.md`. Exit code 0 when every rule holds, 1 when one fails, 2 when a stack file is bad.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from review import cost_told, report, summary
from review.comment import Part, Verdict, comment
from review.plan import Plan


def part(plan: Plan) -> Part:
    """What the comment says of a stack."""
    wrong = [item for item in plan.verdicts if item.verdict != "pass"]
    verdict: Verdict = "fails" if plan.failed else "warns" if wrong else "holds"
    ends = next((row.text for row in summary.rows(plan) if row.label == "ends"), "")
    line = "; ".join(filter(None, (cost_told.headline(plan.cost), ends)))
    rows = [f"- **{row.label}** {row.text}" for row in summary.rows(plan) if row.label not in ("plan", "fail", "warn")]
    told = ["| | rule | subject | message |", "|---|---|---|---|"] if wrong else []
    told += [f"| {item.verdict} | {item.id} | {_cell(item.subject)} | {_cell(item.told)} |" for item in wrong]
    return Part(stack=plan.stack, verdict=verdict, line=line, body="\n".join([*told, "", *rows]))


def _bad(stack: str, faults: str) -> Part:
    first = faults.splitlines()[0] if faults else "cannot be planned"
    return Part(stack=stack, verdict="fails", line=first, body=f"```\n{faults.replace('```', '` ` `')}\n```")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    artifact: Annotated[str, typer.Option(help="Where the folder can be found later, for what is too long.")] = "",
) -> None:
    """Write the review of this checkout."""
    import pulumi

    from review.plan import make
    from stacks import stackfile

    parts: list[Part] = []
    documents: list[dict[str, Any]] = []
    code = 0
    out.mkdir(parents=True, exist_ok=True)
    for name in stackfile.available():
        try:
            plan = make(stackfile.read(name))
        except (stackfile.StackFileError, pulumi.RunError) as error:
            parts.append(_bad(name, str(error)))
            code = 2
            continue
        code = max(code, int(plan.failed))
        parts.append(part(plan))
        documents.append(report.as_json(plan))
        (out / f"plan-{name}.md").write_text(report.markdown(plan))
    (out / "plans.json").write_text(json.dumps(documents, indent=1))
    (out / "comment.md").write_text(comment(parts, artifact=artifact))
    raise typer.Exit(code)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
