"""docs/faults.md: every fault of a stack file by its id, with what is told. `WRITE_DOCS=1` writes it again."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

from stacks import faults
from tests.conftest import AT
from tests.stacks.test_settings_faults import BAD, expected, what

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"

ELSEWHERE = {
    "cluster-name-derived": "it takes a stack whose name is too long; tests/stacks/test_settings.py",
    "preset-for-other-version": "every preset is for every release that there is; tests/rules/test_command_lines.py",
    "too-many-entries": "it takes 31 UltraServers; tests/stacks/test_settings.py",
}
"""Faults without a bad file, and why."""

HEAD = f"""# What is wrong with a stack file

Generated from the bad files of the tests (`WRITE_DOCS=1 make test`). A stack file with a fault is refused before anything registers,
with all of its faults at once; `make plan` ends with exit code 2, and `pulumi preview` and `pulumi up` with an error. The last line
of each fault is its id, which stays the same when its words change. Under each id stands what was told of one bad file, with the
day {AT:%-d %B %Y} as the present one.
"""


def declared() -> set[str]:
    """Every id that the reader of a stack file can give."""
    found = {*faults.IDS.values(), faults.OTHER_TYPE}
    for path in sorted((ROOT / "stacks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault":
                if isinstance(node.args[0], ast.Constant):
                    found.add(node.args[0].value)
                else:
                    assert ast.unparse(node.args[0]).startswith("IDS."), (
                        f"{path.name}:{node.lineno}: an id is a literal"
                    )
    return found


def told() -> dict[str, list[str]]:
    """One fault for each id, in the lines of its report without those of place and id; of the file with the fewest faults."""
    found: dict[str, tuple[int, list[str]]] = {}
    for path in BAD:
        blocks = expected(path).split("\n\n")[1:]
        for block in blocks:
            lines = block.split("\n")
            if not (named := re.fullmatch(r" {4}id {8}(\S+)", lines[-1])):
                continue
            if named[1] not in found or len(blocks) < found[named[1]][0]:
                kept = [line[2:] for line in lines[:-1] if not line.startswith("    at ")]
                found[named[1]] = (len(blocks), kept)
    return {id_: lines for id_, (_, lines) in found.items()}


def page() -> str:
    parts = [f"## {id_}\n\n```\n" + "\n".join(lines) + "\n```\n" for id_, lines in sorted(told().items())]
    return "\n".join([HEAD, *parts])


def test_every_fault_has_a_bad_file() -> None:
    """Prevents a fault whose words nobody has ever read, and an id that no fault has."""
    assert sorted(declared() - set(told()) - set(ELSEWHERE)) == []
    assert sorted(set(told()) - declared()) == [], [what(path) for path in BAD]
    assert set(ELSEWHERE) <= declared() - set(told())


def test_ids_are_words() -> None:
    """Prevents an id that cannot be searched for."""
    assert [id_ for id_ in declared() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", id_)] == []


def test_the_page_is_current() -> None:
    """Prevents a page that explains faults as they were told a year ago."""
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
