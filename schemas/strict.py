"""The strict check: has an object or a chart value only what its kind or chart has, of the right type, and all that is required?

The API server drops a misspelt field of a custom resource and reports the object as created; Helm ignores unknown values
alike (both measured with the real ones). The tables under `schemas/shapes` say what there is. They know names, types,
required fields, enums, bounds, patterns, and what makes two entries of a list the same one. CEL rules, and what the API
server checks of built-in kinds in its own code, are left to it: tests/engine/test_strictness.py lists what that is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from recording.graph import SECRET, UNKNOWN

FOLDER = Path(__file__).parent / "shapes"

FaultKind = Literal["unknown", "type", "required", "enum", "bounds", "pattern", "duplicate"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an object."""

    kind: FaultKind
    path: str
    """Where, for example `spec.components[0].replicas`."""
    message: str
    hint: str = ""
    """The nearest spelling or what there is instead; empty when there is none."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}{f'; {self.hint}' if self.hint else ''}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check says about one object or one release's values."""

    state: Literal["ok", "faults", "not checked"]
    faults: tuple[Fault, ...] = ()
    table: str = ""
    """Source and version that was checked against."""
    note: str = ""
    """Why another version's table was used and what is known to differ; empty for the version's own."""


@dataclass(frozen=True, slots=True)
class _Index:
    folder: Path
    tables: Mapping[str, Mapping[str, str]]
    kinds: Mapping[str, list[str]]
    charts: Mapping[str, list[str]]


@dataclass(slots=True)
class Shapes:
    """The tables at hand: the project's own, and those added with `make shapes`, which win for the kinds they have."""

    indexes: tuple[_Index, ...]
    differences: Mapping[str, Mapping[str, list[str]]]
    _tables: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    _notes: dict[tuple[str, ...], tuple[Path, str, str]] = field(default_factory=dict)

    @staticmethod
    @cache
    def load(folder: Path = FOLDER) -> Shapes:
        """Read the indexes; a table itself is read when the first object asks for it."""
        indexes = []
        for part in (folder / "added", folder):
            if (part / "index.json").exists():
                indexes.append(_Index(part, **json.loads((part / "index.json").read_text())))
        path = folder / "differences.json"
        return Shapes(tuple(indexes), json.loads(path.read_text()) if path.exists() else {})

    def check(self, obj: Mapping[str, Any], versions: Mapping[str, str]) -> Verdict:
        """Check an object against the table of its kind.

        `versions` maps a source (`kubernetes`, `dynamo-platform`, …) to the version the stack runs. The table of the
        very version is used, else the nearest one with a note.
        """
        gvk = f"{obj.get('apiVersion', '')}/{obj.get('kind', '')}"
        found = self._find("kinds", gvk, versions)
        if found is None:
            return Verdict(
                "not checked", note=f"no table has {gvk}; add one with `make shapes FROM=<CRD file, chart or cluster>`"
            )
        path, name, note = found
        table = self._table(path)
        walker = _Walker(table["shapes"])
        shape = table["shapes"][table["kinds"][gvk]]
        own = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
        walker.value(own, {**shape, "required": [key for key in shape.get("required", ()) if key != "metadata"]})
        # A CRD says of metadata only that it is a mapping.
        walker.faults += self._metadata(obj.get("metadata") or {}, versions)
        walker.faults += _marks(obj.get("metadata"))
        return Verdict("faults" if walker.faults else "ok", tuple(walker.faults), name, note)

    def check_values(self, chart: str, version: str, values: Mapping[str, Any]) -> Verdict:
        """Check a release's values against the paths and types of the chart's defaults."""
        found = self._find("charts", chart, {chart: version})
        if found is None:
            return Verdict(
                "not checked", note=f"no table has the values of chart {chart}; add one with `make shapes FROM=<chart>`"
            )
        path, name, note = found
        table = self._table(path)
        walker = _Walker(table["shapes"], word="value")
        walker.value(values, table["shapes"][table["values"]])
        return Verdict("faults" if walker.faults else "ok", tuple(walker.faults), name, note)

    def note_for(self, gvk: str, versions: Mapping[str, str]) -> str:
        """The note every object of a kind (`group/version/Kind`) gets; empty for the version's own table."""
        found = self._find("kinds", gvk, versions)
        return found[2] if found else ""

    def note_for_chart(self, chart: str, version: str) -> str:
        """The note a chart's values get."""
        found = self._find("charts", chart, {chart: version})
        return found[2] if found else ""

    def _metadata(self, metadata: Mapping[str, Any], versions: Mapping[str, str]) -> list[Fault]:
        found = self._find("kinds", "v1/Namespace", versions)
        if found is None:
            return []
        table = self._table(found[0])
        walker = _Walker(table["shapes"])
        walker.value(metadata, table["shapes"][table["metadata"]], "metadata")
        return walker.faults

    def _table(self, path: Path) -> Mapping[str, Any]:
        if path not in self._tables:
            self._tables[path] = json.loads(path.read_text())
        return self._tables[path]

    def _find(self, what: str, key: str, versions: Mapping[str, str]) -> tuple[Path, str, str] | None:
        """Table for a kind or chart: path, name and note."""
        for index in self.indexes:
            names = getattr(index, what).get(key)
            if not names:
                continue
            # With the folder: a table that was added may be named as one of the project's own.
            asked = (str(index.folder), *names, *(f"{source}={version}" for source, version in versions.items()))
            if asked not in self._notes:
                self._notes[asked] = self._choose(index, names, versions)
            return self._notes[asked]
        return None

    def _choose(self, index: _Index, names: list[str], versions: Mapping[str, str]) -> tuple[Path, str, str]:
        rank = {source: position for position, source in enumerate(versions)}

        def distance(name: str) -> tuple[int, bool, int]:
            table = index.tables[name]
            wanted = versions.get(table["source"])
            if wanted is None:
                # Nobody said which version runs: the newest release.
                return len(rank), "dev" in table["version"], -_number(table["version"])
            apart = abs(_number(wanted) - _number(table["version"]))
            return rank[table["source"]], table["version"] != wanted.removeprefix("v"), apart

        name = min(names, key=distance)
        table = index.tables[name]
        return (
            index.folder / name,
            f"{table['source']} {table['version']}",
            self._note(table, versions.get(table["source"])),
        )

    def _note(self, table: Mapping[str, str], wanted: str | None) -> str:
        source, version = table["source"], table["version"]
        known = self.differences.get(source, {})
        if wanted is None:
            told = known.get("")
            return f"{source}: checked against {version}. {'; '.join(told)}" if told else ""
        if wanted.removeprefix("v") == version:
            return ""
        told = known.get(wanted)
        rest = f"Known differences: {'; '.join(told)}" if told else "No difference is known, none was looked for"
        return f"{source} {wanted} has no table of its own and is checked against {version}. {rest}"


def _number(version: str) -> int:
    """The first three numbers of a version as one: 26.7 is nearer to 27.1 than 26.3 is."""
    major, minor, patch = map(int, re.findall(r"\d+", f"{version}.0.0.0")[:3])
    return (major * _APART + minor) * _APART + patch


_APART = 1_000_000
"""More than any of them, the build number of a chart included."""


_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


class _Walker:
    """Walks a value along its shape and collects what is wrong."""

    __slots__ = ("faults", "shapes", "word")

    def __init__(self, shapes: list[Mapping[str, Any]], word: str = "field") -> None:
        self.shapes = shapes
        self.word = word
        self.faults: list[Fault] = []

    def value(self, value: Any, shape: Mapping[str, Any], path: str = "") -> None:
        type_ = shape["type"]
        if type_ == "any" or value in (UNKNOWN, SECRET):
            return
        if value is None:
            # A chart's value set to null takes the chart's default away.
            if not shape.get("nullable") and self.word != "value":
                self._wrong(None, type_, path)
            return
        if type_ == "object":
            if isinstance(value, dict):
                self._object(value, shape, path)
            else:
                self._wrong(value, type_, path)
        elif type_ == "array":
            if isinstance(value, list):
                if "minItems" in shape or "maxItems" in shape:
                    self._bounds(len(value), shape, path, "Items", "entries")
                items = self.shapes[shape["items"]]
                if "keys" in shape or "unique" in shape:
                    self._entries(value, shape, path)
                for position, item in enumerate(value):
                    self.value(item, items, f"{path}[{position}]")
            else:
                self._wrong(value, type_, path)
        else:
            self._scalar(value, shape, type_, path)

    def _object(self, value: Mapping[str, Any], shape: Mapping[str, Any], path: str) -> None:
        properties = shape.get("properties") or {}
        values = shape.get("values")
        shapes = self.shapes
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            if key in properties:
                self.value(item, shapes[properties[key]], where)
            elif values is not None:
                self.value(item, shapes[values], where)
            elif not shape.get("open"):
                self.faults.append(
                    Fault("unknown", where, f"there is no such {self.word}", self._nearest(key, properties))
                )
        for key in shape.get("required", ()):
            if key not in value:
                self.faults.append(Fault("required", f"{path}.{key}" if path else key, "is required and missing"))
        if "minProperties" in shape or "maxProperties" in shape:
            self._bounds(len(value), shape, path, "Properties", "entries")

    def _scalar(self, value: Any, shape: Mapping[str, Any], type_: str, path: str) -> None:
        if not _FITS[type_](value):
            self._wrong(value, type_, path)
            return
        enum = shape.get("enum")
        if enum is not None and value not in enum:
            nearest = self._nearest(str(value), [str(item) for item in enum])
            self.faults.append(
                Fault("enum", path, f"is {value!r}; one of {', '.join(map(str, enum))} is expected", nearest)
            )
        if isinstance(value, str):
            if "pattern" in shape and not _pattern(shape["pattern"]).search(value):
                self.faults.append(
                    Fault("pattern", path, f"is {_shortened(value)}; text of the form {shape['pattern']} is expected")
                )
            if "minLength" in shape or "maxLength" in shape:
                self._bounds(len(value), shape, path, "Length", "characters")
        elif "minimum" in shape or "maximum" in shape:
            self._bounds(value, shape, path, "imum")

    def _entries(self, value: list[Any], shape: Mapping[str, Any], path: str) -> None:
        """Server-side apply, with which objects are applied, refuses a list that has one entry twice."""
        keys = shape.get("keys")
        first: dict[Any, int] = {}
        for position, item in enumerate(value):
            if keys is None:
                mark: Any = item if isinstance(item, (str, int, float)) else None
            elif isinstance(item, dict):
                mark = tuple(item.get(key, default) for key, default in keys.items())
                mark = None if any(not isinstance(part, (str, int, float)) for part in mark) else mark
            else:
                mark = None
                # Where nothing stands for a default, it does not among entries that are told apart.
                if item is None and self.shapes[shape["items"]].get("nullable"):
                    self.faults.append(Fault("type", f"{path}[{position}]", "is nothing; a mapping is expected"))
            if mark is None or mark in (UNKNOWN, SECRET) or (keys and (UNKNOWN in mark or SECRET in mark)):
                continue
            if first.setdefault(mark, position) != position:
                what = f"the {' and '.join(keys)}" if keys else "the value"
                self.faults.append(
                    Fault(
                        "duplicate", f"{path}[{position}]", f"has {what} of entry {first[mark]}; each may be there once"
                    )
                )

    def _bounds(self, size: float, shape: Mapping[str, Any], path: str, what: str, unit: str = "") -> None:
        low, high = shape.get(f"min{what}"), shape.get(f"max{what}")
        if (low is not None and size < low) or (high is not None and size > high):
            limits = " and ".join(
                filter(
                    None, (f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else "")
                )
            )
            self.faults.append(
                Fault(
                    "bounds", path, f"{'has' if unit else 'is'} {size}{f' {unit}' if unit else ''}; {limits} expected"
                )
            )

    def _wrong(self, value: Any, type_: str, path: str) -> None:
        shown = (
            repr(value)
            if isinstance(value, (str, int, float, bool))
            else "nothing"
            if value is None
            else _NAMES[_type_of(value)]
        )
        expected = {"intOrString": "a number or text", "quantity": "a quantity"}.get(type_) or _NAMES[type_]
        self.faults.append(Fault("type", path, f"is {shown}; {expected} is expected"))

    @staticmethod
    def _nearest(key: str, names: Any) -> str:
        # difflib costs 3 ms to import, which only a faulty stack pays.
        from difflib import get_close_matches

        found = get_close_matches(key, names)
        return f"nearest: {found[0]}" if found else ""


def _type_of(value: Any) -> str:
    return "object" if isinstance(value, Mapping) else "array"


_LABEL_KEY = r"^((?=[^/]{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
"""Syntax of labels, which no schema has (Kubernetes documentation, "Labels and Selectors")."""


def _marks(metadata: Any) -> list[Fault]:
    """What is wrong with an object's own labels and annotations beyond their type."""
    faults = []
    for field_ in ("labels", "annotations") if isinstance(metadata, dict) else ():
        marks = metadata.get(field_)
        for key, value in marks.items() if isinstance(marks, dict) else ():
            # An annotation's key may be written in capitals; the API server looks at it in small letters.
            name = key.lower() if field_ == "annotations" else key
            if not _pattern(_LABEL_KEY).search(name):
                faults.append(
                    Fault("pattern", f"metadata.{field_}.{key}", "is no key: `name` or `domain/name` is expected")
                )
                continue
            given = field_ == "labels" and isinstance(value, str) and value not in (UNKNOWN, SECRET)
            if given and not _pattern(_LABEL_VALUE).search(value):
                faults.append(
                    Fault(
                        "pattern",
                        f"metadata.labels.{key}",
                        f"is {_shortened(value)}; at most 63 letters, digits, `-`, `_` and `.` are expected, with a "
                        "letter or digit at each end",
                    )
                )
    return faults


def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of a schema, which is Go's: its `$` is the very end, and its `\\d` the ten digits."""
    return re.compile(
        f"{pattern[:-1]}\\Z" if pattern.endswith("$") and not pattern.endswith("\\$") else pattern, re.ASCII
    )


def _shortened(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:57]}…")


def _is_integer(value: Any) -> bool:
    # The API server decodes into 64 bits, and what does not fit there is no whole number to it.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_FITS = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "intOrString": lambda value: isinstance(value, str) or _is_integer(value),
    "quantity": lambda value: isinstance(value, str) or _is_number(value),
}
