"""What the program itself writes on command lines, for every release; and what others make of them."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from components.catalog import DYNAMO
from components.dynamo import backends, command_line, recipes
from components.dynamo.spec import Worker
from recording.graph import Graph
from recording.recorder import record
from rules.command_lines import command_lines, variables_read
from rules.model import Finding
from stacks import stackfile
from stacks.checks import graphs as checks
from stacks.settings import Settings, SettingsError
from tests.conftest import AT, recorded
from tests.rules.test_each_rule import DGD, G, container, edit

ROLES: tuple[backends.Role, ...] = ("worker", "prefill", "decode")
TRANSPORTS: tuple[backends.Transport, ...] = ("efa", "nvlink", "tcp")


def found(graph: Graph) -> list[tuple[str, str]]:
    """Level and message of what both rules find."""
    items = [*command_lines(graph), *variables_read(graph)]
    return [(item.level, item.message) for item in items if isinstance(item, Finding)]


@pytest.mark.parametrize("release", DYNAMO)
@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm", "mocker"])
def test_the_program_writes_what_every_release_reads(backend: str, release: str) -> None:
    """All that the program can say to a backend, in each role: no parser refuses it and nothing is said twice."""
    worker = Worker(
        tensor_parallel=2, pipeline_parallel=2, data_parallel=2, expert_parallel=2, attention_data_parallel=True,
        engine={"max_batch_size": 4},
    )  # fmt: skip
    table, names = command_line.table(backend, release), command_line.environment(release)
    assert table and names
    for role, transport, router, block in itertools.product(ROLES, TRANSPORTS, (True, False), (None, 64)):
        made = backends.launch(
            backend,
            backends.Started(
                worker=worker, model_path="/m", served_model_name="a/b", role=role, transport=transport, kv_router=router,
                kv_block_tokens=block, speedup_ratio=10,
            ),
        )  # fmt: skip
        given = command_line.read(table, made.args)
        assert [each for each in given if each.fault] == []
        assert len({each.flag for each in given}) == len(given)
        assert {name for name in made.env if name.startswith("SGLANG_")} <= names


PRESETS = {"deepseek-r1-wide-ep": "gb200-prod", "glm-5-efa": "gb200-pair"}
"""The shipped stack of each preset."""


def config(preset: str, release: str) -> dict[str, Any]:
    values = copy.deepcopy(dict(stackfile.read(PRESETS[preset]).config))
    assert preset in str(values["dynamo-eks:graphs"])
    values["dynamo-eks:dynamo"] = {**values.get("dynamo-eks:dynamo", {}), "version": release}
    return values


@pytest.mark.parametrize(
    ("preset", "release"), [(name, each) for name in recipes.NAMES for each in recipes.versions(name)]
)
def test_a_preset_holds_for_the_releases_it_states(preset: str, release: str) -> None:
    """The parsers of SGLang 0.5.21 end both workers of a preset that was written for 0.5.18 with 2."""
    assert found(record(PRESETS[preset], config(preset, release), at=AT)) == []


def test_a_preset_is_refused_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.recipes, "versions", lambda name: ("1.5.0",))
    with pytest.raises(SettingsError, match=r"another preset, or dynamo.version 1.5.0: glm-5-efa is for these"):
        Settings.parse("gb200-pair", config("glm-5-efa", "1.6.1"))


@pytest.mark.parametrize(
    ("words", "level", "message"),
    [
        (["--nsa-decode-backend", "trtllm"], "fail", "a flag that dynamo.vllm of Dynamo 1.5.0 (vllm 0.28.0) has"),
        (["--kv_cache_dtype=fp7"], "fail", "says --kv-cache-dtype fp7; expected a value of --kv-cache-dtype"),
        (["--max-model-len"], "fail", "expected one value after --max-model-len"),
        (["--max-mod", "8"], None, ""),
        (["--model", "/other"], "fail", "says --model twice"),
    ],
)
def test_what_is_found(words: list[str], level: str | None, message: str) -> None:
    told = found(edit(DGD, lambda i: container(i, "worker")["args"].extend(words))(recorded(G)))
    if level is None:
        assert told == []
        return
    assert [each for each, _ in told] == [level]
    assert message in told[0][1]


def test_another_image_may_have_another_engine() -> None:
    """What is in an image of one's own is not known, so that it is only warned of."""

    def other(inputs: dict[str, Any]) -> None:
        worker = container(inputs, "worker")
        worker["image"] = "registry.example.com/vllm:1.5.0"
        worker["args"].append("--of-our-own")

    assert [level for level, _ in found(edit(DGD, other)(recorded(G)))] == ["warn"]


def test_a_release_without_tables_is_not_judged() -> None:
    image = {"image": "registry.example.com/vllm:0.9.0"}
    changed = edit(DGD, lambda i: container(i, "worker").update(image) or container(i, "worker")["args"].append("--x"))
    assert found(changed(recorded(G))) == []
