"""What AWS and Kubernetes would answer: computed properties, reads, and what a remote component creates.

The plan, the tests and the stand-in providers of the engine tests ask here, so that all three see the same world. What is
known of one AWS type stands on its card (aws_types/), what a remote component makes in a module of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.capacity.ultraservers import TYPES
from recording import eks_construct, mpi_operator_construct
from recording.aws_types import CARDS, READS
from recording.world import Child, Construct, NoAnswer, World, digest
from stacks.placeholders import stood_in

CONSTRUCTS: Mapping[str, Construct] = {
    "eks:index:Cluster": eks_construct.eks_cluster,
    "kubernetes:yaml/v2:ConfigFile": mpi_operator_construct.mpi_operator,
}
"""Remote components, by type."""


class Answers(World):
    """A world that can be asked."""

    @classmethod
    def for_config(cls, stack: str, config: Mapping[str, Any]) -> Answers:
        """The world a stack file describes: what it says exists is assumed to exist just so."""

        def section(name: str) -> Mapping[str, Any]:
            value = config.get(f"dynamo-eks:{name}") or {}
            value = stood_in(json.loads(value) if isinstance(value, str) else value)
            return value if isinstance(value, Mapping) else {}

        reservations: dict[str, Mapping[str, Any]] = {}
        pools = section("capacity").get("pools")
        for pool in (pools if isinstance(pools, Mapping) else {}).values():
            given = pool.get("reservations") if isinstance(pool, Mapping) else None
            for item in given if isinstance(given, list) else ():
                if isinstance(item, Mapping) and isinstance(item.get("id"), str):
                    reservations[item["id"]] = item
        racks = section("capacity").get("ultraServers")
        for rack in (racks if isinstance(racks, Mapping) else {}).values():
            if isinstance(rack, Mapping) and isinstance(rack.get("reservation"), str):
                reservations[rack["reservation"]] = _block(rack)
        local = section("network").get("localZones")
        opting_in = isinstance(local, Mapping) and local.get("optIn") is True
        subnets: dict[str, Mapping[str, Any]] = {}
        existing = section("network").get("existing")
        if isinstance(existing, Mapping) and isinstance(existing.get("subnets"), Mapping):
            for zone_id, pair in existing["subnets"].items():
                for role in ("private", "public"):
                    if isinstance(pair, Mapping) and isinstance(pair.get(role), str):
                        subnets[pair[role]] = {
                            "vpcId": existing.get("vpcId"),
                            "zoneId": zone_id,
                            "public": role == "public",
                        }
            of_racks = existing.get("ultraServerSubnets")
            for zone_id, subnet in (of_racks if isinstance(of_racks, Mapping) else {}).items():
                subnets[str(subnet)] = {"vpcId": existing.get("vpcId"), "zoneId": zone_id, "public": False}
        return cls(
            stack,
            str(config.get("aws:region") or "us-east-1"),
            reservations=reservations,
            subnets=subnets,
            opted_in=not opting_in,
        )

    # --- asked by the recorder and by the stand-in providers --------------------------------------------------------

    def created(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Id and computed properties of a new resource."""
        if type_.startswith("kubernetes:"):
            return _kubernetes(self, type_, name, inputs)
        if type_.startswith("pulumi:providers:"):
            return digest(self.stack, type_, name, length=8), {}
        card = CARDS.get(type_)
        if card is None:
            raise NoAnswer(f"recording/aws_types/ has no card of {type_} ({name}); add one, with its sources")
        return card.created(self, name, inputs)

    def read(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer to an invoke."""
        function = READS.get(token)
        if function is None:
            raise NoAnswer(f"recording/aws_types/ has no answer to {token}; add it with its source")
        return function(self, arguments)

    def construct(
        self, type_: str, name: str, inputs: Mapping[str, Any]
    ) -> tuple[Sequence[Child], Mapping[str, Any], str]:
        """Children and outputs of a remote component."""
        function = CONSTRUCTS.get(type_)
        if function is None:
            raise NoAnswer(f"recording/answers.py does not know what the remote component {type_} creates; add it")
        return function(self, name, inputs)


def _block(rack: Mapping[str, Any]) -> dict[str, Any]:
    """An UltraServer's block, as a stack file states it."""
    type_ = TYPES.get(str(rack.get("type")))
    return {
        "instanceType": rack.get("instanceType", "p6e-gb200.36xlarge"),
        "zone": rack.get("zone"),
        "count": type_.nodes if type_ else None,
        "start": rack.get("start"),
        "end": rack.get("end"),
        "state": rack.get("state", "scheduled"),
        "ultraServer": True,
    }


def _kubernetes(world: World, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the Kubernetes provider adds: an id of namespace and name, and the release's status."""
    metadata = inputs.get("metadata") or {}
    if type_ == "kubernetes:helm.sh/v3:Release":
        namespace, release = inputs.get("namespace", "default"), inputs.get("name", name)
        status = {"name": release, "namespace": namespace, "version": inputs.get("version"), "status": "deployed"}
        return f"{namespace}/{release}", {"status": status}
    object_name = metadata.get("name") or f"{name}-{digest(world.stack, type_, name, length=8)}"
    namespace = metadata.get("namespace")
    computed: dict[str, Any] = {"metadata": {"name": object_name}}
    if type_ == "kubernetes:core/v1:ConfigMap" and not inputs:
        # One that the program reads and does not make: what a Job of the verification ladder wrote.
        computed["data"] = {"verdict": "not run", "reason": "nothing is measured offline", "figures": "{}"}
    return (f"{namespace}/{object_name}" if namespace else object_name), computed
