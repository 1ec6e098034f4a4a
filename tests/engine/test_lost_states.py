"""A state that is cut off or gone, and a recovery that is cut off itself: what is printed is typed, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from operations.state import State
from recording.answers import Answers
from tests.engine.engine import Stack, World, quieten, require_engine
from tests.engine.standins import Refused
from tests.engine.terminals import Interrupted, program_served, until

SIZE = {"name": "one"}


def program() -> None:
    """Two things; the second one's tag can be edited."""
    account = aws.Provider("aws", region="us-east-1", skip_credentials_validation=True)
    opts = pulumi.ResourceOptions(provider=account)
    vpc = aws.ec2.Vpc("network-vpc", cidr_block="10.0.0.0/16", opts=opts)
    aws.ec2.Subnet("network-a", vpc_id=vpc.id, cidr_block="10.0.1.0/24", tags=dict(SIZE), opts=opts)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Interrupted]:
    """The stack, up."""
    require_engine()
    quieten()
    monkeypatch.setitem(SIZE, "name", "one")
    world = World(None, None, Answers("demo"))
    try:
        made = Interrupted(Stack("demo", tmp_path, world, config={}, program=program))
        made.stack.up()
        yield made
    finally:
        world.stop()


def _file(told: Interrupted) -> Path:
    return told.stack.folder / "backend" / ".pulumi" / "stacks" / "dynamo-eks" / "demo.json"


def _full_disk(told: Interrupted) -> None:
    """The state and its `.bak`, cut off at the same byte."""
    cut = _file(told).read_bytes()[:700]
    _file(told).write_bytes(cut)
    _file(told).with_name("demo.json.bak").write_bytes(cut)


def _empty(told: Interrupted) -> None:
    _file(told).write_bytes(b"")


def _gone(told: Interrupted) -> None:
    _file(told).unlink()


def _companion(told: Interrupted) -> None:
    _file(told).with_name("demo.json.attrs").write_bytes(b"")


@pytest.mark.parametrize("spoil", [_full_disk, _empty, _gone, _companion])
def test_a_lost_state_is_put_back(told: Interrupted, spoil: Callable[[Interrupted], None]) -> None:
    """With the state gone, an `up` makes a second cluster beside the first; cut off, nobody gets any further, and the whole
    one lies beside it."""
    before = told.names
    spoil(told)
    code, said = told.run(told.operations("up", "--yes"))
    assert code == 2, said
    for command in ("ready", "recover", "destroy"):
        ended = subprocess.run(
            told.operations(command), cwd=told.stack.folder, env=told.environment, capture_output=True, text=True
        )
        assert ended.returncode == 2 and ended.stdout == "", ended.stdout
        assert re.search(r"cut off|is gone", ended.stderr), ended.stderr
    printed = [line.strip() for line in ended.stderr.splitlines() if re.match(r"  (cp|rm) ", line)]
    assert printed
    for line in printed:
        subprocess.run(line, shell=True, check=True)
    assert told.run(told.operations("ready")) == (0, "")
    assert told.names == before == ["network-a", "network-vpc"]
    # And it is the stack's own: an `up` has nothing to do.
    assert told.stack.up().changes == []


def test_a_stack_that_was_removed_in_order(told: Interrupted) -> None:
    """Its backups stay behind and must not keep anybody from beginning anew."""
    told.stack.destroy()
    subprocess.run(
        ["pulumi", "stack", "rm", "demo", "--yes", "--preserve-config"],
        cwd=told.stack.folder,
        env=told.environment,
        check=True,
        capture_output=True,
    )
    assert told.run(told.operations("ready")) == (0, "")


def test_what_was_interrupted_outlives_a_recovery_that_is_killed(told: Interrupted) -> None:
    """`pulumi stack import`, and a refresh that is cut off, drop pending updates: a change of which half is carried out is
    then taken for the state's own, and no `up` ever mends it."""
    _killed_in_an_update(told)
    world = told.stack.world.aws
    read = world.read

    def killed(*arguments: Any) -> Any:
        _kill(told)
        return read(*arguments)

    world.read = killed
    code, said = told.run(told.operations("recover", "--yes", "--take-lock"))
    assert code == 2, said
    world.read = read
    # The CLI has dropped the operation; what it was about is known all the same.
    assert told.pending == []
    assert [item.name for item in State({"deployment": told.stack.export()}).unread] == ["network-a"]
    code, said = told.run(told.operations("ready"))
    assert code == 1 and "network-a" in said and "make recover STACK=demo" in said
    code, said = told.run(told.operations("recover", "--yes", "--take-lock"))
    assert code == 0 and "an earlier recovery did not get to read it" in said, said
    (subnet,) = [item for item in told.stack.resources if item["type"].endswith(":Subnet")]
    assert subnet["outputs"]["tags"] == {"name": "two"} and not subnet.get("initErrors")
    assert told.run(told.operations("ready")) == (0, "")


def _killed_in_an_update(told: Interrupted) -> None:
    world = told.stack.world.aws

    def kill(moment: str, method: str, urn: str) -> None:
        if (moment, method) == ("after", "update"):
            _kill(told)
            raise Refused("nobody hears any more that it was done")

    world.on_call = kill
    SIZE["name"] = "two"
    with program_served(program) as client:
        code, said = told.run(told.operations("up", "--yes", client))
    world.on_call = lambda moment, method, urn: None
    assert code == 137 and "The engine was killed (signal 9)" in said and "make recover STACK=demo" in said, said
    assert [item["type"] for item in told.pending] == ["updating"] and len(told.locks) == 1


def _kill(told: Interrupted) -> None:
    """SIGKILL to the engine that holds the stack."""
    (lock,) = told.locks
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)


def test_ctrl_c_in_recover(told: Interrupted) -> None:
    """Killed while it reads, a recovery leaves a lock of its own, and the next one has to recover the recovery."""
    _killed_in_an_update(told)
    world = told.stack.world.aws
    reached, go, read = threading.Event(), threading.Event(), world.read

    def slow(*arguments: Any) -> Any:
        reached.set()
        assert go.wait(60)
        return read(*arguments)

    world.read = slow
    terminal = told.terminal(told.operations("recover", "--yes", "--take-lock"))
    until(reached.is_set, what="the read")
    terminal.ctrl_c()
    go.set()
    assert terminal.end() == 130, terminal.text
    assert "what was under way has come to its own end" in terminal.text and told.locks == []
    world.read = read
    code, said = told.run(told.operations("recover", "--yes"))
    assert code == 0, said
    assert told.run(told.operations("ready")) == (0, "")
