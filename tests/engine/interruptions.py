"""What goes wrong in a test: an engine killed in the middle, a creation that fails, and somebody who looks afterwards.

Real: the SIGKILL, the lock and the pending operations it leaves, and the commands of `operations`, as an operator types them.
Standing in: who looks. AWS's part is the stand-in's own store, told apart by the very table that boto3's questions are made
from (its card); the cluster's part asks the real API server, without kubectl.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from typer.testing import CliRunner

from operations import __main__ as command
from operations import teardown
from operations.cluster_finder import Cluster, ClusterFinder
from operations.credentials import Access, Caller
from operations.lookup import Everywhere, tags_of
from operations.state import Resource, State
from recording.aws_types import CARDS
from recording.aws_types.card import Candidate
from recording.world import ACCOUNT
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import Stack, World
from tests.engine.standins import InitFailed, Refused


def kill_engine() -> None:
    """SIGKILL to every pulumi that this process has started; none is left a moment to write anything down."""
    for file in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in file.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi":
                os.kill(int(pid), signal.SIGKILL)


Creation = Callable[[], tuple[str, struct_pb2.Struct]]


class Trouble:
    """Stands between the engine and the stand-ins of a world, and spoils what it is told to."""

    def __init__(self, world: World) -> None:
        self.made: Counter[str] = Counter()
        """Objects that came into being, by URN: what the log of the stand-ins cannot say of answers nobody heard."""
        self.deleted: list[str] = []
        """URNs in the order in which their objects went."""
        self.deletions: list[tuple[str, str]] = []
        """As `begun` or `ended` and the URN, in order: two that overlap are in no order."""
        self.killed: Counter[str] = Counter()
        """Kills, by when: `before` or `after` the call that was under way had done its work."""
        self.failures: Counter[str] = Counter()
        """Creations that failed, by when: `before` or `after` the object exists."""
        self.on_create: Callable[[str, Creation], tuple[str, struct_pb2.Struct]] = lambda urn, go: go()
        self.on_delete: Callable[[str, Callable[[], None]], None] = lambda urn, go: go()
        self.next_round: Callable[[], None] = lambda: None
        """Called before every operation."""
        self._busy = 0
        self._lock = threading.Condition()
        for stand_in in world.stand_ins:
            self._spoil(stand_in)

    def _spoil(self, stand_in: Any) -> None:
        create, delete = stand_in.create, stand_in.delete

        def creating(urn: str, properties: struct_pb2.Struct, preview: bool, timeout_s: float) -> Any:
            if preview:
                return create(urn, properties, preview, timeout_s)

            def go() -> tuple[str, struct_pb2.Struct]:
                with self._at_work():
                    made = create(urn, properties, preview, timeout_s)
                    self.made[urn] += 1
                    return made

            return self.on_create(urn, go)

        def deleting(urn: str, id_: str, properties: struct_pb2.Struct, timeout_s: float) -> None:
            def go() -> None:
                with self._at_work():
                    self.deletions.append(("begun", urn))
                    delete(urn, id_, properties, timeout_s)
                    self.deletions.append(("ended", urn))
                    self.deleted.append(urn)

            self.on_delete(urn, go)

        stand_in.create, stand_in.delete = creating, deleting

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until nothing is being made or deleted any more."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._busy == 0, seconds), "a stand-in has not come to an end"

    @property
    def kills(self) -> int:
        return sum(self.killed.values())

    # --- what can be asked for --------------------------------------------------------------------------------------

    def kill(self, urn: str, go: Callable[[], Any], *, first: bool) -> Any:
        """Kill the engine around one call: `first`, and nothing is done, or when it is done and before it is answered."""
        if first:
            kill_engine()
        else:
            go()
            kill_engine()
        self.killed["before" if first else "after"] += 1
        raise Refused(f"nobody hears any more that {urn} was {'not ' * first}done")

    def each_creation_once(self, known: set[str]) -> None:
        """Spoil each creation the first time it is tried, but for the `known`.

        Of those that come in one operation, the first has the engine killed, in two operations of three: in turn at once,
        with the others under way and their ends unknown, or when their failures have been heard. The others fail, in turn
        before and after.
        """
        tried: set[str] = set(known)
        state: dict[str, Any] = {"victim": None, "round": 0, "turn": 0}
        turn = threading.Lock()

        def on_create(urn: str, go: Creation) -> tuple[str, struct_pb2.Struct]:
            with turn:
                again, victim = urn in tried, state["victim"] is None
                if not again:
                    tried.add(urn)
                    state["round"] += victim
                    # A first one that is left its engine fails in its turn, as the others do.
                    state["turn"] += not victim or state["round"] % 3 == 0
                    state["victim"] = state["victim"] or urn
                number, others = state["round"], state["turn"]
            if again:
                return go()
            if victim and number % 3:
                if number % 4 < 2:
                    time.sleep(0.4)  # long enough for the engine to hear of the others
                    self.settle()
                self.kill(urn, go, first=number % 2 == 0)
            if others % 2:
                self.failures["before"] += 1
                raise Refused("InsufficientInstanceCapacity, say")
            id_, made = go()
            self.failures["after"] += 1
            raise InitFailed(id_, made, made, ["made, and then something went wrong"])

        self.on_create = on_create
        self.next_round = lambda: state.update(victim=None)

    def every_so_many_deletions(self, count: int) -> None:
        """Kill the engine at every `count`-th deletion of an operation, in turn before and after."""
        state = {"seen": 0}
        turn = threading.Lock()

        def on_delete(urn: str, go: Callable[[], None]) -> None:
            with turn:
                state["seen"] += 1
                victim = state["seen"] == count
            if victim:
                self.kill(urn, go, first=self.kills % 2 == 0)
            go()

        self.on_delete = on_delete
        self.next_round = lambda: state.update(seen=0)


# --- who looks --------------------------------------------------------------------------------------------------------


class Store:
    """Looks in the AWS stand-in, as boto3's questions would in AWS."""

    def __init__(self, world: World) -> None:
        self.world = world

    def find(self, resource: Resource) -> Sequence[Candidate]:
        told = CARDS[resource.type].told
        assert told is not None, resource.type
        return [
            Candidate(id_)
            for (type_, id_), thing in self.world.aws.things.items()
            if type_ == resource.type
            and all(thing.inputs.get(key) == resource.inputs.get(key) for key in (*told.by, *told.within))
            and (told.by or (thing.inputs.get("tagsAll") or {}) == tags_of(resource))
        ]


class Direct(Cluster):
    """The tests' control plane, asked over REST instead of by kubectl."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(str(plane.kubeconfig))
        self.plane = plane

    def ask(self, *words: str) -> dict[str, Any] | None:
        _, what, *rest = words
        options = {word: after for word, after in itertools.pairwise(rest) if word.startswith("--")}
        namespace = options.get("--namespace")
        kinds = {"secrets": ("v1", "Secret"), "deployments.apps": ("apps/v1", "Deployment")}
        if what in kinds:
            return {"items": self.plane.list(*kinds[what], namespace, options.get("--selector", ""))}
        kind, version, group = what.split(".", 2)
        try:
            return self.plane.get(f"{group}/{version}".strip("/"), kind, rest[0], namespace)
        except LookupError:
            return None

    def check(self) -> None:
        self.plane.request("GET", "/version")


class InTestCluster(ClusterFinder):
    def __init__(self, state: State, plane: ControlPlane) -> None:
        super().__init__(state)
        self.plane = plane

    def cluster(self, resource: Resource) -> Cluster:
        super().cluster(resource)  # the state must hold a kubeconfig, whatever it says here
        return Direct(self.plane)


class Operator:
    """Types the commands of the runbook."""

    def __init__(self, stack: Stack, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.environment = {
            **(stack._stack.workspace.env_vars or {}),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
        }
        monkeypatch.setattr(
            command,
            "finder_of",
            lambda state, access: Everywhere({"aws": Store(stack.world), "kubernetes": InTestCluster(state, plane)}),
        )
        monkeypatch.setattr(Access, "caller", lambda access: Caller(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/operator"))
        monkeypatch.setattr(teardown, "clusters", lambda state: {"": Direct(plane)})

    def make(self, *words: str) -> tuple[int, str]:
        """`make WORDS`, as far as the commands of `operations` go; exit code and what it said."""
        with contextlib.chdir(self.stack.folder), pytest.MonkeyPatch.context() as patch:
            for key in [key for key in os.environ if key.startswith("AWS_")]:
                patch.delenv(key)
            for key, value in self.environment.items():
                patch.setenv(key, value)
            result = CliRunner().invoke(command.app, [words[0], "--stack", self.stack.name, *words[1:]])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output
