"""Which questions are asked, in which order they are told, and who asks them at the same time.

`core` needs no special right and asks STS alone; `run` is everything. Judging is done in `judge.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operations.credentials import Caller
from operations.preflight import judge, quotas, registries
from operations.preflight.asker import Asker
from operations.preflight.lines import Line, Refused, Unasked, unasked
from operations.preflight.quotas import Quota
from operations.preflight.registries import Image, Login
from operations.preflight.wanted import ReservationWanted, Wanted
from recording.aws_types import ALWAYS, CARDS

WORKERS = 16
"""Questions asked at once: nearly all of the time is waiting."""

ACTIONS_AT_ONCE = 50
"""Actions in one simulation; IAM takes no more than 100 KB of answer a page."""

HOME = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Region of a partition that every account has, where it is not us-east-1."""


@dataclass(frozen=True)
class Secrets:
    """Secrets that questions need; never told, and on no command line."""

    token: str | None = None
    """Of Hugging Face."""
    token_from: str = ""
    """Where it was found."""
    login: Login | None = None
    """Of the registry that the stack logs in to."""


CORE = frozenset({"identity", "account"})
"""Checks that any identity can be asked for; without them nobody knows whose account it is."""


def core(wanted: Wanted, caller: Caller | Unasked | None) -> list[Line]:
    """What needs no right beyond asking who one is. `caller` is None for a stack without AWS."""
    placeholders = judge.placeholders(wanted.to_fill_in)
    if caller is None:
        return placeholders
    return [judge.identity(caller), judge.account(wanted, caller), *placeholders, judge.deployer(wanted, caller)]


def who(asker: Asker) -> Caller | Unasked:
    """Who is asking."""
    answer = asker.aws("sts", "get_caller_identity")
    if isinstance(answer, Refused):
        return Unasked(f"{answer.code}: {answer.message}", "see that these credentials are valid")
    return answer if isinstance(answer, Unasked) else Caller(answer["Account"], answer["Arn"])


def run(wanted: Wanted, asker: Asker, secrets: Secrets, at: Any, cluster: Cluster | None = None) -> list[Line]:
    """Everything, in the order in which it helps to read it."""
    caller = who(asker) if wanted.aws else None
    lines = core(wanted, caller)
    asked: list[Callable[[], list[Line]]] = []
    if wanted.aws:
        if other := _not_here(wanted, caller):
            lines.append(unasked("account", ", ".join(AWS_CHECKS), other))
        else:
            asked += [_bound(check, wanted, asker, caller, at) for check in AWS_CHECKS.values()]
    elif cluster is not None:
        asked.append(lambda: cluster_lines(wanted, cluster))
    asked += [_bound(check, wanted, asker, secrets) for check in WORLD_CHECKS]
    with ThreadPoolExecutor(WORKERS) as pool:
        for found in pool.map(lambda ask: ask(), asked):
            lines += found
    return lines


def _bound(check: Callable[..., Iterator[Line]], *arguments: Any) -> Callable[[], list[Line]]:
    return lambda: list(check(*arguments))


def _not_here(wanted: Wanted, caller: Caller | Unasked | None) -> Unasked | None:
    """Why the account cannot be asked anything; None when it can. Another account's answers would say nothing."""
    if isinstance(caller, Unasked):
        return caller
    if caller and wanted.accounts and not wanted.unfilled("account") and caller.account not in wanted.accounts:
        return Unasked(f"these credentials are of {caller.account}", "take those of the stack's account, and ask again")
    return None


# --- AWS -------------------------------------------------------------------------------------------------------------


def _admins(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    if wanted.unfilled("cluster.admins"):
        return
    for arn in wanted.admins:
        owner, _, path = arn.partition(":iam::")[2].partition(":")
        if owner != caller.account:
            continue  # IAM answers for its own account alone
        kind, _, name = path.partition("/")
        operation, key = ("get_role", "RoleName") if kind == "role" else ("get_user", "UserName")
        yield judge.admin(arn, asker.aws("iam", operation, **{key: name.rpartition("/")[2]}))


def _region(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    name = wanted.region or ""
    home = HOME.get(caller.arn.split(":")[1], "us-east-1")
    answer = asker.aws("ec2", "describe_regions", region=home, RegionNames=[name], AllRegions=True)
    if isinstance(answer, Refused) and answer.code == "InvalidParameterValue":
        answer = {"Regions": []}
    yield judge.region(name, answer)


def _zone_answer(asker: Asker) -> Any:
    return asker.aws("ec2", "describe_availability_zones", AllAvailabilityZones=True)


def _zones(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    yield from judge.zones(wanted, _zone_answer(asker))


def _reservations(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    for item in wanted.reservations:
        if wanted.unfilled(item.key):
            continue  # told as a placeholder
        yield from judge.reservations(item, _reservation(asker, item), at)
        if item.ultra_server:
            yield judge.ultra_server(item, asker.aws("ec2", "describe_capacity_blocks"))


def _reservation(asker: Asker, item: ReservationWanted) -> Any:
    if item.id:
        return asker.aws("ec2", "describe_capacity_reservations", CapacityReservationIds=[item.id])
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(item.tags.items())]
    return asker.aws("ec2", "describe_capacity_reservations", Filters=filters)


def _quotas(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    for item in wanted.vcpus:
        yield judge.vcpus(item, {option: _quota(asker, quota) for option, quota in item.options.items()})
    to_buy: dict[str, int] = {}
    for item in wanted.reservations:
        if item.block and wanted.unfilled(item.key):
            family = judge.family_of(item.instance_type)
            to_buy[family] = to_buy.get(family, 0) + item.vcpu
    for family, vcpu in to_buy.items():
        yield judge.block_quota(family, vcpu, _block_quota(asker, family))
    for item in wanted.counts:
        used = 0 if item.used is None else _used(wanted, asker, item.used)
        yield judge.count(item, _quota(asker, item.quota), used)


def _quota(asker: Asker, quota: Quota) -> float | Unasked | Refused:
    """A quota's value in this account; one that was never changed may be told by its default alone."""
    answer = asker.aws("service-quotas", "get_service_quota", ServiceCode=quota.service, QuotaCode=quota.code)
    if isinstance(answer, Refused) and answer.code == "NoSuchResourceException":
        answer = asker.aws(
            "service-quotas", "get_aws_default_service_quota", ServiceCode=quota.service, QuotaCode=quota.code
        )
    return answer if isinstance(answer, Unasked | Refused) else float(answer["Quota"]["Value"])


def _block_quota(asker: Asker, family: str) -> float | Unasked | Refused | None:
    """The quota of Capacity Blocks of a family: by its code, or by its name where none is known. None when there is none."""
    if family in quotas.BLOCKS:
        return _quota(asker, quotas.BLOCKS[family])
    answer = asker.aws("service-quotas", "list_service_quotas", ServiceCode="ec2")
    if isinstance(answer, Unasked | Refused):
        return answer
    for item in answer.get("Quotas") or ():
        words = item["QuotaName"].lower().replace("-", " ")
        # One is of the account and one of its organization, which need not be ours to use up.
        if (
            "capacity block" in words
            and f" {family.replace('-', ' ')} " in f" {words} "
            and "organization" not in words
        ):
            return float(item["Value"])
    return None


_USED: Mapping[str, tuple[str, str, str]] = {
    "vpcs": ("ec2", "describe_vpcs", "Vpcs"),
    "gateways": ("ec2", "describe_internet_gateways", "InternetGateways"),
    "addresses": ("ec2", "describe_addresses", "Addresses"),
    "nat": ("ec2", "describe_nat_gateways", "NatGateways"),
    "endpoints": ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    "files": ("efs", "describe_file_systems", "FileSystems"),
    "clusters": ("eks", "list_clusters", "clusters"),
}
"""Question that lists what counts against a quota: service, operation, key of the list."""


def _used(wanted: Wanted, asker: Asker, what: str) -> int | Unasked | Refused:
    """How many there are that are not the stack's own."""
    service, operation, key = _USED[what]
    answer = asker.aws(service, operation)
    if isinstance(answer, Unasked | Refused):
        return answer
    others = [item for item in answer.get(key) or () if not _ours(wanted, item)]
    if what == "nat":
        per_zone: dict[str, int] = {}
        for item in others:
            if item.get("State") in ("pending", "available"):
                zone = item.get("AvailabilityZoneId") or item.get("SubnetId", "")
                per_zone[zone] = per_zone.get(zone, 0) + 1
        return max(per_zone.values(), default=0)
    if what == "endpoints":
        others = [item for item in others if item.get("VpcEndpointType") == "Gateway"]
    return len(others)


def _ours(wanted: Wanted, item: Any) -> bool:
    if isinstance(item, str):
        return item == wanted.cluster_name
    tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags") or ()}
    return tags.get("project") == "dynamo-eks" and tags.get("stack") == wanted.stack


def _offerings(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    answer = _zone_answer(asker)
    network = () if isinstance(answer, Unasked | Refused) else judge.network_zones(wanted, answer)[0]
    for pool in wanted.pools:
        if not pool.zone_ids and not network:
            why = answer if isinstance(answer, Unasked) else Unasked("the network's zones are not known", "see zones")
            yield unasked("offerings", f"what pool {pool.name} may launch", why)
            continue
        types = sorted({*pool.types, *(graph.type for graph in pool.graphs)})
        found = asker.aws(
            "ec2", "describe_instance_type_offerings", LocationType="availability-zone-id",
            Filters=[{"Name": "instance-type", "Values": types}],
        )  # fmt: skip
        yield from judge.offerings(pool, network, found)


def _versions(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    version = wanted.kubernetes
    yield judge.kubernetes(wanted, asker.aws("eks", "describe_cluster_versions", clusterVersions=[version]))
    for name, release in wanted.addons:
        answer = asker.aws("eks", "describe_addon_versions", kubernetesVersion=version, addonName=name)
        yield judge.addon(wanted, name, release, answer)
    for type_, minor, release in wanted.amis:
        found = asker.aws("ssm", "get_parameter", Name=judge.ami_name(type_, minor, release))
        now = asker.aws("ssm", "get_parameter", Name=judge.ami_recommended(type_, minor))
        yield judge.ami(type_, minor, release, found, now)


def _subnets(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    if wanted.subnets:
        ids = sorted({item.id for item in wanted.subnets})
        yield from judge.subnets(wanted, asker.aws("ec2", "describe_subnets", SubnetIds=ids))


def _names(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    cluster = asker.aws("eks", "describe_cluster", name=wanted.cluster_name)
    yield judge.cluster_name(wanted, cluster)
    # Where there is a cluster, log groups are what it writes to.
    for name in wanted.log_groups if judge.absent(cluster) else ():
        groups = asker.aws("logs", "describe_log_groups", logGroupNamePrefix=name)
        found = judge.log_group_of(name, groups)
        arn = found and found["arn"].removesuffix(":*")
        tags = asker.aws("logs", "list_tags_for_resource", resourceArn=arn) if arn else None
        yield judge.log_group(wanted, name, groups, tags)


def actions(types: Sequence[str]) -> list[str]:
    """IAM actions that a stack of these types needs."""
    cards = [CARDS[type_] for type_ in types if type_ in CARDS]
    return sorted({*ALWAYS, *(action for card in cards for action in card.actions)})


def _rights(wanted: Wanted, asker: Asker, caller: Caller, at: Any) -> Iterator[Line]:
    needed, principal = actions(wanted.types), caller.principal
    role: Any = None
    if ":assumed-role/" in caller.arn:
        # The ARN of a session has no path, and IAM simulates none but the role's own.
        name = principal.rpartition("/")[2]
        role = asker.aws("iam", "get_role", RoleName=name)
        if not isinstance(role, Unasked | Refused):
            principal = role["Role"]["Arn"]
    elif ":user/" not in caller.arn:
        yield unasked("rights", "what this identity may do", Unasked("IAM simulates roles and users alone"))
        return
    context = [
        {
            "ContextKeyName": "aws:RequestedRegion",
            "ContextKeyValues": [wanted.region],
            "ContextKeyType": "string",
        }
    ]
    answers = [
        asker.aws(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=principal,
            ActionNames=needed[at_ : at_ + ACTIONS_AT_ONCE],
            ContextEntries=context,
        )
        for at_ in range(0, len(needed), ACTIONS_AT_ONCE)
    ]
    if isinstance(role, Unasked) and any(isinstance(item, Refused) for item in answers):
        answers = [role]  # a role with a path, which nobody may tell us
    yield judge.rights(principal, needed, answers)


AWS_CHECKS: Mapping[str, Callable[..., Iterator[Line]]] = {
    "region": _region,
    "zones": _zones,
    "reservations": _reservations,
    "quotas": _quotas,
    "offerings": _offerings,
    "versions": _versions,
    "subnets": _subnets,
    "names": _names,
    "admins": _admins,
    "rights": _rights,
}
"""Everything that is asked of an account, in the order in which it is told."""


# --- the world -------------------------------------------------------------------------------------------------------


def _images(wanted: Wanted, asker: Asker, secrets: Secrets) -> Iterator[Line]:
    for reference in wanted.images:
        image = Image.of(reference)
        if image.ecr:
            account, region = image.ecr
            kind = "imageDigest" if image.reference.startswith("sha256:") else "imageTag"
            answer = asker.aws(
                "ecr", "describe_images", region=region, registryId=account, repositoryName=image.repository,
                imageIds=[{kind: image.reference}],
            )  # fmt: skip
            yield judge.ecr_image(reference, answer)
            continue
        yield judge.image(reference, registries.manifest(asker, image, secrets.login), _hidden(wanted, image, secrets))


def _hidden(wanted: Wanted, image: Image, secrets: Secrets) -> Unasked | None:
    """Why nodes may be let in where we are not; None when they have no login either."""
    if wanted.pulls_with_secret:
        return Unasked("nodes log in with a Secret of the cluster", "look with `docker manifest inspect`")
    if wanted.login and secrets.login is None and Login(*wanted.login, "").is_for(image.registry):
        return Unasked("the stack's imagePullPassword cannot be read here", "log in to the stack's secrets provider")
    return None


def _charts(wanted: Wanted, asker: Asker, secrets: Secrets) -> Iterator[Line]:
    for item in wanted.charts:
        yield judge.chart(item, registries.chart(asker, item))
    for url in wanted.files:
        yield judge.file(url, registries.readable(asker, url))


def _models(wanted: Wanted, asker: Asker, secrets: Secrets) -> Iterator[Line]:
    for item in wanted.models:
        answer = registries.model(asker, item.repository, item.revision, secrets.token)
        where = secrets.token_from if secrets.token else None
        yield judge.model(item, answer, where, elsewhere=wanted.token_in_cluster)


WORLD_CHECKS: Sequence[Callable[..., Iterator[Line]]] = (_images, _charts, _models)


# --- a cluster that is there -----------------------------------------------------------------------------------------


class Cluster:
    """The cluster of `cluster.existing`, as this machine sees it."""

    def contexts(self, path: str) -> Sequence[str] | Unasked | None:
        """Contexts of a kubeconfig; None when there is no such file."""
        file = Path(path).expanduser()
        try:
            document = yaml.safe_load(file.read_bytes())
            return [str(item["name"]) for item in (document or {}).get("contexts") or ()]
        except FileNotFoundError:
            return None
        except OSError as error:
            return Unasked(f"cannot be read: {error.strerror}", "see who may read it")
        except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
            return Unasked("is no kubeconfig", "correct cluster.existing.kubeconfig")

    def why_not(self, path: str, context: str) -> str | None:
        """Why the API server cannot be used; None when it is ready."""
        from operations.cluster_finder import Cluster as Asked
        from operations.cluster_finder import Unreachable

        try:
            Asked(str(Path(path).expanduser()), context).check()
        except Unreachable as error:
            return str(error)
        return None


def cluster_lines(wanted: Wanted, cluster: Cluster) -> list[Line]:
    path = wanted.kubeconfig or ""
    contexts = cluster.contexts(path)
    lines = [judge.context(wanted, path, contexts)]
    if isinstance(contexts, list) and wanted.context in contexts:
        lines.append(judge.reachable(wanted, cluster.why_not(path, wanted.context or "")))
    return lines
