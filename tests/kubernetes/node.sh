#!/usr/bin/env bash
# A real one-node Kubernetes from nothing but binaries: Ready in seconds, gone in one, and nothing left behind.
#   node.sh up                 installs what is missing, and brings the node up; as root
#   node.sh in CMD…            runs CMD in the node's network, with its DNS, its kubectl and an admin's KUBECONFIG
#   node.sh load IMAGE.tar…    imports images (docker-archive); pods then say imagePullPolicy: Never or IfNotPresent
#   node.sh ctr ARG…           containerd's own client
#   node.sh down [--force]     takes all of it away; another process' node only by force
# The node belongs to the process that called `up`: once that is gone, the next `up` takes the node for the leftover of
# a crashed run, and replaces it. There is one node on a machine.
#
# It is a box of namespaces under one init. It has no route out, so nothing in it can reach another machine; all it
# mounts and runs, containers too, ends with its init; and what it writes to /run and /var falls into its own folder.
# What it cannot do: NetworkPolicy is not enforced by this CNI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

# One line: the node's folder, its init and its owner, each process as PID:START. The file is also the lock.
STATE=/run/qoe-node
# Where the node's folder is inside of it: short, since the paths of sockets must be.
HOME_INSIDE=/run/node
CGROUP=qoe-node
HOST=198.51.100.1 API=https://198.51.100.1:6443
PODS=198.18.0.0/24 DNS=198.18.0.1
SERVICES=198.19.0.0/16 API_SERVICE=198.19.0.1
START_SECONDS=120

up() {
  [ "$(id -u)" = 0 ] || die "a node needs root"
  local path
  path=$("$here/install.sh" node)
  lock
  if read_state && lives "$owner"; then
    die "a node is up already, of process ${owner%:*} ($(tr '\0' ' ' <"/proc/${owner%:*}/cmdline")); end that, or run: node.sh down --force"
  fi
  # Interrupted or failed, it takes away what there is so far.
  trap 'trap "" INT TERM; clear_away' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ -n "${dir:-}" ]; then
    say "taking away what a crashed run left"
    clear_away
  fi
  dir=$(mktemp -d "${TMPDIR:-/tmp}/qoe-node.XXXXXX")
  owner=$(process $PPID) init=
  save_state
  printf '%s' "$path" >"$dir/path"
  export PATH=$path:$PATH
  # A session of its own: an interrupt at the terminal is for those who use the node, not for the node.
  setsid unshare --net --mount --pid --fork --kill-child --mount-proc "$0" boot "$dir" >"$dir/boot.log" 2>&1 </dev/null 9>&- &
  init=$(process $!)
  # Its end is not news: this shell need not tell of it.
  disown
  save_state
  local waited=0
  until [ -e "$dir/ready" ]; do
    if ! lives "$init" || [ $((waited += 1)) -gt $((START_SECONDS * 10)) ]; then
      tail -n 5 "$dir/boot.log" "$dir"/log/* >&2 || true
      die "the node did not come up; above are the ends of its logs"
    fi
    sleep .1
  done
  trap - EXIT INT TERM
}

down() {
  lock
  read_state || return 0
  if lives "$owner" && [ "$owner" != "$(process $PPID)" ] && [ "${1:-}" != --force ]; then
    die "the node belongs to process ${owner%:*}; if it shall go all the same: node.sh down --force"
  fi
  clear_away
}

# clear_away: the kernel ends all that runs under the init, and with the last of it go its mounts and its network.
clear_away() {
  local waited=0
  if lives "${init:-}"; then kill -KILL "${init%:*}"; fi
  while lives "${init:-}" || [ -n "$(cgroup_processes)" ]; do
    [ $((waited += 1)) -le 100 ] || die "processes of the node do not end: $(cgroup_processes | tr '\n' ' ')"
    sleep .1
  done
  find /sys/fs/cgroup -depth -type d -path "*/$CGROUP*" -exec rmdir {} + 2>/dev/null || true
  [ -z "${dir:-}" ] || rm -rf --one-file-system "$dir"
  : >"$STATE"
}

cgroup_processes() { find /sys/fs/cgroup -path "*/$CGROUP*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u; }

# lock: held until this command ends; what it starts must not inherit it.
lock() {
  exec 9>>"$STATE"
  flock --nonblock 9 || die "another node.sh is bringing the node up or down right now; try again when it is done"
}

save_state() { printf '%s %s %s\n' "$dir" "$owner" "${init:-none}" >"$STATE"; }

read_state() { [ -e "$STATE" ] && read -r dir owner init <"$STATE"; }

# process PID: its name for good, since a PID alone is used again.
process() { printf '%s:%s' "$1" "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20)"; }

lives() { [[ $1 == *:?* && $(process "${1%:*}") == "$1" ]]; }

use() {
  read_state && lives "$init" || die "no node is up; run: node.sh up"
  PATH=$(cat "$dir/path"):$PATH
  export PATH KUBECONFIG=$dir/admin.kubeconfig
}

run_inside() {
  use
  # Not the node's own mounts: CMD sees the machine's files and processes, and only asks another DNS.
  exec nsenter --net="/proc/$(init_inside)/ns/net" unshare --mount \
    sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$dir/resolv.conf" "$@"
}

# init_inside: the child of unshare, which is process 1 of the node.
init_inside() { cat "/proc/${init%:*}/task/${init%:*}/children" | tr -d ' '; }

containerd_client() { ctr -a "$dir/containerd/sock" -n k8s.io "$@"; }

# --- From here on inside: process 1 of the node.

boot() {
  mounts "$1"
  cd "$HOME_INSIDE"
  mkdir -p log pki etcd containerd kubelet cni
  network
  certificates
  control_plane
  container_runtime
  kubelet_and_proxy
  dns
  touch ready
  # It only waits, and reaps the orphans.
  exec pause
}

# mounts DIR: the node sees the machine's files, but what it writes outside of its folder falls into it.
mounts() {
  mount -t tmpfs none /run
  mkdir -p /run/lock /run/netns "$HOME_INSIDE"
  mount --bind "$1" "$HOME_INSIDE"
  mkdir "$1/var" "$1/var.work"
  mount -t overlay -o "lowerdir=/var,upperdir=$1/var,workdir=$1/var.work" none /var
}

network() {
  ip link set lo up
  # A cable to nowhere: the address and the default route that a node must have.
  ip link add node0 type veth peer name node1
  ip addr add $HOST/24 dev node0
  ip link set node0 up
  ip link set node1 up
  ip route add default via 198.51.100.2
  ip link add pods0 type bridge
  ip addr add $DNS/24 dev pods0
  ip link set pods0 up
  sysctl -qw net.ipv4.ip_forward=1
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' $DNS >resolv.conf
}

certificates() (
  cd pki
  key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${key[@]}" -days 30 -subj /CN=node-ca -keyout ca.key -out ca.crt
  openssl ecparam -genkey -name prime256v1 -noout -out service-accounts.key
  openssl ec -in service-accounts.key -pubout -out service-accounts.pub
  certificate apiserver /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,IP:$HOST,IP:$API_SERVICE,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  client admin /O=system:masters/CN=admin
  client kubelet /O=system:nodes/CN=system:node:node
  client kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  client scheduler /CN=system:kube-scheduler
  client controllers /CN=system:kube-controller-manager
  client proxy /CN=system:kube-proxy
)

certificate() { # NAME SUBJECT EXTENSION
  openssl req "${key[@]}" -subj "$2" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(printf '%s\n' "$3")
}

client() { # NAME SUBJECT
  certificate "$1" "$2" extendedKeyUsage=clientAuth
  cat >"../$1.kubeconfig" <<K
{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "$API", certificate-authority-data: $(base64 -w0 ca.crt)}}],
 users: [{name: u, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]}
K
}

# start NAME CMD…
start() {
  local name=$1
  shift
  "$@" >"log/$name" 2>&1 </dev/null &
}

# wait_for WHAT CMD…: without a deadline, which `up` keeps.
wait_for() {
  echo "waiting for: $1"
  shift
  until "$@" >/dev/null 2>&1; do sleep .1; done
}

control_plane() {
  local ca=pki/ca.crt
  start etcd etcd --data-dir etcd --unsafe-no-fsync --log-level warn --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:0
  start apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --advertise-address $HOST \
    --service-cluster-ip-range $SERVICES --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --client-ca-file $ca --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file pki/service-accounts.pub \
    --service-account-signing-key-file pki/service-accounts.key --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate pki/kubelet-client.crt --kubelet-client-key pki/kubelet-client.key --allow-privileged
  wait_for "API server" kubectl --kubeconfig admin.kubeconfig get --raw /readyz
  start controllers kube-controller-manager --kubeconfig controllers.kubeconfig --root-ca-file $ca \
    --service-account-private-key-file pki/service-accounts.key --use-service-account-credentials --leader-elect=false
  start scheduler kube-scheduler --kubeconfig scheduler.kubeconfig --leader-elect=false
}

container_runtime() {
  cat >cni/10-bridge.conflist <<K
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS", "gateway": "$DNS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
  # A container may have no better oom score than we, who lack the right to give it one.
  cat >containerd.toml <<K
version = 2
root = "$HOME_INSIDE/containerd/root"
state = "$HOME_INSIDE/containerd/state"
[grpc]
  address = "$HOME_INSIDE/containerd/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$HOME_INSIDE/cni"
K
  start containerd containerd --config containerd.toml --log-level warn
  dir=$HOME_INSIDE
  wait_for containerd containerd_client version
  containerd_client images import "$(dirname "$(command -v pause)")/pause.tar"
}

kubelet_and_proxy() {
  local group
  for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    [ ! -e "$group/cgroup.procs" ] || mkdir -p "$group/$CGROUP"
  done
  cat >kubelet.yaml <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$HOME_INSIDE/containerd/sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failSwapOn: false
oomScoreAdj: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $HOME_INSIDE/pki/ca.crt}}
authorization: {mode: Webhook}
clusterDomain: cluster.local
clusterDNS: [$DNS]
# Pods ask the cluster's DNS and no other.
resolvConf: /dev/null
volumePluginDir: $HOME_INSIDE/volume-plugins
maxPods: 200
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
# How soon pods see that a Secret has changed.
syncFrequency: 10s
K
  start kubelet kubelet --config kubelet.yaml --kubeconfig kubelet.kubeconfig --hostname-override node --node-ip $HOST \
    --root-dir "$HOME_INSIDE/kubelet"
  start proxy kube-proxy --kubeconfig proxy.kubeconfig --hostname-override node --proxy-mode iptables --cluster-cidr $PODS \
    --conntrack-max-per-core 0 --oom-score-adj 0
  wait_for "node Ready" kubectl --kubeconfig admin.kubeconfig wait --for condition=Ready node/node
}

dns() {
  cat >Corefile <<K
.:53 {
  bind $DNS
  errors
  ready $DNS:8181
  kubernetes cluster.local {
    kubeconfig $HOME_INSIDE/admin.kubeconfig c
  }
}
K
  start coredns coredns -conf Corefile
  wait_for DNS kubectl get --server "http://$DNS:8181" --raw /ready
}

case ${1:-} in
  up) up ;;
  down) down "${2:-}" ;;
  in) run_inside "${@:2}" ;;
  load) use && for archive in "${@:2}"; do containerd_client images import "$archive" >/dev/null; done ;;
  ctr) use && containerd_client "${@:2}" ;;
  boot) boot "$2" ;;
  *) die "usage: node.sh up | in CMD… | load IMAGE.tar… | ctr ARG… | down [--force]" ;;
esac
