"""Which changed property replaces a resource instead of updating it, as the real providers decide.

The Python SDKs do not say it, so that it is kept here as read in the providers' sources. A property that is not listed is
updated in place. Names are those on the wire; a dotted name is a nested property, and a change anywhere below counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Replaces:
    """Properties of one type that cannot be changed, and where that is written."""

    source: str
    properties: frozenset[str]
    named: str | None = None
    """The property that holds the physical name, where the provider would make one up. Given by the program it is taken
    until the old resource is gone, so that the bridge deletes first (pulumi-terraform-bridge,
    `nameRequiresDeleteBeforeReplace`)."""
    unique: str | None = None
    """Property that AWS takes only once in an account and region; a second resource is refused."""
    delete_first: bool = False
    """Deleted before its replacement is made whatever its name (`DeleteBeforeReplace` in pulumi-aws, resources.go)."""


def _aws(
    path: str, *properties: str, named: str | None = None, unique: str | None = None, delete_first: bool = False
) -> Replaces:
    return Replaces(
        f"hashicorp/terraform-provider-aws internal/service/{path}",
        # Every resource of a region: the region itself (internal/provider, forceNewIfRegionChanges).
        frozenset({*properties, "region"}),
        named,
        unique or named,
        delete_first,
    )


AWS: Mapping[str, Replaces] = {
    "aws:ec2/vpc:Vpc": _aws("ec2/vpc_.go", "cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"),
    "aws:ec2/subnet:Subnet": _aws(
        "ec2/vpc_subnet.go", "availabilityZone", "availabilityZoneId", "cidrBlock", "ipv6Native", "outpostArn", "vpcId"
    ),
    # The gateway is moved to another VPC in place.
    "aws:ec2/internetGateway:InternetGateway": _aws("ec2/vpc_internet_gateway.go"),
    "aws:ec2/routeTable:RouteTable": _aws("ec2/vpc_route_table.go", "vpcId"),
    "aws:ec2/route:Route": _aws(
        "ec2/vpc_route.go", "routeTableId", "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _aws(
        "ec2/vpc_route_table_association.go", "subnetId", "gatewayId"
    ),
    "aws:ec2/eip:Eip": _aws(
        "ec2/ec2_eip.go", "address", "domain", "ipamPoolId", "networkBorderGroup", "publicIpv4Pool"
    ),
    "aws:ec2/natGateway:NatGateway": _aws(
        "ec2/vpc_nat_gateway.go", "allocationId", "connectivityType", "privateIp", "subnetId"
    ),
    "aws:ec2/securityGroup:SecurityGroup": _aws(
        "ec2/vpc_security_group.go", "description", "name", "namePrefix", "vpcId", named="name"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _aws(
        "ec2/vpc_security_group_ingress_rule.go", "securityGroupId"
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _aws(
        "ec2/vpc_security_group_egress_rule.go", "securityGroupId"
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _aws(
        "ec2/vpc_endpoint.go", "serviceName", "serviceRegion", "vpcEndpointType", "vpcId", "resourceConfigurationArn"
    ),
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": _aws(
        "ec2/vpc_endpoint_route_table_association.go", "routeTableId", "vpcEndpointId"
    ),
    # Tags alone can be changed.
    "aws:ec2/flowLog:FlowLog": _aws(
        "ec2/vpc_flow_log.go", "iamRoleArn", "logDestination", "logDestinationType", "logFormat", "trafficType", "vpcId",
        "subnetId", "eniId", "maxAggregationInterval", "destinationOptions",
    ),
    # Count and end can be changed.
    "aws:ec2/capacityReservation:CapacityReservation": _aws(
        "ec2/ec2_capacity_reservation.go", "availabilityZone", "ebsOptimized", "ephemeralStorage",
        "instanceMatchCriteria", "instancePlatform", "instanceType", "tenancy",
    ),
    # Everything else makes another version of the template.
    "aws:ec2/launchTemplate:LaunchTemplate": _aws("ec2/ec2_launch_template.go", "name", "namePrefix", named="name"),
    "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup": _aws("ec2/ec2_availability_zone_group.go", "groupName"),
    # Labels, taints, sizes, release and the template's version can be changed.
    "aws:eks/nodeGroup:NodeGroup": _aws(
        "eks/node_group.go", "amiType", "capacityType", "clusterName", "diskSize", "instanceTypes", "launchTemplate.id",
        "launchTemplate.name", "nodeGroupName", "nodeGroupNamePrefix", "nodeRoleArn", "remoteAccess", "subnetIds",
        named="nodeGroupName",
    ),
    "aws:autoscaling/schedule:Schedule": _aws(
        "autoscaling/schedule.go", "autoscalingGroupName", "scheduledActionName"
    ),
    "aws:iam/role:Role": _aws("iam/role.go", "name", "namePrefix", "path", named="name"),
    "aws:iam/rolePolicy:RolePolicy": _aws("iam/role_policy.go", "name", "namePrefix", "role"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _aws("iam/role_policy_attachment.go", "policyArn", "role"),
    "aws:iam/instanceProfile:InstanceProfile": _aws(
        "iam/instance_profile.go", "name", "namePrefix", "path", named="name"
    ),
    "aws:kms/key:Key": _aws(
        "kms/key.go", "customKeyStoreId", "customerMasterKeySpec", "keyUsage", "multiRegion", "xksKeyId"
    ),
    "aws:kms/alias:Alias": _aws("kms/alias.go", "name", "namePrefix", named="name"),
    "aws:cloudwatch/logGroup:LogGroup": _aws(
        "logs/group.go", "logGroupClass", "name", "namePrefix", named="name"
    ),
    "aws:eks/cluster:Cluster": _aws(
        "eks/cluster.go", "name", "roleArn", "accessConfig.bootstrapClusterCreatorAdminPermissions",
        "bootstrapSelfManagedAddons", "kubernetesNetworkConfig.ipFamily", "kubernetesNetworkConfig.serviceIpv4Cidr",
        "outpostConfig",
        # By its CustomizeDiff: a changed role, and encryption that is taken away.
        "computeConfig.nodeRoleArn", "encryptionConfig",
        named="name",
    ),
    "aws:eks/addon:Addon": _aws("eks/addon.go", "addonName", "clusterName"),
    "aws:eks/accessEntry:AccessEntry": _aws("eks/access_entry.go", "clusterName", "principalArn", "type"),
    # There is no update at all.
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _aws(
        "eks/access_policy_association.go", "accessScope", "clusterName", "policyArn", "principalArn"
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _aws(
        "eks/pod_identity_association.go", "clusterName", "namespace", "serviceAccount"
    ),
    "aws:efs/fileSystem:FileSystem": _aws(
        "efs/file_system.go", "availabilityZoneName", "creationToken", "encrypted", "kmsKeyId", "performanceMode",
        named="creationToken",
    ),
    # EFS takes one in a zone.
    "aws:efs/mountTarget:MountTarget": _aws(
        "efs/mount_target.go", "fileSystemId", "ipAddress", "subnetId", delete_first=True
    ),
    "aws:efs/backupPolicy:BackupPolicy": _aws("efs/backup_policy.go", "fileSystemId"),
}  # fmt: skip
"""By type token. A type that is missing here makes the stand-in refuse the resource, so that nothing goes unjudged."""

KUBERNETES_SOURCE = "pulumi/pulumi-kubernetes provider/pkg/provider/diff.go (objects), helm_release.go (Release)"

KUBERNETES: Mapping[tuple[str, str], frozenset[str]] = {
    ("v1", "ConfigMap"): frozenset({"data", "binaryData"}),
    ("v1", "Secret"): frozenset({"type", "data", "stringData"}),
    ("v1", "PersistentVolumeClaim"): frozenset(
        {"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"}
    ),
    ("v1", "Service"): frozenset({"spec.clusterIP"}),
    ("batch/v1", "Job"): frozenset({"spec.completions", "spec.parallelism", "spec.selector", "spec.template"}),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): frozenset({"roleRef"}),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): frozenset({"roleRef"}),
    ("storage.k8s.io/v1", "StorageClass"): frozenset({"parameters", "provisioner"}),
    ("apps/v1", "Deployment"): frozenset({"spec.selector"}),
    ("apps/v1", "DaemonSet"): frozenset({"spec.selector"}),
    ("helm.sh/v3", "Release"): frozenset({"name", "namespace"}),
}
"""By apiVersion and kind; for every kind also IDENTITY."""

IDENTITY = frozenset({"apiVersion", "kind", "metadata.name", "metadata.namespace"})


def replaces(path: str, properties: frozenset[str]) -> bool:
    """Whether a change at this path (`vpcConfig.subnetIds[0]`) is one of `properties` or below it."""
    plain = path.split("[", 1)[0]
    return any(plain == item or plain.startswith(f"{item}.") for item in properties) or any(
        # A block that appears or goes as a whole takes its fixed fields along.
        item.startswith(f"{plain}.")
        for item in properties
        if "[" not in path
    )
