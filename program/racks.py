"""UltraServers of the stack: nodes, NVIDIA's stack on them, and the ladder that proves each rack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components import catalog
from components.capacity.rack_role import RackRole, RackRoleArgs
from components.capacity.ultraserver_nodes import UltraServerNodes, UltraServerNodesArgs
from components.capacity.ultraservers import Rack
from components.capacity.window import moment
from components.cluster.cluster import AutoModeCluster
from components.cluster.hybrid_addons import HybridAddons, HybridAddonsArgs
from components.gpu import values
from components.gpu.dra_driver import DraDriver, DraDriverArgs
from components.gpu.efa_plugin import EfaPlugin, EfaPluginArgs
from components.gpu.gpu_operator import GpuOperator, GpuOperatorArgs
from components.network.node_network import NodeNetwork
from components.validation.ladder import VerificationLadder, VerificationLadderArgs
from components.validation.ladder_objects import MEASURED, RUNGS, RackUnderTest
from components.validation.mpi_operator import MpiOperator, MpiOperatorArgs
from stacks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PlacedRacks:
    rack_ready: Mapping[str, list[pulumi.Resource]] = field(default_factory=dict)
    gpu_stack: list[pulumi.Resource] = field(default_factory=list)
    outputs: Mapping[str, object] = field(default_factory=dict)


def ultra_servers(
    settings: Settings,
    racks: Mapping[str, Rack],
    network: NodeNetwork,
    cluster: AutoModeCluster,
    ready: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> PlacedRacks:
    """Nodes of every UltraServer, NVIDIA's stack on them, and the ladder that proves each rack."""
    if not racks:
        return PlacedRacks()
    version = settings.cluster.version
    hybrid = HybridAddons(
        "hybrid",
        HybridAddonsArgs(
            cluster_name=cluster.cluster_name,
            versions=catalog.HYBRID_ADDONS[version],
            depends_on=[*cluster.ready, *network.egress],
        ),
        in_cluster,
    )
    role = RackRole("racks", RackRoleArgs(), in_cluster)
    nodes = {}
    for name, rack in racks.items():
        given = settings.capacity.ultra_servers[name]
        nodes[name] = UltraServerNodes(
            f"nodes-{name}",
            UltraServerNodesArgs(
                rack=rack,
                now=settings.at,
                cluster_name=cluster.cluster_name,
                node_role_arn=role.role_arn,
                subnet_id=network.rack_subnet_ids[rack.spec.zone],
                security_group_ids=[cluster.cluster_security_group_id, network.efa_security_group_id],
                kubernetes_version=version,
                ami_release=given.ami_release or catalog.AMI_RELEASES[version],
                root_volume_gib=given.root_volume_gib,
                node_repair=given.node_repair,
                protect=given.protect,
                tags=settings.aws_tags,
                node_access=[*role.ready, *hybrid.ready, *cluster.ready, *network.egress],
            ),
            in_cluster,
        )
    groups = [resource for item in nodes.values() for resource in item.ready]
    stack = _gpu_stack(settings, racks, [*ready, *groups], in_cluster)
    rack_ready, verified = _ladders(settings, racks, ready, stack, in_cluster)
    windows = {
        name: {"start": moment(rack.window.start), "drain": moment(rack.window.drain_at),
               "end": moment(rack.window.end), "nodeGroup": nodes[name].node_group_name,
               "verification": verified.get(name, {})}
        for name, rack in racks.items()
    }  # fmt: skip
    return PlacedRacks(rack_ready=rack_ready, gpu_stack=stack, outputs={"ultraServers": windows})


def _gpu_stack(
    settings: Settings,
    racks: Mapping[str, Rack],
    depends_on: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """DRA driver first, whose ComputeDomain CRD must be the one that is installed; then operator and EFA plugin."""
    config, names = settings.gpu, sorted(racks)
    dra = catalog.chart_release(catalog.DRA_DRIVER, config.dra_driver.version)
    operator = catalog.chart_release(catalog.GPU_OPERATOR, config.operator.version)
    plugin = catalog.chart_release(catalog.EFA_PLUGIN, config.efa_plugin.version)
    driver = DraDriver(
        "dra-driver",
        DraDriverArgs(
            chart=dra,
            values=values.merged(
                values.dra_driver(dra.version, settings.cluster.version, names), config.dra_driver.values
            ),
            depends_on=depends_on,
        ),
        in_cluster,
    )
    made = GpuOperator(
        "gpu-operator",
        GpuOperatorArgs(
            chart=operator,
            values=values.merged(
                values.gpu_operator(operator.version.removeprefix("v"), names, monitors=settings.dynamo.pod_monitors),
                config.operator.values,
            ),
            depends_on=driver.ready,
        ),
        in_cluster,
    )
    efa = EfaPlugin(
        "efa-plugin",
        EfaPluginArgs(
            chart=plugin,
            values=values.merged(values.efa_plugin(), config.efa_plugin.values),
            depends_on=depends_on,
        ),
        in_cluster,
    )
    return [*driver.ready, *made.ready, *efa.ready]


def _ladders(
    settings: Settings,
    racks: Mapping[str, Rack],
    pods_need: list[pulumi.Resource],
    stack: list[pulumi.Resource],
    in_cluster: pulumi.ResourceOptions,
) -> tuple[dict[str, list[pulumi.Resource]], dict[str, object]]:
    """What graphs on each rack wait for, and what the rungs said."""
    given = settings.capacity.ultra_servers
    operator: list[pulumi.Resource] = []
    if any(rung in MEASURED for name in racks for rung in given[name].verify):
        operator = MpiOperator(
            "mpi-operator",
            # It runs on the built-in pool, beside the racks and what is installed on them.
            MpiOperatorArgs(depends_on=pods_need),
            in_cluster,
        ).ready
    ready, results = {}, {}
    for name, rack in racks.items():
        ladder = VerificationLadder(
            f"verify-{name}",
            VerificationLadderArgs(
                tested=RackUnderTest(rack=rack, driver_branch=settings.gpu.driver_branch, namespace=f"verify-{name}"),
                check_image=catalog.PYTHON_IMAGE,
                # The last one is asked in a graph's own image, with the graph.
                rungs=[rung for rung in given[name].verify if rung in RUNGS],
                # The drivers wait for the nodes of every rack.
                depends_on=[*stack, *operator],
            ),
            in_cluster,
        )
        ready[name] = ladder.ready
        results[name] = ladder.results
    return ready, results
