"""Whole states beside one that is cut off or gone, in a backend of plain files (`file://…`).

The engine keeps three (pulumi 3.259, pkg/backend/diy/state.go): `STACK.json.bak` is the state before the last write, `backups/`
holds one for the end of every operation, `history/` one as well. A full disk cuts the state and its `.bak` off at the same
byte; the others are whole. Backends in buckets write a state whole or not at all, and keep the same folders.
"""

from __future__ import annotations

import gzip
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from operations.lock import moment

_ENDS = (".json", ".json.gz")


@dataclass(frozen=True)
class Backup:
    """A whole state."""

    file: Path
    written: datetime
    """When the engine made it."""
    resources: int
    """How many it holds, the stack itself left out."""


@dataclass(frozen=True)
class Files:
    """Where a backend of plain files keeps one stack."""

    folder: Path
    project: str
    stack: str

    @property
    def state(self) -> Path:
        """The state; the younger one where there is one in clear and one compressed."""
        found = [path for end in _ENDS if (path := self._state(end)).is_file()]
        return max(found, key=lambda path: path.stat().st_mtime) if found else self._state(".json")

    def _state(self, end: str) -> Path:
        return self.folder / ".pulumi" / "stacks" / self.project / f"{self.stack}{end}"

    def _others(self) -> Iterator[Path]:
        for end in _ENDS:
            yield self._state(f"{end}.bak")
        for kind in ("backups", "history"):
            folder = self.folder / ".pulumi" / kind / self.project / self.stack
            for end in _ENDS:
                # History also has a short account of every operation, `….history.json`.
                yield from (item for item in folder.glob(f"{self.stack}*{end}") if ".history." not in item.name)

    def newest_whole(self) -> Backup | None:
        """The newest backup that is whole."""
        return max(filter(None, map(read, self._others())), key=lambda item: item.written, default=None)

    @property
    def cut_off(self) -> bool:
        """Whether there is a state and it cannot be read."""
        return self.state.is_file() and read(self.state) is None

    def commands(self, backup: Backup) -> list[str]:
        """What puts a backup in the state's place, for a shell. `pulumi stack import` would drop what is pending in it."""
        target = self._state(".json.gz" if ".json.gz" in backup.file.name else ".json")
        stale = [_attributes(target)]
        if target != self.state:
            stale += [self.state, _attributes(self.state)]
        words = [["cp", backup.file, target], ["rm", "-f", *stale]]
        return [shlex.join(str(word) for word in line) for line in words]


def _attributes(state: Path) -> Path:
    """The companion of a file, which gocloud.dev/blob/fileblob writes in place: empty, it keeps the state from being read."""
    return state.with_name(state.name + ".attrs")


def files(url: str, project: str, stack: str, here: Path) -> Files | None:
    """Where a backend's URL keeps a stack; None for one that is no folder."""
    if not url.startswith("file://"):
        return None
    path = Path(unquote(url.removeprefix("file://").partition("?")[0])).expanduser()
    return Files(path if path.is_absolute() else here / path, project, stack.rpartition("/")[2])


def read(file: Path) -> Backup | None:
    """A state in a file; None when it is not whole."""
    try:
        text = file.read_bytes()
        document = json.loads(gzip.decompress(text) if file.name.removesuffix(".bak").endswith(".gz") else text)
        latest: dict[str, Any] = document["checkpoint"].get("latest") or {}
        written = moment(str((latest.get("manifest") or {}).get("time")))
        held = [item["urn"] for item in latest.get("resources") or () if item["type"] != "pulumi:pulumi:Stack"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Backup(file, written or datetime.fromtimestamp(file.stat().st_mtime).astimezone(), len(held))


def way_out(where: Files, command: str) -> str | None:
    """What to do about a state that is cut off or gone while a backup of it is there; None when nothing is wrong."""
    there = where.state.is_file()
    if there and not where.cut_off:
        companion = _attributes(where.state)
        if companion.is_file() and not companion.stat().st_size:
            listed = shlex.join(["rm", "-f", str(companion)])
            return f"The state is whole, and only the file of attributes beside it was cut off. Take that away:\n  {listed}"
        return None
    found = where.newest_whole()
    if not there and (found is None or not found.resources):
        return None  # it was never there, or was removed in order, with nothing left in it
    what = f"The state {where.state} is {'cut off' if there else 'gone'}"
    if found is None:
        return f"{what}, and no whole backup of it was found beside it."
    listed = "\n".join(f"  {line}" for line in [*where.commands(found), command])
    said = (
        f"{what}. The newest whole backup is of {found.written:%Y-%m-%d %H:%M:%S} UTC and holds {found.resources} resources. "
        f"Make sure that no operation runs and that the disk has room, then put it back:\n{listed}\n"
        "What was made after that moment is not in it: docs/runbooks/recover.md says how to find it."
    )
    if there:
        return said
    return f"{said}\nAn `up` now would make everything a second time. If the stack was removed on purpose, remove its backups."
