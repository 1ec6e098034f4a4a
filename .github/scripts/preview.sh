#!/usr/bin/env bash
# The real engine's preview of $STACK, and the review with its log in the place of the estimate. Never with --skip-preview or up.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$OUT"
make -s .venv/.installed
# The log's path has to be absolute: with another one no file was found afterwards.
log="$(cd "$OUT" && pwd)/events.jsonl"
code=0
# The CLI has the flag for the log only where it is told to show what it has for debugging.
export PULUMI_DEBUG_COMMANDS=true
pulumi preview --stack "$STACK" --non-interactive --event-log "$log" > "$OUT/preview.txt" 2>&1 || code=$?
tail -n 40 "$OUT/preview.txt"
make -s review STACK="$STACK" BASE="$BASE" PREVIEW="$log" FORMAT=markdown > "$OUT/review.md" || code=$?
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || head -c 1000000 "$OUT/review.md" >> "$GITHUB_STEP_SUMMARY"
# Values that the engine shows stay out of the artifact.
rm -f "$log" "$OUT/preview.txt"
exit "$code"
