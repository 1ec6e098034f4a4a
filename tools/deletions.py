"""`python -m tools.deletions`: delete every line that protects something, one at a time, and see that a test fails.

A line that can go without a test noticing is a line that will go. Deleted are, in components/ and program/:

- each option of a `ResourceOptions(...)` or `InvokeOptions(...)` whose loss is silent, the `opts=` of a read, and the
  options with the providers that a component is given,
- each `depends_on=` of a call, and each entry of it,
- each entry of a list of resources that others wait for (`self.ready`, `egress`, `[*cluster.ready, *addons.ready]`).

Survivors need a reason in tests/deletions.yaml; a reason whose deletion is noticed, or is gone, is a fault too.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.share import of_this_run
from tools.survivors import ROOT, Change, judged, numbered, walk

REASONS = ROOT / "tests" / "deletions.yaml"

OPTIONS = frozenset(
    {
        "protect", "depends_on", "deleted_with", "retain_on_delete", "provider", "providers", "custom_timeouts",
        "ignore_changes", "delete_before_replace", "replace_on_changes", "replace_with", "replacement_trigger",
    }
)  # fmt: skip
"""Options whose loss is silent until the day it costs something. `parent` is not among them: every test would fail."""

WAITED_FOR = frozenset({"ready", "egress", "efs_ready", "node_access", "public_way", "before", "operator", "ways"})
"""Names that hold what others wait for: attributes, variables and arguments."""

PLACES = frozenset({"in_aws", "in_cluster"})
"""Options that a component is given by position, with the providers of all it makes."""

LEFT_OUT = (
    "tests/stacks/test_settings_faults.py", "tests/stacks/test_mutants.py", "tests/stacks/test_stackfile.py", "tests/operations",
    "tests/review/test_judged.py", "tests/review/test_command.py", "tests/test_library.py",
)  # fmt: skip
"""Bad settings make no resource, operations look at what is there already, and processes of their own have no exchanged code."""


def deletions(path: Path) -> list[Change]:
    """Every deletion in a file."""
    source = path.read_text()
    relative = str(path.relative_to(ROOT))

    def found() -> Iterator[Change]:
        for where, option, node, changed in _changes(source, ast.parse(source)):
            target = node.value if isinstance(node, ast.keyword) else node
            text = " ".join((ast.get_source_segment(source, target) or "").split())
            ordering = option.removesuffix("[]") in {"depends_on", "list", "return", *WAITED_FOR}
            yield Change(relative, target.lineno, where, option, text, changed, ordering)

    return numbered(found())


def _changes(source: str, tree: ast.AST) -> Iterator[tuple[str, str, Any, str]]:
    done: set[int] = set()
    for where, node in walk(tree, ""):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = OPTIONS if name.endswith(("ResourceOptions", "InvokeOptions")) else {"depends_on"}
            if name.rsplit(".", 1)[-1].startswith("get_"):
                options = {"opts"}
            for keyword in node.keywords:
                if keyword.arg not in options and keyword.arg not in WAITED_FOR:
                    continue
                assert keyword.arg is not None
                if keyword.arg in options:
                    yield where, keyword.arg, keyword, _without(source, keyword)
                if isinstance(keyword.value, ast.List) and (len(keyword.value.elts) > 1 or keyword.arg not in options):
                    done.add(id(keyword.value))
                    for element in keyword.value.elts:
                        yield where, f"{keyword.arg}[]", element, _without(source, element)
            if name.rsplit(".", 1)[-1][:1].isupper():
                for given in node.args:
                    if isinstance(given, ast.Name) and given.id in PLACES:
                        yield where, "opts", given, _without(source, given)
        value, name = _list_of(node)
        if isinstance(value, ast.List) and id(value) not in done:
            starred = any(isinstance(item, ast.Starred) and _waits(item.value) for item in value.elts)
            if starred or name in WAITED_FOR:
                done.add(id(value))
                for element in value.elts:
                    yield where, f"{name}[]", element, _without(source, element)


def _list_of(node: ast.AST) -> tuple[Any, str]:
    """The list that a statement binds or gives back, or a call is given, with its name."""
    if isinstance(node, ast.Return):
        return node.value, "return"
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        inner = target.value if isinstance(target, ast.Subscript) else target
        return node.value, inner.attr if isinstance(inner, ast.Attribute) else ast.unparse(inner)
    return (node, "list") if isinstance(node, ast.List) else (None, "")


def _waits(node: ast.expr) -> bool:
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last in WAITED_FOR


def _without(source: str, node: Any) -> str:
    """The text without a node and the comma after it, or before it when it was the last."""
    lines = source.splitlines(keepends=True)

    def offset(line: int, column: int) -> int:
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    start, end = offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
    rest = source[end:]
    after = len(rest) - len(rest.lstrip())
    if rest[after : after + 1] == ",":
        return source[:start] + rest[after + 1 :]
    head = source[:start].rstrip()
    return (head[:-1] if head.endswith(",") else head) + rest


def main(arguments: Sequence[str]) -> int:
    """Run every deletion whose path contains one of the arguments, or all; 1 when there is a survivor without a reason."""
    os.chdir(ROOT)
    files = [
        str(path.relative_to(ROOT))
        for path in sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "program").rglob("*.py")])
    ]
    files = [path for path in files if not arguments or any(word in path for word in arguments)]
    every = [item for path in files for item in deletions(ROOT / path)]
    chosen = of_this_run(every)
    elsewhere = {item.key for item in every} - {item.key for item in chosen}
    listed: dict[str, str] = yaml.safe_load(REASONS.read_text()) or {}
    mine = {
        key: reason
        for key, reason in listed.items()
        if key not in elsewhere and (not arguments or key.split(" ")[0] in files)
    }
    return judged(chosen, mine, LEFT_OUT, ("tests",), "deletions")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
