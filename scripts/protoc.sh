#!/usr/bin/env bash
# Regenerates the Python code of the policy protocol from policy.proto.
# Usage: scripts/protoc.sh [OUTPUT-DIRECTORY]   (default: the repository itself)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m grpc_tools.protoc -I. --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" policy/protocol/policy.proto
