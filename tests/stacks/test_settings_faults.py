"""Every bad stack file beside this one gets exactly the report in its head, and nothing registers."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.spec import Model
from review import plan
from stacks import faults, schema_limits, stackfile
from stacks.settings import Settings, SettingsError, schema
from stacks.stackfile import StackFile, StackFileError
from tests.conftest import AT
from tools.schema import FILE, RULE_IDS, rule_ids, text

FOLDER = Path(__file__).parent / "settings"
BAD = sorted(FOLDER.glob("*.error.*.yaml"))
HAPPY = sorted(path.name.split(".")[0] for path in FOLDER.glob("*.happy.yaml"))
STACKS = [stackfile.read(name) for name in stackfile.available()]


def expected(path: Path) -> str:
    """The report that a fixture's leading comment holds."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def stack_of(path: Path) -> str:
    """A fixture's stack, the first part of its name: the happy file that it differs from."""
    return path.name.split(".")[0]


def what(path: Path) -> str:
    """A fixture's name in the test report; two stacks may have a fault of the same name."""
    stack, _, fault, _ = path.name.split(".")
    return f"{stack}-{fault}"


def reported(path: Path) -> str:
    try:
        file = stackfile.read(stack_of(path), path)
        Settings.parse(file.stack, file.config, frozenset(file.secret_keys), at=AT, source=file)
    except (SettingsError, StackFileError) as error:
        return str(error)
    return "no fault"


def rewrite(path: Path) -> None:
    """Put the report into a fixture's head (WRITE_FAULTS=1), again until the lines that it names are where it left them."""
    body = path.read_text().splitlines(keepends=True)
    while body and body[0].startswith("#"):
        body.pop(0)
    for _ in range(5):
        report = reported(path)
        head = "".join(f"# {line}".rstrip() + "\n" for line in report.split("\n"))
        path.write_text(head + "".join(body))
        if reported(path) == report:
            return
    raise AssertionError(f"{path.name} has no stable report")


def test_there_are_enough_of_them() -> None:
    """A glob that finds nothing would let every test below pass."""
    count = {stack: sum(stack_of(path) == stack for path in BAD) for stack in HAPPY}
    assert count["ordinary"] >= 60 and count["gb200"] >= 55
    assert sum(count.values()) == len(BAD)


@pytest.mark.parametrize("path", BAD, ids=what)
def test_report(path: Path) -> None:
    """An unclear message about a rack that starts tonight is read at night."""
    if os.environ.get("WRITE_FAULTS"):
        rewrite(path)
    assert reported(path) == expected(path)


def _one_of_each_section() -> list[Path]:
    """A bad file for each stack and section: what stops the program is the same for every fault in it."""
    found: dict[tuple[str, ...], Path] = {}
    for path in BAD:
        sections = set(re.findall(r"dynamo-eks:\w+", expected(path))) or {expected(path).split("\n")[0]}
        for section in sections:
            found.setdefault((stack_of(path), section), path)
    return sorted(set(found.values()))


@pytest.mark.parametrize("path", _one_of_each_section(), ids=what)
def test_nothing_registers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a stack made from a bad file is a VPC and a cluster that somebody has to find and remove."""
    from recording import recorder

    registered = []
    original = recorder.Monitor.RegisterResource
    monkeypatch.setattr(
        recorder.Monitor,
        "RegisterResource",
        lambda self, request: (registered.append(request.type), original(self, request))[1],
    )
    try:
        file = stackfile.read(stack_of(path), path)
    except StackFileError:
        return
    with pytest.raises(pulumi.RunError) as caught:
        plan.make(file, at=AT)
    assert str(caught.value) == expected(path)
    assert [type_ for type_ in registered if type_ != "pulumi:pulumi:Stack"] == []


@pytest.mark.parametrize("path", BAD, ids=what)
def test_no_token_is_repeated(path: Path) -> None:
    """A report that repeats a token puts it into the log of every pull request."""
    assert not re.search(r"hf_[a-z]{20}|nvapi-[a-z]{20}", reported(path))


@pytest.mark.parametrize("stack", HAPPY)
def test_the_happy_file_is_good(stack: str) -> None:
    """Otherwise the fixtures, which differ from it by one thing each, would show something else."""
    path = FOLDER / f"{stack}.happy.yaml"
    assert reported(path) == "no fault"
    made = plan.make(stackfile.read(stack, path), at=AT)
    assert [verdict for verdict in made.verdicts if verdict.verdict == "fail"] == []


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stack)
def test_shipped_stack_is_good(file: StackFile) -> None:
    settings = Settings.parse(file.stack, file.config, frozenset(file.secret_keys), at=AT)
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


def test_ids_of_rules_are_current() -> None:
    """`make schema` writes them; a rule that is not among them cannot be allowed, and one that is gone allows nothing."""
    assert RULE_IDS.read_text() == rule_ids()


def _patterns(part: object) -> set[str]:
    if isinstance(part, dict):
        own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
        return own.union(*(_patterns(item) for key, item in part.items() if key != "patternProperties"))
    if isinstance(part, list):
        return set().union(*map(_patterns, part))
    return set()


def test_every_pattern_has_words() -> None:
    """`text that matches ^cr-…` tells nobody what to type."""
    own = {schema_limits.CIDR, schema_limits.PRINCIPAL, schema_limits.NOTHING, "^(?!dynamo-eks:)[^:]+:"}
    assert {item for item in _patterns(schema()) if "<" not in item} - own <= set(faults.PATTERNS)


def test_unknown_key_is_refused_everywhere() -> None:
    """Pulumi and Helm both ignore unknown keys; here is the only place that does not."""
    every = Model.__subclasses__()
    assert {model.__name__ for model in every} >= {"Network", "Cluster", "Pool", "Reservation", "Graph", "Worker"}
    assert [
        model for model in every if model.model_config["extra"] != "forbid" or not model.model_config["frozen"]
    ] == []


@settings(max_examples=25, deadline=None)
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


# --- no edit of a rack's file ends in a traceback ----------------------------------------------------------------------

RACK = stackfile.read("gb200", FOLDER / "gb200.happy.yaml").config
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 100),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from([
        "", "x", "none", "perRole", "groveAuto", "tcp", "efa", "vllm", "sglang", "mocker", "rack-a", "rack-b", "1.36",
        "use1-az4", "usw2-az1", "u-p6e-gb200x36", "p5.48xlarge", "p6e-gb200.36xlarge", "10.96.0.0/20", "25.12.0",
        "2026-12-01T11:30:00Z", "2026-12-02T11:30:00Z", "2026-12-02T12:30:00+01:00", "nan",
    ]),
    st.just([]),
    st.just({}),
    st.just({"rack-a": {}}),
    st.just(["use1-az4"]),
)  # fmt: skip
"""Values that some key of the file takes, and others that none does."""

MORE: list[tuple[tuple[str, ...], Any]] = [
    (("capacity", "ultraServers", "rack-b"), {**RACK["dynamo-eks:capacity"]["ultraServers"]["rack-a"], "zone": "use1-iah2-az1"}),
    (("capacity", "ultraServers", "rack-b"), {"type": "u-p6e-gb200x36"}),
    (("capacity", "ultraServers", "rack-a", "drainMinutes"), 1440),
    (("capacity", "ultraServers", "rack-a", "instanceType"), "p6e-gb300.36xlarge"),
    (("capacity", "pools"), {"gpu": {"families": ["g6e"], "capacity": ["spot"]}}),
    (("gpu", "draDriver"), {"version": "25.12.0"}),
    (("gpu", "draDriver", "values"), {"controller": "none", "resources": []}),
    (("gpu", "operator", "values"), {"driver": True, "devicePlugin": None}),
    (("network", "existing"), {"vpcId": "vpc-0123456789abcdef0", "subnets": {}}),
    (("network", "nat"), "single"),
    (("cluster", "existing"), {"kubeconfig": "~/.kube/config", "context": "kind"}),
    (("cluster", "version"), "1.36"),
    (("graphs", "wide", "placement"), {"anyUltraServer": True}),
    (("graphs", "wide", "decode", "ultraServer"), "rack-b"),
    (("graphs", "wide", "preset"), "glm-5-efa"),
    (("graphs", "more"), {"preset": "deepseek-r1-wide-ep", "model": "r1", "placement": {"anyUltraServer": True}}),
    (("graphs", "more"), {"model": "r1", "backend": "vllm", "transport": "none", "worker": {"gpus": 3}}),
]  # fmt: skip
"""Edits that lead into the rules between keys, where random values seldom get."""


def _paths(part: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a file's values, sections first."""
    inside = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [path for key, value in inside for path in ((*above, key), *_paths(value, (*above, key)))]


SECTIONS = {key.removeprefix("dynamo-eks:"): value for key, value in RACK.items() if key.startswith("dynamo-eks:")}
REMOVED = object()


@st.composite
def edits(draw: st.DrawFn) -> tuple[tuple[Any, ...], Any]:
    """One edit: a place and what stands there instead; REMOVED takes the key away."""
    if draw(st.booleans()):
        return draw(st.sampled_from(MORE))
    path = draw(st.sampled_from(_paths(SECTIONS)))
    key = draw(st.sampled_from(["efa", "engine", "hugePagesMib", "replicas", "nodes", "gpus", "zone", "x", None]))
    return (*path[:-1], key) if key and isinstance(path[-1], str) else path, draw(st.one_of(st.just(REMOVED), ANYTHING))


def _edited(sections: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    """Carry out an edit, unless an earlier one took away what it is in."""
    part: Any = sections
    for key in path[:-1]:
        if isinstance(part, dict):
            part = part.setdefault(key, {})
        elif isinstance(part, list) and isinstance(key, int) and key < len(part):
            part = part[key]
        else:
            return
    if isinstance(part, list) and (not isinstance(path[-1], int) or path[-1] >= len(part)):
        return
    if not isinstance(part, (dict, list)):
        return
    if value is not REMOVED:
        part[path[-1]] = copy.deepcopy(value)
    elif isinstance(part, list) or path[-1] in part:
        del part[path[-1]]


@settings(max_examples=400, deadline=None)
@given(st.lists(edits(), min_size=1, max_size=4))
def test_no_edit_ends_in_a_traceback(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """A traceback instead of a report, the night the block starts, names a line of the program and no key of the file."""
    sections = copy.deepcopy(SECTIONS)
    for path, value in changes:
        _edited(sections, path, value)
    config = {"aws:region": "us-east-1", **{f"dynamo-eks:{name}": value for name, value in sections.items()}}
    try:
        Settings.parse("gb200", config, at=AT)
    except SettingsError as error:
        assert error.faults
        assert all(fault.expected and "Error" not in fault.expected for fault in error.faults)
