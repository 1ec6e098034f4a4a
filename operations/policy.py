"""`python -m operations.policy`: the least that an identity must be allowed to do for a stack, as IAM policy documents.

One set for `preview`, which reads, and one for `up`, which makes, changes and deletes as well. What each type of resource takes
stands on its card; a stack gets what its own resources and questions need, and nothing else. A document is divided where IAM's
limit is (6,144 characters without white space, "IAM and AWS STS quotas"), and an identity may hold ten of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from recording.aws_types import ALWAYS, CARDS, CONDITIONS, READ_ACTIONS
from recording.graph import Graph
from review.plan import make
from stacks import stackfile

MOST_CHARACTERS = 6144
"""Of a managed policy, white space left out (IAM User Guide, "IAM and AWS STS quotas")."""

READING = ("Describe", "Get", "List")

GLOBAL = ("iam", "sts")
"""Services without a region: a condition on one would refuse them everywhere else than in us-east-1."""

REGIONAL, ROLES_READ = "regional", "iam reading"


def needed(graph: Graph, *, reading: bool) -> list[str]:
    """Actions for a stack as it was recorded; of `reading` only those that change nothing."""
    types = {node.type for node in graph.nodes if node.custom and node.type.startswith("aws:")}
    found = {*ALWAYS, *(action for type_ in types for action in CARDS[type_].actions)}
    found |= {action for read in graph.reads for action in READ_ACTIONS.get(read.token, ())}
    return sorted(action for action in found if not reading or reads(action))


def reads(action: str) -> bool:
    """Whether an action changes nothing."""
    return action.partition(":")[2].startswith(READING)


def statements(actions: Iterable[str], *, region: str, account: str, roles: Sequence[str]) -> list[dict[str, Any]]:
    """Statements that allow actions in one region, on the stack's own roles where it is roles they are about."""
    by_kind: dict[str, list[str]] = {}
    for action in actions:
        service = action.partition(":")[0]
        kind = action if action in CONDITIONS else service if service in GLOBAL else REGIONAL
        kind = ROLES_READ if kind == "iam" and reads(action) else kind
        by_kind.setdefault(kind, []).append(action)
    own = [f"arn:aws:iam::{account}:role/{name}*" for name in roles]
    # EKS looks at its service-linked roles in the caller's name when a node group is made.
    linked = f"arn:aws:iam::{account}:role/aws-service-role/*"
    made = []
    for kind, allowed in sorted(by_kind.items()):
        statement: dict[str, Any] = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
        if kind == REGIONAL:
            statement["Condition"] = {"StringEquals": {"aws:RequestedRegion": region}}
        elif kind == ROLES_READ:
            statement["Resource"] = [*own, linked]
        elif kind in ("iam", "iam:PassRole"):
            statement["Resource"] = own
        if kind in CONDITIONS:
            statement["Condition"] = CONDITIONS[kind]
        made.append(statement)
    return made


def documents(every: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Policy documents within IAM's limit that allow the same as these statements together."""
    pieces = [piece for statement in every for piece in _pieces(statement)]
    made: list[list[dict[str, Any]]] = []
    for piece in pieces:
        if made and size(_document([*made[-1], piece])) <= MOST_CHARACTERS:
            made[-1].append(piece)
        else:
            made.append([piece])
    return [_document(part) for part in made]


def _pieces(statement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A statement, or its actions over several where it alone is too large."""
    if size(_document([statement])) <= MOST_CHARACTERS:
        return [dict(statement)]
    half = len(statement["Action"]) // 2
    first, second = ({**statement, "Action": part} for part in (statement["Action"][:half], statement["Action"][half:]))
    return [*_pieces(first), *_pieces(second)]


def _document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def size(document: Mapping[str, Any]) -> int:
    """Characters as IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def policies(graph: Graph, *, region: str, account: str) -> dict[str, list[dict[str, Any]]]:
    """Documents by what they are for: `preview` and `up`."""
    # The provider ends a name that it makes up with a hyphen and seven digits.
    roles = sorted({str(node.inputs.get("name") or f"{node.name}-") for node in graph.of("aws:iam/role:Role")})
    return {
        purpose: documents(
            statements(needed(graph, reading=purpose == "preview"), region=region, account=account, roles=roles)
        )
        for purpose in ("preview", "up")
    }


def main(
    stack: Annotated[str, typer.Option(help="Name of the stack.")],
    account: Annotated[str, typer.Option(help="AWS account, 12 digits; by default the stack's own.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Write each document into a file there.")] = None,
) -> None:
    """Print what an identity must be allowed to do for a stack, as IAM policy documents."""
    try:
        file = stackfile.read(stack)
    except stackfile.StackFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    region = str(file.config.get("aws:region") or "")
    if not region:
        typer.echo(f"{stack} makes nothing in AWS, and needs no rights there")
        return
    plan = make(file)
    whose = account or str(file.config.get("dynamo-eks:account") or "<account-id>")
    found = policies(plan.graph, region=region, account=whose)
    if folder is None:
        typer.echo(json.dumps(found, indent=1))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for purpose, made in found.items():
        for number, document in enumerate(made, 1):
            path = folder / f"{stack}-{purpose}-{number}.json"
            path.write_text(json.dumps(document, indent=1) + "\n")
            typer.echo(f"{path}: {size(document)} characters of {MOST_CHARACTERS}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
