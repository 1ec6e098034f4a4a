"""The programs that verify a rack, against a small HTTP server that keeps objects as the API server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL
from components.validation import ladder_objects as objects
from tests.validation.test_rack_logs import LOGS, RACK
from tests.validation.test_scripts import run

NAMESPACE = RACK.namespace
RESULTS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
JOBS = f"/apis/kubeflow.org/v2beta1/namespaces/{NAMESPACE}/mpijobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@dataclass
class Api:
    """What is in the cluster, by path; and what happens to it."""

    objects: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    """Status by method and path, for what the API server refuses."""
    on_create: Callable[[Api, str], None] = lambda api, path: None
    after: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """By method and path: what happens once it has been asked the first time."""
    asked: list[str] = field(default_factory=list)
    """Methods and paths that changed something."""

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        answered = self._answer(method, urlsplit(url).path, parse_qs(urlsplit(url).query), body)
        self.after.pop(f"{method} {urlsplit(url).path}", lambda: None)()
        return answered

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if status := self.broken.get(f"{method} {path}"):
            return status, "refused"
        if method != "GET":
            self.asked.append(f"{method} {path}")
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return 409, "exists"
            self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": f"uid-{len(self.asked)}"}}
            self.on_create(self, path)
            return 201, self.objects[path]
        if path in self.texts:
            return 200, self.texts[path]
        if path in self.lists:
            return 200, {"items": self._selected(path, query)}
        if path not in self.objects:
            return 404, "not found"
        if method == "DELETE":
            if body.get("preconditions", {}).get("uid") != self.objects[path]["metadata"]["uid"]:
                return 409, "another one"
            return 200, self.objects.pop(path)
        if method == "PUT":
            self.objects[path] = body
        return 200, self.objects[path]

    def _selected(self, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = dict(part.split("=") for text in query.get("labelSelector", ()) for part in text.split(","))
        return [item for item in self.lists[path] if wanted.items() <= (item["metadata"].get("labels") or {}).items()]

    @contextmanager
    def served(self) -> Iterator[str]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                assert self.headers["Authorization"] == "Bearer t"
                status, answer = api.answer(self.command, self.path, body)
                raw = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            listening.server_close()

    def result(self, rung: str) -> dict[str, str]:
        """What a rung's Job wrote."""
        return self.objects[f"{RESULTS}/{objects.result_name(RACK, rung)}"]["data"]


def environment(job: Any) -> dict[str, str]:
    """Environment of a rendered Job, without what the test sets itself."""
    given = {item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    given.pop("TIMEOUT_S")
    return given


# --- devices -----------------------------------------------------------------------------------------------------------


def node(number: int, clique: str = "c1.1", **changes: Any) -> dict[str, Any]:
    labels = {
        RACK_LABEL: RACK.rack,
        CLIQUE_LABEL: clique,
        "nvidia.com/cuda.driver-version.major": "580",
        "node.kubernetes.io/instance-type": "p6e-gb200.36xlarge",
        **changes.pop("labels", {}),
    }
    offers = {"nvidia.com/gpu": "4", "vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "10256Mi"}
    return {
        "metadata": {"name": f"node-{number}", "labels": {key: item for key, item in labels.items() if item}},
        "spec": {"unschedulable": changes.pop("cordoned", False)},
        "status": {
            "allocatable": {**offers, **changes.pop("allocatable", {})},
            "conditions": [{"type": "Ready", "status": changes.pop("ready", "True"), "message": "kubelet stopped"}],
        },
    }


def rack_slice(number: int, *devices: str, driver: str = "compute-domain.nvidia.com") -> dict[str, Any]:
    spec = {"driver": driver, "nodeName": f"node-{number}", "pool": {"name": f"node-{number}"},
            "devices": [{"name": name} for name in devices or ("channel-0", "daemon-0")]}  # fmt: skip
    return {"metadata": {"name": f"slice-{number}"}, "spec": spec}


CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
CHANNEL_CLASS = f"{CLASSES}/compute-domain-default-channel.nvidia.com"


def rack_api(nodes: list[dict[str, Any]] | None = None, slices: list[dict[str, Any]] | None = None) -> Api:
    paths = (f"{CLASSES}/compute-domain-daemon.nvidia.com", CHANNEL_CLASS)
    return Api(
        objects={path: {"metadata": {"name": path.rsplit("/", 1)[-1]}} for path in paths},
        lists={
            # A node of another rack is no node of this one.
            "/api/v1/nodes": [*(nodes or [node(n) for n in range(9)]), node(99, labels={RACK_LABEL: "rack-z"})],
            "/apis/resource.k8s.io/v1/resourceslices": slices or [rack_slice(n) for n in range(9)],
        },
    )


def devices(folder: Path, api: Api, **changes: str) -> tuple[int, str, str]:
    check = objects.devices_check(RACK, image="python", timeout_s=60)
    with api.served() as url:
        return run("rack_devices", folder, url, **{**environment(check.job), **changes})


def test_a_whole_rack(tmp_path: Path) -> None:
    api = rack_api()
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="10256")
    assert (code, log) == (0, ""), output
    assert api.result("devices")["verdict"] == "pass"
    assert json.loads(api.result("devices")["figures"]) == {"nodes": 9, "cliques": {"c1.1": 9}}


def with_one(changed: dict[str, Any]) -> list[dict[str, Any]]:
    return [node(n) for n in range(8)] + [changed]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node(n) for n in range(8)], "8 nodes have the rack's label, not 9"),
        (with_one(node(8, ready="False")), "node-8 is not Ready (kubelet stopped)"),
        (with_one(node(8, cordoned=True)), "node-8 is cordoned"),
        (with_one(node(8, allocatable={"nvidia.com/gpu": "3"})), "node-8 offers 3 nvidia.com/gpu, not 4"),
        # Time-sliced GPUs are counted several times.
        (with_one(node(8, allocatable={"nvidia.com/gpu": "8"})), "node-8 offers 8 nvidia.com/gpu, not 4"),
        (with_one(node(8, allocatable={"vpc.amazonaws.com/efa": "0"})), "node-8 offers 0 vpc.amazonaws.com/efa, not 4"),
        (
            with_one(node(8, allocatable={"hugepages-2Mi": "2Gi"})),
            "node-8 offers 2048 MiB of huge pages, fewer than 5120",
        ),
        (with_one(node(8, labels={CLIQUE_LABEL: ""})), "node-8 has no label nvidia.com/gpu.clique"),
        (
            with_one(node(8, labels={"nvidia.com/cuda.driver-version.major": "595"})),
            "node-8 runs driver branch 595, not 580",
        ),
        (
            with_one(node(8, labels={"node.kubernetes.io/instance-type": "p6-b200.48xlarge"})),
            "node-8 is of type p6-b200.48xlarge, not p6e-gb200.36xlarge",
        ),
        (
            [node(n, f"c1.{n // 5}") for n in range(9)],
            "the nodes are in 2 NVLink cliques (c1.0: 5, c1.1: 4), and 1 is expected",
        ),
    ],
)
def test_a_rack_that_lacks_something(tmp_path: Path, nodes: list[dict[str, Any]], reason: str) -> None:
    """Each of these lets pods of a multi-node graph start on most of the rack and wait for the rest, silently."""
    api = rack_api(nodes)
    code, output, log = devices(tmp_path, api, HUGEPAGES_MIB="5120")
    assert code == 1 and log.startswith(reason) and reason in output
    assert "\n" not in log, "nothing else is wrong"
    assert api.result("devices")["verdict"] == "fail" and api.result("devices")["reason"] == log


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda api: api.objects.pop(CHANNEL_CLASS),
            "there is no DeviceClass compute-domain-default-channel.nvidia.com",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].pop(),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com, so the DRA plugin does not run there",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].__setitem__(8, rack_slice(8, "daemon-0")),
            "node-8 has a ResourceSlice of compute-domain.nvidia.com without channel-0",
        ),
        (
            lambda api: api.lists["/apis/resource.k8s.io/v1/resourceslices"].__setitem__(
                8, rack_slice(8, driver="gpu.nvidia.com")
            ),
            "node-8 has no ResourceSlice of compute-domain.nvidia.com",
        ),
        (lambda api: api.broken.update({"GET /api/v1/nodes": 403}), "the API server answered: HTTP Error 403"),
    ],
)
def test_a_rack_without_its_dra_driver(tmp_path: Path, change: Callable[[Api], Any], reason: str) -> None:
    api = rack_api()
    change(api)
    code, _, log = devices(tmp_path, api)
    assert code == 1 and reason in log


def test_a_rack_that_was_mended_passes(tmp_path: Path) -> None:
    """The result of the check that failed is there already."""
    api = rack_api(with_one(node(8, cordoned=True)))
    assert devices(tmp_path, api)[0] == 1
    api.lists["/api/v1/nodes"][8] = node(8)
    assert devices(tmp_path, api)[0] == 0
    assert api.result("devices")["verdict"] == "pass" and api.result("devices")["reason"] == ""


def test_two_cliques_where_the_stack_expects_two(tmp_path: Path) -> None:
    api = rack_api([node(n, f"c1.{n // 5}") for n in range(9)])
    assert devices(tmp_path, api, CLIQUES="2")[0] == 0
    assert json.loads(api.result("devices")["figures"])["cliques"] == {"c1.0": 5, "c1.1": 4}


def test_labels_that_come_late_are_waited_for(tmp_path: Path) -> None:
    """The clique label comes minutes after the node is Ready."""
    api = rack_api(with_one(node(8, labels={CLIQUE_LABEL: ""})))
    api.after["GET /api/v1/nodes"] = lambda: api.lists["/api/v1/nodes"].__setitem__(8, node(8))
    code, output, _ = devices(tmp_path, api, TIMEOUT_S="20")
    assert code == 0 and "node-8 has no label" in output


def test_a_pass_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    api = rack_api()
    api.broken[f"POST {RESULTS}"] = 403
    code, _, log = devices(tmp_path, api)
    assert code == 1 and log == "the result could not be written: HTTP Error 403: Forbidden"


# --- what an MPIJob measured -------------------------------------------------------------------------------------------

MPI_JOB = objects.nccl_job(RACK, image="nccl", timeout_s=60)
NAME = MPI_JOB["metadata"]["name"]


def condition(kind: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": "Created", "status": "True"}, {"type": kind, "status": "True", "message": message}]}


def pod(name: str, role: str, **status: Any) -> dict[str, Any]:
    labels = {"training.kubeflow.org/job-name": NAME, "training.kubeflow.org/job-role": role}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running", **status}}


def mpi_api(log: str = "nccl-pass", status: dict[str, Any] | None = None, uid: str = "uid-0") -> Api:
    job = {**MPI_JOB, "metadata": {**MPI_JOB["metadata"], "uid": uid}, "status": status or condition("Succeeded")}
    return Api(
        objects={f"{JOBS}/{NAME}": job},
        lists={PODS: [pod("launcher-1", "launcher", phase="Succeeded")]},
        texts={f"{PODS}/launcher-1/log": (LOGS / f"{log}.log").read_text()},
    )


def measured(folder: Path, api: Api, **changes: str) -> tuple[int, str, str]:
    check = objects.measured_check(RACK, "nccl", MPI_JOB, image="python", timeout_s=60)
    (folder / "mpijob.json").write_text(check.config_map["data"]["mpijob.json"])
    given = {**environment(check.job), "MANIFEST": str(folder / "mpijob.json"), "TIMEOUT_S": "0.3", **changes}
    with api.served() as url:
        return run("mpi_result", folder, url, **given)


def test_a_run_that_passes(tmp_path: Path) -> None:
    api = mpi_api()
    code, output, log = measured(tmp_path, api)
    assert (code, log) == (0, ""), output
    told = api.result("nccl")
    assert (told["verdict"], told["reason"], told["run"]) == ("pass", "", "uid-0")
    assert json.loads(told["figures"])["busbwGBps"] == 841.6


def test_a_run_that_was_judged_before_is_judged_again_and_not_made_again(tmp_path: Path) -> None:
    """Changed marks must not ask for a whole free rack while graphs serve from it."""
    api = mpi_api()
    measured(tmp_path, api)
    code, _, _ = measured(tmp_path, api, MARKS=json.dumps({**objects.marks_of(RACK, "nccl"), "busbw_gbps": 900}))
    assert code == 1 and api.result("nccl")["verdict"] == "fail"
    assert not [item for item in api.asked if JOBS in item]


@pytest.mark.parametrize(
    ("log", "status", "reason"),
    [
        ("nccl-half", "Succeeded", "53% of the mark"),
        ("nccl-skipped", "Succeeded", "which is no pass: Skipping"),
        ("nccl-crashed", "Failed", "did not run"),
        # A good log of a launcher that failed afterwards is no pass either.
        ("nccl-pass", "Failed", "the MPIJob failed: backoff limit reached"),
    ],
)
def test_a_run_that_does_not_pass(tmp_path: Path, log: str, status: str, reason: str) -> None:
    """A graph on a rack that nobody found slow would serve, at a fraction."""
    api = mpi_api(log, condition(status, "backoff limit reached"))
    code, output, termination = measured(tmp_path, api)
    assert code == 1 and reason in termination and reason in output
    assert api.result("nccl")["verdict"] == "fail" and api.result("nccl")["reason"] == termination


def test_a_launcher_that_was_killed_is_told(tmp_path: Path) -> None:
    api = mpi_api("nccl-crashed", condition("Failed", "backoff limit reached"))
    ended = {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    api.lists[PODS] = [pod("launcher-1", "launcher", phase="Failed", containerStatuses=[ended])]
    assert "the launcher ended with exit code 137 (OOMKilled)" in measured(tmp_path, api)[2]


def test_the_newest_launcher_is_read(tmp_path: Path) -> None:
    api = mpi_api("nccl-half")
    api.lists[PODS] += [pod("launcher-2", "launcher"), pod("launcher-0", "launcher")]
    for item, created in zip(api.lists[PODS], ("10:00", "10:07", "09:30"), strict=True):
        item["metadata"]["creationTimestamp"] = f"2026-12-02T{created}:00Z"
    api.texts[f"{PODS}/launcher-2/log"] = (LOGS / "nccl-pass.log").read_text()
    assert measured(tmp_path, api)[0] == 0


def test_a_launcher_that_is_gone_is_no_pass(tmp_path: Path) -> None:
    api = mpi_api()
    api.lists[PODS] = []
    code, _, log = measured(tmp_path, api)
    assert code == 1 and log == "the launcher's pod is gone, and its log with it"


def test_pods_that_wait_are_told(tmp_path: Path) -> None:
    """A rack short of one node would otherwise end as "not done in time"."""
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/12 nodes are available: 9 Insufficient gpu"}
    pulling = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}
    api = mpi_api(status={"conditions": [{"type": "Running", "status": "False"}]})
    api.lists[PODS] = [
        pod("w-0", "worker", conditions=[{"type": "Ready", "status": "True"}]),
        pod("w-1", "worker", phase="Pending", conditions=[unscheduled]),
        pod("w-2", "worker", phase="Pending", containerStatuses=[pulling]),
    ]
    code, _, log = measured(tmp_path, api)
    assert code == 1 and log.startswith("not done in time; last seen: ")
    assert "1 of 3 pods wait (w-1): 0/12 nodes are available" in log
    assert "1 of 3 pods wait (w-2): ImagePullBackOff no such tag" in log


def test_without_an_operator_the_reason_says_so(tmp_path: Path) -> None:
    api = mpi_api(status={"conditions": []})
    api.lists[PODS] = []
    assert "does the MPI operator run?" in measured(tmp_path, api)[2]


def test_workers_that_stay_hold_the_pass_back(tmp_path: Path) -> None:
    """A node is in one ComputeDomain at a time: the first graph's pods would fail to start on it (DRA driver)."""
    api = mpi_api()
    api.lists[PODS].append(pod("w-0", "worker"))
    code, _, log = measured(tmp_path, api)
    assert code == 1 and "workers that are done still hold the rack's channels" in log
    assert json.loads(api.result("nccl")["figures"])["busbwGBps"] == 841.6


def remade(api: Api, path: str) -> None:
    """What the operator and the pods do with a new MPIJob: it passes."""
    if path == f"{JOBS}/{NAME}":
        api.objects[path]["status"] = condition("Succeeded")
        api.texts[f"{PODS}/launcher-1/log"] = (LOGS / "nccl-pass.log").read_text()


def test_a_run_that_failed_is_made_again(tmp_path: Path) -> None:
    """The failed MPIJob stays as Pulumi made it: without a new run the next `up` would read the old log for ever."""
    api = mpi_api("nccl-half")
    api.on_create = remade
    assert measured(tmp_path, api)[0] == 1
    code, output, _ = measured(tmp_path, api, TIMEOUT_S="10")
    assert code == 0 and "the run that failed is made again" in output
    assert [item for item in api.asked if JOBS in item] == [f"DELETE {JOBS}/{NAME}", f"POST {JOBS}"]
    made = api.objects[f"{JOBS}/{NAME}"]
    assert made["spec"] == MPI_JOB["spec"] and made["metadata"]["labels"] == MPI_JOB["metadata"]["labels"]
    assert api.result("nccl")["verdict"] == "pass" and api.result("nccl")["run"] == made["metadata"]["uid"] != "uid-0"


def test_a_run_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    """Pulumi does not see that an object is gone until a refresh."""
    api = mpi_api()
    del api.objects[f"{JOBS}/{NAME}"]
    api.on_create = remade
    assert measured(tmp_path, api, TIMEOUT_S="10")[0] == 0


def test_a_failed_result_of_another_run_leaves_this_one_alone(tmp_path: Path) -> None:
    """Pulumi has made a new run since; making it a third time would cost its minutes again."""
    api = mpi_api(uid="uid-new")
    api.objects[f"{RESULTS}/{objects.result_name(RACK, 'nccl')}"] = {"data": {"verdict": "fail", "run": "uid-old"}}
    assert measured(tmp_path, api)[0] == 0
    assert not [item for item in api.asked if JOBS in item]


def test_an_unreadable_result_store_is_no_pass(tmp_path: Path) -> None:
    api = mpi_api()
    api.broken[f"POST {RESULTS}"] = 403
    code, _, log = measured(tmp_path, api)
    assert code == 1 and "the result could not be written" in log


def test_an_api_server_that_answers_later_is_asked_again(tmp_path: Path) -> None:
    api = mpi_api()
    api.broken[f"GET {JOBS}/{NAME}"] = 503
    api.after[f"GET {JOBS}/{NAME}"] = api.broken.clear
    code, output, _ = measured(tmp_path, api, TIMEOUT_S="20")
    assert code == 0 and "HTTP Error 503" in output
