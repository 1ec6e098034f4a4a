"""What the parsers of Dynamo and its engines make of a command line, without having them: from tables of their flags.

A worker's words go through several parsers, one after another: Dynamo's own, from 1.5.0 on the one that advertises routing, and
the engine's. Each takes what it knows and leaves the rest; what the last one leaves ends the process with 2. They are read here
as argparse reads them (aliases, `--flag=value`, unambiguous beginnings, numbers of values, choices), and as vLLM's own parser
does, for which `_` is `-` and `--config.key value` is JSON.

The tables under flags/ are derived from the parsers themselves by `python -m tools.flags build`, which also keeps what the real
ones answer to the command lines of tests/dynamo/command_lines.yaml.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

MODULES = ("frontend", "mocker", "vllm", "sglang", "trtllm")
"""What is started as `python3 -m dynamo.<module>`."""

FOLDER = Path(__file__).parent / "flags"

Fault = Literal["unknown", "ambiguous", "choice", "values", "type"]

GONE: Mapping[str, str] = {
    "--is-prefill-worker": "--disaggregation-mode prefill",
    "--is-decode-worker": "--disaggregation-mode decode",
    "--cuda-graph-max-bs": "--cuda-graph-max-bs-decode",
    "--prefill-round-robin-balance": "--load-balance-method round_robin",
    "--publish-events-and-metrics": "--publish-kv-events and --publish-metrics",
}
"""What stands for flags that are gone, where no older table says it (Dynamo 1.4 release notes and `dynamo.trtllm`'s own
parser; SGLang 0.5.16 to 0.5.21, server_args)."""

DYNAMIC = "--trtllm."
"""Beginning of the flags by which `dynamo.trtllm` takes any engine option, `--trtllm.kv_cache_config.dtype fp8`."""


PROCESSOR = "--dyn-chat-processor"
"""Flag of the frontend that lets an engine's own parser read what is left."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, under all its names."""

    names: tuple[str, ...]
    takes: str = "1"
    """How many values, in argparse's own signs: `0`, `1`, another number, `?`, `*` or `+`."""
    choices: tuple[str, ...] = ()
    type: Literal["int", "float", "json"] | None = None
    goes: str | None = None
    """Where its own help calls it deprecated: what it names instead, or nothing."""
    old: str | None = None
    """The one of its names that is deprecated."""
    env: str | None = None
    """Environment variable that sets it as well."""
    many: bool = False
    """Whether it may be given more than once."""

    @property
    def name(self) -> str:
        """The name to call it by: the longest that is not on its way out and does not say no."""
        spoken = [name for name in self.names if name != self.old and not name.startswith("--no-")] or self.names
        return max(spoken, key=len)


@dataclass(frozen=True)
class Stage:
    """One parser."""

    flags: tuple[Flag, ...]
    abbreviates: bool
    """Whether a beginning that only one name has stands for that name."""
    flexible: bool
    """Whether it is vLLM's parser."""

    @cached_property
    def by_name(self) -> Mapping[str, Flag]:
        return {name: flag for flag in self.flags for name in flag.names}


@dataclass(frozen=True, slots=True)
class Given:
    """One flag of a command line with its values, or words that no parser takes."""

    position: int
    """Of its first word."""
    spelled: str
    flag: Flag | None
    values: tuple[str, ...] = ()
    fault: Fault | None = None
    """Why the process would end: no such flag, a beginning of several, a value it does not take, too few or too many values,
    no number or no JSON where one is wanted."""
    could_be: tuple[str, ...] = ()
    """Names that an ambiguous beginning could stand for."""


@dataclass(frozen=True, slots=True)
class Table:
    """The parsers of one module in one release."""

    module: str
    dynamo: str
    engine: str | None
    """Engine and version that the release pins, `vllm 0.28.0`."""
    stages: tuple[Stage, ...]

    def flag(self, name: str) -> Flag | None:
        """The flag with exactly this name; the first parser that knows it."""
        return next((stage.by_name[name] for stage in self.stages if name in stage.by_name), None)

    @property
    def release(self) -> str:
        """`Dynamo 1.6.1 (sglang 0.5.21)`."""
        return f"Dynamo {self.dynamo}{f' ({self.engine})' if self.engine else ''}"


def file_of(module: str, version: str) -> Path:
    """File of a module's table."""
    return FOLDER / f"{module}-{version}.json"


def environment_file(version: str) -> Path:
    """File with the environment variables that a release's wheels name."""
    return FOLDER / f"environment-{version}.json"


@cache
def table(module: str, version: str) -> Table | None:
    """The table of a module in a release; None where there is none."""
    file = file_of(module, version)
    if module not in MODULES or not file.exists():
        return None
    told = json.loads(file.read_text())
    stages = tuple(
        Stage(tuple(map(_flag, each["flags"])), each["abbreviates"], each["flexible"]) for each in told["stages"]
    )
    return Table(module, version, told.get("engine"), stages)


def _flag(told: Mapping[str, Any]) -> Flag:
    return Flag(**{**told, "names": tuple(told["names"]), "choices": tuple(told.get("choices", ()))})


@cache
def environment(version: str) -> frozenset[str] | None:
    """Names of Dynamo's, vLLM's and SGLang's environment variables in a release; None where they are not known."""
    file = environment_file(version)
    return frozenset(json.loads(file.read_text())["names"]) if file.exists() else None


Word = tuple[int, str]
"""A word with its position in the command line."""


def read(found: Table, words: Sequence[str]) -> list[Given]:
    """What the parsers make of the words, in the order of the words."""
    left: list[Word] = list(enumerate(words))
    given: list[Given] = []
    for stage in found.stages:
        taken, left = _read(stage, flexible(left) if stage.flexible else left)
        given += taken
    if found.module == "trtllm":
        left = [word for word in left if not word[1].startswith(DYNAMIC)]
        left = [] if all(not _is_flag(word) for _, word in left) and _dynamic(words) else left
    if found.module == "frontend" and any(
        each.flag and each.flag.name == PROCESSOR and each.values != ("dynamo",) for each in given
    ):
        # The engine's own flags follow then, and its own parser reads them.
        left = []
    given += _unknown(left)
    return sorted(given, key=lambda each: each.position)


def _unknown(left: Sequence[Word]) -> list[Given]:
    """Words that no parser takes, each flag with what stands behind it."""
    found: list[Given] = []
    for position, word in left:
        last = found[-1] if found else None
        if last and not _is_flag(word) and position == last.position + len(last.values) + 1:
            found[-1] = replace(last, values=(*last.values, word))
        else:
            found.append(Given(position, word.partition("=")[0], None, fault="unknown"))
    return found


def _dynamic(words: Iterable[str]) -> bool:
    return any(word.startswith(DYNAMIC) for word in words)


def normal(found: Table, words: Sequence[str]) -> list[str]:
    """The same command line, each flag under its one name with its values after it; words that no parser takes stay."""
    out: list[str] = []
    for each in read(found, words):
        if each.flag is None:
            out.append(words[each.position])
            continue
        off = each.spelled.startswith("--no-") and each.spelled in each.flag.names
        out += [each.spelled if off else each.flag.name, *each.values]
    return out


_NEGATIVE = re.compile(r"-\d+$|-\d*\.\d+$")


def _is_flag(word: str) -> bool:
    """Whether a word begins like a flag; a negative number does not, and neither does what has a space in it."""
    return word.startswith("-") and len(word) > 1 and not _NEGATIVE.match(word) and " " not in word


def flexible(words: Sequence[Word]) -> list[Word]:
    """What vLLM's parser makes of the words before argparse sees them (vllm/utils/argparse_utils.py): of one dash or two, what
    has a dot in its name is a key of a mapping, `-cc.mode 3` as `--compilation-config.mode 3`, and so is `-0.5`."""
    out: list[Word] = []
    nested: dict[str, tuple[int, dict[str, Any]]] = {}
    after = [word for _, word in (*words[1:], (0, ""))]
    left = iter([part for word, following in zip(words, after, strict=False) for part in _spelled(word, following)])
    for position, word in left:
        name, equals, value = word.partition("=")
        if not name.startswith("-") or "." not in name:
            out.append((position, word))
            continue
        told = value if equals else next(left, (0, None))[1]
        if told is None:
            # It ends while it looks for the value.
            out.append((position, name.partition(".")[0]))
            continue
        head, *keys = name.removesuffix("+").split(".")
        _put(nested.setdefault(head, (position, {}))[1], keys, told.split(",") if name.endswith("+") else _dotted(told))
    # Dotted keys become one JSON value behind everything else.
    return out + [
        part for head, (position, told) in nested.items() for part in ((position, head), (position, json.dumps(told)))
    ]


def _spelled(word: Word, following: str) -> list[Word]:
    """A word with `-` for each `_` of a flag's name, and levels of optimization under the flag they stand for."""
    position, text = word
    if text.startswith("--"):
        name, equals, value = text.partition("=")
        head, dot, keys = name.partition(".")
        return [(position, f"{head.replace('_', '-')}{dot}{keys}{equals}{value}")]
    if text.startswith("-O") and text != "-O":
        return [(position, "--optimization-level"), (position, text[2:].removeprefix("="))]
    if text == "-O" and following in {"0", "1", "2", "3"}:
        return [(position, "--optimization-level")]
    return [word]


def _put(into: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Put a value under keys below keys: mappings are merged, lists grow, and of anything else the last one counts."""
    key, *below = keys
    there = into.get(key)
    if below:
        inner = there if isinstance(there, dict) else {}
        into[key] = inner
        _put(inner, below, value)
    elif isinstance(there, dict) and isinstance(value, dict):
        for name, each in value.items():
            _put(there, [name], each)
    elif isinstance(there, list) and isinstance(value, list):
        into[key] = [*there, *value]
    else:
        into[key] = value


_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SUFFIXED = re.compile(r"\b\d+(?:\.\d+)?[kmgt]\b|\b\d+[KMGT]\b")
_BARE = re.compile(rf'"(?:[^"\\]|\\.)*"|{_SUFFIXED.pattern}')
"""Strings, and the numbers outside of them."""


def _number(word: str) -> int:
    """A number with its suffix, of a thousand or of 1024 (vLLM's `human_readable_int`)."""
    return int(float(word[:-1]) * _SUFFIXES[word[-1]])


def _dotted(value: str) -> Any:
    """The value of a dotted key: JSON, a number with a suffix, or the word itself."""
    if _SUFFIXED.fullmatch(value):
        return _number(value)
    try:
        return json.loads(value)
    except ValueError:
        return value


def _is_json(value: str) -> bool:
    """Whether an engine can read a value as JSON: vLLM has numbers with suffixes there, outside of strings, and takes nothing and
    `None` for no value (vllm/engine/arg_utils.py)."""
    if value in ("", "None"):
        return True
    plain = _BARE.sub(lambda found: found[0] if found[0][0] == '"' else str(_number(found[0])), value)
    try:
        json.loads(plain, strict=False)
    except ValueError:
        return False
    return True


def _read(stage: Stage, words: Sequence[Word]) -> tuple[list[Given], list[Word]]:
    """What one parser takes, and what it leaves."""
    given: list[Given] = []
    left: list[Word] = []
    index = 0
    while index < len(words):
        position, word = words[index]
        index += 1
        if word == "--":
            return given, left + list(words[index - 1 :])
        names, attached = _named(stage, word)
        if not names:
            left.append((position, word))
            continue
        if len(names) > 1:
            given.append(Given(position, word.partition("=")[0], None, fault="ambiguous", could_be=tuple(names)))
            continue
        flag = stage.by_name[names[0]]
        values = []
        if attached is None:
            most = _most(flag.takes)
            while index < len(words) and len(values) < most and not _option(stage, words[index][1]):
                values.append(words[index][1])
                index += 1
        else:
            values = [attached]
        given.append(Given(position, names[0], flag, tuple(values), _judged(flag, values)))
    return given, left


def _most(takes: str) -> float:
    return {"?": 1, "*": float("inf"), "+": float("inf"), "...": float("inf"), "A...": float("inf")}.get(takes) or int(
        takes
    )


def _option(stage: Stage, word: str) -> bool:
    """Whether argparse takes a word for a flag, known or not, and so for no value."""
    return word == "--" or word in stage.by_name or word.partition("=")[0] in stage.by_name or _is_flag(word)


def _named(stage: Stage, word: str) -> tuple[list[str], str | None]:
    """Names that a word can stand for, and the value it carries (argparse's `_parse_optional` and `_get_option_tuples`)."""
    if word in stage.by_name:
        return [word], None
    if not word.startswith("-") or len(word) == 1:
        return [], None
    name, equals, value = word.partition("=")
    attached = value if equals else None
    if equals and name in stage.by_name:
        return [name], attached
    if word.startswith("--"):
        return ([each for each in stage.by_name if each.startswith(name)] if stage.abbreviates else []), attached
    short = [each for each in stage.by_name if each == word[:2]]
    longer = [each for each in stage.by_name if each.startswith(word)]
    return short + longer, (word[2:] if short else None)


def _judged(flag: Flag, values: Sequence[str]) -> Fault | None:
    fewest = {"0": 0, "?": 0, "*": 0, "+": 1, "...": 0, "A...": 1}.get(flag.takes)
    fewest = int(flag.takes) if fewest is None else fewest
    if len(values) < fewest or len(values) > _most(flag.takes):
        return "values"
    if flag.type == "json":
        return None if all(map(_is_json, values)) else "type"
    try:
        numbers = [{"int": int, "float": float}[flag.type](value) for value in values] if flag.type else values
    except ValueError:
        return "type"
    if flag.choices and any(str(value) not in flag.choices for value in numbers):
        return "choice"
    return None


def instead(found: Table, name: str) -> str:
    """What may be meant by a flag that the release does not have, as the end of a sentence; empty where nothing is like it."""
    if name in GONE:
        return f"; it is {GONE[name]} now"
    from ..catalog import DYNAMO

    others = {version: other.flag(name) for version in DYNAMO if (other := table(found.module, version))}
    having = {version: flag for version, flag in others.items() if flag}
    if new := next((flag.goes for flag in having.values() if flag.goes and found.flag(flag.goes)), None):
        return f"; it is {new} now"
    if having:
        return f"; it is in Dynamo {' and '.join(having)} only"
    known = [each for stage in found.stages for each in stage.by_name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; {near[0]} is like it" if near else ""


_TYPES = {"int": "a whole number", "float": "a number", "json": "JSON"}


def expected(found: Table, given: Given) -> str | None:
    """What would be right instead of a flag that is not, as the end of the sentence `expected ...`; None where all is."""
    flag, module = given.flag, f"dynamo.{found.module} of {found.release}"
    match given.fault:
        case "unknown":
            return f"a flag that {module} has{instead(found, given.spelled)}"
        case "ambiguous":
            several = ", ".join(given.could_be[:4]) + (", …" if len(given.could_be) > 4 else "")
            now = f"; it is {GONE[given.spelled]} now" if given.spelled in GONE else ""
            return f"a flag's whole name, since {module} has {several}{now}"
        case "choice" if flag:
            wrong = next((value for value in given.values if value not in flag.choices), given.values[0])
            near = difflib.get_close_matches(wrong, flag.choices, n=1)
            few = (
                f"{near[0]}, or another of the {len(flag.choices)}"
                if near and len(flag.choices) > 8
                else ", ".join(flag.choices)
            )
            return f"a value of {given.spelled} that {module} takes: {few}"
        case "values" if flag:
            wants = {"0": "no value", "1": "one value", "+": "one value or more"}.get(
                flag.takes, f"{flag.takes} values"
            )
            return f"{wants} after {given.spelled}"
        case "type" if flag:
            return f"{_TYPES[flag.type or 'float']} after {given.spelled}"
    return None


def table_for(module: str, version: str) -> Table | None:
    """The table for a release or, where there is none, for another patch of its minor: 1.5.1 and 1.6.0 have the flags of 1.5.0
    and 1.6.1, and 1.4.2 those of 1.4.0 with `--classify-worker` (their wheels, read in November 2026)."""
    from ..catalog import DYNAMO

    minor = version.rpartition(".")[0]
    like = next((each for each in DYNAMO if each == version), None) or next(
        (each for each in DYNAMO if each.rpartition(".")[0] == minor), None
    )
    return table(module, like) if like else None
