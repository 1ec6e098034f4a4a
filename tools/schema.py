"""`python -m tools.schema`: write stacks/stack.schema.json, which editors check stack files against, and before it the ids
of all rules, which a stack file may name."""

from __future__ import annotations

import json
from pathlib import Path

from rules import RULES
from stacks.settings import schema

FILE = Path(__file__).parents[1] / "stacks" / "stack.schema.json"
RULE_IDS = FILE.with_name("rule_ids.json")


def text() -> str:
    """The schema as it is written."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def rule_ids() -> str:
    """The ids of all rules as they are written."""
    return json.dumps(sorted(rule.id for rule in RULES), indent=1) + "\n"


if __name__ == "__main__":
    RULE_IDS.write_text(rule_ids())
    FILE.write_text(text())
