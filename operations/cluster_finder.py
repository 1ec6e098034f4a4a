"""Looks for interrupted creations in a cluster, by kubectl: kind, namespace and name, which the API server keeps unique.

The kubeconfig is the one the stack's own Kubernetes provider has in the state, so that no other cluster can be asked by
mistake. A Helm release is told by Helm's own record of it, the Secrets labelled `owner=helm` (helm, pkg/storage/driver).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from operations.lookup import RELEASE, CannotTell
from operations.state import Resource, State
from recording.aws_types.card import Candidate

TIMEOUT_S = 20

FIELD_MANAGER = "pulumi-kubernetes"
"""How the provider begins the name under which it applies (pulumi-kubernetes, provider/pkg/provider, fieldManagerName)."""


class Unreachable(CannotTell):
    """The cluster does not answer."""


class Cluster:
    """One cluster, through kubectl."""

    def __init__(self, kubeconfig: str, context: str | None = None) -> None:
        self.kubeconfig = kubeconfig
        """Path of a file, or the file's own content."""
        self.context = context

    @classmethod
    def of(cls, provider: Resource) -> Cluster:
        """The cluster of a Kubernetes provider in a state."""
        kubeconfig = provider.inputs.get("kubeconfig")
        if not isinstance(kubeconfig, str) or not kubeconfig:
            raise Unreachable("the state holds no kubeconfig that can be read; see docs/runbooks/recover.md")
        return cls(kubeconfig, provider.inputs.get("context"))

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        with self._file() as file:
            command = ["kubectl", "--kubeconfig", file, f"--request-timeout={TIMEOUT_S}s"]
            command += ["--context", self.context] if self.context else []
            try:
                return subprocess.run(
                    [*command, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * TIMEOUT_S
                )
            except FileNotFoundError:
                raise Unreachable("kubectl is not on PATH; see https://kubernetes.io/docs/tasks/tools/") from None
            except subprocess.TimeoutExpired:
                raise Unreachable(f"the cluster has not answered for {3 * TIMEOUT_S} seconds") from None

    def ask(self, *words: str) -> dict[str, Any] | None:
        """An answer as JSON; None when there is no such object or no such kind."""
        answer = self.kubectl(*words, "--output", "json")
        if answer.returncode:
            said = answer.stderr.strip()
            # The kind is not there (its operator is not, or not yet), and so neither is the object.
            if "doesn't have a resource type" in said or "NotFound" in said or "not found" in said:
                return None
            raise Unreachable(f"kubectl says: {said.splitlines()[-1] if said else answer.returncode}")
        return json.loads(answer.stdout) if answer.stdout.strip() else None

    def check(self) -> None:
        """Raise Unreachable unless the API server is ready."""
        answer = self.kubectl("get", "--raw", "/readyz")
        if answer.returncode or answer.stdout.strip() != "ok":
            said = (answer.stderr or answer.stdout).strip()
            raise Unreachable(said.splitlines()[-1] if said else "the API server is not ready")

    @contextmanager
    def _file(self) -> Iterator[str]:
        if not self.kubeconfig.lstrip().startswith(("{", "apiVersion")):
            yield str(Path(self.kubeconfig).expanduser())
            return
        with TemporaryDirectory() as folder:
            file = Path(folder) / "kubeconfig"
            file.touch(mode=0o600)
            file.write_text(self.kubeconfig)
            yield str(file)


class ClusterFinder:
    """Looks in the cluster of each resource's own provider."""

    def __init__(self, state: State) -> None:
        self.state = state

    def cluster(self, resource: Resource) -> Cluster:
        provider = self.state.provider_of(resource)
        if provider is None:
            raise Unreachable("the state does not hold its Kubernetes provider")
        return Cluster.of(provider)

    def find(self, resource: Resource) -> Sequence[Candidate]:
        cluster = self.cluster(resource)
        return _release(cluster, resource) if resource.type == RELEASE else _object(cluster, resource)


def _object(cluster: Cluster, resource: Resource) -> list[Candidate]:
    metadata = resource.inputs.get("metadata") or {}
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not name:
        raise CannotTell("the interrupted entry has no name")
    version, kind = _kind(resource)
    group, _, number = version.rpartition("/")
    # Kind, version and group, as kubectl takes them: a resource's plural is nowhere in the state.
    found = cluster.ask(
        "get", f"{kind}.{number}.{group}", name, "--ignore-not-found", "--show-managed-fields",
        *(("--namespace", namespace) if namespace else ()),
    )  # fmt: skip
    if found is None:
        return []
    if found["metadata"].get("deletionTimestamp"):
        return [Candidate(_id(namespace, name), "making", "being deleted")]
    return [Candidate(_id(namespace, name), outputs=_kept(found, version))]


def _kind(resource: Resource) -> tuple[str, str]:
    """apiVersion and kind, from the inputs or from a type token such as `kubernetes:core/v1:ConfigMap`."""
    version, _, kind = resource.type.removeprefix("kubernetes:").partition(":")
    given = resource.inputs
    return str(given.get("apiVersion") or version.removeprefix("core/")), str(given.get("kind") or kind)


def _kept(found: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the provider keeps in the state and cannot read again.

    Under another field manager than the one that made the object, the next change would conflict with ourselves.
    """
    managers = {item.get("manager", "") for item in found["metadata"].get("managedFields") or ()}
    ours = sorted(item for item in managers if item.startswith(FIELD_MANAGER))
    return {"__initialApiVersion": version, **({"__fieldManager": ours[0]} if ours else {})}


def _release(cluster: Cluster, resource: Resource) -> list[Candidate]:
    name, namespace = resource.inputs.get("name"), resource.inputs.get("namespace") or "default"
    if not name:
        raise CannotTell("the interrupted entry has no release name")
    found = cluster.ask("get", "secrets", "--namespace", namespace, "--selector", f"owner=helm,name={name}") or {}
    records = [item["metadata"].get("labels") or {} for item in found.get("items") or ()]
    if not records:
        return []
    status = max(records, key=lambda item: int(item.get("version", 0))).get("status", "")
    if status == "deployed":
        return [Candidate(f"{namespace}/{name}", told=status)]
    way = f"kubectl delete secret --namespace {namespace} --selector owner=helm,name={name}"
    # Helm refuses to upgrade what it believes is being installed; without the record it installs over what is there,
    # which carries its own marks.
    return [Candidate(f"{namespace}/{name}", "failed", f"Helm says {status}; its record goes by: {way}")]


def _id(namespace: str | None, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
