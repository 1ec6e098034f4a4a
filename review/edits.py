"""Edits that AWS would not carry out: a recorded graph against what exists.

Pure. What exists is a state's resources, or an older recording. Both are read alike: ids that the recording made up are taken for
those that exist under the same name, and what another one takes the place of gets an id that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from components.capacity.window import Window
from recording.aws_types import CARDS
from recording.aws_types.card import SAME
from recording.aws_types.refusing import Edit, How, Refusal, known, same, value
from recording.graph import UNKNOWN, Graph, Node
from recording.racks import NODE_GROUP, TEMPLATE, racks

SUBNET = "aws:ec2/subnet:Subnet"
SUBNET_READ = "aws:ec2/getSubnet:getSubnet"

FILLED_IN = ("region", "tagsAll", "name")
"""Inputs that the provider adds where the program gives none."""

MADE = "made"
"""Kind of a fault that is no card's: a second one is made while the first is there."""

MADE_SOURCE = "the card of the type (recording/aws_types/); pulumi/pulumi-aws #1483, pulumi/pulumi-awsx #520 #910"
MADE_INSTEAD = "take the old one out of the file with a `make up` of its own first, or give the new one other values"


@dataclass(frozen=True, kw_only=True)
class Held:
    """A thing that exists."""

    key: str
    """`type::name`, as in a graph."""
    type: str
    name: str
    id: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    changed: datetime | None = None
    """When the engine changed it last; None where nobody noted it."""
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One change that is not carried out."""

    id: str
    key: str
    """Of the thing: `type::name`."""
    property: str
    before: Any
    after: Any
    words: str
    """The service's."""
    instead: str
    source: str
    how: How = "refused"

    def line(self) -> str:
        """In a line: what, from what to what, what AWS says, what to do."""
        type_, _, name = self.key.partition("::")
        does = {"refused": "AWS refuses it", "ignored": "it has no effect", "perhaps": "AWS may refuse it"}[self.how]
        change = f"{_short(self.before)} -> {_short(self.after)}"
        return (
            f"{self.id}: {type_.rsplit(':', 1)[-1]} {name}, {self.property}: {change}: {does}: {self.words}. "
            f"Instead: {self.instead}. Source: {self.source}"
        )


def held(graph: Graph) -> list[Held]:
    """What a graph made, as if it existed."""
    region = _region(graph)
    return [
        Held(
            key=node.key,
            type=node.type,
            name=node.name,
            id=node.id,
            inputs={**node.inputs, **region},
            outputs=node.outputs,
        )
        for node in graph
        if node.type in CARDS
    ]


def _region(graph: Graph) -> dict[str, Any]:
    """The region that the provider fills into what it makes."""
    regions = [node.inputs.get("region") for node in graph.of("pulumi:providers:aws")]
    return {"region": regions[0]} if regions and regions[0] else {}


def refused(there: Iterable[Held], graph: Graph, *, sizes: Mapping[str, int] | None = None) -> list[Fault]:
    """Every change from what exists to the graph that AWS would refuse or pass over, in the graph's order; then what is to go.

    `sizes` are how many nodes a node group wants now, by key, where somebody has asked; else the state tells.
    """
    return list(_Judgement(there, graph, sizes or {}).faults())


class _Judgement:
    def __init__(self, there: Iterable[Held], graph: Graph, sizes: Mapping[str, int]) -> None:
        self.graph = graph
        self.sizes = sizes
        self.region = _region(graph)
        self.there = {item.key: item for item in there if item.type in CARDS}
        self.wanted = {node.key: node for node in graph if node.type in CARDS}
        self.blocks: dict[str, Window] = {
            rack.group.key: rack.window for rack in racks(graph).values() if rack.window is not None
        }
        self.before = {key: self._before(item) for key, item in self.there.items()}
        self.replaced: set[str] = set()
        self._settle()

    # --- both sides alike -------------------------------------------------------------------------------------------

    def _before(self, item: Held) -> dict[str, Any]:
        inputs = _given(item.inputs)
        if item.type == NODE_GROUP:
            size = value(item.outputs, "scalingConfig.desiredSize")
            size = self.sizes.get(item.key, size)
            if size is not None:
                inputs["scalingConfig"] = {**(inputs.get("scalingConfig") or {}), "desiredSize": size}
        return inputs

    def _settle(self) -> None:
        """Find what is replaced, by turns: another id of one thing replaces the next."""
        while True:
            self._names = Names(self.there, self.wanted, self.replaced)
            self.after = {key: self._after(node) for key, node in self.wanted.items()}
            more = {key for key in self.there.keys() & self.wanted.keys() if self._replaces(key)} - self.replaced
            if not more:
                return
            self.replaced |= more

    def _after(self, node: Node) -> dict[str, Any]:
        inputs = self._names.put(_given(node.inputs))
        before = self.before.get(node.key)
        if before is None:
            return inputs
        for path in node.ignore_changes:
            take_over(before, inputs, path)
        for name in FILLED_IN:
            if name in before and name not in inputs:
                inputs[name] = {**before, **self.region}[name]
        return inputs

    def _replaces(self, key: str) -> bool:
        edit = Edit(before=self.before[key], after=self.after[key], at=self.graph.at)
        return any(map(edit.changes, CARDS[self.wanted[key].type].replaced.by(edit.before, edit.after)))

    def _deleted_first(self, key: str) -> bool:
        """Whether the engine deletes a replaced thing before it makes the next one."""
        return any(self._own_first(other) for other in (key, *self.graph.requires(key)) if other in self.replaced)

    def _own_first(self, key: str) -> bool:
        table, node = CARDS[self.wanted[key].type].replaced, self.wanted[key]
        named = table.named is not None and _given(node.inputs).get(table.named) is not None
        kept = named and same(self.before[key].get(str(table.named)), self.after[key].get(str(table.named)))
        return table.delete_first or node.delete_before_replace or kept

    # --- what there is beside ---------------------------------------------------------------------------------------

    @cached_property
    def zones(self) -> dict[str, str]:
        """Zone by subnet: of those that exist, of those that will be, and of those that others made."""
        found = {str(read.answer["id"]): read.answer["availabilityZoneId"] for read in self._reads()}
        for item in self.there.values():
            if item.type == SUBNET and "availabilityZoneId" in item.inputs:
                found[item.id] = item.inputs["availabilityZoneId"]
        for node in self.graph.of(SUBNET):
            if "availabilityZoneId" in node.inputs:
                found[self._names.put(node.id)] = node.inputs["availabilityZoneId"]
        return found

    def _reads(self):
        return [read for read in self.graph.reads if read.token == SUBNET_READ and "availabilityZoneId" in read.answer]

    @cached_property
    def beside(self) -> dict[str, list[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for key, item in self.there.items():
            found.setdefault(item.type, []).append(self.before[key])
        return found

    def _edit(self, key: str) -> Edit:
        item, window = self.there[key], self.blocks.get(key)
        return Edit(
            before=self.before[key],
            after=self.after.get(key, {}),
            at=self.graph.at,
            gone=key not in self.wanted or key in self.replaced,
            changed=item.changed,
            created=item.created,
            zones=self.zones,
            beside=self.beside,
            block=(window.start, window.drain_at) if window else None,
            template=item.type == NODE_GROUP and self._another_template(key),
        )

    def _another_template(self, key: str) -> bool:
        """Whether the launch template of a node group gets another version."""
        id_ = value(self.before[key], "launchTemplate.id")
        for template in self.there.values():
            if template.type != TEMPLATE or template.id != id_ or template.key not in self.wanted:
                continue
            edit = Edit(before=self.before[template.key], after=self.after[template.key], at=self.graph.at)
            versioned = (
                name for name, call in CARDS[TEMPLATE].changes.items() if call == "CreateLaunchTemplateVersion"
            )
            return any(map(edit.changes, versioned))
        return False

    # --- judgement --------------------------------------------------------------------------------------------------

    def faults(self) -> Iterator[Fault]:
        for key, node in self.wanted.items():
            if key in self.there:
                yield from self._refusals(key)
            if key not in self.there or (key in self.replaced and not self._deleted_first(key)):
                yield from self._in_the_way(key, node)
        for key in self.there.keys() - self.wanted.keys():
            yield from self._refusals(key)

    def _refusals(self, key: str) -> Iterator[Fault]:
        edit = self._edit(key)
        for refusal in CARDS[self.there[key].type].refuses:
            if refusal.gone == edit.gone and refusal.refused(edit):
                yield _fault(key, refusal, edit)

    def _in_the_way(self, key: str, node: Node) -> Iterator[Fault]:
        """What is made while one that cannot be there beside it is: the engine makes first and deletes last."""
        told = CARDS[node.type].told
        if told is None or not told.collides or not told.by:
            return
        mine = {name: self.after[key].get(name) for name in told.by}
        for other, item in self.there.items():
            if item.type != node.type or (other in self.wanted and other not in self.replaced):
                continue
            if other in self.replaced and self._deleted_first(other):
                continue
            theirs = {name: self.before[other].get(name) for name in told.by}
            elsewhere = self.region and self.before[other].get("region") not in (None, self.region["region"])
            if elsewhere or not known(mine) or not _collide(node.type, mine, theirs):
                continue
            again = told.second == SAME
            yield Fault(
                id=MADE,
                key=key,
                property=", ".join(name for name in told.by if mine[name] is not None),
                before=f"{item.name} has {_said(theirs)}",
                after=f"{node.name} is to have {_said(mine)}",
                words="a second one is taken for the first, and the engine, which deletes last, then deletes it with the old one"
                if again
                else f"AWS {told.second} while the old one is there, and the engine makes the new one before the old one goes",
                instead=MADE_INSTEAD,
                how="ignored" if again else "refused",
                source=MADE_SOURCE,
            )


def _fault(key: str, refusal: Refusal, edit: Edit) -> Fault:
    before, after = refusal.sides(edit)
    return Fault(
        id=refusal.id,
        key=key,
        property=refusal.property,
        before=before,
        after=after,
        words=refusal.words.format(before=before, after=after),
        instead=refusal.instead.format(before=before, after=after),
        source=refusal.source,
        how=refusal.how,
    )


def _collide(type_: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if type_ == SUBNET:
        return mine["vpcId"] == theirs["vpcId"] and _overlap(mine["cidrBlock"], theirs["cidrBlock"])
    return same(mine, theirs)


def _overlap(mine: Any, theirs: Any) -> bool:
    try:
        return ip_network(str(mine)).overlaps(ip_network(str(theirs)))
    except ValueError:
        return False


def _said(values: Mapping[str, Any]) -> str:
    return " ".join(_short(item) for item in values.values() if item is not None)


def _short(item: Any) -> str:
    text = "nothing" if item is None else ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as the program gave them: without what the bridge filled in, which it lists as `__defaults` at every level."""
    filled = {"__defaults", *(inputs.get("__defaults") or ())}
    return {key: _plain(item) for key, item in inputs.items() if key not in filled}


def _plain(item: Any) -> Any:
    if isinstance(item, Mapping):
        return _given(item)
    if isinstance(item, list | tuple):
        return [_plain(each) for each in item]
    return item


def take_over(source: Mapping[str, Any], target: dict[str, Any], path: str) -> None:
    """Set a nested property as it is in the source; a path that leads through a list is left alone."""
    first, _, rest = path.partition(".")
    if not rest:
        if first in source:
            target[first] = source[first]
        else:
            target.pop(first, None)
    elif isinstance(source.get(first), Mapping) and isinstance(target.get(first), Mapping):
        below = dict(target[first])
        take_over(source[first], below, rest)
        target[first] = below


LIKE_AN_ID = re.compile(r"arn:|[a-z]+-0[0-9a-f]{16}$")
"""A text that means one thing wherever it stands."""


class Names:
    """Ids and other computed texts of a recording, and what they are where the thing exists."""

    def __init__(self, there: Mapping[str, Held | Node], wanted: Mapping[str, Node], replaced: set[str]) -> None:
        self._known: dict[str, str] = {}
        for key, node in wanted.items():
            item = there.get(key)
            if item is None:
                continue
            given = {text for _, text in _texts(node.inputs)}
            made = {path: text for path, text in [("", node.id), *_computed(node)] if text not in given}
            exists = {"": item.id, **dict(_texts(item.outputs))}
            for path, text in made.items():
                if key in replaced:
                    self._known[text] = f"{text} (of another {node.name})"
                elif path in exists or LIKE_AN_ID.match(text):
                    # What a state should tell and does not is compared with nothing.
                    self._known.setdefault(text, exists.get(path, UNKNOWN))
        # Inside a longer text, such as a policy, only what cannot be part of another word.
        inside = sorted(filter(LIKE_AN_ID.match, self._known), key=len, reverse=True)
        self._inside = re.compile("|".join(map(re.escape, inside))) if inside else None

    def put(self, item: Any) -> Any:
        """The value with every text that was made up in the recording replaced."""
        if isinstance(item, Mapping):
            return {key: self.put(each) for key, each in item.items()}
        if isinstance(item, list | tuple):
            return [self.put(each) for each in item]
        if not isinstance(item, str):
            return item
        if item in self._known:
            return self._known[item]
        return self._inside.sub(lambda found: self._known[found[0]], item) if self._inside else item


def _computed(node: Node) -> Iterator[tuple[str, str]]:
    given = dict(_texts(node.inputs))
    return ((path, text) for path, text in _texts(node.outputs) if path not in given and len(text) > 3)


def _texts(item: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every text below a value, with its path."""
    if isinstance(item, Mapping):
        for key, each in item.items():
            yield from _texts(each, f"{at}.{key}")
    elif isinstance(item, Sequence) and not isinstance(item, str):
        for number, each in enumerate(item):
            yield from _texts(each, f"{at}[{number}]")
    elif isinstance(item, str):
        yield at, item
