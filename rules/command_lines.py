"""Rules about what graphs start: every flag, value and variable is one that the release and its engine know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.dynamo import command_line, images
from components.dynamo.command_line import Given, Table
from recording.graph import Graph
from rules.model import Finding, Looked, rule

OWN_IMAGES = "nvcr.io/nvidia/ai-dynamo/"
"""Where the images are whose engines are known. What another one has may differ, so that is only warned of."""

PREFIXES = ("DYN_", "VLLM_", "SGLANG_")
"""Variables whose names are read out of the wheels."""


@dataclass(frozen=True, slots=True)
class Started:
    """One component as it is started."""

    subject: str
    container: Mapping[str, Any]
    version: str
    """Of the Dynamo in its image."""
    words: tuple[str, ...]
    """After the module's name."""
    found: Table

    @property
    def own_image(self) -> bool:
        return str(self.container.get("image")).startswith(OWN_IMAGES)

    def given(self) -> list[Given]:
        return command_line.read(self.found, self.words)


def started(graph: Graph) -> Iterator[Started]:
    """Components of all graphs that start a module of Dynamo in a release whose flags are known."""
    for item in graph.objects_of("DynamoGraphDeployment"):
        for component in item.manifest["spec"].get("components", ()):
            subject = f"{item.address} {component['name']}"
            if found := of_component(component, subject):
                yield found


def of_component(component: Mapping[str, Any], subject: str = "", otherwise: str = "") -> Started | None:
    """A component as it is started; None where it starts nothing of Dynamo's, or a release without tables and there is no
    other release to read it by."""
    containers = component.get("podTemplate", {}).get("spec", {}).get("containers", ())
    container = next((each for each in containers if each.get("name") == "main"), {})
    words = [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]
    at = next((place for place, word in enumerate(words) if word.startswith("dynamo.")), None)
    tag = images.split(str(container.get("image")))[1]
    version = str(component.get("runtimeVersionOverride") or images.version(tag) or "")
    if at is None:
        return None
    module = words[at].removeprefix("dynamo.")
    table = command_line.table_for(module, version) or command_line.table(module, otherwise)
    if table is None:
        return None
    return Started(subject, container, version, tuple(words[at + 1 :]), table)


@rule(
    "command-lines",
    "Every flag on a command line is one that its release and engine have, with a value that they take, given once.",
    "What a parser refuses ends the process with 2, and the pod restarts for ever on GPUs that are paid for: SGLang 0.5.21 no "
    "longer has the --nsa flags of 0.5.18 (parsers of the wheels, components/dynamo/flags).",
    of="stack",
)
def command_lines(graph: Graph) -> Iterator[Finding | Looked]:
    for each in started(graph):
        yield Looked(each.subject)
        level = "fail" if each.own_image else "warn"
        seen: dict[tuple[str, ...], str] = {}
        for given in each.given():
            if right := command_line.expected(each.found, given):
                yield Finding(each.subject, f"says {' '.join((given.spelled, *given.values))}; expected {right}", level)
            elif flag := given.flag:
                if flag.names in seen and not flag.many:
                    twice = (
                        f"{seen[flag.names]} and {given.spelled}"
                        if seen[flag.names] != given.spelled
                        else given.spelled
                    )
                    yield Finding(each.subject, f"says {twice} twice, of which the last counts; leave one out", level)
                seen[flag.names] = given.spelled


@rule(
    "variables-read",
    "Every variable of Dynamo, vLLM or SGLang in a pod is one that its release reads.",
    "One that nothing reads has no effect, without a word: glm-5-efa's SGLANG_ENABLE_SPEC_V2 is gone in SGLang 0.5.21 (names in "
    "the wheels, components/dynamo/flags).",
    of="stack",
)
def variables_read(graph: Graph) -> Iterator[Finding | Looked]:
    for each in started(graph):
        names = command_line.environment(each.found.dynamo)
        variables = [entry["name"] for entry in each.container.get("env", ()) if entry["name"].startswith(PREFIXES)]
        if not names or not variables:
            continue
        yield Looked(each.subject)
        for name in variables:
            if name not in names:
                yield Finding(
                    each.subject,
                    f"sets {name}, which nothing in {each.found.release} reads{_near(name, names)}; leave it out",
                    "warn",
                )


def _near(name: str, names: frozenset[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=1, cutoff=0.85)
    return f" ({near[0]} is like it)" if near else ""
