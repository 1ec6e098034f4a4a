"""Stand-in for the `eks` provider: the Construct of `eks:index:Cluster`, played as `review/eks_construct.py` lists it.

Real: the engine registers the children, asks the `aws` stand-in for each, and destroys them in its own order.
Not shown: other components of the package, the wait for a public endpoint's health, and whether the recorded list is
still what the published plugin does (a change of its version means recording it again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, resource_pb2, resource_pb2_grpc

from review.answers import Answers, ChildProperty, ChildReference, Computed
from review.graph import UNKNOWN
from tests.engine.standins import OPTIONS, StandIn, plain, struct


class Eks(StandIn):
    """Only Construct is ever asked of it."""

    package = "eks"

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers

    def Construct(self, request, context):
        with self._answer(context), grpc.insecure_channel(request.monitorEndpoint, options=OPTIONS) as channel:
            return _Construct(self.answers, request, resource_pb2_grpc.ResourceMonitorStub(channel)).run()


class _Construct:
    """One component being constructed."""

    def __init__(self, answers: Answers, request: Any, monitor: resource_pb2_grpc.ResourceMonitorStub) -> None:
        self.answers, self.request, self.monitor = answers, request, monitor
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
                object=struct(inputs),
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
