"""Storage classes: EBS for one pod at a time, the cluster's default, and EFS for files that many pods share.

Auto Mode makes no storage class of its own, so that without these every claim stays pending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

EBS_CLASS = "auto-ebs-sc"
"""Name of the EBS class (EKS User Guide, "Create a storage class")."""

EFS_CLASS = "efs-sc-dynamic"
"""Name of the EFS class, as in Dynamo's guide for EKS."""

LOCAL_ZONE_CLASS = "efs-sc-local-zone"
"""Name of the EFS class for namespaces with graphs in a Local Zone."""

FILES_OWNER = "1000"
"""User and group of every file on EFS: Dynamo's images run as it, and the access point makes everybody it."""


def volume_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Parameters by which the EBS driver tags the volumes that it makes: one `key=value` each, numbered.

    Auto Mode's driver has no flag for them, but takes these of the class (EKS User Guide, "Create a storage class",
    considerations; aws-ebs-csi-driver, docs/tagging.md). Sorted, since a class of another order would be another class.
    """
    return {f"tagSpecification_{n}": f"{key}={value}" for n, (key, value) in enumerate(sorted(tags.items()), 1)}


def ebs_class(tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Fields of the EBS class that Auto Mode's own driver serves; `tags` are those of its volumes.

    Volumes are made once the pod has a node, in that node's zone; made earlier they may be in a zone where the pool
    cannot launch. Bound to Auto Mode nodes, since no other node can attach them (awsdocs/amazon-eks-user-guide#1099).
    """
    return {
        "provisioner": "ebs.csi.eks.amazonaws.com",
        "parameters": {"type": "gp3", "encrypted": "true", **volume_tags(tags or {})},
        "volume_binding_mode": "WaitForFirstConsumer",
        "allow_volume_expansion": True,
        "reclaim_policy": "Delete",
        "allowed_topologies": [
            {"match_label_expressions": [{"key": "eks.amazonaws.com/compute-type", "values": ["auto"]}]}
        ],
    }


def efs_parameters(file_system_id: Any) -> dict[str, Any]:
    """Parameters of the EFS class: an access point for each claim, in a directory named after the claim.

    The access point answers every request as user and group 1000, since a pod's fsGroup has no effect on EFS
    (kubernetes-sigs/aws-efs-csi-driver#1202). Mode 777 lets programs that look at the mode bits themselves, under
    another user, believe that they may write.
    A claim made again, in a namespace made again, finds its files: by default the driver would add a random part to the
    directory's name, leave the old one behind and bill for both.
    """
    return {
        "provisioningMode": "efs-ap",
        "fileSystemId": file_system_id,
        "directoryPerms": "777",
        "uid": FILES_OWNER,
        "gid": FILES_OWNER,
        "subPathPattern": "${.PVC.namespace}/${.PVC.name}",
        "ensureUniqueDirectory": "false",
    }


@dataclass(frozen=True, kw_only=True)
class StorageClassesArgs:
    """Which classes to make."""

    ebs: bool = True
    """Make the EBS class and the cluster's default."""
    volume_tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the volumes of the EBS class, which the cluster's role must be allowed to set. Changing them replaces the class;
    volumes that exist keep theirs."""
    efs_file_system_id: pulumi.Input[str] | None = None
    """File system of the EFS class; none, no class. Changing it replaces the class, and claims that exist stay where
    they are."""
    efs_ready: Sequence[pulumi.Resource] = ()
    """The EFS driver and the mount targets: what claims of the EFS class need to be served and to be deleted."""
    local_zone_mounts: str | None = None
    """Name of the Availability Zone whose mount target pods in a Local Zone use; None makes no class for them."""

    def __post_init__(self) -> None:
        if self.efs_file_system_id is not None and not self.efs_ready:
            raise ValueError(
                "efs_ready: empty, and a destroy could take the driver or the mount targets before the claims, which then "
                "never end; give the EFS driver and the mount targets"
            )


class StorageClasses(pulumi.ComponentResource):
    """The storage classes of the cluster."""

    ebs_class_name: str | None
    """Name of the EBS class, the cluster's default."""
    efs_class_name: str | None
    """Name of the EFS class."""
    local_zone_class_name: str | None
    """Name of the EFS class for Local Zones."""
    ready: list[pulumi.Resource]
    """The classes; a claim must depend on them, and through them on the driver that serves and removes its volume."""
    default_ready: list[pulumi.Resource]
    """Of these the cluster's default: what pods that share no files need."""

    def __init__(self, name: str, args: StorageClassesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:StorageClasses", name, {"ebs": args.ebs}, opts)
        self.ready, self.default_ready = [], []
        self.ebs_class_name = self.efs_class_name = self.local_zone_class_name = None
        if args.ebs:
            self.ebs_class_name = EBS_CLASS
            self.default_ready = [self._ebs(name, args.volume_tags)]
            self.ready += self.default_ready
        if args.efs_file_system_id is not None:
            self.efs_class_name = EFS_CLASS
            self.ready.append(self._efs(f"{name}-efs", EFS_CLASS, args))
            if args.local_zone_mounts is not None:
                self.local_zone_class_name = LOCAL_ZONE_CLASS
                # Without a zone named, a mount asks for the target of its own zone, and a Local Zone has none
                # (efs-utils, option `az`). All pods of the namespace then mount through that one.
                self.ready.append(
                    self._efs(f"{name}-local-zone", LOCAL_ZONE_CLASS, args, [f"az={args.local_zone_mounts}"])
                )
        self.register_outputs({"ebs_class_name": self.ebs_class_name, "efs_class_name": self.efs_class_name})

    def _ebs(self, name: str, tags: Mapping[str, str]) -> kubernetes.storage.v1.StorageClass:
        return kubernetes.storage.v1.StorageClass(
            f"{name}-ebs",
            metadata={
                "name": EBS_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            **ebs_class(tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Classes cannot be changed, only made again, and the name is taken until the old one is gone.
                delete_before_replace=True,
            ),
        )

    def _efs(
        self, name: str, class_name: str, args: StorageClassesArgs, mount_options: list[str] | None = None
    ) -> kubernetes.storage.v1.StorageClass:
        return kubernetes.storage.v1.StorageClass(
            name,
            metadata={"name": class_name},
            provisioner="efs.csi.aws.com",
            parameters=efs_parameters(args.efs_file_system_id),
            mount_options=mount_options,
            # The access point goes with the claim; the files stay on the file system, for the claim made again.
            reclaim_policy="Delete",
            volume_binding_mode="Immediate",
            opts=pulumi.ResourceOptions(
                parent=self,
                # Classes cannot be changed, only made again, and the name is taken until the old one is gone.
                delete_before_replace=True,
                # The driver removes a claim's access point, and mounts need a mount target in their zone.
                depends_on=list(args.efs_ready),
            ),
        )
