#!/usr/bin/env bash
# vllm-router in front of BACKENDs (http://HOST:PORT), round-robin; in the foreground.
# Usage: vllm-router.sh PORT BACKEND…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=$1
shift
. "$here/vllm-router.options"
exec "$bin/vllm-router" --port "$port" --policy round_robin "${options[@]}" --worker-urls "$@"
