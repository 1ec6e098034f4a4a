"""What an operation of the engine did, from the log of events it writes (`--event-log`): nothing is said that is not there."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CREATED, UPDATED, DELETED, READ = "created", "updated", "deleted", "read"

DID = {
    "create": CREATED,
    "create-replacement": CREATED,
    "import": CREATED,
    "import-replacement": CREATED,
    "update": UPDATED,
    "delete": DELETED,
    "delete-replaced": DELETED,
    "refresh": READ,
}
"""Steps that touch something, by the engine's names (sdk/go/common/apitype, OpType)."""

_COLOUR = re.compile(r"<\{%.*?%\}>")
_PROTECTED = ("because it is protected", "currently marked for protection")
"""In the engine's refusals to delete and to replace (pkg/resource/deploy, step.go and step_generator.go)."""
_STOPPED = "received; cancelling"
"""What the engine says when it is asked to stop. In a terminal the CLI reads Ctrl-C as a key, and nobody else hears of it."""
_CONFLICT = "conflict with"
"""In the API server's refusal of a server-side apply: `Apply failed with 1 conflict: conflict with "kubectl-patch" …`."""


@dataclass
class Did:
    """What happened, without the preview before it."""

    done: Counter[str] = field(default_factory=Counter)
    """How often something was created, updated, deleted or read; components, providers and the stack do not count."""
    failed: dict[str, str] = field(default_factory=dict)
    """What the engine said of each resource that failed, by URN; also of one that a preview refused."""
    stopped: bool = False
    """Whether somebody asked the engine for an end."""

    @property
    def touched(self) -> int:
        return sum(self.done[kind] for kind in (CREATED, UPDATED, DELETED))

    @property
    def protected(self) -> list[str]:
        """URNs that the engine would not delete or replace because they are protected."""
        return [urn for urn, said in self.failed.items() if any(words in said for words in _PROTECTED)]

    @property
    def conflicts(self) -> list[str]:
        """URNs of objects in a cluster of which somebody else owns a field."""
        return [urn for urn, said in self.failed.items() if _CONFLICT in said and "Apply failed" in said]

    def in_words(self) -> str:
        """`37 created, 2 updated`; nothing when nothing was."""
        return ", ".join(f"{self.done[kind]} {kind}" for kind in (CREATED, UPDATED, DELETED) if self.done[kind])


def did(lines: Iterable[str]) -> Did:
    """Read a log. A last line that was cut off is left out."""
    found = Did()
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        _note(event, found)
    return found


def _note(event: Mapping[str, Any], found: Did) -> None:
    ended, said = event.get("resOutputsEvent"), event.get("diagnosticEvent")
    if ended is not None and not ended.get("planning"):
        step = ended["metadata"]
        kind = DID.get(step["op"])
        entry = step.get("new") or step.get("old") or {}
        if kind and entry.get("custom") and not step["type"].startswith("pulumi:providers:"):
            found.done[kind] += 1
    failed = event.get("resOpFailedEvent")
    if failed is not None:
        found.failed.setdefault(failed["metadata"]["urn"], "")
    if said is not None and said.get("severity") == "error" and said.get("urn"):
        message = _COLOUR.sub("", said["message"])
        found.failed[said["urn"]] = f"{found.failed.get(said['urn'], '')}\n{message}".strip()
    if _STOPPED in (event.get("stdoutEvent") or {}).get("message", ""):
        found.stopped = True
