"""GPU pools of the stack."""

from __future__ import annotations

import pulumi

from components import sizing
from components.capacity.gpu_pool import GpuPool, GpuPoolArgs
from components.capacity.node_role import NodeRole, NodeRoleArgs
from components.cluster.cluster import AutoModeCluster
from components.network.node_network import NodeNetwork
from stacks.settings import Settings


def gpu_pools(
    settings: Settings, network: NodeNetwork, cluster: AutoModeCluster, in_cluster: pulumi.ResourceOptions
) -> dict[str, list[pulumi.Resource]]:
    """GPU pools by name, as what depends on them."""
    if not settings.capacity.pools:
        return {}
    role = NodeRole("nodes", NodeRoleArgs(cluster_name=cluster.cluster_name), in_cluster)
    made = {}
    for name, pool in settings.capacity.pools.items():
        zone_ids = sizing.pool_zones(pool, list(network.private_subnet_ids))
        made[name] = GpuPool(
            f"pool-{name}",
            GpuPoolArgs(
                pool_name=name,
                spec=pool,
                zone_ids=zone_ids,
                zone_names=network.zone_names,
                gpu_limit=sizing.pool_limit(name, pool, dict(settings.graphs)),
                role_name=role.role_name,
                subnet_ids=[network.private_subnet_ids[zone] for zone in zone_ids],
                security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
                tags=settings.aws_tags,
                node_access=[*role.ready, *cluster.ready, *network.egress],
            ),
            in_cluster,
        ).ready
    return made
