"""A share of a sweep: nothing is lost over all of them, and none is empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import share


@given(st.lists(st.integers(), max_size=40), st.integers(1, 7))
def test_every_row_is_in_a_share(rows: list[int], of: int) -> None:
    """Prevents a row that no gate ever runs."""
    with pytest.MonkeyPatch.context() as patched:
        taken = []
        for number in range(1, of + 1):
            patched.setenv("SHARE", f"{number}/{of}")
            part = share.of_this_run(rows)
            assert bool(part) == bool(rows)
            taken += part
    assert set(taken) == set(rows)
    if len(rows) >= of:
        assert sorted(taken) == sorted(rows)


def test_all_of_it_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARE", raising=False)
    assert share.of_this_run("abc") == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["2", "0/4", "5/4", "a/b", "1/-1", "1/"])
def test_a_share_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a gate that is green since it ran nothing."""
    monkeypatch.setenv("SHARE", text)
    with pytest.raises(ValueError, match="SHARE="):
        share.share()
