"""What the logs of bandwidth tests say, judged by the program that runs in the cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.validation import ladder_objects as objects
from components.validation.ladder_objects import MARKS, RackUnderTest
from tests.validation.programs import program

LOGS = Path(__file__).parent / "logs"


MPI_RESULT = program("mpi_result")

RACK = RackUnderTest(
    rack="rack-b",
    reservation="cr-0123456789abcdef0",
    ultraserver_type="u-p6e-gb200x36",
    instance_type="p6e-gb200.36xlarge",
    nodes=9,
    efa_per_node=4,
    driver_branch=580,
    namespace="verify-rack-b",
)


def judged(log: str, marks: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """(figures, reason) of a file in `logs/`, by the marks that the rendered Job is given."""
    rung = log.split("-", 1)[0]
    return MPI_RESULT.judged(rung, (LOGS / f"{log}.log").read_text(), marks or objects.marks_of(RACK, rung))


def test_nvlink_between_two_nodes_passes() -> None:
    figures, reason = judged("nvbandwidth-pass")
    assert reason == ""
    assert figures["pairs"] == 56 and figures["pairsBetweenNodes"] == 32
    assert 797 < figures["minGBps"] <= figures["meanGBps"] <= figures["maxGBps"] < 799


def test_an_all_reduce_over_the_rack_passes() -> None:
    figures, reason = judged("nccl-pass")
    assert reason == ""
    assert figures == {
        "bytes": 17179869184,
        "busbwGBps": 841.6,
        "inPlaceBusbwGBps": 839.92,
        "ranks": 36,
        "cliqueRanks": 36,
        "network": ["Libfabric"],
        "markGBps": 785.0,
    }


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("nvbandwidth-waived", "multinode_device_to_device_memcpy_read_ce did not run, which is no pass: Waived:"),
        ("nvbandwidth-half", "% of the mark of 718.2 GB/s; 32 of 56 pairs are below"),
        (
            "nvbandwidth-one-slow-pair",
            "GPU 2 (verify-rack-a-nvbandwidth-1f0c22d4-worker-0) reads GPU 6 (verify-rack-a-nvbandwidth-1f0c22d4-worker-1) "
            "at 612.40 GB/s, 85% of the mark of 718.2 GB/s; 1 of 56 pairs are below",
        ),
        ("nvbandwidth-truncated", "the log ends after 4 of 8 rows; the last words are: 4    798.44    798.40    798.1"),
        ("nvbandwidth-801", "CUDA error 801, as without a ComputeDomain"),
        ("nvbandwidth-crashed", "did not run, which is no pass; the last words are: one or more nodes."),
        ("nccl-half", "the bus bandwidth at 17179869184 bytes is 412.38 GB/s, 53% of the mark of 785.0 GB/s"),
        ("nccl-socket", "NCCL uses sockets, so the EFA plugin was not loaded"),
        ("nccl-efa-only", "NCCL does not use multi-node NVLink (no MNNVL 1); the nodes talk over EFA"),
        ("nccl-no-nvls", "NCCL made no NVLS communicator"),
        ("nccl-split-clique", "an NVLink clique holds 20 of the GPUs, 36 are expected"),
        ("nccl-truncated", "the log is cut short: the last size is 2147483648, of 17179869184"),
        ("nccl-801", "CUDA error 801, as without a ComputeDomain"),
        ("nccl-no-channel", "a worker has no IMEX channel"),
        (
            "nccl-crashed",
            "the all-reduce did not run, which is no pass; the last words are: mpirun noticed that process rank 11",
        ),
        ("nccl-skipped", "did not run, which is no pass: Skipping NCCL all-reduce: fewer than two nodes are free"),
        ("nccl-wrong", "results are wrong or were not checked (# Out of bounds values : 3 FAILED)"),
    ],
)
def test_everything_else_is_no_pass(log: str, told: str) -> None:
    """nvbandwidth waives with exit code 0, NCCL falls back to EFA or sockets without an error, and a rack at half speed
    serves: the block's hours would be spent before anybody knows."""
    _, reason = judged(log)
    assert told in reason


@pytest.mark.parametrize("test", objects.MEASURED)
@pytest.mark.parametrize("log", ["", "\n \n"])
def test_an_empty_log_is_no_pass(test: str, log: str) -> None:
    assert MPI_RESULT.judged(test, log, objects.marks_of(RACK, test)) == ({}, "the launcher's log is empty")


def test_fewer_gpus_than_the_rack_has_are_no_pass() -> None:
    """A test over a part of the rack says nothing of the rest."""
    _, reason = judged("nccl-pass", {**objects.marks_of(RACK, "nccl"), "ranks": 72, "hosts": 18})
    assert reason == "36 GPUs on 9 nodes took part, not 72 on 18"
    _, reason = judged("nvbandwidth-pass", {**objects.marks_of(RACK, "nvbandwidth"), "hosts": 1})
    assert reason == "8 GPUs on 2 nodes took part, not 8 on 1"

    _, reason = judged("nccl-pass", {**objects.marks_of(RACK, "nccl"), "ranks": 40})
    assert reason == "36 GPUs on 9 nodes took part, not 40 on 9"


@pytest.mark.parametrize(
    ("log", "old", "new", "told"),
    [
        ("nccl-pass", "localRank 4 MNNVL 1", "localRank 4 MNNVL 0", "NCCL does not use multi-node NVLink"),
        ("nccl-pass", "NVLS multicast support is available", "NVLS multicast support was found", ""),
        ("nccl-pass", "841.60       0", "841.60       7", "results are wrong"),
        ("nccl-pass", "839.92       0", "839.92       7", "results are wrong"),
        ("nccl-pass", "839.92       0", "839.92     N/A", "results are wrong or were not checked"),
        ("nccl-pass", "NCCL INFO Using network Libfabric", "", "NCCL_DEBUG must be INFO"),
        (
            "nccl-pass",
            "NVLS multicast support is available",
            "Channel 00/0 : 35[3] -> 0[0] [send] via NET/Socket/0",
            "NCCL uses sockets",
        ),
        ("nvbandwidth-pass", "SUM multinode_device_to_device_memcpy_read_ce 4", "SUM multinode_device_to_device_memcpy_read_ce 5",
         "the log is not whole"),
        ("nvbandwidth-pass", "\n 3 ", "\n 3 N/A ", "the log ends after 3 of 8 rows"),
    ],
)  # fmt: skip
def test_one_line_decides(log: str, old: str, new: str, told: str) -> None:
    """One rank over the network slows all of them."""
    rung = log.split("-", 1)[0]
    text = (LOGS / f"{log}.log").read_text().replace(old, new)
    reason = MPI_RESULT.judged(rung, text, objects.marks_of(RACK, rung))[1]
    assert told in reason and bool(reason) == bool(told)


def test_a_pair_that_was_not_measured_is_named() -> None:
    lines = (LOGS / "nvbandwidth-pass.log").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(" 3 "))
    lines[place] = " ".join([*lines[place].split()[:-1], "N/A"])
    reason = MPI_RESULT.judged("nvbandwidth", "\n".join(lines), objects.marks_of(RACK, "nvbandwidth"))[1]
    assert reason == "GPU 3 was not measured against GPU 7: N/A"


def test_two_cliques_pass_where_they_are_expected() -> None:
    marks = {**objects.marks_of(RACK, "nccl"), "clique_ranks": 5, "busbw_gbps": 200.0}
    figures, reason = judged("nccl-split-clique", marks)
    assert reason == "" and figures["cliqueRanks"] == 20


def test_a_warning_in_a_good_run_is_no_failure() -> None:
    """NCCL probes features and warns of those there are not."""
    log = (LOGS / "nccl-pass.log").read_text()
    log = log.replace("#\n", "#\nNCCL WARN Cuda failure 801 'operation not supported'\n", 1)
    assert MPI_RESULT.judged("nccl", log, objects.marks_of(RACK, "nccl"))[1] == ""


@pytest.mark.parametrize("log", sorted(path.stem for path in LOGS.glob("*-pass.log")))
def test_no_beginning_of_a_good_log_passes(log: str) -> None:
    """A launcher that was killed, or a log that the kubelet rotated, must not pass for its first lines."""
    rung = log.split("-", 1)[0]
    lines = (LOGS / f"{log}.log").read_text().splitlines()
    last = next(number for number, line in enumerate(lines) if "# Avg bus" in line or line.startswith("SUM "))
    for number in range(last + 1):
        assert MPI_RESULT.judged(rung, "\n".join(lines[:number]), objects.marks_of(RACK, rung))[1], number
    assert not MPI_RESULT.judged(rung, "\n".join(lines[: last + 1]), objects.marks_of(RACK, rung))[1]


@pytest.mark.parametrize("log", sorted(path.stem for path in LOGS.glob("*-pass.log")))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_log_never_breaks_the_judge(log: str, data: st.DataObject) -> None:
    """Lines of 72 ranks come interleaved; whatever comes, the Job must end with a verdict and its reason."""
    rung = log.split("-", 1)[0]
    lines = (LOGS / f"{log}.log").read_text().splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = data.draw(st.text() | st.just(lines[place].replace("8", "x")) | st.just(lines[place] + lines[0]))
    figures, reason = MPI_RESULT.judged(rung, "\n".join(lines), objects.marks_of(RACK, rung))
    json.dumps(figures)
    assert isinstance(reason, str)


def test_marks_stand_between_a_good_rack_and_a_bad_one() -> None:
    """A mark above what racks do refuses every rack, one below half of it passes a link that lost half its lanes."""
    for marks in MARKS.values():
        assert 798 / 2 < marks.pair_gbps < 770
        assert 841 / 2 < marks.busbw_gbps < 835
        assert marks.source
    assert MARKS["u-p6e-gb200x36"].busbw_gbps < MARKS["u-p6e-gb200x72"].busbw_gbps
