#!/usr/bin/env bash
# Says which blocks start or are drained soon: in the summary, to $WEBHOOK where there is one, and by exit code 1.
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s .venv/.installed
said=$(.venv/bin/python -m operations.block_watch)
if [ -z "$said" ]; then
  echo "no block starts or is drained within its next distance"
  exit 0
fi
echo "$said"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || echo "$said" >> "$GITHUB_STEP_SUMMARY"
if [ -n "${WEBHOOK:-}" ]; then
  .venv/bin/python -c 'import json, sys; print(json.dumps({"text": sys.stdin.read()}))' <<< "$said" \
    | curl -sS --fail --max-time 20 -H 'Content-Type: application/json' --data-binary @- "$WEBHOOK" > /dev/null
fi
exit 1
