"""Settings that belong to the stack itself: its account and identity, its tags, and how its plan is judged."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from components import aws_values
from components.spec import Model
from stacks.faults import nearest

_ACCOUNT = r"^[0-9]{12}$"
AccountId = Annotated[
    str,
    StringConstraints(pattern=_ACCOUNT),
    Field(
        description="AWS account of the stack, 12 digits in quotes. Every command that touches AWS or the state compares it "
        "with the credentials first, and the provider refuses another one. Changing it moves nothing to another account."
    ),
]
"""The account a stack belongs to."""

Profile = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][^\s\[\]\"']*$", max_length=128),
    Field(
        description="Profile of ~/.aws/config that everything uses: the provider, the kubeconfig's token command and this "
        "program's own questions. By default the shell's identity. Another one with the same rights changes nothing else."
    ),
]
"""Name of a profile; it becomes a word of a command line."""


class AssumedRole(Model):
    """A role that is assumed before anything is asked of AWS."""

    role_arn: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$")]
    """ARN of the role. It makes the cluster and so is its first administrator: with another role nobody gets in before that one has an entry under `cluster.admins`."""
    session_name: Annotated[str, StringConstraints(pattern=r"^[\w+=,.@-]{2,64}$")] | None = None
    """Name of the session in CloudTrail. The kubeconfig's token command has a name of its own."""
    duration: Annotated[str, StringConstraints(pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$")] | None = None
    """How long the role's credentials hold, `15m` to `12h`; by default an hour. They are renewed while a command runs."""


AssumedRoles = Annotated[
    tuple[AssumedRole, ...],
    Field(
        min_length=1,
        max_length=1,
        description="The role to assume, by the provider, the kubeconfig's token command and this program's own questions.",
    ),
]
AllowedAccounts = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=_ACCOUNT)], ...],
    Field(
        min_length=1,
        description="Accounts the stack may be made in, in quotes. `dynamo-eks:account` says the same of one account.",
    ),
]


@cache
def rule_ids() -> tuple[str, ...]:
    """Ids of all rules of the plan. `make schema` writes them down from rules/, which this layer must not import."""
    return tuple(json.loads((Path(__file__).parent / "rule_ids.json").read_text("utf-8")))


def _rule_id(value: str) -> str:
    if value not in rule_ids():
        close = nearest(value, rule_ids())
        meant = f"; did you mean {close}?" if close else ""
        raise ValueError(f"the id of a rule, as the plan shows it and docs/rules.md lists it{meant}")
    return value


def _reason(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("the reason why this may be, in words: it is shown wherever the rule is")
    return value.strip()


def _named_after_rules(schema: dict[str, Any]) -> None:
    schema["propertyNames"] = {"enum": list(rule_ids())}


RuleId = Annotated[str, AfterValidator(_rule_id)]
Reason = Annotated[str, BeforeValidator(_reason)]


class Review(Model):
    """How the plan is judged."""

    allow: dict[RuleId, Reason] = Field(default_factory=dict, json_schema_extra=_named_after_rules)
    """Rules that may fail, each with the reason why: what one finds wrong is then a warning that shows the reason, in the plan
    and in `pulumi preview` and `up`. Nothing in the account changes with it."""


Tags = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(aws_values.tag_text)],
        Annotated[str, StringConstraints(max_length=256), AfterValidator(aws_values.tag_text)],
    ],
    Field(
        description="Tags of what the program makes in AWS, beside project and stack, and of what the cluster makes there: nodes of "
        "pools and racks, volumes of claims, load balancers. Nodes of EKS's built-in pools and access points of EFS cannot "
        "carry them (docs/tags.md). Another one updates in place, replaces the EBS storage class and the nodes of pools one by one; volumes "
        "that exist and nodes of an UltraServer keep those they were made with."
    ),
]
RESERVED_TAGS = (
    "aws:",
    "eks:",
    "eks.amazonaws.com/",
    "kubernetes.io",
    "karpenter.sh/",
    "karpenter.k8s.aws/",
    "elbv2.k8s.aws/",
    "service.eks.amazonaws.com/",
    "service.k8s.aws/",
    "ebs.csi.",
    "efs.csi.",
    "CSIVolume",
)
"""What tags begin with that AWS and EKS, and Auto Mode's Karpenter, load balancer controller and volume drivers, keep for
themselves: they refuse what carries one of their own with another value (eks.amazonaws.com NodeClass, rules of `spec.tags`;
aws-ebs-csi-driver, pkg/driver/validation.go; aws-load-balancer-controller, "tag key is reserved")."""
RESERVED_TAG = re.compile("|".join(map(re.escape, RESERVED_TAGS)), re.IGNORECASE)
