"""The ladder's objects: against the real schemas, and what must hold of every rack."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.capacity.spec import UltraServer
from components.capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL, TYPES, Rack
from components.validation import jobs
from components.validation import ladder_objects as objects
from components.validation.ladder_objects import RackUnderTest
from schemas.strict import Shapes
from tests.schemas.test_strict import strict_schema

SHAPES = Shapes.load()

SPEC = UltraServer(
    reservation="cr-0123456789abcdef0",
    type="u-p6e-gb200x72",
    zone="use1-dfw2-az1",
    start=datetime(2026, 12, 1, 11, 30, tzinfo=UTC),
    end=datetime(2026, 12, 8, 11, 30, tzinfo=UTC),
    huge_pages_mib=5120,
)


def a_rack(rack: str = "rack-a", **changes: Any) -> RackUnderTest:
    """A rack under test, by its name and by what else the stack says of it."""
    made = Rack(name=rack, spec=SPEC.model_copy(update=changes))
    return RackUnderTest(rack=made, driver_branch=580, namespace=f"verify-{rack}")


X72 = a_rack()
X36 = a_rack("rack-b", type="u-p6e-gb200x36", efa_interfaces=8, huge_pages_mib=0)
SPLIT = dataclasses.replace(X72, cliques=2)
RACKS = pytest.mark.parametrize("rack", [X72, X36, SPLIT], ids=["x72", "x36", "split"])


def mpi_jobs(rack: RackUnderTest) -> dict[str, dict[str, Any]]:
    return {
        "nvbandwidth": objects.nvbandwidth_job(rack, image=objects.NVBANDWIDTH_IMAGE, timeout_s=1800),
        "nccl": objects.nccl_job(rack, image=objects.NCCL_TESTS_IMAGE, timeout_s=2400),
        "efa": objects.efa_job(rack, image=objects.NCCL_TESTS_IMAGE, timeout_s=2400),
    }


def checks(rack: RackUnderTest) -> dict[str, objects.Check]:
    made = {"devices": objects.devices_check(rack, image="python:3.12", timeout_s=1200)}
    for rung, job in mpi_jobs(rack).items():
        made[rung] = objects.measured_check(rack, rung, job, image="python:3.12", timeout_s=1200)
    return made


def imex(rack: RackUnderTest) -> dict[str, Any]:
    return objects.imex_job(rack, image=objects.NVBANDWIDTH_IMAGE, timeout_s=1500)


def every_object(rack: RackUnderTest) -> Iterator[dict[str, Any]]:
    yield objects.compute_domain(rack)
    yield imex(rack)
    yield from mpi_jobs(rack).values()
    for check in checks(rack).values():
        yield {"apiVersion": "v1", "kind": "ConfigMap", **check.config_map}
        yield {"apiVersion": "batch/v1", "kind": "Job", **check.job}
    rules = objects.role_rules(rack, [job["metadata"]["name"] for job in mpi_jobs(rack).values()])
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": rack.name, "namespace": rack.namespace},
        "rules": rules,
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": rack.cluster_name},
        "rules": objects.cluster_rules(),
    }


def template(job: dict[str, Any], role: str) -> dict[str, Any]:
    return job["spec"]["mpiReplicaSpecs"][role]["template"]


# --- the real schemas --------------------------------------------------------------------------------------------------


@RACKS
@pytest.mark.parametrize("kubernetes", ["1.34", "1.35", "1.36"])
def test_every_object_has_only_fields_its_kind_has(rack: RackUnderTest, kubernetes: str) -> None:
    """The API server drops a misspelt field: a claim or a tolerance would be missing on the day the block starts."""
    running = {"kubernetes": kubernetes, "mpi-operator": "0.8.0", "dra-driver-nvidia-gpu": "0.4.1"}
    for item in every_object(rack):
        verdict = SHAPES.check(item, running)
        assert verdict.state == "ok", (item["kind"], [str(fault) for fault in verdict.faults])


def schema_of(path: Path, version: str) -> dict[str, Any]:
    crd = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found = next(item for item in crd["spec"]["versions"] if item["name"] == version)
    return strict_schema(found["schema"]["openAPIV3Schema"]["properties"]["spec"])


@RACKS
def test_custom_objects_are_valid_by_their_definitions(contracts: Path, rack: RackUnderTest) -> None:
    mpi = jsonschema.Draft202012Validator(
        schema_of(next((contracts / "mpi-operator-0.8.0" / "crds").glob("*mpijobs*.yaml")), "v2beta1")
    )
    for job in mpi_jobs(rack).values():
        mpi.validate(job["spec"])
    for driver in ("dra-driver-nvidia-gpu-0.4.1", "nvidia-dra-driver-gpu-25.12.0"):
        found = schema_of(contracts / driver / "crds" / "resource.nvidia.com_computedomains.yaml", "v1beta1")
        jsonschema.Draft202012Validator(found).validate(objects.compute_domain(rack)["spec"])


# --- every field of one rack -------------------------------------------------------------------------------------------

RENDERED: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "rendered.yaml").read_text())


def filled(name: str, **texts: Any) -> Any:
    """What is written down under a name, with texts that are not."""
    text = json.dumps(RENDERED[name])
    for key, value in texts.items():
        text = text.replace(json.dumps(key), json.dumps(value))
    return json.loads(text)


def test_the_domain_is_where_its_claims_are() -> None:
    """A claim's template is found in the pod's own namespace alone."""
    domain = objects.compute_domain(X72)
    assert domain["metadata"] == {
        "name": "verify-rack-a",
        "namespace": "verify-rack-a",
        "labels": {objects.LABEL: "rack-a"},
    }
    elsewhere = objects.compute_domain(dataclasses.replace(X72, namespace="elsewhere"))
    assert elsewhere["metadata"] == {**domain["metadata"], "namespace": "elsewhere"}


@pytest.mark.parametrize("rung", ["imex", *objects.MEASURED])
def test_what_runs_on_a_rack_is_what_is_written_down(rung: str) -> None:
    """Each of these fields is one without which a run on some cluster hung, measured another path or ended in an error."""
    made = {"imex": imex(X72), **mpi_jobs(X72)}[rung]
    assert made == filled(rung, PROBE=objects._PROBE, AWAIT=objects._AWAIT_WORKERS)


@pytest.mark.parametrize("rung", ["devices", *objects.MEASURED])
def test_what_judges_is_what_is_written_down(rung: str) -> None:
    """A judge without its rack's numbers passes another rack."""
    check = checks(X72)[rung]
    name = check.job["metadata"]["name"]
    assert re.fullmatch(rf"verify-rack-a-{rung}-check-[0-9a-f]{{8}}", name)
    environment = [{"name": key, "value": value} for key, value in RENDERED["environments"][rung].items()]
    assert check.job == filled("check", NAME=name, ENVIRONMENT=environment)
    run = {} if rung == "devices" else {"mpijob.json": json.dumps(mpi_jobs(X72)[rung], sort_keys=True)}
    assert check.config_map == {
        "metadata": {"name": name, "namespace": "verify-rack-a", "labels": {objects.LABEL: "rack-a"}},
        "data": {"check.py": jobs.script("rack_devices" if rung == "devices" else "mpi_result"), **run},
        "immutable": True,
    }


# --- what must hold ----------------------------------------------------------------------------------------------------


@RACKS
def test_workers_hold_whole_nodes_and_the_launcher_nothing(rack: RackUnderTest) -> None:
    """A worker without the claim fails with CUDA error 801. A launcher with one, or with a GPU, takes the place of a worker
    on the rack's last node, and the run waits for ever."""
    for rung, job in mpi_jobs(rack).items():
        worker, launcher = template(job, "Worker")["spec"], template(job, "Launcher")["spec"]
        (container,) = worker["containers"]
        assert container["resources"]["claims"] == [{"name": worker["resourceClaims"][0]["name"]}]
        assert [item["resourceClaimTemplateName"] for item in worker["resourceClaims"]] == [
            objects.compute_domain(rack)["spec"]["channel"]["resourceClaimTemplate"]["name"]
        ]
        count = job["spec"]["mpiReplicaSpecs"]["Worker"]["replicas"]
        assert count == (2 if rung == "nvbandwidth" else rack.rack.nodes)
        limits = container["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "4" and job["spec"]["slotsPerWorker"] == 4
        assert limits.get("vpc.amazonaws.com/efa") == (
            None if rung == "nvbandwidth" else str(rack.rack.spec.efa_interfaces)
        )
        # Extended resources and huge pages cannot be overcommitted.
        requests = container["resources"]["requests"]
        assert all(requests[name] == amount for name, amount in limits.items() if name != "cpu")
        assert "resourceClaims" not in launcher
        (container,) = launcher["containers"]
        assert set(container["resources"]["limits"]) == {"memory"} and "claims" not in container["resources"]
        assert container["args"][container["args"].index("-np") + 1] == str(4 * count)


@RACKS
def test_everything_on_the_rack_is_placed_there(rack: RackUnderTest) -> None:
    """NVIDIA's own manifest pins the launcher to a control-plane node, which EKS does not have; on other nodes its image,
    which exists for arm64 alone, does not start."""
    pods = [imex(rack)["spec"]["template"]]
    for job in mpi_jobs(rack).values():
        pods += [template(job, "Worker"), template(job, "Launcher")]
    for item in pods:
        assert item["spec"]["nodeSelector"] == {RACK_LABEL: rack.rack.name}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in item["spec"]["tolerations"]
        assert item["metadata"]["labels"][objects.LABEL] == rack.rack.name


@RACKS
def test_clique_affinity_is_asked_for_where_it_can_be_met(rack: RackUnderTest) -> None:
    """Two workers in two cliques measure EFA. Workers of a whole rack in two cliques never start with the affinity."""
    for rung, job in mpi_jobs(rack).items():
        worker = template(job, "Worker")
        affinity = worker["spec"]["affinity"]
        terms = affinity.get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
        assert bool(terms) == (rung == "nvbandwidth" or (rung == "nccl" and rack.cliques == 1))
        for term in terms:
            assert term["topologyKey"] == CLIQUE_LABEL
            # By itself alone: workers of another run may be in another clique.
            assert term["labelSelector"]["matchLabels"] == {objects.RUN_LABEL: job["metadata"]["name"]}
            assert term["labelSelector"]["matchLabels"].items() <= worker["metadata"]["labels"].items()
            assert objects.RUN_LABEL not in template(job, "Launcher")["metadata"]["labels"]


@RACKS
def test_workers_end_with_their_launcher_and_nothing_is_tried_twice(rack: RackUnderTest) -> None:
    """Workers that stay hold the rack's channels; a second try hides the first one's reason."""
    for job in mpi_jobs(rack).values():
        policy = job["spec"]["runPolicy"]
        assert (policy["cleanPodPolicy"], policy["backoffLimit"]) == ("Running", 0)
        assert job["spec"]["launcherCreationPolicy"] == "WaitForWorkersReady"
    assert imex(rack)["spec"]["backoffLimit"] == 0


def test_the_all_reduce_is_the_one_that_is_judged() -> None:
    """A judge that waits for another size calls every log cut short; one that knows another number of GPUs refuses all."""
    for rack, rung in itertools.product((X72, X36, SPLIT), ("nccl", "efa")):
        args = template(mpi_jobs(rack)[rung], "Launcher")["spec"]["containers"][0]["args"]
        marks = objects.marks_of(rack, rung)
        assert args[args.index("-e") + 1] == str(marks["bytes"])
        assert args[args.index("-np") + 1] == str(marks["ranks"])
        assert args[args.index("-c") + 1] == "1", "the judge demands checked results"
        nvlink = int(rung == "nccl")
        named = {"NCCL_DEBUG=INFO", "FI_PROVIDER=efa", f"NCCL_MNNVL_ENABLE={nvlink}", f"NCCL_NVLS_ENABLE={nvlink}"}
        assert named == {item for item in args if "=" in item}


def test_huge_pages_are_asked_for_only_where_there_are_any() -> None:
    """A pod that asks for pages which no node has set aside stays Pending."""
    for rack, wanted in ((X72, "5120Mi"), (X36, None)):
        resources = template(mpi_jobs(rack)["nccl"], "Worker")["spec"]["containers"][0]["resources"]
        assert resources["limits"].get("hugepages-2Mi") == resources["requests"].get("hugepages-2Mi") == wanted


@pytest.mark.parametrize(
    ("rack", "clique", "mark"), [(X72, 72, 800.0), (X36, 36, 785.0), (SPLIT, 5, 800.0)], ids=["x72", "x36", "split"]
)
def test_a_split_rack_does_not_pass_over_the_network_alone(rack: RackUnderTest, clique: int, mark: float) -> None:
    """One node is no multi-node NVLink; a half of a rack is what a rack in two cliques has."""
    assert objects.marks_of(rack, "nvbandwidth") == {"ranks": 8, "hosts": 2, "pair_gbps": 0.9 * 798}
    assert objects.marks_of(rack, "nccl") == {
        "ranks": 4 * rack.rack.nodes, "hosts": rack.rack.nodes, "clique_ranks": clique, "bytes": 2**34, "busbw_gbps": mark,
    }  # fmt: skip
    assert objects.marks_of(rack, "efa") == {
        "ranks": 4 * rack.rack.nodes, "hosts": rack.rack.nodes, "bytes": 2**34, "busbw_gbps": 40.0,
    }  # fmt: skip


def test_bus_bandwidth_grows_with_the_ranks() -> None:
    """x36 is held to x72's algorithm bandwidth; with another factor its mark refuses good racks, or passes bad ones."""
    assert [objects.bus_factor(ranks) for ranks in (2, 4, 8)] == [1.0, 1.5, 1.75]


def test_names_do_not_depend_on_the_order_of_fields() -> None:
    """A field that is written earlier in the code would have every rack measured again."""
    one, other = (
        objects._run_name(X72, "nccl", spec)
        for spec in ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1})
    )
    assert one == other


def test_there_are_marks_for_every_ultraserver() -> None:
    assert set(objects.MARKS) == set(TYPES)


# --- names -------------------------------------------------------------------------------------------------------------


def names(rack: RackUnderTest) -> dict[str, str]:
    found = {rung: check.job["metadata"]["name"] for rung, check in checks(rack).items()}
    return {**{f"{rung}-check": name for rung, name in found.items()}, "imex": imex(rack)["metadata"]["name"],
            **{rung: job["metadata"]["name"] for rung, job in mpi_jobs(rack).items()}}  # fmt: skip


def test_another_block_is_verified_anew() -> None:
    """The next block's UltraServer is another machine; yesterday's result says nothing of it."""
    other = names(a_rack(reservation="cr-0fedcba9876543210"))
    assert not set(names(X72).values()) & set(other.values())


def test_changed_marks_judge_the_run_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run needs the whole rack free: with graphs on it, a new name would leave `up` waiting until it times out."""
    before = names(X72)
    lower = objects.Marks(700.0, 790.0, 35.0, "a reviewer's decision")
    monkeypatch.setattr(objects, "MARKS", {**objects.MARKS, "u-p6e-gb200x72": lower})
    after = names(X72)
    assert {rung for rung in before if before[rung] != after[rung]} == {"nvbandwidth-check", "nccl-check", "efa-check"}


def test_whatever_a_check_is_made_of_gives_it_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ConfigMap is immutable and a Job's pod cannot be changed: under the same name the API server refuses both."""

    def name(image: str = "a", timeout_s: int = 60, deadline_s: int = 60) -> str:
        run = objects.nccl_job(X72, image="nccl", timeout_s=deadline_s)
        return objects.measured_check(X72, "nccl", run, image=image, timeout_s=timeout_s).job["metadata"]["name"]

    found = [name(), name(image="b"), name(timeout_s=61), name(deadline_s=61)]
    monkeypatch.setattr(jobs, "script", lambda _: "another program")
    assert len({*found, name()}) == 5


def test_a_longer_deadline_runs_nothing_again() -> None:
    """The rack may serve already when somebody gives the next rung more time."""
    long, short = (objects.imex_job(X72, image="a", timeout_s=seconds) for seconds in (9000, 600))
    assert long["metadata"]["name"] == short["metadata"]["name"]
    long, short = (objects.nccl_job(X72, image="a", timeout_s=seconds) for seconds in (9000, 600))
    assert long["metadata"]["name"] == short["metadata"]["name"]
    assert long["spec"]["runPolicy"]["activeDeadlineSeconds"] == 9000


def test_another_image_runs_again() -> None:
    one, other = (objects.nccl_job(X72, image=image, timeout_s=1)["metadata"]["name"] for image in "ab")
    assert one != other


@settings(max_examples=40, deadline=None)
@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True))
def test_names_stay_host_names(rack: str) -> None:
    """The operator makes host names and label values of an MPIJob's name; with 64 characters no pod is ever made."""
    named = a_rack(rack)
    for job in mpi_jobs(named).values():
        assert len(f"{job['metadata']['name']}-worker-17") <= 63
        assert len(f"{job['metadata']['name']}-launcher") <= 63
    for name in names(named).values():
        assert len(name) <= 63
    assert len(set(names(named).values())) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rack": "a-name-far-too-long-for-a-rack"},
            "rack: 'a-name-far-too-long-for-a-rack' is no name of at most 20 lower-case letters, digits and dashes",
        ),
        ({"rack": "Rack"}, "rack: 'Rack' is no name of at most 20 lower-case letters, digits and dashes"),
        (
            {"type": "u-p6e-gb300x72"},
            "rack: no marks for u-p6e-gb300x72; there are u-p6e-gb200x72, u-p6e-gb200x36",
        ),
    ],
)
def test_racks_that_cannot_be_tested_are_refused(changes: dict[str, Any], message: str) -> None:
    """On the block's first hour the API server would refuse names that are too long, or nothing would be measured."""
    with pytest.raises(ValueError) as error:
        a_rack(**changes)
    assert str(error.value) == message


# --- rights ------------------------------------------------------------------------------------------------------------


@RACKS
def test_the_judges_may_do_what_they_do_and_no_more(rack: RackUnderTest) -> None:
    """Without a right the check fails on the block's time; with rights on secrets or other pods it is a way in."""
    runs = [job["metadata"]["name"] for job in mpi_jobs(rack).values()]
    prefix = f"verify-{rack.rack.name}"
    configmaps = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [f"{prefix}-{rung}-result" for rung in ("devices", "nvbandwidth", "nccl", "efa")],
            "verbs": ["get", "update"],
        },
    ]
    pods = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    mpi = [
        {"apiGroups": ["kubeflow.org"], "resources": ["mpijobs"], "verbs": ["create"]},
        {
            "apiGroups": ["kubeflow.org"],
            "resources": ["mpijobs"],
            "resourceNames": sorted(runs),
            "verbs": ["get", "delete"],
        },
    ]
    assert objects.role_rules(rack, runs) == objects.role_rules(rack, runs[::-1]) == [*configmaps, *pods, *mpi]
    # A ladder that measures nothing has no business with MPIJobs.
    assert objects.role_rules(rack, []) == [*configmaps, *pods]
    assert objects.cluster_rules() == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["deviceclasses"],
            "resourceNames": ["compute-domain-daemon.nvidia.com", "compute-domain-default-channel.nvidia.com"],
            "verbs": ["get"],
        },
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": ["list"]},
    ]
    for rung, check in checks(rack).items():
        given = {item["name"]: item["value"] for item in check.job["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert given["RESULT"] == objects.result_name(rack, rung) and given["NAMESPACE"] == rack.namespace


@RACKS
def test_the_judge_holds_the_run_it_judges(rack: RackUnderTest) -> None:
    """It makes a failed run again from this text."""
    for rung, job in mpi_jobs(rack).items():
        check = checks(rack)[rung]
        assert json.loads(check.config_map["data"]["mpijob.json"]) == job
        assert check.config_map["metadata"]["name"] == check.job["metadata"]["name"]


@RACKS
def test_every_object_and_pod_says_whose_it_is(rack: RackUnderTest) -> None:
    """`kubectl get all -l dynamo-eks/verification=<rack>` is what one reaches for on the block's first hour."""
    for check in checks(rack).values():
        for item in (check.config_map, check.job, check.job["spec"]["template"]):
            assert item["metadata"]["labels"] == rack.labels
    for item in (objects.compute_domain(rack), imex(rack), *mpi_jobs(rack).values()):
        assert item["metadata"]["labels"] == rack.labels
