"""Rules about secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recording.graph import SECRET, Graph
from rules.model import Finding, Looked, rule
from stacks.tokens import is_token


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


@rule(
    "no-clear-secrets",
    "No token appears in clear, and what a Secret holds is marked secret.",
    "State files, previews and logs are read by many; a token in them must be revoked.",
    of="stack",
)
def no_clear_secrets(graph: Graph) -> Iterator[Finding | Looked]:
    for node in graph:
        for text in _texts(node.inputs):
            if is_token(text):
                yield Finding(
                    node.name, "holds something shaped like a token in clear; revoke it and give it as a secret"
                )
    for item in graph.objects_of("Secret"):
        yield Looked(item.address)
        for field in ("data", "stringData"):
            values = item.manifest.get(field)
            for key, value in values.items() if isinstance(values, Mapping) else ():
                if value != SECRET:
                    yield Finding(
                        item.address, f"{field}.{key} is not a Pulumi secret; it would be in clear in the state"
                    )
