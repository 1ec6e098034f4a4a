"""`python -m operations`: up, recover, ready, destroy.

Exit code 0 when it is done, 1 when it is refused or a person must decide, 2 when the engine or the backend fails. An `up` or
a `destroy` that was begun ends with the engine's own code. `make` turns every one but 0 into 2.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from operations import aftermath, credentials, lock, measured, teardown
from operations import edits as changes
from operations import recover as recovery
from operations.aws_finder import AwsFinder
from operations.cluster_finder import ClusterFinder
from operations.credentials import Access
from operations.engine import Engine, EngineError, NoStack, Operation, Stopped
from operations.lookup import Everywhere, Finder, Verdict
from operations.state import PROVIDER_PREFIX, State, words

Stack = Annotated[str, typer.Option(help="Stack to work on.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
FOR_ENGINE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Whatever a command does not know itself goes to the engine as it is."""

PROVIDERS_END_S = 60.0
"""How long `recover` waits for the providers of an engine that is gone."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Keep(StrEnum):
    """What a destroy leaves on purpose."""

    protected = "protected"
    """What is protected, and everything that it depends on."""


def _console(*, error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    # Commands that are printed are copied: no line of them is broken. Tables are, by themselves.
    return Console(stderr=error, highlight=False, width=None if stream.isatty() else 160, markup=False, soft_wrap=True)


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


def terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _agreed(question: str, yes: bool, command: str) -> None:
    """End unless it was said beforehand, or is said now."""
    if yes:
        return
    if not terminal():
        _console(error=True).print(f"There is no terminal to ask on: {question}\nWhen it is so: {command} YES=1")
        raise typer.Exit(1)
    if not typer.confirm(question):
        raise typer.Exit(1)


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
    take_lock: Annotated[
        bool, typer.Option("--take-lock", help="The operation that holds the stack is dead, however young its lock is.")
    ] = False,
) -> None:
    """Take the lock of a dead operation away, find out what became of its creations, and mend the state."""
    out = _console()
    stated = recovery.Stated(dict(_pair(item) for item in exists or ()), frozenset(gone or ()))
    _right_account(stack)
    engine = Engine(stack)
    try:
        # A state that cannot be read is put back first, and another account's lock is not ours to take.
        _right_account(stack, engine.state())
        _unlock(engine, out, yes=yes, take_lock=take_lock)
        state = engine.state()
        if state.creating:
            _let_providers_end(out, stack, take_lock=take_lock)
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
            f"\n{len(plan.undecided)} undecided; nothing was written into the state. State what you find: "
            f'{command_of(stack)} ARGS="--is NAME=ID --gone NAME". See docs/runbooks/recover.md.'
        )
        raise typer.Exit(1)
    _agreed("\nWrite this into the state?", yes, command_of(stack))
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


def _unlock(engine: Engine, out: Console, *, yes: bool, take_lock: bool) -> None:
    """Take the lock away when its operation is dead; end when it lives, or may live and nobody says otherwise."""
    bad, stack, now = _console(error=True), engine.stack, datetime.now(UTC)
    try:
        held = engine.holders()
    except NoStack:
        raise
    except EngineError as error:
        held = [lock.Holder(f"somebody of whom the backend says: {error}", None)]
    if not held:
        out.print("Lock: nobody holds it.")
        return
    for item in held:
        if item.lives_here:
            bad.print(
                f"{item.in_words(now)} holds {stack}, and its process is running here. Nothing was changed. "
                f"Wait for it, or have it end in order with: kill -INT {item.pid}"
            )
            raise typer.Exit(1)
    named = "; ".join(item.in_words(now) for item in held)
    if any(item.young(now) for item in held) and not take_lock and (yes or not terminal()):
        bad.print(
            f"{stack} is held by {named}. A lock that young may be that of a living operation, and two engines would write one "
            "state. Nothing was changed. When it is certain that it is dead, say so: "
            f'{command_of(stack)}{" YES=1" if yes else ""} ARGS="--take-lock"'
        )
        raise typer.Exit(1)
    _agreed(
        f"{stack} is held by {named}. Is it certain that this operation is dead, wherever it ran?",
        yes or take_lock,
        command_of(stack),
    )
    engine.cancel()
    if engine.holders():
        bad.print(f"Another operation has taken {stack} meanwhile. Nothing else was changed.")
        raise typer.Exit(1)
    out.print(f"Lock: taken away from {named}.")


def _let_providers_end(out: Console, stack: str, *, take_lock: bool) -> None:
    """Wait for providers whose engine was killed: they carry out the call they were in, and only then is it known how."""
    end = time.monotonic() + PROVIDERS_END_S
    told = False
    while found := lock.orphaned_providers():
        named = ", ".join(f"{item.name} (pid {item.pid})" for item in found)
        if take_lock:
            out.print(f"Still running without their engine: {named}. What they are making is not seen.")
            return
        if time.monotonic() > end:
            _console(error=True).print(
                f"Still running without their engine: {named}. What they make is not seen yet, so nothing is decided. "
                f"End them with: kill {' '.join(str(item.pid) for item in found)}\nand then: {command_of(stack)}"
            )
            raise typer.Exit(1)
        if not told:
            out.print(f"Waiting for the providers of the engine that is gone: {named}")
            told = True
        time.sleep(1)


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
        out.print(table, soft_wrap=False)
    for item in plan.reread:
        out.print(f"{words(item.resource)}: interrupted while {item.kind}; is read again")
    for urn in plan.unread:
        out.print(f"{urn.rsplit('::', 1)[1]}: an earlier recovery did not get to read it; is read now")


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
        bad = _console(error=True)
        bad.print(refused)
        if named := _held_by(Engine(stack)):
            bad.print(
                f"{stack} is held by {named}. If that operation is alive, nothing was cut off yet: wait for its end."
            )
        raise typer.Exit(1)


@app.command()
def edits(stack: Stack) -> None:
    """Refuse, with the way out, edits of a stack file that AWS would refuse in the middle of an `up`, or not carry out."""
    try:
        state = Engine(stack).state()
    except NoStack:
        return  # nothing is there that could be changed
    except EngineError as error:
        _fail(error)
    bad = _console(error=True)
    try:
        found = changes.refused(stack, state, Access.of_state(state))
    except changes.NoPlan as error:
        bad.print(str(error))
        raise typer.Exit(2) from None
    for line in changes.doubts(found):
        bad.print(line)
    if refusal := changes.refusal(stack, found):
        bad.print(refusal)
        raise typer.Exit(1)


def _held_by(engine: Engine) -> str:
    try:
        return "; ".join(item.in_words(datetime.now(UTC)) for item in engine.holders())
    except EngineError:
        return ""


@app.command(context_settings=FOR_ENGINE)
def up(context: typer.Context, stack: Stack, yes: Yes = False) -> None:
    """Look first, then create and change, then say what it came to when that is not all of it."""
    ready(stack)
    if not (yes or terminal() or {"--skip-preview", "-f"} & set(context.args)):
        _console(error=True).print(
            f"There is no terminal to ask on, so nothing was begun. Without one: make up STACK={stack} YES=1"
        )
        raise typer.Exit(1)
    engine = Engine(stack)
    try:
        ended = engine.up(yes=yes, arguments=context.args)
        measured.keep(stack, ended.took)
        if ended.code:
            state = _state_after(engine)
            for line in aftermath.of_up(ended, state, stack, command_of(stack)):
                _console(error=True).print(line)
    except EngineError as error:
        _fail(error)
    raise typer.Exit(_code(ended.code))


def _state_after(engine: Engine) -> State:
    try:
        return engine.state()
    except NoStack:
        return State({})


def _code(code: int) -> int:
    """A shell's exit code; one that a signal ended has that of shells."""
    return code if code >= 0 else 128 - code


@app.command(context_settings=FOR_ENGINE)
def destroy(
    context: typer.Context,
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
    if not (yes or terminal()):
        bad.print(
            f"There is no terminal to ask on, so nothing was begun. Without one: make destroy STACK={stack} YES=1"
        )
        raise typer.Exit(1)
    try:
        ended = engine.destroy(yes=yes, exclude_protected=keep is Keep.protected, arguments=context.args)
        measured.keep(stack, ended.took)
        after = engine.state()
    except EngineError as error:
        _fail(error)
    if {item.urn for item in after.resources} == {item.urn for item in before.resources} and not ended.did.touched:
        out.print("Nothing was destroyed.")
    else:
        _left(out, before, after, ended, access)
    for line in aftermath.pending(ended, after, command_of(stack)):
        bad.print(line)
    # A destroy that was stopped ends with 0, and says that all has been deleted.
    kept = before.kept_with_protected() if keep is Keep.protected else {}
    left = [item for item in after.resources if item.urn not in kept and not item.type.startswith(PROVIDER_PREFIX)]
    short = bool(left) and not context.args
    raise typer.Exit(_code(ended.code) or int(short))


def _left(out: Console, before: State, after: State, ended: Operation, access: Access) -> None:
    left = [*teardown.left_in_state(before, after, ended.did.failed), *teardown.left_outside(before, after)]
    for asked, found in (
        ("by tag", teardown.tagged_things(before, access=access, after=after)),
        ("access points", teardown.access_points(after, access=access)),
        ("log groups", teardown.log_groups(before, after, access=access)),
    ):
        if isinstance(found, str):
            out.print(f"Not looked for {asked}: {found}.")
        else:
            left += found
    if not left:
        out.print("Nothing is left.")
        return
    table = Table("what is left", "why", box=None, pad_edge=False)
    for item in left:
        table.add_row(item.what, item.why)
    out.print(table, soft_wrap=False)


def _fail(error: EngineError) -> NoReturn:
    _console(error=True).print(str(error))
    raise typer.Exit(2)


def arguments(words: Sequence[str]) -> list[str]:
    """The command line with `--args TEXT` taken apart as a shell would, but with nothing put in for `$`, which URNs hold."""
    if "--args" not in words:
        return list(words)
    at = list(words).index("--args")
    return [*words[:at], *shlex.split(words[at + 1]), *words[at + 2 :]]


def main(words: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        taken = arguments(words)
    except ValueError as error:
        _console(error=True).print(f"ARGS cannot be read as a command line: {error}")
        return 2
    try:
        app(taken)
    except Stopped:
        _console(error=True).print("Stopped, as was asked for; what was under way has come to its own end.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
