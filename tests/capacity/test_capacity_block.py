"""A Capacity Block that EC2 tells of otherwise than the stack does: what is said, and that nothing is made before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest

from recording import recorder
from recording.answers import Answers
from stacks import stackfile
from tests.conftest import AT

FILE = stackfile.read("gb200", Path(__file__).parents[1] / "stacks" / "settings" / "gb200.happy.yaml")
BLOCK = "cr-0fedcba9876543210"
HEAD = "dynamo-eks:capacity.ultraServers.rack-a differs from the block that was bought:"


def config(**network: Any) -> dict[str, Any]:
    """The happy file with other keys in its network."""
    return {**FILE.config, "dynamo-eks:network": {**FILE.config["dynamo-eks:network"], **network}}


def refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], answers: Answers, preview: bool = False
) -> tuple[str, list[str]]:
    """What the program says, and the types it had registered by then."""
    registered: list[str] = []
    original = recorder.Monitor.RegisterResource

    def counted(self: Any, request: Any) -> Any:
        registered.append(request.type)
        return original(self, request)

    monkeypatch.setattr(recorder.Monitor, "RegisterResource", counted)
    with pytest.raises(pulumi.RunError) as caught:
        recorder.record("gb200", values, answers=answers, preview=preview, at=AT)
    return str(caught.value), sorted(set(registered))


def world(values: dict[str, Any], **changes: Any) -> Answers:
    """The world of a stack file, its block changed."""
    answers = Answers.for_config("gb200", values)
    answers.reservations[BLOCK].update(changes)
    return answers


DIFFERENCES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "expired": (
        {"state": "expired"},
        ["is expired, and only an active or scheduled block can be used; name another reservation"],
    ),
    "payment-failed": (
        {"state": "payment-failed"},
        ["is payment-failed, and only an active or scheduled block can be used; name another reservation"],
    ),
    "another-type": (
        {"instanceType": "p6-b200.48xlarge"},
        ["holds p6-b200.48xlarge, the stack says p6e-gb200.36xlarge; correct instanceType"],
    ),
    "another-zone": (
        {"zone": "use1-atl2-az1"},
        [
            "is in use1-atl2-az1, the stack says use1-dfw2-az1; correct zone and name its subnet in network.existing.ultraServerSubnets, if the network is one of your own"
        ],
    ),
    "half-a-rack": ({"count": 9}, ["holds 9 instances, the stack says 18; correct type"]),
    "starts-later": (
        {"start": "2026-12-02T11:30:00Z"},
        [
            "starts 2026-12-02T11:30:00Z, the stack says 2026-12-01T11:30:00Z; correct start, or the nodes come at the "
            "wrong time"
        ],
    ),
    "extended": (
        {"end": "2026-12-15T11:30:00Z"},
        [
            "ends 2026-12-15T11:30:00Z, the stack says 2026-12-08T11:30:00Z; correct end, or the drain comes at the wrong "
            "time"
        ],
    ),
    "another-platform": (
        {"platform": "Red Hat Enterprise Linux"},
        [
            "is for Red Hat Enterprise Linux, and only one for Linux/UNIX starts the nodes' image; name another reservation"
        ],
    ),
    "zone-and-end": (
        {"zone": "use1-az4", "end": "2026-12-09T11:30:00Z"},
        [
            "is in use1-az4, the stack says use1-dfw2-az1; correct zone and name its subnet in network.existing.ultraServerSubnets, if the network is one of your own",
            "ends 2026-12-09T11:30:00Z, the stack says 2026-12-08T11:30:00Z; correct end, or the drain comes at the wrong "
            "time",
        ],
    ),
}
"""What EC2 says otherwise, and the sentences that follow the block's id."""


@pytest.mark.parametrize("preview", [False, True], ids=["update", "preview"])
@pytest.mark.parametrize("found", DIFFERENCES)
def test_a_block_that_differs_stops_everything(found: str, preview: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in the wrong zone or drained on the wrong day are a prepaid rack unused, and a cluster made for it."""
    changes, sentences = DIFFERENCES[found]
    said, registered = refused(monkeypatch, config(), world(config(), **changes), preview)
    assert said == "\n  ".join([HEAD, *(f"{BLOCK}: {sentence}" for sentence in sentences)])
    assert registered == ["pulumi:providers:aws", "pulumi:pulumi:Stack"]


def test_every_rack_is_told_of_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two blocks the id alone would send somebody to the wrong one."""
    block, other = FILE.config["dynamo-eks:capacity"]["ultraServers"]["rack-a"], "cr-0fedcba9876543211"
    capacity = {"ultraServers": {"rack-a": block, "rack-b": {**block, "reservation": other}}}
    values = {**config(), "dynamo-eks:capacity": capacity}
    answers = world(values)
    answers.reservations[other]["state"] = "cancelled"
    said, _ = refused(monkeypatch, values, answers)
    assert said.splitlines() == [
        "dynamo-eks:capacity.ultraServers.rack-b differs from the block that was bought:",
        f"  {other}: is cancelled, and only an active or scheduled block can be used; name another reservation",
    ]


@pytest.mark.parametrize(
    "changes",
    [{"state": "scheduled", "count": 0}, {"state": "payment-pending"}, {"end": "2026-12-08T11:30:00.000Z"}],
    ids=["no-count-before-the-start", "being-paid", "milliseconds"],
)
def test_a_block_as_stated_goes_on(changes: dict[str, Any]) -> None:
    """A stack refused before its block starts loses the days in which everything but the nodes is made."""
    graph = recorder.record("gb200", config(), answers=world(config(), **changes), at=AT)
    assert len(graph.of("aws:eks/nodeGroup:NodeGroup")) == 1


def test_a_zone_group_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 refuses the subnet there only after the VPC, and the cluster's quarter of an hour, have begun."""
    values = config(localZones={"optIn": False})
    answers = world(values)
    answers.opted_in = False
    said, registered = refused(monkeypatch, values, answers)
    assert said == (
        "the account has not opted in to the zone group us-east-1-dfw-2 (with use1-dfw2-az1), where its UltraServers "
        "stand; set dynamo-eks:network.localZones.optIn: true, or opt in by hand"
    )
    # The block has been read by then; its component holds no resource.
    assert registered == ["dynamo-eks:index:CapacityBlock", "pulumi:providers:aws", "pulumi:pulumi:Stack"]


def test_the_stack_opens_the_zone_group_when_told_to() -> None:
    """Otherwise the remedy that the report names would not be one."""
    values = config(localZones={"optIn": True})
    answers = world(values)
    answers.opted_in = False
    graph = recorder.record("gb200", values, answers=answers, at=AT)
    (group,) = graph.of("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup")
    assert group.inputs["groupName"] == "us-east-1-dfw-2" and group.retain_on_delete
