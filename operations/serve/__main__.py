"""`python -m operations.serve`: run a stack's mocker graphs on this machine until Ctrl-C.

Exit code 0 when it served and was told to end, 1 when something failed, 2 when it cannot begin (machine, stack file, port),
130 when it was told to end before it served.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from operations.serve import platforms

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN_S = 120.0
"""Longest wait for a model to be listed; it takes seconds where the machine is not busy."""
TELL_EVERY_S = 15
"""How often a wait is told of where no terminal shows the seconds."""


def main(
    stack: Annotated[str, typer.Option(help="Stack to serve.")] = "mocker-local",
    graph: Annotated[str | None, typer.Option(help="Serve this graph only.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the first frontend.")] = 8000,
    folder: Annotated[
        Path, typer.Option(envvar="SERVE_DIR", help="Where the wheels and what they need are kept.")
    ] = ROOT / ".serve",
) -> None:
    """Run a stack's mocker graphs on this machine by the real Dynamo, as they are rendered for a cluster."""
    if refused := platforms.here():
        _end(2, refused)
    from operations.serve.running import Stop, end_with_parent

    if os.environ.get("MAKELEVEL"):
        # make passes no signal on when it is killed itself.
        end_with_parent()
    with Stop() as stop:
        _Serve(stack, folder.resolve(), stop).run(graph, port)


def _say(text: str) -> None:
    print(text, flush=True)


def _end(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr, flush=True)
    raise typer.Exit(code)


class _Clock:
    """A step that takes its time: its seconds on a terminal, a line now and then elsewhere."""

    def __init__(self, text: str) -> None:
        self._text, self._told, self._terminal = text, 0, sys.stdout.isatty()
        print(text, end="" if self._terminal else "\n", flush=True)

    def tick(self, seconds: float) -> None:
        if self._terminal:
            print(f"\r{self._text} {seconds:.0f} s", end="", flush=True)
        elif int(seconds) // TELL_EVERY_S > self._told:
            self._told = int(seconds) // TELL_EVERY_S
            print(f"  {seconds:.0f} s", flush=True)

    def done(self) -> None:
        if self._terminal:
            print(flush=True)


class _Serve:
    def __init__(self, stack: str, folder: Path, stop) -> None:
        self.stack, self.folder, self.stop = stack, folder, stop

    def run(self, only: str | None, port: int) -> None:
        from operations.serve import running
        from operations.serve.processes import model_folders

        objects, outputs = self._planned()
        (self.folder / "run").mkdir(parents=True, exist_ok=True)
        kept = Path(tempfile.mkdtemp(prefix=f"{self.stack}-", dir=self.folder / "run"))
        try:
            graphs = self._graphs(objects, outputs, kept, only, port)
            pythons = {version: self._installed(version) for version in sorted({graph.version for graph in graphs})}
            for made in model_folders(objects, self.folder / "volumes"):
                self._model(made, next(iter(pythons.values())))
            self._serve(graphs, pythons, kept)
        except running.NotServing as error:
            _end(1, f"{error}\nAll that was written is in {_short(kept)}.")
        except typer.Exit:
            shutil.rmtree(kept, ignore_errors=True)
            raise

    def _planned(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Objects and outputs of the plan; ends with the stack file's faults, or with the rules that fail."""
        from review.plan import make
        from stacks import stackfile

        try:
            file = stackfile.read(self.stack)
        except stackfile.StackFileError as error:
            _end(2, str(error))
        import pulumi

        try:
            plan = make(file)
        except pulumi.RunError as error:
            _end(2, str(error))
        if plan.failed:
            said = [f"  {item.id}: {item.subject}: {item.message}" for item in plan.verdicts if item.verdict == "fail"]
            _end(1, "\n".join([f"{self.stack}: its plan breaks a rule (make plan STACK={self.stack})", *said]))
        return [dict(item.manifest) for item in plan.graph.objects], plan.graph.outputs

    def _graphs(
        self, objects: Sequence[dict[str, Any]], outputs: dict[str, Any], kept: Path, only: str | None, port: int
    ) -> list[Any]:
        """The graphs to run; ends when there is none, when one needs more than this machine, and when a port is taken."""
        from operations.serve import processes, running

        every = processes.graphs(objects)
        chosen = [item for item in every if only in (None, item["metadata"]["name"])]
        if not chosen:
            names = ", ".join(item["metadata"]["name"] for item in every) or "none"
            _end(2, f"{self.stack} has no graph{f' {only}' if only else ''}; its graphs are: {names}")
        free, found = running.FreePorts(), []
        for number, item in enumerate(chosen):
            machine = processes.Machine(
                volumes=self.folder / "volumes",
                port=port + number,
                free_port=free,
                discovery={"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": str(kept / "discovery")},
            )
            try:
                found.append(processes.local_graph(item, objects, outputs["graphs"][item["metadata"]["name"]], machine))
            except processes.NotServed as error:
                _end(2, str(error))
            if taken := running.port_taken(port + number):
                other = port + 1000 if port < 60000 else 8100
                _end(
                    2,
                    f"Port {port + number} of this machine cannot be used: {taken}.\n"
                    f"End what listens there, or choose another port: make serve STACK={self.stack} PORT={other}",
                )
        return found

    def _installed(self, version: str) -> Path:
        from operations.serve import wheels

        stop, clocks = self.stop, []

        class Told(wheels.Watch):
            def begun(self) -> None:
                clocks.append(_Clock(f"Dynamo {version}: installing its wheels, once (about a minute, 500 MB)"))

            def ticked(self, seconds: float) -> None:
                clocks[0].tick(seconds)

            def stopped(self) -> bool:
                return stop.wanted

        try:
            found = wheels.installed(wheels.lock_of(version), self.folder / version, Told())
        except wheels.Stopped:
            _end(130, "\nEnded before the wheels were installed; the next `make serve` begins that anew.")
        except wheels.InstallError as error:
            _end(1, f"\nDynamo {version}: its wheels could not be installed.\n{error}")
        for clock in clocks:
            clock.done()
        _say(f"Dynamo {version}: {_short(self.folder / version)}")
        return found

    def _model(self, made: Path, python: Path) -> None:
        script = Path(__file__).with_name("tokenizer.py")
        done = subprocess.run([python, script, made], capture_output=True, text=True, check=False)
        if done.returncode:
            _end(1, f"The tokenizer could not be made:\n{done.stderr.strip()}")
        _say(f"Model: a small tokenizer and no weights, in {_short(made)}")

    def _serve(self, graphs: Sequence[Any], pythons: dict[str, Path], kept: Path) -> None:
        from components.dynamo.exposure import curl_lines
        from operations.serve import running

        group = running.Group(kept)
        began = time.monotonic()
        try:
            for graph in graphs:
                for process in graph.processes:
                    group.start(process, pythons[graph.version])
                    _say(
                        f"  {process.name}: {process.command[2]}, {'http' if process.frontend else 'health'} port {process.port}"
                    )
                for note in graph.left_out:
                    _say(f"  {note}")
            running.wait_until_serving(group, graphs, self.stop, READY_WITHIN_S)
            if self.stop.wanted:
                _end(130, "Ended before the graphs served.")
            _say(f"Ready after {time.monotonic() - began:.0f} s. What they write: {_short(kept)}")
            for graph in graphs:
                self._checked(graph, kept)
            for graph in graphs:
                port = next(item.port for item in graph.processes if item.frontend)
                _say(f"\nGraph {graph.name}:")
                for line in curl_lines(graph.model, f"http://{running.LOOPBACK}:{port}"):
                    _say(f"  {line}")
            _say("\nCtrl-C ends it.")
            while not self.stop.wanted:
                group.check()
                time.sleep(running.POLL_S)
        finally:
            _say("\nEnding …")
            killed = group.stop()
            _say(f"Ended. {', '.join(killed)} had to be killed." if killed else "Ended; nothing is left running.")
        raise typer.Exit(0)

    def _checked(self, graph: Any, kept: Path) -> None:
        from operations.serve import running

        if graph.smoke is None:
            _say(f"Graph {graph.name} has no smokeTest in its stack.")
            return
        passed, said = running.smoke(graph.smoke, kept, lambda: self.stop.wanted)
        if self.stop.wanted:
            _end(130, "Ended before the smoke test did.")
        _say(f"Smoke test of {graph.name}: {said}")
        if not passed:
            raise running.NotServing(f"graph {graph.name} does not answer as its smoke test asks")


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
