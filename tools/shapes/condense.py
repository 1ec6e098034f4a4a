"""A JSON schema condensed to what the strict check asks: names, types, required, enums, bounds, patterns, keys of lists.

Descriptions, formats and CEL are left out. Equal sub-shapes are stored once: a shape is a position in the
table's list, and a pod's containers, say, occur in a dozen CRDs and are written down one time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
"""Facts copied over as they are."""

QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""What the API server takes for a quantity in text (the grammar in apimachinery, `resource.Quantity`); the published schemas
say only that it is text or a number."""

_KEY_DEFAULTS = {"protocol": "TCP"}
"""Key fields of lists that the API server fills in before it compares entries: ports of containers and Services. Its own
OpenAPI document says so; the published schemas of the built-in kinds have no defaults."""


class Table:
    """A list of shapes in which equal ones are one."""

    def __init__(self) -> None:
        self.shapes: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def add(self, shape: Mapping[str, Any]) -> int:
        """The shape's position, a new one only when no equal shape is there."""
        text = json.dumps(shape, sort_keys=True)
        if text not in self._known:
            self._known[text] = len(self.shapes)
            self.shapes.append(dict(shape))
        return self._known[text]


Resolve = Callable[[str], Mapping[str, Any]]


def condense(
    schema: Mapping[str, Any], table: Table, resolve: Resolve | None = None, path: tuple[str, ...] = ()
) -> int:
    """Add a schema to the table and return its position.

    `resolve` looks a `$ref` up. A schema that contains itself (JSONSchemaProps does) is open from there on.
    """
    reference = schema.get("$ref")
    if reference is not None:
        if resolve is None or reference in path:
            return table.add({"type": "any"})
        return condense(resolve(reference), table, resolve, (*path, reference))
    shape: dict[str, Any] = {}
    type_, nullable = _type(schema)
    # Where there is a default, the API server takes null for "the default".
    if nullable or ("default" in schema):
        shape["nullable"] = True
    enum = [value for value in schema.get("enum", ()) if value is not None]
    if enum:
        shape["enum"] = enum
    shape.update({key: schema[key] for key in BOUNDS if key in schema})
    shape["type"] = type_
    # A chart's value may be called a quantity too, and is one of the chart's own making.
    pattern = QUANTITY if type_ == "quantity" and "type" not in schema else schema.get("pattern")
    if pattern and _compiles(pattern):
        shape["pattern"] = pattern
    if type_ == "object":
        _object(schema, shape, table, resolve, path)
    elif type_ == "array":
        shape["items"] = condense(schema.get("items") or {}, table, resolve, path)
        _entries(schema, shape)
    return table.add(shape)


def _compiles(pattern: str) -> bool:
    """Whether the pattern, written for Go, is one for Python too."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _entries(schema: Mapping[str, Any], shape: dict[str, Any]) -> None:
    """What tells a list's entries apart: the fields that make them one, each with what stands for it when absent."""
    if schema.get("x-kubernetes-list-type") == "set":
        shape["unique"] = True
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        fields = (schema.get("items") or {}).get("properties") or {}
        shape["keys"] = {key: fields.get(key, {}).get("default", _KEY_DEFAULTS.get(key)) for key in sorted(keys)}


def _object(
    schema: Mapping[str, Any], shape: dict[str, Any], table: Table, resolve: Resolve | None, path: tuple[str, ...]
) -> None:
    properties = schema.get("properties") or {}
    if properties:
        shape["properties"] = {name: condense(part, table, resolve, path) for name, part in sorted(properties.items())}
    # The API server fills defaults in before it looks for what is required.
    required = [name for name in schema.get("required", ()) if "default" not in properties.get(name, {})]
    if required:
        shape["required"] = sorted(required)
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        shape["values"] = condense(values, table, resolve, path)
    if (
        values is True
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-embedded-resource")
    ):
        shape["open"] = True


def _type(schema: Mapping[str, Any]) -> tuple[str, bool]:
    """Type of a schema and whether null is allowed."""
    nullable = bool(schema.get("nullable"))
    if schema.get("x-kubernetes-int-or-string"):
        return "intOrString", nullable
    type_ = schema.get("type")
    if isinstance(type_, list):
        nullable = nullable or "null" in type_
        names = [name for name in type_ if name != "null"]
        return (names[0] if len(names) == 1 else "any"), nullable
    if type_ is not None:
        return str(type_), nullable
    alternatives = schema.get("oneOf") or schema.get("anyOf") or ()
    kinds = set()
    for part in alternatives:
        kind, part_nullable = _type(part)
        nullable = nullable or part_nullable
        kinds.add(kind)
    if kinds == {"string", "integer"}:
        return "intOrString", nullable
    if kinds == {"string", "number"}:
        return "quantity", nullable
    return ("object" if "properties" in schema else "any"), nullable
