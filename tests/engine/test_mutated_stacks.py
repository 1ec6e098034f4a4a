"""Thousands of stack files that somebody might write by mistake, each planned to the end. No engine is needed; it takes minutes."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from pathlib import Path

import pulumi
import pytest
from rich.console import Console

from review import plan, report
from stacks import stackfile
from stacks.stackfile import StackFileError
from tests.conftest import AT
from tests.stacks import mutants
from tests.stacks.mutants import Mutant

PARTS = 8
EDITED, CUT = 2000, 500
SECONDS = 10


def outcome(mutant: Mutant, folder: Path) -> str:
    """How the command would end: 0, 1 or 2. Anything else is raised."""
    path = folder / "mutant.yaml"
    path.write_text(mutant.text)
    try:
        made = plan.make(stackfile.read(mutant.stack, path), at=AT)
    except (StackFileError, pulumi.RunError) as error:
        assert str(error).startswith(f"stacks/Pulumi.{mutant.stack}.yaml"), error
        return "2"
    spoke = [item for item in made.verdicts if item.of == "program" and item.verdict != "pass"]
    assert not spoke, f"accepted, and the program makes of it what it promises not to: {spoke}"
    json.dumps(report.as_json(made))
    report.print_text(made, Console(file=io.StringIO(), width=140))
    return "1" if made.failed else "0"


@pytest.mark.sweep("part")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_mistake_ends_in_an_exit_code(part: int, tmp_path: Path) -> None:
    """A traceback at night names a line of the program and no key of the file; a plan that never ends names nothing."""
    ends: Counter[str] = Counter()
    for mutant in [*mutants.edited(EDITED), *mutants.cut(CUT)][part::PARTS]:
        began = time.process_time()
        try:
            ends[outcome(mutant, tmp_path)] += 1
        except Exception as error:
            raise AssertionError(f"{mutant.stack}: {mutant.what}\n{mutant.text}") from error
        assert time.process_time() - began < SECONDS, mutant
    assert sum(ends.values()) == (EDITED + CUT) // PARTS + (part < (EDITED + CUT) % PARTS)
    # A failing rule is rarer than a part is large.
    assert ends["0"] and ends["2"] and set(ends) <= {"0", "1", "2"}, ends
