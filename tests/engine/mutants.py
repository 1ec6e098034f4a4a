"""Faults put into an object, one at a time: every place it has, and what can be wrong there. Pure.

`mutants` is what hypothesis draws from: a list of faults for each place, and spellings and values of its own. The object's own address (apiVersion, kind, name, namespace) stays: with another one it would be another object.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

ADDRESS = frozenset({("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")})

FAULTS = ("misspelt", "added", "missing", "type", "range", "null")
"""What a mutation does: renames a key, adds one, drops a value, gives it another type, a far value, or nothing."""

Place = tuple[str | int, ...]

_OTHER_TYPES: tuple[Any, ...] = ("seven", 7, 7.5, True, ["seven"], {"seven": "seven"}, [], {})
"""One value of each JSON type, and the empty list and mapping, which some decoders take for nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class Mutant:
    """An object with one fault."""

    obj: Mapping[str, Any]
    fault: str
    path: str
    """Where, without positions: `spec.components[].podTemplate`; a renamed key under its old name."""
    value: Any
    """What is there now; the new name of a renamed key."""

    def __repr__(self) -> str:
        return f"{self.obj['kind']} {self.path} {self.fault} {self.value!r}"


_TEXT = st.text("abzAZ019-_./:%~ ", max_size=12)
_NUMBERS = st.integers(-(2**64), 2**64)


@st.composite
def mutants(draw: st.DrawFn, objects: Sequence[Mapping[str, Any]]) -> Mutant:
    """One fault in one of the objects. Rare kinds, and fields that are there once, come as often as the others."""
    kinds = sorted({obj["kind"] for obj in objects})
    kind = draw(st.sampled_from(kinds))
    obj = draw(st.sampled_from([obj for obj in objects if obj["kind"] == kind]))
    by_path: dict[str, list[Place]] = {}
    for place in places(obj):
        by_path.setdefault(text(place), []).append(place)
    place = draw(st.sampled_from(by_path[draw(st.sampled_from(sorted(by_path)))]))
    fault, value = draw(st.sampled_from(choices(obj, place)))
    if draw(st.booleans()):
        if fault in ("misspelt", "added"):
            value = draw(_TEXT.filter(bool))
        elif fault == "range" and isinstance(value, str):
            value = draw(_TEXT)
        elif fault == "range" and isinstance(value, int) and not isinstance(value, bool):
            value = draw(_NUMBERS)
    return mutate(obj, place, fault, value)


def places(obj: Mapping[str, Any]) -> list[Place]:
    """The object, and every key and list position below it, but its address."""
    return [(), ("metadata",), *(place for place in _below(obj, ()) if place not in ADDRESS)]


def _below(value: Any, place: Place) -> Iterator[Place]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*place, key)
        yield from _below(item, (*place, key))


def choices(obj: Mapping[str, Any], place: Place) -> list[tuple[str, Any]]:
    """Every fault this place can have: what it does and with which value."""
    if place == () or place in ADDRESS:
        return [("added", "surplus")]
    value, key = at(obj, place), place[-1]
    found: list[tuple[str, Any]] = [("missing", None), ("null", None)]
    if isinstance(key, str):
        found += [("misspelt", key[:-1] or "x"), ("misspelt", key + "s"), ("misspelt", key[:1].swapcase() + key[1:])]
    if isinstance(value, Mapping):
        found.append(("added", "surplus"))
    found += [("type", other) for other in _OTHER_TYPES if _type(other) != _type(value)]
    return found + [("range", far) for far in _far(value) if far != value]


def mutate(obj: Mapping[str, Any], place: Place, fault: str, value: Any) -> Mutant:
    """A copy of the object with the fault."""
    changed = copy.deepcopy(dict(obj))
    if fault == "added":
        at(changed, place)[value] = "surplus"
        return Mutant(changed, fault, text(place), value)
    holder, key = at(changed, place[:-1]), place[-1]
    if fault == "missing":
        del holder[key]
    elif fault == "misspelt":
        old = holder.pop(key)
        holder[value] = old
    else:
        holder[key] = copy.deepcopy(value)
    return Mutant(changed, fault, text(place), value)


def at(obj: Any, place: Place) -> Any:
    """What stands at a place."""
    for key in place:
        obj = obj[key]
    return obj


def text(place: Place) -> str:
    """`spec.components[].name`."""
    path = ""
    for key in place:
        path += "[]" if isinstance(key, int) else f".{key}" if path else key
    return path


def _type(value: Any) -> str:
    return "object" if isinstance(value, Mapping) else type(value).__name__


def _far(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (-1, 0, 65536, 2**31, 2**63)
    if isinstance(value, str):
        return ("", "x", "Not A Name", "0", "x" * 300)
    if isinstance(value, list):
        return ([], value + value[:1])
    return ({},)
