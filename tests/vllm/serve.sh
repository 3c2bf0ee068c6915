#!/usr/bin/env bash
# One real vLLM server on CPU, in the foreground, serving the model `tiny` on loopback.
# Usage: serve.sh FOLDER PORT [ROLE SIDE_CHANNEL_PORT]
#   FOLDER  what install.sh printed
#   ROLE    kv_producer (prefill), kv_consumer (decoding) or kv_both; without it: no KV transfer
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 port=$2
export PATH="$folder/bin:$PATH" PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 TOKENIZERS_PARALLELISM=false
# Two processes and one compute thread a server, on any core: four of them share a machine of two cores.
export VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1
# No just-in-time compilation: it wants a C++ compiler and makes a first request with logprobs take a minute.
export TORCHDYNAMO_DISABLE=1
transfer=()
if [ $# -ge 4 ]; then
  export VLLM_NIXL_SIDE_CHANNEL_HOST=127.0.0.1 VLLM_NIXL_SIDE_CHANNEL_PORT=$4
  # A short lease, in seconds, so that a test can wait for blocks that nobody fetched to come free.
  transfer=(--kv-transfer-config '{"kv_connector": "NixlConnector", "kv_connector_module_path": "nixl_quiet",
    "kv_role": "'"$3"'", "kv_connector_extra_config": {"kv_lease_duration": '"${KV_LEASE_SECONDS:-30}"'}}')
fi
# Full precision: in bfloat16 the two most likely tokens are equal so often that how requests happen to be batched
# changes one text in some hundreds. The KV cache holds 64 Ki tokens of this model.
exec vllm serve "$folder/model" --served-model-name tiny --host 127.0.0.1 --port "$port" --dtype float32 \
  --max-model-len 2048 --block-size 32 --kv-cache-memory-bytes 67108864 \
  --enforce-eager --distributed-executor-backend uni --enable-prompt-tokens-details "${transfer[@]}"
