#!/usr/bin/env bash
# Renders the chart into plain manifests with a kustomization. It empties the folder first.
# Usage: render.sh [FOLDER [HELM-TEMPLATE-OPTION…]]     without arguments: base/, beside this script
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/base}
[ $# = 0 ] || shift
command -v helm >/dev/null || { echo "render.sh: helm is not on PATH: install it" >&2; exit 1; }

rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
helm template qoe-router "$here/../../charts/qoe-router" --namespace qoe-router --values "$here/values.yaml" "$@" \
  --output-dir "$rendered" >/dev/null
manifests=("$rendered"/qoe-router/templates/*.yaml)
namespace=$(sed -n 's/^  namespace: //p' "$rendered/qoe-router/templates/router-deployment.yaml" | head -n 1)

rm -rf "$folder"
mkdir -p "$folder"
cat >"$folder/namespace.yaml" <<EOF
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
EOF
# What only Helm reads would be wrong here.
for manifest in "${manifests[@]}"; do
  sed -e '/^ *helm\.sh\/chart: /d' -e '/^# Source: /d' -e 's/managed-by: Helm$/managed-by: kustomize/' -e '1{/^---$/d}' \
    "$manifest" >"$folder/$(basename "$manifest")"
done
{
  echo '# Made by render.sh: do not edit.'
  echo 'apiVersion: kustomize.config.k8s.io/v1beta1'
  echo 'kind: Kustomization'
  echo 'resources:'
  (cd "$folder" && printf -- '- %s\n' *.yaml | grep -v kustomization.yaml | LC_ALL=C sort)
} >"$folder/kustomization.yaml"
