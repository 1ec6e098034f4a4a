"""The stand-ins refuse what AWS and the API server refuse; otherwise the lives above would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace

from tests.engine.engine import Stack
from tests.engine.standins import Refused

MakeStack = Callable[..., Stack]


def _account() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=aws.Provider("aws", region="us-east-1"))


def _cluster() -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=Provider("kubernetes", kubeconfig="known", cluster_identifier="test"))


@pytest.fixture
def stack(make_stack: MakeStack) -> Any:
    """A stack of a program of one's own, which is destroyed at the end."""
    made: list[Stack] = []

    def make(program: Callable[[], None]) -> Stack:
        made.append(make_stack("demo", config={"aws:region": "us-east-1"}, program=program))
        return made[-1]

    yield make
    for item in made:
        item.world.in_cluster.fails = lambda job: False
        item.destroy(may_fail=True)


def test_a_misspelt_field_is_refused(stack: Any) -> None:
    """The published provider has it pruned and reports success."""

    def program() -> None:
        namespace = Namespace("space", metadata={"name": "misspelt"}, opts=_cluster())
        CustomResource(
            "graph",
            api_version="nvidia.com/v1beta1",
            kind="DynamoGraphDeployment",
            metadata={"name": "graph", "namespace": "misspelt"},
            spec={"components": [{"name": "frontend", "type": "frontend", "replica": 2}]},
            opts=pulumi.ResourceOptions(provider=namespace._provider, depends_on=[namespace]),
        )

    outcome = stack(program).up(may_fail=True)
    assert outcome.error is not None
    assert "replica" in "".join(outcome.messages)


def test_a_failed_job_is_kept_and_made_again(stack: Any) -> None:
    """`replaceUnready` is all that a failed download or check is made again by."""

    def program() -> None:
        provider = _cluster()
        namespace = Namespace("space", metadata={"name": "failing"}, opts=provider)
        Job(
            "job",
            metadata={"name": "job", "namespace": "failing", "annotations": {"pulumi.com/replaceUnready": "true"}},
            spec={
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}},
            },
            opts=pulumi.ResourceOptions(provider=namespace._provider, depends_on=[namespace]),
        )

    made = stack(program)
    made.world.in_cluster.fails = lambda job: job == "job"
    failed = made.up(may_fail=True)
    assert "BackoffLimitExceeded" in "".join(failed.messages)
    assert "job" in [item["urn"].rsplit("::", 1)[1] for item in made.resources]
    made.world.in_cluster.fails = lambda job: False
    again = made.up()
    assert again.verdict["kubernetes:batch/v1:Job::job"] == "replace"
    assert made.up().changes == []


def test_an_object_that_is_there_is_not_taken_over(stack: Any) -> None:
    """Two stacks of one name would otherwise share an object, and each `up` would undo the other's."""

    def program() -> None:
        ConfigMap("first", metadata={"name": "one", "namespace": "default"}, data={"a": "1"}, opts=_cluster())

    made = stack(program)
    made.world.cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "default"}}
    )
    outcome = made.up(may_fail=True)
    made.world.cluster.delete("v1", "ConfigMap", "one", "default")
    assert "exists already" in "".join(outcome.messages)


def test_a_taken_name_collides(stack: Any) -> None:
    """Explicit names make a duplicate collide instead of costing money; the stand-in must not hand out two."""

    def program() -> None:
        opts = _account()
        aws.efs.FileSystem("one", creation_token="files", opts=opts)
        aws.efs.FileSystem("two", creation_token="files", opts=opts)

    outcome = stack(program).up(may_fail=True)
    assert "AlreadyExistsException" in "".join(outcome.messages)


def test_what_is_used_is_not_deleted(stack: Any) -> None:
    """AWS refuses a VPC with subnets in it: a wrong order in a destroy must show here."""

    def program() -> None:
        opts = _account()
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Subnet("subnet", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=opts)

    made = stack(program)
    made.up()
    (vpc,) = (thing for thing in made.world.aws.things.values() if thing.type == "aws:ec2/vpc:Vpc")
    id_ = next(id_ for type_, id_ in made.world.aws.things if type_ == "aws:ec2/vpc:Vpc")
    with pytest.raises(Refused, match=r"DependencyViolation: .* subnet"):
        made.world.aws.delete(vpc.urn, id_, vpc.state, 0)


def test_an_id_that_does_not_exist_is_refused(stack: Any) -> None:
    """A reference to something else's id is otherwise found in AWS only."""

    def program() -> None:
        aws.ec2.Subnet("subnet", vpc_id="vpc-0123456789abcdef0", cidr_block="10.0.0.0/24", opts=_account())

    assert "vpc-0123456789abcdef0 does not exist" in "".join(stack(program).up(may_fail=True).messages)


def test_a_replaced_resource_has_another_id(stack: Any) -> None:
    """With the same id again, what refers to it would not be seen to change."""
    cidr = {"is": "10.0.0.0/16"}

    def program() -> None:
        vpc = aws.ec2.Vpc("vpc", cidr_block=cidr["is"], opts=_account())
        aws.ec2.SecurityGroup("group", vpc_id=vpc.id, opts=pulumi.ResourceOptions(provider=vpc._provider))

    made = stack(program)
    made.up()
    before = {id_ for _, id_ in made.world.aws.things}
    cidr["is"] = "10.1.0.0/16"
    outcome = made.up()
    assert {outcome.verdict[key] for key in outcome.verdict} == {"replace"}
    assert not before & {id_ for type_, id_ in made.world.aws.things if type_.startswith("aws:ec2")}


def test_a_refused_creation_fails_the_operation_and_the_next_goes_on(stack: Any) -> None:
    """What a stand-in can be told to refuse: an interrupted `up` has to be repeatable."""

    def program() -> None:
        opts = _account()
        aws.ec2.Vpc("one", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Vpc("two", cidr_block="10.1.0.0/16", opts=opts)

    made = stack(program)

    def no_capacity(moment: str, method: str, urn: str) -> None:
        if moment == "before" and method == "create" and urn.endswith("::two"):
            raise Refused("InsufficientInstanceCapacity")

    made.world.aws.on_call = no_capacity
    assert "InsufficientInstanceCapacity" in "".join(made.up(may_fail=True).messages)
    made.world.aws.on_call = lambda moment, method, urn: None
    assert made.up().changes == ["create aws:ec2/vpc:Vpc::two"]


def test_a_change_that_aws_refuses_fails_with_its_words(stack: Any) -> None:
    """What the provider's schema allows is previewed as an update; only the service knows better, in the middle of an `up`."""
    given: dict[str, Any] = {"version": "1.34", "zones": 2, "key": "arn:aws:kms:us-east-1:123456789012:key/one"}

    def program() -> None:
        opts = _account()
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=opts)
        below = pulumi.ResourceOptions(provider=vpc._provider)
        subnets = [
            aws.ec2.Subnet(f"subnet-{number}", vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24",
                           availability_zone_id=f"use1-az{number + 1}", opts=below)
            for number in range(given["zones"])
        ]  # fmt: skip
        aws.eks.Cluster(
            "cluster",
            name="demo",
            role_arn="arn:aws:iam::123456789012:role/demo",
            version=given["version"],
            vpc_config={"subnet_ids": [subnet.id for subnet in subnets]},
            encryption_config={"provider": {"key_arn": given["key"]}, "resources": ["secrets"]},
            opts=below,
        )

    made = stack(program)
    made.up()
    (cluster,) = (thing for thing in made.world.aws.things.values() if thing.type.startswith("aws:eks"))
    for change, words in (
        ({"version": "1.36"}, "Unsupported Kubernetes minor version update from 1.34 to 1.36"),
        ({"version": "1.33"}, "must be initiated within 7 days of the upgrade completing"),
        ({"zones": 3}, "must be in the same set of AZs as originally provided"),
    ):
        kept = dict(given)
        given.update(change)
        assert made.preview().verdict["aws:eks/cluster:Cluster::cluster"] == "update"
        failed = made.up(may_fail=True)
        assert failed.error is not None and words in "".join(failed.messages)
        given.update(kept)
        made.up()
    # Another key is not even sent: the `up` succeeds, and the cluster has the one it had.
    first, given["key"] = given["key"], "arn:aws:kms:us-east-1:123456789012:key/two"
    assert made.up().verdict == {"aws:eks/cluster:Cluster::cluster": "update"}
    assert cluster.inputs["encryptionConfig"]["provider"]["keyArn"] == first
    given["version"] = "1.35"
    assert made.up().verdict == {"aws:eks/cluster:Cluster::cluster": "update"}


def test_an_address_and_a_range_are_taken_until_their_holder_goes(stack: Any) -> None:
    """The engine makes the replacement first: pulumi/pulumi-aws #1483, pulumi/pulumi-awsx #520."""
    at = {"subnet": 0, "range": "10.0.8.0/24"}

    def program() -> None:
        opts = _account()
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=opts)
        below = pulumi.ResourceOptions(provider=vpc._provider)
        subnets = [
            aws.ec2.Subnet(f"subnet-{number}", vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24", opts=below)
            for number in range(2)
        ]
        aws.ec2.Subnet("moved", vpc_id=vpc.id, cidr_block=at["range"], opts=below)
        eip = aws.ec2.Eip("eip", domain="vpc", opts=below)
        aws.ec2.NatGateway("nat", allocation_id=eip.id, subnet_id=subnets[at["subnet"]].id, opts=below)

    made = stack(program)
    made.up()
    at["subnet"] = 1
    assert "AlreadyExistsException: aws:ec2/natGateway" in "".join(made.up(may_fail=True).messages)
    at.update(subnet=0, range="10.0.8.0/23")
    assert "InvalidSubnet.Conflict: The CIDR '10.0.8.0/23'" in "".join(made.up(may_fail=True).messages)
