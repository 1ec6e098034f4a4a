"""What the memory of a worker's pod has to hold."""

from __future__ import annotations

from collections.abc import Iterator

from components import sizing
from components.capacity import instances
from components.capacity.instances import Instance
from components.dynamo.manifest import cpu_and_memory, on_rack, roles
from components.dynamo.quantities import mib
from components.dynamo.spec import Graph
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import racks_in
from stacks.faults import Fault


def shared_memory(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    """/dev/shm is memory of its pod (Kubernetes, emptyDir with medium Memory): one that may grow as large has the pod killed."""
    for role, worker in roles(graph).items():
        machine = _machine(draft, graph)
        told = worker.memory or machine or graph.backend == "mocker"
        if worker.shared_memory is None or not told:
            continue
        memory = cpu_and_memory(graph, worker, machine)[1]
        if mib(worker.shared_memory) >= mib(memory):
            whose = (
                "memory"
                if worker.memory
                else f"the {memory} that are its share of a {machine.type}"
                if machine
                else memory
            )
            yield Fault(
                "shared-memory-too-large",
                f"{key}.{role}.sharedMemory",
                f"less than {whose}: what lies in /dev/shm counts against the pod's memory, and the pod is killed when that is full",
                worker.shared_memory,
                fix="leave the key out, or raise memory",
            )


def _machine(draft: Draft, graph: Graph) -> Instance | None:
    """The machine of a graph, where the draft can tell."""
    if on_rack(graph):
        return sizing.machine_of(graph, None, racks_in(draft))
    pool, type_ = draft.pools.get(graph.placement.pool or ""), graph.placement.instance_type
    named = [type_] if type_ else pool.instance_types if pool else []
    return sizing.machine_of(graph, pool) if all(map(instances.known, named)) else None
