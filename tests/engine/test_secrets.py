"""A token in the configuration is in clear nowhere but in the cluster's own Secret: not in state, history, events, output,
logs, plan or any other object, over the whole life of a stack."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from review import plan, report
from stacks.stackfile import StackFile
from tests.conftest import AT
from tests.engine.control_plane import ControlPlane
from tests.engine.engine import Outcome, Stack, edited, shipped
from tests.engine.inventory import inventory

TOKEN = "hf_KnownTokenThatMustNeverBeSeen42"
PASSWORD = "nvapi-Known+Password/That=MustNeverBeSeen43"

LOGIN = {"server": "nvcr.io", "username": "$oauthtoken"}


def forms(secret: str) -> set[str]:
    """A secret as itself, as JSON writes it, and as base64, at every offset it can have in a longer text."""
    found = {secret, json.dumps(secret)[1:-1]}
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + secret.encode()).decode().rstrip("=")
        # The first and the last characters mix with what is around it.
        found.add(encoded[4 if offset else 0 : -4])
    return found


FORMS = forms(TOKEN) | forms(PASSWORD)


def seen(text: str) -> list[str]:
    return sorted(form for form in FORMS if form in text)


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file the engine wrote: state, backups, history, logs, the stack file."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes().decode(errors="replace")


@pytest.fixture(scope="module")
def life(make_stack: Callable[..., Stack], control_plane: ControlPlane) -> dict[str, object]:
    """A stack with both secrets, brought up, changed, refreshed and destroyed; what was seen on the way."""
    name = "mocker-local"
    stack = make_stack(name, config=edited(shipped(name), {"dynamo.imagePullSecret": LOGIN}))
    stack.set_secret("huggingFaceToken", TOKEN)
    stack.set_secret("imagePullPassword", PASSWORD)
    outcomes: list[Outcome] = [stack.preview(diff=True), stack.up(diff=True)]
    objects = inventory(control_plane)
    written = dict(files(stack.folder))
    state = json.dumps(stack.export())
    # A changed token shows both values in a diff, if it shows any.
    stack.set_secret("huggingFaceToken", TOKEN[::-1])
    outcomes += [stack.preview(diff=True), stack.up(diff=True)]
    stack.set_secret("huggingFaceToken", TOKEN)
    outcomes += [stack.up(diff=True), stack.refresh(diff=True), stack.destroy(diff=True)]
    written |= {f"{path} at the end": text for path, text in files(stack.folder)}
    return {"outcomes": outcomes, "objects": objects, "files": written, "state": state}


def test_the_cluster_gets_the_secrets(life: dict[str, object]) -> None:
    """Without this, all tests below would pass with a token that was never used."""
    objects: dict[str, dict] = life["objects"]  # type: ignore[assignment]
    token = objects["Secret dynamo/hf-token-secret"]["data"]["HF_TOKEN"]
    assert base64.b64decode(token).decode() == TOKEN
    login = json.loads(base64.b64decode(objects["Secret dynamo/registry-credentials"]["data"][".dockerconfigjson"]))
    assert login["auths"]["nvcr.io"]["password"] == PASSWORD
    assert seen(json.dumps(objects["Secret dynamo/hf-token-secret"]))


def test_no_other_object_holds_them(life: dict[str, object]) -> None:
    """Prevents a token in a pod's environment or arguments, which everybody who may list pods can read."""
    objects: dict[str, dict] = life["objects"]  # type: ignore[assignment]
    holders = {name for name, item in objects.items() if seen(json.dumps(item))}
    assert holders == {
        "Secret dynamo/hf-token-secret",
        "Secret dynamo/registry-credentials",
        "Secret dynamo-system/registry-credentials",
    }


def test_state_and_files_hold_them_encrypted(life: dict[str, object]) -> None:
    """Prevents a token in the state's bucket, its backups and its history, which outlive the stack."""
    written: dict[str, str] = life["files"]  # type: ignore[assignment]
    assert any(path.startswith("backend/.pulumi/stacks") for path in written)
    assert any(path.startswith("backend/.pulumi/history") for path in written)
    assert {path: seen(text) for path, text in written.items() if seen(text)} == {}
    assert seen(str(life["state"])) == []


def test_events_and_output_do_not_show_them(life: dict[str, object]) -> None:
    """Prevents a token in the log of a CI job: the diffs are asked for, and both old and new token are in them."""
    outcomes: list[Outcome] = life["outcomes"]  # type: ignore[assignment]
    assert any("namespace-dynamo-token" in outcome.text for outcome in outcomes)
    for outcome in outcomes:
        assert seen(outcome.text) == []
        assert seen(json.dumps(outcome.events)) == []
        assert outcome.text.count(TOKEN[::-1]) == 0
        assert json.dumps(outcome.events).count(TOKEN[::-1]) == 0


def test_the_plan_does_not_show_them(tmp_path: Path) -> None:
    """Prevents a token in a pull request, where the plan is posted; offline, too, it may be there in clear."""
    name = "mocker-local"
    config = edited(shipped(name), {"dynamo.imagePullSecret": LOGIN})
    config |= {"dynamo-eks:huggingFaceToken": TOKEN, "dynamo-eks:imagePullPassword": PASSWORD}
    keys = ("dynamo-eks:huggingFaceToken", "dynamo-eks:imagePullPassword")
    made = plan.make(StackFile(name, tmp_path, config, keys), at=AT)
    out = io.StringIO()
    report.print_text(made, Console(file=out, width=200), verbose=True)
    texts = [out.getvalue(), report.markdown(made), json.dumps(report.as_json(made))]
    texts += [path.read_text() for path in report.write_objects(made, tmp_path)]
    assert any("hf-token-secret" in text for text in texts)
    assert [seen(text) for text in texts if seen(text)] == []
