"""One Dynamo graph on a cluster that exists and has the Dynamo platform, from `dynamo_eks` alone.

The mocker answers without a GPU, so that kind or k3s will do.
"""

import pulumi
from dynamo_eks import (
    DynamoGraph,
    DynamoGraphArgs,
    GraphNamespace,
    GraphNamespaceArgs,
    ModelCache,
    ModelCacheArgs,
    catalog,
    existing_provider,
)
from dynamo_eks.dynamo import download, manifest
from dynamo_eks.dynamo.spec import Graph, ModelSource, Worker

config = pulumi.Config()
provider = existing_provider(
    "kubernetes",
    kubeconfig_path=config.get("kubeconfig") or "~/.kube/config",
    context=config.require("context"),
)
in_cluster = pulumi.ResourceOptions(providers=[provider])

model = ModelSource(repository="Qwen/Qwen3-0.6B", revision="c1899de289a04d12100db370d81485cdf75e47ca")
graph = Graph(
    model="qwen3-0-6b", backend="mocker", transport="none", namespace="serving", worker=Worker(gpus=0, replicas=2)
)

namespace = GraphNamespace(
    "namespace",
    GraphNamespaceArgs(
        namespace=graph.namespace,
        caches=["model-cache"],
        storage_class=config.get("storageClass") or "standard",
        access_mode="ReadWriteOnce",
        size_gib=5,
    ),
    in_cluster,
)
cache = ModelCache(
    "cache",
    ModelCacheArgs(
        job=download.cache_job(
            graph.model,
            model,
            namespace=graph.namespace,
            claim="model-cache",
            token_secret=None,
            image=catalog.PYTHON_IMAGE,
            hub_version=catalog.HUGGINGFACE_HUB,
        ),
        timeout_minutes=30,
        depends_on=namespace.ready,
        claims=namespace.claims,
    ),
    in_cluster,
)
around = manifest.Surroundings(
    release=catalog.dynamo_release("1.5.0"), machine=None, zone_names={}, zoned=False, caches=frozenset({"model-cache"})
)
served = DynamoGraph(
    "graph",
    DynamoGraphArgs(
        manifest=manifest.manifest("chat", graph, model, around),
        depends_on=[*namespace.ready, *cache.ready],
        claims=namespace.claims,
    ),
    in_cluster,
)

pulumi.export("service", served.service_url)
