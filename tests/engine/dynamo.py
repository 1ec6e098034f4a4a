"""Real Dynamo in pods that are processes: frontends and mockers as rendered, which find each other through the API server.

Real: Dynamo from its wheels, its discovery by EndpointSlices and DynamoWorkerMetadata objects, the controllers that make
slices of Services and pods, routing, requests over HTTP and TCP. Stands in: the operator (a headless Service with the
discovery labels, the environment of `operations.serve.processes.operator_environment`, the graph's status) and the kubelet
(processes on this machine, a pod IP that nobody asks, Ready as soon as the worker's own probe answers). What differs from a
cluster beside that is what `make serve` changes too: paths of volumes, ports, the host to listen on.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from components.dynamo.interruption import COMPONENT_LABEL, GRAPH_LABEL
from operations.serve import platforms, running, wheels
from operations.serve.processes import LocalGraph, Machine, Process, graphs, local_graph, model_folders
from recording.graph import Graph
from tests.engine.control_plane import ControlPlane, until

KEPT = Path(os.environ.get("SERVE_DIR") or Path.home() / ".cache" / "dynamo-eks" / "serve")
"""Where the wheels are kept between runs; a clone of its own would install them every time."""

DISCOVERY = {
    "nvidia.com/dynamo-discovery-backend": "kubernetes",
    "nvidia.com/dynamo-discovery-enabled": "true",
}
"""Labels of the Services whose EndpointSlices Dynamo watches (operator, `internal/dynamo`; in the runtime's binary)."""


@cache
def python(version: str) -> Path:
    """Interpreter with a release's wheels. Skips, or with REQUIRE_ENGINE fails, where there are none for this machine."""
    if refused := platforms.here():
        (pytest.fail if os.environ.get("REQUIRE_ENGINE") else pytest.skip)(refused)
    return wheels.installed(wheels.lock_of(version), KEPT / version, wheels.Watch())


NODE = "dynamo-here"
"""The node that this machine is."""


class Pods:
    """The pods of graphs in a cluster."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        self.group = running.Group(folder)
        self.ports = running.FreePorts()
        self._addresses = iter(range(1, 250))

    def start(self, planned: Graph, name: str, *, only: str | None = None, wait: bool = True) -> LocalGraph:
        """Start the pods of a planned graph, or those of one component; they are Ready when this returns if it waits."""
        objects = [dict(item.manifest) for item in planned.objects]
        rendered = next(item for item in graphs(objects) if item["metadata"]["name"] == name)
        machine = Machine(volumes=self.folder / "volumes", port=self.ports(), free_port=self.ports)
        graph = local_graph(rendered, objects, planned.outputs["graphs"][name], machine)
        if only:
            graph = dataclasses.replace(graph, processes=tuple(workers(graph, only)))
        for made in model_folders(objects, machine.volumes):
            model(made, python(graph.version))
        for component in rendered["spec"]["components"]:
            self._service(graph, component["name"])
        for process in graph.processes:
            self._pod(graph, process)
        if wait:
            self.ready(graph)
        return graph

    def _service(self, graph: LocalGraph, component: str) -> None:
        selector = {GRAPH_LABEL: graph.name, COMPONENT_LABEL: component}
        self.plane.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": f"{graph.name}-{component}",
                    "namespace": graph.namespace,
                    "labels": {**selector, **DISCOVERY},
                },
                "spec": {
                    "clusterIP": "None",
                    "selector": selector,
                    "ports": [{"name": "system", "port": 9090, "protocol": "TCP"}],
                },
            }
        )

    def _pod(self, graph: LocalGraph, process: Process) -> None:
        component = process.environment["DYN_COMPONENT"]
        name = process.name.replace("/", "-")
        pod = self.plane.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": graph.namespace,
                    "labels": {GRAPH_LABEL: graph.name, COMPONENT_LABEL: component},
                },
                # An address of a pod on no node is in no EndpointSlice.
                "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "dynamo"}]},
            }
        )
        own = {
            "DYN_DISCOVERY_BACKEND": "kubernetes",
            "KUBECONFIG": str(self.plane.kubeconfig),
            "POD_NAME": name,
            "POD_NAMESPACE": graph.namespace,
            "POD_UID": pod["metadata"]["uid"],
        }
        self.group.start(
            dataclasses.replace(process, environment={**process.environment, **own}), python(graph.version)
        )

    def ready(self, graph: LocalGraph) -> None:
        """Play the kubelet's probes: a pod whose process answers is Ready, and then its EndpointSlice says so."""

        def answers(process: Process) -> bool:
            self.group.check()
            return running.answer(f"http://{running.LOOPBACK}:{process.port}/health") is not None

        for process in graph.processes:
            until(lambda process=process: answers(process), f"{process.name} answers its probe", 120)
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": process.name.replace("/", "-"), "namespace": graph.namespace}}  # fmt: skip
            address = f"10.1.0.{next(self._addresses)}"
            status = {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            self.plane.patch_status(pod, status)

    def models(self, graph: LocalGraph) -> list[str]:
        """Models that a graph's frontend lists."""
        return running.listed(frontend(graph).port)

    def log(self, process: Process) -> str:
        return (self.folder / f"{process.name.replace('/', '-')}.log").read_text(errors="replace")


def model(folder: Path, interpreter: Path) -> None:
    """What the download Job would leave."""
    script = Path(wheels.__file__).with_name("tokenizer.py")
    subprocess.run([interpreter, script, folder], check=True, capture_output=True)


def frontend(graph: LocalGraph) -> Process:
    return next(process for process in graph.processes if process.frontend)


def workers(graph: LocalGraph, role: str) -> Sequence[Process]:
    return [process for process in graph.processes if process.environment["DYN_COMPONENT"] == role]


@contextmanager
def pods(plane: ControlPlane, folder: Path) -> Iterator[Pods]:
    """Pods that end with the block."""
    found = Pods(plane, folder)
    plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    try:
        yield found
    finally:
        found.group.stop()
        plane.delete("v1", "Node", NODE)
