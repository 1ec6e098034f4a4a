"""`python -m operations.sticky_comment`: one comment on a pull or merge request, found again and written anew by each run.

GitHub's REST API by GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL, as a workflow has them; GitLab's by REVIEW_TOKEN and what a pipeline of a merge request has. The comment is told by its first line and
by who wrote it, on every page of the conversation: an action that looks at the first page alone posts a second one from the thirty-first
comment on (pulumi/actions, src/libs/pr.ts). Exit code 0, also where the token may not write, as on a pull request from a fork: then the
reason is printed; 2 for anything else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol
from urllib.parse import urlsplit

import typer
import urllib3

from review.comment import MARKER, fits

PER_PAGE = 100

TIMEOUT = urllib3.Timeout(connect=5, read=20)


class NotPosted(Exception):
    """The host did not take it; the message says why."""


class MayNotWrite(NotPosted):
    """The token reads only."""


class Host(Protocol):
    """Where the conversation of a change is."""

    def comments(self) -> Iterator[tuple[str, str]]:
        """Id and text of every comment that this token's owner wrote, page by page."""
        ...

    def write(self, text: str, over: str | None) -> str:
        """Write a comment, over an older one or anew; returns its address."""
        ...


@dataclass(frozen=True)
class GitHub:
    """A pull request on GitHub, or on GitHub Enterprise Server."""

    api: str
    repository: str
    token: str
    pull: int

    @classmethod
    def of_workflow(cls, environment: Mapping[str, str], pull: int) -> GitHub:
        """As a workflow's environment says. Raises NotPosted where it is none."""
        repository, token = _given(environment, "GITHUB_REPOSITORY", "GITHUB_TOKEN")
        api = environment.get("GITHUB_API_URL") or "https://api.github.com"
        return cls(api.rstrip("/"), repository, token, pull)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        return _ask(method, f"{self.api}/repos/{self.repository}/{path}", headers, body)

    def comments(self) -> Iterator[tuple[str, str]]:
        for found in _pages(lambda page: self._ask("GET", f"issues/{self.pull}/comments?{page}")):
            # Whoever quotes the marker, or writes it, is no bot of ours.
            if found.get("user", {}).get("type") == "Bot":
                yield str(found["id"]), str(found.get("body", ""))

    def write(self, text: str, over: str | None) -> str:
        if over is not None:
            return str(self._ask("PATCH", f"issues/comments/{over}", {"body": text})["html_url"])
        return str(self._ask("POST", f"issues/{self.pull}/comments", {"body": text})["html_url"])


@dataclass(frozen=True)
class GitLab:
    """A merge request on GitLab."""

    api: str
    project: str
    token: str
    request: str

    @classmethod
    def of_pipeline(cls, environment: Mapping[str, str]) -> GitLab:
        """As a pipeline's environment says; REVIEW_TOKEN is a project access token. Raises NotPosted where it is none."""
        names = ("CI_API_V4_URL", "CI_PROJECT_ID", "REVIEW_TOKEN", "CI_MERGE_REQUEST_IID")
        api, project, token, request = _given(environment, *names)
        return cls(api.rstrip("/"), project, token, request)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return _ask(method, f"{self.api}/{path}", {"PRIVATE-TOKEN": self.token}, body)

    @property
    def _notes(self) -> str:
        return f"projects/{self.project}/merge_requests/{self.request}/notes"

    def comments(self) -> Iterator[tuple[str, str]]:
        me = self._ask("GET", "user")["id"]
        for found in _pages(lambda page: self._ask("GET", f"{self._notes}?{page}")):
            if found.get("author", {}).get("id") == me:
                yield str(found["id"]), str(found.get("body", ""))

    def write(self, text: str, over: str | None) -> str:
        if over is not None:
            return str(self._ask("PUT", f"{self._notes}/{over}", {"body": text})["id"])
        return str(self._ask("POST", self._notes, {"body": text})["id"])


def _given(environment: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise NotPosted(f"{' and '.join(missing)} not set: this runs in a workflow or pipeline of a change")
    return [environment[name] for name in names]


def _ask(method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> Any:
    """One request. Raises MayNotWrite for a token without the right, NotPosted for anything else that failed."""
    path = urlsplit(url).path
    try:
        with urllib3.PoolManager(timeout=TIMEOUT, retries=False) as pool:
            answer = pool.request(
                method, url, body=json.dumps(body) if body else None,
                headers={"User-Agent": "dynamo-eks", "Content-Type": "application/json", **headers},
            )  # fmt: skip
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise NotPosted(f"{urlsplit(url).hostname} did not answer: {type(error).__name__}") from None
    if answer.status in (401, 403) or (answer.status == 404 and method != "GET"):
        raise MayNotWrite(f"{method} {path}: {answer.status}, this token may not")
    if answer.status >= 300:
        raise NotPosted(f"{method} {path}: {answer.status} {answer.data.decode(errors='replace')[:200]}")
    return json.loads(answer.data)


def _pages(ask: Callable[[str], list[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    page = 1
    while True:
        found = ask(f"per_page={PER_PAGE}&page={page}")
        yield from found
        if len(found) < PER_PAGE:
            return
        page += 1


def post(host: Host, text: str) -> str:
    """Write the comment, over the one of an earlier run where there is one; returns its address. Raises NotPosted."""
    if not text.startswith(MARKER):
        raise NotPosted(f"a comment begins with {MARKER}, by which the next run finds it")
    if not fits(text):
        raise NotPosted(f"{len(text)} characters are more than a host takes; review/comment.py folds them")
    return host.write(text, next((id_ for id_, body in host.comments() if body.startswith(MARKER)), None))


def main(
    file: Annotated[Path, typer.Option(help="Markdown to post, as review/comment.py makes it.")],
    pull: Annotated[
        int | None, typer.Option(help="Number of the pull request; a pipeline of GitLab knows its own.")
    ] = None,
) -> None:
    """Post or renew the comment of a pull or merge request."""
    try:
        host = GitLab.of_pipeline(os.environ) if pull is None else GitHub.of_workflow(os.environ, pull)
        print(post(host, file.read_text()))
    except MayNotWrite as error:
        print(f"::notice::no comment was posted: {error}. The review is in this run's summary and artifacts.")
    except (NotPosted, OSError) as error:
        _bad(str(error))


def _bad(said: str) -> NoReturn:
    print(said, file=sys.stderr)
    raise typer.Exit(2)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
