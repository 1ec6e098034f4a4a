#!/usr/bin/env bash
# Plans every stack: $OUT/comment.md, plan-<stack>.md and plans.json. Exit code 1 when a rule fails, 2 for bad settings.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$OUT"
make -s .venv/.installed
code=0
.venv/bin/python -m operations.pull_request --out "$OUT" --artifact "${ARTIFACT:-}" || code=$?
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || head -c 1000000 "$OUT/comment.md" >> "$GITHUB_STEP_SUMMARY"
exit "$code"
