"""What an edit of a stack file does, told from two recordings, as docs/settings.md says it."""

from __future__ import annotations

from collections import Counter

from recording.graph import Graph
from review.changes import compare
from review.edits import held, refused
from review.restarts import restarts


def options(old: Graph, new: Graph) -> bool:
    """Whether protection, retention or an order differs, or what the program gives out."""
    kept = [{node.key: (node.protect, node.retain_on_delete, node.provider) for node in graph} for graph in (old, new)]
    return kept[0] != kept[1] or old.outputs != new.outputs


def _kind(key: str) -> str:
    type_ = key.partition("::")[0]
    # What the provider tags, or as whom it acts, is not among the inputs of what it makes.
    providers = {"aws": "AWS provider (all that it tags)", "kubernetes": "Kubernetes provider"}
    name = type_.rsplit(":", 1)[-1]
    return providers[name] if type_.startswith("pulumi:providers:") else name


def told(old: Graph, new: Graph) -> tuple[str, str]:
    """In words: what the engine would do, and what restarts; or that AWS would refuse it."""
    if faults := refused(held(old), new):
        said = dict.fromkeys(f"{fault.words} (`{fault.id}`)" for fault in faults)
        return f"`make up` refuses it: {'; '.join(said)}", "nothing"
    changes = compare(old, new)
    parts = []
    for op in ("create", "update", "replace", "delete"):
        kinds = Counter(_kind(key) for key, item in changes.verdict.items() if item == op)
        if kinds:
            parts.append(f"{op}s " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    return "; ".join(parts) or "nothing", "; ".join(
        dict.fromkeys(restarts(changes.verdict, changes.differ, old, new))
    ) or "nothing"
