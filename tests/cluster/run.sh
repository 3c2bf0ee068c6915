#!/usr/bin/env bash
# Installs what a one-node Kubernetes needs, makes images of the static programs in QOE_ROUTER_PROGRAMS, which
# `make test-cluster` builds and names, and tests the release in that cluster. As root. The node is taken away again,
# whatever happens.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"
node=$here/../kubernetes/node.sh
# Also in values.yaml and servers.yaml.in.
tag=cluster-test
programs=(qoe-controller qoe-router qoe-sim)
: "${QOE_ROUTER_PROGRAMS:?the folder of the built programs; make test-cluster sets it}"

# images: nothing else is in them, so the programs must be static.
images() {
  local program
  say "building images"
  for program in "${programs[@]}"; do
    [[ $(ldd "$QOE_ROUTER_PROGRAMS/$program") == *"statically linked"* ]] ||
      die "$program is not static; install libc.a (Debian's libc6-dev) and build it again"
    "$here/../kubernetes/image.sh" "$scratch/$program.tar" "localhost/$program:$tag" "$QOE_ROUTER_PROGRAMS" \
      --file "$root/deploy/Dockerfile" --build-arg "BIN=$program"
  done
}

# end: the tests first, since they use the node. If that is another run's, it stays.
end() {
  trap '' INT TERM
  [ -z "$tests" ] || { kill "$tests" 2>/dev/null && wait "$tests"; } || true
  "$node" down 2>/dev/null || true
  rm -rf "$scratch"
}

scratch=$(mktemp -d) tests=
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$here/../kubernetes/install.sh" node >/dev/null
images
say "bringing a node up"
"$node" up
"$node" load "$scratch"/*.tar
# In the background and awaited, or a signal would find this shell deaf until they end.
PYTHONDONTWRITEBYTECODE=1 "$node" in python3 "$here/run.py" &
tests=$!
wait "$tests"
