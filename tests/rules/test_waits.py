"""What does not wait for what: minutes of every creation, and hours of GPUs that are paid for."""

from __future__ import annotations

import fnmatch

import pytest

from benchmarks.waits import GOAL_BOUND, NEEDS, compared, shortest
from recording.graph import Graph, Node
from review.time import passed, timeline
from tests.conftest import STACKS, recorded

POOL = (
    "kubernetes:karpenter.sh/v1:NodePool",
    "kubernetes:eks.amazonaws.com/v1:NodeClass",
    "aws:eks/nodeGroup:NodeGroup",
)
INSTALLED = ("kubernetes:helm.sh/v3:Release", "kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job")
FILES = ("aws:efs/", "kubernetes:core/v1:PersistentVolumeClaim")


def waited_for(graph: Graph, node: Node, types: tuple[str, ...]) -> list[str]:
    """Keys of such types that must be there before it."""
    return sorted(key for key in graph.requires(node.key) if key.startswith(types))


def releases(graph: Graph) -> list[Node]:
    return [*graph.releases, *graph.of("kubernetes:apps/v1:Deployment")]


def test_a_download_waits_for_its_claim_alone(every: Graph) -> None:
    """Behind operators or GPU nodes a model of 400 GB begins ten minutes later, and the GPUs that came first idle for its half hour."""
    for node in every.of("kubernetes:batch/v1:Job"):
        if not node.name.startswith("cache-"):
            continue
        assert waited_for(every, node, (*POOL, *INSTALLED)) == [], node.key
        claims = [key for key in node.depends_on if "PersistentVolumeClaim" in key]
        assert claims, "its pod would be refused"
        driver = [item.key for item in every.of("aws:eks/addon:Addon") if item.name.endswith("efs-csi")]
        assert set(driver + [item.key for item in every.of("aws:efs/mountTarget:MountTarget")]) <= every.requires(
            node.key
        )


def test_operators_wait_for_no_shared_files(every: Graph) -> None:
    """None of them mounts any: behind the driver and the mount targets they come a minute and a half later, each time."""
    for node in releases(every):
        assert waited_for(every, node, FILES) == [], node.key
        assert not [key for key in every.requires(node.key) if key.endswith(("addons-efs-csi", "storage-efs"))], (
            node.key
        )


def test_the_mpi_operator_waits_for_no_rack(every: Graph) -> None:
    """It runs beside a rack that boots for ten minutes, and the ladder waits for both."""
    for node in every.of("kubernetes:apps/v1:Deployment"):
        assert waited_for(every, node, (*POOL, "kubernetes:helm.sh/v3:Release")) == [], node.key


def test_pools_wait_for_nothing_in_the_cluster(every: Graph) -> None:
    """A pool launches nothing by itself: behind an operator its first node, too, would come later than it can."""
    for node in every.of("kubernetes:karpenter.sh/v1:NodePool"):
        assert waited_for(every, node, (*INSTALLED, "kubernetes:core/", *FILES)) == [], node.key


def test_the_control_plane_waits_for_the_way_out_alone(every: Graph) -> None:
    """It takes ten minutes, half of the whole: what is made in a minute or two is made meanwhile. Its way out comes first for the
    destroy's sake, in which its last nodes need it."""
    for node in every.of("aws:eks/cluster:Cluster"):
        endpoints = [item.key for item in every.of("aws:ec2/vpcEndpoint:VpcEndpoint")]
        assert waited_for(every, node, FILES) == [] and not set(endpoints) & every.requires(node.key)


def test_a_graph_waits_for_its_model_and_its_pool(every: Graph) -> None:
    """Made before its model is there, its GPUs are launched, paid for, and ask for files that are still on their way."""
    downloads = {node.key for node in every.of("kubernetes:batch/v1:Job") if node.name.startswith("cache-")}
    for item in every.objects_of("DynamoGraphDeployment"):
        assert downloads & every.requires(item.node.key)


@pytest.mark.parametrize("stack", STACKS)
def test_the_first_token_comes_as_early_as_it_can(stack: str) -> None:
    """An edge that seems harmless, and every deployment is minutes later: what cannot be left out is listed, with its reason."""
    row = compared(recorded(stack))
    assert row is not None
    assert 1 <= row.over_bound <= GOAL_BOUND
    assert row.saved > 1.1


def test_the_bound_moves_with_what_is_needed() -> None:
    """And stays with what is not, however long that takes."""
    graph = recorded("gb200-prod")
    found = timeline(graph)
    last, seconds = found.first, {step.key: found.took(step) for step in found.steps}
    assert last is not None

    def bound(part: str, took: float) -> float:
        changed = {key: took if part in key else own for key, own in seconds.items()}
        return passed(shortest(graph, found.steps), changed).end[last]

    usual = passed(shortest(graph, found.steps), seconds).end[last]
    assert bound("mountTarget", 9000) > usual
    assert bound("vpcEndpoint", 9000) == usual


@pytest.mark.parametrize("stack", STACKS)
def test_what_cannot_be_left_out_is_waited_for(stack: str) -> None:
    """A bound on a wait that the program does not keep would call an outage fast."""
    graph = recorded(stack)
    keys = [node.key for node in graph]
    for what, before, reason in NEEDS:
        there = set(fnmatch.filter(keys, before))
        for key in fnmatch.filter(keys, what) if there else ():
            assert there & graph.requires(key), f"{key} does not wait for {before} ({reason})"


def test_every_need_is_of_something() -> None:
    """A pattern that matches nothing any more holds nothing."""
    keys = [node.key for stack in STACKS for node in recorded(stack)]
    for what, before, _ in NEEDS:
        assert fnmatch.filter(keys, what) and fnmatch.filter(keys, before), (what, before)
