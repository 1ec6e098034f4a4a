"""Published recipes as presets: keys of a graph that stand under those the stack file gives."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

NAMES = ("deepseek-r1-wide-ep", "glm-5-efa")


@cache
def _recipe(name: str) -> Mapping[str, Any]:
    import yaml  # late: only stacks with a preset need it

    if name not in NAMES:
        raise KeyError(name)
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def preset(name: str) -> Mapping[str, Any]:
    """Keys of a preset; KeyError for one that is not there."""
    return {key: value for key, value in _recipe(name).items() if key != "versions"}


def versions(name: str) -> tuple[str, ...]:
    """Releases of Dynamo that a preset is for: those whose engines know every flag of it."""
    return tuple(_recipe(name)["versions"])


def expanded(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A graph's keys with those of its preset under them: mappings are merged, everything else is the stack file's.

    An unknown preset is left for the settings to report.
    """
    name = given.get("preset")
    return _laid_over(preset(name), given) if isinstance(name, str) and name in NAMES else given


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        under = out.get(key)
        out[key] = _laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return out
