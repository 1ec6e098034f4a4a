"""What a destroy is checked for before it starts, and what it leaves behind.

Measured on engine 3.259: with one protected resource, `pulumi destroy` deletes nearly everything else first and then
fails on it. So whatever would stop it half way is looked for before the engine starts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from operations.cluster_finder import Cluster, Unreachable
from operations.credentials import Access, NoIdentity
from operations.lookup import RELEASE
from operations.state import Resource, State, words
from rules.storage import STATEFUL

CLUSTER = "aws:eks/cluster:Cluster"
FILE_SYSTEM = "aws:efs/fileSystem:FileSystem"
KEY = "aws:kms/key:Key"
GROUP = "aws:eks/nodeGroup:NodeGroup"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
BACKUP = "aws:efs/backupPolicy:BackupPolicy"

SETTINGS = {**STATEFUL, "eks:index:Cluster": STATEFUL[CLUSTER]}
"""What releases a type. The cluster's component hands its protection on to its roles and all else in it."""


@dataclass(frozen=True)
class Obstacle:
    """Something that would stop a destroy half way."""

    what: str
    why: str
    release: str
    """What lets it go."""


def obstacles(state: State, *, keep_protected: bool) -> list[Obstacle]:
    """What stands in the way of a destroy."""
    found = []
    if not keep_protected:
        found = [Obstacle(words(item), "is protected", release(item, state)) for item in state.protected]
    for item in state.resources:
        # Protected and kept, nobody asks EKS.
        if item.type == CLUSTER and item.inputs.get("deletionProtection") and not (keep_protected and item.protect):
            found.append(
                Obstacle(
                    words(item), "EKS itself refuses to delete it", "cluster.deletionProtection: false, then `make up`"
                )
            )
    return found


def release(resource: Resource, state: State) -> str:
    """What lets a protected resource go: the setting of its type, or of the component that it is protected with."""
    by_urn = {item.urn: item for item in state.resources}
    asked: Resource | None = resource
    while asked is not None:
        setting = SETTINGS.get(asked.type)
        if setting is not None:
            return f"{setting}: false, then `make up`"
        asked = by_urn.get(asked.raw.get("parent") or "")
    # Protected by hand, with `pulumi state protect`: no setting of ours knows of it.
    return f"pulumi state unprotect '{resource.urn}'"


def in_cluster(state: State) -> list[Resource]:
    """Objects of the stack in a cluster."""
    return [item for item in state.resources if item.type.startswith("kubernetes:") and item.id]


def clusters(state: State) -> dict[str, Cluster]:
    """The clusters that hold objects of the stack, by the URN of their provider."""
    providers = {item.provider: state.provider_of(item) for item in in_cluster(state)}
    return {urn: Cluster.of(provider) for urn, provider in providers.items() if provider is not None}


def dead_operators(cluster: Cluster, state: State) -> list[str]:
    """Deployments of the stack's Helm releases that want a pod and have none.

    Their custom resources carry finalizers that only they take off: a destroy would wait for each until its timeout.
    """
    dead = []
    namespaces = {item.inputs.get("namespace") or "default" for item in state.resources if item.type == RELEASE}
    for namespace in sorted(namespaces):
        found = cluster.ask("get", "deployments.apps", "--namespace", namespace) or {}
        dead += [f"{namespace}/{item['metadata']['name']}" for item in found.get("items") or () if _dead(item)]
    return dead


def _dead(deployment: dict[str, Any]) -> bool:
    wanted = deployment["spec"].get("replicas", 1)
    return wanted > 0 and not (deployment.get("status") or {}).get("availableReplicas")


def unanswered(state: State) -> list[str]:
    """Why the objects in the cluster could not be taken down in order; empty when they could."""
    if not in_cluster(state):
        return []
    try:
        found = clusters(state)
        for cluster in found.values():
            cluster.check()
    except Unreachable as error:
        return [
            f"{len(in_cluster(state))} objects are in a cluster that does not answer ({error}). Their finalizers need living "
            "operators, and volumes and load balancers that the cluster made would stay and be billed."
        ]
    try:
        dead = [name for cluster in found.values() for name in dead_operators(cluster, state)]
    except Unreachable as error:
        return [str(error)]
    return [f"{name} has no pod available; what it finalizes would never end" for name in dead]


@dataclass(frozen=True)
class Left:
    """Something that a destroy leaves, and why."""

    what: str
    why: str


def left_in_state(before: State, after: State, failed: Collection[str] = ()) -> list[Left]:
    """What the state still holds; `failed` are the URNs of which the engine reported an error."""
    kept = before.kept_with_protected()
    found = []
    for item in after.resources:
        if item.protect:
            why = f"protected ({release(item, after)})"
        elif kept.get(item.urn):
            names = sorted(set(kept[item.urn]))
            why = f"needed by {', '.join(names[:3])}{' and others' * (len(names) > 3)}, which is protected"
        elif item.urn in failed:
            why = "not deleted: its own error is above; run `make destroy` again when the cause is gone"
        else:
            why = "not deleted: the destroy ended before it; run `make destroy` again"
        found.append(Left(words(item), why))
    return found


def left_outside(before: State, after: State) -> list[Left]:
    """What exists on although the state has forgotten it."""
    still = {item.urn for item in after.resources}
    gone = [item for item in before.resources if item.urn not in still]
    return [left for item in gone for left in _leaves(item)]


def _leaves(item: Resource) -> Iterable[Left]:
    if item.retained:
        yield Left(f"{words(item)} {item.id}", "kept on purpose (retain on delete): it holds for the whole account")
    elif item.type == KEY:
        days = item.inputs.get("deletionWindowInDays", 30)
        yield Left(
            f"{words(item)} {item.id}", f"KMS deletes it after {days} days; until then it can be called back, unbilled"
        )
    elif item.type == BACKUP:
        yield Left(f"recovery points of {item.id}", "AWS Backup keeps them for as long as their own lifecycle says")
    elif item.type == TEMPLATE:
        block = _block(item)
        if block:
            yield Left(f"reservation {block}", "prepaid and not made here; it ends when it ends")


def _block(template: Resource) -> str | None:
    given = template.inputs.get("capacityReservationSpecification") or {}
    return (given.get("capacityReservationTarget") or {}).get("capacityReservationId")


CLUSTER_TAGS = ("eks:eks-cluster-name", "aws:eks:cluster-name", "eks:cluster-name")
"""Tags whose value is the name of the cluster. The first is on all that Auto Mode makes, nodes of the built-in pools, volumes,
load balancers and security groups among them (AmazonEKSComputePolicy, AmazonEKSBlockStoragePolicy and
AmazonEKSLoadBalancingPolicy demand it of each request); the others on what EKS makes for a cluster and its node groups."""

OWNED_TAG = "kubernetes.io/cluster/{name}"
"""Tag of nodes and security groups, `owned` by the cluster that it names."""


def _asked_by(tags: dict[str, str], orphaned: Iterable[str]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """What to say of a find, and the tags to look by: the stack's own, and those of each cluster that is gone.

    What a living cluster has made is no leftover, and is not asked for.
    """
    wanted = [{"Key": key, "Values": [tags[key]]} for key in ("project", "stack")]
    yield "carries the stack's tags; if it is still there, look who made it", wanted
    for name in orphaned:
        why = f"carries the name of cluster {name}, which is gone and took nothing of it along; look, and delete it"
        yield from ((why, [{"Key": key, "Values": [name]}]) for key in CLUSTER_TAGS)
        yield why, [{"Key": OWNED_TAG.format(name=name)}]


def tagged_things(
    state: State, session: Any = None, access: Access | None = None, *, after: State | None = None
) -> Sequence[Left] | str:
    """What in AWS still carries the stack's tags or those of its cluster, or why that cannot be known.

    Volumes, interfaces, load balancers and instances that the cluster made carry the stack's tags too, but nodes of the built-in
    pools do not, nor what an older version of this program let the cluster make. `after` is the state when the destroy
    has ended; without it no cluster is taken for gone.
    """
    provider = next(iter(state.providers("aws")), None)
    if provider is None:
        return []
    given = provider.inputs.get("defaultTags") or {}
    tags = (json.loads(given) if isinstance(given, str) else given).get("tags") or {}
    if not {"project", "stack"} <= tags.keys():
        return "the state holds no tags to look by"
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return "boto3 is not installed"
    try:
        client = (session or (access or Access.of_state(state)).session()).client(
            "resourcegroupstaggingapi", region_name=provider.inputs.get("region")
        )
        found: dict[str, str] = {}
        for why, wanted in _asked_by(tags, _gone(state, after)):
            for page in client.get_paginator("get_resources").paginate(TagFilters=wanted):
                for item in page["ResourceTagMappingList"]:
                    found.setdefault(item["ResourceARN"], why)
    except (BotoCoreError, ClientError, NoIdentity) as error:
        return f"AWS cannot be asked: {error}"
    ids = [item.id for item in state.resources if item.id]
    # The list lags behind: what has just been deleted stays in it for hours.
    return [
        Left(arn, why)
        for arn, why in sorted(found.items())
        if not any(arn.endswith((f"/{id_}", f":{id_}")) for id_ in ids)
    ]


def _gone(before: State, after: State | None) -> list[str]:
    """Names of the clusters that a destroy has deleted."""
    if after is None:
        return []
    still = {item.urn for item in after.resources}
    return [item.inputs["name"] for item in before.resources if item.type == CLUSTER and item.urn not in still]


REMADE = (
    "made again by what was written to it last, with none of the stack's tags; it never expires, is billed by the gigabyte, and the "
    "next `make up` fails on its name. `aws logs delete-log-group --log-group-name {name}`"
)
"""Of a log group. EKS delivers the last lines of a control plane after the cluster has gone, and makes the group for them where
it has gone too (terraform-aws-modules/terraform-aws-eks #2763, #2486)."""


def log_groups(before: State, after: State, session: Any = None, access: Access | None = None) -> Sequence[Left] | str:
    """Log groups that are there although the state has forgotten them, or why they cannot be known.

    No tag leads to them. Asked for by name: what the stack made, and what EKS makes for a cluster that is gone.
    """
    provider = next(iter(before.providers("aws")), None)
    still = {_log_group(item) for item in after.resources if item.type == LOG_GROUP}
    names = {_log_group(item) for item in before.resources if item.type == LOG_GROUP}
    names |= {f"/aws/eks/{name}/cluster" for name in _gone(before, after)}
    wanted = sorted(name for name in names - still if name)
    if not wanted or provider is None:
        return []
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return "boto3 is not installed"
    try:
        client = (session or (access or Access.of_state(before)).session()).client(
            "logs", region_name=provider.inputs.get("region")
        )
        return [
            Left(f"log group {name}", REMADE.format(name=name))
            for name in wanted
            for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
            for group in page["logGroups"]
            # A prefix is all that can be asked for.
            if group["logGroupName"] == name
        ]
    except (BotoCoreError, ClientError, NoIdentity) as error:
        return f"AWS cannot be asked: {error}"


def _log_group(item: Resource) -> str:
    return item.inputs.get("name") or item.id or ""


def access_points(after: State, session: Any = None, access: Access | None = None) -> Sequence[Left] | str:
    """Access points on file systems that a destroy has kept, or why they cannot be known.

    The add-on lets nobody tag them (aws/containers-roadmap #2755), so that they are found by their file system alone. With a file
    system EFS deletes its access points.
    """
    kept = [item for item in after.resources if item.type == FILE_SYSTEM and item.id]
    provider = next(iter(after.providers("aws")), None)
    if not kept or provider is None:
        return []
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return "boto3 is not installed"
    try:
        client = (session or (access or Access.of_state(after)).session()).client(
            "efs", region_name=provider.inputs.get("region")
        )
        return [
            Left(
                point["AccessPointId"], f"an access point on {words(item)}, unbilled; the claim it was made for is gone"
            )
            for item in kept
            for page in client.get_paginator("describe_access_points").paginate(FileSystemId=item.id)
            for point in page["AccessPoints"]
        ]
    except (BotoCoreError, ClientError, NoIdentity) as error:
        return f"AWS cannot be asked: {error}"
