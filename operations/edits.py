"""The look before `make up`: edits of the stack file that AWS would refuse in the middle of it, or not carry out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from operations.aws_finder import AwsFinder
from operations.credentials import Access, NoIdentity
from operations.state import Resource, State
from recording.aws_types import CARDS
from recording.graph import SECRET, Graph
from review.edits import Fault, Held
from review.edits import refused as judged

RACK_RUNS = "rack-runs"
"""Refusal that hangs on how many nodes a group wants, which schedules and people change beside the state."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Marks what is no plain value in a state: secrets, assets (pulumi sdk/go/common/resource, SigKey)."""


class NoPlan(Exception):
    """The stack file cannot be planned; its report is the message."""


def held(state: State) -> list[Held]:
    """What a state says that exists in AWS, without the old copies that only wait for their deletion."""
    return [
        Held(
            key=f"{item.type}::{item.name}",
            type=item.type,
            name=item.name,
            id=item.id,
            inputs=_without_secrets(item.inputs),
            outputs=_without_secrets(item.outputs),
            changed=_moment(item, "modified"),
            created=_moment(item, "created"),
        )
        for item in state.resources
        if item.type in CARDS and not item.replaced
    ]


def refused(stack: str, state: State, access: Access) -> list[Fault]:
    """Every edit that AWS would refuse or pass over. Raises NoPlan."""
    there = held(state)
    if not there:
        return []
    graph = _planned(stack)
    found = judged(there, graph)
    racks = [fault.key for fault in found if fault.id == RACK_RUNS]
    # Its group may have been scaled to 0 by hand, as the runbook says.
    sizes = _sizes([item for item in there if item.key in racks], access) if racks else {}
    return judged(there, graph, sizes=sizes) if sizes else found


def refusal(stack: str, found: Sequence[Fault]) -> str | None:
    """Why an `up` must not begin, all at once; None when it may."""
    sure = [fault for fault in found if fault.how != "perhaps"]
    if not sure:
        return None
    count = "1 edit" if len(sure) == 1 else f"{len(sure)} edits"
    return "\n".join(
        [
            f"AWS would not carry out {count} of {stack}; nothing was begun:",
            *(f"  {fault.line()}" for fault in sure),
            "`pulumi up` does not look at this, and fails at each of them.",
        ]
    )


def doubts(found: Sequence[Fault]) -> list[str]:
    """What AWS may refuse, by something that no state tells."""
    return [f"  warn {fault.line()}" for fault in found if fault.how == "perhaps"]


def _planned(stack: str) -> Graph:
    import pulumi

    from review import plan
    from stacks import stackfile

    try:
        return plan.make(stackfile.read(stack)).graph
    except (stackfile.StackFileError, pulumi.RunError) as error:
        raise NoPlan(str(error)) from None


def _sizes(groups: Sequence[Held], access: Access) -> dict[str, int]:
    """How many nodes each node group wants now, of those of which EKS tells."""
    from botocore.exceptions import BotoCoreError, ClientError

    found = {}
    for item in groups:
        try:
            answer = AwsFinder(access.region, access=access).client("eks").describe_nodegroup(
                clusterName=item.inputs["clusterName"], nodegroupName=item.inputs["nodeGroupName"]
            )  # fmt: skip
        except (BotoCoreError, ClientError, NoIdentity, KeyError):
            continue
        found[item.key] = int(answer["nodegroup"]["scalingConfig"]["desiredSize"])
    return found


def _moment(item: Resource, name: str) -> datetime | None:
    try:
        return datetime.fromisoformat(str(item.raw.get(name)))
    except ValueError:
        return None


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        if SIGNATURE in value:
            return SECRET
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value
