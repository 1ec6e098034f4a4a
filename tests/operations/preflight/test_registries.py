"""Images, charts and models over real HTTP: a server on loopback speaks as registries, Helm repositories and Hugging Face do."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from operations.credentials import Access
from operations.preflight import asker, registries
from operations.preflight.asker import Http, Response, World
from operations.preflight.lines import Unasked
from operations.preflight.registries import Chart, Found, Image, Login, Model

Answer = tuple[int, Mapping[str, str], bytes]
Handler = Callable[["Server", str, str, Mapping[str, str]], Answer]

DIGEST = "sha256:" + "0" * 64


class Server:
    """A whole internet: the first part of a path is the host that is meant."""

    def __init__(self) -> None:
        self.hosts: dict[str, Handler] = {}
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        outer = self

        class Handles(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                _, host, rest = self.path.split("/", 2)
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.seen.append((self.command, f"https://{host}/{rest}", headers))
                status, extra, body = outer.hosts[host](outer, self.command, "/" + rest, headers)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **extra}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handles)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Loopback(Http):
    """Every address leads to the server."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def one(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return super().one(method, f"http://127.0.0.1:{self.port}/{parts.hostname}{parts.path}{query}", headers)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for key in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    running.hosts.clear()
    running.seen.clear()
    return running


def world(server: Server) -> World:
    return World(Access(), Loopback(server.http.server_port))


def plain(status: int, body: bytes = b"", **headers: str) -> Handler:
    return lambda server, method, path, given: (status, headers, body)


def registry(*known: str, login: str | None = None, service: bool = True) -> Handler:
    """A registry with token flow; `known` are `repository:reference`. Only what a login may read is told to one."""

    def handle(server: Server, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        if path.startswith("/token"):
            query = parse_qs(urlsplit(path).query)
            if login and headers.get("authorization") != login:
                return 401, {}, b""
            token = {"token": f"for {query['scope'][0]}"}
            return 200, {}, json.dumps(token).encode()
        _, _, rest = path.partition("/v2/")
        repository, _, reference = rest.partition("/manifests/")
        scope = f"repository:{repository}:pull"
        if headers.get("authorization") != f"Bearer for {scope}":
            challenge = f'Bearer realm="https://auth.example/token",scope="{scope}"' + ',service="r"' * service
            return 401, {"WWW-Authenticate": challenge}, b""
        assert "application/vnd.oci.image.index.v1+json" in headers["accept"]
        return (200 if f"{repository}:{reference}" in known else 404), {}, b""

    return handle


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("python:3.12", Image("registry-1.docker.io", "library/python", "3.12")),
        ("docker.io/python:3.12", Image("registry-1.docker.io", "library/python", "3.12")),
        ("library/python", Image("registry-1.docker.io", "library/python", "latest")),
        ("me/tool:1", Image("registry-1.docker.io", "me/tool", "1")),
        ("nvcr.io/nvidia/a/b:1.5.0-efa", Image("nvcr.io", "nvidia/a/b", "1.5.0-efa")),
        (f"ghcr.io/a/b:tag@{DIGEST}", Image("ghcr.io", "a/b", DIGEST)),
        (f"ghcr.io/a/b@{DIGEST}", Image("ghcr.io", "a/b", DIGEST)),
        ("localhost/a:1", Image("localhost", "a", "1")),
        ("mirror:5000/a/b:1", Image("mirror:5000", "a/b", "1")),
        ("mirror:5000/a/b", Image("mirror:5000", "a/b", "latest")),
    ],
)
def test_image_names(text: str, image: Image) -> None:
    """An image that is looked for at another place than the nodes look is always there, or never."""
    assert Image.of(text) == image


def test_chart_names() -> None:
    assert Image.of_chart("oci://ghcr.io/a/b/c", "v1.0.0+x") == Image("ghcr.io", "a/b/c", "v1.0.0_x")


@pytest.mark.parametrize(
    ("registry_", "ecr"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", ("123456789012", "us-east-1")),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", ("123456789012", "cn-north-1")),
        ("public.ecr.aws", None),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com.example.org", None),
    ],
)
def test_private_registries_of_amazon(registry_: str, ecr: tuple[str, str] | None) -> None:
    """They are asked through AWS's own API, with the identity that asks everything else."""
    assert Image(registry_, "a", "1").ecr == ecr


@pytest.mark.parametrize("service", [True, False])
def test_the_token_flow(server: Server, service: bool) -> None:
    """Docker Hub, nvcr.io, ghcr.io and public.ecr.aws show nothing without a token, which anybody gets."""
    server.hosts |= {"nvcr.io": registry("a/b:1", service=service), "auth.example": registry()}
    assert registries.manifest(world(server), Image("nvcr.io", "a/b", "1")) == 200
    assert [method for method, _, _ in server.seen] == ["HEAD", "GET", "HEAD"]
    assert registries.manifest(world(server), Image("nvcr.io", "a/b", "2")) == 404


def test_a_registry_without_tokens(server: Server) -> None:
    server.hosts |= {"registry.k8s.io": plain(307, Location="https://blobs.example/x"), "blobs.example": plain(200)}
    assert registries.manifest(world(server), Image("registry.k8s.io", "a", "1")) == 200
    server.hosts["registry.k8s.io"] = plain(404)
    assert registries.manifest(world(server), Image("registry.k8s.io", "a", "1")) == 404


def test_a_registry_that_knows_get_alone(server: Server) -> None:
    server.hosts["mirror"] = lambda server, method, path, headers: (405 if method == "HEAD" else 200, {}, b"{}")
    assert registries.manifest(world(server), Image("mirror", "a", "1")) == 200


LOGIN = Login("nvcr.io", "$oauthtoken", "s3cret")


def test_a_login_gets_a_token(server: Server) -> None:
    """The nodes log in; a preflight that does not refuses every private image."""
    server.hosts |= {"nvcr.io": registry("a/b:1"), "auth.example": registry(login=LOGIN.header)}
    image = Image("nvcr.io", "a/b", "1")
    assert registries.manifest(world(server), image, LOGIN) == 200
    assert registries.manifest(world(server), image) == 401
    assert base64.b64decode(LOGIN.header.removeprefix("Basic ")).decode() == "$oauthtoken:s3cret"


def test_a_login_is_shown_to_its_own_registry_alone(server: Server) -> None:
    """Sent to whoever asks, a password is everybody's."""
    server.hosts |= {"ghcr.io": registry("a/b:1"), "auth.example": registry()}
    assert registries.manifest(world(server), Image("ghcr.io", "a/b", "1"), LOGIN) == 200
    basic = plain(401, **{"WWW-Authenticate": 'Basic realm="x"'})
    server.hosts |= {"mirror": basic}
    assert registries.manifest(world(server), Image("mirror", "a", "1"), LOGIN) == 401
    assert not any("s3cret" in str(headers) or LOGIN.header in str(headers) for _, _, headers in server.seen)


def test_basic_authentication(server: Server) -> None:
    def handle(server: Server, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        right = headers.get("authorization") == LOGIN.header
        return (200 if right else 401), {"WWW-Authenticate": 'Basic realm="x"'}, b""

    server.hosts["nvcr.io"] = handle
    assert registries.manifest(world(server), Image("nvcr.io", "a", "1"), LOGIN) == 200
    assert registries.manifest(world(server), Image("nvcr.io", "a", "1")) == 401


@pytest.mark.parametrize(
    ("server_", "host", "same"),
    [("https://nvcr.io/v2/", "nvcr.io", True), ("nvcr.io", "nvcr.io", True), ("docker.io", "registry-1.docker.io", True),
     ("https://index.docker.io/v1/", "registry-1.docker.io", True), ("nvcr.io", "ghcr.io", False), ("nvcr.io", "nvcr.io.evil.example", False)],
)  # fmt: skip
def test_whose_login_it_is(server_: str, host: str, same: bool) -> None:
    assert Login(server_, "u", "p").is_for(host) is same


@pytest.mark.parametrize("realm", ["http://auth.example/token", "", "file:///etc/passwd"])
def test_a_token_from_nowhere(server: Server, realm: str) -> None:
    """A login must not go over an open line."""
    server.hosts["nvcr.io"] = plain(401, **{"WWW-Authenticate": f'Bearer realm="{realm}"'})
    found = registries.manifest(world(server), Image("nvcr.io", "a", "1"), LOGIN)
    assert isinstance(found, Unasked) and "tokens come from" in found.why and len(server.seen) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b"\xff"])
def test_a_token_that_is_none(server: Server, body: bytes) -> None:
    server.hosts |= {"nvcr.io": registry("a:1"), "auth.example": plain(200, body)}
    found = registries.manifest(world(server), Image("nvcr.io", "a", "1"))
    assert isinstance(found, Unasked) and "without a token" in found.why


def test_the_other_name_of_a_token(server: Server) -> None:
    """Some registries call it access_token."""
    token = json.dumps({"access_token": "for repository:a:pull"}).encode()
    server.hosts |= {"nvcr.io": registry("a:1"), "auth.example": plain(200, token)}
    assert registries.manifest(world(server), Image("nvcr.io", "a", "1")) == 200


# --- charts -----------------------------------------------------------------------------------------------------------


def _index(**charts: list[tuple[str, str]]) -> bytes:
    entries = {name: [{"version": version, "urls": [url]} for version, url in rows] for name, rows in charts.items()}
    return yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()


def helm(index: bytes, *archives: str) -> Handler:
    def handle(server: Server, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        if path.endswith("/index.yaml"):
            return 200, {}, index
        return (200 if path in archives else 404), {}, b""

    return handle


@pytest.mark.parametrize(
    ("version", "url", "found"),
    [
        ("1.5.0", "chart-1.5.0.tgz", Found(200)),
        ("1.5.0", "https://files.example/chart-1.5.0.tgz", Found(200)),
        ("1.5.0", "chart-gone.tgz", Found(404)),
        ("v1.5.0", "chart-1.5.0.tgz", Found(200)),
        ("1.5.1", "chart-1.5.0.tgz", Found(200, ("1.5.0",))),
    ],
)
def test_a_helm_repository(server: Server, version: str, url: str, found: Found) -> None:
    """`helm install` fails on an index without the version, and on an archive that is gone."""
    server.hosts |= {
        "helm.example": helm(_index(chart=[("1.5.0", url)]), "/repo/chart-1.5.0.tgz"),
        "files.example": plain(200),
    }
    assert registries.chart(world(server), Chart("chart", version, "https://helm.example/repo/")) == found


def test_a_chart_that_is_not_in_its_index(server: Server) -> None:
    server.hosts["helm.example"] = helm(_index(other=[("1.0.0", "o.tgz")]))
    assert registries.chart(world(server), Chart("chart", "1.0.0", "https://helm.example")) == Found(200, ())


@pytest.mark.parametrize(
    "body", [b"", b"entries: 5", b"a: [", b"[]", b"entries: {chart: [{}]}", b"entries: {chart: 1}", b"\x00"]
)
def test_an_index_that_is_none(server: Server, body: bytes) -> None:
    """A login page of a proxy in its place is no traceback."""
    server.hosts["helm.example"] = helm(body)
    found = registries.chart(world(server), Chart("chart", "1.0.0", "https://helm.example"))
    assert isinstance(found, Unasked) and "is no index of charts" in found.why


def test_a_chart_in_a_registry_and_one_by_its_address(server: Server) -> None:
    server.hosts |= {"ghcr.io": registry("a/b:v1.0.0"), "auth.example": registry(), "files.example": plain(200)}
    assert registries.chart(world(server), Chart("oci://ghcr.io/a/b", "v1.0.0")) == Found(200)
    assert registries.chart(world(server), Chart("oci://ghcr.io/a/b", "v2.0.0")) == Found(404)
    assert registries.chart(world(server), Chart("https://files.example/a.tgz", "")) == Found(200)
    assert registries.readable(world(server), "https://files.example/x.yaml") == 200


# --- models -----------------------------------------------------------------------------------------------------------

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
SHA = "c1899de289a04d12100db370d81485cdf75e47ca"


def hugging_face(
    *, gated: str | bool = False, private: bool = False, files: tuple[str, ...] = ("config.json",)
) -> Handler:
    """Describes public models to everybody, and shows files of gated ones to the token alone."""

    def handle(server: Server, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        known = headers.get("authorization") == f"Bearer {TOKEN}"
        if path == f"/api/models/a/b/revision/{SHA}" and (known or not private):
            siblings = [{"rfilename": name} for name in files]
            return 200, {}, json.dumps({"gated": gated, "siblings": siblings}).encode()
        if path.startswith("/api/"):
            return (404 if known else 401), {"X-Error-Code": "RepoNotFound"}, b""
        if path.startswith(f"/a/b/resolve/{SHA}/"):
            return (
                (302, {"Location": "https://cdn.example/x"}, b"") if known or not (gated or private) else (401, {}, b"")
            )
        return 404, {}, b""

    return handle


@pytest.mark.parametrize(
    ("how", "token", "found"),
    [
        ({}, None, Model(200, False, 200)),
        ({"gated": "manual"}, None, Model(200, True, 401)),
        ({"gated": "auto"}, TOKEN, Model(200, True, 200)),
        ({"private": True}, None, Model(401)),
        ({"private": True}, TOKEN, Model(200, False, 200)),
        ({"private": True}, "hf_other", Model(401)),
        ({"files": ()}, None, Model(200)),
        ({"files": ("a.bin", "b.bin")}, None, Model(200, False, 200)),
    ],
)
def test_a_model(server: Server, how: dict, token: str | None, found: Model) -> None:
    """A gated model is described to everybody: only one of its files says whether the download will come through."""
    server.hosts |= {"huggingface.co": hugging_face(**how), "cdn.example": plain(200)}
    assert registries.model(world(server), "a/b", SHA, token) == found


def test_a_token_stays_with_hugging_face(server: Server) -> None:
    """Files come from a content network, which has no business with the token."""
    server.hosts |= {"huggingface.co": hugging_face(), "cdn.example": plain(200)}
    registries.model(world(server), "a/b", SHA, TOKEN)
    for _, url, headers in server.seen:
        assert ("authorization" in headers) == url.startswith("https://huggingface.co/")
    assert any(url.startswith("https://cdn.example") for _, url, _ in server.seen)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>"])
def test_a_model_that_is_a_login_page(server: Server, body: bytes) -> None:
    server.hosts["huggingface.co"] = plain(200, body)
    found = registries.model(world(server), "a/b", SHA, None)
    assert isinstance(found, Unasked) and "no JSON" in found.why


# --- servers that do not behave ---------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(server: Server) -> None:
    gone = World(Access(), Loopback(9))
    found = gone.http("HEAD", "https://nvcr.io/v2/")
    assert isinstance(found, Unasked) and found.why.startswith("nvcr.io: ") and "nvcr.io can be reached" in found.todo


def test_a_server_that_says_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One silent registry must not hold up the rest."""
    monkeypatch.setattr(asker, "READ_S", 0.3)
    stop = threading.Event()
    server.hosts["nvcr.io"] = lambda *_: (stop.wait(5), (200, {}, b""))[1]
    began = time.monotonic()
    found = world(server).http("HEAD", "https://nvcr.io/v2/")
    stop.set()
    assert isinstance(found, Unasked) and "Timeout" in found.why and time.monotonic() - began < 3


def test_a_server_that_leads_in_circles(server: Server) -> None:
    server.hosts["a.example"] = plain(302, Location="https://a.example/")
    found = world(server).http("GET", "https://a.example/")
    assert isinstance(found, Unasked) and "redirected more than" in found.why and len(server.seen) == asker.REDIRECTS


@pytest.mark.parametrize("location", ["ftp://x/", "https://[", "gopher"])
def test_a_server_that_leads_nowhere(server: Server, location: str) -> None:
    """What another server writes into a header is no traceback of ours."""
    server.hosts["a.example"] = plain(302, Location=location)
    assert isinstance(world(server).http("GET", "https://a.example/"), (Unasked, Response))


def test_a_server_that_sends_on_and_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asker, "LARGEST_BYTES", 1000)
    server.hosts["a.example"] = plain(200, b"x" * 5000)
    found = world(server).http("GET", "https://a.example/")
    assert isinstance(found, Response) and len(found.body) == 1000


def test_what_was_asked_is_not_asked_again(server: Server) -> None:
    """Two charts of one repository read its index once."""
    server.hosts["a.example"] = plain(200, b"x")
    one = world(server)
    assert one.http("GET", "https://a.example/") is one.http("GET", "https://a.example/")
    assert len(server.seen) == 1


def test_the_proxy_of_the_shell_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every way out is a proxy, a preflight beside it could ask nobody."""
    port = server.http.server_port
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    pool = Http()._pool("http://somewhere.example/")
    assert pool.proxy.port == port
    monkeypatch.setenv("no_proxy", "somewhere.example")
    assert (
        not hasattr(Http()._pool("http://somewhere.example/"), "proxy")
        or Http()._pool("http://somewhere.example/").proxy is None
    )
