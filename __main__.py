"""From an AWS account to a served model: read the stack's settings, compose, export."""

import pulumi

from components import composition
from stacks.settings import Settings

settings = Settings.load()

place = composition.existing_place(settings) if settings.cluster.existing else composition.aws_place(settings)
serving = composition.serving(settings, place)

for key, value in {**place.outputs, **serving.outputs}.items():
    pulumi.export(key, value)
