"""Every question to AWS: against an emulator where it is faithful, else against the service's own model.

What boto3's model checks either way: names of operations, arguments, filters' shape and the members of answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from operations.aws_finder import AwsFinder
from operations.lookup import CannotTell
from operations.state import Resource, State
from operations.teardown import access_points, log_groups, tagged_things
from recording.aws_types import CARDS
from tests.operations.documents import TAGS, document, entry

REGION = "us-east-1"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*"}]}
)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An empty account; nothing can leave the machine."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(key, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield boto3.Session(region_name=REGION)


def tagged(kind: str, name: str) -> list[dict[str, Any]]:
    """Tags of ours for something that is created now."""
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in {**TAGS, "Name": name}.items()]}]


def found(account: boto3.Session, type_: str, **inputs: Any) -> list[str]:
    candidates = AwsFinder(REGION, account).find(Resource(entry(type_, "x", inputs=inputs)))
    assert all(item.condition == "ready" for item in candidates)
    return [item.id for item in candidates]


def ours(name: str) -> dict[str, Any]:
    return {"tagsAll": {**TAGS, "Name": name}}


def test_network(account: boto3.Session) -> None:
    """Each is told from its neighbours: a second subnet, another stack's address, a deleted gateway."""
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", "network"))["Vpc"]["VpcId"]
    ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", "other"))
    assert found(account, "aws:ec2/vpc:Vpc", **ours("network")) == [vpc]
    assert found(account, "aws:ec2/vpc:Vpc", tagsAll={**TAGS, "Name": "network", "stack": "elsewhere"}) == []

    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{part}.0/24")["Subnet"]["SubnetId"] for part in (0, 1)]
    type_ = "aws:ec2/subnet:Subnet"
    assert found(account, type_, vpcId=vpc, cidrBlock="10.0.1.0/24") == [subnets[1]]
    assert found(account, type_, vpcId=vpc, cidrBlock="10.0.2.0/24") == []

    gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", "network"))
    gateway = gateway["InternetGateway"]["InternetGatewayId"]
    # Not attached yet: the provider was stopped in between.
    assert found(account, "aws:ec2/internetGateway:InternetGateway", vpcId=vpc, **ours("network")) == [gateway]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)

    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table", "network-public"))
    table = table["RouteTable"]["RouteTableId"]
    assert found(account, "aws:ec2/routeTable:RouteTable", vpcId=vpc, **ours("network-public")) == [table]
    route = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0"}
    assert found(account, "aws:ec2/route:Route", **route) == []
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    # The number is the provider's hash of 0.0.0.0/0, seen in every account that routes to the internet.
    assert found(account, "aws:ec2/route:Route", **route) == [f"r-{table}1080289494"]
    assert found(account, "aws:ec2/route:Route", routeTableId="rtb-00000000", destinationCidrBlock="0.0.0.0/0") == []

    joined = {"routeTableId": table, "subnetId": subnets[0]}
    association = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    assert found(account, association, **joined) == []
    id_ = ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[0])["AssociationId"]
    assert found(account, association, **joined) == [id_]

    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "nat-a"))["AllocationId"]
    ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "nat-b"))
    assert found(account, "aws:ec2/eip:Eip", **ours("nat-a")) == [address]
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    type_ = "aws:ec2/natGateway:NatGateway"
    given = {"subnetId": subnets[0], "allocationId": address}
    assert found(account, type_, **given) == [nat]
    assert found(account, type_, subnetId=subnets[0], allocationId="eipalloc-0") == []
    ec2.delete_nat_gateway(NatGatewayId=nat)
    assert found(account, type_, **given) == []

    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[table])
    given = {"vpcId": vpc, "serviceName": f"com.amazonaws.{REGION}.s3"}
    assert found(account, "aws:ec2/vpcEndpoint:VpcEndpoint", **given) == [endpoint["VpcEndpoint"]["VpcEndpointId"]]


def test_security_groups_and_their_rules(account: boto3.Session) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    groups = [
        ec2.create_security_group(
            GroupName=f"g{n}", Description="-", VpcId=vpc, TagSpecifications=tagged("security-group", f"g{n}")
        )["GroupId"]
        for n in range(2)
    ]
    type_ = "aws:ec2/securityGroup:SecurityGroup"
    assert found(account, type_, vpcId=vpc, name="g1", **ours("g1")) == [groups[1]]
    assert found(account, type_, vpcId=vpc, name="g2", **ours("g1")) == []

    nfs = {"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049}
    ingress = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    egress = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    given = {"securityGroupId": groups[0], "ipProtocol": "tcp", "fromPort": 2049, "toPort": 2049}
    assert found(account, ingress, **given, referencedSecurityGroupId=groups[1]) == []
    by_group = ec2.authorize_security_group_ingress(
        GroupId=groups[0], IpPermissions=[{**nfs, "UserIdGroupPairs": [{"GroupId": groups[1]}]}]
    )["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    by_range = ec2.authorize_security_group_ingress(
        GroupId=groups[0], IpPermissions=[{**nfs, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]
    )["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    assert found(account, ingress, **given, referencedSecurityGroupId=groups[1]) == [by_group]
    assert found(account, ingress, **given, cidrIpv4="10.0.0.0/16") == [by_range]
    assert found(account, egress, **given, cidrIpv4="10.0.0.0/16") == []
    # A new group lets everything out: ports -1 in the answer, none in the program.
    assert len(found(account, egress, securityGroupId=groups[0], ipProtocol="-1", cidrIpv4="0.0.0.0/0")) == 1


def test_flow_logs_and_log_groups(account: boto3.Session) -> None:
    ec2, logs = account.client("ec2"), account.client("logs")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for name in ("/dynamo-eks/demo/flow", "/dynamo-eks/demo/flow-of-others"):
        logs.create_log_group(logGroupName=name)
    type_ = "aws:cloudwatch/logGroup:LogGroup"
    assert found(account, type_, name="/dynamo-eks/demo/flow") == ["/dynamo-eks/demo/flow"]
    assert found(account, type_, name="/dynamo-eks/demo") == []
    account.client("iam").create_role(RoleName="flow", AssumeRolePolicyDocument=TRUST)
    id_ = ec2.create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName="/dynamo-eks/demo/flow",
        DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/flow",
    )["FlowLogIds"]
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:/dynamo-eks/demo/flow"
    assert found(account, "aws:ec2/flowLog:FlowLog", vpcId=vpc, logDestination=arn) == id_
    assert found(account, "aws:ec2/flowLog:FlowLog", vpcId=vpc, logDestination=f"{arn}-of-others") == []


def test_launch_templates_and_schedules(account: boto3.Session) -> None:
    ec2, scaling = account.client("ec2"), account.client("autoscaling")
    data = {"InstanceType": "t3.micro", "ImageId": "ami-12c6146b"}
    id_ = ec2.create_launch_template(LaunchTemplateName="rack-a-1", LaunchTemplateData=data)["LaunchTemplate"]
    assert found(account, "aws:ec2/launchTemplate:LaunchTemplate", name="rack-a-1") == [id_["LaunchTemplateId"]]
    assert found(account, "aws:ec2/launchTemplate:LaunchTemplate", name="rack-a") == []
    given = {"autoscalingGroupName": "eks-rack-a", "scheduledActionName": "rack-a-drain"}
    type_ = "aws:autoscaling/schedule:Schedule"
    assert found(account, type_, **given) == []
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="eks-rack-a",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateName": "rack-a-1"},
        AvailabilityZones=["us-east-1a"],
    )
    scaling.put_scheduled_update_group_action(
        AutoScalingGroupName="eks-rack-a", ScheduledActionName="rack-a-drain", DesiredCapacity=0
    )
    assert found(account, type_, **given) == ["rack-a-drain"]
    assert found(account, type_, **{**given, "scheduledActionName": "rack-a-start"}) == []


def test_roles_and_policies(account: boto3.Session) -> None:
    iam = account.client("iam")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW)["Policy"]["Arn"]
    given = {"role": "main-1a2b3c4", "policyArn": policy}
    attachment, inline = "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:iam/rolePolicy:RolePolicy"
    assert found(account, "aws:iam/role:Role", name="main-1a2b3c4") == []
    assert found(account, attachment, **given) == [] == found(account, inline, role="main-1a2b3c4", name="main-tags")
    iam.create_role(RoleName="main-1a2b3c4", AssumeRolePolicyDocument=TRUST)
    assert found(account, "aws:iam/role:Role", name="main-1a2b3c4") == ["main-1a2b3c4"]
    assert found(account, attachment, **given) == []
    iam.attach_role_policy(RoleName="main-1a2b3c4", PolicyArn=policy)
    iam.put_role_policy(RoleName="main-1a2b3c4", PolicyName="main-tags", PolicyDocument=ALLOW)
    assert found(account, attachment, **given) == [f"main-1a2b3c4-{policy}"]
    assert found(account, inline, role="main-1a2b3c4", name="main-tags") == ["main-1a2b3c4:main-tags"]


def test_keys(account: boto3.Session) -> None:
    """A key given back is still listed, for thirty days, with all its tags."""
    kms = account.client("kms")
    tags = [{"TagKey": key, "TagValue": value} for key, value in {**TAGS, "Name": "demo-secrets"}.items()]
    gone, key = (kms.create_key(Tags=tags)["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.create_key()
    kms.schedule_key_deletion(KeyId=gone, PendingWindowInDays=30)
    assert found(account, "aws:kms/key:Key", **ours("demo-secrets")) == [key]
    assert found(account, "aws:kms/alias:Alias", name="alias/eks/demo") == []
    kms.create_alias(AliasName="alias/eks/demo", TargetKeyId=key)
    assert found(account, "aws:kms/alias:Alias", name="alias/eks/demo") == ["alias/eks/demo"]


def test_shared_files(account: boto3.Session) -> None:
    ec2, efs = account.client("ec2"), account.client("efs")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = ("us-east-1a", "us-east-1b")
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{part}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for part, zone in enumerate(zones)
    ]
    files = efs.create_file_system(CreationToken="demo-files")["FileSystemId"]
    assert found(account, "aws:efs/fileSystem:FileSystem", creationToken="demo-files") == [files]
    assert found(account, "aws:efs/fileSystem:FileSystem", creationToken="demo") == []
    target = efs.create_mount_target(FileSystemId=files, SubnetId=subnets[0])["MountTargetId"]
    type_ = "aws:efs/mountTarget:MountTarget"
    assert found(account, type_, fileSystemId=files, subnetId=subnets[0]) == [target]
    assert found(account, type_, fileSystemId=files, subnetId=subnets[1]) == []
    assert found(account, "aws:efs/backupPolicy:BackupPolicy", fileSystemId=files) == []


def test_clusters_and_node_groups(account: boto3.Session) -> None:
    ec2, eks = account.client("ec2"), account.client("eks")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    role = "arn:aws:iam::123456789012:role/nodes"
    group = {"clusterName": "demo", "nodeGroupName": "rack-a-1"}
    assert found(account, "aws:eks/cluster:Cluster", name="demo") == []
    assert found(account, "aws:eks/nodeGroup:NodeGroup", **group) == []
    eks.create_cluster(name="demo", roleArn=role, resourcesVpcConfig={"subnetIds": [subnet]})
    eks.create_nodegroup(clusterName="demo", nodegroupName="rack-a-1", subnets=[subnet], nodeRole=role)
    assert found(account, "aws:eks/cluster:Cluster", name="demo") == ["demo"]
    assert found(account, "aws:eks/nodeGroup:NodeGroup", **group) == ["demo:rack-a-1"]


def test_what_still_carries_the_stacks_tags(account: boto3.Session) -> None:
    """A volume that the cluster made is in no state; nobody looks for it, and it is billed by the gigabyte."""
    ec2 = account.client("ec2")
    zone = f"{REGION}a"
    known = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", "network"))["Vpc"]["VpcId"]
    left = ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=tagged("volume", "claim"))["VolumeId"]
    ec2.create_volume(AvailabilityZone=zone, Size=1)
    state = State(document(entry("aws:ec2/vpc:Vpc", "network-vpc", known)))
    found = tagged_things(state, account)
    assert not isinstance(found, str)
    assert [item.what.rsplit("/", 1)[1] for item in found] == [left]


def test_what_carries_only_the_name_of_a_cluster_that_is_gone(account: boto3.Session) -> None:
    """Nodes of the built-in pools cannot carry the stack's tags, and are billed whether or not there is a cluster."""
    ec2 = account.client("ec2")

    def volume(key: str, value: str) -> str:
        tags = [{"ResourceType": "volume", "Tags": [{"Key": key, "Value": value}]}]
        return ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=tags)["VolumeId"]

    ours = [
        volume(key, value)
        for key, value in (
            ("eks:eks-cluster-name", "demo"),
            ("eks:cluster-name", "demo"),
            ("kubernetes.io/cluster/demo", "owned"),
        )
    ]
    volume("eks:eks-cluster-name", "other")
    before = State(document(entry("aws:eks/cluster:Cluster", "main", "demo", inputs={"name": "demo"})))
    gone = State(document())

    def names(after: State | None) -> list[str]:
        found = tagged_things(before, account, after=after)
        assert not isinstance(found, str)
        return [item.what.rsplit("/", 1)[1] for item in found]

    assert sorted(names(gone)) == sorted(ours)
    # What a living cluster uses is no leftover.
    assert names(before) == names(None) == []


def test_access_points_of_files_that_were_kept(account: boto3.Session) -> None:
    efs = account.client("efs")
    files = [efs.create_file_system(CreationToken=name)["FileSystemId"] for name in ("demo-files", "other")]
    points = [
        efs.create_access_point(
            FileSystemId=id_, ClientToken=id_, Tags=[{"Key": "efs.csi.aws.com/cluster", "Value": "true"}]
        )
        for id_ in files
    ]
    kept = State(document(entry("aws:efs/fileSystem:FileSystem", "files-efs", files[0])))
    found = access_points(kept, account)
    assert not isinstance(found, str)
    assert [item.what for item in found] == [points[0]["AccessPointId"]]
    assert access_points(State(document()), account) == []


def test_log_groups_that_were_made_again(account: boto3.Session) -> None:
    """EKS delivers a control plane's last lines after the destroy, and makes the group anew: billed, for ever, and in the way
    of the next `make up`, whose creation of it fails with nothing pending (terraform-aws-eks #2763, #2486)."""
    logs = account.client("logs")
    ours, flow = "/aws/eks/demo/cluster", "/dynamo-eks/demo/flow"
    for name in (ours, f"{ours}-of-others", flow, "/aws/eks/other/cluster"):
        logs.create_log_group(logGroupName=name)
    made = [
        entry("aws:cloudwatch/logGroup:LogGroup", "main-logs", ours, inputs={"name": ours}),
        entry("aws:cloudwatch/logGroup:LogGroup", "network-flow", flow, inputs={"name": flow}),
    ]
    cluster = entry("aws:eks/cluster:Cluster", "main", "demo", inputs={"name": "demo"})
    before, gone = State(document(*made, cluster)), State(document())

    def names(before: State, after: State) -> list[str]:
        found = log_groups(before, after, account)
        assert not isinstance(found, str)
        assert all(f"delete-log-group --log-group-name {item.what.split()[-1]}`" in item.why for item in found)
        return [item.what for item in found]

    assert names(before, gone) == [f"log group {ours}", f"log group {flow}"]
    # EKS makes it for any cluster whose logs it has to deliver, also where the stack no longer asks for logs.
    assert names(State(document(cluster)), gone) == [f"log group {ours}"]
    # What is still in the state is told from there, and what a living cluster writes is no leftover.
    assert names(before, before) == names(State(document(cluster)), State(document(cluster))) == []
    logs.delete_log_group(logGroupName=ours)
    assert names(before, State(document(made[1]))) == []


# --- what the emulator does not know: the service's own model judges question and answer ------------------------------


class Answers:
    """A session whose clients answer what they are told, once each, in order."""

    def __init__(self, service: str, *answers: tuple[str, dict[str, Any] | str, dict[str, Any]]) -> None:
        self._client = boto3.client(service, region_name=REGION, aws_access_key_id="-", aws_secret_access_key="-")
        stubber = Stubber(self._client)
        for operation, answer, asked in answers:
            if isinstance(answer, str):
                stubber.add_client_error(operation, answer, expected_params=asked)
            else:
                stubber.add_response(operation, answer, asked)
        stubber.activate()

    def client(self, service: str, region_name: str | None) -> Any:
        return self._client


NAMED = {"clusterName": "demo"}
ENTRY = {"clusterName": "demo", "principalArn": "arn:aws:iam::123456789012:role/nodes"}
POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
FILTERS = [
    {"Name": "tag:Name", "Values": ["pool-reservation-0"]},
    {"Name": "tag:project", "Values": ["dynamo-eks"]},
    {"Name": "tag:stack", "Values": ["demo"]},
]
ZONES = {"AllAvailabilityZones": True, "Filters": [{"Name": "group-name", "Values": ["us-east-1-dfw-2"]}]}


@pytest.mark.parametrize(
    ("type_", "inputs", "session", "ids"),
    [
        (
            "aws:eks/addon:Addon",
            {**NAMED, "addonName": "coredns"},
            ("eks", ("describe_addon", {"addon": {"status": "DEGRADED"}}, {**NAMED, "addonName": "coredns"})),
            [("demo:coredns", "ready")],
        ),
        (
            "aws:eks/addon:Addon",
            {**NAMED, "addonName": "coredns"},
            ("eks", ("describe_addon", {"addon": {"status": "CREATE_FAILED"}}, {**NAMED, "addonName": "coredns"})),
            [("demo:coredns", "failed")],
        ),
        (
            "aws:eks/addon:Addon",
            {**NAMED, "addonName": "coredns"},
            ("eks", ("describe_addon", "ResourceNotFoundException", {**NAMED, "addonName": "coredns"})),
            [],
        ),
        (
            "aws:eks/cluster:Cluster",
            {"name": "demo"},
            ("eks", ("describe_cluster", {"cluster": {"name": "demo", "status": "CREATING"}}, {"name": "demo"})),
            [("demo", "making")],
        ),
        (
            "aws:eks/accessEntry:AccessEntry",
            ENTRY,
            ("eks", ("describe_access_entry", {"accessEntry": {}}, ENTRY)),
            [("demo:arn:aws:iam::123456789012:role/nodes", "ready")],
        ),
        (
            "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
            {**ENTRY, "policyArn": POLICY},
            (
                "eks",
                (
                    "list_associated_access_policies",
                    {"associatedAccessPolicies": [{"policyArn": "arn:other"}, {"policyArn": POLICY}]},
                    ENTRY,
                ),
            ),
            [(f"demo#arn:aws:iam::123456789012:role/nodes#{POLICY}", "ready")],
        ),
        (
            "aws:efs/backupPolicy:BackupPolicy",
            {"fileSystemId": "fs-1"},
            ("efs", ("describe_backup_policy", {"BackupPolicy": {"Status": "ENABLED"}}, {"FileSystemId": "fs-1"})),
            [("fs-1", "ready")],
        ),
        (
            "aws:ec2/capacityReservation:CapacityReservation",
            ours("pool-reservation-0"),
            (
                "ec2",
                (
                    "describe_capacity_reservations",
                    {
                        "CapacityReservations": [
                            {"CapacityReservationId": "cr-0", "State": "cancelled"},
                            {"CapacityReservationId": "cr-1", "State": "active"},
                        ]
                    },
                    {"Filters": FILTERS},
                ),
            ),
            [("cr-1", "ready")],
        ),
        (
            "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup",
            {"groupName": "us-east-1-dfw-2"},
            (
                "ec2",
                ("describe_availability_zones", {"AvailabilityZones": [{"OptInStatus": "opted-in"}]}, ZONES),
            ),
            [("us-east-1-dfw-2", "ready")],
        ),
        (
            "aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup",
            {"groupName": "us-east-1-dfw-2"},
            (
                "ec2",
                ("describe_availability_zones", {"AvailabilityZones": [{"OptInStatus": "not-opted-in"}]}, ZONES),
            ),
            [],
        ),
    ],
)  # fmt: skip
def test_by_the_services_model(type_: str, inputs: dict, session: tuple, ids: list) -> None:
    found = AwsFinder(REGION, Answers(session[0], session[1])).find(Resource(entry(type_, "x", inputs=inputs)))
    assert [(item.id, item.condition) for item in found] == ids


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "ExpiredTokenException", "RequestLimitExceeded"])
def test_a_refusal_is_no_answer(code: str) -> None:
    """An operator without the right to look would be told that nothing is there, and make a second cluster."""
    session = Answers("eks", ("describe_cluster", code, {"name": "demo"}))
    with pytest.raises(CannotTell, match=code):
        AwsFinder(REGION, session).find(Resource(entry("aws:eks/cluster:Cluster", "x", inputs={"name": "demo"})))


def test_an_entry_without_its_name_is_no_answer() -> None:
    with pytest.raises(CannotTell, match="'name'"):
        AwsFinder(REGION).find(Resource(entry("aws:eks/cluster:Cluster", "x", inputs={})))


def test_every_question_is_tried_here() -> None:
    """A question nobody tried fails on the day it is needed."""
    text = open(__file__).read()  # noqa: PTH123, SIM115
    assert [type_ for type_, card in CARDS.items() if card.ask and f'"{type_}"' not in text] == []
