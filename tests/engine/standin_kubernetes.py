"""Stand-in for the `kubernetes` provider: applies to the real API server, waits as the real provider waits.

Real: the API server with its schemas, admission, finalizers, garbage collection and field managers. As by the published
provider an object is created by a POST, under the manager `pulumi-kubernetes`; the first update hands its fields over to a
manager of the object's own, which applies on the server's side (`fixCSAFieldManagers` in its provider/pkg/await) and is refused
fields that somebody else has written, unless it forces. Other than there, every write is validated strictly: a misspelt field
fails, where the published provider has it pruned without a word.
Plays: creation refused when the object exists, replacement by `recording.kinds.KUBERNETES`, deletion before replacement where
the name is given, the waits of Job, Deployment, PersistentVolumeClaim, LoadBalancer Service and `pulumi.com/waitFor`, secrets of a
Secret wrapped in the state.
Helm's part is the least real: a Release installs its chart's CRDs from the contracts and leaves Helm's own record (the
Secret `sh.helm.release.v1...`) in the namespace. None of the chart's objects appear, and its values are not rendered. Of a
`yaml.v2.ConfigFile` the kinds and names are real, the content is the least that the API server takes.
Not shown: the kubeconfig (whatever it says, the test's own control plane is meant), a cluster that does not answer, a
Service's wait for ready endpoints, conflicts with the field managers of operators that are not there, and `ignoreChanges`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import struct_pb2

from recording.answers import Answers
from recording.graph import UNKNOWN
from recording.kinds import IDENTITY, KUBERNETES, provider_fixed
from recording.world import Child
from tests.engine.constructs import construct
from tests.engine.control_plane import ControlPlane
from tests.engine.crds import _age, _without_conversion
from tests.engine.standins import (
    InitFailed,
    Refused,
    StandIn,
    as_secret,
    difference,
    has_unknown,
    is_secret,
    laid_over,
    plain,
    struct,
)

RELEASE = "kubernetes:helm.sh/v3:Release"

CREATOR = "pulumi-kubernetes"
"""Under this name the provider creates."""
HANDED_OVER = {CREATOR, "kubectl", "before-first-apply"}
"""Managers whose updates the object's own one takes over. `kubectl patch` is another: `kubectl-patch`."""

_SERVER_SIDE = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")


class Kubernetes(StandIn):
    """All of one cluster."""

    package = "kubernetes"

    def __init__(self, cluster: ControlPlane, answers: Answers, contracts: Path, patience_s: float = 60.0) -> None:
        super().__init__()
        self.cluster = cluster
        self.answers = answers
        self.contracts = contracts
        self.patience_s = patience_s
        """Nothing is waited for longer than this, whatever time the program allows: in-cluster stand-ins are quick."""
        self._reachable = False
        self._force = False
        """Whether the provider takes back what somebody else has written, of every object (`enablePatchForce`)."""
        self._taken_over: set[str] = set()
        """CRDs that the control plane had beforehand, for every test: the stack's is the same, and they stay."""
        self._local = threading.local()

    # --- the provider itself ----------------------------------------------------------------------------------------

    def configure(self, arguments: dict[str, Any]) -> None:
        # Without a known kubeconfig the published provider does not talk to a cluster at all, in a first preview.
        self._reachable = bool(arguments.get("kubeconfig")) and arguments["kubeconfig"] != UNKNOWN
        # The engine hands it over as text.
        self._force = str(arguments.get("enablePatchForce")).lower() == "true"

    def config_fixed(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """With an identity only that counts; without one, whatever may mean another cluster (provider.go, DiffConfig)."""
        return provider_fixed(old, new)

    # --- objects ----------------------------------------------------------------------------------------------------

    def check(self, urn: str, olds: struct_pb2.Struct, news: struct_pb2.Struct) -> struct_pb2.Struct:
        if _type(urn) == RELEASE or plain(news).get("metadata", {}).get("name"):
            return news
        before = plain(olds).get("metadata", {}).get("name")
        name = before or f"{urn.rsplit('::', 1)[1]}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"
        return laid_over(news, {"metadata": {"name": name, "annotations": {"pulumi.com/autonamed": "true"}}})

    def diff(self, urn: str, id_: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
        if _type(urn) == RELEASE:
            # Helm finds its release by name: the old one must be gone before it can be made again.
            return difference(old, new, KUBERNETES["helm.sh/v3", "Release"], delete_first=_same(old, new, "name"))
        kind = (str(new.get("apiVersion")), str(new.get("kind")))
        given = not _annotations(new).get("pulumi.com/autonamed")
        same = _same(old.get("metadata", {}), new.get("metadata", {}), "name", "namespace")
        found = difference(old, new, IDENTITY | KUBERNETES.get(kind, frozenset()), delete_first=given and same)
        if _annotations(new).get("pulumi.com/replaceUnready") == "true" and kind[1] == "Job":
            live = self._get(new)
            if live is not None and _job_end(live) is not True:
                found.changes = found.DIFF_SOME
                found.replaces.append('metadata.annotations["pulumi.com/replaceUnready"]')
                found.deleteBeforeReplace = given and same
        return found

    def create(
        self, urn: str, properties: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> tuple[str, struct_pb2.Struct]:
        inputs = plain(properties)
        if _type(urn) == RELEASE:
            return self._install(urn, properties, inputs, preview)
        if preview:
            # What is there already is about to be replaced, and the new object cannot be laid over it.
            if self._reachable and self._get(inputs) is None:
                self._dry_run(urn, inputs)
            return "", laid_over(properties, {"metadata": {"uid": UNKNOWN}, "status": UNKNOWN})
        id_ = _id(inputs)
        if inputs["kind"] == "CustomResourceDefinition" and self._get(inputs) is not None:
            self._taken_over.add(id_)
            return id_, self._settle(urn, id_, properties, self._apply(urn, inputs, force=True), timeout_s)
        if self._get(inputs) is not None:
            raise Refused(f"{inputs['kind']} {id_} exists already; the provider creates only what is not there")
        return id_, self._settle(urn, id_, properties, self._post(urn, inputs), timeout_s)

    def read(
        self, urn: str, id_: str, inputs: struct_pb2.Struct, state: struct_pb2.Struct
    ) -> tuple[struct_pb2.Struct, struct_pb2.Struct] | None:
        known = plain(inputs) or plain(state)
        if _type(urn) == RELEASE:
            namespace, name = id_.split("/")
            found = self._get(_record(namespace, name, {}))
            return None if found is None else (inputs if inputs.fields else struct(_recorded(found)), state)
        metadata = known.setdefault("metadata", {})
        metadata.setdefault("name", id_.rpartition("/")[2])
        if "/" in id_:
            metadata.setdefault("namespace", id_.partition("/")[0])
        if "kind" not in known:
            token = _type(urn).removeprefix("kubernetes:")
            known["apiVersion"], known["kind"] = token.partition(":")[0].removeprefix("core/"), token.partition(":")[2]
        live = self._get(known)
        if live is None:
            return None
        if not inputs.fields:
            return struct(_as_inputs(live)), _state(struct(_as_inputs(live)), live)
        now = _project(inputs, live)
        return now, _state(now, live)

    def update(
        self, urn: str, id_: str, olds: struct_pb2.Struct, news: struct_pb2.Struct, preview: bool, timeout_s: float
    ) -> struct_pb2.Struct:
        inputs = plain(news)
        if _type(urn) == RELEASE:
            return self._install(urn, news, inputs, preview)[1]
        if preview:
            self._dry_run(urn, inputs)
            return news
        self._hand_over(urn, inputs)
        return self._settle(urn, id_, news, self._apply(urn, inputs), timeout_s)

    def delete(self, urn: str, id_: str, properties: struct_pb2.Struct, timeout_s: float) -> None:
        known = plain(properties)
        if _type(urn) == RELEASE:
            namespace, name = id_.split("/")
            known = _record(namespace, name, {})
        path = self._path(known)
        if path is None or id_ in self._taken_over:
            return  # the kind is gone, and its objects with it; or it is not the stack's to delete
        status, body = self._request("DELETE", path, json={"propagationPolicy": "Foreground"})
        if status == 404:
            return
        if status >= 400:
            raise Refused(f"{known['kind']} {id_} cannot be deleted: {body.get('message')}")
        end = time.monotonic() + min(timeout_s or 600, self.patience_s)
        while (live := self._get(known)) is not None:
            if time.monotonic() > end:
                left = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers")
                raise Refused(f"{known['kind']} {id_} is still there; finalizers {left} were not removed")
            time.sleep(0.05)

    # --- what is waited for ------------------------------------------------------------------------------------------

    def _settle(
        self, urn: str, id_: str, inputs: struct_pb2.Struct, live: dict[str, Any], timeout_s: float
    ) -> struct_pb2.Struct:
        """The object's state once it is ready; InitFailed when it says that it never will be, or does not say it."""
        end = time.monotonic() + min(timeout_s or 600, self.patience_s)
        while True:
            waiting = _waits_for(live)
            if waiting is None:
                return _state(inputs, live)
            if waiting.startswith("failed: ") or time.monotonic() > end:
                reason = waiting.removeprefix("failed: ")
                raise InitFailed(id_, inputs, _state(inputs, live), [f"{live['kind']} {id_}: {reason}"])
            time.sleep(0.05)
            live = self._get(live) or live

    # --- a file of objects -------------------------------------------------------------------------------------------

    def Construct(self, request, context):
        with self._answer(context):
            return construct(self.answers, request, self._object)

    def _object(self, child: Child, inputs: dict[str, Any]) -> dict[str, Any]:
        """An object of a file that was listed by kind and name only: with the least that the API server takes."""
        token = child.type.removeprefix("kubernetes:")
        version, kind = token.partition(":")[0].removeprefix("core/"), token.partition(":")[2]
        name = inputs["metadata"]["name"]
        rest: dict[str, Any] = {}
        if kind == "CustomResourceDefinition":
            rest = self._contract_crd(name)
        elif kind == "ClusterRole":
            rest = {"rules": [{"apiGroups": ["kubeflow.org"], "resources": ["mpijobs"], "verbs": ["get"]}]}
        elif kind == "ClusterRoleBinding":
            rest = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}}
        elif kind == "Deployment":
            labels = {"app": name}
            pod = {"containers": [{"name": name, "image": f"stand-in/{name}"}]}
            rest = {
                "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
            }
        return {"apiVersion": version, "kind": kind, **inputs, **rest}

    def _contract_crd(self, name: str) -> dict[str, Any]:
        for folder in sorted(self.contracts.glob("mpi-operator-*/crds")):
            for crd in _read(folder):
                if crd["metadata"]["name"] == name:
                    return crd
        raise Refused(f"no CRD {name} in {self.contracts}")

    # --- Helm -------------------------------------------------------------------------------------------------------

    def _install(
        self, urn: str, properties: struct_pb2.Struct, inputs: dict[str, Any], preview: bool
    ) -> tuple[str, struct_pb2.Struct]:
        id_, computed = self.answers.created(RELEASE, urn.rsplit("::", 1)[1], inputs)
        if preview:
            return "", laid_over(properties, {"status": UNKNOWN})
        with self.lock:
            # Helm installs a CRD only where there is none, whatever version that is.
            absent = [crd for crd in self.crds(inputs["chart"], inputs["version"]) if self._get(crd) is None]
            self.cluster.load({crd["metadata"]["name"]: crd for crd in absent})
        namespace, name = id_.split("/")
        record = _record(namespace, name, {key: inputs.get(key) for key in ("chart", "version", "name")})
        self._apply(urn, record, force=True)
        return id_, laid_over(properties, computed)

    def crds(self, chart: str, version: str) -> list[dict[str, Any]]:
        """CRDs of a chart, from the contracts."""
        chart = chart.rpartition("/")[2].removesuffix("-charts")  # Grove's chart is called after its repository
        return [crd for folder in sorted(self.contracts.glob(f"{chart}-{version}*/crds")) for crd in _read(folder)]

    # --- REST -------------------------------------------------------------------------------------------------------

    def _post(self, urn: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        # What only an apply would refuse (two entries of one key in a list) must not wait for the first update.
        self._apply(urn, inputs, dry_run=True, force=True)
        path = str(self._path(inputs)).rpartition("/")[0]
        parameters = {"fieldManager": CREATOR, "fieldValidation": "Strict"}
        status, body = self._request("POST", path, params=parameters, json=inputs)
        if status >= 400:
            raise Refused(f"{inputs['kind']} {_id(inputs)}: {body.get('message')}")
        return body

    def _hand_over(self, urn: str, inputs: Mapping[str, Any]) -> None:
        """Make the fields that were created, or written by `kubectl apply`, those of the object's own manager."""
        live = self._get(inputs)
        kept, own = [], None
        for entry in (live or {}).get("metadata", {}).get("managedFields") or ():
            if entry["manager"] == _manager(urn) and entry["operation"] == "Apply":
                own = entry
        for entry in (live or {}).get("metadata", {}).get("managedFields") or ():
            if entry is own:
                continue
            if entry["manager"] not in HANDED_OVER or entry["operation"] != "Update" or entry.get("subresource"):
                kept.append(entry)
            elif own is None:
                own = {**entry, "manager": _manager(urn), "operation": "Apply"}
            else:
                own = {**own, "fieldsV1": _union(own["fieldsV1"], entry["fieldsV1"])}
        if live is None or own is None:
            return
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, own]},
        ]
        status, body = self._request(
            "PATCH",
            str(self._path(inputs)),
            data=json.dumps(patch),
            headers={"Content-Type": "application/json-patch+json"},
        )
        if status >= 400:
            raise Refused(f"{inputs['kind']} {_id(inputs)}: {body.get('message')}")

    def _apply(
        self, urn: str, inputs: Mapping[str, Any], *, dry_run: bool = False, force: bool = False
    ) -> dict[str, Any]:
        path = self._path(inputs)
        if path is None:
            raise Refused(f"the API server does not know {inputs['apiVersion']} {inputs['kind']}")
        forced = force or self._force or _annotations(inputs).get("pulumi.com/patchForce") == "true"
        status, body = self._request(
            "PATCH",
            path,
            params={
                "fieldManager": _manager(urn),
                "fieldValidation": "Strict",
                "force": str(forced).lower(),
                **({"dryRun": "All"} if dry_run else {}),
            },
            data=json.dumps(inputs),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        if status >= 400:
            raise Refused(f"{inputs['kind']} {_id(inputs)}: {body.get('message')}")
        return body

    def _dry_run(self, urn: str, inputs: Mapping[str, Any]) -> None:
        """As the published provider in a preview, but strict; what cannot be known yet is let through."""
        metadata = inputs.get("metadata", {})
        if not self._reachable or has_unknown(inputs) or self._path(inputs) is None:
            return
        if metadata.get("namespace") and self._get(_namespace(metadata["namespace"])) is None:
            return
        # Fields of the creator are handed over first in the real thing, which a preview cannot; so it forces, as there.
        live = self._get(inputs) or {}
        created = any(item["manager"] == CREATOR for item in live.get("metadata", {}).get("managedFields") or ())
        self._apply(urn, inputs, dry_run=True, force=created or not live)

    def _get(self, obj: Mapping[str, Any]) -> dict[str, Any] | None:
        path = self._path(obj)
        if path is None:
            return None
        status, body = self._request("GET", path)
        if status == 404:
            return None
        if status >= 400:
            raise Refused(str(body.get("message")))
        return body

    def _path(self, obj: Mapping[str, Any]) -> str | None:
        metadata = obj["metadata"]
        try:
            with self.lock:
                return self.cluster.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        except LookupError:
            return None

    def _request(self, method: str, path: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self.cluster.session()
        end = time.monotonic() + 15
        while True:
            response = session.request(method, self.cluster.url + path, timeout=60, **arguments)
            # A new kind's storage is a moment behind the kind; client-go waits and asks again, too.
            if response.status_code != 429 or time.monotonic() > end:
                return response.status_code, response.json()
            time.sleep(0.2)


@cache
def _read(folder: Path) -> list[dict[str, Any]]:
    """CRDs of a folder as they can be served without their operators. libyaml's loader is ten times faster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [item for file in sorted(folder.glob("*.yaml")) for item in yaml.load_all(file.read_text(), loader)]
    return [
        _without_conversion(crd, max((v["name"] for v in crd["spec"]["versions"] if v.get("served", True)), key=_age))
        for crd in documents
        if crd
    ]


def _manager(urn: str) -> str:
    """Name under which the provider applies one object; there a random one, kept in the state."""
    return f"{CREATOR}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two sets of fields as one (`fieldsV1`: nested, a leaf is an empty object)."""
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _id(inputs: Mapping[str, Any]) -> str:
    metadata = inputs["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _record(namespace: str, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Helm's record of a release, by which others see that it is installed."""
    text = base64.b64encode(json.dumps(content).encode()).decode()
    labels = {"owner": "helm", "name": name, "status": "deployed", "version": "1"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"sh.helm.release.v1.{name}.v1", "namespace": namespace, "labels": labels},
        "type": "helm.sh/release.v1",
        "data": {"release": text},
    }


def _recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(base64.b64decode(record["data"]["release"]))


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _same(old: Mapping[str, Any], new: Mapping[str, Any], *keys: str) -> bool:
    return all(old.get(key) == new.get(key) for key in keys)


def _as_inputs(live: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody would have to write to get this object."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_SIDE}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _state(inputs: struct_pb2.Struct, live: Mapping[str, Any]) -> struct_pb2.Struct:
    """The live object as outputs. What came as a secret goes as one, and so does all of a Secret's content."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    made = laid_over(inputs, {})
    hidden = {key for key, value in inputs.fields.items() if is_secret(value)}
    if live["kind"] == "Secret":
        hidden |= {"data", "stringData"}
    for key, value in struct({**live, "metadata": metadata}).fields.items():
        if key not in hidden or key not in inputs.fields:
            made.fields[key].CopyFrom(as_secret(value) if key in hidden else value)
    for key in hidden & set(made.fields):
        if not is_secret(made.fields[key]):
            made.fields[key].CopyFrom(as_secret(made.fields[key]))
    return made


def _project(inputs: struct_pb2.Struct, live: Mapping[str, Any]) -> struct_pb2.Struct:
    """The inputs with the values that the object has now, as a refresh finds them; secrets and what the server keeps
    elsewhere (`stringData`) stay."""

    def value(now: Any, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(now, Mapping):
            return {key: value(now[key], item) for key, item in given.items() if key in now}
        if isinstance(given, list) and isinstance(now, list) and len(given) == len(now):
            return [value(*pair) for pair in zip(now, given, strict=True)]
        return now

    made = laid_over(inputs, {})
    given = plain(inputs)
    for key, item in inputs.fields.items():
        if key in live and not is_secret(item):
            made.fields[key].CopyFrom(struct({key: value(live[key], given[key])}).fields[key])
    return made


def _job_end(job: Mapping[str, Any]) -> bool | str | None:
    """True when a Job has completed, its reason when it has failed, None while it runs."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] == "Complete":
            return True
        if condition["status"] == "True" and condition["type"] == "Failed":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return None


def _waits_for(live: Mapping[str, Any]) -> str | None:
    """What an object still lacks to be ready; None when it is, `failed: ...` when it never will be."""
    annotations, status = _annotations(live), live.get("status") or {}
    if annotations.get("pulumi.com/skipAwait") == "true":
        return None
    wanted = annotations.get("pulumi.com/waitFor")
    if wanted:
        every = json.loads(wanted) if wanted.startswith("[") else [wanted]
        return next((f"waits for {item}" for item in every if not _holds(item, live)), None)
    if live["kind"] == "Job":
        end = _job_end(live)
        return None if end is True else f"failed: {end}" if end else "waits for the Job to complete"
    if live["kind"] == "Deployment":
        ready = status.get("availableReplicas", 0) >= live["spec"].get("replicas", 1)
        return None if ready else "waits for its pods to be available"
    if live["kind"] == "PersistentVolumeClaim":
        return None if status.get("phase") == "Bound" else "waits to be Bound"
    if live["kind"] == "Service" and live["spec"].get("type") == "LoadBalancer":
        return None if (status.get("loadBalancer") or {}).get("ingress") else "waits for a load balancer"
    return None


def _holds(condition: str, live: Mapping[str, Any]) -> bool:
    """One `pulumi.com/waitFor`: `condition=Ready[=True]` or `jsonpath={.status.phase}=Running` (plain paths only)."""
    kind, _, rest = condition.partition("=")
    name, _, value = rest.partition("=")
    if kind == "condition":
        found = (live.get("status") or {}).get("conditions") or ()
        return any(item["type"] == name and item["status"] == (value or "True") for item in found)
    if kind == "jsonpath":
        now: Any = live
        for part in name.strip("{}").strip(".").split("."):
            now = now.get(part) if isinstance(now, Mapping) else None
        return now is not None and (not value or str(now) == value)
    raise Refused(f"pulumi.com/waitFor: {condition!r} is not understood")
