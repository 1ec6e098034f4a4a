"""Each component of the library as a stranger's program makes it: by its public arguments, with a provider of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

import components as library
from components import catalog
from components.capacity.spec import Pool, UltraServer
from components.capacity.ultraservers import Rack
from components.cluster.spec import Cluster as ClusterSpec
from components.dynamo.namespace import RegistryLogin
from components.network.existing import SubnetPair
from components.network.network import RackZone
from components.network.spec import FlowLogs, LocalZones
from components.network.spec import Network as NetworkSpec
from components.network.zones import Zone
from components.storage.spec import Efs
from components.validation.ladder_objects import RackUnderTest

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
BLOCK = UltraServer(
    reservation="cr-0fedcba9876543210",
    type="u-p6e-gb200x72",
    zone="use1-dfw2-az1",
    start=datetime(2026, 12, 1, 11, 30, tzinfo=UTC),
    end=datetime(2026, 12, 8, 11, 30, tzinfo=UTC),
)
RACK = Rack(name="rack-a", spec=BLOCK)
NAMES = {"use1-az1": "us-east-1a", "use1-az2": "us-east-1b"}
ZONES = [Zone(name, zone_id) for zone_id, name in NAMES.items()]


def in_aws() -> tuple[aws.Provider, pulumi.ResourceOptions]:
    provider = aws.Provider("aws", region="us-east-1")
    return provider, pulumi.ResourceOptions(providers=[provider])


def in_cluster() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", kubeconfig="{}")])


def earlier(provider: pulumi.ResourceOptions) -> kubernetes.core.v1.ConfigMap:
    """Something of the program's own that a component is told to wait for."""
    return kubernetes.core.v1.ConfigMap("earlier", opts=pulumi.ResourceOptions.merge(provider, None))


def object_(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": name, "namespace": "serving"}, **more}


def network() -> Any:
    return library.Network(
        "network",
        library.NetworkArgs(
            region="us-east-1",
            spec=NetworkSpec(
                cidr="10.0.0.0/16",
                nat="single",
                interface_endpoints=("sts",),
                flow_logs=FlowLogs(retention_days=14),
                local_zones=LocalZones(opt_in=True),
            ),
            zones=ZONES,
            protect=True,
            rack_zones=[
                RackZone(
                    zone_id="use1-dfw2-az1",
                    name="us-east-1-dfw-2a",
                    group="us-east-1-dfw-2",
                    type="local-zone",
                    nat_zone_id="use1-az1",
                )
            ],
        ),
        in_aws()[1],
    )


def existing_network() -> Any:
    provider, options = in_aws()
    subnets = {zone: SubnetPair(f"subnet-{zone}") for zone in NAMES}
    args = library.ExistingNetworkArgs(vpc_id="vpc-1", subnets=subnets, provider=provider)
    return library.ExistingNetwork("network", args, options)


def cluster() -> Any:
    _, options = in_aws()
    out = aws.ec2.InternetGateway("out", opts=options)
    return library.AutoModeCluster(
        "main",
        library.AutoModeClusterArgs(
            cluster_name="inference",
            region="us-east-1",
            spec=ClusterSpec(
                admins=("arn:aws:iam::111122223333:role/platform",),
                public_access_cidrs=("52.95.4.7/32",),
                logs=("api",),
                log_retention_days=30,
                deletion_protection=True,
            ),
            vpc_id="vpc-1",
            private_subnet_ids=["subnet-1", "subnet-2"],
            egress=[out],
        ),
        options,
    )


def cluster_addons() -> Any:
    args = library.ClusterAddonsArgs(cluster_name="inference", efs_csi_version=catalog.EFS_CSI_ADDON)
    return library.ClusterAddons("addons", args, in_aws()[1])


def hybrid_addons() -> Any:
    _, options = in_aws()
    cluster_ = aws.ec2.InternetGateway("earlier", opts=options)
    args = library.HybridAddonsArgs(
        cluster_name="inference", versions=catalog.HYBRID_ADDONS["1.35"], depends_on=[cluster_]
    )
    return library.HybridAddons("hybrid", args, options)


def node_role() -> Any:
    return library.NodeRole("nodes", library.NodeRoleArgs(cluster_name="inference"), in_aws()[1])


def rack_role() -> Any:
    return library.RackRole("racks", library.RackRoleArgs(), in_aws()[1])


def capacity_block() -> Any:
    provider, options = in_aws()
    return library.CapacityBlock("rack-a", library.CapacityBlockArgs(rack=RACK, provider=provider), options)


def ultra_server_nodes() -> Any:
    _, options = in_aws()
    access = aws.ec2.InternetGateway("earlier", opts=options)
    return library.UltraServerNodes(
        "nodes-rack-a",
        library.UltraServerNodesArgs(
            rack=RACK,
            now=NOW,
            cluster_name="inference",
            node_role_arn="arn:aws:iam::111122223333:role/racks",
            subnet_id="subnet-1",
            security_group_ids=["sg-1", "sg-2"],
            kubernetes_version="1.35",
            ami_release=catalog.AMI_RELEASES["1.35"],
            root_volume_gib=200,
            node_repair=True,
            protect=True,
            node_access=[access],
        ),
        options,
    )


def gpu_pool() -> Any:
    options = in_cluster()
    return library.GpuPool(
        "pool",
        library.GpuPoolArgs(
            pool_name="gpu",
            spec=Pool(families=("g6e",), capacity=("spot", "on-demand")),
            zone_ids=list(NAMES),
            zone_names=NAMES,
            gpu_limit=8,
            role_name="nodes",
            subnet_ids=["subnet-1"],
            security_group_ids=["sg-1"],
            node_access=[earlier(options)],
        ),
        options,
    )


def shared_files() -> Any:
    return library.SharedFiles(
        "files",
        library.SharedFilesArgs(
            creation_token="inference-files",
            vpc_id="vpc-1",
            subnet_ids={"use1-az1": "subnet-1", "use1-az2": "subnet-2"},
            client_security_group_ids={"cluster": "sg-1"},
            spec=Efs(backup=True),
        ),
        in_aws()[1],
    )


def storage_classes() -> Any:
    options = in_cluster()
    args = library.StorageClassesArgs(
        efs_file_system_id="fs-1", efs_ready=[earlier(options)], local_zone_mounts="us-east-1a"
    )
    return library.StorageClasses("classes", args, options)


def _release(kind: Any, args: Any, table: Mapping[str, catalog.ChartRelease], name: str) -> Any:
    options = in_cluster()
    chart = next(iter(table.values()))
    return kind(name, args(chart=chart, values={"a": 1}, depends_on=[earlier(options)]), options)


def dra_driver() -> Any:
    return _release(library.DraDriver, library.DraDriverArgs, catalog.DRA_DRIVER, "dra-driver")


def gpu_operator() -> Any:
    return _release(library.GpuOperator, library.GpuOperatorArgs, catalog.GPU_OPERATOR, "gpu-operator")


def efa_plugin() -> Any:
    return _release(library.EfaPlugin, library.EfaPluginArgs, catalog.EFA_PLUGIN, "efa-plugin")


def gang_scheduler() -> Any:
    options, release = in_cluster(), catalog.dynamo_release("1.5.0")
    return library.GangScheduler(
        "gang",
        library.GangSchedulerArgs(
            kai_version=release.kai_floor,
            grove_version=release.grove_floor,
            gpus=72,
            auto_mnnvl=False,
            depends_on=[earlier(options)],
        ),
        options,
    )


def platform() -> Any:
    options, release = in_cluster(), catalog.dynamo_release("1.5.0")
    return library.DynamoPlatform(
        "platform",
        library.DynamoPlatformArgs(
            namespace="dynamo-system",
            version="1.5.0",
            repository=release.chart_repository,
            values={},
            registry=RegistryLogin(server="nvcr.io", username="$oauthtoken", password="hidden"),
            depends_on=[earlier(options)],
        ),
        options,
    )


def platform_check() -> Any:
    options = in_cluster()
    args = library.PlatformCheckArgs(
        namespace="dynamo-system", version="1.5.0", image=catalog.PYTHON_IMAGE, depends_on=[earlier(options)]
    )
    return library.PlatformCheck("check", args, options)


def graph_namespace() -> Any:
    options = in_cluster()
    return library.GraphNamespace(
        "serving",
        library.GraphNamespaceArgs(
            namespace="serving",
            caches=["model-cache"],
            storage_class="efs",
            access_mode="ReadWriteMany",
            size_gib=5,
            hugging_face_token=pulumi.Output.secret("hidden"),
            depends_on=[earlier(options)],
        ),
        options,
    )


def model_cache() -> Any:
    options = in_cluster()
    claim = earlier(options)
    args = library.ModelCacheArgs(
        job=object_("Job", "cache-qwen", spec={"template": {}}), timeout_minutes=30, depends_on=[claim], claims=[claim]
    )
    return library.ModelCache("cache", args, options)


def dynamo_graph() -> Any:
    options = in_cluster()
    graph = object_("DynamoGraphDeployment", "chat", spec={"backendFramework": "vllm", "components": []})
    domain = object_("ComputeDomain", "chat", spec={"numNodes": 0})
    balancer = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat-nlb", "namespace": "serving"},
        "spec": {},
    }
    return library.DynamoGraph(
        "chat",
        library.DynamoGraphArgs(
            manifest={**graph, "metadata": {**graph["metadata"], "annotations": {}}},
            compute_domains=[domain],
            load_balancer=balancer,
            depends_on=[earlier(options)],
        ),
        options,
    )


def pinned_memory() -> Any:
    options = in_cluster()
    worker = {"name": "main", "image": "vllm", "securityContext": {"privileged": True}}
    component = {"name": "decode", "podTemplate": {"spec": {"containers": [worker], "nodeSelector": {"rack": "a"}}}}
    graph = object_("DynamoGraphDeployment", "chat", spec={"components": [component]})
    args = library.PinnedMemoryArgs(graph="chat", manifest=graph, depends_on=[earlier(options)])
    return library.PinnedMemory("memlock", args, options)


def smoke_test() -> Any:
    options = in_cluster()
    return library.SmokeTest(
        "smoke",
        library.SmokeTestArgs(
            graph="chat",
            namespace="serving",
            model="Qwen/Qwen3-0.6B",
            service_url="http://chat-frontend:8000",
            digest="0" * 8,
            image=catalog.PYTHON_IMAGE,
            timeout_minutes=30,
            efa=False,
            stages=("load", "completion"),
            depends_on=[earlier(options)],
        ),
        options,
    )


def mpi_operator() -> Any:
    options = in_cluster()
    return library.MpiOperator("mpi", library.MpiOperatorArgs(depends_on=[earlier(options)]), options)


def ladder() -> Any:
    options = in_cluster()
    return library.VerificationLadder(
        "verify",
        library.VerificationLadderArgs(
            tested=RackUnderTest(rack=RACK, driver_branch=580, namespace="verification"),
            check_image=catalog.PYTHON_IMAGE,
            depends_on=[earlier(options)],
        ),
        options,
    )


MAKERS: Mapping[str, Callable[[], Any]] = {
    "AutoModeCluster": cluster,
    "CapacityBlock": capacity_block,
    "ClusterAddons": cluster_addons,
    "DraDriver": dra_driver,
    "DynamoGraph": dynamo_graph,
    "DynamoPlatform": platform,
    "EfaPlugin": efa_plugin,
    "ExistingNetwork": existing_network,
    "GangScheduler": gang_scheduler,
    "GpuOperator": gpu_operator,
    "GpuPool": gpu_pool,
    "GraphNamespace": graph_namespace,
    "HybridAddons": hybrid_addons,
    "ModelCache": model_cache,
    "MpiOperator": mpi_operator,
    "Network": network,
    "NodeRole": node_role,
    "PinnedMemory": pinned_memory,
    "PlatformCheck": platform_check,
    "RackRole": rack_role,
    "SharedFiles": shared_files,
    "SmokeTest": smoke_test,
    "StorageClasses": storage_classes,
    "UltraServerNodes": ultra_server_nodes,
    "VerificationLadder": ladder,
}
"""By component."""


def _made_cluster(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As pulumi-eks answers: the EKS cluster within, and the role of Auto Mode's nodes."""
    within = aws.eks.Cluster(
        "within", role_arn="arn:aws:iam::111122223333:role/cluster", vpc_config={"subnet_ids": ["subnet-1"]}
    )
    return {"eksCluster": within, "autoModeNodeRoleName": "auto-nodes"}


ANSWERS = {
    "aws:eks/cluster:Cluster": lambda inputs: {
        "arn": "arn:aws:eks:us-east-1:111122223333:cluster/inference",
        "endpoint": "https://inference.example.com",
        "certificateAuthority": {"data": "Y2E="},
        "vpcConfig": {**inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"},
    },
    "eks:index:Cluster": _made_cluster,
    "aws:iam/role:Role": lambda inputs: {"arn": "arn:aws:iam::111122223333:role/made", "name": "made"},
    "aws:kms/key:Key": lambda inputs: {"arn": "arn:aws:kms:us-east-1:111122223333:key/made", "keyId": "made"},
    "aws:cloudwatch/logGroup:LogGroup": lambda inputs: {"arn": "arn:aws:logs:us-east-1:111122223333:log-group:made"},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda inputs: {"latestVersion": 1},
    "aws:eks/nodeGroup:NodeGroup": lambda inputs: {"resources": [{"autoscalingGroups": [{"name": "eks-made"}]}]},
    "kubernetes:core/v1:Service": lambda inputs: {
        "status": {"loadBalancer": {"ingress": [{"hostname": "nlb.example.com"}]}}
    },
}
"""What AWS and Kubernetes compute of the types whose outputs the components hand on."""


def _subnet(inputs: Mapping[str, Any]) -> dict[str, Any]:
    zone = inputs["id"].removeprefix("subnet-")
    tags = {"kubernetes.io/role/internal-elb": "1"}
    return {"vpcId": "vpc-1", "availabilityZoneId": zone, "availabilityZone": NAMES[zone], "tags": tags,
            "availableIpAddressCount": 4000}  # fmt: skip


CALLS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "aws:ec2/getVpc:getVpc": lambda inputs: {"enableDnsSupport": True, "enableDnsHostnames": True},
    "aws:ec2/getSubnet:getSubnet": _subnet,
    "aws:ec2/getRouteTables:getRouteTables": lambda inputs: {"ids": ["rtb-1"]},
    "aws:ec2/getRouteTable:getRouteTable": lambda inputs: {"routes": [{"cidrBlock": "0.0.0.0/0", "natGatewayId": "nat-1"}]},
    "aws:ec2/getCapacityBlockReservation:getCapacityBlockReservation": lambda inputs: {
        "state": "active", "instanceType": "p6e-gb200.36xlarge", "availabilityZoneId": "use1-dfw2-az1", "instanceCount": 18,
        "startDate": "2026-12-01T11:30:00Z", "endDate": "2026-12-08T11:30:00Z", "instancePlatform": "Linux/UNIX",
    },
    "aws:index/getAvailabilityZone:getAvailabilityZone": lambda inputs: {
        "name": "us-east-1-dfw-2a", "zoneType": "local-zone", "groupName": "us-east-1-dfw-2", "optInStatus": "opted-in",
        "parentZoneId": "use1-az4",
    },
}  # fmt: skip
"""What AWS says when it is asked."""
