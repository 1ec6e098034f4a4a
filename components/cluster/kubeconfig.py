"""Kubeconfig of an EKS cluster. Pure: a dict without secrets."""

from __future__ import annotations

from typing import Any


def kubeconfig(
    cluster_name: str,
    endpoint: str,
    certificate_authority: str,
    region: str,
    *,
    profile: str | None = None,
    role_arn: str | None = None,
) -> dict[str, Any]:
    """Kubeconfig that asks the AWS CLI for a token at every use.

    `certificate_authority` is base64, as EKS returns it. Region is always given, since the command runs in the
    operator's environment and not with the AWS provider's settings; give `profile` or `role_arn` too where that
    environment's own identity has no access entry (pulumi/pulumi-eks#669). A token is never stored: it dies after
    15 minutes and would make every preview differ.
    """
    arguments = ["--region", region]
    if profile:
        arguments += ["--profile", profile]
    arguments += ["eks", "get-token", "--cluster-name", cluster_name, "--output", "json"]
    if role_arn:
        arguments += ["--role-arn", role_arn]
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": arguments,
        "interactiveMode": "IfAvailable",
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster_name,
                "cluster": {"server": endpoint, "certificate-authority-data": certificate_authority},
            }
        ],
        "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": cluster_name}}],
        "current-context": cluster_name,
        "users": [{"name": cluster_name, "user": {"exec": exec_}}],
    }


def update_command(cluster_name: str, region: str, profile: str | None = None, role_arn: str | None = None) -> str:
    """Shell command that adds the cluster to the operator's own kubeconfig, with the identity that the program uses."""
    suffix = f" --profile {profile}" if profile else ""
    # One to ask EKS about the cluster, the other for the tokens of every later kubectl.
    suffix += f" --assume-role-arn {role_arn} --role-arn {role_arn}" if role_arn else ""
    return f"aws eks update-kubeconfig --region {region} --name {cluster_name}{suffix}"
