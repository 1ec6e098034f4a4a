"""`python -m tools.deletions`: delete every line that protects something, one at a time, and see that a test fails.

A line that can go without a test noticing is a line that will go. Deleted are, in components/:

- each option of a `ResourceOptions(...)` or `InvokeOptions(...)` whose loss is silent, the `opts=` of a read, and the
  options with the providers that a component is given,
- each `depends_on=` of a call, and each entry of it,
- each entry of a list of resources that others wait for (`self.ready`, `egress`, `[*cluster.ready, *addons.ready]`).

Whatever passes the graph tests all the same is a survivor, and needs a reason in tests/deletions.yaml; a reason whose
deletion is noticed again, or is gone, is a fault too.

Nothing is changed on the disk. The tests are collected and run once, while probes note which tests and which recorded stacks
run which function. Then each deletion gets a forked process, in which the function's code object is exchanged, only the
stacks that run it are recorded again, and only the tests that can notice are run, likely ones first.
"""

from __future__ import annotations

import ast
import builtins
import functools
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import hypothesis
import pytest
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

WAITED_FOR = frozenset({"ready", "egress", "efs_ready", "node_access", "public_way", "before", "operator", "ways"})
"""Names that hold what others wait for: attributes, variables and arguments."""

PLACES = frozenset({"in_aws", "in_cluster"})
"""Options that a component is given by position, with the providers of all it makes."""

LEFT_OUT = ("tests/engine", "tests/stacks/test_snapshots.py", "tests/stacks/test_settings_faults.py")
"""Engine tests are too slow for this; snapshots notice everything and know nothing; bad settings make no resource."""

BLIND = ("test_plan_is_the_same_twice",)
"""Compare a recording with another of the same source."""

LIKELY = (
    "tests/rules/test_destroy_order.py",
    "tests/rules/test_options.py",
    "tests/stacks/test_every_stack.py",
)
"""Run first."""

PROBE = "__deletion_probe__"


@dataclass(frozen=True)
class Deletion:
    """One change."""

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

    @property
    def function(self) -> str:
        """The function whose code it changes."""
        return f"{_module(self.path)}:{self.where}"


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


# --- finding ----------------------------------------------------------------------------------------------------------


def deletions(path: Path) -> list[Deletion]:
    """Every deletion in a file; the same text twice in a function gets a number."""
    source = path.read_text()
    relative = str(path.relative_to(ROOT))
    found: list[Deletion] = []
    seen: dict[str, int] = {}
    for where, option, node, changed in _changes(source, ast.parse(source)):
        target = node.value if isinstance(node, ast.keyword) else node
        text = " ".join((ast.get_source_segment(source, target) or "").split())
        item = Deletion(relative, target.lineno, where, option, text, changed)
        seen[item.key] = seen.get(item.key, 0) + 1
        if (count := seen[item.key]) > 1:
            item = Deletion(relative, target.lineno, where, option, f"{text} ({count})", changed)
        found.append(item)
    return found


def _changes(source: str, tree: ast.AST) -> Iterator[tuple[str, str, Any, str]]:
    done: set[int] = set()
    for where, node in _walk(tree, ""):
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


def _walk(node: ast.AST, where: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the outermost function it is in, parents first."""
    for child in ast.iter_child_nodes(node):
        name = where
        inside = bool(where) and not where.endswith(".")
        if isinstance(child, ast.ClassDef) and not inside:
            name = f"{where}{child.name}."
        elif isinstance(child, ast.FunctionDef) and not inside:
            name = f"{where}{child.name}"
        if name and not name.endswith("."):
            yield name, child
        yield from _walk(child, name)


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


# --- exchanging code --------------------------------------------------------------------------------------------------


def _code(source: str, path: str, where: str) -> CodeType:
    """The code object of a function in a source text."""
    return _codes(compile(source, str(ROOT / path), "exec", dont_inherit=True))[where]


def _codes(code: CodeType) -> dict[str, CodeType]:
    """Code objects of functions that are in no other function, by qualified name."""
    found: dict[str, CodeType] = {}
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and "<" not in inner.co_qualname:
            found.setdefault(inner.co_qualname, inner)
            found.update({key: item for key, item in _codes(inner).items() if key not in found})
    return found


def _function(path: str, where: str) -> FunctionType:
    found: Any = sys.modules[_module(path)]
    for part in where.split("."):
        found = vars(found)[part]
        found = getattr(found, "__func__", getattr(found, "fget", found))
    return getattr(found, "__wrapped__", found)


def _exchange(path: str, where: str, source: str) -> None:
    _function(path, where).__code__ = _code(source, path, where)


def _probed(path: Path, wheres: set[str]) -> str:
    """The source with a probe at the beginning of each function."""
    tree = ast.parse(path.read_text())
    placed = set()
    for where, node in list(_walk(tree, "")):
        if isinstance(node, ast.FunctionDef) and where in wheres and where not in placed:
            placed.add(where)
            name = f"{_module(str(path.relative_to(ROOT)))}:{where}"
            probe = ast.parse(f"{PROBE}({name!r})").body[0]
            node.body.insert(1 if ast.get_docstring(node) is not None else 0, probe)
    return ast.unparse(ast.fix_missing_locations(tree))


# --- running ----------------------------------------------------------------------------------------------------------

Key = tuple[str, bool]
"""A shipped stack, as update or preview."""


@dataclass
class _Touched:
    """What ran meanwhile."""

    functions: set[str] = field(default_factory=set)
    stacks: set[Key] = field(default_factory=set)

    def add(self, other: _Touched) -> None:
        self.functions |= other.functions
        self.stacks |= other.stacks


@dataclass(eq=False)
class _Pass:
    """A pytest plugin: collects as usual, then runs the tests once and, in forks, for each deletion."""

    chosen: list[Deletion]
    workers: int
    verdicts: dict[str, str] = field(default_factory=dict)
    """By deletion: `passed`, or which test noticed it."""
    fault: str | None = None
    functions_of_stack: dict[Key, set[str]] = field(default_factory=dict)
    """What a recording of a shipped stack runs."""
    by_item: dict[str, _Touched] = field(default_factory=dict)
    by_fixture: dict[tuple[str, str], _Touched] = field(default_factory=dict)
    """By place and name: a fixture that is shared runs in the first test that wants it, and counts for all that do."""
    seconds: dict[str, float] = field(default_factory=dict)
    _failed: str | None = None
    _now: _Touched = field(default_factory=lambda: _Touched())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._failed = f"{report.nodeid}\n{report.longreprtext}"

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        outer, self._now = self._now, _Touched()
        try:
            return (yield)
        finally:
            self.by_fixture.setdefault((fixturedef.baseid, fixturedef.argname), _Touched()).add(self._now)
            self._now = outer

    def _touched(self, item: Any) -> _Touched:
        found = _Touched()
        found.add(self.by_item[item.nodeid])
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            for definition in definitions:
                found.add(self.by_fixture.get((definition.baseid, name), _Touched()))
        return found

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.fault = "the tests cannot be collected"
            return True
        items = [item for item in session.items if not any(name in item.nodeid for name in BLIND)]
        self._first_run(items)
        if self.fault is None:
            self._forks(items)
        return True

    def _first_run(self, items: list[pytest.Item]) -> None:
        """Run everything unchanged, with probes."""
        from review import stackfile
        from tests import conftest

        setattr(builtins, PROBE, lambda name: self._now.functions.add(name))
        by_path: dict[str, set[str]] = {}
        for item in self.chosen:
            by_path.setdefault(item.path, set()).add(item.where)
        for path in by_path:
            if _module(path) not in sys.modules:
                __import__(_module(path))
        for path, wheres in by_path.items():
            probed = _probed(ROOT / path, wheres)
            for where in wheres:
                _exchange(path, where, probed)
        real, graphs = conftest.record, {}

        def record(stack: str, *given: Any, **named: Any) -> Any:
            key = (stack, bool(named.get("preview")))
            self._now.stacks.add(key)
            if key not in graphs:
                outer, self._now = self._now, _Touched()
                try:
                    graphs[key] = real(stack, *given, **named)
                finally:
                    self.functions_of_stack[key], self._now = self._now.functions, outer
            return graphs[key]

        reader = SimpleNamespace(read=functools.cache(stackfile.read), available=stackfile.available)
        conftest.record, conftest.stackfile = record, reader  # pyright: ignore[reportAttributeAccessIssue]
        for position, item in enumerate(items):
            _clear_caches("tests")
            self._now, began = _Touched(), time.monotonic()
            following = items[position + 1] if position + 1 < len(items) else None
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                self.fault = f"a test fails with nothing deleted; mend it first: {self._failed}"
                return
            self.by_item[item.nodeid] = self._now
            self.seconds[item.nodeid] = time.monotonic() - began
        self.touched = {item.nodeid: self._touched(item) for item in items}
        self._graphs, self._record = graphs, real

    def _tests(self, item: Deletion, items: list[pytest.Item]) -> tuple[list[pytest.Item], set[Key]]:
        """Tests that can notice a deletion, likely and cheap ones first, and the stacks it may change."""
        stacks = {key for key, functions in self.functions_of_stack.items() if item.function in functions}
        order: list[tuple[tuple[Any, ...], pytest.Item]] = []
        likely = LIKELY if item.option.removesuffix("[]") in {"depends_on", *WAITED_FOR} else LIKELY[1:] + LIKELY[:1]
        for position, test in enumerate(items):
            touched = self.touched[test.nodeid]
            own = touched.stacks & stacks
            if not own and item.function not in touched.functions:
                continue
            path = str(test.path.relative_to(ROOT))
            # A folder's name says whose tests it holds.
            related = Path(item.path).parent.name == test.path.parent.name
            rank = likely.index(path) if path in likely else 0.5 if related else len(likely)
            order.append(((rank, len(own), sum(preview for _, preview in own), position), test))
        return [test for _, test in sorted(order, key=lambda pair: pair[0])], stacks

    def _forks(self, items: list[pytest.Item]) -> None:
        gc.collect()
        # What is there already is shared with the forks, and stays so when nothing walks over it.
        gc.freeze()
        running: dict[int, tuple[Deletion, int]] = {}
        waiting = list(self.chosen)
        while waiting or running:
            while waiting and len(running) < self.workers:
                item = waiting.pop(0)
                read, write = os.pipe()
                process = os.fork()
                if process == 0:
                    os.close(read)
                    self._child(item, items, write)
                os.close(write)
                running[process] = (item, read)
            process, _ = os.wait()
            item, read = running.pop(process)
            with os.fdopen(read) as answer:
                verdict = answer.read()
            self.verdicts[item.key] = verdict
            if not verdict:
                self.fault = f"the tests ended without a verdict: {item.key}"
            if os.environ.get("VERBOSE"):
                print(f"{item.path}:{item.line} {item.option} {item.text}: {verdict or 'lost'}", flush=True)

    def _child(self, item: Deletion, items: list[pytest.Item], answer: int) -> None:
        began = time.monotonic()
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            _exchange(item.path, item.where, item.source)
            tests, stacks = self._tests(item, items)
            self._forget(stacks)
            for position, test in enumerate(tests):
                following = tests[position + 1] if position + 1 < len(tests) else None
                test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
                if self._failed:
                    verdict = (
                        f"noticed in {time.monotonic() - began:.1f} s by {test.nodeid} ({position + 1} of {len(tests)})"
                    )
                    break
            else:
                verdict = "passed" if tests or not stacks else ""
            os.write(answer, verdict.encode())
        finally:
            os._exit(0)

    def _forget(self, stacks: set[Key]) -> None:
        """Forget what was recorded with the unchanged source."""
        from tests import conftest

        def record(stack: str, *given: Any, **named: Any) -> Any:
            key = (stack, bool(named.get("preview")))
            return self._record(stack, *given, **named) if key in stacks else self._graphs[key]

        conftest.record = record
        _clear_caches("tests", "components")


def _clear_caches(*packages: str) -> None:
    for name, module in list(sys.modules.items()):
        if module is not None and name.split(".")[0] in packages:
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if isinstance(value, functools._lru_cache_wrapper) and clear is not None:
                    clear()


def main(arguments: Sequence[str]) -> int:
    """Run every deletion whose path contains one of the arguments, or all; 1 when there is a survivor without a reason."""
    os.chdir(ROOT)
    found = [item for path in sorted((ROOT / "components").rglob("*.py")) for item in deletions(path)]
    chosen = [item for item in found if not arguments or any(word in item.path for word in arguments)]
    began = time.monotonic()
    # A slow machine is no fault that a deletion made.
    hypothesis.settings.register_profile("deletions", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("deletions")
    work = _Pass(chosen, int(os.environ.get("WORKERS", os.cpu_count() or 2)))
    left_out = [f"--ignore={path}" for path in LEFT_OUT]
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal", "-p", "no:syrupy"]
    code = pytest.main([*options, "-m", "not engine", *left_out, "tests"], plugins=[work])
    if work.fault or code or len(work.verdicts) < len(chosen):
        print(work.fault or f"the tests could not be run: pytest says {code}")
        return 1
    survivors = {item.key: item for item in chosen if work.verdicts[item.key] == "passed"}
    reasons: dict[str, str] = (yaml.safe_load(REASONS.read_text()) or {}) if REASONS.exists() else {}
    unexplained = [item for key, item in survivors.items() if key not in reasons]
    stale = [key for key in reasons if key in {item.key for item in chosen} - set(survivors)]
    stale += [key for key in reasons if key not in {item.key for item in found}]
    for item in unexplained:
        print(f"survived: {item.path}:{item.line} {item.where}: {item.option} {item.text}\n  {item.key}")
    for key in stale:
        print(f"no longer survives, take its reason out: {key}")
    print(
        f"{len(chosen)} deletions, {len(chosen) - len(survivors)} noticed, "
        f"{len(survivors) - len(unexplained)} explained, in {time.monotonic() - began:.0f} s"
    )
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
