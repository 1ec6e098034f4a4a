"""`python -m operations.serve` where it cannot begin: what is told, and that nothing was installed or started."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from operations.serve import __main__ as command
from operations.serve import platforms, wheels
from tests.conftest import recorded


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """On a machine that has wheels; nothing may ask for them."""
    found = typer.Typer()
    found.command()(command.main)
    monkeypatch.setattr(platforms, "here", lambda: None)
    monkeypatch.setattr(wheels, "installed", lambda *_: pytest.fail("wheels were asked for"))
    return found


def told(app: typer.Typer, folder: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--folder", str(folder)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert not list(folder.glob("run/*"))
    return done.exit_code, done.stderr.strip()


def test_another_platform(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the plan, which takes seconds, and the wheels, which take minutes."""
    monkeypatch.setattr(platforms, "here", lambda: "not here")
    monkeypatch.setattr("stacks.stackfile.read", lambda _: pytest.fail("the stack was read"))
    assert told(app, tmp_path) == (2, "not here")


def test_another_engine(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default of the other targets, and of most fingers."""
    graph = recorded("g6e-dev")
    seen = [dict(item.manifest) for item in graph.objects], graph.outputs
    monkeypatch.setattr(command._Serve, "_planned", lambda _: seen)
    code, said = told(app, tmp_path, "--stack", "g6e-dev", "--graph", "vllm-agg")
    assert code == 2 and said.startswith("graph vllm-agg: worker runs `python3 -m dynamo.vllm")
    assert said.endswith("make serve runs graphs of `backend: mocker`, such as STACK=mocker-local")


def test_no_such_stack_or_graph(app: typer.Typer, tmp_path: Path) -> None:
    """A typing error is told with what there is."""
    code, said = told(app, tmp_path, "--stack", "mocker-locl")
    assert code == 2 and "mocker-local" in said
    assert told(app, tmp_path, "--graph", "chat") == (2, "mocker-local has no graph chat; its graphs are: mocker")


def test_a_plan_that_breaks_a_rule(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not be let up is not shown as working."""
    import dataclasses

    from review import plan
    from rules.model import Verdict

    whole = plan.make

    def broken(file):
        found = whole(file)
        return dataclasses.replace(
            found, verdicts=(*found.verdicts, Verdict("some-rule", "fail", "graph", "is wrong", "stack"))
        )

    monkeypatch.setattr(plan, "make", broken)
    assert told(app, tmp_path) == (
        1,
        "mocker-local: its plan breaks a rule (make plan STACK=mocker-local)\n  some-rule: graph: is wrong",
    )
