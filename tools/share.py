"""Which share of a long sweep runs: all of it, or with SHARE=2/4 the second of four.

A gate that runs for every change takes a share that changes with the commit, so that each row of a sweep is met every few
changes; before a release, and after a change of what a sweep looks at, the whole runs. What is no sweep always runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def share() -> tuple[int, int]:
    """The share's place from 0, and how many there are. ValueError for anything but `2/4`."""
    text = os.environ.get("SHARE") or "1/1"
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ValueError(f"SHARE={text}: expected a share such as 2/4")
    return int(number) - 1, int(of)


def of_this_run(rows: Iterable[T]) -> Sequence[T]:
    """Every so many-th of the rows in their order; at least one, and over all shares every one."""
    every = list(rows)
    place, of = share()
    of = min(of, len(every)) or 1
    return every[place % of :: of]
