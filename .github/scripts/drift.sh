#!/usr/bin/env bash
# What of $STACK is not as its state has it, without changing either. Exit code 1 when something drifted, 2 when nobody could look.
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s .venv/.installed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The CLI has the flag for the log only where it is told to show what it has for debugging.
export PULUMI_DEBUG_COMMANDS=true
pulumi refresh --preview-only --stack "$STACK" --non-interactive --event-log "$folder/events.jsonl" > "$folder/out.txt" 2>&1 || tail -n 40 "$folder/out.txt"
code=0
.venv/bin/python -m operations.drift --stack "$STACK" --log "$folder/events.jsonl" > "$folder/drift.md" || code=$?
cat "$folder/drift.md"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$folder/drift.md" >> "$GITHUB_STEP_SUMMARY"
exit "$code"
