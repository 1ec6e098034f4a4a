"""`make new`: a stack file of one's own, which plans, or nothing at all."""

from __future__ import annotations

import datetime
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from operations import new
from operations.credentials import Access, Caller, NoIdentity
from operations.new import Block, Given, changes, named_zones
from stacks import stackfile
from stacks.settings import Settings, left_open
from tests.conftest import STACKS

APP = typer.Typer()
APP.command()(new.main)
ROLE = "arn:aws:iam::111122223333:role/platform"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in a folder with the shipped stacks, for someone whom AWS does not know."""
    shutil.copytree(
        stackfile.ROOT / "stacks", tmp_path / "stacks", ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    shutil.copy(stackfile.ROOT / "Pulumi.yaml", tmp_path)
    monkeypatch.setattr(stackfile, "ROOT", tmp_path)
    monkeypatch.setattr(new, "caller", lambda _: None)
    monkeypatch.setattr(new, "own_address", lambda: None)
    monkeypatch.setattr(new, "block_of", lambda reservation, _: Block(id=reservation))

    def invoke(*words: str, said: str | None = None) -> Result:
        if said is not None:
            monkeypatch.setattr(new.sys.stdin.__class__, "isatty", lambda _: True, raising=False)
        return CliRunner().invoke(APP, list(words), input=said)

    return invoke


def written(tmp_path: Path, name: str) -> Path:
    return tmp_path / "stacks" / f"Pulumi.{name}.yaml"


def test_everything_by_arguments(run: Any, tmp_path: Path) -> None:
    words = ["--region", "eu-west-1", "--account", "111122223333", "--admin", ROLE, "--reach", "52.95.4.7/32"]
    result = run("--stack", "prod", *words)
    assert result.exit_code == 0, result.output
    source = (stackfile.ROOT / "stacks" / "Pulumi.g6e-dev.yaml").read_text().splitlines()
    made = written(tmp_path, "prod").read_text().splitlines()
    differ = [(a, b) for a, b in zip(source, made, strict=True) if a != b]
    assert [after.strip() for _, after in differ] == [
        'aws:region: "eu-west-1"', 'dynamo-eks:account: "111122223333"', 'publicAccessCidrs: ["52.95.4.7/32"]', f'admins: ["{ROLE}"]',
    ]  # fmt: skip
    file = stackfile.read("prod", written(tmp_path, "prod"))
    assert Settings.parse("prod", file.config).to_fill_in == ()
    assert "Still to fill in" not in result.output and "make plan STACK=prod" in result.output


@pytest.mark.parametrize("source", STACKS)
def test_from_each_shipped_stack_without_a_terminal(source: str, run: Any, tmp_path: Path) -> None:
    """What is not said stays a placeholder, is listed, and the file plans."""
    result = run("--stack", "mine", "--from", source)
    assert result.exit_code == 0, result.output
    assert written(tmp_path, "mine").read_text() == (stackfile.ROOT / "stacks" / f"Pulumi.{source}.yaml").read_text()
    for item in left_open(stackfile.read(source).config):
        assert f"{item.key}: {item.text}" in result.output


def test_nothing_is_overwritten(run: Any, tmp_path: Path) -> None:
    """The file of a running stack, with its salt and its secrets, is not made again."""
    written(tmp_path, "prod").write_text("config: {}\n")
    result = run("--stack", "prod")
    assert result.exit_code == 2 and "is there already" in result.output
    assert written(tmp_path, "prod").read_text() == "config: {}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reach", "10.0.0.0/8"], "10.0.0.0/8 is private"),
        (["--admin", "platform"], "the ARN of an IAM role"),
        (["--region", "eu-west-9"], "no region of the program's table"),
        (["--from", "g6-dev"], "there is no stack 'g6-dev'"),
        (["--reservation", "cr-0123456789abcdef0"], "1 reservations are given, and the source leaves 0"),
        (["--from", "mocker-local", "--region", "eu-west-1"], "makes nothing in AWS"),
        (["--token-from", "NO_SUCH_VARIABLE"], "the environment has no NO_SUCH_VARIABLE"),
        (["--from", "gb200-prod", "--region", "us-east-2"], "give --zone use1-az4=<one of use2-az1"),
        (["--zone", "use1-az4"], "give OLD=NEW"),
        (["--stack", "all"], "means every stack"),
        (
            [
                "--from",
                "gb200-prod",
                "--region",
                "us-east-2",
                *(f"--zone=use1-az{n}=use2-az{n - 3}" for n in (4, 5, 6)),
                "--zone=use1-dfw2-az1=use2-az1",
            ],
            "use2-az1 is no Local Zone",
        ),
        (["--stack", "Prod.1"], "lower-case letters, digits and dashes"),
        (["--stack", "../prod"], "lower-case letters, digits and dashes"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(words: list[str], said: str, run: Any, tmp_path: Path) -> None:
    """Half a stack file is worse than none: the next one to look takes it for meant."""
    before = sorted(tmp_path.rglob("*"))
    result = run(*(["--stack", "prod"] if "--stack" not in words else []), *words)
    assert result.exit_code == 2 and said in " ".join(result.output.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_in_a_terminal_it_asks(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "caller", lambda _: Caller("111122223333", "arn:aws:iam::111122223333:role/deployer"))
    monkeypatch.setattr(new, "own_address", lambda: "52.95.4.7")
    monkeypatch.setattr(new.sys, "stdin", type("T", (), {"isatty": lambda _: True})())
    answers = iter(["eu-west-1", ROLE, "52.95.4.7/32"])
    asked: list[tuple[str, Any]] = []

    def prompt(text: str, default: Any = None, **_: Any) -> Any:
        asked.append((text, default))
        return default if "account" in text else next(answers)

    monkeypatch.setattr(new.typer, "prompt", prompt)
    said: list[str] = []
    monkeypatch.setattr(new.typer, "echo", lambda text, err=False: said.append(text))
    new.main("prod")
    assert ("AWS account", "111122223333") in asked and asked[0] == ("AWS region", "us-east-1")
    assert any(default == "52.95.4.7/32" for _, default in asked)
    assert any("becomes an administrator by creating the cluster" in line for line in said)
    assert f'admins: ["{ROLE}"]' in written(tmp_path, "prod").read_text()


def test_who_deploys_is_no_administrator_besides(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """EKS answers 409 ResourceInUse when the cluster is up."""
    session = "arn:aws:sts::111122223333:assumed-role/platform/me"
    monkeypatch.setattr(new, "caller", lambda _: Caller("111122223333", session))
    result = run("--stack", "prod", "--admin", ROLE)
    assert result.exit_code == 2 and "by creating the cluster" in result.output


def test_a_block_that_nobody_tells_of_is_named(run: Any) -> None:
    """A real id beside the example's dates plans a drain on somebody else's day."""
    result = run("--stack", "mine", "--from", "p5-reserved", "--reservation", "cr-0123456789abcdef0")
    assert result.exit_code == 0 and "EC2 could not be asked about cr-0123456789abcdef0" in result.output


def test_another_region_takes_other_zones() -> None:
    config = stackfile.read("gb200-prod").config
    assert named_zones(config) == ["use1-az4", "use1-az5", "use1-az6", "use1-dfw2-az1"]
    made = changes("", config, Given(region="us-east-2", zones={"use1-az4": "use2-az1"}))
    assert made == {"aws:region": "us-east-2", "network.zones[0]": "use2-az1", "network.localZones.natZone": "use2-az1"}


def test_a_block_brings_its_zone_and_window() -> None:
    """Dates that are left as shipped are another block's."""
    config = stackfile.read("gb200-pair").config
    block = Block(
        id="cr-0123456789abcdef0", zone="use1-dfw2-az1", start="2027-01-05T11:30:00Z", end="2027-01-12T11:30:00Z"
    )
    made = changes("", config, Given(blocks=[block]))
    at = "capacity.ultraServers.rack-a"
    assert made == {
        f"{at}.reservation": block.id,
        f"{at}.zone": block.zone,
        f"{at}.start": block.start,
        f"{at}.end": block.end,
    }


def test_ec2_is_asked_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("ec2", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    stub = Stubber(client)
    found = {
        "AvailabilityZoneId": "use1-dfw2-az1",
        "StartDate": datetime.datetime(2027, 1, 5, 11, 30, tzinfo=datetime.UTC),
        "EndDate": datetime.datetime(2027, 1, 12, 11, 30, tzinfo=datetime.UTC),
    }
    stub.add_response(
        "describe_capacity_reservations", {"CapacityReservations": [found]}, {"CapacityReservationIds": ["cr-1"]}
    )
    stub.add_client_error("describe_capacity_reservations", "InvalidCapacityReservationId.NotFound")
    stub.activate()
    monkeypatch.setattr(Access, "session", lambda _: type("S", (), {"client": lambda *_: client})())
    assert new.block_of("cr-1", "us-east-1") == Block(
        id="cr-1", zone="use1-dfw2-az1", start="2027-01-05T11:30:00Z", end="2027-01-12T11:30:00Z"
    )
    assert new.block_of("cr-2", "us-east-1") == Block(id="cr-2")


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the file can still be written; what could have been looked up is not offered."""

    def refused(_: Access) -> Caller:
        raise NoIdentity("no credentials")

    monkeypatch.setattr(Access, "caller", refused)
    assert new.caller("us-east-1") is None


def _cli(folder: Path, body: str) -> str:
    program = folder / "pulumi"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nlog = pathlib.Path({str(folder / 'log')!r})\n{body}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_token_goes_through_a_pipe(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    """On a command line every user of the machine can read it."""
    folder = tmp_path_factory.mktemp("cli")
    body = "log.open('a').write(repr((sys.argv[1:], '' if 'select' in sys.argv else sys.stdin.read())) + '\\n')"
    monkeypatch.setenv("PATH", _cli(folder, body))
    monkeypatch.setenv("MY_TOKEN", "hf_" + "x" * 34)
    result = run("--stack", "mine", "--from", "p5-reserved", "--token-from", "MY_TOKEN")
    assert result.exit_code == 0, result.output
    select, secret = (eval(line) for line in (folder / "log").read_text().splitlines())
    assert select[0][:4] == ["stack", "select", "--create", "mine"]
    assert secret[0][:4] == ["config", "set", "--secret", "dynamo-eks:huggingFaceToken"]
    assert secret[1] == "hf_" + "x" * 34 and "hf_x" not in str(secret[0]) + str(select)
    assert "hf_x" not in result.output + written(tmp_path, "mine").read_text()


@pytest.mark.parametrize("body", ["sys.exit('error: no stack')", None])
def test_without_the_cli_the_token_is_left_for_later(
    body: str | None, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    target = written(tmp_path, "mine")
    folder = tmp_path_factory.mktemp("cli")
    monkeypatch.setenv("PATH", _cli(folder, body) if body else str(folder))
    monkeypatch.setenv("MY_TOKEN", "hf_" + "x" * 34)
    result = run("--stack", "mine", "--from", "p5-reserved", "--token-from", "MY_TOKEN")
    if body is None:
        assert result.exit_code == 2 and "only it can encrypt the token" in result.output and not target.exists()
        return
    assert result.exit_code == 1 and target.exists() and "Written: " in result.output
    assert "The token is not in it" in result.output and "pulumi config set --secret" in result.output


def test_the_sources_keys_stay_with_it(run: Any, tmp_path: Path) -> None:
    """Prevents a new stack that asks for another stack's passphrase, or carries a token that it can never decrypt."""
    source = written(tmp_path, "g6e-dev")
    text = source.read_text()
    source.write_text(
        f"secretsprovider: passphrase\n{text}encryptionsalt: v1:LPmv1Ox7PhU=:v1:pKYrA1ILcoVN9KhR:uyoC==\n"
    )
    assert run("--stack", "mine").exit_code == 0
    assert written(tmp_path, "mine").read_text() == text
    source.write_text(f"{text}  dynamo-eks:huggingFaceToken:\n    secure: v1:AAAA:BBBB\n")
    refused = run("--stack", "other")
    assert refused.exit_code == 2 and "only it can decrypt (dynamo-eks:huggingFaceToken)" in refused.output
    assert not written(tmp_path, "other").exists()
