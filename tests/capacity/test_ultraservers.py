"""The nodes of an UltraServer: network cards, launch template, user data, node group, schedules, and another block."""

from __future__ import annotations

import base64
import copy
import email
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.capacity import instances, network_cards, node_config
from components.capacity.spec import UltraServer
from components.capacity.ultraserver_nodes import node_labels
from components.capacity.ultraservers import MAX_DOMAIN_NODES, TYPES, Rack
from recording.answers import Answers
from recording.graph import Graph, Node
from recording.racks import huge_pages_mib, racks
from recording.recorder import record
from rules import judge
from stacks import stackfile
from stacks.settings import Settings, SettingsError
from tests.conftest import AT, recorded

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
GROUP = "aws:eks/nodeGroup:NodeGroup"
SCHEDULE = "aws:autoscaling/schedule:Schedule"
P6E = "p6e-gb200.36xlarge"
EARLY = datetime(2026, 11, 30, 9, tzinfo=UTC)
"""The day before the shipped blocks start."""


def config(stack: str, **rack: Any) -> dict[str, Any]:
    """A shipped stack with changes to its rack-a."""
    values = copy.deepcopy(dict(stackfile.read(stack).config))
    values["dynamo-eks:capacity"]["ultraServers"]["rack-a"].update(rack)
    return values


@cache
def early() -> Graph:
    """The production stack as its block is bought: eight EFA interfaces, huge pages, an image and a disk of its own."""
    given = config(
        "gb200-prod", efaInterfaces=8, hugePagesMib=5120, amiRelease="1.35.6-20260820", rootVolumeGib=500,
        nodeRepair=True, protect=False,
    )  # fmt: skip
    return record("gb200-prod", given, at=EARLY)


@cache
def replaced() -> Graph:
    """The pair with another block for its second rack."""
    given = copy.deepcopy(dict(stackfile.read("gb200-pair").config))
    given["dynamo-eks:capacity"]["ultraServers"]["rack-b"]["reservation"] = "cr-0aaaaaaaaaaaaaaab"
    return record("gb200-pair", given, at=AT)


def only(graph: Graph, type_: str) -> Node:
    return graph.one(type_)


# --- network cards -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("efa", "cards"), [(4, [1, 5, 9, 13]), (8, [1, 3, 5, 7, 9, 11, 13, 15])])
def test_layouts_of_p6e(efa: int, cards: list[int]) -> None:
    """A wrong index starts no machine of a block that is billed already (EC2 User Guide, multiple network cards)."""
    primary, *rest = network_cards.layout(P6E, efa).interfaces()
    assert (primary.card, primary.device, primary.type) == (0, 0, "interface")
    assert [(item.card, item.device, item.type) for item in rest] == [(card, 0, "efa-only") for card in cards]


def test_layouts_are_sound() -> None:
    """No card twice, none beyond the seventeen, one interface of each 400 Gbps pair at most, and never IP on an EFA card."""
    for type_, layouts in network_cards.CARDS.items():
        assert instances.known(type_) and instances.instance(type_).efa in layouts
        for count, layout in layouts.items():
            made = layout.interfaces()
            assert len({item.card for item in made}) == len(made) == count + 1
            assert all(0 <= item.card <= 16 and item.card % 2 == 1 for item in made[1:])
            assert sum(item.type == "interface" for item in made) == 1
            assert layout.gbps == 1600 and layout.source


@pytest.mark.parametrize(
    ("type_", "efa", "words"),
    [
        (
            "p6e-gb300.36xlarge",
            4,
            "the network cards of p6e-gb300.36xlarge are not known; known are p6e-gb200.36xlarge",
        ),
        (P6E, 17, "p6e-gb200.36xlarge has no layout with 17 EFA interfaces; choose 4 or 8"),
        (P6E, 0, "choose 4 or 8"),
    ],
)
def test_an_unknown_layout_is_refused(type_: str, efa: int, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        network_cards.layout(type_, efa)


def test_all_known_types_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a new machine reads what there is, and not one word made of two."""
    monkeypatch.setattr(network_cards, "CARDS", {**network_cards.CARDS, "p6e-gb300.36xlarge": {}})
    with pytest.raises(ValueError, match=r"known are p6e-gb200\.36xlarge, p6e-gb300\.36xlarge$"):
        network_cards.layout("p7e.metal", 4)


# --- launch template ---------------------------------------------------------------------------------------------------


def test_launch_template_with_eight_interfaces() -> None:
    """What starts the machines of a prepaid block is held here word for word."""
    inputs = only(early(), TEMPLATE).inputs
    groups = inputs["networkInterfaces"][0]["securityGroups"]
    cluster = early().one("aws:eks/cluster:Cluster").outputs["vpcConfig"]["clusterSecurityGroupId"]
    (efa,) = [node.id for node in early().of("aws:ec2/securityGroup:SecurityGroup") if node.name == "network-efa"]
    assert groups == [cluster, efa]
    assert inputs["networkInterfaces"] == [
        {"networkCardIndex": card, "deviceIndex": 0, "interfaceType": kind, "securityGroups": groups,
         "deleteOnTermination": "true"}
        for card, kind in [(0, "interface"), *((card, "efa-only") for card in (1, 3, 5, 7, 9, 11, 13, 15))]
    ]  # fmt: skip
    assert inputs["instanceType"] == P6E
    assert inputs["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert inputs["capacityReservationSpecification"] == {
        "capacityReservationTarget": {"capacityReservationId": "cr-0fedcba9876543210"}
    }
    assert inputs["metadataOptions"] == {
        "httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2,
    }  # fmt: skip
    (disk,) = inputs["blockDeviceMappings"]
    assert disk == {
        "deviceName": "/dev/xvda",
        "ebs": {"volumeSize": 500, "volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"},
    }
    assert inputs["name"] == "nodes-rack-a-76543210", "fixed by rack and block: a second creation collides"
    # EKS refuses these in a managed node group's template; a placement group starts no machine of a block.
    assert not {"placement", "iamInstanceProfile", "vpcSecurityGroupIds", "imageId", "keyName"} & set(inputs)
    assert all("subnetId" not in item for item in inputs["networkInterfaces"])


def test_what_is_launched_carries_the_stacks_tags() -> None:
    """The provider's default tags do not reach instances; an untagged rack is found on the bill a month later."""
    for stack in ("gb200-prod", "gb200-pair"):
        for node in recorded(stack).of(TEMPLATE):
            kinds = {item["resourceType"]: item["tags"] for item in node.inputs["tagSpecifications"]}
            assert set(kinds) == {"instance", "volume", "network-interface"}
            for tags in kinds.values():
                assert {"project": "dynamo-eks", "stack": stack, "team": "inference", "Name": node.name}.items() <= tags.items()  # fmt: skip


def test_layout_follows_the_settings() -> None:
    seen = racks(early())["rack-a"]
    assert seen.machine is not None and seen.machine.efa == 8
    assert racks(recorded("gb200-prod"))["rack-a"].machine.efa == 4  # type: ignore[union-attr]


# --- user data ---------------------------------------------------------------------------------------------------------


def parts(mib: int) -> list[tuple[str, str]]:
    """User data as an independent MIME parser reads it."""
    message = email.message_from_bytes(base64.b64decode(node_config.encoded(mib)))
    assert message.is_multipart() and not message.defects and message.get_content_subtype() == "mixed"
    found = message.get_payload()
    assert isinstance(found, list)
    return [(item.get_content_type(), item.get_payload()) for item in found]  # type: ignore[union-attr]


@given(st.integers(0, 51200).map(lambda pages: pages * 2))
def test_user_data_is_mime(mib: int) -> None:
    """EKS merges the parts with its own; a document it cannot read is a node that never joins."""
    found = parts(mib)
    assert [kind for kind, _ in found] == ["application/node.eks.aws", *(["text/x-shellscript"] if mib else [])]
    config = json.loads(found[0][1])
    assert yaml.safe_load(found[0][1]) == config
    assert (config["apiVersion"], config["kind"]) == ("node.eks.aws/v1alpha1", "NodeConfig")
    assert config["spec"] == {"instance": {"localStorage": {"strategy": "RAID0"}}}
    # The image is resolved by EKS, which then adds the cluster itself: with a second `cluster` part nodeadm fails.
    assert "cluster" not in config["spec"]
    if mib:
        script = found[1][1]
        assert script.startswith("#!/bin/bash\nset -euo pipefail\n")
        assert f"echo {mib // 2} > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages\n" in script
        assert "exit 1" in script, "fewer pages than asked for must stop the node"


@given(st.integers(0, 51200).map(lambda pages: pages * 2))
def test_huge_pages_are_read_back(mib: int) -> None:
    """The rules judge the template: what it sets aside is what a pod may ask for."""
    node = Node(1, TEMPLATE, "t", "urn", inputs={"userData": node_config.encoded(mib)})
    assert huge_pages_mib(node) == mib


def test_huge_pages_script_works(tmp_path: Path) -> None:
    """Run for real against files that behave as the kernel's do, one that grants the pages and one that does not."""
    import subprocess

    path = tmp_path / "nr_hugepages"
    script = node_config.huge_pages_script(5120).replace(
        "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", str(path)
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, path.read_text()) == (0, "2560\n")
    # A kernel that has only 100 pages left answers with those, whatever was written.
    short = script.replace(f"echo 2560 > {path}", f"echo 100 > {path}")
    done = subprocess.run(["bash", "-c", short], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1 and done.stderr == "only 100 of 2560 huge pages\n"


def test_user_data_is_held_word_for_word() -> None:
    """Another text, were it only a blank line, is another launch template, and every node of a paid rack is replaced."""
    path, node = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "--dynamo-eks-node"
    head = [
        "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="dynamo-eks-node"', "",
        node, "Content-Type: application/node.eks.aws", "",
        "{", ' "apiVersion": "node.eks.aws/v1alpha1",', ' "kind": "NodeConfig",', ' "spec": {', '  "instance": {',
        '   "localStorage": {', '    "strategy": "RAID0"', "   }", "  }", " }", "}", "",
    ]  # fmt: skip
    script = [
        node, 'Content-Type: text/x-shellscript; charset="us-ascii"', "",
        "#!/bin/bash", "set -euo pipefail", f"echo 2 > {path}",
        f'[ "$(cat {path})" -ge 2 ] || {{ echo "only $(cat {path}) of 2 huge pages" >&2; exit 1; }}', "",
    ]  # fmt: skip
    assert node_config.user_data(0) == "\n".join([*head, f"{node}--", ""])
    assert node_config.user_data(4) == "\n".join([*head, *script, f"{node}--", ""])


def test_recorded_user_data_is_the_settings() -> None:
    assert only(early(), TEMPLATE).inputs["userData"] == node_config.encoded(5120)
    assert only(recorded("gb200-prod"), TEMPLATE).inputs["userData"] == node_config.encoded(0)
    assert {huge_pages_mib(node) for node in recorded("gb200-pair").of(TEMPLATE)} == {5120}


def test_huge_pages_come_off_the_memory() -> None:
    """Pages set aside are no memory for pods: a worker sized without them would stay Pending."""
    whole = instances.instance(P6E).memory_mib
    assert racks(early())["rack-a"].machine.memory_mib == whole - 5120  # type: ignore[union-attr]
    made = Rack(
        name="a",
        spec=UltraServer(
            reservation="cr-0fedcba9876543210", type="u-p6e-gb200x72", zone="use1-dfw2-az1", instance_type=P6E,
            efa_interfaces=8, huge_pages_mib=5120, start=EARLY, end=datetime(2026, 12, 8, 11, 30, tzinfo=UTC),
        ),
    )  # fmt: skip
    assert (made.machine.memory_mib, made.machine.efa) == (whole - 5120, 8)


# --- node group --------------------------------------------------------------------------------------------------------


def test_node_group_before_the_start() -> None:
    """A group that wants nodes then is CREATE_FAILED (aws/containers-roadmap #2204)."""
    node = only(early(), GROUP)
    assert node.inputs["scalingConfig"] == {"desiredSize": 0, "minSize": 0, "maxSize": 18}
    up, down = sorted(early().of(SCHEDULE), key=lambda item: item.inputs["startTime"])
    assert up.inputs["startTime"] == "2026-12-01T11:30:00Z" and down.inputs["startTime"] == "2026-12-08T10:00:00Z"
    sizes = [tuple(item.inputs[key] for key in ("minSize", "maxSize", "desiredCapacity")) for item in (up, down)]
    assert sizes == [(0, 18, 18), (0, -1, 0)]
    assert {item.inputs["timeZone"] for item in (up, down)} == {"Etc/UTC"}
    group = node.outputs["resources"][0]["autoscalingGroups"][0]["name"]
    assert {item.inputs["autoscalingGroupName"] for item in (up, down)} == {group}


def test_no_rule_minds_an_early_plan() -> None:
    """The plan that is reviewed when the block is bought must be as clean as the one on its first day."""
    assert [item for item in judge(early()) if item.verdict == "fail" and item.id != "protected"] == []


def test_node_group_while_the_block_runs() -> None:
    """Created late, it begins full, and only the drain is still to come: AWS refuses an action in the past."""
    node = only(recorded("gb200-prod"), GROUP)
    assert node.inputs["scalingConfig"] == {"desiredSize": 18, "minSize": 0, "maxSize": 18}
    (drain,) = recorded("gb200-prod").of(SCHEDULE)
    assert drain.name.endswith("-drain") and drain.inputs["startTime"] == "2026-12-08T10:00:00Z"
    assert drain.inputs["desiredCapacity"] == 0


def test_node_group_is_what_the_guide_asks() -> None:
    """One image, one zone, no instance types beside the template's (EKS User Guide, P6e-GB200)."""
    for stack in ("gb200-prod", "gb200-pair"):
        graph = recorded(stack)
        for node in graph.of(GROUP):
            inputs = node.inputs
            assert (inputs["amiType"], inputs["capacityType"]) == ("AL2023_ARM_64_NVIDIA", "CAPACITY_BLOCK")
            assert not {"instanceTypes", "diskSize", "remoteAccess"} & set(inputs)
            assert inputs["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
            assert inputs["nodeRepairConfig"] == {"enabled": False}
            assert inputs["version"] == graph.one("aws:eks/cluster:Cluster").inputs["version"]
            assert inputs["releaseVersion"].startswith(inputs["version"] + ".")
            assert len(inputs["subnetIds"]) == 1
            assert node.ignore_changes == ("scalingConfig.desiredSize",)
            assert node.delete_before_replace and node.timeouts["update"] == "120m"
            (template,) = [item for item in graph.of(TEMPLATE) if item.name == node.name]
            assert inputs["launchTemplate"] == {"id": template.id, "version": "1"}


def test_settings_of_the_group_arrive() -> None:
    inputs = only(early(), GROUP).inputs
    assert inputs["releaseVersion"] == "1.35.6-20260820"
    # One at a time: a full block has no spare machine.
    assert inputs["nodeRepairConfig"] == {
        "enabled": True, "maxParallelNodesRepairedCount": 1, "maxUnhealthyNodeThresholdPercentage": 20,
        # The agent's DCGM server is for amd64: healthy nodes of a rack may be reported so.
        "nodeRepairConfigOverrides": [{
            "nodeMonitoringCondition": "AcceleratedHardwareReady", "nodeUnhealthyReason": "DCGMError",
            "minRepairWaitTimeMins": 10, "repairAction": "NoAction",
        }],
    }  # fmt: skip


def test_labels_tell_rack_and_block() -> None:
    """Graphs find their rack by the first, charts by the second."""
    for node in recorded("gb200-pair").of(GROUP):
        name = node.name.removeprefix("nodes-")[:6]
        assert node.inputs["labels"] == {
            "dynamo-eks/ultraserver": name,
            "dynamo-eks/ultraserver-node": "true",
            "dynamo-eks/capacity-block": {"rack-a": "cr-0fedcba9876543210", "rack-b": "cr-0a1b2c3d4e5f6071a"}[name],
            "nvidia.com/gpu.present": "true",
        }


@given(
    st.from_regex(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?", fullmatch=True), st.from_regex(r"cr-[0-9a-f]{17}", fullmatch=True)
)
def test_names_and_labels_are_allowed(name: str, reservation: str) -> None:
    """A node group's name has 63 characters at most, and so has a label's value."""
    made = Rack(
        name=name,
        spec=UltraServer(
            reservation=reservation, type="u-p6e-gb200x36", zone="use1-dfw2-az1", instance_type=P6E, start=EARLY,
            end=datetime(2026, 12, 8, 11, 30, tzinfo=UTC),
        ),
    )  # fmt: skip
    assert len(made.block_key) <= 63 and made.block_key.endswith(reservation[-8:])
    assert all(len(value) <= 63 and value[0].isalnum() and value[-1].isalnum() for value in node_labels(made).values())
    assert made.nodes == 9 <= MAX_DOMAIN_NODES and made.gpus == 36


# --- the window in the plan --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2026-12-08T10:00:00+00:00", "the block is drained since 2026-12-08T10:00:00Z, 90 minutes before its end"),
        ("2026-12-08T11:30:00+00:00", "the block ended at 2026-12-08T11:30:00Z"),
        ("2027-01-01T00:00:00+00:00", "the block ended at 2026-12-08T11:30:00Z"),
    ],
)
def test_a_late_merge_is_refused(moment: str, words: str) -> None:
    """Nodes started after the drain are taken by EC2; the plan of such a merge must fail before anything registers."""
    with pytest.raises(SettingsError) as caught:
        Settings.parse("gb200-prod", config("gb200-prod"), at=datetime.fromisoformat(moment))
    (fault,) = caught.value.faults
    assert fault.key == "capacity.ultraServers.rack-a.end"
    assert words in str(caught.value) and "name the next block" in str(caught.value)


def test_a_late_plan_registers_nothing() -> None:
    with pytest.raises(pulumi.RunError, match="the block is drained since"):
        record("gb200-prod", config("gb200-prod"), at=datetime(2026, 12, 8, 10, tzinfo=UTC))


@pytest.mark.parametrize("moment", ["2026-11-01T00:00:00+00:00", "2026-12-08T09:59:59+00:00"])
def test_until_the_drain_it_is_taken(moment: str) -> None:
    assert Settings.parse("gb200-prod", config("gb200-prod"), at=datetime.fromisoformat(moment)).capacity.ultra_servers


def test_a_drain_of_ones_own() -> None:
    """A longer drain is a schedule, and never one that comes later than 75 minutes before the end."""
    given = config("gb200-prod", drainMinutes=240)
    settings = Settings.parse("gb200-prod", given, at=AT)
    assert settings.capacity.ultra_servers["rack-a"].drain_minutes == 240
    with pytest.raises(SettingsError, match="drainMinutes"):
        Settings.parse("gb200-prod", config("gb200-prod", drainMinutes=74), at=AT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zone": "use1-dfw2-az2"}, "use1-dfw2-az2"),
        ({"count": 9}, "9"),
        ({"instanceType": "p6e-gb300.36xlarge"}, "p6e-gb300.36xlarge"),
        ({"end": "2026-12-07T11:30:00Z"}, "2026-12-07T11:30:00Z"),
        ({"start": "2026-12-02T11:30:00Z"}, "2026-12-02T11:30:00Z"),
        ({"state": "cancelled"}, "cancelled"),
        ({"platform": "Windows"}, "Windows"),
    ],
)
def test_a_block_that_is_another_stops_everything(changes: dict[str, Any], words: str) -> None:
    """A stack that names a wrong zone or type makes a network and a cluster, and then starts no machine."""
    given = config("gb200-prod")
    answers = Answers.for_config("gb200-prod", given)
    id_ = "cr-0fedcba9876543210"
    answers.reservations[id_] = {**answers.reservations[id_], **changes}
    with pytest.raises(pulumi.RunError) as caught:
        record("gb200-prod", given, answers=answers, at=AT)
    assert "capacity.ultraServers.rack-a differs from the block that was bought" in str(caught.value)
    assert words in str(caught.value)


# --- several racks, and another block ----------------------------------------------------------------------------------


def test_two_racks_are_two_of_everything() -> None:
    graph = recorded("gb200-pair")
    for type_ in (TEMPLATE, GROUP, SCHEDULE):
        assert [node.name[:12] for node in graph.of(type_)] == ["nodes-rack-a", "nodes-rack-b"]
    drains = [node.inputs["startTime"] for node in graph.of(SCHEDULE)]
    assert drains == ["2026-12-08T10:00:00Z", "2026-12-15T10:00:00Z"], "each by its own block"
    reserved = [
        node.inputs["capacityReservationSpecification"]["capacityReservationTarget"]["capacityReservationId"]
        for node in graph.of(TEMPLATE)
    ]
    assert reserved == ["cr-0fedcba9876543210", "cr-0a1b2c3d4e5f6071a"]
    # Both in one zone: one subnet, with room for both.
    assert len({str(node.inputs["subnetIds"]) for node in graph.of(GROUP)}) == 1
    assert [TYPES[rack.type].nodes for rack in racks(graph).values()] == [9, 9]


def test_another_block_is_another_node_group() -> None:
    """Nothing of the old block is edited into the new one: its nodes run until their own drain."""
    before, after = recorded("gb200-pair"), replaced()
    keys = {node.key for node in before}, {node.key for node in after}
    gone, made = keys[0] - keys[1], keys[1] - keys[0]
    assert gone == {f"{TEMPLATE}::nodes-rack-b-e5f6071a", f"{GROUP}::nodes-rack-b-e5f6071a", f"{SCHEDULE}::nodes-rack-b-e5f6071a-drain"}  # fmt: skip
    assert made == {key.replace("e5f6071a", "aaaaaaab") for key in gone}
    assert after[f"{GROUP}::nodes-rack-b-aaaaaaab"].inputs["nodeGroupName"] == "rack-b-aaaaaaab"


def test_another_block_leaves_the_rest_alone() -> None:
    """The other rack goes on serving: neither it nor the platform, charts and graphs change."""
    before, after = recorded("gb200-pair"), replaced()
    changed = [node.key for node in before if node.key in after and after[node.key].inputs != node.inputs]
    assert changed and all("rack-b" in key for key in changed), changed
    for key in changed:
        if key.startswith("kubernetes:batch/v1:Job"):
            # The new rack is verified anew: its Jobs have other names, and so run again.
            assert after[key].inputs["metadata"]["name"] != before[key].inputs["metadata"]["name"]
    for word in ("GraphDeployment", "ComputeDomain", "Release", "Subnet", "Queue"):
        assert not any(word in key for key in changed), word


def test_the_rack_is_protected() -> None:
    """One wrong edit otherwise gives a prepaid rack back."""
    assert all(node.protect for stack in ("gb200-prod", "gb200-pair") for node in recorded(stack).of(GROUP))
    assert not only(early(), GROUP).protect, "released by its setting alone"
