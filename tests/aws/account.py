"""An AWS account on moto, in which a recorded stack's resources are made through boto3 from their recorded inputs.

Real: boto3's own model of every call, and what moto is faithful in: grammar of IAM documents, names of AWS's managed
policies, address ranges of VPC and subnets, routes and their targets, security groups and their rules, mount targets.
Stands in: EKS, which is only played as far as others refer to it (its cluster's security group). Moto has no Local Zones, so
a subnet there is made in a zone of the region that the stack does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import boto3

from recording.graph import Graph, Node

LEFT_OUT = {
    "aws:autoscaling/schedule:Schedule": "its group is made by EKS",
    "aws:cloudwatch/logGroup:LogGroup": "nothing in it that could be refused",
    "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup": "moto has no Local Zones",
    "aws:ec2/capacityReservation:CapacityReservation": "moto has none",
    "aws:ec2/flowLog:FlowLog": "moto wants its log group to be of another account's making",
    "aws:ec2/launchTemplate:LaunchTemplate": "moto takes any; tests/capacity looks at it",
    "aws:eks/": "moto checks next to nothing of it; the plan's rules and recording/eks_construct.py do",
    "aws:iam/instanceProfile:InstanceProfile": "made by EKS",
    "aws:kms/": "no policy of its own",
}
"""Types that are not made, each with why."""

_Make = Callable[["Account", Mapping[str, Any]], str]
_MAKES: dict[str, _Make] = {}


def makes(type_: str) -> Callable[[_Make], _Make]:
    """Register how a type is made: inputs to the new resource's id."""

    def register(function: _Make) -> _Make:
        _MAKES[type_] = function
        return function

    return register


@cache
def clients(region: str) -> tuple[Any, Any, Any]:
    """Clients of EC2, IAM and EFS; reading their models takes longer than all that is asked of them."""
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region)
    return session.client("ec2"), session.client("iam"), session.client("efs")


class Account:
    """What has been made, by the ids that the recording gave it."""

    def __init__(self, graph: Graph) -> None:
        provider = next(node for node in graph.of("pulumi:providers:aws") if node.inputs.get("region"))
        self.ec2, self.iam, self.efs = clients(str(provider.inputs["region"]))
        self.ids: dict[str, str] = {}
        answer = self.ec2.describe_availability_zones()["AvailabilityZones"]
        self.zones = {str(zone["ZoneId"]) for zone in answer}
        used = {node.inputs.get("availabilityZoneId") for node in graph.of("aws:ec2/subnet:Subnet")}
        self.spare = sorted(self.zones - used)

    def make(self, graph: Graph, only: Sequence[str] = ()) -> None:
        """Everything of a stack that moto is faithful in, or some resources and what they need, in the engine's order."""
        needed = {*only}.union(*(graph.requires(key) for key in only))
        for node in graph.creation:
            if not only or node.key in needed:
                self._one(node)

    def _one(self, node: Node) -> None:
        if node.type == "aws:eks/cluster:Cluster":
            self._cluster_group(node)
        if not node.type.startswith("aws:") or any(node.type.startswith(type_) for type_ in LEFT_OUT):
            return
        made = _MAKES[node.type](self, self.known(node.inputs))
        self.ids[node.id] = made

    def known(self, value: Any) -> Any:
        """Recorded ids become those of what was made."""
        if isinstance(value, Mapping):
            return {key: self.known(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.known(item) for item in value]
        return self.ids.get(value, value) if isinstance(value, str) else value

    def _cluster_group(self, node: Node) -> None:
        """EKS makes a security group for the cluster, to which others refer."""
        inputs = self.known(node.inputs)
        subnet = inputs["vpcConfig"]["subnetIds"][0]
        vpc = self.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
        group = self.ec2.create_security_group(GroupName=f"eks-cluster-sg-{node.id}", Description="EKS", VpcId=vpc)
        self.ids[node.outputs["vpcConfig"]["clusterSecurityGroupId"]] = group["GroupId"]


def _tags(kind: str, inputs: Mapping[str, Any]) -> list[Any]:
    tags = [{"Key": key, "Value": value} for key, value in (inputs.get("tags") or {}).items()]
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


@makes("aws:ec2/vpc:Vpc")
def _vpc(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.create_vpc(CidrBlock=inputs["cidrBlock"], TagSpecifications=_tags("vpc", inputs))["Vpc"]["VpcId"]
    for key, name in (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames")):
        account.ec2.modify_vpc_attribute(VpcId=made, **{name: {"Value": bool(inputs.get(key))}})
    return made


@makes("aws:ec2/internetGateway:InternetGateway")
def _internet_gateway(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    account.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
    return made


@makes("aws:ec2/subnet:Subnet")
def _subnet(account: Account, inputs: Mapping[str, Any]) -> str:
    zone = inputs["availabilityZoneId"]
    made = account.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZoneId=zone if zone in account.zones else account.spare[0],
        TagSpecifications=_tags("subnet", inputs),
    )
    return made["Subnet"]["SubnetId"]


@makes("aws:ec2/routeTable:RouteTable")
def _route_table(account: Account, inputs: Mapping[str, Any]) -> str:
    return account.ec2.create_route_table(VpcId=inputs["vpcId"])["RouteTable"]["RouteTableId"]


@makes("aws:ec2/routeTableAssociation:RouteTableAssociation")
def _association(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])
    return made["AssociationId"]


@makes("aws:ec2/eip:Eip")
def _address(account: Account, inputs: Mapping[str, Any]) -> str:
    return account.ec2.allocate_address(Domain=inputs["domain"])["AllocationId"]


@makes("aws:ec2/natGateway:NatGateway")
def _nat_gateway(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.create_nat_gateway(AllocationId=inputs["allocationId"], SubnetId=inputs["subnetId"])
    return made["NatGateway"]["NatGatewayId"]


@makes("aws:ec2/route:Route")
def _route(account: Account, inputs: Mapping[str, Any]) -> str:
    targets = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId"}
    target = {name: inputs[key] for key, name in targets.items() if key in inputs}
    table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
    account.ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, **target)
    return f"{table}:{destination}"


@makes("aws:ec2/securityGroup:SecurityGroup")
def _security_group(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.create_security_group(
        GroupName=str(inputs.get("name") or inputs["tags"]["Name"]),
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
        TagSpecifications=_tags("security-group", inputs),
    )["GroupId"]
    # EC2 gives every group a rule for all egress; the provider takes it away.
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    account.ec2.revoke_security_group_egress(GroupId=made, IpPermissions=[everything])
    return made


def _permission(inputs: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    if "fromPort" in inputs:
        found |= {"FromPort": int(inputs["fromPort"]), "ToPort": int(inputs["toPort"])}
    about = {"Description": inputs["description"]} if "description" in inputs else {}
    if "cidrIpv4" in inputs:
        found["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **about}]
    if "referencedSecurityGroupId" in inputs:
        found["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **about}]
    return found


@makes("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
def _ingress(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.authorize_security_group_ingress(
        GroupId=inputs["securityGroupId"], IpPermissions=[_permission(inputs)]
    )
    return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]


@makes("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
def _egress(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.ec2.authorize_security_group_egress(
        GroupId=inputs["securityGroupId"], IpPermissions=[_permission(inputs)]
    )
    return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]


@makes("aws:ec2/vpcEndpoint:VpcEndpoint")
def _endpoint(account: Account, inputs: Mapping[str, Any]) -> str:
    lists = {"routeTableIds": "RouteTableIds", "subnetIds": "SubnetIds", "securityGroupIds": "SecurityGroupIds"}
    made = account.ec2.create_vpc_endpoint(
        VpcId=inputs["vpcId"],
        ServiceName=inputs["serviceName"],
        VpcEndpointType=inputs["vpcEndpointType"],
        **{name: inputs[key] for key, name in lists.items() if key in inputs},
        **({"PrivateDnsEnabled": True} if inputs.get("privateDnsEnabled") else {}),
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


@makes("aws:iam/role:Role")
def _role(account: Account, inputs: Mapping[str, Any]) -> str:
    name = str(inputs.get("name") or f"role-{len(account.ids)}")
    account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=inputs["assumeRolePolicy"])
    # Moto reads a trust document only when it is replaced.
    account.iam.update_assume_role_policy(RoleName=name, PolicyDocument=inputs["assumeRolePolicy"])
    return name


@makes("aws:iam/rolePolicy:RolePolicy")
def _role_policy(account: Account, inputs: Mapping[str, Any]) -> str:
    name = str(inputs.get("name") or "inline")
    account.iam.put_role_policy(RoleName=inputs["role"], PolicyName=name, PolicyDocument=inputs["policy"])
    return f"{inputs['role']}:{name}"


@makes("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def _attachment(account: Account, inputs: Mapping[str, Any]) -> str:
    account.iam.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return f"{inputs['role']}:{inputs['policyArn']}"


@makes("aws:efs/fileSystem:FileSystem")
def _file_system(account: Account, inputs: Mapping[str, Any]) -> str:
    options = {
        "creationToken": "CreationToken",
        "encrypted": "Encrypted",
        "performanceMode": "PerformanceMode",
        "throughputMode": "ThroughputMode",
        "provisionedThroughputInMibps": "ProvisionedThroughputInMibps",
    }
    made = account.efs.create_file_system(**{name: inputs[key] for key, name in options.items() if key in inputs})
    return made["FileSystemId"]


@makes("aws:efs/mountTarget:MountTarget")
def _mount_target(account: Account, inputs: Mapping[str, Any]) -> str:
    made = account.efs.create_mount_target(
        FileSystemId=inputs["fileSystemId"], SubnetId=inputs["subnetId"], SecurityGroups=inputs["securityGroups"]
    )
    return made["MountTargetId"]
