"""Rules about what must outlive what."""

from __future__ import annotations

from collections.abc import Iterator

from recording.graph import Graph, Node
from rules.model import Finding, Looked, rule


@rule(
    "graphs-before-operator",
    "Graphs are destroyed before the operator that runs their finalizers.",
    "A graph's finalizer needs a living operator; otherwise the namespace hangs for ever (NVIDIA/aicr #406).",
    of="program",
)
def graphs_before_operator(graph: Graph) -> Iterator[Finding | Looked]:
    releases = [node for node in graph.releases if "dynamo-platform" in str(node.inputs.get("chart"))]
    for item in graph.objects_of("DynamoGraphDeployment"):
        yield Looked(item.address)
        for release in releases:
            if not graph.destroyed_before(item.node, release):
                yield Finding(
                    item.address, f"does not depend on {release.name}; its finalizer would outlive the operator"
                )


@rule(
    "nodes-before-access",
    "Pools are drained before what their nodes need to drain is taken away.",
    "Nodes that lose access entry, cluster or egress stay as orphaned instances (aws-samples/appmod-blueprints #582).",
    of="program",
)
def nodes_before_access(graph: Graph) -> Iterator[Finding | Looked]:
    needed: list[Node] = [
        *graph.of("aws:eks/cluster:Cluster"),
        *[node for node in graph.of("aws:eks/accessEntry:AccessEntry") if node.inputs.get("type") == "EC2"],
        *graph.of("aws:ec2/natGateway:NatGateway"),
        *[node for node in graph.of("aws:ec2/route:Route") if node.inputs.get("natGatewayId")],
    ]
    for item in graph.objects_of("NodePool"):
        yield Looked(item.address)
        for node in needed:
            if not graph.destroyed_before(item.node, node):
                yield Finding(item.address, f"may outlive {node.short_type} {node.name}; make the pool depend on it")


@rule(
    "graphs-before-pools",
    "Graphs are destroyed before the pools they run on.",
    "A pool deleted first drains nodes whose workers are started again elsewhere, and waits for them.",
    of="program",
)
def graphs_before_pools(graph: Graph) -> Iterator[Finding | Looked]:
    pools = {item.name: item.node for item in graph.objects_of("NodePool")}
    for item in graph.objects_of("DynamoGraphDeployment"):
        for component in item.manifest["spec"].get("components", ()):
            selector = component.get("podTemplate", {}).get("spec", {}).get("nodeSelector") or {}
            name = selector.get("karpenter.sh/nodepool")
            if name not in pools:
                continue
            yield Looked(item.address)
            if not graph.destroyed_before(item.node, pools[name]):
                yield Finding(
                    item.address, f"does not depend on pool {pools[name].name}; it would be drained under the workers"
                )


@rule(
    "mounts-before-files",
    "Claims and their pods go before the mount targets they are mounted through.",
    "A pod that loses its mount target cannot end; its node never drains.",
    of="program",
)
def mounts_before_files(graph: Graph) -> Iterator[Finding | Looked]:
    targets = graph.of("aws:efs/mountTarget:MountTarget")
    if not targets:
        return
    for item in graph.objects_of("PersistentVolumeClaim"):
        yield Looked(item.address)
        late = [target.name for target in targets if not graph.destroyed_before(item.node, target)]
        if late:
            yield Finding(
                item.address, f"may outlive mount target {min(late)}; make it depend on the file system's `ready`"
            )


@rule(
    "releases-pinned",
    "Every Helm release names chart version, release name and namespace.",
    "Otherwise a preview takes the newest chart, and a random suffix lands in every label.",
    of="program",
)
def releases_pinned(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.releases:
        yield Looked(node.name)
        for field in ("name", "namespace"):
            if not node.inputs.get(field):
                yield Finding(node.name, f"gives no {field}; state it")
        if not node.inputs.get("version") and not str(node.inputs.get("chart")).endswith(".tgz"):
            yield Finding(node.name, "gives no version; pin it in components/catalog.py")
