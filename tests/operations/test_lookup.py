"""How an interrupted creation is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from operations.lookup import CannotTell, Decision, Everywhere, Verdict, decide
from operations.recover import BadAnswer, Stated, plan, refusal
from operations.state import UNREAD, Resource, State
from recording.aws_types import CARDS
from recording.aws_types.card import Candidate
from stacks import stackfile
from tests.conftest import STACKS, recorded
from tests.operations.documents import EIP, NAMESPACE, NAT, SUBNET, document, entry, urn


@dataclass
class Found:
    """A finder that has found this."""

    candidates: Sequence[Candidate] = ()
    cannot: str = ""

    def find(self, resource: Resource) -> Sequence[Candidate]:
        if self.cannot:
            raise CannotTell(self.cannot)
        return self.candidates


NAT_ENTRY = entry(NAT, "n", inputs={"subnetId": "subnet-1", "allocationId": "eipalloc-1"})


def judged(*candidates: Candidate, state: dict | None = None, cannot: str = "") -> Decision:
    whole = State(state or document(pending=[("creating", NAT_ENTRY)]))
    return decide(whole.creating[0], whole, Found(candidates, cannot))


def test_one_is_taken_none_is_forgotten() -> None:
    found = judged(Candidate("nat-1", told="available"))
    assert found.verdict is Verdict.take and found.candidate and found.candidate.id == "nat-1"
    nothing = judged()
    assert nothing.verdict is Verdict.forget and "allocationId eipalloc-1" in nothing.why


def test_two_are_listed_and_nobody_guesses() -> None:
    """The wrong NAT gateway taken in means that the right one is billed for ever."""
    found = judged(Candidate("nat-1"), Candidate("nat-2"))
    assert found.verdict is Verdict.undecided and "nat-1, nat-2" in found.why


def test_what_the_state_knows_is_somebody_else() -> None:
    """Its predecessor carries the same tags; taken in twice, a destroy would delete it under the one that is used."""
    other = entry(NAT, "other", "nat-1")
    whole = document(other, pending=[("creating", NAT_ENTRY)])
    assert judged(Candidate("nat-1"), state=whole).verdict is Verdict.forget
    found = judged(Candidate("nat-1"), Candidate("nat-2"), state=whole)
    assert found.candidate and found.candidate.id == "nat-2"


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (Candidate("demo", "making", "CREATING"), "run this again when it is done"),
        (Candidate("demo:g", "failed", "CREATE_FAILED"), "delete it"),
    ],
)
def test_half_made_things_are_waited_for(candidate: Candidate, says: str) -> None:
    """A cluster taken in before it is ready has no endpoint, and the next `up` writes that into every kubeconfig."""
    found = judged(candidate)
    assert found.verdict is Verdict.undecided and says in found.why


def test_nobody_to_ask_is_no_answer() -> None:
    """Without credentials everything looks absent; forgotten on that ground, it would be made twice."""
    assert judged(cannot="no credentials").verdict is Verdict.undecided


@pytest.mark.parametrize(
    "begun",
    [
        entry("pulumi:providers:kubernetes", "k"),
        entry("dynamo-eks:index:DynamoGraph", "graph-chat", custom=False),
        entry("eks:index:Cluster", "main", custom=False),
    ],
    ids=["provider", "component", "remote component"],
)
def test_what_is_in_the_state_alone_is_not_looked_for(begun: dict) -> None:
    """A kill can hit the very moment in which a component is registered. Nobody could say whether one exists, so that the
    stack would wait for an answer for ever."""
    whole = State(document(pending=[("creating", begun)]))
    assert decide(whole.creating[0], whole, Found(cannot="never asked")).verdict is Verdict.forget


def test_packages_nobody_looks_for() -> None:
    whole = State(document(pending=[("creating", entry("random:index/randomId:RandomId", "r"))]))
    found = decide(whole.creating[0], whole, Everywhere({"aws": Found()}))
    assert found.verdict is Verdict.undecided and "random" in found.why


def test_a_second_living_one_is_not_taken_in() -> None:
    """After `pulumi up` without recovery the orphan would take the place of the living one, which the next `up` deletes."""
    living = entry(NAT, "n", "nat-2", inputs={"subnetId": "subnet-9"})
    whole = State(document(living, pending=[("creating", NAT_ENTRY)]))
    found = plan(whole, Found([Candidate("nat-1")]))
    assert found.undecided and "nat-2" in found.undecided[0].why and "orphan" in found.undecided[0].why
    stated = plan(whole, Found(cannot="never asked"), Stated({"n": "nat-1"}))
    assert stated.taken[NAT_ENTRY["urn"]].id == "nat-1"


def test_what_is_stated_is_not_looked_for() -> None:
    whole = State(document(pending=[("creating", NAT_ENTRY), ("creating", entry(EIP, "n"))]))
    never = Found(cannot="never asked")
    found = plan(whole, never, Stated({f"{NAT}::n": "nat-7"}, frozenset({f"{EIP}::n"})))
    assert found.taken[NAT_ENTRY["urn"]].id == "nat-7" and found.forgotten == {urn(EIP, "n")}
    with pytest.raises(BadAnswer, match=r"two of that name; there are aws:ec2/eip:Eip::n"):
        plan(whole, never, Stated({"n": "nat-7"}))


def test_an_entry_that_is_there_twice_is_decided_once() -> None:
    """Every `up` without recovery carries the entry on; a second one must not be taken in as a second resource."""
    whole = State(document(pending=[("creating", NAT_ENTRY), ("creating", NAT_ENTRY)]))
    found = plan(whole, Found([Candidate("nat-1")]))
    assert len(found.decisions) == 1
    after = State(whole.mended(found.taken, found.forgotten))
    assert [item.id for item in after.resources] == ["a", "nat-1"] and after.pending == []


def test_when_an_up_is_refused() -> None:
    """`up` on top of an undecided creation makes it a second time."""
    assert refusal(State(document()), "make recover STACK=demo") is None
    assert refusal(State(document(pending=[("updating", NAT_ENTRY), ("deleting", NAT_ENTRY)])), "x") is None
    pending = refusal(State(document(pending=[("creating", NAT_ENTRY)])), "make recover STACK=demo")
    assert pending and f"{NAT} n" in pending and "make recover STACK=demo" in pending
    unread = refusal(State(document(entry(NAT, "n", "nat-1", initErrors=[UNREAD]))), "make recover STACK=demo")
    assert unread and "make recover STACK=demo" in unread


def test_every_type_of_every_stack_can_be_looked_for() -> None:
    """A type without a finder leaves the operator of a half-made stack alone with the console."""
    missing, nameless = set(), set()
    for stack in STACKS:
        for node in recorded(stack):
            if not node.custom or node.type.startswith(("pulumi:", "dynamo-eks:")):
                continue
            if node.type.startswith("aws:"):
                if CARDS[node.type].told is None:
                    missing.add(node.type)
            elif node.type == "kubernetes:helm.sh/v3:Release":
                if not node.inputs.get("name"):
                    nameless.add(node.key)
            elif not node.inputs and node.assumed is None:
                continue  # read by the program, not made
            elif not (node.inputs.get("metadata") or {}).get("name"):
                nameless.add(node.key)
    assert missing == set() and nameless == set()
    assert [type_ for type_, card in CARDS.items() if (card.told is None) != (card.ask is None)] == []


def test_what_makes_a_thing_unique_is_in_every_entry() -> None:
    """A duplicate that does not collide costs money or splits data; whatever AWS lets be named is named, and the rest is
    tagged so that one is told from all others of its stack."""
    made_up = {
        # The provider makes these up and writes them into the entry (its autonaming), so that a second try differs.
        "aws:iam/role:Role": {"name"},
    }
    for stack in STACKS:
        tagged: dict[tuple, list[str]] = {}
        for node in recorded(stack):
            card = CARDS.get(node.type)
            told = card.told if card else None
            if told is None:
                continue
            needed = set(told.by[:1] if "Rule" in node.type else told.by) - made_up.get(node.type, set())
            assert needed <= node.inputs.keys(), f"{node.key} does not state {needed - node.inputs.keys()}"
            if not told.by:
                name = (node.inputs.get("tags") or {}).get("Name")
                assert name, f"{node.key} has no name tag"
                within = tuple(str(node.inputs.get(key)) for key in told.within)
                tagged.setdefault((node.type, name, *within), []).append(node.name)
        assert {key: names for key, names in tagged.items() if len(names) > 1} == {}


def test_the_runbook_lists_what_aws_would_make_twice() -> None:
    """Whoever recovers by hand looks for exactly these; everything else would have collided."""
    text = (stackfile.ROOT / "docs" / "runbooks" / "recover.md").read_text()
    listed = text.partition("## What AWS would make twice")[2].partition("\n## ")[0].partition("By hand")[0]
    rows = "".join(line.split("|")[1] for line in listed.splitlines() if line.startswith("| `"))
    twice = {type_ for type_, card in CARDS.items() if card.told and not card.told.collides}
    assert {f"{type_.split(':')[1].split('/')[0]}.{type_.split(':')[2]}" for type_ in twice} == set(
        rows.split("`")[1::2]
    )


def test_a_subnet_and_a_namespace_in_words() -> None:
    """What the operator reads must be what the console and kubectl show."""
    from operations.lookup import words_of

    assert words_of(Resource(entry(SUBNET, "a", inputs={"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24"}))) == (
        "vpcId vpc-1, cidrBlock 10.0.0.0/24"
    )
    assert words_of(Resource(entry(NAMESPACE, "n", inputs={"metadata": {"name": "dynamo"}}))) == "dynamo"
