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


_REFERENCES = {"secretKeyRef": "name", "secretRef": "name", "secret": "secretName"}
"""Where a pod names a Secret by the key that holds the reference (Kubernetes, core/v1): variables, `envFrom`, volumes."""


def _asked(value: Any) -> Iterator[str]:
    """Names of Secrets that an object's pods need to start."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "imagePullSecrets" and isinstance(below, (list, tuple)):
                yield from (str(item["name"]) for item in below if isinstance(item, Mapping) and "name" in item)
            elif key in _REFERENCES and isinstance(below, Mapping) and not below.get("optional"):
                if name := below.get(_REFERENCES[key]):
                    yield str(name)
            else:
                yield from _asked(below)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _asked(item)


@rule(
    "secrets-beforehand",
    "Every Secret that pods name is made here, or is in a namespace that is there already.",
    "A namespace that the program makes is empty: its pods wait for a Secret that nobody could have put there, and `make up` with "
    "them until it times out (airunway #28).",
    of="stack",
)
def secrets_beforehand(graph: Graph) -> Iterator[Finding | Looked]:
    made_here = {item.name for item in graph.objects_of("Namespace")}
    there = {(item.namespace, item.name) for item in graph.objects_of("Secret")}
    asked: dict[tuple[str, str], str] = {}
    for item in graph.objects:
        for name in _asked(item.manifest):
            asked.setdefault((str(item.namespace), name), item.address)
    for node in graph.releases:
        for name in _asked(node.inputs.get("values") or {}):
            asked.setdefault((str(node.inputs.get("namespace")), name), node.name)
    for (namespace, name), who in asked.items():
        yield Looked(f"Secret {namespace}/{name}")
        if namespace in made_here and (namespace, name) not in there:
            yield Finding(
                f"Secret {namespace}/{name}",
                f"{who} waits for it, and this program makes the namespace: while `make up` waits, put it there with `kubectl -n "
                f"{namespace} create secret`, or let the program make it, from huggingFaceToken or imagePullSecret.server",
                "warn",
            )
