"""The role of UltraServer nodes.

Another one than the Auto Mode nodes', since a principal has one type of access entry; EKS makes this one's (EC2_LINUX)
with the first node group.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ..cluster.iam import ec2_trust

POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
"""What a managed node needs: join, pull images, give pods addresses (EKS User Guide, "Amazon EKS node IAM role")."""


@dataclass(frozen=True, kw_only=True)
class RackRoleArgs:
    """What the role of managed GPU nodes may do."""

    policies: Sequence[str] = POLICIES
    """Names of AWS's managed policies. Without these three nodes do not join."""


class RackRole(pulumi.ComponentResource):
    """IAM role of managed GPU nodes."""

    role_arn: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """Policies: without them nodes neither join nor, on destroy, give their addresses back."""

    def __init__(self, name: str, args: RackRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:RackRole", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(f"{name}-role", assume_role_policy=json.dumps(ec2_trust()), opts=child)
        self.role_arn = role.arn
        self.ready = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}", role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}", opts=child
            )
            for policy in args.policies
        ]
        self.register_outputs({"role_arn": self.role_arn})
