"""Play a remote component: register its children through the engine's monitor, as `recording/answers.py` lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import Any

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, resource_pb2, resource_pb2_grpc

from recording.answers import Answers
from recording.graph import UNKNOWN
from recording.world import Child, ChildProperty, ChildReference, Computed
from tests.engine.standins import OPTIONS, plain, struct

Complete = Callable[[Child, dict[str, Any]], dict[str, Any]]
"""Adds to a child's inputs what the list leaves out."""


def construct(
    answers: Answers, request: Any, complete: Complete = lambda child, inputs: inputs
) -> provider_pb2.ConstructResponse:
    """Answer a Construct: the component and its children are registered when this returns."""
    with grpc.insecure_channel(request.monitorEndpoint, options=OPTIONS) as channel:
        return _Construct(answers, request, complete, resource_pb2_grpc.ResourceMonitorStub(channel)).run()


class _Construct:
    """One component being constructed."""

    def __init__(
        self, answers: Answers, request: Any, complete: Complete, monitor: resource_pb2_grpc.ResourceMonitorStub
    ) -> None:
        self.answers, self.request, self.complete, self.monitor = answers, request, complete, monitor
        self.registered: dict[str, resource_pb2.RegisterResourceResponse] = {}

    def run(self) -> provider_pb2.ConstructResponse:
        request = self.request
        children, outputs, _ = self.answers.construct(request.type, request.name, plain(request.inputs))
        component = self._register(
            type=request.type,
            name=request.name,
            parent=request.parent,
            custom=False,
            object=request.inputs,
            dependencies=list(request.dependencies),
            protect=request.protect,
            retainOnDelete=request.retainOnDelete,
            deletedWith=request.deletedWith,
            providers=dict(request.providers),
        )
        for child in children:
            flows: dict[str, set[str]] = {}
            known = self._known(child.depends_on)
            inputs = {
                key: self._resolve(item, known, flows.setdefault(key, set())) for key, item in child.inputs.items()
            }
            for key in child.uses:
                flows.setdefault(key, set()).update(request.inputDependencies[key].urns)
            package = child.type.split(":", 1)[0]
            after = {self.registered[name].urn for name in child.depends_on}.union(*flows.values())
            self.registered[child.name] = self._register(
                type=child.type,
                name=child.name,
                parent=self.registered[child.parent].urn if child.parent else component.urn,
                custom=child.custom,
                version=_version(child.type),
                object=struct(self.complete(child, inputs)),
                provider=request.providers[package] if child.custom and package in request.providers else "",
                dependencies=sorted(after),
                propertyDependencies={
                    key: resource_pb2.RegisterResourceRequest.PropertyDependencies(urns=sorted(flows.get(key, ())))
                    for key in inputs
                },
                ignoreChanges=list(child.ignore_changes),
            )
        state = struct_pb2.Struct()
        made_of = [value.name for value in outputs.values() if isinstance(value, ChildReference)]
        state.update({key: self._output(value, self._known(made_of)) for key, value in outputs.items()})
        self.monitor.RegisterResourceOutputs(
            resource_pb2.RegisterResourceOutputsRequest(urn=component.urn, outputs=state)
        )
        return provider_pb2.ConstructResponse(urn=component.urn, state=state)

    def _register(self, **fields: Any) -> resource_pb2.RegisterResourceResponse:
        return self.monitor.RegisterResource(
            resource_pb2.RegisterResourceRequest(
                **fields, acceptSecrets=True, acceptResources=True, supportsPartialValues=True
            )
        )

    def _known(self, names: Iterable[str]) -> bool:
        """Whether what is made from these children is known: always but in a preview that will make one of them."""
        return not self.request.dryRun or all(self.registered[name].id for name in names)

    def _resolve(self, value: Any, known: bool, flows: set[str]) -> Any:
        """A child's input with its siblings' properties in place; `flows` collects the siblings they came from."""
        if isinstance(value, ChildProperty):
            sibling = self.registered[value.name]
            flows.add(sibling.urn)
            return plain(sibling.object).get(value.property, UNKNOWN)
        if isinstance(value, Computed):
            return value.value if known else UNKNOWN
        if isinstance(value, Mapping):
            return {key: self._resolve(item, known, flows) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._resolve(item, known, flows) for item in value]
        return value

    def _output(self, value: Any, known: bool) -> Any:
        if isinstance(value, ChildReference):
            child = self.registered[value.name]
            return {
                rpc._special_sig_key: rpc._special_resource_sig,
                "urn": child.urn,
                "id": child.id or rpc.UNKNOWN,
            }
        if isinstance(value, Mapping):
            return {key: self._output(item, known) for key, item in value.items()}
        return value if known else rpc.UNKNOWN


def _version(type_: str) -> str:
    """The SDK version that goes with a type; the component's own build names one too."""
    package = type_.split(":")[2] if type_.startswith("pulumi:providers:") else type_.split(":", 1)[0]
    return metadata.version(f"pulumi_{package}")
