"""The EFS CSI add-on."""

from __future__ import annotations

from recording.graph import Graph


def test_driver_has_its_rights_before_it_starts_and_until_it_is_gone(graph: Graph) -> None:
    """Without rights at start every claim fails; without them in a destroy access points stay, and with them the file
    system cannot go."""
    addon = graph.one("aws:eks/addon:Addon")
    attachment = graph["aws:iam/rolePolicyAttachment:RolePolicyAttachment::addons-efs-csi"]
    assert attachment.inputs["policyArn"].endswith("service-role/AmazonEFSCSIDriverPolicy")
    assert graph.destroyed_before(addon, attachment)


def test_driver_takes_the_role_we_made(updated: Graph) -> None:
    """Auto Mode nodes keep instance metadata from pods (hop limit 1): without Pod Identity the driver has no role."""
    addon = updated.one("aws:eks/addon:Addon").inputs
    role = updated["aws:iam/role:Role::addons-efs-csi"].outputs["arn"]
    assert {item["serviceAccount"]: item["roleArn"] for item in addon["podIdentityAssociations"]} == {
        "efs-csi-controller-sa": role,
        "efs-csi-node-sa": role,
    }
    assert addon["addonVersion"] == "v3.3.0-eksbuild.1"
