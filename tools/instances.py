"""Derive `components/capacity/instances.json` from EC2's own description of its instance types.

The PyPI package `moto` carries EC2's answers to DescribeInstanceTypes. Nothing of it need be installed:

    pip download --no-deps moto==5.2.5
    python -m tools.instances moto-5.2.5-py3-none-any.whl

A file with EC2's answer does as well (`.json` or `.json.gz`: type name to its InstanceTypeInfo). Only facts are taken.
What EC2 does not describe publicly is in ADDED, each with its source.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "components" / "capacity" / "instances.json"

IN_MOTO = "moto/ec2/resources/instance_types.json.gz"
"""Where a moto wheel keeps EC2's answer."""

GPU_FAMILIES = (
    "p6-b200", "p6-b300", "p5", "p5e", "p5en", "p4d", "p4de", "p3dn", "g7e", "g6", "gr6", "g6e", "g5g", "g5", "g4dn",
)  # fmt: skip
"""Families with NVIDIA GPUs that EKS Auto Mode supports (EKS User Guide, "Learn about EKS Auto Mode managed instances")."""

CPU_FAMILIES = ("c7i", "m7i", "r7i")
"""A sample of what the built-in general-purpose pool launches (C, M and R of generation 5 and later, amd64)."""

COLUMNS = ("type", "arch", "vcpu", "memory_mib", "gpus", "gpu_name", "gpu_memory_mib", "efa", "nvme_gb", "auto_mode")

ADDED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    # 740 GB of GPU memory is EC2's binary counting, as for its other types (p6-b300: "2144 GB" is 8 x 275040 MiB), so
    # 189440 MiB a GPU. Eight EFA interfaces are possible too; see Instance.efa.
    "p6e-gb200.36xlarge": (
        ("arm64", 144, 983040, 4, "gb200", 189440, 4, 22500, False),
        "EC2 instance type specifications, accelerated computing: 144 vCPU, 960 GiB, 4 GB200 with 740 GB, 3 x 7500 GB NVMe; "
        "EKS User Guide, Use P6e-GB200 UltraServers with Amazon EKS: EFA on network cards 1, 5, 9, 13; "
        "not in the list of types that EKS Auto Mode supports",
    ),
}
"""Types sold through UltraServer Capacity Blocks only, which DescribeInstanceTypes leaves out, and where it says so."""


def row(type_: str, facts: Mapping[str, Any]) -> tuple[Any, ...]:
    """One type's facts, in the order of COLUMNS.

    Raises ValueError for GPUs that cannot be counted as whole NVIDIA ones. EC2 has said 0 GPUs of its types with a part
    of one (g6f, gr6f), and for a time of p5.4xlarge, and Karpenter then launches nothing for a pod that asks for a GPU
    (aws/karpenter-provider-aws #8368): such a type in the table would promise capacity that never comes.
    """
    devices = facts.get("GpuInfo", {}).get("Gpus", [])
    if len(devices) > 1 or any(device["Manufacturer"] != "NVIDIA" or not device["Count"] for device in devices):
        raise ValueError(
            f"{type_}: GPUs {devices}, expected none, or whole ones of one NVIDIA kind; leave the type out"
        )
    gpu = devices[0] if devices else {}
    return (
        type_,
        "arm64" if "arm64" in facts["ProcessorInfo"]["SupportedArchitectures"] else "amd64",
        facts["VCpuInfo"]["DefaultVCpus"],
        facts["MemoryInfo"]["SizeInMiB"],
        gpu.get("Count", 0),
        # Karpenter's spelling of a label value (instance type resolver of karpenter-provider-aws).
        gpu.get("Name", "").lower().replace(" ", "-"),
        gpu.get("MemoryInfo", {}).get("SizeInMiB", 0),
        facts["NetworkInfo"].get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        facts.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        # Nothing says that Auto Mode runs on bare metal, and Karpenter prefers every other type to it.
        not facts.get("BareMetal", False),
    )


def derive(types: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, Any]:
    """The table: where it is from, columns, and one row per type, by name. Raises ValueError when a family is missing."""
    families = (*GPU_FAMILIES, *CPU_FAMILIES)
    missing = sorted(set(families) - {name.split(".")[0] for name in types})
    if missing:
        raise ValueError(f"{source} has no type of {', '.join(missing)}; take a newer one")
    rows = [row(name, facts) for name, facts in types.items() if name.split(".")[0] in families]
    rows += [(name, *facts) for name, (facts, _) in ADDED.items() if name not in types]
    added = {name: said for name, (_, said) in ADDED.items() if name not in types}
    return {"source": source, "added": added, "columns": list(COLUMNS), "rows": sorted(list(item) for item in rows)}


def render(table: Mapping[str, Any]) -> str:
    """The file's text: a row a line, so that a change shows as one."""
    rows = ",\n".join(json.dumps(item, separators=(",", ":")) for item in table["rows"])
    head = json.dumps({key: value for key, value in table.items() if key != "rows"}, indent=1)
    return f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n'


def read(path: Path) -> tuple[dict[str, Any], str]:
    """EC2's answer from a moto wheel or a file, and how to cite it."""
    if path.suffix == ".whl":
        data, name = zipfile.ZipFile(path).read(IN_MOTO), f"{' '.join(path.name.split('-')[:2])} (PyPI), {IN_MOTO}"
    else:
        data, name = path.read_bytes(), path.name
    digest = hashlib.sha256(data).hexdigest()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return json.loads(text), f"EC2 DescribeInstanceTypes as carried by {name}, sha256 {digest}"


def main(arguments: list[str]) -> None:
    """Write the table from the wheel or file named."""
    if len(arguments) != 1:
        sys.exit(
            "usage: python -m tools.instances MOTO_WHEEL_OR_JSON (the docstring of tools/instances.py says how to get one)"
        )
    types, source = read(Path(arguments[0]))
    TARGET.write_text(render(derive(types, source)))


if __name__ == "__main__":
    main(sys.argv[1:])
