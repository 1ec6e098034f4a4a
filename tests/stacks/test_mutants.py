"""A few hundred of the stack files that somebody might write by mistake; tests/engine/test_mutated_stacks.py plans thousands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stacks import stackfile
from stacks.settings import Settings, SettingsError, schema
from stacks.stackfile import StackFile, StackFileError
from tests.conftest import AT
from tests.stacks import mutants
from tests.stacks.mutants import Mutant

SAMPLE = [*mutants.edited(400), *mutants.cut(200)]


def read(mutant: Mutant) -> StackFile | str:
    """The file when it is good, what is told of it otherwise."""
    try:
        file = stackfile.parse(mutant.stack, Path("mutant.yaml"), mutant.text)
        Settings.parse(file.stack, file.config, frozenset(file.secret_keys), at=AT, source=file)
    except (StackFileError, SettingsError) as error:
        return str(error)
    return file


def instance(file: StackFile) -> dict[str, Any]:
    """What an editor's schema sees of a file."""
    config = {key: value for key, value in file.config.items() if not key.startswith("pulumi:")}
    encrypted = {key: {"secure": "v1:x"} for key, value in config.items() if value == stackfile.HIDDEN}
    return {"config": config | encrypted}


@pytest.fixture(scope="module")
def answers() -> list[tuple[Mutant, StackFile | str]]:
    return [(mutant, read(mutant)) for mutant in SAMPLE]


def test_a_mistake_is_told_with_its_place(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """A traceback names a line of the program and no key of the file."""
    told = [(mutant, answer) for mutant, answer in answers if isinstance(answer, str)]
    assert len(told) > 300
    for mutant, answer in told:
        name = f"stacks/Pulumi.{mutant.stack}.yaml"
        assert answer.startswith(name), mutant
        faults = answer.count("    expected  ")
        assert faults == 0 or answer.count(f"    at        {name}:") == faults, (mutant, answer)
        assert "Error" not in answer, (mutant, answer)


def test_what_the_reader_takes_the_schema_takes(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """An editor that underlines what is right teaches people to ignore it."""
    validator = jsonschema.Draft202012Validator(schema())
    good = [(mutant, answer) for mutant, answer in answers if isinstance(answer, StackFile)]
    assert len(good) > 60
    wrong = {
        mutant.what: [error.message[:200] for error in validator.iter_errors(instance(file))] for mutant, file in good
    }
    assert {what: errors for what, errors in wrong.items() if errors} == {}


def test_the_schema_sees_most_mistakes(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """What is underlined while it is typed never gets to a plan. The rest are rules between keys (stacks/schema_limits.py)."""
    validator = jsonschema.Draft202012Validator(schema())
    seen = unseen = 0
    for mutant, answer in answers:
        if isinstance(answer, str) and mutant.what != "cut":
            try:
                file = stackfile.parse(mutant.stack, Path("mutant.yaml"), mutant.text)
            except StackFileError:
                continue
            valid = validator.is_valid(instance(file))
            seen, unseen = seen + (not valid), unseen + valid
    assert unseen / (seen + unseen) < 0.2, (seen, unseen)
