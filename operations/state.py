"""A stack's state as `pulumi stack export` writes it: what is protected, what was interrupted, and how to mend it.

Pure: documents in, documents out. The document's secrets stay encrypted; nothing here needs them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

UNREAD = "marked by `make recover`, and not read since"
"""Marks a resource (in its `initErrors`) until a refresh has read it. The engine itself clears the list with every read."""

ROOT_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"


@dataclass(frozen=True)
class Resource:
    """One resource of a state."""

    raw: Mapping[str, Any]
    """The entry as the engine wrote it."""

    @property
    def urn(self) -> str:
        return self.raw["urn"]

    @property
    def type(self) -> str:
        return self.raw["type"]

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[1]

    @property
    def id(self) -> str:
        return self.raw.get("id") or ""

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.raw.get("inputs") or {}

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.raw.get("outputs") or {}

    @property
    def protect(self) -> bool:
        return bool(self.raw.get("protect"))

    @property
    def retained(self) -> bool:
        """The engine forgets it in a destroy and leaves the thing itself alone."""
        return bool(self.raw.get("retainOnDelete"))

    @property
    def replaced(self) -> bool:
        """An old copy that only waits to be deleted, beside the new one under the same URN."""
        return bool(self.raw.get("delete"))

    @property
    def state_only(self) -> bool:
        """Providers and components exist in the state alone: nothing is left of them anywhere else."""
        return not self.raw.get("custom", True) or self.type.startswith(PROVIDER_PREFIX)

    @property
    def unread(self) -> bool:
        return UNREAD in (self.raw.get("initErrors") or ())

    @property
    def provider(self) -> str:
        """URN of its provider; empty for components and providers."""
        return (self.raw.get("provider") or "").rpartition("::")[0]

    @property
    def requires(self) -> set[str]:
        """URNs that must be in the state before it."""
        raw = self.raw
        every = {raw.get("parent"), self.provider, raw.get("deletedWith"), *(raw.get("dependencies") or ())}
        for urns in (raw.get("propertyDependencies") or {}).values():
            every.update(urns or ())
        return {urn for urn in every if urn}


@dataclass(frozen=True)
class Pending:
    """An operation that was begun and whose end the engine never learnt."""

    kind: str
    """creating, updating, deleting, reading or importing."""
    resource: Resource

    @property
    def urn(self) -> str:
        return self.resource.urn


@dataclass(frozen=True)
class Adopted:
    """A thing that exists, to be taken into the state."""

    id: str
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What a read cannot find out by itself, such as the field manager of a Kubernetes object."""


class State:
    """A whole state. An empty document, of a stack without any operation yet, is an empty state."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.deployment: Mapping[str, Any] = document.get("deployment") or {}

    @cached_property
    def resources(self) -> list[Resource]:
        """Everything but the stack itself, in the state's order: nothing stands before what it depends on."""
        return [Resource(item) for item in self.deployment.get("resources") or () if item["type"] != ROOT_TYPE]

    @cached_property
    def pending(self) -> list[Pending]:
        found = self.deployment.get("pending_operations") or ()
        return [Pending(item["type"], Resource(item["resource"])) for item in found]

    @property
    def creating(self) -> list[Pending]:
        """Interrupted creations. Only these need a decision: an `up` would make every one a second time."""
        return [item for item in self.pending if item.kind == "creating"]

    @property
    def interrupted(self) -> list[Pending]:
        """Interrupted updates and deletions of resources that the state holds; a read shows how far they came. Providers
        and components are nothing that could be read: what became of them is in the state alone."""
        held = {item.urn for item in self.resources if not item.state_only}
        return [item for item in self.pending if item.kind in ("updating", "deleting") and item.urn in held]

    @property
    def unread(self) -> list[Resource]:
        return [item for item in self.resources if item.unread and not item.replaced]

    @property
    def protected(self) -> list[Resource]:
        return [item for item in self.resources if item.protect]

    def kept_with_protected(self) -> dict[str, list[str]]:
        """URNs that stay when what is protected stays: everything it depends on, each with the names that need it."""
        by_urn = {item.urn: item for item in self.resources}
        kept: dict[str, list[str]] = {}
        for root in self.protected:
            todo, seen = [root.urn], set()
            while todo:
                urn = todo.pop()
                if urn in seen or urn not in by_urn:
                    continue
                seen.add(urn)
                kept.setdefault(urn, [])
                if urn != root.urn:
                    kept[urn].append(root.name)
                todo.extend(by_urn[urn].requires)
        return kept

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs."""
        for item in self.deployment.get("resources") or ():
            if item["type"] == ROOT_TYPE:
                return item.get("outputs") or {}
        return {}

    def providers(self, package: str) -> list[Resource]:
        return [item for item in self.resources if item.type == PROVIDER_PREFIX + package]

    def provider_of(self, resource: Resource) -> Resource | None:
        return next((item for item in self.resources if item.urn == resource.provider), None)

    def ids(self, type_: str) -> set[str]:
        """Ids of a type that the state knows already, replaced copies included."""
        return {item.id for item in self.resources if item.type == type_ and item.id}

    # --- mending ----------------------------------------------------------------------------------------------------

    def mended(self, adopted: Mapping[str, Adopted], cleared: set[str]) -> dict[str, Any]:
        """The document with pending creates decided (`adopted` by URN become resources, `cleared` are forgotten) and what
        else was interrupted marked as not read.

        `pulumi refresh --import-pending-creates` promises the same and, in engine 3.259, forgets the resource instead:
        the entry becomes an `importing` one, which nothing reads, and the next `up` makes it again. A resource entry
        also says more than an import can: inputs, parent, dependencies and options as the program gave them. Outputs
        start as the inputs, because the reads of some types (routes, policy attachments) look at them and not at the id.

        `pulumi stack import` drops every pending operation, interrupted updates and deletions too, and so does a refresh that
        is cut off. So what they were about is marked, until it has been read.
        """
        document = copy.deepcopy(dict(self.document))
        deployment = document["deployment"]
        resources: list[dict[str, Any]] = deployment["resources"]
        left, waiting = [], dict(adopted)
        interrupted = {item.urn for item in self.interrupted}
        for item in resources:
            # An old copy of a replacement is not read; it waits for its deletion by the next `up` anyhow.
            if item["urn"] in interrupted and not item.get("delete"):
                item["initErrors"] = sorted({*(item.get("initErrors") or ()), UNREAD})
        for item in deployment.get("pending_operations") or ():
            urn = item["resource"]["urn"]
            if item["type"] != "creating" or (urn not in adopted and urn not in cleared):
                left.append(item)
            elif urn in waiting:
                # An entry may be there several times: every `up` without a recovery carries it on.
                _insert(resources, _entry(item["resource"], waiting.pop(urn)))
        deployment["pending_operations"] = left
        return document


def _entry(resource: Mapping[str, Any], found: Adopted) -> dict[str, Any]:
    inputs = copy.deepcopy(dict(resource.get("inputs") or {}))
    return {
        **copy.deepcopy(dict(resource)),
        "id": found.id,
        "outputs": {**inputs, **found.outputs},
        "initErrors": [UNREAD],
    }


def _insert(resources: list[dict[str, Any]], entry: dict[str, Any]) -> None:
    """Put an entry where the engine would have: behind all it requires, in the place of the one it replaces.

    A replaced copy is deleted by the next `up`, as after any replacement; one that is gone already (`pendingReplacement`)
    leaves the list.
    """
    old = next(
        (at for at, item in enumerate(resources) if item["urn"] == entry["urn"] and not item.get("delete")), None
    )
    if old is None:
        resources.append(entry)
        return
    replaced = resources.pop(old)
    required = Resource(entry).requires
    behind = max((at + 1 for at, item in enumerate(resources) if item["urn"] in required), default=0)
    resources.insert(max(old, behind), entry)
    if not replaced.get("pendingReplacement"):
        resources.append({**replaced, "delete": True})


def words(resource: Resource) -> str:
    """A resource in a line: type and name."""
    return f"{resource.type} {resource.name}"
