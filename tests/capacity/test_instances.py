"""The table of instance types against other sources, and Karpenter's rules on random pools."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.capacity import instances
from components.capacity.instances import (
    AUTO_MODE_FAMILIES,
    GPU_POOL_FAMILIES,
    JUDGED,
    Instance,
    UnknownInstance,
    allocatable,
    families,
    in_family,
    instance,
    labels,
    launchable,
    table,
)
from tools import instances as tool

CONTRACTS = Path(os.environ.get("CONTRACTS_DIR", Path(__file__).resolve().parents[2].parent / "shared" / "contracts"))
EFA_CHART = CONTRACTS / "aws-efa-k8s-device-plugin-0.5.30" / "values.yaml"
POOL_CRD = CONTRACTS / "karpenter-1.14.1" / "crds" / "karpenter.sh_nodepools.yaml"

types = st.sampled_from(sorted(table())).map(instance)
auto_types = types.filter(lambda item: item.auto_mode)


def pool(*requirements: dict[str, Any], template_labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A rendered NodePool with these requirements."""
    template: dict[str, Any] = {"spec": {"requirements": list(requirements)}}
    if template_labels is not None:
        template["metadata"] = {"labels": template_labels}
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "spec": {"template": template}}


def need(key: str, operator: str, *values: str) -> dict[str, Any]:
    """One requirement; a key without a domain is one of Auto Mode's instance labels."""
    full = key if "/" in key else f"eks.amazonaws.com/instance-{key}"
    return {"key": full, "operator": operator, **({"values": list(values)} if values else {})}


def names(*requirements: dict[str, Any]) -> set[str]:
    return {item.type for item in launchable(pool(*requirements))}


AUTO = {item.type for item in table().values() if item.auto_mode}

# --- the numbers -----------------------------------------------------------------------------------------------------

# GPUs, GPU memory (GiB, rounded) and EFA interfaces as the product and network card pages of EC2 state them, a source
# apart from the one the table is derived from.
PUBLISHED = {
    "g5.xlarge": (1, 22, 0), "g5.48xlarge": (8, 22, 1),
    "g6.12xlarge": (4, 22, 1),
    "g6e.xlarge": (1, 45, 0), "g6e.12xlarge": (4, 45, 1), "g6e.24xlarge": (4, 45, 2), "g6e.48xlarge": (8, 45, 4),
    "g7e.2xlarge": (1, 96, 0), "g7e.12xlarge": (2, 96, 1), "g7e.24xlarge": (4, 96, 2), "g7e.48xlarge": (8, 96, 4),
    "p3dn.24xlarge": (8, 32, 1),
    "p4d.24xlarge": (8, 40, 4), "p4de.24xlarge": (8, 80, 4),
    "p5.4xlarge": (1, 80, 1), "p5.48xlarge": (8, 80, 32), "p5e.48xlarge": (8, 141, 32), "p5en.48xlarge": (8, 141, 16),
    "p6-b200.48xlarge": (8, 179, 8), "p6-b300.48xlarge": (8, 269, 16),
    "p6e-gb200.36xlarge": (4, 185, 4),
}  # fmt: skip


@pytest.mark.parametrize("type_", PUBLISHED)
def test_gpus_and_efa_are_as_published(type_: str) -> None:
    """A worker that asks for more EFA interfaces than its node has stays Pending for ever."""
    item = instance(type_)
    assert (item.gpus, round(item.gpu_memory_mib / 1024), item.efa) == PUBLISHED[type_]


def test_efa_types_are_those_of_the_device_plugin() -> None:
    """Each of our types has EFA in the table exactly when the EFA device plugin's chart runs on it."""
    if not EFA_CHART.exists():
        pytest.skip(f"{EFA_CHART} is absent; set CONTRACTS_DIR to check against the chart")
    import yaml

    listed = yaml.safe_load(EFA_CHART.read_text())["supportedInstanceLabels"]["values"]
    ours = {type_ for type_ in listed if type_.split(".")[0] in families()}
    assert {item.type for item in table().values() if item.efa} == ours


def test_gpu_pool_families_have_auto_mode_types_with_gpus_on_amd64() -> None:
    for family in GPU_POOL_FAMILIES:
        found = in_family(family)
        assert found, family
        assert family in AUTO_MODE_FAMILIES
        assert all(item.gpus and item.arch == "amd64" and item.auto_mode for item in found)


def test_no_type_claims_auto_mode_outside_its_families() -> None:
    """A NodePool of P6e-GB200 is accepted and never launches anything."""
    assert {item.family for item in table().values() if item.auto_mode} == families() - {"p6e-gb200"}
    assert families() - {"p6e-gb200"} <= AUTO_MODE_FAMILIES
    assert not {"p6e-gb200", "g6f", "gr6f"} & AUTO_MODE_FAMILIES


@given(types)
def test_every_row_is_whole(item: Instance) -> None:
    assert item.type == f"{item.family}.{item.size}"
    assert bool(item.gpus) == bool(item.gpu_name) == bool(item.gpu_memory_mib)
    assert item.arch in ("amd64", "arm64")
    assert item.vcpu > 1 and item.memory_mib >= 4096


def test_types_of_a_family_come_smallest_first() -> None:
    assert [item.size for item in in_family("g6e")] == [
        "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge", "12xlarge", "24xlarge", "48xlarge",
    ]  # fmt: skip
    assert in_family("g99") == ()


def test_an_unknown_type_gets_its_nearest_spelling() -> None:
    with pytest.raises(UnknownInstance) as error:
        instance("G6e.12xlrge")
    assert (
        str(error.value)
        == "instance type 'G6e.12xlrge' is not in the table of instance types; did you mean g6e.12xlarge?"
    )
    with pytest.raises(UnknownInstance, match="; it has types of c7i, g4dn, g5, "):
        instance("quantum")


# --- what pods can ask for -------------------------------------------------------------------------------------------


def test_allocatable_is_careful_against_a_real_node() -> None:
    """A real Auto Mode node of 8 vCPU and 32 GiB allowed 7760m and 31042404Ki (aws-samples/appmod-blueprints #235).
    To promise more than a node has leaves a pod Pending; to promise much less refuses plans that work."""
    cpu, memory = allocatable(instance("m7i.2xlarge"))
    assert 0.97 * 7760 <= cpu <= 7760
    assert 0.93 * 31042404 / 1024 <= memory <= 31042404 / 1024


def test_allocatable_of_known_types() -> None:
    """Worked by hand: 192 vCPU keep 60 + 10 + 10 + 470 milli, 2 TiB lose 7.5 % and 255 + 11 x 110 + 100 MiB."""
    assert allocatable(instance("p5.48xlarge")) == (192_000 - 550 - 200, 2_097_152 - 157_287 - 1_465 - 100 - 512)
    # arm64 loses 64 MiB before all else: (8192 - 64) less 7.5 %, rounded up.
    assert allocatable(instance("g5g.xlarge")) == (4_000 - 80 - 200, 8_128 - 610 - 1_465 - 100 - 512)


@pytest.mark.parametrize(
    ("vcpu", "kept"), [(1, 60), (2, 70), (3, 75), (4, 80), (5, 83), (6, 85), (8, 90), (96, 310), (192, 550)]
)
def test_cpu_that_a_node_keeps(vcpu: int, kept: int) -> None:
    """6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest, and a part is a whole milli."""
    cpu, _ = allocatable(dataclasses.replace(instance("m7i.2xlarge"), vcpu=vcpu))
    assert cpu == vcpu * 1000 - kept - 200


@given(types)
def test_allocatable_is_positive_and_less_than_sold(item: Instance) -> None:
    cpu, memory = allocatable(item)
    assert 0 < cpu < item.vcpu * 1000
    assert 0 < memory < item.memory_mib * 0.925


@given(types, types)
def test_more_sold_is_more_allocatable(one: Instance, other: Instance) -> None:
    if one.arch == other.arch:
        if one.vcpu <= other.vcpu:
            assert allocatable(one)[0] <= allocatable(other)[0]
        if one.memory_mib <= other.memory_mib:
            assert allocatable(one)[1] <= allocatable(other)[1]


# --- labels and pools ------------------------------------------------------------------------------------------------


def test_labels_are_spelt_as_the_user_guide_spells_them() -> None:
    """The example values of the label table in "Create a Node Pool for EKS Auto Mode". A pool that asks for another
    spelling launches nothing."""
    found = labels(instance("g4dn.8xlarge"))
    expected = {
        "category": "g", "generation": "4", "family": "g4dn", "size": "8xlarge", "cpu": "32", "memory": "131072",
        "gpu-name": "t4", "gpu-manufacturer": "nvidia", "gpu-count": "1", "gpu-memory": "16384", "local-nvme": "900",
    }  # fmt: skip
    assert {key: found[f"eks.amazonaws.com/instance-{key}"] for key in expected} == expected
    assert found["node.kubernetes.io/instance-type"] == "g4dn.8xlarge"
    assert found["eks.amazonaws.com/compute-type"] == "auto"


@pytest.mark.parametrize(
    ("type_", "category", "generation", "gpu"),
    [
        ("gr6.4xlarge", "gr", "6", "l4"),
        ("p6-b200.48xlarge", "p", "6", "b200"),
        ("p5en.48xlarge", "p", "5", "h200"),
        ("g7e.12xlarge", "g", "7", "rtx-pro-server-6000"),
    ],
)
def test_labels_of_families_with_odd_names(type_: str, category: str, generation: str, gpu: str) -> None:
    found = labels(instance(type_))
    assert found["eks.amazonaws.com/instance-category"] == category
    assert found["eks.amazonaws.com/instance-generation"] == generation
    assert found["eks.amazonaws.com/instance-gpu-name"] == gpu


def test_labels_of_a_node_are_these() -> None:
    """A pool, a graph or a chart that selects by another one finds no node."""
    item = dataclasses.replace(instance("g4dn.8xlarge"), vcpu=33)
    auto = {
        "category": "g", "generation": "4", "family": "g4dn", "size": "8xlarge", "cpu": "33", "memory": "131072",
        "gpu-name": "t4", "gpu-manufacturer": "nvidia", "gpu-count": "1", "gpu-memory": "16384", "local-nvme": "900",
    }  # fmt: skip
    own = {
        "node.kubernetes.io/instance-type": "g4dn.8xlarge",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
    }
    expected = {**{f"eks.amazonaws.com/instance-{key}": value for key, value in auto.items()}, **own}
    assert labels(dataclasses.replace(item, auto_mode=False)) == expected
    assert labels(item) == {**expected, "eks.amazonaws.com/compute-type": "auto"}
    bare = labels(dataclasses.replace(item, gpus=0, nvme_gb=0))
    assert not any("gpu" in key or "nvme" in key for key in bare) and len(bare) == len(expected) + 1 - 5


def test_a_family_without_a_generation_has_none() -> None:
    """Such a name in a new table must not stop the plan of every stack."""
    found = labels(dataclasses.replace(instance("m7i.large"), family="u-6tb"))
    assert found["eks.amazonaws.com/instance-category"] == found["eks.amazonaws.com/instance-generation"] == ""


def test_cpu_types_have_no_gpu_labels_and_p6e_is_no_auto_node() -> None:
    assert not any("gpu" in key or "nvme" in key for key in labels(instance("m7i.large")))
    assert "eks.amazonaws.com/compute-type" not in labels(instance("p6e-gb200.36xlarge"))


@given(types)
def test_labels_are_a_copy(item: Instance) -> None:
    labels(item).clear()
    assert labels(item)["node.kubernetes.io/instance-type"] == item.type


def test_a_pool_without_requirements_launches_every_auto_mode_type() -> None:
    assert names() == AUTO
    assert "p6e-gb200.36xlarge" not in AUTO and "g4dn.metal" not in AUTO
    assert {item.type for item in launchable({"spec": {"template": {"spec": {}}}})} == AUTO


def test_pools_as_they_are_written() -> None:
    assert names(need("family", "In", "g6e", "g7e"), need("gpu-count", "Gt", "3")) == {
        "g6e.12xlarge", "g6e.24xlarge", "g6e.48xlarge", "g7e.24xlarge", "g7e.48xlarge",
    }  # fmt: skip
    assert names(need("category", "In", "p"), need("gpu-memory", "Lt", "81920")) == {"p3dn.24xlarge", "p4d.24xlarge"}
    assert names(need("kubernetes.io/arch", "In", "arm64")) == {
        "g5g.xlarge", "g5g.2xlarge", "g5g.4xlarge", "g5g.8xlarge", "g5g.16xlarge",
    }  # fmt: skip
    assert names(need("family", "In", "p6e-gb200")) == set()
    assert [item.type for item in launchable(pool(need("family", "In", "g5"), need("cpu", "Lte", "16")))] == [
        "g5.xlarge", "g5.2xlarge", "g5.4xlarge",
    ]  # fmt: skip


def test_types_outside_the_families_of_the_same_pool_cannot_be_launched() -> None:
    """Requirements are joined by AND: this pool looks generous and launches nothing."""
    both = need("family", "In", "g6e"), need("node.kubernetes.io/instance-type", "In", "p5.48xlarge")
    assert names(*both) == set()


def test_a_label_of_the_template_counts_as_a_requirement() -> None:
    found = launchable(pool(template_labels={"eks.amazonaws.com/instance-family": "p5", "team": "serving"}))
    assert {item.family for item in found} == {"p5"}


@pytest.mark.parametrize(
    "other",
    [
        need("topology.kubernetes.io/zone", "In", "us-east-1a"),
        need("karpenter.sh/capacity-type", "In", "reserved"),
        need("hypervisor", "In", "nitro"),
        need("network-bandwidth", "Gt", "100000"),
        need("cpu-manufacturer", "In", "amd"),
    ],
    ids=lambda item: item["key"],
)
def test_labels_the_table_does_not_know_do_not_narrow(other: dict[str, Any]) -> None:
    """A rule that judged them would call a good pool empty."""
    assert names(other) == AUTO


@given(st.sampled_from(sorted(JUDGED)), st.data())
def test_operators_come_in_opposites(key: str, data: st.DataObject) -> None:
    """What In takes NotIn leaves, and so for every pair; no type is in neither or in both."""
    known = sorted({labels(item)[key] for item in table().values() if key in labels(item)})
    values = data.draw(st.lists(st.sampled_from([*known, "nothing"]), min_size=1, unique=True))
    assert names(need(key, "In", *values)) ^ names(need(key, "NotIn", *values)) == AUTO
    assert names(need(key, "In", *values)) & names(need(key, "NotIn", *values)) == set()
    assert names(need(key, "Exists")) ^ names(need(key, "DoesNotExist")) == AUTO
    assert names(need(key, "In", *known)) == names(need(key, "Exists"))
    if all(value.isdecimal() for value in known):
        number = data.draw(st.sampled_from(known))
        some = names(need(key, "Exists"))
        assert names(need(key, "Gt", number)) ^ names(need(key, "Lte", number)) == some
        assert names(need(key, "Lt", number)) ^ names(need(key, "Gte", number)) == some
        assert names(need(key, "Gte", number)) & names(need(key, "Lte", number)) == names(need(key, "In", number))


@given(auto_types, st.sets(st.sampled_from(sorted(JUDGED))))
def test_a_pool_made_of_a_types_own_labels_launches_it(item: Instance, keys: set[str]) -> None:
    found = labels(item)
    requirements = [need(key, "In", found[key]) if key in found else need(key, "DoesNotExist") for key in sorted(keys)]
    assert item in launchable(pool(*requirements))


@given(auto_types, st.lists(st.sampled_from(sorted(JUDGED)), min_size=1))
def test_one_requirement_more_never_adds_a_type(item: Instance, keys: list[str]) -> None:
    requirements = [need(key, "In", labels(item).get(key, "absent")) for key in keys]
    for count in range(len(requirements)):
        assert names(*requirements[: count + 1]) <= names(*requirements[:count])


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        (
            need("family", "Is", "g5"),
            "family: operator 'Is' is not one that Karpenter has; use In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte, Lte",
        ),
        (need("cpu", "Gt", "many"), "cpu: Gt ['many'], expected one whole number, as in values: ['8']"),
        (need("cpu", "Lt", "8", "16"), "cpu: Lt ['8', '16'], expected one whole number, as in values: ['8']"),
        (need("cpu", "Gt"), "cpu: Gt [], expected one whole number, as in values: ['8']"),
    ],
)
def test_a_requirement_that_makes_no_sense_is_an_error(requirement: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        launchable(pool(requirement))
    assert str(error.value) == f"requirement on eks.amazonaws.com/instance-{message}"


def test_every_operator_of_karpenter_is_understood() -> None:
    """A pool with an operator of a newer Karpenter must not stop the plan with a wrong complaint."""
    if not POOL_CRD.exists():
        pytest.skip(f"{POOL_CRD} is absent; set CONTRACTS_DIR to check against Karpenter's CRD")
    import yaml

    version = next(item for item in yaml.safe_load(POOL_CRD.read_text())["spec"]["versions"] if item["name"] == "v1")
    template = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["template"]
    operators = template["properties"]["spec"]["properties"]["requirements"]["items"]["properties"]["operator"]["enum"]
    for operator in operators:
        values = () if operator in ("Exists", "DoesNotExist") else ("8",)
        launchable(pool(need("cpu", operator, *values)))


# --- how the table is derived ----------------------------------------------------------------------------------------


def described(**changes: Any) -> dict[str, Any]:
    """EC2's description of a type with one GPU, as far as the tool reads it."""
    return {
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 16},
        "MemoryInfo": {"SizeInMiB": 262144},
        "NetworkInfo": {"EfaInfo": {"MaximumEfaInterfaces": 1}},
        "GpuInfo": {
            "Gpus": [
                {
                    "Name": "RTX PRO Server 6000",
                    "Manufacturer": "NVIDIA",
                    "Count": 1,
                    "MemoryInfo": {"SizeInMiB": 98304},
                }
            ]
        },
        "InstanceStorageInfo": {"TotalSizeInGB": 3800},
        "BareMetal": False,
        **changes,
    }


def test_a_row_holds_what_ec2_says() -> None:
    assert tool.row("g7e.4xlarge", described()) == (
        "g7e.4xlarge", "amd64", 16, 262144, 1, "rtx-pro-server-6000", 98304, 1, 3800, True,
    )  # fmt: skip
    plain = described(GpuInfo={}, InstanceStorageInfo={}, NetworkInfo={}, BareMetal=True)
    assert tool.row("m7g.metal", {**plain, "ProcessorInfo": {"SupportedArchitectures": ["arm64"]}}) == (
        "m7g.metal", "arm64", 16, 262144, 0, "", 0, 0, 0, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "gpus",
    [
        [{"Name": "L4", "Manufacturer": "NVIDIA", "Count": 0, "MemoryInfo": {"SizeInMiB": 5722}}],
        [{"Name": "Radeon Pro V520", "Manufacturer": "AMD", "Count": 1, "MemoryInfo": {"SizeInMiB": 8192}}],
    ],
    ids=["a part of a GPU", "not NVIDIA"],
)
def test_a_type_without_whole_nvidia_gpus_is_refused(gpus: list[dict[str, Any]]) -> None:
    """Such a type in the table would promise a pool capacity that Karpenter never launches (#8368)."""
    with pytest.raises(ValueError, match=r"g6f\.2xlarge: GPUs .* leave the type out"):
        tool.row("g6f.2xlarge", described(GpuInfo={"Gpus": gpus}))


def test_an_answer_without_one_of_the_families_is_refused() -> None:
    """An old moto has no g7e; the table would lose a family without a word."""
    with pytest.raises(ValueError, match=r"old\.json has no type of c7i, .*g7e.*; take a newer one"):
        tool.derive({"g5.xlarge": described()}, "old.json")


def test_the_committed_table_is_what_the_tool_writes() -> None:
    """By hand nothing is changed in it: types added have their source in the tool, and the text is the tool's."""
    text = tool.TARGET.read_text()
    written = json.loads(text)
    assert written["columns"] == list(tool.COLUMNS)
    assert tool.render(written) == text
    rows = {item[0]: tuple(item[1:]) for item in written["rows"]}
    assert {name: rows[name] for name in written["added"]} == {name: tool.ADDED[name][0] for name in written["added"]}
    assert instances.families() == {
        *tool.GPU_FAMILIES,
        *tool.CPU_FAMILIES,
        *(name.split(".")[0] for name in tool.ADDED),
    }
