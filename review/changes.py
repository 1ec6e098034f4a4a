"""What a change does to a stack: two recordings compared as the engine would compare a state with a program.

Pure. Both sides are recordings, in which an id is made up of type and name: what exists on both sides has the same one, and only
what is replaced gets another, which its dependents then see. Which property replaces something is read from the cards
(recording/aws_types/) and, of objects, from recording/kinds.py; what no recording tells is what somebody changed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from recording.aws_types import CARDS, UNTAGGED
from recording.graph import UNKNOWN, Graph, Node
from recording.kinds import fixed, provider_fixed, replaces
from recording.racks import NODE_GROUP, TEMPLATE
from review.edits import LIKE_AN_ID, Names, take_over

Op = Literal["create", "update", "replace", "delete"]

AWS, KUBERNETES = "pulumi:providers:aws", "pulumi:providers:kubernetes"
RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A property that differs."""

    path: str
    before: Any
    """None where there was none. A secret is `[secret]`; what AWS makes up is named by whose it is."""
    after: Any
    replaces: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What happens to one resource."""

    key: str
    op: Op
    before: Node | None
    after: Node | None
    differences: tuple[Difference, ...] = ()
    causes: tuple[str, ...] = ()
    """Why it is replaced: the properties, or what else is replaced."""
    deleted_first: bool = False
    """Of what is replaced: the old one goes before the new one is made."""
    refused: bool = False
    """The engine refuses it, since it is protected."""
    kept: bool = False
    """What is deleted goes from the state only (`retainOnDelete`)."""

    @property
    def node(self) -> Node:
        """As it will be, or as it was."""
        found = self.after or self.before
        assert found is not None
        return found


class Changes(Sequence[Change]):
    """Every resource that is touched: in the graph's order, then what goes. Components, which make nothing, are left out."""

    def __init__(self, old: Graph, new: Graph, items: Sequence[Change]) -> None:
        self.old, self.new, self.items = old, new, tuple(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self.items)

    def of(self, *ops: Op) -> list[Change]:
        return [item for item in self.items if item.op in ops]

    @cached_property
    def by_key(self) -> dict[str, Change]:
        return {item.key: item for item in self.items}

    @cached_property
    def verdict(self) -> dict[str, str]:
        """What happens, by key."""
        return {item.key: item.op for item in self.items}

    @cached_property
    def differ(self) -> dict[str, tuple[str, ...]]:
        """Paths of what differs, by key."""
        return {item.key: tuple(each.path for each in item.differences) for item in self.items if item.differences}


def compare(old: Graph, new: Graph) -> Changes:
    """Everything that the engine would do to get from one recording to the other."""
    return Changes(old, new, list(_Comparison(old, new).changes()))


# --- properties ----------------------------------------------------------------------------------------------------------


def differences(before: Any, after: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, value before and value after of every leaf that differs. Entries that have names are compared by name."""
    before, after = _parsed(before), _parsed(after)
    if _alike(before, after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from differences(before.get(key), after.get(key), _below(at, str(key)))
        return
    left, right = _named(before), _named(after)
    if left is not None and right is not None:
        if left == right:
            yield at, list(left), list(right)  # their order alone
        for name in {**left, **right}:
            yield from differences(left.get(name), right.get(name), f"{at}[{name}]")
        return
    if _rows(before) and _rows(after) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{at}[{number}]")
        return
    yield at, before, after


def _below(at: str, key: str) -> str:
    if not key.replace("_", "a").replace("-", "a").isalnum():
        return f'{at}["{key}"]'
    return f"{at}.{key}" if at else key


def _alike(before: Any, after: Any) -> bool:
    """Equal, as far as both are known."""
    if UNKNOWN in (side for side in (before, after) if isinstance(side, str)):
        return True
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        return all(_alike(*pair) for pair in zip(before, after, strict=True))
    return bool(before == after)


def _parsed(value: Any) -> Any:
    """Text that holds an object, such as a policy, as that object: how it is spaced is no difference."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _named(value: Any) -> dict[str, Any] | None:
    """Entries by name, where each has one of its own."""
    if not _rows(value):
        return None
    names = [item.get("name", item.get("key")) for item in value]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        return None
    return dict(zip(names, value, strict=True))


# --- the comparison ------------------------------------------------------------------------------------------------------

Raw = tuple[str, Any, Any]


class _Comparison:
    def __init__(self, old: Graph, new: Graph) -> None:
        self.old, self.new = old, new
        self.then = {node.key: before for node in new if node.custom and (before := _earlier(old, node))}
        """What each resource was, by its key now."""
        self.going = [node for node in old if node.custom and node.key not in self._taken]
        self.causes: dict[str, tuple[str, ...]] = {}
        """Of what is replaced, by key."""
        self.raw: dict[str, list[Raw]] = {}
        self._words = Words(old, new)
        self._settle()

    @cached_property
    def _taken(self) -> set[str]:
        return {node.key for node in self.then.values()}

    def _settle(self) -> None:
        """Find what is replaced, by turns: another id of one thing replaces the next."""
        while True:
            self._look()
            more = {
                key: found
                for key in self.then
                if key not in self.causes and (found := tuple(dict.fromkeys(self._why(key))))
            }
            if not more:
                return
            self.causes |= more

    def _look(self) -> None:
        """All properties that differ, as far as it is known by now what is replaced."""
        wanted = {key: self.new[key] for key in self.then if self.new[key].type in CARDS}
        names = Names({key: self.then[key] for key in wanted}, wanted, set(self.causes))
        self.raw = {}
        for key, before in self.then.items():
            node = self.new[key]
            left, right = self._filled(before, self.old), self._filled(node, self.new)
            for path in node.ignore_changes:
                take_over(left, right, path)
            if found := list(differences(left, names.put(right))):
                self.raw[key] = found
        for group in self.new.of(NODE_GROUP):
            # Its version is the template's latest, which only AWS counts.
            if group.key in self.then and any(map(self._another_version, self.new.requires(group.key))):
                self.raw.setdefault(group.key, []).append(("launchTemplate.version", "latest", "a new one"))

    def _another_version(self, key: str) -> bool:
        calls = CARDS[TEMPLATE].changes if key.startswith(f"{TEMPLATE}::") else {}
        return any(calls.get(_first(path)) == "CreateLaunchTemplateVersion" for path, _, _ in self.raw.get(key, ()))

    @staticmethod
    def _filled(node: Node, graph: Graph) -> dict[str, Any]:
        """Inputs, with what the provider fills in: its region, and the tags it gives to all."""
        inputs = dict(node.inputs)
        provider = graph.by_key.get(node.provider or "")
        if node.type not in CARDS or provider is None:
            return inputs
        if "region" in provider.inputs and not node.type.startswith("aws:iam/"):
            inputs.setdefault("region", provider.inputs["region"])
        if node.type not in UNTAGGED:
            given = _parsed(provider.inputs.get("defaultTags")) or {}
            inputs["tagsAll"] = {**(given.get("tags") or {}), **(inputs.get("tags") or {})}
        return inputs

    # --- what replaces --------------------------------------------------------------------------------------------------

    def _fixed(self, before: Node, node: Node) -> frozenset[str]:
        if node.type in CARDS:
            return CARDS[node.type].replaced.by(before.inputs, node.inputs)
        if node.type == KUBERNETES:
            return provider_fixed(before.inputs, node.inputs)
        return fixed(node.type) if node.package == "kubernetes" else frozenset()

    def _why(self, key: str) -> Iterator[str]:
        before, node = self.then[key], self.new[key]
        properties = self._fixed(before, node) | frozenset(node.replace_on_changes)
        yield from (path for path, _, _ in self.raw.get(key, ()) if replaces(path, properties))
        if before.type != node.type:
            yield "type"
        if node.replacement_trigger != before.replacement_trigger:
            yield _trigger(before.replacement_trigger, node.replacement_trigger)
        for other in node.replace_with:
            if other in self.causes:
                yield f"with {_short(other)}"
        if node.provider is not None and node.provider in self.causes:
            yield f"its provider {_short(node.provider)}"
        elif node.provider != before.provider:
            yield "another provider"

    def _own_first(self, key: str) -> bool:
        before, node = self.then[key], self.new[key]
        if node.delete_before_replace:
            return True
        if node.type in CARDS:
            table = CARDS[node.type].replaced
            name = table.named and node.inputs.get(table.named)
            return table.delete_first or (name is not None and name == before.inputs.get(str(table.named)))
        if node.type == RELEASE:
            return node.inputs.get("name") == before.inputs.get("name")
        if node.package != "kubernetes":
            return False
        place = [(item.inputs.get("metadata") or {}) for item in (before, node)]
        return bool(place[1].get("name")) and all(place[0].get(part) == place[1].get(part) for part in _PLACE)

    def _deleted_first(self, key: str) -> bool:
        return any(self._own_first(other) for other in (key, *self.new.requires(key)) if other in self.causes)

    # --- the result -----------------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[Change]:
        for node in self.new:
            if not node.custom:
                continue
            before = self.then.get(node.key)
            if before is None:
                yield Change(key=node.key, op="create", before=None, after=node)
            elif node.key in self.causes:
                yield Change(
                    key=node.key,
                    op="replace",
                    before=before,
                    after=node,
                    differences=tuple(self._told(node, before)),
                    causes=self.causes[node.key],
                    deleted_first=self._deleted_first(node.key),
                    # Unprotecting and replacing in one go is let pass; of what is deleted the state's word counts.
                    refused=node.protect and before.protect,
                )
            elif node.key in self.raw:
                yield Change(
                    key=node.key, op="update", before=before, after=node, differences=tuple(self._told(node, before))
                )
        for node in reversed(self.going):
            yield Change(
                key=node.key,
                op="delete",
                before=node,
                after=None,
                refused=node.protect,
                kept=node.retain_on_delete,
            )

    def _told(self, node: Node, before: Node) -> Iterator[Difference]:
        fixed_ = self._fixed(before, node) | frozenset(node.replace_on_changes)
        for path, one, other in self.raw.get(node.key, ()):
            yield Difference(
                path=path, before=self._words.put(one), after=self._words.put(other), replaces=replaces(path, fixed_)
            )


_PLACE = ("name", "namespace")


def _earlier(old: Graph, node: Node) -> Node | None:
    """The same resource on the other side, by its name or one that it had."""
    found = old.by_key.get(node.key)
    for alias in node.aliases if found is None else ():
        if alias.startswith("urn:"):
            type_, name = alias.split("::", 2)[2].rsplit("::", 1)
            found = found or old.by_key.get(f"{type_.rsplit('$', 1)[-1]}::{name}")
        elif alias:
            found = found or old.by_key.get(f"{node.type}::{alias}")
    return found if found is not None and found.custom else None


def _trigger(before: Any, after: Any) -> str:
    """What the program says makes it another one, in words."""
    found = list(differences(before, after))
    if len(found) == 1 and not isinstance(found[0][1], Mapping | list):
        return f"identity {found[0][1]} -> {found[0][2]}"
    return "identity"


def _short(key: str) -> str:
    type_, _, name = key.partition("::")
    return f"{type_.rsplit(':', 1)[-1]} {name}"


def _first(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


class Words:
    """What a recording made up, said as whose it is: nobody will ever see the id itself."""

    def __init__(self, *graphs: Graph) -> None:
        self._of: dict[str, str] = {}
        for graph in graphs:
            for node in graph:
                if node.type in CARDS:
                    made = [node.id, *(item for key, item in node.outputs.items() if key not in node.inputs)]
                    for text in made:
                        if isinstance(text, str) and LIKE_AN_ID.match(text):
                            self._of.setdefault(text, f"<of {_short(node.key)}>")
        longest = sorted(self._of, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest))) if longest else None

    def put(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self.put(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.put(item) for item in value]
        if not isinstance(value, str) or self._any is None:
            return value
        return self._any.sub(lambda found: self._of[found[0]], value)
