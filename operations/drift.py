"""`python -m operations.drift`: what somebody changed by hand since the last `make up`, without what changes by itself.

Reads the log of `pulumi refresh --preview-only --event-log`: every resource whose real state differs from the state file, by property. What is
known to differ without anybody's doing is left out (NOISE, each with why). Prints Markdown. Exit code 0 when nothing drifted, 1 when
something did, 2 when the log cannot be read or the refresh failed.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


@dataclass(frozen=True, slots=True)
class Noise:
    """Something that differs by itself."""

    type: str
    """Of the resource, with wildcards."""
    path: str
    """Of the property, as a regular expression for all of it."""
    why: str


NOISE: tuple[Noise, ...] = (
    Noise("aws:eks/nodeGroup:NodeGroup", r"scalingConfig\.desiredSize", "schedules and people move it (ignored by the program)"),
    Noise("aws:eks/nodeGroup:NodeGroup", r"(resources|status|releaseVersion).*", "what EKS tells of it"),
    Noise("aws:eks/cluster:Cluster", r"(status|platformVersion|certificateAuthorities?|identities).*", "EKS moves its platform by itself"),
    Noise("aws:eks/addon:Addon", r"(modifiedAt|createdAt)", "a time"),
    Noise("aws:ec2/launchTemplate:LaunchTemplate", r"(latestVersion|defaultVersion)", "follows its own updates"),
    Noise("aws:ec2/*:*", r"(state|status|instanceState|associationId|networkInterfaceId)", "what EC2 tells of it"),
    Noise("aws:ec2/securityGroup:SecurityGroup", r"(ingress|egress)(\[.*)?", "rules are resources of their own, and EKS adds some"),
    Noise("aws:ec2/capacityReservation:CapacityReservation", r"availableInstanceCount", "falls when an instance starts"),
    Noise("aws:efs/fileSystem:FileSystem", r"(sizeInBytes|numberOfMountTargets).*", "it is used"),
    Noise("aws:efs/mountTarget:MountTarget", r"(mountTargetDnsName|dnsName)", "a name"),
    Noise("kubernetes:*", r"status(\..*)?", "what controllers write"),
    Noise(
        "kubernetes:*",
        r"metadata\.(resourceVersion|generation|managedFields|uid|creationTimestamp|finalizers|ownerReferences)(\W.*)?",
        "what the API server and controllers write",
    ),
    Noise("kubernetes:*", r'metadata\.annotations(\["|\.)(deployment\.kubernetes\.io/|kubectl\.kubernetes\.io/|nvidia\.com/|karpenter\.sh/|eks\.amazonaws\.com/).*', "annotations of controllers"),
    Noise("kubernetes:karpenter.sh/*", r"metadata\.annotations.*", "Karpenter's own hashes"),
    Noise("kubernetes:helm.sh/v3:Release", r"(status|resourceNames|manifest)(\W.*)?", "what Helm tells of it"),
)  # fmt: skip
"""What differs without anybody's doing."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A resource that is not as the state has it."""

    urn: str
    paths: tuple[str, ...]
    """Properties that differ; empty where it is gone."""

    @property
    def gone(self) -> bool:
        return not self.paths

    @property
    def type(self) -> str:
        return self.urn.split("::")[2].rpartition("$")[2]

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[3]


def known(type_: str, path: str) -> bool:
    """Whether a property of a type differs by itself."""
    return any(fnmatch.fnmatchcase(type_, noise.type) and re.fullmatch(noise.path, path) for noise in NOISE)


def drifted(lines: Iterable[str]) -> list[Drift]:
    """Everything that differs, by URN. A last line that was cut off is left out."""
    found: dict[str, Drift] = {}
    for step in _steps(lines):
        urn, type_ = step["urn"], step["type"]
        if type_.startswith(("pulumi:", "dynamo-eks:")):
            continue
        if step.get("op") == "delete" or (step.get("op") == "refresh" and not step.get("new") and step.get("old")):
            found[urn] = Drift(urn, ())
            continue
        paths = [path for path in _paths(step) if not known(type_, path)]
        if paths:
            found[urn] = Drift(urn, tuple(dict.fromkeys(paths)))
    return sorted(found.values(), key=lambda item: (not item.gone, item.type, item.name))


def _steps(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """What the engine found of each resource (sdk/go/common/apitype, StepEventMetadata)."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if step := (event.get("resOutputsEvent") or {}).get("metadata"):
            yield step


def _paths(step: Mapping[str, Any]) -> Iterator[str]:
    """Properties that the engine says differ; from the two states where it names none."""
    detailed = step.get("detailedDiff") or {}
    if detailed or step.get("diffs"):
        yield from detailed or step["diffs"]
        return
    old, new = ((step.get(side) or {}).get("outputs") or {} for side in ("old", "new"))
    yield from _differing(old, new, "")


def _differing(old: Any, new: Any, at: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differing(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
        return
    yield at


def failed(lines: Iterable[str]) -> list[str]:
    """What the engine said of its own failure."""
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        said = event.get("diagnosticEvent") or {}
        if said.get("severity") == "error":
            found.append(re.sub(r"<\{%.*?%\}>", "", said.get("message", "")).strip())
    return found


def text(stack: str, found: Sequence[Drift]) -> str:
    """Markdown for a job's summary."""
    if not found:
        return f"`{stack}`: everything is as its last `make up` left it."
    lines = [
        f"`{stack}`: {len(found)} resources are not as its last `make up` left them.",
        "",
        "| type | name | differs |",
        "|---|---|---|",
    ]
    lines += [
        f"| {item.type} | {item.name} | {'gone' if item.gone else ', '.join(f'`{path}`' for path in item.paths)} |"
        for item in found
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"`make up STACK={stack}` puts them back; what is meant to stay belongs into the stack file first.",
        ]
    )


def main(
    stack: Annotated[str, typer.Option(help="Stack that was refreshed.")],
    log: Annotated[Path, typer.Option(help="Event log of `pulumi refresh --preview-only`.")],
) -> None:
    """Say what drifted."""
    try:
        lines = log.read_text().splitlines()
    except OSError as error:
        print(f"{log}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(2) from None
    if errors := failed(lines):
        print(f"`{stack}`: the refresh failed: {errors[0]}", file=sys.stderr)
        raise typer.Exit(2)
    found = drifted(lines)
    print(text(stack, found))
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
