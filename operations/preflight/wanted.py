"""What a stack asks of its account and of the world: from its checked settings and its recorded graph. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components import sizing
from components.capacity import instances
from components.capacity.spec import Pool
from components.capacity.ultraservers import TYPES, Rack
from components.dynamo.manifest import on_rack
from components.network.cidr import NODE_ADDRESSES, pool_addresses
from operations.preflight import quotas
from operations.preflight.quotas import Quota
from operations.preflight.registries import Chart
from recording.graph import SECRET, UNKNOWN, Graph
from stacks.placeholders import ToFillIn
from stacks.settings import Settings

SYSTEM_CPU = 4
"""vCPUs of what runs beside frontends: the platform's operator, the add-ons, and the nodes' own agents. Reckoned, not measured."""


@dataclass(frozen=True, kw_only=True)
class PoolWanted:
    """Nodes that a pool may launch."""

    name: str
    types: tuple[str, ...]
    """Instance types it may launch."""
    zone_ids: tuple[str, ...]
    """Zones it may launch in; empty when they are all of the network's."""
    graphs: tuple[GraphWanted, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GraphWanted:
    """Nodes that a graph needs of a pool."""

    name: str
    type: str
    nodes: int
    zone_id: str | None
    """The one zone it is pinned to."""


@dataclass(frozen=True, kw_only=True)
class ReservationWanted:
    """A reservation that must be there already."""

    key: str
    """Where it stands in the stack file."""
    id: str | None
    tags: Mapping[str, str] = field(default_factory=dict)
    block: bool
    instance_type: str
    zone_id: str
    count: int
    start: datetime | None = None
    end: datetime | None = None
    ultra_server: str | None = None
    """Type of the UltraServer; None for ordinary machines."""

    @property
    def vcpu(self) -> int:
        return instances.instance(self.instance_type).vcpu * self.count


@dataclass(frozen=True, kw_only=True)
class VcpuWanted:
    """vCPUs at once, of a group of families, by any of some purchase options."""

    what: str
    vcpu: int
    options: Mapping[str, Quota]
    """Quota by purchase option; one that has room is enough."""


@dataclass(frozen=True, kw_only=True)
class CountWanted:
    """Things that are counted against a quota."""

    quota: Quota
    count: int
    used: str | None = None
    """Which question tells how many there are; None where the quota is of each thing by itself."""


@dataclass(frozen=True, kw_only=True)
class SubnetWanted:
    """A subnet that is there already."""

    id: str
    zone_id: str
    role: str
    addresses: int
    """Free addresses that what comes into it needs."""


@dataclass(frozen=True, kw_only=True)
class ModelWanted:
    name: str
    repository: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Everything that a stack asks for."""

    stack: str
    region: str | None
    accounts: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    to_fill_in: tuple[ToFillIn, ...] = ()
    aws: bool = True
    """Whether the stack makes anything in AWS."""
    cluster_name: str = ""
    log_groups: tuple[str, ...] = ()
    """Names of log groups that are made."""
    zones: int | tuple[str, ...] = ()
    """How many zones of the region, or which; empty in a network that is there already."""
    local_zones: tuple[str, ...] = ()
    opts_in: bool = False
    """Whether the program opts in to those Local Zones by itself."""
    pools: tuple[PoolWanted, ...] = ()
    reservations: tuple[ReservationWanted, ...] = ()
    vcpus: tuple[VcpuWanted, ...] = ()
    counts: tuple[CountWanted, ...] = ()
    kubernetes: str = ""
    support: str = "STANDARD"
    addons: tuple[tuple[str, str], ...] = ()
    """Add-ons of EKS by name and version."""
    amis: tuple[tuple[str, str, str], ...] = ()
    """AMIs of node groups: AMI type, Kubernetes version, release."""
    vpc_id: str | None = None
    subnets: tuple[SubnetWanted, ...] = ()
    types: tuple[str, ...] = ()
    """Types of AWS resources that are made."""
    images: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    files: tuple[str, ...] = ()
    """Manifests that are read from the internet."""
    models: tuple[ModelWanted, ...] = ()
    token_in_cluster: bool = False
    """The token is in a Secret of the cluster, where nobody here can read it."""
    login: tuple[str, str] | None = None
    """Server and user of the registry whose password the stack holds."""
    pulls_with_secret: bool = False
    """Nodes log in to a registry with a Secret that is there already."""
    kubeconfig: str | None = None
    context: str | None = None

    def unfilled(self, key: str) -> bool:
        """Whether a placeholder stands at, or below, a key: then the value is a stand-in and asking for it is idle."""
        return any(item.key.startswith(key) for item in self.to_fill_in)


def wanted(settings: Settings, graph: Graph) -> Wanted:
    """What a stack asks for."""
    images = tuple(sorted({*_images([item.manifest for item in graph.objects])}))
    pull = settings.dynamo.image_pull_secret
    common: dict[str, Any] = {
        "stack": settings.stack,
        "to_fill_in": settings.to_fill_in,
        "images": images,
        "charts": tuple(sorted({_chart(node.inputs) for node in graph.releases}, key=lambda item: item.words)),
        "files": tuple(sorted({*_files(graph)})),
        "models": tuple(
            ModelWanted(name=name, repository=model.repository, revision=model.revision)
            for name, model in settings.models.items()
        ),
        "token_in_cluster": settings.dynamo.hugging_face_secret is not None,
        "login": (pull.server, pull.username) if pull and pull.server else None,
        "pulls_with_secret": bool(pull and pull.existing),
    }
    existing = settings.cluster.existing
    if existing is not None:
        return Wanted(region=None, aws=False, kubeconfig=existing.kubeconfig, context=existing.context, **common)
    racks = {name: Rack(name=name, spec=given) for name, given in settings.capacity.ultra_servers.items()}
    network = settings.network
    return Wanted(
        region=settings.region,
        accounts=settings.accounts,
        admins=settings.cluster.admins,
        cluster_name=settings.cluster_name,
        log_groups=tuple(
            sorted(
                str(node.inputs["name"])
                for node in graph.of("aws:cloudwatch/logGroup:LogGroup")
                if node.inputs.get("name")
            )
        ),
        zones=() if network.existing else network.zones,
        local_zones=tuple(sorted({rack.spec.zone for rack in racks.values()})),
        opts_in=network.local_zones.opt_in,
        pools=tuple(_pool(name, pool, settings, graph) for name, pool in settings.capacity.pools.items()),
        reservations=(*_reserved(settings), *(_rack(name, rack) for name, rack in racks.items())),
        vcpus=tuple(_vcpus(settings)),
        counts=tuple(_counts(graph)),
        kubernetes=settings.cluster.version,
        support=settings.cluster.support,
        addons=tuple(
            sorted(
                {
                    (str(node.inputs["addonName"]), str(node.inputs.get("addonVersion", "")))
                    for node in graph.of("aws:eks/addon:Addon")
                }
            )
        ),
        amis=tuple(
            sorted(
                {
                    (str(node.inputs["amiType"]), settings.cluster.version, str(node.inputs["releaseVersion"]))
                    for node in graph.of("aws:eks/nodeGroup:NodeGroup")
                    if node.inputs.get("releaseVersion")
                }
            )
        ),
        vpc_id=network.existing.vpc_id if network.existing else None,
        subnets=tuple(_subnets(settings, racks)),
        types=tuple(sorted({node.type for node in graph.of("aws:*") if node.custom})),
        **common,
    )


def _pool(name: str, pool: Pool, settings: Settings, graph: Graph) -> PoolWanted:
    rendered = next(item.manifest for item in graph.objects_of("NodePool") if item.name == name)
    zones: tuple[str, ...] = pool.zones or tuple(dict.fromkeys(item.zone for item in pool.reservations))
    placed = []
    for each, item in settings.graphs.items():
        machine = sizing.machine_of(item, pool) if item.placement.pool == name else None
        if machine is not None:
            placed.append(
                GraphWanted(
                    name=each, type=machine.type, nodes=sizing.nodes_of(item, machine), zone_id=item.placement.zone
                )
            )
    return PoolWanted(
        name=name,
        types=tuple(item.type for item in instances.launchable(rendered)),
        zone_ids=zones,
        graphs=tuple(placed),
    )


def _reserved(settings: Settings) -> Iterator[ReservationWanted]:
    for name, pool in settings.capacity.pools.items():
        for position, item in enumerate(pool.reservations):
            if not item.create:
                yield ReservationWanted(
                    key=f"capacity.pools.{name}.reservations[{position}]",
                    id=item.id,
                    tags=item.tags or {},
                    block=item.kind == "capacityBlock",
                    instance_type=item.instance_type,
                    zone_id=item.zone,
                    count=item.count,
                    start=item.start,
                    end=item.end,
                )


def _rack(name: str, rack: Rack) -> ReservationWanted:
    return ReservationWanted(
        key=f"capacity.ultraServers.{name}",
        id=rack.spec.reservation,
        block=True,
        instance_type=rack.spec.instance_type,
        zone_id=rack.spec.zone,
        count=TYPES[rack.spec.type].nodes,
        start=rack.window.start,
        end=rack.window.end,
        ultra_server=rack.spec.type,
    )


def _vcpus(settings: Settings) -> Iterator[VcpuWanted]:
    """vCPUs by what buys them. Nodes of a reservation that exists are running, or prepaid, already."""
    asked: dict[tuple[tuple[str, Quota], ...], int] = {}
    names: dict[tuple[tuple[str, Quota], ...], list[str]] = {}

    def ask(options: dict[str, Quota], vcpu: int, name: str) -> None:
        if options and vcpu > 0:
            key = tuple(sorted(options.items()))
            asked[key] = asked.get(key, 0) + vcpu
            names.setdefault(key, []).append(name)

    for name, pool in settings.capacity.pools.items():
        reserved = 0
        for item in pool.reservations:
            machine = instances.instance(item.instance_type)
            reserved += item.count
            if item.create:
                ask(_quotas(machine.family, ("on-demand",)), machine.vcpu * item.count, f"reservation of pool {name}")
        for item in settings.graphs.values():
            machine = sizing.machine_of(item, pool) if item.placement.pool == name else None
            if machine is None:
                continue
            nodes = sizing.nodes_of(item, machine)
            free = min(nodes, reserved)
            reserved -= free
            if not item.placement.reserved_only:
                ask(_quotas(machine.family, pool.capacity), machine.vcpu * (nodes - free), f"pool {name}")
    ask(_quotas("m", ("on-demand",)), _system_cpu(settings), "nodes without GPUs")
    for key, vcpu in asked.items():
        yield VcpuWanted(what=", ".join(dict.fromkeys(names[key])), vcpu=vcpu, options=dict(key))


def _quotas(family: str, options: tuple[str, ...]) -> dict[str, Quota]:
    group, spot = quotas.group_of(family), quotas.spot_group(family)
    found: dict[str, Quota] = {}
    if "on-demand" in options and group:
        found["on-demand"] = quotas.ON_DEMAND[group]
    if "spot" in options and spot:
        found["spot"] = quotas.SPOT[spot]
    return found


def _system_cpu(settings: Settings) -> int:
    """vCPUs of the built-in pools: frontends, workers without GPUs, and the platform."""
    milli = SYSTEM_CPU * 1000
    for graph in settings.graphs.values():
        milli += graph.frontend.replicas * _milli(graph.frontend.cpu)
        for worker in (graph.worker, graph.prefill, graph.decode):
            if worker is not None and worker.gpus == 0 and not on_rack(graph):
                milli += worker.replicas * _milli(worker.cpu or "0")
    return -(-milli // 1000)


def _milli(quantity: str) -> int:
    """CPU in thousandths."""
    return int(quantity[:-1]) if quantity.endswith("m") else int(float(quantity) * 1000)


def _counts(graph: Graph) -> Iterator[CountWanted]:
    kinds = [node.inputs.get("vpcEndpointType") for node in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint")]
    every = (
        (quotas.VPCS, len(graph.of("aws:ec2/vpc:Vpc")), "vpcs"),
        (quotas.INTERNET_GATEWAYS, len(graph.of("aws:ec2/internetGateway:InternetGateway")), "gateways"),
        (quotas.ADDRESSES, len(graph.of("aws:ec2/eip:Eip")), "addresses"),
        (quotas.NAT_GATEWAYS, min(1, len(graph.of("aws:ec2/natGateway:NatGateway"))), "nat"),
        (quotas.GATEWAY_ENDPOINTS, kinds.count("Gateway"), "endpoints"),
        (quotas.INTERFACE_ENDPOINTS, kinds.count("Interface"), None),
        (quotas.CLUSTERS, len(graph.of("aws:eks/cluster:Cluster")), "clusters"),
        (quotas.FILE_SYSTEMS, len(graph.of("aws:efs/fileSystem:FileSystem")), "files"),
    )
    for quota, count, used in every:
        if count:
            yield CountWanted(quota=quota, count=count, used=used)


def _subnets(settings: Settings, racks: Mapping[str, Rack]) -> Iterator[SubnetWanted]:
    existing = settings.network.existing
    if existing is None:
        return
    in_pools = sizing.pool_nodes(settings.capacity.pools, settings.graphs.values(), list(existing.subnets))
    for zone, pair in existing.subnets.items():
        addresses = pool_addresses(in_pools[zone])
        yield SubnetWanted(id=pair.private, zone_id=zone, role="private", addresses=addresses)
        if pair.public:
            # A Network Load Balancer takes eight addresses of each subnet (Elastic Load Balancing User Guide).
            yield SubnetWanted(id=pair.public, zone_id=zone, role="public", addresses=8)
    nodes: dict[str, int] = {}
    for rack in racks.values():
        nodes[rack.spec.zone] = nodes.get(rack.spec.zone, 0) + rack.nodes
    for zone, id_ in existing.ultra_server_subnets.items():
        yield SubnetWanted(id=id_, zone_id=zone, role="UltraServers", addresses=nodes.get(zone, 0) * NODE_ADDRESSES)


def _images(value: Any) -> Iterator[str]:
    """Every `image` of rendered objects that is a reference, wherever it stands."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "image" and isinstance(item, str) and item not in (UNKNOWN, SECRET, ""):
                yield item
            else:
                yield from _images(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _images(item)


def _chart(inputs: Mapping[str, Any]) -> Chart:
    repository = (inputs.get("repositoryOpts") or {}).get("repo")
    return Chart(str(inputs["chart"]), str(inputs.get("version") or ""), repository)


def _files(graph: Graph) -> Iterator[str]:
    """Manifests by URL, which the provider reads when the program runs."""
    for node in graph:
        given = node.inputs.get("manifest") or node.inputs.get("file")
        if isinstance(given, str) and given.startswith(("https://", "http://")):
            yield given
