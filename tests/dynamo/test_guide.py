"""The Dynamo EKS guide's graphs and model download, field by field, with every intended difference and its reason."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from recording.graph import Graph
from recording.recorder import record
from stacks import stackfile
from tests.conftest import AT

DIFFERENCES = {
    "name": "three of the guide's graphs are all called vllm-disagg and cannot coexist in a namespace",
    "component names": "lower-case roles instead of VllmDecodeWorker: names go into labels and Services, and cannot be changed later",
    "model": "a path in the cache instead of a repository: workers stay offline and load the pinned revision",
    "command": "python3 itself instead of /bin/bash -c: signals reach it, arguments are not parsed twice",
    "envFrom hf-token-secret": "absent: only the download needs the token",
    "HF_HOME": "on every component, with HF_HUB_OFFLINE=1, since all read the shared cache",
    "FI_PROVIDER": "named over EFA, so that a missing device fails instead of falling back to TCP",
    "aggregated and TCP storage": "they too load from the cache, where the guide downloads in every pod at every start",
    "IPC_LOCK": "only where KV blocks are transferred",
    "cpu and memory": "stated for every worker, sized from the instance; the guide leaves them out",
    "metrics and Grove": "enable-grove is false in so many words: a Grove installed later would convert nothing and confuse everything",
    "versions": "images of the pinned release throughout, where the guide mixes 1.3.0 and 1.4.0",
    "namespace": "graphs and their claims live apart from the operator",
}
"""What differs from the guide on purpose."""

GUIDE: dict[str, dict[str, Any]] = {
    "vllm-agg": {
        "roles": {"worker": 1}, "instance": "g6e.2xlarge", "gpus": "1", "efa": None, "router": None,
        "apart": None, "buffer": None, "reserved": False, "tensor": None,
    },
    "vllm-disagg-efa": {
        "roles": {"decode": 1, "prefill": 1}, "instance": "g7e.12xlarge", "gpus": "1", "efa": "1", "router": "kv",
        "apart": "required", "buffer": None, "reserved": False, "tensor": None,
    },
    "vllm-disagg-p5": {
        "roles": {"decode": 2, "prefill": 6}, "instance": "p5.48xlarge", "gpus": "2", "efa": "8", "router": "kv",
        "apart": "preferred", "buffer": None, "reserved": True, "tensor": "2",
    },
    "vllm-disagg-tcp": {
        "roles": {"decode": 1, "prefill": 1}, "instance": "g6e.2xlarge", "gpus": "1", "efa": None, "router": None,
        "apart": "required", "buffer": "cpu", "reserved": False, "tensor": None,
    },
}  # fmt: skip


@cache
def guide() -> Graph:
    file = stackfile.read("guide", Path(__file__).parent / "guide.yaml")
    return record("guide", file.config, at=AT)


def graph(name: str) -> dict[str, Any]:
    return next(dict(item.manifest) for item in guide().objects_of("DynamoGraphDeployment") if item.name == name)


def parts(name: str) -> dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Component, pod spec and main container by component name."""
    found = {}
    for component in graph(name)["spec"]["components"]:
        pod = component["podTemplate"]["spec"]
        found[component["name"]] = (component, pod, pod["containers"][0])
    return found


def after(words: list[str], flag: str) -> str | None:
    return words[words.index(flag) + 1] if flag in words else None


@pytest.mark.parametrize("name", GUIDE)
def test_graph_as_in_the_guide(name: str) -> None:
    want, found = GUIDE[name], parts(name)
    rendered = graph(name)
    assert rendered["apiVersion"] == "nvidia.com/v1beta1" and rendered["spec"]["backendFramework"] == "vllm"
    assert {role: found[role][0]["replicas"] for role in found if role != "frontend"} == want["roles"]
    frontend, frontend_pod, frontend_main = found["frontend"]
    assert frontend["type"] == "frontend" and frontend["replicas"] == 1
    assert frontend_main["image"] == "nvcr.io/nvidia/ai-dynamo/dynamo-frontend:1.5.0"
    assert (after(frontend_main["args"], "--router-mode") == "kv") == (want["router"] == "kv")
    if want["router"]:
        assert frontend_main["resources"]["requests"]["cpu"] == "8"
    zone = [
        {
            "labelSelector": {"matchLabels": {"nvidia.com/dynamo-graph-deployment-name": name}},
            "topologyKey": "topology.kubernetes.io/zone",
        }
    ]
    assert frontend_pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == zone
    for role in want["roles"]:
        component, pod, main = found[role]
        assert component["type"] == role
        assert main["image"] == "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.5.0-efa"
        assert main["command"] == ["python3", "-m", "dynamo.vllm"]
        selector = {
            "node.kubernetes.io/instance-type": want["instance"],
            "karpenter.sh/nodepool": pod["nodeSelector"]["karpenter.sh/nodepool"],
        }
        if want["reserved"]:
            selector["karpenter.sh/capacity-type"] = "reserved"
        assert pod["nodeSelector"] == selector
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == zone
        limits = main["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == want["gpus"] and limits.get("vpc.amazonaws.com/efa") == want["efa"]
        assert after(main["args"], "--tensor-parallel-size") == want["tensor"]
        assert component["compilationCache"] == {
            "pvcName": "compilation-cache",
            "mountPath": "/home/dynamo/.cache/vllm",
        }
        assert {"name": "model-cache", "mountPath": "/home/dynamo/.cache/huggingface", "readOnly": True} in main[
            "volumeMounts"
        ]
        assert not any(key.endswith("Probe") for key in main)


@pytest.mark.parametrize("name", [name for name, want in GUIDE.items() if "prefill" in want["roles"]])
def test_transfer_as_in_the_guide(name: str) -> None:
    for role in ("prefill", "decode"):
        _, pod, main = parts(name)[role]
        assert after(main["args"], "--disaggregation-mode") == role
        config = json.loads(after(main["args"], "--kv-transfer-config") or "{}")
        expected = {
            "kv_connector": "NixlConnector",
            "kv_role": "kv_both",
            "kv_connector_extra_config": {"backends": ["LIBFABRIC"]},
        }
        if GUIDE[name]["buffer"]:
            expected["kv_buffer_device"] = GUIDE[name]["buffer"]
        assert config == expected
        assert main["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
        other = "decode" if role == "prefill" else "prefill"
        term = {
            "labelSelector": {
                "matchLabels": {"nvidia.com/dynamo-graph-deployment-name": name, "nvidia.com/dynamo-component": other}
            },
            "topologyKey": "kubernetes.io/hostname",
        }
        anti = pod["affinity"]["podAntiAffinity"]
        if GUIDE[name]["apart"] == "required":
            assert anti == {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        else:
            assert anti == {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
            }


def test_differences_are_as_listed() -> None:
    """Each entry of DIFFERENCES that can be seen in an object."""
    text = json.dumps([graph(name) for name in GUIDE])
    assert "hf-token-secret" not in text and "HF_TOKEN" not in text and "envFrom" not in text
    assert "/bin/bash" not in text and "VllmDecodeWorker" not in text
    for name in GUIDE:
        for component, _, main in parts(name).values():
            environment = {item["name"]: item["value"] for item in main["env"]}
            assert environment["HF_HUB_OFFLINE"] == "1" and environment["HF_HOME"] == "/home/dynamo/.cache/huggingface"
            over_efa = GUIDE[name]["efa"] and component["name"] != "frontend"
            assert (environment.get("FI_PROVIDER") == "efa") == bool(over_efa)
            if component["name"] != "frontend":
                assert (after(main["args"], "--model") or "").startswith(
                    "/home/dynamo/.cache/huggingface/hub/models--Qwen--"
                )
                assert main["resources"]["requests"]["memory"] == main["resources"]["limits"]["memory"]
        assert graph(name)["metadata"]["annotations"]["nvidia.com/enable-grove"] == "false"
        assert graph(name)["metadata"]["namespace"] != "dynamo-system"
    assert len({item.name for item in guide().objects_of("DynamoGraphDeployment")}) == 4
    assert len(DIFFERENCES) == 13


def test_model_download_as_in_the_guide() -> None:
    job = next(item.manifest for item in guide().objects_of("Job") if item.name.startswith("cache-qwen3-32b"))
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (main,) = pod["containers"]
    environment = {item["name"]: item.get("value") for item in main["env"]}
    script = " ".join(main["command"] + main.get("args", []))
    assert spec["backoffLimit"] == 3 and pod["restartPolicy"] == "Never"
    assert environment["HF_HOME"] == "/home/dynamo/.cache/huggingface"
    assert environment["HF_XET_HIGH_PERFORMANCE"] == "1"
    assert main["resources"]["requests"]["memory"] == main["resources"]["limits"]["memory"] == "64Gi"
    assert "9216db5781bf21249d130ec9da846c4624c16137" in json.dumps(job)
    assert "1.16.4" in json.dumps(job) and "Qwen/Qwen3-32B" in json.dumps(job)
    assert script and {"name": "model-cache", "persistentVolumeClaim": {"claimName": "model-cache"}} in pod["volumes"]
    assert "tolerations" not in pod  # it runs on CPU nodes


def test_cluster_pieces_as_in_the_guide() -> None:
    stack = guide()
    pool = next(item.manifest for item in stack.objects_of("NodePool") if item.name == "gpu")
    template = pool["spec"]["template"]["spec"]
    requirements = {item["key"]: item["values"] for item in template["requirements"]}
    assert requirements["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
    assert requirements["eks.amazonaws.com/instance-family"] == ["g5", "g6", "g6e", "g7e", "p5", "p5e", "p5en"]
    assert template["taints"] == [{"key": "nvidia.com/gpu", "value": "Exists", "effect": "NoSchedule"}]
    assert pool["spec"]["disruption"] == {
        "consolidationPolicy": "WhenEmptyOrUnderutilized",
        "consolidateAfter": "300s",
        "budgets": [{"nodes": "10%"}],
    }
    ebs = next(item.manifest for item in stack.objects_of("StorageClass") if item.name == "auto-ebs-sc")
    assert ebs["provisioner"] == "ebs.csi.eks.amazonaws.com" and ebs["volumeBindingMode"] == "WaitForFirstConsumer"
    # Beyond the guide: the tags of the stack.
    tags = {"tagSpecification_1": "project=dynamo-eks", "tagSpecification_2": "stack=guide"}
    assert ebs["parameters"] == {"type": "gp3", "encrypted": "true", **tags}
    efs = next(item.manifest for item in stack.objects_of("StorageClass") if item.name == "efs-sc-dynamic")
    expected = {"provisioningMode": "efs-ap", "directoryPerms": "777", "uid": "1000", "gid": "1000"}
    assert efs["provisioner"] == "efs.csi.aws.com" and expected.items() <= dict(efs["parameters"]).items()
    claims = {item.name: item.manifest["spec"] for item in stack.objects_of("PersistentVolumeClaim")}
    assert set(claims) == {"model-cache", "compilation-cache", "perf-cache"}
    for spec in claims.values():
        assert spec["accessModes"] == ["ReadWriteMany"] and spec["resources"]["requests"]["storage"] == "5Gi"
    reserved = next(item.manifest for item in stack.objects_of("NodeClass") if item.name == "gpu-reserved")
    assert reserved["spec"]["capacityReservationSelectorTerms"] == [{"id": "cr-0123456789abcdef0"}]
