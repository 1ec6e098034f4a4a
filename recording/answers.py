"""What AWS and Kubernetes would answer: computed properties, reads, and what a remote component creates.

The only place that knows it. The plan, the tests and the stand-in providers of the engine tests ask here, so that all
three see the same world. Pure data: no pulumi import. Values are deterministic (derived from type and name) and shaped
like the real ones; whatever is only assumed is said in `assumptions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
"""AWS's own placeholder account number, used in every assumed ARN."""


@dataclass(frozen=True, slots=True)
class ChildProperty:
    """In a child's inputs: a property of another child of the same construct. It makes that child a dependency."""

    name: str
    property: str


@dataclass(frozen=True, slots=True)
class Computed:
    """In a child's inputs: a value that is known only once what it is made from exists; unknown in a preview."""

    value: Any


@dataclass(frozen=True, slots=True)
class Child:
    """A resource that a remote component registers by itself, as its Construct would."""

    type: str
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Properties on the wire; leaves may be ChildProperty or Computed."""
    uses: tuple[str, ...] = ()
    """Inputs of the component that flow into this child, whose dependencies it therefore shares."""
    parent: str | None = None
    """Name of another child of the same construct; None for the component itself."""
    depends_on: tuple[str, ...] = ()
    """Names of other children of the same construct."""
    custom: bool = True
    ignore_changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChildReference:
    """In a construct's outputs: the child resource of this name."""

    name: str


def _block(rack: Mapping[str, Any]) -> dict[str, Any]:
    """An UltraServer's block, as a stack file states it."""
    from components.capacity.ultraservers import TYPES

    type_ = TYPES.get(str(rack.get("type")))
    return {
        "instanceType": rack.get("instanceType", "p6e-gb200.36xlarge"),
        "zone": rack.get("zone"),
        "count": type_.nodes if type_ else None,
        "start": rack.get("start"),
        "end": rack.get("end"),
        "state": rack.get("state", "scheduled"),
        "ultraServer": True,
    }


class NoAnswer(LookupError):
    """The program asked for something this module does not know; add what the provider would return."""


Created = Callable[["Answers", str, Mapping[str, Any]], tuple[str, dict[str, Any]]]
Reader = Callable[["Answers", Mapping[str, Any]], dict[str, Any]]
Construct = Callable[["Answers", str, Mapping[str, Any]], tuple[Sequence[Child], Mapping[str, Any], str]]

_CREATED: dict[str, Created] = {}
_READ: dict[str, Reader] = {}
_CONSTRUCT: dict[str, Construct] = {}


def created(type_: str) -> Callable[[Created], Created]:
    """Register what the provider computes for a new resource of this type: (id, computed properties)."""

    def register(function: Created) -> Created:
        _CREATED[type_] = function
        return function

    return register


def read(token: str) -> Callable[[Reader], Reader]:
    """Register the answer to a read (an invoke) with this token."""

    def register(function: Reader) -> Reader:
        _READ[token] = function
        return function

    return register


def construct(type_: str) -> Callable[[Construct], Construct]:
    """Register what a remote component creates: (children, outputs, why this is assumed)."""

    def register(function: Construct) -> Construct:
        _CONSTRUCT[type_] = function
        return function

    return register


def digest(*parts: str, length: int = 17) -> str:
    """A stable hexadecimal suffix, as long as the ones EC2 gives its ids."""
    return hashlib.sha256("::".join(parts).encode()).hexdigest()[:length]


class Answers:
    """A world for one stack: its region, account, zones and what already exists in it."""

    def __init__(
        self,
        stack: str,
        region: str = "us-east-1",
        *,
        reservations: Mapping[str, Mapping[str, Any]] | None = None,
        subnets: Mapping[str, Mapping[str, Any]] | None = None,
        opted_in: bool = True,
        account: str = ACCOUNT,
    ) -> None:
        self.stack = stack
        self.region = region
        self.account = account
        self.reservations = {key: dict(value) for key, value in (reservations or {}).items()}
        """Reservations that exist, by id: type, zone, zoneId, count, kind, state, start, end."""
        self.subnets = {key: dict(value) for key, value in (subnets or {}).items()}
        """Subnets that exist (`network.existing`), by id: vpcId, zoneId, zone, public, freeAddresses."""
        self.opted_in = opted_in
        """Whether the account has opted in to Local Zones; a stack that opts in itself is taken not to have."""
        self.assumptions: list[str] = []

    @classmethod
    def for_config(cls, stack: str, config: Mapping[str, Any]) -> Answers:
        """The world a stack file describes: what it says exists is assumed to exist just so."""
        import json

        from stacks.placeholders import stood_in

        def section(name: str) -> Mapping[str, Any]:
            value = config.get(f"dynamo-eks:{name}") or {}
            value = stood_in(json.loads(value) if isinstance(value, str) else value)
            return value if isinstance(value, Mapping) else {}

        reservations: dict[str, Mapping[str, Any]] = {}
        pools = section("capacity").get("pools")
        for pool in (pools if isinstance(pools, Mapping) else {}).values():
            given = pool.get("reservations") if isinstance(pool, Mapping) else None
            for item in given if isinstance(given, list) else ():
                if isinstance(item, Mapping) and isinstance(item.get("id"), str):
                    reservations[item["id"]] = item
        racks = section("capacity").get("ultraServers")
        for rack in (racks if isinstance(racks, Mapping) else {}).values():
            if isinstance(rack, Mapping) and isinstance(rack.get("reservation"), str):
                reservations[rack["reservation"]] = _block(rack)
        local = section("network").get("localZones")
        opting_in = isinstance(local, Mapping) and local.get("optIn") is True
        subnets: dict[str, Mapping[str, Any]] = {}
        existing = section("network").get("existing")
        if isinstance(existing, Mapping) and isinstance(existing.get("subnets"), Mapping):
            for zone_id, pair in existing["subnets"].items():
                for role in ("private", "public"):
                    if isinstance(pair, Mapping) and isinstance(pair.get(role), str):
                        subnets[pair[role]] = {
                            "vpcId": existing.get("vpcId"),
                            "zoneId": zone_id,
                            "public": role == "public",
                        }
            of_racks = existing.get("ultraServerSubnets")
            for zone_id, subnet in (of_racks if isinstance(of_racks, Mapping) else {}).items():
                subnets[str(subnet)] = {"vpcId": existing.get("vpcId"), "zoneId": zone_id, "public": False}
        return cls(
            stack,
            str(config.get("aws:region") or "us-east-1"),
            reservations=reservations,
            subnets=subnets,
            opted_in=not opting_in,
        )

    # --- asked by the recorder and by the stand-in providers --------------------------------------------------------

    def created(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Id and computed properties of a new resource."""
        if type_.startswith("kubernetes:"):
            return _kubernetes(self, type_, name, inputs)
        if type_.startswith("pulumi:providers:"):
            return digest(self.stack, type_, name, length=8), {}
        function = _CREATED.get(type_)
        if function is None:
            raise NoAnswer(f"recording/answers.py does not know what {type_} ({name}) computes; add it with its source")
        return function(self, name, inputs)

    def read(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer to an invoke."""
        function = _READ.get(token)
        if function is None:
            raise NoAnswer(f"recording/answers.py has no answer to {token}; add it with its source")
        return function(self, arguments)

    def construct(
        self, type_: str, name: str, inputs: Mapping[str, Any]
    ) -> tuple[Sequence[Child], Mapping[str, Any], str]:
        """Children and outputs of a remote component."""
        function = _CONSTRUCT.get(type_)
        if function is None:
            raise NoAnswer(f"recording/answers.py does not know what the remote component {type_} creates; add it")
        return function(self, name, inputs)

    def assume(self, text: str) -> None:
        """Note, once, what the plan takes for granted."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    # --- shapes of ids ----------------------------------------------------------------------------------------------

    def id(self, prefix: str, *parts: str) -> str:
        """An EC2-like id, for example `vpc-0…`."""
        return f"{prefix}-0{digest(self.stack, prefix, *parts, length=16)}"

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if regional else ''}:{self.account}:{resource}"


def _kubernetes(answers: Answers, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the Kubernetes provider adds: an id of namespace and name, and the release's status."""
    metadata = inputs.get("metadata") or {}
    if type_ == "kubernetes:helm.sh/v3:Release":
        namespace, release = inputs.get("namespace", "default"), inputs.get("name", name)
        status = {"name": release, "namespace": namespace, "version": inputs.get("version"), "status": "deployed"}
        return f"{namespace}/{release}", {"status": status}
    object_name = metadata.get("name") or f"{name}-{digest(answers.stack, type_, name, length=8)}"
    namespace = metadata.get("namespace")
    computed: dict[str, Any] = {"metadata": {"name": object_name}}
    if type_ == "kubernetes:core/v1:ConfigMap" and not inputs:
        # One that the program reads and does not make: what a Job of the verification ladder wrote.
        computed["data"] = {"verdict": "not run", "reason": "nothing is measured offline", "figures": "{}"}
    return (f"{namespace}/{object_name}" if namespace else object_name), computed


# --- EC2 and VPC -----------------------------------------------------------------------------------------------------


def _ec2(prefix: str, kind: str) -> Created:
    def answer(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        id_ = answers.id(prefix, name)
        return id_, {"arn": answers.arn("ec2", f"{kind}/{id_}")}

    return answer


for _type, _prefix, _kind in (
    ("aws:ec2/internetGateway:InternetGateway", "igw", "internet-gateway"),
    ("aws:ec2/routeTable:RouteTable", "rtb", "route-table"),
    ("aws:ec2/securityGroup:SecurityGroup", "sg", "security-group"),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "vpce", "vpc-endpoint"),
    ("aws:ec2/flowLog:FlowLog", "fl", "vpc-flow-log"),
    ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "sgr", "security-group-rule"),
    ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "sgr", "security-group-rule"),
):
    _CREATED[_type] = _ec2(_prefix, _kind)


@created("aws:ec2/vpc:Vpc")
def _vpc(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("vpc", name)
    return id_, {
        "arn": answers.arn("ec2", f"vpc/{id_}"),
        "defaultSecurityGroupId": answers.id("sg", name, "default"),
        "mainRouteTableId": answers.id("rtb", name, "main"),
    }


@created("aws:ec2/subnet:Subnet")
def _subnet(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("subnet", name)
    return id_, {"arn": answers.arn("ec2", f"subnet/{id_}")}


@created("aws:ec2/eip:Eip")
def _eip(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("eipalloc", name)
    # 203.0.113.0/24 is reserved for documentation (RFC 5737).
    return id_, {"allocationId": id_, "publicIp": f"203.0.113.{int(digest(name, length=2), 16)}"}


@created("aws:ec2/natGateway:NatGateway")
def _nat_gateway(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return answers.id("nat", name), {"publicIp": f"203.0.113.{int(digest(name, length=2), 16)}"}


@created("aws:ec2/route:Route")
def _route(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"r-{inputs.get('routeTableId')}{digest(name, length=10)}", {}


@created("aws:ec2/routeTableAssociation:RouteTableAssociation")
def _route_table_association(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return answers.id("rtbassoc", name), {}


@created("aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation")
def _endpoint_association(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"a-{inputs.get('vpcEndpointId')}{digest(name, length=10)}", {}


@created("aws:ec2/capacityReservation:CapacityReservation")
def _capacity_reservation(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("cr", name)
    return id_, {"arn": answers.arn("ec2", f"capacity-reservation/{id_}"), "ownerId": answers.account}


@read("aws:ec2/getCapacityBlockReservation:getCapacityBlockReservation")
def _get_capacity_block_reservation(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    id_ = str(arguments.get("id"))
    known = answers.reservations.get(id_)
    if known is None:
        raise NoAnswer(f"reservation {id_} is not known here")
    answers.assume(f"Capacity Block {id_} is as the stack file says; EC2 was not asked")
    return {
        "id": id_,
        "arn": answers.arn("ec2", f"capacity-reservation/{id_}"),
        "state": known.get("state", "scheduled"),
        "instanceType": known.get("instanceType"),
        "availabilityZoneId": known.get("zone"),
        "instanceCount": known.get("count"),
        "startDate": _as_told(known.get("start")),
        "endDate": _as_told(known.get("end")),
        "reservationType": "capacity-block",
        "instancePlatform": known.get("platform", "Linux/UNIX"),
        "capacityBlockId": f"cb-0{digest(id_, length=16)}",
    }


def _as_told(value: Any) -> Any:
    """A stack file's moment as EC2 tells it; whatever a test says instead, as it is."""
    from components.capacity.window import moment
    from components.spec import moment_of

    try:
        return moment(moment_of(value))
    except ValueError:
        return value


@read("aws:index/getAvailabilityZone:getAvailabilityZone")
def _get_availability_zone(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One zone by its id, also one that the account has not opted in to."""
    from components.network.zones import REGION_ZONES

    zone_id = str(arguments.get("zoneId"))
    zone = next((item for item in REGION_ZONES.get(answers.region, ()) if item.zone_id == zone_id), None)
    local = zone is None or zone.zone_type != "availability-zone"
    # A zone that the table lacks has a name of the same make: use1-dfw2-az1 is us-east-1-dfw-2a.
    name = zone.name if zone else f"{answers.region}-{zone_id.split('-')[1]}a"
    usual = min(item.zone_id for item in REGION_ZONES[answers.region] if item.zone_type == "availability-zone")
    answers.assume(f"zone {zone_id} is called {name}{f' and hangs on {usual}' if local else ''}; EC2 was not asked")
    return {
        "id": name,
        "name": name,
        "zoneId": zone_id,
        "zoneType": zone.zone_type if zone else "local-zone",
        "groupName": name[:-1] if local else answers.region,
        "optInStatus": ("opted-in" if answers.opted_in else "not-opted-in") if local else "opt-in-not-required",
        "parentZoneId": usual if local else "",
        "allAvailabilityZones": True,
        "region": answers.region,
        "state": "available",
    }


@created("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
def _availability_zone_group(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return str(inputs.get("groupName")), {}


@created("aws:ec2/launchTemplate:LaunchTemplate")
def _launch_template(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("lt", name)
    return id_, {
        "arn": answers.arn("ec2", f"launch-template/{id_}"),
        "name": inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}",
        "latestVersion": 1,
        "defaultVersion": 1,
    }


@created("aws:eks/nodeGroup:NodeGroup")
def _node_group(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """EKS names the Auto Scaling group after the node group, with a suffix of its own."""
    group = str(inputs.get("nodeGroupName") or f"{name}-{digest(answers.stack, name, length=7)}")
    cluster, text = inputs.get("clusterName"), digest(answers.stack, name, length=32)
    suffix = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return f"{cluster}:{group}", {
        "arn": answers.arn("eks", f"nodegroup/{cluster}/{group}/{suffix}"),
        "nodeGroupName": group,
        "resources": [{"autoscalingGroups": [{"name": f"eks-{group}-{suffix}"}], "remoteAccessSecurityGroupId": ""}],
        "status": "ACTIVE",
    }


@created("aws:autoscaling/schedule:Schedule")
def _schedule(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    action = str(inputs.get("scheduledActionName"))
    group = inputs.get("autoscalingGroupName")
    return action, {"arn": answers.arn("autoscaling", f"scheduledUpdateGroupAction:{digest(name)}:{group}:{action}")}


@read("aws:ec2/getVpc:getVpc")
def _get_vpc(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    answers.assume(f"VPC {arguments.get('id')} exists with DNS hostnames and DNS support on; not read")
    return {
        "id": arguments.get("id"),
        "cidrBlock": "10.0.0.0/16",
        "enableDnsHostnames": True,
        "enableDnsSupport": True,
        "arn": answers.arn("ec2", f"vpc/{arguments.get('id')}"),
    }


@read("aws:ec2/getSubnet:getSubnet")
def _get_subnet(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from components.network.zones import REGION_ZONES

    id_ = str(arguments.get("id"))
    known = answers.subnets.get(id_)
    if known is None:
        raise NoAnswer(f"subnet {id_} is not known here")
    answers.assume(
        f"subnet {id_} is in {known['zoneId']}, tagged, routed and with free addresses, as a good one is; not read"
    )
    role = "elb" if known["public"] else "internal-elb"
    names = {zone.zone_id: zone.name for zone in REGION_ZONES.get(answers.region, ())}
    return {
        "id": id_,
        "vpcId": known["vpcId"],
        "availabilityZoneId": known["zoneId"],
        "availabilityZone": names.get(known["zoneId"], f"{answers.region}a"),
        "availableIpAddressCount": known.get("freeAddresses", 4000),
        "tags": known.get("tags", {f"kubernetes.io/role/{role}": "1"}),
    }


@read("aws:ec2/getRouteTables:getRouteTables")
def _get_route_tables(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    wanted = [value for item in arguments.get("filters") or () for value in item.get("values", ())]
    subnet = answers.subnets.get(wanted[0] if wanted else "")
    # A subnet whose facts name no table of its own is on the VPC's main one.
    ids = [f"rtb-{wanted[0]}"] if subnet and not subnet.get("mainTable") else []
    return {"id": answers.region, "ids": ids or (["rtb-main"] if wanted == ["true"] else [])}


@read("aws:ec2/getRouteTable:getRouteTable")
def _get_route_table(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    id_ = str(arguments.get("routeTableId"))
    subnet = answers.subnets.get(id_.removeprefix("rtb-"), {})
    target = subnet.get("defaultRoute", "igw-0123456789abcdef0" if subnet.get("public") else "nat-0123456789abcdef0")
    key = "gatewayId" if str(target).startswith("igw-") else "natGatewayId"
    routes = [{"cidrBlock": "0.0.0.0/0", key: target}] if target else []
    blank = dict.fromkeys(
        (
            "carrierGatewayId", "coreNetworkArn", "destinationPrefixListId", "egressOnlyGatewayId", "gatewayId",
            "instanceId", "ipv6CidrBlock", "localGatewayId", "natGatewayId", "networkInterfaceId", "transitGatewayId",
            "vpcEndpointId", "vpcPeeringConnectionId", "odbNetworkArn",
        ),
        "",
    )  # fmt: skip
    return {"id": id_, "routeTableId": id_, "routes": [{**blank, **route} for route in routes]}


@read("aws:index/getAvailabilityZones:getAvailabilityZones")
def _get_availability_zones(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from components.network.zones import REGION_ZONES

    zones = REGION_ZONES.get(answers.region)
    if zones is None:
        raise NoAnswer(f"the zones of {answers.region} are not in components/network/zones.py; add them")
    # Local Zones are answered only when asked for, as EC2 does for zones that are not opted in.
    wanted = {name for item in arguments.get("filters") or () for name in item.get("values", ())}
    found = [zone for zone in zones if zone.zone_type == "availability-zone" or zone.zone_type in wanted]
    excluded = set(arguments.get("excludeZoneIds") or ())
    found = [zone for zone in found if zone.zone_id not in excluded]
    answers.assume(
        f"zone names of {answers.region} map to zone ids as {', '.join(f'{z.name}={z.zone_id}' for z in found)}; "
        "the mapping differs between accounts, the ids do not"
    )
    return {
        "id": answers.region,
        "names": [zone.name for zone in found],
        "zoneIds": [zone.zone_id for zone in found],
        "groupNames": [answers.region],
    }


# --- IAM, KMS, logs --------------------------------------------------------------------------------------------------


@created("aws:iam/role:Role")
def _role(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    role = inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}"
    return role, {
        "name": role,
        "arn": answers.arn("iam", f"role/{role}", regional=False),
        "uniqueId": f"AROA{digest(answers.stack, name).upper()}",
    }


@created("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def _role_policy_attachment(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"{inputs.get('role')}-{digest(name, length=12)}", {}


@created("aws:iam/rolePolicy:RolePolicy")
def _role_policy(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    policy = inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}"
    return f"{inputs.get('role')}:{policy}", {"name": policy}


@created("aws:kms/key:Key")
def _kms_key(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    text = digest(answers.stack, name, length=32)
    id_ = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return id_, {"keyId": id_, "arn": answers.arn("kms", f"key/{id_}")}


@created("aws:kms/alias:Alias")
def _kms_alias(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    alias = str(inputs.get("name") or f"alias/{name}")
    return alias, {"name": alias, "arn": answers.arn("kms", alias)}


@created("aws:cloudwatch/logGroup:LogGroup")
def _log_group(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    group = str(inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}")
    return group, {"name": group, "arn": answers.arn("logs", f"log-group:{group}")}


@read("aws:index/getPartition:getPartition")
def _get_partition(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


@read("aws:index/getCallerIdentity:getCallerIdentity")
def _get_caller_identity(answers: Answers, arguments: Mapping[str, Any]) -> dict[str, Any]:
    answers.assume(f"the account is {answers.account}; ARNs in this plan carry it")
    return {
        "id": answers.account,
        "accountId": answers.account,
        "arn": answers.arn("iam", "role/operator", regional=False),
        "userId": "AROAEXAMPLE:operator",
    }


# --- EKS -------------------------------------------------------------------------------------------------------------


@created("aws:iam/instanceProfile:InstanceProfile")
def _instance_profile(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    profile = str(inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}")
    return profile, {"name": profile, "arn": answers.arn("iam", f"instance-profile/{profile}", regional=False)}


@created("aws:eks/cluster:Cluster")
def _cluster(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    cluster = str(inputs.get("name") or f"{name}-{digest(answers.stack, name, length=7)}")
    serial = digest(answers.stack, "eks", cluster, length=32).upper()
    host = f"{serial}.gr7.{answers.region}.eks.amazonaws.com"
    issuer = f"https://oidc.eks.{answers.region}.amazonaws.com/id/{serial}"
    return cluster, {
        "name": cluster,
        "arn": answers.arn("eks", f"cluster/{cluster}"),
        "endpoint": f"https://{host}",
        # Base64 of text that says what it is, so that nobody takes it for the certificate of a real cluster.
        "certificateAuthority": {"data": "YXNzdW1lZCBjZXJ0aWZpY2F0ZSBhdXRob3JpdHk="},
        "vpcConfig": {
            "clusterSecurityGroupId": answers.id("sg", "eks-cluster", cluster),
            "vpcId": answers.id("vpc", "of", cluster),
        },
        "identities": [{"oidcs": [{"issuer": issuer}]}],
        "status": "ACTIVE",
        "platformVersion": "eks.1",
        "createdAt": "2026-01-01T00:00:00Z",
    }


@created("aws:eks/addon:Addon")
def _addon(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    cluster, addon = inputs.get("clusterName"), inputs.get("addonName")
    return f"{cluster}:{addon}", {"arn": answers.arn("eks", f"addon/{cluster}/{addon}/{digest(name, length=12)}")}


@created("aws:eks/accessEntry:AccessEntry")
def _access_entry(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"{inputs.get('clusterName')}:{inputs.get('principalArn')}", {
        "accessEntryArn": answers.arn("eks", f"access-entry/{inputs.get('clusterName')}/{digest(name, length=12)}")
    }


@created("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
def _access_policy_association(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"{inputs.get('clusterName')}#{inputs.get('principalArn')}#{inputs.get('policyArn')}", {}


@created("aws:eks/podIdentityAssociation:PodIdentityAssociation")
def _pod_identity_association(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = f"a-{digest(answers.stack, name, length=17)}"
    arn = answers.arn("eks", f"podidentityassociation/{inputs.get('clusterName')}/{id_}")
    return id_, {"associationId": id_, "associationArn": arn}


# --- EFS -------------------------------------------------------------------------------------------------------------


@created("aws:efs/fileSystem:FileSystem")
def _file_system(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    id_ = answers.id("fs", name)
    return id_, {
        "arn": answers.arn("elasticfilesystem", f"file-system/{id_}"),
        "dnsName": f"{id_}.efs.{answers.region}.amazonaws.com",
    }


@created("aws:efs/mountTarget:MountTarget")
def _mount_target(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return answers.id("fsmt", name), {"ipAddress": f"10.255.0.{int(digest(name, length=2), 16)}"}


@created("aws:efs/backupPolicy:BackupPolicy")
def _backup_policy(answers: Answers, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return str(inputs.get("fileSystemId")), {}


# Remote components play their Construct in modules of their own, which register themselves when imported.
import recording.eks_construct  # noqa: E402
import recording.mpi_operator_construct  # noqa: E402, F401
