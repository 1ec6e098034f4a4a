"""A happy file with some keys set otherwise, and what is told of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stacks import stackfile
from stacks.faults import Fault
from stacks.settings import Settings, SettingsError
from tests.conftest import AT

ABSENT = object()
"""In place of a value, takes the key away."""


@cache
def _happy(stack: str) -> Mapping[str, Any]:
    return stackfile.read(stack, Path(__file__).parent / "settings" / f"{stack}.happy.yaml").config


def edited(stack: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The happy file's configuration with each change (`network.zones`, or `aws:region`) carried out."""
    return changed(_happy(stack), changes)


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with each change carried out."""
    config = copy.deepcopy(dict(config))
    for path, value in changes.items():
        first, *rest = path.split(".")
        place, key = config, first if ":" in first else f"dynamo-eks:{first}"
        for below in rest:
            place, key = place.setdefault(key, {}), below
        if value is ABSENT:
            del place[key]
        else:
            place[key] = copy.deepcopy(value)
    return config


def parsed(
    stack: str, changes: Mapping[str, Any], secret: frozenset[str] = frozenset(), at: datetime | None = AT
) -> Settings:
    return Settings.parse(stack, edited(stack, changes), secret, at)


def told(
    stack: str, changes: Mapping[str, Any], secret: frozenset[str] = frozenset(), at: datetime | None = AT
) -> list[str]:
    """Every fault of the changed file by key, each in one line; none when it is good."""
    try:
        parsed(stack, changes, secret, at)
    except SettingsError as error:
        return sorted(line(fault) for fault in error.faults)
    return []


def line(fault: Fault) -> str:
    """A fault as the report has it, in one line, without the prefix of every key and without its id."""
    return " | ".join(" ".join(part.split()) for part in fault.lines()[:-1]).removeprefix("dynamo-eks:")


Changes = Mapping[str, Any]


def rows(table: Sequence[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """A table's rows, each a name, the changes, and every fault that is told; none for a file that is good."""
    params = [pytest.param(changes, sorted(faults), id=name) for name, changes, *faults in table]
    return pytest.mark.parametrize(("changes", "faults"), params)
