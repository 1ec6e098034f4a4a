"""Which parsers a module of Dynamo asks, one after another, as they really are; run on unpacked wheels.

`python -I -S parsers.py MODULE FOLDER... < lines` prints JSON: the parsers, and what they say to each of the command lines. The
module's own function is called with a word that no parser knows; each parser that is asked about it is kept, until the last one
refuses it. For what is not Python, and for what the wheels need and is not there (torch, CUDA, the Rust runtime), modules of
empty classes stand in: parsers are made of dataclasses and argparse, which are real.
"""

from __future__ import annotations

import abc
import argparse
import asyncio
import contextlib
import enum
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import io
import json
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn
from unittest import mock

UNKNOWN = "--a-word-that-no-parser-knows"

NO_NUMBERS = ("", "x", "1k", "None", "auto", "{}", "[]", "1,2", "1:2", "0x1", "null", "true")
"""Values of which a function that reads a number, and nothing beside it, takes none. One that reads JSON takes `1` and `0.5`
as well, where it asks for no mapping (vLLM's `--limit-mm-per-prompt`, SGLang's `--mm-process-config`)."""

NO_JSON = ("x", "1k", "auto", "yes", "on", "{", "{a:1}", "{'a':1}", "a: 1", "a=1", "1,2", "1:2")
"""Values of which a function that reads JSON, and nothing beside it, takes none. Others take a word as well (`yes`, of Dynamo's
`--dyn-structural-tag`) or a file with JSON in it (its `--ais-perf-config`)."""

COMPILED = re.compile(
    r"dynamo\.(_core|llm|runtime|prometheus_names|nixl_connect)\b"
    r"|vllm\.(\w*_C\w*|_rust\w*|_version|v1\.executor|ir|third_party\.pynvml)\b"
    r"|sglang\.(kernels|srt\.utils\.custom_op)\b"
)
"""Parts of the wheels that are not Python, or whose import compiles and looks for devices. No parser is made of them."""


ABSENT = re.compile(r"torch_(npu|xla|musa|tpu)|habana_\w+|torchada|intel_\w+|amdsmi|aiter|mlx|libtpu|tpu_\w+")
"""Packages of other makers' devices: that they can be imported is how such a device is found."""


class _Empty(abc.ABCMeta):
    """A class that has every attribute and goes through every operator, as a type does in an annotation."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Empty(name, (Stub,), {})
        setattr(cls, name, made)
        return made

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __setitem__(cls, _: Any, __: Any) -> None: ...

    def register(cls, *args: Any, **_: Any) -> Any:
        return args[-1] if args else cls

    def __or__(cls, _: Any) -> Any:
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __len__(cls) -> int:
        return 0

    __int__ = __index__ = __len__

    def __neg__(cls) -> Any:
        return cls

    __abs__ = __neg__

    def __lt__(cls, _: Any) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


class Stub(metaclass=_Empty):
    def __new__(cls, *args: Any, **given: Any) -> Any:
        # A decorator gives back what it was put on.
        return args[0] if len(args) == 1 and callable(args[0]) and not given else object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __init_subclass__(cls, **_: Any) -> None: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        return {"type": "any"}

    def __call__(self, *args: Any, **given: Any) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) and not given else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub()

    def __getitem__(self, _: Any) -> Any:
        return self

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stub)

    def __hash__(self) -> int:
        return 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def __bool__(self) -> bool:
        return False

    def __int__(self) -> int:
        return 0

    __index__ = __len__ = __int__

    def __neg__(self) -> Any:
        return self

    def __add__(self, _: Any) -> Any:
        return self

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __floordiv__ = __or__ = __ror__ = __add__

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __lt__(self, _: Any) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


class _Module(types.ModuleType):
    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return "99.0.0"
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Empty(name, (Stub,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked last: a module for every package that is not there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        top = name.split(".")[0]
        real = top in sys.modules and not isinstance(sys.modules[top], _Module)
        if ABSENT.match(top) or top in sys.stdlib_module_names or real:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        made = _Module(spec.name)
        if spec.name == "torch.cuda":
            # Of a type of its own, since it is compared.
            made.get_device_capability = lambda *_: (10, 0)  # type: ignore[attr-defined]
        if spec.name.endswith("pynvml"):
            # One GPU of NVIDIA's, whose flags the images have.
            made.nvmlDeviceGetCount = lambda: 1  # type: ignore[attr-defined]
        return made

    def exec_module(self, module: types.ModuleType) -> None: ...


class Compiled(StandIns):
    """Asked first: a module for what is there and is not to be run."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if COMPILED.match(name) else None


class Refused(BaseException):
    """The last parser was asked; of this base, so that nobody's `except Exception` takes it."""


def _arity(action: argparse.Action) -> str:
    nargs = action.nargs
    return "1" if nargs is None else str(nargs)


def _type(action: argparse.Action) -> str | None:
    """`int`, `float` or `json` where a value has to be one, found by trying the function that reads it: many are the engine's
    own."""

    def takes(word: str) -> bool:
        try:
            action.type(word)  # type: ignore[operator, misc]
        except Exception:
            return False
        return True

    if action.type is None:
        return None
    if takes("1") and not any(map(takes, NO_NUMBERS)):
        return "float" if takes("0.5") else "int"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write("{}")
        file.flush()
        return "json" if takes("{}") and not any(map(takes, (*NO_JSON, file.name))) else None


def _word(choice: Any) -> str:
    return str(choice.value) if isinstance(choice, enum.Enum) else str(choice)


def _flag(action: argparse.Action, env: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"names": list(action.option_strings), "takes": _arity(action)}
    if action.choices:
        made["choices"] = sorted({_word(choice) for choice in action.choices})
    if kind := _type(action):
        made["type"] = kind
    said = str(action.help or "")
    # A whole flag that goes, or one of its spellings.
    if type(action).__name__.startswith("Deprecated") or re.search(
        r"^\W*(\[?deprecated|--\S+ is deprecated)", said, re.I
    ):
        replaced = re.search(r"(?:[Uu]se|instead of|in favor of|to) ['\"`]?(--[a-z][a-z0-9-]*)", said)
        made["goes"] = replaced.group(1) if replaced else ""
    if obsolete := re.search(r"deprecating flag: (--\S+)", said):
        made["old"] = obsolete.group(1)
    if type(action).__name__.startswith("_Append") or type(action).__name__ == "_CountAction":
        made["many"] = True
    if env:
        made["env"] = env
    return made


def _environment() -> dict[str, str]:
    """Environment variable by flag, as `dynamo.common`'s own function is told; filled while parsers are made."""
    found: dict[str, str] = {}
    utils: Any = importlib.import_module("dynamo.common.configuration.utils")
    real = utils.add_argument

    def add_argument(parser: Any, **given: Any) -> None:
        found[given["flag_name"]] = given["env_var"]
        real(parser, **given)

    utils.add_argument = add_argument
    return found


def asked(module: str) -> tuple[list[argparse.ArgumentParser], Mapping[str, str]]:
    """The parsers that the module asks, in their order, and the environment variable of each flag that has one. RuntimeError
    where a stand-in fails before the last of them has been asked."""
    found: list[argparse.ArgumentParser] = []
    known, strictly = argparse.ArgumentParser.parse_known_args, argparse.ArgumentParser.parse_args

    def parse_known_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        if UNKNOWN in words:
            found.append(self)
        return known(self, args, namespace)

    def parse_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        if UNKNOWN in words:
            found.append(self)
            raise Refused
        return strictly(self, args, namespace)

    with mock.patch.multiple(argparse.ArgumentParser, parse_known_args=parse_known_args, parse_args=parse_args):
        env = _environment()
        sys.argv = [module, UNKNOWN]
        room = importlib.import_module(f"dynamo.{module}.{'main' if module == 'frontend' else 'args'}")
        try:
            made = room.parse_args([UNKNOWN]) if inspect.signature(room.parse_args).parameters else room.parse_args()
            if inspect.iscoroutine(made):
                asyncio.run(made)
        except (Refused, SystemExit):
            return found, env
    raise RuntimeError(f"{module} knows every word")


def stage(parser: argparse.ArgumentParser, env: Mapping[str, str]) -> dict[str, Any]:
    """One parser as data."""
    return {
        "abbreviates": parser.allow_abbrev,
        "flexible": type(parser).__name__ == "FlexibleArgumentParser",
        "flags": [
            _flag(action, next((env[n] for n in action.option_strings if n in env), None)) for action in parser._actions
        ],
    }


def answer(parsers: Sequence[argparse.ArgumentParser], words: list[str]) -> str:
    """What the real parsers say to a command line: empty when they take it."""

    def error(_: Any, message: str) -> NoReturn:
        raise ValueError(message)

    with mock.patch.object(argparse.ArgumentParser, "error", error), mock.patch.object(sys, "stderr", io.StringIO()):
        try:
            for parser in parsers[:-1]:
                _, words = parser.parse_known_args(words)
            # The last one of Dynamo's own leaves what it does not know, and the module refuses that.
            last = parsers[-1]
            if type(last).__name__ == "FlexibleArgumentParser":
                last.parse_args(words)
            elif rest := last.parse_known_args(words)[1]:
                return f"unrecognized arguments: {' '.join(rest)}"
        except SystemExit as end:
            return f"ends with {end.code}"
        except Exception as refusal:  # an engine's own function of a value may raise anything
            return re.sub(r" at 0x[0-9a-f]+", "", f"{refusal}")
    return ""


class _Torch(_Module):
    """torch with NVIDIA's devices only, which is how the images have it."""

    def __getattr__(self, name: str) -> Any:
        if ABSENT.match(f"torch_{name}"):
            raise AttributeError(name)
        return super().__getattr__(name)


_real_version = importlib.metadata.version


def _version(name: str) -> str:
    try:
        return _real_version(name)
    except importlib.metadata.PackageNotFoundError:
        return "99.0.0"


async def _awaited(made: Any) -> Any:
    return await made


def _stand_in(folders: Sequence[str]) -> None:
    sys.path[:0] = folders
    sys.meta_path.insert(0, Compiled())
    sys.meta_path.append(StandIns())
    sys.modules["torch"] = _Torch("torch")
    of_nvidia: Any = importlib.import_module("torch.version")
    of_nvidia.cuda, of_nvidia.hip, of_nvidia.xpu = "13.0", None, None
    importlib.metadata.version = _version


def main(module: str, *folders: str) -> None:
    """Ask a module. Without folders it is the one that is installed, and nothing is stood in for."""
    os.environ.clear()
    if folders:
        _stand_in(folders)
    lines = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        parsers, env = asked(module)
        told = {
            "stages": [stage(each, env) for each in parsers],
            "answers": [answer(parsers, line) for line in lines],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
