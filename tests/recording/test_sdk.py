"""What `recording/sdk.py` takes of the SDK's inside, held against the SDK that is installed.

`make sdk` runs it with the oldest and the newest version that the file names; it needs pulumi alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pulumi
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import resource_pb2

from recording import sdk

ROOT = Path(__file__).resolve().parents[2]


class Thing(pulumi.CustomResource):
    """A resource of no provider's."""

    made: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **properties: Any) -> None:
        super().__init__("test:index:Thing", name, {"made": None, **properties}, opts)


class Kept(sdk.Monitor):
    """Keeps what is registered, and computes `made`, which a preview does not know."""

    def __init__(self, preview: bool = False) -> None:
        super().__init__()
        self.preview = preview
        self.requests: list[Any] = []
        self.outputs: dict[str, Any] = {}

    def RegisterResource(self, request):
        self.requests.append(request)
        made = struct_pb2.Struct()
        made.CopyFrom(request.object)
        if request.custom:
            made["made"] = sdk.UNKNOWN if self.preview else f"made of {request.name}"
        urn = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id="" if self.preview else "id" if request.custom else "", object=made
        )

    def RegisterResourceOutputs(self, request):
        self.outputs = dict(request.outputs)
        return empty_pb2.Empty()


def run(program: Any, monitor: Kept, **config: str) -> Kept:
    sdk.run(
        program, monitor, project="house", stack="demo", preview=monitor.preview, config=config, secret_keys=("house:hidden",)
    )  # fmt: skip
    return monitor


def test_the_version_is_one_of_those_it_is_known_for() -> None:
    """With another one the file has to be read again."""

    def parts(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:3])

    assert parts(sdk.OLDEST) <= parts(version("pulumi")) <= parts(sdk.NEWEST)


def test_marks_are_those_of_the_wire() -> None:
    """The engine's own constants (pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go and sig): another mark, and a secret
    is a plain object."""
    assert sdk.SIGNATURE == "4dabf18193072939515e22adb298388d"
    assert sdk.SECRET_SIGNATURE == "1b47061264138c4ac30d75fd1eb44270"
    assert sdk.RESOURCE_SIGNATURE == "5cf8f73096256a8f31e491e813e4eb8e"
    assert sdk.UNKNOWN == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@pytest.mark.parametrize("preview", [False, True])
def test_every_request_comes_to_the_monitor(preview: bool) -> None:
    """A root that is registered twice, or a request that goes elsewhere, is a plan of something else."""
    known: list[bool] = []

    def program() -> None:
        first = Thing("first", secret=pulumi.Output.secret("hidden"))
        Thing("second", of=first.made, opts=pulumi.ResourceOptions(depends_on=[first]))
        first.made.apply(lambda _: known.append(True))
        pulumi.export("made", first.made)
        assert pulumi.runtime.is_dry_run() is preview

    kept = run(program, Kept(preview))
    assert [request.type for request in kept.requests] == [
        "pulumi:pulumi:Stack",
        "test:index:Thing",
        "test:index:Thing",
    ]
    _, first, second = kept.requests
    assert second.parent == "urn:pulumi:demo::house::pulumi:pulumi:Stack::house-demo"
    assert list(second.dependencies) == ["urn:pulumi:demo::house::test:index:Thing::first"]
    assert first.object["secret"][sdk.SIGNATURE] == sdk.SECRET_SIGNATURE
    assert (second.object["of"] == sdk.UNKNOWN) is preview and bool(known) is not preview
    # Nobody walks the stack for each.
    assert not first.HasField("stackTrace") or not first.stackTrace.frames
    assert kept.outputs["made"] == (sdk.UNKNOWN if preview else "made of first")


def test_a_program_that_raises_leaves_nothing_behind() -> None:
    """What it left would be awaited by the next one, and its error told of that."""

    def fails(_: Any) -> str:
        raise LookupError("told at once")

    def broken() -> None:
        made = Thing("made").made
        for number in range(3):
            Thing(
                f"never-{number}", of=made.apply(fails), opts=pulumi.ResourceOptions(depends_on=[Thing(f"a-{number}")])
            )

    for _ in range(2):
        with pytest.raises(LookupError, match="told at once"):
            run(broken, Kept())
        assert len(run(lambda: Thing("good"), Kept()).requests) == 2


def test_configuration_is_what_the_program_was_given() -> None:
    seen: list[Any] = []

    def program() -> None:
        seen.append((*sdk.configuration(), sdk.monitored_by(Kept), pulumi.Config("house").get("open")))

    run(program, Kept(), **{"house:open": "a", "house:hidden": "b"})
    assert seen == [({"house:open": "a", "house:hidden": "b"}, frozenset({"house:hidden"}), True, "a")]


def test_configuration_is_what_the_engine_hands_over() -> None:
    """Two variables, which the language host's first lines hand to the SDK (pulumi/pulumi,
    sdk/python/cmd/pulumi-language-python-exec)."""
    code = (
        "import json, pulumi.runtime as r; from recording import sdk; "
        "r.set_all_config(r.get_config_env(), r.get_config_secret_keys_env()); "
        "print(json.dumps([*map(sorted, sdk.configuration())]))"
    )
    environment = {
        **os.environ,
        "PULUMI_CONFIG": json.dumps({"dynamo-eks:network": "{}", "dynamo-eks:token": "t"}),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(["dynamo-eks:token"]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == [["dynamo-eks:network", "dynamo-eks:token"], ["dynamo-eks:token"]]
