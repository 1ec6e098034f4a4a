"""From an AWS account to a served model: read the stack's settings, compose, export."""

import pulumi

from components import platform
from stacks.settings import Settings

settings = Settings.load()

place = platform.existing_place(settings) if settings.cluster.existing else platform.aws_place(settings)
serving = platform.serving(settings, place)

for key, value in {**place.outputs, **serving.outputs}.items():
    pulumi.export(key, value)
