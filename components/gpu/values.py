"""Helm values of NVIDIA's and AWS's charts on UltraServer nodes, one function for each chart. Pure.

One allocator serves GPUs: the device plugin. DRA serves ComputeDomains only, since both advertising the same GPUs hands
them out twice without a word (NVIDIA/aicr #332, #1327). Everything runs on the racks alone: Auto Mode nodes bring driver
and plugins of their own, invisible to the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..capacity.ultraservers import RACK_LABEL, RACK_MARK

AUTO_POOL = {"karpenter.sh/nodepool": "general-purpose"}
"""Where controllers run: the racks come and go with their blocks, and a GPU node must not be kept by a controller."""

TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

NOT_AUTO = {"key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": ["auto"]}


def on_racks(racks: Sequence[str]) -> dict[str, Any]:
    """Required node affinity for the nodes of these UltraServers, and never for an Auto Mode node."""
    rack = {"key": RACK_LABEL, "operator": "In", "values": sorted(racks)}
    term = {"matchExpressions": [rack, NOT_AUTO]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def resource_api(kubernetes: str) -> str:
    """API of DRA that a Kubernetes version serves; stated, since a chart rendered without a cluster guesses wrong
    (kubernetes-sigs/dra-driver-nvidia-gpu #728)."""
    major, minor = (int(part) for part in kubernetes.split("."))
    return "resource.k8s.io/v1" if (major, minor) >= (1, 34) else "resource.k8s.io/v1beta1"


def dra_driver(version: str, kubernetes: str, racks: Sequence[str]) -> dict[str, Any]:
    """DRA driver: ComputeDomains, no GPUs. `nvidiaDriverRoot` is the host's, as the AMI holds the driver (#767)."""
    controller: dict[str, Any] = {"nodeSelector": dict(AUTO_POOL), "tolerations": []}
    if version.startswith("25."):
        # The old chart asks for a control-plane node, which EKS has none of: the controller stays Pending
        # (NVIDIA/aicr #165). Null, because an empty mapping would be merged with the default. Goes with 25.x.
        controller["affinity"] = None
    return {
        "nvidiaDriverRoot": "/",
        "resourceApiVersion": resource_api(kubernetes),
        "resources": {"gpus": {"enabled": False}, "computeDomains": {"enabled": True}},
        "gpuResourcesEnabledOverride": False,
        "controller": controller,
        "kubeletPlugin": {
            # 25.x tolerates nothing by itself, and lists replace the chart's.
            "tolerations": list(TOLERATIONS),
            # Not the chart's own terms: on NVLink-less nodes the plugin crash-loops (#1264), and feature discovery's
            # labels come later than the node.
            "affinity": on_racks(racks),
        },
    }


def gpu_operator(version: str, racks: Sequence[str], *, monitors: bool) -> dict[str, Any]:
    """GPU Operator on the EKS AMI: driver, toolkit and MIG are not its business (EKS User Guide, P6e-GB200).

    MIG and vGPU are off in the AMI's coherent driver mode. Operands follow feature discovery's labels; the worker that
    writes them is kept to the racks, and Auto Mode's pools carry the operator's opt-out label besides.
    """
    values: dict[str, Any] = {
        "driver": {"enabled": False},
        "toolkit": {"enabled": False},
        "migManager": {"enabled": False},
        "devicePlugin": {"enabled": True},
        "gfd": {"enabled": True},
        "nfd": {"enabled": True},
        # Stated: 26.7 switches it on by default, and skips it for good when the CRD comes later.
        "dcgmExporter": {"enabled": True, "serviceMonitor": {"enabled": monitors}},
        "daemonsets": {"tolerations": list(TOLERATIONS)},
        "node-feature-discovery": {"worker": {"tolerations": list(TOLERATIONS), "affinity": on_racks(racks)}},
    }
    if version.startswith("26.7."):
        # Served by ClusterPolicy: with a GPUCluster GPUs would come from DRA, and there is no way back without draining.
        values["clusterPolicy"] = {"deployCR": True}
        values["gpuCluster"] = {"deployCR": False}
    return values


def efa_plugin() -> dict[str, Any]:
    """EFA device plugin: tolerates the racks' taint, which it does not by default, and stays off other nodes."""
    return {"tolerations": list(TOLERATIONS), "nodeSelector": {RACK_MARK: "true"}}


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the stack file laid over the program's: mappings are merged, everything else replaces."""
    out = dict(ours)
    for key, value in theirs.items():
        under = out.get(key)
        out[key] = merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return out


def contradictions(chart: str, version: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a chart's final values say against the rest of the stack: (path, what is expected). Asked of the stack file
    before anything registers, and of the recorded release again."""

    def at(path: str) -> Any:
        found: Any = values
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    wrong = []
    if chart in ("dra-driver-nvidia-gpu", "nvidia-dra-driver-gpu"):
        if at("resources.gpus.enabled") is not False or at("gpuResourcesEnabledOverride"):
            path = (
                "resources.gpus.enabled" if at("resources.gpus.enabled") is not False else "gpuResourcesEnabledOverride"
            )
            wrong.append((path, "false: the device plugin serves GPUs, and DRA beside it would hand each out twice"))
        if at("resources.computeDomains.enabled") is not True:
            wrong.append(("resources.computeDomains.enabled", "true: ComputeDomains are what the driver is here for"))
        if at("nvidiaDriverRoot") != "/":
            wrong.append(("nvidiaDriverRoot", "/, where the AMI has its driver; elsewhere no domain gets ready (#767)"))
        controller = at("controller")
        stated = isinstance(controller, Mapping) and "affinity" in controller
        if version.startswith("25.") and (not stated or at("controller.affinity") is not None):
            wrong.append(
                ("controller.affinity", "null with 25.x, whose default asks for a control-plane node that EKS has not")
            )
    if chart == "gpu-operator":
        if at("driver.enabled") is not False:
            wrong.append(
                (
                    "driver.enabled",
                    "false: the AMI has the driver (R580); the operator's own may be R595, which breaks EFA on P6e",
                )
            )
        if at("toolkit.enabled") is not False:
            wrong.append(("toolkit.enabled", "false: the AMI has the container toolkit"))
        if at("migManager.enabled") is not False:
            wrong.append(("migManager.enabled", "false: the AMI's coherent driver mode has no MIG"))
        if at("devicePlugin.enabled") is not True:
            wrong.append(("devicePlugin.enabled", "true: nothing else serves GPUs, as DRA serves ComputeDomains only"))
        if at("gfd.enabled") is not True or at("nfd.enabled") is not True:
            path = "gfd.enabled" if at("gfd.enabled") is not True else "nfd.enabled"
            wrong.append(
                (path, "true: feature discovery writes the label nvidia.com/gpu.clique that graphs are placed by")
            )
        if at("gpuCluster.deployCR"):
            wrong.append(("gpuCluster.deployCR", "false: with it GPUs come from DRA, and the device plugin is gone"))
    return wrong
