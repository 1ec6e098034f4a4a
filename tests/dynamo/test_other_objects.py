"""Objects beside the graphs, compared whole: downloads, Services, ComputeDomains, and what the charts are told."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from components.dynamo.compute_domain import compute_domain, domain_of, domains, gpu_roles, template_of
from components.dynamo.download import cache_job, snapshot_path
from components.dynamo.exposure import curl, curl_lines, load_balancer, service_name, service_url
from components.dynamo.spec import Download, Graph, ModelSource
from components.dynamo.values import platform_values
from components.scheduling import gang

# --- download ----------------------------------------------------------------------------------------------------------

SCRIPT = """\
set -eu
pip install --quiet --no-cache-dir --target /tmp/packages huggingface_hub==1.16.4
exec python -c 'import os
from huggingface_hub import snapshot_download
path = snapshot_download(os.environ["MODEL"], revision=os.environ["REVISION"], max_workers=8)
print("complete:", path, flush=True)'"""


def job(model: str = "qwen", **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "namespace": "team", "repository": "Qwen/Qwen3-0.6B", "revision": "c" * 40, "xet_buffer": "capped",
        "memory_gib": None, "timeout_minutes": 60, "retries": 3, "claim": "models", "token_secret": None,
        "image": "python:3", "hub_version": "1.16.4", **changes,
    }  # fmt: skip
    how = {key: given.pop(key) for key in ("xet_buffer", "memory_gib", "timeout_minutes", "retries")}
    source = ModelSource(repository=given.pop("repository"), revision=given.pop("revision"), download=Download(**how))
    return cache_job(model, source, **given)


def test_the_whole_download() -> None:
    """It runs for an hour before anything is seen: as the wrong user, with too little memory, or into another folder than
    the one that workers read."""
    assert job() == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        # Reckoned in another way, every stack's models would be fetched again at the next `up`.
        "metadata": {"name": "cache-qwen-e38a89c7", "namespace": "team"},
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 3600,
            "ttlSecondsAfterFinished": 604800,
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "model-cache"}},
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
                    "containers": [
                        {
                            "name": "download",
                            "image": "python:3",
                            "command": ["/bin/sh", "-c"],
                            "args": [SCRIPT],
                            "env": [
                                {"name": "MODEL", "value": "Qwen/Qwen3-0.6B"},
                                {"name": "REVISION", "value": "c" * 40},
                                {"name": "HF_HOME", "value": "/home/dynamo/.cache/huggingface"},
                                {"name": "HOME", "value": "/tmp"},
                                {"name": "PYTHONPATH", "value": "/tmp/packages"},
                                {"name": "HF_XET_HIGH_PERFORMANCE", "value": "0"},
                            ],
                            "resources": {"requests": {"cpu": "2", "memory": "16Gi"}, "limits": {"memory": "16Gi"}},
                            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "volumeMounts": [{"name": "model-cache", "mountPath": "/home/dynamo/.cache/huggingface"}],
                        }
                    ],
                    "volumes": [{"name": "model-cache", "persistentVolumeClaim": {"claimName": "models"}}],
                },
            },
        },
    }


def container(**changes: Any) -> dict[str, Any]:
    return job(**changes)["spec"]["template"]["spec"]["containers"][0]


def test_a_gated_model_gets_its_token_from_the_secret() -> None:
    """Under another key the download starts without a token and fails with 401 after its retries."""
    assert container(token_secret="hugging-face")["env"] == [
        *container()["env"],
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hugging-face", "key": "HF_TOKEN"}}},
    ]


@pytest.mark.parametrize(
    ("buffer", "given", "memory", "fast"),
    [
        ("full", None, "64Gi", "1"),
        ("full", 96, "96Gi", "1"),
        ("capped", None, "16Gi", "0"),
        ("capped", 24, "24Gi", "0"),
    ],
)
def test_buffer_and_memory(buffer: str, given: int | None, memory: str, fast: str) -> None:
    """A buffer of 64 GB in 16 GiB is killed by the kernel halfway, at each retry."""
    made = container(xet_buffer=buffer, memory_gib=given)
    assert made["resources"] == {"requests": {"cpu": "2", "memory": memory}, "limits": {"memory": memory}}
    assert made["env"][-1] == {"name": "HF_XET_HIGH_PERFORMANCE", "value": fast}


@pytest.mark.parametrize(
    ("model", "named"), [("a" * 44 + "b", "a" * 44), ("a" * 43 + "-b", "a" * 43), ("a" * 42 + "--b", "a" * 42)]
)
def test_a_long_name_is_cut(model: str, named: str) -> None:
    """63 characters are what a pod's label takes: a longer Job is made, and its pods are not."""
    assert job(model)["metadata"]["name"] == f"cache-{named}-{job()['metadata']['name'][-8:]}"


def test_where_a_revision_lies() -> None:
    """Hugging Face's own layout: workers that look one folder beside it are offline and find nothing."""
    assert snapshot_path("org/part/name", "abc") == (
        "/home/dynamo/.cache/huggingface/hub/models--org--part--name/snapshots/abc"
    )


# --- Services ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "word"), [("public", "internet-facing"), ("internal", "internal")])
def test_the_whole_load_balancer(scheme: str, word: str) -> None:
    """One annotation wrong is a public endpoint without a password, or one that answers nobody."""
    made = load_balancer("chat", "team", scheme=scheme, allowed_cidrs=("198.51.100.0/24", "203.0.113.7/32"), port=443)
    assert made == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "chat-frontend-nlb",
            "namespace": "team",
            "annotations": {
                "service.beta.kubernetes.io/aws-load-balancer-scheme": word,
                "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
                "service.beta.kubernetes.io/aws-load-balancer-healthcheck-path": "/health",
                "service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol": "http",
            },
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "eks.amazonaws.com/nlb",
            "loadBalancerSourceRanges": ["198.51.100.0/24", "203.0.113.7/32"],
            "selector": {
                "nvidia.com/dynamo-graph-deployment-name": "chat",
                "nvidia.com/dynamo-component": "frontend",
            },
            "ports": [{"name": "http-443", "port": 443, "targetPort": 8000, "protocol": "TCP"}],
        },
    }


def test_a_load_balancer_carries_the_tags() -> None:
    """The controller parts at commas and at the first `=`, and makes nothing when it cannot."""
    given = {"team": "inference", "cost": "a=b", "empty": ""}
    made = load_balancer("chat", "team", scheme="internal", allowed_cidrs=(), port=443, tags=given)
    text = made["metadata"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"]
    assert text == "cost=a=b,empty=,team=inference"
    assert dict(pair.split("=", 1) for pair in text.split(",")) == given


def test_the_operators_own_service() -> None:
    """The smoke test and everybody inside the cluster ask at this address."""
    assert service_name("chat") == "chat-frontend"
    assert service_url("chat", "team") == "http://chat-frontend.team.svc:8000"


# --- ComputeDomains ----------------------------------------------------------------------------------------------------


def graph(mode: str | None, **roles: Any) -> Graph:
    given: dict[str, Any] = {"model": "m", "backend": "vllm", "transport": "efa", "namespace": "team", **roles}
    return Graph.model_validate({**given, "computeDomain": mode})


def domain(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "ComputeDomain",
        "metadata": {"name": name, "namespace": "team", "labels": {"dynamo-eks/graph": "chat"}},
        "spec": {
            "numNodes": 0,
            "channel": {"allocationMode": "Single", "resourceClaimTemplate": {"name": f"{name}-channel"}},
        },
    }


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("perGraph", ["chat"]),
        ("perRole", ["chat-prefill", "chat-decode"]),
        ("groveAuto", []),
        ("none", []),
        (None, []),
    ],
)
def test_the_whole_domains(mode: str | None, expected: list[str]) -> None:
    """A domain of another name makes another claim template, and every worker waits for the one it names."""
    two = graph(mode, prefill={"gpus": 4}, decode={"gpus": 1})
    assert domains("chat", two) == [domain(name) for name in expected]
    assert compute_domain("chat", "team", {"dynamo-eks/graph": "chat"}) == domain("chat")


def test_roles_without_gpus_need_no_domain() -> None:
    """Nobody would claim its channel."""
    mixed = graph("perRole", prefill={"gpus": 0}, decode={"gpus": 4})
    assert list(gpu_roles(mixed)) == ["decode"] and domains("chat", mixed) == [domain("chat-decode")]
    alone = graph("perRole", worker={"gpus": 4})
    assert gpu_roles(alone) == {"worker": alone.worker} and domain_of("chat", alone, "worker") == "chat-worker"
    assert gpu_roles(graph("perGraph", worker={"gpus": 0})) == {} == gpu_roles(graph("perGraph"))
    assert template_of("chat-worker") == "chat-worker-channel"


# --- what the charts are told ------------------------------------------------------------------------------------------


def platform(*, monitors: bool, gangs: bool, endpoint: str) -> dict[str, Any]:
    return {
        "global": {
            "nats": {"install": False},
            "etcd": {"install": False},
            "grove": {"install": False, "enabled": gangs},
            "kai-scheduler": {"install": False, "enabled": gangs},
        },
        "dynamo-operator": {
            "upgradeCRD": True,
            "discoveryBackend": "kubernetes",
            "dynamo": {"metrics": {"prometheusEndpoint": endpoint, "podMonitors": {"enabled": monitors}}},
            "metricsService": {"enabled": monitors},
        },
    }


def test_the_whole_platform() -> None:
    """A bundled broker waits for a volume that no StorageClass gives it; the operator's own answer to a missing word is to
    guess from what the cluster has at that minute."""
    assert platform_values(pod_monitors=False) == platform(monitors=False, gangs=False, endpoint="")
    told = platform_values(
        pod_monitors=True,
        prometheus_endpoint="http://prometheus:9090",
        image_pull_secrets=("ngc", "own"),
        gang_scheduling=True,
    )
    expected = platform(monitors=True, gangs=True, endpoint="http://prometheus:9090")
    expected["dynamo-operator"]["imagePullSecrets"] = [{"name": "ngc"}, {"name": "own"}]
    assert told == expected


def test_the_whole_gang_scheduler() -> None:
    """On a rack's nodes its pods would go with the block; with a grace period a gang is evicted while one node is repaired."""
    general = {"karpenter.sh/nodepool": "general-purpose"}
    assert gang.kai_values() == {
        "global": {"nodeSelector": general, "gpuSharing": False},
        "scheduler": {"args": {"default-staleness-grace-period": "-1"}},
    }
    for auto in (False, True):
        assert gang.grove_values(auto_mnnvl=auto) == {
            "nodeSelector": general,
            "crdInstaller": {"enabled": True},
            "config": {"topologyAwareScheduling": {"enabled": True}, "network": {"autoMNNVLEnabled": auto}},
        }


def queue(name: str, gpus: int, **parent: str) -> dict[str, Any]:
    free = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {
            "resources": {"cpu": free, "memory": free, "gpu": {"quota": gpus, "limit": gpus, "overQuotaWeight": 1}},
            **parent,
        },
    }


def test_the_whole_queues() -> None:
    """A graph's queue without its parent is refused; one with less than the racks have keeps a gang waiting for ever."""
    made = gang.queues(72)
    assert made == (queue("dynamo-eks", 72), queue("dynamo-eks-graphs", 72, parentQueue="dynamo-eks"))
    assert [gang.quota_gpus(item) for item in made] == [72, 72]
    assert gang.quota_gpus({"spec": {"resources": {"gpu": {"quota": 36, "limit": "18"}}}}) == 18


def test_the_whole_topology() -> None:
    """Levels in another order, or by another label, let KAI pack a gang over two racks, between which NVLink does not reach."""
    assert gang.topology() == {
        "apiVersion": "kai.scheduler/v1alpha1",
        "kind": "Topology",
        "metadata": {"name": "ultraservers"},
        "spec": {"levels": [{"nodeLabel": "nvidia.com/gpu.clique"}, {"nodeLabel": "kubernetes.io/hostname"}]},
    }
    assert gang.topology_binding() == {
        "apiVersion": "grove.io/v1alpha1",
        "kind": "ClusterTopologyBinding",
        "metadata": {"name": "ultraservers"},
        "spec": {
            "levels": [
                {"domain": "rack", "key": "nvidia.com/gpu.clique"},
                {"domain": "host", "key": "kubernetes.io/hostname"},
            ],
            "schedulerTopologyBindings": [{"schedulerName": "kai-scheduler", "topologyReference": "ultraservers"}],
        },
    }


# --- commands that are printed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", 'it\'s "mine"', "größer $HOME `id`"])
def test_printed_commands_are_words_of_a_shell(model: str) -> None:
    """They are pasted into a shell: what breaks out of its quotes is run there. Without a length the mocker answers HTTP 500."""
    models, chat, stream = curl_lines(model, "http://127.0.0.1:8000")
    assert models == "curl -s http://127.0.0.1:8000/v1/models"
    assert chat == curl(model, "http://127.0.0.1:8000")
    for command, more in ((chat, {}), (stream, {"stream": True})):
        *words, body = shlex.split(command)
        assert words[:3] == ["curl", "-sN" if more else "-s", "http://127.0.0.1:8000/v1/chat/completions"]
        assert words[3:] == ["-H", "Content-Type: application/json", "-d"]
        said = [{"role": "user", "content": "Hello"}]
        assert json.loads(body) == {"model": model, "messages": said, "max_tokens": 64, **more}
