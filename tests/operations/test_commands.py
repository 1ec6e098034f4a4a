"""`make recover`, the look before `make up`, and `make destroy`, as an operator types them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

import pytest

from operations import __main__ as command
from operations import teardown
from operations.lookup import Candidate, CannotTell
from operations.state import Resource, State
from review import stackfile
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
        monkeypatch.setattr(command, "finder_of", lambda state, access: store)

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
    assert shell.commands[1:] == ["cancel", "stack export", "stack import", "refresh", "stack export"]
    state = State(shell.document)
    assert [item.id for item in state.resources] == ["a", "vpc-1", "nat-1"] and not state.pending and not state.unread
    targets = [word.rsplit("::", 1)[1] for word in shell.calls[4] if word.startswith("urn:")]
    assert targets == ["n", "network-vpc"]
    assert shell.run("ready") == (0, "")


def test_recover_asks_before_it_unlocks_and_before_it_writes(shell: Shell, exists) -> None:
    """A lock taken from a colleague's running `up` lets two engines write one state."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    exists(nat=["nat-1"])
    assert shell.run("recover", typed="n\n")[0] == 1 and shell.calls == []
    code, text = shell.run("recover", typed="y\nn\n")
    assert code == 1 and "Write this into the state?" in text
    assert shell.commands == ["cancel", "stack export"]
    assert shell.run("recover", typed="y\ny\n")[0] == 0


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
    assert code == 0 and "taken in before and not read" in text
    assert shell.run("ready")[0] == 0


def test_recover_with_nothing_to_do(shell: Shell, exists) -> None:
    shell.holds(document(VPC_ENTRY))
    shell.write("fails.txt", "cancel: error: [409] Conflict: The Update has already completed")
    exists()
    code, text = shell.run("recover", "--yes")
    assert code == 0 and "no operation holds the stack" in text and "Nothing of demo was interrupted" in text


def test_recover_stops_when_the_lock_stays(shell: Shell, exists) -> None:
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    shell.write("fails.txt", "cancel: error: access denied")
    exists(nat=["nat-1"])
    code, text = shell.run("recover", "--yes")
    assert code == 2 and "access denied" in text and shell.commands == ["cancel"]


def test_a_backend_of_plain_files_that_was_cut_off(shell: Shell, exists) -> None:
    """The state is whole and only its companion file is empty; whoever does not know restores an old backup."""
    shell.holds(document(pending=[("creating", NAT_ENTRY)]))
    shell.write("fails.txt", "stack export: error: failed to load checkpoint: EOF")
    exists(nat=["nat-1"])
    code, text = shell.run("recover", "--yes")
    assert code == 2 and "delete the empty STACK.json.attrs" in text


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


def test_a_refused_edit_is_told_the_way_out(shell: Shell) -> None:
    """The engine says that a resource is protected; at night nobody remembers which setting that was."""
    shell.holds(document(VPC_ENTRY, CLUSTER, entry(EFS, "files", "fs-1", protect=True)))
    code, text = shell.run("protected")
    assert code == 0 and f"{EKS} main: cluster.protect: false, then `make up`" in text
    assert "storage.efs.protect: false" in text and shell.commands == ["stack export"]
    shell.holds(document(VPC_ENTRY))
    assert shell.run("protected") == (0, "")


def test_destroy_keeps_what_is_protected_when_told(shell: Shell) -> None:
    kept = document(VPC_ENTRY, SUBNET_ENTRY, CLUSTER)
    shell.holds(document(VPC_ENTRY, SUBNET_ENTRY, CLUSTER, LOOSE), kept)
    code, text = shell.run("destroy", "--yes", "--keep", "protected")
    assert code == 0
    # Alone: together with --exclude the CLI ignored the other for years.
    assert shell.calls[1] == ["destroy", "--yes", "--exclude-protected", "--stack", "demo"]
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
    shell.holds(document(KEY_ENTRY, template, group, LOOSE), document(LOOSE))
    shell.write("fails.txt", "")
    code, text = shell.run("destroy", "--yes")
    assert code == 0
    assert f"{KEY} main-secrets 1234 KMS deletes it after 30 days" in text
    assert "reservation cr-1 prepaid" in text and "us-east-1-dfw-2 kept on purpose" in text
    assert f"{NAT} n not deleted" in text and "Not looked for by tag: AWS cannot be asked" in text


def test_destroy_that_was_declined_or_failed(shell: Shell) -> None:
    """The engine's own exit code is the command's."""
    shell.holds(document(LOOSE), document(LOOSE))
    assert shell.run("destroy") == (0, "Nothing was destroyed.")
    assert shell.calls[1] == ["destroy", "--stack", "demo"]
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
            ["-m operations ready --stack demo", "pulumi up --stack demo"],
        ),
        (["up"], ["-m operations ready --stack demo", "--format arguments"]),
        (["recover", "YES=1", "ARGS=--gone n"], ["-m operations recover --stack demo --yes --gone n"]),
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
    assert text.count("pulumi destroy") == 0
