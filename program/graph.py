"""One graph of the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components import catalog, sizing
from components.dynamo import compute_domain, exposure, interruption, manifest
from components.dynamo.graph import DynamoGraph, DynamoGraphArgs
from components.dynamo.namespace import GraphNamespace
from components.dynamo.spec import Frontend, Graph, Worker
from components.scheduling import gang as gang_objects
from components.validation.pinned_memory import PinnedMemory, PinnedMemoryArgs
from components.validation.smoke import SmokeTest, SmokeTestArgs
from program.place import Place
from stacks.settings import Settings


def _fewer_zones(settings: Settings, place: Place, pool: str | None) -> tuple[str, ...]:
    """Names of the zones a pool launches in; empty when they are all of the network's."""
    there = list(place.zone_names)
    zones = sizing.pool_zones(settings.capacity.pools[pool], there) if pool in settings.capacity.pools else there
    return () if len(zones) == len(there) else tuple(place.zone_names[zone] for zone in zones)


def _budgets(settings: Settings, name: str, graph: Graph) -> list[dict[str, Any]]:
    """What evictions of a graph's pods wait for. Nodes of a Capacity Block are all taken at one moment, and none comes in their
    place: a budget there would hold all pods but one until EC2 takes their machines away. Frontends are elsewhere, but for a rack's."""
    if manifest.on_rack(graph):
        return []
    pool = settings.capacity.pools.get(graph.placement.pool or "")
    parts: dict[str, Frontend | Worker] = {"frontend": graph.frontend}
    if pool is None or pool.block_end is None:
        parts |= manifest.roles(graph)
    pods = {part: asked.replicas for part, asked in parts.items() if asked.scaled_by == "stack"}
    return interruption.budgets(name, graph, pods)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a graph stands on, besides its place."""

    operator: list[pulumi.Resource]
    namespace: GraphNamespace
    cache: list[pulumi.Resource]
    """The downloads of its models."""
    pull_secret: str | None


def graph_of(
    settings: Settings, place: Place, name: str, graph: Graph, ground: Ground, in_cluster: pulumi.ResourceOptions
) -> dict[str, object]:
    """A graph with its smoke test; what the stack exports of it."""
    model, placed = settings.models[graph.model], graph.placement.pool
    rendered = manifest.manifest(
        name,
        graph,
        model,
        manifest.Surroundings(
            release=catalog.dynamo_release(settings.dynamo.version),
            machine=sizing.machine_of(graph, settings.capacity.pools.get(placed or ""), place.racks),
            zone_names=place.zone_names,
            zoned=settings.cluster.existing is None,
            surge_room=sizing.surge_room(name, settings.graphs, settings.capacity.pools, place.racks),
            pool_zones=_fewer_zones(settings, place, placed),
            image_pull_secret=ground.pull_secret,
            others=settings.models,
            caches=frozenset(settings.storage.caches),
            queue=gang_objects.QUEUE,
            topology=gang_objects.TOPOLOGY,
            rack_domain=gang_objects.RACK_DOMAIN,
        ),
    )
    racks = [rack.name for rack in sizing.racks_of(graph, place.racks)] if manifest.on_rack(graph) else []
    outside = graph.exposure
    balancer = None
    if outside.type == "nlb":
        balancer = exposure.load_balancer(
            name,
            graph.namespace,
            scheme=outside.scheme,
            allowed_cidrs=outside.allowed_cidrs,
            port=outside.port,
            # Another cluster's role may not be allowed to set tags, and then no load balancer is made at all.
            tags=settings.aws_tags if settings.cluster.existing is None else None,
        )
    on_racks = [resource for rack in racks for resource in place.rack_ready[rack]]
    pinned = None
    if any("memlock" in place.racks[rack].spec.verify for rack in racks):
        # The highest rung before the graph itself: nothing else runs in the graph's own image.
        pinned = PinnedMemory(
            f"memlock-{name}",
            PinnedMemoryArgs(graph=name, manifest=rendered, depends_on=[*ground.namespace.ready, *on_racks]),
            in_cluster,
        )
    made = DynamoGraph(
        f"graph-{name}",
        DynamoGraphArgs(
            manifest=rendered,
            compute_domains=compute_domain.domains(name, graph),
            budgets=_budgets(settings, name, graph),
            load_balancer=balancer,
            depends_on=[
                *ground.operator,
                *ground.namespace.ready,
                *ground.cache,
                *place.pools.get(placed or "", []),
                *on_racks,
                *(pinned.ready if pinned else []),
            ],
            claims=ground.namespace.claims,
            tokens_per_second=graph.tokens_per_second,
        ),
        in_cluster,
    )
    served = manifest.served_name(graph, model)
    if graph.smoke_test is not None:
        # On a rack these are the two highest rungs of its ladder, so that a failure says which of the two it was.
        SmokeTest(
            f"smoke-{name}",
            SmokeTestArgs(
                graph=name,
                namespace=graph.namespace,
                model=served,
                service_url=made.service_url,
                digest=manifest.digest(rendered),
                image=catalog.PYTHON_IMAGE,
                timeout_minutes=graph.smoke_test.timeout_minutes,
                efa=graph.transport == "efa",
                stages=("load", "completion") if racks else ("all",),
                depends_on=made.ready,
            ),
            in_cluster,
        )
    outputs: dict[str, object] = {
        "namespace": graph.namespace,
        "service": made.service_url,
        "model": served,
        "portForward": f"kubectl -n {graph.namespace} port-forward svc/{made.service_name} {exposure.FRONTEND_PORT}:{exposure.FRONTEND_PORT}",
        "curl": exposure.curl(served, f"localhost:{exposure.FRONTEND_PORT}"),
    }
    if racks:
        outputs["memlock"] = pinned.logs if pinned else "left out"
    if made.load_balancer_host is not None:
        outputs["loadBalancer"] = made.load_balancer_host
    return outputs
