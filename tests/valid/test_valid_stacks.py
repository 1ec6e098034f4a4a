"""Published configurations, translated: every one of them plans clean, so that no new rule refuses what works in the world.

Each stack file beside this one begins with the document or repository that it was translated from and the day it was looked up,
then says what was translated and what differs. A line `# warns <rule>: <reason>` is for a warning that is right about it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recording.recorder import record
from rules import Verdict, judge
from stacks import stackfile
from stacks.settings import schema
from tests.conftest import AT

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
SOURCE = re.compile(r"# \S.+ \(looked up 20\d\d-\d\d-\d\d\)")
WARNS = re.compile(r"# warns (\S+): \S.*")

each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def heading(path: Path) -> list[str]:
    """A file's leading comment, line by line."""
    lines = path.read_text().splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]


def warned(path: Path) -> list[str]:
    """Rules that may warn, as the leading comment lists them."""
    return sorted(found.group(1) for line in heading(path) if (found := WARNS.fullmatch(line)))


def told(path: Path, preview: bool = False) -> list[Verdict]:
    """What the rules say of a file's plan."""
    file = stackfile.read(path.stem, path)
    return judge(record(file.stack, file.config, secret_keys=file.secret_keys, preview=preview, at=AT))


def lines(verdicts: list[Verdict], level: str) -> list[str]:
    return [f"{item.id}: {item.subject} {item.message}" for item in verdicts if item.verdict == level]


def test_there_are_enough_of_them() -> None:
    """A glob that finds nothing would let every test below pass."""
    assert len(FILES) >= 60


def test_each_says_where_it_is_from() -> None:
    """Whoever finds one refused has to see whether the world or the rule has changed."""
    for path in FILES:
        first, *others = heading(path)
        assert SOURCE.fullmatch(first), f"{path.name}: {first}"
        assert any(not line.startswith("# warns") for line in others), f"{path.name}: what was translated, what differs"


@each
def test_it_plans_clean(path: Path) -> None:
    """No fault, no rule that fails, and those warnings alone that the file lists with a reason."""
    verdicts = told(path)
    assert lines(verdicts, "fail") == []
    assert sorted({item.id for item in verdicts if item.verdict == "warn"}) == warned(path), lines(verdicts, "warn")
    # A rule that has nothing to look at refuses nothing either.
    assert len({item.id for item in verdicts}) >= (20 if any("aws:" in key for key in config_of(path)) else 10)


@pytest.mark.parametrize("path", FILES[::7], ids=lambda path: path.stem)
def test_its_first_preview_plans_clean(path: Path) -> None:
    """Before anything exists no id is known, and nothing may be refused for that."""
    verdicts = told(path, preview=True)
    assert lines(verdicts, "fail") == []
    assert sorted({item.id for item in verdicts if item.verdict == "warn"}) == warned(path), lines(verdicts, "warn")


def config_of(path: Path) -> dict[str, Any]:
    return dict(stackfile.read(path.stem, path).config)


def test_the_schema_takes_them() -> None:
    """An editor that underlines what works teaches people to look away."""
    validator: Any = jsonschema.Draft202012Validator(schema())
    wrong = {path.stem: error.message for path in FILES for error in validator.iter_errors({"config": config_of(path)})}
    assert wrong == {}
