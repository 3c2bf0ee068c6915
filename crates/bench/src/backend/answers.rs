//! The answers of the stand-in as complete HTTP bytes, built once, in the formats of vLLM 0.32.

use std::sync::LazyLock;

/// One token's event (about 230 bytes) as one HTTP chunk.
pub(super) static TOKEN: LazyLock<String> =
    LazyLock::new(|| chunk(&delta(r#""content":" word""#, "null")));
static FIRST: LazyLock<String> =
    LazyLock::new(|| chunk(&delta(r#""role":"assistant","content":"""#, "null")));
static LAST: LazyLock<String> = LazyLock::new(|| chunk(&delta(r#""content":"""#, r#""length""#)));

/// A complete answer of 2 KB.
pub(super) static UNARY: LazyLock<String> = LazyLock::new(|| {
    let text = " lorem ipsum".repeat(136);
    json(&completion(&text, "null"))
});

/// The answer of a prefill leg, with all parameters of NIXL.
pub(super) static PREFILL: LazyLock<String> = LazyLock::new(|| {
    let blocks = (1..=32).map(|block| block.to_string()).collect::<Vec<_>>().join(",");
    json(&completion(
        " x",
        &format!(
            r#"{{"do_remote_prefill":true,"do_remote_decode":false,"remote_block_ids":[[{blocks}]],"remote_engine_id":"5d0c2a7e-53b6-4f0e-9f0a-1f6f3a5e1c11","remote_request_id":"chatcmpl-stand-in-0","remote_host":"127.0.0.1","remote_port":5600,"tp_size":1,"dcp_size":1,"pp_size":1,"remote_num_tokens":512,"remote_blocks_expiry_time":null,"transfer_mode":"pull","remote_prefill_cached_tokens":0}}"#
        ),
    ))
});

/// `/v1/models` with the one model `tiny`.
pub(super) static MODELS: LazyLock<String> = LazyLock::new(|| {
    json(
        r#"{"object":"list","data":[{"id":"tiny","object":"model","created":1795335466,"owned_by":"vllm","root":"tiny","parent":null,"max_model_len":131072,"permission":[]}]}"#,
    )
});

/// The metric families that routers read, for an idle engine.
pub(super) static METRICS: LazyLock<String> = LazyLock::new(|| {
    let labels = r#"{engine="0",model_name="tiny"}"#;
    let families = [
        ("gauge", "num_requests_running", "0.0"),
        ("gauge", "num_requests_waiting", "0.0"),
        ("gauge", "kv_cache_usage_perc", "0.05"),
        ("counter", "prefix_cache_queries_total", "1000.0"),
        ("counter", "prefix_cache_hits_total", "300.0"),
        ("counter", "generation_tokens_total", "5000.0"),
        ("counter", "prompt_tokens_total", "9000.0"),
    ];
    let text: String = families
        .iter()
        .map(|(kind, name, value)| {
            format!("# HELP vllm:{name} As vLLM.\n# TYPE vllm:{name} {kind}\nvllm:{name}{labels} {value}\n")
        })
        .collect();
    whole("text/plain; version=0.0.4; charset=utf-8", &text)
});

/// 200 without a body.
pub(super) const EMPTY_OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// 404 without a body.
pub(super) const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
/// The head of a stream.
pub(super) const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\n\
    content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
/// The end of a stream.
pub(super) const DONE: &[u8] = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

/// A whole stream: role, `tokens` tokens, the finish reason, and the end.
pub(super) fn burst(tokens: u32) -> Vec<u8> {
    let (first, last) = (FIRST.as_bytes(), LAST.as_bytes());
    let mut bytes = Vec::with_capacity(STREAM_HEAD.len() + (tokens as usize + 3) * TOKEN.len());
    bytes.extend_from_slice(STREAM_HEAD);
    bytes.extend_from_slice(first);
    for _ in 0..tokens {
        bytes.extend_from_slice(TOKEN.as_bytes());
    }
    bytes.extend_from_slice(last);
    bytes.extend_from_slice(DONE);
    bytes
}

fn delta(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-a538f15db47d03ff\",\"object\":\"chat.completion.chunk\",\"created\":1795335466,\
         \"model\":\"tiny\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\
         \"finish_reason\":{finish},\"token_ids\":null}}]}}\n\n"
    )
}

fn completion(text: &str, params: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-a538f15db47d03ff","object":"chat.completion","created":1795335466,"model":"tiny","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"length","stop_reason":null}}],"usage":{{"prompt_tokens":512,"total_tokens":513,"completion_tokens":1}},"kv_transfer_params":{params}}}"#
    )
}

fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

fn json(body: &str) -> String {
    whole("application/json", body)
}

fn whole(content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
