#!/usr/bin/env bash
# Posts or renews the comment that review.sh wrote. Without one there is nothing to say.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -s "$OUT/comment.md" ]; then
  echo "::notice::the review wrote no comment; see the step that plans"
  exit 0
fi
exec .venv/bin/python -m operations.sticky_comment --file "$OUT/comment.md" --pull "$PULL"
