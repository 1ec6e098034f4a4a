"""`python -m tools.package`: install the library as others do, into a folder of its own, and import all of it from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "components"


def main() -> int:
    """1 when a file is missing from what was installed, or a module cannot be imported."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as source:
        # A build leaves folders behind, which are no business of whoever works here.
        shutil.copytree(LIBRARY, Path(source) / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", folder, source]
        subprocess.run(command, check=True)
        installed = Path(folder) / "dynamo_eks"
        have = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
        want = {
            path.relative_to(LIBRARY)
            for path in LIBRARY.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        for path in sorted(want - have):
            print(f"not installed: {path}")
        modules = [
            ".".join(("dynamo_eks", *path.with_suffix("").parts)) for path in sorted(want) if path.suffix == ".py"
        ]
        names = [name.removesuffix(".__init__") for name in modules if ".scripts." not in name]
        code = (
            f"import sys; sys.path.insert(0, {folder!r})\n"
            f"from importlib import import_module\nfor name in {names!r}: import_module(name)"
        )
        ended = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, check=False)
        print(f"dynamo_eks: {len(have & want)} files installed, {len(names)} modules imported")
        return int(bool(want - have) or ended.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
