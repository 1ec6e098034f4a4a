"""What rules find beyond the one case each has in test_each_rule.py, each by one edit of a stack where the rule holds."""

from __future__ import annotations

import pytest

from tests.conftest import recorded
from tests.rules.test_each_rule import BY_ID, Edit

MORE: list[tuple[str, str, Edit, str]] = []  # fmt: skip
"""Rule, stack, edit, and words of what it finds."""


@pytest.mark.parametrize(
    ("rule", "stack", "change", "words"), MORE, ids=lambda part: part[:48] if isinstance(part, str) else ""
)
def test_each_finding(rule: str, stack: str, change: Edit, words: str) -> None:
    """A finding that nothing brings about may as well not be there."""
    found = [item for item in BY_ID[rule].verdicts(change(recorded(stack))) if item.verdict != "pass"]
    assert any(words in item.message for item in found), [item.message for item in found]
