"""Looks for interrupted creations in AWS: one question for every type of `lookup.TOLD`.

Ids are as the provider writes them into the state: for routes and policy attachments made up by it, and read by their
inputs (hashicorp/terraform-provider-aws, internal/service/ec2/vpc_route.go and iam/role_policy_attachment.go).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from operations.credentials import Access, NoIdentity
from operations.lookup import Candidate, CannotTell, Condition
from operations.state import Resource

GONE = {"deleted", "deleting", "failed", "expired", "cancelled", "PendingDeletion"}
"""States of things that are going or gone, where they are still listed."""

Ask = Callable[["AwsFinder", Resource], list[Candidate]]

ASK: dict[str, Ask] = {}


def asks(*types: str) -> Callable[[Ask], Ask]:
    """Register who asks for a type."""

    def register(function: Ask) -> Ask:
        for type_ in types:
            ASK[type_] = function
        return function

    return register


class AwsFinder:
    """One account and region, with the stack's identity."""

    def __init__(self, region: str | None, session: Any = None, access: Access | None = None) -> None:
        self.region = region
        self._session = session
        self._access = access or Access(region=region)
        self._clients: dict[str, Any] = {}

    def find(self, resource: Resource) -> Sequence[Candidate]:
        ask = ASK.get(resource.type)
        if ask is None:
            raise CannotTell(f"this program makes no {resource.type}; look for it in the console")
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return ask(self, resource)
        except KeyError as missing:
            raise CannotTell(f"the interrupted entry has no {missing}") from None
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            # A thing whose group, role or cluster is not there is not there either.
            if "NotFound" in code or code == "NoSuchEntity" or "not found" in str(error):
                return []
            raise CannotTell(f"AWS answers {error}") from None
        except (BotoCoreError, NoIdentity) as error:
            raise CannotTell(f"AWS cannot be asked: {error}") from None

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._session = self._session or self._access.session()
            self._clients[service] = self._session.client(service, region_name=self.region)
        return self._clients[service]

    def every(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        client = self.client(service)
        if client.can_paginate(operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(key) or ()
        else:
            yield from getattr(client, operation)(**arguments).get(key) or ()


def _filters(resource: Resource, **more: str) -> list[dict[str, Any]]:
    """EC2 filters: every tag of ours, and more by name (underscores are dashes)."""
    tags = resource.inputs.get("tagsAll") or resource.inputs["tags"]
    made = [{"Name": f"tag:{key}", "Values": [str(value)]} for key, value in sorted(tags.items())]
    return made + [{"Name": key.replace("_", "-"), "Values": [value]} for key, value in more.items()]


def _ec2(operation: str, key: str, id_: str, *, state: str = "State", **within: str) -> Ask:
    """A question by tags; `within` are filters with the input that each takes its value from."""

    def ask(finder: AwsFinder, resource: Resource) -> list[Candidate]:
        more = {name: str(resource.inputs[given]) for name, given in within.items() if resource.inputs.get(given)}
        found = finder.every("ec2", operation, key, Filters=_filters(resource, **more))
        return [_seen(item, item[id_], item.get(state)) for item in found if item.get(state) not in GONE]

    return ask


def _seen(item: Mapping[str, Any], id_: str, state: Any) -> Candidate:
    state = str(state or "")
    return Candidate(id_, _condition(state), state)


def _condition(state: str) -> Condition:
    """Whether a thing that says this of itself is done."""
    text = state.lower()
    if "fail" in text or text == "error":
        return "failed"
    return "making" if text in ("creating", "pending", "deleting", "pendingacceptance") else "ready"


asks("aws:ec2/vpc:Vpc")(_ec2("describe_vpcs", "Vpcs", "VpcId"))
asks("aws:ec2/internetGateway:InternetGateway")(
    _ec2("describe_internet_gateways", "InternetGateways", "InternetGatewayId")
)
asks("aws:ec2/routeTable:RouteTable")(_ec2("describe_route_tables", "RouteTables", "RouteTableId", vpc_id="vpcId"))
asks("aws:ec2/securityGroup:SecurityGroup")(
    _ec2("describe_security_groups", "SecurityGroups", "GroupId", vpc_id="vpcId", group_name="name")
)
asks("aws:ec2/eip:Eip")(_ec2("describe_addresses", "Addresses", "AllocationId"))
asks("aws:ec2/capacityReservation:CapacityReservation")(
    _ec2("describe_capacity_reservations", "CapacityReservations", "CapacityReservationId")
)


@asks("aws:ec2/subnet:Subnet")
def _subnet(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    where = [
        {"Name": "vpc-id", "Values": [resource.inputs["vpcId"]]},
        {"Name": "cidr-block", "Values": [resource.inputs["cidrBlock"]]},
    ]
    found = finder.every("ec2", "describe_subnets", "Subnets", Filters=where)
    return [_seen(item, item["SubnetId"], item.get("State")) for item in found]


@asks("aws:ec2/natGateway:NatGateway")
def _nat_gateway(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    where = [{"Name": "subnet-id", "Values": [resource.inputs["subnetId"]]}]
    found = finder.every("ec2", "describe_nat_gateways", "NatGateways", Filter=where)
    return [
        _seen(item, item["NatGatewayId"], item["State"])
        for item in found
        if item["State"] not in GONE
        and any(
            address.get("AllocationId") == resource.inputs["allocationId"]
            for address in item.get("NatGatewayAddresses") or ()
        )
    ]


@asks("aws:ec2/vpcEndpoint:VpcEndpoint")
def _endpoint(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    where = [
        {"Name": "vpc-id", "Values": [resource.inputs["vpcId"]]},
        {"Name": "service-name", "Values": [resource.inputs["serviceName"]]},
    ]
    found = finder.every("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=where)
    return [
        _seen(item, item["VpcEndpointId"], item.get("State"))
        for item in found
        if str(item.get("State", "")).lower() not in ("deleting", "deleted")
    ]


@asks("aws:ec2/flowLog:FlowLog")
def _flow_log(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    where = [{"Name": "resource-id", "Values": [resource.inputs["vpcId"]]}]
    wanted = str(resource.inputs["logDestination"]).removesuffix(":*")
    return [
        Candidate(item["FlowLogId"], told=item.get("FlowLogStatus", ""))
        for item in finder.every("ec2", "describe_flow_logs", "FlowLogs", Filter=where)
        if wanted.endswith(str(item.get("LogGroupName") or item.get("LogDestination") or "-").removesuffix(":*"))
    ]


@asks("aws:ec2/launchTemplate:LaunchTemplate")
def _launch_template(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    where = [{"Name": "launch-template-name", "Values": [resource.inputs["name"]]}]
    found = finder.every("ec2", "describe_launch_templates", "LaunchTemplates", Filters=where)
    return [Candidate(item["LaunchTemplateId"]) for item in found]


@asks("aws:ec2/route:Route")
def _route(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    table, destination = resource.inputs["routeTableId"], resource.inputs["destinationCidrBlock"]
    for item in finder.every("ec2", "describe_route_tables", "RouteTables", RouteTableIds=[table]):
        for route in item.get("Routes") or ():
            if route.get("DestinationCidrBlock") == destination:
                return [Candidate(f"r-{table}{zlib.crc32(destination.encode())}", told=route.get("State", ""))]
    return []


@asks("aws:ec2/routeTableAssociation:RouteTableAssociation")
def _association(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    table = resource.inputs["routeTableId"]
    return [
        Candidate(joined["RouteTableAssociationId"])
        for item in finder.every("ec2", "describe_route_tables", "RouteTables", RouteTableIds=[table])
        for joined in item.get("Associations") or ()
        if joined.get("SubnetId") == resource.inputs["subnetId"]
    ]


@asks(
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
)
def _rule(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    given, egress = resource.inputs, "Egress" in resource.type
    where = [{"Name": "group-id", "Values": [given["securityGroupId"]]}]
    found = finder.every("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=where)
    return [
        Candidate(item["SecurityGroupRuleId"]) for item in found if item["IsEgress"] == egress and _alike(item, given)
    ]


def _alike(rule: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a rule is what the inputs say. Ports of `all protocols` are -1 in one answer and absent in another."""

    def port(value: Any) -> Any:
        return None if value in (None, -1, "-1") else int(value)

    return (
        str(rule.get("IpProtocol")) == str(given["ipProtocol"])
        and port(rule.get("FromPort")) == port(given.get("fromPort"))
        and port(rule.get("ToPort")) == port(given.get("toPort"))
        and rule.get("CidrIpv4") == given.get("cidrIpv4")
        and (rule.get("ReferencedGroupInfo") or {}).get("GroupId") == given.get("referencedSecurityGroupId")
    )


@asks("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
def _zone_group(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    group = resource.inputs["groupName"]
    where = [{"Name": "group-name", "Values": [group]}]
    zones = finder.every(
        "ec2", "describe_availability_zones", "AvailabilityZones", AllAvailabilityZones=True, Filters=where
    )
    return [Candidate(group, told="opted-in")] if any(item["OptInStatus"] == "opted-in" for item in zones) else []


@asks("aws:autoscaling/schedule:Schedule")
def _schedule(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    found = finder.every(
        "autoscaling",
        "describe_scheduled_actions",
        "ScheduledUpdateGroupActions",
        AutoScalingGroupName=resource.inputs["autoscalingGroupName"],
        ScheduledActionNames=[resource.inputs["scheduledActionName"]],
    )
    return [Candidate(item["ScheduledActionName"], told=str(item.get("StartTime", ""))) for item in found]


@asks("aws:cloudwatch/logGroup:LogGroup")
def _log_group(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    name = resource.inputs["name"]
    found = finder.every("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return [Candidate(item["logGroupName"]) for item in found if item["logGroupName"] == name]


@asks("aws:iam/role:Role")
def _role(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    return [Candidate(finder.client("iam").get_role(RoleName=resource.inputs["name"])["Role"]["RoleName"])]


@asks("aws:iam/rolePolicy:RolePolicy")
def _role_policy(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    role, name = resource.inputs["role"], resource.inputs["name"]
    finder.client("iam").get_role_policy(RoleName=role, PolicyName=name)
    return [Candidate(f"{role}:{name}")]


@asks("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def _attachment(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    role, policy = resource.inputs["role"], resource.inputs["policyArn"]
    found = finder.every("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    return [Candidate(f"{role}-{policy}") for item in found if item["PolicyArn"] == policy]


@asks("aws:kms/key:Key")
def _key(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    """Keys have no names. The tagging API finds them by tag; the alias, which has one, comes later and may be missing."""
    tags = resource.inputs.get("tagsAll") or resource.inputs["tags"]
    found = finder.every(
        "resourcegroupstaggingapi",
        "get_resources",
        "ResourceTagMappingList",
        ResourceTypeFilters=["kms:key"],
        TagFilters=[{"Key": key, "Values": [str(value)]} for key, value in sorted(tags.items())],
    )
    keys = [finder.client("kms").describe_key(KeyId=item["ResourceARN"])["KeyMetadata"] for item in found]
    return [_seen(item, item["KeyId"], item["KeyState"]) for item in keys if item["KeyState"] not in GONE]


@asks("aws:kms/alias:Alias")
def _alias(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    name = resource.inputs["name"]
    found = finder.every("kms", "list_aliases", "Aliases")
    return [Candidate(name, told=f"of {item.get('TargetKeyId')}") for item in found if item["AliasName"] == name]


@asks("aws:efs/fileSystem:FileSystem")
def _file_system(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    found = finder.every("efs", "describe_file_systems", "FileSystems", CreationToken=resource.inputs["creationToken"])
    return [_seen(item, item["FileSystemId"], item["LifeCycleState"]) for item in found]


@asks("aws:efs/mountTarget:MountTarget")
def _mount_target(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    found = finder.every("efs", "describe_mount_targets", "MountTargets", FileSystemId=resource.inputs["fileSystemId"])
    return [
        _seen(item, item["MountTargetId"], item["LifeCycleState"])
        for item in found
        if item["SubnetId"] == resource.inputs["subnetId"]
    ]


@asks("aws:efs/backupPolicy:BackupPolicy")
def _backup_policy(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    files = resource.inputs["fileSystemId"]
    policy = finder.client("efs").describe_backup_policy(FileSystemId=files).get("BackupPolicy") or {}
    return [Candidate(files, told=policy["Status"])] if policy.get("Status") in ("ENABLED", "ENABLING") else []


@asks("aws:eks/cluster:Cluster")
def _cluster(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    item = finder.client("eks").describe_cluster(name=resource.inputs["name"])["cluster"]
    return [_seen(item, item["name"], item["status"])]


@asks("aws:eks/nodeGroup:NodeGroup")
def _node_group(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    cluster, name = resource.inputs["clusterName"], resource.inputs["nodeGroupName"]
    item = finder.client("eks").describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
    return [_seen(item, f"{cluster}:{name}", item["status"])]


@asks("aws:eks/addon:Addon")
def _addon(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    cluster, name = resource.inputs["clusterName"], resource.inputs["addonName"]
    item = finder.client("eks").describe_addon(clusterName=cluster, addonName=name)["addon"]
    return [_seen(item, f"{cluster}:{name}", item["status"])]


@asks("aws:eks/accessEntry:AccessEntry")
def _access_entry(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    cluster, principal = resource.inputs["clusterName"], resource.inputs["principalArn"]
    finder.client("eks").describe_access_entry(clusterName=cluster, principalArn=principal)
    return [Candidate(f"{cluster}:{principal}")]


@asks("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
def _access_policy(finder: AwsFinder, resource: Resource) -> list[Candidate]:
    given = resource.inputs
    cluster, principal, policy = given["clusterName"], given["principalArn"], given["policyArn"]
    found = finder.every(
        "eks",
        "list_associated_access_policies",
        "associatedAccessPolicies",
        clusterName=cluster,
        principalArn=principal,
    )
    return [Candidate(f"{cluster}#{principal}#{policy}") for item in found if item["policyArn"] == policy]
