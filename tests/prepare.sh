#!/usr/bin/env bash
# Fetches and builds all that the tests need, side by side: what waits for the network beside what waits for the cores.
# Says which part failed, after its own words. Everything is kept, so a second run takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=python.sh
. tests/python.sh

debug() { make --no-print-directory build-tests clippy; }
release() { make --no-print-directory build; }
kubernetes() { tests/kubernetes/install.sh node; }
python() {
  tests/lint/cargo-deny.sh
  tests/vllm/install.sh
  tests/chart/run.sh --install-only
}

# part NAME: that function in the background, as a process group of its own, so that all it started can be ended.
declare -A parts
set -m
part() {
  {
    started=$SECONDS
    "$1" >/dev/null
    say "$1 is ready after $((SECONDS - started)) s"
  } &
  parts[$!]=$1
}

end_parts() {
  local group
  for group in "${!parts[@]}"; do kill -- "-$group" 2>/dev/null || true; done
}

trap end_parts EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for one in debug release kubernetes python; do part "$one"; done
while [ ${#parts[@]} -gt 0 ]; do
  ended='' status=0
  wait -n -p ended "${!parts[@]}" || status=$?
  [ "$status" = 0 ] || die "${parts[$ended]} cannot be prepared (exit status $status; see above)"
  unset "parts[$ended]"
done
