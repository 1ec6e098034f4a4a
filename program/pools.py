"""GPU pools of the stack."""

from __future__ import annotations

import pulumi

from components import sizing
from components.capacity.gpu_pool import GpuPool, GpuPoolArgs, ReservationArgs
from components.capacity.node_role import NodeRole, NodeRoleArgs
from components.capacity.node_spec import PoolSpec
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
        ends = [item.end for item in pool.reservations if item.end is not None]
        storage = pool.ephemeral_storage
        made[name] = GpuPool(
            f"pool-{name}",
            GpuPoolArgs(
                spec=PoolSpec(
                    name=name,
                    families=pool.families,
                    instance_types=pool.instance_types,
                    capacity=pool.capacity,
                    zone_names=[network.zone_names[zone] for zone in zone_ids],
                    gpu_limit=sizing.pool_limit(name, pool, dict(settings.graphs)),
                    consolidate_after=pool.consolidate_after,
                    expire_after=pool.expire_after,
                    disruption_budget=pool.disruption_budget,
                    block_end=min(ends, default=None),
                    uses_open_reservations=pool.uses_open_reservations,
                    weight=pool.weight,
                ),
                reservations=[
                    ReservationArgs(
                        key=f"reservation-{position}",
                        kind=item.kind,
                        instance_type=item.instance_type,
                        zone_id=item.zone,
                        zone_name=network.zone_names[item.zone],
                        count=item.count,
                        id=item.id,
                        tags=item.tags,
                        create=item.create,
                        end=item.end,
                        protect=item.protect,
                    )
                    for position, item in enumerate(pool.reservations)
                ],
                role_name=role.role_name,
                subnet_ids=[network.private_subnet_ids[zone] for zone in zone_ids],
                security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
                size_gib=storage.size_gib,
                iops=storage.iops,
                throughput_mibps=storage.throughput_mibps,
                tags=settings.aws_tags,
                node_access=[*role.ready, *cluster.ready, *network.egress],
            ),
            in_cluster,
        ).ready
    return made
