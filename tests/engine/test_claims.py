"""Claims that are made again: who goes before them, and who is made after them."""

from __future__ import annotations

from collections.abc import Callable

from tests.engine.engine import Stack

CLAIM, JOB, GRAPH = "namespace-dynamo-model-cache", "cache-dynamo-qwen3-0-6b-job", "graph-mocker-graph"

BEFORE = [
    (("delete", GRAPH), ("delete", CLAIM)),
    (("delete", JOB), ("delete", CLAIM)),
    (("delete", CLAIM), ("create", CLAIM)),
    (("create", CLAIM), ("create", JOB)),
    (("create", JOB), ("create", GRAPH)),
]
"""What must come before what. The Job has ended, so whether it or the graph goes first is all one."""


def test_another_storage_class(make_stack: Callable[..., Stack]) -> None:
    """Prevents an `up` that waits for a claim which running pods hold, and a graph that starts on an empty cache."""
    stack = make_stack("mocker-local")
    stack.up()
    del stack.world.log[:]
    stack.edit(storage__storageClass="fast")
    stack.up()
    log = [(method, urn.rsplit("::", 1)[1]) for method, urn in stack.world.log]
    assert sorted(log) == sorted({step for pair in BEFORE for step in pair})
    assert [pair for pair in BEFORE if log.index(pair[0]) > log.index(pair[1])] == []
    stack.destroy()
