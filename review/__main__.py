"""`python -m review`: plan a stack offline.

Exit code 0 when every rule holds, 1 when one fails, 2 when a stack file is bad (its faults on stderr, nothing registered).
"""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

# A plan allocates for a second and ends: collecting in between costs a tenth of it and frees nothing.
gc.disable()

import typer  # noqa: E402 after switching the collector off


class Format(StrEnum):
    """How the plan is shown."""

    text = "text"
    markdown = "markdown"
    json = "json"
    quiet = "quiet"
    """Only what fails or warns."""
    arguments = "arguments"
    """Arguments for `pulumi up`: what to leave out before a block has started."""


def main(
    stack: Annotated[str, typer.Option(help="Stack to plan, or `all`.")] = "g6e-dev",
    format: Annotated[Format, typer.Option(help="How to show it.")] = Format.text,
    objects: Annotated[
        Path | None,
        typer.Option(
            help="Write the rendered Kubernetes objects as YAML into this folder: a new or empty one, or its own."
        ),
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Save the terminal text as a picture.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"], help="Plan as of another moment (UTC)."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option(help="Text: also the resource tree, the order of destruction, every rule and the outputs.")
    ] = False,
    preview: Annotated[bool, typer.Option(help="Leave unknown what a first preview cannot know.")] = False,
) -> None:
    """Show what the program would do for a stack: no account, no CLI, no network."""
    from recording.durations import BadTimes
    from stacks import stackfile

    code, documents = 0, []
    names = stackfile.available() if stack == "all" else [stack]
    for name in names:
        if format is Format.arguments and not _may_wait(name):
            continue
        try:
            plan = _plan(name, preview, at.replace(tzinfo=UTC) if at else None)
        except _Bad as error:
            print(error, file=sys.stderr)
            code = 2
            continue
        code = max(code, int(plan.failed))
        if objects is not None:
            from review.report import NotOurs, write_objects

            try:
                write_objects(plan, objects / name if len(names) > 1 else objects)
            except NotOurs as error:
                print(error, file=sys.stderr)
                code = 2
                continue
        try:
            if format is Format.json:
                from review.report import as_json

                documents.append(as_json(plan))
            else:
                _show(plan, format, svg, verbose)
        except BadTimes as error:
            print(error, file=sys.stderr)
            code = 2
    if format is Format.json:
        import json

        print(json.dumps(documents if stack == "all" else documents[0] if documents else None, indent=1))
    sys.stdout.flush()
    raise typer.Exit(code)


def _may_wait(name: str) -> bool:
    """Whether anything of a stack may have to wait for a block: without one no plan is needed to tell that nothing is left out. A file that cannot be read is told of by its plan."""
    from stacks import stackfile

    try:
        capacity = stackfile.read(name).config.get("dynamo-eks:capacity")
    except stackfile.StackFileError:
        return True
    return isinstance(capacity, str) or any(word in str(capacity) for word in ("ultraServers", "capacityBlock"))


class _Bad(Exception):
    """A stack file that cannot be planned."""


def _plan(name: str, preview: bool, at: datetime | None):
    from review.plan import make
    from stacks import stackfile

    try:
        file = stackfile.read(name)
    except stackfile.StackFileError as error:
        raise _Bad(str(error)) from None
    import pulumi

    try:
        return make(file, preview=preview, at=at)
    except pulumi.RunError as error:
        raise _Bad(str(error)) from None


def _show(plan, format: Format, svg: Path | None, verbose: bool) -> None:
    from review import report

    if format is Format.markdown:
        print(report.markdown(plan))
        return
    if format is Format.quiet:
        print(f"{plan.stack}: {report.headline(plan)}")
        for item in plan.verdicts:
            if item.verdict != "pass":
                print(f"  {item.verdict} {item.id}: {item.subject}: {item.told}")
        return
    if format is Format.arguments:
        from review.blocks import up_arguments

        # One word a line: URNs hold `$`, which a shell would take for a variable in quotes of its own.
        print("\n".join(up_arguments(plan.graph)))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 140
    console = Console(width=width, record=svg is not None, highlight=False)
    report.print_text(plan, console, verbose=verbose)
    if svg is not None:
        console.save_svg(str(svg), title=f"make plan STACK={plan.stack}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
