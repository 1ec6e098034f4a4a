"""Prove that a graph serves: wait until it is ready at its newest generation, then ask it for one completion.

STAGE chooses what is proved: `load` ends when the model is listed, `completion` asks at once, `all` (default) does both.
Runs in a Job with the standard library only. Exits 1 with the reason, which also goes to the termination log.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

ACCOUNT = os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount")
API = os.environ.get("KUBERNETES_API") or "https://{}:{}".format(
    os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc"),
    os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
)
POLL_S = float(os.environ.get("POLL_S", "10"))
TERMINATION_LOG = os.environ.get("TERMINATION_LOG", "/dev/termination-log")
SLOW_FIRST_TOKEN_S = float(os.environ.get("SLOW_S", "30"))


def fail(reason):
    print("FAILED: " + reason)
    try:
        with open(TERMINATION_LOG, "w") as log:
            log.write(reason)
    except OSError as error:
        print(f"termination log: {error}")
    sys.exit(1)


def kubernetes(path):
    with open(ACCOUNT + "/token") as file:
        token = file.read().strip()
    request = urllib.request.Request(API + path, headers={"Authorization": "Bearer " + token})
    context = ssl.create_default_context(cafile=ACCOUNT + "/ca.crt") if API.startswith("https") else None
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return json.load(answer)


def state_of(graph):
    """(ready, failed, what it says) of a DynamoGraphDeployment."""
    status = graph.get("status") or {}
    generation, observed = graph["metadata"].get("generation"), status.get("observedGeneration", 0)
    ready = next((item for item in status.get("conditions") or () if item.get("type") == "Ready"), {})
    parts = [
        "{} {}/{}".format(name, part.get("readyReplicas", 0), part.get("replicas", 0))
        for name, part in sorted((status.get("components") or {}).items())
    ]
    says = "state {}, Ready {} ({}: {}), generation {} of {} seen, {}".format(
        status.get("state", "unknown"),
        ready.get("status", "unknown"),
        ready.get("reason", "no reason"),
        ready.get("message", "no message"),
        observed,
        generation,
        ", ".join(parts) or "no components yet",
    )
    # A condition of an older generation speaks of the old pods (ai-dynamo/dynamo #3567).
    current = observed == generation
    return current and ready.get("status") == "True", current and status.get("state") == "failed", says


def wait_until_ready(path, deadline):
    said = None
    while True:
        try:
            ready, failed, says = state_of(kubernetes(path))
            if says != said:
                print(says)
            said = says
            if ready:
                return
            if failed:
                fail("the graph failed: " + says)
        except (urllib.error.URLError, OSError, ValueError) as error:
            said = f"the API server answered: {error}"
        if time.monotonic() > deadline:
            fail("not ready in time; last seen: " + said)
        time.sleep(POLL_S)


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read()


def wait_until_listed(url, model, deadline):
    while True:
        try:
            names = [item["id"] for item in json.loads(ask(url + "/v1/models"))["data"]]
            if model in names:
                return
            listed = ", ".join(names) or "no model"
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            listed = str(error)
        if time.monotonic() > deadline:
            fail(f"the frontend does not list {model}; it answered: {listed}")
        time.sleep(POLL_S)


def complete(url, model, over_efa):
    started = time.monotonic()
    body = {
        "model": model,
        "temperature": 0,
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    try:
        raw = ask(url + "/v1/chat/completions", body)
    except urllib.error.HTTPError as error:
        fail(
            "a completion was answered with HTTP {}: {}".format(error.code, error.read()[:500].decode(errors="replace"))
        )
    except (urllib.error.URLError, OSError) as error:
        fail(f"a completion failed: {error}")
    took = time.monotonic() - started
    try:
        message = json.loads(raw)["choices"][0]["message"]
        text = (message.get("content") or message.get("reasoning_content") or "").strip()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = ""
    if not text:
        fail(
            "the answer was HTTP 200 and empty, as when a worker holds a part of its node's EFA interfaces: {}".format(
                raw[:300].decode(errors="replace")
            )
        )
    print(f"answered in {took:.1f} s: {text[:200]}")
    if over_efa and took > SLOW_FIRST_TOKEN_S:
        print(
            f"WARNING: {took:.0f} s to the first answer hints at KV blocks going over TCP; look for 'Backend LIBFABRIC was "
            "instantiated' in the workers' logs"
        )


def main():
    namespace, graph, model, url = (os.environ[key] for key in ("NAMESPACE", "GRAPH", "MODEL", "URL"))
    stage = os.environ.get("STAGE", "all")
    deadline = time.monotonic() + float(os.environ["TIMEOUT_S"])
    if stage not in ("load", "completion", "all"):
        fail(f"there is no stage {stage}")
    if stage != "completion":
        wait_until_ready(f"/apis/nvidia.com/v1beta1/namespaces/{namespace}/dynamographdeployments/{graph}", deadline)
    wait_until_listed(url, model, deadline)
    if stage != "load":
        complete(url, model, os.environ.get("EFA") == "true")


if __name__ == "__main__":
    main()
