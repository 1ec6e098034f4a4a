"""The stack itself: region, account, names, versions, tags, and who may reach and administer the cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from components import aws_values, catalog
from components.cluster.spec import Cluster
from components.network.zones import REGION_ZONES
from components.spec import seconds
from stacks.checks.draft import Draft
from stacks.faults import Fault, listed, one_of
from stacks.placeholders import KNOWN
from stacks.sections import RESERVED_TAG, RESERVED_TAGS


def place(draft: Draft) -> Iterator[Fault]:
    if draft.cluster is None:
        return
    if draft.cluster.existing:
        for name in ("network", "capacity", "gpu"):
            if draft.given[name]:
                yield Fault(
                    "section-beside-existing-cluster",
                    name,
                    "no such section together with cluster.existing, which makes no AWS resource",
                    draft.given[name],
                    fix=f"remove {name}, or remove cluster.existing to have a cluster made",
                )
        for key in sorted(set(draft.given["cluster"]) - {"existing", "version"}):
            yield Fault(
                "key-beside-existing-cluster",
                f"cluster.{key}",
                "only existing and version here: an existing cluster is used as it is",
                draft.given["cluster"][key],
            )
        return
    yield from _name(draft, draft.cluster)
    if draft.region is None:
        yield Fault(
            "region-missing", "aws:region", "a region; the key is required", add="config:\n  aws:region: us-east-1"
        )
    elif draft.region not in REGION_ZONES:
        # Of another partition: the nearest name would be in another country.
        apart = draft.region.startswith(("us-gov-", "us-iso", "cn-"))
        told = f"{listed(REGION_ZONES)}; GovCloud and China are not supported"
        yield Fault("region-unknown", "aws:region", told if apart else one_of(draft.region, REGION_ZONES), draft.region)
    if draft.cluster.public_access_cidrs is None:
        yield Fault(
            "endpoint-ranges-missing",
            "cluster.publicAccessCidrs",
            "the ranges that may reach the API endpoint, or [] for a private endpoint; the key is required",
            add='dynamo-eks:cluster:\n  publicAccessCidrs: ["<your-ip>/32"]',
        )
    elif (share := opened_by(draft.cluster.public_access_cidrs)) and not draft.cluster.allow_open_endpoint:
        yield Fault(
            "endpoint-open-to-everyone",
            "cluster.publicAccessCidrs",
            f"ranges you know; {share} lets the whole internet reach the API endpoint",
            list(draft.cluster.public_access_cidrs),
            fix="name your ranges, or set allowOpenEndpoint: true if it is meant",
        )
    yield from _admins(draft, draft.cluster)


def _admins(draft: Draft, cluster: Cluster) -> Iterator[Fault]:
    partition = aws_values.partition(draft.region or "")
    first: dict[tuple[str, str, str], str] = {}
    for position, arn in enumerate(cluster.admins):
        found = aws_values.PRINCIPAL.match(arn)
        assert found is not None, "the type has looked at it"
        key = f"cluster.admins[{position}]"
        if draft.region in REGION_ZONES and found["partition"] != partition:
            yield Fault(
                "admin-of-other-partition",
                key,
                f"a principal of {draft.region}'s partition, arn:{partition}:iam::",
                arn,
            )
        if first.setdefault((found["account"], found["kind"], found["name"]), arn) != arn:
            yield Fault("admin-twice", key, "another name: an account has each name once, whatever its path (IAM)", arn)


def opened_by(ranges: Sequence[str]) -> str | None:
    """What a list of ranges has that is the whole internet, by its own name or in parts; None when it has none."""
    if not aws_values.is_open(ranges):
        return None
    return (
        "0.0.0.0/0" if "0.0.0.0/0" in ranges else f"{aws_values.internet_share(ranges):.0%} of all addresses, in parts,"
    )


def _name(draft: Draft, cluster: Cluster) -> Iterator[Fault]:
    """The stack's name makes the cluster's, where none is given."""
    name = f"dynamo-{draft.stack}"
    if cluster.name is None and not re.fullmatch(r"[A-Za-z0-9-]{1,58}", name):
        fitting = re.sub(r"[^A-Za-z0-9-]+", "-", name)[:58].rstrip("-")
        yield Fault(
            "cluster-name-derived",
            "cluster.name",
            f"a name, since the stack's makes none: {name} has {len(name)} characters, and a cluster may have 58, letters, "
            "digits and dashes; the key is required",
            add=f"dynamo-eks:cluster:\n  name: {fitting}",
        )


def account(draft: Draft) -> Iterator[Fault]:
    allowed, roles = draft.access.get("allowedAccountIds"), draft.access.get("assumeRoles") or ()
    # An account that is still to fill in is compared with nothing.
    account = None if draft.account == KNOWN["<account-id>"].stand_in else draft.account
    if draft.existing_cluster:
        given = {"account": draft.account} | {f"aws:{name}": value for name, value in draft.access.items()}
        for key, value in given.items():
            if value is not None:
                shown = [item.role_arn for item in roles] if value is roles else value
                yield Fault(
                    "account-beside-existing-cluster",
                    key,
                    "no such key together with cluster.existing, which asks nothing of AWS",
                    shown,
                    fix="remove it",
                )
        return
    if account and allowed and tuple(allowed) != (account,):
        yield Fault(
            "account-named-twice",
            "aws:allowedAccountIds",
            f"the account of dynamo-eks:account alone ({account})",
            list(allowed),
            fix="remove aws:allowedAccountIds; dynamo-eks:account says the same",
        )
    accounts = (account,) if account else tuple(allowed or ())
    for position, role in enumerate(roles):
        owner = role.role_arn.split(":")[4]
        if accounts and owner not in accounts:
            yield Fault(
                "role-of-other-account",
                f"aws:assumeRoles[{position}].roleArn",
                f"a role of the stack's own account ({', '.join(accounts)}), since that is where it leads",
                role.role_arn,
            )
        if role.duration is not None and not 900 <= seconds(role.duration) <= 43200:
            yield Fault(
                "role-duration",
                f"aws:assumeRoles[{position}].duration",
                "a duration from 15m to 12h, as STS takes it",
                role.duration,
            )


def versions(draft: Draft) -> Iterator[Fault]:
    if draft.cluster and draft.cluster.version not in catalog.KUBERNETES:
        yield Fault("kubernetes-version", "cluster.version", listed(catalog.KUBERNETES), draft.cluster.version)
        return
    if draft.dynamo is None:
        return
    if draft.dynamo.version not in catalog.DYNAMO:
        yield Fault("dynamo-version", "dynamo.version", listed(catalog.DYNAMO), draft.dynamo.version)
    elif draft.cluster and (why := catalog.check_pair(draft.dynamo.version, draft.cluster.version)):
        yield Fault("dynamo-version-for-kubernetes", "dynamo.version", why, draft.dynamo.version)


def tags(draft: Draft) -> Iterator[Fault]:
    for key, value in (draft.tags or {}).items():
        if RESERVED_TAG.match(key):
            yield Fault(
                "tag-reserved",
                f"tags.{key}",
                f"a key that does not begin with {', '.join(RESERVED_TAGS[:-1])} or {RESERVED_TAGS[-1]}",
                value,
            )
        if "=" in key or key != key.strip():
            yield Fault(
                "tag-key-apart",
                f"tags.{key}",
                "a key without = and without spaces at its ends: volumes and load balancers are told tags as key=value",
                value,
            )
        if key.lower() in ("project", "stack"):
            yield Fault("tag-of-program", f"tags.{key}", "another key; project and stack are set by the program", value)
    by_word = Counter(key.lower() for key in draft.tags or {})
    for key, value in (draft.tags or {}).items():
        if by_word[key.lower()] > 1:
            yield Fault(
                "tag-twice",
                f"tags.{key}",
                "each key once, whatever its case: IAM takes Team and team for the same",
                value,
            )
    if draft.tags and len(draft.tags) > 40:
        yield Fault("tags-too-many", "tags", "at most 40 tags, since EC2 allows 50 in all", len(draft.tags))
