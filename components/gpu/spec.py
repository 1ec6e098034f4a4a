"""Settings of NVIDIA's stack on the nodes of UltraServers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..spec import Model, Release


class Chart(Model):
    version: Release | None = None
    """Chart version, in quotes; by default the one in components/catalog.py. Another is an upgrade in place; the DRA driver's other chart (25 against 0) replaces the release, so drain the racks first."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Helm values laid over the program's own. Paths are checked against the chart, contradictions to the rest are refused."""


class Gpu(Model):
    """NVIDIA's stack on the nodes of UltraServers; Auto Mode nodes bring their own."""

    driver_branch: int = 580
    """NVIDIA driver branch that the AMI is expected to run, checked on every node by the verification ladder."""
    operator: Chart = Field(default_factory=Chart)
    """GPU Operator: device plugin, feature discovery, DCGM exporter. Driver and toolkit are the AMI's."""
    dra_driver: Chart = Field(default_factory=Chart)
    """NVIDIA's DRA driver, for ComputeDomains only: whole GPUs are the device plugin's."""
    efa_plugin: Chart = Field(default_factory=Chart)
    """EFA device plugin."""
