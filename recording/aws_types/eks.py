"""EKS: the cluster, who may enter it, add-ons and node groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from components.catalog import KUBERNETES
from recording.aws_types.asking import seen
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.aws_types.charge import Charge
from recording.aws_types.refusing import Edit, Refusal, value
from recording.world import Inputs, Made, World, digest

USER_GUIDE = "EKS User Guide"
API = "botocore 1.44.8, EKS"

ROLLBACK = timedelta(days=7)
"""How long after an upgrade its minor can be taken back (EKS User Guide, "Rollback cluster to previous Kubernetes version")."""


def _logging(inputs: Inputs) -> Inputs:
    """The cluster as the call has it: its log types are one setup that is switched on."""
    given = dict(inputs)
    if types := given.pop("enabledClusterLogTypes", None):
        given["logging"] = {"clusterLogging": [{"types": types, "enabled": True}]}
    return given


def _new_cluster(world: World, name: str, inputs: Inputs) -> Made:
    cluster = str(inputs.get("name") or f"{name}-{digest(world.stack, name, length=7)}")
    serial = digest(world.stack, "eks", cluster, length=32).upper()
    host = f"{serial}.gr7.{world.region}.eks.amazonaws.com"
    issuer = f"https://oidc.eks.{world.region}.amazonaws.com/id/{serial}"
    return cluster, {
        "name": cluster,
        "arn": world.arn("eks", f"cluster/{cluster}"),
        "endpoint": f"https://{host}",
        # Base64 of text that says what it is, so that nobody takes it for the certificate of a real cluster.
        "certificateAuthority": {"data": "YXNzdW1lZCBjZXJ0aWZpY2F0ZSBhdXRob3JpdHk="},
        "vpcConfig": {
            "clusterSecurityGroupId": world.id("sg", "eks-cluster", cluster),
            "vpcId": world.id("vpc", "of", cluster),
        },
        "identities": [{"oidcs": [{"issuer": issuer}]}],
        "status": "ACTIVE",
        "platformVersion": "eks.1",
        "createdAt": "2026-01-01T00:00:00Z",
    }


def _find_cluster(asker: Asker, inputs: Inputs) -> list[Candidate]:
    item = asker.client("eks").describe_cluster(name=inputs["name"])["cluster"]
    return [seen(item, item["name"], item["status"])]


def _group_takes(inputs: Inputs) -> str:
    """A group that begins without nodes is there as soon as one of ordinary machines; one with nodes waits for the rack's."""
    scaling = inputs.get("scalingConfig")
    return "rack-boot" if isinstance(scaling, Mapping) and scaling.get("desiredSize") else "node-group-create"


def _addon_takes(inputs: Inputs) -> str:
    name = str(inputs.get("addonName"))
    if name == "coredns":
        return "eks-addon-coredns"
    return "eks-addon-driver" if name.endswith("csi-driver") else "eks-addon-agent"


def _new_node_group(world: World, name: str, inputs: Inputs) -> Made:
    """EKS names the Auto Scaling group after the node group, with a suffix of its own."""
    group = str(inputs.get("nodeGroupName") or f"{name}-{digest(world.stack, name, length=7)}")
    cluster, text = inputs.get("clusterName"), digest(world.stack, name, length=32)
    suffix = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return f"{cluster}:{group}", {
        "arn": world.arn("eks", f"nodegroup/{cluster}/{group}/{suffix}"),
        "nodeGroupName": group,
        "resources": [{"autoscalingGroups": [{"name": f"eks-{group}-{suffix}"}], "remoteAccessSecurityGroupId": ""}],
        "status": "ACTIVE",
    }


def _find_node_group(asker: Asker, inputs: Inputs) -> list[Candidate]:
    cluster, name = inputs["clusterName"], inputs["nodeGroupName"]
    item = asker.client("eks").describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
    return [seen(item, f"{cluster}:{name}", item["status"])]


def _new_addon(world: World, name: str, inputs: Inputs) -> Made:
    cluster, addon = inputs.get("clusterName"), inputs.get("addonName")
    return f"{cluster}:{addon}", {"arn": world.arn("eks", f"addon/{cluster}/{addon}/{digest(name, length=12)}")}


def _find_addon(asker: Asker, inputs: Inputs) -> list[Candidate]:
    cluster, name = inputs["clusterName"], inputs["addonName"]
    item = asker.client("eks").describe_addon(clusterName=cluster, addonName=name)["addon"]
    return [seen(item, f"{cluster}:{name}", item["status"])]


def _new_access_entry(world: World, name: str, inputs: Inputs) -> Made:
    return f"{inputs.get('clusterName')}:{inputs.get('principalArn')}", {
        "accessEntryArn": world.arn("eks", f"access-entry/{inputs.get('clusterName')}/{digest(name, length=12)}")
    }


def _find_access_entry(asker: Asker, inputs: Inputs) -> list[Candidate]:
    cluster, principal = inputs["clusterName"], inputs["principalArn"]
    asker.client("eks").describe_access_entry(clusterName=cluster, principalArn=principal)
    return [Candidate(f"{cluster}:{principal}")]


def _new_access_policy_association(world: World, name: str, inputs: Inputs) -> Made:
    return f"{inputs.get('clusterName')}#{inputs.get('principalArn')}#{inputs.get('policyArn')}", {}


def _find_access_policy_association(asker: Asker, inputs: Inputs) -> list[Candidate]:
    given = inputs
    cluster, principal, policy = given["clusterName"], given["principalArn"], given["policyArn"]
    found = asker.every(
        "eks",
        "list_associated_access_policies",
        "associatedAccessPolicies",
        clusterName=cluster,
        principalArn=principal,
    )
    return [Candidate(f"{cluster}#{principal}#{policy}") for item in found if item["policyArn"] == policy]


def _new_pod_identity_association(world: World, name: str, inputs: Inputs) -> Made:
    id_ = f"a-{digest(world.stack, name, length=17)}"
    arn = world.arn("eks", f"podidentityassociation/{inputs.get('clusterName')}/{id_}")
    return id_, {"associationId": id_, "associationArn": arn}


def _step(edit: Edit) -> int:
    """By how many minors a version rises; below zero it falls. 0 where either is not known."""
    before, after = (_minor(item) for item in edit.of("version"))
    return after - before if before and after else 0


def _minor(version: Any) -> int:
    parts = str(version).split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _cannot_go_back(edit: Edit) -> bool:
    """Whether a minor that is to fall by one can surely not: only one that rose within days can, and the nodes of groups go
    back before their cluster, while an `up` changes the cluster first."""
    if _step(edit) != -1:
        return False
    groups = edit.beside.get("aws:eks/nodeGroup:NodeGroup", ())
    behind = any(_minor(group.get("version")) > _minor(edit.after.get("version")) for group in groups)
    fresh = edit.changed is not None and edit.changed != edit.created and edit.at - edit.changed <= ROLLBACK
    return behind or not fresh


def _groups_behind(edit: Edit) -> bool:
    groups = edit.beside.get("aws:eks/nodeGroup:NodeGroup", ())
    return _step(edit) == 1 and any(
        _minor(group.get("version")) not in (0, _minor(edit.before.get("version"))) for group in groups
    )


_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
"""Authentication modes, in the order in which one becomes the next."""


def _mode_jumps(edit: Edit) -> bool:
    before, after = edit.of("accessConfig.authenticationMode")
    known = before in _MODES and after in _MODES and before != after
    return known and _MODES.index(after) != _MODES.index(before) + 1


_AUTO_MODE = (
    "computeConfig.enabled",
    "kubernetesNetworkConfig.elasticLoadBalancing.enabled",
    "storageConfig.blockStorage.enabled",
)


def _auto_mode_in_part(edit: Edit) -> bool:
    return len({bool(value(edit.after, path)) for path in _AUTO_MODE}) > 1 and any(map(edit.changes, _AUTO_MODE))


def _zones(edit: Edit) -> tuple[list[str], list[str]]:
    """Zones of the cluster's subnets before and after; of one that nobody knows its subnet."""
    before, after = (sorted({edit.zones.get(id_, id_) for id_ in ids or ()}) for ids in edit.of("vpcConfig.subnetIds"))
    return before, after


def _other_zones(edit: Edit) -> bool:
    """Whether the cluster's subnets would lie in other zones, as far as the zone of each is known."""
    before, after = _zones(edit)
    told = all(id_ in edit.zones for ids in edit.of("vpcConfig.subnetIds") for id_ in ids or ())
    return bool(before and after) and told and before != after


def _leaves_extended_support(edit: Edit) -> bool:
    release = KUBERNETES.get(str(edit.before.get("version")))
    ends = release.standard_support_ends if release else None
    return (
        edit.of("upgradePolicy.supportType") == ("EXTENDED", "STANDARD") and ends is not None and edit.at.date() > ends
    )


def _encryption_goes(before: Inputs, after: Inputs) -> frozenset[str]:
    gone = bool(before.get("encryptionConfig")) and not after.get("encryptionConfig")
    return frozenset({"encryptionConfig"} if gone else ())


CLUSTER_REFUSES = (
    Refusal(
        id="kubernetes-skips-a-minor",
        property="version",
        refused=lambda edit: _step(edit) > 1,
        words="Unsupported Kubernetes minor version update from {before} to {after}",
        instead="raise `cluster.version` one minor at a time, with a `make up` for each",
        source="terraform-aws-modules/terraform-aws-eks #2607; EKS User Guide, update-cluster",
    ),
    Refusal(
        id="kubernetes-falls-far",
        property="version",
        refused=lambda edit: _step(edit) < -1,
        words="You can only rollback by one minor version (N to N-1)",
        instead="put the version that runs back into `cluster.version`",
        source=f"{USER_GUIDE}, rollback-cluster (read 2026-11-27)",
    ),
    Refusal(
        id="kubernetes-falls",
        property="version",
        refused=_cannot_go_back,
        words="The rollback must be initiated within 7 days of the upgrade completing; a cluster created at its current version "
        "cannot be rolled back, and managed node groups must be rolled back before it",
        instead="put the version that runs back into `cluster.version`; within the 7 days, with node groups, roll groups and then "
        "cluster back with the AWS CLI, write the older version into the file, and run `pulumi refresh`",
        source=f"{USER_GUIDE}, rollback-cluster, table of prerequisites and step 2 (read 2026-11-27)",
    ),
    Refusal(
        id="kubernetes-before-its-nodes",
        property="version",
        refused=_groups_behind,
        words="all of your node groups' Kubernetes versions must match the cluster's Kubernetes version in order to update the "
        "cluster to a new Kubernetes version",
        instead="finish the last upgrade first: put {before} back, run `make up` until every node group has it",
        source=f"{API} UpdateClusterVersion",
    ),
    Refusal(
        id="authentication-mode",
        property="accessConfig.authenticationMode",
        refused=_mode_jumps,
        words="Unsupported authentication mode update from {before} to {after}",
        instead="leave it; CONFIG_MAP becomes API_AND_CONFIG_MAP and that becomes API, one `up` each, and none goes back",
        source="pulumi/pulumi-eks #1493; EKS User Guide, setting-up-access-entries",
    ),
    Refusal(
        id="auto-mode-in-part",
        property="computeConfig.enabled",
        refused=_auto_mode_in_part,
        words="For EKS Auto Mode, please ensure that all required configs, including computeConfig, kubernetesNetworkConfig, and "
        "blockStorage are all either fully enabled or fully disabled",
        instead="switch compute, load balancing and block storage together",
        source="kubernetes-sigs/cluster-api-provider-aws #5278; terraform-aws-modules/terraform-aws-eks #3418",
    ),
    Refusal(
        id="secrets-key",
        property="encryptionConfig",
        refused=lambda edit: bool(edit.of("encryptionConfig")[1]) and bool(edit.of("encryptionConfig")[0])
        and edit.changes("encryptionConfig"),
        words="only a cluster without envelope encryption is associated with a key; the provider sends nothing for another key",
        instead="keep the key that the cluster has; another one needs another cluster",
        source="hashicorp/terraform-provider-aws internal/service/eks/cluster.go, resourceClusterUpdate (encryption_config); "
        "there CustomizeDiff for its removal",
        how="ignored",
    ),
    Refusal(
        id="cluster-zones",
        property="vpcConfig.subnetIds",
        refused=_other_zones,
        words="All subnets that you add must be in the same set of AZs as originally provided when you created the cluster",
        instead="leave `network.zones` as the cluster was made with; another set of zones needs another cluster (and stack)",
        source=f"{USER_GUIDE}, network-reqs (read 2026-11-27); aws/containers-roadmap #2258",
        shown=_zones,
    ),
    Refusal(
        id="extended-support",
        property="upgradePolicy.supportType",
        refused=_leaves_extended_support,
        words="You cannot disable extended support once it starts",
        instead="upgrade `cluster.version` to a minor in standard support first, then change `cluster.support`",
        source=f"{API} UpdateClusterConfig.upgradePolicy; EKS User Guide, disable-extended-support",
    ),
    Refusal(
        id="deletion-protection",
        property="deletionProtection",
        refused=lambda edit: bool(edit.before.get("deletionProtection")),
        words="When enabled, the cluster cannot be deleted until deletion protection is explicitly disabled",
        instead="set `cluster.deletionProtection: false` and run `make up` before the change that deletes the cluster",
        source=f"{API} UpdateClusterConfig.deletionProtection",
        gone=True,
    ),
)  # fmt: skip


def _block_runs(edit: Edit) -> bool:
    """Whether machines of a block run in a group that wants any, so that an update has none to roll with."""
    if edit.block is None or not edit.block[0] <= edit.at < edit.block[1]:
        return False
    wanted = value(edit.before, "scalingConfig.desiredSize")
    rolls = edit.template or edit.changes("releaseVersion") or edit.changes("version")
    return rolls and wanted != 0


def _rolled(edit: Edit) -> tuple[Any, Any]:
    """What rolls the nodes: release or version, else their template."""
    for name in ("releaseVersion", "version"):
        if edit.changes(name):
            return edit.of(name)
    return "the launch template as it is", "another version of it"


def _release(text: Any) -> tuple[int, ...]:
    """`1.35.7-20260911` in an order in which a later release is larger; empty for anything else."""
    parts = str(text).replace("-", ".").split(".")
    return tuple(map(int, parts)) if len(parts) == 4 and all(part.isdigit() for part in parts) else ()


def _older_release(edit: Edit) -> bool:
    before, after = (_release(item) for item in edit.of("releaseVersion"))
    return bool(before and after and after < before)


def _sizes(edit: Edit) -> tuple[Any, Any, Any]:
    least, wanted, most = (value(edit.after, f"scalingConfig.{name}Size") for name in ("min", "desired", "max"))
    return least, wanted, most


def _above(left: Any, right: Any) -> bool:
    return isinstance(left, int | float) and isinstance(right, int | float) and left > right


NODE_GROUP_REFUSES = (
    Refusal(
        id="rack-runs",
        property="releaseVersion",
        refused=_block_runs,
        words="When upgrading EKS managed node groups with P6e-GB200 UltraServers, you must set the desired size of the node group "
        "to 0 before upgrading",
        instead='docs/runbooks/block.md, "Change the nodes": scale the group to 0, run `make up`, scale it back; between two '
        "blocks it costs nothing",
        source=f"{USER_GUIDE}, ml-eks-nvidia-ultraserver, Considerations (read 2026-11-27)",
        shown=_rolled,
    ),
    Refusal(
        id="node-version-falls",
        property="version",
        refused=lambda edit: _step(edit) < 0,
        words="You cannot roll back a node group to an earlier Kubernetes version or AMI version",
        instead="keep the version; a rollback of the cluster takes its groups along with the AWS CLI "
        "(EKS User Guide, rollback-cluster)",
        source=f"{API} UpdateNodegroupVersion",
    ),
    Refusal(
        id="node-release-falls",
        property="releaseVersion",
        refused=lambda edit: _older_release(edit) and not _step(edit),
        words="You cannot roll back a node group to an earlier Kubernetes version or AMI version",
        instead="choose the release that runs or a later one for `amiRelease`; an older one needs another node group, such as that "
        "of the next block",
        source=f"{API} UpdateNodegroupVersion",
    ),
    Refusal(
        id="node-group-least",
        property="scalingConfig.minSize",
        refused=lambda edit: edit.changes("scalingConfig") and _above(_sizes(edit)[0], _sizes(edit)[1]),
        words="Minimum capacity {after} can't be greater than desired size",
        instead="raise the desired size first",
        source="terraform-aws-modules/terraform-aws-eks #3521 #3306",
    ),
    Refusal(
        id="node-group-most",
        property="scalingConfig.maxSize",
        refused=lambda edit: edit.changes("scalingConfig") and _above(_sizes(edit)[1], _sizes(edit)[2]),
        words="desiredSize can't be greater than maxSize",
        instead="lower the desired size first",
        source="ministryofjustice/cloud-platform-infrastructure #4595",
    ),
)


def _extended(inputs: Inputs, day: date) -> float:
    """1 from the day on which the standard support of a cluster's version is over; one that does not take extended support is upgraded
    then."""
    release = KUBERNETES.get(str(inputs.get("version")))
    ends = release.standard_support_ends if release else None
    stays = (inputs.get("upgradePolicy") or {}).get("supportType") != "STANDARD"
    return 1 if ends is not None and day >= ends and stays else 0


CARDS = (
    Card(
        type="aws:eks/cluster:Cluster",
        duration="eks-cluster-create",
        deletion="eks-cluster-delete",
        charges=(Charge("eks-cluster-hour"), Charge("eks-extended-hour", _extended)),
        call=Call("eks", "CreateCluster", {"vpcConfig": "resourcesVpcConfig"}, sent=_logging),
        created=_new_cluster,
        told=Told(("name",), second=EXISTS),
        ask=_find_cluster,
        replaced=replaced(
            "eks/cluster.go",
            "name",
            "roleArn",
            "accessConfig.bootstrapClusterCreatorAdminPermissions",
            "bootstrapSelfManagedAddons",
            "kubernetesNetworkConfig.ipFamily",
            "kubernetesNetworkConfig.serviceIpv4Cidr",
            "outpostConfig",
            # By its CustomizeDiff: a changed role, and encryption that is taken away.
            "computeConfig.nodeRoleArn",
            named="name",
            when=_encryption_goes,
        ),
        refuses=CLUSTER_REFUSES,
        changes={
            "version": "UpdateClusterVersion",
            "accessConfig": "UpdateClusterConfig",
            "computeConfig": "UpdateClusterConfig",
            "kubernetesNetworkConfig": "UpdateClusterConfig",
            "storageConfig": "UpdateClusterConfig",
            "vpcConfig": "UpdateClusterConfig",
            "encryptionConfig": "AssociateEncryptionConfig",
            "enabledClusterLogTypes": "UpdateClusterConfig",
            "upgradePolicy": "UpdateClusterConfig",
            "deletionProtection": "UpdateClusterConfig",
        },
        actions=(
            "eks:CreateCluster",
            "eks:DescribeCluster",
            "eks:UpdateClusterConfig",
            "eks:UpdateClusterVersion",
            "eks:DescribeUpdate",
            "eks:DeleteCluster",
            "eks:TagResource",
            "eks:UntagResource",
            "iam:PassRole",
            "iam:GetRole",
            "kms:DescribeKey",
            "kms:CreateGrant",
            "ec2:DescribeSubnets",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeVpcs",
        ),
    ),
    Card(
        type="aws:eks/nodeGroup:NodeGroup",
        duration=_group_takes,
        deletion="node-group-delete",
        call=Call(
            "eks",
            "CreateNodegroup",
            {"nodeGroupName": "nodegroupName", "nodeRoleArn": "nodeRole", "subnetIds": "subnets"},
        ),
        created=_new_node_group,
        told=Told(("clusterName", "nodeGroupName"), second=EXISTS),
        ask=_find_node_group,
        # Labels, taints, sizes, release and the template's version can be changed.
        replaced=replaced(
            "eks/node_group.go",
            "amiType",
            "capacityType",
            "clusterName",
            "diskSize",
            "instanceTypes",
            "launchTemplate.id",
            "launchTemplate.name",
            "nodeGroupName",
            "nodeGroupNamePrefix",
            "nodeRoleArn",
            "remoteAccess",
            "subnetIds",
            named="nodeGroupName",
        ),
        refuses=NODE_GROUP_REFUSES,
        changes={
            "version": "UpdateNodegroupVersion",
            "releaseVersion": "UpdateNodegroupVersion",
            "launchTemplate": "UpdateNodegroupVersion",
            "labels": "UpdateNodegroupConfig",
            "taints": "UpdateNodegroupConfig",
            "scalingConfig": "UpdateNodegroupConfig",
            "updateConfig": "UpdateNodegroupConfig",
            "nodeRepairConfig": "UpdateNodegroupConfig",
        },
        actions=(
            "eks:CreateNodegroup",
            "eks:DescribeNodegroup",
            "eks:UpdateNodegroupConfig",
            "eks:UpdateNodegroupVersion",
            "eks:DeleteNodegroup",
            "eks:TagResource",
            "iam:PassRole",
            "iam:GetRole",
            "ec2:RunInstances",
            "ec2:DescribeLaunchTemplateVersions",
        ),
    ),
    Card(
        type="aws:eks/addon:Addon",
        duration=_addon_takes,
        deletion="eks-addon-delete",
        call=Call(
            "eks",
            "CreateAddon",
            {"resolveConflictsOnCreate": "resolveConflicts"},
            elsewhere={"resolveConflictsOnUpdate": "UpdateAddon"},
        ),
        created=_new_addon,
        told=Told(("clusterName", "addonName"), second=EXISTS),
        ask=_find_addon,
        replaced=replaced("eks/addon.go", "addonName", "clusterName"),
        # An older version is taken as long as it fits the cluster's (EKS User Guide, rollback-cluster: add-ons).
        changes={
            "addonVersion": "UpdateAddon",
            "configurationValues": "UpdateAddon",
            "podIdentityAssociations": "UpdateAddon",
            "resolveConflictsOnUpdate": "UpdateAddon",
            "resolveConflictsOnCreate": "",
        },
        actions=(
            "eks:CreateAddon",
            "eks:DescribeAddon",
            "eks:UpdateAddon",
            "eks:DescribeUpdate",
            "eks:DeleteAddon",
            "eks:CreatePodIdentityAssociation",
            "eks:DescribePodIdentityAssociation",
            "eks:TagResource",
            "iam:PassRole",
        ),
    ),
    Card(
        type="aws:eks/accessEntry:AccessEntry",
        duration="aws-call",
        call=Call("eks", "CreateAccessEntry"),
        created=_new_access_entry,
        told=Told(("clusterName", "principalArn"), second=EXISTS),
        ask=_find_access_entry,
        replaced=replaced("eks/access_entry.go", "clusterName", "principalArn", "type"),
        actions=(
            "eks:CreateAccessEntry",
            "eks:DescribeAccessEntry",
            "eks:UpdateAccessEntry",
            "eks:DeleteAccessEntry",
            "eks:TagResource",
        ),
    ),
    Card(
        type="aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        duration="aws-call",
        call=Call("eks", "AssociateAccessPolicy"),
        created=_new_access_policy_association,
        told=Told(("clusterName", "principalArn", "policyArn"), second=SAME),
        ask=_find_access_policy_association,
        # There is no update at all.
        replaced=replaced(
            "eks/access_policy_association.go", "accessScope", "clusterName", "policyArn", "principalArn"
        ),
        actions=(
            "eks:AssociateAccessPolicy",
            "eks:ListAssociatedAccessPolicies",
            "eks:DisassociateAccessPolicy",
        ),
    ),
    Card(
        type="aws:eks/podIdentityAssociation:PodIdentityAssociation",
        duration="aws-call",
        call=Call("eks", "CreatePodIdentityAssociation"),
        created=_new_pod_identity_association,
        replaced=replaced("eks/pod_identity_association.go", "clusterName", "namespace", "serviceAccount"),
    ),
)
