"""What goes before what in a destroy, and the outage each pair prevents.

Asserted on recorded graphs: the engine deletes nothing before everything that depends on it is gone.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from recording.graph import Graph, Node
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT, recorded

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
NODES = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
SCHEDULE = "aws:autoscaling/schedule:Schedule"
DOMAIN = "kubernetes:resource.nvidia.com/v1beta1:ComputeDomain"
QUEUE = "kubernetes:scheduling.run.ai/v2:Queue"
TOPOLOGY = "kubernetes:kai.scheduler/v1alpha1:Topology"
BINDING = "kubernetes:grove.io/v1alpha1:ClusterTopologyBinding"
MPI_JOB = "kubernetes:kubeflow.org/v2beta1:MPIJob"
CRD = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CLUSTER_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
RIGHTS = "kubernetes:rbac.authorization.k8s.io/v1:Role"
RIGHTS_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

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
    ("g6e-dev", (POOL, "gpu"), (ATTACHMENT, "nodes-"), "nodes that lose their role's policies cannot drain: orphaned instances"),
    ("g6e-dev", (POOL, "gpu"), (POLICY, "main-tags"), "made the other way round, every launch with tags is refused, and GPU pods stay pending"),
    ("g6e-dev", (ACCESS, "nodes"), (ENTRY, "nodes"), "made the other way round, EKS refuses to tie a policy to an entry that is not there, and `up` fails"),
    ("g6e-dev", (GRAPH, ""), (INGRESS, "files-nfs"), "a pod whose NFS is no longer admitted hangs in the kernel, as without its mount target"),
    ("g6e-dev", (STORAGE, "efs"), (ADDON, "efs-csi"), "a claim that somebody makes meanwhile is taken by a class whose driver is gone, and stays"),
    ("g6e-dev", (STORAGE, "efs"), (TARGET, ""), "as the driver, for what it deletes the folder through"),
    ("g6e-dev", (CLAIM, ""), (NAMESPACE, "namespace-dynamo"), "made the other way round, the claim is refused: its namespace is not there"),
    ("g6e-dev", (RELEASE, "platform"), (NAMESPACE, "platform-namespace"), "a release whose namespace is gone cannot be removed"),
    ("g6e-dev", (ACCOUNT, "platform-check"), (NAMESPACE, "platform-namespace"), "made the other way round, it is refused: its namespace is not there"),
    ("g6e-dev", (CONFIG_MAP, "platform-check"), (NAMESPACE, "platform-namespace"), "as its account"),
    ("g6e-dev", (JOB, "platform-check"), (ACCOUNT, "platform-check"), "made the other way round, no pod of the check is admitted, and `up` reports a time-out"),
    ("g6e-dev", (JOB, "platform-check"), (CONFIG_MAP, "platform-check"), "made the other way round, its pod waits for a volume that is not there"),
    *(("g6e-dev", (JOB, "smoke-vllm-agg"), (type_, "smoke-vllm-agg"), "without its account, rights and program a smoke test fails a graph that is well")
      for type_ in (ACCOUNT, RIGHTS, RIGHTS_BINDING, CONFIG_MAP)),
    *(("g6e-dev", (type_, "smoke-vllm-agg"), (GRAPH, "vllm-agg"), "left behind by an `up` that fails at the graph, it reads as a smoke test that was made")
      for type_ in (ACCOUNT, RIGHTS, RIGHTS_BINDING, CONFIG_MAP)),
    *((stack, first, second, outage) for stack in ("gb200-prod", "gb200-pair") for first, second, outage in (
        *(((NAMESPACE, name), (NODES, ""), "pods of a node that is gone are ended by nobody, and hold their namespace in Terminating")
          for name in ("dra-driver", "gpu-operator", "gang-kai", "gang-grove")),
        ((ADDON, "hybrid-"), (NAT, ""), "CoreDNS starts on the built-in pool; without a way out it pulls no image, and its add-on times out"),
        ((ADDON, "hybrid-"), (POLICY, "main-tags"), "made the other way round, no node of the built-in pool is launched for CoreDNS"),
        ((GRAPH, ""), (DOMAIN, "graph-"), "a domain deleted first stops IMEX under running workers (NVIDIA DRA driver #357): NCCL hangs"),
        ((GRAPH, ""), (RELEASE, "platform"), "the operator runs the graph's finalizers, here through Grove too"),
        ((GRAPH, ""), (RELEASE, "dra-driver"), "claims of living pods are never unprepared: they stay reserved for ever (#725)"),
        ((GRAPH, ""), (RELEASE, "gang-grove"), "Grove's finalizers hold its PodCliqueSets, and with them the graph"),
        ((GRAPH, ""), (RELEASE, "gang-kai"), "pods that KAI placed are bound again by nobody while their graph ends"),
        ((GRAPH, ""), (QUEUE, ""), "KAI refuses to delete a queue in use, or its pods lose the quota they run under"),
        ((GRAPH, ""), (TOPOLOGY, ""), "gangs that are rescheduled meanwhile would be packed by no topology"),
        ((GRAPH, ""), (BINDING, ""), "as the topology"),
        ((GRAPH, ""), (NODES, ""), "the rack would be drained under its workers, which wait for their whole grace period"),
        ((GRAPH, ""), (JOB, "verify-"), "made the other way round, a model is served from a rack that nobody has tested"),
        ((GRAPH, ""), (STORAGE, "local-zone"), "volumes of the graph's namespace are deleted with their class's parameters"),
        ((JOB, "smoke-"), (GRAPH, ""), "a smoke test left behind keeps asking for a graph that is gone"),
        ((JOB, "completion"), (JOB, "load"), "made the other way round, a completion is asked of a model that is still loading"),
        ((DOMAIN, ""), (RELEASE, "dra-driver"), "a domain's finalizer needs the driver's controller: its namespace hangs"),
        ((DOMAIN, "graph-"), (NAMESPACE, "namespace-dynamo"), "a namespace deleted first takes the domain without its order"),
        ((RELEASE, "platform"), (RELEASE, "dra-driver"), "the operator ends graphs whose claims the driver has to take back"),
        ((RELEASE, "platform"), (RELEASE, "gpu-operator"), "workers that still end would lose their GPUs' device plugin"),
        ((RELEASE, "platform"), (RELEASE, "efa-plugin"), "as the device plugin, for EFA"),
        ((RELEASE, "platform"), (RELEASE, "gang-grove"), "the Dynamo operator watches Grove's kinds, and crash-loops without them while it runs finalizers"),
        ((RELEASE, "platform"), (RELEASE, "gang-kai"), "as Grove's, for queues"),
        ((QUEUE, ""), (RELEASE, "gang-kai"), "a queue's webhook and finalizer need KAI: the queue stays and the next `up` meets it"),
        ((QUEUE, "gang-queue"), (QUEUE, "gang-queue-parent"), "KAI refuses to delete a queue that has children"),
        ((TOPOLOGY, ""), (RELEASE, "gang-kai"), "as the queues"),
        ((BINDING, ""), (TOPOLOGY, ""), "a binding that names a topology that is gone keeps Grove's reconcile failing"),
        ((BINDING, ""), (RELEASE, "gang-grove"), "its kind goes with Grove's chart"),
        ((RELEASE, "gang-grove"), (RELEASE, "gang-kai"), "Grove hands its gangs to KAI, and looks for KAI's kinds when it starts"),
        ((RELEASE, "gang-grove"), (RELEASE, "dra-driver"), "with auto-MNNVL Grove exits where the ComputeDomain kind is missing"),
        ((RELEASE, "gpu-operator"), (RELEASE, "dra-driver"), "made the other way round, the operator's older ComputeDomain kind is installed, which demands numNodes (NVIDIA/aicr #2715)"),
        ((RELEASE, "dra-driver"), (NODES, ""), "a plugin whose node is gone unprepares nothing, and its release hangs"),
        ((RELEASE, "gpu-operator"), (NODES, ""), "the chart's delete hooks wait for operands on nodes that are gone"),
        ((RELEASE, "efa-plugin"), (NODES, ""), "as the operator's"),
        ((RELEASE, "dra-driver"), (NAMESPACE, "dra-driver"), "a release whose namespace is gone cannot be removed"),
        ((RELEASE, "gpu-operator"), (NAMESPACE, "gpu-operator"), "as the DRA driver's"),
        ((RELEASE, "gang-kai"), (NAMESPACE, "gang-kai"), "as the DRA driver's"),
        ((RELEASE, "gang-grove"), (NAMESPACE, "gang-grove"), "as the DRA driver's"),
        ((MPI_JOB, ""), (DEPLOYMENT, "mpi-operator"), "without its operator an MPIJob's pods stay, and hold every GPU of the rack"),
        ((DEPLOYMENT, "mpi-operator"), (NAT, ""), "its pod pulls an image: without a way out it never starts, and the ladder waits for it"),
        ((MPI_JOB, ""), (CRD, "mpijobs"), "its kind deleted first takes the object without the operator having seen it"),
        ((MPI_JOB, ""), (RELEASE, "dra-driver"), "its claims are never taken back (#725)"),
        ((JOB, "verify-"), (RELEASE, "dra-driver"), "as the MPIJobs'"),
        ((JOB, "verify-"), (NODES, ""), "the ladder's pods would be drained with the nodes, and it would fail instead of being gone"),
        ((DOMAIN, "verify-"), (NODES, ""), "IMEX daemons of a domain run on the nodes"),
        ((NODES, ""), (ADDON, "hybrid-"), "nodes without CNI, DNS or Pod Identity cannot end their pods, and the group's deletion times out"),
        ((NODES, ""), (ATTACHMENT, "racks-"), "nodes that lose their role's policies cannot drain: orphaned instances of a prepaid block"),
        ((NODES, ""), (ROLE, "racks-"), "IAM refuses to delete a role in an instance profile that EKS made from it"),
        ((NODES, ""), (CLUSTER, ""), "EKS refuses to delete a cluster with node groups"),
        ((NODES, ""), (NAT, ""), "nodes that lose egress cannot drain (aws-samples/appmod-blueprints #582)"),
        ((NODES, ""), (ROUTE, "rack-"), "as the NAT gateway"),
        ((NODES, ""), (ASSOCIATION, "rack-"), "as the NAT gateway"),
        ((NODES, ""), (SUBNET, "rack-"), "a subnet with instances cannot be deleted"),
        ((NODES, ""), (GROUP, "network-efa"), "a security group in use cannot be deleted"),
        ((ADDON, "hybrid-"), (CLUSTER, ""), "add-ons are removed through the cluster"),
        ((JOB, "platform-check"), (RELEASE, "platform"), "made the other way round, the check asks for kinds that nobody has installed yet"),
    )),
    *((stack, (one, part.format(rack)), (other, of.format(rack)), outage)
      for stack, racks in (("gb200-prod", ["rack-a"]), ("gb200-pair", ["rack-a", "rack-b"])) for rack in racks
      for (one, part), (other, of), outage in (
        ((MPI_JOB, "{}"), (DOMAIN, "verify-{}"), "a domain deleted first ends IMEX under an all-reduce that runs (#357)"),
        ((JOB, "verify-{}-imex"), (DOMAIN, "verify-{}"), "as the MPIJobs'"),
        ((JOB, "verify-{}-nccl"), (MPI_JOB, "{}-nccl"), "made the other way round, a run is judged that has not begun"),
        ((MPI_JOB, "{}-nccl"), (JOB, "verify-{}-nvbandwidth"), "made the other way round, an all-reduce takes the nodes while pairs are measured: half the bandwidth"),
        ((MPI_JOB, "{}-nvbandwidth"), (JOB, "verify-{}-imex"), "made the other way round, a rung's failure hides which one it is"),
        ((JOB, "verify-{}-imex"), (JOB, "verify-{}-devices"), "as above"),
        *(((JOB, "verify-{}-devices"), (type_, "verify-{}"), "a judge without account or rights reports a failure that is none")
          for type_ in (ACCOUNT, RIGHTS, RIGHTS_BINDING, CLUSTER_ROLE, CLUSTER_BINDING)),
        *(((type_, "verify-{}"), (NAMESPACE, "verify-{}"), "made the other way round, it is refused: its namespace is not there")
          for type_ in (ACCOUNT, RIGHTS, RIGHTS_BINDING, CONFIG_MAP)),
        ((JOB, "verify-{}-devices"), (CONFIG_MAP, "verify-{}-devices"), "made the other way round, its pod waits for a program that is not there"),
        ((JOB, "verify-{}-nccl"), (CONFIG_MAP, "verify-{}-nccl"), "as above"),
        ((DOMAIN, "verify-{}"), (NAMESPACE, "verify-{}"), "a namespace deleted first takes the domain without its order"),
        ((SCHEDULE, "{}"), (NODES, "{}"), "an action of a group that is gone fails the destroy"),
        ((NODES, "{}"), (TEMPLATE, "{}"), "EKS cannot delete a node group whose launch template is gone: its nodes stay until the block ends"),
    )),
    ("gb200-prod", (ROUTE, "rack-"), (NAT, "use1-az4"), "a route to a gateway that is gone is a black hole"),
    ("gb200-pair", (ROUTE, "rack-"), (NAT, "use1-az1"), "as in gb200-prod, where the zone is stated; here it is the Local Zone's parent"),
    ("gb200-pair", (JOB, "verify-rack-a"), (NODES, "rack-a"), "each rack's ladder goes before its own nodes"),
    ("gb200-pair", (GRAPH, "glm-5"), (JOB, "verify-rack-a"), "the graph decodes on rack-a, which must have been tested first"),
    ("gb200-pair", (GRAPH, "glm-5"), (JOB, "verify-rack-b"), "and prefills on rack-b"),
    ("gb200-prod", (RELEASE, ""), (CLUSTER, ""), "a release can only be removed through a living API server"),
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


def otherwise(stack: str, **sections: Any) -> Graph:
    """A shipped stack with other sections."""
    config = copy.deepcopy(dict(stackfile.read(stack).config))
    for name, value in sections.items():
        config[f"dynamo-eks:{name}"] = value
    return record(stack, config, at=AT)


def assert_before(graph: Graph, first: tuple[str, str], *seconds: tuple[str, str]) -> None:
    for second in seconds:
        firsts, others = found(graph, first), found(graph, second)
        assert firsts and others, f"{first} or {second} is not there"
        for one in firsts:
            for other in others:
                assert graph.destroyed_before(one, other), f"{one.name} before {other.name}"


STACK_ON_RACKS = ((RELEASE, "dra-driver"), (RELEASE, "gpu-operator"), (RELEASE, "efa-plugin"))


def test_a_short_ladder_goes_before_what_it_checks() -> None:
    """Without measured rungs there is no MPI operator to order it: the devices of a rack would be looked at while the driver
    is still being installed, and a good rack is given back."""
    capacity = copy.deepcopy(dict(stackfile.read("gb200-prod").config["dynamo-eks:capacity"]))
    capacity["ultraServers"]["rack-a"]["verify"] = ["devices"]
    graph = otherwise("gb200-prod", capacity=capacity)
    assert not found(graph, (DEPLOYMENT, "mpi-operator"))
    assert_before(graph, (JOB, "verify-rack-a-devices"), *STACK_ON_RACKS, (NODES, "rack-a"))


def test_graphs_outside_their_ladder_wait_for_their_rack() -> None:
    """With every rung left out a graph still needs the drivers, and its workers must end before the nodes do."""
    capacity = copy.deepcopy(dict(stackfile.read("gb200-prod").config["dynamo-eks:capacity"]))
    capacity["ultraServers"]["rack-a"]["verify"] = []
    graph = otherwise("gb200-prod", capacity=capacity)
    assert_before(graph, (GRAPH, ""), *STACK_ON_RACKS, (NODES, "rack-a"))


def test_the_operator_goes_before_the_drivers_without_a_gang_scheduler_too() -> None:
    """A rack without graphs has no gang scheduler, through which everything else is ordered; the next graph's claims would
    be taken back by nobody."""
    graph = otherwise("gb200-prod", graphs={}, models={})
    assert not found(graph, (RELEASE, "gang"))
    assert_before(graph, (RELEASE, "platform"), *STACK_ON_RACKS, (NODES, "rack-a"))


def test_graphs_wait_for_the_operator_without_its_check_too() -> None:
    """With the check of its kinds left out nothing else orders them: the graph's namespace would hang on finalizers that
    nobody runs (NVIDIA/aicr #406)."""
    graph = otherwise("g6e-dev", dynamo={"version": "1.5.0", "check": False})
    assert not found(graph, (JOB, "platform-check"))
    assert_before(graph, (GRAPH, ""), (RELEASE, "platform"))


def test_secrets_of_a_namespace_are_made_in_it() -> None:
    """Named as text, they would be made in a namespace that is not there yet."""
    file = stackfile.read("g6e-dev")
    login = {"server": "nvcr.io"}
    config = {
        **file.config,
        "dynamo-eks:huggingFaceToken": "hf_token",
        "dynamo-eks:imagePullPassword": "password",
        "dynamo-eks:dynamo": {"version": "1.5.0", "imagePullSecret": login},
    }
    graph = record(
        "g6e-dev", config, secret_keys=("dynamo-eks:huggingFaceToken", "dynamo-eks:imagePullPassword"), at=AT
    )
    secret = "kubernetes:core/v1:Secret"
    assert_before(graph, (secret, "namespace-dynamo"), (NAMESPACE, "namespace-dynamo"))
    assert_before(graph, (secret, "platform"), (NAMESPACE, "platform-namespace"))
    # The operator's image is pulled with it.
    assert_before(graph, (RELEASE, "platform"), (secret, "platform"))
    assert_before(graph, (GRAPH, ""), (secret, "namespace-dynamo"))
    assert_before(graph, (JOB, "cache"), (secret, "namespace-dynamo-token"))
