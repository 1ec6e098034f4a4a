"""What a resource costs while it is there, as its type's card says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

Amount = Callable[[Mapping[str, Any], date], float]
"""How many units of its rate a resource takes, out of its inputs and the day."""


def one(inputs: Mapping[str, Any], day: date) -> float:
    """A single unit."""
    return 1


@dataclass(frozen=True, slots=True)
class Charge:
    """One thing that is billed for a resource."""

    rate: str
    """Id of a rate of recording/prices, or `ec2` for machines on demand, whose type is the input `instanceType`."""
    amount: Amount = one
    """Units of it. None of it where the answer is 0."""


FREE: tuple[Charge, ...] = ()
"""Billed for nothing by itself (VPC, subnets, routes, security groups, roles, launch templates, add-ons of EKS, schedules)."""
