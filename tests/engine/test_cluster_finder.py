"""Interrupted objects looked up in a real cluster, by the real kubectl.

Real: kubectl, the API server, field managers. Standing in: Helm's record of a release, written as Helm labels it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from operations.cluster_finder import Cluster, ClusterFinder, Unreachable
from operations.lookup import CannotTell
from operations.state import State
from operations.teardown import dead_operators, unanswered
from tests.engine.control_plane import ControlPlane
from tests.operations.documents import document, entry

RELEASE = "kubernetes:helm.sh/v3:Release"


@pytest.fixture(autouse=True)
def kubectl() -> None:
    if shutil.which("kubectl") is None:
        reason = "kubectl is not on PATH (see CONTRIBUTING.md)"
        pytest.fail(reason) if os.environ.get("REQUIRE_KUBECTL") else pytest.skip(reason)


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """One of its own: a name is taken until the last of a deleted namespace is gone."""
    text = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    with control_plane.namespace(text.strip("-")[-60:].strip("-")) as name:
        yield name


def find(plane: ControlPlane, type_: str, **inputs: Any) -> list[Any]:
    pending = entry(type_, "x", inputs=inputs)
    state = State(document(pending=[("creating", pending)], kubeconfig=str(plane.kubeconfig)))
    return list(ClusterFinder(state).find(state.creating[0].resource))


def test_an_object_and_its_field_manager(control_plane: ControlPlane, namespace: str) -> None:
    """Taken in under another field manager, the next change conflicts with ourselves and `up` fails for ever."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "made", "namespace": namespace},
        "data": {"a": "b"},
    }
    control_plane.apply(body, manager="pulumi-kubernetes-1a2b3c4d")
    control_plane.apply({**body, "data": {"c": "d"}}, manager="somebody-else")
    found = find(control_plane, "kubernetes:core/v1:ConfigMap", **body)
    assert [(item.id, item.condition) for item in found] == [(f"{namespace}/made", "ready")]
    assert found[0].outputs == {"__initialApiVersion": "v1", "__fieldManager": "pulumi-kubernetes-1a2b3c4d"}
    # apiVersion and kind are not inputs of every type; the type's own name says them.
    assert len(find(control_plane, "kubernetes:core/v1:ConfigMap", metadata=body["metadata"])) == 1
    assert find(control_plane, "kubernetes:core/v1:ConfigMap", metadata={"name": "other", "namespace": namespace}) == []
    assert find(control_plane, "kubernetes:core/v1:ConfigMap", metadata={"name": "made", "namespace": "nowhere"}) == []


def test_custom_objects_and_kinds_that_are_not_there(control_plane: ControlPlane) -> None:
    """A kind that nobody has installed yet has no objects; an error here would leave every such creation undecided."""
    body = {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": "looked-up"},
        "spec": {"resources": {"gpu": {"quota": -1, "limit": -1, "overQuotaWeight": 1}}},
    }
    assert find(control_plane, "kubernetes:scheduling.run.ai/v2:Queue", **body) == []
    control_plane.apply(body)
    try:
        assert [item.id for item in find(control_plane, "kubernetes:scheduling.run.ai/v2:Queue", **body)] == [
            "looked-up"
        ]
    finally:
        control_plane.delete("scheduling.run.ai/v2", "Queue", "looked-up")
    assert find(control_plane, "kubernetes:example.com/v1:Nothing", metadata={"name": "x"}) == []


def test_an_object_that_is_going(control_plane: ControlPlane, namespace: str) -> None:
    """Taken in, it is gone a minute later, and everything that was made for it is left over."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "going", "namespace": namespace, "finalizers": ["example.com/held"]},
    }
    control_plane.apply(body)
    control_plane.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/going")
    found = find(control_plane, "kubernetes:core/v1:ConfigMap", metadata={"name": "going", "namespace": namespace})
    assert [(item.condition, item.told) for item in found] == [("making", "being deleted")]
    control_plane.apply({**body, "metadata": {**body["metadata"], "finalizers": []}})


@pytest.mark.parametrize(
    ("statuses", "condition"),
    [((), None), (("deployed",), "ready"), (("pending-install",), "failed"), (("superseded", "deployed"), "ready")],
)
def test_a_release_by_helms_own_record(
    control_plane: ControlPlane, namespace: str, statuses: tuple[str, ...], condition: str | None
) -> None:
    """Helm refuses for ever to upgrade what it believes is being installed."""
    for number, status in enumerate(statuses, 1):
        labels = {"owner": "helm", "name": "platform", "status": status, "version": str(number)}
        name = f"sh.helm.release.v1.platform.v{number}"
        control_plane.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace, "labels": labels}}
        )
    found = find(control_plane, RELEASE, name="platform", namespace=namespace)
    assert [item.condition for item in found] == ([condition] if condition else [])
    if condition == "failed":
        assert f"kubectl delete secret --namespace {namespace} --selector owner=helm,name=platform" in found[0].told
    assert find(control_plane, RELEASE, name="plat", namespace=namespace) == []


def test_a_cluster_that_does_not_answer(control_plane: ControlPlane) -> None:
    """What cannot be asked must not look like what is not there."""
    Cluster(str(control_plane.kubeconfig)).check()
    text = control_plane.kubeconfig.read_text()
    silent = text.replace(control_plane.url, "https://127.0.0.1:9")
    assert silent != text
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        Cluster(silent).check()
    pending = entry("kubernetes:core/v1:Namespace", "x", inputs={"metadata": {"name": "default"}})
    state = State(document(pending=[("creating", pending)], kubeconfig=silent))
    with pytest.raises(CannotTell):
        ClusterFinder(state).find(state.creating[0].resource)


def test_operators_that_are_dead(control_plane: ControlPlane, namespace: str) -> None:
    """A destroy that starts without them waits at every finalizer until its timeout."""
    release = entry(RELEASE, "r", f"{namespace}/r", inputs={"name": "r", "namespace": namespace})
    state = State(document(release, kubeconfig=str(control_plane.kubeconfig)))
    assert unanswered(state) == []
    pod = {"metadata": {"labels": {"app": "o"}}, "spec": {"containers": [{"name": "o", "image": "o"}]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "operator", "namespace": namespace},
        # Paused, so that nothing is started for it.
        "spec": {"paused": True, "replicas": 1, "selector": {"matchLabels": {"app": "o"}}, "template": pod},
    }
    control_plane.apply(deployment)
    cluster = Cluster(str(control_plane.kubeconfig))
    assert dead_operators(cluster, state) == [f"{namespace}/operator"]
    control_plane.apply({**deployment, "spec": {**deployment["spec"], "replicas": 0}})
    assert dead_operators(cluster, state) == []
