"""`python -m tools.shapes build|add`: write the tables under schemas/shapes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.shapes import read

SHAPES = Path(__file__).parents[2] / "schemas" / "shapes"
ADDED = "added"


def file_name(table: Mapping[str, Any]) -> str:
    """`dynamo-platform-1.5.0-main-2a6da14c.json`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{table['source']}-{table['version']}") + ".json"


def text_of(table: Mapping[str, Any]) -> str:
    """One shape on a line, so that a new version's difference can be read."""
    head = {key: value for key, value in table.items() if key != "shapes"}
    lines = ",\n".join(json.dumps(shape, separators=(",", ":"), sort_keys=True) for shape in table["shapes"])
    return json.dumps(head, indent=1)[:-2] + ',\n "shapes": [\n' + lines + "\n]}\n"


def index_of(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What `schemas/strict.py` reads first: which table has which kind, and which chart."""
    kinds: dict[str, list[str]] = {}
    charts: dict[str, list[str]] = {}
    files = {}
    for table in tables:
        name = file_name(table)
        files[name] = {key: table[key] for key in ("source", "version", "origin")}
        for kind in table["kinds"]:
            kinds.setdefault(kind, []).append(name)
        if "values" in table:
            charts.setdefault(table["source"], []).append(name)
    return {"tables": files, "kinds": dict(sorted(kinds.items())), "charts": dict(sorted(charts.items()))}


def build(
    contracts: Annotated[Path, typer.Option(help="Folder of CRDs and chart values, one folder per version.")],
) -> None:
    """Build the project's own tables again."""
    tables = [
        *(source.table() for source in read.contracts(contracts)),
        *map(read.kubernetes_table, read.KUBERNETES_MINORS),
    ]
    for old in SHAPES.glob("*.json"):
        if old.name != "differences.json":
            old.unlink()
    _write(SHAPES, tables)


def add(
    source: Annotated[
        str, typer.Argument(help="File, folder, packaged chart, chart reference, cluster or cluster:<context>.")
    ],
) -> None:
    """Add tables of your own; they win over the project's for the kinds they have."""
    try:
        table = read.read(source).table()
    except read.SourceError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    folder = SHAPES / ADDED
    others = [
        json.loads(path.read_text())
        for path in sorted(folder.glob("*.json"))
        if path.name not in ("index.json", file_name(table))
    ]
    _write(folder, [*others, table])
    print(f"{len(table['kinds'])} kinds{' and chart values' if 'values' in table else ''} from {source}")


def _write(folder: Path, tables: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        (folder / file_name(table)).write_text(text_of(table))
    (folder / "index.json").write_text(json.dumps(index_of(tables), indent=1) + "\n")


if __name__ == "__main__":
    os.umask(0o022)
    app = typer.Typer(add_completion=False, help=__doc__)
    app.command()(build)
    app.command()(add)
    app()
