#!/usr/bin/env python3
"""Stands in for the pulumi CLI in the tests of the commands: answers from files beside it and writes down each call.

`state.json` is the stack's state. `import` takes a new one, `refresh` reads its targets (those named in `gone.txt` are not
there), `destroy` puts `after.json` in its place. `fails.txt` names commands that fail, one in a line, then what they say.
"""

import itertools
import json
import os
import sys
from pathlib import Path

HERE = Path(os.environ["FAKE_PULUMI"])
words = sys.argv[1:]
with (HERE / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(words) + "\n")
state = HERE / "state.json"
command = " ".join(words[:2]) if words[0] in ("stack", "config") else words[0]
fails = HERE / "fails.txt"
if fails.exists():
    for line in fails.read_text().splitlines():
        name, _, said = line.partition(": ")
        if name == command:
            sys.exit(said)
if command == "stack export":
    if not state.exists():
        sys.exit(f"error: no stack named '{words[words.index('--stack') + 1]}' found")
    print(state.read_text())
elif command == "stack import":
    state.write_text(Path(words[words.index("--file") + 1]).read_text())
elif command == "refresh":
    targets = {after for word, after in itertools.pairwise(words) if word == "--target"}
    gone = (HERE / "gone.txt").read_text().split() if (HERE / "gone.txt").exists() else []
    document = json.loads(state.read_text())
    deployment = document["deployment"]
    unknown = targets - {item["urn"] for item in deployment["resources"]}
    if unknown:
        sys.exit(f"error: no resource named {unknown}")
    deployment["resources"] = [
        {key: value for key, value in item.items() if key != "initErrors" or item["urn"] not in targets}
        for item in deployment["resources"]
        if item.get("id") not in gone
    ]
    # Like the engine: of what was interrupted, only creations outlive another operation.
    deployment["pending_operations"] = [
        item for item in deployment.get("pending_operations") or () if item["type"] == "creating"
    ]
    state.write_text(json.dumps(document))
elif command == "config get":
    # Secrets by key; one that is not there is one that this machine cannot decrypt.
    print(json.loads((HERE / "secrets.json").read_text())[words[2]])
elif command == "destroy":
    state.write_text((HERE / "after.json").read_text())
elif command != "cancel":
    sys.exit(f"the fake does not know {words}")
