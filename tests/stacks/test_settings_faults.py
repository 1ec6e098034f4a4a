"""Every bad stack file beside this one gets exactly the report in its head, and nothing registers."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from review import plan, stackfile
from review.stackfile import StackFile, StackFileError
from stacks import faults, models
from stacks.settings import Settings, SettingsError, schema
from tools.schema import FILE, text

FOLDER = Path(__file__).parent / "settings"
BAD = sorted(FOLDER.glob("*.error.*.yaml"))
STACKS = [stackfile.read(name) for name in stackfile.available()]


def expected(path: Path) -> str:
    """The report that a fixture's leading comment holds."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def reported(path: Path) -> str:
    try:
        file = stackfile.read("ordinary", path)
        Settings.parse(file.stack, file.config, frozenset(file.secret_keys))
    except (SettingsError, StackFileError) as error:
        return str(error)
    return "no fault"


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.split(".")[2])
def test_report(path: Path) -> None:
    """An unclear message about a rack that starts tonight is read at night."""
    assert reported(path) == expected(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.split(".")[2])
def test_nothing_registers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a stack made from a bad file is a VPC and a cluster that somebody has to find and remove."""
    from review import recorder

    registered = []
    original = recorder.Monitor.RegisterResource
    monkeypatch.setattr(
        recorder.Monitor,
        "RegisterResource",
        lambda self, request: (registered.append(request.type), original(self, request))[1],
    )
    try:
        file = stackfile.read("ordinary", path)
    except StackFileError:
        return
    with pytest.raises(pulumi.RunError) as caught:
        plan.make(file)
    assert str(caught.value) == expected(path)
    assert [type_ for type_ in registered if type_ != "pulumi:pulumi:Stack"] == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.split(".")[2])
def test_no_token_is_repeated(path: Path) -> None:
    """A report that repeats a token puts it into the log of every pull request."""
    assert not re.search(r"hf_[a-z]{20}|nvapi-[a-z]{20}", reported(path))


def test_the_ordinary_file_is_good() -> None:
    """Otherwise the fixtures, which differ from it by one thing each, would show something else."""
    assert reported(FOLDER / "ordinary.happy.yaml") == "no fault"


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stack)
def test_shipped_stack_is_good(file: StackFile) -> None:
    settings = Settings.parse(file.stack, file.config, frozenset(file.secret_keys))
    assert settings.graphs and settings.models


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stack)
def test_shipped_stack_satisfies_the_schema(file: StackFile) -> None:
    """An editor that underlines a shipped stack teaches people to ignore it."""
    lines = file.path.read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=./stack.schema.json"
    given_config = {key: value for key, value in file.config.items() if key in file.path.read_text()}
    jsonschema.Draft202012Validator(schema()).validate({"config": given_config})


def test_the_schema_finds_faults_too() -> None:
    """A schema that accepts anything would satisfy the test above."""
    validator = jsonschema.Draft202012Validator(schema())
    assert not validator.is_valid({"config": {"dynamo-eks:network": {"zonnes": 3}}})
    assert not validator.is_valid({"config": {"dynamo-eks:netwrok": {}}})
    assert not validator.is_valid({"config": {"dynamo-eks:huggingFaceToken": "hf_in_clear"}})


def test_schema_file_is_current() -> None:
    """`make schema` writes it; a stale one offers keys that fail."""
    assert FILE.read_text() == text()


def _patterns(part: object) -> set[str]:
    if isinstance(part, dict):
        own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
        return own.union(*(_patterns(item) for key, item in part.items() if key != "patternProperties"))
    if isinstance(part, list):
        return set().union(*map(_patterns, part))
    return set()


def test_every_pattern_has_words() -> None:
    """`text that matches ^cr-…` tells nobody what to type."""
    assert _patterns(schema()) - {"^(?!dynamo-eks:)[^:]+:"} <= set(faults.PATTERNS)


@pytest.mark.parametrize("name", ["Network", "Cluster", "Pool", "Reservation", "Graph", "Worker", "ModelSource"])
def test_unknown_key_is_refused_everywhere(name: str) -> None:
    """Pulumi and Helm both ignore unknown keys; here is the only place that does not."""
    assert getattr(models, name).model_config["extra"] == "forbid"


@settings(max_examples=25)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABC-_", min_size=1, max_size=20))
def test_any_unknown_section_is_told(name: str) -> None:
    known = set(schema()["properties"]["config"]["properties"])
    if f"dynamo-eks:{name}" in known:
        return
    config = {**stackfile.read("ordinary", FOLDER / "ordinary.happy.yaml").config, f"dynamo-eks:{name}": {}}
    with pytest.raises(SettingsError) as caught:
        Settings.parse("ordinary", config)
    assert [fault.full_key for fault in caught.value.faults] == [f"dynamo-eks:{name}"]


def test_all_faults_come_at_once() -> None:
    """One fault per run is one run per fault."""
    found = reported(FOLDER / "ordinary.error.many-at-once.yaml")
    assert found.startswith("stacks/Pulumi.ordinary.yaml has 5 faults")
