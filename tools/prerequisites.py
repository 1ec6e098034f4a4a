"""`python3 tools/prerequisites.py NAME ...`: say in one line for each what is missing on this machine; exit code 1 when anything is.

Without names it looks at everything and lists what is there. It runs before there is a virtualenv, by whatever `python3` is,
so it needs the standard library alone and no syntax younger than Python 3.7.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent

OLDEST_PYTHON = (3, 11)
KUBECTL_MINORS = (34, 36)
"""One minor on either side of the clusters' 1.35 (Kubernetes version skew policy)."""

Found = Tuple[Optional[str], Optional[str]]
"""What is there, and what to do when that is nothing or not enough."""


def _said(*words):
    # type: (str) -> Optional[str]
    """What a program prints; None when it is not there or fails."""
    try:
        done = subprocess.run(list(words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _numbers(text):
    # type: (str) -> Tuple[int, ...]
    return tuple(int(part) for part in re.findall(r"[0-9]+", text)[:3])


def python():
    # type: () -> Found
    """The interpreter that the virtualenv is made with."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST_PYTHON or shutil.which("uv"):
        return version, None
    return version, (
        "Python 3.11 or newer is needed and `python3` is %s. Install one (https://www.python.org/downloads/, your system's "
        "packages), or uv, which brings its own (https://docs.astral.sh/uv/)." % version
    )


def venv():
    # type: () -> Found
    """The project's virtualenv, where there is one already."""
    inside = ROOT / ".venv" / "bin" / "python"
    if not os.path.lexists(str(ROOT / ".venv")):
        return "none yet", None
    version = _said(str(inside), "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")
    if version is None:
        return (
            None,
            "The virtualenv in .venv does not start (made elsewhere, or its Python is gone). `make clean`, and again.",
        )
    if _numbers(version) < OLDEST_PYTHON:
        return version, "The virtualenv in .venv has Python %s, and 3.11 is needed. `make clean`, and again." % version
    return version, None


def pulumi():
    # type: () -> Found
    """The CLI, at least of the version that Pulumi.yaml asks for."""
    wanted = re.search(r'requiredPulumiVersion: ">=([0-9.]+)"', (ROOT / "Pulumi.yaml").read_text())
    oldest = wanted.group(1) if wanted else "0"
    version = _said("pulumi", "version")
    get = "Get %s or newer from https://www.pulumi.com/docs/install/." % oldest
    if version is None:
        return None, "The pulumi CLI is not on PATH. " + get
    if _numbers(version) < _numbers(oldest):
        return version, "The pulumi CLI is %s. %s" % (version, get)
    return version, None


def login():
    # type: () -> Found
    """A backend that keeps the state."""
    who = _said("pulumi", "whoami", "--non-interactive") if shutil.which("pulumi") else None
    if who is None:
        return None, (
            "No Pulumi backend is logged in. `pulumi login` for Pulumi Cloud, `pulumi login s3://<bucket>` for your own, "
            "`pulumi login --local` for this machine alone."
        )
    return "as %s" % who, None


def aws():
    # type: () -> Found
    """The AWS CLI, by which the kubeconfig gets its tokens."""
    said = _said("aws", "--version")
    if said is None:
        return None, (
            "The aws CLI is not on PATH; the cluster's kubeconfig needs it (`aws eks get-token`). See "
            "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html."
        )
    return said.split()[0], None


def credentials():
    # type: () -> Found
    """Somebody in AWS to be."""
    arn = _said("aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    if arn is None:
        return None, (
            "No AWS credentials. `aws sso login --profile <profile>` and `export AWS_PROFILE=<profile>`, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return arn, None


def kubectl():
    # type: () -> Found
    """For looking into the cluster, and for `make destroy` and `make recover`, which do."""
    said = _said("kubectl", "version", "--client", "-o", "json")
    get = "See https://kubernetes.io/docs/tasks/tools/."
    if said is None:
        return None, "kubectl is not on PATH; `make destroy` and `make recover` look into the cluster with it. " + get
    try:
        version = json.loads(said)["clientVersion"]["gitVersion"]
    except (ValueError, KeyError, TypeError):
        return None, "kubectl does not tell its version. " + get
    minor = _numbers(version)[1]
    if not KUBECTL_MINORS[0] <= minor <= KUBECTL_MINORS[1]:
        return version, "kubectl is %s, and a cluster of 1.35 wants 1.%d to 1.%d. %s" % (
            (version,) + KUBECTL_MINORS + (get,)
        )
    return version, None


CHECKS = {check.__name__: check for check in (python, venv, pulumi, login, aws, credentials, kubectl)}


def main(names):
    # type: (list[str]) -> int
    code = 0
    for name in names or list(CHECKS):
        found, lacks = CHECKS[name]()
        if lacks:
            print(lacks, file=sys.stderr)
            code = 1
        elif not names:
            print("%-12s %s" % (name, found))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
