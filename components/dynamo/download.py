"""The Job that fills a model cache."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .spec import ModelSource

MOUNT = "/home/dynamo/.cache/huggingface"
"""Where the model cache is mounted, in the download and in the graphs (Dynamo EKS guide)."""

MEMORY_GIB = {"full": 64, "capped": 16}
"""Memory of the download: the Xet client buffers up to 64 GB, or about 8 GB when capped (huggingface_hub)."""

KEEP_SECONDS = 7 * 24 * 3600
"""How long a finished Job stays. When it is gone, a later `pulumi refresh` sees that and the next `up` makes it again:
it finds every file in the cache and ends within a minute."""

PROGRAM = """
import os
from huggingface_hub import snapshot_download
path = snapshot_download(os.environ["MODEL"], revision=os.environ["REVISION"], max_workers=8)
print("complete:", path, flush=True)
""".strip()


def snapshot_path(repository: str, revision: str) -> str:
    """Path of a downloaded revision. Graphs load this path: offline, the name alone would be looked up as branch `main`,
    which a download by commit does not record."""
    return f"{MOUNT}/hub/models--{repository.replace('/', '--')}/snapshots/{revision}"


def cache_job(
    key: str,
    model: ModelSource,
    *,
    namespace: str,
    claim: str,
    token_secret: str | None,
    image: str,
    hub_version: str,
) -> dict[str, Any]:
    """The download Job of the model with that key. Its name carries a digest of all that is in it, since a Job cannot be changed: another revision
    is another Job, and the same one is never run twice. Each retry goes on from the files already complete."""
    how = model.download
    memory = f"{how.memory_gib or MEMORY_GIB[how.xet_buffer]}Gi"
    environment: list[dict[str, Any]] = [
        {"name": "MODEL", "value": model.repository},
        {"name": "REVISION", "value": model.revision},
        {"name": "HF_HOME", "value": MOUNT},
        {"name": "HOME", "value": "/tmp"},
        {"name": "PYTHONPATH", "value": "/tmp/packages"},
        {"name": "HF_XET_HIGH_PERFORMANCE", "value": "1" if how.xet_buffer == "full" else "0"},
    ]
    if token_secret:
        environment.append(
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": token_secret, "key": "HF_TOKEN"}}}
        )
    install = f"pip install --quiet --no-cache-dir --target /tmp/packages huggingface_hub=={hub_version}"
    container = {
        "name": "download",
        "image": image,
        "command": ["/bin/sh", "-c"],
        "args": [f"set -eu\n{install}\nexec python -c '{PROGRAM}'"],
        "env": environment,
        # Request and limit are one number: what lies between the two is memory the node may not have.
        "resources": {"requests": {"cpu": "2", "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "model-cache", "mountPath": MOUNT}],
    }
    pod = {
        "restartPolicy": "Never",
        # The uid that Dynamo's images run as, and that the shared files belong to.
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "model-cache", "persistentVolumeClaim": {"claimName": claim}}],
    }
    spec = {
        "backoffLimit": how.retries,
        "activeDeadlineSeconds": how.timeout_minutes * 60,
        "ttlSecondsAfterFinished": KEEP_SECONDS,
        "template": {"metadata": {"labels": {"app.kubernetes.io/name": "model-cache"}}, "spec": pod},
    }
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"cache-{key[:44].rstrip('-')}-{digest}", "namespace": namespace},
        "spec": spec,
    }
