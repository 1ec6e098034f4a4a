"""Rules between keys for UltraServers: what is told of each edit of a happy file, and the edit beside it that is good."""

from __future__ import annotations

from typing import Any

import pytest

from components.capacity import network_cards
from components.network.zones import REGION_ZONES
from tests.stacks.edited import ABSENT, Changes, rows, told

REGIONS = ", ".join(sorted(REGION_ZONES))
A, B, W = "capacity.ultraServers.rack-a", "capacity.ultraServers.rack-b", "graphs.wide"
"""The rack of the happy file, one beside it, and the graph on the first."""
HALF = "u-p6e-gb200x36"
ANY = {"anyUltraServer": True}
NONE = {f"{W}.computeDomain": "none", f"{W}.transport": "efa"}


def rack(**changes: Any) -> dict[str, Any]:
    """A second rack."""
    window = {"start": "2026-12-01T11:30:00Z", "end": "2026-12-08T11:30:00Z"}
    block = {"reservation": "cr-0fedcba9876543211", "type": "u-p6e-gb200x72", "zone": "use1-dfw2-az1"}
    return {**block, **window, **changes}


def whole(**changes: Any) -> dict[str, Any]:
    """A role whose pods each take a node."""
    return {"gpus": 4, "tensorParallel": 4, **changes}


def load(nodes: int, domain: str = "none", **where: Any) -> dict[str, Any]:
    """A graph that takes so many nodes, on rack-a unless it says where."""
    place = where or {"ultraServer": "rack-a"}
    graph = {"model": "r1", "backend": "trtllm", "transport": "none", "computeDomain": domain, "placement": place}
    return {**graph, "worker": whole(replicas=nodes)}


def only(**graphs: Any) -> dict[str, Any]:
    """No graphs but these."""
    return {"graphs": graphs}


def roles(prefill: dict[str, Any], decode: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A graph of two roles on rack-a."""
    graph = {"model": "r1", "backend": "trtllm", "transport": "nvlink", "computeDomain": "perGraph"}
    return {**graph, "placement": {"ultraServer": "rack-a"}, "prefill": prefill, "decode": decode, **changes}


# --- windows ----------------------------------------------------------------------------------------------------------

WINDOWS = [
    ("a block that ends as it starts", {A + ".start": "2026-12-08T11:30:00Z"}, "capacity.ultraServers.rack-a.start | given 2026-12-08T11:30:00Z | expected a moment before end, 2026-12-08T11:30:00Z"),
    ("182 days", {A + ".start": "2026-06-09T11:30:00Z"}),
    ("183 days", {A + ".start": "2026-06-08T11:30:00Z"}),
    ("183 days and a minute", {A + ".start": "2026-06-08T11:29:00Z"}, "capacity.ultraServers.rack-a.end | given 2026-12-08T11:30:00Z | expected at most 182 days after start, the longest that a block can be"),
]  # fmt: skip


@rows(WINDOWS)
def test_windows(changes: Changes, faults: list[str]) -> None:
    """A block that is refused though it is good is paid for and not used; of a wrong one the same."""
    assert told("gb200", changes) == faults


# --- images -----------------------------------------------------------------------------------------------------------

IMAGES = [
    ("the first with driver 580", {A + ".amiRelease": "1.35.1-20251103"}),
    ("of the day before", {A + ".amiRelease": "1.35.1-20251102"}, 'capacity.ultraServers.rack-a.amiRelease | given "1.35.1-20251102" | expected a release of 20251103 or later, the first with driver 580 for P6e-GB200 | fix leave the key out for 1.35.7-20260911, the one that is pinned'),
    ("of a cluster that is wrong", {A + ".amiRelease": "1.34.1-20251102", "cluster.version": "1"}, 'cluster.version | given "1" | expected a Kubernetes version in quotes, such as "1.35"'),
    ("of a cluster too old", {A + ".amiRelease": "1.34.1-20251102", "cluster.version": "1.30"}, 'cluster.version | given "1.30" | expected one of 1.34, 1.35, 1.36'),
]  # fmt: skip


@rows(IMAGES)
def test_images(changes: Changes, faults: list[str]) -> None:
    """Nodes with a driver before 580 join a rack whose NVLink they cannot use."""
    assert told("gb200", changes) == faults


# --- networks ---------------------------------------------------------------------------------------------------------

NETWORKS = [
    ("a zone, where the region is missing", {"aws:region": ABSENT, A + ".zone": "usw2-lax1-az1"}, "aws:region | expected a region; the key is required | add | config: | aws:region: us-east-1"),
    ("zones, where the region is misspelt", {"aws:region": "us-eastt-1", "network.localZones.natZone": "use1-az6", "network.zones": 3}, f"aws:region | given \"us-eastt-1\" | expected one of {REGIONS}; did you mean us-east-1?"),
    ("out through any zone's gateway", {"network.localZones.natZone": "use1-az5"}),
    ("out through the only gateway", {"network.localZones.natZone": "use1-az4", "network.nat": "single"}),
    ("out through the only gateway, unnamed", {"network.nat": "single"}),
    ("a range that begins in the middle of a larger one", {"network.cidr": "10.96.16.0/20"}, 'network.cidr | given "10.96.16.0/20" | expected a larger range: 18 UltraServer nodes take 450 addresses, and their subnet in use1-dfw2-az1 would be 10.96.31.0/26 with room for 2 | fix take a /17 before the VPC exists; afterwards it cannot change'),
    ("no rack and no network.localZones", {"network.localZones": ABSENT, "capacity": ABSENT, "graphs": ABSENT, "models": ABSENT}),
    ("two racks in one subnet", {B: rack(), "network.cidr": "10.96.0.0/17"}, 'network.cidr | given "10.96.0.0/17" | expected a larger range: 36 UltraServer nodes take 900 addresses, and their subnet in use1-dfw2-az1 would be 10.96.120.0/23 with room for 20 | fix take a /16 before the VPC exists; afterwards it cannot change'),
]  # fmt: skip


@rows(NETWORKS)
def test_networks(changes: Changes, faults: list[str]) -> None:
    """A subnet too small, or a NAT gateway that is nowhere, is found when the block's nodes start."""
    assert told("gb200", changes) == faults


# --- charts -----------------------------------------------------------------------------------------------------------

CHARTS = [
    ("the driver branch before", {"gpu.driverBranch": 579}, "gpu.driverBranch | given 579 | expected 580: P6e-GB200 runs on none older (EKS User Guide, P6e-GB200)"),
    ("the driver branch after", {"gpu.driverBranch": 581}, "gpu.driverBranch | given 581 | expected 580: later branches lack the topology override that EFA needs on P6e, and NCCL aborts (NVIDIA/aicr #2383)"),
    ("three versions that nobody knows", {"gpu.operator.version": "26.3.4", "gpu.draDriver.version": "0.4.2", "gpu.efaPlugin.version": "0.5.29"}, 'gpu.draDriver.version | given "0.4.2" | expected one of 0.4.1, 25.12.0', 'gpu.efaPlugin.version | given "0.5.29" | expected one of 0.5.30', 'gpu.operator.version | given "26.3.4" | expected one of 26.3.3, 26.7.0'),
    ("a value without its keys, and a version", {"gpu.operator.values.daemonsets": "all", "gpu.efaPlugin.version": "0.5.29"}, 'gpu.efaPlugin.version | given "0.5.29" | expected one of 0.5.30', 'gpu.operator.values.daemonsets | given "all" | expected keys and values, as the chart has there'),
    ("a value without its keys, after good ones", {"gpu.operator.values": {"podSecurity": True, "toolkit": {"enabled": False}, "dcgmExporter": {"serviceMonitor": True, "enabled": False}}}, "gpu.operator.values.dcgmExporter.serviceMonitor | given true | expected keys and values, as the chart has there"),
    ("a null that takes the chart's default away", {"gpu.operator.values": {"devicePlugin": None}}, "gpu.operator.values.devicePlugin.enabled | given null | expected true: nothing else serves GPUs, as DRA serves ComputeDomains only"),
    ("a value of 26.7 without its keys", {"gpu.operator": {"version": "26.7.0", "values": {"gpuCluster": True}}}, "gpu.operator.values.gpuCluster | given true | expected keys and values, as the chart has there"),
    ("the same key where the program sets none", {"gpu.operator": {"version": "26.3.3", "values": {"gpuCluster": False}}}),
    ("a value of the EFA plugin without its keys", {"gpu.efaPlugin.values.nodeSelector": "rack-a"}, 'gpu.efaPlugin.values.nodeSelector | given "rack-a" | expected keys and values, as the chart has there'),
    ("charts, where the cluster cannot be read", {"cluster.version": "1"}, 'cluster.version | given "1" | expected a Kubernetes version in quotes, such as "1.35"'),
]  # fmt: skip


@rows(CHARTS)
def test_charts(changes: Changes, faults: list[str]) -> None:
    """A chart's value that contradicts the rest breaks NVLink or EFA on a rack that is running."""
    assert told("gb200", changes) == faults


# --- graphs one by one ------------------------------------------------------------------------------------------------

GRAPHS = [
    ("a graph beside a rack of unknown cards", {A + ".instanceType": "p6e-gb300.36xlarge", B: rack(), W + ".placement.ultraServer": "rack-b", W + ".prefill": {"gpus": 5, "tensorParallel": 5}}, "capacity.ultraServers.rack-a.instanceType | given \"p6e-gb300.36xlarge\" | expected a type whose network cards are known: p6e-gb200.36xlarge; did you mean p6e-gb200.36xlarge? | fix a wrong card costs the block; add the type's layout with its source to components/capacity/network_cards.py", "graphs.wide.prefill.gpus | given 5 | expected at most 4, what a p6e-gb200.36xlarge has"),
    ("a graph beside a rack that is drained at once", {A + ".start": "2026-12-08T10:30:00Z", B: rack(), W + ".placement.ultraServer": "rack-b", W + ".prefill": {"gpus": 5, "tensorParallel": 5}}, "capacity.ultraServers.rack-a.drainMinutes | given 90 | expected fewer than the 60 minutes that the block is long, or nothing could run on it", "graphs.wide.prefill.gpus | given 5 | expected at most 4, what a p6e-gb200.36xlarge has"),
    ("too much, beside a graph that cannot be read", {"graphs.more": {"preset": "x"}, W + ".prefill.replicas": 11}, "graphs.more.model | expected a value; the key is required | add | dynamo-eks:graphs: | more: | model: qwen3-32b", 'graphs.more.preset | given "x" | expected one of deepseek-r1-wide-ep, glm-5-efa'),
    ("too much, beside a rack that cannot be read", {B: rack(type="x"), W + ".prefill.replicas": 11}, 'capacity.ultraServers.rack-b.type | given "x" | expected one of u-p6e-gb200x36, u-p6e-gb200x72'),
    ("a domain of a mocker, which runs elsewhere", {"graphs.fake": {"model": "r1", "backend": "mocker", "transport": "none", "computeDomain": "perGraph", "worker": {"gpus": 0}}}, 'graphs.fake.computeDomain | given "perGraph" | expected none: EKS Auto Mode has no DRA, and its machines no NVLink across nodes | fix place the graph on an UltraServer: placement: {ultraServer: rack-a}'),
    ("each role as large as its rack", {B: rack(type=HALF), W + ".transport": "efa", W + ".computeDomain": "perRole", W + ".placement": {}, W + ".prefill": whole(ultraServer="rack-b"), W + ".decode": whole(nodes=16, tensorParallel=64, ultraServer="rack-a")}),
    ("a role larger than its rack", {B: rack(type=HALF), W + ".transport": "efa", W + ".computeDomain": "perRole", W + ".placement": {}, W + ".prefill": whole(ultraServer="rack-a"), W + ".decode": whole(nodes=16, tensorParallel=64, ultraServer="rack-b")}, "graphs.wide.decode.nodes | given 16 | expected at most 9, what UltraServer rack-b has"),
    ("data parallel in TensorRT-LLM", {W + ".prefill": {"gpus": 4, "tensorParallel": 2, "dataParallel": 2}}, "graphs.wide.prefill.dataParallel | given 2 | expected 1: TensorRT-LLM has data-parallel attention only, over all of tensorParallel (attentionDataParallel: true)"),
    ("engine options of both roles", {W + ".backend": "sglang", W + ".prefill.engine": {"x": 1}, W + ".decode.engine": {"x": 1}}, 'graphs.wide.decode.engine | given {"x": 1} | expected nothing: sglang takes extraArgs', 'graphs.wide.prefill.engine | given {"x": 1} | expected nothing: sglang takes extraArgs'),
    ("a graph without roles", only(wide={"model": "r1", "backend": "trtllm", "transport": "none", "placement": ANY}), "graphs.wide | given [] | expected either worker (aggregated) or both prefill and decode (disaggregated)", "graphs.wide.computeDomain | expected perGraph, perRole, groveAuto or none, always stated on an UltraServer; the key is required | add | dynamo-eks:graphs: | wide: | computeDomain: perGraph"),
    ("a name as long as Grove lets it be", {W: ABSENT, "graphs." + "a" * 27: roles(whole(), whole(nodes=2, tensorParallel=8))}),
    ("a name one longer", {W: ABSENT, "graphs." + "a" * 28: roles(whole(), whole(nodes=2, tensorParallel=8))}, 'graphs.aaaaaaaaaaaaaaaaaaaaaaaaaaaa | given "aaaaaaaaaaaaaaaaaaaaaaaaaaaa" | expected a name of at most 27 characters: the names of graph, scaling group and clique may have 45 together in Grove, and the role stands there twice (7 characters each) with `-ldr`'),
    ("a longer name without Grove", {W: ABSENT, "graphs." + "a" * 37: roles(whole(), whole())}),
    ("a rack of one role, where there is none", {"capacity": ABSENT, "network.localZones": ABSENT, W + ".placement": {}, W + ".decode.ultraServer": "rack-z"}, 'graphs.wide.decode.ultraServer | given "rack-z" | expected an UltraServer of capacity: (none is defined)', "graphs.wide.prefill.ultraServer | expected the UltraServer of this role too; the key is required | add | dynamo-eks:graphs: | wide: | prefill: {ultraServer: rack-a}"),
    ("racks unlike in what they set aside", {B: rack(hugePagesMib=2048), W + ".transport": "efa", W + ".computeDomain": "perRole", W + ".prefill.ultraServer": "rack-b"}, "graphs.wide.prefill.ultraServer | given \"rack-b\" | expected an UltraServer like the other role's, since a graph's workers are sized for one machine; hugePagesMib is 2048 on rack-b, 0 on rack-a | fix make the two alike"),
    ("Grove's domain across racks", {B: rack(), W + ".transport": "efa", W + ".computeDomain": "groveAuto", W + ".prefill.ultraServer": "rack-b"}, 'graphs.wide.computeDomain | given "groveAuto" | expected perRole: its roles are on different UltraServers, and no domain spans two'),
    ("a domain of the only role", only(one=load(2, "perRole"))),
    ("no domain for roles of two nodes", {**NONE, W + ".prefill": whole(nodes=2, tensorParallel=8), W + ".decode": whole(nodes=2, tensorParallel=8)}, 'graphs.wide.computeDomain | given "none" | expected perGraph: the nodes of prefill and decode would talk over the network instead of NVLink'),
    ("no domain for one node without experts", {**NONE, W + ".prefill": whole(), W + ".decode": whole()}),
    ("no domain for experts in one node", {**NONE, W + ".prefill": whole(expertParallel=2), W + ".decode": whole()}, 'graphs.wide.computeDomain | given "none" | expected perGraph: TensorRT-LLM spreads experts (prefill) through a domain even inside one node (dynamo #6364)'),
    ("no domain for experts of vLLM", {**NONE, W + ".backend": "vllm", W + ".prefill": whole(expertParallel=4), W + ".decode": whole()}),
    ("five GPUs of four", {W + ".prefill": {"gpus": 5, "tensorParallel": 5}}, "graphs.wide.prefill.gpus | given 5 | expected at most 4, what a p6e-gb200.36xlarge has"),
    ("eight GPUs of four", {W + ".prefill": {"gpus": 8, "tensorParallel": 8}}, "graphs.wide.prefill.gpus | given 8 | expected at most 4, what a p6e-gb200.36xlarge has | fix spread each worker over nodes: nodes: 2, gpus: 4"),
    ("eight GPUs of four, and pages", {W + ".transport": "efa", A + ".hugePagesMib": 1024, W + ".prefill": {"gpus": 8, "tensorParallel": 8, "hugePagesMib": 1024}}, "graphs.wide.prefill.gpus | given 8 | expected at most 4, what a p6e-gb200.36xlarge has | fix spread each worker over nodes: nodes: 2, gpus: 4"),
    ("a worker as large as its rack", {A + ".type": HALF, W + ".prefill.replicas": 0, W + ".decode": whole(nodes=9, tensorParallel=36)}),
    ("as many pages as the pods of a node share", {**NONE, A + ".hugePagesMib": 4096, W + ".prefill": {"gpus": 1, "efa": 1, "hugePagesMib": 1024}, W + ".decode": whole()}),
    ("a page more", {**NONE, A + ".hugePagesMib": 4096, W + ".prefill": {"gpus": 1, "efa": 1, "hugePagesMib": 1026}, W + ".decode": whole()}, "graphs.wide.prefill.hugePagesMib | given 1026 | expected at most 1024: a node of rack-a sets 4096 aside (its hugePagesMib, shared by 4 pods) | fix raise capacity.ultraServers.rack-a.hugePagesMib to 4104, which replaces the nodes"),
    ("more pages than any rack sets aside", {A + ".hugePagesMib": 4096, B: rack(type=HALF, hugePagesMib=4096), W + ".transport": "efa", W + ".placement": ANY, W + ".prefill": whole(hugePagesMib=4098)}, "graphs.wide.prefill.hugePagesMib | given 4098 | expected at most 4096: a node of rack-a sets 4096 aside (its hugePagesMib) | fix raise capacity.ultraServers.rack-a.hugePagesMib to 4098, which replaces the nodes"),
    ("as many interfaces as the other layout has", {W + ".transport": "efa", W + ".prefill.efa": 8}, "graphs.wide.prefill.efa | given 8 | expected at most 4, what a node has with efaInterfaces: 4 | fix leave the key out to take all of them, or set efaInterfaces: 8 on the UltraServer"),
    ("all interfaces", {W + ".transport": "efa", A + ".efaInterfaces": 8, W + ".prefill.efa": 8}),
    ("more than half of the interfaces for half a node", {**NONE, W + ".prefill": {"gpus": 2, "tensorParallel": 2, "efa": 3}, W + ".decode": whole()}, "graphs.wide.prefill.efa | given 3 | expected at most 2: a pod with 2 of a node's 4 GPUs and 3 of its 4 EFA interfaces leaves 2 GPUs that no pod can use | fix better, take whole nodes with gpus: 4; part of a node's EFA can break the KV transfer"),
    ("half of the interfaces for half a node", {**NONE, W + ".prefill": {"gpus": 2, "tensorParallel": 2, "efa": 2}, W + ".decode": whole()}),
    ("a worker as large as the larger of any rack", {A + ".type": HALF, B: rack(), W + ".placement": ANY, W + ".prefill": whole(), W + ".decode": whole(nodes=10, tensorParallel=40)}),
    ("a worker larger than any rack", {A + ".type": HALF, W + ".placement": ANY, W + ".prefill": whole(), W + ".decode": whole(nodes=10, tensorParallel=40)}, "graphs.wide.decode.nodes | given 10 | expected at most 9, what UltraServer rack-a has"),
]  # fmt: skip


@rows(GRAPHS)
def test_graphs(changes: Changes, faults: list[str]) -> None:
    """A worker that cannot run on its rack stays Pending for hours that are paid for."""
    assert told("gb200", changes) == faults


# --- graphs together --------------------------------------------------------------------------------------------------

ROOM = [
    ("workers of two nodes", {W + ".prefill.replicas": 1, W + ".decode": whole(replicas=9, nodes=2, tensorParallel=8)}, 'capacity.ultraServers.rack-a.type | given "u-p6e-gb200x72" | expected graphs that fit its 18 nodes (72 GPUs); they ask for 19 nodes (76 GPUs): wide.prefill 1, wide.decode 18 | fix lower replicas or nodes, or place a role or a graph on another UltraServer'),
    ("all nodes", only(one=load(18))),
    ("half nodes, one too many", only(one={**load(1), "worker": {"replicas": 37, "gpus": 2, "tensorParallel": 2}}), 'capacity.ultraServers.rack-a.type | given "u-p6e-gb200x72" | expected graphs that fit its 18 nodes (72 GPUs); they ask for 19 nodes (76 GPUs): one.worker 19 | fix lower replicas or nodes, or place a role or a graph on another UltraServer'),
    ("half nodes", only(one={**load(1), "worker": {"replicas": 36, "gpus": 2, "tensorParallel": 2}})),
    ("one of any, before one that is named", only(any=load(18, **ANY), one=load(19)), 'capacity.ultraServers.rack-a.type | given "u-p6e-gb200x72" | expected graphs that fit its 18 nodes (72 GPUs); they ask for 19 nodes (76 GPUs): one.worker 19 | fix lower replicas or nodes, or place a role or a graph on another UltraServer', "graphs.any.placement.anyUltraServer | given true | expected an UltraServer with 18 free nodes for the whole graph; rack-a has 0 | fix lower replicas or nodes, or add an UltraServer"),
    ("one of any, beside two that are named", {**only(any=load(10, **ANY), one=load(19), two=load(10, "perGraph", ultraServer="rack-b")), B: rack()}, 'capacity.ultraServers.rack-a.type | given "u-p6e-gb200x72" | expected graphs that fit its 18 nodes (72 GPUs); they ask for 19 nodes (76 GPUs): one.worker 19 | fix lower replicas or nodes, or place a role or a graph on another UltraServer', "graphs.any.placement.anyUltraServer | given true | expected an UltraServer with 10 free nodes for the whole graph; rack-a has 0, rack-b has 8 and the domain of two | fix lower replicas or nodes, or add an UltraServer"),
    ("one without a domain, and two with", only(one=load(4), two=load(4, "perGraph"), three=load(4, "perGraph")), 'graphs.three.placement.ultraServer | given "rack-a" | expected another UltraServer: graph two has a ComputeDomain on rack-a, and two domains in one NVLink clique cannot both map memory (NVIDIA DRA driver #892) | fix place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node'),
    ("a domain beside one, named by a role", {"graphs.more": {**load(1, "perGraph"), "placement": {}, "worker": whole(ultraServer="rack-a")}, W + ".prefill.replicas": 1}, 'graphs.more.worker.ultraServer | given "rack-a" | expected another UltraServer: graph wide has a ComputeDomain on rack-a, and two domains in one NVLink clique cannot both map memory (NVIDIA DRA driver #892) | fix place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node'),
    ("a domain beside one, named twice", {"graphs.more": roles(whole(ultraServer="rack-a"), whole()), W + ".prefill.replicas": 1}, 'graphs.more.prefill.ultraServer | given "rack-a" | expected another UltraServer: graph wide has a ComputeDomain on rack-a, and two domains in one NVLink clique cannot both map memory (NVIDIA DRA driver #892) | fix place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node'),
    ("a domain beside one, on two racks", {B: rack(), "graphs.more": roles(whole(ultraServer="rack-b"), whole(), transport="efa", computeDomain="perRole"), W + ".prefill.replicas": 1}, 'graphs.more.placement.ultraServer | given "rack-a" | expected another UltraServer: graph wide has a ComputeDomain on rack-a, and two domains in one NVLink clique cannot both map memory (NVIDIA DRA driver #892) | fix place one of them elsewhere, or set computeDomain: none on one whose workers each fit a node'),
    ("the largest first", {**only(a=load(8, **ANY), b=load(10, **ANY), c=load(9, **ANY)), A + ".type": HALF, B: rack()}),
    ("a rack for each domain", {**only(a=load(9, "perGraph", **ANY), b=load(9, "perGraph", **ANY)), B: rack(type=HALF)}),
    ("the large rack is kept for the large graph", {**only(a=load(9, **ANY), b=load(18, **ANY)), B: rack(type=HALF)}),
    ("gangs that choose a rack each", {**only(one={**load(1, "perGraph", **ANY), "worker": whole(replicas=2, nodes=2, tensorParallel=8)}), B: rack()}, "graphs.one.worker.replicas | given 2 | expected 1 with anyUltraServer: of workers of 2 nodes each further one is a gang of its own, which chooses an UltraServer for itself | fix name the UltraServer: placement: {ultraServer: …}, or take one worker of more nodes"),
    ("gangs that have one rack to choose", only(one={**load(1, "perGraph", **ANY), "worker": whole(replicas=2, nodes=2, tensorParallel=8)})),
    ("one gang of several nodes, and two racks", {**only(one={**load(1, "perGraph", **ANY), "worker": whole(replicas=1, nodes=2, tensorParallel=8)}), B: rack()}),
    ("gangs on a rack that is named", {**only(one={**load(1, "perGraph"), "worker": whole(replicas=2, nodes=2, tensorParallel=8)}), B: rack()}),
    ("a domain more than racks", {**only(a=load(2, "perGraph", **ANY), b=load(1, "perGraph", **ANY), c=load(1, "perGraph", **ANY)), B: rack(type=HALF)}, "graphs.c.placement.anyUltraServer | given true | expected an UltraServer with 1 free nodes and no domain yet for the whole graph; rack-a has 17 and the domain of b, rack-b has 7 and the domain of a | fix lower replicas or nodes, or add an UltraServer"),
    ("only domains keep apart", {**only(a=load(2, **ANY), b=load(1, **ANY), c=load(1, "perGraph", **ANY), d=load(1, "perGraph", ultraServer="rack-b")), B: rack(type=HALF)}),
    ("two larger than any rack", {**only(a=load(19, **ANY), b=load(20, **ANY))}, "graphs.a.placement.anyUltraServer | given true | expected an UltraServer with 19 free nodes for the whole graph; rack-a has 18 | fix lower replicas or nodes; no UltraServer has more than 18 nodes", "graphs.b.placement.anyUltraServer | given true | expected an UltraServer with 20 free nodes for the whole graph; rack-a has 18 | fix lower replicas or nodes; no UltraServer has more than 18 nodes"),
    ("a whole rack, where none is free", {**only(a=load(18, **ANY), b=load(1))}, "graphs.a.placement.anyUltraServer | given true | expected an UltraServer with 18 free nodes for the whole graph; rack-a has 17 | fix lower replicas or nodes, or add an UltraServer"),
    ("two that do not fit one rack", {**only(a=load(10, **ANY), b=load(9, **ANY))}, "graphs.b.placement.anyUltraServer | given true | expected an UltraServer with 9 free nodes for the whole graph; rack-a has 8 | fix lower replicas or nodes, or add an UltraServer"),
    ("too much, beside a rack whose window is wrong", {**only(a=load(19, **ANY)), B: rack(start="2026-12-08T11:30:00Z")}, "capacity.ultraServers.rack-b.start | given 2026-12-08T11:30:00Z | expected a moment before end, 2026-12-08T11:30:00Z"),
]  # fmt: skip


@rows(ROOM)
def test_room(changes: Changes, faults: list[str]) -> None:
    """Graphs that do not fit their racks together start in part, and the rest waits until the block ends."""
    assert told("gb200", changes) == faults


def test_unlike_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers sized for one machine would be Pending on the other."""
    monkeypatch.setattr(network_cards, "CARDS", {**network_cards.CARDS, "g6e.48xlarge": {4: None}})
    changes = {B: rack(instanceType="g6e.48xlarge"), f"{W}.placement": ANY}
    assert told("gb200", changes) == [
        "graphs.wide.placement.anyUltraServer | given true | expected UltraServers that are alike, since its workers are sized for one machine; instanceType is p6e-gb200.36xlarge on rack-a, g6e.48xlarge on rack-b | fix make them alike, or name one: placement: {ultraServer: …}"
    ]


def over_nvlink(*words: str) -> Changes:
    vllm = {"model": "r1", "backend": "vllm", "transport": "nvlink", "computeDomain": "perGraph"}
    return {
        W: {**vllm, "placement": {"ultraServer": "rack-a"}, "prefill": whole(), "decode": whole(extraArgs=list(words))}
    }


CUMEM = "graphs.wide.decode.extraArgs[0] | given {} | expected the key transport instead of --no-enable-cumem-allocator"


@rows(
    [
        ("as the program writes it", over_nvlink()),
        ("said once more", over_nvlink("--enable-cumem-allocator")),
        ("taken back", over_nvlink("--no-enable-cumem-allocator"), CUMEM.format('"--no-enable-cumem-allocator"')),
        ("taken back, spelled otherwise", over_nvlink("--no_enable_cumem"), CUMEM.format('"--no_enable_cumem"')),
        ("over EFA", {**over_nvlink("--no-enable-cumem-allocator"), f"{W}.transport": "efa"}),
    ]
)
def test_memory_that_nvlink_reaches(changes: Changes, faults: list[str]) -> None:
    """Taken back behind the program, the plan would call it a fault of the program, and blocks would go over TCP."""
    assert told("gb200", changes) == faults
