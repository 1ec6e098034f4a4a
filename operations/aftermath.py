"""What is said after an operation that did not do all it was begun for: what it did, what is pending, and how to go on. Pure."""

from __future__ import annotations

from operations.engine import Operation
from operations.recover import refusal
from operations.state import State, words
from operations.teardown import release


def of_up(ended: Operation, after: State, stack: str, recover: str) -> list[str]:
    """Lines after an `up` that failed, was stopped or was declined. `recover` is the command that recovers."""
    did, by_urn = ended.did, {item.urn: item for item in after.resources}
    said = []
    if did.touched:
        said.append(f"Done before it ended: {did.in_words()}.")
    elif ended.code >= 0:
        said.append("Nothing was created, updated or deleted.")
    for urn in did.protected:
        if urn in by_urn:
            said.append(f"{words(by_urn[urn])} is protected. It is let go by: {release(by_urn[urn], after)}")
    for urn in did.conflicts:
        name = urn.rsplit("::", 1)[1]
        said.append(
            f"{name}: somebody else has written a field that the stack sets. To take it back: "
            f"PULUMI_K8S_ENABLE_PATCH_FORCE=true make up STACK={stack} (docs/troubleshooting.md, “conflict with”)"
        )
    left = pending(ended, after, recover)
    if left:
        return said + left
    if ended.asked_to_stop:
        said.append(
            f"It was stopped and ended in order, with nothing pending. `make up STACK={stack}` goes on from there."
        )
    return said


def pending(ended: Operation, after: State, recover: str) -> list[str]:
    """What an operation left that the next one must not start on."""
    said = []
    if ended.code < 0:
        said.append(
            f"The engine was killed (signal {-ended.code}): it has not told all it did, and its lock may still be there."
        )
    refused = refusal(after, recover)
    if refused:
        said.append(refused)
    elif ended.code < 0:
        said.append(f"Run: {recover}")
    return said
