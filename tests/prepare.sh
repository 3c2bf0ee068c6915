#!/usr/bin/env bash
# Fetches and builds all that the tests need, side by side: what waits for the network beside what waits for the cores.
# A part that fails does not end the others; the last lines name all that failed, each after its own words. Everything is
# kept, so a second run takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=python.sh
. tests/python.sh

debug() { make --no-print-directory build-tests clippy; }
release() { make --no-print-directory build; }
# Without root a node cannot run, nor its Debian packages be installed; all but `make test-cluster` does without.
kubernetes() {
  local wanted=(control-plane cli)
  ! may_install || wanted=(node)
  tests/kubernetes/install.sh "${wanted[@]}"
}
deny() { tests/lint/cargo-deny.sh; }
vllm() { tests/vllm/install.sh; }
chart() { tests/chart/run.sh --install-only; }

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
for one in debug release kubernetes deny vllm chart; do part "$one"; done
failed=()
while [ ${#parts[@]} -gt 0 ]; do
  ended='' status=0
  wait -n -p ended "${!parts[@]}" || status=$?
  if [ "$status" != 0 ]; then
    say "${parts[$ended]} failed with exit status $status, see above; the other parts go on"
    failed+=("${parts[$ended]}")
  fi
  unset "parts[$ended]"
done
[ ${#failed[@]} = 0 ] || die "not prepared: ${failed[*]}"
