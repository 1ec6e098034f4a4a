"""The recorded graph: every resource a stack's program registered, reduced to what a reviewer reads.

Pure data, no pulumi import. The recorder fills it; the rules, the report and the tests read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

UNKNOWN = "<known after apply>"
"""Stands in a recorded property for a value only the provider will know (preview recordings)."""

SECRET = "[secret]"
"""Stands in a recorded property for a secret value; the clear text is never kept."""


@dataclass(frozen=True, slots=True)
class Node:
    """One registered resource, with the options that decide its life."""

    order: int
    """Position in the order of registration, from 1."""
    type: str
    """Type token, for example `aws:ec2/vpc:Vpc`."""
    name: str
    """Pulumi name, unique within its type."""
    urn: str
    parent: str | None = None
    """Key (`type::name`) of the parent component; None directly under the stack."""
    provider: str | None = None
    """Key of the explicit provider resource; None means the engine's default provider."""
    provider_mismatch: bool = False
    """The provider handed over is of another package, which Pulumi ignores without a word."""
    depends_on: tuple[str, ...] = ()
    """Keys of everything that must exist first: `depends_on` and property dependencies, without the resource's own parents."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Properties as on the wire (camelCase); secrets are `[secret]`."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Inputs plus what the provider (or, offline, `answers.py`) computed."""
    id: str = ""
    custom: bool = True
    """False for components, which create nothing by themselves."""
    remote: bool = False
    protect: bool = False
    retain_on_delete: bool = False
    deleted_with: str | None = None
    delete_before_replace: bool = False
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    replace_with: tuple[str, ...] = ()
    """Keys of resources whose replacement replaces this one."""
    replacement_trigger: Any = None
    """A value whose change replaces the resource; None without one."""
    timeouts: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    secret_inputs: tuple[str, ...] = ()
    """Top-level properties that carry a secret somewhere inside."""
    assumed: str | None = None
    """Why this resource is listed although the program did not register it itself."""

    @property
    def key(self) -> str:
        return f"{self.type}::{self.name}"

    @property
    def package(self) -> str:
        """Provider package of the type (`aws`, `kubernetes`, `pulumi`, ...)."""
        return self.type.split(":", 1)[0]

    @property
    def short_type(self) -> str:
        """Readable type: `ec2.Vpc`, `karpenter.sh/v1 NodePool`."""
        package, module, cls = (self.type.split(":") + ["", ""])[:3]
        if package == "kubernetes":
            return f"{module} {cls}"
        if package in ("dynamo-eks", "eks"):
            return cls
        return f"{module.split('/')[0]}.{cls}" if module and module != "providers" else cls


@dataclass(frozen=True, slots=True)
class Read:
    """One question the program asked a provider while it ran (an invoke), and what it was answered."""

    token: str
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any]
    provider: str | None = None
    """Key of the explicit provider resource; None means the engine's default provider."""


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """A rendered Kubernetes object and the resource it belongs to."""

    node: Node
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest.get("kind", ""))

    @property
    def name(self) -> str:
        return str(self.manifest.get("metadata", {}).get("name", ""))

    @property
    def namespace(self) -> str | None:
        return self.manifest.get("metadata", {}).get("namespace")

    @property
    def address(self) -> str:
        """`Kind namespace/name`, as people say it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


_NOT_OBJECTS = ("kubernetes:helm.sh/", "kubernetes:yaml", "kubernetes:kustomize")


class Graph(Sequence[Node]):
    """All nodes in order of registration, with the questions tests and rules ask of them."""

    def __init__(
        self,
        stack: str,
        nodes: Sequence[Node],
        *,
        outputs: Mapping[str, Any] | None = None,
        reads: Sequence[Read] = (),
        assumptions: Sequence[str] = (),
        preview: bool = False,
        at: datetime | None = None,
    ) -> None:
        self.stack = stack
        self.nodes = tuple(nodes)
        self.outputs = dict(outputs or {})
        self.reads = tuple(reads)
        self.assumptions = tuple(assumptions)
        self.preview = preview
        self.at = at or datetime.now(UTC)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index: Any) -> Any:
        return self.by_key[index] if isinstance(index, str) else self.nodes[index]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, key: object) -> bool:
        return key in self.by_key if isinstance(key, str) else key in self.nodes

    @cached_property
    def by_key(self) -> dict[str, Node]:
        return {node.key: node for node in self.nodes}

    @cached_property
    def _by_type(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.type, []).append(node)
        return found

    def of(self, type_: str) -> list[Node]:
        """Nodes of a type; `*` at the end matches a prefix (`kubernetes:*`)."""
        if type_.endswith("*"):
            return [node for node in self.nodes if node.type.startswith(type_[:-1])]
        return self._by_type.get(type_, [])

    def one(self, type_: str, name: str | None = None) -> Node:
        """The only node of a type (and name); LookupError says what was found instead."""
        found = [node for node in self.of(type_) if name is None or node.name == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} nodes of {type_} {name or ''}: {[node.name for node in found]}")
        return found[0]

    def children(self, key: str | None) -> list[Node]:
        return self._children.get(key, [])

    @cached_property
    def _children(self) -> dict[str | None, list[Node]]:
        found: dict[str | None, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.parent, []).append(node)
        return found

    def requires(self, key: str) -> frozenset[str]:
        """Keys that must exist before this one: dependencies, parents and the provider, transitively."""
        return self._requires[key]

    @cached_property
    def _requires(self) -> dict[str, frozenset[str]]:
        closed: dict[str, frozenset[str]] = {}
        # Registration order is a topological order: a dependency has always been registered before its dependent.
        for node in self.nodes:
            direct = self.direct(node)
            closed[node.key] = frozenset(direct).union(*(closed.get(key, frozenset()) for key in direct))
        return closed

    def direct(self, node: Node) -> list[str]:
        """Keys of what the engine waits for itself before it makes a resource: dependencies, parent and provider."""
        direct = [key for key in node.depends_on if key in self.by_key]
        # A remote component is done when everything it made is: what depends on it comes after all of that, and in a
        # destroy goes before it.
        direct += [child for key in direct if self.by_key[key].remote for child in self.descendants(key)]
        direct += [key for key in (node.parent, node.provider, node.deleted_with) if key]
        return direct

    def descendants(self, key: str) -> list[str]:
        """Keys of everything below a component, in order of registration."""
        found: list[str] = []
        for child in self.children(key):
            found += [child.key, *self.descendants(child.key)]
        return found

    @cached_property
    def waves(self) -> dict[str, int]:
        """Earliest step, from 1, at which each resource can be created; the destroy runs the steps backwards."""
        wave: dict[str, int] = {}
        for node in self.nodes:
            below = [wave[key] for key in self.direct(node) if key in wave]
            wave[node.key] = 1 + max(below, default=0)
        return wave

    def destroyed_before(self, first: Node, second: Node) -> bool:
        """True when the engine must delete `first` before it may start deleting `second`."""
        return second.key in self.requires(first.key)

    @cached_property
    def creation(self) -> list[Node]:
        """What is created, in an order the engine could take: by wave, then by registration."""
        return sorted((node for node in self.nodes if node.custom), key=lambda node: (self.waves[node.key], node.order))

    @cached_property
    def destruction(self) -> list[Node]:
        """What is destroyed, in order: the reverse of creation, without what stays."""
        return [node for node in reversed(self.creation) if not node.retain_on_delete]

    @cached_property
    def objects(self) -> list[KubernetesObject]:
        """Rendered Kubernetes objects (Helm releases are not objects: their chart renders in the cluster)."""
        found = []
        for node in self.of("kubernetes:*"):
            if not node.type.startswith(_NOT_OBJECTS) and "kind" in node.inputs:
                found.append(KubernetesObject(node, node.inputs))
        return found

    def objects_of(self, kind: str) -> list[KubernetesObject]:
        return [item for item in self.objects if item.kind == kind]

    @cached_property
    def releases(self) -> list[Node]:
        return self.of("kubernetes:helm.sh/v3:Release")
