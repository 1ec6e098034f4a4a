"""Images, charts and models, asked of whoever serves them. Pure but for the asker it is handed.

Registries speak the OCI distribution protocol: the manifest is asked for by HEAD, a 401 names where an anonymous token is to
be had, and with the token it is asked for again (OCI distribution specification 1.1; Docker, "Token authentication").
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import yaml

from operations.preflight.asker import Asker, Response
from operations.preflight.lines import Unasked

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)

DOCKER_HUB = "registry-1.docker.io"

HUGGING_FACE = "https://huggingface.co"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Image:
    """An image, or a chart in a registry."""

    registry: str
    repository: str
    reference: str
    """Tag or digest."""

    @classmethod
    def of(cls, text: str) -> Image:
        """As container runtimes read it: without a registry it is Docker Hub's, there without a folder `library/`."""
        name, _, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, rest
        else:
            registry, path = "docker.io", name
        path, _, tag = path.partition(":")
        if registry in ("docker.io", "index.docker.io"):
            registry, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
        return cls(registry, path, digest or tag or "latest")

    @classmethod
    def of_chart(cls, reference: str, version: str) -> Image:
        """A chart by its `oci://` reference; a plus sign is none of a tag's characters (Helm, "Use OCI-based registries")."""
        host, _, path = reference.removeprefix("oci://").partition("/")
        return cls(host, path, version.replace("+", "_"))

    @property
    def ecr(self) -> tuple[str, str] | None:
        """Account and region of a private registry of Amazon."""
        found = re.fullmatch(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?", self.registry)
        return (found[1], found[2]) if found else None

    @property
    def url(self) -> str:
        return f"https://{self.registry}/v2/{self.repository}/manifests/{self.reference}"


@dataclass(frozen=True)
class Login:
    """Login of a registry, as the stack's pull secret has it."""

    server: str
    username: str
    password: str

    def is_for(self, registry: str) -> bool:
        host = self.server.removeprefix("https://").partition("/")[0]
        return host == registry or (registry == DOCKER_HUB and host in ("docker.io", "index.docker.io"))

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def manifest(asker: Asker, image: Image, login: Login | None = None) -> int | Unasked:
    """HTTP status with which a registry answers for a manifest, after its token flow."""
    headers = {"Accept": MANIFESTS}
    answer = _head(asker, image.url, headers)
    if isinstance(answer, Unasked) or answer.status != 401:
        return answer if isinstance(answer, Unasked) else answer.status
    scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
    ours = login if login and login.is_for(image.registry) else None
    if scheme.lower() == "basic" and ours:
        headers["Authorization"] = ours.header
    elif scheme.lower() == "bearer":
        token = _token(asker, dict(re.findall(r'(\w+)="([^"]*)"', rest)), image, ours)
        if isinstance(token, Unasked | int):
            return token
        headers["Authorization"] = f"Bearer {token}"
    else:
        return answer.status
    answer = _head(asker, image.url, headers)
    return answer if isinstance(answer, Unasked) else answer.status


def _head(asker: Asker, url: str, headers: Mapping[str, str]) -> Response | Unasked:
    answer = asker.http("HEAD", url, headers)
    # Some mirrors know GET alone.
    return asker.http("GET", url, headers) if isinstance(answer, Response) and answer.status == 405 else answer


def _token(asker: Asker, challenge: Mapping[str, str], image: Image, login: Login | None) -> str | int | Unasked:
    """A token for reading one repository, the status that refuses it, or why there is none."""
    realm = challenge.get("realm", "")
    query = {"scope": challenge.get("scope") or f"repository:{image.repository}:pull"}
    if challenge.get("service"):
        query["service"] = challenge["service"]
    if urlsplit(realm).scheme != "https":
        return Unasked(f"{image.registry}: its tokens come from {realm or 'nowhere'}", "look at what answers there")
    answer = asker.http("GET", f"{realm}?{urlencode(query)}", {"Authorization": login.header} if login else {})
    if isinstance(answer, Unasked):
        return answer
    if answer.status != 200:
        return answer.status
    given = _json(answer)
    token = given.get("token") or given.get("access_token") if isinstance(given, dict) else None
    return token or Unasked(f"{image.registry}: answered without a token", "look at what answers there")


def _json(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


@dataclass(frozen=True)
class Chart:
    """A Helm chart: of a repository, by its `oci://` reference, or by a URL of its own."""

    reference: str
    version: str
    repository: str | None = None

    @property
    def words(self) -> str:
        where = f" of {self.repository}" if self.repository else ""
        return f"{self.reference} {self.version}{where}".strip()


@dataclass(frozen=True)
class Found:
    """What a repository says of a chart."""

    status: int
    """Of the chart's archive, or of the index where that is refused."""
    versions: tuple[str, ...] | None = None
    """Versions there are, when the one asked for is not among them."""


def chart(asker: Asker, wanted: Chart) -> Found | Unasked:
    """Whether a chart can be had."""
    if wanted.reference.startswith("oci://"):
        status = manifest(asker, Image.of_chart(wanted.reference, wanted.version))
        return status if isinstance(status, Unasked) else Found(status)
    if wanted.repository is None:
        return _status(asker, wanted.reference)
    index = f"{wanted.repository.rstrip('/')}/index.yaml"
    answer = asker.http("GET", index)
    if isinstance(answer, Unasked):
        return answer
    if answer.status != 200:
        return Found(answer.status)
    try:
        document = yaml.load(answer.body, _Loader)
        entries = document["entries"].get(wanted.reference) or []
        known = {str(item["version"]): item for item in entries}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return Unasked(f"{index} is no index of charts", "look at what answers there")
    entry = known.get(wanted.version) or next(
        # Helm takes a version with and without its v for the same.
        (item for version, item in known.items() if version.lstrip("v") == wanted.version.lstrip("v")),
        None,
    )
    if entry is None:
        return Found(200, tuple(known))
    urls = entry.get("urls") or []
    return _status(asker, urljoin(index, str(urls[0]))) if urls else Found(404)


def _status(asker: Asker, url: str) -> Found | Unasked:
    answer = _head(asker, url, {})
    return answer if isinstance(answer, Unasked) else Found(answer.status)


def readable(asker: Asker, url: str) -> int | Unasked:
    """HTTP status of a plain file."""
    answer = _head(asker, url, {})
    return answer if isinstance(answer, Unasked) else answer.status


@dataclass(frozen=True)
class Model:
    """What Hugging Face says of a model at a commit."""

    status: int
    """Of its description; 401 and 404 both stand for one that is not there or not for us."""
    gated: bool = False
    file: int | None = None
    """Status of one of its files: a gated model is described to everybody and read by those who were let in."""


def model(asker: Asker, repository: str, revision: str, token: str | None) -> Model | Unasked:
    """What a download would meet. A model's description is public where its files are not, so one file is asked for too."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = asker.http("GET", f"{HUGGING_FACE}/api/models/{repository}/revision/{revision}", headers)
    if isinstance(answer, Unasked):
        return answer
    if answer.status != 200:
        return Model(answer.status)
    given = _json(answer)
    if not isinstance(given, dict):
        return Unasked("huggingface.co: answered with something that is no JSON", "look at what answers there")
    files = [item.get("rfilename") for item in given.get("siblings") or () if isinstance(item, dict)]
    name = "config.json" if "config.json" in files else next((item for item in files if item), None)
    gated = bool(given.get("gated"))
    if name is None:
        return Model(200, gated)
    read = asker.http("HEAD", f"{HUGGING_FACE}/{repository}/resolve/{revision}/{name}", headers)
    return read if isinstance(read, Unasked) else Model(200, gated, read.status)
