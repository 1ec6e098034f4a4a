"""`python -m tools.schema`: write stacks/stack.schema.json, which editors check stack files against."""

from __future__ import annotations

import json
from pathlib import Path

from stacks.settings import schema

FILE = Path(__file__).parents[1] / "stacks" / "stack.schema.json"


def text() -> str:
    """The schema as it is written."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
