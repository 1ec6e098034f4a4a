"""The nodes of one UltraServer: a managed node group on its Capacity Block.

Makes a launch template (instance type, market, reservation, network interfaces, disk, user data), the node group, and
scheduled actions that bring the nodes at the block's start and drain them before EC2 takes them. Assumes a subnet in
the block's zone, the node role with its policies, and the add-ons that managed nodes need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pulumi
import pulumi_aws as aws

from .network_cards import layout
from .node_config import encoded
from .ultraservers import RACK_LABEL, RACK_MARK, TAINT, Rack
from .window import ScheduledAction, moment

AMI_TYPE = "AL2023_ARM_64_NVIDIA"
"""The one image documented for P6e: arm64, driver, IMEX, fabric manager (EKS User Guide, P6e-GB200). No Bottlerocket."""

REPAIR_THRESHOLD_PERCENT = 20
"""Share of unhealthy nodes above which nothing is repaired."""

HOP_LIMIT = 2
"""Of the instance metadata: DaemonSets of the GPU stack run in pods and read it, one hop further than the node."""


@dataclass(frozen=True, kw_only=True)
class UltraServerNodesArgs:
    """What the nodes of a rack need to know."""

    rack: Rack
    """Another reservation is another node group, made before the old one goes."""
    now: datetime
    """Moment of planning: decides how many nodes a new group begins with, and which actions are still to come."""
    cluster_name: pulumi.Input[str]
    node_role_arn: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    """Subnet in the block's zone, and no other."""
    security_group_ids: Sequence[pulumi.Input[str]]
    """The cluster's group and the EFA group. Both on every interface: with groups in the template EKS adds none."""
    kubernetes_version: str
    ami_release: str
    root_volume_gib: int
    node_repair: bool
    protect: bool
    tags: dict[str, str] = field(default_factory=dict)
    """Tags of instances, volumes and interfaces; the AWS provider's own do not reach what the group launches."""
    node_access: Sequence[pulumi.Resource] = ()
    """What must exist before a node joins and outlive the last: role policies, add-ons, cluster, ways out."""


class UltraServerNodes(pulumi.ComponentResource):
    """Launch template, managed node group and schedules of one UltraServer."""

    node_group_name: str
    ready: list[pulumi.Resource]
    """The node group; what runs on its nodes is destroyed before it."""
    launch_template_id: pulumi.Output[str]
    auto_scaling_group: pulumi.Output[str]

    def __init__(self, name: str, args: UltraServerNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        rack = args.rack
        inputs: dict[str, Any] = {"reservation": rack.spec.reservation, "type": rack.spec.type}
        if rack.spec.upfront_fee_usd is not None:
            inputs["upfrontFeeUsd"] = rack.spec.upfront_fee_usd
        super().__init__("dynamo-eks:index:UltraServerNodes", name, inputs, opts)
        # Named by the block: with another reservation all of this is made anew beside the old, and nothing is moved.
        block = f"{name}-{rack.spec.reservation[-8:]}"
        template = self._template(block, args)
        self.node_group_name = rack.block_key
        group = aws.eks.NodeGroup(
            block,
            cluster_name=args.cluster_name,
            # Fixed, so that a second creation collides instead of taking machines of the block.
            node_group_name=self.node_group_name,
            node_role_arn=args.node_role_arn,
            subnet_ids=[args.subnet_id],
            capacity_type="CAPACITY_BLOCK",
            ami_type=AMI_TYPE,
            release_version=args.ami_release,
            version=args.kubernetes_version,
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(
                # Before the start every launch fails, and a group that wants nodes then is CREATE_FAILED
                # (aws/containers-roadmap #2204).
                desired_size=rack.window.desired_nodes(args.now, rack.nodes),
                min_size=0,
                max_size=rack.nodes,
            ),
            labels=node_labels(rack),
            taints=[aws.eks.NodeGroupTaintArgs(**TAINT)],
            update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy="MINIMAL"),
            node_repair_config=repair(args.node_repair),
            tags={"Name": block},
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                # Schedules and people move it; an update must not send running nodes home, or ask for nodes that are gone.
                ignore_changes=["scalingConfig.desiredSize"],
                delete_before_replace=True,
                depends_on=list(args.node_access),
                # Eighteen machines boot, and drain with their workers' whole grace period.
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="120m", delete="60m"),
            ),
        )
        self.auto_scaling_group = group.resources.apply(_group_name)
        for action in rack.window.actions(args.now, rack.nodes):
            self._schedule(block, action)
        self.launch_template_id = template.id
        self.ready = [group]
        self.register_outputs({"node_group_name": self.node_group_name})

    def _template(self, block: str, args: UltraServerNodesArgs) -> aws.ec2.LaunchTemplate:
        rack, groups = args.rack, list(args.security_group_ids)
        interfaces = layout(rack.spec.instance_type, rack.spec.efa_interfaces).interfaces()
        tags = {"Name": block, **args.tags}
        return aws.ec2.LaunchTemplate(
            block,
            # Fixed, as the node group's: a second creation collides.
            name=block,
            description=f"Nodes of UltraServer {rack.name} on {rack.spec.reservation}",
            update_default_version=True,
            # Here and not on the node group, which refuses it in both places (aws/containers-roadmap #1352).
            instance_type=rack.spec.instance_type,
            # Without market type and reservation the block is never used, however idle it is.
            instance_market_options=aws.ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block"),
            capacity_reservation_specification=aws.ec2.LaunchTemplateCapacityReservationSpecificationArgs(
                capacity_reservation_target=aws.ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
                    capacity_reservation_id=rack.spec.reservation
                )
            ),
            # No subnet, no placement group, no instance profile: EKS refuses them in a managed node group's template.
            network_interfaces=[
                aws.ec2.LaunchTemplateNetworkInterfaceArgs(
                    network_card_index=item.card,
                    device_index=item.device,
                    interface_type=item.type,
                    security_groups=groups,
                    delete_on_termination="true",
                )
                for item in interfaces
            ],
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=HOP_LIMIT
            ),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=args.root_volume_gib,
                        volume_type="gp3",
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            user_data=encoded(rack.spec.huge_pages_mib),
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
                for kind in ("instance", "volume", "network-interface")
            ],
            tags={"Name": block},
            opts=pulumi.ResourceOptions(
                parent=self,
                # Another tag would be another version, and EKS then replaces every node of a running block, one at a time.
                ignore_changes=["tagSpecifications"],
            ),
        )

    def _schedule(self, block: str, action: ScheduledAction) -> None:
        aws.autoscaling.Schedule(
            f"{block}-{action.name}",
            autoscaling_group_name=self.auto_scaling_group,
            scheduled_action_name=f"{block}-{action.name}",
            start_time=moment(action.at),
            time_zone="Etc/UTC",
            # All three, always: a size left out becomes 0.
            min_size=action.min_size,
            max_size=action.max_size,
            desired_capacity=action.desired_capacity,
            opts=pulumi.ResourceOptions(parent=self),
        )


def repair(enabled: bool) -> aws.eks.NodeGroupNodeRepairConfigArgs:
    """Whether and how EKS replaces what the node monitoring agent reports.

    One node at a time: a full block has no spare machine, so that a replacement is launched into the slot that the old one has
    left, and until it has joined its clique no gang of the whole rack starts. None while more than a fifth is unhealthy, which is
    EKS's own default for groups of more than five nodes and is no fault of a node (EKS User Guide, "Node auto repair").
    Nothing because of DCGMError: it says that the agent cannot ask its DCGM server, and the chart (1.7.0) places that one on amd64
    nodes alone, so that it may be true of every healthy node of a rack.
    """
    if not enabled:
        return aws.eks.NodeGroupNodeRepairConfigArgs(enabled=False)
    return aws.eks.NodeGroupNodeRepairConfigArgs(
        enabled=True,
        max_parallel_nodes_repaired_count=1,
        max_unhealthy_node_threshold_percentage=REPAIR_THRESHOLD_PERCENT,
        node_repair_config_overrides=[
            aws.eks.NodeGroupNodeRepairConfigNodeRepairConfigOverrideArgs(
                node_monitoring_condition="AcceleratedHardwareReady",
                node_unhealthy_reason="DCGMError",
                min_repair_wait_time_mins=10,
                repair_action="NoAction",
            )
        ],
    )


def _group_name(resources: Sequence[aws.eks.outputs.NodeGroupResource]) -> str:
    """Name of the Auto Scaling group that EKS made for a node group."""
    groups = resources[0].autoscaling_groups if resources else None
    return (groups[0].name if groups else None) or ""


def node_labels(rack: Rack) -> dict[str, str]:
    """Labels of a rack's nodes: where graphs and charts find them. `nvidia.com/gpu.present` is what EKS's image sets by
    itself from 1.35 on; before, the DRA driver and the operator would wait for feature discovery."""
    return {
        RACK_LABEL: rack.name,
        RACK_MARK: "true",
        "dynamo-eks/capacity-block": rack.spec.reservation,
        "nvidia.com/gpu.present": "true",
    }
