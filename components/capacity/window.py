"""The time of a Capacity Block: when its machines come, when they are drained, when EC2 takes them. Pure, UTC throughout.

An UltraServer's machines must be gone 60 minutes before the block ends (EC2 User Guide, Capacity Blocks). The scheduled
action that EKS adds to every such node group comes 40 minutes before, which is too late, so the program has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

ULTRASERVER_RECLAIM = timedelta(minutes=60)
"""EC2 begins to terminate an UltraServer's instances this long before the block's end (EC2 User Guide, Capacity Blocks)."""

EKS_SCALE_DOWN = timedelta(minutes=40)
"""When the scheduled action that EKS itself adds sets the node group to 0 (EKS User Guide, managed node group with
Capacity Blocks). It is never edited; for an UltraServer it finds nothing left to do."""

NOTICE = timedelta(minutes=30)
"""How long before the drain the window counts as ending: nothing that takes a restart should begin any more."""

END_OF_DAY = (11, 30)
"""Hour and minute, UTC, at which every Capacity Block ends (EC2 User Guide, Capacity Blocks)."""


class Phase(StrEnum):
    """Where a moment lies in a block's window."""

    scheduled = "scheduled"
    """Paid for and not started: no machine can be launched."""
    active = "active"
    """Machines are there, and there is time to use them."""
    ending = "ending"
    """The drain begins within NOTICE."""
    drained = "drained"
    """Past the drain point: the nodes are going or gone, and none may be started."""
    ended = "ended"
    """The block is over."""


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """One scheduled action of an Auto Scaling group, with every size stated: an omitted one would become 0."""

    name: str
    at: datetime
    min_size: int
    max_size: int
    """-1 leaves it as it is."""
    desired_capacity: int


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window of one block. Raises ValueError for moments without UTC, a wrong order or a drain that comes too late."""

    start: datetime
    end: datetime
    drain_minutes: int = 90
    """Minutes before the end at which the nodes are drained."""
    reclaim: timedelta = ULTRASERVER_RECLAIM
    """How long before the end EC2 begins to take the machines."""

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if getattr(self, name).utcoffset() != timedelta(0):
                raise ValueError(f"{name}: {getattr(self, name)} is not in UTC; give a moment with Z at the end")
        if self.start >= self.end:
            raise ValueError(f"start: {moment(self.start)} is not before end {moment(self.end)}")
        if timedelta(minutes=self.drain_minutes) <= self.reclaim:
            raise ValueError(
                f"drain_minutes: {self.drain_minutes}; EC2 takes the machines {self.reclaim // timedelta(minutes=1)} minutes before the "
                "end, drain earlier"
            )
        if self.drain_at <= self.start:
            raise ValueError(f"drain_minutes: {self.drain_minutes} is the whole block; nothing could run")

    @property
    def drain_at(self) -> datetime:
        """When the node group is scaled to 0 and its nodes drain."""
        return self.end - timedelta(minutes=self.drain_minutes)

    @property
    def notice_at(self) -> datetime:
        """From when on nothing new should be started."""
        return max(self.start, self.drain_at - NOTICE)

    @property
    def reclaim_at(self) -> datetime:
        """When EC2 begins to terminate what is left."""
        return self.end - self.reclaim

    def phase(self, now: datetime) -> Phase:
        """Where a moment lies; each boundary belongs to what begins there."""
        if now < self.start:
            return Phase.scheduled
        if now >= self.end:
            return Phase.ended
        if now >= self.drain_at:
            return Phase.drained
        return Phase.ending if now >= self.notice_at else Phase.active

    def usable_hours(self, now: datetime) -> float:
        """Hours of the rack still to come before the drain."""
        return max(0.0, (self.drain_at - max(now, self.start)) / timedelta(hours=1))

    def desired_nodes(self, now: datetime, nodes: int) -> int:
        """Nodes a group made at this moment begins with: none before the start, when every launch fails."""
        return nodes if self.phase(now) in (Phase.active, Phase.ending) else 0

    def refusal(self, now: datetime) -> str | None:
        """Why nodes may not be started at this moment any more; None when they may, or may later."""
        return refusal(now, self.end, self.drain_at, self.reclaim_at)

    def actions(self, now: datetime, nodes: int) -> tuple[ScheduledAction, ...]:
        """Scheduled actions still to come: up at the start, down at the drain point. AWS refuses one in the past."""
        planned = (
            ScheduledAction("start", self.start, 0, nodes, nodes),
            # The maximum stays, or the group could not be raised again by hand after an extension of the block.
            ScheduledAction("drain", self.drain_at, 0, -1, 0),
        )
        return tuple(action for action in planned if action.at > now)


def refusal(now: datetime, end: datetime, drain_at: datetime, reclaim_at: datetime) -> str | None:
    """Why no node of a block may be started at a moment any more, whatever uses it; None when one may, or may later."""
    if now >= end:
        return f"the block ended at {moment(end)}"
    if now >= drain_at:
        minutes = (end - drain_at) // timedelta(minutes=1)
        return (
            f"the block is drained since {moment(drain_at)}, {minutes} minutes before its end; nodes started now would "
            f"be taken by EC2 from {moment(reclaim_at)} on"
        )
    return None


def moment(value: datetime) -> str:
    """`2026-12-08T11:30:00Z`."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
