"""The check Jobs and what they may do, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).parent / "scripts"

STARTUP_S = 300
"""Time a Job's own pod may take to be scheduled and pulled, on top of what its program waits."""


def script(name: str) -> str:
    """Text of a program in `scripts/`."""
    return (_SCRIPTS / f"{name}.py").read_text()


def short_name(prefix: str, *parts: str) -> str:
    """`prefix-digest`, at most 63 characters. The digest covers all parts, so that a changed Job has another name."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    return f"{prefix[:54].rstrip('-')}-{digest}"


def config_map(name: str, namespace: str, program: str) -> dict[str, Any]:
    """The program to run."""
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"check.py": program}, "immutable": True}


def check_job(
    name: str,
    *,
    namespace: str,
    service_account: str,
    image: str,
    environment: Mapping[str, str],
    timeout_s: int,
) -> dict[str, Any]:
    """A Job that runs a check once. No retries: the program waits by itself, and a second run would only hide the first
    one's reason. It stays when it is done, since a Job that vanished would be made again by the next `up`."""
    container = {
        "name": "check",
        "image": image,
        "command": ["python3", "-u", "/check/check.py"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "check", "mountPath": "/check", "readOnly": True}],
    }
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            # A failed check is made again by the next `up`, which is how one finds out whether it is mended.
            "annotations": {"pulumi.com/replaceUnready": "true"},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": timeout_s + STARTUP_S,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": service_account,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65534,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [{"name": "check", "configMap": {"name": name}}],
                }
            },
        },
    }


def graph_reader(graph: str) -> list[Any]:
    """Rules that let the smoke test read its one graph and nothing else."""
    return [
        {
            "apiGroups": ["nvidia.com"],
            "resources": ["dynamographdeployments"],
            "resourceNames": [graph],
            "verbs": ["get"],
        }
    ]
