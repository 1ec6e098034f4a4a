"""Whole objects, compared with what was typed by hand in graphs.yaml and rack_graphs.yaml, and the decisions behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import catalog
from components.capacity.instances import instance
from components.dynamo.manifest import Surroundings, manifest
from stacks.models import Graph, ModelSource

SNAPSHOT = f"hub/models--org--small/snapshots/{'c' * 40}"
WORDS = {
    "$MODEL": f"/home/dynamo/.cache/huggingface/{SNAPSHOT}",
    "$SOURCE": f"/source/{SNAPSHOT}",
    "$KV_EVENTS": '{"enable_kv_cache_events": true, "publisher": "zmq", "topic": "kv-events", "endpoint": "tcp://*:20080"}',
}
SMALL = ModelSource(repository="org/small", revision="c" * 40)


def cases(file: str) -> dict[str, dict[str, Any]]:
    text = (Path(__file__).parent / file).read_text()
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: case for name, case in found.items() if name != "shared"}


IN_POOLS, ON_RACKS = cases("graphs.yaml"), cases("rack_graphs.yaml")


def graph(given: dict[str, Any]) -> Graph:
    """As from a stack file, whose lists are tuples here."""
    return Graph.model_validate_json(json.dumps({"model": "small", **given}))


def around(case: dict[str, Any], machine: str | None) -> Surroundings:
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in case.get("around", {}).items()}
    given["caches"] = frozenset(given.get("caches", ()))
    return Surroundings(
        release=catalog.dynamo_release(case.get("release", "1.5.0")),
        machine=instance(machine) if machine else None,
        **{"zone_names": {}, **given},
    )


def filled(item: Any) -> Any:
    """With the words in place of their signs."""
    if isinstance(item, dict):
        return {key: filled(value) for key, value in item.items()}
    if isinstance(item, list):
        return [filled(value) for value in item]
    if isinstance(item, str):
        for sign, word in WORDS.items():
            item = item.replace(sign, word)
    return item


@pytest.mark.parametrize("name", IN_POOLS)
def test_in_pools(name: str) -> None:
    """A field that is missing or one too many is told by nothing but a worker that is slow, Pending or on the wrong node."""
    case = IN_POOLS[name]
    assert manifest("chat", graph(case["graph"]), SMALL, around(case, case.get("machine"))) == filled(case["object"])


@pytest.mark.parametrize("name", ON_RACKS)
def test_on_racks(name: str) -> None:
    """The same where each hour of a wrong field costs 762 dollars."""
    case = ON_RACKS[name]
    made = manifest("chat", graph(case["graph"]), SMALL, around(case, "p6e-gb200.36xlarge"))
    assert made == filled(case["object"])
