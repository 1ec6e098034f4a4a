"""Shared files and caches."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.draft import Draft
from stacks.faults import Fault


def storage(draft: Draft) -> Iterator[Fault]:
    storage = draft.storage
    if storage is None or draft.cluster is None:
        return
    efs = storage.efs
    if efs.throughput == "provisioned" and efs.provisioned_mibps is None:
        yield Fault(
            "throughput-missing",
            "storage.efs.provisionedMibps",
            "MiB/s, since throughput is provisioned; the key is required",
            add="dynamo-eks:storage:\n  efs:\n    provisionedMibps: 256",
        )
    if efs.throughput != "provisioned" and efs.provisioned_mibps is not None:
        yield Fault(
            "throughput-not-provisioned",
            "storage.efs.provisionedMibps",
            f"no such key with throughput: {efs.throughput}",
            efs.provisioned_mibps,
        )
    if draft.existing_cluster:
        if storage.caches and storage.storage_class is None:
            yield Fault(
                "storage-class-missing",
                "storage.storageClass",
                "a storage class of the existing cluster, for the caches; the key is required",
                add="dynamo-eks:storage:\n  storageClass: standard",
            )
        if "efs" in draft.given["storage"]:
            yield Fault(
                "efs-beside-existing-cluster",
                "storage.efs",
                "no such key with cluster.existing, which makes no AWS resource",
                draft.given["storage"]["efs"],
            )
    else:
        if storage.storage_class is not None:
            yield Fault(
                "storage-class-beside-efs",
                "storage.storageClass",
                "no such key here: the program makes a class on EFS",
                storage.storage_class,
            )
        if storage.access_mode == "ReadWriteOnce":
            yield Fault(
                "cache-not-shared",
                "storage.accessMode",
                "ReadWriteMany, since workers on several nodes share the caches",
                "ReadWriteOnce",
            )
    if draft.models and "model-cache" not in storage.caches:
        yield Fault(
            "model-cache-missing",
            "storage.caches",
            "model-cache among them, since the stack has models to keep",
            list(storage.caches),
        )
    if "compilation-cache" not in storage.caches:
        for name, graph in draft.graphs.items():
            if graph.compilation_cache and graph.backend == "vllm":
                yield Fault(
                    "compilation-cache-missing",
                    f"graphs.{name}.compilationCache",
                    "false, since storage.caches has no compilation-cache",
                    True,
                )
