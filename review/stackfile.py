"""Read a stack file as the engine would: project defaults, objects, encrypted values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from review.hidden import HIDDEN

ROOT = Path(__file__).resolve().parent.parent

# libyaml's loader is ten times faster and not in every wheel.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """YAML as the engine's own reader takes it: no timestamps, `yes` and `on` are words, a key given twice is an error."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp" and not (tag == "tag:yaml.org,2002:bool" and first in "yYnNoO")
    ]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def _mapping(loader: Any, node: Any) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise StackFileError(f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice; keep one")
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


class StackFileError(Exception):
    """A stack file that cannot be read at all."""


@dataclass(frozen=True, slots=True)
class StackFile:
    """A stack's configuration values by full key, as the program will be handed them."""

    stack: str
    path: Path
    config: Mapping[str, Any]
    secret_keys: tuple[str, ...]


def available(folder: Path = ROOT / "stacks") -> list[str]:
    """Names of the stacks that have a file."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))


def read(stack: str, path: Path | None = None) -> StackFile:
    """Read `stacks/Pulumi.<stack>.yaml` (or `path`); StackFileError says what is wrong with it.

    An encrypted value cannot be read offline. Its key is passed on with a placeholder, marked secret.
    """
    path = path or ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        raise StackFileError(f"there is no stack {stack!r}; stacks/ has {', '.join(available(path.parent)) or 'none'}")
    try:
        document = yaml.load(path.read_text(), _Loader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}; look for a bracket or a quote that is not closed" if mark else ""
        raise StackFileError(f"{path.name} is not YAML{where}") from None
    except StackFileError as error:
        raise StackFileError(f"{path.name}, {error}") from None
    found = document.get("config") if isinstance(document, Mapping) else None
    if not isinstance(found, Mapping):
        raise StackFileError(f"{path.name} has no `config:` section with keys in it")
    config = dict(_project_defaults())
    secrets = []
    for key, value in found.items():
        full = key if ":" in key else f"dynamo-eks:{key}"
        if isinstance(value, Mapping) and set(value) == {"secure"}:
            secrets.append(full)
            value = HIDDEN
        config[full] = value
    return StackFile(stack, path, config, tuple(secrets))


def _project_defaults() -> dict[str, Any]:
    """Values that Pulumi.yaml gives to every stack."""
    project = yaml.load((ROOT / "Pulumi.yaml").read_text(), _Loader)
    found = {}
    for key, entry in project.get("config", {}).items():
        full = key if ":" in key else f"{project['name']}:{key}"
        value = entry.get("value", entry.get("default"))
        if value not in (None, {}):
            found[full] = value
    return found


def as_wire(config: Mapping[str, Any]) -> dict[str, str]:
    """Values as text, objects as JSON: what the program's process receives."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
