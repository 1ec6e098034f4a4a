"""Every component of the library alone, under `pulumi.runtime.set_mocks`: what it makes, from what, and what waits for what.

`each_component.yaml` lists, for each, its resources with what each waits for, what is protected, and the outputs. A new component
comes with a maker in `makers.py`; `WRITE_MADE=1` writes its list, which is then read line by line.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import components
from tests.makers import ANSWERS, CALLS, MAKERS
from tests.mocks import Alone, alone

FILE = Path(__file__).with_name("each_component.yaml")
OF_EKS = {"Cluster main"}
"""Remote components: they hand the component's provider on themselves."""
STAND_IN = "Cluster within"
"""The EKS cluster within pulumi-eks's component, by which the mocks answer for its outputs."""


@cache
def seen(name: str, preview: bool = False) -> Alone:
    return alone(MAKERS[name], preview=preview, answers=ANSWERS, calls=CALLS)


def told(name: str) -> dict[str, Any]:
    """What is listed of a component, from what it registers."""
    found = seen(name)
    below = found.below(f"{name} {_root(name)}")
    return {
        "makes": {key: sorted(found.made[key].waits_for - {STAND_IN}) for key in sorted(below)},
        "protects": sorted(key for key in below if found.made[key].protect),
        "outputs": {key: value for key, value in sorted(found.values.items()) if _output(name, key)},
    }


def _root(name: str) -> str:
    return next(key for key in seen(name).made if key.startswith(f"{name} ")).removeprefix(f"{name} ")


def _output(name: str, key: str) -> bool:
    """Whether an attribute is one that the component documents, not an input that it shows."""
    return key.split(".")[0] in type(seen(name).component).__annotations__


@cache
def listed() -> dict[str, Any]:
    if os.environ.get("WRITE_MADE"):
        text = yaml.safe_dump({name: told(name) for name in sorted(MAKERS)}, sort_keys=True, width=120)
        FILE.write_text(text)
    return yaml.safe_load(FILE.read_text())


def test_every_component_is_made() -> None:
    """Prevents a component that nobody has seen work outside this program."""
    assert set(MAKERS) == set(listed()) == set(components._MODULES)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_it_makes_what_is_listed(name: str) -> None:
    """Prevents a resource lost, a line of `protect` lost, and an order lost: the day it shows is a destroy or a bill."""
    assert told(name)["makes"] == listed()[name]["makes"]
    assert told(name)["protects"] == listed()[name]["protects"]


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_outputs_resolve(name: str) -> None:
    """Prevents an output that is null in somebody's program, and an id that goes into the next resource as nothing."""
    assert told(name)["outputs"] == listed()[name]["outputs"]
    assert seen(name).unknown == set()


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_preview_with_unknown_ids_shows_the_same(name: str) -> None:
    """Prevents a first preview that fails, or shows less than `up` makes, since an id decides what is made."""
    first, update = seen(name, preview=True), seen(name)
    assert {key: item.waits_for for key, item in first.made.items()} == {
        key: item.waits_for - {STAND_IN} for key, item in update.made.items() if key != STAND_IN
    }
    assert first.unknown <= {key for key in update.values if _output(name, key)}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_all_is_below_it_and_by_the_program_s_provider(name: str) -> None:
    """Prevents a resource in whatever account or cluster the shell happens to point at."""
    found = seen(name)
    made_here = {key for key in found.made if key.split(" ")[0] not in {"Stack", "aws", "kubernetes", name}}
    assert made_here - found.below(f"{name} {_root(name)}") <= {
        "InternetGateway earlier", "InternetGateway out", "ConfigMap earlier", STAND_IN,
    }  # fmt: skip
    for key in found.below(f"{name} {_root(name)}") - OF_EKS:
        assert found.made[key].provider in {"aws", "kubernetes"}, key


INPUTS: list[tuple[str, str, str, Any]] = [
    ("AutoModeCluster", "Cluster main", "autoMode.enabled", True),
    ("AutoModeCluster", "Cluster main", "publicAccessCidrs", ["52.95.4.7/32"]),
    ("AutoModeCluster", "Cluster main", "encryptionConfigKeyArn", "arn:aws:kms:us-east-1:111122223333:key/made"),
    ("AutoModeCluster", "Cluster main", "deletionProtection", True),
    ("AutoModeCluster", "Key main-secrets", "enableKeyRotation", True),
    ("AutoModeCluster", "LogGroup main-logs", "name", "/aws/eks/inference/cluster"),
    ("AutoModeCluster", "AccessEntry main-platform-111122223333", "clusterName", "inference"),
    ("ClusterAddons", "Addon addons-efs-csi", "addonName", "aws-efs-csi-driver"),
    ("DraDriver", "Release dra-driver-release", "namespace", "nvidia-dra-driver-gpu"),
    ("DraDriver", "Release dra-driver-release", "values", {"a": 1}),
    ("DynamoGraph", "Service chat-nlb", "metadata.namespace", "serving"),
    ("DynamoPlatform", "Release platform-release", "version", "1.5.0"),
    ("EfaPlugin", "Release efa-plugin-release", "namespace", "kube-system"),
    ("ExistingNetwork", "SecurityGroup network-efa", "vpcId", "vpc-1"),
    ("GangScheduler", "Queue gang-queue", "spec.resources.gpu.limit", 72),
    ("GpuOperator", "Release gpu-operator-release", "namespace", "gpu-operator"),
    ("GpuPool", "NodePool pool-pool", "spec.limits", {"nvidia.com/gpu": "8"}),
    ("GpuPool", "NodeClass pool-class", "spec.role", "nodes"),
    ("GraphNamespace", "PersistentVolumeClaim serving-model-cache", "spec.storageClassName", "efs"),
    ("HybridAddons", "Addon hybrid-vpc-cni", "clusterName", "inference"),
    ("ModelCache", "Job cache-job", "metadata.annotations", {"pulumi.com/replaceUnready": "true"}),
    ("MpiOperator", "ConfigFile mpi-release", "file", components.catalog.MPI_OPERATOR_MANIFEST),
    ("Network", "Vpc network-vpc", "cidrBlock", "10.0.0.0/16"),
    ("Network", "Subnet network-private-use1-az1", "availabilityZoneId", "use1-az1"),
    ("Network", "Subnet network-rack-use1-dfw2-az1", "availabilityZoneId", "use1-dfw2-az1"),
    ("Network", "Route network-private-use1-az2-out", "natGatewayId", "network-nat-use1-az1-id"),
    ("Network", "VpcEndpoint network-sts", "privateDnsEnabled", True),
    ("NodeRole", "AccessEntry nodes-entry", "type", "EC2"),
    ("PinnedMemory", "Job memlock-0", "metadata.namespace", "serving"),
    ("PlatformCheck", "ServiceAccount check-account", "metadata.namespace", "dynamo-system"),
    ("RackRole", "RolePolicyAttachment racks-AmazonEKS_CNI_Policy", "role", "made"),
    ("SharedFiles", "FileSystem files-efs", "encrypted", True),
    ("SharedFiles", "SecurityGroupIngressRule files-nfs-cluster", "referencedSecurityGroupId", "sg-1"),
    ("SmokeTest", "Role smoke-role", "metadata.namespace", "serving"),
    ("StorageClasses", "StorageClass classes-local-zone", "mountOptions", ["az=us-east-1a"]),
    ("UltraServerNodes", "NodeGroup nodes-rack-a-76543210", "capacityType", "CAPACITY_BLOCK"),
    ("UltraServerNodes", "NodeGroup nodes-rack-a-76543210", "scalingConfig", {"desiredSize": 18, "maxSize": 18, "minSize": 0}),
    ("UltraServerNodes", "Schedule nodes-rack-a-76543210-drain", "startTime", "2026-12-08T10:00:00Z"),
    ("VerificationLadder", "Namespace verify-namespace", "metadata.name", "verification"),
]  # fmt: skip
"""Component, resource, path below its inputs, and the value that has come there from an argument or is a promise."""


@pytest.mark.parametrize(("name", "key", "path", "value"), INPUTS)
def test_inputs_come_from_the_arguments(name: str, key: str, path: str, value: Any) -> None:
    found: Any = seen(name).made[key].inputs
    for part in path.split("."):
        found = found[part]
    assert found == value


def test_every_component_has_an_input_looked_at() -> None:
    assert {row[0] for row in INPUTS} == set(MAKERS) - {"CapacityBlock"}, "a block is only read"


def test_a_token_is_a_secret() -> None:
    """Prevents a token in the clear in somebody's state."""
    data = seen("GraphNamespace").made["Secret serving-token"].inputs["stringData"]
    assert "4dabf18193072939515e22adb298388d" in str(data)
