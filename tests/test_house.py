"""Who imports whom: rooms one way, modules in no circle. Read from the sources, so that a late import counts as one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS: dict[str, set[str]] = {
    "components": set(),
    "stacks": {"components"},
    "program": {"components", "stacks"},
    "recording": {"components", "stacks"},
    "schemas": {"recording"},
    "rules": {"components", "stacks", "recording", "schemas"},
    "review": {"components", "stacks", "recording", "schemas", "rules"},
    "operations": {"components", "stacks", "recording", "schemas", "rules", "review"},
    "tools": {"components", "stacks", "recording", "schemas", "rules", "review", "operations"},
    "benchmarks": {"components", "stacks", "recording", "schemas", "rules", "review"},
}
"""What each room may import of the others. The program is run by the recorder as the engine runs it, by nobody's import."""


def files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = frozenset(map(name_of, files()))


def imported(path: Path) -> Iterator[str]:
    """Modules of the project that a file imports, at its top or later; not those that only a type checker sees."""

    tree = ast.parse(path.read_text())
    unseen = {
        id(below)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for below in ast.walk(node)
    }
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            kept = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*kept, *([node.module] if node.module else [])])
            for alias in node.names:
                yield from ({f"{base}.{alias.name}", base} & MODULES)


@cache
def edges() -> dict[str, frozenset[str]]:
    return {name_of(path): frozenset(imported(path)) - {name_of(path)} for path in files()}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_one_way(room: str) -> None:
    """An arrow back up, and a part can no longer be used, tested or understood without the whole."""
    back = {
        f"{module} -> {other}"
        for module, others in edges().items()
        if module.split(".")[0] == room
        for other in others
        if (there := other.split(".")[0]) != room and there not in ROOMS[room]
    }
    assert back == set()


def test_every_room_is_listed() -> None:
    """A folder of modules that is in no list may import what it likes."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders - {"tests"} == set(ROOMS)


def test_no_module_is_in_a_circle() -> None:
    """Two files that need each other are one file, or hold a third that neither knows of."""
    left = dict(edges())
    while free := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in free}
    while idle := left.keys() - {other for others in left.values() for other in others}:
        left = {module: others for module, others in left.items() if module not in idle}
    assert left == {}


def test_the_way_of_a_change_is_true() -> None:
    """A newcomer who is sent to a file that is not there edits the wrong one."""
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where does my change go?")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) >= 20
    for row in rows:
        paths = [word for word in re.findall(r"`([^`]+)`", row.partition("|")[2]) if "/" in word]
        assert any(path.startswith("tests/") for path in paths) and len(paths) > 1, row
        assert [path for path in paths if not (ROOT / path).exists()] == [], row
