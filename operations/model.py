"""`python -m operations.model`: facts of a model, read from its own files on Hugging Face, on a mirror or in a folder.

They are printed as the lines that belong into a stack file, or written into one (`--stack`). Exit code 0, or 2 with the reason in
one line when they cannot be read or written. The token comes from HF_TOKEN, the mirror from HF_ENDPOINT, as huggingface_hub has them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic import ValidationError

from components.dynamo.models.config import UnknownArchitecture, facts
from components.dynamo.models.facts import ModelFacts
from operations.preflight.asker import Http, Response
from operations.preflight.lines import Unasked
from stacks import stackfile
from stacks.editing import put

Send = Callable[[str, str, Mapping[str, str]], Response | Unasked]
"""Sends a request: method, address and headers."""

CONFIG, QUANTISATION, INDEX = "config.json", "hf_quant_config.json", "model.safetensors.index.json"


class NotRead(Exception):
    """Facts that could not be read; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Files:
    """What is read of a model."""

    config: Mapping[str, Any]
    quantisation: Mapping[str, Any] | None
    disk_bytes: int | None
    parameters: int | None
    revision: str | None
    gated: bool


def _sizes(index: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """Bytes and parameters that the index of the weights states."""
    told = (index or {}).get("metadata") or {}
    return told.get("total_size"), told.get("total_parameters")


def in_folder(folder: Path) -> Files:
    """Files of a downloaded model. Raises NotRead."""

    def read(name: str) -> Any:
        path = folder / name
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except (OSError, ValueError) as error:
            raise NotRead(f"{path}: {error}") from None

    config = read(CONFIG)
    if not isinstance(config, dict):
        raise NotRead(f"{folder} has no {CONFIG}; give the folder of one revision of a model")
    size, parameters = _sizes(read(INDEX))
    size = size or sum(path.stat().st_size for path in folder.iterdir() if path.suffix == ".safetensors") or None
    return Files(config, read(QUANTISATION), size, parameters, None, False)


def at(repository: str, revision: str, send: Send, endpoint: str, token: str | None) -> Files:
    """Files of a repository on Hugging Face or on a mirror of it. Raises NotRead."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def read(path: str, *, needed: bool) -> Any:
        answer = send("GET", f"{endpoint}/{path}", headers)
        if isinstance(answer, Unasked):
            raise NotRead(f"{endpoint} was not reached: {answer.why}; set HF_ENDPOINT to a mirror, or give a folder")
        if answer.status in (401, 403):
            how = "the token has no right to it" if token else "set HF_TOKEN to a token that may read it"
            raise NotRead(f"{repository} is gated, private or not there: {how}")
        if answer.status == 404 and not needed:
            return None
        if answer.status != 200:
            raise NotRead(f"{endpoint}/{path} answered {answer.status}; are repository and revision right?")
        try:
            return json.loads(answer.body)
        except ValueError:
            raise NotRead(f"{endpoint}/{path} is not JSON") from None

    at_revision = quote(revision, safe="")
    about = read(f"api/models/{repository}/revision/{at_revision}?blobs=true", needed=True)
    config = read(f"{repository}/resolve/{at_revision}/{CONFIG}", needed=True)
    size, parameters = _sizes(read(f"{repository}/resolve/{at_revision}/{INDEX}", needed=False))
    files = about.get("siblings") or ()
    size = size or sum(item.get("size") or 0 for item in files if str(item.get("rfilename")).endswith(".safetensors"))
    return Files(
        config,
        read(f"{repository}/resolve/{at_revision}/{QUANTISATION}", needed=False),
        size or None,
        parameters or (about.get("safetensors") or {}).get("total"),
        about.get("sha"),
        bool(about.get("gated")),
    )


def told(files: Files) -> ModelFacts:
    """Facts that follow from a model's files. Raises NotRead."""
    try:
        return facts(
            files.config,
            files.quantisation,
            disk_bytes=files.disk_bytes,
            parameters=files.parameters,
            gated=files.gated,
        )
    except UnknownArchitecture as why:
        raise NotRead(f"{why}; state the facts by hand (docs/models.md)") from None
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise NotRead(f"{CONFIG} is not one of a language model: {str(error).splitlines()[0]}") from None


def as_flow(known: ModelFacts) -> str:
    """Facts on one line of YAML."""
    values = known.model_dump(by_alias=True, exclude_defaults=True)
    return (
        "{"
        + ", ".join(
            f"{key}: {str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
        )
        + "}"
    )


def written(text: str, config: Mapping[str, Any], repository: str, known: ModelFacts) -> tuple[str, list[str]]:
    """A stack file's text with the facts at every model of that repository, and the keys of those."""
    models = config.get("dynamo-eks:models") or {}
    keys = [
        key
        for key, model in models.items()
        if isinstance(model, Mapping) and str(model.get("repository", "")).lower() == repository.lower()
    ]
    for key in keys:
        text = put(text, f"models.{key}", "facts", as_flow(known), after="revision")
    return text, keys


def _refuse(why: str) -> typer.Exit:
    typer.echo(why, err=True)
    return typer.Exit(2)


def main(
    repository: Annotated[str, typer.Option(help="organisation/name on Hugging Face.")] = "",
    revision: Annotated[str, typer.Option(help="Commit, branch or tag.")] = "main",
    folder: Annotated[Path | None, typer.Option(help="A downloaded model, instead of asking.")] = None,
    stack: Annotated[str, typer.Option(help="Write into this stack's file, at every model of the repository.")] = "",
) -> None:
    """Print the facts of a model, or write them into a stack file."""
    if not repository and (stack or folder is None):
        raise _refuse(
            "make model REPOSITORY=<organisation/name> [REVISION=<commit>] [FOLDER=<a downloaded model>] [STACK=<a stack>]"
        )
    try:
        if folder is not None:
            files = in_folder(folder)
        else:
            endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
            files = at(repository, revision, Http().send, endpoint, os.environ.get("HF_TOKEN"))
        known = told(files)
    except NotRead as why:
        raise _refuse(str(why)) from None
    if not stack:
        about = f"# {repository or folder}" + (f" at {files.revision}" if files.revision else "")
        typer.echo(f"{about}\nfacts: {as_flow(known)}")
        return
    try:
        file = stackfile.read(stack)
    except stackfile.StackFileError as error:
        raise _refuse(str(error)) from None
    text, keys = written(file.path.read_text(), file.config, repository, known)
    if not keys:
        raise _refuse(f"{file.path} has no model of {repository}")
    file.path.write_text(text)
    typer.echo(f"{file.path}: facts of {', '.join(keys)}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
