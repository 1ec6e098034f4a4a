"""A network, an EKS cluster in Auto Mode and one pool of GPU machines, from `dynamo_eks` alone."""

import pulumi
import pulumi_aws as aws
from dynamo_eks import (
    AutoModeCluster,
    AutoModeClusterArgs,
    GpuPool,
    GpuPoolArgs,
    Network,
    NetworkArgs,
    NodeRole,
    NodeRoleArgs,
    cluster_provider,
)
from dynamo_eks.capacity.spec import Pool
from dynamo_eks.cluster.spec import Cluster as ClusterSpec
from dynamo_eks.network.lookup import read_zones
from dynamo_eks.network.spec import Network as NetworkSpec
from dynamo_eks.network.zones import choose

config = pulumi.Config()
region = aws.config.region or "us-east-1"
name = f"gpu-{pulumi.get_stack()}"
account = aws.Provider("aws", region=region)
in_aws = pulumi.ResourceOptions(providers=[account])

network = Network(
    "network",
    NetworkArgs(
        region=region,
        spec=NetworkSpec(cidr="10.80.0.0/16", nat="single"),
        zones=choose(read_zones(account), 3),
        protect=False,
    ),
    in_aws,
)
cluster = AutoModeCluster(
    "cluster",
    AutoModeClusterArgs(
        cluster_name=name,
        region=region,
        # From where kubectl and pulumi come: pulumi config set --path 'reach[0]' 52.95.4.7/32
        spec=ClusterSpec(public_access_cidrs=tuple(config.require_object("reach")), protect=False),
        vpc_id=network.vpc_id,
        private_subnet_ids=list(network.private_subnet_ids.values()),
        egress=network.egress,
    ),
    in_aws,
)
kubernetes = cluster_provider("kubernetes", kubeconfig=cluster.kubeconfig, cluster_arn=cluster.arn, ready=cluster.ready)
in_cluster = pulumi.ResourceOptions(providers=[account, kubernetes])

role = NodeRole("nodes", NodeRoleArgs(cluster_name=cluster.cluster_name), in_cluster)
GpuPool(
    "pool",
    GpuPoolArgs(
        pool_name="gpu",
        spec=Pool(families=("g6e",), capacity=("spot", "on-demand")),
        zone_ids=list(network.zone_names),
        zone_names=network.zone_names,
        # Eight GPUs at once, whatever is asked for.
        gpu_limit=8,
        role_name=role.role_name,
        subnet_ids=list(network.private_subnet_ids.values()),
        security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
        node_access=[*role.ready, *cluster.ready, *network.egress],
    ),
    in_cluster,
)

pulumi.export("cluster", cluster.cluster_name)
pulumi.export("kubeconfig", pulumi.Output.secret(cluster.kubeconfig))
