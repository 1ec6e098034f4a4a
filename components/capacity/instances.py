"""Facts about EC2 instance types, and what a NodePool may launch.

The numbers are in `instances.json`, which `tools/instances.py` derives from EC2's own descriptions; the file names its
source and that of every type added to it. The table holds the NVIDIA families that EKS Auto Mode supports, P6e-GB200
(which it does not), and a sample of CPU families.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

AUTO_MODE_FAMILIES = frozenset(
    [
        "p6-b200",
        "p6-b300",
        "p5",
        "p5e",
        "p5en",
        "p4d",
        "p4de",
        "p3dn",
        "g7e",
        "g6",
        "gr6",
        "g6e",
        "g5g",
        "g5",
        "g4dn",
        "g4ad",
        "inf2",
        "inf1",
        "trn1",
        "trn1n",
        "trn2",
        "c8id",
        "c8i",
        "c8i-flex",
        "c8gd",
        "c8gn",
        "c8g",
        "c8a",
        "c8gb",
        "c7a",
        "c7g",
        "c7gn",
        "c7gd",
        "c7i",
        "c7i-flex",
        "c6a",
        "c6g",
        "c6i",
        "c6gn",
        "c6id",
        "c6in",
        "c6gd",
        "c5",
        "c5a",
        "c5d",
        "c5ad",
        "c5n",
        "c4",
        "m8id",
        "m8i",
        "m8i-flex",
        "m8a",
        "m8azn",
        "m8gn",
        "m8gb",
        "m8gd",
        "m8g",
        "m7i",
        "m7a",
        "m7g",
        "m7gd",
        "m7i-flex",
        "m6a",
        "m6i",
        "m6in",
        "m6g",
        "m6idn",
        "m6id",
        "m6gd",
        "m5",
        "m5a",
        "m5ad",
        "m5n",
        "m5dn",
        "m5d",
        "m5zn",
        "m4",
        "t4g",
        "t3",
        "t3a",
        "t2",
        "r8id",
        "r8i",
        "r8i-flex",
        "r8gn",
        "r8gb",
        "r8gd",
        "r8g",
        "r8a",
        "r7a",
        "r7iz",
        "r7gd",
        "r7i",
        "r7g",
        "r6a",
        "r6i",
        "r6id",
        "r6in",
        "r6idn",
        "r6g",
        "r6gd",
        "r5",
        "r5n",
        "r5a",
        "r5dn",
        "r5b",
        "r5ad",
        "r5d",
        "r4",
        "z1d",
        "x8aedz",
        "x8g",
        "x8i",
        "x2gd",
        "i8ge",
        "i7i",
        "i8g",
        "i7ie",
        "i4g",
        "i4i",
        "i3",
        "i3en",
        "is4gen",
        "d3",
        "d3en",
        "im4gn",
        "hpc8a",
        "x2iezn",
        "x2iedn",
        "x2idn",
    ]
)
"""Every family that Auto Mode launches (EKS User Guide, "Learn about EKS Auto Mode managed instances"). P6e-GB200 is not
among them, nor are g6f and gr6f, whose part of a GPU no pod can ask for (aws/karpenter-provider-aws #8368)."""

GPU_POOL_FAMILIES = ("g5", "g6", "gr6", "g6e", "g7e", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300")
"""Families a pool of this program may name: NVIDIA GPUs on amd64, from Ampere (compute capability 8.0) on, for which Dynamo's images are
built (Dynamo EKS guide). Auto Mode launches older ones too, and Graviton's and Trainium's."""

UNSEEN_MEMORY_PER_MILLE = 75
"""Memory that Karpenter takes the guest not to see before a node of the type has joined (its setting
`vmMemoryOverheadPercent`, 0.075). Large nodes see more, but a pod that needs more than this leaves stays Pending until one
has joined."""

MAX_PODS = 110
"""Most pods on an Auto Mode node. Nodes with few network interfaces allow fewer (56 on 8 vCPU), and keep less memory."""

EVICTION_MIB = 100
"""Free memory below which kubelet evicts; never allocatable (Karpenter's and kubelet's default)."""

AGENTS_CPU_MILLI, AGENTS_MEMORY_MIB = 200, 512
"""Set aside on top: what Auto Mode keeps for its own agents, 150m and 75 MiB on the one node whose figures are public
(aws-samples/appmod-blueprints #235), and room for a node pod such as the EFS CSI driver's. That its reservations are tight
when pods burst is in aws/containers-roadmap #2776."""

_ARM_CMA_MIB = 64
"""Memory an arm64 kernel keeps for contiguous allocation (Karpenter's instance type resolver)."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type."""

    type: str
    """`g6e.12xlarge`."""
    family: str
    """`g6e`."""
    size: str
    """`12xlarge`."""
    arch: str
    """`amd64` or `arm64`, as in `kubernetes.io/arch`."""
    vcpu: int
    memory_mib: int
    """As EC2 sells it; a node sees less, see `allocatable`."""
    gpus: int
    """Whole NVIDIA GPUs; 0 on CPU types."""
    gpu_name: str
    """As in Karpenter's label, `l40s`; empty without GPUs."""
    gpu_memory_mib: int
    """Of one GPU."""
    efa: int
    """EFA interfaces of a whole node: EC2's maximum. On P6e-GB200 the 4 of the layout that the EKS User Guide recommends;
    8, on every odd card, are possible at the same bandwidth."""
    nvme_gb: int
    """Of all local disks together, in decimal gigabytes as EC2 counts them; 0 without local disks."""
    auto_mode: bool
    """Whether EKS Auto Mode launches it."""


LARGEST_GENERAL = Instance("r7i.48xlarge", "r7i", "48xlarge", "amd64", 192, 1536 * 1024, 0, "", 0, 0, 0, True)
"""Of the largest machines that the built-in general-purpose pool launches: families c, m and r after the fourth generation. What fits
none of them (a frontend, a download) waits for ever."""


class UnknownInstance(ValueError):
    """An instance type that is not in the table."""


@cache
def table() -> Mapping[str, Instance]:
    """Every known type by name. Read from the file once."""
    raw = json.loads(Path(__file__).with_name("instances.json").read_text())
    return {item[0]: Instance(item[0], *item[0].split("."), *item[1:]) for item in raw["rows"]}


def known(type_: str) -> bool:
    """Whether the type is in the table."""
    return type_ in table()


def families() -> frozenset[str]:
    """Families that the table has types of."""
    return frozenset(item.family for item in table().values())


def instance(type_: str) -> Instance:
    """Facts of a type. Raises UnknownInstance, which names the nearest one there is."""
    found = table().get(type_)
    if found is None:
        import difflib

        near = difflib.get_close_matches(type_.strip().lower(), table())
        raise UnknownInstance(
            f"instance type {type_!r} is not in the table of instance types"
            + (f"; did you mean {near[0]}?" if near else f"; it has types of {', '.join(sorted(families()))}")
        )
    return found


def in_family(family: str) -> tuple[Instance, ...]:
    """Types of a family, smallest first; none for a family that is not in the table."""
    return _by_size(item for item in table().values() if item.family == family)


def allocatable(item: Instance) -> tuple[int, int]:
    """CPU (milli) and memory (MiB) that pods can ask for on an Auto Mode node, on the careful side.

    From what EC2 sells, less what Karpenter reckons with before it has seen a node of the type (its instance type
    resolver, after Bottlerocket's kubelet settings): CPU 6 % of the first core, 1 % of the second, 0.5 % of the next two
    and 0.25 % of the rest; memory that the guest does not see, 255 MiB and 11 MiB a pod for kubelet, and the eviction
    threshold. AGENTS_* come off both.
    """
    # In tenths of a milli-core, and rounded up at the end, so that no part is lost.
    kept = 600 + 100 * (item.vcpu > 1) + 50 * min(max(item.vcpu - 2, 0), 2) + 25 * max(item.vcpu - 4, 0)
    cpu = item.vcpu * 1000 - math.ceil(kept / 10) - AGENTS_CPU_MILLI
    memory = item.memory_mib - (_ARM_CMA_MIB if item.arch == "arm64" else 0)
    memory -= math.ceil(memory * UNSEEN_MEMORY_PER_MILLE / 1000)
    return cpu, memory - (255 + 11 * MAX_PODS) - EVICTION_MIB - AGENTS_MEMORY_MIB


def labels(item: Instance) -> dict[str, str]:
    """Labels that a node of this type carries for its type (EKS User Guide, "Create a Node Pool for EKS Auto Mode").

    Without those of its zone and purchase. `local-nvme` is EC2's number of decimal gigabytes, 900 on a g4dn.8xlarge.
    """
    return dict(_labels(item))


@cache
def _labels(item: Instance) -> Mapping[str, str]:
    # Category is what stands before the first digit: `gr` for gr6, `p` for p6-b200.
    parts = re.match(r"([a-z]+)(\d+)", item.family)
    category, generation = parts.groups() if parts else ("", "")
    own = {
        "category": category,
        "generation": generation,
        "family": item.family,
        "size": item.size,
        "cpu": str(item.vcpu),
        "memory": str(item.memory_mib),
    }
    if item.gpus:
        own |= {
            "gpu-name": item.gpu_name,
            "gpu-manufacturer": "nvidia",
            "gpu-count": str(item.gpus),
            "gpu-memory": str(item.gpu_memory_mib),
        }
    if item.nvme_gb:
        own["local-nvme"] = str(item.nvme_gb)
    found = {f"{_PREFIX}{name}": value for name, value in own.items()}
    found |= {
        "node.kubernetes.io/instance-type": item.type,
        "kubernetes.io/arch": item.arch,
        "kubernetes.io/os": "linux",
    }
    if item.auto_mode:
        found["eks.amazonaws.com/compute-type"] = "auto"
    return found


_PREFIX = "eks.amazonaws.com/instance-"

JUDGED = frozenset(
    {
        "node.kubernetes.io/instance-type",
        "kubernetes.io/arch",
        *(
            f"{_PREFIX}{name}"
            for name in (
                "category", "generation", "family", "size", "cpu", "memory",
                "gpu-name", "gpu-manufacturer", "gpu-count", "gpu-memory", "local-nvme",
            )
        ),
    }
)  # fmt: skip
"""Labels by which `launchable` tells types apart. The table knows nothing of the others (zone, purchase option, network
bandwidth, CPU manufacturer), so requirements on them do not narrow its answer."""


def launchable(node_pool: Mapping[str, Any]) -> tuple[Instance, ...]:
    """Types of the table that a rendered `karpenter.sh/v1` NodePool may launch, smallest first.

    Karpenter's rules: every requirement must hold, a label of the pool's template counts as one, `NotIn` and
    `DoesNotExist` hold where the label is absent, comparisons do not. Raises ValueError for an operator it has not, or a
    comparison with anything but one whole number.
    """
    template = node_pool["spec"]["template"]
    stated = [{"key": key, "operator": "In", "values": [value]} for key, value in _pool_labels(template).items()]
    stated += template["spec"].get("requirements") or []
    judged = [item for item in stated if item["key"] in JUDGED]
    return _by_size(
        item for item in table().values() if item.auto_mode and all(_holds(_labels(item), each) for each in judged)
    )


def _pool_labels(template: Mapping[str, Any]) -> Mapping[str, str]:
    return (template.get("metadata") or {}).get("labels") or {}


def _by_size(found: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(found, key=lambda item: (item.gpus, item.vcpu, item.memory_mib, item.type)))


def _holds(found: Mapping[str, str], requirement: Mapping[str, Any]) -> bool:
    value, values, operator = found.get(requirement["key"]), requirement.get("values") or [], requirement["operator"]
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator not in _COMPARES:
        raise ValueError(
            f"requirement on {requirement['key']}: operator {operator!r} is not one that Karpenter has; "
            f"use In, NotIn, Exists, DoesNotExist, {', '.join(_COMPARES)}"
        )
    bound = _bound(requirement["key"], operator, values)
    return value is not None and value.isdecimal() and _COMPARES[operator](int(value), bound)


def _bound(key: str, operator: str, values: Sequence[Any]) -> int:
    if len(values) != 1 or not str(values[0]).isdecimal():
        raise ValueError(
            f"requirement on {key}: {operator} {list(values)}, expected one whole number, as in values: ['8']"
        )
    return int(values[0])


_COMPARES = {
    "Gt": int.__gt__,
    "Lt": int.__lt__,
    "Gte": int.__ge__,
    "Lte": int.__le__,
}
"""Karpenter's comparisons (`karpenter.sh/v1` NodePool, release 1.14)."""
