"""Rules of a stack file that need more than one key.

Each function looks at one subject and yields faults; sections that are broken by themselves are skipped, so that one
fault does not cause ten. Facts (families, EFA counts, releases) come from the tables in components/.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from components import aws_values, catalog
from components.capacity import instances
from components.capacity.spec import Capacity, Pool, UltraServer
from components.cluster.spec import Cluster
from components.dynamo.expected_pods import mib, milli
from components.dynamo.manifest import on_rack, roles
from components.dynamo.spec import Dynamo, Graph, ModelSource, Worker
from components.gpu.spec import Gpu
from components.network import endpoints
from components.network.spec import Network
from components.network.zones import REGION_ZONES, UNSUPPORTED_ZONE_IDS, Zone
from components.spec import seconds
from components.storage.spec import Storage
from stacks import cross_ultraservers
from stacks.faults import Fault, listed, one_of
from stacks.placeholders import KNOWN
from stacks.sections import RESERVED_TAG, Review
from stacks.tokens import is_argument, is_secret, is_token

SERVICE_RANGES = ("172.20.0.0/16", "10.100.0.0/16")
"""EKS takes the first of these that the VPC does not overlap as the range of Services (EKS User Guide, CreateCluster)."""

OWNED_ENVIRONMENT = frozenset(
    {
        "HF_TOKEN",
        "HF_HOME",
        "HF_HUB_OFFLINE",
        "DYN_NAMESPACE",
        "DYN_NAMESPACE_PREFIX",
        "DYN_NAMESPACE_PREFIX_STRICT",
        "DYN_NAMESPACE_WORKER_SUFFIX",
        "DYN_COMPONENT",
        "DYN_DISCOVERY_BACKEND",
        "DYN_SYSTEM_PORT",
        "FI_PROVIDER",
        "SGLANG_DISAGGREGATION_NIXL_BACKEND",
        "TRTLLM_NIXL_KVCACHE_BACKEND",
    }
)
"""Environment set by the program or the operator from other keys."""

OWNED_ARGUMENTS: Mapping[str, str] = {
    "--model": "model",
    "--model-path": "model",
    "--served-model-name": "servedModelName",
    "--tensor-parallel-size": "tensorParallel",
    "--tp": "tensorParallel",
    "--tp-size": "tensorParallel",
    "--pipeline-parallel-size": "pipelineParallel",
    "--data-parallel-size": "dataParallel",
    "--expert-parallel-size": "expertParallel",
    "--ep-size": "expertParallel",
    "--enable-expert-parallel": "expertParallel",
    "--enable-dp-attention": "attentionDataParallel",
    "--enable-attention-dp": "attentionDataParallel",
    "--override-engine-args": "engine",
    "--disaggregation-mode": "prefill and decode",
    "--kv-transfer-config": "transport",
    "--disaggregation-transfer-backend": "transport",
    "--router-mode": "frontend.router",
    "--namespace": "namespace",
    "--namespace-prefix": "namespace",
}
"""Arguments written from other keys; given twice, the backend would take one of the two without a word."""

MOST_PODS = 2000
"""Pods of all graphs of a stack. Ours; 30 UltraServers have 540 nodes."""

SHORTEST_LIFE_HOURS = 4
"""Least `expireAfter`. Karpenter takes any; a model of 70 B parameters takes 20 minutes from launch to its first token."""

BOOKED_AHEAD = timedelta(weeks=8)
"""How far ahead of its start a Capacity Block can be bought (EC2 User Guide, "Capacity Blocks for ML")."""

FRONTEND_CPUS, FRONTEND_MEMORY_GIB = 190, 1500
"""What the largest machines leave that the built-in general-purpose pool launches (192 vCPU and 1536 GiB, such as
r7i.48xlarge), without the node's own share."""

OWNED_NAMESPACES = frozenset(
    {"default", "karpenter", "amazon-cloudwatch", "amazon-guardduty", "aws-observability"}
    | {"nvidia-dra-driver-gpu", "gpu-operator", "kai-scheduler", "grove-system"}
)
"""Namespaces that belong to the cluster, to EKS add-ons or to another part of the stack; `kube-` is Kubernetes' own prefix."""

OWNED_NAMESPACE = (
    "a namespace of its own: the program makes it, and a destroy takes it with everything in it; {} is somebody else's"
)

XET_MEMORY_GIB = {"full": 64, "capped": 16}
"""The Xet downloader buffers up to 64 GB, or about 8 GB when capped (huggingface_hub; Dynamo's download recipes)."""


@dataclass(frozen=True)
class Draft:
    """A stack file whose sections are valid by themselves; a broken one is None (or empty) and listed in `broken`."""

    stack: str
    region: str | None
    given: Mapping[str, Any]
    """Every section as written, to tell an absent key from a default; empty where it is absent."""
    broken: frozenset[str]
    secrets: frozenset[str]
    at: datetime
    """Moment to check for."""
    tags: Mapping[str, str] | None
    network: Network | None
    cluster: Cluster | None
    capacity: Capacity | None
    gpu: Gpu | None
    storage: Storage | None
    dynamo: Dynamo | None
    models: Mapping[str, ModelSource]
    graphs: Mapping[str, Graph]
    review: Review | None
    account: str | None = None
    access: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the AWS provider that are honoured, by name; None where one is absent or faulty."""

    @property
    def existing_cluster(self) -> bool:
        return bool(self.cluster and self.cluster.existing)

    @property
    def pools(self) -> Mapping[str, Pool]:
        return self.capacity.pools if self.capacity else {}

    @property
    def ultra_servers(self) -> Mapping[str, UltraServer]:
        return self.capacity.ultra_servers if self.capacity else {}

    @property
    def region_zones(self) -> Sequence[Zone]:
        """Zones of the region; none when it is missing or misspelt."""
        return REGION_ZONES.get(self.region or "", ())

    @property
    def zone_ids(self) -> frozenset[str] | None:
        """Zones the stack has subnets in; None when they cannot be told."""
        if self.network is None or self.existing_cluster:
            return None
        if self.network.existing:
            return frozenset(self.network.existing.subnets)
        if isinstance(self.network.zones, tuple):
            return frozenset(self.network.zones)
        if not self.region_zones:
            return None
        usable = sorted(
            zone.zone_id
            for zone in self.region_zones
            if zone.zone_type == "availability-zone" and zone.zone_id not in UNSUPPORTED_ZONE_IDS
        )
        return frozenset(usable[: self.network.zones])


def cross_faults(draft: Draft) -> list[Fault]:
    """Every fault that takes more than one key to see."""
    return [fault for check in _CHECKS for fault in check(draft)]


_Check = Callable[[Draft], Iterator[Fault]]


def _place(draft: Draft) -> Iterator[Fault]:
    if draft.cluster is None:
        return
    if draft.cluster.existing:
        for name in ("network", "capacity", "gpu"):
            if draft.given[name]:
                yield Fault(
                    name,
                    "no such section together with cluster.existing, which makes no AWS resource",
                    draft.given[name],
                    fix=f"remove {name}, or remove cluster.existing to have a cluster made",
                )
        for key in sorted(set(draft.given["cluster"]) - {"existing", "version"}):
            yield Fault(
                f"cluster.{key}",
                "only existing and version here: an existing cluster is used as it is",
                draft.given["cluster"][key],
            )
        return
    yield from _name(draft, draft.cluster)
    if draft.region is None:
        yield Fault("aws:region", "a region; the key is required", add="config:\n  aws:region: us-east-1")
    elif draft.region not in REGION_ZONES:
        # Of another partition: the nearest name would be in another country.
        apart = draft.region.startswith(("us-gov-", "us-iso", "cn-"))
        told = f"{listed(REGION_ZONES)}; GovCloud and China are not supported"
        yield Fault("aws:region", told if apart else one_of(draft.region, REGION_ZONES), draft.region)
    if draft.cluster.public_access_cidrs is None:
        yield Fault(
            "cluster.publicAccessCidrs",
            "the ranges that may reach the API endpoint, or [] for a private endpoint; the key is required",
            add='dynamo-eks:cluster:\n  publicAccessCidrs: ["<your-ip>/32"]',
        )
    elif (share := _open(draft.cluster.public_access_cidrs)) and not draft.cluster.allow_open_endpoint:
        yield Fault(
            "cluster.publicAccessCidrs",
            f"ranges you know; {share} lets the whole internet reach the API endpoint",
            list(draft.cluster.public_access_cidrs),
            fix="name your ranges, or set allowOpenEndpoint: true if it is meant",
        )
    yield from _admins(draft, draft.cluster)


def _admins(draft: Draft, cluster: Cluster) -> Iterator[Fault]:
    partition = aws_values.partition(draft.region or "")
    first: dict[tuple[str, str, str], str] = {}
    for position, arn in enumerate(cluster.admins):
        found = aws_values.PRINCIPAL.match(arn)
        assert found is not None, "the type has looked at it"
        key = f"cluster.admins[{position}]"
        if draft.region in REGION_ZONES and found["partition"] != partition:
            yield Fault(key, f"a principal of {draft.region}'s partition, arn:{partition}:iam::", arn)
        if first.setdefault((found["account"], found["kind"], found["name"]), arn) != arn:
            yield Fault(key, "another name: an account has each name once, whatever its path (IAM)", arn)


def _open(ranges: Sequence[str]) -> str | None:
    """What a list of ranges has that is the whole internet, by its own name or in parts; None when it has none."""
    if not aws_values.is_open(ranges):
        return None
    return (
        "0.0.0.0/0" if "0.0.0.0/0" in ranges else f"{aws_values.internet_share(ranges):.0%} of all addresses, in parts,"
    )


def _name(draft: Draft, cluster: Cluster) -> Iterator[Fault]:
    """The stack's name makes the cluster's, where none is given."""
    name = f"dynamo-{draft.stack}"
    if cluster.name is None and not re.fullmatch(r"[A-Za-z0-9-]{1,58}", name):
        fitting = re.sub(r"[^A-Za-z0-9-]+", "-", name)[:58].rstrip("-")
        yield Fault(
            "cluster.name",
            f"a name, since the stack's makes none: {name} has {len(name)} characters, and a cluster may have 58, letters, "
            "digits and dashes; the key is required",
            add=f"dynamo-eks:cluster:\n  name: {fitting}",
        )


def _account(draft: Draft) -> Iterator[Fault]:
    allowed, roles = draft.access.get("allowedAccountIds"), draft.access.get("assumeRoles") or ()
    # An account that is still to fill in is compared with nothing.
    account = None if draft.account == KNOWN["<account-id>"].stand_in else draft.account
    if draft.existing_cluster:
        given = {"account": draft.account} | {f"aws:{name}": value for name, value in draft.access.items()}
        for key, value in given.items():
            if value is not None:
                shown = [item.role_arn for item in roles] if value is roles else value
                yield Fault(
                    key, "no such key together with cluster.existing, which asks nothing of AWS", shown, fix="remove it"
                )
        return
    if account and allowed and tuple(allowed) != (account,):
        yield Fault(
            "aws:allowedAccountIds",
            f"the account of dynamo-eks:account alone ({account})",
            list(allowed),
            fix="remove aws:allowedAccountIds; dynamo-eks:account says the same",
        )
    accounts = (account,) if account else tuple(allowed or ())
    for position, role in enumerate(roles):
        owner = role.role_arn.split(":")[4]
        if accounts and owner not in accounts:
            yield Fault(
                f"aws:assumeRoles[{position}].roleArn",
                f"a role of the stack's own account ({', '.join(accounts)}), since that is where it leads",
                role.role_arn,
            )
        if role.duration is not None and not 900 <= seconds(role.duration) <= 43200:
            yield Fault(
                f"aws:assumeRoles[{position}].duration", "a duration from 15m to 12h, as STS takes it", role.duration
            )


def _versions(draft: Draft) -> Iterator[Fault]:
    if draft.cluster and draft.cluster.version not in catalog.KUBERNETES:
        yield Fault("cluster.version", listed(catalog.KUBERNETES), draft.cluster.version)
        return
    if draft.dynamo is None:
        return
    if draft.dynamo.version not in catalog.DYNAMO:
        yield Fault("dynamo.version", listed(catalog.DYNAMO), draft.dynamo.version)
    elif draft.cluster and (why := catalog.check_pair(draft.dynamo.version, draft.cluster.version)):
        yield Fault("dynamo.version", why, draft.dynamo.version)


def _tags(draft: Draft) -> Iterator[Fault]:
    for key, value in (draft.tags or {}).items():
        if RESERVED_TAG.match(key):
            yield Fault(
                f"tags.{key}", "a key that does not begin with aws:, eks:, kubernetes.io/ or karpenter.sh/", value
            )
        if key.lower() in ("project", "stack"):
            yield Fault(f"tags.{key}", "another key; project and stack are set by the program", value)
    by_word = Counter(key.lower() for key in draft.tags or {})
    for key, value in (draft.tags or {}).items():
        if by_word[key.lower()] > 1:
            yield Fault(f"tags.{key}", "each key once, whatever its case: IAM takes Team and team for the same", value)
    if draft.tags and len(draft.tags) > 40:
        yield Fault("tags", "at most 40 tags, since EC2 allows 50 in all", len(draft.tags))


def _network(draft: Draft) -> Iterator[Fault]:
    network, given = draft.network, draft.given["network"]
    if network is None or draft.existing_cluster:
        return
    if network.existing:
        for key in sorted(set(given) - {"existing"}):
            yield Fault(
                f"network.{key}", "no such key together with network.existing, which is used as it is", given[key]
            )
        if len(network.existing.subnets) < 2:
            yield Fault(
                "network.existing.subnets",
                "at least two zones, since EKS wants the control plane in two",
                sorted(network.existing.subnets),
            )
        zone_lists = {"network.existing.subnets": tuple(network.existing.subnets)}
    else:
        zone_lists = {"network.zones": network.zones} if isinstance(network.zones, tuple) else {}
        if isinstance(network.zones, int) and draft.region in REGION_ZONES:
            usable = draft.zone_ids or frozenset()
            if len(usable) < network.zones:
                yield Fault(
                    "network.zones",
                    f"at most {len(usable)}: {draft.region} has no more zones that EKS supports ({', '.join(sorted(usable))})",
                    network.zones,
                )
    for key, zones in zone_lists.items():
        if key == "network.zones" and len(zones) < 2:
            yield Fault(key, "at least two zones, since EKS wants the control plane in two", list(zones))
        for zone in sorted({zone for zone in zones if list(zones).count(zone) > 1}):
            yield Fault(key, f"each zone once; {zone} is there twice", list(zones))
        for zone in zones:
            yield from _zone(draft, key, zone)
    own = ipaddress.ip_network(network.cidr)
    for position, item in enumerate(network.avoid):
        if own.overlaps(ipaddress.ip_network(item)):
            yield Fault(
                f"network.avoid[{position}]",
                f"a range apart from network.cidr ({network.cidr}); two connected networks must not overlap",
                item,
                fix="choose another network.cidr before the VPC exists; afterwards it cannot change",
            )
    for position, name in enumerate(network.interface_endpoints):
        if name not in endpoints.INTERFACE_ENDPOINTS:
            yield Fault(f"network.interfaceEndpoints[{position}]", one_of(name, endpoints.INTERFACE_ENDPOINTS), name)


def _zone(draft: Draft, key: str, zone: str) -> Iterator[Fault]:
    if zone in UNSUPPORTED_ZONE_IDS:
        yield Fault(key, f"zones that can hold an EKS control plane; {zone} cannot (EKS User Guide)", zone)
        return
    known = {item.zone_id: item for item in draft.region_zones}
    if not known:
        return
    if zone not in known:
        usable = [item for item in known.values() if item.zone_type == "availability-zone"]
        good = {item.zone_id for item in usable} - UNSUPPORTED_ZONE_IDS
        yield Fault(key, f"a zone of {draft.region}: {', '.join(sorted(good))}", zone)
    elif known[zone].zone_type != "availability-zone":
        yield Fault(
            key, f"Availability Zones; {zone} is a {known[zone].zone_type}, where the control plane cannot be", zone
        )


def _capacity(draft: Draft) -> Iterator[Fault]:
    open_pools = [name for name, pool in draft.pools.items() if pool.uses_open_reservations]
    reserving = [name for name, pool in draft.pools.items() if pool.reservations]
    for name in open_pools:
        if reserving:
            yield Fault(
                f"capacity.pools.{name}.usesOpenReservations",
                f"false: pool {reserving[0]} names its reservations, and once one NodeClass does, "
                "Auto Mode uses open reservations for none",
                True,
                fix=f"name {name}'s reservations too, or keep the two in different clusters",
            )
    seen: dict[str, str] = {}
    for name, pool in draft.pools.items():
        yield from _pool(draft, name, pool)
        for position, item in enumerate(pool.reservations):
            if item.id and item.id in seen:
                yield Fault(
                    f"capacity.pools.{name}.reservations[{position}].id",
                    f"another id; pool {seen[item.id]} has it",
                    item.id,
                )
            elif item.id:
                seen[item.id] = name


def _pool(draft: Draft, name: str, pool: Pool) -> Iterator[Fault]:
    key = f"capacity.pools.{name}"
    if name in ("default", "system", "general-purpose"):
        yield Fault(key, "another name; EKS keeps default, system and general-purpose for its own", name)
    if not pool.families and not pool.instance_types:
        yield Fault(
            f"{key}.families",
            "families or instanceTypes; the key is required",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      families: [g6e]",
        )
    for position, family in enumerate(pool.families):
        yield from _family(f"{key}.families[{position}]", family)
    for position, type_ in enumerate(pool.instance_types):
        if not instances.known(type_):
            yield Fault(f"{key}.instanceTypes[{position}]", _unknown_type(type_), type_)
        else:
            yield from _family(f"{key}.instanceTypes[{position}]", instances.instance(type_).family, type_)
    if "reserved" in pool.capacity and not pool.reservations:
        yield Fault(
            f"{key}.reservations",
            "the reservations that `reserved` draws from; without them Karpenter launches nothing reserved",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      reservations:\n"
            f"        - {{id: cr-0123456789abcdef0, kind: onDemand, instanceType: {_example(pool)}, zone: use1-az1, count: 1}}",
        )
    if pool.reservations and "reserved" not in pool.capacity:
        yield Fault(f"{key}.capacity", "`reserved` first, since the pool names reservations", list(pool.capacity))
    if "reserved" in pool.capacity and pool.capacity[0] != "reserved":
        yield Fault(f"{key}.capacity", "`reserved` first and its fallback after it", list(pool.capacity))
    seconds = _seconds(pool.expire_after)
    if seconds > 504 * 3600:
        yield Fault(
            f"{key}.expireAfter", "at most 504h, the 21 days that Auto Mode lets a node live", pool.expire_after
        )
    elif seconds < SHORTEST_LIFE_HOURS * 3600:
        yield Fault(
            f"{key}.expireAfter",
            f"at least {SHORTEST_LIFE_HOURS}h: a node that goes sooner spends its life with starting and loading the model",
            pool.expire_after,
        )
    disk = pool.ephemeral_storage
    if disk.iops > 500 * disk.size_gib:
        yield Fault(
            f"{key}.ephemeralStorage.iops",
            f"at most {500 * disk.size_gib}, 500 for each GiB (EBS gp3); the launch of every node would fail",
            disk.iops,
        )
    if disk.throughput_mibps * 4 > disk.iops:
        yield Fault(
            f"{key}.ephemeralStorage.throughputMibps",
            f"at most {disk.iops // 4}, 0.25 MiB/s for each of the {disk.iops} IOPS (EBS gp3); every launch would fail",
            disk.throughput_mibps,
            fix=f"raise iops to {disk.throughput_mibps * 4}",
        )
    zones = draft.zone_ids
    for position, zone in enumerate(pool.zones):
        if zones is not None and zone not in zones:
            yield Fault(f"{key}.zones[{position}]", one_of(zone, zones, "a zone the network has:"), zone)
    for position, item in enumerate(pool.reservations):
        yield from _reservation(draft, f"{key}.reservations[{position}]", pool, item)
    # A graph whose own pool is missing or misspelt may have meant this one.
    used = any(
        graph.placement.pool == name or (graph.backend != "mocker" and graph.placement.pool not in draft.pools)
        for graph in draft.graphs.values()
    )
    if not used and pool.gpu_limit is None and "graphs" not in draft.broken:
        yield Fault(
            f"{key}.gpuLimit",
            "a limit, since no graph is placed on the pool to size it from; the key is required",
            add=f"dynamo-eks:capacity:\n  pools:\n    {name}:\n      gpuLimit: 8",
        )


def _example(pool: Pool) -> str:
    """A type that the pool may launch, for an example."""
    known = [item.type for family in pool.families for item in instances.in_family(family)]
    return next(iter((*pool.instance_types, *known[-1:])), "p5.48xlarge")


def _seconds(duration: str) -> int:
    """Length of a duration such as 1h30m."""
    return sum(
        int(number) * {"s": 1, "m": 60, "h": 3600}[unit] for number, unit in re.findall(r"(\d+)([smh])", duration)
    )


def _family(key: str, family: str, type_: str | None = None) -> Iterator[Fault]:
    given = type_ or family
    if family.startswith("p6e-"):
        yield Fault(
            key,
            f"a {'type' if type_ else 'family'} that EKS Auto Mode supports; P6e-GB200 needs a managed node group on an UltraServer block",
            given,
            fix="put the block under capacity.ultraServers",
        )
    elif family not in instances.GPU_POOL_FAMILIES:
        what = "a GPU family that EKS Auto Mode supports:"
        if type_:
            what = f"a type of {what}"
        yield Fault(key, one_of(family, instances.GPU_POOL_FAMILIES, what), given)


def _unknown_type(type_: str) -> str:
    family = type_.split(".")[0]
    choices = [item.type for item in instances.in_family(family)]
    if not choices:
        return one_of(family, instances.GPU_POOL_FAMILIES, "a type of a GPU family that EKS Auto Mode supports:")
    return one_of(type_, choices)


def _reservation(draft: Draft, key: str, pool: Pool, item: Any) -> Iterator[Fault]:
    chosen = [name for name, value in (("id", item.id), ("tags", item.tags), ("create", item.create)) if value]
    if len(chosen) != 1:
        yield Fault(key, "exactly one of id, tags and create: true", chosen)
    if item.kind == "capacityBlock":
        if item.create:
            yield Fault(
                f"{key}.create",
                "id or tags: a Capacity Block is prepaid and irrevocable, so this program never buys one",
                True,
            )
        if item.end is None:
            yield Fault(
                f"{key}.end",
                "the block's end, so that its draining can be planned; the key is required",
                add='end: "2026-12-08T11:30:00Z"',
            )
        elif item.end.time() != time(11, 30):
            yield Fault(
                f"{key}.end", "a moment at 11:30 UTC, when every Capacity Block ends (EC2 User Guide)", item.end
            )
        if item.start and item.end and item.start >= item.end:
            yield Fault(f"{key}.start", "a moment before end", item.start)
        elif item.start and item.end and item.end - item.start > cross_ultraservers.LONGEST + timedelta(days=1):
            yield Fault(f"{key}.end", "at most 182 days after start, the longest that a block can be", item.end)
        elif item.end and item.end - draft.at > cross_ultraservers.LONGEST + BOOKED_AHEAD:
            yield Fault(
                f"{key}.end",
                "at most 182 days and 8 weeks from now: a block starts within 8 weeks (EC2 User Guide)",
                item.end,
            )
    elif item.start or item.end:
        yield Fault(
            f"{key}.{'start' if item.start else 'end'}",
            "no window on an On-Demand Capacity Reservation",
            item.start or item.end,
        )
    if not instances.known(item.instance_type):
        yield Fault(f"{key}.instanceType", _unknown_type(item.instance_type), item.instance_type)
    else:
        family = instances.instance(item.instance_type).family
        if family not in pool.families and item.instance_type not in pool.instance_types:
            may = sorted({*pool.families, *pool.instance_types})
            yield Fault(
                f"{key}.instanceType",
                f"a type the pool may launch ({', '.join(may)}); a reservation of another type is never used",
                item.instance_type,
            )
    zones = draft.zone_ids
    if zones is not None and item.zone not in zones:
        yield Fault(
            f"{key}.zone",
            one_of(item.zone, zones, "a zone the network has:"),
            item.zone,
            fix=f"add {item.zone} to network.zones, since a reservation cannot be used from another zone",
        )
    elif pool.zones and item.zone not in pool.zones:
        yield Fault(f"{key}.zone", f"a zone of the pool ({', '.join(pool.zones)})", item.zone)


def _storage(draft: Draft) -> Iterator[Fault]:
    storage = draft.storage
    if storage is None or draft.cluster is None:
        return
    efs = storage.efs
    if efs.throughput == "provisioned" and efs.provisioned_mibps is None:
        yield Fault(
            "storage.efs.provisionedMibps",
            "MiB/s, since throughput is provisioned; the key is required",
            add="dynamo-eks:storage:\n  efs:\n    provisionedMibps: 256",
        )
    if efs.throughput != "provisioned" and efs.provisioned_mibps is not None:
        yield Fault(
            "storage.efs.provisionedMibps", f"no such key with throughput: {efs.throughput}", efs.provisioned_mibps
        )
    if draft.existing_cluster:
        if storage.caches and storage.storage_class is None:
            yield Fault(
                "storage.storageClass",
                "a storage class of the existing cluster, for the caches; the key is required",
                add="dynamo-eks:storage:\n  storageClass: standard",
            )
        if "efs" in draft.given["storage"]:
            yield Fault(
                "storage.efs",
                "no such key with cluster.existing, which makes no AWS resource",
                draft.given["storage"]["efs"],
            )
    else:
        if storage.storage_class is not None:
            yield Fault(
                "storage.storageClass", "no such key here: the program makes a class on EFS", storage.storage_class
            )
        if storage.access_mode == "ReadWriteOnce":
            yield Fault(
                "storage.accessMode", "ReadWriteMany, since workers on several nodes share the caches", "ReadWriteOnce"
            )
    if draft.models and "model-cache" not in storage.caches:
        yield Fault(
            "storage.caches", "model-cache among them, since the stack has models to keep", list(storage.caches)
        )
    if "compilation-cache" not in storage.caches:
        for name, graph in draft.graphs.items():
            if graph.compilation_cache and graph.backend == "vllm":
                yield Fault(
                    f"graphs.{name}.compilationCache", "false, since storage.caches has no compilation-cache", True
                )


def _dynamo(draft: Draft) -> Iterator[Fault]:
    dynamo = draft.dynamo
    if dynamo is None:
        return
    if dynamo.namespace in OWNED_NAMESPACES or dynamo.namespace.startswith("kube-"):
        yield Fault("dynamo.namespace", OWNED_NAMESPACE.format(dynamo.namespace), dynamo.namespace)
    pull = dynamo.image_pull_secret
    if pull is not None:
        if bool(pull.existing) == bool(pull.server):
            yield Fault(
                "dynamo.imagePullSecret",
                "exactly one of existing and server",
                draft.given["dynamo"]["imagePullSecret"],
            )
        elif pull.server and "imagePullPassword" not in draft.secrets:
            yield Fault(
                "imagePullPassword",
                f"the password for {pull.server}; the key is required",
                add="pulumi config set --secret dynamo-eks:imagePullPassword",
            )
    if dynamo.hugging_face_secret and "huggingFaceToken" in draft.secrets:
        yield Fault(
            "dynamo.huggingFaceSecret",
            "either an existing Secret or huggingFaceToken, not both",
            dynamo.hugging_face_secret,
        )


def _models(draft: Draft) -> Iterator[Fault]:
    token = "huggingFaceToken" in draft.secrets or bool(draft.dynamo and draft.dynamo.hugging_face_secret)
    for name, model in draft.models.items():
        if model.gated and not token and draft.dynamo is not None:
            yield Fault(
                f"models.{name}.gated",
                f"a token, since {model.repository} is gated: neither huggingFaceToken nor dynamo.huggingFaceSecret is set",
                True,
                fix="pulumi config set --secret dynamo-eks:huggingFaceToken",
            )
        floor = XET_MEMORY_GIB[model.download.xet_buffer]
        if model.download.memory_gib is not None and model.download.memory_gib < floor:
            yield Fault(
                f"models.{name}.download.memoryGib",
                f"at least {floor} with xetBuffer: {model.download.xet_buffer}; less is killed halfway",
                model.download.memory_gib,
                fix="leave the key out, or cap the buffer"
                if model.download.xet_buffer == "full"
                else "leave the key out",
            )


def _graphs(draft: Draft) -> Iterator[Fault]:
    pods = sum(
        graph.frontend.replicas + sum(worker.replicas * worker.nodes for worker in roles(graph).values())
        for graph in draft.graphs.values()
    )
    if pods > MOST_PODS:
        yield Fault("graphs", f"graphs of at most {MOST_PODS:,} pods in all, each of which the plan places", pods)
    for name, graph in draft.graphs.items():
        yield from _graph(draft, f"graphs.{name}", name, graph)
    yield from _shared_workers(draft)


GENERATION = re.compile(r"-([0-9a-f]{8}|legacy)")
"""What the operator appends to a graph's Dynamo namespace for one generation of its workers (ai-dynamo/dynamo #10998)."""


def _shared_workers(draft: Draft) -> Iterator[Fault]:
    """A frontend takes for its own the workers in every Dynamo namespace that begins with `<namespace>-<graph>`, its own, and
    looks for them in its Kubernetes namespace only (ai-dynamo/dynamo #10990; run with 1.4.0, 1.5.0 and 1.6.1). Told to be
    strict, it takes its own and those with a generation's suffix."""
    release = catalog.DYNAMO.get(draft.dynamo.version) if draft.dynamo else None
    if release is None:
        return
    for name, graph in draft.graphs.items():
        for other, its in draft.graphs.items():
            if other == name or its.namespace != graph.namespace or not other.startswith(name):
                continue
            if not release.strict_prefix:
                yield Fault(
                    f"graphs.{other}",
                    f"a name that does not begin with {name}: the frontend of {name} would serve the workers of {other} as "
                    f"its own, since Dynamo {release.version} finds them by the beginning of their name (dynamo #10990)",
                    other,
                    fix='rename one of the two, give them two namespaces, or set dynamo.version: "1.6.1", with which both may stay',
                )
            elif GENERATION.fullmatch(other[len(name) :]):
                yield Fault(
                    f"graphs.{other}",
                    f"a name that does not look like {name} and a generation of its workers, which the frontend of {name} "
                    "would take it for",
                    other,
                    fix="rename one of the two, or give them two namespaces",
                )


def _graph(draft: Draft, key: str, name: str, graph: Graph) -> Iterator[Fault]:
    if graph.model not in draft.models and "models" not in draft.broken:
        yield Fault(f"{key}.model", one_of(graph.model, draft.models, "a key of models:"), graph.model)
    given = set(roles(graph))
    if given not in ({"worker"}, {"prefill", "decode"}):
        yield Fault(key, "either worker (aggregated) or both prefill and decode (disaggregated)", sorted(given))
        return
    aggregated = given == {"worker"}
    if aggregated and graph.transport != "none":
        yield Fault(f"{key}.transport", "none, since an aggregated graph transfers no KV blocks", graph.transport)
    if not aggregated and graph.transport == "none":
        choices = "nvlink or efa" if on_rack(graph) else "efa or tcp"
        yield Fault(f"{key}.transport", f"{choices}, since prefill hands KV blocks to decode", "none")
    if draft.dynamo and graph.namespace == draft.dynamo.namespace:
        yield Fault(f"{key}.namespace", "a namespace apart from the operator's (dynamo.namespace)", graph.namespace)
    if graph.namespace in OWNED_NAMESPACES or graph.namespace.startswith("kube-"):
        yield Fault(f"{key}.namespace", OWNED_NAMESPACE.format(graph.namespace), graph.namespace)
    if len(graph.namespace) + 1 + len(name) > 63:
        yield Fault(
            f"{key}.namespace",
            f"at most {62 - len(name)} characters: namespace and graph name make one label of at most 63 (dynamo #11709)",
            graph.namespace,
        )
    yield from _image(key, graph)
    yield from _exposure(draft, key, graph)
    for role, worker in roles(graph).items():
        yield from _worker(f"{key}.{role}", graph, worker)
    yield from _environment(f"{key}.frontend", graph.frontend)
    yield from _frontend(draft, f"{key}.frontend", graph)
    yield from _placement(draft, key, graph)


def _image(key: str, graph: Graph) -> Iterator[Fault]:
    image = graph.image
    if image and image.runtime_version is None and not re.match(r"^v?\d+\.\d+\.\d+", image.tag):
        yield Fault(
            f"{key}.image.runtimeVersion",
            f"the runtime's version, since tag {image.tag!r} does not begin with one and the operator refuses it; required",
            add='runtimeVersion: "1.5.0"',
        )


def _exposure(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    exposure = graph.exposure
    if exposure.type == "clusterIP":
        if exposure.scheme == "public" or exposure.allowed_cidrs:
            yield Fault(f"{key}.exposure.type", "nlb, since scheme or allowedCidrs are given", "clusterIP")
        return
    if draft.existing_cluster:
        yield Fault(f"{key}.exposure.type", "clusterIP: an NLB is made by EKS Auto Mode only", "nlb")
    if not exposure.allowed_cidrs:
        yield Fault(
            f"{key}.exposure.allowedCidrs",
            "who may connect through the load balancer; the key is required",
            add="allowedCidrs: [10.0.0.0/8]",
        )
    elif (share := _open(exposure.allowed_cidrs)) and not exposure.allow_open_access:
        yield Fault(
            f"{key}.exposure.allowedCidrs",
            f"ranges you know; {share} lets anyone use the model, and the frontend asks for no password",
            list(exposure.allowed_cidrs),
            fix="name your ranges, or set allowOpenAccess: true if it is meant",
        )
    network = draft.network
    if exposure.scheme == "public" and network and network.existing:
        without = sorted(zone for zone, pair in network.existing.subnets.items() if pair.public is None)
        if without:
            yield Fault(f"{key}.exposure.scheme", f"internal, or a public subnet in {', '.join(without)}", "public")


def _environment(key: str, part: Any) -> Iterator[Fault]:
    for name, value in part.env.items():
        if is_secret(name, value):
            hugging_face = name.startswith(("HF_", "HUGGING")) or value.startswith("hf_")
            yield Fault(
                f"{key}.env.{name}",
                "no token in clear; it must be revoked and given as a secret",
                "[hidden]",
                fix="pulumi config set --secret dynamo-eks:huggingFaceToken"
                if hugging_face
                else "keep it out of the stack file; only Hugging Face's token and the registry's password have a key here",
            )
        elif name in OWNED_ENVIRONMENT:
            yield Fault(f"{key}.env.{name}", "another variable; the program sets this one from other keys", value)
    for position, argument in enumerate(part.extra_args):
        flag = argument.split("=")[0]
        before = part.extra_args[position - 1] if position else ""
        if is_token(argument) or is_argument(flag, argument) or is_argument(before, f"{before}={argument}"):
            yield Fault(f"{key}.extraArgs[{position}]", "no token in clear; it must be revoked", "[hidden]")
        elif flag in OWNED_ARGUMENTS:
            yield Fault(f"{key}.extraArgs[{position}]", f"the key {OWNED_ARGUMENTS[flag]} instead of {flag}", argument)


def _frontend(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    """A frontend off the racks runs on what the built-in general-purpose pool can launch."""
    cpus, memory = milli(graph.frontend.cpu) / 1000, mib(graph.frontend.memory) / 1024
    if cpus <= 0:
        yield Fault(f"{key}.cpu", "more than nothing", graph.frontend.cpu)
    if memory <= 0:
        yield Fault(f"{key}.memory", "more than nothing", graph.frontend.memory)
    if draft.existing_cluster or on_rack(graph):
        return
    if cpus > FRONTEND_CPUS:
        yield Fault(
            f"{key}.cpu", f"at most {FRONTEND_CPUS}, what the largest general-purpose node has", graph.frontend.cpu
        )
    if memory > FRONTEND_MEMORY_GIB:
        yield Fault(
            f"{key}.memory",
            f"at most {FRONTEND_MEMORY_GIB}Gi, what the largest general-purpose node has",
            graph.frontend.memory,
        )


def _worker(key: str, graph: Graph, worker: Worker) -> Iterator[Fault]:
    yield from _environment(key, worker)
    # Attention that is data-parallel inside the tensor-parallel group adds no ranks.
    data_parallel = 1 if worker.attention_data_parallel else worker.data_parallel
    product = worker.tensor_parallel * worker.pipeline_parallel * data_parallel
    if graph.backend == "mocker":
        if worker.gpus:
            yield Fault(f"{key}.gpus", "0, since the mocker computes nothing", worker.gpus)
        return
    if worker.gpus == 0:
        yield Fault(f"{key}.gpus", f"at least 1 for {graph.backend}; only the mocker runs without", 0)
        return
    parts = f"tensorParallel {worker.tensor_parallel} x pipelineParallel {worker.pipeline_parallel} x dataParallel {data_parallel}"
    if worker.nodes == 1 and product != worker.gpus:
        yield Fault(f"{key}.gpus", f"{product}: {parts}", worker.gpus)
    elif product != worker.nodes * worker.gpus:
        yield Fault(
            f"{key}.nodes",
            f"nodes x gpus ({worker.nodes} x {worker.gpus} = {worker.nodes * worker.gpus}) equal to {product}: {parts}",
            worker.nodes,
            fix="set attentionDataParallel: true, if data-parallel attention on these GPUs is meant"
            if graph.backend == "sglang" and product == worker.nodes * worker.gpus * data_parallel
            else None,
        )
    if graph.transport == "tcp" and worker.kv_buffer_device == "cuda":
        yield Fault(f"{key}.kvBufferDevice", "cpu with transport: tcp, which cannot read GPU memory", "cuda")
    if worker.efa and graph.transport != "efa":
        yield Fault(f"{key}.efa", f"no EFA with transport: {graph.transport}", worker.efa)
    type_ = graph.placement.instance_type
    if type_ is None or not instances.known(type_):
        return
    machine = instances.instance(type_)
    if worker.gpus > machine.gpus:
        yield Fault(f"{key}.gpus", f"at most {machine.gpus}, what a {type_} has", worker.gpus)
    if worker.efa is not None and worker.efa > machine.efa:
        yield Fault(f"{key}.efa", f"at most {machine.efa}, what a {type_} has", worker.efa)
    if graph.transport == "efa" and worker.efa == 0:
        yield Fault(f"{key}.efa", "at least 1 with transport: efa", 0)


def _placement(draft: Draft, key: str, graph: Graph) -> Iterator[Fault]:
    placement = graph.placement
    where = f"{key}.placement"
    if graph.transport == "efa" and placement.same_zone is False:
        yield Fault(f"{where}.sameZone", "true with transport: efa, since EFA does not cross zones", False)
    if graph.backend == "mocker":
        for field, alias in (("pool", "pool"), ("instance_type", "instanceType"), ("reserved_only", "reservedOnly")):
            if getattr(placement, field):
                yield Fault(
                    f"{where}.{alias}", "nothing: the mocker runs on ordinary CPU nodes", getattr(placement, field)
                )
        if placement.zone and draft.existing_cluster:
            yield Fault(
                f"{where}.zone", "nothing with cluster.existing, whose zones are its own matter", placement.zone
            )
        elif placement.zone and (zones := draft.zone_ids) and placement.zone not in zones:
            yield Fault(f"{where}.zone", one_of(placement.zone, zones, "a zone of the network:"), placement.zone)
        if graph.transport == "efa":
            yield Fault(f"{key}.transport", "tcp or none, since the mocker transfers nothing", "efa")
        return
    if on_rack(graph) and not draft.existing_cluster:
        return
    if draft.existing_cluster:
        yield Fault(
            f"{key}.backend", "mocker with cluster.existing, where the program makes no GPU capacity", graph.backend
        )
        return
    if placement.pool is None and cross_ultraservers.meant(draft):
        yield Fault(
            where,
            "the UltraServer or the pool its workers run on; the key is required",
            add=f"dynamo-eks:graphs:\n  {key.split('.')[1]}:\n    placement: {{ultraServer: {next(iter(draft.ultra_servers), 'rack-a')}}}",
        )
        return
    if placement.pool is None:
        yield Fault(
            f"{where}.pool",
            "the pool its workers run on; the key is required",
            add=f"dynamo-eks:graphs:\n  {key.split('.')[1]}:\n    placement: {{pool: gpu}}",
        )
        return
    pool = draft.pools.get(placement.pool)
    if pool is None:
        if "capacity" not in draft.broken and "capacity.pools" not in draft.broken:
            yield Fault(f"{where}.pool", one_of(placement.pool, draft.pools, "a pool of capacity:"), placement.pool)
        return
    zones = pool.zones or draft.zone_ids
    if placement.zone and zones and placement.zone not in zones:
        yield Fault(f"{where}.zone", one_of(placement.zone, zones, "a zone of its pool:"), placement.zone)
    if placement.reserved_only and "reserved" not in pool.capacity:
        yield Fault(
            f"{where}.reservedOnly", f"false, or a pool with reserved capacity; {placement.pool} has none", True
        )
    type_ = placement.instance_type
    if type_ is None:
        if graph.transport == "efa":
            yield Fault(
                f"{where}.instanceType",
                "a type with EFA, so that whole nodes can be asked for; the key is required",
                add="placement: {instanceType: g6e.24xlarge}",
            )
        largest = [item.gpus for family in pool.families for item in instances.in_family(family)]
        largest += [instances.instance(item).gpus for item in pool.instance_types if instances.known(item)]
        for role, worker in roles(graph).items():
            if largest and worker.gpus > max(largest):
                yield Fault(
                    f"{key}.{role}.gpus",
                    f"at most {max(largest)}, the most a node of pool {placement.pool} has",
                    worker.gpus,
                )
        return
    if not instances.known(type_):
        yield Fault(f"{where}.instanceType", _unknown_type(type_), type_)
        return
    machine = instances.instance(type_)
    pool_is_sound = (pool.families or pool.instance_types) and set(pool.families).issubset(instances.GPU_POOL_FAMILIES)
    if pool_is_sound and machine.family not in pool.families and type_ not in pool.instance_types:
        may = ", ".join(sorted({*pool.families, *pool.instance_types}))
        yield Fault(f"{where}.instanceType", f"a type that pool {placement.pool} may launch ({may})", type_)
    if graph.transport == "efa" and graph.worker is None and machine.efa == 0:
        with_efa = [item.type for item in instances.in_family(machine.family) if item.efa]
        yield Fault(
            f"{where}.instanceType",
            f"a type with EFA, which {type_} has not" + (f": {', '.join(with_efa)}" if with_efa else ""),
            type_,
        )
    if placement.reserved_only and "reserved" in pool.capacity and machine.gpus:
        yield from _reserved_room(key, graph, pool, machine)


def _reserved_room(key: str, graph: Graph, pool: Pool, machine: instances.Instance) -> Iterator[Fault]:
    placement, by_zone = graph.placement, Counter[str]()
    for item in pool.reservations:
        if item.instance_type == machine.type and placement.zone in (None, item.zone):
            by_zone[item.zone] += item.count
    whole = graph.transport == "efa"
    needed = sum(
        worker.replicas if whole and worker.efa is None else -(-worker.replicas * worker.gpus // machine.gpus)
        for worker in roles(graph).values()
    )
    one_zone = placement.same_zone is not False
    room = max(by_zone.values(), default=0) if one_zone else by_zone.total()
    fitting = sorted(zone for zone, count in by_zone.items() if count >= needed)
    if needed > room:
        where = " in one zone" if one_zone and len(by_zone) > 1 else ""
        yield Fault(
            f"{key}.placement.reservedOnly",
            f"workers that fit {room} reserved {machine.type}{where}; these need {needed} nodes",
            True,
            fix="lower replicas, reserve more, or allow the pool's fallback with reservedOnly: false",
        )
    elif one_zone and len(fitting) < len(by_zone):
        yield Fault(
            f"{key}.placement.zone",
            f"a zone whose reservations hold all workers: {', '.join(fitting)}. Where the first pod starts the others have to "
            "follow, and elsewhere too few are reserved; the key is required",
            add=f"placement: {{zone: {fitting[0]}}}",
        )


_CHECKS: tuple[_Check, ...] = (
    _place, _account, _versions, _tags, _network, _capacity, cross_ultraservers.ultra_servers, cross_ultraservers.gpu_stack, _storage,
    _dynamo, _models, _graphs, cross_ultraservers.graphs,
)  # fmt: skip
