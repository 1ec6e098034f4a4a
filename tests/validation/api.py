"""A small HTTP server that keeps objects as the API server does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from components.validation import ladder_objects as objects
from tests.validation.programs import listening
from tests.validation.test_rack_logs import RACK

NAMESPACE = RACK.namespace
RESULTS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
JOBS = f"/apis/kubeflow.org/v2beta1/namespaces/{NAMESPACE}/mpijobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@dataclass
class Api:
    """What is in the cluster, by path; and what happens to it."""

    objects: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    texts: dict[str, str | bytes] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    """Status by method and path, for what the API server refuses."""
    on_create: Callable[[Api, str], None] = lambda api, path: None
    after: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """By method and path: what happens once it has been asked the first time."""
    slow: set[str] = field(default_factory=set)
    """Paths of what stays after it was deleted, until it has been read once more."""
    asked: list[str] = field(default_factory=list)
    """Methods and paths that changed something."""
    bodies: dict[str, Any] = field(default_factory=dict)
    """What was sent with them the last time."""
    read: list[str] = field(default_factory=list)
    """What was read, with its query."""

    def answer(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            self.read.append(url)
        answered = self._answer(method, urlsplit(url).path, parse_qs(urlsplit(url).query), body)
        self.after.pop(f"{method} {urlsplit(url).path}", lambda: None)()
        return answered

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if status := self.broken.get(f"{method} {path}"):
            return status, "refused"
        if method != "GET":
            self.asked.append(f"{method} {path}")
            self.bodies[self.asked[-1]] = body
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return 409, "exists"
            self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": f"uid-{len(self.asked)}"}}
            self.on_create(self, path)
            return 201, self.objects[path]
        if path in self.texts:
            return 200, self.texts[path]
        if path in self.lists:
            return 200, {"items": self._selected(path, query)}
        if path not in self.objects:
            return 404, "not found"
        if method == "DELETE":
            if body.get("preconditions", {}).get("uid") != self.objects[path]["metadata"]["uid"]:
                return 409, "another one"
            if path in self.slow:
                self.after[f"GET {path}"] = lambda: self.objects.pop(path)
                return 200, self.objects[path]
            return 200, self.objects.pop(path)
        if method == "PUT":
            self.objects[path] = body
        return 200, self.objects[path]

    def _selected(self, path: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = dict(part.split("=") for text in query.get("labelSelector", ()) for part in text.split(","))
        return [item for item in self.lists[path] if wanted.items() <= (item["metadata"].get("labels") or {}).items()]

    @contextmanager
    def served(self) -> Iterator[str]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                assert self.headers["Authorization"] == "Bearer t"
                status, answer = api.answer(self.command, self.path, body)
                text = answer if isinstance(answer, str | bytes) else json.dumps(answer)
                raw = text.encode() if isinstance(text, str) else text
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with listening(Handler) as url:
            yield url

    def result(self, rung: str) -> dict[str, str]:
        """What a rung's Job wrote."""
        return self.objects[f"{RESULTS}/{objects.result_name(RACK, rung)}"]["data"]


def environment(job: Any) -> dict[str, str]:
    """Environment of a rendered Job, without what the test sets itself."""
    given = {item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    given.pop("TIMEOUT_S")
    return given
