"""With which identity AWS is asked, and that nothing is done with that of another account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from operations import credentials
from operations.aws_finder import AwsFinder
from operations.credentials import Access, Caller, NoIdentity, accounts_in, refusal, wrong_account
from operations.lookup import CannotTell
from operations.state import Resource, State
from stacks import stackfile
from stacks.stackfile import StackFile
from tests.operations.conftest import Shell
from tests.operations.documents import KEY, NAT, VPC, document, entry
from tests.stacks.edited import edited

ACCOUNT, OTHER = "111122223333", "210987654321"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/deploy"
MOTO = "123456789012"
"""The account of whoever asks moto without a role."""

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/me@example.com"


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/deploy"),
        (f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/a.b@c/x", f"arn:aws-us-gov:iam::{ACCOUNT}:role/a.b@c"),
        (f"arn:aws:iam::{ACCOUNT}:user/dev/me", f"arn:aws:iam::{ACCOUNT}:user/dev/me"),
        (f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:root"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/me", f"arn:aws:sts::{ACCOUNT}:federated-user/me"),
    ],
)
def test_who_is_behind_a_session(arn: str, principal: str) -> None:
    """EKS and IAM know roles; a session's ARN is none of theirs."""
    assert Caller(ACCOUNT, arn).principal == principal


@pytest.mark.parametrize(
    ("arn", "named", "same"),
    [
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/deploy", True),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/team/deploy", True),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/Deploy", True),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/deployer", False),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:role/deploy/other", False),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:user/deploy", False),
        (SESSION, f"arn:aws:iam::{OTHER}:role/deploy", False),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123/me",
            f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123",
            True,
        ),
        (f"arn:aws:iam::{ACCOUNT}:user/dev/me", f"arn:aws:iam::{ACCOUNT}:user/me", True),
        (f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:root", False),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/me", f"arn:aws:iam::{ACCOUNT}:user/me", False),
    ],
)
def test_whether_an_administrator_is_the_caller(arn: str, named: str, same: bool) -> None:
    """The session lacks the role's path, so that a comparison of texts lets the second entry through."""
    assert Caller(ACCOUNT, arn).is_(named) is same


def test_accounts_against_the_caller() -> None:
    """Said with both accounts, so that the reader sees which one is meant."""
    caller = Caller(ACCOUNT, SESSION)
    assert wrong_account(caller, (), "demo") is None and wrong_account(caller, (OTHER, ACCOUNT), "demo") is None
    said = wrong_account(caller, (OTHER,), "demo")
    assert said and said.startswith(f"These credentials are of account {ACCOUNT} ({SESSION}), and demo is of {OTHER}.")


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for key in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(key, raising=False)
    config = tmp_path / "config"
    config.write_text(
        "[profile platform]\naws_access_key_id = AKIAPLATFORM\naws_secret_access_key = x\nregion = eu-west-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with mock_aws():
        yield


@pytest.mark.usefixtures("moto")
def test_a_profile_is_used() -> None:
    """With the shell's keys beside it, the shell's identity would make a stack in another account."""
    session = Access(region="us-east-1", profile="platform").session()
    assert session.get_credentials().access_key == "AKIAPLATFORM" and session.region_name == "us-east-1"
    assert Access(region="us-east-1").session().get_credentials().access_key != "AKIAPLATFORM"


@pytest.mark.usefixtures("moto")
def test_a_role_is_assumed() -> None:
    """What the provider makes as a role must not be looked for as somebody else."""
    access = Access(region="us-east-1", role_arn=ROLE, session_name="night", duration_s=1800)
    caller = access.caller()
    assert (caller.account, caller.arn) == (ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/night")
    assert Access(region="us-east-1", role_arn=ROLE).caller().arn.endswith("/dynamo-eks")
    elsewhere = ROLE.replace(ACCOUNT, OTHER)
    assert Access(region="us-east-1", role_arn=elsewhere).caller().account == OTHER


@pytest.mark.usefixtures("moto")
def test_the_account_is_compared() -> None:
    assert refusal(Access(region="us-east-1"), "demo") is None
    assert refusal(Access(region="us-east-1", accounts=(MOTO,)), "demo") is None
    said = refusal(Access(region="us-east-1", accounts=(OTHER,)), "demo")
    assert said and f"demo is of {OTHER}" in said


@pytest.mark.usefixtures("moto")
def test_no_identity_is_no_right_one() -> None:
    """Whose account it is must be known before anything in it is given up for gone."""
    said = refusal(Access(region="us-east-1", profile="gone", accounts=(ACCOUNT,)), "demo")
    assert said and said.startswith(f"demo is of account {ACCOUNT}, and whose credentials these are cannot be told: ")
    with pytest.raises(NoIdentity, match="gone"):
        Access(profile="gone").session()
    # Nothing is known, and so nothing refused: the questions themselves will say it.
    assert refusal(Access(region="us-east-1", profile="gone"), "demo") is None


@pytest.mark.usefixtures("moto")
def test_a_look_without_identity_decides_nothing() -> None:
    finder = AwsFinder("us-east-1", access=Access(region="us-east-1", profile="gone"))
    with pytest.raises(CannotTell, match="gone"):
        finder.find(Resource(entry(VPC, "v", inputs={"tags": {"a": "b"}})))


@pytest.mark.usefixtures("moto")
def test_a_look_uses_the_stacks_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    own = boto3.Session.client
    monkeypatch.setattr(
        boto3.Session, "client",
        lambda self, *words, **keys: (seen.append(self.get_credentials().access_key), own(self, *words, **keys))[1],
    )  # fmt: skip
    AwsFinder("us-east-1", access=Access(region="us-east-1", profile="platform")).find(
        Resource(entry(VPC, "v", inputs={"tags": {"a": "b"}}))
    )
    assert seen == ["AKIAPLATFORM"]


def test_every_client_ends() -> None:
    """A service that never answers would hold up a destroy for ever."""
    config = credentials.config()
    assert (config.connect_timeout, config.read_timeout) == (credentials.CONNECT_S, credentials.READ_S)
    assert config.retries["total_max_attempts"] == 3


# --- where it is known from -------------------------------------------------------------------------------------------


def _state(*resources: dict[str, Any], **inputs: Any) -> State:
    made = document(*resources)
    made["deployment"]["resources"][1]["inputs"].update(inputs)
    return State(made)


def test_identity_in_a_state() -> None:
    """The engine writes lists of a provider's inputs as JSON text."""
    given = {"profile": "p", "assumeRoles": json.dumps([{"roleArn": ROLE, "sessionName": "s", "duration": "30m"}]),
             "allowedAccountIds": json.dumps([ACCOUNT])}  # fmt: skip
    assert Access.of_state(_state(**given)) == Access(
        region="us-east-1", profile="p", role_arn=ROLE, session_name="s", duration_s=1800, accounts=(ACCOUNT,)
    )
    assert Access.of_state(State({"version": 3, "deployment": {}})) == Access()
    assert Access.of_state(_state(allowedAccountIds="{", assumeRoles="x")) == Access(region="us-east-1")


def test_the_account_of_what_is_there() -> None:
    """A state without a pinned account still says where its things are."""
    vpc = entry(VPC, "v", "vpc-1", inputs={"arn": f"arn:aws:ec2:us-east-1:{OTHER}:vpc/vpc-1"})
    key = entry(KEY, "k", "1", inputs={"arn": f"arn:aws:kms:us-east-1:{OTHER}:key/1"})
    policy = entry("aws:iam/policy:Policy", "p", "p", inputs={"arn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"})
    assert accounts_in(_state(vpc, key, policy, entry(NAT, "n", "nat-1"))) == (OTHER,)
    assert Access.of_state(_state(vpc)).accounts == (OTHER,)
    assert Access.of_state(_state(vpc, allowedAccountIds=json.dumps([ACCOUNT]))).accounts == (ACCOUNT,)


@pytest.fixture
def filed(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Says what the stack's file has."""

    def say(changes: dict[str, Any]) -> None:
        values = edited("ordinary", changes)
        monkeypatch.setattr(stackfile, "read", lambda name: StackFile(name, Path(), values, ()))

    return say


def test_identity_of_a_stack(filed) -> None:
    """The file says who asks now; the state says where what exists is."""
    filed({"account": ACCOUNT, "aws:profile": "new", "aws:region": "eu-west-1", "aws:assumeRoles": [{"roleArn": ROLE}]})
    access = Access.of_stack("demo")
    assert access == Access(region="eu-west-1", profile="new", role_arn=ROLE, accounts=(ACCOUNT,))
    access = Access.of_stack("demo", _state(profile="old", allowedAccountIds=json.dumps([OTHER])))
    assert access == Access(region="us-east-1", profile="new", role_arn=ROLE, accounts=(OTHER,))


def test_identity_without_a_file() -> None:
    """A stack whose file is gone can still be taken down."""
    assert Access.of_stack("nowhere-to-be-found") == Access()
    assert Access.of_stack("nowhere-to-be-found", _state(profile="old")) == Access(region="us-east-1", profile="old")


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def say(account: str) -> None:
        monkeypatch.setattr(
            Access, "caller", lambda access, session=None: Caller(account, f"arn:aws:iam::{account}:user/me")
        )

    return say


PENDING = document(pending=[("creating", entry(NAT, "n", inputs={"subnetId": "subnet-1", "tags": {"Name": "n"}}))])


def test_recover_refuses_another_account(shell: Shell, filed, caller) -> None:
    """In the wrong account nothing is found, all of it is forgotten, and the next `up` makes everything a second time."""
    filed({"account": OTHER})
    caller(ACCOUNT)
    shell.holds(PENDING)
    code, text = shell.run("recover", "--yes")
    assert code == 1 and f"demo is of {OTHER}" in text
    # Before anything else: the lock is another account's too.
    assert shell.commands == []


def test_destroy_refuses_another_account(shell: Shell, filed, caller) -> None:
    filed({"account": OTHER})
    caller(ACCOUNT)
    shell.holds(document(entry(VPC, "v", "vpc-1")))
    code, text = shell.run("destroy", "--yes")
    assert code == 1 and f"demo is of {OTHER}" in text and shell.commands == []


def test_recover_refuses_another_account_than_the_states(shell: Shell, filed, caller) -> None:
    """The file pins none, or was copied; what exists says where it is."""
    filed({})
    caller(ACCOUNT)
    there = entry(VPC, "v", "vpc-1", inputs={"arn": f"arn:aws:ec2:us-east-1:{OTHER}:vpc/vpc-1"})
    shell.holds(document(there, pending=[("creating", entry(NAT, "n", inputs={"subnetId": "s"}))]))
    code, text = shell.run("recover", "--yes")
    assert code == 1 and f"demo is of {OTHER}" in text
    assert "stack import" not in shell.commands and State(shell.document).creating


def test_destroy_refuses_another_account_than_the_states(shell: Shell, filed, caller) -> None:
    filed({})
    caller(ACCOUNT)
    shell.holds(document(entry(VPC, "v", "vpc-1", inputs={"arn": f"arn:aws:ec2:us-east-1:{OTHER}:vpc/vpc-1"})))
    code, text = shell.run("destroy", "--yes")
    assert code == 1 and f"demo is of {OTHER}" in text and "destroy" not in shell.commands


def test_the_right_account_is_let_through(shell: Shell, filed, caller) -> None:
    filed({"account": ACCOUNT})
    caller(ACCOUNT)
    there = document(entry(VPC, "v", "vpc-1", inputs={"arn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1"}))
    shell.holds(there, document())
    assert shell.run("destroy", "--yes")[0] == 0 and "destroy" in shell.commands
    shell.holds(document())
    assert shell.run("recover", "--yes")[0] == 0


def test_a_stack_without_aws_asks_nothing_of_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop has no credentials, and no account to compare."""
    monkeypatch.setattr(Access, "caller", lambda access, session=None: pytest.fail("asked"))
    empty = {"version": 3, "deployment": {"resources": []}}
    shell.holds(empty)
    assert shell.run("recover", "--yes")[0] == 0 and shell.run("destroy", "--yes")[0] == 0
