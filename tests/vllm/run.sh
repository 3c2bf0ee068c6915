#!/usr/bin/env bash
# Installs real vLLM if need be and runs the tests of this folder against QOE_ROUTER_BIN, a built qoe-router, which
# `make test-vllm` builds and names.
# Usage: run.sh [WORD]     only the tests whose name contains WORD, or whose file is named so
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${QOE_ROUTER_BIN:?a built qoe-router; make test-vllm sets it}"
export QOE_ROUTER_BIN PYTHONDONTWRITEBYTECODE=1
folder=$("$here/install.sh")
exec "$folder/bin/python" "$here/run.py" "$@"
