"""States as the engine writes them, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ROOT = "urn:pulumi:demo::dynamo-eks::pulumi:pulumi:Stack::dynamo-eks-demo"
AWS = "urn:pulumi:demo::dynamo-eks::pulumi:providers:aws::aws"
KUBERNETES = "urn:pulumi:demo::dynamo-eks::pulumi:providers:kubernetes::kubernetes"

VPC, NAT, EIP = "aws:ec2/vpc:Vpc", "aws:ec2/natGateway:NatGateway", "aws:ec2/eip:Eip"
EKS, KEY, EFS = "aws:eks/cluster:Cluster", "aws:kms/key:Key", "aws:efs/fileSystem:FileSystem"
SUBNET, NAMESPACE = "aws:ec2/subnet:Subnet", "kubernetes:core/v1:Namespace"
TAGS = {"project": "dynamo-eks", "stack": "demo"}


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:demo::dynamo-eks::{type_}::{name}"


def entry(type_: str, name: str, id_: str = "", **fields: Any) -> dict[str, Any]:
    """A resource entry; `inputs` are its outputs as well."""
    provider = f"{KUBERNETES}::k" if type_.startswith("kubernetes:") else f"{AWS}::a"
    made = {"urn": urn(type_, name), "type": type_, "custom": True, "parent": ROOT, "provider": provider}
    if type_.startswith("pulumi:"):
        del made["provider"]
    made |= {"id": id_, "outputs": fields.get("inputs", {})} if id_ else {}
    return {**made, **fields}


def providers(kubeconfig: str = "") -> list[dict[str, Any]]:
    aws = {"region": "us-east-1", "defaultTags": '{"tags": {"project": "dynamo-eks", "stack": "demo"}}'}
    found = [entry("pulumi:providers:aws", "aws", "a", inputs=aws)]
    if kubeconfig:
        found.append(entry("pulumi:providers:kubernetes", "kubernetes", "k", inputs={"kubeconfig": kubeconfig}))
    return found


def document(
    *resources: dict[str, Any], pending: Sequence[tuple[str, dict[str, Any]]] = (), kubeconfig: str = ""
) -> dict[str, Any]:
    """A whole export: the stack, its providers, these resources and these interrupted operations."""
    root = {"urn": ROOT, "type": "pulumi:pulumi:Stack", "custom": False, "outputs": {"region": "us-east-1"}}
    return {
        "version": 3,
        "deployment": {
            "resources": [root, *providers(kubeconfig), *resources],
            "pending_operations": [{"type": kind, "resource": item} for kind, item in pending],
        },
    }
