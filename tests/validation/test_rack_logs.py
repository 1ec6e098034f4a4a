"""What the logs of bandwidth tests say, judged by the program that runs in the cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.validation import ladder_objects as objects
from components.validation.ladder_objects import MARKS
from tests.validation.programs import program
from tests.validation.test_ladder_objects import a_rack

READ = "multinode_device_to_device_memcpy_read_ce"
CHECKED = "# Out of bounds values : 0 OK"

LOGS = Path(__file__).parent / "logs"


MPI_RESULT = program("mpi_result")

RACK = a_rack("rack-b", type="u-p6e-gb200x36", huge_pages_mib=0)


def judged(log: str, marks: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """(figures, reason) of a file in `logs/`, by the marks that the rendered Job is given."""
    rung = log.split("-", 1)[0]
    return MPI_RESULT.judged(rung, (LOGS / f"{log}.log").read_text(), marks or objects.marks_of(RACK, rung))


VERDICTS: dict[str, dict[str, Any]] = yaml.safe_load((LOGS / "verdicts.yaml").read_text())


@pytest.mark.parametrize("log", sorted(path.stem for path in LOGS.glob("*.log")))
def test_logs_are_judged_as_is_written_down(log: str) -> None:
    """nvbandwidth waives with exit code 0, NCCL falls back to EFA or sockets without an error, and a rack at half speed
    serves: the block's hours would be spent before anybody knows."""
    figures, reason = judged(log)
    assert {"figures": figures, "reason": reason} == VERDICTS[log]
    assert bool(reason) == (not log.endswith("-pass"))


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
        (
            "nccl-pass",
            "localRank 4 MNNVL 1",
            "localRank 4 MNNVL 0",
            "NCCL does not use multi-node NVLink (no MNNVL 1); the nodes talk over EFA",
        ),
        ("nccl-pass", "NVLS multicast support is available", "NVLS multicast support was found", ""),
        ("nccl-pass", "841.60       0", "841.60       7", f"results are wrong or were not checked ({CHECKED})"),
        ("nccl-pass", "839.92       0", "839.92       7", f"results are wrong or were not checked ({CHECKED})"),
        ("nccl-pass", "839.92       0", "839.92     N/A", f"results are wrong or were not checked ({CHECKED})"),
        # Not the last row alone.
        ("nccl-pass", "331.50       0", "331.50       7", f"results are wrong or were not checked ({CHECKED})"),
        ("nccl-pass", CHECKED, "", "results are wrong or were not checked (no line says so)"),
        # Another rank's line came between the halves of a row, or ran into its end.
        ("nccl-pass", "841.60       0    39772  431.96  839.92       0", "841.60       0", ""),
        ("nccl-pass", "839.92       0", "839.92       0 NCCL", ""),
        (
            "nccl-pass",
            "17179869184    4294967296     float     sum      -1    39693  432.82  841.60       0    39772  431.96  839.92       0",
            "17179869184    4294967296     float     sum      -1    39693  432.82  841.60",
            "the log is cut short: the last size is 8589934592, of 17179869184; the last words are: # Collective test "
            "concluded: all_reduce_perf",
        ),
        (
            "nccl-pass",
            "    sum ",
            "    max ",
            "the log is cut short: the last size is none, of 17179869184; the last words are: # Collective test concluded: "
            "all_reduce_perf",
        ),
        (
            "nccl-pass",
            "# Avg bus",
            "# Average bus",
            "the log is cut short: the last size is 17179869184, of 17179869184; the last words are: # Collective test "
            "concluded: all_reduce_perf",
        ),
        (
            "nccl-pass",
            "NCCL INFO Using network Libfabric",
            "",
            "no line says which network NCCL uses, so its transport is not known; NCCL_DEBUG must be INFO",
        ),
        (
            "nccl-pass",
            "NVLS multicast support is available",
            "Channel 00/0 : 35[3] -> 0[0] [send] via NET/Socket/0",
            "NCCL uses sockets, so the EFA plugin was not loaded (Using network Socket)",
        ),
        ("nccl-pass", "841.60       0", "785.00       0", ""),
        (
            "nccl-pass",
            "841.60       0",
            "784.99       0",
            "the bus bandwidth at 17179869184 bytes is 784.99 GB/s, 100% of the mark of 785.0 GB/s",
        ),
        (
            "nvbandwidth-pass",
            f"SUM {READ} 44696.83",
            f"SUM {READ} 54696.83",
            "the sum nvbandwidth prints is 54696.83, its rows add up to 44696.83; the log is not whole",
        ),
        (
            "nvbandwidth-pass",
            f"SUM {READ} ",
            "SUM multinode_device_to_device_memcpy_write_ce ",
            "the sum nvbandwidth prints is None, its rows add up to 44696.83; the log is not whole",
        ),
        ("nvbandwidth-pass", f"SUM {READ} 44696.83", f"SUM {READ}", "the log cannot be read: list index out of range"),
        (
            "nvbandwidth-pass",
            "\n 3 ",
            "\n 3 N/A ",
            "the log ends after 3 of 8 rows; the last words are: Performance can vary with software drivers, hardware clocks, "
            "and system topology.",
        ),
        ("nvbandwidth-pass", f"Running {READ}.", f"  Running {READ}. ", ""),
        ("nvbandwidth-pass", "\nProcess 0", "\n[CUDA_ERROR_UNKNOWN] of another test\nProcess 0", ""),
        (
            "nvbandwidth-pass",
            f"SUM {READ}",
            f"[cudaErrorUnknown] {'x' * 200}\nSUM {READ}",
            f"{READ} failed: [cudaErrorUnknown] {'x' * 181}",
        ),
    ],
)  # fmt: skip
def test_one_line_decides(log: str, old: str, new: str, told: str) -> None:
    """One rank over the network slows all of them."""
    rung = log.split("-", 1)[0]
    text = (LOGS / f"{log}.log").read_text()
    assert old in text
    assert MPI_RESULT.judged(rung, text.replace(old, new), objects.marks_of(RACK, rung))[1] == told


def pairs(one: str, other: str, total: str) -> tuple[dict[str, Any], str]:
    """(figures, reason) of two GPUs on two nodes, of which either reads the other."""
    log = f"""
        Process 0 (a): device 0: NVIDIA GB200
        Process 1 (b): device 0: NVIDIA GB200
        Running {READ}.
               0     1
        0    N/A {one}
        1 {other}  N/A
        SUM {READ} {total}
    """
    return MPI_RESULT.judged("nvbandwidth", log, {"ranks": 2, "hosts": 2, "pair_gbps": 1000})


@pytest.mark.parametrize(
    ("one", "other", "total", "reason"),
    [
        ("1000", "1000.00", "2000.00", ""),
        # Rounded figures add up to a thousandth.
        ("1000", "1000", "2002", ""),
        ("1000", "1000", "1998", ""),
        (
            "1000",
            "1000",
            "2002.01",
            "the sum nvbandwidth prints is 2002.01, its rows add up to 2000.00; the log is not whole",
        ),
        # Figures that add up to less than one.
        (
            "0.01",
            "0.01",
            "0.03",
            "the sum nvbandwidth prints is 0.03, its rows add up to 0.02; the log is not whole",
        ),
        (
            "1000",
            "999.99",
            "1999.99",
            "GPU 1 (b) reads GPU 0 (a) at 999.99 GB/s, 100% of the mark of 1000 GB/s; 1 of 2 pairs are below",
        ),
        ("1000", "-1", "999", "GPU 1 was not measured against GPU 0: -1"),
        ("nan", "1000", "1000", "GPU 0 was not measured against GPU 1: nan"),
        ("1000", "1000", "x", "the log cannot be read: could not convert string to float: 'x'"),
    ],
)
def test_a_pair_at_its_mark_passes(one: str, other: str, total: str, reason: str) -> None:
    """A link just below its mark has lost a lane, and every multi-node graph on it is as slow."""
    assert pairs(one, other, total)[1] == reason


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("--- \n===", "; the last words are: nothing"),
        ("mpirun died\n---\n", "; the last words are: mpirun died"),
        ("x" * 201, f"; the last words are: {'x' * 200}"),
        (f"mpirun\n  WAIVED: {'x' * 200}\nends", f": WAIVED: {'x' * 192}"),
        ("one test skipped\nanother test skipped", ": one test skipped"),
    ],
)
@pytest.mark.parametrize("test", objects.MEASURED)
def test_a_log_without_its_test_is_told_by_its_words(test: str, log: str, told: str) -> None:
    """What stopped a launcher before its test stands in its last line with a word in it."""
    what = READ if test == "nvbandwidth" else "the all-reduce"
    judged_as = ({}, f"{what} did not run, which is no pass{told}")
    assert MPI_RESULT.judged(test, log, objects.marks_of(RACK, test)) == judged_as


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
