#!/usr/bin/env bash
# Runs the tests again and again beside busy loops, to find those that fail by luck: a summary of each run, then a count.
# Usage: scripts/test_busy.sh [RUNS [LOOPS]]   PYTEST_ARGS chooses tests, e.g. PYTEST_ARGS=tests/agent
set -uo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20} loops=${2:-4} failed=0

# Each loop looks whether this script is still there, so that none outlives it, not after kill -9.
for ((loop = 0; loop < loops; loop++)); do
  (while kill -0 $$ 2>/dev/null; do :; done) &
done
trap 'kill $(jobs -p)' EXIT

for ((run = 1; run <= runs; run++)); do
  # shellcheck disable=SC2086  # several arguments
  .venv/bin/python -m pytest -q --hypothesis-profile=ci -n 2 --dist loadscope ${PYTEST_ARGS:-} \
    | grep -E '^(FAILED|ERROR)| (passed|failed|error)'
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed=$((failed + 1))
done
echo "$((runs - failed)) of $runs runs passed beside $loops busy loops"
[ "$failed" -eq 0 ]
