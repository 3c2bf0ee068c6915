#!/usr/bin/env bash
# The chart and deploy/, rendered by Helm and checked without a cluster; also against the API schemas of all supported
# versions of Kubernetes. Seconds; the first time some two minutes, to fetch what it needs into the cache.
# Usage: run.sh [--install-only]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

# The versions whose schemas must accept every manifest: one of each supported minor version.
versions=(v1.31.14 v1.32.13 v1.33.13 v1.34.4)
# Of the API groups whose kinds the manifests are.
groups=(
  api__v1 apis__apiextensions.k8s.io__v1 apis__apps__v1 apis__autoscaling__v2 apis__networking.k8s.io__v1
  apis__policy__v1 apis__rbac.authorization.k8s.io__v1
)

packages() {
  say "fetching Python packages into $1, half a minute"
  make_venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir -r "$here/requirements.txt" >&2
}

# schemas VERSION FOLDER: the OpenAPI documents of that Kubernetes, out of its Go module.
schemas() {
  [ -d "$2" ] && return
  command -v go >/dev/null || die "needs Go 1.24 or newer on the PATH, to fetch the API schemas of Kubernetes"
  say "fetching the API schemas of Kubernetes $1, half a minute"
  local scratch
  scratch=$(mktemp -d "$root/.unfinished-schemas.XXXXXX")
  # A module cache of its own: the module is 18 MB, unpacked 100, and nothing else needs this version.
  (cd "$scratch" && GOMODCACHE=$scratch/modules GOFLAGS=-modcacherw GOWORK=off go mod download "k8s.io/kubernetes@$1" >&2)
  mkdir "$scratch/schemas"
  local group
  for group in "${groups[@]}"; do
    mv "$scratch/modules/k8s.io/kubernetes@$1/api/openapi-spec/v3/${group}_openapi.json" "$scratch/schemas/"
  done
  mv "$scratch/schemas" "$2"
  rm -rf "$scratch"
}

root=$(cache_root)
venv=$root/chart-tests-$(recipe_hash "$here/requirements.txt")
build_once "$venv" packages
lock_cache "$root/kubernetes-schemas.lock"
# What an interrupted run left.
rm -rf "$root"/.unfinished-schemas.*
for version in "${versions[@]}"; do schemas "$version" "$root/kubernetes-schemas-${version#v}"; done
exec 9>&-

PATH=$("$here/../kubernetes/install.sh" cli):$PATH
export PATH PYTHONDONTWRITEBYTECODE=1
[ "${1:-}" != --install-only ] || exit 0
# What a user's own Helm and kubectl are told to do must not matter.
unset KUBECONFIG HELM_NAMESPACE HELM_KUBECONTEXT HELM_DEBUG
exec "$venv/bin/python" "$here/run.py" "${versions[@]/#v/$root/kubernetes-schemas-}"
