"""`make preflight`, and the look of `make up`, as an operator types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from operations.cluster_finder import Unreachable
from operations.preflight import __main__ as command
from operations.preflight import checks, report
from operations.preflight.checks import Cluster, Secrets
from operations.preflight.lines import Line, Unasked, Verdict, exit_code, fails, holds, unasked
from stacks import stackfile
from stacks.stackfile import StackFile
from tests.operations.conftest import Shell
from tests.operations.documents import VPC, document, entry
from tests.operations.preflight.account import ACCOUNT, AT, SECRET_KEYS, Account, Denied, good, values_of, wrong
from tests.operations.preflight.account import world as world_of
from tests.stacks.edited import ABSENT, edited

app = typer.Typer()
app.command()(command.main)

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
LAPTOP = {
    "aws:region": ABSENT, "capacity": ABSENT, "cluster": {"existing": {"kubeconfig": "~/.kube/config", "context": "kind-dynamo"}},
    "storage.storageClass": "standard", "dynamo.check": False,
    "graphs.chat": {"model": "qwen", "backend": "mocker", "transport": "none", "worker": {"gpus": 0}},
}  # fmt: skip


class Preflight:
    """The command, in a shell whose account, registries and stack file are given."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell, self.patch = shell, monkeypatch
        self.account: Account | None = None
        monkeypatch.delenv("HF_TOKEN", raising=False)

    def stack(self, changes: dict[str, Any] | None = None) -> Account:
        values = values_of("ordinary", changes)
        secret = tuple(key for key in SECRET_KEYS if key in values)
        self.account = account = good("ordinary", changes)
        self.patch.setattr(stackfile, "read", lambda name: StackFile("ordinary", Path(), values, secret))
        self.patch.setattr(command, "World", lambda access: world_of(account))
        self.patch.setenv("DYNAMO_EKS_AT", AT.isoformat())
        return account

    def run(self, *words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--stack", "ordinary", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def preflight(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Preflight:
    return Preflight(shell, monkeypatch)


def test_a_good_account(preflight: Preflight) -> None:
    preflight.stack()
    code, text = preflight.run()
    assert code == 0 and "could not" not in text and "fails" not in text
    assert text.startswith("check asked answered verdict what to do identity who these credentials are")
    assert " hold" in text.rpartition("ordinary: ")[2]


def test_a_faulty_account(preflight: Preflight) -> None:
    """Everything is told at once: whoever mends one thing a day needs a week."""
    account = preflight.stack()
    account.version["versionStatus"] = "UNSUPPORTED"
    account.zones[0]["State"] = "constrained"
    account.errors["eks.DescribeCluster"] = Denied("AccessDeniedException")
    code, text = preflight.run()
    assert code == 1 and "UNSUPPORTED" in text and "constrained" in text and "eks:DescribeCluster" in text
    assert text.endswith("2 fail, 1 could not be asked")


def test_what_could_not_be_asked(preflight: Preflight) -> None:
    preflight.stack().errors["eks.DescribeCluster"] = Denied("AccessDeniedException")
    assert preflight.run()[0] == 2


def test_for_programs(preflight: Preflight) -> None:
    preflight.stack().version["versionStatus"] = "UNSUPPORTED"
    code, text = preflight.run("--format", "json")
    told = json.loads(text)
    assert code == told["exit"] == 1 and told["stack"] == "ordinary"
    (line,) = (line for line in told["lines"] if line["verdict"] == "fails")
    assert line == {
        "check": "versions", "asked": "Kubernetes 1.35, support STANDARD", "verdict": "fails", "todo": "set a newer cluster.version",
        "answered": "UNSUPPORTED, standard support until 2027-03-27",
    }  # fmt: skip


# --- before an up ----------------------------------------------------------------------------------------------------


def test_a_first_up_asks_everything(preflight: Preflight) -> None:
    """Once half of it exists, a refusal costs an evening."""
    preflight.stack().version["versionStatus"] = "UNSUPPORTED"
    assert preflight.run("--for-up")[0] == 1
    preflight.shell.holds({"version": 3, "deployment": {}})
    code, text = preflight.run("--for-up")
    assert code == 1 and "UNSUPPORTED" in text
    # What holds is not shown to somebody who waits for an up.
    assert "who these credentials are" not in text


def test_a_later_up_asks_who_it_is(preflight: Preflight) -> None:
    """Quotas and registries were good once, and rights to look are not everybody's."""
    account = preflight.stack({"account": ACCOUNT, "cluster.admins": [f"arn:aws:iam::{ACCOUNT}:role/platform"]})
    account.version["versionStatus"] = "UNSUPPORTED"
    preflight.shell.holds(document(entry(VPC, "v", "vpc-1")))
    code, text = preflight.run("--for-up")
    assert (code, text) == (0, "ordinary: 4 hold") and account.asked == ["sts.GetCallerIdentity"]
    account.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/platform/me"
    code, text = preflight.run("--for-up")
    assert code == 1 and "remove it from cluster.admins" in text
    account.arn = "arn:aws:sts::210987654321:assumed-role/platform/me"
    code, text = preflight.run("--for-up")
    assert code == 1 and "take credentials of that account" in text


def test_an_up_goes_on_when_something_could_not_be_asked(preflight: Preflight) -> None:
    """Who may make a stack need not be allowed to simulate policies; it is shown all the same."""
    preflight.stack().errors["iam.SimulatePrincipalPolicy"] = Denied("AccessDenied")
    code, text = preflight.run("--for-up")
    assert code == 0 and "no right to iam:SimulatePrincipalPolicy" in text


def test_an_up_stops_when_nobody_knows_who_it_is(preflight: Preflight) -> None:
    preflight.stack().errors["sts.GetCallerIdentity"] = Denied("ExpiredToken", "The security token is expired")
    code, text = preflight.run("--for-up")
    assert code == 2 and "The security token is expired" in text


def test_an_up_stops_on_a_state_that_cannot_be_read(preflight: Preflight) -> None:
    preflight.stack()
    preflight.shell.write("fails.txt", "stack export: error: could not read the bucket")
    assert preflight.run("--for-up") == (2, "error: could not read the bucket")


def test_placeholders_stop_an_up() -> None:
    needs = good("ordinary", {"cluster.admins": [f"arn:aws:iam::{ACCOUNT}:role/deploy"]}).needs
    import dataclasses

    from stacks.placeholders import ToFillIn

    for key, account_, admins in (
        ("account", "could not ask", "fails"),
        ("cluster.admins[0]", "holds", "could not ask"),
    ):
        left = dataclasses.replace(needs, to_fill_in=(ToFillIn(key, "<admin-role-arn>", "<admin-role-arn>"),))
        found = checks.core(left, checks.who(world_of(Account.good(left))))
        by_check = {line.check: str(line.verdict) for line in found}
        assert by_check == {"identity": "holds", "account": account_, "placeholders": "fails", "admins": admins}
        assert exit_code(found) == 1


def test_a_block_to_buy_has_its_quota_asked() -> None:
    """In a new account it is 0, and the purchase fails on the day when the block is there."""
    import dataclasses

    from stacks.placeholders import ToFillIn
    from tests.operations.preflight.account import lines
    from tests.operations.preflight.test_accounts import P5

    def asked(stack: str, changes: Any, key: str, change: Callable[[Account], Any]) -> list[tuple[str, str, str]]:
        needs = dataclasses.replace(
            good(stack, changes).needs, to_fill_in=(ToFillIn(key, "<reservation-id>", "<reservation-id>"),)
        )
        account = Account.good(needs)
        change(account)
        account.reservations.clear()
        return [
            (line.check, str(line.verdict), line.answered) for line in wrong(lines(account)) if line.check == "quotas"
        ]

    p5, rack = "capacity.pools.gpu.reservations[0].id", "capacity.ultraServers.rack-a.reservation"
    code = "L-DA6814F2"
    assert asked("ordinary", P5, p5, lambda account: account.quotas.update({code: 0})) == [("quotas", "fails", "0")]
    assert asked("ordinary", P5, p5, lambda account: account.quotas.update({code: 383})) == [("quotas", "fails", "383")]
    assert asked("ordinary", P5, p5, lambda account: account.quotas.update({code: 384})) == []
    names = {"Capacity Blocks for P6e-GB200 instances, per Organization": 9999, "Capacity Blocks for P6e-GB200 instances": 0,
             "Capacity Blocks for P6-B200 instances": 9999, "Running On-Demand P instances": 9999}  # fmt: skip
    assert asked("gb200", {}, rack, lambda account: account.quota_names.update(names)) == [("quotas", "fails", "0")]
    names["Capacity Blocks for P6e-GB200 instances"] = 18 * 144
    assert asked("gb200", {}, rack, lambda account: account.quota_names.update(names)) == []
    assert asked("gb200", {}, rack, lambda account: None) == [
        ("quotas", "could not ask", "Service Quotas lists no such quota")
    ]


# --- bad files -------------------------------------------------------------------------------------------------------


def test_a_bad_stack_file(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults of the file, once, and no question to anybody."""
    account = preflight.stack()
    values = edited("ordinary", {"network.zones": 99, "aws:accessKey": "AKIA"})
    monkeypatch.setattr(stackfile, "read", lambda name: StackFile("ordinary", Path(), values, ()))
    code, text = preflight.run()
    assert code == 2 and "has 2 faults" in text and "AKIA" not in text and account.asked == []


def test_no_stack_file() -> None:
    result = CliRunner().invoke(app, ["--stack", "nowhere-to-be-found"])
    assert result.exit_code == 2 and "there is no stack 'nowhere-to-be-found'" in result.output


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_the_token_of_the_stack(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download will use the stack's own; the shell's may be allowed more, or less."""
    preflight.stack(
        {
            "huggingFaceToken": "encrypted",
            "dynamo.imagePullSecret": {"server": "nvcr.io"},
            "imagePullPassword": "encrypted",
        }
    )
    seen: list[Secrets] = []
    monkeypatch.setattr(command.checks, "run", lambda needs, world, secrets, at, cluster: (seen.append(secrets), [])[1])
    preflight.run()
    assert seen[-1] == Secrets()
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_shell")
    preflight.run()
    assert (seen[-1].token, seen[-1].token_from) == ("hf_of_the_shell", "HF_TOKEN")
    secrets = {"dynamo-eks:huggingFaceToken": TOKEN, "dynamo-eks:imagePullPassword": "s3cret"}
    preflight.shell.write("secrets.json", json.dumps(secrets))
    _code, text = preflight.run()
    assert (seen[-1].token, seen[-1].token_from) == (TOKEN, "dynamo-eks:huggingFaceToken")
    assert seen[-1].login and (seen[-1].login.server, seen[-1].login.password) == ("nvcr.io", "s3cret")
    # On no command line, where every user of the machine could read it.
    assert TOKEN not in text and not any(
        TOKEN in word or "s3cret" in word for call in preflight.shell.calls for word in call
    )
    # It waits for nobody who would type a passphrase.
    assert all("--non-interactive" in call for call in preflight.shell.calls if call[:2] == ["config", "get"])


def test_a_token_to_fill_in_is_none(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent to Hugging Face, the words of a placeholder are a token that is no longer valid."""
    preflight.stack({"huggingFaceToken": "<hugging-face-token>"})
    preflight.shell.write("secrets.json", json.dumps({"dynamo-eks:huggingFaceToken": "<hugging-face-token>"}))
    seen: list[Secrets] = []
    monkeypatch.setattr(command.checks, "run", lambda needs, world, secrets, at, cluster: (seen.append(secrets), [])[1])
    preflight.run()
    assert seen == [Secrets()]


def test_a_token_that_nobody_set_is_not_asked_for(preflight: Preflight) -> None:
    """Decrypting takes a second, and a passphrase."""
    preflight.stack()
    preflight.run()
    assert ["config", "get"] not in [call[:2] for call in preflight.shell.calls]


def test_a_token_is_never_shown(preflight: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    account = preflight.stack()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    account.model("Qwen/Qwen3-0.6B", "c1899de289a04d12100db370d81485cdf75e47ca", described=401)
    for words in ((), ("--format", "json")):
        code, text = preflight.run(*words)
        assert code == 1 and "HF_TOKEN" in text and "without a token" not in text and TOKEN not in text


def test_without_the_cli_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert command._decrypted("demo", "huggingFaceToken") is None


def test_a_cli_that_waits_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secrets provider that opens a browser must not hold up a preflight."""
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(command, "DECRYPT_S", 0.2)
    assert command._decrypted("demo", "huggingFaceToken") is None


# --- a cluster that is there -----------------------------------------------------------------------------------------


class Machine(Cluster):
    def __init__(self, contexts: Any, why_not: str | None = None) -> None:
        self._contexts, self._why_not = contexts, why_not

    def contexts(self, path: str) -> Any:
        return self._contexts

    def why_not(self, path: str, context: str) -> str | None:
        return self._why_not


@pytest.mark.parametrize(
    ("machine", "verdicts", "says"),
    [
        (Machine(["kind-dynamo", "other"]), ["holds", "holds"], "ready"),
        (Machine(["kind-dynamo"], "connection refused"), ["holds", "could not ask"], "connection refused"),
        (Machine(["kind-dynamos"]), ["fails"], "did you mean kind-dynamos?"),
        (Machine([]), ["fails"], "the file has none"),
        (Machine(None), ["fails"], "there is no such file"),
        (Machine(Unasked("is no kubeconfig", "correct it")), ["fails"], "is no kubeconfig"),
    ],
)
def test_a_laptop(machine: Machine, verdicts: list[str], says: str) -> None:
    """A misspelt context is noticed only in the middle of an `up`; and a laptop has no account to ask."""
    account = good("ordinary", LAPTOP)
    found = checks.run(account.needs, world_of(account), Secrets(), AT, machine)
    cluster = [line for line in found if line.check == "cluster"]
    assert [str(line.verdict) for line in cluster] == verdicts
    assert says in " ".join(f"{line.answered} {line.todo}" for line in cluster)
    assert account.asked == []
    assert {line.check for line in found} == {"placeholders", "cluster", "images", "charts", "models"}
    assert not any(line.verdict != "holds" for line in found if line.check != "cluster")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"apiVersion: v1\nkind: Config\ncontexts: [{name: a, context: {}}, {name: b, context: {}}]\n", ["a", "b"]),
        (b"", []),
        (b"contexts:\n", []),
        (b"{", Unasked),
        (b"- 1", Unasked),
        (b"contexts: 5", Unasked),
        (b"contexts: [{}]", Unasked),
        (b"\xff\xfe\x00", Unasked),
        (b"text", Unasked),
    ],
)
def test_a_kubeconfig(tmp_path: Path, content: bytes, found: Any) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    answer = Cluster().contexts(str(file))
    assert isinstance(answer, Unasked) if found is Unasked else answer == found


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    assert Cluster().contexts(str(tmp_path / "none")) is None
    assert isinstance(Cluster().contexts(str(tmp_path)), Unasked)


def test_whether_a_cluster_is_ready(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("{}")
    assert Cluster().why_not(str(file), "kind") is None
    assert "--context kind" in (shell.folder / "kubectl.calls").read_text()
    shell.write("kubectl.err", "Unable to connect to the server")
    assert Cluster().why_not(str(file), "kind") == str(Unreachable("Unable to connect to the server"))


# --- how it is told --------------------------------------------------------------------------------------------------


def test_exit_codes() -> None:
    """1 wins over 2: a fact that is wrong stays wrong when the rest could be asked."""
    good_, bad, silent = holds("a", "b", "c"), fails("a", "b", "c", "d"), unasked("a", "b", Unasked("c"))
    assert [exit_code(lines) for lines in ([], [good_], [good_, silent], [silent, bad], [bad])] == [0, 0, 2, 1, 1]


def test_headline() -> None:
    def lines(*counts: int) -> list[Line]:
        return [
            Line(check="a", asked="b", answered="c", verdict=verdict)
            for verdict, count in zip(Verdict, counts, strict=True)
            for _ in range(count)
        ]

    assert report.headline("s", lines(3, 0, 0)) == "s: 3 hold"
    assert report.headline("s", lines(0, 1, 2)) == "s: 0 hold, 1 fails, 2 could not be asked"
    assert report.headline("s", lines(1, 2, 0)) == "s: 1 hold, 2 fail"


def test_brackets_in_an_answer_are_no_markup(preflight: Preflight) -> None:
    """An answer of others must neither vanish nor colour the rest."""
    preflight.stack().errors["eks.DescribeCluster"] = Denied("Odd", "[/] and [bold red]x")
    code, text = preflight.run()
    assert code == 2 and "[/] and [bold red]x" in text


def test_what_make_runs() -> None:
    """A look that comes after the engine has started is none."""

    def told(*words: str) -> str:
        return " ".join(subprocess.run(
            ["make", "--dry-run", "--no-print-directory", *words, "STACK=demo"], cwd=stackfile.ROOT, capture_output=True,
            text=True, check=True).stdout.split())  # fmt: skip

    up = told("up")
    at = [up.find(part) for part in ("-m operations.preflight --stack demo --for-up", "-m operations up --stack demo")]
    assert -1 not in at and at == sorted(at)
    assert "-m operations.preflight --stack demo --format json" in told("preflight", "FORMAT=json")


def test_it_runs_as_a_module() -> None:
    """The command that make types."""
    answer = subprocess.run(
        [sys.executable, "-m", "operations.preflight", "--stack", "nowhere-to-be-found"],
        cwd=stackfile.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 2 and "there is no stack" in answer.stderr and "Traceback" not in answer.stderr
