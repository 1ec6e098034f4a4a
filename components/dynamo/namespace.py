"""A namespace that holds graphs: its secrets and its claims on shared files.

Secrets and claims cannot be used across namespaces, so every one that holds a graph gets its own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Namespace, PersistentVolumeClaim, Secret

TOKEN_SECRET = "hf-token-secret"
"""Name that Dynamo's guides and recipes use; the token is under HF_TOKEN."""

PULL_SECRET = "registry-credentials"


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """Login to a private registry."""

    server: str
    username: str
    password: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class GraphNamespaceArgs:
    namespace: str
    """Physical name. Changing it replaces everything in it."""
    caches: Sequence[str]
    """Claims to make, by name."""
    storage_class: str
    """Changing it replaces the claims, and with them the downloads and graphs that use them; what they held on EFS stays."""
    access_mode: str
    size_gib: int
    fixed_size: bool = False
    """The class does not resize claims (EFS has no sizes): another `size_gib` counts for claims made afterwards. Elsewhere
    it is asked of the claims that are there, which their class may refuse."""
    hugging_face_token: pulumi.Input[str] | None = None
    registry: RegistryLogin | None = None
    depends_on: Sequence[pulumi.Resource] = ()
    """What must be there before anything of it, and outlive it. `opts.depends_on` does not reach a component's children."""


def docker_config(server: str, username: str, password: str) -> str:
    """Content of a `kubernetes.io/dockerconfigjson` Secret."""
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {server: {"username": username, "password": password, "auth": auth}}})


def pull_secret(name: str, namespace: str, login: RegistryLogin, opts: pulumi.ResourceOptions) -> Secret:
    """Image pull secret of a namespace; its content stays a Pulumi secret."""
    content = pulumi.Output.secret(pulumi.Output.from_input(login.password)).apply(
        lambda password: docker_config(login.server, login.username, password)
    )
    return Secret(
        name,
        metadata={"name": PULL_SECRET, "namespace": namespace},
        type="kubernetes.io/dockerconfigjson",
        string_data={".dockerconfigjson": content},
        opts=opts,
    )


class GraphNamespace(pulumi.ComponentResource):
    """Namespace with the token and the cache claims of its graphs."""

    namespace: str
    ready: list[pulumi.Resource]
    """What pods here need before they start."""
    claims: list[pulumi.Resource]
    """The claims among them."""

    def __init__(self, name: str, args: GraphNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynamo-eks:index:GraphNamespace", name, {"namespace": args.namespace}, opts)
        self.namespace = args.namespace
        namespace = Namespace(
            f"{name}-namespace",
            metadata={"name": args.namespace},
            opts=pulumi.ResourceOptions(
                parent=self,
                # What claims are provisioned and mounted through must outlive them, or their pods cannot end.
                depends_on=list(args.depends_on),
            ),
        )
        # The namespace is named as text below, so each object is ordered after it.
        child = pulumi.ResourceOptions(parent=self, depends_on=[namespace])
        self.ready = [namespace]
        if args.hugging_face_token is not None:
            self.ready.append(
                Secret(
                    f"{name}-token",
                    metadata={"name": TOKEN_SECRET, "namespace": args.namespace},
                    string_data={"HF_TOKEN": pulumi.Output.secret(args.hugging_face_token)},
                    opts=child,
                )
            )
        if args.registry is not None:
            self.ready.append(pull_secret(f"{name}-registry", args.namespace, args.registry, child))
        self.claims = [self._claim(name, args, cache, namespace) for cache in args.caches]
        self.ready += self.claims
        self.register_outputs({"namespace": self.namespace})

    def _claim(self, name: str, args: GraphNamespaceArgs, cache: str, namespace: Namespace) -> PersistentVolumeClaim:
        return PersistentVolumeClaim(
            f"{name}-{cache}",
            metadata={
                "name": cache,
                "namespace": args.namespace,
                # A class that binds on first use leaves the claim Pending until a pod mounts it; waiting for it here
                # would wait for ever.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec={  # pyright: ignore[reportArgumentType] the SDK takes keys as on the wire
                "accessModes": [args.access_mode],
                "storageClassName": args.storage_class,
                "resources": {"requests": {"storage": f"{args.size_gib}Gi"}},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[namespace],
                # The API server refuses another size for a claim of a class that cannot resize, and with it the whole `up`.
                ignore_changes=["spec.resources.requests.storage"] if args.fixed_size else None,
            ),
        )
