"""Claims that are made again: who goes before them, and who is made after them."""

from __future__ import annotations

from collections.abc import Callable

from tests.engine.engine import Stack

ORDER = [
    ("delete", "graph-mocker-graph"),
    ("delete", "cache-dynamo-qwen3-0-6b-job"),
    ("delete", "namespace-dynamo-model-cache"),
    ("create", "namespace-dynamo-model-cache"),
    ("create", "cache-dynamo-qwen3-0-6b-job"),
    ("create", "graph-mocker-graph"),
]


def test_another_storage_class(make_stack: Callable[..., Stack]) -> None:
    """Prevents an `up` that waits for a claim which running pods hold, and a graph that starts on an empty cache."""
    stack = make_stack("mocker-local")
    stack.up()
    del stack.world.log[:]
    stack.edit(storage__storageClass="fast")
    stack.up()
    assert [(method, urn.rsplit("::", 1)[1]) for method, urn in stack.world.log] == ORDER
    stack.destroy()
