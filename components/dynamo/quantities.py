"""Kubernetes quantities as numbers. Pure."""

from __future__ import annotations

_DECIMAL = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def mib(quantity: str) -> int:
    """A memory quantity in MiB, rounded up."""
    for suffix, factor in {**_BINARY, **_DECIMAL}.items():
        if quantity.endswith(suffix):
            return int(-(-float(quantity[: -len(suffix)]) * factor // 2**20))
    return int(-(-float(quantity) // 2**20))


def milli(quantity: str) -> int:
    """A CPU quantity in thousandths of a core."""
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)
