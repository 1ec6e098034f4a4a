"""The stack's network, made or taken, and what its Capacity Blocks ask of it."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components import sizing
from components.capacity.capacity_block import CapacityBlock, CapacityBlockArgs
from components.capacity.ultraservers import Rack
from components.network.existing import ExistingNetwork, ExistingNetworkArgs, SubnetPair
from components.network.lookup import read_zones
from components.network.network import Network, NetworkArgs, RackZone
from components.network.node_network import NodeNetwork
from components.network.rack_zones import closed_zones, nat_zone
from components.network.zones import choose
from stacks.settings import Settings


def blocks_of(racks: Mapping[str, Rack], account: aws.Provider) -> dict[str, CapacityBlock]:
    """Capacity Blocks of the stack, read before anything else: their zones shape the network."""
    # It makes nothing, and reads with the provider it is given.
    return {
        name: CapacityBlock(f"block-{name}", CapacityBlockArgs(rack=rack, provider=account))
        for name, rack in racks.items()
    }


def mounts(blocks: Mapping[str, CapacityBlock], network: NodeNetwork) -> str | None:
    """Name of the zone whose mount target UltraServers in a Local Zone use; None where every zone has its own."""
    local = next((block.zone for block in blocks.values() if block.zone.type != "availability-zone"), None)
    if local is None:
        return None
    return network.zone_names.get(local.parent_zone_id or "") or network.zone_names[min(network.zone_names)]


def made_network(
    settings: Settings, account: aws.Provider, racks: Mapping[str, Rack], blocks: Mapping[str, CapacityBlock]
) -> NodeNetwork:
    """The network of the stack: one that is there already, or the stack's own."""
    config, in_aws = settings.network, pulumi.ResourceOptions(providers=[account])
    if config.existing is not None:
        pairs = {zone: SubnetPair(pair.private, pair.public) for zone, pair in sorted(config.existing.subnets.items())}
        nodes: dict[str, int] = {}
        for rack in racks.values():
            nodes[rack.spec.zone] = nodes.get(rack.spec.zone, 0) + rack.nodes
        return ExistingNetwork(
            "network",
            ExistingNetworkArgs(
                vpc_id=config.existing.vpc_id,
                subnets=pairs,
                pool_nodes=sizing.pool_nodes(settings.capacity.pools, settings.graphs.values(), list(pairs)),
                balancers={graph.exposure.scheme for graph in settings.graphs.values() if graph.exposure.type == "nlb"},
                rack_subnets=config.existing.ultra_server_subnets,
                rack_nodes=nodes,
                provider=account,
            ),
            in_aws,
        )
    standing = {block.zone.zone_id: block.zone for block in blocks.values()}
    if closed := closed_zones(list(standing.values()), config.local_zones.opt_in):
        raise pulumi.RunError(closed)
    try:
        zones = choose(read_zones(account), config.zones)
    except ValueError as error:
        raise pulumi.RunError(f"dynamo-eks:network.{error}") from error
    return Network(
        "network",
        NetworkArgs(
            region=settings.region or "",
            spec=config,
            zones=zones,
            # The cluster stands and falls with its VPC, and so does what lets it go.
            protect=settings.cluster.protect,
            flow_log_group=f"/dynamo-eks/{settings.cluster_name}/flow",
            rack_zones=[
                RackZone(
                    zone_id=zone.zone_id,
                    name=zone.name,
                    group=zone.group,
                    type=zone.type,
                    nat_zone_id=nat_zone(config.local_zones.nat_zone, zone, [item.zone_id for item in zones]),
                )
                for zone in standing.values()
            ],
        ),
        in_aws,
    )
