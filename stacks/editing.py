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
