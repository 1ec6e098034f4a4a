"""Which machines Dynamo's wheels are published for. Standard library only: `make serve` asks before anything is installed.

The registry holds `ai-dynamo-runtime` for Linux on x86_64 and aarch64, against glibc 2.28 (tag manylinux_2_28), for CPython
3.10 and newer; nothing for macOS, Windows and musl (looked up for 1.4.0, 1.5.0 and 1.6.1 on 2026-11-25).
"""

from __future__ import annotations

import platform
import sys

MACHINES = ("x86_64", "aarch64")
GLIBC_FLOOR = (2, 28)
WAY_OUT = (
    "Use a Linux machine or container with glibc {}.{} or newer, x86_64 or aarch64; `make plan STACK=mocker-local` works"
    " everywhere."
).format(*GLIBC_FLOOR)


def refusal(system: str, machine: str, libc: tuple[str, str]) -> str | None:
    """Why Dynamo cannot run on such a machine, with the way out; None where it can. Arguments as `platform.system()`,
    `platform.machine()` and `platform.libc_ver()` give them."""
    name, version = libc
    if system != "Linux":
        why = (
            f"NVIDIA publishes Dynamo's wheels for Linux only, and this is {'macOS' if system == 'Darwin' else system}"
        )
    elif machine not in MACHINES:
        why = f"NVIDIA publishes Dynamo's wheels for {' and '.join(MACHINES)}, and this is {machine}"
    elif name != "glibc":
        why = f"Dynamo's wheels need glibc, and this Linux has {name or 'another C library (musl)'}"
    elif tuple(int(part) for part in version.split(".")[:2]) < GLIBC_FLOOR:
        why = f"Dynamo's wheels need glibc {GLIBC_FLOOR[0]}.{GLIBC_FLOOR[1]}, and this Linux has {version}"
    else:
        return None
    return f"make serve cannot run here: {why}.\n{WAY_OUT}"


def here() -> str | None:
    """`refusal` for this machine."""
    return refusal(platform.system(), platform.machine(), platform.libc_ver())


if __name__ == "__main__":
    said = here()
    if said:
        print(said, file=sys.stderr)
    sys.exit(2 if said else 0)
