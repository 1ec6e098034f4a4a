"""What would act inside the cluster: a kubelet for Jobs, a load balancer controller, and the operators' finalizers.

Real: the Job controller makes the pods (their service account must exist) and completes or fails the Job; namespaces,
garbage collection and protection of claims are the controller manager's. Played here, each by its visible part only:

- kubelet: a Job's pod ends at once, as `fails` says; any other pod that a controller made runs and is ready. No container
  runs. What a check of the verification ladder would write (the ConfigMap RESULT) says that all is well, without figures.
- load balancer controller of EKS Auto Mode: a LoadBalancer Service gets a host name.
- Dynamo operator: puts `nvidia.com/finalizer` on a graph and takes it off again when the graph is deleted, only while
  Helm's record of dynamo-platform is there (operator, internal/controller_common/finalizer.go).
- ComputeDomain controller: the same for `resource.nvidia.com/computeDomain`, while the DRA driver's release is there
  (k8s-dra-driver-gpu, cmd/compute-domain-controller).
- Karpenter in Auto Mode: the same for `karpenter.sh/termination` of NodePools and NodeClasses (karpenter,
  pkg/apis/v1/labels.go); a NodeClass goes only after the NodePools that name it.

Not shown: pods of graphs, nodes, anything that takes time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.engine.control_plane import ControlPlane

FINALIZERS = (
    ("nvidia.com/v1beta1", "DynamoGraphDeployment", "nvidia.com/finalizer", "dynamo-platform"),
    ("resource.nvidia.com/v1beta1", "ComputeDomain", "resource.nvidia.com/computeDomain", "nvidia-dra-driver-gpu"),
)
"""Kind, its finalizer, and the Helm release whose controller adds and removes it."""

NODE_FINALIZER = "karpenter.sh/termination"

EVERY_S = 0.1


class InCluster(threading.Thread):
    """Looks at the cluster ten times a second and does what would be done."""

    def __init__(self, cluster: ControlPlane) -> None:
        super().__init__(daemon=True, name="in-cluster stand-ins")
        self.cluster = cluster
        self.fails: Callable[[str], bool] = lambda job: False
        """Whether the pods of the Job of this name fail."""
        self.let_go: list[str] = []
        """Objects that their operators let go, as kind and name, in order."""
        self._session = cluster.session()
        self._ended = threading.Event()
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self._kubelet()
                self._load_balancers()
                self._operators()
                self._karpenter()
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        self._ended.set()
        self.join(10)
        self._session.close()

    # --- the parts --------------------------------------------------------------------------------------------------

    def _kubelet(self) -> None:
        for pod in self._list("v1", "Pod"):
            metadata = pod["metadata"]
            waits = (pod.get("status") or {}).get("phase") == "Pending" and "deletionTimestamp" not in metadata
            if not waits or not metadata.get("ownerReferences"):
                continue
            job = metadata.get("labels", {}).get("batch.kubernetes.io/job-name")
            failed = job is not None and self.fails(job)
            phase, state = "Running", {"running": {"startedAt": _now()}}
            if job is not None:
                self._write_result(pod, failed)
                phase = "Failed" if failed else "Succeeded"
                state = {"terminated": {"exitCode": int(failed), "reason": "Error" if failed else "Completed"}}
            ready = phase == "Running"
            containers = [
                {
                    "name": item["name"],
                    "image": item["image"],
                    "imageID": "",
                    "restartCount": 0,
                    "ready": ready,
                    "state": state,
                }
                for item in pod["spec"]["containers"]
            ]
            condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
            self._patch(pod, {"status": {"phase": phase, "conditions": [condition], "containerStatuses": containers}})

    def _write_result(self, pod: Mapping[str, Any], failed: bool) -> None:
        """The ConfigMap that a check of the verification ladder writes before it ends."""
        namespace = pod["metadata"]["namespace"]
        variables = [item for container in pod["spec"]["containers"] for item in container.get("env") or ()]
        for name in (item["value"] for item in variables if item["name"] == "RESULT"):
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace},
                "data": {"verdict": "fail" if failed else "pass", "reason": "played by a test", "figures": "{}"},
            }
            answer = self._session.patch(
                self.cluster.url + self.cluster.path("v1", "ConfigMap", namespace, name),
                params={"fieldManager": "check", "force": "true"},
                data=json.dumps(body),
                headers={"Content-Type": "application/apply-patch+yaml"},
                timeout=10,
            )
            if not answer.ok:
                self.errors.append(f"ConfigMap {name}: {answer.text[:500]}")

    def _load_balancers(self) -> None:
        for service in self._list("v1", "Service"):
            spec, status = service["spec"], service.get("status") or {}
            if spec.get("type") != "LoadBalancer" or (status.get("loadBalancer") or {}).get("ingress"):
                continue
            metadata = service["metadata"]
            host = f"{metadata['name']}.{metadata['namespace']}.elb.example.com"
            self._patch(service, {"status": {"loadBalancer": {"ingress": [{"hostname": host}]}}})

    def _operators(self) -> None:
        for version, kind, finalizer, release in FINALIZERS:
            objects = self._list(version, kind)
            if objects and self._installed(release):
                for item in objects:
                    if self._finalize(item, finalizer, may_go=True):
                        self.let_go.append(f"{kind} {item['metadata']['name']}")

    def _karpenter(self) -> None:
        pools = self._list("karpenter.sh/v1", "NodePool")
        for pool in pools:
            self._finalize(pool, NODE_FINALIZER, may_go=True)
        used = {pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] for pool in pools}
        for class_ in self._list("eks.amazonaws.com/v1", "NodeClass"):
            self._finalize(class_, NODE_FINALIZER, may_go=class_["metadata"]["name"] not in used)

    # --- REST -------------------------------------------------------------------------------------------------------

    def _finalize(self, obj: Mapping[str, Any], finalizer: str, *, may_go: bool) -> bool:
        """Put a finalizer on a living object and take it off one that is being deleted; True when it let one go."""
        held = obj["metadata"].get("finalizers") or []
        deleting = "deletionTimestamp" in obj["metadata"]
        if deleting and finalizer in held and may_go:
            self._patch(obj, {"metadata": {"finalizers": [item for item in held if item != finalizer]}}, part="")
            return True
        if not deleting and finalizer not in held:
            self._patch(obj, {"metadata": {"finalizers": [*held, finalizer]}}, part="")
        return False

    def _installed(self, release: str) -> bool:
        found = self._list("v1", "Secret", "owner=helm")
        return any(item["metadata"]["name"] == f"sh.helm.release.v1.{release}.v1" for item in found)

    def _list(self, api_version: str, kind: str, labels: str = "") -> list[dict[str, Any]]:
        try:
            path = self.cluster.path(api_version, kind)
        except LookupError:
            return []
        answer = self._session.get(
            self.cluster.url + path, params={"labelSelector": labels} if labels else {}, timeout=10
        )
        items = answer.json()["items"] if answer.ok else []
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def _patch(self, obj: Mapping[str, Any], change: Mapping[str, Any], part: str = "/status") -> None:
        metadata = obj["metadata"]
        path = self.cluster.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        answer = self._session.patch(
            f"{self.cluster.url}{path}{part}",
            # A merge patch with the version seen: whoever was quicker wins, and the next look decides again.
            data=json.dumps({**change, "metadata": {**change.get("metadata", {}), "resourceVersion": metadata["resourceVersion"]}}),
            headers={"Content-Type": "application/merge-patch+json"},
            timeout=10,
        )  # fmt: skip
        if not answer.ok and answer.status_code not in (404, 409):
            self.errors.append(f"{obj['kind']} {metadata['name']}: {answer.text[:500]}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
