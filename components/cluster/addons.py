"""EKS add-ons of an Auto Mode cluster: the EFS CSI driver, with an IAM role through Pod Identity.

Auto Mode nodes bring networking, DNS, EBS and the Pod Identity agent themselves. What managed node groups need beyond
that belongs here too, since `pulumi_eks.Cluster` would make everything behind the cluster wait for its add-ons.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from .iam import pod_identity_trust

EFS_DRIVER_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonEFSCSIDriverPolicy"
"""Managed policy for the driver: describe file systems and mount targets, make and delete access points."""

AUTO_POOL = {"karpenter.sh/nodepool": "general-purpose"}
"""Selects the built-in pool."""

_ADDON_VERSION = re.compile(r"^v(?P<major>\d+)\.\d+\.\d+-eksbuild\.\d+$")


def efs_driver_service_accounts(addon_version: str) -> tuple[str, ...]:
    """Service accounts of the EFS CSI driver that the add-on lets Pod Identity serve.

    The controller makes access points. The node component resolves mount targets; on Auto Mode nodes, whose role may do
    nothing but join and pull images, it needs an identity of its own. The add-on takes an association for it from
    v3.0.0 on (AWS re:Post, "How to use a dedicated IAM role with the EFS CSI driver node component") and refuses it
    before. Raises ValueError for what is no add-on version.
    """
    match = _ADDON_VERSION.match(addon_version)
    if match is None:
        raise ValueError(
            f"efs_csi_version: {addon_version!r} is no version of an EKS add-on, such as v3.3.0-eksbuild.1; "
            "`aws eks describe-addon-versions --addon-name aws-efs-csi-driver` lists them"
        )
    controller = ("efs-csi-controller-sa",)
    return controller if int(match["major"]) < 3 else (*controller, "efs-csi-node-sa")


def efs_driver_configuration() -> dict[str, Any]:
    """Settings of the EFS add-on: its controller runs on the built-in pool, where the platform's own pods are.

    Left alone it may be scheduled to a GPU node, which then neither empties nor is given back. The node component needs
    nothing: by default it tolerates every taint, and so mounts on GPU nodes too.
    """
    return {"controller": {"nodeSelector": dict(AUTO_POOL)}}


@dataclass(frozen=True, kw_only=True)
class ClusterAddonsArgs:
    """What the add-ons need to know."""

    cluster_name: pulumi.Input[str]
    """Name of the cluster. Changing it replaces the add-ons."""
    efs_csi_version: str
    """Version of the aws-efs-csi-driver add-on, pinned: the newest one would make two runs of one commit differ."""

    def __post_init__(self) -> None:
        efs_driver_service_accounts(self.efs_csi_version)


class ClusterAddons(pulumi.ComponentResource):
    """The EFS CSI driver, so that claims of the EFS storage class are served."""

    efs_driver: aws.eks.Addon
    """The driver. Storage classes and claims need it first, and to be deleted: it removes their access points."""
    ready: list[pulumi.Resource]
    """What must stand before a claim is made, and must go after it."""

    def __init__(self, name: str, args: ClusterAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:ClusterAddons", name, {"efsCsiVersion": args.efs_csi_version}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-efs-csi",
            description="EFS CSI driver, through EKS Pod Identity",
            assume_role_policy=json.dumps(pod_identity_trust()),
            opts=child,
        )
        policy = aws.iam.RolePolicyAttachment(
            f"{name}-efs-csi", role=role.name, policy_arn=EFS_DRIVER_POLICY, opts=child
        )
        self.efs_driver = aws.eks.Addon(
            f"{name}-efs-csi",
            cluster_name=args.cluster_name,
            addon_name="aws-efs-csi-driver",
            addon_version=args.efs_csi_version,
            pod_identity_associations=[
                aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)
                for account in efs_driver_service_accounts(args.efs_csi_version)
            ],
            configuration_values=json.dumps(efs_driver_configuration()),
            # What a driver installed by hand left behind must not stop the add-on.
            resolve_conflicts_on_create="OVERWRITE",
            # What is written here is what runs: PRESERVE would keep changes made by hand that no plan shows.
            resolve_conflicts_on_update="OVERWRITE",
            opts=pulumi.ResourceOptions(
                parent=self,
                # The driver reads its rights when it starts, and needs them in a destroy to remove access points.
                depends_on=[policy],
            ),
        )
        self.ready = [self.efs_driver]
        self.register_outputs({"efs_driver_version": self.efs_driver.addon_version})
