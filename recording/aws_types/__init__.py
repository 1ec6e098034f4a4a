"""Every AWS type of this program, one card each."""

from __future__ import annotations

from collections.abc import Mapping

from recording.aws_types import capacity, efs, eks, identity, network
from recording.aws_types.card import Card
from recording.world import Reader

CARDS: Mapping[str, Card] = {
    card.type: card for module in (network, capacity, identity, eks, efs) for card in module.CARDS
}
"""By type token. A type without a card is recorded by nobody."""

UNTAGGED = frozenset(
    {
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/route:Route",
        "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
        "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup",
        "aws:autoscaling/schedule:Schedule",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:kms/alias:Alias",
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        "aws:efs/mountTarget:MountTarget",
        "aws:efs/backupPolicy:BackupPolicy",
    }
)
"""Types without `tagsAll`: what the provider tags by default leaves them as they are."""

READS: Mapping[str, Reader] = {**network.READS, **capacity.READS, **identity.READS}
"""Answers to the program's questions, by token."""

ALWAYS = ("ec2:DescribeAvailabilityZones", "iam:CreateServiceLinkedRole", "sts:GetCallerIdentity")
"""IAM actions of every stack. Sources of all actions: the API calls of terraform-provider-aws 6 (internal/service/*), which
pulumi-aws 7.51 wraps, and the EKS User Guide for what EKS does in the caller's name (PassRole, service-linked roles). Read
2026-11-25."""

READ_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "aws:ec2/getCapacityBlockReservation:getCapacityBlockReservation": ("ec2:DescribeCapacityReservations",),
    "aws:ec2/getRouteTable:getRouteTable": ("ec2:DescribeRouteTables",),
    "aws:ec2/getRouteTables:getRouteTables": ("ec2:DescribeRouteTables",),
    "aws:ec2/getSubnet:getSubnet": ("ec2:DescribeSubnets",),
    "aws:ec2/getVpc:getVpc": ("ec2:DescribeVpcs", "ec2:DescribeVpcAttribute", "ec2:DescribeRouteTables"),
    "aws:index/getAvailabilityZone:getAvailabilityZone": ("ec2:DescribeAvailabilityZones",),
    "aws:index/getAvailabilityZones:getAvailabilityZones": ("ec2:DescribeAvailabilityZones",),
    "aws:index/getCallerIdentity:getCallerIdentity": ("sts:GetCallerIdentity",),
    "aws:index/getPartition:getPartition": (),
}
"""IAM actions of the program's questions, by token."""

CONDITIONS: Mapping[str, Mapping[str, Mapping[str, list[str]]]] = {
    # CreateCluster and CreateNodegroup pass roles to EKS, launch templates to EC2 (AWS Step Functions Developer Guide, "IAM
    # policies for Amazon EKS"); flow logs and Pod Identity have services of their own.
    "iam:PassRole": {
        "StringEquals": {
            "iam:PassedToService": [
                "eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com",
            ]
        }
    },
    "iam:CreateServiceLinkedRole": {
        "StringEquals": {
            "iam:AWSServiceName": [
                "eks.amazonaws.com", "eks-nodegroup.amazonaws.com", "autoscaling.amazonaws.com",
                "elasticfilesystem.amazonaws.com", "elasticloadbalancing.amazonaws.com", "spot.amazonaws.com",
            ]
        }
    },
}  # fmt: skip
"""What an action is held to wherever it is allowed: a right to pass any role to any service is a right to everything."""
