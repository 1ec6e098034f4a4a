"""What the JSON schema of a stack file says of keys that go together or exclude each other.

Each entry is `if` a part of the file looks so, `then` another must look so. A graph with a preset has more keys than are
written, so that only what is written itself is held against what is written beside it. The checks in `stacks/checks/` stay
the judge: what a schema says too strictly would underline what is right (`tests/stacks/test_mutants.py`).
"""

from __future__ import annotations

from typing import Any

from components import catalog

Part = dict[str, Any]

NOWHERE: Part = {"not": {}}
"""A key that may not be there."""

ROLES = ("worker", "prefill", "decode")
TEXT: Part = {"type": "string"}
SOME_OBJECT: Part = {"type": "object", "minProperties": 1}
ABSENT: Part = {"type": "null"}
"""A key that is null says as much as one that is absent."""


def has(**keys: Part) -> Part:
    """A mapping with these keys, each looking so."""
    return {"required": list(keys), "properties": keys}


def may(**keys: Part) -> Part:
    """A mapping in which these keys look so, where they are there."""
    return {"properties": keys}


def when(given: Part, then: Part) -> Part:
    return {"if": given, "then": then}


def each_role(part: Part) -> Part:
    return may(**dict.fromkeys(ROLES, part))


def any_role(part: Part) -> Part:
    return {"anyOf": [has(**{role: part}) for role in ROLES]}


ON_RACK: Part = {
    "anyOf": [
        has(placement={"anyOf": [has(ultraServer=TEXT), has(anyUltraServer={"const": True})]}),
        any_role(has(ultraServer=TEXT)),
    ]
}
OFF_RACK: Part = {"allOf": [has(placement=has(pool=TEXT)), {"not": ON_RACK}]}

GRAPH: list[Part] = [
    when(has(worker=SOME_OBJECT), may(transport={"const": "none"})),
    when(has(prefill={"type": "object"}, decode={"type": "object"}), may(transport={"not": {"const": "none"}})),
    when(has(backend={"enum": ["vllm", "sglang", "trtllm"]}), each_role(may(gpus={"not": {"const": 0}}))),
    when(
        has(backend={"const": "mocker"}),
        {
            "allOf": [
                each_role({"anyOf": [{"type": "null"}, has(gpus={"const": 0})]}),
                may(transport={"enum": ["tcp", "none"]}),
                may(placement=may(pool=ABSENT, instanceType=ABSENT)),
            ]
        },
    ),
    when(
        ON_RACK,
        may(
            placement=may(pool=ABSENT, instanceType=ABSENT, zone=ABSENT, reservedOnly={"const": False}),
            backend={"not": {"const": "mocker"}},
            transport={"not": {"const": "tcp"}},
        ),
    ),
    when(
        # A preset may bring its placement along, and the mocker needs none.
        {"not": {"anyOf": [has(preset=TEXT), has(backend={"const": "mocker"})]}},
        {"anyOf": [ON_RACK, has(placement=has(pool=TEXT))]},
    ),
    when(
        has(placement=has(anyUltraServer={"const": True})),
        {"allOf": [may(placement=may(ultraServer=ABSENT)), each_role(may(ultraServer=ABSENT))]},
    ),
    when(
        OFF_RACK,
        {
            "allOf": [
                may(computeDomain={"enum": ["none", None]}, transport={"not": {"const": "nvlink"}}),
                may(weights={"not": {"const": "nvme"}}),
                each_role(may(nodes={"const": 1})),
            ]
        },
    ),
    when(has(transport={"enum": ["tcp", "none", "nvlink"]}), each_role(may(hugePagesMib=ABSENT))),
    when(has(backend={"const": "trtllm"}), each_role(may(dataParallel={"const": 1}))),
    when(has(backend={"enum": ["vllm", "mocker"]}), each_role(may(attentionDataParallel={"const": False}))),
    when(has(backend={"enum": ["vllm", "sglang", "mocker"]}), each_role(may(engine={"maxProperties": 0}))),
]

EXPOSURE: list[Part] = [
    when(
        {"anyOf": [has(scheme={"const": "public"}), has(allowedCidrs={"type": "array", "minItems": 1})]},
        has(type={"const": "nlb"}),
    ),
    when(has(type={"const": "nlb"}), has(allowedCidrs={"type": "array", "minItems": 1})),
]

EFS: list[Part] = [
    when(has(throughput={"const": "provisioned"}), has(provisionedMibps={"type": "integer"})),
    when(has(provisionedMibps={"type": "integer"}), has(throughput={"const": "provisioned"})),
]

PULL_SECRET: Part = {
    "oneOf": [
        {"allOf": [has(existing={"type": "string", "minLength": 1}), may(server=ABSENT)]},
        {"allOf": [has(server={"type": "string", "minLength": 1}), may(existing=ABSENT)]},
    ]
}

SOME: Part = {"type": "array", "minItems": 1}

POOL: list[Part] = [
    {"anyOf": [has(families=SOME), has(instanceTypes=SOME)]},
    when(
        has(reservations=SOME), has(capacity={"type": "array", "prefixItems": [{"const": "reserved"}], "minItems": 1})
    ),
    when(has(capacity={"type": "array", "contains": {"const": "reserved"}}), has(reservations=SOME)),
    may(capacity={"uniqueItems": True}),
]

_CLUSTER, _CAPACITY = "dynamo-eks:cluster", "dynamo-eks:capacity"


def _elsewhere(name: str) -> Part:
    """The section under a spelling that is not described further (`cluster`, `dynamo-eks:config:cluster`)."""
    return {"anyOf": [{"required": [name]}, {"required": [f"dynamo-eks:config:{name}"]}]}


_EXISTING: Part = {"required": [_CLUSTER], "properties": {_CLUSTER: has(existing={"type": "object"})}}
_RACKS: Part = {"required": [_CAPACITY], "properties": {_CAPACITY: has(ultraServers=SOME_OBJECT)}}
_OWN: Part = {"not": {"anyOf": [_EXISTING, _elsewhere("cluster")]}}
"""The stack makes its cluster. What a section holds that is spelled another way is not known here."""
_EMPTY: Part = {"type": ["object", "null"], "maxProperties": 0}

CONFIG: list[Part] = [
    when(
        _EXISTING,
        {
            "properties": {
                **{f"dynamo-eks:{name}": _EMPTY for name in ("network", "capacity", "gpu")},
                _CLUSTER: {"propertyNames": {"enum": ["existing", "version"]}},
                "dynamo-eks:storage": {
                    "allOf": [may(efs=NOWHERE), {"anyOf": [has(caches={"maxItems": 0}), has(storageClass=TEXT)]}]
                },
                "dynamo-eks:account": NOWHERE,
                "aws:profile": NOWHERE,
                "aws:assumeRoles": NOWHERE,
                "aws:allowedAccountIds": NOWHERE,
            }
        },
    ),
    when(
        _OWN,
        {
            "properties": {
                "dynamo-eks:storage": may(storageClass=ABSENT, accessMode={"not": {"const": "ReadWriteOnce"}})
            }
        },
    ),
    when(
        {"allOf": [_OWN, {"not": {"anyOf": [_RACKS, _elsewhere("capacity")]}}]},
        {"properties": {"dynamo-eks:gpu": _EMPTY, "dynamo-eks:network": may(localZones=NOWHERE)}},
    ),
    when(
        _RACKS,
        {
            "properties": {
                _CLUSTER: may(version={"enum": sorted(catalog.HYBRID_ADDONS)}),
                "dynamo-eks:gpu": may(driverBranch={"const": catalog.P6E_DRIVER_BRANCH}),
            }
        },
    ),
    when(
        {
            "properties": {"dynamo-eks:models": SOME_OBJECT, "dynamo-eks:storage": has(caches={"type": "array"})},
            "required": ["dynamo-eks:models", "dynamo-eks:storage"],
        },
        {"properties": {"dynamo-eks:storage": may(caches={"contains": {"const": "model-cache"}})}},
    ),
]
"""Of the configuration as a whole."""


def add(definitions: dict[str, Part]) -> None:
    """Add what goes together within one part to its definition."""
    definitions["Graph"].setdefault("allOf", []).extend(GRAPH)
    definitions["Exposure"].setdefault("allOf", []).extend(EXPOSURE)
    definitions["Efs"].setdefault("allOf", []).extend(EFS)
    definitions["ImagePullSecret"].setdefault("allOf", []).append(PULL_SECRET)
    definitions["Pool"].setdefault("allOf", []).extend(POOL)
