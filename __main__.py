"""From an AWS account to a served model: read the stack's settings, judge the plan, compose, export."""

import pulumi

from review import judged

# In a process of its own, which is at work while this one imports the SDK's modules below.
judging = judged.begin()

from components import composition  # noqa: E402
from stacks.settings import Settings  # noqa: E402

settings = Settings.load()
judging.end()

place = composition.existing_place(settings) if settings.cluster.existing else composition.aws_place(settings)
serving = composition.serving(settings, place)

for key, value in {**place.outputs, **serving.outputs}.items():
    pulumi.export(key, value)
