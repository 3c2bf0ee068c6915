#!/usr/bin/env bash
# Builds an image without a daemon and without leaving anything behind but ARCHIVE, which `node.sh load` takes.
# Usage: image.sh ARCHIVE NAME:TAG CONTEXT [BUILDAH-OPTION…]     options such as --file F, --build-arg BIN=…
set -euo pipefail
archive=$1 name=$2 context=$3
shift 3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
storage=(--root "$scratch/root" --runroot "$scratch/run" --storage-driver vfs)
buildah "${storage[@]}" build --quiet --isolation chroot --tag "$name" "$@" "$context" >/dev/null
rm -f "$archive"
buildah "${storage[@]}" push --quiet "$name" "docker-archive:$archive:$name"
