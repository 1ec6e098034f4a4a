"""`python -m tools.flags build`: write the tables under components/dynamo/flags from the wheels of every supported release."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from components import catalog
from components.dynamo import command_line

PARSERS = Path(__file__).with_name("parsers.py")
ANSWERS = Path(__file__).parents[2] / "tests" / "dynamo" / "command_lines.json"
LINES = ANSWERS.with_suffix(".yaml")

ENGINES = ("vllm", "sglang")
"""Engines whose own parser is asked after Dynamo's. TensorRT-LLM has none there: its options go through
`--override-engine-args`, and Dynamo's wheel is enough."""

HELPERS = (
    "pydantic", "msgspec", "pyyaml", "regex", "packaging", "typing_extensions", "numpy", "dill", "psutil", "cloudpickle",
    "prometheus_client", "uvloop",
)  # fmt: skip
"""What the parsers are made with. Everything else is stood in for."""

VARIABLE = re.compile(rb"\b(?:DYN|VLLM|SGLANG)_[A-Z0-9_]*[A-Z0-9]\b")
RUN_ON = re.compile(rb"DYN_[A-Z0-9_]+?(?=DYN_|[^A-Z0-9_])")
"""Names in a compiled library, where they may stand without anything between them."""


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def wheel(folder: Path, requirement: str) -> Path:
    """A package's wheel for Linux on x86-64, as pip finds it."""
    platforms = ["manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "any"]
    options = [word for platform in platforms for word in ("--platform", platform)]
    _pip("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", *options, "-d", str(folder), requirement)  # fmt: skip
    name = requirement.split("==")[0].replace("-", "_")
    return next(folder.glob(f"{name}-{requirement.split('==')[1]}-*.whl"))


def unpacked(file: Path, folder: Path) -> Path:
    """The Python of a wheel, its metadata, and small data."""
    with zipfile.ZipFile(file) as archive:
        for item in archive.infolist():
            if item.filename.endswith((".py", "METADATA", ".json")) and item.file_size < 5_000_000:
                archive.extract(item, folder)
    return folder


def pins(folder: Path) -> dict[str, str]:
    """Version of each engine that a release of Dynamo names."""
    text = next(folder.glob("ai_dynamo-*.dist-info/METADATA")).read_text()
    found = re.findall(r"^Requires-Dist: (vllm|sglang|tensorrt-llm)(?:\[\S+\])?==([^\s;]+)", text, re.MULTILINE)
    return dict(found)


def ask(module: str, folders: Sequence[Path], lines: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A module's parsers, and what they say to command lines."""
    command = [sys.executable, "-I", "-S", str(PARSERS), module, *map(str, folders)]
    done = subprocess.run(command, input=json.dumps(lines), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def variables(files: Iterable[Path]) -> list[str]:
    """Environment variables of Dynamo, vLLM and SGLang that wheels name, in Python or in what is compiled."""
    found: set[bytes] = set()
    for file in files:
        with zipfile.ZipFile(file) as archive:
            for item in archive.infolist():
                if item.filename.endswith(".py") and "/tests/" not in item.filename:
                    found.update(VARIABLE.findall(archive.read(item)))
                elif item.filename.endswith(".so") and "dynamo" in item.filename:
                    found.update(RUN_ON.findall(archive.read(item)))
    return sorted(name.decode() for name in found)


def text_of(table: Mapping[str, Any]) -> str:
    """One flag on a line, so that a new version's difference can be read."""
    head = json.dumps({key: value for key, value in table.items() if key != "stages"}, indent=1)[:-2]
    stages = []
    for stage in table["stages"]:
        flags = ",\n".join(json.dumps(flag, separators=(",", ":")) for flag in stage["flags"])
        rest = json.dumps({key: value for key, value in stage.items() if key != "flags"})[:-1]
        stages.append(f'{rest}, "flags": [\n{flags}\n]}}')
    return head + ',\n "stages": [\n' + ",\n".join(stages) + "\n]}\n"


def _slim(flag: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flag.items() if (key, value) != ("takes", "1")}


def build(
    on: Annotated[str, typer.Option(help="Date to write into the tables; by default today's.")] = "",
) -> None:
    """Read every supported release anew. Takes a minute and 2 GB of a temporary folder."""
    cases = yaml.safe_load(LINES.read_text())
    day = on or datetime.now(UTC).date().isoformat()
    answers: dict[str, dict[str, list[str]]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _pip("install", "--no-warn-conflicts", "--target", str(root / "helpers"), *HELPERS)
        for version in catalog.DYNAMO:
            files = [wheel(root, f"ai-dynamo=={version}"), wheel(root, f"ai-dynamo-runtime=={version}")]
            folders = [unpacked(files[0], root / version)]
            pinned = pins(folders[0])
            for engine in ENGINES:
                files.append(wheel(root, f"{engine}=={pinned[engine]}"))
                folders.append(unpacked(files[-1], root / f"{engine}-{pinned[engine]}"))
            for module in command_line.MODULES:
                told = ask(module, [*folders, root / "helpers"], cases[module])
                engine = {"trtllm": "tensorrt-llm"}.get(module, module)
                stages = [{**stage, "flags": [_slim(flag) for flag in stage["flags"]]} for stage in told["stages"]]
                table = {
                    "module": f"dynamo.{module}",
                    "dynamo": version,
                    **({"engine": f"{engine} {pinned[engine]}"} if engine in pinned else {}),
                    "read": day,
                    "stages": stages,
                }
                command_line.file_of(module, version).write_text(text_of(table))
                answers.setdefault(module, {})[version] = told["answers"]
            names = {"dynamo": version, "read": day, "names": variables(files)}
            command_line.environment_file(version).write_text(json.dumps(names, indent=0) + "\n")
            for file in files:
                file.unlink()
    ANSWERS.write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, help=__doc__)
    app.command()(build)
    app.callback()(lambda: None)
    app()
