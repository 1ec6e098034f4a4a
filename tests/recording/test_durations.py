"""Durations as data: in order, with their sources, and one for everything that is made."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from recording import durations
from recording.aws_types import CARDS
from recording.durations import Duration, row_of, shipped
from recording.graph import Graph, Node

RANGES = {
    "eks-cluster-create": (404, 586, 663, 750, 17),
    "eks-cluster-delete": (69, 206, 522, 560, 11),
    "node-group-create": (88, 124, 179, 201, 8),
    "node-group-delete": (252, 379, 381, 501, 5),
    "nat-gateway-create": (85, 106, 124, 125, 8),
    "nat-gateway-delete": (37, 60, 72, 79, 9),
}
"""Least, median, p90, most and how many, as they were counted."""

WITHIN = {
    "load-balancer-create": (120, 180),
    "eks-addon-driver": (45, 65),
    "mount-target-create": (90, 90),
    "interface-endpoint-create": (60, 60),
    "rack-boot": (300, 900),
    "gpu-node-ready": (60, 167),
    "cpu-node-ready": (39, 39),
    "image-pull": (20, 26),
    "image-pull-parallel": (3, 6),
    "image-pull-parallel-small": (11, 15),
    "model-download": (1000 / 1030, 1000 / 53),
    "weights-read": (1 / 1.5, 1 / 1.5),
    "engine-start": (60, 120),
    "engine-start-experts": (139, 539),
    "graph-delete": (60, 120),
}
"""What was published of the others; their medians are inside."""


@pytest.mark.parametrize("row", shipped().values(), ids=lambda row: row.id)
def test_a_row_is_in_order(row: Duration) -> None:
    """A median beyond its own range is a typing mistake that every estimate repeats."""
    assert 0 < row.min_s <= row.median_s <= row.p90_s <= row.max_s
    assert date(2026, 1, 1) < date.fromisoformat(row.date)
    assert row.source and row.what
    if not row.n:
        assert row.assumption, "nothing found, and nothing said of what is taken instead"


@pytest.mark.parametrize("row", [row for row in shipped().values() if row.source.startswith("times printed")], ids=lambda row: row.id)  # fmt: skip
def test_a_row_has_as_many_sources_as_it_says(row: Duration) -> None:
    words = {"two": 2, "three": 3}
    listed = row.source.partition(": ")[2].partition(".")[0]
    ids = re.findall(r"\d{6,}", listed.partition(" A group")[0])
    several = sum(words[word] - 1 for word in re.findall(r"\((two|three)\)", listed))
    assert len(ids) + several == row.n


def test_rows_are_as_they_were_counted() -> None:
    for id_, (least, median, p90, most, n) in RANGES.items():
        row = shipped()[id_]
        assert (row.min_s, row.median_s, row.p90_s, row.max_s, row.n) == (least, median, p90, most, n), id_


def test_rows_are_within_what_was_published() -> None:
    for id_, (least, most) in WITHIN.items():
        assert least - 0.01 <= shipped()[id_].median_s <= most + 0.01, id_


def test_few_measurements_are_told_as_assumed() -> None:
    """One log is an anecdote."""
    for row in shipped().values():
        assert row.told == ("measured" if row.n >= 3 else "assumed" if row.n else "unmeasured")


def test_every_card_names_its_durations() -> None:
    """A type without one would take no time, and the plan would be early by it."""
    for card in CARDS.values():
        for takes in (card.duration, card.deletion):
            found = takes if isinstance(takes, str) else takes({})
            assert found in shipped(), card.type


def test_everything_that_is_made_has_a_duration(every: Graph) -> None:
    for node in every:
        for deleted in (False, True):
            row = row_of(node, deleted=deleted)
            assert row in shipped() if node.custom and node.package != "pulumi" else row is None, node.key


@pytest.mark.parametrize(
    ("type_", "inputs", "made", "gone"),
    [
        ("aws:eks/addon:Addon", {"addonName": "aws-efs-csi-driver"}, "eks-addon-driver", "eks-addon-delete"),
        ("aws:eks/addon:Addon", {"addonName": "coredns"}, "eks-addon-coredns", "eks-addon-delete"),
        ("aws:eks/addon:Addon", {"addonName": "vpc-cni"}, "eks-addon-agent", "eks-addon-delete"),
        ("aws:eks/nodeGroup:NodeGroup", {"scalingConfig": {"desiredSize": 18}}, "rack-boot", "node-group-delete"),
        ("aws:eks/nodeGroup:NodeGroup", {"scalingConfig": {"desiredSize": 0}}, "node-group-create", "node-group-delete"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Interface"}, "interface-endpoint-create", "interface-endpoint-delete"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Gateway"}, "aws-call", "aws-call"),
        ("kubernetes:helm.sh/v3:Release", {"chart": "gpu-operator"}, "gpu-operator-release", "release-delete"),
        ("kubernetes:helm.sh/v3:Release", {"chart": "oci://somewhere/kai-scheduler"}, "operator-release", "release-delete"),
        ("kubernetes:core/v1:Service", {"kind": "Service", "spec": {"type": "LoadBalancer"}}, "load-balancer-create", "kubernetes-object"),
        ("kubernetes:core/v1:Service", {"kind": "Service", "spec": {}}, "kubernetes-object", "kubernetes-object"),
        ("kubernetes:karpenter.sh/v1:NodePool", {"kind": "NodePool"}, "kubernetes-object", "gpu-node-delete"),
    ],
)  # fmt: skip
def test_the_inputs_decide_where_they_do(type_: str, inputs: dict[str, object], made: str, gone: str) -> None:
    node = Node(1, type_, "it", "urn", inputs=inputs)
    assert (row_of(node), row_of(node, deleted=True)) == (made, gone)


def test_own_times_are_kept_apart(tmp_path: Path) -> None:
    """What somebody measured is never written into what was published, and says whose it is."""
    file = tmp_path / "times.json"
    assert durations.known(file) == shipped()
    row = {"id": "eks-cluster-create", "what": "", "median_s": 700, "min_s": 690, "p90_s": 720, "max_s": 720, "n": 4, "source": "up", "date": "2026-11-27"}  # fmt: skip
    file.write_text(json.dumps({"rows": [row]}))
    known = durations.known(file)
    assert (known["eks-cluster-create"].median_s, known["eks-cluster-create"].told) == (700, "yours")
    assert known.keys() == shipped().keys()
    assert shipped()["eks-cluster-create"].median_s == 586


@pytest.mark.parametrize("text", ["", "[]", '{"rows": [{"id": "x"}]}', '{"rows": 1}'])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "times.json"
    file.write_text(text)
    with pytest.raises(durations.BadTimes, match=r"times\.json: .*`make times` writes it again"):
        durations.known(file)
