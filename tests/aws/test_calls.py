"""Would AWS's own client send what the stacks ask for? Every recorded resource against botocore's model of the call that makes it.

botocore checks required parameters and types before it sends anything; of the same model the rest is checked here too, which
otherwise only the service does: closed lists, patterns, lengths and bounds.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from recording.aws_types import CARDS
from recording.aws_types.call import Unplaced
from recording.graph import SECRET, UNKNOWN, Node
from tests.conftest import STACKS, recorded


@cache
def model(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape


def faults(node: Node) -> list[str]:
    """Everything that the call's model has against a resource's inputs."""
    call = CARDS[node.type].call
    shape = model(call.service, call.operation)
    sent = call.parameters(node.inputs, shape)
    return [
        *filter(None, ParamValidator().validate(sent, shape).generate_report().splitlines()),
        *_limits(sent, shape, call.operation),
    ]


def _limits(value: Any, shape: Any, at: str) -> Iterator[str]:
    """What the model says of values beside their type."""
    said = shape.metadata
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                yield from _limits(item, shape.members[name], f"{at}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        yield from _size(len(value), said, at, "items")
        for item in value:
            yield from _limits(item, shape.member, f"{at}[]")
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from _size(len(value), said, at, "entries")
        for key, item in value.items():
            yield from _limits(key, shape.key, f"{at}.{key}")
            yield from _limits(item, shape.value, f"{at}.{key}")
    elif isinstance(value, str) and value not in (UNKNOWN, SECRET):
        if said.get("enum") and value not in said["enum"]:
            yield f"{at}: {value} is none of {', '.join(said['enum'])}"
        if (pattern := said.get("pattern")) and not _fits(pattern, value):
            yield f"{at}: {value} does not fit {pattern}"
        yield from _size(len(value), said, at, "characters")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _size(value, said, at, "")


def _size(number: float, said: Any, at: str, what: str) -> Iterator[str]:
    if number < said.get("min", number) or number > said.get("max", number):
        yield f"{at}: {number} {what}, between {said.get('min', '-')} and {said.get('max', '-')}".replace(" ,", ",")


_JAVA = {
    r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{ASCII}": r"\x00-\x7f", r"\p{P}": r"!-/:-@\[-`{-~",
    # Characters beyond 16 bits, which Java writes as pairs.
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}  # fmt: skip
"""What the models' patterns, which are Java's, write otherwise than Python."""


def _fits(pattern: str, value: str) -> bool:
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    # Services match the whole value.
    return re.fullmatch(pattern, value, re.DOTALL) is not None


@pytest.mark.parametrize("stack", [stack for stack in STACKS if recorded(stack).of("aws:ec2/vpc:Vpc")])
def test_every_input_fits_the_call(stack: str) -> None:
    """Prevents a value that the engine's types let pass and AWS refuses, after half of the account is made."""
    wrong = {node.key: faults(node) for node in recorded(stack) if node.type.startswith("aws:")}
    assert len(wrong) > 40
    assert {key: said for key, said in wrong.items() if said} == {}


def test_every_type_names_a_call_that_is() -> None:
    for card in CARDS.values():
        shape = model(card.call.service, card.call.operation)
        assert shape is not None, card.type
        for operation in card.call.elsewhere.values():
            assert model(card.call.service, operation) is not None
        assert {name.split(".")[0] for name in card.call.given} <= set(shape.members)


CLUSTER, GROUP, TEMPLATE = (
    "aws:eks/cluster:Cluster",
    "aws:eks/nodeGroup:NodeGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
)
SPOILT: list[tuple[str, str, str, Any, str]] = [
    ("g6e-dev", CLUSTER, "upgradePolicy.supportType", "LONG", "none of STANDARD, EXTENDED"),
    ("g6e-dev", CLUSTER, "name", "a" * 101, "101 characters"),
    ("g6e-dev", CLUSTER, "name", "-main", "does not fit"),
    ("g6e-dev", CLUSTER, "enabledClusterLogTypes", ["apiServer"], "none of api"),
    ("g6e-dev", CLUSTER, "roleArn", None, "Missing required parameter"),
    ("g6e-dev", CLUSTER, "accessConfig.authenticationMode", "IAM", "none of API"),
    ("g6e-dev", "aws:kms/key:Key", "description", 7, "Invalid type"),
    ("g6e-dev", "aws:kms/alias:Alias", "name", "alias/main files", "does not fit"),
    ("g6e-dev", "aws:efs/fileSystem:FileSystem", "creationToken", "a" * 65, "65 characters"),
    ("g6e-dev", "aws:efs/fileSystem:FileSystem", "throughputMode", "fast", "none of bursting"),
    ("g6e-dev", "aws:iam/role:Role", "description", "a" * 1001, "1001 characters"),
    ("g6e-dev", "aws:iam/rolePolicy:RolePolicy", "name", "tags of all", "does not fit"),
    ("g6e-dev", "aws:cloudwatch/logGroup:LogGroup", "name", "/aws/eks/a b/cluster", "does not fit"),
    ("g7e-staging", "aws:ec2/flowLog:FlowLog", "trafficType", "SOME", "none of ACCEPT"),
    (
        "p5-reserved",
        "aws:ec2/capacityReservation:CapacityReservation",
        "instanceMatchCriteria",
        "closed",
        "none of open",
    ),
    ("p5-reserved", "aws:ec2/capacityReservation:CapacityReservation", "instanceCount", "two", "Invalid type"),
    ("gb200-prod", GROUP, "capacityType", "BLOCK", "none of ON_DEMAND"),
    ("gb200-prod", GROUP, "amiType", "AL2023_ARM", "none of AL2"),
    ("gb200-prod", GROUP, "updateConfig.updateStrategy", "ROLLING", "none of DEFAULT"),
    ("gb200-prod", GROUP, "scalingConfig.maxSize", 0, "0, between 1"),
    ("gb200-prod", TEMPLATE, "instanceMarketOptions.marketType", "block", "none of spot"),
    ("gb200-prod", TEMPLATE, "metadataOptions.httpTokens", "always", "none of optional"),
    ("gb200-prod", TEMPLATE, "description", "a" * 256, "256 characters"),
]


@pytest.mark.parametrize(("stack", "type_", "path", "value", "words"), SPOILT)
def test_what_does_not_fit_is_found(stack: str, type_: str, path: str, value: Any, words: str) -> None:
    """Prevents a check that lets everything pass."""
    node = recorded(stack).of(type_)[0]
    inputs = copy.deepcopy(dict(node.inputs))
    *above, last = path.split(".")
    place = inputs
    for part in above:
        place = place[part]
    place[last] = value
    if value is None:
        del place[last]
    spoilt = Node(**{**{name: getattr(node, name) for name in node.__dataclass_fields__}, "inputs": inputs})
    assert any(words in fault for fault in faults(spoilt)), faults(spoilt)


def test_an_input_that_nobody_takes_is_told() -> None:
    """Prevents a key that the provider's next release drops, or a typing error in a card."""
    card = CARDS["aws:ec2/vpc:Vpc"]
    with pytest.raises(Unplaced, match="cidrBlocks"):
        card.call.parameters({"cidrBlocks": "10.0.0.0/16"}, model("ec2", "CreateVpc"))
