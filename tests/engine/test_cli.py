"""Every shipped stack by the `pulumi` CLI, in a clone, on the stack file as it is in git: what a user's first day is.

What the other tests here hand to the engine they have written themselves; a date without quotes, a key that the CLI writes, or
a rule that only `make` asks for is not seen there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recording.answers import Answers
from recording.recorder import record
from stacks import stackfile
from stacks.placeholders import KNOWN
from tests.conftest import AT, STACKS
from tests.engine.cli import Clone
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import World, edited, require_engine
from tests.engine.test_before_the_start import BEFORE
from tests.engine.test_life import MEANT_TO_STAY_IN_AWS, releases

SALT = re.compile(r"\+encryptionsalt: v1:\S+")

FILLED = {
    "<account-id>": "210987654321",
    "<admin-role-arn>": "arn:aws:iam::210987654321:role/platform",
    "<your-ip>": "52.94.76.10",
    "<reservation-id>": "cr-0123456789abcdef0",
    "<second-reservation-id>": "cr-0123456789abcdef1",
}
"""What a user types in the place of each placeholder of the shipped files. The token is set as a secret."""

TOKEN = "hf_KnownTokenThatMustNeverBeSeen42"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    require_engine()
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def make_world(control_plane: ControlPlane, contracts: Path) -> Iterator[Callable[[str], World]]:
    worlds: list[World] = []

    def make(name: str) -> World:
        worlds.append(World(control_plane, contracts, Answers(name)))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


def comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


def fill_in(clone: Clone, stack: str) -> None:
    """Put a value of one's own in the place of every placeholder, in an editor and by the CLI."""
    file = clone.file(stack)
    text = file.read_text()
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    file.write_text(text)
    if "<hugging-face-token>" in text:
        clone.pulumi("config", "set", "--stack", stack, "--secret", "dynamo-eks:huggingFaceToken", TOKEN)
    assert not [placeholder for placeholder in KNOWN if placeholder in file.read_text()]


def begin(clone: Clone, stack: str, world: World) -> None:
    """A stack of that name in the backend, its file filled in and committed."""
    clone.pulumi("stack", "init", stack)
    fill_in(clone, stack)
    clone.commit(f"{stack} of our own")
    clone.enter(stack, world)


@pytest.mark.sweep("name")
@pytest.mark.parametrize("name", STACKS)
def test_a_users_day(name: str, clone: Clone, make_world: Callable[[str], World]) -> None:
    """Prevents the first hour that ends at the first command: a file that the engine reads otherwise than the plan, one that
    is rewritten with every operation, a value that nobody can have, or an `up` that is not what was planned."""
    file, world = clone.file(name), make_world(name)
    clone.pulumi("stack", "init", name)
    # The CLI writes the passphrase's salt into the file, and leaves the rest as it is.
    (salt,) = clone.diff()
    assert SALT.fullmatch(salt)
    clone.commit("salt")
    clone.enter(name, world)

    open_ = [placeholder for placeholder in KNOWN if placeholder in file.read_text()]
    assert ("aws:region" in file.read_text()) == bool(open_)
    if open_:
        refused = clone.pulumi("up", "--stack", name, "--yes", "--skip-preview", may_fail=True)
        assert refused.returncode and f"stacks/Pulumi.{name}.yaml has " in refused.stdout, refused.stdout
        # With the line to edit.
        for placeholder in open_:
            number = next(at for at, line in enumerate(file.read_text().splitlines(), 1) if placeholder in line)
            assert re.search(rf"line {number}: .*{re.escape(placeholder)}", refused.stdout), refused.stdout
        assert clone.resources(name) == [] and world.log == []
        assert clone.diff() == []
        clone.set(name, "cluster.publicAccessCidrs[0]", f"{FILLED['<your-ip>']}/32")
        fill_in(clone, name)
        replaced = [line for line in clone.diff() if line.startswith("-")]
        assert all(any(placeholder in line for placeholder in open_) for line in replaced)
        clone.commit("filled in")
        clone.enter(name, world)

    read = stackfile.read(name, file)
    config = read.config
    planned = {node.key for node in record(name, config, secret_keys=read.secret_keys, at=AT).nodes}
    assert "graphs" in clone.pulumi("config", "--stack", name).stdout
    preview = clone.pulumi("preview", "--stack", name, "--non-interactive").stdout
    assert re.search(rf"Plan of {name}: .* rules: \d+ hold, \d+ warn, 0 fail", preview), preview
    clone.pulumi("up", "--stack", name, "--yes", "--skip-preview")
    assert {f"{item['type']}::{item['urn'].rsplit('::', 1)[1]}" for item in clone.resources(name)} == planned
    clone.pulumi("up", "--stack", name, "--yes", "--skip-preview", "--expect-no-changes")
    # What was not edited is no edit, to the look that `make up` takes first.
    assert clone.run(".venv/bin/python", "-m", "operations", "edits", "--stack", name).stdout == ""
    assert clone.diff() == []

    text, graph = file.read_text(), next(iter(config["dynamo-eks:graphs"]))
    changes = {f"graphs.{graph}.frontend.replicas": 3, **releases(config)}
    for path, value in changes.items():
        clone.set(name, re.sub(r"\.(\d+)", r"[\1]", path), json.dumps(value))
    assert comments(file.read_text()) == comments(text)
    assert stackfile.read(name, file).config == edited(config, changes)
    assert " updated" in clone.pulumi("up", "--stack", name, "--yes", "--skip-preview").stdout
    written = file.read_text()
    clone.pulumi("destroy", "--stack", name, "--yes", "--skip-preview")
    assert clone.resources(name) == []
    assert {type_ for type_, _ in world.aws.things} <= MEANT_TO_STAY_IN_AWS
    assert file.read_text() == written
    clone.commit("the end")


def test_what_breaks_a_rule_is_refused_by_the_cli(clone: Clone, make_world: Callable[[str], World]) -> None:
    """Prevents a purchase past the rules: `make` is not what a pipeline runs. What must be is allowed by name, and is seen."""
    name = "drill"
    # As it is shipped: in the clone another test may have edited it.
    shutil.copy(stackfile.ROOT / stackfile.shown("g6e-dev"), clone.file(name))
    world = make_world(name)
    begin(clone, name, world)
    clone.set(name, "capacity.pools.gpu.gpuLimit", "1")
    refusal = "fail pool-room: NodePool gpu: its graphs ask for 3 GPUs and its limit is 1; raise gpuLimit"
    for operation in (("preview",), ("up", "--yes", "--skip-preview")):
        refused = clone.pulumi(*operation, "--stack", name, may_fail=True)
        assert refused.returncode and refusal in refused.stdout
        assert f"error: The plan of {name} has 1 failure; nothing was registered:" in refused.stdout
        assert "Traceback" not in refused.stdout
    assert clone.resources(name) == [] and world.log == []

    clone.set(name, "review.allow.pool-room", "a drill with one machine")
    shown = clone.pulumi("preview", "--stack", name).stdout
    assert "raise gpuLimit; allowed: a drill with one machine" in shown
    assert "1 warn (1 allowed), 0 fail" in shown and "to create" in shown
    # Whoever takes a stack down is not asked for a plan.
    clone.pulumi("config", "rm", "--stack", name, "--path", "dynamo-eks:review")
    assert "0 fail" not in clone.pulumi("destroy", "--stack", name, "--yes").stdout
    assert clone.pulumi("refresh", "--stack", name, "--yes").returncode == 0


def test_make_lets_through_what_the_cli_lets_through(clone: Clone, make_world: Callable[[str], World]) -> None:
    """Prevents two ways with two sets of rules: `make up` is `pulumi up` with a look before it."""
    name = "ours"
    shutil.copy(clone.file("mocker-local"), clone.file(name))
    world = make_world(name)
    begin(clone, name, world)
    make = ("make", "-o", ".venv/.installed", f"STACK={name}")
    assert f"Plan of {name}: " in clone.run(*make, "preview").stdout
    clone.set(name, "dynamo.version", "1.4")
    refused = clone.run(*make, "preview", may_fail=True)
    assert refused.returncode and f"stacks/Pulumi.{name}.yaml has 1 fault; nothing was registered" in refused.stdout
    clone.set(name, "dynamo.version", "1.5.0")
    clone.set(name, "cluster.existing.context", "kind-dynmo")
    refused = clone.run(*make, "preview", may_fail=True)
    assert refused.returncode and "it has no context 'kind-dynmo', but kind-dynamo" in refused.stdout
    assert world.log == []


def test_edits_that_aws_refuses_are_refused_before_the_engine_starts(
    clone: Clone, make_world: Callable[[str], World]
) -> None:
    """Prevents an `up` that changes half of what was edited and stops at what AWS will not do: the engine's preview cannot tell."""
    name = "changed"
    shutil.copy(stackfile.ROOT / stackfile.shown("g6e-dev"), clone.file(name))
    begin(clone, name, make_world(name))
    look = (".venv/bin/python", "-m", "operations", "edits", "--stack", name)
    clone.set(name, "cluster.version", "1.34")
    assert clone.run(*look).stdout == ""
    clone.pulumi("up", "--stack", name, "--yes", "--skip-preview")
    assert clone.run(*look).stdout == ""

    clone.set(name, "cluster.version", "1.36")
    clone.set(name, "network.zones", "2")
    told = clone.run(*look, may_fail=True)
    assert told.returncode == 1 and f"AWS would not carry out 2 edits of {name}; nothing was begun:" in told.stdout
    words = "Unsupported Kubernetes minor version update from 1.34 to 1.36"
    assert words in told.stdout and "use1-az1, use1-az2, use1-az4 -> use1-az1, use1-az2" in told.stdout
    # And so it is: the preview promises an update, and the `up` stops at it.
    assert "eks:Cluster" in clone.pulumi("preview", "--stack", name).stdout
    failed = clone.pulumi("up", "--stack", name, "--yes", "--skip-preview", may_fail=True)
    assert failed.returncode and words in failed.stdout

    for path, value in {"cluster.version": "1.35", "network.zones": "3"}.items():
        clone.set(name, path, value)
    assert clone.run(*look).stdout == ""
    for path, value in releases(stackfile.read(name, clone.file(name)).config).items():
        clone.set(name, re.sub(r"\.(\d+)", r"[\1]", path), json.dumps(value))
    clone.pulumi("up", "--stack", name, "--yes", "--skip-preview")
    clone.pulumi("destroy", "--stack", name, "--yes", "--skip-preview")
    assert clone.resources(name) == []


def test_a_plain_preview_says_what_waits_for_a_block(clone: Clone, make_world: Callable[[str], World]) -> None:
    """Prevents a plain `pulumi up` that stands before an empty rack until its Jobs time out."""
    name = "early"
    shutil.copy(clone.file("gb200-prod"), clone.file(name))
    begin(clone, name, make_world(name))
    clone.at = BEFORE
    try:
        shown = clone.pulumi("preview", "--stack", name).stdout
    finally:
        clone.at = AT
    assert "warn rack-a starts at 2026-12-01T11:30:00Z; " in shown
    assert f"`make up STACK={name}` leaves them out until then" in shown


def test_a_secret_is_seen_by_nobody(clone: Clone, make_world: Callable[[str], World]) -> None:
    """Prevents a token in the log of a pipeline: the plan's process does not get it, and no fault shows it."""
    name = "quiet"
    shutil.copy(clone.file("mocker-local"), clone.file(name))
    begin(clone, name, make_world(name))
    clone.pulumi("config", "set", "--stack", name, "--secret", "dynamo-eks:huggingFaceToken", TOKEN)
    shown = clone.pulumi("preview", "--stack", name, "--diff").stdout
    assert f"Plan of {name}: " in shown and "hf-token" in shown and TOKEN not in shown
    clone.set(name, "graphs.mocker.frontend.cpu", TOKEN, "--secret")
    refused = clone.pulumi("preview", "--stack", name, may_fail=True)
    assert refused.returncode and TOKEN not in refused.stdout
    assert "[hidden]" in refused.stdout and "nothing was registered" in refused.stdout
