"""Interface endpoints: AWS services reached without leaving the VPC."""

from __future__ import annotations

INTERFACE_ENDPOINTS = (
    "autoscaling",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticfilesystem",
    "elasticloadbalancing",
    "kms",
    "logs",
    "monitoring",
    "secretsmanager",
    "ssm",
    "sts",
)
"""Services that a cluster of this kind talks to (EKS User Guide, private clusters). nvcr.io and Hugging Face need NAT all the same."""


def service_name(region: str, name: str) -> str:
    """`com.amazonaws.us-east-1.ecr.api`."""
    if name not in INTERFACE_ENDPOINTS:
        raise ValueError(f"interface endpoint {name!r} is not known; choose from {', '.join(INTERFACE_ENDPOINTS)}")
    return f"com.amazonaws.{region}.{name}"
