"""Command lines read by the tables, held against what the real parsers of each release answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.catalog import DYNAMO
from components.dynamo import command_line
from components.dynamo.command_line import MODULES, Table

HERE = Path(__file__).parent
LINES = yaml.safe_load((HERE / "command_lines.yaml").read_text())
ANSWERS = json.loads((HERE / "command_lines.json").read_text())

SAID = {
    "unrecognized arguments": "unknown",
    "ambiguous option": "ambiguous",
    "invalid choice": "choice",
    "expected one argument": "values",
    "expected at least one argument": "values",
    "ignored explicit argument": "values",
    "invalid": "type",
    "could not convert": "type",
    "cannot be converted": "type",
    "must be a JSON object": "type",
    "Invalid JSON": "type",
}
"""argparse's words for each kind of fault, those that hold the others last."""


def table(module: str, version: str) -> Table:
    found = command_line.table(module, version)
    assert found, f"no table of {module} for {version}: run `make flags`"
    return found


def kind(answer: str) -> str | None:
    """Kind of fault of a real parser's answer; KeyError for words that are not known here."""
    if not answer:
        return None
    found = next((kind for words, kind in SAID.items() if words in answer), None)
    assert found, answer
    return found


@pytest.mark.parametrize("version", DYNAMO)
@pytest.mark.parametrize("module", MODULES)
def test_reads_as_the_real_parsers_do(module: str, version: str) -> None:
    found = table(module, version)
    answers = ANSWERS[module][version]
    assert len(answers) == len(LINES[module]) >= 15
    for words, answer in zip(LINES[module], answers, strict=True):
        faults = {each.fault for each in command_line.read(found, words)} - {None}
        said = kind(answer)
        assert faults == ({said} if said else set()) or said in faults, (words, answer)


def test_the_answers_know_every_kind_of_fault() -> None:
    """A corpus in which nothing is refused would show nothing."""
    for module in MODULES:
        kinds = {kind(answer) for answers in ANSWERS[module].values() for answer in answers}
        assert {None, "unknown", "choice", "type"} <= kinds, module


FACTS = [
    # Named in field reports, or read by hand in the sources.
    ("vllm", "1.6.1", "-tp", "--tensor-parallel-size"),
    ("vllm", "1.6.1", "--kv-transfer-config", "--kv-transfer-config"),
    ("vllm", "1.6.1", "--tp", None),
    ("vllm", "1.5.0", "--is-prefill-worker", None),
    ("vllm", "1.4.0", "--is-prefill-worker", None),
    ("sglang", "1.5.0", "--nsa-decode-backend", "--nsa-decode-backend"),
    ("sglang", "1.6.1", "--nsa-decode-backend", None),
    ("sglang", "1.6.1", "--nsa-prefill-backend", None),
    ("sglang", "1.6.1", "--prefill-round-robin-balance", None),
    ("sglang", "1.6.1", "--dsa-decode-backend", "--dsa-decode-backend"),
    ("sglang", "1.6.1", "--cuda-graph-max-bs", None),
    ("sglang", "1.4.0", "--cuda-graph-max-bs-decode", "--cuda-graph-max-bs-decode"),
    ("sglang", "1.6.1", "--tp-size", "--tensor-parallel-size"),
    ("frontend", "1.6.1", "--router-replica-sync", "--router-replica-sync"),
    ("trtllm", "1.5.0", "--publish-kv-events", "--publish-kv-events"),
]


@pytest.mark.parametrize(("module", "version", "name", "called"), FACTS)
def test_facts_that_were_known_before(module: str, version: str, name: str, called: str | None) -> None:
    flag = table(module, version).flag(name)
    assert (flag and flag.name) == called


@pytest.mark.parametrize(
    ("module", "words", "normal"),
    [
        ("vllm", ["-tp", "2"], ["--tensor-parallel-size", "2"]),
        ("vllm", ["--tensor_parallel_size=2"], ["--tensor-parallel-size", "2"]),
        ("vllm", ["--tensor-par", "2"], ["--tensor-parallel-size", "2"]),
        ("vllm", ["--no_enforce_eager"], ["--no-enforce-eager"]),
        ("vllm", ["--kv_transfer_config.kv_role=kv_both"], ["--kv-transfer-config", '{"kv_role": "kv_both"}']),
        (
            "vllm",
            ["-cc.mode=3", "-cc.pass_config.a_b", "true", "-cc.pass_config.c", "80g", "-cc.d+", "1,x", "-cc.d", "[2]"],
            ["--compilation-config", '{"mode": 3, "pass_config": {"a_b": true, "c": 80000000000}, "d": ["1", "x", 2]}'],
        ),
        ("vllm", ["-tp", "2", "-cc.mode"], ["--tensor-parallel-size", "2", "--compilation-config"]),
        ("vllm", ["-O3"], ["--optimization-level", "3"]),
        ("sglang", ["--tensor-parallel", "2"], ["--tensor-parallel-size", "2"]),
        ("sglang", ["--max-running-requests", "-1"], ["--max-running-requests", "-1"]),
        ("trtllm", ["--trtllm.kv_cache_config.dtype", "fp8"], []),
        ("frontend", ["--router-mo", "kv"], ["--router-mode", "kv"]),
    ],
)
def test_one_name_for_each_meaning(module: str, words: list[str], normal: list[str]) -> None:
    assert command_line.normal(table(module, "1.6.1"), words) == normal


_FLAGS = {module: [name for stage in table(module, "1.6.1").stages for name in stage.by_name] for module in MODULES}


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A command line of flags under any spelling, with values that may be wrong."""
    module = draw(st.sampled_from(MODULES))
    words: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(_FLAGS[module]))
        name = draw(st.sampled_from([name, name[: len(name) - 2], name[:2] + name[2:].replace("-", "_")]))
        value = draw(st.sampled_from(["1", "auto", "-1", "x y", ""]))
        words += draw(st.sampled_from([[name], [name, value], [f"{name}={value}"], [value]]))
    return module, words


@settings(max_examples=150, deadline=None)
@given(lines())
def test_what_is_normal_stays_as_it_is(line: tuple[str, list[str]]) -> None:
    module, words = line
    found = table(module, "1.6.1")
    read = command_line.read(found, words)
    assert [each.position for each in read] == sorted(each.position for each in read)
    if any(each.fault for each in read):
        return
    once = command_line.normal(found, words)
    assert command_line.normal(found, once) == once
    assert [(each.flag, each.values) for each in command_line.read(found, once)] == [
        (each.flag, each.values) for each in read
    ]


def test_what_is_gone_is_told_with_what_stands_for_it() -> None:
    for words, expected in (
        (["--nsa-decode-backend", "trtllm"], "a flag that dynamo.sglang of Dynamo 1.6.1 (sglang 0.5.21) has; it is --dsa-decode-backend now"),
        (["--cuda-graph-max-bs", "8"], "--cuda-graph-max-bs-decode, --cuda-graph-max-bs-"),
        (["--max-runing-requests", "8"], "--max-running-requests is like it"),
        (["--disable-shared-experts-fusion=1"], "no value after"),
        (["--dsa-decode-backend", "none"], "a value of --dsa-decode-backend that dynamo.sglang of Dynamo 1.6.1 (sglang 0.5.21) takes"),
        (["--tp-size", "two"], "a whole number after --tp-size"),
        (["--tp-size"], "one value after --tp-size"),
        (["--mem-fraction-static", "most"], "a number after --mem-fraction-static"),
        (["--mm-process-config", "image"], "JSON after --mm-process-config"),
    ):  # fmt: skip
        found = table("sglang", "1.6.1")
        said = [told for each in command_line.read(found, words) if (told := command_line.expected(found, each))]
        assert expected in said[0]
    assert command_line.expected(found, command_line.read(found, ["--tp-size", "2"])[0]) is None
    for version in DYNAMO:
        # What is named instead is there to be used.
        for old, new in command_line.GONE.items():
            known = [found for module in MODULES if (found := table(module, version)).flag(new.split()[0])]
            assert known or version == "1.4.0", (old, version)


def test_environment_of_a_release() -> None:
    """The one variable whose releases are known from elsewhere: told in the binary of 1.6.1 and not before."""
    for version, release in DYNAMO.items():
        names = command_line.environment(version)
        assert names and len(names) > 1000
        assert ("DYN_NAMESPACE_PREFIX_STRICT" in names) == release.strict_prefix
        assert {"DYN_NAMESPACE", "DYN_SYSTEM_PORT", "DYN_ROUTER_MODE"} <= names


def test_patches_of_a_minor_share_a_table() -> None:
    assert command_line.table_for("vllm", "1.5.1") is table("vllm", "1.5.0")
    assert command_line.table_for("vllm", "1.6.1") is table("vllm", "1.6.1")
    assert command_line.table_for("vllm", "0.9.0") is None


def test_an_engine_reads_what_a_frontend_leaves() -> None:
    found = table("frontend", "1.6.1")
    assert [
        each.fault for each in command_line.read(found, ["--dyn-chat-processor", "vllm", "--reasoning-parser", "x"])
    ] == [None]
    assert [each.fault for each in command_line.read(found, ["--reasoning-parser", "x"])] != [None]
