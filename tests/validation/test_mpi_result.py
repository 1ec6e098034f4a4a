"""The program that judges a rack's measurements, against an API server in the same process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.validation import ladder_objects as objects
from tests.validation.api import JOBS, PODS, RACK, RESULTS, Api, environment
from tests.validation.programs import Clock, program, refusing, run
from tests.validation.test_rack_logs import LOGS

MPI_JOB = objects.nccl_job(RACK, image="nccl", timeout_s=60)
NAME = MPI_JOB["metadata"]["name"]


def condition(kind: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": "Created", "status": "True"}, {"type": kind, "status": "True", "message": message}]}


def pod(name: str, role: str, **status: Any) -> dict[str, Any]:
    labels = {"training.kubeflow.org/job-name": NAME, "training.kubeflow.org/job-role": role}
    created = status.pop("created", "2026-12-02T10:00:00Z")
    metadata = {"name": name, "labels": labels, "creationTimestamp": created}
    return {"metadata": metadata, "status": {"phase": "Running", **status}}


def mpi_api(log: str = "nccl-pass", status: dict[str, Any] | None = None, uid: str = "uid-0") -> Api:
    job = {**MPI_JOB, "metadata": {**MPI_JOB["metadata"], "uid": uid}, "status": status or condition("Succeeded")}
    return Api(
        objects={f"{JOBS}/{NAME}": job},
        lists={PODS: [pod("launcher-1", "launcher", phase="Succeeded")]},
        texts={f"{PODS}/launcher-1/log": (LOGS / f"{log}.log").read_text()},
    )


def measured(folder: Path, api: Api, clock: Clock | None = None, **changes: str) -> tuple[int, str, str]:
    check = objects.measured_check(RACK, "nccl", MPI_JOB, image="python", timeout_s=60)
    (folder / "mpijob.json").write_text(check.config_map["data"]["mpijob.json"])
    given = {**environment(check.job), **changes}
    manifest = mock.patch.object(program("mpi_result"), "MANIFEST", str(folder / "mpijob.json"))
    with manifest, api.served() as url:
        return run("mpi_result", folder, url, clock, **given)


FIGURES = (
    '{"busbwGBps": 841.6, "bytes": 17179869184, "cliqueRanks": 36, "inPlaceBusbwGBps": 839.92, "markGBps": 785.0, '
    '"network": ["Libfabric"], "ranks": 36}'
)


def test_a_run_that_passes(tmp_path: Path) -> None:
    """The ladder reads the ConfigMap; what is missing there never passed."""
    api = mpi_api()
    code, output, log = measured(tmp_path, api)
    assert (code, log, output) == (0, "", f"{FIGURES}\npassed\n")
    assert api.asked == [f"POST {RESULTS}"]
    result = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "verify-rack-b-nccl-result",
            "namespace": RACK.namespace,
            "labels": {objects.LABEL: "rack-b"},
            "uid": "uid-1",
        },
        "data": {"verdict": "pass", "reason": "", "figures": FIGURES, "run": "uid-0"},
    }
    assert api.objects[f"{RESULTS}/verify-rack-b-nccl-result"] == result
    of_worker, of_launcher = (
        f"{PODS}?labelSelector=training.kubeflow.org/job-name%3D{NAME}%2Ctraining.kubeflow.org/job-role%3D{role}"
        for role in ("worker", "launcher")
    )
    assert api.read == [
        f"{JOBS}/{NAME}",
        f"{RESULTS}/verify-rack-b-nccl-result",
        f"{JOBS}/{NAME}",
        of_launcher,
        f"{PODS}/launcher-1/log",
        of_worker,
    ]


def test_a_run_that_was_judged_before_is_judged_again_and_not_made_again(tmp_path: Path) -> None:
    """Changed marks must not ask for a whole free rack while graphs serve from it."""
    api = mpi_api()
    measured(tmp_path, api)
    code, _, _ = measured(tmp_path, api, MARKS=json.dumps({**objects.marks_of(RACK, "nccl"), "busbw_gbps": 900}))
    assert code == 1 and api.result("nccl")["verdict"] == "fail"
    result = f"{RESULTS}/verify-rack-b-nccl-result"
    assert api.asked == [f"POST {RESULTS}", f"POST {RESULTS}", f"PUT {result}"]


@pytest.mark.parametrize(
    ("log", "status", "reason"),
    [
        (
            "nccl-half",
            condition("Succeeded"),
            "the bus bandwidth at 17179869184 bytes is 412.38 GB/s, 53% of the mark of 785.0 GB/s",
        ),
        (
            "nccl-skipped",
            condition("Succeeded"),
            "the all-reduce did not run, which is no pass: Skipping NCCL all-reduce: fewer than two nodes are free",
        ),
        (
            "nccl-skipped",
            condition("Failed", "backoff limit reached"),
            "the all-reduce did not run, which is no pass: Skipping NCCL all-reduce: fewer than two nodes are free; the MPIJob "
            "failed: backoff limit reached",
        ),
        # A good log of a launcher that failed afterwards is no pass either.
        ("nccl-pass", condition("Failed", "backoff limit reached"), "the MPIJob failed: backoff limit reached"),
        (
            "nccl-pass",
            {"conditions": [{"type": "Failed", "status": "True", "reason": "Evicted"}]},
            "the MPIJob failed: Evicted",
        ),
        ("nccl-pass", {"conditions": [{"type": "Failed", "status": "True"}]}, "the MPIJob failed: no reason"),
    ],
)
def test_a_run_that_does_not_pass(tmp_path: Path, log: str, status: dict[str, Any], reason: str) -> None:
    """A graph on a rack that nobody found slow would serve, at a fraction."""
    api = mpi_api(log, status)
    code, output, termination = measured(tmp_path, api)
    assert (code, termination) == (1, reason)
    assert output.splitlines()[-1] == f"FAILED: {reason}"
    told = api.result("nccl")
    assert (told["verdict"], told["reason"]) == ("fail", reason)


@pytest.mark.parametrize(
    ("statuses", "how"),
    [
        (
            [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
            "the launcher ended with exit code 137 (OOMKilled); ",
        ),
        ([{"state": {"terminated": {"exitCode": 1}}}], "the launcher ended with exit code 1 (no reason); "),
        ([{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}], ""),
        (
            [{"name": "a"}, {"state": {}}, *({"state": {"terminated": {"exitCode": code}}} for code in (0, 2, 3))],
            "the launcher ended with exit code 2 (no reason); the launcher ended with exit code 3 (no reason); ",
        ),
        (None, ""),
    ],
)
def test_a_launcher_that_was_killed_is_told(tmp_path: Path, statuses: Any, how: str) -> None:
    """The log of a launcher without memory ends in the middle, and says nothing of why."""
    api = mpi_api(status=condition("Failed", "backoff limit reached"))
    api.lists[PODS] = [pod("launcher-1", "launcher", phase="Failed", containerStatuses=statuses)]
    assert measured(tmp_path, api)[2] == f"{how}the MPIJob failed: backoff limit reached"


def test_the_newest_launcher_is_read(tmp_path: Path) -> None:
    """The operator makes another launcher when a node goes; the first one's log is cut short."""
    api = mpi_api("nccl-half")
    times = {"launcher-1": "10:00", "launcher-2": "10:07", "launcher-0": "09:30"}
    api.lists[PODS] = [pod(name, "launcher", created=f"2026-12-02T{time}:00Z") for name, time in times.items()]
    api.texts[f"{PODS}/launcher-2/log"] = (LOGS / "nccl-pass.log").read_text()
    assert measured(tmp_path, api)[0] == 0


def test_bytes_that_are_no_text_are_read_over(tmp_path: Path) -> None:
    """A rank that dies in the middle of a letter must not end the judge."""
    api = mpi_api()
    api.texts[f"{PODS}/launcher-1/log"] = b"\xff\n" + (LOGS / "nccl-pass.log").read_bytes()
    assert measured(tmp_path, api)[0] == 0


def test_a_launcher_that_is_gone_is_no_pass(tmp_path: Path) -> None:
    """Nobody can say what it measured."""
    api = mpi_api()
    api.lists[PODS] = []
    code, _, log = measured(tmp_path, api)
    assert code == 1 and log == "the launcher's pod is gone, and its log with it"


PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/12 nodes are available: 9 Insufficient gpu"}
SCHEDULED = {"type": "PodScheduled", "status": "True", "message": "assigned"}
READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        (
            [
                pod("w-0", "worker", conditions=[READY]),
                pod("w-1", "worker", phase="Pending", conditions=[SCHEDULED], containerStatuses=[{"name": "a"}, {"state": {}}, PULLING]),
                pod("w-2", "worker", phase="Pending", conditions=[UNSCHEDULED], containerStatuses=[PULLING]),
                pod("w-3", "worker", phase="Pending", conditions=[UNSCHEDULED]),
                pod("l-0", "launcher", phase="Succeeded"),
                pod("l-1", "launcher", phase="Failed"),
            ],
            "2 of 6 pods wait (w-2): 0/12 nodes are available: 9 Insufficient gpu; 1 of 6 pods wait (w-1): ImagePullBackOff no "
            "such tag",
        ),
        (
            [pod("w-0", "worker", conditions=[{"type": "Ready", "status": "False"}]), pod("l-0", "launcher", phase="Pending")],
            "1 of 2 pods wait (l-0): Pending; 1 of 2 pods wait (w-0): Running",
        ),
        (
            [pod("w-0", "worker", containerStatuses=[{"state": {"waiting": {"reason": "a" * 301}}}, PULLING])],
            f"1 of 1 pods wait (w-0): {'a' * 300}",
        ),
        ([pod("w-0", "worker", conditions=[READY]), pod("l-0", "launcher", conditions=[READY])], "2 pods run"),
        # A new operator's first minutes, or none: the MPIJob is accepted and nothing happens.
        ([], "no pod yet; does the MPI operator run?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "status", [None, {}, {"conditions": None}, {"conditions": [{"type": "Failed", "status": "False"}]}]
)
def test_what_a_run_waits_for_is_told(
    tmp_path: Path, status: dict[str, Any] | None, pods: list[dict[str, Any]], told: str
) -> None:
    """A rack short of one node would otherwise end as "not done in time"."""
    api, clock = mpi_api(), Clock()
    api.objects[f"{JOBS}/{NAME}"]["status"] = status
    api.lists[PODS] = pods
    code, output, log = measured(tmp_path, api, clock, TIMEOUT_S="20")
    assert (code, log) == (1, f"not done in time; last seen: {told}")
    assert output == f"{told}\n{{}}\nFAILED: {log}\n"
    assert clock.slept == [10.0] * 3
    assert api.result("nccl") == {"verdict": "fail", "reason": log, "figures": "{}", "run": "uid-0"}


def test_workers_that_stay_hold_the_pass_back(tmp_path: Path) -> None:
    """A node is in one ComputeDomain at a time: the first graph's pods would fail to start on it (DRA driver)."""
    api, clock = mpi_api(), Clock()
    api.lists[PODS].append(pod("w-0", "worker"))
    code, output, log = measured(tmp_path, api, clock)
    held = "workers that are done still hold the rack's channels"
    assert (code, log) == (1, f"not done in time; last seen: {held}")
    assert output == f"{held}\n{FIGURES}\nFAILED: {log}\n"
    assert api.result("nccl")["figures"] == FIGURES


def test_workers_that_go_let_it_pass(tmp_path: Path) -> None:
    """Workers end some seconds after their launcher."""
    api = mpi_api()
    api.lists[PODS].append(pod("w-0", "worker"))
    clock = Clock(meanwhile=api.lists[PODS].pop)
    code, output, _ = measured(tmp_path, api, clock, TIMEOUT_S="20")
    assert (code, clock.slept) == (0, [10.0])
    assert output.endswith(f"still hold the rack's channels\n{FIGURES}\npassed\n")


def test_a_run_that_is_deleted_meanwhile_ends_the_wait(tmp_path: Path) -> None:
    """Whoever frees the rack by hand would wait until the deadline to be told so."""
    api, clock = mpi_api(), Clock()
    api.after[f"GET {JOBS}/{NAME}"] = lambda: api.objects.pop(f"{JOBS}/{NAME}")
    code, _, log = measured(tmp_path, api, clock)
    assert (code, log, clock.slept) == (1, "the MPIJob was deleted while it ran", [])


def remade(api: Api, path: str) -> None:
    """What the operator and the pods do with a new MPIJob: it passes."""
    if path == f"{JOBS}/{NAME}":
        api.objects[path]["status"] = condition("Succeeded")
        api.texts[f"{PODS}/launcher-1/log"] = (LOGS / "nccl-pass.log").read_text()


@pytest.mark.parametrize("slow", [False, True])
def test_a_run_that_failed_is_made_again(tmp_path: Path, slow: bool) -> None:
    """The failed MPIJob stays as Pulumi made it: without a new run the next `up` would read the old log for ever."""
    api, clock = mpi_api("nccl-half"), Clock()
    api.on_create = remade
    assert measured(tmp_path, api)[0] == 1
    api.asked.clear()
    if slow:
        # Its workers are still ending.
        api.slow.add(f"{JOBS}/{NAME}")
    code, output, _ = measured(tmp_path, api, clock, TIMEOUT_S="30")
    waits = ["the old run is being deleted"] if slow else []
    assert output.splitlines() == ["the run that failed is made again", *waits, FIGURES, "passed"]
    assert (code, clock.slept) == (0, [10.0] if slow else [])
    assert api.asked[:2] == [f"DELETE {JOBS}/{NAME}", f"POST {JOBS}"]
    assert api.bodies[f"DELETE {JOBS}/{NAME}"] == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "uid-0"},
    }
    assert api.bodies[f"POST {JOBS}"] == MPI_JOB
    made = api.objects[f"{JOBS}/{NAME}"]
    assert api.result("nccl")["verdict"] == "pass" and api.result("nccl")["run"] == made["metadata"]["uid"] != "uid-0"


def test_a_run_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    """Pulumi does not see that an object is gone until a refresh."""
    api = mpi_api()
    del api.objects[f"{JOBS}/{NAME}"]
    api.on_create = remade
    code, output, _ = measured(tmp_path, api)
    assert (code, output) == (0, f"{FIGURES}\npassed\n")
    assert api.asked == [f"POST {JOBS}", f"POST {RESULTS}"]


@pytest.mark.parametrize(
    "before",
    [
        # Pulumi has made a new run since; making it a third time would cost its minutes again.
        {"data": {"verdict": "fail", "run": "uid-old"}},
        {"data": {"verdict": "fail"}},
        {"data": {"verdict": "pass", "run": "uid-0"}},
        # Somebody emptied it.
        {},
    ],
)
def test_a_run_that_did_not_fail_is_not_made_again(tmp_path: Path, before: dict[str, Any]) -> None:
    """Another run needs the whole rack, on which graphs may serve."""
    api = mpi_api()
    api.objects[f"{RESULTS}/{objects.result_name(RACK, 'nccl')}"] = before
    assert measured(tmp_path, api)[0] == 0
    assert not [item for item in api.asked if JOBS in item]


@pytest.mark.parametrize(
    ("log", "first"),
    [
        ("nccl-pass", ""),
        (
            "nccl-skipped",
            "the all-reduce did not run, which is no pass: Skipping NCCL all-reduce: fewer than two nodes are free; ",
        ),
    ],
)
def test_an_unreadable_result_store_is_no_pass(tmp_path: Path, log: str, first: str) -> None:
    """The ladder would go on from the result of an earlier run."""
    api = mpi_api(log)
    api.broken[f"POST {RESULTS}"] = 403
    code, _, told = measured(tmp_path, api)
    assert (code, told) == (1, f"{first}the result could not be written: HTTP Error 403: Forbidden")


def test_a_reason_fits_into_its_termination_message(tmp_path: Path) -> None:
    """The kubelet cuts at 4096 bytes, and the result's ConfigMap says the same as the Job."""
    api = mpi_api(status=condition("Failed", "x" * 4000))
    _, output, log = measured(tmp_path, api)
    assert log == f"the MPIJob failed: {'x' * 3481}" and len(log) == 3500
    assert api.result("nccl")["reason"] == log and output.endswith(f"FAILED: {log}\n")


def test_a_termination_log_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    """A traceback would end the Job's log instead of the reason."""
    api = mpi_api(status=condition("Failed", "backoff limit reached"))
    with mock.patch.object(program("mpi_result"), "open", refusing("termination-log"), create=True):
        code, output, log = measured(tmp_path, api)
    assert (code, log) == (1, "")
    assert output.splitlines()[-2:] == [
        "FAILED: the MPIJob failed: backoff limit reached",
        "termination log: no space left",
    ]


@pytest.mark.parametrize("uid", ["", "uid-0"])
def test_a_run_that_nobody_could_look_at_is_told(tmp_path: Path, uid: str) -> None:
    """A ConfigMap takes nothing but text: with a run that is null the API server would refuse the reason too. A run that was
    seen once is made again by the next `up`."""
    api = mpi_api()
    refused = {f"GET {JOBS}/{NAME}": 403}
    if uid:
        api.after[f"GET {JOBS}/{NAME}"] = lambda: api.broken.update(refused)
    else:
        api.broken.update(refused)
    code, _, log = measured(tmp_path, api)
    assert (code, log) == (1, "not done in time; last seen: the API server answered: HTTP Error 403: Forbidden")
    assert api.result("nccl") == {"verdict": "fail", "reason": log, "figures": "{}", "run": uid}


def test_an_api_server_that_answers_later_is_asked_again(tmp_path: Path) -> None:
    """A control plane that is upgraded does not answer for a minute."""
    api, clock = mpi_api(), Clock()
    api.broken[f"GET {JOBS}/{NAME}"] = 503
    api.after[f"GET {JOBS}/{NAME}"] = api.broken.clear
    code, output, _ = measured(tmp_path, api, clock, TIMEOUT_S="20")
    assert (code, clock.slept) == (0, [10.0])
    unanswered = "the API server answered: HTTP Error 503: Service Unavailable"
    assert output == f"{unanswered}\n{FIGURES}\npassed\n"
