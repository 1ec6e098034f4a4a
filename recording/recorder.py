"""Run the real `__main__.py` without an engine and keep every request it makes.

The monitor below takes the place of the engine's resource monitor. It answers registrations and reads from `answers.py`
and keeps the requests themselves (parent, provider, dependencies, protect ...), because these are what a reviewer
cares about and attributes of component objects are not. The plan and the tests use this one recorder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import runpy
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import resource_pb2

from recording import sdk
from recording.answers import Answers
from recording.graph import SECRET, UNKNOWN, Graph, Node, Read
from recording.world import ChildProperty, ChildReference, Computed
from stacks.hidden import is_hidden
from stacks.settings import CLOCK, SOURCE
from stacks.stackfile import as_wire

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "dynamo-eks"


def _plain(value: Any, secrets: list[str] | None = None, clear: bool = False) -> Any:
    """A protobuf value as plain data. Secrets become `[secret]` (unless `clear`), references their URN, unknowns UNKNOWN."""
    if isinstance(value, struct_pb2.Struct):
        fields = value.fields
        if sdk.SIGNATURE in fields:
            signature = fields[sdk.SIGNATURE].string_value
            if signature == sdk.SECRET_SIGNATURE:
                if secrets is not None:
                    secrets.append("")
                return _value(fields["value"], None, True) if clear else SECRET
            if signature == sdk.RESOURCE_SIGNATURE:
                return fields["urn"].string_value
            return {key: _value(fields[key], None, clear) for key in sorted(fields) if key != sdk.SIGNATURE}
        # A protobuf map has another order in each process.
        return {key: _value(fields[key], secrets, clear) for key in sorted(fields)}
    if isinstance(value, struct_pb2.ListValue):
        return [_value(item, secrets, clear) for item in value.values]
    return value


def _value(value: struct_pb2.Value, secrets: list[str] | None, clear: bool) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == sdk.UNKNOWN else value.string_value
    if kind == "struct_value":
        return _plain(value.struct_value, secrets, clear)
    if kind == "list_value":
        return _plain(value.list_value, secrets, clear)
    if kind == "number_value":
        number = value.number_value
        return int(number) if number == int(number) else number
    if kind == "bool_value":
        return value.bool_value
    return None


def _wire(value: Any) -> Any:
    """Plain data back to what a Struct takes: UNKNOWN becomes the engine's marker."""
    if value == UNKNOWN:
        return sdk.UNKNOWN
    if isinstance(value, Mapping):
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_wire(item) for item in value]
    return value


def _previewed(computed: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a preview adds to the inputs: every computed leaf that they do not give already, unknown."""
    unknown: dict[str, Any] = {}
    for key, item in computed.items():
        given = inputs.get(key)
        if isinstance(item, Mapping) and sdk.SIGNATURE not in item:
            unknown[key] = _previewed(item, given if isinstance(given, Mapping) else {})
        elif given is None:
            unknown[key] = UNKNOWN
    return unknown


def _merge(struct: struct_pb2.Struct, extra: Mapping[str, Any]) -> None:
    """Lay computed properties over the inputs, deep, so that a computed leaf in `vpcConfig` keeps its siblings."""
    for key, item in extra.items():
        current = struct.fields.get(key)
        if isinstance(item, Mapping) and current is not None and current.WhichOneof("kind") == "struct_value":
            _merge(current.struct_value, item)
        else:
            struct.update({key: _wire(item)})


class Monitor(sdk.Monitor):
    """Takes the engine's place: keeps every request, answers from `Answers`."""

    def __init__(self, answers: Callable[[], Answers], preview: bool) -> None:
        super().__init__()
        self._make_answers = answers
        self.preview = preview
        self.nodes: list[Node] = []
        self.reads: list[Read] = []
        self.stack_outputs: dict[str, Any] = {}
        self.component_outputs: dict[str, dict[str, Any]] = {}
        self._key_of: dict[str, str] = {}
        self._parent_urn: dict[str, str] = {}

    @cached_property
    def answers(self) -> Answers:
        return self._make_answers()

    # --- requests of the program -----------------------------------------------------------------------------------

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """URN with the full chain of parent types, as the engine makes it (MockMonitor keeps only the last one)."""
        if parent:
            chain = parent.split("::")[2]
            if chain != "pulumi:pulumi:Stack":
                type_ = f"{chain}${type_}"
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{type_}::{name}"

    def RegisterResource(self, request):
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=self.make_urn("", request.type, request.name))
        urn = self.make_urn(request.parent, request.type, request.name)
        if urn in self.resources:
            raise ValueError(f"{request.type} {request.name!r} is registered twice; the engine refuses duplicate URNs")
        self._parent_urn[urn] = request.parent
        secrets: list[str] = []
        inputs, secret_inputs = {}, []
        for key, item in sorted(request.object.fields.items(), key=lambda pair: pair[0]):
            found = len(secrets)
            inputs[key] = _value(item, secrets, False)
            if len(secrets) > found:
                secret_inputs.append(key)
        order = len(self.nodes)
        self.nodes.append(None)  # type: ignore[arg-type] keeps the component before the children its Construct makes
        if request.remote:
            id_, computed = "", self._construct(request, urn, inputs)
        elif request.custom:
            id_, computed = self.answers.created(request.type, request.name, inputs)
            if self.preview:
                id_, computed = "", _previewed(computed, inputs)
        else:
            id_, computed = "", {}
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        _merge(state, computed)
        self._remember(urn, id_, state)
        self._key_of[urn] = f"{request.type}::{request.name}"
        self.nodes[order] = self._node(request, order, urn, id_, inputs, tuple(secret_inputs), computed)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=state)

    def ReadResource(self, request):
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.id == sdk.UNKNOWN:
            # What is named by an unknown id is not read, in the engine either: all of it is unknown.
            return resource_pb2.ReadResourceResponse(urn=urn, properties=request.properties)
        inputs = _plain(request.properties)
        _, computed = self.answers.created(request.type, request.name, inputs)
        self.reads.append(Read(f"{request.type} {request.id}", inputs, computed, self._provider(request)))
        state = struct_pb2.Struct()
        state.CopyFrom(request.properties)
        _merge(state, computed)
        self._remember(urn, request.id, state)
        return resource_pb2.ReadResourceResponse(urn=urn, properties=state)

    def Invoke(self, request):
        arguments = _plain(request.args)
        if request.tok == "pulumi:pulumi:getResource":
            found = self.resources.get(arguments["urn"])
            if found is None:
                raise LookupError(f"{arguments['urn']} is not registered")
            answer: Mapping[str, Any] = found._asdict()
        else:
            answer = self.answers.read(request.tok, arguments)
            self.reads.append(Read(request.tok, arguments, answer, self._provider(request)))
        result = struct_pb2.Struct()
        result.update(_wire(answer))
        response: Any = {"return": result}  # a keyword of Python
        return resource_pb2.ResourceInvokeResponse(**response)

    def RegisterResourceOutputs(self, request):
        outputs = _plain(request.outputs)
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            self.stack_outputs = outputs
        else:
            self.component_outputs[request.urn] = outputs
        return empty_pb2.Empty()

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def _provider(self, request) -> str | None:
        """Key of the provider a request names as `urn::id`."""
        return self._key_of.get(request.provider.rsplit("::", 1)[0]) if request.provider else None

    def _remember(self, urn: str, id_: str, state: struct_pb2.Struct) -> None:
        # A resource reference is resolved by an invoke that answers this registration; markers of unknowns stay.
        self.resources[urn] = self.ResourceRegistration(urn, id_, _plain(state, None, True))

    def _node(self, request, order: int, urn: str, id_: str, inputs, secret_inputs, computed) -> Node:
        own = self._ancestors(request.parent)
        depends = dict.fromkeys(request.dependencies)
        for property_dependencies in request.propertyDependencies.values():
            depends.update(dict.fromkeys(property_dependencies.urns))
        keys = [self._key_of[item] for item in depends if item in self._key_of and item not in own]
        package = request.type.split(":", 1)[0]
        provider = self._provider(request)
        given = getattr(request, "providers", {})
        if provider is None and request.remote and package in given:
            provider = self._key_of.get(given[package].rsplit("::", 1)[0])
        mismatch = bool(provider) and not request.remote and provider.split("::")[0] != f"pulumi:providers:{package}"
        timeouts = {
            name: getattr(request.customTimeouts, name)
            for name in ("create", "update", "delete")
            if getattr(request.customTimeouts, name)
        }
        return Node(
            order=order + 1,
            type=request.type,
            name=request.name,
            urn=urn,
            parent=self._key_of.get(request.parent),
            provider=provider,
            provider_mismatch=mismatch,
            # The SDK hands them over in another order each run.
            depends_on=tuple(sorted(keys)),
            inputs=inputs,
            outputs={**inputs, **{key: value for key, value in computed.items() if not isinstance(value, Mapping)}},
            id=id_ or (UNKNOWN if request.custom else ""),
            custom=request.custom,
            remote=request.remote,
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            deleted_with=self._key_of.get(request.deletedWith),
            delete_before_replace=request.deleteBeforeReplace,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            replace_with=tuple(sorted(self._key_of[item] for item in request.replace_with if item in self._key_of)),
            replacement_trigger=_value(request.replacement_trigger, None, False)
            if request.HasField("replacement_trigger")
            else None,
            timeouts=timeouts,
            aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases),
            secret_inputs=secret_inputs,
        )

    def _ancestors(self, urn: str) -> set[str]:
        chain = set()
        while urn:
            chain.add(urn)
            urn = self._parent_urn.get(urn, "")
        return chain

    def _construct(self, request, urn: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Play a remote component's Construct: register its children and answer its outputs."""
        children, outputs, why = self.answers.construct(request.type, request.name, inputs)
        component = f"{request.type}::{request.name}"
        self._key_of[urn] = component
        keys: dict[str, str] = {}
        states: dict[str, tuple[str, str]] = {}
        for child in children:
            parent_urn = states[child.parent][0] if child.parent else urn
            child_urn = self.make_urn(parent_urn, child.type, child.name)
            self._parent_urn[child_urn] = parent_urn
            flows: dict[str, None] = {}
            own = self._child_inputs(child.inputs, states, flows)
            id_, computed = self.answers.created(child.type, child.name, own) if child.custom else ("", {})
            if self.preview:
                id_, computed = "", _previewed(computed, own)
            state = struct_pb2.Struct()
            state.update(_wire(own))
            _merge(state, computed)
            self._remember(child_urn, id_, state)
            self._key_of[child_urn] = keys[child.name] = f"{child.type}::{child.name}"
            states[child.name] = (child_urn, id_)
            depends = [keys[name] for name in (*child.depends_on, *flows)]
            for item in child.uses:
                depends += [self._key_of[key] for key in request.propertyDependencies[item].urns if key in self._key_of]
            given = request.providers.get(child.type.split(":", 1)[0], "")
            self.nodes.append(
                Node(
                    order=len(self.nodes) + 1,
                    type=child.type,
                    name=child.name,
                    urn=child_urn,
                    parent=keys[child.parent] if child.parent else component,
                    provider=self._key_of.get(given.rsplit("::", 1)[0]) if child.custom else None,
                    depends_on=tuple(sorted(set(depends))),
                    inputs=own,
                    outputs=_plain(state),
                    id=id_ or (UNKNOWN if child.custom else ""),
                    custom=child.custom,
                    protect=request.protect,
                    retain_on_delete=request.retainOnDelete,
                    ignore_changes=child.ignore_changes,
                    assumed=why,
                )
            )

        def resolve(value: Any) -> Any:
            if isinstance(value, ChildReference):
                child_urn, child_id = states[value.name]
                return {sdk.SIGNATURE: sdk.RESOURCE_SIGNATURE, "urn": child_urn, "id": child_id or UNKNOWN}
            if isinstance(value, Mapping):
                return {key: resolve(item) for key, item in value.items()}
            return UNKNOWN if self.preview else value

        return {key: resolve(value) for key, value in outputs.items()}

    def _child_inputs(self, value: Any, states: Mapping[str, tuple[str, str]], flows: dict[str, None]) -> Any:
        """A child's inputs with references to its siblings resolved; `flows` collects the siblings they came from."""
        if isinstance(value, ChildProperty):
            flows[value.name] = None
            return self.resources[states[value.name][0]].state[value.property]
        if isinstance(value, Computed):
            return UNKNOWN if self.preview else value.value
        if isinstance(value, Mapping):
            return {key: self._child_inputs(item, states, flows) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._child_inputs(item, states, flows) for item in value]
        return value


@contextlib.contextmanager
def _hermetic(at: datetime | None, source: Path | None) -> Iterator[None]:
    """Hide what the operator's shell would leak into a recording (credentials, kubeconfig, provider switches), set the
    program's clock, and say where its configuration came from."""
    hidden = {key: os.environ.pop(key) for key in list(os.environ) if is_hidden(key) or key in (CLOCK, SOURCE)}
    os.environ[SOURCE] = str(source or "")
    if at is not None:
        os.environ[CLOCK] = at.isoformat()
    # An f-string over an Output would print its repr into a manifest; raising is what both plan and tests want.
    os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"
    try:
        yield
    finally:
        os.environ.pop("PULUMI_ERROR_OUTPUT_STRING", None)
        os.environ.pop(CLOCK, None)
        os.environ.pop(SOURCE, None)
        os.environ.update(hidden)


def _ordered(nodes: list[Node]) -> list[Node]:
    """Nodes by step, within a step by the program's top-level components, within one by type and name.

    The SDK awaits dependencies in sets, so resources arrive in another order each run; components have none and arrive as
    the program declares them. Dependencies still come before what depends on them.
    """
    arrived = Graph("", nodes)
    rank: dict[str, int] = {}
    for node in nodes:
        rank[node.key] = rank.get(node.parent or "", node.order)
    ordered = sorted(nodes, key=lambda node: (arrived.waves[node.key], rank[node.key], node.type, node.name))
    return [dataclasses.replace(node, order=number) for number, node in enumerate(ordered, 1)]


def record(
    stack: str,
    config: Mapping[str, Any],
    *,
    secret_keys: tuple[str, ...] = (),
    answers: Answers | None = None,
    preview: bool = False,
    program: Path | Any = ROOT / "__main__.py",
    at: datetime | None = None,
    source: Path | None = None,
) -> Graph:
    """Run the program for a stack and return what it registered.

    `config` maps full keys (`dynamo-eks:network`) to values as the stack file holds them; objects travel as JSON, as
    the engine sends them. With `preview` every computed property and id is unknown, as in a first `pulumi preview`.
    `at` is the moment that rules about time judge by, now unless given. `source` is the
    stack file that `config` was read from, for the lines of its faults. `program` is a path to run or a callable. Errors raised by the program (`pulumi.RunError` for bad settings) pass through.
    """
    # Made when first asked: of a faulty stack file no world can be told.
    monitor = Monitor(lambda: answers or Answers.for_config(stack, config), preview)
    run = program if callable(program) else lambda: runpy.run_path(str(program), run_name="__main__")
    with _hermetic(at, source):
        sdk.run(
            run,
            monitor,
            project=PROJECT,
            stack=stack,
            preview=preview,
            config=as_wire(config),
            secret_keys=secret_keys,
        )
    return Graph(
        stack,
        _ordered(monitor.nodes),
        outputs=monitor.stack_outputs,
        reads=monitor.reads,
        assumptions=monitor.answers.assumptions,
        preview=preview,
        at=at,
    )
