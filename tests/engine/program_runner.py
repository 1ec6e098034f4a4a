"""Run a Pulumi program as the language plugin's own runner does: configuration, monitor and engine set, in the stack.

Imports nothing of this project: what it runs lies in another folder. A `RunError` is told by its message alone, anything
else with a traceback, as there; either way the exit code says that it was told.
"""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
import traceback
from pathlib import Path

import pulumi
import pulumi.runtime
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

BAIL = 32


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("monitor", "engine", "project", "stack", "organization"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    pulumi.runtime.set_all_config(get_config_env(), get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=given.project,
            stack=given.stack,
            monitor=given.monitor,
            engine=given.engine,
            parallel=given.parallel,
            dry_run=given.dry_run,
            organization=given.organization,
            root_directory=str(given.folder),
        )
    )
    program = given.folder / "__main__.py"
    sys.path.insert(0, str(given.folder))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(
            pulumi.runtime.run_in_stack(lambda: (runpy.run_path(str(program), run_name="__main__"), None)[1])
        )
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return BAIL
    except Exception:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{traceback.format_exc()}")
        return BAIL
    finally:
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
