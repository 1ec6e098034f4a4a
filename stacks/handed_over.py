"""A running stack's configuration, as the engine hands it to the program's process."""

from __future__ import annotations

from collections.abc import Mapping


def configuration() -> tuple[Mapping[str, str], frozenset[str]]:
    """Values as text by full key (`dynamo-eks:network`), objects as JSON, and the keys whose value the stack keeps
    encrypted; here they are in clear. A key counts as encrypted when any value below it is."""
    import pulumi
    from pulumi.runtime.config import CONFIG, get_config_env

    values = {**get_config_env(), **CONFIG.get()}
    return values, frozenset(key for key in values if pulumi.runtime.is_config_secret(key))
