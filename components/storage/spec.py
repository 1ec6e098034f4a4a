"""Settings of the shared files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..spec import DnsLabel, Model


class Efs(Model):
    throughput: Literal["elastic", "bursting", "provisioned"] = "elastic"
    """Throughput mode, changed in place. `provisioned` is neither left nor lowered within 24 hours of its last change."""
    provisioned_mibps: Annotated[int, Field(ge=1, le=3414)] | None = None
    """MiB/s for `provisioned`."""
    backup: bool = False
    """Daily AWS Backup. Caches can be downloaded again, so it is off by default."""
    protect: bool = True
    """Pulumi refuses to delete the file system. Set to false and run `make up` before `make destroy`."""


CacheName = Literal["model-cache", "compilation-cache", "perf-cache"]


class Storage(Model):
    """Shared files for models and compiled kernels."""

    efs: Efs = Field(default_factory=Efs)
    caches: tuple[CacheName, ...] = ("model-cache", "compilation-cache", "perf-cache")
    """Claims made in every namespace that holds a graph."""
    cache_size_gib: Annotated[int, Field(ge=1, le=65536)] = 5
    """Size asked for by each claim. EFS ignores it, and claims on it that are there keep the old number; another class is asked to resize them, and may refuse."""
    storage_class: DnsLabel | None = None
    """Storage class of the claims in an existing cluster; elsewhere the program makes one on EFS. Changing it replaces the claims, empty, and with them the downloads and graphs that use them."""
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    """ReadWriteOnce only for a single-node cluster such as kind."""
