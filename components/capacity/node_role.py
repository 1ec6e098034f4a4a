"""The role of the nodes that our own NodeClasses launch.

Makes the role with the two policies an Auto Mode node needs, and the access entry by which EKS lets its nodes join.
The built-in NodeClass gets its entry from EKS; a custom role does not (terraform-aws-modules/terraform-aws-eks #3241).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ..cluster.iam import ec2_trust

POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
"""What EKS asks for on an Auto Mode node role (EKS User Guide, "Amazon EKS Auto Mode node IAM role")."""

AUTO_NODE_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"


@dataclass(frozen=True, kw_only=True)
class NodeRoleArgs:
    cluster_name: pulumi.Input[str]
    """EKS cluster the nodes join. Changing it replaces the access entry."""


class NodeRole(pulumi.ComponentResource):
    """IAM role of GPU nodes, admitted to the cluster."""

    role_name: pulumi.Output[str]
    """Name of the role, for `spec.role` of a NodeClass."""
    ready: list[pulumi.Resource]
    """What must exist before a node can join, and must outlive the last one: policies and access entry."""

    def __init__(self, name: str, args: NodeRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:NodeRole", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(f"{name}-role", assume_role_policy=json.dumps(ec2_trust()), opts=child)
        policies = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}", role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}", opts=child
            )
            for policy in POLICIES
        ]
        entry = aws.eks.AccessEntry(
            f"{name}-entry", cluster_name=args.cluster_name, principal_arn=role.arn, type="EC2", opts=child
        )
        association = aws.eks.AccessPolicyAssociation(
            f"{name}-access",
            cluster_name=args.cluster_name,
            principal_arn=role.arn,
            policy_arn=AUTO_NODE_POLICY,
            access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
            # A policy can only be tied to an entry that exists; the ARN alone orders after the role, not the entry.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[entry]),
        )
        self.role_name = role.name
        self.ready = [*policies, entry, association]
        self.register_outputs({"role_name": self.role_name})
