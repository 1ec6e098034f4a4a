"""The few things whose every change somebody should see: what is registered, and in which order it goes."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from review import report
from tests.conftest import STACKS, recorded


@pytest.mark.parametrize("stack", STACKS)
def test_resources_and_destroy_order(stack: str, snapshot: SnapshotAssertion) -> None:
    """A resource renamed by accident is replaced."""
    graph = recorded(stack)
    lines = [
        f"{graph.waves[node.key]:>3} {node.key}{' protected' if node.protect else ''}" for node in graph if node.custom
    ]
    assert "\n".join([*lines, "", *report.destroy_lines(graph)]) == snapshot
