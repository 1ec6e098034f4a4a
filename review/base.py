"""The other side of a change: stack files and code as they are in another commit, planned.

Where only stack files differ, this process plans the old file too. Where code differs, that commit's own code plans it, in a folder and a
process of its own, and its JSON is read back: the one form that every version of the program speaks, and keys are only ever added to it.
What an older one does not tell is taken to be as it is now.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.capacity.window import moment
from components.dynamo.manifest import identity
from recording.graph import Graph, Node
from review.restarts import GRAPH, RELEASE
from stacks.stackfile import ROOT

CODE = ("__main__.py", "Pulumi.yaml", "components", "stacks", "program", "recording", "schemas", "rules", "review")
"""What a plan is made by."""

COMPONENTS = ("dynamo-eks:", "eks:index:", "kubernetes:yaml")
TIMEOUT_S = 600


class NoBase(Exception):
    """What a change is compared with is not there; the message says what to do."""


class BadSide(Exception):
    """A stack that cannot be planned on one side; the message is the plan's."""


@dataclass(frozen=True)
class Side:
    """One stack, planned."""

    graph: Graph
    document: Mapping[str, Any]
    """The plan's JSON (docs/plan.md)."""


def read(document: Mapping[str, Any], like: Graph | None, at: datetime) -> Side:
    """A plan's JSON as a graph. `like` is the other side: ids are made up of type and name, so that what an older plan does not tell is there."""
    known = like.by_key if like is not None else {}
    nodes = [_node(order, item, known) for order, item in enumerate(document["resources"], 1)]
    reads = like.reads if like is not None else ()
    return Side(Graph(document["stack"], nodes, outputs=document.get("outputs"), reads=reads, at=at), document)


def _node(order: int, item: Mapping[str, Any], known: Mapping[str, Node]) -> Node:
    other = known.get(f"{item['type']}::{item['name']}")
    return Node(
        order=order,
        type=item["type"],
        name=item["name"],
        urn="",
        parent=item.get("parent"),
        provider=item.get("provider"),
        depends_on=tuple(item.get("dependsOn", ())),
        inputs=item["inputs"],
        outputs=_with_computed(item["inputs"], other.inputs, other.outputs) if other else item["inputs"],
        id=item.get("id") or (other.id if other else ""),
        custom=item.get("custom", not item["type"].startswith(COMPONENTS)),
        protect=bool(item.get("protect")),
        retain_on_delete=item.get("retainOnDelete", other.retain_on_delete if other else False),
        replacement_trigger=item["replacementTrigger"] if "replacementTrigger" in item else _trigger(item, other),
        assumed=item.get("assumed"),
    )


def _with_computed(inputs: Mapping[str, Any], given: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs, and what the other side's outputs have beyond its own, at every level."""
    made = dict(inputs)
    for key, item in outputs.items():
        if key not in given:
            made[key] = item
        elif all(isinstance(side, Mapping) for side in (item, given[key], made.get(key))):
            made[key] = _with_computed(made[key], given[key], item)
    return made


def _trigger(item: Mapping[str, Any], other: Node | None) -> Any:
    """What the program would say makes it another one, of a plan that does not tell: a graph's identity, a release's chart."""
    if other is None or other.replacement_trigger is None:
        return None
    if item["type"] == GRAPH:
        return identity(item["inputs"])
    if item["type"] == RELEASE:
        return str(item["inputs"].get("chart")).rsplit("/", 1)[-1]
    return other.replacement_trigger


@dataclass(frozen=True)
class Commit:
    """A commit that the working tree is compared with."""

    name: str
    """As it was asked for."""
    id: str
    note: str | None = None
    """Where it is not the one that was named."""
    root: Path = ROOT

    def stacks(self) -> set[str]:
        listed = _git(self.root, "ls-tree", "--name-only", self.id, "./stacks/").splitlines()
        names = (Path(line).name for line in listed)
        return {
            name.removeprefix("Pulumi.").removesuffix(".yaml")
            for name in names
            if name.startswith("Pulumi.") and name.endswith(".yaml")
        }

    def text(self, stack: str) -> str:
        """A stack file as it is there."""
        return _git(self.root, "show", f"{self.id}:./stacks/Pulumi.{stack}.yaml")

    def same_code(self) -> bool:
        """Whether a plan is made by the same code on both sides."""
        changed = _git(self.root, "diff", "--name-only", "--relative", self.id, "--", *CODE).splitlines()
        changed += _git(self.root, "ls-files", "--others", "--exclude-standard", "--", *CODE).splitlines()
        return all(path.startswith("stacks/Pulumi.") and path.endswith(".yaml") for path in changed)

    def unpack(self, folder: Path) -> None:
        """Write all of it into a folder."""
        packed = subprocess.run(
            ["git", "archive", "--format=tar", self.id], cwd=self.root, capture_output=True, check=False
        )
        if packed.returncode:
            raise NoBase(f"git archive {self.name}: {packed.stderr.decode(errors='replace').strip()}")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")


def commit(name: str, root: Path = ROOT) -> Commit:
    """What BASE means: where this branch left it, so that what others have merged since is not taken back here."""
    inside = _try(root, "rev-parse", "--is-inside-work-tree")
    if inside is None or inside != "true":
        raise NoBase("a change is compared with a commit, and this folder is in no git repository")
    id_ = _try(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if id_ is None:
        shallow = _try(root, "rev-parse", "--is-shallow-repository") == "true"
        remote, _, branch = name.partition("/")
        fetch = f"git fetch {remote} {branch}" if branch else f"git fetch origin {name}"
        more = " (this clone is shallow; in a workflow give actions/checkout `fetch-depth: 0`)" if shallow else ""
        raise NoBase(f"BASE={name} is not in this clone: {fetch}, or name another commit{more}")
    left = _try(root, "merge-base", id_, "HEAD")
    if left is None:
        return Commit(
            name, id_, f"{name} itself: this clone does not have the commit at which the branch left it", root
        )
    return Commit(name, left, f"{left[:10]}, where the branch left {name}" if left != id_ else None, root)


def plan_there(folder: Path, stack: str, at: datetime) -> Mapping[str, Any]:
    """A stack's JSON, by the code that is in a folder. Raises BadSide."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    words = ["--stack", stack, "--format", "json", "--at", moment(at)]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "review", *words],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadSide(str(error)) from None
    try:
        document = json.loads(ended.stdout)
    except ValueError:
        document = None
    if ended.returncode not in (0, 1) or not isinstance(document, dict):
        said = ended.stderr.strip().splitlines()
        raise BadSide("\n".join(said[-12:]) or f"its plan ended with {ended.returncode}")
    return document


def _git(root: Path, *words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NoBase(f"git {' '.join(words)}: {ended.stderr.strip()}")
    return ended.stdout


def _try(root: Path, *words: str) -> str | None:
    """What git says in one line; None where it refuses."""
    try:
        ended = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        raise NoBase("git is not on PATH") from None
    return ended.stdout.strip() if ended.returncode == 0 else None
