"""The verification ladder of one UltraServer rack, as plain data: every object, and the marks a rack must reach.

Rungs, each before the next: `devices` (nodes, labels, slices), `imex` (a pod gets an IMEX channel), `nvbandwidth` (NVLink
between two nodes), `nccl` (an all-reduce over the whole rack), `efa` (the same with multi-node NVLink off, so that what leaves a
node goes over EFA). Loading a model and one completion follow as the stages of a graph's smoke test.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..capacity.ultraservers import CLIQUE_LABEL, RACK_LABEL, Rack
from ..dynamo import compute_domain as domains
from . import jobs

RUNGS = ("devices", "imex", "nvbandwidth", "nccl", "efa")
"""Order of the rungs."""

MEASURED = ("nvbandwidth", "nccl", "efa")
"""Rungs that are an MPIJob and a Job that judges it."""

LABEL = "dynamo-eks/verification"
"""Label of everything the ladder makes, with the rack's name."""

RUN_LABEL = "dynamo-eks/verification-run"
"""Label of one MPIJob's workers, by which they find each other's clique."""

TIMEOUT_MINUTES: Mapping[str, int] = {"devices": 20, "imex": 25, "nvbandwidth": 30, "nccl": 40, "efa": 40}
"""How long a rung may take. Clique labels come minutes after a node is Ready; the daemon of a domain has a startup probe of
20 minutes (DRA driver 0.4.1); the images are several GB on every node."""

NVBANDWIDTH_IMAGE = "ghcr.io/nvidia/k8s-samples:nvbandwidth-v0.7-8d103163"
"""For arm64; the image of NVIDIA's own ComputeDomain test. Its sshd runs as uid 1000 (DRA driver documentation)."""

NCCL_TESTS_IMAGE = "public.ecr.aws/hpc-cloud/nccl-tests:cuda13.1.2-efa1.50.0-ofiv1.21.1-ncclv2.31.2-1-testsv2.20.0"
"""AWS's build with EFA; the tag of its own GB200 manifest (awslabs/awsome-distributed-ai, c428b24). GB200 needs NCCL 2.25.1
or newer (NVIDIA/nccl #1611); CUDA 13 runs on every R580 driver."""

ALL_REDUCE_BYTES = 16 * 2**30
"""Largest size of the all-reduce, at which the mark is held: bandwidth still grows up to 4 GiB on 72 GPUs."""

PAIR_FRACTION = 0.9
"""Share of the published pair bandwidth that passes. Published spread is 3 % (798 to 822 GB/s), another cloud measured 770
(Azure/AI-benchmarking-guide #7, 96 %); a link at half rate gives 397."""

PAIR_GBPS = 798.0
"""Lowest pair of NVIDIA's published matrix between two GB200 nodes (DRA driver documentation, nvbandwidth test)."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a rack of one type must reach."""

    pair_gbps: float
    """Every pair of GPUs of two nodes, one way, by nvbandwidth."""
    busbw_gbps: float
    """Bus bandwidth of the all-reduce over the rack at the largest size."""
    efa_busbw_gbps: float
    """The same without multi-node NVLink."""
    source: str


def bus_factor(ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth of an all-reduce (nccl-tests, PERFORMANCE.md)."""
    return 2 * (ranks - 1) / ranks


X72_BUSBW_GBPS = 800.0

EFA_BUSBW_GBPS = 40.0
"""Floor of the all-reduce between nodes of a GB200 rack over EFA alone (NVIDIA/aicr #531 and #1256: the gate of its network
check on p6e-gb200). Two nodes with one interface each measured 44 there, so that this tells EFA from TCP and finds an interface
that is missing, not one that is a little slow: a node's four have 200 GB/s together."""

MARKS: Mapping[str, Marks] = {
    "u-p6e-gb200x72": Marks(
        PAIR_FRACTION * PAIR_GBPS,
        X72_BUSBW_GBPS,
        EFA_BUSBW_GBPS,
        "NVIDIA/aicr #531 expects 800 GB/s or more within a rack; a full NVL72 measured 835 to 847 at 8 GiB "
        "(coreweave/nccl-tests #43)",
    ),
    "u-p6e-gb200x36": Marks(
        PAIR_FRACTION * PAIR_GBPS,
        float(5 * math.floor(X72_BUSBW_GBPS * bus_factor(36) / bus_factor(72) / 5)),
        EFA_BUSBW_GBPS,
        "nobody has published one: the mark of x72 at the same algorithm bandwidth, which NVLink SHARP keeps whatever the "
        "number of GPUs, rounded down to 5 GB/s; 8 GPUs on two GB300 nodes measured 841 (NVIDIA/aicr #1256)",
    ),
}
"""Marks by UltraServer type."""

TOLERATIONS: tuple[Mapping[str, str], ...] = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)

CHANNEL = "/dev/nvidia-caps-imex-channels/channel0"

_HOSTFILE = "/etc/mpi/hostfile"
"""Where the MPI operator mounts the workers' names."""

_AWAIT_WORKERS = f"""
set -eu
tries=0
for host in $(cut -d' ' -f1 {_HOSTFILE}); do
  until getent hosts "$host" > /dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 90 ]; then echo "no address for $host after three minutes" >&2; exit 1; fi
    sleep 2
  done
done
exec "$@"
""".strip()
"""mpirun ends at the first worker whose name does not resolve yet, and the names come a little after the pods are ready."""

_PROBE = f"""
if [ -c {CHANNEL} ] && [ -r {CHANNEL} ] && [ -w {CHANNEL} ]; then ls -l {CHANNEL}; exit 0; fi
echo "{CHANNEL} is not a character device that the pod may use; the claim was granted, so the node has no NVLink fabric \
(no clique) or runs without the IMEX kernel capability. There is: $(ls -l /dev/nvidia-caps-imex-channels 2>&1)"
exit 1
""".strip()


@dataclass(frozen=True, kw_only=True)
class RackUnderTest:
    """The rack and what it must offer. What is here goes into names: a change runs the rungs it concerns again."""

    rack: Rack
    driver_branch: int
    """Major version of the NVIDIA driver; the catalogue says which and why."""
    namespace: str
    cliques: int = 1
    """NVLink cliques the rack may be in. More than one is good only when no graph spans more nodes than a clique has."""
    tolerations: Sequence[Mapping[str, str]] = TOLERATIONS

    def __post_init__(self) -> None:
        name, type_ = self.rack.name, self.rack.spec.type
        # Host names are made of it.
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?", name):
            raise ValueError(f"rack: {name!r} is no name of at most 20 lower-case letters, digits and dashes")
        if type_ not in MARKS:
            raise ValueError(f"rack: no marks for {type_}; there are {', '.join(MARKS)}")

    @property
    def name(self) -> str:
        """Of the ladder's account, its rights and its ComputeDomain."""
        return f"verify-{self.rack.name}"

    @property
    def cluster_name(self) -> str:
        """Of its rights outside namespaces, whose names all stacks of a cluster share."""
        return f"{self.namespace}-{self.rack.name}"

    @property
    def channel(self) -> str:
        """ResourceClaimTemplate that the DRA driver makes for the domain."""
        return domains.template_of(self.name)

    @property
    def marks(self) -> Marks:
        return MARKS[self.rack.spec.type]

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.rack.name}


def result_name(tested: RackUnderTest, rung: str) -> str:
    """ConfigMap that a rung's Job writes."""
    return f"{tested.name}-{rung}-result"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _run_name(tested: RackUnderTest, rung: str, spec: Mapping[str, Any]) -> str:
    """Name of what runs on the rack: of the block and of what runs, so that only these make it run again, which needs free
    nodes. A deadline is changed in place."""
    lasting = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "runPolicy")}
    return jobs.short_name(f"{tested.name}-{rung}", _text(lasting), tested.rack.spec.reservation)


# --- what runs on the rack ---------------------------------------------------------------------------------------------


def compute_domain(tested: RackUnderTest) -> dict[str, Any]:
    """One domain for the ladder: a node is in one at a time, so the rungs take turns in it."""
    return domains.compute_domain(tested.name, tested.namespace, tested.labels)


def _placed(tested: RackUnderTest) -> dict[str, Any]:
    """On a node of the rack, whatever its taints; also keeps images that exist for arm64 alone off other nodes."""
    return {"nodeSelector": {RACK_LABEL: tested.rack.name}, "tolerations": [dict(item) for item in tested.tolerations]}


def imex_job(tested: RackUnderTest, *, image: str, timeout_s: int) -> dict[str, Any]:
    """A pod with a channel claim looks for the device. Any image with a shell does; it needs no GPU."""
    container = {
        "name": "probe",
        "image": image,
        "command": ["/bin/sh", "-c", _PROBE],
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"memory": "64Mi"},
            "claims": [{"name": "channel"}],
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": timeout_s,
        "template": {
            "metadata": {"labels": tested.labels},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65534,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                **_placed(tested),
                "containers": [container],
                "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": tested.channel}],
            },
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": _run_name(tested, "imex", spec),
            "namespace": tested.namespace,
            "labels": tested.labels,
            "annotations": {"pulumi.com/replaceUnready": "true"},
        },
        "spec": spec,
    }


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What an MPIJob runs, and on how many nodes."""

    image: str
    workers: int
    command: Sequence[str]
    """Of the launcher."""
    worker: Mapping[str, Any]
    """What a worker's container is besides its name, image and resources."""
    extended: Mapping[str, str]
    """What a worker takes of its node beside the GPUs."""
    one_clique: bool
    """Whether all workers must be in one NVLink clique."""
    timeout_s: int
    ssh_mount: str | None = None
    user: int | None = None
    volumes: Sequence[Mapping[str, Any]] = ()


def _mpi_job(tested: RackUnderTest, rung: str, run: _Run) -> dict[str, Any]:
    """An MPIJob of whole nodes: every worker holds a node's GPUs and its one channel, the launcher neither."""
    security = {} if run.user is None else {"securityContext": {"runAsUser": run.user}}
    memory = {"cpu": "8", "memory": "32Gi"}
    own = {"nvidia.com/gpu": str(tested.rack.machine.gpus), **run.extended}
    launcher_pod = {
        **_placed(tested),
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "launcher",
                "image": run.image,
                "command": ["/bin/sh", "-c", _AWAIT_WORKERS, "launcher"],
                "args": list(run.command),
                "resources": {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
                **security,
            }
        ],
    }

    def spec(named: str) -> dict[str, Any]:
        affinity: dict[str, Any] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": CLIQUE_LABEL, "operator": "Exists"}]}]
                }
            }
        }
        if run.one_clique:
            affinity["podAffinity"] = {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {RUN_LABEL: named}}, "topologyKey": CLIQUE_LABEL}
                ]
            }
        worker_pod = {
            **_placed(tested),
            "automountServiceAccountToken": False,
            "affinity": affinity,
            "containers": [
                {
                    "name": "worker",
                    "image": run.image,
                    **run.worker,
                    "resources": {
                        "requests": {**memory, **own},
                        "limits": {"memory": memory["memory"], **own},
                        "claims": [{"name": "channel"}],
                    },
                    **security,
                }
            ],
            "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": tested.channel}],
            **({"volumes": [dict(item) for item in run.volumes]} if run.volumes else {}),
        }
        return {
            "slotsPerWorker": tested.rack.machine.gpus,
            # Pods start when their own node's IMEX daemon is up, others' may not be (DRA driver #948).
            "launcherCreationPolicy": "WaitForWorkersReady",
            "mpiImplementation": "OpenMPI",
            **({} if run.ssh_mount is None else {"sshAuthMountPath": run.ssh_mount}),
            "runPolicy": {
                # Workers go when the launcher is done, so that the next rung finds the nodes free.
                "cleanPodPolicy": "Running",
                # A second run would only hide the first one's reason.
                "backoffLimit": 0,
                "activeDeadlineSeconds": run.timeout_s,
            },
            "mpiReplicaSpecs": {
                "Launcher": {
                    "replicas": 1,
                    "restartPolicy": "Never",
                    "template": {"metadata": {"labels": tested.labels}, "spec": launcher_pod},
                },
                "Worker": {
                    "replicas": run.workers,
                    "restartPolicy": "Never",
                    "template": {"metadata": {"labels": {**tested.labels, RUN_LABEL: named}}, "spec": worker_pod},
                },
            },
        }

    name = _run_name(tested, rung, spec(""))
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "metadata": {
            "name": name,
            "namespace": tested.namespace,
            "labels": tested.labels,
            # It is ready when it is made; the Job that judges it waits for its end.
            "annotations": {"pulumi.com/skipAwait": "true"},
        },
        "spec": spec(name),
    }


def nvbandwidth_job(tested: RackUnderTest, *, image: str, timeout_s: int) -> dict[str, Any]:
    """Copies between every pair of GPUs of two nodes in one clique."""
    per_node, ranks = tested.rack.machine.gpus, 2 * tested.rack.machine.gpus
    return _mpi_job(
        tested,
        "nvbandwidth",
        _Run(image=image,
        workers=2,
        command=[
            "mpirun", "--bind-to", "core", "--map-by", f"ppr:{per_node}:node", "-np", str(ranks), "-q",
            "nvbandwidth", "-t", "multinode_device_to_device_memcpy_read_ce",
        ],
        worker={"command": ["/usr/sbin/sshd"], "args": ["-De", "-f", "/home/mpiuser/.sshd_config"]},
        extended={},
        one_clique=True,
        timeout_s=timeout_s,
        ssh_mount="/home/mpiuser/.ssh",
        user=1000),
    )  # fmt: skip


def nccl_job(tested: RackUnderTest, *, image: str, timeout_s: int) -> dict[str, Any]:
    """An all-reduce over every GPU of the rack, over NVLink where it reaches and EFA where it does not."""
    return _all_reduce(tested, "nccl", image=image, timeout_s=timeout_s, nvlink=True)


def efa_job(tested: RackUnderTest, *, image: str, timeout_s: int) -> dict[str, Any]:
    """An all-reduce over every GPU of the rack, between nodes over EFA alone: as KV blocks go between racks, and NCCL when a
    link of the rack fails, which no other rung would notice before."""
    return _all_reduce(tested, "efa", image=image, timeout_s=timeout_s, nvlink=False)


def _all_reduce(tested: RackUnderTest, rung: str, *, image: str, timeout_s: int, nvlink: bool) -> dict[str, Any]:
    per_node = tested.rack.machine.gpus
    # The switches reduce for a whole NVLink domain or not at all: NVLS is for the rung that has one.
    variables = (
        "FI_PROVIDER=efa",
        "NCCL_DEBUG=INFO",
        f"NCCL_MNNVL_ENABLE={int(nvlink)}",
        f"NCCL_NVLS_ENABLE={int(nvlink)}",
    )
    pages = {"hugepages-2Mi": f"{tested.rack.spec.huge_pages_mib}Mi"} if tested.rack.spec.huge_pages_mib else {}
    return _mpi_job(
        tested,
        rung,
        _Run(image=image,
        workers=tested.rack.nodes,
        command=[
            "/opt/amazon/openmpi/bin/mpirun", "--allow-run-as-root", "--tag-output", "--bind-to", "none",
            "--map-by", f"ppr:{per_node}:node", "-np", str(tested.rack.nodes * per_node),
            # The image's own paths: they hold NCCL and the EFA plugin, and a remote shell does not set them.
            "-x", "PATH", "-x", "LD_LIBRARY_PATH", *(part for item in variables for part in ("-x", item)),
            "/opt/nccl-tests/build/all_reduce_perf", "-b", "64M", "-e", str(ALL_REDUCE_BYTES), "-f", "2", "-g", "1",
            "-c", "1", "-n", "20",
        ],
        worker={
            "command": ["/usr/sbin/sshd", "-De"],
            "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
        },
        extended={"vpc.amazonaws.com/efa": str(tested.rack.spec.efa_interfaces), **pages},
        one_clique=nvlink and tested.cliques == 1,
        timeout_s=timeout_s,
        # The runtime gives 64 MiB, which four ranks outgrow.
        volumes=[{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}]),
    )  # fmt: skip


# --- what judges it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """A Job that judges a rung, and the ConfigMap with its program."""

    config_map: Mapping[str, Any]
    job: Mapping[str, Any]


def _check(
    tested: RackUnderTest,
    rung: str,
    program: str,
    *,
    image: str,
    environment: Mapping[str, str],
    timeout_s: int,
    files: Mapping[str, str],
) -> Check:
    environment = {
        "RACK": tested.rack.name,
        "NAMESPACE": tested.namespace,
        "RESULT": result_name(tested, rung),
        "TIMEOUT_S": str(timeout_s),
        **environment,
    }
    text = jobs.script(program)
    name = jobs.short_name(
        f"{tested.name}-{rung}-check", text, image, _text(environment), _text(dict(files)), tested.rack.spec.reservation
    )
    config_map = jobs.config_map(name, tested.namespace, text)
    config_map["metadata"]["labels"] = tested.labels
    config_map["data"].update(files)
    job = jobs.check_job(
        name,
        namespace=tested.namespace,
        service_account=tested.name,
        image=image,
        environment=environment,
        timeout_s=timeout_s,
    )
    job["metadata"]["labels"] = tested.labels
    job["spec"]["template"]["metadata"] = {"labels": tested.labels}
    return Check(config_map, job)


def devices_check(tested: RackUnderTest, *, image: str, timeout_s: int) -> Check:
    """Looks at nodes, device classes and slices."""
    environment = {
        "RACK_LABEL": RACK_LABEL,
        "NODES": str(tested.rack.nodes),
        "GPUS": str(tested.rack.machine.gpus),
        "EFA": str(tested.rack.spec.efa_interfaces),
        "HUGEPAGES_MIB": str(tested.rack.spec.huge_pages_mib),
        "CLIQUES": str(tested.cliques),
        "INSTANCE_TYPE": tested.rack.spec.instance_type,
        "DRIVER_BRANCH": str(tested.driver_branch),
    }
    return _check(
        tested, "devices", "rack_devices", image=image, environment=environment, timeout_s=timeout_s, files={}
    )


def marks_of(tested: RackUnderTest, rung: str) -> dict[str, float]:
    """What a measured rung is held against: who must take part, and the least bandwidth in GB/s."""
    if rung == "nvbandwidth":
        return {"ranks": 2 * tested.rack.machine.gpus, "hosts": 2, "pair_gbps": tested.marks.pair_gbps}
    ranks = tested.rack.nodes * tested.rack.machine.gpus
    if rung == "efa":
        mark = tested.marks.efa_busbw_gbps
        return {"ranks": ranks, "hosts": tested.rack.nodes, "bytes": ALL_REDUCE_BYTES, "busbw_gbps": mark}
    return {
        "ranks": ranks,
        "hosts": tested.rack.nodes,
        # With several cliques their sizes are not known before; one node alone is no multi-node NVLink.
        "clique_ranks": ranks if tested.cliques == 1 else tested.rack.machine.gpus + 1,
        "bytes": ALL_REDUCE_BYTES,
        "busbw_gbps": tested.marks.busbw_gbps,
    }


def measured_check(
    tested: RackUnderTest, rung: str, mpi_job: Mapping[str, Any], *, image: str, timeout_s: int
) -> Check:
    """Waits for an MPIJob and judges its log. It holds the MPIJob's text too, to make a failed or lost run again. Marks are
    in its name and not in the MPIJob's: changed marks judge the run there is, without asking for free nodes."""
    environment = {
        "MPIJOB": mpi_job["metadata"]["name"],
        "TEST": rung,
        "MARKS": _text(marks_of(tested, rung)),
    }
    return _check(
        tested,
        rung,
        "mpi_result",
        image=image,
        environment=environment,
        timeout_s=timeout_s,
        files={"mpijob.json": _text(mpi_job)},
    )


def role_rules(tested: RackUnderTest, mpi_jobs: Sequence[str]) -> list[dict[str, Any]]:
    """What the judging Jobs may do in their namespace."""
    results = [result_name(tested, rung) for rung in RUNGS if rung != "imex"]
    rules = [
        # A name cannot restrict what does not exist yet.
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": results, "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    if mpi_jobs:
        rules += [
            {"apiGroups": ["kubeflow.org"], "resources": ["mpijobs"], "verbs": ["create"]},
            {
                "apiGroups": ["kubeflow.org"],
                "resources": ["mpijobs"],
                "resourceNames": sorted(mpi_jobs),
                "verbs": ["get", "delete"],
            },
        ]
    return rules


def cluster_rules() -> list[dict[str, Any]]:
    """What the first rung reads outside namespaces."""
    return [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["deviceclasses"],
            "resourceNames": ["compute-domain-daemon.nvidia.com", "compute-domain-default-channel.nvidia.com"],
            "verbs": ["get"],
        },
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": ["list"]},
    ]
