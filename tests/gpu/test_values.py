"""Helm values of the GPU stack and of gang scheduling: at paths the real charts have, on the racks alone, one allocator."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from components import catalog
from components.capacity.ultraservers import RACK_LABEL, RACK_MARK
from components.gpu import values
from components.scheduling import gang
from rules.objects import chart_of
from schemas.strict import Shapes
from tests.conftest import recorded

ROOT = Path(__file__).parents[2]
NAMES = ["rack-a", "rack-b"]

CHARTS: dict[str, tuple[str, str, Any]] = {
    "dra-driver-nvidia-gpu-0.4.1": (
        "dra-driver-nvidia-gpu",
        "0.4.1",
        lambda: values.dra_driver("0.4.1", "1.35", NAMES),
    ),
    "nvidia-dra-driver-gpu-25.12.0": (
        "nvidia-dra-driver-gpu",
        "25.12.0",
        lambda: values.dra_driver("25.12.0", "1.34", NAMES),
    ),
    "gpu-operator-26.3.3": ("gpu-operator", "v26.3.3", lambda: values.gpu_operator("26.3.3", NAMES, monitors=True)),
    "gpu-operator-26.7.0": ("gpu-operator", "v26.7.0", lambda: values.gpu_operator("26.7.0", NAMES, monitors=False)),
    "aws-efa-k8s-device-plugin-0.5.30": ("aws-efa-k8s-device-plugin", "0.5.30", values.efa_plugin),
    "kai-scheduler-0.17.0": ("kai-scheduler", "v0.17.0", gang.kai_values),
    "grove-0.1.0-alpha.11": ("grove", "v0.1.0-alpha.11", lambda: gang.grove_values(auto_mnnvl=True)),
}
"""Folder of the real chart, its name and version, and what the program sets. Named by folder: a chart that is not there
fails the test that reads it."""

SUBCHART_PATHS = {"node-feature-discovery.worker.affinity"}
"""Values of charts within a chart that the outer defaults do not repeat (NFD's chart, `worker.affinity`)."""

charts = pytest.mark.parametrize("folder", sorted(CHARTS))


@cache
def defaults(folder: Path) -> Mapping[str, Any]:
    return yaml.safe_load((folder / "values.yaml").read_text())


def missing(ours: Mapping[str, Any], there: Any, path: str = "") -> list[str]:
    """Paths of `ours` that a chart's defaults do not have. Below `{}`, `[]`, null and empty text it takes what is given."""
    found = []
    for key, value in ours.items():
        at = f"{path}.{key}" if path else key
        if not isinstance(there, Mapping) or key not in there:
            found.append(at)
        elif isinstance(value, Mapping) and there[key] not in ({}, [], None, ""):
            found += missing(value, there[key], at)
    return found


def kinds(ours: Mapping[str, Any], there: Mapping[str, Any], path: str = "") -> list[str]:
    """Paths whose value is of another type than the chart's default."""
    found = []
    for key, value in ours.items():
        default, at = there.get(key), f"{path}.{key}" if path else key
        if default is None or default == "" or value is None:
            continue
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            found += kinds(value, default, at)
        elif type(value) is not type(default):
            found.append(f"{at}: {value!r} for {default!r}")
    return found


# --- paths -------------------------------------------------------------------------------------------------------------


@charts
def test_every_path_is_one_the_chart_has(contracts: Path, folder: str) -> None:
    """Helm ignores an unknown value without a word, and the default stays: the device plugin on Auto Mode nodes, or the
    operator's own driver on the AMI's."""
    ours, there = CHARTS[folder][2](), defaults(contracts / folder)
    assert set(missing(ours, there)) <= SUBCHART_PATHS
    assert kinds(ours, there) == []
    inner = {path.split(".")[0] for path in missing(ours, there)}
    if inner:
        chart = yaml.safe_load((contracts / folder / "Chart.yaml").read_text())
        assert inner <= {item["name"] for item in chart["dependencies"]}


@charts
def test_our_own_check_says_the_same(folder: str) -> None:
    """The plan's tables, without the charts at hand: the version's own table, no fault, and each misspelling found."""
    chart, version, ours = CHARTS[folder]
    verdict = Shapes.load().check_values(chart, version, ours())
    assert verdict.state == "ok" and verdict.note == "", [str(fault) for fault in verdict.faults]
    for key in ours():
        if key == "global":
            continue
        wrong = {**ours(), f"{key}x": ours()[key]}
        assert Shapes.load().check_values(chart, version, wrong).state == "faults", f"{key}x"


def test_the_comparison_finds_a_path_that_is_not_there(contracts: Path) -> None:
    """A walker that passes everything would make the tests above worthless."""
    there = defaults(contracts / "dra-driver-nvidia-gpu-0.4.1")
    ours = copy.deepcopy(values.dra_driver("0.4.1", "1.35", NAMES))
    ours["kubeletPlugins"] = ours.pop("kubeletPlugin")
    ours["resources"]["gpu"] = {"enabled": False}
    ours["nvidiaDriverRoot"] = True
    assert missing(ours, there) == ["resources.gpu", "kubeletPlugins"]
    assert kinds(ours, there) == ["nvidiaDriverRoot: True for '/'"]


def test_every_supported_version_is_here() -> None:
    """A version that is offered and not compared with its chart is a guess."""
    for table in (catalog.DRA_DRIVER, catalog.GPU_OPERATOR, catalog.EFA_PLUGIN):
        for key, release in table.items():
            assert CHARTS[f"{release.name}-{key}"][:2] == (release.name, release.version)


@pytest.mark.parametrize("stack", ["gb200-prod", "gb200-pair"])
def test_what_is_registered_is_what_is_tested(stack: str) -> None:
    """Values of the recorded releases against the functions above."""
    names = ["rack-a"] if stack == "gb200-prod" else NAMES
    own = {
        "gpu-operator": lambda version: values.gpu_operator(version, names, monitors=False),
        "dra-driver-nvidia-gpu": lambda version: values.dra_driver(version, "1.35", names),
        "nvidia-dra-driver-gpu": lambda version: values.dra_driver(version, "1.35", names),
        "aws-efa-k8s-device-plugin": lambda version: values.efa_plugin(),
        "kai-scheduler": lambda version: gang.kai_values(),
        "grove": lambda version: gang.grove_values(auto_mnnvl=False),
    }
    seen = 0
    for node in recorded(stack).releases:
        chart, version = chart_of(node)
        if chart in own:
            seen += 1
            assert node.inputs["values"] == own[chart](version.removeprefix("v")), chart
    assert seen == 5


# --- what the values mean ----------------------------------------------------------------------------------------------


def test_the_old_charts_affinity_is_null_on_the_wire() -> None:
    """Its default asks for a control-plane node, which EKS has none of: the controller stays Pending (NVIDIA/aicr #165).
    Only a null takes a default away; a mapping, even an empty one, would be merged with it."""
    node = next(item for item in recorded("gb200-pair").releases if item.name.startswith("dra-driver"))
    assert chart_of(node) == ("nvidia-dra-driver-gpu", "25.12.0")
    controller = node.inputs["values"]["controller"]
    assert "affinity" in controller and controller["affinity"] is None
    new = next(item for item in recorded("gb200-prod").releases if item.name.startswith("dra-driver"))
    assert "affinity" not in new.inputs["values"]["controller"]


def test_the_old_charts_default_is_what_the_null_is_for(contracts: Path) -> None:
    """The new chart only prefers such a node; the day it demands one, it needs the null too."""

    def demands(folder: str) -> bool:
        affinity = defaults(contracts / folder)["controller"]["affinity"]["nodeAffinity"]
        return "requiredDuringSchedulingIgnoredDuringExecution" in affinity

    assert demands("nvidia-dra-driver-gpu-25.12.0") and not demands("dra-driver-nvidia-gpu-0.4.1")


def test_the_provider_hands_nulls_to_helm() -> None:
    """Before 4.30.0 the provider left nulls out of a release's values (pulumi-kubernetes #4293), and the default stayed."""
    (found,) = re.findall(r"^pulumi-kubernetes==(\d+)\.(\d+)\.", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert tuple(map(int, found)) >= (4, 30)


def test_efa_plugin_knows_the_machine(contracts: Path) -> None:
    """On a type that its chart does not list no EFA interface is advertised, and every worker stays Pending."""
    types = (contracts / "aws-efa-k8s-device-plugin-0.5.30" / "values.yaml").read_text()
    assert "p6e-gb200.36xlarge" in types


def matches(affinity: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels meets a required node affinity: any term, and all expressions of it."""
    (terms,) = (affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"],)
    meets = {
        "In": lambda key, wanted: labels.get(key) in wanted,
        "NotIn": lambda key, wanted: labels.get(key) not in wanted,
    }
    return any(
        all(meets[item["operator"]](item["key"], item["values"]) for item in term["matchExpressions"]) for term in terms
    )


label_sets = st.fixed_dictionaries(
    {},
    optional={
        RACK_LABEL: st.sampled_from(["rack-a", "rack-b", "rack-c"]),
        "eks.amazonaws.com/compute-type": st.sampled_from(["auto", "ec2"]),
        "nvidia.com/gpu.present": st.just("true"),
    },
)


@given(label_sets, st.lists(st.sampled_from(["rack-a", "rack-b"]), unique=True, min_size=1))
def test_only_racks_and_never_an_auto_mode_node(labels: Mapping[str, str], racks: list[str]) -> None:
    """Auto Mode nodes have driver and plugins built in: a second device plugin hands each GPU out twice."""
    wanted = labels.get(RACK_LABEL) in racks and labels.get("eks.amazonaws.com/compute-type") != "auto"
    for affinity in (
        values.on_racks(racks),
        values.dra_driver("0.4.1", "1.35", racks)["kubeletPlugin"]["affinity"],
        values.dra_driver("25.12.0", "1.35", racks)["kubeletPlugin"]["affinity"],
        values.gpu_operator("26.7.0", racks, monitors=False)["node-feature-discovery"]["worker"]["affinity"],
    ):
        assert matches(affinity, labels) == wanted


def test_nodes_carry_what_charts_select() -> None:
    """Labels of the recorded node groups against the values of the recorded releases."""
    for stack in ("gb200-prod", "gb200-pair"):
        graph = recorded(stack)
        by_name = {node.name.split("-")[0]: node.inputs["values"] for node in graph.releases}
        efa = next(node.inputs["values"] for node in graph.releases if node.name.startswith("efa"))
        assert by_name and efa["nodeSelector"] == {RACK_MARK: "true"}
        for node in graph.of("aws:eks/nodeGroup:NodeGroup"):
            labels = node.inputs["labels"]
            assert efa["nodeSelector"].items() <= labels.items()
            dra = next(item.inputs["values"] for item in graph.releases if item.name.startswith("dra"))
            assert matches(dra["kubeletPlugin"]["affinity"], labels)
            (taint,) = node.inputs["taints"]
            for tolerations in (efa["tolerations"], dra["kubeletPlugin"]["tolerations"]):
                assert {"key": taint["key"], "operator": "Exists", "effect": "NoSchedule"} in tolerations


@pytest.mark.parametrize(
    ("kubernetes", "api"),
    [("1.33", "resource.k8s.io/v1beta1"), ("1.34", "resource.k8s.io/v1"), ("1.36", "resource.k8s.io/v1")],
)
def test_the_api_of_the_cluster_is_stated(kubernetes: str, api: str) -> None:
    """Rendered for an API the cluster does not serve, the driver publishes no slice (dra-driver-nvidia-gpu #728)."""
    assert values.dra_driver("0.4.1", kubernetes, NAMES)["resourceApiVersion"] == api


def test_newest_operator_is_served_by_cluster_policy() -> None:
    """With a GPUCluster GPUs would come from DRA, and there is no way back without draining."""
    new = values.gpu_operator("26.7.0", NAMES, monitors=False)
    assert new["clusterPolicy"] == {"deployCR": True} and new["gpuCluster"] == {"deployCR": False}
    assert not {"clusterPolicy", "gpuCluster"} & set(values.gpu_operator("26.3.3", NAMES, monitors=False))


@pytest.mark.parametrize("version", ["26.3.3", "26.7.0"])
@pytest.mark.parametrize("monitors", [True, False])
def test_what_the_operator_does_on_the_ami(version: str, monitors: bool) -> None:
    """Driver, toolkit and MIG are the AMI's; plugin, discovery and metrics are the operator's. Without its exporter a slow
    GPU is found by the users, and a ServiceMonitor without its kind fails the release."""
    made = values.gpu_operator(version, NAMES, monitors=monitors)
    enabled = {key: item["enabled"] for key, item in made.items() if isinstance(item, Mapping) and "enabled" in item}
    assert enabled == {
        "driver": False, "toolkit": False, "migManager": False, "devicePlugin": True, "gfd": True, "nfd": True,
        "dcgmExporter": True,
    }  # fmt: skip
    assert made["dcgmExporter"]["serviceMonitor"] == {"enabled": monitors}
    assert made["daemonsets"]["tolerations"] == values.TOLERATIONS


@pytest.mark.parametrize("auto", [True, False])
def test_grove_makes_domains_only_where_asked(auto: bool) -> None:
    """Its own domain beside the program's is two claims for one channel: no pod starts (dynamo #6364)."""
    assert gang.grove_values(auto_mnnvl=auto)["config"]["network"]["autoMNNVLEnabled"] is auto
    for stack in ("gb200-prod", "gb200-pair"):
        node = next(item for item in recorded(stack).releases if item.name == "gang-grove")
        assert node.inputs["values"]["config"]["network"]["autoMNNVLEnabled"] is False


# --- merged and contradictions -----------------------------------------------------------------------------------------

trees = st.recursive(
    st.none() | st.booleans() | st.integers(0, 5) | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


@given(mappings, mappings)
def test_values_are_merged_as_helm_does(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The stack file wins where it says something, and takes nothing away where it does not."""
    before = copy.deepcopy((ours, theirs))
    made = values.merged(ours, theirs)
    assert (ours, theirs) == before
    assert set(made) == set(ours) | set(theirs)
    for key, value in made.items():
        if key not in theirs:
            assert value == ours[key]
        elif isinstance(theirs[key], Mapping) and isinstance(ours.get(key), Mapping):
            assert value == values.merged(ours[key], theirs[key])
        else:
            assert value == theirs[key]
    assert values.merged(made, theirs) == made


GUARDED: dict[str, dict[str, Any]] = {
    "dra-driver-nvidia-gpu-0.4.1": {
        "resources.gpus.enabled": False, "gpuResourcesEnabledOverride": False, "resources.computeDomains.enabled": True,
        "nvidiaDriverRoot": "/",
    },
    "nvidia-dra-driver-gpu-25.12.0": {
        "resources.gpus.enabled": False, "resources.computeDomains.enabled": True, "nvidiaDriverRoot": "/",
        "controller.affinity": None,
    },
    "gpu-operator-26.3.3": {
        "driver.enabled": False, "toolkit.enabled": False, "migManager.enabled": False, "devicePlugin.enabled": True,
        "gfd.enabled": True, "nfd.enabled": True,
    },
    "gpu-operator-26.7.0": {"driver.enabled": False, "devicePlugin.enabled": True, "gpuCluster.deployCR": False},
}  # fmt: skip
"""What the rest of the stack relies on, by chart."""


def at(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def told(folder: str, given_: Mapping[str, Any]) -> list[str]:
    chart, version, ours = CHARTS[folder]
    found = values.contradictions(chart, version.removeprefix("v"), values.merged(ours(), given_))
    for path, expected in found:
        # What is right comes first, as it is written in the stack file.
        right = json.dumps(value_at(ours(), path)).strip('"')
        assert re.match(rf"{re.escape(right)}(?!\w)", expected), expected
    return [path for path, _ in found]


def value_at(values_: Any, path: str) -> Any:
    for part in path.split("."):
        values_ = values_[part]
    return values_


@charts
def test_our_own_values_contradict_nothing(folder: str) -> None:
    assert told(folder, {}) == []


@given(st.sampled_from(sorted(GUARDED)), mappings)
def test_other_values_are_the_stack_files_to_choose(folder: str, given_: dict[str, Any]) -> None:
    assert told(folder, given_) == []


# Each path by itself: among all of them a draw may never come to one.
@pytest.mark.parametrize("place", [(folder, path) for folder, paths in GUARDED.items() for path in paths])
@given(st.none() | st.booleans() | st.sampled_from(["true", "false", "/run/nvidia/driver", 0, 1, 2, "x"]) | mappings)
@example(True)
@example("x")
def test_every_other_value_is_told(place: tuple[str, str], value: Any) -> None:
    """Also null, 0 and text, which Helm's templates take for true or false: the path is named, and no other."""
    folder, path = place
    right = GUARDED[folder][path]
    if value == right and type(value) is type(right):
        assert told(folder, at(path, value)) == []
    elif right is False and not value and path in ("gpuResourcesEnabledOverride", "gpuCluster.deployCR"):
        assert told(folder, at(path, value)) == []  # falsy all the same, and the chart's own default
    else:
        assert told(folder, at(path, value)) == [path]


@given(st.sampled_from(sorted(GUARDED)), st.data())
def test_never_breaks_on_values_of_another_shape(folder: str, data: st.DataObject) -> None:
    """A section that is a number in the stack file must be a fault, not a traceback."""
    paths = data.draw(st.lists(st.sampled_from(sorted(GUARDED[folder])), min_size=1, unique=True))
    given_ = {
        path.split(".")[0]: data.draw(st.integers() | st.text("abc") | st.lists(st.integers()) | st.just(False))
        for path in paths
    }
    wrong = told(folder, given_)
    # What must be on or null is not so in a section that is no section; of the two kinds of discovery one is told.
    gone = {path for path in paths if "." in path and GUARDED[folder][path] is not False}
    if gone & {"gfd.enabled", "nfd.enabled"}:
        assert {"gfd.enabled", "nfd.enabled"} & set(wrong)
    assert gone - {"gfd.enabled", "nfd.enabled"} <= set(wrong)


@pytest.mark.parametrize("folder", sorted(GUARDED))
def test_a_values_tree_that_is_empty_contradicts(folder: str) -> None:
    """A chart that is left to itself serves GPUs by DRA, or installs the operator's own driver."""
    chart, version, _ = CHARTS[folder]
    paths = {path for path, _ in values.contradictions(chart, version.removeprefix("v"), {})}
    assert paths >= {"resources.gpus.enabled"} or paths >= {"driver.enabled", "toolkit.enabled", "devicePlugin.enabled"}
