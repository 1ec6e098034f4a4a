"""YAML as the engine reads it.

The engine decodes a stack file with Go's yaml.v3, writes the values out again and decodes that, and hands each value to
the program as text or JSON. PyYAML follows another version of YAML and keeps what JSON cannot say, so only its parser is
used here; what a scalar is, which keys clash and what a date becomes follow the engine's source (Pulumi 3.259:
`sdk/go/common/workspace/loaders.go`, `sdk/go/common/resource/config/object.go`; `gopkg.in/yaml.v3` 3.0.1: `resolve.go`,
`decode.go`). `tests/stacks/corpus/scalars.txt` holds both against each other.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

# libyaml's parser is ten times faster and not in every wheel.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LARGEST_FILE = 512 * 1024
"""Bytes of a stack file. Ours; the largest that somebody writes has some ten thousand."""
DEEPEST = 100
"""Levels of nesting. The engine goes to 10,000; a stack file needs about ten."""
MOST_VALUES = 20_000
"""Values that a file unfolds into, aliases followed. Ours; the largest shipped stack has 130."""
LONGEST_KEY = 1024
"""Characters of a key, which is libyaml's own limit for one in a line."""

_LOOK_FOR = "look there and above for a bracket or a quote that is not closed, or an indent that is off"

_STANDARD = "tag:yaml.org,2002:"


class Unreadable(Exception):
    """Text that the engine does not read, or that no stack file needs; each fault with its line (None for the whole)."""

    def __init__(self, *faults: tuple[int | None, str]) -> None:
        super().__init__("; ".join(text for _, text in faults))
        self.faults = faults


@dataclass(slots=True)
class Node:
    """A place in the file."""

    kind: str
    """`scalar`, `list`, `map` or `alias`."""
    line: int
    tag: str = ""
    """Short form (`!!int`), resolved for plain scalars; empty for an alias."""
    text: str = ""
    """A scalar as written; the anchor's name of an alias."""
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    target: Node | None = None
    """What an alias stands for."""
    column: int = 1

    @property
    def real(self) -> Node:
        """The node, or what it stands for."""
        return self.target if self.target is not None else self

    @property
    def is_merge(self) -> bool:
        """Also in quotes: the engine writes them back without."""
        return self.kind == "scalar" and self.text == "<<"


# --- from text to nodes ------------------------------------------------------------------------------------------------


def parse(text: str) -> tuple[Node | None, int | None]:
    """The first document's root, and the line where a second one begins. Raises Unreadable."""
    try:
        return _parsed(text, yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(filter(None, (error.context, error.problem))) or "no YAML"
        raise Unreadable((mark.line + 1 if mark else None, f"not YAML: {said}; {_LOOK_FOR}")) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        raise Unreadable((line, "a character that YAML does not allow")) from None
    except ValueError:
        raise Unreadable((None, "a number in it is too long")) from None


def _parsed(text: str, events: Iterator[Any]) -> tuple[Node | None, int | None]:
    root: Node | None = None
    open_: list[tuple[Node, list[Node]]] = []
    anchors: dict[str, Node] = {}
    count = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                return root, line
            if event.version and tuple(event.version) != (1, 1):
                raise Unreadable((line, "a %YAML directive other than 1.1, which the engine refuses; remove the line"))
            continue
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            _close(*open_.pop())
            continue
        node = _node(text, event, anchors)
        if node is None:
            continue
        count += 1
        if count > MOST_VALUES:
            raise Unreadable((line, f"more than {MOST_VALUES:,} values; no stack file needs as many"))
        if getattr(event, "anchor", None) and node.kind != "alias":
            anchors[event.anchor] = node
        if open_:
            open_[-1][1].append(node)
        else:
            root = node
        if node.kind in ("map", "list"):
            open_.append((node, []))
            if len(open_) > DEEPEST:
                raise Unreadable((line, f"more than {DEEPEST} levels of nesting; no stack file needs as many"))
    return root, None


def _node(text: str, event: Any, anchors: Mapping[str, Node]) -> Node | None:
    """What an event begins; None for one that begins nothing."""
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise Unreadable((line, f"the anchor {event.anchor!r} is not defined above"))
        return Node("alias", line, text=event.anchor, target=anchors[event.anchor], column=column)
    if isinstance(event, yaml.ScalarEvent):
        raw = text[event.start_mark.index : event.end_mark.index] if event.style == '"' else ""
        if _SLASH_ESCAPE.search(raw):
            raise Unreadable((line, "the escape \\/, which the engine does not know; write / alone"))
        return Node("scalar", line, _scalar_tag(event), event.value, column=column)
    if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
        kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
        given = event.tag if event.tag and event.tag != "!" else None
        return Node(kind, line, _short(given) if given else ("!!map" if kind == "map" else "!!seq"), column=column)
    return None


def _close(node: Node, inside: list[Node]) -> None:
    """Give a mapping or list what was found in it."""
    if node.kind == "map":
        node.pairs = list(zip(inside[::2], inside[1::2], strict=True))
    else:
        node.items = inside


def _short(tag: str) -> str:
    return f"!!{tag.removeprefix(_STANDARD)}" if tag.startswith(_STANDARD) else tag


def _scalar_tag(event: Any) -> str:
    if event.tag and event.tag != "!":
        return _short(event.tag)
    if event.style in ("'", '"', "|", ">"):
        return "!!str"
    return "!!merge" if event.value == "<<" else resolve("", event.value)[0]


_SLASH_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\/")
"""YAML 1.2 took it over from JSON; the engine's parser is older."""


# --- scalars -------------------------------------------------------------------------------------------------------------

_WORDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("true", "True", "TRUE"), ("!!bool", True)),
    **dict.fromkeys(("false", "False", "FALSE"), ("!!bool", False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("!!null", None)),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("!!float", math.nan)),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), ("!!float", math.inf)),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), ("!!float", -math.inf)),
    "<<": ("!!merge", "<<"),
}

_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[bB](?P<b>[01]+)|0[oO](?P<o>[0-7]+)|0[xX](?P<x>[0-9a-fA-F]+)|0(?P<z>[0-7]+)|(?P<d>0|[1-9][0-9]*))"
)
_SIGN_INSIDE = re.compile(r"0(?:b(?P<b>[-+][01]+)|o(?P<o>[-+][0-7]+))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = r"(\d{4})-(\d{1,2})-(\d{1,2})"
_CLOCK = r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d+))?"
_TIMES = (
    re.compile(rf"{_DATE}[Tt]{_CLOCK}(Z|[-+]\d\d:\d\d)", re.ASCII),
    re.compile(rf"{_DATE} +{_CLOCK}()", re.ASCII),
    re.compile(rf"{_DATE}()()()()()", re.ASCII),
)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment as Go keeps it: year 0 exists, a fraction has nine digits, and the zone is only an offset."""

    fields: tuple[int, int, int, int, int, int]
    fraction: str
    offset: int
    """Minutes east of UTC."""

    @property
    def _zone(self) -> tuple[str, int, int]:
        return ("-" if self.offset < 0 else "+", *divmod(abs(self.offset), 60))

    def __str__(self) -> str:
        """As Go prints it, which is what reaches the program."""
        sign, hours, minutes = self._zone
        zone = f"{sign}{hours:02}{minutes:02}"
        return f"{self._shown(' ')} {zone} {zone if self.offset else 'UTC'}"

    @property
    def written(self) -> str:
        """As it is written back into YAML."""
        sign, hours, minutes = self._zone
        return self._shown("T") + (f"{sign}{hours:02}:{minutes:02}" if self.offset else "Z")

    def _shown(self, between: str) -> str:
        year, month, day, hour, minute, second = self.fields
        fraction = f".{self.fraction}" if self.fraction else ""
        return f"{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}"


def _time(text: str) -> Time | None:
    for pattern in _TIMES:
        found = pattern.fullmatch(text)
        if found is None:
            continue
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
        if not (1 <= month <= 12 and 1 <= day <= days[month - 1] and hour < 24 and minute < 60 and second < 60):
            continue
        zone, offset = found.group(8), 0
        if zone not in ("Z", "", None):
            hours, minutes = int(zone[1:3]), int(zone[4:6])
            if hours > 24 or minutes > 60:
                continue
            offset = (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
        fields = (year, month, day, hour, minute, second)
        return Time(fields, (found.group(7) or "")[:9].rstrip("0"), offset)
    return None


def _integer(text: str) -> int | None:
    """A whole number of 64 bits, signed or not."""
    if found := _INTEGER.fullmatch(text):
        base, digits = _digits(found)
        sign = found["sign"]
        # Python refuses to read 4,300 digits, and none of that length fits.
        if len(digits) > 64:
            return None
        number = int(digits, base) * (-1 if sign == "-" else 1)
        if -(2**63) <= number < 2**63 or (not sign and number < 2**64):
            return number
        return None
    if (found := _SIGN_INSIDE.fullmatch(text)) and len(text) <= 66:
        base, digits = _digits(found)
        number = int(digits, base)
        return number if -(2**63) <= number < 2**63 else None
    return None


def _digits(found: re.Match[str]) -> tuple[int, str]:
    bases = {"b": 2, "o": 8, "x": 16, "z": 8, "d": 10}
    return next((bases[name], digits) for name, digits in found.groupdict().items() if name != "sign" and digits)


def _real(text: str) -> float | None:
    if not _FLOAT.fullmatch(text) or re.match(r"[-+]?[1-9][0-9]{309}[0-9.]*$", text):
        return None
    if len(text) > 2000:
        raise ValueError(f"a number of {len(text):,} characters")
    number = float(text)
    return None if math.isinf(number) else number


def resolve(tag: str, text: str) -> tuple[str, Any]:
    """What a scalar is by its tag (empty: none given) and text; raises ValueError when it cannot be what its tag says."""
    if tag not in ("", "!!str", "!!bool", "!!int", "!!float", "!!null", "!!timestamp"):
        return tag, text
    found, value = ("!!str", text) if tag == "!!str" else _resolved(tag, text)
    if tag in ("", found, "!!str"):
        return found, value
    if tag == "!!float" and isinstance(value, int) and not isinstance(value, bool) and value < 2**63:
        return tag, float(value)
    raise ValueError(f"{text!r} is no {tag}")


def _resolved(tag: str, text: str) -> tuple[str, Any]:
    first = text[:1]
    if first and first not in "+-0123456789yYnNtTfFoO~.":
        return ("!!merge", text) if text == "<<" else ("!!str", text)
    if text in _WORDS:
        return _WORDS[text]
    if first == "." and (real := _real(text)) is not None:
        return "!!float", real
    if first and first in "+-0123456789":
        if tag in ("", "!!timestamp") and (time := _time(text)):
            return "!!timestamp", time
        plain = text.replace("_", "")
        if (number := _integer(plain)) is not None:
            return "!!int", number
        if (real := _real(plain)) is not None:
            return "!!float", real
    return "!!str", text


def _general(number: float) -> str:
    """A float as Go writes it by default: shortest digits, with an exponent from a million on."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    shown, point = "".join(map(str, digits)), len(digits) + int(exponent) - 1
    if -4 <= point < 21 and (point < 6 or shown == "0"):
        text = format(abs(Decimal(repr(number)).normalize()), "f")
    else:
        text = f"{shown[0]}{'.' + shown[1:] if len(shown) > 1 else ''}e{'-' if point < 0 else '+'}{abs(point):02}"
    return f"-{text}" if sign else text


def json_text(number: float) -> str:
    """A float as JSON text, as Go writes it."""
    if number.is_integer() and abs(number) < 1e21:
        return str(int(Decimal(repr(number))))
    if 1e-6 <= abs(number) < 1e21:
        return format(Decimal(repr(number)), "f")
    return re.sub(r"e-0(\d)$", r"e-\1", repr(number))


def _json_number(number: float) -> int | float:
    """A float as JSON has it: whole ones are written without a point, up to 21 digits."""
    if number.is_integer() and abs(number) < 1e21:
        return int(Decimal(repr(number)))
    return number


# --- values ---------------------------------------------------------------------------------------------------------------


class Values:
    """Makes a document's values. Faults are gathered, so that all of them can be told; raises Unreadable for aliases that
    unfold without end."""

    def __init__(self) -> None:
        self.faults: list[tuple[int | None, str]] = []
        self._made = 0
        self._aliased = 0
        self._inside: list[Node] = []

    def of(self, node: Node, depth: int = 0) -> Any:
        """A node's value: text, numbers, booleans, None, lists, and mappings with text keys in JSON's order. `depth` counts
        from the top of the file: 1 is a key of `config:`."""
        self._count(node, depth)
        if node.kind == "alias":
            return self._alias(node, depth)
        if node.kind == "list":
            return [self.of(item, depth + 1) for item in node.items]
        if node.kind == "map":
            return self._mapping(node, depth)
        value = self.scalar(node)
        if isinstance(value, Time):
            return str(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                self.faults.append(
                    (node.line, f"{node.text} is no number that JSON can say, and the engine refuses it")
                )
                return None
            return _json_number(value)
        if isinstance(value, int) and value >= 2**63 and depth > 1:
            # Inside an object it goes through JSON once more, where the engine has no larger integers.
            return _json_number(float(value))
        return value

    def scalar(self, node: Node) -> Any:
        """A scalar's value, with Time and float as they are."""
        try:
            tag, value = resolve(node.tag, node.text)
        except ValueError as error:
            self.faults.append((node.line, f"{error}; the engine refuses the tag"))
            return None
        if tag != "!!binary":
            return value
        try:
            return base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True).decode()
        except (binascii.Error, ValueError):
            self.faults.append((node.line, "!!binary that is no text in base64; write the text itself"))
            return None

    def pairs(self, node: Node, depth: int) -> list[tuple[Any, Node, Node]]:
        """A mapping's keys (as Go has them), key nodes and value nodes, merged ones after its own; the last of two wins."""
        self._twice(node)
        found: dict[tuple[type, Any], tuple[Any, Node, Node]] = {}
        merged: list[Node] = []
        for key, value in node.pairs:
            if key.is_merge:
                merged = [value]
                continue
            real = key.real
            if real.kind != "scalar":
                self.faults.append((key.line, "a list or a mapping as a key; keys are text"))
                continue
            if len(real.text) > LONGEST_KEY:
                self.faults.append((key.line, f"a key of more than {LONGEST_KEY} characters"))
                continue
            self._count(key, depth)
            made = self.scalar(real)
            if isinstance(made, float) and math.isnan(made):
                self.faults.append(
                    (key.line, f"{real.text} as a key, whose value the engine loses; write it in quotes")
                )
                continue
            found[type(made), str(made)] = (made, key, value)
        for source in merged:
            self._merge(source, found, depth)
        return list(found.values())

    def _merge(self, source: Node, found: dict[tuple[type, Any], tuple[Any, Node, Node]], depth: int) -> None:
        real = source.real
        sources = real.items if real.kind == "list" and source.kind != "alias" else [source]
        for item in sources:
            if item.real.kind != "map":
                self.faults.append((item.line, "`<<` takes a mapping or a list of mappings"))
                continue
            self._count(item, depth)
            with _Inside(self, item):
                for made, key, value in self.pairs(item.real, depth + 1):
                    found.setdefault((type(made), str(made)), (made, key, value))

    def _mapping(self, node: Node, depth: int) -> dict[str, Any]:
        found, written = {}, {}
        for made, key, value in self.pairs(node, depth):
            name, back = _key(made)
            if written.setdefault(back, key) is not key:
                first = written[back].line
                self.faults.append((key.line, f"the key {name!r} is there twice (also in line {first}); keep one"))
            found[name] = self.of(value, depth + 1)
        return {name: found[name] for name in sorted(found, key=lambda name: name.encode(errors="surrogatepass"))}

    def _twice(self, node: Node) -> None:
        seen: dict[tuple[str, str], Node] = {}
        for key, _ in node.pairs:
            first = seen.setdefault((key.kind, key.text), key)
            if first is not key:
                what = repr(key.text) if key.kind == "scalar" else "with no name"
                where = "in the same line" if first.line == key.line else f"also in line {first.line}"
                self.faults.append((key.line, f"the key {what} is there twice ({where}); keep one"))

    def _alias(self, node: Node, depth: int) -> Any:
        with _Inside(self, node):
            return self.of(node.real, depth + 1)

    def _count(self, node: Node, depth: int) -> None:
        self._made += 1
        self._aliased += bool(self._inside)
        if depth > DEEPEST * 2:
            raise Unreadable((node.line, f"aliases that nest more than {DEEPEST} levels deep"))
        # The engine's own bound for a file of this size, and ours.
        excessive = self._aliased > 100 and self._made > 1000 and self._aliased / self._made > 0.99
        if excessive or self._made > MOST_VALUES:
            raise Unreadable((node.line, f"aliases that unfold into too many values ({self._made:,} so far)"))


class _Inside:
    """Marks an alias as being followed; one that contains itself is refused."""

    def __init__(self, values: Values, node: Node) -> None:
        self._inside, self._node = values._inside, node

    def __enter__(self) -> None:
        if self._node.kind == "alias":
            if any(other is self._node for other in self._inside):
                raise Unreadable((self._node.line, f"the anchor {self._node.text!r} contains itself"))
            self._inside.append(self._node)

    def __exit__(self, *_: object) -> None:
        if self._node.kind == "alias":
            self._inside.pop()


def _key(made: Any) -> tuple[str, str]:
    """A key as the program has it, and as the engine writes it back before it reads again."""
    if isinstance(made, Time):
        return str(made), made.written
    if made is None:
        return "<nil>", "null"
    text = str(made)
    if isinstance(made, bool):
        text = text.lower()
    elif isinstance(made, float):
        # Written back without a point it is read as a whole number, and -0 as 0.
        text = _general(made) if made else "0"
    return text, text


Place = tuple[int, int]
"""Line and column, both from 1."""


def find(node: Node, path: str) -> Place | None:
    """Place of the key or item at a dotted path (`zones[0]`, `pools.gpu.families`) below a node, or of the nearest thing
    above it that is there; None when not even the first key is."""
    place: Place | None = None
    while path:
        step = _step(node.real, path)
        if step is None:
            break
        at, node, path = step
        place = (at.line, at.column)
    return place


def _step(node: Node, path: str) -> tuple[Node, Node, str] | None:
    if found := re.match(r"\[(\d{1,9})\]\.?", path):
        position = int(found[1])
        if node.kind == "list" and position < len(node.items):
            item = node.items[position]
            return item, item, path[found.end() :]
        return None
    if node.kind != "map":
        return None
    # Keys may hold dots themselves: the longest that fits.
    fitting = [
        (name, key, value)
        for made, key, value in Values().pairs(node, 0)
        if path.startswith(name := _key(made)[0]) and path[len(name) : len(name) + 1] in ("", ".", "[")
    ]
    if not fitting:
        return None
    name, key, value = max(fitting, key=lambda item: len(item[0]))
    return key, value, path[len(name) :].removeprefix(".")
