"""`components/` as others have it: under the name `dynamo_eks`, with nothing of this project beside it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import components
from recording.graph import Graph
from recording.recorder import record

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "components"


@pytest.fixture
def vendored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds the library alone."""
    (tmp_path / "dynamo_eks").symlink_to(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "dynamo_eks"]:
        del sys.modules[name]


def defined() -> dict[str, str]:
    """Module of every component, below the library."""
    found = {}
    for path in LIBRARY.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and "pulumi.ComponentResource" in map(ast.unparse, node.bases):
                found[node.name] = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
    return found


def test_every_component_is_offered() -> None:
    """A component that is not listed is one that nobody finds."""
    assert defined() == components._MODULES
    for name in components._WHERE:
        assert name in dir(components)
        assert getattr(components, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        components.Nothing  # noqa: B018


@pytest.mark.parametrize("name", sorted(defined()))
def test_one_form_of_constructor(name: str) -> None:
    """`(name, args, opts)`: whoever knows one component knows all of them."""
    path = LIBRARY / f"{defined()[name].replace('.', '/')}.py"
    (node,) = [
        item for item in ast.parse(path.read_text()).body if isinstance(item, ast.ClassDef) and item.name == name
    ]
    (made,) = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    given = [(item.arg, ast.unparse(item.annotation or ast.Constant(None))) for item in made.args.args[1:]]
    assert given == [("name", "str"), ("args", f"{name}Args"), ("opts", "pulumi.ResourceOptions | None")]
    assert made.args.kwonlyargs == [] and ast.get_docstring(node)


def test_what_is_installed_is_all_of_it() -> None:
    """A folder that is not listed is missing from what `pip install` makes, and is found out by an import."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py")}
    assert {".".join(("dynamo_eks", *folder.parts)) for folder in folders} == set(settings["packages"])
    # `**/`: data may stand in a folder that is no package, as the tables of flags do.
    kinds = {
        f"**/*{path.suffix}" if path.suffix != ".typed" else path.name for path in LIBRARY.rglob("*") if path.is_file()
    }
    assert kinds - {"**/*.py", "**/*.pyc"} == set(settings["package-data"]["*"])


def test_it_stands_alone(vendored: Path) -> None:
    """In another program there is neither `stacks` nor a `components` that is ours."""
    modules = [
        ".".join(("dynamo_eks", *path.relative_to(LIBRARY).with_suffix("").parts)) for path in LIBRARY.rglob("*.py")
    ]
    modules = [name.removesuffix(".__init__") for name in modules if ".scripts." not in name]
    code = (
        f"import sys; sys.path.insert(0, {str(vendored)!r}); from importlib import import_module\n"
        f"for name in {modules!r}: import_module(name)\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'components', 'stacks', 'recording', 'rules', 'review'}))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=vendored, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


def example(name: str, **config: str) -> Graph:
    given = {f"dynamo-eks:{key}": value for key, value in config.items()}
    return record("demo", given, program=ROOT / "examples" / name / "__main__.py")


def test_a_cluster_with_a_pool(vendored: Path) -> None:
    graph = example("gpu-cluster", reach='["52.95.4.7/32"]')
    assert import_module("dynamo_eks").__file__ == str(vendored / "dynamo_eks" / "__init__.py")
    kinds = {node.type for node in graph.nodes}
    assert {f"dynamo-eks:index:{name}" for name in ("Network", "AutoModeCluster", "NodeRole", "GpuPool")} <= kinds
    (pool,) = [item.manifest for item in graph.objects if item.manifest["kind"] == "NodePool"]
    assert pool["spec"]["limits"] == {"nvidia.com/gpu": "8"}
    assert [node.name for node in graph.nodes if node.protect] == []


def test_a_graph_on_a_cluster_that_exists(vendored: Path) -> None:
    graph = example("graph-on-cluster", context="kind-demo")
    assert not [node for node in graph.nodes if node.type.startswith("aws:")]
    kinds = [item.manifest["kind"] for item in graph.objects]
    assert sorted(kinds) == ["DynamoGraphDeployment", "Job", "Namespace", "PersistentVolumeClaim"]
    assert graph.outputs["service"] == "http://chat-frontend.serving.svc:8000"
