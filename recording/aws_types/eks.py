"""EKS: the cluster, who may enter it, add-ons and node groups."""

from __future__ import annotations

from recording.aws_types.asking import seen
from recording.aws_types.call import Call
from recording.aws_types.card import EXISTS, SAME, Asker, Candidate, Card, Told, replaced
from recording.world import Inputs, Made, World, digest


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


CARDS = (
    Card(
        type="aws:eks/cluster:Cluster",
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
            "encryptionConfig",
            named="name",
        ),
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
        call=Call("eks", "CreatePodIdentityAssociation"),
        created=_new_pod_identity_association,
        replaced=replaced("eks/pod_identity_association.go", "clusterName", "namespace", "serviceAccount"),
    ),
)
