"""The strict check on a kind that has one field of each sort: what it takes, and every word of what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recording.graph import SECRET, UNKNOWN
from schemas.strict import Fault, Shapes
from tools.shapes.__main__ import file_name, index_of, text_of
from tools.shapes.read import of_file

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
EMBEDDED = {"type": "object", "properties": {"depth": WHOLE}}
FIELDS: dict[str, Any] = {
    "size": {**WHOLE, "minimum": 1, "maximum": 9},
    "floor": {"type": "number", "minimum": 0.5},
    "ceiling": {**WHOLE, "maximum": 3},
    "code": {**TEXT, "minLength": 2, "maxLength": 4},
    "word": {**TEXT, "minLength": 1},
    "short": {**TEXT, "maxLength": 3},
    "mode": {**TEXT, "enum": ["fast", "slow"]},
    "level": {**WHOLE, "enum": [1, 2]},
    "on": {"type": "boolean"},
    "share": {"x-kubernetes-int-or-string": True},
    "amount": {"oneOf": [TEXT, {"type": "number"}]},
    "colon": {**TEXT, "pattern": "^a+:"},
    "price": {**TEXT, "pattern": r"^cost\$"},
    "tail": {**TEXT, "pattern": "^b+$"},
    "digits": {**TEXT, "pattern": r"^\d+$"},
    "labels": {"type": "object", "additionalProperties": TEXT},
    "mixed": {"type": "object", "properties": {"depth": WHOLE}, "additionalProperties": TEXT},
    "open": {**EMBEDDED, "x-kubernetes-preserve-unknown-fields": True},
    "closed": {**EMBEDDED, "required": ["depth", "width"]},
    "few": {"type": "object", "additionalProperties": WHOLE, "minProperties": 1, "maxProperties": 2},
    "some": {"type": "object", "additionalProperties": WHOLE, "minProperties": 1},
    "most": {"type": "object", "additionalProperties": WHOLE, "maxProperties": 1},
    "list": {"type": "array", "items": WHOLE, "minItems": 1, "maxItems": 2},
    "atLeast": {"type": "array", "items": WHOLE, "minItems": 1},
    "atMost": {"type": "array", "items": WHOLE, "maxItems": 1},
    "any": {"type": "array", "items": {}},
    "set": {"type": "array", "items": {}, "x-kubernetes-list-type": "set"},
    "named": {
        "type": "array", "items": {"type": "object", "properties": {"name": TEXT, "size": WHOLE}},
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    },
    "ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "side"],
        "items": {"type": "object", "properties": {"port": WHOLE, "side": {**TEXT, "default": "left"}}, "default": {}},
    },
    "maybe": {**TEXT, "nullable": True},
}  # fmt: skip


def table(fields: dict[str, Any], folder: Path, name: str = "things", version: str = "1.0.0", kind: str = "Thing") -> dict[str, Any]:  # fmt: skip
    """The table of a CRD whose spec has these fields."""
    root = {"type": "object", "required": ["metadata", "spec"], "properties": {
        "metadata": {"type": "object"}, "spec": {"type": "object", "properties": fields},
    }}  # fmt: skip
    versions = [{"name": "v1", "served": True, "schema": {"openAPIV3Schema": root}}]
    crd = {"kind": "CustomResourceDefinition", "spec": {"group": "example.com", "names": {"kind": kind}, "versions": versions}}  # fmt: skip
    (folder / "crd.json").write_text(json.dumps(crd))
    return {**of_file(folder / "crd.json").table(), "source": name, "version": version}


def write(folder: Path, *tables: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for each in tables:
        (folder / file_name(each)).write_text(text_of(each))
    (folder / "index.json").write_text(json.dumps(index_of(tables)))
    return folder


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    folder = tmp_path_factory.mktemp("things")
    return Shapes.load(write(folder, table(FIELDS, folder)))


def thing(kind: str = "Thing", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def told(shapes: Shapes, field: str, value: Any) -> list[str]:
    return [str(fault).removeprefix("spec.") for fault in shapes.check(thing(**{field: value}), {}).faults]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("size", [1, 9]), ("floor", [0.5, 1, 10**6]), ("ceiling", [3, -5, 0]), ("level", [1, 2]), ("on", [True, False]),
        ("code", ["ab", "abcd"]), ("word", ["a", "a" * 99]), ("short", ["", "abc"]), ("mode", ["fast", "slow"]),
        ("share", [1, "50%"]), ("amount", [1, 1.5, "1.5Gi"]), ("colon", ["a:", "aa:b"]), ("price", ["cost$", "cost$5"]),
        ("tail", ["b", "bb"]), ("digits", ["0", "42"]), ("labels", [{}, {"a": "b"}]), ("mixed", [{"depth": 1, "other": "text"}]),
        ("open", [{"depth": 1, "other": []}]), ("closed", [{"depth": 1, "width": UNKNOWN}][:0]),
        ("few", [{"a": 1}, {"a": 1, "b": 2}]), ("some", [{"a": 1}, dict.fromkeys("abcdef", 1)]), ("most", [{}, {"a": 1}]),
        ("list", [[1], [1, 2]]), ("atLeast", [[1], [1] * 9]), ("atMost", [[], [1]]), ("any", [[], [1, "a", None, {}]]),
        ("set", [["a", "b"], [1, 2, 1.5], [{}, {}], [UNKNOWN, UNKNOWN], [SECRET, SECRET]]),
        ("named", [[{"name": "a"}, {"name": "b"}], [{"size": 1}, {"size": 1}]]),
        ("named", [[{"name": UNKNOWN}, {"name": UNKNOWN}], [{"name": SECRET}, {"name": SECRET}]]),
        ("ports", [[{"port": 1}, {"port": 1, "side": "right"}], [{"port": UNKNOWN}] * 2, [{"port": 1, "side": SECRET}] * 2]),
        ("maybe", [None, "a"]), ("size", [UNKNOWN, SECRET]), ("named", [UNKNOWN]), ("closed", [SECRET]),
    ],
)  # fmt: skip
def test_what_fits_is_taken(things: Shapes, field: str, values: list[Any]) -> None:
    """A plan that fails over an object which the API server takes keeps a paid rack idle."""
    for value in values:
        assert told(things, field, value) == [], value


@pytest.mark.parametrize(
    ("field", "value", "faults"),
    [
        # types
        ("size", 1.5, ["size: is 1.5; a whole number is expected"]),
        ("size", [], ["size: is a list; a whole number is expected"]),
        ("size", None, ["size: is nothing; a whole number is expected"]),
        ("floor", True, ["floor: is True; a number is expected"]),
        ("word", 7, ["word: is 7; text is expected"]),
        ("word", {}, ["word: is a mapping; text is expected"]),
        ("on", "yes", ["on: is 'yes'; true or false is expected"]),
        ("on", 1, ["on: is 1; true or false is expected"]),
        ("share", 1.5, ["share: is 1.5; a number or text is expected"]),
        ("share", True, ["share: is True; a number or text is expected"]),
        ("amount", True, ["amount: is True; a quantity is expected"]),
        ("list", {}, ["list: is a mapping; a list is expected"]),
        ("list", ["a"], ["list[0]: is 'a'; a whole number is expected"]),
        ("list", [1, "a"], ["list[1]: is 'a'; a whole number is expected"]),
        ("closed", "text", ["closed: is 'text'; a mapping is expected"]),
        ("labels", {"a": 1, "b": 2}, ["labels.a: is 1; text is expected", "labels.b: is 2; text is expected"]),
        # names
        ("widht", 1, ["widht: there is no such field"]),
        ("szie", 1, ["szie: there is no such field; nearest: size"]),
        ("mixed", {"depth": "deep", "other": 1}, ["mixed.depth: is 'deep'; a whole number is expected", "mixed.other: is 1; text is expected"]),
        ("open", {"depth": "deep", "other": 1}, ["open.depth: is 'deep'; a whole number is expected"]),
        ("closed", {"depht": 1}, [
            "closed.depht: there is no such field; nearest: depth", "closed.depth: is required and missing",
            "closed.width: is required and missing",
        ]),
        # bounds
        ("size", 0, ["size: is 0; at least 1 and at most 9 expected"]),
        ("size", 10, ["size: is 10; at least 1 and at most 9 expected"]),
        ("floor", 0.4, ["floor: is 0.4; at least 0.5 expected"]),
        ("ceiling", 4, ["ceiling: is 4; at most 3 expected"]),
        ("code", "a", ["code: has 1 characters; at least 2 and at most 4 expected"]),
        ("code", "abcde", ["code: has 5 characters; at least 2 and at most 4 expected"]),
        ("word", "", ["word: has 0 characters; at least 1 expected"]),
        ("short", "abcd", ["short: has 4 characters; at most 3 expected"]),
        ("few", {}, ["few: has 0 entries; at least 1 and at most 2 expected"]),
        ("few", {"a": 1, "b": 2, "c": 3}, ["few: has 3 entries; at least 1 and at most 2 expected"]),
        ("some", {}, ["some: has 0 entries; at least 1 expected"]),
        ("most", {"a": 1, "b": 2}, ["most: has 2 entries; at most 1 expected"]),
        ("list", [], ["list: has 0 entries; at least 1 and at most 2 expected"]),
        ("list", [1, 2, 3], ["list: has 3 entries; at least 1 and at most 2 expected"]),
        ("atLeast", [], ["atLeast: has 0 entries; at least 1 expected"]),
        ("atMost", [1, 2], ["atMost: has 2 entries; at most 1 expected"]),
        # choices and forms
        ("mode", "fsat", ["mode: is 'fsat'; one of fast, slow is expected; nearest: fast"]),
        ("mode", "other", ["mode: is 'other'; one of fast, slow is expected"]),
        ("level", 3, ["level: is 3; one of 1, 2 is expected"]),
        ("level", 11, ["level: is 11; one of 1, 2 is expected; nearest: 1"]),
        ("colon", "b:", ["colon: is 'b:'; text of the form ^a+: is expected"]),
        ("price", "cost", [r"price: is 'cost'; text of the form ^cost\$ is expected"]),
        ("tail", "bb\n", [r"tail: is 'bb\n'; text of the form ^b+$ is expected"]),
        ("digits", "٢", [r"digits: is '٢'; text of the form ^\d+$ is expected"]),
        ("tail", "c" * 60, [f"tail: is '{'c' * 60}'; text of the form ^b+$ is expected"]),
        ("tail", "c" * 61, [f"tail: is '{'c' * 57}…'; text of the form ^b+$ is expected"]),
        ("amount", "1 Gi", [r"amount: is '1 Gi'; text of the form ^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$ is expected"]),
        # entries that are there twice
        ("set", ["a", "b", "a"], ["set[2]: has the value of entry 0; each may be there once"]),
        ("set", [UNKNOWN, {}, 1.5, 1.5, 2, 2, "a"], [
            "set[3]: has the value of entry 2; each may be there once", "set[5]: has the value of entry 4; each may be there once",
        ]),
        ("named", [{"name": "a"}, {"name": UNKNOWN}, {"size": 1}, {"name": "b"}, {"name": "b"}, {"name": "a"}], [
            "named[4]: has the name of entry 3; each may be there once", "named[5]: has the name of entry 0; each may be there once",
        ]),
        ("named", [None, {"name": "a"}], ["named[0]: is nothing; a mapping is expected"]),
        ("named", ["a", "a"], ["named[0]: is 'a'; a mapping is expected", "named[1]: is 'a'; a mapping is expected"]),
        ("ports", [{"port": 1, "side": "left"}, None, {"port": 1}, {"port": 2}], [
            "ports[1]: is nothing; a mapping is expected", "ports[2]: has the port and side of entry 0; each may be there once",
        ]),
        ("ports", [{"port": 1, "side": UNKNOWN}, {"port": 1, "side": UNKNOWN}, {"port": []}, {"port": []}], [
            "ports[2].port: is a list; a whole number is expected", "ports[3].port: is a list; a whole number is expected",
        ]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(things: Shapes, field: str, value: Any, faults: list[str]) -> None:
    """Whoever mends the file has this line alone: where it is, what there is, what may be there instead."""
    assert told(things, field, value) == faults


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_whole_numbers_have_64_bits(things: Shapes, number: int) -> None:
    """The API server refuses the next one, which a spec gets by a slip in a unit."""
    beyond = number + (1 if number > 0 else -1)
    assert [fault for fault in told(things, "size", number) if "whole number" in fault] == []
    assert told(things, "size", beyond) == [f"size: is {beyond}; a whole number is expected"]


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, []),
        ({"spce": 1}, ["spce: there is no such field; nearest: spec"]),
        ({"spec": None}, ["spec: is nothing; a mapping is expected"]),
        ({"metadata": None}, []),
        ({"metadata": {"nmae": "a"}}, []),
    ],
)
def test_the_object_itself(things: Shapes, change: dict[str, Any], faults: list[str]) -> None:
    """A part on the wrong level is dropped like any misspelt field. Without a table of built-in kinds nothing is said of
    metadata beyond the syntax of its marks."""
    assert [str(fault) for fault in things.check({**thing(), **change}, {}).faults] == faults


def test_a_part_that_is_missing(things: Shapes) -> None:
    assert things.check({"apiVersion": "example.com/v1", "kind": "Thing"}, {}).faults == (
        Fault("required", "spec", "is required and missing"),
    )


def test_a_verdict_says_what_was_checked_against(things: Shapes) -> None:
    """A pass against another version's table is worth less, and whoever reads it must see that."""
    good, bad = things.check(thing(), {"things": "1.0.0"}), things.check(thing(size=0), {"things": "1.0.1"})
    assert (good.state, good.faults, good.table, good.note) == ("ok", (), "things 1.0.0", "")
    assert (bad.state, bad.table) == ("faults", "things 1.0.0")
    assert [(fault.kind, fault.path) for fault in bad.faults] == [("bounds", "spec.size")]
    assert bad.note == (
        "things 1.0.1 has no table of its own and is checked against 1.0.0. No difference is known, none was looked for"
    )


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("szie", 1, "unknown"), ("size", "a", "type"), ("closed", {}, "required"), ("mode", "other", "enum"),
        ("size", 0, "bounds"), ("tail", "c", "pattern"), ("set", [1, 1], "duplicate"), ("ports", [None], "type"),
    ],
)  # fmt: skip
def test_a_fault_says_its_kind(things: Shapes, field: str, value: Any, kind: str) -> None:
    """The comparison with the real API server goes by it."""
    assert {fault.kind for fault in things.check(thing(**{field: value}), {}).faults} == {kind}


@pytest.mark.parametrize(
    ("obj", "asked"),
    [({"apiVersion": "a.com/v1", "kind": "B"}, "a.com/v1/B"), ({"kind": "B"}, "/B"), ({"apiVersion": "v1"}, "v1/"), ({}, "/")],
)  # fmt: skip
def test_a_kind_without_a_table(things: Shapes, obj: dict[str, Any], asked: str) -> None:
    """Not checked is no pass, and the note says how to change it."""
    verdict = things.check(obj, {})
    assert (verdict.state, verdict.faults, verdict.table) == ("not checked", (), "")
    assert verdict.note == f"no table has {asked}; add one with `make shapes FROM=<CRD file, chart or cluster>`"
    assert things.note_for(asked, {}) == ""


def test_a_chart_without_a_table(things: Shapes) -> None:
    verdict = things.check_values("redis", "1.0.0", {})
    assert (verdict.state, verdict.faults, verdict.table) == ("not checked", (), "")
    assert verdict.note == "no table has the values of chart redis; add one with `make shapes FROM=<chart>`"
    assert things.note_for_chart("redis", "1.0.0") == ""


# --- labels and annotations --------------------------------------------------------------------------------------------

NO_KEY = "is no key: `name` or `domain/name` is expected"
NO_VALUE = "at most 63 letters, digits, `-`, `_` and `.` are expected, with a letter or digit at each end"
DOMAIN = ".".join(["a" * 63] * 4)[:253]


@pytest.mark.parametrize(
    ("metadata", "faults"),
    [
        ({"labels": {f"{DOMAIN}/a": "a" * 63, "b": UNKNOWN, "c": SECRET, "d": ""}}, []),
        ({"labels": {f"{DOMAIN}a/a": ""}}, [f"metadata.labels.{DOMAIN}a/a: {NO_KEY}"]),
        ({"labels": {"a": "b" * 64}}, [f"metadata.labels.a: is '{'b' * 57}…'; {NO_VALUE}"]),
        ({"labels": {"a ": "b ", "c": "d ", "e": "f-"}}, [
            f"metadata.labels.a : {NO_KEY}", f"metadata.labels.c: is 'd '; {NO_VALUE}", f"metadata.labels.e: is 'f-'; {NO_VALUE}",
        ]),
        ({"annotations": {"A.com/B": "any text", "a ": "", "b ": ""}}, [f"metadata.annotations.a : {NO_KEY}", f"metadata.annotations.b : {NO_KEY}"]),
        ({"labels": {"A.com/B": ""}, "annotations": {"a ": ""}}, [f"metadata.labels.A.com/B: {NO_KEY}", f"metadata.annotations.a : {NO_KEY}"]),
        ({"labels": {"a": 1}}, []),
        ({"labels": UNKNOWN, "annotations": None}, []),
        ("text", []),
    ],
)  # fmt: skip
def test_marks_have_the_syntax_of_kubernetes(things: Shapes, metadata: Any, faults: list[str]) -> None:
    """No schema has it, and the API server refuses the object halfway through `up`."""
    found = things.check({**thing(), "metadata": metadata}, {}).faults
    assert [str(fault) for fault in found] == faults and {fault.kind for fault in found} <= {"pattern"}


def test_metadata_follows_the_clusters_version() -> None:
    """Every kind's metadata has what the built-in kinds have, at the version that runs."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": 1, "labels": {"a": 1}, "lables": {}}}
    pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": namespace["metadata"]}
    for obj in (namespace, pool):
        found = [str(fault) for fault in Shapes.load().check(obj, {"kubernetes": "1.34"}).faults]
        assert [fault for fault in found if fault.startswith("metadata")] == [
            "metadata.name: is 1; text is expected",
            "metadata.labels.a: is 1; text is expected",
            "metadata.lables: there is no such field; nearest: labels",
        ]
    listed = {**namespace, "metadata": []}
    assert Shapes.load().check(listed, {"kubernetes": "1.34"}).faults == ()
    assert [str(fault) for fault in Shapes.load().check({**namespace, "metadata": "a"}, {}).faults] == [
        "metadata: is 'a'; a mapping is expected"
    ]


def test_a_chart_value_may_be_set_to_nothing() -> None:
    """It takes the chart's default away, which is how a limit is lifted."""
    given = {"dynamo-operator": {"upgradeCRD": None, "discoveryBackend": None}}
    verdict = Shapes.load().check_values("dynamo-platform", "1.5.0", given)
    assert (verdict.state, verdict.faults, verdict.table) == ("ok", (), "dynamo-platform 1.5.0-main-2a6da14c")


# --- which table -------------------------------------------------------------------------------------------------------

RELEASES = ["0.9.0-rc1", "0.9.0", "1.2.0", "1.2.3", "1.3.0", "1.9.0-dev"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    """A kind that two projects bring, each with its releases."""
    folder = tmp_path_factory.mktemp("releases")
    made = [table({}, folder, name, version) for name in ("old", "new") for version in RELEASES]
    chart = table({}, folder, "chart", "2.0.0", kind="Other")
    write(folder, *made, {**chart, "values": chart["kinds"]["example.com/v1/Other"]})
    known = {
        "old": {"": ["it ended", "new goes on"]},
        "new": {"1.2.4": ["a field more", "a kind less"]},
        "chart": {"2.1.0": ["a value more"]},
    }
    (folder / "differences.json").write_text(json.dumps(known))
    return Shapes.load(folder)


@pytest.fixture
def releases(stored: Shapes) -> Shapes:
    """Without what it remembers of tables chosen before."""
    return Shapes(stored.indexes, stored.differences)


@pytest.mark.parametrize(
    ("running", "chosen"),
    [
        ({"new": "1.2.0"}, "new 1.2.0"),
        ({"new": "v1.2.3"}, "new 1.2.3"),
        ({"new": "1.9.0-dev"}, "new 1.9.0-dev"),
        ({"new": "1.2.4"}, "new 1.2.3"),
        ({"new": "1.2.1"}, "new 1.2.0"),
        ({"new": "1.2"}, "new 1.2.0"),
        ({"new": "1"}, "new 1.2.0"),
        ({"new": "1.4.2"}, "new 1.3.0"),
        ({"new": "0.9.0"}, "new 0.9.0"),
        ({"new": "v0.9.0"}, "new 0.9.0"),
        ({"new": "0.9.0-rc1"}, "new 0.9.0-rc1"),
        ({"new": "0.8.0"}, "new 0.9.0-rc1"),
        ({"new": ""}, "new 0.9.0-rc1"),
        ({"new": "3.0.0"}, "new 1.9.0-dev"),
        ({"kubernetes": "1.35", "old": "1.2.0"}, "old 1.2.0"),
        ({"new": "1.3.0", "old": "1.2.0"}, "new 1.3.0"),
        ({"old": "1.2.0", "new": "1.3.0"}, "old 1.2.0"),
        ({"old": "5.0.0", "new": "1.3.0"}, "old 1.9.0-dev"),
        # Nobody said what runs: the newest release, and no development line.
        ({}, "old 1.3.0"),
        ({"kubernetes": "1.35"}, "old 1.3.0"),
    ],
)
def test_the_nearest_table_is_taken(releases: Shapes, running: dict[str, str], chosen: str) -> None:
    """A field that came with a later release is dropped by an earlier one."""
    assert releases.check(thing(), running).table == chosen


def test_without_a_version_the_newest_release_counts(tmp_path: Path) -> None:
    """Each of the three numbers, and as numbers: 1.10 is later than 1.9."""
    for older, newer in (("1.9.9", "2.0.0"), ("1.9.0", "1.10.0"), ("1.1.9", "1.1.10"), ("3", "3.0.1"), ("3", "3.1")):
        for order in ((older, newer), (newer, older)):
            folder = tmp_path / "-".join(order)
            folder.mkdir()
            write(folder, *(table({}, folder, version=version) for version in order))
            assert Shapes.load(folder).check(thing(), {}).table == f"things {newer}"


@pytest.mark.parametrize(
    ("running", "note"),
    [
        ({"new": "1.2.3"}, ""),
        ({"new": "v1.2.3"}, ""),
        ({"new": "1.2.4"}, "new 1.2.4 has no table of its own and is checked against 1.2.3. Known differences: a field more; a kind less"),
        ({"new": "v9.0.0"}, "new v9.0.0 has no table of its own and is checked against 1.9.0-dev. No difference is known, none was looked for"),
        ({}, "old: checked against 1.3.0. it ended; new goes on"),
    ],
)  # fmt: skip
def test_another_table_is_told(releases: Shapes, running: dict[str, str], note: str) -> None:
    """Whoever reads the verdict must know what it is worth."""
    assert releases.check(thing(), running).note == releases.note_for("example.com/v1/Thing", running) == note


@pytest.mark.parametrize(
    ("version", "note"),
    [
        ("2.0.0", ""),
        ("2.1.0", "chart 2.1.0 has no table of its own and is checked against 2.0.0. Known differences: a value more"),
    ],
)
def test_another_charts_table_is_told(releases: Shapes, version: str, note: str) -> None:
    verdict = releases.check_values("chart", version, {"metadata": {}, "spec": {}})
    assert (verdict.state, verdict.table, verdict.note) == ("ok", "chart 2.0.0", note)
    assert releases.note_for_chart("chart", version) == note
    wrong = releases.check_values("chart", version, {"metadata": [], "spec": {}})
    assert (wrong.state, [str(fault) for fault in wrong.faults]) == (
        "faults",
        ["metadata: is a list; a mapping is expected"],
    )
    assert wrong.note == note


def test_nothing_is_told_of_a_version_nobody_knows_of(things: Shapes) -> None:
    fresh = Shapes(things.indexes, {})
    assert fresh.check(thing(), {}).note == fresh.note_for("example.com/v1/Thing", {}) == ""


def test_an_added_table_hides_only_its_own_kinds(tmp_path: Path) -> None:
    """One CRD of a project that was added must not take the project's others away, under whatever name it comes."""
    own = table({"size": WHOLE}, tmp_path)
    other = table({"size": TEXT}, tmp_path, kind="Other")
    both = {**own, "kinds": {**own["kinds"], "example.com/v1/Other": own["kinds"]["example.com/v1/Thing"]}}
    write(tmp_path, both)
    write(tmp_path / "added", other)
    shapes = Shapes.load(tmp_path)
    assert shapes.check(thing("Other", size="a"), {}).state == "ok"
    assert shapes.check(thing("Thing", size=1), {}).state == "ok"
    assert (
        shapes.check(thing("Thing", size="a"), {}).state == shapes.check(thing("Other", size=1), {}).state == "faults"
    )


def test_no_tables_at_all(tmp_path: Path) -> None:
    assert Shapes.load(tmp_path).check(thing(), {}).state == "not checked"


def test_what_is_found_reads_as_a_line() -> None:
    assert str(Fault("type", "a.b", "is 1")) == "a.b: is 1"
    assert str(Fault("unknown", "a.b", "is not there", "nearest: c")) == "a.b: is not there; nearest: c"
