"""The table of models: every row is complete, and what was counted from a config agrees with what publishers say."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from components.dynamo.models import table

PUBLISHED = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())


def test_as_many_models_as_people_serve():
    assert len(table.rows()) >= 40


@pytest.mark.parametrize("name", table.rows())
def test_a_row_is_whole(name):
    row, facts = table.rows()[name], table.known(name)
    assert facts is not None
    assert row["source"]
    assert date(2025, 1, 1) < date.fromisoformat(row["date"])
    assert facts.latent or (facts.kv_heads and facts.head_size), "what is kept of a token is not known"
    assert facts.expert_bytes < facts.weight_bytes
    assert bool(facts.experts) == bool(facts.expert_bytes) == bool(facts.active_parameters)
    assert not facts.window_layers or facts.window
    # Between four and sixteen bits a weight, with scales.
    assert 0.5 < facts.weight_bytes / facts.parameters <= 2


@pytest.mark.parametrize(
    "name", [name for name in table.rows() if re.search(r"-\d+(\.\d+)?B(-|$)", name) and "-17B-" not in name]
)
def test_a_name_that_tells_the_size_tells_the_same(name):
    facts = table.known(name)
    assert facts is not None
    total = float(re.search(r"-(\d+(?:\.\d+)?)B(-|$)", name)[1]) * 1e9  # type: ignore[index] as filtered above
    # Names of models that see leave the encoder of pictures out.
    assert facts.parameters == pytest.approx(total, rel=0.12 if "VL" in name else 0.06)
    if active := re.search(r"-A(\d+)B", name):
        # Names round, and most leave the embeddings out.
        assert facts.active_parameters == pytest.approx(int(active[1]) * 1e9, rel=0.35)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    said, facts = PUBLISHED[name], table.known(name)
    assert facts is not None
    assert facts.parameters / 1e9 == pytest.approx(said["total"], rel=0.015)
    if "active" in said:
        assert (facts.active_parameters or 0) / 1e9 == pytest.approx(said["active"], rel=0.12)
    if "bytes" in said:
        assert facts.weight_bytes == pytest.approx(said["bytes"], rel=0.001)


def test_quantised_checkpoints_are_smaller_than_what_they_were_made_of():
    for small, large, ratio in (
        ("nvidia/Qwen3-235B-A22B-NVFP4", "Qwen/Qwen3-235B-A22B", 0.29),
        ("Qwen/Qwen3-32B-FP8", "Qwen/Qwen3-32B", 0.525),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-ai/DeepSeek-R1-0528", 0.575),
    ):
        one, other = table.known(small), table.known(large)
        assert one and other
        assert one.parameters == other.parameters
        assert one.weight_bytes / other.weight_bytes == pytest.approx(ratio, rel=0.02)


def test_files_of_deepseek_in_nvfp4_are_its_modules_and_the_layer_for_speculation():
    facts = table.known("nvidia/DeepSeek-R1-0528-NVFP4-v2")
    assert facts and facts.disk_bytes
    # One layer of 256 experts and its attention in 16 bits, with an embedding and a head of its own.
    speculation = 2 * (256 * 3 * 7168 * 2048 + 2 * 129280 * 7168 + 7168 * 2 * 7168 + 190_000_000)
    assert facts.weight_bytes + speculation == pytest.approx(facts.disk_bytes, rel=0.005)


def test_case_does_not_matter_and_others_are_not_known():
    assert table.known("qwen/qwen3-32b") == table.known("Qwen/Qwen3-32B")
    assert table.known("acme/other") is None


def test_gated_and_custom_code_are_known():
    assert [name for name in table.rows() if table.known(name).gated] == [  # type: ignore[union-attr]
        name for name in table.rows() if name.startswith("meta-llama/")
    ]
    assert table.known("moonshotai/Kimi-K2.5").custom_code  # type: ignore[union-attr]
    assert not table.known("Qwen/Qwen3-32B").custom_code  # type: ignore[union-attr]
