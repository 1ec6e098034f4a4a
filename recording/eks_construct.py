"""What the remote component `pulumi_eks.Cluster` creates in Auto Mode, for a plan that runs no provider.

The component registers as one remote resource and its provider makes the rest, so that without an engine nobody would
see a role, a cluster or an access entry. The names, parents, dependencies and inputs below are those the component
provider of pulumi-eks 4.4.0 registered when a real engine ran it; a change of that version means recording them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from recording.aws_types import CARDS
from recording.world import Child, ChildProperty, ChildReference, Computed, World

WHY = "made by the component provider of pulumi-eks 4.4.0; listed from what it registered under a real engine"
"""The mark of every child: the program did not register it."""

MANAGED_POLICY = "arn:aws:iam::aws:policy/"

CLUSTER_POLICIES = (
    "AmazonEKSClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
INSTANCE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly")

CREATOR_IS_ADMIN = ("accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons")
"""Properties whose change would replace the cluster, which the component therefore ignores."""


def eks_cluster(world: World, name: str, inputs: Mapping[str, Any]) -> tuple[Sequence[Child], Mapping[str, Any], str]:
    """Children and outputs of `pulumi_eks.Cluster` with Auto Mode on.

    Raises ValueError where the component itself does, where it would read the account's default VPC, and for a cluster
    without Auto Mode, whose children are others and not known here.
    """
    auto_mode = inputs.get("autoMode") or {}
    _refuse(name, inputs, auto_mode)
    own_node_role = auto_mode.get("createNodeRole", True)
    children = _role(f"{name}-eksRole", "eks.amazonaws.com", CLUSTER_POLICIES, ("sts:AssumeRole", "sts:TagSession"))
    if own_node_role:
        children += _role(f"{name}-nodeRole", "ec2.amazonaws.com", NODE_POLICIES)
    attachments = tuple(
        child.name for child in children if child.type == "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    )
    cluster = f"{name}-eksCluster"
    children.append(
        Child(
            "aws:eks/cluster:Cluster",
            cluster,
            _cluster_inputs(name, inputs, auto_mode, own_node_role),
            uses=tuple(key for key in _FLOWS if key in inputs),
            # The policies outlive the cluster: without them EKS cannot clean its network interfaces up.
            depends_on=attachments,
            ignore_changes=CREATOR_IS_ADMIN,
        )
    )
    cluster_name = str(inputs.get("name") or name)
    _, made = CARDS["aws:eks/cluster:Cluster"].created(world, cluster, {"name": cluster_name})
    kubeconfig = _kubeconfig(world.region, cluster_name, made["endpoint"], made["certificateAuthority"]["data"])
    text = json.dumps(kubeconfig)
    children.append(
        Child(
            "pulumi:providers:kubernetes",
            f"{name}-eks-k8s",
            {"kubeconfig": Computed(text)},
            depends_on=(cluster,),
        )
    )
    children += _access_entries(name, cluster, inputs.get("accessEntries") or {})
    if not inputs.get("skipDefaultNodeGroup"):
        children += _unused_instance_role(name, cluster)
    children += _coredns(world, name, cluster, inputs.get("corednsAddonOptions") or {}, inputs.get("version"))
    group = made["vpcConfig"]["clusterSecurityGroupId"]
    outputs: dict[str, Any] = {
        "eksCluster": ChildReference(cluster),
        "kubeconfig": kubeconfig,
        "kubeconfigJson": text,
        "clusterSecurityGroupId": group,
        "nodeSecurityGroupId": group,
        "clusterIngressRuleId": "",
        "oidcIssuer": made["identities"][0]["oidcs"][0]["issuer"].removeprefix("https://"),
    }
    if own_node_role:
        role, _ = CARDS["aws:iam/role:Role"].created(world, f"{name}-nodeRole-role", {})
        outputs["autoModeNodeRoleName"] = role
    return children, outputs, WHY


_FLOWS = (
    "encryptionConfigKeyArn",
    "privateSubnetIds",
    "publicSubnetIds",
    "subnetIds",
    "publicAccessCidrs",
    "clusterTags",
)


def _refuse(name: str, inputs: Mapping[str, Any], auto_mode: Mapping[str, Any]) -> None:
    if not auto_mode.get("enabled"):
        raise ValueError(f"eks.Cluster {name!r} is without Auto Mode; what it creates then was not recorded")
    mode = inputs.get("authenticationMode")
    if mode not in ("API", "API_AND_CONFIG_MAP"):
        raise ValueError(f"authentication_mode of {name!r} is {mode!r}; Auto Mode needs API or API_AND_CONFIG_MAP")
    if inputs.get("publicAccessCidrs") and inputs.get("endpointPublicAccess") is False:
        raise ValueError(f"public_access_cidrs of {name!r} need endpoint_public_access=True")
    if not inputs.get("vpcId"):
        raise ValueError(f"vpc_id of {name!r} is missing; the component would read the account's default VPC")


def _role(
    name: str, service: str, policies: Sequence[str], actions: Sequence[str] = ("sts:AssumeRole",)
) -> list[Child]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions)}],
    }
    role = f"{name}-role"
    children = [
        Child("eks:index:ServiceRole", name, custom=False),
        Child("aws:iam/role:Role", role, {"assumeRolePolicy": json.dumps(trust)}, parent=name),
    ]
    for policy in policies:
        arn = MANAGED_POLICY + policy
        # The component names an attachment by the policy, so that another policy is another attachment.
        suffix = hashlib.sha1(arn.encode(), usedforsecurity=False).hexdigest()[:8]
        children.append(
            Child(
                "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
                f"{name}-{suffix}",
                {"policyArn": arn, "role": ChildProperty(role, "name")},
                parent=name,
            )
        )
    return children


def _cluster_inputs(
    name: str, inputs: Mapping[str, Any], auto_mode: Mapping[str, Any], own_node_role: bool
) -> dict[str, Any]:
    compute = auto_mode.get("computeConfig") or {}
    node_role = ChildProperty(f"{name}-nodeRole-role", "arn") if own_node_role else compute.get("nodeRoleArn")
    subnets = [*(inputs.get("publicSubnetIds") or ()), *(inputs.get("privateSubnetIds") or ())]
    vpc = {
        "subnetIds": subnets or list(inputs.get("subnetIds") or ()),
        "endpointPrivateAccess": inputs.get("endpointPrivateAccess"),
        "endpointPublicAccess": inputs.get("endpointPublicAccess"),
        "publicAccessCidrs": inputs.get("publicAccessCidrs"),
    }
    key = inputs.get("encryptionConfigKeyArn")
    wire = {
        "name": inputs.get("name"),
        "version": inputs.get("version"),
        "roleArn": ChildProperty(f"{name}-eksRole-role", "arn"),
        "accessConfig": {
            "authenticationMode": inputs.get("authenticationMode"),
            "bootstrapClusterCreatorAdminPermissions": True,
        },
        "bootstrapSelfManagedAddons": False,
        "computeConfig": _given(
            {
                "enabled": True,
                "nodePools": compute.get("nodePools", ["general-purpose", "system"]),
                "nodeRoleArn": node_role,
            }
        ),
        "kubernetesNetworkConfig": {
            "elasticLoadBalancing": {"enabled": True},
            "ipFamily": inputs.get("ipFamily", "ipv4"),
        },
        "storageConfig": {"blockStorage": {"enabled": True}},
        "vpcConfig": _given(vpc),
        "encryptionConfig": {"provider": {"keyArn": key}, "resources": ["secrets"]} if key else None,
        "enabledClusterLogTypes": inputs.get("enabledClusterLogTypes"),
        "upgradePolicy": inputs.get("upgradePolicy"),
        "deletionProtection": inputs.get("deletionProtection"),
        "tags": {"Name": f"{name}-eksCluster", **(inputs.get("clusterTags") or {}), **(inputs.get("tags") or {})},
    }
    return _given(wire)


def _given(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if value is not None}


def _access_entries(name: str, cluster: str, entries: Mapping[str, Any]) -> list[Child]:
    children = []
    for key, entry in entries.items():
        own = f"{name}-{key}"
        fixed = {"clusterName": ChildProperty(cluster, "name"), "principalArn": entry["principalArn"]}
        optional = {
            "kubernetesGroups": entry.get("kubernetesGroups"),
            "type": entry.get("type"),
            "userName": entry.get("username"),
            "tags": entry.get("tags"),
        }
        entry_inputs = {**fixed, **_given(optional)}
        children.append(Child("aws:eks/accessEntry:AccessEntry", own, entry_inputs, uses=("accessEntries",)))
        for policy_key, policy in (entry.get("accessPolicies") or {}).items():
            children.append(
                Child(
                    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
                    f"{own}-{policy_key}",
                    {**fixed, "policyArn": policy["policyArn"], "accessScope": policy["accessScope"]},
                    uses=("accessEntries",),
                    parent=own,
                    # Its parent already comes first in creation; the dependency makes it go first in destruction too.
                    depends_on=(own,),
                )
            )
    return children


def _unused_instance_role(name: str, cluster: str) -> list[Child]:
    """Role, profile and access entry for a default node group, which Auto Mode never starts."""
    children = _role(f"{name}-instanceRole", "ec2.amazonaws.com", INSTANCE_POLICIES)
    role = f"{name}-instanceRole-role"
    children.append(
        Child(
            "aws:iam/instanceProfile:InstanceProfile",
            f"{name}-instanceProfile",
            {"role": ChildProperty(role, "name")},
        )
    )
    children.append(
        Child(
            "aws:eks/accessEntry:AccessEntry",
            f"{name}-defaultNodeGroupInstanceRole",
            {
                "clusterName": ChildProperty(cluster, "name"),
                "principalArn": ChildProperty(role, "arn"),
                "type": "EC2_LINUX",
            },
        )
    )
    return children


def _coredns(world: World, name: str, cluster: str, options: Mapping[str, Any], kubernetes_version: Any) -> list[Child]:
    if options.get("enabled", True) is False:
        return []
    version = options.get("version")
    if version is None:
        world.assume(f"EKS chooses the version of CoreDNS for Kubernetes {kubernetes_version}; not read")
    wire = {
        "clusterName": ChildProperty(cluster, "name"),
        "addonName": "coredns",
        "addonVersion": version,
        "configurationValues": options.get("configurationValues"),
        "preserve": True,
        "resolveConflictsOnCreate": options.get("resolveConflictsOnCreate", "OVERWRITE"),
        "resolveConflictsOnUpdate": options.get("resolveConflictsOnUpdate", "OVERWRITE"),
    }
    return [Child("aws:eks/addon:Addon", f"{name}-coredns", _given(wire))]


def _kubeconfig(region: str, cluster: str, endpoint: str, certificate_authority: str) -> dict[str, Any]:
    arguments = ["--region", region, "eks", "get-token", "--cluster-name", cluster, "--output", "json"]
    user = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": arguments}
    return {
        "apiVersion": "v1",
        "clusters": [
            {
                "cluster": {"server": endpoint, "certificate-authority-data": certificate_authority},
                "name": "kubernetes",
            }
        ],
        "contexts": [{"context": {"cluster": "kubernetes", "user": "aws"}, "name": "aws"}],
        "current-context": "aws",
        "kind": "Config",
        "users": [{"name": "aws", "user": {"exec": user}}],
    }
