"""Edits of a stack file that leave every comment, blank line and quote as it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

PREFIX = "dynamo-eks:"


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """A stack file's text with other values at dotted paths (`cluster.admins`, `capacity.ultraServers.rack-a.start`).

    Only the value's own characters change. Raises KeyError for a path that the file does not have: where a new key belongs,
    and which comment goes with it, a person decides.
    """
    spans = dict(_spans(text))
    found = sorted(((spans[path], value) for path, value in changes.items()), reverse=True, key=lambda pair: pair[0])
    for (start, end), value in found:
        text = text[:start] + as_yaml(value) + text[end:]
    return text


def put(text: str, path: str, key: str, line: str, *, after: str) -> str:
    """A stack file's text with `key` in the mapping at a dotted path: in the place of the one that is there, or behind the key
    `after`. `line` is its value, YAML on one line. Raises KeyError for a path, or a key `after`, that the file does not have."""
    spans = dict(_spans(text))
    if (old := spans.get(f"{path}.{key}")) is not None:
        start, end = old
        # A mapping in block style reaches to where the next thing begins.
        return text[:start].rstrip(" \n") + f" {line}" + text[start + len(text[start:end].rstrip()) :]
    outside, inside = spans[path][0], spans[f"{path}.{after}"]
    if text[outside] == "{":
        return f"{text[: inside[1]]}, {key}: {line}{text[inside[1] :]}"
    begun = text.rindex("\n", 0, inside[0]) + 1
    indent = text[begun : begun + len(text[begun:]) - len(text[begun:].lstrip())]
    ended = text.find("\n", inside[1])
    ended = len(text) if ended < 0 else ended
    return f"{text[:ended]}\n{indent}{key}: {line}{text[ended:]}"


def as_yaml(value: Any) -> str:
    """A value on one line, texts in double quotes, so that no reader takes one for a date or a number."""
    return json.dumps(value, ensure_ascii=False)


def paths(text: str) -> list[str]:
    """Dotted paths of everything in a stack file's `config`, in its order."""
    return [path for path, _ in _spans(text)]


def _spans(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    # The loader in Python, whose marks count characters; libyaml's count bytes.
    root = yaml.compose(text, yaml.SafeLoader)
    for key, node in root.value:
        if key.value == "config":
            yield from _below(node, "")


def _below(node: Any, path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    if path:
        yield path, (node.start_mark.index, node.end_mark.index)
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            name = key.value.removeprefix(PREFIX)
            yield from _below(item, f"{path}.{name}" if path else name)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _below(item, f"{path}[{position}]")
