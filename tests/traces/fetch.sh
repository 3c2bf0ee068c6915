#!/usr/bin/env bash
# The public traces that `make lab` plays: looked for in $QOE_ROUTER_TRACES and in the cache, else fetched into the
# cache once. Prints the file's path; where it cannot be had, says so and fails.
#   azure     Azure LLM inference trace 2023, conversations: github.com/Azure/AzurePublicDataset, CC-BY 4.0
#   mooncake  Mooncake trace, conversations: github.com/kvcache-ai/Mooncake, Apache-2.0
# Usage: fetch.sh azure|mooncake
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../python.sh
. "$here/../python.sh"

# Sums are of what is in the file, not of how it is packed.
case ${1:-} in
  azure)
    names=(AzureLLMInferenceTrace_conv.csv)
    url=https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/AzureLLMInferenceTrace_conv.csv
    sum=2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8
    ;;
  mooncake)
    names=(mooncake_conversation_trace.jsonl conversation_trace.jsonl)
    url=https://raw.githubusercontent.com/kvcache-ai/Mooncake/main/FAST25-release/traces/conversation_trace.jsonl
    sum=b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df
    ;;
  *) die "which trace: azure or mooncake?" ;;
esac

is_it() { [ "$(gzip --decompress --stdout --force <"$1" | sha256sum | cut -d' ' -f1)" = "$sum" ]; }

cache=$(cache_root)/traces
for folder in ${QOE_ROUTER_TRACES:+"$QOE_ROUTER_TRACES"} "$cache"; do
  for name in "${names[@]}"; do
    for file in "$folder/$name" "$folder/$name.gz"; do
      [ -f "$file" ] || continue
      if is_it "$file"; then
        printf '%s\n' "$file"
        exit
      fi
      say "$file is not the published trace (its content has another SHA-256), so it is not used"
    done
  done
done

mkdir -p "$cache"
new=$(mktemp "$cache/.new.XXXXXX")
trap 'rm -f "$new"' EXIT
say "fetching $url"
why=$(curl --fail --silent --show-error --location --connect-timeout 10 --max-time 120 --output "$new" "$url" 2>&1) ||
  die "the $1 trace cannot be fetched ($why); put ${names[0]} from $url into a folder and name it in QOE_ROUTER_TRACES"
is_it "$new" || die "what $url gave is not the $1 trace as it was published (another SHA-256)"
gzip --no-name "$new"
mv "$new.gz" "$cache/${names[0]}.gz"
printf '%s\n' "$cache/${names[0]}.gz"
