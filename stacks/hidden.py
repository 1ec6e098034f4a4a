"""What a plan must not see: encrypted values, and what the engine and the shell put into the environment."""

from __future__ import annotations

from collections.abc import Mapping

HIDDEN = "encrypted value, not readable offline"
"""Stands for every encrypted value in a plan, whether it was read from a file or handed over by the engine."""

_PREFIXES = ("AWS_", "PULUMI_", "KUBE")
"""Credentials, kubeconfig, provider switches, and the engine's own: there PULUMI_CONFIG holds every secret in clear."""


def is_hidden(variable: str) -> bool:
    """Whether a plan runs without this variable of the environment."""
    return variable.startswith(_PREFIXES)


def without_hidden(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a plan's process."""
    return {key: value for key, value in environment.items() if not is_hidden(key)}
