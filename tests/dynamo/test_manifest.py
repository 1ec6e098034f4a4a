"""Graphs of every kind: what a setting does to the object, and the pods to expect of it."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import catalog, sizing
from components.capacity.instances import allocatable, instance, table
from components.dynamo import backends, download
from components.dynamo.expected_pods import expected_pods, fits
from components.dynamo.manifest import Surroundings, manifest
from components.dynamo.namespace import TOKEN_SECRET
from components.dynamo.quantities import mib, milli
from components.dynamo.spec import Download, ModelSource, Worker
from recording.graph import Graph
from recording.recorder import record
from rules import judge
from schemas.strict import Shapes
from stacks import stackfile
from stacks.settings import Settings
from tests.conftest import AT, recorded

BASE = Path(__file__).parents[1] / "stacks" / "settings" / "ordinary.happy.yaml"


def config(graph: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    """The ordinary stack with changes to its graph (None removes a key) and other sections."""
    values = copy.deepcopy(dict(stackfile.read("ordinary", BASE).config))
    chat = {**values["dynamo-eks:graphs"]["chat"], **graph}
    values["dynamo-eks:graphs"]["chat"] = {key: value for key, value in chat.items() if value is not None}
    return {**values, **{f"dynamo-eks:{key}": value for key, value in sections.items()}}


def stack(graph: dict[str, Any], **sections: Any) -> Graph:
    return record("ordinary", config(graph, sections), at=AT)


def rendered(graph: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """The object alone, without recording a stack around it."""
    settings = Settings.parse("ordinary", config(graph, sections))
    chat = settings.graphs["chat"]
    around = Surroundings(
        release=catalog.dynamo_release(settings.dynamo.version),
        machine=sizing.machine_of(chat, settings.capacity.pools["gpu"]),
        zone_names={},
        caches=frozenset(settings.storage.caches),
    )
    return manifest("chat", chat, settings.models[chat.model], around)


def test_a_recorded_stack_has_the_same_object() -> None:
    (found,) = stack({}).objects_of("DynamoGraphDeployment")
    assert dict(found.manifest) == rendered({})


def main(manifest: dict[str, Any], role: str) -> dict[str, Any]:
    component = next(item for item in manifest["spec"]["components"] if item["name"] == role)
    return component["podTemplate"]["spec"]["containers"][0]


def environment(manifest: dict[str, Any], role: str) -> dict[str, str]:
    return {item["name"]: item["value"] for item in main(manifest, role)["env"]}


DISAGG = {"worker": None, "prefill": {"gpus": 1}, "decode": {"gpus": 1}, "transport": "efa",
          "placement": {"pool": "gpu", "instanceType": "g6e.8xlarge"}}  # fmt: skip


@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("transport", ["efa", "tcp"])
def test_each_backend_chooses_libfabric_in_its_own_way(backend: str, transport: str) -> None:
    """A wrong choice is silent: 100 s to the first token."""
    made = rendered({**DISAGG, "backend": backend, "transport": transport})
    for role in ("prefill", "decode"):
        env, words = environment(made, role), main(made, role)["args"]
        assert (env.get("FI_PROVIDER") == "efa") == (transport == "efa")
        if backend == "vllm":
            config = json.loads(words[words.index("--kv-transfer-config") + 1])
            assert config["kv_connector_extra_config"] == {"backends": ["LIBFABRIC"]}
            assert config.get("kv_buffer_device") == ("cpu" if transport == "tcp" else None)
        if transport == "efa":
            named = {"sglang": "SGLANG_DISAGGREGATION_NIXL_BACKEND", "trtllm": "TRTLLM_NIXL_KVCACHE_BACKEND"}
            assert {env.get(name) for key, name in named.items() if key == backend} <= {"LIBFABRIC"}
            assert [name for key, name in named.items() if key != backend and name in env] == []


@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("roles", ["agg", "disagg"])
@pytest.mark.parametrize("router", ["round-robin", "kv"])
def test_every_combination_is_accepted(backend: str, roles: str, router: str) -> None:
    """By the real CRD, and by every rule."""
    settings = {**(DISAGG if roles == "disagg" else {}), "backend": backend, "frontend": {"router": router}}
    found = stack(settings)
    assert [item for item in judge(found) if item.verdict == "fail"] == []
    (item,) = found.objects_of("DynamoGraphDeployment")
    assert Shapes.load().check(item.manifest, {"dynamo-platform": "1.5.0"}).faults == ()


BLOCK = {"vllm": "--block-size", "sglang": "--page-size", "trtllm": "--kv-block-size", "mocker": "--block-size"}


@pytest.mark.parametrize("backend", BLOCK)
def test_one_number_for_the_block(backend: str) -> None:
    """With different block sizes the KV router finds nothing it looks for, without a word. It reads the workers' own, so nobody
    is told one unless the stack says it; then everybody is."""
    changes: dict[str, Any] = {"backend": backend, "frontend": {"router": "kv"}}
    if backend == "mocker":
        changes |= {"worker": {"gpus": 0}, "placement": {}}
    pool = {"families": ["g6e"], "capacity": ["on-demand"], "gpuLimit": 8}
    made = partial(rendered, capacity={"pools": {"gpu": pool}})
    silent = made(changes)
    assert "--kv-cache-block-size" not in main(silent, "frontend")["args"]
    worker = main(silent, "worker")["args"]
    # SGLang's own page of one token is too little to route by.
    assert (BLOCK[backend] in worker) == (backend == "sglang")
    told = made({**changes, "kvBlockTokens": 128})
    front, worker = main(told, "frontend")["args"], main(told, "worker")["args"]
    assert front[front.index("--kv-cache-block-size") + 1] == worker[worker.index(BLOCK[backend]) + 1] == "128"
    assert worker.count(BLOCK[backend]) == 1
    spread = made({**changes, "frontend": {}, "kvBlockTokens": 128})
    assert "--kv-cache-block-size" not in main(spread, "frontend")["args"]
    assert BLOCK[backend] in main(spread, "worker")["args"]


def test_parallelism_arguments() -> None:
    worker = {"gpus": 8, "tensorParallel": 4, "pipelineParallel": 2}
    words = main(rendered({"worker": worker, "placement": {"pool": "gpu", "instanceType": "g6e.48xlarge"}}), "worker")[
        "args"
    ]
    assert words[words.index("--tensor-parallel-size") + 1] == "4"
    assert words[words.index("--pipeline-parallel-size") + 1] == "2"
    assert "--data-parallel-size" not in words


def test_whole_node_of_efa_by_default() -> None:
    """Part of a node can cross PCIe switches: empty answers with HTTP 200."""
    placement = {"pool": "gpu", "instanceType": "g6e.48xlarge"}
    role = {"gpus": 8, "tensorParallel": 8}
    made = rendered({**DISAGG, "prefill": role, "decode": role, "placement": placement})
    assert main(made, "prefill")["resources"]["limits"]["vpc.amazonaws.com/efa"] == "4"
    part = rendered({**DISAGG, "prefill": {**role, "efa": 2}, "decode": role, "placement": placement})
    assert main(part, "prefill")["resources"]["limits"]["vpc.amazonaws.com/efa"] == "2"


def test_privileged_is_a_choice() -> None:
    assert main(rendered({**DISAGG, "efaSecurity": "privileged"}), "decode")["securityContext"] == {"privileged": True}
    assert main(rendered(DISAGG), "decode")["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
    assert "securityContext" not in main(rendered({}), "worker")


def test_probes_follow_the_release() -> None:
    """Before 1.5.0 one missed probe restarts a worker that is loading (ai-dynamo/dynamo #13512)."""
    assert main(rendered({}, dynamo={"version": "1.4.0"}), "worker")["livenessProbe"]["failureThreshold"] == 3
    assert "livenessProbe" not in main(rendered({}, dynamo={"version": "1.5.0"}), "worker")


@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
def test_requests_may_finish_as_long_as_the_pod_ends(backend: str) -> None:
    """Told nothing, every engine's worker aborts its requests 5 s after the pod is deleted."""
    made = rendered({"backend": backend, "terminationGraceSeconds": 600})
    assert environment(made, "worker")["DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS"] == "585"
    assert "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS" not in environment(made, "frontend")


def test_requests_of_a_worker_that_goes_are_moved() -> None:
    """By default Dynamo moves none: a rollout ends every long answer with an error."""
    assert main(rendered({}), "frontend")["args"][-2:] == ["--migration-limit", "3"]
    assert "--migration-limit" not in main(rendered({"frontend": {"migrationLimit": 0}}), "frontend")["args"]
    words = main(rendered({"frontend": {"migrationLimit": 1, "extraArgs": ["--metrics-prefix", "x"]}}), "frontend")[
        "args"
    ]
    assert words[2:] == ["--migration-limit", "1", "--metrics-prefix", "x"]


def test_other_images_tell_their_version() -> None:
    image = {"repository": "registry.example.com/vllm", "tag": "nightly", "runtimeVersion": "1.5.0"}
    made = rendered({"image": image})
    worker = made["spec"]["components"][1]
    assert worker["runtimeVersionOverride"] == "1.5.0"
    assert main(made, "worker")["image"] == "registry.example.com/vllm:nightly"
    assert "runtimeVersionOverride" not in made["spec"]["components"][0]


def test_extra_words_and_environment_arrive() -> None:
    worker = {
        "gpus": 1,
        "extraArgs": ["--max-model-len", "8192"],
        "env": {"VLLM_LOGGING_LEVEL": "DEBUG"},
        "sharedMemory": "32Gi",
    }
    made = rendered({"worker": worker})
    assert main(made, "worker")["args"][-2:] == ["--max-model-len", "8192"]
    assert environment(made, "worker")["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert made["spec"]["components"][1]["sharedMemorySize"] == "32Gi"


@pytest.mark.parametrize(
    ("worker", "size"),
    [({"memory": "32Gi"}, "16Gi"), ({"memory": "31Gi"}, "15872Mi"), ({}, "16Gi"), ({"memory": "8Gi", "sharedMemory": "7Gi"}, "7Gi")],
)  # fmt: skip
def test_shared_memory_is_inside_the_memory(worker: dict[str, str], size: str) -> None:
    """A /dev/shm that may grow beyond the pod's memory has the pod killed in the middle of a collective."""
    made = rendered({"worker": {"gpus": 1, **worker}})
    assert made["spec"]["components"][1]["sharedMemorySize"] == size


def test_shared_memory_of_a_mocker() -> None:
    """It needs none; what is asked for is honoured."""
    mocker = {"backend": "mocker", "placement": {}, "worker": {"gpus": 0}}
    capacity = {"pools": {"gpu": {"families": ["g6e"], "capacity": ["on-demand"], "gpuLimit": 8}}}
    assert "sharedMemorySize" not in rendered(mocker, capacity=capacity)["spec"]["components"][1]
    asked = {**mocker, "worker": {"gpus": 0, "sharedMemory": "256Mi"}}
    assert rendered(asked, capacity=capacity)["spec"]["components"][1]["sharedMemorySize"] == "256Mi"


def test_zone_and_reserved_nodes() -> None:
    (item, *_) = [
        item for item in recorded("p5-reserved").objects_of("DynamoGraphDeployment") if item.name == "trtllm-block"
    ]
    selector = item.manifest["spec"]["components"][1]["podTemplate"]["spec"]["nodeSelector"]
    assert (
        selector["karpenter.sh/capacity-type"] == "reserved" and selector["topology.kubernetes.io/zone"] == "us-west-2b"
    )


def test_exposure() -> None:
    """A public load balancer that nobody restricted is free inference for everybody."""
    exposure = {"type": "nlb", "scheme": "public", "allowedCidrs": ["198.51.100.0/24"], "port": 443}
    found = stack({"exposure": exposure})
    (service,) = found.objects_of("Service")
    spec, annotations = service.manifest["spec"], service.manifest["metadata"]["annotations"]
    assert spec["loadBalancerClass"] == "eks.amazonaws.com/nlb" and spec["loadBalancerSourceRanges"] == [
        "198.51.100.0/24"
    ]
    assert annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internet-facing"
    assert spec["ports"][0]["port"] == 443 and spec["ports"][0]["targetPort"] in (8000, "http")
    assert "loadBalancer" in found.outputs["graphs"]["chat"]


def test_immutable_fields_replace_the_graph() -> None:
    """The webhook refuses the update; without replacement every later `up` fails."""
    graphs = recorded("g6e-dev").of("kubernetes:nvidia.com/v1beta1:DynamoGraphDeployment")
    for node in graphs:
        assert node.delete_before_replace
        roles = sorted(component["name"] for component in node.inputs["spec"]["components"])
        assert node.replacement_trigger == ["vllm", roles]


def test_a_gated_model_takes_its_token_to_the_download_only() -> None:
    found = recorded("p5-reserved")
    (job,) = [item for item in found.objects_of("Job") if item.name.startswith("cache-")]
    assert TOKEN_SECRET in json.dumps(job.manifest)
    for item in found.objects_of("DynamoGraphDeployment"):
        assert TOKEN_SECRET not in json.dumps(item.manifest)


# --- download ----------------------------------------------------------------------------------------------------------


def job(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "namespace": "dynamo", "repository": "Qwen/Qwen3-0.6B", "revision": "c" * 40, "xet_buffer": "capped",
        "memory_gib": None, "timeout_minutes": 60, "retries": 3, "claim": "model-cache", "token_secret": None,
        "image": "python:3", "hub_version": "1.16.4", **changes,
    }  # fmt: skip
    how = {key: values.pop(key) for key in ("xet_buffer", "memory_gib", "timeout_minutes", "retries")}
    source = ModelSource(repository=values.pop("repository"), revision=values.pop("revision"), download=Download(**how))
    return download.cache_job("qwen", source, **values)


@pytest.mark.parametrize(("field", "value"), [("repository", "Qwen/Qwen3-1.7B"), ("revision", "d" * 40)])
def test_another_model_is_another_job(field: str, value: str) -> None:
    """A Job is immutable: with the same name the update fails and the old model stays."""
    assert job(**{field: value})["metadata"]["name"] != job()["metadata"]["name"]
    assert job()["metadata"]["name"] == job()["metadata"]["name"]


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True))
def test_job_names_are_labels(key: str) -> None:
    """A Job's name becomes a label of its pods, of at most 63 characters."""
    name = download.cache_job(
        key, ModelSource(repository="a/b", revision="c" * 40), namespace="dynamo", claim="model-cache", token_secret=None,
        image="python:3", hub_version="1.16.4",
    )["metadata"]["name"]  # fmt: skip
    assert len(name) <= 63 and name[-1] != "-"


@pytest.mark.parametrize(("buffer", "memory"), [("full", "64Gi"), ("capped", "16Gi")])
def test_memory_goes_with_the_buffer(buffer: str, memory: str) -> None:
    """The kernel kills the download halfway, again at each retry."""
    (container,) = job(xet_buffer=buffer)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"] == memory


# --- expected pods -----------------------------------------------------------------------------------------------------


def test_expected_pods_of_a_shipped_graph() -> None:
    (item,) = [
        item for item in recorded("p5-reserved").objects_of("DynamoGraphDeployment") if item.name == "vllm-disagg-p5"
    ]
    pods = expected_pods(item.manifest)
    assert [(pod.component, pod.index) for pod in pods] == [
        ("frontend", 0),
        ("frontend", 1),
        ("prefill", 0),
        ("decode", 0),
    ]
    worker = pods[2]
    assert worker.requests["nvidia.com/gpu"] == "8" and worker.requests["vpc.amazonaws.com/efa"] == "32"
    assert worker.claims == ("model-cache", "compilation-cache")
    assert worker.tolerations == ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)
    assert worker.labels["nvidia.com/dynamo-component"] == "prefill"
    assert fits(worker, instance("p5.48xlarge")) is None
    assert "GPUs" in (fits(worker, instance("g6e.2xlarge")) or "")


def test_required_apart_is_seen() -> None:
    (item,) = [
        item for item in recorded("g6e-dev").objects_of("DynamoGraphDeployment") if item.name == "vllm-disagg-tcp"
    ]
    _, prefill, decode = expected_pods(item.manifest)
    assert prefill.avoids(decode) and decode.avoids(prefill) and not prefill.avoids(prefill)


@given(
    st.sampled_from(
        sorted(name for name, item in table().items() if item.gpus and item.auto_mode and item.arch == "amd64")
    ),
    st.integers(1, 16),
)
def test_default_share_always_fits(type_: str, gpus: int) -> None:
    """A worker sized by the program must fit the machine it was sized for."""
    machine = instance(type_)
    if gpus > machine.gpus:
        return
    from components.dynamo.manifest import share
    from components.dynamo.spec import Graph as GraphSettings
    from components.dynamo.spec import Worker

    worker = Worker.model_validate({"gpus": gpus, "tensorParallel": gpus})
    graph = GraphSettings.model_validate(
        {"model": "m", "backend": "vllm", "transport": "none", "worker": {"gpus": gpus}}
    )
    cores, memory_gib = share(graph, worker, machine)
    cpu, memory = allocatable(machine)
    assert cores * 1000 <= cpu and memory_gib * 1024 <= memory
    together = machine.gpus // gpus
    assert together * cores * 1000 <= cpu and together * memory_gib * 1024 <= memory


@pytest.mark.parametrize(
    ("text", "value"), [("1Gi", 1024), ("1500Mi", 1500), ("1G", 954), ("1048576", 1), ("512Ki", 1)]
)
def test_memory_quantities(text: str, value: int) -> None:
    assert mib(text) == value


@pytest.mark.parametrize(("text", "value"), [("4", 4000), ("500m", 500), ("0.5", 500)])
def test_cpu_quantities(text: str, value: int) -> None:
    assert milli(text) == value


@given(
    st.sampled_from(["vllm", "sglang", "trtllm"]),
    st.sampled_from(["prefill", "decode"]),
    st.sampled_from(["efa", "tcp"]),
)
def test_no_backend_forgets_its_transfer(backend: str, role: Any, transport: Any) -> None:
    spec = backends.Started(worker=Worker(), model_path="/m", served_model_name="m", role=role, transport=transport)
    started = backends.launch(backend, spec)
    assert "--disaggregation-mode" in started.args
    text = " ".join([*started.args, *map("=".join, started.env.items())])
    assert ("LIBFABRIC" in text) == (transport == "efa" or backend == "vllm")
