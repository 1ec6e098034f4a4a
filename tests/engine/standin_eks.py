"""Stand-in for the `eks` provider: the Construct of `eks:index:Cluster`, played as `recording/eks_construct.py` lists it.

Real: the engine registers the children, asks the `aws` stand-in for each, and destroys them in its own order.
Not shown: other components of the package, the wait for a public endpoint's health, and whether the recorded list is
still what the published plugin does (a change of its version means recording it again).
"""

from __future__ import annotations

from recording.answers import Answers
from tests.engine.constructs import construct
from tests.engine.standins import StandIn


class Eks(StandIn):
    """Only Construct is ever asked of it."""

    package = "eks"

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers

    def Construct(self, request, context):
        with self._answer(context):
            return construct(self.answers, request)
