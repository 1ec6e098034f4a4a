"""What every stand-in provider shares: the gRPC service the engine dials, differences, secrets, unknowns, one log.

Real on the other side: the engine, which calls these methods in its order and believes what they answer. A stand-in
answers Check, Diff, Create, Read, Update, Delete, Invoke and Construct as the provider would, from the same
`recording/answers.py` as the plan. Secrets come wrapped and stay wrapped, and in a preview computed values are unknown.
Not shown by any stand-in: how long things take, quotas, permissions, and the provider's own faults.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from recording import recorder
from recording.graph import UNKNOWN
from recording.kinds import replaces

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Kind = provider_pb2.PropertyDiff


class Refused(Exception):
    """What AWS or the API server says no with; the engine shows the message and fails the resource."""


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Properties as plain data, secrets in clear. Unknown values are UNKNOWN."""
    return recorder._plain(struct, None, True)


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain data as the engine takes it."""
    made = struct_pb2.Struct()
    made.update(recorder._wire(values))
    return made


def laid_over(properties: struct_pb2.Struct, extra: Mapping[str, Any]) -> struct_pb2.Struct:
    """A copy of the properties with computed ones added; what is wrapped as a secret stays so."""
    made = struct_pb2.Struct()
    made.CopyFrom(properties)
    recorder._merge(made, extra)
    return made


def unknown(computed: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a preview knows of computed properties: that they will be there."""
    return recorder._previewed(computed, inputs)


def has_unknown(value: Any) -> bool:
    return any(item == UNKNOWN for _, item in leaves(value))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its path as the engine writes it."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            simple = key.replace("_", "a").isalnum()
            yield from leaves(item, (f"{path}.{key}" if path else key) if simple else f'{path}["{key}"]')
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def is_secret(value: struct_pb2.Value) -> bool:
    """Whether a secret is wrapped anywhere in a value."""
    if value.HasField("struct_value"):
        fields = value.struct_value.fields
        if (
            fields[rpc._special_sig_key].string_value == rpc._special_secret_sig
            if rpc._special_sig_key in fields
            else False
        ):
            return True
        return any(is_secret(item) for item in fields.values())
    if value.HasField("list_value"):
        return any(is_secret(item) for item in value.list_value.values)
    return False


def as_secret(value: struct_pb2.Value) -> struct_pb2.Value:
    """The value, wrapped."""
    wrapped = struct_pb2.Value()
    wrapped.struct_value.fields[rpc._special_sig_key].string_value = rpc._special_secret_sig
    wrapped.struct_value.fields["value"].CopyFrom(value)
    return wrapped


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], fixed: frozenset[str], *, delete_first: bool = False
) -> provider_pb2.DiffResponse:
    """What changed between two sets of inputs; `fixed` are the properties that cannot be changed in place."""
    before, after = dict(leaves(old)), dict(leaves(new))
    detailed: dict[str, provider_pb2.PropertyDiff] = {}
    for path in {**before, **after}:
        if path in before and path in after and before[path] == after[path]:
            continue
        kind = Kind.ADD if path not in before else Kind.DELETE if path not in after else Kind.UPDATE
        if replaces(path, fixed):
            kind += 1  # ADD_REPLACE, DELETE_REPLACE and UPDATE_REPLACE follow their plain kinds
        detailed[path] = Kind(kind=kind, inputDiff=True)
    replacing = sorted(path for path, item in detailed.items() if item.kind % 2)
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if detailed else response.DIFF_NONE,
        diffs=sorted({path.split(".")[0].split("[")[0] for path in detailed}),
        replaces=replacing,
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=bool(replacing) and delete_first,
    )


OnCall = Callable[[str, str, str], None]
"""Called with the moment ("before" or "after"), the method and the URN. It may raise Refused."""


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """One provider. Subclasses answer in plain data; here that becomes protocol."""

    package: str

    def __init__(self) -> None:
        self.on_call: OnCall = lambda moment, method, urn: None
        self.log: list[tuple[str, str]] = []
        """Method and URN of every Create, Update and Delete that was carried out; the world's own, when it has one."""
        self.lock = threading.RLock()
        self.cancelled = threading.Event()
        """The engine was asked to end and knows it, or has ended its preview."""

    # --- what a subclass answers ------------------------------------------------------------------------------------

    def check(self, urn: str, olds: struct_pb2.Struct, news: struct_pb2.Struct) -> struct_pb2.Struct:
        return news

    def diff(self, urn: str, id_: str, old: dict[str, Any], new: dict[str, Any]) -> provider_pb2.DiffResponse:
        raise NotImplementedError

    def create(
        self, urn: str, properties: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> tuple[str, struct_pb2.Struct]:
        raise NotImplementedError

    def read(
        self, urn: str, id_: str, inputs: struct_pb2.Struct, state: struct_pb2.Struct
    ) -> tuple[struct_pb2.Struct, struct_pb2.Struct] | None:
        """Inputs and state as they are now; None when there is no such thing."""
        raise NotImplementedError

    def update(
        self, urn: str, id_: str, olds: struct_pb2.Struct, news: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> struct_pb2.Struct:
        raise NotImplementedError

    def delete(self, urn: str, id_: str, properties: struct_pb2.Struct, timeout_s: float) -> None:
        raise NotImplementedError

    def invoke(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError(token)

    def configure(self, arguments: dict[str, Any]) -> None:
        """Take the provider's own inputs."""

    def config_fixed(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """Inputs of the provider whose change replaces it, and with it everything it made."""
        return frozenset()

    # --- protocol ---------------------------------------------------------------------------------------------------

    def Attach(self, request, context):
        return empty_pb2.Empty()

    def Cancel(self, request, context):
        # The engine was asked to end: from here on it begins nothing.
        self.cancelled.set()
        return empty_pb2.Empty()

    def SignalCancellation(self, request, context):
        return empty_pb2.Empty()

    def GetPluginInfo(self, request, context):
        # The engine warns when it is another version than the SDK's.
        return plugin_pb2.PluginInfo(version=metadata.version(f"pulumi_{self.package}"))

    def Handshake(self, request, context):
        # Output values would say per leaf what inputDependencies say per property; the stand-ins do with the latter.
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=False)

    def Configure(self, request, context):
        self.configure(plain(request.args))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=False, supportsPreview=True
        )

    def CheckConfig(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):
        old, new = plain(request.old_inputs), plain(request.news)
        return difference(old, new, self.config_fixed(old, new))

    def Check(self, request, context):
        with self._answer(context):
            return provider_pb2.CheckResponse(inputs=self.check(request.urn, request.olds, request.news))

    def Diff(self, request, context):
        with self._answer(context):
            return self.diff(request.urn, request.id, plain(request.old_inputs), plain(request.news))

    def Create(self, request, context):
        with self._answer(context):
            self._call("before", "create", request)
            id_, state = self.create(request.urn, request.properties, request.preview, request.timeout)
            self._call("after", "create", request)
            return provider_pb2.CreateResponse(id=id_, properties=state)

    def Read(self, request, context):
        with self._answer(context):
            found = self.read(request.urn, request.id, request.inputs, request.properties)
            if found is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(id=request.id, inputs=found[0], properties=found[1])

    def Update(self, request, context):
        with self._answer(context):
            self._call("before", "update", request)
            state = self.update(request.urn, request.id, request.olds, request.news, request.preview, request.timeout)
            self._call("after", "update", request)
            return provider_pb2.UpdateResponse(properties=state)

    def Delete(self, request, context):
        with self._answer(context):
            self._call("before", "delete", request)
            self.delete(request.urn, request.id, request.properties, request.timeout)
            self._call("after", "delete", request)
            return empty_pb2.Empty()

    def Invoke(self, request, context):
        with self._answer(context):
            response: Any = {"return": struct(self.invoke(request.tok, plain(request.args)))}  # a keyword of Python
            return provider_pb2.InvokeResponse(**response)

    def _call(self, moment: str, method: str, request: Any) -> None:
        if getattr(request, "preview", False):
            return
        self.on_call(moment, method, request.urn)
        if moment == "after":
            self.log.append((method, request.urn))

    def _answer(self, context: grpc.ServicerContext) -> _Answer:
        return _Answer(context)


class _Answer:
    """Turns what goes wrong in a stand-in into the RPC's error; anything but Refused shows its type."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, InitFailed):
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.id, properties=error.state, reasons=error.reasons, inputs=error.inputs
            )
            self.context.set_trailing_metadata([("grpc-status-details-bin", error.status(detail))])
            self.context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if isinstance(error, Exception):
            text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
            self.context.abort(grpc.StatusCode.UNKNOWN, text)


class InitFailed(Exception):
    """The object exists and did not become ready; the engine keeps it in the state and tries again in the next `up`."""

    def __init__(self, id_: str, inputs: struct_pb2.Struct, state: struct_pb2.Struct, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id, self.inputs, self.state, self.reasons = id_, inputs, state, reasons

    def status(self, detail: provider_pb2.ErrorResourceInitFailed) -> bytes:
        from google.protobuf import any_pb2
        from pulumi.runtime.proto import status_pb2

        packed = any_pb2.Any()
        packed.Pack(detail)
        return status_pb2.Status(
            code=grpc.StatusCode.UNKNOWN.value[0], message=str(self), details=[packed]
        ).SerializeToString()


class Served:
    """Stand-ins listening on free ports; `debug_providers` is what the engine needs to find them."""

    def __init__(self, *stand_ins: StandIn) -> None:
        self._servers = []
        ports = []
        for stand_in in stand_ins:
            server = grpc.server(ThreadPoolExecutor(32), options=OPTIONS)
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(stand_in, server)
            ports.append(f"{stand_in.package}:{server.add_insecure_port('127.0.0.1:0')}")
            server.start()
            self._servers.append(server)
        self.debug_providers = ",".join(ports)

    def stop(self) -> None:
        for server in self._servers:
            server.stop(None)
