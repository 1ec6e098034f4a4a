"""IAM, KMS and logs."""

from __future__ import annotations

from typing import Any

from recording.aws_types.asking import GONE, seen
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.aws_types.charge import Charge
from recording.aws_types.refusing import Edit, Refusal
from recording.world import Inputs, Made, World, digest


def _get_partition(world: World, arguments: Inputs) -> dict[str, Any]:
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def _get_caller_identity(world: World, arguments: Inputs) -> dict[str, Any]:
    world.assume(f"the account is {world.account}; ARNs in this plan carry it")
    return {
        "id": world.account,
        "accountId": world.account,
        "arn": world.arn("iam", "role/operator", regional=False),
        "userId": "AROAEXAMPLE:operator",
    }


def _new_role(world: World, name: str, inputs: Inputs) -> Made:
    role = inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}"
    return role, {
        "name": role,
        "arn": world.arn("iam", f"role/{role}", regional=False),
        "uniqueId": f"AROA{digest(world.stack, name).upper()}",
    }


def _find_role(asker: Asker, inputs: Inputs) -> list[Candidate]:
    return [Candidate(asker.client("iam").get_role(RoleName=inputs["name"])["Role"]["RoleName"])]


def _new_role_policy(world: World, name: str, inputs: Inputs) -> Made:
    policy = inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}"
    return f"{inputs.get('role')}:{policy}", {"name": policy}


def _find_role_policy(asker: Asker, inputs: Inputs) -> list[Candidate]:
    role, name = inputs["role"], inputs["name"]
    asker.client("iam").get_role_policy(RoleName=role, PolicyName=name)
    return [Candidate(f"{role}:{name}")]


def _new_role_policy_attachment(world: World, name: str, inputs: Inputs) -> Made:
    return f"{inputs.get('role')}-{digest(name, length=12)}", {}


def _find_role_policy_attachment(asker: Asker, inputs: Inputs) -> list[Candidate]:
    role, policy = inputs["role"], inputs["policyArn"]
    found = asker.every("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    return [Candidate(f"{role}-{policy}") for item in found if item["PolicyArn"] == policy]


def _new_instance_profile(world: World, name: str, inputs: Inputs) -> Made:
    profile = str(inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}")
    return profile, {"name": profile, "arn": world.arn("iam", f"instance-profile/{profile}", regional=False)}


def _new_key(world: World, name: str, inputs: Inputs) -> Made:
    text = digest(world.stack, name, length=32)
    id_ = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return id_, {"keyId": id_, "arn": world.arn("kms", f"key/{id_}")}


def _find_key(asker: Asker, inputs: Inputs) -> list[Candidate]:
    """Keys have no names. The tagging API finds them by tag; the alias, which has one, comes later and may be missing."""
    tags = inputs.get("tagsAll") or inputs["tags"]
    found = asker.every(
        "resourcegroupstaggingapi",
        "get_resources",
        "ResourceTagMappingList",
        ResourceTypeFilters=["kms:key"],
        TagFilters=[{"Key": key, "Values": [str(value)]} for key, value in sorted(tags.items())],
    )
    keys = [asker.client("kms").describe_key(KeyId=item["ResourceARN"])["KeyMetadata"] for item in found]
    return [seen(item, item["KeyId"], item["KeyState"]) for item in keys if item["KeyState"] not in GONE]


def _new_alias(world: World, name: str, inputs: Inputs) -> Made:
    alias = str(inputs.get("name") or f"alias/{name}")
    return alias, {"name": alias, "arn": world.arn("kms", alias)}


def _find_alias(asker: Asker, inputs: Inputs) -> list[Candidate]:
    name = inputs["name"]
    found = asker.every("kms", "list_aliases", "Aliases")
    return [Candidate(name, told=f"of {item.get('TargetKeyId')}") for item in found if item["AliasName"] == name]


def _new_log_group(world: World, name: str, inputs: Inputs) -> Made:
    group = str(inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}")
    return group, {"name": group, "arn": world.arn("logs", f"log-group:{group}")}


def _find_log_group(asker: Asker, inputs: Inputs) -> list[Candidate]:
    name = inputs["name"]
    found = asker.every("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return [Candidate(item["logGroupName"]) for item in found if item["logGroupName"] == name]


def _rotates_what_cannot(edit: Edit) -> bool:
    spec = edit.after.get("customerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    return (
        edit.changes("enableKeyRotation") and bool(edit.after.get("enableKeyRotation")) and spec != "SYMMETRIC_DEFAULT"
    )


CARDS = (
    Card(
        type="aws:iam/role:Role",
        duration="aws-call",
        call=Call(
            "iam",
            "CreateRole",
            {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
            given={"RoleName": "made-up-by-the-provider"},
            elsewhere={"managedPolicyArns": "AttachRolePolicy"},
        ),
        created=_new_role,
        told=Told(("name",)),
        ask=_find_role,
        replaced=replaced("iam/role.go", "name", "namePrefix", "path", named="name"),
        changes={
            "assumeRolePolicy": "UpdateAssumeRolePolicy",
            "description": "UpdateRole",
            "managedPolicyArns": "AttachRolePolicy",
        },
        actions=(
            "iam:CreateRole",
            "iam:GetRole",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:ListRolePolicies",
            "iam:ListAttachedRolePolicies",
            "iam:ListInstanceProfilesForRole",
            "iam:DetachRolePolicy",
            "iam:DeleteRolePolicy",
            "iam:DeleteRole",
        ),
    ),
    Card(
        type="aws:iam/rolePolicy:RolePolicy",
        duration="aws-call",
        call=Call("iam", "PutRolePolicy", {"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"}),
        created=_new_role_policy,
        told=Told(("role", "name"), second=SAME),
        ask=_find_role_policy,
        replaced=replaced("iam/role_policy.go", "name", "namePrefix", "role"),
        changes={"policy": "PutRolePolicy"},
        actions=(
            "iam:PutRolePolicy",
            "iam:GetRolePolicy",
            "iam:DeleteRolePolicy",
        ),
    ),
    Card(
        type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        duration="aws-call",
        call=Call("iam", "AttachRolePolicy", {"role": "RoleName"}),
        created=_new_role_policy_attachment,
        told=Told(("role", "policyArn"), second=SAME),
        ask=_find_role_policy_attachment,
        replaced=replaced("iam/role_policy_attachment.go", "policyArn", "role"),
        actions=(
            "iam:AttachRolePolicy",
            "iam:ListAttachedRolePolicies",
            "iam:DetachRolePolicy",
        ),
    ),
    Card(
        type="aws:iam/instanceProfile:InstanceProfile",
        duration="aws-call",
        call=Call(
            "iam",
            "CreateInstanceProfile",
            {"name": "InstanceProfileName"},
            elsewhere={"role": "AddRoleToInstanceProfile"},
        ),
        created=_new_instance_profile,
        replaced=replaced("iam/instance_profile.go", "name", "namePrefix", "path", named="name"),
        changes={"role": "AddRoleToInstanceProfile"},
    ),
    Card(
        type="aws:kms/key:Key",
        duration="kms-key-create",
        charges=(Charge("kms-key-month"),),
        call=Call(
            "kms",
            "CreateKey",
            elsewhere={"deletionWindowInDays": "ScheduleKeyDeletion", "enableKeyRotation": "EnableKeyRotation"},
        ),
        created=_new_key,
        told=Told(),
        ask=_find_key,
        replaced=replaced(
            "kms/key.go", "customKeyStoreId", "customerMasterKeySpec", "keyUsage", "multiRegion", "xksKeyId"
        ),
        refuses=(
            Refusal(
                id="rotation-of-another-key",
                property="enableKeyRotation",
                refused=_rotates_what_cannot,
                words="You cannot enable automatic rotation of asymmetric KMS keys, HMAC KMS keys, KMS keys with imported key "
                "material, or KMS keys in a custom key store",
                instead="leave rotation off for such a key",
                source="botocore 1.44.8, KMS EnableKeyRotation",
            ),
        ),
        changes={
            "enableKeyRotation": "EnableKeyRotation",
            "description": "UpdateKeyDescription",
            "deletionWindowInDays": "",
        },
        actions=(
            "kms:CreateKey",
            "kms:DescribeKey",
            "kms:EnableKeyRotation",
            "kms:GetKeyRotationStatus",
            "kms:GetKeyPolicy",
            "kms:PutKeyPolicy",
            "kms:ListResourceTags",
            "kms:TagResource",
            "kms:ScheduleKeyDeletion",
        ),
    ),
    Card(
        type="aws:kms/alias:Alias",
        duration="aws-call",
        call=Call("kms", "CreateAlias", {"name": "AliasName"}),
        created=_new_alias,
        told=Told(("name",), second=EXISTS),
        ask=_find_alias,
        replaced=replaced("kms/alias.go", "name", "namePrefix", named="name"),
        changes={"targetKeyId": "UpdateAlias"},
        actions=(
            "kms:CreateAlias",
            "kms:ListAliases",
            "kms:UpdateAlias",
            "kms:DeleteAlias",
        ),
    ),
    Card(
        type="aws:cloudwatch/logGroup:LogGroup",
        duration="aws-call",
        call=Call(
            "logs", "CreateLogGroup", {"name": "logGroupName"}, elsewhere={"retentionInDays": "PutRetentionPolicy"}
        ),
        created=_new_log_group,
        told=Told(("name",), second=EXISTS),
        ask=_find_log_group,
        replaced=replaced("logs/group.go", "logGroupClass", "name", "namePrefix", named="name"),
        changes={"retentionInDays": "PutRetentionPolicy"},
        actions=(
            "logs:CreateLogGroup",
            "logs:DescribeLogGroups",
            "logs:PutRetentionPolicy",
            "logs:DeleteLogGroup",
            "logs:ListTagsForResource",
            "logs:TagResource",
        ),
    ),
)

READS = {
    "aws:index/getPartition:getPartition": _get_partition,
    "aws:index/getCallerIdentity:getCallerIdentity": _get_caller_identity,
}
"""Answers to the program's questions, by token."""
