"""What goes before what in a destroy, and the outage each pair prevents.

Asserted on recorded graphs: the engine deletes nothing before everything that depends on it is gone.
"""

from __future__ import annotations

import pytest

from review.graph import Graph, Node
from tests.conftest import recorded

GRAPH = "kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment"
POOL = "kubernetes:karpenter.sh/v1:NodePool"
CLASS = "kubernetes:eks.amazonaws.com/v1:NodeClass"
RELEASE = "kubernetes:helm.sh/v3:Release"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE = "kubernetes:core/v1:Namespace"
JOB = "kubernetes:batch/v1:Job"
STORAGE = "kubernetes:storage.k8s.io/v1:StorageClass"
SERVICE = "kubernetes:core/v1:Service"
CLUSTER = "aws:eks/cluster:Cluster"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ACCESS = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
ADDON = "aws:eks/addon:Addon"
NAT = "aws:ec2/natGateway:NatGateway"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
SUBNET = "aws:ec2/subnet:Subnet"
VPC = "aws:ec2/vpc:Vpc"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
EIP = "aws:ec2/eip:Eip"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
TARGET = "aws:efs/mountTarget:MountTarget"
FILES = "aws:efs/fileSystem:FileSystem"
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
KEY = "aws:kms/key:Key"
POLICY = "aws:iam/rolePolicy:RolePolicy"
RESERVATION = "aws:ec2/capacityReservation:CapacityReservation"

PAIRS = [
    ("g6e-dev", (GRAPH, ""), (RELEASE, "platform"), "the operator that runs the graph's finalizers must live: the namespace hangs (NVIDIA/aicr #406)"),
    ("g6e-dev", (GRAPH, ""), (POOL, "gpu"), "the pool would be drained under running workers, which start again elsewhere"),
    ("g6e-dev", (GRAPH, ""), (CLAIM, ""), "a claim in use is not deleted: its finalizer waits for the pods"),
    ("g6e-dev", (GRAPH, ""), (NAMESPACE, "namespace-dynamo"), "a namespace deleted first takes the graph without its finalizer's order"),
    ("g6e-dev", (GRAPH, ""), (ADDON, "efs-csi"), "pods whose mounts nobody can undo stay Terminating"),
    ("g6e-dev", (GRAPH, ""), (TARGET, ""), "a pod that loses its mount target hangs in the kernel, its node never drains"),
    ("g6e-dev", (GRAPH, ""), (JOB, "cache"), "workers never read a half-deleted cache"),
    ("g6e-dev", (JOB, "smoke-vllm-agg"), (GRAPH, "vllm-agg"), "a smoke test left behind keeps asking for a graph that is gone"),
    ("g6e-dev", (JOB, "cache"), (CLAIM, "model-cache"), "the download's pod would hold the claim"),
    ("g6e-dev", (CLAIM, ""), (STORAGE, "efs"), "the volume's deletion needs its class's driver and parameters"),
    ("g6e-dev", (CLAIM, ""), (TARGET, ""), "the driver deletes the access point's folder through the mount target"),
    ("g6e-dev", (CLAIM, ""), (ADDON, "efs-csi"), "without the driver the volume stays for ever, and with it the access point"),
    ("g6e-dev", (STORAGE, "efs"), (FILES, ""), "a class that names a file system that is gone provisions nothing"),
    ("g6e-dev", (TARGET, ""), (FILES, ""), "EFS refuses to delete a file system that has mount targets"),
    ("g6e-dev", (TARGET, "use1-az1"), (SUBNET, "private-use1-az1"), "a subnet with a mount target's interface cannot be deleted"),
    ("g6e-dev", (POOL, "gpu"), (CLASS, "gpu"), "Karpenter needs the class to terminate its nodes; the class's finalizer waits"),
    ("g6e-dev", (POOL, "gpu"), (ENTRY, "nodes"), "nodes without an access entry cannot report that they drained: orphaned instances"),
    ("g6e-dev", (POOL, "gpu"), (ACCESS, "nodes"), "as the access entry"),
    ("g6e-dev", (CLASS, "gpu"), (ROLE, "nodes-role"), "IAM refuses to delete a role in an instance profile that EKS made from it"),
    ("g6e-dev", (POOL, "gpu"), (ROUTE, "private"), "nodes that lose egress cannot drain (aws-samples/appmod-blueprints #582)"),
    ("g6e-dev", (POOL, "gpu"), (NAT, ""), "as the routes"),
    ("g6e-dev", (POOL, "gpu"), (ASSOCIATION, "private"), "as the routes"),
    ("g6e-dev", (POOL, "gpu"), (CLUSTER, ""), "Karpenter runs in the control plane: without it nobody terminates the nodes"),
    ("g6e-dev", (RELEASE, "platform"), (CLUSTER, ""), "a release can only be removed through a living API server"),
    ("g6e-dev", (RELEASE, "platform"), (NAT, ""), "the chart's delete hooks pull images"),
    ("g6e-dev", (CLUSTER, ""), (ATTACHMENT, "eksRole"), "EKS deletes load balancers and nodes with the cluster role's rights"),
    ("g6e-dev", (CLUSTER, ""), (KEY, ""), "an API server whose key is scheduled for deletion cannot read its Secrets"),
    ("g6e-dev", (CLUSTER, ""), (NAT, ""), "Auto Mode's last nodes need egress to leave"),
    ("g6e-dev", (CLUSTER, ""), (SUBNET, "private"), "the control plane's interfaces keep the subnets from being deleted"),
    ("g6e-dev", (ADDON, "efs-csi"), (ATTACHMENT, "addons"), "the driver deletes access points with these rights"),
    ("g6e-dev", (NAT, ""), (ROUTE, "public-out"), "a NAT gateway without a way out is no way out for those behind it"),
    ("g6e-dev", (NAT, ""), (EIP, ""), "an address in use cannot be released"),
    ("g6e-dev", (ROUTE, "private"), (NAT, ""), "a route to a gateway that is gone is a black hole"),
    ("g6e-dev", (EIP, ""), (GATEWAY, ""), "the internet gateway does not detach while addresses are mapped"),
    ("g6e-dev", (SUBNET, ""), (VPC, ""), "a VPC with subnets is not deleted"),
    ("g7e-staging", (SERVICE, "vllm-disagg-efa"), (CLUSTER, ""), "the NLB is deleted by the control plane; otherwise it stays, billed, and holds the subnets"),
    ("g7e-staging", (SERVICE, "vllm-disagg-efa"), (SUBNET, ""), "the NLB's interfaces keep the subnets from being deleted"),
    ("g7e-staging", (SERVICE, "vllm-disagg-efa"), (POOL, "gpu"), "the load balancer drains its targets while they live"),
    ("p5-reserved", (POOL, "reserved"), (RESERVATION, ""), "instances on a cancelled reservation go on at the on-demand price"),
    ("p5-reserved", (GRAPH, "trtllm-block"), (POOL, "block"), "the block's nodes would be drained under the workers"),
    ("g6e-dev", (NAMESPACE, "platform"), (STORAGE, "ebs"), "volumes of the platform's namespace are deleted with their class's parameters"),
    ("g6e-dev", (JOB, "platform-check"), (RELEASE, "platform"), "made the other way round, the check asks for kinds that nobody has installed yet, and `up` fails"),
    ("g6e-dev", (GRAPH, ""), (JOB, "platform-check"), "a graph made before its kind is served fails with a message about something else"),
    ("g6e-dev", (RELEASE, "platform"), (STORAGE, "ebs"), "a chart's volume claims bind to the default class, or wait for ever (aws-samples/aws-do-eks #37)"),
    ("mocker-local", (GRAPH, "mocker"), (RELEASE, "platform"), "finalizers need the operator in an existing cluster too"),
    ("mocker-local", (JOB, "cache"), (CLAIM, "model-cache"), "the download's pod would hold the claim"),
]  # fmt: skip


def found(graph: Graph, wanted: tuple[str, str]) -> list[Node]:
    type_, part = wanted
    return [node for node in graph.of(type_) if part in node.name]


def test_there_are_enough_pairs() -> None:
    assert len(PAIRS) >= 20


@pytest.mark.parametrize("preview", [False, True], ids=["update", "preview"])
@pytest.mark.parametrize(
    ("stack", "first", "second", "outage"),
    PAIRS,
    ids=lambda value: value[0].split(":")[-1] + "-" + value[1] if isinstance(value, tuple) else None,
)
def test_goes_before(stack: str, first: tuple[str, str], second: tuple[str, str], outage: str, preview: bool) -> None:
    graph = recorded(stack, preview)
    firsts, seconds = found(graph, first), found(graph, second)
    assert firsts and seconds, f"{first} or {second} is not in {stack}"
    wrong = [
        f"{one.name} before {other.name}"
        for one in firsts
        for other in seconds
        if one.key != other.key and not graph.destroyed_before(one, other)
    ]
    assert not wrong, f"{outage}: {wrong}"
