"""The security group that EFA traffic needs."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws


def efa_security_group(name: str, vpc_id: pulumi.Input[str], parent: pulumi.Resource) -> aws.ec2.SecurityGroup:
    """Group whose members may send each other everything, both ways, and reach the outside.

    EFA is not IP traffic that a range could admit: the rules must name the group itself, for both directions (EC2 User
    Guide, "Prepare an EFA-enabled security group"). It carries no kubernetes.io/cluster tag, since load balancer
    controllers expect that on one group only.
    """
    group = aws.ec2.SecurityGroup(
        f"{name}-efa",
        vpc_id=vpc_id,
        description="EFA between GPU workers",
        tags={"Name": f"{name}-efa"},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    # Rules go before the group, and the group only after its last network interface is gone.
    child = pulumi.ResourceOptions(parent=group)
    aws.vpc.SecurityGroupIngressRule(
        f"{name}-efa-from-itself",
        security_group_id=group.id,
        referenced_security_group_id=group.id,
        ip_protocol="-1",
        description="EFA and everything else between members",
        opts=child,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-efa-to-itself",
        security_group_id=group.id,
        referenced_security_group_id=group.id,
        ip_protocol="-1",
        description="EFA and everything else between members",
        opts=child,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-efa-out",
        security_group_id=group.id,
        cidr_ipv4="0.0.0.0/0",
        ip_protocol="-1",
        description="Image registries, model hubs, AWS APIs",
        opts=child,
    )
    return group
