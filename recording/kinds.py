"""Which changed property replaces an object in the cluster instead of updating it, as the real provider decides.

The SDK does not say it, so that it is kept here as read in the provider's source; of AWS's types their cards say it. A property
that is not listed is updated in place. Names are those on the wire; a dotted name is a nested property, and a change anywhere below counts.
"""

from __future__ import annotations

from collections.abc import Mapping

KUBERNETES_SOURCE = "pulumi/pulumi-kubernetes provider/pkg/provider/diff.go (objects), helm_release.go (Release)"

KUBERNETES: Mapping[tuple[str, str], frozenset[str]] = {
    ("v1", "ConfigMap"): frozenset({"data", "binaryData"}),
    ("v1", "Secret"): frozenset({"type", "data", "stringData"}),
    ("v1", "PersistentVolumeClaim"): frozenset(
        {"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"}
    ),
    ("v1", "Service"): frozenset({"spec.clusterIP"}),
    ("batch/v1", "Job"): frozenset({"spec.completions", "spec.parallelism", "spec.selector", "spec.template"}),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): frozenset({"roleRef"}),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): frozenset({"roleRef"}),
    ("storage.k8s.io/v1", "StorageClass"): frozenset({"parameters", "provisioner"}),
    ("apps/v1", "Deployment"): frozenset({"spec.selector"}),
    ("apps/v1", "DaemonSet"): frozenset({"spec.selector"}),
    ("helm.sh/v3", "Release"): frozenset({"name", "namespace"}),
}
"""By apiVersion and kind; for every kind also IDENTITY."""

PROVIDER = frozenset({"kubeconfig", "context", "cluster"})
"""Inputs of the Kubernetes provider that may mean another cluster: with another one everything it made is replaced. Where both sides
have a `clusterIdentifier`, only that counts (provider.go, DiffConfig)."""

IDENTITY = frozenset({"apiVersion", "kind", "metadata.name", "metadata.namespace"})


def fixed(type_: str) -> frozenset[str]:
    """Properties whose change replaces an object of a type (`kubernetes:batch/v1:Job`)."""
    group, _, kind = type_.removeprefix("kubernetes:").rpartition(":")
    return KUBERNETES.get((group.removeprefix("core/"), kind), frozenset()) | IDENTITY


def provider_fixed(old: Mapping[str, object], new: Mapping[str, object]) -> frozenset[str]:
    """Inputs of the Kubernetes provider whose change replaces it, and with it everything it made."""
    identified = old.get("clusterIdentifier") and new.get("clusterIdentifier")
    return frozenset({"clusterIdentifier"}) if identified else PROVIDER


def replaces(path: str, properties: frozenset[str]) -> bool:
    """Whether a change at this path (`vpcConfig.subnetIds[0]`) is one of `properties` or below it."""
    plain = path.split("[", 1)[0]
    return any(plain == item or plain.startswith(f"{item}.") for item in properties) or any(
        # A block that appears or goes as a whole takes its fixed fields along.
        item.startswith(f"{plain}.")
        for item in properties
        if "[" not in path
    )
