"""Rules about UltraServers: their launch templates, node groups, windows, the GPU stack on them and the graphs there."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from components import catalog
from components.capacity import network_cards
from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL, RACK_MARK, TYPES
from components.capacity.window import ULTRASERVER_RECLAIM, Phase, moment
from components.dynamo.compute_domain import GROVE_GROUP
from components.dynamo.expected_pods import ExpectedPod, expected_pods, fits
from components.gpu.values import contradictions
from components.network.cidr import room
from components.scheduling import gang
from components.validation.ladder_objects import LABEL as VERIFICATION_LABEL
from recording.graph import UNKNOWN, Graph, KubernetesObject, Node
from recording.racks import SeenRack, domain_pods, empty_node, gpus, huge_pages_mib, layout, rack_pods, racks
from rules.model import Finding, Looked, rule
from rules.objects import chart_of

ADDON = "aws:eks/addon:Addon"
SUBNET = "aws:ec2/subnet:Subnet"
MANAGED_NODE_ADDONS = frozenset(
    {"vpc-cni", "kube-proxy", "eks-pod-identity-agent", "eks-node-monitoring-agent", "coredns"}
)
DRA_CHARTS = frozenset({"dra-driver-nvidia-gpu", "nvidia-dra-driver-gpu"})
CRD_SWITCHES: Mapping[str, tuple[str, bool]] = {
    "grove": ("crdInstaller.enabled", False),
    gang.SCHEDULER: ("", True),
    "gpu-operator": ("operator.upgradeCRD", True),
    "dynamo-platform": ("dynamo-operator.upgradeCRD", True),
}
"""Value by which a chart applies its own CRDs at an upgrade, and what it is by default; none where a hook always does (KAI). The DRA
driver's charts have nothing of the kind: its CRDs stay those of the first release, and the objects of this program are valid by all
of them (tests/validation, by the CRDs of 25.12.0 and 0.4.1)."""

ANY_RACK = "any UltraServer"
EFA = "vpc.amazonaws.com/efa"


def releases(graph: Graph, *names: str) -> list[Node]:
    """Helm releases of these charts."""
    return [node for node in graph.releases if chart_of(node)[0] in names]


@rule(
    "rack-interfaces",
    "Every UltraServer node asks for the network cards its type has, with both security groups on each.",
    "A wrong card or device index starts no machine of a block that is already billed; a missing group, and no node joins.",
    of="program",
)
def rack_interfaces(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        if rack.template is None:
            yield Finding(rack.name, "its node group has no launch template; nothing would name the block")
            continue
        yield Looked(rack.template.name)
        given = rack.template.inputs.get("networkInterfaces") or []
        asked = [(item.get("networkCardIndex"), item.get("deviceIndex"), item.get("interfaceType")) for item in given]
        efa = sum(kind == "efa-only" for _, _, kind in asked)
        try:
            right = network_cards.layout(str(rack.template.inputs.get("instanceType")), efa).interfaces()
        except ValueError as error:
            yield Finding(rack.template.name, f"{error}")
            continue
        if asked != [(item.card, item.device, item.type) for item in right]:
            yield Finding(
                rack.template.name,
                f"asks for {asked}; EC2 takes {[(item.card, item.device, item.type) for item in right]} (card, device, type)",
            )
        for item in given:
            groups = set(item.get("securityGroups") or ())
            if len(groups) < 2 and UNKNOWN not in groups:
                yield Finding(
                    rack.template.name,
                    f"card {item.get('networkCardIndex')} has {len(groups)} of 2 security groups; "
                    "give the cluster's and the EFA group",
                )
            if item.get("subnetId"):
                yield Finding(
                    rack.template.name, "names a subnet in an interface, which EKS refuses; name it on the group"
                )


@rule(
    "rack-launch",
    "UltraServer nodes are launched into their block, encrypted, with their disks joined and metadata closed.",
    "Without market type and reservation the prepaid machines stand empty; with a placement group none starts.",
    of="program",
)
def rack_launch(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        node = rack.template
        if node is None:
            continue
        yield Looked(node.name)
        inputs = node.inputs
        if (inputs.get("instanceMarketOptions") or {}).get("marketType") != "capacity-block":
            yield Finding(node.name, "names no market type capacity-block; the block would never be used")
        if not rack.reservation.startswith("cr-"):
            yield Finding(node.name, "names no reservation; the block would never be used")
        placement = inputs.get("placement") or {}
        if placement.get("groupName") or placement.get("groupId"):
            yield Finding(
                node.name, "names a placement group; a block's machines are placed already and would not start"
            )
        for field in ("iamInstanceProfile", "vpcSecurityGroupIds"):
            if inputs.get(field):
                yield Finding(
                    node.name, f"gives {field}, which EKS refuses in a managed node group's template; remove it"
                )
        metadata = inputs.get("metadataOptions") or {}
        if metadata.get("httpTokens") != "required" or not metadata.get("httpPutResponseHopLimit"):
            yield Finding(
                node.name, "leaves instance metadata open or its hop limit unsaid; require tokens and state the limit"
            )
        disks = [(item.get("ebs") or {}) for item in inputs.get("blockDeviceMappings") or ()]
        if not disks or any(str(disk.get("encrypted")).lower() != "true" for disk in disks):
            yield Finding(node.name, "has a volume that is not encrypted; set encrypted")
        data = inputs.get("userData") or ""
        if data != UNKNOWN and '"strategy": "RAID0"' not in base64.b64decode(data).decode():
            yield Finding(node.name, "does not join its NVMe disks; models would fill the root volume")


@rule(
    "rack-node-group",
    "Every UltraServer is one node group on the image for it, in its block's zone, tainted, and empty before the start.",
    "A group that wants nodes before the start is CREATE_FAILED (aws/containers-roadmap #2204); another image has no IMEX.",
    of="program",
)
def rack_node_group(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        yield Looked(rack.group.name)
        yield from _group_faults(graph, rack)
        yield from _elsewhere(graph, rack)


def _group_faults(graph: Graph, rack: SeenRack) -> Iterator[Finding]:
    """What is wrong with a node group by itself."""
    node, inputs = rack.group, rack.group.inputs
    for field, wanted in (("amiType", "AL2023_ARM_64_NVIDIA"), ("capacityType", "CAPACITY_BLOCK")):
        if inputs.get(field) != wanted:
            yield Finding(node.name, f"{field} is {inputs.get(field)}; only {wanted} runs P6e-GB200")
    if inputs.get("instanceTypes"):
        yield Finding(node.name, "names instance types beside its launch template; EKS refuses both")
    if not inputs.get("releaseVersion"):
        yield Finding(node.name, "pins no image release; a repaired node would come back with another driver")
    if rack.nodes not in {item.nodes for item in TYPES.values()}:
        yield Finding(node.name, f"may have {rack.nodes} nodes; an UltraServer has 9 or 18")
    scaling = inputs.get("scalingConfig") or {}
    if scaling.get("minSize") != 0:
        yield Finding(node.name, "has a minimum; it could not be drained before EC2 takes the machines")
    if rack.start is not None and graph.at < rack.start and scaling.get("desiredSize") != 0:
        yield Finding(node.name, "wants nodes before its block starts; begin with 0")
    if "scalingConfig.desiredSize" not in node.ignore_changes:
        yield Finding(node.name, "would reset its size with every update; ignore scalingConfig.desiredSize")
    subnets = inputs.get("subnetIds") or ()
    if len(subnets) != 1:
        yield Finding(node.name, f"is in {len(subnets)} subnets; a block is in one zone, and launches elsewhere fail")
    taints = [(item.get("key"), item.get("effect")) for item in inputs.get("taints") or ()]
    if ("nvidia.com/gpu", "NO_SCHEDULE") not in taints:
        yield Finding(node.name, "has no nvidia.com/gpu taint; ordinary pods would fill its nodes")
    if (inputs.get("labels") or {}).get(RACK_MARK) != "true":
        yield Finding(node.name, f"lacks the label {RACK_MARK}=true, by which the GPU stack finds its nodes")


def _elsewhere(graph: Graph, rack: SeenRack) -> Iterator[Finding]:
    """Subnets of a node group that are not in its block's zone."""
    node, subnets = rack.group, rack.group.inputs.get("subnetIds") or ()
    stands = rack.block.get("availabilityZoneId")
    for subnet in graph.of(SUBNET):
        # In a preview all subnets have the same id: none that is known.
        if not stands or subnet.id == UNKNOWN or subnet.id not in subnets:
            continue
        zone = subnet.inputs.get("availabilityZoneId")
        if zone != stands:
            yield Finding(node.name, f"is in {zone}, and its block is in {stands}; use a subnet there")


@rule(
    "rack-schedules",
    "Nodes come at the block's start and are drained before EC2 takes them, with every size stated.",
    "EKS's own scale-down comes 40 minutes before the end, EC2 takes UltraServers at 60: workers die in mid-answer.",
    of="program",
)
def rack_schedules(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        yield Looked(rack.group.name)
        for node in rack.schedules:
            for size in ("minSize", "maxSize", "desiredCapacity"):
                if node.inputs.get(size) is None:
                    yield Finding(node.name, f"leaves out {size}, which then becomes 0; state it")
        if rack.drain is None:
            yield Finding(
                rack.group.name, "has no scheduled action that takes its nodes away; EC2 would, without draining"
            )
            continue
        if rack.end is not None and rack.drain > rack.end - ULTRASERVER_RECLAIM - timedelta(minutes=15):
            yield Finding(
                rack.group.name,
                f"is drained at {moment(rack.drain)}, too late: EC2 takes the machines from "
                f"{moment(rack.end - ULTRASERVER_RECLAIM)} on",
            )
        ups = [node for node in rack.schedules if node.inputs.get("desiredCapacity")]
        if rack.start is not None and graph.at < rack.start:
            if not ups:
                yield Finding(
                    rack.group.name, "has no scheduled action at its start; the rack would be billed and empty"
                )
            for node in ups:
                if node.inputs.get("startTime") != moment(rack.start):
                    yield Finding(
                        node.name, f"comes at {node.inputs.get('startTime')}; the block starts {moment(rack.start)}"
                    )
                if node.inputs.get("desiredCapacity") != rack.nodes:
                    yield Finding(
                        node.name,
                        f"raises the group to {node.inputs.get('desiredCapacity')} of {rack.nodes} nodes; all are paid for",
                    )


@rule(
    "rack-window",
    "Every UltraServer has time left before its drain.",
    "Work begun within the last half hour is thrown away; nodes started after the drain are taken by EC2.",
    of="stack",
)
def rack_window(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        window = rack.window
        if window is None:
            continue
        yield Looked(rack.name)
        if why := window.refusal(graph.at):
            yield Finding(rack.name, f"{why}; name the next block")
        elif window.phase(graph.at) is Phase.ending:
            yield Finding(
                rack.name,
                f"is drained at {moment(window.drain_at)}, within half an hour; start nothing new",
                "warn",
            )


@rule(
    "rack-subnet",
    "UltraServers have a subnet of their own with room for their nodes, and the control plane none in their zone.",
    "EKS refuses a cluster with a Local Zone subnet; a subnet that is too small leaves paid nodes without an address.",
    of="program",
)
def rack_subnet(graph: Graph) -> Iterator[Finding | Looked]:
    subnets = {node.id: node for node in graph.of(SUBNET)}
    if graph.preview:
        return
    needed: dict[str, int] = {}
    for rack in racks(graph).values():
        for subnet in rack.group.inputs.get("subnetIds") or ():
            needed[str(subnet)] = needed.get(str(subnet), 0) + rack.nodes
    for cluster in graph.of("aws:eks/cluster:Cluster"):
        for subnet in (cluster.inputs.get("vpcConfig") or {}).get("subnetIds") or ():
            if str(subnet) in needed:
                yield Finding(
                    cluster.name, f"has the UltraServers' subnet {subnet} among its own; EKS takes no Local Zone there"
                )
    for subnet, nodes in needed.items():
        node = subnets.get(subnet)
        if node is None:
            continue
        yield Looked(node.name)
        most = room(node.inputs["cidrBlock"])
        if nodes > most:
            yield Finding(node.name, f"has addresses for {most} nodes and not for {nodes}; use a larger VPC range")
        if any("role/" in key for key in node.inputs.get("tags") or {}):
            yield Finding(
                node.name, "is tagged for load balancers, which cannot all be made in a Local Zone; remove the tag"
            )


@rule(
    "zone-group-kept",
    "The opt-in to a zone group outlives the stack.",
    "It holds for the whole account: taken back with one stack, it would take the zone from every other.",
    of="program",
)
def zone_group_kept(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup"):
        yield Looked(node.name)
        if not node.retain_on_delete:
            yield Finding(node.name, "would be taken back on destroy; set retain_on_delete")


@rule(
    "hybrid-addons",
    "Networking, Service routing, Pod Identity, DNS and the node monitoring agent are there before the first managed node.",
    "Auto Mode brings them to its own nodes only: without vpc-cni a managed node never gets ready, and without the agent nobody notices "
    "a GPU that has failed.",
    of="program",
)
def hybrid_addons(graph: Graph) -> Iterator[Finding | Looked]:
    there = {str(node.inputs.get("addonName")): node for node in graph.of(ADDON)}
    for rack in racks(graph).values():
        yield Looked(rack.group.name)
        for name in sorted(MANAGED_NODE_ADDONS):
            if name not in there:
                yield Finding(rack.group.name, f"the cluster has no add-on {name}, which managed nodes need")
            elif not graph.destroyed_before(rack.group, there[name]):
                yield Finding(rack.group.name, f"does not depend on add-on {name}; its nodes would join without it")


@rule(
    "rack-repair",
    "Nodes of an UltraServer are repaired one at a time, or by a person.",
    "Its block has no spare machine: two replaced at once take two nodes from the NVLink clique of everything that runs there.",
    of="program",
)
def rack_repair(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        name, given = rack.group.name, rack.group.inputs.get("nodeRepairConfig") or {}
        yield Looked(name)
        if not given.get("enabled"):
            continue
        if given.get("maxParallelNodesRepairedCount") != 1:
            yield Finding(name, "may have several nodes replaced at once; set maxParallelNodesRepairedCount to 1")
        overrides = given.get("nodeRepairConfigOverrides") or ()
        spared = [item.get("nodeUnhealthyReason") for item in overrides if item.get("repairAction") == "NoAction"]
        if "DCGMError" not in spared:
            yield Finding(name, "may have healthy nodes replaced: the agent's DCGM is for amd64 alone; spare DCGMError")


@rule(
    "one-allocator",
    "The device plugin serves GPUs, DRA serves ComputeDomains, and neither does the other's.",
    "Both advertising the same GPUs hands them out twice without a word (NVIDIA/aicr #332, #1327).",
    of="program",
)
def one_allocator(graph: Graph) -> Iterator[Finding | Looked]:
    for node in releases(graph, "gpu-operator", *DRA_CHARTS):
        yield Looked(node.name)
        chart, version = chart_of(node)
        for path, expected in contradictions(chart, version.removeprefix("v"), node.inputs.get("values") or {}):
            yield Finding(node.name, f"values.{path}: expected {expected}")


@rule(
    "domain-kind-owner",
    "The DRA driver installs the ComputeDomain kind, not the GPU Operator.",
    "The operator's copy demands numNodes, and Helm never replaces a kind that is there (NVIDIA/aicr #2715).",
    of="program",
)
def domain_kind_owner(graph: Graph) -> Iterator[Finding | Looked]:
    drivers = releases(graph, *DRA_CHARTS)
    for node in releases(graph, "gpu-operator"):
        yield Looked(node.name)
        for driver in drivers:
            if driver.key not in graph.requires(node.key):
                yield Finding(
                    node.name, f"does not wait for {driver.name}; whoever comes first installs the ComputeDomain kind"
                )


@rule(
    "gpu-stack-place",
    "NVIDIA's and AWS's DaemonSets run on UltraServer nodes only.",
    "Auto Mode nodes have driver and plugins built in: a second device plugin there hands out each GPU twice.",
    of="program",
)
def gpu_stack_place(graph: Graph) -> Iterator[Finding | Looked]:
    placed = {
        "gpu-operator": ("node-feature-discovery", "worker"),
        "aws-efa-k8s-device-plugin": (),
        **dict.fromkeys(DRA_CHARTS, ("kubeletPlugin",)),
    }
    for chart, path in placed.items():
        for node in releases(graph, chart):
            yield Looked(node.name)
            values: Any = node.inputs.get("values") or {}
            for part in path:
                values = values.get(part) or {}
            told = json.dumps([values.get("affinity"), values.get("nodeSelector")])
            if RACK_LABEL not in told:
                yield Finding(
                    node.name, f"does not keep to nodes with the label {RACK_LABEL}; it would run on Auto Mode nodes"
                )
            if not any(item.get("key") == "nvidia.com/gpu" for item in values.get("tolerations") or ()):
                yield Finding(node.name, "does not tolerate nvidia.com/gpu; it would run on no UltraServer node")


@rule(
    "p6e-driver",
    "UltraServers run driver R580 from the image, and an operator that leaves it alone.",
    "R595 lacks the topology override that EFA needs on P6e: NCCL aborts in the first collective (NVIDIA/aicr #2383).",
    of="program",
)
def p6e_driver(graph: Graph) -> Iterator[Finding | Looked]:
    for rack in racks(graph).values():
        yield Looked(rack.group.name)
        match = re.fullmatch(r"1\.\d+\.\d+-(\d{8})", str(rack.group.inputs.get("releaseVersion")))
        if match and int(match[1]) < catalog.AMI_FLOOR:
            yield Finding(
                rack.group.name,
                f"image {match[0]} is older than {catalog.AMI_FLOOR}, the first with R580; take a newer",
            )
    for node in releases(graph, "gpu-operator"):
        yield Looked(node.name)
        version = tuple(int(part) for part in re.findall(r"\d+", chart_of(node)[1]))
        if version < (26, 3, 3):
            yield Finding(
                node.name,
                "is older than 26.3.3; its device plugin mounts GDRCopy and MOFED by default, which breaks EFA. Take 26.3.3",
            )


@rule(
    "rack-room",
    "Every GPU pod placed on an UltraServer has a node there.",
    "The block cannot grow: a pod too many stays Pending until the block ends, and with it its whole gang.",
    of="program",
)
def rack_room(graph: Graph) -> Iterator[Finding | Looked]:
    seen, pods = racks(graph), rack_pods(graph)
    for rack in seen.values():
        yield Looked(rack.name)
    short: dict[str, list[ExpectedPod]] = {}
    for pod in layout(seen, pods).left:
        short.setdefault(_place(pod), []).append(pod)
    for rack, left in short.items():
        wanted = sum(gpus(pod) for pod in pods if _place(pod) == rack)
        if rack == ANY_RACK:
            why = f"its graphs ask for {wanted} GPUs, none has so many left; lower replicas or nodes"
        elif rack not in seen:
            why = "the stack has no UltraServer of this name; name one that it has"
        elif wanted > seen[rack].gpus:
            why = f"its graphs ask for {wanted} GPUs, it has {seen[rack].gpus}; lower replicas or nodes"
        else:
            # GPUs there are: something else of a node has run out, or its one channel is taken.
            why = f"{_short_of(left[0])} no node has left, though GPUs would do; lower what its graphs ask for"
        yield Finding(rack, f"{len(left)} pods have no node, the first {left[0].name}: {why}")
    for pod in _components(graph):
        rack = _rack_of(pod, seen)
        if (
            rack is not None
            and rack.machine is not None
            and (why := fits(pod, rack.machine, huge_pages_mib(rack.template)))
        ):
            yield Finding(_subject(pod), why)


def _components(graph: Graph) -> list[ExpectedPod]:
    """One pod of every component that runs on UltraServers, those with GPUs first."""
    return list({(pod.namespace, pod.graph, pod.component): pod for pod in rack_pods(graph)}.values())


def _subject(pod: ExpectedPod) -> str:
    return f"DynamoGraphDeployment {pod.namespace}/{pod.graph} {pod.component}"


def _place(pod: ExpectedPod) -> str:
    """The UltraServer a pod names, as one reads it."""
    return pod.node_selector.get(RACK_LABEL, ANY_RACK)


def _rack_of(pod: ExpectedPod, seen: Mapping[str, SeenRack]) -> SeenRack | None:
    """The UltraServer a pod names, or the first for one that takes any: all have the same nodes."""
    name = pod.node_selector.get(RACK_LABEL)
    return next(iter(seen.values()), None) if name is None else seen.get(name)


def _short_of(pod: ExpectedPod) -> str:
    """What a pod asks for, as far as a node can run out of it."""
    asked = [f"{gpus(pod)} GPUs", f"{pod.cpu_milli} thousandths of a core", f"{pod.memory_mib} MiB"]
    asked += [
        f"{value} of {key}" for key, value in pod.requests.items() if key not in ("cpu", "memory", "nvidia.com/gpu")
    ]
    return f"it asks for {', '.join(asked)}, which"


@rule(
    "rack-stranded",
    "Pods on an UltraServer take whole nodes, or share them without a rest.",
    "A node has one NVLink channel: beside a pod that took fewer GPUs the rest of its four stand idle at $42 an hour.",
    of="stack",
)
def rack_stranded(graph: Graph) -> Iterator[Finding | Looked]:
    seen = racks(graph)
    for pod in _components(graph):
        rack = _rack_of(pod, seen)
        if not gpus(pod) or rack is None or rack.machine is None:
            continue
        yield Looked(_subject(pod))
        there = rack.machine.gpus
        if gpus(pod) < there and _beside_itself(pod, rack) * gpus(pod) < there:
            yield Finding(
                _subject(pod), f"takes {gpus(pod)} GPUs of a node's {there} and strands the rest; take {there}"
            )


def _beside_itself(pod: ExpectedPod, rack: SeenRack) -> int:
    """How many of such pods one node holds."""
    node = empty_node(rack)
    while node.has_room(pod):
        node.put(pod)
    return len(node.pods)


def _domains(graph: Graph) -> dict[tuple[str | None, str], KubernetesObject]:
    """ComputeDomains by namespace and claim template."""
    return {
        (item.namespace, item.manifest["spec"]["channel"]["resourceClaimTemplate"]["name"]): item
        for item in graph.objects_of("ComputeDomain")
    }


def _transient(item: KubernetesObject) -> bool:
    """Domains of the verification ladder, which nobody claims once its jobs are done."""
    return VERIFICATION_LABEL in (item.manifest["metadata"].get("labels") or {})


@rule(
    "domain-claims",
    "Every worker that names a channel claims one of a ComputeDomain in its namespace, and every domain is claimed.",
    "A pod that names a template nobody makes waits for ever; one without a claim computes over the network.",
    of="program",
)
def domain_claims(graph: Graph) -> Iterator[Finding | Looked]:
    domains = _domains(graph)
    claimed: set[tuple[str | None, str]] = set()
    for item in graph.objects_of("DynamoGraphDeployment"):
        for component in item.manifest["spec"].get("components", ()):
            template = component.get("podTemplate") or {}
            spec = template.get("spec") or {}
            subject = f"{item.address} {component['name']}"
            names = [claim.get("resourceClaimTemplateName") for claim in spec.get("resourceClaims") or ()]
            by_grove = GROVE_GROUP in ((template.get("metadata") or {}).get("annotations") or {})
            if names or by_grove:
                yield Looked(subject)
            if names and by_grove:
                yield Finding(
                    subject,
                    "claims a channel and has Grove make another; a node has one, so no pod starts (dynamo #6364)",
                )
            for name in names:
                claimed.add((item.namespace, name))
                if (item.namespace, name) not in domains:
                    yield Finding(subject, f"claims from {name}, which no ComputeDomain of its namespace makes")
            used = {
                claim.get("name")
                for container in spec.get("containers") or ()
                for claim in (container.get("resources") or {}).get("claims") or ()
            }
            for claim in spec.get("resourceClaims") or ():
                if claim.get("name") not in used:
                    yield Finding(subject, f"declares the claim {claim.get('name')} and no container uses it")
    for key, item in domains.items():
        yield Looked(item.address)
        if item.manifest["spec"].get("numNodes") != 0:
            yield Finding(
                item.address,
                "states a number of nodes; with 0 whoever claims is in, and replicas can change without a new domain",
            )
        if key not in claimed and not _transient(item):
            yield Finding(item.address, "is claimed by no worker; its graph would run over the network")


@rule(
    "one-domain-per-clique",
    "No two ComputeDomains are used in one NVLink clique at a time.",
    "The second one's cuMemSetAccess fails, in whichever graph starts later (NVIDIA DRA driver #892).",
    of="program",
)
def one_domain_per_clique(graph: Graph) -> Iterator[Finding | Looked]:
    placed = layout(racks(graph), [pod for pod in rack_pods(graph) if gpus(pod)])
    for rack in placed.nodes:
        used = sorted(placed.domains(rack))
        if used:
            yield Looked(rack)
        if len(used) > 1:
            told = ", ".join(f"{namespace}/{name}" for namespace, name in used)
            yield Finding(rack, f"holds {len(used)} domains ({told}); share one, or use another UltraServer")


@rule(
    "clique-placement",
    "Workers of a ComputeDomain are kept in one NVLink clique, on a rack they name or as one gang.",
    "With affinity alone the first pod may choose a half-used rack, and the rest of its graph fits nowhere (measured).",
    of="program",
)
def clique_placement(graph: Graph) -> Iterator[Finding | Looked]:
    for item in graph.objects_of("DynamoGraphDeployment"):
        for pod in {pod.component: pod for pod in domain_pods(item.manifest)}.values():
            if not pod.resource_claims:
                continue
            subject = f"{item.address} {pod.component}"
            yield Looked(subject)
            if "topologyConstraint" in item.manifest["spec"]:
                continue
            terms = (pod.affinity.get("podAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
            near = [term for term in terms if term.get("topologyKey") == CLIQUE_LABEL]
            if not near:
                yield Finding(subject, f"has no affinity on {CLIQUE_LABEL}; a rack may hold several cliques")
            elif not all(_selects(term.get("labelSelector"), pod) for term in near):
                yield Finding(
                    subject, "has an affinity that does not select itself; its first pod would never be placed"
                )
            if RACK_LABEL not in pod.node_selector:
                yield Finding(
                    subject, "names no UltraServer and is no gang; its first pod may choose a rack that is half used"
                )


def _selects(selector: Mapping[str, Any] | None, pod: ExpectedPod) -> bool:
    """Whether an affinity term's selector finds a pod: without one it finds none, empty it finds all."""
    if selector is None:
        return False
    return all(pod.labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


@rule(
    "domain-outlives-workers",
    "Graphs are destroyed before their ComputeDomains, and these before the DRA driver.",
    "A domain deleted first stops IMEX under running workers (#357); its finalizer needs a living controller.",
    of="program",
)
def domain_outlives_workers(graph: Graph) -> Iterator[Finding | Looked]:
    domains = _domains(graph)
    for item in graph.objects_of("DynamoGraphDeployment"):
        claims = {(item.namespace, name) for pod in expected_pods(item.manifest) for name in pod.resource_claims}
        for domain in [domain for key, domain in domains.items() if key in claims]:
            yield Looked(item.address)
            if not graph.destroyed_before(item.node, domain.node):
                yield Finding(item.address, f"may outlive {domain.address}; make it depend on the domain")
    for item in domains.values():
        for driver in releases(graph, *DRA_CHARTS):
            yield Looked(item.address)
            if not graph.destroyed_before(item.node, driver):
                yield Finding(item.address, f"may outlive {driver.name}, whose controller runs its finalizer")


@rule(
    "gang-scheduling",
    "Graphs with workers of several nodes have Grove and KAI at the versions their platform needs, and a queue with room.",
    "Without them the operator refuses the graph; in a queue that is too small its gang waits without a word.",
    of="program",
)
def gang_scheduling(graph: Graph) -> Iterator[Finding | Looked]:
    platform = next((catalog.DYNAMO.get(chart_of(node)[1]) for node in releases(graph, "dynamo-platform")), None)
    charts = {chart_of(node)[0]: node for node in releases(graph, "grove", gang.SCHEDULER)}
    queues: dict[str | None, KubernetesObject] = {item.name: item for item in graph.objects_of("Queue")}
    needing = [item for item in graph.objects_of("DynamoGraphDeployment") if _is_gang(item.manifest["spec"])]
    for item in needing:
        spec, annotations = item.manifest["spec"], item.manifest["metadata"].get("annotations") or {}
        yield Looked(item.address)
        if annotations.get("nvidia.com/enable-grove") == "false":
            yield Finding(item.address, "opts out of Grove and has workers of several nodes; the operator refuses it")
        missing = sorted({"grove", gang.SCHEDULER} - set(charts))
        if missing:
            yield Finding(item.address, f"needs {' and '.join(missing)}, which the stack does not install")
            continue
        for node in charts.values():
            if node.key not in graph.requires(item.node.key):
                yield Finding(item.address, f"does not depend on {node.name}; its pods would stay gated")
        yield from _queue_faults(item, queues)
        if "topologyConstraint" in spec:
            named = spec["topologyConstraint"].get("clusterTopologyName")
            if named not in {found.name for found in graph.objects_of("ClusterTopologyBinding")}:
                yield Finding(item.address, f"is packed by topology {named}, which nobody makes")
    if needing and platform:
        for chart, floor in (("grove", platform.grove_floor), (gang.SCHEDULER, platform.kai_floor)):
            node = charts.get(chart)
            if node is not None and _older(str(node.inputs.get("version")), floor):
                yield Finding(
                    node.name, f"is {node.inputs.get('version')}; Dynamo {platform.version} needs {floor} or newer"
                )
    for chart, node in charts.items():
        if not needing:
            yield Finding(node.name, f"installs {chart}, and no graph has workers of several nodes", "warn")


@rule(
    "kinds-follow-charts",
    "The kinds of Grove, KAI, the GPU Operator and Dynamo change with their charts.",
    "Helm installs what is in a chart's crds/ and never upgrades it: a new operator waits for a kind that nobody has made, or its "
    "fields are dropped.",
    of="program",
)
def kinds_follow_charts(graph: Graph) -> Iterator[Finding | Looked]:
    for node in releases(graph, *CRD_SWITCHES):
        yield Looked(node.name)
        path, usual = CRD_SWITCHES[chart_of(node)[0]]
        found: Any = node.inputs.get("values") or {}
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if path and not (usual if found is None else found):
            yield Finding(node.name, f"lacks values.{path}: true; its kinds would stay those of the first version")
        for key in ("disableCRDHooks", "disableWebhooks", "skipCrds"):
            if node.inputs.get(key):
                yield Finding(node.name, f"has {key} set; its kinds would stay those of the first version")


def _queue_faults(item: KubernetesObject, queues: Mapping[str | None, KubernetesObject]) -> Iterator[Finding]:
    """What is wrong with the queue a graph names, and with those above it."""
    annotations = item.manifest["metadata"].get("annotations") or {}
    queue = queues.get(annotations.get("nvidia.com/kai-scheduler-queue"))
    asked = sum(gpus(pod) for pod in expected_pods(item.manifest))
    if queue is None:
        yield Finding(item.address, "names no queue of this stack; pods of an unknown queue are never scheduled")
    while queue is not None:
        if gang.quota_gpus(queue.manifest) < asked:
            yield Finding(
                item.address,
                f"asks for {asked} GPUs, and its queue {queue.name} has {gang.quota_gpus(queue.manifest)}",
            )
        above = queue.manifest["spec"].get("parentQueue")
        if above and above not in queues:
            yield Finding(item.address, f"is in queue {queue.name} under {above}, which nobody makes")
        queue = queues.get(above)


def _is_gang(spec: Mapping[str, Any]) -> bool:
    """Whether a graph has workers of several nodes, or is placed as a whole."""
    return "topologyConstraint" in spec or any(item.get("multinode") for item in spec.get("components", ()))


def _older(version: str, floor: str) -> bool:
    return _precedence(version) < _precedence(floor)


def _precedence(version: str) -> str:
    """A version as a text that sorts like it: numbers as long as each other, and a dot at the end, since a dot is above the
    hyphen before a word (`alpha.14-rc1` is before `alpha.14`, and that before the release)."""
    return re.sub(r"\d+", lambda number: f"{int(number[0]):09}", version.removeprefix("v")) + "."


@rule(
    "rack-architecture",
    "Everything that runs on an UltraServer asks for arm64.",
    "Grace is arm64: an amd64 image starts, says `exec format error`, and is restarted until the block ends.",
    of="program",
)
def rack_architecture(graph: Graph) -> Iterator[Finding | Looked]:
    for pod in _components(graph):
        yield Looked(_subject(pod))
        if pod.node_selector.get("kubernetes.io/arch") != "arm64":
            yield Finding(_subject(pod), "does not select kubernetes.io/arch: arm64")


@rule(
    "files-from-local-zone",
    "Workers in a Local Zone read their model from their own disks, and mount shared files by a zone that has them.",
    "EFS has no mount target there: weights would be read page by page over the link to the region (modelplane #204).",
    of="stack",
)
def files_from_local_zone(graph: Graph) -> Iterator[Finding | Looked]:
    local = {
        name
        for name, rack in racks(graph).items()
        if not re.fullmatch(r"[a-z]+\d-az\d+", str(rack.block.get("availabilityZoneId")))
    }
    if not local:
        return
    classes: dict[str | None, Mapping[str, Any]] = {
        item.name: item.manifest for item in graph.objects_of("StorageClass")
    }
    claims = {(item.namespace, item.name): item.manifest for item in graph.objects_of("PersistentVolumeClaim")}
    for item in graph.objects_of("DynamoGraphDeployment"):
        for component in item.manifest["spec"].get("components", ()):
            spec = (component.get("podTemplate") or {}).get("spec") or {}
            selector = spec.get("nodeSelector") or {}
            if selector.get(RACK_LABEL) not in local and RACK_MARK not in selector:
                continue
            subject = f"{item.address} {component['name']}"
            yield Looked(subject)
            volumes = {
                volume["name"]: volume["persistentVolumeClaim"]["claimName"]
                for volume in spec.get("volumes") or ()
                if "persistentVolumeClaim" in volume
            }
            for claim in volumes.values():
                wanted = (claims.get((item.namespace, claim)) or {}).get("spec") or {}
                class_ = classes.get(wanted.get("storageClassName")) or {}
                if class_.get("provisioner") == "efs.csi.aws.com" and not any(
                    str(option).startswith("az=") for option in class_.get("mountOptions") or ()
                ):
                    yield Finding(
                        subject, f"mounts {claim}, whose class names no zone; a Local Zone has no mount target"
                    )
            mounted = {
                volumes.get(mount.get("name"))
                for container in spec.get("containers") or ()
                for mount in container.get("volumeMounts") or ()
            }
            if component.get("type") != "frontend" and "model-cache" in mounted:
                yield Finding(
                    subject,
                    "reads its model over the link to the region; set weights: nvme to copy it to its disks first",
                    "warn",
                )


@rule(
    "ladder-gates",
    "Graphs on an UltraServer wait for its verification ladder.",
    "A rack with one bad link serves at half its speed, and the block is over before anybody has measured it.",
    of="stack",
)
def ladder_gates(graph: Graph) -> Iterator[Finding | Looked]:
    rungs: dict[str, list[KubernetesObject]] = {}
    for item in graph.objects_of("Job"):
        rack = (item.manifest["metadata"].get("labels") or {}).get(VERIFICATION_LABEL)
        if rack:
            rungs.setdefault(str(rack), []).append(item)
    for name in racks(graph):
        for item in graph.objects_of("DynamoGraphDeployment"):
            here = [
                pod for pod in expected_pods(item.manifest)
                if gpus(pod) and (pod.node_selector.get(RACK_LABEL) == name or RACK_MARK in pod.node_selector)
            ]  # fmt: skip
            if not here:
                continue
            yield Looked(f"{item.address} on {name}")
            if not rungs.get(name):
                yield Finding(
                    name, "no rung of its verification ladder is there; its graphs run on a rack nobody tested", "warn"
                )
            over_efa = any(pod.requests.get(EFA) for pod in here)
            measured = any(rung.name.startswith(f"verify-{name}-efa-") for rung in rungs.get(name, ()))
            if over_efa and rungs.get(name) and not measured:
                yield Finding(
                    item.address,
                    f"takes EFA interfaces of {name}, and no rung of its ladder measures EFA; add efa to verify",
                    "warn",
                )
            for rung in rungs.get(name, ()):
                if not graph.destroyed_before(item.node, rung.node):
                    yield Finding(item.address, f"does not wait for {rung.name}")


@rule(
    "gpu-stack-outlives",
    "The GPU stack goes after the platform and before the nodes.",
    "A DRA driver gone before the pods leaves claims reserved for ever (#725); nodes gone first leave its release hanging.",
    of="program",
)
def gpu_stack_outlives(graph: Graph) -> Iterator[Finding | Looked]:
    stack = releases(graph, "gpu-operator", "aws-efa-k8s-device-plugin", *DRA_CHARTS)
    for node in stack:
        yield Looked(node.name)
        for platform in releases(graph, "dynamo-platform"):
            if not graph.destroyed_before(platform, node):
                yield Finding(platform.name, f"may outlive {node.name}; make it depend on the GPU stack")
        for rack in racks(graph).values():
            if not graph.destroyed_before(node, rack.group):
                yield Finding(node.name, f"may outlive node group {rack.group.name}; make it depend on the nodes")
