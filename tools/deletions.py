"""`python -m tools.deletions`: delete every resource option that protects something, one at a time, and see that a test fails.

A line that can go without a test noticing is a line that will go. Each option of a `ResourceOptions(...)` in components/ is
taken away (and each entry of a `depends_on`, and each condition that guards a read), the graph tests run against the changed
source, and whatever still passes is a survivor. Survivors need a reason in tests/deletions.yaml; a reason whose mutant is
killed again, or is gone, is a fault too.

The changed source never touches the disk: each mutant runs in a forked process whose importer hands it out.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.util
import io
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REASONS = ROOT / "tests" / "deletions.yaml"

OPTIONS = frozenset(
    {
        "protect", "depends_on", "deleted_with", "retain_on_delete", "provider", "providers", "custom_timeouts",
        "ignore_changes", "delete_before_replace", "replace_on_changes", "replacement_trigger",
    }
)  # fmt: skip
"""Options whose loss is silent until the day it costs something. `parent` is not among them: every test would fail."""

TESTS = (
    "tests/rules/test_destroy_order.py",
    "tests/stacks/test_every_stack.py",
    "tests/rules/test_options.py",
    "tests/cluster",
    "tests/storage",
    "tests/network",
    "tests/capacity",
    "tests/validation",
    "tests/dynamo/test_ultraserver_graphs.py",
)
"""What is run against each mutant, likely killers first; snapshots are left out, since they notice everything and know nothing."""


@dataclass(frozen=True)
class Mutant:
    """One deletion."""

    path: str
    """File, from the repository's root."""
    line: int
    where: str
    """Class and method."""
    option: str
    text: str
    """What was deleted."""
    source: str
    """The whole changed file."""

    @property
    def key(self) -> str:
        """Names it across edits of other lines."""
        return f"{self.path} {self.where} {self.option} {self.text}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every deletion in a file."""
    source = path.read_text()
    tree = ast.parse(source)
    for where, call in _calls(tree, ""):
        for keyword in call.keywords:
            if keyword.arg not in OPTIONS:
                continue
            yield _mutant(path, source, where, keyword.arg, keyword, _without(source, call, keyword))
            if isinstance(keyword.value, ast.List) and len(keyword.value.elts) > 1:
                for element in keyword.value.elts:
                    changed = _cut_item(source, keyword.value, element)
                    yield _mutant(path, source, where, f"{keyword.arg}[]", element, changed)


def _mutant(path: Path, source: str, where: str, option: str, node: Any, changed: str) -> Mutant:
    target = node.value if isinstance(node, ast.keyword) else node
    text = " ".join((ast.get_source_segment(source, target) or "").split())
    return Mutant(str(path.relative_to(ROOT)), target.lineno, where, option, text, changed)


def _calls(node: ast.AST, where: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        name = where
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            name = f"{where}.{child.name}" if where else child.name
        if isinstance(child, ast.Call) and ast.unparse(child.func).endswith("ResourceOptions"):
            yield name, child
        yield from _calls(child, name)


def _offset(source: str, line: int, column: int) -> int:
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _span(source: str, node: Any) -> tuple[int, int]:
    return _offset(source, node.lineno, node.col_offset), _offset(source, node.end_lineno, node.end_col_offset)


def _without(source: str, call: ast.Call, keyword: ast.keyword) -> str:
    start, end = _span(source, keyword)
    return _close(source, start, end)


def _cut_item(source: str, owner: ast.List, element: ast.AST) -> str:
    start, end = _span(source, element)
    return _close(source, start, end)


def _close(source: str, start: int, end: int) -> str:
    """The text without a stretch and the comma after it, or before it when it was the last."""
    rest = source[end:]
    after = len(rest) - len(rest.lstrip())
    if rest[after : after + 1] == ",":
        return source[:start] + source[end + after + 1 :]
    head = source[:start].rstrip()
    return (head[:-1] if head.endswith(",") else head) + rest


class _Handout(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module its changed source."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(ROOT / self.mutant.path))

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(ROOT / self.mutant.path)
        exec(compile(self.mutant.source, module.__file__, "exec"), module.__dict__)


def killed(mutant: Mutant | None) -> bool:
    """Whether a test fails with the deletion; None runs the unchanged source."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 70
        with contextlib.suppress(BaseException):
            code = _run(mutant)
        os.write(write, str(code).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        code = answer.read()
    os.waitpid(child, 0)
    if code not in ("0", "1"):
        raise RuntimeError(
            f"the tests could not be run (pytest code {code or 'none'}) with {mutant.key if mutant else 'nothing changed'}"
        )
    return code == "1"


def _run(mutant: Mutant | None) -> int:
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, _Handout(mutant))
    sys.stdout = sys.stderr = io.StringIO()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    paths = [path for path in TESTS if (ROOT / path).exists()]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not engine", *paths]))


def _preload() -> None:
    """Import once what every mutant's tests need, and nothing of the project's own components."""
    import hypothesis  # noqa: F401
    import pulumi_aws
    import pulumi_kubernetes
    import pytest  # noqa: F401

    for part in ("ec2", "eks", "efs", "iam", "kms", "vpc", "autoscaling", "cloudwatch"):
        getattr(pulumi_aws, part)
    for part in ("core", "batch", "helm", "storage", "rbac", "apiextensions", "yaml", "meta"):
        getattr(pulumi_kubernetes, part)
    import pulumi_eks  # noqa: F401


def main(arguments: Sequence[str]) -> int:
    """Run every deletion whose path contains one of the arguments, or all; 1 when there is a survivor without a reason."""
    os.chdir(ROOT)
    found = [mutant for path in sorted((ROOT / "components").rglob("*.py")) for mutant in mutants(path)]
    chosen = [mutant for mutant in found if not arguments or any(word in mutant.path for word in arguments)]
    _preload()
    if killed(None):
        print("the tests fail with nothing deleted; mend them first")
        return 1
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        verdicts = list(pool.map(killed, chosen))
    survivors = {mutant.key: mutant for mutant, dead in zip(chosen, verdicts, strict=True) if not dead}
    reasons: dict[str, str] = (yaml.safe_load(REASONS.read_text()) or {}) if REASONS.exists() else {}
    unexplained = [mutant for key, mutant in survivors.items() if key not in reasons]
    stale = [key for key in reasons if key in {mutant.key for mutant in chosen} - set(survivors)]
    stale += [key for key in reasons if key not in {mutant.key for mutant in found}]
    for mutant in unexplained:
        print(f"survived: {mutant.path}:{mutant.line} {mutant.where}: {mutant.option} {mutant.text}")
    for key in stale:
        print(f"no longer survives, take its reason out: {key}")
    print(
        f"{len(chosen)} deletions, {len(chosen) - len(survivors)} noticed, {len(survivors) - len(unexplained)} explained"
    )
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
