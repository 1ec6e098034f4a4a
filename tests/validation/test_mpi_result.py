"""The program that judges a rack's measurements, against an API server in the same process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.validation import ladder_objects as objects
from tests.validation.api import JOBS, PODS, RACK, RESULTS, Api, environment
from tests.validation.programs import run
from tests.validation.test_rack_logs import LOGS

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
