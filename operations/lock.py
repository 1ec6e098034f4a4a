"""Who holds a stack's lock, since when, and whether that operation, or a provider of it, is still running here.

The engine's own words are all there is (read in pulumi 3.259, pkg/backend/diy/lock.go): `pulumi cancel` says the same whether
it took a lock away or found none.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

YOUNG = timedelta(hours=1)
"""A lock younger than this may well be that of a living operation: the creation of a cluster alone takes a quarter of an hour."""

_HELD = re.compile(r": created by (?P<user>.*)@(?P<host>[^@\s]*) \(pid (?P<pid>\d+)\) at (?P<at>\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Holder:
    """An operation that holds the stack."""

    who: str
    """`user@host`, or the name in Pulumi Cloud."""
    since: datetime | None
    """None where the backend does not say."""
    pid: int | None = None
    """Its process, on its own host."""
    host: str | None = None
    kind: str = "operation"

    def age(self, now: datetime) -> timedelta | None:
        return None if self.since is None else now - self.since

    def young(self, now: datetime) -> bool:
        """Whether it may be a living one: also when its age is not known, or its clock is ahead of ours."""
        age = self.age(now)
        return age is None or age < YOUNG

    def in_words(self, now: datetime) -> str:
        process = f" (pid {self.pid})" if self.pid else ""
        if self.since is None:
            return f"{self.who}{process}, since when is not known"
        return f"{self.who}{process} since {self.since:%Y-%m-%d %H:%M} UTC, {_words(self.age(now) or timedelta())}"

    @property
    def lives_here(self) -> bool:
        """Whether its process runs, on this very host."""
        if self.pid is None or self.host != socket.gethostname():
            return False
        running = processes()
        return self.pid in running and running[self.pid].name.startswith("pulumi")


def _words(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 0:
        return "by a clock that is ahead of this one"
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"


def holders(said: str) -> list[Holder]:
    """Those that the CLI names when it finds the stack locked."""
    return [
        Holder(f"{found['user']}@{found['host']}", moment(found["at"]), int(found["pid"]), found["host"])
        for found in _HELD.finditer(said)
    ]


def moment(text: str) -> datetime | None:
    """A time in RFC 3339, as UTC; None for what is none."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    user: int
    name: str
    """Name of its program, cut off by some systems after 15 letters."""


def processes() -> Mapping[int, Process]:
    """What runs on this host; nothing where there is no `ps`."""
    try:
        told = subprocess.run(["ps", "-axo", "pid=,ppid=,uid=,comm="], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return {}
    found = {}
    for line in told.splitlines():
        pid, parent, user, name = line.split(None, 3)
        found[int(pid)] = Process(int(pid), int(parent), int(user), name.rpartition("/")[2].strip())
    return found


def orphaned_providers() -> list[Process]:
    """Provider plugins of this user's whose engine is gone. One may be in the middle of a call: what it makes then is found
    by nobody who has looked already."""
    running = processes()

    def has_engine(item: Process) -> bool:
        seen: set[int] = set()
        while item.parent in running and item.pid not in seen:
            seen.add(item.pid)
            item = running[item.parent]
            if item.name == "pulumi":
                return True
        return False

    return [
        item
        for item in running.values()
        if item.user == os.getuid() and item.name.startswith("pulumi-resource") and not has_engine(item)
    ]
