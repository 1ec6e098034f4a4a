"""The ladder and the smoke test's stages as recorded resources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.validation import ladder_objects as objects
from components.validation.ladder import VerificationLadder, VerificationLadderArgs
from components.validation.smoke import SmokeTest, SmokeTestArgs
from recording.graph import Graph, Node
from recording.recorder import record
from tests.validation.test_ladder_objects import X72

CHECK_IMAGE = "python:3.12"


def program(rungs: tuple[str, ...] = objects.RUNGS, **changes: Any) -> Callable[[], None]:
    def run() -> None:
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        in_cluster = pulumi.ResourceOptions(providers=[provider])
        operator = kubernetes.core.v1.Namespace(
            "mpi-operator", metadata={"name": "mpi-operator"}, opts=pulumi.ResourceOptions(provider=provider)
        )
        args = VerificationLadderArgs(
            tested=X72, check_image=CHECK_IMAGE, rungs=rungs, depends_on=[operator], **changes
        )
        ladder = VerificationLadder("verify-rack-a", args, in_cluster)
        kubernetes.core.v1.ConfigMap(
            "graph",
            metadata={"name": "graph", "namespace": "dynamo"},
            data={},
            opts=pulumi.ResourceOptions(provider=provider, depends_on=ladder.ready),
        )
        pulumi.export("results", ladder.results)

    return run


def recorded(rungs: tuple[str, ...] = objects.RUNGS, preview: bool = False, **changes: Any) -> Graph:
    return record("test", {}, program=program(rungs, **changes), preview=preview)


@pytest.fixture(scope="module", params=[False, True], ids=["update", "preview"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return recorded(preview=request.param)


@pytest.fixture(scope="module")
def updated() -> Graph:
    return recorded()


CHECKS = ["verify-rack-a-devices-check-job", "verify-rack-a-imex", "verify-rack-a-nvbandwidth-check-job",
          "verify-rack-a-nccl-check-job", "verify-rack-a-efa-check-job"]  # fmt: skip


def named(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def before(graph: Graph, node: Node) -> set[str]:
    """Names of everything that is made before a resource."""
    by_key = {item.key: item for item in graph.nodes}
    found: set[str] = set()
    open_keys = list(node.depends_on)
    while open_keys:
        item = by_key[open_keys.pop()]
        if item.name not in found:
            found.add(item.name)
            open_keys += item.depends_on
    return found


def test_each_rung_waits_for_the_one_before(graph: Graph) -> None:
    """Measuring a rack whose devices are not there spends the block's time on a timeout that tells nothing."""
    for number, name in enumerate(CHECKS):
        assert before(graph, named(graph, name)) >= set(CHECKS[:number]), name
    assert "verify-rack-a-nvbandwidth-check-job" in before(graph, named(graph, "verify-rack-a-nccl"))
    assert "verify-rack-a-nccl" in before(graph, named(graph, "verify-rack-a-nccl-check-job"))


def test_what_uses_the_rack_waits_for_the_last_rung(graph: Graph) -> None:
    """A graph that starts during the all-reduce takes its nodes, and both hang."""
    assert before(graph, named(graph, "graph")) >= set(CHECKS)


def test_runs_go_before_their_domain(graph: Graph) -> None:
    """Deleting a ComputeDomain ends IMEX under the pods that use it (DRA driver #357)."""
    for name in ("verify-rack-a-imex", "verify-rack-a-nvbandwidth", "verify-rack-a-nccl", "verify-rack-a-efa"):
        assert "verify-rack-a-domain" in before(graph, named(graph, name))


def test_everything_follows_what_it_is_checked_with(graph: Graph) -> None:
    """Without the operator an MPIJob is accepted and nothing happens; without the driver the claim is never made."""
    made = [node for node in graph.nodes if node.custom and node.name.startswith("verify-rack-a")]
    assert len(made) == 19
    for node in made:
        assert "mpi-operator" in before(graph, node), node.name
        if node.name != "verify-rack-a-namespace":
            assert "verify-rack-a-namespace" in before(graph, node), node.name


def test_up_waits_longer_than_a_job_may_run(graph: Graph) -> None:
    """Otherwise `up` reports a timeout instead of the reason, and Pulumi's own limit is ten minutes."""
    for name in CHECKS:
        node = named(graph, name)
        assert node.timeouts["create"].endswith("m")
        assert int(node.timeouts["create"][:-1]) * 60 > node.inputs["spec"]["activeDeadlineSeconds"] > 600


def test_a_run_makes_way_for_the_next(graph: Graph) -> None:
    """Two runs at once need the rack twice."""
    for name in ("verify-rack-a-nvbandwidth", "verify-rack-a-nccl", "verify-rack-a-efa", "verify-rack-a-domain"):
        assert named(graph, name).delete_before_replace


def test_all_objects_are_the_rendered_ones(updated: Graph) -> None:
    kinds = sorted(item.kind for item in updated.objects if item.node.name.startswith("verify-rack-a"))
    assert kinds == sorted(
        ["Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ComputeDomain",
         "MPIJob", "MPIJob", "MPIJob", "Job", "Job", "Job", "Job", "Job", "ConfigMap", "ConfigMap", "ConfigMap",
         "ConfigMap"]
    )  # fmt: skip
    for item in updated.objects:
        if item.node.name.startswith("verify-rack-a"):
            assert item.manifest["metadata"]["labels"] == {objects.LABEL: "rack-a"}, item.address


def test_binding_and_rights_fit(updated: Graph) -> None:
    """A binding to another role's name is accepted and grants nothing."""
    for kind in ("Role", "ClusterRole"):
        (role,) = updated.objects_of(kind)
        (binding,) = updated.objects_of(f"{kind}Binding")
        assert binding.manifest["roleRef"]["name"] == role.manifest["metadata"]["name"]
        (subject,) = binding.manifest["subjects"]
        (account,) = updated.objects_of("ServiceAccount")
        assert subject["name"] == account.manifest["metadata"]["name"] == "verify-rack-a"
        assert subject["namespace"] == account.manifest["metadata"]["namespace"]
    for item in updated.objects_of("Job"):
        if item.node.name != "verify-rack-a-imex":
            assert item.manifest["spec"]["template"]["spec"]["serviceAccountName"] == "verify-rack-a"


def test_results_are_read_after_their_jobs(updated: Graph) -> None:
    """In a first preview the ConfigMaps are not there, and reading them would end it with an error."""
    assert [item.token for item in updated.reads if "ConfigMap" in item.token] == [
        f"kubernetes:core/v1:ConfigMap verify-rack-a/verify-rack-a-{rung}-result"
        for rung in ("devices", "nvbandwidth", "nccl", "efa")
    ]
    assert updated.outputs["results"]["nccl"] == {
        "verdict": "not run", "reason": "nothing is measured offline", "figures": {},
    }  # fmt: skip
    # Offline no Job has run, and a rung that was skipped is never a pass.
    assert updated.outputs["results"]["imex"]["verdict"] == "not run"


def test_a_first_preview_reads_nothing() -> None:
    first = recorded(preview=True)
    assert not [item for item in first.reads if "verify-rack-a" in item.token]


def test_a_rung_left_out_is_told_and_the_rest_still_follow() -> None:
    """A missing rung that reads like a pass would be taken for one."""
    some = recorded(("devices", "nccl"))
    assert some.outputs["results"]["nvbandwidth"]["verdict"] == "left out"
    assert some.outputs["results"]["imex"]["verdict"] == "left out"
    assert not [node for node in some.nodes if "nvbandwidth" in node.name or "imex" in node.name]
    assert CHECKS[0] in before(some, named(some, "verify-rack-a-nccl"))
    assert CHECKS[3] in before(some, named(some, "graph"))


def test_the_order_is_fixed() -> None:
    turned = recorded(("nccl", "devices"))
    assert CHECKS[0] in before(turned, named(turned, "verify-rack-a-nccl"))


@pytest.mark.parametrize("rung", ["nvbandwidth", "nccl", "efa"])
def test_a_run_ends_before_its_domain_without_the_rung_before_it_too(rung: str) -> None:
    """A domain deleted first ends IMEX under pods that run (NVIDIA DRA driver #357)."""
    graph = recorded((rung,))
    (run,) = graph.of("kubernetes:kubeflow.org/v2beta1:MPIJob")
    assert graph.destroyed_before(run, graph.one("kubernetes:resource.nvidia.com/v1beta1:ComputeDomain"))


def test_a_ladder_without_rungs_still_leaves_an_order() -> None:
    none = recorded(())
    assert before(none, named(none, "graph")) >= {"verify-rack-a-namespace"}
    assert {item["verdict"] for item in none.outputs["results"].values()} == {"left out"}


@pytest.mark.parametrize("given", [{"rungs": ("devices", "ncll")}, {"timeout_minutes": {"ncll": 5}}])
def test_unknown_rungs_are_refused(given: dict[str, Any]) -> None:
    """A misspelt rung would be one left out."""
    with pytest.raises(ValueError) as error:
        VerificationLadderArgs(tested=X72, check_image=CHECK_IMAGE, **given)
    assert str(error.value) == "rungs: there is no ncll; choose from devices, imex, nvbandwidth, nccl, efa"


def test_a_longer_timeout_reaches_run_and_judge() -> None:
    longer = recorded(timeout_minutes={"nccl": 90})
    (job,) = (item for item in longer.objects_of("MPIJob") if "nccl" in item.node.name)
    assert job.manifest["spec"]["runPolicy"]["activeDeadlineSeconds"] == 5400
    assert named(longer, CHECKS[3]).timeouts["create"] == "96m"


# --- stages of a graph's smoke test ------------------------------------------------------------------------------------

SMOKE = SmokeTestArgs(
    graph="chat", namespace="dynamo", model="m", service_url="http://chat", digest="d", image=CHECK_IMAGE,
    timeout_minutes=30, efa=True,
)  # fmt: skip


def smoke(*stages: str) -> Graph:
    def run() -> None:
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        args = dataclasses.replace(SMOKE, stages=stages) if stages else SMOKE
        test = SmokeTest("smoke-chat", args, pulumi.ResourceOptions(providers=[provider]))
        pulumi.export("ready", len(test.ready))

    return record("test", {}, program=run)


def stage_of(node: Node) -> str | None:
    env = node.inputs["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((item["value"] for item in env if item["name"] == "STAGE"), None)


def test_loading_and_answering_are_two_rungs() -> None:
    """One Job for both says "not done in time" for a model that loads for an hour and for one that never answers."""
    graph = smoke("load", "completion")
    load, completion = named(graph, "smoke-chat-load-job"), named(graph, "smoke-chat-completion-job")
    assert (stage_of(load), stage_of(completion)) == ("load", "completion")
    assert "smoke-chat-load-job" in before(graph, completion)
    assert load.inputs["metadata"]["name"] != completion.inputs["metadata"]["name"]
    assert graph.outputs["ready"] == 1


def test_one_stage_keeps_its_names() -> None:
    """Another resource name would replace every stack's smoke test."""
    graph = smoke()
    job = named(graph, "smoke-chat-job")
    assert stage_of(job) is None and job.inputs["metadata"]["name"].startswith("smoke-chat-")
    assert {node.name for node in graph.nodes if node.custom} >= {"smoke-chat-program", "smoke-chat-job"}
