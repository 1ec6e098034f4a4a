"""What the engine tests stand on: one real control plane per test session, with the kinds the stacks use.

Real: etcd, API server, controller manager, scheduler (`control_plane.py`), the CRDs (`crds.py`), the engine and the
program it runs (`engine.py`). Standing in: the providers (`standin_aws.py`, `standin_eks.py`, `standin_kubernetes.py`)
and what acts inside a cluster (`operators.py`); each says at its top what it cannot show.
Where the programs are absent the tests skip and say so; REQUIRE_ENGINE=1 makes that a failure.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recording.answers import Answers
from tests.engine.control_plane import ControlPlane, require
from tests.engine.crds import running, served
from tests.engine.engine import Stack, World, quieten, require_engine
from tests.engine.operators import InCluster
from tools.share import of_this_run

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is an engine test, and one xdist worker runs all of it (with `--dist loadgroup`).

    Of a test marked `sweep`, a row of whose table takes long, this run's share is kept (tools/share.py).
    """
    rows: dict[str, dict[Any, None]] = {}
    own = [item for item in items if item.path.is_relative_to(HERE)]
    for item in own:
        item.add_marker(pytest.mark.engine)
        item.add_marker(pytest.mark.xdist_group("engine"))
        if row := _row(item):
            rows.setdefault(row[0], {})[row[1]] = None
    kept = {(test, key) for test, keys in rows.items() for key in of_this_run(keys)}
    items[:] = [item for item in items if item not in own or (row := _row(item)) is None or row in kept]


def _row(item: pytest.Item) -> tuple[str, Any] | None:
    """Of a sweep, the test and what its rows are shared out by: a parameter, or with a dot something of it."""
    marker = item.get_closest_marker("sweep")
    if marker is None or not isinstance(item, pytest.Function):
        return None
    name, *inner = marker.args[0].split(".", 1)
    value = item.callspec.params[name]
    key = operator.attrgetter(inner[0])(value) if inner else value
    return f"{item.path}::{item.originalname}", key


@pytest.fixture(scope="session")
def bare_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane without a custom kind."""
    require()
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def control_plane(bare_control_plane: ControlPlane, contracts: Path) -> ControlPlane:
    """The control plane with every custom kind there is a CRD for."""
    bare_control_plane.load(served(contracts, running()))
    return bare_control_plane


@pytest.fixture(scope="session")
def make_stack(
    control_plane: ControlPlane, contracts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Stack]]:
    """Make a stack in the real engine, in a world (account and cluster) of its own unless one is given."""
    require_engine()
    quieten()
    worlds: list[World] = []
    in_cluster = InCluster(control_plane)
    in_cluster.start()

    def make(name: str, *, world: World | None = None, **options: Any) -> Stack:
        if world is None:
            world = World(control_plane, contracts, Answers(name), in_cluster)
            worlds.append(world)
        return Stack(name, tmp_path_factory.mktemp(name), world, **options)

    yield make
    for world in worlds:
        world.stop()
    in_cluster.stop()
