"""The control plane itself: is it as strict and as real as the other tests take it to be?"""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.engine.control_plane import ControlPlane, Refused, until
from tests.engine.crds import running, served


def test_certificate_is_verified(control_plane: ControlPlane) -> None:
    """A session that trusts anyone would let a test talk to another cluster."""
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.exceptions.SSLError):
            session.get(control_plane.url + "/readyz")
    with control_plane.session() as session:
        assert session.get(control_plane.url + "/readyz").text == "ok"


def test_misspelt_field_is_refused(control_plane: ControlPlane) -> None:
    """Without strict validation the API server drops the field and reports success."""
    graph = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "default"},
        "spec": {"components": [{"name": "decode", "type": "decode", "replica": 2}]},
    }
    with pytest.raises(Refused, match="replica"):
        control_plane.apply(graph)
    assert control_plane.get("nvidia.com/v1beta1", "DynamoGraphDeployment", "chat", "default") is None


def test_every_contract_crd_is_served(control_plane: ControlPlane, contracts: Path) -> None:
    """A kind without its CRD would be left out of every comparison without a word."""
    names = {path.stem for path in contracts.glob("*/crds/*.yaml")}
    there = {
        f"{item['spec']['group']}_{item['spec']['names']['plural']}"
        for item in control_plane.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    }
    assert names - there == set()
    assert "eks.amazonaws.com_nodeclasses" in there
    assert len(served(contracts, running())) == len(there)


def test_controllers_run(control_plane: ControlPlane) -> None:
    """A deleted namespace that never goes would make the second test of the same name fail."""
    with control_plane.namespace("gone"):
        pass
    until(lambda: control_plane.get("v1", "Namespace", "gone") is None, "namespace gone")
