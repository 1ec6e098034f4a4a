"""An EKS cluster in Auto Mode.

Makes a KMS key with alias for the cluster's Secrets, the log group of the control plane, the cluster with its roles
(`pulumi_eks.Cluster`), its administrators' access entries, and a policy that lets Auto Mode put our tags on what it launches.
Assumes private subnets in at least two Availability Zones that EKS supports, tagged for internal load balancers, with a
way to the internet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from .access import CLUSTER_ADMIN, admin_entries
from .iam import auto_mode_tags_policy, role_name
from .kubeconfig import kubeconfig
from .spec import Cluster

NODE_POOLS = ("general-purpose", "system")
"""Auto Mode's built-in pools. They carry everything without a GPU, and EKS makes the `default` NodeClass only with them."""

KEY_DELETION_DAYS = 30
"""Longest waiting time KMS offers before a deleted key is gone, and every Secret encrypted with it."""


@dataclass(frozen=True, kw_only=True)
class AutoModeClusterArgs:
    """What an Auto Mode cluster needs to know."""

    cluster_name: str
    """Name in EKS, unique in account and region, at most 100 characters. Changing it replaces the cluster."""
    region: str
    """Region of the cluster; the kubeconfig names it. Changing it replaces the cluster."""
    spec: Cluster
    """Version, administrators, who may reach the API endpoint, logs and protection. The endpoint is always there inside the VPC; for
    the internet it is open to `public_access_cidrs` alone, and without them closed. With `protect` Pulumi refuses to delete or
    replace the cluster, its roles and its key; administrators can be revoked all the same. Its `name` is not read: `cluster_name` is."""
    vpc_id: pulumi.Input[str]
    """VPC of the cluster. Changing it replaces the cluster."""
    private_subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets for the control plane's network interfaces, in at least two zones. Private ones only: public subnets would
    hold interfaces of the control plane too."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the cluster itself, beyond the AWS provider's default tags."""
    egress: Sequence[pulumi.Resource] = ()
    """Routes and NAT gateways that nodes need to join and to drain."""
    profile: str | None = None
    """AWS profile that the kubeconfig's token command uses; by default the environment's own identity."""
    assume_role_arn: str | None = None
    """Role that the token command assumes, the one that the provider does: it makes the cluster and is its first administrator."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", self.cluster_name):
            raise ValueError(
                f"cluster_name: {self.cluster_name!r} is no EKS name; begin with a letter or digit, then up to 99 letters, "
                "digits, dashes and underscores"
            )
        if self.spec.existing:
            raise ValueError(
                "spec.existing: this component makes a cluster; use existing_provider for one that is there"
            )
        if len(self.private_subnet_ids) < 2:
            raise ValueError(
                f"private_subnet_ids: {len(self.private_subnet_ids)} given; EKS needs subnets in at least two zones"
            )
        admin_entries(self.spec.admins)


class AutoModeCluster(pulumi.ComponentResource):
    """EKS cluster in Auto Mode with encrypted Secrets, expiring logs and named administrators."""

    cluster_name: pulumi.Output[str]
    """Name in EKS, known in a preview; whatever takes it is made after the whole cluster and deleted before it."""
    arn: pulumi.Output[str]
    """ARN of the cluster."""
    endpoint: pulumi.Output[str]
    """URL of the API server."""
    certificate_authority: pulumi.Output[str]
    """Certificate of the API server's authority, base64."""
    cluster_security_group_id: pulumi.Output[str]
    """Security group that EKS makes for control plane and nodes; every NodeClass needs it."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig as JSON, without secrets."""
    node_role_name: pulumi.Output[str]
    """IAM role of the nodes of the built-in pools. EKS makes its access entry itself."""
    key_arn: pulumi.Output[str]
    """KMS key that encrypts the cluster's Secrets."""
    ready: list[pulumi.Resource]
    """What must stand before anything in the cluster is made, and must go after it."""

    def __init__(self, name: str, args: AutoModeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {"clusterName": args.cluster_name, "version": args.spec.version}
        super().__init__("dynamo-eks:index:AutoModeCluster", name, inputs, opts)
        key = self._key(name, args)
        log_group = self._log_group(name, args)
        cluster = self._cluster(name, args, key, log_group)
        tags_policy = self._tags_policy(name, cluster)

        # A preview shows it, and whatever uses it is nevertheless ordered after the cluster.
        self.cluster_name = cluster.urn.apply(lambda _: args.cluster_name)
        self.arn = cluster.eks_cluster.arn
        self.endpoint = cluster.eks_cluster.endpoint
        self.certificate_authority = cluster.eks_cluster.certificate_authority.data
        self.cluster_security_group_id = cluster.eks_cluster.vpc_config.cluster_security_group_id
        self.node_role_name = cluster.auto_mode_node_role_name
        self.key_arn = key.arn
        self.kubeconfig = pulumi.Output.all(self.endpoint, self.certificate_authority).apply(
            lambda known: json.dumps(_kubeconfig(args, *known))
        )
        # Whoever takes the cluster down may be one of its administrators: access goes after everything in the cluster.
        self.ready = [cluster, tags_policy, *self._admins(name, args, cluster)]
        self.register_outputs(
            {
                "cluster_name": self.cluster_name,
                "arn": self.arn,
                "endpoint": self.endpoint,
                "certificate_authority": self.certificate_authority,
                "cluster_security_group_id": self.cluster_security_group_id,
                "kubeconfig": self.kubeconfig,
                "node_role_name": self.node_role_name,
                "key_arn": self.key_arn,
            }
        )

    def _key(self, name: str, args: AutoModeClusterArgs) -> aws.kms.Key:
        key = aws.kms.Key(
            f"{name}-secrets",
            description=f"Secrets of the EKS cluster {args.cluster_name}",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            # Keys have no names: by this tag, and those of the provider, one that an interrupted creation left is found.
            tags={"Name": f"{args.cluster_name}-secrets"},
            opts=pulumi.ResourceOptions(
                parent=self,
                # EKS cannot change a cluster's key: with the key gone every Secret, and so the cluster, is lost.
                protect=args.spec.protect,
            ),
        )
        aws.kms.Alias(
            f"{name}-secrets",
            name=f"alias/eks/{args.cluster_name}",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key

    def _log_group(self, name: str, args: AutoModeClusterArgs) -> aws.cloudwatch.LogGroup | None:
        if not args.spec.logs:
            return None
        return aws.cloudwatch.LogGroup(
            f"{name}-logs",
            # EKS writes to a group of this name only (EKS User Guide, "Send control plane logs to CloudWatch Logs").
            name=f"/aws/eks/{args.cluster_name}/cluster",
            retention_in_days=args.spec.log_retention_days,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _cluster(
        self,
        name: str,
        args: AutoModeClusterArgs,
        key: aws.kms.Key,
        log_group: aws.cloudwatch.LogGroup | None,
    ) -> eks.Cluster:
        return eks.Cluster(
            name,
            name=args.cluster_name,
            version=args.spec.version,
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type=args.spec.support),
            # Literals, not outputs: EKS takes the three Auto Mode switches only together, and unknown ones fail in a
            # preview (pulumi/pulumi-eks#1597).
            auto_mode=eks.AutoModeOptionsArgs(
                enabled=True,
                create_node_role=True,
                compute_config=eks.ClusterComputeConfigArgs(node_pools=list(NODE_POOLS)),
            ),
            # Auto Mode has no default node group; without this come a role, a profile and an access entry for one.
            skip_default_node_group=True,
            # Auto Mode nodes answer DNS themselves, and the add-on holds up everything that uses an output of the
            # cluster until a node has booted.
            coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=False),
            authentication_mode=eks.AuthenticationMode.API,
            # Without it the component reads the account's default VPC.
            vpc_id=args.vpc_id,
            private_subnet_ids=list(args.private_subnet_ids),
            # Both, always: what is left out is EKS's default, and that is public and open to everybody.
            endpoint_public_access=bool(args.spec.public_access_cidrs),
            endpoint_private_access=True,
            public_access_cidrs=list(args.spec.public_access_cidrs or ()) or None,
            encryption_config_key_arn=key.arn,
            enabled_cluster_log_types=list(args.spec.logs),
            deletion_protection=args.spec.deletion_protection,
            cluster_tags=dict(args.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Everything served runs in it, and a replacement takes all of it along.
                protect=args.spec.protect,
                # Nodes need egress to join and, in a destroy, to drain: without it volumes, interfaces and security
                # groups stay behind and the VPC cannot go. The log group comes first, because EKS otherwise makes one
                # itself, which never expires and is in the way of ours.
                depends_on=[*args.egress, *([log_group] if log_group else [])],
            ),
        )

    def _admins(self, name: str, args: AutoModeClusterArgs, cluster: eks.Cluster) -> list[pulumi.Resource]:
        """Access entries of the administrators, each with its policy.

        Not through the cluster's component: its children are protected with it, and nobody could be taken out of `admins`.
        """
        made: list[pulumi.Resource] = []
        for admin in admin_entries(args.spec.admins):
            entry = aws.eks.AccessEntry(
                f"{name}-{admin.key}",
                cluster_name=self.cluster_name,
                principal_arn=admin.principal_arn,
                # Stacks of before hold it as the component's child; its policy's alias follows from this one. Can go when no
                # such stack is left.
                opts=pulumi.ResourceOptions(parent=self, aliases=[pulumi.Alias(parent=cluster)]),
            )
            policy = aws.eks.AccessPolicyAssociation(
                f"{name}-{admin.key}-admin",
                cluster_name=self.cluster_name,
                principal_arn=admin.principal_arn,
                policy_arn=CLUSTER_ADMIN,
                access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                # A child is made after its parent and goes before it.
                opts=pulumi.ResourceOptions(parent=entry),
            )
            made += [entry, policy]
        return made

    def _tags_policy(self, name: str, cluster: eks.Cluster) -> aws.iam.RolePolicy:
        return aws.iam.RolePolicy(
            f"{name}-tags",
            # Stated, so that a second attempt writes the same one: a policy that nobody knows of keeps its role from going.
            name=f"{name}-tags",
            role=cluster.eks_cluster.role_arn.apply(role_name),
            policy=json.dumps(auto_mode_tags_policy()),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _kubeconfig(args: AutoModeClusterArgs, endpoint: str, certificate_authority: str) -> dict[str, Any]:
    identity = {"profile": args.profile, "role_arn": args.assume_role_arn}
    return kubeconfig(args.cluster_name, endpoint, certificate_authority, args.region, **identity)
