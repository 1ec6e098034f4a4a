"""How many pods a node holds, and how many nodes so many pods take. The one arithmetic of room: limits of pools, checks of stack
files, rules and the grid of a rack all ask here. Pure.

A pod is never divided: four workers of 6 GPUs take four nodes of 8, although 24 GPUs are three nodes' worth.
"""

from __future__ import annotations

from collections.abc import Mapping


def per_node(takes: Mapping[str, int], node: Mapping[str, int]) -> int:
    """Pods of one kind that an empty node holds, by every resource that one takes; 0 when not even one fits.

    What a pod takes nothing of is left out of account. A pod that takes nothing at all fits a hundred times: the kubelet's
    limit is 110 pods, and some are the node's own.
    """
    return min((node.get(what, 0) // amount for what, amount in takes.items() if amount > 0), default=100)


def nodes_for(pods: int, of_each: int) -> int:
    """Nodes that so many pods of one kind take, with `of_each` on a node. Pods that fit nowhere take one each, so that whoever
    compares the number with what is there finds it wanting."""
    return -(-pods // max(of_each, 1))
