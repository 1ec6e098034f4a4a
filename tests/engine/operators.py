"""What would act inside the cluster: a kubelet for Jobs, a load balancer controller, and the operators' finalizers.

Real: the Job controller makes the pods (their service account must exist) and completes or fails the Job; namespaces,
garbage collection and protection of claims are the controller manager's. Played here, each by its visible part only:

- kubelet: a Job's pod ends at once, as `fails` says. No container runs.
- load balancer controller of EKS Auto Mode: a LoadBalancer Service gets a host name.
- Dynamo operator: puts `nvidia.com/finalizer` on a graph and takes it off again when the graph is deleted, only while
  Helm's record of dynamo-platform is there (operator, internal/controller_common/finalizer.go).
- Karpenter in Auto Mode: the same for `karpenter.sh/termination` of NodePools and NodeClasses (karpenter,
  pkg/apis/v1/labels.go); a NodeClass goes only after the NodePools that name it.

Not shown: pods of graphs, nodes, anything that takes time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.engine.control_plane import ControlPlane

GRAPH_FINALIZER = "nvidia.com/finalizer"
NODE_FINALIZER = "karpenter.sh/termination"

EVERY_S = 0.1


class InCluster(threading.Thread):
    """Looks at the cluster ten times a second and does what would be done."""

    def __init__(self, cluster: ControlPlane) -> None:
        super().__init__(daemon=True, name="in-cluster stand-ins")
        self.cluster = cluster
        self.fails: Callable[[str], bool] = lambda job: False
        """Whether the pods of the Job of this name fail."""
        self.finalizers_of_living_operators = 0
        """How many graphs were let go by their operator."""
        self._session = cluster.session()
        self._ended = threading.Event()
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self._kubelet()
                self._load_balancers()
                self._dynamo()
                self._karpenter()
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        self._ended.set()
        self.join(10)
        self._session.close()

    # --- the parts --------------------------------------------------------------------------------------------------

    def _kubelet(self) -> None:
        for pod in self._list("v1", "Pod", "batch.kubernetes.io/job-name"):
            if (pod.get("status") or {}).get("phase") != "Pending" or pod["metadata"].get("deletionTimestamp"):
                continue
            failed = self.fails(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"])
            ended = {"exitCode": int(failed), "reason": "Error" if failed else "Completed"}
            containers = [
                {"name": item["name"], "image": item["image"], "imageID": "", "ready": False, "restartCount": 0,
                 "state": {"terminated": ended}}
                for item in pod["spec"]["containers"]
            ]  # fmt: skip
            self._patch(
                pod, {"status": {"phase": "Failed" if failed else "Succeeded", "containerStatuses": containers}}
            )

    def _load_balancers(self) -> None:
        for service in self._list("v1", "Service"):
            spec, status = service["spec"], service.get("status") or {}
            if spec.get("type") != "LoadBalancer" or (status.get("loadBalancer") or {}).get("ingress"):
                continue
            metadata = service["metadata"]
            host = f"{metadata['name']}.{metadata['namespace']}.elb.example.com"
            self._patch(service, {"status": {"loadBalancer": {"ingress": [{"hostname": host}]}}})

    def _dynamo(self) -> None:
        graphs = self._list("nvidia.com/v1beta1", "DynamoGraphDeployment")
        if graphs and self._installed("dynamo-platform"):
            for graph in graphs:
                if self._finalize(graph, GRAPH_FINALIZER, may_go=True):
                    self.finalizers_of_living_operators += 1

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
