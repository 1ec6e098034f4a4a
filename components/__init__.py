"""Components that take an AWS account to a served large language model: network, EKS Auto Mode, GPU capacity, NVIDIA's stack,
NVIDIA Dynamo and its graphs.

Installed, the library is called `dynamo_eks`. Each component is made as `Component(name, ComponentArgs(...), opts)`; settings are
the models of each layer's `spec` module. A name is imported when it is first asked for, since half of what is here needs no AWS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .capacity.capacity_block import CapacityBlock, CapacityBlockArgs
    from .capacity.gpu_pool import GpuPool, GpuPoolArgs
    from .capacity.node_role import NodeRole, NodeRoleArgs
    from .capacity.rack_role import RackRole, RackRoleArgs
    from .capacity.ultraserver_nodes import UltraServerNodes, UltraServerNodesArgs
    from .cluster.addons import ClusterAddons, ClusterAddonsArgs
    from .cluster.cluster import AutoModeCluster, AutoModeClusterArgs
    from .cluster.hybrid_addons import HybridAddons, HybridAddonsArgs
    from .cluster.kubernetes_provider import cluster_provider, existing_provider
    from .dynamo.graph import DynamoGraph, DynamoGraphArgs
    from .dynamo.model_cache import ModelCache, ModelCacheArgs
    from .dynamo.namespace import GraphNamespace, GraphNamespaceArgs
    from .dynamo.platform import DynamoPlatform, DynamoPlatformArgs
    from .gpu.dra_driver import DraDriver, DraDriverArgs
    from .gpu.efa_plugin import EfaPlugin, EfaPluginArgs
    from .gpu.gpu_operator import GpuOperator, GpuOperatorArgs
    from .network.existing import ExistingNetwork, ExistingNetworkArgs
    from .network.network import Network, NetworkArgs
    from .scheduling.gang_scheduler import GangScheduler, GangSchedulerArgs
    from .storage.shared_files import SharedFiles, SharedFilesArgs
    from .storage.storage_classes import StorageClasses, StorageClassesArgs
    from .validation.ladder import VerificationLadder, VerificationLadderArgs
    from .validation.mpi_operator import MpiOperator, MpiOperatorArgs
    from .validation.pinned_memory import PinnedMemory, PinnedMemoryArgs
    from .validation.platform_check import PlatformCheck, PlatformCheckArgs
    from .validation.smoke import SmokeTest, SmokeTestArgs

_MODULES = {
    "AutoModeCluster": "cluster.cluster",
    "CapacityBlock": "capacity.capacity_block",
    "ClusterAddons": "cluster.addons",
    "DraDriver": "gpu.dra_driver",
    "DynamoGraph": "dynamo.graph",
    "DynamoPlatform": "dynamo.platform",
    "EfaPlugin": "gpu.efa_plugin",
    "ExistingNetwork": "network.existing",
    "GangScheduler": "scheduling.gang_scheduler",
    "GpuOperator": "gpu.gpu_operator",
    "GpuPool": "capacity.gpu_pool",
    "GraphNamespace": "dynamo.namespace",
    "HybridAddons": "cluster.hybrid_addons",
    "ModelCache": "dynamo.model_cache",
    "MpiOperator": "validation.mpi_operator",
    "Network": "network.network",
    "NodeRole": "capacity.node_role",
    "PinnedMemory": "validation.pinned_memory",
    "PlatformCheck": "validation.platform_check",
    "RackRole": "capacity.rack_role",
    "SharedFiles": "storage.shared_files",
    "SmokeTest": "validation.smoke",
    "StorageClasses": "storage.storage_classes",
    "UltraServerNodes": "capacity.ultraserver_nodes",
    "VerificationLadder": "validation.ladder",
}
"""Where each component is; its `Args` stand beside it."""

_WHERE = {
    **{name: module for component, module in _MODULES.items() for name in (component, f"{component}Args")},
    "cluster_provider": "cluster.kubernetes_provider",
    "existing_provider": "cluster.kubernetes_provider",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
