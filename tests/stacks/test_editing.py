"""An edit changes the value's own characters and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks import stackfile
from stacks.editing import as_yaml, edited, paths
from tests.conftest import STACKS

TEXT = """# ü first
config:
  aws:region: us-east-1   # where
  dynamo-eks:cluster:
    # who
    admins: [ "a" , b ]  # behind

    version: "1.35"
  dynamo-eks:graphs: {chat: {worker: {gpus: 1}}}
"""


def test_comments_blanks_and_quotes_stay() -> None:
    changed = {"aws:region": "eu-west-1", "cluster.admins": [], "graphs.chat.worker.gpus": 2, "cluster.version": "1.36"}
    assert (
        edited(TEXT, changed)
        == """# ü first
config:
  aws:region: "eu-west-1"   # where
  dynamo-eks:cluster:
    # who
    admins: []  # behind

    version: "1.36"
  dynamo-eks:graphs: {chat: {worker: {gpus: 2}}}
"""
    )


def test_an_item_of_a_list() -> None:
    assert 'admins: [ "x" , "y" ]' in edited(TEXT, {"cluster.admins[0]": "x", "cluster.admins[1]": "y"})


@pytest.mark.parametrize("path", ["cluster.name", "network", "cluster.admins[2]", "config"])
def test_what_is_not_there_is_not_made(path: str) -> None:
    with pytest.raises(KeyError):
        edited(TEXT, {path: 1})


@pytest.mark.parametrize("name", STACKS)
def test_the_same_value_reads_the_same(name: str) -> None:
    """Each text of each shipped file, put in again: the file says what it said, comment by comment."""
    file = stackfile.read(name)
    text = file.path.read_text()

    def at(path: str) -> Any:
        place: Any = {key.removeprefix("dynamo-eks:"): value for key, value in file.config.items()}
        for part in path.replace("[", ".[").split("."):
            place = place[int(part[1:-1])] if part.startswith("[") else place[part]
        return place

    every = [path for path in paths(text) if "." not in path or not path.startswith("aws:")]
    scalars = {path: at(path) for path in every if not isinstance(at(path), (dict, list))}
    assert len(scalars) > 10
    again = edited(text, scalars)
    assert yaml.safe_load(again) == yaml.safe_load(text)
    comments = [line.split("#", 1)[1] for line in text.splitlines() if line.lstrip().startswith("#")]
    assert comments == [line.split("#", 1)[1] for line in again.splitlines() if line.lstrip().startswith("#")]


_TEXT = st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs")))


@given(st.one_of(_TEXT, st.lists(_TEXT), st.integers(), st.booleans()))
def test_any_value_comes_back(value: Any) -> None:
    """A date, a version or `no` that is written without quotes is read as something else."""
    text = f"config:\n  a: {as_yaml(value)}\n"
    assert yaml.safe_load(text)["config"]["a"] == value
