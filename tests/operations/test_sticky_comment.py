"""The one comment of a change, against servers that answer as GitHub and GitLab do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from operations import sticky_comment
from operations.sticky_comment import GitHub, GitLab, MayNotWrite, NotPosted, post
from review.comment import MARKER

TEXT = f"{MARKER}\nnew"


class Conversation:
    """Comments of one change, and what the token may."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.may_write = True
        self.asked: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if path.endswith("/user"):
            return 200, {"id": 7}
        if method == "GET":
            page = int((re.search(r"page=(\d+)$", path) or [0, 1])[1])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        if not self.may_write:
            return 403, {"message": "Resource not accessible by integration"}
        if method == "POST":
            self.comments.append(
                {"id": 9000 + len(self.comments), "body": body["body"], "user": {"type": "Bot"}, "author": {"id": 7}}
            )
            return 201, {**self.comments[-1], "html_url": "https://example.org/new"}
        found = next(item for item in self.comments if str(item["id"]) == path.rpartition("/")[2])
        found["body"] = body["body"]
        return 200, {**found, "html_url": "https://example.org/old"}


@pytest.fixture
def conversation() -> Iterator[tuple[Conversation, str]]:
    there = Conversation()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, answer = there.answer(self.command, self.path, body)
            raw = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = do_PUT = _do

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield there, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def hosts(api: str) -> list[GitHub | GitLab]:
    return [GitHub(api, "acme/infra", "t", 12), GitLab(api, "3", "t", "12")]


def somebody(number: int, body: str = "hello") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"type": "User"}, "author": {"id": 1}}


def ours(number: int, body: str = f"{MARKER}\nold") -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"type": "Bot"}, "author": {"id": 7}}


@pytest.mark.parametrize("which", [0, 1], ids=["github", "gitlab"])
def test_a_second_run_writes_over_the_first(conversation: tuple[Conversation, str], which: int) -> None:
    """A comment for each push buries the conversation."""
    there, api = conversation
    host = hosts(api)[which]
    post(host, TEXT)
    post(host, f"{MARKER}\nnewer")
    assert [item["body"] for item in there.comments] == [f"{MARKER}\nnewer"]


@pytest.mark.parametrize("which", [0, 1], ids=["github", "gitlab"])
def test_it_is_found_on_the_third_page(conversation: tuple[Conversation, str], which: int) -> None:
    """An action that reads the first page alone posts anew from the thirty-first comment on."""
    there, api = conversation
    there.comments = [somebody(n) for n in range(230)] + [ours(500)] + [somebody(501)]
    post(hosts(api)[which], TEXT)
    assert len(there.comments) == 232 and there.comments[230]["body"] == TEXT


@pytest.mark.parametrize("which", [0, 1], ids=["github", "gitlab"])
def test_what_somebody_else_wrote_is_left_alone(conversation: tuple[Conversation, str], which: int) -> None:
    """Who quotes the review must not find it replaced under their name."""
    there, api = conversation
    there.comments = [somebody(1, f"{MARKER}\nI quote"), ours(2, "another bot comment")]
    post(hosts(api)[which], TEXT)
    assert [item["body"] for item in there.comments] == [f"{MARKER}\nI quote", "another bot comment", TEXT]


def test_a_token_that_reads_only_is_told_apart(conversation: tuple[Conversation, str]) -> None:
    """A pull request from a fork has one: the review must not fail for it."""
    there, api = conversation
    there.may_write = False
    with pytest.raises(MayNotWrite, match="403"):
        post(hosts(api)[0], TEXT)


@pytest.mark.parametrize("text", ["no marker", f"{MARKER}\n{'x' * 60_001}", f"{MARKER}\n{'ü' * 33_000}"])
def test_what_a_host_would_refuse_is_not_sent(conversation: tuple[Conversation, str], text: str) -> None:
    there, api = conversation
    with pytest.raises(NotPosted):
        post(hosts(api)[0], text)
    assert there.asked == []


def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], *words: str
) -> tuple[int, str]:
    for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL", "REVIEW_TOKEN", "CI_API_V4_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    app.command()(sticky_comment.main)
    (tmp_path / "comment.md").write_text(TEXT)
    done = CliRunner().invoke(app, ["--file", str(tmp_path / "comment.md"), *words])
    return done.exit_code, done.output


def test_the_command(conversation: tuple[Conversation, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there, api = conversation
    github = {"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "acme/infra", "GITHUB_API_URL": api}
    assert command(monkeypatch, tmp_path, github, "--pull", "12") == (0, "https://example.org/new\n")
    there.may_write = False
    code, said = command(monkeypatch, tmp_path, github, "--pull", "12")
    assert code == 0 and "::notice::no comment was posted" in said and "this run's summary and artifacts" in said
    code, said = command(monkeypatch, tmp_path, {}, "--pull", "12")
    assert code == 2 and "GITHUB_REPOSITORY and GITHUB_TOKEN not set" in said
    code, said = command(monkeypatch, tmp_path, {**github, "GITHUB_API_URL": "http://127.0.0.1:9"}, "--pull", "12")
    assert code == 2 and "did not answer" in said and "Bearer" not in said
    there.may_write = True
    gitlab = {"REVIEW_TOKEN": "t", "CI_API_V4_URL": api, "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "4"}
    assert command(monkeypatch, tmp_path, gitlab)[0] == 0
    assert "GET /projects/3/merge_requests/4/notes?per_page=100&page=1" in there.asked
