"""Components alone under `pulumi.runtime.set_mocks`, as a program of somebody else's would test them.

The form is that of Pulumi's guide to unit tests: mocks that answer for every resource and call, and `@pulumi.runtime.test`,
which waits for all of it. Beside the mocks stands a monitor that keeps what a review asks for: parent, provider, protection
and what waits for what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import resource_pb2

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Cloud(pulumi.runtime.Mocks):
    """Gives every resource an id, or in a preview none, and what `answers` has of its type beside its inputs."""

    def __init__(
        self, preview: bool, answers: Mapping[str, Answer], calls: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    ) -> None:
        self.preview, self.answers, self.calls = preview, answers, calls

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        answer = {} if self.preview else self.answers.get(args.typ, lambda inputs: {})(args.inputs)
        state = {**args.inputs, **answer}
        return ("" if self.preview else f"{args.name}-id") if args.custom is not False else None, state

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        return self.calls[args.token](args.args)


@dataclass(frozen=True)
class Made:
    """One registered resource."""

    key: str
    """`Subnet network-private-use1-az1`: the type's last word and the name."""
    inputs: Mapping[str, Any]
    parent: str
    provider: str
    """Name of the provider, when one is named."""
    protect: bool
    waits_for: frozenset[str]


class Monitor(mocks.MockMonitor):
    """A mock monitor that keeps what was asked of it."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.made: list[Made] = []
        self._keys: dict[str, str] = {}

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)
        self._keep(request, answer.urn)
        return answer

    def ReadResource(self, request: Any) -> Any:
        answer = super().ReadResource(request)
        self._keep(request, answer.urn)
        return answer

    def _keep(self, request: Any, urn: str) -> None:
        self._keys[urn] = key = f"{request.type.rsplit(':', 1)[-1]} {request.name}"
        inputs = request.object if isinstance(request, resource_pb2.RegisterResourceRequest) else request.properties
        self.made.append(
            Made(
                key,
                json_format.MessageToDict(inputs),
                self._keys.get(request.parent, ""),
                request.provider.rsplit("::", 2)[-2] if request.provider else "",
                bool(getattr(request, "protect", False)),
                frozenset(self._keys.get(urn, urn) for urn in request.dependencies),
            )
        )


@dataclass
class Alone:
    """What a component registered, and what its outputs became."""

    component: Any = None
    made: dict[str, Made] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """Outputs by attribute, of those that are known."""
    unknown: set[str] = field(default_factory=set)
    """Attributes whose output nobody knows yet."""

    def below(self, key: str) -> set[str]:
        """Everything below a resource."""
        own = {item.key for item in self.made.values() if item.parent == key}
        return own.union(*(self.below(child) for child in own))

    def requires(self, key: str) -> set[str]:
        """Everything that a resource waits for, also by way of others and of the components that these name."""
        seen: set[str] = set()
        todo = [key]
        while todo:
            item = self.made.get(todo.pop())
            for other in item.waits_for | {item.parent} if item else ():
                if other and other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen


def alone(
    make: Callable[[], Any],
    *,
    preview: bool = False,
    answers: Mapping[str, Answer] | None = None,
    calls: Mapping[str, Callable[[Mapping[str, Any]], Any]] | None = None,
) -> Alone:
    """Make a component under mocks, wait for everything, and give back what came of it."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    settings.ROOT.set(None)
    cloud = Cloud(preview, answers or {}, calls or {})
    monitor = Monitor(cloud)
    pulumi.runtime.set_mocks(cloud, project="alone", stack="test", preview=preview, monitor=monitor)
    seen = Alone()

    @pulumi.runtime.test
    def program() -> Any:
        seen.component = component = make()

        async def look() -> None:
            for name, value in vars(component).items():
                outputs = value if isinstance(value, dict) else {"": value}
                for key, output in outputs.items():
                    if not isinstance(output, pulumi.Output):
                        continue
                    label = f"{name}.{key}" if key else name
                    if await output.is_known():
                        seen.values[label] = await output.future()
                    else:
                        seen.unknown.add(label)

        return pulumi.Output.from_input(look())

    program()
    seen.made = {item.key: item for item in monitor.made}
    return seen
