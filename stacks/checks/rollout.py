"""Whether a rolling update of a graph can go on."""

from __future__ import annotations

from collections.abc import Iterator

from components import sizing
from components.capacity.instances import UnknownInstance
from components.dynamo.interruption import DEFAULT, share, surge
from components.dynamo.manifest import ganged, roles
from components.dynamo.spec import Graph
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import racks_in
from stacks.faults import Fault


def rollout(draft: Draft, key: str, name: str, graph: Graph) -> Iterator[Fault]:
    """A pace that is stated, against how the graph is run and where."""
    stated = graph.rollout.model_dump(by_alias=True, exclude_none=True)
    if not stated:
        return
    if ganged(graph):
        yield Fault(
            "rollout-under-grove",
            f"{key}.rollout",
            "nothing for a graph that Grove runs: it takes one worker away at a time and puts none beside it",
            stated,
        )
        return
    for role, worker in roles(graph).items():
        gone = share(graph.rollout.max_unavailable or DEFAULT, worker.replicas, up=False)
        if not worker.replicas or gone:
            continue
        if not surge(graph, worker):
            yield Fault(
                "rollout-stands-still",
                f"{key}.rollout",
                f"something that moves: of {worker.replicas} {role} workers none may be gone and none started beside",
                stated,
                fix='set maxUnavailable: "1", or maxSurge: "1" where a machine is left for it',
            )
        elif not _room(draft, name):
            yield Fault(
                "rollout-without-room",
                f"{key}.rollout.maxUnavailable",
                f'"1" at least: of {worker.replicas} {role} workers none may be gone, and no machine is left for one beside them, so '
                "that an update waits for ever (dynamo #13580)",
                stated.get("maxUnavailable"),
                fix='set maxSurge: "0" and maxUnavailable: "1", or reserve one machine more',
            )


def _room(draft: Draft, name: str) -> bool:
    try:
        return sizing.surge_room(name, draft.graphs, draft.pools, racks_in(draft))
    except UnknownInstance:
        # Told by others.
        return True
