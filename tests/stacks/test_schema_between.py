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
    ("a rack and a type", "gb200", {"graphs.wide.placement.instanceType": "p6e-gb200.36xlarge"}),
    ("a rack and a zone", "gb200", {"graphs.wide.placement.zone": "use1-az1"}),
    ("a rack and any rack", "gb200", {"graphs.wide.placement.anyUltraServer": True, "graphs.wide.placement.ultraServer": "rack-a"}),
    ("TCP on a rack", "gb200", {"graphs.wide.transport": "tcp"}),
    ("an existing cluster and capacity", "ordinary", {**KIND, "capacity": {"pools": {"x": {"families": ["g6e"]}}}}),
    ("an existing cluster with logs", "ordinary", {**KIND, "cluster": {**EXISTING["cluster"], "logs": []}}),
    ("an existing cluster and EFS", "ordinary", {**KIND, "storage": {"storageClass": "standard", "efs": {}}}),
    ("an existing cluster without a class", "ordinary", {**KIND, "storage": {}}),
    ("an existing cluster and a profile", "ordinary", {**KIND, "aws:profile": "p"}),
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


def test_what_is_right_is_not() -> None:
    """An editor that underlines what is right teaches people to ignore it."""
    assert told("ordinary", KIND) == [] and underlined(edited("ordinary", KIND)) == []
    for stack in ("ordinary", "gb200"):
        assert underlined(changed(edited(stack, {}), {})) == []
