"""The kubeconfig that a stack on an existing cluster names, looked at under the engine alone: a plan is the same on every machine.

The provider takes a context that is not there for a cluster that does not answer, which in a preview is a warning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stacks.faults import one_of


def look(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong and what is to be warned of, in the configuration of a stack whose settings are right."""
    given = config.get("dynamo-eks:cluster") or "{}"
    existing = (json.loads(given) if isinstance(given, str) else given).get("existing")
    if not existing:
        return [], []
    path, context = existing["kubeconfig"], existing["context"]
    subject = f"cluster.existing: {path}"
    try:
        found = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
    except FileNotFoundError:
        return [], [f"{subject}: there is no such file here, and without it nothing can be made in the cluster"]
    except (OSError, ValueError, yaml.YAMLError) as error:
        return [f"{subject}: not a readable kubeconfig ({type(error).__name__})"], []
    listed = found.get("contexts") if isinstance(found, Mapping) else None
    items = listed if isinstance(listed, list) else []
    names = [str(item["name"]) for item in items if isinstance(item, Mapping) and "name" in item]
    if context in names:
        return [], []
    return [f"{subject}: it has no context {context!r}, but {one_of(context, names, '').strip()}"], []
