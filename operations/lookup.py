"""Whether a thing that the engine began to create exists, and under which id.

The card of an AWS type says how one is told from another: by names or by what it joins, which AWS keeps unique, or else by
its tags. Objects in a cluster are told by kind, namespace and name. A `Finder` looks; `decide` judges what it found and never
guesses: two that fit are listed, and the operator decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from operations.state import Pending, Resource, State
from recording.aws_types import CARDS
from recording.aws_types.card import Candidate

RELEASE = "kubernetes:helm.sh/v3:Release"


class CannotTell(Exception):
    """Nobody could be asked, or the answer says nothing; the message says how to look."""


class Finder(Protocol):
    """Somebody who can look in one place: AWS, a cluster, or the store of a test."""

    def find(self, resource: Resource) -> Sequence[Candidate]:
        """Everything that exists and may be this resource; raises CannotTell."""
        ...


class Verdict(StrEnum):
    """What is to be done about an interrupted creation."""

    take = "take"
    """It exists: into the state with it."""
    forget = "forget"
    """It does not exist: the next `up` makes it."""
    undecided = "undecided"
    """A person must look."""


@dataclass(frozen=True)
class Decision:
    """One interrupted creation, judged."""

    pending: Pending
    verdict: Verdict
    why: str
    candidate: Candidate | None = None
    candidates: tuple[Candidate, ...] = ()
    """All that fit, where there are several."""


def words_of(resource: Resource) -> str:
    """How the thing is known where it exists."""
    inputs = resource.inputs
    if resource.type.startswith("kubernetes:"):
        metadata = inputs.get("metadata") or {}
        name, namespace = (inputs.get("name"), inputs.get("namespace")) if resource.type == RELEASE else (
            metadata.get("name"), metadata.get("namespace")
        )  # fmt: skip
        return f"{namespace}/{name}" if namespace else str(name)
    card = CARDS.get(resource.type)
    told = card.told if card else None
    if told is None:
        return ""
    if any(inputs.get(key) is not None for key in told.by):
        return ", ".join(f"{key} {inputs[key]}" for key in told.by if inputs.get(key) is not None)
    return ", ".join(f"{key}={value}" for key, value in sorted(tags_of(resource).items()))


def tags_of(resource: Resource) -> dict[str, str]:
    """Tags that a thing of ours carries, those of the provider among them."""
    tags = resource.inputs.get("tagsAll") or resource.inputs.get("tags") or {}
    return {str(key): str(value) for key, value in tags.items()}


def decide(pending: Pending, state: State, finder: Finder) -> Decision:
    """Look for one interrupted creation and judge what is there."""
    resource = pending.resource
    if resource.state_only:
        return Decision(pending, Verdict.forget, "it exists in the state alone")
    try:
        found = finder.find(resource)
    except CannotTell as reason:
        return Decision(pending, Verdict.undecided, f"cannot be told: {reason}")
    # What the state holds under the same type is somebody else: another zone's, or the one this was to replace.
    known = state.ids(resource.type)
    fresh = tuple(item for item in found if item.id not in known)
    if not fresh:
        return Decision(pending, Verdict.forget, f"does not exist ({words_of(resource)})")
    if len(fresh) != 1:
        ids = ", ".join(item.id for item in fresh)
        return Decision(pending, Verdict.undecided, f"{len(fresh)} fit and only one can be it: {ids}", candidates=fresh)
    candidate = fresh[0]
    if candidate.condition == "making":
        return Decision(
            pending,
            Verdict.undecided,
            f"{candidate.id} is still being made ({candidate.told}); run this again when it is done",
            candidate,
        )
    if candidate.condition == "failed":
        return Decision(
            pending,
            Verdict.undecided,
            f"{candidate.id} exists and is of no use ({candidate.told}); delete it, then run this again",
            candidate,
        )
    return Decision(
        pending, Verdict.take, f"exists as {candidate.id}{f' ({candidate.told})' * bool(candidate.told)}", candidate
    )


class Everywhere:
    """Sends each resource to whoever can look for it."""

    def __init__(self, by_package: Mapping[str, Finder]) -> None:
        self.by_package = by_package

    def find(self, resource: Resource) -> Sequence[Candidate]:
        package = resource.type.split(":", 1)[0]
        finder = self.by_package.get(package)
        if finder is None:
            raise CannotTell(f"this program makes nothing of the package {package}; look for it by hand")
        return finder.find(resource)
