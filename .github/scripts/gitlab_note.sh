#!/usr/bin/env bash
# Posts or renews the review as a note of a GitLab merge request. Without a token, as in a pipeline of a fork, it says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -s "$OUT/comment.md" ] || [ -z "${REVIEW_TOKEN:-}" ]; then
  echo "no note was posted: there is no review, or no REVIEW_TOKEN; the review is in this job's artifacts"
  exit 0
fi
exec .venv/bin/python -m operations.sticky_comment --file "$OUT/comment.md"
