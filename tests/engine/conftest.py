"""What the engine tests stand on: one real control plane per test session, with the kinds the stacks use.

Real: etcd, API server, controller manager, scheduler (`control_plane.py`), the CRDs (`crds.py`). Where the programs are
absent the tests skip and say so; REQUIRE_ENGINE=1 makes that a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.control_plane import ControlPlane, require
from tests.engine.crds import running, served

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is an engine test, and one xdist worker runs all of it (with `--dist loadgroup`)."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.engine)
            item.add_marker(pytest.mark.xdist_group("engine"))


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
