"""`python -m operations`: recover, ready, protected, destroy.

Exit code 0 when it is done, 1 when it is refused or a person must decide, 2 when the engine or the backend fails.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from operations import credentials, teardown
from operations import recover as recovery
from operations.aws_finder import AwsFinder
from operations.cluster_finder import ClusterFinder
from operations.credentials import Access
from operations.engine import Engine, EngineError, NoStack
from operations.lookup import Everywhere, Finder, Verdict
from operations.state import State, words

Stack = Annotated[str, typer.Option(help="Stack to work on.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Keep(StrEnum):
    """What a destroy leaves on purpose."""

    protected = "protected"
    """What is protected, and everything that it depends on."""


def _console(*, error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, highlight=False, width=None if stream.isatty() else 160, markup=False)


def finder_of(state: State, access: Access | None = None) -> Finder:
    """Who looks: AWS in the stack's own region with its own identity, and the cluster of the stack's own provider."""
    access = access or Access.of_state(state)
    return Everywhere({"aws": AwsFinder(access.region, access=access), "kubernetes": ClusterFinder(state)})


def _right_account(stack: str, state: State | None = None) -> Access:
    """The stack's identity; ends the command when its account is another than the file's, or than the state's."""
    access = Access.of_stack(stack, state)
    if refused := credentials.refusal(access, stack):
        _console(error=True).print(refused)
        raise typer.Exit(1)
    return access


def command_of(stack: str) -> str:
    return f"make recover STACK={stack}"


@app.command()
def recover(
    stack: Stack,
    yes: Yes = False,
    exists: Annotated[
        list[str] | None, typer.Option("--is", metavar="NAME=ID", help="It exists and this is its id, found by hand.")
    ] = None,
    gone: Annotated[
        list[str] | None, typer.Option("--gone", metavar="NAME", help="It does not exist, found by hand.")
    ] = None,
) -> None:
    """Take the lock away, find out what became of interrupted creations, and mend the state."""
    out = _console()
    stated = recovery.Stated(dict(_pair(item) for item in exists or ()), frozenset(gone or ()))
    if not yes and not typer.confirm(f"Is it certain that no operation on {stack} is running, anywhere?"):
        raise typer.Exit(1)
    _right_account(stack)
    engine = Engine(stack)
    try:
        why_not = engine.cancel()
        out.print(f"Lock: {why_not}." if why_not else "Lock: none is held now.")
        state = engine.state()
        plan = recovery.plan(state, finder_of(state, _right_account(stack, state)), stated)
    except recovery.BadAnswer as error:
        _console(error=True).print(str(error))
        raise typer.Exit(1) from None
    except EngineError as error:
        _fail(error)
    if plan.nothing:
        out.print(f"Nothing of {stack} was interrupted. `make up` may run.")
        return
    _show(out, plan)
    if plan.undecided:
        out.print(
            f"\n{len(plan.undecided)} undecided; nothing was changed. State what you find: "
            f'{command_of(stack)} ARGS="--is NAME=ID --gone NAME". See docs/runbooks/recover.md.'
        )
        raise typer.Exit(1)
    if not yes and not typer.confirm("\nWrite this into the state?"):
        raise typer.Exit(1)
    try:
        after = recovery.carry_out(engine, state, plan)
    except EngineError as error:
        _fail(error)
    held = {item.urn for item in after.resources}
    for item in plan.decisions:
        if item.verdict is Verdict.take and item.pending.urn not in held:
            out.print(f"{words(item.pending.resource)} was gone when it was read; the next `make up` makes it.")
    if refused := recovery.refusal(after, command_of(stack)):
        _console(error=True).print(refused)
        raise typer.Exit(1)
    out.print(f"Recovered. Go on with `make up STACK={stack}`, or `make destroy STACK={stack}`.")


def _pair(text: str) -> tuple[str, str]:
    name, separator, id_ = text.partition("=")
    if not separator or not name or not id_:
        raise typer.BadParameter(f"{text!r}: give NAME=ID", param_hint="--is")
    return name, id_


def _show(out: Console, plan: recovery.Plan) -> None:
    table = Table("interrupted creation", "what is done", "because", box=None, pad_edge=False)
    said = {
        Verdict.take: "taken into the state",
        Verdict.forget: "forgotten; the next up makes it",
        Verdict.undecided: "undecided",
    }
    for item in plan.decisions:
        table.add_row(words(item.pending.resource), said[item.verdict], f"it {item.why}")
    if plan.decisions:
        out.print(table)
    for item in plan.reread:
        out.print(f"{words(item.resource)}: interrupted while {item.kind}; is read again")
    for urn in plan.unread:
        out.print(f"{urn.rsplit('::', 1)[1]}: taken in before and not read; is read now")


@app.command()
def ready(stack: Stack) -> None:
    """Refuse, with the way out, when an `up` must not start on this state."""
    try:
        refused = recovery.refusal(Engine(stack).state(), command_of(stack))
    except NoStack:
        return  # nothing can have been interrupted; the engine says the rest
    except EngineError as error:
        _fail(error)
    if refused:
        _console(error=True).print(refused)
        raise typer.Exit(1)


@app.command()
def protected(stack: Stack) -> None:
    """Name what is protected, and the setting that lets each go: the engine's refusal of an edit names no setting."""
    try:
        state = Engine(stack).state()
    except NoStack:
        return
    except EngineError as error:
        _fail(error)
    found = teardown.obstacles(state, keep_protected=False)
    if found:
        told = _console(error=True)
        told.print("If it was refused because something is protected, nothing was changed. Each is let go by:")
        for item in found:
            told.print(f"  {item.what}: {item.release}")


@app.command()
def destroy(
    stack: Stack,
    yes: Yes = False,
    keep: Annotated[Keep | None, typer.Option(help="Leave what is protected, and what it depends on.")] = None,
) -> None:
    """Look first, then destroy everything in order, then say what is left and why."""
    engine, out, bad = Engine(stack), _console(), _console(error=True)
    _right_account(stack)
    try:
        before = engine.state()
    except EngineError as error:
        _fail(error)
    access = _right_account(stack, before)
    if refused := recovery.refusal(before, command_of(stack)):
        bad.print(refused)
        raise typer.Exit(1)
    if not before.resources:
        out.print(f"{stack} holds nothing.")
        return
    found = teardown.obstacles(before, keep_protected=keep is Keep.protected)
    for item in found:
        bad.print(f"{item.what}: {item.why}. Let it go with {item.release}.")
    if found:
        bad.print(
            "Nothing was destroyed: the engine would delete nearly everything else first and then fail on these. "
            f"To leave what is protected: make destroy STACK={stack} KEEP=protected"
        )
        raise typer.Exit(1)
    silent = teardown.unanswered(before)
    for line in silent:
        bad.print(line)
    if silent:
        bad.print("Nothing was destroyed. docs/runbooks/recover.md says what to do when the cluster is lost for good.")
        raise typer.Exit(1)
    code = engine.destroy(yes=yes, exclude_protected=keep is Keep.protected)
    try:
        after = engine.state()
    except EngineError as error:
        _fail(error)
    if {item.urn for item in after.resources} == {item.urn for item in before.resources}:
        out.print("Nothing was destroyed.")
    else:
        _left(out, before, after, access)
    raise typer.Exit(code)


def _left(out: Console, before: State, after: State, access: Access) -> None:
    left = [*teardown.left_in_state(before, after), *teardown.left_outside(before, after)]
    tagged = teardown.tagged_things(before, access=access)
    if isinstance(tagged, str):
        out.print(f"Not looked for by tag: {tagged}.")
    else:
        left += tagged
    if not left:
        out.print("Nothing is left.")
        return
    table = Table("what is left", "why", box=None, pad_edge=False)
    for item in left:
        table.add_row(item.what, item.why)
    out.print(table)


def _fail(error: EngineError) -> NoReturn:
    _console(error=True).print(str(error))
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
