"""What is read out of an exported state, and how it is mended."""

from __future__ import annotations

import copy

import pytest

from operations.state import UNREAD, Adopted, State
from tests.operations.documents import AWS, EKS, NAT, ROOT, SUBNET, VPC, document, entry, urn

VPC_ENTRY = entry(VPC, "network-vpc", "vpc-1", inputs={"cidrBlock": "10.0.0.0/16"})
HALF = entry(SUBNET, "a", inputs={"vpcId": "vpc-1"}, dependencies=[urn(VPC, "network-vpc")], protect=True)


def test_an_empty_stack_is_an_empty_state() -> None:
    """A stack that was only initialised has no deployment at all; a crash here would keep its first `up` from starting."""
    state = State({"version": 3, "deployment": {}})
    assert (state.resources, state.pending, state.creating, state.protected, dict(state.outputs)) == (
        [],
        [],
        [],
        [],
        {},
    )
    assert State({}).resources == []


def test_only_creations_need_a_decision() -> None:
    """An interrupted update or deletion is done again by the next operation; asking about it would keep people up at night
    for nothing. A read has done nothing."""
    state = State(
        document(
            VPC_ENTRY,
            pending=[
                ("creating", HALF),
                ("updating", VPC_ENTRY),
                ("deleting", entry(NAT, "gone", "nat-1")),
                ("reading", HALF),
            ],
        )
    )
    assert [item.resource.name for item in state.creating] == ["a"]
    # The deletion that the state knows nothing of any more has nothing to be read.
    assert [item.resource.name for item in state.interrupted] == ["network-vpc"]


def test_taken_in_as_the_program_gave_it() -> None:
    """Without its parent, options and dependencies the next `up` would replace it, and a destroy take it out of order."""
    before = document(VPC_ENTRY, pending=[("creating", HALF)])
    untouched = copy.deepcopy(before)
    after = State(before).mended({HALF["urn"]: Adopted("subnet-1", {"extra": 1})}, set())
    assert before == untouched
    made = after["deployment"]["resources"][-1]
    assert made == {**HALF, "id": "subnet-1", "outputs": {"vpcId": "vpc-1", "extra": 1}, "initErrors": [UNREAD]}
    assert after["deployment"]["pending_operations"] == []
    assert [item.name for item in State(after).unread] == ["a"]


def test_forgotten_and_left() -> None:
    """What nobody decided stays: an entry dropped without a decision is an orphan that is billed."""
    other = entry(NAT, "n", inputs={})
    after = State(document(VPC_ENTRY, pending=[("creating", HALF), ("creating", other)])).mended({}, {HALF["urn"]})
    assert [item.resource.name for item in State(after).creating] == ["n"]
    assert [item.name for item in State(after).resources] == ["aws", "network-vpc"]


def test_a_replacement_takes_the_old_ones_place() -> None:
    """Two living entries of one URN are a state that the engine refuses; an old one that is dropped is never deleted."""
    old = entry(SUBNET, "a", "subnet-0", inputs={"vpcId": "vpc-1"})
    user = entry(NAT, "n", "nat-1", dependencies=[old["urn"]])
    state = State(document(VPC_ENTRY, old, user, pending=[("creating", HALF)]))
    after = State(state.mended({HALF["urn"]: Adopted("subnet-1")}, set()))
    assert [(item.name, item.id, item.replaced) for item in after.resources] == [
        ("aws", "a", False),
        ("network-vpc", "vpc-1", False),
        ("a", "subnet-1", False),
        ("n", "nat-1", False),
        ("a", "subnet-0", True),
    ]


def test_a_replacement_whose_old_one_is_gone() -> None:
    old = entry(SUBNET, "a", "subnet-0", pendingReplacement=True)
    after = State(
        State(document(VPC_ENTRY, old, pending=[("creating", HALF)])).mended({HALF["urn"]: Adopted("subnet-1")}, set())
    )
    assert [item.id for item in after.resources] == ["a", "vpc-1", "subnet-1"]


def test_a_replacement_stands_behind_what_it_requires() -> None:
    """A state in which something stands before what it depends on is refused, with the recovery half done."""
    old = entry(SUBNET, "a", "subnet-0")
    after = State(
        State(document(old, VPC_ENTRY, pending=[("creating", HALF)])).mended({HALF["urn"]: Adopted("subnet-1")}, set())
    )
    assert [item.id for item in after.resources] == ["a", "vpc-1", "subnet-1", "subnet-0"]


def test_what_stays_with_the_protected() -> None:
    """People are told why a subnet is still there; without the reason they delete it by hand, under the cluster."""
    subnet = entry(SUBNET, "a", "subnet-1", dependencies=[VPC_ENTRY["urn"]])
    cluster = entry(EKS, "main", "demo", protect=True, propertyDependencies={"vpcConfig": [subnet["urn"]]})
    loose = entry(NAT, "n", "nat-1")
    kept = State(document(VPC_ENTRY, subnet, cluster, loose)).kept_with_protected()
    assert kept == {cluster["urn"]: [], subnet["urn"]: ["main"], VPC_ENTRY["urn"]: ["main"], AWS: ["main"]}


@pytest.mark.parametrize("type_", [VPC, SUBNET])
def test_ids_known_by_type(type_: str) -> None:
    state = State(document(VPC_ENTRY, entry(SUBNET, "a", "subnet-0", delete=True)))
    assert state.ids(type_) == {{VPC: "vpc-1", SUBNET: "subnet-0"}[type_]}
    assert state.outputs == {"region": "us-east-1"} and ROOT not in {item.urn for item in state.resources}


@pytest.mark.parametrize("type_", ["pulumi:providers:aws", "kubernetes:yaml/v2:ConfigFile"])
def test_what_cannot_be_read_is_not_waited_for(type_: str) -> None:
    """Nothing reads a provider or a component, so a mark on it would stay, and every recovery would end with "cut off before it
    had read"."""
    cut = entry(type_, "aws", "a", custom=type_.startswith("pulumi:"))
    held = [] if type_.startswith("pulumi:") else [cut]
    state = State(document(*held, entry(VPC, "network-vpc", "vpc-1"), pending=[("deleting", cut)]))
    assert state.interrupted == []
    assert State(state.mended({}, set())).unread == []
