"""A chart's defaults as a tree of the paths it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

OPEN = {"type": "any"}
"""A path below which the chart takes whatever is given (`{}`, `[]` or null in its defaults, or another chart's values)."""


def paths(defaults: Mapping[str, Any], *, open_keys: Collection[str] = ()) -> dict[str, Any]:
    """The tree of a chart's values: keys, and for every leaf its type. `open_keys` are values of other charts."""
    properties = {key: (OPEN if key in open_keys else _leaf(value)) for key, value in sorted(defaults.items())}
    for key in open_keys:
        properties.setdefault(key, OPEN)
    # Helm gives these to every chart, whether its defaults list them or not.
    properties.setdefault("global", OPEN)
    return {"type": "object", "properties": properties}


def _leaf(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return (
            {"type": "object", "properties": {str(k): _leaf(v) for k, v in sorted(value.items(), key=_key)}}
            if value
            else OPEN
        )
    if isinstance(value, list):
        return {"type": "array", "items": OPEN}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, (int, float)):
        # Charts write resources as 1 or "1"; both render alike.
        return {"type": "quantity"}
    if isinstance(value, str):
        return {"type": "quantity"} if value else OPEN
    return OPEN


def _key(pair: tuple[Any, Any]) -> str:
    return str(pair[0])
