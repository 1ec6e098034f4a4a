"""The API call that makes a resource of a type: how the provider's inputs become its parameters.

Names are matched without their case (`cidrBlock` is `CidrBlock`), shapes by the service's own model: a mapping of tags becomes the
list or the specification that the service has, one entry a list of one, a text that says true a boolean, as the Terraform provider
beneath does. What differs beyond that is said on the card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recording.world import Inputs


class Unplaced(Exception):
    """An input that no parameter of the call takes, and of which the card does not say that another call does."""


@dataclass(frozen=True)
class Call:
    """One call of a service."""

    service: str
    """As botocore names it."""
    operation: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Parameter by input, where the names differ in more than their case."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that the provider adds where no input gives them."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Inputs that another call takes, with its name."""
    sent: Callable[[Inputs], Inputs] | None = None
    """Rearranges the inputs first."""

    def parameters(self, inputs: Inputs, model: Any) -> dict[str, Any]:
        """Parameters of the call; `model` is botocore's model of the operation's input. Raises Unplaced."""
        arranged = self.sent(inputs) if self.sent else inputs
        kept = {key: value for key, value in arranged.items() if key not in self.elsewhere and value is not None}
        kept.pop("region", None)  # it chooses the endpoint
        return {**self.given, **_structure(kept, model, self.renamed, self.operation)}


def _structure(value: Mapping[str, Any], shape: Any, renamed: Mapping[str, str], at: str) -> dict[str, Any]:
    members = {name.lower(): name for name in shape.members}
    found = {}
    for key, item in value.items():
        name = renamed.get(key) or members.get(key.lower())
        if name is None and key == "tags" and "TagSpecifications" in shape.members:
            # The resource type is the caller's; every one is validated alike.
            found["TagSpecifications"] = [{"ResourceType": _tagged(at), "Tags": _tags(item, "Key", "Value")}]
            continue
        if name is None or name not in shape.members:
            raise Unplaced(f"{at}: {key}")
        found[name] = _shaped(item, shape.members[name], f"{at}.{name}")
    return found


def _tagged(operation: str) -> str:
    """`vpc` for CreateVpc, `route-table` for CreateRouteTable."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in operation.split(".")[0])
    name = words.removeprefix("-create-").removeprefix("-allocate-")
    return {"address": "elastic-ip", "flow-logs": "vpc-flow-log", "nat-gateway": "natgateway"}.get(name, name)


def _tags(tags: Mapping[str, str], key: str, value: str) -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in tags.items()]


def _shaped(value: Any, shape: Any, at: str) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        return _structure(value, shape, {}, at)
    if kind == "list":
        if isinstance(value, Mapping) and shape.member.type_name == "structure":
            names = list(shape.member.members)
            if [name.lower().removeprefix("tag") for name in names] == ["key", "value"]:
                return _tags(value, *names)
        items = value if isinstance(value, list) else [value]
        return [_shaped(item, shape.member, f"{at}[]") for item in items]
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind in ("integer", "long") and isinstance(value, float | str) and re.fullmatch(r"-?[0-9]+(\.0)?", str(value)):
        return int(float(value))
    return value
