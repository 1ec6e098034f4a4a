"""A rack's stack before its block starts, at the start, and past its drain, in the real engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from recording.recorder import record
from review import blocks
from stacks import stackfile
from tests.conftest import AT
from tests.engine.engine import Stack
from tests.engine.test_life import released

BEFORE = datetime(2026, 11, 24, 12, tzinfo=UTC)
DRAINED = datetime(2026, 12, 8, 10, tzinfo=UTC)


@pytest.mark.parametrize("name", ["gb200-prod"])
def test_up_before_the_start_and_after_it(name: str, make_stack: Callable[..., Stack]) -> None:
    """Prevents an `up` days before the block that waits on a rack without nodes, and one at the start that makes less, or
    other things, than was reviewed."""
    stack, file = make_stack(name), stackfile.read(name)
    early = record(name, file.config, at=BEFORE)
    urns = [node.urn for node in blocks.held(early)]
    out = {node.key for node in blocks.left_out(early)}
    stack.at = BEFORE
    first = stack.up(exclude=urns, exclude_dependents=True)
    made = {key for key, op in first.verdict.items() if op == "create"}
    assert out and not made & out
    assert {node.key for node in early.creation if node.key not in out} <= made
    group = next(thing for thing in stack.resources if thing["type"] == "aws:eks/nodeGroup:NodeGroup")
    assert group["inputs"]["scalingConfig"]["desiredSize"] == 0

    stack.at = AT
    second = stack.up()
    assert {key for key, op in second.verdict.items() if op == "create"} >= out
    # The scheduled action that brought the nodes has run; everything else stays as it was made.
    assert {key for key, op in second.verdict.items() if op not in ("create", "same")} == {
        "aws:autoscaling/schedule:Schedule::nodes-rack-a-76543210-start"
    }
    assert stack.up().changes == []

    stack.at = DRAINED
    late = stack.up(may_fail=True)
    assert late.error and "drained since 2026-12-08T10:00:00Z" in late.text
    assert late.changes == []

    # The control plane is everybody's: what is left there is in the next stack's way.
    stack.at = AT
    stack.configure(released(stack.config))
    stack.up()
    stack.destroy()
    assert stack.resources == []
