"""Stack files that somebody might write by mistake: the shipped ones with one or two things changed.

Deterministic, so that a failure can be asked for again by its number.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from stacks import stackfile
from stacks.settings import schema

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 17, 100, 10**5, 10**8, 2**31, 2**63 - 1, 10**30, 0.5, 1.5, 1e300, -0.0,
    "", " ", "x", "hello", "2Gi", "500m", "0", "0Gi", "1e9", "-1", "1.5", "99999999Ti", "0.0000001", "1k", "../..", "~", "/", ".", "-",
    "é", "🚀", "a" * 52, "a" * 63, "a" * 64, "a" * 300, "a\nb", "a\0b", "a b", "A", "my-name-", "-a", "a.b", "a:b", "a/b", "{}", "[]", "null", "%s", "{x}", "$x",
    [], [1], ["x"], [None], [[]], [{}], ["x", "x"], ["x"] * 50, {}, {"x": 1}, {"": ""}, {"1": 2}, {"x": {"x": {}}}, {"secure": "x"},
    "2026-12-01", "2026-12-01T11:30:00Z", "2026-12-08T11:30:00Z", "2026-12-08T12:30:00+01:00", "2026-12-08 11:30:00 +0000 UTC", "9999-12-31T11:30:00Z", "0001-01-01T11:30:00Z", "2026-02-30T11:30:00Z", "1733657400",
    "10.0.0.0/8", "10.0.0.0/16", "10.96.0.0/20", "10.96.0.0/28", "0.0.0.0/0", "0.0.0.0/1", "::/0", "300.0.0.0/8", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0",
    "us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1", "us-west-1", "mars-1", "use1-az1", "use1-az4", "usw2-az2", "use1-dfw2-az1", "use1-az99", "us-east-1a",
    "g6e", "p5", "p6e-gb200", "p6e-gb300", "t3", "g6e.2xlarge", "p5.48xlarge", "p5en.48xlarge", "p6e-gb200.36xlarge", "p6e-gb300.36xlarge", "g6f.large", "t3.micro", "p9.large",
    "u-p6e-gb200x36", "u-p6e-gb200x72", "u-p6e-gb300x72", "cr-0123456789abcdef0", "vpc-0123456789abcdef0", "subnet-0123456789abcdef0",
    "mocker", "vllm", "sglang", "trtllm", "efa", "tcp", "nvlink", "none", "kv", "perGraph", "perRole", "groveAuto", "rack-a", "rack-b", "gpu", "block", "reserved", "spot", "on-demand",
    "1.34", "1.35", "1.36", "1.99", "1.4.2", "1.5.0", "1.6.1", "9.9.9", "25.12.0", "26.7.0", "public", "nlb", "required", "300s", "0s", "99999999999999999999h", "10%", "101%", "default", "kube-system", "karpenter", "dynamo", "system",
)  # fmt: skip
"""What is put in the place of a value: of the wrong type, at the edges, and right elsewhere."""

REMOVED = object()


@dataclass(frozen=True)
class Mutant:
    """A stack file's text, and what was done to it."""

    stack: str
    what: str
    text: str


def _places(part: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [path for key, value in inside for path in ((*above, key), *_places(value, (*above, key)))]


def _schema_places() -> dict[tuple[str, ...], dict[str, Any]]:
    """Every key that the schema knows with its part of the schema, an entry's name being `x`."""
    whole = schema()
    found: dict[tuple[str, ...], dict[str, Any]] = {}

    def below(part: dict[str, Any], path: tuple[str, ...], seen: tuple[str, ...]) -> None:
        if path:
            found.setdefault(path, part)
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[-1]
            if name not in seen:
                below(whole["$defs"][name], path, (*seen, name))
            return
        for choice in ("anyOf", "oneOf", "allOf"):
            for item in part.get(choice, ()):
                below(item, path, seen)
        for key, item in part.get("properties", {}).items():
            below(item, (*path, key), seen)
        entries = [*part.get("patternProperties", {}).values(), part.get("additionalProperties")]
        for item in entries:
            if isinstance(item, dict) and path:
                below(item, (*path, "x"), seen)

    below(whole["properties"]["config"], (), ())
    return dict(sorted(found.items()))


def _fitting(part: dict[str, Any], choose: random.Random) -> Any:
    """A value that the schema allows by itself, so that the mutant reaches what is judged later."""
    choices = [item for key in ("anyOf", "oneOf") for item in part.get(key, ()) if item.get("type") != "null"]
    if choices:
        return _fitting(choose.choice(choices), choose)
    if "enum" in part or "const" in part:
        return choose.choice(part.get("enum", [part.get("const")]))
    match part.get("type"):
        case "boolean":
            return choose.random() < 0.5
        case "integer" | "number":
            low, high = part.get("minimum", 0), part.get("maximum", 64)
            step = part.get("multipleOf", 1)
            return choose.choice((low, high, low + step, (low + high) // 2 // step * step, 2, 4, 8))
        case "string":
            pattern = part.get("pattern", "")
            fit = [value for value in VALUES if isinstance(value, str) and re.search(pattern, value)]
            return choose.choice(fit) if fit else "x"
        case "array":
            items = part.get("items") or next(iter(part.get("prefixItems", ())), {})
            return [_fitting(items, choose) for _ in range(choose.choice((0, 1, 1, 2)))]
        case "object":
            return {}
    return choose.choice(VALUES)


def _put(config: dict[str, Any], path: tuple[Any, ...], value: Any) -> bool:
    place: Any = config
    for key in path[:-1]:
        if isinstance(place, dict):
            if key == "x" and key not in place and place:
                key = next(iter(place))
            place = place.setdefault(key, {})
        elif isinstance(place, list) and isinstance(key, int) and key < len(place):
            place = place[key]
        else:
            return False
    last = path[-1]
    if isinstance(place, dict):
        if value is REMOVED:
            return place.pop(last, REMOVED) is not REMOVED
        place[last] = copy.deepcopy(value)
        return True
    if isinstance(place, list) and isinstance(last, int) and last < len(place):
        if value is REMOVED:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
        return True
    return False


def edited(count: int, seed: int = 12) -> Iterator[Mutant]:
    """`count` files, each a shipped one with one to three keys changed, removed or added."""
    choose = random.Random(seed)
    shipped = {}
    for name in stackfile.available():
        # As written: without what the project adds.
        shipped[name] = {
            key: value for key, value in stackfile.read(name).config.items() if not key.startswith("pulumi:")
        }
    known = _schema_places()
    names = list(known)
    own = {name: _places(config) for name, config in shipped.items()}
    made = 0
    while made < count:
        stack = choose.choice(sorted(shipped))
        config = copy.deepcopy(shipped[stack])
        told = []
        for _ in range(choose.choice((1, 1, 1, 2, 3))):
            path = choose.choice(own[stack]) if choose.random() < 0.5 else choose.choice(names)
            value = REMOVED if choose.random() < 0.12 else choose.choice(VALUES)
            named = tuple(part if isinstance(part, str) else "x" for part in path)
            if (
                value is not REMOVED
                and choose.random() < 0.6
                and (part := known.get(named) or known.get(_generic(named, known)))
            ):
                value = _fitting(part, choose)
            elif choose.random() < 0.1:
                # Another entry's value, of the right shape in another place.
                value = _at(config, choose.choice(own[stack]))
            if _put(config, path, value):
                shown = "removed" if value is REMOVED else json.dumps(value, ensure_ascii=True, default=str)[:60]
                told.append(f"{'.'.join(map(str, path))} {shown}")
        if not told:
            continue
        made += 1
        yield Mutant(stack, "; ".join(told), yaml.safe_dump({"config": config}, sort_keys=False, allow_unicode=True))


def _generic(path: tuple[str, ...], known: dict[tuple[str, ...], dict[str, Any]]) -> tuple[str, ...]:
    """A path with names of entries as `x`, where the schema has them so."""
    made: tuple[str, ...] = ()
    for part in path:
        made = (*made, part) if (*made, part) in known else (*made, "x")
    return made


def _at(config: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        try:
            config = config[key]
        except (KeyError, IndexError, TypeError):
            return None
    return config


def cut(count: int, seed: int = 12) -> Iterator[Mutant]:
    """`count` files with characters taken out, doubled, put in, or lines moved: what an editor, a merge or a disk does."""
    choose = random.Random(seed)
    texts = {name: stackfile.read(name).path.read_text() for name in stackfile.available()}
    pieces = (
        "\t",
        "\r",
        ":",
        "-",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "#",
        "&x",
        "*x",
        "!x",
        "!!binary ",
        "|",
        ">",
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "\0",
        "\x85",
        "\ufeff",
        "%",
        "@",
        "`",
        "<<<<<<< HEAD\n",
        "=======\n",
        "~",
        "2026-12-08",
        "1_0",
        "0x1F",
        ".nan",
        "!!set ",
    )
    for _ in range(count):
        stack = choose.choice(sorted(texts))
        text = texts[stack]
        for _ in range(choose.choice((1, 1, 2, 4))):
            at = choose.randrange(len(text) + 1)
            match choose.randrange(5):
                case 0:
                    text = text[:at]
                case 1:
                    text = text[:at] + choose.choice(pieces) + text[at:]
                case 2:
                    text = text[:at] + text[at + choose.randrange(1, 30) :]
                case 3:
                    lines = text.splitlines(keepends=True)
                    choose.shuffle(lines) if choose.random() < 0.1 else lines.insert(
                        choose.randrange(len(lines) + 1), choose.choice(lines or ["\n"])
                    )
                    text = "".join(lines)
                case _:
                    lines = text.splitlines(keepends=True)
                    if lines:
                        number = choose.randrange(len(lines))
                        lines[number] = choose.choice(("", "  " + lines[number], lines[number].lstrip()))
                    text = "".join(lines)
        yield Mutant(stack, "cut", text)
