"""The reader of stack files, held against the real CLI on the corpus in tests/stacks/corpus/.

`pulumi config --json` needs no program and no provider: it reads the stack file as every other command does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stacks import stackfile
from tests.engine.engine import ROOT, require_engine
from tests.stacks import corpus

AT_ONCE = 4
GROUP = 25
"""Scalars asked about in one file, where none of them is refused."""


class Cli:
    """The `pulumi` CLI on a project of its own, with stacks that nothing was ever made of."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        (self.project / "stacks").mkdir(parents=True)
        (folder / "backend").mkdir()
        shutil.copy(ROOT / "Pulumi.yaml", self.project)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "AWS_"))},
            "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "engine-tests",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_HOME": str(folder / "home"),
            # A date with the offset of the machine's own zone would get that zone's name.
            "TZ": "UTC",
        }
        self._made: set[str] = set()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def file(self, stack: str) -> Path:
        return self.project / "stacks" / f"Pulumi.{stack}.yaml"

    def make(self, stack: str) -> None:
        if stack not in self._made:
            self._made.add(stack)
            made = self.run("stack", "init", stack)
            assert made.returncode == 0, made.stderr

    def answer(self, stack: str, text: bytes) -> dict[str, Any]:
        """What the engine reads in a file: a value for each key, as text or, where it is an object, as JSON."""
        self.make(stack)
        self.file(stack).write_bytes(text)
        ended = self.run("config", "--json", "--stack", stack)
        if ended.returncode:
            said = (line for line in ended.stderr.splitlines() if line and not line.startswith("warning:"))
            return {"refused": next(said, "").replace(str(self.project), "")[:200]}
        found = json.loads(ended.stdout)
        return {key: _value(entry) for key, entry in found.items() if entry.get("objectValue", None) != {}}


def _value(entry: Mapping[str, Any]) -> Any:
    if entry["secret"]:
        return {"secret": True}
    # `objectValue` has been through floats once more; `value` is what the program gets.
    return {"json": json.loads(entry["value"])} if "objectValue" in entry else {"text": entry["value"]}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    require_engine()
    made = Cli(tmp_path_factory.mktemp("stack-files"))
    for number in range(AT_ONCE):
        made.make(f"corpus{number}")
    return made


def _ask(cli: Cli, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Answers by name; several stacks at once, each with one file at a time."""
    given = list(files)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mine in pool.map(
            lambda number: [(name, cli.answer(f"corpus{number}", text)) for name, text in given[number::AT_ONCE]],
            range(AT_ONCE),
        ):
            yield from mine


def _scalar_answers(cli: Cli, place: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """By scalar. Those that the recording has as refused, or does not have, are asked about one by one."""
    alone, groups = [], []
    numbered = dict(enumerate(corpus.SCALARS))
    names = {number: f"{place} {scalar}" for number, scalar in numbered.items()}
    accepted = [number for number in numbered if "refused" not in recorded.get(names[number], {"refused": ""})]
    for number in set(numbered) - set(accepted):
        alone.append((names[number], corpus.scalar_file({0: numbered[number]}, place)))
    for start in range(0, len(accepted), GROUP):
        chosen = accepted[start : start + GROUP]
        groups.append((json.dumps(chosen), corpus.scalar_file({number: numbered[number] for number in chosen}, place)))
    found = {name: _numbered(answer, 0) for name, answer in _ask(cli, alone)}
    for chosen, answer in _ask(cli, groups):
        for number in json.loads(chosen):
            found[names[number]] = _numbered(answer, number)
    return found


def _numbered(answer: Mapping[str, Any], number: int) -> dict[str, Any]:
    if "refused" in answer:
        return dict(answer)
    keys = {f"dynamo-eks:{key}{number}": key for key in ("top", "in", "key")}
    return {keys[key]: value for key, value in answer.items() if key in keys}


def test_the_recording_is_what_the_cli_says(cli: Cli) -> None:
    """A newer engine that reads a value in another way makes the plan speak of another stack than the one that comes up."""
    write = bool(os.environ.get("WRITE_ANSWERS"))
    recorded = {} if write else corpus.answers()
    found = dict(_ask(cli, ((f"file {name}", text) for name, text in corpus.documents().items())))
    for place in corpus.PLACES:
        found |= _scalar_answers(cli, place, recorded)
    if write:
        lines = [f"{json.dumps(name)}: {json.dumps(found[name], sort_keys=True)}" for name in sorted(found)]
        corpus.ANSWERS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    assert {name: answer for name, answer in found.items() if answer != recorded.get(name)} == {}
    assert set(found) == set(recorded)


@pytest.mark.parametrize("stack", stackfile.available())
def test_a_shipped_stack_reads_the_same_after_the_cli_wrote_it(cli: Cli, stack: str) -> None:
    """`pulumi stack init` writes dates and numbers in its own way; a plan made before it must hold after it."""
    before = stackfile.read(stack)
    file = cli.file(stack)
    shutil.copy(before.path, file)
    cli.make(stack)
    for words in (
        ("config", "set", "--path", "dynamo-eks:tags.added", "2026-12-08T11:30:00Z"),
        ("config", "rm", "--path", "dynamo-eks:tags.added"),
    ):
        ended = cli.run(*words, "--stack", stack)
        assert ended.returncode == 0, ended.stderr
    after = stackfile.read(stack, file)
    assert "encryptionsalt" in file.read_text()
    expected = json.loads(json.dumps(dict(before.config)))
    expected.setdefault("dynamo-eks:tags", {})
    got = json.loads(json.dumps(dict(after.config)))
    got.setdefault("dynamo-eks:tags", {})
    assert got == expected
    answer = cli.answer(stack, file.read_bytes())
    assert {key: value.get("json", value.get("text")) for key, value in answer.items()} == {
        key: value for key, value in expected.items() if value != {}
    }
