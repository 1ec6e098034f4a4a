"""The shell programs in the ladder's pods."""

from __future__ import annotations

import subprocess
from pathlib import Path

from components.validation import ladder_objects as objects
from tests.validation.test_ladder_objects import X72, imex, mpi_jobs, template


def shell(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-c", text, "launcher", *arguments], capture_output=True, text=True, timeout=20, check=False)  # fmt: skip


def test_the_probe_wants_a_character_device(tmp_path: Path) -> None:
    """A claim on a node without NVLink fabric is granted and brings no device."""
    (text,) = imex(X72)["spec"]["template"]["spec"]["containers"][0]["command"][2:]
    assert shell(text.replace(objects.CHANNEL, "/dev/null")).returncode == 0
    (tmp_path / "channel0").write_text("")
    for path in (tmp_path / "channel0", tmp_path / "none"):
        done = shell(text.replace(objects.CHANNEL, str(path)))
        assert done.returncode == 1 and f"{path} is not a character device" in done.stdout


def test_the_launcher_waits_for_its_workers_names(tmp_path: Path) -> None:
    """mpirun ends at once when a worker's name does not resolve yet, and the run would fail for it."""
    command = template(mpi_jobs(X72)["nccl"], "Launcher")["spec"]["containers"][0]["command"]
    hosts = tmp_path / "hostfile"
    hosts.write_text("localhost slots=4\n")
    text = command[2].replace("/etc/mpi/hostfile", str(hosts))
    done = shell(text, "echo", "mpirun", "$HOME; echo no")
    assert (done.returncode, done.stdout) == (0, "mpirun $HOME; echo no\n")
    hosts.write_text("localhost slots=4\nworker.invalid slots=4\n")
    done = shell(text.replace("-gt 90", "-gt 1").replace("sleep 2", "sleep 0"), "echo", "mpirun")
    assert done.returncode == 1 and "no address for worker.invalid" in done.stderr and "mpirun" not in done.stdout
