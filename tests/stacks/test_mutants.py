"""A few hundred of the stack files that somebody might write by mistake; tests/engine/test_mutated_stacks.py plans thousands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stacks import stackfile
from stacks.settings import Settings, SettingsError, schema
from stacks.stackfile import StackFile, StackFileError
from tests.conftest import AT
from tests.stacks import mutants
from tests.stacks.mutants import Mutant
from tests.stacks.test_faults_page import declared

SAMPLE = [*mutants.edited(400), *mutants.cut(200)]


def read(mutant: Mutant) -> StackFile | str:
    """The file when it is good, what is told of it otherwise."""
    try:
        file = stackfile.parse(mutant.stack, Path("mutant.yaml"), mutant.text)
        Settings.parse(file.stack, file.config, frozenset(file.secret_keys), at=AT, source=file)
    except (StackFileError, SettingsError) as error:
        return str(error)
    return file


def instance(file: StackFile) -> dict[str, Any]:
    """What an editor's schema sees of a file."""
    config = {key: value for key, value in file.config.items() if not key.startswith("pulumi:")}
    encrypted = {key: {"secure": "v1:x"} for key, value in config.items() if value == stackfile.HIDDEN}
    return {"config": config | encrypted}


@pytest.fixture(scope="module")
def answers() -> list[tuple[Mutant, StackFile | str]]:
    return [(mutant, read(mutant)) for mutant in SAMPLE]


def test_a_mistake_is_told_with_its_place(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """A traceback names a line of the program and no key of the file."""
    told = [(mutant, answer) for mutant, answer in answers if isinstance(answer, str)]
    assert len(told) > 300
    for mutant, answer in told:
        name = f"stacks/Pulumi.{mutant.stack}.yaml"
        assert answer.startswith(name), mutant
        faults = answer.count("    expected  ")
        assert faults == 0 or answer.count(f"    at        {name}:") == faults, (mutant, answer)
        assert "Error" not in answer, (mutant, answer)


def test_what_the_reader_takes_the_schema_takes(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """An editor that underlines what is right teaches people to ignore it."""
    validator = jsonschema.Draft202012Validator(schema())
    good = [(mutant, answer) for mutant, answer in answers if isinstance(answer, StackFile)]
    assert len(good) > 60
    wrong = {
        mutant.what: [error.message[:200] for error in validator.iter_errors(instance(file))] for mutant, file in good
    }
    assert {what: errors for what, errors in wrong.items() if errors} == {}


BEYOND = {
    "is the name of another key": (
        "model-unknown pool-unknown rack-unknown rack-of-role-differs nat-zone-unknown pool-zone-unknown zone-outside-pool "
        "zone-outside-network reservation-zone-outside-pool reservation-zone-outside-network gated-model-without-token"
    ),
    "is a type of that pool, a zone of that region, a flag of that release": (
        "instance-type-outside-pool instance-type-without-efa reservation-type-outside-pool zone-of-other-region "
        "rack-zone-of-other-region zone-of-wrong-type zone-without-control-plane argument-wrong gpus-beyond-node "
        "efa-beyond-node rack-gpus-beyond-node rack-efa-beyond-node"
    ),
    "is a sum, a product or a share": (
        "gpus-not-parallelism nodes-not-parallelism expert-parallel-ranks reserved-room rack-room any-rack-room "
        "rack-gpus-left-over rack-gpus-share-channel rack-efa-unfair huge-pages-wrong disk-iops-per-gib too-many-pods "
        "disk-throughput-per-iops download-memory network-ranges-overlap zones-beyond-region"
    ),
    "is earlier or later than another moment": "block-start-after-end block-too-long block-too-far drain-longer-than-block",
    "follows from what a preset brings along or a default says": (
        "compute-domain-wrong compute-domain-off-rack compute-domain-missing graph-roles pool-limit-missing "
        "huge-pages-without-efa multinode-in-pool weights-off-rack data-parallel-of-trtllm rollout-stands-still"
    ),
}
"""What the schema leaves to the plan: whether a value …"""


def test_the_schema_sees_most_mistakes(answers: list[tuple[Mutant, StackFile | str]]) -> None:
    """What is underlined while it is typed never gets to a plan. A file that has a fault beyond those left to the plan is one it should have seen."""
    validator = jsonschema.Draft202012Validator(schema())
    beyond = {id_ for ids in BEYOND.values() for id_ in ids.split()}
    edited = [(mutant, answer) for mutant, answer in answers if mutant.what != "cut"]
    unseen = []
    for mutant, answer in edited:
        if isinstance(answer, str):
            try:
                file = stackfile.parse(mutant.stack, Path("mutant.yaml"), mutant.text)
            except StackFileError:
                continue
            if validator.is_valid(instance(file)):
                unseen.append((mutant.what, set(re.findall(r"^ {4}id {8}(\S+)$", answer, re.M))))
    assert len(edited) > 350
    assert len(unseen) < 0.1 * len(edited), unseen
    could = [(what, ids - beyond) for what, ids in unseen if ids - beyond]
    assert len(could) < 0.02 * len(edited), "\n".join(map(str, could))


def test_what_is_left_to_the_plan_is_a_fault() -> None:
    """Prevents an excuse for a fault that has another id by now."""
    assert {id_ for ids in BEYOND.values() for id_ in ids.split()} - declared() == set()
