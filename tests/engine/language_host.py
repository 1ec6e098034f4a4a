"""A stand-in for `pulumi-language-python`, so that the `pulumi` CLI runs this project as a user's does.

Real: the CLI and its engine, Pulumi.yaml, the stack files as they are in git, the configuration as the engine hands it
over, and a process of its own for the program (`program_runner.py`) with the virtual environment's Python. Standing in:
the language plugin, which the SDK for Python does not bring along. It answers what the CLI asks of it; not shown are the
installation of dependencies, the look for a virtual environment, and `pulumi about`.
Started as `python -m tests.engine.language_host ENGINE-ADDRESS`; prints the port it listens on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import IO

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc, plugin_pb2

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("program_runner.py")

BAIL = 32
"""Exit code of a program that has told its error already: the engine says no more of it."""

PROVIDERS = ("aws", "eks", "kubernetes")
"""Packages whose plugins the program needs. Each is served by a stand-in, which the engine is told where to find."""


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """What the engine asks of a language: what a program needs, and to run it."""

    def __init__(self, engine: str) -> None:
        self._address = engine
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine))

    def Handshake(self, request, context):
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def About(self, request, context):
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetRequiredPackages(self, request, context):
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=name, kind="resource", version=f"v{metadata.version(f'pulumi_{name}')}"
                )
                for name in PROVIDERS
            ]
        )

    def GetRequiredPlugins(self, request, context):
        return language_pb2.GetRequiredPluginsResponse()

    def GetProgramDependencies(self, request, context):
        return language_pb2.GetProgramDependenciesResponse()

    def InstallDependencies(self, request, context):
        yield language_pb2.InstallDependenciesResponse(stdout=b"the tests' own environment is used\n")

    def Cancel(self, request, context):
        return empty_pb2.Empty()

    def Run(self, request, context):
        """Run the program to its end in a process of its own."""
        config = dict(request.config)
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(config),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        words = [
            *("--monitor", request.monitor_address, "--engine", self._address),
            *("--project", request.project, "--stack", request.stack, "--organization", request.organization),
            *("--parallel", str(request.parallel), *(["--dry-run"] if request.dryRun else [])),
        ]
        folder = request.info.program_directory or request.pwd
        python = Path(folder) / ".venv" / "bin" / "python"
        ran = subprocess.Popen(
            [str(python), "-u", str(RUNNER), *words, folder],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        streams = [threading.Thread(target=self._forward, args=(stream,)) for stream in (ran.stdout, ran.stderr)]
        for stream in streams:
            stream.start()
        code = ran.wait()
        for stream in streams:
            stream.join()
        if code == BAIL:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}" if code else "")

    def _forward(self, stream: IO[str]) -> None:
        """Lines of the program's own output, as the engine shows them."""
        for line in stream:
            self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line))


def install(folder: Path) -> Path:
    """Put the executable that the CLI looks for into a folder, which has to be first on PATH; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pulumi-language-python"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.engine.language_host "$@"\n', "utf-8"
    )
    program.chmod(0o755)
    return folder


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(sys.argv[-1]), server)
    # How the CLI tells a plugin that it is done with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
