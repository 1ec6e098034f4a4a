"""Prove that every node of a rack offers what graphs ask of it: GPUs, EFA interfaces, IMEX channels, one NVLink clique.

Runs in a Job with the standard library only. Waits until all is there, since labels and slices come minutes after a node
is Ready. Writes what it found to the ConfigMap RESULT; exits 1 with what is missing, which also goes to the termination log.
"""

import json
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ACCOUNT = os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount")
API = os.environ.get("KUBERNETES_API") or "https://{}:{}".format(
    os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc"),
    os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
)
POLL_S = float(os.environ.get("POLL_S", "10"))
TERMINATION_LOG = os.environ.get("TERMINATION_LOG", "/dev/termination-log")
DRIVER = "compute-domain.nvidia.com"
CLASSES = ("compute-domain-daemon.nvidia.com", "compute-domain-default-channel.nvidia.com")
CLIQUE = "nvidia.com/gpu.clique"
DRIVER_BRANCH = "nvidia.com/cuda.driver-version.major"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
CHANNEL = "channel-0"
REASON_CHARACTERS = 3500
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def kubernetes(path, body=None, method=None):
    with open(ACCOUNT + "/token") as file:
        token = file.read().strip()
    request = urllib.request.Request(
        API + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=ACCOUNT + "/ca.crt") if API.startswith("https") else None
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return json.load(answer)


def write_result(data):
    namespace, name = os.environ["NAMESPACE"], os.environ["RESULT"]
    labels = {"dynamo-eks/verification": os.environ["RACK"]}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": data,
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    try:
        kubernetes(path, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
        kubernetes(path + "/" + name, body, "PUT")


def amount(quantity):
    """A quantity ("4", "10256Mi") as a number; 0 for what is no quantity."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(quantity))
    return float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else 0


def node_faults(node, channels, want):
    """What a node lacks."""
    labels, status = node["metadata"].get("labels", {}), node.get("status", {})
    offers = status.get("allocatable", {})
    ready = next((item for item in status.get("conditions") or () if item.get("type") == "Ready"), {})
    faults = []
    if ready.get("status") != "True":
        faults.append("is not Ready ({})".format(ready.get("message") or "no condition"))
    if node.get("spec", {}).get("unschedulable"):
        faults.append("is cordoned")
    if labels.get(INSTANCE_TYPE) != want["instance_type"]:
        faults.append("is of type {}, not {}".format(labels.get(INSTANCE_TYPE), want["instance_type"]))
    for resource, least in (("nvidia.com/gpu", want["gpus"]), ("vpc.amazonaws.com/efa", want["efa"])):
        # Not fewer, and not more either: a time-sliced GPU would be counted twice.
        offered = offers.get(resource, 0)
        if amount(offered) != least:
            faults.append(f"offers {offered} {resource}, not {least}")
    pages = amount(offers.get("hugepages-2Mi")) / UNITS["Mi"]
    if pages < want["hugepages_mib"]:
        faults.append("offers {:.0f} MiB of huge pages, fewer than {}".format(pages, want["hugepages_mib"]))
    if not labels.get(CLIQUE):
        faults.append(
            f"has no label {CLIQUE}, so its NVLink fabric is not complete or GPU feature discovery did not run"
        )
    if labels.get(DRIVER_BRANCH) != want["driver_branch"]:
        faults.append("runs driver branch {}, not {}".format(labels.get(DRIVER_BRANCH), want["driver_branch"]))
    devices = channels.get(node["metadata"]["name"])
    if devices is None:
        faults.append(f"has no ResourceSlice of {DRIVER}, so the DRA plugin does not run there")
    elif CHANNEL not in devices:
        faults.append(f"has a ResourceSlice of {DRIVER} without {CHANNEL}")
    return faults


def faults_of(classes, nodes, slices, want):
    """(what is wrong, figures) of the rack."""
    faults = [f"there is no DeviceClass {name}" for name in CLASSES if name not in classes]
    channels = {}
    for item in slices:
        spec = item["spec"]
        if spec.get("driver") == DRIVER:
            names = channels.setdefault(spec.get("nodeName") or spec["pool"]["name"], set())
            names.update(device["name"] for device in spec.get("devices") or ())
    if len(nodes) != want["nodes"]:
        faults.append("{} nodes have the rack's label, not {}".format(len(nodes), want["nodes"]))
    cliques = {}
    for node in sorted(nodes, key=lambda item: item["metadata"]["name"]):
        found = node_faults(node, channels, want)
        if found:
            faults.append("{} {}".format(node["metadata"]["name"], "; ".join(found)))
        clique = node["metadata"].get("labels", {}).get(CLIQUE)
        if clique:
            cliques[clique] = cliques.get(clique, 0) + 1
    if len(cliques) > want["cliques"]:
        faults.append(
            "the nodes are in {} NVLink cliques ({}), and {} expected: NVLink memory is shared within one only".format(
                len(cliques),
                ", ".join(f"{name}: {count}" for name, count in sorted(cliques.items())),
                "1 is" if want["cliques"] == 1 else "{} are".format(want["cliques"]),
            )
        )
    return faults, {"nodes": len(nodes), "cliques": cliques}


def look(want):
    classes = set()
    for name in CLASSES:
        try:
            classes.add(kubernetes("/apis/resource.k8s.io/v1/deviceclasses/" + name)["metadata"]["name"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
    selector = urllib.parse.quote("{}={}".format(os.environ["RACK_LABEL"], os.environ["RACK"]))
    nodes = kubernetes("/api/v1/nodes?labelSelector=" + selector)["items"]
    slices = kubernetes("/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.driver%3D" + DRIVER)["items"]
    return faults_of(classes, nodes, slices, want)


def main():
    numbers = ("nodes", "gpus", "efa", "hugepages_mib", "cliques")
    want: dict = {key: int(os.environ[key.upper()]) for key in numbers}
    want.update({key: os.environ[key.upper()] for key in ("instance_type", "driver_branch")})
    deadline = time.monotonic() + float(os.environ["TIMEOUT_S"])
    said, figures = None, {}
    while True:
        try:
            faults, figures = look(want)
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            faults = [f"the API server answered: {error}"]
        if faults != said:
            print("\n".join(faults) or "all is there")
        said = faults
        if not faults or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    reason = "\n".join(faults)[:REASON_CHARACTERS]
    figures_text = json.dumps(figures, sort_keys=True)
    try:
        write_result({"verdict": "fail" if faults else "pass", "reason": reason, "figures": figures_text})
    except (urllib.error.URLError, OSError, ValueError) as error:
        # A pass that nobody can read is none.
        reason = (reason + "\n" if reason else "") + f"the result could not be written: {error}"
    print(figures_text)
    if reason:
        try:
            with open(TERMINATION_LOG, "w") as log:
                log.write(reason)
        except OSError as error:
            print(f"termination log: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
