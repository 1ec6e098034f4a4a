"""Models that people serve, with the facts that follow from their published `config.json`.

`tools/models.py` derives `table.json`; each row names its source and date. A row is made into facts when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .facts import ModelFacts

ABOUT = frozenset({"source", "date"})
"""Keys of a row that tell of the row."""


@cache
def rows() -> Mapping[str, Mapping[str, Any]]:
    """Rows as written, by repository."""
    return json.loads(Path(__file__).with_name("table.json").read_text())


@cache
def _by_name() -> Mapping[str, str]:
    return {name.lower(): name for name in rows()}


@cache
def known(repository: str) -> ModelFacts | None:
    """Facts of a repository, whose name is told apart as Hugging Face does, without regard to case; None where it is not listed."""
    name = _by_name().get(repository.lower())
    if name is None:
        return None
    row = {key: value for key, value in rows()[name].items() if key not in ABOUT}
    return ModelFacts.model_validate(row)
