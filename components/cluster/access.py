"""Who may administer the cluster: access entries from IAM ARNs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CLUSTER_ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
"""EKS access policy equal to Kubernetes' cluster-admin (EKS User Guide, "Review access policy permissions")."""

_PRINCIPAL = re.compile(r"^arn:aws[a-z-]*:iam::(?P<account>\d{12}):(?P<kind>role|user)/(?P<path>.+)$")


@dataclass(frozen=True, kw_only=True)
class AdminEntry:
    """One principal with cluster-admin rights."""

    key: str
    """Part of the Pulumi names. Made of the principal alone, so that adding or removing another one moves nothing."""
    principal_arn: str


def admin_entries(admins: Sequence[str]) -> tuple[AdminEntry, ...]:
    """Entries for IAM roles (and users), in the order given.

    A key is name and account: names are unique in an account, whatever their path. Users get a suffix, since a role may
    have the same name; no role's key ends like it. Raises ValueError for anything else (an STS session's ARN above all, which EKS does not take),
    and for a principal named twice, because EKS refuses the second entry.
    """
    entries: dict[str, AdminEntry] = {}
    for arn in admins:
        match = _PRINCIPAL.match(arn)
        if match is None:
            raise ValueError(
                f"admins: {arn!r} is not the ARN of an IAM role, such as arn:aws:iam::111122223333:role/platform; "
                "for a session (arn:aws:sts::…:assumed-role/platform/…) name the role itself"
            )
        name = match["path"].rsplit("/", 1)[-1]
        suffix = "-user" if match["kind"] == "user" else ""
        entry = AdminEntry(key=f"{name}-{match['account']}{suffix}", principal_arn=arn)
        if entry.key in entries:
            raise ValueError(f"admins: {arn!r} is there twice; EKS takes one access entry for each principal")
        entries[entry.key] = entry
    return tuple(entries.values())
