"""What follows from a change: who is interrupted, what may be lost, what is opened, which versions move. Pure, of two recordings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components import catalog
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from recording import durations
from recording.graph import Graph, Node
from review.blocks import as_json as blocks_of
from review.changes import Change, Changes, Words
from review.edits import held, refused
from review.interruptions import away_minutes
from review.restarts import CLUSTER, GROUP, Restart, found
from rules.graphs import POOL
from rules.models import Served, served
from rules.storage import STATEFUL

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
SERVICE = "kubernetes:core/v1:Service"
SCHEME = "service.beta.kubernetes.io/aws-load-balancer-scheme"
EFS = "efs.csi.aws.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class Interrupted:
    """Workers of one role that a change takes away."""

    graph: str
    role: str
    why: str
    workers: int
    of: int
    """All workers of the role."""
    at_once: bool
    """All together; else one after another."""
    gpus: int
    """Of all these workers."""
    minutes: int | None
    """How long each is away; None where none comes, or nothing is known of the model."""
    ends: bool
    """None comes after it."""
    perhaps: bool
    """Only some of them, or none: it is not known which nodes no longer fit."""
    requests: int | None
    """Of the longest context, which these workers hold when they are full."""

    def line(self) -> str:
        one = self.workers == 1
        all_ = "its only worker" if one else f"{self.workers} workers"
        many = all_ if self.workers == self.of else f"{self.workers} of {self.of} workers"
        order = "" if one else " at once" if self.at_once else ", one after another"
        gpus = f" with {self.gpus} GPU{'s' if self.gpus != 1 else ''}"
        away = (
            f"{'' if one else 'each '}away for about {self.minutes} minutes (assumed)"
            if self.minutes
            else "for how long is not known"
        )
        risk = f"; {self.requests:,} requests fit on them" if self.requests else ""
        unsure = "perhaps " if self.perhaps else ""
        return f"{self.graph} {self.role}: {unsure}{many}{gpus}{order}, {'for good' if self.ends else away}{risk} ({self.why})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Impact:
    """What follows, each as lines for people."""

    restarts: tuple[Restart, ...]
    interrupted: tuple[Interrupted, ...]
    data: tuple[str, ...]
    prepaid: tuple[str, ...]
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    iam: tuple[str, ...]
    network: tuple[str, ...]
    versions: tuple[str, ...]
    refused: tuple[str, ...]
    """What the engine or AWS would not carry out."""
    doubts: tuple[str, ...]
    """What AWS may refuse, by something that is not known here."""
    stateful: tuple[str, ...]
    """What is replaced or deleted of that which cannot be made again, protected or not."""

    @property
    def gpus(self) -> int:
        return sum(item.gpus for item in self.interrupted)


def impact(changes: Changes) -> Impact:
    """Of a comparison, or of what the engine says instead of it."""
    restarting = tuple(found(changes.verdict, changes.differ, changes.old, changes.new))
    faults = refused(held(changes.old), changes.new)
    opened, closed, words = list[str](), list[str](), Words(changes.old, changes.new)
    for name, before, after in _sides(changes):
        opened += [f"{name}: {item}" for item in sorted(after - before)]
        closed += [f"{name}: {item}" for item in sorted(before - after)]
    return Impact(
        restarts=restarting,
        interrupted=tuple(_interrupted(changes, restarting)),
        data=tuple(_data(changes)),
        prepaid=tuple(_prepaid(changes)),
        opened=tuple(map(words.put, opened)),
        closed=tuple(map(words.put, closed)),
        iam=tuple(map(words.put, _widened(changes, _rights))),
        network=tuple(map(words.put, _widened(changes, _ways))),
        versions=tuple(_versions(changes.old, changes.new)),
        refused=(*_protected(changes), *(fault.line() for fault in faults if fault.how != "perhaps")),
        doubts=(*_claims(changes), *(fault.line() for fault in faults if fault.how == "perhaps")),
        stateful=tuple(f"{item.op} {said(item.node)}" for item in changes.of("replace", "delete") if _stateful(item)),
    )


def said(node: Node) -> str:
    """A resource, as people say it."""
    return f"{node.type.rsplit(':', 1)[-1]} {node.name}"


# --- interruptions -------------------------------------------------------------------------------------------------------

STRONGEST = ("end", "again", "drain", "upgrade", "nodes", "misfit", "rolling")


def _interrupted(changes: Changes, restarting: Iterable[Restart]) -> Iterator[Interrupted]:
    later = {(item.graph.node.key, item.role): item for item in served(changes.new)}
    for item in served(changes.old):
        mine = [one for one in restarting if _concerns(one, item)]
        now = later.get((item.graph.node.key, item.role))
        fewer = item.replicas - now.replicas if now else 0
        if mine:
            first = min(mine, key=lambda one: STRONGEST.index(one.how))
            ends = first.how == "end" or now is None
            yield _of(item, now or item, first, item.replicas, ends)
        elif fewer > 0:
            words = f"scales from {item.replicas} to {item.replicas - fewer}"
            yield _of(item, item, Restart(key="", name="", how="end", words=words), fewer, True)


def _concerns(one: Restart, item: Served) -> bool:
    if one.how not in STRONGEST or not item.replicas:
        return False
    if one.key == item.graph.node.key:
        return not one.roles or item.role in one.roles
    selector = item.component.get("podTemplate", {}).get("spec", {}).get("nodeSelector", {})
    if one.key.startswith(f"{CLUSTER}::"):
        return POOL in selector
    if one.key.startswith(f"{GROUP}::"):
        rack = one.name.rpartition("-")[0]
        return selector.get(RACK_LABEL) == rack if RACK_LABEL in selector else RACK_MARK in selector
    return one.how in ("drain", "nodes", "misfit") and selector.get(POOL) == one.name


def _of(item: Served, next_: Served, why: Restart, workers: int, ends: bool) -> Interrupted:
    return Interrupted(
        graph=f"{item.graph.namespace}/{item.graph.name}",
        role=item.role,
        why=why.words,
        workers=workers,
        of=item.replicas,
        at_once=why.how in ("end", "again", "drain"),
        gpus=workers * item.gpus,
        minutes=None if ends else away_minutes(next_, durations.known()),
        ends=ends,
        perhaps=why.how == "misfit",
        requests=item.fit.at_once * workers if item.fit and item.fit.at_once > 0 else None,
    )


# --- what may be lost ----------------------------------------------------------------------------------------------------

LOST: Mapping[str, str] = {
    "aws:efs/fileSystem:FileSystem": "every file on it, the model caches too",
    "aws:efs/backupPolicy:BackupPolicy": "no backup is made from then on",
    "aws:kms/key:Key": "what it encrypted, such as the cluster's secrets, cannot be read any more once its waiting time ends",
    "aws:cloudwatch/logGroup:LogGroup": "the logs written so far",
    CLUSTER: "everything in it",
    "kubernetes:core/v1:Namespace": "everything in it, claims and secrets too",
    "aws:ec2/capacityReservation:CapacityReservation": "capacity that may not come back",
}
"""What goes with a thing that is replaced or deleted."""


def _data(changes: Changes) -> Iterator[str]:
    for item in changes.of("replace", "delete"):
        node = item.before
        if node is None or item.kept:
            continue
        if node.type == CLAIM:
            yield f"{said(node)} ({item.op}d): {_volume(node, changes.old)}"
        elif node.type in LOST:
            yield f"{said(node)} ({item.op}d): {LOST[node.type]}"


def _volume(claim: Node, graph: Graph) -> str:
    name = (claim.inputs.get("spec") or {}).get("storageClassName")
    for node in graph.of(CLASS):
        if (node.inputs.get("metadata") or {}).get("name") == name:
            if node.inputs.get("provisioner") == EFS:
                return "its files stay on EFS"
            if node.inputs.get("reclaimPolicy") == "Retain":
                return "its volume stays (Retain), and a new claim gets another"
    return "its volume and the files on it"


def _stateful(item: Change) -> bool:
    return item.before is not None and (item.before.protect or item.before.type in STATEFUL)


def _protected(changes: Changes) -> Iterator[str]:
    for item in changes:
        if item.refused:
            setting = STATEFUL.get(item.node.type)
            releases = f"; {setting}: false in a `make up` of its own lets it go" if setting else ""
            why = f" for {', '.join(item.causes)}" if item.causes else ""
            yield f"{said(item.node)} is protected and would be {item.op}d{why}: the engine refuses the whole change{releases}"


def _claims(changes: Changes) -> Iterator[str]:
    for item in changes.of("update"):
        for each in item.differences:
            if item.node.type == CLAIM and each.path == "spec.resources.requests.storage":
                yield (
                    f"{said(item.node)}, {each.path}: {each.before} -> {each.after}: the API server takes it only where the "
                    "storage class lets volumes grow, and never a smaller one (Kubernetes, Persistent Volumes)"
                )


def _prepaid(changes: Changes) -> Iterator[str]:
    before, after = ({_block(item): item for item in blocks_of(graph)} for graph in (changes.old, changes.new))
    for key, item in before.items():
        left, now = item.get("hoursLeft"), after.get(key)
        if now is None and left:
            yield f"{key} is given up with {left} usable hours left"
        elif now is not None and left != now.get("hoursLeft"):
            yield f"{key}: {_hours(left)} -> {_hours(now.get('hoursLeft'))}, drained {now.get('drain')} instead of {item.get('drain')}"
    for key, item in after.items():
        if key not in before:
            yield f"{key} is taken into use, with {_hours(item.get('hoursLeft'))}"


def _block(item: Mapping[str, Any]) -> str:
    return f"block {item.get('reservation') or 'by tags'} of {item['name']}"


def _hours(left: Any) -> str:
    return "hours that are not known" if left is None else f"{left} usable hours"


# --- what is opened ------------------------------------------------------------------------------------------------------


def _sides(changes: Changes) -> Iterator[tuple[str, set[str], set[str]]]:
    """Of whatever can be reached: who could, and who will."""
    for item in changes:
        yield said(item.node), set(_reach(item.before)), set(_reach(item.after))


def _reach(node: Node | None) -> Iterator[str]:
    if node is None:
        return
    inputs = node.inputs
    if node.type == CLUSTER:
        access = inputs.get("vpcConfig") or {}
        if access.get("endpointPublicAccess"):
            yield from (f"API server from {cidr}" for cidr in access.get("publicAccessCidrs") or ("0.0.0.0/0",))
    elif node.type == SERVICE and (inputs.get("spec") or {}).get("type") == "LoadBalancer":
        scheme = (inputs["metadata"].get("annotations") or {}).get(SCHEME, "internal")
        ports = ", ".join(str(port.get("port")) for port in inputs["spec"].get("ports", ()))
        for cidr in inputs["spec"].get("loadBalancerSourceRanges") or ("0.0.0.0/0",):
            yield f"{scheme} load balancer, port {ports}, from {cidr}"
    elif node.type.endswith(":SecurityGroupIngressRule"):
        yield _rule(inputs)


def _rule(inputs: Mapping[str, Any]) -> str:
    who = next(
        (
            str(inputs[key])
            for key in ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
            if inputs.get(key)
        ),
        "?",
    )
    ports = (
        "all ports"
        if inputs.get("ipProtocol") == "-1"
        else f"{inputs.get('ipProtocol')} {inputs.get('fromPort')}-{inputs.get('toPort')}"
    )
    return f"{ports}, {who}"


def _widened(changes: Changes, told: Any) -> Iterator[str]:
    """What is there after the change and was not before; ids that a recording made up are the same on both sides."""
    before = {entry for node in changes.old for entry in told(node)}
    for item in changes:
        if item.after is not None:
            new = sorted(entry for entry in set(told(item.after)) if entry not in before)
            yield from (f"{said(item.after)}: {entry}" for entry in new)


def _rights(node: Node) -> Iterator[str]:
    """What somebody may do by it."""
    inputs, kind = node.inputs, node.type.rsplit(":", 1)[-1]
    if kind in ("RolePolicy", "Policy"):
        who = f" ({inputs['name']})" if isinstance(inputs.get("name"), str) else ""
        yield from (f"{line}{who}" for line in _statements(inputs.get("policy")))
    elif kind == "Role" and node.package == "aws":
        yield from (f"may be assumed: {line} ({node.name})" for line in _statements(inputs.get("assumeRolePolicy")))
    elif kind == "RolePolicyAttachment":
        yield f"{inputs.get('role')} gets {inputs.get('policyArn')}"
    elif kind == "AccessEntry":
        yield f"{inputs.get('principalArn')} may enter the cluster"
    elif kind == "AccessPolicyAssociation":
        yield f"{inputs.get('principalArn')} gets {str(inputs.get('policyArn')).rsplit('/', 1)[-1]}"
    elif kind == "PodIdentityAssociation":
        yield f"pods of {inputs.get('namespace')}/{inputs.get('serviceAccount')} get {inputs.get('roleArn')}"
    elif kind in ("Role", "ClusterRole"):
        for rule in inputs.get("rules") or ():
            on = ", ".join(rule.get("resources", rule.get("nonResourceURLs", ())))
            yield from (f"{verb} {on} ({node.name})" for verb in rule.get("verbs", ()))
    elif kind in ("RoleBinding", "ClusterRoleBinding"):
        role = (inputs.get("roleRef") or {}).get("name")
        for who in inputs.get("subjects") or ():
            yield f"{who.get('kind')} {who.get('namespace', '')}/{who.get('name')} gets {role}"


def _statements(policy: Any) -> Iterator[str]:
    """Every action a policy allows, with what on and to whom."""
    try:
        document = json.loads(policy) if isinstance(policy, str) else policy or {}
    except ValueError:
        return
    for statement in _list(document.get("Statement") if isinstance(document, Mapping) else ()):
        if statement.get("Effect") == "Allow":
            to = f" by {json.dumps(statement['Principal'], sort_keys=True)}" if "Principal" in statement else ""
            condition = " under conditions" if statement.get("Condition") else ""
            for action in _list(statement.get("Action")):
                for on in _list(statement.get("Resource")) or [""]:
                    yield f"{action}{f' on {on}' if on else ''}{to}{condition}"


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _ways(node: Node) -> Iterator[str]:
    """Where traffic may go by it, beyond what can be reached from outside."""
    inputs, kind = node.inputs, node.type.rsplit(":", 1)[-1]
    if kind == "SecurityGroupEgressRule":
        yield f"{inputs.get('securityGroupId')} out to {_rule(inputs)}"
    elif kind == "Route":
        yield f"{node.name} to {inputs.get('destinationCidrBlock') or inputs.get('destinationIpv6CidrBlock')}"
    elif kind == "Subnet" and inputs.get("mapPublicIpOnLaunch"):
        yield f"{node.name} gives out public addresses"


# --- versions ------------------------------------------------------------------------------------------------------------

PINNED: Mapping[str, str] = {
    **{f"dynamo-platform {version}": release.why for version, release in catalog.DYNAMO.items()},
    **{
        f"{release.name} {release.version}": release.why
        for table in (catalog.GPU_OPERATOR, catalog.DRA_DRIVER, catalog.EFA_PLUGIN)
        for release in table.values()
    },
}
"""Why a version of a chart is in the catalog."""


def _versions(old: Graph, new: Graph) -> Iterator[str]:
    before, after = _running(old), _running(new)
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            left, right = (", ".join(sorted(side[name])) for side in (before, after))
            yield f"{name}: {left} -> {right}{_note(name, after[name])}"


def _note(name: str, versions: Iterable[str]) -> str:
    notes = []
    for version in versions:
        if name == "Kubernetes" and (release := catalog.KUBERNETES.get(version)):
            end = release.standard_support_ends
            notes.append(f"standard support ends {end}" if end else "AWS has not said when standard support ends")
        notes += [why for key, why in PINNED.items() if key == f"{name.rsplit('/', 1)[-1]} {version}"]
    return f" ({'; '.join(notes)})" if notes else ""


def _running(graph: Graph) -> dict[str, set[str]]:
    """Every version that is pinned, by what it is of."""
    seen: dict[str, set[str]] = {}

    def add(name: str, version: Any) -> None:
        if isinstance(version, str):
            seen.setdefault(name, set()).add(version)

    for node in graph:
        if node.type == CLUSTER:
            add("Kubernetes", node.inputs.get("version"))
        elif node.type == GROUP:
            add(f"AMI of {node.name}", node.inputs.get("releaseVersion"))
        elif node.type.endswith(":Addon"):
            add(f"add-on {node.inputs.get('addonName')}", node.inputs.get("addonVersion"))
    for node in graph.releases:
        add(f"chart/{str(node.inputs.get('chart')).rsplit('/', 1)[-1]}", node.inputs.get("version"))
    for item in graph.objects:
        for image in _images(item.manifest):
            repository, _, tag = image.rpartition(":")
            add(f"image {repository}", tag)
    for role in served(graph):
        add(f"model of {role.graph.namespace}/{role.graph.name} {role.role}", role.started.model)
    return seen


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "image" and isinstance(item, str) and ":" in item:
                yield item
            else:
                yield from _images(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _images(item)
