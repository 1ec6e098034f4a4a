"""docs/first-deployment.md, command by command, as it stands there: the real CLI and make in a clone, and kubectl against a real API server.

Played: AWS (who is calling, and nothing else may be asked), the registries, what the providers make, and the last two commands,
which need a pod that runs: that the Service and the model they name are the stack's own is checked, and the same `curl`
is answered by the real Dynamo in test_serve.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.cluster.cluster import KEY_DELETION_DAYS
from recording.answers import Answers
from stacks import stackfile
from tests.conftest import AT
from tests.engine.cli import Clone
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import World, require_engine
from tests.engine.test_life import MEANT_TO_STAY_IN_AWS

PAGE = stackfile.ROOT / "docs" / "first-deployment.md"
STACK, ACCOUNT = "prod", "111122223333"
TOKEN = "hf_KnownTokenThatMustNeverBeSeen43"

ELSEWHERE = {"make serve": "tests/engine/test_serve.py"}
"""Commands that have an end-to-end test of their own."""


def commands() -> list[str]:
    """Every command of the page, in its order."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


class Sts(BaseHTTPRequestHandler):
    """AWS to somebody who may ask who they are, and nothing else."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        json_ = "json" in (self.headers.get("Content-Type") or "")
        if "Action=GetCallerIdentity" in body:
            arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/me"
            text = (
                '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
                f"<Arn>{arn}</Arn><UserId>A:me</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
                "</GetCallerIdentityResponse>"
            )
            self._answer(200, text)
        elif json_:
            self._answer(400, json.dumps({"__type": "AccessDeniedException", "message": "not authorized"}))
        elif "/ec2/" in (self.headers.get("Authorization") or ""):
            error = "<Error><Code>UnauthorizedOperation</Code><Message>not authorized</Message></Error>"
            self._answer(403, f"<Response><Errors>{error}</Errors><RequestID>a</RequestID></Response>")
        else:
            error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error>"
            self._answer(403, f"<ErrorResponse>{error}<RequestId>a</RequestId></ErrorResponse>")

    def do_GET(self) -> None:
        self._answer(403, json.dumps({"message": "not authorized"}))

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def aws() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def shell(tmp_path: Path, control_plane: ControlPlane, contracts: Path, aws: str) -> Iterator[Shell]:
    require_engine()
    if shutil.which("kubectl") is None:
        pytest.fail("no kubectl") if os.environ.get("REQUIRE_KUBECTL") else pytest.skip("kubectl is not on PATH")
    world = World(control_plane, contracts, Answers(STACK))
    yield Shell(tmp_path, control_plane, world, aws)
    world.stop()


class Shell:
    """A user's terminal, whose exports last."""

    def __init__(self, folder: Path, plane: ControlPlane, world: World, aws: str) -> None:
        self.clone = Clone(folder)
        self.clone.world = world
        self.home = Path(self.clone.environment["HOME"])
        (self.home / ".hf-token").write_text(TOKEN)
        (self.home / ".pulumi-passphrase").write_text("correct horse")
        bin_ = folder / "programs"
        bin_.mkdir()
        # The clone's virtualenv is this one, whatever the dates of its requirements are.
        program(bin_, "make", f'exec {shutil.which("make")} -o .venv/.installed "$@"')
        # A shim of the machine's own would put the real ones before the programs below.
        program(bin_, "python3", f'exec {sys.executable} "$@"')
        program(
            bin_,
            "aws",
            'case "$1 $2" in\n'
            '"--version ") echo aws-cli/2.31.0 Python/3.13;;\n'
            f'"sts get-caller-identity") echo arn:aws:sts::{ACCOUNT}:assumed-role/deployer/me;;\n'
            '"sso login") exit 0;;\n'
            f'"eks update-kubeconfig") [ "$3 $4" = "--name dynamo-{STACK}" ] && mkdir -p ~/.kube && cp {plane.kubeconfig} ~/.kube/config;;\n'
            "*) exit 2;; esac",
        )
        # The cluster's kubeconfig leads to EKS; here it leads to the API server that stands for it.
        kubectl = shutil.which("kubectl")
        program(
            bin_,
            "kubectl",
            'if [ "$1" = version ]; then echo \'{"clientVersion": {"gitVersion": "v1.35.4"}}\'; exit; fi\n'
            'case "$*" in *port-forward*) exec printf \'%s\\n\' "$*";; esac\n'
            'words=""; while [ $# -gt 0 ]; do case "$1" in --kubeconfig|--context) shift;; *) words="$words $1";; esac; shift; done\n'
            f"exec {kubectl} --kubeconfig {plane.kubeconfig} $words",
        )
        program(bin_, "curl", 'for word; do last="$word"; done; printf "%s\\n" "$*"')
        environment = self.clone.environment
        environment["PATH"] = f"{bin_}:{environment['PATH']}"
        del environment["PULUMI_CONFIG_PASSPHRASE"]
        environment |= {
            "AWS_ENDPOINT_URL": aws, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true",
            # Registries and Hugging Face are not asked from here: nobody answers at this port.
            "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        exported = re.fullmatch(r"export (\w+)=(.*)", line)
        if exported:
            value = exported[2].replace("~", str(self.home))
            # A profile would have to be in ~/.aws/config, which is somebody's own.
            if exported[1] != "AWS_PROFILE":
                self.clone.environment[exported[1]] = value
            return subprocess.CompletedProcess(line, 0, "")
        return self.clone.run("bash", "-c", line, may_fail=True)


def test_the_page_from_top_to_bottom(shell: Shell) -> None:
    """Prevents the first hour that fails at a command nobody has ever typed."""
    clone, world = shell.clone, shell.clone.world
    assert world is not None
    said: dict[str, str] = {}
    done = []
    for line in commands():
        if line in ELSEWHERE:
            assert (stackfile.ROOT / ELSEWHERE[line]).is_file()
            continue
        if line == f"make preview STACK={STACK}":
            clone.enter(STACK, world)
        ended = shell.run(line)
        said[line] = ended.stdout
        done.append(line)
        # Not everything can be asked here, and that is no failure of the stack.
        expected = 2 if line == f"make preflight STACK={STACK}" else 0
        assert ended.returncode == expected, f"{line}: {ended.returncode}\n{ended.stdout}"
        if line == f"make up STACK={STACK} YES=1" and clone.resources(STACK):
            _made_is_what_was_planned(clone)
    assert len(done) >= 20

    new = next(text for line, text in said.items() if line.startswith("make new "))
    assert f"Written: stacks/Pulumi.{STACK}.yaml" in new and "Still to fill in" not in new
    planned = said[f"make plan STACK={STACK}"]
    assert "rules fails" in planned and "ill in" not in planned
    table = said[f"make preflight STACK={STACK}"]
    assert ACCOUNT in table and "could not ask" in table and "fails" not in table, table
    assert f"Plan of {STACK}: " in said[f"make preview STACK={STACK}"]
    assert "to create" in said[f"make preview STACK={STACK}"]
    listed = next(text for line, text in said.items() if line.startswith("kubectl --namespace dynamo get"))
    assert "dynamographdeployment.nvidia.com/vllm-agg" in listed
    graph = json.loads(said[f"pulumi stack output graphs --json --stack {STACK}"])["vllm-agg"]
    assert graph["portForward"] in done and graph["curl"] in done, graph
    assert f"waits {KEY_DELETION_DAYS} days" in PAGE.read_text()
    assert "KMS" in said[f"make destroy STACK={STACK} YES=1"]
    assert {type_ for type_, _ in world.aws.things} <= MEANT_TO_STAY_IN_AWS
    for text in [*said.values(), clone.file(STACK).read_text()]:
        assert TOKEN not in text
    assert clone.at == AT


def _made_is_what_was_planned(clone: Clone) -> None:
    assert any(item["type"].endswith("eks/cluster:Cluster") for item in clone.resources(STACK))
