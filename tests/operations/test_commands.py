"""`make recover`, the look before `make up`, and `make destroy`, as an operator types them."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from operations import __main__ as entry_point
from operations import lock, teardown
from operations.lookup import CannotTell
from operations.state import Resource, State
from recording.aws_types.card import Candidate
from stacks import stackfile
from tests.conftest import STACKS, recorded
from tests.operations.conftest import Shell
from tests.operations.documents import (
    EFS,
    EIP,
    EKS,
    KEY,
    NAMESPACE,
    NAT,
    SUBNET,
    VPC,
    document,
    entry,
    urn,
)

VPC_ENTRY = entry(VPC, "network-vpc", "vpc-1", inputs={"cidrBlock": "10.0.0.0/16"})
NAT_ENTRY = entry(NAT, "n", inputs={"subnetId": "subnet-1", "tags": {"Name": "n"}})
EIP_ENTRY = entry(EIP, "e", inputs={"tags": {"Name": "e"}})
KUBECONFIG = json.dumps({"apiVersion": "v1", "kind": "Config"})


class Store:
    """What exists, by type."""

    def __init__(self, things: dict[str, Sequence[str]]) -> None:
        self.things = things

    def find(self, resource: Resource) -> Sequence[Candidate]:
        if resource.type not in self.things:
            raise CannotTell("nobody was asked")
        return [Candidate(id_) for id_ in self.things[resource.type]]


@pytest.fixture
def exists(monkeypatch: pytest.MonkeyPatch):
    """Say what there is to be found."""

    def say(**things: Sequence[str]) -> None:
        types = {"nat": NAT, "eip": EIP}
        store = Store({types[key]: ids for key, ids in things.items()})
        monkeypatch.setattr(entry_point, "finder_of", lambda state, access: store)

    return say


# --- recover ----------------------------------------------------------------------------------------------------------


def test_recover_takes_in_what_exists_and_forgets_the_rest(shell: Shell, exists) -> None:
    """The whole of a good recovery: unlocked, one thing taken in and read, the other forgotten, and `up` may run."""
    shell.holds(
        document(VPC_ENTRY, pending=[("creating", NAT_ENTRY), ("creating", EIP_ENTRY), ("updating", VPC_ENTRY)])
    )
    exists(nat=["nat-1"], eip=[])
    assert shell.run("ready")[0] == 1
    code, text = shell.run("recover", "--yes")
    assert code == 0, text
    assert "exists as nat-1" in text and "does not exist (Name=e)" in text and "interrupted while updating" in text
    assert shell.commands[-4:] == ["stack export", "stack import", "refresh", "stack export"]
    state = State(shell.document)
    assert [item.id for item in state.resources] == ["a", "vpc-1", "nat-1"] and not state.pending and not state.unread
    targets = [word.rsplit("::", 1)[1] for word in shell.called("refresh") if word.startswith("urn:")]
    assert targets == ["n", "network-vpc"]
    assert shell.run("ready") == (0, "")


LOCKED = "s3://states/.pulumi/locks/organization/dynamo-eks/demo/1.json: created by {who} (pid {pid}) at {at}"


def _held(shell: Shell, minutes: int, who: str = "root@ci-7", pid: int = 1578) -> None:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    shell.write("lock.txt", LOCKED.format(who=who, pid=pid, at=f"{at:%Y-%m-%dT%H:%M:%SZ}"))


def test_recover_asks_before_it_unlocks_and_before_it_writes(shell: Shell, exists) -> None:
    """A lock taken from a colleague's running `up` lets two engines write one state."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=["nat-1"])
    _held(shell, 20)
    code, text = shell.run("recover", typed="n\n")
    assert code == 1 and "demo is held by root@ci-7 (pid 1578) since " in text and "20 min ago" in text
    assert "Is it certain that this operation is dead, wherever it ran?" in text
    assert "cancel" not in shell.commands and (shell.folder / "lock.txt").exists()
    code, text = shell.run("recover", typed="y\nn\n")
    assert code == 1 and "Write this into the state?" in text and "Lock: taken away from root@ci-7 (pid 1578)" in text
    assert "cancel" in shell.commands and "stack import" not in shell.commands
    assert shell.run("recover", typed="y\n")[0] == 0


@pytest.mark.parametrize(("minutes", "taken"), [(-5, False), (0, False), (59, False), (61, True), (3000, True)])
def test_a_young_lock_is_not_taken_without_a_word(shell: Shell, exists, minutes: int, taken: bool) -> None:
    """`YES=1` in a pipeline's clean-up step takes the lock of the `up` that a colleague has just started."""
    shell.holds(document(VPC_ENTRY))
    exists()
    _held(shell, minutes)
    code, text = shell.run("recover", "--yes")
    assert code == int(not taken) and "root@ci-7 (pid 1578)" in text
    assert (shell.folder / "lock.txt").exists() is not taken
    if not taken:
        assert 'make recover STACK=demo YES=1 ARGS="--take-lock"' in text and "Nothing was changed" in text
        code, text = shell.run("recover", "--yes", "--take-lock")
        assert code == 0 and "Lock: taken away from root@ci-7" in text and not (shell.folder / "lock.txt").exists()


def test_a_lock_of_a_living_process_is_never_taken(shell: Shell, exists, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is certain can be wrong; on the same host there is somebody to ask."""
    shell.holds(document(VPC_ENTRY))
    exists()
    _held(shell, 300, f"root@{socket.gethostname()}", 4711)
    monkeypatch.setattr(lock, "processes", lambda: {4711: lock.Process(4711, 1, 0, "pulumi")})
    code, text = shell.run("recover", "--yes", "--take-lock")
    assert code == 1 and "its process is running here. Nothing was changed" in text and "kill -INT 4711" in text
    assert (shell.folder / "lock.txt").exists()
    # The number has been given to another program since.
    monkeypatch.setattr(lock, "processes", lambda: {4711: lock.Process(4711, 1, 0, "nginx")})
    assert shell.run("recover", "--yes", "--take-lock")[0] == 0


def test_a_lock_that_cannot_be_read(shell: Shell, exists) -> None:
    """A disk that was full leaves an empty lock file: somebody holds the stack, and nobody knows who."""
    shell.holds(document(VPC_ENTRY))
    exists()
    shell.write("fails.txt", "stack rename: error: unexpected end of JSON input")
    code, text = shell.run("recover", "--yes")
    assert code == 1 and "unexpected end of JSON input" in text and "--take-lock" in text


def test_the_holder_in_pulumi_cloud(shell: Shell, exists) -> None:
    """Pulumi Cloud names no process; whose operation it is, and since when, it knows."""
    shell.holds(document(VPC_ENTRY))
    exists()
    shell.write("url.txt", "https://api.pulumi.com")
    running = {"kind": "update", "author": "alice", "started": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"}
    shell.write("stack.json", json.dumps({"stack": "demo", "currentOperation": running}))
    code, text = shell.run("recover", "--yes")
    assert code == 1 and "demo is held by alice since" in text and "0 min ago" in text
    shell.write("stack.json", json.dumps({"stack": "demo"}))
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "Lock: nobody holds it" in text and "cancel" not in shell.commands


def test_recover_without_a_terminal(shell: Shell, exists) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=["nat-1"])
    _held(shell, 300)
    code, text = shell.run("recover")
    assert code == 1 and "There is no terminal to ask on" in text and "make recover STACK=demo YES=1" in text
    assert (shell.folder / "lock.txt").exists()


def test_recover_waits_for_the_providers_of_a_dead_engine(
    shell: Shell, exists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin outlives the engine that was killed: a gateway that it is still making does not exist yet, and is then made
    a second time."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=[])
    seen = [[lock.Process(12, 1, 0, "pulumi-resource-aws")], []]
    monkeypatch.setattr(lock, "orphaned_providers", lambda: seen.pop(0))
    monkeypatch.setattr(entry_point.time, "sleep", lambda seconds: None)
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "Waiting for the providers of the engine that is gone: pulumi-resource-aws (pid 12)" in text
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    monkeypatch.setattr(entry_point, "PROVIDERS_END_S", -1.0)
    monkeypatch.setattr(lock, "orphaned_providers", lambda: [lock.Process(12, 1, 0, "pulumi-resource-aws")])
    code, text = shell.run("recover", "--yes")
    assert code == 1 and "End them with: kill 12" in text and State(shell.document).creating
    assert shell.run("recover", "--yes", "--take-lock")[0] == 0


def test_interrupted_updates_survive_a_recovery_that_is_cut_off(shell: Shell, exists) -> None:
    """The import drops them: after a second interruption nobody would know that a firewall rule is half changed."""
    shell.holds(
        document(VPC_ENTRY, NAT_ENTRY | {"id": "nat-1"}, pending=[("updating", VPC_ENTRY), ("deleting", NAT_ENTRY)])
    )
    exists()
    shell.write("fails.txt", "refresh: error: the network is down")
    assert shell.run("recover", "--yes")[0] == 2
    state = State(shell.document)
    assert not state.pending and [item.name for item in state.unread] == ["network-vpc", "n"]
    code, text = shell.run("ready")
    assert code == 1 and "network-vpc" in text and "make recover STACK=demo" in text
    (shell.folder / "fails.txt").unlink()
    assert shell.run("recover", "--yes")[0] == 0
    assert [word.rsplit("::", 1)[1] for word in shell.called("refresh") if word.startswith("urn:")] == [
        "network-vpc",
        "n",
    ]
    assert shell.run("ready")[0] == 0


def test_recover_changes_nothing_while_one_is_undecided(shell: Shell, exists) -> None:
    """Half a decision written is the other half forgotten."""
    shell.holds(document(pending=[("creating", NAT_ENTRY), ("creating", EIP_ENTRY)]))
    before = shell.document
    exists(nat=["nat-1"], eip=["eipalloc-1", "eipalloc-2"])
    code, text = shell.run("recover", "--yes")
    assert code == 1 and "2 fit and only one can be it: eipalloc-1, eipalloc-2" in text
    assert 'make recover STACK=demo ARGS="--is NAME=ID --gone NAME"' in text
    assert shell.document == before
    code, text = shell.run("recover", "--yes", "--is", "e=eipalloc-2")
    assert code == 0 and [item.id for item in State(shell.document).resources] == ["a", "nat-1", "eipalloc-2"]


def test_recover_refuses_a_name_that_is_not_interrupted(shell: Shell, exists) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=[])
    code, text = shell.run("recover", "--yes", "--gone", "m")
    assert code == 1 and "m: no such interrupted creation" in text and "n" in text
    assert shell.run("recover", "--yes", "--is", "n")[0] == 2


def test_recover_says_when_a_thing_went_meanwhile(shell: Shell, exists) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=["nat-1"])
    shell.write("gone.txt", "nat-1")
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "was gone when it was read; the next `make up` makes it" in text


def test_recover_goes_on_where_it_stopped(shell: Shell, exists) -> None:
    """Taken in and not read, a thing has no outputs: an `up` would write empty ids into everything that uses it."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=["nat-1"])
    shell.write("fails.txt", "refresh: error: the network is down")
    code, text = shell.run("recover", "--yes")
    assert code == 2 and "the network is down" in text
    code, text = shell.run("ready")
    assert code == 1 and "make recover STACK=demo" in text
    (shell.folder / "fails.txt").unlink()
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "an earlier recovery did not get to read it" in text
    assert shell.run("ready")[0] == 0


def test_recover_with_nothing_to_do(shell: Shell, exists) -> None:
    """`pulumi cancel` says that it canceled something, also when there was nothing."""
    shell.holds(document(VPC_ENTRY))
    exists()
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "Lock: nobody holds it." in text and "Nothing of demo was interrupted" in text
    assert "cancel" not in shell.commands


def test_recover_stops_when_the_lock_stays(shell: Shell, exists) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    shell.write("fails.txt", "cancel: error: access denied")
    _held(shell, 300)
    exists(nat=["nat-1"])
    code, text = shell.run("recover", "--yes")
    assert code == 2 and "access denied" in text and shell.commands[-1] == "cancel"


def test_without_credentials_nothing_is_decided(shell: Shell) -> None:
    """What cannot be seen looks like what is not there."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    code, text = shell.run("recover", "--yes")
    assert code == 1 and "AWS cannot be asked" in text and State(shell.document).creating


# --- ready ------------------------------------------------------------------------------------------------------------


def test_ready_lets_a_new_stack_through(shell: Shell) -> None:
    """A first `up` has no stack yet; the engine says so itself."""
    assert shell.run("ready") == (0, "")


def test_ready_shows_the_backends_own_error(shell: Shell) -> None:
    shell.holds(document())
    shell.write("fails.txt", "stack export: error: could not read the bucket")
    assert shell.run("ready") == (2, "error: could not read the bucket")


@pytest.mark.parametrize("command", ["ready", "recover", "destroy"])
def test_a_state_that_is_gone_while_its_backup_is_there(shell: Shell, command: str) -> None:
    """`up` takes it for a new stack, and makes a second cluster beside the first."""
    state = _backed_up(shell)
    code, text = shell.run(command, *([] if command == "ready" else ["--yes"]))
    assert code == 2 and f"The state {state} is gone." in text
    assert f"cp {state.parents[2]}/backups/dynamo-eks/demo/demo.1.json {state}" in text
    assert "An `up` now would make everything a second time." in text and "make recover STACK=demo" in text
    if command == "ready":
        code, text = shell.run("up", "--yes")
        assert code == 2 and "up" not in shell.commands


def test_a_state_that_was_removed_in_order(shell: Shell) -> None:
    """Its backups stay, and must not keep anybody from beginning anew."""
    state = _backed_up(shell)
    made = json.loads((state.parents[2] / "backups/dynamo-eks/demo/demo.1.json").read_text())
    made["checkpoint"]["latest"] |= {"resources": [], "manifest": {"time": "2026-11-26T08:00:00Z"}}
    state.parent.mkdir(parents=True)
    state.with_name("demo.json.bak").write_text(json.dumps(made))
    assert shell.run("ready") == (0, "")


def _backed_up(shell: Shell) -> Path:
    """A backend of plain files that holds nothing but a backup; where the state would be."""
    folder = shell.folder / "states" / ".pulumi"
    shell.write("url.txt", f"file://{folder.parent}?no_tmp_dir=true")
    backup = folder / "backups" / "dynamo-eks" / "demo" / "demo.1.json"
    backup.parent.mkdir(parents=True)
    latest = document(VPC_ENTRY)["deployment"] | {"manifest": {"time": "2026-11-25T08:00:00.123456789Z"}}
    backup.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "demo", "latest": latest}}))
    return folder / "stacks" / "dynamo-eks" / "demo.json"


# --- up ---------------------------------------------------------------------------------------------------------------


def test_up_without_a_terminal(shell: Shell) -> None:
    """In a pipeline the CLI's own refusal comes after a preview of minutes."""
    shell.holds(document(VPC_ENTRY))
    code, text = shell.run("up")
    assert code == 1 and text.endswith("nothing was begun. Without one: make up STACK=demo YES=1")
    assert "up" not in shell.commands
    assert shell.run("up", "--yes", "--skip-preview", "--target", "urn:a$b")[0] == 0
    assert shell.called("up") == ["up", "--yes", "--skip-preview", "--target", "urn:a$b"]
    assert shell.run("up", typed="yes")[0] == 0 and shell.called("up") == ["up"]


def test_up_refuses_an_interrupted_state(shell: Shell) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    _held(shell, 3)
    code, text = shell.run("up", "--yes")
    assert code == 1 and "make recover STACK=demo" in text and "up" not in shell.commands
    assert "demo is held by root@ci-7 (pid 1578)" in text and "wait for its end" in text


# --- destroy ----------------------------------------------------------------------------------------------------------

SUBNET_ENTRY = entry(SUBNET, "a", "subnet-1", dependencies=[VPC_ENTRY["urn"]])
CLUSTER = entry(EKS, "main", "demo", protect=True, dependencies=[SUBNET_ENTRY["urn"]])
KEY_ENTRY = entry(KEY, "main-secrets", "1234", inputs={"deletionWindowInDays": 30})
LOOSE = entry(NAT, "n", "nat-1")
OBJECT = entry(NAMESPACE, "namespace", "dynamo", inputs={"metadata": {"name": "dynamo"}})


def test_destroy_refuses_before_the_engine_starts(shell: Shell) -> None:
    """Started, it deletes everything but what is protected, and what is served with it."""
    by_hand = entry(SUBNET, "other", "subnet-2", protect=True)
    shell.holds(document(VPC_ENTRY, SUBNET_ENTRY, CLUSTER, by_hand, entry(EFS, "files", "fs-1", protect=True)))
    code, text = shell.run("destroy", "--yes")
    assert code == 1 and "destroy" not in shell.commands
    assert f"{EKS} main: is protected. Let it go with cluster.protect: false, then `make up`." in text
    assert "storage.efs.protect: false" in text
    assert f"pulumi state unprotect '{by_hand['urn']}'" in text
    assert "make destroy STACK=demo KEEP=protected" in text


def test_destroy_keeps_what_is_protected_when_told(shell: Shell) -> None:
    kept = document(VPC_ENTRY, SUBNET_ENTRY, CLUSTER)
    shell.holds(document(VPC_ENTRY, SUBNET_ENTRY, CLUSTER, LOOSE), kept)
    code, text = shell.run("destroy", "--yes", "--keep", "protected")
    assert code == 0
    # Alone: together with --exclude the CLI ignored the other for years.
    assert shell.called("destroy") == ["destroy", "--yes", "--exclude-protected"]
    assert f"{EKS} main protected (cluster.protect: false, then `make up`)" in text
    assert f"{SUBNET} a needed by main, which is protected" in text
    assert f"{VPC} network-vpc needed by main" in text


def test_destroy_refuses_what_eks_would_refuse(shell: Shell) -> None:
    """EKS says no after everything in the cluster is gone."""
    held = entry(EKS, "main", "demo", inputs={"deletionProtection": True})
    shell.holds(document(held))
    code, text = shell.run("destroy", "--yes", "--keep", "protected")
    assert code == 1 and "cluster.deletionProtection: false" in text and "destroy" not in shell.commands
    shell.holds(document({**held, "protect": True}, LOOSE), document({**held, "protect": True}))
    assert shell.run("destroy", "--yes", "--keep", "protected")[0] == 0


def test_destroy_refuses_while_creations_are_undecided(shell: Shell) -> None:
    """What was half made is not in the state, and so no destroy ever takes it."""
    shell.holds(document(VPC_ENTRY, pending=[("creating", NAT_ENTRY)]))
    code, text = shell.run("destroy", "--yes")
    assert code == 1 and "make recover STACK=demo" in text and shell.commands == ["stack export"]


def test_destroy_asks_the_cluster_first(shell: Shell) -> None:
    """Objects whose operators are gone hang in their finalizers, and the engine with them, until its timeout."""
    shell.holds(document(OBJECT, kubeconfig=KUBECONFIG), document())
    shell.write("kubectl.err", "Unable to connect to the server: dial tcp: i/o timeout")
    code, text = shell.run("destroy", "--yes")
    assert code == 1 and "i/o timeout" in text and "Nothing was destroyed" in text and "destroy" not in shell.commands
    (shell.folder / "kubectl.err").unlink()
    code, text = shell.run("destroy", "--yes")
    assert code == 0 and "readyz" in (shell.folder / "kubectl.calls").read_text()


@pytest.mark.parametrize(("available", "code"), [(0, 1), (1, 0)])
def test_destroy_wants_living_operators(shell: Shell, available: int, code: int) -> None:
    release = entry("kubernetes:helm.sh/v3:Release", "r", "system/r", inputs={"name": "r", "namespace": "system"})
    shell.holds(document(release, kubeconfig=KUBECONFIG), document())
    operator = {
        "metadata": {"name": "operator"},
        "spec": {"replicas": 1},
        "status": {"availableReplicas": available} if available else {},
    }
    shell.write("kubectl.json", json.dumps({"items": [operator]}))
    seen, text = shell.run("destroy", "--yes")
    assert seen == code
    assert ("system/operator has no pod available" in text) == bool(code)


def test_destroy_says_what_is_left_elsewhere(shell: Shell) -> None:
    """A key, a prepaid block and an opt-in outlive the stack; whoever believes it is all gone is surprised by the bill."""
    template = entry(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "t",
        "lt-1",
        inputs={"capacityReservationSpecification": {"capacityReservationTarget": {"capacityReservationId": "cr-1"}}},
    )
    group = entry("aws:ec2/availabilityZoneGroup:AvailabilityZoneGroup", "g", "us-east-1-dfw-2", retainOnDelete=True)
    logs = entry("aws:cloudwatch/logGroup:LogGroup", "main-logs", "/aws/eks/demo/cluster")
    shell.holds(document(KEY_ENTRY, template, group, logs, LOOSE), document(LOOSE))
    shell.write("fails.txt", "")
    code, text = shell.run("destroy", "--yes")
    assert code == 1
    assert "Not looked for log groups: AWS cannot be asked" in text
    assert f"{KEY} main-secrets 1234 KMS deletes it after 30 days" in text
    assert "reservation cr-1 prepaid" in text and "us-east-1-dfw-2 kept on purpose" in text
    assert f"{NAT} n not deleted" in text and "Not looked for by tag: AWS cannot be asked" in text


def test_destroy_that_was_declined_or_failed(shell: Shell) -> None:
    """The engine's own exit code is the command's."""
    shell.holds(document(LOOSE), document(LOOSE))
    assert shell.run("destroy", typed="no") == (1, "Nothing was destroyed.")
    assert shell.called("destroy") == ["destroy"]
    shell.write("fails.txt", "destroy: error: DependencyViolation")
    assert shell.run("destroy", "--yes")[0] == 1


def test_destroy_of_an_empty_stack(shell: Shell) -> None:
    shell.holds({"version": 3, "deployment": {}})
    assert shell.run("destroy", "--yes") == (0, "demo holds nothing.")


@pytest.mark.parametrize("stack", STACKS)
def test_every_protected_thing_has_a_setting_that_lets_it_go(stack: str) -> None:
    """A refusal without a way out gets a `pulumi state unprotect` on the wrong thing."""
    graph = recorded(stack)
    entries = [
        entry(node.type, node.name, node.id, protect=node.protect, parent=_urn_of(node.parent)) for node in graph.nodes
    ]
    found = teardown.obstacles(State(document(*entries)), keep_protected=False)
    assert len(found) == sum(node.protect for node in graph.nodes)
    assert [item for item in found if "protect: false, then `make up`" not in item.release] == []


def _urn_of(key: str | None) -> str:
    type_, _, name = (key or "::").rpartition("::")
    return urn(type_, name)


@pytest.mark.parametrize(
    ("words", "in_order"),
    [
        (
            ["up"],
            [
                "-m operations ready --stack demo",
                "-m operations edits --stack demo",
                "-m operations up --stack demo",
                "--format arguments",
            ],
        ),
        (["up", "YES=1", "ARGS=--skip-preview"], ["-m operations up --stack demo --yes", "--args '--skip-preview'"]),
        (["recover", "YES=1", "ARGS=--gone n"], ["-m operations recover --stack demo --yes --args '--gone n'"]),
        (["destroy"], ["-m operations destroy --stack demo"]),
        (["destroy", "YES=1", "KEEP=protected"], ["-m operations destroy --stack demo --yes --keep protected"]),
    ],
)
def test_what_make_runs(words: list[str], in_order: list[str]) -> None:
    """A look that comes after the engine has started is none."""
    told = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *words, "STACK=demo"],
        cwd=stackfile.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    text = " ".join(told.split())
    at = [text.find(part) for part in in_order]
    assert -1 not in at and at == sorted(at), text
    assert "pulumi destroy" not in text and "pulumi up" not in text
    # What is asked to stop must be what waits for the engine.
    assert text.count("exec ") == 1


@pytest.mark.parametrize("command", ["up", "recover", "destroy"])
def test_what_is_typed_arrives_as_it_was_typed(command: str, tmp_path: Path) -> None:
    """A URN holds `$`: with `$aws` taken for a variable the engine is told to target something else."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".installed").touch()
    urn = "urn:pulumi:demo::p::eks:index:Cluster$aws:eks/cluster:Cluster::$(main) $HOME's"
    told = subprocess.run(
        ["make", "-f", str(stackfile.ROOT / "Makefile"), "-o", "engine", f"VENV={tmp_path}", f"PY={program}",
         command, "STACK=demo", "YES=1", "ARGS=--target " + shlex.quote(urn) + " --message 'two words'"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = json.loads(told.stdout.splitlines()[-1])
    assert words[:5] == ["-m", "operations", command, "--stack", "demo"] and "--yes" in words
    taken = entry_point.arguments(words)
    assert taken[-4:] == ["--target", urn, "--message", "two words"]


def test_arguments_that_are_no_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry_point.main(["up", "--stack", "demo", "--args", "--message 'one"]) == 2
    assert "ARGS cannot be read as a command line: No closing quotation" in capsys.readouterr().err
    assert entry_point.arguments(["up", "--stack", "demo"]) == ["up", "--stack", "demo"]
