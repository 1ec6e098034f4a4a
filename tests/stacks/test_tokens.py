"""A secret in a stack file is read by whoever reads the repository, the plan or the pod."""

from __future__ import annotations

import pytest

from stacks.tokens import SHAPES, is_secret, is_token
from tests.stacks.edited import told

TOKENS = {
    "Hugging Face": "hf_" + "a" * 34,
    "NVIDIA NGC": "nvapi-" + "a-_" * 10,
    "AWS access key": "ASIA" + "A" * 16,
    "GitHub": "github_pat_" + "a" * 40,
    "GitLab": "glpat-" + "a" * 20,
    "OpenAI, Anthropic and those who follow them": "sk-proj-" + "a" * 24,
    "Slack": "xoxb-" + "1" * 12,
    "Google": "AIza" + "a" * 35,
    "Pulumi": "pul-" + "0" * 40,
    "Docker Hub": "dckr_pat_" + "a" * 27,
    "PyPI": "pypi-" + "a" * 60,
    "npm": "npm_" + "a" * 36,
    "a password in an address": "postgres://me:hunter2@db/x",
    "a signed token (JWT)": "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12,
}


def test_each_shape_has_its_case() -> None:
    assert set(TOKENS) == set(SHAPES)


@pytest.mark.parametrize(
    "token", [*TOKENS.values(), "-----BEGIN RSA PRIVATE KEY-----", "AKIA" + "Z" * 16, "ghs_" + "a" * 36]
)
def test_tokens(token: str) -> None:
    assert is_token(token) and is_token(f"--key={token}") and is_secret("ANYTHING", f"Bearer {token}")
    assert not is_token(f"x{token}") or token.startswith(("-", "postgres"))


@pytest.mark.parametrize(
    "text", ["sk-", "hf_transfer", "task-" + "a" * 30, "Qwen/Qwen3-32B", "1.5.0", "npm_config", "a" * 64]
)
def test_no_tokens(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", True),
        ("AWS_SESSION_TOKEN", "abc", True),
        ("OPENAI_API_KEY", "secret", True),
        ("openai_apikey", "secret", True),
        ("DB_PASSWORD", "hunter2", True),
        ("VLLM_API_KEY", "", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("MAX_TOKENS", "4096", False),
        ("STOP_TOKEN", "<|im_end|>", False),
        ("BOS_TOKEN", "im_start", False),
        ("DB_URL", "postgres://u:pw@h/db", True),
        ("DB_URL", "postgres://h:5432/db", False),
        ("PAD_TOKEN", "0", False),
        ("SSL_PRIVATE_KEY", "/etc/tls/key.pem", False),
        ("SECRETS_FOLDER", "abc", False),
    ],
)
def test_variables(variable: str, value: str, secret: bool) -> None:
    """Named so, it is one, whatever it looks like; a number or a path is none."""
    assert is_secret(variable, value) is secret


def test_the_file_is_refused_and_shows_nothing() -> None:
    env = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
    for words in (["--api-key", "s3cr3tvalue"], ["--api-key=s3cr3tvalue"]):
        lines = told("ordinary", {"graphs.chat.worker.extraArgs": words})
        assert lines and all("[hidden]" in line and "s3cr3t" not in line for line in lines)
    assert (
        told("ordinary", {"graphs.chat.worker.extraArgs": ["--custom-jinja-template", "/x", "--max-model-len", "7"]})
        == []
    )
    (line,) = told("ordinary", {"graphs.chat.worker.env": env})
    assert line.startswith('graphs.chat.worker.env.AWS_SECRET_ACCESS_KEY | given "[hidden]"') and "wJalr" not in line
