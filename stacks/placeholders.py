"""What a reader has to fill in: one form, one list.

A shipped stack file holds `<your-ip>` and the like where only its reader knows the value. The plan goes on with a value that
stands in and lists what is to fill in; under the engine nothing registers until every one is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.aws_values import STAND_IN_ADDRESS


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Something that only the reader of a stack file knows."""

    meaning: str
    """What belongs there."""
    find: str
    """How to find it out, as a command where there is one."""
    stand_in: str
    """What the plan goes on with. Some are values of documentation, which nobody may mean."""
    documentation: bool = False
    """Whether the stand-in is reserved for documentation: written out in a stack file it is a fault."""


KNOWN: Mapping[str, Placeholder] = {
    "<account-id>": Placeholder(
        "the AWS account, 12 digits",
        "aws sts get-caller-identity --query Account --output text",
        "123456789012",
        documentation=True,
    ),
    "<admin-role-arn>": Placeholder(
        "the IAM role whose people administer the cluster, besides the one that deploys, which does so by itself",
        "aws iam list-roles --query 'Roles[].Arn'",
        "arn:aws:iam::123456789012:role/platform",
    ),
    "<your-ip>": Placeholder(
        "the public IPv4 address that kubectl and pulumi come from",
        "curl -s https://checkip.amazonaws.com",
        STAND_IN_ADDRESS,
        documentation=True,
    ),
    "<reservation-id>": Placeholder(
        "the Capacity Reservation; its zone, start and end then have to be the reservation's own",
        "aws ec2 describe-capacity-reservations --query 'CapacityReservations[].CapacityReservationId'",
        "cr-0fedcba9876543210",
    ),
    "<second-reservation-id>": Placeholder(
        "the Capacity Reservation of the second block",
        "aws ec2 describe-capacity-reservations --query 'CapacityReservations[].CapacityReservationId'",
        "cr-0a1b2c3d4e5f6071a",
    ),
    "<hugging-face-token>": Placeholder(
        "a token of Hugging Face whose account has accepted the model's licence",
        "pulumi config set --secret dynamo-eks:huggingFaceToken",
        "[to fill in]",
    ),
}
"""Every placeholder, by how it is written. Stand-ins: 123456789012 and 192.0.2.0/24 (RFC 5737) are reserved for documentation."""

_FORM = re.compile("|".join(map(re.escape, KNOWN)))


@dataclass(frozen=True, slots=True)
class ToFillIn:
    """A value in a stack file that still holds a placeholder."""

    key: str
    """Dotted path from the section: `cluster.publicAccessCidrs[0]`."""
    text: str
    """The value as it is written."""
    placeholder: str
    """Which one, as a key of `KNOWN`."""

    @property
    def meaning(self) -> str:
        """What belongs there."""
        return KNOWN[self.placeholder].meaning

    @property
    def find(self) -> str:
        """How to find it out."""
        return KNOWN[self.placeholder].find

    @property
    def planned_as(self) -> str:
        """What the plan goes on with."""
        return stood_in(self.text)


def stood_in(value: Any) -> Any:
    """A value with everything that is to fill in replaced by what stands in for it."""
    if isinstance(value, str):
        return _FORM.sub(lambda found: KNOWN[found[0]].stand_in, value)
    if isinstance(value, Mapping):
        return {key: stood_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [stood_in(item) for item in value]
    return value


def to_fill_in(value: Any, key: str = "") -> Iterator[ToFillIn]:
    """Every placeholder in a value, in the value's order."""
    if isinstance(value, str):
        for found in dict.fromkeys(_FORM.findall(value)):
            yield ToFillIn(key, value, found)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from to_fill_in(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from to_fill_in(item, f"{key}[{position}]")


def documentation_values(value: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Dotted path, value and placeholder of everything that is written out as documentation writes it."""
    if isinstance(value, str):
        for name, known in KNOWN.items():
            if known.documentation and re.search(rf"(?<![0-9.]){re.escape(known.stand_in)}(?![0-9]|\.[0-9])", value):
                yield key, value, name
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from documentation_values(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from documentation_values(item, f"{key}[{position}]")
