"""Dynamo platform, model caches and graphs on either place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components import catalog
from components.dynamo import download, manifest
from components.dynamo.model_cache import ModelCache, ModelCacheArgs
from components.dynamo.model_paths import named
from components.dynamo.namespace import PULL_SECRET, TOKEN_SECRET, GraphNamespace, GraphNamespaceArgs, RegistryLogin
from components.dynamo.platform import DynamoPlatform, DynamoPlatformArgs
from components.dynamo.values import platform_values
from components.scheduling.gang_scheduler import GangScheduler, GangSchedulerArgs
from components.validation.platform_check import PlatformCheck, PlatformCheckArgs
from program.graph import Ground, graph_of
from program.place import Place
from stacks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Serving:
    outputs: Mapping[str, object]


def serving(settings: Settings, place: Place) -> Serving:
    """Dynamo platform, model caches and graphs."""
    config, in_cluster = settings.dynamo, pulumi.ResourceOptions(providers=[place.provider])
    release = catalog.dynamo_release(config.version)
    pull = config.image_pull_secret
    pull_name = None if pull is None else pull.existing or PULL_SECRET
    registry = None
    if pull is not None and pull.server:
        registry = RegistryLogin(
            server=pull.server, username=pull.username, password=settings.secrets["imagePullPassword"]
        )
    gang = _gang(settings, place, release, in_cluster)
    platform = DynamoPlatform(
        "platform",
        DynamoPlatformArgs(
            namespace=config.namespace,
            version=config.version,
            repository=release.chart_repository,
            registry=registry,
            values=platform_values(
                pod_monitors=config.pod_monitors,
                prometheus_endpoint=config.prometheus_endpoint,
                image_pull_secrets=[pull_name] if pull_name else [],
                gang_scheduling=bool(gang),
            ),
            # The GPU stack outlives the operator, which ends the graphs, whose claims the DRA driver takes back.
            depends_on=[*place.ready, *place.gpu_stack, *gang],
        ),
        in_cluster,
    )
    operator = list(platform.ready)
    if config.check:
        check = PlatformCheck(
            "platform-check",
            PlatformCheckArgs(
                namespace=config.namespace,
                version=config.version,
                image=catalog.PYTHON_IMAGE,
                depends_on=platform.ready,
            ),
            in_cluster,
        )
        operator += check.ready
    namespaces = {}
    for namespace in sorted({graph.namespace for graph in settings.graphs.values()}):
        namespaces[namespace] = GraphNamespace(
            f"namespace-{namespace}",
            GraphNamespaceArgs(
                namespace=namespace,
                caches=settings.storage.caches,
                storage_class=_class_of(settings, place, namespace),
                access_mode=settings.storage.access_mode,
                size_gib=settings.storage.cache_size_gib,
                fixed_size=settings.cluster.existing is None,
                hugging_face_token=settings.secrets.get("huggingFaceToken"),
                registry=registry,
                depends_on=[*place.ready, *place.files_ready],
            ),
            in_cluster,
        )
    caches = _caches(settings, namespaces, in_cluster)
    graphs = {
        name: graph_of(
            settings,
            place,
            name,
            graph,
            Ground(
                operator=operator,
                namespace=namespaces[graph.namespace],
                cache=[resource for key in named(graph) for resource in caches[graph.namespace, key]],
                pull_secret=pull_name,
            ),
            in_cluster,
        )
        for name, graph in settings.graphs.items()
    }
    return Serving(outputs={"platformNamespace": config.namespace, "graphs": graphs})


def _class_of(settings: Settings, place: Place, namespace: str) -> str:
    """Storage class of a namespace's caches: one for all of its pods, reachable from a Local Zone if any is there."""
    there = any(manifest.on_rack(graph) for graph in settings.graphs.values() if graph.namespace == namespace)
    return place.local_zone_class if there and place.local_zone_class else place.storage_class


def _gang(
    settings: Settings, place: Place, release: catalog.DynamoRelease, in_cluster: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """The gang scheduler, where a graph of the stack needs it."""
    graphs = settings.graphs.values()
    if not any(manifest.ganged(graph) for graph in graphs):
        return []
    return GangScheduler(
        "gang",
        GangSchedulerArgs(
            kai_version=release.kai_floor,
            grove_version=release.grove_floor,
            gpus=sum(rack.gpus for rack in place.racks.values()),
            auto_mnnvl=any(graph.compute_domain == "groveAuto" for graph in graphs),
            depends_on=place.gpu_stack,
        ),
        in_cluster,
    ).ready


def _caches(
    settings: Settings, namespaces: Mapping[str, GraphNamespace], in_cluster: pulumi.ResourceOptions
) -> dict[tuple[str, str], list[pulumi.Resource]]:
    """One download for each model and namespace that has a graph of it."""
    secret = settings.dynamo.hugging_face_secret or (TOKEN_SECRET if "huggingFaceToken" in settings.secrets else None)
    made = {}
    for namespace, key in sorted(
        {(graph.namespace, key) for graph in settings.graphs.values() for key in named(graph)}
    ):
        model = settings.models[key]
        job = download.cache_job(
            key,
            model,
            namespace=namespace,
            claim="model-cache",
            token_secret=secret,
            image=catalog.PYTHON_IMAGE,
            hub_version=catalog.HUGGINGFACE_HUB,
        )
        made[namespace, key] = ModelCache(
            f"cache-{namespace}-{key}",
            ModelCacheArgs(
                job=job,
                repository=model.repository,
                facts=None if model.facts is None else model.facts.model_dump(by_alias=True, exclude_defaults=True),
                timeout_minutes=model.download.timeout_minutes,
                depends_on=namespaces[namespace].ready,
                claims=namespaces[namespace].claims,
            ),
            in_cluster,
        ).ready
    return made
