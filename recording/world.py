"""A world for one stack, in which every id and ARN is made up the same way twice.

Pure data: no pulumi import. Values are deterministic (derived from type and name) and shaped like the real ones; whatever is
only assumed is said in `assumptions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
"""AWS's own placeholder account number, used in every assumed ARN."""


Inputs = Mapping[str, Any]
"""Properties on the wire, camelCase."""

Made = tuple[str, dict[str, Any]]
"""Id and computed properties of a new resource."""


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


class NoAnswer(LookupError):
    """The program asked for something this module does not know; add what the provider would return."""


def digest(*parts: str, length: int = 17) -> str:
    """A stable hexadecimal suffix, as long as the ones EC2 gives its ids."""
    return hashlib.sha256("::".join(parts).encode()).hexdigest()[:length]


class World:
    """What exists in it already, beside the region and the account."""

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


Reader = Callable[[World, Inputs], dict[str, Any]]
"""Answer to a read (an invoke)."""

Construct = Callable[[World, str, Inputs], tuple[Sequence[Child], Mapping[str, Any], str]]
"""Children and outputs of a remote component, and why they are assumed."""
