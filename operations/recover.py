"""After an interrupted operation: find out what became of every creation that was under way, and mend the state.

Measured on engine 3.259: a killed `up` leaves a lock and its unfinished creations as pending operations. The next `up`
makes each of them a second time, the first ones are orphans that go on being billed, and the entries stay for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operations.engine import Engine
from operations.lookup import Decision, Finder, Verdict, decide
from operations.state import Adopted, Pending, State, words
from recording.aws_types.card import Candidate


class BadAnswer(ValueError):
    """What the operator stated does not fit what is pending."""


@dataclass(frozen=True)
class Stated:
    """What the operator found out by hand, by resource: its name, or `type::name` where two share it."""

    ids: Mapping[str, str] = field(default_factory=dict)
    """It exists, and this is its id."""
    gone: frozenset[str] = frozenset()
    """It does not exist."""


@dataclass(frozen=True)
class Plan:
    """What recovery will do."""

    decisions: tuple[Decision, ...]
    """One for every interrupted creation."""
    reread: tuple[Pending, ...]
    """Interrupted updates and deletions; a read shows how far they came."""
    unread: tuple[str, ...]
    """URNs that an earlier recovery wrote into the state and did not get to read."""

    @property
    def nothing(self) -> bool:
        return not (self.decisions or self.reread or self.unread)

    @property
    def undecided(self) -> list[Decision]:
        return [item for item in self.decisions if item.verdict is Verdict.undecided]

    @property
    def taken(self) -> dict[str, Adopted]:
        return {
            item.pending.urn: Adopted(item.candidate.id, item.candidate.outputs)
            for item in self.decisions
            if item.verdict is Verdict.take and item.candidate
        }

    @property
    def forgotten(self) -> set[str]:
        return {item.pending.urn for item in self.decisions if item.verdict is Verdict.forget}


def plan(state: State, finder: Finder, stated: Stated | None = None) -> Plan:
    """Judge everything that was interrupted. What the operator states is taken as it is and not looked for."""
    stated = stated or Stated()
    names = _by_name(state.creating)
    for name in (*stated.ids, *stated.gone):
        if len(names.get(name, ())) != 1:
            every = ", ".join(sorted(key for key, found in names.items() if len(found) == 1)) or "none"
            raise BadAnswer(f"{name}: no such interrupted creation, or two of that name; there are {every}")
    ids = {names[name][0].urn: id_ for name, id_ in stated.ids.items()}
    gone = {names[name][0].urn for name in stated.gone}
    decisions = []
    for item in {pending.urn: pending for pending in state.creating}.values():
        if item.urn in ids:
            decisions.append(Decision(item, Verdict.take, f"is {ids[item.urn]}, as stated", Candidate(ids[item.urn])))
        elif item.urn in gone:
            decisions.append(Decision(item, Verdict.forget, "does not exist, as stated"))
        else:
            decisions.append(_not_beside_another(decide(item, state, finder), state))
    return Plan(tuple(decisions), tuple(state.interrupted), tuple(item.urn for item in state.unread))


def _not_beside_another(found: Decision, state: State) -> Decision:
    """Take nothing in beside a living resource of the same URN without being told.

    Either a replacement was under way, and this is the new one; or somebody ran `pulumi up` without a recovery, which made
    it again, and this is the orphan. Taken in, it would have the other one deleted.
    """
    living = [
        item
        for item in state.resources
        if item.urn == found.pending.urn and not item.replaced and not item.raw.get("pendingReplacement")
    ]
    if found.verdict is not Verdict.take or not living or found.candidate is None:
        return found
    why = (
        f"exists as {found.candidate.id}, and the state holds {living[0].id} as well: state that it is that one if a "
        "replacement was under way; if an `up` has run since, it is an orphan: delete it and state that it is gone"
    )
    return Decision(found.pending, Verdict.undecided, why, found.candidate)


def _by_name(pending: list[Pending]) -> dict[str, list[Pending]]:
    found: dict[str, list[Pending]] = {}
    for item in {entry.urn: entry for entry in pending}.values():
        found.setdefault(item.resource.name, []).append(item)
        found.setdefault(f"{item.resource.type}::{item.resource.name}", []).append(item)
    return found


def carry_out(engine: Engine, state: State, decided: Plan) -> State:
    """Write the mended state, read what was taken in, and give the state as it then is."""
    if decided.undecided:
        raise ValueError("undecided: " + ", ".join(words(item.pending.resource) for item in decided.undecided))
    if decided.decisions or decided.reread:
        engine.write(state.mended(decided.taken, decided.forgotten))
    urns = [*decided.taken, *(item.urn for item in decided.reread), *decided.unread]
    if urns:
        engine.refresh(list(dict.fromkeys(urns)))
    return engine.state()


def refusal(state: State, command: str) -> str | None:
    """Why no `up` and no `destroy` may start on this state; None when one may."""
    creating = list({item.urn: item for item in state.creating}.values())
    if creating:
        listed = "\n".join(f"  {words(item.resource)}" for item in creating)
        return (
            f"{len(creating)} creation{'s' * (len(creating) != 1)} of an interrupted operation "
            f"{'are' if len(creating) != 1 else 'is'} undecided; each might be made a second time, or left behind:\n"
            f"{listed}\nRun: {command}"
        )
    if state.unread:
        listed = "\n".join(f"  {words(item)}" for item in state.unread)
        return f"a recovery was cut off before it had read:\n{listed}\nRun: {command}"
    return None
