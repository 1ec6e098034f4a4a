"""Settings of the cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .. import aws_values
from ..spec import KubernetesVersion, Model, PublicCidr, RoleArn


class ExistingCluster(Model):
    kubeconfig: Annotated[str, StringConstraints(min_length=1)]
    """Path of a kubeconfig file."""
    context: Annotated[str, StringConstraints(min_length=1)]
    """Context in it. Also the identity of the Kubernetes provider: changing it replaces everything in the cluster."""


LogType = Literal["api", "audit", "authenticator", "controllerManager", "scheduler"]


class Cluster(Model):
    """The EKS cluster in Auto Mode, or the one that is there already."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,57}$")] | None = None
    """Physical name, at most 58 characters; by default `dynamo-<stack>`. Changing it replaces the cluster."""
    version: KubernetesVersion = "1.35"
    """Kubernetes version, in quotes. Raising it upgrades the control plane in place, one minor at a time. Going back by one is refused but within 7 days of the upgrade, and without UltraServers."""
    support: Literal["STANDARD", "EXTENDED"] = "STANDARD"
    """What happens at the end of standard support: STANDARD upgrades the control plane by itself, EXTENDED costs $0.60/h instead of $0.10/h, and cannot be left once extended support has begun."""
    admins: tuple[RoleArn, ...] = ()
    """IAM roles that get cluster-admin by an access entry, besides whoever creates the cluster."""
    public_access_cidrs: Annotated[tuple[PublicCidr, ...], Field(max_length=aws_values.MOST_PUBLIC_CIDRS)] | None = None
    """Who may reach the API endpoint from outside the VPC: public ranges, at most 40. An empty list makes the endpoint private only."""
    allow_open_endpoint: bool = False
    """Named override that lets `publicAccessCidrs` cover the internet, as 0.0.0.0/0 or in parts."""
    logs: tuple[LogType, ...] = ("api", "audit", "authenticator", "controllerManager", "scheduler")
    """Control-plane logs sent to CloudWatch."""
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 90
    """Days that CloudWatch keeps the control-plane logs."""
    deletion_protection: bool = False
    """EKS itself refuses to delete the cluster until an update has switched this off."""
    protect: bool = True
    """Pulumi refuses to delete or replace the cluster, its KMS key and its VPC. Set to false and run `make up` before `make destroy`."""
    existing: ExistingCluster | None = None
    """Use a cluster that is there already; then no AWS resource is made and `network` and `capacity` must be absent."""
