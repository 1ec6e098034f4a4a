"""What to run on one machine for a rendered graph: each replica's command, arguments and environment. Pure.

Everything comes from the objects as the plan renders them. Beside that stand only what the operator adds to a pod, and what
differs because all pods share one machine: paths of volumes, ports, and discovery through files instead of an API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.catalog import DYNAMO
from components.dynamo.download import snapshot_path
from components.dynamo.exposure import FRONTEND_PORT
from components.dynamo.manifest import KIND

FRONTEND, MOCKER = ("python3", "-m", "dynamo.frontend"), ("python3", "-m", "dynamo.mocker")
SYSTEM_PORT = 9090
"""Of a worker's health and metrics (operator, worker defaults)."""
LOOPBACK = "127.0.0.1"


class NotServed(Exception):
    """A graph that cannot be run here; the text says why and what can be done."""


@dataclass(frozen=True, slots=True)
class Process:
    """One replica of a component."""

    name: str
    """`graph/component`, and `-number` where there are several."""
    frontend: bool
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    """HTTP port of a frontend, system port of a worker."""
    grace_s: int
    """Time to end in after SIGTERM, as the kubelet gives it."""


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """The check Job of a graph."""

    program: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LocalGraph:
    """A graph on one machine."""

    name: str
    namespace: str
    version: str
    """Dynamo release of its images."""
    model: str
    """Name that clients ask for."""
    processes: tuple[Process, ...]
    smoke: SmokeTest | None
    left_out: tuple[str, ...] = ()
    """What of the rendered object has no meaning here, each as a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where a graph is run."""

    volumes: Path
    """Folder that holds one folder for each namespace and claim."""
    port: int
    """HTTP port of the first frontend; further graphs have the ones after it."""
    free_port: Callable[[], int]
    """Another port that nothing listens on."""
    discovery: Mapping[str, str] = field(default_factory=dict)
    """Environment by which processes find each other."""


def operator_environment(namespace: str, graph: str, component: Mapping[str, Any]) -> dict[str, str]:
    """What the operator adds to the `main` container of a component (Dynamo operator, `internal/dynamo`; its reference
    "Operator default values")."""
    dynamo_namespace = f"{namespace}-{graph}"
    common = {
        "DYN_NAMESPACE": dynamo_namespace,
        "DYN_COMPONENT": str(component["type"]),
        "DYN_PARENT_DGD_K8S_NAME": graph,
        "DYN_PARENT_DGD_K8S_NAMESPACE": namespace,
    }
    if component["type"] == "frontend":
        return {**common, "DYN_HTTP_PORT": str(FRONTEND_PORT), "DYN_NAMESPACE_PREFIX": dynamo_namespace}
    return {
        **common,
        "DYN_SYSTEM_ENABLED": "true",
        "DYN_SYSTEM_PORT": str(SYSTEM_PORT),
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
        "DYN_HEALTH_CHECK_ENABLED": "false",
    }


def loopback_environment() -> dict[str, str]:
    """Keeps what can be told an address to this machine alone. The sockets that publish KV events cannot; they listen on
    every interface (1.4.0, 1.5.0 and 1.6.1)."""
    names = ("DYN_HTTP_HOST", "DYN_SYSTEM_HOST", "DYN_TCP_RPC_HOST")
    # This one takes the name of an interface, whatever it is called (1.5.0: "Interface not found: 127.0.0.1").
    return {**dict.fromkeys(names, LOOPBACK), "DYN_TCP_RESPONSE_STREAM_HOST": "lo"}


def main_container(component: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container that runs Dynamo."""
    containers = component["podTemplate"]["spec"]["containers"]
    return next(item for item in containers if item["name"] == "main")


def graphs(objects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rendered graphs, in order."""
    return [item for item in objects if item.get("kind") == KIND]


def version_of(graph: Mapping[str, Any]) -> str:
    """Dynamo release of a graph's images. Raises `NotServed` for a graph of another engine, of images whose release is not
    known, or of two releases."""
    name = graph["metadata"]["name"]
    versions: dict[str, str] = {}
    for component in graph["spec"]["components"]:
        main = main_container(component)
        wanted = FRONTEND if component["type"] == "frontend" else MOCKER
        command = tuple(main.get("command") or ())
        if command[: len(wanted)] != wanted:
            raise NotServed(
                f"graph {name}: {component['name']} runs `{' '.join(command)}`, which needs its own image and hardware; "
                "make serve runs graphs of `backend: mocker`, such as STACK=mocker-local"
            )
        if component["podTemplate"]["spec"].get("initContainers"):
            raise NotServed(f"graph {name}: {component['name']} has init containers, which make serve does not run")
        versions[component["name"]] = main["image"].rpartition(":")[2]
    found = sorted(set(versions.values()))
    if len(found) > 1:
        told = ", ".join(f"{component} {version}" for component, version in versions.items())
        raise NotServed(f"graph {name}: make serve runs one release of Dynamo for a graph, and its images are {told}")
    if found[0] not in DYNAMO:
        raise NotServed(
            f"graph {name}: its images have the tag {found[0]}, which names no supported release ({', '.join(DYNAMO)})"
        )
    return found[0]


def local_path(volumes: Path, namespace: str, claim: str) -> Path:
    """Folder that stands for a claim."""
    return volumes / namespace / claim


def model_folders(objects: Iterable[Mapping[str, Any]], volumes: Path) -> list[Path]:
    """Where the download Jobs would put their models, each in the folder of its claim."""
    found = []
    for item in objects:
        if item.get("kind") != "Job":
            continue
        pod = item["spec"]["template"]["spec"]
        given = _values(pod["containers"][0])
        if not {"MODEL", "REVISION", "HF_HOME"} <= given.keys():
            continue
        paths = _mounts(pod, pod["containers"][0], volumes, item["metadata"]["namespace"])
        found.append(Path(_mapped(snapshot_path(given["MODEL"], given["REVISION"]), paths)))
    return found


def local_graph(
    graph: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], outputs: Mapping[str, Any], machine: Machine
) -> LocalGraph:
    """A graph's processes. Raises `NotServed` as `version_of` does."""
    version = version_of(graph)
    name, namespace = graph["metadata"]["name"], graph["metadata"]["namespace"]
    made: list[Process] = []
    left_out: list[str] = []
    port = machine.port
    for component in graph["spec"]["components"]:
        replicas = int(component.get("replicas", 1))
        frontend = component["type"] == "frontend"
        if frontend and replicas > 1:
            left_out.append(
                f"{component['name']} has {replicas} replicas, of which one is run: they would share one port"
            )
            replicas = 1
        for number in range(replicas):
            own = f"{name}/{component['name']}" + (f"-{number}" if replicas > 1 else "")
            one, notes = _process(own, namespace, name, component, machine, port if frontend else machine.free_port())
            made.append(one)
            left_out += [note for note in notes if note not in left_out]
    return LocalGraph(
        name,
        namespace,
        version,
        str(outputs["model"]),
        tuple(made),
        _smoke(objects, namespace, name, port),
        tuple(left_out),
    )


def _process(
    own: str, namespace: str, graph: str, component: Mapping[str, Any], machine: Machine, port: int
) -> tuple[Process, list[str]]:
    pod, main = component["podTemplate"]["spec"], main_container(component)
    paths = _mounts(pod, main, machine.volumes, namespace)
    frontend = component["type"] == "frontend"
    environment = {
        **operator_environment(namespace, graph, component),
        **{key: _mapped(value, paths) for key, value in _values(main).items()},
        **loopback_environment(),
        **machine.discovery,
        ("DYN_HTTP_PORT" if frontend else "DYN_SYSTEM_PORT"): str(port),
    }
    args = [_mapped(str(item), paths) for item in main.get("args") or ()]
    if "--bootstrap-ports" in args:
        # Pods have an address each; here two workers of one role would want the same port.
        args[args.index("--bootstrap-ports") + 1] = str(machine.free_port())
    notes = [
        f"{component['name']}: {item['name']} comes from a Secret or ConfigMap, and is not set"
        for item in main.get("env") or ()
        if "valueFrom" in item
    ]
    if component.get("multinode"):
        notes.append(f"{component['name']}: a worker of several nodes is one process")
    command = (*main["command"], *args)
    return Process(own, frontend, command, environment, port, int(pod["terminationGracePeriodSeconds"])), notes


def _values(container: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: str(item["value"]) for item in container.get("env") or () if "value" in item}


def _mounts(
    pod: Mapping[str, Any], container: Mapping[str, Any], volumes: Path, namespace: str
) -> list[tuple[str, str]]:
    """(path in the pod, folder here) of what a container mounts from claims, the deepest first."""
    claims = {
        item["name"]: item["persistentVolumeClaim"]["claimName"]
        for item in pod.get("volumes") or ()
        if "persistentVolumeClaim" in item
    }
    found = [
        (item["mountPath"].rstrip("/"), str(local_path(volumes, namespace, claims[item["name"]])))
        for item in container.get("volumeMounts") or ()
        if item["name"] in claims
    ]
    return sorted(found, key=lambda pair: len(pair[0]), reverse=True)


def _mapped(text: str, paths: Sequence[tuple[str, str]]) -> str:
    """A path inside a mount as it is here; anything else as it was."""
    for inside, here in paths:
        if text == inside or text.startswith(f"{inside}/"):
            return here + text.removeprefix(inside)
    return text


def _smoke(objects: Sequence[Mapping[str, Any]], namespace: str, graph: str, port: int) -> SmokeTest | None:
    """The graph's own check, on this machine. Of its stages `completion` is asked for: what comes before it reads the
    graph's status from an API server."""
    programs = {item["metadata"]["name"]: item.get("data") or {} for item in objects if item.get("kind") == "ConfigMap"}
    for item in objects:
        if item.get("kind") != "Job" or item["metadata"].get("namespace") != namespace:
            continue
        pod = item["spec"]["template"]["spec"]
        given = _values(pod["containers"][0])
        if given.get("GRAPH") != graph or given.get("STAGE", "completion") != "completion":
            continue
        program = next(programs[volume["configMap"]["name"]] for volume in pod["volumes"] if "configMap" in volume)
        local = {"URL": f"http://{LOOPBACK}:{port}", "STAGE": "completion", "POLL_S": "0.5"}
        return SmokeTest(next(iter(program.values())), {**given, **local})
    return None
