"""Network cards of instance types with EFA, and the interfaces a launch template asks for. Pure.

A wrong card or device index is refused when the first instance launches, or starts with less bandwidth than was paid for.
Sources: EC2 User Guide, "Maximize network bandwidth on Amazon EC2 instances with multiple network cards"; that P6e's odd
cards take one interface, at device index 0, is in aws/aws-parallelcluster #6928 and #6944. Most other types take EFA at
device index 1, so no two types share a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface of a launch template."""

    card: int
    device: int
    type: str
    """`interface` carries IP traffic, `efa-only` takes no address."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A set of interfaces that EC2 accepts for a type."""

    efa_cards: tuple[int, ...]
    """Cards that get an EFA-only interface."""
    efa_device: int
    """Device index of those interfaces."""
    gbps: int
    """Bandwidth of the EFA interfaces together."""
    source: str

    def interfaces(self) -> tuple[Interface, ...]:
        """The primary interface on card 0, and the EFA interfaces."""
        return (
            Interface(0, 0, "interface"),
            *(Interface(card, self.efa_device, "efa-only") for card in self.efa_cards),
        )


_P6E = "EC2 User Guide, multiple network cards, P6e-GB200: 17 cards, pairs [1,2] to [15,16] share 400 Gbps"

CARDS: Mapping[str, Mapping[int, Layout]] = {
    "p6e-gb200.36xlarge": {
        4: Layout((1, 5, 9, 13), 0, 1600, f"{_P6E}; the layout that it and the EKS User Guide advise"),
        8: Layout((1, 3, 5, 7, 9, 11, 13, 15), 0, 1600, f"{_P6E}; every odd card"),
    },
}
"""Layouts by instance type and number of EFA interfaces."""


def layout(instance_type: str, efa_interfaces: int) -> Layout:
    """The layout of a type; ValueError says which there are."""
    known = CARDS.get(instance_type)
    if known is None:
        raise ValueError(f"the network cards of {instance_type} are not known; known are {', '.join(sorted(CARDS))}")
    if efa_interfaces not in known:
        choices = " or ".join(str(count) for count in known)
        raise ValueError(f"{instance_type} has no layout with {efa_interfaces} EFA interfaces; choose {choices}")
    return known[efa_interfaces]
