"""A stack in the real engine: Automation API, the real `__main__.py`, a file backend in a temporary directory.

Real: engine and CLI, Pulumi.yaml, the program with its settings, state, locks, encryption. The program runs in this
process (the CLI calls back), so that no language plugin is needed. Stand-ins answer for the providers.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import runpy
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi.automation as automation
import pytest
import yaml

from recording.answers import Answers
from review import judged
from stacks import stackfile
from tests.conftest import AT
from tests.engine.control_plane import ControlPlane
from tests.engine.operators import InCluster
from tests.engine.standin_aws import Aws
from tests.engine.standin_eks import Eks
from tests.engine.standin_kubernetes import Kubernetes
from tests.engine.standins import Served, StandIn

ROOT = stackfile.ROOT


def require_engine() -> None:
    """Skip the test, or with REQUIRE_ENGINE fail it, when there is no engine."""
    if shutil.which("pulumi") is None:
        reason = "pulumi is not on PATH (see CONTRIBUTING.md)"
        pytest.fail(reason) if os.environ.get("REQUIRE_ENGINE") else pytest.skip(reason)


@dataclass(frozen=True)
class Step:
    """One resource in one operation, as the engine reported it."""

    op: str
    """same, create, update, delete, replace, create-replacement, delete-replaced, refresh, read."""
    urn: str
    diffs: tuple[str, ...] = ()
    """Paths that differ."""
    replaced_by: tuple[str, ...] = ()
    """Paths that force a replacement."""

    @property
    def type(self) -> str:
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[1]

    @property
    def key(self) -> str:
        """As the recorded graph names it."""
        return f"{self.type}::{self.name}"


@dataclass
class Outcome:
    """What an operation did, or in a preview would do."""

    steps: list[Step] = field(default_factory=list)
    text: str = ""
    """Everything the CLI wrote, on both streams."""
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    messages: list[str] = field(default_factory=list)
    """Errors and warnings that the engine reported."""

    def of(self, *ops: str) -> list[Step]:
        return [step for step in self.steps if step.op in ops]

    @property
    def verdict(self) -> dict[str, str]:
        """By `type::name`: create, update, replace or delete; what stays the same is left out."""
        found: dict[str, str] = {}
        for step in self.steps:
            if step.op in ("create", "update", "delete"):
                found.setdefault(step.key, step.op)
            elif step.op in ("replace", "create-replacement", "delete-replaced"):
                found[step.key] = "replace"
        return found

    @property
    def changes(self) -> list[str]:
        return sorted(f"{op} {key}" for key, op in self.verdict.items())


class Failed(AssertionError):
    """An operation that should have succeeded did not."""


class World:
    """Stand-ins for one account and one cluster; several stacks' operations may run against it, one after another."""

    def __init__(
        self,
        cluster: ControlPlane | None,
        contracts: Path | None,
        answers: Answers,
        in_cluster: InCluster | None = None,
        others: Sequence[StandIn] = (),
    ) -> None:
        self.cluster = cluster
        self.aws = Aws(answers)
        self.eks = Eks(answers)
        parts: list[Any] = [self.aws, self.eks, *others]
        self.kubernetes: Kubernetes | None = None
        self._own: list[InCluster] = []
        if in_cluster is None and cluster is not None:
            in_cluster = InCluster(cluster)
            in_cluster.start()
            self._own.append(in_cluster)
        self.in_cluster = in_cluster
        """What acts inside the cluster; worlds that share a cluster must share it, or one undoes what the other plays."""
        if cluster is not None and contracts is not None:
            self.kubernetes = Kubernetes(cluster, answers, contracts)
            parts.append(self.kubernetes)
        self.stand_ins = parts
        self.log: list[tuple[str, str]] = []
        """Method and URN of every Create, Update and Delete that was carried out, in order, by whichever provider."""
        for stand_in in parts:
            stand_in.log = self.log
        self.served = Served(*parts)

    @property
    def answers(self) -> Answers:
        return self.aws.answers

    @answers.setter
    def answers(self, answers: Answers) -> None:
        for stand_in in self.stand_ins:
            stand_in.answers = answers

    def stop(self) -> None:
        self.served.stop()
        for item in self._own:
            item.stop()


class Stack:
    """One stack of the project in the real engine."""

    def __init__(
        self,
        name: str,
        folder: Path,
        world: World,
        *,
        config: Mapping[str, Any] | None = None,
        program: Any = None,
        checkpoints: bool = True,
    ) -> None:
        self.name = name
        self.folder = folder
        self.world = world
        self.program = program or _unjudged
        self.at = AT
        """Moment that the program takes for the present one."""
        self.config: dict[str, Any] = {}
        self._secret: dict[str, Any] = {}
        self._header: dict[str, Any] = {}
        (folder / "backend").mkdir(parents=True)
        (folder / "stacks").mkdir()
        # Where its folder cannot be made the engine writes no encrypted log of all it does: a quarter of its time.
        (folder / "home").mkdir()
        (folder / "home" / "logs").touch()
        shutil.copy(ROOT / "Pulumi.yaml", folder / "Pulumi.yaml")
        options = automation.LocalWorkspaceOptions(
            work_dir=str(folder),
            env_vars={
                "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
                "PULUMI_CONFIG_PASSPHRASE": "engine-tests",
                "PULUMI_SKIP_UPDATE_CHECK": "1",
                "PULUMI_HOME": str(folder / "home"),
                "PULUMI_DEBUG_PROVIDERS": world.served.debug_providers,
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                # Without them the state is written once, at the end: enough where nothing is cut off.
                "PULUMI_SKIP_CHECKPOINTS": "false" if checkpoints else "true",
                "GOGC": "400",
            },
        )
        self._stack = automation.create_stack(name, project_name="dynamo-eks", program=self.program, opts=options)
        self._header = yaml.safe_load(self._file.read_text()) or {}
        self.configure(config if config is not None else shipped(name))

    @property
    def _file(self) -> Path:
        return self.folder / "stacks" / f"Pulumi.{self.name}.yaml"

    @property
    def state_files(self) -> list[Path]:
        return [path for path in (self.folder / "backend").rglob("*") if path.is_file()]

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the stack file. What exists beforehand (blocks, subnets) is as the file says."""
        self.config = copy.deepcopy(dict(config))
        self._write()
        self.world.answers = Answers.for_config(self.name, self.config)

    def edit(self, **changes: Any) -> None:
        """Change settings by dotted path, the dots written as double underscores; None removes a key."""
        self.configure(edited(self.config, {key.replace("__", "."): value for key, value in changes.items()}))

    def set_secret(self, key: str, value: str) -> None:
        """As `pulumi config set --secret dynamo-eks:KEY`."""
        self._stack.set_config(f"dynamo-eks:{key}", automation.ConfigValue(value, secret=True))
        self._secret[f"dynamo-eks:{key}"] = yaml.safe_load(self._file.read_text())["config"][f"dynamo-eks:{key}"]

    def _write(self) -> None:
        document = {**self._header, "config": {**self.config, **self._secret}}
        self._file.write_text(yaml.safe_dump(document, sort_keys=False))

    # --- operations -------------------------------------------------------------------------------------------------

    def preview(self, *, may_fail: bool = False, **options: Any) -> Outcome:
        return self._run("preview", may_fail, **options)

    def up(self, *, may_fail: bool = False, **options: Any) -> Outcome:
        return self._run("up", may_fail, **options)

    def refresh(self, *, may_fail: bool = False, **options: Any) -> Outcome:
        return self._run("refresh", may_fail, **options)

    def destroy(self, *, may_fail: bool = False, **options: Any) -> Outcome:
        return self._run("destroy", may_fail, **options)

    def cancel(self) -> None:
        """Take a lock away that a killed operation left."""
        self._stack.cancel()

    def export(self) -> dict[str, Any]:
        """The deployment as in the state, secrets encrypted."""
        # Not the API's own export, which asks for the secrets in clear.
        return json.loads(self._stack._run_pulumi_cmd_sync(["stack", "export"]).stdout)["deployment"]

    @property
    def resources(self) -> list[dict[str, Any]]:
        """What the state holds, without the stack itself."""
        found = self.export().get("resources") or []
        return [item for item in found if item["type"] != "pulumi:pulumi:Stack"]

    def _run(self, operation: str, may_fail: bool, **options: Any) -> Outcome:
        outcome = Outcome()
        lines: list[str] = []
        with hermetic(self.at):
            try:
                getattr(self._stack, operation)(
                    on_event=lambda event: _note(event, outcome),
                    on_output=lines.append,
                    on_error=lines.append,
                    color="never",
                    **options,
                )
            except automation.CommandError as error:
                outcome.error = str(error)
        outcome.text = "\n".join(lines)
        if outcome.error and not may_fail:
            raise Failed(f"{operation} of {self.name} failed:\n" + "\n".join(outcome.messages or [outcome.error]))
        return outcome


def _unjudged() -> None:
    """The program without its plan: edits here break rules on purpose, to see what the engine makes of them. The CLI runs it
    with its plan, in test_cli.py."""
    with mock.patch.object(judged, "begin", lambda: judged.Judging("", None)):
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def shipped(name: str) -> dict[str, Any]:
    """Configuration of a stack that comes with the project."""
    project = set(stackfile.project_defaults())
    return {key: value for key, value in stackfile.read(name).config.items() if key not in project}


def edited(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with values at dotted paths (`graphs.chat.worker.replicas`) changed; None removes a key."""
    made = copy.deepcopy(dict(config))
    for path, value in changes.items():
        first, *rest = path.split(".")
        key = first if ":" in first else f"dynamo-eks:{first}"
        where: Any = made
        for step in [key, *rest][:-1]:
            where = where[int(step)] if isinstance(where, list) else where.setdefault(step, {})
        last: Any = [key, *rest][-1]
        if isinstance(where, list):
            last = int(last)
        if value is None:
            del where[last]
        else:
            where[last] = copy.deepcopy(value)
    return made


@contextlib.contextmanager
def hermetic(at: datetime = AT) -> Iterator[None]:
    """The program sees none of the shell's credentials or provider switches, and the time the tests mean."""
    hidden = {
        key: os.environ.pop(key) for key in list(os.environ) if key.startswith(("AWS_", "PULUMI_K8S", "KUBECONFIG"))
    }
    os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"
    os.environ["DYNAMO_EKS_AT"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        yield
    finally:
        del os.environ["PULUMI_ERROR_OUTPUT_STRING"], os.environ["DYNAMO_EKS_AT"]
        os.environ.update(hidden)


def quieten() -> None:
    """From now on: after a failed program the SDK drops a coroutine whose loop is closed already, and Python says so, at
    whatever moment it is collected."""
    before = sys.unraisablehook

    def hook(said: Any) -> None:
        if "no running event loop" not in str(said.exc_value):
            before(said)

    sys.unraisablehook = hook


def _note(event: automation.EngineEvent, outcome: Outcome) -> None:
    outcome.events.append(_plain(event))
    before = event.resource_pre_event
    if before is not None:
        meta = before.metadata
        outcome.steps.append(
            Step(
                str(getattr(meta.op, "value", meta.op)),
                meta.urn,
                tuple(meta.detailed_diff or meta.diffs or ()),
                tuple(meta.keys or ()),
            )
        )
    said = event.diagnostic_event
    if said is not None and said.severity in ("error", "warning"):
        outcome.messages.append(f"{said.severity}: {said.urn.rsplit('::', 1)[-1] if said.urn else ''} {said.message}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "__dict__") and not isinstance(value, str):
        return {key: _plain(item) for key, item in vars(value).items() if item is not None}
    return value if isinstance(value, (str, int, float, bool)) or value is None else json.dumps(value, default=str)
