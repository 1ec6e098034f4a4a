"""How many pods a node holds, and how many nodes so many pods take. The one arithmetic of room: limits of pools, checks of stack
files, rules and the grid of a rack all ask here. Pure.

A pod is never divided: four workers of 6 GPUs take four nodes of 8, although 24 GPUs are three nodes' worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


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


class Kind(NamedTuple):
    """Pods of one kind."""

    pods: int
    takes: Mapping[str, int]
    """What each takes of a node."""
    name: str = ""
    shuns: str = ""
    """Name of the kind whose pods it is never on one node with (anti-affinity); it shuns this one as well."""


def nodes_together(kinds: Sequence[Kind], node: Mapping[str, int]) -> int:
    """Nodes that pods of several kinds take together: the larger pods first, each onto the first node with room. Where every size
    divides the next larger one, as GPUs of workers do, and none shuns another, fewer nodes cannot hold them."""
    standing: list[tuple[int, Mapping[str, int], frozenset[str]]] = []
    """How many nodes have the same left, and the same kinds on them."""
    for pods, takes, name, shuns in sorted(kinds, key=lambda kind: -_share(kind.takes, node)):
        empty = (nodes_for(pods, per_node(takes, node)), node, frozenset[str]())
        after: list[tuple[int, Mapping[str, int], frozenset[str]]] = []
        for count, left, there in (*standing, empty):
            of_each = 0 if shuns and shuns in there else per_node(takes, left)
            if left is node and not of_each:
                # Pods that fit nowhere have a node each, and nothing is left of it.
                after += [(count, {}, there)] if count else []
                continue
            full, rest = (min(count, pods // of_each), 0) if of_each else (0, 0)
            pods -= full * of_each
            if of_each and pods and full < count:
                rest, pods = pods, 0
            after += [(full, _less(left, takes, of_each), there | {name})] if full else []
            after += [(1, _less(left, takes, rest), there | {name})] if rest else []
            untouched = count - full - bool(rest)
            after += [(untouched, left, there)] if untouched and left is not node else []
        standing = after
    return sum(count for count, *_ in standing)


def _share(takes: Mapping[str, int], node: Mapping[str, int]) -> float:
    """The largest part of a node that a pod takes of anything."""
    return max((amount / max(node.get(what, 0), 1) for what, amount in takes.items()), default=0)


def _less(left: Mapping[str, int], takes: Mapping[str, int], pods: int) -> Mapping[str, int]:
    return {what: amount - takes.get(what, 0) * pods for what, amount in left.items()}
