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
from components.capacity.ultraservers import Rack
from components.capacity.window import moment
from components.dynamo import compute_domain, download, exposure, manifest
from components.dynamo.graph import DynamoGraph, DynamoGraphArgs
from components.dynamo.model_cache import ModelCache, ModelCacheArgs
from components.dynamo.namespace import PULL_SECRET, TOKEN_SECRET, GraphNamespace, GraphNamespaceArgs, RegistryLogin
from components.dynamo.platform import DynamoPlatform, DynamoPlatformArgs
from components.dynamo.spec import Graph
from components.dynamo.values import platform_values
from components.scheduling import gang as gang_objects
from components.validation.platform_check import PlatformCheck, PlatformCheckArgs
from components.validation.smoke import SmokeTest, SmokeTestArgs
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
    racks: Mapping[str, Rack] = field(default_factory=dict)
    """UltraServers by name."""
    rack_ready: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    """What graphs on an UltraServer wait for: its verification ladder, which waits for its nodes."""
    gpu_stack: list[pulumi.Resource] = field(default_factory=list)
    """DRA driver, GPU Operator and EFA plugin; empty without UltraServers."""
    local_zone_class: str | None = None
    """Storage class of graphs on an UltraServer in a Local Zone, which has no mount target."""
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
    role = settings.assume_role
    account = aws.Provider(
        "aws",
        region=region,
        # Default tags live on the provider: no resource can forget them.
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags(settings)),
        # The provider compares the account by itself as well, with the credentials that it really uses.
        allowed_account_ids=list(settings.accounts) or None,
        profile=settings.profile,
        assume_roles=[
            aws.ProviderAssumeRoleArgs(role_arn=role.role_arn, session_name=role.session_name, duration=role.duration)
        ]
        if role
        else None,
    )
    in_aws = pulumi.ResourceOptions(providers=[account])
    racks = {name: sizing.rack(name, given) for name, given in settings.capacity.ultra_servers.items()}
    blocks = _blocks(racks, account)
    network = _network(settings, account, racks, blocks)
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
            profile=settings.profile,
            assume_role_arn=role.role_arn if role else None,
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
        StorageClassesArgs(
            efs_file_system_id=files.file_system_id,
            efs_ready=[*addons.ready, *files.ready],
            local_zone_mounts=_mounts(racks, blocks, network),
        ),
        in_cluster,
    )
    pools = _pools(settings, network, cluster, in_cluster)
    ready = [*cluster.ready, *network.egress, *addons.ready, *files.ready, *classes.ready]
    placed = _ultra_servers(settings, racks, network, cluster, ready, in_cluster)
    return Place(
        provider=provider,
        storage_class=EFS_CLASS,
        ready=ready,
        zone_names=network.zone_names,
        pools=pools,
        racks=racks,
        rack_ready=placed.rack_ready,
        gpu_stack=placed.gpu_stack,
        local_zone_class=classes.local_zone_class_name,
        outputs={
            **placed.outputs,
            "cluster": cluster.cluster_name,
            "kubeconfigCommand": update_command(
                settings.cluster_name, region, settings.profile, role.role_arn if role else None
            ),
            "region": region,
            "vpcId": network.vpc_id,
            "efsFileSystemId": files.file_system_id,
        },
    )


def _blocks(racks: Mapping[str, Rack], account: Any) -> dict[str, Any]:
    """Capacity Blocks of the stack, read before anything else: their zones shape the network."""
    if not racks:
        return {}
    from components.capacity.capacity_block import CapacityBlock, CapacityBlockArgs

    # It makes nothing, and reads with the provider it is given.
    return {
        name: CapacityBlock(f"block-{name}", CapacityBlockArgs(rack=rack, provider=account))
        for name, rack in racks.items()
    }


def _mounts(racks: Mapping[str, Rack], blocks: Mapping[str, Any], network: Any) -> str | None:
    """Name of the zone whose mount target UltraServers in a Local Zone use; None where every zone has its own."""
    local = next((block.zone for block in blocks.values() if block.zone.type != "availability-zone"), None)
    if local is None:
        return None
    parent = local.parent_zone_id if local.parent_zone_id in network.zone_names else min(network.zone_names)
    return network.zone_names[parent]


def _network(settings: Settings, account: Any, racks: Mapping[str, Rack], blocks: Mapping[str, Any]) -> Any:
    from components.network.existing import ExistingNetwork, ExistingNetworkArgs, SubnetPair
    from components.network.lookup import read_zones
    from components.network.network import Network, NetworkArgs, RackZone
    from components.network.rack_zones import closed_zones, nat_zone
    from components.network.zones import choose

    config, in_aws = settings.network, pulumi.ResourceOptions(providers=[account])
    if config.existing is not None:
        pairs = {zone: SubnetPair(pair.private, pair.public) for zone, pair in sorted(config.existing.subnets.items())}
        nodes: dict[str, int] = {}
        for rack in racks.values():
            nodes[rack.zone_id] = nodes.get(rack.zone_id, 0) + rack.nodes
        return ExistingNetwork(
            "network",
            ExistingNetworkArgs(
                vpc_id=config.existing.vpc_id,
                subnets=pairs,
                rack_subnets=config.existing.ultra_server_subnets,
                rack_nodes=nodes,
            ),
            account,
            in_aws,
        )
    standing = {block.zone.zone_id: block.zone for block in blocks.values()}
    if closed := closed_zones(list(standing.values()), config.local_zones.opt_in):
        raise pulumi.RunError(closed)
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
            # The cluster stands and falls with its VPC, and so does what lets it go.
            protect=settings.cluster.protect,
            flow_log_retention_days=config.flow_logs.retention_days if config.flow_logs else None,
            flow_log_group=f"/dynamo-eks/{settings.cluster_name}/flow",
            rack_zones=[
                RackZone(
                    zone_id=zone.zone_id,
                    name=zone.name,
                    group=zone.group,
                    type=zone.type,
                    nat_zone_id=nat_zone(config.local_zones.nat_zone, zone, [item.zone_id for item in zones]),
                )
                for zone in standing.values()
            ],
            opt_in=config.local_zones.opt_in,
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


@dataclass(frozen=True, kw_only=True)
class _Racks:
    rack_ready: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    gpu_stack: list[pulumi.Resource] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)


def _ultra_servers(
    settings: Settings,
    racks: Mapping[str, Rack],
    network: Any,
    cluster: Any,
    ready: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> _Racks:
    """Nodes of every UltraServer, NVIDIA's stack on them, and the ladder that proves each rack."""
    if not racks:
        return _Racks()
    from components.capacity.rack_role import RackRole
    from components.capacity.ultraserver_nodes import UltraServerNodes, UltraServerNodesArgs
    from components.cluster.hybrid_addons import HybridAddons, HybridAddonsArgs

    version = settings.cluster.version
    hybrid = HybridAddons(
        "hybrid",
        HybridAddonsArgs(cluster_name=cluster.cluster_name, versions=catalog.HYBRID_ADDONS[version]),
        in_cluster,
        depends_on=[*cluster.ready, *network.egress],
    )
    role = RackRole("racks", in_cluster)
    nodes = {}
    for name, rack in racks.items():
        given = settings.capacity.ultra_servers[name]
        nodes[name] = UltraServerNodes(
            f"nodes-{name}",
            UltraServerNodesArgs(
                rack=rack,
                now=settings.at,
                cluster_name=cluster.cluster_name,
                node_role_arn=role.role_arn,
                subnet_id=network.rack_subnet_ids[rack.zone_id],
                security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
                kubernetes_version=version,
                ami_release=given.ami_release or catalog.AMI_RELEASES[version],
                root_volume_gib=given.root_volume_gib,
                node_repair=given.node_repair,
                protect=given.protect,
                tags=tags(settings),
                node_access=[*role.ready, *hybrid.ready, *cluster.ready, *network.egress],
            ),
            in_cluster,
        )
    groups = [resource for item in nodes.values() for resource in item.ready]
    stack = _gpu_stack(settings, racks, [*ready, *groups], in_cluster)
    rack_ready, verified = _ladders(settings, racks, stack, in_cluster)
    windows = {
        name: {"start": moment(rack.window.start), "drain": moment(rack.window.drain_at),
               "end": moment(rack.window.end), "nodeGroup": nodes[name].node_group_name,
               "verification": verified.get(name, {})}
        for name, rack in racks.items()
    }  # fmt: skip
    return _Racks(rack_ready=rack_ready, gpu_stack=stack, outputs={"ultraServers": windows})


def _gpu_stack(
    settings: Settings,
    racks: Mapping[str, Rack],
    depends_on: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """DRA driver first, whose ComputeDomain CRD must be the one that is installed; then operator and EFA plugin."""
    from components.gpu import values
    from components.gpu.dra_driver import DraDriver, DraDriverArgs
    from components.gpu.efa_plugin import EfaPlugin, EfaPluginArgs
    from components.gpu.gpu_operator import GpuOperator, GpuOperatorArgs

    config, names = settings.gpu, sorted(racks)
    dra = catalog.chart_release(catalog.DRA_DRIVER, config.dra_driver.version)
    operator = catalog.chart_release(catalog.GPU_OPERATOR, config.operator.version)
    plugin = catalog.chart_release(catalog.EFA_PLUGIN, config.efa_plugin.version)
    driver = DraDriver(
        "dra-driver",
        DraDriverArgs(
            chart=dra,
            values=values.merged(
                values.dra_driver(dra.version, settings.cluster.version, names), config.dra_driver.values
            ),
        ),
        in_cluster,
        depends_on=depends_on,
    )
    made = GpuOperator(
        "gpu-operator",
        GpuOperatorArgs(
            chart=operator,
            values=values.merged(
                values.gpu_operator(operator.version.removeprefix("v"), names, monitors=settings.dynamo.pod_monitors),
                config.operator.values,
            ),
        ),
        in_cluster,
        depends_on=driver.ready,
    )
    efa = EfaPlugin(
        "efa-plugin",
        EfaPluginArgs(chart=plugin, values=values.merged(values.efa_plugin(), config.efa_plugin.values)),
        in_cluster,
        depends_on=depends_on,
    )
    return [*driver.ready, *made.ready, *efa.ready]


def _ladders(
    settings: Settings,
    racks: Mapping[str, Rack],
    stack: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> tuple[dict[str, list[pulumi.Resource]], dict[str, Any]]:
    """What graphs on each rack wait for, and what the rungs said."""
    from components.validation.ladder import VerificationLadder, VerificationLadderArgs
    from components.validation.ladder_objects import MEASURED, RackUnderTest
    from components.validation.mpi_operator import MpiOperator, MpiOperatorArgs

    given = settings.capacity.ultra_servers
    operator: list[pulumi.Resource] = []
    if any(rung in MEASURED for name in racks for rung in given[name].verify):
        operator = MpiOperator("mpi-operator", MpiOperatorArgs(), in_cluster, depends_on=stack).ready
    ready, results = {}, {}
    for name, rack in racks.items():
        ladder = VerificationLadder(
            f"verify-{name}",
            VerificationLadderArgs(
                rack=RackUnderTest(
                    rack=name,
                    reservation=rack.reservation,
                    ultraserver_type=rack.type,
                    instance_type=rack.instance_type,
                    nodes=rack.nodes,
                    efa_per_node=rack.efa_interfaces,
                    hugepages_mib=rack.huge_pages_mib,
                    driver_branch=settings.gpu.driver_branch,
                    gpus_per_node=rack.machine.gpus,
                    namespace=f"verify-{name}",
                ),
                check_image=catalog.PYTHON_IMAGE,
                rungs=given[name].verify,
            ),
            in_cluster,
            # The drivers wait for the nodes of every rack.
            depends_on=[*stack, *operator],
        )
        ready[name] = ladder.ready
        results[name] = ladder.results
    return ready, results


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
        ),
        in_cluster,
        # The GPU stack outlives the operator, which ends the graphs, whose claims the DRA driver takes back.
        depends_on=[*place.ready, *place.gpu_stack, *gang],
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
                storage_class=_class_of(settings, place, namespace),
                access_mode=settings.storage.access_mode,
                size_gib=settings.storage.cache_size_gib,
                fixed_size=settings.cluster.existing is None,
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
            settings, place, name, graph, operator, namespaces[graph.namespace],
            caches[graph.namespace, graph.model], pull_name, in_cluster,
        )  # fmt: skip
    return Serving(outputs=outputs)


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
    from components.scheduling.gang_scheduler import GangScheduler, GangSchedulerArgs

    return GangScheduler(
        "gang",
        GangSchedulerArgs(
            kai_version=release.kai_floor,
            grove_version=release.grove_floor,
            gpus=sum(rack.gpus for rack in place.racks.values()),
            auto_mnnvl=any(graph.compute_domain == "groveAuto" for graph in graphs),
        ),
        in_cluster,
        depends_on=place.gpu_stack,
    ).ready


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
            claims=namespaces[namespace].claims,
        ).ready
    return made


def _fewer_zones(settings: Settings, place: Place, pool: str | None) -> tuple[str, ...]:
    """Names of the zones a pool launches in; empty when they are all of the network's."""
    there = list(place.zone_names)
    zones = sizing.pool_zones(settings.capacity.pools[pool], there) if pool in settings.capacity.pools else there
    return () if len(zones) == len(there) else tuple(place.zone_names[zone] for zone in zones)


def _graph(
    settings: Settings,
    place: Place,
    name: str,
    graph: Graph,
    operator: list[pulumi.Resource],
    namespace: GraphNamespace,
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
            machine=sizing.machine_of(graph, settings.capacity.pools.get(placed or ""), place.racks),
            zone_names=place.zone_names,
            zoned=settings.cluster.existing is None,
            pool_zones=_fewer_zones(settings, place, placed),
            image_pull_secret=pull_secret,
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
            name, graph.namespace, scheme=outside.scheme, allowed_cidrs=outside.allowed_cidrs, port=outside.port
        )
    made = DynamoGraph(
        f"graph-{name}",
        DynamoGraphArgs(manifest=rendered, compute_domains=compute_domain.domains(name, graph), load_balancer=balancer),
        in_cluster,
        depends_on=[
            *operator,
            *namespace.ready,
            *cache,
            *place.pools.get(placed or "", []),
            *(resource for rack in racks for resource in place.rack_ready[rack]),
        ],
        claims=namespace.claims,
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
            ),
            in_cluster,
            depends_on=made.ready,
        )
    outputs: dict[str, Any] = {
        "namespace": graph.namespace,
        "service": made.service_url,
        "model": served,
        "portForward": f"kubectl -n {graph.namespace} port-forward svc/{made.service_name} {exposure.FRONTEND_PORT}:{exposure.FRONTEND_PORT}",
        "curl": exposure.curl(served, f"localhost:{exposure.FRONTEND_PORT}"),
    }
    if made.load_balancer_host is not None:
        outputs["loadBalancer"] = made.load_balancer_host
    return outputs
