"""With which identity this program asks AWS, and whether it is in the stack's own account.

One place for everything that asks by boto3: the provider, the kubeconfig's token command and these questions use the same
profile and role, or a look with another identity would find nothing and call it gone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from components.spec import seconds
from operations.state import State
from stacks.settings import Identity, Settings, identity

CONNECT_S, READ_S = 5, 20
"""A name that leads nowhere, or a service that does not answer, must not hold up a command."""

SESSION = "dynamo-eks"
"""Name of the session in CloudTrail, where the stack gives none."""


class NoIdentity(Exception):
    """AWS cannot be asked who is calling; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Profile and role of a stack, and the accounts it may be in."""

    region: str | None = None
    profile: str | None = None
    """None for the shell's own identity."""
    role_arn: str | None = None
    session_name: str | None = None
    duration_s: int | None = None
    accounts: tuple[str, ...] = ()
    """Accounts that are right; empty when none is pinned."""

    @classmethod
    def of_settings(cls, settings: Settings | Identity) -> Access:
        """As a stack file says."""
        role = settings.assume_role
        return cls(
            region=settings.region,
            profile=settings.profile,
            role_arn=role and role.role_arn,
            session_name=role and role.session_name,
            duration_s=seconds(role.duration) if role and role.duration else None,
            accounts=settings.accounts,
        )

    @classmethod
    def of_state(cls, state: State) -> Access:
        """As the AWS provider in a state was last told. Without a pinned account, the one in the ARNs of what is there."""
        provider = next(iter(state.providers("aws")), None)
        if provider is None:
            return cls()
        given = provider.inputs
        role = next(iter(_list(given.get("assumeRoles"))), None) or {}
        return cls(
            region=given.get("region"),
            profile=given.get("profile"),
            role_arn=role.get("roleArn"),
            session_name=role.get("sessionName"),
            duration_s=seconds(role["duration"]) if role.get("duration") else None,
            accounts=tuple(_list(given.get("allowedAccountIds"))) or accounts_in(state),
        )

    @classmethod
    def of_stack(cls, stack: str, state: State | None = None) -> Access:
        """As the stack file says, however faulty it is elsewhere, in the region and account that the state has been in."""
        from stacks import stackfile

        kept = cls.of_state(state) if state is not None else cls()
        try:
            given = identity(stackfile.read(stack).config)
        except stackfile.StackFileError:
            return kept
        return replace(
            cls.of_settings(given),
            region=kept.region or given.region,
            # What exists is where it is, whatever the file says by now.
            accounts=kept.accounts or given.accounts,
        )

    def session(self) -> Any:
        """A boto3 session with this identity; its role's credentials renew themselves. Raises NoIdentity."""
        import boto3
        from botocore.credentials import (
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            session = Session(profile=self.profile)
            session.set_default_client_config(config())
            if self.role_arn:
                own = session.get_credentials()
                if own is None:
                    raise NoIdentity("there are no credentials to assume the role with")
                extra = {"RoleSessionName": self.session_name or SESSION}
                if self.duration_s:
                    extra["DurationSeconds"] = self.duration_s  # type: ignore[assignment] as STS takes it
                fetcher = AssumeRoleCredentialFetcher(
                    # STS of the stack's region: the global endpoint is another region's, and may be closed.
                    client_creator=lambda service, **keys: session.create_client(
                        service, region_name=self.region, **keys
                    ),
                    source_credentials=own,
                    role_arn=self.role_arn,
                    extra_args=extra,
                )
                deferred = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
                session._credentials = deferred  # botocore has no other way to hand over renewable ones
            return boto3.Session(botocore_session=session, region_name=self.region)
        except BotoCoreError as error:
            raise NoIdentity(str(error)) from None

    def caller(self, session: Any = None) -> Caller:
        """Who is asking. Raises NoIdentity."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = (session or self.session()).client("sts", region_name=self.region)
            answer = client.get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            raise NoIdentity(str(error)) from None
        return Caller(answer["Account"], answer["Arn"])


def config() -> Any:
    """How every client asks: briefly, and again after a throttle."""
    from botocore.config import Config

    return Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "total_max_attempts": 3})


@dataclass(frozen=True)
class Caller:
    """Who STS says is asking."""

    account: str
    arn: str

    @property
    def principal(self) -> str:
        """ARN of the IAM identity behind a session: `assumed-role/platform/session` is `role/platform`. The path of a role is
        not in its sessions' ARN, so this one may lack it."""
        found = _ASSUMED.match(self.arn)
        return f"arn:{found['partition']}:iam::{found['account']}:role/{found['name']}" if found else self.arn

    def is_(self, principal: str) -> bool:
        """Whether an IAM ARN names this identity. Names are unique in an account, whatever the path (IAM User Guide)."""
        return _named(principal) is not None and _named(principal) == _named(self.principal)


_ASSUMED = re.compile(
    r"arn:(?P<partition>[a-z-]+):sts::(?P<account>[0-9]{12}):assumed-role/(?P<name>[^/]+)/(?P<session>.+)"
)
_PRINCIPAL = re.compile(r"arn:[a-z-]+:iam::(?P<account>[0-9]{12}):(?P<kind>role|user)/(?:.*/)?(?P<name>[^/]+)")


def _named(arn: str) -> tuple[str, str, str] | None:
    found = _PRINCIPAL.fullmatch(arn)
    # IAM tells names apart whatever their case.
    return (found["account"], found["kind"], found["name"].lower()) if found else None


def wrong_account(caller: Caller, accounts: tuple[str, ...], whose: str) -> str | None:
    """Why the caller's account is not the right one; None when it is, or none is pinned."""
    if not accounts or caller.account in accounts:
        return None
    return (
        f"These credentials are of account {caller.account} ({caller.arn}), and {whose} is of {' or '.join(accounts)}. "
        "Take credentials of that account: aws:profile in the stack file, or AWS_PROFILE in the shell."
    )


def refusal(access: Access, whose: str) -> str | None:
    """Why nothing may be done with an identity; None when it is in the right account, or no account is known."""
    if not access.accounts:
        return None
    try:
        return wrong_account(access.caller(), access.accounts, whose)
    except NoIdentity as error:
        return f"{whose} is of account {' or '.join(access.accounts)}, and whose credentials these are cannot be told: {error}"


_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}):")


def accounts_in(state: State) -> tuple[str, ...]:
    """Accounts in the ARNs of AWS resources that a state holds; a stack has one, or none yet."""
    found = (
        _ARN.match(str(item.raw.get("outputs", {}).get("arn") or ""))
        for item in state.resources
        if item.type.startswith("aws:")
    )
    return tuple(sorted({match[1] for match in found if match}))


def _list(given: Any) -> list[Any]:
    """A list that a provider's inputs hold, as JSON text or as it is."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return []
    return list(given) if isinstance(given, list | tuple) else []
