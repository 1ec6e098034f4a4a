"""The table of gb200_facts.yaml: how a fact is looked for in a recorded graph, and how what it found is taken away again."""

from __future__ import annotations

import base64
import copy
import dataclasses
import email
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from recording.graph import Graph, Node

TABLE = yaml.safe_load((Path(__file__).parent / "gb200_facts.yaml").read_text())

RUNNING = ("prod", "pair")
"""Recordings of which a fact is said when it names none."""

JUDGED = ("is", "has", "lacks", "count", "after")
"""What may be said of an answer; `prod: x` is short for `is: {prod: x}`."""


@dataclass(frozen=True)
class Fact:
    """One row."""

    id: str
    group: str
    row: Mapping[str, Any]

    @property
    def recordings(self) -> tuple[str, ...]:
        """Which recordings it is said of."""
        named = {name for name in TABLE["recordings"] if name in self.row}
        named |= {name for kind in JUDGED if _by_recording(self.row.get(kind)) for name in self.row[kind]}
        return tuple(name for name in TABLE["recordings"] if name in (named or self.row.get("in", RUNNING)))

    def expected(self, recording: str) -> dict[str, Any]:
        """What is said of one recording, by how it is judged."""
        said = {kind: self.row[kind] for kind in JUDGED if kind in self.row}
        said |= {"is": self.row[recording]} if recording in self.row else {}
        return {kind: what[recording] if _by_recording(what) else what for kind, what in said.items()}

    @property
    def path(self) -> list[Any]:
        """The way to what is asked, without the anchors it was put together of."""
        return list(_flat(self.row.get("at", ())))

    @property
    def source(self) -> str:
        """Where it is published."""
        first, *more = str(self.row["from"]).split("; ")
        return "; ".join(TABLE["sources"].get(part, part) for part in (first, *more))

    @property
    def where(self) -> str:
        """Where it is looked for, as one writes it."""
        asked = f"`{self.row['of']}`" + (f" `{self.row['name']}`" if "name" in self.row else "")
        if "option" in self.row:
            return f"{asked}, option `{self.row['option']}`"
        return f"{asked}: `{written(self.path)}`" if self.path else asked

    def subjects(self, graph: Graph) -> list[Node]:
        """The resources, or questions to AWS, that are asked."""
        return matching(graph, self.row["of"], self.row.get("name", "*"))

    def answer(self, node: Node) -> Any:
        """What one of them says."""
        return getattr(node, self.row["option"]) if "option" in self.row else looked_up(node.inputs, self.path)

    def faults(self, graph: Graph, recording: str) -> list[str]:
        """What is otherwise than the table says."""
        said, subjects = self.expected(recording), self.subjects(graph)
        if "count" in said:
            return [] if len(subjects) == said["count"] else [f"{len(subjects)} of them, not {said['count']}"]
        if not subjects:
            return ["nothing of the kind"]
        return [fault for node in subjects for fault in self._faults_of(graph, node, said)]

    def _faults_of(self, graph: Graph, node: Node, said: Mapping[str, Any]) -> Iterator[str]:
        if "after" in said:
            for wanted in (other for words in said["after"] for other in before(graph, words)):
                if wanted.key not in graph.requires(node.key):
                    yield f"{node.name} does not wait for {wanted.key}"
            return
        answer = self.answer(node)
        if "is" in said and answer != (right := resolved(graph, said["is"])):
            yield f"{node.name}: {answer!r}, not {right!r}"
        if "has" in said and resolved(graph, said["has"]) not in (answer or ()):
            yield f"{node.name}: {said['has']!r} is not in {answer!r}"
        if "lacks" in said and resolved(graph, said["lacks"]) in (answer if isinstance(answer, list) else str(answer)):
            yield f"{node.name}: {said['lacks']!r} is in {answer!r}"


FACTS: Mapping[str, Fact] = {
    ident: Fact(ident, group, row) for group, rows in TABLE["facts"].items() for ident, row in rows.items()
}


def _by_recording(what: Any) -> bool:
    return isinstance(what, Mapping) and bool(what) and what.keys() <= TABLE["recordings"].keys()


def _flat(steps: Any) -> Iterator[Any]:
    for step in steps:
        if isinstance(step, list):
            yield from _flat(step)
        else:
            yield step


def written(path: Sequence[Any]) -> str:
    """A path as one reads it."""
    told = ""
    for step in path:
        if isinstance(step, Mapping):
            told += "[" + ", ".join(f"{key}={value}" for key, value in step.items()) + "]"
        elif step == "*":
            told += "[]"
        elif str(step).startswith("|"):
            told += f" {step}"
        else:
            quoted = f"'{step}'" if "." in str(step) else str(step)
            told += f".{quoted}" if told else quoted
    return told


def matching(graph: Graph, kind: str, name: str) -> list[Node]:
    """Resources of AWS and Kubernetes by the last word of their type, and questions to AWS by theirs."""
    asked = [Node(0, read.token, read.token, "", inputs=read.arguments) for read in graph.reads]
    return [
        node
        for node in (*graph, *asked)
        if node.type.startswith(("aws:", "kubernetes:"))
        and node.type.rsplit(":", 1)[1] == kind
        and fnmatchcase(node.name, name)
    ]


def before(graph: Graph, words: str) -> list[Node]:
    """What `Type::name` waits for in a row; there has to be one."""
    kind, _, name = words.partition("::")
    found = matching(graph, kind, name or "*")
    assert found, f"nothing is {words}"
    return found


# --- the way to a value ----------------------------------------------------------------------------------------------


def looked_up(value: Any, path: Sequence[Any]) -> Any:
    """What stands at a path, None for nothing. After `*` it is the list of what stands at the rest, for those that have it."""
    for number, step in enumerate(path):
        if value is None:
            return [] if "*" in path[number:] else None
        if step == "*":
            rest = path[number + 1 :]
            found = [looked_up(item, rest) for item in value]
            return [item for one in found for item in (one if "*" in rest else [one]) if item is not None]
        value = _step(value, step)
    return value


def _step(value: Any, step: Any) -> Any:
    if isinstance(step, Mapping):
        return next((item for item in value if all(item.get(key) == part for key, part in step.items())), None)
    if isinstance(step, int) or (isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit()):
        return value[int(step)]
    return _decoded(value, step) if step.startswith("|") else value.get(step)


def _decoded(text: str, how: str) -> Any:
    name, _, argument = how.removeprefix("|").partition(" ")
    if name == "json":
        return json.loads(text)
    if name == "line":
        return text.splitlines()[int(argument) - 1]
    plain = base64.b64decode(text).decode()
    if name == "base64":
        return plain
    parts = [part for part in email.message_from_string(plain).walk() if part.get_content_type() == argument]
    return parts[0].get_payload() if parts else None


def resolved(graph: Graph, said: Any) -> Any:
    """What is said, with the ids and outputs of other resources in place of `${Type::name.output}`."""
    if isinstance(said, list):
        return [resolved(graph, item) for item in said]
    match = re.fullmatch(r"\$\{(\w+)::([\w*-]+)(?:\.(.+))?\}", said) if isinstance(said, str) else None
    if match is None:
        return said
    (node,) = matching(graph, match[1], match[2])
    found = looked_up(node.outputs, match[3].split(".")) if match[3] else node.id
    assert found, f"{said} is nothing"
    return found


# --- taking a fact away ----------------------------------------------------------------------------------------------

FOREIGN = "something else"


def without(fact: Fact, graph: Graph, recording: str, subject: Node) -> Graph:
    """The same graph, but that one resource no longer says what the fact is."""
    said = fact.expected(recording)
    if "count" in said:
        more = Node(0, subject.type, subject.name, "")
        return _with(graph, [*graph, more], [*graph.reads, *graph.reads])
    if "after" in said:
        alone = {subject.key, *_parents(graph, subject)}
        return _with(
            graph,
            [dataclasses.replace(node, depends_on=()) if node.key in alone else node for node in graph],
            graph.reads,
        )
    if "option" in fact.row:
        value = getattr(subject, fact.row["option"])
        other = {bool: lambda: not value, tuple: tuple, str: lambda: FOREIGN}[type(value)]()
        return _changed(graph, subject, lambda node: dataclasses.replace(node, **{fact.row["option"]: other}))
    bad = resolved(graph, said["lacks"]) if "lacks" in said else FOREIGN
    nothing = said.get("is", bad) in (None, []) or "lacks" in said

    def broken(node: Node) -> Node:
        inputs = json.loads(json.dumps(node.inputs, default=list))
        way = fact.path[: next((n for n, step in enumerate(fact.path) if str(step).startswith("|")), None)]
        _put(inputs, way, _encoded(bad, fact.path) if nothing else None)
        return dataclasses.replace(node, inputs=inputs)

    return _changed(graph, subject, broken)


def _parents(graph: Graph, node: Node) -> Iterator[str]:
    """Components around a resource, whose dependencies are its own."""
    while node.parent:
        yield node.parent
        node = graph.by_key[node.parent]


def _encoded(bad: Any, path: Sequence[Any]) -> Any:
    """Something wrong, so that it can be read as what it stands in."""
    if "|base64" in path:
        return base64.b64encode(str(bad).encode()).decode()
    if "|json" in path:
        inner = path[list(path).index("|json") + 1 :]
        document: Any = bad
        for step in reversed(inner):
            document = {step: document}
        part = f'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: application/node.eks.aws\n\n{json.dumps(document)}\n--b--\n'
        return base64.b64encode(part.encode()).decode()
    return bad


def _put(inputs: Any, path: Sequence[Any], new: Any) -> None:
    """Put something at a path, in the first place that it leads to; None takes away what stands there."""
    *way, last = path
    places = _places(inputs, way)
    place = next(item for item in places if new is not None or looked_up(item, [last]) not in (None, []))
    if last == "*":
        place[:] = [] if new is None else [new]
    elif isinstance(last, Mapping):
        place.remove(looked_up(place, [last]))
    elif isinstance(place, list):
        place[int(last)] = new or ""
    elif new is None:
        del place[last]
    else:
        place[last] = new


def _places(value: Any, way: Sequence[Any]) -> list[Any]:
    """Everything that a way leads to; mappings that are not there are made."""
    if not way:
        return [value]
    step, *rest = way
    if step == "*":
        return [place for item in value for place in _places(item, rest)]
    if isinstance(value, dict):
        return _places(value.setdefault(step, {}), rest)
    below = looked_up(value, [step])
    return [] if below is None else _places(below, rest)


def _changed(graph: Graph, subject: Node, change: Callable[[Node], Node]) -> Graph:
    if subject.order == 0:
        reads = [
            dataclasses.replace(
                read, arguments=change(Node(0, read.token, read.token, "", inputs=read.arguments)).inputs
            )
            if read.token == subject.type
            else read
            for read in graph.reads
        ]
        return _with(graph, list(graph), reads)
    return _with(graph, [change(copy.copy(node)) if node.key == subject.key else node for node in graph], graph.reads)


def _with(graph: Graph, nodes: Sequence[Node], reads: Sequence[Any]) -> Graph:
    return Graph(graph.stack, nodes, outputs=graph.outputs, reads=reads, preview=graph.preview, at=graph.at)


def page() -> str:
    """docs/gb200.md."""
    lines = [
        HEAD.format(facts=len(FACTS), recordings="\n".join(f"- `{k}`: {v}" for k, v in TABLE["recordings"].items()))
    ]
    for group in TABLE["facts"]:
        lines += [f"## {group}", "", "| Fact | Looked for in | Expected | Source |", "|---|---|---|---|"]
        lines += [_line(fact) for fact in FACTS.values() if fact.group == group]
        lines.append("")
    return "\n".join(lines)


HEAD = """# What is known of GB200, and where it is built

Generated from `tests/recording/gb200_facts.yaml` (`WRITE_DOCS=1 make test`). {facts} facts about P6e-GB200 UltraServers on EKS, each
with the place where a test looks for it in what the shipped stacks ask of AWS and Kubernetes, what has to stand there, and who
published it. The test also takes each away and expects to notice. Nothing here was seen on a GB200 machine; what the sources leave
open is said with the fact.

The recordings; where none is named, a fact is said of the first two:

{recordings}

`[]` goes on with every item of a list, `[key=value]` with one, `|json` and the like read a text, and `Type::name` stands for the id of
another resource. Numbers after a source are sections of the collections of facts that the program was built from.
"""


def _line(fact: Fact) -> str:
    unsure = f" (not confirmed: {fact.row['unsure']})" if "unsure" in fact.row else ""
    cells = (fact.row["fact"] + unsure, fact.where, _expectation(fact), f"{fact.source} ({fact.row['section']})")
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _expectation(fact: Fact) -> str:
    told = [(recording, _told(fact.expected(recording))) for recording in fact.recordings]
    if fact.recordings == RUNNING and len({text for _, text in told}) == 1:
        return told[0][1]
    return "; ".join(f"{recording}: {text}" for recording, text in told)


def _told(said: Mapping[str, Any]) -> str:
    words = {"is": "", "has": "has ", "lacks": "never ", "count": "", "after": "after "}
    parts = []
    for kind, what in said.items():
        if kind == "count":
            parts.append(f"{what} of them" if what else "none of them")
        elif kind == "after":
            parts.append("after " + ", ".join(f"`{item}`" for item in what))
        else:
            parts.append(words[kind] + (f"`{_plain(what)}`" if what not in (None, []) else "left out"))
    return "; ".join(parts)


def _plain(what: Any) -> str:
    text = what if isinstance(what, str) else json.dumps(what)
    return re.sub(r"\$\{(.*?)\}", r"\1", text)
