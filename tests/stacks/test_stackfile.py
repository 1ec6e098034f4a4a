"""A stack file read as the engine reads it: against the CLI's recorded answers, and where each key stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks import stackfile
from stacks.stackfile import StackFile, StackFileError
from tests.stacks import corpus

ANSWERS = corpus.answers()

STRICTER = {
    "no configuration": (
        "comments-only",
        "only-a-marker",
        "config-null",
        "config-empty",
        "no-config",
        "empty",
        "blank",
    ),
    "read by nobody": ("unknown-top", "section-at-top", "top-merge"),
    "only the first document is read": ("two-documents", "two-documents-second-broken", "document-end-and-more"),
    "the engine leaves the key out": ("config-key-null",),
}
"""Files that the engine reads and that are refused here, by reason."""

STRICTER_SCALARS = {
    "bytes that are no text": ("value !!binary /////w==", "key !!binary /////w=="),
    "the engine loses the value": ("value {.nan: a}", "key .nan", "key .NaN", "key .NAN"),
}


def ours(text: bytes, folder: Path) -> dict[str, Any]:
    """What the reader makes of a file, in the recording's form."""
    path = folder / "Pulumi.corpus.yaml"
    path.write_bytes(text)
    try:
        file = stackfile.read("corpus", path)
    except StackFileError as error:
        assert all(line.startswith("stacks/Pulumi.corpus.yaml") for line in str(error).splitlines())
        return {"refused": str(error)}
    return {key: _shown(file, key, value) for key, value in file.config.items() if value != {}}


def _shown(file: StackFile, key: str, value: Any) -> dict[str, Any]:
    if key in file.secret_keys:
        return {"secret": True}
    if isinstance(value, (dict, list)):
        # Through text, so that 1, 1.0 and true differ as they do for the program.
        return {"json": json.dumps(value, sort_keys=True)}
    return {"text": stackfile.as_wire({key: value})[key]}


def recorded(answer: dict[str, Any]) -> dict[str, Any]:
    if "refused" in answer:
        return answer
    return {
        key: {"json": json.dumps(value["json"], sort_keys=True)} if "json" in value else value
        for key, value in answer.items()
    }


def test_the_corpus_is_large_enough() -> None:
    assert len(corpus.SCALARS) >= 300 and len(corpus.documents()) >= 150
    assert len(ANSWERS) == len(corpus.documents()) + 2 * len(set(corpus.SCALARS))


@pytest.mark.parametrize("name", corpus.documents())
def test_a_file_is_read_as_the_engine_reads_it(name: str, tmp_path: Path) -> None:
    """Otherwise the plan holds for a stack that never comes up."""
    got, said = ours(corpus.documents()[name], tmp_path), ANSWERS[f"file {name}"]
    if name in {name for names in STRICTER.values() for name in names}:
        assert "refused" in got and "refused" not in said
    elif "refused" in said:
        assert "refused" in got
    else:
        assert got == recorded(said)


@pytest.mark.parametrize("place", corpus.PLACES)
def test_every_scalar_is_what_the_engine_takes_it_for(place: str, tmp_path: Path) -> None:
    """Unquoted dates, 1e3, 010, yes: three of six stacks could be planned and not previewed."""
    stricter = {name for names in STRICTER_SCALARS.values() for name in names}
    wrong = {}
    for scalar in corpus.SCALARS:
        name = f"{place} {scalar}"
        got, said = ours(corpus.scalar_file({0: scalar}, place), tmp_path), recorded(ANSWERS[name])
        if "refused" in got or "refused" in said:
            same = "refused" in got and ("refused" in said or name in stricter)
        else:
            got = {key.removeprefix("dynamo-eks:")[:-1]: value for key, value in got.items() if key[-1] == "0"}
            same = got == said
        if not same:
            wrong[name] = (got, said)
    assert wrong == {}


# --- where a key stands -------------------------------------------------------------------------------------------------


def _read(text: str, folder: Path) -> StackFile:
    path = folder / "Pulumi.lines.yaml"
    path.write_text(text)
    return stackfile.read("lines", path)


LINES = """\
# a comment
config:
  aws:region: us-east-1
  dynamo-eks:network:
    cidr: 10.64.0.0/16
    zones:
      - use1-az1
      - use1-az4
  dynamo-eks:tags: {team: x,
    a.b: y, a: z}
  graphs: &graphs
    chat: &chat
      worker:
        extraArgs: [one,
          two]
    again: {<<: *chat, model: other}
    third: *chat
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("aws:region", 3),
        ("network", 4),
        ("dynamo-eks:network", 4),
        ("network.cidr", 5),
        ("network.zones", 6),
        ("network.zones[0]", 7),
        ("network.zones[1]", 8),
        ("network.zones[2]", 6),
        ("network.nat", 4),
        ("network.cidr.below", 5),
        ("tags.team", 9),
        ("tags.a.b", 10),
        ("tags.a", 10),
        ("tags.b", 9),
        ("graphs.chat.worker.extraArgs[1]", 15),
        ("graphs.again.worker.extraArgs[1]", 15),
        ("graphs.again.model", 16),
        ("graphs.third.worker", 13),
        ("graphs.fourth", 11),
        ("capacity", 2),
        ("capacity.pools.gpu", 2),
    ],
)
def test_a_key_is_found_in_its_line(key: str, line: int, tmp_path: Path) -> None:
    """Whoever is told of one of forty pools looks for it in a file of four hundred lines. What is missing belongs under
    what is there."""
    assert _read(LINES, tmp_path).line(key) == line


def test_a_key_is_found_in_its_column(tmp_path: Path) -> None:
    """In a line with several keys the line alone says little; editors jump to line and column."""
    file = _read("config:\n  dynamo-eks:network: {cidr: 10.0.0.0/16, zones: [use1-az1, use1-az2]}\n", tmp_path)
    assert file.place("network") == (2, 3)
    assert file.place("network.zones") == (2, 43) and file.place("network.zones[1]") == (2, 61)


# --- what the engine lets pass, and nobody reads -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("environment: [prod]\nconfig: {a: b}\n", ":1: environment: no `environment:` here: what Pulumi ESC"),
        ("config: {a: b}\nstorage: {}\n", ":2: storage: no such key at the top of the file, where the engine reads"),
        ("config: {a: b}\nstorage: {}\n", "write dynamo-eks:storage under `config:`"),
        ("config: {a: b}\nconfg: {}\n", "did you mean config?"),
        ("config: {a: b}\n---\nconfig: {a: c}\n", ":2: a second document"),
        ("config:\n  storage: {}\n  dynamo-eks:storage: {}\n", ":3: dynamo-eks:storage is dynamo-eks:storage again"),
        (
            "config:\n  dynamo-eks:config:storage: {}\n  storage: {}\n",
            "which stands in line 2 as dynamo-eks:config:storage",
        ),
        ("config:\n  dynamo-eks:capacity: '{}'\n", ":2: dynamo-eks:capacity is text; write keys and values"),
    ],
)
def test_what_nobody_reads_is_refused(text: str, told: str, tmp_path: Path) -> None:
    """A setting without effect is found when the bill comes."""
    with pytest.raises(StackFileError) as caught:
        _read(text, tmp_path)
    assert told in str(caught.value)


def test_everything_unreadable_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StackFileError) as caught:
        _read(
            "bogus: 1\nconfig:\n  dynamo-eks:a: {b: 1, b: 2}\n  dynamo-eks:c: .inf\n  dynamo-eks:c: x\n  1: x\n",
            tmp_path,
        )
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["1", "3", "5", "6"]


def test_an_encrypted_value_inside_a_section_is_a_fault(tmp_path: Path) -> None:
    """The engine would decrypt it into the section, and from there it goes in clear into objects and the state."""
    file = _read("config:\n  graphs:\n    chat:\n      worker:\n        env: {TOKEN: {secure: v1:x}}\n", tmp_path)
    assert [(fault.full_key, fault.given) for fault in file.faults] == [
        ("dynamo-eks:graphs.chat.worker.env.TOKEN", "[hidden]")
    ]
    assert file.secret_keys == ("dynamo-eks:graphs",) and file.place(file.faults[0].key) == (5, 15)
    assert "v1:x" not in json.dumps(file.config)


# --- files that would take the machine with them --------------------------------------------------------------------------------

NASTY: dict[str, bytes] = {
    "alias-bomb": b"config:\n  dynamo-eks:a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(f"  dynamo-eks:a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 12)),
    "merge-bomb": b"config:\n  dynamo-eks:a0: &a0 {x0: 1}\n"
    + b"".join(
        f"  dynamo-eks:a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}], x{n}: 1}}\n".encode() for n in range(1, 12)
    ),
    "aliases-in-a-chain": b"config:\n  dynamo-eks:a0: &a0 [x]\n"
    + b"".join(f"  dynamo-eks:a{n}: &a{n} [*a{n - 1}]\n".encode() for n in range(1, 5000)),
    "deep-lists": b"config:\n  dynamo-eks:a: " + b"[" * 200_000,
    "deep-maps": b"config:\n  dynamo-eks:a: " + b"{a: " * 100_000,
    "deep-blocks": b"config:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 900)),
    "deep-lists-in-blocks": b"config:\n  dynamo-eks:a:\n    " + b"- " * 200_000 + b"x\n",
    "many-keys": b"config:\n" + b"".join(f"  k{n}: 1\n".encode() for n in range(40_000)),
    "many-items": b"config:\n  dynamo-eks:a: [" + b"1," * 240_000 + b"]\n",
    "long-key": b"config:\n  ? " + b"a" * 300_000 + b"\n  : b\n",
    "long-number": b"config:\n  dynamo-eks:cluster: {version: " + b"9" * 400_000 + b"}\n",
    "long-fraction": b"config:\n  dynamo-eks:a: 0." + b"9" * 400_000 + b"\n",
    "long-version": b"%YAML 1." + b"1" * 5000 + b"\n---\nconfig: {}\n",
    "long-text": b"config:\n  dynamo-eks:cluster: {name: " + b"a" * 500_000 + b"}\n",
    "many-anchors": b"config:\n  dynamo-eks:a: [" + b"".join(f"&a{n} 1,".encode() for n in range(40_000)) + b"]\n",
    "too-large": b"config: {}\n" + b"# x\n" * 400_000,
    "question-marks": b"config:\n  dynamo-eks:a: " + b"? " * 100_000,
    "a-text-of-brackets": b"config:\n  dynamo-eks:capacity: '" + b"[" * 100_000 + b"'\n",
}

_EACH = """
import json, resource, sys, time
limit = 1500 * 1024**2
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from pathlib import Path
from stacks import stackfile
from review.__main__ import _Bad, _plan
read = stackfile.read
for path in map(Path, sys.argv[1:]):
    stackfile.read = lambda name, path=path: read(name, path)
    began = time.process_time()
    try:
        _plan("nasty", False, None)
        told = ""
    except _Bad as error:
        told = str(error)
    # Not ru_maxrss, which counts what the process was forked from.
    status = Path("/proc/self/status").read_text()
    took, peak = time.process_time() - began, int(status.split("VmHWM:")[1].split()[0]) // 1024
    print(json.dumps([path.name, told[:300], len(told), took, peak]), flush=True)
"""


def test_no_file_takes_the_machine_with_it(tmp_path: Path) -> None:
    """The plan runs on pull requests of people nobody knows: within 10 s and 500 MiB, and never a traceback."""
    for name, text in NASTY.items():
        (tmp_path / name).write_bytes(text)
    ended = subprocess.run(
        [sys.executable, "-c", _EACH, *(str(tmp_path / name) for name in NASTY)],
        cwd=stackfile.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, (ended.stdout[-300:], ended.stderr[-2000:])
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [name for name, *_ in found] == list(NASTY)
    for name, told, length, took, peak in found:
        assert told.startswith("stacks/Pulumi.nasty.yaml"), (name, told)
        assert length < 40_000 and took < 10 and peak < 500, (name, length, took, peak)


@pytest.mark.parametrize("what", ["folder", "not-readable", "long-name", "outside"])
def test_what_is_no_file(what: str, tmp_path: Path) -> None:
    name = {"long-name": "x" * 400, "outside": "../../etc/passwd\0"}.get(what, "x")
    path = None
    if what == "folder":
        path = tmp_path
    elif what == "not-readable":
        path = tmp_path / "x.yaml"
        path.symlink_to(path)
    with pytest.raises(StackFileError):
        stackfile.read(name, path)
