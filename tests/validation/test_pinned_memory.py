"""What a graph's workers may pin: the Job is the graph's own pod in all that decides it, and its shell program tells right."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.validation.pinned_memory import PROBE, probes
from recording.graph import Node
from tests.conftest import recorded


@pytest.mark.parametrize("stack", ["gb200-prod", "gb200-pair"])
def test_the_jobs_are_the_graphs_own_pods(stack: str) -> None:
    """Another user, image, context or node has another limit, and what it prints says nothing of the worker."""
    graph = recorded(stack)
    seen = 0
    for item in graph.objects_of("DynamoGraphDeployment"):
        workers = [
            component["podTemplate"]["spec"]
            for component in item.manifest["spec"]["components"]
            if "securityContext" in component["podTemplate"]["spec"]["containers"][0]
        ]
        jobs = [
            job
            for job in graph.objects_of("Job")
            if job.name.startswith(f"memlock-{item.name}-") and job.namespace == item.namespace
        ]
        pods = [job.manifest["spec"]["template"]["spec"] for job in jobs]

        def shown(spec: dict[str, Any]) -> tuple[str, ...]:
            container = spec["containers"][0]
            places = (spec.get("nodeSelector"), spec.get("tolerations"), spec.get("imagePullSecrets"))
            return (container["image"], str(container["securityContext"]), *map(str, places))

        assert {shown(spec) for spec in workers} == {shown(spec) for spec in pods}
        assert len(pods) == len({shown(spec) for spec in workers})
        for job in jobs:
            seen += 1
            assert graph.destroyed_before(item.node, job.node), "the graph starts before it is known"
            ladder = [node for node in graph if node.name.startswith("verify-") and node.type.endswith(":Job")]
            assert ladder and all(
                graph.destroyed_before(job.node, rung) for rung in ladder if _rack(rung) in str(job.manifest)
            )
    assert seen


def _rack(rung: Node) -> str:
    return rung.inputs["metadata"]["labels"]["dynamo-eks/verification"]


def test_a_rack_that_leaves_it_out_has_none() -> None:
    assert not [item for item in recorded("g6e-dev").objects_of("Job") if item.name.startswith("memlock-")]
    graph = {
        "metadata": {"namespace": "a"},
        "spec": {"components": [{"podTemplate": {"spec": {"containers": [{"image": "x"}]}}}]},
    }
    assert probes("chat", graph) == []


@pytest.mark.parametrize(
    ("limit", "effective", "code"),
    [
        ("unlimited", "0000000000000000", 0),
        ("8192", "0000000000000000", 1),
        ("64", "000001ffffffffff", 0),
        # All that Docker gives root, and IPC_LOCK is none of it.
        ("64", "00000000a80425fb", 1),
        ("64", "00000000a80465fb", 0),
    ],
)
def test_what_is_told(tmp_path: Path, limit: str, effective: str, code: int) -> None:
    """A pass without the right to pin ends in ENOMEM after the model has loaded; a failure with it keeps a paid rack idle."""
    status, limits = tmp_path / "status", tmp_path / "limits"
    status.write_text(f"Name:\tsh\nCapInh:\t0000000000000000\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n")
    limits.write_text(
        "Max processes             1   1   processes\nMax locked memory         8388608   8388608   bytes\n"
    )
    script = PROBE.replace("$(ulimit -l)", limit)
    script = script.replace("/proc/self/status", str(status)).replace("/proc/self/limits", str(limits))
    ran = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert f"ulimit -l {limit} (KiB), CapEff {effective}" in ran.stdout
    assert "locked memory, soft and hard:" in ran.stdout and "expected: " in ran.stdout
    assert ("FAILED: this user may lock" in ran.stdout) == bool(code)


def test_it_runs_here_too() -> None:
    """The real files of a real process, by the shell that Debian's images have."""
    ran = subprocess.run(["/bin/sh", "-c", PROBE], capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1) and ran.stderr == ""
    assert f"user {os.getuid()}, ulimit -l " in ran.stdout
