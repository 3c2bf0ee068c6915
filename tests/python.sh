# Shell functions for the scripts that install what tests need; sourced, not run.
# Everything lands in one cache, one folder per recipe, and may be deleted at any time.

# The folder tells one install.sh from another.
say() { printf '%s/%s: %s\n' "$(basename "$(dirname "$(realpath "$0")")")" "$(basename "$0")" "$*" >&2; }
die() { say "error: $*"; exit 1; }

cache_root() { printf '%s' "${QOE_ROUTER_CACHE:-${HOME:?HOME or QOE_ROUTER_CACHE must be set}/.cache/qoe-router}"; }

# recipe_hash FILE…: a folder's name changes with what made it, so an old one is never mistaken for new.
recipe_hash() { cat "$@" | sha256sum | cut -c1-12; }

# find_python: a Python that the pinned wheels exist for, 3.$LEAST_PYTHON_MINOR at least. Run once, since a
# version manager's shim may be on PATH without a Python behind it.
LEAST_PYTHON_MINOR=10
find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3.10 python3; do
    if "$name" -c "import sys; sys.exit(not (3, $LEAST_PYTHON_MINOR) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# lock_cache FILE: held until `exec 9>&-`, or until this shell ends.
lock_cache() {
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  flock --nonblock 9 || { say "waiting for another process, which holds $1" && flock 9; }
}

# Whether `debian_packages` can install anything: root, on Debian or what is made of it.
may_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

# debian_packages NAME…: the only place that touches the system, and only when there is no other way.
debian_packages() {
  may_install || die "missing Debian packages; install: $*"
  say "installing Debian packages, half a minute: $*"
  mkdir -p "$(cache_root)"
  local output
  # apt-get waits for another one's installation, but not for its update.
  output=$(DEBIAN_FRONTEND=noninteractive flock "$(cache_root)/apt.lock" sh -ec 'apt-get update -qq
    apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"' apt-get "$@" 2>&1) ||
    { printf '%s\n' "$output" >&2 && die "apt-get cannot install $*"; }
}

# make_venv DIR: a venv with pip.
make_venv() {
  local python
  python=$(find_python) || { debian_packages python3 python3-venv; python=$(find_python); } ||
    die "no Python 3.$LEAST_PYTHON_MINOR to 3.13 on PATH"
  if ! "$python" -m venv "$1" >&2; then
    # Debian ships Python without the part that puts pip into a venv.
    debian_packages python3-venv
    "$python" -m venv --clear "$1" >&2 || die "$python cannot make a venv"
  fi
}

# build_once DIR FUNCTION: runs FUNCTION DIR, unless DIR is complete and, if it is a venv, its Python still there. A
# venv holds its own path, so it cannot be built aside and renamed: the marker, written last, is what makes it whole.
# Never call it from an `if`, `&&` or `||`: bash would go on after a failed step, and write the marker.
build_once() {
  lock_cache "$1.lock"
  if ! { [ -e "$1/.complete" ] && { [ ! -L "$1/bin/python" ] || "$1/bin/python" -c '' 2>/dev/null; }; }; then
    rm -rf "$1"
    mkdir -p "$1"
    "$2" "$1"
    touch "$1/.complete"
  fi
  exec 9>&-
}
