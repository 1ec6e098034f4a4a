"""Everything of the Pulumi SDK that is not its public interface, in one place, with one test of it (tests/recording/test_sdk.py).

Works with pulumi 3.258 to 3.272, the oldest and newest that the test is run with; 3.255 has another form of settings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pulumi
from pulumi.runtime import resource as runtime_resource
from pulumi.runtime import rpc
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.config import CONFIG, get_config_env
from pulumi.runtime.mocks import MockMonitor, Mocks
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.settings import get_monitor
from pulumi.runtime.stack import run_in_stack

SIGNATURE = rpc._special_sig_key
"""Key of a struct that is no plain object; its value says what it is."""

SECRET_SIGNATURE = rpc._special_secret_sig
RESOURCE_SIGNATURE = rpc._special_resource_sig

UNKNOWN = rpc.UNKNOWN
"""What stands on the wire for a value that a preview does not know."""

OLDEST, NEWEST = "3.258.0", "3.272.0"
"""Versions between which all of this is known to hold."""


class Monitor(MockMonitor):
    """The engine's resource monitor, played by whoever answers the requests itself."""

    def __init__(self) -> None:
        super().__init__(_NoMocks())


class _NoMocks(Mocks):
    """MockMonitor insists on a Mocks object."""

    def call(self, args):  # type: ignore[override]
        raise NotImplementedError(args.token)

    def new_resource(self, args):
        raise NotImplementedError(args.typ)


class _Inline(ThreadPoolExecutor):
    """Run monitor calls on the loop's own thread: recordings are in program order and need no thread hand-over."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[override]
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def configuration() -> tuple[Mapping[str, str], frozenset[str]]:
    """The running stack's configuration as the engine hands it to the program's process: values as text by full key
    (`dynamo-eks:network`), objects as JSON, and the keys whose value the stack keeps encrypted; here they are in clear. A key
    counts as encrypted when any value below it is."""
    values = {**get_config_env(), **CONFIG.get()}
    return values, frozenset(key for key in values if pulumi.runtime.is_config_secret(key))


def monitored_by(kind: type[Monitor]) -> bool:
    """Whether the running program's requests go to such a monitor."""
    return isinstance(get_monitor(), kind)


def run(
    program: Callable[[], object],
    monitor: Monitor,
    *,
    project: str,
    stack: str,
    preview: bool,
    config: Mapping[str, str],
    secret_keys: tuple[str, ...],
) -> None:
    """Run a program to its end, every request of it answered by the monitor. What it raises passes through."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Inline())
    asyncio.set_event_loop(loop)
    try:
        with _without_stack_traces():
            pulumi.runtime.set_all_config(dict(config), list(secret_keys))
            # With a root there already none is made, which `run_in_stack` would make a second time.
            runtime_settings.ROOT.set(_Rootless)  # pyright: ignore[reportArgumentType]
            pulumi.runtime.set_mocks(
                _NoMocks(), project=project, stack=stack, preview=preview, monitor=monitor, organization="organization"
            )
            runtime_settings.ROOT.set(None)
            loop.run_until_complete(run_in_stack(lambda: (program(), None)[1]))
    except BaseException:
        _settle(loop)
        raise
    finally:
        runtime_settings.ROOT.set(None)
        loop.close()
        asyncio.set_event_loop(None)


class _Rootless:
    """In the root's place while there is none."""


@contextlib.contextmanager
def _without_stack_traces() -> Iterator[None]:
    """For each resource the SDK walks the whole stack to tell the engine where it was declared, a seventh of a recording's
    time; no engine listens here. To go when the SDK asks a setting first."""
    walk, runtime_resource._get_stack_trace = runtime_resource._get_stack_trace, source_pb2.StackTrace
    try:
        yield
    finally:
        runtime_resource._get_stack_trace = walk


def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """End what a program that raised left running; the SDK keeps it in globals, where the next recording finds it."""
    settings: Any = runtime_settings.SETTINGS
    settings.outputs.clear()
    settings.rpc_manager.clear()
    # Its error is raised; whatever else fails of it would be told once more for each output that waited for it.
    loop.set_exception_handler(lambda *_: None)
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
