"""Policies that are handed out: what they allow is what a stack takes, and no document is one that IAM refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count
from typer.testing import CliRunner

from operations import policy
from recording.aws_types import CARDS, READ_ACTIONS, READS
from recording.recorder import record
from tests.aws import account as played
from tests.conftest import AT, STACKS, recorded
from tests.network.test_rack_subnets import existing

ON_AWS = [stack for stack in STACKS if recorded(stack).of("aws:*")]
ACCOUNT = "123456789012"
MANAGED = {"iam": {"load_aws_managed_policies": True}}


def given(stack: str, purpose: str) -> list[dict[str, Any]]:
    graph = recorded(stack)
    region = next(node.inputs["region"] for node in graph.of("pulumi:providers:aws") if node.inputs.get("region"))
    return policy.policies(graph, region=str(region), account=ACCOUNT)[purpose]


def allowed(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    return [action for document in documents for statement in document["Statement"] for action in statement["Action"]]


@pytest.mark.parametrize("stack", ON_AWS)
def test_all_of_it_and_nothing_twice(stack: str) -> None:
    """An action that is missing stops an `up` half way; one too many is found by an audit."""
    graph = recorded(stack)
    up, preview = allowed(given(stack, "up")), allowed(given(stack, "preview"))
    assert sorted(up) == policy.needed(graph, reading=False)
    assert sorted(preview) == [action for action in sorted(up) if policy.reads(action)]
    types = {node.type for node in graph.nodes if node.custom and node.type.startswith("aws:")}
    for type_ in types:
        assert set(CARDS[type_].actions) <= set(up)


@pytest.mark.parametrize("stack", ON_AWS)
@pytest.mark.parametrize("purpose", ["preview", "up"])
def test_no_document_is_too_large(stack: str, purpose: str) -> None:
    """IAM refuses it, and nobody sees which half to take out. An identity may hold ten."""
    documents = given(stack, purpose)
    assert 1 <= len(documents) <= 10
    assert all(policy.size(document) <= policy.MOST_CHARACTERS for document in documents)


def test_a_large_statement_is_divided() -> None:
    statement = {"Effect": "Allow", "Action": [f"ec2:Action{number:04}" for number in range(900)], "Resource": "*"}
    made = policy.documents([statement])
    assert len(made) == 4 and max(map(policy.size, made)) <= policy.MOST_CHARACTERS
    assert allowed(made) == statement["Action"]


def test_roles_are_the_stacks_own() -> None:
    """A right to pass or change any role is a right to everything in the account."""
    for statement in (item for document in given("gb200-prod", "up") for item in document["Statement"]):
        actions = statement["Action"]
        if actions == ["iam:CreateServiceLinkedRole"]:
            assert statement["Condition"]["StringEquals"]["iam:AWSServiceName"]
        elif actions[0].startswith("iam:"):
            whole = [arn for arn in statement["Resource"] if arn.endswith("/*")]
            linked = [f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/*"]
            # Reading alone goes to the service-linked roles too, which EKS looks at in the caller's name.
            assert whole == (linked if policy.reads(actions[0]) else [])
            assert all(arn.startswith(f"arn:aws:iam::{ACCOUNT}:role/") for arn in statement["Resource"])
            assert ("Condition" in statement) == (actions == ["iam:PassRole"])
        elif not actions[0].startswith("sts:"):
            assert list(statement["Condition"]["StringEquals"]) == ["aws:RequestedRegion"]


def test_every_question_of_the_program_is_known() -> None:
    """A stack on a VPC of others would be refused its first question."""
    assert set(READS) == set(READ_ACTIONS)
    graph = record("gb200-prod", existing(), at=AT)
    asked = {"ec2:DescribeVpcAttribute", "ec2:DescribeRouteTables", "ec2:DescribeCapacityReservations"}
    assert asked <= set(policy.needed(graph, reading=True)) and not graph.of("aws:ec2/vpc:Vpc")


def playable() -> list[dict[str, Any]]:
    """What `up` of g6e-dev may do. The evaluator asks about every resource at once, so that none is named."""
    every = [{**item, "Resource": "*"} for document in given("g6e-dev", "up") for item in document["Statement"]]
    return policy.documents(every)


def _made_with(documents: Sequence[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what moto can make of a stack, as somebody who may do what these documents say."""
    owner = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")
    iam = owner.client("iam")
    iam.create_user(UserName="deployer")
    for number, document in enumerate(documents):
        iam.put_user_policy(UserName="deployer", PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    made = tuple(session.client(name) for name in ("ec2", "iam", "efs"))
    monkeypatch.setattr(played, "clients", lambda region: made)
    graph = recorded("g6e-dev")
    played.Account(graph).make(graph)


@mock_aws(config=MANAGED)
def test_an_evaluator_lets_it_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """By moto's own reading of policies, which knows actions and neither resources nor conditions."""
    documents = playable()
    with_auth = set_initial_no_auth_action_count(2 + len(documents))
    with_auth(lambda: _made_with(documents, monkeypatch))()


@mock_aws(config=MANAGED)
@pytest.mark.parametrize("action", ["ec2:CreateRoute", "elasticfilesystem:CreateMountTarget", "iam:PutRolePolicy"])
def test_an_evaluator_misses_what_is_taken_out(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the evaluator lets everything through, and its word is worth nothing."""
    documents = json.loads(json.dumps(playable()).replace(f'"{action}"', '"ec2:Nothing"'))
    with_auth = set_initial_no_auth_action_count(2 + len(documents))
    said = rf"(?s)calling the {action.partition(':')[2]} operation.*authorized"
    with pytest.raises(ClientError, match=said):
        with_auth(lambda: _made_with(documents, monkeypatch))()


def test_the_command_writes_files(tmp_path: Path) -> None:
    app = policy.typer.Typer()
    app.command()(policy.main)
    run = CliRunner().invoke(app, ["--stack", "g6e-dev", "--account", ACCOUNT, "--folder", str(tmp_path)])
    assert run.exit_code == 0 and len(run.stdout.splitlines()) == len(list(tmp_path.iterdir())) >= 2
    printed = json.loads(CliRunner().invoke(app, ["--stack", "g6e-dev"]).stdout)
    assert printed.keys() == {"preview", "up"} and "<account-id>" in json.dumps(printed)
    assert CliRunner().invoke(app, ["--stack", "mocker-local"]).stdout == (
        "mocker-local makes nothing in AWS, and needs no rights there\n"
    )
    assert CliRunner().invoke(app, ["--stack", "nothing"]).exit_code == 2
