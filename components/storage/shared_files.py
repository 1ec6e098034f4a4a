"""Shared files on EFS, for models and compiled kernels.

Makes the file system, a security group that admits NFS from the cluster, one mount target in each zone, and a daily
backup if wanted. Assumes one private subnet in each zone and DNS hostnames and support on in the VPC, by which nodes
find the mount target of their own zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from .spec import Efs

NFS_PORT = 2049


@dataclass(frozen=True, kw_only=True)
class SharedFilesArgs:
    """What the shared file system needs to know."""

    creation_token: str
    """Name of the file system, at most 64 characters, unique in account and region: a second stack with the same name is
    refused instead of serving from an empty file system. Changing it replaces the file system."""
    vpc_id: pulumi.Input[str]
    """VPC of the mount targets. Changing it replaces them and their security group."""
    subnet_ids: Mapping[str, pulumi.Input[str]]
    """Subnet of the mount target by zone id. EFS takes one mount target in a zone."""
    client_security_group_ids: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Security groups that may mount, by a name for each; `cluster` for the one that EKS makes."""
    client_cidrs: Sequence[str] = ()
    """Address ranges that may mount, where no security group can be named."""
    spec: Efs
    """Throughput, daily backup and protection. Changed in place; EFS lets provisioned throughput be lowered, or left, 24 hours after its last change."""
    transition_to_ia: str | None = None
    """When unread files move to Infrequent Access, such as AFTER_30_DAYS; the first read brings them back. Reads from
    there are billed extra, and a model is read whole."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file system, beyond the AWS provider's default tags."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.creation_token) <= 64:
            raise ValueError(
                f"creation_token: {self.creation_token!r} has {len(self.creation_token)} characters; EFS takes 1 to 64"
            )
        if not self.subnet_ids:
            raise ValueError(
                "subnet_ids: none given, and nothing could mount; give one subnet for each zone with nodes"
            )
        if not (self.client_security_group_ids or self.client_cidrs):
            raise ValueError(
                "client_security_group_ids: none given and no client_cidrs either, and every mount would hang; "
                "name the cluster's security group"
            )
        if (self.spec.throughput == "provisioned") != (self.spec.provisioned_mibps is not None):
            raise ValueError(
                f"spec.provisioned_mibps: {self.spec.provisioned_mibps} with throughput {self.spec.throughput!r}; "
                "give it with `provisioned` and only there"
            )


def lifecycle_policies(transition_to_ia: str | None) -> list[aws.efs.FileSystemLifecyclePolicyArgs] | None:
    """Lifecycle of files: to Infrequent Access and, with the first read, back. None leaves all files in Standard."""
    if transition_to_ia is None:
        return None
    # EFS takes one transition in each policy.
    return [
        aws.efs.FileSystemLifecyclePolicyArgs(transition_to_ia=transition_to_ia),
        aws.efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS"),
    ]


class SharedFiles(pulumi.ComponentResource):
    """Encrypted EFS file system with a mount target in each zone. Deleting it loses every cached model."""

    file_system_id: pulumi.Output[str]
    """Id of the file system, `fs-…`."""
    security_group_id: pulumi.Output[str]
    """Security group of the mount targets."""
    mount_target_ids: dict[str, pulumi.Output[str]]
    """Mount target by zone id."""
    ready: list[pulumi.Resource]
    """What must stand before a volume is mounted, and must go after it: file system, mount targets and the rules that
    admit NFS. A pod that loses one of them while it has a volume mounted cannot end."""

    def __init__(self, name: str, args: SharedFilesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:SharedFiles", name, {"throughputMode": args.spec.throughput}, opts)
        child = pulumi.ResourceOptions(parent=self)
        file_system = aws.efs.FileSystem(
            f"{name}-efs",
            creation_token=args.creation_token,
            encrypted=True,
            performance_mode="generalPurpose",
            throughput_mode=args.spec.throughput,
            provisioned_throughput_in_mibps=args.spec.provisioned_mibps,
            lifecycle_policies=lifecycle_policies(args.transition_to_ia),
            tags={"Name": args.creation_token, **args.tags},
            opts=pulumi.ResourceOptions(
                parent=self,
                # Models of a terabyte are hours of download, and compiled kernels cannot be downloaded at all.
                protect=args.spec.protect,
            ),
        )
        if args.spec.backup:
            aws.efs.BackupPolicy(
                f"{name}-backup",
                file_system_id=file_system.id,
                backup_policy=aws.efs.BackupPolicyBackupPolicyArgs(status="ENABLED"),
                opts=child,
            )
        group, rules = self._security_group(name, args)
        targets = {
            zone: aws.efs.MountTarget(
                f"{name}-{zone}",
                file_system_id=file_system.id,
                subnet_id=subnet,
                security_groups=[group.id],
                opts=child,
            )
            for zone, subnet in args.subnet_ids.items()
        }
        self.file_system_id = file_system.id
        self.security_group_id = group.id
        self.mount_target_ids = {zone: target.id for zone, target in targets.items()}
        self.ready = [file_system, *targets.values(), *rules]
        self.register_outputs(
            {
                "file_system_id": self.file_system_id,
                "security_group_id": self.security_group_id,
                "mount_target_ids": self.mount_target_ids,
            }
        )

    def _security_group(
        self, name: str, args: SharedFilesArgs
    ) -> tuple[aws.ec2.SecurityGroup, list[aws.vpc.SecurityGroupIngressRule]]:
        child = pulumi.ResourceOptions(parent=self)
        group = aws.ec2.SecurityGroup(
            f"{name}-nfs",
            description="NFS to the shared files, from the cluster only",
            vpc_id=args.vpc_id,
            tags={"Name": f"{name}-nfs"},
            opts=child,
        )
        nfs = {"security_group_id": group.id, "ip_protocol": "tcp", "from_port": NFS_PORT, "to_port": NFS_PORT}
        rules = [
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-nfs-{key}",
                description=f"NFS from {key}",
                referenced_security_group_id=client,
                **nfs,
                opts=child,
            )
            for key, client in args.client_security_group_ids.items()
        ]
        rules += [
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-nfs-{cidr.replace('/', '-')}",
                description=f"NFS from {cidr}",
                cidr_ipv4=cidr,
                **nfs,
                opts=child,
            )
            for cidr in args.client_cidrs
        ]
        return group, rules
