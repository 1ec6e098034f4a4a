"""What a change does, told from two recordings, against what the engine was seen to do (tests/engine/edits.py)."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording.aws_types import CARDS, UNTAGGED
from recording.graph import UNKNOWN, Graph, Node
from recording.recorder import record
from review.changes import Change, Changes, compare, differences
from review.edits import held, refused
from review.restarts import restarts
from rules.storage import STATEFUL
from stacks import stackfile
from tests.conftest import AT, STACKS, recorded
from tests.engine import test_blast_radius as blast
from tests.engine.edits import EDITS, Edit
from tests.engine.engine import Outcome, edited, shipped
from tests.engine.standin_aws import properties_of


@cache
def shipped_graph(stack: str) -> Graph:
    return record(stack, shipped(stack), at=AT)


def after(edit: Edit) -> Graph | None:
    """The stack with the edit; None where its settings refuse it."""
    try:
        return record(edit.stack, edited(shipped(edit.stack), edit.changes), at=AT)
    except pulumi.RunError:
        return None


def lines(changes: Changes) -> list[str]:
    return [f"{item.op} {item.node.type.rsplit(':', 1)[-1]} {item.node.name}" for item in changes]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.id)
def test_the_engine_would_do_the_same(edit: Edit) -> None:
    """An estimate that calls an update what the engine replaces costs a cluster, and one that cries wolf is switched off."""
    graph = after(edit)
    if graph is None:
        assert edit.refused is not None and edit.refused not in STATEFUL.values()
        return
    changes = compare(shipped_graph(edit.stack), graph)
    refused = {STATEFUL[item.node.type] for item in changes if item.refused and item.node.type in STATEFUL}
    assert bool(refused) == (edit.refused in STATEFUL.values())
    if edit.refused in STATEFUL.values():
        assert edit.refused in refused
        return
    found = [] if edit.refused is not None else lines(changes)
    assert [item for item in found if not any(fnmatchcase(item, one) for one in edit.expect)] == []
    assert [one for one in edit.expect if not any(fnmatchcase(item, one) for item in found)] == []


def page() -> dict[tuple[str, str], tuple[str, str]]:
    """What docs/what-changing-it-does.md says of each edit: the engine's own previews, and what restarts."""
    found = {}
    for line in blast.DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 4 and cells[0].startswith("`"):
            found[cells[0].strip("`"), cells[1]] = (cells[2], cells[3])
    return found


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit.refused is None], ids=lambda edit: edit.id)
def test_the_page_says_the_same(edit: Edit) -> None:
    """To the number of each kind, and in what restarts."""
    graph, old = after(edit), shipped_graph(edit.stack)
    assert graph is not None
    changes = compare(old, graph)
    seen = blast.Seen(
        edit,
        Outcome(),
        sorted(lines(changes), key=lambda line: line.split(" ", 1)[1]),
        restarts(changes.verdict, changes.differ, old, graph),
        refused(held(old), graph),
    )
    told, restarting = page()[edit.key, f"{edit.what} ({edit.stack})"]
    assert (_words(blast._engine(seen)), blast._after(seen)) == (_words(told), restarting)


def _words(told: str) -> dict[str, list[str]]:
    """By operation, without the order, which is by URN there."""
    parts = (part.partition(" ") for part in told.split("; "))
    return {op: sorted(rest.split(", ")) for op, _, rest in parts}


@pytest.mark.parametrize("stack", STACKS)
def test_what_was_not_changed_is_not_touched(stack: str) -> None:
    """A report that always says something is read by nobody."""
    graph = recorded(stack)
    assert list(compare(graph, graph)) == []
    again = record(stack, stackfile.read(stack).config, at=AT)
    assert list(compare(graph, again)) == []


OTHER = ("create", "delete"), ("update", "update"), ("replace", "replace"), ("delete", "create")


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.id)
def test_the_way_back(edit: Edit) -> None:
    """What comes one way goes the other; what is replaced one way is replaced the other."""
    graph, old = after(edit), shipped_graph(edit.stack)
    if graph is None:
        return
    there, back = compare(old, graph), compare(graph, old)
    turned = {key: dict(OTHER)[op] for key, op in there.verdict.items()}
    if "network.cidr" in edit.changes or "cluster.name" in edit.changes:
        assert turned.keys() == back.verdict.keys()
    else:
        assert turned == back.verdict


def test_what_is_tagged_by_default() -> None:
    assert {type_ for type_ in CARDS if "tagsAll" not in properties_of(type_)} == set(UNTAGGED)


# --- by hand -------------------------------------------------------------------------------------------------------------


def node(type_: str, name: str, order: int = 1, **more: Any) -> Node:
    return Node(order=order, type=type_, name=name, urn=f"urn:pulumi:s::p::{type_}::{name}", **more)


def every(before: Node | None, now: Node | None) -> list[Change]:
    """What happens to the only resource of a stack."""
    old, new = (Graph("s", [item] if item else [], at=AT) for item in (before, now))
    return list(compare(old, new))


def one(before: Node | None, now: Node | None) -> Change:
    return every(before, now)[0]


JOB = node("kubernetes:batch/v1:Job", "j", id="n/j", inputs={
    "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n"},
    "spec": {"backoffLimit": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]}}},
})  # fmt: skip


def job(**spec: Any) -> Node:
    return replace(JOB, inputs={**JOB.inputs, "spec": {**JOB.inputs["spec"], **spec}})


def test_a_fixed_field_replaces_and_is_named() -> None:
    template = {"spec": {"containers": [{"name": "b", "image": "y"}, {"name": "a", "image": "x:2"}]}}
    change = one(JOB, job(template=template))
    assert change.op == "replace" and change.deleted_first
    assert "spec.template.spec.containers[a].image" in change.causes
    assert ("x:1", "x:2") in [(item.before, item.after) for item in change.differences]
    change = one(JOB, job(backoffLimit=2))
    assert change.op == "update" and not change.causes and change.differences[0].path == "spec.backoffLimit"


def test_what_is_not_known_is_no_difference() -> None:
    assert every(JOB, job(backoffLimit=UNKNOWN)) == []


def test_a_trigger_a_provider_and_a_companion_replace() -> None:
    assert one(replace(JOB, replacement_trigger="a"), replace(JOB, replacement_trigger="b")).causes == (
        "identity a -> b",
    )
    assert one(JOB, replace(JOB, provider="pulumi:providers:kubernetes::k")).op == "replace"
    claim = node("kubernetes:core/v1:PersistentVolumeClaim", "c", id="n/c", inputs={
        "metadata": {"name": "c", "namespace": "n"}, "spec": {"storageClassName": "a"}
    })  # fmt: skip
    other = replace(claim, inputs={**claim.inputs, "spec": {"storageClassName": "b"}})
    follows = replace(JOB, order=2, replace_with=(claim.key,))
    changes = compare(Graph("s", [claim, follows], at=AT), Graph("s", [other, follows], at=AT))
    assert changes.verdict == {claim.key: "replace", JOB.key: "replace"}
    assert changes.by_key[JOB.key].causes == ("with PersistentVolumeClaim c",)


def test_options_of_a_change() -> None:
    assert every(JOB, replace(job(backoffLimit=2), ignore_changes=("spec.backoffLimit",))) == []
    assert one(JOB, replace(job(backoffLimit=2), replace_on_changes=("spec",))).op == "replace"
    gone = one(replace(JOB, protect=True), None)
    assert gone.op == "delete" and gone.refused and not gone.kept
    assert one(replace(JOB, retain_on_delete=True), None).kept
    renamed = replace(JOB, name="k", aliases=("j",))
    assert every(JOB, renamed) == []
    assert every(JOB, replace(renamed, aliases=("urn:pulumi:s::p::dynamo-eks:X$kubernetes:batch/v1:Job::j",))) == []
    assert [item.op for item in compare(Graph("s", [JOB], at=AT), Graph("s", [replace(JOB, name="k")], at=AT))] == [
        "create",
        "delete",
    ]


def test_protected_only_where_both_sides_say_so() -> None:
    """Letting go and replacing in one operation is let pass by the engine."""
    other = job(template={"spec": {}})
    assert one(replace(JOB, protect=True), replace(other, protect=True)).refused
    assert not one(replace(JOB, protect=True), other).refused


def test_ids_that_nobody_will_see_are_told_as_whose_they_are() -> None:
    graph = after(next(edit for edit in EDITS if edit.id == "g6e-dev-network.nat-one-in-each-zone"))
    assert graph is not None
    changes = compare(shipped_graph("g6e-dev"), graph)
    route = next(item for item in changes if item.op == "update")
    assert [item.path for item in route.differences] == ["natGatewayId"]
    assert str(route.differences[0].after).startswith("<of NatGateway network-nat-")


def test_a_policy_that_is_only_spaced_differently_is_the_same() -> None:
    assert list(differences({"policy": '{"a": 1}'}, {"policy": '{"a":1}'})) == []
    assert list(differences({"policy": '{"a": 1}'}, {"policy": '{"a":2}'})) == [("policy.a", 1, 2)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_differences_of_anything(left: Any, right: Any) -> None:
    assert list(differences(left, left)) == []
    there, back = (list(differences(*pair)) for pair in ((left, right), (right, left)))
    assert sorted((path, str(one), str(other)) for path, one, other in there) == sorted(
        (path, str(one), str(other)) for path, other, one in back
    )
