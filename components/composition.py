"""What a stack is made of, in order. Wiring only: components make the resources, pure modules decide.

`aws_place` makes the network, the cluster, its storage and its GPU pools; `existing_place` takes a cluster that is there.
`serving` puts the Dynamo platform, models and graphs on either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components import catalog, sizing
from components.dynamo import download, exposure, manifest
from components.dynamo.graph import DynamoGraph, DynamoGraphArgs
from components.dynamo.model_cache import ModelCache, ModelCacheArgs
from components.dynamo.namespace import PULL_SECRET, TOKEN_SECRET, GraphNamespace, GraphNamespaceArgs, RegistryLogin
from components.dynamo.platform import DynamoPlatform, DynamoPlatformArgs
from components.dynamo.values import platform_values
from components.validation.platform_check import PlatformCheck, PlatformCheckArgs
from components.validation.smoke import SmokeTest, SmokeTestArgs
from stacks.models import Graph
from stacks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster to serve from."""

    provider: Any
    """Kubernetes provider of everything in the cluster."""
    storage_class: str
    """Class of the cache claims."""
    ready: list[pulumi.Resource]
    """What a pod needs: ways out, add-ons, storage classes, mount targets."""
    zone_names: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    """GPU pools by name, as what depends on them."""
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Serving:
    outputs: Mapping[str, Any]


def tags(settings: Settings) -> dict[str, str]:
    """Tags of everything in AWS, also of what Karpenter launches."""
    return {"project": "dynamo-eks", "stack": settings.stack, **settings.tags}


def existing_place(settings: Settings) -> Place:
    """A cluster that is there already. No AWS resource, and no AWS module, is touched."""
    from components.cluster.kubernetes_provider import existing_provider

    cluster = settings.cluster.existing
    assert cluster is not None  # the caller asked by this very setting
    provider = existing_provider("kubernetes", kubeconfig_path=cluster.kubeconfig, context=cluster.context)
    return Place(
        provider=provider,
        storage_class=settings.storage.storage_class or "",
        ready=[],
        outputs={"cluster": cluster.context, "kubeconfigCommand": f"kubectl config use-context {cluster.context}"},
    )


def aws_place(settings: Settings) -> Place:
    """Network, cluster, storage and GPU capacity in AWS."""
    import pulumi_aws as aws

    from components.cluster.addons import ClusterAddons, ClusterAddonsArgs
    from components.cluster.cluster import AutoModeCluster, AutoModeClusterArgs
    from components.cluster.kubeconfig import update_command
    from components.cluster.kubernetes_provider import cluster_provider
    from components.storage.shared_files import SharedFiles, SharedFilesArgs
    from components.storage.storage_classes import EFS_CLASS, StorageClasses, StorageClassesArgs

    config, region = settings.cluster, settings.region or ""
    # Default tags live on the provider: no resource can forget them.
    account = aws.Provider("aws", region=region, default_tags=aws.ProviderDefaultTagsArgs(tags=tags(settings)))
    in_aws = pulumi.ResourceOptions(providers=[account])
    network = _network(settings, account)
    cluster = AutoModeCluster(
        "main",
        AutoModeClusterArgs(
            cluster_name=settings.cluster_name,
            region=region,
            version=config.version,
            support_type=config.support,
            admins=config.admins,
            endpoint_public_access=bool(config.public_access_cidrs),
            endpoint_private_access=True,
            public_access_cidrs=config.public_access_cidrs or (),
            log_types=config.logs,
            log_retention_days=config.log_retention_days,
            deletion_protection=config.deletion_protection,
            protect=config.protect,
            vpc_id=network.vpc_id,
            private_subnet_ids=list(network.private_subnet_ids.values()),
            tags=tags(settings),
            egress=network.egress,
        ),
        in_aws,
    )
    provider = cluster_provider(
        "kubernetes", kubeconfig=cluster.kubeconfig, cluster_arn=cluster.arn, ready=cluster.ready
    )
    in_cluster = pulumi.ResourceOptions(providers=[account, provider])
    addons = ClusterAddons(
        "addons",
        ClusterAddonsArgs(cluster_name=cluster.cluster_name, efs_csi_version=catalog.EFS_CSI_ADDON),
        in_aws,
    )
    efs = settings.storage.efs
    files = SharedFiles(
        "files",
        SharedFilesArgs(
            # Names the file system in EFS itself: a second creation collides instead of making a twin.
            creation_token=f"{settings.cluster_name}-files",
            vpc_id=network.vpc_id,
            subnet_ids=network.private_subnet_ids,
            client_security_group_ids={"cluster": cluster.cluster_security_group_id},
            throughput_mode=efs.throughput,
            provisioned_throughput_mibps=efs.provisioned_mibps,
            backup=efs.backup,
            protect=efs.protect,
        ),
        in_aws,
    )
    classes = StorageClasses(
        "storage",
        StorageClassesArgs(efs_file_system_id=files.file_system_id, efs_ready=[*addons.ready, *files.ready]),
        in_cluster,
    )
    pools = _pools(settings, network, cluster, in_cluster)
    return Place(
        provider=provider,
        storage_class=EFS_CLASS,
        ready=[*cluster.ready, *network.egress, *addons.ready, *files.ready, *classes.ready],
        zone_names=network.zone_names,
        pools=pools,
        outputs={
            "cluster": cluster.cluster_name,
            "kubeconfigCommand": update_command(settings.cluster_name, region),
            "region": region,
            "vpcId": network.vpc_id,
            "efsFileSystemId": files.file_system_id,
        },
    )


def _network(settings: Settings, account: Any) -> Any:
    from components.network.existing import ExistingNetwork, ExistingNetworkArgs, SubnetPair
    from components.network.lookup import read_zones
    from components.network.network import Network, NetworkArgs
    from components.network.zones import choose

    config, in_aws = settings.network, pulumi.ResourceOptions(providers=[account])
    if config.existing is not None:
        pairs = {zone: SubnetPair(pair.private, pair.public) for zone, pair in sorted(config.existing.subnets.items())}
        return ExistingNetwork(
            "network", ExistingNetworkArgs(vpc_id=config.existing.vpc_id, subnets=pairs), account, in_aws
        )
    try:
        zones = choose(read_zones(account), config.zones)
    except ValueError as error:
        raise pulumi.RunError(f"dynamo-eks:network.{error}") from error
    return Network(
        "network",
        NetworkArgs(
            region=settings.region or "",
            cidr=config.cidr,
            zones=zones,
            nat=config.nat,
            interface_endpoints=config.interface_endpoints,
            flow_log_retention_days=config.flow_logs.retention_days if config.flow_logs else None,
        ),
        in_aws,
    )


def _pools(
    settings: Settings, network: Any, cluster: Any, in_cluster: pulumi.ResourceOptions
) -> dict[str, list[pulumi.Resource]]:
    if not settings.capacity.pools:
        return {}
    from components.capacity.gpu_pool import GpuPool, GpuPoolArgs, ReservationArgs
    from components.capacity.node_role import NodeRole, NodeRoleArgs
    from components.capacity.node_spec import PoolSpec

    role = NodeRole("nodes", NodeRoleArgs(cluster_name=cluster.cluster_name), in_cluster)
    made = {}
    for name, pool in settings.capacity.pools.items():
        zone_ids = sizing.pool_zones(pool, list(network.private_subnet_ids))
        ends = [item.end for item in pool.reservations if item.end is not None]
        storage = pool.ephemeral_storage
        made[name] = GpuPool(
            f"pool-{name}",
            GpuPoolArgs(
                spec=PoolSpec(
                    name=name,
                    families=pool.families,
                    instance_types=pool.instance_types,
                    capacity=pool.capacity,
                    zone_names=[network.zone_names[zone] for zone in zone_ids],
                    gpu_limit=sizing.pool_limit(name, pool, dict(settings.graphs)),
                    consolidate_after=pool.consolidate_after,
                    expire_after=pool.expire_after,
                    disruption_budget=pool.disruption_budget,
                    block_end=min(ends, default=None),
                    uses_open_reservations=pool.uses_open_reservations,
                    weight=pool.weight,
                ),
                reservations=[
                    ReservationArgs(
                        key=f"reservation-{position}",
                        kind=item.kind,
                        instance_type=item.instance_type,
                        zone_id=item.zone,
                        zone_name=network.zone_names[item.zone],
                        count=item.count,
                        id=item.id,
                        tags=item.tags,
                        create=item.create,
                        end=item.end,
                        protect=item.protect,
                    )
                    for position, item in enumerate(pool.reservations)
                ],
                role_name=role.role_name,
                subnet_ids=[network.private_subnet_ids[zone] for zone in zone_ids],
                security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
                size_gib=storage.size_gib,
                iops=storage.iops,
                throughput_mibps=storage.throughput_mibps,
                tags=tags(settings),
                node_access=[*role.ready, *cluster.ready, *network.egress],
            ),
            in_cluster,
        ).ready
    return made


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
            ),
        ),
        in_cluster,
        depends_on=place.ready,
    )
    operator = list(platform.ready)
    if config.check:
        check = PlatformCheck(
            "platform-check",
            PlatformCheckArgs(namespace=config.namespace, version=config.version, image=catalog.PYTHON_IMAGE),
            in_cluster,
            depends_on=platform.ready,
        )
        operator += check.ready
    namespaces = {}
    for namespace in sorted({graph.namespace for graph in settings.graphs.values()}):
        namespaces[namespace] = GraphNamespace(
            f"namespace-{namespace}",
            GraphNamespaceArgs(
                namespace=namespace,
                caches=settings.storage.caches,
                storage_class=place.storage_class,
                access_mode=settings.storage.access_mode,
                size_gib=settings.storage.cache_size_gib,
                hugging_face_token=settings.secrets.get("huggingFaceToken"),
                registry=registry,
            ),
            in_cluster,
            depends_on=place.ready,
        )
    caches = _caches(settings, namespaces, in_cluster)
    outputs: dict[str, Any] = {"platformNamespace": config.namespace, "graphs": {}}
    for name, graph in settings.graphs.items():
        outputs["graphs"][name] = _graph(
            settings, place, name, graph, operator, namespaces[graph.namespace].ready,
            caches[graph.namespace, graph.model], pull_name, in_cluster,
        )  # fmt: skip
    return Serving(outputs=outputs)


def _caches(
    settings: Settings, namespaces: Mapping[str, GraphNamespace], in_cluster: pulumi.ResourceOptions
) -> dict[tuple[str, str], list[pulumi.Resource]]:
    """One download for each model and namespace that has a graph of it."""
    secret = settings.dynamo.hugging_face_secret or (TOKEN_SECRET if "huggingFaceToken" in settings.secrets else None)
    made = {}
    for namespace, key in sorted({(graph.namespace, graph.model) for graph in settings.graphs.values()}):
        model = settings.models[key]
        job = download.cache_job(
            key,
            namespace=namespace,
            repository=model.repository,
            revision=model.revision,
            xet_buffer=model.download.xet_buffer,
            memory_gib=model.download.memory_gib,
            timeout_minutes=model.download.timeout_minutes,
            retries=model.download.retries,
            claim="model-cache",
            token_secret=secret,
            image=catalog.PYTHON_IMAGE,
            hub_version=catalog.HUGGINGFACE_HUB,
        )
        made[namespace, key] = ModelCache(
            f"cache-{namespace}-{key}",
            ModelCacheArgs(job=job, timeout_minutes=model.download.timeout_minutes),
            in_cluster,
            depends_on=namespaces[namespace].ready,
        ).ready
    return made


def _graph(
    settings: Settings,
    place: Place,
    name: str,
    graph: Graph,
    operator: list[pulumi.Resource],
    namespace: list[pulumi.Resource],
    cache: list[pulumi.Resource],
    pull_secret: str | None,
    in_cluster: pulumi.ResourceOptions,
) -> dict[str, Any]:
    model, placed = settings.models[graph.model], graph.placement.pool
    rendered = manifest.manifest(
        name,
        graph,
        model,
        manifest.Surroundings(
            release=catalog.dynamo_release(settings.dynamo.version),
            machine=sizing.machine_of(graph, settings.capacity.pools.get(placed or "")),
            zone_names=place.zone_names,
            image_pull_secret=pull_secret,
            caches=frozenset(settings.storage.caches),
        ),
    )
    outside = graph.exposure
    balancer = None
    if outside.type == "nlb":
        balancer = exposure.load_balancer(
            name, graph.namespace, scheme=outside.scheme, allowed_cidrs=outside.allowed_cidrs, port=outside.port
        )
    made = DynamoGraph(
        f"graph-{name}",
        DynamoGraphArgs(manifest=rendered, load_balancer=balancer),
        in_cluster,
        depends_on=[*operator, *namespace, *cache, *place.pools.get(placed or "", [])],
    )
    served = manifest.served_name(graph, model)
    if graph.smoke_test is not None:
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
            ),
            in_cluster,
            depends_on=made.ready,
        )
    body = f'{{"model": "{served}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    outputs: dict[str, Any] = {
        "namespace": graph.namespace,
        "service": made.service_url,
        "model": served,
        "portForward": f"kubectl -n {graph.namespace} port-forward svc/{made.service_name} 8000:8000",
        "curl": f"curl -s localhost:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'",
    }
    if made.load_balancer_host is not None:
        outputs["loadBalancer"] = made.load_balancer_host
    return outputs
