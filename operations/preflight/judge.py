"""What an answer means for the stack. Pure: answers in, lines out.

Every function takes the answer as AWS's own shapes, or `Unasked` or `Refused` in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from components.capacity import instances
from components.capacity.capacity_block import PLATFORM
from components.capacity.reservations import Stated, mismatches
from components.capacity.window import moment
from components.network.zones import Zone, choose
from operations.credentials import Caller
from operations.preflight.lines import Line, Refused, Unasked, fails, holds, unasked
from operations.preflight.registries import Chart, Found, Model
from operations.preflight.wanted import (
    CountWanted,
    ModelWanted,
    PoolWanted,
    ReservationWanted,
    SubnetWanted,
    VcpuWanted,
    Wanted,
)
from stacks.faults import nearest
from stacks.placeholders import ToFillIn

Answer = Any
"""What AWS answered, or Unasked or Refused."""

_ASK = "Service Quotas console, or `aws service-quotas request-service-quota-increase"


def _none(answer: Answer) -> bool:
    return isinstance(answer, Unasked | Refused)


def _says(answer: Answer, *codes: str) -> bool:
    """Whether the service refuses with one of these codes."""
    return isinstance(answer, Refused) and answer.code in codes


def _listed(words: Sequence[str], most: int = 8) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


# --- who -------------------------------------------------------------------------------------------------------------


def identity(caller: Caller | Unasked) -> Line:
    asked = "who these credentials are"
    return unasked("identity", asked, caller) if isinstance(caller, Unasked) else holds("identity", asked, caller.arn)


def account(wanted: Wanted, caller: Caller | Unasked) -> Line:
    """The stack's account against the caller's."""
    right = " or ".join(wanted.accounts)
    if wanted.unfilled("account"):
        return unasked("account", "the stack's account", Unasked("the stack does not name it yet", "fill in account"))
    if isinstance(caller, Unasked):
        return unasked("account", f"account {right or 'of the caller'}", caller)
    if not wanted.accounts:
        # Whoever runs it next, with another shell, makes a second stack elsewhere: said, and no fault.
        return holds(
            "account", "any account: the stack pins none", f'{caller.account}; pin it: account: "{caller.account}"'
        )
    if caller.account not in wanted.accounts:
        return fails(
            "account",
            f"account {right}",
            caller.account,
            "take credentials of that account (aws:profile, or AWS_PROFILE), or correct dynamo-eks:account",
        )
    return holds("account", f"account {right}", caller.account)


def placeholders(to_fill_in: Sequence[ToFillIn]) -> list[Line]:
    if not to_fill_in:
        return [holds("placeholders", "values to fill in", "none")]
    return [
        fails("placeholders", item.key, item.text, f"write {item.meaning} there ({item.find})") for item in to_fill_in
    ]


def deployer(wanted: Wanted, caller: Caller | Unasked) -> Line:
    """EKS gives the identity that makes the cluster an entry of its own, and refuses a second one for it."""
    asked = "that cluster.admins does not name the identity that deploys"
    if isinstance(caller, Unasked):
        return unasked("admins", asked, caller)
    if wanted.unfilled("cluster.admins"):
        return unasked("admins", asked, Unasked("an admin is a placeholder still", "fill in cluster.admins"))
    same = [arn for arn in wanted.admins if caller.is_(arn)]
    if same:
        return fails(
            "admins",
            asked,
            f"{same[0]} deploys",
            "remove it from cluster.admins: who makes the cluster is its administrator already, and EKS answers "
            "409 ResourceInUse to a second entry, after the cluster exists",
        )
    return holds("admins", asked, caller.principal)


def admin(arn: str, answer: Answer) -> Line:
    """An administrator against IAM: EKS refuses an entry for one that does not exist, after the cluster exists."""
    asked = f"that {arn} exists"
    if _says(answer, "NoSuchEntity"):
        return fails("admins", asked, "no such role or user", "correct cluster.admins, or make the role first")
    if _none(answer):
        return unasked("admins", asked, answer)
    found = (answer.get("Role") or answer.get("User"))["Arn"]
    if found != arn:
        return fails("admins", asked, f"it is {found}", f"write {found} in cluster.admins: EKS wants the path too")
    return holds("admins", asked, "it does")


# --- where -----------------------------------------------------------------------------------------------------------


def region(name: str, answer: Answer) -> Line:
    asked = f"that the account has {name}"
    if _none(answer):
        return unasked("region", asked, answer)
    found = next((item for item in answer.get("Regions") or () if item["RegionName"] == name), None)
    if found is None:
        return fails("region", asked, "no such region", "correct aws:region")
    status = found.get("OptInStatus", "opt-in-not-required")
    if status == "not-opted-in":
        return fails(
            "region", asked, status,
            f"enable it and wait until it says so: aws account enable-region --region-name {name}",
        )  # fmt: skip
    return holds("region", asked, status)


def network_zones(wanted: Wanted, answer: Answer) -> tuple[tuple[str, ...], str | None]:
    """The zones a stack's subnets get in this account, or why it cannot have them."""
    if not wanted.zones:
        return tuple(dict.fromkeys(item.zone_id for item in wanted.subnets if item.role == "private")), None
    there = tuple(
        Zone(item["ZoneName"], item["ZoneId"], item.get("ZoneType", "availability-zone"))
        for item in answer.get("AvailabilityZones") or ()
        if item.get("OptInStatus", "opt-in-not-required") == "opt-in-not-required"
    )
    try:
        return tuple(zone.zone_id for zone in choose(there, wanted.zones)), None
    except ValueError as error:
        return (), str(error)


def zones(wanted: Wanted, answer: Answer) -> list[Line]:
    """Zones of the network, of reservations and of UltraServers."""
    asked = f"the zones of {wanted.region}"
    if _none(answer):
        return [unasked("zones", asked, answer)]
    by_id = {item["ZoneId"]: item for item in answer.get("AvailabilityZones") or ()}
    chosen, fault = network_zones(wanted, answer)
    found = [fails("zones", asked, fault, "correct network.zones")] if fault else []
    others = [item.zone_id for item in wanted.reservations] + [zone for pool in wanted.pools for zone in pool.zone_ids]
    for zone_id in dict.fromkeys([*chosen, *others, *wanted.local_zones]):
        found.append(_zone(zone_id, by_id.get(zone_id), wanted))
    return found


def _zone(zone_id: str, found: Mapping[str, Any] | None, wanted: Wanted) -> Line:
    asked = f"zone {zone_id}"
    if found is None:
        return fails(
            "zones", asked, f"this account has no such zone in {wanted.region}",
            "name zones that it has, in network.zones and wherever this one stands",
        )  # fmt: skip
    state, told = found.get("State", "available"), [item.get("Message", "") for item in found.get("Messages") or ()]
    status = found.get("OptInStatus", "opt-in-not-required")
    answered = ", ".join(filter(None, [found.get("ZoneName", ""), state, *told]))
    if state == "constrained":
        return fails(
            "zones",
            asked,
            answered,
            "AWS has no room there for who is not there yet: name another zone in network.zones",
        )
    if state in ("impaired", "unavailable"):
        return fails(
            "zones", asked, answered, "wait until AWS has mended the zone, or name another one in network.zones"
        )
    if status == "not-opted-in":
        if zone_id in wanted.local_zones and wanted.opts_in:
            return holds("zones", asked, f"{answered}, not opted in; the program does it (network.localZones.optIn)")
        group = found.get("GroupName", "its group")
        return fails(
            "zones", asked, f"{answered}, not opted in",
            f"set network.localZones.optIn: true, or: aws ec2 modify-availability-zone-group --group-name {group} "
            "--opt-in-status opted-in",
        )  # fmt: skip
    return holds("zones", asked, answered)


def offerings(pool: PoolWanted, network: Sequence[str], answer: Answer) -> list[Line]:
    """Instance types of a pool against the zones it may launch in. UltraServers are sold as blocks alone: their reservation
    says the rest."""
    zone_ids = pool.zone_ids or tuple(network)
    asked = f"that pool {pool.name} finds its types in {', '.join(zone_ids)}"
    if _none(answer):
        return [unasked("offerings", asked, answer)]
    sold: dict[str, set[str]] = {}
    for item in answer.get("InstanceTypeOfferings") or ():
        if item["Location"] in zone_ids:
            sold.setdefault(item["InstanceType"], set()).add(item["Location"])
    found = []
    for graph in pool.graphs:
        want = f"{graph.type} for graph {graph.name} in {graph.zone_id or 'one of ' + ', '.join(zone_ids)}"
        there = sold.get(graph.type, set())
        if graph.zone_id in there or (graph.zone_id is None and there):
            found.append(holds("offerings", want, f"sold in {', '.join(sorted(there))}"))
            continue
        where = sorted(
            {item["Location"] for item in answer["InstanceTypeOfferings"] if item["InstanceType"] == graph.type}
        )
        elsewhere = f"sold in {', '.join(where)} alone" if where else "sold in no zone of the region"
        found.append(
            fails(
                "offerings",
                want,
                elsewhere,
                "let network.zones and the pool have one of those zones"
                if where
                else "take another instance type, or another region",
            )
        )
    if not sold:
        found.append(
            fails(
                "offerings",
                asked,
                f"none of {_listed(pool.types)}",
                "name zones that sell them in network.zones, other families, or another region",
            )
        )
    else:
        missing = [type_ for type_ in pool.types if type_ not in sold]
        answered = f"{len(sold)} of {len(pool.types)}" + (f"; not {_listed(missing)}" if missing else "")
        found.append(holds("offerings", asked, answered))
    return found


# --- how much --------------------------------------------------------------------------------------------------------


def vcpus(wanted: VcpuWanted, values: Mapping[str, float | Unasked | Refused]) -> Line:
    """vCPUs against the quota of each purchase option; one with room is enough. What runs already is not known here and
    counts too."""
    names = " or ".join(quota.name for quota in wanted.options.values())
    asked = f"{wanted.vcpu} vCPUs for {wanted.what}: {names}"
    known = {option: value for option, value in values.items() if isinstance(value, int | float)}
    answered = ", ".join(f"{option} {value:g}" for option, value in sorted(known.items()))
    enough = [option for option, value in known.items() if value >= wanted.vcpu]
    if enough:
        return holds("quotas", asked, answered)
    missing = [value for value in values.values() if not isinstance(value, int | float)]
    if missing:
        return unasked("quotas", asked, missing[0])
    quota = next(iter(wanted.options.values()))
    return fails(
        "quotas", asked, answered,
        f"ask for {wanted.vcpu} or more, which takes hours to days: {_ASK} --service-code {quota.service} "
        f"--quota-code {quota.code} --desired-value {wanted.vcpu}`",
    )  # fmt: skip


def count(wanted: CountWanted, value: float | Unasked | Refused, used: int | Unasked | Refused) -> Line:
    """Things against their quota, those of others counted."""
    asked = f"{wanted.count} more: {wanted.quota.name}"
    if not isinstance(value, int | float):
        return unasked("quotas", asked, value)
    if not isinstance(used, int):
        if wanted.count <= value:
            return unasked("quotas", asked, used)
        used = 0
    answered = f"{used} of {value:g} used" if wanted.used else f"{value:g}"
    if used + wanted.count > value:
        need = used + wanted.count
        return fails(
            "quotas", asked, answered,
            f"remove what is not used, or ask for {need}: {_ASK} --service-code {wanted.quota.service} "
            f"--quota-code {wanted.quota.code} --desired-value {need}`",
        )  # fmt: skip
    return holds("quotas", asked, answered)


def block_quota(family: str, vcpu: int, value: float | Unasked | Refused | None) -> Line:
    """The quota of Capacity Blocks, for blocks that are still to be bought: 0 in a new account."""
    asked = f"{vcpu} vCPUs in Capacity Blocks of {family}, still to be bought"
    if value is None:
        return unasked(
            "quotas", asked,
            Unasked("Service Quotas lists no such quota", "ask AWS Support for the quota of Capacity Blocks of this type"),
        )  # fmt: skip
    if not isinstance(value, int | float):
        return unasked("quotas", asked, value)
    if value < vcpu:
        return fails(
            "quotas", asked, f"{value:g}",
            f"ask for {vcpu} before buying; with less the purchase fails: {_ASK}`, the quota of Capacity Blocks of {family}",
        )  # fmt: skip
    return holds("quotas", asked, f"{value:g}")


def reservations(wanted: ReservationWanted, answer: Answer, at: datetime) -> list[Line]:
    """A reservation against what EC2 says of it."""
    name = wanted.id or " ".join(f"{key}={value}" for key, value in sorted(wanted.tags.items()))
    asked = f"reservation {name}: {wanted.count} {wanted.instance_type} in {wanted.zone_id}"
    gone = _says(answer, "InvalidCapacityReservationId.NotFound")
    if _none(answer) and not gone:
        return [unasked("reservations", asked, answer)]
    found = [] if gone else answer.get("CapacityReservations") or []
    if not found:
        return [
            fails(
                "reservations",
                asked,
                "this account has none in this region",
                f"correct {wanted.key}, or take the account and region that it was bought in",
            )
        ]
    if wanted.id is None:
        return [_tagged(wanted, found, asked)]
    return _differences(wanted, found[0], asked, at)


def _tagged(wanted: ReservationWanted, found: Sequence[Mapping[str, Any]], asked: str) -> Line:
    """Reservations that tags select: together they must hold what the stack reckons with. A block that has not started tells no
    count yet."""
    fit = [item for item in found if _as_wanted(wanted, item)]
    total = sum(item.get("TotalInstanceCount") or 0 for item in fit)
    silent = any(item.get("State") == "scheduled" and not item.get("TotalInstanceCount") for item in fit)
    answered = f"{len(found)} carry the tags, {len(fit)} fit and hold {total}{' at least' if silent else ''}"
    if total < wanted.count and not silent:
        return fails("reservations", asked, answered, f"correct {wanted.key}, or the tags of the reservations")
    return holds("reservations", asked, answered)


def _as_wanted(wanted: ReservationWanted, item: Mapping[str, Any]) -> bool:
    """Whether a reservation is of the kind, type, zone and, for a block, window that the stack states."""
    window = (("StartDate", wanted.start), ("EndDate", wanted.end))
    return (
        item.get("State") in ("active", "scheduled", "pending")
        and item.get("InstanceType") == wanted.instance_type
        and item.get("AvailabilityZoneId") == wanted.zone_id
        and (item.get("ReservationType", "default") == "capacity-block") == wanted.block
        and all(not (stated and key in item) or moment(item[key]) == moment(stated) for key, stated in window)
    )


def _differences(wanted: ReservationWanted, found: Mapping[str, Any], asked: str, at: datetime) -> list[Line]:
    start, end = found.get("StartDate"), found.get("EndDate")
    wrong = mismatches(
        Stated(
            id=wanted.id or "",
            instance_type=wanted.instance_type,
            zone_id=wanted.zone_id,
            count=wanted.count,
            start=moment(wanted.start) if wanted.start else None,
            end=moment(wanted.end) if wanted.end else None,
            platform=PLATFORM,
            count_key="type" if wanted.ultra_server else "count",
        ),
        {
            "state": found.get("State"),
            "instance_type": found.get("InstanceType"),
            "availability_zone_id": found.get("AvailabilityZoneId"),
            "instance_count": found.get("TotalInstanceCount"),
            "start_date": moment(start) if start else None,
            "end_date": moment(end) if end else None,
            "instance_platform": found.get("InstancePlatform"),
        },
    )
    kind = found.get("ReservationType", "default")
    if (kind == "capacity-block") != wanted.block:
        wrong.append(f"{wanted.id}: is of the kind {kind}; correct kind")
    if end and end <= at:
        wrong.append(f"{wanted.id}: ended {moment(end)}; name another reservation")
    if found.get("LaunchStatus") == "unlaunchable":
        wrong.append(f"{wanted.id}: EC2 launches nothing in it now; ask AWS Support before its time runs")
    if (
        not wanted.block
        and wanted.id
        and found.get("AvailableInstanceCount", 0) == 0
        and found.get("TotalInstanceCount")
    ):
        wrong.append(f"{wanted.id}: all of its instances are taken; free some, or name another reservation")
    state = f"{found.get('State')}, {found.get('TotalInstanceCount') or 'no count yet of'} {found.get('InstanceType')}"
    if not wrong:
        window = f", {moment(start)} to {moment(end)}" if start and end else ""
        return [holds("reservations", asked, state + window)]
    split = [item.removeprefix(f"{wanted.id}: ").partition("; ") for item in wrong]
    return [
        fails("reservations", asked, what, f"{remedy.replace('correct ', f'correct {wanted.key}.', 1)}")
        for what, _, remedy in split
    ]


def ultra_server(wanted: ReservationWanted, answer: Answer) -> Line:
    """The block behind an UltraServer's reservation: its type is nowhere else."""
    asked = f"that {wanted.id} is a block of {wanted.ultra_server}"
    if _none(answer):
        return unasked("reservations", asked, answer)
    blocks = [
        item for item in answer.get("CapacityBlocks") or () if wanted.id in (item.get("CapacityReservationIds") or ())
    ]
    if not blocks:
        return fails("reservations", asked, "no Capacity Block holds it", f"correct {wanted.key}.reservation")
    block = blocks[0]
    if block.get("UltraserverType") != wanted.ultra_server:
        return fails(
            "reservations", asked, f"{block['CapacityBlockId']} is {block.get('UltraserverType') or 'no UltraServer'}",
            f"correct {wanted.key}.type, or name another reservation",
        )  # fmt: skip
    return holds("reservations", asked, f"{block['CapacityBlockId']}, {block.get('State')}")


# --- versions --------------------------------------------------------------------------------------------------------


def kubernetes(wanted: Wanted, answer: Answer) -> Line:
    asked = f"Kubernetes {wanted.kubernetes}, support {wanted.support}"
    if _says(answer, "InvalidParameterException", "ResourceNotFoundException"):
        answer = {"clusterVersions": []}
    if _none(answer):
        return unasked("versions", asked, answer)
    found = next(
        (item for item in answer.get("clusterVersions") or () if item["clusterVersion"] == wanted.kubernetes), None
    )
    if found is None:
        return fails("versions", asked, "EKS has no such version", "set another cluster.version")
    status, until = found.get("versionStatus", ""), found.get("endOfStandardSupportDate")
    answered = f"{status}" + (f", standard support until {until:%Y-%m-%d}" if until else "")
    if status == "UNSUPPORTED":
        return fails("versions", asked, answered, "set a newer cluster.version")
    if status == "EXTENDED_SUPPORT" and wanted.support == "STANDARD":
        return fails(
            "versions", asked, answered,
            "set a newer cluster.version, or cluster.support: EXTENDED and pay for it ($0.60/h instead of $0.10/h)",
        )  # fmt: skip
    return holds("versions", asked, answered)


def addon(wanted: Wanted, name: str, version: str, answer: Answer) -> Line:
    asked = f"add-on {name} {version or '(its default)'} for {wanted.kubernetes}"
    if _says(answer, "ResourceNotFoundException"):
        answer = {"addons": []}
    if _none(answer):
        return unasked("versions", asked, answer)
    known = {
        str(item["addonVersion"]): item
        for each in answer.get("addons") or ()
        for item in each.get("addonVersions") or ()
    }
    if not known:
        return fails(
            "versions", asked, "EKS has no such add-on for that version", "see components/catalog.py for another pair"
        )
    if version and version not in known:
        return fails(
            "versions", asked, f"there are {_listed(list(known), 4)}",
            "pin one of these in components/catalog.py: EKS has withdrawn the other",
        )  # fmt: skip
    compute = known[version].get("computeTypes") if version else None
    return holds("versions", asked, f"there, for {', '.join(compute)}" if compute else "there")


def ami_name(type_: str, kubernetes_version: str, release: str) -> str:
    """SSM parameter of an EKS AMI's image id (karpenter-provider-aws, pkg/providers/amifamily/al2023.go)."""
    arch = "arm64" if "ARM_64" in type_ else "x86_64"
    variant = "nvidia" if type_.endswith("NVIDIA") else "neuron" if type_.endswith("NEURON") else "standard"
    date = release.rpartition("-")[2]
    name = f"amazon-eks-node-al2023-{arch}-{variant}-{kubernetes_version}-v{date}"
    return f"/aws/service/eks/optimized-ami/{kubernetes_version}/amazon-linux-2023/{arch}/{variant}/{name}/image_id"


def ami_recommended(type_: str, kubernetes_version: str) -> str:
    """SSM parameter with the release that AWS recommends now."""
    folder = ami_name(type_, kubernetes_version, "x-0").rsplit("/", 2)[0]
    return f"{folder}/recommended/release_version"


def ami(type_: str, kubernetes_version: str, release: str, answer: Answer, recommended: Answer) -> Line:
    asked = f"AMI {type_} {release}"
    now = None if _none(recommended) else recommended["Parameter"]["Value"]
    if _says(answer, "ParameterNotFound"):
        todo = "set capacity.ultraServers.*.amiRelease to a release that is there" + (
            f"; AWS recommends {now}" if now else ""
        )
        return fails("versions", asked, "not in this region", todo)
    if _none(answer):
        return unasked("versions", asked, answer)
    return holds("versions", asked, answer["Parameter"]["Value"] + (f"; AWS recommends {now}" if now else ""))


# --- what is there ---------------------------------------------------------------------------------------------------


def subnets(wanted: Wanted, answer: Answer) -> list[Line]:
    """Subnets of others: that they are there, where they are said to be, and have room."""
    if _says(answer, "InvalidSubnetID.NotFound"):
        return [
            fails(
                "subnets",
                f"subnets of {wanted.vpc_id}",
                answer.message,
                "correct network.existing, or take another account or region",
            )
        ]
    if _none(answer):
        return [unasked("subnets", f"subnets of {wanted.vpc_id}", answer)]
    by_id = {item["SubnetId"]: item for item in answer.get("Subnets") or ()}
    return [_subnet(item, by_id.get(item.id), wanted) for item in wanted.subnets]


def _subnet(subnet: SubnetWanted, found: Mapping[str, Any] | None, wanted: Wanted) -> Line:
    asked = f"{subnet.id} ({subnet.role}, {subnet.zone_id}) with {subnet.addresses} free addresses"
    if found is None:
        return fails("subnets", asked, "not there", "correct network.existing")
    free = found.get("AvailableIpAddressCount", 0)
    answered = f"{found.get('VpcId')}, {found.get('AvailabilityZoneId')}, {free} free"
    if found.get("VpcId") != wanted.vpc_id:
        return fails("subnets", asked, answered, f"name a subnet of {wanted.vpc_id} in network.existing")
    if found.get("AvailabilityZoneId") != subnet.zone_id:
        return fails("subnets", asked, answered, "put it under its own zone in network.existing")
    if found.get("State", "available") != "available":
        return fails("subnets", asked, f"{answered}, {found['State']}", "wait until it is available")
    if free < subnet.addresses:
        return fails("subnets", asked, answered, "name a larger subnet, or free addresses in it")
    return holds("subnets", asked, answered)


def cluster_name(wanted: Wanted, answer: Answer) -> Line:
    """A cluster of the same name that is somebody else's: the creation is refused."""
    asked = f"that no other cluster is named {wanted.cluster_name}"
    if absent(answer):
        return holds("names", asked, "there is none")
    if _none(answer):
        return unasked("names", asked, answer)
    found = answer["cluster"]
    if _own(wanted, found.get("tags")):
        return holds("names", asked, f"{found['arn']} is the stack's own")
    return fails("names", asked, f"{found['arn']} is", "set cluster.name, or remove that cluster")


def absent(answer: Answer) -> bool:
    """Whether there certainly is no such thing."""
    return _says(answer, "ResourceNotFoundException")


def _own(wanted: Wanted, tags: Mapping[str, str] | None) -> bool:
    given = tags or {}
    return given.get("project") == "dynamo-eks" and given.get("stack") == wanted.stack


def log_group_of(name: str, answer: Answer) -> Mapping[str, Any] | None:
    """The log group of exactly this name, in an answer that may be asked for by the beginning of names alone."""
    if _none(answer):
        return None
    return next((item for item in answer["logGroups"] if item["logGroupName"] == name), None)


def log_group(wanted: Wanted, name: str, answer: Answer, tags: Answer) -> Line:
    """A log group that is there without a cluster: EKS makes it again, without tags, when it delivers a destroyed cluster's last lines
    (terraform-aws-modules/terraform-aws-eks #2763), and the creation of one of that name is refused."""
    asked = f"that there is no log group {name}"
    for said in (answer, tags):
        if _none(said):
            return unasked("names", asked, said)
    if tags is None:
        return holds("names", asked, "there is none")
    if _own(wanted, tags.get("tags")):
        return holds("names", asked, "it is the stack's own")
    todo = f"look at what it holds, and delete it: aws logs delete-log-group --region {wanted.region} --log-group-name {name}"
    return fails("names", asked, "it is there, without the stack's tags", todo)


_WITHOUT_RESOURCE = re.compile(r"ec2:Describe|kms:(CreateKey|ListAliases)$")
"""Actions that policies can allow for everything alone (Service Authorization Reference, "Actions, resources, and condition
keys"): that the simulation denies them is certain. Others may be allowed on some resources, which it was not asked about."""


def rights(principal: str, actions: Sequence[str], answers: Sequence[Answer]) -> Line:
    """Actions against IAM's simulation. It knows policies, boundaries and what organizations deny. A denial that hangs on a
    resource or a condition it was not told of is none."""
    asked = f"{len(actions)} actions of what the stack is made of, for {principal}"
    missing = next((answer for answer in answers if _none(answer)), None)
    if missing is not None:
        return unasked("rights", asked, missing)
    results = [item for answer in answers for item in answer.get("EvaluationResults") or ()]
    denied = {item["EvalActionName"]: item for item in results if item["EvalDecision"] != "allowed"}
    by_organization = [
        name
        for name, item in denied.items()
        if not (item.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations", True)
    ]
    open_ = {name: item.get("MissingContextValues") or () for name, item in denied.items()}
    certain = [
        name
        for name, item in denied.items()
        if not open_[name]
        and (item["EvalDecision"] == "explicitDeny" or name in by_organization or _WITHOUT_RESOURCE.match(name))
    ]
    if certain:
        who = "the organization's policies deny them" if set(certain) & set(by_organization) else "its policies do not"
        return fails(
            "rights",
            asked,
            f"not allowed: {_listed(sorted(certain), 6)}; {len(denied)} in all",
            f"let this identity do them ({who}), or deploy with another one",
        )
    if denied:
        keys = sorted({key for each in open_.values() for key in each})
        why = f"not allowed on everything: {_listed(sorted(denied), 6)}" + (
            f"; they depend on {_listed(keys, 4)}" if keys else ""
        )
        todo = "see that its policies allow them on the stack's own resources: which these will be, a simulation cannot be told"
        return unasked("rights", asked, Unasked(why, todo))
    return holds("rights", asked, "all allowed")


# --- the world -------------------------------------------------------------------------------------------------------


def _status(
    check: str, asked: str, status: int | Unasked, *, private: str, missing: str, login: Unasked | None = None
) -> Line:
    """A line for an HTTP status."""
    if isinstance(status, Unasked):
        return unasked(check, asked, status)
    if 200 <= status < 400:
        return holds(check, asked, "there")
    if status in (401, 403):
        if login is not None:
            return unasked(check, asked, login)
        return fails(check, asked, f"refused ({status})", private)
    if status in (404, 410):
        return fails(check, asked, f"not there ({status})", missing)
    return unasked(check, asked, Unasked(f"answers {status}", "try again later"))


def image(reference: str, status: int | Unasked, login: Unasked | None = None) -> Line:
    """`login` says why there is no login where the nodes have one."""
    return _status(
        "images", reference, status,
        private="it is not there, or not for everybody: correct the image, or give dynamo.imagePullSecret",
        missing="correct the image's name or tag in the stack file (dynamo.version, graphs.*.image)",
        login=login,
    )  # fmt: skip


def ecr_image(reference: str, answer: Answer) -> Line:
    if _says(answer, "ImageNotFoundException", "RepositoryNotFoundException"):
        return fails("images", reference, answer.message, "push the image, or correct its name in the stack file")
    return unasked("images", reference, answer) if _none(answer) else holds("images", reference, "there")


def chart(wanted: Chart, answer: Found | Unasked) -> Line:
    if isinstance(answer, Found) and answer.versions is not None:
        close = nearest(wanted.version, answer.versions) or ""
        there = [close] * bool(close) + [item for item in answer.versions if item != close]
        return fails(
            "charts", wanted.words, f"no such version; there are {_listed(there, 4) or 'none'}",
            "set a version that is there, or see components/catalog.py",
        )  # fmt: skip
    return _status(
        "charts", wanted.words, answer if isinstance(answer, Unasked) else answer.status,
        private="the repository refuses everybody without a login; name a public one",
        missing="correct the version, or see components/catalog.py",
    )  # fmt: skip


def file(url: str, status: int | Unasked) -> Line:
    return _status(
        "charts", url, status, private="it is not public", missing="see components/catalog.py for its version"
    )


def model(wanted: ModelWanted, answer: Model | Unasked, token: str | None, *, elsewhere: bool) -> Line:
    """A model at its commit. `token` says where it came from, None when there is none; `elsewhere`: it is in the cluster."""
    asked = (
        f"{wanted.repository} at {wanted.revision[:12]}, {f'with the token of {token}' if token else 'without a token'}"
    )
    key = f"models.{wanted.name}"
    if isinstance(answer, Unasked):
        return unasked("models", asked, answer)
    hidden = Unasked("the token is in a Secret of the cluster", "set HF_TOKEN in the shell and ask again")
    if answer.status == 200 and answer.file in (401, 403) and elsewhere and not token:
        return unasked("models", asked, hidden)
    if answer.status == 200 and answer.file in (401, 403):
        what = f"gated: its files are refused ({answer.file})"
        if not token:
            return fails(
                "models", asked, what,
                f"accept its licence on https://huggingface.co/{wanted.repository}, then `pulumi config set --secret "
                "dynamo-eks:huggingFaceToken`",
            )  # fmt: skip
        return fails(
            "models", asked, what,
            f"accept its licence on https://huggingface.co/{wanted.repository} with the token's own user, and let a "
            "fine-grained token read gated repositories",
        )  # fmt: skip
    if answer.status in (401, 403, 404) and elsewhere and not token:
        return unasked("models", asked, hidden)
    if answer.status == 404 or answer.file == 404:
        return fails("models", asked, "no such repository or commit", f"correct {key}.repository or {key}.revision")
    if answer.status == 401 and token:
        return fails(
            "models", asked, "no such repository, or the token is no longer valid (401)",
            f"correct {key}.repository, or make a new token and set dynamo-eks:huggingFaceToken",
        )  # fmt: skip
    if answer.status in (401, 403):
        return fails(
            "models", asked, f"not there, or not for {'this token' if token else 'everybody'} ({answer.status})",
            f"correct {key}.repository, or set dynamo-eks:huggingFaceToken to a token that may read it",
        )  # fmt: skip
    if answer.status != 200 or (answer.file is not None and answer.file >= 400):
        return unasked("models", asked, Unasked(f"answers {answer.file or answer.status}", "try again later"))
    return holds("models", asked, "readable" + (", gated" if answer.gated else ""))


def context(wanted: Wanted, path: str, contexts: Sequence[str] | Unasked | None) -> Line:
    """The context of an existing cluster. `contexts` is None where there is no such file."""
    asked = f"context {wanted.context} of {path}"
    if contexts is None:
        return fails(
            "cluster", asked, "there is no such file", "correct cluster.existing.kubeconfig, or make the cluster first"
        )
    if isinstance(contexts, Unasked):
        return fails("cluster", asked, contexts.why, contexts.todo)
    if wanted.context not in contexts:
        near = nearest(wanted.context or "", contexts)
        there = f"there are {_listed(list(contexts))}" if contexts else "the file has none"
        return fails(
            "cluster", asked, there,
            "correct cluster.existing.context" + (f"; did you mean {near}?" if near else ", or make the cluster first"),
        )  # fmt: skip
    return holds("cluster", asked, "there")


def reachable(wanted: Wanted, why_not: str | None) -> Line:
    asked = f"that the API server of {wanted.context} is ready"
    if why_not is None:
        return holds("cluster", asked, "ready")
    return unasked("cluster", asked, Unasked(why_not, "start the cluster, or look why it does not answer"))


def family_of(instance_type: str) -> str:
    return instances.instance(instance_type).family
