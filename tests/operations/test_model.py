"""Facts read from a model's own files, and written where they belong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.dynamo.models.facts import ModelFacts
from operations.model import NotRead, as_flow, at, in_folder, told, written
from operations.preflight.asker import Response
from operations.preflight.lines import Unasked
from stacks.editing import put

ROOT = Path(__file__).parents[2]
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "max_position_embeddings": 512,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16", "auto_map": {"AutoConfig": "x.Y"},
}  # fmt: skip
HUB = "https://huggingface.co"


def hub(answers: dict[str, object], status: int = 404):
    """A server that has these documents; what it was asked is kept."""
    asked: list[tuple[str, dict[str, str]]] = []

    def send(method: str, url: str, headers) -> Response:
        asked.append((url, dict(headers)))
        if url in answers:
            return Response(200, {}, json.dumps(answers[url]).encode())
        return Response(status, {})

    return send, asked


def model(endpoint: str = HUB, revision: str = "main", **more: object) -> dict[str, object]:
    about = {"sha": "a" * 40, "gated": "manual", "siblings": [{"rfilename": "model.safetensors", "size": 1234}]}
    return {
        f"{endpoint}/api/models/acme/mine/revision/{revision}?blobs=true": about,
        f"{endpoint}/acme/mine/resolve/{revision}/config.json": CONFIG,
        **{f"{endpoint}/acme/mine/resolve/{revision}/{name}": answer for name, answer in more.items()},
    }


def test_a_repository():
    send, asked = hub(model(**{"model.safetensors.index.json": {"metadata": {"total_size": 4321}}}))
    files = at("acme/mine", "main", send, HUB, "hf_secret")
    assert files.revision == "a" * 40
    known = told(files)
    assert (known.disk_bytes, known.gated, known.custom_code, known.format) == (4321, True, True, "bf16")
    assert known.parameters == 6400 + 2 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128)
    assert all(headers == {"Authorization": "Bearer hf_secret"} for _, headers in asked)


def test_one_file_has_no_index_and_a_mirror_is_asked_instead():
    send, asked = hub(model("http://mirror:8080", "b" * 40))
    assert told(at("acme/mine", "b" * 40, send, "http://mirror:8080", None)).disk_bytes == 1234
    assert all(url.startswith("http://mirror:8080/") and not headers for url, headers in asked)


def test_its_own_account_of_what_is_quantised_counts():
    send, _ = hub(model(**{"hf_quant_config.json": {"quantization": {"quant_algo": "FP8"}}}))
    assert told(at("acme/mine", "main", send, HUB, None)).format == "fp8"


@pytest.mark.parametrize(
    ("status", "token", "words"),
    [
        (401, None, "set HF_TOKEN"),
        (403, "t", "the token has no right"),
        (404, None, "answered 404"),
        (500, None, "answered 500"),
    ],
)
def test_what_is_refused_is_said(status, token, words):
    with pytest.raises(NotRead, match=words):
        at("acme/mine", "main", hub({}, status)[0], HUB, token)


def test_nobody_answers():
    with pytest.raises(NotRead, match="was not reached: no route"):
        at("acme/mine", "main", lambda *_: Unasked("no route"), HUB, None)


def folder(path: Path, config: object = CONFIG) -> Path:
    path.joinpath("config.json").write_text(json.dumps(config))
    path.joinpath("model.safetensors").write_bytes(b"\0" * 5000)
    return path


def test_a_folder(tmp_path):
    known = told(in_folder(folder(tmp_path)))
    assert known.disk_bytes == 5000
    tmp_path.joinpath("model.safetensors.index.json").write_text('{"metadata": {"total_size": 99}}')
    assert told(in_folder(tmp_path)).disk_bytes == 99
    with pytest.raises(NotRead, match=r"has no config\.json"):
        in_folder(tmp_path / "..")


def test_a_layout_that_is_not_known_is_as_large_as_its_files(tmp_path):
    config = {
        **CONFIG, "architectures": ["OtherForCausalLM"], "num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 4,
    }  # fmt: skip
    known = told(in_folder(folder(tmp_path, config)))
    assert known.weight_bytes == known.disk_bytes == 5000
    assert known.parameters == 2500
    # 2 layers of 4 experts of three matrices of 64 by 4 would be more than there is.
    assert known.expert_bytes == 4900
    assert known.active_parameters == 2500 - 2450 + 2450 // 4
    tmp_path.joinpath("model.safetensors").unlink()
    with pytest.raises(NotRead, match="state the facts by hand"):
        told(in_folder(tmp_path))


@pytest.mark.parametrize(
    "config", [{**CONFIG, "vocab_size": None}, {"architectures": ["CLIPModel"]}, {**CONFIG, "hidden_size": "x"}]
)
def test_what_is_no_language_model_is_said(config, tmp_path):
    with pytest.raises(NotRead):
        told(in_folder(folder(tmp_path, config)))


STACK = """# A comment.
config:
  dynamo-eks:models:
    flow: {repository: acme/mine, revision: "%s", gated: true}  # one line
    block:
      repository: acme/Mine
      revision: "%s"  # pinned
      gated: true
    other: {repository: acme/other, revision: "%s"}
""" % (("a" * 40,) * 3)


def test_facts_are_written_at_every_model_of_the_repository(tmp_path):
    known = told(in_folder(folder(tmp_path)))
    config = yaml.safe_load(STACK)["config"]
    text, keys = written(STACK, config, "ACME/mine", known)
    assert keys == ["flow", "block"]
    models = yaml.safe_load(text)["config"]["dynamo-eks:models"]
    for key in keys:
        assert ModelFacts.model_validate(models[key]["facts"]) == known
        assert models[key]["gated"] is True
    assert "facts" not in models["other"]
    assert "# A comment." in text and "# one line" in text and "# pinned\n      facts: {" in text
    # Once more is the same.
    assert written(text, yaml.safe_load(text)["config"], "acme/mine", known) == (text, keys)


def test_facts_in_block_style_are_replaced():
    text = "config:\n  dynamo-eks:models:\n    a:\n      revision: x\n      facts:\n        layers: 1\n        format: bf16\n    b: {revision: y}\n"
    assert put(text, "models.a", "facts", "{layers: 2}", after="revision") == (
        "config:\n  dynamo-eks:models:\n    a:\n      revision: x\n      facts: {layers: 2}\n    b: {revision: y}\n"
    )
    with pytest.raises(KeyError):
        put(text, "models.c", "facts", "{}", after="revision")


def test_values_are_yaml_whatever_they_are(tmp_path):
    known = told(in_folder(folder(tmp_path)))
    assert ModelFacts.model_validate(yaml.safe_load(as_flow(known))) == known


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "operations.model", *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command(tmp_path):
    ended = run("--repository", "acme/mine", "--folder", str(folder(tmp_path)))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("# acme/mine\nfacts: {parameters: ")
    ended = run("--folder", str(tmp_path / "absent"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "has no config.json" in ended.stderr and len(ended.stderr.splitlines()) == 1
    ended = run("--folder", str(tmp_path), "--stack", "g6e-dev")
    assert ended.returncode == 2 and "make model REPOSITORY=" in ended.stderr
    ended = run("--repository", "acme/mine", "--folder", str(tmp_path), "--stack", "g6e-dev")
    assert ended.returncode == 2 and "has no model of acme/mine" in ended.stderr
