"""Judge a measurement that an MPIJob made: wait until it ends, read its launcher's log, hold the figures against marks.

Runs in a Job with the standard library only. Writes verdict, reason and figures to the ConfigMap RESULT; exits 1 unless
passed, with the reason in the termination log. A run that was judged and failed is made again, as is one that is gone, so
that mending and another `up` measures anew. What was skipped, cut short or moved over another transport is no pass.
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
MANIFEST = os.environ.get("MANIFEST", "/check/mpijob.json")
REASON_CHARACTERS = 3500
JOB_NAME = "training.kubeflow.org/job-name"
JOB_ROLE = "training.kubeflow.org/job-role"

BANDWIDTH_TEST = "multinode_device_to_device_memcpy_read_ce"

KNOWN = (
    (
        r"MNNVL \(cliqueSize \d+\) is available but not working",
        "NCCL finds multi-node NVLink and cannot use it: a worker has no IMEX channel, or the domain's daemons do not reach "
        "each other on port 50000",
    ),
    (
        r"Cuda failure 801|CUDA_ERROR_NOT_SUPPORTED",
        "CUDA error 801, as without a ComputeDomain: memory of another node's GPUs cannot be mapped",
    ),
    (
        r"Cuda failure 800|CUDA_ERROR_NOT_PERMITTED",
        "CUDA error 800, as without an IMEX channel in the pod",
    ),
)
"""What a log says when the reason is known, and the reason."""

TAG = re.compile(r"^\[\d+,\d+\]<std(?:out|err)>: ?")
"""What `mpirun --tag-output` puts before each line, as in `[1,7]<stdout>:`."""

SKIPPED = re.compile(r"waiv(?:ed|ing)|skipp(?:ed|ing)", re.IGNORECASE)

# Lines of nvbandwidth.
ERROR = re.compile(r"\s*(\[CUDA_ERROR|\[cudaError|NVML_ERROR|ASSERT|ERROR\b|Error:)")
PROCESS = re.compile(r"\s*Process\s+(\d+) \(([^)]*)\): device \d+: ")
BANDWIDTH = re.compile(r"\d+(?:\.\d+)?")

# Lines of nccl-tests and of NCCL.
RANK = re.compile(r"#\s+Rank\s+(\d+) Group\s+\d+ Pid\s+\d+ on\s+(\S+) device")
NETWORK = re.compile(r"NCCL INFO Using network (.+)$")
CLIQUE = re.compile(r"\bMNNVL 1 cliqueId \S+ cliqueSize (\d+)")
NO_NVLINK = re.compile(r"NCCL INFO comm 0x\w+ rank \d+ .*\bMNNVL 0\b")
NVLS = re.compile(r"\bNVLS comm 0x\w+")
ROW = re.compile(r"\s*\d+\s+\d+\s+\S+\s+sum\s")


# --- what the logs say: pure -------------------------------------------------------------------------------------------


def untagged(log):
    """Lines without the tags of their ranks."""
    return [TAG.sub("", line) for line in log.splitlines()]


def known_reason(lines):
    for pattern, meaning in KNOWN:
        for line in lines:
            if re.search(pattern, line):
                return f"{meaning} ({line.strip()[:200]})"
    return ""


def last_words(lines):
    said = [line.strip() for line in lines if re.search(r"\w", line)]
    return said[-1][:200] if said else "nothing"


def instead(lines):
    """What a log says that has no test in it."""
    skipped = next((line for line in lines if SKIPPED.search(line)), None)
    return f": {skipped.strip()[:200]}" if skipped else f"; the last words are: {last_words(lines)}"


def nvbandwidth(lines, marks):
    """(figures, reason) of a bandwidth matrix between `ranks` GPUs on `hosts` nodes; the reason is empty for a pass."""
    title, said = f"Running {BANDWIDTH_TEST}.", [line.strip() for line in lines]
    if title not in said:
        return {}, f"{BANDWIDTH_TEST} did not run, which is no pass" + instead(lines)
    ran = said[said.index(title) :]
    failed = next((line for line in ran if ERROR.match(line)), None)
    if failed:
        return {}, f"{BANDWIDTH_TEST} failed: {failed[:200]}"
    host_of = {int(found[1]): found[2] for line in lines if (found := PROCESS.match(line))}
    ranks = marks["ranks"]
    hosts = len(set(host_of.values()))
    if len(host_of) != ranks or hosts != marks["hosts"]:
        return {}, "{} GPUs on {} nodes took part, not {} on {}".format(len(host_of), hosts, ranks, marks["hosts"])
    rows = []
    for line in ran:
        cells = line.split()
        # A row is its GPU's number and a cell per GPU; the header has one number fewer.
        if cells[:1] == [str(len(rows))] and len(cells) == ranks + 1:
            rows.append(cells[1:])
    pairs = {}
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if row == column:
                continue
            if not BANDWIDTH.fullmatch(cell):
                return {}, f"GPU {row} was not measured against GPU {column}: {cell}"
            pairs[row, column] = float(cell)
    if len(rows) != ranks:
        return {}, f"the log ends after {len(rows)} of {ranks} rows; the last words are: {last_words(lines)}"
    told = next((line.split()[2] for line in ran if line.split()[:2] == ["SUM", BANDWIDTH_TEST]), None)
    total = sum(pairs.values())
    if told is None or abs(float(told) - total) > 0.001 * total:
        return {}, f"the sum nvbandwidth prints is {told}, its rows add up to {total:.2f}; the log is not whole"
    (row, column), worst = min(pairs.items(), key=lambda item: item[1])
    between = [value for (one, other), value in pairs.items() if host_of[one] != host_of[other]]
    mark = marks["pair_gbps"]
    figures = {
        "pairs": len(pairs),
        "pairsBetweenNodes": len(between),
        "minGBps": worst,
        "minBetweenNodesGBps": min(between),
        "meanGBps": round(total / len(pairs), 2),
        "maxGBps": max(pairs.values()),
        "markGBps": mark,
    }
    if worst < mark:
        low = sum(value < mark for value in pairs.values())
        return figures, (
            f"GPU {row} ({host_of[row]}) reads GPU {column} ({host_of[column]}) at {worst:.2f} GB/s, {worst / mark:.0%} of "
            f"the mark of {mark} GB/s; {low} of {len(pairs)} pairs are below"
        )
    return figures, ""


def networks_of(lines):
    """What NCCL uses between nodes; it falls back from EFA to sockets without an error."""
    found = {match[1].strip() for line in lines if (match := NETWORK.search(line))}
    return found | ({"Socket"} if any("via NET/Socket" in line for line in lines) else set())


def multi_node_nvlink(lines, expected):
    """(size of the smallest clique, reason): NCCL falls back from NVLink to the network without an error too."""
    cliques = [int(found[1]) for line in lines if (found := CLIQUE.search(line))]
    if not cliques or any(NO_NVLINK.search(line) for line in lines):
        return 0, "NCCL does not use multi-node NVLink (no MNNVL 1); the nodes talk over EFA"
    smallest = min(cliques)
    if smallest < expected:
        return smallest, (
            f"an NVLink clique holds {smallest} of the GPUs, {expected} are expected; the others are reached over EFA"
        )
    if not any(NVLS.search(line) for line in lines):
        return smallest, "NCCL made no NVLS communicator, so the switches do not reduce"
    return smallest, ""


def efa_alone(lines):
    """(whether NICs read the GPUs' own memory, reason): why the data did not go over EFA between nodes."""
    if any(CLIQUE.search(line) for line in lines):
        return {}, "NCCL uses multi-node NVLink although it was told not to, so EFA was not measured"
    others = sorted(name for name in networks_of(lines) if "libfabric" not in name.lower())
    if others:
        return {}, f"NCCL uses the network {', '.join(others)}, not Libfabric, which is EFA's"
    over = [line for line in lines if "via NET/" in line]
    return {"gpuDirect": bool(over) and all("GDRDMA" in line for line in over)}, ""


def all_reduce(lines, marks, transport):
    """(figures, reason) of an all-reduce over `ranks` GPUs on `hosts` nodes; the reason is empty for a pass. `transport` says what
    of the figures is its own, and why it was not the one that was to be measured."""
    host_of = {int(found[1]): found[2] for line in lines if (found := RANK.match(line))}
    if not host_of:
        return {}, "the all-reduce did not run, which is no pass" + instead(lines)
    ranks, hosts = len(host_of), len(set(host_of.values()))
    if ranks != marks["ranks"] or hosts != marks["hosts"]:
        return {}, "{} GPUs on {} nodes took part, not {} on {}".format(ranks, hosts, marks["ranks"], marks["hosts"])
    networks = networks_of(lines)
    if not networks:
        return {}, "no line says which network NCCL uses, so its transport is not known; NCCL_DEBUG must be INFO"
    figures: dict = {"network": sorted(networks)}
    if "Socket" in networks:
        return figures, "NCCL uses sockets, so the EFA plugin was not loaded (Using network Socket)"
    own, reason = transport(lines)
    if reason:
        return figures, reason
    # The half of a row that is printed first holds what is judged; other ranks' lines may come between the halves.
    rows = [cells for line in lines if ROW.match(line) and len(cells := line.split()) >= 9]
    last = rows[-1] if rows else ["none"]
    if last[0] != str(marks["bytes"]) or not any(line.startswith("# Avg bus bandwidth") for line in lines):
        return figures, "the log is cut short: the last size is {}, of {}; the last words are: {}".format(
            last[0], marks["bytes"], last_words(lines)
        )
    bandwidth, mark = float(last[7]), marks["busbw_gbps"]
    figures.update(bytes=marks["bytes"], busbwGBps=bandwidth, ranks=ranks, markGBps=mark, **own)
    if len(last) >= 13:
        figures["inPlaceBusbwGBps"] = float(last[11])
    checked = next((line for line in lines if line.startswith("# Out of bounds values")), "")
    if ": 0 OK" not in checked or any(cells[8] != "0" or cells[12:13] not in ([], ["0"]) for cells in rows):
        return figures, f"results are wrong or were not checked ({checked.strip() or 'no line says so'})"
    if bandwidth < mark:
        return figures, (
            f"the bus bandwidth at {last[0]} bytes is {bandwidth:.2f} GB/s, {bandwidth / mark:.0%} of the mark of {mark} GB/s"
        )
    return figures, ""


def nccl(lines, marks):
    """An all-reduce over the rack's NVLink."""

    def nvlink(lines):
        smallest, reason = multi_node_nvlink(lines, marks["clique_ranks"])
        return {"cliqueRanks": smallest}, reason

    return all_reduce(lines, marks, nvlink)


def efa(lines, marks):
    """An all-reduce between nodes over EFA."""
    return all_reduce(lines, marks, efa_alone)


def judged(test, log, marks):
    """(figures, reason) of a log; the reason is empty for a pass, and begins with what is known to cause it."""
    lines = untagged(log)
    if not any(line.strip() for line in lines):
        return {}, "the launcher's log is empty"
    try:
        figures, reason = {"nvbandwidth": nvbandwidth, "nccl": nccl, "efa": efa}[test](lines, marks)
    except (ValueError, IndexError) as error:
        figures, reason = {}, f"the log cannot be read: {error}"
    known = known_reason(lines) if reason else ""
    return figures, "; ".join(filter(None, (known, reason)))


# --- the cluster -------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """Ends the check with its text as the reason."""


def request(path, body=None, method=None):
    with open(ACCOUNT + "/token") as file:
        token = file.read().strip()
    asked = urllib.request.Request(
        API + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=ACCOUNT + "/ca.crt") if API.startswith("https") else None
    with urllib.request.urlopen(asked, timeout=60, context=context) as answer:
        return answer.read()


def found(path):
    """An object, or None when there is none."""
    try:
        return json.loads(request(path))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


class Run:
    """One MPIJob and what is read about it."""

    def __init__(self):
        self.namespace, self.name = os.environ["NAMESPACE"], os.environ["MPIJOB"]
        self.jobs = f"/apis/kubeflow.org/v2beta1/namespaces/{self.namespace}/mpijobs"
        self.pods_path = f"/api/v1/namespaces/{self.namespace}/pods"
        self.results = f"/api/v1/namespaces/{self.namespace}/configmaps"
        self.result = os.environ["RESULT"]
        self.deadline = time.monotonic() + float(os.environ["TIMEOUT_S"])
        self.uid = ""
        self.figures = {}

    def wait(self, step, waiting=lambda: ""):
        """What `step` returns once it is true. An API server that does not answer is asked again."""
        said = None
        while True:
            try:
                done = step()
                if done:
                    return done
                says = waiting()
            except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
                says = f"the API server answered: {error}"
            if says != said:
                print(says)
                said = says
            if time.monotonic() > self.deadline:
                raise Failed("not done in time; last seen: " + says)
            time.sleep(POLL_S)

    def pods(self, role):
        selector = urllib.parse.quote(f"{JOB_NAME}={self.name},{JOB_ROLE}={role}")
        return json.loads(request(f"{self.pods_path}?labelSelector={selector}"))["items"]

    def start(self):
        """The MPIJob to be judged: the one there is, or a new one when that was judged and failed or is gone."""
        job, before = found(f"{self.jobs}/{self.name}"), found(f"{self.results}/{self.result}")
        told = (before or {}).get("data", {})
        if job and told.get("verdict") == "fail" and told.get("run") == job["metadata"]["uid"]:
            print("the run that failed is made again")
            request(f"{self.jobs}/{self.name}", {"kind": "DeleteOptions", "apiVersion": "v1",
                    "propagationPolicy": "Foreground", "preconditions": {"uid": told["run"]}}, "DELETE")  # fmt: skip
            self.wait(lambda: found(f"{self.jobs}/{self.name}") is None, lambda: "the old run is being deleted")
            job = None
        if job is None:
            with open(MANIFEST) as file:
                job = json.loads(request(self.jobs, json.load(file)))
        return job

    def ended(self):
        """The condition that ends the MPIJob, or None."""
        job = found(f"{self.jobs}/{self.name}")
        if job is None:
            raise Failed("the MPIJob was deleted while it ran")
        self.uid = job["metadata"]["uid"]
        for item in (job.get("status") or {}).get("conditions") or ():
            if item.get("type") in ("Succeeded", "Failed") and item.get("status") == "True":
                return item
        return None

    def progress(self):
        """What the pods wait for."""
        waiting = {}
        pods = self.pods("worker") + self.pods("launcher")
        for pod in pods:
            status = pod["status"]
            conditions = {item["type"]: item for item in status.get("conditions") or ()}
            if conditions.get("Ready", {}).get("status") == "True" or status["phase"] in ("Succeeded", "Failed"):
                continue
            scheduled = conditions.get("PodScheduled", {})
            why = scheduled.get("message") if scheduled.get("status") == "False" else None
            for container in status.get("containerStatuses") or ():
                held = container.get("state", {}).get("waiting", {})
                why = why or " ".join(filter(None, (held.get("reason"), held.get("message"))))
            waiting.setdefault(why or status["phase"], []).append(pod["metadata"]["name"])
        if not pods:
            return "no pod yet; does the MPI operator run?"
        if not waiting:
            return f"{len(pods)} pods run"
        return "; ".join(
            f"{len(names)} of {len(pods)} pods wait ({names[0]}): {why[:300]}" for why, names in sorted(waiting.items())
        )

    def log(self):
        """(log of the newest launcher pod, how it ended)."""
        pods = sorted(self.pods("launcher"), key=lambda pod: pod["metadata"]["creationTimestamp"])
        if not pods:
            return None, "the launcher's pod is gone, and its log with it"
        name = pods[-1]["metadata"]["name"]
        statuses = pods[-1]["status"].get("containerStatuses") or ()
        ends = [item.get("state", {}).get("terminated", {}) for item in statuses]
        how = "; ".join(
            "the launcher ended with exit code {} ({})".format(end["exitCode"], end.get("reason") or "no reason")
            for end in ends
            if end.get("exitCode")
        )
        return request(f"{self.pods_path}/{name}/log").decode(errors="replace"), how

    def judge(self):
        """Why the run is no pass; empty when it is one."""
        started = self.wait(self.start)
        self.uid = started["metadata"]["uid"]
        end = self.wait(self.ended, self.progress)
        log, how = self.wait(self.log)
        if log is None:
            return how
        self.figures, reason = judged(os.environ["TEST"], log, json.loads(os.environ["MARKS"]))
        if end["type"] == "Failed":
            told = "the MPIJob failed: {}".format(end.get("message") or end.get("reason") or "no reason")
            reason = "; ".join(filter(None, (reason, how, told)))
        if not reason:
            # A worker that still holds its node's channel keeps the next rung, and the first graph, from starting there.
            self.wait(
                lambda: not self.pods("worker"),
                lambda: "workers that are done still hold the rack's channels",
            )
        return reason

    def write(self, reason):
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.result,
                "namespace": self.namespace,
                "labels": {"dynamo-eks/verification": os.environ["RACK"]},
            },
            "data": {
                "verdict": "fail" if reason else "pass",
                "reason": reason,
                "figures": json.dumps(self.figures, sort_keys=True),
                "run": self.uid,
            },
        }
        try:
            request(self.results, body)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            request(f"{self.results}/{self.result}", body, "PUT")


def main():
    run = Run()
    try:
        reason = run.judge()
    except Failed as failed:
        reason = str(failed)
    reason = reason[:REASON_CHARACTERS]
    try:
        run.write(reason)
    except (urllib.error.URLError, OSError, ValueError) as error:
        # A pass that nobody can read is none.
        reason = (reason + "; " if reason else "") + f"the result could not be written: {error}"
    print(json.dumps(run.figures, sort_keys=True))
    if reason:
        print("FAILED: " + reason)
        try:
            with open(TERMINATION_LOG, "w") as log:
                log.write(reason)
        except OSError as error:
            print(f"termination log: {error}")
        sys.exit(1)
    print("passed")


if __name__ == "__main__":
    main()
