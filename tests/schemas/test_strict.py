"""The strict check against the real schemas, and the tables against the files they were derived from."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recording.graph import UNKNOWN
from rules.objects import versions
from schemas.strict import FOLDER, Shapes, Verdict
from tests.conftest import STACKS, recorded
from tools.shapes import condense
from tools.shapes.__main__ import file_name, index_of, text_of
from tools.shapes.read import KUBERNETES_MINORS, SourceError, kubernetes_table, of_file, of_folder
from tools.shapes.read import contracts as sources

SHAPES = Shapes.load()
RUNNING = {"kubernetes": "1.35", "dynamo-platform": "1.5.0"}


def check(obj: dict[str, Any]) -> Verdict:
    return SHAPES.check(obj, RUNNING)


def rendered() -> list[dict[str, Any]]:
    return [copy.deepcopy(dict(item.manifest)) for stack in STACKS for item in recorded(stack).objects]


# --- the tables --------------------------------------------------------------------------------------------------------


def test_tables_are_what_the_contracts_give(contracts: Path) -> None:
    """A table that drifted from its source passes what the API server refuses."""
    tables = [*(source.table() for source in sources(contracts)), *map(kubernetes_table, KUBERNETES_MINORS)]
    for table in tables:
        assert (FOLDER / file_name(table)).read_text() == text_of(table), f"run `make shapes-build`: {file_name(table)}"
    assert json.loads((FOLDER / "index.json").read_text()) == index_of(tables)
    kept = {path.name for path in FOLDER.glob("*.json")} - {"index.json", "differences.json"}
    assert kept == {file_name(table) for table in tables}


def test_every_table_names_its_source() -> None:
    for path in FOLDER.glob("*-*.json"):
        table = json.loads(path.read_text())
        assert table["origin"] and len(table["digest"]) == 64 and table["version"], path.name


def test_equal_shapes_are_one() -> None:
    for path in FOLDER.glob("*-*.json"):
        shapes = [json.dumps(shape, sort_keys=True) for shape in json.loads(path.read_text())["shapes"]]
        assert len(shapes) == len(set(shapes)), path.name


def test_custom_kinds_fit_in_a_page_of_memory() -> None:
    """They are read at every plan."""
    size = sum(path.stat().st_size for path in FOLDER.glob("*-*.json") if not path.name.startswith("kubernetes-"))
    assert size < 250_000


# --- what it finds -----------------------------------------------------------------------------------------------------


def graph(**component: Any) -> dict[str, Any]:
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "dynamo"},
        "spec": {"backendFramework": "vllm", "components": [{"name": "decode", "type": "decode", **component}]},
    }


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ({"replicas": 1}, []),
        ({"replcas": 1}, ["spec.components[0].replcas: there is no such field; nearest: replicas"]),
        ({"replicas": "1"}, ["spec.components[0].replicas: is '1'; a whole number is expected"]),
        ({"replicas": True}, ["spec.components[0].replicas: is True; a whole number is expected"]),
        ({"replicas": -1}, ["spec.components[0].replicas: is -1; at least 0 expected"]),
        ({"type": "decoder"}, None),
        ({"compilationCache": {}}, ["spec.components[0].compilationCache.pvcName: is required and missing"]),
        (
            {"sharedMemorySize": "16 GiB"},
            [
                "spec.components[0].sharedMemorySize: is '16 GiB'; text of the form "
                + r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
                + " is expected"
            ],
        ),
        (
            {"podTemplate": {"spec": {"containers": [{"name": "main"}, {"name": "main"}]}}},
            [
                "spec.components[0].podTemplate.spec.containers[1]: has the name of entry 0; each may be there once",
            ],
        ),
        ({"podTemplate": []}, ["spec.components[0].podTemplate: is a list; a mapping is expected"]),
        (
            {"podTemplate": {"spec": {"containers": [{"name": "main", "imagePullpolicy": "Always"}]}}},
            [
                "spec.components[0].podTemplate.spec.containers[0].imagePullpolicy: there is no such field; nearest: imagePullPolicy"
            ],
        ),
    ],
)
def test_faults_are_told_with_path_and_way_out(component: dict[str, Any], expected: list[str] | None) -> None:
    """A misspelt field is dropped on `up` and the object reported as created."""
    faults = [str(fault) for fault in check(graph(**component)).faults]
    if expected is None:
        assert len(faults) == 1 and "one of" in faults[0] and "nearest: decode" in faults[0]
    else:
        assert faults == expected


def test_entries_of_a_list_are_told_apart_as_the_api_server_does() -> None:
    """Server-side apply refuses a list with one entry twice, and only on `up`."""
    ports = [{"port": 80, "protocol": "UDP"}, {"port": 80}, {"port": 80, "protocol": "TCP"}, {"port": UNKNOWN}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}}
    assert [str(fault) for fault in check(service).faults] == [
        "spec.ports[2]: has the port and protocol of entry 1; each may be there once"
    ]


def test_patterns_are_read_as_go_reads_them() -> None:
    """Python's `$` would let a line break through that the API server refuses."""
    pool = next(item for item in rendered() if item["kind"] == "NodePool")
    for after, faults in (("24h", 0), ("24h\n", 1), ("٢h", 1), ("Never", 0), ("1d", 1)):
        pool["spec"]["template"]["spec"]["expireAfter"] = after
        assert len(check(pool).faults) == faults, after


def test_null_stands_for_a_default() -> None:
    """The API server fills the default in; a fault here would be a false alarm."""
    pool = next(item for item in rendered() if item["kind"] == "NodePool")
    pool["spec"]["template"]["spec"]["expireAfter"] = None
    assert check(pool).state == "ok"
    pool["spec"]["template"]["spec"]["requirements"] = None
    assert check(pool).state == "faults"


def test_metadata_is_checked_too() -> None:
    bad = graph()
    bad["metadata"]["lables"] = {}
    assert [str(fault) for fault in check(bad).faults] == ["metadata.lables: there is no such field; nearest: labels"]


def test_labels_have_their_syntax() -> None:
    """No schema has it; the API server refuses the object on `up`."""
    good, bad = graph(), graph()
    good["metadata"]["labels"] = {"app.kubernetes.io/name": "chat", "tier": "", "x" * 63: "x" * 63}
    good["metadata"]["annotations"] = {"Service.Beta/Name": "any text, of any length" * 20}
    assert check(good).state == "ok"
    bad["metadata"]["labels"] = {"App.io/name": "chat", "tier": "very good", "x" * 64: "", "end": "dot."}
    bad["metadata"]["annotations"] = {"two words": ""}
    assert [fault.path.rsplit(".", 1)[-1] for fault in check(bad).faults] == [
        "io/name", "tier", "x" * 64, "end", "two words",
    ]  # fmt: skip


def test_unknown_kinds_are_said_not_to_be_checked() -> None:
    """Silence would be taken for a pass."""
    verdict = check({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}})
    assert verdict.state == "not checked" and "make shapes" in verdict.note


@pytest.mark.parametrize("version", ["1.4.0", "1.5.0", "1.6.1"])
def test_another_version_is_told_with_its_differences(version: str) -> None:
    verdict = SHAPES.check(graph(), {"dynamo-platform": version})
    assert verdict.table == "dynamo-platform 1.5.0-main-2a6da14c"
    assert version in verdict.note and "Known differences" in verdict.note


def test_built_in_kinds_follow_the_cluster() -> None:
    """A field that came with 1.36 is dropped by 1.34."""
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    for minor in KUBERNETES_MINORS:
        verdict = SHAPES.check(obj, {"kubernetes": minor})
        assert (verdict.table, verdict.note, verdict.state) == (f"kubernetes {minor}", "", "ok")


def test_values_at_unknown_paths_and_of_wrong_types() -> None:
    """Helm takes both without a word."""
    values = {"dynamo-operator": {"discoveryBakend": "etcd", "upgradeCRD": "yes"}}
    faults = [str(fault) for fault in SHAPES.check_values("dynamo-platform", "1.5.0", values).faults]
    assert faults == [
        "dynamo-operator.discoveryBakend: there is no such value; nearest: discoveryBackend",
        "dynamo-operator.upgradeCRD: is 'yes'; true or false is expected",
    ]


def test_every_shipped_object_and_value_is_accepted() -> None:
    for stack in STACKS:
        shipped = recorded(stack)
        for item in shipped.objects:
            assert SHAPES.check(item.manifest, versions(shipped)).state == "ok", item.address


# --- against jsonschema on the real CRDs -------------------------------------------------------------------------------


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD's schema as a validator that also refuses unknown fields, as the API server does when asked to be strict."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"], **({"pattern": schema["pattern"]} if "pattern" in schema else {})}
    out = {key: schema[key] for key in ("type", "enum", "pattern", *condense.BOUNDS) if key in schema}
    if schema.get("nullable") or "default" in schema:
        out["type"] = [out["type"], "null"]
    properties = schema.get("properties") or {}
    if schema.get("type") == "object":
        out["properties"] = {name: strict_schema(part) for name, part in properties.items()}
        out["required"] = [name for name in schema.get("required", ()) if "default" not in properties.get(name, {})]
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            out["additionalProperties"] = strict_schema(extra)
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
    if "items" in schema:
        out["items"] = strict_schema(schema["items"])
    return out


def mutate(value: Any, chance: random.Random) -> Any:
    """One change somewhere: a key misspelt, dropped or added, a value of another type, a number out of bounds."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, item in items:
            places.append((part, key))
            walk(item)

    value = copy.deepcopy(value)
    walk(value)
    if not places:
        return value
    holder, key = chance.choice(places)
    kind = chance.choice(["misspell", "drop", "add", "type", "negate"])
    if isinstance(holder, dict) and kind == "misspell":
        holder[f"{key}x"] = holder.pop(key)
    elif isinstance(holder, dict) and kind == "drop":
        holder.pop(key)
    elif isinstance(holder, dict) and kind == "add":
        holder["notThere"] = 1
    elif kind == "negate" and isinstance(holder[key], int):
        holder[key] = -5
    else:
        holder[key] = chance.choice([7, "text", True, [], {}, {"a": 1}])
    return value


CUSTOM = ["DynamoGraphDeployment", "NodePool"]


def test_agrees_with_jsonschema_on_mutants(contracts: Path) -> None:
    """Our own walker must say what an independent validator says of the same CRD, on good objects and on broken ones."""
    validators = {}
    for path in (
        contracts / "dynamo-platform-1.5.0-main-2a6da14c/crds/nvidia.com_dynamographdeployments.yaml",
        contracts / "karpenter-1.14.1/crds/karpenter.sh_nodepools.yaml",
    ):
        crd = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for version in crd["spec"]["versions"]:
            name = f"{crd['spec']['group']}/{version['name']}"
            spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
            validators[name, crd["spec"]["names"]["kind"]] = jsonschema.Draft202012Validator(strict_schema(spec))
    chance = random.Random(20261124)
    objects = [item for item in rendered() if item["kind"] in CUSTOM]
    assert {item["kind"] for item in objects} == set(CUSTOM)
    refused = 0
    for number in range(400):
        obj = chance.choice(objects)
        mutant = {**obj, "spec": mutate(obj["spec"], chance)}
        ours = check(mutant)
        theirs = validators[obj["apiVersion"], obj["kind"]].is_valid(mutant["spec"])
        assert (ours.state == "ok") == theirs, (number, [str(fault) for fault in ours.faults], mutant)
        refused += not theirs
    assert refused > 200


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_never_breaks_on_any_spec(spec: Any) -> None:
    """Whatever a component renders, the plan must end with a verdict."""
    verdict = check({**graph(), "spec": spec})
    assert verdict.state in ("ok", "faults")


# --- adding tables -----------------------------------------------------------------------------------------------------

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [size, mode]
              properties:
                size: {type: integer, minimum: 1}
                mode: {type: string, enum: [a, b], default: a}
"""


def test_an_added_table_is_used_and_wins(tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text(CRD)
    table = of_file(tmp_path / "things.yaml").table()
    added = tmp_path / "shapes" / "added"
    added.mkdir(parents=True)
    (added / file_name(table)).write_text(text_of(table))
    (added / "index.json").write_text(json.dumps(index_of([table])))
    shapes = Shapes.load(tmp_path / "shapes")
    obj = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 0}}
    # `mode` has a default, which the API server fills in before it looks for what is required.
    assert [str(fault) for fault in shapes.check(obj, {}).faults] == ["spec.size: is 0; at least 1 expected"]


def test_a_chart_folder_gives_kinds_and_values(tmp_path: Path) -> None:
    chart = tmp_path / "thing"
    (chart / "crds").mkdir(parents=True)
    (chart / "crds" / "things.yaml").write_text(CRD)
    (chart / "Chart.yaml").write_text("name: thing\nversion: 2.0.0\ndependencies: [{name: redis}]\n")
    (chart / "values.yaml").write_text("replicas: 1\nresources: {}\n")
    table = of_folder(chart).table()
    assert (table["source"], table["version"]) == ("thing", "2.0.0")
    assert "example.com/v1/Thing" in table["kinds"]
    root = table["shapes"][table["values"]]
    assert set(root["properties"]) == {"replicas", "resources", "redis", "global"} and not root.get("open")


def test_a_source_without_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("kind: ConfigMap\n")
    with pytest.raises(SourceError, match="holds no CustomResourceDefinition"):
        of_file(tmp_path / "empty.yaml")
