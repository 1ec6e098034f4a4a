"""How AWS is asked for things, and what all answers have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recording.aws_types.card import Ask, Asker, Candidate, Condition
from recording.world import Inputs, Made, World

GONE = {"deleted", "deleting", "failed", "expired", "cancelled", "PendingDeletion"}
"""States of things that are going or gone, where they are still listed."""


def by_tags(operation: str, key: str, id_: str, *, state: str = "State", **within: str) -> Ask:
    """A question to EC2 by tags; `within` are filters with the input that each takes its value from."""

    def ask(asker: Asker, inputs: Inputs) -> list[Candidate]:
        more = {name: str(inputs[given]) for name, given in within.items() if inputs.get(given)}
        found = asker.every("ec2", operation, key, Filters=_filters(inputs, **more))
        return [seen(item, item[id_], item.get(state)) for item in found if item.get(state) not in GONE]

    return ask


def _filters(inputs: Inputs, **more: str) -> list[dict[str, Any]]:
    """EC2 filters: every tag of ours, and more by name (underscores are dashes)."""
    tags = inputs.get("tagsAll") or inputs["tags"]
    made = [{"Name": f"tag:{key}", "Values": [str(value)]} for key, value in sorted(tags.items())]
    return made + [{"Name": key.replace("_", "-"), "Values": [value]} for key, value in more.items()]


def seen(item: Mapping[str, Any], id_: str, state: Any) -> Candidate:
    """What an answer says of a thing, and of how far it is."""
    state = str(state or "")
    return Candidate(id_, _condition(state), state)


def _condition(state: str) -> Condition:
    """Whether a thing that says this of itself is done."""
    text = state.lower()
    if "fail" in text or text == "error":
        return "failed"
    return "making" if text in ("creating", "pending", "deleting", "pendingacceptance") else "ready"


def ec2_id(prefix: str, kind: str) -> Callable[[World, str, Inputs], Made]:
    """An id like EC2's, and the ARN with it."""

    def created(world: World, name: str, inputs: Inputs) -> Made:
        id_ = world.id(prefix, name)
        return id_, {"arn": world.arn("ec2", f"{kind}/{id_}")}

    return created
