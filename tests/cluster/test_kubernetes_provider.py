"""The one Kubernetes provider, of our cluster and of one that is there already."""

from __future__ import annotations

import os

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.cluster.kubernetes_provider import existing_provider
from recording.graph import UNKNOWN, Graph
from recording.recorder import record


def _existing() -> None:
    provider = existing_provider("kubernetes", kubeconfig_path="~/.kube/config", context="kind-dynamo")
    kubernetes.core.v1.Namespace("ns", metadata={"name": "ns"}, opts=pulumi.ResourceOptions(provider=provider))


def test_cluster_provider_has_the_arn_as_identity(graph: Graph) -> None:
    """Without it a kubeconfig that is unknown in one preview replaces the provider, and with it every object in the
    cluster, served models included."""
    provider = graph["pulumi:providers:kubernetes::kubernetes"].inputs
    expected = UNKNOWN if graph.preview else "arn:aws:eks:us-east-1:123456789012:cluster/prod"
    assert provider["clusterIdentifier"] == expected
    assert provider["enableServerSideApply"] == "true"
    assert provider["skipUpdateUnreachable"] == "false"


def test_objects_use_our_provider_and_not_the_one_pulumi_eks_makes(graph: Graph) -> None:
    """Its own has no cluster_identifier, and the default one is whatever cluster the shell points at."""
    assert {node.provider for node in graph.of("kubernetes:*")} == {"pulumi:providers:kubernetes::kubernetes"}


@pytest.mark.parametrize("preview", [False, True])
def test_existing_cluster_needs_no_aws(preview: bool) -> None:
    """On a laptop without an account one AWS resource is enough to fail the run."""
    graph = record("local", {}, program=_existing, preview=preview)
    assert not graph.of("aws:*") and not graph.of("pulumi:providers:aws*") and not graph.of("eks:*")
    provider = graph.one("pulumi:providers:kubernetes").inputs
    # The path as written: expanded here, the state of one machine would differ on the next.
    assert provider["kubeconfig"] == "~/.kube/config"
    assert provider["context"] == provider["clusterIdentifier"] == "kind-dynamo"


def test_the_shell_does_not_choose_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's constructor copies KUBECONFIG from the environment when it is given no kubeconfig: a run would
    change another cluster than the stack names."""

    def program() -> None:
        os.environ["KUBECONFIG"] = "/elsewhere"
        os.environ["PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"] = "true"
        _existing()

    # Set inside the program, since the recorder hides the shell's own; undone here.
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("PULUMI_K8S_SKIP_UPDATE_UNREACHABLE", "")
    provider = record("local", {}, program=program).one("pulumi:providers:kubernetes").inputs
    assert provider["kubeconfig"] == "~/.kube/config"
    assert provider["skipUpdateUnreachable"] == "false"


@pytest.mark.parametrize(
    ("path", "context", "message"),
    [
        ("", "kind", "kubeconfig: the path is empty, and the provider would use the shell's KUBECONFIG; name a file"),
        ("c", "", "context: the name is empty, and the provider would use whatever context is current; name one"),
    ],
)
def test_existing_cluster_must_be_named(path: str, context: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        existing_provider("kubernetes", kubeconfig_path=path, context=context)
    assert str(caught.value) == message
