"""EFS."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from recording.aws_types.asking import seen
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.aws_types.charge import Charge
from recording.aws_types.refusing import Edit, Refusal
from recording.world import Inputs, Made, World, digest


def _new_file_system(world: World, name: str, inputs: Inputs) -> Made:
    id_ = world.id("fs", name)
    return id_, {
        "arn": world.arn("elasticfilesystem", f"file-system/{id_}"),
        "dnsName": f"{id_}.efs.{world.region}.amazonaws.com",
    }


def _find_file_system(asker: Asker, inputs: Inputs) -> list[Candidate]:
    found = asker.every("efs", "describe_file_systems", "FileSystems", CreationToken=inputs["creationToken"])
    return [seen(item, item["FileSystemId"], item["LifeCycleState"]) for item in found]


def _new_mount_target(world: World, name: str, inputs: Inputs) -> Made:
    return world.id("fsmt", name), {"ipAddress": f"10.255.0.{int(digest(name, length=2), 16)}"}


def _find_mount_target(asker: Asker, inputs: Inputs) -> list[Candidate]:
    found = asker.every("efs", "describe_mount_targets", "MountTargets", FileSystemId=inputs["fileSystemId"])
    return [
        seen(item, item["MountTargetId"], item["LifeCycleState"])
        for item in found
        if item["SubnetId"] == inputs["subnetId"]
    ]


def _new_backup_policy(world: World, name: str, inputs: Inputs) -> Made:
    return str(inputs.get("fileSystemId")), {}


def _find_backup_policy(asker: Asker, inputs: Inputs) -> list[Candidate]:
    files = inputs["fileSystemId"]
    policy = asker.client("efs").describe_backup_policy(FileSystemId=files).get("BackupPolicy") or {}
    return [Candidate(files, told=policy["Status"])] if policy.get("Status") in ("ENABLED", "ENABLING") else []


THROUGHPUT_REST = timedelta(hours=24)
"""How long after a change of provisioned throughput it can be neither lowered nor left (EFS User Guide, "Restrictions on switching
throughput and changing provisioned amount")."""


def _less(edit: Edit, name: str = "provisionedThroughputInMibps") -> bool:
    before, after = edit.of(name)
    return _number(before) and _number(after) and after < before


def _number(item: Any) -> bool:
    return isinstance(item, int | float)


def _lowered_soon(edit: Edit) -> bool:
    """Whether provisioned throughput is lowered or left within a day of some change of the file system."""
    if edit.before.get("throughputMode") != "provisioned":
        return False
    soon = edit.changed is not None and edit.at - edit.changed < THROUGHPUT_REST
    return soon and (edit.changes("throughputMode") or _less(edit))


def _provisioned_mibps(inputs: Inputs, day: date) -> float:
    """Throughput bought beforehand."""
    return (
        float(inputs.get("provisionedThroughputInMibps") or 0) if inputs.get("throughputMode") == "provisioned" else 0
    )


CARDS = (
    Card(
        type="aws:efs/fileSystem:FileSystem",
        duration="aws-call",
        charges=(Charge("efs-provisioned-mibps-month", _provisioned_mibps),),
        call=Call(
            "efs",
            "CreateFileSystem",
            {"provisionedThroughputInMibps": "ProvisionedThroughputInMibps"},
            elsewhere={"lifecyclePolicies": "PutLifecycleConfiguration"},
        ),
        created=_new_file_system,
        told=Told(("creationToken",), second=EXISTS),
        ask=_find_file_system,
        replaced=replaced(
            "efs/file_system.go",
            "availabilityZoneName",
            "creationToken",
            "encrypted",
            "kmsKeyId",
            "performanceMode",
            named="creationToken",
        ),
        refuses=(
            Refusal(
                id="throughput-lowered-again",
                property="throughputMode",
                refused=_lowered_soon,
                words="You have reached the maximum number of throughput mode changes or provisioned throughput value decreases",
                instead="when it was throughput that changed within the last 24 hours, wait until they are over",
                source="ansible-collections/community.aws #2026; botocore 1.44.8, EFS TooManyRequests; EFS User Guide, performance",
                how="perhaps",
            ),
            Refusal(
                id="throughput-without-amount",
                property="provisionedThroughputInMibps",
                refused=lambda edit: (
                    edit.after.get("throughputMode") == "provisioned"
                    and not edit.after.get("provisionedThroughputInMibps")
                    and (edit.changes("throughputMode") or edit.changes("provisionedThroughputInMibps"))
                ),
                words="If you are changing the ThroughputMode to provisioned, you must also set a value for "
                "ProvisionedThroughputInMibps",
                instead="give `storage.efs.provisionedMibps`",
                source="botocore 1.44.8, EFS UpdateFileSystem.ThroughputMode",
            ),
        ),
        changes={
            "throughputMode": "UpdateFileSystem",
            "provisionedThroughputInMibps": "UpdateFileSystem",
            "lifecyclePolicies": "PutLifecycleConfiguration",
        },
        actions=(
            "elasticfilesystem:CreateFileSystem",
            "elasticfilesystem:DescribeFileSystems",
            "elasticfilesystem:DescribeLifecycleConfiguration",
            "elasticfilesystem:PutLifecycleConfiguration",
            "elasticfilesystem:UpdateFileSystem",
            "elasticfilesystem:DeleteFileSystem",
            "elasticfilesystem:TagResource",
            "kms:DescribeKey",
        ),
    ),
    Card(
        type="aws:efs/mountTarget:MountTarget",
        duration="mount-target-create",
        deletion="mount-target-delete",
        call=Call("efs", "CreateMountTarget"),
        created=_new_mount_target,
        told=Told(("fileSystemId", "subnetId"), second=EXISTS),
        ask=_find_mount_target,
        # EFS takes one in a zone.
        replaced=replaced("efs/mount_target.go", "fileSystemId", "ipAddress", "subnetId", delete_first=True),
        changes={"securityGroups": "ModifyMountTargetSecurityGroups"},
        actions=(
            "elasticfilesystem:CreateMountTarget",
            "elasticfilesystem:DescribeMountTargets",
            "elasticfilesystem:DescribeMountTargetSecurityGroups",
            "elasticfilesystem:ModifyMountTargetSecurityGroups",
            "elasticfilesystem:DeleteMountTarget",
            "ec2:CreateNetworkInterface",
            "ec2:DescribeSubnets",
            "ec2:DescribeNetworkInterfaces",
        ),
    ),
    Card(
        type="aws:efs/backupPolicy:BackupPolicy",
        duration="aws-call",
        call=Call("efs", "PutBackupPolicy"),
        created=_new_backup_policy,
        told=Told(("fileSystemId",), second=SAME),
        ask=_find_backup_policy,
        replaced=replaced("efs/backup_policy.go", "fileSystemId"),
        changes={"backupPolicy": "PutBackupPolicy"},
        actions=(
            "elasticfilesystem:PutBackupPolicy",
            "elasticfilesystem:DescribeBackupPolicy",
        ),
    ),
)
