"""docs/edits.md: every change that AWS refuses, by id. `WRITE_DOCS=1` writes it again."""

from __future__ import annotations

import os
from pathlib import Path

from recording.aws_types import CARDS
from recording.aws_types.card import SAME
from review.edits import MADE, MADE_INSTEAD, MADE_SOURCE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "edits.md"

HEAD = """# Edits that AWS refuses

Generated from the cards of AWS's types (`WRITE_DOCS=1 make test`). The provider's schema allows these changes, so that `pulumi preview`
promises an update or a replacement, and `pulumi up` fails at it, with half of what was edited done. `make up` compares the plan with the
stack's state first, and begins nothing when one of them is among the edits. *Has no effect* stands where AWS or its provider takes the
change and leaves the thing as it was; that is refused too. *Perhaps* stands where no state tells; that is said, and stops nothing.

| Id | Resource and property | AWS | What it says | Instead | Source |
|---|---|---|---|---|---|
"""

_HOW = {"refused": "refuses", "ignored": "has no effect", "perhaps": "perhaps refuses"}


def page() -> str:
    rows = [
        (
            f"`{item.id}`",
            f"{card.type.rsplit(':', 1)[-1]} `{item.property}`{', when the thing is to go' if item.gone else ''}",
            _HOW[item.how],
            item.words.format(before="*before*", after="*after*"),
            item.instead.format(before="*before*", after="*after*"),
            item.source,
        )
        for card in CARDS.values()
        for item in card.refuses
    ]
    for second, how in (("refused", "refuses"), (SAME, "has no effect")):
        types = [
            f"{card.type.rsplit(':', 1)[-1]} `{', '.join(card.told.by)}`"
            for card in CARDS.values()
            if card.told and card.told.by and card.told.second and (card.told.second == SAME) == (second == SAME)
        ]
        said = "of two with the same, the second is made while the first is there: it "
        said += "is taken for the first, and deleted with it" if second == SAME else "fails"
        rows.append((f"`{MADE}`", "; ".join(types), how, said, MADE_INSTEAD, MADE_SOURCE))
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_is_current() -> None:
    """A refusal's id is looked up at night, by somebody who has not read the code."""
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
