"""Prove that the platform's kinds are served: every resource named in RESOURCES ("group/version/plural", comma-separated).

Runs in a Job with the standard library only. Exits 1 with what is missing, which also goes to the termination log.
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
POLL_S = float(os.environ.get("POLL_S", "5"))
TERMINATION_LOG = os.environ.get("TERMINATION_LOG", "/dev/termination-log")


def served(group_version):
    with open(ACCOUNT + "/token") as file:
        token = file.read().strip()
    request = urllib.request.Request(API + "/apis/" + group_version, headers={"Authorization": "Bearer " + token})
    context = ssl.create_default_context(cafile=ACCOUNT + "/ca.crt") if API.startswith("https") else None
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return {item["name"] for item in json.load(answer)["resources"]}


def missing(wanted):
    lacking = []
    for item in wanted:
        group, version, plural = item.split("/")
        try:
            if plural not in served(group + "/" + version):
                lacking.append(item)
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            lacking.append(f"{item} ({error})")
    return lacking


def main():
    wanted = [item for item in os.environ["RESOURCES"].split(",") if item]
    deadline = time.monotonic() + float(os.environ["TIMEOUT_S"])
    while True:
        lacking = missing(wanted)
        if not lacking:
            print("served: " + ", ".join(wanted))
            return
        print("not served yet: " + ", ".join(lacking))
        if time.monotonic() > deadline:
            reason = "the API server does not serve " + ", ".join(lacking)
            with open(TERMINATION_LOG, "w") as log:
                log.write(reason)
            sys.exit(1)
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
