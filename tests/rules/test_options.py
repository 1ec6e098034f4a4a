"""Options of single resources that no order shows: what is given time, what makes way for its successor, what is kept."""

from __future__ import annotations

import pytest

from recording.graph import Graph
from tests.conftest import recorded

GB200 = ["gb200-prod", "gb200-pair"]


@pytest.fixture(params=GB200)
def graph(request: pytest.FixtureRequest) -> Graph:
    return recorded(request.param)


def test_domains_are_made_again_when_their_spec_changes(graph: Graph) -> None:
    """The API server refuses an update of the spec, and a second object of the name is refused too."""
    for node in graph.of("kubernetes:resource.nvidia.com/v1beta1:ComputeDomain"):
        assert node.replace_on_changes == ("spec",) and node.delete_before_replace, node.name
        assert node.timeouts["delete"].endswith("m") and int(node.timeouts["delete"][:-1]) >= 10


def test_node_groups_keep_their_size_and_are_given_time(graph: Graph) -> None:
    """An update that sends eighteen running machines home, or gives up on them after the engine's usual time."""
    groups = graph.of("aws:eks/nodeGroup:NodeGroup")
    assert groups
    for node in groups:
        assert node.ignore_changes == ("scalingConfig.desiredSize",) and node.protect and node.delete_before_replace
        assert {key: int(value[:-1]) for key, value in node.timeouts.items()} == {
            "create": 60,
            "update": 120,
            "delete": 60,
        }


def test_another_tag_makes_no_other_version_of_a_racks_template(graph: Graph) -> None:
    """EKS would replace every node of a running block, one at a time: hours of a prepaid rack, for a tag."""
    templates = graph.of("aws:ec2/launchTemplate:LaunchTemplate")
    assert templates
    assert {node.ignore_changes for node in templates} == {("tagSpecifications",)}


def test_a_renamed_dra_chart_replaces_the_release(graph: Graph) -> None:
    """Helm upgrades the old chart into the new one and fails on labels that cannot change (DRA driver, upgrade guide)."""
    (node,) = [node for node in graph.releases if node.name == "dra-driver-release"]
    chart = "nvidia-dra-driver-gpu" if graph.stack == "gb200-pair" else "dra-driver-nvidia-gpu"
    assert node.replacement_trigger == chart and node.delete_before_replace


def test_mpi_jobs_make_way(graph: Graph) -> None:
    """The operator allows no change of a run, and a rack has room for one."""
    jobs = graph.of("kubernetes:kubeflow.org/v2beta1:MPIJob")
    assert len(jobs) >= 2
    for node in jobs:
        assert node.delete_before_replace and node.timeouts["delete"] == "10m"


def test_ladder_jobs_are_waited_for_longer_than_they_run(graph: Graph) -> None:
    """`up` would report a time-out instead of the rung's reason."""
    for item in graph.objects_of("Job"):
        if item.namespace and item.namespace.startswith("verify-"):
            wait = int(item.node.timeouts["create"].removesuffix("m")) * 60
            assert wait > item.manifest["spec"]["activeDeadlineSeconds"], item.name
