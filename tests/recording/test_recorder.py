"""The recorder: what it must refuse, hide and leave behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pulumi
import pulumi_aws as aws
import pytest
from pulumi_kubernetes import Provider
from pulumi_kubernetes.core.v1 import ConfigMap, Secret

from recording.graph import SECRET, UNKNOWN, Graph
from recording.recorder import record
from recording.world import NoAnswer

CONFIG = {"aws:region": "us-east-1"}


def made(program: Callable[[], object], preview: bool = False) -> Graph:
    return record("test", CONFIG, program=program, preview=preview)


def test_a_name_used_twice_is_refused() -> None:
    """The engine refuses it too, halfway through an update."""

    def program() -> None:
        for _ in range(2):
            aws.ec2.Vpc("same", cidr_block="10.0.0.0/16")

    with pytest.raises(Exception, match="same"):
        made(program)


def test_an_error_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Below the one message that helps, a hundred lines of futures that nobody awaited hide it."""
    with pytest.raises(NoAnswer):
        made(lambda: aws.s3.Bucket("bucket"))
    gc.collect()
    assert [item.getMessage() for item in caplog.records if item.name == "asyncio"] == []


def test_secrets_are_never_kept() -> None:
    def program() -> None:
        Secret("s", string_data={"key": pulumi.Output.secret("clear-text-of-it")})

    for preview in (False, True):
        graph = made(program, preview)
        assert "clear-text-of-it" not in repr(graph.nodes)
        assert SECRET in repr(graph.one("kubernetes:core/v1:Secret").inputs)


def test_a_provider_of_another_package_is_marked() -> None:
    """Pulumi ignores it without a word and takes the default provider."""

    def program() -> None:
        provider = Provider("k8s", kubeconfig="{}")
        aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(provider=provider))

    node = made(program).one("aws:ec2/vpc:Vpc")
    assert node.provider_mismatch or node.provider is None


def test_an_output_in_text_is_an_error() -> None:
    """Its repr would end up in a manifest, and be applied."""

    def program() -> None:
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16")
        ConfigMap("c", data={"vpc": f"{vpc.id}"})

    with pytest.raises(Exception, match="Output"):
        made(program)


def test_a_type_without_an_answer_is_an_error() -> None:
    """A made-up answer would be planned with."""
    with pytest.raises(NoAnswer, match=r"no card of aws:s3.* add one, with its sources"):
        made(lambda: aws.s3.Bucket("bucket"))


def test_ids_are_unknown_in_a_preview() -> None:
    def program() -> None:
        vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16")
        aws.ec2.Subnet("subnet", vpc_id=vpc.id, cidr_block="10.0.0.0/20")

    assert made(program).one("aws:ec2/subnet:Subnet").inputs["vpcId"].startswith("vpc-")
    preview = made(program, preview=True).one("aws:ec2/subnet:Subnet")
    assert preview.inputs["vpcId"] == UNKNOWN and preview.depends_on == ("aws:ec2/vpc:Vpc::vpc",)


def test_the_shell_does_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that reads AWS_REGION or KUBECONFIG differs from desk to desk."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    seen = []
    made(lambda: seen.append({key for key in os.environ if key.startswith(("AWS_", "KUBE"))}))
    assert seen == [set()] and os.environ["AWS_REGION"] == "eu-west-1"


def test_a_program_that_raised_leaves_nothing_behind() -> None:
    """The SDK keeps what is still running in globals; the next recording would wait for it in a closed loop."""

    def broken() -> None:
        for number in range(5):
            aws.ec2.Vpc(f"vpc-{number}", cidr_block="10.0.0.0/16")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        made(broken)
    assert len(made(lambda: aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16")).of("aws:ec2/vpc:Vpc")) == 1
