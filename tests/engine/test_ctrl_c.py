"""Ctrl-C, a cancelled job and a closed terminal while the real engine is at work: it ends by itself, and what is left is said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pytest

from recording.answers import Answers
from tests.engine.engine import Stack, World, quieten, require_engine
from tests.engine.standins import Refused
from tests.engine.terminals import Interrupted, program_served, signalled, until

VPC, SLOW, AFTER = "network-vpc", "network-slow", "network-after"


def program() -> None:
    """Three resources, one after another, in an account of the stand-in's."""
    account = aws.Provider("aws", region="us-east-1", skip_credentials_validation=True)
    opts = pulumi.ResourceOptions(provider=account)
    vpc = aws.ec2.Vpc(VPC, cidr_block="10.0.0.0/16", opts=opts)
    under = pulumi.ResourceOptions(provider=account, parent=vpc)
    slow = aws.ec2.Subnet(SLOW, vpc_id=vpc.id, cidr_block="10.0.1.0/24", opts=under)
    aws.ec2.RouteTable(AFTER, vpc_id=vpc.id, opts=pulumi.ResourceOptions(provider=account, depends_on=[slow]))


class Slow:
    """Holds a call until it is let go, and knows when the engine is in it."""

    def __init__(self, world: World, method: str, name: str) -> None:
        self.reached, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.method, self.name = method, name
        world.aws.on_call = self

    def __call__(self, moment: str, method: str, urn: str) -> None:
        if method == self.method and urn.endswith(f"::{self.name}"):
            if moment == "before":
                self.reached.set()
                assert self.go.wait(60)
            else:
                self.ended.set()


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Interrupted]:
    require_engine()
    quieten()
    world = World(None, None, Answers("demo"))
    try:
        yield Interrupted(Stack("demo", tmp_path, world, config={}, program=program))
    finally:
        world.stop()


def _in_order(told: Interrupted) -> None:
    """What an engine leaves that ended by itself."""
    assert told.locks == [] and told.pending == []


@contextlib.contextmanager
def _cancelled(told: Interrupted) -> Iterator[None]:
    """Wait until the engine knows of what is done within: before that it would go on with what comes next."""
    cancelled = told.stack.world.aws.cancelled
    cancelled.clear()
    yield
    until(cancelled.is_set, what="the engine's cancellation")


def test_ctrl_c_in_up(interrupted: Interrupted) -> None:
    """Killed, the engine leaves its lock and a subnet of which nobody learns whether it exists."""
    slow = Slow(interrupted.stack.world, "create", SLOW)
    with program_served(program) as client:
        terminal = interrupted.terminal(interrupted.operations("up", "--yes", client))
        until(slow.reached.is_set, what="the slow creation")
        terminal.ctrl_c()
        until(lambda: "^C received; cancelling" in terminal.text, what="the engine's own word")
        slow.go.set()
        code = terminal.end()
    assert slow.ended.is_set()
    assert code == 1, terminal.text
    # What was under way is in the state, what comes after it was not begun.
    assert interrupted.names == [SLOW, VPC]
    _in_order(interrupted)
    assert "Done before it ended: 2 created." in terminal.text
    assert "ended in order, with nothing pending. `make up STACK=demo` goes on from there" in terminal.text
    assert "protected" not in terminal.text and "Traceback" not in terminal.text


def test_ctrl_c_in_make_destroy(interrupted: Interrupted) -> None:
    """Killed in the middle of a deletion, it says nothing of what is left, and what is left is billed."""
    interrupted.stack.up()
    slow = Slow(interrupted.stack.world, "delete", SLOW)
    terminal = interrupted.terminal(interrupted.make("destroy", "YES=1"))
    until(slow.reached.is_set, what="the slow deletion")
    terminal.ctrl_c()
    until(lambda: "^C received; cancelling" in terminal.text, what="the engine's own word")
    slow.go.set()
    assert terminal.end() == 2, terminal.text[-1500:]
    assert interrupted.names == [VPC]
    _in_order(interrupted)
    assert f"aws:ec2/vpc:Vpc {VPC} not deleted: the destroy ended before it; run `make destroy` again" in terminal.text
    assert SLOW not in terminal.text.partition("what is left")[2]
    assert interrupted.run(interrupted.make("destroy", "YES=1"))[0] == 0 and interrupted.names == []


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda it: signalled(it, signal.SIGTERM), id="term"),
        # A runner of GitHub: first the one, seconds later the other, to the first process of the job.
        pytest.param(lambda it: signalled(it, signal.SIGINT, signal.SIGTERM), id="int and term"),
        pytest.param(lambda it: os.killpg(it.pid, signal.SIGTERM), id="term to all"),
    ],
)
def test_a_cancelled_job(interrupted: Interrupted, stop: Callable[[subprocess.Popen[str]], None]) -> None:
    """A runner that cancels its job kills the engine with the second signal."""
    slow = Slow(interrupted.stack.world, "create", SLOW)
    with program_served(program) as client:
        job = interrupted.start(interrupted.operations("up", "--yes", client))
        until(slow.reached.is_set, what="the slow creation")
        with _cancelled(interrupted):
            stop(job)
        slow.go.set()
        said, _ = job.communicate(timeout=60)
    assert job.returncode == 1, said
    assert interrupted.names == [SLOW, VPC]
    _in_order(interrupted)
    assert "ended in order, with nothing pending" in " ".join(said.split())


def test_a_closed_terminal(interrupted: Interrupted) -> None:
    """A laptop that is closed takes the connection, its terminal and the engine with it."""
    slow = Slow(interrupted.stack.world, "create", SLOW)
    with program_served(program) as client:
        terminal = interrupted.terminal(interrupted.operations("up", "--yes", client))
        until(slow.reached.is_set, what="the slow creation")
        with _cancelled(interrupted):
            terminal.hang_up()
        slow.go.set()
        terminal.end()
        until(lambda: not interrupted.locks, what="the end of the engine")
    assert interrupted.names == [SLOW, VPC]
    _in_order(interrupted)


def test_without_a_terminal_and_without_yes(interrupted: Interrupted) -> None:
    """In a pipeline the CLI's own refusal comes after a preview of minutes."""
    code, said = interrupted.run(interrupted.operations("up"))
    assert code == 1 and said == (
        "There is no terminal to ask on, so nothing was begun. Without one: make up STACK=demo YES=1"
    )
    interrupted.stack.up()
    code, said = interrupted.run(interrupted.make("destroy"))
    assert code == 2 and "nothing was begun. Without one: make destroy STACK=demo YES=1" in said
    assert interrupted.names == [AFTER, SLOW, VPC]


def test_arguments_go_to_the_engine(interrupted: Interrupted) -> None:
    """A URN holds a `$`, which make and the shell would both take for a variable; what is left targets something else."""
    vpc = f"urn:pulumi:demo::dynamo-eks::aws:ec2/vpc:Vpc::{VPC}"
    slow = f"urn:pulumi:demo::dynamo-eks::aws:ec2/vpc:Vpc$aws:ec2/subnet:Subnet::{SLOW}"
    with program_served(program) as client:
        given = f"{client} --target {vpc} --target '{slow}'"
        code, said = interrupted.run(interrupted.operations("up", "--yes", "--args", given))
    assert code == 0, said
    assert interrupted.names == [SLOW, VPC]


def test_messages_say_what_happened(interrupted: Interrupted) -> None:
    """After 37 creations nobody believes that nothing was changed, and nobody believes the next message either."""

    def refused(moment: str, method: str, urn: str) -> None:
        if (moment, method) == ("before", "create") and urn.endswith(f"::{AFTER}"):
            raise Refused("RouteTableLimitExceeded")

    interrupted.stack.world.aws.on_call = refused
    with program_served(program) as client:
        code, said = interrupted.run(interrupted.operations("up", "--yes", client))
        assert code == 1 and said.endswith("Done before it ended: 2 created."), said
        interrupted.stack.world.aws.on_call = lambda moment, method, urn: None
        assert interrupted.run(interrupted.operations("up", "--yes", client))[0] == 0

    def protecting() -> None:
        account = aws.Provider("aws", region="us-east-1", skip_credentials_validation=True)
        aws.ec2.Vpc(
            VPC,
            cidr_block=cidr,
            opts=pulumi.ResourceOptions(provider=account, protect=True, delete_before_replace=True),
        )

    cidr = "10.0.0.0/16"
    with program_served(protecting) as client:
        assert interrupted.run(interrupted.operations("up", "--yes", client))[0] == 0
    cidr = "10.9.0.0/16"
    with program_served(protecting) as client:
        code, said = interrupted.run(interrupted.operations("up", "--yes", client))
    assert code == 1
    assert "Nothing was created, updated or deleted." in said
    assert f"aws:ec2/vpc:Vpc {VPC} is protected. It is let go by: cluster.protect: false, then `make up`" in said


def test_an_operation_that_is_locked_out(interrupted: Interrupted) -> None:
    """Two engines at once: the second one has done nothing, and says so."""
    slow = Slow(interrupted.stack.world, "create", SLOW)
    with program_served(program) as client:
        job = interrupted.start(interrupted.operations("up", "--yes", client))
        until(slow.reached.is_set, what="the slow creation")
        code, said = interrupted.run(interrupted.operations("up", "--yes", client))
        assert code == 1 and "demo is held by" in said and "If that operation is alive, nothing was cut off yet" in said
        code, said = interrupted.run(interrupted.operations("recover", "--yes", "--take-lock"))
        assert code == 1 and "its process is running here. Nothing was changed." in said, said
        assert len(interrupted.locks) == 1
        slow.go.set()
        assert job.wait(60) == 0
    assert interrupted.names == [AFTER, SLOW, VPC]
