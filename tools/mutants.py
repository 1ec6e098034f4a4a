"""`python -m tools.mutants [path ...]`: mutate what decides, and see that a test fails.

The mutations are mutmut's operators (`x < y` to `x <= y`, `and` to `or`, a number plus one, an argument dropped ...). mutmut's
own runner leaves out every decorated function and every property, which here are all rules of the plan and half of what a
window decides, and wants a copy of the tree that the tests run in; so `tools.survivors` runs them.

Left out are mutations that no test should notice: annotations, docstrings, and texts in another case. A path picks files
whose name contains it, `rules/graphs.py:pod_fits` a function of them. Survivors need a reason in tests/mutants/; a reason whose
mutant is noticed, or is gone, is a fault too. A mutant takes some tenths of a second when it is noticed, and as long as its
tests when not, after a minute in which they run once unchanged; everything takes half an hour on two cores.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import yaml
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

from tools.survivors import ROOT, Change, judged, numbered

REASONS = ROOT / "tests" / "mutants"

STACKS = "tests/stacks/test_every_stack.py"


@dataclass(frozen=True)
class Group:
    """Files, and the tests that have to notice: those beside them. What only a far test notices, by accident, it may cease to."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    """Arguments of pytest."""


GROUPS = (
    Group(
        (
            *(f"components/capacity/{name}.py" for name in (
                "window", "room", "succession", "network_cards", "ultraservers", "node_spec", "reservations", "node_config", "instances")),
            *(f"components/network/{name}.py" for name in ("cidr", "zones", "rack_zones", "endpoints")),
            "components/gpu/values.py",
        ),
        ("tests/capacity", "tests/network", "tests/gpu", "tests/stacks", "-k", "not registers"),
    ),
    Group(
        (
            *(f"components/dynamo/{name}.py" for name in (
                "expected_pods", "quantities", "model_paths", "interruption", "manifest", "backends", "fabric", "compute_domain", "download", "images",
                "exposure", "values",
                "command_line")),
            "components/scheduling/gang.py",
        ),
        ("tests/dynamo", "tests/rules", STACKS),
    ),
    Group(
        tuple(f"components/dynamo/models/{name}.py" for name in (
            "config", "memory", "gpus", "handover", "launched", "facts", "table")),
        ("tests/dynamo/models",),
    ),
    Group(
        (
            "components/validation/ladder_objects.py",
            *(f"components/validation/scripts/{name}.py" for name in (
                "mpi_result", "rack_devices", "platform_check", "smoke")),
        ),
        ("tests/validation", STACKS),
    ),
    Group(
        tuple(f"rules/{name}.py" for name in (
            "ultraservers", "capacity", "graphs", "idle", "images", "interruptions", "order", "cluster", "network", "storage", "objects", "secrets", "model", "models",
            "command_lines")),
        ("tests/rules", "tests/review", "tests/recording", STACKS),
    ),
    Group(
        tuple(f"stacks/{name}.py" for name in (
            *(f"checks/{name}" for name in (
                "draft", "stack", "network", "capacity", "storage", "dynamo", "graphs", "memory", "placement", "rollout", "ultra_servers", "gpu_stack",
                "rack_graphs", "command_lines")),
            "sections", "settings", "hidden", "faults", "placeholders", "editing", "provider_keys", "schema_limits",
            "schema_between", "tokens")),
        ("tests/stacks", "tests/capacity", "-k", "not registers"),
    ),
    Group(
        ("components/aws_values.py", *(f"components/{name}spec.py" for name in ("", "network/", "capacity/", "dynamo/"))),
        ("tests/stacks", "-k", "not registers"),
    ),
    Group(("stacks/engine_yaml.py", "stacks/stackfile.py"), ("tests/stacks/test_stackfile.py",)),
    Group(
        ("recording/prices/table.py", "review/cost.py", "review/cost_nodes.py", "review/cost_told.py", "review/summary.py"),
        ("tests/recording/test_prices.py", "tests/review/test_cost.py", "tests/review/test_summary.py"),
    ),
    Group(
        ("recording/racks.py", "recording/pool_blocks.py", "review/blocks.py", "review/interruptions.py", "schemas/strict.py"),
        ("tests/recording", "tests/review", "tests/schemas", "tests/rules", STACKS),
    ),
)  # fmt: skip
"""What decides without making a resource."""


class _Places(cst.CSTVisitor):
    """Every node of a function's body, with the outermost function it is in."""

    def __init__(self) -> None:
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []
        self._where: list[cst.ClassDef | cst.FunctionDef] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        # Defaults of the outermost function belong to it, not to its code.
        functions = sum(isinstance(item, cst.FunctionDef) for item in self._where)
        if isinstance(node, (cst.Annotation, cst.Decorator)) or (isinstance(node, cst.Parameters) and functions == 1):
            return False
        if isinstance(node, (cst.ClassDef, cst.FunctionDef)):
            self._where.append(node)
        if isinstance(node, cst.SimpleStatementLine) and _is_text(node):
            return False
        outermost = next((item for item in self._where if isinstance(item, cst.FunctionDef)), None)
        if outermost is not None:
            names = [item.name.value for item in self._where[: self._where.index(outermost) + 1]]
            self.found.append((".".join(names), outermost, node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, (cst.ClassDef, cst.FunctionDef)):
            self._where.pop()


def _is_text(node: cst.SimpleStatementLine) -> bool:
    return (
        len(node.body) == 1
        and isinstance(node.body[0], cst.Expr)
        and isinstance(node.body[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )


def mutants(path: Path) -> list[Change]:
    """Every mutant of a file."""
    source = path.read_text()
    return numbered(_mutants(str(path.relative_to(ROOT)), source))


def _mutants(relative: str, source: str) -> Iterator[Change]:
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    spans, places = wrapper.resolve(PositionProvider), _Places()
    wrapper.module.visit(places)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def stretch(node: cst.CSTNode) -> tuple[int, int]:
        span = spans[node]
        return starts[span.start.line - 1] + span.start.column, starts[span.end.line - 1] + span.end.column

    def parsed(text: str) -> str:
        return ast.dump(ast.parse(textwrap.dedent(text)))

    for where, outermost, node in places.found:
        for type_, operator in mutation_operators:
            if not isinstance(node, type_):
                continue
            for number, changed in enumerate(operator(node)):
                if operator is operator_string and number:
                    continue  # the same text in another case
                # Parentheses of the node itself are outside of its span and come with its code; twice does no harm.
                (begin, end), (head, tail) = stretch(node), stretch(outermost)
                head -= spans[outermost].start.column
                text = wrapper.module.code_for_node(changed)
                mutant = source[:begin] + text + source[end:]
                try:
                    if parsed(mutant[head : tail + len(mutant) - len(source)]) == parsed(source[head:tail]):
                        continue
                except SyntaxError:
                    continue
                first, last = spans[node].start.line, spans[node].end.line
                if last - first > 2:
                    last = first
                    note = f" [{_short(source[begin:end])} => {_short(text)}]"
                else:
                    note = f" => {_line(lines, mutant, first, last)}"
                yield Change(
                    relative, first, where, "", " ".join("".join(lines[first - 1 : last]).split()) + note, mutant
                )


def _line(lines: list[str], mutant: str, first: int, last: int) -> str:
    """What stands in place of some lines."""
    after = mutant.splitlines(keepends=True)
    return " ".join("".join(after[first - 1 : last + len(after) - len(lines)]).split())


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 160 else f"{text[:78]} ... {text[-78:]}"


def reasons(path: str) -> dict[str, str]:
    """What may survive in a file, with the reason: `tests/mutants/<file>.yaml` has each reason with its mutants below."""
    shard = REASONS / path.replace("/", ".").replace(".py", ".yaml")
    listed = yaml.safe_load(shard.read_text()) if shard.exists() else None
    return {f"{path} {key}": reason for reason, keys in (listed or {}).items() for key in keys}


def chosen(group: Group, words: Sequence[str]) -> list[str]:
    """What the words pick of a group, as paths, or paths with a function (`rules/graphs.py:pod_fits`).

    A word is a part of a path, or that and a function; without words everything is picked.
    """
    found: dict[str, None] = {}
    for path in group.files:
        for part, colon, function in (word.partition(":") for word in words or [path]):
            if part in path:
                found[f"{path}{colon}{function}"] = None
    return list(found)


def _judged(group: Group, picked: Sequence[str]) -> int:
    changes: list[Change] = []
    listed: dict[str, str] = {}
    for path in group.files:
        functions = {function for part, _, function in (item.partition(":") for item in picked) if part == path}
        if functions:
            whole = "" in functions
            changes += [item for item in mutants(ROOT / path) if whole or item.where in functions]
            listed |= {key: reason for key, reason in reasons(path).items() if whole or key.split(" ")[1] in functions}
    return judged(changes, listed, (), group.tests, "mutants")


def main(words: Sequence[str]) -> int:
    """Run every mutant that a word picks, or all; 1 when one survives without a reason."""
    os.chdir(ROOT)
    picked = [(group, found) for group in GROUPS if (found := chosen(group, words))]
    if not picked:
        print(f"no file that is mutated has {' or '.join(words)} in its path")
        return 2
    if len(picked) == 1:
        return _judged(*picked[0])
    # Each group has tests of its own, which are collected and probed in a process of their own.
    commands = [[sys.executable, "-m", "tools.mutants", *found] for _, found in picked]
    return max(subprocess.run(command, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
