"""Keys that go together or exclude each other, as an editor underlines them."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import pytest

from stacks.settings import schema
from tests.stacks.edited import ABSENT, changed, edited, told

C = "graphs.chat"
EXISTING = {
    "cluster": {"existing": {"kubeconfig": "~/.kube/config", "context": "kind"}},
    "capacity": ABSENT,
}
KIND = {
    **EXISTING,
    "storage": {"storageClass": "standard"},
    "graphs": {"chat": {"model": "qwen", "backend": "mocker", "transport": "none", "worker": {"gpus": 0}}},
}

MOCKER = {"model": "qwen", "backend": "mocker", "transport": "none", "worker": {"gpus": 0}}
PAIR = {"model": "qwen", "backend": "vllm", "placement": {"pool": "gpu"}, "prefill": {}, "decode": {}}
MOCKER_PAIR = {"model": "qwen", "backend": "mocker", "transport": "tcp", "prefill": {"gpus": 0}, "decode": {"gpus": 0}}
NLB = {"type": "nlb", "allowedCidrs": ["10.0.0.0/8"]}
RESERVED = {
    "families": ["g6e"],
    "reservations": [
        {
            "id": "cr-0123456789abcdef0",
            "instanceType": "g6e.2xlarge",
            "zone": "use1-az1",
            "count": 1,
            "kind": "onDemand",
        }
    ],
}

WRONG = [
    ("aggregated, with a transport", "ordinary", {f"{C}.transport": "tcp"}),
    ("an engine without GPUs", "ordinary", {f"{C}.worker.gpus": 0}),
    ("the mocker with GPUs", "ordinary", {f"{C}.backend": "mocker"}),
    ("nowhere to run", "ordinary", {f"{C}.placement": ABSENT}),
    ("a domain in a pool", "ordinary", {f"{C}.computeDomain": "perGraph"}),
    ("NVMe in a pool", "ordinary", {f"{C}.weights": "nvme"}),
    ("several nodes in a pool", "ordinary", {f"{C}.worker.nodes": 2}),
    ("public without a balancer", "ordinary", {f"{C}.exposure": {"scheme": "public"}}),
    ("a balancer for nobody", "ordinary", {f"{C}.exposure": {"type": "nlb"}}),
    ("huge pages without EFA", "ordinary", {f"{C}.worker.hugePagesMib": 1024}),
    ("no CPU", "ordinary", {f"{C}.worker.cpu": "0"}),
    ("no memory", "ordinary", {f"{C}.worker.memory": "0Gi"}),
    ("provisioned without a number", "ordinary", {"storage.efs": {"throughput": "provisioned"}}),
    ("a number without provisioned", "ordinary", {"storage.efs": {"provisionedMibps": 64}}),
    ("a pull secret of nobody", "ordinary", {"dynamo.imagePullSecret": {"username": "x"}}),
    ("a pull secret named twice", "ordinary", {"dynamo.imagePullSecret": {"existing": "a", "server": "nvcr.io"}}),
    ("a pool of nothing", "ordinary", {"capacity.pools.gpu.families": []}),
    ("reserved without reservations", "ordinary", {"capacity.pools.gpu.capacity": ["reserved"]}),
    ("a capacity twice", "ordinary", {"capacity.pools.gpu.capacity": ["spot", "spot"]}),
    ("a class beside EFS", "ordinary", {"storage.storageClass": "gp3"}),
    ("caches that one pod may mount", "ordinary", {"storage.accessMode": "ReadWriteOnce"}),
    ("no cache for models", "ordinary", {"storage.caches": ["perf-cache"]}),
    ("charts without racks", "ordinary", {"gpu": {"driverBranch": 580}}),
    ("Local Zones without racks", "ordinary", {"network.localZones": {"optIn": True}}),
    ("an old Kubernetes with racks", "gb200", {"cluster.version": "1.36"}),
    ("another driver with racks", "gb200", {"gpu.driverBranch": 570}),
    ("disaggregated, without a transport", "ordinary", {C: {**PAIR, "transport": "none"}}),
    ("NVLink in a pool", "ordinary", {C: {**PAIR, "transport": "nvlink"}}),
    ("data parallel of TensorRT-LLM", "ordinary", {f"{C}.backend": "trtllm", f"{C}.worker.dataParallel": 2}),
    ("data-parallel attention of vLLM", "ordinary", {f"{C}.worker.attentionDataParallel": True}),
    ("an engine's options for vLLM", "ordinary", {f"{C}.worker.engine": {"x": 1}}),
    ("the mocker in a pool", "ordinary", {C: {**MOCKER, "placement": {"pool": "gpu"}}}),
    ("the mocker on a rack", "gb200", {"graphs.wide": {**MOCKER, "model": "r1", "placement": {"ultraServer": "rack-a"}}}),
    ("the mocker on a type", "ordinary", {C: {**MOCKER, "placement": {"instanceType": "g6e.2xlarge"}}}),
    ("the mocker with GPUs, nowhere", "ordinary", {C: {**MOCKER, "worker": {"gpus": 1}}}),
    ("the mocker with GPUs by default", "ordinary", {C: {**MOCKER, "worker": {}}}),
    ("two roles of the mocker over EFA", "ordinary", {C: {**MOCKER_PAIR, "transport": "efa"}}),
    ("a GPU for the mocker's prefill", "ordinary", {C: {**MOCKER_PAIR, "prefill": {"gpus": 1}}}),
    ("public, and said to be inside", "ordinary", {f"{C}.exposure": {**NLB, "scheme": "public", "type": "clusterIP"}}),
    ("a balancer for an empty list", "ordinary", {f"{C}.exposure": {"type": "nlb", "allowedCidrs": []}}),
    ("provisioned nothing", "ordinary", {"storage.efs": {"throughput": "provisioned", "provisionedMibps": None}}),
    ("a number for bursting", "ordinary", {"storage.efs": {"throughput": "bursting", "provisionedMibps": 64}}),
    ("reserved from an empty list", "ordinary", {"capacity.pools.gpu": {**RESERVED, "capacity": ["reserved"], "reservations": []}}),
    ("an existing cluster and a sound pool", "ordinary", {**KIND, "capacity": {"pools": {"x": {"families": ["g6e"], "capacity": ["spot"]}}}}),
    ("the mocker over EFA", "ordinary", {C: {**MOCKER, "transport": "efa"}}),
    ("reservations that come second", "ordinary", {"capacity.pools.gpu": {**RESERVED, "capacity": ["on-demand", "reserved"]}}),
    ("reservations that nothing draws on", "ordinary", {"capacity.pools.gpu": {**RESERVED, "capacity": ["on-demand"]}}),
    ("a rack and a pool", "gb200", {"graphs.wide.placement.pool": "gpu"}),
    ("a rack, reserved only", "gb200", {"graphs.wide.placement.reservedOnly": True}),
    ("any rack, and a role's own", "gb200", {"graphs.wide.placement": {"anyUltraServer": True}, "graphs.wide.decode.ultraServer": "rack-a"}),
    ("a rack and a type", "gb200", {"graphs.wide.placement.instanceType": "p6e-gb200.36xlarge"}),
    ("a rack and a zone", "gb200", {"graphs.wide.placement.zone": "use1-az1"}),
    ("a rack and any rack", "gb200", {"graphs.wide.placement.anyUltraServer": True, "graphs.wide.placement.ultraServer": "rack-a"}),
    ("TCP on a rack", "gb200", {"graphs.wide.transport": "tcp"}),
    ("an existing cluster and capacity", "ordinary", {**KIND, "capacity": {"pools": {"x": {"families": ["g6e"]}}}}),
    ("an existing cluster with logs", "ordinary", {**KIND, "cluster": {**EXISTING["cluster"], "logs": []}}),
    ("an existing cluster and EFS", "ordinary", {**KIND, "storage": {"storageClass": "standard", "efs": {}}}),
    ("an existing cluster without a class", "ordinary", {**KIND, "storage": {}}),
    ("an existing cluster and a profile", "ordinary", {**KIND, "aws:profile": "p"}),
    ("an existing cluster and an account", "ordinary", {**KIND, "account": "210987654321"}),
    ("an existing cluster and a role", "ordinary", {**KIND, "aws:assumeRoles": [{"roleArn": "arn:aws:iam::210987654321:role/x"}]}),
    ("an existing cluster and accounts", "ordinary", {**KIND, "aws:allowedAccountIds": ["210987654321"]}),
    ("an existing cluster and a network", "ordinary", {**KIND, "network": {"nat": "single"}}),
    ("an existing cluster and charts", "ordinary", {**KIND, "gpu": {"driverBranch": 580}}),
]  # fmt: skip


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def underlined(config: dict[str, Any]) -> list[str]:
    return [error.message[:200] for error in _validator().iter_errors({"config": config})]


@pytest.mark.parametrize(("stack", "changes"), [pytest.param(*row, id=name) for name, *row in WRONG])
def test_what_excludes_each_other_is_underlined(stack: str, changes: dict[str, Any]) -> None:
    """Told by the plan alone, it is found a minute later, and by whoever plans."""
    assert told(stack, changes), "the reader takes it"
    assert underlined(edited(stack, changes))


@pytest.mark.parametrize("spelling", ["cluster", "dynamo-eks:config:cluster"])
def test_a_section_spelled_another_way_may_say_anything(spelling: str) -> None:
    """The engine reads `cluster` as well, and what stands there is not described: nothing may be concluded from its absence."""
    config = edited("ordinary", KIND)
    config[spelling] = config.pop("dynamo-eks:cluster")
    assert underlined(config) == []
    racks = edited("gb200", {})
    racks[spelling.replace("cluster", "capacity")] = racks.pop("dynamo-eks:capacity")
    assert underlined(racks) == []


def test_what_is_right_is_not() -> None:
    """An editor that underlines what is right teaches people to ignore it."""
    limit = {"capacity.pools.gpu.gpuLimit": 8}
    for right in (
        KIND,
        {**limit, C: MOCKER},
        {**limit, C: MOCKER_PAIR},
        {C: {**PAIR, "transport": "tcp"}},
        {f"{C}.exposure": NLB},
        {
            f"{C}.backend": "sglang",
            f"{C}.worker": {"gpus": 1, "attentionDataParallel": True},
        },
    ):
        assert told("ordinary", right) == [] and underlined(edited("ordinary", right)) == []
    for stack in ("ordinary", "gb200"):
        assert underlined(changed(edited(stack, {}), {})) == []
