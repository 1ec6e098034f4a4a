"""Changes that a service refuses, or takes without doing anything, where the provider's schema allows them.

Pure data with predicates: of two sets of inputs, and of what exists beside the thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from recording.graph import SECRET, UNKNOWN
from recording.world import Inputs

How = Literal["refused", "ignored", "perhaps"]
"""`refused`: the call fails. `ignored`: it succeeds, and the thing stays as it was. `perhaps`: it fails in a case of which a state
does not tell whether it is this one."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A thing that exists, what is wanted of it, and what else there is."""

    before: Inputs
    after: Inputs
    """Empty when it is to go."""
    at: datetime
    """Moment of the change."""
    gone: bool = False
    """It is deleted, by itself or because another one takes its place."""
    changed: datetime | None = None
    """When it was changed last; None where nobody noted it."""
    created: datetime | None = None
    zones: Mapping[str, str] = field(default_factory=dict)
    """Zone by subnet, of subnets that are there or will be."""
    beside: Mapping[str, Sequence[Inputs]] = field(default_factory=dict)
    """Inputs of everything that exists, by type."""
    block: tuple[datetime, datetime] | None = None
    """When the machines of its Capacity Block come, and when they are drained. None for a group without one."""
    template: bool = False
    """Its launch template gets another version."""

    def of(self, path: str) -> tuple[Any, Any]:
        """A property before and after; a dotted name is nested."""
        return value(self.before, path), value(self.after, path)

    def changes(self, path: str) -> bool:
        """Whether a property changes, as far as both values are known."""
        before, after = self.of(path)
        return known(before) and known(after) and not same(before, after)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A kind of change that a service does not carry out."""

    id: str
    property: str
    """Name on the wire; a dotted name is nested."""
    refused: Callable[[Edit], bool]
    words: str
    """What the service says, by itself or in its documentation; `{before}` and `{after}` are put in."""
    instead: str
    """What to do."""
    source: str
    how: How = "refused"
    gone: bool = False
    """It is the deletion that is refused, and with it every replacement."""
    shown: Callable[[Edit], tuple[Any, Any]] | None = None
    """Before and after as people say it, where the property itself does not tell."""

    def sides(self, edit: Edit) -> tuple[Any, Any]:
        """Before and after, to be shown."""
        return self.shown(edit) if self.shown else edit.of(self.property)


def value(inputs: Any, path: str) -> Any:
    """A nested property; None where there is none."""
    for part in path.split("."):
        inputs = inputs.get(part) if isinstance(inputs, Mapping) else None
    return inputs


def known(item: Any) -> bool:
    """Whether no part of a value is secret or still unknown."""
    if isinstance(item, Mapping):
        return all(known(each) for each in item.values())
    if isinstance(item, list | tuple):
        return all(known(each) for each in item)
    return not isinstance(item, str) or (item != SECRET and UNKNOWN not in item)


def same(before: Any, after: Any) -> bool:
    """Equal, lists in whatever order: AWS keeps most of them as sets."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and sorted(map(repr, before)) == sorted(map(repr, after))
    return before == after
