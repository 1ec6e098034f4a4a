"""The stand-in for the component provider of pulumi-eks: the children for the options this program does not use."""

from __future__ import annotations

from typing import Any

import pytest

from recording.answers import Answers
from recording.world import Child

BASE: dict[str, Any] = {"autoMode": {"enabled": True}, "authenticationMode": "API", "vpcId": "vpc-1", "name": "prod"}


def _children(**changes: Any) -> dict[str, Child]:
    found, _, _ = Answers("test").construct("eks:index:Cluster", "main", {**BASE, **changes})
    return {child.name: child for child in found}


def test_default_node_group_brings_a_role_of_its_own() -> None:
    extra = _children().keys() - _children(skipDefaultNodeGroup=True).keys()
    assert extra == {
        "main-instanceRole",
        "main-instanceRole-role",
        "main-instanceRole-03516f97",
        "main-instanceRole-e1b295bd",
        "main-instanceRole-3eb088f2",
        "main-instanceProfile",
        "main-defaultNodeGroupInstanceRole",
    }


def test_without_a_node_role_of_its_own() -> None:
    auto_mode = {"enabled": True, "createNodeRole": False, "computeConfig": {"nodeRoleArn": "arn:aws:iam::1:role/n"}}
    found = _children(autoMode=auto_mode)
    assert not [name for name in found if "nodeRole" in name]
    assert found["main-eksCluster"].inputs["computeConfig"]["nodeRoleArn"] == "arn:aws:iam::1:role/n"
    assert len(found["main-eksCluster"].depends_on) == 5


def test_coredns_comes_unless_switched_off() -> None:
    assert _children()["main-coredns"].inputs["preserve"] is True
    assert "main-coredns" not in _children(corednsAddonOptions={"enabled": False})


def test_public_subnets_come_first() -> None:
    found = _children(publicSubnetIds=["p1"], privateSubnetIds=["s1", "s2"])["main-eksCluster"]
    assert found.inputs["vpcConfig"] == {"subnetIds": ["p1", "s1", "s2"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"authenticationMode": "CONFIG_MAP"}, "Auto Mode needs API or API_AND_CONFIG_MAP"),
        ({"autoMode": {}}, "is without Auto Mode"),
        ({"vpcId": None}, "would read the account's default VPC"),
        ({"publicAccessCidrs": ["198.51.100.0/24"], "endpointPublicAccess": False}, "need endpoint_public_access=True"),
    ],
)
def test_it_refuses_what_the_component_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _children(**changes)
