"""What a change does to a stack, said: as text, as Markdown for a pull request, as JSON for machines. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from review import engine_log
from review.base import Commit, Side
from review.changes import Change, Changes, compare
from review.engine_log import Preview
from review.impact import Impact, impact, said

Section = tuple[str, Sequence[str]]
"""A title, and lines."""

SHOWN = 6
"""Properties of one resource that are shown to people; JSON has all."""

NAMED = 40
"""Resources of one operation that are named to people."""

ONCE = ("Job", "ConfigMap", "MPIJob")
"""What runs once and is simply run again."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the verdicts move, each as `rule: subject: message`."""

    failing: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """One stack. Without changes nothing is touched."""

    stack: str
    changes: Changes | None = None
    impact: Impact | None = None
    rules: Rules = field(default_factory=Rules)
    money: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    estimate: tuple[str, ...] = ()
    """Where the engine says something else than the estimate."""
    engine: Preview | None = None
    hidden: tuple[str, ...] = ()
    """Encrypted values that differ: nobody can say offline what follows."""
    new: int | None = None
    """How many resources a stack makes of which there was none."""
    instead_of: str | None = None
    """Why there is nothing to compare with."""
    gone: bool = False
    bad: str | None = None
    """Why it cannot be planned as it is now."""

    @property
    def touched(self) -> bool:
        """Whether there is more to say than one line."""
        rules = (self.rules.failing, self.rules.warning, self.rules.passing)
        return bool(
            self.changes or any(rules) or self.money or self.time or self.estimate or self.hidden or self.failed
        )

    @property
    def failed(self) -> bool:
        return bool(
            self.rules.failing
            or (self.impact and self.impact.refused)
            or (self.engine is not None and self.engine.errors)
        )

    def met(self, gates: Sequence[str]) -> list[str]:
        """The gates, of those that are asked for, that this change meets."""
        changes, found = self.changes, self.impact
        if changes is None or found is None:
            return []
        holds = {
            "stateful": found.stateful,
            "replace": [item for item in changes.of("replace") if said(item.node).split()[0] not in ONCE],
            "delete": changes.of("delete"),
            "data": found.data,
            "gpus": found.interrupted,
            "prepaid": found.prepaid,
            "exposure": found.opened,
            "iam": found.iam,
            "network": found.network,
        }
        return [gate for gate in gates if holds[gate]]

    def code(self, gates: Sequence[str]) -> int:
        """Exit code of this stack."""
        return 2 if self.bad else int(self.failed or bool(self.met(gates)))


# --- made of two sides ---------------------------------------------------------------------------------------------------


def compared(stack: str, old: Side, new: Side, engine: Preview | None = None, hidden: Sequence[str] = ()) -> Told:
    """A stack that is on both sides."""
    changes, differ = compare(old.graph, new.graph), list[str]()
    if engine is not None:
        changes, differ = engine_log.instead(engine, changes)
    return Told(
        stack,
        changes,
        impact(changes),
        rules_of(old.document, new.document),
        tuple(_money(old.document, new.document)),
        tuple(_time(old.document, new.document)),
        tuple(differ),
        engine,
        tuple(hidden),
    )


def new(stack: str, side: Side, *, instead_of: str | None = None) -> Told:
    """A stack with nothing to compare with."""
    made = sum(node.custom and node.package != "pulumi" for node in side.graph)
    return Told(stack, rules=rules_of({}, side.document), new=made, instead_of=instead_of)


def rules_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> Rules:
    """Verdicts by rule and subject, before and after."""
    before, after = (
        {(item["id"], item["subject"]): item for item in document.get("rules", ()) if item["verdict"] != "pass"}
        for document in (old, new)
    )

    def line(item: Mapping[str, Any]) -> str:
        allowed = f" (allowed: {item['allowed']})" if item.get("allowed") else ""
        return f"{item['id']}: {item['subject']}: {item['message']}{allowed}"

    def newly(verdict: str) -> tuple[str, ...]:
        return tuple(
            line(item)
            for key, item in after.items()
            if item["verdict"] == verdict and before.get(key, {}).get("verdict") != verdict
        )

    return Rules(
        failing=newly("fail"),
        warning=newly("warn"),
        passing=tuple(line(item) for key, item in before.items() if key not in after),
    )


def _money(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("cost"), new.get("cost")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return
    for key, now in after.items():
        then = before.get(key)
        if not isinstance(now, int | float) or not isinstance(then, int | float) or now == then:
            continue
        if key.endswith("UsdPerHour"):
            month = float(after.get("hoursPerMonth", 730))
            yield (
                f"{_apart(key.removesuffix('UsdPerHour'))}: ${then:,.2f} -> ${now:,.2f} an hour "
                f"({_signed(now - then)}, {_signed((now - then) * month)} a month)"
            )
        elif key == "prepaidUsd":
            yield f"prepaid: ${then:,.0f} -> ${now:,.0f} ({_signed(now - then)})"


def _signed(amount: float) -> str:
    return f"{'+' if amount >= 0 else '-'}${abs(amount):,.2f}"


def _apart(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r" \1", name).lower()


def _time(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Of a stack from nothing; what the change itself takes depends on what it restarts."""
    before, after = (document.get("timeline") or {} for document in (old, new))
    pairs = [("everything made", before.get("up"), after.get("up")), ("destroyed", before.get("destroy"), after.get("destroy"))]  # fmt: skip
    tokens = [document.get("firstToken") or {} for document in (before, after)]
    pairs += [(f"first token of {name}", tokens[0].get(name), tokens[1].get(name)) for name in tokens[1]]
    for name, then, now in pairs:
        one, other = (item.get("medianS") if isinstance(item, Mapping) else None for item in (then, now))
        if one is not None and other is not None and round(one / 60) != round(other / 60):
            yield f"{name}, from nothing: {round(one / 60)} -> {round(other / 60)} minutes"


def secrets(before: str, after: str) -> list[str]:
    """Encrypted values that are not the same text on both sides, by their key."""
    import yaml

    sides = []
    for text in (before, after):
        try:
            sides.append(dict(_secure(yaml.safe_load(text))))
        except yaml.YAMLError:
            return []
    return [key for key in {**sides[0], **sides[1]} if sides[0].get(key) != sides[1].get(key)]


def _secure(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if set(value) == {"secure"}:
            yield at.removeprefix("config."), str(value["secure"])
        for key, item in value.items():
            yield from _secure(item, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _secure(item, f"{at}[{number}]")


# --- words ---------------------------------------------------------------------------------------------------------------


def headline(item: Told) -> str:
    """The whole of it in one line."""
    if item.bad:
        return "cannot be planned as it is now"
    if item.gone:
        return "its file is gone: nothing is destroyed by that; what it made runs on until `make destroy` with the old file"
    if item.new is not None:
        fails = f"; {len(item.rules.failing)} rules fail" if item.rules.failing else ""
        return f"{'nothing to compare with' if item.instead_of else 'new'}: {item.new} resources are made{fails}"
    if not item.touched or item.changes is None or item.impact is None:
        return "touches nothing"
    counts = [
        f"{len(found)} {op}d" for op in ("create", "update", "replace", "delete") if (found := item.changes.of(op))
    ]  # type: ignore[arg-type]
    parts = [", ".join(counts) or "no resource touched"]
    if item.impact.gpus:
        perhaps = "up to " if any(one.perhaps for one in item.impact.interrupted) else ""
        parts.append(f"{perhaps}{_many(item.impact.gpus, 'GPU')} interrupted")
    # What is paid while the stack runs as it is written.
    parts += [line.split(" (")[0] for line in item.money if line.startswith("configured: ")]
    for found, word in (
        (item.impact.data, "data at risk"),
        (item.impact.prepaid, "prepaid hours affected"),
        (item.impact.opened, "exposure opened"),
        (item.impact.iam, "IAM widened"),
        (item.impact.network, "network widened"),
    ):
        if found:
            parts.append(word)
    if item.impact.refused:
        parts.append(f"{_many(len(item.impact.refused), 'edit')} refused")
    if item.rules.failing:
        parts.append(f"{_many(len(item.rules.failing), 'rule')} newly fail" + ("s" if len(item.rules.failing) == 1 else ""))  # fmt: skip
    return "; ".join(parts)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def sections(item: Told) -> list[Section]:
    """All there is to say, in the order in which it matters; empty ones are left out."""
    found = item.impact
    if item.bad or item.instead_of:
        return [("Why", (item.bad or item.instead_of or "").splitlines())]
    rules = item.rules
    first: list[Section] = [("Rules newly failing", rules.failing)]
    rest: list[Section] = [("Rules newly warning", rules.warning), ("Rules that hold now", rules.passing)]
    if found is None or item.changes is None:
        return [one for one in (*first, *rest) if one[1]]
    listed = [(f"{op.title()}d", list(_changed(item.changes, op))) for op in ("replace", "delete", "update", "create")]
    every: list[Section] = [
        ("Refused", found.refused),
        *first,
        ("The engine refuses", item.engine.errors if item.engine else ()),
        ("Estimate and engine differ", item.estimate),
        ("Cost", item.money),
        ("Interrupted", [one.line() for one in found.interrupted]),
        ("Data at risk", found.data),
        ("Prepaid hours", found.prepaid),
        ("Exposure opened", found.opened),
        ("Exposure closed", found.closed),
        ("IAM widened", found.iam),
        ("Network widened", found.network),
        ("Versions", found.versions),
        ("Perhaps refused", found.doubts),
        ("Encrypted values that differ (what follows cannot be seen offline)", item.hidden),
        ("Restarts", list(dict.fromkeys(one.words for one in found.restarts))),
        *listed,
        ("Time", item.time),
        *rest,
    ]
    return [one for one in every if one[1]]


def _changed(changes: Changes, op: Any) -> Iterator[str]:
    items = changes.of(op)
    for item in items[:NAMED]:
        yield f"{said(item.node)}{_how(item)}"
    if len(items) > NAMED:
        yield f"and {len(items) - NAMED} more (FORMAT=json has all)"


def _how(item: Change) -> str:
    parts = []
    if item.op == "replace":
        order = "the old one goes first" if item.deleted_first else "the new one is made first"
        parts.append(f" ({order}; because of {', '.join(item.causes) or 'what the engine knows'})")
    if item.op == "delete" and item.kept:
        parts.append(" (from the state only)")
    shown = [_difference(each) for each in item.differences[:SHOWN]]
    if len(item.differences) > SHOWN:
        shown.append(f"and {len(item.differences) - SHOWN} more")
    return "".join(parts) + (f": {'; '.join(shown)}" if shown else "")


def _difference(each: Any) -> str:
    if each.before is None and each.after is None:
        return each.path
    return f"{each.path} {_short(each.before)} -> {_short(each.after)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def text(items: Sequence[Told], there: Commit) -> str:
    """For a terminal."""
    lines = [_against(there)]
    for item in items:
        lines.append(f"{item.stack}: {headline(item)}")
        for title, found in sections(item):
            lines += [f"  {title}", *(f"    {line}" for line in found)]
    return "\n".join(lines)


def markdown(items: Sequence[Told], there: Commit) -> str:
    """For a pull request: a line for each stack, what weighs below it, the rest folded away. Never longer than a comment may be."""
    for whole, weighty in ((True, True), (False, True), (False, False)):
        made = "\n".join(_page(items, there, whole=whole, weighty=weighty))
        if len(made) <= LARGEST[0] and len(made.encode()) <= LARGEST[1]:
            break
    return made


LARGEST = (60_000, 65_000)
"""Characters and bytes of one comment: GitHub documents 65,536 characters."""


def _page(items: Sequence[Told], there: Commit, *, whole: bool, weighty: bool) -> Iterator[str]:
    yield from (f"## {_against(there)}", "")
    yield from (f"- `{item.stack}`: {_escaped(headline(item))}" for item in items)
    for item in items:
        found = sections(item)
        if not found:
            continue
        yield from ("", f"### `{item.stack}`")
        for title, told in found:
            if (whole if title in FOLDED else weighty) is False:
                yield from ("", f"{title}: {len(told)}, left out here for their length; FORMAT=json has all")
            elif title in FOLDED:
                yield from ("", f"<details><summary>{title}: {len(told)}</summary>", "")
                yield from (*(f"- {_escaped(line)}" for line in told), "", "</details>")
            else:
                yield from ("", f"**{title}**", "", *(f"- {_escaped(line)}" for line in told))


FOLDED = ("Deleted", "Replaced", "Updated", "Created", "Time", "Rules newly warning", "Rules that hold now", "Restarts")


def _escaped(line: str) -> str:
    return line.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _against(there: Commit) -> str:
    return f"Change against {there.name}" + (f" ({there.note})" if there.note else "")


def as_json(items: Sequence[Told], there: Commit) -> str:
    """For machines; docs/review.md names the keys."""
    return json.dumps({"base": there.name, "commit": there.id, "stacks": [_entry(item) for item in items]}, indent=1)


def _entry(item: Told) -> dict[str, Any]:
    found = item.impact
    return {
        "stack": item.stack,
        "headline": headline(item),
        "touched": item.touched,
        "failed": item.failed or item.bad is not None,
        "why": item.bad or item.instead_of,
        "changes": [
            {
                "key": change.key,
                "op": change.op,
                "causes": list(change.causes),
                "deletedFirst": change.deleted_first,
                "refused": change.refused,
                "kept": change.kept,
                "differences": [
                    {"path": each.path, "before": each.before, "after": each.after, "replaces": each.replaces}
                    for each in change.differences
                ],
            }
            for change in item.changes or ()
        ],
        "restarts": [
            {"key": one.key, "how": one.how, "roles": list(one.roles), "words": one.words}
            for one in (found.restarts if found else ())
        ],
        "interrupted": [
            {
                "graph": one.graph,
                "role": one.role,
                "workers": one.workers,
                "of": one.of,
                "gpus": one.gpus,
                "atOnce": one.at_once,
                "minutes": one.minutes,
                "ends": one.ends,
                "perhaps": one.perhaps,
                "requests": one.requests,
                "why": one.why,
            }
            for one in (found.interrupted if found else ())
        ],
        **{
            key: list(getattr(found, key)) if found else []
            for key in (
                "data",
                "prepaid",
                "opened",
                "closed",
                "iam",
                "network",
                "versions",
                "refused",
                "doubts",
                "stateful",
            )
        },
        "rules": {
            "failing": list(item.rules.failing),
            "warning": list(item.rules.warning),
            "passing": list(item.rules.passing),
        },
        "cost": list(item.money),
        "time": list(item.time),
        "estimateDiffers": list(item.estimate),
        "engineErrors": list(item.engine.errors) if item.engine else [],
        "encrypted": list(item.hidden),
    }
