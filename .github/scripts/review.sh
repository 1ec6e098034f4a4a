#!/usr/bin/env bash
# Compares every stack with $BASE: $OUT/comment.md, review.json, and of what is touched plans.json and plan-<stack>.md. Exit code 1 when a rule fails, 2 for bad settings.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$OUT"
make -s .venv/.installed
code=0
.venv/bin/python -m operations.pull_request --base "$BASE" --out "$OUT" --artifact "${ARTIFACT:-}" || code=$?
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || head -c 1000000 "$OUT/comment.md" >> "$GITHUB_STEP_SUMMARY"
exit "$code"
