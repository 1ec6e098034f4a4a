"""Who is asked, and how: AWS by boto3, registries and Hugging Face by HTTP. Nothing here judges.

Every question ends within seconds: clients have timeouts, and a service that did not answer is not asked again. Answers are
kept, so that two checks may ask the same.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import urllib3

from operations.credentials import Access, NoIdentity
from operations.preflight.lines import Refused, Unasked

CONNECT_S, READ_S = 5, 15
"""Of one request over HTTP."""

LARGEST_BYTES = 64 * 2**20
"""More than any Helm index; a server that sends on and on is cut off here."""

REDIRECTS = 5

_NO_RIGHT = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AuthorizationError", "Client.UnauthorizedOperation", "Forbidden",
        "NotAuthorized", "UnauthorizedOperation",
    }
)  # fmt: skip

_NO_ANSWER = frozenset(
    {
        "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InternalError", "InternalFailure",
        "InternalServerError", "InternalServerException", "InvalidClientTokenId", "InvalidSignatureException",
        "OptInRequired", "RequestExpired", "RequestLimitExceeded", "RequestTimeout", "ServerException",
        "ServiceException", "ServiceFailureException", "ServiceUnavailable", "ServiceUnavailableException",
        "SignatureDoesNotMatch", "Throttling", "ThrottlingException", "TooManyRequestsException", "Unavailable",
        "UnrecognizedClientException",
    }
)  # fmt: skip
"""Errors that say nothing about what was asked (AWS, "Common errors" of the APIs; EC2, "Error codes")."""

_SIGNING = {"service-quotas": "servicequotas", "efs": "elasticfilesystem"}
"""What IAM calls a service where boto3 calls it otherwise."""


class Asker(Protocol):
    """Whoever answers: the world, or a test."""

    def aws(self, service: str, operation: str, region: str | None = None, **parameters: Any) -> Any:
        """The answer to one call, all pages in one; Refused or Unasked in its place."""
        ...

    def http(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Response | Unasked:
        """The answer to a request, redirections followed."""
        ...


class Response:
    """What a server answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.status = status
        self.headers = {key.lower(): value for key, value in headers.items()}
        self.body = body


class World:
    """The real thing: one identity, and the internet."""

    def __init__(self, access: Access, http: Http | None = None, session: Any = None) -> None:
        self.access = access
        self._http = http or Http()
        self._session = session
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()
        self._kept: dict[Any, Future[Any]] = {}
        self._silent: dict[str, Unasked] = {}

    def aws(self, service: str, operation: str, region: str | None = None, **parameters: Any) -> Any:
        key = (service, operation, region, repr(sorted(parameters.items())))
        return self._once(key, lambda: self._call(service, operation, region, parameters))

    def http(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Response | Unasked:
        key = (method, url, repr(sorted((headers or {}).items())))
        return self._once(key, lambda: self._http.send(method, url, headers or {}))

    def _once(self, key: Any, ask: Any) -> Any:
        with self._lock:
            found = self._kept.get(key)
            mine = found is None
            if found is None:
                found = self._kept[key] = Future()
        if mine:
            try:
                found.set_result(ask())
            except BaseException as error:
                found.set_exception(error)
        return found.result()

    def _call(self, service: str, operation: str, region: str | None, parameters: Mapping[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        if service in self._silent:
            return self._silent[service]
        try:
            client = self._client(service, region)
            if client.can_paginate(operation):
                return client.get_paginator(operation).paginate(**parameters).build_full_result()
            return getattr(client, operation)(**parameters)
        except ClientError as error:
            return judged(error, service)
        except (BotoCoreError, NoIdentity) as error:
            # Not asked again: each further question would wait as long.
            said = self._silent[service] = _silent(error)
            return said

    def _client(self, service: str, region: str | None) -> Any:
        with self._lock:  # boto3 sessions are not for several threads at once
            if (service, region) not in self._clients:
                self._session = self._session or self.access.session()
                self._clients[service, region] = self._session.client(service, region_name=region or self.access.region)
            return self._clients[service, region]


def _silent(error: Exception) -> Unasked:
    """Why AWS does not answer at all. No credentials, and those that have ended, are the commonest."""
    from botocore.exceptions import CredentialRetrievalError, NoCredentialsError, SSOError

    if isinstance(error, NoIdentity | NoCredentialsError | CredentialRetrievalError | SSOError):
        todo = (
            "log in: `aws sso login --profile <profile>` and export AWS_PROFILE, or name aws:profile in the stack file"
        )
    else:
        todo = "see that AWS can be reached from here"
    return Unasked(str(error), todo)


def judged(error: Any, service: str) -> Refused | Unasked:
    """What an error of AWS is: an answer, or none."""
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "") or str(error)
    if code in _NO_RIGHT or "not authorized to perform" in message:
        action = f"{_SIGNING.get(service, service)}:{error.operation_name}"
        return Unasked(f"no right to {action}", f"let this identity do {action}, or ask with another one")
    if code in _NO_ANSWER or code.startswith("Request") or not code:
        return Unasked(f"{code}: {message}", "see that these credentials are valid, and try again")
    return Refused(code, message)


class Http:
    """Requests that end."""

    def __init__(self) -> None:
        self._pools: dict[str, Any] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str]) -> Response | Unasked:
        host = urlsplit(url).hostname
        try:
            for _ in range(REDIRECTS):
                answer = self.one(method, url, headers)
                target = answer.headers.get("location")
                if answer.status not in (301, 302, 303, 307, 308) or not target:
                    return answer
                there = urljoin(url, target)
                if urlsplit(there).hostname != urlsplit(url).hostname:
                    # Credentials are for the host that they were made for.
                    headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
                url = there
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            return Unasked(f"{host}: {type(reason).__name__}", f"see that {host} can be reached from here")
        return Unasked(f"{host}: redirected more than {REDIRECTS} times", f"look at what answers for {host}")

    def one(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        """One request, without following anything."""
        with self._pool(url).request(
            method, url, headers={"User-Agent": "dynamo-eks", **headers}, redirect=False, preload_content=False
        ) as answer:
            body = answer.read(LARGEST_BYTES, decode_content=True) if method == "GET" else b""
            return Response(answer.status, dict(answer.headers), body)

    def _pool(self, url: str) -> Any:
        parts = urlsplit(url)
        proxies = urllib.request.getproxies()
        proxy = proxies.get(parts.scheme) if not urllib.request.proxy_bypass(parts.hostname or "") else None
        if (proxy or "") not in self._pools:
            given = {"timeout": urllib3.Timeout(connect=CONNECT_S, read=READ_S), "retries": False, "maxsize": 8}
            self._pools[proxy or ""] = urllib3.ProxyManager(proxy, **given) if proxy else urllib3.PoolManager(**given)
        return self._pools[proxy or ""]
