"""Does the plan find what the API server refuses? Both are asked about the same objects with one fault each.

Real: the API server, its admission, the contracts' CRDs. The question is a server-side apply as a dry run with strict
field validation, which is how the Kubernetes provider applies, but for the strictness. Stands in: the NodeClass, whose CRD
is written by hand from the EKS User Guide, so that agreement on it says that two readings of one text agree.
Where the two may differ is told in DIFFERENCES, each row with its reason; a row nothing falls under any more fails.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from schemas.strict import Shapes
from tests.conftest import STACKS, recorded
from tests.engine.control_plane import ControlPlane, Refused, as_sent
from tests.engine.crds import running
from tests.engine.mutants import Mutant, mutants, mutate

NAMESPACE = "strictness"

AT_LEAST = 500
"""Distinct mutants asked about for each family."""

FAMILIES: Mapping[str, frozenset[str]] = {
    "graphs": frozenset({"DynamoGraphDeployment"}),
    "pools": frozenset({"NodePool"}),
    "node classes": frozenset({"NodeClass"}),
    "compute domains": frozenset({"ComputeDomain"}),
    "cliques": frozenset({"PodCliqueSet", "ClusterTopologyBinding", "Topology"}),
    "queues": frozenset({"Queue"}),
    "MPI jobs": frozenset({"MPIJob"}),
}
"""Kinds that are compared together; every other kind that a stack renders belongs to `built-in`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A fault on which the two may disagree."""

    who: str
    """Who alone sees it: `server` or `plan`."""
    family: str
    faults: frozenset[str]
    says: str
    """Pattern of what that one says; every cause of a message must come under such a row."""
    why: str
    example: tuple[str, str, str, Any]
    """Kind, place, fault and value of one such mutant."""


_CODE = "checked by the API server's own code (Kubernetes, pkg/apis/*/validation), of which no schema is published: "
_ANY = frozenset({"misspelt", "added", "missing", "type", "range", "null"})
_VALUES = frozenset({"missing", "range", "null", "type"})
_CONTAINER = "spec.template.spec.containers[0]"


def _by_code(says: str, why: str, example: tuple[str, str, str, Any], faults: frozenset[str] = _VALUES) -> Difference:
    return Difference("server", "built-in", faults, says, _CODE + why, example)


DIFFERENCES = (
    _by_code(
        "Required value",
        "published schemas call few fields required",
        ("Job", f"{_CONTAINER}.image", "missing", None),
        _ANY,
    ),
    _by_code(
        "Unsupported value|must be one of",
        "published schemas have no enumerations",
        ("PersistentVolumeClaim", "spec.accessModes[0]", "range", "x"),
    ),
    _by_code(
        "Not found",
        "a mount that names no volume of its pod",
        ("Job", f"{_CONTAINER}.volumeMounts[0].name", "range", "x"),
    ),
    _by_code(
        r"must consist of|no more than \d+ (characters|bytes)|must be non-empty|must not (start|contain|be)|RFC 1123"
        r"|valid label|valid config key|qualified name|may not (contain|be '\.)|valid DNS|must be an absolute path"
        r"|must be a valid path|valid port name|alphanumeric",
        "the syntax of names inside the object (the plan knows that of its own labels)",
        ("Job", f"{_CONTAINER}.name", "range", "Not A Name"),
        _ANY,
    ),
    _by_code(
        "must be a standard resource type or fully qualified|must be a standard resource for containers|extended resource name",
        "the names of resources, which are keys of an open mapping to every schema",
        ("Job", f"{_CONTAINER}.resources.requests.memory", "misspelt", "memor"),
        frozenset({"misspelt", "added"}),
    ),
    _by_code(
        r"must be (greater than|less than|between|a valid port|an integer|equal)|in the range",
        "bounds, and limits that are lower than requests",
        ("Job", "spec.backoffLimit", "range", -1),
        _VALUES | {"added"},
    ),
    _by_code(
        "Duplicate value",
        "selectors with one key or value twice",
        ("StorageClass", "allowedTopologies[0].matchLabelExpressions[0].values", "range", ["auto", "auto"]),
    ),
    _by_code(
        "must be a valid CIDR",
        "the syntax of address ranges",
        ("Service", "spec.loadBalancerSourceRanges[0]", "range", "10.0.0.0"),
    ),
    _by_code(
        "a valid percent string",
        "how a percentage is written where a number may stand too",
        ("PodDisruptionBudget", "spec.minAvailable", "type", "seven"),
        _VALUES,
    ),
    _by_code(
        "may only be used when|must specify one of|may not be used when|may not be specified when",
        "fields that need or exclude each other",
        ("Service", "spec.type", "missing", None),
    ),
    Difference(
        "server",
        "built-in",
        frozenset({"range"}),
        "cannot unmarshal number",
        "a number beyond 32 bits where it may also be text: the published schema gives it no width",
        ("Service", "spec.ports[0].targetPort", "range", 2**31),
    ),
    Difference(
        "plan",
        "built-in",
        frozenset({"missing", "null"}),
        r"^roleRef\.apiGroup: ",
        "the API server fills it in by code, though its published schema calls it required; the program always gives it",
        ("RoleBinding", "roleRef.apiGroup", "missing", None),
    ),
    Difference(
        "plan",
        "built-in",
        frozenset({"range"}),
        r"^spec\.\S+: is -?\d{19,20}; a whole number is expected",
        "the API server cuts a number that has no room in 64 bits down to 32 and stores another one than was given",
        ("Job", "spec.backoffLimit", "range", 2**63),
    ),
    Difference(
        "server",
        "cliques",
        frozenset({"range"}),
        r"\.spec\.replicas: Invalid value: -?\d+: should be (a non-negative|less than or equal to)",
        "the scale subresource wants a 32-bit number of replicas, and the schema says nothing of it",
        ("PodCliqueSet", "spec.replicas", "range", -1),
    ),
)
"""Where plan and API server may disagree, beside RULES."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule of a CRD that some stack's objects come under: the plan evaluates none of them."""

    family: str
    says: str
    """The rule's message, or a part of it that no other rule has."""
    breaks: Mapping[str, Any]
    """A change that breaks it, as a path of the object and the value there."""


RULES = (
    Rule("graphs", "spec.restart must be unset on create", {"spec.restart": {"id": "1"}}),
    Rule("graphs", "at most one component may have type epp", {"spec.components[0,1].type": "epp"}),
    Rule("graphs", "component names must be unique case-insensitively", {"spec.components[0].name": "Worker"}),
    Rule(
        "graphs",
        "eppConfig may only be set when type is epp",
        {"spec.components[1].eppConfig": {"configMapRef": {"name": "a", "key": "b"}}},
    ),
    Rule("graphs", "minAvailable must be less than or equal to replicas", {"spec.components[1].minAvailable": 2}),
    Rule(
        "graphs",
        "sidecar containers must specify a non-empty image",
        {
            "spec.components[1].podTemplate.spec.containers[0].name": "sidecar",
            "spec.components[1].podTemplate.spec.containers[0].image": "",
        },
    ),
    Rule(
        "graphs",
        "init containers must specify a non-empty image",
        {"spec.components[1].podTemplate.spec.initContainers[0].image": ""},
    ),
    Rule(
        "graphs",
        "podTemplate backend annotation must be mp or ray",
        {"spec.components[1].podTemplate.metadata.annotations": {"nvidia.com/vllm-distributed-executor-backend": "x"}},
    ),
    Rule("pools", "'weight' is not supported on static NodePools", {"spec.replicas": 1, "spec.weight": 1}),
    Rule("pools", "only 'limits.nodes' is supported on static NodePools", {"spec.replicas": 1}),
    Rule("pools", "'schedule' must be set with 'duration'", {"spec.disruption.budgets[0].schedule": "@daily"}),
    Rule("pools", "group may not be empty", {"spec.template.spec.nodeClassRef.group": ""}),
    Rule("pools", "kind may not be empty", {"spec.template.spec.nodeClassRef.kind": ""}),
    Rule("pools", "name may not be empty", {"spec.template.spec.nodeClassRef.name": ""}),
    Rule("pools", "operator 'In' must have a value defined", {"spec.template.spec.requirements[0].values": []}),
    Rule(
        "pools",
        "must have a single positive integer value",
        {"spec.template.spec.requirements[0].operator": "Gt"},
    ),
    Rule("pools", "must have at least that many values", {"spec.template.spec.requirements[1].minValues": 50}),
    *(
        Rule("pools", message, {f"spec.template.{where}": value})
        for key, message in (
            ("karpenter.sh/nodepool", 'label "karpenter.sh/nodepool" is restricted'),
            ("kubernetes.io/hostname", 'label "kubernetes.io/hostname" is restricted'),
            ("karpenter.k8s.aws/made-up", 'label domain "karpenter.k8s.aws" is restricted'),
            ("karpenter.sh/made-up", 'label domain "karpenter.sh" is restricted'),
        )
        for where, value in (("metadata.labels", {key: "a"}), ("spec.requirements[0].key", key))
    ),
    Rule("cliques", "must specify pack or deprecated packDomain", {"spec.template.topologyConstraint.pack": None}),
    Rule("cliques", "nodeLabel must be unique", {"spec.levels[0,1].nodeLabel": "kubernetes.io/hostname"}),
    Rule(
        "cliques",
        "the kubernetes.io/hostname label can only be used at the lowest level",
        {"spec.levels[0].nodeLabel": "kubernetes.io/hostname", "spec.levels[1].nodeLabel": "nvidia.com/gpu.clique"},
    ),
    Rule("cliques", "must not set both", {"spec.template.topologyConstraint.packDomain": "rack"}),
    Rule(
        "cliques",
        "packDomain is deprecated and cannot be used on new workloads",
        {"spec.template.topologyConstraint": {"topologyName": "racks", "packDomain": "rack"}},
    ),
    Rule(
        "cliques",
        "pack must specify at least one of required or preferred",
        {"spec.template.topologyConstraint.pack": {}},
    ),
)

TRANSITIONS = (
    "A computeDomain.spec is immutable",
    "minAvailable is immutable after creation",
    "nodeLabel structure is immutable",
    "Cannot transition NodePool between static",
    "nodeClassRef.group is immutable",
    "nodeClassRef.kind is immutable",
)
"""CEL rules about a change, which one object alone cannot break; test_immutable.py has what cannot change."""

_SHAPES = Shapes.load()


def family_of(kind: str) -> str:
    return next((name for name, kinds in FAMILIES.items() if kind in kinds), "built-in")


def objects() -> dict[str, list[dict[str, Any]]]:
    """By family: what the shipped stacks render, equal objects once, and the samples, all in a namespace of our own."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    samples = yaml.safe_load_all(Path(__file__).with_name("samples.yaml").read_text())
    rendered = [dict(item.manifest) for stack in STACKS for item in recorded(stack).objects]
    for item in [*rendered, *samples]:
        own = as_sent(item)
        if "namespace" in own["metadata"]:
            own["metadata"]["namespace"] = NAMESPACE
        found.setdefault(family_of(own["kind"]), {})[json.dumps(own, sort_keys=True)] = own
    return {family: list(items.values()) for family, items in found.items()}


OBJECTS = objects()


class Judges:
    """The two who are asked, and what came out."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.versions = running()
        self.asked: dict[str, set[str]] = {family: set() for family in OBJECTS}

    def plan(self, obj: Mapping[str, Any]) -> list[str]:
        """What the plan says is wrong."""
        verdict = _SHAPES.check(obj, self.versions)
        assert verdict.state != "not checked", verdict.note
        return [str(fault) for fault in verdict.faults]

    def server(self, obj: Mapping[str, Any]) -> str | None:
        """Why the API server refuses; None when it does not."""
        try:
            self.plane.apply(obj, dry_run=True)
        except Refused as refused:
            # A wrong type ends server-side apply with code 500, so the code tells nothing.
            return refused.message
        return None

    def compare(self, family: str, mutant: Mutant) -> None:
        """Fail unless both agree or the difference is one that is told of."""
        self.asked[family].add(json.dumps(mutant.obj, sort_keys=True))
        offline, server = self.plan(mutant.obj), self.server(mutant.obj)
        if bool(offline) == (server is not None):
            return
        who, says = ("plan", offline) if offline else ("server", causes(server or ""))
        for text in says:
            row = next(self._covering(who, family, mutant.fault, text), None)
            assert row is not None, f"only the {who} sees a fault in {mutant}: {text}"

    def _covering(self, who: str, family: str, fault: str, text: str) -> Iterator[Difference | Rule]:
        for row in DIFFERENCES:
            if row.who == who and family == row.family and fault in row.faults and re.search(row.says, text):
                yield row
        for rule in RULES:
            if who == "server" and rule.family == family and rule.says in text:
                yield rule


def causes(message: str) -> list[str]:
    """The causes in `Kind "name" is invalid: [cause, cause]`; a cause begins with a path and a colon."""
    text = message.split(" is invalid: ", 1)[-1]
    if not text.startswith("["):
        return [text]
    return re.split(
        r", (?=(?:[A-Za-z]+[\w.\[\]/-]*): (?:Required|Invalid|Unsupported|Not found|Duplicate|Forbidden))", text[1:-1]
    )


@pytest.fixture(scope="module")
def judges(control_plane: ControlPlane) -> Iterator[Judges]:
    with control_plane.namespace(NAMESPACE):
        yield Judges(control_plane)


def test_both_accept_what_is_rendered(judges: Judges) -> None:
    """Mutants of an object that is refused as it is would all agree, and prove nothing."""
    for family, items in OBJECTS.items():
        for item in items:
            assert judges.plan(item) == [], (family, item["kind"], item["metadata"]["name"])
            assert judges.server(item) is None, (family, item["kind"], item["metadata"]["name"])


@pytest.mark.sweep("family")
@pytest.mark.parametrize("family", sorted(OBJECTS))
def test_plan_and_server_agree(judges: Judges, family: str) -> None:
    """A fault that only the server sees stops an `up` half-way; one that only the plan sees stops a good stack."""

    @settings(
        max_examples=2000 if family == "built-in" else 1000,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(mutants(OBJECTS[family]))
    def agree(mutant: Mutant) -> None:
        judges.compare(family, mutant)

    agree()
    assert len(judges.asked[family]) >= AT_LEAST


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.family}: {rule.says}")
def test_rules_that_only_the_server_evaluates(judges: Judges, rule: Rule) -> None:
    """The plan does not know CEL. What that leaves to the server is listed, so that nobody counts on the plan for it."""
    obj = copy.deepcopy(next(item for item in OBJECTS[rule.family] if has(item, rule.breaks)))
    for path, value in rule.breaks.items():
        put(obj, path, value)
    assert judges.plan(obj) == []
    assert rule.says in (judges.server(obj) or "accepted")


def test_every_cel_rule_is_listed(judges: Judges) -> None:
    """A new CRD version brings new rules; each is either listed here or evaluated by the plan."""
    known = [rule.says for rule in RULES] + list(TRANSITIONS)
    schemas = {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for crd in judges.plane.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        for version in crd["spec"]["versions"]
    }
    custom = [item for items in OBJECTS.values() for item in items if (item["apiVersion"], item["kind"]) in schemas]
    found = {rule for item in custom for rule in rules_over(schemas[item["apiVersion"], item["kind"]], item)}
    assert {message for message in found if not any(part in message for part in known)} == set()
    assert {part for part in known if not any(part in message for message in found)} == set()


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: f"{row.who}: {row.says[:40]}")
def test_no_difference_is_told_in_vain(judges: Judges, row: Difference) -> None:
    """A row that nothing comes under any more hides the next real disagreement."""
    kind, path, fault, value = row.example
    obj = next(item for item in OBJECTS[row.family] if item["kind"] == kind and has(item, {path: ""}))
    place = tuple(step for alternatives in _steps(path) for step in alternatives)
    mutant = mutate(obj, place, fault, value)
    offline, server = judges.plan(mutant.obj), judges.server(mutant.obj)
    if row.who == "plan":
        assert server is None and re.search(row.says, " ".join(offline))
    else:
        assert not offline and re.search(row.says, server or "accepted")


def rules_over(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Messages of the CEL rules that are evaluated for a value."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule.get("message") or rule["rule"]
    if isinstance(value, Mapping):
        fields, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            below = fields.get(key) or (rest if isinstance(rest, Mapping) else {})
            yield from rules_over(below, item)
    elif isinstance(value, list):
        for item in value:
            yield from rules_over(schema.get("items") or {}, item)


def _steps(path: str) -> list[list[Any]]:
    """`spec.components[0,1].type` as alternatives at each step."""
    steps: list[list[Any]] = []
    for part in re.findall(r"[^.\[\]]+|\[[\d,]+\]", path):
        steps.append([int(number) for number in part[1:-1].split(",")] if part.startswith("[") else [part])
    return steps


def has(obj: Mapping[str, Any], breaks: Mapping[str, Any]) -> bool:
    """Whether the object has what the paths go through."""
    try:
        for path in breaks:
            put(copy.deepcopy(dict(obj)), path, "")
    except (KeyError, IndexError, TypeError):
        return False
    return True


def put(obj: Any, path: str, value: Any) -> None:
    """Put a value at a path; None takes away what is there."""
    *way, last = _steps(path)
    holders = [obj]
    for alternatives in way:
        holders = [holder[step] for holder in holders for step in alternatives]
    for holder in holders:
        for step in last:
            if value is None:
                del holder[step]
            else:
                holder[step] = value
