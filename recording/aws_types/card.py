"""What is known of one AWS type, in one place.

Recorder, recover, the stand-in of the engine tests, the tests on a played account and the policy documents all read the card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from recording.aws_types.call import Call
from recording.aws_types.charge import FREE, Charge
from recording.aws_types.refusing import Refusal
from recording.world import Inputs, Made, World

EXISTS = "refuses it"
SAME = "makes no second one: the same call changes the first"


@dataclass(frozen=True)
class Told:
    """How things of a type are told apart: by names or by what they join, which AWS keeps unique, or else by tags."""

    by: tuple[str, ...] = ()
    """Inputs that no two have alike. Empty: by tags."""
    within: tuple[str, ...] = ()
    """Inputs that must agree besides the tags, so that a look need not go through the whole account."""
    second: str = ""
    """What AWS does with a second one; empty when it makes it without a word."""

    @property
    def collides(self) -> bool:
        return bool(self.second)


Takes = str | Callable[[Inputs], str]
"""Row of recording/durations.json, or how it follows from the inputs."""

Condition = Literal["ready", "making", "failed"]


@dataclass(frozen=True)
class Candidate:
    """Something that exists and fits."""

    id: str
    """Its id as the state writes it, which for some types is not the one that `pulumi import` takes."""
    condition: Condition = "ready"
    """`making`: still on its way. `failed`: there, and of no use."""
    told: str = ""
    """What it says of itself, for people."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What goes into the state beside the inputs."""


class Asker(Protocol):
    """One account and region that can be asked."""

    def client(self, service: str) -> Any:
        """A boto3 client."""
        ...

    def every(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        ...


Ask = Callable[[Asker, Inputs], list[Candidate]]


When = Callable[[Inputs, Inputs], frozenset[str]]


@dataclass(frozen=True)
class Replaced:
    """Properties of a type whose change replaces it, and where that is written. Every other one is updated in place."""

    source: str
    properties: frozenset[str]
    """Names as on the wire; a dotted name is a nested property, and a change anywhere below counts."""
    named: str | None = None
    """The property that holds the physical name, where the provider would make one up. Given by the program it is taken
    until the old resource is gone, so that the bridge deletes first (pulumi-terraform-bridge,
    `nameRequiresDeleteBeforeReplace`)."""
    unique: str | None = None
    """Property that AWS takes only once in an account and region; a second resource is refused."""
    delete_first: bool = False
    """Deleted before its replacement is made whatever its name (`DeleteBeforeReplace` in pulumi-aws, resources.go)."""
    when: When = lambda before, after: frozenset()
    """Properties that replace it by this very change, and not by every one: what the provider decides with both in hand
    (`CustomizeDiff`, `ModifyPlan`)."""

    def by(self, before: Inputs, after: Inputs) -> frozenset[str]:
        """Properties whose change, from these inputs to those, replaces the resource."""
        return self.properties | self.when(before, after)


def replaced(
    path: str,
    *properties: str,
    named: str | None = None,
    unique: str | None = None,
    delete_first: bool = False,
    when: When | None = None,
) -> Replaced:
    """By what the provider's source says under `internal/service/<path>`. The Python SDK does not say it."""
    return Replaced(
        f"hashicorp/terraform-provider-aws internal/service/{path}",
        # Every resource of a region: the region itself (internal/provider, forceNewIfRegionChanges).
        frozenset({*properties, "region"}),
        named,
        unique or named,
        delete_first,
        *([when] if when else []),
    )


@dataclass(frozen=True, kw_only=True)
class Card:
    """One AWS type."""

    type: str
    """Token: `aws:ec2/vpc:Vpc`."""
    charges: tuple[Charge, ...] = FREE
    """What it costs for as long as it is there. What its use costs (gigabytes, requests) is counted by review/cost.py."""
    created: Callable[[World, str, Inputs], Made]
    """What the provider computes for a new one: its id, and properties."""
    call: Call
    """The API call that makes it, and how its inputs become the call's parameters."""
    replaced: Replaced
    duration: Takes
    """How long it takes to be there."""
    deletion: Takes = "aws-call"
    """How long it takes to be gone."""
    told: Told | None = None
    """How it is told from another. None for what only a remote component makes and nobody looks for."""
    ask: Ask | None = None
    """Everything that exists and may be the one with these inputs."""
    refuses: tuple[Refusal, ...] = ()
    """Changes that the provider's schema allows and the service does not carry out."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """The call that changes a property in place, by top-level property: all that this program sets and no change of which
    replaces the resource. Empty where no call does: the property is looked at only when the thing goes."""
    actions: tuple[str, ...] = ()
    """IAM actions that its provider takes to make, read, change, tag and delete it."""
