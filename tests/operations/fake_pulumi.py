#!/usr/bin/env python3
"""Stands in for the pulumi CLI in the tests of the commands: answers from files beside it and writes down each call.

`state.json` is the stack's state. `import` takes a new one, `refresh` reads its targets (those named in `gone.txt` are not
there), `destroy` and `up` put `after.json` in its place and `events.jsonl` where the log of events is wanted. `fails.txt` names commands
that fail, one in a line, then what they say. `lock.txt` is a lock, as the CLI names it; `url.txt` the backend's URL.
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
elif command == "whoami":
    url = HERE / "url.txt"
    print(json.dumps({"user": "me", "url": url.read_text() if url.exists() else "s3://states"}))
elif command == "stack rename":
    if not state.exists():
        sys.exit(f"error: no stack named '{words[2]}' found")
    if (HERE / "lock.txt").exists():
        sys.exit("error: the stack is currently locked by 1 lock(s).\n  " + (HERE / "lock.txt").read_text())
    sys.exit(f"error: a stack named {words[2]} already exists")
elif command == "stack --output":
    print((HERE / "stack.json").read_text())
elif command == "cancel":
    # The same words, whether there was a lock or not.
    (HERE / "lock.txt").unlink(missing_ok=True)
    print("The currently running update for 'demo' has been canceled!")
elif command == "stack import":
    taken = json.loads(Path(words[words.index("--file") + 1]).read_text())
    taken["deployment"]["pending_operations"] = []  # as the CLI does
    state.write_text(json.dumps(taken))
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
elif command in ("up", "destroy"):
    if (HERE / "after.json").exists():
        state.write_text((HERE / "after.json").read_text())
    if (HERE / "events.jsonl").exists():
        Path(words[words.index("--event-log") + 1]).write_text((HERE / "events.jsonl").read_text())
    if (HERE / "code.txt").exists():
        sys.exit(int((HERE / "code.txt").read_text()))
elif command == "config get":
    # Secrets by key; one that is not there is one that this machine cannot decrypt.
    print(json.loads((HERE / "secrets.json").read_text())[words[2]])
else:
    sys.exit(f"the fake does not know {words}")
