"""A cluster that is there already. No AWS resource, and no AWS module, is touched."""

from __future__ import annotations

from components.cluster.kubernetes_provider import existing_provider
from program.place import Place
from stacks.settings import Settings


def place(settings: Settings) -> Place:
    """The cluster of `cluster.existing`."""
    cluster = settings.cluster.existing
    assert cluster is not None  # the caller asked by this very setting
    provider = existing_provider("kubernetes", kubeconfig_path=cluster.kubeconfig, context=cluster.context)
    return Place(
        provider=provider,
        storage_class=settings.storage.storage_class or "",
        ready=[],
        outputs={"cluster": cluster.context, "kubeconfigCommand": f"kubectl config use-context {cluster.context}"},
    )
