"""Read a stack file as the engine does: what reaches the program, encrypted values apart, and in which line it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stacks import engine_yaml
from stacks.engine_yaml import Node, Place, Unreadable
from stacks.faults import MOST_TOLD, PREFIX, Fault, StackFileError, full_key, nearest
from stacks.hidden import HIDDEN

ROOT = Path(__file__).resolve().parent.parent

__all__ = ["StackFile", "StackFileError", "as_wire", "available", "parse", "read", "shown"]

TOP_LEVEL = ("config", "secretsprovider", "encryptionsalt", "encryptedkey")
"""Keys of a stack file that the engine reads (`ProjectStack` in its source) and that this program lets it."""


@dataclass(frozen=True, slots=True)
class StackFile:
    """A stack's configuration values by full key, as the program will be handed them."""

    stack: str
    path: Path
    config: Mapping[str, Any]
    secret_keys: tuple[str, ...]
    """Keys that are encrypted or hold something that is."""
    faults: tuple[Fault, ...] = ()
    """What the engine lets pass and would ignore, or would decrypt into the clear."""
    _places: Mapping[str, tuple[Node, Node]] = field(default_factory=dict, repr=False, compare=False)
    _config: Node | None = field(default=None, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """The file as reports name it."""
        return shown(self.stack)

    def place(self, key: str) -> Place | None:
        """Line and column of a key as faults name it (`network.zones[0]`, `aws:region`); of the nearest key above for one
        that is not there, which for a section is `config:`."""
        full, _, path = full_key(key).partition(".")
        name, bracket, position = full.partition("[")
        if name not in self._places:
            return (self._config.line, self._config.column) if self._config else None
        at, node = self._places[name]
        below = f"{bracket}{position}.{path}" if bracket and path else f"{bracket}{position}{path}"
        return engine_yaml.find(node, below) or (at.line, at.column)

    def line(self, key: str) -> int | None:
        """The line alone."""
        place = self.place(key)
        return place[0] if place else None


def shown(stack: str) -> str:
    """A stack's file as reports name it."""
    return f"stacks/Pulumi.{stack}.yaml"


def available(folder: Path = ROOT / "stacks") -> list[str]:
    """Names of the stacks that have a file."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))


def read(stack: str, path: Path | None = None) -> StackFile:
    """Read `stacks/Pulumi.<stack>.yaml` (or `path`); StackFileError says what is wrong with it, where the engine would
    refuse it too.

    An encrypted value cannot be read offline. A placeholder stands for it, and its key is among `secret_keys`.
    """
    path = path or ROOT / shown(stack)
    return parse(stack, path, _text(stack, path))


def parse(stack: str, path: Path, text: str) -> StackFile:
    """Read a stack file's text."""
    try:
        root, second = engine_yaml.parse(text)
        return _File(stack, path, root, second).made()
    except Unreadable as error:
        raise StackFileError(_told(stack, error.faults)) from None


def _text(stack: str, path: Path) -> str:
    try:
        if not path.is_file():
            raise StackFileError(
                f"there is no stack {stack!r}; stacks/ has {', '.join(available(path.parent)) or 'none'}"
            )
        if path.stat().st_size > engine_yaml.LARGEST_FILE:
            raise StackFileError(
                f"{shown(stack)} has more than {engine_yaml.LARGEST_FILE // 1024} KiB; is it a stack file?"
            )
        given = path.read_bytes()
    except (OSError, ValueError) as error:
        raise StackFileError(f"{shown(stack)} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return given.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = given.count(b"\n", 0, error.start) + 1
        raise StackFileError(f"{shown(stack)}:{line}: not text in UTF-8; save the file in that encoding") from None


def _told(stack: str, faults: tuple[tuple[int | None, str], ...]) -> str:
    ordered = sorted(set(faults), key=lambda fault: (fault[0] or 0, fault[1]))
    told = [f"{shown(stack)}{f':{line}' if line else ''}: {text}" for line, text in ordered[:MOST_TOLD]]
    if len(ordered) > MOST_TOLD:
        told.append(f"{shown(stack)}: and {len(ordered) - MOST_TOLD} more, told once these are mended")
    return "\n".join(told)


class _File:
    """A document on its way to a StackFile."""

    def __init__(self, stack: str, path: Path, root: Node | None, second: int | None) -> None:
        self.stack, self.path = stack, path
        self.values = engine_yaml.Values()
        self.refused: list[tuple[int | None, str]] = []
        self.faults: list[Fault] = []
        self.places: dict[str, tuple[Node, Node]] = {}
        self.secret: list[str] = []
        self.config: Node | None = None
        if second is not None:
            self.refused.append((second, "a second document; the engine reads only the first, so move its keys there"))
        self.root = root

    def made(self) -> StackFile:
        found = self._config()
        if refused := (*self.refused, *self.values.faults):
            raise Unreadable(*refused)
        config = dict(project_defaults())
        for key, value in found.items():
            config[key] = value
        return StackFile(
            self.stack,
            self.path,
            config,
            tuple(self.secret),
            tuple(self.faults),
            self.places,
            self.config,
        )

    def _config(self) -> dict[str, Any]:
        if self.root is not None and self.root.real.kind != "map":
            self.refused.append((self.root.line, "no keys; a stack file has `config:` at its top"))
            return {}
        config: Node | None = None
        for key, key_node, value in self.values.pairs(self.root.real, 0) if self.root else ():
            if not isinstance(key, str):
                self.refused.append((key_node.line, f"the key {key_node.text!r} is no text"))
            elif key == "config":
                config, self.config = value, key_node
            elif key in TOP_LEVEL:
                # Whatever is written there is taken as text.
                if value.real.kind != "scalar":
                    self.refused.append((value.line, f"{key} is text that the engine writes itself"))
            else:
                self._unknown(key, key_node)
        if config is None or config.real.kind != "map" or not config.real.pairs:
            found = self.config or self.root
            where = found.line if found else None
            self.refused.append((where, "no `config:` section with keys in it"))
            return {}
        return self._keys(config)

    def _unknown(self, key: str, node: Node) -> None:
        if key == "environment":
            told = "no `environment:` here: what Pulumi ESC would bring along cannot be seen before the engine runs"
            fix = "write its keys under `config:`, or keep it out of this project"
        else:
            section = PREFIX + key
            known = key in _sections()
            close = section if known else nearest(key, TOP_LEVEL)
            told = f"no such key at the top of the file, where the engine reads {', '.join(TOP_LEVEL)}"
            fix = f"write {close} under `config:`" if known else f"did you mean {close}?" if close else "remove it"
        self.refused.append((node.line, f"{key}: {told}; {fix}"))

    def _keys(self, config: Node) -> dict[str, Any]:
        found: dict[str, Any] = {}
        written: dict[str, Node] = {}
        for key, key_node, value in self.values.pairs(config.real, 0):
            if not isinstance(key, str):
                self.refused.append(
                    (key_node.line, f"the key {key_node.text!r} is no text; a key is like dynamo-eks:network")
                )
                continue
            full = _full(key)
            if full is None:
                self.refused.append((key_node.line, f"{key!r} is no configuration key; one is like dynamo-eks:network"))
                continue
            if full in written:
                first = written[full]
                told = f"{key} is {full} again, which stands in line {first.line} as {first.real.text}; keep one"
                self.refused.append((key_node.line, told))
                continue
            written[full] = key_node
            self.places[full] = (key_node, value)
            made = self.values.of(value, 1)
            inside = list(_encrypted(made))
            if inside:
                self.secret.append(full)
                made = _without(made)
            # Whatever is no object arrives as text, and a key without a value as empty text.
            found[full] = made if isinstance(made, (dict, list)) else "" if made is None else _wire(made)
            if isinstance(made, str) and full.removeprefix(PREFIX) in _sections() and not inside:
                self._text_section(full, key_node, made)
            if inside and inside != [""]:
                self.faults.append(
                    Fault(
                        "encrypted-inside",
                        f"{full.removeprefix(PREFIX)}{inside[0]}",
                        "a value that is not encrypted: inside a section it would be decrypted into objects and state, in clear",
                        "[hidden]",
                        fix="give the token as dynamo-eks:huggingFaceToken, or name a Secret that is in the cluster",
                    )
                )
        return found

    def _text_section(self, full: str, node: Node, given: str) -> None:
        # What looks like JSON would be read as keys and values here, and is refused by the engine, which knows that it is text.
        try:
            json.loads(given)
        except (ValueError, RecursionError):
            return
        self.refused.append((node.line, f"{full} is text; write keys and values, without quotes around them"))


def _full(key: str) -> str | None:
    """A configuration key with its namespace, as the engine takes it; None for one that it refuses."""
    parts = key.split(":")
    if len(parts) == 1:
        return PREFIX + key
    if len(parts) == 2:
        return key
    return f"{parts[0]}:{parts[2]}" if len(parts) == 3 and parts[1] == "config" and parts[0] and parts[2] else None


def _encrypted(value: Any, under: str = "") -> Iterator[str]:
    """Paths of encrypted values: a mapping whose only key is `secure`, with text."""
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            yield under
            return
        for key, item in value.items():
            yield from _encrypted(item, f"{under}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _encrypted(item, f"{under}[{position}]")


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            return HIDDEN
        return {key: _without(item) for key, item in value.items()}
    return [_without(item) for item in value] if isinstance(value, list) else value


@cache
def _project() -> Mapping[str, Any]:
    root, _ = engine_yaml.parse((ROOT / "Pulumi.yaml").read_text())
    assert root is not None
    return engine_yaml.Values().of(root)


def _sections() -> frozenset[str]:
    """Keys that Pulumi.yaml declares as objects, which the engine checks."""
    return frozenset(key for key, entry in _project()["config"].items() if entry.get("type") == "object")


def project_defaults() -> dict[str, Any]:
    """Values that Pulumi.yaml gives to every stack; an empty section is as good as none."""
    found = {}
    for key, entry in _project()["config"].items():
        value = entry.get("value", entry.get("default"))
        if value not in (None, {}):
            found[key if ":" in key else PREFIX + key] = value
    return found


def as_wire(config: Mapping[str, Any]) -> dict[str, str]:
    """Values as text, objects as JSON: what the program's process receives."""
    return {key: _wire(value) for key, value in config.items()}


def _wire(value: Any) -> str:
    if isinstance(value, str):
        return value
    return engine_yaml.json_text(value) if isinstance(value, float) else json.dumps(value)
