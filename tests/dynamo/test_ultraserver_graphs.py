"""Graphs on UltraServers, for every backend, transport and domain: the object, its ComputeDomains, and the pods to expect."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components import catalog, sizing
from components.capacity.instances import allocatable
from components.capacity.ultraservers import CLIQUE_LABEL, Rack
from components.dynamo import compute_domain, fabric
from components.dynamo.compute_domain import CLAIM, GROVE_GROUP, domains
from components.dynamo.download import MOUNT, snapshot_path
from components.dynamo.expected_pods import expected_pods, fits, pod_name
from components.dynamo.manifest import CLIQUE_GROUP_LABEL, STAGED, Surroundings, ganged, identity, manifest
from components.dynamo.recipes import NAMES, preset
from components.scheduling import gang
from recording.recorder import record
from rules import judge
from rules.objects import versions
from schemas.strict import Shapes
from stacks import stackfile
from stacks.settings import Settings, SettingsError
from tests.conftest import AT, recorded
from tests.schemas.test_strict import strict_schema

SHAPES = Shapes.load()
RUNNING = {
    "kubernetes": "1.35",
    "dynamo-platform": "1.5.0",
    "dra-driver-nvidia-gpu": "0.4.1",
    "grove": "v0.1.0-alpha.13",
}
RACKS = ("gb200-prod", "gb200-pair")
BACKENDS, TRANSPORTS, MODES = (
    ("vllm", "sglang", "trtllm"),
    ("efa", "nvlink"),
    ("perGraph", "perRole", "groveAuto", "none"),
)

GPUS = {"gpus": 4, "tensorParallel": 4}
MULTI = {"nodes": 2, "gpus": 4, "tensorParallel": 8}


def config(graph: dict[str, Any], stack: str = "gb200-pair", **sections: Any) -> dict[str, Any]:
    """A shipped stack with this graph alone, called `chat`, of the stack's model."""
    values = copy.deepcopy(dict(stackfile.read(stack).config))
    (model,) = values["dynamo-eks:models"]
    values["dynamo-eks:graphs"] = {"chat": {"model": model, **graph}}
    return {**values, **{f"dynamo-eks:{key}": value for key, value in sections.items()}}


def of(backend: str, transport: str, mode: str, **changes: Any) -> dict[str, Any]:
    """A disaggregated graph as the settings allow it: roles on two racks where each has a domain, on one otherwise."""
    prefill: dict[str, Any] = dict(GPUS)
    decode = dict(MULTI if mode != "none" else GPUS)
    placement: dict[str, Any] = {"ultraServer": "rack-a"}
    if mode == "perRole":
        prefill["ultraServer"] = "rack-b"
    return {
        "backend": backend, "transport": transport, "computeDomain": mode, "prefill": prefill, "decode": decode,
        "placement": placement, **changes,
    }  # fmt: skip


def parsed(graph: dict[str, Any], stack: str = "gb200-pair", **sections: Any) -> Settings:
    return Settings.parse(stack, config(graph, stack, **sections), at=AT)


def rendered(graph: dict[str, Any], stack: str = "gb200-pair", **sections: Any) -> dict[str, Any]:
    """The object alone, without recording a stack around it."""
    settings = parsed(graph, stack, **sections)
    racks = {name: Rack(name=name, spec=given) for name, given in settings.capacity.ultra_servers.items()}
    chat = settings.graphs["chat"]
    return manifest(
        "chat", chat, settings.models[chat.model],
        Surroundings(
            release=catalog.dynamo_release(settings.dynamo.version), machine=sizing.machine_of(chat, None, racks),
            zone_names={}, caches=frozenset(settings.storage.caches), queue=gang.QUEUE, topology=gang.TOPOLOGY,
            rack_domain=gang.RACK_DOMAIN,
        ),
    )  # fmt: skip


@cache
def made(backend: str, transport: str, mode: str) -> dict[str, Any]:
    return rendered(of(backend, transport, mode))


def shipped(stack: str) -> dict[str, Any]:
    (item,) = recorded(stack).objects_of("DynamoGraphDeployment")
    return dict(item.manifest)


def component(graph: dict[str, Any], role: str) -> dict[str, Any]:
    return next(item for item in graph["spec"]["components"] if item["name"] == role)


def pod(graph: dict[str, Any], role: str) -> dict[str, Any]:
    return component(graph, role)["podTemplate"]["spec"]


def main(graph: dict[str, Any], role: str) -> dict[str, Any]:
    return pod(graph, role)["containers"][0]


def environment(graph: dict[str, Any], role: str) -> dict[str, str]:
    names = [item["name"] for item in main(graph, role)["env"]]
    assert len(names) == len(set(names)), "a variable given twice: the last one wins, and nobody sees which"
    return {item["name"]: item["value"] for item in main(graph, role)["env"]}


VALID = [
    (backend, transport, mode)
    for backend, transport, mode in itertools.product(BACKENDS, TRANSPORTS, MODES)
    if transport == "efa" or mode in ("perGraph", "groveAuto")
]
combinations = pytest.mark.parametrize(("backend", "transport", "mode"), VALID)
ROLES = ("prefill", "decode")


def test_a_recorded_stack_has_the_same_object() -> None:
    """What is rendered here is what `up` would send."""
    graph = stackfile.read("gb200-pair").config["dynamo-eks:graphs"]["glm-5"]
    alone = rendered({**graph, "model": "glm-5"})
    whole = json.loads(json.dumps(shipped("gb200-pair")).replace('"glm-5"', '"chat"').replace("glm-5-prefill", "chat-prefill").replace("glm-5-decode", "chat-decode"))  # fmt: skip
    assert whole == alone


@pytest.mark.parametrize(("transport", "mode"), [("nvlink", "perRole"), ("nvlink", "none")])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nvlink_needs_one_domain(backend: str, transport: str, mode: str) -> None:
    """Without a domain around both roles CUDA IPC fails when the first request arrives."""
    with pytest.raises(SettingsError) as caught:
        parsed(of(backend, transport, mode))
    assert [fault.key for fault in caught.value.faults] == ["graphs.chat.transport"]


# --- against the real kinds --------------------------------------------------------------------------------------------


@cache
def validators(folder: Path) -> dict[tuple[str, str, str], Any]:
    """A strict validator for every kind of the GB200 part, by group and version, kind, and source."""
    found = {}
    for path in (
        "dynamo-platform-1.5.0-main-2a6da14c/crds/nvidia.com_dynamographdeployments.yaml",
        "dra-driver-nvidia-gpu-0.4.1/crds/resource.nvidia.com_computedomains.yaml",
        "nvidia-dra-driver-gpu-25.12.0/crds/resource.nvidia.com_computedomains.yaml",
        "grove-0.1.0-alpha.11/crds/grove.io_clustertopologybindings.yaml",
        "kai-scheduler-0.17.0/crds/kai.scheduler_topologies.yaml",
        "kai-scheduler-0.17.0/crds/scheduling.run.ai_queues.yaml",
    ):
        crd = yaml.load((folder / path).read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for version in crd["spec"]["versions"]:
            spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
            key = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"], path.split("/")[0]
            found[key] = jsonschema.Draft202012Validator(strict_schema(spec))
    return found


def faults(folder: Path, obj: dict[str, Any]) -> list[str]:
    """What independent validators of the real CRDs say of an object."""
    chosen = [
        item for (gv, kind, _), item in validators(folder).items() if (gv, kind) == (obj["apiVersion"], obj["kind"])
    ]
    assert chosen, f"no CRD for {obj['apiVersion']} {obj['kind']}"
    return [error.message for item in chosen for error in item.iter_errors(obj["spec"])]


@combinations
def test_every_combination_is_accepted(contracts: Path, backend: str, transport: str, mode: str) -> None:
    """By our own strict check, and by jsonschema on the real CRDs: a field that is not there is dropped without a word."""
    graph = made(backend, transport, mode)
    assert [str(item) for item in SHAPES.check(graph, RUNNING).faults] == []
    assert faults(contracts, graph) == []
    chat = parsed(of(backend, transport, mode)).graphs["chat"]
    for domain in domains("chat", chat):
        verdict = SHAPES.check(domain, RUNNING)
        assert verdict.state == "ok" and verdict.faults == ()
        assert faults(contracts, domain) == []


@pytest.mark.parametrize("stack", RACKS)
def test_what_is_shipped_is_accepted(contracts: Path, stack: str) -> None:
    """Queues, topology and binding too, each against the file of the chart that brings its kind."""
    graph, seen = recorded(stack), set()
    known = {(gv, kind) for gv, kind, _ in validators(contracts)}
    for item in graph.objects:
        assert SHAPES.check(item.manifest, versions(graph)).state == "ok", item.address
        if (item.manifest["apiVersion"], item.kind) in known:
            seen.add(item.kind)
            assert faults(contracts, dict(item.manifest)) == [], item.address
    assert seen == {"DynamoGraphDeployment", "ComputeDomain", "Queue", "Topology", "ClusterTopologyBinding"}


def test_the_check_is_strict(contracts: Path) -> None:
    """A validator that passes everything would make the tests above worthless."""
    graph = copy.deepcopy(made("vllm", "efa", "perGraph"))
    component(graph, "decode")["multiNode"] = {"nodeCount": 2}
    assert SHAPES.check(graph, RUNNING).state == "faults" and faults(contracts, graph)
    domain = copy.deepcopy(domains("chat", parsed(of("vllm", "efa", "perGraph")).graphs["chat"])[0])
    domain["spec"]["numNodes"] = "0"
    assert faults(contracts, domain)


@pytest.mark.parametrize(
    ("backend", "transport", "mode", "changes"),
    [
        ("sglang", "efa", "groveAuto", {"placement": {"anyUltraServer": True}}),
        ("trtllm", "efa", "perGraph", {"placement": {"anyUltraServer": True}, "decode": GPUS}),
        ("vllm", "nvlink", "perGraph", {}),
        ("vllm", "efa", "none", {}),
    ],
)
def test_modes_that_no_shipped_stack_has(backend: str, transport: str, mode: str, changes: dict[str, Any]) -> None:
    """Each as a whole stack: every rule holds, Grove makes domains only where it is asked to, and nobody else does then."""
    graph = record("gb200-pair", config(of(backend, transport, mode, weights="nvme", **changes)), at=AT)
    # The graph is smaller than its rack.
    assert {item.id for item in judge(graph) if item.verdict != "pass"} == {"rack-idle"}
    grove = [node for node in graph.releases if node.name == "gang-grove"]
    assert bool(grove) == (mode != "none"), "single nodes need no gang scheduler"
    assert [node.inputs["values"]["config"]["network"]["autoMNNVLEnabled"] for node in grove] in (
        [],
        [mode == "groveAuto"],
    )
    own = [item.name for item in graph.objects_of("ComputeDomain") if not item.name.startswith("verify-")]
    assert own == (["chat"] if mode == "perGraph" else [])
    (item,) = graph.objects_of("DynamoGraphDeployment")
    ladders = {"verify-rack-a", "verify-rack-b"} if "placement" in changes else {"verify-rack-a"}
    waits = {key.split("::")[1][:13] for key in graph.requires(item.node.key) if "::verify-" in key}
    assert waits == ladders, "on any rack it waits for every rack's ladder, on its own for its own"


# --- ComputeDomains ----------------------------------------------------------------------------------------------------


@combinations
def test_every_worker_claims_its_channel(backend: str, transport: str, mode: str) -> None:
    """A worker without a claim computes over the network; with two claims it never starts (dynamo #6364)."""
    graph = made(backend, transport, mode)
    names = {"perGraph": ("chat", "chat"), "perRole": ("chat-prefill", "chat-decode")}.get(mode)
    for position, role in enumerate(ROLES):
        claims, used = pod(graph, role).get("resourceClaims"), main(graph, role)["resources"].get("claims")
        annotations = component(graph, role)["podTemplate"].get("metadata", {}).get("annotations", {})
        if names:
            assert claims == [{"name": CLAIM, "resourceClaimTemplateName": f"{names[position]}-channel"}]
            assert used == [{"name": CLAIM}]
        else:
            assert claims is None and used is None
        assert annotations == ({GROVE_GROUP: "chat"} if mode == "groveAuto" else {})
    assert (
        "resourceClaims" not in pod(graph, "frontend") and "metadata" not in component(graph, "frontend")["podTemplate"]
    )
    # Grove refuses the group on a clique without GPUs; on the graph it would reach the frontend's too.
    assert GROVE_GROUP not in graph["metadata"]["annotations"]


@combinations
def test_domains_are_those_that_are_claimed(backend: str, transport: str, mode: str) -> None:
    """A template that nobody makes leaves its pods waiting for ever; a domain that nobody claims is a forgotten claim."""
    chat = parsed(of(backend, transport, mode)).graphs["chat"]
    found = domains("chat", chat)
    claimed = {
        claim["resourceClaimTemplateName"] for role in ROLES
        for claim in pod(made(backend, transport, mode), role).get("resourceClaims", ())
    }  # fmt: skip
    assert {item["spec"]["channel"]["resourceClaimTemplate"]["name"] for item in found} == claimed
    for item in found:
        assert item["metadata"]["namespace"] == made(backend, transport, mode)["metadata"]["namespace"]
        # 0: who claims is in. With a number every change of replicas would need another domain (its spec is immutable).
        assert item["spec"]["numNodes"] == 0 and item["spec"]["channel"]["allocationMode"] == "Single"


@cache
def by_mode(mode: str) -> Any:
    return parsed(of("sglang", "efa", mode)).graphs["chat"]


@given(st.sampled_from(MODES), st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True))
def test_names_of_domains_follow_the_graph(mode: str, name: str) -> None:
    chat = by_mode(mode)
    for role in ROLES:
        domain = compute_domain.domain_of(name, chat, role)
        assert domain == {"perGraph": name, "perRole": f"{name}-{role}"}.get(mode)
    assert len(domains(name, chat)) == {"perGraph": 1, "perRole": 2}.get(mode, 0)


# --- workers -----------------------------------------------------------------------------------------------------------


@combinations
def test_workers_take_whole_arm_nodes(backend: str, transport: str, mode: str) -> None:
    """A node has one channel: three GPUs would idle at $42 an hour beside a pod that takes one."""
    graph = made(backend, transport, mode)
    for role in ROLES:
        resources = main(graph, role)["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "4"
        assert ("vpc.amazonaws.com/efa" in resources["limits"]) == (transport == "efa")
        assert resources["limits"].get("vpc.amazonaws.com/efa") in (None, "4")
        selector = pod(graph, role)["nodeSelector"]
        assert selector["kubernetes.io/arch"] == "arm64"
        assert selector["dynamo-eks/ultraserver"] == ("rack-b" if (mode, role) == ("perRole", "prefill") else "rack-a")
        assert pod(graph, role)["tolerations"] == [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
    frontend = pod(graph, "frontend")
    assert frontend["nodeSelector"]["kubernetes.io/arch"] == "arm64" and frontend["tolerations"]
    assert "nvidia.com/gpu" not in json.dumps(main(graph, "frontend"))


@combinations
def test_clique_affinity_selects_itself(backend: str, transport: str, mode: str) -> None:
    """An affinity that its own first pod does not match is never met: the whole graph stays Pending."""
    graph = made(backend, transport, mode)
    for role in ROLES:
        affinity = pod(graph, role).get("affinity", {})
        labels = component(graph, role)["podTemplate"].get("metadata", {}).get("labels", {})
        if mode == "none":
            assert affinity == {} and labels == {}
            continue
        (term,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == CLIQUE_LABEL
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    # The frontend is near no rack when it is the first pod, and must not be what the others look for.
    assert CLIQUE_GROUP_LABEL not in json.dumps(component(graph, "frontend"))
    groups = [
        component(graph, role)["podTemplate"].get("metadata", {}).get("labels", {}).get(CLIQUE_GROUP_LABEL)
        for role in ROLES
    ]
    assert groups == {"perRole": ["chat-prefill", "chat-decode"], "none": [None, None]}.get(mode, ["chat", "chat"])


@combinations
def test_multinode_and_gang(backend: str, transport: str, mode: str) -> None:
    """A worker of two nodes has one pod on each; the operator refuses it without Grove."""
    graph = made(backend, transport, mode)
    several = mode != "none"
    assert component(graph, "decode").get("multinode") == ({"nodeCount": 2} if several else None)
    assert "multinode" not in component(graph, "prefill")
    annotations = graph["metadata"]["annotations"]
    if several:
        assert annotations["nvidia.com/kai-scheduler-queue"] == gang.QUEUE
        assert "nvidia.com/enable-grove" not in annotations
    else:
        assert annotations["nvidia.com/enable-grove"] == "false" and "nvidia.com/kai-scheduler-queue" not in annotations
    assert "topologyConstraint" not in graph["spec"], "its rack is named"


@combinations
def test_by_default_a_worker_fits_its_node(backend: str, transport: str, mode: str) -> None:
    """With the daemons of EKS and of its domain, and with a frontend beside it."""
    racks = {name: Rack(name=name, spec=given) for name, given in parsed(of(backend, transport, mode)).capacity.ultra_servers.items()}  # fmt: skip
    machine = racks["rack-a"].machine
    pods = expected_pods(made(backend, transport, mode))
    front = next(item for item in pods if item.type == "frontend")
    cpu, memory = allocatable(machine)
    for item in pods:
        assert fits(item, machine) is None
        if item is not front:
            assert item.cpu_milli + front.cpu_milli <= cpu and item.memory_mib + front.memory_mib <= memory


def test_any_ultra_server_is_one_gang() -> None:
    """With affinity alone the first pod may choose a rack that is half used, and the rest of the graph fits nowhere."""
    for mode in ("perGraph", "groveAuto"):
        graph = rendered(of("sglang", "efa", mode, placement={"anyUltraServer": True}))
        assert graph["spec"]["topologyConstraint"] == {"clusterTopologyName": "ultraservers", "packDomain": "rack"}
        for role in (*ROLES, "frontend"):
            selector = pod(graph, role)["nodeSelector"]
            assert selector == {"kubernetes.io/arch": "arm64", "dynamo-eks/ultraserver-node": "true"}
            assert "affinity" not in pod(graph, role), "KAI packs the gang; an affinity beside it could contradict it"
        assert SHAPES.check(graph, RUNNING).state == "ok"
        assert {item.gang for item in expected_pods(graph)} == {"dynamo/chat"}


def test_any_ultra_server_with_single_nodes_is_a_gang_too() -> None:
    graph = of("vllm", "nvlink", "perGraph", placement={"anyUltraServer": True}, decode=GPUS)
    assert ganged(parsed(graph).graphs["chat"])
    assert rendered(graph)["metadata"]["annotations"]["nvidia.com/kai-scheduler-queue"] == gang.QUEUE


def test_topology_names_what_the_stack_makes() -> None:
    """A pack domain that no level has is refused by Grove's webhook, at the graph and not at the topology."""
    constraint = rendered(of("sglang", "efa", "perGraph", placement={"anyUltraServer": True}))["spec"][
        "topologyConstraint"
    ]
    binding = gang.topology_binding()
    assert binding["metadata"]["name"] == constraint["clusterTopologyName"]
    assert {"domain": constraint["packDomain"], "key": CLIQUE_LABEL} in binding["spec"]["levels"]
    (scheduler,) = binding["spec"]["schedulerTopologyBindings"]
    assert scheduler == {"schedulerName": "kai-scheduler", "topologyReference": gang.topology()["metadata"]["name"]}
    levels = [level["nodeLabel"] for level in gang.topology()["spec"]["levels"]]
    assert levels == [level["key"] for level in binding["spec"]["levels"]] and levels[-1] == "kubernetes.io/hostname"


@given(st.integers(1, 1000))
def test_queues_hold_every_gpu(gpus: int) -> None:
    """In a queue with less a gang waits without a word; child and parent must both have the room."""
    parent, child = gang.queues(gpus)
    assert child["spec"]["parentQueue"] == parent["metadata"]["name"]
    for queue in (parent, child):
        assert gang.quota_gpus(queue) == gpus == queue["spec"]["resources"]["gpu"]["quota"]
        assert {queue["spec"]["resources"][kind]["limit"] for kind in ("cpu", "memory")} == {-1}


def test_what_replaces_a_graph() -> None:
    """The webhook refuses these changes; without replacement every later `up` fails."""
    named = made("sglang", "efa", "perGraph")
    packed = rendered(of("sglang", "efa", "perGraph", placement={"anyUltraServer": True}))
    single = rendered(of("sglang", "efa", "perGraph", decode=GPUS))
    identities = [json.dumps(identity(item)) for item in (named, packed, single, made("vllm", "efa", "perGraph"))]
    assert len(set(identities)) == 4
    wider = rendered(of("sglang", "efa", "perGraph", decode={**MULTI, "replicas": 2}))
    assert identity(wider) == identity(named), "replicas change in place"


# --- environment -------------------------------------------------------------------------------------------------------

TABLES = {
    "MNNVL": fabric.MNNVL,
    "NO_MNNVL": fabric.NO_MNNVL,
    "UCX_NVLINK": fabric.UCX_NVLINK,
    "EFA_GB200": fabric.EFA_GB200,
}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_variable_has_its_reason_and_source(table: str) -> None:
    """A variable nobody can explain is kept for ever, or removed by whoever it hurts."""
    for name, item in TABLES[table].items():
        assert item.value and len(item.why) > 15 and len(item.source) > 5, name
        assert name == name.upper() and name.split("_")[0] in ("NCCL", "GLOO", "UCX", "FI"), name


@combinations
def test_environment_by_transport_and_domain(backend: str, transport: str, mode: str) -> None:
    """A variable that is missing is silent: NCCL falls back to the network, NIXL to TCP, and all works at a tenth."""
    graph = made(backend, transport, mode)
    for role in ROLES:
        env = environment(graph, role)
        wanted = dict(fabric.NO_MNNVL if mode == "none" else fabric.MNNVL)
        wanted |= fabric.UCX_NVLINK if transport == "nvlink" else fabric.EFA_GB200
        assert {name: item.value for name, item in wanted.items()}.items() <= env.items()
        assert env["NCCL_MNNVL_ENABLE"] == ("0" if mode == "none" else "1")
        assert ("UCX_TLS" in env) == (transport == "nvlink")
        assert env.get("FI_PROVIDER") == ("efa" if transport == "efa" else None)
        assert env.get("FI_EFA_USE_HUGE_PAGE") == ("0" if transport == "efa" else None)
        assert not {name for name in env if name.startswith("FI_")} or transport == "efa"


@combinations
def test_kv_transfer_by_backend(backend: str, transport: str, mode: str) -> None:
    """Each engine is told in its own way; the wrong way is 100 s to the first token."""
    graph, nixl = made(backend, transport, mode), {"efa": "LIBFABRIC", "nvlink": "UCX"}[transport]
    for role in ROLES:
        env, words = environment(graph, role), main(graph, role)["args"]
        assert env.get("SGLANG_DISAGGREGATION_NIXL_BACKEND") == (nixl if backend == "sglang" else None)
        assert env.get("TRTLLM_NIXL_KVCACHE_BACKEND") == (nixl if backend == "trtllm" else None)
        if backend == "vllm":
            config = json.loads(words[words.index("--kv-transfer-config") + 1])
            assert config["kv_connector_extra_config"] == {"backends": [nixl]} and "kv_buffer_device" not in config
        assert words[words.index("--disaggregation-mode") + 1] == role
        security = main(graph, role)["securityContext"]
        assert security == ({"privileged": True} if transport == "efa" else {"capabilities": {"add": ["IPC_LOCK"]}})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["perGraph", "none"])
def test_huge_pages(backend: str, mode: str) -> None:
    """Asked for in vain registration fails; set aside and not asked for they are memory that nobody has."""
    roles = {"prefill": {**GPUS, "hugePagesMib": 5120}, "decode": {**GPUS, "hugePagesMib": 2048}}
    graph = rendered(of(backend, "efa", mode, **roles))
    for role, amount in (("prefill", "5120Mi"), ("decode", "2048Mi")):
        resources = main(graph, role)["resources"]
        assert resources["limits"]["hugepages-2Mi"] == resources["requests"]["hugepages-2Mi"] == amount
        assert environment(graph, role)["FI_EFA_USE_HUGE_PAGE"] == "1"
    (one, *_) = [item for item in expected_pods(graph) if item.component == "prefill"]
    assert one.requests["hugepages-2Mi"] == "5120Mi"
    assert SHAPES.check(graph, RUNNING).state == "ok"


@given(st.booleans(), st.sampled_from(["efa", "nvlink", "none"]), st.none() | st.integers(2, 10240))
def test_environment_is_complete_and_not_more(domain: bool, transport: str, pages: int | None) -> None:
    env = fabric.environment(domain=domain, transport=transport, huge_pages_mib=pages)
    expected = set(fabric.MNNVL if domain else fabric.NO_MNNVL)
    expected |= set(fabric.UCX_NVLINK) if transport == "nvlink" else set()
    expected |= {*fabric.EFA_GB200, "FI_EFA_USE_HUGE_PAGE"} if transport == "efa" else set()
    assert set(env) == expected


def test_a_stacks_own_variable_wins() -> None:
    """The table is advice measured elsewhere; who has measured better says so in the stack file."""
    graph = rendered(of("trtllm", "nvlink", "perGraph", prefill={**GPUS, "env": {"NCCL_STORE_TIMEOUT": "60"}}))
    assert environment(graph, "prefill")["NCCL_STORE_TIMEOUT"] == "60"
    assert environment(graph, "decode")["NCCL_STORE_TIMEOUT"] == "7200"


# --- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_on_the_nodes_disks(backend: str) -> None:
    """Read over the link to the region, 400 GB take the better part of an hour of the rack, at every restart."""
    graph = rendered(of(backend, "efa", "perGraph", weights="nvme"))
    for role in ROLES:
        (init,) = pod(graph, role)["initContainers"]
        assert init["image"] == main(graph, role)["image"], "no other image has to be pulled for it"
        mounts = {item["name"]: item for item in init["volumeMounts"]}
        assert mounts["model-cache"]["readOnly"] and mounts["model-cache"]["mountPath"] == "/source"
        assert not mounts[STAGED].get("readOnly") and mounts[STAGED]["mountPath"] == MOUNT
        assert main(graph, role)["volumeMounts"] == [{"name": STAGED, "mountPath": MOUNT, "readOnly": True}]
        volumes = {item["name"]: item for item in pod(graph, role)["volumes"]}
        assert volumes[STAGED] == {"name": STAGED, "emptyDir": {}}, "a size limit would evict the pod halfway"
    assert "initContainers" not in pod(graph, "frontend")
    assert "initContainers" not in pod(made(backend, "efa", "perGraph"), "decode")


def test_staging_copies_what_the_worker_reads(tmp_path: Path) -> None:
    """The script for real, on a cache as Hugging Face makes it: files are links into a folder of blobs."""
    settings = parsed(of("vllm", "efa", "perGraph", weights="nvme"))
    model = settings.models["glm-5"]
    (init,) = pod(rendered(of("vllm", "efa", "perGraph", weights="nvme")), "decode")["initContainers"]
    path = snapshot_path(model.repository, model.revision)
    source, target = tmp_path / "source", tmp_path / "target"
    snapshot = source / Path(path).relative_to(MOUNT)
    blobs = snapshot.parents[1] / "blobs"
    (snapshot / "inference config").mkdir(parents=True)
    blobs.mkdir()
    for name, text in (
        ("config.json", "{}"),
        ("model-00001.safetensors", "w" * 5000),
        ("inference config/a b.json", "[]"),
    ):
        (blobs / str(len(text))).write_text(text)
        (snapshot / name).symlink_to(blobs / str(len(text)))
    script = init["args"][0].replace(MOUNT, str(target)).replace("/source/", f"{source}/")
    for _ in range(2):  # a pod that is started again on the same volume copies once more
        done = subprocess.run([*init["command"], script], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
    copied = target / Path(path).relative_to(MOUNT)
    files = {str(item.relative_to(copied)): item for item in copied.rglob("*") if item.is_file()}
    assert set(files) == {"config.json", "model-00001.safetensors", "inference config/a b.json"}
    assert not any(item.is_symlink() for item in files.values())
    assert files["model-00001.safetensors"].read_text() == "w" * 5000
    words = main(rendered(of("vllm", "efa", "perGraph", weights="nvme")), "decode")["args"]
    assert words[words.index("--model") + 1] == path


def test_staging_fails_where_the_model_is_not(tmp_path: Path) -> None:
    """A worker that starts on an empty folder asks Hugging Face, or fails with a message about its configuration."""
    (init,) = pod(rendered(of("vllm", "efa", "perGraph", weights="nvme")), "decode")["initContainers"]
    script = init["args"][0].replace(MOUNT, str(tmp_path / "target")).replace("/source/", f"{tmp_path}/source/")
    done = subprocess.run([*init["command"], script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0


# --- presets -----------------------------------------------------------------------------------------------------------


def test_presets_are_what_they_are_named_after() -> None:
    wide, efa = preset("deepseek-r1-wide-ep"), preset("glm-5-efa")
    assert (wide["backend"], wide["transport"], wide["computeDomain"]) == ("trtllm", "nvlink", "perGraph")
    assert (wide["decode"]["nodes"], wide["decode"]["expertParallel"]) == (8, 32)
    assert (efa["backend"], efa["transport"], efa["computeDomain"]) == ("sglang", "efa", "perRole")
    assert (efa["decode"]["nodes"], efa["decode"]["dataParallel"]) == (4, 16)
    assert set(NAMES) == {"deepseek-r1-wide-ep", "glm-5-efa"}


@pytest.mark.parametrize("name", NAMES)
def test_presets_stand_under_the_stack_file(name: str) -> None:
    """What the stack file says wins, and mappings are merged: `prefill: {replicas: 3}` keeps the recipe's arguments."""
    per_role = name == "glm-5-efa"
    graph = {"preset": name, "prefill": {"replicas": 3, **({"ultraServer": "rack-b"} if per_role else {})},
             "placement": {"ultraServer": "rack-a"}, "model": "deepseek-r1" if not per_role else "glm-5"}  # fmt: skip
    stack = "gb200-pair" if per_role else "gb200-prod"
    chat = parsed(graph, stack).graphs["chat"]
    assert chat.prefill is not None and chat.decode is not None
    assert chat.prefill.replicas == 3 and chat.prefill.tensor_parallel == preset(name)["prefill"]["tensorParallel"]
    assert chat.decode.nodes == preset(name)["decode"]["nodes"]
    made_ = rendered(graph, stack)
    assert SHAPES.check(made_, RUNNING).state == "ok"
    assert made_["spec"]["backendFramework"] == preset(name)["backend"]


def test_wide_expert_parallelism_reaches_the_engine() -> None:
    """32 ranks that keep their experts to themselves need eight times the memory, and do not start."""
    words = main(shipped("gb200-prod"), "decode")["args"]
    engine = json.loads(words[words.index("--override-engine-args") + 1])
    assert engine["moe_expert_parallel_size"] == 32 and engine["enable_attention_dp"] is True
    assert engine["moe_config"] == {"backend": "WIDEEP"}
    # The program's transport and the recipe's buffer are merged, not one instead of the other.
    assert engine["cache_transceiver_config"] == {"backend": "NIXL", "max_tokens_in_buffer": 4608}
    assert words[words.index("--tensor-parallel-size") + 1] == "32"


# --- expected pods -----------------------------------------------------------------------------------------------------


def test_pods_of_the_wide_preset() -> None:
    """72 GPUs on eighteen nodes: ten that prefill, one decode worker of eight; Grove's names, one gang."""
    pods = expected_pods(shipped("gb200-prod"))
    assert [item.name for item in pods if item.component == "decode"] == [
        "r1-wide-ep-0-decode-0-decode-ldr-0",
        *(f"r1-wide-ep-0-decode-0-decode-wkr-{number}" for number in range(7)),
    ]
    assert [item.name for item in pods if item.component == "prefill"] == [
        f"r1-wide-ep-0-prefill-{n}" for n in range(10)
    ]
    decode = [item for item in pods if item.component == "decode"]
    assert [item.rank for item in decode] == list(range(8)) and [item.leader for item in decode] == [True, *[False] * 7]
    assert {item.replica for item in decode} == {0}
    workers = [item for item in pods if item.type != "frontend"]
    assert {item.resource_claims for item in workers} == {("r1-wide-ep-channel",)}
    assert sum(int(item.requests["nvidia.com/gpu"]) for item in workers) == 72
    assert {item.gang for item in pods} == {"dynamo/r1-wide-ep"}
    assert {item.resource_claims for item in pods if item.type == "frontend"} == {()}


def test_pods_of_two_workers_of_several_nodes() -> None:
    """Each worker has a leader of its own, and each role the domain of its rack."""
    pods = expected_pods(shipped("gb200-pair"))
    decode = [item for item in pods if item.component == "decode"]
    assert [(item.replica, item.rank, item.index) for item in decode] == [
        (replica, rank, replica * 4 + rank) for replica in range(2) for rank in range(4)
    ]
    assert [item.name for item in decode if item.leader] == [f"glm-5-0-decode-{n}-decode-ldr-0" for n in range(2)]
    assert {(item.component, item.node_selector["dynamo-eks/ultraserver"], item.resource_claims) for item in pods} == {
        ("frontend", "rack-a", ()),
        ("prefill", "rack-b", ("glm-5-prefill-channel",)),
        ("decode", "rack-a", ("glm-5-decode-channel",)),
    }


@given(st.integers(0, 4), st.integers(1, 18), st.booleans())
def test_pods_of_any_worker(replicas: int, nodes: int, grove: bool) -> None:
    """Replicas times nodes, each with the whole request of its template: the operator multiplies GPUs by nodes, not pods."""
    graph = copy.deepcopy(made("sglang", "efa", "perGraph"))
    decode, grove = component(graph, "decode"), grove or nodes > 1  # without Grove a worker is one pod
    decode["replicas"] = replicas
    decode.pop("multinode")
    if nodes > 1:
        decode["multinode"] = {"nodeCount": nodes}
    if not grove:
        graph["metadata"]["annotations"]["nvidia.com/enable-grove"] = "false"
    pods = [item for item in expected_pods(graph) if item.component == "decode"]
    assert len(pods) == replicas * nodes == len({item.name for item in pods})
    assert sum(item.leader for item in pods) == replicas
    assert {item.requests["nvidia.com/gpu"] for item in pods} <= {"4"}
    assert {item.gang for item in pods} <= {"dynamo/chat" if grove else None}
    assert [item.index for item in pods] == list(range(replicas * nodes))


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), st.sampled_from([*ROLES, "worker"]),
       st.integers(1, 18))  # fmt: skip
def test_pod_names_are_labels(name: str, role: str, nodes: int) -> None:
    """Grove lets graph, group and clique have 45 characters; a pod's name has 63 with what is added to it."""
    for rank in range(nodes):
        assert len(pod_name(name, role, 9, rank, nodes, True)) + len("-xxxxx") <= 63
