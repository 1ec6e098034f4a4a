"""NVIDIA's stack on the nodes of UltraServers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components import catalog
from components.gpu import values as charts
from stacks.checks.draft import Draft
from stacks.checks.ultra_servers import meant, unread
from stacks.faults import Fault, listed


def gpu_stack(draft: Draft) -> Iterator[Fault]:
    """Charts and driver of the GPU stack, and what managed nodes need besides."""
    gpu = draft.gpu
    if gpu is None:
        return
    if not meant(draft):
        if draft.given["gpu"] and not unread(draft) and not draft.existing_cluster:
            yield Fault(
                "gpu-section-without-racks",
                "gpu",
                "no such section without capacity.ultraServers: Auto Mode nodes bring driver and device plugin themselves",
                draft.given["gpu"],
            )
        return
    if draft.cluster and draft.cluster.version in set(catalog.KUBERNETES) - set(catalog.HYBRID_ADDONS):
        yield Fault(
            "kubernetes-not-for-racks",
            "cluster.version",
            f"{' or '.join(catalog.HYBRID_ADDONS)} with UltraServers: the add-ons that their nodes need are pinned for these",
            draft.cluster.version,
        )
    right = catalog.P6E_DRIVER_BRANCH
    if gpu.driver_branch > right:
        yield Fault(
            "driver-branch-too-new",
            "gpu.driverBranch",
            f"{right}: later branches lack the topology override that EFA needs on P6e, and NCCL aborts (NVIDIA/aicr #2383)",
            gpu.driver_branch,
        )
    if gpu.driver_branch < right:
        yield Fault(
            "driver-branch-too-old",
            "gpu.driverBranch",
            f"{right}: P6e-GB200 runs on none older (EKS User Guide, P6e-GB200)",
            gpu.driver_branch,
        )
    tables = (
        ("gpu.operator", gpu.operator, catalog.GPU_OPERATOR),
        ("gpu.draDriver", gpu.dra_driver, catalog.DRA_DRIVER),
        ("gpu.efaPlugin", gpu.efa_plugin, catalog.EFA_PLUGIN),
    )
    for key, chart, table in tables:
        number = chart.version or next(iter(table))
        if number not in table:
            yield Fault("gpu-chart-version", f"{key}.version", listed(table), number)
            continue
        ours = _chart_values(key, number)
        shapeless = list(_shapeless(ours, chart.values))
        for path in shapeless:
            yield Fault(
                "chart-value-not-a-mapping",
                f"{key}.values.{path}",
                "keys and values, as the chart has there",
                _at(chart.values, path),
            )
        if shapeless:
            continue
        for path, expected in charts.contradictions(table[number].name, number, charts.merged(ours, chart.values)):
            yield Fault("chart-value-wrong", f"{key}.values.{path}", expected, _at(chart.values, path))


def _chart_values(key: str, version: str) -> dict[str, Any]:
    """The program's own values of a chart: their shape, whatever the racks and the cluster's version."""
    if key == "gpu.operator":
        return charts.gpu_operator(version, (), monitors=False)
    return charts.dra_driver(version, "1.35", ()) if key == "gpu.draDriver" else charts.efa_plugin()


def _shapeless(ours: Mapping[str, Any], theirs: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """Paths where a stack file's value would take the place of keys and values that the program gives. Null may: it takes
    a chart's default away, and what is then missing is told."""
    for name, value in theirs.items():
        mine = ours.get(name)
        if not isinstance(mine, Mapping) or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _shapeless(mine, value, f"{under}{name}.")
        else:
            yield f"{under}{name}"


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
