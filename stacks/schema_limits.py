"""What the JSON schema of a stack file can say of the rules that the models leave to other code.

An editor underlines while somebody types; what it lets pass is told by the plan. The other way round must not be: whatever
the reader accepts the schema accepts (`tests/stacks/test_mutants.py` tries it on mutants). What goes together within a
part or a file stands in `schema_between.py`. What it leaves to the plan: that a name is another key's (a model, a pool, a
rack), which zones a region has, sums and products (parallelism, room), which of two moments is earlier, moments that are no
days, values of Helm charts, and what an encrypted value holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from components import catalog
from components.capacity import instances
from components.capacity.network_cards import CARDS
from components.network.endpoints import INTERFACE_ENDPOINTS
from components.network.zones import REGION_ZONES
from stacks import schema_between

PLACEHOLDER = "<[a-z-]+>"
"""What is still to fill in stands in angle brackets, anywhere in a value."""
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
CIDR = rf"^{_BYTE}(\.{_BYTE}){{3}}/([12]?[0-9]|3[0-2])$|{PLACEHOLDER}"
NOTHING = r"^0+(\.0*)?[A-Za-z]*$"
PRINCIPAL = rf"^arn:aws(-[a-z]+)*:iam::[0-9]{{12}}:(role|user)/.+$|{PLACEHOLDER}"

SECTION = "^(account|review|tags|network|cluster|capacity|gpu|storage|dynamo|models|graphs)$"
"""The engine reads a key without a namespace as the project's own. Not described further, so that editors offer one way."""

ELSEWHERE = "^(?!(dynamo-eks|aws|kubernetes|eks):)[^:]+:[^:]+$|^[^:]+:config:[^:]+$"
"""Keys of other namespaces, and the engine's older spelling of its own."""


def tighten(properties: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Add closed lists, patterns and required keys to the sections and to what they refer to."""
    properties["aws:region"]["enum"] = sorted(REGION_ZONES)
    properties["dynamo-eks:account"]["pattern"] += f"|^{PLACEHOLDER}$"
    network, cluster = properties["dynamo-eks:network"], properties["dynamo-eks:cluster"]
    _items(network, "interfaceEndpoints", {"enum": list(INTERFACE_ENDPOINTS)})
    network["properties"]["cidr"]["pattern"] = CIDR
    _items(network, "avoid", {"pattern": CIDR})
    cluster["properties"]["version"]["enum"] = sorted(catalog.KUBERNETES)
    _items(cluster, "publicAccessCidrs", {"pattern": CIDR})
    _items(cluster, "admins", {"pattern": PRINCIPAL})
    properties["dynamo-eks:dynamo"]["properties"]["version"]["enum"] = sorted(catalog.DYNAMO)
    charts = properties["dynamo-eks:gpu"]["properties"]
    tables = {"operator": catalog.GPU_OPERATOR, "draDriver": catalog.DRA_DRIVER, "efaPlugin": catalog.EFA_PLUGIN}
    for name, table in tables.items():
        charts[name] = {"allOf": [charts[name], {"properties": {"version": {"enum": [*sorted(table), None]}}}]}
    pool, graph = definitions["Pool"], definitions["Graph"]
    _items(pool, "families", {"enum": list(instances.GPU_POOL_FAMILIES)})
    _items(pool, "instanceTypes", {"enum": _types(instances.GPU_POOL_FAMILIES)})
    for name in ("Placement", "Reservation"):
        _said(definitions[name], "instanceType", {"enum": sorted(instances.table())})
    definitions["UltraServer"]["properties"]["instanceType"]["enum"] = sorted(CARDS)
    _items(definitions["Exposure"], "allowedCidrs", {"pattern": CIDR})
    reservation = definitions["Reservation"]
    reservation["oneOf"] = [{"required": [key], "properties": said} for key, said in _CHOICES.items()]
    # A preset brings its roles along.
    graph["allOf"] = [
        {"anyOf": [{"required": ["preset"]}, {"required": ["worker"]}, {"required": ["prefill", "decode"]}]},
        {
            "not": {
                "required": ["worker", "prefill"],
                "properties": {role: {"type": "object"} for role in ("worker", "prefill")},
            }
        },
        {
            "not": {
                "required": ["worker", "decode"],
                "properties": {role: {"type": "object"} for role in ("worker", "decode")},
            }
        },
    ]
    for name in ("Frontend", "Worker"):
        for amount in ("cpu", "memory"):
            _said(definitions[name], amount, {"not": {"pattern": NOTHING}})
    schema_between.add(definitions)
    for part in (*properties.values(), *definitions.values()):
        _close(part)


_CHOICES: dict[str, dict[str, Any]] = {
    "id": {"id": {"type": "string"}, "create": {"const": False}, "tags": {"enum": [None, {}]}},
    "tags": {"tags": {"type": "object", "minProperties": 1}, "id": {"type": "null"}, "create": {"const": False}},
    "create": {"create": {"const": True}, "id": {"type": "null"}, "tags": {"enum": [None, {}]}},
}
"""A reservation is named in one of three ways."""


def config_rules() -> dict[str, Any]:
    """What a stack's configuration must have: a region and who may reach the endpoint, or a cluster that is there already."""
    cluster = "dynamo-eks:cluster"
    short = {"anyOf": [{"required": ["cluster"]}, {"required": ["dynamo-eks:config:cluster"]}]}
    existing = {"required": ["existing"], "properties": {"existing": {"type": "object"}}}
    own = {"required": ["publicAccessCidrs"], "properties": {"publicAccessCidrs": {"type": "array"}}}
    region = {"anyOf": [{"required": ["aws:region"]}, {"required": ["aws:config:region"]}]}
    return {
        "anyOf": [
            short,
            {"required": [cluster], "properties": {cluster: existing}},
            {"required": [cluster], "properties": {cluster: own}, **region},
        ],
        "allOf": schema_between.CONFIG,
    }


def _types(families: Iterable[str]) -> list[str]:
    return sorted(item.type for family in families for item in instances.in_family(family))


def _items(part: dict[str, Any], name: str, more: dict[str, Any]) -> None:
    """Say more of the items of a list, which may be one of several choices."""
    given = part["properties"][name]
    for choice in (given, *given.get("anyOf", ())):
        if "items" in choice:
            choice["items"].update(more)


def _said(part: dict[str, Any], name: str, more: dict[str, Any]) -> None:
    """Say more of a text, which may be left out."""
    given = part["properties"][name]
    next(choice for choice in (given, *given.get("anyOf", ())) if choice.get("type") == "string").update(more)


def _close(part: Any) -> None:
    """Names of entries that fit no pattern are faults; pydantic's schema leaves them open."""
    if isinstance(part, dict):
        if "patternProperties" in part:
            part.setdefault("additionalProperties", False)
        for value in part.values():
            _close(value)
    elif isinstance(part, list):
        for value in part:
            _close(value)
