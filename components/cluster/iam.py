"""IAM policy documents of the cluster. Pure: dicts that become JSON."""

from __future__ import annotations

from typing import Any

_CLUSTER_NAME = "eks:eks-cluster-name"
_SAME_CLUSTER = {f"aws:RequestTag/{_CLUSTER_NAME}": f"${{aws:PrincipalTag/{_CLUSTER_NAME}}}"}
"""The request must carry the name of the cluster that EKS put on the role's session: one cluster cannot act for another."""

POD_IDENTITY_SERVICE = "pods.eks.amazonaws.com"


def auto_mode_tags_policy() -> dict[str, Any]:
    """Let Auto Mode put tags of our own on what it creates.

    Its managed policies allow only the tag keys EKS itself sets, so that a NodeClass with `spec.tags` launches nothing:
    every CreateFleet is refused. Statements follow the EKS User Guide, "Amazon EKS Auto Mode cluster IAM role", section
    on custom tags, with two differences. Node names in the network interface statement are matched with StringLike, as
    the managed AmazonEKSNetworkingPolicy does: StringEquals with `*` never holds. Shield is left out; nothing uses it.

    The last two are for an edit of the tags. AmazonEKSLoadBalancingPolicy (v10 of August 2026) lets load balancers be tagged
    only by the call that makes them, so that the controller would be refused at every later look at one whose tags differ.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            _tagging(
                "Compute",
                ["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate"],
                present=["eks:kubernetes-node-class-name", "eks:kubernetes-node-pool-name"],
            ),
            _tagging(
                "Storage",
                ["ec2:CreateVolume", "ec2:CreateSnapshot"],
                resource=["arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:snapshot/*"],
            ),
            _tagging("Networking", ["ec2:CreateNetworkInterface"], present=["eks:kubernetes-cni-node-name"]),
            _tagging(
                "LoadBalancer",
                [
                    "elasticloadbalancing:CreateLoadBalancer",
                    "elasticloadbalancing:CreateTargetGroup",
                    "elasticloadbalancing:CreateListener",
                    "elasticloadbalancing:CreateRule",
                    "ec2:CreateSecurityGroup",
                ],
            ),
            _tagging_again("LoadBalancerTags", ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]),
            _tagging_again(
                "SecurityGroupTags",
                ["ec2:CreateTags", "ec2:DeleteTags"],
                resource="arn:aws:ec2:*:*:security-group/*",
            ),
        ],
    }


def _tagging_again(sid: str, actions: list[str], *, resource: str = "*") -> dict[str, Any]:
    """Let the tags be changed of what the cluster has made, and of nothing else."""
    mine = {f"aws:ResourceTag/{_CLUSTER_NAME}": f"${{aws:PrincipalTag/{_CLUSTER_NAME}}}"}
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource, "Condition": {"StringEquals": mine}}


def _tagging(
    sid: str, actions: list[str], *, resource: str | list[str] = "*", present: list[str] | None = None
) -> dict[str, Any]:
    condition: dict[str, Any] = {"StringEquals": dict(_SAME_CLUSTER)}
    if present:
        condition["StringLike"] = {f"aws:RequestTag/{key}": "*" for key in present}
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource, "Condition": condition}


def pod_identity_trust() -> dict[str, Any]:
    """Trust of a role that pods take through EKS Pod Identity; TagSession, because EKS tags the session with the pod."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": POD_IDENTITY_SERVICE},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        ],
    }


def ec2_trust() -> dict[str, Any]:
    """Trust of a role that nodes have."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": ["sts:AssumeRole"]}],
    }


def role_name(arn: str) -> str:
    """Name of a role from its ARN, without the path. Raises ValueError for anything but a role's ARN."""
    head, _, path = arn.partition(":role/")
    if not head.startswith("arn:") or not path:
        raise ValueError(f"{arn!r} is not the ARN of an IAM role, such as arn:aws:iam::111122223333:role/name")
    return path.rsplit("/", 1)[-1]
