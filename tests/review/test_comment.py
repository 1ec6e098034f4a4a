"""The comment of a pull request: every stack in one, whole, within what hosts take."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from review.comment import MARKER, MOST_BYTES, MOST_CHARACTERS, ORDER, Part, comment

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)
PARTS = st.lists(
    st.builds(
        Part,
        stack=st.from_regex(r"[a-z]{3,10}-[0-9]{1,4}", fullmatch=True),
        verdict=st.sampled_from(ORDER),
        line=TEXT,
        body=st.builds(lambda text, times: text * times, TEXT, st.sampled_from((0, 1, 20, 2000))),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda part: part.stack,
)


@given(PARTS)
@example([Part(stack=f"s-{n}", verdict="warns", line="é" * 400) for n in range(300)])
@example([Part(stack="one", verdict="fails", line="x", body="ü" * 70_000)])
def test_it_is_whole_and_fits(parts: list[Part]) -> None:
    """A comment that is refused is no review, and one cut in the middle of a table reads as a whole one."""
    text = comment(parts, artifact="https://example.org/run/1")
    assert text.startswith(MARKER + "\n") and text.endswith("\n")
    assert len(text) <= MOST_CHARACTERS and len(text.encode()) <= MOST_BYTES
    assert text.count("<details") >= text.count("</details>") >= 0
    shown = re.findall(r"^\| `([^`]+)` \| (\w+) \|.*\|$", text, re.M)
    more = re.search(r"^(\d+) stacks? more", text, re.M)
    assert len(shown) + (int(more[1]) if more else 0) == len(parts)
    verdicts = [ORDER.index(verdict) for _, verdict in shown]
    assert verdicts == sorted(verdicts)
    if not more:
        for part in parts:
            if part.body.strip():
                assert f"Details of `{part.stack}` are too long" in text or part.body.strip() in text


def test_small_ones_are_shown_whole() -> None:
    parts = [
        Part(stack="prod", verdict="holds", line="nothing but tags", body="updates | 3"),
        Part(stack="dev", verdict="fails", line="pool-room: a | b", body="fail pool-room"),
        Part(stack="lab", verdict="untouched", line="not touched"),
    ]
    assert comment(parts) == (
        f"{MARKER}\n### Plan of 3 stacks: 1 fails, 1 holds, 1 untouched\n\n| stack | | |\n|---|---|---|\n"
        "| `dev` | fails | pool-room: a \\| b |\n| `prod` | holds | nothing but tags |\n| `lab` | untouched | not touched |\n\n"
        "<details open><summary>dev: fails</summary>\n\nfail pool-room\n\n</details>\n\n"
        "<details><summary>prod: holds</summary>\n\nupdates | 3\n\n</details>\n"
    )


def test_what_fails_keeps_its_details_longest() -> None:
    parts = [
        Part(stack="a", verdict="holds", line="", body="h" * 30_000),
        Part(stack="b", verdict="fails", line="", body="f" * 35_000),
        Part(stack="c", verdict="warns", line="", body="w" * 20_000),
    ]
    text = comment(parts, artifact="https://example.org/run/1")
    assert "f" * 35_000 in text and "w" * 20_000 in text and "h" * 100 not in text
    assert "Details of `a` are too long for a comment: [the full report](https://example.org/run/1)." in text
