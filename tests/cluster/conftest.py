"""The small cluster, recorded."""

from __future__ import annotations

import pytest

from recording.graph import Graph
from recording.recorder import record
from tests.cluster.small_cluster import CONFIG, small_stack


@pytest.fixture(scope="session", params=[False, True], ids=["update", "preview"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return record("test", CONFIG, program=small_stack(), preview=request.param)


@pytest.fixture(scope="session")
def updated() -> Graph:
    return record("test", CONFIG, program=small_stack())
