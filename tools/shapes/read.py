"""Where tables come from: folders of CRDs and values, packaged charts, running clusters, Kubernetes' own schemas."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.shapes import condense, values

OWN_SOURCES = Path(__file__).parent / "sources"
"""CRDs written by hand, because no project publishes them."""

_KEPT_CHARTS = {"dynamo-platform": {"dynamo-operator": "operator-values.yaml"}}
"""Subcharts whose defaults lie beside the chart's own, by the key under which Helm merges them."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SourceError(Exception):
    """A source cannot be read; the message says what to give instead."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one table is made from."""

    name: str
    """Project or chart, for example `dynamo-platform`."""
    version: str
    origin: str
    """Repository and commit, or what else tells where the data came from."""
    digest: str
    """sha256 over the files read."""
    crds: list[Mapping[str, Any]] = field(default_factory=list)
    values: Mapping[str, Any] | None = None
    """The chart's tree of paths (`tools.shapes.values.paths`)."""

    def table(self) -> dict[str, Any]:
        """The table as it is written to disk."""
        shapes = condense.Table()
        kinds: dict[str, int] = {}
        for crd in self.crds:
            spec = crd["spec"]
            for version in spec["versions"]:
                if not version.get("served", True):
                    continue
                schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
                kinds[f"{spec['group']}/{version['name']}/{spec['names']['kind']}"] = condense.condense(schema, shapes)
        document: dict[str, Any] = {
            "source": self.name,
            "version": self.version,
            "origin": self.origin,
            "digest": self.digest,
        }
        if self.values is not None:
            document["values"] = condense.condense(self.values, shapes)
        return {**document, "kinds": dict(sorted(kinds.items())), "shapes": shapes.shapes}


def of_folder(folder: Path) -> Source:
    """A folder with `crds/` or CRD files, and for a chart `Chart.yaml` and `values.yaml`."""
    crd_files = sorted({*folder.glob("crds/**/*.yaml"), *folder.glob("crds/**/*.yml")})
    if not crd_files and not (folder / "values.yaml").exists():
        crd_files = sorted(
            {*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")} - {folder / "Chart.yaml"}
        )
    crds = [crd for path in crd_files for crd in _crds(_documents(path))]
    chart = _yaml(folder / "Chart.yaml") if (folder / "Chart.yaml").exists() else {}
    name, version = _name_and_version(folder, chart)
    tree, value_files = _values(folder, name, chart)
    if not crds and tree is None:
        raise SourceError(
            f"{folder}: neither CustomResourceDefinitions nor values.yaml found; give a chart, or a folder with crds/"
        )
    return Source(name, version, _origin(folder), _digest([*crd_files, *value_files]), crds, tree)


def of_file(path: Path) -> Source:
    """A file of CRDs, or a packaged chart (`.tgz`)."""
    if path.suffix in (".tgz", ".gz"):
        with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
            roots = [child for child in Path(folder).iterdir() if child.is_dir()]
            if len(roots) != 1:
                raise SourceError(f"{path}: not a packaged chart")
            source = of_folder(roots[0])
        return Source(source.name, source.version, path.name, _digest([path]), source.crds, source.values)
    crds = _crds(_documents(path))
    if not crds:
        raise SourceError(f"{path}: holds no CustomResourceDefinition")
    return Source(path.stem, "file", path.name, _digest([path]), crds)


def of_cluster(context: str | None) -> Source:
    """Every CRD of a running cluster, read with kubectl."""
    if shutil.which("kubectl") is None:
        raise SourceError("kubectl is not on PATH; it is what reads the cluster's CRDs")
    command = [
        "kubectl",
        *(["--context", context] if context else []),
        "get",
        "customresourcedefinitions",
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SourceError(f"kubectl could not read the CRDs: {done.stderr.strip()}")
    crds = _crds([json.loads(done.stdout)])
    digest = hashlib.sha256(json.dumps([crd["spec"] for crd in crds], sort_keys=True).encode()).hexdigest()
    return Source(
        f"cluster-{context or 'current'}", "live", f"cluster {context or 'of the current context'}", digest, crds
    )


def of_chart(reference: str) -> Source:
    """A chart by `oci://…`, `repository/chart` or URL, fetched with helm."""
    if shutil.which("helm") is None:
        raise SourceError(f"{reference}: no such file or folder, and helm is not on PATH to fetch a chart of that name")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["helm", "pull", reference, "--destination", folder], capture_output=True, text=True, check=False
        )
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or not found:
            raise SourceError(f"helm could not fetch {reference}: {done.stderr.strip()}")
        return of_file(found[0])


def read(reference: str) -> Source:
    """A source from what a person names: file, folder, packaged chart, `cluster`, `cluster:<context>`, chart reference."""
    if reference == "cluster" or reference.startswith("cluster:"):
        return of_cluster(reference.partition(":")[2] or None)
    path = Path(reference)
    if path.is_dir():
        return of_folder(path)
    return of_file(path) if path.exists() else of_chart(reference)


def contracts(folder: Path) -> list[Source]:
    """Every folder of real CRDs and chart values, and the hand-written ones."""
    folders = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    return [
        of_folder(child) for child in [*folders, *sorted(child for child in OWN_SOURCES.iterdir() if child.is_dir())]
    ]


# --- Kubernetes -------------------------------------------------------------------------------------------------------

KUBERNETES_MINORS = ("1.34", "1.35", "1.36")
"""Versions with a table of their own; components/catalog.py supports no others."""


def kubernetes_table(minor: str) -> dict[str, Any]:
    """The built-in kinds of a Kubernetes version, from the schemas of the kubernetes-validate package."""
    from importlib.metadata import version as version_of

    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{minor}.0-local"
    text = (folder / "_definitions.json").read_bytes()
    definitions = json.loads(text)["$defs"]

    def resolve(reference: str) -> Mapping[str, Any]:
        return definitions[reference.rsplit("/", 1)[-1]]

    shapes = condense.Table()
    kinds: dict[str, int] = {}
    for name, schema in definitions.items():
        fields = schema.get("properties", {})
        gvks = schema.get("x-kubernetes-group-version-kind", ())
        if len(gvks) != 1 or not {"metadata", "kind"} <= set(fields) or name.endswith("List"):
            continue
        gvk = gvks[0]
        kinds[f"{gvk['group'] + '/' if gvk['group'] else ''}{gvk['version']}/{gvk['kind']}"] = condense.condense(
            schema, shapes, resolve
        )
    metadata = condense.condense(definitions["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"], shapes, resolve)
    return {
        "source": "kubernetes",
        "version": minor,
        "origin": f"kubernetes-validate {version_of('kubernetes-validate')}",
        "digest": hashlib.sha256(text).hexdigest(),
        "metadata": metadata,
        "kinds": dict(sorted(kinds.items())),
        "shapes": shapes.shapes,
    }


# --- reading ----------------------------------------------------------------------------------------------------------


def _documents(path: Path) -> list[Any]:
    text = path.read_text()
    return [json.loads(text)] if path.suffix == ".json" else list(yaml.load_all(text, Loader=_LOADER))


def _yaml(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=_LOADER) or {}


def _crds(documents: Iterable[Any]) -> list[Mapping[str, Any]]:
    found = []
    for document in documents:
        if isinstance(document, Mapping) and document.get("kind") == "CustomResourceDefinition":
            found.append(document)
        elif isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List"):
            found += _crds(document.get("items") or ())
    return found


def _name_and_version(folder: Path, chart: Mapping[str, Any]) -> tuple[str, str]:
    """From the folder's `<name>-<version>`, which also tells development lines apart, else from the chart."""
    match = re.fullmatch(r"(.+?)-v?(\d+\.\d+.*)", folder.name)
    if match:
        return match[1], match[2]
    return str(chart.get("name", folder.name)), str(chart.get("version", "folder"))


def _values(folder: Path, name: str, chart: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, list[Path]]:
    if not (folder / "values.yaml").exists():
        return None, []
    files = [folder / "values.yaml"]
    defaults = _yaml(files[0])
    subcharts = {str(item.get("alias") or item["name"]) for item in chart.get("dependencies") or ()}
    for key, file in _KEPT_CHARTS.get(name, {}).items():
        if (folder / file).exists():
            files.append(folder / file)
            defaults[key] = _merged(_yaml(folder / file), defaults.get(key) or {})
            subcharts.discard(key)
        else:
            subcharts.add(key)
    return values.paths(defaults, open_keys=subcharts), files


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _origin(folder: Path) -> str:
    """Repository and commit as a PROVENANCE.md beside the data tells them."""
    if (folder / "SOURCE.md").exists():
        return "hand-written from the EKS User Guide"
    if not (folder / "PROVENANCE.md").exists():
        return folder.name
    text = (folder / "PROVENANCE.md").read_text()
    commit = re.search(r"\b[0-9a-f]{40}\b", text)
    repository = re.search(r"(?:github\.com/|`)([\w.-]+/[\w.-]+)", text)
    return " ".join(filter(None, (repository and repository[1].rstrip("`"), commit and commit[0])))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
