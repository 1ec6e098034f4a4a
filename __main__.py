"""From an AWS account to a served model: read the stack's settings, judge the plan, compose, export."""

import pulumi

from recording import sdk
from review import judged

# In a process of its own, which is at work while this one imports the SDK's modules below.
judging = judged.begin()

from program.serving import serving  # noqa: E402
from stacks.settings import Settings  # noqa: E402

settings = Settings.load(*sdk.configuration())
judging.end()

# Stacks on a cluster that is there need no AWS module, half of the time of a plan.
if settings.cluster.existing:
    from program.existing import place
else:
    from program.aws import place

cluster = place(settings)
served = serving(settings, cluster)

for key, value in {**cluster.outputs, **served.outputs}.items():
    pulumi.export(key, value)
