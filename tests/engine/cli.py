"""The project as a user has it: a clone, the `pulumi` CLI in it, and Pulumi.yaml, program and stack files as they are in git.

Real: git, the CLI and its engine, login, passphrase and salt, the stack files, the program in a process of its own, which
plans itself first. Standing in: the language plugin (`language_host.py`) and the providers. What is not committed yet is
copied over, so that it is the tree under test that is tested.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from recording.answers import Answers
from stacks import stackfile
from stacks.settings import CLOCK
from tests.conftest import AT
from tests.engine.engine import Failed, World
from tests.engine.language_host import install

ROOT = stackfile.ROOT


class Clone:
    """A clone and the shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "dynamo-eks"
        self.at: datetime = AT
        """Moment that the program takes for the present one."""
        self.world: World | None = None
        _git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(self.folder))
        for name in _changed():
            source, copy = ROOT / name, self.folder / name
            copy.unlink(missing_ok=True)
            if source.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
        self.commit("as it is")
        (self.folder / ".venv").symlink_to(sys.prefix)
        (self.folder / ".git" / "info" / "exclude").write_text(".venv\n")
        (folder / "backend").mkdir()
        (folder / "home" / ".kube").mkdir(parents=True)
        (folder / "home" / ".kube" / "config").write_text(json.dumps({"contexts": [{"name": "kind-dynamo"}]}))
        # As in engine.py: no encrypted log of all that the engine does.
        (folder / "home" / ".pulumi").mkdir()
        (folder / "home" / ".pulumi" / "logs").touch()
        plugins = install(folder / "bin")
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PULUMI_", "KUBE", "GIT_"))
        }
        self.environment = {
            **kept,
            "PATH": f"{plugins}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "PULUMI_HOME": str(folder / "home" / ".pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "engine-tests",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "GOGC": "400",
            # What a user has there is whatever their terminal knows.
            "NO_COLOR": "1",
        }
        self.pulumi("login", f"file://{folder / 'backend'}")

    def file(self, stack: str) -> Path:
        return self.folder / "stacks" / f"Pulumi.{stack}.yaml"

    def enter(self, stack: str, world: World) -> None:
        """From now on the providers are those of this world, and what exists beforehand is as the stack's file says."""
        self.world = world
        world.answers = Answers.for_config(stack, stackfile.read(stack, self.file(stack)).config)

    def run(self, *words: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """A command in the clone, without a terminal; both streams are in `stdout`, in order."""
        providers = {"PULUMI_DEBUG_PROVIDERS": self.world.served.debug_providers} if self.world else {}
        ended = subprocess.run(
            words, cwd=self.folder, env={**self.environment, **providers, CLOCK: self.at.strftime("%Y-%m-%dT%H:%M:%SZ")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if ended.returncode and not may_fail:
            raise Failed(f"{' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}")
        return ended

    def pulumi(self, *words: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        return self.run("pulumi", *words, may_fail=may_fail)

    def set(self, stack: str, path: str, value: str, *options: str) -> None:
        """`pulumi config set --path`, as a user types it."""
        self.pulumi("config", "set", "--stack", stack, "--path", f"dynamo-eks:{path}", value, *options)

    def resources(self, stack: str) -> list[dict[str, Any]]:
        """What was made, as the state has it: without the stack itself, the engine's own providers, and what was only read."""
        deployment = json.loads(self.pulumi("stack", "export", "--stack", stack).stdout)["deployment"]
        assert not deployment.get("pending_operations")
        found = deployment.get("resources") or []
        return [
            item
            for item in found
            if item["type"] != "pulumi:pulumi:Stack" and "::default" not in item["urn"] and not item.get("external")
        ]

    def diff(self) -> list[str]:
        """Lines of files under git that were taken out (`-`) or put in (`+`) since the last commit."""
        text = _git(self.folder, "diff", "--unified=0")
        return [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]

    def commit(self, what: str) -> None:
        _git(self.folder, "add", "--all")
        _git(self.folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", what, "--allow-empty")


def _git(folder: Path, *words: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(["git", *words], cwd=folder, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"git {' '.join(words)}: {done.stderr}")
    return done.stdout


def _changed() -> list[str]:
    """Files that differ from the last commit, or are new to git."""
    told = _git(ROOT, "diff", "--name-only", "HEAD") + _git(ROOT, "ls-files", "--others", "--exclude-standard")
    return [line for line in told.splitlines() if line]
