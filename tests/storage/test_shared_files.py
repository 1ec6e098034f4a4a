"""EFS, its mount targets, and the storage classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pytest

from components.storage.shared_files import SharedFiles, SharedFilesArgs
from components.storage.spec import Efs
from components.storage.storage_classes import StorageClasses, StorageClassesArgs, ebs_class, efs_parameters
from recording.graph import UNKNOWN, Graph
from recording.recorder import record

CONFIG = {"aws:region": "us-east-1"}
ZONES = {"use1-az1": "subnet-1", "use1-az2": "subnet-2", "use1-az4": "subnet-4"}


def settings(**changes: Any) -> dict[str, Any]:
    """Arguments of the files; a change of a setting goes into its spec."""
    spec = Efs(**{key: changes.pop(key) for key in list(changes) if key in Efs.model_fields})
    return {
        "creation_token": "dynamo-eks-test",
        "vpc_id": "vpc-1",
        "subnet_ids": ZONES,
        "client_security_group_ids": {"cluster": "sg-1"},
        "spec": spec,
        **changes,
    }


def small_stack(**changes: Any) -> Callable[[], None]:
    def program() -> None:
        provider = aws.Provider("aws", region="us-east-1")
        files = SharedFiles(
            "files", SharedFilesArgs(**settings(**changes)), pulumi.ResourceOptions(providers=[provider])
        )
        in_cluster = kubernetes.Provider("kubernetes", kubeconfig="{}", context="c", cluster_identifier="c")
        classes = StorageClasses(
            "classes",
            StorageClassesArgs(efs_file_system_id=files.file_system_id, efs_ready=files.ready),
            pulumi.ResourceOptions(providers=[in_cluster]),
        )
        kubernetes.core.v1.PersistentVolumeClaim(
            "model-cache",
            metadata={"name": "model-cache", "namespace": "dynamo"},
            spec={"access_modes": ["ReadWriteMany"], "storage_class_name": classes.efs_class_name},
            opts=pulumi.ResourceOptions(provider=in_cluster, depends_on=classes.ready),
        )
        pulumi.export("id", files.file_system_id)

    return program


@pytest.fixture(scope="module", params=[False, True], ids=["update", "preview"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return record("test", CONFIG, program=small_stack(), preview=request.param)


def test_one_mount_target_in_each_zone(graph: Graph) -> None:
    """A zone without one mounts across zones or not at all; a second in a zone is refused."""
    targets = graph.of("aws:efs/mountTarget:MountTarget")
    assert sorted(node.inputs["subnetId"] for node in targets) == sorted(ZONES.values())
    assert {node.name for node in targets} == {f"files-{zone}" for zone in ZONES}


def test_another_zone_moves_no_mount_target() -> None:
    """A mount target made again drops every mount of its zone."""
    before = record("test", CONFIG, program=small_stack(subnet_ids=dict(list(ZONES.items())[1:])))
    after = record("test", CONFIG, program=small_stack())
    kept = {node.key: node.inputs for node in before.of("aws:efs/mountTarget:MountTarget")}
    assert kept.items() <= {node.key: node.inputs for node in after.of("aws:efs/mountTarget:MountTarget")}.items()


def test_files_are_encrypted_and_protected(graph: Graph) -> None:
    """An unprotected file system takes hours of downloads with it in one rename."""
    files = graph.one("aws:efs/fileSystem:FileSystem")
    assert files.protect and files.inputs["encrypted"] is True
    # Without a token of our own AWS makes one up, and a lost state file ends in a second, empty file system.
    assert files.inputs["creationToken"] == "dynamo-eks-test"
    assert not record("test", CONFIG, program=small_stack(protect=False)).one("aws:efs/fileSystem:FileSystem").protect


def test_only_nfs_from_the_cluster_gets_in(graph: Graph) -> None:
    """Any other source could read every model and write every cache: EFS has no file system policy here."""
    (rule,) = graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert rule.inputs["referencedSecurityGroupId"] == "sg-1" and "cidrIpv4" not in rule.inputs
    assert rule.inputs["ipProtocol"] == "tcp" and rule.inputs["fromPort"] == rule.inputs["toPort"] == 2049
    group = graph.one("aws:ec2/securityGroup:SecurityGroup")
    for target in graph.of("aws:efs/mountTarget:MountTarget"):
        assert len(target.inputs["securityGroups"]) == 1
        assert group.key in target.depends_on


def test_claims_go_before_what_serves_them(graph: Graph) -> None:
    """A claim that outlives its class, mount target or ingress rule leaves pods that cannot end and a destroy that
    hangs."""
    claim = graph.one("kubernetes:core/v1:PersistentVolumeClaim")
    served_by = [
        *graph.of("kubernetes:storage.k8s.io/v1:StorageClass"),
        *graph.of("aws:efs/mountTarget:MountTarget"),
        *graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"),
        graph.one("aws:efs/fileSystem:FileSystem"),
    ]
    for node in served_by:
        assert graph.destroyed_before(claim, node), node.key


def test_efs_class_points_at_the_file_system(graph: Graph) -> None:
    efs = graph["kubernetes:storage.k8s.io/v1:StorageClass::classes-efs"]
    assert efs.inputs["metadata"]["name"] == "efs-sc-dynamic"
    assert efs.inputs["parameters"]["fileSystemId"] == (UNKNOWN if graph.preview else graph.outputs["id"])


def test_exactly_one_class_is_the_default(graph: Graph) -> None:
    """Without a default, claims that name no class (NATS, etcd) stay pending; with two, the newest one wins."""
    key = "storageclass.kubernetes.io/is-default-class"
    classes = graph.objects_of("StorageClass")
    default = [item.name for item in classes if item.manifest["metadata"].get("annotations", {}).get(key) == "true"]
    assert len(classes) == 2 and default == ["auto-ebs-sc"]


def test_ebs_volumes_are_made_where_the_pod_is() -> None:
    """A volume made before its pod can be in a zone without capacity; one on another driver cannot be attached."""
    found = ebs_class()
    assert found["provisioner"] == "ebs.csi.eks.amazonaws.com"
    assert found["volume_binding_mode"] == "WaitForFirstConsumer"
    assert found["allowed_topologies"][0]["match_label_expressions"][0]["values"] == ["auto"]


def test_volumes_of_claims_carry_the_tags() -> None:
    """The driver knows numbered parameters alone; the order of a mapping must not make another class."""
    tagged = ebs_class({"team": "inference", "cost:center": "a=b", "empty": ""})["parameters"]
    assert tagged == {
        "type": "gp3",
        "encrypted": "true",
        "tagSpecification_1": "cost:center=a=b",
        "tagSpecification_2": "empty=",
        "tagSpecification_3": "team=inference",
    }
    assert tagged == ebs_class({"empty": "", "team": "inference", "cost:center": "a=b"})["parameters"]
    assert ebs_class()["parameters"] == {"type": "gp3", "encrypted": "true"}


def test_every_class_parameter_is_text() -> None:
    """The API server takes only strings as parameters and refuses the class otherwise."""
    for parameters in (ebs_class()["parameters"], efs_parameters("fs-1")):
        assert all(isinstance(value, str) for value in parameters.values())


def test_a_claim_made_again_finds_its_files() -> None:
    """With the driver's random directory a replaced namespace downloads every model again and pays for both."""
    parameters = efs_parameters("fs-1")
    assert parameters["subPathPattern"] == "${.PVC.namespace}/${.PVC.name}"
    assert parameters["ensureUniqueDirectory"] == "false"


def test_options_of_the_file_system() -> None:
    changes = {
        "throughput": "provisioned",
        "provisioned_mibps": 512,
        "transition_to_ia": "AFTER_30_DAYS",
        "backup": True,
        "client_security_group_ids": {},
        "client_cidrs": ["10.64.0.0/16"],
    }
    graph = record("test", CONFIG, program=small_stack(**changes))
    files = graph.one("aws:efs/fileSystem:FileSystem").inputs
    assert files["provisionedThroughputInMibps"] == 512
    # EFS refuses a policy with two transitions.
    assert files["lifecyclePolicies"] == [
        {"transitionToIa": "AFTER_30_DAYS"},
        {"transitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]
    assert graph.one("aws:efs/backupPolicy:BackupPolicy").inputs["backupPolicy"] == {"status": "ENABLED"}
    (rule,) = graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert rule.inputs["cidrIpv4"] == "10.64.0.0/16" and "referencedSecurityGroupId" not in rule.inputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"creation_token": "x" * 65}, f"creation_token: {'x' * 65!r} has 65 characters; EFS takes 1 to 64"),
        (
            {"subnet_ids": {}},
            "subnet_ids: none given, and nothing could mount; give one subnet for each zone with nodes",
        ),
        (
            {"client_security_group_ids": {}},
            (
                "client_security_group_ids: none given and no client_cidrs either, and every mount would hang; "
                "name the cluster's security group"
            ),
        ),
        (
            {"throughput": "provisioned"},
            ("spec.provisioned_mibps: None with throughput 'provisioned'; give it with `provisioned` and only there"),
        ),
        (
            {"provisioned_mibps": 100},
            "spec.provisioned_mibps: 100 with throughput 'elastic'; give it with `provisioned` and only there",
        ),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        SharedFilesArgs(**settings(**changes))
    assert str(caught.value) == message


def test_efs_class_needs_its_driver() -> None:
    """A destroy that takes the driver first leaves claims with a finalizer that nobody removes."""
    with pytest.raises(ValueError, match="efs_ready: empty"):
        StorageClassesArgs(efs_file_system_id="fs-1")
