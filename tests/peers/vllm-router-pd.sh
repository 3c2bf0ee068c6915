#!/usr/bin/env bash
# vllm-router handing each request from a PREFILL to a DECODE server, KV by NIXL, both round-robin; in the foreground.
# Usage: vllm-router-pd.sh PORT PREFILL… -- DECODE…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=$1
shift
servers=()
role=--prefill
for server in "$@"; do
  if [ "$server" = -- ]; then role=--decode; else servers+=("$role" "$server"); fi
done
. "$here/vllm-router.options"
exec "$bin/vllm-router" --port "$port" --policy round_robin "${options[@]}" \
  --vllm-pd-disaggregation --kv-connector nixl "${servers[@]}"
