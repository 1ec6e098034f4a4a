"""The keys of a stack file, walked from its schema: what docs/settings.md has a row for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.settings import schema

SAME = {"prefill": "worker", "decode": "worker"}
"""Keys under which the same model stands again."""


@dataclass(frozen=True)
class Key:
    """A key that takes a value of its own."""

    path: str
    """`capacity.pools.<name>.zones`; `[]` stands for an item of a list."""
    type: str
    default: str
    says: str
    """What it is and what changing it does."""


def keys() -> list[Key]:
    """Every key, in the order of the schema."""
    document = schema()
    return [
        key
        for name, part in document["properties"]["config"]["properties"].items()
        for key in _walk(name.removeprefix("dynamo-eks:"), part, document, required=False)
    ]


def _walk(path: str, part: Mapping[str, Any], document: Mapping[str, Any], *, required: bool) -> Iterator[Key]:
    found = _resolved(part, document)
    if found.get("properties") and set(found["properties"]) != {"secure"}:
        needed = found.get("required", ())
        for name, below in found["properties"].items():
            if name not in SAME or SAME[name] not in found["properties"]:
                yield from _walk(f"{path}.{name}", below, document, required=name in needed)
        return
    entry = found.get("additionalProperties") or next(iter(found.get("patternProperties", {}).values()), None)
    inner = _resolved(entry, document) if isinstance(entry, Mapping) and entry else {}
    if inner.get("properties"):
        yield from _walk(f"{path}.<name>", entry, document, required=False)
        return
    item = _resolved(found.get("items", {}), document)
    if item.get("properties"):
        yield from _walk(f"{path}[]", found["items"], document, required=False)
        return
    default = "required" if required else _shown(found.get("default"))
    yield Key(path, _type(found, document), default, found.get("description", ""))


def _resolved(part: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """A part with what it refers to; the nearest description and default win."""
    said = {key: part[key] for key in ("description", "default") if key in part}
    while True:
        if "$ref" in part:
            part = {
                **document["$defs"][part["$ref"].rsplit("/", 1)[1]],
                **{k: v for k, v in part.items() if k != "$ref"},
            }
        elif "allOf" in part and "properties" not in part:
            choices = [_resolved(item, document) for item in part["allOf"]]
            part = max(choices, key=lambda item: len(item.get("properties", ())))
        elif "anyOf" in part and "properties" not in part and len(real := _real(part)) == 1:
            part = real[0]
        else:
            return {**part, **said}
        said = {**{key: part[key] for key in ("description", "default") if key in part}, **said}


def _real(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in part["anyOf"] if item.get("type") != "null"]


def _type(part: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_type(_resolved(item, document), document) for item in _real(part)))
    if "const" in part:
        return f"`{part['const']}`"
    if values := [value for value in part.get("enum", ()) if value is not None]:
        shown = ", ".join(f"`{value}`" for value in values[:8])
        return shown if len(values) <= 8 else f"{shown} and {len(values) - 8} more"
    if part.get("type") == "array":
        return f"list of {_type(_resolved(part.get('items', {}), document), document)}"
    name = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}.get(
        part.get("type", ""), part.get("type", "any")
    )
    low, high = (part.get(key, part.get(f"exclusive{key.title()}")) for key in ("minimum", "maximum"))
    return f"{name}, {low} to {high}" if low is not None and high is not None else name


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != [] and value != "" else "empty"


HEAD = """# Settings

Generated from the settings themselves (`WRITE_DOCS=1 pytest -m engine tests/engine/test_every_key.py`). Each row is a key of a stack file, below
`config:` with the prefix `dynamo-eks:` unless it begins with `aws:`. `<name>` is a name that you choose, `[]` an item of a list;
units are in the names (`Gib`, `Minutes`, `Mibps`). `prefill` and `decode` take the keys of `worker`.

*An edit does* tells what the engine makes of another value, from two recordings of a shipped stack: one with the key as it is, one
with another value. Checks that run again (Jobs and the ConfigMaps of their programs) are among what is replaced, and so is what names a replaced
resource by its id. *Restarts* follows
from it by the documented rules of Karpenter, EKS and the Dynamo operator. Edits that were tried on the real engine, and what it refuses, are in
[what-changing-it-does.md](what-changing-it-does.md).
"""


def page(done: Mapping[str, tuple[str, str]]) -> str:
    """The page; `done` has for each key what an edit does and what restarts."""
    lines, section = [HEAD], ""
    for key in sorted(keys(), key=lambda key: not key.path.startswith("aws:")):
        first = "AWS" if key.path.startswith("aws:") else key.path.split(".")[0].split("[")[0]
        if first != section:
            section = first
            lines += [
                f"## {section}",
                "",
                "| Key | Type | Default | What it is | An edit does | Restarts |",
                "|---|---|---|---|---|---|",
            ]
        cells = [f"`{key.path}`", key.type, key.default, key.says, *done[key.path]]
        row = "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
        lines.append(row)
    return _spaced(lines)


def _spaced(lines: list[str]) -> str:
    text = ""
    for line in lines:
        text += f"\n{line}\n" if line.startswith("## ") else f"{line}\n"
    return text
