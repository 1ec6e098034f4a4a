"""Faults of a stack file and how they are told: file, key, value given, what is expected, how to fix it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

PREFIX = "dynamo-eks:"

_PACKAGE = re.compile(r"[a-z][a-z0-9-]*:")
"""What a key of the file begins with; keys of a section have a dot before any colon (`tags.team:cost`)."""


class StackFileError(Exception):
    """A stack file that cannot be read at all; the message has a line for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a stack file."""

    id: str
    """What kind of fault it is, the same in every version: `zone-twice`. docs/faults.md has them all."""
    key: str
    """Dotted path in the file, from the section: `network.zones[0]`."""
    expected: str
    """What would be right, as the end of the sentence `expected …`."""
    given: Any = None
    """The value found."""
    fix: str | None = None
    """What to do, when the expectation does not say it."""
    add: str | None = None
    """YAML lines to add, for a missing key. Only such a fault has them, and no value to show."""

    @property
    def full_key(self) -> str:
        """The key as it stands in the file, prefix and all."""
        return full_key(self.key)

    @property
    def present(self) -> bool:
        """Whether the key is there, with a value that is wrong."""
        return self.add is None

    def lines(self, at: str | None = None) -> list[str]:
        """The fault in lines; `at` is its place, as `file:line:column`."""
        out = [f"  {self.full_key}"]
        if at:
            out.append(f"    at        {at}")
        if self.present:
            out.append(f"    given     {_shown(self.given)}")
        out.append(f"    expected  {self.expected}")
        if self.fix:
            out.append(f"    fix       {self.fix}")
        if self.add is not None:
            out.append("    add")
            out += [f"      {line}" for line in self.add.splitlines()]
        out.append(f"    id        {self.id}")
        return out


def full_key(key: str) -> str:
    """A dotted path as it stands in the file, with the program's prefix where it names no other package."""
    return key if _PACKAGE.match(key) else f"{PREFIX}{key}"


MOST_TOLD = 100
"""Faults that a report shows; nobody reads on, and a hint for each of 10,000 takes a minute."""

Places = Callable[[str], tuple[int, int] | None]
"""Line and column of a stack file by dotted key (`network.zones[0]`); of what is above a key that is not there."""


def report(stack: str, faults: Sequence[Fault], place_of: Places | None = None) -> str:
    """All faults of a stack file as one text; each with its line and column, where the file is known."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    name = f"stacks/Pulumi.{stack}.yaml"
    lines = [f"{name} has {count}; nothing was registered:"]
    ordered = sorted(faults, key=lambda fault: fault.full_key)
    for fault in ordered[:MOST_TOLD]:
        place = place_of(fault.full_key) if place_of else None
        lines += ["", *fault.lines(":".join(map(str, (name, *place))) if place else None)]
    if len(ordered) > MOST_TOLD:
        lines += ["", f"  and {len(ordered) - MOST_TOLD} more, told once these are mended"]
    return "\n".join(lines)


def in_region(fault: Fault, zone_ids: Sequence[str]) -> Fault:
    """A fault whose examples name zones of the stack's own region instead of us-east-1's."""
    if "use1-az" not in fault.expected + (fault.add or "") or not zone_ids or zone_ids[0].startswith("use1-"):
        return fault
    own = {"use1-az1": zone_ids[0], "use1-az2": zone_ids[min(1, len(zone_ids) - 1)]}
    texts = (re.sub("use1-az[12]", lambda found: own[found[0]], text or "") for text in (fault.expected, fault.add))
    expected, add = texts
    return replace(fault, expected=expected, add=add or None)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like a word, if any is near."""
    import difflib  # late: only a faulty file needs it

    # Compared without case, so that `Zones` finds `zones`.
    lowered = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), lowered)
    return lowered[found[0]] if found else None


def listed(choices: Iterable[str], what: str = "one of") -> str:
    """`one of a, b, c`"""
    choices = sorted(choices, key=lambda choice: (int(choice) if choice.isdigit() else 0, choice))
    return f"{what} {', '.join(choices) or '(none is defined)'}"


def one_of(word: Any, choices: Collection[str], what: str = "one of") -> str:
    """`one of a, b, c; did you mean b?`"""
    text = listed(choices, what)
    # Another version is never what a typing error meant.
    close = nearest(word, choices) if isinstance(word, str) and not word[:1].isdigit() else None
    return f"{text}; did you mean {close}?" if close else text


def _shown(value: Any) -> str:
    import json
    from datetime import datetime

    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


REASONS: Mapping[tuple[str, str], str] = {
    (
        "ultraServers",
        "placementGroup",
    ): "no placement group: a block's machines are placed already, and with one none starts",
    ("ultraServers", "nodes"): "no count: the type says it, 9 or 18 nodes",
    ("ultraServers", "count"): "no count: the type says it, 9 or 18 nodes",
    (
        "ultraServers",
        "subnet",
    ): "no subnet: one is made in the block's zone, or named in network.existing.ultraServerSubnets",
    **{
        (
            "aws:assumeRoles",
            name,
        ): "no such key: the kubeconfig's token command (`aws eks get-token --role-arn`) cannot send one; "
        "put role_arn and what it needs into a profile of ~/.aws/config, and name that in aws:profile"
        for name in ("externalId", "policy", "policyArns", "sourceIdentity", "tags", "transitiveTagKeys")
    },
    ("graphs", "numNodes"): "no count: a ComputeDomain has numNodes 0, and who claims a channel is in",
}
"""What to say of a key that people try and that is missing on purpose, by something above it and its name."""

BOUNDS: Mapping[tuple[str, str], str] = {
    (
        "drainMinutes",
        "greater_than_equal",
    ): ": EC2 takes the machines 60 minutes before the end, and pods need time to go",
    (
        "aws:assumeRoles",
        "too_long",
    ): "; put a chain of roles into a profile of ~/.aws/config, and name that in aws:profile",
    ("nodes", "less_than_equal"): ", what the largest UltraServer has",
    ("hugePagesMib", "multiple_of"): ": the pages are of 2 MiB",
}
"""Why a number may not be smaller, larger or between, by its key."""

EXAMPLES: Mapping[str, str] = {
    "model": "model: qwen3-32b",
    "backend": "backend: vllm",
    "transport": "transport: tcp",
    "repository": "repository: Qwen/Qwen3-32B",
    "revision": 'revision: "9216db5781bf21249d130ec9da846c4624c16137"',
    "capacity": "capacity: [spot, on-demand]",
    "kind": "kind: onDemand",
    "instanceType": "instanceType: p5.48xlarge",
    "zone": "zone: use1-az1",
    "count": "count: 1",
    "reservation": "reservation: cr-0123456789abcdef0",
    "type": "type: u-p6e-gb200x72",
    "start": 'start: "2026-12-01T11:30:00Z"',
    "end": 'end: "2026-12-08T11:30:00Z"',
    "vpcId": "vpcId: vpc-0123456789abcdef0",
    "subnets": "subnets: {use1-az1: {private: subnet-0123456789abcdef0}}",
    "private": "private: subnet-0123456789abcdef0",
    "roleArn": "roleArn: arn:aws:iam::111122223333:role/deploy",
    "kubeconfig": "kubeconfig: ~/.kube/config",
    "context": "context: kind-kind",
    "tag": 'tag: "1.5.0-efa"',
    "parameters": "parameters: 32761446400",
    "weightBytes": "weightBytes: 65522892800",
    "format": "format: bf16",
    "layers": "layers: 64",
    "hiddenSize": "hiddenSize: 5120",
    "attentionHeads": "attentionHeads: 64",
    "vocabulary": "vocabulary: 151936",
    "contextTokens": "contextTokens: 40960",
}
"""An example line for every required key, shown when it is missing."""

PATTERNS: Mapping[str, str] = {
    r"^[a-z]+[0-9]-(az[0-9]+|[a-z]+[0-9]+-az[0-9]+)$": "a zone id, such as use1-az1 (ids are the same in every account, names like us-east-1a are not)",
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and dashes, beginning with a letter",
    r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$": "an EC2 instance type, such as g6e.2xlarge",
    r"^[0-9]{1,6}(\.[0-9]{1,3})?$|^[0-9]{1,9}m$": 'CPUs in quotes, such as "4", "0.5" or 500m',
    r"^[0-9]{7,15}$|^[0-9]{4,12}(k|Ki)$|^[0-9]{1,9}(\.[0-9]{1,9})?(M|G|T|Mi|Gi|Ti)$": "memory with its unit, such as 16Gi or 512Mi; without one it is a count of bytes",
    r"^1\.[0-9]{2}$": 'a Kubernetes version in quotes, such as "1.35"',
    r"^[0-9]+\.[0-9]+\.[0-9]+$": 'a release in quotes, such as "1.5.0"',
    r"^[A-Za-z_][A-Za-z0-9_]*$": "the name of an environment variable",
    r"^([0-9]{1,7}(s|m|h))+$": "a duration, such as 300s or 336h",
    r"^subnet-[0-9a-f]{8,17}$": "a subnet id, such as subnet-0123456789abcdef0",
    r"^vpc-[0-9a-f]{8,17}$": "a VPC id, such as vpc-0123456789abcdef0",
    r"^[a-zA-Z][a-zA-Z0-9-]{0,57}$": "a cluster name: letters, digits and dashes, beginning with a letter, at most 58 (with `-files` it is "
    "the file system's token, and EFS takes 64)",
    r"^1\.[0-9]{2}\.[0-9]+-20[0-9]{6}$": "a release of the EKS AMI in quotes, such as 1.35.7-20260911",
    r"^cr-[0-9a-f]{17}$": "a reservation id: cr- and 17 hexadecimal digits",
    r"^[0-9]{12}$": 'an AWS account in quotes, 12 digits, such as "111122223333" (without quotes YAML drops a leading 0)',
    r"^[A-Za-z0-9_][^\s\[\]\"']*$": "the name of a profile in ~/.aws/config, such as platform",
    r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$": "the ARN of an IAM role, such as arn:aws:iam::111122223333:role/deploy",
    r"^[\w+=,.@-]{2,64}$": "2 to 64 letters, digits and +=,.@-",
    r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$": "a duration from 15m to 12h, such as 1h30m",
    r"^([0-9]|[1-9][0-9]|100)%$|^[0-9]{1,4}$": 'a count or a percentage in quotes, such as "1" or 25%',
    r"^([0-9]|[1-9][0-9]|100)%$|^[0-9]{1,5}$": 'a count or a percentage in quotes, such as "1" or 10%',
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$": "a Hugging Face repository, such as Qwen/Qwen3-32B",
    r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})([Tt]| +)([0-9]{1,2}):([0-9]{2})(:([0-9]{2})([.,][0-9]+)?)? *"
    r"(Z|z|UTC|[+-]00(:?00)?( [A-Z+-][A-Z0-9+-]*)?)$": 'a moment in UTC in quotes, such as "2026-12-08T11:30:00Z"',
    r"^[0-9a-f]{40}$": "a commit of the repository: 40 hexadecimal digits in quotes",
    r"^[^\s-][^\s]{0,255}$": "a name without spaces and without a dash in front, at most 256 characters",
    r"^([a-z0-9]+((\.|-+)[a-z0-9]+)*(:[0-9]{1,5})?/)?[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*$": "an image without scheme and tag, in lower case, such as nvcr.io/nvidia/ai-dynamo/vllm-runtime",
    r"^[\w][\w.-]{0,127}(@sha256:[0-9a-f]{64})?$": "an image's tag, letters, digits and _.-, at most 128, with or without a digest behind it",
}
"""What a pattern means in words; every pattern of the settings has an entry (a test says so)."""

_EMPTY = "at least one item"

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false, without quotes",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "none_required": "nothing",
}

_UNION = "how many zones (2 to 6), or a list of zone ids such as [use1-az1, use1-az2]"


def from_pydantic(errors: Iterable[Mapping[str, Any]], section: str, keys_at: Any) -> list[Fault]:
    """Faults for pydantic's error records. `keys_at(path)` gives the keys allowed at a path below the section."""
    faults: dict[str, Fault] = {}
    for error in islice(errors, 2 * MOST_TOLD):
        path = [*section.split("."), *error["loc"]]
        if path[-1] == "[key]":
            path = path[:-1]
        union = path[:2] == ["network", "zones"]
        if union:
            # A name below is pydantic's, of the alternative that it tried.
            path = [*path[:2], *(part for part in path if isinstance(part, int))]
        key = dotted(path)
        if union and len(path) == 2:
            faults[key] = Fault("zones-form", key, _UNION, error["input"])
            continue
        kind, given = error["type"], error["input"]
        bound = BOUNDS.get((str(path[-1]), kind), "")
        if kind == "missing":
            example = EXAMPLES[str(path[-1])]
            faults[key] = Fault("missing-key", key, "a value; the key is required", add=_nested(path[:-1], example))
            continue
        if kind == "extra_forbidden":
            allowed = keys_at(error["loc"][:-1])
            reason = next((REASONS[above, path[-1]] for above in path if (above, path[-1]) in REASONS), None)
            faults[key] = Fault(
                "unknown-key", key, reason or one_of(str(path[-1]), allowed, "no such key here, but"), given
            )
            continue
        faults.setdefault(key, Fault(IDS.get(kind, OTHER_TYPE), key, _expected(error, bound), given))
    return _without_echoes(faults, section)


_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("a number of at least {}", "ge"),
    "greater_than": ("a number greater than {}", "gt"),
    "less_than_equal": ("a number of at most {}", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
}
"""Words for a number that is out of bounds, and pydantic's name of the bound."""

IDS: Mapping[str, str] = {
    "string_pattern_mismatch": "wrong-form",
    "value_error": "wrong-form",
    "literal_error": "not-a-choice",
    "greater_than_equal": "out-of-bounds",
    "greater_than": "out-of-bounds",
    "less_than_equal": "out-of-bounds",
    "multiple_of": "out-of-bounds",
    "string_too_short": "wrong-length",
    "string_too_long": "wrong-length",
    "too_short": "wrong-length",
    "too_long": "wrong-length",
}
"""Ids of faults in single values, by pydantic's kind."""

OTHER_TYPE = "wrong-type"
"""The id for every other kind: a value of another type."""

_SHORT = {"too_short": _EMPTY, "string_too_short": "text that is not empty"}


def _expected(error: Mapping[str, Any], bound: str) -> str:
    """What was expected where a value is of the wrong kind, or beyond a limit; `bound` says why the limit is there."""
    kind, given, context = error["type"], error["input"], error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        return PATTERNS[context["pattern"]]
    if kind == "literal_error":
        # As in `'single' or 'perZone'`.
        return one_of(given, re.split(", | or ", context["expected"].replace("'", "")))
    if kind == "value_error":
        return str(context["error"])
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return words.format(context[name]) + bound
    if kind == "string_too_long":
        longest = context["max_length"]
        why = "; graph and component name together may have 45, and `frontend` takes 8" if longest == 37 else ""
        return f"at most {longest} characters (these are {len(str(given))}){why}"
    if kind == "too_long":
        return f"at most {context['max_length']} of them (these are {context['actual_length'] or len(given)}){bound}"
    return _SHORT.get(kind) or _TYPES.get(kind) or error["msg"]


def _without_echoes(faults: dict[str, Fault], section: str) -> list[Fault]:
    """Faults without those that another one brings along."""
    if f"{section}.preset" in faults:
        # What the right preset brings along is not missing.
        for name in ("backend", "transport"):
            if (missing := faults.get(f"{section}.{name}")) and not missing.present:
                del faults[f"{section}.{name}"]
    for key in [key for key, fault in faults.items() if fault.expected in (_EMPTY, _UNION)]:
        # pydantic tells of the list as well as of the items that are wrong in it.
        if any(other.startswith(f"{key}[") for other in faults):
            del faults[key]
    return list(faults.values())


def dotted(path: Sequence[Any]) -> str:
    """`network.zones[0]` for ["network", "zones", 0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _nested(path: Sequence[Any], line: str) -> str:
    lines, indent = [], ""
    for position, part in enumerate(path):
        if isinstance(part, int):
            lines[-1] += f"  # item {part}"
            continue
        lines.append(f"{indent}{PREFIX if position == 0 and ':' not in str(part) else ''}{part}:")
        indent += "  "
    return "\n".join([*lines, f"{indent}{line}"])
