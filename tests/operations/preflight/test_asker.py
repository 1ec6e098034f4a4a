"""Who is asked: errors of AWS, calls that moto answers, and the table of rights against boto3's own list of operations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError
from botocore.stub import Stubber
from moto import mock_aws

from operations.credentials import Access, Caller, NoIdentity
from operations.preflight import checks, quotas
from operations.preflight.asker import World, judged
from operations.preflight.lines import Refused, Unasked, exit_code
from recording.aws_types import ALWAYS, CARDS
from tests.operations.preflight.account import AT, Web, good, wrong

REGION = "us-east-1"

MOTO = "123456789012"
"""Account of whoever asks moto."""


class Stubbed(World):
    """A world whose one client is stubbed."""

    def __init__(self, service: str, operation: str) -> None:
        super().__init__(Access(region=REGION))
        session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)
        self.client = session.client(service)
        self.stub = Stubber(self.client)
        self.operation = operation
        self.stub.activate()

    def _client(self, service: str, region: str | None) -> Any:
        return self.client


@pytest.mark.parametrize(
    ("code", "message", "is_"),
    [
        ("UnauthorizedOperation", "no", "no right to eks:ListClusters"),
        ("AccessDeniedException", "no", "no right to eks:ListClusters"),
        ("SomethingElse", "User: x is not authorized to perform: eks:ListClusters", "no right to eks:ListClusters"),
        ("ThrottlingException", "slow", "ThrottlingException: slow"),
        ("ExpiredTokenException", "old", "ExpiredTokenException: old"),
        ("UnrecognizedClientException", "who", "UnrecognizedClientException: who"),
        ("RequestLimitExceeded", "slow", "RequestLimitExceeded: slow"),
    ],
)
def test_errors_that_say_nothing(code: str, message: str, is_: str) -> None:
    """Taken for an answer, a throttle would be a cluster that is not there."""
    world = Stubbed("eks", "list_clusters")
    world.stub.add_client_error("list_clusters", code, message)
    found = world.aws("eks", "list_clusters")
    assert isinstance(found, Unasked) and found.why == is_ and found.todo


def test_errors_that_say_something() -> None:
    world = Stubbed("eks", "describe_cluster")
    world.stub.add_client_error("describe_cluster", "ResourceNotFoundException", "No cluster found")
    assert world.aws("eks", "describe_cluster", name="x") == Refused("ResourceNotFoundException", "No cluster found")


def test_what_iam_calls_a_service() -> None:
    """`service-quotas:GetServiceQuota` is no action that anybody could allow."""
    for service, action in (("service-quotas", "servicequotas:X"), ("efs", "elasticfilesystem:X"), ("ec2", "ec2:X")):
        found = judged(ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "X"), service)  # type: ignore[arg-type]
        assert isinstance(found, Unasked) and found.why == f"no right to {action}"


def test_all_pages_are_one_answer() -> None:
    world = Stubbed("eks", "list_clusters")
    world.stub.add_response("list_clusters", {"clusters": ["a"], "nextToken": "2"})
    world.stub.add_response("list_clusters", {"clusters": ["b"]}, {"nextToken": "2"})
    assert world.aws("eks", "list_clusters")["clusters"] == ["a", "b"]
    # And it is kept.
    assert world.aws("eks", "list_clusters")["clusters"] == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (NoCredentialsError(), "log in"),
        (NoIdentity("The config profile (x) could not be found"), "log in"),
        (ConnectTimeoutError(endpoint_url="https://eks"), "AWS can be reached"),
    ],
)
def test_a_service_that_does_not_answer_is_asked_once(error: Exception, todo: str) -> None:
    """Ten questions to a region behind a closed firewall would take ten times as long."""
    asked = []

    class Silent(World):
        def _client(self, service: str, region: str | None) -> Any:
            asked.append(service)
            raise error

    world = Silent(Access(region=REGION))
    for name in ("a", "b"):
        found = world.aws("eks", "describe_cluster", name=name)
        assert isinstance(found, Unasked) and todo in found.todo
    assert asked == ["eks"]


def test_an_unexpected_error_is_not_swallowed() -> None:
    """A fault of ours must not read as one of the network, and must not leave the others waiting."""
    world = Stubbed("eks", "describe_cluster")
    for _ in range(2):
        with pytest.raises(KeyError):
            world.aws("eks", "no_such_operation")


# --- moto ------------------------------------------------------------------------------------------------------------

MISSING = {
    "describe_cluster_versions", "describe_addon_versions", "simulate_principal_policy", "describe_capacity_reservations",
    "describe_capacity_blocks", "get_aws_default_service_quota", "get_service_quota", "get_parameter",
}  # fmt: skip
"""Operations that moto 5.2.5 has not, or answers without data; the good account answers them."""


class OnMoto(World):
    """Moto, where it knows the answer."""

    def __init__(self, account: Any, region: str) -> None:
        session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region)
        super().__init__(Access(region=region), Web(account), session)
        self.account = account
        self.by_moto: set[str] = set()

    def _call(self, service: str, operation: str, region: str | None, parameters: Any) -> Any:
        vpc = service == "service-quotas" and parameters.get("ServiceCode") == "vpc"
        if operation in MISSING and not vpc:
            name = botocore.session.get_session().get_service_model(service).operation_names
            camel = next(item for item in name if item.lower() == operation.replace("_", ""))
            return self.account.answer(f"{service}.{camel}", parameters)
        self.by_moto.add(operation)
        return super()._call(service, operation, region, parameters)


def _mocked(account: Any, region: str = REGION) -> tuple[list[Any], OnMoto]:
    world = OnMoto(account, region)
    return checks.run(account.needs, world, checks.Secrets(), AT), world


@mock_aws
def test_moto_answers_as_aws_does() -> None:
    """Answers that the tests made up could have a shape that no service ever gives."""
    account = good()
    account.needs = replace(account.needs, accounts=(MOTO,), admins=(f"arn:aws:iam::{MOTO}:role/platform",))
    iam = boto3.client("iam", region_name=REGION)
    iam.create_role(RoleName="platform", AssumeRolePolicyDocument="{}")
    ec2 = boto3.client("ec2", region_name=REGION)
    account.arn = boto3.client("sts", region_name=REGION).get_caller_identity()["Arn"]
    found, world = _mocked(account)
    assert {(line.check, line.answered) for line in wrong(found)} == set()
    assert {"get_caller_identity", "describe_regions", "describe_availability_zones", "describe_instance_type_offerings",
            "describe_vpcs", "describe_nat_gateways", "describe_addresses", "list_clusters", "describe_file_systems",
            "get_role", "describe_cluster"} <= world.by_moto  # fmt: skip
    logs, group = boto3.client("logs", region_name=REGION), "/aws/eks/dynamo-ordinary/cluster"
    caller = Caller(account.arn.split(":")[4], account.arn)
    for tags, bad in (({}, 1), ({"project": "dynamo-eks", "stack": "ordinary"}, 0)):
        logs.create_log_group(logGroupName=group, tags=tags)
        assert len(wrong(checks.AWS_CHECKS["names"](account.needs, OnMoto(account, REGION), caller, AT))) == bad
        logs.delete_log_group(logGroupName=group)
    for _ in range(5):
        ec2.create_vpc(CidrBlock="10.0.0.0/16")
    iam.delete_role(RoleName="platform")
    eks = boto3.client("eks", region_name=REGION)
    eks.create_cluster(
        name="dynamo-ordinary", roleArn=f"arn:aws:iam::{MOTO}:role/x", resourcesVpcConfig={"subnetIds": []}
    )
    world, caller = OnMoto(account, REGION), Caller(account.arn.split(":")[4], account.arn)
    changed = [checks.AWS_CHECKS[name] for name in ("quotas", "names", "admins")]
    found = [line for check in changed for line in check(account.needs, world, caller, AT)]
    told = {(line.check, line.answered) for line in wrong(found)}
    # Moto's account has a default VPC beside the five.
    assert told == {("quotas", "6 of 5 used"), ("admins", "no such role or user"),
                    ("names", f"arn:aws:eks:{REGION}:{MOTO}:cluster/dynamo-ordinary is")}  # fmt: skip
    assert exit_code(found) == 1


@mock_aws
def test_moto_knows_where_machines_are_sold() -> None:
    """Its offerings are EC2's own: p5e is sold in no zone of Paris."""
    account = good("ordinary", {
        "aws:region": "eu-west-3", "capacity.pools.gpu.families": ["p5e"], "graphs.chat.worker": {"gpus": 8, "tensorParallel": 8},
        "graphs.chat.placement": {"pool": "gpu", "instanceType": "p5e.48xlarge"}})  # fmt: skip
    account.arn = boto3.client("sts", region_name="eu-west-3").get_caller_identity()["Arn"]
    found, _ = _mocked(account, "eu-west-3")
    assert [line.answered for line in wrong(found)] == ["sold in no zone of the region", "none of p5e.48xlarge"]


@mock_aws
def test_moto_has_the_same_quota_codes() -> None:
    """A code of another quota says 5 where 50 are left."""
    client = boto3.client("service-quotas", region_name=REGION)
    for item in (
        quotas.VPCS,
        quotas.INTERNET_GATEWAYS,
        quotas.NAT_GATEWAYS,
        quotas.GATEWAY_ENDPOINTS,
        quotas.INTERFACE_ENDPOINTS,
    ):
        assert (
            client.get_service_quota(ServiceCode=item.service, QuotaCode=item.code)["Quota"]["QuotaName"] == item.name
        )


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "on_demand", "spot"),
    [("g6e", "G", "G"), ("vt1", "G", "G"), ("p5en", "P", "P5"), ("p6-b200", "P", "P5"), ("p4d", "P", "P"), ("p3dn", "P", "P"),
     ("m7i", "Standard", "Standard"), ("t3", "Standard", "Standard"), ("p6e-gb200", None, None)],
)  # fmt: skip
def test_groups_of_quotas(family: str, on_demand: str | None, spot: str | None) -> None:
    """A quota of another group is asked for, granted, and of no use."""
    assert (quotas.group_of(family), quotas.spot_group(family)) == (on_demand, spot)


SERVICES = {"elasticfilesystem": "efs"}
NO_CALL = {"iam:PassRole", "logs:CreateLogDelivery", "logs:DeleteLogDelivery"}
"""Permissions without a call of their own (Service Authorization Reference)."""


def test_rights_are_of_calls_that_exist() -> None:
    """A misspelt action is simulated as denied, in every account."""
    session = botocore.session.get_session()
    names: dict[str, set[str]] = {}
    for actions in [ALWAYS, *(card.actions for card in CARDS.values())]:
        assert len(actions) == len(set(actions))
        for action in actions:
            service, _, operation = action.partition(":")
            known = names.setdefault(
                service, {*session.get_service_model(SERVICES.get(service, service)).operation_names}
            )
            assert operation in known or action in NO_CALL, action


def test_rights_of_every_type() -> None:
    """A type without rights is one whose missing right is found out half way through an `up`."""
    for type_, card in CARDS.items():
        if card.told:
            kind = re.sub(r".*:", "", type_)
            assert any(
                re.match(r".*:(Create|Put|Authorize|Associate|Attach|Allocate|Modify)", action)
                for action in card.actions
            ), kind


def test_actions_of_a_stack() -> None:
    types = ("aws:kms/alias:Alias", "aws:kms/alias:Alias", "aws:unknown/x:X")
    assert checks.actions(types) == sorted(
        {"kms:CreateAlias", "kms:ListAliases", "kms:UpdateAlias", "kms:DeleteAlias", "ec2:DescribeAvailabilityZones",
         "iam:CreateServiceLinkedRole", "sts:GetCallerIdentity"}
    )  # fmt: skip


def test_simulations_are_asked_in_parts() -> None:
    """One call with every action of a rack's stack would be refused."""
    account = good("gb200", {})
    asked: list[int] = []
    own = account._iam_SimulatePrincipalPolicy
    account._iam_SimulatePrincipalPolicy = lambda given: (asked.append(len(given["ActionNames"])), own(given))[1]  # type: ignore[method-assign]
    from tests.operations.preflight.account import lines

    assert wrong(lines(account)) == []
    assert max(asked) <= checks.ACTIONS_AT_ONCE and sum(asked) == len(checks.actions(account.needs.types)) > 100
