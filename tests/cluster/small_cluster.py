"""A small stack around the cluster: network, cluster, provider, add-ons, one object in the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from components.cluster.addons import ClusterAddons, ClusterAddonsArgs
from components.cluster.cluster import AutoModeCluster, AutoModeClusterArgs
from components.cluster.kubernetes_provider import cluster_provider
from components.cluster.spec import Cluster

CONFIG = {"aws:region": "us-east-1"}
PLATFORM = "arn:aws:iam::123456789012:role/teams/platform"


def settings(**changes: Any) -> dict[str, Any]:
    """Arguments of the cluster; a change of a setting goes into its spec."""
    spec = {
        "admins": (PLATFORM,),
        "public_access_cidrs": ("52.95.4.0/24",),
        "logs": ("api", "audit"),
        **{key: changes.pop(key) for key in list(changes) if key in Cluster.model_fields},
    }
    return {
        "cluster_name": "prod",
        "region": "us-east-1",
        "spec": Cluster(**spec),
        "vpc_id": "vpc-1",
        "private_subnet_ids": ["subnet-1", "subnet-2"],
        "tags": {"team": "inference"},
        **changes,
    }


def small_stack(**changes: Any) -> Callable[[], None]:
    def program() -> None:
        provider = aws.Provider("aws", region="us-east-1")
        own = pulumi.ResourceOptions(provider=provider)
        parts = pulumi.ResourceOptions(providers=[provider])
        vpc = aws.ec2.Vpc("network", cidr_block="10.64.0.0/16", opts=own)
        subnets = [aws.ec2.Subnet(f"network-{zone}", vpc_id=vpc.id, opts=own) for zone in ("a", "b")]
        nat = aws.ec2.NatGateway("network-nat", subnet_id=subnets[0].id, opts=own)
        given = {"vpc_id": vpc.id, "private_subnet_ids": [subnet.id for subnet in subnets], "egress": [nat], **changes}
        cluster = AutoModeCluster("cluster", AutoModeClusterArgs(**settings(**given)), parts)
        in_cluster = cluster_provider(
            "kubernetes", kubeconfig=cluster.kubeconfig, cluster_arn=cluster.arn, ready=cluster.ready
        )
        ClusterAddons(
            "addons", ClusterAddonsArgs(cluster_name=cluster.cluster_name, efs_csi_version="v3.3.0-eksbuild.1"), parts
        )
        kubernetes.core.v1.Namespace(
            "inference", metadata={"name": "inference"}, opts=pulumi.ResourceOptions(provider=in_cluster)
        )
        pulumi.export("nodeRole", cluster.node_role_name)
        pulumi.export("securityGroup", cluster.cluster_security_group_id)
        pulumi.export("kubeconfig", cluster.kubeconfig)

    return program
