"""Every configuration key of a stack, typed and strict.

Keys are camelCase in YAML and snake_case here. A field's docstring is its description in `stack.schema.json`: meaning,
unit, and what changing it does. Rules that need more than one key live in `cross.py`.
"""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from stacks import aws_values
from stacks.faults import nearest


class Model(BaseModel):
    """Unknown keys fail (the only defence against misspelt nested keys), types are strict, values are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        # Models are built when first used, each once, as part of the section that holds them: half the import time.
        defer_build=True,
    )


def _some(value: str) -> str:
    if not re.search("[1-9]", value):
        raise ValueError("more than nothing")
    return value


def _megabytes(value: str) -> str:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", value).groups()  # type: ignore[union-attr] its pattern holds
    powers = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
    size = float(number) * (1024 if unit.endswith("i") else 1000) ** powers[unit.removesuffix("i").replace("K", "k")]
    if not 10**6 <= size <= 2**46:
        raise ValueError('memory between 1M and 64Ti with its unit, such as "16Gi"; without one it is a count of bytes')
    return value


def _quoted(value: Any) -> Any:
    # YAML reads 1.30 as the number 1.3, and the digit is gone before the program sees it.
    if isinstance(value, float):
        raise ValueError('a version in quotes, such as "1.35" (without quotes YAML reads 1.30 as 1.3)')
    return value


def _cidr(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"an IPv4 range in CIDR notation without host bits, such as 10.64.0.0/16 ({error})") from None
    if network.version == 4 and value != str(network):
        raise ValueError(f"the range with its length, {network}")
    if network.version != 4:
        raise ValueError("an IPv4 range; IPv6 clusters are not supported")
    return value


def _vpc_cidr(value: str) -> str:
    network = ipaddress.ip_network(_cidr(value))
    if not 16 <= network.prefixlen <= 20:
        raise ValueError("a range between /16 and /20, so that every zone gets room for nodes and pods")
    if not any(network.subnet_of(ipaddress.ip_network(private)) for private in _PRIVATE):  # type: ignore[arg-type]
        raise ValueError("a private range inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10")
    return value


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")

Cidr = Annotated[str, AfterValidator(_cidr)]
PublicCidr = Annotated[Cidr, AfterValidator(aws_values.public_cidr)]
VpcCidr = Annotated[str, AfterValidator(_vpc_cidr)]
ZoneId = Annotated[str, StringConstraints(pattern=r"^[a-z]+[0-9]-(az[0-9]+|[a-z]+[0-9]+-az[0-9]+)$")]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ReservationId = Annotated[
    str,
    StringConstraints(pattern=r"^cr-[0-9a-f]{17}$"),
    WithJsonSchema({"type": "string", "pattern": r"^(cr-[0-9a-f]{17}|<[a-z-]+>)$"}),
]
GraphName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=37)]
"""37: graph and component name together may have 45 characters under Grove (Dynamo docs), and `frontend` takes 8."""
RoleArn = Annotated[str, AfterValidator(aws_values.principal_arn)]
InstanceType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
Cpu = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$|^[0-9]{1,9}m$"),
    AfterValidator(lambda value: _some(value)),
]
"""CPUs as Kubernetes has them: thousandths at the finest."""
Memory = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{7,15}$|^[0-9]{4,12}(k|Ki)$|^[0-9]{1,9}(\.[0-9]{1,9})?(M|G|T|Mi|Gi|Ti)$"),
    AfterValidator(lambda value: _some(value)),
    AfterValidator(lambda value: _megabytes(value)),
]
KubernetesVersion = Annotated[str, BeforeValidator(_quoted), StringConstraints(pattern=r"^1\.[0-9]{2}$")]
Release = Annotated[str, BeforeValidator(_quoted), StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Environment = dict[EnvironmentName, str]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,7}(s|m|h))+$", max_length=32)]


_MOMENT = r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})([Tt]| +)([0-9]{1,2}):([0-9]{2})(:([0-9]{2})([.,][0-9]+)?)? *"
MOMENT = _MOMENT + r"(Z|z|UTC|[+-]00(:?00)?( [A-Z+-][A-Z0-9+-]*)?)$"
"""A moment in UTC in every form in which it can arrive: as written in quotes, and as the engine hands over what YAML takes
for a date (`2026-12-08 11:30:00 +0000 UTC`, Go's own)."""
_OFFSET = re.compile(_MOMENT + r"([+-])([0-9]{2}):?([0-9]{2})?( [A-Z+-][A-Z0-9+-]*)?$")
_EXPECTED = 'a moment in UTC in quotes with a Z at the end, such as "2026-12-08T11:30:00Z"'


def moment_of(value: Any) -> datetime:
    """A moment in any of those forms; raises ValueError that says what is expected, and what another offset means in UTC."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXPECTED)
    try:
        if found := re.fullmatch(MOMENT, value):
            return _of_groups(found)
        if found := _OFFSET.fullmatch(value):
            sign, hours, minutes = found.groups()[9:12]
            off = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
            there = _of_groups(found) - off
            raise ValueError(f"{_EXPECTED}; with that offset it is {there:%Y-%m-%dT%H:%M:%SZ}")
    except OverflowError:
        pass
    raise ValueError(_EXPECTED)


def _of_groups(found: re.Match[str]) -> datetime:
    year, month, day, _, hour, minute, _, second, fraction = found.groups()[:9]
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{_EXPECTED} ({error})") from None
    return moment + timedelta(microseconds=int((fraction or ".0")[1:7].ljust(6, "0")))


Moment = Annotated[
    datetime, BeforeValidator(moment_of), WithJsonSchema({"type": "string", "format": "date-time", "pattern": MOMENT})
]


# --- account -------------------------------------------------------------------------------------------------------

_ACCOUNT = r"^[0-9]{12}$"

AccountId = Annotated[
    str,
    StringConstraints(pattern=_ACCOUNT),
    Field(
        description="AWS account of the stack, 12 digits in quotes. Every command that touches AWS or the state compares it "
        "with the credentials first, and the provider refuses another one. Changing it moves nothing to another account."
    ),
]
"""The account a stack belongs to."""

Profile = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][^\s\[\]\"']*$", max_length=128),
    Field(
        description="Profile of ~/.aws/config that everything uses: the provider, the kubeconfig's token command and this "
        "program's own questions. By default the shell's identity. Another one with the same rights changes nothing else."
    ),
]
"""Name of a profile; it becomes a word of a command line."""


def seconds(duration: str) -> int:
    """`1h30m` in seconds."""
    unit = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * unit[each] for count, each in re.findall(r"(\d+)([hms])", duration))


class AssumedRole(Model):
    """A role that is assumed before anything is asked of AWS."""

    role_arn: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$")]
    """ARN of the role. It makes the cluster and so is its first administrator: with another role nobody gets in before that one has an entry under `cluster.admins`."""
    session_name: Annotated[str, StringConstraints(pattern=r"^[\w+=,.@-]{2,64}$")] | None = None
    """Name of the session in CloudTrail. The kubeconfig's token command has a name of its own."""
    duration: Annotated[str, StringConstraints(pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$")] | None = None
    """How long the role's credentials hold, `15m` to `12h`; by default an hour. They are renewed while a command runs."""


AssumedRoles = Annotated[
    tuple[AssumedRole, ...],
    Field(
        min_length=1,
        max_length=1,
        description="The role to assume, by the provider, the kubeconfig's token command and this program's own questions.",
    ),
]
AllowedAccounts = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=_ACCOUNT)], ...],
    Field(
        min_length=1,
        description="Accounts the stack may be made in, in quotes. `dynamo-eks:account` says the same of one account.",
    ),
]


# --- network -------------------------------------------------------------------------------------------------------


class FlowLogs(Model):
    retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 30
    """Days that CloudWatch keeps the VPC's flow logs."""


class ExistingSubnets(Model):
    private: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
    """Subnet for nodes and pods; its route table must reach the internet through something that is not an internet gateway."""
    public: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")] | None = None
    """Subnet for public load balancers; needed only when a graph is exposed publicly."""


class LocalZones(Model):
    """How subnets in the zones of UltraServers are reached. Those zones follow from `capacity.ultraServers`."""

    opt_in: bool = False
    """Opt the account in to the zone group of each UltraServer's Local Zone. It holds for the whole account, so it stays after destroy; without it the zone must be opted in already."""
    nat_zone: ZoneId | None = None
    """Zone whose NAT gateway they go out through; by default the Local Zone's parent, or the first zone with one."""


class ExistingNetwork(Model):
    vpc_id: Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]{8,17}$")]
    """VPC to use. It is read and checked, never changed, except for one security group made in it."""
    subnets: dict[ZoneId, ExistingSubnets]
    """Subnets by zone id, at least two zones. Read and checked: zone, free addresses, role tags, routes."""
    ultra_server_subnets: dict[ZoneId, Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]] = Field(
        default_factory=dict
    )
    """Subnet of the nodes of UltraServers by zone id. Read and checked as the private ones are; never given to the control plane."""


class Network(Model):
    """The VPC, or the one that is there already."""

    cidr: VpcCidr = "10.64.0.0/16"
    """Address range of the VPC, /16 to /20. Changing it replaces the VPC and everything in it, which `cluster.protect` refuses; a cluster cannot move to another VPC."""
    zones: Annotated[int, Field(ge=2, le=6)] | tuple[ZoneId, ...] = 3
    """How many Availability Zones, or their zone ids (`use1-az1`). Zones added later move nothing."""
    nat: Literal["single", "perZone"] = "perZone"
    """One NAT gateway in all (cheaper; its zone's outage takes egress from every zone) or one in each zone."""
    interface_endpoints: tuple[str, ...] = ()
    """AWS services reached without NAT, such as `ecr.api`; each costs by the hour and zone."""
    avoid: tuple[Cidr, ...] = ()
    """Ranges of the networks this VPC is or will be connected to (peering, transit gateway, VPN); an overlap is refused."""
    flow_logs: FlowLogs | None = None
    """Record the VPC's accepted and rejected connections in CloudWatch."""
    local_zones: LocalZones = Field(default_factory=LocalZones)
    existing: ExistingNetwork | None = None
    """Use a VPC that is there already; then `cidr`, `zones`, `nat`, `interfaceEndpoints` and `flowLogs` must be absent."""


# --- cluster -------------------------------------------------------------------------------------------------------


class ExistingCluster(Model):
    kubeconfig: Annotated[str, StringConstraints(min_length=1)]
    """Path of a kubeconfig file."""
    context: Annotated[str, StringConstraints(min_length=1)]
    """Context in it. Also the identity of the Kubernetes provider: changing it replaces everything in the cluster."""


LogType = Literal["api", "audit", "authenticator", "controllerManager", "scheduler"]


class Cluster(Model):
    """The EKS cluster in Auto Mode, or the one that is there already."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,57}$")] | None = None
    """Physical name, at most 58 characters; by default `dynamo-<stack>`. Changing it replaces the cluster."""
    version: KubernetesVersion = "1.35"
    """Kubernetes version, in quotes. Raising it upgrades the control plane in place, one minor at a time; it cannot go back."""
    support: Literal["STANDARD", "EXTENDED"] = "STANDARD"
    """What happens at the end of standard support: STANDARD upgrades the control plane by itself, EXTENDED costs $0.60/h instead of $0.10/h."""
    admins: tuple[RoleArn, ...] = ()
    """IAM roles that get cluster-admin by an access entry, besides whoever creates the cluster."""
    public_access_cidrs: Annotated[tuple[PublicCidr, ...], Field(max_length=aws_values.MOST_PUBLIC_CIDRS)] | None = None
    """Who may reach the API endpoint from outside the VPC: public ranges, at most 40. An empty list makes the endpoint private only."""
    allow_open_endpoint: bool = False
    """Named override that lets `publicAccessCidrs` cover the internet, as 0.0.0.0/0 or in parts."""
    logs: tuple[LogType, ...] = ("api", "audit", "authenticator", "controllerManager", "scheduler")
    """Control-plane logs sent to CloudWatch."""
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 90
    """Days that CloudWatch keeps the control-plane logs."""
    deletion_protection: bool = False
    """EKS itself refuses to delete the cluster until an update has switched this off."""
    protect: bool = True
    """Pulumi refuses to delete or replace the cluster, its KMS key and its VPC. Set to false and run `make up` before `make destroy`."""
    existing: ExistingCluster | None = None
    """Use a cluster that is there already; then no AWS resource is made and `network` and `capacity` must be absent."""


# --- capacity ------------------------------------------------------------------------------------------------------

CapacityType = Literal["spot", "on-demand", "reserved"]


class Reservation(Model):
    """Capacity paid for by the reservation: one that exists (`id` or `tags`), or one to make (`create: true`)."""

    id: ReservationId | None = None
    """Reservation id, `cr-` and 17 hexadecimal digits."""
    tags: dict[str, str] | None = None
    """Tags that select reservations which exist."""
    create: bool = False
    """Make an On-Demand Capacity Reservation. It bills from creation, used or not."""
    kind: Literal["onDemand", "capacityBlock"]
    """On-Demand Capacity Reservation, or a prepaid Capacity Block for ML. A block is never bought by this program."""
    instance_type: InstanceType
    """Instance type reserved; compared with what EC2 says of the reservation."""
    zone: ZoneId
    """Zone id of the reservation; compared with what EC2 says, and the pool launches only there. For `create` another zone, or type, replaces it, which `protect` refuses."""
    count: Annotated[int, Field(ge=1, le=256)]
    """Instances reserved."""
    start: Moment | None = None
    """Start of a Capacity Block, UTC. Before it nothing launches."""
    end: Moment | None = None
    """End of a Capacity Block, UTC. EC2 takes the instances 30 minutes before, Karpenter drains 10 minutes before that."""
    protect: bool = True
    """For `create`: Pulumi refuses to delete the reservation, since capacity given back may not come again."""


class EphemeralStorage(Model):
    size_gib: Annotated[int, Field(ge=1, le=59000)] = 80
    """Size of the node's data volume in GiB; NVMe disks are used instead where the instance has more of it."""
    iops: Annotated[int, Field(ge=3000, le=16000)] = 3000
    throughput_mibps: Annotated[int, Field(ge=125, le=1000)] = 125


class Pool(Model):
    """One Auto Mode NodePool and its NodeClass."""

    families: tuple[str, ...] = ()
    """Instance families it may launch, such as `g6e`."""
    instance_types: tuple[InstanceType, ...] = ()
    """Instance types it may launch, when a family is too wide."""
    capacity: Annotated[tuple[CapacityType, ...], Field(min_length=1)]
    """Purchase options it may use. With `reserved` the reservation comes first and the others named are the fallback."""
    reservations: tuple[Reservation, ...] = ()
    """Reservations that `reserved` draws from. Naming any switches implicit use of open reservations off for every pool. Removing one made here gives its capacity back, which its `protect` refuses."""
    uses_open_reservations: bool = False
    """States that this pool counts on open reservations being matched implicitly, so that the plan can refuse what breaks it."""
    zones: tuple[ZoneId, ...] = ()
    """Zone ids it may launch in; by default all of the network's, and only the reservation's zone for a reserved pool."""
    gpu_limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most GPUs the pool may hold at once; by default what the graphs placed on it need, plus one node to roll over."""
    consolidate_after: Duration = "300s"
    """How long a node is empty or underused before Karpenter removes it. Not used by pools on Capacity Blocks."""
    expire_after: Duration = "336h"
    """Node lifetime; Auto Mode allows at most 504h. Expired nodes are drained and replaced."""
    disruption_budget: Annotated[str, StringConstraints(pattern=r"^([0-9]|[1-9][0-9]|100)%$|^[0-9]{1,5}$")] = "10%"
    """Nodes that may be disrupted at once, as a count or a percentage."""
    ephemeral_storage: EphemeralStorage = Field(default_factory=EphemeralStorage)
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """Preference among pools that fit a pod; higher first."""


RackName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=20)]
"""20: with the stack's name and the block's id it makes the node group's name, which EKS lets have 63 characters."""


class UltraServer(Model):
    """One UltraServer: a prepaid Capacity Block of 9 or 18 P6e machines in one NVLink rack. It is never bought by this program."""

    reservation: ReservationId
    """Capacity Reservation of the block. Another one is another node group: the new one is made before the old one goes."""
    type: Literal["u-p6e-gb200x36", "u-p6e-gb200x72"]
    """9 machines with 36 GPUs, or 18 with 72; compared with the reservation's count."""
    zone: ZoneId
    """Zone id of the block, such as that of a Local Zone; compared with what EC2 says of the reservation."""
    start: Moment
    """Start of the block, UTC. The node group has no nodes before; a scheduled action raises it at this very minute."""
    end: Moment
    """End of the block, UTC. EC2 takes the machines 60 minutes before. An extended block keeps its reservation: only this key moves."""
    drain_minutes: Annotated[int, Field(ge=75, le=1440)] = 90
    """Minutes before the end at which the nodes are drained and given back; less than 75 leaves no time to drain before EC2 takes them."""
    instance_type: InstanceType = "p6e-gb200.36xlarge"
    """Instance type in the block; its network cards must be in the program's table."""
    efa_interfaces: Literal[4, 8] = 4
    """EFA interfaces per node: 4 as EC2 advises, or one on every odd network card. The bandwidth is the same. Changing it replaces the nodes."""
    ami_release: Annotated[str, StringConstraints(pattern=r"^1\.[0-9]{2}\.[0-9]+-20[0-9]{6}$")] | None = None
    """Release of the EKS AMI (AL2023_ARM_64_NVIDIA), by default the one in components/catalog.py for the cluster's version. Changing it replaces the nodes."""
    root_volume_gib: Annotated[int, Field(ge=50, le=16000)] = 200
    """Encrypted gp3 root volume. Images and pods' files lie on the NVMe disks, joined as RAID0. Changing it replaces the nodes."""
    huge_pages_mib: Annotated[int, Field(ge=0, le=102400, multiple_of=2)] = 0
    """Memory set aside as 2 MiB pages for EFA, per node; graphs that ask for hugepages need it. Changing it replaces the nodes."""
    node_repair: bool = True
    """Let EKS replace a node whose GPU or NVLink fails; the block holds the same count, so the replacement waits for the old one."""
    protect: bool = True
    """Pulumi refuses to delete or replace the node group. Set to false and run `make up` to let the rack go, best after its end."""
    verify: tuple[Literal["devices", "imex", "nvbandwidth", "nccl"], ...] = ("devices", "imex", "nvbandwidth", "nccl")
    """Rungs of the verification ladder that graphs on the rack wait for; one left out is shown as skipped, never as passed."""


class Capacity(Model):
    """GPU capacity. The built-in `system` and `general-purpose` pools carry everything without a GPU."""

    pools: dict[DnsLabel, Pool] = Field(default_factory=dict)
    """NodePools by name."""
    ultra_servers: dict[RackName, UltraServer] = Field(default_factory=dict)
    """UltraServers by name, one managed node group each. P6e-GB200 cannot be an Auto Mode node."""


# --- GPU stack -----------------------------------------------------------------------------------------------------


class Chart(Model):
    version: Release | None = None
    """Chart version, in quotes; by default the one in components/catalog.py. Another is an upgrade in place; the DRA driver's other chart (25 against 0) replaces the release, so drain the racks first."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Helm values laid over the program's own. Paths are checked against the chart, contradictions to the rest are refused."""


class Gpu(Model):
    """NVIDIA's stack on the nodes of UltraServers; Auto Mode nodes bring their own."""

    driver_branch: int = 580
    """NVIDIA driver branch that the AMI is expected to run, checked on every node by the verification ladder."""
    operator: Chart = Field(default_factory=Chart)
    """GPU Operator: device plugin, feature discovery, DCGM exporter. Driver and toolkit are the AMI's."""
    dra_driver: Chart = Field(default_factory=Chart)
    """NVIDIA's DRA driver, for ComputeDomains only: whole GPUs are the device plugin's."""
    efa_plugin: Chart = Field(default_factory=Chart)
    """EFA device plugin."""


# --- storage -------------------------------------------------------------------------------------------------------


class Efs(Model):
    throughput: Literal["elastic", "bursting", "provisioned"] = "elastic"
    """Throughput mode; can be changed in place, once in 24 hours when lowering."""
    provisioned_mibps: Annotated[int, Field(ge=1, le=3414)] | None = None
    """MiB/s for `provisioned`."""
    backup: bool = False
    """Daily AWS Backup. Caches can be downloaded again, so it is off by default."""
    protect: bool = True
    """Pulumi refuses to delete the file system. Set to false and run `make up` before `make destroy`."""


CacheName = Literal["model-cache", "compilation-cache", "perf-cache"]


class Storage(Model):
    """Shared files for models and compiled kernels."""

    efs: Efs = Field(default_factory=Efs)
    caches: tuple[CacheName, ...] = ("model-cache", "compilation-cache", "perf-cache")
    """Claims made in every namespace that holds a graph."""
    cache_size_gib: Annotated[int, Field(ge=1, le=65536)] = 5
    """Size asked for by each claim. EFS ignores it, and claims on it that are there keep the old number; another class is asked to resize them, and may refuse."""
    storage_class: DnsLabel | None = None
    """Storage class of the claims in an existing cluster; elsewhere the program makes one on EFS. Changing it replaces the claims, empty, and with them the downloads and graphs that use them."""
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    """ReadWriteOnce only for a single-node cluster such as kind."""


# --- Dynamo --------------------------------------------------------------------------------------------------------


class ImagePullSecret(Model):
    existing: DnsLabel | None = None
    """Name of a Secret that is there already in every graph namespace and in the platform's."""
    server: str | None = None
    """Registry host; with it the Secret is made, its password from `dynamo-eks:imagePullPassword`."""
    username: str = "$oauthtoken"
    """Registry user; NGC's API keys go with `$oauthtoken`."""


class Dynamo(Model):
    """The Dynamo platform."""

    version: Release = "1.5.0"
    """Platform release, in quotes; images follow it. See components/catalog.py for what is supported with what."""
    namespace: DnsLabel = "dynamo-system"
    """Namespace of the operator. Changing it replaces the platform."""
    hugging_face_secret: DnsLabel | None = None
    """Name of an existing Secret with the key HF_TOKEN in every graph namespace, instead of `dynamo-eks:huggingFaceToken`."""
    image_pull_secret: ImagePullSecret | None = None
    pod_monitors: bool = False
    """Make PodMonitors for the platform's metrics; needs the prometheus-operator CRDs in the cluster."""
    prometheus_endpoint: str = ""
    """Address of Prometheus, for the planner."""
    check: bool = True
    """Run a Job that proves the platform's CRDs are served before any graph is made."""


class Download(Model):
    """How the cache Job fetches a model."""

    xet_buffer: Literal["full", "capped"] = "capped"
    """`full` lets the Xet downloader buffer up to 64 GB (fastest, needs 64 GiB of memory); `capped` keeps it near 8 GB."""
    memory_gib: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Memory request and limit of the Job, the same number; by default what the buffer needs."""
    timeout_minutes: Annotated[int, Field(ge=5, le=1440)] = 120
    """How long `pulumi up` waits for the download."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Restarts of the download; each resumes from what is already in the cache."""


class ModelSource(Model):
    """A model on Hugging Face, pinned to a commit."""

    repository: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
    ]
    """`organisation/name` on Hugging Face. Changing it downloads another model; graphs restart."""
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    """Commit of the repository, 40 hexadecimal digits; a branch name would move under the graphs."""
    gated: bool = False
    """Whether the repository needs an accepted licence and so a token."""
    download: Download = Field(default_factory=Download)


# --- graphs --------------------------------------------------------------------------------------------------------

Router = Literal["round-robin", "random", "power-of-two", "kv", "direct", "least-loaded", "device-aware-weighted"]


Scaler = Literal["stack", "others"]

_SCALED_BY = """Who decides how many replicas there are. `stack`: every change of the graph sets `replicas`, also back from what somebody scaled by hand meanwhile. `others` (KEDA, a planner, a person with kubectl): no number is sent, a new graph starts with the operator's own 1, and `replicas` is what room is planned for. Changed to `others`, a number that nobody else has written yet falls to 1."""


class Frontend(Model):
    """The OpenAI-compatible entrance of a graph."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    scaled_by: Scaler = Field(default="stack", description=_SCALED_BY)
    router: Router = "round-robin"
    """How requests are spread over workers. `kv` follows cached prefixes and needs KV events, which the program switches on."""
    cpu: Cpu = "4"
    memory: Memory = "8Gi"
    extra_args: tuple[str, ...] = ()
    env: Environment = Field(default_factory=dict)


class Worker(Model):
    """Workers of one role. GPUs are counted per pod; a worker of several nodes has one pod on each."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    scaled_by: Scaler = Field(default="stack", description=_SCALED_BY)
    nodes: Annotated[int, Field(ge=1, le=18)] = 1
    """Nodes of one worker: a leader pod and nodes - 1 others that start together. More than one needs Grove, which the program then installs."""
    gpus: Annotated[int, Field(ge=0, le=16)] = 1
    """GPUs per pod. Nodes x GPUs is tensor x pipeline x data parallel."""
    tensor_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    pipeline_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    data_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    expert_parallel: Annotated[int, Field(ge=1, le=288)] = 1
    """Ranks that experts are spread over: a divisor of the worker's GPUs; for vLLM all of them or 1."""
    attention_data_parallel: bool = False
    """Data-parallel attention inside the tensor-parallel group (SGLang, TensorRT-LLM); it adds no GPUs."""
    ultra_server: RackName | None = None
    """UltraServer of this role, where prefill and decode are on different racks."""
    huge_pages_mib: Annotated[int, Field(ge=2, le=102400, multiple_of=2)] | None = None
    """2 MiB pages for EFA; the rack sets them aside with its own `hugePagesMib`."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """TensorRT-LLM engine options, under the engine's own names, laid over what the program sets."""
    efa: Annotated[int, Field(ge=0, le=32)] | None = None
    """EFA interfaces per pod; by default all of the instance's with `transport: efa`. Part of a node can break the KV transfer."""
    kv_buffer_device: Literal["cuda", "cpu"] | None = None
    """Where KV blocks are staged; by default `cuda` over EFA and `cpu` over TCP, which cannot read GPU memory."""
    cpu: Cpu | None = None
    """CPU request; by default the worker's share of the node, with room for the node's daemons."""
    memory: Memory | None = None
    """Memory request and limit; by default the worker's share of the node, with room for the node's daemons."""
    shared_memory: Memory = "16Gi"
    """Size of /dev/shm, counted against the pod's memory."""
    extra_args: tuple[str, ...] = ()
    """Arguments appended to the backend's command line."""
    env: Environment = Field(default_factory=dict)


class Placement(Model):
    """Where a graph's workers run."""

    pool: DnsLabel | None = None
    """NodePool they run on; not given for graphs without GPUs or on an UltraServer."""
    ultra_server: RackName | None = None
    """UltraServer they run on."""
    any_ultra_server: bool = False
    """Let the gang scheduler choose one UltraServer for the whole graph, instead of naming it."""
    instance_type: InstanceType | None = None
    """Instance type they ask for; by default any that the pool may launch and that fits."""
    zone: ZoneId | None = None
    """Zone they are pinned to; by default any one of those its pool launches in (`sameZone`)."""
    same_zone: bool | None = None
    """Keep all pods of the graph in one zone; by default true, and false with `cluster.existing`, where nodes may have no zone (those of kind and k3s have none) and the pods would wait for ever. EFA does not cross zones, and other traffic between zones is billed."""
    anti_affinity: Literal["required", "preferred", "none"] = "none"
    """Keep prefill and decode workers on different nodes."""
    reserved_only: bool = False
    """Run only on reserved nodes, never on the pool's fallback; with `sameZone` in one zone whose reservations hold the whole graph."""


class Exposure(Model):
    """How clients reach the frontend."""

    type: Literal["clusterIP", "nlb"] = "clusterIP"
    """`clusterIP` keeps it inside the cluster; `nlb` adds a Network Load Balancer."""
    scheme: Literal["internal", "public"] = "internal"
    """Reachable from the VPC and what is connected to it, or from the internet."""
    allowed_cidrs: tuple[Cidr, ...] = ()
    """Who may connect through the load balancer; required with `nlb`."""
    allow_open_access: bool = False
    """Named override that lets `allowedCidrs` cover the internet, as 0.0.0.0/0 or in parts. The frontend asks nobody for a password."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """Port of the load balancer."""


class SmokeTest(Model):
    """A Job that waits for the graph and posts one completion; `pulumi up` fails with its reason."""

    timeout_minutes: Annotated[int, Field(ge=1, le=240)] = 60


class Image(Model):
    """A runtime image other than the platform's own."""

    repository: Annotated[
        str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._:-]*[a-z0-9])?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$")
    ]
    """Registry, path and name, without a scheme: `nvcr.io/nvidia/ai-dynamo/vllm-runtime`."""
    tag: Annotated[str, StringConstraints(pattern=r"^[\w][\w.-]{0,127}(@sha256:[0-9a-f]{64})?$")]
    runtime_version: Release | None = None
    """MAJOR.MINOR.PATCH of the Dynamo runtime inside; needed where the tag does not begin with it."""


class Graph(Model):
    """One DynamoGraphDeployment: a model, served."""

    model: DnsLabel
    """Key of the model under `models`."""
    backend: Literal["vllm", "sglang", "trtllm", "mocker"]
    """Inference engine. Changing it replaces the graph."""
    preset: Literal["deepseek-r1-wide-ep", "glm-5-efa"] | None = None
    """A published recipe whose keys stand under those given here; see components/dynamo/recipes/."""
    transport: Literal["efa", "nvlink", "tcp", "none"]
    """How KV blocks travel from prefill to decode: always stated. `none` for aggregated graphs, which transfer nothing."""
    compute_domain: Literal["perGraph", "perRole", "groveAuto", "none"] | None = None
    """NVLink memory sharing across nodes (IMEX): one ComputeDomain for the graph, one for each role, left to Grove, or none. Stated for every graph on an UltraServer."""
    weights: Literal["cache", "nvme"] = "cache"
    """Where workers read the model: from the shared cache, or from the node's NVMe disks, to which each pod first copies it."""
    host_ipc: bool = False
    """Share the node's IPC namespace with the workers, as NVIDIA's GB200 recipes do."""
    namespace: DnsLabel = "dynamo"
    """Namespace of the graph. Changing it replaces the graph."""
    served_model_name: Annotated[str, StringConstraints(pattern=r"^[^\s]{1,256}$")] | None = None
    """Name clients ask for; by default the model's repository."""
    frontend: Frontend = Field(default_factory=Frontend)
    worker: Worker | None = None
    """Workers of an aggregated graph; excludes `prefill` and `decode`. Switching between the two replaces the graph."""
    prefill: Worker | None = None
    decode: Worker | None = None
    placement: Placement = Field(default_factory=Placement)
    exposure: Exposure = Field(default_factory=Exposure)
    image: Image | None = None
    efa_security: Literal["ipcLock", "privileged"] | None = None
    """What lets workers pin memory for EFA; by default IPC_LOCK in pools and `privileged` on UltraServers, where the recipes use it."""
    compilation_cache: bool = True
    """Keep compiled kernels on the shared `compilation-cache` claim, so that a restarted worker is ready minutes earlier."""
    pod_monitor: bool = True
    """Let Prometheus scrape the graph's pods; where `dynamo.podMonitors` is off it has no effect."""
    speedup_ratio: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """For `mocker`: how much faster than a real engine it pretends to be."""
    termination_grace_seconds: Annotated[int, Field(ge=30, le=3600)] = 120
    """How long a worker may finish running requests when its pod is deleted."""
    smoke_test: SmokeTest | None = None
    """On an UltraServer it is the top of the verification ladder: first the model's load, then one completion."""


@cache
def rule_ids() -> tuple[str, ...]:
    """Ids of all rules of the plan. `make schema` writes them down from rules/, which this layer must not import."""
    return tuple(json.loads((Path(__file__).parent / "rule_ids.json").read_text("utf-8")))


def _rule_id(value: str) -> str:
    if value not in rule_ids():
        close = nearest(value, rule_ids())
        meant = f"; did you mean {close}?" if close else ""
        raise ValueError(f"the id of a rule, as the plan shows it and docs/rules.md lists it{meant}")
    return value


def _reason(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("the reason why this may be, in words: it is shown wherever the rule is")
    return value.strip()


def _named_after_rules(schema: dict[str, Any]) -> None:
    schema["propertyNames"] = {"enum": list(rule_ids())}


RuleId = Annotated[str, AfterValidator(_rule_id)]
Reason = Annotated[str, BeforeValidator(_reason)]


class Review(Model):
    """How the plan is judged."""

    allow: dict[RuleId, Reason] = Field(default_factory=dict, json_schema_extra=_named_after_rules)
    """Rules that may fail, each with the reason why: what one finds wrong is then a warning that shows the reason, in the plan
    and in `pulumi preview` and `up`. Nothing in the account changes with it."""


Tags = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(aws_values.tag_text)],
        Annotated[str, StringConstraints(max_length=256), AfterValidator(aws_values.tag_text)],
    ],
    Field(
        description="Tags of everything in AWS that can carry them, beside project and stack. Another one updates in place, and "
        "replaces the nodes of pools one by one; nodes of an UltraServer keep those of the `make up` that made their group."
    ),
]

RESERVED_TAG = re.compile(r"^(aws:|eks:|kubernetes\.io/|karpenter\.sh/)", re.IGNORECASE)
"""Tag prefixes that AWS, EKS and Karpenter keep for themselves."""
