"""Stand-in for the `aws` provider: a store of resources with AWS's manners, fed by `recording/answers.py`.

Plays: default tags and region laid into every resource that takes them (as pulumi-aws does in Check), properties that
replace (their cards), a new id for a new resource, names and ranges that are taken, references to ids that do not exist,
deletion refused while something else refers to the resource, changes that the service refuses or passes over (their cards,
`refuses`: in an update and never in a preview, as the service), and reads.
Not shown: whether AWS takes the values themselves (policies, CIDRs and zones are tried on an emulator), quotas,
capacity, permissions, eventual consistency, times.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from ipaddress import ip_network
from typing import Any

import pulumi_aws
from google.protobuf import struct_pb2

from components.spec import moment_of
from recording.answers import Answers
from recording.aws_types import CARDS
from recording.aws_types.card import SAME
from recording.aws_types.refusing import Edit, Refusal, same, value
from recording.graph import UNKNOWN
from recording.racks import NODE_GROUP, TEMPLATE
from recording.world import digest
from stacks.settings import CLOCK, present
from tests.conftest import AT
from tests.engine.standins import Refused, StandIn, difference, laid_over, leaves, plain, struct, unknown

_ID = re.compile(r"(vpc|subnet|sg|igw|rtb|nat|eipalloc|fs|vpce|cr|lt)-0[0-9a-f]{16}")

# KMS schedules a key's deletion whatever still names it.
_DELETED_ANYWAY = {"aws:kms/key:Key"}

AUTONAMED = {
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:iam/role:Role",
}
"""Types that the provider gives a name when the program does not, in Check, so that it is an input like any other."""


@dataclass
class Thing:
    """A resource that exists."""

    type: str
    urn: str
    inputs: dict[str, Any]
    computed: dict[str, Any]
    state: struct_pb2.Struct
    changed: dict[str, datetime] = field(default_factory=dict)
    """When each property was changed last."""


@cache
def properties_of(type_: str) -> frozenset[str]:
    """Properties on the wire that the SDK knows for a type, for example `aws:ec2/vpc:Vpc`."""
    module, _, name = type_.removeprefix("aws:").partition(":")
    class_ = getattr(getattr(pulumi_aws, module.partition("/")[0]), name)
    getters = (item.fget for item in vars(class_).values() if isinstance(item, property))
    return frozenset(getattr(getter, "_pulumi_name", getter.__name__) for getter in getters if getter)


class Aws(StandIn):
    """All of one account and region."""

    package = "aws"

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers
        self.things: dict[tuple[str, str], Thing] = {}
        """What exists, by type and id."""
        self._used: set[tuple[str, str]] = set()
        self._default_tags: dict[str, str] = {}
        self._region: str | None = None

    def configure(self, arguments: dict[str, Any]) -> None:
        import json

        given = arguments.get("defaultTags") or {}
        given = json.loads(given) if isinstance(given, str) else given
        self._default_tags = given.get("tags") or {}
        self._region = arguments.get("region")

    def check(self, urn: str, olds: struct_pb2.Struct, news: struct_pb2.Struct) -> struct_pb2.Struct:
        type_, known = _type(urn), properties_of(_type(urn))
        if type_ not in CARDS:
            raise Refused(f"{type_} has no card in recording/aws_types/; add one, with its sources")
        given = plain(news)
        wrong = sorted(given.keys() - known)
        if wrong:
            raise Refused(f"{type_} has no property {', '.join(wrong)}")
        added: dict[str, Any] = {}
        if "tagsAll" in known:
            added["tagsAll"] = {**self._default_tags, **(given.get("tags") or {})}
        if "region" in known and self._region and "region" not in given:
            added["region"] = self._region
        if type_ in AUTONAMED and not given.get("name"):
            added["name"] = plain(olds).get("name") or self._name(urn)
        return laid_over(news, added)

    def diff(self, urn: str, id_: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
        table = CARDS[_type(urn)].replaced
        name = table.named
        named = bool(name) and new.get(name) is not None and new.get(name) == old.get(name)
        return difference(old, new, table.by(old, new), delete_first=named or table.delete_first)

    def create(
        self, urn: str, properties: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> tuple[str, struct_pb2.Struct]:
        type_, name, inputs = _type(urn), urn.rsplit("::", 1)[1], plain(properties)
        if preview:
            _, computed = self.answers.created(type_, name, inputs)
            return "", laid_over(properties, unknown(computed, inputs))
        with self.lock:
            self._refuse_taken(type_, inputs)
            self._refuse_missing(inputs)
            id_, computed = self._new(type_, name, inputs)
            self.things[type_, id_] = Thing(type_, urn, inputs, computed, laid_over(properties, computed))
            return id_, self.things[type_, id_].state

    def read(
        self, urn: str, id_: str, inputs: struct_pb2.Struct, state: struct_pb2.Struct
    ) -> tuple[struct_pb2.Struct, struct_pb2.Struct] | None:
        thing = self.things.get((_type(urn), id_))
        # An import has no inputs yet: what exists is what they are.
        return thing and (inputs if inputs.fields else struct(thing.inputs), thing.state)

    def update(
        self, urn: str, id_: str, olds: struct_pb2.Struct, news: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> struct_pb2.Struct:
        with self.lock:
            thing = self.things.get((_type(urn), id_))
            if thing is None:
                raise Refused(f"{_type(urn)} {id_} does not exist")
            inputs, computed = plain(news), dict(thing.computed)
            if thing.type == "aws:ec2/launchTemplate:LaunchTemplate" and _versioned(inputs) != _versioned(thing.inputs):
                # Every change of content is another version, and a preview does not know its number.
                computed["latestVersion"] = UNKNOWN if preview else computed["latestVersion"] + 1
            state = laid_over(news, computed)
            if not preview:
                self._refuse_missing(inputs)
                kept = self._passed_over(thing, inputs)
                for key in {*thing.inputs, *inputs}:
                    if not same(thing.inputs.get(key), inputs.get(key)):
                        thing.changed[key] = _now()
                state = laid_over(state, kept)
                thing.inputs, thing.computed, thing.state = {**inputs, **kept}, computed, state
            return state

    def delete(self, urn: str, id_: str, properties: struct_pb2.Struct, timeout_s: float) -> None:
        type_ = _type(urn)
        with self.lock:
            thing = self.things.get((type_, id_))
            if thing is None:
                return  # as the provider: gone is gone
            self._refuse(thing, self._edit(thing, {}, gone=True))
            users = [
                other.urn.rsplit("::", 1)[1]
                for key, other in self.things.items()
                if key != (type_, id_) and any(value == id_ for _, value in leaves(other.inputs))
            ]
            if users and type_ not in _DELETED_ANYWAY:
                raise Refused(f"DependencyViolation: {id_} is still used by {', '.join(sorted(users))}")
            del self.things[type_, id_]

    def invoke(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self.answers.read(token, arguments)

    def _new(self, type_: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Id and computed properties; an id is given once, unless it is made of names."""
        world = self.answers
        for generation in range(2, 1000):
            id_, computed = world.created(type_, name, inputs)
            if (type_, id_) not in self._used:
                break
            world = Answers(f"{self.answers.stack}#{generation}", self.answers.region, account=self.answers.account)
            again, _ = world.created(type_, name, inputs)
            if again == id_:  # made of names: free again when the old one is gone
                break
        if (type_, id_) in self.things:
            raise Refused(f"AlreadyExistsException: {type_} {id_} exists already")
        self._used.add((type_, id_))
        return id_, computed

    def _name(self, urn: str) -> str:
        """A name as the provider makes one up: another one for every thing that is made."""
        name, made = urn.rsplit("::", 1)[1], sum(1 for method, made in self.log if (method, made) == ("create", urn))
        return f"{name}-{digest(self.answers.stack, name, *['again'] * made, length=7)}"

    def _passed_over(self, thing: Thing, inputs: dict[str, Any]) -> dict[str, Any]:
        """What of a change has no effect, as it stays; Refused for one that the service does not carry out."""
        edit = self._edit(thing, inputs)
        refusals = self._refuse(thing, edit)
        return {name: thing.inputs[name] for item in refusals if (name := item.property.split(".")[0]) in thing.inputs}

    def _refuse(self, thing: Thing, edit: Edit) -> list[Refusal]:
        """Refused with the service's words; else what has no effect."""
        met = [item for item in CARDS[thing.type].refuses if item.gone == edit.gone and item.refused(edit)]
        for item in met:
            if item.how != "ignored":
                before, after = item.sides(edit)
                raise Refused(f"{thing.urn.rsplit('::', 1)[1]}: {item.words.format(before=before, after=after)}")
        return met

    def _edit(self, thing: Thing, after: dict[str, Any], *, gone: bool = False) -> Edit:
        """What the service knows when it is asked for a change: all that is there, and the time."""
        zones = {id_: subnet["zoneId"] for id_, subnet in self.answers.subnets.items()}
        beside: dict[str, list[dict[str, Any]]] = {}
        for (type_, id_), other in self.things.items():
            beside.setdefault(type_, []).append(other.inputs)
            if type_ == "aws:ec2/subnet:Subnet" and "availabilityZoneId" in other.inputs:
                zones[id_] = other.inputs["availabilityZoneId"]
        moments = [
            moment for key, moment in thing.changed.items() if not same(thing.inputs.get(key), after.get(key))
        ]  # fmt: skip
        edit = Edit(
            before=thing.inputs,
            after=after,
            at=_now(),
            gone=gone,
            changed=max(moments, default=None),
            zones=zones,
            beside=beside,
            block=self._block(thing),
        )
        return replace(edit, template=edit.changes("launchTemplate.version"))

    def _block(self, thing: Thing) -> tuple[datetime, datetime] | None:
        """When the machines of a node group's Capacity Block run."""
        template = self.things.get((TEMPLATE, str(value(thing.inputs, "launchTemplate.id"))))
        if thing.type != NODE_GROUP or template is None:
            return None
        path = "capacityReservationSpecification.capacityReservationTarget.capacityReservationId"
        block = self.answers.reservations.get(str(value(template.inputs, path)))
        return (moment_of(block["start"]), moment_of(block["end"])) if block else None

    def _refuse_taken(self, type_: str, inputs: dict[str, Any]) -> None:
        card = CARDS[type_]
        others = [thing.inputs for thing in self.things.values() if thing.type == type_]
        unique = card.replaced.unique
        if unique is not None and inputs.get(unique) is not None:
            for other in others:
                if other.get(unique) == inputs[unique]:
                    raise Refused(f"AlreadyExistsException: {type_} with {unique} {inputs[unique]} exists already")
        if card.told is None or not card.told.by or card.told.second in ("", SAME):
            return
        for other in others:
            if all(other.get(name) == inputs.get(name) for name in card.told.by):
                raise Refused(f"AlreadyExistsException: {type_} with {', '.join(card.told.by)} as given exists already")
            if type_ == "aws:ec2/subnet:Subnet" and other["vpcId"] == inputs["vpcId"]:
                ranges = [ip_network(each["cidrBlock"]) for each in (other, inputs)]
                if ranges[0].overlaps(ranges[1]):
                    raise Refused(f"InvalidSubnet.Conflict: The CIDR '{ranges[1]}' conflicts with another subnet")

    def _refuse_missing(self, inputs: dict[str, Any]) -> None:
        wanted = {value for _, value in leaves(inputs) if isinstance(value, str) and _ID.fullmatch(value)}
        known = {id_ for _, id_ in self.things} | self.answers.subnets.keys() | self.answers.reservations.keys()
        known |= {text for thing in self.things.values() for _, text in leaves(thing.computed) if isinstance(text, str)}
        for subnet in self.answers.subnets.values():
            known.add(subnet["vpcId"])
        if wanted - known:
            raise Refused(f"{', '.join(sorted(wanted - known))} does not exist")


def _now() -> datetime:
    """The moment that the program takes for the present one; the tests' own for one that runs in another process."""
    return present() if CLOCK in os.environ else AT


def _versioned(inputs: dict[str, Any]) -> dict[str, Any]:
    """What of a launch template goes into its versions: all but its own tags and its default."""
    return {key: value for key, value in inputs.items() if key not in ("tags", "tagsAll", "updateDefaultVersion")}


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]
