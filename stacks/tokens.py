"""What looks like a secret in clear: shapes of tokens, and variables that hold nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

SHAPES: Mapping[str, str] = {
    "Hugging Face": r"hf_[A-Za-z0-9]{20,}",
    "NVIDIA NGC": r"nvapi-[A-Za-z0-9_-]{20,}",
    "AWS access key": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "GitHub": r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
    "GitLab": r"glpat-[A-Za-z0-9_-]{20,}",
    "OpenAI, Anthropic and those who follow them": r"sk-[A-Za-z0-9_-]{20,}",
    "Slack": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "Google": r"AIza[A-Za-z0-9_-]{35}",
    "Pulumi": r"pul-[0-9a-f]{40}",
    "Docker Hub": r"dckr_pat_[A-Za-z0-9_-]{20,}",
    "PyPI": r"pypi-[A-Za-z0-9_-]{50,}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "a password in an address": r"[a-z][a-z0-9+.-]*://[^\s:/@]+:[^\s/@]+@",
    "a signed token (JWT)": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
"""Shapes by who gives such tokens out (their documentation; the same shapes as in the rules of gitleaks, looked up 2026-11-25)."""

_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(SHAPES.values()) + r")|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")

_VARIABLE = re.compile(
    r"(?:^|_)(?:API_?KEY|SECRET|SECRET_(?:ACCESS_)?KEY|PASSWORD|PASSWD|PRIVATE_KEY|TOKEN)$", re.IGNORECASE
)
"""Names of variables that hold a secret: `AWS_SECRET_ACCESS_KEY`, `OPENAI_API_KEY`, `AWS_SESSION_TOKEN`."""

_NO_SECRET = re.compile(r"(?i)^(|true|false|none|null|empty|[0-9.]+|[/~.].*|<[^<>]*>)$")
"""What such a variable may hold all the same: nothing, a switch, a number, a path, a mark such as <think>."""


_MARKS = re.compile(r"^(BOS|EOS|PAD|UNK|SEP|CLS|MASK|STOP|IMAGE|VIDEO|AUDIO|THINK|TOOL)_TOKEN$", re.IGNORECASE)
"""Names of marks in a text, which are no secrets."""


def is_argument(flag: str, argument: str) -> bool:
    """Whether `--flag=value` gives a secret in clear, by the flag's name."""
    name, _, value = argument.partition("=")
    return name == flag and flag.startswith("--") and is_secret(flag.lstrip("-").replace("-", "_"), value)


def is_token(text: str) -> bool:
    """Whether a text holds something shaped like a token."""
    return _TOKEN.search(text) is not None


def is_secret(variable: str, value: str) -> bool:
    """Whether a variable of the environment is given a secret in clear, by its value's shape or by its name."""
    named = _VARIABLE.search(variable) is not None and not _MARKS.match(variable)
    return is_token(value) or (named and not _NO_SECRET.match(value))
