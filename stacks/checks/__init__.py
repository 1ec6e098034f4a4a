"""Rules of a stack file that need more than one key, one file a subject.

Each function looks at one subject and yields faults; sections that are broken by themselves are skipped, so that one fault
does not cause ten. Facts (families, EFA counts, releases) come from the tables in components/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stacks.checks import (
    capacity,
    dynamo,
    gpu_stack,
    graphs,
    network,
    placement,
    rack_graphs,
    stack,
    storage,
    ultra_servers,
)
from stacks.checks.draft import Draft
from stacks.faults import Fault

__all__ = ["Draft", "cross_faults"]

_CHECKS: tuple[Callable[[Draft], Iterator[Fault]], ...] = (
    stack.place, stack.account, stack.versions, stack.tags, network.networks, network.pool_subnets, capacity.capacity, ultra_servers.ultra_servers,
    gpu_stack.gpu_stack, storage.storage, dynamo.dynamo, dynamo.models, graphs.graphs, placement.together, rack_graphs.graphs,
)  # fmt: skip
"""In the order in which a stack file is told its faults."""


def cross_faults(draft: Draft) -> list[Fault]:
    """Every fault that takes more than one key to see."""
    return [fault for check in _CHECKS for fault in check(draft)]
