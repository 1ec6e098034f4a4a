"""What decides which tests and which files the longer passes take; what they leave out, nobody sees missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import engine_tests, mutants
from tools.survivors import ROOT

MUTATED = [path for group in mutants.GROUPS for path in group.files]


def test_every_engine_test_is_run() -> None:
    """A file that no part holds is never run again, and a selection without its opposite loses the rest of its file."""
    by_file: dict[str, list[tuple[str, ...]]] = {}
    for file, *selection in engine_tests.parts():
        by_file.setdefault(file, []).append(tuple(selection))
    assert set(by_file) == {path.name for path in (ROOT / "tests" / "engine").glob("test_*.py")}
    for selections in by_file.values():
        expressions = {words[1] for words in selections if words}
        assert selections == [()] or {f"not {word}" for word in expressions if not word.startswith("not ")} == {
            word for word in expressions if word.startswith("not ")
        }


def test_words_pick_engine_tests() -> None:
    assert engine_tests.parts(["kill", "life"]) == [
        ("test_kill_and_resume.py", "-k", "gb200-prod"),
        ("test_kill_and_resume.py", "-k", "not gb200-prod"),
        ("test_life.py",),
    ]
    assert engine_tests.main(["no such file"]) == 1


@pytest.mark.parametrize(("code", "answer", "runs"), [(0, 0, 1), (1, 1, 3)])
def test_a_part_that_fails_runs_again_and_fails(
    code: int, answer: int, runs: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runner that forgets a failure is green for ever."""
    commands: list[list[str]] = []

    class Ended:
        returncode, stdout = code, "what pytest said"

    monkeypatch.setattr(engine_tests.subprocess, "run", lambda command, **_: (commands.append(command), Ended)[1])
    assert engine_tests.main(["standins"]) == answer
    assert len(commands) == runs and commands[0][-1] == "tests/engine/test_standins.py"
    said = capsys.readouterr().out
    assert "what pytest said" in said and ("failed: test_standins.py" in said) == bool(code)


def test_every_rule_and_setting_is_mutated() -> None:
    """A new file of rules that is in no group is one whose lines may go."""
    assert len(MUTATED) == len(set(MUTATED)) and all((ROOT / path).is_file() for path in MUTATED)
    deciding = [
        path for folder in ("rules", "stacks") for path in (ROOT / folder).rglob("*.py") if path.stem != "__init__"
    ]
    assert {str(path.relative_to(ROOT)) for path in deciding} <= set(MUTATED)


def test_tests_of_every_group_are_there() -> None:
    """A group whose tests are gone would be judged by nothing."""
    for group in mutants.GROUPS:
        assert all((ROOT / word).exists() for word in group.tests if word.startswith("tests/"))


def test_every_reason_is_of_a_file_that_is_mutated() -> None:
    """A list of what may survive, under a name that nobody reads, explains nothing."""
    known = {path.replace("/", ".").removesuffix(".py") for path in MUTATED}
    listed = {Path(path).stem for path in mutants.REASONS.iterdir()}
    assert listed and listed <= known
    for path in MUTATED:
        assert all(reason and key.startswith(f"{path} ") for key, reason in mutants.reasons(path).items())


@pytest.mark.parametrize(
    ("words", "picked"),
    [
        (["rules/graphs.py:pod_fits"], ["rules/graphs.py:pod_fits"]),
        (["rules/order"], ["rules/order.py"]),
        (["ultraservers.py:x"], ["components/capacity/ultraservers.py:x", "rules/ultraservers.py:x"]),
        ([], MUTATED),
    ],
)  # fmt: skip
def test_words_pick_what_is_mutated(words: list[str], picked: list[str]) -> None:
    """Each word ends as a whole path, which picks in one group only: otherwise a pass starts itself without end."""
    found = [path for group in mutants.GROUPS for path in mutants.chosen(group, words)]
    assert found == picked
    for path in found:
        assert sum(bool(mutants.chosen(group, [path])) for group in mutants.GROUPS) == 1
