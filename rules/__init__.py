"""Rules over a recorded stack: used by the plan, by the tests and by a policy pack."""

from rules import (  # noqa: F401 they register
    capacity,
    cluster,
    command_lines,
    graphs,
    idle,
    images,
    interruptions,
    models,
    network,
    objects,
    order,
    secrets,
    storage,
    ultraservers,
)
from rules.model import RULES, Finding, Looked, Rule, Verdict, judge

__all__ = ["RULES", "Finding", "Looked", "Rule", "Verdict", "judge"]
