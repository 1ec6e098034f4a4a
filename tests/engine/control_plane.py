"""A real Kubernetes control plane without machines: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

Real: the four programs, TLS, RBAC, admission, server-side apply, CRD schemas and CEL rules, garbage collection, resource
claims made from templates, scheduling. Not there: kubelets (a bound pod stays Pending) and operators (a custom resource is
stored and validated, and nothing acts on it). Node lifecycle is off, so that a fake node stays as ready as it says it is.
The programs are looked for in KUBEBUILDER_ASSETS, as setup-envtest leaves it.
"""

from __future__ import annotations

import base64
import copy
import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml

from recording.graph import SECRET

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

_TOKEN = "engine-tests"

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Refused(Exception):
    """The API server said no. `status` is the HTTP code, `causes` the fields it names."""

    def __init__(self, response: requests.Response) -> None:
        try:
            body = response.json()
        except ValueError:
            body = {}
        self.status = response.status_code
        self.reason = str(body.get("reason") or "")
        self.message = str(body.get("message") or response.text)
        self.causes = [
            (str(cause.get("field", "")), str(cause.get("reason", "")), str(cause.get("message", "")))
            for cause in (body.get("details") or {}).get("causes") or ()
        ]
        super().__init__(f"{self.status} {self.reason}: {self.message}")


def missing(*names: str) -> str | None:
    """Why the programs cannot run; None when all are there."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return "KUBEBUILDER_ASSETS is not set; it names the folder of etcd and kube-apiserver (see CONTRIBUTING.md)"
    absent = [name for name in names or PROGRAMS if not (Path(folder) / name).exists()]
    return f"{', '.join(absent)} not in KUBEBUILDER_ASSETS={folder}" if absent else None


def require(*names: str) -> None:
    """Skip the test, or with REQUIRE_ENGINE fail it, when one of these programs (all, unless named) is not there."""
    reason = missing(*names)
    if reason and os.environ.get("REQUIRE_ENGINE"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def program(name: str) -> str:
    """Path of one of the programs."""
    return str(Path(os.environ["KUBEBUILDER_ASSETS"]) / name)


_OFFSETS = itertools.cycle(range(100))


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, and that nobody else is given: other processes begin elsewhere.

    Below those of outgoing connections (32768 and up): such a port is somebody's connection before a program listens on it.
    """
    found: list[int] = []
    for offset in itertools.islice(_OFFSETS, 100):
        port = 20_000 + os.getpid() % 100 * 100 + offset
        with socket.socket() as held:
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} ports are free")


def start(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to a file. It dies with this process, even when that is killed."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            preexec_fn=_die_with_parent,
        )


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that `start` started."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(ready: Callable[[], Any], what: str, seconds: float = 30.0, every: float = 0.05) -> Any:
    """Ask again until the answer is truthy, and return it; TimeoutError names what did not come."""
    end = time.monotonic() + seconds
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def as_sent(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded object as the API server is sent it: of a Secret a recording shows only, as a whole, that it is one."""
    obj = copy.deepcopy(dict(manifest))
    if obj.get("stringData") == SECRET:
        obj["stringData"] = {"HF_TOKEN": "stands in"}
    return obj


class ControlPlane:
    """The running programs, and the few REST calls that tests need. Every write is validated strictly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = _TOKEN
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}
        etcd, peer, api, controllers, scheduler = free_ports(5)
        self.url = f"https://127.0.0.1:{api}"
        self._etcd = f"http://127.0.0.1:{etcd}"
        self._peer = f"http://127.0.0.1:{peer}"
        self._ports = (api, controllers, scheduler)
        self.ca = folder / "ca.crt"
        self.kubeconfig = folder / "kubeconfig.yaml"
        self._session = self.session()

    def session(self) -> requests.Session:
        """A session of one's own (they are not shared between threads), with token and CA."""
        session = requests.Session()
        # A REQUESTS_CA_BUNDLE in the environment would override `verify`.
        session.trust_env = False
        session.verify = str(self.ca)
        session.headers["Authorization"] = f"Bearer {self.token}"
        return session

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """From nothing to an API server that answers and a scheduler that schedules."""
        self._write_keys()
        api, controllers, scheduler = self._ports
        folder = self.folder
        self._run(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={self._peer}",
            f"--initial-advertise-peer-urls={self._peer}",
            f"--initial-cluster=default={self._peer}",
        )
        self._run(
            "kube-apiserver",
            f"--etcd-servers={self._etcd}",
            f"--secure-port={api}",
            "--bind-address=127.0.0.1",
            f"--tls-cert-file={folder / 'tls.crt'}",
            f"--tls-private-key-file={folder / 'tls.key'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # As in EKS: workers of a rack are privileged, and so is what asks in their image.
            "--allow-privileged=true",
            f"--service-account-key-file={folder / 'tls.crt'}",
            f"--service-account-signing-key-file={folder / 'tls.key'}",
            "--service-account-issuer=https://kubernetes.default",
            "--service-cluster-ip-range=10.0.0.0/24",
            # It would taint every new node, and only the node lifecycle controller, which is off, takes that away.
            "--disable-admission-plugins=TaintNodesByCondition",
        )
        until(self._ready, "kube-apiserver ready")
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={folder / 'tls.key'}",
            "--leader-elect=false",
            f"--secure-port={controllers}",
            # Without kubelets no node renews its lease: node lifecycle would make all of them NotReady.
            "--controllers=*,-nodeipam,-cloud-node-lifecycle,-nodelifecycle",
            # Volumes are bound at the next look, by default every 15 s.
            "--pvclaimbinder-sync-period=1s",
        )
        self._run(
            "kube-scheduler",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={scheduler}",
        )

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            stop(process)
        self._session.close()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def log(self, name: str) -> str:
        """What a program wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def run(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start one more program (Karpenter, kwok) that ends with the control plane, if nobody stops it before."""
        self.processes[name] = start(command, self.folder / f"{name}.log", env)
        return self.processes[name]

    def _run(self, name: str, *flags: str) -> None:
        self.run(name, [program(name), *flags])

    def all_run(self) -> None:
        """RuntimeError with the log of a program that has ended: what waits for it would wait in vain."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{self.log(name)[-3000:]}")

    def _ready(self) -> bool:
        self.all_run()
        try:
            return self._session.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _write_keys(self) -> None:
        """An authority, and a certificate of its own for the server: Dynamo's client (rustls) takes none that is both. The
        server's key also signs service account tokens."""
        new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        (self.folder / "server.ext").write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n"
        )
        for command in (
            (*new, "-x509", "-days", "2", "-subj", "/CN=engine-tests-ca", "-keyout", "ca.key", "-out", "ca.crt"),
            (*new, "-subj", "/CN=engine-tests", "-keyout", "tls.key", "-out", "tls.csr"),
            (
                *(
                    "openssl",
                    "x509",
                    "-req",
                    "-days",
                    "2",
                    "-in",
                    "tls.csr",
                    "-out",
                    "tls.crt",
                    "-extfile",
                    "server.ext",
                ),
                *("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            ),
        ):
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,1,system:masters\n")
        name = "engine-tests"
        authority = base64.b64encode(self.ca.read_bytes()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))

    # --- objects ----------------------------------------------------------------------------------------------------

    def path(self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """REST path of a kind or an object, by API discovery; LookupError for a kind the server has not."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if kind not in self._resources.get(api_version, {}):
            answer = self._session.get(self.url + root)
            self._resources[api_version] = {
                item["kind"]: (item["name"], item["namespaced"])
                for item in (answer.json().get("resources") or () if answer.ok else ())
                if "/" not in item["name"]
            }
        if kind not in self._resources[api_version]:
            raise LookupError(f"the API server has no {api_version} {kind}")
        plural, namespaced = self._resources[api_version][kind]
        where = f"/namespaces/{quote(namespace or 'default')}" if namespaced else ""
        if namespaced and namespace is None and name is None:
            where = ""  # a list over all namespaces
        return f"{root}{where}/{plural}" + (f"/{quote(name)}" if name else "")

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """One call; the parsed answer. Raises Refused for every code that is not a success."""
        response = self._session.request(method, self.url + path, timeout=60, **arguments)
        if not response.ok:
            raise Refused(response)
        return response.json()

    def apply(self, obj: Mapping[str, Any], *, dry_run: bool = False, manager: str = "engine-tests") -> dict[str, Any]:
        """Server-side apply with strict validation; the object as stored (or as it would be)."""
        parameters = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            parameters["dryRun"] = "All"
        return self.request(
            "PATCH",
            self._path_of(obj),
            params=parameters,
            data=json.dumps(obj),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create with strict validation; refused when it exists."""
        metadata = obj["metadata"]
        return self.request(
            "POST",
            self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace") or "default"),
            params={"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})},
            json=obj,
        )

    def patch_status(self, obj: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
        """Lay a status over the object's."""
        return self.request(
            "PATCH",
            self._path_of(obj) + "/status",
            data=json.dumps({"status": status}),
            headers={"Content-Type": "application/merge-patch+json"},
        )

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object; None when it is not there."""
        try:
            return self.request("GET", self.path(api_version, kind, namespace, name))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str | None = None, labels: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, in one namespace or in all; `labels` is a selector."""
        answer = self.request(
            "GET", self.path(api_version, kind, namespace), params={"labelSelector": labels} if labels else {}
        )
        return answer["items"]

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None, *, grace: int = 0) -> None:
        """Ask for the deletion of an object; without a word when it is not there. Finalizers may keep it for a while."""
        try:
            self.request("DELETE", self.path(api_version, kind, namespace, name), json={"gracePeriodSeconds": grace})
        except Refused as refused:
            if refused.status != 404:
                raise

    def delete_all(self, api_version: str, kind: str, namespace: str | None = None, labels: str = "") -> None:
        """Delete objects of a kind one by one (a collection of pods has no grace period of 0 in one call)."""
        for item in self.list(api_version, kind, namespace, labels):
            self.delete(api_version, kind, item["metadata"]["name"], item["metadata"].get("namespace"))

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A namespace in which pods can be made at once; deleted afterwards, without waiting for its end."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        # Admission refuses pods until the controller manager has made their account.
        until(lambda: self.get("v1", "ServiceAccount", "default", name), f"service account of namespace {name}")
        try:
            yield name
        finally:
            self.delete_all("v1", "Pod", name)
            self.delete("v1", "Namespace", name)

    def load(self, crds: Mapping[str, Mapping[str, Any]]) -> None:
        """Make custom kinds known, by CRD name, and wait until each is served."""
        for crd in crds.values():
            self.apply(crd)
        for name in crds:
            until(lambda name=name: self._established(name), f"CRD {name} established")
        self._resources.clear()

    def _established(self, name: str) -> bool:
        found = self.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

    def _path_of(self, obj: Mapping[str, Any]) -> str:
        metadata = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
