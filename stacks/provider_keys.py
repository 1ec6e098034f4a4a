"""Configuration keys of other packages than this program: honoured, or refused with the way to get the same.

The program makes its providers itself and hands them what they need, so a key that it does not read has no effect. The
keys of the AWS provider are those of pulumi-aws 7.51.1 (`pulumi_aws.Provider`; a test compares). A key that only the
provider would obey is refused: the kubeconfig's token command, and the questions that `make preflight`, `make recover`
and `make destroy` ask, would go on with another identity or another way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.faults import PREFIX, Fault, nearest
from stacks.sections import AllowedAccounts, AssumedRoles, Profile


@dataclass(frozen=True, slots=True)
class Refused:
    """A key that has no effect here."""

    why: str
    """As the end of `expected …`."""
    instead: str
    """What to do."""
    hidden: bool = False
    """The value is a secret."""


HONOURED: Mapping[str, Any] = {
    "profile": Profile,
    "assumeRoles": AssumedRoles,
    "allowedAccountIds": AllowedAccounts,
}
"""Keys under `aws:` beside `aws:region`, each with its model."""

_KEY = "no access key in a stack file: credentials are the shell's, or those of a profile"
_KEY_INSTEAD = "remove it, revoke the key if it stood here in clear, and name a profile in aws:profile"
_PROXY = "no proxy of the provider alone: the token command and the CLI would go another way"


def _by_environment(what: str, *variables: str) -> Refused:
    named = " and ".join(variables)
    return Refused(
        f"no such key: it would hold for the provider alone, and not for {what}", f"remove it and set {named}"
    )


_EVERYBODY = "the aws CLI and this program's own questions"

REFUSED: Mapping[str, Refused] = {
    "accessKey": Refused(_KEY, _KEY_INSTEAD, hidden=True),
    "secretKey": Refused(_KEY, _KEY_INSTEAD, hidden=True),
    "token": Refused(_KEY, _KEY_INSTEAD, hidden=True),
    "assumeRole": Refused(
        "no such key: pulumi-aws has had a list since version 7", "write aws:assumeRoles: [{roleArn: …}]"
    ),
    "assumeRoleWithWebIdentity": Refused(
        "no web identity of the provider alone: the kubeconfig's token command cannot use one by an argument",
        "give a profile role_arn and web_identity_token_file in ~/.aws/config and name it in aws:profile, or set "
        "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "customCaBundle": _by_environment(_EVERYBODY, "AWS_CA_BUNDLE"),
    "defaultTags": Refused("no such key: tags stand in one place", "move them to dynamo-eks:tags"),
    "ec2MetadataServiceEndpoint": _by_environment(_EVERYBODY, "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    "ec2MetadataServiceEndpointMode": _by_environment(_EVERYBODY, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
    "endpoints": _by_environment(_EVERYBODY, "AWS_ENDPOINT_URL_<SERVICE>"),
    "forbiddenAccountIds": Refused(
        "no list of accounts that are refused: every other one is", "name the stack's own account in dynamo-eks:account"
    ),
    "httpProxy": Refused(_PROXY, "remove it and set HTTP_PROXY"),
    "httpsProxy": Refused(_PROXY, "remove it and set HTTPS_PROXY"),
    "noProxy": Refused(_PROXY, "remove it and set NO_PROXY"),
    "ignoreTags": Refused(
        "no such key: a tag that somebody else puts on would be invisible to `make destroy` too",
        "name the tag and its value in dynamo-eks:tags",
    ),
    "insecure": Refused("no connections that believe any certificate", "remove it and set AWS_CA_BUNDLE"),
    "maxRetries": _by_environment(_EVERYBODY, "AWS_MAX_ATTEMPTS"),
    "retryMode": _by_environment(_EVERYBODY, "AWS_RETRY_MODE"),
    "s3UsEast1RegionalEndpoint": Refused("no key for S3, which this program does not use", "remove it"),
    "s3UsePathStyle": Refused("no key for S3, which this program does not use", "remove it"),
    "sharedConfigFiles": _by_environment(_EVERYBODY, "AWS_CONFIG_FILE"),
    "sharedCredentialsFiles": _by_environment(_EVERYBODY, "AWS_SHARED_CREDENTIALS_FILE"),
    "skipCredentialsValidation": Refused(
        "no such key: an identity that is not looked at is not the right one", "remove it"
    ),
    "skipMetadataApiCheck": _by_environment(_EVERYBODY, "AWS_EC2_METADATA_DISABLED"),
    "skipRegionValidation": Refused("no such key: the region is compared with those the program knows", "remove it"),
    "skipRequestingAccountId": Refused("no such key: the account is compared before anything is made", "remove it"),
    "stsRegion": Refused("no such key: STS is asked in aws:region", "remove it"),
    "tagPolicyCompliance": _by_environment("the plan", "TF_AWS_TAG_POLICY_COMPLIANCE"),
    "tokenBucketRateLimiterCapacity": Refused("no such key: the provider's own pace is kept", "remove it"),
    "useDualstackEndpoint": _by_environment(_EVERYBODY, "AWS_USE_DUALSTACK_ENDPOINT"),
    "useFipsEndpoint": _by_environment(_EVERYBODY, "AWS_USE_FIPS_ENDPOINT"),
    "userAgents": Refused("no such key: who asks is told by the credentials", "remove it"),
}
"""Keys under `aws:` that would change what the provider does and nothing else."""

KNOWN = ("region", *HONOURED)
"""Keys under `aws:` that a stack file may have."""

_OTHERS: Mapping[str, Refused] = {
    "kubernetes": Refused(
        "no key of the Kubernetes provider: it is that of the cluster made here, or of cluster.existing",
        "remove it; a cluster that is there already is named by dynamo-eks:cluster: {existing: {kubeconfig, context}}",
    ),
    "eks": Refused("no key of the EKS package: the cluster is described under dynamo-eks:cluster", "remove it"),
}
"""What to say of packages that the program uses."""

_OURS = PREFIX.removesuffix(":")

SCHEMA_PATTERN = "^(?!(dynamo-eks|aws|kubernetes|eks):)[^:]+:"
"""Keys that an editor lets stand: the engine's own (`pulumi:tags`), and those that other tools read."""


def unread(keys: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of all keys, by full name, that a package of the program's would take and that have no effect here."""
    for key, value in keys.items():
        package, _, name = str(key).partition(":")
        if package in _OTHERS:
            refused = _OTHERS[package]
        elif key != f"{_OURS}:{name}" and nearest(package, [_OURS]):
            refused = Refused(f"no key of a package {package}; did you mean {_OURS}:{name}?", "correct or remove it")
        elif package != "aws" or name in KNOWN:
            continue
        elif name in REFUSED:
            refused = REFUSED[name]
        else:
            near = nearest(name, KNOWN)
            known = ", ".join(f"aws:{item}" for item in KNOWN)
            refused = Refused(
                f"no such key of the AWS provider; honoured are {known}"
                + (f"; did you mean aws:{near}?" if near else ""),
                "remove it",
            )
        yield Fault("provider-key", key, refused.why, "[hidden]" if refused.hidden else value, fix=refused.instead)
