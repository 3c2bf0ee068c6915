#!/usr/bin/env bash
# Envoy with one worker in front of BACKENDs (http://HOST:PORT), least request first; in the foreground.
# Usage: envoy.sh PORT BACKEND…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=$1
shift
endpoints=
for backend in "$@"; do
  address=${backend#http://}
  address=${address%/}
  endpoints+="{endpoint: {address: {socket_address: {address: ${address%:*}, port_value: ${address##*:}}}}}, "
done
config=$(sed -e "s/@PORT@/$port/" -e "s/@ENDPOINTS@/${endpoints%, }/" "$here/envoy.yaml.in")
exec "$("$here/install.sh" envoy)/envoy" --config-yaml "$config" --concurrency 1 --disable-hot-restart --log-level warning
