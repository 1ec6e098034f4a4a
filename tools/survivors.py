"""Change one function at a time and see that a test fails; whatever nobody notices needs a reason.

Shared by `tools.deletions` and `tools.mutants`, which say what is changed. Nothing is changed on the disk: the tests are
collected and run once, while probes note which tests and which recorded stacks run which function. Then each change gets a
forked process, in which the function's code object is exchanged, only the stacks that run it are recorded again, and only the
tests that can notice are run, likely ones first.

What it cannot see: code that runs while modules are imported (decorators, constants), which has run before the exchange.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

LEFT_OUT = ("tests/engine", "tests/stacks/test_snapshots.py")
"""Engine tests are too slow for this; snapshots notice everything and know nothing."""

BLIND = ("test_plan_is_the_same_twice",)
"""Compare a recording with another of the same source."""

LIKELY = (
    "tests/rules/test_destroy_order.py",
    "tests/rules/test_options.py",
    "tests/stacks/test_every_stack.py",
)
"""Run first."""

SAME = "passed, and every shipped stack is the same"
"""Verdict on a change that no test notices since another line says as much."""

PROBE = "__change_probe__"

LIMIT_S = 300
"""Time for the tests of one change; a loop that does not end is noticed by it."""

LIMIT_BYTES = 6 << 30
"""Memory for them; a list that grows for ever is noticed by it."""


@dataclass(frozen=True)
class Change:
    """One change."""

    path: str
    """File, from the repository's root."""
    line: int
    where: str
    """Class and method, or function: the outermost one."""
    option: str
    """Kind of change."""
    text: str
    """What was changed."""
    source: str
    """The whole changed file."""
    ordering: bool = False
    """Whether it is an order of resources that is lost, which the tests of orders notice best."""

    @property
    def key(self) -> str:
        """Names it across edits of other lines."""
        return " ".join(part for part in (self.path, self.where, self.option, self.text) if part)

    @property
    def function(self) -> str:
        """The function whose code it changes."""
        return f"{module_name(self.path)}:{self.where}"


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def numbered(changes: Iterator[Change]) -> list[Change]:
    """Changes with the same key are told apart by a number."""
    found, seen = [], {}
    for item in changes:
        seen[item.key] = count = seen.get(item.key, 0) + 1
        found.append(item if count == 1 else dataclasses.replace(item, text=f"{item.text} ({count})"))
    return found


def walk(node: ast.AST, where: str) -> Iterator[tuple[str, ast.AST]]:
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
        yield from walk(child, name)


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
    found: Any = sys.modules[module_name(path)]
    for part in where.split("."):
        found = vars(found)[part]
        found = getattr(found, "__func__", getattr(found, "fget", found))
    return getattr(found, "__wrapped__", found)


def exchange(path: str, where: str, source: str) -> None:
    _function(path, where).__code__ = _code(source, path, where)


def _probed(path: Path, wheres: set[str]) -> str:
    """The source with a probe at the beginning of each function."""
    tree = ast.parse(path.read_text())
    placed = set()
    for where, node in list(walk(tree, "")):
        if isinstance(node, ast.FunctionDef) and where in wheres and where not in placed:
            placed.add(where)
            name = f"{module_name(str(path.relative_to(ROOT)))}:{where}"
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
class Pass:
    """A pytest plugin: collects as usual, then runs the tests once and, in forks, for each change."""

    chosen: list[Change]
    workers: int
    explained: frozenset[str] = frozenset()
    """Keys of changes with a reason: when every shipped stack says the same with one, no test is asked."""
    tell: bool = False
    """Print each verdict."""
    verdicts: dict[str, str] = field(default_factory=dict)
    """By change: `passed`, `not run`, or which test noticed it."""
    fault: str | None = None
    functions_of_stack: dict[Key, set[str]] = field(default_factory=dict)
    """What a recording of a shipped stack runs."""
    by_item: dict[str, _Touched] = field(default_factory=dict)
    by_fixture: dict[tuple[str, str], _Touched] = field(default_factory=dict)
    """By place and name: a fixture that is shared runs in the first test that wants it, and counts for all that do."""
    seconds: dict[str, float] = field(default_factory=dict)
    _same: set[Key] = field(default_factory=set)
    """In a fork: stacks that say the same with the change; tests that know no more of it are left out."""
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
        from stacks import stackfile
        from tests import conftest

        setattr(builtins, PROBE, lambda name: self._now.functions.add(name))
        by_path: dict[str, set[str]] = {}
        for item in self.chosen:
            by_path.setdefault(item.path, set()).add(item.where)
        for path in by_path:
            if module_name(path) not in sys.modules:
                __import__(module_name(path))
        for path, wheres in by_path.items():
            probed = _probed(ROOT / path, wheres)
            for where in wheres:
                exchange(path, where, probed)
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
                self.fault = f"a test fails with nothing changed; mend it first: {self._failed}"
                return
            self.by_item[item.nodeid] = self._now
            self.seconds[item.nodeid] = time.monotonic() - began
        self.touched = {item.nodeid: self._touched(item) for item in items}
        self._graphs, self._record = graphs, real

    def _tests(self, item: Change, items: list[pytest.Item]) -> tuple[list[pytest.Item], set[Key]]:
        """Tests that can notice a change, likely and cheap ones first, and the stacks it may change."""
        stacks = {key for key, functions in self.functions_of_stack.items() if item.function in functions}
        order: list[tuple[tuple[Any, ...], pytest.Item]] = []
        likely = LIKELY if item.ordering else LIKELY[1:] + LIKELY[:1]
        for position, test in enumerate(items):
            touched = self.touched[test.nodeid]
            own = touched.stacks & stacks
            if not own and item.function not in touched.functions:
                continue
            path = str(test.path.relative_to(ROOT))
            # A folder's name says whose tests it holds.
            related = Path(item.path).parent.name == test.path.parent.name
            rank = likely.index(path) if path in likely and own else 0.5 if related else len(likely)
            cost = round(self.seconds[test.nodeid], 1)
            order.append(((rank, len(own), sum(preview for _, preview in own), cost, position), test))
        return [test for _, test in sorted(order, key=lambda pair: pair[0])], stacks

    def _forks(self, items: list[pytest.Item]) -> None:
        gc.collect()
        # What is there already is shared with the forks, and stays so when nothing walks over it.
        gc.freeze()
        running: dict[int, tuple[Change, int]] = {}
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
            if self.tell:
                print(f"{item.path}:{item.line} {item.option} {item.text}: {verdict or 'lost'}", flush=True)

    def _child(self, item: Change, items: list[pytest.Item], answer: int) -> None:
        began = time.monotonic()

        def too_long(*_: Any) -> None:
            os.write(answer, f"noticed: still running after {LIMIT_S} s".encode())
            os._exit(0)

        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(LIMIT_S)
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            exchange(item.path, item.where, item.source)
            tests, stacks = self._tests(item, items)
            self._forget(stacks)
            if item.key in self.explained and self._unchanged(stacks):
                os.write(answer, SAME.encode())
                os._exit(0)
            for position, test in enumerate(tests):
                touched = self.touched[test.nodeid]
                if item.function not in touched.functions and touched.stacks & stacks <= self._same:
                    continue
                # The one that followed then may have been left out since.
                test.session._setupstate.teardown_exact(test)
                following = tests[position + 1] if position + 1 < len(tests) else None
                test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
                if self._failed:
                    verdict = (
                        f"noticed in {time.monotonic() - began:.1f} s by {test.nodeid} ({position + 1} of {len(tests)})"
                    )
                    break
            else:
                verdict = "passed" if tests else "not run"
                if stacks and stacks <= self._same:
                    verdict = SAME
            os.write(answer, verdict.encode())
        finally:
            os._exit(0)

    def _unchanged(self, stacks: set[Key]) -> bool:
        """Whether all updates say the same; previews register what updates do, as a test of theirs says."""
        from tests import conftest

        updates = {key for key in stacks if not key[1]}
        for key in sorted(updates):
            conftest.recorded(*key)
            if key not in self._same:
                return False
        return bool(updates)

    def _forget(self, stacks: set[Key]) -> None:
        """Forget what was recorded with the unchanged source."""
        from tests import conftest

        def record(stack: str, *given: Any, **named: Any) -> Any:
            key = (stack, bool(named.get("preview")))
            if key not in stacks:
                return self._graphs[key]
            graph = self._record(stack, *given, **named)
            if _meaning(graph) == _meaning(self._graphs[key]):
                self._same.add(key)
            return graph

        conftest.record = record
        _clear_caches("tests", "components", "rules")


def _meaning(graph: Any) -> Any:
    """What a recorded stack says, with orders followed through: an order that is there twice may be said once."""
    plain = [dataclasses.replace(node, depends_on=(), order=0) for node in sorted(graph, key=lambda node: node.key)]
    # Reads come in another order each time, as the SDK awaits in sets.
    reads = sorted(map(repr, graph.reads))
    return plain, {node.key: graph.requires(node.key) for node in graph}, reads, graph.outputs


def _clear_caches(*packages: str) -> None:
    """Forget what functions of these packages remember."""
    for name, module in list(sys.modules.items()):
        if module is not None and name.split(".")[0] in packages:
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if isinstance(value, functools._lru_cache_wrapper) and clear is not None:
                    clear()


def judged(
    chosen: Sequence[Change], reasons: Mapping[str, str], left_out: Sequence[str], tests: Sequence[str], what: str
) -> int:
    """Run changes, print what is not as the reasons say, and return 1 when something is.

    `reasons` are those whose changes are among the chosen, by key. Of `tests`, arguments of pytest, `left_out` are ignored.
    WORKERS sets how many run at once, TESTS names other tests, VERBOSE=1 prints every verdict.
    """
    began = time.monotonic()
    # A slow machine is no fault of the change's, and what one change broke is no example for the next.
    hypothesis.settings.register_profile("changes", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("changes")
    work = Pass(
        list(chosen),
        int(os.environ.get("WORKERS", os.cpu_count() or 2)),
        explained=frozenset(reasons),
        tell=bool(os.environ.get("VERBOSE")),
    )
    ignored = [f"--ignore={path}" for path in (*LEFT_OUT, *left_out)]
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal"]
    given = os.environ.get("TESTS", "").split() or tests
    code = pytest.main([*options, "-m", "not engine", *ignored, *given], plugins=[work])
    if work.fault or code or len(work.verdicts) < len(chosen):
        print(work.fault or f"the tests could not be run: pytest says {code}")
        return 1
    survivors = {item.key: item for item in chosen if not work.verdicts[item.key].startswith("noticed")}
    unexplained = [item for key, item in survivors.items() if key not in reasons]
    stale = [key for key in reasons if key not in survivors]
    for item in unexplained:
        print(f"{work.verdicts[item.key]}, line {item.line}: {item.key}")
    for key in stale:
        print(f"no longer survives, or is no longer there; take its reason out: {key}")
    print(
        f"{len(chosen)} {what}, {len(chosen) - len(survivors)} noticed, {len(survivors) - len(unexplained)} explained, "
        f"{len(unexplained)} neither, in {time.monotonic() - began:.0f} s"
    )
    return 1 if unexplained or stale else 0
