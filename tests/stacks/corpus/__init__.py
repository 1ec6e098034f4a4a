"""Scalars and whole files on which the reader is held against the engine.

What `pulumi config --json` says of each is in `answers.json` beside this file; `tests/engine/test_stack_files.py` asks the real
CLI again and compares, and writes the answers anew with WRITE_ANSWERS=1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWERS = Path(__file__).parent / "answers.json"

SCALARS = tuple(
    line
    for line in (Path(__file__).parent / "scalars.txt").read_text().splitlines()
    if line and not line.startswith("#!")
)
"""One in a line, each tried as a value, inside an object, in a list and as a key."""

PLACES = ("value", "key")


def scalar_file(numbered: Mapping[int, str], place: str) -> bytes:
    """A stack file that has each scalar as a value in three places, or as a key."""
    lines = ["config:"]
    for number, scalar in numbered.items():
        if place == "value":
            lines += [
                f"  dynamo-eks:top{number}: {scalar}",
                f"  dynamo-eks:in{number}:",
                f"    below: {scalar}",
                "    items:",
                f"    - {scalar}",
                f"    - last: {scalar}",
            ]
        else:
            lines += [f"  dynamo-eks:key{number}:", f"    {scalar}: there", "    other: key"]
    return ("\n".join(lines) + "\n").encode()


def answers() -> dict[str, Any]:
    """By name: what the engine makes of each key, or `refused` with its message."""
    return json.loads(ANSWERS.read_text())


def documents() -> dict[str, bytes]:
    """Whole files by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("documents*.txt")):
        for part in path.read_text().split("\n=== ")[1:]:
            name, _, text = part.partition("\n")
            found[name.strip()] = f"{text}\n".encode()
    return {**found, **_written()}


def _written() -> dict[str, bytes]:
    """Files that no editor shows as they are."""
    plain = b"config:\n  dynamo-eks:a: {b: text}\n  aws:region: us-east-1\n"
    deep = 30
    return {
        "bom": b"\xef\xbb\xbf" + plain,
        "crlf": plain.replace(b"\n", b"\r\n"),
        "cr": plain.replace(b"\n", b"\r"),
        "no-newline-at-end": plain.rstrip(),
        "next-line-as-break": "config:\n  dynamo-eks:a: 'x\x85y'\n".encode(),
        "line-separator": "config:\n  dynamo-eks:a: 'x\u2028y'\n".encode(),
        "not-a-character": b"config:\n  dynamo-eks:a: \xff\xfe\n",
        "latin-1": "config:\n  dynamo-eks:a: Zürich\n".encode("latin-1"),
        "emoji": "config:\n  dynamo-eks:a: {🚀: 'Zürich 東京'}\n".encode(),
        "control-character": b"config:\n  dynamo-eks:a: 'x\x07y'\n",
        "null-character": b"config:\n  dynamo-eks:a: 'x\x00y'\n",
        "escape": b"config:\n  dynamo-eks:a: 'x\x1by'\n",
        "binary": bytes(range(256)),
        "empty": b"",
        "blank": b"  \n\n",
        "tab-indent": b"config:\n\tdynamo-eks:a: 1\n",
        "tab-after-colon": b"config:\n  dynamo-eks:a:\tb\n",
        "tab-before-comment": b"config:\n  dynamo-eks:a: b\t# c\n",
        "trailing-spaces": b"config:   \n  dynamo-eks:a: b   \n",
        "nested-lists": b"config:\n  dynamo-eks:a: " + b"[" * deep + b"1" + b"]" * deep + b"\n",
        "nested-maps": b"config:\n  dynamo-eks:a: " + b"{a: " * deep + b"1" + b"}" * deep + b"\n",
        "digits-4300": b"config:\n  dynamo-eks:a: {b: " + b"1" * 4300 + b"}\n",
        "digits-of-a-fraction": b"config:\n  dynamo-eks:a: {b: 0." + b"1" * 400 + b"}\n",
        "aliases-that-double": b"config:\n  dynamo-eks:a0: &a0 [1, 1]\n"
        + b"".join(f"  dynamo-eks:a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n".encode() for n in range(1, 5)),
        "aliases-without-end": b"config:\n  dynamo-eks:a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + b"".join(f"  dynamo-eks:a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 9)),
    }
