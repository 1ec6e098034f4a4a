"""Rules about what must not be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from recording.graph import Graph
from rules.model import Finding, Looked, rule

STATEFUL = {
    "aws:eks/cluster:Cluster": "cluster.protect",
    "aws:kms/key:Key": "cluster.protect",
    "aws:ec2/vpc:Vpc": "cluster.protect",
    "aws:efs/fileSystem:FileSystem": "storage.efs.protect",
    "aws:ec2/capacityReservation:CapacityReservation": "capacity.pools.<pool>.reservations[].protect",
    "aws:eks/nodeGroup:NodeGroup": "capacity.ultraServers.<name>.protect",
}
"""Types that hold something that cannot be made again, with the setting that releases them."""


@rule(
    "protected",
    "What cannot be made again is protected.",
    "One wrong edit deletes the cluster, the cached models or capacity that does not come back.",
    of="stack",
)
def protected(graph: Graph) -> Iterator[Finding | Looked]:
    for type_, setting in STATEFUL.items():
        for node in graph.of(type_):
            yield Looked(node.name)
            if not node.protect:
                yield Finding(
                    node.name, f"is not protected ({setting}: false); an edit that replaces it is carried out", "warn"
                )


@rule(
    "efs-encrypted",
    "The file system is encrypted.",
    "Encryption cannot be switched on later without a new file system.",
    of="program",
)
def efs_encrypted(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph.of("aws:efs/fileSystem:FileSystem"):
        yield Looked(node.name)
        if node.inputs.get("encrypted") is not True:
            yield Finding(node.name, "is not encrypted; set encrypted, which later would replace it")


@rule(
    "mount-targets",
    "There is one mount target in each zone.",
    "EFS refuses a second in a zone; a zone without one mounts across zones, slowly and billed.",
    of="program",
)
def mount_targets(graph: Graph) -> Iterator[Finding | Looked]:
    targets = graph.of("aws:efs/mountTarget:MountTarget")
    if not targets or graph.preview:
        return
    zone_of = {node.id: node.inputs.get("availabilityZoneId") for node in graph.of("aws:ec2/subnet:Subnet")}
    zones = Counter(zone_of.get(str(node.inputs.get("subnetId"))) or node.name for node in targets)
    for node in targets:
        yield Looked(node.name)
    for zone, count in zones.items():
        if count > 1:
            yield Finding(str(zone), f"has {count} mount targets; EFS takes one in each zone")
    nat = {
        node.inputs.get("routeTableId") for node in graph.of("aws:ec2/route:Route") if node.inputs.get("natGatewayId")
    }
    private = {
        node.inputs.get("subnetId")
        for node in graph.of("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if node.inputs.get("routeTableId") in nat
    }
    # Zones of UltraServers alone have no mount target: their pods are told which zone's to use.
    racks = {
        subnet
        for node in graph.of("aws:eks/nodeGroup:NodeGroup")
        if node.inputs.get("capacityType") == "CAPACITY_BLOCK"
        for subnet in node.inputs.get("subnetIds") or ()
    }
    for subnet in sorted(filter(None, private - racks)):
        if zone_of.get(subnet) and zone_of[subnet] not in zones:
            yield Finding(str(zone_of[subnet]), "has private nodes and no mount target; their mounts would cross zones")
